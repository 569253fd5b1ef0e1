"""How a document writes one value: what the formats of OpenAPI 2.0 mean, said in full where 3.1 can."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from authz.frameworks.service import Version

_BOUNDS: Final[Mapping[tuple[str, str], dict[str, Any]]] = {
    ("integer", "int32"): {"minimum": -(2**31), "maximum": 2**31 - 1},
    ("integer", "uint32"): {"minimum": 0, "maximum": 2**32 - 1},
    ("string", "int64"): {"pattern": "^-?[0-9]{1,19}$"},
    ("string", "uint64"): {"pattern": "^[0-9]{1,20}$"},
}
"""A 64-bit integer is a text in JSON, because JavaScript's numbers have 53 bits."""


def dialect(schema: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """A value's schema as a dialect writes it."""
    written = dict(schema)
    if version != "2.0":
        return written | _BOUNDS.get((schema.get("type", ""), schema.get("format", "")), {})
    if schema.get("format") == "byte" and "default" in schema:
        written["default"] = _text(schema["default"])
    return written


def _text(default: str) -> str:
    """The old generator wrote bytes as the text that they are, where they are one."""
    try:
        return base64.b64decode(default, validate=True).decode("ascii")
    except ValueError:
        return default
