"""API keys: made or imported, shown once, listed by their beginning, revoked, rotated.

A key that we make is `ak_`, 24 random characters (142 bits) and a checksum of 6, all letters and digits. The checksum
tells a typing mistake from a key that is gone, and lets scanners of source code find leaked keys with few false alarms.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from authz.admin import consumers, unknown
from authz.admin.restrictions import checked, service_name
from authz.errors import UsageError
from authz.model.auth import ApiKey, Consumer, ConsumerStatus, Restrictions, key_digest
from authz.store.base import Store

PREFIX = "ak_"
_RANDOM = 24
_CHECKSUM = 6
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ISSUED = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}\Z")

_IMPORTABLE = re.compile(r"[!-+\--~]{8,512}\Z")
"""Printable ASCII without the blank and the comma: a header joins several values with commas."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_DURATION = re.compile(r"(\d{1,9})([smhdwy])")
_LONGEST = 100 * _SECONDS["y"]

_SHORTEST_PREFIX = 4
_HINT = 8
_ELLIPSIS = "…"
_MOST_MATCHES = 6
_MAX_DISPLAY_NAME = 200


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, and its text: the only time that anybody sees it.

    `consumer_is_new`: the consumer was made along with the key. `replaced` is the key that a rotation revoked.
    """

    key: ApiKey
    text: str
    consumer_is_new: bool = False
    warnings: tuple[str, ...] = ()
    replaced: ApiKey | None = None


def create(
    store: Store,
    consumer: str,
    *,
    services: Sequence[str] = (),
    import_text: str = "",
    expires: str | float | None = None,
    restrictions: Restrictions | None = None,
    display_name: str = "",
    now: float,
) -> NewKey:
    """A new key of a consumer, who is made if there is none of this name.

    `expires` says how long the key works: `30d`, `12h`, `1d12h`, or seconds; nothing means for ever.

    Raises:
        UsageError: an argument is not what it should be; nothing has been made then.
    """
    text = import_text or generate()
    key = ApiKey(
        uid=secrets.token_hex(8),
        digest=key_digest(_importable(store, import_text) if import_text else text),
        consumer=Consumer(0, consumer),
        hint=hint(text),
        display_name=_display_name(display_name),
        services=tuple(dict.fromkeys(service_name(name) for name in services)),
        restrictions=checked(restrictions or Restrictions()),
        created_at=now,
        expires_at=now + lifetime if (lifetime := duration(expires)) else 0.0,
    )
    owner, is_new = consumers.find_or_create(store, consumer, now)
    key = replace(key, consumer=owner)
    store.add_key(key)
    return NewKey(key, text, is_new, tuple(_warnings(store, key)))


def list_keys(store: Store, consumer: str = "") -> list[ApiKey]:
    """All keys, or those of one consumer; newest first, revoked ones included.

    Raises:
        UsageError: there is no such consumer.
    """
    if consumer and store.consumer(consumer) is None:
        raise unknown("consumer", consumer, (known.name for known in store.consumers()))
    return store.keys(consumer or None)


def describe(store: Store, reference: str) -> ApiKey:
    """The one key with this uid, this text, or a uid or text that begins so.

    Raises:
        UsageError: there is none, or more than one.
    """
    beginning = reference.rstrip(_ELLIPSIS).removesuffix("...")
    exact = store.key_by_uid(reference) or store.key(key_digest(reference))
    if exact:
        return exact
    if _ISSUED.match(reference) and reference != _with_checksum(reference[:-_CHECKSUM]):
        raise UsageError(
            f"The key {hint(reference)} is mistyped: its last characters do not fit the others.",
            "Copy it again, or name it by its uid ('authz keys list').",
        )
    if len(beginning) < _SHORTEST_PREFIX:
        raise UsageError(
            f"'{reference}' is too short to name a key.", f"Write at least {_SHORTEST_PREFIX} characters of its uid."
        )
    return _the_only(store.keys_like(beginning, _MOST_MATCHES), reference)


def revoke(store: Store, reference: str, *, now: float) -> ApiKey:
    """Stop a key from working, for good.

    Raises:
        UsageError: there is no such key, or more than one.
    """
    return store.revoke_key(describe(store, reference).uid, now)


def rotate(store: Store, reference: str, *, grace: str | float | None = None, now: float) -> NewKey:
    """A new key with the rights and the lifetime of an old one, which is revoked at once or after a grace.

    Raises:
        UsageError: there is no such key, or more than one, or it is revoked already.
    """
    old = describe(store, reference)
    if old.revoked_at and old.revoked_at <= now:
        raise UsageError(f"The key {old.uid} is revoked already.", "Make a new one with 'authz keys create'.")
    if old.consumer.status is ConsumerStatus.DELETED:
        consumers.find(store, old.consumer.name)
    text = generate()
    new = replace(
        old,
        uid=secrets.token_hex(8),
        digest=key_digest(text),
        hint=hint(text),
        created_at=now,
        expires_at=now + old.expires_at - old.created_at if old.expires_at else 0.0,
        revoked_at=0.0,
    )
    replaced = store.replace_key(old.uid, now + duration(grace), new)
    return NewKey(new, text, warnings=tuple(_warnings(store, new)), replaced=replaced)


def generate() -> str:
    """The text of a new key."""
    return _with_checksum(PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM)))


def hint(text: str) -> str:
    """What may be shown of a key's text: its beginning, never more than a quarter."""
    return text[: min(_HINT, len(text) // 4)] + _ELLIPSIS


def duration(text: str | float | None) -> float:
    """Seconds of `90s`, `15m`, `12h`, `30d`, `2w`, `1y` or several of them in a row; 0 of nothing.

    Raises:
        UsageError: it is no duration, or not a sensible one.
    """
    if text is None or text == "":
        return 0.0
    if isinstance(text, str):
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise UsageError(f"'{text}' is no duration.", "Write 90s, 15m, 12h, 30d, 2w, 1y, or 1d12h.")
        seconds = float(sum(int(number) * _SECONDS[unit] for number, unit in parts))
    else:
        seconds = float(text)
    # Written so that "not a number" is refused as well.
    if not 0 < seconds <= _LONGEST:
        raise UsageError(
            f"'{text}' is no sensible duration: it is over at once, or lasts more than a hundred years.",
            "Write one in between, or none for ever.",
        )
    return seconds


def _with_checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return body + digits


def _importable(store: Store, text: str) -> str:
    if not _IMPORTABLE.match(text):
        raise UsageError(
            f"This key cannot be imported: it has {len(text)} characters, or one that gets lost on the way.",
            "A key has 8 to 512 printable ASCII characters, and no blank or comma among them.",
        )
    known = store.key(key_digest(text))
    if known:
        raise UsageError(
            f"This key is known already: it is {known.uid} of the consumer '{known.consumer.name}'.",
            f"See 'authz keys describe {known.uid}'.",
        )
    return text


def _display_name(text: str) -> str:
    if len(text) > _MAX_DISPLAY_NAME or not text.isprintable():
        raise UsageError(
            "The name of the key is too long, or has characters that cannot be shown.",
            f"Write at most {_MAX_DISPLAY_NAME} printable characters on one line.",
        )
    return text


def _warnings(store: Store, key: ApiKey) -> list[str]:
    wanted = {*key.services, *(target.service for target in key.restrictions.api_targets)}
    missing = sorted(wanted.difference(store.services()))
    warnings = [f"No service '{name}' has been deployed yet: the key opens it once it is." for name in missing]
    if key.consumer.status is ConsumerStatus.SUSPENDED:
        name = key.consumer.name
        warnings.append(f"The consumer '{name}' is suspended: the key works after 'authz consumers activate {name}'.")
    return warnings


def _the_only(keys: Sequence[ApiKey], reference: str) -> ApiKey:
    if len(keys) == 1:
        return keys[0]
    # What was typed may be the whole of somebody's key.
    shown = reference if len(reference) <= 16 else hint(reference)
    if not keys:
        raise UsageError(f"There is no key {shown}.", "'authz keys list' shows each key's uid and how its text begins.")
    uids = ", ".join(key.uid for key in keys[: _MOST_MATCHES - 1])
    more = " and others" if len(keys) == _MOST_MATCHES else ""
    raise UsageError(f"Several keys begin with {shown}: {uids}{more}.", "Write the uid of one of them.")
