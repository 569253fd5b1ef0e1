"""Reading a gRPC error's details, as clients do: a google.rpc.Status from the trailing metadata."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from google.rpc import error_details_pb2, status_pb2

TRAILER = "grpc-status-details-bin"
_KINDS = (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.QuotaFailure)


@dataclass
class Details:
    """`parts` are the details by the short names of their types."""

    code: int
    message: str
    parts: dict[str, Any]

    @property
    def reason(self) -> tuple[str, str]:
        info = self.parts["ErrorInfo"]
        return info.reason, info.domain

    @property
    def retry_seconds(self) -> int | None:
        retry = self.parts.get("RetryInfo")
        return retry.retry_delay.seconds if retry else None

    @property
    def violations(self) -> list[tuple[str, str]]:
        failure = self.parts.get("QuotaFailure")
        return [(one.subject, one.description) for one in failure.violations] if failure else []


def read(trailer: str | bytes | None) -> Details | None:
    """What the trailer says: as text on the wire, or as the bytes that a gRPC library makes of it."""
    if not trailer:
        return None
    if isinstance(trailer, str):
        assert "=" not in trailer
        trailer = base64.b64decode(trailer + "=" * (-len(trailer) % 4), validate=True)
    status = status_pb2.Status.FromString(trailer)
    parts = {}
    for packed in status.details:
        kind = next(kind for kind in _KINDS if packed.Is(kind.DESCRIPTOR))
        parts[kind.DESCRIPTOR.name] = kind.FromString(packed.value)
    return Details(status.code, status.message, parts)
