"""Whatever a document that names RPCs holds, it ends in configs or findings, never in a traceback."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.model.service import SourceText
from authz.sources import compile_texts, service_json
from authz.sources.lint import RULES

CODES = {rule.code for rule in RULES}
ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "int64"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "color": {"type": "string", "enum": ["RED"]},
        "parent": {"$ref": "#/components/schemas/Item"},
    },
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1.0.0"},
    "servers": [{"url": "https://shop.example.com/v1"}, {"url": "wss://shop.example.com/v1"}],
    "x-google-api-management": {"backends": {"grpc": {"address": "grpc://items.example.com", "disable_auth": True}}},
    "x-google-backend": "grpc",
    "components": {"schemas": {"Item": {"allOf": [ITEM]}}},
    "paths": {
        "/items/{itemId}": {
            "parameters": [{"name": "itemId", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "operationId": "getItem",
                "x-authz-grpc": "shop.v1.Items/Get",
                "parameters": [{"name": "tags", "in": "query", "schema": {"type": "array", "items": {}}}],
                "responses": {"200": {"content": {"application/json": {"schema": ITEM}}}},
            },
            "put": {"operationId": "Annotated"},
        },
        "/items": {
            "post": {
                "operationId": "addItem",
                "x-authz-grpc": {"method": "shop.v1.Items/Add", "body": "item"},
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}},
                "x-authz-stream-timeout": 20,
                "consumes": ["application/json"],
            },
        },
        "/shop.v1.Items/Upload": {"post": {"operationId": "up"}},
    },
}

SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Shop", "version": "1.0.0"},
    "host": "shop.example.com",
    "schemes": ["https", "wss"],
    "consumes": ["application/json"],
    "x-google-backend": {"address": "http://items.example.com", "path_translation": "APPEND_PATH_TO_ADDRESS"},
    "definitions": {"Item": {**ITEM, "properties": {**ITEM["properties"], "parent": {"$ref": "#/definitions/Item"}}}},
    "paths": {
        "/items/{itemId}": {
            "parameters": [{"name": "itemId", "in": "path", "required": True, "type": "string"}],
            "get": {
                "operationId": "getItem",
                "x-authz-grpc": "shop.v1.Items/Get",
                "parameters": [{"name": "tags", "in": "query", "type": "array", "items": {"type": "string"}}],
                "responses": {"200": {"schema": {"$ref": "#/definitions/Item"}}},
            },
        },
        "/shelves/{shelf}": {
            "post": {
                "operationId": "addItem",
                "x-authz-grpc": "shop.v1.Items/Add",
                "consumes": ["application/json"],
                "parameters": [{"name": "item", "in": "body", "schema": {"properties": {"tags": {"items": {}}}}}],
            },
        },
    },
}
DOCUMENTS = (DOCUMENT, SWAGGER)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found += places(child, (*path, key))
    return found


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> str:
    result = copy.deepcopy(document)
    target: Any = result
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return json.dumps(result, indent=1) if len(path) % 2 else yaml.safe_dump(result)


def check(proto: SourceText, text: str) -> None:
    texts = [SourceText("a.yaml", text), proto]
    result = compile_texts(texts, service="fallback.example.com")
    assert all(one.code in CODES and one.message and one.line >= 0 for one in result.findings)
    assert bool(result.errors) is not bool(result.configs)
    assert all(service_json(config, texts) for config in result.configs)


@pytest.mark.parametrize("document", DOCUMENTS, ids=["3.1", "2.0"])
def test_the_untouched_documents_compile(document: dict[str, Any], proto: SourceText) -> None:
    (config,) = compile_texts([SourceText("a.json", json.dumps(document)), proto]).configs

    assert {one.selector for one in config.operations} >= {"shop.v1.Items.Get", "shop.v1.Items.Add"}
    assert all(one.rpc for one in config.operations)


PLACES = [
    pytest.param(document, path, id="/".join(map(str, path))) for document in DOCUMENTS for path in places(document)
]
SIMPLE = [None, True, 7.5, "", "text", [], [[]], {}, {"": {}}]


@pytest.mark.parametrize(("document", "path"), PLACES)
def test_each_value_replaced(document: dict[str, Any], path: tuple[Any, ...], proto: SourceText) -> None:
    for value in SIMPLE:
        check(proto, changed(document, path, value))


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from(["string", "array", "object", "*", "item", "shop.v1.Items/List", "#/components/schemas/Item"]),
        st.text(max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["$ref", "allOf", "type", "properties", "items", "enum", "id", "method", "body", "schema", "in", "name"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(number=st.integers(0, len(PLACES) - 1), value=ANYTHING)
def test_any_value_anywhere(number: int, value: Any, proto: SourceText) -> None:
    document, path = PLACES[number].values
    check(proto, changed(document, path, value))
