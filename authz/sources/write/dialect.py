"""Where the versions of OpenAPI spell one thing differently: references, null, and how a schema is annotated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version. `is_json_schema`: its schemas are JSON Schema, as those of 3.1 are."""

    version: str
    refs: str = "#/components/schemas/"
    is_json_schema: bool = False

    @property
    def is_version2(self) -> bool:
        """Whether it is Swagger."""
        return self.version == "2.0"

    def ref(self, name: str) -> Json:
        """A reference to a named schema."""
        return {"$ref": self.refs + name}

    def nullable(self, schema: Json) -> Json:
        """The same, or null."""
        if self.is_json_schema:
            return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema
        return {**schema, "x-nullable" if self.is_version2 else "nullable": True}

    def annotated(self, schema: Json, **notes: object) -> Json:
        """A schema with what is said of it in one place. Before 3.1 nothing may stand beside a reference."""
        said = {name: value for name, value in notes.items() if value}
        if not said:
            return schema
        if "$ref" in schema and not self.is_json_schema:
            return {"allOf": [schema], **said}
        return {**schema, **said}


DIALECTS = {
    "3.0": Dialect("3.0.4"),
    "3.1": Dialect("3.1.1", is_json_schema=True),
    "2.0": Dialect("2.0", refs="#/definitions/"),
}
