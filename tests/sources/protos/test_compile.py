"""protoc: its complaints are shown with the user's own file names, and nothing that it needs can get in its way."""

from __future__ import annotations

import pytest

from authz.errors import UsageError
from authz.sources import compile_texts, read_files

SERVICE = "message M {} service S { rpc Get(M) returns (M); }"


def complaint(paths):
    with pytest.raises(UsageError) as caught:
        read_files(paths)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("message M {", 2, "end"),
        ("message M { Nothing a = 1; }", 2, '"Nothing" is not defined'),
        ("\nmessage M { string a = 1; string b = 1; }", 3, "Field number 1"),
        ('import "google/api/annotations.proto";\nservice S { option (google.api.htp) = {}; }', 3, "htp"),
        ("\x00", 2, ""),
        ("message M { string ü = 1; }", 2, ""),
    ],
)
def test_what_does_not_compile_is_told_with_file_and_line(text, line, words, protos):
    (path,) = protos(a=text)

    message = complaint([path])

    assert f"{path}:{line}:" in message
    assert words in message
    assert "/root/" not in message


def test_a_mistake_in_an_imported_file_names_that_file(protos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = protos(x__a='import "b.proto";', x__b="message M {\n")

    message = complaint(paths[:1])

    assert message.splitlines()[0].startswith("x/b.proto:3:")
    assert str(tmp_path) in message.splitlines()[1]


def test_all_complaints_are_shown_and_warnings_are_not(protos):
    paths = protos(a='import "google/protobuf/any.proto"; message M { A a = 1; B b = 2; }')

    assert len(complaint(paths).splitlines()) == 2
    assert read_files(protos(a='import "google/protobuf/any.proto";'))


def test_what_protoc_says_of_itself_is_not_shown(tmp_path):
    path = tmp_path / "a.proto"
    path.write_text("no proto at all")

    assert [line.partition(": ")[0] for line in complaint([path]).splitlines()] == [f"{path}:1:1"]


def test_a_depth_bomb_is_a_short_complaint(protos):
    depth = 20_000
    (path,) = protos(a="".join(f"message M{number} {{" for number in range(depth)) + "}" * depth)

    assert f"{path}:2:" in complaint([path])
    assert len(complaint([path]).splitlines()) < 5


@pytest.mark.parametrize("name", ["-x", "@a", "a b", "a=b", "a:b", "ü"])
def test_a_file_may_be_called_anything(name, protos):
    paths = protos(**{f"{name}__{name}": SERVICE})

    assert not compile_texts(read_files(paths), service="a.example.com").findings


def test_a_module_of_the_working_directory_is_not_run(protos, tmp_path, monkeypatch):
    (tmp_path / "grpc_tools").mkdir()
    (tmp_path / "grpc_tools" / "__init__.py").write_text("raise SystemExit('wrong one')")
    monkeypatch.chdir(tmp_path)

    assert read_files(protos(a=SERVICE))


def test_a_missing_proto_is_a_wrong_usage(tmp_path):
    assert "does not exist" in complaint([tmp_path / "a.proto"])


def test_a_text_holds_what_a_file_imports_and_the_places_of_the_file_itself(bookstore):
    from authz.sources.lint import Findings
    from authz.sources.protos.packed import unpack

    packed = unpack(bookstore, Findings())

    assert packed is not None
    assert packed.files[-1].name == "bookstore.proto"
    assert "google/api/annotations.proto" in {file.name for file in packed.files}
    assert [file.name for file in packed.files if file.HasField("source_code_info")] == ["bookstore.proto"]
