"""The machine and its processes: what it is, who serves an address, how much CPU a process has used. Linux only."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from authz import proxy
from authz.settings import Settings


class NotMeasured(Exception):  # noqa: N818 - says what happened, and what to do
    """Something that is needed is not here, or calls failed."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when figures were taken. `load` is the one-minute load average."""

    date: str
    cpu: str
    cores: int
    python: str
    envoy: str
    load: float


def about() -> Machine:
    """This machine, now."""
    return Machine(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        envoy=_envoy(),
        load=round(os.getloadavg()[0], 1),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _envoy() -> str:
    told = subprocess.run([proxy.find(Settings()), "--version"], capture_output=True, text=True, check=True).stdout
    parts = told.strip().rpartition("version: ")[2].split("/")
    return f"Envoy {parts[1]}" if len(parts) > 1 else "Envoy"


# -- what is installed -----------------------------------------------------------------------------------------------

PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client", "perf": "linux-perf"}
"""Debian's packages of the programs that may be missing."""


def has(program: str) -> bool:
    """Whether a program is on the PATH."""
    return shutil.which(program) is not None


def how_to_get(program: str) -> str:
    """Words for whoever does not have it."""
    return f"{program} (apt-get install {PACKAGES[program]})"


# -- processes -------------------------------------------------------------------------------------------------------

_PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel's clock numbers: the time that a process, all its threads, has been on a core."""


def cpu_microseconds(pid: int) -> float:
    """User and system time of all threads that a process has ever had, to the nanosecond, where /proc has 10 ms."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _PROCESS_CLOCK) / 1000
    except OSError as error:
        raise NotMeasured(f"process {pid} has ended, or is not of this machine") from error


def family(pid: int, *, but: str = "") -> list[int]:
    """A process and all that it has started, those of one name left out."""
    return [pid, *(each for child in children(pid) if name(child) != but for each in family(child, but=but))]


def children(pid: int) -> list[int]:
    """The processes that a process has started, threads of it included."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _read(task / "children").split()]


def name(pid: int) -> str:
    """What a process calls itself; empty once it is gone."""
    return _read(Path(f"/proc/{pid}/comm")).strip()


@contextlib.contextmanager
def core_kept_free() -> Iterator[Callable[[int], None]]:
    """Leave one core to whom the yielded function gives it; this process and all that it starts use the others.

    Where there is one core only, all share it.
    """
    cores = os.sched_getaffinity(0)
    kept = {min(cores)}
    os.sched_setaffinity(0, cores - kept or cores)
    try:
        yield lambda pid: _move(pid, kept)
    finally:
        os.sched_setaffinity(0, cores)


def _move(pid: int, cores: set[int]) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def listening(address: str) -> list[int]:
    """The processes that listen on `HOST:PORT` or `unix:PATH`, as far as we may see their files."""
    kind, _, path = address.partition(":")
    nodes = set(_unix_nodes(path) if kind == "unix" else _tcp_nodes(int(address.rpartition(":")[2])))
    wanted = {f"socket:[{node}]" for node in nodes}
    return [pid for pid in _processes() if any(link in wanted for link in _files(pid))]


def _unix_nodes(path: str) -> Iterator[str]:
    """Inode numbers of bound sockets, proc_net(5): the flag 00010000 is that of one that listens."""
    for line in _read(Path("/proc/net/unix")).splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == path and fields[3] == "00010000":
            yield fields[6]


def _tcp_nodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _read(Path(f"/proc/net/{table}")).splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _files(pid: int) -> Iterator[str]:
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # another user's, or gone
        return
    for entry in entries:
        try:
            yield str(entry.readlink())
        except OSError:
            continue


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""
