"""Where the microseconds go: samples of a sidecar's stacks while it is under load, taken by py-spy or by perf."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.machine import NotMeasured
from bench.report import Row, Section

_PER_SECOND = 500
_SHOWN = 25
Stack = tuple[str, ...]


@dataclass
class Profile:
    """Samples of one point: stacks, outermost function first, and how often each was seen. `cost`: µs per request."""

    name: str
    stacks: Counter[Stack] = field(default_factory=Counter)
    cost: float = 0.0

    def rows(self, most: int = _SHOWN) -> list[Row]:
        """The functions that use most, by their own share; `with callees` counts what they call, too."""
        total = self.stacks.total() or 1
        own: Counter[str] = Counter()
        whole: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            own[stack[-1]] += count
            for function in set(stack):
                whole[function] += count
        return [
            {
                "function": function,
                "self": f"{own[function] / total:.1%}",
                "self µs": self.cost * own[function] / total,
                "with callees": f"{whole[function] / total:.1%}",
                "with callees µs": self.cost * whole[function] / total,
            }
            for function in sorted(whole, key=lambda one: (-own[one], -whole[one]))[:most]
        ]


class Profiler:
    """Takes a profile of each point that has a sidecar. Made where no tool is installed, it says what to do."""

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self._spy = _spy()
        if self._spy is None and not machine.has("perf"):
            raise NotMeasured(
                "--profile needs py-spy (pip install py-spy; it is in the extra `test`), which names Python functions, "
                f"or else {machine.how_to_get('perf')}, which names those in C"
            )

    @property
    def tool(self) -> str:
        """Who takes the samples."""
        return "py-spy" if self._spy else "perf"

    def sections(self) -> list[Section]:
        """A table for each point."""
        whose = "of whoever held the interpreter's lock, by py-spy" if self._spy else "by perf"
        note = (
            f"The sidecar's stacks, taken {_PER_SECOND} times a second {whose}; µs are shares of its CPU per call in "
            "the same run, which the taking makes dearer."
        )
        return [Section(profile.name, note, profile.rows()) for profile in self.profiles]

    @contextlib.contextmanager
    def watching(self, name: str, processes: Sequence[int]) -> Iterator[Profile | None]:
        """Samples while inside; the profile has them afterwards. None where there is nobody to watch."""
        if not processes:
            yield None
            return
        profile = Profile(name)
        with tempfile.TemporaryDirectory(prefix="authz-profile-") as directory:
            file = Path(directory) / "samples"
            with self._running(processes[0], file) as said:
                yield profile
            if file.exists():
                profile.stacks = folded(file.read_text()) if self._spy else scripted(_script(file))
        if not profile.stacks:
            raise NotMeasured(f"{self.tool} took no samples: {''.join(said).strip()}\n{_PERMISSION}")
        self.profiles.append(profile)

    @contextlib.contextmanager
    def _running(self, pid: int, file: Path) -> Iterator[list[str]]:
        """The tool at work, until left; what it said is in the list then."""
        said: list[str] = []
        with subprocess.Popen(
            self._command(pid, file), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            if self._spy and process.stdout:
                said.append(process.stdout.readline())  # it says when it begins; perf says nothing
            try:
                yield said
            finally:
                process.send_signal(signal.SIGINT)
                said.append(process.communicate(timeout=60)[0])

    def _command(self, pid: int, file: Path) -> list[str]:
        if self._spy:
            # Only whoever holds the interpreter's lock: seen from their C functions, threads that wait look busy.
            which = ["--gil", "--native", "--function", "--rate", str(_PER_SECOND), "--duration", "unlimited"]
            return [self._spy, "record", "--pid", str(pid), *which, "--format", "raw", "--output", str(file)]
        clock = ["--event", "cpu-clock", "--freq", str(_PER_SECOND), "--call-graph", "dwarf,8192"]
        return ["perf", "record", "--pid", str(pid), *clock, "--output", str(file)]


_PERMISSION = (
    "Watching a process needs root, or else kernel.yama.ptrace_scope 0 (py-spy) or kernel.perf_event_paranoid at most "
    "2 (perf)."
)


def _spy() -> str | None:
    """py-spy on the PATH, or beside this Python, whose environment need not be activated."""
    return shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))


def _script(file: Path) -> str:
    command = ["perf", "script", "--input", str(file), "--fields", "ip,sym"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def folded(text: str) -> Counter[Stack]:
    """py-spy's raw form: a stack a line, outermost first, `;` between, a count at the end."""
    stacks: Counter[Stack] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] += int(count)
    return stacks


_FRAME = re.compile(r"^\s+[0-9a-f]+ (?P<symbol>.+?)(?: \(inlined\))?$")


def scripted(text: str) -> Counter[Stack]:
    """perf's script: a stack a paragraph, innermost first, an address and a symbol a line."""
    return Counter(stack for block in text.split("\n\n") if (stack := _stack(block.splitlines())))


def _stack(lines: Iterable[str]) -> Stack:
    symbols = [found["symbol"] for line in lines if (found := _FRAME.match(line))]
    return tuple(reversed(symbols))
