"""A museum whose proto and YAML hold everything that a document must say, and small services made on the spot."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.model.service import ServiceConfig, SourceText
from authz.sources import compile_service, read_files
from authz.sources.write import Written, openapi

HERE = Path(__file__).parent
_IMPORTS = ("google/api/annotations", "google/api/field_behavior", "google/api/httpbody", "google/protobuf/empty")


@pytest.fixture(scope="session")
def museum() -> tuple[SourceText, ...]:
    """The museum's proto and its YAML."""
    texts = read_files([HERE / "museum.proto", HERE / "museum.yaml"])
    return tuple(SourceText(Path(text.file).name, text.text) for text in texts)


@pytest.fixture(scope="session")
def museum_config(museum: tuple[SourceText, ...]) -> ServiceConfig:
    compiled = compile_service(museum)
    assert compiled.findings == ()
    return compiled.configs[0]


@pytest.fixture(scope="session")
def museum_document(museum: tuple[SourceText, ...], museum_config: ServiceConfig) -> dict:
    return openapi(museum_config, museum).document


Small = Callable[..., Written]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """What is written of the body of a proto in package `p`, and of a service YAML."""

    def written(proto: str, yaml: str = "", version: str = "3.0") -> Written:
        path = tmp_path / "p.proto"
        imports = "".join(f'import "{name}.proto";\n' for name in _IMPORTS if f"{name.split('/')[1]}." in proto)
        path.write_text(f'syntax = "proto3";\npackage p;\n{imports}{textwrap.dedent(proto)}')
        head = "type: google.api.Service\nname: p.example.com\n"
        texts = [*read_files([path]), SourceText("p.yaml", head + textwrap.dedent(yaml))]
        compiled = compile_service(texts)
        assert compiled.errors == ()
        return openapi(compiled.configs[0], texts, version)

    return written
