from __future__ import annotations

import logging
import resource

import pytest

from authz.transport.limits import Complaints, Limits


def test_one_line_tells_of_a_kind_of_misbehaviour_and_a_minute_later_one_of_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints()

    with caplog.at_level(logging.WARNING):
        for port in range(100):
            complaints.add(("127.0.0.1", port), "speaks HTTP/1")
        complaints.add("", "does not speak HTTP/2")
        assert [record.message for record in caplog.records] == [
            "hung up on ('127.0.0.1', 0): it speaks HTTP/1",
            "hung up on a local process: it does not speak HTTP/2",
        ]

        caplog.clear()
        for _ in range(60):
            complaints.tick()
        assert [record.message for record in caplog.records] == [
            "hung up on 99 more peers in a minute: each speaks HTTP/1"
        ]

        caplog.clear()
        complaints.add(("127.0.0.1", 1), "speaks HTTP/1")
        assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("files", "expected"), [(resource.RLIM_INFINITY, 1000), (100_000, 1000), (1024, 512)]
)  # fmt: skip
def test_connections_leave_files_for_the_rest_of_the_process(
    monkeypatch: pytest.MonkeyPatch, files: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    assert Limits.here().connections == expected
