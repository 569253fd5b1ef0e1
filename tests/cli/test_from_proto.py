"""`authz openapi from-proto` as a person at a shell gets it."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from authz.cli import root
from authz.sources.write import VERSIONS

PROTO = """\
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
service Shop {
  // All books.
  rpc ListBooks(Request) returns (Response) { option (google.api.http) = {get: "/v1/books"}; }
  rpc Any(Request) returns (Response) { option (google.api.http) = {custom {kind: "*" path: "/v1/any"}}; }
}
message Request { int32 page_size = 1; }
message Response {}
"""
YAML = "type: google.api.Service\nname: shop.example.com\n"


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shop.proto").write_text(PROTO)
    Path("shop.yaml").write_text(YAML)


def run(*words):
    return CliRunner().invoke(root, ["openapi", "from-proto", *words])


def test_a_document_goes_to_standard_output_and_what_it_cannot_say_to_standard_error():
    result = run("shop.proto", "shop.yaml")
    document = yaml.safe_load(result.stdout)

    assert result.exit_code == 0
    assert document["openapi"] == "3.0.4"
    assert document["servers"] == [{"url": "https://shop.example.com"}]
    assert document["paths"]["/v1/books"]["get"]["summary"] == "All books."
    assert result.stderr == (
        "warning: shop.v1.Shop.Any is bound to any method of /v1/any, which OpenAPI has no word for: "
        "this binding is left out\n"
    )


def test_every_version_can_be_asked_for():
    result = run("--help")

    assert f"[{'|'.join(VERSIONS)}]" in result.stdout
    assert "default: " + VERSIONS[0] in result.stdout


@pytest.mark.parametrize(("version", "head"), [("3.0", "openapi"), ("3.1", "openapi"), ("2.0", "swagger")])
def test_a_version_and_json_can_be_asked_for(version, head):
    result = run("shop.proto", "--service", "shop.example.com", "--version", version, "--json")

    assert json.loads(result.stdout)[head].startswith(version)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_file_is_written_once(words):
    first = run("shop.proto", "shop.yaml", "--output", "out.yaml", *words)
    written = Path("out.yaml").read_text()
    again = run("shop.proto", "shop.yaml", "--output", "out.yaml")

    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr.endswith("wrote out.yaml\n")
    assert yaml.safe_load(written)["paths"]
    assert again.exit_code == 2
    assert "out.yaml exists" in again.stderr
    assert Path("out.yaml").read_text() == written


def test_a_file_is_written_over_by_force():
    Path("out.yaml").write_text("old")

    assert run("shop.proto", "shop.yaml", "--output", "out.yaml", "--force").exit_code == 0
    assert "old" not in Path("out.yaml").read_text()


def test_what_is_read_is_not_written():
    result = run("shop.proto", "shop.yaml", "--output", "./shop.yaml", "--force")

    assert result.exit_code == 2
    assert Path("shop.yaml").read_text() == YAML


def test_a_file_that_cannot_be_written_is_named():
    result = run("shop.proto", "shop.yaml", "--output", "nowhere/out.yaml")

    assert result.exit_code == 2
    assert "error: nowhere/out.yaml cannot be written" in result.stderr


def test_a_document_that_is_too_large_to_deploy_is_told(monkeypatch):
    monkeypatch.setattr("authz.sources.document.MAX_BYTES", 1000)

    assert "too large to be deployed" in run("shop.proto", "shop.yaml").stderr


def test_a_service_needs_a_name():
    result = run("shop.proto")

    assert result.exit_code == 2
    assert "--service" in result.stderr


def test_documents_without_an_rpc_have_nothing_to_write():
    Path("rest.yaml").write_text(
        "openapi: 3.0.3\ninfo: {title: T, version: '1'}\nservers: [{url: https://t.example}]\n"
        "paths: {/a: {get: {operationId: A, responses: {'200': {description: ok}}}}}\n"
    )
    result = run("rest.yaml")

    assert result.exit_code == 2
    assert "no RPC" in result.stderr


def test_a_proto_that_does_not_compile_is_protocs_complaint():
    Path("shop.proto").write_text("syntax = 'proto3'; message M { nonsense }")
    result = run("shop.proto", "shop.yaml")

    assert result.exit_code == 2
    assert "shop.proto:1" in result.stderr
