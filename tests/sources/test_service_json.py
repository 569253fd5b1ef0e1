"""google.api.Service JSON: one document of each family in full, and the rules of naming."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz.sources import compile_service, read_files, service_json
from authz.sources.service_json import field_name

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["library", "files"])
def test_a_document_in_full(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    texts = read_files([Path(f"{name}.yaml")])
    (config,) = compile_service(texts).configs
    service = service_json(config, texts)
    assert service == json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(service)) == service


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("shelfId", "shelf_id"),
        ("library_id", "library_id"),
        ("ShelfId", "shelf_id"),
        ("shelfID", "shelf_i_d"),
        ("shelf-id", "shelf_id"),
        ("id", "id"),
    ],
)
def test_parameters_become_fields(name: str, field: str) -> None:
    assert field_name(name) == field


SHOP = """\
type: google.api.Service
name: shop.example.com
apis: [{name: shop.v1.Bookstore}]
usage:
  rules:
  - {selector: shop.v1.Bookstore.GetShelf, allow_unregistered_calls: true}
http:
  fully_decode_reserved_expansion: true
  rules:
  - selector: shop.v1.Bookstore.Cover
    get: /v1/shelves/{shelf}/cover
    response_body: image
backend:
  rules:
  - {selector: shop.v1.Bookstore.Chat, address: "grpc://chat.example.com", deadline: 60}
"""


def test_an_rpc_stands_there_once(tmp_path: Path) -> None:
    path = tmp_path / "api.yaml"
    path.write_text(SHOP)
    texts = read_files([Path(__file__).parent / "protos" / "bookstore.proto", path])
    (config,) = compile_service(texts).configs

    service = service_json(config, texts)

    methods = {one["name"]: one for one in service["apis"][0]["methods"]}
    rules = {one["selector"].rpartition(".")[2]: one for one in service["http"]["rules"]}
    assert json.loads(json.dumps(service)) == service
    assert list(methods) == ["ListShelves", "GetShelf", "CreateBook", "WatchShelf", "Cover", "Import", "Chat"]
    assert methods["Chat"] == {
        "name": "Chat",
        "requestTypeUrl": "type.googleapis.com/shop.v1.Book",
        "responseTypeUrl": "type.googleapis.com/shop.v1.Book",
        "requestStreaming": True,
        "responseStreaming": True,
    }
    assert set(rules) == {"ListShelves", "GetShelf", "CreateBook", "WatchShelf", "Cover"}
    assert rules["CreateBook"] == {
        "selector": "shop.v1.Bookstore.CreateBook",
        "post": "/v1/shelves/{shelf}/books",
        "body": "book",
        "additionalBindings": [{"post": "/v1/shelves/{shelf}/books/{book.id}", "body": "*"}],
    }
    assert rules["Cover"]["responseBody"] == "image"
    assert service["http"]["fullyDecodeReservedExpansion"] is True
    assert len(service["usage"]["rules"]) == len(methods)
    assert [(one["selector"], one["address"], one["deadline"]) for one in service["backend"]["rules"]] == [
        ("shop.v1.Bookstore.Chat", "grpc://chat.example.com", 60)
    ]
    assert [one["fileType"] for one in service["sourceInfo"]["sourceFiles"]] == [
        "FILE_DESCRIPTOR_SET_PROTO",
        "SERVICE_CONFIG_YAML",
    ]


MIXED = """\
type: google.api.Service
name: shop.example.com
apis: [{name: shop.v1.Bookstore}]
backend:
  rules:
  - selector: shop.v1.Bookstore.GetShelf
    address: http://shelves.example.com/rest
    path_translation: CONSTANT_ADDRESS
    deadline: 5
    overrides_by_request_protocol:
      grpc: {address: "grpc://shelves.example.com"}
"""


def test_a_backend_of_grpc_clients_is_an_override_and_reads_back(tmp_path: Path) -> None:
    proto = Path(__file__).parent / "protos" / "bookstore.proto"
    (tmp_path / "api.yaml").write_text(MIXED)
    (config,) = compile_service(read_files([proto, tmp_path / "api.yaml"])).configs

    service = service_json(config)

    assert service["backend"]["rules"] == [
        {
            "selector": "shop.v1.Bookstore.GetShelf",
            "address": "http://shelves.example.com/rest",
            "pathTranslation": "CONSTANT_ADDRESS",
            "deadline": 5,
            "disableAuth": True,
            "overridesByRequestProtocol": {
                "grpc": {"address": "grpc://shelves.example.com", "protocol": "h2", "disableAuth": True}
            },
        }
    ]
    (tmp_path / "again.json").write_text(json.dumps({"type": "google.api.Service", **service}))
    (again,) = compile_service(read_files([proto, tmp_path / "again.json"])).configs
    assert [(one.template, one.backend) for one in again.operations] == [
        (one.template, one.backend) for one in config.operations
    ]


def test_rpcs_of_openapi_operations_have_the_http_rules_that_these_make(tmp_path: Path) -> None:
    document = """\
openapi: 3.0.4
info: {title: Shop, version: 1.0.0}
servers: [{url: https://shop.example.com}]
paths:
  /shelves/{shelf}:
    get: {operationId: one, x-authz-grpc: shop.v1.Bookstore/GetShelf}
  /rooms/{shelf}:
    get: {operationId: two, x-authz-grpc: shop.v1.Bookstore/GetShelf}
  /rest:
    get: {operationId: rest}
"""
    (tmp_path / "openapi.yaml").write_text(document)
    texts = read_files([tmp_path / "openapi.yaml", Path(__file__).parent / "protos" / "bookstore.proto"])
    (config,) = compile_service(texts).configs

    service = service_json(config, texts)

    rules = {one["selector"].rpartition(".")[2]: one for one in service["http"]["rules"]}
    assert rules["GetShelf"] == {
        "selector": "shop.v1.Bookstore.GetShelf",
        "get": "/shelves/{shelf}",
        "additionalBindings": [{"get": "/rooms/{shelf}"}],
    }
    assert rules["Rest"] == {"selector": "1.shop_example_com.Rest", "get": "/rest"}
    assert [one["name"] for one in service["apis"]] == ["1.shop_example_com", "shop.v1.Bookstore"]
    assert [one["name"] for one in service["apis"][1]["methods"]] == [
        "ListShelves",
        "GetShelf",
        "CreateBook",
        "WatchShelf",
    ]
