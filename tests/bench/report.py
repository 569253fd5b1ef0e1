"""What was measured: rows of figures, goals, and how both are printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import machine

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often each point is measured, and how many operations a large API has."""

    seconds: float
    rounds: int
    operations: int


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that should stay at or below a number."""

    name: str
    figure: float
    goal: float
    unit: str

    @property
    def holds(self) -> bool:
        return self.figure <= self.goal


@dataclass(frozen=True, slots=True)
class Section:
    """One table: its rows have the same columns. `note` says how to read it."""

    name: str
    note: str
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()


def as_json(sections: Iterable[Section]) -> Row:
    """Everything, for programs."""
    told: Row = {"machine": asdict(machine.about()), "sections": {}, "goals": []}
    for section in sections:
        told["sections"][section.name] = {"note": section.note, "rows": section.rows}
        told["goals"] += [{**asdict(goal), "holds": goal.holds} for goal in section.goals]
    return told


def as_text(sections: Sequence[Section]) -> str:
    """Tables in Markdown, ready to be pasted."""
    about = machine.about()
    parts = [f"{about.date}, {about.cpu} x {about.cores}, Python {about.python}, {about.envoy}, load {about.load}"]
    for section in sections:
        parts += ["", f"### {section.name}", "", section.note, "", *_table(section.rows)]
    if goals := [goal for section in sections for goal in section.goals]:
        parts += ["", "### goals", "", *_table([_row(goal) for goal in goals])]
    return "\n".join(parts)


def _row(goal: Goal) -> Row:
    unit = f" {goal.unit}" if goal.unit else ""
    return {
        "goal": goal.name,
        "at most": f"{goal.goal:g}{unit}",
        "measured": f"{number(goal.figure)}{unit}",
        "holds": "yes" if goal.holds else "NO",
    }


def _table(rows: Sequence[Row]) -> list[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([number(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]


def number(value: Any) -> str:
    """A figure with as many digits as it can claim."""
    if not isinstance(value, float):
        return json.dumps(value) if isinstance(value, dict) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
