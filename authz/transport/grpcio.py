"""The reference transport: grpc.aio with generic handlers, so that no generated service code stands in between."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from grpc import aio

from authz.errors import Code, Refusal
from authz.tls import Tls
from authz.transport import address as addresses
from authz.transport.base import Handler, Handlers
from authz.transport.health import CHECK, Health

log = logging.getLogger(__name__)

MAX_MESSAGE: Final = 256 * 1024
"""Bytes of a request. Envoy's questions are a few hundred; its own header limit keeps them below this."""

_OPTIONS: Final = (
    # What `limits.Limits` says for the other transport. Without them one peer that reads no answers takes all there is.
    ("grpc.max_concurrent_streams", 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    # Two gateways on one port would share its connections without a word.
    ("grpc.so_reuseport", 0),
    # Envoy may ping an idle connection as often as its cluster says; by default gRPC answers that with GOAWAY.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
)
_STATUS: Final = {status.value[0]: status for status in grpc.StatusCode}

Context = aio.ServicerContext[bytes, bytes]
Behaviour = Callable[[bytes, Context], Awaitable[bytes]]


class GrpcioTransport:
    """A gRPC server of unary methods on grpc.aio (see `transport.base.Transport`).

    A Unix socket is made for its owner only; one that a dead process left behind is replaced.
    """

    def __init__(
        self, handlers: Handlers, address: str, *, tls: Tls | None = None, max_message: int = MAX_MESSAGE
    ) -> None:
        self._endpoint = addresses.parse(address)
        self._health = Health(handlers)
        self._methods = _Methods({CHECK: self._health.check, **handlers})
        self._options = (*_OPTIONS, ("grpc.max_receive_message_length", max_message))
        self._credentials = _credentials(tls) if tls else None
        self._server: aio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, with the real port once started."""
        return str(self._endpoint)

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StateError: the address cannot be bound.
        """
        server = aio.server(options=self._options)
        server.add_generic_rpc_handlers((self._methods,))
        self._endpoint = _bind(server, self._endpoint, self._credentials)
        await server.start()
        self._server = server

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let running ones end for at most `grace` seconds, close. Does nothing if not started."""
        server, self._server = self._server, None
        self._health.serving = False
        if server is not None:
            await server.stop(grace)


class _Methods(grpc.GenericRpcHandler):
    """The method table as grpc wants it; a method that is not in it becomes UNIMPLEMENTED."""

    def __init__(self, handlers: Handlers) -> None:
        self._methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            path: grpc.unary_unary_rpc_method_handler(_behaviour(path, handler)) for path, handler in handlers.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler."""
        return self._methods.get(handler_call_details.method)


def _behaviour(path: str, handler: Handler) -> Behaviour:
    async def call(request: bytes, context: Context) -> bytes:
        try:
            reply = handler(request)
            return reply if isinstance(reply, bytes) else await reply
        except Refusal as refusal:
            code, message = refusal.code, refusal.message
        except Exception:
            log.exception("%s failed", path)
            code, message = Code.INTERNAL, "the call failed here; the log says why"
        return await context.abort(_STATUS[code], message)

    return call


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    """TLS as grpc wants it. Its own words about a wrong file come late and name none, so it is tried out first."""
    tls.context()
    certificate, key, authorities = tls.pem()
    return grpc.ssl_server_credentials([(key, certificate)], authorities, authorities is not None)


def _bind(
    server: aio.Server, endpoint: addresses.Tcp | addresses.Unix, credentials: grpc.ServerCredentials | None
) -> addresses.Tcp | addresses.Unix:
    def add(address: str) -> int:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)

    try:
        if isinstance(endpoint, addresses.Tcp):
            return addresses.Tcp(endpoint.host, add(str(endpoint)))
        endpoint.clear()
        with addresses.owner_only():
            add(str(endpoint))
    except RuntimeError as error:
        raise addresses.not_bound(endpoint) from error
    return endpoint
