"""What is counted can be seen, and warnings do not flood."""

from __future__ import annotations

import asyncio
import logging

import pytest

from authz.errors import StateError
from authz.proxy import free_port
from authz.telemetry import Tally, serve_prometheus
from harness import http


async def test_prometheus_reads_the_totals() -> None:
    """Totals come out under their names, with their labels, as they are when somebody asks."""
    tally, port = Tally(), free_port()
    stop = serve_prometheus(tally, port)
    try:
        tally.add("check", decision="allow")
        tally.add("check", decision="allow")
        tally.add("check", decision="KEY_INVALID")
        page = (await http.fetch(port, "GET", "/metrics")).body.decode()
    finally:
        await asyncio.to_thread(stop)

    lines = [line for line in page.splitlines() if line.startswith("authz_check_total")]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["1.0", "2.0"]
    assert any('decision="KEY_INVALID"' in line for line in lines)


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    async with http.Upstream() as other:
        with pytest.raises(StateError, match=str(other.port)):
            serve_prometheus(Tally(), other.port)


def test_a_warning_about_one_thing_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally()
    with caplog.at_level(logging.WARNING, "authz"):
        for subject in ("a", "a", "b", "a"):
            tally.warn_once("check", subject, "about %s", subject)

    assert [record.getMessage() for record in caplog.records] == ["about a", "about b"]


def test_what_several_processes_count_is_one_total() -> None:
    """A total that was taken begins anew, so that nothing is told twice; whoever counts goes on counting."""
    worker, leader = Tally(), Tally()
    for _ in range(3):
        worker.add("check", decision="allow")
        leader.include(worker.take())

    assert worker.total("check", decision="allow") == 0
    assert leader.total("check", decision="allow") == 3
    assert not worker.take()
