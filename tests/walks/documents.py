"""OpenAPI documents for walks: short to write, JSON to deploy."""

from __future__ import annotations

import json
from typing import Any

KEY = {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}


def document(host: str, paths: dict[str, Any], **root: Any) -> str:
    """An OpenAPI 2.0 document. `paths` holds what `{path: {method: …}}` holds, without what each must have."""
    return json.dumps(
        {
            "swagger": "2.0",
            "info": {"title": host, "version": "1.0.0"},
            "host": host,
            "schemes": ["http"],
            "securityDefinitions": root.pop("schemes", KEY),
            "paths": {path: _item(path, item) for path, item in paths.items()},
            **{name.replace("_", "-"): value for name, value in root.items()},
        }
    )


def _item(path: str, item: dict[str, Any]) -> dict[str, Any]:
    variables = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "type": "string"} for name in variables]
    whole = {
        method: {"operationId": f"{method}{''.join(c for c in path if c.isalnum())}", "responses": OK, **operation}
        for method, operation in item.items()
    }
    return {**({"parameters": parameters} if parameters else {}), **whole}


OK = {"200": {"description": "Fine."}}
OPEN: dict[str, Any] = {"security": []}
GUARDED: dict[str, Any] = {"security": [{"key": []}]}


def jwt_scheme(issuer: str, jwks_uri: str = "", **more: Any) -> dict[str, Any]:
    """A security definition for tokens of an issuer."""
    scheme = {
        "type": "oauth2", "flow": "implicit", "authorizationUrl": "", "x-google-issuer": issuer,
        **({"x-google-jwks_uri": jwks_uri} if jwks_uri else {}),
    }  # fmt: skip
    return {**scheme, **more}


def document3(host: str, paths: dict[str, Any], **root: Any) -> str:
    """An OpenAPI 3.0 document; `limits` by name: metric, unit (`min`, `d`), value. 2.0 knows minutes only."""
    limits: dict[str, tuple[str, str, int]] = root.pop("limits", {})
    return json.dumps(
        {
            "openapi": "3.0.3",
            "info": {"title": host, "version": "1.0.0"},
            "servers": [{"url": f"http://{host}", "x-google-endpoint": {}}],
            "components": {"securitySchemes": root.pop("schemes", KEY)},
            "x-google-api-management": {
                "metrics": {metric: {} for metric, _, _ in limits.values()},
                "quota": {
                    "limits": {
                        name: {"metric": metric, "unit": f"1/{unit}/{{project}}", "values": value}
                        for name, (metric, unit, value) in limits.items()
                    }
                },
                **root.pop("management", {}),
            },
            "paths": {path: _item(path, item) for path, item in paths.items()},
            **{name.replace("_", "-"): value for name, value in root.items()},
        }
    )
