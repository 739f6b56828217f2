"""What crosses on the way: a crash and a callback, a cancel and a handover, a word and the one before it."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.events import Event
from domain.lifecycle import Money, Status
from infra.db import prescriptions
from infra.db.rows import HistoryRow, IntentRow
from tasks import line as work
from tasks.settlement.reconciliation import reconcile_day
from tasks.upkeep import sweep
from tests.support.city import Plug, SimulatedCrash, admit, cancel_by_hospital, make_city
from tests.tasks.line import Line


@pytest.fixture
def plug():
    return Plug()


@pytest.fixture
def line(tmp_path, plug):
    return Line(make_city(tmp_path, boundary=plug))


def crashed_after_placing(line, plug):
    """The chain has the order; the worker died before it wrote down the answer."""
    (rx_id,) = admit(line.city, sample="home_delivery")
    line.hop(rx_id)
    line.review(rx_id)
    plug.pull_when(lambda: line.chain("ankang").calls[-1:] == ["place"])
    with pytest.raises(SimulatedCrash):
        line.hop(rx_id)
    assert line.status(rx_id) is Status.ALLOCATING
    return rx_id


def orders_in_the_chains(line):
    return [held.status for slug in ("ankang", "baicao") for held in line.chain(slug).book.values()]


def open_intents(line):
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(IntentRow.step).where(IntentRow.answered_at.is_(None))))


def due(line):
    with line.city.db.transaction() as session:
        return [one.id for one in prescriptions.lease_due(session, "worker", at=line.city.now(),
                                                          lease=timedelta(0), limit=10)]


# --- a crash between the chain's yes and our knowing it ---


@pytest.mark.parametrize("word", [ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER])
def test_a_handover_during_our_crash_is_not_ordered_a_second_time(line, plug, word):
    rx_id = crashed_after_placing(line, plug)
    line.say(rx_id, word)
    line.hop(rx_id)
    assert orders_in_the_chains(line) == [word]
    assert line.status(rx_id) is (Status.SETTLED if word is ChainWord.HANDED_OVER else Status.FULFILLING)


@pytest.mark.parametrize("word", [ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER])
@pytest.mark.parametrize("told", [True, False], ids=["callback", "silence"])
def test_what_the_patient_has_or_will_have_does_not_expire(line, plug, word, told):
    rx_id = crashed_after_placing(line, plug)
    if told:
        line.say(rx_id, word)
    else:
        line.chain("ankang").update(line.order(rx_id).id, word)
    line.clock.advance(days=4)
    line.hop(rx_id)
    assert line.status(rx_id) is (Status.SETTLED if word is ChainWord.HANDED_OVER else Status.FULFILLING)


@pytest.mark.parametrize("word", [ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER])
def test_a_cancel_after_a_handover_during_our_crash_is_refused(line, plug, word):
    rx_id = crashed_after_placing(line, plug)
    line.say(rx_id, word)
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert line.status(rx_id) is (Status.SETTLED if word is ChainWord.HANDED_OVER else Status.FULFILLING)
    line.deliver()
    reports = line.city.hospitals["jinan_first"].reports.values()
    assert "cancel_refused" in {report["status"] for report in reports}


# --- an unknown outcome that something else has answered ---


def lost_cancel(line):
    """The hospital cancels, and nobody knows whether the chain has heard of it."""
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    cancel_by_hospital(line.city, 1)
    line.chain(placed.order.chain).silent = True
    assert line.hop(rx_id).error == "OutcomeUnknown"
    assert open_intents(line) == ["cancel"]
    line.chain(placed.order.chain).silent = False
    return rx_id


def test_a_handover_answers_the_cancel_nobody_heard_of(line):
    rx_id = lost_cancel(line)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert (line.status(rx_id), open_intents(line)) == (Status.SETTLED, [])


def test_a_decline_answers_the_cancel_nobody_heard_of(line):
    rx_id = lost_cancel(line)
    line.say(rx_id, ChainWord.DECLINED)
    line.hop(rx_id)
    assert (line.status(rx_id), open_intents(line)) == (Status.CANCELLED, [])


def test_a_cancelled_order_leaves_no_unknown_outcome_behind(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.chain("ankang").only = frozenset({"place", "find"})
    line.chain("ankang").silent = True
    assert line.hop(rx_id).error == "OutcomeUnknown"
    assert open_intents(line) == ["place"]
    line.chain("ankang").silent = False
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert (line.status(rx_id), open_intents(line)) == (Status.CANCELLED, [])
    line.clock.advance(minutes=5)
    assert asyncio.run(sweep(line.city)).unknown_outcomes == 0


def test_a_withdrawal_nobody_heard_of_is_finished_though_the_pharmacy_said_yes_meanwhile(line, plug):
    line.chain("ankang").minutes = 1
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain("ankang")
    yes = chain.body(chain.update(placed.id, ChainWord.ACCEPTED, at=line.city.now()))
    line.clock.advance(minutes=11)
    plug.pull_when(lambda: chain.calls[-1:] == ["cancel"])
    with pytest.raises(SimulatedCrash):
        line.hop(rx_id)
    line.send("ankang", yes)
    line.clock.advance(minutes=2)
    asyncio.run(sweep(line.city))
    line.hop(rx_id)
    assert open_intents(line) == []
    assert [held.status for held in chain.book.values()] == [ChainWord.CANCELLED]
    assert line.order(rx_id).order.chain == "baicao"


# --- the fund's no is not the chain's ---


def test_the_funds_no_to_a_pre_settlement_is_a_persons_business_and_keeps_the_hold(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.payer.refuse_next("claim", "pre_settle")
    first = line.hop(rx_id)
    assert (first.error, first.alarming) == ("NeedsOperator:claim", True)
    assert orders_in_the_chains(line) == [ChainWord.HELD]
    line.clock.advance(minutes=1)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert orders_in_the_chains(line) == [ChainWord.ORDERED]


def test_the_hold_is_let_go_when_the_fund_keeps_saying_no_until_the_validity_is_over(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.payer.refuse_next("claim", "pre_settle")
    line.hop(rx_id)
    line.clock.advance(days=4)
    line.hop(rx_id)
    assert (line.status(rx_id), orders_in_the_chains(line)) == (Status.EXPIRED, [ChainWord.CANCELLED])


# --- words that overtake each other ---


def test_a_return_that_overtakes_its_handover_is_asked_for_again(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    line.say(rx_id, ChainWord.ACCEPTED)
    back = chain.body(chain.update(placed.id, ChainWord.RETURNED, at=line.city.now()))
    assert line.send(chain.slug, back).status == 503
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert b"applied" in line.send(chain.slug, back).body
    line.hop(rx_id)
    assert sum(row.total for row in line.payer.book) == 0


def test_an_order_back_from_the_door_can_be_cancelled_after_all(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.IN_DELIVERY)
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    line.chain(line.order(rx_id).order.chain).update(line.order(rx_id).id, ChainWord.DECLINED)
    cancel_by_hospital(line.city, 1, key="C-again")
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CANCELLED


def test_what_is_still_on_its_way_after_its_time_is_waited_for_in_peace(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.IN_DELIVERY)
    line.clock.advance(hours=30)
    assert line.hop(rx_id).error == ""
    line.chain(line.order(rx_id).order.chain).update(line.order(rx_id).id, ChainWord.HANDED_OVER)
    line.clock.advance(minutes=11)
    assert due(line) == [rx_id], "the chain is asked again, should its callback be lost"
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED


# --- nobody sleeps for ever, and nobody never ---


def test_a_finished_prescription_is_never_due_again(line):
    (rx_id,) = admit(line.city)
    cancel_by_hospital(line.city, 1)
    with line.city.db.transaction() as session:
        prescriptions.wake(session, rx_id, line.city.now())
    assert due(line) == []


def test_a_day_that_moved_on_while_it_was_compared_is_not_reconciled(line):
    """A settlement between our totals and the fund's answer was in neither."""
    first, second = admit(line.city, 2)
    line.to_settled(first)
    line.to_fulfilling(second)
    line.say(second, ChainWord.HANDED_OVER)
    compare = line.payer.reconcile

    async def reconcile(totals):
        answer = await compare(totals)
        await asyncio.to_thread(line.hop, second)
        return answer

    line.payer.reconcile = reconcile
    asyncio.run(reconcile_day(line.city))
    newest = {rx_id: line.claim(rx_id).status for rx_id in (first, second)}
    assert newest[second] is Money.SETTLED
    line.payer.reconcile = compare
    asyncio.run(reconcile_day(line.city))
    assert {line.claim(rx_id).status for rx_id in (first, second)} == {Money.RECONCILED}


def test_a_trouble_somebody_else_overtook_is_not_raised(tmp_path, postgres_url):
    """A callback lands between the failure and writing it down."""
    line = Line(make_city(tmp_path, postgres_url))
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    cancel_by_hospital(line.city, 1)
    chain = line.chain(line.order(rx_id).order.chain)
    chain.silent = True
    words = iter([ChainWord.ACCEPTED, ChainWord.PREPARED])
    after = line.city.after

    def overtaken(**duration):
        line.say(rx_id, next(words))
        return after(**duration)

    object.__setattr__(line.city, "after", overtaken)
    assert line.hop(rx_id).error == "OutcomeUnknown"
    with line.city.db.reading() as session:
        events = list(session.scalars(sa.select(HistoryRow.reason).where(HistoryRow.prescription_id == rx_id)))
    assert Event.ORDER_UPDATE in events
    line.city.db.close()


# --- what moved between the look at a batch and its step ---


@pytest.mark.parametrize("way", ["reviewed", "settled"])
def test_what_moved_since_the_batch_was_looked_at_is_noticed_by_its_step(line, monkeypatch, way):
    """Steps say where they expect it; so it is read again, and is nobody's fault."""
    (rx_id,) = admit(line.city)
    if way == "reviewed":
        seen = line.status(rx_id)
        line.hop(rx_id)
        line.review(rx_id)
        after = Status.FULFILLING
    else:
        line.to_fulfilling(rx_id)
        seen = line.status(rx_id)
        line.say(rx_id, ChainWord.HANDED_OVER)
        line.hop(rx_id)
        after = Status.SETTLED
    monkeypatch.setattr(work, "_whereabouts", lambda _city, ids: dict.fromkeys(ids, seen))
    done = line.hop(rx_id)
    assert (done.error, line.status(rx_id)) == ("", after)
