from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from authz.quota.counters.ledger import GRACE, SHARE, Balance, Entry, LedgerLost, Line, Settlement, Window, Wish
from authz.quota.counters.machine import FREED_PER_TICK, LedgerHost, MachineLedger
from harness.waiting import until
from quota.counters.worker import workers

NOW = 1_800_000_000.0
MINUTE = Window(("bookstore", "reads", "consumer:1"), int(NOW), int(NOW) + 60)


class SetClock:
    def __init__(self) -> None:
        self.now = NOW
        self.looked: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        self.looked()
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def path() -> Iterator[Path]:
    """A socket's path may have 108 characters at most, so it is not in the test's own directory."""
    with tempfile.TemporaryDirectory(prefix="authz-") as name:
        yield Path(name) / "ledger.sock"


@pytest.fixture
async def host(path: Path, clock: SetClock) -> AsyncIterator[LedgerHost]:
    host = LedgerHost(path, clock)
    await host.start()
    yield host
    await host.close()


@contextlib.asynccontextmanager
async def members(path: Path, count: int = 1) -> AsyncIterator[list[tuple[MachineLedger, list[Window]]]]:
    """So many members that know of each other, each with the windows that it was asked to give back."""
    made: list[tuple[MachineLedger, list[Window]]] = []
    for _ in range(count):
        recalled: list[Window] = []
        made.append((MachineLedger(path, timeout=1.0), recalled))
        await made[-1][0].start(recalled.append)
    await until(lambda: all(ledger.members == count for ledger, _ in made))
    yield made
    for ledger, _ in made:
        await ledger.close()


def an_entry(
    turn: int = 1, *, owner: str = "a", claim: int = 0, held: int = 0, advance: int = 0, limit: int = 100,
    requests: int = 1, window: Window = MINUTE,
) -> Entry:  # fmt: skip
    return Entry(turn, (Line(window, owner, claim, held, advance, limit),), (Wish(requests, (1,)),))


async def test_members_share_windows(path: Path, host: LedgerHost) -> None:
    async with members(path, 2) as ((ann, _), (ben, _)):
        first = await ann.settle([an_entry(owner="ann", requests=7, limit=10)])
        second = await ben.settle([an_entry(owner="ben", requests=7, limit=10), an_entry(2, owner="ben", claim=3)])

    assert first == [Settlement((7,), (Balance(0, 7, 0),), NOW)]
    assert [one.admitted for one in second if isinstance(one, Settlement)] == [(3,), (1,)]


async def test_its_time_is_everybodys(path: Path, host: LedgerHost, clock: SetClock) -> None:
    async with members(path) as ((ledger, _),):
        clock.now += 0.5

        assert await ledger.time() == NOW + 0.5


async def test_others_hear_a_recall(path: Path, host: LedgerHost) -> None:
    async with members(path, 3) as ((ann, anns), (_, bens), (_, cids)):
        assert ann.hears
        await ann.recall([MINUTE])
        await until(lambda: bens and cids)

    assert (anns, bens, cids) == ([], [MINUTE], [MINUTE])


async def test_who_leaves_is_no_member_any_more(path: Path, host: LedgerHost) -> None:
    async with members(path, 2) as ((ann, _), (ben, _)):
        await ben.close()
        await until(lambda: ann.members == 1)


def test_only_this_user_may_open_it(path: Path, host: LedgerHost) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_without_a_host_it_is_lost_at_once_and_found_when_there_is_one(path: Path, clock: SetClock) -> None:
    ledger = MachineLedger(path)
    await ledger.start(lambda _: None)
    with pytest.raises(LedgerLost, match=r"ledger\.sock"):
        await ledger.settle([an_entry()])
    assert not ledger.hears
    await ledger.recall([MINUTE])

    host = LedgerHost(path, clock)
    await host.start()
    await until(lambda: ledger.hears)

    assert await ledger.time() == NOW
    await ledger.close()
    await host.close()


async def test_a_connection_that_breaks_is_made_again(path: Path, clock: SetClock) -> None:
    host = LedgerHost(path, clock)
    await host.start()
    async with members(path) as ((ledger, _),):
        await host.close()
        await until(lambda: not ledger.hears)
        with pytest.raises(LedgerLost):
            await ledger.time()
        again = LedgerHost(path, clock)
        await again.start()
        await until(lambda: ledger.hears)
        assert await ledger.time() == NOW
    await again.close()


@contextlib.asynccontextmanager
async def answering(path: Path, *lines: bytes) -> AsyncIterator[None]:
    """A host that answers whatever it hears with these lines, and then ends; without any it stays mute."""
    open_writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        await reader.readline()
        if lines:
            writer.writelines(lines)
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        for writer in open_writers:
            writer.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("lines", [(), (b"no JSON\n",), (b'["what?"]\n',), (b"{}\n",), (b"half a li",)])
async def test_a_host_that_does_not_answer_sensibly_is_lost_in_time(path: Path, lines: tuple[bytes, ...]) -> None:
    async with answering(path, *lines):
        ledger = MachineLedger(path, timeout=0.05)
        await ledger.start(lambda _: None)
        async with asyncio.timeout(2):
            with pytest.raises(LedgerLost):
                await ledger.settle([an_entry()])
        await ledger.close()


@pytest.mark.parametrize(
    "line", [b"no JSON\n", b"{}\n", b'["settle"]\n', b'["settle",1,[[1]]]\n', b'["time"]\n', b"5\n", b"\xff\n"]
)
async def test_who_talks_nonsense_is_cut_off_and_nobody_else(path: Path, host: LedgerHost, line: bytes) -> None:
    async with members(path) as ((ledger, _),):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        async with asyncio.timeout(2):
            while await reader.readline():
                pass
        writer.close()

        assert await ledger.time() == NOW


async def test_who_never_reads_is_cut_off(path: Path, host: LedgerHost) -> None:
    windows = [Window((f"key {number}" * 100,), 0, 60) for number in range(1000)]
    async with members(path) as ((ledger, _),):
        _, writer = await asyncio.open_unix_connection(path)
        await until(lambda: ledger.members == 2)

        async def flooded() -> bool:
            await ledger.recall(windows)
            return ledger.members == 1

        await until(flooded)
        writer.close()


async def test_windows_that_are_over_are_forgotten_a_few_at_a_time(
    path: Path, host: LedgerHost, clock: SetClock
) -> None:
    keys = [("bookstore", "reads", f"consumer:{number}") for number in range(1000)]
    async with members(path) as ((ledger, _),):
        await ledger.settle([an_entry(window=Window(key, int(NOW), int(NOW) + 60)) for key in keys])
        assert len(host) == 1000
        clock.now = NOW + 60 + GRACE
        # It looks at the clock before it frees, however late it does.
        sizes: list[int] = []
        clock.looked = lambda: sizes.append(len(host))
        await ledger.settle([an_entry(window=Window(keys[0], int(NOW) + 60, int(NOW) + 120))])
        await until(lambda: len(host) == 1)

    assert max(before - after for before, after in itertools.pairwise([*sizes, 1])) == FREED_PER_TICK


async def test_any_text_is_a_key(path: Path, host: LedgerHost) -> None:
    window = Window(("a\nb", '"', "\udcff", "é"), int(NOW), int(NOW) + 60)
    async with members(path, 2) as ((ann, _), (_, bens)):
        assert (await ann.settle([an_entry(window=window)]))[0] == Settlement((1,), (Balance(0, 1, 0),), NOW)
        await ann.recall([window])
        await until(lambda: bens)

    assert bens == [window]


async def test_a_step_of_many_entries_is_one_message(path: Path) -> None:
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, number, entries = json.loads(await reader.readline())
        heard.append((kind, len(entries)))
        writer.write(json.dumps(["answer", number, [[[1], [[0, 1, 0]], NOW, False]] * len(entries)]).encode() + b"\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    ledger = MachineLedger(path, timeout=1.0)
    await ledger.start(lambda _: None)
    settled = await ledger.settle([an_entry()] * 50)
    await ledger.close()
    server.close()
    await server.wait_closed()

    assert heard == [("settle", 50)]
    assert settled == [Settlement((1,), (Balance(0, 1, 0),), NOW)] * 50


# -- with processes of their own ------------------------------------------------------------------------------------


@pytest.fixture
async def shared(path: Path) -> AsyncIterator[str]:
    """A ledger by this machine's clock, as processes are told of it."""
    host = LedgerHost(path)
    await host.start()
    yield f"machine:{path}"
    await host.close()


async def test_processes_admit_exactly_the_limit(shared: str) -> None:
    async with workers(shared, 3) as everybody:
        for limit in (2, 60, 3000):
            reports = await asyncio.gather(*(one.drain(limit, **{f"limit-{limit}": limit}) for one in everybody))
            assert sum(report["admitted"] for report in reports) == limit
            assert sum(report["lost"] for report in reports) == 0


async def test_one_that_is_killed_takes_with_it_no_more_than_it_held(shared: str) -> None:
    async with workers(shared, 2) as (killed, other):
        spent = (await killed.drain(10, reads=1000))["admitted"]
        await killed.kill()
        report = await other.drain(1100, reads=1000)

    assert 1000 - 1000 // SHARE <= spent + report["admitted"] <= 1000


async def test_one_that_leaves_gives_back_what_it_did_not_spend(shared: str) -> None:
    async with workers(shared, 1) as (leaving,):
        await leaving.drain(10, reads=1000)
    async with workers(shared, 1) as (other,):
        assert (await other.drain(1000, reads=1000))["admitted"] == 990


async def test_steady_load_asks_seldom(shared: str) -> None:
    async with workers(shared, 2) as everybody:
        reports = await asyncio.gather(*(one.drain(2000, reads=100_000) for one in everybody))

    assert sum(report["admitted"] for report in reports) == 4000
    assert sum(report["settled"] for report in reports) <= 4000 * 0.05
