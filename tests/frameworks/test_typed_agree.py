"""Whatever a signature says, document and binding agree: what the one allows, the other takes, and nothing else."""

from __future__ import annotations

import enum
import inspect
import json
import re
from dataclasses import field, make_dataclass
from typing import Annotated, Any, Literal, Optional

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field, create_model
from typing_extensions import TypedDict

from authz.frameworks import typed
from authz.frameworks.declare import apis
from authz.frameworks.document import openapi
from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.service import Method
from authz.frameworks.typed import Body, Query
from authz.frameworks.typed.hints.dialect import version2


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    NONE = 0
    LOW = 1


small = st.integers(-3, 12)
words = st.sampled_from(["", "a", "red", "blue", "1", "1.0", "true", "null", "abc", "ä"])
json_values = st.recursive(
    st.none() | st.booleans() | small | st.sampled_from([0.5, 1.0, -1.5]) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=3),
    max_leaves=6,
)
bounds = st.fixed_dictionaries({}, optional={"ge": small, "gt": small, "le": small, "lt": small})
plain = st.one_of(
    st.sampled_from([int, float, bool, str, Colour, Level, Literal["a"], Literal[1, "abc"], Literal["red"] | Level]),
    bounds.map(lambda said: Annotated[int, Field(**said)]),
    bounds.map(lambda said: Annotated[float, Field(**said)]),
    st.integers(0, 3).map(lambda least: Annotated[str, Field(min_length=least, max_length=least + 1)]),
    st.just(Annotated[str, Field(pattern="^[a-c]*$")]),
    st.just(int | bool),
    st.just(int | str),
)
# A text with a point is no integer, though JSON Schema calls 1.0 one.
texts = st.one_of(
    words.filter(lambda text: text != "1.0"), small.map(str), st.sampled_from(["0.5", "-1.5", "+1", " 1"])
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A dataclass, a model or a TypedDict; what is drawn beside a hint is whether the field may be left out."""
    members = st.dictionaries(st.sampled_from("abc"), st.tuples(inner, st.booleans()), min_size=1, max_size=3)
    return members.flatmap(
        lambda said: st.sampled_from([a_dataclass, a_model, a_typed_dict]).map(lambda make: make(said))
    )


def a_dataclass(said: dict[str, Any]) -> Any:
    fields = [(name, hint) for name, (hint, may_miss) in said.items() if not may_miss]
    rest = [(name, Optional[hint], field(default=None)) for name, (hint, may_miss) in said.items() if may_miss]  # noqa: UP045
    return make_dataclass("Drawn", [*fields, *rest])


def a_model(said: dict[str, Any]) -> Any:
    def one(hint: Any, may_miss: bool) -> Any:
        return (Optional[hint], None) if may_miss else (hint, ...)  # noqa: UP045

    return create_model("Drawn", **{name: one(*pair) for name, pair in said.items()})


def a_typed_dict(said: dict[str, Any]) -> Any:
    return TypedDict("Drawn", {name: hint for name, (hint, _) in said.items()}, total=False)  # type: ignore[operator]


hints = st.recursive(
    plain,
    lambda inner: st.one_of(
        objects(inner),
        inner.map(lambda hint: list[hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: dict[str, hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: Optional[hint]),  # noqa: UP045
        st.tuples(inner, inner).map(lambda pair: tuple[pair[0], pair[1]]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1] if isinstance(pair[0], type) else pair[0]),
    ),
    max_leaves=5,
)
exact = settings(max_examples=200, deadline=None, derandomize=True)


def a_method(hint: Any, default: Any = inspect.Parameter.empty) -> tuple[Method, dict[str, Any]]:
    """A function of one argument as a method, with its operation in the document of 3.1."""

    def function(given: Any) -> Any: ...

    parameter = inspect.Parameter("given", inspect.Parameter.KEYWORD_ONLY, default=default)
    function.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    function.__annotations__ = {"given": hint, "return": None}
    function.__qualname__ = "function"
    api = typed.Api("drawn", "v1")
    api.post("call")(function)
    (described,) = apis([api])
    return described.methods[0], openapi(described, version="3.1", hostname="api.example.com")


def takes(method: Method, query: list[tuple[str, str]], body: Any) -> bool:
    try:
        method.binding.arguments({}, query, body)
    except InvalidValue:
        return False
    return True


def validator(schema: Any, document: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


@given(hint=hints, values=st.lists(json_values, min_size=1, max_size=8))
@exact
def test_bodies(hint: Any, values: list[Any]) -> None:
    method, document = a_method(Annotated[hint, Body()])
    body = document["paths"]["/drawn/v1/call"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    says = validator(body, document)
    for value in values:
        assert takes(method, [], value) == says.is_valid(value), (json.dumps(body), value)


@given(hint=hints, value=json_values)
@exact
def test_openapi_2_never_forbids_what_is_taken(hint: Any, value: Any) -> None:
    method, _ = a_method(Annotated[hint, Body()])
    if takes(method, [], value):
        definitions = Flat()
        schema = method.body.schema(definitions)  # type: ignore[union-attr]
        modern = definitions.modern(schema)
        assert Draft202012Validator(modern).is_valid(value), (modern, value)


class Flat:
    """Definitions of 2.0 that stand where they are referred to."""

    version: Any = "2.0"

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def ref(self, name: str, write: Any) -> dict[str, Any]:
        if name not in self.schemas:
            self.schemas[name] = {}
            self.schemas[name].update(write())
        return {"$ref": name}

    def modern(self, node: Any) -> Any:
        """A schema as JSON Schema has null and bounds."""
        if isinstance(node, list):
            return [self.modern(one) for one in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            return self.modern(self.schemas[node["$ref"]])
        found = {key: self.modern(one) for key, one in node.items() if not key.startswith("x-")}
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if found.pop(exclusive, False):
                found[exclusive] = found.pop(bound)
        return {"anyOf": [found, {"type": "null"}]} if node.get("x-nullable") else found


@given(hint=plain, default=st.booleans(), text=texts)
@exact
def test_parameters(hint: Any, default: bool, text: str) -> None:
    """A text is taken if one of the ways to read it is what the document says."""
    method, document = a_method(Annotated[hint, Query()], *([None] if default else []))
    (parameter,) = document["paths"]["/drawn/v1/call"]["post"]["parameters"]
    says = validator(parameter["schema"], document)
    assert takes(method, [("given", text)], None) == any(says.is_valid(one) for one in readings(text)), parameter
    assert takes(method, [], None) == default == (not parameter.get("required", False))


@given(hint=plain, given_texts=st.lists(texts, max_size=4))
@exact
def test_repeated_parameters(hint: Any, given_texts: list[str]) -> None:
    method, document = a_method(Annotated[list[hint], Query(), Field(min_length=1, max_length=3)])
    (parameter,) = document["paths"]["/drawn/v1/call"]["post"]["parameters"]
    says = validator(parameter["schema"]["items"], document)
    fits = all(any(says.is_valid(one) for one in readings(text)) for text in given_texts)
    taken = takes(method, [("given", text) for text in given_texts], None)
    assert taken == (fits and parameter["schema"]["minItems"] <= len(given_texts) <= parameter["schema"]["maxItems"])


def readings(text: str) -> list[Any]:
    """What a text of a query may be."""
    found: list[Any] = [text]
    if re.fullmatch(r"-?[0-9]+", text):
        found.append(int(text))
    elif re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        found.append(float(text))
    return [*found, text == "true"] if text in {"true", "false"} else found


@given(hint=hints)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_openapi_2_has_the_type_of_each_parameter(hint: Any) -> None:
    from authz.frameworks.typed.hints.values import Value

    def check(node: Any) -> None:
        for key, one in node.items():
            if key in {"anyOf", "oneOf", "const", "prefixItems"}:
                raise AssertionError(node)
            if key == "type":
                assert isinstance(one, str)
            if isinstance(one, dict) and not key.startswith("x-"):
                check(one)

    check(version2(Value(hint).schema()))
