"""Tables, findings and errors as people see them."""

import pytest

from authz.cli.screen import clean, count, operation_rows, print_error, print_table
from authz.errors import DocumentError
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


def test_the_operations_tell_guard_quota_backend_and_deadline():
    first, second = operation_rows([SERVICE], Settings(backend="http://127.0.0.1:9000"))

    assert first == {
        "service": "shop.example",
        "method": "GET",
        "path": "/v1/books",
        "operation": "shop.List",
        "guard": "open",
        "quota": "",
        "backend": "http://127.0.0.1:9000",
        "deadline": "15s",
    }
    assert second["guard"] == "API key"
    assert second["quota"] == "2 of 100/min writes, 2 of 900/2d writes"
    assert second["backend"] == "https://books.example (constant)"
    assert second["deadline"] == "3.5s"


def test_every_operation_goes_to_the_overriding_backend():
    rows = operation_rows([SERVICE], Settings(backend="http://127.0.0.1:9000", backend_override=True))

    assert rows[1]["backend"].startswith("http://127.0.0.1:9000")


def test_error_findings_are_shown_with_place_and_remedy(capsys):
    print_error(DocumentError((WRONG, ODD)))

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
