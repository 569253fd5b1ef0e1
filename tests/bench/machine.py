"""The machine and its processes: what it is, and how much CPU a process has used. Linux only, from /proc."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
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


_TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")


def cpu_microseconds(pid: int) -> float:
    """User and system time of all threads that a process has ever had, proc_pid_stat(5) fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def children(pid: int) -> list[int]:
    """The processes that a process has started, threads of it included."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _read(task / "children").split()]


def name(pid: int) -> str:
    """What a process calls itself; empty once it is gone."""
    return _read(Path(f"/proc/{pid}/comm")).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""
