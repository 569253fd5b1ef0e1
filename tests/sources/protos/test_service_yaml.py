"""google.api.Service YAML: both spellings mean the same, and whatever stands in it, there are configs or findings."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.model.service import SourceText
from authz.sources import compile_service, compile_texts, service_json

FULL: dict[str, Any] = {
    "type": "google.api.Service",
    "config_version": 3,
    "name": "shop.example.com",
    "title": "Shop",
    "producer_project_id": "shop",
    "apis": [{"name": "shop.v1.Bookstore", "version": "v1"}],
    "http": {
        "fully_decode_reserved_expansion": True,
        "rules": [
            {
                "selector": "shop.v1.Bookstore.Cover",
                "get": "/v1/shelves/{shelf}/cover",
                "response_body": "image",
                "additional_bindings": [{"custom": {"kind": "head", "path": "/v1/cover"}, "response_body": "image"}],
            }
        ],
    },
    "authentication": {
        "providers": [
            {
                "id": "us",
                "issuer": "https://us.example.com",
                "jwks_uri": "https://us.example.com/keys",
                "audiences": "a, b",
                "authorization_url": "https://us.example.com/login",
                "jwt_locations": [{"header": "X-Token", "value_prefix": "T "}],
            }
        ],
        "rules": [
            {
                "selector": "*",
                "requirements": [{"provider_id": "us", "audiences": "c"}],
                "allow_without_credential": True,
            }
        ],
    },
    "usage": {
        "rules": [
            {"selector": "*", "allow_unregistered_calls": True},
            {"selector": "shop.v1.Bookstore.Chat", "skip_service_control": True},
        ]
    },
    "metrics": [{"name": "reads", "display_name": "Reads", "value_type": "INT64", "metric_kind": "DELTA"}],
    "quota": {
        "limits": [
            {
                "name": "reads-per-minute",
                "metric": "reads",
                "unit": "1/min/{project}",
                "values": {"STANDARD": 5},
                "display_name": "Reads",
            }
        ],
        "metric_rules": [{"selector": "*", "metric_costs": {"reads": 1}}],
    },
    "backend": {
        "rules": [
            {"selector": "*", "address": "grpcs://shop.example.com", "jwt_audience": "me", "deadline": 3},
            {"selector": "shop.v1.Bookstore.Chat", "address": "grpc://127.0.0.1:8000", "disable_auth": True},
        ]
    },
    "endpoints": [{"name": "shop.example.com", "target": "192.0.2.1", "allow_cors": True}],
    "system_parameters": {
        "rules": [
            {
                "selector": "*",
                "parameters": [{"name": "api_key", "http_header": "X-Key", "url_query_parameter": "k"}],
            }
        ]
    },
}


def camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {_camel(key): camel(child) for key, child in value.items()}
    return [camel(child) for child in value] if isinstance(value, list) else value


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, child in items for place in places(child, (*path, key)))]


def test_both_spellings_mean_the_same(bookstore):
    found = [
        compile_texts([bookstore, SourceText("api", yaml.safe_dump(document, sort_keys=False))])
        for document in (FULL, camel(FULL))
    ]

    assert {one.code for one in found[0].findings} == {"api-unlisted"}
    assert found[0].configs == found[1].configs
    assert found[0].configs[0].allow_cors
    assert found[0].configs[0].fully_decode_reserved


def test_json_is_yaml_too(bookstore):
    texts = [SourceText("api", text) for text in (json.dumps(FULL), yaml.safe_dump(FULL))]
    one, other = (compile_texts([bookstore, text]).configs[0] for text in texts)

    assert service_json(one) == service_json(other)


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "*", "**", "/", "${X}", "http://[", "grpc://a:b", "-1", "x" * 5000, "shop.v1.Bookstore.Get"]),
    st.text(max_size=8),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.just({"": None}))),
    st.dictionaries(st.sampled_from(["", "get", "name", "rules", "selector"]), st.text(max_size=5)),
)


def checked(bookstore: SourceText, document: Any) -> None:
    text = SourceText("api", json.dumps(document, indent=1))
    for compiled in (compile_texts([bookstore, text]), compile_service([text, bookstore], service="b.example.com")):
        assert bool(compiled.configs) is not bool(compiled.errors)
        assert all(one.message and 0 <= one.line <= text.text.count("\n") + 1 for one in compiled.findings)
        assert all(service_json(config, [text]) for config in compiled.configs)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(path=st.sampled_from(places(FULL)), value=WRONG)
def test_any_value_anywhere(bookstore, path, value):
    document = copy.deepcopy(FULL)
    target: Any = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value

    checked(bookstore, document)


@pytest.mark.parametrize("path", places(FULL), ids=lambda path: "/".join(map(str, path)))
def test_each_part_removed_or_of_the_wrong_kind(path, bookstore):
    for value in (None, 7.5, [[]], {"": {}}):
        document = copy.deepcopy(FULL)
        target: Any = document
        for key in path[:-1]:
            target = target[key]
        if value is None:
            del target[path[-1]]
        else:
            target[path[-1]] = value

        checked(bookstore, document)
