"""Everything a change must pass, in the order of how fast it says no: format, lint, types, tests.

`python -m tests` runs all of it, most test files side by side and then those that must have the machine for themselves
(`conftest.py` says which). What fails side by side is run again by itself, and that counts. Arguments go to pytest,
which then runs once (`python -m tests tests/check -x`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STEPS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
)
SIDE_BY_SIDE = ("pytest", "-m", "not alone", "-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "-q")
AGAIN = ("pytest", "-m", "not alone", "--last-failed", "-q")
ALONE = ("pytest", "-m", "alone", "-q")


def main() -> int:
    more = sys.argv[1:]
    for step in STEPS:
        if code := _run(step):
            return code
    if more:
        return _run(("pytest", *more))
    crowded = _run(SIDE_BY_SIDE)
    if crowded == 1:  # some failed: of themselves, or because of their neighbours?
        crowded = _run(AGAIN)
    return max(crowded, _run(ALONE))  # whatever the others say


def _run(step: tuple[str, ...]) -> int:
    print("$", *step, flush=True)
    root = Path(__file__).parent.parent
    return abs(subprocess.run([sys.executable, "-m", *step], cwd=root, check=False).returncode)


if __name__ == "__main__":
    sys.exit(main())
