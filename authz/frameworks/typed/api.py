"""`typed.Api`: functions and classes with type hints, declared as the message style declares its classes.

The arguments, their defaults, how a method inherits them from its class and its API, and what is refused are those of
`endpoints.api`, `api_class` and `endpoints.method`; only what goes in and out is said by type hints.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, Unpack

from authz.frameworks import service
from authz.frameworks.declare import checks, names
from authz.frameworks.declare.access import Access
from authz.frameworks.declare.classes import ApiInfo
from authz.frameworks.declare.classes import api as declared
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.typed.build import Around, Entry, Said
from authz.frameworks.typed.hints.schemas import Schemas
from authz.frameworks.typed.signature import Unresolved
from authz.frameworks.types import Issuer, LimitDefinition, Namespace, OAuth2Scope

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)
_MARK = "__authz_methods__"


class Words(TypedDict, total=False):
    """What may be said at each level; what is left out comes from the level above."""

    scopes: list[str | OAuth2Scope] | tuple[str | OAuth2Scope, ...] | None
    audiences: list[str] | tuple[str, ...] | Mapping[str, list[str]] | None
    allowed_client_ids: list[str] | tuple[str, ...] | None
    api_key_required: bool | None
    optional_auth: bool | None


class ApiWords(Words, total=False):
    """What `endpoints.api` takes beside name and version."""

    description: str | None
    hostname: str | None
    canonical_name: str | None
    owner_domain: str | None
    owner_name: str | None
    package_path: str | None
    title: str | None
    documentation: str | None
    issuers: Mapping[str, Issuer] | None
    namespace: Namespace | None
    base_path: str | None
    use_request_uri: bool | None
    limit_definitions: list[LimitDefinition] | None


class ClassWords(Words, total=False):
    """What `api_class` takes."""

    resource_name: str | None
    path: str | None


class MethodWords(Words, total=False):
    """What `endpoints.method` takes, without path and http_method."""

    name: str | None
    metric_costs: Mapping[str, int] | None
    use_request_uri: bool | None


class Api:
    """One API of functions and classes. Takes what `endpoints.api` takes.

    shop = Api("shop", "1.0.0", api_key_required=True)

    @shop.get("items/{id}")
    def item(id: int, fresh: bool = False) -> Item: ...

    @shop.api_class(path="orders", audiences=["shop"])
    class Orders:
        @shop.post("", metric_costs={"write": 2})
        async def create(self, order: Order) -> Receipt: ...
    """

    def __init__(self, name: str, version: str, **said: Unpack[ApiWords]) -> None:
        self.info = declared(name, version, **said).api_info
        self._entries: list[Entry] = []
        self._waiting: dict[Callable[..., Any], str] = {}

    def __repr__(self) -> str:
        return f"<typed api '{self.info.name}' {self.info.api_version}>"

    def __call__(self, owner: _Class) -> _Class:
        """Decorate a class that says nothing of its own."""
        return self.api_class()(owner)

    def api_class(self, **said: Unpack[ClassWords]) -> Callable[[_Class], _Class]:
        """Decorate a class whose methods are decorated by `get`, `post`, … of an Api, its own or its bases'.

        A new instance serves each call; the class is made without arguments.
        """
        unknown = said.keys() - ClassWords.__optional_keys__
        if unknown:
            raise TypeError(f"api_class() has no argument '{min(unknown)}'")
        return lambda owner: self._add_class(owner, said)

    def method(
        self, path: str | None = None, *, http_method: str = "POST", **said: Unpack[MethodWords]
    ) -> Callable[[_Function], _Function]:
        """Decorate a function, or a method of a class that `api_class` decorates. The function stays what it is.

        Args:
            path: Below API and class; a slash in front leaves the class's path out. The function's name if it is left
                out; "" is the path of the class itself.
            http_method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
            said: name, metric_costs, scopes, audiences, allowed_client_ids, api_key_required, optional_auth and
                use_request_uri, as for `endpoints.method`.
        """
        unknown = said.keys() - MethodWords.__optional_keys__
        if unknown:
            raise TypeError(f"method() has no argument '{min(unknown)}'")
        if inspect.isroutine(path):  # it would be a method that nobody ever serves
            raise TypeError(f"{path.__qualname__}: write its decorator with brackets, as in @api.get()")

        def decorate(function: _Function) -> _Function:
            around = Around(sys._getframe(1))  # noqa: SLF001 - hints may name what the calling function defines
            self._add(_said(function, path, http_method, said, around))
            return function

        return decorate

    def get(self, path: str | None = None, **said: Unpack[MethodWords]) -> Callable[[_Function], _Function]:
        """`method` with GET."""
        return self.method(path, http_method="GET", **said)

    def post(self, path: str | None = None, **said: Unpack[MethodWords]) -> Callable[[_Function], _Function]:
        """`method` with POST."""
        return self.method(path, http_method="POST", **said)

    def put(self, path: str | None = None, **said: Unpack[MethodWords]) -> Callable[[_Function], _Function]:
        """`method` with PUT."""
        return self.method(path, http_method="PUT", **said)

    def patch(self, path: str | None = None, **said: Unpack[MethodWords]) -> Callable[[_Function], _Function]:
        """`method` with PATCH."""
        return self.method(path, http_method="PATCH", **said)

    def delete(self, path: str | None = None, **said: Unpack[MethodWords]) -> Callable[[_Function], _Function]:
        """`method` with DELETE."""
        return self.method(path, http_method="DELETE", **said)

    def describe(self) -> tuple[service.Api, ...]:
        """The API as documents and servers read it.

        Raises:
            ApiConfigurationError: a hint names what is not defined, or a method's class is not decorated.
        """
        for place in self._waiting.values():
            raise ApiConfigurationError(f"{place} is decorated, but its class is not; write @….api_class() above it")
        schemas = Schemas()
        found = [entry.method(schemas) for entry in self._entries]
        ids = names.distinct(one.operation_id for one in found)
        methods = tuple(replace(one, operation_id=known) for one, known in zip(found, ids, strict=True))
        info = self.info
        return (
            service.Api(
                name=info.name,
                version=info.api_version,
                path_version=info.path_version,
                base_path=info.base_path.rstrip("/") or "/",
                hostname=info.hostname,
                description=info.description,
                issuers=info.issuers,
                limits=info.limit_definitions,
                methods=methods,
                title=info.title,
                documentation=info.documentation,
                canonical_name=info.canonical_name,
                namespace=info.namespace,
                scopes=tuple(info.scope_objs),
            ),
        )

    def _add(self, said: Said) -> None:
        """A function is served from now on; a method waits for its class."""
        if "." not in said.function.__qualname__.rpartition("<locals>.")[2]:
            self._serve([Entry(said=said, info=self.info, owner=None, python_name=said.function.__name__)])
            return
        marks = said.function.__dict__.setdefault(_MARK, {})
        marks[self] = said
        self._waiting[said.function] = said.place

    def _add_class(self, owner: _Class, said: ClassWords) -> _Class:
        if not inspect.isclass(owner):
            raise checks.wrong(repr(self), "what is decorated", "a class", owner)
        info = self._class_info(f"{owner.__module__}.{owner.__qualname__}", said)
        entries = [
            Entry(said=one, info=info, owner=owner, python_name=name) for name, one in self._marked(owner).items()
        ]
        if not entries:
            raise ApiConfigurationError(
                f"{owner.__qualname__} has no methods; decorate them with get, post, … of an Api"
            )
        _check_made(owner)
        self._serve(entries)
        return owner

    def _class_info(self, place: str, said: ClassWords) -> ApiInfo:
        access = {name: said.get(name) for name in Words.__optional_keys__}
        return replace(
            self.info,
            resource_name=checks.text(place, "resource_name", said.get("resource_name")),
            path=checks.text(place, "path", said.get("path")),
            access=Access.of(place, {**access, "auth_level": None}).over(self.info.access),
        )

    def _marked(self, owner: type) -> dict[str, Said]:
        """The decorated methods of a class and its bases, in the order of definition."""
        found: dict[str, Said] = {}
        for base in reversed(owner.__mro__):  # one that is overridden without being decorated again is still served
            for name, function in vars(base).items():
                marks: Mapping[Api, Said] = getattr(function, _MARK, {})
                if marks:
                    found[name] = marks.get(self) or next(iter(marks.values()))
                    for api in marks:
                        api._waiting.pop(function, None)  # noqa: SLF001
        return {name: one for name, one in found.items() if callable(getattr(owner, name))}

    def _serve(self, entries: list[Entry]) -> None:
        for entry in entries:
            with contextlib.suppress(Unresolved):  # the name may be defined further down; describe() asks again
                entry.compile()
        self._entries += entries


def _said(function: Any, path: Any, http_method: Any, said: MethodWords, around: Around) -> Said:
    if not inspect.isfunction(function):
        what = "a function; write it below staticmethod, classmethod and the like, or leave those out"
        raise checks.wrong("method", "what is decorated", what, function)
    place = f"{function.__module__}.{function.__qualname__.rpartition('<locals>.')[2]}"
    written = checks.text(place, "name", said.get("name")) or function.__name__
    if not names.safe(written):
        raise ApiConfigurationError(f"{place}: name is {written!r}, and nothing of it can be part of a method id")
    access = {name: said.get(name) for name in (*Words.__optional_keys__, "use_request_uri")}
    return Said(
        function=function,
        place=place,
        name=written,
        path=checks.text(place, "path", path),
        http_method=checks.verb(place, http_method),
        access=Access.of(place, {**access, "auth_level": None}),
        metric_costs=checks.costs(place, said.get("metric_costs")),
        around=around,
    )


def _check_made(owner: type) -> None:
    """Refuse a class that cannot be made for each call."""
    try:
        needed = [
            one.name
            for one in inspect.signature(owner).parameters.values()
            if one.default is one.empty and one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}
        ]
    except (TypeError, ValueError):
        return
    if needed:
        message = (
            f"{owner.__qualname__} needs {', '.join(needed)} to be made; it is made without arguments for each call"
        )
        raise ApiConfigurationError(message)
