"""One step as Redis sees it: the windows' keys, the words of the command, and what its reply means. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import quote

from redis.crc import key_slot

from authz.quota.counters.ledger import GRACE, SHARE, Balance, Entry, Settlement, Window

EXACT = 2**53
"""The largest range in which Lua's numbers are exact. A limit beyond it is taken as this."""

_HEAD = 3
"""So many items of a reply come before what it admitted: seconds, microseconds, late."""


class Command(NamedTuple):
    """Words for the server that has a slot."""

    slot: int
    words: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, sent whole once and named by its digest from then on."""

    text: str
    digest: str

    @classmethod
    def named(cls, name: str) -> Script:
        """The script in a file beside this one."""
        text = (resources.files(__package__) / name).read_text(encoding="utf-8")
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    def by_digest(self, keys: Sequence[str], values: Sequence[str | int]) -> Command:
        """Run it where it is known."""
        return Command(slot_of(keys[0]), ("EVALSHA", self.digest, len(keys), *keys, *values))

    def whole(self, command: Command) -> Command:
        """The same with the script itself, for a server that does not know it; it does afterwards."""
        return Command(command.slot, ("EVAL", self.text, *command.words[2:]))

    @property
    def load(self) -> tuple[str, ...]:
        """The words that make it known."""
        return "SCRIPT", "LOAD", self.text


def slot_of(key: str) -> int:
    """The slot of a Cluster that has the key."""
    return key_slot(key.encode())


def name(window: Window) -> str:
    """The window's key. Its hash tag is the subject, so that all windows of a request are on one node.

    What is not plain is percent-encoded, so two windows never read the same. A single `%` is the empty subject:
    Redis does not take empty braces for a hash tag.
    """
    *labels, subject = [quote(part, safe="", errors="surrogatepass") for part in window.key]
    return ":".join(["authz", "{" + (subject or "%") + "}", *labels, f"{window.start}-{window.end}"])


def command(script: Script, entry: Entry) -> Command:
    """The step of an entry; `lease.lua` says what stands where."""
    values: list[str | int] = [entry.turn, GRACE, SHARE, EXACT, len(entry.wishes)]
    for line in entry.lines:
        limit = min(line.limit, EXACT)
        values += (line.owner, line.window.end, line.claim, line.held, min(line.advance, EXACT), limit)
    for wish in entry.wishes:
        values += (wish.requests, *wish.amounts)
    return script.by_digest([name(line.window) for line in entry.lines], values)


def settlement(entry: Entry, reply: Any) -> Settlement | None:
    """What a reply means; None if it is not one of `lease.lua`."""
    wishes, lines = len(entry.wishes), len(entry.lines)
    if not isinstance(reply, list) or len(reply) != _HEAD + wishes + 3 * lines or {*map(type, reply)} != {int}:
        return None
    balances = _HEAD + wishes
    return Settlement(
        admitted=tuple(reply[_HEAD:balances]),
        balances=tuple([Balance(*reply[at : at + 3]) for at in range(balances, len(reply), 3)]),
        now=reply[0] + reply[1] / 1e6,
        late=bool(reply[2]),
    )
