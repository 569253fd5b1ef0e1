"""In which order a document names paths and methods, so that each RPC's primary binding stands before its others."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

Slot = tuple[str, str]
"""A path and a method in it."""


def ordered(chains: Iterable[Sequence[Slot]]) -> tuple[list[Slot], list[int]]:
    """All slots, path by path, and the numbers of the chains whose first slot does not come first.

    Where chains leave the choice, paths come as they are first named. Methods of one path stand together in a
    document: two RPCs that share two paths crosswise cannot both have their first slot first, and one goes without.
    """
    rows = [list(chain) for chain in chains]
    names = list(dict.fromkeys(path for row in rows for path, _ in row))
    members: dict[str, list[str]] = {path: [] for path in _sorted(names, rows)}
    for row in rows:
        for path, method in row:
            members[path].append(method)
    slots = [(path, method) for path, methods in members.items() for method in methods]
    rank = {slot: number for number, slot in enumerate(slots)}
    return slots, [number for number, row in enumerate(rows) if row and min(rank[one] for one in row) != rank[row[0]]]


def _sorted(names: Sequence[str], rows: Iterable[Sequence[Slot]]) -> list[str]:
    """Paths in topological order, the earliest of those that may come next first; a circle is cut at its earliest."""
    rank = {name: number for number, name in enumerate(names)}
    after: dict[str, list[str]] = {name: [] for name in names}
    waits = dict.fromkeys(names, 0)
    for (first, _), *others in filter(None, rows):
        for other in dict.fromkeys(path for path, _ in others if path != first):
            after[first].append(other)
            waits[other] += 1
    ready = [rank[name] for name in names if not waits[name]]
    left = iter(names)
    done: dict[str, None] = {}
    while len(done) < len(names):
        name = names[heapq.heappop(ready)] if ready else next(name for name in left if name not in done)
        if name in done:
            continue
        done[name] = None
        for other in after[name]:
            waits[other] -= 1
            if not waits[other]:
                heapq.heappush(ready, rank[other])
    return list(done)
