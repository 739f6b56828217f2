"""What the sweep finds is what somebody left behind, and a person's word tries again what was refused."""

import asyncio
from contextlib import suppress

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.errors import Refused
from domain.events import Event
from domain.lifecycle import Status
from infra.db import effects, history, inbox, orders, prescriptions
from infra.db.rows import IntentRow, OrderRow, PrescriptionRow
from tasks.upkeep import Swept, redrive, sweep
from tests.support.city import OPERATOR, Plug, SimulatedCrash, admit, cancel_by_hospital, make_city
from tests.support.line import Line

NOTHING = Swept(0, 0, 0, 0, 0)


@pytest.fixture
def plug():
    return Plug()


@pytest.fixture
def line(tmp_path, plug):
    made = Line(make_city(tmp_path, boundary=plug))
    yield made
    made.city.db.close()


def swept(line):
    return asyncio.run(sweep(line.city))


def put_to_sleep(line, rx_id):
    """What a bug or a lost nudge leaves behind: nobody will look at it again."""
    with line.city.db.transaction() as session:
        history.wait(session, prescriptions.load(session, rx_id).head, until=None, waiting_for="")


def due(line, rx_id):
    with line.city.db.reading() as session:
        wake_at = prescriptions.load(session, rx_id).wake_at
    return wake_at is not None and wake_at <= line.clock.at


def test_on_a_healthy_day_there_is_nothing_to_sweep(line):
    ids = admit(line.city, 3)
    line.hop(ids[0])
    line.to_settled(ids[1])
    cancel_by_hospital(line.city, 3)
    line.clock.advance(minutes=5)
    assert swept(line) == NOTHING


def test_what_the_platform_owes_and_no_clock_will_wake_is_woken(line):
    (rx_id,) = admit(line.city)
    put_to_sleep(line, rx_id)
    assert swept(line) == Swept(1, 0, 0, 0, 0)
    assert due(line, rx_id)
    assert swept(line) == NOTHING


def test_what_others_owe_or_nobody_is_left_alone(line):
    waiting, over = admit(line.city, 2)
    line.hop(waiting)
    put_to_sleep(line, waiting)
    cancel_by_hospital(line.city, 2)
    assert swept(line) == NOTHING
    assert not due(line, waiting)
    assert not due(line, over)


def test_an_unknown_outcome_nobody_will_ask_about_is_asked_about(line, plug):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    chain = line.chain("ankang")
    plug.pull_when(lambda: chain.calls[-1:] == ["place"])
    with pytest.raises(SimulatedCrash):
        line.hop(rx_id)
    with line.city.db.transaction() as session:  # and the nudge that would have come is lost too
        session.execute(sa.update(PrescriptionRow).values(wake_at=None))
    assert swept(line).unknown_outcomes == 0, "it is only just unknown"
    with line.city.db.transaction() as session:
        session.execute(sa.update(PrescriptionRow).values(wake_at=None))
    line.clock.advance(minutes=2)
    assert swept(line).unknown_outcomes == 1
    assert due(line, rx_id)
    line.hop(rx_id)
    assert (line.status(rx_id), chain.calls.count("place")) == (Status.FULFILLING, 1)


def test_an_attempt_that_is_already_planned_is_not_hurried(line):
    """Or every sweep would void the pause between two attempts."""
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    cancel_by_hospital(line.city, 1)
    line.chain(placed.order.chain).silent = True
    for seconds in (0, 10, 30, 120, 0):  # In the last one who cancelled is told that there is no answer.
        line.clock.advance(seconds=seconds)
        line.hop(rx_id)
    line.clock.advance(minutes=2)
    assert swept(line) == NOTHING
    assert not due(line, rx_id)


def orphan(line):
    """A hold at the chain whose prescription is over; only a bug or a hand in the database makes one."""
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    chain.book[placed.id].status = ChainWord.HELD
    with line.city.db.transaction() as session:
        session.execute(sa.update(OrderRow).values(status=ChainWord.HELD))
        history.append(session, prescriptions.load(session, rx_id).head, to=Status.EXPIRED, actor="clock", event=Event.CLOSED,
                       at=line.clock.at, wake_at=None)
    line.clock.advance(minutes=2)
    return chain, placed.id


def test_stock_held_for_nobody_is_let_go_once(line):
    chain, order_id = orphan(line)
    assert swept(line).orphan_holds == 1
    assert chain.book[order_id].status is ChainWord.CANCELLED
    with line.city.db.reading() as session:
        assert orders.get(session, order_id).word is ChainWord.CANCELLED
    assert swept(line) == NOTHING


def test_a_hold_that_cannot_be_let_go_now_is_let_go_by_a_later_sweep(line):
    chain, _ = orphan(line)
    chain.silent = True
    assert swept(line).orphan_holds == 0
    chain.silent = False
    line.clock.advance(minutes=2)
    assert swept(line).orphan_holds == 1


def test_old_nonces_are_forgotten(line):
    with line.city.db.transaction() as session:
        inbox.spend_nonce(session, "ankang", "n", line.clock.at)
    assert swept(line).nonces == 0
    line.clock.advance(hours=2)
    assert swept(line).nonces == 1


@pytest.mark.parametrize("boundary", [1, 2, 3, 4, 5, 6, 7])
def test_a_sweep_that_crashes_is_finished_by_the_next(line, plug, boundary):
    chain, order_id = orphan(line)
    plug.pull_at(boundary)
    with suppress(SimulatedCrash):
        swept(line)
    line.clock.advance(minutes=2)
    plug.pull_at(0)
    swept(line)
    assert chain.book[order_id].status is ChainWord.CANCELLED
    with line.city.db.reading() as session:
        assert orders.get(session, order_id).word is ChainWord.CANCELLED
        assert effects.open_intents(session, line.clock.at) == []


# --- a person's word ---


def refused_settlement(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.payer.refuse_next("claim", "settle")
    found = line.hop(rx_id)
    assert (found.error, found.alarming) == ("Refused:claim", True)
    return rx_id


def test_what_the_fund_refused_is_not_asked_again_by_itself(line):
    rx_id = refused_settlement(line)
    asked = line.payer.calls.count("settle")
    for _ in range(3):
        line.clock.advance(minutes=20)
        assert line.hop(rx_id).error == "Refused:claim"
    assert line.payer.calls.count("settle") == asked


def test_on_a_persons_word_it_is_asked_again_under_another_reference(line):
    rx_id = refused_settlement(line)
    with line.city.db.reading() as session:
        first = session.scalars(sa.select(IntentRow.version).where(IntentRow.step == "settle")).one()
    line.clock.advance(minutes=20)
    assert redrive(line.city, rx_id, OPERATOR) is Status.FULFILLED
    assert due(line, rx_id)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    (row,) = line.payer.book
    assert row.reference != first


def test_a_person_may_wake_anything_that_is_open_and_it_is_written_down(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    assert redrive(line.city, rx_id, OPERATOR) is Status.IN_REVIEW
    line.hop(rx_id)
    assert line.status(rx_id) is Status.IN_REVIEW, "what ends a wait is still decided by the step that waits"
    with line.city.db.reading() as session:
        assert prescriptions.load(session, rx_id).wake_at is not None


def test_nothing_is_owed_to_what_is_over_or_unknown(line):
    (rx_id,) = admit(line.city)
    cancel_by_hospital(line.city, 1)
    with pytest.raises(Refused) as caught:
        redrive(line.city, rx_id, OPERATOR)
    assert caught.value.code == "not_open"
    with pytest.raises(KeyError):
        redrive(line.city, "rx_unknown", OPERATOR)


def test_the_sweep_leaves_a_back_off_alone(line):
    rx_id = line.unsettled()
    line.clock.advance(seconds=70)
    line.hop(rx_id)
    due = line.row(rx_id).wake_at
    asyncio.run(sweep(line.city))
    assert line.row(rx_id).wake_at == due
