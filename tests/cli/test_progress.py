"""What people and programs see while a gateway starts and runs."""

import io
import json
import sys

from authz.cli.progress import for_output
from authz.cli.runners import Example
from authz.errors import StateError
from authz.model.findings import Finding, Severity
from authz.model.paths import Template
from authz.model.service import Operation, ServiceConfig
from authz.settings import Settings

WRONG = Finding("no-paths", Severity.ERROR, "a.yaml", 3, "paths is missing", "Write paths: with an operation below it.")
ODD = Finding("unknown-extension", Severity.WARNING, "a.yaml", 0, "x-google-typo means nothing")
SERVICE = ServiceConfig("shop.example", operations=(Operation("shop.List", "GET", Template.parse("/v1/books")),))


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_program_gets_one_event_a_line(capsys):
    screen = for_output(as_json=True)
    screen.step("Starting Envoy")
    screen.warning("no token source", "Set backend_auth.")
    screen.findings([WRONG])
    screen.operations([SERVICE], Settings())
    screen.key("k1", "demo")
    screen.examples([Example("open", "curl -i http://127.0.0.1:8080/")])
    screen.ready("http://127.0.0.1:8080")
    screen.failure(StateError("port 8080 is in use", "Pass another --port."))
    screen.close()

    said = events(capsys.readouterr().out)

    assert [event["event"] for event in said] == [
        "step",
        "warning",
        "finding",
        "operations",
        "key",
        "example",
        "ready",
        "error",
    ]
    assert said[6] == {"event": "ready", "url": "http://127.0.0.1:8080"}
    assert said[7] == {"event": "error", "error": "port 8080 is in use", "remedy": "Pass another --port."}


def test_people_get_plain_lines_where_there_is_no_terminal(capsys):
    screen = for_output(as_json=False)
    screen.step("Starting Envoy")
    screen.warning("no token source", "Set backend_auth.")
    screen.findings([ODD])
    screen.operations([SERVICE], Settings())
    screen.key("the-key", "demo")
    screen.examples([Example("open", "curl -i http://127.0.0.1:8080/" + "x" * 200)])
    screen.ready("http://127.0.0.1:8080")
    screen.failure(StateError("port 8080 is in use", "Pass another --port."))
    screen.close()

    out, err = capsys.readouterr()

    assert "\x1b" not in out
    assert out.startswith("Starting Envoy\nwarning: no token source\n    Set backend_auth.\n")
    assert "a.yaml: warning unknown-extension: x-google-typo means nothing" in out
    assert "\n  the-key\n" in out
    assert "curl -i http://127.0.0.1:8080/" + "x" * 200 in out
    assert "ready  http://127.0.0.1:8080" in out
    assert err == "error: port 8080 is in use\n  Pass another --port.\n"


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self):
        return True


def test_the_spinner_is_gone_before_anything_to_read_or_copy(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = for_output(as_json=False)

    screen.step("Reading the documents")
    screen.step("Starting Envoy")
    screen.ready("http://127.0.0.1:8080")
    screen.close()

    shown = sys.stdout.getvalue()
    show_cursor = "\x1b[?25h"
    assert "Starting Envoy" in shown
    assert shown.index(show_cursor) < shown.index("http://127.0.0.1:8080")
