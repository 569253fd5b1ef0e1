"""What both servers do with requests, good and bad: one table, WSGI and ASGI."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import logging
import socket
import threading
import time
import zlib
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from authz.frameworks import exceptions, remote
from authz.frameworks.exceptions import ApiConfigurationError, InvalidValue, ServiceException
from authz.frameworks.serve import api_server, asgi_server
from frameworks.callers import (
    Ask,
    Caller,
    Declared,
    Given,
    Reply,
    a_method,
    an_api,
    asgi,
    asgi_call,
    declared,
    environ,
    scope,
    wsgi,
)
from frameworks.sockets import over_uvicorn, over_wsgiref

BOTH = pytest.mark.parametrize(("call", "make"), [(wsgi, api_server), (asgi, asgi_server)], ids=["wsgi", "asgi"])
ECHO = "/api/shop/v1/echo"


async def later(given: Given) -> Any:
    return given.told()


def services(**more: Any) -> Any:
    return declared(
        a_method("/shop/v1/echo", verb="POST"),
        a_method("/shop/v1/later", later, verb="POST"),
        a_method("/shop/v1/items/{id}", verb="GET"),
        a_method("/shop/v1/items/{id}", lambda _: None, verb="DELETE"),
        **more,
    )


def reply(call: Caller, make: Any, ask: Ask, things: Any = None, **options: Any) -> Reply:
    app = make(services() if things is None else things, **options)
    try:
        return call(app, ask)
    finally:
        app.close()


def raising(error: BaseException) -> Any:
    def method(_given: Given) -> None:
        raise error

    async def method_async(_given: Given) -> None:
        raise error

    return declared(a_method("/shop/v1/echo", method, "POST"), a_method("/shop/v1/later", method_async, "POST"))


# -- ordinary ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("path", [ECHO, "/api/shop/v1/later", "/api/shop/v1/later/"])
def test_a_call(call: Caller, make: Any, path: str) -> None:
    told = reply(call, make, Ask("POST", f"{path}?a=1&b=x+y%20z&a=&c", b'{"n": [1, {"\xc3\xa9": null}]}'))

    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    assert told.headers["content-length"] == str(len(told.body))
    assert told.json == {
        "path": {}, "query": [["a", "1"], ["b", "x y z"], ["a", ""], ["c", ""]], "body": {"n": [1, {"é": None}]},
    }  # fmt: skip


@BOTH
def test_nothing_to_say_is_204(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("DELETE", "/api/shop/v1/items/7"))

    assert (told.status, told.body, told.headers) == (204, b"", {})


@BOTH
def test_head_is_get_without_the_body(call: Caller, make: Any) -> None:
    get, head = (reply(call, make, Ask(verb, "/api/shop/v1/items/7")) for verb in ("GET", "HEAD"))

    assert (head.status, head.headers, head.body) == (200, get.headers, b"")
    assert reply(call, make, Ask("HEAD", ECHO)).status == 405


@BOTH
@pytest.mark.parametrize("verb", ["GET", "PUT", "TRACE", "BREW"])
def test_a_known_path_tells_what_it_takes(call: Caller, make: Any, verb: str) -> None:
    told = reply(call, make, Ask(verb, ECHO))

    assert (told.status, told.headers["allow"]) == (405, "POST")
    assert told.error["errors"][0]["reason"] == "unsupportedMethod"


@BOTH
def test_options_tells_what_a_path_takes(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("OPTIONS", "/api/shop/v1/items/7"))

    assert (told.status, told.headers["allow"], told.body) == (204, "DELETE, GET", b"")
    assert reply(call, make, Ask("OPTIONS", "/api/shop/v1/nosuch")).status == 404


@BOTH
@pytest.mark.parametrize("path", ["/", "/api", "/api/shop/1.0.0/echo", "/shop/v1/echo", "/api/Shop/v1/echo", "/api//"])
def test_unknown_paths(call: Caller, make: Any, path: str) -> None:
    told = reply(call, make, Ask("POST", path, b"{bad"))

    assert (told.status, told.headers["content-type"], told.body) == (404, "text/plain", b"Not Found")


@BOTH
def test_apis_side_by_side(call: Caller, make: Any) -> None:
    things = [
        Declared((an_api(a_method("/shop/v1/a", lambda _: 1)),)),
        Declared((replace(an_api(a_method("/shop/v2/a", lambda _: 2)), version="v2", path_version="v2"),)),
        Declared((an_api(a_method("/menu/v1/a", lambda _: 3), name="menu", base_path="/"),)),
    ]  # fmt: skip

    said = [
        reply(call, make, Ask("GET", path), things).json for path in ("/api/shop/v1/a", "/api/shop/v2/a", "/menu/v1/a")
    ]

    assert said == [1, 2, 3]


# -- what a method raises ---------------------------------------------------------------------------------------------

STATUSES = {
    "BadRequestException": (400, "badRequest"), "UnauthorizedException": (401, "required"),
    "ForbiddenException": (403, "forbidden"), "NotFoundException": (404, "notFound"),
    "ConflictException": (409, "conflict"), "GoneException": (410, "deleted"),
    "PreconditionFailedException": (412, "conditionNotMet"),
    "RequestEntityTooLargeException": (413, "uploadTooLarge"),
    "InternalServerErrorException": (500, "backendError"),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("path", [ECHO, "/api/shop/v1/later"])
@pytest.mark.parametrize("name", STATUSES)
def test_raised_exceptions_keep_their_status(call: Caller, make: Any, path: str, name: str) -> None:
    status, reason = STATUSES[name]

    told = reply(call, make, Ask("POST", path), raising(getattr(exceptions, name)("wörds")))

    assert told.status == status
    assert told.headers["content-type"] == "application/json"
    assert told.json == {
        "error": {
            "code": status, "message": "wörds",
            "errors": [{"domain": "global", "reason": reason, "message": "wörds"}],
        }
    }  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    ("said", "status"),
    [(402, 402), (405, 405), (408, 408), (418, 418), (429, 429), (499, 499), (503, 503), (HTTPStatus.LOCKED, 423),
     (302, 404), (200, 500), (99, 500), (600, 500), ("404", 500), (None, 500), (True, 500)],
)  # fmt: skip
def test_own_statuses(call: Caller, make: Any, said: Any, status: int) -> None:
    own = type("Own", (ServiceException,), {"http_status": said})

    told = reply(call, make, Ask("POST", ECHO), raising(own("pay")))

    assert (told.status, told.error["code"]) == (status, status)
    assert told.error["message"] == ("pay" if said != 200 and status != 500 else "Internal Server Error")


@BOTH
def test_an_exception_without_words(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("POST", ECHO), raising(exceptions.NotFoundException()))

    assert told.error == {
        "code": 404, "message": "", "errors": [{"domain": "global", "reason": "notFound", "message": ""}],
    }  # fmt: skip


@BOTH
def test_application_errors_are_400(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("POST", ECHO), raising(remote.ApplicationError("app message", "SOME_NAME")))

    assert (told.status, told.error["message"]) == (400, "app message")


@BOTH
@pytest.mark.parametrize("path", [ECHO, "/api/shop/v1/later"])
@pytest.mark.parametrize("error", [ValueError("secret"), RecursionError("secret"), MemoryError("secret")])
def test_other_exceptions_are_500_and_keep_their_words(
    call: Caller, make: Any, path: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        told = reply(call, make, Ask("POST", path), raising(error))

    assert (told.status, told.error["message"]) == (500, "Internal Server Error")
    assert b"secret" not in told.body
    assert "secret" in caplog.text


@BOTH
def test_an_answer_that_is_none_is_500(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("POST", ECHO), declared(a_method("/shop/v1/echo", lambda _: object(), "POST")))

    assert told.status == 500


@BOTH
def test_a_wrong_parameter_is_named(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("POST", ECHO), raising(InvalidValue("Invalid: 'x'.", "ri[1]", "parameter")))

    assert told.error["errors"] == [
        {"domain": "global", "reason": "invalidParameter", "message": "Invalid: 'x'.",
         "locationType": "parameter", "location": "ri[1]"}
    ]  # fmt: skip


# -- bodies -----------------------------------------------------------------------------------------------------------

JSON = ("content-type", "application/json")
FORM = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8")

_GOOD: dict[str, tuple[bytes, list[tuple[str, str]], Any]] = {
    "nothing": (b"", [JSON], "ABSENT"),
    "an object": (b" {} ", [JSON], {}),
    "no type": (b'{"a": 1}', [], {"a": 1}),
    "another type": (b'{"a": 1}', [("content-type", "text/plain")], {"a": 1}),
    "the last of two": (b'{"a": 1, "a": 2}', [JSON], {"a": 2}),
    "a huge integer": (b'{"a": ' + b"9" * 4000 + b"}", [JSON], {"a": int("9" * 4000)}),
    "brackets in strings": (b'{"a": "' + b"[{" * 500 + rb'\"[\\"}', [JSON], {"a": "[{" * 500 + '"[' + "\\"}),
    "wide and flat": (b'{"a": [' + b",".join([b"[]"] * 1000) + b"]}", [JSON], {"a": [[]] * 1000}),
    "what curl calls a form": (b' {"a": 1}', [FORM], {"a": 1}),
    "a form": (b"a=1&b=x+y&b=%C3%A9", [FORM], {"a": "1", "b": ["x y", "é"]}),
    "gzip": (gzip.compress(b'{"a": 1}'), [JSON, ("content-encoding", "gzip")], {"a": 1}),
    "two of gzip": (gzip.compress(b'{"a"') + gzip.compress(b": 1}"), [("content-encoding", "GZip")], {"a": 1}),
    "identity": (b'{"a": 1}', [("content-encoding", "identity")], {"a": 1}),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("case", _GOOD)
def test_bodies_that_are_read(call: Caller, make: Any, case: str) -> None:
    body, headers, wanted = _GOOD[case]

    told = reply(call, make, Ask("POST", ECHO, body, headers))

    assert (told.status, told.json["body"]) == (200, wanted)


_DEEP = 100
_BAD_BODIES: dict[str, tuple[bytes, list[tuple[str, str]], int]] = {
    "garbage": (b"{bad json", [JSON], 400),
    "a list": (b'[{"a": 1}]', [JSON], 400),
    "an empty list": (b"[]", [JSON], 400),
    "a number": (b"5", [JSON], 400),
    "a string": (b'"str"', [JSON], 400),
    "null": (b"null", [JSON], 400),
    "true": (b"true", [JSON], 400),
    "a space": (b" ", [JSON], 400),
    "two objects": (b"{}{}", [JSON], 400),
    "NaN": (b'{"a": NaN}', [JSON], 400),
    "minus Infinity": (b'{"a": [-Infinity]}', [JSON], 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", [JSON], 400),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), [("content-type", "application/json; charset=latin-1")], 400),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), [JSON], 400),
    "half a character": (b'{"a": "\xc3"}', [JSON], 400),
    "an endless integer": (b'{"a": ' + b"9" * 5000 + b"}", [JSON], 400),
    "too deep": (b'{"a":' * (_DEEP + 1) + b"1" + b"}" * (_DEEP + 1), [JSON], 400),
    "far too deep": (b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}", [JSON], 400),
    "deep and broken": (b"[{" * 500_000, [JSON], 400),
    "deep with a stray quote": (b'"' + b"[" * 500_000, [JSON], 400),
    "broken JSON that is called a form": (b'{"a": 1', [FORM], 400),
    "a list that is called a form": (b"[]", [FORM], 400),
    "a form that is none": (b"%ff=%fe", [FORM], 400),
    "a form of too many": (b"&".join([b"a=1"] * 1001), [FORM], 400),
    "XML": (b"<a/>", [("content-type", "application/xml")], 400),
    "parts": (b"--x\r\n\r\n1\r\n--x--", [("content-type", "multipart/form-data; boundary=x")], 400),
    "no gzip": (b'{"a": 1}', [("content-encoding", "gzip")], 400),
    "half of gzip": (gzip.compress(b'{"a": 1}')[:-9], [("content-encoding", "gzip")], 400),
    "gzip and more": (gzip.compress(b'{"a": 1}') + b"more", [("content-encoding", "gzip")], 400),
    "a bomb": (gzip.compress(b" " * 50_000_000 + b"{}"), [("content-encoding", "gzip")], 413),
    "many small bombs": (gzip.compress(b" " * 3_000_000) * 3, [("content-encoding", "gzip")], 413),
    "deflate": (zlib.compress(b"{}"), [("content-encoding", "deflate")], 415),
    "br": (b"{}", [("content-encoding", "br")], 415),
    "gzip twice": (gzip.compress(gzip.compress(b"{}")), [("content-encoding", "gzip, gzip")], 415),
    "too long": (b'{"a": "' + b"x" * 4_200_000 + b'"}', [JSON], 413),
    "a length that is none": (b"{}", [("content-length", "two")], 400),
    "a negative length": (b"{}", [("content-length", "-2")], 400),
    "a length of digits elsewhere": (b"{}", [("content-length", "\xb2")], 400),
    "two lengths": (b"{}", [("content-length", "2"), ("content-length", "2")], 400),
    "an endless length": (b"{}", [("content-length", "9" * 500)], 413),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("path", [ECHO, "/api/shop/v1/later"])
@pytest.mark.parametrize("case", _BAD_BODIES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bodies_that_are_refused(call: Caller, make: Any, path: str, case: str) -> None:
    body, headers, status = _BAD_BODIES[case]
    calls: list[Any] = []
    things = declared(a_method("/shop/v1/echo", calls.append, "POST"), a_method("/shop/v1/later", calls.append, "POST"))

    told = reply(call, make, Ask("POST", path, body, headers), things)

    assert told.status == status
    assert told.error["code"] == status
    assert len(told.body) < 1000
    assert calls == []


@BOTH
def test_the_depth_that_just_passes(call: Caller, make: Any) -> None:
    body = b'{"a":' * _DEEP + b"1" + b"}" * _DEEP

    assert reply(call, make, Ask("POST", ECHO, body, [JSON])).status == 200
    assert reply(call, make, Ask("POST", ECHO, body, [JSON]), max_depth=_DEEP - 1).status == 400


@BOTH
def test_the_length_that_just_passes(call: Caller, make: Any) -> None:
    assert reply(call, make, Ask("POST", ECHO, b'{"a":1}'), max_body=7).status == 200
    assert reply(call, make, Ask("POST", ECHO, b'{"a":1}'), max_body=6).status == 413
    assert reply(call, make, Ask("POST", ECHO, gzip.compress(b'{"a":1}'), [("content-encoding", "gzip")]), max_body=30)


@BOTH
def test_a_body_of_nothing_but_ends_costs_no_more_than_its_size(call: Caller, make: Any) -> None:
    member = gzip.compress(b"", mtime=0)
    body = member * 100_000 + gzip.compress(b'{"a": 1}')
    before = time.process_time()

    assert reply(call, make, Ask("POST", ECHO, body, [JSON, ("content-encoding", "gzip")])).status == 200
    assert time.process_time() - before < 2  # 0.15 s; it was 10 s when each end copied all that follows it


@BOTH
@pytest.mark.parametrize(
    ("url", "status"),
    [(f"{ECHO}?a=%ff", 400), (f"{ECHO}?" + "a=1&" * 1001, 400), ("/api/shop/v1/items/%ff", 400), (f"{ECHO}?%%&;", 200),
     ("/api/shop/v1/items/%00", 200), ("/api/shop/v1/items/..", 200), ("/api/shop/v1/items/%", 200)],
)  # fmt: skip
def test_strange_urls(call: Caller, make: Any, url: str, status: int) -> None:
    assert reply(call, make, Ask("GET" if "items" in url else "POST", url)).status == status


def test_a_body_without_an_announced_length_is_bounded_too() -> None:
    pieces = iter([{"type": "http.request", "body": b"x" * 1000, "more_body": True}] * 5000)
    taken = 0

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        return next(pieces)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asgi_server(services(), max_body=10_000)(scope(Ask("POST", ECHO)), receive, send))

    assert sent[0]["status"] == 413
    assert taken == 11


def test_a_wsgi_server_that_reads_chunks_itself_says_so() -> None:
    app = api_server(services(), max_body=100)
    chunked = [("transfer-encoding", "chunked")]

    ended = {"wsgi.input_terminated": True}
    assert wsgi(app, Ask("POST", ECHO, b'{"a":1}', chunked), **ended).json["body"] == {"a": 1}
    assert wsgi(app, Ask("POST", ECHO, b"x" * 101, chunked), **ended).status == 413
    assert wsgi(app, Ask("POST", ECHO, b'{"a":1}', chunked)).status == 411


def test_a_body_shorter_than_announced_is_400() -> None:
    ask = Ask("POST", ECHO, b'{"a":1}', [("content-length", "50")])

    assert wsgi(api_server(services()), ask).status == 400


def test_wsgi_paths_that_are_no_text_are_400() -> None:
    made = environ(Ask("GET", "/api/shop/v1/items/x")) | {"PATH_INFO": "/api/shop/v1/items/\xff"}
    told: list[str] = []

    api_server(services())(made, lambda status, _headers: told.append(status))

    assert told == ["400 Bad Request"]


@pytest.mark.parametrize("name", ["REQUEST_URI", "RAW_URI"])
@pytest.mark.parametrize(
    ("raw", "status", "value"),
    [
        ("/api/shop/v1/items/a%2Bb+c?x=%41", 200, "a+b c"),
        ("http://api.example.com/api/shop/v1/items/a%2Bb+c", 200, "a b c"),
        ("/something/else", 200, "a b c"),
    ],
)
def test_wsgi_servers_that_tell_the_path_as_it_came(name: str, raw: str, status: int, value: str) -> None:
    told = wsgi(api_server(services()), Ask("GET", "/api/shop/v1/items/a%2Bb+c"), **{name: raw})

    assert (told.status, told.json["path"]["id"]) == (status, value)


# -- callers that go away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ECHO, "/api/shop/v1/later"])
def test_a_caller_that_leaves_while_sending_is_not_served(path: str) -> None:
    calls: list[Any] = []
    pieces = [{"type": "http.request", "body": b'{"a"', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    things = declared(a_method("/shop/v1/echo", calls.append, "POST"), a_method("/shop/v1/later", calls.append, "POST"))
    asyncio.run(asgi_server(things)(scope(Ask("POST", path)), receive, send))

    assert calls == []


def test_a_call_that_is_cancelled_leaves_nothing_behind() -> None:
    async def run() -> None:
        started = asyncio.Event()

        async def endless(_given: Given) -> None:
            started.set()
            await asyncio.Event().wait()

        app = asgi_server([*declared(a_method("/shop/v1/wait", endless), a_method("/shop/v1/x"))])
        task = asyncio.create_task(asgi_call(app, Ask("GET", "/api/shop/v1/wait")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asgi_call(app, Ask("GET", "/api/shop/v1/x"))).status == 200
        app.close()

    asyncio.run(run())


def test_closing_ends_calls_that_would_not_end() -> None:
    started = threading.Event()

    async def endless(_given: Given) -> None:
        started.set()
        await asyncio.Event().wait()

    app = api_server(declared(a_method("/shop/v1/wait", endless)))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(wsgi, app, Ask("GET", "/api/shop/v1/wait"))
        assert started.wait(10)
        app.close()
        with pytest.raises(CancelledError):
            call.result(10)


def test_a_server_that_says_so_when_the_caller_is_gone() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(_message: Any) -> None:
        raise OSError

    asyncio.run(asgi_server(services())(scope(Ask("GET", "/api/shop/v1/nosuch")), receive, send))


# -- browsers ---------------------------------------------------------------------------------------------------------

ORIGIN = ("Origin", "https://a.example")
ASKS = ("Access-Control-Request-Method", "POST")


@BOTH
def test_without_a_word_no_page_may_call(call: Caller, make: Any) -> None:
    for ask in (Ask("OPTIONS", ECHO, headers=[ORIGIN, ASKS]), Ask("POST", ECHO, headers=[ORIGIN])):
        told = reply(call, make, ask)
        assert not [name for name in told.headers if name.startswith("access-control") or name == "vary"]


@BOTH
@pytest.mark.parametrize("path", [ECHO, "/api/shop/v1/nosuch"])
def test_a_page_of_a_named_origin_may_ask(call: Caller, make: Any, path: str) -> None:
    headers = [ORIGIN, ASKS, ("Access-Control-Request-Headers", "authorization,x-y")]

    told = reply(call, make, Ask("OPTIONS", path, headers=headers), cors_origins=["https://a.example"])

    assert (told.status, told.body) == (200, b"")
    assert told.headers["access-control-allow-origin"] == "https://a.example"
    assert told.headers["access-control-allow-credentials"] == "true"
    assert told.headers["access-control-allow-headers"] == "authorization,x-y"
    assert set(told.headers["access-control-allow-methods"].split(",")) == {"DELETE", "GET", "PATCH", "POST", "PUT"}
    assert told.headers["vary"] == "Origin"


@BOTH
@pytest.mark.parametrize(
    ("ask", "status"), [(Ask("POST", ECHO, b"{"), 400), (Ask("GET", "/x"), 404), (Ask("GET", ECHO), 405)]
)
def test_errors_can_be_read_by_pages_too(call: Caller, make: Any, ask: Ask, status: int) -> None:
    told = reply(call, make, Ask(ask.method, ask.url, ask.body, [ORIGIN]), cors_origins=["https://a.example"])

    assert (told.status, told.headers["access-control-allow-origin"]) == (status, "https://a.example")


@BOTH
@pytest.mark.parametrize("origin", ["https://b.example", "null", "https://a.example.evil", "https://a.example/", ""])
def test_other_pages_may_not(call: Caller, make: Any, origin: str) -> None:
    options = {"cors_origins": ["https://a.example"]}
    asked = reply(call, make, Ask("OPTIONS", ECHO, headers=[("Origin", origin), ASKS]), **options)
    called = reply(call, make, Ask("POST", ECHO, headers=[("Origin", origin)]), **options)

    assert (asked.status, called.status) == (204, 200)
    for told in (asked, called):
        assert "access-control-allow-origin" not in told.headers
        assert told.headers["vary"] == "Origin"


@BOTH
def test_a_star_is_every_page_without_credentials(call: Caller, make: Any) -> None:
    told = reply(call, make, Ask("OPTIONS", ECHO, headers=[ORIGIN, ASKS]), cors_origins=["*"])

    assert (told.status, told.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in told.headers


@pytest.mark.parametrize("origin", ["a.example", "https://a.example/", " https://a.example", "https://ä.example"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        api_server(services(), cors_origins=[origin])


# -- options ----------------------------------------------------------------------------------------------------------


@BOTH
def test_overriding_the_method_must_be_allowed(call: Caller, make: Any) -> None:
    def ask(verb: str, name: str = "DELETE") -> Ask:
        return Ask(verb, "/api/shop/v1/items/7", headers=[("X-HTTP-Method-Override", name)])

    assert reply(call, make, ask("POST")).status == 405
    assert reply(call, make, ask("POST"), method_override=True).status == 204
    assert reply(call, make, ask("POST", "delete"), method_override=True).status == 204
    assert reply(call, make, ask("GET"), method_override=True).status == 200
    assert reply(call, make, ask("POST", "DELETE,DELETE"), method_override=True).status == 405


@pytest.mark.parametrize("make", [api_server, asgi_server])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"protocols": None}, TypeError), ({"nosuch": 1}, TypeError), ({"cors_origins": "*"}, TypeError),
        ({"max_body": 0}, ValueError), ({"max_depth": -1}, ValueError), ({"threads": "4"}, ValueError),
    ],
)  # fmt: skip
def test_options_that_there_are_not(make: Any, options: Any, error: type[Exception]) -> None:
    (name,) = options
    with pytest.raises(error, match=name):
        make(services(), **options)


@pytest.mark.parametrize("make", [api_server, asgi_server])
@pytest.mark.parametrize("things", [remote.Service, 5, None])
def test_one_service_is_not_a_list_of_them(make: Any, things: Any) -> None:
    with pytest.raises(TypeError, match="list"):
        make(things)


@pytest.mark.parametrize("make", [api_server, asgi_server])
def test_old_options_are_taken(make: Any) -> None:
    make(services(), restricted=True, registry_path="/_ah/api/registry").close()


@BOTH
def test_discovery_is_an_option(call: Caller, make: Any) -> None:
    ask = Ask("GET", "/api/discovery/v1/apis")
    assert reply(call, make, ask).status == 404

    told = reply(call, make, ask, discovery=True)

    assert told.headers["content-type"] == "application/json; charset=UTF-8"
    (item,) = told.json["items"]
    assert (item["id"], item["discoveryRestUrl"]) == (
        "shop:v1", "http://api.example.com/api/discovery/v1/apis/shop/v1/rest",
    )  # fmt: skip


def test_a_method_cannot_be_where_a_document_is() -> None:
    with pytest.raises(ApiConfigurationError, match="discovery"):
        api_server(declared(a_method("/discovery/v1/apis")), discovery=True)


def test_one_path_holds_one_document() -> None:
    two = [Declared((an_api(a_method("/shop/v1/a")), an_api(a_method("/menu/v1/a"), name="menu")))]

    with pytest.raises(ApiConfigurationError, match="api"):
        api_server(two, openapi="/openapi.json")
    api_server(two, openapi="/openapi/{api}.json")


# -- lives ------------------------------------------------------------------------------------------------------------


def test_a_lifespan_ends_the_threads() -> None:
    async def run() -> None:
        app = asgi_server(services())
        assert (await asgi_call(app, Ask("POST", ECHO))).status == 200
        asks, told = asyncio.Queue[Any](), asyncio.Queue[Any]()
        life = asyncio.create_task(app({"type": "lifespan"}, asks.get, told.put))
        for name in ("startup", "shutdown"):
            await asks.put({"type": f"lifespan.{name}"})
            assert await told.get() == {"type": f"lifespan.{name}.complete"}
        await life

    asyncio.run(run())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("authz-frameworks")]


def test_a_websocket_is_refused() -> None:
    async def run() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await asgi_server(services())({"type": "websocket", "path": ECHO}, receive, send)
        return sent

    assert [message["type"] for message in asyncio.run(run())] == ["websocket.close"]


def test_a_server_may_stand_below_another_path() -> None:
    ask = Ask("GET", "/mounted/api/shop/v1/items/a%2Bb")

    below = asgi(asgi_server(services()), ask, root_path="/mounted")
    web = wsgi(api_server(services()), Ask("GET", "/api/shop/v1/items/a%2Bb"), SCRIPT_NAME="/mounted")

    assert (below.json["path"], web.status) == ({"id": "a+b"}, 200)


@pytest.mark.parametrize("raw", [None, b"/api/shop/v1/items/%61%2Fb", b"/api/shop/v1/items/\xff%41", b""])
def test_a_path_that_something_has_changed_is_the_path(raw: bytes | None) -> None:
    told = asgi(asgi_server(services()), Ask("GET", "/api/shop/v1/items/changed"), raw_path=raw)

    assert told.json["path"] == {"id": "changed"}


def test_services_see_the_request_but_not_the_secret() -> None:
    def state(_given: Given) -> Any:
        told = remote.Service().request_state
        return [
            told.http_method,
            told.headers["X-Thing"],
            told.remote_address,
            "x-authz-gateway-secret" in told.headers,
        ]

    headers = [("x-thing", "1"), ("x-authz-gateway-secret", "s")]
    for call, make in ((wsgi, api_server), (asgi, asgi_server)):
        told = reply(
            call, make, Ask("GET", "/api/shop/v1/state", headers=headers), declared(a_method("/shop/v1/state", state))
        )
        assert told.json == ["GET", "1", "192.0.2.1", False]


# -- sockets ----------------------------------------------------------------------------------------------------------


SOCKETS = pytest.mark.parametrize(
    ("serve", "make"), [(over_wsgiref, api_server), (over_uvicorn, asgi_server)], ids=["wsgiref", "uvicorn"]
)


@SOCKETS
def test_over_a_socket(serve: Any, make: Any) -> None:
    app = make(services(), max_body=1000)
    with serve(app) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        for verb, path, body, status in (
            ("POST", f"{ECHO}?a=1", '{"a": 1}', 200), ("POST", "/api/shop/v1/later", '{"a": 1}', 200),
            ("DELETE", "/api/shop/v1/items/7", None, 204), ("GET", "/api/shop/v1/items/%C3%A9", None, 200),
            ("HEAD", "/api/shop/v1/items/7", None, 200), ("GET", ECHO, None, 405), ("GET", "/x", None, 404),
            ("POST", ECHO, "{bad", 400), ("OPTIONS", ECHO, None, 204), ("POST", ECHO, "x" * 2000, 413),
        ):  # fmt: skip
            client.request(verb, path, body, {"content-type": "application/json"} if body else {})
            got = client.getresponse()
            text = got.read()
            assert got.status == status, (verb, path)
            if status == 200 and "items/%" in path:
                assert json.loads(text)["path"] == {"id": "é"}
    app.close()


def test_chunks_over_a_socket() -> None:
    with over_uvicorn(asgi_server(services(), max_body=1000)) as port:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
            client.request(
                "POST", ECHO, iter([b'{"a"', b": 1}"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
            )
            got = client.getresponse()
            assert (got.status, json.loads(got.read())["body"]) == (200, {"a": 1})
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as line:
            line.sendall(
                f"POST {ECHO} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n".encode() + b"x" * 2000
            )
            assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_caller_that_hangs_up_over_a_socket() -> None:
    """Whether while sending or while waiting: the next one is served."""
    entered, done = threading.Event(), threading.Event()

    def slow(_given: Given) -> Any:
        entered.set()
        done.wait(10)
        return "late"

    app = asgi_server(declared(a_method("/shop/v1/slow", slow), a_method("/shop/v1/echo", verb="POST")))
    with over_uvicorn(app) as port:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as line:
            line.sendall(f"POST {ECHO} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as line:
            line.sendall(b"GET /api/shop/v1/slow HTTP/1.1\r\nhost: x\r\n\r\n")
            assert entered.wait(10)
        done.set()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
            client.request("POST", ECHO)
            assert client.getresponse().status == 200


def test_streams_are_read_no_further_than_announced() -> None:
    """The server may have the next request behind it."""
    stream = io.BytesIO(b'{"a":1}NEXT')
    made = environ(Ask("POST", ECHO, b'{"a":1}')) | {"wsgi.input": stream}

    api_server(services())(made, lambda *_: None)

    assert stream.read() == b"NEXT"
