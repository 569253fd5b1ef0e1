"""JSON to gRPC as the settings want it, per host and per config. On a real Envoy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from authz.model.auth import Alternative, JwtProvider, Place, PlaceKind, Requirement
from authz.model.inventory import Inventory
from authz.model.service import ServiceConfig
from authz.model.transcoding import TranscodingOptions
from authz.settings import Settings
from authz.xds.rpc.transcoder import Transcoding
from harness.grpc_library import LIBRARY, PROTO, descriptors, operations
from harness.grpc_protos import compiled
from harness.grpc_stage import Callers, Stage, a_config, live

Open = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.mark.parametrize(
    ("settings", "line", "answer"),
    [
        ({}, "GET /v1/shelves/5?theme=a+b", '{"id":"5","theme":"a b"}'),
        (
            {"transcoding_query_parameters_disable_unescape_plus": True},
            "GET /v1/shelves/5?theme=a+b%20c",
            '{"id":"5","theme":"a+b c"}',
        ),
        (
            {"transcoding_always_print_primitive_fields": True, "transcoding_preserve_proto_field_names": True},
            "GET /v1/shelves/5?theme=x",
            '{"id":"5","theme":"x","genre":"GENRE_UNSPECIFIED","tags":[],"owner_name":""}',
        ),
        (
            {"transcoding_always_print_enums_as_ints": True, "transcoding_case_insensitive_enum_parsing": True},
            "GET /v1/shelves/5?theme=x&genres=drama",
            '{"id":"5","theme":"x","genre":2}',
        ),
        ({"transcoding_ignore_query_parameters": ("who",)}, "GET /v1/shelves/5?who=me", '{"id":"5","theme":"default"}'),
        (
            {"transcoding_ignore_unknown_query_parameters": True},
            "GET /v1/shelves/5?who=me&theme=x",
            '{"id":"5","theme":"x"}',
        ),
        ({}, "GET /v1/shelves/7/books?count=2", '[{"name":"book 0"},{"name":"book 1","pages":1}]'),
        (
            {"transcoding_stream_newline_delimited": True},
            "GET /v1/shelves/7/books?count=2",
            '{"name":"book 0"}\n{"name":"book 1","pages":1}\n',
        ),
        (
            {"transcoding_stream_sse": True},
            "GET /v1/shelves/7/books?count=2",
            'data: {"name":"book 0"}\n\ndata: {"name":"book 1","pages":1}\n\n',
        ),
        ({}, "POST /v1/shelves/7:other", '{"name":"shelves/7:other"}'),
    ],
)  # fmt: skip
async def test_answers_are_printed_and_parameters_read_as_set(
    opened: Open, settings: dict[str, Any], line: str, answer: str
) -> None:
    async with opened(**settings) as stage:
        got = await stage.rest(line)

        assert (got.status, got.body.decode()) == (200, answer)
        sse = "transcoding_stream_sse" in settings
        assert got.header("content-type") == ("text/event-stream" if sse else "application/json")


@pytest.mark.parametrize(
    ("line", "body", "status", "words"),
    [
        ("GET /v1/shelves/5?nope=1", None, 400, '"nope"'),
        ("GET /v1/shelves/5?like.nope=1", None, 400, '"nope"'),
        ("GET /v1/shelves/abc", None, 400, "shelf"),
        ("GET /v1/shelves/5?genres=COOKERY", None, 400, "genres"),
        ("POST /v1/shelves/7:archive", {"shelf": 8}, 400, "shelf"),
        ("POST /v1/shelves:find", {"shelf": "x"}, 400, "shelf"),
        ("POST /v1/shelves:find", b'{"shelf":', 400, "Unexpected end of string"),
        ("POST /v1/shelves:find", b'{"theme":"\xff"}', 400, "UTF-8"),
        ("POST /v1/shelves:find", b'{"like":' * 200, 400, "too deep"),
    ],
)
async def test_what_cannot_be_read_is_refused_in_our_shape(
    opened: Open, line: str, body: Any, status: int, words: str
) -> None:
    async with opened() as stage:
        answer = await stage.rest(line, body)

        assert answer.status == status
        assert answer.json()["code"] == status
        assert words in answer.json()["message"]
        assert len(answer.body.splitlines()) == 1
        assert stage.library.called == []


async def test_errors_of_the_backend_carry_their_details(opened: Open) -> None:
    async with opened() as stage:
        for code, status in ((3, 400), (5, 404), (7, 403), (8, 429), (9, 400), (12, 501), (14, 503), (16, 401)):
            answer = await stage.rest(f"GET /v1/fail/{code}?message=on+purpose")

            detail = {"reason": "BROKEN", "domain": "library.test", "metadata": {"shelf": "7"}}
            kind = {"@type": "type.googleapis.com/google.rpc.ErrorInfo"}
            assert answer.status == status
            assert answer.json() == {"code": code, "message": "on purpose", "details": [kind | detail]}
            assert not [name for name, _ in answer.headers if name.startswith("grpc-")]


def test_credentials_in_the_query_are_never_fields() -> None:
    needs = Requirement((Alternative(needs_key=True, key_places=(Place(PlaceKind.QUERY, "secret"),)),))
    provider = JwtProvider("p", "https://i", places=(Place(PlaceKind.QUERY, "token"), Place(PlaceKind.HEADER, "h")))
    config = ServiceConfig(
        "s", operations=operations(requirement=needs), providers=(provider,), descriptors=b"", id="c"
    )
    canary = a_config(operations(requirement=Requirement((Alternative(needs_key=True),))))
    transcoding = Transcoding(live((config, 50), (canary, 50)).services[0], Settings())

    assert transcoding.host
    assert transcoding.host.ignored_query_parameters == ["api_key", "key", "secret", "token"]


async def test_a_key_in_the_query_is_for_check_alone(opened: Open) -> None:
    """Even where the message has a field of that name."""
    needs = Requirement((Alternative(needs_key=True, key_places=(Place(PlaceKind.QUERY, "theme"),)),))
    async with opened(live(a_config(operations(requirement=needs)))) as stage:
        assert (await stage.rest("GET /v1/shelves/5?theme=secret")).json() == {"id": "5", "theme": "default"}
        assert (await stage.rest("POST /v1/shelves/5:archive?theme=secret", {})).json()["theme"] == "default"


# -- several configs and several services ---------------------------------------------------------------------------

OTHER_FIELD = PROTO.replace("string owner_name = 5;", "string owner = 5; string color = 2;").replace(
    "string theme = 2; Genre genre = 3; repeated string tags", "Genre genre = 3; repeated string tags"
)
OTHER_PATHS = PROTO.replace('get: "/v1/s/{shelf}"', 'get: "/v1/shelf/{shelf}"').replace(
    'delete: "/v1/shelves/{shelf}"', 'get: "/v1/shelves/0"'
)


def variant(text: str, config: str) -> ServiceConfig:
    return a_config(descriptor_set=compiled({"library/v1/library.proto": text}), config=config)


async def drawn(stage: Callers, line: str) -> set[tuple[int, str]]:
    """All that 40 requests are answered."""
    answers = await asyncio.gather(*(stage.rest(line) for _ in range(40)))
    return {(one.status, json.dumps(one.json())) for one in answers if one.status == 200} | {
        (one.status, "") for one in answers if one.status != 200
    }


async def test_a_canary_with_other_messages_prints_its_own(opened: Open) -> None:
    canary = variant(OTHER_FIELD, "2026-01-02r0")
    async with opened(live((a_config(), 50), (canary, 50))) as stage:
        assert await drawn(stage, "GET /v1/shelves/5") == {
            (200, '{"id": "5", "theme": "default"}'),
            (200, '{"id": "5", "color": "default"}'),
        }


@pytest.mark.parametrize("first", [True, False])
async def test_a_canary_with_other_paths_serves_them(opened: Open, first: bool) -> None:
    """No binding of one config hides one of the other."""
    configs = [(a_config(), 50.0), (variant(OTHER_PATHS, "2026-01-02r0"), 50.0)]
    async with opened(live(*(configs if first else configs[::-1]))) as stage:
        shelf = (200, '{"id": "5", "theme": "default"}')
        assert await drawn(stage, "GET /v1/shelf/5") == {shelf, (404, "")}
        assert await drawn(stage, "GET /v1/s/5") == {shelf, (404, "")}
        assert await drawn(stage, "GET /v1/shelves/5") == {shelf}
        assert await drawn(stage, "GET /v1/shelves/0") == {(200, '{"theme": "default"}'), (200, "{}")}


def test_configs_that_say_the_same_of_an_rpc_share_the_hosts_configuration() -> None:
    more = PROTO.replace("message Empty {}", "message Empty {} message Unused { int32 x = 1; }")
    same, other = variant(more, "2026-01-02r0"), variant(OTHER_FIELD, "2026-01-03r0")
    transcoding = Transcoding(live((a_config(), 30), (same, 30), (other, 40)).services[0], Settings())
    rpcs = {operation.rpc.method: operation.rpc for operation in operations() if operation.rpc}

    assert all(transcoding.own(same, rpc) is None for rpc in rpcs.values())
    assert {name for name, rpc in rpcs.items() if transcoding.own(other, rpc)} == {
        "GetShelf", "CreateShelf", "DeleteShelf", "ArchiveShelf",
    }  # fmt: skip


def saying(config: str = "2026-01-01r0", **options: Any) -> ServiceConfig:
    return replace(a_config(config=config), transcoding=TranscodingOptions(**options))


async def test_a_service_says_how_its_json_differs_from_the_settings(opened: Open) -> None:
    """A stream of its own form has none of the settings' beside it."""
    one = saying(stream_sse=True, always_print_enums_as_ints=False, ignore_query_parameters=("who",))
    two = replace(a_config(), name="other.example.test")
    inventory = Inventory(1, (*live(one).services, *live(two).services))
    settings = {
        "transcoding_stream_newline_delimited": True,
        "transcoding_always_print_enums_as_ints": True,
        "transcoding_ignore_query_parameters": ("me",),
        "transcoding_preserve_proto_field_names": True,
    }
    books, shelf = "GET /v1/shelves/7/books?count=1", "GET /v1/shelves/5?genres=DRAMA&theme=x"
    async with opened(inventory, **settings) as stage:
        other = Callers(stage.port, stage.library, "other.example.test")

        assert (await stage.rest(books)).body == b'data: {"name":"book 0"}\n\n'
        assert (await other.rest(books)).body == b'{"name":"book 0"}\n'
        assert (await stage.rest(shelf)).json()["genre"] == "DRAMA"
        assert (await other.rest(shelf)).json()["genre"] == 2
        asked = [(await caller.rest(f"{shelf}&{name}=1")).status for caller in (stage, other) for name in ("who", "me")]
        assert asked == [200, 400, 400, 200]


@pytest.mark.parametrize("first", [True, False])
async def test_a_canary_with_other_options_has_them_on_its_routes(opened: Open, first: bool) -> None:
    """Callers in gRPC, and other messages, have nothing to do with them."""
    canary = saying("2026-01-02r0", always_print_primitive_fields=True, max_request_bytes=100)
    configs = [(a_config(), 50.0), (canary, 50.0)]
    async with opened(live(*(configs if first else configs[::-1]))) as stage:
        whole = {"id": "5", "theme": "default", "genre": "GENRE_UNSPECIFIED", "tags": [], "ownerName": ""}
        assert await drawn(stage, "GET /v1/shelves/5") == {
            (200, '{"id": "5", "theme": "default"}'),
            (200, json.dumps(whole)),
        }
        answers = [await stage.rest("POST /v1/shelves:find", {"theme": "x" * 200}) for _ in range(20)]
        assert {one.status for one in answers} == {200, 413}
        assert {await stage.grpc("GetShelf") for _ in range(10)} == {(0, "")}


def test_a_canary_that_says_what_holds_anyway_shares_the_hosts_configuration() -> None:
    same = saying("2026-01-02r0", stream_sse=False, max_request_bytes=Settings().transcoding_max_request_bytes)
    other = saying("2026-01-03r0", stream_sse=True)
    transcoding = Transcoding(live((a_config(), 30), (same, 30), (other, 40)).services[0], Settings())
    rpcs = [operation.rpc for operation in operations() if operation.rpc]

    assert all(transcoding.own(same, rpc) is None for rpc in rpcs)
    assert all(transcoding.own(other, rpc) for rpc in rpcs)
    assert [transcoding.own_most(config) for config in (same, other)] == [None, None]


async def test_two_services_may_have_one_package(opened: Open) -> None:
    """Their descriptors clash, and are apart: each host has its own."""
    other = variant(OTHER_FIELD, "2026-01-02r0")
    one, two = a_config(), a_config(other.operations, descriptor_set=other.descriptors, name="other.example.test")
    inventory = Inventory(1, (*live(one).services, *live(two).services))
    async with opened(inventory) as stage:
        elsewhere = Callers(stage.port, stage.library, "other.example.test")
        assert (await stage.rest("GET /v1/shelves/5")).json() == {"id": "5", "theme": "default"}
        assert (await elsewhere.rest("GET /v1/shelves/5")).json() == {"id": "5", "color": "default"}
        nowhere = Callers(stage.port, stage.library, "nowhere.example.test")
        assert (await nowhere.grpc("GetShelf"))[0] == 12


def test_services_are_those_of_operations() -> None:
    transcoding = Transcoding(live(a_config()).services[0], Settings())

    assert transcoding.host
    assert transcoding.host.services == [LIBRARY]
    assert transcoding.own(a_config(config="2026-01-02r0"), next(one.rpc for one in operations() if one.rpc)) is None
    assert Transcoding(live(a_config([], descriptor_set=descriptors())).services[0], Settings()).has_rpcs
