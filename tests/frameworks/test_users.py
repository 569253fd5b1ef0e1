"""Who calls: believed of a gateway that is known, and of nobody else."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from authz.frameworks.exceptions import InvalidGetUserCall
from authz.frameworks.serve import api_server, asgi_server
from authz.frameworks.users import Trust, User, get_current_user
from frameworks.callers import Ask, Given, a_method, asgi, asgi_call, declared, wsgi

SECRET = "s3cret of the gateway"
CLAIMS = {"sub": "u1", "iss": "https://issuer.example", "email": "ann@example.com", "aud": ["a", "b"], "admin": True}


def info(**claims: Any) -> str:
    return urlsafe_b64encode(json.dumps(claims or CLAIMS).encode()).decode().rstrip("=")


def whoami(_given: Given) -> Any:
    user = get_current_user()
    return user and user.user_id()


def whoami_services() -> Any:
    return declared(a_method("/shop/v1/me", whoami))


def asked(headers: list[tuple[str, str]], address: str | None = "192.0.2.1", **options: Any) -> set[Any]:
    """What both servers believe, which is one answer."""
    ask = Ask("GET", "/api/shop/v1/me", headers=headers, address=address)
    web, asynchronous = api_server(whoami_services(), **options), asgi_server(whoami_services(), **options)
    said = {wsgi(web, ask).json, asgi(asynchronous, ask).json}
    asynchronous.close()
    return said


INFO = ("X-Endpoint-API-UserInfo", info())
KEY = ("X-Authz-Gateway-Secret", SECRET)


def test_a_secret_makes_the_gateway_known() -> None:
    assert asked([INFO, KEY], gateway_secret=SECRET) == {"u1"}


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.0/24", " 192.0.2.0/24 "], "192.0.2.77"),
        (["2001:db8::/32"], "2001:db8::7"),
        (["127.0.0.1"], "::ffff:127.0.0.1"),
        (["fe80::/10"], "fe80::1%eth0"),
    ],
)
def test_an_address_makes_the_gateway_known(networks: list[str], address: str) -> None:
    assert asked([INFO], address, trusted_gateways=networks) == {"u1"}


@pytest.mark.parametrize(
    "headers",
    [
        [INFO],
        [INFO, ("X-Authz-Gateway-Secret", "")],
        [INFO, ("X-Authz-Gateway-Secret", SECRET[:-1])],
        [INFO, ("X-Authz-Gateway-Secret", SECRET.upper())],
        [INFO, ("X-Authz-Gateway-Secret", "sécret")],
        [INFO, KEY, KEY],
        [INFO, KEY, ("X-Authz-Gateway-Secret", "guess")],
        [KEY],
        [],
    ],
)
def test_nobody_else_is_believed(headers: list[tuple[str, str]]) -> None:
    assert asked(headers, gateway_secret=SECRET) == {None}
    assert asked(headers) == {None}


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8::1", "localhost", "", None, "/run/web.sock"])
def test_other_addresses_are_not_believed(address: str | None) -> None:
    assert asked([INFO], address, trusted_gateways=["192.0.2.1", "127.0.0.0/8"]) == {None}


def test_forwarded_addresses_are_no_addresses() -> None:
    assert asked([INFO, ("X-Forwarded-For", "192.0.2.9")], trusted_gateways=["192.0.2.9"]) == {None}


@pytest.mark.parametrize(
    "told",
    [
        "", "=", "%%%", "a", info() + "," + info(), info() + " ", info()[:-5] + "!" + info()[-4:],
        urlsafe_b64encode(b"[1]").decode(), urlsafe_b64encode(b"null").decode(), urlsafe_b64encode(b"{").decode(),
        urlsafe_b64encode(b"\xff\xfe{}").decode(), urlsafe_b64encode(b"[" * 40_000).decode(), "A" * 70_000,
    ],
)  # fmt: skip
def test_garbled_user_info_is_nobody(told: str) -> None:
    assert asked([("X-Endpoint-API-UserInfo", told), KEY], gateway_secret=SECRET) == {None}


def test_doubled_user_info_is_nobody() -> None:
    assert asked([INFO, ("X-Endpoint-API-UserInfo", info(sub="u2")), KEY], gateway_secret=SECRET) == {None}


def test_padding_is_no_difference() -> None:
    told = urlsafe_b64encode(json.dumps({"sub": "u1"}).encode()).decode()

    assert told.endswith("=")
    assert asked([("X-Endpoint-API-UserInfo", told), KEY], gateway_secret=SECRET) == {"u1"}


def test_the_prefix_is_the_gateways() -> None:
    headers = [("X-Mine-API-UserInfo", info(sub="u2")), INFO, KEY]

    assert asked(headers, gateway_secret=SECRET, header_prefix="X-Mine-") == {"u2"}


def test_the_environment_says_what_the_code_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHZ_GATEWAY_SECRET", SECRET)
    assert asked([INFO, KEY]) == {"u1"}
    assert asked([INFO, KEY], gateway_secret="another") == {None}
    assert asked([INFO, KEY], gateway_secret="") == {None}

    monkeypatch.setenv("AUTHZ_TRUSTED_GATEWAYS", "198.51.100.1, 192.0.2.0/24,")
    assert asked([INFO]) == {"u1"}
    assert asked([INFO], trusted_gateways=[]) == {None}


@pytest.mark.parametrize(
    ("options", "mentions"),
    [
        ({"trusted_gateways": ["gateway.example"]}, "gateway.example"),
        ({"trusted_gateways": ["10.0.0.1/8"]}, "10.0.0.1/8"),
        ({"gateway_secret": " padded"}, "gateway_secret"),
        ({"gateway_secret": "two\nlines"}, "gateway_secret"),
        ({"gateway_secret": "sécret"}, "gateway_secret"),
    ],
)
def test_what_cannot_be_trusted_is_refused_when_the_server_is_made(options: Any, mentions: str) -> None:
    for make in (api_server, asgi_server):
        with pytest.raises(ValueError, match=mentions) as told:
            make(whoami_services(), **options)
        assert "sécret" not in str(told.value)


def test_one_list_is_not_one_string() -> None:
    with pytest.raises(TypeError, match="trusted_gateways"):
        api_server(whoami_services(), trusted_gateways="10.0.0.1")


def test_a_stranger_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    app = api_server(whoami_services(), gateway_secret=SECRET)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            wsgi(app, Ask("GET", "/api/shop/v1/me", headers=[INFO, ("X-Authz-Gateway-Secret", "guess")]))

    (message,) = caplog.messages
    assert "192.0.2.1" in message
    assert "trusted_gateways" in message
    assert "gateway_secret" in message
    assert SECRET not in message
    assert "guess" not in message
    assert INFO[1] not in message


def test_a_secret_is_not_shown() -> None:
    assert SECRET not in repr(Trust.made([], SECRET))


def test_all_that_a_user_says() -> None:
    user = User.of(CLAIMS)

    assert (user.subject, user.issuer, user.audiences) == ("u1", "https://issuer.example", ("a", "b"))
    assert (user.email(), user.nickname(), user.auth_domain(), user.user_id()) == (
        "ann@example.com", "ann", "example.com", "u1",
    )  # fmt: skip
    assert user.claims["admin"] is True


def test_a_user_may_say_little() -> None:
    user = User.of({"sub": 5, "aud": "a", "email": ""})

    assert (user.subject, user.audiences, user.email(), user.nickname(), user.auth_domain()) == (
        None, ("a",), None, None, None,
    )  # fmt: skip
    assert User.of({"sub": "u1"}).nickname() == "u1"


def test_outside_a_request_there_is_nobody_to_ask_for() -> None:
    with pytest.raises(InvalidGetUserCall, match="outside of a request"):
        get_current_user()


def test_after_a_request_nothing_is_left() -> None:
    async def call() -> None:
        app = asgi_server(whoami_services(), gateway_secret=SECRET)
        await asgi_call(app, Ask("GET", "/api/shop/v1/me", headers=[INFO, KEY]))
        app.close()
        with pytest.raises(InvalidGetUserCall):
            get_current_user()

    asyncio.run(call())
    wsgi(api_server(whoami_services(), gateway_secret=SECRET), Ask("GET", "/api/shop/v1/me", headers=[INFO, KEY]))
    with pytest.raises(InvalidGetUserCall):
        get_current_user()


CALLS = 60


def as_user(number: int) -> Ask:
    headers = [("X-Endpoint-API-UserInfo", info(sub=f"u{number}")), KEY] if number % 3 else []
    return Ask("GET", "/api/shop/v1/me", headers=headers)


def expected(number: int) -> Any:
    return [f"u{number}" if number % 3 else None] * 2


def test_users_of_calls_at_the_same_time_are_kept_apart_in_threads() -> None:
    together = threading.Barrier(CALLS)

    def slow(_given: Given) -> Any:
        before = whoami(_given)
        together.wait(20)
        return [before, whoami(_given)]

    app = api_server(declared(a_method("/shop/v1/me", slow)), gateway_secret=SECRET)
    with ThreadPoolExecutor(CALLS) as pool:
        replies = list(pool.map(lambda number: wsgi(app, as_user(number)).json, range(CALLS)))

    assert replies == [expected(number) for number in range(CALLS)]


@pytest.mark.parametrize("style", ["async", "threads"])
def test_users_of_calls_at_the_same_time_are_kept_apart_in_a_loop(style: str) -> None:
    async def call() -> list[Any]:
        waiting, everybody = asyncio.Semaphore(0), asyncio.Event()
        barrier = threading.Barrier(CALLS)

        async def slow(_given: Given) -> Any:
            before = whoami(_given)
            waiting.release()
            await everybody.wait()
            return [before, whoami(_given)]

        def blocking(_given: Given) -> Any:
            before = whoami(_given)
            barrier.wait(20)
            return [before, whoami(_given)]

        method = a_method("/shop/v1/me", slow if style == "async" else blocking)
        app = asgi_server(declared(method), gateway_secret=SECRET, threads=CALLS)
        calls = [asyncio.create_task(asgi_call(app, as_user(number))) for number in range(CALLS)]
        if style == "async":
            for _ in range(CALLS):
                await waiting.acquire()
            everybody.set()
        replies = [reply.json for reply in await asyncio.gather(*calls)]
        app.close()
        return replies

    assert asyncio.run(call()) == [expected(number) for number in range(CALLS)]


def test_users_of_coroutines_behind_wsgi_are_kept_apart() -> None:
    async def slow(_given: Given) -> Any:
        before = whoami(_given)
        await asyncio.sleep(0)
        return [before, whoami(_given)]

    app = api_server(declared(a_method("/shop/v1/me", slow)), gateway_secret=SECRET)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: wsgi(app, as_user(number)).json, range(CALLS)))
    app.close()

    assert replies == [expected(number) for number in range(CALLS)]


OUTER: contextvars.ContextVar[str] = contextvars.ContextVar("outer", default="unset")


@pytest.mark.parametrize("is_async", [True, False])
def test_methods_see_the_context_of_whoever_called_the_server(is_async: bool) -> None:
    """Middleware puts spans and the like there."""

    async def later(_given: Given) -> str:
        return OUTER.get()

    def now(_given: Given) -> str:
        return OUTER.get()

    services = declared(a_method("/shop/v1/me", later if is_async else now))
    token = OUTER.set("set")
    try:
        web, asynchronous = api_server(services), asgi_server(services)
        assert wsgi(web, Ask("GET", "/api/shop/v1/me")).json == "set"
        assert asgi(asynchronous, Ask("GET", "/api/shop/v1/me")).json == "set"
        web.close()
        asynchronous.close()
    finally:
        OUTER.reset(token)
