"""The benchmark runs and says what it promises to. Times are never judged here: the machine has other work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent
ROOT = BENCH.parent.parent


def bench(*arguments: str, way: tuple[str, ...] = (str(BENCH / "run.py"),)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error::ResourceWarning", *way, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_it_measures_the_parts_and_judges_the_goals() -> None:
    told = json.loads(bench("--quick", "--only", "micro", "--json").stdout)

    assert told["machine"]["cores"] >= 1
    rows = {row["part"]: row for row in told["sections"]["micro"]["rows"]}
    assert {"sources, YAML", "snapshot", "its routes", "decide (key)", "charges + spend"} <= set(rows)
    assert all(row["µs"] > 0 for row in rows.values())
    assert rows["decide (key)"]["peak bytes"] > 0
    goals = {goal["name"]: goal for goal in told["goals"]}
    assert {"decide (key)", "charges and spend, memory", "routes of 100 operations"} <= set(goals)
    assert all(goal["holds"] is (goal["figure"] <= goal["goal"]) for goal in goals.values())


@pytest.mark.parametrize("way", [(str(BENCH / "run.py"),), ("-m", "tests.bench")])
def test_help_says_what_each_section_is(way: tuple[str, ...]) -> None:
    done = bench("--help", way=way)

    assert done.returncode == 0
    assert all(f"\n{section} " in done.stdout for section in ("http", "micro", "deploy", "scale"))


def test_a_section_that_is_not_there_is_a_usage_error() -> None:
    done = bench("--only", "micro,magic")

    assert done.returncode == 2
    assert "no section magic; there are http,micro,deploy,scale" in done.stderr
