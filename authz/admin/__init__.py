"""Verbs on the store: what the command line and the console do. This room knows neither Envoy nor HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from authz.errors import UsageError

_MOST_NAMES = 8


def unknown(noun: str, name: str, known: Iterable[str], where: str = "") -> UsageError:
    """The error for a name that nothing has: says what there is, and what may have been meant."""
    names = sorted(set(known))
    message = f"There is no {noun} '{name}'{where}."
    if close := get_close_matches(name, names, n=1):
        return UsageError(message, f"Did you mean '{close[0]}'?")
    if not names:
        return UsageError(message, f"There is no {noun} at all yet{where}.")
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return UsageError(message, f"There is: {', '.join(names[:_MOST_NAMES])}{more}.")
