"""Issuers' public keys: JWK Sets, fetched within bounds of size and time, and kept while their issuer is away.

It never sees a token: what it is asked for is an issuer, and a key id.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from authz.frameworks.exceptions import ServiceException
from authz.frameworks.serve.tokens.rules import convert_jwks_uri
from authz.frameworks.types import Issuer

Fetch = Callable[[str], bytes]

FRESH_SECONDS: Final = 300.0
KEPT_SECONDS: Final = 86400.0
"""How long keys are good while their issuer cannot be reached."""
RETRY_SECONDS: Final = 30.0
"""Between two tries, however many tokens name a key that nobody knows."""
_MOST_BYTES: Final = 1024 * 1024
_MOST_KEYS: Final = 100
_SECONDS: Final = 5.0
_LEAST_RSA_BITS: Final = 2048
_log = logging.getLogger("authz.frameworks")


class FetchError(Exception):
    """An address did not give what it should."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the one algorithm that it verifies."""

    kid: str | None
    algorithm: str
    key: Any


@dataclass(slots=True)
class _Set:
    keys: tuple[Key, ...] = ()
    fetched: float = float("-inf")
    tried: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class KeysUnavailable(ServiceException):
    """503: no token can be judged, since its issuer gives no keys."""

    http_status = 503


class KeySets:
    """Key sets by issuer. Only declared issuers ever come here, so that it stays small."""

    def __init__(self, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch or download
        self._clock = clock
        self._sets: dict[tuple[str, str | None], _Set] = {}

    def keys(self, issuer: Issuer, kid: str | None) -> tuple[Key, ...] | None:
        """The keys that may fit; None if a fetch might bring them.

        Raises:
            KeysUnavailable: none are known, and it is too early to ask again.
        """
        known, now = self._set(issuer), self._clock()
        usable = known.keys if now - known.fetched < KEPT_SECONDS else ()
        fitting = tuple(key for key in usable if kid is None or key.kid in {kid, None})
        if (now - known.fetched >= FRESH_SECONDS or not fitting) and now - known.tried >= RETRY_SECONDS:
            return None
        if not usable:
            raise KeysUnavailable("The token cannot be checked now: its issuer does not give its keys.")
        return fitting

    def fetch(self, issuer: Issuer) -> None:
        """Ask the issuer. One asks, others that come meanwhile wait for it."""
        known = self._set(issuer)
        before = known.tried
        with known.lock:
            if known.tried != before:
                return
            try:
                known.keys, known.fetched = read(self._fetch(self._place(issuer))), self._clock()
            except FetchError as failed:
                _log.warning("The keys of %s cannot be had: %s", issuer.issuer, failed)
            finally:
                known.tried = self._clock()

    def _place(self, issuer: Issuer) -> str:
        """Where its keys are; if that was not declared, it is asked (OpenID Connect discovery)."""
        if issuer.jwks_uri:
            return convert_jwks_uri(issuer.jwks_uri)
        where = f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
        said = _object(self._fetch(where))
        if said.get("issuer") != issuer.issuer or not isinstance(said.get("jwks_uri"), str):
            raise FetchError(f"{where} is not the configuration of {issuer.issuer}")
        return str(said["jwks_uri"])

    def _set(self, issuer: Issuer) -> _Set:
        return self._sets.setdefault((issuer.issuer, issuer.jwks_uri), _Set())


def read(body: bytes) -> tuple[Key, ...]:
    """The usable keys of a JWK Set; others are skipped, as RFC 7517 section 5 asks.

    Raises:
        FetchError: it is no JWK Set, or none of its keys can be used.
    """
    listed = _object(body).get("keys")
    entries = listed[:_MOST_KEYS] if isinstance(listed, list) else []
    found = tuple(key for entry in entries if isinstance(entry, dict) and (key := _key(entry)))
    if not found:
        raise FetchError("no RSA or P-256 key for signatures is in it")
    return found


def _key(entry: Mapping[str, Any]) -> Key | None:
    import jwt

    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    fits = entry.get("use", "sig") == "sig" and entry.get("alg", algorithm) == algorithm
    if algorithm is None or not fits or (algorithm == "ES256" and entry.get("crv") != "P-256") or "d" in entry:
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if algorithm == "RS256" and key.key_size < _LEAST_RSA_BITS:
        return None
    kid = entry.get("kid")
    return Key(kid if isinstance(kid, str) else None, algorithm, key)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchError("it is not JSON") from None
    if not isinstance(said, dict):
        raise FetchError("it is not a JSON object")
    return said


def download(uri: str) -> bytes:
    """What is at this address. https, or http on this machine; no redirects; within bounds of size and time.

    Raises:
        FetchError: it cannot be had.
    """
    # Loaded on use: few servers check tokens themselves, and it takes as long as all the rest.
    from http.client import HTTPException
    from urllib.request import HTTPRedirectHandler, build_opener

    parts = urlsplit(uri)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}):
        raise FetchError("keys come by https only")
    stay = type("Stay", (HTTPRedirectHandler,), {"redirect_request": lambda *_, **__: None})
    end = time.monotonic() + 2 * _SECONDS
    try:
        with build_opener(stay).open(uri, timeout=_SECONDS) as response:
            return _read(response, end)
    except (OSError, ValueError, HTTPException) as failed:
        raise FetchError(f"{type(failed).__name__}: {failed}") from None


def _read(response: Any, end: float) -> bytes:
    parts, size = [], 0
    while part := response.read1(64 * 1024):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES or time.monotonic() > end:
            raise FetchError("it is too long, or comes too slowly")
    return b"".join(parts)
