"""What patients have paid for orders at doors and counters, what goes back, and the cash that couriers still have."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.money import Fen
from domain.payments import Payment, PaymentStatus, Refund
from infra.db.engine import Row, insert_new, run, table
from infra.db.rows import TO_HAND_IN, OrderRow, PaymentRow, RefundRow

_PAYMENT, _REFUND, _ORDER = table(PaymentRow), table(RefundRow), table(OrderRow)
_P, _R = _PAYMENT.c, _REFUND.c
_ATTEMPTS = (
    sa.select(_P.order_id, _P.number, _P.status, _P.amount_fen, _P.method, _P.collector, _P.reference, _P.receipt, _P.at,
              _P.hand_in_by, _P.handed_in_at)
    .where(_P.order_id.in_(sa.bindparam("ids", expanding=True))).order_by(_P.order_id, _P.number))
_REFUNDS = (sa.select(_R.order_id, _R.number, _R.amount_fen, _R.method, _R.at)
            .where(_R.order_id.in_(sa.bindparam("ids", expanding=True))).order_by(_R.order_id, _R.number))
_HAND_IN = sa.update(_PAYMENT).where(
    _P.order_id == sa.bindparam("of"), _P.number == sa.bindparam("this"), sa.text(TO_HAND_IN)).values(
    handed_in_at=sa.bindparam("now"), handed_in_to=sa.bindparam("person"))


@dataclass(frozen=True)
class Account:
    """What was paid for an order, and what went back."""

    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()


@dataclass(frozen=True)
class Outstanding:
    """Cash that a courier has to bring to a shop."""

    prescription_id: str
    attempt: int
    """Of the order, within its prescription."""
    order_id: str
    courier: str
    amount: Fen
    hand_in_by: datetime


def of(session: Session, order_id: str) -> Account:
    return of_orders(session, [order_id]).get(order_id, Account())


def of_orders(session: Session, order_ids: Sequence[str]) -> dict[str, Account]:
    """Of each order for which money was asked or went back."""
    payments: dict[str, list[Payment]] = defaultdict(list)
    refunds: dict[str, list[Refund]] = defaultdict(list)
    if order_ids:
        for row in run(session, _ATTEMPTS, {"ids": list(order_ids)}):
            payments[row[0]].append(_payment(row))
    if payments:
        for order_id, number, amount, method, at in run(session, _REFUNDS, {"ids": list(order_ids)}):
            refunds[order_id].append(Refund(number, Fen(amount), method, at))
    return {order_id: Account(tuple(several), tuple(refunds[order_id])) for order_id, several in payments.items()}


def add(session: Session, order_id: str, prescription_id: str, payment: Payment, *, by: str) -> None:
    """One more attempt. Raises `StaleStatus` where its number, or the order's receipt, is there already."""
    if not insert_new(session, PaymentRow, order_id=order_id, number=payment.number, prescription_id=prescription_id,
                      status=payment.status, amount_fen=payment.amount, method=payment.method, collector=payment.collector,
                      by=by[:60], reference=payment.reference, receipt=payment.receipt, at=payment.at,
                      hand_in_by=payment.hand_in_by):
        raise StaleStatus(f"{order_id} has a payment {payment.number} already")


def refund(session: Session, order_id: str, prescription_id: str, back: Refund) -> None:
    """Raises `StaleStatus` where that refund is there already."""
    if not insert_new(session, RefundRow, order_id=order_id, number=back.number, prescription_id=prescription_id,
                      amount_fen=back.amount, method=back.method, at=back.at):
        raise StaleStatus(f"{order_id} has a refund {back.number} already")


def hand_in(session: Session, order_id: str, number: int, *, to: str, at: datetime) -> bool:
    """The shop has the courier's cash of a payment; whether it had not been there before."""
    return run(session, _HAND_IN, {"of": order_id, "this": number, "now": at, "person": to}).rowcount == 1


def outstanding(session: Session, chain: str, store: str) -> list[Outstanding]:
    """Cash that couriers have still to bring to a shop, what is due first before."""
    rows = session.execute(
        sa.select(_P.prescription_id, _ORDER.c.attempt, _P.order_id, _P.collector, _P.amount_fen, _P.hand_in_by)
        .join(_ORDER, _ORDER.c.id == _P.order_id)
        .where(sa.text(TO_HAND_IN), _ORDER.c.chain == chain, _ORDER.c.store == store).order_by(_P.hand_in_by, _P.order_id))
    return [Outstanding(rx, attempt, order_id, collector.partition(":")[2], Fen(amount), until)
            for rx, attempt, order_id, collector, amount, until in rows]


NOTHING: dict[str, list[dict[str, Any]]] = {"payments": [], "refunds": []}


def documents(session: Session, order_ids: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By order, as views show it: amounts in fen."""
    return {order_id: {
        "payments": [asdict(payment) for payment in account.payments],
        "refunds": [asdict(back) for back in account.refunds]} for order_id, account in of_orders(session, order_ids).items()}


def _payment(row: Row) -> Payment:
    _, number, status, amount, method, collector, reference, receipt, at, hand_in_by, handed_in_at = row
    return Payment(number, PaymentStatus(status), Fen(amount), method, collector, reference, receipt, at, hand_in_by, handed_in_at)
