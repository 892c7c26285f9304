"""`/openapi.json`, made from the code: routes from the URL map, schemas from the views' return types."""

from __future__ import annotations

import inspect
import re
import types
import typing
from typing import Any

from flask import Blueprint, Flask, Response
from pydantic import TypeAdapter

from hola import __version__
from hola.views.problems import MEDIA_TYPE, Problem
from hola.views.routing import template

_CONVERTERS = {"int": {"type": "integer", "minimum": 0}, "default": {"type": "string"}, "path": {"type": "string"}}
_REFS = "#/components/schemas/{model}"


class Description:
    def __init__(self, app: Flask) -> None:
        self._app = app

    def openapi(self) -> dict[str, Any]:
        """This service's routes as OpenAPI 3.1."""
        return describe(self._app)


def describe(app: Flask) -> dict[str, Any]:
    """An OpenAPI 3.1 description of `app`."""
    schemas: dict[str, Any] = {}
    problem = _schema(Problem, schemas)
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.endpoint == "static":
            continue
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(template(rule.rule), {})[method.lower()] = _operation(rule, view, problem, schemas)
    info = {"title": "hola", "version": __version__, "description": "The twelve-factor reference service."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def blueprint(app: Flask) -> Blueprint:
    routes = Blueprint("openapi", __name__)
    routes.add_url_rule("/openapi.json", view_func=Description(app).openapi)
    return routes


def _operation(rule: Any, view: Any, problem: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    summary, _, more = inspect.cleandoc(view.__doc__ or rule.endpoint).partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": " ".join(summary.split()),
        "responses": {
            "200": {"description": "As asked for.", **_content(view, schemas)},
            "default": {"description": "An error.", "content": {MEDIA_TYPE: {"schema": problem}}},
        },
    }
    parameters = _path_parameters(rule) + _query_parameters(summary)
    operation |= {"parameters": parameters} if parameters else {}
    return operation | ({"description": more} if more else {})


def _content(view: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    returned = typing.get_type_hints(view).get("return")
    options = typing.get_args(returned) if isinstance(returned, types.UnionType) else (returned,)
    bodies = [option for option in options if option is not None and option is not Response]
    if not bodies:
        return {}
    return {"content": {"application/json": {"schema": _schema(bodies[0], schemas)}}}


def _schema(body: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(body).json_schema(ref_template=_REFS)
    schemas |= schema.pop("$defs", {})
    if "title" not in schema:
        return schema
    schemas[schema["title"]] = schema
    return {"$ref": _REFS.format(model=schema["title"])}


def _path_parameters(rule: Any) -> list[dict[str, Any]]:
    found = re.findall(r"<(?:([^:<>]+):)?([^<>]+)>", rule.rule)
    return [
        {"name": name, "in": "path", "required": True, "schema": _CONVERTERS[converter or "default"]}
        for converter, name in found
    ]


def _query_parameters(summary: str) -> list[dict[str, Any]]:
    """A view's summary names its query parameters as `?name`."""
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in re.findall(r"`\?(\w+)=?`", summary)]
