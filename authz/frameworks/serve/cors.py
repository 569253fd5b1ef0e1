"""Which pages in browsers may call: those of the origins that the server was told, and no others.

An origin that is named may send credentials; `*` lets any page call, and browsers then send none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from authz.frameworks.serve.answers import Answer
from authz.frameworks.serve.request import Request

Headers = tuple[tuple[str, str], ...]

_VERBS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
_COMMON: Final = (
    ("access-control-allow-methods", ",".join(_VERBS)),
    ("access-control-expose-headers", "Content-Encoding,Content-Length,Date,ETag,Server"),
)
_PREFLIGHT: Final = Answer(200, (("content-type", "text/plain"),))
_VARY: Final = (("vary", "Origin"),)


class Cors:
    """The headers for each request, composed before."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.is_on = bool(origins)
        self._any: Headers | None = (("access-control-allow-origin", "*"), *_COMMON) if "*" in origins else None
        self._named: dict[str, Headers] = {origin: _named(origin) for origin in origins if origin != "*"}

    def headers(self, request: Request) -> Headers:
        """What every answer to this request gets, errors too."""
        origin = request.headers.get("origin")
        found = self._named.get(origin, self._any) if origin is not None else None
        if found is None:
            return _VARY if self._named else ()
        asked = request.headers.get("access-control-request-headers")
        return (*found, ("access-control-allow-headers", asked)) if asked and asked.isprintable() else found

    def preflight(self, request: Request) -> Answer | None:
        """The answer to a browser that asks before it calls, whatever path it is about."""
        if request.method != "OPTIONS" or request.headers.get("access-control-request-method") not in _VERBS:
            return None
        origin = request.headers.get("origin")
        return _PREFLIGHT if origin is not None and (origin in self._named or self._any) else None


def _named(origin: str) -> Headers:
    if not origin.isascii() or origin != origin.strip() or origin.endswith("/") or "://" not in origin:
        raise ValueError(f"cors_origins: {origin!r} is no origin; write it like https://a.example, or * for all")
    return (
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        *_COMMON,
        *_VARY,
    )
