"""The composition root: builds the parts, starts them, closes them in reverse. The only file that knows everybody."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from authz import tls
from authz.admin import deploy as deploying
from authz.admin import keys as key_admin
from authz.backend import serving
from authz.cli import curl
from authz.cli.runners import Code, Screen, UpRequest
from authz.demo import Sample
from authz.demo import running as running_sample
from authz.errors import AuthzError, RejectedError, StateError, UsageError
from authz.model.inventory import Inventory
from authz.model.service import ServiceConfig
from authz.proxy import Proxy, check_files, check_port, find, free_port
from authz.quota.counters.machine import LedgerHost
from authz.rollout import Follower
from authz.settings import Settings
from authz.sidecar import loop
from authz.sidecar.crew import Crew, Serves
from authz.sidecar.endpoints import endpoints
from authz.sidecar.process import Sidecar, counters_of, listener_url
from authz.store.base import Gateway as Heartbeat
from authz.store.base import Store
from authz.store.sql import open_store
from authz.telemetry import Tally, serve_prometheus
from authz.transport.base import Transport
from authz.xds import bootstrap
from authz.xds.server import AdsServer, Outcome
from authz.xds.snapshot import build

log = logging.getLogger("authz")

HEARTBEAT_SECONDS = 2.0
LIVE_SECONDS = 30.0
POLL_SECONDS = 0.05
FIRST_CONSUMER = "default"


class Gateway:
    """The sidecar and the control plane: Check, RateLimit, Envoy's configuration; and the workers that help with them.

    Sockets without an address of their own are made in `run_dir`. `serves` is told of each worker that does.
    """

    def __init__(self, settings: Settings, store: Store, run_dir: Path, serves: Serves = lambda *_: None) -> None:
        self.settings = settings
        self.store = store
        self.run_dir = run_dir
        self.id = uuid.uuid4().hex[:12]
        self.tally = Tally()
        self._settling: set[asyncio.Future[None]] = set()
        places = endpoints(settings.sidecar_address or f"unix:{run_dir / 'sidecar.sock'}", settings.workers)
        self.sidecar = places[0]
        self.ledger = str(run_dir / "ledger.sock") if settings.workers > 1 else ""
        self.crew = Crew(settings, places[1:], self.tally, ledger=self.ledger, serves=serves)
        self.xds = settings.xds_address or f"unix:{run_dir / 'xds.sock'}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """Serve until left. Parts end in the reverse of the order in which they were started."""
        settings = self.settings
        async with contextlib.AsyncExitStack() as stack:
            if settings.metrics_port:
                stack.callback(serve_prometheus(self.tally, settings.metrics_port))
            if self.ledger:
                host = LedgerHost(Path(self.ledger))
                await host.start()
                stack.push_async_callback(host.close)
            await self.crew.start()
            stack.push_async_callback(self.crew.stop, 0.0)
            counters = counters_of(settings, self.tally, self.ledger)
            await counters.start()
            stack.push_async_callback(counters.close)
            parts = await stack.enter_async_context(Sidecar(settings, self.store, counters, self.tally).ready())
            ads = AdsServer(self.xds, self._heard, tls=tls.at(self.xds, settings))
            self.follower = Follower(
                self.store, parts.book, ads, parts.keys, parts.key_sets, parts.tokens, self.crew, settings, self.id,
                parts.documents,
            )  # fmt: skip
            # Before anybody can ask: without a book every question would be about an unknown operation, and a quota
            # be refused that is not used up. What goes wrong here is said when it is tried again.
            with contextlib.suppress(AuthzError):
                await self.follower.step()
            transport = await parts.serve(self.sidecar)
            stack.push_async_callback(self._drain, transport)
            self.sidecar = transport.address
            # The follower has told them of its book, unless the store was away.
            await self.crew.take(parts.book.book)
            await self.crew.serving()
            await ads.start()
            stack.push_async_callback(ads.stop)
            self.xds = ads.address
            await asyncio.to_thread(self._say_hello)
            stack.callback(self._say_goodbye)
            for job in (self.follower.run(), self._beat()):
                stack.push_async_callback(_ended, asyncio.create_task(job))
            yield self

    async def _drain(self, transport: Transport) -> None:
        grace = self.settings.drain_seconds
        await asyncio.gather(transport.stop(grace), self.crew.stop(grace))

    @property
    def sidecars(self) -> tuple[str, ...]:
        """Where Check and RateLimit are answered, by this process and by its workers."""
        return self.sidecar, *self.crew.addresses

    def _heard(self, outcome: Outcome) -> None:
        # The loop itself holds tasks but weakly, and two Envoys may answer at once.
        task = asyncio.ensure_future(self.follower.settle(outcome))
        self._settling.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Future[None]) -> None:
        self._settling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what Envoy answered could not be recorded: %s", error)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            with contextlib.suppress(AuthzError):
                await asyncio.to_thread(self._say_hello)

    def _say_hello(self) -> None:
        self.store.beat(Heartbeat(self.id, listener_url(self.settings), time.time()))

    def _say_goodbye(self) -> None:
        with contextlib.suppress(AuthzError):
            self.store.leave(self.id)

    @contextlib.asynccontextmanager
    async def envoy(self) -> AsyncIterator[Proxy]:
        """Run Envoy beside this gateway; left, it drains and ends."""
        settings = self.settings
        admin = (
            f"127.0.0.1:{settings.envoy_admin_port}"
            if settings.envoy_admin_port
            else f"unix:{self.run_dir / 'admin.sock'}"
        )
        proxy = Proxy(settings, admin=admin)
        await proxy.start(
            bootstrap.dynamic(settings, sidecars=self.sidecars, xds=self.xds, admin=admin, node_id=self.id)
        )
        try:
            yield proxy
        finally:
            await proxy.stop(settings.drain_seconds)


class Runners:
    """What `authz up`, `serve` and `demo` run; implements `authz.cli.runners.Runners`."""

    def up(self, request: UpRequest, screen: Screen) -> int:
        """Deploy the files, run Envoy and the sidecar, until a signal comes or Envoy ends."""
        job = _up_with(request.code, request, screen) if request.code else _up(request, screen)
        return _run(job, request.settings)

    def serve(self, settings: Settings, screen: Screen) -> int:
        """Run the sidecar and the control plane; Envoy runs elsewhere."""
        return _run(_serve(settings, screen), settings)

    def demo(self, settings: Settings, screen: Screen, *, grpc: bool = False) -> int:
        """Run a sample API with a backend and a token issuer of its own behind `up`."""
        with running_sample(grpc=grpc) as sample, _data_dir(settings) as data_dir:
            own = dataclasses.replace(settings, backend=sample.backend, data_dir=data_dir)
            return _run(_up(UpRequest(sample.documents, "", own), screen, sample=sample), own)


def _run(job: Coroutine[Any, Any, int], settings: Settings) -> int:
    loop.write_log(settings)
    return loop.run(_until_signal(job))


async def _until_signal(job: Coroutine[Any, Any, int]) -> int:
    """Run until the job ends, or a signal does: then it drains and stops wherever it is, which is no failure.

    Only the first signal counts: another must not cut the draining short.
    """
    working, stopped = asyncio.ensure_future(job), asyncio.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            working.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await working
    except asyncio.CancelledError:
        if stopped.is_set():
            return 0
        raise


async def _up_with(code: Code, request: UpRequest, screen: Screen) -> int:
    """Serve code too, and end when either ends; the code last, so that what runs can end."""
    settings = request.settings
    secret = settings.gateway_secret or secrets.token_urlsafe(32)
    screen.step(f"Starting {', '.join(code.words)}")
    prefix = settings.header_prefix
    async with serving(code.words, code.directory, secret=secret, header_prefix=prefix) as backend:
        own = dataclasses.replace(settings, backend=backend.url, gateway_secret=secret)
        jobs = {
            asyncio.ensure_future(job)
            for job in (_up(dataclasses.replace(request, settings=own), screen), backend.ended())
        }
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            ends = await asyncio.gather(*jobs, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
    return 0


async def _up(request: UpRequest, screen: Screen, *, sample: Sample | None = None) -> int:
    settings = request.settings
    find(settings)
    check_files(settings)
    _must_suit(settings)
    if settings.port:
        check_port(settings.host, settings.port)
    else:
        settings = dataclasses.replace(settings, port=free_port(settings.host))
    if settings.envoy_admin_port:
        check_port("127.0.0.1", settings.envoy_admin_port, "--envoy-admin-port")
    with _run_dir() as run_dir, contextlib.closing(open_store(settings.data_dir)) as store:
        screen.step("Reading the documents")
        deployment = await asyncio.to_thread(
            deploying.deploy, store, request.texts, service=request.service, force=request.force, now=time.time()
        )
        screen.findings(deployment.warnings)
        screen.step("Starting the sidecar and Envoy")
        gateway = Gateway(settings, store, run_dir, screen.worker)
        async with gateway.running(), gateway.envoy() as proxy:
            await wait_live(store, deployment, proxy)
            await proxy.wait_ready()
            for outcome in deploying.wait_live(store, deployment, timeout=0):
                if outcome.message:
                    screen.warning(outcome.message)
            _tell([deployed.config for deployed in deployment.services], settings, store, screen, sample)
            screen.ready(listener_url(settings))
            return await _to_its_end(proxy)


async def _serve(settings: Settings, screen: Screen) -> int:
    _must_suit(settings)
    with _run_dir() as run_dir, contextlib.closing(open_store(settings.data_dir)) as store:
        async with Gateway(settings, store, run_dir, screen.worker).running() as gateway:
            screen.step(f"Check and RateLimit on {', '.join(gateway.sidecars)}, Envoy's configuration on {gateway.xds}")
            screen.ready(gateway.sidecar)
            await asyncio.Event().wait()
    return 0


def _must_suit(settings: Settings) -> None:
    """Find what no configuration can be made with before anything is stored or started.

    Raises:
        UsageError: a setting's value is wrong.
    """
    build(Inventory(0, ()), settings)
    tls.wanted(settings)
    counters_of(settings, Tally(), "")
    if settings.backend_auth == "oauth2":
        for name in ("backend_auth_token_url", "backend_auth_client_id", "backend_auth_client_secret_file"):
            if not getattr(settings, name):
                raise UsageError(f"backend_auth is oauth2, and {name} is not set", f"Set {name} too.")


async def _to_its_end(proxy: Proxy) -> int:
    """Wait for Envoy's end, which is an error: a signal cancels the waiting."""
    code = await proxy.wait()
    raise StateError(f"Envoy ended with exit code {code}", "Its last words are above; start `authz up` again.")


async def wait_live(store: Store, deployment: deploying.Deployment, proxy: Proxy | None = None) -> None:
    """Wait until a deployment is live.

    Raises:
        RejectedError: it was refused; with Envoy's words or ours.
        StateError: nobody took it in time, or Envoy ended.
    """
    for _ in range(round(LIVE_SECONDS / POLL_SECONDS)):
        outcomes = await asyncio.to_thread(deploying.wait_live, store, deployment, timeout=0)
        for outcome in outcomes:
            if outcome.state is deploying.State.FAILED:
                raise RejectedError(f"{outcome.service} was not taken: {outcome.message}", "What was live stays live.")
        if all(outcome.state is not deploying.State.WAITING for outcome in outcomes):
            return
        if proxy is not None:
            await proxy.must_run()
        await asyncio.sleep(POLL_SECONDS)
    raise StateError(f"Nothing was live within {LIVE_SECONDS:g} s: {outcomes[0].message}", "See Envoy's log.")


def _tell(
    configs: Sequence[ServiceConfig], settings: Settings, store: Store, screen: Screen, sample: Sample | None
) -> None:
    """Show what is guarded and how to call it; make a first key if one is needed and there is none."""
    screen.operations(configs, settings)
    key = ""
    wanted = any(way.needs_key for c in configs for o in c.operations for way in o.requirement.alternatives)
    if wanted and not store.has_keys():
        key = key_admin.create(store, FIRST_CONSUMER, now=time.time()).text
        screen.key(key, FIRST_CONSUMER)
    url = listener_url(settings)
    screen.examples(curl.examples(configs, url, settings, key=key, token=sample.token if sample else ""))
    if sample:
        screen.examples(sample.examples(url, key))


@contextlib.contextmanager
def _data_dir(settings: Settings) -> Iterator[Path]:
    """The demo's own, unless one was named: it must not mix with a real gateway's, and shows its key at every start."""
    if settings.data_dir != Settings().data_dir:
        yield settings.data_dir
        return
    with tempfile.TemporaryDirectory(prefix="authz-demo-") as name:
        yield Path(name)


@contextlib.contextmanager
def _run_dir() -> Iterator[Path]:
    """A private directory for sockets. A socket's path may have 108 characters at most, so it is not in data_dir."""
    with tempfile.TemporaryDirectory(prefix="authz-") as name:
        yield Path(name)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
