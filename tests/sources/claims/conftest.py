"""The shop of these tests, compiled once, and OpenAPI documents beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.sources import Compiled, compile_texts, read_files

HEAD2 = """\
swagger: "2.0"
info: {title: Shop, version: 1.0.0}
host: shop.example.com
"""
HEAD3 = """\
openapi: 3.0.4
info: {title: Shop, version: 1.0.0}
servers: [{url: https://shop.example.com}]
"""

Shop = Callable[..., Compiled]


@pytest.fixture(scope="session")
def proto() -> SourceText:
    (text,) = read_files([Path(__file__).parent / "shop.proto"])
    return SourceText("shop.proto", text.text)


@pytest.fixture
def shop(proto: SourceText) -> Shop:
    """The shop's protos with an OpenAPI 2.0 document behind its head, and other texts."""

    def compiled(document: str, *others: SourceText, head: str = HEAD2, service: str = "") -> Compiled:
        text = SourceText("openapi.yaml", head + textwrap.dedent(document))
        return compile_texts([text, proto, *others], service=service)

    return compiled
