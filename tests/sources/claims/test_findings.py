"""One bad document per kind of mistake: each line that ends in `# <- code` must be found, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.sources import compile_texts

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
MARK = re.compile(r"# <- ([a-z0-9-]+)")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_document_has_exactly_its_findings(path, proto):
    text = path.read_text(encoding="utf-8")
    marked = [(code, line) for line, row in enumerate(text.splitlines(), 1) for code in MARK.findall(row)]

    compiled = compile_texts([SourceText(path.name, text), proto])

    found = [one for one in compiled.findings if one.code != "grpc-unserved"]
    assert sorted((one.code, one.line) for one in found) == sorted(marked)
    assert all(one.file == path.name and one.message and one.hint for one in found)
    assert bool(compiled.configs) is not bool(compiled.errors)
