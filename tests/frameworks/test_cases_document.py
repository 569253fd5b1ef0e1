"""Documents as the old generator wrote them, one by one: `data/documents.json` holds what it was given and wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from authz.frameworks import document, exceptions
from authz.frameworks.declare import apis
from authz.model.service import SourceText
from authz.sources.compile import compile_texts
from frameworks_cases import services

CASES = json.loads((Path(__file__).parent / "data" / "documents.json").read_text())
BY_ID = {case["id"]: case for case in CASES}


def replaced(id_: str, *changes: tuple[str, Any]) -> dict[str, Any]:
    """The document of a case with other values at `/`-separated places; None removes one."""
    found: dict[str, Any] = json.loads(json.dumps(BY_ID[id_]["expected_openapi"]))
    for place, value in changes:
        *parents, last = place.split("|")
        holder: Any = found
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        if value is None:
            del holder[last]
        else:
            holder[int(last) if isinstance(holder, list) else last] = value
    return found


def query(name: str, **said: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", **said}


def array(name: str, **items: Any) -> dict[str, Any]:
    return query(name, type="array", collectionFormat="multi", items=items)


LIST_OF_FLAGS = {"in": "path", "name": "two.three", "required": True, "type": "array", "items": {"type": "boolean"}}
FOUR = {"name": "two.four", "in": "path", "required": True, "type": "number", "format": "double"}
FIVE = {"type": "string", "format": "int64", "default": "42"}
DEFAULTS = {
    "i0": {"type": "string", "format": "int64", "default": "0"},
    "i1": {"type": "string", "format": "int64", "default": "7"},
    "b0": {"type": "boolean", "default": False},
    "s0": {"type": "string", "default": ""},
}
NO_GET_BODY = [query("message", type="string")]

INSTEAD: dict[str, dict[str, Any]] = {
    # The old document is wrong; this is the right one.
    "nested-path-parameters": replaced(
        "nested-path-parameters",
        ("definitions|ApiConfigTestOtherRefClass|properties|five", FIVE),
        (
            "paths|/root/v1/a/{two.three}/{two.four}|get|parameters",
            [
                query("one", type="string"),
                LIST_OF_FLAGS,
                FOUR,
                query("two.five", **FIVE),
                array("not_two.three", type="boolean"),
                query("not_two.four", type="number", format="double", required=True),
                query("not_two.five", **FIVE),
            ],
        ),
        (
            "paths|/root/v1/b/container/{two.three}/{one}|put|parameters",
            [
                {
                    "in": "body",
                    "name": "body",
                    "required": True,
                    "schema": {"$ref": "#/definitions/ApiConfigTestRefClassForContainer"},
                },
                {"in": "path", "name": "one", "required": True, "type": "string"},
                LIST_OF_FLAGS,
                query("two.four", type="number", format="double"),
                query("two.five", **FIVE),
            ],
        ),
        ("paths|/root/v1/b/{two.three}/{one}|put|parameters|1", LIST_OF_FLAGS),
    ),
    "edge-falsy-defaults": replaced(
        "edge-falsy-defaults",
        *((f"definitions|PDefs|properties|{name}", schema) for name, schema in DEFAULTS.items()),
        *(
            (f"paths|/root/v1/q|get|parameters|{index}", query(name, **DEFAULTS[name]))
            for index, name in ((0, "i0"), (1, "i1"), (2, "b0"), (4, "s0"))
        ),
    ),
    "edge-repeated-query-types": replaced(
        "edge-repeated-query-types",
        (
            "paths|/root/v1/q|get|parameters",
            [
                array("ids", type="integer", format="int32"),
                array("longs", type="string", format="int64"),
                array("es", type="string", enum=["VAL1", "VAL2"]),
                array("bs", type="boolean"),
                array("by", type="string", format="byte"),
            ],
        ),
    ),
    "edge-message-field-in-query-container": replaced(
        "edge-message-field-in-query-container",
        (
            "paths|/root/v1/q|get|parameters",
            [
                query("n.int_value", type="string", format="int64"),
                query("n.string_value", type="string"),
                query("at", type="string", format="date-time"),
                query("s", type="string"),
            ],
        ),
    ),
    "edge-lowercase-get": replaced(
        "edge-lowercase-get", ("definitions", None), ("paths|/root/v1/q|get|parameters", NO_GET_BODY)
    ),
    "edge-base-path-empty": replaced("edge-base-path-empty", ("basePath", "/")),
    "edge-get-recursive-query-error": {
        **{key: value for key, value in BY_ID["edge-base-path-empty"]["expected_openapi"].items() if key != "paths"},
        "basePath": "/_ah/api",
        "paths": {
            "/root/v1/q": {
                "get": {
                    "operationId": "MyService_q",
                    "parameters": [query("d", type="string"), query("r.d", type="string")],
                    "responses": {"200": {"description": "A successful response"}},
                }
            }
        },
    },
    "edge-class-level-audiences-dict-error": {
        **BY_ID["edge-base-path-empty"]["expected_openapi"],
        "basePath": "/_ah/api",
        "paths": {
            "/root/v1/a": {
                "post": {
                    "operationId": "Service1_a",
                    "parameters": [],
                    "responses": {"200": {"description": "A successful response"}},
                    "security": [{"auth0-9dd4e461": []}],
                }
            },
            "/root/v1/b": {
                "post": {
                    "operationId": "Service2_b",
                    "parameters": [],
                    "responses": {"200": {"description": "A successful response"}},
                }
            },
        },
        "securityDefinitions": {
            name: {
                "type": "oauth2",
                "flow": "implicit",
                "authorizationUrl": "",
                "x-google-issuer": "https://test.auth0.com/authorize",
                "x-google-jwks_uri": "https://test.auth0.com/.wellknown/jwks.json",
                **audiences,
            }
            for name, audiences in (("auth0", {}), ("auth0-9dd4e461", {"x-google-audiences": "x"}))
        },
    },
}

REFUSED: dict[str, tuple[type[Exception], str]] = {
    # The old generator wrote a document that no code can mean; this is what is said now.
    "edge-repeated-path-param": (exceptions.ApiConfigurationError, "'ids' is a repeated field"),
    "edge-same-path-different-case-verb": (exceptions.ApiConfigurationError, "GET /_ah/api/root/v1/x both"),
    "edge-security-key-name-collision": (exceptions.ApiConfigurationError, "'api_key'"),
    "edge-limit-none-and-long-display": (TypeError, "default_limit"),
    "edge-odd-api-name": (exceptions.ApiConfigurationError, "'Foo Bar!'"),
    "type-error-method-api-key-string": (TypeError, "api_key_required"),
}


def written(case: Mapping[str, Any]) -> dict[str, Any]:
    options = case.get("options", {})
    found = apis(services(case["service_description"]))
    assert len(found) == 1
    return document.openapi(
        found[0], hostname=options.get("hostname"), api_name=options.get("x_google_api_name", False)
    )


def compared(found: Mapping[str, Any]) -> dict[str, Any]:
    """Alternatives of a security requirement have no order; a host that nobody named is left out."""
    sorted_: dict[str, Any] = json.loads(json.dumps(found))
    for path in sorted_.get("paths", {}).values():
        for operation in path.values():
            operation.get("security", []).sort(key=json.dumps)
    if sorted_.get("host") is None:
        sorted_.pop("host", None)
    return sorted_


def test_every_defect_is_decided() -> None:
    """A case whose old document is a defect says here what is right; no other case differs."""
    defects = {case["id"] for case in CASES if case.get("peer_defect")}
    assert defects == INSTEAD.keys() | REFUSED.keys()


@pytest.mark.parametrize("id_", [case["id"] for case in CASES if case["id"] not in REFUSED])
def test_document(id_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document is the old one, or the right one; or the old error is raised where it was."""
    case = BY_ID[id_]
    if case.get("options", {}).get("devserver"):
        monkeypatch.setenv("SERVER_SOFTWARE", "Development/2.0.0")
    if "expected_error" not in case or id_ in INSTEAD:
        assert compared(written(case)) == compared(INSTEAD.get(id_, case.get("expected_openapi", {})))
        return
    wanted = case["expected_error"]
    if wanted["raised_at"] == "generation":
        services(case["service_description"])
    with pytest.raises(Exception) as caught:
        written(case)
    assert type(caught.value).__name__ == wanted["type"]
    assert all(text in str(caught.value) for text in wanted["message_mentions"])


@pytest.mark.parametrize("id_", REFUSED)
def test_what_is_refused_now(id_: str) -> None:
    error, mentioned = REFUSED[id_]
    with pytest.raises(error, match=mentioned.replace("(", r"\(")):
        written(BY_ID[id_])


UNDERSCORE_HOST = "seed-greeting-multiply"  # its host, your_app_id.appspot.com, is no host name


@pytest.mark.parametrize(
    "id_",
    [
        case["id"]
        for case in CASES
        if case.get("expected_openapi", {}).get("host") and case["id"] not in {*REFUSED, UNDERSCORE_HOST}
    ],
)
@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_documents_deploy(id_: str, version: Any) -> None:
    """What is written has no errors for a gateway, and an operation for every method."""
    case = BY_ID[id_]
    api = apis(services(case["service_description"]))[0]
    made = document.openapi(api, version=version, hostname=case.get("options", {}).get("hostname"))
    compiled = compile_texts([SourceText("openapi.json", json.dumps(made))])
    assert not compiled.errors
    assert {finding.code for finding in compiled.warnings} <= ({"no-operations"} if not api.methods else set())
    assert sorted((one.method, one.template.text) for one in compiled.configs[0].operations) == sorted(
        (one.http_method, f"{api.base_path.rstrip('/')}{one.path}") for one in api.methods
    )
