"""What people and programs see while a gateway runs."""

import json

import pytest

from authz.cli.run import Example
from authz.cli.screen import clean, count, for_output, operation_rows, print_table
from authz.errors import DocumentError, StateError
from authz.model.auth import Alternative, Requirement
from authz.model.findings import Finding, Severity
from authz.model.paths import Template
from authz.model.quota import Cost, Limit, Unit
from authz.model.service import Backend, Operation, PathTranslation, ServiceConfig
from authz.settings import Settings

WRONG = Finding("no-paths", Severity.ERROR, "a.yaml", 3, "paths is missing", "Write paths: with an operation below it.")
ODD = Finding("unknown-extension", Severity.WARNING, "a.yaml", 0, "x-google-typo means nothing")
SERVICE = ServiceConfig(
    "shop.example",
    operations=(
        Operation("shop.List", "GET", Template.parse("/v1/books")),
        Operation(
            "shop.Buy",
            "POST",
            Template.parse("/v1/books/{id}:buy"),
            Requirement((Alternative(needs_key=True),)),
            (Cost("writes", 2),),
            Backend("https://books.example", PathTranslation.CONSTANT, 3.5),
        ),
        Operation("shop.All", "*", Template.parse("/**"), generated=True),
    ),
    limits=(Limit("writes-per-minute", "writes", 100), Limit("writes-per-two-days", "writes", 900, Unit.DAY, 2)),
)


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


def test_the_operations_tell_guard_quota_backend_and_deadline():
    first, second = operation_rows([SERVICE], Settings(backend="http://127.0.0.1:9000"))

    assert first == {
        "service": "shop.example",
        "method": "GET",
        "path": "/v1/books",
        "operation": "shop.List",
        "guarded by": "open",
        "quota": "",
        "backend": "http://127.0.0.1:9000",
        "deadline": "15s",
    }
    assert second["guarded by"] == "API key"
    assert second["quota"] == "2 of 100/min writes, 2 of 900/2d writes"
    assert second["backend"] == "https://books.example (constant)"
    assert second["deadline"] == "3.5s"


def test_every_operation_goes_to_the_overriding_backend():
    rows = operation_rows([SERVICE], Settings(backend="http://127.0.0.1:9000", backend_override=True))

    assert rows[1]["backend"].startswith("http://127.0.0.1:9000")


def test_error_findings_are_shown_with_place_and_remedy(capsys):
    for_output(as_json=False).failure(DocumentError((WRONG, ODD)))

    assert capsys.readouterr().err == (
        "a.yaml:3: error no-paths: paths is missing\n"
        "    Write paths: with an operation below it.\n"
        "a.yaml: warning unknown-extension: x-google-typo means nothing\n"
        "error: 1 error, 1 warning in the documents\n"
    )


@pytest.mark.parametrize(
    ("findings", "words"),
    [((), "no findings"), ((WRONG,), "1 error"), ((WRONG, WRONG, ODD), "2 errors, 1 warning")],
)
def test_findings_are_counted_in_words(findings, words):
    assert count(findings) == words


def test_escape_sequences_of_documents_do_not_reach_the_terminal(capsys):
    print_table(("name",), [("\x1b[31mred\x9b0m",)])

    assert "\x1b" not in capsys.readouterr().out
    assert clean("\x1b[2Jx\ny") == "[2Jx\ny"


def test_long_rows_are_not_wrapped_where_programs_read(capsys):
    print_table(("path",), [("/" + "x" * 500,)])

    assert "/" + "x" * 500 in capsys.readouterr().out


def test_an_empty_table_says_so(capsys):
    print_table(("path",), [], empty="no keys")

    assert capsys.readouterr().out == "no keys\n"
