"""The README's reference sections are made from the code, so that they cannot rot."""

import json

import pytest
from click.testing import CliRunner

from authz.check.decide import Reason
from authz.cli import root
from authz.cli.reference import leaves, sections, table
from authz.settings import TABLE
from authz.sources.lint import RULES


def run(*words):
    return CliRunner().invoke(root, [str(word) for word in words])


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("settings", [row.option for row in TABLE] + [row.variable for row in TABLE]),
        ("espv2-flags", [row.espv2 for row in TABLE if row.espv2]),
        ("findings", [rule.code for rule in RULES]),
        ("reasons", [reason.name for reason in Reason]),
        ("commands", [path for path, _ in leaves(root)]),
    ],
)
def test_a_section_names_everything_that_there_is(section, names):
    text = sections()[section]

    assert [name for name in names if f"`{name}" not in text] == []


def test_marked_sections_are_renewed_and_the_rest_stays(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- begin: reasons -->\nold\n<!-- end: reasons -->\nafter\n")

    assert run("reference", "--check", readme).exit_code == 1
    assert run("reference", "--write", readme).exit_code == 0
    assert run("reference", "--check", readme).exit_code == 0

    text = readme.read_text()
    assert text.startswith("before\n<!-- begin: reasons -->\n")
    assert text.endswith("<!-- end: reasons -->\nafter\n")
    assert "KEY_INVALID" in text
    assert "\nold\n" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [("nothing", "no section is marked"), ("<!-- begin: x -->\n<!-- end: x -->", "no section 'x'")],
)
def test_a_document_without_known_marks_is_refused(text, message, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(text)

    result = run("reference", "--check", readme)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = run("reference", "--check", tmp_path / "README.md")

    assert result.exit_code == 2
    assert "README.md cannot be read" in result.stderr


def test_the_whole_reference_can_be_printed():
    assert all(section in run("reference").stdout for section in sections().values())


def test_settings_are_listed_for_people_and_programs():
    rows = json.loads(run("settings", "--json").stdout)

    assert [row["name"] for row in rows] == [row.name for row in TABLE]
    assert "--escaped-slashes" in run("settings").stdout
    assert run("settings", "--markdown").stdout.startswith("**Where things are**\n\n| option |")


def test_bars_and_lines_do_not_break_a_table():
    assert table(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x\\|y z |"
