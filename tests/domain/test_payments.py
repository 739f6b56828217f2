"""What a patient pays with the handover: the server's amount, by a method of the city, once (E-08, E-09)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import templates
from domain.money import Fen
from domain.payments import (
    Flaw,
    Method,
    Payment,
    PaymentStatus,
    Refund,
    Tendered,
    correction,
    flaw,
    paid,
    receipt_number,
)

AT = datetime(2026, 12, 1, tzinfo=UTC)
ALL = tuple(Method)


def payment(amount: int, method: Method = Method.CASH, collector: str = "courier:jisong") -> Payment:
    return Payment(2, PaymentStatus.PAID, Fen(amount), method, collector, "", "R1", AT, AT)


@pytest.mark.parametrize(("due", "methods", "tendered", "wrong"), [
    (2175, ALL, Tendered(Fen(2175), "wechat", "WX1"), None),
    (2175, ALL, Tendered(Fen(2175), "cash"), None),
    (2175, ALL, Tendered(Fen(2500), "wechat", "WX1"), Flaw.AMOUNT_EDIT),
    (2175, ALL, Tendered(Fen(2174), "cash"), Flaw.AMOUNT_EDIT),
    (2175, ALL, None, Flaw.UNPAID),
    (2175, (Method.CASH,), Tendered(Fen(2175), "wechat", "WX1"), Flaw.METHOD),
    (2175, ALL, Tendered(Fen(2175), "shells"), Flaw.METHOD),
    (2175, ALL, Tendered(Fen(2175), "card"), Flaw.REFERENCE),
    (0, ALL, None, None),
    (0, ALL, Tendered(Fen(100), "cash"), Flaw.AMOUNT_EDIT),
    (2175, (), None, None),
])
def test_it_is_handed_over_for_what_is_due_and_for_nothing_else(
        due: int, methods: tuple[Method, ...], tendered: Tendered | None, wrong: Flaw | None) -> None:
    assert flaw(Fen(due), methods, tendered) is wrong


@pytest.mark.parametrize(("collected", "refunded", "owed", "goes_back"), [
    (2175, (), 2175, 0), (2175, (), 2000, 175), (2175, (175,), 2000, 0), (2175, (175,), 0, 2000), (2175, (), 2200, -25)])
def test_what_is_too_much_goes_back_once(collected: int, refunded: tuple[int, ...], owed: int, goes_back: int) -> None:
    refunds = [Refund(number, Fen(amount), Method.CASH, AT) for number, amount in enumerate(refunded, 1)]
    assert correction([payment(collected)], refunds, Fen(owed)) == goes_back


def test_nothing_goes_back_where_nothing_was_collected() -> None:
    refused = Payment(1, PaymentStatus.REFUSED, Fen(2175), "", "courier:jisong", "", None, AT)
    assert (paid([refused]), correction([refused], [], Fen(0))) == (None, 0)
    assert paid([refused, payment(1)]) == payment(1)


def test_a_receipt_is_one_for_each_order_and_tells_nothing_of_it() -> None:
    assert receipt_number("ord_a_1") == receipt_number("ord_a_1") != receipt_number("ord_a_2")
    assert "ord_a" not in receipt_number("ord_a_1")


@given(st.integers(1, 10**9), st.sampled_from(Method), st.sampled_from(["courier:jisong", "shop:linli/LL01"]))
def test_whoever_collects_in_the_end_the_patient_owes_nothing_and_no_courier_has_anything(
        amount: int, method: Method, collector: str) -> None:
    one = payment(amount, method, collector)
    postings = [templates.collected("rx_1", "linli", one)]
    if method is Method.CASH and collector.startswith("courier"):
        postings.append(templates.handed_in("rx_1", "linli", one))
    holder = "chain:linli" if method is Method.CASH else f"clearing:{method}"
    sums: dict[str, int] = {}
    for posting in postings:
        for address, side in posting.sides.items():
            sums[address] = sums.get(address, 0) + side
    assert {address: side for address, side in sums.items() if side} == {"patient": amount, holder: -amount}
    back = templates.refunded("rx_1", "linli", "R1", Refund(1, Fen(amount), method, AT))
    assert back.sides == {"patient": -amount, holder: amount}
