"""Declaring messages and filling them: what fits, what is refused, and what the error says."""

from __future__ import annotations

import copy
import pickle
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.frameworks import message_types, messages
from authz.frameworks.messages import (
    BooleanField,
    BytesField,
    EnumField,
    Field,
    FloatField,
    IntegerField,
    Message,
    MessageField,
    StringField,
    ValidationError,
    Variant,
)


class Color(messages.Enum):
    RED = 1
    GREEN = 2
    BLUE = 0


class Leaf(Message):
    x = IntegerField(1, variant=Variant.INT32)
    s = StringField(2, required=True)


class Tree(Message):
    """A message that holds others of its kind."""

    class Kind(messages.Enum):
        OAK = 1

    class Inner(Message):
        of = MessageField("Tree", 1)

    name = StringField(3, default="unnamed")
    leaf = MessageField(Leaf, 1)
    leaves = MessageField("Leaf", 2, repeated=True)
    below = MessageField("Tree", 4, repeated=True)
    kind = EnumField("Kind", 5, default="OAK")
    color = EnumField(Color, 6, default=2)
    inner = MessageField("Tree.Inner", 7)
    numbers = IntegerField(8, repeated=True)
    at = message_types.DateTimeField(9)
    weight = FloatField(10)
    raw = BytesField(11)
    alive = BooleanField(12)


def again(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


def test_fields_are_in_the_order_of_their_numbers() -> None:
    assert [field.number for field in Tree.all_fields()] == list(range(1, 13))
    assert Tree.field_by_name("leaf").number == 1
    assert Tree.field_by_number(3) is Tree.name
    with pytest.raises(KeyError):
        Tree.field_by_name("nope")


def test_unset_fields_read_as_their_default_or_nothing() -> None:
    tree = Tree()
    assert (tree.name, tree.leaf, tree.kind, tree.color, tree.numbers) == (
        "unnamed",
        None,
        Tree.Kind.OAK,
        Color.GREEN,
        [],
    )
    assert tree.get_assigned_value("name") is None
    assert tree == Tree()


def test_setting_none_and_reset_make_a_field_unset() -> None:
    tree = Tree(name="a", numbers=[1], leaf=None)
    tree.name = None
    tree.reset("numbers")
    assert tree == Tree()
    assert tree.name == "unnamed"


def test_classes_given_by_name_are_found_where_the_field_stands() -> None:
    assert Tree.field_by_name("leaves").type is Leaf
    assert Tree.field_by_name("below").type is Tree
    assert Tree.field_by_name("kind").type is Tree.Kind
    assert Tree.field_by_name("inner").type is Tree.Inner
    assert Tree.Inner.field_by_name("of").type is Tree


def test_a_class_of_another_module_is_found_by_its_full_name() -> None:
    class Event(Message):
        at = MessageField("authz.frameworks.message_types.DateTimeMessage", 1)

    assert Event.field_by_name("at").type is message_types.DateTimeMessage


def test_a_name_that_is_nowhere_is_said_with_where_it_was_looked_for() -> None:
    class Lost(Message):
        other = MessageField("Nowhere", 1)
        far = MessageField("no.such.module.Thing", 2)

    with pytest.raises(messages.DefinitionNotFoundError, match=r"'Nowhere', seen from .*Lost"):
        _ = Lost.field_by_name("other").type
    with pytest.raises(messages.DefinitionNotFoundError, match="Thing"):
        _ = Lost.field_by_name("far").type


def test_definition_names_are_package_enclosing_messages_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Tree.Inner.definition_name() == f"{__name__}.Tree.Inner"
    assert Tree.Kind.definition_name() == f"{__name__}.Tree.Kind"
    assert Tree.outer_definition_name() == __name__
    monkeypatch.setattr(sys.modules[__name__], "package", "my.pkg-name", raising=False)
    assert Tree.Inner.definition_name() == "my.pkg-name.Tree.Inner"
    assert Tree.definition_package() == "my.pkg-name"


def test_a_script_is_named_for_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leaf, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/somewhere/shop.py", raising=False)
    monkeypatch.delattr(sys.modules["__main__"], "package", raising=False)
    assert Leaf.definition_name() == "shop.Leaf"


def test_a_class_mentioned_in_a_body_keeps_its_own_place() -> None:
    class Holder(Message):
        Alias = Leaf

    assert Holder.Alias.definition_name() == f"{__name__}.Leaf"


WRONG = [
    ("name", 5, "takes text"),
    ("name", b"bytes", "takes text"),
    ("raw", "text", "takes bytes"),
    ("alive", 1, "takes True or False"),
    ("weight", True, "takes a number"),
    ("weight", "1.5", "takes a number"),
    ("weight", 10**400, "takes a number"),
    ("leaf", Tree(), "takes a Leaf"),
    ("leaf", {"zzz": 1}, "no field 'zzz'"),
    ("color", "RED", "takes a member of Color"),
    ("color", Tree.Kind.OAK, "takes a member of Color"),
    ("at", "2020-01-02", "takes a datetime"),
    ("numbers", 5, "takes a list"),
    ("numbers", "12", "takes a list"),
    ("numbers", [1, "2"], "takes an integer"),
    ("numbers", [None], "None cannot be"),
    ("numbers", None, "not None"),
    ("numbers", [True], "takes an integer"),
    ("numbers", [1 << 63], "INT64 holds"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_value_that_does_not_fit_is_refused_wherever_it_is_given(name: str, value: object, says: str) -> None:
    for fill in (lambda: Tree(**{name: value}), lambda: setattr(Tree(), name, value)):
        with pytest.raises(ValidationError, match=says) as caught:
            fill()
        assert f".{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("variant", "low", "high"),
    [
        (Variant.INT32, -(2**31), 2**31 - 1),
        (Variant.SINT32, -(2**31), 2**31 - 1),
        (Variant.UINT32, 0, 2**32 - 1),
        (Variant.INT64, -(2**63), 2**63 - 1),
        (Variant.SINT64, -(2**63), 2**63 - 1),
        (Variant.UINT64, 0, 2**64 - 1),
    ],
)
def test_integers_keep_within_their_variant(variant: Variant, low: int, high: int) -> None:
    field = IntegerField(1, variant=variant)
    assert (field.validate(low), field.validate(high)) == (low, high)
    for beyond in (low - 1, high + 1):
        with pytest.raises(ValidationError, match=f"{low} to {high}"):
            field.validate(beyond)


def test_integers_become_floats_and_dictionaries_messages() -> None:
    tree = Tree(weight=3, leaf={"x": 1, "s": "a"}, leaves=[{"s": "b"}])
    assert (type(tree.weight), tree.leaf, tree.leaves[0].s) == (float, Leaf(x=1, s="a"), "b")


def test_a_repeated_field_checks_whatever_is_put_in() -> None:
    tree = Tree()
    tree.numbers.append(1)
    tree.numbers.extend([2, 3])
    tree.numbers += [4]
    tree.numbers.insert(0, 0)
    tree.numbers[1:2] = [7, 8]
    tree.numbers[0] = 9
    assert tree.numbers == [9, 7, 8, 2, 3, 4]
    for put in (
        lambda: tree.numbers.append("x"),
        lambda: tree.numbers.append(None),
        lambda: tree.numbers.extend([1, None]),
        lambda: tree.numbers.insert(0, 1.5),
        lambda: tree.numbers.__setitem__(0, "x"),
        lambda: tree.numbers.__setitem__(slice(0, 1), ["x"]),
    ):
        with pytest.raises(ValidationError, match="numbers"):
            put()
    assert tree.numbers == [9, 7, 8, 2, 3, 4]


def test_attributes_that_are_no_fields_are_refused() -> None:
    with pytest.raises(AttributeError, match="Leaf has no field 'y'; its fields: x, s"):
        Leaf(y=1)
    with pytest.raises(AttributeError, match="no field"):
        Leaf().y = None
    with pytest.raises(AttributeError):
        _ = Leaf().y
    with pytest.raises(AttributeError, match="no field"):
        Leaf().get_assigned_value("y")
    with pytest.raises(AttributeError, match="no field"):
        Leaf().reset("y")
    with pytest.raises(TypeError):
        Leaf(1)


def test_required_fields_are_asked_for_in_messages_below_too() -> None:
    tree = Tree(below=[Tree(), Tree(leaves=[Leaf(s="a"), Leaf()])])
    assert not tree.is_initialized()
    with pytest.raises(ValidationError, match=r"below\[1\]\.leaves\[1\]\.s"):
        tree.check_initialized()
    tree.below[1].leaves[1].s = ""
    tree.check_initialized()
    with pytest.raises(ValidationError, match=r"leaf\.s"):
        Tree(leaf=Leaf()).check_initialized()


def test_messages_are_equal_by_what_is_set() -> None:
    assert Tree(name="unnamed") != Tree()
    assert Tree(numbers=[]) == Tree()
    assert Tree(leaf=Leaf(x=1)) == Tree(leaf=Leaf(x=1))
    assert Leaf() != Tree()
    assert Leaf() != 5
    with pytest.raises(TypeError):
        hash(Leaf())


def test_a_message_shows_what_is_set() -> None:
    assert repr(Tree(numbers=[1], leaf=Leaf(s="a"))) == "Tree(leaf=Leaf(s='a'), numbers=[1])"


def test_copies_do_not_share_their_lists() -> None:
    tree = Tree(numbers=[1], leaf=Leaf(s="a"))
    shallow, deep, pickled = copy.copy(tree), copy.deepcopy(tree), again(tree)
    assert tree == shallow == deep == pickled
    assert shallow.leaf is tree.leaf
    assert deep.leaf is not tree.leaf
    for other in (shallow, deep, pickled):
        other.numbers.append(2)
        with pytest.raises(ValidationError):
            other.numbers.append("x")
    assert tree.numbers == [1]


@pytest.mark.parametrize(
    ("define", "error", "says"),
    [
        (lambda: type(Message)("M", (Message,), {"x": 3}), messages.MessageDefinitionError, "M.x"),
        (lambda: type(Message)("M", (Message,), {"f": lambda _: 1}), messages.MessageDefinitionError, "M.f"),
        (lambda: type(Message)("M", (Leaf,), {}), messages.MessageDefinitionError, "M: "),
        (
            lambda: type(Message)("M", (Message,), {"a": StringField(1), "b": IntegerField(1)}),
            messages.DuplicateNumberError,
            "a and b have the number 1",
        ),
        (lambda: StringField(0), messages.InvalidNumberError, "from 1"),
        (lambda: StringField(1 << 29), messages.InvalidNumberError, "536870911"),
        (lambda: StringField(19500), messages.InvalidNumberError, "reserved"),
        (lambda: StringField(True), messages.InvalidNumberError, "True"),
        (lambda: StringField("1"), messages.InvalidNumberError, "'1'"),
        (lambda: StringField(1, required=True, repeated=True), messages.FieldDefinitionError, "not both"),
        (lambda: StringField(1, repeated=True, default="a"), messages.FieldDefinitionError, "no default"),
        (lambda: StringField(1, default=5), messages.InvalidDefaultError, "takes text"),
        (lambda: IntegerField(1, variant=Variant.UINT32, default=-1), messages.InvalidDefaultError, "UINT32"),
        (lambda: StringField(1, variant=Variant.INT32), messages.InvalidVariantError, "INT32"),
        (lambda: EnumField(Color, 1, default="PINK"), messages.InvalidDefaultError, "PINK"),
        (lambda: EnumField(Leaf, 1), messages.FieldDefinitionError, "EnumField"),
        (lambda: EnumField(messages.Enum, 1), messages.FieldDefinitionError, "EnumField"),
        (lambda: MessageField(Color, 1), messages.FieldDefinitionError, "MessageField"),
        (lambda: MessageField(Message, 1), messages.FieldDefinitionError, "MessageField"),
        (lambda: MessageField(Leaf, 1, default=Leaf()), TypeError, "default"),
        (lambda: message_types.DateTimeField(1, default=1), TypeError, "default"),
        (lambda: StringField(1, True), TypeError, "positional"),
    ],
)
def test_definitions_that_cannot_be_are_refused(define, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        define()


def test_a_wrong_default_of_an_enum_given_by_name_is_found_when_it_is_read() -> None:
    class Late(Message):
        color = EnumField("Color", 1, default="PINK")

    with pytest.raises(messages.InvalidDefaultError, match="PINK"):
        _ = Late().color


def test_a_message_class_does_not_change() -> None:
    with pytest.raises(AttributeError, match="does not change"):
        Leaf.x = IntegerField(3)
    with pytest.raises(AttributeError, match="does not change"):
        del Leaf.x


def test_a_field_can_be_copied_into_another_message() -> None:
    copied = Leaf.s.copied(7)
    other = type(Message)("Other", (Message,), {"s": copied})
    assert (copied.number, copied.required, copied.owner, Leaf.s.number, Leaf.s.owner) == (7, True, other, 2, Leaf)
    assert copied.message_definition() is other
    assert StringField(4).copied().number == 4


def test_a_field_alone_can_be_copied_and_shown() -> None:
    field = StringField(4)
    assert str(field) == "StringField 4"
    assert isinstance(copy.copy(field), StringField)
    with pytest.raises(ValidationError):
        Field.validate_element(StringField(1), 5)


def test_enums_are_looked_up_by_name_and_number() -> None:
    assert Color("RED") is Color(1) is Color.RED is Color(Color.RED)
    assert Color.lookup_by_name("RED") is Color.lookup_by_number(1) is Color.RED
    assert (str(Color.RED), int(Color.RED), Color.RED.number, [10, 20, 30][Color.RED]) == ("RED", 1, 1, 20)
    assert Color.to_dict() == {"RED": 1, "GREEN": 2, "BLUE": 0}
    assert (Color.names(), Color.numbers()) == (["RED", "GREEN", "BLUE"], [1, 2, 0])
    assert sorted(Color) == [Color.BLUE, Color.RED, Color.GREEN]
    assert Color.RED <= Color.RED < Color.GREEN
    assert Color.GREEN > Color.RED >= Color.BLUE
    assert len({Color.RED, Color.RED}) == 1
    assert again(Tree.Kind.OAK) is Tree.Kind.OAK
    for unknown in ("PINK", 9, None):
        with pytest.raises(TypeError, match="RED, GREEN, BLUE"):
            Color(unknown)
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(Color.RED, compare)(1) is NotImplemented


@pytest.mark.parametrize("body", [{"A": "x"}, {"A": -1}, {"A": True}, {"A": 1, "B": 1}, {"A": 1.5}, {"A": 1 << 29}])
def test_enums_that_cannot_be_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(messages.EnumDefinitionError):
        messages.Enum("Wrong", body)


ZONES = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=ZONES, min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - hypothesis wants them naive
def test_a_datetime_and_its_message_are_one_to_the_millisecond(at: datetime) -> None:
    field = message_types.DateTimeField(1)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    again = field.value_from_message(field.value_to_message(at))
    assert (again, again.utcoffset()) == (at, at.utcoffset())


def test_a_datetime_field_says_what_carries_it() -> None:
    field = Tree.field_by_name("at")
    assert (field.type, field.message_type) == (datetime, message_types.DateTimeMessage)
    assert isinstance(field, MessageField)
    assert MessageField(Leaf, 1).message_type is Leaf
    leaf = Leaf(x=1)
    assert Tree.leaf.value_from_message(Tree.leaf.value_to_message(leaf)) is leaf
    assert Tree(at=datetime(2020, 1, 2, tzinfo=UTC)).at.year == 2020
