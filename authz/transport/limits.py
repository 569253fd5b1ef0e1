"""What peers may ask of a server, and what the log says of those who overdo it.

This module knows numbers and the log; it knows no HTTP/2.
"""

from __future__ import annotations

import logging
import resource
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

log = logging.getLogger(__name__)

_QUIET: Final = 60
"""Seconds in which a kind of complaint is logged once; what came after is counted and told at their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer, or all of them together, may ask for. Times are in whole seconds."""

    message: int = 256 * 1024  # Envoy's questions are a few hundred bytes; its own header limit keeps them below this
    held: int = 64 * 1024 * 1024  # bytes of unfinished requests, over all connections
    connections: int = 1000
    streams: int = 1024  # Envoy's own default of requests at once per cluster, so that one connection is enough for it
    header_bytes: int = 16 * 1024
    continuations: int = 8
    # Burst and rate a second. Envoy resets a stream when the caller behind it leaves, and all of them when a stall
    # outlasts its timeout. Callers must not be able to make Envoy lose its connection, and a call that is reset costs
    # no more than one that is not, so this is far above libnghttp2's own 1,000 and 33.
    resets: tuple[int, int] = (10_000, 3_000)
    # Pings, settings and window updates in a second without a request. With requests there may be any number: gRPC's
    # own clients send several for each.
    controls: int = 10_000
    unread: int = 1000  # answers to pings and settings that the peer has left unread
    greeting: int = 10
    request: int = 30
    idle: int = 900
    stalled: int = 30

    @classmethod
    def here(cls) -> Limits:
        """The usual ones, with no more connections than half of the files that this process may open."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        usual = cls()
        if files == resource.RLIM_INFINITY:
            return usual
        return replace(usual, connections=min(usual.connections, files // 2))


class Complaints:
    """The log's view of misbehaving peers: one line per kind of misbehaviour and minute, however many they are."""

    def __init__(self) -> None:
        self._since = 0
        self._count: Counter[str] = Counter()

    def add(self, peer: object, why: str) -> None:
        """Somebody was hung up on."""
        self._count[why] += 1
        if self._count[why] == 1:
            log.warning("hung up on %s: it %s", peer or "a local process", why)

    def tick(self) -> None:
        """One second has passed."""
        self._since += 1
        if self._since < _QUIET:
            return
        for why, count in self._count.items():
            if count > 1:
                log.warning("hung up on %d more peers in a minute: each %s", count - 1, why)
        self._since = 0
        self._count.clear()
