"""A bearer token in front of what not everybody should see, if the pod has one."""

from __future__ import annotations

from flask import Response, request

from hola.live_config.secrets import Secrets
from hola.views.problems import problem

SECRET = "api_token"  # noqa: S105 - the secret's name


class Token:
    """Checks `Authorization: Bearer` against the secret `api_token` (RFC 6750); without that secret all may pass."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def admits(self) -> bool:
        """True if the current request may see what is protected."""
        scheme, _, candidate = request.headers.get("Authorization", "").partition(" ")
        offered = candidate.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""
        return self._secrets.accepts(SECRET, offered) is not False

    def refusal(self) -> Response:
        """The answer to a request that it does not admit."""
        return problem(401, f"needs the pod's {SECRET} as a bearer token", {"WWW-Authenticate": 'Bearer realm="hola"'})
