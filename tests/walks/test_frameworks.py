"""Every concept of the decorators through a real Envoy: either document, either server, either style."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from authz import wire
from authz.model.service import SourceText
from authz.sources import compile_texts
from harness.http import Response
from walks.shelf_stage import COMBINATIONS, HOST, SECRET, Combination, Stage, a_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = ("origin", "https://web.test")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=COMBINATIONS, ids=str)
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, transport: str
) -> AsyncIterator[Stage]:
    combination: Combination = request.param
    async with a_stage(combination, tmp_path_factory.mktemp("shelf"), cors_preset="basic") as staged:
        yield staged


def said(answer: Response) -> Any:
    """The body, without members that are null or empty: the styles differ there."""
    assert answer.status == 200, answer.body
    assert answer.all("content-type") == ["application/json"]
    return {name: value for name, value in answer.json().items() if value not in (None, [])}


async def test_the_documents_need_no_mending(stage: Stage) -> None:
    texts = [SourceText(f"{n}.json", json.dumps(one)) for n, one in enumerate(stage.documents)]
    compiled = compile_texts(texts)

    assert compiled.findings == ()
    assert [config.name for config in compiled.configs] == [HOST]
    # Two APIs of one major version have names of their own; a version apart, none is needed.
    assert {api.base_path for api in compiled.configs[0].apis} == {"/api"}
    assert len({api.name for api in compiled.configs[0].apis}) == 3


# -- who may call -----------------------------------------------------------------------------------------------------


async def test_keys(stage: Stage) -> None:
    name, key = stage.key()
    answers = [
        await stage.call("GET /keyed"),
        await stage.call("GET /keyed", (name, "no-such-key")),
        await stage.call("GET /keyed", (name, key)),
        await stage.call(f"GET /keyed?key={key}"),
        await stage.call("GET /open"),
    ]
    assert [answer.status for answer in answers] == [401, 400, 200, 200, 200]


TOKENS: list[tuple[str, dict[str, Any] | None, int]] = [
    ("one", None, 401),
    ("one", {}, 200),
    ("one", {"aud": "aud-b"}, 200),
    ("one", {"aud": ["elsewhere", "aud-b"]}, 200),
    ("one", {"aud": "aud-2"}, 403),
    ("one", {"aud": "aud-a,aud-b"}, 403),
    ("one", {"issuer": "two"}, 401),
    ("one", {"exp": 1_000_000_000}, 401),
    ("one", {"azp": None}, 200),
    ("either", {}, 200),
    ("either", {"aud": "aud-b"}, 403),
    ("either", {"issuer": "two", "aud": "aud-2"}, 200),
    ("either", {"issuer": "two"}, 403),
    ("clients", {}, 200),
    ("clients", {"azp": "ios"}, 200),
    ("clients", {"azp": "desktop"}, 403),
    ("clients", {"azp": None}, 403),
    ("clients", {"aud": "aud-2"}, 403),
    ("nobody", {}, 403),
    ("any", {"azp": "whoever"}, 200),
    ("any", {"azp": None}, 200),
    ("scopes", {}, 403),
    ("scopes", {"scope": "read"}, 200),
    ("scopes", {"scope": "write"}, 403),
    ("scopes", {"scope": "admin other write"}, 200),
    ("scopes", {"scope": "reading"}, 403),
    ("scopes", {"scp": ["write", "admin"]}, 200),
    ("optional", None, 200),
    ("optional", {}, 200),
    ("optional", {"aud": "aud-2"}, 403),
    ("optional", {"exp": 1_000_000_000}, 401),
    ("anybody", None, 200),
    ("/api/readers/v1/me", None, 401),
    ("/api/readers/v1/me", {"issuer": "two", "aud": "aud-list"}, 200),
    ("/api/readers/v1/me", {"issuer": "two", "aud": "aud-2"}, 403),
    ("/api/readers/v1/me", {"aud": "aud-list"}, 401),
]


@pytest.mark.parametrize(("path", "token", "status"), TOKENS)
async def test_tokens(stage: Stage, path: str, token: dict[str, Any] | None, status: int) -> None:
    line = f"GET {path}" if path.startswith("/") else f"GET /callers/{path}"
    answer = await stage.call(line, *([] if token is None else [stage.bearer(**token)]))

    assert answer.status == status, answer.body


async def test_a_token_in_the_query(stage: Stage) -> None:
    _, _, token = stage.bearer()[1].partition(" ")
    answer = await stage.call(f"GET /callers/one?access_token={token}")

    assert said(answer)["subject"] == "someone"
    assert token.encode() not in answer.body


async def test_a_key_and_a_token(stage: Stage) -> None:
    key, token = stage.key(), stage.bearer()
    given = {"neither": [], "key": [key], "token": [token], "both": [key, token]}
    found = {name: (await stage.call("GET /callers/both", *headers)).status for name, headers in given.items()}

    assert found == {"neither": 401, "key": 401, "token": 401, "both": 200}


async def test_quotas(stage: Stage) -> None:
    """Five a minute at two a call are two calls, for each consumer; what is refused takes nothing."""
    minute = found = None
    # Nothing can be said of a minute that ends in between.
    while minute is None or minute != int(time.time() // 60):
        minute = int(time.time() // 60)
        keys = [stage.key(f"{who}-{minute}") for who in ("ann", "bob")]
        found = [(await stage.call("GET /counted", keys[who])).status for who in (0, 0, 0, 0, 1)]

    assert found == [200, 200, 429, 429, 200]


# -- who calls --------------------------------------------------------------------------------------------------------

FORGED = ("X-Endpoint-API-UserInfo", base64.urlsafe_b64encode(b'{"sub":"forged"}').decode().rstrip("="))


async def test_the_user_is_the_tokens(stage: Stage) -> None:
    more = {"email": "ann@example.test", "groups": ["readers", "writers"]}
    issuer = f"http://{stage.address}/one"

    assert said(await stage.call("GET /callers/one", stage.bearer(**more), FORGED)) == {
        "subject": "someone", "issuer": issuer, **more
    }  # fmt: skip
    assert said(await stage.call("GET /callers/optional", stage.bearer()))["subject"] == "someone"


@pytest.mark.parametrize("path", ["optional", "anybody"])
async def test_nobody_is_nobody(stage: Stage, path: str) -> None:
    assert said(await stage.call(f"GET /callers/{path}")) == {}
    assert said(await stage.call(f"GET /callers/{path}", FORGED, (wire.GATEWAY_SECRET, SECRET))) == {}


async def test_beside_the_gateway_only_the_secret_is_believed(stage: Stage) -> None:
    for secret, found in (("", {}), ("a guess", {}), (SECRET, {"subject": "forged"})):
        known = [(wire.GATEWAY_SECRET, secret)] if secret else []
        assert said(await stage.call("GET /callers/anybody", FORGED, *known, port=stage.served_at)) == found


# -- what is asked and answered ---------------------------------------------------------------------------------------


async def test_void_is_204(stage: Stage) -> None:
    answer = await stage.call("DELETE /items/7", stage.key())

    assert (answer.status, answer.body, answer.header("content-type")) == (204, b"", None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418])
async def test_refusals_keep_their_status(stage: Stage, status: int) -> None:
    answer = await stage.call(f"GET /fail/{status}")
    error = answer.json()["error"]

    assert (answer.status, error["code"], error["message"]) == (status, status, f"said {status}")
    assert [(one["domain"], one["message"]) for one in error["errors"]] == [("global", f"said {status}")]


async def test_what_went_wrong_inside_stays_there(stage: Stage) -> None:
    answer = await stage.call("GET /fail/500")

    assert answer.status == 500
    assert b"said" not in answer.body


@pytest.mark.parametrize(
    ("line", "body", "found"),
    [
        ("PUT /items/7", {"title": "Solaris", "price": 1.5}, {"id": 7, "title": "Solaris", "price": 1.5}),
        ("PUT /items/7?dry=true", {"title": "Solaris"}, {"id": 7, "title": "Solaris", "dry": True}),
        ("PUT /items/-7?dry=false", {"title": "Ω", "more": 1}, {"id": -7, "title": "Ω", "dry": False}),
        ("GET /search", None, {}),
        ("GET /search?filter.name=a%20b&filter.least=3", None, {"name": "a b", "least": 3}),
        ("GET /search?tags=x&filter.name=a&tags=y", None, {"name": "a", "tags": ["x", "y"]}),
        ("POST /items/7:publish", None, {"text": "published 7"}),
        ("POST /items/7", None, {"text": "touched 7"}),
        ("GET /open?text=a%2Bb+c%C3%A9", None, {"text": "a+b cé"}),
    ],
)
async def test_parameters_and_bodies(stage: Stage, line: str, body: object, found: dict[str, object]) -> None:
    assert said(await stage.call(line, body=body)) == found


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("PUT /items/seven", {"title": "Solaris"}),
        ("PUT /items/7?dry=perhaps", {"title": "Solaris"}),
        ("PUT /items/7", {}),
        ("PUT /items/7", {"title": 3}),
        ("PUT /items/7", {"title": "Solaris", "price": "dear"}),
        ("PUT /items/7", []),
        ("PUT /items/7", b"title=Solaris"),
        ("PUT /items/7", b'{"title": '),
        ("PUT /items/7", b"[" * 100_000),
        ("PUT /items/99999999999999999999", {"title": "Solaris"}),
        ("GET /search?filter.least=few", None),
        ("POST /items/7:unpublish", None),
    ],
)
async def test_bad_input_is_400(stage: Stage, line: str, body: object) -> None:
    answer = await stage.call(line, body=body)

    if line == "PUT /items/99999999999999999999" and stage.combination.style == "typed":
        assert answer.status == 200  # `int` has no bounds there
        return
    assert answer.status == 400, answer.body
    assert answer.json()["error"]["message"]


async def test_credentials_in_the_query_are_no_answer(stage: Stage) -> None:
    _, key = stage.key()
    for line in (f"GET /keyed?key={key}", f"GET /open?key={key}&api_key=k2&access_token=t3&bearer_token=t4"):
        answer = await stage.call(line)
        assert set(said(answer)) == {"text"}
        assert not [word for word in (key, "k2", "t3", "t4") if word.encode() in answer.body]


# -- where ------------------------------------------------------------------------------------------------------------


async def test_two_versions_side_by_side(stage: Stage) -> None:
    assert said(await stage.call("GET /api/shelf/v1/open")) == {"text": "open"}
    assert said(await stage.call("GET /api/shelf/v2/open")) == {"text": "second"}
    lines = ("GET /api/shelf/1.2.0/open", "GET /api/shelf/v3/open", "GET /api/shelf/v2/keyed", "GET /shelf/v1/open")
    assert [(await stage.call(line)).status for line in lines] == [404] * 4


async def test_an_escaped_slash_is_part_of_a_value_where_that_is_asked_for(stage: Stage) -> None:
    line, key = "GET /api/shelf/v2/files", stage.key()
    given = {"a": "a", "a%20b": "a b", "a%2Fb": "a/b", "a%2fb%3Fc": "a/b?c", "..%2Fopen": "../open", "a%252Fb": "a%2Fb"}
    answers = {text: await stage.call(f"{line}/{text}", key) for text in given}

    assert {text: said(answer)["text"] for text, answer in answers.items()} == given
    assert [(await stage.call(f"{line}/{text}")).status for text in given] == [401] * len(given)
    assert (await stage.call(f"{line}/a/b", key)).status == 404


async def test_a_slash_behind(stage: Stage) -> None:
    assert said(await stage.call("GET /open/")) == {"text": "open"}
    assert (await stage.call("GET /keyed/")).status == 401
    # The gateway has let it in by the rules of `items/{id}`: it must not be the method that has others.
    assert (await stage.call("POST /items/7:publish/")).status == 400
    assert (await stage.call("POST /items/7/:publish")).status == 404


@pytest.mark.parametrize("name", ["x-http-method-override", "X-HTTP-Method", "X-Method-Override"])
async def test_another_methods_name_is_no_way_around(stage: Stage, name: str) -> None:
    """DELETE needs a key, POST none."""
    assert said(await stage.call("POST /items/7", (name, "DELETE"))) == {"text": "touched 7"}
    assert (await stage.call("DELETE /items/7", (name, "POST"))).status == 401


async def test_other_methods_and_paths(stage: Stage) -> None:
    answer = await stage.call("PATCH /items/7")

    assert (answer.status, answer.header("allow")) == (405, "DELETE, POST, PUT")
    assert (await stage.call("GET /nowhere")).status == 404


async def test_browsers_ask_without_credentials(stage: Stage) -> None:
    asked = ("access-control-request-method", "GET"), ("access-control-request-headers", "x-api-key")
    preflight = await stage.call("OPTIONS /keyed", ORIGIN, *asked)
    answer = await stage.call("GET /keyed", ORIGIN, stage.key())
    refusal = await stage.call("GET /keyed", ORIGIN)

    assert (preflight.status, answer.status, refusal.status) == (200, 200, 401)
    assert [each.all("access-control-allow-origin") for each in (preflight, answer, refusal)] == [[ORIGIN[1]]] * 3
