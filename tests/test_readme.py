"""The README cannot rot: its reference sections come from the code, and what it shows exists."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from authz.cli import root
from authz.cli.reference import renewed
from authz.settings import TABLE, Settings
from authz.xds import bootstrap

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_reference_sections_are_current() -> None:
    """If this fails: authz reference --write README.md"""
    assert renewed(README) == README


@pytest.mark.parametrize("path", re.findall(r"`((?:authz|envoy|tests)/[\w./-]+)`", README))
def test_files_that_are_named_exist(path: str) -> None:
    assert (ROOT / path).exists()


COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("authz ")])
def test_commands_that_are_shown_are_understood(line: str) -> None:
    """Options and arguments as they are: nothing is run."""
    words = list(itertools.takewhile(lambda word: word not in {"|", ">", "<"}, shlex.split(line, comments=True)))[1:]
    command: click.Command = root
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]

    assert command.make_context(str(command.name), words).command is command


@pytest.mark.parametrize("setting", TABLE, ids=lambda s: s.name)
def test_every_setting_is_in_the_reference(setting: object) -> None:
    assert f"`{setting.option}`" in README  # type: ignore[attr-defined]


def test_compose_starts_envoy_and_the_sidecar_from_this_repository() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]

    assert services["envoy"]["image"].startswith("envoyproxy/envoy:v1.40")
    assert (ROOT / services["sidecar"]["build"]["dockerfile"]).is_file()
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_kubernetes_manifests_are_yaml_with_kinds() -> None:
    documents = list(yaml.safe_load_all((ROOT / "envoy" / "kubernetes.yaml").read_text()))

    assert [document["kind"] for document in documents] == ["Deployment", "PersistentVolumeClaim", "Service"]


def test_the_bootstrap_is_what_the_command_prints() -> None:
    """If this fails: authz envoy bootstrap --sidecar sidecar:9001 --xds sidecar:9002 > envoy/bootstrap.yaml"""
    kept = yaml.safe_load((ROOT / "envoy" / "bootstrap.yaml").read_text())
    made = bootstrap.dynamic(
        Settings(), sidecars=["sidecar:9001"], xds="sidecar:9002", admin="127.0.0.1:9901", node_id="authz"
    )

    assert kept == made
