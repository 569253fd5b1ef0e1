"""OpenAPI documents to measure with."""

from __future__ import annotations

import json
import re
from typing import Any

Document = dict[str, Any]
ANSWER = {"200": {"description": "What was asked for."}}
AUDIENCE = "bench"
UNREACHABLE_LIMIT = 2_000_000_000
_BY_KEY: Document = {"security": [{"key": []}]}


def guarded(host: str, issuer: str) -> Document:
    """One operation for each kind of guard."""
    metered: Document = {"x-google-quota": {"metricCosts": {"calls": 1}}}
    guards: dict[str, Document] = {
        "open": {"security": []},
        "key": _BY_KEY,
        "token": {"security": [{"token": []}]},
        "metered": {**_BY_KEY, **metered},
        "counted": {"security": [], **metered},
    }
    operations = {f"/{name}": {"get": _operation(name, **guard)} for name, guard in guards.items()}
    token = {
        "type": "openIdConnect",
        "openIdConnectUrl": f"{issuer}/.well-known/openid-configuration",
        "x-google-auth": {"issuer": issuer, "jwksUri": f"{issuer}/keys", "audiences": [AUDIENCE]},
    }
    quota = {"limits": {"calls-per-minute": {"metric": "calls", "values": UNREACHABLE_LIMIT}}}
    management = {"metrics": {"calls": {"displayName": "Calls"}}, "quota": quota}
    return _document(host, operations, {"token": token}) | {"x-google-api-management": management}


def keyed(host: str) -> Document:
    """One operation that wants a key, and nobody who would have to be asked for anything."""
    return _document(host, {"/key": {"get": _operation("key", **_BY_KEY)}}, {})


SHAPES = {
    "plain": {"exact": "/v1/res{n}", "wildcard last": "/v1/res{n}/{{id}}"},
    "first": {"wildcard first": "/{{tenant}}/res{n}/{{id}}"},
    "middle": {"wildcard in the middle": "/v1/tenants/{{tenant}}/res{n}"},
}
"""Kinds of large APIs, with the kinds of path that they are made of in equal parts."""


def wide(host: str, operations: int, shape: str = "plain", *, needs_key: bool = True) -> Document:
    """An API of so many operations."""
    kinds = SHAPES[shape].values()
    paths = [kind.format(n=n) for kind in kinds for n in range(operations // len(kinds))]
    security = [{"key": []}] if needs_key else []
    return _document(host, {path: _get(path) for path in paths}, {}) | {"security": security}


def a_call(path: str, number: int) -> str:
    """A path that matches one of a kind of `SHAPES`."""
    return path.format(n=number).format(tenant="acme", id="abc")


def _get(path: str) -> Document:
    name = re.sub(r"\W", "_", path)
    schema = {"type": "string"}
    variables = re.findall(r"{(\w+)}", path)
    given = [{"name": each, "in": "path", "required": True, "schema": schema} for each in variables]
    return {"get": _operation(name, parameters=given, summary=f"What {path} is for.", tags=["wide"])}


def _operation(name: str, **more: Any) -> Document:
    return {"operationId": name, "responses": ANSWER, **more}


def _document(host: str, paths: Document, schemes: Document) -> Document:
    key = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    return {
        "openapi": "3.0.4",
        "info": {"title": "Bench", "version": "1.0.0"},
        "servers": [{"url": f"https://{host}", "x-google-endpoint": {}}],
        "paths": paths,
        "components": {"securitySchemes": {"key": key, **schemes}},
    }


def as_json(document: Document) -> str:
    """The document as people's tools write it."""
    return json.dumps(document, indent=2)


def as_yaml(document: Document) -> str:
    """The document in block style, as people write it."""
    import yaml

    return yaml.dump(json.loads(json.dumps(document)), sort_keys=False)
