"""Files, texts and lines: what is read as what, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authz.errors import UsageError
from authz.model.service import SourceText
from authz.sources import compile_texts, read_files
from authz.sources.document import MAX_BYTES, Document, parse
from authz.sources.lint import Findings
from authz.sources.syntax.tree import Map


def parsed(text: str) -> Document:
    findings = Findings()
    document = parse(SourceText("api", text), findings)
    assert document is not None, findings.all()
    assert not findings.all()
    return document


def refused(text: str) -> list[tuple[str, int]]:
    findings = Findings()
    parse(SourceText("api", text), findings)
    return [(finding.code, finding.line) for finding in findings.all()]


def line(document: Document, *path: str) -> int:
    value: Any = document.root
    for key in path[:-1]:
        value = value[key]
    return document.line_of(value, path[-1])


YAML = """\
# A comment.
a: 1
b:
  c: [x, y]
  d:
    - e: 2
    - f: |
        text
"g": {h: 3,
  i: 4}
"""
JSON = '{\n\t"a": 1,\n\t"b": {\n\t\t"a": "{\\"a\\":",\n\t\t"list": [1,\n\t\t{"a": 2}],\n\t\t"last": null\n\t}\n}\n'


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (YAML, ("a",), 2),
        (YAML, ("b",), 3),
        (YAML, ("b", "c"), 4),
        (YAML, ("b", "d"), 5),
        (YAML, ("g",), 9),
        (YAML, ("g", "i"), 10),
        (JSON, ("a",), 2),
        (JSON, ("b",), 3),
        (JSON, ("b", "a"), 4),
        (JSON, ("b", "list"), 5),
        (JSON, ("b", "last"), 7),
        (JSON, ("b", "absent"), 3),
    ],
)
def test_every_key_has_its_line(text: str, path: tuple[str, ...], expected: int) -> None:
    assert line(parsed(text), *path) == expected


def test_yaml_and_json_give_the_same_tree() -> None:
    tree = {"a": [1, -2, 0.5, True, None, "x", {"b": {}}], "200": "ok", "": [], "c": "1e3"}
    assert parsed(json.dumps(tree)).root == tree
    assert parsed('a: [1, -2, .5, true, ~, x, {b: {}}]\n200: "ok"\n"": []\nc: "1e3"').root == tree


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("yes", "yes"),
        ("2020-01-01", "2020-01-01"),
        ("12:30", "12:30"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("", None),
        ("null", None),
        ("FALSE", False),
        ("+7", 7),
        ("1.0.0", "1.0.0"),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("!!python/object:os.system x", "x"),
    ],
)
def test_plain_scalars_follow_the_core_schema(plain: str, value: object) -> None:
    assert parsed(f"a: {plain}").root["a"] == value


def test_a_number_keeps_its_text() -> None:
    assert str(parsed("a: 1.10").root["a"]) == "1.10"
    assert str(parsed('{"a": 1.10}').root["a"]) == "1.10"


def test_merge_keys_and_anchors() -> None:
    root = parsed(
        "base: &base {a: 1, b: 2}\nother: &other {c: 3}\nall:\n  <<: [*base, *other]\n  a: 9\nsame: *base"
    ).root
    assert root["all"] == {"a": 9, "b": 2, "c": 3}
    assert root["same"] is root["base"]


def test_a_byte_order_mark_and_a_leading_document_marker_are_no_obstacle() -> None:
    assert parsed("\ufeff---\na: 1\n").root == {"a": 1}
    assert parsed('\ufeff {"a": 1}').root == {"a": 1}


def test_flow_style_yaml_is_not_mistaken_for_bad_json() -> None:
    assert parsed("{a: 1, b: [x,],}").root == {"a": 1, "b": ["x"]}


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
MERGE_BOMB = (
    "base: &base {"
    + ", ".join(f"k{n}: 1" for n in range(2000))
    + "}\n"
    + "".join(f"m{n}: {{<<: *base}}\n" for n in range(9))
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("file-empty", 0)]),
        (" \n\t\n", [("file-empty", 0)]),
        ("a: 1\nb: \0", [("file-not-text", 2)]),
        ("a: \x07", [("file-syntax", 1)]),
        ("a: 1\n\tb: 2\n", [("file-syntax", 2)]),
        ('{\n"a": 1,\n"b" 2}', [("file-syntax", 3)]),
        ('{"a": ' + "9" * 5000 + ', "b": @}', [("file-syntax", 1)]),
        ('{"a":\n"\\ud800"}', [("file-not-text", 2)]),
        ('{"a": {\n"b": 1,\n"b": 2}}', [("duplicate-key", 1)]),
        ("a: 1\nb: 2\na: 3\n", [("duplicate-key", 3)]),
        ("just text", [("not-a-mapping", 1)]),
        ("[1, 2]", [("not-a-mapping", 1)]),
        ("# nothing", [("not-a-mapping", 1)]),
        ("a: 1\n---\nb: 2", [("several-documents", 2)]),
        ('{"a":' * 200 + "1" + "}" * 200, [("too-deep", 1)]),
        ("[" * 100_000, [("too-deep", 1)]),
        ('{"a": ' + "[" * 100_000, [("too-deep", 1)]),
        (BOMB, [("too-many-aliases", 24)]),
        (MERGE_BOMB, [("too-many-aliases", 7)]),
        ("a: &a [*a]", [("alias-cycle", 1)]),
        ("x" * (MAX_BYTES + 1), [("file-too-large", 0)]),
    ],
    ids=lambda value: str(value)[:20].encode("unicode_escape").decode() if isinstance(value, str) else "",
)
def test_what_is_no_document_is_refused_with_its_line(text: str, expected: list[tuple[str, int]]) -> None:
    assert refused(text) == expected


def test_an_escaped_pair_is_a_character() -> None:
    assert parsed('{"a": "\\ud83d\\ude00"}').root == {"a": "\U0001f600"}


def test_lines_hold_in_json_with_everything_on_one_line() -> None:
    root = parsed('{"a": {"b": {"c": 1}}, "d": {}}').root
    assert isinstance(root["a"], Map)
    assert root["a"]["b"].start == 12


def test_files_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml"):
        (tmp_path / name).write_text(f"name: {name}", encoding="utf-8")
    texts = read_files([tmp_path / "b.yaml", tmp_path / "a.yaml"])
    assert [text.text for text in texts] == ["name: b.yaml", "name: a.yaml"]
    assert texts[0].file == str(tmp_path / "b.yaml")


def test_a_file_with_a_byte_order_mark_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "api.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9")
    assert read_files([path])[0].text == "a: é"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_latin(path: Path) -> None:
    path.write_bytes(b"a: 1\nb: \xe9\n")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(50_000_000)


def make_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "does not exist"),
        (make_directory, "is a directory"),
        (make_latin, ":2: this is not UTF-8"),
        (make_huge, "is larger than 10 MB"),
        (make_loop, "cannot be read"),
    ],
    ids=["missing", "directory", "latin-1", "huge", "loop"],
)
def test_what_cannot_be_read_is_a_usage_error(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "api.yaml"
    make(path)
    with pytest.raises(UsageError) as caught:
        read_files([path])
    assert message in caught.value.message
    assert caught.value.message.startswith(str(path))
    assert caught.value.remedy
    assert caught.value.exit_code == 2


def test_tab_indented_json_with_a_mistake_is_told_its_line() -> None:
    text = '{\n\t"swagger": "2.0",\n\t"info": {"title": "t", "version": "1"},\n\t"host": "Shop",\n\t"paths": {}\n}'
    errors = compile_texts([SourceText("api.json", text)]).errors
    assert [(found.code, found.line) for found in errors] == [("host-invalid", 4)]
