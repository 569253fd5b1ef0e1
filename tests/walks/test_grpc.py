"""Walk 4: gRPC. One backend for native, gRPC-Web and JSON callers, through a real Envoy and the whole gateway."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import raw, statuses
from harness.grpc_library import LIBRARY, message, messages
from harness.grpc_stage import encoded, path_of
from harness.http import Upstream
from harness.waiting import a_minute_with_time_left, until
from walks.rpc_place import HOST, JSON, Stage, a_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory, transport) as there:
        yield there


REVERSED = f"""
backend:
  rules:
  - {{{{selector: {LIBRARY}.GetShelf, address: "http://{{}}"}}}}
"""


def stub(channel: grpc.aio.Channel, rpc: str, kind: str, answer: str) -> Any:
    """`kind`: `unary_stream` and the like."""
    return getattr(channel, kind)(
        path_of(rpc),
        request_serializer=lambda one: one.SerializeToString(),
        response_deserializer=messages()[f"library.v1.{answer}"].FromString,
    )


# -- native gRPC ----------------------------------------------------------------------------------------------------


async def test_all_four_kinds_of_calls(stage: Stage) -> None:
    async def given_books() -> AsyncIterator[Any]:
        for name in ("ab", "cd"):
            yield message("Book", name=name)

    async with stage.channel() as channel:
        touched = await stub(channel, "TouchAny", "unary_unary", "FileRequest")(message("FileRequest", name="x"))
        listed = stub(channel, "ListBooks", "unary_stream", "Book")(message("ListBooksRequest", count=3))
        added = await stub(channel, "AddBooks", "stream_unary", "Books")(given_books())
        swapped = stub(channel, "Swap", "stream_stream", "Book")(given_books())

        assert touched.name == "x"
        assert [one.name async for one in listed] == ["book 0", "book 1", "book 2"]
        assert list(added.names) == ["ab", "cd"]
        assert [one.name async for one in swapped] == ["ba", "dc"]


async def test_both_sides_of_a_stream_talk_in_turn(stage: Stage) -> None:
    """Nothing on the way waits for the end of either side."""
    async with stage.channel() as channel:
        call = stub(channel, "Swap", "stream_stream", "Book")()
        for number in range(5):
            await call.write(message("Book", name=f"{number}x"))
            assert (await call.read()).name == f"x{number}"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_metadata_travels_and_only_the_gateways_own_is_the_gateways(stage: Stage) -> None:
    sent = [("x-mine", "1"), ("x-mine-bin", b"\x00\xff"), ("x-endpoint-api-operation-name", "forged")]
    assert await stage.grpc("TouchAny", metadata=sent) == (0, "")

    (call,) = stage.library.seen
    assert call.metadata["x-mine"] == "1"
    assert call.metadata["x-endpoint-api-operation-name"] == f"{LIBRARY}.TouchAny"


async def test_a_cancelled_call_is_cancelled_in_the_backend(stage: Stage) -> None:
    stage.library.cancelled.clear()
    async with stage.channel() as channel:
        call = stub(channel, "ListBooks", "unary_stream", "Book")(message("ListBooksRequest", count=9, pause=5))
        assert (await call.read()).name == "book 0"
        call.cancel()

        async def is_cancelled() -> bool:
            return stage.library.cancelled == [path_of("ListBooks")]

        await until(is_cancelled)


async def test_a_callers_deadline_reaches_the_backend(stage: Stage) -> None:
    assert await stage.grpc("TouchAny", timeout=3) == (0, "")
    assert stage.library.seen[0].deadline is not None
    assert 0 < stage.library.seen[0].deadline <= 3.1  # a client rounds up
    assert (await stage.grpc("Sleep", encoded("SleepRequest", seconds=20), timeout=0.3))[0] == 4


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_large_messages_pass_in_both_directions(stage: Stage, compression: grpc.Compression) -> None:
    name = "x" * (1 << 20)
    async with stage.channel() as channel:
        call = stub(channel, "TouchAny", "unary_unary", "FileRequest")
        assert (await call(message("FileRequest", name=name), compression=compression)).name == name


async def test_a_backend_that_compresses_has_callers_in_grpc_only(
    tmp_path_factory: pytest.TempPathFactory, transport: str
) -> None:
    """Envoy's transcoder reads no message that is compressed."""
    name = "compress me " * 1000
    async with a_stage(tmp_path_factory, transport, compression=grpc.Compression.Gzip) as stage:
        async with stage.channel() as channel:
            call = stub(channel, "TouchAny", "unary_unary", "FileRequest")
            assert (await call(message("FileRequest", name=name))).name == name
        assert (await stage.web("TouchAny", encoded("FileRequest", name=name))).status == (0, "")
        assert (await stage.rest(f"POST /{LIBRARY}/TouchAny", {"name": name})).status == 502


async def test_errors_arrive_as_the_backend_said_them(stage: Stage) -> None:
    async with stage.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path_of("Fail"))(encoded("FailRequest", code=9, message="bücher\n"))

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "bücher\n")
    assert b"BROKEN" in dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]


# -- gRPC-Web -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [False, True])
async def test_grpc_web_in_both_encodings(stage: Stage, text: bool) -> None:
    listed = await stage.web("ListBooks", encoded("ListBooksRequest", count=2), text=text)
    failed = await stage.web("Fail", encoded("FailRequest", code=9, message="no"), text=text)

    assert listed.messages == [encoded("Book", name="book 0"), encoded("Book", name="book 1", pages=1)]
    assert (listed.status, failed.status, failed.messages) == ((0, ""), (9, "no"), [])
    assert b"BROKEN" in base64.b64decode(failed.trailers["grpc-status-details-bin"] + "==")


# -- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "body", "answer"),
    [
        ("POST /v1/places/a/shelves?dry=true", {"id": 2**53 + 1}, {"id": f"{2**53 + 1}", "ownerName": "places/a"}),
        ("DELETE /v1/shelves/7", None, {}),
        ("POST /v1/shelves/7:archive", {"theme": "x"}, {"id": "7", "theme": "x"}),
        ("POST /v1/shelves/7/8/9", None, {"name": "shelves/7/8/9"}),
        ("GET /v1/shelves/7/books?count=2", None, [{"name": "book 0"}, {"name": "book 1", "pages": 1}]),
        (f"POST /{LIBRARY}/AddBooks", [{"name": "a"}, {"name": "b"}], {"count": 2, "names": ["a", "b"]}),
        (f"POST /{LIBRARY}/Swap", [{"name": "ab"}, {"name": "cd"}], [{"name": "ba"}, {"name": "dc"}]),
        (f"POST /{LIBRARY}/TouchAny", {"name": "x"}, {"name": "x"}),
        ("GET /v1/sleep/0.0", None, {}),
    ],
)  # fmt: skip
async def test_json_becomes_rpcs(stage: Stage, line: str, body: Any, answer: Any) -> None:
    got = await stage.rest(line, body)

    assert (got.status, got.json()) == (200, answer)
    assert not [name for name, _ in got.headers if name.startswith(("grpc-", "x-envoy-", "x-authz-"))]


async def test_json_over_http2(stage: Stage) -> None:
    def request(path: str) -> list[tuple[str, str]]:
        return [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", path)]

    listed = await raw.http2(stage.port, request("/v1/shelves/7/books?count=2"))
    failed = await raw.http2(stage.port, request("/v1/fail/5?message=gone"))

    assert (listed.status, listed.json()) == (200, [{"name": "book 0"}, {"name": "book 1", "pages": 1}])
    assert (failed.status, failed.json()["code"], failed.json()["message"]) == (404, 5, "gone")


async def test_bodies_of_any_kind_pass_as_they_are(stage: Stage) -> None:
    content = bytes(range(256))
    put = await stage.rest("PUT /v1/files/a", content, ("content-type", "image/x-any"))
    got = await stage.rest("GET /v1/files/a/b/c")

    assert (put.status, put.header("content-type"), put.body) == (200, "image/x-any", content)
    assert (got.status, got.header("content-type"), got.body) == (200, "text/x-name", b"a/b/c")


# -- one operation, whoever calls -----------------------------------------------------------------------------------


USED_UP = "RESOURCE_EXHAUSTED: The limit 'reads' of 2 per 60 s is used up."


def _but_when(words: str) -> str:
    """A message without the seconds to wait, of which one may have passed."""
    return words.partition(" Try again")[0]


async def test_the_access_log_tells_what_came_of_a_call_however_it_was_made(
    tmp_path_factory: pytest.TempPathFactory, transport: str
) -> None:
    log = tmp_path_factory.mktemp("log") / "access.log"
    failing = encoded("FailRequest", code=5, message="gone")
    async with a_stage(tmp_path_factory, transport, access_log=str(log)) as stage:
        key = stage.key()
        for rpc, request, more in (
            ("TouchAny", encoded("FileRequest", name="x"), []),
            ("Fail", failing, []),
            ("GetShelf", encoded("ShelfRequest", shelf=5), []),
            ("GetShelf", encoded("ShelfRequest", shelf=5), [key]),
            ("Missing", b"", []),
        ):
            await stage.grpc(rpc, request, metadata=more)
            await stage.web(rpc, request, *more)
        await stage.rest("GET /v1/fail/5?message=gone")
        await stage.rest("GET /v1/shelves/5")
        await stage.rest("GET /v1/sleep/0.0")

        await until(lambda: len(log.read_text().splitlines()) >= 13)
        lines = [json.loads(line) for line in log.read_text().splitlines()]

    # Of a call in gRPC-Web that got a message, the status is in the body.
    told = [(line["status"], line.get("grpc_status")) for line in lines]
    assert told == [
        (200, 0), (200, None), (200, 5), (200, 5), (200, 16), (200, 16), (200, 0), (200, None), (200, 12), (200, 12),
        (404, None), (401, None), (200, None),
    ]  # fmt: skip


async def test_every_binding_asks_for_the_same_key_and_takes_from_the_same_quota(stage: Stage) -> None:
    request = encoded("ShelfRequest", shelf=5)
    assert (await stage.grpc("GetShelf", request))[0] == 16
    assert (await stage.web("GetShelf", request)).status[0] == 16
    for line in ("GET /v1/shelves/5", "GET /v1/s/5", "POST /v1/shelves:find", f"POST /{LIBRARY}/GetShelf"):
        assert (await stage.rest(line, {} if line.startswith("POST") else None)).status == 401
    assert stage.library.called == []

    key = stage.key()
    await a_minute_with_time_left()
    assert await stage.grpc("GetShelf", request, metadata=[key]) == (0, "")
    assert (await stage.rest(f"GET /v1/s/5?key={key[1]}")).json() == {"id": "5", "theme": "default"}

    status, words = await stage.grpc("GetShelf", request, metadata=[key])
    assert (status, _but_when(words)) == (8, USED_UP)
    status, words = (await stage.web("GetShelf", request, key)).status
    assert (status, _but_when(words)) == (8, USED_UP)
    refused = await stage.rest("GET /v1/shelves/5", None, key)
    assert (refused.status, refused.json()["code"]) == (429, 429)
    assert refused.header("retry-after")


@pytest.mark.parametrize(("within", "reverse"), [(True, False), (False, False), (True, True), (False, True)])
async def test_whoever_is_refused_in_grpc_learns_when_to_come_back(
    tmp_path_factory: pytest.TempPathFactory, transport: str, within: bool, reverse: bool
) -> None:
    """Whether Check charges or RateLimit, and whatever the backend speaks.

    Callers in JSON have Retry-After and nothing of gRPC's.
    """
    async with Upstream() as rest, a_stage(
        tmp_path_factory, transport, quota_in_check=within, more=REVERSED.format(rest.address) if reverse else ""
    ) as stage:  # fmt: skip
        key, request = stage.key(), encoded("ShelfRequest", shelf=5)
        await a_minute_with_time_left()
        for _ in range(2):
            assert await stage.grpc("GetShelf", request, metadata=[key]) == (0, "")
        async with stage.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path_of("GetShelf"))(request, metadata=[key])
        web = await stage.web("GetShelf", request, key)
        text = await stage.web("GetShelf", request, key, text=True)
        lines = ["GET /v1/shelves/5", "GET /v1/s/5", "POST /v1/shelves:find", f"POST /{LIBRARY}/GetShelf"]
        # On its own path, an RPC of a REST backend takes no JSON.
        refused = [await stage.rest(line, {} if "POST" in line else None, key) for line in lines[: 4 - reverse]]

        trailers = [dict(caught.value.trailing_metadata() or ()), web.trailers, text.trailers]
        for told in (statuses.read(one["grpc-status-details-bin"]) for one in trailers):
            assert told
            assert (told.code, _but_when(told.message)) == (8, USED_UP)
            assert told.reason == ("QUOTA_USED_UP", HOST)
            assert told.retry_seconds
            assert 0 < told.retry_seconds <= 60
            assert told.message.endswith(f" {told.retry_seconds} s.")
            ((subject, description),) = told.violations
            assert subject.startswith("consumer:")
            assert description == USED_UP.removeprefix("RESOURCE_EXHAUSTED: ")
        for answer in refused:
            assert (answer.status, answer.json()["code"]) == (429, 429)
            assert answer.header("retry-after")
            assert not [name for name, _ in answer.headers if name.startswith("grpc-")]


async def test_a_refused_credential_has_a_reason_that_machines_read(stage: Stage) -> None:
    for metadata, status, reason in (((), 16, "KEY_MISSING"), ((("x-api-key", "no"),), 3, "KEY_INVALID")):
        async with stage.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path_of("GetShelf"))(b"", metadata=metadata)
        native = statuses.read(dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"])
        web = await stage.web("GetShelf", b"", *metadata)

        assert native == statuses.read(web.trailers["grpc-status-details-bin"])
        assert native
        assert (native.code, native.reason, native.retry_seconds) == (status, (reason, HOST), None)


# -- a random message travels unchanged -----------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def _integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


_INNER = st.recursive(
    st.fixed_dictionaries({}, optional={"text": _TEXT}),
    lambda inner: st.fixed_dictionaries({"inner": inner}, optional={"text": _TEXT}),
    max_leaves=4,
)


def _in_json(number: float) -> float:
    """Neither zero nor NaN has a sign in JSON that Envoy keeps."""
    return math.nan if math.isnan(number) else number or 0.0


_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "a_double": st.floats().map(_in_json),
    "a_float": st.floats(width=32).map(_in_json),
    "a_bool": st.booleans(),
    "a_string": _TEXT,
    "some_bytes": st.binary(max_size=20),
    "genre": st.sampled_from([0, 1, 2, 99]),
    "inner": _INNER,
    "perhaps": _TEXT,
    "numbers": st.lists(_integers(64, signed=True), max_size=4),
    "inners": st.lists(_INNER, max_size=3),
    "counts": st.dictionaries(_TEXT, _integers(64, signed=True), max_size=3),
    "by_number": st.dictionaries(_integers(32, signed=True), _INNER, max_size=3),
    **{
        name: _integers(64 if "64" in name else 32, signed="_u" not in name and "a_fixed" not in name)
        for name in (
            "an_int32", "an_int64", "a_uint32", "a_uint64", "a_sint32", "a_sint64", "a_fixed32", "a_fixed64",
            "an_sfixed32", "an_sfixed64",
        )
    },
}  # fmt: skip


@st.composite
def everything(draw: st.DrawFn) -> Any:
    """A message with any of its fields, absent ones included."""
    one = message("Everything", **draw(st.fixed_dictionaries({}, optional=_SCALARS)))
    match draw(st.integers(0, 2)):
        case 1:
            one.word = draw(_TEXT)
        case 2:
            one.number = draw(_integers(32, signed=True))
    if draw(st.booleans()):
        one.at.seconds, one.at.nanos = draw(st.integers(0, 2**32)), draw(st.integers(0, 999_999_999))
        one.wrapped.value = draw(_TEXT)
    if draw(st.booleans()):
        numbers = st.floats(allow_nan=False, allow_infinity=False)
        one.structure.update(draw(st.dictionaries(_TEXT, st.one_of(_TEXT, st.booleans(), numbers), max_size=3)))
    return one


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=everything())
async def test_a_random_message_travels_unchanged(stage: Stage, sent: Any) -> None:
    """JSON -> Envoy -> gRPC -> Envoy -> JSON. As bytes, because no number equals NaN."""
    answer = await stage.rest("POST /v1/echo", json_format.MessageToJson(sent).encode(), JSON)
    came = json_format.Parse(answer.body, message("Everything"))

    assert came.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)
