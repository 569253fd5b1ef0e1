"""Who is counted: made, suspended, deleted and brought back."""

from __future__ import annotations

import re

from authz.admin import unknown
from authz.errors import UsageError
from authz.model.auth import Consumer, ConsumerKind, ConsumerStatus
from authz.store.base import Store

MAX_NUMBER = 2**53
"""Upstreams read the number from a header, and JavaScript's whole numbers end here."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+/-]{0,127}\Z")


def create(
    store: Store, name: str, *, kind: ConsumerKind = ConsumerKind.PROJECT, number: int | None = None, now: float
) -> Consumer:
    """A new consumer, with the next free number unless one is given.

    Raises:
        UsageError: the name or number is taken or is none.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"'{name}' is no name for a consumer.",
            "Write a letter or digit, then up to 127 letters, digits or . _ @ : + / - without blanks.",
        )
    if number is not None and not 0 < number <= MAX_NUMBER:
        raise UsageError(f"{number} is no number for a consumer.", f"Write a number from 1 to {MAX_NUMBER}.")
    return store.add_consumer(name, kind, now, number=number)


def list_consumers(store: Store) -> list[Consumer]:
    """All consumers by name, deleted ones included."""
    return store.consumers()


def find(store: Store, name: str) -> Consumer:
    """The consumer of this name.

    Raises:
        UsageError: there is none, or it was deleted.
    """
    consumer = store.consumer(name)
    if consumer is None:
        raise unknown("consumer", name, (known.name for known in store.consumers()))
    if consumer.status is ConsumerStatus.DELETED:
        raise UsageError(
            f"The consumer '{name}' was deleted.", f"Bring it back with 'authz consumers activate {name}'."
        )
    return consumer


def find_or_create(store: Store, name: str, now: float) -> tuple[Consumer, bool]:
    """The consumer of this name, and whether it had to be made.

    Raises:
        UsageError: it was deleted, or the name is none.
    """
    if store.consumer(name) is None:
        return create(store, name, now=now), True
    return find(store, name), False


def suspend(store: Store, name: str) -> Consumer:
    """Refuse the consumer's calls until it is activated again."""
    find(store, name)
    return store.set_consumer_status(name, ConsumerStatus.SUSPENDED)


def activate(store: Store, name: str) -> Consumer:
    """Let a suspended or deleted consumer call again, with its keys, number and counts."""
    if store.consumer(name) is None:
        find(store, name)
    return store.set_consumer_status(name, ConsumerStatus.ACTIVE)


def delete(store: Store, name: str) -> Consumer:
    """Refuse the consumer's calls and keep its name and number from being given to others."""
    find(store, name)
    return store.set_consumer_status(name, ConsumerStatus.DELETED)
