"""Issuers' public keys: fetched before they are needed, refreshed behind the scenes, kept through outages.

It knows JWK Sets (RFC 7517), X.509 maps `{kid: PEM}` and OpenID Connect discovery. It knows no tokens: a token's
text never reaches this module, only the key id that it names.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509 import load_pem_x509_certificate

from authz.check.fetch import Fetcher, FetchError, json_object
from authz.rulebook.book import ProviderRule
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.telemetry import log

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

MOST_KEYS: Final = 100
MOST_TRIES: Final = 8
"""Keys tried for a token without a key id: each try costs a signature check."""
_LEAST_RSA_BITS: Final = 2048
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}
_EC: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
}
ALGORITHMS: Final = _RSA | frozenset(_CURVES.values()) | {"EdDSA"}
"""What a token may be signed with. No HMAC: a fetched key is public. No `none`."""

_TICK: Final = 1.0
_FIRST_RETRY: Final = 1.0
_FIRST_PAUSE: Final = 0.2
_EARLY: Final = 0.1
"""A refresh comes up to a tenth of its period early, so that many gateways do not ask an issuer at once."""
_MOST_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """One verification key with the algorithms that its type (and its `alg`) allows."""

    kid: str
    key: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """An issuer's keys at one time. Another set is another object: what was verified by an old one is not trusted."""

    keys: tuple[PublicJwk, ...]
    generation: int = 0
    kids: frozenset[str] = frozenset()

    def candidates(self, kid: str | None, algorithm: str) -> tuple[PublicJwk, ...]:
        """Keys that a token may be signed with: of its key id, or without one; a key without an id may be any."""
        fitting = (key for key in self.keys if algorithm in key.algorithms)
        return tuple(key for key in fitting if kid is None or key.kid in {kid, ""})[:MOST_TRIES]


def read_keys(body: bytes, where: str) -> tuple[PublicJwk, ...]:
    """The usable keys of a JWK Set or an X.509 map; others are skipped, as RFC 7517 section 5 asks.

    Raises:
        FetchError: it is neither, or no key of it can be used.
    """
    document = json_object(body, where)
    listed = document.get("keys")
    if isinstance(listed, list):
        found = [key for entry in listed[:MOST_KEYS] if (key := _jwk(entry))]
    else:
        found = [key for kid, pem in list(document.items())[:MOST_KEYS] if (key := _certificate(kid, pem))]
    if not found:
        raise FetchError(f"{where} lists no RSA, EC or EdDSA key for signatures")
    return tuple(found)


def _jwk(entry: Any) -> PublicJwk | None:
    """One entry of a JWK Set, or None when it is not for verifying, too weak, or broken."""
    try:
        if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ("verify",)):
            return None
        return _usable(entry.get("kid", ""), _READ[entry["kty"]](entry), entry.get("alg"))
    except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm):
        return None


def _certificate(kid: str, pem: Any) -> PublicJwk | None:
    try:
        return _usable(kid, load_pem_x509_certificate(pem.encode()).public_key(), None)
    except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm):
        return None


def _usable(kid: Any, key: Any, only: str | None) -> PublicJwk | None:
    if isinstance(key, rsa.RSAPublicKey):
        algorithms = _RSA if key.key_size >= _LEAST_RSA_BITS else frozenset()
    elif isinstance(key, ec.EllipticCurvePublicKey):
        algorithms = frozenset({_CURVES[key.curve.name]})
    else:
        known = isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey))
        algorithms = frozenset({"EdDSA"}) if known else frozenset()
    if only is not None:
        algorithms &= {only}
    return PublicJwk(kid, key, algorithms) if algorithms and isinstance(kid, str) else None


def _rsa(entry: Mapping[str, str]) -> PublicKey:
    return rsa.RSAPublicNumbers(_integer(entry["e"]), _integer(entry["n"])).public_key()


def _ec(entry: Mapping[str, str]) -> PublicKey:
    curve = _EC[entry["crv"]]()
    return ec.EllipticCurvePublicNumbers(_integer(entry["x"]), _integer(entry["y"]), curve).public_key()


def _okp(entry: Mapping[str, str]) -> PublicKey:
    if entry["crv"] == "Ed448":
        return ed448.Ed448PublicKey.from_public_bytes(_bytes(entry["x"]))
    if entry["crv"] != "Ed25519":
        raise ValueError("not a curve for signatures")
    return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(entry["x"]))


_READ: Final[Mapping[str, Callable[[Mapping[str, str]], PublicKey]]] = {"RSA": _rsa, "EC": _ec, "OKP": _okp}


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _integer(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


@dataclass(slots=True)
class _Source:
    """Where one provider's keys come from, and how the last attempts went. Times are Unix seconds."""

    provider: ProviderRule
    keys: KeySet | None = None
    body: bytes = b""
    fetched_at: float = 0.0
    tried_at: float = float("-inf")
    wanted_at: float = float("-inf")
    due_at: float = float("-inf")
    failures: int = 0
    error: str = ""
    loading: asyncio.Task[None] | None = field(default=None)
    waiting: int = 0


class KeySets:
    """The key sets of all providers, by issuer and address.

    `clock` gives Unix seconds. `live` tells whose sets are worth refreshing. `sleep` waits between attempts.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        live: Live,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._fetcher = fetcher
        self._live = live
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._sources: dict[tuple[str, str], _Source] = {}
        self._generation = 0
        self._refresher: asyncio.Task[None] | None = None

    def get(self, provider: ProviderRule, now: float) -> KeySet | None:
        """The set to verify with; None when there is none, or its refresh has failed for too long."""
        source = self._sources.get((provider.issuer, provider.jwks_uri))
        if source is None or now - source.fetched_at > self._settings.jwks_stale_seconds:
            return None
        return source.keys

    def may_help(self, provider: ProviderRule, now: float) -> bool:
        """Whether fetching now might bring a set that is missing, or a key id that is unknown.

        At most one fetch per issuer and interval is started for callers' sake, however many ask; those who come
        while one runs wait for it.
        """
        source = self._sources.get((provider.issuer, provider.jwks_uri))
        if source is None:
            return True
        if source.loading is not None:
            return source.waiting < _MOST_WAITING
        if self.get(provider, now) is None:
            return now >= source.due_at
        return now - source.wanted_at >= self._settings.jwks_refetch_seconds

    async def fetch(self, provider: ProviderRule) -> str:
        """Fetch a provider's set for a caller's sake; the error's text, empty if there is none."""
        source = self._source(provider)
        source.wanted_at = self._clock()
        return await self._fetched(source)

    async def prefetch(self, providers: Iterable[ProviderRule]) -> dict[ProviderRule, str]:
        """Fetch the sets that are not there yet; the providers whose set is still missing, with the reason."""
        missing = [one for one in dict.fromkeys(providers) if self.get(one, self._clock()) is None]
        errors = await asyncio.gather(*(self._fetched(self._source(one)) for one in missing))
        return {provider: error for provider, error in zip(missing, errors, strict=True) if error}

    async def refresh(self) -> None:
        """Fetch the live providers' sets that are due; forget old sets that nobody uses."""
        now = self._clock()
        live = {(one.issuer, one.jwks_uri): one for one in self._live.book.providers}
        for key in [key for key in self._sources if key not in live and self._is_idle(self._sources[key], now)]:
            del self._sources[key]
        due = [one for key, one in live.items() if key not in self._sources or now >= self._sources[key].due_at]
        await asyncio.gather(*(self._fetched(self._source(one)) for one in due))

    def start(self) -> None:
        """Refresh in the background until `close`."""
        if self._refresher is None:
            self._refresher = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop refreshing and fetching."""
        tasks = [self._refresher, *(source.loading for source in self._sources.values())]
        self._refresher = None
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._sleep(_TICK)
            await self.refresh()

    def _is_idle(self, source: _Source, now: float) -> bool:
        return source.loading is None and now - source.tried_at > self._settings.jwks_stale_seconds

    def _source(self, provider: ProviderRule) -> _Source:
        return self._sources.setdefault((provider.issuer, provider.jwks_uri), _Source(provider))

    async def _fetched(self, source: _Source) -> str:
        """Fetch once, together with whoever else wants the same set."""
        if source.loading is None:
            source.tried_at = self._clock()
            source.loading = asyncio.create_task(self._load(source))
        source.waiting += 1
        try:
            await asyncio.shield(source.loading)
        finally:
            source.waiting -= 1
        return source.error

    async def _load(self, source: _Source) -> None:
        try:
            self._accept(source, *await self._attempts(source.provider))
        except FetchError as error:
            self._reject(source, error.message)
        except Exception as error:  # noqa: BLE001 - the refresher must outlive whatever a key server sends
            log.exception("fetching the keys of %s failed", source.provider.issuer)
            self._reject(source, type(error).__name__)
        finally:
            source.loading = None

    def _accept(self, source: _Source, body: bytes, keys: tuple[PublicJwk, ...]) -> None:
        # The same bytes keep the same set, so that a refresh does not void what was verified.
        if source.keys is None or body != source.body:
            self._generation += 1
            source.keys = KeySet(keys, self._generation, frozenset(key.kid for key in keys))
            source.body = body
        source.fetched_at = self._clock()
        spread = 1 - _EARLY * random.random()  # noqa: S311 - spreads load, guards nothing
        source.due_at = source.fetched_at + self._settings.jwks_cache_seconds * spread
        source.failures, source.error = 0, ""

    def _reject(self, source: _Source, why: str) -> None:
        if not source.failures:
            log.warning("the keys of %s cannot be fetched: %s", source.provider.issuer, why)
        wait = min(_FIRST_RETRY * 2 ** min(source.failures, 16), self._settings.jwks_refetch_seconds)
        source.due_at = self._clock() + wait
        source.failures += 1
        source.error = why

    async def _attempts(self, provider: ProviderRule) -> tuple[bytes, tuple[PublicJwk, ...]]:
        for attempt in range(self._settings.jwks_retries):
            try:
                return await self._fetch(provider)
            except FetchError:
                await self._sleep(_FIRST_PAUSE * 2**attempt)
        return await self._fetch(provider)

    async def _fetch(self, provider: ProviderRule) -> tuple[bytes, tuple[PublicJwk, ...]]:
        url = provider.jwks_uri or await self._discover(provider)
        body = await self._fetcher.get(url)
        return body, read_keys(body, url)

    async def _discover(self, provider: ProviderRule) -> str:
        """The address of the key set, from the issuer's OpenID Connect discovery document."""
        if not self._settings.oidc_discovery:
            raise FetchError(f"provider '{provider.id}' names no key set, and discovery is off")
        base = provider.issuer if "://" in provider.issuer else f"https://{provider.issuer}"
        url = base.rstrip("/") + "/.well-known/openid-configuration"
        document = json_object(await self._fetcher.get(url), url)
        if document.get("issuer") not in (*provider.issuers, base):
            raise FetchError(f"{url} speaks for another issuer than '{provider.issuer}'")
        if isinstance(found := document.get("jwks_uri"), str):
            return found
        raise FetchError(f"{url} names no jwks_uri")
