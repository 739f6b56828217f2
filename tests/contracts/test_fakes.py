"""The fakes keep the promises the line is tested with."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.messages import Reply
from adapters.protocols import CallsBack, Chain, Payer, Polled, WritesUpdates
from domain.chains import ChainWord
from domain.errors import InvalidPayload, OutcomeUnknown, Refused
from domain.prescription import Handover
from infra.http import Transport
from tests.support.fakes import FakeChain, FakePageChain, FakePayer, FakePolledChain, Replay
from tests.support.partner_examples import ASKED, AT, DAY, NOTICE, PLACE, claim, order


def test_the_fakes_have_the_shape_of_the_real_ones() -> None:
    chain: Chain = FakeChain()
    payer: Payer = FakePayer()
    transport: Transport = Replay()
    assert (chain.slug, payer.slug) == ("fake", "fake_centre")
    assert transport


@pytest.mark.parametrize(("chain", "capabilities"), [
    (FakeChain(), {WritesUpdates, CallsBack}), (FakePolledChain(), {WritesUpdates, Polled}), (FakePageChain(), set())])
def test_each_fake_chain_can_do_what_its_kind_can(chain: Chain, capabilities: set[type]) -> None:
    assert {capability for capability in (WritesUpdates, CallsBack, Polled) if isinstance(chain, capability)} == capabilities


async def test_a_polled_chain_keeps_an_update_until_its_answer_is_handed_back() -> None:
    chain = FakePolledChain()
    await chain.hold(order())
    chain.offer(chain.update("ord_sample1", ChainWord.ACCEPTED))
    (fetched,) = await chain.poll(10)
    assert await chain.poll(10) == [fetched]
    assert chain.parse_update(fetched.raw).status is ChainWord.ACCEPTED
    for _ in range(2):
        await chain.hand_back(fetched.ref, Reply(b"{}"))
    assert await chain.poll(10) == []


async def test_the_fake_chain_sells_what_it_has() -> None:
    chain = FakeChain(stock={"D001": Decimal(60), "D010": Decimal(29)})
    (quote,) = (await chain.quote(ASKED, Handover.PICKUP, PLACE)).quotes
    assert [(line.drug, line.quantity) for line in quote.lines] == [("D001", 60), ("D010", 29)]
    assert quote.total == 1800 + 870


async def test_the_fake_chain_does_not_offer_what_it_has_nothing_of() -> None:
    chain = FakeChain(stock={"D001": Decimal(60), "D010": Decimal(0)})
    (quote,) = (await chain.quote(ASKED, Handover.PICKUP, PLACE)).quotes
    assert [line.drug for line in quote.lines] == ["D001"]


async def test_holding_twice_takes_the_stock_once() -> None:
    chain = FakeChain(stock={"D001": Decimal(60)})
    assert await chain.hold(order()) == await chain.hold(order())
    assert chain.stock["D001"] == 0
    with pytest.raises(Refused) as caught:
        await chain.hold(replace(order(), id="ord_other"))
    assert caught.value.code == "out_of_stock"
    assert (await chain.cancel("ord_sample1", "patient")).status is ChainWord.CANCELLED
    assert chain.stock["D001"] == 60


async def test_a_lost_answer_can_be_asked_for_and_a_lost_request_cannot() -> None:
    chain = FakeChain(lose_next_answer=True)
    with pytest.raises(OutcomeUnknown):
        await chain.hold(order())
    assert (await chain.find("ord_sample1")) is not None
    chain = FakeChain(lose_next_request=True)
    with pytest.raises(OutcomeUnknown):
        await chain.hold(order())
    assert (await chain.find("ord_sample1")) is None


async def test_a_handed_over_order_cannot_be_cancelled() -> None:
    chain = FakeChain()
    await chain.hold(order())
    assert (await chain.place(order())).status is ChainWord.ORDERED
    update = chain.update("ord_sample1", ChainWord.HANDED_OVER, pickup_code="MARK")
    assert update.claim_secret == order().claim_secret
    assert update.event_id != chain.update("ord_sample1", ChainWord.HANDED_OVER).event_id
    with pytest.raises(Refused) as caught:
        await chain.cancel("ord_sample1", "patient")
    assert caught.value.code == "handed_over"


async def test_placing_without_a_hold_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        await FakeChain().place(order())
    assert caught.value.code == "hold_expired"


async def test_the_fake_chain_signs_and_reads_its_own_callbacks() -> None:
    chain, now = FakeChain(), datetime.now(UTC)
    await chain.hold(order())
    update = chain.update("ord_sample1", ChainWord.DECLINED, reason="out_of_stock")
    body = chain.body(update)
    headers = chain.headers(body, now)
    chain.verify(headers["Sanyi-Timestamp"], headers["Sanyi-Nonce"], body, headers["Sanyi-Signature"], now)
    assert chain.parse_update(body) == update
    with pytest.raises(InvalidPayload):
        chain.parse_update(b"{}")


async def test_a_told_refusal_and_silence_work_on_any_call() -> None:
    chain, payer = FakeChain(), FakePayer()
    chain.refuse_next("closed")
    with pytest.raises(Refused):
        await chain.hold(order())
    await chain.hold(order())
    payer.silent = True
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await payer.settle(claim())
    payer.silent = False
    assert (await payer.settle(claim())).settlement_id
    await chain.notify_settled(NOTICE)
    assert chain.notices["ord_sample1"] == NOTICE


async def test_the_fake_fund_settles_a_reference_once() -> None:
    payer = FakePayer(lose_next_answer=True)
    with pytest.raises(OutcomeUnknown):
        await payer.settle(claim())
    settled = await payer.settle(claim())
    assert len(payer.book) == 1
    # 80 % of the 18.60 that is not own expense.
    assert (settled.total, settled.own, settled.fund, settled.cash) == (2760, 900, 1488, 1272)
    assert (await payer.pre_settle(claim())).fund == settled.fund
    assert not (await payer.pre_settle(claim())).settlement_id


async def test_the_fake_fund_reverses_a_settlement_once() -> None:
    payer = FakePayer()
    settled = await payer.settle(claim())
    given = (settled.settlement_id, settled.visit_id, claim().psn_no, "370100", AT)
    assert await payer.reverse("R1", *given) == await payer.reverse("R1", *given)
    assert sum(it.total for it in payer.book) == 0
    with pytest.raises(Refused) as caught:
        await payer.reverse("R2", *given)
    assert caught.value.code == "already_reversed"
    with pytest.raises(Refused) as caught:
        await payer.reverse("R3", "nowhere", *given[1:])
    assert caught.value.code == "unknown_settlement"
    nothing = replace(DAY, total=0, fund=0, account=0, count=0)  # type: ignore[arg-type]
    assert (await payer.reconcile(nothing)).matched
    assert not (await payer.reconcile(DAY)).matched
