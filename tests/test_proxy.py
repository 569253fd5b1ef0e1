"""Finding, running and ending Envoy."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from authz import proxy
from authz.errors import StateError, UsageError
from authz.settings import Settings
from harness.http import fetch

QUICK = Settings(envoy_concurrency=1, drain_seconds=1)


def a_bootstrap(admin: str, port: int = 0, *, sleep: str = "") -> dict[str, object]:
    """An Envoy that answers 200 to everything, after a delay if wanted."""
    path = "type.googleapis.com/envoy.extensions.filters"
    fault = {
        "name": "fault",
        "typed_config": {
            "@type": f"{path}.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": sleep or "0.001s", "percentage": {"numerator": 100}},
        },
    }
    router = {"name": "router", "typed_config": {"@type": f"{path}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    manager = {
        "@type": f"{path}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "authz",
        "http_filters": [fault, router] if sleep else [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    listener = {
        "name": "authz",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    place = (
        {"pipe": {"path": admin.removeprefix("unix:")}}
        if admin.startswith("unix:")
        else {"socket_address": {"address": "127.0.0.1", "port_value": int(admin.rpartition(":")[2])}}
    )
    return {"admin": {"address": place}, "static_resources": {"listeners": [listener]}}


@pytest.fixture
async def envoy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[proxy.Proxy]:
    one = proxy.Proxy(QUICK, admin=f"unix:{tmp_path_factory.mktemp('e')}/a")
    yield one
    await one.stop()


def admin_of(envoy: proxy.Proxy) -> str:
    return envoy._admin


async def under_way(envoy: proxy.Proxy) -> None:
    """Wait until a request is."""
    async with asyncio.timeout(10):
        while True:
            if "downstream_rq_active: 1" in await envoy.admin("/stats?filter=http.authz.downstream_rq_active"):
                return
            await asyncio.sleep(0)


# -- finding --------------------------------------------------------------------------------------------------------


def a_program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_named_binary_comes_first(tmp_path: Path) -> None:
    named, other = a_program(tmp_path / "one"), a_program(tmp_path / "two")

    assert proxy.find(Settings(envoy_path=str(named)), {"ENVOY_PATH": str(other)}) == named
    assert proxy.find(Settings(), {"ENVOY_PATH": str(other)}) == other


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_named_binary_that_is_none_says_who_named_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="envoy_path is"):
        proxy.find(Settings(envoy_path=str(tmp_path / name)), {})
    with pytest.raises(UsageError, match="ENVOY_PATH is"):
        proxy.find(Settings(), {"ENVOY_PATH": str(tmp_path / name)})


def test_without_the_wheel_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_WHEEL", "no-such-distribution")
    program = a_program(tmp_path / "envoy")

    assert proxy.find(Settings(), {"PATH": str(tmp_path)}) == program
    with pytest.raises(StateError, match="no Envoy for this platform") as caught:
        proxy.find(Settings(), {"PATH": str(tmp_path / "empty")})
    assert "ENVOY_PATH" in caught.value.remedy


# -- ports ----------------------------------------------------------------------------------------------------------


async def test_a_port_that_another_envoy_has_is_in_use(envoy: proxy.Proxy) -> None:
    port = proxy.free_port()
    proxy.check_port("127.0.0.1", port)
    await envoy.start(a_bootstrap(admin_of(envoy), port))
    await envoy.wait_ready()

    with pytest.raises(StateError, match=rf"127.0.0.1:{port} cannot be used") as caught:
        proxy.check_port("127.0.0.1", port)
    assert "--port" in caught.value.remedy


def test_an_address_of_another_machine_is_no_place_to_listen() -> None:
    with pytest.raises(StateError) as caught:
        proxy.check_port("198.51.100.1", 0)
    assert "--host" in caught.value.remedy


# -- running --------------------------------------------------------------------------------------------------------


async def test_it_serves_when_it_is_ready(envoy: proxy.Proxy) -> None:
    await envoy.start(a_bootstrap(admin_of(envoy)))
    await envoy.wait_ready()
    listening = await envoy.listening("authz")
    assert listening
    answer = await fetch(listening[1], "GET", "/")

    assert (answer.status, answer.body) == (200, b"hello")
    assert await envoy.listening("other") is None
    assert '"LIVE"' in await envoy.admin("/server_info")


async def test_the_admin_interface_may_be_a_port() -> None:
    envoy = proxy.Proxy(QUICK, admin=f"127.0.0.1:{proxy.free_port()}")
    await envoy.start(a_bootstrap(admin_of(envoy)))
    try:
        await envoy.wait_ready()
    finally:
        code = await envoy.stop()

    assert code == 0


async def test_a_bootstrap_that_envoy_refuses_tells_its_words(envoy: proxy.Proxy) -> None:
    bootstrap = a_bootstrap(admin_of(envoy)) | {"no_such_field": 1}
    await envoy.start(bootstrap)

    with pytest.raises(StateError, match="no_such_field"):
        await envoy.wait_ready()
    assert await envoy.wait() != 0
    assert envoy.last_lines


async def test_extra_configuration_is_merged(envoy: proxy.Proxy, tmp_path: Path) -> None:
    extra = tmp_path / "extra.yaml"
    extra.write_text("stats_config: {stats_tags: [{tag_name: mine, fixed_value: here}]}\n")
    chosen = proxy.Proxy(Settings(envoy_concurrency=1, envoy_extra_config=str(extra)), admin=admin_of(envoy))
    await chosen.start(a_bootstrap(admin_of(envoy)))
    try:
        await chosen.wait_ready()
        stats = await chosen.admin("/stats/prometheus")
    finally:
        await chosen.stop()

    assert 'mine="here"' in stats


async def test_its_end_is_noticed(envoy: proxy.Proxy) -> None:
    await envoy.start(a_bootstrap(admin_of(envoy)))
    await envoy.wait_ready()
    assert envoy.pid
    os.kill(envoy.pid, signal.SIGKILL)

    assert await envoy.wait() == -signal.SIGKILL
    with pytest.raises(StateError, match="ended with exit code -9"):
        await envoy.must_run()


async def test_a_stop_lets_running_requests_end(envoy: proxy.Proxy) -> None:
    port = proxy.free_port()
    await envoy.start(a_bootstrap(admin_of(envoy), port, sleep="0.5s"))
    await envoy.wait_ready()
    request = asyncio.ensure_future(fetch(port, "GET", "/"))
    await under_way(envoy)
    code = await envoy.stop(grace=5)

    assert (await request).status == 200
    assert code == 0


async def test_a_stop_without_grace_does_not_wait(envoy: proxy.Proxy) -> None:
    port = proxy.free_port()
    await envoy.start(a_bootstrap(admin_of(envoy), port, sleep="60s"))
    await envoy.wait_ready()
    request = asyncio.ensure_future(fetch(port, "GET", "/"))
    await under_way(envoy)
    async with asyncio.timeout(5):
        await envoy.stop(grace=0.1)
    with pytest.raises((OSError, EOFError)):
        await request


async def test_a_proxy_that_never_started_stops_at_once() -> None:
    one = proxy.Proxy(QUICK, admin="unix:/nowhere")

    assert (await one.stop(), await one.wait(), one.pid) == (0, 0, None)
    with pytest.raises(StateError):
        await one.wait_ready()


def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import asyncio, json, sys
        from authz.proxy import Proxy
        from authz.settings import Settings

        async def main():
            one = Proxy(Settings(envoy_concurrency=1), admin=sys.argv[1])
            await one.start(json.loads(sys.argv[2]))
            await one.wait_ready()
            print(one.pid, flush=True)
            await one.wait()

        asyncio.run(main())
    """)
    admin = f"unix:{tmp_path}/a"
    arguments = [sys.executable, "-c", script, admin, json.dumps(a_bootstrap(admin))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        parent.kill()
        parent.wait()

    ended, _, _ = select.select([handle], [], [], 5)
    os.close(handle)
    assert ended


@pytest.mark.parametrize("name", ["tls_cert", "backend_tls_ca", "envoy_extra_config"])
def test_a_file_for_envoy_that_is_not_there_is_told_before_it_starts(name: str, tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.write_text("")
    proxy.check_files(Settings(**{name: str(there)}))

    for path in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(UsageError, match=f"{name} is '{path}'"):
            proxy.check_files(Settings(**{name: str(path)}))


def test_files_that_no_setting_names_need_not_be_there() -> None:
    proxy.check_files(Settings())
