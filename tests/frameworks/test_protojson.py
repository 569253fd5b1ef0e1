"""Messages as JSON, and requests as messages."""

from __future__ import annotations

import copy
import json
import math
import pickle
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.frameworks import message_types, messages, protojson
from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.messages import ValidationError, Variant
from authz.frameworks.protojson import FieldParameter, MessageBinding, decode, encode, parse, to_json
from authz.frameworks.service import ABSENT

CASES = json.loads((Path(__file__).parent / "data" / "values.json").read_text())


class Color(messages.Enum):
    RED = 1
    GREEN = 2


class Sub(messages.Message):
    x = messages.IntegerField(1, variant=Variant.INT32)
    s = messages.StringField(2)


class All(messages.Message):
    b = messages.BooleanField(1)
    by = messages.BytesField(2)
    d = messages.FloatField(3)
    e = messages.EnumField(Color, 4)
    i32 = messages.IntegerField(5, variant=Variant.INT32)
    i64 = messages.IntegerField(6)
    u64 = messages.IntegerField(7, variant=Variant.UINT64)
    s = messages.StringField(8)
    m = messages.MessageField(Sub, 9)
    at = message_types.DateTimeField(10)
    ri = messages.IntegerField(11, variant=Variant.INT32, repeated=True)
    rl = messages.IntegerField(12, repeated=True)
    rm = messages.MessageField(Sub, 13, repeated=True)
    re = messages.EnumField(Color, 14, repeated=True)
    dflt = messages.IntegerField(15, variant=Variant.INT32, default=7)
    rs = messages.StringField(16, repeated=True)
    f32 = messages.FloatField(17, variant=Variant.FLOAT)
    u32 = messages.IntegerField(18, variant=Variant.UINT32)
    rb = messages.BooleanField(19, repeated=True)
    rat = message_types.DateTimeField(20, repeated=True)
    rby = messages.BytesField(21, repeated=True)
    deep = messages.MessageField("All", 22)
    s64 = messages.IntegerField(23, variant=Variant.SINT64)


class Need(messages.Message):
    need = messages.StringField(1, required=True)
    opt = messages.IntegerField(2, variant=Variant.INT32)
    below = messages.MessageField("Need", 3, repeated=True)


FIELDS = {
    "integer INT64 repeated": "rl",
    "integer UINT64": "u64",
    "bytes": "by",
    "datetime": "at",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_values_are_what_the_old_library_made_of_them(case: dict[str, Any]) -> None:
    name = FIELDS[case["field"]]
    if case["direction"] == "encode":
        assert json.loads(encode(All(**{name: case["value"]}))) == {name: case["json"]}
    elif "error" in case:
        with pytest.raises(InvalidValue) as caught:
            decode(All, {name: case["json"]})
        assert caught.value.location == name
    elif "value_hex" in case:
        assert getattr(decode(All, {name: case["json"]}), name) == bytes.fromhex(case["value_hex"])
    else:
        assert json.loads(encode(decode(All, {name: case["json"]}))) == {name: case["encoded_again"]}


NAMES = [field.name for field in All.all_fields()]
OFFSET = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
VALUES: dict[Variant, st.SearchStrategy[Any]] = {
    Variant.BOOL: st.booleans(),
    Variant.BYTES: st.binary(max_size=20),
    Variant.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    Variant.FLOAT: st.floats(allow_nan=False, allow_infinity=False, width=32),
    Variant.ENUM: st.sampled_from(list(Color)),
    Variant.INT32: st.integers(-(2**31), 2**31 - 1),
    Variant.INT64: st.integers(-(2**63), 2**63 - 1),
    Variant.SINT64: st.integers(-(2**63), 2**63 - 1),
    Variant.UINT32: st.integers(0, 2**32 - 1),
    Variant.UINT64: st.integers(0, 2**64 - 1),
    Variant.STRING: st.text(max_size=20),
}


def value_of(field: messages.Field) -> st.SearchStrategy[Any]:
    if field.type is datetime:
        one: st.SearchStrategy[Any] = st.datetimes(timezones=st.none() | OFFSET)
    elif field.variant is Variant.MESSAGE:
        one = st.builds(Sub, x=VALUES[Variant.INT32], s=VALUES[Variant.STRING])
    else:
        one = VALUES[field.variant]
    return st.lists(one, max_size=3) if field.repeated else one


FLAT = st.fixed_dictionaries({}, optional={f.name: value_of(f) for f in All.all_fields() if f.name != "deep"})
ANY = st.recursive(
    FLAT.map(lambda values: All(**values)),
    lambda below: st.tuples(FLAT, below).map(lambda both: All(**both[0], deep=both[1])),
    max_leaves=3,
)


@given(ANY)
def test_what_is_written_reads_as_it_was(message: All) -> None:
    assert parse(All, encode(message)) == message
    assert decode(All, to_json(message)) == message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["RED", "12", "-1.5"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), below),
    max_leaves=12,
)


def made(call: Callable[..., Any], *given: Any) -> Any:
    """What the call gives, or how it refuses; anything else that it raises fails the test."""
    try:
        return call(*given)
    except InvalidValue as error:
        return error


def again(message: All) -> All:
    return pickle.loads(pickle.dumps(message))  # noqa: S301 - our own


@given(JSON)
def test_any_json_is_a_message_or_is_refused_with_the_field_named(data: Any) -> None:
    message = made(decode, All, data)
    if isinstance(message, All):
        assert parse(All, encode(message)) == message
    else:
        assert message.where == "body"
        assert str(message).startswith(message.location)
        assert bool(message.location) == isinstance(data, dict)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_text_is_a_message_or_is_refused(text: str | bytes) -> None:
    assert str(made(parse, All, text))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"i32": "12", "i64": 9007199254740993, "d": "1e3"}, {"i32": 12, "i64": 9007199254740993, "d": 1000.0}),
        ({"i32": 5.0, "d": 3}, {"i32": 5, "d": 3.0}),
        ({"e": 2, "re": ["RED", 2]}, {"e": Color.GREEN, "re": [Color.RED, Color.GREEN]}),
        ({"ri": 3, "rm": {"x": 1}}, {"ri": [3], "rm": [Sub(x=1)]}),
        ({"ri": [], "rs": None, "s": None, "m": None}, {}),
        ({"unknown": {"a": [1]}, "s": "", "b": False, "i32": 0}, {"s": "", "b": False, "i32": 0}),
        ({"by": "_-8"}, {"by": b"\xff\xef"}),
        ({"by": " /+\n8= "}, {"by": b"\xff\xef"}),
        ({"by": ""}, {"by": b""}),
        ({"at": "2020-01-02T03:04:05.678Z"}, {"at": datetime(2020, 1, 2, 3, 4, 5, 678000, UTC)}),
        ({"at": "2020-01-02t03:04:05.6-05:30"}, {"at": datetime(2020, 1, 2, 8, 34, 5, 600000, UTC)}),
        ({"u64": 2**64 - 1, "s64": str(-(2**63))}, {"u64": 2**64 - 1, "s64": -(2**63)}),
    ],
)
def test_what_json_comes_to(data: object, values: dict[str, Any]) -> None:
    assert decode(All, data) == All(**values)


@pytest.mark.parametrize(
    ("data", "location", "says"),
    [
        ({"i32": True}, "i32", "found true"),
        ({"i32": 1.5}, "i32", "found 1.5"),
        ({"i32": "zz"}, "i32", 'found "zz"'),
        ({"i32": "1_0"}, "i32", "integer"),
        ({"i32": "٣"}, "i32", "integer"),
        ({"i32": ""}, "i32", "integer"),
        ({"i32": 2**31}, "i32", "to 2147483647"),
        ({"i32": [1]}, "i32", "found a list"),
        ({"i64": "9" * 5000}, "i64", "integer"),
        ({"i64": 2**63}, "i64", "to 9223372036854775807"),
        ({"u64": -1}, "u64", "from 0"),
        ({"u32": 2**32}, "u32", "to 4294967295"),
        ({"i32": math.inf}, "i32", "Infinity"),
        ({"d": math.nan}, "d", "NaN"),
        ({"d": "nan"}, "d", "number"),
        ({"d": "1e999"}, "d", "number"),
        ({"d": 10**400}, "d", "number"),
        ({"d": True}, "d", "number"),
        ({"b": 1}, "b", "true or false"),
        ({"b": "true"}, "b", "true or false"),
        ({"s": 5}, "s", "a string"),
        ({"s": ["a", "b"]}, "s", "a string"),
        ({"e": "PURPLE"}, "e", "RED, GREEN"),
        ({"e": True}, "e", "RED, GREEN"),
        ({"e": 9}, "e", "RED, GREEN"),
        ({"e": {}}, "e", "found an object"),
        ({"by": "a"}, "by", "base64"),
        ({"by": 5}, "by", "base64"),
        ({"at": "2020-01-02"}, "at", "date"),
        ({"at": "2020-02-30T00:00:00Z"}, "at", "date"),
        ({"at": "2020-01-01T24:00:00Z"}, "at", "date"),
        ({"at": "2020-01-01T00:00:00+24:00"}, "at", "date"),
        ({"at": 5}, "at", "date"),
        ({"m": 5}, "m", "an object"),
        ({"m": {"x": "zz"}}, "m.x", "integer"),
        ({"rm": [{"x": 1}, {"x": []}]}, "rm[1].x", "integer"),
        ({"ri": [1, None]}, "ri[1]", "found null"),
        ({"ri": ["a", 2]}, "ri[0]", "integer"),
        ({"deep": {"deep": {"rm": [{}, 5]}}}, "deep.deep.rm[1]", "an object"),
        (None, "", "an object"),
        ([], "", "an object"),
        (5, "", "an object"),
    ],
)
def test_what_does_not_fit_is_named(data: object, location: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says) as caught:
        decode(All, data)
    assert (caught.value.location, caught.value.where, caught.value.http_status) == (location, "body", 400)
    assert len(str(caught.value)) < 200


def test_what_is_required_is_named_wherever_it_is_missing() -> None:
    assert decode(Need, {"need": ""}) == Need(need="")
    for data, location in (({}, "need"), ({"need": None}, "need"), ({"need": "", "below": [{}]}, "below[0].need")):
        with pytest.raises(InvalidValue, match="required") as caught:
            decode(Need, data)
        assert caught.value.location == location


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    data: dict[str, Any] = {}
    for _ in range(5000):
        data = {"deep": data}
    with pytest.raises(InvalidValue, match="deeply"):
        decode(All, data)
    with pytest.raises(InvalidValue):
        parse(All, '{"deep":' * 100_000)


def test_only_what_is_set_is_written() -> None:
    message = All(s="", i32=0, b=False, ri=[], rl=[1], dflt=7, i64=-5, by=b"\xff\xef", e=Color.RED, m=Sub())
    _ = message.rs  # only looked at
    assert json.loads(encode(message)) == {
        "s": "", "i32": 0, "b": False, "rl": ["1"], "dflt": 7, "i64": "-5", "by": "/+8=", "e": "RED", "m": {},
    }  # fmt: skip
    assert encode(All()) == b"{}"
    assert encode(All(s="é", i32=1)) == b'{"i32":1,"s":"\\u00e9"}'


def test_datetimes_are_written_as_they_are() -> None:
    zone = timezone(timedelta(minutes=60))
    moments = [
        datetime(2020, 1, 2, 3, 4, 5),  # noqa: DTZ001 - naive ones are allowed
        datetime(2020, 1, 2, 3, 4, 5, 678000, zone),
        datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
    ]
    written = ["2020-01-02T03:04:05", "2020-01-02T03:04:05.678000+01:00", "2020-01-02T03:04:05+00:00"]
    assert json.loads(encode(All(rat=moments))) == {"rat": written}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (All(d=math.nan), "d is no number"),
        (All(deep=All(f32=math.inf)), "deep.f32 is no number"),
        (Need(), "need"),
        (Need(need="", below=[Need(need=""), Need()]), "need"),
    ],
)
def test_messages_that_json_cannot_carry_are_not_written(message: messages.Message, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        encode(message)


def parameters(message: type[messages.Message], *names: str) -> list[FieldParameter]:
    found = []
    for name in names:
        *parents, last = name.split(".")
        holder = message
        for parent in parents:
            holder = holder.field_by_name(parent).type
        found.append(FieldParameter(name, holder.field_by_name(last)))
    return found


BINDING = MessageBinding(All, parameters(All, "s", "i32", "u32", "d", "f32", "b", "e", "re", "ri", "m.x", "i64"), All)
MOMENT = datetime(2020, 1, 2, 3, 4, 5, 0, UTC)
VOID = MessageBinding(All)


def bound(binding: MessageBinding, path: dict[str, str], query: list[tuple[str, str]], body: object = ABSENT) -> Any:
    (message,), keywords = binding.arguments(path, query, body)
    assert keywords == {}
    return message


@pytest.mark.parametrize(
    ("path", "query", "body", "values"),
    [
        ({}, [], ABSENT, {}),
        ({}, [], {"s": "a"}, {"s": "a"}),
        (
            {},
            [("s", "hi"), ("i32", "5"), ("b", "TRUE"), ("d", "1.5"), ("e", "RED"), ("i64", "9007199254740993")],
            ABSENT,
            {"s": "hi", "i32": 5, "b": True, "d": 1.5, "e": Color.RED, "i64": 9007199254740993},
        ),
        ({}, [("s", "first"), ("s", "second")], ABSENT, {"s": "first"}),
        ({"s": "path"}, [("s", "path")], {"s": "path"}, {"s": "path"}),
        ({"i64": "5", "b": "true"}, [], {"i64": 5, "b": True, "s": None}, {"i64": 5, "b": True}),
        ({"i32": "007", "b": "1"}, [], {"i32": 7, "b": True}, {"i32": 7, "b": True}),
        ({"s": "path", "m.x": "3"}, [], {"s": None, "m": {"x": None, "s": "b"}}, {"s": "path", "m": Sub(x=3, s="b")}),
        ({"ri": "1"}, [("ri", "2"), ("ri", "3")], ABSENT, {"ri": [2, 3, 1]}),
        ({}, [("m.x", "3"), ("m.s", "q")], ABSENT, {"m": Sub(x=3, s="q")}),
        ({"m.x": "3"}, [], {"m": {"s": "b"}}, {"m": Sub(x=3, s="b")}),
        ({}, [("ri", "1")], {"ri": [2]}, {"ri": [2]}),
        ({}, [("b", "0")], ABSENT, {"b": False}),
        ({}, [("s", "")], ABSENT, {"s": ""}),
        ({}, [("u64", "7"), ("deep.deep.i32", "4")], ABSENT, {"u64": 7, "deep": All(deep=All(i32=4))}),
        ({}, [("key", "SECRET"), ("m", "5"), ("m.zz", "1"), ("rm.x", "1"), ("s.x", "1"), ("", "")], ABSENT, {}),
        ({}, [(".".join(["deep"] * 100), "1"), (".".join(["deep"] * 60) + ".s", "1")], ABSENT, {}),
        ({}, [("at", "2020-01-02T03:04:05Z"), ("by", "_-8")], ABSENT, {"at": MOMENT, "by": b"\xff\xef"}),
        ({}, [("rs", "a"), ("rs", "b")], ABSENT, {"rs": ["a", "b"]}),
    ],
)  # fmt: skip
def test_a_request_becomes_a_message(path: Any, query: Any, body: object, values: dict[str, Any]) -> None:
    assert bound(BINDING, path, query, body) == All(**values)
    if all(name != "b" for name, _ in query):
        assert bound(VOID, path, query, body) == All(**values)


@pytest.mark.parametrize(
    ("path", "query", "body", "name"),
    [
        ({"s": "path"}, [("s", "query")], ABSENT, "s"),
        ({"s": "path"}, [("s", "path"), ("s", "query")], ABSENT, "s"),
        ({"s": "path"}, [], {"s": "body"}, "s"),
        ({"i64": "5"}, [], {"i64": 6}, "i64"),
        ({"m.x": "3"}, [("m.x", "4")], ABSENT, "m.x"),
        ({"m.x": "3"}, [], {"m": {"x": "4"}}, "m.x"),
        ({"m.x": "3"}, [], {"m": {"x": [3]}}, "m.x"),
    ],
)
def test_nothing_overrules_the_path(path: Any, query: Any, body: object, name: str) -> None:
    with pytest.raises(InvalidValue, match="in the path, and something else") as caught:
        bound(BINDING, path, query, body)
    assert (caught.value.location, caught.value.where) == (name, "parameter")


INT32 = " Allowed values: -2147483648 to 2147483647"
COLORS = "Allowed values: ['RED', 'GREEN']"


@pytest.mark.parametrize(
    ("query", "location", "where", "text"),
    [
        ([("u32", "abc")], "u32", "parameter", "Invalid integer value: 'abc'."),
        ([("i32", "")], "i32", "parameter", "Invalid integer value: ''."),
        ([("i32", "99999999999")], "i32", "parameter", f"Invalid integer value: '99999999999'.{INT32}"),
        ([("b", "yes")], "b", "parameter", "Invalid boolean value: 'yes'."),
        ([("d", "x")], "d", "parameter", "Invalid double value: 'x'."),
        ([("d", "inf")], "d", "parameter", "Invalid double value: 'inf'."),
        ([("f32", "nan")], "f32", "parameter", "Invalid float value: 'nan'."),
        ([("e", "1")], "e", "parameter", f"Invalid string value: '1'. {COLORS}"),
        ([("ri", "1"), ("ri", "zz")], "ri[1]", "parameter", "Invalid integer value: 'zz'."),
        ([("re", "RED"), ("re", "PURPLE")], "re[1]", "parameter", f"Invalid string value: 'PURPLE'. {COLORS}"),
        ([("m.x", "q")], "m.x", "parameter", "Invalid integer value: 'q'."),
        ([("i64", "abc")], "i64", "body", "i64: Expected an integer"),
        ([("at", "abc")], "at", "body", "at: Expected a date"),
        ([("u32", "1" * 5000)], "u32", "parameter", "Invalid integer value: '1111"),
    ],
)  # fmt: skip
def test_a_parameter_that_does_not_fit_is_named(query: Any, location: str, where: str, text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        bound(BINDING, {}, query)
    assert (caught.value.location, caught.value.where) == (location, where)
    assert str(caught.value).startswith(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("body", [None, [], [{"s": "a"}], 5, "text", True])
@pytest.mark.parametrize("query", [[], [("s", "a")]])
def test_a_body_that_is_no_object_is_refused(body: object, query: Any) -> None:
    with pytest.raises(InvalidValue, match="object"):
        bound(BINDING, {}, query, body)


@given(
    st.dictionaries(st.sampled_from([*NAMES, "m.x", "deep.m.s"]), st.text(max_size=5), max_size=3),
    st.lists(st.tuples(st.sampled_from([*NAMES, "m.x", "x"]) | st.text(max_size=5), st.text(max_size=8)), max_size=4),
)
def test_any_parameters_are_a_message_or_are_refused_with_one_named(path: Any, query: Any) -> None:
    message = made(bound, BINDING, path, query)
    named = {*path, *(name for name, _ in query)}
    assert isinstance(message, All) or message.location.partition("[")[0] in named


def test_the_body_of_the_caller_is_not_changed() -> None:
    body = {"m": {"s": "b"}, "s": "x"}
    bound(BINDING, {"m.x": "3"}, [("s", "y")], body)
    assert body == {"m": {"s": "b"}, "s": "x"}


def test_answers_are_what_the_method_declares() -> None:
    assert BINDING.answer(All(s="ok")) == b'{"s":"ok"}'
    assert BINDING.answer(All()) == b"{}"
    for wrong in (None, Sub(), "text", message_types.VoidMessage()):
        with pytest.raises(TypeError, match="declares All"):
            BINDING.answer(wrong)
    assert VOID.answer(message_types.VoidMessage()) is None
    assert VOID.answer(None) is None
    with pytest.raises(TypeError, match="VoidMessage"):
        VOID.answer(All())


def test_base64_is_written_in_the_standard_alphabet() -> None:
    assert to_json(All(rby=[b"\xff\xef", b""])) == {"rby": [b64encode(b"\xff\xef").decode(), ""]}
    assert set(protojson.__all__) >= {"decode", "encode", "MessageBinding", "FieldParameter"}


@given(ANY, FLAT)
def test_copies_are_equal_until_one_changes(message: All, others: dict[str, Any]) -> None:
    copied, deep, pickled = copy.copy(message), copy.deepcopy(message), again(message)
    assert copied == message == deep == pickled
    for name, value in others.items():
        setattr(deep, name, value)
    assert all(deep.get_assigned_value(name) == value for name, value in others.items())
    assert message == pickled
    assert deep == message or encode(deep) != encode(message)
