"""The benchmark runs and says what it promises to. Times are never judged here: the machine has other work."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from authz import wire
from authz.errors import Code, Refusal
from authz.transport.grpcio import GrpcioTransport
from bench import machine, profiles
from bench.report import Goal
from harness.process import authz

BENCH = Path(__file__).parent
ROOT = BENCH.parent.parent
TOOLS = [] if shutil.which("h2load") else ["--by-hand"]
"""What counts where it is installed, else the generator of our own."""


def bench(
    *arguments: str, way: tuple[str, ...] = (str(BENCH / "run.py"),), path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error::ResourceWarning", *way, *arguments]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, env=environment)


def told(*arguments: str) -> dict[str, Any]:
    done = bench("--quick", *arguments, "--json")
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def rows(of: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    return {row[name]: row for row in of["sections"][section]["rows"]}


def test_it_measures_the_parts_and_judges_the_goals() -> None:
    parts = told("--only", "micro")

    assert parts["machine"]["cores"] >= 1
    by_name = rows(parts, "micro", "part")
    assert {"sources, YAML", "snapshot", "its routes", "decide (key)", "charges + spend"} <= set(by_name)
    assert all(row["µs"] > 0 for row in by_name.values())
    assert by_name["decide (key)"]["peak bytes"] > 0
    goals = {goal["name"]: goal for goal in parts["goals"]}
    assert {"decide (key)", "charges and spend, memory", "routes of 100 operations"} <= set(goals)
    assert all(goal["holds"] is (goal["figure"] <= goal["goal"]) for goal in goals.values())


async def test_the_sidecar_alone_and_a_peer_that_is_asked_the_same(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/peer"
    words = ("serve", "--data-dir", tmp_path, "--sidecar-address", address, "--xds-address", f"unix:{tmp_path}/xds")
    output = tmp_path / "figures.json"
    async with authz(*words, "--transport", "grpcio", "--json") as peer:
        await peer.event("ready")
        figures = await asyncio.to_thread(
            told, "--by-hand", "--only", "sidecar", "--peer", f"theirs={address}", "--output", str(output)
        )

    calls = rows(figures, "sidecar", "call")
    assert {
        "Check (key)", "Check (key), 32 connections", "Check (JWT), cached", "Check (JWT), fresh", "RateLimit, memory",
        "RateLimit, Redis", "Check (key), theirs (denies)",
    } <= set(calls)  # fmt: skip
    for row in calls.values():
        assert row["requests/s"] > 0
        assert 0 < row["p50 ms"] <= row["p99 ms"]
        assert row["sidecar µs"] > 0
    assert calls["RateLimit, Redis"]["Redis µs"] > 0
    assert json.loads(output.read_text()).keys() == figures.keys()


def test_the_transports_and_the_whole_path() -> None:
    figures = told(*TOOLS, "--only", "transports,http")

    for section, name in (("transports", "transport"), ("http", "call")):
        for row in rows(figures, section, name).values():
            assert row["requests/s"] > 0
            assert row["sidecar µs"] > 0
            assert row["busiest"]
    calls = rows(figures, "http", "call")
    assert calls["Envoy alone"]["of alone"] == 1
    assert calls["+ Check (JWT, fresh)"]["Envoy µs"] > 0
    assert {(row["call"], row["transport"]) for row in figures["sections"]["transports"]["rows"]} == {
        (call, transport) for call in ("Check (key)", "Check (key) + Envoy") for transport in ("nghttp2", "grpcio")
    }
    wanted = {goal["name"]: goal["goal"] for goal in figures["goals"]}
    assert wanted == {
        "Check (key): sidecar CPU, nghttp2 over grpcio": 0.125,
        "Check (key) + Envoy: sidecar CPU, nghttp2 over grpcio": 0.125,
        "+ Check (key): requests/s over Envoy alone": 0.62,
        "+ Check (key): p99 over p50": 2,
        "+ Check (key) + RateLimit: requests/s over Envoy alone": 0.47,
        "+ Check (key) + RateLimit: p99 over p50": 2,
    }


# -- what is not here ------------------------------------------------------------------------------------------------


def test_without_a_load_generator_the_rest_is_measured(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "sidecar,http,micro", path=str(tmp_path))

    assert done.returncode == 1
    assert "sidecar is not measured: it needs h2load (apt-get install nghttp2-client); without it: micro" in done.stderr
    assert "http is not measured: it needs wrk (apt-get install wrk), or h2load" in done.stderr
    assert "### micro" in done.stdout


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (
            "far=127.0.0.1:{free}",
            "far at 127.0.0.1:{free} answers /envoy.service.auth.v3.Authorization/Check with UNAV",
        ),
        ("cross=unix:{directory}/cross", "with PERMISSION_DENIED: go away"),
        ("empty=unix:{directory}/empty", "has neither"),
        ("half=unix:{directory}/half,pid=99999999", "there is no process 99999999"),
    ],
)
async def test_a_peer_that_cannot_be_measured_is_told_before_anything_is(peer: str, words: str, tmp_path: Path) -> None:
    def cross(_: bytes) -> bytes:
        raise Refusal(Code.PERMISSION_DENIED, "go away")

    servers = [
        GrpcioTransport(handlers, f"unix:{tmp_path}/{name}")
        for name, handlers in (
            ("cross", {wire.CHECK_METHOD: cross}), ("empty", {}), ("half", {wire.CHECK_METHOD: lambda _: b""}),
        )
    ]  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as once:
        free = once.getsockname()[1]
    values = {"free": free, "directory": tmp_path}
    for server in servers:
        await server.start()
    try:
        done = await asyncio.to_thread(
            bench, "--quick", "--by-hand", "--only", "sidecar,micro", "--peer", peer.format(**values)
        )
    finally:
        for server in servers:
            await server.stop(0)

    assert done.returncode == 1
    assert words.format(**values) in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("address", ["unix:{directory}/there", "127.0.0.1:{port}"])
def test_whoever_listens_is_found_by_the_address(address: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as local, socket.create_server(("127.0.0.1", 0)) as remote:
        local.bind(f"{tmp_path}/there")
        local.listen()

        found = machine.listening(address.format(directory=tmp_path, port=remote.getsockname()[1]))

    assert found == [os.getpid()]
    assert machine.cpu_microseconds(found[0]) > 0


# -- profiles --------------------------------------------------------------------------------------------------------


def test_a_profile_says_whose_the_time_is() -> None:
    spied = profiles.folded("main (m.py:1);handle (s.py:5);decide (d.py:9) 6\nmain (m.py:1);write (libc.so) 2\n")
    profile = profiles.Profile("Check", spied, cost=10.0)

    shares = {row["function"]: (row["self"], row["self µs"], row["with callees"]) for row in profile.rows()}
    assert shares["decide (d.py:9)"] == ("75.0%", 7.5, "75.0%")
    assert shares["handle (s.py:5)"] == ("0.0%", 0.0, "75.0%")
    assert shares["main (m.py:1)"] == ("0.0%", 0.0, "100.0%")
    assert next(iter(shares)) == "decide (d.py:9)"


def test_stacks_that_perf_took_are_read_from_the_innermost() -> None:
    sample = "\n\t  1af848 malloc (inlined)\n\t  1b9853 PyObject_Call\n\t 7f73e4a5e380 [unknown]\n\n"

    assert profiles.scripted(sample * 2) == {("[unknown]", "PyObject_Call", "malloc"): 2}


def test_without_a_profiler_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(machine.NotMeasured, match=r"pip install py-spy.*apt-get install linux-perf"):
        profiles.Profiler()


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(str(BENCH / "run.py"),), ("-m", "tests.bench")])
def test_help_says_what_each_section_is(way: tuple[str, ...]) -> None:
    done = bench("--help", way=way)

    assert done.returncode == 0
    sections = ("sidecar", "transports", "http", "micro", "deploy", "scale")
    assert all(f"\n{section} " in done.stdout for section in sections)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--only", "micro,magic"), "no section magic; there are sidecar,transports,http,micro,deploy,scale"),
        (("--only", "micro", "--peer", "a=b:1"), "peers are measured in the section sidecar"),
        (("--profile", "--only", "micro"), "no sidecar is under load there"),
        (("--peer", "nameless"), "'nameless' names no peer: write NAME=HOST:PORT or NAME=unix:/PATH"),
        (("--peer", "a=b:1,pid=x"), "names no peer"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], error: str) -> None:
    done = bench(*words)

    assert done.returncode == 2
    assert error in done.stderr


@pytest.mark.parametrize(
    ("figure", "at_least", "holds", "missed_by"),
    [(0.1, False, True, 0.0), (0.3, False, False, 0.5), (0.1, True, False, 0.5)],
)
def test_a_goal_says_by_how_much_it_is_missed(figure: float, at_least: bool, holds: bool, missed_by: float) -> None:
    goal = Goal("it", figure, 0.2, "x", at_least)

    assert goal.holds is holds
    assert goal.missed_by == pytest.approx(missed_by)
