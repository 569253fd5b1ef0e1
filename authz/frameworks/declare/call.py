"""Calling a decorated method: what goes in and comes out is what it declares, whoever calls."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from authz.frameworks.message_types import VoidMessage
from authz.frameworks.messages import Message, find_definition
from authz.frameworks.remote import RemoteMethod, RequestError, ServerError


class Remote(RemoteMethod):
    """A method's `remote`. Messages that are given by name are looked up when they are first asked for."""

    __slots__ = ("_messages",)
    _messages: list[type[Message] | str]

    def __init__(self, method: Callable[..., Any], request: type[Message] | str, response: type[Message] | str) -> None:
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "_messages", [request, response])

    @property
    def request_type(self) -> type[Message]:
        """What the method takes."""
        return self._resolved(0)

    @property
    def response_type(self) -> type[Message]:
        """What the method gives."""
        return self._resolved(1)

    def __repr__(self) -> str:
        return f"Remote({self.method.__qualname__})"

    def _resolved(self, index: int) -> type[Message]:
        given = self._messages[index]
        if isinstance(given, str):
            given = self._messages[index] = _named(given, self.method)
        return given


def _named(name: str, function: Callable[..., Any]) -> type[Message]:
    """The message class of a name, as seen from the module of a function."""
    found: Any = sys.modules.get(function.__module__)
    for part in name.split("."):
        found = getattr(found, part, None)
    found = find_definition(name, None) if found is None else found
    if not isinstance(found, type) or not issubclass(found, Message):
        message = f"{function.__qualname__}: '{name}' is not a message class, but {found!r}"
        raise TypeError(message)
    return found


def checked(place: str, function: Callable[..., Any], request: Any, response: Any) -> Any:
    """The function, refusing other messages than it declares; `async` if the function is."""
    if hasattr(function, "remote"):
        message = f"{place} is decorated twice"
        raise TypeError(message)
    said = Remote(function, request, response)

    @functools.wraps(function)
    def call(self: Any, message: Any) -> Any:
        _check_request(place, said.request_type, message)
        return _answer(place, said.response_type, function(self, message))

    @functools.wraps(function)
    async def call_async(self: Any, message: Any) -> Any:
        _check_request(place, said.request_type, message)
        return _answer(place, said.response_type, await function(self, message))

    made: Any = call_async if inspect.iscoroutinefunction(function) else call
    made.remote = said
    return made


def _check_request(place: str, wanted: type[Message], message: Any) -> None:
    if not isinstance(message, wanted):
        text = f"{place} takes a {wanted.__name__}, not {type(message).__name__}"
        raise RequestError(text)


def _answer(place: str, wanted: type[Message], result: Any) -> Any:
    if isinstance(result, wanted):
        return result
    if result is None and wanted is VoidMessage:
        return VoidMessage()
    text = f"{place} returned {type(result).__name__}, but declares {wanted.__name__}"
    raise ServerError(text)
