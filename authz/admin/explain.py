"""Why a call would pass or fail, worked out from the rules that are live without making the call.

The same `decide` that answers Envoy judges a call that nobody made; what it asks for is looked up here. An operator
may read more than a stranger: whether a key is unknown, expired or revoked, and what a token says of itself.
"""

from __future__ import annotations

import asyncio
import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from authz.admin.matching import Match, Target, choose, match
from authz.check.call import Call
from authz.check.decide import Known, NeedConsumer, Verdict, decide
from authz.check.fetch import Fetcher
from authz.check.jwks import KeySets
from authz.check.jwt import Verifier
from authz.check.keys import KnownKey
from authz.errors import DocumentError, StateError
from authz.model.auth import ApiKey, ConsumerStatus, Place, PlaceKind
from authz.model.inventory import Inventory, LiveConfig, LiveService, Rollout
from authz.model.service import ServiceConfig, SourceText
from authz.rulebook.book import AlternativeRule, OperationKey, OperationRule, Rulebook
from authz.rulebook.compile import compile_book
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.sources import compile_texts
from authz.store.base import Store


@dataclass(frozen=True, slots=True)
class Question:
    """A call that nobody made. Header names are lower case; `key` and `token` go where the operation looks first."""

    method: str
    target: str
    service: str = ""
    key: str = ""
    token: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen. `status` 200 means that the call reaches the backend, whatever that answers."""

    status: int
    reason: str
    sentence: str
    config: ServiceConfig | None = None
    match: Match | None = None
    consumer: str = ""
    notes: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the call reaches the backend."""
        return self.status == _PASSES


_PASSES = 200


def explain(
    store: Store, question: Question, settings: Settings, *, now: float, texts: Sequence[SourceText] = ()
) -> Explanation:
    """What the gateway would answer to a call, and why, by what was deployed or by `texts` if there are any.

    Raises:
        UsageError: the target is no path or URL, or the service is unclear.
        DocumentError: the texts have errors.
        StateError: nothing has been deployed.
    """
    inventory = _meant(texts, question.service) if texts else _live(store)
    return asyncio.run(_explain(question, inventory, settings, store, now))


def _meant(texts: Sequence[SourceText], service: str) -> Inventory:
    compiled = compile_texts(texts, service=service)
    if compiled.errors:
        raise DocumentError(tuple(compiled.errors))
    return Inventory(0, tuple(LiveService(config.name, (LiveConfig(config),)) for config in compiled.configs))


def _live(store: Store) -> Inventory:
    live = store.live()
    if not live.rollouts:
        raise StateError("nothing has been deployed", "Deploy documents, or name them with --file.")
    texts = {(config.service, config.id): config.texts for config in live.configs}

    def configs(rollout: Rollout) -> Iterator[LiveConfig]:
        for config_id, share in rollout.shares:
            ((config,),) = (
                service.configs for service in _meant(texts[rollout.service, config_id], rollout.service).services
            )
            yield LiveConfig(replace(config.config, id=config_id), share)

    services = tuple(LiveService(rollout.service, tuple(configs(rollout))) for rollout in live.rollouts)
    return Inventory(live.revision, services, live.overrides)


async def _explain(
    question: Question, inventory: Inventory, settings: Settings, store: Store, now: float
) -> Explanation:
    target = Target.parse(question.target)
    live = {service.name: service for service in inventory.services}
    newest = [max(service.configs, key=lambda one: one.share).config for service in inventory.services]
    config = choose(newest, question.service, target.host, settings)
    if config is None:
        return Explanation(404, "NO_SERVICE", f"No service answers for host {target.host}.")
    found = match(config, question.method.upper(), target.path, settings)
    notes = (*_shares(live[config.name].configs), *found.notes)
    if found.operation is None:
        return Explanation(found.status, _REASONS[found.status], found.reason, config, found, notes=notes)
    book = compile_book(Inventory(inventory.revision, (live[config.name],)), settings)
    rule = book.operations[config.name, config.id, found.operation.selector]
    evidence = _Evidence(store, settings)
    outcome = await evidence.judge(book, _Imagined(question, target, rule), now)
    notes += (*_unlooked(question, rule), *evidence.notes(now), *_token_notes(question.token, rule, outcome))
    return _told(outcome, config, found, notes)


_REASONS = {400: "ESCAPED_SLASH", 404: "NO_OPERATION", 405: "METHOD"}


def _told(verdict: Verdict, config: ServiceConfig, found: Match, notes: tuple[str, ...]) -> Explanation:
    consumer = verdict.consumer.name if verdict.consumer else ""
    if verdict.reason is None:
        return Explanation(_PASSES, "", "The call passes.", config, found, consumer, notes)
    sentence = verdict.reason.message(verdict.detail)
    return Explanation(verdict.reason.http, verdict.reason.name, sentence, config, found, consumer, notes)


class _Imagined(Call):
    """A call made of words instead of a CheckRequest."""

    __slots__ = ("_ip",)

    def __init__(self, question: Question, target: Target, rule: OperationRule) -> None:
        self.operation: OperationKey = (rule.service, rule.config, rule.selector)
        headers, query = dict(question.headers), [target.query] if target.query else []
        for place, secret in _wanted(question, rule.alternatives):
            if place.kind is PlaceKind.HEADER:
                headers.setdefault(place.name, place.prefix + secret)
            elif place.kind is PlaceKind.COOKIE:
                headers["cookie"] = "; ".join(filter(None, (headers.get("cookie"), f"{place.name}={secret}")))
            else:
                query.append(f"{place.name}={quote(secret, safe='')}")
        self.headers = headers
        self.path = target.path + ("?" + "&".join(query) if query else "")
        self._ip = question.address

    @property
    def address(self) -> str:
        return self._ip


def _wanted(question: Question, ways: Iterable[AlternativeRule]) -> tuple[tuple[Place, str], ...]:
    """The place that each alternative looks into first, with the credential for it."""
    found: dict[Place, str] = {}
    for way in ways:
        if question.key and way.key_places:
            found[way.key_places[0]] = question.key
        if question.token and way.jwt is not None:
            found[way.jwt.provider.places[0]] = question.token
    return tuple(found.items())


class _Evidence:
    """What is looked up for one call."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._records: list[ApiKey | None] = []
        self._failures: list[str] = []

    async def judge(self, book: Rulebook, call: Call, now: float) -> Verdict:
        """Ask `decide` until it needs nothing more."""
        fetcher = Fetcher(self._settings.fetch_timeout)
        sets = KeySets(fetcher, Live(book), self._settings)
        keys: dict[bytes, KnownKey] = {}
        known = Known(keys, Verifier(sets, skew=self._settings.clock_skew, size=0), _Promised())
        try:
            while not isinstance(outcome := decide(book, call, known, now), Verdict):
                if isinstance(outcome, NeedConsumer):
                    keys[outcome.digest] = self._key(outcome.digest)
                elif why := await sets.fetch(outcome.provider):
                    self._failures.append(f"the key set of {outcome.provider.issuer} cannot be fetched: {why}")
            return outcome
        finally:
            await sets.close()
            await fetcher.close()

    def _key(self, digest: bytes) -> KnownKey:
        record = self._store.key(digest)
        self._records.append(record)
        return KnownKey(record)

    def notes(self, now: float) -> Iterator[str]:
        """What an operator may know of them, and a stranger may not."""
        yield from self._failures
        for record in self._records:
            if record is None:
                yield "no API key with this text was ever made or imported here"
            elif record.revoked_at and record.revoked_at <= now:
                yield f"the API key {record.uid} was revoked at {_moment(record.revoked_at)}"
            elif not record.is_live(now):
                yield f"the API key {record.uid} expired at {_moment(record.expires_at)}"
            elif record.consumer.status is not ConsumerStatus.ACTIVE:
                yield f"the consumer {record.consumer.name} is {record.consumer.status.value}"


class _Promised:
    """Tokens for backends are fetched ahead by the gateway; here only whether they are wanted counts."""

    def get(self, audience: str, now: float) -> str:  # noqa: ARG002 - the seam's
        """A stand-in."""
        return audience


def _shares(configs: Iterable[LiveConfig]) -> Iterator[str]:
    shares = [f"{live.config.id} ({live.share:g} %)" for live in configs]
    if len(shares) > 1:
        yield f"several configs are live: {', '.join(shares)}; this is what the largest share gets"


def _unlooked(question: Question, rule: OperationRule) -> Iterator[str]:
    """Credentials that nobody looks at are a common surprise."""
    if question.key and not any(way.key_places for way in rule.alternatives):
        yield "the operation asks for no API key: the one given is not looked at"
    if question.token and not any(way.jwt for way in rule.alternatives):
        yield "the operation asks for no token: the one given is not looked at"


def _token_notes(token: str, rule: OperationRule, verdict: Verdict) -> Iterator[str]:
    """What a refused token says of itself, beside what the operation wants."""
    if not token or verdict.reason is None or not verdict.reason.name.startswith(("TOKEN_", "KEY_SET_")):
        return
    claims = _claims(token)
    said = [f"{name} {_shown(name, claims[name])}" for name in _TOLD_CLAIMS if name in claims]
    yield f"the token says: {', '.join(said)}" if said else "the token cannot be read"
    for way in rule.alternatives:
        if way.jwt is not None:
            audiences = "any" if way.jwt.audiences is None else " or ".join(sorted(way.jwt.audiences))
            yield f"wanted: iss {' or '.join(sorted(way.jwt.provider.issuers))}, aud {audiences}"


_TOLD_CLAIMS = ("iss", "aud", "azp", "client_id", "scope", "scp", "nbf", "exp")


def _claims(token: str) -> dict[str, Any]:
    """The payload of a token that nobody has verified: for people to look at only."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _shown(name: str, value: object) -> str:
    if name in {"exp", "nbf"} and isinstance(value, int | float):
        return _moment(value)
    return value if isinstance(value, str) else json.dumps(value)


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return str(at)
