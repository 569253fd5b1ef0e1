"""Type hints as JSON: what both dialects of OpenAPI say of each, and what is read, refused and written."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Optional

import pytest
from annotated_types import Gt, Len
from pydantic import Base64Bytes, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.typed.hints.dialect import version2
from authz.frameworks.typed.hints.values import Value

NOON = datetime(2030, 1, 31, 12, 30, tzinfo=UTC)
ID = "123e4567-e89b-12d3-a456-426614174000"


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 1


class Point(TypedDict):
    x: int
    y: NotRequired[int]


@dataclass
class Item:
    id: int
    name: str
    tags: list[str] = field(default_factory=list)
    parts: list[Item] = field(default_factory=list)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


class Trimmed(BaseModel):
    when: datetime
    point: Point
    raw: bytes = b""

    @model_validator(mode="before")
    @classmethod
    def trim(cls, value: Any) -> Any:
        return {key.strip(): one for key, one in value.items()} if isinstance(value, dict) else value


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

# The hint; its schema in 3.1; what 2.0 says (None: the same); JSON that is read, with its value; JSON that is refused.
HINTS: list[tuple[Any, dict[str, Any], dict[str, Any] | None, list[tuple[Any, Any]], list[Any]]] = [
    (int, {"type": "integer"}, None, [(1, 1), (1.0, 1), (2**70, 2**70)], ["1", 1.5, True, None, [], {}]),
    (float, {"type": "number"}, None, [(1, 1.0), (1.5, 1.5)], ["1", True, None]),
    (bool, {"type": "boolean"}, None, [(True, True)], [1, 0, "true", None]),
    (str, {"type": "string"}, None, [("", ""), ("ä", "ä")], [1, None, True, ["a"], "\ud800"]),
    (
        bytes,
        {"type": "string", "format": "byte", "contentEncoding": "base64"},
        {"type": "string", "format": "byte"},
        [("YQ==", b"a"), ("YQ", b"a"), ("_-8=", b"\xff\xef"), ("/+8=", b"\xff\xef")],
        ["Y$", 1, "Y"],
    ),
    (
        datetime,
        {"type": "string", "format": "date-time"},
        None,
        [("2030-01-31T12:30:00Z", NOON), ("2030-01-31t12:30:00", NOON.replace(tzinfo=None))],
        ["2030-01-31", "123", 123, "2030-02-31T00:00:00Z", True],
    ),
    (
        date,
        {"type": "string", "format": "date"},
        None,
        [("2030-01-31", date(2030, 1, 31))],
        ["0", 0, "2030-01-31T00:00:00"],
    ),
    (time, {"type": "string", "format": "time"}, None, [("12:30:00", time(12, 30))], ["12", 3]),
    (timedelta, {"type": "string", "format": "duration"}, None, [("PT1H", timedelta(hours=1))], ["P", "1:00", 3]),
    (uuid.UUID, {"type": "string", "format": "uuid"}, None, [(ID, uuid.UUID(ID))], [f"urn:uuid:{ID}", ID[:-1], 1]),
    (
        Decimal,
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}]},
        {
            "x-oneOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}],
            "description": "One of: number, string.",
        },
        [("1.50", Decimal("1.50")), (1.5, Decimal("1.5"))],
        ["x", True, None, "1e999999999"],
    ),
    (Colour, {"enum": ["red", "blue"], "type": "string", "title": "Colour"}, None, [("red", Colour.RED)], ["RED", 1]),
    (Level, {"enum": [0, 1], "type": "integer", "title": "Level"}, None, [(1, Level.HIGH)], [True, False, 2, "1"]),
    (Literal["a", "b"], {"enum": ["a", "b"], "type": "string"}, None, [("a", "a")], ["c", 1]),
    (
        Literal["a"],
        {"const": "a", "type": "string"},
        {"enum": ["a"], "type": "string"},
        [("a", "a")],
        ["b"],
    ),
    (Literal[1, "a"], {"enum": [1, "a"]}, None, [(1, 1), ("a", "a")], [True, 2]),
    (
        Optional[int],  # noqa: UP045 - both spellings are in use
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"type": "integer", "x-nullable": True},
        [(None, None), (1, 1)],
        ["1", True],
    ),
    (
        int | str,
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"x-oneOf": [{"type": "integer"}, {"type": "string"}], "description": "One of: integer, string."},
        [(1, 1), ("1", "1")],
        [True, None, 1.5],
    ),
    (
        Literal["a"] | Literal["b", "c"],
        {"anyOf": [{"const": "a", "type": "string"}, {"enum": ["b", "c"], "type": "string"}]},
        {"enum": ["a", "b", "c"], "type": "string"},
        [("b", "b")],
        ["d"],
    ),
    (list[int], {"type": "array", "items": {"type": "integer"}}, None, [([1], [1]), ([], [])], [["1"], 1, None, {}]),
    (set[int], {"type": "array", "items": {"type": "integer"}}, None, [([1, 1], {1})], [["1"], 1]),
    (
        tuple[int, str],
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        {
            "type": "array", "items": {}, "x-prefixItems": [{"type": "integer"}, {"type": "string"}],
            "minItems": 2, "maxItems": 2, "description": "In this order: integer, string.",
        },
        [([1, "a"], (1, "a"))],
        [[1], ["a", 1], [1, "a", 2]],
    ),
    (
        dict[str, int],
        {"type": "object", "additionalProperties": {"type": "integer"}},
        None,
        [({"a": 1}, {"a": 1})],
        [{"a": "1"}, [], None],
    ),
    (
        Annotated[int, Gt(0), Field(lt=10)],
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 10, "exclusiveMaximum": True},
        [(1, 1), (9, 9)],
        [0, 10],
    ),
    (
        Annotated[float, Field(ge=0, gt=-1, multiple_of=0.5)],
        {"type": "number", "minimum": 0, "exclusiveMinimum": -1, "multipleOf": 0.5},
        {"type": "number", "minimum": 0, "multipleOf": 0.5},
        [(0, 0.0), (1.5, 1.5)],
        [-0.5, 0.3],
    ),
    (Annotated[str, Len(1, 2)], {"type": "string", "minLength": 1, "maxLength": 2}, None, [("ab", "ab")], ["", "abc"]),
    (
        Annotated[list[int], Len(1)],
        {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        None,
        [([1], [1])],
        [[]],
    ),
    (Annotated[str, Field(pattern="^a")], {"type": "string", "pattern": "^a"}, None, [("ab", "ab")], ["b"]),
    (Base64Bytes, {"type": "string", "format": "base64"}, None, [("YQ==", b"a")], [1]),
    (
        Point,
        {
            "type": "object", "title": "Point", "required": ["x"],
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        },
        None,
        [({"x": 1}, {"x": 1}), ({"x": 1, "z": 3}, {"x": 1})],
        [{}, {"x": "1"}, [], None],
    ),
    (Any, {}, None, [(None, None), ([1, {"a": "b"}], [1, {"a": "b"}])], []),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "schema", "schema2", "read", "refused"), HINTS, ids=lambda one: str(one)[:40])
def test_hints(hint: Any, schema: Any, schema2: Any, read: Any, refused: Any) -> None:
    value = Value(hint)
    assert value.schema() == schema
    assert version2(value.schema()) == (schema if schema2 is None else schema2)
    for given, wanted in read:
        found = value.read(given, "", "body")
        assert (found, type(found)) == (wanted, type(wanted))
    for given in refused:
        with pytest.raises(InvalidValue):
            value.read(given, "", "body")


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (int, 1, b"1"),
        (float, 1.5, b"1.5"),
        (bytes, b"\xff\xef", b'"/+8="'),
        (datetime, datetime(2030, 1, 31, tzinfo=UTC), b'"2030-01-31T00:00:00Z"'),
        (Decimal, Decimal("1.50"), b'"1.50"'),
        (timedelta, timedelta(days=1), b'"P1D"'),
        (Colour, Colour.RED, b'"red"'),
        (list[Item], [Item(1, "ä")], '[{"id":1,"name":"ä","tags":[],"parts":[]}]'.encode()),
        (Item | None, None, b"null"),
        (Point, {"x": 1}, b'{"x":1}'),
        (Cat | Dog, Dog(kind="dog"), b'{"kind":"dog"}'),
        (dict[str, float], {"a": 1.5}, b'{"a":1.5}'),
    ],
)
def test_values_are_written(hint: Any, value: Any, text: bytes) -> None:
    assert Value(hint).write(value) == text


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, "1"),
        (Item, None),
        (Item, {"id": 1}),
        (Item, Item("x", "y")),
        (list[int], 1),
        (str, 1),
        (Cat, Dog(kind="dog")),
    ],  # type: ignore[arg-type]
)
def test_what_a_function_does_not_declare_is_not_written(hint: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        Value(hint).write(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_not_are_neither_read_nor_written(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Value(list[float]).write([number])
    with pytest.raises(InvalidValue):
        Value(list[float]).read([number], "", "body")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"name": "a"}, "id"),
        ({"id": "1", "name": "a"}, "id"),
        ({"id": 1, "name": "a", "tags": ["a", 2]}, "tags[1]"),
        ({"id": 1, "name": "a", "parts": [{"id": 1, "name": "b"}, {"id": 2}]}, "parts[1].name"),
        ([], ""),
    ],
)
def test_the_place_that_is_wrong_is_told(given: Any, place: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        Value(Item).read(given, "", "body")
    assert refused.value.location == place
    assert place in str(refused.value)


@pytest.mark.parametrize(
    ("hint", "given", "place"),
    [
        (dict[str, Pet], {"a": {"kind": "cat", "lives": "9"}}, "a.lives"),
        (dict[str, Pet], {"a": {"kind": "cow"}}, "a"),
        (list[list[int] | int], [[1, "x"]], "[0][1]"),
    ],
)
def test_choices_of_a_union_are_no_part_of_the_place(hint: Any, given: Any, place: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        Value(hint).read(given, "", "body")
    assert refused.value.location.startswith(place)
    assert "cat" not in refused.value.location


def test_what_came_is_not_repeated() -> None:
    with pytest.raises(InvalidValue) as refused:
        Value(Item).read({"id": "s3cret", "name": 5}, "", "body")
    assert "s3cret" not in str(refused.value)
    assert "1 more" in str(refused.value)


def test_validators_of_a_model_run_and_its_fields_are_still_strict() -> None:
    value = Value(Trimmed)
    found = value.read({" when": "2030-01-31T00:00:00Z", "point ": {"x": 1}, "raw": "YQ=="}, "", "body")
    assert found == Trimmed.model_construct(when=datetime(2030, 1, 31, tzinfo=UTC), point={"x": 1}, raw=b"a")
    assert value.write(found) == b'{"when":"2030-01-31T00:00:00Z","point":{"x":1},"raw":"YQ=="}'
    with pytest.raises(InvalidValue):
        value.read({"when": "2030-01-31T00:00:00Z", "point": {"x": "1"}}, "", "body")


def test_a_validator_of_a_value_may_change_it() -> None:
    assert Value(Annotated[date, BeforeValidator(str.strip)]).read(" 2030-01-31 ", "", "body") == date(2030, 1, 31)


def test_a_model_that_says_how_its_bytes_travel_is_left_as_it_is() -> None:
    class Raw(BaseModel):
        model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
        raw: bytes

    assert Value(Raw).write(Raw(raw=b"\xff")) == b'{"raw":"ff"}'
    assert Value(Raw).read({"raw": "ff"}, "", "body").raw == b"\xff"


def test_a_field_that_says_that_it_is_not_strict_is_not() -> None:
    assert Value(Annotated[int, Field(strict=False)]).read("1", "", "body") == 1


def test_a_union_by_tag_in_openapi_2() -> None:
    found = version2(Value(Pet).schema())
    assert found["type"] == "object"
    assert found["properties"] == {"kind": {"type": "string", "enum": ["cat", "dog"]}}
    assert found["required"] == ["kind"]
    assert found["description"] == "Told apart by 'kind'. One of: Cat, Dog."
    assert "oneOf" not in found


def test_nothing_that_openapi_2_has_no_words_for_is_left() -> None:
    """No keyword of JSON Schema that came later is in any schema of 2.0."""
    later = {"anyOf", "oneOf", "const", "prefixItems", "$defs", "contentEncoding", "examples", "patternProperties"}

    def keys(node: Any) -> set[str]:
        if isinstance(node, list):
            return set().union(*(keys(one) for one in node))
        if not isinstance(node, dict):
            return set()
        return set(node).union(*(keys(one) for key, one in node.items() if not key.startswith("x-")))

    for hint, *_ in HINTS:
        assert not keys(version2(Value(hint).schema())) & later


def test_a_shape_that_contains_itself_has_a_schema() -> None:
    properties = Value(Item).schema()["properties"]
    assert properties["parts"]["type"] == "array"
