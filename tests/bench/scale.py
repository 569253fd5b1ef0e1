"""Section `scale`: does a call cost Envoy more when its API is large, wherever the operation stands?"""

from __future__ import annotations

from collections.abc import Iterator

from bench import documents, load, stack
from bench.load import Figures, Point
from bench.report import Goal, Pace, Row, Section

FEW = 10
ALLOWED = 1.3
NOTE = (
    "Envoy's CPU per request to open operations of one gateway that holds all these APIs as hosts of their own; "
    f"`x small` is the least of the rounds over the least of the same kind of path in an API of {FEW}."
)


def measure(pace: Pace) -> Section:
    """The first, the middle and the last operation of a large API against one of a small API."""
    many = pace.operations
    texts = [
        documents.wide(_host(shape, size), size, shape, needs_key=False)
        for shape in documents.SHAPES
        for size in (FEW, many)
    ]
    with stack.gateway(*texts) as gateway:
        figures = load.measure(list(_points(many)), gateway, pace)
    rows = [_row(name, one, figures[_small(name)]) for name, one in figures.items()]
    worst = max(row["x small"] for row in rows)
    goal = Goal(f"{many} operations against {FEW}, Envoy's CPU per request, worst of all", worst, ALLOWED, "x")
    return Section("scale", NOTE, rows, [goal])


def _host(shape: str, size: int) -> str:
    return f"{shape}-{size}.example.test"


def _points(many: int) -> Iterator[Point]:
    """Of each kind of path, the first, the middle and the last; of the small API the middle is enough."""
    for shape, kinds in documents.SHAPES.items():
        for kind, path in kinds.items():
            few, count = FEW // len(kinds), many // len(kinds)
            yield Point(f"{kind}, {FEW}", _host(shape, FEW), documents.a_call(path, few // 2))
            for where, number in (("first", 0), ("middle", count // 2), ("last", count - 1)):
                yield Point(f"{kind}, {many}, {where}", _host(shape, many), documents.a_call(path, number))


def _small(name: str) -> str:
    return f"{name.partition(', ')[0]}, {FEW}"


def _row(name: str, one: Figures, small: Figures) -> Row:
    return {
        "operation": name,
        "requests/s": one.per_second,
        "Envoy µs": one.envoy,
        "least µs": one.least,
        "x small": one.least / small.least if small.least else 0.0,
    }
