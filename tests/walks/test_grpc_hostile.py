"""What no well-behaved caller sends to an RPC: one clear error to the right party, and the gateway goes on.

Either the backend is not reached, or it is reached with what was meant. Where a broken message is the backend's to
judge, because native gRPC passes as it is, the backend's own words come back.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import raw
from harness.grpc_library import LIBRARY
from harness.grpc_stage import encoded, path_of
from harness.http import Response
from walks.rpc_place import HOST, JSON, Stage, a_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
MESSAGE = encoded("FileRequest", name="x")
ECHO = f"POST /{LIBRARY}/TouchAny"
GRPC = {"content-type": "application/grpc", "te": "trailers"}
WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
TEXT = {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text", "x-grpc-web": "1"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory, transport) as there:
        yield there


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _goes_on(stage: Stage) -> AsyncIterator[None]:
    """After whatever a test sent, the same gateway serves the next caller of either kind."""
    yield
    assert (await stage.rest("POST /v1/echo", {"aString": "still here"})).json() == {"aString": "still here"}
    assert await stage.grpc("TouchAny", MESSAGE) == (0, "")


def frame(message: bytes, flag: int = 0, size: int | None = None) -> bytes:
    return bytes([flag]) + struct.pack(">I", len(message) if size is None else size) + message


async def native(
    stage: Stage, body: bytes, *, path: str = "", host: str = HOST, trailers: raw.Headers = (), **headers: str | None
) -> Response:
    """One call in gRPC over HTTP/2, as written. A header of None is left out."""
    stage.library.seen.clear()
    given = GRPC | {name.replace("_", "-"): value for name, value in headers.items()}
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", path or path_of("TouchAny"))]
    plain = [(name, value) for name, value in given.items() if value is not None]
    return await raw.http2(stage.port, [*fields, *plain], body, trailers=trailers)


def refused(answer: Response, status: int, words: str) -> None:
    """One line of JSON in our shape, and nothing of gRPC's."""
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/json"
    assert len(answer.body.splitlines()) == 1
    body = answer.json()
    assert set(body) == {"code", "message"}
    assert body["code"] == status
    assert words in body["message"]
    assert len(body["message"]) < 400
    assert not [name for name, _ in answer.headers if name.startswith(("grpc-", "x-authz-", "x-envoy-"))]


def told(answer: Response, status: int, words: str) -> None:
    """One status, once, with a message that a person can read."""
    assert answer.status == 200
    assert answer.all("grpc-status") == [str(status)]
    assert words in unquote(answer.header("grpc-message") or "")
    assert answer.body == b""


# -- JSON that does not fit the message -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        # Wrong types and numbers out of range; the field is named.
        ({"an_int32": "x"}, "an_int32"), ({"an_int32": 1.5}, "an_int32"), ({"an_int32": 2**31}, "an_int32"),
        ({"an_int32": "NaN"}, "an_int32"), ({"an_int64": str(2**63)}, "an_int64"), ({"a_uint32": -1}, "a_uint32"),
        ({"a_double": "NaNN"}, "a_double"), ({"a_float": 1e40}, "a_float"), (b'{"a_double":1e999}', "a_double"),
        ({"a_bool": 1}, "a_bool"), ({"some_bytes": "***"}, "some_bytes"), ({"genre": "COOKERY"}, "genre"),
        ({"genre": True}, "genre"), ({"inner": 3}, "inner"), ({"a_string": {}}, "a_string"),
        ({"a_string": ["x"]}, "not repeating"), ({"numbers": {}}, "numbers"), ({"counts": []}, "counts"),
        ({"by_number": {"x": {}}}, "by_number"), ({"at": "yesterday"}, "at"), ({"word": "a", "number": 1}, "choice"),
        ({"inners": [{}, {"inner": {"text": 7, "inner": 1}}]}, "inners[1].inner.inner"),
        # No message at all.
        (b"[]", "must be a message"), (b'"x"', "must be a message"), (b"null", "must be a message"),
        (b"{}{}", "before end of input"), (b"{} x", "before end of input"), (b"{/*x*/}", "Expected"),
        (b'{"a_string":', "Unexpected end"), (b"a_string=x", "Unexpected token"), (b"\xef\xbb\xbf{}", "Expected"),
        (b"--x\r\ncontent-disposition: form-data\r\n\r\n1", "Unable to parse"),
        # Text that is none.
        (b'{"a_string":"\xff\xfe"}', "UTF-8"), (b'{"a_string":"\xc0\xaf"}', "UTF-8"),
        (b'{"a_string":"\xed\xa0\x80"}', "UTF-8"), (b'{"\xff":1}', "UTF-8"),
        (b'{"a_string":"\\ud800"}', "surrogate"), ('{"a_string":"x"}'.encode("utf-16"), "UTF-8"),
    ],
)  # fmt: skip
async def test_json_that_does_not_fit_is_refused_by_name(stage: Stage, body: Any, words: str) -> None:
    answer = await stage.rest("POST /v1/echo", body, JSON)

    refused(answer, 400, words)
    assert stage.library.called == []


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        # Envoy leaves out what it does not know, and takes the last of what comes twice.
        ({"nope": 1, "a_bool": True}, {"aBool": True}), ({"inner": {"nope": {"a": [1]}}}, {"inner": {}}),
        (b'{"an_int32":1,"anInt32":2}', {"anInt32": 2}), ({"a_string": None}, {}), (b"", {}),
        ({"an_int32": "7", "a_double": "NaN", "an_int64": str(-(2**63))},
         {"anInt32": 7, "aDouble": "NaN", "anInt64": str(-(2**63))}),
        (b'{"a_string":"\\u0000\\n"}', {"aString": "\0\n"}), ({"genre": 99}, {"genre": 99}),
    ],
)  # fmt: skip
async def test_odd_json_arrives_as_it_was_meant(stage: Stage, body: Any, answer: Any) -> None:
    got = await stage.rest("POST /v1/echo", body, JSON)

    assert (got.status, got.json()) == (200, answer)
    assert stage.library.called == ["Echo"]


@pytest.mark.parametrize("depth", [101, 100_000])
@pytest.mark.parametrize(
    ("opening", "leaf", "closing"),
    [
        (b'{"inner":', b"{}", b"}"),
        (b'{"structure":{"a":', b"1", b"}}"),
        (b'{"structure":{"a":[', b"", b"]}}"),
        (b'{"nope":{"x":', b"1", b"}}"),
        (b'{"counts":{"x":', b"1", b"}}"),
    ],
)
async def test_depth_bombs_are_refused(stage: Stage, opening: bytes, leaf: bytes, closing: bytes, depth: int) -> None:
    before, again = opening[: opening.rindex(b":") + 1], opening[opening.rindex(b'{"') :]
    if opening.endswith(b"["):
        again = b"["
    body = before + again * depth + leaf
    refused(await stage.rest("POST /v1/echo", body, JSON), 400, "Message too deep")
    assert stage.library.called == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "a"}, "Expected an array"),
        (b'[{"name":"a"},{"pages":"x"}]', "pages"),
        (b'[{"name":"a"},{"name":', "Unexpected end"),
        (b'[{"name":"a"},7]', "must be a message"),
    ],
)
async def test_a_stream_of_json_breaks_with_one_error(stage: Stage, body: Any, words: str) -> None:
    """Its first messages may have reached the backend, which learns that the call is over."""
    stage.library.cancelled.clear()
    refused(await stage.rest(f"POST /{LIBRARY}/AddBooks", body, JSON), 400, words)


async def test_an_rpc_that_takes_bodies_of_any_kind_has_no_json_of_the_whole_message(stage: Stage) -> None:
    """Envoy would put that JSON into the field that holds the body."""
    answer = await stage.rest(f"POST /{LIBRARY}/Upload", {"name": "n", "content": {"data": "aGk="}})

    refused(answer, 404, "Could not resolve")
    assert stage.library.called == []
    assert (await stage.rest("PUT /v1/files/n", b"hi", ("content-type", "text/x"))).body == b"hi"


# -- paths and queries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("GET /v1/files/a%ffb", "escape"), ("GET /v1/files/a%C0%AFb", "escape"), ("GET /v1/files/a%zz", "escape"),
        ("GET /v1/files/a%0ab", "escape"), ("GET /v1/files/a%00b", "escape"), ("GET /v1/fail/99999999999", "code"),
        ("GET /v1/fail/x", "code"), ("GET /v1/sleep/1e999", "seconds"),
        # What the path says, the query does not say again: Envoy would believe the query.
        ("GET /v1/fail/5?code=7", "names already"), ("GET /v1/fail/5?message=x&code=7", "names already"),
        ("GET /v1/fail/5?code=", "names already"), ("GET /v1/fail/5?c%6fde=7", "name of a parameter"),
        ("POST /v1/places/a/shelves?parent=places/b", "names already"),
        ("GET /v1/fail/5?message=%ff", "no UTF-8"), ("GET /v1/fail/5?message=%C0%AF", "no UTF-8"),
        ("GET /v1/fail/5?message=%zz", "broken"), ("GET /v1/fail/5?message=%ED%A0%80", "no UTF-8"),
        ("GET /v1/fail/5?nope=1", '"nope"'), ("GET /v1/fail/5?message.x=1", "message"), ("GET /v1/fail/5?.=1", '""'),
        ("GET /v1/fail/5?a.b.c.d=1", '"a"'), ("POST /v1/shelves/7:archive?like.id=zz", "like.id"),
        ("POST /v1/shelves/7:archive?like=x", "like"), ("POST /v1/shelves/7:archive?genres=COOKERY", "genres"),
        ("POST /v1/shelves/7:archive?" + ".".join(["like"] * 400) + "=1", '"like"'),
    ],
)  # fmt: skip
async def test_paths_and_queries_that_fit_no_field_are_refused(stage: Stage, line: str, words: str) -> None:
    answer = await stage.rest(line, {} if line.startswith("POST") else None)

    refused(answer, 400, words)
    assert stage.library.called == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("GET /v1/fail/5?message=a%26code%3D7", "a&code=7"), ("GET /v1/fail/5?message=?code", "?code"),
        ("GET /v1/fail/5?message=B%C3%BCcher+%F0%9F%93%9A", "Bücher \N{BOOKS}"), ("GET /v1/fail/5?code", ""),
        ("GET /v1/fail/5?message=a=b=c", "a=b=c"), ("GET /v1/fail/5?message=%0a%00", "\n\0"),
        ("GET /v1/fail/5?&message=x&", "x"), ("GET /v1/fail/5?", ""),
    ],
)  # fmt: skip
async def test_odd_queries_arrive_as_they_were_meant(stage: Stage, line: str, message: str) -> None:
    answer = await stage.rest(line)

    assert (answer.status, answer.json()["code"], answer.json().get("message", "")) == (404, 5, message)
    assert stage.library.called == ["Fail"]


async def test_of_a_parameter_that_comes_twice_the_last_counts_unless_it_is_repeated(stage: Stage) -> None:
    failed = await stage.rest("GET /v1/fail/5?message=first&message=last")
    found = await stage.rest("POST /v1/shelves/7:archive?genres=DRAMA&genres=POETRY", {})

    assert failed.json()["message"] == "last"
    assert found.json()["genre"] == "DRAMA"


async def test_a_thousand_parameters_are_one_message(stage: Stage) -> None:
    query = "&".join(["genres=DRAMA"] * 1000)
    found = await stage.rest(f"POST /v1/shelves/7:archive?{query}", {})

    assert (found.status, found.json()["genre"]) == (200, "DRAMA")


# -- frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (frame(MESSAGE, 1), {}, 13, "ompression"),
        (frame(MESSAGE, 1), {"grpc_encoding": "nope"}, 13, "grpc-encoding"),
        (frame(MESSAGE, size=2**32 - 1), {}, 8, "larger than max"),
        (frame(b"\xff" * 30), {}, 2, ""),
        (frame(b"\x0a\x02\xff\xfe"), {}, 2, "UTF-8"),
        (frame(b'{"name":"x"}'), {"content_type": "application/grpc+json"}, 2, ""),
        (frame(MESSAGE), {"grpc_timeout": "0S"}, 4, ""),
        (frame(MESSAGE), {"x_mine_bin": "***"}, 13, "x-mine-bin"),
        (frame(MESSAGE, size=500), {"grpc_timeout": "300m"}, 4, ""),
        (b"\0\0\0", {"grpc_timeout": "300m"}, 4, ""),
    ],
)
async def test_a_broken_call_has_one_status(stage: Stage, body: bytes, headers: Any, status: int, words: str) -> None:
    told(await native(stage, body, **headers), status, words)
    assert stage.library.called == []


async def test_without_te_a_call_fails_with_a_status(stage: Stage) -> None:
    """The backend wants it, so that no proxy without trailers stands between."""
    told(await native(stage, frame(MESSAGE), te=None), 14, "reset")


@pytest.mark.parametrize("deadline", ["soon", "-1S", "1", "1x", "99999999H", "999999999999S"])
async def test_a_deadline_that_is_none_is_none(stage: Stage, deadline: str) -> None:
    answer = await native(stage, frame(MESSAGE), grpc_timeout=deadline)

    assert (answer.all("grpc-status"), answer.body) == (["0"], frame(MESSAGE))


async def test_trailers_of_a_request_say_nothing(stage: Stage) -> None:
    """Neither who calls nor what for; and a call that needs a key does not find it there."""
    forged = [
        ("x-endpoint-api-operation-name", "forged"),
        ("grpc-status", "0"),
        ("x-endpoint-api-consumer-number", "1"),
    ]
    answer = await native(stage, frame(MESSAGE), trailers=forged)
    assert answer.all("grpc-status") == ["0"]
    (call,) = stage.library.seen
    assert call.metadata["x-endpoint-api-operation-name"] == f"{LIBRARY}.TouchAny"
    assert "x-endpoint-api-consumer-number" not in call.metadata

    shelf = frame(encoded("ShelfRequest", shelf=5))
    told(await native(stage, shelf, path=path_of("GetShelf"), trailers=[stage.key()]), 16, "API key is needed")
    assert stage.library.called == []
    assert await native(stage, frame(MESSAGE), trailers=[(":path", "/x")]) == raw.NO_ANSWER


@pytest.mark.parametrize("kib", [20, 70])
async def test_huge_metadata_is_refused(stage: Stage, kib: int) -> None:
    """By the backend, whose limit is lower; above the gateway's own, the stream is reset before it is a call."""
    answer = await native(stage, frame(MESSAGE), x_mine="a" * kib * 1024)

    if kib == 20:
        told(answer, 8, "metadata size exceeds")
    else:
        assert answer == raw.NO_ANSWER
        assert (await stage.rest("GET /v1/sleep/0", None, ("x-mine", "a" * kib * 1024))).status == 431
    assert stage.library.called == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"/{LIBRARY}/TouchAny/", "own path"),
        ("/v1/echo", "own path"),
        (f"/{LIBRARY.lower()}/touchany", "No operation"),
        (f"/{LIBRARY}/TouchAny/TouchAny", "No operation"),
        (f"/{LIBRARY}", "No operation"),
        ("/", "No operation"),
    ],
)
async def test_grpc_on_no_rpcs_path_is_unimplemented(stage: Stage, path: str, words: str) -> None:
    told(await native(stage, frame(MESSAGE), path=path), 12, words)
    assert stage.library.called == []


async def test_grpc_for_two_hosts_at_once_has_a_status(stage: Stage) -> None:
    told(await native(stage, frame(MESSAGE), host=f"{HOST},elsewhere.test"), 3, "The request names more than one host.")
    assert stage.library.called == []


@pytest.mark.parametrize("kind", ["text/plain", "Application/GRPC", "application/x-protobuf", None])
async def test_other_content_types_are_taken_for_json(stage: Stage, kind: str | None) -> None:
    refused(await native(stage, frame(MESSAGE), content_type=kind), 400, "Expected a value")
    assert stage.library.called == []


async def test_grpc_over_http1_is_a_call_like_any_other(stage: Stage) -> None:
    """Its errors have a status, which stands in front; and what needs a key needs it here, too."""
    kind = ("content-type", "application/grpc")
    answer = await stage.rest(ECHO, frame(MESSAGE), kind, ("te", "trailers"))
    assert (answer.status, answer.body, stage.library.called) == (200, frame(MESSAGE), ["TouchAny"])

    told(await stage.rest(f"POST {path_of('GetShelf')}", frame(b""), kind), 16, "API key is needed")
    told(await stage.rest(f"GET {path_of('TouchAny')}", None, kind), 12, "own path")
    assert stage.library.called == []


@pytest.mark.parametrize(
    ("kind", "body", "status", "words"),
    [
        (TEXT, b"!!!!not base64", 3, "base64"),
        (TEXT, b"AAA", 3, "base64"),
        (WEB, frame(MESSAGE, 1), 13, "ompression"),
        (WEB, frame(MESSAGE, size=500), 4, ""),
        (WEB, b"", 4, ""),
        (TEXT, base64.b64encode(frame(MESSAGE, size=500)), 4, ""),
    ],
)
async def test_broken_grpc_web_has_one_status(stage: Stage, kind: Any, body: bytes, status: int, words: str) -> None:
    answer = await stage.rest(ECHO, body, *kind.items(), ("grpc-timeout", "300m"))

    assert (answer.header("content-type") or "").startswith(kind["content-type"])
    told(answer, status, words)
    assert stage.library.called == []


async def test_a_trailers_frame_of_a_caller_is_no_status(stage: Stage) -> None:
    """gRPC-Web has such frames in answers only."""
    body = frame(MESSAGE) + frame(b"grpc-status:13\r\n", 0x80)
    answer = await stage.rest(ECHO, body, *WEB.items())

    assert re.findall(rb"grpc-status:(\d+)", answer.body) == [b"0"]


# -- anything at all ------------------------------------------------------------------------------------------------

_WHOLE = json.dumps({
    "an_int32": 7, "a_string": "\u00fc", "inner": {"text": "x", "inner": {}}, "numbers": ["1", 2], "counts": {"a": "1"},
    "at": "2026-01-01T00:00:00Z", "structure": {"a": [None, True, {}]}, "genre": "DRAMA", "some_bytes": "AAA=",
}).encode()  # fmt: skip


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """A good body, in which some bytes are others, gone or there twice."""
    body = bytearray(_WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        piece = body[start : start + draw(st.integers(0, 9))]
        body[start : start + len(piece)] = draw(st.one_of(st.binary(max_size=5), st.just(bytes(piece * 2))))
    return bytes(body)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=nearly_json())
async def test_any_body_is_a_message_or_one_error(stage: Stage, body: bytes) -> None:
    answer = await stage.rest("POST /v1/echo", body, JSON)

    if answer.status == 200:
        assert stage.library.called == ["Echo"]
        assert isinstance(answer.json(), dict)
    else:
        refused(answer, 400, "")
        assert stage.library.called == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30))
async def test_any_query_is_read_or_refused_and_never_says_what_the_path_says(stage: Stage, query: str) -> None:
    answer = await stage.rest(f"GET /v1/fail/5?code=7&{query}")
    refused(answer, 400, "")

    answer = await stage.rest(f"GET /v1/fail/5?{query}")
    assert answer.status in {400, 404}
    assert answer.json()["code"] in {400, 5}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=40))
async def test_any_bytes_in_grpc_have_one_status(stage: Stage, body: bytes) -> None:
    answer = await native(stage, body, grpc_timeout="100m")
    assert answer.status == 200
    assert len(answer.all("grpc-status")) == 1

    answer = await stage.rest(ECHO, body, *WEB.items(), ("grpc-timeout", "100m"))
    ends = answer.all("grpc-status") + re.findall(rb"grpc-status:(\d+)", answer.body)
    assert (answer.status, len(ends)) == (200, 1)


# -- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "opening", "closing"),
    [("POST /v1/echo", b'{"aString":"', b'"}'), ("POST /v1/echo", b'{"nope":"', b'"}'), ("PUT /v1/files/a", b"", b"")],
)
async def test_a_body_is_made_an_rpc_up_to_the_limit_and_no_further(
    stage: Stage, line: str, opening: bytes, closing: bytes
) -> None:
    """Whatever it becomes, and in whatever pieces it comes. The backend takes no more than 4 MiB either."""
    room = stage.running.settings.transcoding_max_request_bytes - len(opening) - len(closing)
    fits = await stage.rest(line, opening + b"1" * (room - 64) + closing, JSON)
    assert (fits.status, len(stage.library.called)) == (200, 1)

    refused(await stage.rest(line, opening + b"1" * (room + 1) + closing, JSON), 413, "larger than")
    assert stage.library.called == []


async def test_a_stream_of_json_is_bounded_too(stage: Stage) -> None:
    line = f"POST /{LIBRARY}/AddBooks"
    assert (await stage.rest(line, json.dumps([{"name": "a"}] * 5000).encode(), JSON)).json()["count"] == 5000

    refused(await stage.rest(line, b'[{"name":"' + b"x" * 8 * MIB + b'"}]', JSON), 413, "larger than")
    assert stage.library.called == []


async def test_a_message_too_large_for_the_backend_says_so_to_each(stage: Stage) -> None:
    large = encoded("FileRequest", name="x" * 5 * MIB)
    async with stage.channel() as channel:
        call = channel.unary_unary(path_of("TouchAny"))(large)
        assert (await call.code()).value[0] == 8
        assert "larger than max" in await call.details()
    assert (await stage.web("TouchAny", large)).status[0] == 8
    assert stage.library.called == []


async def test_memory_is_bounded_whatever_is_sent(stage: Stage) -> None:
    """Envoy refuses what it would have to keep. A caller who goes on sending may miss its answer."""
    stage.library.seen.clear()
    before, size = resident(stage), 32 * MIB
    for body in (b'{"aString":"' + b"x" * size, b'{"numbers":[' + b"1," * size, b'{"x":' + b"[" * size, b" " * size):
        head = f"POST /v1/echo HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        answer = await raw.http1(stage.port, head + body)
        assert answer.status in {0, 400, 413}
        assert resident(stage) < before + size
    assert stage.library.called == []


def resident(stage: Stage) -> int:
    """Envoy's memory in bytes."""
    process = stage.running.proxy._process
    assert process
    status = Path(f"/proc/{process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    return int(match[1]) * 1024
