"""The command as a shell starts it: fast, quiet in pipes, and never a traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

AUTHZ = [sys.executable, "-m", "authz"]

HEAVY = (
    "sqlalchemy",
    "grpc",
    "envoy_data_plane",
    "aiohttp",
    "google.protobuf",
    "cryptography",
    "opentelemetry",
    "rich",
)
"""What only running a gateway, or writing to its store, may cost."""

DOCUMENT = "openapi: 3.0.3\ninfo: {title: T, version: 1.0.0}\nservers: [{url: https://a.example}]\npaths: {}\n"


def start(*words, **more):
    return subprocess.Popen(
        [*AUTHZ, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def finish(*words, **more):
    process = start(*words, **more)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def imported(*words):
    """The modules that a command loads."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "authz", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    return {line.rpartition("|")[2].strip() for line in process.stderr.splitlines() if line.startswith("import time:")}


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "openapi.yaml"
    path.write_text(DOCUMENT)
    return path


def test_help_and_lint_load_only_what_they_need(document):
    for words in (["--help"], ["up", "--help"], ["openapi", "lint", document, "--json"]):
        assert imported(*words) & set(HEAVY) == set()


def test_a_bad_file_is_one_message_and_exit_code_2(tmp_path):
    code, out, err = finish("openapi", "compile", tmp_path / "missing.yaml")

    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'missing.yaml'} does not exist")


def test_an_unknown_option_is_a_wrong_usage(document):
    assert finish("openapi", "lint", document, "--wrong")[0] == 2


def test_a_reader_that_leaves_is_no_failure_to_shout_about():
    process = start("settings")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)

    assert "Traceback" not in err
    assert "Exception" not in err


def test_colours_stay_out_of_pipes(document):
    document.write_text("hello")
    _, out, err = finish("openapi", "lint", document)

    assert "\x1b" not in out + err


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code, _, err = finish("openapi", "lint", tmp_path / "\u00fcber.yaml", env=env)

    assert code == 2
    assert "ber.yaml does not exist" in err


@pytest.fixture
def heeding_ctrl_c():
    """A shell starts what runs in the background deaf to Ctrl-C, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_ends_a_wait_with_130_and_no_traceback(tmp_path):
    pipe = tmp_path / "key"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    words = ["keys", "create", "--consumer", "a", "--import", "-", "--data-dir", tmp_path / "data"]
    process = start(*words, stdin=writer)
    wait_for(lambda: is_reading(process.pid))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    os.close(writer)

    assert process.returncode == 130
    assert "Traceback" not in err


def is_reading(pid):
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")


def wait_for(condition, timeout=30):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_programs_get_json_on_standard_output(document):
    code, out, err = finish("openapi", "lint", document, "--json")

    assert (code, err) == (0, "")
    assert json.loads(out)["errors"] == 0
