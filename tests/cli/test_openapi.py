"""Lint and compile as a person at a shell gets them: bad input is one clear message with the place and exit code 2."""

import json

import pytest
from click.testing import CliRunner

from authz.cli import root
from authz.errors import DocumentError
from authz.sources import compile_texts

GOOD = """\
openapi: 3.0.3
info: {title: Shop, version: 1.0.0}
servers: [{url: https://shop.example/v1}]
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: x-api-key}
paths:
  /books:
    get:
      operationId: ListBooks
      security: [{key: []}]
      responses: {'200': {description: ok}}
  /open:
    get:
      operationId: Open
      responses: {'200': {description: ok}}
"""
BAD = {
    "empty": b"",
    "blank": b" \n\n",
    "not-yaml": b"a: [1\nb: }",
    "not-json": b'{"openapi": "3.0.3",}x',
    "not-openapi": b"hello: world\n",
    "a-list": b"- 1\n- 2\n",
    "a-word": b"hello\n",
    "binary": bytes(range(256)),
    "nul": b"openapi: 3.0.3\0\n",
    "alias-cycle": b"openapi: 3.0.3\ninfo: &a {title: *a}\n",
    "two-documents": b"openapi: 3.0.3\n---\nopenapi: 3.0.3\n",
    "deep": b"a: " + b"[" * 3000,
    "old-openapi": b"swagger: '1.2'\n",
    "new-openapi": b"openapi: 9.0.0\ninfo: {title: T, version: '1'}\npaths: {}\n",
    "wrong-types": b"openapi: 3.0.3\ninfo: 7\npaths: [1]\nservers: yes\n",
    "dangling-ref": GOOD.replace("    get:\n      operationId: Open", "    $ref: '#/nowhere'\n    x-get:").encode(),
    "bomb": b"a0: &a0 [x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 40)),
}


class Compiling:
    """Runners that only compile the documents."""

    def up(self, request, screen):
        raise DocumentError(compile_texts(request.texts, service=request.service).errors)


def run(*words):
    return CliRunner().invoke(root, [str(word) for word in words], obj=Compiling())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "openapi.yaml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_a_message_with_the_place(name, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(BAD[name])

    result = run("openapi", "lint", path)

    assert result.exit_code == 2, result.output
    assert str(path) in result.output
    assert "error" in result.output
    assert "unexpected" not in result.output


@pytest.mark.parametrize(
    "command", [["openapi", "compile"], ["deploy"], ["up"], ["envoy", "config", "--sidecar", "a:1"]]
)
def test_documents_with_errors_stop_every_command(command, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("hello: world\n")

    result = run(*command, path)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}:1: error not-openapi: ")
    assert result.stderr.endswith("error: 1 error in the documents\n")


@pytest.mark.parametrize("command", [["openapi", "lint"], ["openapi", "compile"], ["deploy"], ["up"]])
@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.yaml", "does not exist"), (".", "is a directory"), ("big.yaml", "larger than"), ("latin.yaml", "UTF-8")],
)
def test_a_file_that_cannot_be_read_is_named(command, name, message, tmp_path):
    with (tmp_path / "big.yaml").open("wb") as big:
        big.truncate(50_000_000)
    (tmp_path / "latin.yaml").write_bytes("title: \u00e9".encode("latin-1"))

    result = run(*command, tmp_path / name)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / name}")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_no_file_is_a_wrong_usage():
    assert run("openapi", "lint").exit_code == 2


def test_a_good_file_has_no_findings(good):
    result = run("openapi", "lint", good)

    assert (result.exit_code, result.output) == (0, "no findings\n")


def test_warnings_alone_are_no_failure(good):
    good.write_text(GOOD + "x-google-typo: 1\n")

    result = run("openapi", "lint", good)

    assert result.exit_code == 0
    assert result.output.startswith(f"{good}:{GOOD.count(chr(10)) + 1}: warning unknown-extension: ")
    assert result.output.endswith("1 warning\n")


def test_programs_get_findings_with_file_line_code_and_remedy(tmp_path):
    path = tmp_path / "openapi.yaml"
    path.write_text("hello: world\n")

    result = run("openapi", "lint", path, "--json")
    told = json.loads(result.stdout)

    assert result.exit_code == 2
    assert told["errors"] == len(told["findings"]) == 1
    assert set(told["findings"][0]) == {"file", "line", "severity", "code", "message", "remedy"}
    assert told["findings"][0]["file"] == str(path)


def test_programs_get_errors_as_json_too(tmp_path):
    result = run("openapi", "compile", tmp_path / "missing.yaml", "--json")

    assert result.exit_code == 2
    assert set(json.loads(result.stdout)) == {"error", "remedy"}


def test_compile_prints_one_service_and_refuses_several(good, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(GOOD.replace("shop.example", "other.example"))

    one = json.loads(run("openapi", "compile", good).stdout)
    two = run("openapi", "compile", good, other)

    assert one["name"] == "shop.example"
    assert (two.exit_code, "other.example" in two.stderr) == (2, True)


def test_warnings_do_not_spoil_what_compile_prints(good):
    good.write_text(GOOD + "x-google-typo: 1\n")

    result = run("openapi", "compile", good)

    assert json.loads(result.stdout)["name"] == "shop.example"
    assert "x-google-typo" in result.stderr
