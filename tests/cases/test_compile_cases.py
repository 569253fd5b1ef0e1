"""Documents and what a compiler must make of them, as data; `cases/compile/*.json` holds the cases.

A case expects an error with a fragment of its message, or fragments of the google.api.Service JSON, named by paths
such as `apis[*].name`, `authentication[A].requirements`, `types[GRequest].fields[0]` or `http.rules contains`.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz.model.service import SourceText
from authz.sources import compile_service, service_json

CASES = [
    case
    for path in sorted((Path(__file__).parent / "compile").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]

# Cases that we answer in another way, each with its reason from DECISIONS.md. None so far.
DEPARTURES: dict[str, str] = {}

PLACEHOLDERS = {"${BACKEND}": "127.0.0.1:9001", "${BACKEND2}": "127.0.0.1:9002", "${JWKS}": "127.0.0.1:9003"}
STEP = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<index>[^\]]*)\]")


def texts_of(case: dict[str, Any]) -> list[SourceText]:
    summary = case["config_summary"]
    files = summary.get("files") or [summary["openapi"]]
    texts = [json.dumps(file, indent=2) for file in files]
    for placeholder, value in PLACEHOLDERS.items():
        texts = [text.replace(placeholder, value) for text in texts]
    return [SourceText(f"openapi{number}.json", text) for number, text in enumerate(texts, 1)]


def names_of(item: Any) -> list[str]:
    """What `[NAME]` may select an entry of a list by."""
    if not isinstance(item, dict):
        return []
    selector = item.get("selector", "")
    return [selector, selector.rpartition(".")[2], *(str(item.get(key, "")) for key in ("name", "id"))]


def resolve(value: Any, path: str) -> Iterator[Any]:
    """The values that a path expression selects."""
    steps = list(STEP.finditer(path))
    values = [value]
    for step in steps:
        name, index = step["name"], step["index"]
        if name is not None:
            values = [item[name] for item in values if isinstance(item, dict) and name in item]
            continue
        # `usage[A]` and `quota[A]` mean the rule for A below `rules`.
        lists = [item.get("rules", []) if isinstance(item, dict) else item for item in values]
        if index == "*":
            values = [item for items in lists for item in items]
        elif index.isdecimal():
            values = [items[int(index)] for items in lists if int(index) < len(items)]
        else:
            values = [item for items in lists for item in items if index in names_of(item)]
    yield from values


def contains(actual: Any, wanted: Any) -> bool:
    """Whether a value holds what is wanted: mappings by key, lists by position, selectors with wildcards."""
    if isinstance(wanted, dict) and isinstance(actual, list):
        # A list of fields, in short: name -> jsonName.
        return {item["name"]: item["jsonName"] for item in actual} == wanted
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(key in actual and contains(actual[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        pairs = zip(actual, wanted, strict=True) if isinstance(actual, list) and len(actual) == len(wanted) else None
        return pairs is not None and all(contains(one, other) for one, other in pairs)
    if isinstance(wanted, str) and isinstance(actual, str):
        return fnmatch.fnmatchcase(actual, wanted) if "*." in wanted else actual == wanted
    return bool(actual == wanted) and type(actual is True) is type(wanted is True)


def in_short(rule: dict[str, Any]) -> str:
    """An http rule as `get /path`."""
    custom = rule.get("custom")
    if custom:
        return f"{custom['kind'].lower()} {custom['path']}"
    return next(f"{verb} {rule[verb]}" for verb in ("get", "put", "post", "delete", "patch") if verb in rule)


def check(service: dict[str, Any], expression: str, wanted: Any) -> None:
    path, _, every = expression.partition(" contains")
    if expression.endswith(" contains"):
        rules = [in_short(rule) for rule in next(resolve(service, path))]
        missing = [rule for rule in wanted if rule not in rules]
        assert not missing, f"{missing} are not among {rules}"
        return
    assert not every
    found = list(resolve(service, path))
    assert any(contains(one, wanted) for one in found), f"{expression} is {found}, not {wanted}"


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_a_document_compiles_as_expected(case: dict[str, Any]) -> None:
    assert case["id"] not in DEPARTURES, "a departure needs an assertion of its own"
    texts = texts_of(case)
    compiled = compile_service(texts)
    expect = case["expect"]
    if expect.get("config_error"):
        assert not compiled.configs
        fragment = expect.get("message_contains", "")
        assert any(fragment in finding.message for finding in compiled.errors), compiled.findings
        return
    assert not compiled.errors
    service = service_json(compiled.configs[0], texts)
    for expression, wanted in expect["service_config_contains"].items():
        check(service, expression, wanted)
