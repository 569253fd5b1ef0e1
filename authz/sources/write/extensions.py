"""Quotas, backends and the JSON of a service as extensions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from authz.model.quota import Limit, Metric, Unit
from authz.model.service import DEFAULT_DEADLINE, LOCAL, Backend, Operation, PathTranslation, Protocol, ServiceConfig
from authz.sources.openapi.backends import is_rest
from authz.sources.openapi.quotas import ENDPOINTS_UNIT, TIER
from authz.sources.transcoding import KEY
from authz.sources.write.dialect import Dialect, Json
from authz.sources.write.plan import Planned

_OWN = (LOCAL, Backend(protocol=Protocol.HTTP2))
"""The gateway's own backend, which needs no words."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


class Backends:
    """The backends that operations name. Where all have the same one, the document names it once."""

    def __init__(self, operations: Sequence[Planned], dialect: Dialect) -> None:
        self.dialect = dialect
        found = list(dict.fromkeys(one.operation.backend for one in operations))
        self.shared = found[0] if len(found) == 1 and found[0] not in _OWN else None
        self.names: dict[Backend, str] = {}
        for one in operations:
            backend = one.operation.backend
            if _is_named(one) and backend not in self.names:
                self.names[backend] = self._name(backend)

    def declared(self) -> Json:
        """The backends of OpenAPI 3.x by name."""
        at_root = self.shared is not None
        return {name: _backend3(backend, at_root=at_root) for backend, name in self.names.items()}

    def root(self) -> Json:
        """What the root of the document says."""
        return self._named(self.shared, at_root=True) if self.shared else {}

    def operation(self, one: Planned) -> Json:
        """What an operation says."""
        return self._named(one.operation.backend, at_root=False) if _is_named(one) and not self.shared else {}

    def _named(self, backend: Backend, *, at_root: bool) -> Json:
        if self.dialect.is_version2:
            return {"x-google-backend": _backend2(backend, at_root=at_root)}
        return {"x-google-backend": self.names[backend]}

    def _name(self, backend: Backend) -> str:
        host = backend.address.partition("://")[2].partition("/")[0].lower()
        stem = name = _NOT_IN_NAMES.sub("-", host).strip("-") or "gateway"
        number = 1
        while name in self.names.values():
            number += 1
            name = f"{stem}-{number}"
        return name


def _is_named(one: Planned) -> bool:
    """Whether a backend needs words: it is not the gateway's own, or where the RPC's other operations do not go."""
    return one.is_apart or one.operation.backend not in _OWN


def _backend3(backend: Backend, *, at_root: bool) -> Json:
    names = {"path_translation": "pathTranslation", "jwt_audience": "jwtAudience", "disable_auth": "disableAuth"}
    return {names.get(key, key): value for key, value in _backend2(backend, at_root=at_root).items()}


def _backend2(backend: Backend, *, at_root: bool) -> Json:
    # An address at the root is a prefix of paths; at an operation it is the whole address. gRPC has paths of its own.
    assumed = PathTranslation.APPEND if at_root or not is_rest(backend) else PathTranslation.CONSTANT
    translation = backend.path_translation if backend.address else assumed
    fields: Json = {
        "address": backend.address,
        "path_translation": translation.value if translation is not assumed else "",
        "protocol": _protocol(backend),
        "deadline": number(backend.deadline) if backend.deadline != DEFAULT_DEADLINE else 0,
        "jwt_audience": backend.jwt_audience,
        "disable_auth": bool(backend.address) and backend.disable_auth,
    }
    # The gateway's own backend, where it must be named: it is one of gRPC.
    return {name: value for name, value in fields.items() if value} or {"protocol": Protocol.HTTP2.value}


def _protocol(backend: Backend) -> str:
    """The protocol where the address does not say it; without one, an RPC's is HTTP/2."""
    is_implied = backend.protocol is Protocol.HTTP2 and not is_rest(backend)
    return "" if is_implied or backend.protocol is None else backend.protocol.value


def number(seconds: float) -> float:
    """Seconds, without a point where there is nothing behind it."""
    return int(seconds) if seconds.is_integer() else seconds


class Quotas:
    """Metrics and limits of a service."""

    def __init__(self, config: ServiceConfig, dialect: Dialect) -> None:
        self.metrics = config.metrics
        self.limits = config.limits
        self.remarks: list[str] = []
        if dialect.is_version2:
            self.limits = tuple(self._by_the_minute(config.limits))

    def _by_the_minute(self, limits: Iterable[Limit]) -> Iterable[Limit]:
        for limit in limits:
            if (limit.unit, limit.interval) == (Unit.MINUTE, 1):
                yield limit
            else:
                unit = f"{limit.interval}/{limit.unit.value}"
                self.remarks.append(
                    f"the limit '{limit.name}' is left out: OpenAPI 2.0 has limits by the minute, not by {unit}"
                )

    def management2(self) -> Json:
        """x-google-management."""
        limits = [
            {
                "name": limit.name,
                "metric": limit.metric,
                "unit": ENDPOINTS_UNIT,
                "values": {TIER: limit.value},
                **_titles(limit),
            }
            for limit in self.limits
        ]
        fields = {
            "metrics": [{"name": metric.name, **_kind(metric)} for metric in self.metrics],
            **({"quota": {"limits": limits}} if limits else {}),
        }
        return {"x-google-management": fields} if self.metrics else {}

    def management3(self, backends: Json) -> Json:
        """x-google-api-management, with the backends that stand there too."""
        fields: Json = {}
        if self.metrics:
            fields["metrics"] = {metric.name: _kind(metric) for metric in self.metrics}
        if self.limits:
            fields["quota"] = {"limits": {limit.name: _limit3(limit) for limit in self.limits}}
        if backends:
            fields["backends"] = backends
        return {"x-google-api-management": fields} if fields else {}


def _kind(metric: Metric) -> Json:
    title = {"displayName": metric.display_name} if metric.display_name else {}
    return {**title, "valueType": "INT64", "metricKind": "DELTA"}


def _limit3(limit: Limit) -> Json:
    unit = f"{limit.interval}/{limit.unit.value}/{{project}}"
    return {"metric": limit.metric, "unit": unit, "values": limit.value, **_titles(limit)}


def _titles(limit: Limit) -> Json:
    titles = {"displayName": limit.display_name, "description": limit.description}
    return {name: text for name, text in titles.items() if text}


def costs(operation: Operation) -> Json:
    """x-google-quota of an operation."""
    if not operation.costs:
        return {}
    return {"x-google-quota": {"metricCosts": {cost.metric: cost.amount for cost in operation.costs}}}


def transcoding(config: ServiceConfig) -> Json:
    """x-authz-transcoding of a service."""
    options = {
        name: list(value) if isinstance(value, tuple) else value for name, value in config.transcoding.said.items()
    }
    return {KEY: options} if options else {}
