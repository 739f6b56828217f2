"""A measure per sender: exact in what it gives, bounded in what it remembers, unmoved by a clock that goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.limits import Measure, network


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_sender_has_its_measure_at_once_and_then_waits_for_more() -> None:
    clock = Clock()
    measure = Measure(100, 50, clock=clock)
    assert [measure.take("a", 40) for _ in range(2)] == [0.0, 0.0]
    assert measure.take("a", 40) == pytest.approx(10)
    assert measure.take("b", 100) == 0.0
    clock.now = 10.0
    assert measure.take("a", 40) == 0.0


def test_what_is_beyond_the_measure_is_had_when_it_is_full() -> None:
    clock = Clock()
    measure = Measure(100, 50, clock=clock)
    assert measure.take("a", 500) == 0.0
    assert measure.take("a", 1) > 0
    clock.now = 50.0 * 5 + 1
    assert measure.take("a", 1) == 0.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    clock = Clock()
    measure = Measure(10, 10, clock=clock)
    measure.take("a", 10)
    clock.now = -100.0
    assert measure.take("a", 1) > 0


def test_a_crowd_of_senders_costs_memory_for_a_few() -> None:
    measure = Measure(1, 1, keys=50, clock=Clock())
    for number in range(1000):
        measure.take(str(number))
    assert len(measure._levels) == 50


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 30)), max_size=60))
def test_nobody_ever_has_more_than_the_measure_and_what_came_back_since(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    measure = Measure(30, 60, clock=clock)
    had = 0
    for pause, amount in steps:
        clock.now += pause
        if measure.take("a", amount) == 0.0:
            had += amount
        assert had <= 30 + clock.now * 30 / 60 + 1e-6


@pytest.mark.parametrize(("address", "counts_as"), [
    ("10.0.0.7", "10.0.0.7"), ("::ffff:10.0.0.7", "10.0.0.7"), ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"), ("testclient", "testclient"), ("", ""), ("x" * 1000, "x" * 64),
])
def test_one_host_is_one_sender_however_many_addresses_it_has(address: str, counts_as: str) -> None:
    assert network(address) == counts_as
