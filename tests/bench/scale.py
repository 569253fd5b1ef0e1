"""Section `scale`: does a call cost Envoy more when its API is large, wherever the operation stands?"""

from __future__ import annotations

from bench import documents, load, stack
from bench.load import Figures, Point
from bench.report import Goal, Pace, Row, Section

FEW = 10
ALLOWED = 1.3
NOTE = (
    "Envoy's CPU per request to open operations of one gateway that holds all these APIs as hosts of their own; "
    f"`x small` is over the same kind of path in an API of {FEW}."
)


def measure(pace: Pace) -> Section:
    """The first, the middle and the last operation of a large API against one of a small API."""
    many = pace.operations
    texts = [
        documents.wide(_host(kind, size), size, wildcard_first=kind == "tenant", needs_key=False)
        for kind in ("plain", "tenant")
        for size in (FEW, many)
    ]
    with stack.gateway(*texts) as gateway:
        figures = load.measure([*_points(FEW), *_points(many)], gateway, pace)
    rows = [_row(name, one, figures[_small(name)]) for name, one in figures.items()]
    worst = max(row["x small"] for row in rows)
    goal = Goal(f"{many} operations against {FEW}, Envoy's CPU per request, worst of all", worst, ALLOWED, "x")
    return Section("scale", NOTE, rows, [goal])


def _host(kind: str, size: int) -> str:
    return f"{kind}-{size}.example.test"


def _points(size: int) -> list[Point]:
    """Of each kind of path, the first, the middle and the last; of the small API the middle is enough."""
    points = []
    for kind, path, count in (
        ("plain", "/v1/res{}", size // 2),
        ("plain", "/v1/res{}/abc", size // 2),
        ("tenant", "/acme/res{}/abc", size),
    ):
        chosen = {"middle": count // 2} if size == FEW else {"first": 0, "middle": count // 2, "last": count - 1}
        label = {"/v1/res{}": "exact", "/v1/res{}/abc": "wildcard", "/acme/res{}/abc": "wildcard first"}[path]
        points += [Point(f"{label}, {size}, {at}", _host(kind, size), path.format(n)) for at, n in chosen.items()]
    return points


def _small(name: str) -> str:
    return f"{name.rpartition(', ')[0].rpartition(', ')[0]}, {FEW}, middle"


def _row(name: str, one: Figures, small: Figures) -> Row:
    return {
        "operation": name,
        "requests/s": one.per_second,
        "Envoy µs": one.envoy,
        "x small": one.envoy / small.envoy if small.envoy else 0.0,
    }
