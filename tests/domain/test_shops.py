"""What a shop's people may do with an order, and when a shop is open."""

from datetime import datetime, time

import pytest

from domain.chains import ChainWord
from domain.fulfilment.orders import MEANINGS, ORDER_TRANSITIONS
from domain.prescription import Handover
from domain.shops import ACTS, DECOCTIONS, DONE, WORDS, Act, Opening, reasons, supported_actions
from domain.words import CAUSES

HOME, PICKUP = Handover.HOME, Handover.PICKUP
TABLE = {
    (ChainWord.HELD, PICKUP): "",
    (ChainWord.HELD, HOME): "",
    (ChainWord.ORDERED, PICKUP): "accept decline",
    (ChainWord.ORDERED, HOME): "accept decline",
    (ChainWord.ACCEPTED, PICKUP): "prepare decline",
    (ChainWord.ACCEPTED, HOME): "prepare decline",
    (ChainWord.PREPARED, PICKUP): "hand_over decline",
    (ChainWord.PREPARED, HOME): "send_out decline",
    (ChainWord.IN_DELIVERY, PICKUP): "hand_over decline",
    (ChainWord.IN_DELIVERY, HOME): "hand_over decline",
    (ChainWord.HANDED_OVER, PICKUP): "take_back",
    (ChainWord.HANDED_OVER, HOME): "take_back",
    (ChainWord.RETURNED, PICKUP): "take_back",
    (ChainWord.RETURNED, HOME): "take_back",
    (ChainWord.DECLINED, PICKUP): "",
    (ChainWord.DECLINED, HOME): "",
    (ChainWord.CANCELLED, PICKUP): "",
    (ChainWord.CANCELLED, HOME): "",
}


def test_the_table_is_total() -> None:
    assert set(TABLE) == {(word, handover) for word in ChainWord for handover in Handover}


@pytest.mark.parametrize(("word", "handover"), TABLE)
def test_what_may_be_done_now(word: ChainWord, handover: Handover) -> None:
    wanted = tuple(map(Act, TABLE[word, handover].split()))
    assert supported_actions(word, handover, returnable=True) == wanted
    assert supported_actions(word, handover, returnable=False) == tuple(act for act in wanted if act is not Act.TAKE_BACK)


def test_what_may_be_done_is_a_step_that_an_order_can_make() -> None:
    for (word, handover), _ in TABLE.items():
        for act in supported_actions(word, handover, returnable=False):
            before, after = MEANINGS[word].order, MEANINGS[WORDS[act]].order
            assert after in ORDER_TRANSITIONS[before] or (act is Act.SEND_OUT and after is before), (word, act)


def test_every_act_has_a_word_for_the_order_and_words_for_people() -> None:
    assert set(ACTS) == set(DONE) == set(Act)
    assert set(WORDS) | set(DECOCTIONS) == set(Act)
    assert not set(WORDS) & set(DECOCTIONS)


def test_a_reason_is_one_of_our_codes_and_a_dispensed_medicine_is_not_taken_back_for_any_other() -> None:
    for word in ChainWord:
        for act in Act:
            assert set(reasons(act, word)) <= set(CAUSES)
            assert bool(reasons(act, word)) == (act in (Act.DECLINE, Act.TAKE_BACK))
    assert reasons(Act.TAKE_BACK, ChainWord.HANDED_OVER) == ("quality", "dispensing_error")
    assert "rejected_at_door" not in reasons(Act.DECLINE, ChainWord.ORDERED)


@pytest.mark.parametrize(("opens", "closes", "moment", "is_open"), [
    ("08:00", "20:00", "08:00", True), ("08:00", "20:00", "19:59", True), ("08:00", "20:00", "20:00", False),
    ("08:00", "20:00", "07:59", False), ("20:00", "06:00", "23:00", True), ("20:00", "06:00", "05:59", True),
    ("20:00", "06:00", "06:00", False), ("20:00", "06:00", "12:00", False), ("00:00", "00:00", "03:00", True),
])
def test_a_shop_is_open_in_its_hours_also_over_midnight(opens: str, closes: str, moment: str, is_open: bool) -> None:
    local = datetime.fromisoformat(f"2026-11-22T{moment}")
    hours = time.fromisoformat(opens), time.fromisoformat(closes)
    assert Opening(*hours).at(local) is is_open
    assert not Opening(*hours, on_duty=False).at(local)
    assert not Opening(*hours, shut=True).at(local)
