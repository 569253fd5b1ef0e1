"""`ResourceContainer`: a body, and fields that stand in path or query, handed to a method as one message."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, cast

from authz.frameworks import message_types, messages
from authz.frameworks.declare import checks
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.messages.message import MessageMeta


class ResourceContainer:
    """What a method takes that has parameters beside its body: `ResourceContainer(Body, id=StringField(1))`.

    The numbers of parameters only give their order in documents; they may be those of the body's fields again.
    """

    def __init__(self, _body_message_class: type[messages.Message] = message_types.VoidMessage, **params: Any) -> None:
        place = f"ResourceContainer({', '.join(params)})"
        if not isinstance(_body_message_class, type) or not issubclass(_body_message_class, messages.Message):
            raise checks.wrong(place, "the body", "a message class", _body_message_class)
        for name, field in params.items():
            if not isinstance(field, messages.Field):
                raise checks.wrong(place, name, "a field", field)
            if not name.isidentifier():
                message = f"{place}: {name!r} cannot name a field; write letters, digits and '_'"
                raise ApiConfigurationError(message)
        self.body_message_class = _body_message_class
        self.parameters = dict(sorted(params.items(), key=lambda item: item[1].number))
        self.module: str = sys._getframe(1).f_globals.get("__name__", __name__)  # noqa: SLF001 -- where names are looked up
        self._combined: type[messages.Message] | None = None

    @property
    def has_body(self) -> bool:
        """Whether a body is taken at all."""
        return self.body_message_class is not message_types.VoidMessage

    @property
    def combined_message_class(self) -> type[messages.Message]:
        """The message that the method gets: the fields of the body and the parameters.

        Raises:
            TypeError: a parameter has the name of a field of the body, and is something else.
        """
        if self._combined is None:
            self._combined = self._made(self._fields())
        return self._combined

    @property
    def parameters_message_class(self) -> type[messages.Message]:
        """A message of the parameters alone."""
        return self._made(dict(self.parameters))

    def _fields(self) -> dict[str, messages.Field]:
        found: dict[str, messages.Field] = {}
        for field in self.body_message_class.all_fields():
            found[str(field.name)] = field
        for name, field in self.parameters.items():
            other = found.setdefault(name, field)
            if other is not field and _kind(other) != _kind(field):
                message = (
                    f"ResourceContainer: the parameter '{name}' is not what the field '{name}' of "
                    f"{self.body_message_class.__name__} is; give it another name, or the same type and options"
                )
                raise TypeError(message)
        return found

    def _made(self, fields: dict[str, messages.Field]) -> type[messages.Message]:
        body: dict[str, Any] = {
            name: _settled(field).copied(number) for number, (name, field) in enumerate(fields.items(), 1)
        }
        body["__module__"] = self.body_message_class.__module__ if self.has_body else self.module
        name = f"{self.body_message_class.__name__}Container" if self.has_body else "ParametersContainer"
        made = MessageMeta(name, (messages.Message,), body)
        return cast("type[messages.Message]", made)


def _settled(field: messages.Field) -> messages.Field:
    """The field, with the class that it names looked up from where it was written, if that is there already."""
    with contextlib.suppress(messages.DefinitionNotFoundError):
        _ = field.type
    return field


def _kind(field: messages.Field) -> tuple[object, ...]:
    """What must be the same in body and parameter: all but the number."""
    return type(field), field.required, field.repeated, field.variant, field.default
