"""Protos and service YAML put together: services, APIs, findings, and what a store gets of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.sources import compile_texts

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
MARK = re.compile(r"# <- ([a-z0-9-]+)")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_yaml_has_exactly_its_findings(path, bookstore):
    text = path.read_text(encoding="utf-8")
    marked = [(code, line) for line, row in enumerate(text.splitlines(), 1) for code in MARK.findall(row)]

    compiled = compile_texts([bookstore, SourceText(path.name, text)])

    found = [one for one in compiled.findings if one.code != "api-unlisted"]
    assert sorted((one.code, one.line) for one in found) == sorted(marked)
    assert all(one.file == path.name and one.message and one.hint for one in found)
    assert bool(compiled.configs) is not bool(compiled.errors)
