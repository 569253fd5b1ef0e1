"""Hearing recalls, and being counted: what a process does in the background while it shares the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from authz.quota.counters.ledger import LedgerLost, Recalled, Window
from authz.quota.counters.redis import link, trouble
from authz.quota.counters.redis.address import Node

CHANNEL = "authz:quota:recall"

_QUIET = 1.0
"""After so many seconds without a word the server is asked whether it is still there."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

log = logging.getLogger("authz")


def message(sender: str, windows: Sequence[Window]) -> str:
    """A recall; without windows, the word that a process has come or goes. JSON keeps the parts of a key apart."""
    return json.dumps([sender, [[window.key, window.start, window.end] for window in windows]])


def recalled(text: bytes, listener: str) -> Sequence[Window] | None:
    """The windows of a message; None if it is the listener's own, or not a message of ours at all."""
    try:
        sender, windows = json.loads(text)
        found = [Window(tuple(map(str, key)), int(start), int(end)) for key, start, end in windows]
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return None
    return None if sender == listener else found


class Ears:
    """Listens on a connection of its own, and connects again by itself."""

    def __init__(self, name: str, limit: float, anywhere: Callable[[], Awaitable[Node]]) -> None:
        self._name = name
        self._limit = limit
        self._anywhere = anywhere
        self.open = False
        self.tried = asyncio.Event()
        """Set once it listens or has failed for the first time."""
        self._told = False

    async def listen(self, recall: Recalled, changed: Callable[[], None]) -> None:
        """Hear recalls, and of processes that come and go, until cancelled."""
        pause = _FIRST_PAUSE
        try:
            while True:
                # A server that is away is the ledger's to tell.
                with contextlib.suppress(LedgerLost):
                    await self._hear(recall, changed)
                pause = _FIRST_PAUSE if self.open else min(2 * pause, _LONGEST_PAUSE)
                self.open = False
                self.tried.set()
                await asyncio.sleep(pause)
        finally:
            self.open = False

    async def _hear(self, recall: Recalled, changed: Callable[[], None]) -> None:
        node = await self._anywhere()
        connection = await link.connect(node, self._limit)
        try:
            await self._subscribe(connection)
            self.open = True
            self.tried.set()
            self._told = False
            while True:
                windows = recalled(await self._next(connection), self._name)
                if windows == []:
                    changed()
                for window in windows or ():
                    recall(window)
        except TimeoutError:
            raise trouble.late(node.place, self._limit) from None
        except ResponseError as error:
            self._complain(trouble.lost(node.place, error))
        except (RedisError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise trouble.lost(node.place, error) from None
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _subscribe(self, connection: AbstractConnection) -> None:
        await connection.send_command("SUBSCRIBE", CHANNEL, check_health=False)
        await _word(connection, self._limit)

    async def _next(self, connection: AbstractConnection) -> bytes:
        """The next message. A server that has nothing to say is asked to say so, lest a dead one be listened to."""
        while True:
            try:
                word = await _word(connection, _QUIET)
            except TimeoutError:
                await connection.send_command("PING", check_health=False)
                word = await _word(connection, self._limit)
            if word[0] == b"message":
                return bytes(word[2])

    def _complain(self, lost: LedgerLost) -> None:
        """One that counts but forbids listening, nobody else would notice."""
        if not self._told:
            self._told = True
            log.warning("Quotas stay exact, but each request asks Redis, since recalls cannot be heard. %s", lost)


async def _word(connection: AbstractConnection, within: float) -> Any:
    if (word := await connection.read_response(timeout=within)) is None:
        raise TimeoutError
    return word
