"""The one reference through which the hot path sees the current Rulebook."""

from __future__ import annotations

from authz.rulebook.book import Rulebook


class Live:
    """Holds the current book; swapping is one assignment, and a reader keeps the book it began with."""

    __slots__ = ("book",)

    def __init__(self, book: Rulebook | None = None) -> None:
        self.book = book or Rulebook()

    def swap(self, book: Rulebook) -> None:
        """Make a book the current one."""
        self.book = book
