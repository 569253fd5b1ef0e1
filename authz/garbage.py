"""Garbage collection stands still while something large is built: all of it stays, and looking through it again and
again, as often as it has grown, would cost a third of the time.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Final

_LOCK: Final = threading.Lock()
_builders = 0


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """What is made meanwhile is not looked through for garbage. Several may build at once, in threads of their own."""
    _count(+1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _builders  # noqa: PLW0603 - there is one collector, so there is one count
    with _LOCK:
        _builders += change
        if _builders:
            gc.disable()
        else:
            gc.enable()
