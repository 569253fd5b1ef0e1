"""Where imports are found, and that the result does not depend on where one stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz.errors import UsageError
from authz.sources import compile_texts, read_files

USER = 'package a.v1; import "IMPORT"; service S { rpc Get(b.M) returns (b.M); }'
USED = "package b; message M {}"


def names(texts):
    return [json.loads(text.text.partition("\n")[0].rpartition(" 1 ")[2])[0] for text in texts]


@pytest.mark.parametrize(
    ("user", "used", "imported", "name"),
    [
        ("api", "used", "used.proto", "api.proto"),
        ("x__api", "x__sub__used", "sub/used.proto", "api.proto"),
        # A directory that both are below.
        ("protos__a__api", "protos__b__used", "b/used.proto", "a/api.proto"),
        # The directories that a package is named after.
        ("src__a__v1__api", "src__used", "used.proto", "a/v1/api.proto"),
        # Below the working directory, which the test is in.
        ("x__api", "protos__used", "used.proto", "api.proto"),
        ("x__api", "proto__used", "used.proto", "api.proto"),
        ("x__api", "used", "used.proto", "x/api.proto"),
    ],
)
def test_imports_are_found_without_flags(user, used, imported, name, protos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = protos(**{user: USER.replace("IMPORT", imported), used: USED})

    texts = read_files([path.relative_to(tmp_path)])

    assert names(texts) == [name]
    assert not compile_texts(texts, service="a.example.com").findings


def test_the_same_protos_make_the_same_text_everywhere(protos, tmp_path, monkeypatch):
    paths = protos(
        x__a__v1__api=USER.replace("IMPORT", "b/used.proto"), x__b__used=USED, x__b__other="package b; message O {}"
    )
    found = []
    for directory in (tmp_path, tmp_path / "x", tmp_path / "x" / "a" / "v1"):
        monkeypatch.chdir(directory)
        found += [[text.text for text in read_files(some)] for some in (paths, paths[::-1])]

    assert all(texts in (found[0], found[0][::-1]) for texts in found)
    assert found[0] == found[2] == found[4]


def test_files_that_import_one_another_are_named_as_they_are_imported(protos):
    paths = protos(x__api=USER.replace("IMPORT", "x/b/used.proto"), x__b__used=USED)

    assert names(read_files(paths)) == ["x/api.proto", "x/b/used.proto"]
    assert not compile_texts(read_files(paths), service="a.example.com").findings


def test_files_of_one_name_are_told_apart(protos):
    service = "message M {} service S { rpc Get(M) returns (M); }"
    paths = protos(one__api=f"package one; {service}", two__api=f"package two; {service}")
    same = protos(x__one=f"package y; {service}", z__one=f"package w; {service}")

    assert names(read_files(paths)) == ["one/api.proto", "two/api.proto"]
    assert names(read_files(same)) == ["x/one.proto", "z/one.proto"]
    assert len(compile_texts(read_files(same), service="a.example.com").configs[0].apis) == 2


def test_comments_import_nothing(protos):
    text = '// import "one.proto";\n/* import "two.proto"; */ message M { string a = 1 [json_name="// x"]; } // import'

    assert names(read_files(protos(a=text)))


@pytest.mark.parametrize("name", ["google/api/client.proto", "google/rpc/code.proto", "google/type/date.proto"])
def test_protos_of_google_are_there(name, protos):
    assert read_files(protos(a=f'import "{name}"; import "google/protobuf/timestamp.proto";'))


@pytest.mark.parametrize("name", ["missing.proto", "../x.proto", "/etc/hosts", "google/api/missing.proto", "a b.proto"])
def test_an_import_that_is_nowhere_is_named_with_file_and_line(name, protos):
    (path,) = protos(a=f'\n\nimport "{name}";')

    with pytest.raises(UsageError) as caught:
        read_files([path])

    assert f"{path}:4:1: Import" in caught.value.message
    assert name in caught.value.message
    assert "./protos" in caught.value.remedy


def test_a_link_imports_what_lies_beside_it(protos, tmp_path):
    path, _ = protos(real__api=USER.replace("IMPORT", "used.proto"), x__used=USED)
    link = tmp_path / "x" / "api.proto"
    link.symlink_to(path)

    assert names(read_files([link])) == ["api.proto"]


def test_a_file_that_cannot_be_read_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.proto").symlink_to("loop.proto")
    for name in ("missing.proto", "loop.proto"):
        with pytest.raises(UsageError, match=f"^{name} "):
            read_files([Path(name)])
