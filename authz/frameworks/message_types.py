"""Messages that every API has use for: nothing, and a point in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from authz.frameworks.messages import IntegerField, Message, MessageField, ValidationError, Variant
from authz.frameworks.messages.errors import shown


class VoidMessage(Message):
    """Nothing: no body in, 204 out."""


class DateTimeMessage(Message):
    """A point in time as two numbers; in JSON it is written as a date instead."""

    milliseconds = IntegerField(1, required=True)
    time_zone_offset = IntegerField(2)


class DateTimeField(MessageField):
    """A `datetime.datetime`."""

    type = datetime  # what values are; what carries them is message_type

    def __init__(
        self, number: int, *, required: bool = False, repeated: bool = False, variant: Variant | None = None
    ) -> None:
        super().__init__(DateTimeMessage, number, required=required, repeated=repeated, variant=variant)

    @property
    def message_type(self) -> Any:
        """The class of the message that carries the value."""
        return DateTimeMessage

    def _fit(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value
        raise ValidationError(f"{self} takes a datetime, not {shown(value)}")

    def value_from_message(self, message: DateTimeMessage) -> datetime:
        """The datetime of a message; without an offset it is a naive one."""
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=message.milliseconds)
        if message.time_zone_offset is None:
            return moment.replace(tzinfo=None)
        return moment.astimezone(timezone(timedelta(minutes=message.time_zone_offset)))

    def value_to_message(self, value: datetime) -> DateTimeMessage:
        """The message of a datetime, to the millisecond."""
        offset = value.utcoffset()
        since = (value if offset is not None else value.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
        message = DateTimeMessage(milliseconds=since // timedelta(milliseconds=1))
        if offset is not None:
            message.time_zone_offset = offset // timedelta(minutes=1)
        return message


__all__ = ["DateTimeField", "DateTimeMessage", "VoidMessage"]
