"""What a server can be told, all in one place. It is read once, when the server is made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from authz.frameworks.users import DEFAULT_PREFIX, Trust

SECRET_VARIABLE: Final = "AUTHZ_GATEWAY_SECRET"  # noqa: S105 - where it stands, not what it is
GATEWAYS_VARIABLE: Final = "AUTHZ_TRUSTED_GATEWAYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of `api_server` and `asgi_server`."""

    trusted_gateways: Sequence[str] | None = None
    """Addresses and networks whose user-info header is believed; None: what AUTHZ_TRUSTED_GATEWAYS lists (commas
    between). The address is the connection's peer as the HTTP server tells it: let it not rewrite that from
    X-Forwarded-For (uvicorn: --no-proxy-headers)."""
    gateway_secret: str | None = None
    """What the gateway sends to be believed; None: what AUTHZ_GATEWAY_SECRET says."""
    header_prefix: str = DEFAULT_PREFIX
    """The gateway's setting of the same name."""
    verify_tokens: bool = False
    """Without a gateway: check Bearer tokens here, and answer 401 and 403 where it would."""
    cors_origins: Sequence[str] = ()
    """Whose pages may call from browsers: `https://a.example`, or `*` for all, then without credentials. None by
    default: a browser that the gateway answers needs none here."""
    method_override: bool = False
    """Whether POST with X-HTTP-Method-Override counts as the method it names. Off, since a gateway that does not do
    the same has then guarded another operation."""
    discovery: bool = False
    """Whether discovery documents are served, below each base path."""
    openapi: str | None = None
    """Where the OpenAPI document is served: /openapi.json; for several APIs with `{api}` and `{version}` in it."""
    max_body: int = 4 * 1024 * 1024
    """Bytes, before and after decompression."""
    max_depth: int = 100
    """Of arrays and objects in each other."""
    threads: int = 40
    """For methods that are no coroutines, under ASGI."""
    restricted: Any = None
    """Taken and ignored, for old callers."""
    registry_path: Any = None
    """Taken and ignored, for old callers."""

    def __post_init__(self) -> None:
        for name in ("trusted_gateways", "cors_origins"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is a list of strings, not one string")
        for name in ("max_body", "max_depth", "threads"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is a number above 0, not {value!r}")

    def trust(self) -> Trust:
        """Who is believed; what was not said here, the environment may say."""
        gateways = self.trusted_gateways
        if gateways is None:
            gateways = [text for text in os.environ.get(GATEWAYS_VARIABLE, "").split(",") if text.strip()]
        secret = self.gateway_secret
        return Trust.made(gateways, os.environ.get(SECRET_VARIABLE) if secret is None else secret, self.header_prefix)
