"""What can go wrong between a process and its Redis: an answer in time, and a sentence that helps."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from authz.quota.counters.ledger import Entry, LedgerLost, Line, Settlement, Window, Wish
from authz.quota.counters.redis import RedisLedger, trouble
from harness import redis_proxy
from harness.redis_proxy import answering, black_hole, echo, forward_to, hang_up, serving
from harness.redis_server import BINARIES, Server, a_server
from harness.tls import Authority
from harness.waiting import until

TURNS = itertools.count(1)
LIMIT = 0.25
SLOW = 0.6
"""What a busy machine may add to a time limit."""


@contextlib.asynccontextmanager
async def a_ledger(url: str, *, timeout: float = 2) -> AsyncIterator[RedisLedger]:  # noqa: ASYNC109 - it is the ledger's
    ledger = RedisLedger(url, timeout=timeout)
    await ledger.start(lambda _: None)
    try:
        yield ledger
    finally:
        await ledger.close()


def entry(subject: str = "consumer:1", owner: str = "me", *, claim: int = 0) -> Entry:
    window = Window(("bookstore", "reads", subject), 0, 4_000_000_000)
    return Entry(next(TURNS), (Line(window, owner, claim, 0, 0, 100),), (Wish(1, (1,)),))


async def settled(ledger: RedisLedger, one: Entry | None = None) -> Settlement:
    (answer,) = await ledger.settle([one or entry()])
    if isinstance(answer, LedgerLost):
        raise answer
    return answer


async def why(url: str, *, timeout: float = 2) -> str:  # noqa: ASYNC109 - it is the ledger's
    """What is said when a step cannot be made."""
    async with a_ledger(url, timeout=timeout) as ledger:
        with pytest.raises(LedgerLost) as raised:
            await settled(ledger)
    return str(raised.value)


# -- logging in -----------------------------------------------------------------------------------------------

LOGINS = [
    ("", "wants a password, and the URL has none"),
    (":wrong-word@", "does not accept the user name or password"),
    ("nobody:right-word@", "does not accept the user name or password"),
]


@pytest.mark.parametrize(("login", "sentence"), LOGINS)
async def test_credentials_that_do_not_fit(
    binary: Path, login: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_server(binary, requirepass="right-word") as server:
        said = await why(server.url.replace("//", f"//{login}"))

    assert said == f"Redis at {server.place} {sentence}"
    assert "-word" not in caplog.text + said


async def test_a_password_where_none_is_set(server: Server) -> None:
    assert "has no password set for this user" in await why(server.url.replace("//", "//:word@"))


async def test_the_right_password(binary: Path) -> None:
    async with a_server(binary, requirepass="p@ss/w:rd#") as server:
        for login in (":p%40ss%2Fw%3Ard%23@", "default:p%40ss%2Fw%3Ard%23@"):
            async with a_ledger(server.url.replace("//", f"//{login}")) as ledger:
                assert (await settled(ledger)).admitted == (1,)


def test_the_permissions_that_we_name_are_in_the_readme() -> None:
    readme = (Path(__file__).parents[4] / "README.md").read_text()

    assert {word.rstrip(",") for word in trouble._PERMISSIONS.split() if word[0] in "~&+"} <= {
        *re.findall(r"[~&+][\w:|*-]+", readme)
    }


async def test_a_user_with_the_permissions_that_we_name_can_do_everything(server: Server) -> None:
    granted = trouble._PERMISSIONS.removeprefix("grant ").split(", and ")[0].split()
    await server.say("ACL", "SETUSER", "counter", "on", ">word", "resetchannels", *granted)

    async with a_ledger(server.url.replace("//", "//counter:word@")) as ledger:
        await until(lambda: ledger.hears)
        assert (await settled(ledger)).admitted == (1,)
        assert ledger.members == 1
        await server.say("SCRIPT", "FLUSH")
        assert (await settled(ledger, entry("consumer:2"))).admitted == (1,)
        assert await ledger.time() > 0


@pytest.mark.parametrize("rules", [["+@all", "~other:*"], ["-@all", "~*"], ["+@all", "-hset", "~*"]])
async def test_a_user_who_may_not_count(server: Server, rules: list[str]) -> None:
    await server.say("ACL", "SETUSER", "counter", "on", ">word", "&*", *rules)

    assert "does not let its user count: grant ~authz:*" in await why(server.url.replace("//", "//counter:word@"))


async def test_a_user_who_may_not_listen_counts_and_one_line_tells(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authz.quota.counters.redis.ears._LONGEST_PAUSE", 0.02)
    await server.say("ACL", "SETUSER", "counter", "on", ">word", "+@all", "~*", "resetchannels")

    async with a_ledger(server.url.replace("//", "//counter:word@")) as ledger:
        assert not ledger.hears
        assert (await settled(ledger)).admitted == (1,)
        await asyncio.sleep(0.2)
        await server.say("ACL", "SETUSER", "counter", "&authz:*")
        await until(lambda: ledger.hears)

    (line,) = [record.message for record in caplog.records]
    assert "recalls cannot be heard" in line
    assert "&authz:*" in line


# -- a server that cannot -------------------------------------------------------------------------------------


async def test_a_full_server_says_so_and_changes_nothing(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await settled(ledger)
        await server.say("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(LedgerLost, match="is full: raise maxmemory"):
            await settled(ledger, entry(claim=1))
        assert await ledger.time() > 0

        await server.say("CONFIG", "SET", "maxmemory", "0")
        assert (await settled(ledger, entry(owner="other"))).balances[0].claimed == 2


async def test_a_replica_says_so(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await server.say("REPLICAOF", "127.0.0.1", server.port)
        with pytest.raises(LedgerLost, match=r"is a replica.*redis\+sentinel://"):
            await settled(ledger)


async def test_something_else_under_the_name_of_a_counter(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await server.say("SET", "authz:{consumer%3A1}:bookstore:reads:0-4000000000", "x")
        with pytest.raises(LedgerLost, match="something else under the name of a counter"):
            await settled(ledger)


async def test_one_entry_that_fails_leaves_the_others(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await server.say("SET", "authz:{b}:bookstore:reads:0-4000000000", "x")
        first, second, third = await ledger.settle([entry("a"), entry("b"), entry("c")])

    assert isinstance(second, LedgerLost)
    assert isinstance(first, Settlement)
    assert isinstance(third, Settlement)


async def test_urls_that_lead_to_another_kind_of_server(server: Server, binary: Path) -> None:
    assert "is not a Cluster" in await why(server.url.replace("redis:", "redis+cluster:"))
    assert "lacks a command" in await why(server.url.replace("redis:", "redis+sentinel:") + "/main")
    assert "no such database" in await why(server.url + "/99")
    async with a_server(binary, cluster_enabled="yes") as node:
        assert "Cluster" in await why(node.url)


async def test_nobody_there(tmp_path: Path) -> None:
    with black_hole() as port:
        began = time.monotonic()
        assert "does not answer within 0.25 s" in await why(f"redis://127.0.0.1:{port}", timeout=LIMIT)
        assert time.monotonic() - began < 4 * LIMIT + SLOW  # starting tries it, too, and so does leaving
    assert "cannot be reached: Connect" in await why("redis://127.0.0.1:1")
    assert "cannot be reached: No such file" in await why(f"unix://{tmp_path}/none")
    assert "cannot be reached: " in await why("redis://no-such-host.invalid")
    assert "cannot be reached: Connect" in await why("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    assert "cannot be reached: Connect" in await why("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection as a server does that has not read everything, such as one that misses a certificate."""
    await reader.read(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


NONSENSE = {
    "HTTP": (answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "not Redis' protocol"),
    "an echo": (echo, "not Redis' protocol"),
    "noise": (answering(bytes(range(256)) * 40), "not Redis' protocol"),
    "wrong shape": (answering(b"+PONG\r\n" * 9), "not Redis' protocol"),
    "a deep reply": (answering(b"*1\r\n" * 100_000), "not Redis' protocol"),
    "a number too large": (answering(b"*99999999999999999999\r\n"), "not Redis' protocol"),
    "half a reply": (answering(b"*14\r\n$6\r\nserver\r\n$5\r\nre"), "does not answer within"),
    "silence": (answering(), "does not answer within"),
    "hanging up": (hang_up, "has ended the connection"),
    "a reset": (reset, "has ended the connection: does it want TLS (rediss://), or a client certificate"),
    "an old server": (answering(b"-ERR unknown command 'HELLO'\r\n" + b"+OK\r\n" * 3), "Redis 6.2 or Valkey is needed"),
    "version 5": (
        answering(b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n5.0.9\r\n" + b"+OK\r\n" * 3),
        "Redis 6.2 or Valkey is needed",
    ),
    "loading": (answering(b"-LOADING Redis is loading the dataset in memory\r\n"), "is still loading its data"),
    "too many clients": (answering(b"-ERR max number of clients reached\r\n"), "has no connection left"),
}


@pytest.mark.parametrize(("serve", "sentence"), NONSENSE.values(), ids=NONSENSE)
async def test_a_server_that_is_not_redis(
    serve: redis_proxy.Serve, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(serve) as port:
        said = await why(f"redis://127.0.0.1:{port}", timeout=LIMIT)
        said_to_ann = await why(f"redis://ann:secret-word@127.0.0.1:{port}", timeout=LIMIT)

    assert sentence in said
    assert "secret-word" not in said_to_ann + caplog.text


@pytest.mark.parametrize("serve", [echo, hang_up, answering(bytes(range(256)))])
async def test_trying_again_and_again_leaves_nothing_behind(serve: redis_proxy.Serve) -> None:
    async with serving(serve) as port, a_ledger(f"redis://127.0.0.1:{port}", timeout=LIMIT) as ledger:

        async def tried() -> tuple[int, int]:
            for _ in range(60):
                with pytest.raises(LedgerLost):
                    await settled(ledger)
            return _open_files(), len(asyncio.all_tasks())

        files, tasks = await tried()
        files_later, tasks_later = await tried()

    assert files_later <= files + 6
    assert tasks_later <= tasks + 6


def _open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


# -- a server that comes and goes -----------------------------------------------------------------------------


async def test_a_server_that_stops_answering_is_waited_for_no_longer_than_the_limit(server: Server) -> None:
    async with a_ledger(server.url, timeout=LIMIT) as ledger:
        await settled(ledger)
        server.pause()
        for _ in range(2):  # on the connection that stands, and on a new one
            began = time.monotonic()
            answers = await asyncio.gather(*[settled(ledger) for _ in range(20)], return_exceptions=True)
            assert time.monotonic() - began < LIMIT + SLOW
            assert all(isinstance(answer, LedgerLost) for answer in answers)
        await until(lambda: not ledger.hears)
        assert ledger.members == 1

        server.resume()
        await until(lambda: _works(ledger))
        await until(lambda: ledger.hears)


async def test_a_server_that_dies_is_found_again_when_it_is_back(server: Server) -> None:
    async with a_ledger(server.url, timeout=LIMIT) as ledger:
        await settled(ledger, entry(claim=5))
        server.kill()
        with pytest.raises(LedgerLost, match=r"cannot be reached|has ended the connection"):
            await settled(ledger)
        await until(lambda: not ledger.hears)

        await server.start()
        assert (await settled(ledger, entry(owner="other"))).balances[0].claimed == 1  # it knows nothing any more
        await until(lambda: ledger.hears)


async def test_connections_that_somebody_ends_are_made_anew(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await settled(ledger)
        for kind in ("normal", "pubsub"):
            await server.say("CLIENT", "KILL", "TYPE", kind)
        await until(lambda: _works(ledger))
        await until(lambda: ledger.hears)


async def test_a_server_that_forgets_scripts_or_everything_goes_on(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await settled(ledger)
        await server.say("SCRIPT", "FLUSH")
        answers = await ledger.settle([entry(subject) for subject in "abc"])
        await server.say("FLUSHALL")

        assert [answer.admitted for answer in answers if isinstance(answer, Settlement)] == [(1,)] * 3
        assert (await settled(ledger)).balances[0].claimed == 1


async def test_a_caller_who_leaves_does_not_disturb_the_others(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        tasks = [asyncio.create_task(settled(ledger, entry(f"{number}"))) for number in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(answer, Settlement) for answer in answers[1::2])
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])


async def test_steps_of_one_turn_of_the_loop_travel_on_one_connection(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        await asyncio.gather(*[settled(ledger, entry(f"{number}")) for number in range(100)])
        clients = (await server.say("CLIENT", "LIST")).splitlines()

    assert sum("name=authz" in client for client in clients) == 2  # one to ask, one to listen


async def test_a_ledger_can_be_closed_in_any_state(server: Server) -> None:
    for end in (lambda: None, server.pause, server.kill):
        async with a_ledger(server.url, timeout=LIMIT) as ledger:
            end()
            waiting = asyncio.create_task(settled(ledger))
            await asyncio.sleep(0)
        with contextlib.suppress(LedgerLost):
            await waiting


async def _works(ledger: RedisLedger) -> bool:
    with contextlib.suppress(LedgerLost):
        return bool((await settled(ledger)).now)
    return False


# -- ways in --------------------------------------------------------------------------------------------------


async def test_a_unix_socket(server: Server) -> None:
    async with a_ledger(f"unix://{server.socket}?db=3") as ledger:
        await settled(ledger)
        await until(lambda: ledger.hears)

    assert "db3" in await server.say("INFO", "keyspace")


async def test_windows_vanish_by_themselves_when_they_are_over(server: Server) -> None:
    async with a_ledger(server.url) as ledger:
        window = Window(("bookstore", "reads", "c"), 0, int(await ledger.time()) + 2)
        await ledger.settle([Entry(1, (Line(window, "me", 1, 0, 0, 9),), ())])
        seconds = await server.say("TTL", f"authz:{{c}}:bookstore:reads:0-{window.end}")

    assert 5 <= seconds <= 7


class Tls:
    """A server's port behind TLS."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.authority = Authority(directory / "ours")
        self.stranger = Authority(directory / "theirs", "somebody else")

    @contextlib.asynccontextmanager
    async def url(self, *names: str, client_ca: Path | None = None) -> AsyncIterator[Callable[..., str]]:
        context = self.authority.leaf("server", *names).server_context(client_ca=client_ca)
        async with serving(forward_to(self.server.port), context) as port:

            def url(*options: str, scheme: str = "rediss") -> str:
                return f"{scheme}://127.0.0.1:{port}?{'&'.join(options)}"

            yield url

    @property
    def trusted(self) -> str:
        return f"ssl_ca_certs={self.authority.cert}"


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[Tls]:
    async with a_server(BINARIES[0]) as server:
        yield Tls(server, tmp_path)


async def test_tls_with_an_authority_of_ones_own(tls: Tls) -> None:
    async with tls.url() as url, a_ledger(url(tls.trusted)) as ledger:
        assert (await settled(ledger)).admitted == (1,)
        await until(lambda: ledger.hears)


async def test_tls_with_a_client_certificate(tls: Tls) -> None:
    ours, theirs = tls.authority.leaf("client"), tls.stranger.leaf("client")
    async with tls.url(client_ca=tls.authority.cert) as url:
        good = [tls.trusted, f"ssl_certfile={ours.cert}", f"ssl_keyfile={ours.key}"]
        bad = [tls.trusted, f"ssl_certfile={theirs.cert}", f"ssl_keyfile={theirs.key}"]
        async with a_ledger(url(*good)) as ledger:
            assert (await settled(ledger)).admitted == (1,)
        for options in (bad, [tls.trusted]):
            assert "a client certificate (ssl_certfile)?" in await why(url(*options))


async def test_a_certificate_that_is_not_trusted(tls: Tls) -> None:
    async with tls.url() as url, tls.url("cache.example") as other_name:
        assert "has a certificate that is not trusted (" in await why(url())
        assert "has a certificate that is not trusted (" in await why(url(f"ssl_ca_certs={tls.stranger.cert}"))
        assert "not trusted (IP address mismatch" in await why(other_name(tls.trusted))
        async with a_ledger(other_name(tls.trusted, "ssl_check_hostname=false")) as ledger:
            assert (await settled(ledger)).admitted == (1,)


async def test_tls_at_one_end_only(tls: Tls) -> None:
    said = await why(f"rediss://127.0.0.1:{tls.server.port}", timeout=LIMIT)
    assert "does not answer within 0.25 s over TLS; does it speak TLS?" in said
    async with tls.url() as url:
        assert "does it want TLS (rediss://)" in await why(url(scheme="redis"), timeout=LIMIT)
