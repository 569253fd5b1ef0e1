from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings

from transport.fuzz import Step, check, left_over, steps


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps)
@example([("call", 0, 5, 400, True), ("call", 1, 5, 3, False), ("settle", 0, "result"), ("deliver", 1)])
@example([("call", 2, 5, 400, True), ("deliver", 9), ("turn",), ("reset", 0), ("deliver", 9)])
def test_whatever_arrives_nothing_crashes_nothing_is_kept_and_no_call_gets_anothers_answer(
    some: Sequence[Step],
) -> None:
    check(some)


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 500])
def test_honest_calls_are_all_answered_however_the_bytes_are_cut(size: int) -> None:
    check([("call", 0, n * 20, 1 + n * 7, True) for n in range(15)] + [("deliver", size)])


def test_connections_leave_no_object_and_no_memory() -> None:
    some: list[Sequence[Step]] = [
        [("call", 0, 300, 40, True), ("call", 1, 5, 3, False), ("deliver", 7)],
        [("call", 2, 5, 400, True), ("call", 0, 310, 400, True), ("deliver", 500), ("turn",), ("stall",), ("tick", 8)],
        [("noise", b"GET / HTTP/1.1\r\n\r\n"), ("deliver", 500)],
        [("many", 8, 80), ("deliver", 500), ("frame", 1, 5, 3, b"\xff" * 60), ("deliver", 500)],
        [("call", 3, 5, 400, True), ("call", 4, 5, 400, True), ("reset", 0), ("drain",), ("deliver", 500), ("stop",)],
    ]

    logging.disable()  # or pytest would keep every line of it
    try:
        # What leaks, leaks each time; an allocator takes a large block once.
        rounds = [left_over(some, 100) for _ in range(3)]
    finally:
        logging.disable(logging.NOTSET)
    objects, memory = map(min, zip(*rounds, strict=True))

    assert objects < 50
    assert memory < 4_000_000  # 500 connections that stayed would take more than twice that
