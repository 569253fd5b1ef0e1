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
