"""What goes back: a status, headers and bytes, and the body that errors have.

Statuses are kept as they were raised. It knows no server's interface: headers are pairs of text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from authz.frameworks.exceptions import InvalidValue, ServiceException

JSON: Final = ("content-type", "application/json")
_TEXT: Final = ("content-type", "text/plain")
_REASONS: Final = {
    400: "badRequest", 401: "required", 403: "forbidden", 404: "notFound", 405: "unsupportedMethod",
    408: "backendError", 409: "conflict", 410: "deleted", 412: "conditionNotMet", 413: "uploadTooLarge",
    429: "rateLimitExceeded",
}  # fmt: skip
_UNSAID: Final = "Internal Server Error"
_log = logging.getLogger("authz.frameworks")


class Answer:
    """A whole answer. `headers` lack the length, which the servers write."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.body = body


NOT_FOUND: Final = Answer(404, (_TEXT,), b"Not Found")
_OK: Final = (JSON,)
_EMPTY: Final = Answer(204, ())


def success(body: bytes | None) -> Answer:
    """200 with JSON, or 204."""
    return _EMPTY if body is None else Answer(200, _OK, body)


def wrong_verb(verb: str, allowed: Sequence[str]) -> Answer:
    """405; OPTIONS is answered with what it asks for."""
    allow = ("allow", ", ".join(allowed))
    if verb == "OPTIONS":
        return Answer(204, (allow,))
    return _error(405, f"{verb} is not served here; {allow[1]} would be.", headers=(allow,))


def refused(error: Exception, method: str) -> Answer:
    """What a caller reads of an exception: everything of those meant for callers, and nothing of others."""
    if isinstance(error, ServiceException):
        status = _status(error)
        if status is not None:
            return _error(status, str(error), _place(error), _challenge(status))
        _log.error("%s raised %s, whose http_status %r is no error's", method, type(error).__name__, error.http_status)
    else:
        _log.error("%s failed", method, exc_info=error)
    return _error(500, _UNSAID)


def _status(error: ServiceException) -> int | None:
    status = error.http_status
    if isinstance(status, int) and 400 <= status <= 599:
        return int(status)
    # Redirects were always answered so: nobody can say where to.
    return 404 if isinstance(status, int) and 300 <= status <= 399 else None


def _place(error: ServiceException) -> dict[str, str]:
    if isinstance(error, InvalidValue) and error.where == "parameter":
        return {"reason": "invalidParameter", "locationType": "parameter", "location": error.location}
    return {}


def _challenge(status: int) -> tuple[tuple[str, str], ...]:
    return (("www-authenticate", "Bearer"),) if status == 401 else ()


def _error(
    status: int, message: str, place: dict[str, str] | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    reason = _REASONS.get(status) or ("backendError" if status >= 500 else "unsupportedProtocol")
    entry: dict[str, Any] = {"domain": "global", "reason": reason, "message": message, **(place or {})}
    told = {"error": {"code": status, "message": message, "errors": [entry]}}
    return Answer(status, (JSON, *headers), json.dumps(told, separators=(",", ":")).encode())
