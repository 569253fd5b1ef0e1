"""What a document says of the arguments that stand in the path and the query."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Parameter
from authz.frameworks.typed.hints.dialect import version2
from authz.frameworks.typed.hints.generate import kinds
from authz.frameworks.typed.readers import is_gathered
from authz.frameworks.typed.signature import Argument, fields_of, is_repeated, without_null

_PLAIN: Final = frozenset({"string", "integer", "number", "boolean"})


def parameters(argument: Argument, place: str) -> Iterator[Parameter]:
    """The parameters of one argument: none of a body, one of a plain value, one for each field of an object.

    Raises:
        ApiConfigurationError: it is nothing that text can say.
    """
    if argument.where == "body":
        return
    here = f"{place}: argument '{argument.name}'"
    where: Literal["path", "query"] = "path" if argument.where == "path" else "query"
    schema = argument.value.schema()
    if is_gathered(argument):
        needed = without_null(schema).get("required", ()) if argument.required else ()
        for name, one in fields_of(argument.value).items():
            yield _parameter(name, "query", one, f"{here}, field '{name}'", required=name in needed)
        return
    if not argument.required and argument.default is not None:
        schema = {**schema, "default": _json(argument)}
    found = {"description": argument.description} if argument.description else {}
    yield _parameter(argument.alias, where, {**schema, **found}, here, required=argument.required)


def _json(argument: Argument) -> Any:
    return argument.value.serializer.to_python(argument.default, mode="json", by_alias=True)


def _parameter(
    name: str, where: Literal["path", "query"], schema: Mapping[str, Any], here: str, *, required: bool
) -> Parameter:
    full = without_null(schema)
    if full.get("default", 0) is None:
        del full["default"]
    description = full.pop("description", "")
    repeated = is_repeated(full)
    if not repeated and not kinds(full) <= _PLAIN:
        raise ApiConfigurationError(
            f"{here} would be a parameter of the {where}, which is a plain value, or a list of them in the query; "
            "objects are bodies"
        )
    plain = _shared(full["items"] if repeated else full)
    derived = {"type": "array", "items": plain} if repeated else plain
    return Parameter(
        name=name,
        where=where,
        schema=plain,
        required=required,
        repeated=repeated,
        description=description,
        full=None if derived == full and full.get("format") != "byte" else full,
    )


def _shared(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in 2.0's words that 3.1 has too, with the type that 2.0 wants of each parameter."""
    wanted = kinds(schema)
    if "integer" in wanted and "type" in schema:
        schema = _inclusive(schema)
    found = version2(schema)
    for key in [key for key in found if key.startswith("x-") or key in {"title", "allOf"}]:
        del found[key]
    if "type" not in found:
        found["type"] = "number" if wanted == {"integer", "number"} else "string"
        if found["type"] == "string" and not isinstance(found.get("default", ""), str):
            found["default"] = json.dumps(found["default"])
    return found


def _inclusive(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds of integers without the word exclusive, which the two versions write differently."""
    found = dict(schema)
    for key, other, step, tighter in (
        ("exclusiveMinimum", "minimum", 1, max),
        ("exclusiveMaximum", "maximum", -1, min),
    ):
        if key in found:
            bound = found.pop(key) + step
            found[other] = tighter(bound, found[other]) if other in found else bound
    return found
