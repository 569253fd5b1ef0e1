"""Servers that change their parts: what sentinels watch, and a Cluster; without TLS and with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from authz.quota.counters.leases import LeasedCounters
from authz.quota.counters.ledger import Entry, LedgerLost, Line, Settlement, Window, Wish
from authz.quota.counters.redis import RedisLedger
from authz.telemetry import Tally
from harness.redis_server import BINARIES, WITH_TLS, Cluster, Watched, a_cluster, a_watched_server
from harness.tls import Authority, Mutual
from harness.waiting import until

TURNS = itertools.count(1)
LIMIT = 0.25
WITH_HANDSHAKES = 2.0
"""What a busy machine takes for TLS is not what is tested, and causes are named only within the time."""
SLOW = 0.6
END = 4_000_000_000


@pytest.fixture
async def watched(binary: Path) -> AsyncIterator[Watched]:
    async with a_watched_server(binary) as watched:
        yield watched


@pytest.fixture
async def cluster(binary: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(binary) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def a_ledger(url: str, heard: list[Window] | None = None, *, limit: float = LIMIT) -> AsyncIterator[RedisLedger]:
    ledger = RedisLedger(url, timeout=limit)
    await ledger.start((heard if heard is not None else []).append)
    try:
        yield ledger
    finally:
        await ledger.close()


def entry(subject: str, *, owner: str = "me", claim: int = 0) -> Entry:
    windows = [Window(("bookstore", name, subject), 0, END) for name in ("reads", "writes")]
    return Entry(next(TURNS), tuple([Line(window, owner, claim, 0, 0, 100) for window in windows]), (Wish(1, (1, 1)),))


async def claims(ledger: RedisLedger, subjects: list[str], **line: object) -> list[int | None]:
    """What is claimed of each subject's window after a step; None where none was made."""
    try:
        answers = await ledger.settle([entry(subject, **line) for subject in subjects])  # type: ignore[arg-type]
    except LedgerLost:
        return [None] * len(subjects)
    return [answer.balances[0].claimed if isinstance(answer, Settlement) else None for answer in answers]


async def works(ledger: RedisLedger, *subjects: str, limit: float = LIMIT) -> bool:
    """Whether a step can be made. It never takes longer than the limit."""
    began = time.monotonic()
    found = await claims(ledger, [*subjects] or ["c"])
    assert time.monotonic() - began < limit + SLOW
    return None not in found


# -- sentinels ------------------------------------------------------------------------------------------------


async def test_sentinels_name_the_primary(watched: Watched) -> None:
    heard: list[Window] = []
    async with a_ledger(watched.url) as ledger, a_ledger(watched.url, heard) as other:
        assert await claims(ledger, ["c"]) == [1]
        assert await claims(other, ["c"], owner="other") == [2]
        await until(lambda: other.hears)
        await ledger.recall([Window(("a",), 0, 1)])
        await until(lambda: heard)

    assert "authz:{c}:bookstore:reads:0-4000000000" in await watched.primary.say("KEYS", "*{c}*")


@pytest.mark.parametrize("end", ["kill", "pause"])
async def test_a_primary_that_is_gone_is_followed_by_the_one_that_sentinels_name_next(
    watched: Watched, end: str
) -> None:
    async with a_ledger(watched.url) as ledger:
        assert await works(ledger)
        getattr(watched.primary, end)()
        assert not await works(ledger)

        await until(lambda: works(ledger), within=20)
        await until(lambda: ledger.hears)
        assert await watched.primary_port() == watched.replica.port
        watched.primary.resume()
        assert await works(ledger)


async def test_a_primary_that_has_become_a_replica_is_left(watched: Watched) -> None:
    """What sentinels do in an exchange without a failure; they take ten seconds for it."""
    primary, replica, sentinel = watched.primary, watched.replica, watched.sentinel
    async with a_ledger(watched.url) as ledger:
        assert await works(ledger)
        await until(lambda: replica.say("EXISTS", "authz:{c}:bookstore:reads:0-4000000000"))
        await replica.say("REPLICAOF", "NO", "ONE")
        await sentinel.say("SENTINEL", "REMOVE", "counters")
        await sentinel.say("SENTINEL", "MONITOR", "counters", "127.0.0.1", replica.port, 1)
        await primary.say("REPLICAOF", "127.0.0.1", replica.port)

        assert not await works(ledger)  # it is told by a primary that is none any more
        assert await claims(ledger, ["c"], owner="other") == [2]
        await until(lambda: ledger.hears)


async def test_a_service_that_sentinels_do_not_know(watched: Watched) -> None:
    async with a_ledger(watched.url.replace("counters", "other")) as ledger:
        with pytest.raises(LedgerLost, match="knows no service 'other'"):
            await ledger.time()


async def test_a_sentinel_that_is_away_costs_nothing(watched: Watched) -> None:
    url = watched.url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:")
    async with a_ledger(url) as ledger:
        assert await works(ledger)


async def test_a_login_for_the_servers_and_one_for_the_sentinels(binary: Path) -> None:
    async with a_watched_server(binary, password="word", guard="other") as watched:
        url = watched.url.replace("//", "//:word@")
        async with a_ledger(f"{url}?sentinel_password=other") as ledger:
            assert await works(ledger)
        async with a_ledger(url) as ledger:
            with pytest.raises(LedgerLost, match=f":{watched.sentinel.port} wants a password"):
                await ledger.time()


# -- a Cluster ------------------------------------------------------------------------------------------------

MANY = [f"consumer:{number}" for number in range(60)]
"""Enough to be at all nodes."""


def slot(subject: str) -> int:
    return key_slot(subject.replace(":", "%3A").encode())


async def test_a_cluster_that_changes_its_parts(cluster: Cluster) -> None:
    """One long story, since a Cluster takes seconds to stand."""
    heard: list[Window] = []
    async with a_ledger(cluster.url) as ledger, a_ledger(cluster.url, heard) as other:
        # Steps for all nodes in one go; the windows of a subject are at one node.
        assert await claims(ledger, MANY) == [1] * len(MANY)
        assert await claims(other, MANY, owner="other") == [2] * len(MANY)
        for node in cluster.nodes[:3]:
            assert await node.say("DBSIZE") > 20
        await until(lambda: ledger.members == 2)

        # Recalls reach whoever listens at another node.
        await until(lambda: other.hears)
        await ledger.recall([Window(("a", "b"), 0, 1)])
        await until(lambda: heard)

        # A slot moves: first its windows go one by one, then the slot itself.
        await _move_and_ask(cluster, ledger, MANY[0])

        # A primary dies: the others' windows go on at once, its own when its replica has taken over.
        gone = cluster.owner(slot(MANY[1]))
        there = [one for one in MANY[1:] if cluster.owner(slot(one)) is not gone]
        lost = [one for one in MANY[1:] if cluster.owner(slot(one)) is gone]
        gone.kill()
        assert await claims(ledger, [lost[0], there[0]], claim=1) == [None, 3]
        await until(lambda: works(ledger, *lost), within=20)
        assert await claims(ledger, lost, claim=1) == [3] * len(lost)
        await until(lambda: ledger.hears)
        await until(lambda: other.hears)

        # It comes back as a replica of the other.
        await gone.start()
        assert await works(ledger, *MANY)


async def _move_and_ask(cluster: Cluster, ledger: RedisLedger, subject: str) -> None:
    number = slot(subject)
    source = cluster.owner(number)
    target = next(node for node in cluster.nodes[:3] if node is not source)
    source_id, target_id = await source.say("CLUSTER", "MYID"), await target.say("CLUSTER", "MYID")
    await target.say("CLUSTER", "SETSLOT", number, "IMPORTING", source_id)
    await source.say("CLUSTER", "SETSLOT", number, "MIGRATING", target_id)
    assert await claims(ledger, [subject], claim=1) == [3]  # still there

    keys = await source.say("CLUSTER", "GETKEYSINSLOT", number, 10)
    await source.say("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    assert await claims(ledger, [subject], claim=2) == [4]  # asked there

    for node in (target, source, *cluster.nodes[:3]):
        await node.say("CLUSTER", "SETSLOT", number, "NODE", target_id)
    assert await claims(ledger, [subject], claim=3) == [5]  # moved there
    await until(lambda: works(ledger, subject))


async def test_a_cluster_that_is_not_complete_says_so(binary: Path) -> None:
    async with a_cluster(binary) as cluster, a_ledger(cluster.url) as ledger:
        assert await works(ledger)
        for node in (cluster.nodes[0], cluster.nodes[3]):  # a primary and its replica
            node.kill()
        await until(lambda: _down(cluster), within=20)
        with pytest.raises(LedgerLost, match="Cluster that is down"):
            await _lost(ledger)


async def _down(cluster: Cluster) -> bool:
    return "cluster_state:fail" in await cluster.nodes[1].say("CLUSTER", "INFO")


async def _lost(ledger: RedisLedger) -> None:
    one = next(f"c{number}" for number in itertools.count() if slot(f"c{number}") * 3 // 16384 == 1)
    (answer,) = await ledger.settle([entry(one)])
    assert isinstance(answer, LedgerLost)
    raise answer


async def test_a_cluster_found_by_whichever_node_is_there(cluster: Cluster) -> None:
    nodes = [cluster.nodes[5].place, "127.0.0.1:1"]
    async with a_ledger("redis+cluster://" + ",".join(nodes)) as ledger:
        assert await works(ledger, *MANY)
        assert len({await asyncio.wait_for(ledger.time(), LIMIT) for _ in range(3)}) == 3


# -- TLS ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> Mutual:
    return Authority(tmp_path / "ours").mutual()


def kinds(behind_a_door: Path) -> pytest.MarkDecorator:
    """A server that speaks TLS behind a door, and one that does by itself where the machine has it."""
    ways = [pytest.param(behind_a_door, id="behind a door"), *[pytest.param(one, id="by itself") for one in WITH_TLS]]
    return pytest.mark.parametrize("binary", ways)


@kinds(BINARIES[0])
async def test_sentinels_and_their_servers_with_tls(
    binary: Path, tls: Mutual, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Window] = []
    async with (
        a_watched_server(binary, tls=tls) as watched,
        a_ledger(watched.url, limit=WITH_HANDSHAKES) as ledger,
        a_ledger(watched.url, heard, limit=WITH_HANDSHAKES) as other,
    ):
        assert await claims(ledger, ["c"]) == [1]
        assert await claims(other, ["c"], owner="other") == [2]
        await _hears(other, ledger, heard)
        await _strangers_are_told(watched.url, tls, tmp_path, caplog)

        watched.primary.kill()
        assert not await works(ledger, limit=WITH_HANDSHAKES)
        await until(lambda: works(ledger, limit=WITH_HANDSHAKES), within=20)
        await until(lambda: works(other, limit=WITH_HANDSHAKES), within=20)
        assert await watched.primary_port() == watched.replica.port
        await _hears(other, ledger, heard)


@kinds(BINARIES[-1])
async def test_a_cluster_with_tls(binary: Path, tls: Mutual, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Window] = []
    async with (
        a_cluster(binary, tls=tls) as cluster,
        a_ledger(cluster.url, limit=WITH_HANDSHAKES) as ledger,
        a_ledger(cluster.url, heard, limit=WITH_HANDSHAKES) as other,
    ):
        assert await claims(ledger, MANY) == [1] * len(MANY)
        assert await claims(other, MANY, owner="other") == [2] * len(MANY)
        await _hears(other, ledger, heard)
        await _move_and_ask(cluster, ledger, MANY[0])
        for node in cluster.nodes:  # from now on they leave their hosts away
            await node.say("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
        await _move_and_ask(cluster, ledger, MANY[2])
        await _strangers_are_told(cluster.url, tls, tmp_path, caplog)

        gone = cluster.owner(slot(MANY[1]))
        lost = [one for one in MANY[1:] if cluster.owner(slot(one)) is gone]
        gone.kill()
        assert not await works(ledger, *lost, limit=WITH_HANDSHAKES)
        await until(lambda: works(ledger, *lost, limit=WITH_HANDSHAKES), within=20)
        assert await claims(ledger, lost, claim=1) == [3] * len(lost)
        await _hears(other, ledger, heard)


async def _hears(listener: RedisLedger, caller: RedisLedger, heard: list[Window]) -> None:
    """A recall arrives. One that is said while servers change their parts may not."""
    heard.clear()

    async def called() -> bool:
        await caller.recall([Window(("a", "b"), 0, 1)])
        return listener.hears and bool(heard)

    await until(called)


async def _strangers_are_told(url: str, tls: Mutual, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who trusts others, has no certificate or speaks no TLS gets an answer in time, and the log has one line of it."""
    others = Authority(directory / "theirs", "somebody else").cert
    certificate = f"&ssl_certfile={tls.client.cert}&ssl_keyfile={tls.client.key}"
    strange = {
        url.replace(str(tls.ca), str(others)): "has a certificate that is not trusted (self-signed",
        url.replace(certificate, ""): "a client certificate (ssl_certfile)?",
        url.partition("?")[0].replace("rediss+", "redis+"): "does it want TLS (rediss://)",
    }
    for wrong, sentence in strange.items():
        caplog.clear()
        ledger = RedisLedger(wrong, timeout=WITH_HANDSHAKES)
        counters = LeasedCounters(ledger, Tally())
        await counters.start()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(LedgerLost, match=re.escape(sentence)):
                await ledger.time()
            assert time.monotonic() - began < WITH_HANDSHAKES + SLOW
        assert not ledger.hears
        await counters.close()

        (line,) = [record.message for record in caplog.records]
        assert sentence in line
