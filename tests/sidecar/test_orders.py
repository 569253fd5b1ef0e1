from __future__ import annotations

import socket

import pytest

from authz.errors import StateError
from authz.rulebook.book import OperationRule, Rulebook
from authz.settings import Settings
from authz.sidecar.orders import Begin, Channel, Counted, Failed, Forget, Order, Report, Serving, Stop, Take, Taken

MESSAGES: list[Order | Report] = [
    Begin(2, "unix:/run/authz.sock.2", "", Settings(workers=3)),
    Take(7, Rulebook(1, {("s", "c", "o"): OperationRule("s", "c", "s.o", "o")}, limits=frozenset({("s", "reads")}))),
    Take(8, Rulebook(2, {("s", "c", str(n)): OperationRule("s", "c", f"s.{n}", str(n)) for n in range(5000)})),
    Forget(frozenset({b"digest"})),
    Forget(None),
    Stop(5.0),
    Taken(7),
    Serving("127.0.0.1:9003"),
    Counted({("check", (("decision", "allow"),)): 3}),
]


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


async def test_what_is_said_arrives_as_it_was_and_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = [await Channel.over(end) for end in ends]
    for message in MESSAGES:
        ours.send(message)

    assert [await theirs.receive() for _ in MESSAGES] == MESSAGES
    await ours.close()
    await theirs.close()


async def test_an_error_keeps_its_kind_its_message_and_its_remedy(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = [await Channel.over(end) for end in ends]
    ours.send(Failed(StateError("wrong", "mend it")))
    told = await theirs.receive()

    assert isinstance(told, Failed)
    assert (type(told.error), told.error.message, told.error.remedy) == (StateError, "wrong", "mend it")
    await ours.close()
    await theirs.close()


@pytest.mark.parametrize("last", [b"", b"\0" * 4, (100).to_bytes(8, "big") + b"too short"])
async def test_the_other_ends_death_is_the_end(ends: tuple[socket.socket, socket.socket], last: bytes) -> None:
    ours = await Channel.over(ends[0])
    ends[1].sendall(last)
    ends[1].close()

    assert await ours.receive() is None
    ours.send(Stop(1.0))
    await ours.close()
