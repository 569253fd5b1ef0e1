"""Section `http`: what a call costs as more is asked of it, from an open operation to one with a quota."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from authz.demo.bookstore import Server
from bench import documents, load, stack
from bench.load import Figures, Point
from bench.report import Pace, Row, Section
from harness.issuer import Issuer

HOST = "bench.example.test"
REMEMBERED = 16
"""So few tokens are remembered that 64 in turn are all verified afresh."""
FRESH = 64

NOTE = (
    f"wrk (or h2load, which cannot send fresh tokens), 1 thread, {load.CONNECTIONS} connections, one Envoy worker, a "
    "second Envoy as backend. CPU is user and system time of the whole process, divided by the requests; `x alone` is "
    "requests/s of Envoy alone over this row's."
)


def measure(pace: Pace) -> Section:
    """Requests/s, latencies and CPU for each kind of guard."""
    with _issuer() as (url, issuer):
        tokens = [issuer.token(iss=url, aud=documents.AUDIENCE, sub=f"user-{n}") for n in range(FRESH)]
        with stack.gateway(documents.guarded(HOST, url), token_cache_size=REMEMBERED) as gateway:
            figures = load.measure([*filter(load.can_send, _points(gateway.key, tokens))], gateway, pace)
    alone = figures["Envoy alone"]
    return Section("http", NOTE, [_row(name, each, alone) for name, each in figures.items()])


def _points(key: str, tokens: list[str]) -> list[Point]:
    by_key = {"x-api-key": key}
    return [
        Point("Envoy alone", HOST, "/open"),
        Point("+ Check (key)", HOST, "/key", by_key),
        Point("+ Check (JWT, cached)", HOST, "/token", {"authorization": f"Bearer {tokens[0]}"}),
        Point("+ Check (JWT, fresh)", HOST, "/token", tokens=tokens),
        Point("+ Check (key) + RateLimit", HOST, "/metered", by_key),
    ]


def _row(name: str, one: Figures, alone: Figures) -> Row:
    return {
        "call": name,
        "requests/s": one.per_second,
        "x alone": alone.per_second / one.per_second,
        "p50 ms": one.p50 / 1000,
        "p99 ms": one.p99 / 1000,
        "Envoy µs": one.envoy,
        "x alone, Envoy": one.envoy / alone.envoy if alone.envoy else 0.0,
        "sidecar µs": one.sidecar,
    }


@contextlib.contextmanager
def _issuer() -> Iterator[tuple[str, Issuer]]:
    """An issuer and the address of its keys."""
    issuer = Issuer()
    server = Server(lambda _method, _path, _headers: (200, issuer.jwks()))
    server.start()
    try:
        yield server.url, issuer
    finally:
        server.stop()
