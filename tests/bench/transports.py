"""Section `transports`: the two gRPC servers side by side, alone and behind Envoy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench import documents, load, questions, stack
from bench.drivers import WIDTH, Grpc, Http
from bench.load import Measured, Point
from bench.pace import Pace
from bench.questions import HOST, KEY
from bench.report import Goal, Row, Section

FAST, REFERENCE = "nghttp2", "grpcio"
ALONE, BEHIND = KEY, f"{KEY} + Envoy"
SHARE = 0.125

NOTE = (
    f"The same questions to both, in turn: sent by h2load as in `sidecar`, and by clients on {WIDTH} connections "
    "through an Envoy each. `x grpcio` is the sidecar's CPU over that of grpcio in the same rounds."
)

SENDS = Grpc


def measure(pace: Pace) -> Section:
    """Both transports at both loads."""
    with contextlib.ExitStack() as running:
        figures = load.measure(list(_points(running)), pace)
    rows = [_row(where, kind, figures) for where in (ALONE, BEHIND) for kind in (FAST, REFERENCE)]
    goals = [
        Goal(f"{where}: sidecar CPU, {FAST} over {REFERENCE}", _share(where, FAST, figures), SHARE, "x")
        for where in (ALONE, BEHIND)
    ]
    return Section("transports", NOTE, rows, goals)


def _points(running: contextlib.ExitStack) -> Iterator[Point]:
    site = questions.site()
    asked = site.questions[KEY]
    kinds = (FAST, REFERENCE)
    sidecars = running.enter_context(stack.together(*(stack.sidecar(site.data_dir, transport=kind) for kind in kinds)))
    document = documents.keyed(HOST)
    gateways = running.enter_context(stack.together(*(stack.gateway(document, transport=kind) for kind in kinds)))
    for kind, sidecar in zip(kinds, sidecars, strict=True):
        call = Grpc(sidecar.address, asked.method, asked.message, asked.answer)
        yield Point(_name(ALONE, kind), call, {"sidecar": sidecar.processes})
    for kind, gateway in zip(kinds, gateways, strict=True):
        call = Http(gateway.port, HOST, "/key", {"x-api-key": gateway.key})
        yield Point(_name(BEHIND, kind), call, gateway.processes)


def _name(where: str, kind: str) -> str:
    return f"{where}, {kind}"


def _share(where: str, kind: str, figures: dict[str, Measured]) -> float:
    return figures[_name(where, kind)].over(figures[_name(where, REFERENCE)], load.of("sidecar"))


def _row(where: str, kind: str, figures: dict[str, Measured]) -> Row:
    one = figures[_name(where, kind)].row("Envoy", "sidecar", "backend", load.GENERATOR)
    return {"call": where, "transport": kind, **one, "x grpcio": _share(where, kind, figures)}
