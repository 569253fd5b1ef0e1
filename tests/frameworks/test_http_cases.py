"""HTTP as clients of the old library know it, case by case, on both servers; or a reason why not."""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authz.frameworks import endpoints, message_types, messages, remote
from authz.frameworks.exceptions import ServiceException
from frameworks.callers import Ask, Caller, Reply, asgi, wsgi
from frameworks.sockets import over_uvicorn, over_wsgiref
from frameworks_cases import Described

DATA = Path(__file__).parent / "data"
SERVICE = json.loads((DATA / "http_service.json").read_text())
CASES = json.loads((DATA / "http.json").read_text())

OPTIONS = {"discovery": True, "method_override": True, "cors_origins": ["https://a.example"]}
"""All three are off unless asked for: discovery tells what there is, an override may pass by the gateway's rules, and
pages may call only where their origin is named."""

_BAD = (400, "badRequest")
_OURS = (500, "backendError")
DEPARTURES: dict[str, tuple[int, str | None, str]] = {
    "get-int32-overflow": (400, "invalidParameter", "a number is in the range of its variant"),
    "post-negative-unsigned": (*_BAD, "a number is in the range of its variant"),
    "post-list-for-scalar-takes-last": (*_BAD, "a list is not one value"),
    "post-bool-for-int": (*_BAD, "true is no number"),
    "post-scalar-for-object": (*_BAD, "a number is no message"),
    "post-invalid-json": (*_BAD, "what is not JSON is refused, not read as a form"),
    "post-batch-list": (*_BAD, "a list is not a request"),
    "post-json-number": (*_BAD, "a number is not a request"),
    "post-json-string": (*_BAD, "a string is not a request"),
    "post-json-null": (*_BAD, "null is not a request"),
    "put-container-empty-path-param": (404, None, "an empty value is none; the gateway's routes say so too"),
    "none-response": (*_OURS, "errors keep their status: 500 is not 503"),
    "unhandled-exception": (*_OURS, "errors keep their status: 500 is not 503"),
    "exc-InternalServerErrorException": (*_OURS, "errors keep their status: 500 is not 503"),
    "custom418": (418, None, "errors keep their status, and 418 is one"),
    "wrong-method": (405, "unsupportedMethod", "a known path tells which methods it takes"),
    "outside-base-path": (404, None, "a path that is not ours is 404"),
    "options-no-origin": (204, None, "OPTIONS is answered with Allow"),
    "static-proxy": (404, None, "the page of Google's JavaScript client is gone with it"),
    "discovery-rest-path-version": (404, None, "discovery goes by the full version; others are unknown"),
    "discovery-rest-unknown": (404, None, "an unknown API is 404"),
    "discovery-rpc": (404, None, "there are no such documents"),
}
"""Case to status, reason in the body, and why."""


class Own(ServiceException):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.http_status = status


class Echo:
    """What the methods do; it remembers what they were given."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.known: dict[str, Any] = {}

    def handlers(self) -> dict[str, Any]:
        own = {402: "pay", 405: "nope", 418: "teapot", 503: "later"}
        named = {name: getattr(self, name) for name in dir(self) if name.startswith("do_")}
        methods = {name.removeprefix("do_"): self.remembering(method) for name, method in named.items()}
        methods |= {f"c{status}": self.raising(Own(status, text)) for status, text in own.items()}
        methods["apperr"] = self.raising(remote.ApplicationError("app message", "SOME_NAME"))
        methods["boom"] = self.raising(ValueError("secret"))
        return {f"EchoApi.{name}": method for name, method in methods.items()}

    def remembering(self, method: Any) -> Any:
        def handler(_service: Any, request: Any) -> Any:
            self.given.append(request)
            return method(request)

        return handler

    def raising(self, error: Exception) -> Any:
        def handler(_service: Any, _request: Any) -> Any:
            raise error

        return handler

    def out(self, text: str | None = None) -> Any:
        return self.known["Out"](text=text) if text is not None else self.known["Out"]()

    def do_echo(self, request: Any) -> Any:
        return request

    def do_rc(self, _: Any) -> Any:
        return self.out("ok")

    def do_getall(self, _: Any) -> Any:
        return self.out("ok")

    def do_getreq(self, request: Any) -> Any:
        return self.out(request.need)

    def do_req(self, request: Any) -> Any:
        return self.out(f"{request.need}/{request.opt!r}")

    def do_void(self, _: Any) -> Any:
        return message_types.VoidMessage()

    do_voiddel = do_void

    def do_emptyout(self, _: Any) -> Any:
        return self.out()

    def do_nan(self, _: Any) -> Any:
        return self.known["All"](d=math.nan, f32=math.inf)

    def do_times(self, _: Any) -> Any:
        return self.known["All"](at=dt.datetime(2020, 1, 2, 3, 4, 5), s="\xe9")  # noqa: DTZ001 - naive on purpose

    def do_timestz(self, _: Any) -> Any:
        zone = dt.timezone(dt.timedelta(minutes=60))
        return self.known["All"](at=dt.datetime(2020, 1, 2, 3, 4, 5, 678000, tzinfo=zone))

    def do_wrongtype(self, _: Any) -> Any:
        return self.known["Sub"]()

    def do_none(self, _: Any) -> None:
        return None

    def do_err(self, request: Any) -> Any:
        raise getattr(endpoints, request.k)(request.msg)

    def do_user(self, _: Any) -> Any:
        user = endpoints.get_current_user()
        return self.out(repr(user and user.email()))


def made(make: Any, **options: Any) -> tuple[Any, Echo]:
    echo = Echo()
    described = Described(SERVICE, echo.handlers())
    echo.known = described.known
    return make(described.services, **(OPTIONS | options)), echo


SERVERS = pytest.mark.parametrize(
    ("call", "make"), [(wsgi, endpoints.api_server), (asgi, endpoints.asgi_server)], ids=["wsgi", "asgi"]
)


def ask(case: dict[str, Any]) -> Ask:
    said = case["request"]
    return Ask(said["method"], said["url"], said["body"].encode(), list(said["headers"].items()))


@SERVERS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(call: Caller, make: Any, case: dict[str, Any]) -> None:
    app, echo = made(make)

    told = call(app, ask(case))

    app.close()
    if case["id"] in DEPARTURES:
        departed(told, *DEPARTURES[case["id"]][:2])
        return
    compared(told, case)
    if "decoded" in case:
        assert shown(echo.given[-1]) == case["decoded"]


def departed(told: Reply, status: int, reason: str | None) -> None:
    assert told.status == status
    if reason is not None:
        assert told.error["errors"][0]["reason"] == reason


def compared(told: Reply, case: dict[str, Any]) -> None:
    wanted = case["response"]
    assert told.status == wanted["status"], told.body
    for name, value in wanted["headers"].items():
        got = told.headers[name]
        assert {part.strip() for part in got.split(",")} == set(value) if isinstance(value, list) else got == value
    if "reason" in wanted:
        assert told.error["errors"][0]["reason"] == wanted["reason"]
    elif "body_json" in wanted:
        unordered = case.get("unordered_message", False)
        assert canonical(told.json, unordered) == canonical(wanted["body_json"], unordered)
    elif "body" in wanted:
        assert told.body.decode() == wanted["body"]


def canonical(value: Any, unordered: bool) -> Any:
    """Some messages list names in no order; which characters they have is all that is compared then."""
    if isinstance(value, dict):
        return {name: canonical(one, unordered) for name, one in value.items()}
    if isinstance(value, list):
        return [canonical(one, unordered) for one in value]
    return sorted(value) if unordered and isinstance(value, str) and "[" in value else value


def shown(value: Any) -> Any:
    """A message as the cases write what a method was given."""
    match value:
        case messages.Message():
            assigned = {field.name: value.get_assigned_value(field.name) for field in value.all_fields()}
            return {name: shown(one) for name, one in assigned.items() if one is not None and one != []}
        case messages.Enum():
            return f"enum:{value.name}"
        case bytes():
            return f"bytes_b64:{base64.b64encode(value).decode()}"
        case dt.datetime():
            return f"datetime:{value.isoformat()}"
        case list() | tuple():
            return [shown(one) for one in value]
        case _:
            return value


def test_departures_are_cases() -> None:
    assert DEPARTURES.keys() <= {case["id"] for case in CASES}


@SERVERS
@pytest.mark.parametrize(
    ("path", "status", "message"),
    [("custom402", 402, "pay"), ("custom405", 405, "nope"), ("custom503", 503, "later")],
)
def test_own_statuses_are_kept(call: Caller, make: Any, path: str, status: int, message: str) -> None:
    told = call(made(make)[0], Ask("GET", f"/_ah/api/echo/v1/{path}"))

    assert (told.status, told.error["code"], told.error["message"]) == (status, status, message)


@SERVERS
@pytest.mark.parametrize("path", ["wrongtype", "nan"])
def test_answers_that_are_no_answers_are_500(call: Caller, make: Any, path: str) -> None:
    """Another message than declared; numbers that JSON has no words for."""
    told = call(made(make)[0], Ask("GET", f"/_ah/api/echo/v1/{path}"))

    assert (told.status, told.error["message"]) == (500, "Internal Server Error")


@SERVERS
@pytest.mark.parametrize(
    ("body", "mentions"),
    [
        ('{"i32": "zz"}', "i32"), ('{"i32": 2147483648}', "i32"), ('{"u64": 18446744073709551616}', "u64"),
        ('{"i64": 1e400}', "i64"), ('{"d": 1e400}', "d"), ('{"d": "NaN"}', "d"), ('{"f32": "-Infinity"}', "f32"),
        ('{"e": "PURPLE"}', "e"), ('{"e": 3}', "e"), ('{"by": "a"}', "by"), ('{"at": "yesterday"}', "at"),
        ('{"m": []}', "m"), ('{"m": {"x": "q"}}', "m.x"), ('{"rm": [{}, {"x": 1.5}]}', "rm[1].x"),
        ('{"ri": [1, null]}', "ri"), ('{"s": 5}', "s"), ('{"b": "true"}', "b"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(call: Caller, make: Any, body: str, mentions: str) -> None:
    told = call(made(make)[0], Ask("POST", "/_ah/api/echo/v1/echo", body.encode()))

    assert (told.status, told.error["errors"][0]["reason"]) == (400, "badRequest")
    assert mentions in told.error["message"]


@SERVERS
def test_unknown_members_are_not_echoed(call: Caller, make: Any) -> None:
    told = call(made(make)[0], Ask("POST", "/_ah/api/echo/v1/echo?key=SECRET&access_token=SECRET", b'{"x": {"y": 1}}'))

    assert told.json == {}


@SERVERS
@pytest.mark.parametrize(("query", "key"), [("", "openapi"), ("?version=3.1", "openapi"), ("?version=2.0", "swagger")])
def test_the_document_is_served_where_it_is_asked_for(call: Caller, make: Any, query: str, key: str) -> None:
    app, _ = made(make, openapi="/openapi.json")

    document = call(app, Ask("GET", f"/openapi.json{query}")).json

    assert document[key]
    assert "/echo/v1/echo" in "".join(document["paths"])
    assert call(app, Ask("GET", "/openapi.json?version=1")).status == 404
    assert call(made(make)[0], Ask("GET", "/openapi.json")).status == 404


@SERVERS
def test_discovery_documents_go_by_the_full_version(call: Caller, make: Any) -> None:
    told = call(
        made(make)[0], Ask("GET", "/_ah/api/discovery/v1/apis/echo/1.2.0/rest", headers=[("Host", "a.example")])
    )

    assert told.headers["content-type"] == "application/json; charset=UTF-8"
    assert (told.json["version"], told.json["id"]) == ("1.2.0", "echo:v1")
    assert told.json["rootUrl"].endswith("://a.example/_ah/api/")


@SERVERS
def test_pages_of_other_origins_get_no_word(call: Caller, make: Any) -> None:
    (case,) = (case for case in CASES if case["id"] == "options-preflight-unknown-path")

    assert call(made(make, cors_origins=())[0], ask(case)).status == 404


@pytest.mark.parametrize(
    ("serve", "make"),
    [(over_wsgiref, endpoints.api_server), (over_uvicorn, endpoints.asgi_server)],
    ids=["wsgiref", "uvicorn"],
)
def test_over_sockets(serve: Any, make: Any) -> None:
    """The cases again, over one connection after another."""
    app, _ = made(make)
    with serve(app) as port:
        for case in (one for one in CASES if one["id"] not in DEPARTURES and not one["id"].startswith("discovery")):
            said = case["request"]
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
                client.request(said["method"], said["url"], said["body"].encode() or None, said["headers"])
                got = client.getresponse()
                headers = {name.lower(): value for name, value in got.getheaders()}
                compared(Reply(got.status, headers, got.read()), case)
    app.close()
