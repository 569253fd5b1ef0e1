"""The old module `endpoints.protojson`: messages to JSON text and back."""

from __future__ import annotations

from typing import TypeVar

from authz.frameworks.messages import Message
from authz.frameworks.protojson import encode, parse

_Message = TypeVar("_Message", bound=Message)


class EndpointsProtoJson:
    """Reads and writes messages as JSON text."""

    def encode_message(self, message: Message) -> str:
        """A message as JSON text; ValidationError if a required field has no value."""
        message.check_initialized()
        return encode(message).decode()

    def decode_message(self, message_type: type[_Message], encoded_message: str | bytes) -> _Message:
        """A message from JSON text; an empty text is an empty message. BadRequestException if it does not fit."""
        return parse(message_type, encoded_message or "{}")


__all__ = ["EndpointsProtoJson"]
