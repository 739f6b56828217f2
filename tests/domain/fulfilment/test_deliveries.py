"""A courier's words in any order lead where the words in their order lead, and no word leads where no way does."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fulfilment.deliveries import (
    CALLABLE,
    DELIVERY_TRANSITIONS,
    ENDED,
    OUTCOMES,
    REACHABLE,
    Delivery,
    Standing,
    delivery_id,
    moved,
    order_and_number,
    standing,
)
from domain.fulfilment.deliveries import DeliveryStatus as S

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
FULL = [(S.ASSIGNED, 0), (S.COLLECTED, 0), (S.IN_TRANSIT, 1), (S.ARRIVED, 1), (S.ATTEMPT_FAILED, 1), (S.IN_TRANSIT, 2),
        (S.ARRIVED, 2), (S.ATTEMPT_FAILED, 2), (S.HELD_AT_POINT, 0), (S.RETURNING, 0), (S.RETURNED, 0)]
"""All that can happen to a parcel that nobody takes."""
Word = tuple[S, int]


def at(status: S, attempt: int = 0) -> Delivery:
    return Delivery(1, "jisong", status, attempt, said_at=NOON)


CASES = {
    "the next step": (S.ARRIVED, 1, S.SIGNED, 1, Standing.FORWARD),
    "steps between are left out": (S.ASSIGNED, 0, S.SIGNED, 1, Standing.FORWARD),
    "the courier's word overtakes its yes": (S.REQUESTED, 0, S.COLLECTED, 0, Standing.FORWARD),
    "said again": (S.ARRIVED, 1, S.ARRIVED, 1, Standing.LATE),
    "overtaken": (S.ARRIVED, 1, S.IN_TRANSIT, 1, Standing.LATE),
    "overtaken by the next attempt": (S.IN_TRANSIT, 2, S.ATTEMPT_FAILED, 1, Standing.LATE),
    "the second attempt": (S.ATTEMPT_FAILED, 1, S.IN_TRANSIT, 2, Standing.FORWARD),
    "a third attempt (E-10)": (S.ATTEMPT_FAILED, 2, S.IN_TRANSIT, 3, Standing.BAD),
    "held after the second attempt": (S.ATTEMPT_FAILED, 2, S.HELD_AT_POINT, 0, Standing.FORWARD),
    "collected at the point": (S.HELD_AT_POINT, 2, S.SIGNED, 0, Standing.FORWARD),
    "goes back": (S.HELD_AT_POINT, 2, S.RETURNING, 0, Standing.FORWARD),
    "signed on the way back": (S.RETURNING, 2, S.SIGNED, 0, Standing.BAD),
    "late after the end": (S.SIGNED, 1, S.ARRIVED, 1, Standing.LATE),
    "another end": (S.SIGNED, 1, S.RETURNED, 0, Standing.BAD),
    "signed after it was lost": (S.LOST, 1, S.SIGNED, 1, Standing.BAD),
    "the same end again": (S.SIGNED, 1, S.SIGNED, 2, Standing.LATE),
    "cancelled after it was collected": (S.IN_TRANSIT, 1, S.CANCELLED, 0, Standing.BAD),
    "lost at the door": (S.HELD_AT_POINT, 2, S.LOST, 0, Standing.BAD),
}


@pytest.mark.parametrize(("status", "attempt", "word", "about", "expected"), CASES.values(), ids=list(CASES))
def test_what_a_word_is(status: S, attempt: int, word: S, about: int, expected: Standing) -> None:
    assert standing(at(status, attempt), word, about, NOON + timedelta(minutes=1)) is expected


@pytest.mark.parametrize(("minutes", "expected"), [(1, Standing.FORWARD), (-1, Standing.LATE), (0, Standing.LATE)])
def test_from_an_exception_a_courier_goes_on_and_only_time_tells_that_from_a_late_word(minutes: int, expected: Standing) -> None:
    assert standing(at(S.EXCEPTION, 1), S.IN_TRANSIT, 1, NOON + timedelta(minutes=minutes)) is expected


def follow(words: list[Word]) -> Delivery:
    seen = at(S.REQUESTED)
    for minute, (status, attempt) in enumerate(words):
        when = NOON + timedelta(minutes=minute)
        if standing(seen, status, attempt, when) is Standing.FORWARD:
            seen = moved(seen, status, attempt, when, heard_at=when)
    return seen


@given(st.data())
def test_words_in_any_order_twice_and_late_lead_to_the_same_end(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(FULL[:-1])).map(lambda some: [*some, FULL[-1]]).flatmap(st.permutations))
    extra = data.draw(st.lists(st.sampled_from(FULL)))
    assert follow([*words, *extra]).status is S.RETURNED


@given(st.lists(st.tuples(st.sampled_from(list(S)), st.integers(0, 4)), max_size=12))
def test_a_delivery_only_goes_where_a_way_leads_and_stays_where_it_ended(words: list[Word]) -> None:
    path = [follow(words[:length]) for length in range(len(words) + 1)]
    for before, after in pairwise(path):
        assert after.status is before.status or after.status in REACHABLE[before.status]
        assert before.live or after == before
        assert after.attempt <= 2 or after.status not in (S.IN_TRANSIT, S.ARRIVED, S.ATTEMPT_FAILED, S.EXCEPTION)


def test_the_words_of_the_table_are_those_of_the_machine() -> None:
    assert set(FULL) & {(status, 0) for status in ENDED} == {(S.RETURNED, 0)}
    assert {status for status, word in OUTCOMES.items() if word == "handed_over"} == {S.SIGNED}
    assert not CALLABLE & ENDED
    assert all(after in DELIVERY_TRANSITIONS for several in DELIVERY_TRANSITIONS.values() for after in several)


@pytest.mark.parametrize("text", ["", "ord_1", "ord_1:", ":1", "ord_1:x", "ord_1:１", "ord_1:12345"])
def test_a_text_that_is_no_key_is_none(text: str) -> None:
    assert order_and_number(text) is None or text == ":1"


def test_a_key_names_its_order_and_number() -> None:
    assert order_and_number(delivery_id("ord_a_2", 3)) == ("ord_a_2", 3)
