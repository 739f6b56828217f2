"""An order at a pharmacy: who gets it, who gets it next, and what its chain may say of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord, LeftOut, Receipt
from domain.errors import Refused
from domain.findings import Finding, Severity
from domain.lifecycle import Status
from infra.db import views
from infra.db.rows import DiscrepancyRow, HistoryRow
from tasks.line import Hop, hop
from tests.support.city import admit, cancel_by_hospital
from tests.support.line import Line


def differences(line):
    with line.city.db.reading() as session:
        return [one.kind for one in session.scalars(sa.select(DiscrepancyRow))]


def cancelled_while_the_chain_thinks(line: Line, rx: str, call: str) -> Hop:
    """One hop waits in a call to the chain; the hospital cancels, and another hop takes the order back."""
    chain = line.chain("ankang")
    real: Callable[[Any], Awaitable[Any]] = getattr(chain, call)

    async def both() -> Hop:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(order: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await real(order)

        setattr(chain, call, slow)
        first = asyncio.create_task(hop(line.city, rx))
        await begun.wait()
        cancel_by_hospital(line.city, 1)
        await hop(line.city, rx)
        go_on.set()
        return await first

    return asyncio.run(both())


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


def test_a_store_whose_quote_breaks_the_contract_is_a_notice_once_a_day_and_no_discrepancy(line, monkeypatch):
    broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-01", "stores[1].minutes", "报文不符约定", "not as agreed")
    ankang = line.city.chains["ankang"]
    quote = ankang.quote

    async def with_nonsense(*asked):
        return replace(await quote(*asked), left_out=(LeftOut("AK02", (broken,)),))

    monkeypatch.setattr(ankang, "quote", with_nonsense)
    for rx_id in admit(line.city, 2):
        line.to_fulfilling(rx_id)

    with line.city.db.reading() as session:
        (notice,) = views.notices(session, None, 10)
        shown = {concern.kind: concern.examples for concern in views.board(session, line.city.now(), line.city.policy).concerns}
    assert (notice["kind"], notice["partner"], notice["subject"], notice["detail"]) == (
        "quote_left_out", "ankang", f"{line.city.today()}:CHN-01:AK02", "stores[1].minutes")
    assert [example.note for example in shown["notice:quote_left_out"]] == [
        f"ankang {line.city.today()}:CHN-01:AK02: stores[1].minutes"]
    assert "quote_left_out" not in differences(line)


def test_a_handover_of_an_order_we_took_back_is_for_a_person_to_settle(line):
    (rx_id,) = admit(line.city)
    first = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="out_of_stock")
    line.hop(rx_id)
    answer = line.say(rx_id, ChainWord.HANDED_OVER, order=first)
    assert b"applied" in answer.body
    assert "late_word_from_chain" in differences(line)
    assert line.order(rx_id).id != first.id


def test_a_return_of_a_line_the_order_does_not_have_is_refused(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    assert line.say(rx_id, ChainWord.RETURNED, lines=(9,)).status == 422


def test_free_text_of_a_chain_never_reaches_the_history(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="马克儿 13812345678 不接电话")
    line.hop(rx_id)
    with line.city.db.reading() as session:
        written = "".join(one.reason + one.detail for one in session.scalars(sa.select(HistoryRow)))
    assert "马克儿" not in written
    assert "other" in written


def test_a_hold_that_died_while_the_answer_was_lost_is_not_reported_as_an_order(line, monkeypatch):
    line.chain("ankang").minutes = 1
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    chain = line.chain("ankang")

    async def dead(order_id: str) -> Receipt:
        return Receipt(f"REF-{order_id}", ChainWord.CANCELLED)

    monkeypatch.setattr(chain, "find", dead)
    chain.only, chain.lose_next_request = frozenset({"place"}), True
    line.hop(rx_id)
    assert line.order(rx_id).order.chain == "baicao"


def test_a_drug_the_doctor_took_back_is_not_ordered_again(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.IN_DELIVERY)
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    line.say(rx_id, ChainWord.DECLINED, order=placed, reason="out_of_stock")
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CANCELLED


def test_a_silent_pharmacy_that_cannot_be_cancelled_is_waited_for_and_not_raced(line, monkeypatch):
    line.chain("ankang").minutes = 1
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)

    async def too_late(*_: object) -> Receipt:
        raise Refused("too late", code="in_delivery")

    monkeypatch.setattr(line.chain("ankang"), "cancel", too_late)
    line.clock.advance(minutes=11)
    before = line.row(rx_id).version
    assert line.hop(rx_id).error == ""
    assert line.row(rx_id).version - before <= 1
    assert line.row(rx_id).wake_at > line.clock()


@pytest.mark.parametrize("call", ["hold", "place"])
def test_nothing_is_ordered_for_a_prescription_that_was_cancelled_meanwhile(line: Line, call: str) -> None:
    (rx,) = admit(line.city)
    line.hop(rx)
    line.review(rx)
    cancelled_while_the_chain_thinks(line, rx, call)
    assert line.status(rx) is Status.CANCELLED
    assert ChainWord.ORDERED not in [one.status for one in line.chain("ankang").book.values()]
    assert line.open_intents() == []
    for _ in range(2):
        line.clock.advance(minutes=10)
        assert line.due() == [], "nothing is owed any more"


def test_a_handover_and_a_return_that_nobody_heard_of_are_found_at_the_deadline(line: Line) -> None:
    (rx,) = admit(line.city)
    placed = line.to_fulfilling(rx)
    line.say(rx, ChainWord.ACCEPTED)
    line.hop(rx)
    line.chain(placed.order.chain).update(placed.id, ChainWord.RETURNED)
    line.clock.advance(hours=30)
    assert line.hop(rx).error == "NeedsOperator:no_trace_code", "a chain that is asked does not say which packs it handed over"
    assert line.status(rx) is Status.FULFILLED
    line.say(rx, ChainWord.HANDED_OVER)
    assert not line.hop(rx).error


def test_a_chain_that_forgot_an_order_it_had_confirmed_is_not_believed(line: Line) -> None:
    (rx,) = admit(line.city)
    placed = line.to_fulfilling(rx)
    kept = line.chain(placed.order.chain).book.pop(placed.id)
    cancel_by_hospital(line.city, 1)
    assert "order_unknown" in line.hop(rx).error
    assert line.status(rx) is Status.FULFILLING
    line.chain(placed.order.chain).book[placed.id] = kept
    line.clock.advance(minutes=10)
    line.hop(rx)
    assert line.status(rx) is Status.CANCELLED
