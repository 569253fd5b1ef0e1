"""How each argument of a function is read from a request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from pydantic import ValidationError

from authz.frameworks.exceptions import InvalidValue, UnauthorizedException
from authz.frameworks.service import ABSENT
from authz.frameworks.typed.hints.values import Text, Value, refusal
from authz.frameworks.typed.signature import EMPTY, Argument, CurrentUser, fields_of, is_repeated, without_null
from authz.frameworks.users import get_current_user


class Given:
    """One request, as readers look at it. `query` has all values of each name, in their order."""

    __slots__ = ("body", "path", "query")

    def __init__(self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: object) -> None:
        self.path = path
        self.query = _grouped(query) if query else NO_QUERY
        self.body = body


NO_QUERY: Final[Mapping[str, Sequence[str]]] = {}


def _grouped(query: Sequence[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name, text in query:
        found.setdefault(name, []).append(text)
    return found


class Reader(Protocol):
    """One argument."""

    def __call__(self, given: Given, /) -> Any:
        """The value to pass.

        Raises:
            InvalidValue: the request has another one than the signature says.
        """


def reader(argument: Argument | CurrentUser) -> Reader:
    """How an argument is read."""
    if isinstance(argument, CurrentUser):
        return _CurrentUser(argument)
    if argument.where == "path":
        return _Path(argument.alias, argument.value)
    if argument.where == "body":
        return _Body(argument)
    schema = argument.value.schema()
    if is_repeated(schema):
        return _Repeated(argument, schema)
    return _Fields(argument) if is_gathered(argument) else _Single(argument, schema)


def is_gathered(argument: Argument) -> bool:
    """Whether a query argument is an object, whose members are the parameters."""
    return argument.where == "query" and bool(fields_of(argument.value))


class _Scalar:
    """A single value that is written as text."""

    __slots__ = ("name", "text", "value")

    def __init__(self, name: str, value: Value, text: Text) -> None:
        self.name = name
        self.value = value
        self.text = text

    def read(self, text: str) -> Any:
        refused: ValidationError | None = None
        for reading in self.text.readings(text):
            try:
                return self.value.parse(reading)
            except ValidationError as error:
                refused = error
        if refused:
            raise refusal(refused, text, self.name, "parameter") from refused
        raise InvalidValue(f"{self.name}: {self.text.mismatch()}", self.name, "parameter")


class _Path:
    __slots__ = ("name", "scalar")

    def __init__(self, name: str, value: Value) -> None:
        self.name = name
        self.scalar = _Scalar(name, value, Text(value.schema()))

    def __call__(self, given: Given) -> Any:
        return self.scalar.read(given.path[self.name])


class _Single:
    __slots__ = ("default", "name", "scalar")

    def __init__(self, argument: Argument, schema: dict[str, Any]) -> None:
        self.name = argument.alias
        self.default = argument.default
        self.scalar = _Scalar(self.name, argument.value, Text(without_null(schema)))

    def __call__(self, given: Given) -> Any:
        texts = given.query.get(self.name)
        if texts is None:
            if self.default is EMPTY:
                raise InvalidValue(f"{self.name}: Parameter required", self.name, "parameter")
            return self.default
        _once(self.name, texts)
        return self.scalar.read(texts[0])


def _once(name: str, given: Sequence[str]) -> None:
    if len(given) > 1:
        raise InvalidValue(f"{name}: Parameter is given {len(given)} times, but is one value", name, "parameter")


class _Repeated:
    __slots__ = ("default", "name", "text", "value")

    def __init__(self, argument: Argument, schema: dict[str, Any]) -> None:
        self.name = argument.alias
        self.value = argument.value
        self.default = argument.default
        self.text = Text(without_null(schema)["items"])

    def __call__(self, given: Given) -> Any:
        texts = given.query.get(self.name, ())
        if not texts and self.default is not EMPTY:
            return self.default
        try:
            return self.value.parse(f"[{','.join(_items(self.name, self.text, texts))}]")
        except ValidationError as error:
            raise refusal(error, list(texts), self.name, "parameter") from error


def _items(name: str, text: Text, given: Sequence[str]) -> list[str]:
    found = []
    for number, one in enumerate(given):
        readings = text.readings(one)
        if not readings:
            at = f"{name}[{number}]"
            raise InvalidValue(f"{at}: {text.mismatch()}", at, "parameter")
        found.append(readings[0])
    return found


class _Fields:
    """A dataclass or model whose fields are parameters of the query."""

    __slots__ = ("default", "fields", "value")

    def __init__(self, argument: Argument) -> None:
        self.value = argument.value
        self.default = argument.default
        self.fields = {name: _field(schema) for name, schema in fields_of(argument.value).items()}

    def __call__(self, given: Given) -> Any:
        found = {name: given.query[name] for name in self.fields if name in given.query}
        if not found and self.default is not EMPTY:
            return self.default
        members = ",".join(f"{json.dumps(name)}:{self._member(name, texts)}" for name, texts in found.items())
        try:
            return self.value.parse(f"{{{members}}}")
        except ValidationError as error:
            raise refusal(error, {name: list(texts) for name, texts in found.items()}, "", "parameter") from error

    def _member(self, name: str, given: Sequence[str]) -> str:
        text, repeated = self.fields[name]
        if repeated:
            return f"[{','.join(_items(name, text, given))}]"
        _once(name, given)
        readings = text.readings(given[0])
        if not readings:
            raise InvalidValue(f"{name}: {text.mismatch()}", name, "parameter")
        return readings[0]


def _field(schema: dict[str, Any]) -> tuple[Text, bool]:
    repeated = is_repeated(schema)
    plain = without_null(schema)
    return Text(plain["items"] if repeated else plain), repeated


class _Body:
    __slots__ = ("default", "value")

    def __init__(self, argument: Argument) -> None:
        self.value = argument.value
        self.default = argument.default

    def __call__(self, given: Given) -> Any:
        if given.body is not ABSENT:
            return self.value.read(given.body, "", "body")
        if self.default is EMPTY:
            raise InvalidValue("A JSON body is required")
        return self.default


class _CurrentUser:
    __slots__ = ("needed",)

    def __init__(self, argument: CurrentUser) -> None:
        self.needed = argument.needed

    def __call__(self, _: Given, /) -> Any:
        user = get_current_user()
        if user is None and self.needed:
            raise UnauthorizedException("This call needs to be signed in")
        return user
