"""API keys that have been looked up: a bounded memory in front of the store, and what a key's restrictions mean.

It knows keys by their digest only. It knows no SQL: `lookup` is a function that blocks, called in a thread.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

from authz.check.call import Call
from authz.check.decide import Reason
from authz.errors import StoreError
from authz.model.auth import ApiKey, ApiTarget, Consumer, Restrictions
from authz.rulebook.book import OperationRule

Lookup = Callable[[bytes], ApiKey | None]
Block = Callable[[Call, OperationRule], Reason | None]

_LOOKUP_THREADS: Final = 4
_MOST_LOOKUPS: Final = 2000
"""Look-ups that may wait at once. Beyond that the store is drowning, and waiting would only outlive Envoy's timeout."""
_UNKNOWN_SHARE: Final = 5
"""One entry in five may be of an unknown key: a flood of made-up keys cannot push the real ones out."""


class KnownKey:
    """A key made ready for `decide`: small, because there may be a million; its restrictions compiled once."""

    __slots__ = ("_blocks", "_expires", "_revoked", "_services", "consumer")

    def __init__(self, key: ApiKey | None) -> None:
        self.consumer: Consumer | None = key.consumer if key else None
        self._expires = key.expires_at if key else 0.0
        self._revoked = key.revoked_at if key else 0.0
        self._services = frozenset(key.services) if key and key.services else None
        self._blocks = tuple(_blocks(key.restrictions)) if key else ()

    def is_live(self, now: float) -> bool:
        """Neither expired nor revoked."""
        return (not self._revoked or now < self._revoked) and (not self._expires or now < self._expires)

    def opens(self, service: str) -> bool:
        """Whether the key may call a service at all."""
        return self._services is None or service in self._services

    def blocks(self, call: Call, rule: OperationRule) -> Reason | None:
        """The first restriction that the call runs into."""
        for block in self._blocks:
            if (reason := block(call, rule)) is not None:
                return reason
        return None


_UNKNOWN: Final = KnownKey(None)


class KeyCache:
    """Keys by digest, known and unknown, at most `size` together; the least recently used known key goes first.

    `get` answers at once; `load` asks the store. Both, and `forget`, belong to one event loop's thread.
    """

    def __init__(self, lookup: Lookup, size: int) -> None:
        self._lookup = lookup
        self._most_unknown = max(1, size // _UNKNOWN_SHARE)
        self._most_known = max(1, size - self._most_unknown)
        self._known: OrderedDict[bytes, KnownKey] = OrderedDict()
        self._unknown: dict[bytes, None] = {}
        self._loading: dict[bytes, asyncio.Future[ApiKey | None]] = {}
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="authz-keys")

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    def get(self, digest: bytes, /) -> KnownKey | None:
        """What is known of a key, None when the store has to be asked."""
        if (key := self._known.get(digest)) is not None:
            self._known.move_to_end(digest)
            return key
        return _UNKNOWN if digest in self._unknown else None

    async def load(self, digest: bytes) -> None:
        """Ask the store; all who want the same key wait for one answer.

        Raises:
            StoreError: the store cannot answer, or is asked too much at once.
        """
        if (future := self._loading.get(digest)) is None:
            if len(self._loading) >= _MOST_LOOKUPS:
                raise StoreError(f"{_MOST_LOOKUPS} API keys are being looked up at once", "Look at the store's speed.")
            future = asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, digest)
            self._loading[digest] = future
            future.add_done_callback(lambda done: self._loaded(digest, done))
        # Shielded: one caller that gives up must not take the answer from the others.
        await asyncio.shield(future)
        # The loop calls back a turn after the answer is there, and whoever comes in that turn has not waited at all.
        self._loaded(digest, future)

    def _loaded(self, digest: bytes, done: asyncio.Future[ApiKey | None]) -> None:
        # A key that was forgotten while it was being read may have been read too early: that answer is dropped.
        current = self._loading.get(digest) is done
        if current:
            del self._loading[digest]
        if not done.cancelled() and done.exception() is None and current:
            self._remember(digest, done.result())

    def _remember(self, digest: bytes, key: ApiKey | None) -> None:
        if key is None:
            self._unknown[digest] = None
            if len(self._unknown) > self._most_unknown:
                del self._unknown[next(iter(self._unknown))]
            return
        self._known[digest] = KnownKey(key)
        if len(self._known) > self._most_known:
            self._known.popitem(last=False)

    def forget(self, digests: Iterable[bytes]) -> None:
        """The store has changed these keys: ask again before they are used."""
        for digest in digests:
            self._known.pop(digest, None)
            self._unknown.pop(digest, None)
            self._loading.pop(digest, None)

    def clear(self) -> None:
        """Forget every key."""
        self._known.clear()
        self._unknown.clear()
        self._loading.clear()

    def close(self) -> None:
        """Let go of the threads; look-ups that wait are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _blocks(restrictions: Restrictions) -> Iterable[Block]:
    """One function per kind of restriction, cheap ones first; all of them must let the call pass."""
    if restrictions.api_targets:
        yield _targets(restrictions.api_targets)
    if restrictions.android_apps:
        apps = frozenset((app.package, _hex(app.sha1)) for app in restrictions.android_apps)
        yield lambda call, _: None if _android(call) in apps else Reason.KEY_APP
    if restrictions.ios_bundles:
        bundles = frozenset(restrictions.ios_bundles)
        yield lambda call, _: None if call.headers.get("x-ios-bundle-identifier") in bundles else Reason.KEY_APP
    if restrictions.allow_ips:
        networks = tuple(_network(text) for text in restrictions.allow_ips)
        yield lambda call, _: None if _within(call.address, networks) else Reason.KEY_ADDRESS
    if restrictions.allow_referrers:
        patterns = tuple(_referrer(text) for text in restrictions.allow_referrers)
        yield lambda call, _: None if _comes_from(call.headers.get("referer", ""), patterns) else Reason.KEY_REFERRER


def _targets(targets: tuple[ApiTarget, ...]) -> Block:
    """google.api.apikeys.v2.ApiTarget: methods in full, in short, or ending in `*`; letter case does not count."""
    methods: dict[str, tuple[str, ...]] = {}
    for target in targets:
        wanted = tuple(method.lower() for method in target.methods) or ("*",)
        methods[target.service] = methods.get(target.service, ()) + wanted

    def block(_: Call, rule: OperationRule) -> Reason | None:
        short = rule.short_name.lower()
        names = (rule.selector.lower(), short, f"{rule.service.lower()}.{short}")
        return None if any(_named(m, names) for m in methods.get(rule.service, ())) else Reason.KEY_TARGET

    return block


def _named(method: str, names: tuple[str, ...]) -> bool:
    if method.endswith("*"):
        return any(name.startswith(method[:-1]) for name in names)
    return method in names


def _android(call: Call) -> tuple[str, str]:
    return call.headers.get("x-android-package", ""), _hex(call.headers.get("x-android-cert", ""))


def _hex(fingerprint: str) -> str:
    return fingerprint.replace(":", "").lower()


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | None:
    # A range that cannot be read allows nobody: the key was saved by something that did not check it.
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _within(text: str, networks: tuple[Network | None, ...]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(network is not None and address in network for network in networks)


def _referrer(pattern: str) -> re.Pattern[str]:
    """A referrer pattern, `[scheme://]host[:port][/path]` with `*` for anything, over a normalised URL.

    A star in the host stays in the host: `*.example.com` must not match `evil.test/?.example.com`. A pattern
    without a path means every page of the host.
    """
    scheme, found, rest = pattern.strip().rpartition("://")
    host, slash, path = rest.partition("/")
    before = _starred(scheme.lower(), "[a-z]*") if found else "[a-z]+"
    return re.compile(f"{before}://{_starred(host.lower(), '[^/]*')}/{_starred(path, '.*') if slash else '.*'}")


def _starred(text: str, star: str) -> str:
    """A text with stars as a pattern. Referrers are strangers' words, so no star is tried at more than one length.

    The first place where a middle part fits is as good as any other; only the last star has to look further.
    """
    first, *middle = map(re.escape, text.split("*"))
    if not middle:
        return first
    last = middle.pop()
    return first + "".join(f"(?>{star}?{part})" for part in middle) + star + last


def _comes_from(referrer: str, patterns: tuple[re.Pattern[str], ...]) -> bool:
    try:
        url = urlsplit(referrer)
        host, port = url.hostname, url.port
    except ValueError:
        return False
    if not host:
        return False
    place = f"[{host}]" if ":" in host else host
    query = f"?{url.query}" if url.query else ""
    text = f"{url.scheme}://{place}{f':{port}' if port else ''}/{url.path.removeprefix('/')}{query}"
    return any(pattern.fullmatch(text) for pattern in patterns)
