"""Where a server listens: `HOST:PORT` or `unix:PATH`, and what must hold before it can be bound."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from authz.errors import StateError, UsageError

_LONGEST_PATH = 107
"""`sun_path` of unix(7) is 108 bytes, its closing NUL included."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host (IPv6 in brackets) and a port, 0 for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A Unix domain socket's path."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"

    def clear(self) -> None:
        """Make the path free: a socket that nobody serves any more is removed.

        Raises:
            StateError: somebody serves it, it is no socket, or no socket can be made there.
        """
        if len(os.fsencode(self.path)) > _LONGEST_PATH:
            raise StateError(
                f"The socket's path {self.path} is longer than {_LONGEST_PATH} bytes.",
                "Choose a shorter path, or listen on HOST:PORT.",
            )
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise StateError(f"{self.path} is there and is no socket.", "Move it away, or choose another path.")
            if self._is_served():
                raise StateError(
                    f"Another process serves {self}.", "Stop it, or choose another path or data directory."
                )
            self.path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(
                f"No socket can be made at {self.path}: {error.strerror}.",
                "Remove what is there, or choose another path.",
            ) from error

    def _is_served(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(os.fspath(self.path))
            except ConnectionRefusedError:
                return False
            except BlockingIOError:  # its queue is full, so somebody owns it
                return True
            return True


def parse(text: str) -> Tcp | Unix:
    """An address as a setting writes it.

    Raises:
        UsageError: it is neither form.
    """
    kind, _, path = text.partition(":")
    if kind == "unix" and path:
        return Unix(Path(path))
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed) or not (port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise UsageError(
            f"'{text}' is not an address to listen on.", "Write HOST:PORT (IPv6 as [HOST]:PORT) or unix:PATH."
        )
    return Tcp(host, int(port))


@contextmanager
def owner_only() -> Iterator[None]:
    """Whoever can connect can ask about any key; a socket made in here is private from its first moment."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def not_bound(endpoint: Tcp | Unix) -> StateError:
    """What to say when the system refuses an address."""
    return StateError(
        f"Cannot listen on {endpoint}.",
        "The port is taken or not this machine's: stop the other process, or choose another address."
        if isinstance(endpoint, Tcp)
        else "Its directory must exist and be writable: create it, or choose another path.",
    )
