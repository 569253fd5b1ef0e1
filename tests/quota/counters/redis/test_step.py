from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from authz.quota.counters.ledger import Entry, Line, Window, Wish
from authz.quota.counters.redis import step
from authz.quota.counters.redis.step import Script


def test_a_key_reads_as_what_it_counts() -> None:
    window = Window(("bookstore.example", "reads-per-minute", "consumer:12"), 1800000000, 1800000060)

    assert step.name(window) == "authz:{consumer%3A12}:bookstore.example:reads-per-minute:1800000000-1800000060"


windows = st.builds(
    Window,
    st.lists(st.text(st.sampled_from("{}:%-ab0\udcff"), max_size=4), min_size=1, max_size=4).map(tuple),
    st.integers(0, 20), st.integers(0, 20),
)  # fmt: skip


@hypothesis_settings(deadline=None)
@given(windows, windows)
def test_two_windows_never_have_one_key_and_those_of_a_subject_are_in_one_slot(one: Window, other: Window) -> None:
    assert (step.name(one) == step.name(other)) == (one == other)
    assert {*step.name(one)} <= {*string.ascii_letters, *string.digits, *"{}:%-_.~"}
    same_subject = other._replace(key=(*other.key[:-1], one.key[-1]))
    assert step.slot_of(step.name(one)) == step.slot_of(step.name(same_subject))


ENTRY = Entry(3, (Line(Window(("s", "l", "c"), 0, 60), "me", 1, 0, 5, 10),), (Wish(2, (1,)),))


def test_a_reply_is_read_as_the_script_writes_it() -> None:
    settled = step.settlement(ENTRY, [1800000000, 500000, 0, 2, 5, 8, 6])

    assert settled is not None
    assert (settled.now, settled.late, settled.admitted) == (1800000000.5, False, (2,))
    assert settled.balances == ((5, 8, 6),)


@pytest.mark.parametrize(
    "reply", [None, b"OK", 7, [], [1, 2, 0, 2, 5, 8], [1, 2, 0, 2, 5, 8, b"6"], [1, 2, 0, [], 5, 8, 6]]
)
def test_a_reply_of_another_shape_is_none(reply: object) -> None:
    assert step.settlement(ENTRY, reply) is None


def test_what_is_beyond_luas_numbers_is_taken_as_the_largest_that_is_exact() -> None:
    script = Script.named("lease.lua")
    entry = ENTRY._replace(lines=(ENTRY.lines[0]._replace(limit=2**63 - 1, advance=2**60),))

    assert step.command(script, entry).words[-4:-2] == (2**53, 2**53)
