"""The request line as backends see it, through a real Envoy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import islice
from random import Random
from typing import Any

import pytest

from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.paths import Template
from authz.model.service import Backend, Operation, PathTranslation, ServiceConfig
from harness.http import Upstream

Start = Callable[..., AbstractAsyncContextManager[Any]]

CONSTANT = PathTranslation.CONSTANT
APPEND = PathTranslation.APPEND

RAW = {"normalize_path": False, "merge_slashes": False, "escaped_slashes": "keep"}


def an_operation(backend: Upstream, template: str, base: str, how: PathTranslation, method: str = "GET") -> Operation:
    address = Backend(f"http://{backend.address}{base}", how)
    return Operation(f"{method} {template}", method, Template.parse(template), backend=address)


def an_api(*operations: Operation) -> Inventory:
    config = ServiceConfig("api.example.test", operations=operations, id="2026-01-01r0")
    return Inventory(1, (LiveService(config.name, (LiveConfig(config),)),))


async def seen(gateway: Any, backend: Upstream, path: str, *headers: tuple[str, str], method: str = "GET") -> str:
    response = await gateway.get(path, *headers, method=method)
    assert response.status == 200, (path, response)
    return backend.seen[-1].path


CONSTANTS = {
    # template, path of the address -> the caller's path, and what the backend gets
    ("/none", ""): [("/none", "/"), ("/none?a=1", "/?a=1"), ("/none/", "/")],
    ("/plain", "/const"): [
        ("/plain", "/const"), ("/plain?q=a%3Bb&q=2", "/const?q=a%3Bb&q=2"), ("/plain/?x", "/const?x"),
    ],
    ("/shelves/{shelf}/books/{book.id}", "/find"): [
        ("/shelves/1/books/2", "/find?shelf=1&book.id=2"),
        ("/shelves/1/books/2/", "/find?shelf=1&book.id=2"),
        ("/shelves/1/books/2?lang=U%20S&zone=", "/find?lang=U%20S&zone=&shelf=1&book.id=2"),
        ("/shelves/a%20b/books/9%3B8", "/find?shelf=a%20b&book.id=9%3B8"),
        ("/shelves/1/books/2?shelf=3", "/find?shelf=3&shelf=1&book.id=2"),
        ("/shelves/1/books/2?next=/a/b", "/find?next=/a/b&shelf=1&book.id=2"),
        ("/shelves/%2F/books/%C3%A9", "/find?shelf=%2F&book.id=%C3%A9"),
        ("/shelves/1&book.id=9/books/a+b;c", "/find?shelf=1%26book.id=9&book.id=a%2Bb%3Bc"),
    ],
    ("/roots/{x}", ""): [("/roots/1", "/?x=1"), ("/roots/1?y", "/?y&x=1")],
    ("/unnamed/*/{x}/*/**", "/c"): [("/unnamed/a/b/c/d/e", "/c?x=b"), ("/unnamed/a/b/c/", "/c?x=b")],
    ("/deep/{x=**}", "/c"): [
        ("/deep/a/b", "/c?x=a/b"), ("/deep/a/b///", "/c?x=a/b"), ("/deep/", "/c?x="), ("/deep/a//b", "/c?x=a//b"),
    ],
    ("/ends/{x=**}/tail/{y=z}", "/c"): [
        ("/ends/a/b/tail/z", "/c?x=a/b&y=z"), ("/ends/tail/tail/z/", "/c?x=tail&y=z"),
        ("/ends//tail/z?q", "/c?q&x=&y=z"),
    ],
    ("/v/{a=p/*}/{b=q/**}:do", "/c"): [
        ("/v/p/1/q/2/3:do", "/c?a=p/1&b=q/2/3"), ("/v/p/1/q/7/:do", "/c?a=p/1&b=q/7/"),
        ("/v/p/1/q/x:y:do?k=v:do", "/c?k=v:do&a=p/1&b=q/x:y"),
    ],
    ("/w/{a}:go", "/c"): [("/w/1:go", "/c?a=1"), ("/w/1/:go", "/c?a=1")],
}  # fmt: skip

APPENDS = {
    ("/plain", "/base"): [("/plain", "/base/plain"), ("/plain/?a=1", "/base/plain/?a=1")],
    ("/items/{id}", "/base"): [
        ("/items/1?x=/items/2", "/base/items/1?x=/items/2"),
        ("/items/%4a", "/base/items/%4a"),
        ("/items/a%2Fb/", "/base/items/a%2Fb/"),
    ],
    ("/none/{id}", ""): [("/none/1/", "/none/1/")],
    ("/odd/**", r"/a.b$1\1"): [("/odd/x//y", r"/a.b$1\1/odd/x//y")],
}


@pytest.mark.parametrize(("how", "table"), [(CONSTANT, CONSTANTS), (APPEND, APPENDS)], ids=["constant", "append"])
async def test_a_path_is_translated(start: Start, backend: Upstream, how: PathTranslation, table: Any) -> None:
    api = an_api(*(an_operation(backend, template, base, how) for template, base in table))
    async with start(api, **RAW) as gateway:
        for rows in table.values():
            for sent, wanted in rows:
                assert await seen(gateway, backend, sent) == wanted, sent


SEGMENTS = ("lit", "x.y", "*", "{%s}", "{%s=lit/*}", "{%s=*/lit}", "{%s=lit}")
ENDINGS = ("", "", "/**", "/{%s=**}", "/{%s=lit/**}", "/{%s=**/end}", "/{%s=**}/end", "/**/{%s=end}")
VALUES = ("1", "lit", "end", "a:b", "%C3%A9", "", "x/y", "end/end/")


def some_templates(random: Random) -> Iterator[str]:
    for number in range(60):
        parts = [random.choice(SEGMENTS) for _ in range(random.randint(0, 3))]
        text = f"/t{number}/" + "/".join(parts) if parts else f"/t{number}"
        text += random.choice(ENDINGS) + random.choice(("", "", ":do"))
        for name in ("a", "b", "c", "d"):
            text = text.replace("%s", name, 1)
        yield text


def some_paths(template: Template, random: Random) -> Iterator[str]:
    """Paths that the template matches, found by trial."""
    for _ in range(30):
        segments = [random.choice(VALUES) if part in {"*", "**"} else part for part in template.segments]
        verb = f":{template.verb}" if template.verb else ""
        path = "/" + "/".join(segments) + random.choice(("", "/", "//")) + verb
        if template.matches(path):
            yield path


async def test_values_are_what_the_templates_groups_capture(start: Start, backend: Upstream) -> None:
    """The script counts slashes where the template's own regular expression captures: both must say the same."""
    random = Random(7)
    texts = list(some_templates(random))
    async with start(an_api(*(an_operation(backend, text, "/c", CONSTANT) for text in texts)), **RAW) as gateway:
        checked = 0
        for template in map(Template.parse, texts):
            for path in set(islice(some_paths(template, random), 4)):
                groups = re.fullmatch(template.capture_regex(), path)
                assert groups
                values = zip(template.variables, groups.groups(), strict=True)
                bound = "&".join(f"{variable.name}={value}" for variable, value in values)
                wanted = f"/c?{bound}" if bound else "/c"
                assert await seen(gateway, backend, path) == wanted, (template.text, path)
                checked += 1
    assert checked > 100


async def test_the_path_is_translated_after_it_is_normalised(start: Start, backend: Upstream) -> None:
    api = an_api(an_operation(backend, "/a/{x}/{y}", "/c", CONSTANT))
    async with start(api) as gateway:
        assert await seen(gateway, backend, "/a//b/../%4A/2//") == "/c?x=J&y=2"


@pytest.mark.parametrize("template", ["/plain", "/a/{x}"])
async def test_nobody_but_the_gateway_tells_the_original_path(start: Start, backend: Upstream, template: str) -> None:
    api = an_api(an_operation(backend, template, "/c", CONSTANT))
    path = template.replace("{x}", "1")
    async with start(api, envoy_headers=True) as gateway:
        await seen(gateway, backend, f"{path}?q=1", ("x-envoy-original-path", "/spoofed"))
        assert backend.seen[-1].all("x-envoy-original-path") == [f"{path}?q=1"]


async def test_a_path_too_long_to_translate_is_refused(start: Start, backend: Upstream) -> None:
    async with start(an_api(an_operation(backend, "/a/{x}", "/c", CONSTANT))) as gateway:
        response = await gateway.get("/a/" + "x" * 8190)
        assert (response.status, response.json()["code"]) == (400, 400)
        assert "8192" in response.json()["message"]
        assert (await gateway.get("/a/" + "x" * 8189)).status == 200


async def test_the_gateways_own_backend_gets_paths_as_they_are(start: Start, backend: Upstream) -> None:
    local = Operation("local", "GET", Template.parse("/a/{x}"), backend=Backend(path_translation=CONSTANT))
    async with start(an_api(local)) as gateway:
        assert await seen(gateway, backend, "/a/1?q", ("x-envoy-original-path", "/spoofed")) == "/a/1?q"
        assert backend.seen[-1].header("x-envoy-original-path") is None
        assert backend.seen[-1].header("host") == "api.example.test"


async def test_an_overridden_backend_is_a_local_one(start: Start, backend: Upstream) -> None:
    operation = Operation(
        "remote", "GET", Template.parse("/a/{x}"), backend=Backend("http://elsewhere.example.test/c", CONSTANT)
    )
    async with start(an_api(operation), backend_override=True) as gateway:
        assert await seen(gateway, backend, "/a/1") == "/a/1"


# -- method override ------------------------------------------------------------------------------------------


async def test_an_override_is_removed_unless_enabled(start: Start, backend: Upstream) -> None:
    async with start(an_api(an_operation(backend, "/a", "", APPEND, "POST"))) as gateway:
        await seen(gateway, backend, "/a", ("x-http-method-override", "DELETE"), method="POST")
        assert backend.seen[-1].method == "POST"
        assert backend.seen[-1].header("x-http-method-override") is None


OVERRIDES = [
    # sent method, override, status, method at the backend
    ("POST", "GET", 200, "GET"),
    ("DELETE", "POST", 200, "POST"),
    ("POST", "DELETE", 405, ""),
    ("POST", "get", 400, ""),
    ("POST", "G ET", 400, ""),
    ("GET", None, 200, "GET"),
    ("PUT", None, 405, ""),
]


@pytest.mark.parametrize(("method", "override", "status", "wanted"), OVERRIDES)
async def test_an_enabled_override_is_the_method(
    start: Start, backend: Upstream, method: str, override: str | None, status: int, wanted: str
) -> None:
    api = an_api(*(an_operation(backend, "/a", "", APPEND, verb) for verb in ("GET", "POST")))
    async with start(api, method_override=True) as gateway:
        headers = [("x-http-method-override", override)] if override else []
        response = await gateway.get("/a", *headers, ("x-authz-method", "POST"), method=method)
        assert response.status == status
        assert [request.method for request in backend.seen] == ([wanted] if wanted else [])
        for request in backend.seen:
            assert request.header("x-http-method-override") is None
            assert request.header("x-authz-method") is None


@pytest.mark.parametrize("override", ["GET / HTTP/1.1", "CONNECT", "get", "{", "", "HEAD"])
async def test_an_override_that_is_no_method_reaches_nobody(start: Start, backend: Upstream, override: str) -> None:
    """An operation of any method matches it, so what is written into the request line must be looked at.

    HEAD is a method, but the caller of a POST would wait for the body that its answer announces.
    """
    async with start(an_api(an_operation(backend, "/a", "", APPEND, "*")), method_override=True) as gateway:
        response = await gateway.get("/a", ("x-http-method-override", override), method="POST")
        assert response.status == 400
        assert not backend.seen
