"""Points under load: all in turn, round after round, and what each call cost whom."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench import machine, profiles
from bench.drivers import Grpc, Http
from bench.machine import NotMeasured
from bench.pace import Pace
from bench.report import Row

GENERATOR = "load"
"""The column of whoever sends the load. The others are named by the points."""
_WARM_UP = 0.5
_WATCHED = 2.0
"""Seconds at least for as many samples as a profile needs."""

Processes = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to measure: what is sent, and whose CPU counts, by column."""

    name: str
    call: Http | Grpc
    processes: Processes


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run showed. Latencies are in microseconds, and so is the CPU time per request, by column."""

    per_second: float
    p50: float
    p99: float
    cpu: Mapping[str, float]

    @property
    def busiest(self) -> tuple[str, float]:
        """Who used most of one core, and which part of it: what holds the throughput back where it is near 1."""
        return max(((who, each * self.per_second / 1e6) for who, each in self.cpu.items()), key=lambda one: one[1])


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs of one point, in order: the n-th runs of all points were taken in the same round."""

    runs: Sequence[Figures]

    def median(self, what: Callable[[Figures], float]) -> float:
        """Of all runs."""
        return statistics.median(map(what, self.runs))

    def over(self, other: Measured, what: Callable[[Figures], float]) -> float:
        """The median of the rounds' ratios: a slow minute is in both of its sides."""
        return statistics.median(
            what(mine) / (what(theirs) or 1.0) for mine, theirs in zip(self.runs, other.runs, strict=True)
        )

    def cpu(self, who: str) -> float:
        """Microseconds per request."""
        return self.median(lambda run: run.cpu[who])

    def least(self, who: str) -> float:
        """The cheapest of the runs: other work on the machine only ever adds to it."""
        return min(run.cpu[who] for run in self.runs)

    @property
    def tail(self) -> float:
        """How many times the median latency the 99th percentile is."""
        return self.median(lambda run: run.p99 / (run.p50 or 1.0))

    def row(self, *columns: str) -> Row:
        """The figures that every table shows, with the CPU of these, None where one took no part."""
        typical = sorted(self.runs, key=lambda run: run.per_second)[len(self.runs) // 2]
        who, share = typical.busiest
        return {
            "requests/s": self.median(per_second),
            "p50 ms": self.median(lambda run: run.p50) / 1000,
            "p99 ms": self.median(lambda run: run.p99) / 1000,
            **{f"{each} µs": self.cpu(each) if each in typical.cpu else None for each in columns},
            "busiest": f"{who} {share:.0%}",
        }


def per_second(run: Figures) -> float:
    """For `median` and `over`."""
    return run.per_second


def of(who: str) -> Callable[[Figures], float]:
    """CPU time per request of one column, for `median` and `over`."""
    return lambda run: run.cpu[who]


def measure(points: Iterable[Point], pace: Pace) -> dict[str, Measured]:
    """All points in turn, round after round. A short first round that does not count warms up, and finds mistakes."""
    all_points = list(points)
    for point in all_points:
        _one(point, min(pace.seconds, _WARM_UP), pace)
    if pace.profiler:
        return {point.name: Measured([_watched(point, pace, pace.profiler)]) for point in all_points}
    rounds = [[_one(point, pace.seconds, pace) for point in all_points] for _ in range(pace.rounds)]
    return {point.name: Measured([each[n] for each in rounds]) for n, point in enumerate(all_points)}


def _watched(point: Point, pace: Pace, profiler: profiles.Profiler) -> Figures:
    with profiler.watching(point.name, point.processes.get("sidecar", ())) as profile:
        figures = _one(point, max(pace.seconds, _WATCHED), pace)
    if profile:
        profile.cost = figures.cpu["sidecar"]
    return figures


def _one(point: Point, seconds: float, pace: Pace) -> Figures:
    before = _clocks(point, pace)
    run = point.call.drive(seconds, by_hand=pace.by_hand)
    # Whoever takes samples stops the process for them, at first for so long that Envoy gives up waiting.
    if not run.requests or (run.errors and not pace.profiler):
        raise NotMeasured(f"{point.name}: {run.errors} of {run.errors + run.requests} calls failed")
    used = {who: (after - before[who]) / run.requests for who, after in _clocks(point, pace).items()}
    return Figures(run.requests / run.seconds, run.p50, run.p99, used)


def _clocks(point: Point, pace: Pace) -> dict[str, float]:
    """Microseconds so far. The generator's are those of children that have ended, or of this process."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    here = time.process_time() if pace.by_hand else 0.0
    clocks = {who: sum(map(machine.cpu_microseconds, pids)) for who, pids in point.processes.items()}
    return clocks | {GENERATOR: (ended.ru_utime + ended.ru_stime + here) * 1e6}
