"""Load: one wrk (or h2load) run at one operation, and what it cost whom."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import NotMeasured
from bench.report import Pace
from bench.stack import Gateway

CONNECTIONS = 32
_SCRIPT = Path(__file__).with_name("calls.lua")
_HINT = "Load comes from wrk: install it (apt-get install wrk, brew install wrk), or h2load (nghttp2-client)."


@dataclass(frozen=True, slots=True)
class Point:
    """One operation as it is called. `tokens`: sent in turn, one a call (see `can_send`)."""

    name: str
    host: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run, or the median of several, showed. Latencies and CPU times are in microseconds.

    `least` is Envoy's CPU in the cheapest of the runs: other work on the machine only ever adds to it.
    """

    per_second: float
    p50: float
    p99: float
    envoy: float
    sidecar: float
    least: float


@dataclass(frozen=True, slots=True)
class _Run:
    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int


def can_send(point: Point) -> bool:
    """Whether the tool that is here can do what a point asks for: h2load has the same headers for every call."""
    return not point.tokens or shutil.which("wrk") is not None


def measure(points: Sequence[Point], gateway: Gateway, pace: Pace) -> dict[str, Figures]:
    """All points in turn, round after round; each one's medians. A short first round that does not count warms up."""
    runs: dict[str, list[Figures]] = {point.name: [] for point in points}
    for point in points:
        _one(point, gateway, min(pace.seconds, 0.5))
    for _ in range(pace.rounds):
        for point in points:
            runs[point.name].append(_one(point, gateway, pace.seconds))
    return {name: _medians(figures) for name, figures in runs.items()}


def _medians(figures: Sequence[Figures]) -> Figures:
    typical = {name: statistics.median(getattr(each, name) for each in figures) for name in Figures.__slots__}
    return Figures(**typical | {"least": min(each.least for each in figures)})


def _one(point: Point, gateway: Gateway, seconds: float) -> Figures:
    before = gateway.cpu()
    run = _drive(point, f"http://127.0.0.1:{gateway.port}{point.path}", seconds)
    envoy, sidecar = (after - start for after, start in zip(gateway.cpu(), before, strict=True))
    if run.errors or not run.requests:
        raise NotMeasured(f"{point.name}: {run.errors} of {run.requests} calls failed")
    cost = envoy / run.requests
    return Figures(run.requests / run.seconds, run.p50, run.p99, cost, sidecar / run.requests, cost)


def _drive(point: Point, url: str, seconds: float) -> _Run:
    for tool, run in (("wrk", _wrk), ("h2load", _h2load)):
        if shutil.which(tool):
            return run(point, url, seconds)
    raise NotMeasured(_HINT)


def _headers(host_name: str, point: Point) -> list[str]:
    given = {host_name: point.host, **point.headers}
    return [part for name, value in given.items() for part in ("-H", f"{name}: {value}")]


def _wrk(point: Point, url: str, seconds: float) -> _Run:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as tokens:
        tokens.writelines(f"{token}\n" for token in point.tokens)
        tokens.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(_SCRIPT)]
        told = _run([*command, *_headers("Host", point), url, "--", tokens.name])
    return _Run(**json.loads(told.splitlines()[-1]))


def _h2load(point: Point, url: str, seconds: float) -> _Run:
    with tempfile.NamedTemporaryFile("r") as log:
        command = ["h2load", "--h1", f"-c{CONNECTIONS}", f"-D{max(1, round(seconds))}", f"--log-file={log.name}"]
        _run([*command, *_headers(":authority", point), url])
        calls = [tuple(map(int, line.split("\t")[:3])) for line in log]
    took = sorted(call[2] for call in calls)
    span = (max(call[0] + call[2] for call in calls) - min(call[0] for call in calls)) / 1e6 if calls else 1.0
    return _Run(len(calls), span, _at(took, 0.50), _at(took, 0.99), sum(call[1] != 200 for call in calls))


def _at(ordered: Sequence[int], share: float) -> float:
    return float(ordered[int(len(ordered) * share)]) if ordered else 0.0


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
