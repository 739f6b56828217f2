"""A prescription's whole way, and its exits."""

from datetime import timedelta

import pytest

from domain.chains import ChainWord
from domain.lifecycle import Money, Status
from infra.db import inbox
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import Clock, admit, cancel_by_hospital, make_city
from tests.tasks.line import Line


@pytest.fixture
def line(tmp_path):
    return Line(make_city(tmp_path))


def newest_claim(line, rx_id):
    return line.claim(rx_id)


def test_a_prescription_goes_all_the_way(line):
    (rx_id,) = admit(line.city)
    placed = line.to_settled(rx_id)
    claim = newest_claim(line, rx_id)
    assert claim.status is Money.SETTLED
    assert [row.total for row in line.payer.book] == [placed.order.total]
    line.deliver()
    assert line.chain(placed.order.chain).notices[placed.id].total == placed.order.total
    told = line.city.hospitals["jinan_first"].reports
    assert {report["status"] for report in told.values()} == {"in_review", "fulfilling", "fulfilled", "settled"}


async def test_after_the_window_and_the_reconciliation_it_is_closed(tmp_path):
    line = Line(make_city(tmp_path))
    (rx_id,) = admit(line.city)
    await __import__("asyncio").to_thread(line.to_settled, rx_id)
    assert await reconcile_day(line.city)
    line.clock.advance(hours=2)
    await __import__("asyncio").to_thread(line.hop, rx_id)
    assert line.status(rx_id) is Status.CLOSED


def test_a_decline_moves_on_to_the_other_chain(line):
    (rx_id,) = admit(line.city)
    first = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="out_of_stock")
    line.hop(rx_id)
    second = line.order(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert second.order.chain != first.order.chain


def test_silence_moves_on_too_and_takes_the_first_order_back(line):
    line.chain("ankang").minutes = 1
    (rx_id,) = admit(line.city)
    first = line.to_fulfilling(rx_id)
    assert first.order.chain == "ankang"
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert line.order(rx_id).order.chain == "baicao"
    assert line.chain("ankang").book[first.id].status is ChainWord.CANCELLED


def test_nobody_has_it_so_it_waits_and_then_expires(line):
    for slug in ("ankang", "baicao"):
        line.chain(slug).stock = {"D001": 0, "D032": 0, "D048": 0}
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.ALLOCATING
    line.clock.advance(days=4)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.EXPIRED


def test_a_whole_return_reverses_the_claim(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, reason="quality")
    line.hop(rx_id)
    claim = newest_claim(line, rx_id)
    assert (line.status(rx_id), claim.status, claim.reversed) == (Status.SETTLED, Money.REVERSED, True)
    assert sum(row.total for row in line.payer.book) == 0


def test_a_partial_return_reverses_and_settles_the_rest(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, reason="quality", lines=(1,))
    line.hop(rx_id)
    claim = newest_claim(line, rx_id)
    assert (claim.version, claim.status, claim.portions) == (2, Money.SETTLED, placed.portions[1:])
    assert sum(row.total for row in line.payer.book) == placed.order.lines[1].amount


def test_a_cancel_in_fulfilment_asks_the_chain(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CANCELLED
    assert line.chain(placed.order.chain).book[placed.id].status is ChainWord.CANCELLED


def test_a_cancel_that_comes_too_late_changes_nothing(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    line.chain(placed.order.chain).book[placed.id].status = ChainWord.HANDED_OVER
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED


def test_a_cancel_before_its_prescription_is_kept(line):
    cancel_by_hospital(line.city, 1)
    (rx_id,) = admit(line.city)
    assert line.status(rx_id) is Status.CANCELLED


@pytest.mark.parametrize("what", ["lose_next_request", "lose_next_answer"])
@pytest.mark.parametrize("chain_or_payer", ["chain", "payer"])
def test_a_broken_line_doubles_nothing(line, what, chain_or_payer):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    partners = [line.chain("ankang"), line.chain("baicao")] if chain_or_payer == "chain" else [line.payer]
    for partner in partners:
        partner.only = frozenset({"hold", "place", "cancel", "settle"})
    for attempt in range(12):
        if line.status(rx_id) is Status.FULFILLING and line.order(rx_id).handed_over_at is None:
            line.say(rx_id, ChainWord.HANDED_OVER)
        for partner in partners:
            setattr(partner, what, attempt % 2 == 0)
        line.hop(rx_id)
        line.clock.advance(minutes=1)
    assert line.status(rx_id) is Status.SETTLED
    assert len(line.payer.book) == 1
    held = [held for slug in ("ankang", "baicao") for held in line.chain(slug).book.values()]
    assert sum(one.status is ChainWord.HANDED_OVER for one in held) == 1


def test_the_same_callback_again_is_only_repeated(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    body = chain.body(chain.update(placed.id, ChainWord.PREPARED, at=line.city.now()))
    assert b"applied" in line.send(placed.order.chain, body).body
    assert b"repeated" in line.send(placed.order.chain, body).body


def test_who_loses_the_race_for_a_callback_has_spent_no_nonce(line, monkeypatch):
    """It looks again, under the same nonce, and finds the winner's answer."""
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    body = chain.body(chain.update(placed.id, ChainWord.PREPARED, at=line.city.now()))
    assert b"applied" in line.send(placed.order.chain, body).body
    earlier, missed = inbox.earlier, iter([None])
    monkeypatch.setattr(inbox, "earlier", lambda *arguments: next(missed, earlier(*arguments)))
    answer = line.send(placed.order.chain, body)
    assert (answer.status, b"repeated" in answer.body) == (200, True)


def test_another_orders_secret_is_refused(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    answer = line.say(rx_id, ChainWord.HANDED_OVER, claim_secret="another")
    assert (answer.status, line.status(rx_id)) == (422, Status.FULFILLING)


def test_the_wrong_pickup_code_hands_nothing_over(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    assert line.say(rx_id, ChainWord.HANDED_OVER, pickup_code="000000x").status == 422


def test_an_update_of_an_older_order_does_not_touch_the_new_one(line):
    (rx_id,) = admit(line.city)
    first = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="out_of_stock")
    line.hop(rx_id)
    second = line.order(rx_id)
    answer = line.say(rx_id, ChainWord.PREPARED, order=first)
    assert b"ignored" in answer.body
    assert line.order(rx_id).status == second.status


def test_trouble_is_written_down_and_comes_again(line):
    (rx_id,) = admit(line.city)
    line.payer.silent = True
    first = line.hop(rx_id)
    assert first.error
    line.payer.silent = False
    line.clock.advance(minutes=1)
    assert line.hop(rx_id).error == ""
    assert line.status(rx_id) is Status.IN_REVIEW


def test_the_clock_stands_still_until_told():
    clock = Clock()
    before = clock()
    clock.advance(minutes=1)
    assert clock() - before == timedelta(minutes=1)
