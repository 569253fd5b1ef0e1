"""Walk 1: may this call pass? Keys and several ways in, through a real Envoy and the whole gateway."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from authz.admin import consumers, keys
from authz.model.auth import AndroidApp, ApiTarget, Restrictions
from harness.waiting import seconds_until, until
from walks.check_stage import KEYS, TOKENS, WAYS, Stage, a_stage, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory.mktemp("check")) as staged:
        yield staged


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_a_key_opens_and_tells_the_backend_who_called(stage: Stage) -> None:
    made = keys.create(stage.running.store, "berta", now=time.time())
    answer = await stage.get(KEYS, "/guarded", ("x-api-key", made.text))
    seen = stage.backend.seen[-1]

    assert answer.status == 200
    assert seen.header("x-endpoint-api-consumer-type") == "PROJECT"
    assert seen.header("x-endpoint-api-consumer-number") == str(made.key.consumer.number)
    assert seen.header("x-endpoint-api-operation-name") == "1.keys_example_test.Getguarded"
    assert seen.header("x-api-key") == made.text


async def test_without_a_key_or_with_a_wrong_one(stage: Stage) -> None:
    before = len(stage.backend.seen)
    none, wrong = await stage.get(KEYS, "/guarded"), await stage.get(KEYS, "/guarded", ("x-api-key", "wrong-key"))

    assert (none.status, wrong.status) == (401, 400)
    assert none.header("www-authenticate") == f'ApiKey realm="{KEYS}"'
    assert none.json()["code"] == 401
    assert "UNAUTHENTICATED: " in none.json()["message"]
    assert wrong.json()["message"].startswith("INVALID_ARGUMENT: ")
    assert len(stage.backend.seen) == before


@pytest.mark.parametrize("path", ["/guarded?key={}", "/guarded?a=b&api_key={}", "/guarded?key={}&x=%20"])
async def test_keys_in_the_query(stage: Stage, path: str) -> None:
    assert await stage.status(KEYS, path.format(stage.key())) == 200


async def test_a_declared_place_replaces_nothing_but_itself(stage: Stage) -> None:
    text = stage.key()

    assert await stage.status(KEYS, f"/cookie?k={text}") == 200


@pytest.mark.parametrize(
    ("restrictions", "headers", "status"),
    [
        (Restrictions(allow_ips=("127.0.0.0/8", "192.0.0.0/16")), [], 200),
        (Restrictions(allow_ips=("203.0.113.0/24",)), [], 403),
        (Restrictions(allow_ips=("203.0.113.0/24",)), [("x-forwarded-for", "203.0.113.9")], 403),
        (Restrictions(allow_referrers=("https://*.example.com/*",)), [("referer", "https://www.example.com/a")], 200),
        (
            Restrictions(allow_referrers=("https://*.example.com/*",)),
            [("referer", "https://evil.test/?.example.com/")],
            403,
        ),
        (Restrictions(allow_referrers=("https://*.example.com/*",)), [], 403),
        (
            Restrictions(android_apps=(AndroidApp("com.example", "DA:39:A3:EE" + ":00" * 16),)),
            [("x-android-package", "com.example"), ("x-android-cert", "DA39A3EE" + "00" * 16)],
            200,
        ),
        (Restrictions(android_apps=(AndroidApp("com.example", "00" * 20),)), [("x-android-package", "com.evil")], 403),
        (Restrictions(ios_bundles=("com.example",)), [("x-ios-bundle-identifier", "com.example")], 200),
        (Restrictions(ios_bundles=("com.example",)), [], 403),
        (Restrictions(api_targets=(ApiTarget(KEYS, ("Getguarded",)),)), [], 200),
        (Restrictions(api_targets=(ApiTarget(KEYS, ("Other",)),)), [], 403),
        (Restrictions(api_targets=(ApiTarget(TOKENS),)), [], 403),
    ],
)
async def test_restrictions(
    stage: Stage, restrictions: Restrictions, headers: list[tuple[str, str]], status: int
) -> None:
    assert await stage.with_key(stage.key(restrictions=restrictions), *headers) == status


async def test_a_key_of_another_service(stage: Stage) -> None:
    answer = await stage.get(KEYS, "/guarded", ("x-api-key", stage.key(services=[TOKENS])))

    assert answer.status == 403
    assert answer.json()["message"].startswith("PERMISSION_DENIED: ")
    assert await stage.with_key(stage.key(services=[KEYS])) == 200


async def test_an_imported_key(stage: Stage) -> None:
    assert await stage.with_key(stage.key(import_text="AIza-imported-key-of-old")) == 200


async def test_an_expired_key_reads_like_an_unknown_one(stage: Stage) -> None:
    text = stage.key(expires=1.0)
    assert await stage.with_key(text) == 200

    async def over() -> bool:
        return await stage.with_key(text) == 400

    await until(over, within=3)
    expired, unknown = [await stage.get(KEYS, "/guarded", ("x-api-key", one)) for one in (text, "no-such-key")]
    assert (expired.status, expired.body) == (unknown.status, unknown.body)


async def test_a_revoked_key_stops_within_a_second(stage: Stage) -> None:
    took = []
    for _ in range(3):
        text = stage.key()
        assert await stage.with_key(text) == 200
        keys.revoke(stage.running.store, text, now=time.time())

        async def refused(text: str = text) -> bool:
            return await stage.with_key(text) == 400

        took.append(await seconds_until(refused))

    assert max(took) < 1.0, took


async def test_a_key_made_after_it_was_tried_works_within_a_second(stage: Stage) -> None:
    text = "imported-after-the-first-try"
    assert await stage.with_key(text) == 400
    stage.key(import_text=text)

    async def opens() -> bool:
        return await stage.with_key(text) == 200

    assert await seconds_until(opens) < 1.0


async def test_rotating_leaves_a_grace(stage: Stage) -> None:
    old = stage.key()
    assert await stage.with_key(old) == 200
    new = keys.rotate(stage.running.store, old, grace="1s", now=time.time()).text

    assert (await stage.with_key(old), await stage.with_key(new)) == (200, 200)

    async def old_is_over() -> bool:
        return await stage.with_key(old) == 400

    await until(old_is_over, within=3)
    assert await stage.with_key(new) == 200


async def test_a_suspended_consumer(stage: Stage) -> None:
    text = stage.key("carla")
    assert await stage.with_key(text) == 200

    async def answers(status: int) -> bool:
        return await stage.with_key(text) == status

    consumers.suspend(stage.running.store, "carla")
    assert await seconds_until(lambda: answers(403)) < 1.0
    consumers.activate(stage.running.store, "carla")
    assert await seconds_until(lambda: answers(200)) < 1.0
    consumers.delete(stage.running.store, "carla")
    assert await seconds_until(lambda: answers(403)) < 1.0


# -- several ways in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key", "token", "status"),
    [
        ("/either", None, None, 401),
        ("/either", "good", None, 200),
        ("/either", None, "good", 200),
        ("/either", "good", "good", 200),
        ("/either", "bad", None, 400),
        ("/either", None, "bad", 401),
        ("/both", "good", None, 401),
        ("/both", None, "good", 401),
        ("/both", "good", "good", 200),
        ("/both", "bad", "good", 400),
        ("/both", "good", "bad", 401),
        ("/optional", None, None, 200),
        ("/optional", "good", None, 200),
        ("/optional", "bad", None, 400),
    ],
)
async def test_alternatives(stage: Stage, path: str, key: str | None, token: str | None, status: int) -> None:
    headers = []
    if key:
        headers.append(("x-api-key", stage.key() if key == "good" else "no-such-key"))
    if token:
        headers.append(bearer(stage.token("jwks", host=WAYS, exp=2**33 if token == "good" else 1)))

    assert await stage.status(WAYS, path, *headers) == status
