"""OpenAPI 3.1: what the server does, in full: 204, errors, descriptions, tags, bounds of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from authz.frameworks.document.definitions import Definitions
from authz.frameworks.document.security import Schemes
from authz.frameworks.document.values import dialect
from authz.frameworks.document.version2 import scheme
from authz.frameworks.service import Api, Method, Parameter
from authz.frameworks.types import Issuer, LimitDefinition

_NOT_IN_LIMITS = re.compile(r"[^A-Za-z0-9]+")
_LONGEST_LIMIT = 64
_URL = re.compile(r"https?://[!-~]+\Z")
_VARIABLE = re.compile(r"\{([^{}]+)\}")
_JSON: Final = "application/json"
_TEXT: Final = {"type": "string"}
_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "Why a call failed: `error` comes from the method, `code` and `message` from the gateway before it.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "message": _TEXT,
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": dict.fromkeys(("domain", "reason", "message", "locationType", "location"), _TEXT),
                    },
                },
            },
            "required": ["message"],
        },
        "code": {"type": "integer"},
        "message": _TEXT,
    },
    "anyOf": [{"required": ["error"]}, {"required": ["code", "message"]}],
}


def write(api: Api, host: str | None) -> dict[str, Any]:
    """The document of an API."""
    definitions, schemes = Definitions("3.1"), Schemes(api, scheme_of)
    paths: dict[str, dict[str, Any]] = {}
    operations: list[dict[str, Any]] = []
    for method in _aligned(api.methods):
        operation = _operation(method, definitions, schemes)
        operations.append(operation)
        paths.setdefault(method.path, {})[method.http_method.lower()] = operation
    components: dict[str, Any] = {"schemas": definitions.schemas}
    if operations:
        _add_errors(operations, definitions)
    if used := schemes.used():
        components["securitySchemes"] = used
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": _info(api),
        "servers": [{"url": f"{scheme(host)}://{host}{api.base_path.rstrip('/')}" if host else api.base_path}],
        "paths": paths,
        "components": components,
    }
    if tags := sorted({tag for method in api.methods for tag in method.tags}):
        found["tags"] = [{"name": tag} for tag in tags]
    if api.documentation and _URL.match(api.documentation):
        found["externalDocs"] = {"url": api.documentation}
    if any(method.escaped_slashes for method in api.methods):
        found["x-authz-escaped-slashes"] = "keep"
    if api.limits:
        found["x-google-api-management"] = management(api.limits)
    return found


def _aligned(methods: Iterable[Method]) -> Iterator[Method]:
    """The methods, where one path has one spelling: `GET /a/{x}` and `PUT /a/{y}` are the same path, with one name."""
    known: dict[str, str] = {}
    for method in methods:
        path = known.setdefault(_VARIABLE.sub("{}", method.path), method.path)
        names = dict(zip(_VARIABLE.findall(method.path), _VARIABLE.findall(path), strict=True))
        renamed = (
            replace(one, name=names[one.name]) if one.where == "path" and one.name in names else one
            for one in method.parameters
        )
        yield method if path == method.path else replace(method, path=path, parameters=tuple(renamed))


def _info(api: Api) -> dict[str, Any]:
    found = {"title": api.title or api.name, "version": api.version}
    return found | ({"description": api.description} if api.description else {})


def _operation(method: Method, definitions: Definitions, schemes: Schemes) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": method.operation_id, **_words(method.description)}
    if method.tags:
        operation["tags"] = list(method.tags)
    if method.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in method.parameters]
    if method.body is not None:
        content = {_JSON: {"schema": method.body.schema(definitions)}}
        operation["requestBody"] = {"required": method.body_required, "content": content}
    operation["responses"] = _answer(method, definitions)
    security = schemes.requirement(method)
    if security is not None:
        operation["security"] = [*security, {}] if security and method.security.is_optional else security
    if method.metric_costs:
        operation["x-google-quota"] = {"metricCosts": dict(method.metric_costs)}
    return operation | schemes.extensions(method)


def _words(description: str) -> dict[str, str]:
    """A docstring's first line is the summary."""
    summary, _, rest = description.partition("\n")
    words = {"summary": summary, "description": description if rest.strip() else ""}
    return {key: text for key, text in words.items() if text}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    one = dialect(parameter.schema, "3.1")
    derived = {"type": "array", "items": one} if parameter.repeated else one
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "schema": derived if parameter.full is None else dict(parameter.full),
    }
    if parameter.required:
        found["required"] = True
    if parameter.description:
        found["description"] = parameter.description
    return found


def _answer(method: Method, definitions: Definitions) -> dict[str, Any]:
    if method.response is None:
        return {"204": {"description": "Done; there is nothing to say."}}
    answer: dict[str, Any] = {"description": "A successful response"}
    schema = method.response.schema(definitions)
    if method.http_method != "HEAD":
        answer["content"] = {_JSON: {"schema": schema}}
    return {"200": answer}


def _add_errors(operations: Sequence[Mapping[str, Any]], definitions: Definitions) -> None:
    """Every operation may fail; the schema of errors has a name that no message has."""
    number, name = 1, "Error"
    while name in definitions.schemas:
        number += 1
        name = f"Error{number}"
    schema = definitions.ref(name, lambda: dict(_ERROR))
    for operation in operations:
        operation["responses"]["default"] = {"description": "An error", "content": {_JSON: {"schema": schema}}}


def scheme_of(issuer: Issuer, audiences: Sequence[str], scopes: Mapping[str, str]) -> dict[str, Any]:
    """The scheme of an issuer's tokens."""
    auth: dict[str, Any] = {"issuer": issuer.issuer}
    if issuer.jwks_uri:
        auth["jwksUri"] = issuer.jwks_uri
    if audiences:
        auth["audiences"] = list(audiences)
    found = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "x-google-auth": auth}
    return found | ({"x-authz-scopes": True} if scopes else {})


def management(limits: Sequence[LimitDefinition]) -> dict[str, Any]:
    """Metrics, and how much of each a consumer may use."""
    return {
        "metrics": {one.metric_name: {"displayName": one.display_name} for one in limits},
        "quota": {
            "limits": {
                name: {"metric": one.metric_name, "values": one.default_limit, "displayName": one.display_name}
                for name, one in zip(_limit_names(limits), limits, strict=True)
            }
        },
    }


def _limit_names(limits: Sequence[LimitDefinition]) -> Iterator[str]:
    """Limits are named as their metrics, in the few characters that Google allows there."""
    taken: set[str] = set()
    for limit in limits:
        stem = _NOT_IN_LIMITS.sub("-", limit.metric_name)[: _LONGEST_LIMIT - 4].strip("-") or "limit"
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield name
