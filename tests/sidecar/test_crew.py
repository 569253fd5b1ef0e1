"""The leader's side: workers that do not behave."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from authz.errors import StoreError
from authz.rulebook.book import Rulebook
from authz.settings import Settings
from authz.sidecar import crew as crews
from authz.sidecar.crew import Crew
from authz.telemetry import Tally
from harness import process
from harness.waiting import until


class Told:
    """The processes that served, by the number of the worker."""

    def __init__(self) -> None:
        self.processes: dict[int, list[int]] = {}

    def __call__(self, number: int, process: int, address: str) -> None:
        self.processes.setdefault(number, []).append(process)


@contextlib.asynccontextmanager
async def a_crew(directory: Path, workers: int = 1, **values: Any) -> AsyncIterator[tuple[Crew, Told]]:
    told = Told()
    settings = Settings(data_dir=directory / "data", fetch_timeout=0.2, **values)
    addresses = [f"unix:{directory}/{number}" for number in range(workers)]
    crew = Crew(settings, addresses, Tally(), serves=told)
    await crew.start()
    try:
        yield crew, told
    finally:
        await crew.stop(0.0)


async def test_without_workers_nobody_is_waited_for() -> None:
    crew = Crew(Settings(), (), Tally(), serves=Told())
    await crew.start()
    await crew.take(Rulebook(1))
    await crew.serving()
    crew.forget([b"key"])
    crew.clear()
    await crew.stop(5.0)


async def test_one_that_hangs_holds_no_book_back_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_crew(tmp_path, 2) as (crew, told):
        await crew.take(Rulebook(1))
        await crew.serving()
        os.kill(told.processes[2][0], signal.SIGSTOP)
        monkeypatch.setattr(crews, "_TAKE_SECONDS", 0.3)
        began = time.monotonic()
        with caplog.at_level(logging.ERROR):
            await crew.take(Rulebook(2))

        assert 0.4 < time.monotonic() - began < 3
        await until(lambda: len(told.processes[2]) == 2)
        # It serves from its first book on, and there is none but the latest.
        assert len(told.processes[1]) == 1
        assert not process.is_running(told.processes[2][0])
        assert [record.getMessage().partition("(")[0].strip() for record in caplog.records] == [
            "worker 2 has not taken the new rules within 0.5 s: it is ended",
            "worker 2",
        ]


async def test_stopping_ends_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "_END_SECONDS", 0.2)
    async with a_crew(tmp_path) as (crew, told):
        await crew.take(Rulebook(1))
        await crew.serving()
        os.kill(told.processes[1][0], signal.SIGSTOP)
        async with asyncio.timeout(3):
            await crew.stop(0.1)

    assert not process.is_running(told.processes[1][0])


async def test_a_start_that_is_broken_off_leaves_nobody(tmp_path: Path) -> None:
    async with a_crew(tmp_path, 2) as (crew, told):
        await until(lambda: all(worker.process for worker in crew._workers))
        started = [worker.process.pid for worker in crew._workers if worker.process]
        async with asyncio.timeout(3):
            await crew.stop(5.0)

    assert not told.processes
    assert not any(map(process.is_running, started))


async def test_what_is_wrong_with_one_is_wrong_with_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    async with a_crew(tmp_path) as (crew, _):
        with pytest.raises(StoreError, match="data directory"):
            await crew.serving()


async def test_it_is_started_again_and_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with a_crew(tmp_path) as (crew, told):
        await crew.take(Rulebook(1))
        for times in (1, 2, 3):
            await until(lambda times=times: len(told.processes.get(1, ())) == times)
            os.kill(told.processes[1][-1], signal.SIGKILL)

    lines = [record.getMessage() for record in caplog.records]
    assert all("ended with signal 9; it is started again in" in line for line in lines)
    assert 2 <= len(lines) <= 3
