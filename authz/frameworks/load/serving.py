"""One application for all that was loaded."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from authz import wire
from authz.errors import UsageError
from authz.frameworks import adapters
from authz.frameworks.declare import apis
from authz.frameworks.load.faults import told
from authz.frameworks.load.names import serves_itself
from authz.frameworks.serve import AsgiServer, WsgiServer, asgi_server


def application(things: Sequence[Any], *, header_prefix: str, place: str | Path = ".") -> Any:
    """An ASGI application: the one that was named, as it is, or one made of what was declared.

    Its own options, and the environment, say whom it believes; `header_prefix` is the gateway's.

    Raises:
        UsageError: the code cannot be served.
    """
    with told(place):
        servers = [thing for thing in things if serves_itself(thing)]
        if not servers:
            return asgi_server(things, header_prefix=header_prefix)
        if len(things) > 1:
            message = f"the application of {', '.join(shown(servers[:1], place))} is served by itself, without others"
            raise UsageError(message, "Name it alone, or name the classes that it serves: MODULE:CLASS.")
        (thing,) = things
        if isinstance(thing, WsgiServer):
            from authz.frameworks.adapters.threads import Threads

            return Threads(thing)
        return thing if isinstance(thing, AsgiServer) else adapters.asgi_app(thing, header_prefix=header_prefix)


def shown(things: Sequence[Any], place: str | Path = ".") -> Iterator[str]:
    """Every API's name and version.

    Raises:
        UsageError: the code cannot be an API.
    """
    with told(place):
        for app in things:
            if adapters.is_app(app):
                yield " ".join(adapters.info(app))
        yield from (f"{api.name} {api.version}" for api in apis(t for t in things if not adapters.is_app(t)))


class GatewayOnly:
    """An ASGI application that answers nobody but the gateway, which sends the secret: others are not let around it."""

    def __init__(self, app: Any, secret: str) -> None:
        self.app = app
        self._name = wire.GATEWAY_SECRET.encode()
        self._secret = secret.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection (ASGI 3)."""
        sent = [value for name, value in scope.get("headers", ()) if name.lower() == self._name]
        if scope["type"] == "lifespan" or (len(sent) == 1 and hmac.compare_digest(sent[0], self._secret)):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"Call the gateway: this server answers nobody else.\n"})
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
