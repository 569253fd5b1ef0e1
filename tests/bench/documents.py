"""OpenAPI documents to measure with."""

from __future__ import annotations

import json
from typing import Any

Document = dict[str, Any]
ANSWER = {"200": {"description": "What was asked for."}}
AUDIENCE = "bench"
UNREACHABLE_LIMIT = 2_000_000_000


def guarded(host: str, issuer: str) -> Document:
    """One operation for each kind of guard."""
    guards: dict[str, Document] = {
        "open": {"security": []},
        "key": {"security": [{"key": []}]},
        "token": {"security": [{"token": []}]},
        "metered": {"security": [{"key": []}], "x-google-quota": {"metricCosts": {"calls": 1}}},
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


def wide(
    host: str, operations: int, *, wildcard_first: bool = False, title: str = "Wide", needs_key: bool = True
) -> Document:
    """An API of so many operations.

    Half of them have an exact path and half end in a wildcard; with `wildcard_first` every path begins with one.
    """
    if wildcard_first:
        paths = {f"/{{tenant}}/res{n}/{{id}}": _get(f"get{n}", "tenant", "id") for n in range(operations)}
    else:
        pairs = range(operations // 2)
        paths = {f"/v1/res{n}": _get(f"list{n}") for n in pairs}
        paths |= {f"/v1/res{n}/{{id}}": _get(f"get{n}", "id") for n in pairs}
    return _document(host, paths, {}, title) | {"security": [{"key": []}] if needs_key else []}


def _get(name: str, *variables: str) -> Document:
    schema = {"type": "string"}
    given = [{"name": each, "in": "path", "required": True, "schema": schema} for each in variables]
    return {"get": _operation(name, parameters=given, summary=f"What {name} is for.", tags=["wide"])}


def _operation(name: str, **more: Any) -> Document:
    return {"operationId": name, "responses": ANSWER, **more}


def _document(host: str, paths: Document, schemes: Document, title: str = "Bench") -> Document:
    key = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    return {
        "openapi": "3.0.4",
        "info": {"title": title, "version": "1.0.0"},
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
