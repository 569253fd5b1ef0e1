"""The standard gRPC health service, `grpc.health.v1.Health/Check`, for any transport.

Both its messages have a single field, so they are compared and sent as bytes and no generated code is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from authz.errors import Code, Refusal

CHECK: str = "/grpc.health.v1.Health/Check"

_SERVING = b"\x08\x01"  # HealthCheckResponse.status (field 1, varint)
_NOT_SERVING = b"\x08\x02"


class Health:
    """Answers for the services of the given methods and, under the empty name, for the server as a whole."""

    def __init__(self, methods: Iterable[str]) -> None:
        self._known = {b""} | {_question(name) for name in ("", *(method.split("/")[1] for method in methods))}
        self.serving = True

    def check(self, request: bytes) -> bytes:
        """One HealthCheckRequest's answer.

        Raises:
            Refusal: NOT_FOUND, as the protocol says for a service that is not here.
        """
        if request not in self._known:
            raise Refusal(Code.NOT_FOUND, "this server has no such service")
        return _SERVING if self.serving else _NOT_SERVING


def _question(name: str) -> bytes:
    """HealthCheckRequest.service (field 1, a string below 128 bytes)."""
    return b"\x0a" + bytes([len(name)]) + name.encode("ascii")
