"""Section `sidecar`: what the sidecar costs by itself, asked what Envoy asks, and what other servers cost with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from bench import counting, load, peers, questions, stack
from bench.drivers import WIDTH, Grpc
from bench.load import Measured, Point
from bench.pace import Pace
from bench.peers import Peer
from bench.questions import CHARGING, KEY, QUOTA, TOKEN, Question
from bench.report import Goal, Row, Section
from bench.stack import Sidecar

CACHED, FRESH = f"{TOKEN}, cached", f"{TOKEN}, fresh"
WIDE = f"{KEY}, {WIDTH} connections"
IN_MEMORY, IN_REDIS = "memory", "Redis"
MEMORY, REDIS = f"{QUOTA}, {IN_MEMORY}", f"{QUOTA}, {IN_REDIS}"

MOST_TAIL = 2.0
REFERENCES = {KEY: 10, CACHED: 12, FRESH: 70, MEMORY: 10, REDIS: 14}
"""µs of the sidecar's CPU per call that we want to stay near on one quiet machine of 2 cores."""

SENDS = Grpc


def measure(pace: Pace, servers: Sequence[Peer] = ()) -> Section:
    """Every kind of question, and every peer, in turn."""
    site = questions.site()
    with counting.redis() as counted, contextlib.ExitStack() as running:
        others = peers.points(servers, site.questions)
        kinds = [{}, {"token_cache_size": 0}, *([counted.settings] if counted else [])]
        sidecars = running.enter_context(stack.together(*(stack.sidecar(site.data_dir, **kind) for kind in kinds)))
        points = [*_points(site.questions, *sidecars[:2])]
        if counted:
            for kind in (CHARGING, QUOTA):
                name = f"{kind}, {IN_REDIS}"
                points.append(_point(name, site.questions[kind], sidecars[2], counted.processes))
        figures = load.measure([*points, *others], pace)
        if counted:
            counted.must_have_counted()
    goals = [Goal(f"{WIDE}: p99 over p50", figures[WIDE].tail, MOST_TAIL, "x")]
    return Section("sidecar", _note(), [_row(name, each) for name, each in figures.items()], goals)


def _points(asked: Mapping[str, Question], remembering: Sidecar, forgetful: Sidecar) -> Iterator[Point]:
    yield _point(KEY, asked[KEY], remembering)
    yield _point(WIDE, asked[KEY], remembering, connections=WIDTH)
    yield _point(CACHED, asked[TOKEN], remembering)
    yield _point(FRESH, asked[TOKEN], forgetful)
    for kind in (CHARGING, QUOTA):
        yield _point(f"{kind}, {IN_MEMORY}", asked[kind], remembering)


def _point(
    name: str, question: Question, sidecar: Sidecar, beside: load.Processes | None = None, *, connections: int = 1
) -> Point:
    call = Grpc(sidecar.address, question.method, question.message, question.answer, connections)
    return Point(name, call, {"sidecar": sidecar.processes, **(beside or {})})


def _row(name: str, one: Measured) -> Row:
    return {"call": name, **one.row("sidecar", "Redis", load.GENERATOR), "reference µs": REFERENCES.get(name)}


def _note() -> str:
    return (
        f"`authz serve` (transport {stack.transport()}) on a Unix socket, no Envoy. h2load sends it the bytes that a "
        f"real Envoy sent before: {WIDTH} calls under way on one connection, as one Envoy worker has; in the row of "
        f"{WIDTH} connections, one on each. Fresh: h2load has one token, so that sidecar remembers none "
        "(token_cache_size 0) and verifies every time. `reference` is for a quiet machine. "
        f"{counting.note()}"
    ).strip()
