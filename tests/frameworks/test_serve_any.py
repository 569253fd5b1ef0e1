"""Whatever is asked, both servers answer, alike, and never that they failed."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.frameworks import endpoints
from frameworks.callers import Ask, asgi_call, wsgi
from frameworks.test_http_cases import made

EXPECTED = {200, 204, 400, 404, 405, 413, 415}
# Methods that fail on purpose stay out of it.
SERVED = (
    ("POST", "echo"), ("PUT", "rc/{}"), ("GET", "get"), ("GET", "getreq"), ("POST", "req"), ("POST", "void"),
    ("DELETE", "void"), ("GET", "emptyout"), ("HEAD", "times"), ("GET", "user"),
)  # fmt: skip
MEMBERS = (
    "b", "by", "d", "e", "i32", "i64", "u64", "s", "m", "at", "ri", "rl", "rm", "re", "dflt", "rs", "f32", "need",
    "opt", "x", "zz", "q", "pid",
)  # fmt: skip

texts = st.one_of(
    st.text(max_size=12), st.sampled_from(["RED", "1", "true", "NaN", "1e999", "2020-01-02T03:04:05Z", "AA=="])
)
numbers = st.one_of(
    st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([2**31, -(2**63) - 1, 2**64])
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5)),
    max_leaves=20,
)
bodies = st.one_of(
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=6).map(lambda said: json.dumps(said).encode()),
    values.map(lambda said: json.dumps(said).encode()),
    st.binary(max_size=60),
    st.just(b""),
)
characters = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#")
segments = st.one_of(
    st.text(characters, max_size=8), st.sampled_from(["%2F", "%ff", "a%20b", "..", "%00", "+", "%C3%A9"])
)
queries = st.lists(
    st.tuples(st.one_of(st.sampled_from(MEMBERS), st.just("m.x"), segments), segments).map("=".join), max_size=5
).map("&".join)
verbs = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
served = st.builds(
    lambda call, segment, query: (call[0], f"/_ah/api/echo/v1/{call[1].format(segment)}?{query}"),
    st.sampled_from(SERVED), segments, queries,
)  # fmt: skip
calls = st.one_of(
    served,
    served,
    st.builds(lambda verb, call: (verb, call[1]), verbs, served),
    st.tuples(verbs, st.builds("/{}?{}".format, st.text(characters, max_size=30), queries)),
)
headers = st.lists(
    st.sampled_from([
        ("Content-Type", "application/json"), ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", "text/plain; charset=utf-16"), ("Content-Encoding", "gzip"), ("Content-Encoding", "br"),
        ("Origin", "https://a.example"), ("Authorization", "Bearer x"), ("X-HTTP-Method-Override", "GET"),
        ("X-Endpoint-API-UserInfo", "e30"), ("Cookie", "\xff"),
    ]),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def servers() -> Any:
    apps = [made(make)[0] for make in (endpoints.api_server, endpoints.asgi_server)]
    yield apps
    for app in apps:
        app.close()


@pytest.fixture(scope="module")
def loop() -> Any:
    with asyncio.Runner() as runner:
        yield runner


@given(calls, bodies, headers, st.booleans())
@settings(max_examples=400)
def test_anything(servers: Any, loop: Any, call: tuple[str, str], body: bytes, said: Any, packed: bool) -> None:
    verb, url = call
    body = gzip.compress(body, mtime=0) if packed and ("Content-Encoding", "gzip") in said else body
    ask = Ask(verb, url, body, said)
    web, asynchronous = servers

    replies = [wsgi(web, ask, REQUEST_URI=url), loop.run(asgi_call(asynchronous, ask))]

    for reply in replies:
        assert reply.status in EXPECTED, reply.body
        if reply.status >= 400 and reply.headers["content-type"] == "application/json" and verb != "HEAD":
            assert reply.error["code"] == reply.status
            assert set(reply.error["errors"][0]) >= {"domain", "reason", "message"}
    assert replies[0].status == replies[1].status
    assert replies[0].body == replies[1].body


@given(st.dictionaries(st.sampled_from(MEMBERS), values, max_size=6))
@settings(max_examples=200)
def test_what_is_taken_is_given_back(servers: Any, said: Any) -> None:
    """What the echo method answers, it takes again, and answers the same."""
    first = wsgi(servers[0], Ask("POST", "/_ah/api/echo/v1/echo", json.dumps(said).encode()))
    if first.status == 200:
        second = wsgi(servers[0], Ask("POST", "/_ah/api/echo/v1/echo", first.body))
        assert (second.status, second.body) == (200, first.body)
