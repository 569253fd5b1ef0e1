"""A JSON schema of a document, as far as it can be held against a proto: references followed, `allOf` put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from authz.sources.node import Node
from authz.sources.syntax.tree import Map

_CHOICES = ("oneOf", "anyOf", "not")
_MOST_PARTS = 100


@dataclass(slots=True)
class Shape:
    """What a schema says. `types` is empty where it does not say; a schema of choices has no shape."""

    node: Node
    types: set[str] = field(default_factory=set)
    format: str = ""
    properties: dict[str, Node] = field(default_factory=dict)
    places: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None
    values: Node | None = None
    enum: tuple[str, ...] = ()


def shape(schema: Node) -> Shape | None:
    """What a schema says; None where that is not for us to judge."""
    found: Shape | None = None
    seen: list[Map] = []
    waiting = [schema]
    while waiting:
        node = followed(waiting.pop())
        if node is None or len(seen) >= _MOST_PARTS or any(key in node for key in _CHOICES):
            return None
        if any(node.value is one for one in seen):
            continue
        seen.append(node.value)
        found = found or Shape(node)
        _add(found, node)
        parts = node.value.get("allOf")
        if isinstance(parts, list):
            waiting += [Node(node.document, part, "a schema") for part in parts if isinstance(part, Map)]
    return found


def followed(node: Node) -> Node | None:
    """What a schema's reference leads to, or the schema itself; None where it leads out of the document."""
    reference = node.value.get("$ref")
    if reference is None:
        return node
    # Elsewhere nothing is read of schemas, so that what they refer to is not always at hand.
    return node.resolved() if isinstance(reference, str) and reference.startswith("#") else None


def _add(found: Shape, node: Node) -> None:
    properties = node.value.get("properties")
    found.types |= _types(node.value)
    if isinstance(properties, Map):
        place = Node(node.document, properties, "'properties'")
        for name, value in properties.items():
            found.places[name] = place
            found.properties[name] = Node(node.document, value if isinstance(value, Map) else Map.at(0), f"'{name}'")
    found.items = _below(node, "items") or found.items
    found.values = _below(node, "additionalProperties") or found.values
    written = node.value.get("format")
    found.format = written if isinstance(written, str) else found.format
    values = node.value.get("enum")
    if isinstance(values, list):
        found.enum = tuple(value for value in values if isinstance(value, str))


def _below(node: Node, key: str) -> Node | None:
    value = node.value.get(key)
    return Node(node.document, value, f"'{key}'") if isinstance(value, Map) else None


def _types(value: Mapping[str, object]) -> set[str]:
    """The types of a schema but null, which is no value of a field."""
    written = value.get("type")
    types = set(_texts(written if isinstance(written, list) else [written])) - {"null"}
    if types:
        return types
    if "properties" in value or "additionalProperties" in value:
        return {"object"}
    return {"array"} if "items" in value else set()


def _texts(values: Iterable[object]) -> Iterable[str]:
    return (value for value in values if isinstance(value, str))
