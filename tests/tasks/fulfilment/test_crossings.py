"""What crosses on the way: a crash and a callback, a cancel and a handover, a word and the one before it."""

import asyncio

import pytest

from domain.chains import ChainWord
from domain.lifecycle import Status
from tasks.upkeep import sweep
from tests.support.city import Plug, SimulatedCrash, admit, cancel_by_hospital, make_city
from tests.support.line import Line


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


# --- a crash between the chain's yes and our knowing it ---


@pytest.mark.parametrize("word", [ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER])
def test_a_handover_during_our_crash_is_not_ordered_a_second_time(line, plug, word):
    rx_id = crashed_after_placing(line, plug)
    line.say(rx_id, word)
    line.hop(rx_id)
    assert line.orders_in_the_chains() == [word]
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
    if word is ChainWord.HANDED_OVER and not told:
        assert line.status(rx_id) is Status.FULFILLED, "its trace codes come with the chain's own word"
        line.say(rx_id, word)
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
    assert line.open_intents() == ["cancel"]
    line.chain(placed.order.chain).silent = False
    return rx_id


def test_a_handover_answers_the_cancel_nobody_heard_of(line):
    rx_id = lost_cancel(line)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert (line.status(rx_id), line.open_intents()) == (Status.SETTLED, [])


def test_a_decline_answers_the_cancel_nobody_heard_of(line):
    rx_id = lost_cancel(line)
    line.say(rx_id, ChainWord.DECLINED)
    line.hop(rx_id)
    assert (line.status(rx_id), line.open_intents()) == (Status.CANCELLED, [])


def test_a_cancelled_order_leaves_no_unknown_outcome_behind(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.chain("ankang").only = frozenset({"place", "find"})
    line.chain("ankang").silent = True
    assert line.hop(rx_id).error == "OutcomeUnknown"
    assert line.open_intents() == ["place"]
    line.chain("ankang").silent = False
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert (line.status(rx_id), line.open_intents()) == (Status.CANCELLED, [])
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
    assert line.open_intents() == []
    assert [held.status for held in chain.book.values()] == [ChainWord.CANCELLED]
    assert line.order(rx_id).order.chain == "baicao"


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
    assert line.due() == [rx_id], "the chain is asked again, should its callback be lost"
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLED, "its trace codes come with the chain's own word"
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED


def told_of_cancel(line) -> list[tuple[str, str]]:
    """Status and reason of what the hospital was told since the order was placed."""
    line.deliver()
    told = sorted(line.city.hospitals["jinan_first"].reports.values(), key=lambda report: report["at"])
    return [(report["status"], report["reason"]) for report in told if "cancel" in report["status"]]


@pytest.mark.parametrize(("in_the_end", "status", "told"), [
    (ChainWord.ACCEPTED, Status.CANCELLED, ("cancelled", "prescriber")),
    (ChainWord.IN_DELIVERY, Status.FULFILLING, ("cancel_refused", "cancel_too_late")),
])
def test_who_cancels_at_a_silent_pharmacy_hears_so_within_a_minute_and_its_answer_when_it_comes(line, in_the_end, status, told):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    chain.silent = True
    cancel_by_hospital(line.city, 1)
    began = line.clock()
    while (line.clock() - began).total_seconds() < 60:
        line.hop(rx_id)
        line.clock.advance(seconds=5)
    unanswered = ("cancel_refused", "cancel_unanswered")
    assert (line.status(rx_id), told_of_cancel(line)) == (Status.FULFILLING, [unanswered])
    chain.silent, chain.book[placed.id].status = False, in_the_end
    line.clock.advance(minutes=10)
    line.hop(rx_id)
    assert (line.status(rx_id), told_of_cancel(line)) == (status, [unanswered, told])
