"""Walk 2: how much is left? Limits, costs, headers and overrides, through a real Envoy and the whole gateway.

Windows are days, so that none ends while a test counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from authz.admin import keys, overrides
from authz.app import Gateway
from authz.store.sql import open_store
from harness import gateway, http
from harness.http import Response, Upstream
from harness.load import crowd
from harness.waiting import until
from walks.documents import GUARDED, OPEN, document3

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "quota.example.test"
DAY = 86_400


def costs(**amounts: int) -> dict[str, Any]:
    return {"x-google-quota": {"metricCosts": amounts}}


LIMITS = {
    "reads-per-day": ("reads", "d", 3),
    "writes-per-day": ("writes", "d", 10),
    "calls-per-day": ("calls", "d", 50),
    "blocked-per-day": ("blocked", "d", 0),
    "free-per-day": ("free", "d", -1),
    "short-per-minute": ("two", "min", 1000),
    "long-per-day": ("two", "d", 4),
}
TEXT = document3(
    HOST,
    {
        "/read": {"get": {**GUARDED, **costs(reads=1)}},
        "/write": {"post": {**GUARDED, **costs(writes=4, reads=1)}},
        "/writes": {"post": {**GUARDED, **costs(writes=4)}},
        "/large": {"get": {**GUARDED, **costs(reads=5)}},
        "/calls": {"get": {**GUARDED, **costs(calls=1)}},
        "/blocked": {"get": {**GUARDED, **costs(blocked=1)}},
        "/free": {"get": {**GUARDED, **costs(free=1)}},
        "/two": {"get": {**GUARDED, **costs(two=1)}},
        "/plain": {"get": GUARDED},
        "/open": {"get": {**OPEN, **costs(reads=1)}},
        "/optional": {"get": {"security": [{"key": []}, {}], **costs(reads=1)}},
    },
    limits=LIMITS,
)


@dataclass
class Stage:
    running: gateway.Running
    backend: Upstream
    made: int = 0

    def key(self) -> str:
        """The key of a consumer who has not called yet."""
        self.made += 1
        return keys.create(self.running.store, f"consumer-{self.made}", now=time.time()).text

    async def call(self, path: str, key: str = "", method: str = "", **more: Any) -> Response:
        method = method or ("POST" if path.startswith("/write") else "GET")
        headers = [("x-api-key", key)] if key else []
        return await http.fetch(self.running.port, method, path, headers, host=HOST, **more)

    async def statuses(self, path: str, key: str = "", *, times: int, **more: Any) -> list[int]:
        return [(await self.call(path, key, **more)).status for _ in range(times)]


@pytest.fixture(scope="module", params=[True, False], ids=["asked once", "asked twice"])
def in_check(request: pytest.FixtureRequest) -> bool:
    """Callers must not notice which way Envoy asks."""
    return bool(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str, in_check: bool) -> AsyncIterator[Stage]:
    async with (
        Upstream() as backend,
        gateway.running(
            tmp_path_factory.mktemp("quota"),
            [TEXT],
            now=time.time(),
            backend=f"http://{backend.address}",
            quota_in_check=in_check,
        ) as running,
    ):
        yield Stage(running, backend)


async def test_a_limit_is_counted_down_and_refused(stage: Stage) -> None:
    key = stage.key()
    answers = [await stage.call("/read", key) for _ in range(5)]
    left = DAY - time.time() % DAY
    refused = answers[-1]

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["2", "1", "0", "0", "0"]
    assert refused.header("x-ratelimit-limit") == f'3, 3;w={DAY};name="reads-per-day"'
    for name in ("x-ratelimit-reset", "retry-after"):
        assert abs(int(refused.header(name) or 0) - left) <= 2
    assert refused.json()["code"] == 429
    assert refused.json()["message"].startswith("RESOURCE_EXHAUSTED: ")
    assert answers[0].header("retry-after") is None


async def test_what_is_refused_reaches_no_backend(stage: Stage) -> None:
    key, before = stage.key(), len(stage.backend.seen)
    await stage.statuses("/read", key, times=6)

    assert len(stage.backend.seen) - before == 3


async def test_all_metrics_are_charged_or_none(stage: Stage) -> None:
    key = stage.key()
    assert await stage.statuses("/write", key, times=2) == [200, 200]
    answer = await stage.call("/write", key)
    assert answer.status == 429
    # The third would have been 12 of 10 writes: it took no read either, so one is left.
    assert await stage.statuses("/read", key, times=2) == [200, 429]
    # And with no read left, the two writes that are left stay.
    assert (await stage.call("/write", key)).status == 429


async def test_every_limit_is_told(stage: Stage) -> None:
    answer = await stage.call("/write", stage.key())
    limit = answer.header("x-ratelimit-limit") or ""

    assert f'3;w={DAY};name="reads-per-day"' in limit
    assert f'10;w={DAY};name="writes-per-day"' in limit
    assert limit.split(",")[0] == "3"
    assert answer.header("x-ratelimit-remaining") == "2"


async def test_two_limits_of_one_metric(stage: Stage) -> None:
    key = stage.key()
    answers = [await stage.call("/two", key) for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429]
    limit = answers[-1].header("x-ratelimit-limit") or ""
    assert limit.startswith("4, ")
    assert '1000;w=60;name="short-per-minute"' in limit
    assert int(answers[-1].header("retry-after") or 0) > 60 or DAY - time.time() % DAY < 62


async def test_more_than_a_limit_in_one_call(stage: Stage) -> None:
    key = stage.key()

    assert await stage.statuses("/large", key, times=2) == [429, 429]
    assert await stage.statuses("/read", key, times=1) == [200]


async def test_a_refusal_is_marked_as_envoys_own_and_speaks_grpc_to_grpc(stage: Stage) -> None:
    key = stage.key()
    await stage.statuses("/read", key, times=3)
    refused = await stage.call("/read", key)
    content = [("x-api-key", key), ("content-type", "application/grpc")]
    call = await http.fetch(stage.running.port, "GET", "/read", content, host=HOST)

    assert refused.header("x-envoy-ratelimited") == ("true" if stage.running.settings.envoy_headers else None)
    assert (call.status, call.header("grpc-status")) == (200, "8")
    assert (call.header("grpc-message") or "").startswith("RESOURCE_EXHAUSTED")


async def test_consumers_are_counted_apart(stage: Stage) -> None:
    assert [await stage.statuses("/read", stage.key(), times=4) for _ in range(2)] == [[200, 200, 200, 429]] * 2


async def test_two_keys_of_a_consumer_are_counted_together(stage: Stage) -> None:
    one, two = (keys.create(stage.running.store, "twokeys", now=time.time()).text for _ in range(2))

    assert await stage.statuses("/read", one, times=2) == [200, 200]
    assert await stage.statuses("/read", two, times=2) == [200, 429]


async def test_a_denied_call_is_not_charged(stage: Stage) -> None:
    key = stage.key()
    assert await stage.statuses("/read?key=wrong", key, times=5) == [400] * 5
    assert await stage.statuses("/read", key, times=4) == [200, 200, 200, 429]


async def test_operations_without_a_cost_have_no_headers(stage: Stage) -> None:
    answer = await stage.call("/plain", stage.key())

    assert answer.status == 200
    assert [name for name, _ in answer.headers if name.startswith("x-ratelimit")] == []


@pytest.mark.parametrize(("path", "statuses"), [("/blocked", {429}), ("/free", {200})])
async def test_none_and_unlimited(stage: Stage, path: str, statuses: set[int]) -> None:
    key = stage.key()

    assert set(await stage.statuses(path, key, times=6)) == statuses


@pytest.mark.parametrize("paths", [["/calls"], ["/calls", "/calls?x=1"]])
async def test_exactly_the_limit_is_admitted_however_many_come_at_once(stage: Stage, paths: list[str]) -> None:
    key = stage.key()
    answers = await crowd(stage.call(paths[n % len(paths)], key) for n in range(200))

    assert Counter(answer.status for answer in answers) == {200: 50, 429: 150}


async def test_costs_larger_than_one_are_exact_at_once_too(stage: Stage) -> None:
    key = stage.key()
    answers = await asyncio.gather(*(stage.call("/writes", key) for _ in range(40)))

    assert Counter(answer.status for answer in answers) == {200: 2, 429: 38}


# -- whom nobody knows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "first"), [("/open", 11), ("/optional", 21)])
async def test_anonymous_callers_are_counted_by_address(stage: Stage, path: str, first: int) -> None:
    addresses = [f"127.0.0.{first}", f"127.0.0.{first + 1}"]
    counted = [await stage.statuses(path, times=4, source=address) for address in addresses]

    assert counted == [[200, 200, 200, 429]] * 2


async def test_a_claimed_address_is_nobodys_counter(stage: Stage) -> None:
    statuses = [
        (
            await http.fetch(
                stage.running.port, "GET", "/open", [("x-forwarded-for", f"10.0.0.{n}")],
                host=HOST, source="127.0.0.31",
            )
        ).status
        for n in range(5)
    ]  # fmt: skip

    assert statuses == [200, 200, 200, 429, 429]


async def test_who_is_known_does_not_use_up_the_address(stage: Stage) -> None:
    assert await stage.statuses("/optional", stage.key(), times=3, source="127.0.0.41") == [200] * 3
    assert await stage.statuses("/optional", times=4, source="127.0.0.41") == [200, 200, 200, 429]


async def test_behind_a_trusted_proxy_its_word_counts(tmp_path: Path, in_check: bool) -> None:
    async with (
        Upstream() as backend,
        gateway.running(
            tmp_path,
            [TEXT],
            now=time.time(),
            backend=f"http://{backend.address}",
            trusted_hops=1,
            quota_in_check=in_check,
        ) as running,
    ):
        counted = {}
        for path, address in (("/open", "10.0.0.1"), ("/open", "10.0.0.2"), ("/optional", "10.0.0.3")):
            headers = [("x-forwarded-for", f"1.1.1.1, {address}")]
            answers = [await http.fetch(running.port, "GET", path, headers, host=HOST) for _ in range(4)]
            counted[path, address] = [answer.status for answer in answers]

    assert set(map(tuple, counted.values())) == {(200, 200, 200, 429)}


# -- overrides on a running gateway -----------------------------------------------------------------------------------


async def test_overrides_take_effect_and_go_again(stage: Stage) -> None:
    made = keys.create(stage.running.store, "special", now=time.time())
    store, key = stage.running.store, made.text
    assert await stage.statuses("/read", key, times=4) == [200, 200, 200, 429]

    async def is_(status: int) -> bool:
        return (await stage.call("/large" if status == 200 else "/read", key)).status == status

    overrides.set_override(store, HOST, "special", 100, metric="reads")
    await until(lambda: is_(200), within=2)
    answer = await stage.call("/read", key)
    assert (answer.header("x-ratelimit-limit") or "").startswith("100, ")
    assert int(answer.header("x-ratelimit-remaining") or 0) < 97, "what was counted stays counted"
    assert (await stage.call("/read", stage.key())).header("x-ratelimit-remaining") == "2"

    overrides.set_override(store, HOST, "special", 0, limit="reads-per-day")
    await until(lambda: is_(429), within=2)
    overrides.set_override(store, HOST, "special", -1, limit="reads-per-day")
    await until(lambda: is_(200), within=2)
    overrides.unset(store, HOST, "special", limit="reads-per-day")
    overrides.unset(store, HOST, "special", metric="reads")
    await until(lambda: is_(429), within=2)


# -- a sidecar that does not answer -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """An address where connections are taken and nothing is ever said."""
    over = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """An address where nobody listens."""
    async with silence() as address:
        pass
    yield address


@pytest.mark.parametrize("where", [nobody, silence])
@pytest.mark.parametrize(("when_down", "status"), [("allow", 200), ("deny", 503)])
async def test_without_a_sidecar_quota_does_what_the_setting_says_and_check_never_opens(
    tmp_path: Path, where: Any, when_down: str, status: int, in_check: bool
) -> None:
    values = {
        "quota_when_down": when_down,
        "quota_timeout": 0.2,
        "check_timeout": 0.2,
        "drain_seconds": 0.1,
        "quota_in_check": in_check,
    }
    async with contextlib.AsyncExitStack() as stack:
        backend = await stack.enter_async_context(Upstream())
        chosen = gateway.settings(tmp_path, backend=f"http://{backend.address}", **values)
        store = stack.enter_context(contextlib.closing(open_store(tmp_path)))
        key = keys.create(store, "ann", now=time.time()).text
        whole = Gateway(chosen, store, tmp_path)
        await stack.enter_async_context(whole.running())
        whole.sidecar = await stack.enter_async_context(where())
        proxy = await stack.enter_async_context(whole.envoy())
        await gateway.Running(chosen, store, whole, proxy).deploy(TEXT, now=time.time())
        await proxy.wait_ready()

        answers = {
            path: await http.fetch(chosen.port, "GET", path, [("x-api-key", key)], host=HOST)
            for path in ("/open", "/read", "/plain")
        }

    assert {path: answer.status for path, answer in answers.items()} == {"/open": status, "/read": 503, "/plain": 503}
    assert answers["/read"].json()["code"] == 503
