"""The signature of a function, read: which arguments the path, the query and the body give, and what comes back."""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, PydanticUndefinedAnnotation
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import CoreSchema

from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.typed.hints.generate import kinds
from authz.frameworks.typed.hints.values import Value, value_of
from authz.frameworks.typed.markers import PLACES, Marker, Where
from authz.frameworks.users import User

EMPTY: Final = inspect.Parameter.empty
_AWAITED: Final = (collections.abc.Awaitable, collections.abc.Coroutine)
_REMEDIES: Final = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class Unresolved(Exception):  # noqa: N818 - no error yet: the name may be defined further down in the module
    """A hint names what is not defined so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a function, and where callers give it."""

    name: str
    keyword: bool = True
    """Whether it is passed by its name."""
    alias: str
    where: Where
    value: Value
    default: Any = EMPTY
    description: str = ""

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentUser:
    """An argument whose type is User: who calls."""

    name: str
    keyword: bool = True
    needed: bool = True
    """Whether nobody is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a function takes and gives. No `returns`: nothing comes back, which is answered as 204."""

    arguments: tuple[Argument | CurrentUser, ...]
    returns: Value | None
    is_async: bool

    @property
    def given(self) -> tuple[Argument, ...]:
        """What callers give."""
        return tuple(one for one in self.arguments if isinstance(one, Argument))


def read(
    function: Callable[..., Any],
    place: str,
    *,
    variables: Collection[str],
    has_body: bool,
    is_method: bool,
    names: Mapping[str, Any],
) -> Signature:
    """Read the signature of a function whose path has these variables. `names` are those where it is defined.

    Raises:
        Unresolved: a hint names what is not defined yet.
        ApiConfigurationError: it cannot be served as it is declared.
    """
    hints = _hints(function, place, names)
    given = list(inspect.signature(function).parameters.values())[1 if is_method else 0 :]
    arguments = tuple(_argument(one, hints, place, frozenset(variables), has_body) for one in given)
    returns, is_async = _returns(function, hints, place)
    found = Signature(arguments=arguments, returns=returns, is_async=is_async)
    _check(found.given, place, variables, has_body)
    return found


def _hints(function: Callable[..., Any], place: str, names: Mapping[str, Any]) -> dict[str, Any]:
    function = inspect.unwrap(function)
    module = sys.modules.get(function.__module__)
    known = {**vars(module), **names} if module else dict(names)
    said = function.__annotations__
    return {name: _hint(said[name], known, f"{place}: {_spoken(name)}") for name in said}


def _spoken(name: str) -> str:
    return "the return type" if name == "return" else f"argument '{name}'"


def _hint(said: Any, known: dict[str, Any], here: str) -> Any:
    """One annotation, which may be text, or hold text."""
    holder = types.SimpleNamespace(__annotations__={"hint": said})
    try:
        return typing.get_type_hints(holder, known, include_extras=True)["hint"]
    except NameError as error:
        raise Unresolved(f"{here} has a type hint that names what is not defined: {error}") from error
    except (TypeError, SyntaxError) as error:
        raise ApiConfigurationError(f"{here} has a type hint that cannot be read: {error}") from error


def _argument(
    one: inspect.Parameter, hints: Mapping[str, Any], place: str, variables: frozenset[str], has_body: bool
) -> Argument | CurrentUser:
    here = f"{place}: argument '{one.name}'"
    if one.kind in _REMEDIES:
        raise ApiConfigurationError(f"{here} is {_REMEDIES[one.kind]}{one.name}; name every argument, with its type")
    if one.name not in hints:
        raise ApiConfigurationError(f"{here} has no type hint; write, for example, {one.name}: str")
    hint = hints[one.name]
    keyword = one.kind is not inspect.Parameter.POSITIONAL_ONLY
    plain, is_optional = _plain(hint)
    if isinstance(plain, type) and issubclass(plain, User):
        return CurrentUser(name=one.name, keyword=keyword, needed=not is_optional and one.default is EMPTY)
    marker = _marker(hint, here)
    value = compiled(_bounded(hint, marker), here)
    alias = (marker and marker.alias) or one.name
    where = PLACES[type(marker)] if marker else _where(alias, value, variables, has_body, here)
    _check_default(value, one.default, here)
    return Argument(
        name=one.name,
        keyword=keyword,
        alias=alias,
        where=where,
        value=value,
        default=one.default,
        description=marker.description if marker else _description(hint),
    )


def compiled(hint: Any, here: str, mode: JsonSchemaMode = "validation") -> Value:
    """The hint, compiled. `mode`: whether it is read or written.

    Raises:
        Unresolved: it contains a name that is not defined yet.
        ApiConfigurationError: there is no JSON for it.
    """
    try:
        value = value_of(hint)
        value.schema(mode)
    except (PydanticUndefinedAnnotation, NameError) as error:
        raise Unresolved(f"{here} has a type hint that names what is not defined: {error}") from error
    except PydanticInvalidForJsonSchema as error:
        raise ApiConfigurationError(f"{here} has a type that no document can say: {error.message}") from error
    except PydanticSchemaGenerationError as error:
        reason = error.message.partition(". ")[0].rpartition(" for ")[2]
        remedy = "use what JSON can carry: numbers, str, datetime, list, a dataclass, a pydantic model"
        raise ApiConfigurationError(f"{here} has a type that cannot travel as JSON: {reason}; {remedy}") from error
    except (PydanticUserError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ApiConfigurationError(f"{here} has a type that cannot travel as JSON: {reason}") from error
    return value


def jsonable(hint: Any) -> CoreSchema | None:
    """How objects or arrays of a hint travel; None if it is neither, or no JSON at all."""
    try:
        value = compiled(hint, "", "serialization")
    except (Unresolved, ApiConfigurationError):
        return None
    return value.core if kinds(value.schema("serialization")) <= {"object", "array"} else None


def _marker(hint: Any, here: str) -> Marker | None:
    said = getattr(hint, "__metadata__", ())
    found = [one() if one in PLACES else one for one in said if isinstance(one, Marker) or one in PLACES]
    if len(found) > 1:
        raise ApiConfigurationError(f"{here} has {len(found)} places; keep one of Query, Path and Body")
    return found[0] if found else None


def _bounded(hint: Any, marker: Marker | None) -> Any:
    bounds = marker.bounds() if marker else {}
    return Annotated[hint, Field(**bounds)] if bounds else hint


def _description(hint: Any) -> str:
    found = (getattr(one, "description", None) for one in getattr(hint, "__metadata__", ()))
    return next((text for text in found if isinstance(text, str)), "")


def _plain(hint: Any) -> tuple[Any, bool]:
    """The hint without annotations and without None, and whether None was part of it."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in {typing.Union, types.UnionType}:
        return hint, hint is type(None)
    choices = [one for one in typing.get_args(hint) if one is not type(None)]
    is_optional = len(choices) < len(typing.get_args(hint))
    return (_plain(choices[0])[0] if len(choices) == 1 else hint), is_optional


def _where(alias: str, value: Value, variables: frozenset[str], has_body: bool, here: str) -> Where:
    if alias in variables:
        return "path"
    schema = value.schema()
    wanted = kinds(schema)
    if "any" in wanted:
        raise ApiConfigurationError(
            f"{here} can be anything; say what it is, or that it is the body: Annotated[…, Body()]"
        )
    if "object" in wanted or ("array" in wanted and not is_repeated(schema)):
        return "body" if has_body else "query"
    return "query"


def is_repeated(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is of a list of plain values, which a query can repeat."""
    items = without_null(schema).get("items")
    return isinstance(items, dict) and bool(kinds(items)) and not kinds(items) & {"object", "array", "any", "null"}


def without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without the choice that is null."""
    choices = schema.get("anyOf")
    if not choices:
        return dict(schema)
    kept = [choice for choice in choices if choice.get("type") != "null"]
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**kept[0], **beside} if len(kept) == 1 else {"anyOf": kept, **beside}


def _check_default(value: Value, default: Any, here: str) -> None:
    """A default that the hint does not allow would be served, and stand in the document."""
    if default is EMPTY or default is None:
        return
    try:
        value.write(default)
    except (TypeError, ValueError) as error:
        raise ApiConfigurationError(f"{here} has the default {default!r}, which is not what its type says") from error


def _check(arguments: Collection[Argument], place: str, variables: Collection[str], has_body: bool) -> None:
    bodies = [one for one in arguments if one.where == "body"]
    if len(bodies) > 1:
        both = " and ".join(f"'{one.name}'" for one in bodies)
        raise ApiConfigurationError(f"{place}: arguments {both} would both be the body; make one dataclass of them")
    if bodies and not has_body:
        raise ApiConfigurationError(f"{place}: argument '{bodies[0].name}' is a body, which GET and DELETE have not")
    in_path = {one.alias: one for one in arguments if one.where == "path"}
    for variable in variables:
        if variable not in in_path:
            raise ApiConfigurationError(f"{place}: the path has {{{variable}}}, but no argument is named '{variable}'")
    for alias, one in in_path.items():
        _check_path(one, f"{place}: argument '{one.name}'", is_known=alias in variables)
    _check_aliases(arguments, place)


def _check_path(one: Argument, here: str, *, is_known: bool) -> None:
    if not is_known:
        raise ApiConfigurationError(f"{here} is a path parameter, but the path has no {{{one.alias}}}")
    if not one.required:
        raise ApiConfigurationError(f"{here} has a default, which a part of the path never takes; remove it")
    if kinds(one.value.schema()) & {"object", "array", "null", "any"}:
        raise ApiConfigurationError(f"{here} is a part of the path, and must be one plain value, such as int or str")


def _check_aliases(arguments: Collection[Argument], place: str) -> None:
    seen: set[str] = set()
    for one in arguments:
        if one.where in {"path", "query"} and one.alias in seen:
            raise ApiConfigurationError(f"{place}: two arguments are named '{one.alias}' by callers")
        seen.add(one.alias)


def _returns(function: Callable[..., Any], hints: Mapping[str, Any], place: str) -> tuple[Value | None, bool]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ApiConfigurationError(f"{place}: generators are not served; return a list")
    if "return" not in hints:
        raise ApiConfigurationError(f"{place}: no return type; write '-> Type', or '-> None' if nothing comes back")
    hint, is_async = hints["return"], inspect.iscoroutinefunction(function)
    if typing.get_origin(hint) in _AWAITED:
        hint, is_async = typing.get_args(hint)[-1], True
    if hint is type(None) or hint in {typing.NoReturn, typing.Never}:
        return None, is_async
    return compiled(hint, f"{place}: {_spoken('return')}", "serialization"), is_async


def fields_of(value: Value) -> Mapping[str, dict[str, Any]]:
    """The members of an object's schema."""
    found: dict[str, dict[str, Any]] = without_null(value.schema()).get("properties", {})
    return found
