"""Section `micro`: what the parts cost in this process, without Envoy, transport or store."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial

from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.service import ServiceConfig, SourceText
from authz.rulebook.compile import compile_book
from authz.settings import Settings
from authz.sources import compile_texts
from authz.xds import clusters, routes, snapshot
from bench import calls, documents
from bench.pace import Pace
from bench.report import Goal, Row, Section

HOST = "wide.example.test"
_SHARE = 1 / 150
"""Of a point's seconds under load: what one measurement here takes at least."""
_MOST_LOOPS = 100_000
_COUNTED = 1000
NOTE = (
    "CPU time of the thread, so that waiting for a core does not count; medians of rounds in turn. `peak` is the most "
    "that one call holds at once, `kept` the memory blocks per call that 1,000 calls leave behind. `yardstick` never "
    "changes: where it is twice as slow as elsewhere, so is the machine at that moment."
)
Work = Callable[[], object]


def measure(pace: Pace) -> Section:
    """Compiling a large document, and what one call costs."""
    compiling = _compiling(pace.operations)
    calling = {"yardstick": _yardstick, **calls.parts()}
    # What is there by now stays: collections need not look at it again and again.
    gc.collect()
    gc.freeze()
    seconds = _seconds({**compiling, **calling}, pace)
    rows = [_row(name, seconds[name], ()) for name in compiling]
    rows += [_row(name, seconds[name], _memory(work)) for name, work in calling.items()]
    return Section("micro", NOTE, rows, _goals(seconds, pace.operations))


def _yardstick() -> int:
    """Some plain Python that has nothing to do with the gateway."""
    total = 0
    for number in range(100):
        total += number % 7
    return total


def _compiling(operations: int) -> Mapping[str, Work]:
    document = documents.wide(HOST, operations)
    yaml, json = documents.as_yaml(document), documents.as_json(document)
    settings = Settings()
    config = _config(json)
    inventory = Inventory(1, (LiveService(config.name, (LiveConfig(config),)),))
    built = snapshot.build(inventory, settings)
    return {
        "sources, YAML": partial(_config, yaml),
        "sources, JSON": partial(_config, json),
        "rulebook": partial(compile_book, inventory, settings),
        "snapshot": partial(snapshot.build, inventory, settings),
        "its routes": partial(routes.build, inventory, settings, partial(clusters.cluster_name, settings=settings)),
        "its check": partial(snapshot.check, built),
    }


def _config(text: str) -> ServiceConfig:
    (config,) = compile_texts([SourceText("wide", text)]).configs
    return dataclasses.replace(config, id="2026-01-01r0")


def _seconds(work: Mapping[str, Work], pace: Pace) -> dict[str, float]:
    """The median time of one call of each, all of them in turn, round after round."""
    loops = {name: _loops(each, pace.seconds * _SHARE) for name, each in work.items()}
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(pace.rounds):
        for name, each in work.items():
            taken[name].append(_time(each, loops[name]))
    return {name: statistics.median(times) for name, times in taken.items()}


def _loops(work: Work, least: float) -> int:
    """So many calls take at least so long, and seldom over four times that."""
    loops = 1
    while loops < _MOST_LOOPS and _time(work, loops) * loops < least:
        loops *= 4
    return loops


def _time(work: Work, loops: int) -> float:
    start = time.thread_time()
    for _ in range(loops):
        work()
    return (time.thread_time() - start) / loops


def _memory(work: Work) -> tuple[int, float]:
    """The bytes that one call holds at its peak, and the blocks per call that are left."""
    work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(_COUNTED):
        work()
    gc.collect()
    kept = (sys.getallocatedblocks() - before) / _COUNTED
    tracemalloc.start()
    try:
        work()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        peak = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    return peak, kept


def _row(name: str, seconds: float, memory: tuple[int, float] | tuple[()]) -> Row:
    peak, kept = memory or ("", "")
    return {"part": name, "µs": seconds * 1e6, "peak bytes": peak, "kept blocks": kept}


def _goals(seconds: Mapping[str, float], operations: int) -> list[Goal]:
    after = seconds["rulebook"] + seconds["snapshot"] + seconds["its check"]
    times = [
        (f"{operations} operations from {kind} to snapshot", seconds[f"sources, {kind}"] + after, 300.0)
        for kind in ("YAML", "JSON")
    ]
    times.append((f"routes of {operations} operations", seconds["its routes"], 50.0))
    calling = [
        *((f"decide ({kind})", seconds[f"decide ({kind})"], 5.0) for kind in calls.CREDENTIALS),
        ("charges and spend, memory", seconds["charges + spend"], 8.0),
    ]
    return [Goal(name, taken * 1e3, goal, "ms") for name, taken, goal in times] + [
        Goal(name, taken * 1e6, goal, "µs") for name, taken, goal in calling
    ]
