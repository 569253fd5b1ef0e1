"""Whatever the bytes, documents end in configs or findings, never in a traceback."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.errors import UsageError
from authz.model.findings import Severity
from authz.model.service import SourceText
from authz.sources import Compiled, compile_service, compile_texts, read_files, service_json
from authz.sources.lint import RULES

CODES = {rule.code for rule in RULES}
SLOW = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

SCHEMES: dict[str, Any] = {
    "api_key": {"type": "apiKey", "name": "key", "in": "query"},
    "jwt": {
        "type": "oauth2",
        "flow": "implicit",
        "authorizationUrl": "",
        "x-google-issuer": "https://issuer.example",
        "x-google-jwks_uri": "https://issuer.example/keys",
        "x-google-audiences": "one, two",
        "x-google-jwt-locations": [{"header": "X-Token", "value_prefix": "Token "}, {"query": "token"}],
        "x-authz-client-ids": ["web"],
    },
}
SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Shop", "version": "1.0.0"},
    "host": "shop.example.com",
    "basePath": "/v1",
    "schemes": ["https", "wss"],
    "x-google-allow": "all",
    "x-google-backend": {"address": "https://backend.example", "deadline": 3, "protocol": "h2"},
    "x-google-endpoints": [{"name": "shop.example.com", "allowCors": True, "target": "10.0.0.1"}],
    "x-google-management": {
        "metrics": [{"name": "reads", "valueType": "INT64", "metricKind": "DELTA"}],
        "quota": {
            "limits": [{"name": "per-minute", "metric": "reads", "unit": "1/min/{project}", "values": {"STANDARD": 5}}]
        },
    },
    "securityDefinitions": SCHEMES,
    "security": [{"api_key": []}],
    "parameters": {"Id": {"name": "itemId", "in": "path", "type": "string", "required": True}},
    "paths": {
        "/items/{itemId}": {
            "parameters": [{"$ref": "#/parameters/Id"}],
            "get": {
                "operationId": "getItem",
                "security": [{"jwt": ["read"]}, {"api_key": []}],
                "x-google-quota": {"metricCosts": {"reads": 2}},
                "x-google-backend": {"address": "http://other.example/x", "disable_auth": True},
                "schemes": ["ws"],
                "x-authz-optional": False,
                "x-authz-stream-timeout": "30s",
            },
            "post": {"operationId": "putItem", "parameters": [{"name": "item", "in": "body"}], "x-security": []},
        }
    },
}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1.0.0"},
    "servers": [{"url": "https://shop.example.com/v1", "x-google-endpoint": {"allowCors": True}}],
    "x-google-api-management": {
        "metrics": {"reads": {"displayName": "Reads"}},
        "quota": {"limits": {"per-minute": {"metric": "reads", "values": 5}}},
        "backends": {"main": {"address": "https://backend.example", "pathTranslation": "CONSTANT_ADDRESS"}},
        "apiName": "shop",
    },
    "x-google-backend": "main",
    "components": {
        "securitySchemes": {
            "jwt": {
                "type": "openIdConnect",
                "openIdConnectUrl": "https://issuer.example/.well-known/openid-configuration",
                "x-google-auth": {
                    "issuer": "https://issuer.example",
                    "audiences": ["a"],
                    "jwtLocations": [{"cookie": "t"}],
                },
            },
        }
    },
    "paths": {
        "/files/{name}": {
            "get": {
                "operationId": "getFile",
                "security": [{"jwt": []}, {}],
                "parameters": [{"name": "name", "in": "path", "x-google-parameter": {"pattern": "**"}}],
                "x-google-quota": {"metricCosts": {"reads": 1}},
            },
            "put": {"operationId": "putFile", "requestBody": {"content": {}}, "servers": [{"url": "wss://x.example"}]},
        }
    },
}


def compiled(*texts: str) -> Compiled:
    sources = [SourceText(f"{number}.yaml", text) for number, text in enumerate(texts)]
    result = compile_texts(sources, service="fallback.example.com")
    for finding in result.findings:
        assert finding.code in CODES
        assert finding.message
        assert 0 <= finding.line <= max(text.count("\n") for text in texts) + 2
    assert bool(result.errors) or all(service_json(config, sources) for config in result.configs)
    assert not (result.errors and result.configs)
    compile_service(sources)
    return result


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found += places(child, (*path, key))
    return found


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    target: Any = result
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return result


@pytest.mark.parametrize("document", [SWAGGER, OPENAPI], ids=["2.0", "3.1"])
def test_the_untouched_documents_compile(document: dict[str, Any]) -> None:
    assert not compiled(json.dumps(document)).errors
    assert not compiled(yaml.safe_dump(document)).errors


@SLOW
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(raw)
    try:
        texts = read_files([path])
    except UsageError:
        return
    assert compile_texts(texts, service="fallback.example.com").errors


@SLOW
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    compiled(text)


SYNTAX = st.text(alphabet="{}[]:,-#&*!|>'\"%@`?\\ \n\tab<=0~", max_size=80)


@SLOW
@given(SYNTAX)
def test_any_punctuation(text: str) -> None:
    compiled(text)
    compiled('swagger: "2.0"\npaths:\n  /a:\n    get: ' + text)


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["", "**", "/", "${X}", "http://[", "https://a:b", "-1", "1e400", "#/paths", "#/x/y", "#", "x" * 5000]
    ),
    st.text(max_size=8),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(), st.just({"": None}))),
    st.dictionaries(st.sampled_from(["", "$ref", "x-google-backend", "get", "name", "in"]), st.text(max_size=5)),
)
PLACES = [
    pytest.param(document, path, id="/".join(map(str, path)))
    for document in (SWAGGER, OPENAPI)
    for path in places(document)
]


@SLOW
@given(data=st.data(), value=WRONG, as_yaml=st.booleans())
def test_any_value_anywhere(data: st.DataObject, value: Any, *, as_yaml: bool) -> None:
    document, path = data.draw(st.sampled_from([parameter.values for parameter in PLACES]))
    mutant = changed(document, path, value)
    compiled(yaml.safe_dump(mutant) if as_yaml else json.dumps(mutant))


@pytest.mark.parametrize(("document", "path"), PLACES)
@pytest.mark.parametrize("value", [None, 7.5, [[]], {"": {}}], ids=["null", "number", "list", "mapping"])
def test_each_value_replaced(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    compiled(json.dumps(changed(document, path, value)))


@pytest.mark.parametrize(("document", "path"), PLACES)
def test_each_part_removed(document: dict[str, Any], path: tuple[Any, ...]) -> None:
    mutant = copy.deepcopy(document)
    target: Any = mutant
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    compiled(yaml.safe_dump(mutant))


EXTENSION_VALUES = [
    pytest.param(document, path, id="/".join(map(str, path)))
    for document in (SWAGGER, OPENAPI)
    for path in places(document)
    if any(isinstance(key, str) and key.startswith("x-") for key in path)
]


@pytest.mark.parametrize(("document", "path"), EXTENSION_VALUES)
def test_a_wrong_type_in_an_extension_is_an_error(document: dict[str, Any], path: tuple[Any, ...]) -> None:
    original: Any = document
    for key in path:
        original = original[key]
    wrong = "text" if isinstance(original, (dict, list, bool, int)) else [{"a": 1}]
    findings = compiled(json.dumps(changed(document, path, wrong), indent=1)).findings
    assert any(finding.severity is Severity.ERROR and finding.line > 1 for finding in findings)
