"""What a database says, and what a person is told of it."""

from __future__ import annotations

import pytest

from authz.store.engine import explain


@pytest.mark.parametrize(
    ("words", "meaning", "remedy"),
    [
        ("file is not a database", "damaged", "Restore a backup"),
        ("database is locked", "locked by another process", "which process"),
        ("attempt to write a readonly database", "cannot be written", "--data-dir"),
        ("database or disk is full", "the disk is full", "Make room"),
        ("disk I/O error", "cannot be read or written", "Make room"),
        ("something new", "refused: something new", "its own log"),
    ],
)
def test_the_database_s_words_come_with_their_meaning_and_a_remedy(words: str, meaning: str, remedy: str) -> None:
    error = explain("authz.db", words)

    assert "authz.db" in error.message
    assert meaning in error.message
    assert words in error.message
    assert remedy in error.remedy
