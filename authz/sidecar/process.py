"""What answers Check and RateLimit in one process: its parts, and the server that carries them.

It is told which book to answer by. It knows no Envoy, no documents and no other process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from authz import tls, wire
from authz.check.fetch import Fetcher
from authz.check.jwks import KeySets
from authz.check.keys import KeyCache
from authz.check.servicer import CheckServicer
from authz.check.tokens import BackendTokens, ClientCredentials, MetadataServer, OwnKey, TokenSource, new_own_key
from authz.errors import UsageError
from authz.quota.counters.base import Counters
from authz.quota.counters.leases import LeasedCounters
from authz.quota.counters.machine import MachineLedger
from authz.quota.counters.memory import MemoryCounters
from authz.quota.meter import Meter
from authz.quota.servicer import RateLimitServicer
from authz.quota.within import ChargingCheck
from authz.rulebook.book import Rulebook
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.store.base import Store
from authz.telemetry import Tally, log
from authz.transport.base import Handlers, Transport
from authz.transport.grpcio import GrpcioTransport

SIGNING_KEY = "backend-signing-key"
KEY_SET_PATH = "/.well-known/jwks.json"


class Sidecar:
    """The answering half of a gateway. `counters` are the caller's to close."""

    def __init__(self, settings: Settings, store: Store, counters: Counters, tally: Tally) -> None:
        self._settings = settings
        self._store = store
        self._counters = counters
        self.book = Live()
        self._tally = tally
        self.documents: Mapping[str, str] = {}
        """What Envoy itself answers, by path: how backends verify the gateway's own tokens."""

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[Sidecar]:
        """Everything but the server; parts end in the reverse of the order in which they were started."""
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            self.keys = KeyCache(self._store.key, settings.key_cache_size)
            stack.callback(self.keys.close)
            fetcher = Fetcher(settings.fetch_timeout)
            stack.push_async_callback(fetcher.close)
            # Google's metadata server has a link-local address; key sets have no business there.
            token_fetcher = Fetcher(settings.fetch_timeout, link_local=True)
            stack.push_async_callback(token_fetcher.close)
            self.key_sets = KeySets(fetcher, self.book, settings)
            self.key_sets.start()
            stack.push_async_callback(self.key_sets.close)
            self.tokens = BackendTokens(self._token_source(token_fetcher), self.book)
            self.tokens.start()
            stack.push_async_callback(self.tokens.close)
            yield self

    async def take(self, book: Rulebook) -> None:
        """Answer by this book, once the key sets and tokens that it needs have been fetched or could not be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.fetch_timeout):
                await asyncio.gather(
                    self.key_sets.prefetch(book.providers), self.tokens.prefetch(book.backend_audiences)
                )
        self.book.swap(book)

    async def serve(self, address: str) -> Transport:
        """Let Envoy ask.

        Raises:
            StateError: the address cannot be bound.
        """
        meter = Meter(self.book, self._counters, self._tally)
        charging = ChargingCheck(meter, self._settings)
        check = CheckServicer(self.book, self._settings, self.keys, self.key_sets, self.tokens, charging, self._tally)
        quota = RateLimitServicer(meter)
        handlers = {wire.CHECK_METHOD: check.handle, wire.RATE_LIMIT_METHOD: quota.handle}
        transport = transport_of(self._settings, handlers, address)
        await transport.start()
        return transport

    def _token_source(self, fetcher: Fetcher) -> TokenSource | None:
        settings = self._settings
        match settings.backend_auth:
            case "self":
                issuer = settings.backend_auth_issuer or listener_url(settings)
                key = OwnKey(self._store.secret(SIGNING_KEY, new_own_key()), issuer)
                self.documents = _published(issuer, key)
                return key
            case "oauth2":
                secret = _secret(settings.backend_auth_client_secret_file)
                url, client = settings.backend_auth_token_url, settings.backend_auth_client_id
                return ClientCredentials(fetcher, url, client, secret)
            case "metadata":
                return MetadataServer(fetcher, settings.metadata_url)
        return None


def counters_of(settings: Settings, tally: Tally, ledger: str) -> Counters:
    """Where quotas are counted: in this process alone, with all that share the machine's ledger at this path, or in
    Redis with whoever uses the same one.

    Raises:
        UsageError: `quota_counters` is neither `memory` nor the URL of a Redis.
    """
    share = settings.quota_when_down == "local"
    if settings.quota_counters == "memory":
        return LeasedCounters(MachineLedger(Path(ledger)), tally, share=share) if ledger else MemoryCounters()
    # Only who counts there imports the client.
    from authz.quota.counters.redis import RedisLedger

    try:
        shared = RedisLedger(settings.quota_counters, timeout=settings.quota_redis_timeout)
    except UsageError as error:
        raise UsageError(f"quota_counters: {error.message}", f"{error.remedy} Or write memory.") from None
    return LeasedCounters(shared, tally, share=share)


def transport_of(settings: Settings, handlers: Handlers, address: str) -> Transport:
    """The gRPC server that the settings ask for; where libnghttp2 has no wheel, the reference."""
    secured = tls.at(address, settings)
    if settings.transport == "nghttp2":
        try:
            from authz.transport.nghttp2 import Nghttp2Transport
        except ImportError as error:
            log.warning("transport nghttp2 cannot be used here (%s): grpcio takes its place", error)
        else:
            return Nghttp2Transport(handlers, address, tls=secured)
    return GrpcioTransport(handlers, address, tls=secured)


def listener_url(settings: Settings) -> str:
    """Where callers reach the gateway, as one would type it on this machine."""
    scheme = "https" if settings.tls_cert or settings.tls_self_signed else "http"
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", "[::]"} else settings.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _published(issuer: str, key: OwnKey) -> Mapping[str, str]:
    """What a backend needs to verify the gateway's own tokens: its key set, and the way there (OpenID discovery)."""
    discovery = {"issuer": issuer, "jwks_uri": f"{issuer}{KEY_SET_PATH}"}
    return {KEY_SET_PATH: json.dumps(key.jwks()), "/.well-known/openid-configuration": json.dumps(discovery)}


def _secret(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise UsageError(
            f"backend_auth_client_secret_file '{file}' cannot be read: {error.strerror}",
            "Name a file that holds the OAuth2 client secret and nothing else.",
        ) from error
