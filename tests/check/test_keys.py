"""What keys may be used for, and how the memory of them behaves while the store changes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from authz.check.call import Call
from authz.check.decide import Reason
from authz.check.keys import KeyCache, KnownKey
from authz.errors import StoreError
from authz.model.auth import AndroidApp, ApiTarget, Restrictions, key_digest
from authz.rulebook.book import OperationRule
from builders import NOW, SERVICE, a_check_request, a_key

RULE = OperationRule(SERVICE, "c", "1.api_example_test.GetShelf", "GetShelf")


def blocked(restrictions, headers=None, peer="192.0.2.7"):
    key = KnownKey(a_key(restrictions=restrictions))
    return key.blocks(Call(a_check_request("/x", headers, peer=peer)), RULE)


@pytest.mark.parametrize(
    ("allowed", "peer", "passes"),
    [
        (("192.0.2.7",), "192.0.2.7", True),
        (("192.0.2.0/24",), "192.0.2.7", True),
        (("192.0.2.5/24",), "192.0.2.7", True),
        (("192.0.3.0/24", "10.0.0.0/8"), "192.0.2.7", False),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "192.0.2.7", False),
        (("192.0.2.0/24",), "::ffff:192.0.2.7", True),
        (("not an address",), "192.0.2.7", False),
        (("0.0.0.0/0",), "", False),
        (("0.0.0.0/0",), "nonsense", False),
    ],
)
def test_address_restrictions(allowed, peer, passes):
    assert blocked(Restrictions(allow_ips=allowed), peer=peer) is (None if passes else Reason.KEY_ADDRESS)


@pytest.mark.parametrize(
    ("pattern", "referrer", "passes"),
    [
        ("https://example.com/*", "https://example.com/", True),
        ("https://example.com/*", "https://example.com", True),
        ("https://example.com/*", "https://example.com/a/b?c=d", True),
        ("https://example.com/*", "http://example.com/", False),
        ("https://example.com/*", "https://example.com.evil.test/", False),
        ("https://example.com/*", "https://evil.test/https://example.com/", False),
        ("https://example.com/*", "https://example.com@evil.test/", False),
        ("https://example.com/*", "https://example.com:8443/", False),
        ("https://example.com:8443/*", "https://example.com:8443/", True),
        ("example.com/*", "http://EXAMPLE.com/x", True),
        ("example.com", "https://example.com/any/page", True),
        ("*.example.com/*", "https://shop.example.com/", True),
        ("*.example.com/*", "https://a.b.example.com/", True),
        ("*.example.com/*", "https://example.com/", False),
        ("*.example.com/*", "https://evil.test/.example.com/", False),
        ("*.example.com/*", "https://evil.test?.example.com/", False),
        ("*.example.com/*", "https://evil.test#.example.com/", False),
        ("https://example.com/app/*", "https://example.com/app/1", True),
        ("https://example.com/app/*", "https://example.com/other", False),
        ("https://example.com/page", "https://example.com/page", True),
        ("https://example.com/page", "https://example.com/page2", False),
        ("exampleXcom/*", "https://example.com/", False),
        ("http://[::1]/*", "http://[::1]/x", True),
        ("*", "https://anything.test/", True),
        ("*", "", False),
        ("*", "https://[broken/", False),
        ("*", "https://host:99999/", False),
    ],
)
def test_referrer_restrictions(pattern, referrer, passes):
    headers = {"referer": referrer}

    assert blocked(Restrictions(allow_referrers=(pattern,)), headers) is (None if passes else Reason.KEY_REFERRER)


@pytest.mark.parametrize(
    ("pattern", "referrer"),
    [
        ("https://a.test/*/x*x*y", "https://a.test/" + "/x" * 25_000),
        ("*.*.a.test/*", f"https://{'.' * 50_000}/"),
        ("*a*a*a*.test/*", f"https://{'a' * 50_000}/"),
    ],
)
def test_no_referrer_takes_long_to_refuse(pattern, referrer):
    """Everybody waits for the one call that is judged: a long referrer must not be tried in every way."""
    started = time.process_time()

    assert blocked(Restrictions(allow_referrers=(pattern,)), {"referer": referrer}) is Reason.KEY_REFERRER
    assert time.process_time() - started < 0.5


def test_a_request_without_a_referrer_comes_from_no_page():
    assert blocked(Restrictions(allow_referrers=("*",))) is Reason.KEY_REFERRER


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"x-android-package": "com.shop", "x-android-cert": "DA39A3EE"}, True),
        ({"x-android-package": "com.shop", "x-android-cert": "da:39:a3:ee"}, True),
        ({"x-android-package": "com.shop", "x-android-cert": "00000000"}, False),
        ({"x-android-package": "com.evil", "x-android-cert": "DA39A3EE"}, False),
        ({"x-android-package": "com.shop,com.shop", "x-android-cert": "DA39A3EE"}, False),
        ({}, False),
    ],
)
def test_android_restrictions(headers, passes):
    restrictions = Restrictions(android_apps=(AndroidApp("com.shop", "DA:39:A3:EE"),))

    assert blocked(restrictions, headers) is (None if passes else Reason.KEY_APP)


@pytest.mark.parametrize(("bundle", "passes"), [("com.shop", True), ("com.Shop", False), ("", False)])
def test_ios_restrictions(bundle, passes):
    headers = {"x-ios-bundle-identifier": bundle}

    assert blocked(Restrictions(ios_bundles=("com.shop",)), headers) is (None if passes else Reason.KEY_APP)


@pytest.mark.parametrize(
    ("targets", "passes"),
    [
        ((ApiTarget(SERVICE),), True),
        ((ApiTarget(SERVICE, ("GetShelf",)),), True),
        ((ApiTarget(SERVICE, ("getshelf",)),), True),
        ((ApiTarget(SERVICE, ("1.api_example_test.GetShelf",)),), True),
        ((ApiTarget(SERVICE, ("Get*",)),), True),
        ((ApiTarget(SERVICE, (f"{SERVICE}.Get*",)),), True),
        ((ApiTarget(SERVICE, ("List*", "Put*")),), False),
        ((ApiTarget(SERVICE, ("Shelf",)),), False),
        ((ApiTarget(SERVICE, ("List*",)), ApiTarget(SERVICE, ("Get*",))), True),
        ((ApiTarget("other.example.test"),), False),
    ],
)
def test_target_restrictions(targets, passes):
    assert blocked(Restrictions(api_targets=targets)) is (None if passes else Reason.KEY_TARGET)


class Shelf:
    """A store of keys whose look-ups can be held back."""

    def __init__(self, *keys):
        self.keys = {key.digest: key for key in keys}
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def __call__(self, digest):
        self.asked.append(digest)
        found = self.keys.get(digest)
        assert self.gate.wait(5)
        if self.broken:
            raise StoreError("the store is away")
        return found


@pytest.fixture
def shelf():
    return Shelf(a_key())


@pytest.fixture
def cache(shelf):
    cache = KeyCache(shelf, 100)
    yield cache
    shelf.gate.set()
    cache.close()


GOOD, BAD = key_digest("good-key"), key_digest("bad-key")


async def test_known_and_unknown_keys_are_asked_for_once(cache, shelf):
    assert cache.get(GOOD) is None

    for digest in (GOOD, BAD):
        await cache.load(digest)

    assert cache.get(GOOD).consumer.number == 123456
    assert cache.get(BAD).consumer is None
    assert not cache.get(BAD).blocks(Call(b""), RULE)
    assert shelf.asked == [GOOD, BAD]


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the condition changes in another thread
        await asyncio.sleep(0)


async def test_callers_who_want_the_same_key_share_one_look_up(cache, shelf):
    shelf.gate.clear()
    waiting = [asyncio.ensure_future(cache.load(GOOD)) for _ in range(50)]
    await until(lambda: shelf.asked)
    waiting[0].cancel()
    shelf.gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert shelf.asked == [GOOD]
    assert cache.get(GOOD) is not None


async def test_a_key_revoked_while_it_is_read_is_not_remembered_as_good(cache, shelf):
    shelf.gate.clear()
    early = asyncio.ensure_future(cache.load(GOOD))
    await until(lambda: shelf.asked)
    shelf.keys[GOOD] = a_key(revoked_at=NOW - 1)
    cache.forget([GOOD])
    shelf.gate.set()
    await early

    assert cache.get(GOOD) is None

    await cache.load(GOOD)

    assert not cache.get(GOOD).is_live(NOW)


async def test_a_look_up_that_was_forgotten_does_not_end_its_successor(cache, shelf):
    shelf.gate.clear()
    first = asyncio.ensure_future(cache.load(GOOD))
    await until(lambda: len(shelf.asked) == 1)
    cache.clear()
    second = asyncio.ensure_future(cache.load(GOOD))
    await until(lambda: len(shelf.asked) == 2)
    shelf.gate.set()
    await asyncio.gather(first, second)

    assert cache.get(GOOD) is not None


async def test_a_store_that_fails_is_asked_again_and_nothing_is_remembered(cache, shelf):
    shelf.broken = True
    with pytest.raises(StoreError):
        await cache.load(GOOD)

    assert cache.get(GOOD) is None

    shelf.broken = False
    await cache.load(GOOD)

    assert cache.get(GOOD) is not None


async def test_a_flood_of_made_up_keys_neither_grows_the_memory_nor_pushes_real_keys_out(cache):
    await cache.load(GOOD)
    for number in range(300):
        await cache.load(key_digest(str(number)))

    assert len(cache) == 21
    assert cache.get(GOOD) is not None


async def test_the_key_that_was_not_used_for_longest_goes_first():
    keys = [a_key(str(number)) for number in range(101)]
    cache = KeyCache(Shelf(*keys), 100)
    for key in keys[:80]:
        await cache.load(key.digest)
    cache.get(keys[0].digest)
    await cache.load(keys[80].digest)
    cache.close()

    assert len(cache) == 80
    assert cache.get(keys[0].digest) is not None
    assert cache.get(keys[1].digest) is None


async def test_too_many_look_ups_at_once_are_refused(cache, shelf, monkeypatch):
    monkeypatch.setattr("authz.check.keys._MOST_LOOKUPS", 1)
    shelf.gate.clear()
    first = asyncio.ensure_future(cache.load(GOOD))
    await until(lambda: shelf.asked)
    with pytest.raises(StoreError, match="at once"):
        await cache.load(BAD)
    shelf.gate.set()
    await first


async def test_a_key_is_known_to_whoever_asks_just_as_its_answer_comes():
    """Between an answer and its callbacks lies a turn of the loop; under load many callers arrive in it."""
    cache = KeyCache(lambda _: a_key(), 10)
    digest = key_digest("good-key")
    first = asyncio.create_task(cache.load(digest))
    await asyncio.sleep(0)
    answer = cache._loading[digest]
    while not answer.done():  # noqa: ASYNC110 - every turn counts here; an event would come a turn later
        await asyncio.sleep(0)

    await cache.load(digest)

    assert cache.get(digest) is not None
    await first
    cache.close()
