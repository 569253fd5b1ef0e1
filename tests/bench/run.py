"""How fast is the gateway? Prints tables and, for each goal, whether it holds.

sidecar     the sidecar alone, asked what Envoy asks: keys, tokens, quotas in memory and on Redis; and any --peer
transports  its two gRPC servers side by side, alone and behind Envoy
http        the whole path: requests/s, latency and CPU, of Envoy, sidecar and Redis, as more is asked of a call
rpc         what we add to calls in gRPC, native and transcoded, beside what we add to REST
micro       what the parts cost in this process: compiling, deciding, charging, answering, and what a call allocates
deploy      from a document of 1,000 operations to Envoy's acceptance of it, on a running gateway
scale       Envoy's CPU per request in an API of 1,000 operations against one of 10
frameworks  a declared method under uvicorn against the same handler in Starlette; writing documents, and importing

All but micro start real processes on free loopback ports and Unix sockets, and end them. Load comes from h2load
(sidecar, transports, rpc) and wrk (http, rpc, scale, frameworks; h2load does, but cannot send fresh tokens).
Points are measured in turn, round after round, so that a slow minute of the machine slows all of them; figures are
medians of the rounds, and ratios medians of the rounds' ratios. Compare ratios between machines, never figures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
sys.path[:0] = [str(TESTS), str(ROOT)]

from bench import drivers, peers, report  # noqa: E402 - the path comes first
from bench.machine import NotMeasured  # noqa: E402
from bench.pace import Pace  # noqa: E402
from bench.profiles import Profiler  # noqa: E402
from bench.report import Section  # noqa: E402

SECTIONS = {
    "sidecar": "sidecars", "transports": "transports", "http": "overhead",
    "rpc": "rpcs", "micro": "micro", "deploy": "deploy", "scale": "scale", "frameworks": "frameworks",
}  # fmt: skip
"""Names to the modules that measure them. Peers come first: whatever is wrong with one is told before anything else."""
BY_NAME = ("rpc", "frameworks")
"""Not measured unless they are asked for: together they take as long as all others."""
PROFILED = ("sidecar", "transports", "http", "rpc")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print it. Exit code 1 when something could not be measured."""
    options = _options()
    asked = options.parse_args(arguments)
    usual = [name for name in SECTIONS if name not in BY_NAME]
    names = asked.only or (list(PROFILED[:1]) if asked.profile else usual)
    if asked.peer and "sidecar" not in names:
        options.error("peers are measured in the section sidecar")
    if asked.profile and (strange := set(names) - set(PROFILED)):
        options.error(f"{', '.join(sorted(strange))}: no sidecar is under load there; --profile {','.join(PROFILED)}")
    try:
        peers.must_listen(asked.peer)
        pace = _pace(asked)
        possible, trouble = _possible(names, by_hand=pace.by_hand)
        done = list(_measured(possible, pace, asked.peer, trouble))
    except NotMeasured as stopped:
        print(stopped, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _print(asked, done, pace, trouble)
    return 1 if trouble else 0


def _pace(asked: argparse.Namespace) -> Pace:
    profiler = Profiler() if asked.profile else None
    if asked.quick:
        return Pace(0.3, 1, 100, asked.by_hand, profiler)
    return Pace(asked.seconds, asked.rounds, 1000, asked.by_hand, profiler)


def _possible(names: Sequence[str], *, by_hand: bool) -> tuple[dict[str, ModuleType], list[str]]:
    """The sections that have what they need, and words about the others, which are told at once."""
    modules = {name: importlib.import_module(f"bench.{module}") for name, module in SECTIONS.items() if name in names}
    lacking = {
        name: lack
        for name, module in modules.items()
        if hasattr(module, "SENDS") and not by_hand and (lack := drivers.missing(module.SENDS))
    }
    possible = {name: module for name, module in modules.items() if name not in lacking}
    trouble = [f"{name} is not measured: it needs {lack}" for name, lack in lacking.items()]
    for line in trouble:
        print(f"{line}; without it: {', '.join(possible) or 'nothing'}", file=sys.stderr)
    return possible, trouble


def _measured(
    modules: dict[str, ModuleType], pace: Pace, servers: Sequence[peers.Peer], trouble: list[str]
) -> Iterator[Section]:
    """Section by section; one that fails is told, and the others go on. Not so a peer: it was asked for by name."""
    for name, module in modules.items():
        given: tuple[Any, ...] = (servers,) if name == "sidecar" else ()
        try:
            yield module.measure(pace, *given)
        except peers.BadPeer:
            raise
        except NotMeasured as stopped:
            trouble.append(f"{name} is not measured: {stopped}")
            print(trouble[-1], file=sys.stderr)


def _print(asked: argparse.Namespace, done: Sequence[Section], pace: Pace, trouble: Sequence[str]) -> None:
    if pace.profiler:
        done = pace.profiler.sections()
    told = json.dumps(report.as_json(done, trouble), indent=2)
    if asked.output:
        asked.output.write_text(f"{told}\n")
    print(told if asked.json else report.as_markdown(done) if asked.markdown else report.as_text(done))


def _options() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if strange := set(chosen) - set(SECTIONS):
            raise argparse.ArgumentTypeError(f"no section {', '.join(sorted(strange))}; there are {','.join(SECTIONS)}")
        return chosen

    parser = argparse.ArgumentParser(
        "tests/bench/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = f"default: all but {', '.join(BY_NAME)}"
    parser.add_argument("--only", type=names, metavar="SECTION[,SECTION]", help=default)

    def above_zero(kind: type[int] | type[float]) -> Callable[[str], float]:
        def read(text: str) -> float:
            if (value := kind(text)) <= 0:
                raise argparse.ArgumentTypeError(f"{text} is not above 0")
            return value

        return read

    parser.add_argument(
        "--seconds", type=above_zero(float), default=2.0, help="per point and round (default %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=above_zero(int), default=3, help="medians are of so many (default %(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round on a tenth of the operations: a smoke test"
    )
    parser.add_argument(
        "--peer", type=peers.peer, action="append", default=[], metavar="NAME=ADDRESS[,pid=N]",
        help="another ext_authz or rate limit server that runs (HOST:PORT or unix:/PATH), asked the same in the same "
        "rounds; once for each. Its CPU is that of whoever listens there, or of process N",
    )  # fmt: skip
    parser.add_argument(
        "--profile", action="store_true",
        help="instead of figures, which functions of the sidecar use the time, point by point (py-spy, or else perf); "
        f"of {', '.join(PROFILED)}; default: sidecar",
    )  # fmt: skip
    parser.add_argument(
        "--by-hand", action="store_true",
        help="send with Python instead of wrk and h2load: needs neither, and shows no more than that all works",
    )  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="tables to paste into a document")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the JSON into a file, beside what is printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
