"""The benchmark runs and says what it promises to. Times are never judged here: the machine has other work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from authz import wire
from authz.errors import Code, Refusal
from authz.transport.base import Handlers
from authz.transport.grpcio import GrpcioTransport
from bench import load, machine, peers, profiles, stack
from bench.drivers import Grpc, Http
from bench.load import Point
from bench.pace import Pace
from bench.questions import KEY, QUOTA, Question
from bench.report import Goal
from harness.process import authz

BENCH = Path(__file__).parent
ROOT = BENCH.parent.parent


def bench(
    *arguments: str, way: tuple[str, ...] = (str(BENCH / "run.py"),), path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error::ResourceWarning", *way, *arguments]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=environment)


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
        "RateLimit, Redis", "Check (key) that charges, memory", "Check (key) that charges, Redis",
        "Check (key), theirs (denies)",
    } <= set(calls)  # fmt: skip
    for row in calls.values():
        assert row["requests/s"] > 0
        assert 0 < row["p50 ms"] <= row["p99 ms"]
        assert row["sidecar µs"] > 0
    assert calls["RateLimit, Redis"]["Redis µs"] > 0
    assert json.loads(output.read_text()).keys() == figures.keys()


def test_the_transports_and_the_whole_path() -> None:
    figures = told("--by-hand", "--only", "transports,http")

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
        "+ Check (key) that charges: requests/s over Envoy alone": 0.47,
        "+ Check (key) that charges: p99 over p50": 2,
        "+ Check (key) + RateLimit: requests/s over Envoy alone": 0.47,
        "+ Check (key) + RateLimit: p99 over p50": 2,
        **{f"{call}: CPU of the sidecar over what asking costs Envoy": 1 for call in calls if call != "Envoy alone"},
    }


def test_calls_in_grpc_beside_calls_in_rest() -> None:
    figures = told("--by-hand", "--only", "rpc")

    calls = rows(figures, "rpc", "call")
    kinds = ("REST", "transcoded", "native")
    for kind in kinds:
        bare, opened, keyed = (calls[f"{kind}, {guard}"] for guard in ("Envoy without us", "open", "Check (key)"))
        assert bare["of bare"] == 1
        assert bare["sidecar µs"] is None
        assert opened["added µs"] == pytest.approx(ours(opened) - ours(bare))
        assert keyed["sidecar µs"] > opened["sidecar µs"]
    assert [goal["name"] for goal in figures["goals"]] == [
        f"{kind}, {guard}: CPU that we add, over REST's"
        for kind in kinds[1:]
        for guard in ("Check (key)", "Check (key) that charges", "Check (key) + RateLimit")
    ]


def ours(row: dict[str, Any]) -> float:
    return float(row["Envoy µs"] + (row["sidecar µs"] or 0.0))


def test_documents_and_descriptors_are_deployed() -> None:
    figures = told("--only", "deploy")

    deploys = rows(figures, "deploy", "deploy")
    assert list(deploys) == ["100 operations", "50 gRPC services, 10 RPCs each"]
    assert all(0 < row["read, stored and compared s"] < row["to live s"] for row in deploys.values())
    assert [goal["goal"] for goal in figures["goals"]] == [2.0, 3.0]


# -- what is not here ------------------------------------------------------------------------------------------------


def test_without_a_load_generator_the_rest_is_measured(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "sidecar,http,micro", path=str(tmp_path))

    assert done.returncode == 1
    assert "sidecar is not measured: it needs h2load (apt-get install nghttp2-client); without it: micro" in done.stderr
    assert "http is not measured: it needs wrk (apt-get install wrk), or h2load" in done.stderr
    assert "### micro" in done.stdout


def test_a_peer_that_is_not_there_ends_everything_before_anything_is_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"127.0.0.1:{once.getsockname()[1]}"

    done = bench("--quick", "--by-hand", "--only", "sidecar,micro", "--peer", f"far={address}")

    assert done.returncode == 1
    assert f"peer far: nobody answers at {address} (Connection refused)" in done.stderr
    assert not done.stdout


QUESTIONS = {
    KEY: Question(wire.CHECK_METHOD, b"check", b""),
    QUOTA: Question(wire.RATE_LIMIT_METHOD, b"limit", b""),
}


def cross(_: bytes) -> bytes:
    raise Refusal(Code.RESOURCE_EXHAUSTED, "go away")


def same(message: bytes) -> bytes:
    del message
    return b""


@contextlib.asynccontextmanager
async def serving(handlers: Handlers, directory: Path) -> AsyncIterator[str]:
    server = GrpcioTransport(handlers, f"unix:{directory}/peer")
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("handlers", "pid", "words"),
    [
        ({wire.CHECK_METHOD: cross}, None, f"answers {wire.CHECK_METHOD} with RESOURCE_EXHAUSTED: go away"),
        ({}, None, "has neither"),
        ({wire.CHECK_METHOD: same}, 99_999_999, "there is no process 99999999 on this machine"),
    ],
)
async def test_a_peer_that_cannot_be_measured_is_told(
    handlers: Handlers, pid: int | None, words: str, tmp_path: Path
) -> None:
    async with serving(handlers, tmp_path) as address:
        with pytest.raises(peers.BadPeer, match=words):
            await asyncio.to_thread(peers.points, [peers.Peer("it", address, pid)], QUESTIONS)


async def test_a_peer_with_one_method_is_measured_on_that(tmp_path: Path) -> None:
    async with serving({wire.CHECK_METHOD: same}, tmp_path) as address:
        (point,) = await asyncio.to_thread(peers.points, [peers.Peer("it", address)], QUESTIONS)

    assert point.name == "Check (key), it"
    assert point.processes == {"sidecar": [os.getpid()]}


# -- load ------------------------------------------------------------------------------------------------------------

BY_HAND = [True, *([False] if shutil.which("h2load") else [])]
"""With the generator of our own; and, where it is installed, with the one that counts."""


@pytest.mark.parametrize("by_hand", BY_HAND)
async def test_grpc_is_sent_to_the_byte_and_answers_are_counted(by_hand: bool, tmp_path: Path) -> None:
    seen: set[bytes] = set()

    def handle(message: bytes) -> bytes:
        seen.add(message)
        return b"an answer of some length"

    async with serving({wire.CHECK_METHOD: handle}, tmp_path) as address:
        call = Grpc(address, wire.CHECK_METHOD, b"a question", b"an answer of some length")
        run = await asyncio.to_thread(call.drive, 0.2, by_hand=by_hand)

    assert seen == {b"a question"}
    assert run.requests > 0
    assert run.errors == 0
    assert 0 < run.p50 <= run.p99


@pytest.mark.parametrize("by_hand", BY_HAND)
async def test_errors_under_load_are_no_answers(by_hand: bool, tmp_path: Path) -> None:
    async with serving({wire.CHECK_METHOD: cross}, tmp_path) as address:
        call = Grpc(address, wire.CHECK_METHOD, b"a question", b"an answer of some length")
        point = Point("it", call, {})
        with pytest.raises(machine.NotMeasured, match=r"calls failed|had 0 bytes instead of 29"):
            await asyncio.to_thread(load.measure, [point], Pace(0.1, 1, 10, by_hand=by_hand))


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_http_is_sent_on_connections_that_stay(by_hand: bool) -> None:
    with stack.backend() as (url, pid):
        call = Http(int(url.rpartition(":")[2]), "api.example.test", "/", {"x-api-key": "k"})
        pace = Pace(0.2, 2, 10, by_hand=by_hand)
        measured = load.measure([Point("it", call, {"backend": [pid]})], pace)["it"]

    assert len(measured.runs) == 2
    assert measured.over(measured, load.per_second) == 1
    row = measured.row("backend", "Redis", "load")
    assert row["backend µs"] > 0
    assert row["load µs"] > 0
    assert row["Redis µs"] is None


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


def test_what_declaring_costs() -> None:
    figures = told("--by-hand", "--only", "frameworks")

    calls = rows(figures, "frameworks", "call")
    for style in ("messages", "typed"):
        for kind in ("GET, async", "GET, in a thread", "POST of JSON, async"):
            assert calls[f"{kind}, {style}"]["x Starlette"] > 0
            assert calls[f"{kind}, {style}"]["server µs"] > 0
    goals = {goal["name"]: goal for goal in figures["goals"]}
    for name in ("document of 500 methods", "import authz.frameworks", "import of the old names"):
        assert 0 < goals[name]["figure"] == calls[name]["s"]


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(str(BENCH / "run.py"),), ("-m", "tests.bench")])
def test_help_says_what_each_section_is(way: tuple[str, ...]) -> None:
    done = bench("--help", way=way)

    assert done.returncode == 0
    sections = ("sidecar", "transports", "http", "rpc", "micro", "deploy", "scale", "frameworks")
    assert all(f"\n{section} " in done.stdout for section in sections)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--only", "micro,magic"), "no section magic; there are sidecar,transports,http,rpc,micro,deploy,scale,"),
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
