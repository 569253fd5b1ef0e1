"""Configuration for people who run Envoy their own way."""

import json

import pytest
import yaml
from click.testing import CliRunner

from authz.cli import root

# The generated classes of the Envoy schema still use a spelling that pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode")

GOOD = """\
swagger: '2.0'
info: {title: Shop, version: 1.0.0}
host: shop.example
paths:
  /books:
    get: {operationId: ListBooks, responses: {200: {description: ok}}, security: [{key: []}]}
securityDefinitions:
  key: {type: apiKey, in: query, name: key}
"""


def run(*words):
    return CliRunner().invoke(root, [str(word) for word in words])


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "openapi.yaml"
    path.write_text(GOOD)
    return ["envoy", "config", path, "--sidecar", "127.0.0.1:9001", "--data-dir", tmp_path / "data"]


@pytest.mark.parametrize(("form", "read"), [("yaml", yaml.safe_load), ("json", json.loads)])
def test_the_configuration_can_be_read_back(form, read, words):
    result = run(*words, "--format", form)

    assert result.exit_code == 0, result.output
    document = read(result.stdout)
    assert document["staticResources"]["listeners"]
    assert "dynamicResources" not in document


def test_settings_reach_the_configuration(words):
    assert "18099" in run(*words, "--port", "18099").stdout


def test_operations_name_the_config_that_was_deployed(words, tmp_path):
    assert run("deploy", words[2], "--no-wait", "--data-dir", tmp_path / "data").exit_code == 0
    deployed = json.loads(run("configs", "list", "--json", "--data-dir", tmp_path / "data").stdout)[0]["config"]

    result = run(*words)

    assert deployed in result.stdout
    assert result.stderr == ""


def test_what_was_never_deployed_is_warned_of_and_leaves_no_trace(words, tmp_path):
    result = run(*words)

    assert result.exit_code == 0
    assert "shop.example was not deployed" in result.stderr
    assert not (tmp_path / "data").exists()


def test_the_config_id_can_be_given(words):
    result = run(*words, "--config-id", "2020-01-02r3")

    assert "2020-01-02r3" in result.stdout
    assert result.stderr == ""


def test_the_bootstrap_names_both_addresses():
    result = run("envoy", "bootstrap", "--xds", "10.0.0.1:9002", "--sidecar", "unix:/run/authz.sock")

    assert result.exit_code == 0, result.output
    assert "10.0.0.1" in result.stdout
    assert "/run/authz.sock" in result.stdout


def test_the_bootstrap_names_every_worker_of_every_sidecar():
    sidecars = ("--sidecar", "unix:/run/authz.sock", "--sidecar", "10.0.0.2:9001")
    result = run("envoy", "bootstrap", "--xds", "10.0.0.1:9002", *sidecars, "--workers", "3", "--format", "json")

    assert result.exit_code == 0, result.output
    (cluster, _) = json.loads(result.stdout)["staticResources"]["clusters"]
    places = [one["endpoint"]["address"] for one in cluster["loadAssignment"]["endpoints"][0]["lbEndpoints"]]
    assert [place["pipe"]["path"] for place in places if "pipe" in place] == [
        "/run/authz.sock", "/run/authz.sock.1", "/run/authz.sock.2",
    ]  # fmt: skip
    assert [place["socketAddress"]["portValue"] for place in places if "socketAddress" in place] == [9001, 9002, 9003]


@pytest.mark.parametrize("address", ["9001", "host", "host:port"])
def test_an_address_that_is_none_is_refused(address):
    result = run("envoy", "bootstrap", "--xds", "10.0.0.1:9002", "--sidecar", address)

    assert result.exit_code == 2
    assert address in result.stderr
