from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings

from transport.fuzz import Step, check, steps


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
