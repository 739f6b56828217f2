"""One prescription, two pharmacies: each order has its own claim, back-off, wishes and end. Allocation does not ask for it yet."""

import asyncio
import json

import pytest

from domain.chains import ChainWord, OrderLine, PharmacyOrder
from domain.fulfilment.lines import line_states
from domain.fulfilment.orders import OrderStatus, Placed
from domain.fulfilment.portions import Portion
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import FINAL, Status
from domain.money import line_amount
from domain.prescription import Handover
from infra.db import claims, orders, prescriptions, wishes
from tasks.fulfilment.step import start_allocation
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import admit
from tests.support.line import Line

STORES = (("ankang", "AK01"), ("baicao", "BC07"))


@pytest.fixture
def rx_id(line: Line) -> str:
    """In allocation, with an order for its first line at one chain and one for its second at the other."""
    (admitted,) = admit(line.city, sample="home_delivery")
    line.hop(admitted)
    line.review(admitted)
    asyncio.run(start_allocation(line.city, admitted))
    with line.city.db.transaction() as session:
        rx = prescriptions.load(session, admitted).prescription
        for attempt, (item, (chain, store)) in enumerate(zip(rx.items, STORES, strict=True), 1):
            price = line.city.knowledge.ceilings[item.drug]
            whole = OrderLine(item.line, item.drug, item.quantity, item.unit, price, line_amount(price, item.quantity))
            order_id = f"ord_{admitted.removeprefix('rx_')}_{attempt}"
            secret = json.dumps({"claim_secret": f"secret-{attempt}", "pickup_code": ""})
            sealed = line.city.cipher.seal(secret, f"order/{order_id}")
            orders.make(session, PharmacyOrder(order_id, rx.id, chain, store, (whole,), Handover.HOME, rx.place), attempt=attempt,
                        sealed=sealed, ranking=[], at=line.city.now())
    return admitted


def both(line: Line, rx_id: str) -> list[Placed]:
    """Its orders; lines must add up whenever they are looked at."""
    with line.city.db.reading() as session:
        loaded, placed = prescriptions.load(session, rx_id), orders.of(session, rx_id)
        line_states(loaded.prescription.items, placed, wishes.of(session, rx_id), ended=loaded.status in FINAL)
    return placed


def paid(line: Line, rx_id: str) -> list[tuple[Portion, ...]]:
    """What the fund pays for, order by order."""
    with line.city.db.reading() as session:
        newest = claims.newest_of(session, rx_id)
    return [newest[placed.id].paid_for for placed in both(line, rx_id)]


def test_each_order_is_placed_handed_over_and_settled_by_its_own_claim(line: Line, rx_id: str) -> None:
    line.hop(rx_id)
    first, second = both(line, rx_id)
    assert (first.confirmed, second.confirmed, line.status(rx_id)) == (True, True, Status.FULFILLING)
    line.say(rx_id, ChainWord.HANDED_OVER, order=first)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING, "the other line is still on its way"
    line.say(rx_id, ChainWord.HANDED_OVER, order=second)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert paid(line, rx_id) == [first.portions, second.portions]
    assert sorted(row.total for row in line.payer.book) == sorted(placed.order.total for placed in (first, second))


def test_a_dead_chain_delays_only_its_own_order(line: Line, rx_id: str) -> None:
    line.chain("ankang").silent = True
    assert line.hop(rx_id).error
    line.hop(rx_id)
    first, second = both(line, rx_id)
    assert (first.status, first.confirmed, second.confirmed) == (OrderStatus.HELD, False, True)
    line.say(rx_id, ChainWord.HANDED_OVER, order=second)
    line.hop(rx_id)
    assert both(line, rx_id)[1].kept == second.portions
    line.chain("ankang").silent = False
    line.clock.advance(minutes=1)
    line.hop(rx_id)
    assert both(line, rx_id)[0].confirmed


def test_what_comes_back_reverses_the_claim_of_its_order_alone(line: Line, rx_id: str) -> None:
    line.hop(rx_id)
    first, second = both(line, rx_id)
    for placed in (first, second):
        line.say(rx_id, ChainWord.HANDED_OVER, order=placed)
    line.hop(rx_id)
    line.say(rx_id, ChainWord.RETURNED, order=second, lines=(2,), reason="quality")
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert paid(line, rx_id) == [first.portions, ()]
    assert sum(row.total for row in line.payer.book) == first.order.total
    asyncio.run(reconcile_day(line.city))
    line.clock.advance(hours=2)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CLOSED


def test_a_declined_order_is_sought_anew_for_its_own_portions(line: Line, rx_id: str) -> None:
    line.hop(rx_id)
    first, second = both(line, rx_id)
    line.say(rx_id, ChainWord.DECLINED, order=second, reason="out_of_stock")
    line.hop(rx_id)
    third = both(line, rx_id)[-1]
    assert (third.attempt, third.portions, third.confirmed) == (3, second.portions, True)
    assert line.status(rx_id) is Status.FULFILLING
    for placed in (first, third):
        line.say(rx_id, ChainWord.HANDED_OVER, order=placed)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED


def test_a_wish_about_one_line_takes_back_its_order_and_leaves_the_other(line: Line, rx_id: str) -> None:
    line.hop(rx_id)
    first, second = both(line, rx_id)
    with line.city.db.transaction() as session:
        rx = prescriptions.load(session, rx_id).prescription
        wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx_id, kind=WishKind.CANCEL, by="patient",
                    reason="patient", at=line.city.now(), portions=second.portions)
    line.hop(rx_id)
    assert [placed.status for placed in both(line, rx_id)] == [first.status, OrderStatus.CANCELLED]
    line.say(rx_id, ChainWord.HANDED_OVER, order=first)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    with line.city.db.reading() as session:
        assert [wish.answer for wish in wishes.of(session, rx_id)] == [WishAnswer.GRANTED]
    assert [placed.status for placed in both(line, rx_id)] == [OrderStatus.COMPLETED, OrderStatus.CANCELLED]
