"""What a chain's word changes: the order, its parcel, or a return. It never goes back."""

from decimal import Decimal

import pytest

from domain.chains import ChainWord as W
from domain.fulfilment.orders import ALIVE, GONE, MEANINGS, ORDER_TRANSITIONS, OrderStatus, advanced
from domain.fulfilment.parcels import PARCEL_TRANSITIONS, ParcelStatus
from domain.fulfilment.portions import Portion
from domain.fulfilment.returns import RETURN_TRANSITIONS, ReturnStatus
from domain.fulfilment.wishes import WISH_TRANSITIONS
from tests.domain.fulfilment.cases import NOW, order, said

WORDS_AFTER = {
    W.HELD: {W.ORDERED, W.ACCEPTED, W.PREPARED, W.IN_DELIVERY, W.HANDED_OVER, W.DECLINED, W.CANCELLED},
    W.ORDERED: {W.ACCEPTED, W.PREPARED, W.IN_DELIVERY, W.HANDED_OVER, W.DECLINED, W.CANCELLED},
    W.ACCEPTED: {W.PREPARED, W.IN_DELIVERY, W.HANDED_OVER, W.DECLINED, W.CANCELLED},
    W.PREPARED: {W.IN_DELIVERY, W.HANDED_OVER, W.DECLINED, W.CANCELLED},
    W.IN_DELIVERY: {W.HANDED_OVER, W.DECLINED, W.CANCELLED},
    W.HANDED_OVER: {W.RETURNED},
    W.DECLINED: set(),
    W.CANCELLED: set(),
    W.RETURNED: {W.RETURNED},
}
"""The words that may follow one another, whatever machines they move."""
PORTIONS = (Portion(1, Decimal(28)), Portion(2, Decimal(10)))


@pytest.mark.parametrize("start", list(W))
@pytest.mark.parametrize("word", list(W))
def test_words_follow_one_another_and_never_go_back(start: W, word: W) -> None:
    placed = order(1, *PORTIONS)
    placed = said(said(placed, W.HANDED_OVER), W.RETURNED, lines=(1,)) if start is W.RETURNED else said(placed, start)
    assert placed.word is start
    change = advanced(placed, word, at=NOW, returned=(2,))
    assert (change is not None) is (word in WORDS_AFTER[start])
    if change:
        assert said(placed, word, lines=(2,)).word is word


def test_a_word_moves_only_what_it_is_about() -> None:
    packed = said(order(1, *PORTIONS), W.PREPARED)
    on_the_way = advanced(packed, W.IN_DELIVERY, at=NOW)
    assert on_the_way is not None
    assert (on_the_way.order, on_the_way.back) == (None, None)
    assert on_the_way.parcel is not None
    assert on_the_way.parcel.status is ParcelStatus.ON_THE_WAY
    accepted = advanced(order(1, *PORTIONS), W.ACCEPTED, at=NOW)
    assert accepted is not None
    assert (accepted.order, accepted.parcel) == (OrderStatus.ACCEPTED, None)


def test_an_order_that_ends_without_medicine_is_unpacked() -> None:
    (parcel,) = said(order(1, *PORTIONS), W.IN_DELIVERY, W.DECLINED).parcels
    assert parcel.status is ParcelStatus.UNPACKED
    assert said(order(1, *PORTIONS), W.ACCEPTED, W.CANCELLED).parcels == ()


def test_a_return_takes_only_what_the_patient_still_has() -> None:
    placed = said(said(order(1, *PORTIONS), W.HANDED_OVER), W.RETURNED, lines=(1,), reason="quality")
    assert (placed.kept, placed.returned) == (PORTIONS[1:], PORTIONS[:1])
    again = advanced(placed, W.RETURNED, at=NOW, returned=(1, 2))
    assert again is not None
    assert again.back is not None
    assert (again.back.number, again.back.portions, again.back.status) == (2, PORTIONS[1:], ReturnStatus.BROUGHT_BACK)


def test_what_is_over_never_comes_alive_again() -> None:
    for status in set(OrderStatus) - ALIVE:
        assert not ORDER_TRANSITIONS[status] & ALIVE
    assert not any(ORDER_TRANSITIONS[status] for status in GONE)
    assert PARCEL_TRANSITIONS[ParcelStatus.HANDED_OVER] == frozenset()
    assert RETURN_TRANSITIONS[ReturnStatus.REFUNDED] == frozenset()
    assert all(start not in ends for start, ends in WISH_TRANSITIONS.items())


def test_words_that_end_an_order_without_medicine_say_nothing_is_packed() -> None:
    assert {word for word, meaning in MEANINGS.items() if meaning.order in GONE} == {W.DECLINED, W.CANCELLED}
    assert {word for word, meaning in MEANINGS.items() if meaning.parcel is ParcelStatus.HANDED_OVER} == {W.HANDED_OVER, W.RETURNED}
