"""Every setting is an option of the commands that run a gateway, typed by the table."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from authz.cli import root
from authz.cli.options import GROUPS, SettingOption
from authz.cli.reference import leaves
from authz.settings import TABLE, Settings

RUNNING = ("up", "serve", "demo")


class Recorder:
    """Runners that remember what they were asked."""

    def __init__(self):
        self.asked = []

    def serve(self, settings, screen):
        self.asked.append(settings)
        return 0


def settings_of(*args, env=None):
    recorder = Recorder()
    result = CliRunner(env=env).invoke(root, ["serve", *args], obj=recorder)
    assert result.exit_code == 0, result.output
    return recorder.asked[0]


@pytest.mark.parametrize("command", RUNNING)
def test_every_setting_is_an_option(command):
    options = {p.setting.name for p in root.commands[command].params if isinstance(p, SettingOption)}

    assert options == {row.name for row in TABLE}


@pytest.mark.parametrize("command", RUNNING)
def test_help_shows_every_option_with_variable_and_group(command):
    text = CliRunner().invoke(root, [command, "--help"], terminal_width=200).output

    assert [row.option for row in TABLE if row.option not in text] == []
    assert [row.variable for row in TABLE if row.variable not in text] == []
    assert [heading for heading in GROUPS.values() if f"\n{heading}:\n" not in text] == []


def test_every_group_of_settings_has_a_heading():
    assert set(GROUPS) == {row.group for row in TABLE}


def a_value(row):
    """Words for the command line, and the value they mean."""
    if row.kind is bool:
        flag = f"--no-{row.option[2:]}" if row.default else row.option
        return [flag], not row.default
    if row.choices:
        return [row.option, row.choices[-1]], row.choices[-1]
    text, value = {int: ("7", 7), float: ("2.5", 2.5), str: ("text", "text"), Path: ("some/where", Path("some/where"))}[
        row.kind
    ]
    if row.many:
        return [row.option, text, row.option, text], (value, value)
    return [row.option, text], value


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_options_are_read_by_their_setting_s_type(row):
    words, value = a_value(row)

    assert getattr(settings_of(*words), row.name) == value


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind in {int, float}], ids=lambda row: row.name)
def test_a_number_that_is_none_is_a_wrong_usage(row):
    result = CliRunner().invoke(root, ["serve", row.option, "many"], obj=Recorder())

    assert result.exit_code == 2
    assert row.option in result.stderr


def test_without_options_the_defaults_count():
    assert settings_of() == Settings()


def test_an_option_beats_the_environment_and_that_the_default():
    env = {"AUTHZ_PORT": "9001", "AUTHZ_HOST": "0.0.0.0", "AUTHZ_TLS_CIPHERS": "A;B"}

    settings = settings_of("--port", "9002", env=env)

    assert (settings.port, settings.host, settings.tls_ciphers) == (9002, "0.0.0.0", ("A", "B"))


def test_a_wrong_variable_is_named():
    result = CliRunner(env={"AUTHZ_PORT": "http"}).invoke(root, ["serve"], obj=Recorder())

    assert result.exit_code == 2
    assert result.stderr == "error: AUTHZ_PORT is 'http'\n  Write a whole number.\n"


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_cannot_be_is_refused(port):
    assert CliRunner().invoke(root, ["serve", "--port", port], obj=Recorder()).exit_code == 2


@pytest.mark.parametrize(
    ("path", "command"), list(leaves(root)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_teaches_by_an_example(path, command):
    text = CliRunner().invoke(root, [*path.split()[1:], "--help"], terminal_width=120).output

    assert "Examples:\n" in text
    assert all(example.startswith(path) for example in command.examples)
    assert command.examples
    assert command.help


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind in {int, float}], ids=lambda row: row.name)
@pytest.mark.parametrize("text", ["-1", "99999999999999999999", "nan", "inf"])
def test_a_number_out_of_range_is_a_wrong_usage(row, text):
    """Nothing is started with a number that Envoy or the sidecar cannot live with."""
    said = [
        CliRunner(env=env).invoke(root, ["serve", *words], obj=Recorder())
        for env, words in (({row.variable: text}, []), ({}, [row.option, text]))
    ]

    assert [result.exit_code for result in said] == [2, 2]
    assert row.variable in said[0].output
    assert row.option in said[1].output


def test_a_number_that_must_not_be_zero_says_so():
    result = CliRunner(env={"AUTHZ_POLL_SECONDS": "0"}).invoke(root, ["serve"], obj=Recorder())

    assert (result.exit_code, result.output) == (
        2,
        "error: AUTHZ_POLL_SECONDS is 0.0\n  Write a number: more than 0, and at most 31536000.\n",
    )


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind in {int, float}], ids=lambda row: row.name)
def test_defaults_are_in_range(row):
    assert row.checked(row.default, row.option) == row.default


def test_a_variable_that_is_no_setting_is_told_with_the_one_that_was_meant():
    told = CliRunner(env={"AUTHZ_PROT": "9001", "AUTHZ_DEBUG": "1"}).invoke(root, ["serve"], obj=Recorder()).stderr

    assert told == "warning: AUTHZ_PROT is no setting; AUTHZ_PORT is\n"
