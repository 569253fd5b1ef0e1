"""The seam to what must survive a restart, and its revision feed.

Every write that changes what the gateway does adds one or more rows to the feed and so makes a new revision. A reader
polls `revision()` and asks `changes(since)` what to reload. Methods block; the event loop calls them in a thread.
A store knows nothing of OpenAPI: a config is its source texts.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from authz.model.auth import ApiKey, Consumer, ConsumerKind, ConsumerStatus
from authz.model.inventory import Rollout, RolloutStatus
from authz.model.quota import Override
from authz.model.service import SourceText


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """An immutable config of a service. `digest` is the SHA-256 (hex) of its texts: the same text is one config."""

    service: str
    id: str
    digest: str
    texts: tuple[SourceText, ...]
    created_at: float = 0.0


class ChangeKind(enum.Enum):
    """What a revision touched."""

    SERVICE = "service"
    KEY = "key"
    CONSUMER = "consumer"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after one revision, up to `revision`.

    `keys` holds the digests of keys that were made, changed or revoked. `all_keys` asks the reader to forget every
    key it remembers (a consumer changed, or the feed no longer reaches back to where the reader was).
    """

    revision: int
    services: frozenset[str] = frozenset()
    keys: frozenset[bytes] = frozenset()
    all_keys: bool = False
    overrides: bool = False


@dataclass(frozen=True, slots=True)
class Deployed:
    """What `add_deployment` did: the config, whether its texts were new, the rollout, and whether it was new."""

    config: StoredConfig
    is_new: bool
    rollout: Rollout
    rollout_is_new: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one gateway's Envoy said to one rollout: `ok`, and Envoy's own words if not."""

    rollout: str
    service: str
    gateway: str
    ok: bool
    message: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, as its heartbeat tells: where it listens, and when it was last seen (Unix seconds)."""

    id: str
    url: str
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Live:
    """What should be live: each service's current rollout and the stored configs that it names."""

    revision: int
    rollouts: tuple[Rollout, ...] = ()
    configs: tuple[StoredConfig, ...] = ()
    overrides: tuple[Override, ...] = field(default=())


class Store(Protocol):
    """What must survive a restart. Every method raises StoreError when the store cannot be used."""

    # -- the feed
    def revision(self) -> int: ...
    def changes(self, since: int) -> Changes: ...
    def live(self, *, including_pending: bool = True) -> Live:
        """The newest rollout of each service that has not failed (pending ones count unless told otherwise)."""
        ...

    # -- configs and rollouts
    def add_config(self, service: str, texts: Sequence[SourceText], now: float) -> tuple[StoredConfig, bool]:
        """Keep a config; texts that the service has had before give that config back, and False for not new.

        So one text has one id, however often it is deployed, and going back to an older file is a rollback.
        """
        ...

    def services(self) -> list[str]:
        """The names of the services that have a config, in order."""
        ...

    def configs(self, service: str | None = None) -> list[StoredConfig]:
        """Newest first, as every list of what has a time; names and numbers come in their order."""
        ...

    def config(self, service: str, config_id: str) -> StoredConfig | None: ...
    def add_rollout(
        self, service: str, shares: Sequence[tuple[str, float]], now: float, *, force: bool = False
    ) -> Rollout:
        """Raises UsageError when a share names no config of the service."""
        ...

    def add_deployment(self, service: str, texts: Sequence[SourceText], now: float, *, force: bool = False) -> Deployed:
        """Keep a config and give it all the traffic, in one step; deploying what is current already changes nothing."""
        ...

    def rollouts(self, service: str | None = None) -> list[Rollout]: ...
    def rollout(self, service: str, rollout_id: str) -> Rollout | None: ...
    def set_rollout_status(self, service: str, rollout_id: str, status: RolloutStatus, message: str = "") -> None:
        """LIVE makes the service's earlier rollouts SUPERSEDED; one that a later live rollout overtook becomes that.

        Only a change of what `live()` gives makes a revision. Raises UsageError when there is no such rollout.
        """
        ...

    def add_delivery(self, delivery: Delivery) -> None: ...
    def deliveries(self, service: str, rollout_id: str) -> list[Delivery]: ...

    # -- consumers and keys
    def add_consumer(self, name: str, kind: ConsumerKind, now: float, *, number: int | None = None) -> Consumer:
        """Raises UsageError when the name or number is taken."""
        ...

    def consumer(self, name: str) -> Consumer | None: ...
    def consumers(self) -> list[Consumer]: ...
    def set_consumer_status(self, name: str, status: ConsumerStatus) -> Consumer:
        """A deleted consumer keeps its name and number, so that nobody inherits its counts. UsageError: no such one."""
        ...

    def add_key(self, key: ApiKey) -> None:
        """Raises UsageError when the digest or the uid is taken."""
        ...

    def add_keys(self, keys: Sequence[ApiKey]) -> None:
        """Many at once, all or none. Raises UsageError as `add_key` does."""
        ...

    def key(self, digest: bytes) -> ApiKey | None: ...
    def key_by_uid(self, uid: str) -> ApiKey | None: ...
    def keys(self, consumer: str | None = None) -> list[ApiKey]: ...
    def has_keys(self) -> bool:
        """Whether there is any key; there may be a million."""
        ...

    def keys_like(self, prefix: str, most: int) -> list[ApiKey]:
        """At most so many keys whose uid or hint begins with this."""
        ...

    def revoke_key(self, uid: str, at: float) -> ApiKey:
        """Revoke from a moment on; an earlier revocation stays. Raises UsageError when there is no such key."""
        ...

    def replace_key(self, uid: str, at: float, replacement: ApiKey) -> ApiKey:
        """Revoke one key and add another in one step; gives the revoked one."""
        ...

    # -- overrides
    def set_override(self, override: Override) -> None: ...
    def delete_override(self, override: Override) -> bool: ...
    def overrides(self, service: str | None = None) -> list[Override]: ...

    # -- running gateways, and the gateway's own secrets
    def beat(self, gateway: Gateway) -> None: ...
    def leave(self, gateway_id: str) -> None: ...
    def gateways(self, seen_since: float) -> list[Gateway]: ...
    def secret(self, name: str, fresh: bytes) -> bytes:
        """The secret of this name; `fresh` becomes it if there is none yet (the first writer wins)."""
        ...

    def close(self) -> None: ...


def digest_of(texts: Iterable[SourceText]) -> str:
    """The digest that identifies a config's texts, whatever the files are called."""
    total = hashlib.sha256()
    for text in texts:
        data = text.text.encode()
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()
