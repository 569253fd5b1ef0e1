"""Google's discovery document, for clients that were generated from one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from authz.frameworks.document.definitions import Definitions
from authz.frameworks.document.values import dialect
from authz.frameworks.document.version2 import scheme
from authz.frameworks.service import Api, Method, Parameter
from authz.frameworks.types import EMAIL_SCOPE, Namespace

_ICONS: Final = {
    f"x{size}": f"https://www.gstatic.com/images/branding/product/1x/googleg_{size}dp.png" for size in (16, 32)
}
_COMMON: Final = {
    "alt": {
        "type": "string",
        "description": "The form of the answer.",
        "default": "json",
        "enum": ["json"],
        "enumDescriptions": ["JSON, as application/json"],
        "location": "query",
    },
    "fields": {"type": "string", "description": "Which fields to answer with.", "location": "query"},
    "key": {"type": "string", "description": "The API key of the calling project.", "location": "query"},
    "oauth_token": {"type": "string", "description": "The OAuth 2.0 token of the user.", "location": "query"},
    "prettyPrint": {
        "type": "boolean",
        "description": "Whether the answer has line breaks and indents.",
        "default": "true",
        "location": "query",
    },
    "quotaUser": {"type": "string", "description": "Whose quota a server counts on.", "location": "query"},
    "userIp": {
        "type": "string",
        "description": "The address of the user whom a server calls for.",
        "location": "query",
    },
}


def write(api: Api, host: str | None) -> dict[str, Any]:
    """The document of an API."""
    definitions = Definitions("2.0", prefix="")
    base = f"{api.base_path.rstrip('/')}/"
    service = f"{api.name}/{api.path_version}/"
    root = f"{scheme(host)}://{host or 'localhost'}{base}"
    found: dict[str, Any] = {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": f"{api.name}:{api.path_version}",
        "name": api.name,
        "version": api.version,
        "description": api.description or "This is an API",
        "icons": _ICONS,
        "protocol": "rest",
        "rootUrl": root,
        "servicePath": service,
        "baseUrl": root + service,
        "basePath": base + service,
        "batchPath": "batch",
        "parameters": _COMMON,
    }
    if api.scopes:
        found["auth"] = {"oauth2": {"scopes": {one.scope: {"description": one.description} for one in api.scopes}}}
    for method in api.methods:
        _place(found, method.id.split(".")[1:], _method(method, api, definitions))
    if definitions.schemas:
        found["schemas"] = _schemas(definitions)
    return found | _owner(api.namespace) | _words(api)


def _words(api: Api) -> dict[str, str]:
    said = {"title": api.title, "documentationLink": api.documentation, "canonicalName": api.canonical_name}
    return {key: text for key, text in said.items() if text}


def _owner(namespace: Namespace | None) -> dict[str, str]:
    if namespace is None:
        return {}
    said = {
        "ownerDomain": namespace.owner_domain,
        "ownerName": namespace.owner_name,
        "packagePath": namespace.package_path,
    }
    return {key: text for key, text in said.items() if text}


def _place(found: dict[str, Any], parts: Sequence[str], method: Mapping[str, Any]) -> None:
    """`list` among the methods; `greetings.list` among the methods of the resource greetings."""
    for part in parts[:-1]:
        found = found.setdefault("resources", {}).setdefault(part, {})
    found.setdefault("methods", {})[parts[-1]] = method


def _method(method: Method, api: Api, definitions: Definitions) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": method.id,
        "path": method.path.removeprefix(f"/{api.name}/{api.path_version}/"),
        "httpMethod": method.http_method,
        "scopes": list(method.security.scopes) if method.security.scopes else [EMAIL_SCOPE],
    }
    if method.description:
        found["description"] = method.description
    if method.parameters:
        found["parameters"] = {parameter.name: _parameter(parameter) for parameter in method.parameters}
    if order := _order(method.parameters):
        found["parameterOrder"] = order
    if method.body is not None:
        found["request"] = {**method.body.schema(definitions), "parameterName": "resource"}
    if method.response is not None:
        found["response"] = method.response.schema(definitions)
    return found


def _order(parameters: Sequence[Parameter]) -> list[str]:
    """Those of the path as they come, then what the query must have."""
    return [one.name for one in parameters if one.where == "path"] + sorted(
        one.name for one in parameters if one.where == "query" and one.required
    )


def _parameter(parameter: Parameter) -> dict[str, Any]:
    found = {**_value(dialect(parameter.schema, "2.0")), "location": parameter.where}
    flags = {"required": parameter.required, "repeated": parameter.repeated}
    found |= {name: True for name, flag in flags.items() if flag}
    return found | ({"description": parameter.description} if parameter.description else {})


def _value(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A value's schema: defaults are texts here, and every enum has descriptions."""
    found = dict(schema)
    if "default" in found:
        default = found["default"]
        found["default"] = str(default).lower() if isinstance(default, bool) else str(default)
    if "enum" in found:
        found["enumDescriptions"] = [""] * len(found["enum"])
    if "items" in found:
        found["items"] = _value(found["items"])
    return found


def _schemas(definitions: Definitions) -> dict[str, Any]:
    found = {}
    for name, schema in definitions.schemas.items():
        shape = definitions.shapes[name]
        text = inspect.cleandoc(shape.__doc__ or "") if isinstance(shape, type) else ""
        found[name] = {
            "id": name,
            "type": schema.get("type", "object"),
            **({"description": text} if text else {}),
            "properties": {key: _value(one) for key, one in _properties(schema)},
        }
    return found


def _properties(schema: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties.items()
