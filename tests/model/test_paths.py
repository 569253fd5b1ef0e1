"""Path templates: what is one, what matches it, and which is tried first."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model.paths import MAX_VARIABLES, PathError, Template, safe_path_regex


@pytest.mark.parametrize(
    ("text", "segments", "verb", "variables"),
    [
        ("/", (), "", {}),
        ("/a", ("a",), "", {}),
        ("/a/b:verb", ("a", "b"), "verb", {}),
        ("/*", ("*",), "", {}),
        ("/**", ("**",), "", {}),
        ("/**/a/b", ("**", "a", "b"), "", {}),
        ("/a/{x}", ("a", "*"), "", {"x": (1, 2)}),
        ("/a/{x=*}/b", ("a", "*", "b"), "", {"x": (1, 2)}),
        ("/a/{x.y_z=**}", ("a", "**"), "", {"x.y_z": (1, 2)}),
        ("/{x=shelves/*/books/*}/y", ("shelves", "*", "books", "*", "y"), "", {"x": (0, 4)}),
        ("/{x=shelves/**}:archive", ("shelves", "**"), "archive", {"x": (0, 2)}),
        ("/{x=100}", ("100",), "", {"x": (0, 1)}),
        ("/a/{x}:verb", ("a", "*"), "verb", {"x": (1, 2)}),
        ("/v1.2/~user/a-b_c", ("v1.2", "~user", "a-b_c"), "", {}),
    ],
)
def test_a_template_is_read(
    text: str, segments: tuple[str, ...], verb: str, variables: dict[str, tuple[int, int]]
) -> None:
    template = Template.parse(text)
    assert (template.text, template.segments, template.verb) == (text, segments, verb)
    assert {variable.name: (variable.start, variable.stop) for variable in template.variables} == variables


NO_TEMPLATES = (  # noqa: SIM905 - one a line would hide the patterns
    "a a/b {x} {x=/a} // /a//b /a/ /a/{x}/ /:verb /a/:verb /a: /*: /**: /{x}:: /{x}: /a:b:c /a:b/c "
    "/{ /} /{} /a/{x /a/x} /a/{x. /{x={y}} /{{x}} /a{x} /{x}b /a{x}b /{x}{y} /{x}b{y} /a/b{x}/c "
    "/{x=/a} /{x=a/} /{x=} /{=a} /{x=a:v} /*** /a* /*a /**/* /**/** /**/{x} /{x=**}/{y=**} /{1x} /{x}/{x} "
    "/a?b /a#b /é"
).split()
TOO_MUCH = ["/" + "a" * 3000, "/" + "/".join(f"{{v{n}}}" for n in range(MAX_VARIABLES + 1)), "/{" + "x" * 101 + "}"]


@pytest.mark.parametrize("text", ["", "/a b", "/{x y}", "/a\tb", "/a\x00b", "/\ud800", *NO_TEMPLATES, *TOO_MUCH])
def test_what_is_no_template_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(PathError, match="template"):
        Template.parse(text)


@pytest.mark.parametrize(
    ("template", "matching", "other"),
    [
        ("/", ["/", "//"], ["", "///", "/a"]),
        ("/a/b", ["/a/b", "/a/b/"], ["/a", "/a/b//", "/A/b", "/a/b/c", "/a/b:v"]),
        ("/a/*", ["/a/x", "/a/x/", "/a/x:y", "/a/%2F"], ["/a", "/a/", "/a/x/y", "/a//"]),
        ("/a/**", ["/a/", "/a/x", "/a/x/y/", "/a//"], ["/a", "/b/x"]),
        ("/**", ["/", "/a", "/a/b:c"], [""]),
        ("/**/end", ["/x/end", "/x/y/end/", "//end"], ["/end", "/x/end/y"]),
        ("/a/{x}:v", ["/a/x:v", "/a/x/:v"], ["/a/x", "/a/x:w", "/a/:v"]),
        ("/a/{x=**}:v", ["/a/:v", "/a/x/y:v", "/a/x/:v"], ["/a/x", "/a:v"]),
        ("/a/b:v", ["/a/b:v", "/a/b/:v"], ["/a/b", "/a/b:v/"]),
        ("/v1.2/(x)", ["/v1.2/(x)"], ["/v1x2/(x)", "/v1.2/x"]),
    ],
)
def test_a_template_matches_whole_paths(template: str, matching: list[str], other: list[str]) -> None:
    parsed = Template.parse(template)
    assert [path for path in matching if not parsed.matches(path)] == []
    assert [path for path in other if parsed.matches(path)] == []
    if parsed.is_exact:
        assert set(parsed.paths) >= set(matching)


def test_colons_can_be_kept_out_of_wildcards() -> None:
    assert not Template.parse("/a/*").matches("/a/x:y", colon_in_wildcards=False)
    assert not Template.parse("/a/**").matches("/a/x/y:z", colon_in_wildcards=False)
    assert Template.parse("/a/**:z").matches("/a/x/y:z", colon_in_wildcards=False)


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/a/{x}/{y}", "/a/1/2/", ("1", "2")),
        ("/a/{x=**}", "/a/1/2//", ("1/2",)),
        ("/a/{x=**}", "/a/", ("",)),
        ("/a/{x=**}/end", "/a/1/2/end", ("1/2",)),
        ("/{x=shelves/*}/{y}", "/shelves/1/2", ("shelves/1", "2")),
        ("/{x=**}:v", "/x/7/:v", ("x/7/",)),
        ("/a/{x}:v", "/a/1:v", ("1",)),
        ("/{x=100}/*", "/100/2", ("100",)),
        ("/a/{x}", "/a/1%2F2", ("1%2F2",)),
    ],
)
def test_variables_capture_their_part_of_the_path(template: str, path: str, values: tuple[str, ...]) -> None:
    match = re.fullmatch(Template.parse(template).capture_regex(), path)
    assert match is not None
    assert match.groups() == values


def test_names_of_variables_do_not_make_another_shape() -> None:
    assert Template.parse("/a/{x}").shape == Template.parse("/a/{y=*}").shape == Template.parse("/a/*").shape
    assert Template.parse("/a/{x=b}").shape == Template.parse("/a/b").shape
    assert Template.parse("/a/{x}").shape != Template.parse("/a/{x}:v").shape
    assert Template.parse("/a/{x}").shape != Template.parse("/a/{x=**}").shape


# Each path belongs to the first template of the list that matches it; the list is in the wanted order.
ORDER = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/b:v",
    "/a/*:v",
    "/a/*",
    "/a/*/c",
    "/a/**/x/y",
    "/a/**/x",
    "/a/**:v",
    "/a/**",
    "/b/*/*",
    "/*",
    "/*/b",
    "/**",
]


@pytest.mark.parametrize(
    ("path", "best"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b:v", "/a/b:v"),
        ("/a/x:v", "/a/*:v"),
        ("/a/x", "/a/*"),
        ("/a/b/c", "/a/b/c"),
        ("/a/x/c", "/a/*/c"),
        ("/a/p/x/y", "/a/**/x/y"),
        ("/a/p/q/x", "/a/**/x"),
        ("/a/p/q:v", "/a/**:v"),
        ("/a/p/q", "/a/**"),
        ("/b/b", "/*/b"),
        ("/b/b/b", "/b/*/*"),
        ("/c/b", "/*/b"),
        ("/c/d/e", "/**"),
    ],
)
def test_the_most_specific_template_is_tried_first(path: str, best: str) -> None:
    templates = sorted(map(Template.parse, reversed(ORDER)), key=lambda template: template.sort_key)
    assert next(template.text for template in templates if template.matches(path)) == best


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/{x}", "/a/"),
        ("/{x}", "/"),
        ("/a/{x=b/**}", "/a/b/"),
        ("/a:v", "/a"),
    ],
)
def test_every_match_has_the_literal_prefix(template: str, prefix: str) -> None:
    assert Template.parse(template).literal_prefix == prefix


SEGMENT = st.sampled_from(["a", "b", "x.y", "*", "{p}", "{q=*}"])
TEXT = st.builds(
    lambda parts, tail, verb: "/" + "/".join([*parts, *tail]) + verb,
    st.lists(SEGMENT, min_size=1, max_size=4),
    st.sampled_from([[], ["**"], ["{r=**}"], ["**", "a"]]),
    st.sampled_from(["", ":v"]),
)


@given(TEXT, st.lists(st.sampled_from(["a", "b", "x.y", "7:v", ""]), min_size=1, max_size=6).map("/".join))
def test_both_patterns_match_the_same_paths(text: str, path: str) -> None:
    try:
        template = Template.parse(text)
    except PathError:
        return
    path = f"/{path}"
    assert template.matches(path) == bool(re.fullmatch(template.capture_regex(), path))
    if template.matches(path):
        assert path.startswith(template.literal_prefix)


@given(st.text(alphabet="/{}*:=ab.", max_size=30))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        template = Template.parse(text)
    except PathError:
        return
    re.compile(template.capture_regex())
    assert Template.parse(template.text) == template


@pytest.mark.parametrize(
    ("query", "is_text"),
    [
        ("", True), ("?", True), ("?a", True), ("?a=", True), ("?a=b&c=d", True), ("?a=b=c?d/&&", True),
        ("?a=%00%25%7f", True), ("?a=%C3%BC%f0%9f%93%9a", True),
        ("?a=%ff", False), ("?a=%C0%AF", False), ("?a=%ED%A0%80", False), ("?a=%zz", False), ("?a=%", False),
        ("?%61=b", False), ("?a=b&c%5B%5D=d", False), ("?%", False),
    ],
)  # fmt: skip
def test_a_query_that_is_text_has_plain_names_and_values_in_utf8(query: str, is_text: bool) -> None:
    assert re.fullmatch(safe_path_regex(keep_slashes=False), f"/a{query}")
    assert bool(re.fullmatch(safe_path_regex(keep_slashes=False, is_text=True), f"/a{query}")) is is_text
