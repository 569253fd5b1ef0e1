"""Section `http`: what a call costs as more is asked of it, from an open operation to one with a quota."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from bench import counting, documents, drivers, load, questions, stack
from bench.drivers import WIDTH, Http
from bench.load import Measured, Point
from bench.pace import Pace
from bench.questions import HOST
from bench.report import Goal, Row, Section
from bench.stack import Gateway

REMEMBERED = 16
"""So few tokens are remembered that 64 in turn are all verified afresh."""
FRESH = 64

ALONE, CHECK, QUOTA = "Envoy alone", "+ Check (key)", "+ Check (key) + RateLimit"
CHARGING = "+ Check (key) that charges"
WANTED = {CHECK: 0.62, CHARGING: 0.47, QUOTA: 0.47}
"""At least this part of the requests/s of Envoy alone."""
MOST_TAIL = 2.0

SENDS = Http


def measure(pace: Pace) -> Section:
    """Requests/s, latencies and CPU for each kind of guard."""
    with questions.issuer() as (url, issuer), counting.redis() as counted, contextlib.ExitStack() as running:
        tokens = [issuer.token(iss=url, aud=documents.AUDIENCE, sub=f"user-{n}") for n in range(FRESH)]
        document = documents.guarded(HOST, url)
        kinds = [{"token_cache_size": REMEMBERED}, {"quota_in_check": False}, *([counted.settings] if counted else [])]
        gateways = running.enter_context(stack.together(*(stack.gateway(document, **kind) for kind in kinds)))
        points = [
            point for point in _points(*gateways[:2], tokens) if drivers.sendable(point.call, by_hand=pace.by_hand)
        ]
        if counted:
            points.append(_point(f"{CHARGING} (Redis)", gateways[2], "/metered", counted.processes))
        figures = load.measure(points, pace)
        for gateway in gateways:
            gateway.must_have_answered()
        if counted:
            counted.must_have_counted()
    alone = figures[ALONE]
    rows = [_row(name, each, alone) for name, each in figures.items()]
    return Section("http", _note(), rows, list(_goals(figures)))


def _points(gateway: Gateway, asking_twice: Gateway, tokens: list[str]) -> Iterator[Point]:
    yield Point(ALONE, Http(gateway.port, HOST, "/open"), gateway.processes)
    yield _point(CHECK, gateway, "/key")
    one = {"authorization": f"Bearer {tokens[0]}"}
    yield Point("+ Check (JWT, cached)", Http(gateway.port, HOST, "/token", one), gateway.processes)
    yield Point("+ Check (JWT, fresh)", Http(gateway.port, HOST, "/token", tokens=tokens), gateway.processes)
    yield _point(CHARGING, gateway, "/metered")
    yield _point(QUOTA, asking_twice, "/metered")


def _point(name: str, gateway: Gateway, path: str, beside: load.Processes | None = None) -> Point:
    call = Http(gateway.port, HOST, path, {"x-api-key": gateway.key})
    return Point(name, call, {**gateway.processes, **(beside or {})})


def _row(name: str, one: Measured, alone: Measured) -> Row:
    return {
        "call": name,
        "of alone": one.over(alone, load.per_second),
        "p99 / p50": one.tail,
        **one.row("Envoy", "sidecar", "Redis", "backend", load.GENERATOR),
    }


def _goals(figures: Mapping[str, Measured]) -> Iterator[Goal]:
    for name, share in WANTED.items():
        figure = figures[name].over(figures[ALONE], load.per_second)
        yield Goal(f"{name}: requests/s over {ALONE}", figure, share, "x", at_least=True)
        yield Goal(f"{name}: p99 over p50", figures[name].tail, MOST_TAIL, "x")
    for name, each in figures.items():
        if name != ALONE:
            yield Goal(
                f"{name}: CPU of the sidecar over what asking costs Envoy", _share(each, figures[ALONE]), 1.0, "x"
            )


def _share(one: Measured, alone: Measured) -> float:
    return one.cpu("sidecar") / max(one.cpu("Envoy") - alone.cpu("Envoy"), 0.1)


def _note() -> str:
    return (
        f"wrk (or h2load, which cannot send fresh tokens), 1 thread, {WIDTH} connections, one Envoy worker, sidecar on "
        f"{stack.transport()}, and a backend that writes a fixed answer. Envoy alone is an open operation of the same "
        "Envoy, listener and backend: for it, both filters are out of the chain. Check that charges is what a call "
        "with a quota leads to; `+ RateLimit` is that call with quota_in_check off. CPU is user and system time of all "
        "threads, divided by the requests; `of alone` is requests/s over those of Envoy alone in the same round; "
        "`busiest` is the process that used most of a core: only where that is Envoy does the throughput show Envoy's "
        f"cost and nobody else's. {counting.note()}"
    ).strip()
