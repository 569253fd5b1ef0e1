"""Follow the store's revisions, make the rules and Envoy's configuration of them, swap and publish.

The order is what keeps requests safe: everything is built and checked first; then the book is swapped, still holding
the operations of the snapshot before, so that Check knows both, in this process and in all its workers; then Envoy
gets the snapshot; and only when every connected Envoy has accepted it are the old operations dropped. Whatever fails
on the way, what is live stays live.
This module knows neither files nor the command line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from authz.errors import AuthzError
from authz.model.inventory import Inventory, LiveConfig, LiveService, Rollout, RolloutStatus
from authz.model.service import ServiceConfig
from authz.rulebook.book import ProviderRule, Rulebook
from authz.rulebook.compile import compile_book, merge
from authz.rulebook.live import Live as LiveBook
from authz.settings import Settings
from authz.sources import compile_texts
from authz.store.base import Delivery, Live, Store, StoredConfig
from authz.xds.server import Outcome
from authz.xds.snapshot import Snapshot, build, check

log = logging.getLogger("authz.rollout")


class Keys(Protocol):
    """What the key cache must be told."""

    def forget(self, digests: frozenset[bytes]) -> None:
        """Ask the store again for these."""
        ...

    def clear(self) -> None:
        """Ask the store again for every key."""
        ...


class Peers(Keys, Protocol):
    """Other processes that answer as this one does."""

    async def take(self, book: Rulebook) -> None:
        """Make this their book; comes back when every one that lives has done so."""
        ...


class KeySets(Protocol):
    """Fetches the key sets of providers before they are needed; answers with what could not be fetched and why."""

    async def prefetch(self, providers: Sequence[ProviderRule]) -> Mapping[ProviderRule, str]:
        """Fetch these now."""
        ...


class Tokens(Protocol):
    """Fetches tokens for backends before they are needed."""

    async def prefetch(self, audiences: Iterable[str]) -> Mapping[str, str]:
        """Fetch these now; answers with the audiences that have no token, and why."""
        ...


class Publisher(Protocol):
    """Delivers snapshots to Envoys."""

    def publish(self, snapshot: Snapshot) -> None:
        """Make this what every Envoy gets."""
        ...

    def active_versions(self) -> frozenset[str]:
        """The snapshots that some Envoy may still be running."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """One revision, ready to go live: what is meant, both forms of it, and what its deployers should be told."""

    live: Live
    book: Rulebook
    snapshot: Snapshot
    warnings: Mapping[str, str] = field(default_factory=dict)

    @property
    def pending(self) -> tuple[Rollout, ...]:
        """The rollouts that nobody has accepted or refused yet."""
        return _pending(self.live)


class _Refused(Exception):  # noqa: N818 - one rollout cannot go live; the others are tried without it
    def __init__(self, rollouts: Sequence[Rollout], message: str) -> None:
        super().__init__(message)
        self.rollouts = rollouts
        self.message = message


@dataclass(slots=True)
class Follower:
    """Follows one store for one gateway. Everything runs in one event loop; building runs in threads beside it."""

    store: Store
    book: LiveBook
    publisher: Publisher
    keys: Keys
    key_sets: KeySets
    tokens: Tokens
    peers: Peers
    settings: Settings
    gateway: str
    documents: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    revision: int = -1
    key_revision: int = 0
    _configs: dict[tuple[str, str], ServiceConfig] = field(default_factory=dict)
    _latest: Built | None = None
    _taken: str = ""
    _fetched: set[ProviderRule] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Follow until cancelled. A store that cannot be read is asked again; what is live stays live.

        Keys have a loop of their own: a revocation must not wait for a key set that is slow to fetch.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.forget_keys))
            group.create_task(self._repeat(self.step))

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        said = ""
        while True:
            try:
                await step()
                said = ""
            except AuthzError as error:
                if str(error) != said:
                    log.error("%s", error)  # noqa: TRY400 - a sentence for people, not a traceback
                said = str(error)
            except Exception:
                log.exception("a revision could not be followed; what was live stays live")
            await asyncio.sleep(self.settings.poll_seconds)

    async def forget_keys(self) -> None:
        """Drop from the key cache what changed in the store since the last time."""
        changes = await asyncio.to_thread(self.store.changes, self.key_revision)
        if changes.revision == self.key_revision:
            return
        for keys in (self.keys, self.peers):
            if changes.all_keys:
                keys.clear()
            elif changes.keys:
                keys.forget(changes.keys)
        self.key_revision = changes.revision

    async def step(self) -> None:
        """Catch up with the store's configs, once."""
        async with self._turn:
            await self._let_go()
            if await asyncio.to_thread(self.store.revision) == self.revision:
                return
            changes = await asyncio.to_thread(self.store.changes, max(self.revision, 0))
            if self.revision < 0 or changes.services or changes.overrides:
                await self._go_live()
            self.revision = changes.revision

    async def _go_live(self) -> None:
        while True:
            live = await asyncio.to_thread(self.store.live)
            if self._latest is not None and _meaning(live) == _meaning(self._latest.live):
                return
            try:
                built = await self._build(live)
            except _Refused as refused:
                for rollout in refused.rollouts:
                    await self._settle_one(rollout, RolloutStatus.FAILED, refused.message)
                continue
            break
        await self._swap_and_publish(built)

    async def _swap_and_publish(self, built: Built) -> None:
        before, self._latest = self._latest, built
        wanted = {(rollout.service, config) for rollout in built.live.rollouts for config, _ in rollout.shares}
        self._configs = {key: config for key, config in self._configs.items() if key in wanted}
        await self._swap(merge(built.book, self.book.book))
        if before is None or before.snapshot.version != built.snapshot.version:
            self.publisher.publish(built.snapshot)
        # What Envoy runs already needs no second word from it; what is still on its way gets one.
        if built.snapshot.version == self._taken:
            await self._accepted(built)

    async def _build(self, live: Live) -> Built:
        """Both forms of what is meant. What cannot be built is refused, lest it stand in everybody else's way."""
        try:
            return await self._build_all(live)
        except _Refused:
            raise
        except Exception as error:
            pending = _pending(live)
            if not pending:
                raise
            known = isinstance(error, AuthzError)
            # An error of ours is a sentence for people; only what nobody foresaw needs a traceback.
            log.error("a configuration cannot be built: %s", error, exc_info=None if known else error)  # noqa: TRY400
            words = str(error) if known else f"The gateway cannot build a configuration of it: {error!r}"
            raise _Refused(pending, words) from error

    async def _build_all(self, live: Live) -> Built:
        services = tuple([await self._service(rollout, live.configs) for rollout in live.rollouts])
        inventory = Inventory(live.revision, services, live.overrides)
        book = await asyncio.to_thread(compile_book, inventory, self.settings)
        warnings = await self._fetch_key_sets(live, services, book)
        await self.tokens.prefetch(book.backend_audiences)
        warnings = self._without_tokens(services) | warnings
        snapshot = await asyncio.to_thread(self._snapshot, inventory)
        return Built(live, book, snapshot, warnings)

    def _snapshot(self, inventory: Inventory) -> Snapshot:
        snapshot = build(inventory, self.settings, self.documents)
        check(snapshot)
        return snapshot

    async def _service(self, rollout: Rollout, stored: Sequence[StoredConfig]) -> LiveService:
        configs = []
        for config_id, share in rollout.shares:
            known = next(c for c in stored if (c.service, c.id) == (rollout.service, config_id))
            config = self._configs.get((known.service, known.id))
            if config is None:
                config = await self._compile(rollout, known)
                self._configs[known.service, known.id] = config
            configs.append(LiveConfig(config, share))
        return LiveService(rollout.service, tuple(configs))

    async def _compile(self, rollout: Rollout, stored: StoredConfig) -> ServiceConfig:
        compiled = await asyncio.to_thread(lambda: compile_texts(stored.texts, service=stored.service))
        if not compiled.configs:
            raise _Refused((rollout,), "\n".join(str(finding) for finding in compiled.errors))
        return replace(compiled.configs[0], id=stored.id)

    async def _fetch_key_sets(self, live: Live, services: Sequence[LiveService], book: Rulebook) -> dict[str, str]:
        """Fetch what is new. A pending rollout whose key sets are away is refused, unless it is forced."""
        new = [provider for provider in book.providers if provider not in self._fetched]
        failures = await self.key_sets.prefetch(new) if new else {}
        self._fetched.update(new)
        warnings: dict[str, str] = {}
        for rollout, service in zip(live.rollouts, services, strict=True):
            message = _unreachable(service, failures)
            if message and rollout.status is RolloutStatus.PENDING and not rollout.force:
                self._fetched.difference_update(failures)
                raise _Refused(
                    (rollout,), f"{message}\n    Mend the address, or deploy with --force to go live without."
                )
            if message:
                warnings[service.name] = message
        return warnings

    def _without_tokens(self, services: Sequence[LiveService]) -> dict[str, str]:
        if self.settings.backend_auth != "none":
            return {}
        wanting = {
            service.name: operation.selector
            for service in services
            for live in service.configs
            for operation in live.config.operations
            if operation.backend.jwt_audience
        }
        return {
            name: f"{selector} and its like want a token for their backend, and there is no source of tokens: "
            "callers' Authorization headers pass untouched. Set backend_auth, or write disable_auth."
            for name, selector in wanting.items()
        }

    async def settle(self, outcome: Outcome) -> None:
        """Record what one Envoy said to one snapshot."""
        async with self._turn:
            built = self._latest
            if built is None or built.snapshot.version != outcome.version:
                return
            # Status first: whoever waits reads a rollout's own words before those of one gateway.
            if outcome.ok:
                self._taken = outcome.version
                await self._accepted(built)
            else:
                log.error("Envoy refused the configuration: %s", outcome.message)
                for rollout in built.pending:
                    await self._settle_one(rollout, RolloutStatus.FAILED, f"Envoy refused it: {outcome.message}")
            for rollout in built.live.rollouts:
                await asyncio.to_thread(self.store.add_delivery, self._delivery(rollout, outcome))

    def _delivery(self, rollout: Rollout, outcome: Outcome) -> Delivery:
        return Delivery(rollout.id, rollout.service, self.gateway, outcome.ok, outcome.message, self.clock())

    async def _accepted(self, built: Built) -> None:
        for rollout in built.pending:
            await self._settle_one(rollout, RolloutStatus.LIVE, built.warnings.get(rollout.service, ""))

    async def _let_go(self) -> None:
        """Drop the operations of configs that no Envoy runs any more, requests under way included."""
        built = self._latest
        if built is None or self.book.book is built.book:
            return
        if self.publisher.active_versions() <= {built.snapshot.version}:
            await self._swap(built.book)

    async def _swap(self, book: Rulebook) -> None:
        self.book.swap(book)
        await self.peers.take(book)

    async def _settle_one(self, rollout: Rollout, status: RolloutStatus, message: str) -> None:
        await asyncio.to_thread(self.store.set_rollout_status, rollout.service, rollout.id, status, message)


def _pending(live: Live) -> tuple[Rollout, ...]:
    return tuple(rollout for rollout in live.rollouts if rollout.status is RolloutStatus.PENDING)


def _meaning(live: Live) -> tuple[object, ...]:
    """What decides how calls are treated: a rollout's status and message do not."""
    return tuple((r.service, r.id, r.shares) for r in live.rollouts), live.overrides


def _unreachable(service: LiveService, failures: Mapping[ProviderRule, str]) -> str:
    """Which of a service's key sets could not be fetched, and where they were declared."""
    words = {(failed.issuer, failed.jwks_uri): why for failed, why in failures.items()}
    return "\n".join(
        f"{provider.file}:{provider.line}: the key set of issuer {provider.issuer} cannot be fetched: {why}"
        for live in service.configs
        for provider in live.config.providers
        if (why := words.get((provider.issuer, provider.jwks_uri)))
    )
