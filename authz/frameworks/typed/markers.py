"""What an annotation may say of a parameter beside its type: where it stands, its name there, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

Where = Literal["path", "query", "body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """`Annotated[int, Query(alias="page-size", ge=1)]`. The bounds are JSON Schema's, in pydantic's spelling."""

    alias: str | None = None
    """The name that callers write, if it is another than Python's."""
    description: str = ""
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def bounds(self) -> dict[str, Any]:
        """The bounds that are given, as pydantic's Field takes them."""
        named = ((one.name, getattr(self, one.name)) for one in fields(self) if one.name not in _WORDS)
        return {name: value for name, value in named if value is not None}


_WORDS = frozenset({"alias", "description"})


class Query(Marker):
    """A parameter of the query; a dataclass or model is one parameter for each of its fields."""

    __slots__ = ()


class Path(Marker):
    """A parameter of the path; `alias` for names that are no Python names, such as `a.b`."""

    __slots__ = ()


class Body(Marker):
    """The body, for what would otherwise be a parameter of the query: `Annotated[list[int], Body()]`."""

    __slots__ = ()


PLACES: dict[type[Marker], Where] = {Query: "query", Path: "path", Body: "body"}
