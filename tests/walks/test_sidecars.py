"""Between Envoy and its sidecars: several of them share the load and stand in for each other; TLS on both sides."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from authz import wire
from authz.admin import keys
from authz.proxy import Proxy, free_port
from authz.settings import Settings
from harness import gateway, http, process
from harness.http import Upstream
from harness.tls import Authority
from harness.waiting import until
from walks.documents import GUARDED, document
from walks.place import Place, a_place

HOST = "secured.example.test"


@dataclasses.dataclass
class Two:
    """Two sidecars behind one Envoy; `second` is the one that may go."""

    place: Place
    stack: contextlib.AsyncExitStack
    address: str
    second: process.Command

    async def leave(self, how: signal.Signals) -> None:
        self.second.process.send_signal(how)
        if how is not signal.SIGSTOP:
            await self.second.ended()

    async def come_back(self, how: signal.Signals) -> None:
        if how is signal.SIGSTOP:
            self.second.process.send_signal(signal.SIGCONT)
            return
        self.second = await self.stack.enter_async_context(self.place.serving(self.address))

    async def asked(self) -> tuple[int, int]:
        """How many questions each of them was asked by now."""
        return await self._count(self.place.sidecar), await self._count(self.address)

    async def _count(self, address: str) -> int:
        return int(await self._of(address, "rq_total"))

    async def healthy(self) -> bool:
        return await self._of(self.address, "health_flags") == "healthy"

    async def _of(self, address: str, name: str) -> str:
        text = await Proxy(Settings(), admin=f"unix:{self.place.directory}/admin").admin("/clusters")
        start = f"{wire.SIDECAR_CLUSTER}::{address}::{name}::"
        return next(line.removeprefix(start) for line in text.splitlines() if line.startswith(start))


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    address = f"127.0.0.1:{free_port()}"
    async with a_place(tmp_path, over="tcp") as place, contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(place.serving())
        await stack.enter_async_context(process.envoy(place.bootstrap(address)))
        await place.deploy(1)
        two = Two(place, stack, address, await stack.enter_async_context(place.serving(address)))
        await place.answers("/guarded", place.key)
        await until(two.healthy)
        yield two


async def test_when_one_of_two_ends_or_stands_still_no_caller_is_refused_and_it_comes_back_by_itself(two: Two) -> None:
    """A caller may wait: half of `check_timeout`, where a sidecar stands still."""
    async with two.place.loaded() as told:
        await _more(two, await two.asked())
        for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
            await two.leave(end)
            await until(lambda: _is_out(two))
            before = told.done("good")
            await until(lambda: told.done("good") > before + 100)  # noqa: B023 - it is waited for here
            await two.come_back(end)
            await until(two.healthy)
            await _more(two, await two.asked())

    assert {name: told.outcomes(name) for name in ("good", "bad", "none", "open", "counted")} == {
        "good": {200}, "bad": {400}, "none": {401}, "open": {200}, "counted": {200},
    }  # fmt: skip


async def _is_out(two: Two) -> bool:
    return not await two.healthy()


async def _more(two: Two, before: tuple[int, int]) -> None:
    """Wait until both were asked some more."""

    async def asked() -> bool:
        return all(now > then + 50 for now, then in zip(await two.asked(), before, strict=True))

    await until(asked)


# -- TLS --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def secured(directory: Path, **changes: str) -> AsyncIterator[gateway.Running]:
    """A gateway whose Envoy and sidecar speak mutual TLS over TCP, for Check as for its configuration."""
    authority = Authority(directory / "tls")
    server, client = authority.leaf("server", "127.0.0.1"), authority.leaf("client", "envoy")
    tls = {
        "sidecar_tls_cert": server.cert, "sidecar_tls_key": server.key, "sidecar_tls_client_ca": authority.cert,
        "sidecar_tls_ca": authority.cert, "sidecar_tls_client_cert": client.cert, "sidecar_tls_client_key": client.key,
    }  # fmt: skip
    text = document(HOST, {"/guarded": {"get": GUARDED}})
    async with (
        Upstream() as backend,
        gateway.running(
            directory / "data", [text], now=0.0, backend=f"http://{backend.address}", sidecar_address="127.0.0.1:0",
            **{"xds_address": "127.0.0.1:0", **{name: str(value) for name, value in tls.items()}, **changes},
        ) as running,
    ):  # fmt: skip
        yield running


async def status(running: gateway.Running) -> int:
    key = keys.create(running.store, "ann", now=0.0).text
    return (await http.fetch(running.port, "GET", "/guarded", [("x-api-key", key)], host=HOST)).status


async def test_envoy_and_the_sidecar_prove_themselves_to_each_other(tmp_path: Path) -> None:
    async with secured(tmp_path) as running:
        assert await status(running) == 200

        roots = (tmp_path / "tls" / "ca.pem").read_bytes()
        for address in (running.gateway.sidecar, running.gateway.xds):
            for channel in (
                grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots)),
                grpc.aio.insecure_channel(address),
            ):
                async with channel:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await status(running) == 200


@pytest.mark.parametrize("wrong", ["name", "authority", "certificate"])
async def test_envoy_asks_nobody_whom_it_cannot_believe_nor_who_does_not_believe_it(tmp_path: Path, wrong: str) -> None:
    changes = {
        "name": {"sidecar_tls_name": "another.example"},
        "authority": {"sidecar_tls_ca": str(Authority(tmp_path / "others").cert)},
        "certificate": {"sidecar_tls_client_cert": "", "sidecar_tls_client_key": ""},
    }[wrong]
    async with secured(tmp_path, xds_address="", **changes) as running:
        assert await status(running) == 503
