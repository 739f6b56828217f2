"""All together get at least what one after the other gets, and never more than there is."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.assignment import Assigned, Pair, Round, greedy, jointly


def test_a_little_worse_place_for_one_leaves_room_for_another() -> None:
    pairs = [Pair(0, 0, 80, 10), Pair(0, 1, 79, 12), Pair(1, 0, 70, 10)]
    round_ = Round(2, pairs, [1, 1])
    one_by_one, together = greedy(round_), jointly(round_)
    assert (one_by_one.score, one_by_one.served) == (80, 0.5)
    assert (together.score, together.served, together.minutes) == (149, 1, 11)


def test_the_last_packs_go_where_they_serve_most() -> None:
    pairs = [Pair(0, 0, 60, 5), Pair(1, 0, 50, 5), Pair(2, 0, 50, 5)]
    round_ = Round(3, pairs, [3], [{"D001": 60.0}, {"D001": 30.0}, {"D001": 30.0}], {(0, "D001"): 60.0})
    assert greedy(round_).score == 60
    assert jointly(round_).score == 100


def test_nothing_to_share_out_is_no_error() -> None:
    assert jointly(Round(2, [], [])) == greedy(Round(2, [], [])) == Assigned((), 2)


CASES = st.builds(
    lambda pairs, capacity, quantities, stock: Round(
        4, [Pair(*key, score, 10) for key, score in pairs.items()], capacity, [{"D001": float(each)} for each in quantities],
        {(0, "D001"): float(stock)}),
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 2)), st.integers(1, 100).map(float), max_size=12),
    st.lists(st.integers(0, 2), min_size=3, max_size=3), st.lists(st.integers(1, 3), min_size=4, max_size=4), st.integers(0, 6))


def best_of_all(round_: Round) -> float:
    """By trying every way."""
    by = [[None, *(pair for pair in round_.pairs if pair.prescription == number)] for number in range(round_.prescriptions)]
    return max(sum(pair.score for pair in some) for chosen in product(*by)
               if keeps(round_, some := [pair for pair in chosen if pair]))


def keeps(round_: Round, pairs: list[Pair]) -> bool:
    taken = Counter(pair.place for pair in pairs)
    used = sum(round_.needs[pair.prescription]["D001"] for pair in pairs if pair.place == 0)
    return all(taken[place] <= most for place, most in enumerate(round_.capacity)) and used <= round_.stock[0, "D001"]


@settings(deadline=None, max_examples=30)
@given(CASES)
def test_the_solver_finds_the_best_of_all_ways(round_: Round) -> None:
    one_by_one, together = greedy(round_), jointly(round_)
    for assigned in (one_by_one, together):
        assert keeps(round_, list(assigned.pairs))
        assert max(Counter(pair.prescription for pair in assigned.pairs).values(), default=1) == 1
    assert together.score == pytest.approx(best_of_all(round_))
    assert together.score >= one_by_one.score - 1e-6
