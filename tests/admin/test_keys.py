"""Making, finding, revoking and rotating keys."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.admin import consumers, keys
from authz.errors import UsageError
from authz.model.auth import ConsumerStatus, Restrictions, key_digest
from authz.store.base import Store

NOON = 1_795_262_400.0
DAY = 86400.0


def test_a_new_key_is_shown_once_and_kept_as_a_digest(store: Store) -> None:
    new = keys.create(store, "acme", display_name="Ann's phone", now=NOON)
    assert re.fullmatch(r"ak_[0-9A-Za-z]{30}", new.text)
    assert store.key(key_digest(new.text)) == new.key
    assert new.key.hint == new.text[:8] + "…"
    assert new.key.display_name == "Ann's phone"
    assert new.text not in repr(store.keys())
    assert (new.key.created_at, new.key.expires_at, new.warnings) == (NOON, 0.0, ())


def test_the_consumer_is_made_along_with_its_first_key(store: Store) -> None:
    first, second = (keys.create(store, "acme", now=NOON) for _ in range(2))
    assert (first.consumer_is_new, second.consumer_is_new) == (True, False)
    assert first.key.consumer == second.key.consumer == store.consumer("acme")
    assert first.text != second.text


def test_an_imported_key_is_kept_as_it_is(store: Store) -> None:
    text = "AIzaSyExampleExampleExampleExample12345"
    new = keys.create(store, "acme", import_text=text, now=NOON)
    assert (new.text, new.key.hint) == (text, "AIzaSyEx…")
    assert keys.describe(store, text) == new.key


def test_a_short_imported_key_shows_little_of_itself(store: Store) -> None:
    assert keys.create(store, "acme", import_text="12345678", now=NOON).key.hint == "12…"


@pytest.mark.parametrize(
    "text", ["1234567", "a" * 513, "with blank", "with,comma", "tab\tinside", "über-schlüssel", "line\n"]
)
def test_what_would_get_lost_on_the_way_is_not_imported(store: Store, text: str) -> None:
    with pytest.raises(UsageError, match=f"cannot be imported: it has {len(text)} characters") as refused:
        keys.create(store, "acme", import_text=text, now=NOON)
    assert "8 to 512 printable ASCII" in refused.value.remedy
    assert store.consumers() == [], "nothing is made when something is wrong"


@given(
    text=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=8, max_size=512)
)
def test_any_text_that_a_header_carries_may_be_a_key(text: str) -> None:
    assert keys._IMPORTABLE.match(text)


def test_a_key_is_imported_once(store: Store) -> None:
    known = keys.create(store, "acme", import_text="12345678", now=NOON).key
    with pytest.raises(UsageError, match=f"it is {known.uid} of the consumer 'acme'") as refused:
        keys.create(store, "other", import_text="12345678", now=NOON)
    assert known.uid in refused.value.remedy
    assert store.consumer("other") is None


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 30 * DAY), ("2w", 14 * DAY), ("1d12h", 1.5 * DAY), (60.0, 60)],
)
def test_a_key_may_expire(store: Store, expires: str | float, seconds: float) -> None:
    key = keys.create(store, "acme", expires=expires, now=NOON).key
    assert key.expires_at == NOON + seconds
    assert key.is_live(NOON + seconds - 1)
    assert not key.is_live(NOON + seconds)


@pytest.mark.parametrize("expires", ["30", "d", "30 d", "-1d", "1.5d", "30x", "tomorrow", "d30"])
def test_what_is_no_duration_is_refused(store: Store, expires: str) -> None:
    with pytest.raises(UsageError, match=f"'{expires}' is no duration") as refused:
        keys.create(store, "acme", expires=expires, now=NOON)
    assert "30d" in refused.value.remedy


@pytest.mark.parametrize("expires", ["0d", "101y", "999999999y", -1.0, 0.0, float("nan"), float("inf")])
def test_durations_that_make_no_sense_are_refused(store: Store, expires: str | float) -> None:
    with pytest.raises(UsageError, match="no sensible duration"):
        keys.create(store, "acme", expires=expires, now=NOON)


def test_a_key_for_a_service_that_is_not_there_yet_comes_with_a_warning(store: Store) -> None:
    new = keys.create(store, "acme", services=["shop.example.com", "shop.example.com"], now=NOON)
    assert new.key.services == ("shop.example.com",)
    assert new.warnings == ("No service 'shop.example.com' has been deployed yet: the key opens it once it is.",)


def test_a_key_for_a_deployed_service_comes_without(store: Store, deploy_shop: None) -> None:
    assert keys.create(store, "acme", services=["shop.example.com"], now=NOON).warnings == ()


def test_what_is_no_service_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="'https://shop/' is no service name"):
        keys.create(store, "acme", services=["https://shop/"], now=NOON)


def test_bad_restrictions_are_refused_before_anything_is_made(store: Store) -> None:
    with pytest.raises(UsageError, match="neither an IP address"):
        keys.create(store, "acme", restrictions=Restrictions(allow_ips=("here",)), now=NOON)
    assert store.consumers() == []


@pytest.mark.parametrize("name", ["two\nlines", "x" * 201, "bell\a"])
def test_names_that_cannot_be_shown_are_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be shown"):
        keys.create(store, "acme", display_name=name, now=NOON)


def test_a_key_of_a_suspended_consumer_comes_with_a_warning(store: Store) -> None:
    consumers.create(store, "acme", now=NOON)
    consumers.suspend(store, "acme")
    new = keys.create(store, "acme", now=NOON)
    assert "suspended" in new.warnings[0]
    assert "activate acme" in new.warnings[0]


def test_a_deleted_consumer_gets_no_keys(store: Store) -> None:
    consumers.create(store, "acme", now=NOON)
    consumers.delete(store, "acme")
    with pytest.raises(UsageError, match="'acme' was deleted"):
        keys.create(store, "acme", now=NOON)


# -- finding


def test_a_key_is_found_by_what_one_has_of_it(store: Store) -> None:
    new = keys.create(store, "acme", now=NOON)
    keys.create(store, "acme", now=NOON)
    uid = new.key.uid
    for reference in (uid, uid[:12], new.text, new.key.hint, new.text[:8], new.text[:8] + "..."):
        assert keys.describe(store, reference).uid == uid


def test_a_mistyped_key_is_told_from_one_that_is_gone(store: Store) -> None:
    text = keys.generate()
    with pytest.raises(UsageError, match=f"There is no key {text[:8]}…") as gone:
        keys.describe(store, text)
    assert text not in str(gone.value), "a key is never repeated in full"
    other = "A" if text[10] != "A" else "B"
    with pytest.raises(UsageError, match=f"The key {text[:8]}… is mistyped"):
        keys.describe(store, text[:10] + other + text[11:])


def test_a_beginning_that_several_keys_have_names_them(store: Store) -> None:
    made = [keys.create(store, "acme", import_text=f"prefix-of-a-long-key-{number}", now=NOON) for number in range(2)]
    with pytest.raises(UsageError, match="Several keys begin with pref") as refused:
        keys.revoke(store, "pref", now=NOON)
    assert all(new.key.uid in refused.value.message for new in made)
    for number in range(2, 8):
        keys.create(store, "acme", import_text=f"prefix-of-a-long-key-{number}", now=NOON)
    with pytest.raises(UsageError, match="and others"):
        keys.revoke(store, "pref", now=NOON)


@pytest.mark.parametrize("reference", ["", "…", "abc"])
def test_too_short_a_beginning_names_no_key(store: Store, reference: str) -> None:
    keys.create(store, "acme", import_text="abcdefghijklmnop", now=NOON)
    with pytest.raises(UsageError, match="too short"):
        keys.revoke(store, reference, now=NOON)


def test_keys_are_listed_by_consumer(store: Store) -> None:
    here = keys.create(store, "acme", now=NOON).key
    there = keys.create(store, "other", now=NOON + 1).key
    assert keys.list_keys(store) == [there, here]
    assert keys.list_keys(store, "acme") == [here]
    with pytest.raises(UsageError, match="no consumer 'acne'") as refused:
        keys.list_keys(store, "acne")
    assert refused.value.remedy == "Did you mean 'acme'?"


# -- revoking and rotating


def test_a_revoked_key_is_dead_for_good(store: Store) -> None:
    new = keys.create(store, "acme", now=NOON)
    revoked = keys.revoke(store, new.key.uid[:8], now=NOON + 5)
    assert revoked.revoked_at == NOON + 5
    assert not store.key(new.key.digest).is_live(NOON + 5)
    assert keys.revoke(store, new.key.uid, now=NOON + 9).revoked_at == NOON + 5


def a_restricted_key(store: Store) -> keys.NewKey:
    return keys.create(
        store,
        "acme",
        services=["shop.example.com"],
        expires="30d",
        restrictions=Restrictions(allow_ips=("10.0.0.0/8",)),
        display_name="billing",
        now=NOON,
    )


def test_a_rotated_key_has_the_rights_and_lifetime_of_the_old_one(store: Store) -> None:
    old = a_restricted_key(store)
    new = keys.rotate(store, old.text, now=NOON + DAY)
    assert new.text != old.text
    assert new.key.uid != old.key.uid
    for right in ("consumer", "services", "restrictions", "display_name"):
        assert getattr(new.key, right) == getattr(old.key, right)
    assert new.key.expires_at == NOON + 31 * DAY
    assert new.replaced.uid == old.key.uid
    assert not store.key(old.key.digest).is_live(NOON + DAY)
    assert store.key(key_digest(new.text)).is_live(NOON + DAY)


def test_a_rotated_key_may_live_on_for_a_grace(store: Store) -> None:
    old = keys.create(store, "acme", now=NOON)
    new = keys.rotate(store, old.key.uid, grace="12h", now=NOON)
    assert new.key.expires_at == 0
    assert store.key(old.key.digest).is_live(NOON + 43199)
    assert not store.key(old.key.digest).is_live(NOON + 43200)
    assert not keys.revoke(store, old.key.uid, now=NOON + 1).is_live(NOON + 1), "the grace can be cut short"


def test_a_revoked_key_is_not_rotated(store: Store) -> None:
    old = keys.create(store, "acme", now=NOON)
    keys.revoke(store, old.key.uid, now=NOON)
    with pytest.raises(UsageError, match="revoked already"):
        keys.rotate(store, old.key.uid, now=NOON)


def test_a_key_of_a_deleted_consumer_is_not_rotated(store: Store) -> None:
    old = keys.create(store, "acme", now=NOON)
    store.set_consumer_status("acme", ConsumerStatus.DELETED)
    with pytest.raises(UsageError, match="was deleted"):
        keys.rotate(store, old.key.uid, now=NOON)


@pytest.mark.parametrize("verb", [keys.revoke, keys.rotate])
def test_verbs_on_a_key_that_is_not_there(store: Store, verb: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="no key deadbeef") as refused:
        verb(store, "deadbeef", now=NOON)
    assert "keys list" in refused.value.remedy
