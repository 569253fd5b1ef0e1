from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.quota.clock import SteadyClock


class Hands:
    """Two clocks that a test moves."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.monotonic = 50.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def test_it_is_the_wall_clock() -> None:
    hands = Hands(1_800_000_000.123456)
    assert hands.clock() == hands.wall

    for _ in range(50):
        hands.pass_by(0.1)
        # Never behind, be it by rounding: a boundary that the wall has reached is reached.
        assert 0 <= hands.clock() - hands.wall < 1e-5


def test_a_step_back_is_not_followed_and_time_goes_on() -> None:
    hands = Hands()
    before = hands.clock()

    hands.wall -= 3600
    hands.pass_by(10)

    assert hands.clock() == pytest.approx(before + 10)


def test_a_step_back_that_is_undone_leaves_nothing() -> None:
    hands = Hands()
    hands.clock()
    hands.wall -= 3600
    hands.pass_by(10)
    hands.clock()

    hands.wall += 3600
    hands.pass_by(10)

    assert hands.clock() == pytest.approx(hands.wall)


def test_a_step_forward_is_followed() -> None:
    hands = Hands()
    hands.clock()

    hands.wall += 3600

    assert hands.clock() == hands.wall


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e6, 1e6)), max_size=20))
def test_it_never_goes_back_and_is_never_behind(moves: list[tuple[float, float]]) -> None:
    hands = Hands()
    last = hands.clock()
    for passed, step in moves:
        hands.pass_by(passed)
        hands.wall += step
        now = hands.clock()
        assert now >= last - 1e-3
        assert now >= hands.wall
        last = now
