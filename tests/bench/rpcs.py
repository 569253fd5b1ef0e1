"""Section `rpc`: what we add to a call in gRPC, native or made of JSON, beside what we add to one in REST."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial

from bench import bare, documents, load, machine, protos, questions, stack
from bench.drivers import WIDTH, Grpc, Http
from bench.load import Measured, Point
from bench.pace import Pace
from bench.report import Goal, Row, Section

HOSTS = {"REST": questions.HOST, "transcoded": "rpc.example.test", "native": "rpc.example.test"}
"""The kinds of calls, and the hosts that take them."""
REST, *RPCS = HOSTS
BARE, OPEN = "Envoy without us", "open"
GUARDS = {
    OPEN: "Open", "Check (key)": "Key", "Check (key) that charges": "Metered", "Check (key) + RateLimit": "Metered",
}  # fmt: skip
"""What is asked of a call, and the method that asks it."""
ASKED_TWICE = "Check (key) + RateLimit"
MOST = 1.1
OURS = ("Envoy", "sidecar")

SENDS = Grpc


def measure(pace: Pace) -> Section:
    """Each kind of call without us, with us, and with all that we can be asked."""
    with contextlib.ExitStack() as running:
        give = running.enter_context(machine.core_kept_free())
        points = list(_points(running))
        for pid in {pid for point in points for pid in point.processes["Envoy"]}:
            give(pid)
        figures = load.measure(points, _finer(pace))
    added = {
        kind: {guard: _added(figures[_name(kind, guard)], figures[_name(kind, BARE)]) for guard in GUARDS}
        for kind in HOSTS
    }
    rows = [_row(kind, guard, figures, added) for kind in HOSTS for guard in (BARE, *GUARDS)]
    goals = [
        Goal(f"{kind}, {guard}: CPU that we add, over REST's", added[kind][guard] / added[REST][guard], MOST, "x")
        for kind in RPCS
        for guard in GUARDS
        if guard != OPEN
    ]
    return Section("rpc", _NOTE, rows, goals)


def _finer(pace: Pace) -> Pace:
    """Shorter runs, and more of them: differences of figures waver more than figures."""
    return dataclasses.replace(pace, seconds=pace.seconds / 2, rounds=pace.rounds * 4 if pace.rounds > 1 else 1)


def _points(running: contextlib.ExitStack) -> Iterator[Point]:
    issuer, _ = running.enter_context(questions.issuer())
    (http, _), (rpc, _) = (running.enter_context(stack.backend(name)) for name in ("upstream.py", "rpc_upstream.py"))
    without = running.enter_context(bare.envoy(http, rpc))
    ports = {REST: without.plain, "transcoded": without.transcoding, "native": without.plain}
    for kind, host in HOSTS.items():
        processes = {"Envoy": [without.pid]}
        yield Point(_name(kind, BARE), _call(kind, ports[kind], host, "Open", ""), processes)
    given = (
        documents.guarded(questions.HOST, issuer),
        protos.guarded(),
        protos.guards(HOSTS["native"], rpc.replace("http:", "grpc:")),
    )
    start = partial(stack.gateway, *given)
    once, twice = running.enter_context(stack.together(start(), start(quota_in_check=False)))
    running.callback(once.must_have_answered)
    running.callback(twice.must_have_answered)
    for guard, method in GUARDS.items():
        gateway = twice if guard == ASKED_TWICE else once
        for kind, host in HOSTS.items():
            yield Point(_name(kind, guard), _call(kind, gateway.port, host, method, gateway.key), gateway.processes)


def _call(kind: str, port: int, host: str, method: str, key: str) -> Http | Grpc:
    headers = {"x-api-key": key} if key else {}
    if kind == "native":
        name = f"/{protos.SERVICE}/{method}"
        return Grpc(f"127.0.0.1:{port}", name, b"", protos.ANSWER, WIDTH, host, headers)
    return Http(port, host, protos.path(method) if kind in RPCS else f"/{method.lower()}", headers)


def _name(kind: str, guard: str) -> str:
    return f"{kind}, {guard}"


def _added(one: Measured, base: Measured) -> float:
    """Microseconds of CPU, from the cheapest runs of both: other work on the machine only ever adds to them."""
    return min(map(_ours, one.runs)) - min(map(_ours, base.runs))


def _ours(run: load.Figures) -> float:
    return sum(run.cpu.get(who, 0.0) for who in OURS)


def _row(kind: str, guard: str, figures: Mapping[str, Measured], added: Mapping[str, Mapping[str, float]]) -> Row:
    one, base = figures[_name(kind, guard)], figures[_name(kind, BARE)]
    mine, rest = added[kind].get(guard), added[REST].get(guard)
    return {
        "call": _name(kind, guard),
        "of bare": one.over(base, load.per_second),
        "added µs": mine,
        "over REST's": mine / rest if mine is not None and rest else None,
        **one.row(*OURS, "backend", load.GENERATOR),
    }


_NOTE = (
    f"The same answer in REST, in JSON made of gRPC, and in gRPC, {WIDTH} connections each, one Envoy worker. "
    "Envoy without us forwards and transcodes, and has no other filter, no log and no check of anything. Envoy has a "
    "core for itself: one that waits for others handles fewer requests at a time, and each costs it more. `added` is "
    "the CPU of Envoy and sidecar per call above that, in the cheapest round of each; throughput has the cost of "
    "backends and load generators in it, which differ."
)
