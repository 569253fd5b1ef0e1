"""Consumers are made, suspended, deleted and brought back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from authz.admin import consumers
from authz.errors import UsageError
from authz.model.auth import ConsumerKind, ConsumerStatus
from authz.store.base import Store

NOON = 1_795_262_400.0


@pytest.mark.parametrize("name", ["acme", "projects/123", "ann@example.com", "a", "0", "A-b_c.d:e+f"])
def test_a_consumer_is_made(store: Store, name: str) -> None:
    made = consumers.create(store, name, kind=ConsumerKind.APP, number=2**53, now=NOON)
    assert (made.name, made.kind, made.number) == (name, ConsumerKind.APP, 2**53)
    assert consumers.list_consumers(store) == [made]
    assert consumers.find(store, name) == made


@pytest.mark.parametrize("name", ["", "two words", "-dash", "a" * 129, "line\n", "ümlaut", "semi;colon"])
def test_what_is_no_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a consumer"):
        consumers.create(store, name, now=NOON)


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1])
def test_what_is_no_number_is_refused(store: Store, number: int) -> None:
    with pytest.raises(UsageError, match=f"{number} is no number for a consumer"):
        consumers.create(store, "acme", number=number, now=NOON)


def test_a_consumer_comes_and_goes(store: Store) -> None:
    made = consumers.create(store, "acme", now=NOON)
    assert consumers.suspend(store, "acme").status is ConsumerStatus.SUSPENDED
    assert consumers.activate(store, "acme") == made
    assert consumers.delete(store, "acme").status is ConsumerStatus.DELETED
    with pytest.raises(UsageError, match="'acme' was deleted") as refused:
        consumers.suspend(store, "acme")
    assert "activate acme" in refused.value.remedy
    assert consumers.activate(store, "acme") == made


@pytest.mark.parametrize("verb", [consumers.suspend, consumers.activate, consumers.delete, consumers.find])
def test_a_consumer_that_is_not_there(store: Store, verb: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="no consumer 'acme'") as refused:
        verb(store, "acme")
    assert refused.value.remedy == "There is no consumer at all yet."
    for number in range(9):
        consumers.create(store, f"other{number}", now=NOON)
    with pytest.raises(UsageError) as refused:
        verb(store, "acme")
    assert refused.value.remedy == f"There is: {', '.join(f'other{number}' for number in range(8))} and 1 more."
