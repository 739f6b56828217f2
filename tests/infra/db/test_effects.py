"""What we were about to do is known before it is done, whatever became of it."""

import pytest

from domain.errors import NeedsOperator
from infra.db import Database, effects, history, prescriptions
from infra.db.effects import Effect, Intent
from tests.support.records import MINUTE, NOW, admitted, is_open


@pytest.fixture
def hold(db: Database) -> Effect:
    return Effect(admitted(db).id, "hold", "ord_1_1")


def intend(db: Database, effect: Effect, request: str = "a" * 64) -> Intent:
    with db.transaction() as session:
        return effects.intend(session, effect, partner="ankang", request_sha256=request, at=NOW)


def answer(db: Database, effect: Effect, refusal: str = "") -> None:
    with db.transaction() as session:
        effects.answered(session, effect, answer=None if refusal else {"value": 1}, refusal=refusal, at=NOW)


def unknown(db: Database) -> list[str]:
    with db.reading() as session:
        return effects.open_intents(session, NOW + MINUTE)


def test_an_intent_is_new_once_and_keeps_its_answer(db: Database, hold: Effect) -> None:
    assert intend(db, hold) == Intent(True, None, "")
    assert intend(db, hold) == Intent(False, None, "")
    answer(db, hold)
    assert intend(db, hold) == Intent(False, {"value": 1}, "")


def test_a_refusal_is_an_answer_until_a_person_has_it_tried_again(db: Database, hold: Effect) -> None:
    intend(db, hold)
    answer(db, hold, "closed")
    assert intend(db, hold) == Intent(False, None, "closed")
    with db.transaction() as session:
        assert effects.forget_refusals(session, hold.prescription_id) == [hold]
    assert intend(db, hold).new


def test_the_same_key_for_another_request_needs_an_operator(db: Database, hold: Effect) -> None:
    intend(db, hold)
    with pytest.raises(NeedsOperator) as caught:
        intend(db, hold, "b" * 64)
    assert caught.value.code == "intent_changed"
    answer(db, hold)
    with pytest.raises(NeedsOperator):
        intend(db, hold, "b" * 64)


def test_an_unanswered_intent_is_an_unknown_outcome_after_a_while_unless_a_next_attempt_is_due(
        db: Database, hold: Effect) -> None:
    intend(db, hold)
    assert unknown(db) == [], "it was admitted just now and is due"
    with db.transaction() as session:
        head = prescriptions.load(session, hold.prescription_id).head
        history.wait(session, head, until=None, waiting_for="nobody")
    with db.reading() as session:
        assert effects.open_intents(session, NOW) == []
        assert is_open(session, hold)
    assert unknown(db) == [hold.prescription_id]
    answer(db, hold, "closed")
    assert unknown(db) == []


def test_the_end_of_an_order_answers_its_own_effects_only(db: Database, hold: Effect) -> None:
    rx_id = hold.prescription_id
    place, cancel = Effect(rx_id, "place", "ord_1_1"), Effect(rx_id, "cancel", "ord_1_1:expired")
    others = [Effect(rx_id, "hold", "ord_1_10"), Effect(rx_id, "cancel", "ord_1_10:expired"),
              Effect(rx_id, "settle", "P1")]
    answer_known = Effect(rx_id, "hold", "ord_1_1")
    for effect in (place, cancel, answer_known, *others):
        intend(db, effect)
    answer(db, answer_known)
    with db.transaction() as session:
        effects.overtaken(session, rx_id, "ord_1_1", step="cancel", at=NOW)
        assert not is_open(session, cancel)
        assert is_open(session, place)
        effects.overtaken(session, rx_id, "ord_1_1", at=NOW)
        assert not is_open(session, place)
        assert all(is_open(session, effect) for effect in others)
    assert intend(db, answer_known).answer == {"value": 1}


def test_back_off_is_the_effects_own_and_ends_with_an_answer(db: Database, hold: Effect) -> None:
    other = Effect(hold.prescription_id, "hold", "ord_1_2")
    for effect in (hold, other):
        intend(db, effect)
    for attempt in (1, 2):
        with db.transaction() as session:
            effects.failed(session, hold, again_at=NOW + attempt * MINUTE, trouble="Transient:timeout")
    with db.reading() as session:
        unfinished = effects.unfinished(session, hold.prescription_id)
        assert {it.effect.version: (it.attempts, it.again_at, it.trouble) for it in unfinished} == {
            "ord_1_1": (2, NOW + 2 * MINUTE, "Transient:timeout"), "ord_1_2": (0, None, "")}
        assert effects.attempts(session, Effect(hold.prescription_id, "place", "ord_1_1")) is None
    answer(db, hold)
    with db.reading() as session:
        assert [it.effect for it in effects.unfinished(session, hold.prescription_id)] == [other]
        assert effects.attempts(session, hold) == 0


def test_a_person_has_what_failed_tried_at_once(db: Database, hold: Effect) -> None:
    intend(db, hold)
    with db.transaction() as session:
        effects.failed(session, hold, again_at=NOW + MINUTE, trouble="Transient:timeout")
        effects.hurry(session, hold.prescription_id)
    with db.reading() as session:
        (unfinished,) = effects.unfinished(session, hold.prescription_id)
    assert (unfinished.again_at, unfinished.attempts) == (None, 0)


def test_a_withdrawal_that_was_refused_counts_for_what_comes_next(db: Database, hold: Effect) -> None:
    cancel = Effect(hold.prescription_id, "cancel", "ord_1_1:no_answer")
    for effect in (hold, cancel):
        intend(db, effect)
        answer(db, effect, "too_late")
    with db.reading() as session:
        assert [(it.effect, it.refused) for it in effects.unfinished(session, hold.prescription_id)] == [(cancel, True)]
