"""The schemas of one API's bodies and results, named together, so that no two shapes get one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic.json_schema import JsonSchemaMode

from authz.frameworks.service import Definitions
from authz.frameworks.typed.hints.dialect import version2
from authz.frameworks.typed.hints.generate import REF, together
from authz.frameworks.typed.hints.values import Value


class Schemas:
    """What is asked for first, and then written once, when a document wants the first of them."""

    def __init__(self) -> None:
        self._wanted: list[tuple[Value, JsonSchemaMode]] = []

    def shape(self, value: Value, mode: JsonSchemaMode) -> TypedShape:
        """A body (validation) or a result (serialization)."""
        self._wanted.append((value, mode))
        return TypedShape(self, len(self._wanted) - 1)

    @cached_property
    def _written(self) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        return together([(value.core, mode) for value, mode in self._wanted])

    def write(self, number: int, definitions: Definitions) -> dict[str, Any]:
        """One of them in a document's dialect."""
        return self._linked(self._written[0][number], definitions)

    def _linked(self, schema: Mapping[str, Any], definitions: Definitions) -> dict[str, Any]:
        plain = version2(schema) if definitions.version == "2.0" else schema
        linked: dict[str, Any] = self._link(plain, definitions)
        return linked

    def _link(self, node: Any, definitions: Definitions) -> Any:
        if isinstance(node, list):
            return [self._link(item, definitions) for item in node]
        if isinstance(node, dict):
            return {key: self._link(value, definitions) for key, value in node.items()}
        if isinstance(node, str) and node.startswith(REF):  # of a `$ref`, or of a discriminator's mapping
            return self._named(node, definitions)
        return node

    def _named(self, target: str, definitions: Definitions) -> str:
        name = target.removeprefix(REF)
        return str(definitions.ref(name, self._writer(name, definitions))["$ref"])

    def _writer(self, name: str, definitions: Definitions) -> Callable[[], dict[str, Any]]:
        return lambda: self._linked(self._written[1][name], definitions)


@dataclass(frozen=True, slots=True)
class TypedShape:
    """One body or result; a service.Shape."""

    schemas: Schemas
    number: int

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """Its schema: mostly a reference."""
        return self.schemas.write(self.number, definitions)
