"""Where in a body something is wrong: `items[2].price`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_NOWHERE: Final = object()


def place(loc: Sequence[int | str], value: Any, location: str, *, missing: bool = False) -> str:
    """The dotted place of an error, below `location`.

    A union's choices and checks of one's own stand in pydantic's locations too; nobody wrote those, so what the value
    does not have is left out, unless it is just that which is missing.
    """
    at = location
    for number, step in enumerate(loc):
        if isinstance(step, int):
            if isinstance(value, list) and step < len(value):
                at, value = f"{at}[{step}]", value[step]
        elif isinstance(value, dict) and (step in value or (missing and number == len(loc) - 1)):
            at, value = f"{at}.{step}" if at else step, value.get(step, _NOWHERE)
    return at
