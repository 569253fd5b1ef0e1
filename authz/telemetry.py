"""Counters that the hot path adds to, and their way out as OpenTelemetry metrics.

Adding is one dictionary operation; OpenTelemetry reads the totals only when something collects them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

Labels = tuple[tuple[str, str], ...]

log = logging.getLogger("authz")


class Tally:
    """Named totals with labels: `tally.add("check", decision="allow")`."""

    def __init__(self) -> None:
        self._totals: Counter[tuple[str, Labels]] = Counter()
        self._said: set[tuple[str, str]] = set()

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a total."""
        self._totals[name, tuple(labels.items())] += amount

    def total(self, name: str, **labels: str) -> int:
        """One total, 0 when nothing was added."""
        return self._totals[name, tuple(labels.items())]

    def warn_once(self, name: str, about: str, message: str, *args: object) -> None:
        """Log a warning the first time this name and subject turn up; the total tells how often."""
        if (name, about) not in self._said and len(self._said) < _MOST_WARNINGS:
            self._said.add((name, about))
            log.warning(message, *args)

    def names(self) -> set[str]:
        """Every name that has a total."""
        return {name for name, _ in self._totals}

    def export(self, provider: MeterProvider, names: Iterable[str]) -> None:
        """Show these totals as `authz.NAME` observable counters of an OpenTelemetry meter provider."""
        meter = provider.get_meter("authz")
        for name in names:
            meter.create_observable_counter(f"authz.{name}", callbacks=[self._reader(name)])

    def _reader(self, wanted: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - OpenTelemetry's callback type is private
        def read(_: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(total, dict(labels)) for (name, labels), total in self._totals.items() if name == wanted
            ]

        return read


_MOST_WARNINGS = 1000
