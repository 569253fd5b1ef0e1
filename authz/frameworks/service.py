"""What the decorators come to: APIs, their methods, and what each promises.

`declare` and `typed` make these, once, when a class or a function is decorated; `document` and `serve` read nothing
else. So a document and a server cannot disagree, and a style of declaring (message classes, type hints, another
framework's routes) is one way of making these nouns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from authz.frameworks.types import Issuer, LimitDefinition, Namespace, OAuth2Scope

Version: TypeAlias = Literal["2.0", "3.1"]
JsonSchema: TypeAlias = Mapping[str, Any]
"""A JSON Schema of one value that reads the same in OpenAPI 2.0 and 3.1: type, format, enum, default, bounds."""


class Definitions(Protocol):
    """The named schemas of one document, while it is written."""

    @property
    def version(self) -> Version:
        """The dialect."""

    def ref(self, name: str, write: Callable[[], dict[str, Any]], shape: object = None) -> dict[str, Any]:
        """`{"$ref": …}` to the schema named so; `write` is called for it once, and may itself refer to any name.

        `shape` is what has the schema, such as its class: another one cannot have the name too.

        Raises:
            ApiConfigurationError: another shape has this name.
        """


class Shape(Protocol):
    """What a body or a result is made of."""

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """Its schema in the document's dialect: mostly a reference."""


class Binding(Protocol):
    """How a request becomes a handler's arguments, and what the handler returns an answer."""

    def arguments(
        self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: object
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments. `path` and `query` are decoded text; `body` is parsed JSON, or ABSENT.

        Raises:
            InvalidValue: something is not what the method declares; answered as 400 that names the place.
        """

    def answer(self, result: object) -> bytes | None:
        """The result as JSON text; None is 204 without a body.

        Raises:
            TypeError: the handler returned something else than it declares.
        """


ABSENT: Final = object()
"""No body came with the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of the path or the query: `name` as callers write it, dotted (`a.b`) for a field of a field."""

    name: str
    where: Literal["path", "query"]
    schema: JsonSchema
    """Of one value; a repeated one is an array of these."""
    required: bool = False
    repeated: bool = False
    description: str = ""
    full: JsonSchema | None = None
    """The whole schema, array and all, where OpenAPI 3.1 can say more than `schema` and `repeated` do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who may call, after inheritance (method over class over API). None: nothing was declared at any level."""

    audiences: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = None
    """Accepted `aud` values; by the issuer's name, or a list, which means Google's issuer."""
    client_ids: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    """Any of these; each is all of its words."""
    api_key_required: bool = False
    optional: bool = False
    """Calls without a token pass too; a key that is required stays required."""

    @property
    def is_optional(self) -> bool:
        """Whether calls with no credential at all pass too (x-authz-optional)."""
        return self.optional and not self.api_key_required


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One operation: where it is served, what it takes and gives, who may call it, and what runs."""

    name: str
    """The Python name of the function."""
    owner: str
    """The name of the class, or of the module for functions: for messages, and for operationId."""
    id: str
    """The discovery method id, `api.resource.method`."""
    operation_id: str
    http_method: str
    """In capitals."""
    path: str
    """Below the API's base path, from the API's name on: `/echo/v1/items/{id}`; variables are `{a}` or `{a.b}`, the
    last one may be followed by `:verb`."""
    parameters: tuple[Parameter, ...] = ()
    body: Shape | None = None
    body_first: bool = True
    """Where the body stands among the document's parameters: first (containers) or last (plain messages)."""
    body_required: bool = True
    body_is_object: bool = True
    """Whether JSON that is no object is refused before it reaches the binding."""
    response: Shape | None = None
    """None: the answer is 204."""
    security: Security = Security()
    metric_costs: Mapping[str, int] = field(default_factory=dict)
    description: str = ""
    tags: tuple[str, ...] = ()
    binding: Binding
    open: Callable[[], Callable[..., Any]]
    """Makes what is called with the binding's arguments: a method of a new instance, or the function. The call gives
    the result, or an awaitable of it."""
    escaped_slashes: bool = False
    """Values of the path may hold what a caller escapes: slashes, and other characters that have a meaning there."""
    is_async: bool = False
    """The call gives an awaitable; a server of threads runs it in an event loop of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One name and one full version: a document, and a family of URLs below `base_path`."""

    name: str
    version: str
    """As declared; `info.version`."""
    path_version: str
    """In URLs: `v1` for 1.2.3, else the version itself."""
    base_path: str = "/_ah/api"
    """Begins with `/`; ends with one only if it is `/`."""
    hostname: str | None = None
    description: str | None = None
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    """By the name of the securityDefinition; empty: Google's."""
    limits: tuple[LimitDefinition, ...] = ()
    methods: tuple[Method, ...] = ()
    """In the order of classes, inside a class by attribute name."""
    title: str | None = None
    documentation: str | None = None
    canonical_name: str | None = None
    namespace: Namespace | None = None
    scopes: tuple[OAuth2Scope, ...] = ()
    """What the discovery document lists."""
