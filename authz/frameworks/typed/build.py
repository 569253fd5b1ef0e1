"""What was declared, made into the nouns that documents and servers read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from authz.frameworks.declare import names, paths
from authz.frameworks.declare.access import Access
from authz.frameworks.declare.classes import ApiInfo
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Method, Parameter
from authz.frameworks.typed import signature
from authz.frameworks.typed.binding import TypedBinding
from authz.frameworks.typed.hints.generate import kinds
from authz.frameworks.typed.hints.schemas import Schemas
from authz.frameworks.typed.parameters import parameters

_WITHOUT_BODY = frozenset({"GET", "DELETE", "HEAD", "OPTIONS"})


class Around:
    """The function in which something is defined, and those whose class bodies lie between: hints may name their
    variables, later ones too.
    """

    __slots__ = ("_frames",)

    def __init__(self, frame: FrameType | None) -> None:
        self._frames: list[FrameType] = []
        while frame is not None and frame.f_locals is not frame.f_globals:
            self._frames.append(frame)
            frame = frame.f_back if "__qualname__" in frame.f_locals else None

    def names(self) -> dict[str, Any]:
        """What is defined there now; what is nearer hides what is not."""
        return {name: value for frame in reversed(self._frames) for name, value in frame.f_locals.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What a decorator was told of one function."""

    function: Callable[..., Any]
    place: str
    """How messages name it: `shop.items.item`."""
    name: str
    path: str | None
    """None: the function's name; '' is the class's path itself."""
    http_method: str
    access: Access
    metric_costs: Mapping[str, int]
    around: Around


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A function, or a method of a class, as part of an API."""

    said: Said
    info: ApiInfo
    owner: type | None
    python_name: str
    bound: tuple[signature.Signature, tuple[Parameter, ...], TypedBinding] | None = field(default=None, repr=False)

    def compile(self) -> tuple[signature.Signature, tuple[Parameter, ...], TypedBinding]:
        """Read the signature, once.

        Raises:
            signature.Unresolved: a hint names what is not defined yet.
            ApiConfigurationError: it cannot be served as it is declared.
        """
        if self.bound is None:
            if self.path:
                paths.check(self.path, self.said.place)
            found = signature.read(
                self.said.function,
                self.said.place,
                variables=paths.variables(self.path),
                has_body=self.said.http_method not in _WITHOUT_BODY,
                is_method=self.owner is not None,
                names=self.said.around.names(),
            )
            given = tuple(one for argument in found.given for one in parameters(argument, self.said.place))
            self.bound = found, given, TypedBinding(found)
        return self.bound

    @property
    def path(self) -> str:
        """Below the API's name and version."""
        if self.said.path == "":
            return (self.info.path or "").strip("/")
        return paths.joined(self.info.path, self.said.path or "", self.python_name)

    def method(self, schemas: Schemas) -> Method:
        """The operation."""
        try:
            found, given, binding = self.compile()
        except signature.Unresolved as error:
            raise ApiConfigurationError(str(error)) from error
        body = next((one for one in found.given if one.where == "body"), None)
        owner = self.owner.__name__ if self.owner else self.said.function.__module__.rpartition(".")[2].strip("_")
        info, said = self.info, self.said
        access = said.access.over(info.access)
        return Method(
            name=self.python_name,
            owner=owner,
            id=names.method_id(info.name, info.resource_name, said.name),
            operation_id=f"{owner}_{names.camel(self.python_name)}",
            http_method=said.http_method,
            path=f"/{info.name}/{info.path_version}/{self.path}".rstrip("/"),
            parameters=given,
            body=schemas.shape(body.value, "validation") if body else None,
            body_required=body.required if body else True,
            body_is_object=body is None or kinds(body.value.schema()) <= {"object"},
            response=schemas.shape(found.returns, "serialization") if found.returns else None,
            security=access.security(),
            metric_costs=said.metric_costs,
            description=inspect.getdoc(said.function) or "",
            tags=(info.resource_name or owner,) if self.owner else (),
            binding=binding,
            open=self._opener(),
            escaped_slashes=access.use_request_uri or False,
            is_async=found.is_async,
        )

    def _opener(self) -> Callable[[], Callable[..., Any]]:
        owner, name, function = self.owner, self.python_name, self.said.function
        if owner is None:
            return lambda: function
        return lambda: getattr(owner(), name)
