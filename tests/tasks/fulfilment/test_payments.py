"""The personal share is paid at the door or at the counter, and what is not paid is not handed over (E-08, E-09)."""

from datetime import timedelta
from pathlib import Path

import pytest

from domain.chains import ChainWord
from domain.fulfilment.deliveries import DeliveryStatus as S
from domain.lifecycle import Status
from domain.money import Fen
from domain.payments import PaymentStatus, Tendered
from domain.people import Capability, Denied, Grant, Person, Role
from domain.shops import Act
from infra.db import counter as shop_book
from infra.db import ledger, payments
from infra.db.rows import PostingRow
from infra.db.views import board, dossier
from tasks import counter
from tasks.tracking import tracked
from tests.support.couriers import COURIER, SHOP_PLACE, SHOPKEEPER
from tests.tasks.fulfilment.test_counter import Town as Shop
from tests.tasks.fulfilment.test_courier import Town

STRANGER = Person("S009", frozenset({Grant(Role.SHOP, "linli/LL01")}))


class Door(Town):
    """A parcel at a door where something is due."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.to_packed()
        self.to_door()
        self.due = self.line.order(self.rx).order.patient_due
        assert self.due > 0

    def account(self) -> payments.Account:
        with self.city.db.reading() as session:
            return payments.of(session, self.line.order(self.rx).id)

    def balances(self) -> dict[str, int]:
        with self.city.db.reading() as session:
            return {account: amount for account, amount in ledger.balances(session).items() if amount}

    def concerns(self) -> dict[str, int]:
        with self.city.db.reading() as session:
            return {concern.kind: concern.count for concern in board(session, self.city.now(), self.city.policy).concerns}

    def settle(self) -> None:
        self.line.hop(self.rx)
        self.line.deliver()
        assert self.line.status(self.rx) is Status.SETTLED


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_the_courier_learns_the_amount_with_the_parcel_and_nothing_is_handed_over_unpaid(door: Door) -> None:
    (consignment,) = door.courier.consignments.values()
    assert (consignment.collect, consignment.methods) == (door.due, door.city.policy.door_methods)
    for paid, why in ((None, "unpaid"), (Tendered(Fen(door.due + 325), "wechat", "WX1"), "amount_edit"),
                      (Tendered(door.due, "wechat"), "reference_missing"), (Tendered(door.due, "shells", "1"), "method_not_taken")):
        assert door.tell(S.SIGNED, attempt=1, paid=paid) == (422, {"result": "refused", "why": why})
    assert (door.line.order(door.rx).delivery.status, door.account()) == (S.ARRIVED, payments.Account())
    assert door.differences() == ["paid_at_door"]
    assert door.tell(S.SIGNED, attempt=1, paid=Tendered(door.due, "wechat", "WX1"))[0] == 200
    (payment,) = door.account().payments
    assert (payment.amount, payment.method, payment.reference, payment.hand_in_by) == (door.due, "wechat", "WX1", None)
    door.settle()
    assert {account: amount for account, amount in door.balances().items() if account in ("patient", "clearing:wechat")} == {
        "clearing:wechat": -door.due}


def test_unpaid_first_and_paid_at_the_second_attempt(door: Door) -> None:
    assert door.tell(S.ATTEMPT_FAILED, attempt=1, reason="unpaid")[0] == 200
    assert [payment.status for payment in door.account().payments] == [PaymentStatus.REFUSED]
    door.to_door(attempt=2)
    assert door.tell(S.SIGNED, attempt=2)[0] == 200
    assert [payment.status for payment in door.account().payments] == [PaymentStatus.REFUSED, PaymentStatus.PAID]
    assert door.events().count("paid") == 1
    door.settle()


def test_never_paid_it_goes_back_and_nothing_is_claimed(door: Door) -> None:
    for attempt in (1, 2):
        assert door.tell(S.ATTEMPT_FAILED, attempt=attempt, reason="unpaid")[0] == 200
    for status in (S.HELD_AT_POINT, S.RETURNED):
        assert door.tell(status, attempt=2)[0] == 200
    door.line.hop(door.rx)
    placed = door.line.order(door.rx)
    assert (placed.reason, door.line.status(door.rx)) == ("unpaid", Status.CANCELLED)
    assert door.balances() == {}


def test_a_repeated_signature_collects_once(door: Door) -> None:
    for _ in range(3):
        assert door.tell(S.SIGNED, attempt=1)[0] == 200
    assert len(door.account().payments) == 1
    with door.city.db.reading() as session:
        assert [row.kind for row in session.query(PostingRow)] == ["collected"]


def test_the_couriers_cash_is_owed_until_the_shop_has_counted_it(door: Door) -> None:
    door.tell(S.SIGNED, attempt=1)
    door.settle()
    assert door.balances()[f"courier:{COURIER}"] == -door.due
    with door.city.db.reading() as session:
        (cash,) = payments.outstanding(session, "linli", "LL02")
    assert (cash.courier, cash.amount, cash.hand_in_by - door.city.now()) == (COURIER, door.due, timedelta(hours=24))
    assert "cash_to_hand_in" not in door.concerns()
    door.line.clock.advance(hours=25)
    assert door.concerns()["cash_to_hand_in"] == 1
    with pytest.raises(KeyError):
        counter.receive_cash(door.city, STRANGER, door.rx, 1)
    for _ in range(2):
        seen = counter.receive_cash(door.city, SHOPKEEPER, door.rx, 1)
    assert seen.account.payments[0].handed_in_at == door.city.now()
    assert ("cash_to_hand_in" in door.concerns(), f"courier:{COURIER}" in door.balances()) == (False, False)
    assert "patient" not in door.balances()


def test_the_patient_and_operations_see_what_is_due_and_what_was_paid(door: Door) -> None:
    (before,) = tracked(door.city, door.rx).orders
    assert (before.due, before.methods, before.paid) == (door.due, door.city.policy.door_methods, None)
    door.tell(S.SIGNED, attempt=1)
    (after,) = tracked(door.city, door.rx).orders
    assert (after.paid.amount, bool(after.paid.receipt)) == (door.due, True)
    with door.city.db.reading() as session:
        (order,) = dossier(session, door.rx).orders
    assert [payment["receipt"] for payment in order["payments"]] == [after.paid.receipt]


def test_a_signature_that_we_asked_for_has_no_payment_until_the_courier_says_it(door: Door) -> None:
    key = f"{door.line.order(door.rx).id}:1"
    door.courier.body(key, S.SIGNED, door.city.now(), attempt=1)
    door.line.clock.advance(hours=49)
    door.line.hop(door.rx)
    assert (door.line.order(door.rx).word, door.account().payments) == (ChainWord.HANDED_OVER, ())
    assert door.differences() == ["paid_at_door"]
    assert door.tell(S.SIGNED, attempt=1)[1] == {"result": "ignored"}
    assert [payment.amount for payment in door.account().payments] == [door.due]


def test_at_the_counter_it_is_paid_before_it_is_handed_over_and_goes_back_with_the_medicine(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.do(Act.ACCEPT)
    shop.do(Act.PREPARE)
    due = shop.seen().placed.order.patient_due
    assert due > 0
    for more, code in (({"method": ""}, "unpaid"), ({"method": "cash", "amount": Fen(due - 1)}, "amount_edit"),
                       ({"method": "card"}, "reference_missing"), ({"method": "shells"}, "method_not_taken")):
        with pytest.raises(Denied) as caught:
            shop.do(Act.HAND_OVER, **more)
        assert caught.value.code == code
    assert shop.seen().word is ChainWord.PREPARED
    shop.do(Act.HAND_OVER, method="alipay", reference="ALI-1", amount=due)
    shop.line.hop(shop.rx_id)
    lines = tuple(line.line for line in shop.seen().placed.order.lines)
    shop.do(Act.TAKE_BACK, reason="quality", lines=lines)
    for _ in range(3):
        shop.line.hop(shop.rx_id)
    account = shop.seen().account
    assert ([refund.amount for refund in account.refunds], account.payments[0].method) == ([due], "alipay")
    with shop.city.db.reading() as session:
        assert not {account: amount for account, amount in ledger.balances(session).items() if amount}
        assert shop_book.get(session, shop.seen().placed.id).patient_due == due
    with pytest.raises(Denied):
        counter.receive_cash(shop.city, SHOPKEEPER if shop.seen().at.place == SHOP_PLACE else STRANGER, shop.rx_id, 1)


def test_a_city_that_names_no_methods_collects_nothing_here(tmp_path: Path) -> None:
    from dataclasses import replace

    shop = Shop(tmp_path)
    shop.line.city = shop.city = replace(shop.city, policy=replace(shop.city.policy, counter_methods=()))
    shop.do(Act.ACCEPT)
    shop.do(Act.PREPARE)
    assert shop.do(Act.HAND_OVER, method="").word is ChainWord.HANDED_OVER
    assert shop.seen().account == payments.Account()
    assert counter.order_of(shop.city, STRANGER, Capability.SEE_ORDER, shop.rx_id, 1).account == payments.Account()
