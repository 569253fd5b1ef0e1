"""`up`, `serve` and `demo` hand their request to what runs processes, and tell how it ended."""

import json

import pytest
from click.testing import CliRunner

from authz.cli import root
from authz.errors import StateError

OPENAPI = "openapi: 3.0.3\ninfo: {title: Shop, version: '1'}\npaths: {}\n"


class Scripted:
    """Runners that say and do what a test wants."""

    def __init__(self, act):
        self.act = act
        self.request = None

    def up(self, request, screen):
        self.request = request
        return self.act(screen)

    def serve(self, settings, screen):
        return self.act(screen)

    def demo(self, settings, screen, *, grpc=False):
        return self.serve(settings, screen)


def fail(_screen):
    raise StateError("port 8080 is in use", "Pass another --port.")


def interrupt(_screen):
    raise KeyboardInterrupt


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "openapi.yaml"
    path.write_text(OPENAPI)
    return path


def test_up_passes_on_files_settings_and_flags(document):
    runners = Scripted(lambda screen: 0)
    words = ["up", str(document), "--service", "shop.example", "--force", "--backend", "http://127.0.0.1:9"]

    result = CliRunner().invoke(root, words, obj=runners)

    assert result.exit_code == 0
    assert [text.text for text in runners.request.texts] == [OPENAPI]
    assert runners.request.service == "shop.example"
    assert runners.request.force
    assert runners.request.settings.backend == "http://127.0.0.1:9"


@pytest.mark.parametrize("words", [["serve"], ["demo"]])
def test_the_runner_s_exit_code_is_the_command_s(words):
    assert CliRunner().invoke(root, words, obj=Scripted(lambda screen: 3)).exit_code == 3


def test_a_failure_is_one_message_with_its_remedy():
    result = CliRunner().invoke(root, ["serve"], obj=Scripted(fail))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: port 8080 is in use\n  Pass another --port.\n"


def test_programs_get_the_failure_as_an_event():
    result = CliRunner().invoke(root, ["serve", "--json"], obj=Scripted(fail))

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "event": "error",
        "error": "port 8080 is in use",
        "remedy": "Pass another --port.",
    }


def test_programs_can_wait_for_ready():
    def start(screen):
        screen.step("Starting Envoy")
        screen.ready("http://127.0.0.1:8080")
        return 0

    result = CliRunner().invoke(root, ["demo", "--json"], obj=Scripted(start))

    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == ["step", "ready"]


def test_ctrl_c_is_no_error_but_has_the_shell_s_exit_code():
    result = CliRunner().invoke(root, ["serve"], obj=Scripted(interrupt))

    assert (result.exit_code, result.stderr) == (130, "")


def test_a_mistake_of_the_program_is_one_line_with_a_hint():
    result = CliRunner().invoke(root, ["serve"], obj=Scripted(lambda screen: 1 // 0))

    assert result.exit_code == 1
    assert result.stderr.startswith("error: unexpected ZeroDivisionError")
    assert "AUTHZ_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_developer_gets_the_traceback():
    result = CliRunner(env={"AUTHZ_DEBUG": "1"}).invoke(root, ["serve"], obj=Scripted(lambda screen: 1 // 0))

    assert isinstance(result.exception, ZeroDivisionError)
