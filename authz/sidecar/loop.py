"""How a process of ours runs its event loop, and writes its log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from authz.settings import Settings

_FULL_AFTER: Final = 200
"""Collections of the middle generation for a full one: more than a million containers that nobody has let go of."""


def run(job: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it is installed (extra `fast`)."""
    # All imports are done and stay. A full collection that walks them holds every call up for 75 ms, else for 6.
    gc.freeze()
    # What calls leave behind in cycles dies young. Full collections are for the rest, and a hundred thousand leased
    # counters make one last 80 ms: at Python's own pace several in each of their windows.
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _FULL_AFTER)
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(job)


def write_log(settings: Settings, name: str = "") -> None:
    """Write the log to standard error. `name` stands before each message."""
    before = f"{name}: " if name else ""
    logging.basicConfig(format=f"%(asctime)s %(levelname)s %(name)s: {before}%(message)s")
    logging.getLogger("authz").setLevel(settings.log_level.upper())
