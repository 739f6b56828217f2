"""Taking what a patient pays at a door or a counter, in the transaction of the handover; giving back; handing in."""

from datetime import datetime

from adapters.protocols import WorksFromPages
from domain.events import Event
from domain.fulfilment.orders import Placed
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
from domain.policy import CityPolicy
from domain.prescription import Handover
from infra.db import Session, history, ledger, payments, prescriptions
from infra.db.discrepancies import disagree
from infra.db.history import Head
from tasks.city import City

COURIER = "courier:"


def methods(policy: CityPolicy, placed: Placed) -> tuple[Method, ...]:
    """By which methods an order that works from our pages is paid where it is handed over; none: not through us."""
    counter = placed.order.handover is Handover.PICKUP or placed.order.point
    return policy.counter_methods if counter else policy.door_methods


def refusal(policy: CityPolicy, placed: Placed, tendered: Tendered | None) -> Flaw | None:
    """Why an order may not be handed over; None where what is due was paid, or nothing is due."""
    return flaw(placed.order.patient_due, methods(policy, placed), tendered)


def collect(city: City, session: Session, placed: Placed, tendered: Tendered | None, *, collector: str, by: str,
            actor: str) -> None:
    """Write down that the patient has paid: row, books, history. Nothing where nothing was paid.

    Raises `StaleStatus` where another transaction has collected for the order.
    """
    if tendered is None or tendered.amount <= 0 or tendered.method not in methods(city.policy, placed):
        return
    now, rx_id = city.now(), placed.order.prescription_id
    cash = tendered.method == Method.CASH and collector.startswith(COURIER)
    payment = Payment(
        len(payments.of(session, placed.id).payments) + 1, PaymentStatus.PAID, tendered.amount, tendered.method, collector,
        tendered.reference, receipt_number(placed.id), now, now + city.policy.hand_in_within if cash else None)
    payments.add(session, placed.id, rx_id, payment, by=by)
    ledger.post(session, templates.collected(rx_id, placed.order.chain, payment), at=now, day=None)
    fresh = prescriptions.load(session, rx_id)
    history.append(session, fresh.head, actor=actor, event=Event.PAID, at=now, wake_at=fresh.wake_at, waiting_for=fresh.waiting_for,
                   detail={"order": placed.id, "method": payment.method, "amount_fen": payment.amount, "receipt": payment.receipt})


def is_paid(session: Session, placed: Placed) -> bool:
    return paid(payments.of(session, placed.id).payments) is not None


def not_paid(city: City, session: Session, placed: Placed, *, collector: str, by: str) -> None:
    """Write down that the patient did not pay at the door (E-09). Books do not change."""
    if placed.order.patient_due <= 0 or not methods(city.policy, placed):
        return
    payments.add(session, placed.id, placed.order.prescription_id, Payment(
        len(payments.of(session, placed.id).payments) + 1, PaymentStatus.REFUSED, placed.order.patient_due, "", collector, "", None,
        city.now()), by=by)


def correct(city: City, session: Session, head: Head, placed: Placed, owed: Fen, *, actor: str, wake_at: datetime | None) -> Head:
    """Make what was collected agree with the fund's final word: too much goes back, too little is a difference for a person.

    `owed`: the cash share in fen that the patient owes now. Returns the head, moved on where something goes back.
    """
    if placed.order.chain in city.chains and not isinstance(city.chains[placed.order.chain], WorksFromPages):
        return head  # A chain that has a system collects by itself.
    account = payments.of(session, placed.id)
    payment, excess = paid(account.payments), correction(account.payments, account.refunds, owed)
    if payment is None or excess == 0:
        return head
    assert payment.receipt is not None
    now, rx_id = city.now(), placed.order.prescription_id
    if excess < 0:
        disagree(session, kind="collected_too_little", subject=f"{payment.receipt}:cash", expected=owed, actual=owed + excess,
                 at=now, prescription_id=rx_id)
        return head
    back = Refund(len(account.refunds) + 1, excess, payment.method, now)
    payments.refund(session, placed.id, rx_id, back)
    ledger.post(session, templates.refunded(rx_id, placed.order.chain, payment.receipt, back), at=now, day=None)
    return history.append(session, head, actor=actor, event=Event.REFUNDED, at=now, wake_at=wake_at,
                          detail={"order": placed.id, "method": back.method, "amount_fen": back.amount, "receipt": payment.receipt})


def hand_in(city: City, placed: Placed, *, to: str) -> bool:
    """A person of the shop has counted the courier's cash of an order; whether it had to be handed in. Twice is once."""
    with city.db.transaction("cash.handed_in") as session:
        payment = paid(payments.of(session, placed.id).payments)
        if payment is None or payment.hand_in_by is None:
            return False
        if payments.hand_in(session, placed.id, payment.number, to=to, at=city.now()):
            ledger.post(session, templates.handed_in(placed.order.prescription_id, placed.order.chain, payment), at=city.now(),
                        day=None)
        return True
