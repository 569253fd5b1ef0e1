"""Section `frameworks`: what declaring methods costs, against the same handlers written in Starlette by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bench import load, served, stack
from bench.drivers import Http
from bench.load import Measured, Point
from bench.machine import NotMeasured
from bench.pace import Pace
from bench.report import Goal, Row, Section

HANDLERS = {"read": "GET, async", "wait": "GET, in a thread", "write": "POST of JSON, async"}
ALLOWED = 1.3
METHODS = 500
MOST_WRITING, MOST_IMPORTING = 0.5, 0.1
IMPORTS = {
    "import authz.frameworks": "",
    "import of the old names": "endpoints, messages, message_types, remote",
    "import of the typed style, with pydantic": "typed",
}
NOTE = (
    "One uvicorn each, without a gateway, called by wrk (or h2load) on 32 connections. `server µs` is its CPU per "
    "request; `x Starlette` is that over the CPU of the same handler in Starlette, which checks no field, in the same "
    "round. Documents are written and names imported by fresh interpreters: CPU time, the least of the rounds."
)

SENDS = Http
_SERVER = "server"


def measure(pace: Pace) -> Section:
    """Calls of each style, then documents and imports."""
    starting = [stack.backend("served.py", name) for name in served.APPS]
    with stack.together(*starting) as running:
        figures = load.measure(_points(dict(zip(served.APPS, running, strict=True))), pace)
    rows: list[Row] = []
    goals: list[Goal] = []
    for style in served.STYLES:
        for handler, words in HANDLERS.items():
            own, plain = figures[_name(style, handler, "authz")], figures[_name(style, handler, "starlette")]
            ratio = own.over(plain, load.of(_SERVER))
            rows.append(_row(f"{words}, {style}", own, plain, ratio))
            goals.append(Goal(f"{words}, {style}: CPU of a call over Starlette's", ratio, ALLOWED, "x"))
    seconds = {f"document of {METHODS} methods": _least(pace, str(METHODS))}
    seconds |= {name: _least(pace, "import", names) for name, names in IMPORTS.items()}
    rows += [{"call": name, "s": taken} for name, taken in seconds.items()]
    limits = dict(zip(seconds, (MOST_WRITING, MOST_IMPORTING, MOST_IMPORTING), strict=False))
    goals += [Goal(name, seconds[name], limit, "s") for name, limit in limits.items()]
    return Section("frameworks", NOTE, rows, goals)


def _points(servers: Mapping[str, tuple[str, int]]) -> Iterator[Point]:
    for style in served.STYLES:
        for handler in HANDLERS:
            for server, (url, pid) in servers.items():
                address = urlsplit(url)
                body = served.BODY if handler == "write" else ""
                call = Http(address.port or 0, address.netloc, served.path(style, handler), body=body)
                yield Point(_name(style, handler, server), call, {_SERVER: [pid]})


def _name(style: str, handler: str, server: str) -> str:
    return f"{style} {handler} {server}"


def _row(name: str, own: Measured, plain: Measured, ratio: float) -> Row:
    return {
        "call": name,
        "x Starlette": ratio,
        "Starlette µs": plain.cpu(_SERVER),
        "Starlette requests/s": plain.median(load.per_second),
        **own.row(_SERVER, load.GENERATOR),
    }


def _least(pace: Pace, *words: str) -> float:
    """Other work on the machine only ever adds to it."""
    return min(_seconds(*words) for _ in range(pace.rounds + 1))


def _seconds(*words: str) -> float:
    script = str(Path(__file__).with_name("declared.py"))
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"declared.py {' '.join(words)}: {done.stderr.strip()}")
    return float(done.stdout)
