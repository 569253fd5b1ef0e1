"""OpenAPI 2.0, as the old generator wrote it; gateways and client generators were fed with these documents."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from authz.frameworks.document.definitions import Definitions
from authz.frameworks.document.security import Schemes
from authz.frameworks.document.values import dialect
from authz.frameworks.service import Api, Method, Parameter
from authz.frameworks.types import Issuer, LimitDefinition


def write(api: Api, host: str | None) -> dict[str, Any]:
    """The document of an API."""
    definitions, schemes = Definitions("2.0"), Schemes(api, _scheme)
    paths: dict[str, dict[str, Any]] = {}
    for method in api.methods:
        paths.setdefault(method.path, {})[method.http_method.lower()] = _operation(method, definitions, schemes)
    found: dict[str, Any] = {
        "swagger": "2.0",
        "info": {"title": api.name, "version": api.version},
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "schemes": [scheme(host)],
        "basePath": api.base_path,
        "securityDefinitions": schemes.bases() | schemes.used(),
    }
    if api.description:
        found["info"]["description"] = api.description
    optional = {
        "x-authz-escaped-slashes": "keep" if any(method.escaped_slashes for method in api.methods) else "",
        "host": host,
        "paths": paths,
        "definitions": definitions.schemas,
        "x-google-management": _management(api.limits),
    }
    return found | {key: value for key, value in optional.items() if value}


def scheme(host: str | None) -> str:
    """`http` for a server on the own machine, App Engine's development server among them; else https."""
    is_local = (host or "").startswith("localhost") or os.environ.get("SERVER_SOFTWARE", "").startswith("Development/")
    return "http" if is_local else "https"


def _operation(method: Method, definitions: Definitions, schemes: Schemes) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "A successful response"}
    if method.response is not None:
        answer["schema"] = method.response.schema(definitions)
    operation: dict[str, Any] = {
        "operationId": method.operation_id,
        "parameters": _parameters(method, definitions),
        "responses": {"200": answer},
    }
    security = schemes.requirement(method)
    if security is not None:
        operation["security"] = security
    if method.metric_costs:
        operation["x-google-quota"] = {"metricCosts": dict(method.metric_costs)}
    return operation | schemes.extensions(method)


def _parameters(method: Method, definitions: Definitions) -> list[dict[str, Any]]:
    found = [_parameter(parameter) for parameter in method.parameters]
    if method.body is None:
        return found
    schema = method.body.schema(definitions)
    body = {"name": "body", "in": "body", "required": method.body_required, "schema": schema}
    return [body, *found] if method.body_first else [*found, body]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": parameter.name, "in": parameter.where}
    one = dialect(parameter.schema, "2.0")
    if not parameter.repeated:
        found |= one
    elif parameter.where == "query":
        found |= {"type": "array", "collectionFormat": "multi", "items": one}
    else:
        found |= {"type": "array", "items": one}
    if parameter.required:
        found["required"] = True
    if parameter.description:
        found["description"] = parameter.description
    return found


def _scheme(issuer: Issuer, audiences: Sequence[str], scopes: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "oauth2",
        "flow": "implicit",
        "authorizationUrl": "",
        "x-google-issuer": issuer.issuer,
    }
    if issuer.jwks_uri:
        found["x-google-jwks_uri"] = issuer.jwks_uri
    if audiences:
        found["x-google-audiences"] = ",".join(audiences)
    return found | ({"scopes": dict(scopes), "x-authz-scopes": True} if scopes else {})


def _management(limits: Sequence[LimitDefinition]) -> dict[str, Any]:
    if not limits:
        return {}
    return {
        "metrics": [{"name": one.metric_name, "valueType": "INT64", "metricKind": "GAUGE"} for one in limits],
        "quota": {"limits": [_limit(one) for one in limits]},
    }


def _limit(limit: LimitDefinition) -> dict[str, Any]:
    return {
        "name": limit.metric_name,
        "metric": limit.metric_name,
        "unit": "1/min/{project}",
        "values": {"STANDARD": limit.default_limit},
        "displayName": limit.display_name,
    }
