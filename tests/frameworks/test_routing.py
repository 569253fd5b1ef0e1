"""Which method a path means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.serve.routing import Found, OtherVerbs, Router

CASES = json.loads((Path(__file__).parent / "data" / "routing.json").read_text())


def routed(templates: list[str], path: str, verb: str = "GET", raw: str | None = None) -> Any:
    router: Router[str] = Router()
    for template in templates:
        named, _, rest = template.rpartition(" ")
        router.add(named or "GET", rest, template)
    return router.find(verb, path, raw)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_cases(case: dict[str, Any]) -> None:
    found = routed([case["pattern"]], case["path"])

    assert isinstance(found, Found) is case["match"]
    assert not case["match"] or dict(found.values) == case["params"]


@pytest.mark.parametrize(
    ("templates", "path", "wanted", "values"),
    [
        (["/a/{x}", "/a/b"], "/a/b", "/a/b", {}),
        (["/a/{x}", "/a/b"], "/a/c", "/a/{x}", {"x": "c"}),
        # The leftmost constant decides, whatever comes later.
        (["/{x}/b/c", "/a/{y}/{z}"], "/a/b/c", "/a/{y}/{z}", {"y": "b", "z": "c"}),
        # A way that leads nowhere is left again.
        (["/a/b/c", "/a/{x}/d"], "/a/b/d", "/a/{x}/d", {"x": "b"}),
        (["/a/{x}", "/a/{x}:do"], "/a/1:do", "/a/{x}:do", {"x": "1"}),
        (["/a/{x}", "/a/{x}:do"], "/a/1:dont", "/a/{x}", {"x": "1:dont"}),
        (["/a/{x}:do", "/a/{x}:re:do"], "/a/1:re:do", "/a/{x}:re:do", {"x": "1"}),
        (["/a/{x}:do"], "/a/1:do:do", "/a/{x}:do", {"x": "1:do"}),
        (["/a/{m.f}"], "/a/1/", "/a/{m.f}", {"m.f": "1"}),
        (["/a/{x}"], "/a/b c", "/a/{x}", {"x": "b c"}),
        (["/"], "/", "/", {}),
        # The verb takes part: a constant that lacks it does not stand in the way.
        (["POST /a/b", "/a/{x}"], "/a/b", "/a/{x}", {"x": "b"}),
    ],
)
def test_constants_come_before_variables(templates: list[str], path: str, wanted: str, values: dict[str, str]) -> None:
    found = routed(templates, path)

    assert (found.target, dict(found.values)) == (wanted, values)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("/a/x%2By+z", "x+y z"), ("/a/%C3%A9", "é"), ("/a/%2541", "%41"), ("/a/x%3Ado", "x")],
)
def test_values_are_unescaped_once(raw: str, value: str) -> None:
    found = routed(["/a/{v}", "/a/{v}:do"], unquote(raw), raw=raw)

    assert found.values == {"v": value}


@pytest.mark.parametrize("raw", ["/a/x%2Fy", "/a%2Fb", "/a/b%2F", "/a/%3Fx", "/a/%5Bx"])
def test_an_escaped_slash_is_no_slash(raw: str) -> None:
    """Else the gateway, which sees one segment, would have guarded another operation."""
    assert routed(["/a/b", "/a/{v}", "/a/{v}/{w}", "/a/x/y"], unquote(raw), raw=raw) is None


@pytest.mark.parametrize(
    ("raw", "value"),
    [("/a/x%2Fy", "x/y"), ("/a/%5B1%5d%3f", "[1]?"), ("/a/x%252F", "x%2F"), ("/a/%2F:do", "/"), ("/a/[1]", None)],
)
def test_an_escaped_slash_is_part_of_a_value_where_that_is_asked_for(raw: str, value: str | None) -> None:
    router: Router[str] = Router()
    for template in ("/a/{v}", "/a/{v}:do", "/a/x/y"):
        router.add("GET", template, template, escaped=True)

    found = router.find("GET", unquote(raw), raw)

    assert (found.values["v"] if isinstance(found, Found) else found) == value


@pytest.mark.parametrize("path", ["", "a", "//a/b", "/a//b", "/a/b//", "/A/b", "/a/", "/a/b/c", "/a/x?y"])
def test_what_no_template_is_like(path: str) -> None:
    assert routed(["/a/b", "/a/{x}"] if path != "/a/b" else [], path) is None


@pytest.mark.parametrize("path", ["/a/1/:do", "/a/1/:do/", "/a/:do", "/a/1:do/:do", "/a/1%2F:do"])
def test_a_verb_by_itself_is_no_value(path: str) -> None:
    """Gateways take it for the verb of what stands before it, and would have let it in by that template's rules."""
    templates = ["/a/{x}:do", "/a/{x}/{y}", "/a/{x}"]

    assert routed(templates, unquote(path), raw=path) is None
    assert routed(templates, unquote(path)) is None
    assert routed(templates, "/a/1/:doing").values == {"x": "1", "y": ":doing"}


def test_a_slash_behind_a_verb_makes_it_a_part_of_the_value() -> None:
    """To gateways, too: they have let the call in by the rules of the template without the verb."""
    templates = ["/a/{x}:do", "/a/{x}"]

    for raw in (None, "/a/1:do/"):
        found = routed(templates, "/a/1:do/", raw=raw)
        assert (found.target, found.values) == ("/a/{x}", {"x": "1:do"})
        assert routed(templates[:1], "/a/1:do/", raw=raw) is None
    assert routed(templates, "/a/ü:do/", raw="/a/%C3%BC:do/").target == "/a/{x}"


def test_a_known_path_tells_its_verbs() -> None:
    found = routed(["PUT /a/b", "POST /a/{x}", "DELETE /a/{y}"], "/a/b")

    assert found == OtherVerbs(("DELETE", "POST", "PUT"))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        routed(["/a/{x}"], "/a/\ufffd", raw="/a/%FF")


@pytest.mark.parametrize(("first", "second"), [("/a/b", "/a/b/"), ("/a/{x}", "/a/{y}"), ("/{x}:do", "/{y}:do")])
def test_two_routes_of_one_url_do_not_go_together(first: str, second: str) -> None:
    with pytest.raises(ApiConfigurationError, match="are one URL"):
        routed([first, second], "/")


def test_many_alike_templates_stay_quick() -> None:
    """Each node is visited once at most, so that no path makes the search grow with its own length."""
    names = [f"/{'/'.join('{v}' if bits >> at & 1 else 'a' for at in range(8))}/end{bits}" for bits in range(256)]
    router: Router[str] = Router()
    for name in names:
        parts = [f"{{v{at}}}" if part == "{v}" else part for at, part in enumerate(name.split("/"))]
        router.add("GET", "/".join(parts), name)

    assert router.find("GET", "/a" * 8 + "/end255").target == names[255]  # type: ignore[union-attr]
    assert router.find("GET", "/a" * 100_000) is None
