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
