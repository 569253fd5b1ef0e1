"""A gRPC server that says how it is (`grpc.health.v1`), and answers one RPC."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
"""`HealthCheckResponse{status}`, serialised."""


@dataclass
class Patient:
    """`state` None: it does not know the health protocol. `asked` holds the service of every question."""

    state: bytes | None = SERVING
    port: int = 0
    asked: list[str] = field(default_factory=list)
    server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Serve, on the same port as before if there was one."""
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers([
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": _unary(self._check)}),
            grpc.method_handlers_generic_handler("library.v1.Library", {"GetShelf": _unary(self._answer)}),
        ])  # fmt: skip
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        if self.server:
            await self.server.stop(None)

    async def _check(self, request: bytes, context: Any) -> bytes:
        # HealthCheckRequest{service}: a tag, a length, and the name.
        self.asked.append(request[2:].decode())
        if self.state is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method")
        return self.state or b""

    async def _answer(self, _request: bytes, _context: Any) -> bytes:
        return b""


def _unary(function: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(function)


@contextlib.asynccontextmanager
async def a_patient(state: bytes | None = SERVING) -> AsyncIterator[Patient]:
    patient = Patient(state)
    await patient.start()
    try:
        yield patient
    finally:
        await patient.stop()
