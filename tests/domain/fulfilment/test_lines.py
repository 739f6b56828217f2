"""A line's quantities add up to what was prescribed, whatever orders, parcels, returns and wishes there are."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.chains import ChainWord as W
from domain.fulfilment.lines import LineState, line_states, open_portions, status_of
from domain.fulfilment.orders import Placed, advanced
from domain.fulfilment.portions import Portion, added, without
from domain.fulfilment.wishes import Wish, WishAnswer, WishKind
from domain.lifecycle import Status
from tests.domain.fulfilment.cases import NOW, confirmed, order, said, settled
from tests.support.factories import item

ITEMS = (item("D001", 1, quantity=Decimal(28)), item("D010", 2, quantity=Decimal(10)))
FIRST, SECOND = Portion(1, Decimal(28)), Portion(2, Decimal(10))
HALF = Portion(1, Decimal(14))


def parts(orders: list[Placed], *wishes: Wish, ended: bool = False) -> dict[int, tuple[int, ...]]:
    """open, in progress, handed over, returned, given up of each line."""
    return {line: tuple(int(part) for part in (state.open, state.in_progress, state.handed_over, state.returned, state.given_up))
            for line, state in line_states(ITEMS, orders, wishes, ended=ended).items()}


def granted(*portions: Portion) -> Wish:
    return Wish(1, WishKind.CANCEL, "patient", "patient", NOW, WishAnswer.GRANTED, portions or None)


@pytest.mark.parametrize(("orders", "wishes", "expected"), [
    ([], [], {1: (28, 0, 0, 0, 0), 2: (10, 0, 0, 0, 0)}),
    ([order(1, FIRST, SECOND)], [], {1: (0, 28, 0, 0, 0), 2: (0, 10, 0, 0, 0)}),
    ([said(order(1, FIRST, SECOND), W.DECLINED)], [], {1: (28, 0, 0, 0, 0), 2: (10, 0, 0, 0, 0)}),
    ([order(1, FIRST), said(order(2, SECOND), W.HANDED_OVER)], [], {1: (0, 28, 0, 0, 0), 2: (0, 0, 10, 0, 0)}),
    ([said(order(1, HALF), W.HANDED_OVER)], [], {1: (14, 0, 14, 0, 0), 2: (10, 0, 0, 0, 0)}),
    ([said(order(1, HALF), W.HANDED_OVER), order(2, HALF)], [], {1: (0, 14, 14, 0, 0), 2: (10, 0, 0, 0, 0)}),
    ([said(order(1, FIRST, SECOND), W.HANDED_OVER, W.RETURNED, lines=(2,))], [], {1: (0, 0, 28, 0, 0), 2: (0, 0, 0, 10, 0)}),
    ([], [granted()], {1: (0, 0, 0, 0, 28), 2: (0, 0, 0, 0, 10)}),
    ([said(order(1, SECOND), W.HANDED_OVER)], [granted(HALF)], {1: (14, 0, 0, 0, 14), 2: (0, 0, 10, 0, 0)}),
    ([said(order(1, FIRST), W.HANDED_OVER)], [granted()], {1: (0, 0, 28, 0, 0), 2: (0, 0, 0, 0, 10)}),
])
def test_where_each_line_is(orders: list[Placed], wishes: list[Wish], expected: dict[int, tuple[int, ...]]) -> None:
    assert parts(orders, *wishes) == expected


def test_what_no_pharmacy_has_is_given_up_when_it_is_over() -> None:
    assert parts([said(order(1, HALF), W.HANDED_OVER)], ended=True) == {1: (0, 0, 14, 0, 14), 2: (0, 0, 0, 0, 10)}


@pytest.mark.parametrize("orders", [
    [order(1, FIRST), order(2, HALF)],
    [said(order(1, FIRST), W.HANDED_OVER), order(2, Portion(1, Decimal(1)))],
    [order(1, Portion(3, Decimal(1)))],
])
def test_more_than_was_prescribed_is_a_fault(orders: list[Placed]) -> None:
    with pytest.raises(ValueError, match="prescribed"):
        line_states(ITEMS, orders)


@pytest.mark.parametrize("change", [{"open": Decimal(2)}, {"open": Decimal(-1), "given_up": Decimal(1)}])
def test_a_line_state_that_does_not_add_up_cannot_be_made(change: dict[str, Decimal]) -> None:
    state = LineState(Decimal(1), Decimal(0), Decimal(0), Decimal(1), Decimal(0), Decimal(0))
    with pytest.raises(ValueError, match="prescribed"):
        replace(state, **change)


quantities = st.integers(1, 14).map(Decimal)
words = st.lists(st.sampled_from(list(W)), max_size=6)


@given(st.lists(st.tuples(quantities, words), max_size=4))
def test_whatever_chains_say_in_whatever_order_the_quantities_add_up(attempts: list[tuple[Decimal, list[W]]]) -> None:
    orders: list[Placed] = []
    for attempt, (quantity, spoken) in enumerate(attempts, 1):
        left = line_states(ITEMS, orders)[1].open
        if left < quantity:
            break
        placed = order(attempt, Portion(1, quantity))
        for word in spoken:
            if (change := advanced(placed, word, at=NOW, returned=(1,))) is not None:
                placed = said(placed, word, lines=(1,))
                assert change is not None
        orders.append(placed)
    state = line_states(ITEMS, orders)[1]
    assert state.prescribed == 28
    assert by_lines(open_portions(line_states(ITEMS, orders))) == {1: state.open, 2: Decimal(10)} or state.open == 0


def by_lines(portions: tuple[Portion, ...]) -> dict[int, Decimal]:
    return {portion.line: portion.quantity for portion in portions}


@given(st.lists(st.builds(Portion, st.integers(1, 3), quantities)), st.lists(st.builds(Portion, st.integers(1, 3), quantities)))
def test_what_was_added_can_be_taken_away(some: list[Portion], others: list[Portion]) -> None:
    together = added(some, others)
    assert without(together, others) == added(some)
    assert [portion.line for portion in together] == sorted({portion.line for portion in (*some, *others)})


BOTH = (FIRST, SECOND)


@pytest.mark.parametrize(("orders", "expected"), [
    ([], Status.ALLOCATING),
    ([order(1, *BOTH)], Status.ALLOCATING),
    ([confirmed(order(1, *BOTH))], Status.FULFILLING),
    ([confirmed(said(order(1, *BOTH), W.DECLINED))], Status.ALLOCATING),
    ([confirmed(said(order(1, FIRST), W.HANDED_OVER))], Status.ALLOCATING),
    ([confirmed(said(order(1, FIRST), W.HANDED_OVER)), confirmed(order(2, SECOND))], Status.FULFILLING),
    ([confirmed(said(order(1, *BOTH), W.HANDED_OVER))], Status.FULFILLED),
    ([confirmed(said(order(1, *BOTH), W.HANDED_OVER, W.RETURNED, lines=(1, 2)))], Status.FULFILLED),
])
def test_the_status_follows_from_the_lines(orders: list[Placed], expected: Status) -> None:
    assert status_of(line_states(ITEMS, orders), orders, {}) is expected


def test_it_is_settled_once_the_fund_pays_for_exactly_what_the_patient_has() -> None:
    whole, other = confirmed(said(order(1, FIRST), W.HANDED_OVER)), confirmed(said(order(2, SECOND), W.HANDED_OVER))
    lines = line_states(ITEMS, [whole, other])
    assert status_of(lines, [whole, other], {whole.id: settled(whole)}) is Status.FULFILLED
    assert status_of(lines, [whole, other], {whole.id: settled(whole), other.id: settled(other)}) is Status.SETTLED
    back = said(whole, W.RETURNED, lines=(1,))
    paid = {whole.id: settled(whole), other.id: settled(other)}
    assert status_of(line_states(ITEMS, [back, other]), [back, other], paid) is Status.FULFILLED
    paid[whole.id] = replace(paid[whole.id], reversed=True)
    assert status_of(line_states(ITEMS, [back, other]), [back, other], paid) is Status.SETTLED


def test_nothing_follows_where_all_is_given_up() -> None:
    assert status_of(line_states(ITEMS, [], [granted()]), [], {}) is None

