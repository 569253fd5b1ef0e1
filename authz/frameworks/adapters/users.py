"""The current user of a call that another framework serves: `get_current_user()` works there as it does here.

Both wrappers read the gateway's header as `api_server` and `asgi_server` do, and believe it under the same
conditions; their options are `trusted_gateways`, `gateway_secret` and `header_prefix`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextvars import Context, copy_context
from typing import Any

from authz.frameworks.serve.options import Options
from authz.frameworks.users import Call, Trust, current

Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class AsgiUsers:
    """An ASGI application around another: `app.add_middleware(AsgiUsers)`, or `AsgiUsers(app)`."""

    def __init__(self, app: AsgiApp, **options: Any) -> None:
        self.app = app
        self._trust = Options(**options).trust()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """One connection (ASGI 3)."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        client = scope.get("client")
        token = current.set(_call(self._trust, headers, client[0] if client else None))
        try:
            await self.app(scope, receive, send)
        finally:
            current.reset(token)


class WsgiUsers:
    """A WSGI application around another: `app.wsgi_app = WsgiUsers(app.wsgi_app)`."""

    def __init__(self, app: WsgiApp, **options: Any) -> None:
        self.app = app
        self._trust = Options(**options).trust()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request (PEP 3333). A body that is made while it is sent sees the same user."""
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        context = copy_context()
        context.run(current.set, _call(self._trust, headers, environ.get("REMOTE_ADDR") or None))
        return _Body(context, context.run(self.app, environ, start_response))


class _Body:
    """The parts of a body, each made in the call's context."""

    def __init__(self, context: Context, parts: Iterable[bytes]) -> None:
        self._context = context
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        parts = self._context.run(iter, self._parts)
        while (part := self._context.run(next, parts, None)) is not None:
            yield part

    def close(self) -> None:
        """Tell the body that nobody reads on."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            self._context.run(close)


def _call(trust: Trust, headers: dict[str, str], address: str | None) -> Call:
    return Call(headers, address, trust.user(headers, address))
