"""Whatever the tree does for speed, a path must find what a plain list in order of specificity would have found."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import pytest
from envoy.config.route.v3.route_components_pb2 import Route, RouteList, RouteMatch
from hypothesis import given, settings
from hypothesis import strategies as st
from xds.type.matcher.v3.matcher_pb2 import Matcher

from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.paths import PathError, Template
from authz.model.service import Operation, ServiceConfig
from authz.xds import tree
from harness.dataplane import Start
from harness.http import Upstream


def a_branch(template: Template, layer: int = 0, refused: str = "") -> tree.Branch:
    """Two routes: one says which template it is for and stands for its operations; one stands for its 405.

    Templates with the same words for those that are `refused` may share the second.
    """
    match = RouteMatch()
    match.safe_regex.regex = template.regex()
    one = Route(name=f"{layer} {template.text}", match=match)
    other = Route(name=f"{layer} {refused or template.text} refused").SerializeToString()
    return tree.Branch(template, tree.routes(one.SerializeToString()), tree.Denial(template.regex(), other), layer)


def a_tree(*layers: Sequence[str]) -> Matcher:
    branches = [
        a_branch(template, layer)
        for layer, texts in enumerate(layers)
        for template in sorted(map(Template.parse, texts), key=lambda one: one.sort_key)
    ]
    tails = [tree.routes(Route(name=f"{layer} unknown").SerializeToString()) for layer in range(len(layers))]
    return tree.build(branches, tails)


def found(matcher: Matcher, path: str) -> list[str]:
    """What Envoy would look at, in order, whose path matches: a list once reached is final."""
    on_match = matcher.on_no_match
    if matcher.HasField("matcher_tree"):
        keys = [key for key in matcher.matcher_tree.prefix_match_map.map if path.startswith(key)]
        if keys:
            on_match = matcher.matcher_tree.prefix_match_map.map[max(keys, key=len)]
    for entry in matcher.matcher_list.matchers:
        predicate = entry.predicate.single_predicate
        if re.fullmatch(predicate.value_match.safe_regex.regex, path):
            on_match = entry.on_match
            break
    if on_match.HasField("matcher"):
        return found(on_match.matcher, path)
    bare = path.partition("?")[0]
    listed = RouteList.FromString(on_match.action.typed_config.value).routes
    patterns = ((route.name, route.match.safe_regex.regex) for route in listed)
    return [name for name, pattern in patterns if not pattern or re.fullmatch(pattern, bare)]


def lists(matcher: Matcher) -> Iterator[RouteList]:
    matches = [matcher.on_no_match, *matcher.matcher_tree.prefix_match_map.map.values()]
    for on_match in [*matches, *(entry.on_match for entry in matcher.matcher_list.matchers)]:
        if on_match.HasField("matcher"):
            yield from lists(on_match.matcher)
        elif on_match.HasField("action"):
            yield RouteList.FromString(on_match.action.typed_config.value)


def expected(texts: Sequence[str], path: str, layer: int = 0) -> list[str]:
    bare = path.partition("?")[0]
    ordered = sorted(map(Template.parse, texts), key=lambda one: one.sort_key)
    matching = [f"{layer} {one.text}" for one in ordered if one.matches(bare)]
    return [*matching, *(f"{name} refused" for name in matching), f"{layer} unknown"]


SEGMENTS = st.sampled_from(["a", "ab", "abc", "b", "*", "**", "{x}", "a.b", "a-c"])
VERBS = st.sampled_from(["", "", "", ":v", ":w"])


@st.composite
def templates(draw: st.DrawFn) -> str:
    text = "/" + "/".join(draw(st.lists(SEGMENTS, max_size=4))) + draw(VERBS)
    try:
        Template.parse(text)
    except PathError:
        return "/" + draw(st.sampled_from(["a", "b", ""]))
    return text


PARTS = st.sampled_from(["a", "ab", "abc", "abcd", "b", "", "a:v", "ab:w", ":v", "z", "a.b", "axb"])
PATHS = st.builds(
    lambda parts, query: "/" + "/".join(parts) + query,
    st.lists(PARTS, max_size=5),
    st.sampled_from(["", "?", "?q=/a/b:v"]),
)


def unique(texts: Sequence[str]) -> list[str]:
    return list({Template.parse(text).shape: text for text in texts}.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(templates(), min_size=1, max_size=40), st.lists(PATHS, min_size=1, max_size=20))
def test_any_path_finds_what_a_list_would_have_found(texts: list[str], paths: list[str]) -> None:
    texts = unique(texts)
    size, tree.LIST_SIZE = tree.LIST_SIZE, 2
    try:
        matcher = a_tree(texts)
    finally:
        tree.LIST_SIZE = size
    for path in paths:
        assert found(matcher, path) == expected(texts, path), path


@settings(max_examples=60, deadline=None)
@given(st.lists(templates(), min_size=1, max_size=20), st.lists(templates(), min_size=1, max_size=20), PATHS)
def test_each_layer_is_searched_whole_before_the_next(first: list[str], second: list[str], path: str) -> None:
    first, second = unique(first), unique(second)
    assert found(a_tree(first, second), path) == [*expected(first, path), *expected(second, path, layer=1)]


WORDS = ("one", "two")


@settings(max_examples=200, deadline=None)
@given(st.lists(templates(), min_size=1, max_size=40), st.randoms(use_true_random=False), PATHS)
def test_the_most_specific_template_says_how_a_path_is_refused(texts: list[str], random: Random, path: str) -> None:
    """Also where others in its list are refused in the same words, and stand in one route with it."""
    ordered = sorted(map(Template.parse, unique(texts)), key=lambda one: one.sort_key)
    words = {template: random.choice(WORDS) for template in ordered}
    branches = [a_branch(template, refused=words[template]) for template in ordered]
    size, tree.LIST_SIZE = tree.LIST_SIZE, 4
    try:
        matcher = tree.build(branches, [tree.routes(Route(name="0 unknown").SerializeToString())])
    finally:
        tree.LIST_SIZE = size
    bare = path.partition("?")[0]
    refusals = [f"0 {words[one]} refused" for one in ordered if one.matches(bare)]
    first = next(name for name in found(matcher, path) if name.endswith(("refused", "unknown")))
    assert first == next(iter(refusals), "0 unknown")


def test_equal_refusals_of_one_list_are_one_route() -> None:
    ordered = sorted(
        map(Template.parse, (f"/v1/things/{{id}}/part{i}" for i in range(10))), key=lambda one: one.sort_key
    )
    matcher = tree.build([a_branch(one, refused="405") for one in ordered], [b""])
    for listed in lists(matcher):
        assert [route.name for route in listed.routes].count("0 405 refused") <= 1


APIS = {
    "collections": [f"/v1/things{i}{tail}" for i in range(300) for tail in ("", "/{id}", "/{id}/parts")],
    "exact": [f"/v1/thing{i:03}" for i in range(1000)],
    "one prefix": [f"/v1/items/{{id}}/action{i}" for i in range(1000)],
    "tenant first": [f"/{{tenant}}/resource{i}/{{id}}" for i in range(1000)],
    "verbs": [f"/v1/{{name}}:action{i}" for i in range(20)] + [f"/v1/a{i}/{{x}}:run" for i in range(500)],
    "with a catch-all": [f"/v1/things{i}/{{id}}" for i in range(1000)] + ["/**"],
    "wildcards that meet": [f"/{{a}}/{{b}}/action{i}" for i in range(500)]
    + [f"/v1/items{i}/{{b}}" for i in range(500)],
}


@pytest.mark.parametrize("api", APIS)
def test_a_large_api_does_not_grow_in_the_tree(api: str) -> None:
    """Copies of wildcard routes are bounded, on average over the whole tree."""
    texts = APIS[api]
    names = [route.name for listed in lists(a_tree(texts)) for route in listed.routes]
    operations = [name for name in names if not name.endswith(("refused", "unknown"))]
    assert len(operations) <= (1 + tree.MOST_COPIES) * len(texts) + tree.LIST_SIZE
    assert {name.removeprefix("0 ") for name in operations} == set(texts)


@pytest.mark.parametrize("api", [name for name in APIS if name != "wildcards that meet"])
def test_a_large_api_is_searched_in_short_lists(api: str) -> None:
    """Lists stay short, so that any operation costs about what it would cost in a small API."""
    sizes = [len(listed.routes) for listed in lists(a_tree(APIS[api]))]
    assert max(sizes) <= 2 * (2 * tree.LIST_SIZE + 1) + 1
    assert len(sizes) > 10


@pytest.mark.parametrize("api", APIS)
def test_every_operation_of_a_large_api_is_found(api: str) -> None:
    texts = APIS[api]
    matcher = a_tree(texts)
    for text in texts[:: len(texts) // 8]:
        path = re.sub(r"\{\w+\}", "x7", text).replace("**", "deep/down") + "?key=1"
        assert found(matcher, path) == expected(texts, path)


METHODS = ("GET", "POST", "DELETE", "*")
STRANGE = ("a", "ab", "abcd", "b", "a:v", "ab:w", ":v", "a.b", "axb", "a-c", "x;y", "a%20", "%C3%A9", ":", "A", "")


def a_random_api(name: str, size: int, random: Random) -> ServiceConfig:
    parts = ("a", "ab", "abc", "b", "a.b", "a-c", "*", "*", "**", "{x}", "{y=a/*}", "{z=**}")
    found: dict[tuple[object, str], Operation] = {}
    while len(found) < size:
        text = "/" + "/".join(random.choices(parts, k=random.randint(0, 4))) + random.choice(("", "", ":v", ":w"))
        with contextlib.suppress(PathError):
            template = Template.parse(text)
            method = random.choice(METHODS)
            found.setdefault((template.shape, method), Operation(f"{method} {text}", method, template))
    return ServiceConfig(name, operations=tuple(found.values()), id="2026-01-01r0")


def best(config: ServiceConfig, method: str, path: str, *, colons: bool) -> str:
    """What the order of templates says, without any tree."""
    bare = path.partition("?")[0]
    fitting = [one for one in config.operations if one.template.matches(bare, colon_in_wildcards=colons)]
    fitting.sort(key=lambda one: (one.template.sort_key, one.method == "*"))
    chosen = [one.selector for one in fitting if one.method in {method, "*"}]
    return chosen[0] if chosen else "405" if fitting else "404"


@pytest.mark.parametrize("colons", [True, False])
async def test_envoy_takes_what_the_order_says(start: Start, backend: Upstream, colons: bool) -> None:
    """Random APIs of many sizes, each a host of its own; paths as they come, nothing normalised."""
    random = Random(23)
    apis = [a_random_api(f"api{size}.test", size, random) for size in (1, 5, 20, 60, 120, 240)]
    inventory = Inventory(1, tuple(LiveService(one.name, (LiveConfig(one),)) for one in apis))
    seen: Counter[str] = Counter()
    async with start(inventory, merge_slashes=False, colon_in_wildcards=colons) as gateway:
        for _ in range(800):
            api, method = random.choice(apis), random.choice(("GET", "POST", "DELETE", "PUT"))
            path = (
                "/" + "/".join(random.choices(STRANGE, k=random.randint(0, 5))) + random.choice(("", "/", ":v", "?:v"))
            )
            backend.seen.clear()
            response = await gateway.get(path, method=method, host=api.name)
            told = backend.seen[0].header("x-endpoint-api-operation-name") if backend.seen else str(response.status)
            assert told == best(api, method, path, colons=colons), (api.name, method, path)
            seen[told if told in {"404", "405"} else "operation"] += 1
    assert min(seen[kind] for kind in ("404", "405", "operation")) > 20


def test_an_api_without_operations_knows_no_path() -> None:
    assert found(a_tree([]), "/a") == ["0 unknown"]
