"""Services: what classes of methods inherit from, what they see of the request, and the errors of the call itself.

A server makes one instance of the service for each call and says what the call is with `handling`; the instance reads
it as `self.request_state`. Nothing is kept between calls, and nothing is global: it is a context variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from authz.frameworks.exceptions import BadRequestException
from authz.frameworks.messages import Message, names

S = TypeVar("S", bound="Service")


class RpcError(Exception):
    """The root of what goes wrong with a call, apart from what the method says itself."""


class RequestError(RpcError):
    """A method was called with something else than it takes."""


class ServerError(RpcError):
    """A method returned something else than it declares."""


class ApplicationError(RpcError, BadRequestException):
    """The method refuses: 400 with the message. `error_name` is for code that handles it in the same process."""

    def __init__(self, message: str | None = None, error_name: str | None = None) -> None:
        BadRequestException.__init__(self, message)
        self.error_name = error_name


class ServiceDefinitionError(Exception):
    """A service class that cannot be."""


class Headers(Mapping[str, str]):
    """The request's headers, by name in any case. The first of several equal names counts."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestState:
    """What a method may know of the request that it serves."""

    http_method: str | None = None
    service_path: str | None = None
    headers: Mapping[str, str] = field(default_factory=Headers)
    remote_host: str | None = None
    remote_address: str | None = None
    server_host: str | None = None
    server_port: int | None = None
    protocol: Any = None


_NONE = RequestState()
_current: ContextVar[RequestState | Callable[[], RequestState] | None] = ContextVar("request_state", default=None)


class _Handling:
    """A context manager by hand: it is entered for every request, and this is a third of a generator's cost."""

    __slots__ = ("_state", "_token")

    def __init__(self, state: RequestState | Callable[[], RequestState]) -> None:
        self._state = state

    def __enter__(self) -> None:
        self._token = _current.set(self._state)

    def __exit__(self, *raised: object) -> None:
        _current.reset(self._token)


def handling(state: RequestState | Callable[[], RequestState]) -> _Handling:
    """For this call: what services read as their request_state, or what makes it when one does."""
    return _Handling(state)


class Service:
    """The base of classes whose methods are served: made without arguments, once for each call."""

    _state: RequestState | None = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        inherited = {name for base in cls.__mro__[1:] for name, value in vars(base).items() if _is_remote(value)}
        twice = next((name for name, value in vars(cls).items() if name in inherited and _is_remote(value)), None)
        if twice:
            raise ServiceDefinitionError(
                f"{cls.__name__}.{twice} is decorated, and so is the method that it overrides; leave the decorator "
                "out: what its parent's says holds for it too"
            )

    def initialize_request_state(self, state: RequestState) -> None:
        """Says what the call is to this one instance; code that calls methods by itself, such as tests, uses it."""
        self._state = state

    @property
    def request_state(self) -> RequestState:
        """What is being served: headers above all. Outside a request everything in it is empty."""
        if self._state is None:
            state = _current.get()
            self._state = _NONE if state is None else state if isinstance(state, RequestState) else state()
        return self._state

    @classmethod
    def all_remote_methods(cls) -> dict[str, Callable[..., Any]]:
        """The methods that are served, by attribute name; what a parent has, its children have."""
        attributes = ((name, getattr(cls, name)) for name in dir(cls) if not name.startswith("__"))
        return {name: method for name, method in attributes if _is_remote(method)}

    @classmethod
    def definition_name(cls) -> str:
        """The full name: package and class."""
        return names.definition_name(cls)

    @classmethod
    def new_factory(cls: type[S], *args: Any, **kwargs: Any) -> Factory[S]:
        """What makes instances with these arguments; servers take it in the place of the class."""
        return Factory(cls, args, kwargs)


def _is_remote(value: object) -> bool:
    return isinstance(getattr(value, "remote", None), RemoteMethod)


@dataclass(frozen=True, slots=True)
class Factory(Generic[S]):
    """A service class and the arguments that its instances are made with."""

    service_class: type[S]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self) -> S:
        """A new instance."""
        return self.service_class(*self.args, **self.kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteMethod:
    """What a served method's `remote` says: the function, and the messages that it takes and gives."""

    method: Callable[..., Any]
    request_type: type[Message]
    response_type: type[Message]


__all__ = [
    "ApplicationError",
    "Factory",
    "Headers",
    "RemoteMethod",
    "RequestError",
    "RequestState",
    "RpcError",
    "ServerError",
    "Service",
    "ServiceDefinitionError",
    "handling",
]
