"""The one reference: readers keep the book they began with."""

from __future__ import annotations

from authz.rulebook.book import Rulebook
from authz.rulebook.live import Live


def test_a_reader_keeps_its_book_when_another_is_swapped_in():
    first, second = Rulebook(revision=1), Rulebook(revision=2)
    live = Live(first)
    book = live.book
    live.swap(second)

    assert book is first
    assert live.book is second


def test_before_anything_is_live_the_book_is_empty():
    assert Live().book.operations == {}
