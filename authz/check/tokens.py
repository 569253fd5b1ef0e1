"""The gateway's own tokens for its backends: fetched ahead, renewed in the background, looked up per call.

Three sources, one at a time: the gateway's own signing key, OAuth2 client credentials, Google's metadata server.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from authz.check.fetch import Fetcher, FetchError, json_object
from authz.check.jwt import expiry, sign
from authz.rulebook.live import Live
from authz.telemetry import log

_TICK: Final = 1.0
_RENEW_BEFORE: Final = 60.0
_RETRY_AFTER: Final = 2.0
_OWN_LIFETIME: Final = 3600
_IDENTITY: Final = "/computeMetadata/v1/instance/service-accounts/default/identity"


class BackendToken(NamedTuple):
    """A token and when it ends (Unix seconds)."""

    text: str
    expires: float


class TokenSource(Protocol):
    """Where a token for an audience comes from."""

    async def token(self, audience: str, now: float) -> BackendToken:
        """A fresh token.

        Raises:
            FetchError, ValueError: there is none; the text says why.
        """
        ...


class OwnKey:
    """Tokens signed with the gateway's own key: RS256 for an RSA key, ES256 for one on P-256."""

    def __init__(self, pem: bytes, issuer: str) -> None:
        """Raises ValueError when the PEM holds no RSA or P-256 private key."""
        self._key = load_pem_private_key(pem, password=None)
        self._issuer = issuer
        self._public = _public_members(self._key)
        required = {name: self._public[name] for name in sorted(self._public)}
        # The key id is the key's thumbprint (RFC 7638), so it changes when the key does.
        self._kid = _base64url(hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest())
        self._algorithm = "RS256" if self._public["kty"] == "RSA" else "ES256"

    async def token(self, audience: str, now: float) -> BackendToken:
        """A token for one hour."""
        issued = int(now)
        ends = issued + _OWN_LIFETIME
        claims = {"iss": self._issuer, "sub": self._issuer, "aud": audience, "iat": issued, "exp": ends}
        return BackendToken(sign(claims, self._key, self._algorithm, self._kid), ends)

    def jwks(self) -> dict[str, Any]:
        """The JWK Set with which backends verify these tokens."""
        return {"keys": [{**self._public, "kid": self._kid, "alg": self._algorithm, "use": "sig"}]}


class ClientCredentials:
    """OAuth2 client credentials (RFC 6749, 4.4) with the `audience` parameter that most servers understand."""

    def __init__(self, fetcher: Fetcher, token_url: str, client_id: str, client_secret: str) -> None:
        self._fetcher = fetcher
        self._url = token_url
        # RFC 6749, 2.3.1: both parts are form-encoded before Basic encodes them.
        pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        self._headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    async def token(self, audience: str, now: float) -> BackendToken:
        """An access token; one without `expires_in` is taken for five minutes."""
        form = {"grant_type": "client_credentials", "audience": audience}
        answer = json_object(await self._fetcher.post(self._url, form, self._headers), self._url)
        text, lifetime = answer.get("access_token"), answer.get("expires_in", 300)
        if isinstance(text, str) and isinstance(lifetime, (int, float)):
            return BackendToken(text, now + lifetime)
        raise FetchError(f"{self._url} answered without a usable access_token and expires_in")


class MetadataServer:
    """Google's metadata server: an ID token of the instance's service account."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        self._fetcher = fetcher
        self._url = url.rstrip("/") + _IDENTITY

    async def token(self, audience: str, now: float) -> BackendToken:  # noqa: ARG002 - a source's shape
        """An ID token, good until its own `exp`."""
        query = urlencode({"format": "standard", "audience": audience})
        body = await self._fetcher.get(f"{self._url}?{query}", {"Metadata-Flavor": "Google"})
        text = body.decode("ascii").strip()
        return BackendToken(text, expiry(text))


class BackendTokens:
    """Tokens by audience. `live` tells which audiences are needed; without a source there is never a token."""

    def __init__(
        self,
        source: TokenSource | None,
        live: Live,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._live = live
        self._clock = clock
        self._sleep = sleep
        self._tokens: dict[str, BackendToken] = {}
        self._retry_at: dict[str, float] = {}
        self._failing: set[str] = set()
        self._renewer: asyncio.Task[None] | None = None

    def get(self, audience: str, now: float) -> str | None:
        """A token that has not ended."""
        token = self._tokens.get(audience)
        return token.text if token is not None and now < token.expires else None

    async def prefetch(self, audiences: Iterable[str]) -> dict[str, str]:
        """Get the tokens that are due; the audiences that have none now, with the reason."""
        now = self._clock()
        due = [one for one in dict.fromkeys(audiences) if self._is_due(one, now)]
        errors = await asyncio.gather(*(self._renew(audience, now) for audience in due))
        return {audience: error for audience, error in zip(due, errors, strict=True) if error}

    def start(self) -> None:
        """Renew in the background until `close`."""
        if self._source is not None and self._renewer is None:
            self._renewer = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop renewing."""
        if self._renewer is not None:
            task, self._renewer = self._renewer, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            audiences = self._live.book.backend_audiences
            for gone in self._tokens.keys() - audiences:
                if self._clock() >= self._tokens[gone].expires:
                    del self._tokens[gone]
            await self.prefetch(audiences)
            await self._sleep(_TICK)

    def _is_due(self, audience: str, now: float) -> bool:
        token = self._tokens.get(audience)
        fresh = token is not None and now < token.expires - _RENEW_BEFORE
        return not fresh and now >= self._retry_at.get(audience, 0.0)

    async def _renew(self, audience: str, now: float) -> str:
        # Also after a success: a token that lives for less than a minute must not be asked for without pause.
        self._retry_at[audience] = now + _RETRY_AFTER
        try:
            self._tokens[audience] = await self._fresh(audience, now)
        except (FetchError, ValueError) as error:
            if audience not in self._failing:
                log.warning("no backend token for %s: %s", audience, error)
            self._failing.add(audience)
            return "" if self.get(audience, now) else str(error)
        self._failing.discard(audience)
        return ""

    async def _fresh(self, audience: str, now: float) -> BackendToken:
        if self._source is None:
            raise ValueError("no source of backend tokens is set")
        token = await self._source.token(audience, now)
        if not _is_header_safe(token.text):
            raise ValueError("the token holds characters that no header may hold")
        return token


def new_own_key() -> bytes:
    """A fresh key for `OwnKey`, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _is_header_safe(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _public_members(key: object) -> Mapping[str, str]:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
    raise ValueError("the gateway's own key must be an RSA key or one on curve P-256")


def _number(value: int, length: int = 0) -> str:
    return _base64url(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
