"""gRPC callers of REST backends: what request becomes of a call, that it is no other RPC's, and what is told back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from authz import proxy, wire
from authz.model.paths import Template
from authz.model.service import Backend, Operation, PathTranslation, ServiceConfig
from authz.model.transcoding import TranscodingOptions
from authz.settings import Settings
from authz.xds import bootstrap, snapshot
from authz.xds.replies import OTHER_REQUEST
from authz.xds.rpc import answers, reverse
from harness import raw
from harness.dataplane import KEY, Gateway, a_gateway
from harness.grpc_library import LIBRARY, PROTO, Library, bound, message, messages, operations
from harness.grpc_protos import Messages, compiled
from harness.grpc_stage import HOST, Callers, a_config, encoded, live, path_of
from harness.http import Request, Response, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATED = {"id": "3", "ownerName": "ann"}
JSON = ("content-type", "application/json")


@dataclass
class Stage(Callers):
    upstream: Upstream | None = None
    gateway: Gateway | None = None

    @property
    def backend(self) -> Upstream:
        assert self.upstream
        self.upstream.seen.clear()
        return self.upstream

    @property
    def seen(self) -> list[Request]:
        assert self.upstream
        return self.upstream.seen

    @property
    def judged(self) -> list[str]:
        assert self.gateway
        return [one.attributes.context_extensions[wire.CONTEXT_OPERATION] for one in self.gateway.sidecar.checks]

    def answers_with(self, status: int, body: bytes | object = b"", kind: str = "application/json") -> None:
        raw_body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = [("content-type", kind)] if kind else []
        self.backend.answer = lambda _: Response(status, headers, raw_body)

    async def call(self, rpc: str, answer: str, request: bytes, **more: Any) -> Any:
        """The answer's message."""
        kind = messages()[answer if "." in answer else f"library.v1.{answer}"]
        async with self.channel() as channel:
            return await channel.unary_unary(path_of(rpc), response_deserializer=kind.FromString)(request, **more)


@contextlib.asynccontextmanager
async def opened(
    factory: pytest.TempPathFactory, *configs: Any, host: str = HOST, **settings: Any
) -> AsyncIterator[Stage]:
    """`configs` are made of the backend's address."""
    async with Upstream() as rest:
        inventory = live(*(make(f"http://{rest.address}") for make in configs or (a_service,)))
        async with a_gateway(factory.mktemp("v"), rest, inventory, **settings) as gateway:
            yield Stage(gateway.settings.port, Library(), host, rest, gateway)


def a_service(address: str) -> ServiceConfig:
    backend = Backend(address, deadline=2.0)
    special = Operation("1.Special", "GET", Template.parse("/v1/shelves/9"), backend=backend, requirement=KEY)
    slow = [one for one in operations(backend=replace(backend, deadline=0.3)) if one.short_name == "Sleep"]
    rest = [one for one in operations(backend=backend, requirement=KEY) if one.short_name != "Sleep"]
    return a_config([*rest, *slow, special])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with opened(tmp_path_factory) as there:
        yield there


@pytest.fixture(autouse=True)
def _afresh(request: pytest.FixtureRequest) -> None:
    if "stage" in request.fixturenames:
        stage = request.getfixturevalue("stage")
        stage.answers_with(200, {})
        stage.gateway.sidecar.checks.clear()


def shelf(**fields: Any) -> bytes:
    return encoded("ShelfRequest", **fields)


# -- what becomes of a call -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rpc", "request_", "line", "body"),
    [
        ("GetShelf", shelf(shelf=7), "GET /v1/shelves/7", None),
        ("GetShelf", shelf(shelf=7, theme="a&b ü", genres=[1, 2], like=message("Shelf", owner_name="me")),
         "GET /v1/shelves/7?genres=POETRY&genres=DRAMA&like.ownerName=me&theme=a%26b%20%C3%BC", None),
        ("CreateShelf", encoded("CreateShelfRequest", parent="places/x", dry=True,
                                shelf=message("Shelf", id=3, owner_name="ann")),
         "POST /v1/places/x/shelves?dry=true", CREATED),
        ("DeleteShelf", shelf(shelf=2**40), "DELETE /v1/shelves/1099511627776", None),
        ("ArchiveShelf", shelf(shelf=7, theme="x"), "POST /v1/shelves/7:archive", {"shelf": "7", "theme": "x"}),
        ("TouchAny", encoded("FileRequest", name="shelves/a/b c"), "POST /v1/shelves/a/b%20c", None),
        ("Fail", encoded("FailRequest", code=5, message="/v1/../x?y"), "GET /v1/fail/5?message=%2Fv1%2F..%2Fx%3Fy",
         None),
    ],
)  # fmt: skip
async def test_a_call_becomes_the_request_of_its_first_http_rule(
    stage: Stage, rpc: str, request_: bytes, line: str, body: Any
) -> None:
    assert await stage.grpc(rpc, request_, metadata=[("x-mine", "1")]) == (0, "")

    (seen,) = stage.seen
    assert f"{seen.method} {seen.path}" == line
    assert (json.loads(seen.body) if seen.body else None) == body
    assert (seen.header("x-mine"), seen.header("x-endpoint-api-operation-name")) == ("1", f"{LIBRARY}.{rpc}")
    assert seen.header("content-length") == str(len(seen.body))
    assert seen.header("content-type") == ("application/json" if body else None)
    strange = ("grpc", "te", "x-envoy", "x-authz", "accept-encoding", "transfer-encoding")
    assert not [name for name, _ in seen.headers if name.startswith(strange)]


async def test_its_answer_becomes_the_message(stage: Stage) -> None:
    """Whatever more the backend has to say, and however it spells the names."""
    for name in ("ownerName", "owner_name"):
        stage.answers_with(200, {"id": "7", name: "ann", "genre": "DRAMA", "unknown": [{"a": 1}]})
        got = await stage.call("GetShelf", "Shelf", shelf(shelf=7))
        assert got == message("Shelf", id=7, owner_name="ann", genre=2)


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_no_body_is_an_empty_message(stage: Stage, status: int) -> None:
    stage.answers_with(status)

    assert await stage.call("DeleteShelf", "Empty", shelf(shelf=7)) == message("Empty")


async def test_any_body_becomes_an_http_body(stage: Stage) -> None:
    stage.answers_with(200, bytes(range(256)), "image/x-any")
    got = await stage.call("Download", "google.api.HttpBody", encoded("FileRequest", name="a/b"))

    assert (got.content_type, got.data, stage.seen[0].path) == ("image/x-any", bytes(range(256)), "/v1/files/a/b")


async def test_the_answer_bears_nothing_of_the_way(stage: Stage) -> None:
    async with stage.channel() as channel:
        call = channel.unary_unary(path_of("GetShelf"))(shelf(shelf=7))
        await call
        told = [name for name, _ in [*(await call.initial_metadata()), *(await call.trailing_metadata())]]
        assert not [name for name in told if name.startswith(("x-envoy", "x-authz"))]


async def test_grpc_web_callers_have_rest_backends_too(stage: Stage) -> None:
    stage.answers_with(200, {"id": "7"})
    for text in (False, True):
        web = await stage.web("GetShelf", shelf(shelf=7), text=text)
        assert (web.http, web.status, web.messages) == (200, (0, ""), [encoded("Shelf", id=7)])


async def test_rest_callers_call_the_rest_backend_as_ever(stage: Stage) -> None:
    stage.answers_with(200, b"as it is", "text/plain")
    for line in ("GET /v1/shelves/7", "GET /v1/s/7?a=b", "POST /v1/shelves:find"):
        answer = await stage.rest(line, b"{" if line.startswith("POST") else None)
        assert (answer.status, answer.body, f"{stage.seen[-1].method} {stage.seen[-1].path}") == (
            200,
            b"as it is",
            line,
        )


async def test_json_on_the_own_path_is_not_called_at_all(stage: Stage) -> None:
    answer = await stage.rest(f"POST /{LIBRARY}/GetShelf", {"shelf": 7})

    assert (answer.status, answer.json()["message"], stage.seen) == (404, reverse.GRPC_ONLY, [])


# -- what Check judged is what arrives ------------------------------------------------------------------------------

WORDS = [
    "..", ".", "../..", "a/..", "a/../..", "../../v1/echo", "a//b", "/", "//", "a/", "/a", "%2e%2e", "%2F..", "a%2fb",
    "a\\b", "..\\..", "a;b", "..;/x", ";/", "a:archive", "7:archive", "7%3Aarchive", "a?b", "a#b", "a?/../..", " ",
    "\x00", "\r\nx: y", "\n", "a\tb", "ü", "\u2028", "a b", "{shelf}", "*", "**", "9", "9/", "9/books", "shelves:find",
    "~", "a" * 3000, "😀",
    "x/shelves", "x/../y/shelves", "%", "%zz", "a%00b", "$", "@", "a=b&c=d", "'", '"', "<>", "|", "^", "`",
]  # fmt: skip


async def test_whatever_a_message_says_no_other_operation_is_reached(stage: Stage) -> None:
    """Values stand in paths as they are, and backends resolve what they please: only paths of the RPC get there."""
    tried = [
        *(("TouchAny", encoded("FileRequest", name=f"shelves/{word}")) for word in WORDS),
        *(("TouchAny", encoded("FileRequest", name=word)) for word in WORDS),
        *(("CreateShelf", encoded("CreateShelfRequest", parent=word, shelf=message("Shelf", id=1))) for word in WORDS),
        *(("CreateShelf", encoded("CreateShelfRequest", parent=f"places/{word}", shelf=message("Shelf", id=1)))
          for word in WORDS),
        *(("Download", encoded("FileRequest", name=word)) for word in WORDS),
        *(("GetShelf", shelf(shelf=number)) for number in (0, 1, 9, -1)),
    ]  # fmt: skip
    own = {"TouchAny": "/v1/{name=shelves/**}", "CreateShelf": "/v1/{parent=places/*}/shelves"}
    own |= {"Download": "/v1/files/{name=**}", "GetShelf": "/v1/shelves/{shelf}"}
    others = {"POST": ["/v1/shelves/*:archive", "/v1/shelves:find"], "GET": ["/v1/shelves/9"]}
    reached = 0
    for rpc, request in tried:
        stage.seen.clear()
        stage.judged.clear()
        status, words = await stage.grpc(rpc, request)
        assert (status == 0) == bool(stage.seen), (rpc, request, status, words)
        assert status in {0, 3}, (rpc, request, status, words)
        for seen in stage.seen:
            reached += 1
            path = seen.path.partition("?")[0]
            assert Template.parse(own[rpc]).matches(path), (rpc, path)
            assert not any(Template.parse(text).matches(path) for text in others[seen.method]), (rpc, path)
            assert not {".", "..", ""} & set(path.removesuffix("/")[1:].split("/")), (rpc, path)
            assert "\\" not in path
            assert seen.header("x-endpoint-api-operation-name") == f"{LIBRARY}.{rpc}"
    assert reached > len(WORDS)


async def test_another_operations_path_is_refused_even_if_the_rule_has_it(stage: Stage) -> None:
    assert await stage.grpc("GetShelf", shelf(shelf=8)) == (0, "")
    assert await stage.grpc("GetShelf", shelf(shelf=9)) == (3, OTHER_REQUEST)
    assert (await stage.web("GetShelf", shelf(shelf=9))).status == (3, OTHER_REQUEST)
    assert (await stage.rest("GET /v1/shelves/9")).status == 200
    assert stage.judged == [f"{LIBRARY}.GetShelf"] * 3 + ["1.Special"]


async def test_each_call_is_judged_once_and_a_denied_one_becomes_nothing(stage: Stage) -> None:
    assert stage.gateway
    stage.gateway.sidecar.check = stage.gateway.sidecar.deny
    try:
        assert await stage.grpc("GetShelf", shelf(shelf=7)) == (16, 'say "please"')
        assert (stage.seen, stage.judged) == ([], [f"{LIBRARY}.GetShelf"])
    finally:
        stage.gateway.sidecar.check = stage.gateway.sidecar.allow


FRAME = b"\0\0\0\0\x02\x08\x07"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/grpc", b""), ("application/grpc+proto", b""), ("application/grpcx", FRAME),
        ("application/grpcx", b""),
        ("application/grpc;x", b""), ("application/grpc-webx", FRAME), ("application/grpc", b"\0"),
        ("application/grpc", b"\0\0\0\0\x09\x08\x07"), ("application/grpc", b"\0\xff\xff\xff\xff\x08"),
        ("application/grpc", FRAME[:5]), ("application/grpc", b"\x80" + FRAME[1:]), ("application/json", FRAME),
    ],
)  # fmt: skip
async def test_what_is_no_call_becomes_no_request(stage: Stage, kind: str, body: bytes) -> None:
    """Envoy's transcoder lets requests of other kinds pass as they are: not here."""
    for mark in ([], [(answers.MARK, f"2026-01-01r0/{LIBRARY}/GetShelf")]):
        headers = [
            (":method", "POST"), (":scheme", "http"), (":path", path_of("GetShelf")), (":authority", HOST),
            ("content-type", kind), ("te", "trailers"), *mark,
        ]  # fmt: skip
        answer = await raw.http2(stage.port, headers, body)
        assert answer == raw.NO_ANSWER or answer.status >= 400 or answer.header("grpc-status") not in {None, "0"}
        assert stage.seen == []


@pytest.mark.parametrize("query", ["?", "?key=mine", "?a=%00", "?x=/../y"])
async def test_a_query_is_for_check_alone(stage: Stage, query: str) -> None:
    """A key may stand in it. Envoy would find no RPC of that name, and log it."""
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", path_of("GetShelf") + query), (":authority", HOST),
        ("content-type", "application/grpc"), ("te", "trailers"),
    ]  # fmt: skip
    assert (await raw.http2(stage.port, headers, FRAME)).header("grpc-status") == "0"
    assert [one.path for one in stage.seen] == ["/v1/shelves/7"]


async def test_callers_and_backends_write_nothing_into_envoys_log(stage: Stage) -> None:
    assert stage.gateway
    before = stage.gateway.envoy.last_lines
    stage.answers_with(200, b"no\n[critical] JSON")
    for request in (b"", b"\xff", shelf(theme="x"), shelf(shelf=7)):
        assert (await stage.grpc("GetShelf", request))[0] in {3, 13}
    assert stage.gateway.envoy.last_lines == before


async def test_nobody_marks_his_own_requests(stage: Stage) -> None:
    mark = (answers.MARK, f"2026-01-01r0/{LIBRARY}/GetShelf")
    assert (await stage.rest("GET /v1/shelves/7", None, mark)).status == 200
    assert stage.seen[-1].header(answers.MARK) is None
    assert stage.judged == [f"{LIBRARY}.GetShelf"]
    assert await stage.grpc("DeleteShelf", shelf(shelf=9), metadata=[mark]) == (0, "")
    assert stage.seen[-1].method == "DELETE"


# -- calls that become nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rpc", "why"),
    [
        ("ListBooks", reverse.STREAMS),
        ("AddBooks", reverse.STREAMS),
        ("Swap", reverse.STREAMS),
        ("Upload", reverse.NESTED_BODY),
    ],
)
async def test_what_cannot_be_is_unimplemented(stage: Stage, rpc: str, why: str) -> None:
    assert await stage.grpc(rpc) == (12, why)
    assert (await stage.web(rpc)).status == (12, why)
    assert (stage.seen, stage.judged) == ([], [])


async def test_a_missing_path_variable_is_named(stage: Stage) -> None:
    status, words = await stage.grpc("GetShelf", shelf(theme="x"))

    assert (status, "shelf" in words) == (3, True)


async def test_a_missing_body_is_the_callers_fault(stage: Stage) -> None:
    status, _ = await stage.grpc("CreateShelf", encoded("CreateShelfRequest", parent="places/a"))

    assert status == 3
    assert stage.seen == []


async def test_compressed_messages_are_sent_again_without(stage: Stage) -> None:
    async with stage.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path_of("GetShelf"))(shelf(shelf=7), compression=grpc.Compression.Gzip)

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, answers.COMPRESSED)


async def test_messages_have_a_size(stage: Stage) -> None:
    theme = "x" * (Settings().transcoding_max_request_bytes - 1000)
    assert await stage.grpc("ArchiveShelf", shelf(shelf=7, theme=theme)) == (0, "")
    assert len(json.loads(stage.seen[0].body)["theme"]) == len(theme)
    assert (await stage.grpc("ArchiveShelf", shelf(shelf=7, theme=theme + theme)))[0] == 8

    stage.answers_with(200, {"theme": theme[:3_000_000]})
    assert len((await stage.call("GetShelf", "Shelf", shelf(shelf=7))).theme) == 3_000_000
    stage.answers_with(200, {"theme": theme + theme})
    assert (await stage.grpc("GetShelf", shelf(shelf=7)))[0] == 13
    assert (await stage.web("GetShelf", shelf(shelf=7))).status[0] == 13


# -- errors ---------------------------------------------------------------------------------------------------------

GOOGLE = {"error": {"code": 404, "message": 'gone "für" \U0001f600\n', "status": "NOT_FOUND"}}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        *((status, {"message": "no"}, (number, "no")) for status, number in answers.GRPC_STATUS.items()),
        (418, {"message": "no"}, (9, "no")),
        (599, {"message": "no"}, (13, "no")),
        (302, {"message": "no"}, (2, "no")),
        (404, GOOGLE, (5, 'gone "für" \U0001f600\n')),
        (409, {"error": {"code": 409, "message": "no", "status": "ALREADY_EXISTS"}}, (6, "no")),
        (400, {"code": 9, "message": "no", "details": []}, (9, "no")),
        (400, {"code": 400, "message": "no"}, (3, "no")),
        (404, {"detail": "Not Found"}, (5, "Not Found")),
        (422, {"detail": [{"loc": ["body"], "msg": "bad"}]}, (3, "The backend answered with HTTP status 422.")),
        (403, {"type": "about:blank", "title": "No way", "status": 403}, (7, "No way")),
        (400, {"error": "invalid_request", "error_description": "no such"}, (3, "no such")),
        (500, {"error": "broken"}, (13, "broken")),
        (500, {}, (13, "The backend answered with HTTP status 500.")),
        (500, [], (13, "The backend answered with HTTP status 500.")),
        (500, b'{"message": "cut o', (13, "The backend answered with HTTP status 500.")),
        (404, b"no such shelf: 100%", (5, "no such shelf: 100%")),
        (502, b"<html><h1>Bad Gateway</h1></html>", (14, "The backend answered with HTTP status 502.")),
        (404, b"", (5, "The backend answered with HTTP status 404.")),
        (404, b'{"message": "\\ud83d\\ude00 \\u00fc \\/ \\\\ \\"x\\""}', (5, '\U0001f600 ü / \\ "x"')),
    ],
)
async def test_errors_of_rest_backends_are_grpcs(stage: Stage, status: int, body: Any, told: tuple[int, str]) -> None:
    stage.answers_with(status, body)

    assert await stage.grpc("DeleteShelf", shelf(shelf=7)) == told
    if told[1].isascii() and "%" not in told[1]:
        assert (await stage.web("DeleteShelf", shelf(shelf=7))).status == told


async def test_long_words_are_cut_between_characters(stage: Stage) -> None:
    stage.answers_with(500, "€".encode() * 30_000, "text/plain")

    status, words = await stage.grpc("GetShelf", shelf(shelf=7))
    assert (status, words.rstrip("€")) == (13, "...") or (status, set(words)) == (13, {"€", "."})
    assert 300 < len(words) < 400


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"id":', b"[1]", b"null", b"7", b'{"id": "abc"}', b'{"genre": "NOVEL"}', b"\xff\xfe"]
)
async def test_an_answer_that_is_no_message_is_an_error(stage: Stage, body: bytes) -> None:
    stage.answers_with(200, body)

    status, words = await stage.grpc("GetShelf", shelf(shelf=7))
    assert (status, bool(words)) == (13, True)
    assert (await stage.web("GetShelf", shelf(shelf=7))).status == (13, answers.NOT_JSON)
    assert (await stage.web("GetShelf", shelf(shelf=7), text=True)).status == (13, answers.NOT_JSON)


async def test_a_backend_that_hangs_up_is_unavailable(stage: Stage) -> None:
    def hang_up(_: Request) -> Response:
        raise ConnectionError

    stage.backend.answer = hang_up
    assert (await stage.grpc("DeleteShelf", shelf(shelf=7)))[0] == 14
    assert (await stage.web("DeleteShelf", shelf(shelf=7))).status[0] == 14


async def test_an_answer_that_is_cut_off_has_a_status_for_every_kind_of_caller(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Once an answer has begun, Envoy frames nothing for gRPC-Web by itself."""

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"id"')
        await writer.drain()
        await (patience.wait() if slow else asyncio.sleep(0))
        writer.close()

    patience, slow = asyncio.Event(), False
    async with (
        await asyncio.start_server(half, "127.0.0.1", 0) as server,
        opened(
            tmp_path_factory, lambda _: a_service(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        ) as there,
    ):
        seven = shelf(shelf=7)
        assert (await there.grpc("DeleteShelf", seven))[0] == 14
        assert (await there.web("DeleteShelf", seven)).status == (14, answers.BROKEN_OFF)
        assert (await there.web("DeleteShelf", seven, text=True)).status == (14, answers.BROKEN_OFF)
        slow = True
        soon = encoded("SleepRequest", seconds=1)
        assert (await there.grpc("Sleep", soon))[0] == 4
        assert (await there.web("Sleep", soon)).status == (4, answers.TOO_SLOW)
        assert (await there.web("Sleep", soon, text=True)).status == (4, answers.TOO_SLOW)
        patience.set()


@pytest.mark.parametrize(("status", "told"), [(200, 0), (500, 13)])
async def test_what_a_rest_backend_says_in_grpcs_words_is_none_of_grpcs(stage: Stage, status: int, told: int) -> None:
    headers = [("grpc-status", "5"), ("grpc-message", "x"), ("grpc-encoding", "gzip"), ("grpc-what-bin", "AA")]
    stage.backend.answer = lambda _: Response(status, [("content-type", "application/json"), *headers], b'{"id": 7}')

    assert (await stage.grpc("GetShelf", shelf(shelf=7)))[0] == told
    web = await stage.web("GetShelf", shelf(shelf=7))
    assert (web.status[0], set(web.trailers) - {"grpc-status", "grpc-message"}) == (told, set())


async def test_the_operations_deadline_holds_and_a_callers_sooner_one(stage: Stage) -> None:
    async def slowly(_: Request) -> Response:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return Response(200)

    stage.backend.answer = slowly
    assert (await stage.grpc("Sleep", encoded("SleepRequest", seconds=1)))[0] == 4
    assert (await stage.web("Sleep", encoded("SleepRequest", seconds=1))).status[0] == 4
    assert (await stage.web("GetShelf", shelf(shelf=7), ("grpc-timeout", "200m"))).status[0] == 4
    assert (await stage.rest("GET /v1/sleep/1")).status == 504


# -- other configs --------------------------------------------------------------------------------------------------

ODD = """
syntax = "proto3";
package odd.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";

enum Kind { KIND_UNSPECIFIED = 0; ONE = 1; }
message Inner { string given_name = 1; bool is_it = 2; }
message In {
  string given_name = 1; Inner inner_one = 2; Kind kind_of = 3; repeated string many_words = 4; bytes raw = 5;
}
message Out { string given_name = 1; }

service Odd {
  rpc Snake(In) returns (Out) { option (google.api.http) = { get: "/v1/snake/{given_name}" }; }
  rpc Nested(In) returns (Out) {
    option (google.api.http) = { patch: "/v1/nested/{inner_one.given_name}/x" body: "inner_one" };
  }
  rpc Star(In) returns (Out) {
    option (google.api.http) = { put: "/v1/star/{inner_one.given_name=a/*}" body: "*" };
  }
  rpc Kinds(In) returns (Out) { option (google.api.http) = { get: "/v1/kinds/{kind_of}" }; }
  rpc Raw(google.api.HttpBody) returns (google.api.HttpBody) {
    option (google.api.http) = { post: "/v1/raw" body: "*" };
  }
  rpc Where(google.api.HttpBody) returns (Out) { option (google.api.http) = { post: "/v1/raw/{data}" body: "*" }; }
  rpc Custom(In) returns (Out) { option (google.api.http) = { custom: {kind: "REPORT" path: "/v1/custom"} }; }
  rpc Any(In) returns (Out) { option (google.api.http) = { custom: {kind: "*" path: "/v1/any"} }; }
  rpc Bare(In) returns (Out);
}
"""


@cache
def odd() -> tuple[bytes, Messages]:
    descriptors = compiled({"odd/v1/odd.proto": ODD})
    return descriptors, Messages(descriptors)


def an_odd_service(address: str) -> ServiceConfig:
    descriptors, known = odd()
    return a_config(bound(known, "odd/v1/odd.proto", backend=Backend(address)), descriptor_set=descriptors)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def oddly(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with opened(tmp_path_factory, an_odd_service) as there:
        yield there


def odd_message(kind: str, **fields: Any) -> Any:
    return odd()[1][f"odd.v1.{kind}" if "." not in kind else kind](**fields)


@pytest.mark.parametrize(
    ("rpc", "sent", "line", "body"),
    [
        ("Snake", {"given_name": "ann", "kind_of": 1, "raw": b"\xff\xfe"},
         "GET /v1/snake/ann?kindOf=ONE&raw=%2F%2F4%3D", b""),
        ("Nested", {"inner_one": {"given_name": "x y", "is_it": True}, "many_words": ["a", "b"]},
         "PATCH /v1/nested/x%20y/x?manyWords=a&manyWords=b", b'{"givenName":"x y","isIt":true}'),
        ("Star", {"inner_one": {"given_name": "a/b"}, "kind_of": 1},
         "PUT /v1/star/a/b", b'{"innerOne":{"givenName":"a/b"},"kindOf":"ONE"}'),
        ("Kinds", {"kind_of": 1}, "GET /v1/kinds/ONE", b""),
        ("Custom", {"given_name": "x"}, "REPORT /v1/custom?givenName=x", b""),
    ],
)  # fmt: skip
async def test_names_are_json_names_everywhere(oddly: Stage, rpc: str, sent: Any, line: str, body: bytes) -> None:
    oddly.answers_with(200, {"givenName": "ann"})
    inner = sent.pop("inner_one", None)
    request = odd_message("In", **sent)
    if inner:
        request.inner_one.CopyFrom(odd_message("Inner", **inner))

    assert await oddly.grpc(f"/odd.v1.Odd/{rpc}", request.SerializeToString()) == (0, "")
    assert (f"{oddly.seen[0].method} {oddly.seen[0].path}", oddly.seen[0].body) == (line, body)


async def test_a_message_that_is_an_http_body_is_the_body(oddly: Stage) -> None:
    content = bytes(range(256)) * 100
    oddly.answers_with(200, content, "image/y")
    request = odd_message("google.api.HttpBody", content_type="image/x", data=content).SerializeToString()
    got = odd_message("google.api.HttpBody")
    async with oddly.channel() as channel:
        got.ParseFromString(await channel.unary_unary("/odd.v1.Odd/Raw")(request))

    (seen,) = oddly.seen
    assert (seen.method, seen.path, seen.header("content-type"), seen.body) == ("POST", "/v1/raw", "image/x", content)
    assert (got.content_type, got.data) == ("image/y", content)
    oddly.seen.clear()
    # Nothing at all is no body, and Envoy makes no request of it.
    assert (await oddly.grpc("/odd.v1.Odd/Raw", b""))[0] in {3, 12}
    assert oddly.seen == []


@pytest.mark.parametrize(
    ("rpc", "why"), [("Where", reverse.BODY_IN_PATH), ("Any", reverse.ANY_METHOD), ("Bare", reverse.UNBOUND)]
)
async def test_rules_that_make_no_request_say_so(oddly: Stage, rpc: str, why: str) -> None:
    assert await oddly.grpc(f"/odd.v1.Odd/{rpc}") == (12, why)


async def test_names_may_stay_as_the_proto_has_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"transcoding_preserve_proto_field_names": True, "transcoding_always_print_enums_as_ints": True}
    async with opened(tmp_path_factory, an_odd_service, method_override=True, **settings) as there:
        there.answers_with(200, {"given_name": "ann"})
        request = odd_message("In", given_name="ann", kind_of=1, many_words=["a"]).SerializeToString()
        assert await there.grpc("/odd.v1.Odd/Snake", request) == (0, "")
        assert there.seen[0].path == "/v1/snake/ann?kind_of=1&many_words=a"


async def test_a_service_says_for_itself_how_names_stay(tmp_path_factory: pytest.TempPathFactory) -> None:
    def saying(address: str) -> ServiceConfig:
        options = TranscodingOptions(preserve_proto_field_names=True, max_request_bytes=100)
        return replace(an_odd_service(address), transcoding=options)

    async with opened(tmp_path_factory, saying, method_override=True) as there:
        there.answers_with(200, {"given_name": "ann"})
        request = odd_message("In", given_name="ann", kind_of=1, many_words=["a"]).SerializeToString()
        assert await there.grpc("/odd.v1.Odd/Snake", request) == (0, "")
        assert there.seen[0].path == "/v1/snake/ann?kind_of=ONE&many_words=a"
        there.answers_with(200, {"given_name": "a" * 200})
        assert (await there.grpc("/odd.v1.Odd/Snake", request))[0] != 0


async def test_the_path_is_translated_as_for_rest_callers(tmp_path_factory: pytest.TempPathFactory) -> None:
    def append(address: str) -> ServiceConfig:
        return a_config(operations(backend=Backend(f"{address}/base/")))

    def constant(address: str) -> ServiceConfig:
        return a_config(operations(backend=Backend(f"{address}/fixed", PathTranslation.CONSTANT)))

    for make, path in ((append, "/base/v1/shelves/7?theme=x"), (constant, "/fixed?theme=x&shelf=7")):
        async with opened(tmp_path_factory, make) as there:
            there.answers_with(200, {})
            assert await there.grpc("GetShelf", shelf(shelf=7, theme="x")) == (0, "")
            assert (await there.rest("GET /v1/shelves/7?theme=x")).status == 200
            assert [seen.path for seen in there.seen] == [path, path]


async def test_calls_and_requests_may_have_backends_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Calls in gRPC go to that of the own path, whatever it speaks; bindings to theirs."""
    async with Library().serving() as library, Upstream() as other, Upstream() as rest:
        backends = {True: Backend(f"grpc://{library.address}"), False: Backend(f"http://{rest.address}")}
        native = [replace(one, backend=backends[one.is_rpc_path]) for one in operations()]
        both = [
            replace(one, backend=Backend(f"http://{other.address}/other")) if one.is_rpc_path else one
            for one in operations(backend=backends[False])
        ]
        directory = tmp_path_factory.mktemp("v")
        async with a_gateway(directory, rest, live(a_config(native))) as gateway:
            callers = Callers(gateway.settings.port, library)
            assert await callers.grpc("GetShelf", shelf(shelf=7)) == (0, "")
            assert library.called == ["GetShelf"]
            assert (await callers.rest("GET /v1/shelves/7")).status == 200
            assert (library.called, rest.seen.pop().path) == ([], "/v1/shelves/7")

            outcome = await gateway.publish(live(a_config(both, config="2026-01-02r0")))
            assert outcome.ok, outcome.message
            assert await callers.grpc("GetShelf", shelf(shelf=7)) == (0, "")
            assert (other.seen.pop().path, rest.seen) == ("/other/v1/shelves/7", [])
            assert (await callers.rest("GET /v1/shelves/7")).status == 200
            assert (other.seen, rest.seen.pop().path) == ([], "/v1/shelves/7")


async def test_a_canary_makes_requests_by_its_own_rules(tmp_path_factory: pytest.TempPathFactory) -> None:
    newer = compiled({"library/v1/library.proto": PROTO.replace('get: "/v1/shelves/{shelf}"', 'get: "/v2/{shelf}"')})

    def old(address: str) -> tuple[ServiceConfig, float]:
        return a_config(operations(backend=Backend(address))), 50.0

    def new(address: str) -> tuple[ServiceConfig, float]:
        found = operations(newer, backend=Backend(address))
        return a_config(found, descriptor_set=newer, config="2026-01-02r0"), 50.0

    async with opened(tmp_path_factory, old, new) as there:
        there.answers_with(200, {})
        for _ in range(60):
            assert await there.grpc("GetShelf", shelf(shelf=7)) == (0, "")
        assert {seen.path for seen in there.seen} == {"/v1/shelves/7", "/v2/7"}


async def test_a_static_configuration_has_it_all(tmp_path: Path) -> None:
    inventory = live(a_service("http://127.0.0.1:9"))
    settings = Settings(data_dir=tmp_path)
    document = bootstrap.static(
        snapshot.build(inventory, settings), settings, sidecars=["127.0.0.1:9"], admin="127.0.0.1:0"
    )
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(document))
    envoy = await asyncio.create_subprocess_exec(
        str(proxy.find(settings)), "--mode", "validate", "-c", str(path), "-l", "warning",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await envoy.communicate()

    assert (envoy.returncode, b"eprecated" in output) == (0, False), output


async def test_methods_match_where_they_may_be_overridden(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with opened(tmp_path_factory, method_override=True) as there:
        there.answers_with(200, {})
        assert await there.grpc("GetShelf", shelf(shelf=7)) == (0, "")
        assert await there.grpc("GetShelf", shelf(shelf=9)) == (3, OTHER_REQUEST)
        assert await there.grpc("DeleteShelf", shelf(shelf=9)) == (0, "")
        assert [seen.method for seen in there.seen] == ["GET", "DELETE"]
        overridden = await there.grpc("GetShelf", shelf(shelf=7), metadata=[("x-http-method-override", "DELETE")])
        assert (overridden[0], len(there.seen)) == (12, 2)
