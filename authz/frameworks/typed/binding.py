"""From a request to a function's arguments, and from what it returns to an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authz.frameworks.typed.readers import Given, reader
from authz.frameworks.typed.signature import Signature


class TypedBinding:
    """How one function is called; a service.Binding."""

    __slots__ = ("_positional", "_readers", "_returns")

    def __init__(self, signature: Signature) -> None:
        arguments = signature.arguments
        self._positional = tuple(reader(one) for one in arguments if not one.keyword)
        self._readers = tuple((one.name, reader(one)) for one in arguments if one.keyword)
        self._returns = signature.returns

    def arguments(
        self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: object
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments."""
        given = Given(path, query, body)
        return tuple([read(given) for read in self._positional]), {name: read(given) for name, read in self._readers}

    def answer(self, result: object) -> bytes | None:
        """The result as JSON; None where nothing comes back."""
        if self._returns is not None:
            return self._returns.write(result)
        if result is not None:
            message = f"the function says that it returns nothing, but returned {type(result).__name__}"
            raise TypeError(message)
        return None
