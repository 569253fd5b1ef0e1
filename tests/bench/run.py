"""How fast is the gateway? Prints tables and, for each goal, whether it holds.

http    requests/s, latency and CPU per request, of Envoy and of the sidecar, as more is asked of a call
micro   what the parts cost in this process: compiling, deciding, charging, answering, and what a call allocates
deploy  from a document of 1,000 operations to Envoy's acceptance of it, on a running gateway
scale   Envoy's CPU per request in an API of 1,000 operations against one of 10

http, deploy and scale start a real Envoy on free loopback ports; http and scale need `wrk`, or else
`h2load`, which leaves fresh tokens out.
Points are measured in turn, round after round, so that a slow minute of the machine slows all of them; figures are
medians of the rounds. Compare ratios between machines, never absolute figures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent


SECTIONS = {"http": "overhead", "micro": "micro", "deploy": "deploy", "scale": "scale"}
"""Names to the modules that measure them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print it. Exit code 1 when something could not be measured."""
    asked = _options().parse_args(arguments)
    sys.path[:0] = [str(TESTS), str(ROOT)]
    from bench import machine, report

    pace = report.Pace(0.3, 1, 100) if asked.quick else report.Pace(asked.seconds, asked.rounds, 1000)
    try:
        done = [importlib.import_module(f"bench.{SECTIONS[name]}").measure(pace) for name in asked.only]
    except machine.NotMeasured as trouble:
        print(trouble, file=sys.stderr)
        return 1
    print(json.dumps(report.as_json(done), indent=2) if asked.json else report.as_text(done))
    return 0


def _options() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if strange := set(chosen) - set(SECTIONS):
            raise argparse.ArgumentTypeError(f"no section {', '.join(sorted(strange))}; there are {','.join(SECTIONS)}")
        return chosen

    parser = argparse.ArgumentParser(
        "tests/bench/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=names, default=list(SECTIONS), metavar="SECTION[,SECTION]")
    parser.add_argument("--seconds", type=float, default=3.0, help="per point and round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="medians are of so many (default %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="one short round on a tenth of the operations: a smoke test"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
