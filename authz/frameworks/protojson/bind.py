"""A request to one message: what stands in the path, then in the query, then in the body; later ones win.

But nothing overrules the path: it has decided which operation this is, for a gateway and its log as well. Who says
again what stands there must say the same.

Declared parameters are converted from text. Other members of the query that are fields of the message count too, and
what is no field at all is ignored. `a.b=1` is the field b of the field a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.message_types import VoidMessage
from authz.frameworks.messages import Field, Message, Variant
from authz.frameworks.protojson import scalars
from authz.frameworks.protojson.decode import decode
from authz.frameworks.protojson.encode import encode
from authz.frameworks.protojson.parameters import Converter, converter
from authz.frameworks.service import ABSENT

MAX_DEPTH: Final = 32
"""Of a parameter's name: `a.b.c` is 3. Deeper ones are nobody's, and would be a way to build deep messages."""


@dataclass(frozen=True, slots=True)
class FieldParameter:
    """A declared parameter of the path or the query: its dotted name, and the field that it fills."""

    name: str
    field: Field


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a parameter's values go, and what its text becomes."""

    parents: tuple[str, ...]
    name: str
    repeated: bool
    convert: Converter

    def value(self, name: str, texts: list[str]) -> object:
        """The JSON of all texts given; only the first counts unless it is repeated."""
        if not self.repeated:
            return self.convert(texts[0], name)
        return [self.convert(text, f"{name}[{index}]") for index, text in enumerate(texts)]


def _target(name: str, field: Field) -> _Target:
    *parents, last = name.split(".")
    return _Target(tuple(parents), last, field.repeated, converter(field))


class MessageBinding:
    """Implements service.Binding for methods that take and give messages.

    `message` is what the handler takes: a plain message, or parameters and body combined. `parameters` are the declared
    ones; `response` VoidMessage means 204. A body, when there is one, must be a JSON object; for a form, pass a
    dictionary of texts, and lists of texts for names that are given more than once.
    """

    def __init__(
        self, message: type[Message], parameters: Sequence[FieldParameter] = (), response: type[Message] = VoidMessage
    ) -> None:
        self.message = message
        self.response = response
        self._declared = {parameter.name: _target(parameter.name, parameter.field) for parameter in parameters}
        self._single = {
            name: target.convert for name, target in self._declared.items() if not (target.repeated or target.parents)
        }

    def arguments(
        self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: object
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The message, filled. Raises InvalidValue."""
        data = {} if body is ABSENT else body
        if path or query:
            if type(data) is not dict:
                raise InvalidValue("The body is no JSON object.")
            if path and (query or data):
                self._agree(path, query, data)
            data = _merged(self._parameters(path, query), data)
        return (decode(self.message, data),), {}

    def answer(self, result: object) -> bytes | None:
        """The response's JSON; None for VoidMessage."""
        if type(result) is not self.response:
            if result is None and self.response is VoidMessage:
                return None
            raise TypeError(f"the method declares {self.response.__name__}, and returned {result!r:.200}")
        return None if self.response is VoidMessage else encode(result)

    def _agree(self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: dict[str, Any]) -> None:
        for name, text in path.items():
            target = self._declared.get(name)
            if target is None or target.repeated:
                continue
            value = _at(body, target)
            others = [given for key, given in query if key == name]
            differs = value is not None and _text(value) != text and value != target.convert(text, name)
            if differs or any(given != text for given in others):
                raise InvalidValue(
                    f"'{name}' is '{scalars.cut(text)}' in the path, and something else in the query or the body.",
                    name,
                    where="parameter",
                )

    def _parameters(self, path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The JSON of all parameters. Those that are single values of the message itself, as most are, come first."""
        data: dict[str, Any] = {}
        others: dict[str, list[str]] = {}
        for name, text in (*query, *path.items()):
            convert = self._single.get(name)
            if convert is None:
                others.setdefault(name, []).append(text)
            elif name not in data:
                data[name] = convert(text, name)
        for name, texts in others.items():
            target = self._declared.get(name) or _undeclared(self.message, name)
            if target is not None:
                _put(data, target, target.value(name, texts))
        return data


def _undeclared(message: type[Message], name: str) -> _Target | None:
    """For a name that no parameter has: a field of the message all the same, or nothing."""
    *parents, last = name.split(".", MAX_DEPTH)
    for parent in parents:
        field = message.__fields__.get(parent)
        if field is None or field.repeated or not issubclass(field.type, Message):
            return None
        message = field.type
    field = message.__fields__.get(last)
    return None if field is None or _is_object(field) else _target(name, field)


def _is_object(field: Field) -> bool:
    return field.variant is Variant.MESSAGE and issubclass(field.type, Message)


def _at(data: object, target: _Target) -> object:
    """The value that a body has for a parameter; None if it has none."""
    for name in (*target.parents, target.name):
        data = data.get(name) if type(data) is dict else None
    return data


def _text(value: object) -> str:
    """A JSON value as it would stand in a path."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _put(data: dict[str, Any], target: _Target, value: object) -> None:
    for parent in target.parents:
        data = data.setdefault(parent, {})
    data[target.name] = value


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Both; where both have a member, objects are merged, and of anything else but null `over` has its way."""
    for name, value in over.items():
        below = under.get(name)
        if type(below) is dict and type(value) is dict:
            _merged(below, value)
        elif value is not None:
            under[name] = value
    return under
