"""What a written document says that a request may hold, Envoy takes: every query parameter, by its name there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from authz.model.service import SourceText
from authz.sources import compile_service
from authz.sources.protos.packed import pack
from authz.sources.write import as_yaml, openapi
from harness.grpc_library import descriptors
from harness.grpc_stage import HOST, a_stage, live

YAML = f"""\
type: google.api.Service
name: {HOST}
apis: [{{name: library.v1.Library}}]
http:
  rules:
  - {{selector: library.v1.Library.Echo, get: /v1/echo}}
usage:
  rules:
  - {{selector: "*", allow_unregistered_calls: true}}
"""
VALUES = {
    ("string", ""): "a b",
    ("string", "byte"): "YWI=",
    ("string", "int64"): "-7",
    ("string", "uint64"): "7",
    ("string", "date-time"): "2026-01-01T00:00:00Z",
    ("integer", "int32"): "-7",
    ("integer", "int64"): "7",
    ("number", "double"): "1.5",
    ("number", "float"): "1.5",
    ("boolean", ""): "true",
}


async def test_envoy_takes_every_parameter_of_the_document(tmp_path: Path) -> None:
    texts = [SourceText("library.pb", pack(descriptors())), SourceText("library.yaml", YAML)]
    (config,) = compile_service(texts).configs
    document = openapi(config, texts).document
    (deployed,) = compile_service([texts[0], SourceText("written.yaml", as_yaml(document))]).configs
    parameters = document["paths"]["/v1/echo"]["get"]["parameters"]
    echoed, sent = {}, {}

    async with a_stage(tmp_path, live(deployed)) as stage:
        for parameter in parameters:
            name = parameter["name"]
            sent[name] = _value(parameter["schema"])
            answer = await stage.rest(f"GET /v1/echo?{name}={quote(sent[name])}")
            echoed[name] = _found(json.loads(answer.body), name)

    assert len(parameters) > 20
    assert {name: _text(value) for name, value in echoed.items()} == sent


def _value(schema: dict[str, Any]) -> str:
    """A value of a parameter, as text."""
    one = schema.get("items", schema)
    return str(one["enum"][-1]) if "enum" in one else VALUES[one["type"], one.get("format", "")]


def _found(answer: Any, name: str) -> Any:
    for part in name.split("."):
        answer = answer.get(part, {})
    return answer[0] if isinstance(answer, list) else answer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
