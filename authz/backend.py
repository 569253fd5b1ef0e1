"""The process that serves decorated classes for `authz up`: started, listened to, and ended.

User code runs there and not here: its exceptions, its memory and its threads are no matter of the gateway's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from authz.errors import StateError, UsageError

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 7.0
_WORDS_SECONDS: Final = 1.0
_LAST_LINES: Final = 3
_PIECE: Final = 65536
SECRET_VARIABLE: Final = "AUTHZ_GATEWAY_SECRET"  # noqa: S105 - the name of the variable


class Backend:
    """A running server. `url` is where it listens."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.url = ""
        self._process = process
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._reader = asyncio.ensure_future(self._read_lines())

    async def _read_lines(self) -> None:
        """Pass on what it writes, and remember the last of it."""
        rest = b""
        while self._process.stderr and (read := await self._process.stderr.read(_PIECE)):
            sys.stderr.write(read.decode(errors="replace"))  # the user's own log goes where it would without us
            sys.stderr.flush()
            *lines, rest = (rest[-_PIECE:] + read).split(b"\n")
            self._lines.extend(line.decode(errors="replace").strip() for line in lines)
        self._lines.extend(filter(None, [rest.decode(errors="replace").strip()]))

    async def ready(self) -> None:
        """Wait until it serves.

        Raises:
            UsageError: its code cannot be served; in its own words.
            StateError: it ended, or does not serve in time.
        """
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(_START_SECONDS):
                said = json.loads(await self._process.stdout.readline() or b"{}") if self._process.stdout else {}
        except TimeoutError:
            raise StateError(f"{self.name} does not serve after {_START_SECONDS:g} s", "See its output.") from None
        if "error" in said:
            raise UsageError(said["error"], said["remedy"])
        if not said:
            await self.ended()
        self.url = said["url"]

    async def ended(self) -> NoReturn:
        """Wait for its end.

        Raises:
            StateError: it ended; with its exit code and last words.
        """
        code = await self._process.wait()
        await asyncio.wait({self._reader}, timeout=_WORDS_SECONDS)  # what it said last may still be on its way
        words = ": " + " | ".join(self._lines) if self._lines else ""
        raise StateError(f"{self.name} ended with exit code {code}{words}", "Its output above says why.")

    async def stop(self) -> None:
        """Let running requests end, for a few seconds, and end it."""
        for number, patience in ((signal.SIGTERM, _END_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                if self._process.returncode is None:
                    os.killpg(self._process.pid, number)  # and what the user's code has started
                async with asyncio.timeout(patience):
                    await self._process.wait()
                    break
        await asyncio.wait({self._reader}, timeout=_WORDS_SECONDS)
        self._reader.cancel()


@contextlib.asynccontextmanager
async def serving(words: Sequence[str], directory: Path, *, secret: str, header_prefix: str) -> AsyncIterator[Backend]:
    """Serve `MODULE:CLASS…` on a free port of loopback until left, for who knows the secret, which is the gateway.

    Raises:
        UsageError: the code cannot be served.
        StateError: the server cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        # -P: the user's files are not in the way of our own modules, nor of Python's.
        sys.executable, "-P", "-m", "authz.frameworks", "serve", *words, "--application", str(directory), "--json",
        "--header-prefix", header_prefix, "--gateway-only",
        # It ends when this does, even if this is killed: then there is nobody at the other end of its standard input.
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, SECRET_VARIABLE: secret, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # a terminal's Ctrl-C is for us to pass on, when Envoy has drained
    )  # fmt: skip
    backend = Backend(", ".join(words), process)
    try:
        await backend.ready()
        yield backend
    finally:
        await backend.stop()
