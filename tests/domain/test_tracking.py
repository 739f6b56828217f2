"""What a patient reads about a prescription: a step and a sentence for every status, in both languages."""

import pytest

from domain.chains import ChainWord
from domain.events import Wait
from domain.fulfilment.deliveries import DeliveryStatus
from domain.lifecycle import Status
from domain.prescription import Handover
from domain.tracking import (
    AT_COUNTER,
    AT_PHARMACY,
    BROUGHT_BACK,
    ENDS,
    MEANWHILE,
    OWED,
    SHORT,
    STEPS,
    Step,
    done,
    of_order,
    sentence,
    step_of,
)

A, B = ChainWord.ACCEPTED, ChainWord.PREPARED


def test_every_status_and_every_word_of_a_chain_has_a_sentence() -> None:
    assert ENDS.keys() | MEANWHILE.keys() == set(Status)
    assert not ENDS.keys() & MEANWHILE.keys()
    assert set(AT_PHARMACY) == set(ChainWord)
    assert set(STEPS) == set(Step)


@pytest.mark.parametrize(("status", "words", "step"), [
    (Status.RECEIVED, (), Step.CHECKED),
    (Status.IN_REVIEW, (), Step.CHECKED),
    (Status.REVIEWED, (), Step.ALLOCATED),
    (Status.ALLOCATING, (), Step.ALLOCATED),
    (Status.ALLOCATING, (ChainWord.DECLINED,), Step.ALLOCATED),
    (Status.ALLOCATING, (ChainWord.HANDED_OVER,), Step.ALLOCATED),
    (Status.FULFILLING, (ChainWord.ORDERED,), Step.PREPARED),
    (Status.FULFILLING, (ChainWord.DECLINED, A), Step.PREPARED),
    (Status.FULFILLING, (B,), Step.RECEIVED),
    (Status.FULFILLING, (B, A), Step.PREPARED),
    (Status.FULFILLING, (ChainWord.HANDED_OVER, ChainWord.IN_DELIVERY), Step.RECEIVED),
    (Status.FULFILLED, (ChainWord.HANDED_OVER,), None),
    (Status.CLOSED, (ChainWord.RETURNED,), None),
    (Status.CANCELLED, (), None),
])
def test_the_step_under_way(status: Status, words: tuple[ChainWord, ...], step: Step | None) -> None:
    assert step_of(status, words) is step


@pytest.mark.parametrize(("status", "step", "behind"), [
    (Status.IN_REVIEW, Step.CHECKED, {Step.PRESCRIBED}),
    (Status.FULFILLING, Step.RECEIVED, set(Step) - {Step.RECEIVED}),
    (Status.SETTLED, None, set(Step)),
    (Status.REFUSED, None, {Step.PRESCRIBED}),
])
def test_the_steps_behind_it(status: Status, step: Step | None, behind: set[Step]) -> None:
    assert done(status, step) == behind


@pytest.mark.parametrize(("status", "waiting_for", "words", "handover", "expected"), [
    (Status.REFUSED, "", (), Handover.HOME, ENDS[Status.REFUSED]),
    (Status.IN_REVIEW, Wait.DECISION, (), Handover.HOME, MEANWHILE[Status.IN_REVIEW]),
    (Status.ALLOCATING, Wait.FILLER, (), Handover.HOME, SHORT),
    (Status.ALLOCATING, Wait.FILLER, (ChainWord.HANDED_OVER,), Handover.HOME, OWED),
    (Status.FULFILLING, Wait.FILLER, (ChainWord.ACCEPTED,), Handover.HOME, SHORT),
    (Status.FULFILLING, Wait.RECEIPT, (B,), Handover.PICKUP, AT_COUNTER),
    (Status.FULFILLING, Wait.RECEIPT, (B,), Handover.HOME, AT_PHARMACY[B]),
    (Status.FULFILLING, Wait.RECEIPT, (B, A), Handover.PICKUP, AT_PHARMACY[A]),
    (Status.FULFILLING, Wait.CANDIDATE, (ChainWord.DECLINED,), Handover.PICKUP, MEANWHILE[Status.ALLOCATING]),
    (Status.SETTLED, Wait.RETURN_WINDOW, (ChainWord.HANDED_OVER,), Handover.HOME, MEANWHILE[Status.SETTLED]),
    (Status.CLOSED, "", (ChainWord.RETURNED,), Handover.HOME, BROUGHT_BACK),
])
def test_the_sentence(status, waiting_for, words, handover, expected) -> None:
    assert sentence(status, waiting_for, words, handover) == expected


def test_the_sentence_of_the_slowest_order_says_what_its_courier_or_its_step_says() -> None:
    waits = of_order(ChainWord.IN_DELIVERY, Handover.HOME, DeliveryStatus.HELD_AT_POINT, point=True)
    orders = {ChainWord.IN_DELIVERY: waits}
    assert sentence(Status.FULFILLING, Wait.RECEIPT, (ChainWord.IN_DELIVERY,), Handover.HOME, orders) == waits
    assert sentence(Status.FULFILLING, Wait.RECEIPT, (ChainWord.IN_DELIVERY, A), Handover.HOME, orders) == AT_PHARMACY[A]
