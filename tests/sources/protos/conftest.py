"""The bookstore of these tests, compiled once, and services made of it and of YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.sources import Compiled, compile_texts, read_files

HERE = Path(__file__).parent
HEAD = """\
type: google.api.Service
name: shop.example.com
apis:
- name: shop.v1.Bookstore
"""


@pytest.fixture(scope="session")
def bookstore() -> SourceText:
    (text,) = read_files([HERE / "bookstore.proto"])
    return SourceText("bookstore.proto", text.text)


Service = Callable[..., Compiled]


@pytest.fixture
def service(bookstore: SourceText) -> Service:
    """The bookstore with some YAML behind its head."""

    def compiled(*yamls: str, head: str = HEAD, name: str = "") -> Compiled:
        texts = [
            SourceText(
                f"{number}.yaml", (head if number == 1 else "type: google.api.Service\n") + textwrap.dedent(yaml)
            )
            for number, yaml in enumerate(yamls, 1)
        ]
        return compile_texts([bookstore, *texts], service=name)

    return compiled


@pytest.fixture
def protos(tmp_path: Path) -> Callable[..., list[Path]]:
    """Files below a directory, by the paths that they are given."""

    def written(**files: str) -> list[Path]:
        paths = []
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.proto"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'syntax = "proto3";\n{textwrap.dedent(text)}')
            paths.append(path)
        return paths

    return written
