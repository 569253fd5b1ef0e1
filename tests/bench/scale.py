"""Section `scale`: does a call cost Envoy more when its API is large, wherever the operation stands?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from bench import documents, load, stack
from bench.drivers import Http
from bench.load import Measured, Point
from bench.pace import Pace
from bench.report import Goal, Row, Section
from bench.stack import Gateway

FEW = 10
ALLOWED = 1.3
NOTE = (
    "Envoy's CPU per request to open operations of one gateway that holds all these APIs as hosts of their own; "
    f"`x small` is the least of the rounds over the least of the same kind of path in an API of {FEW}."
)

SENDS = Http


def measure(pace: Pace) -> Section:
    """The first, the middle and the last operation of a large API against one of a small API."""
    many = pace.operations
    texts = [
        documents.wide(_host(shape, size), size, shape, needs_key=False)
        for shape in documents.SHAPES
        for size in (FEW, many)
    ]
    with stack.gateway(*texts) as gateway:
        figures = load.measure(_points(gateway, many), dataclasses.replace(pace, seconds=pace.seconds / 2))
    rows = [_row(name, one, figures[_small(name)]) for name, one in figures.items()]
    worst = max(row["x small"] for row in rows)
    goal = Goal(f"{many} operations against {FEW}, Envoy's CPU per request, worst of all", worst, ALLOWED, "x")
    return Section("scale", NOTE, rows, [goal])


def _host(shape: str, size: int) -> str:
    return f"{shape}-{size}.example.test"


def _points(gateway: Gateway, many: int) -> Iterator[Point]:
    """Of each kind of path, the first, the middle and the last; of the small API the middle is enough."""
    for shape, kinds in documents.SHAPES.items():
        for kind, path in kinds.items():
            few, count = FEW // len(kinds), many // len(kinds)
            calls = {f"{kind}, {FEW}": (FEW, few // 2)}
            calls |= {f"{kind}, {many}, {where}": (many, n) for where, n in _places(count)}
            for name, (size, number) in calls.items():
                call = Http(gateway.port, _host(shape, size), documents.a_call(path, number))
                yield Point(name, call, {"Envoy": gateway.processes["Envoy"]})


def _places(count: int) -> tuple[tuple[str, int], ...]:
    return ("first", 0), ("middle", count // 2), ("last", count - 1)


def _small(name: str) -> str:
    return f"{name.partition(', ')[0]}, {FEW}"


def _row(name: str, one: Measured, small: Measured) -> Row:
    least, least_small = one.least("Envoy"), small.least("Envoy")
    return {
        "operation": name,
        "requests/s": one.median(load.per_second),
        "Envoy µs": one.cpu("Envoy"),
        "least µs": least,
        "x small": least / least_small if least_small else 0.0,
    }
