"""In which order a document names paths and methods, so that each RPC's primary binding stands before its others."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import pairwise

Slot = tuple[str, str]
"""A path and a method in it."""


def ordered(chains: Iterable[Sequence[Slot]]) -> tuple[list[Slot], list[int]]:
    """All slots, path by path, each chain's own in its order; and the numbers of the chains for which that failed.

    Where chains leave the choice, paths come as they are first named. Methods of one path stand together in a
    document: two RPCs that share two paths crosswise cannot both have their order, and the later one goes without.
    """
    rows = [list(chain) for chain in chains]
    first = list(dict.fromkeys(path for row in rows for path, _ in row))
    paths = _sorted(first, [list(dict.fromkeys(path for path, _ in row)) for row in rows])
    members: dict[str, list[str]] = {path: [] for path in paths}
    for row in rows:
        for path, method in row:
            members[path].append(method)
    slots = [(path, method) for path in paths for method in members[path]]
    rank = {slot: number for number, slot in enumerate(slots)}
    broken = [number for number, row in enumerate(rows) if any(rank[one] > rank[other] for one, other in pairwise(row))]
    return slots, broken


def _sorted(names: Sequence[str], chains: Iterable[Sequence[str]]) -> list[str]:
    """Names in topological order, the earliest of those that may come next first; a circle is cut at its earliest."""
    rank = {name: number for number, name in enumerate(names)}
    after: dict[str, list[str]] = {name: [] for name in names}
    waits = dict.fromkeys(names, 0)
    for chain in chains:
        for one, other in pairwise(chain):
            after[one].append(other)
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
            if not waits[other] and other not in done:
                heapq.heappush(ready, rank[other])
    return list(done)
