"""Everything a change must pass, in the order of how fast it says no: format, lint, types, tests.

`python -m tests` runs all of it; further arguments go to pytest (`python -m tests tests/check -x`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STEPS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
)


def main() -> int:
    root = Path(__file__).parent.parent
    for step in STEPS:
        print("$", *step, flush=True)
        code = subprocess.run([sys.executable, "-m", *step], cwd=root, check=False).returncode
        if code:
            return code
    return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=root, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
