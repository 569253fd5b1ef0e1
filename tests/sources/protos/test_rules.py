"""Selectors: the last rule that matches holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model.service import SourceText
from authz.sources.document import parse
from authz.sources.lint import Findings
from authz.sources.node import Node
from authz.sources.protos.rules import Rules


def rules(*selectors: str) -> tuple[Rules[int], Findings]:
    findings = Findings()
    text = "rules:\n" + "".join(f'- selector: "{selector}"\n' for selector in selectors)
    document = parse(SourceText("api.yaml", text), findings)
    assert document is not None
    return Rules(zip(Node(document, document.root, "it").children("rules"), range(99), strict=False)), findings


@pytest.mark.parametrize(
    ("selectors", "number"),
    [
        ([], None),
        (["a.S.M"], 0),
        (["a.S.N"], None),
        (["a.S.M", "a.S.M"], 1),
        (["a.S.M", "*"], 1),
        (["*", "a.S.M"], 1),
        (["a.S.M", "a.S.*"], 1),
        (["a.*", "a.S.M", "b.*"], 1),
        (["a.S.M", "a.*"], 1),
        (["a.T.*"], None),
        (["a.S.*.*"], None),
        (["b.S.M,  a.S.M , c.S.M"], 0),
        (["b.S.M, *", "a.S.N"], 0),
        (["a.S"], None),
        (["S.M"], None),
    ],
)
def test_the_last_rule_that_matches_holds(selectors, number):
    assert rules(*selectors)[0].holds("a.S.M") == number


def test_what_speaks_of_everything_can_be_left_out():
    assert rules("a.S.*", "*")[0].holds("a.S.M", by_name=True) == 0
    assert rules("*")[0].holds("a.S.M", by_name=True) is None


def test_a_selector_without_a_method_is_reported_where_it_stands():
    found, findings = rules("*", "a.S.M", "a.*, a.T.*", "b.S.M")

    found.report_unmatched({"a.S.M", "a.S.N"}, "selector-unmatched")

    assert [(one.line, one.message.split("'")[1]) for one in findings.all()] == [(4, "a.T.*"), (5, "b.S.M")]


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join)
patterns = st.one_of(st.just("*"), names, names.map(lambda name: f"{name}.*"))


@given(st.lists(patterns, max_size=6), names)
def test_a_lookup_answers_what_reading_the_list_from_its_end_would(selectors, name):
    def matches(pattern):
        return pattern in {"*", name} or (pattern.endswith(".*") and name.startswith(pattern[:-1]))

    wanted = next((number for number in reversed(range(len(selectors))) if matches(selectors[number])), None)

    assert rules(*selectors)[0].holds(name) == wanted
