"""The old module `endpoints.message_parser`: message classes as JSON schemas."""

from __future__ import annotations

from typing import Any

from authz.frameworks.declare.schema import MessageShape
from authz.frameworks.document.definitions import Definitions, written
from authz.frameworks.messages import Message


class MessageTypeToJsonSchema:
    """Collects the schemas of message classes and of all that they refer to."""

    def __init__(self) -> None:
        self._definitions = Definitions("2.0", prefix="")

    def add_message(self, message_type: type[Message]) -> str:
        """Collect a message class; the name of its schema comes back."""
        MessageShape(message_type).schema(self._definitions)
        return self.ref_for_message_type(message_type)

    def ref_for_message_type(self, message_type: type[Message]) -> str:
        """The name of a message's schema."""
        return written(message_type.definition_name())

    def schemas(self) -> dict[str, Any]:
        """All schemas by name."""
        return {name: {"id": name, **schema} for name, schema in self._definitions.schemas.items()}
