"""Counters that the hot path adds to, and their way out as OpenTelemetry metrics.

Adding is one dictionary operation; OpenTelemetry reads the totals only when something collects them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider

from authz.errors import StateError, UsageError

Labels = tuple[tuple[str, str], ...]
Totals = Mapping[tuple[str, Labels], int]

log = logging.getLogger("authz")


class Tally:
    """Named totals with labels: `tally.add("check", decision="allow")`."""

    def __init__(self) -> None:
        self._totals: Counter[tuple[str, Labels]] = Counter()
        self._said: set[tuple[str, str]] = set()

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a total."""
        self._totals[name, tuple(labels.items())] += amount

    def counting(self, name: str, label: str) -> Callable[[str], None]:
        """`add` for the hot path: counts one under each value of a label that it is called with."""
        totals = self._totals
        keys: dict[str, tuple[str, Labels]] = {}

        def count(value: str) -> None:
            if (key := keys.get(value)) is None:
                key = keys[value] = (name, ((label, value),))
            totals[key] += 1

        return count

    def total(self, name: str, **labels: str) -> int:
        """One total, 0 when nothing was added."""
        return self._totals[name, tuple(labels.items())]

    def take(self) -> Totals:
        """All totals, which begin anew: they go to the tally of another process."""
        taken = dict(self._totals)
        self._totals.clear()
        return taken

    def include(self, totals: Totals) -> None:
        """Add what another process has counted."""
        self._totals.update(totals)

    def warn_once(self, name: str, about: str, message: str, *args: object) -> None:
        """Log a warning the first time this name and subject turn up; the total tells how often."""
        if (name, about) not in self._said and len(self._said) < _MOST_WARNINGS:
            self._said.add((name, about))
            log.warning(message, *args)

    def export(self, provider: MeterProvider) -> None:
        """Show the totals as `authz.NAME` observable counters of an OpenTelemetry meter provider."""
        meter = provider.get_meter("authz")
        for name, sentence in TOTALS.items():
            meter.create_observable_counter(f"authz.{name}", [self._reader(name)], description=sentence)

    def _reader(self, wanted: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            totals = tuple(self._totals.items())
            return [Observation(total, dict(labels)) for (name, labels), total in totals if name == wanted]

        return read


TOTALS = {
    "check": "Checks by decision: allow, or the reason of the denial.",
    "quota": "Rate limit questions by decision.",
    "ledger": "What shared counters did, by event: settled, recalled, lost or back.",
}
"""What is counted. The ledger has the label `event`, everything else `decision`."""

_MOST_WARNINGS = 1000


def serve_prometheus(tally: Tally, port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Serve the totals for Prometheus; gives the function that ends it.

    Raises:
        UsageError: the extra `prometheus` is not installed.
        StateError: the port cannot be used.
    """
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise UsageError("metrics_port needs another package", "pip install 'envoy-authz[prometheus]'") from error
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False)
    tally.export(provider)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise StateError(f"metrics_port {port} cannot be used: {error.strerror}", "Choose another port.") from error

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()
        provider.shutdown()

    return stop
