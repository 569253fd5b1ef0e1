"""What was measured: rows of figures, goals, and how both are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import machine

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that should stay at or below a number, or `at_least` at it."""

    name: str
    figure: float
    goal: float
    unit: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.figure >= self.goal if self.at_least else self.figure <= self.goal

    @property
    def missed_by(self) -> float:
        """The part of the goal that is missing, 0 if it holds."""
        return 0.0 if self.holds else abs(self.figure - self.goal) / self.goal


@dataclass(frozen=True, slots=True)
class Section:
    """One table: its rows have the same columns. `note` says how to read it."""

    name: str
    note: str
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()


def as_json(sections: Iterable[Section], trouble: Iterable[str] = ()) -> Row:
    """Everything, for programs."""
    told: Row = {"machine": asdict(machine.about()), "sections": {}, "goals": [], "not measured": list(trouble)}
    for section in sections:
        told["sections"][section.name] = {"note": section.note, "rows": section.rows}
        told["goals"] += [{**asdict(goal), "holds": goal.holds, "missed_by": goal.missed_by} for goal in section.goals]
    return told


def as_text(sections: Sequence[Section]) -> str:
    """Tables for a terminal."""
    return _told(sections, _columns)


def as_markdown(sections: Sequence[Section]) -> str:
    """The same tables, to be pasted into a document."""
    return _told(sections, _markdown)


Draw = Callable[[Sequence[Row]], list[str]]


def _told(sections: Sequence[Section], draw: Draw) -> str:
    about = machine.about()
    parts = [f"{about.date}, {about.cpu} x {about.cores}, Python {about.python}, {about.envoy}, load {about.load}"]
    for section in sections:
        parts += ["", f"### {section.name}", "", section.note, "", *draw(section.rows)]
    if goals := [goal for section in sections for goal in section.goals]:
        parts += ["", "### goals", "", *draw([_row(goal) for goal in goals])]
    return "\n".join(parts)


def _row(goal: Goal) -> Row:
    unit = f" {goal.unit}" if goal.unit else ""
    return {
        "goal": goal.name,
        "wanted": f"{'at least' if goal.at_least else 'at most'} {goal.goal:g}{unit}",
        "measured": f"{number(goal.figure)}{unit}",
        "holds": "yes" if goal.holds else f"NO, missed by {goal.missed_by:.0%}",
    }


def _markdown(rows: Sequence[Row]) -> list[str]:
    heads, *lines = _cells(rows)
    rule = ["---" if n == 0 else "--:" for n in range(len(heads))]
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *lines)]


def _columns(rows: Sequence[Row]) -> list[str]:
    """Names to the left, figures to the right."""
    table = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in table]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    everywhere = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in everywhere if any(row.get(name) is not None for row in rows)]
    return [names, *([number(row.get(name)) for name in names] for row in rows)]


def number(value: Any) -> str:
    """A figure with as many digits as it can claim."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return json.dumps(value) if isinstance(value, dict) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
