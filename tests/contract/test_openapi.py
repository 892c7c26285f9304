"""/openapi.json is valid, names every route of the contract, and says of each what it really answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from werkzeug.test import Client, TestResponse

from hola import settings
from hola.app import Hola, create_app
from hola.scoreboard import READY, Place, Scoreboard
from hola.views.openapi import describe

ROOT = Path(__file__).parents[2]
CONTRACT = {
    "get": "/ /version /livez /healthz /readyz /metrics /config /config/status /config/history /status/{code} "
    "/delay/{seconds} /headers /stream/{lines} /aws/identity /aws/bucket /openapi.json",
    "post": "/echo",
}
ARGUMENTS = {"code": "201", "seconds": "0", "lines": "2"}

# The skeleton of https://spec.openapis.org/oas/3.1/schema/2025-09-15: what a schema of schemas cannot say.
_MEDIA = {"type": "object", "required": ["schema"], "properties": {"schema": {"type": "object"}}}
_RESPONSE = {"required": ["description"], "properties": {"content": {"additionalProperties": _MEDIA}}}
_PARAMETER = {"required": ["name", "in", "schema"], "properties": {"in": {"enum": ["path", "query"]}}}
_OPERATION = {
    "required": ["operationId", "summary", "responses"],
    "additionalProperties": False,
    "properties": {
        "operationId": {"pattern": "^[a-z_.]+$"},
        "summary": {"type": "string", "minLength": 10, "maxLength": 160},
        "description": {"type": "string"},
        "parameters": {"type": "array", "items": _PARAMETER},
        "requestBody": {"type": "object", "required": ["content"]},
        "responses": {"propertyNames": {"pattern": "^([1-5][0-9]{2}|default)$"}, "additionalProperties": _RESPONSE},
    },
}
_ITEM = {"properties": {"get": _OPERATION, "post": _OPERATION}, "additionalProperties": False}
_DOCUMENT = {
    "required": ["openapi", "info", "paths", "components"],
    "properties": {
        "openapi": {"pattern": r"^3\.1\.\d$"},
        "info": {"required": ["title", "version"]},
        "paths": {"propertyNames": {"pattern": "^/"}, "additionalProperties": _ITEM},
    },
}


@pytest.fixture(scope="module")
def hola(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hola]:
    """A worker's application with the sample document, in a pod that is ready."""
    directory, board = tmp_path_factory.mktemp("hola"), Scoreboard()
    board.pod.workers_expected = board.pod.booted = 1
    board.rows[0].state = READY
    environ = {"HOLA_CONFIG_DIR": str(ROOT / "config"), "HOLA_CONFIG_WATCH": "poll"}
    environ |= {"HOLA_STATE_DIR": str(directory / "state"), "HOLA_SECRETS_DIR": str(directory / "secrets")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        app = create_app(settings.load(environ), Place(board, 0, directory))
        yield app
        app.close()


class _ClosingClient(Client):
    """Reads and closes every response as a server does, so that its request ends and leaves no context behind."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return super().open(*args, **{**kwargs, "buffered": True})


@pytest.fixture(scope="module")
def document(hola: Hola) -> dict[str, Any]:
    return dict(json.loads(json.dumps(describe(hola.flask))))


@pytest.fixture
def client(hola: Hola) -> Client:
    return _ClosingClient(hola)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, each) for path, item in document["paths"].items() for method, each in item.items()]


def errors(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with `value`, by a schema of the document."""
    validator = Draft202012Validator(schema | {"components": document["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def test_the_document_has_the_shape_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert errors(document, _DOCUMENT, document) == []


def test_every_schema_is_a_json_schema_and_every_reference_resolves(document: dict[str, Any]) -> None:
    inner = re.findall(r'"schema": ({[^{}]*})', json.dumps(document))
    for schema in [*document["components"]["schemas"].values(), *map(json.loads, inner)]:
        Draft202012Validator.check_schema(schema)
    referred = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referred
    assert referred <= document["components"]["schemas"].keys()


def test_operations_are_named_once_and_their_path_parameters_are_declared(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _path, _method, operation in operations(document)]
    assert len(set(names)) == len(names)
    for path, _method, operation in operations(document):
        parameters = operation.get("parameters", [])
        declared = [each["name"] for each in parameters if each["in"] == "path" and each["required"] is True]
        assert sorted(declared) == sorted(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method in CONTRACT for path in CONTRACT[method].split()]
)
def test_every_route_of_the_contract_is_there(document: dict[str, Any], method: str, path: str) -> None:
    assert method in document["paths"][path]


@pytest.mark.parametrize("path", [path for path in CONTRACT["get"].split() if path != "/aws/bucket"])
def test_a_routes_real_answer_is_as_described(document: dict[str, Any], client: Client, path: str) -> None:
    answer = client.get(path.format(**ARGUMENTS), headers={"Accept": "application/json"})
    assert answer.status_code in (200, 201), answer.text
    content = document["paths"][path]["get"]["responses"]["200"].get("content", {})
    if answer.mimetype == "application/json":
        closed = content["application/json"]["schema"] | {"unevaluatedProperties": False}
        assert errors(document, closed, answer.json) == []
    else:
        assert answer.mimetype in {"text/plain", "application/x-ndjson"}
        assert "application/json" not in content


def test_an_echo_is_as_described(document: dict[str, Any], client: Client) -> None:
    schema = document["paths"]["/echo"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert errors(document, schema, client.post("/echo", data=b"\xff\x00hello").json) == []


@pytest.mark.parametrize(
    "path", ["/nowhere", "/aws/bucket", "/status/418", "/status/700", "/delay/soon", "/stream/1001"]
)
def test_an_error_is_as_described(document: dict[str, Any], client: Client, path: str) -> None:
    ((media, content),) = document["paths"]["/"]["get"]["responses"]["default"]["content"].items()
    answer = client.get(path)
    assert answer.mimetype == media == "application/problem+json"
    assert errors(document, content["schema"], answer.json) == []


def test_a_description_that_did_not_fit_would_be_noticed(document: dict[str, Any], client: Client) -> None:
    schema = document["paths"]["/config/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = client.get("/config/status").json
    assert answer
    assert errors(document, schema, {**answer, "generation": "1"}) == ["$.generation: '1' is not of type 'integer'"]
    assert errors(document, schema, {key: value for key, value in answer.items() if key != "workers"})
