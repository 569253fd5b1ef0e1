"""x-google-management, x-google-api-management and x-google-quota: metrics, limits and costs."""

from __future__ import annotations

import re

from authz.model.quota import UNLIMITED, Cost, Limit, Metric, Unit
from authz.sources.node import Node
from authz.sources.openapi.reading import MetricUse, Reading

ENDPOINTS_UNIT = "1/min/{project}"
TIER = "STANDARD"
_LIMIT_NAME = re.compile(r"[-A-Za-z0-9]+\Z")
_MAX_NAME = 64
_MAX_METRIC = 255  # what a limit's name may have in the database
_UNITS = {unit.value: unit for unit in Unit}


def management2(root: Node, reading: Reading) -> None:
    """OpenAPI 2.0: lists of metrics and limits."""
    node = root.child("x-google-management")
    if node is None:
        return
    node.known("metrics", "quota")
    quota = node.child("quota")
    if quota:
        quota.known("limits")
    declare(node, quota, reading)


def declare(node: Node, quota: Node | None, reading: Reading) -> None:
    """Metrics of a node and limits of a quota, both as lists, as google.api.Service has them."""
    for entry in node.children("metrics"):
        entry.known(*_METRIC_FIELDS, "name")
        _add_metric(entry, entry.text("name"), reading)
    for entry in quota.children("limits") if quota else ():
        entry.known("name", "metric", "unit", "values", "displayName", "display_name", "description")
        if _endpoints_unit(entry):
            _add_limit(entry, entry.text("name"), _tier_value(entry), (Unit.MINUTE, 1), reading)


def management3(management: Node | None, reading: Reading) -> None:
    """OpenAPI 3.x: metrics and limits by name."""
    metrics = management.child("metrics") if management else None
    for name, entry in metrics.members() if metrics else ():
        entry.known(*_METRIC_FIELDS)
        _add_metric(entry, name, reading)
    quota = management.child("quota") if management else None
    if quota is None:
        return
    quota.known("limits")
    limits = quota.child("limits")
    for name, entry in limits.members() if limits else ():
        entry.known("metric", "values", "unit", "displayName", "display_name", "description")
        _add_limit(entry, name, _whole_value(entry), _window(entry), reading)


_METRIC_FIELDS = ("displayName", "display_name", "valueType", "value_type", "metricKind", "metric_kind", "description")


def _add_metric(entry: Node, name: str, reading: Reading) -> None:
    if not name:
        entry.report("field-missing", "a metric has no 'name'", "Give it a name such as 'read-requests'.")
        return
    for (wanted, *as_good), names in (
        (("INT64",), ("valueType", "value_type")),
        (("DELTA", "GAUGE"), ("metricKind", "metric_kind")),  # Endpoints Frameworks has always written GAUGE
    ):
        value = entry.text(*names)
        if value and value not in {wanted, *as_good}:
            key = entry.pick(names)
            entry.report("metric-kind", f"'{key}' of metric '{name}' is '{value}'", f"Write '{wanted}'.", key)
    reading.metrics.append((Metric(name, entry.text("displayName", "display_name")), entry.line()))


def _add_limit(entry: Node, name: str, value: int | None, window: tuple[Unit, int], reading: Reading) -> None:
    metric = entry.text("metric")
    if not metric:
        entry.report("field-missing", "a limit has no 'metric'", "Name the metric that it limits.")
    if value is None or not metric or not _check_name(entry, name, metric):
        return
    reading.metric_uses.append(MetricUse(metric, entry.line("metric"), f"the limit '{name}'"))
    title = entry.text("displayName", "display_name")
    limit = Limit(name, metric, value, *window, title, entry.text("description"))
    reading.limits.append((limit, entry.line()))


def _check_name(entry: Node, name: str, metric: str) -> bool:
    if name == metric and len(name) <= _MAX_METRIC:
        return True  # Endpoints Frameworks names every limit as its metric, which may hold `/` and `_`
    if not _LIMIT_NAME.match(name):
        message = f"the limit name '{name}' may hold alphanumeric characters and '-' only"
    elif len(name) > _MAX_NAME:
        message = f"the limit name '{name}' is longer than {_MAX_NAME} bytes"
    else:
        return True
    entry.report("limit-name", message, "Choose a name such as 'reads-per-minute'.", "name")
    return False


def _endpoints_unit(entry: Node) -> bool:
    unit = entry.text("unit")
    if sorted(unit.split("/")) == sorted(ENDPOINTS_UNIT.split("/")) and unit.startswith("1/"):
        return True
    message = f"a limit only supports the unit(s) '{ENDPOINTS_UNIT}', but '{unit}' is given"
    hint = f"Write 'unit: \"{ENDPOINTS_UNIT}\"'; other windows need an OpenAPI 3.x document."
    entry.report("limit-unit", message, hint, "unit")
    return False


def _window(entry: Node) -> tuple[Unit, int]:
    """The window of a 3.x limit. Google knows minutes only; `unit: "1/d/{project}"` reaches the others."""
    text = entry.text("unit")
    interval, *rest = text.split("/")
    units = [part for part in rest if part != "{project}"]
    if not text:
        return Unit.MINUTE, 1
    if interval.isdecimal() and int(interval[:6]) > 0 and len(interval) < 6 and len(units) == 1 and units[0] in _UNITS:
        return _UNITS[units[0]], int(interval)
    message = f"a limit only supports the unit(s) N/{{{'|'.join(_UNITS)}}}/{{project}}, but '{text}' is given"
    entry.report("limit-unit", message, f"Write, for example, '{ENDPOINTS_UNIT}'.", "unit")
    return Unit.MINUTE, 1


def _tier_value(entry: Node) -> int | None:
    values = entry.child("values")
    if values is None or list(values.value) != [TIER]:
        message = f"the values of a limit need exactly one key, {TIER}"
        entry.report("limit-value", message, f"Write 'values: {{{TIER}: 1000}}'.", "values")
        return None
    return _checked(values, values.integer(TIER), TIER)


def _whole_value(entry: Node) -> int | None:
    value = entry.integer("values")
    if value is None and "values" not in entry:
        entry.report("field-missing", "a limit has no 'values'", "Write 'values: 1000'.")
    return _checked(entry, value, "values")


def _checked(node: Node, value: int | None, key: str) -> int | None:
    if value is not None and value < UNLIMITED:
        message = f"{value} is a negative limit value"
        node.report("limit-value", message, "Write 0 or more, or -1 for unlimited.", key)
        return None
    return value


def costs(node: Node, reading: Reading) -> tuple[Cost, ...]:
    """x-google-quota of an operation."""
    quota = node.child("x-google-quota")
    if quota is None:
        return ()
    quota.known(*COSTS)
    return charges(quota, reading)


COSTS = ("metricCosts", "metric_costs")


def charges(rule: Node, reading: Reading) -> tuple[Cost, ...]:
    """The metric costs of a rule."""
    declared = rule.child(*COSTS)
    if declared is None:
        return ()
    found = []
    for metric in declared.value:
        amount = declared.integer(metric)
        if amount is not None and amount < 0:
            message = f"the cost {amount} of metric '{metric}' must not be negative"
            declared.report("cost-value", message, "Write 0 or more.", metric)
        elif amount is not None:
            found.append(Cost(metric, amount))
            reading.metric_uses.append(MetricUse(metric, declared.line(metric), "'metricCosts'"))
    return tuple(found)
