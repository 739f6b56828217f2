"""Delivery: what the platform does when a pharmacy has moved an order, or has been silent too long."""

from domain.events import Event, Wait
from domain.lifecycle import ALIVE, Notice, Status
from domain.orders import OrderStatus
from infra.db import effects, history, inbox, orders, prescriptions
from infra.db.history import Head
from infra.db.orders import Placed
from infra.db.prescriptions import Loaded
from tasks import ends, reports
from tasks.allocation import next_look, withdraw, withdrawal
from tasks.city import City


async def await_delivery(city: City, prescription_id: str) -> Head:
    """fulfilling and due: the pharmacy has moved the order, the hospital cancels, or an answer or the receipt is overdue."""
    with city.db.reading() as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.FULFILLING)
        placed = orders.of(session, prescription_id)[-1]
        unfinished = placed.status in ALIVE and effects.is_open(
            session, withdrawal(prescription_id, placed.id, "no_answer"))
    now = city.now()
    if placed.status in (OrderStatus.HANDED_OVER, OrderStatus.RETURNED):
        return _fulfilled(city, loaded, placed)
    if placed.status not in ALIVE:
        overdue = placed.status is OrderStatus.CANCELLED and placed.reason == "expired"
        if overdue and placed.fulfil_by and now >= placed.fulfil_by and not loaded.cancel_reason:
            return ends.expire(city, loaded)  # The order was taken back for that, but the process died before it was recorded.
        return _look_again(city, loaded, placed)
    if loaded.cancel_reason:
        return await _cancel(city, loaded, placed)
    has_answered = placed.status is not OrderStatus.ORDERED
    if unfinished or (not has_answered and placed.accept_by and now >= placed.accept_by):
        status = await withdraw(city, placed, "no_answer")
        if status is OrderStatus.CANCELLED:
            return _note(city, loaded, placed, Event.NO_ANSWER)
        # The order cannot be taken back, and the update about it has not come yet: wait for it, and ask again later.
        if status is not placed.status:
            return _note(city, loaded, placed, Event.WORD_MISSED, status=status)
        with city.db.transaction("delivery.overdue") as session:
            return history.wait(session, loaded.head, until=now + city.policy.ask_again_after,
                                waiting_for=Wait.ACCEPTANCE_OVERDUE)
    until, waiting_for = next_look(placed.status, placed.accept_by, placed.fulfil_by)
    if has_answered and placed.fulfil_by and now >= placed.fulfil_by:
        status = await withdraw(city, placed, "expired")
        if status is OrderStatus.CANCELLED:
            return ends.expire(city, loaded)
        # The order cannot be taken back: it may still be handed over, or has been. A timer never changes a fact.
        until = now + city.policy.ask_again_after if status in ALIVE else now
        waiting_for = Wait.RECEIPT_OVERDUE
    with city.db.transaction("delivery.awaited") as session:
        return history.wait(session, loaded.head, until=until, waiting_for=waiting_for)


def _fulfilled(city: City, loaded: Loaded, placed: Placed) -> Head:
    with city.db.transaction("delivery.fulfilled") as session:
        if loaded.cancel_reason:
            reports.report(session, city, loaded.prescription, Notice.CANCEL_REFUSED, reason=Event.HANDED_OVER,
                           again=str(placed.attempt))
        head = history.append(session, loaded.head, to=Status.FULFILLED, actor=f"chain:{placed.order.chain}",
                              event=Event.HANDED_OVER, at=city.now(), wake_at=city.now(),
                              waiting_for=Wait.SETTLEMENT, detail={"order": placed.id}, keep_cancel=False)
        reports.report(session, city, loaded.prescription, Status.FULFILLED, reason=Event.HANDED_OVER, handed_over=placed)
    return head


def _look_again(city: City, loaded: Loaded, placed: Placed) -> Head:
    """The order has ended without medicine: another pharmacy is looked for, unless the hospital has cancelled meanwhile."""
    rx = loaded.prescription
    with city.db.transaction("delivery.reopened") as session:
        if reason := inbox.cancel_wished(session, rx.hospital, rx.external_id):
            ends.cancel(session, city, loaded.head, rx, reason, order_id=placed.id)
            return prescriptions.load(session, rx.id).head
        head = history.append(session, loaded.head, to=Status.ALLOCATING, actor=f"chain:{placed.order.chain}",
                              event=Event.ORDER_ENDED, at=city.now(),
                              wake_at=city.now(), waiting_for=Wait.CANDIDATE,
                              detail={"order": placed.id, "status": placed.status, "cause": placed.reason})
        reports.report(session, city, rx, Status.ALLOCATING, reason=Event.ORDER_ENDED,
                       again=str(placed.attempt))
    return head


async def _cancel(city: City, loaded: Loaded, placed: Placed) -> Head:
    """The hospital cancels an order under way; the chain decides whether that is still possible."""
    assert loaded.cancel_reason is not None
    rx = loaded.prescription
    if await withdraw(city, placed, "cancelled") is OrderStatus.CANCELLED:
        with city.db.transaction("delivery.cancelled") as session:
            ends.cancel(session, city, loaded.head, rx, loaded.cancel_reason, order_id=placed.id)
            return prescriptions.load(session, rx.id).head
    with city.db.transaction("delivery.cancel_refused") as session:
        head = history.append(session, loaded.head, actor=f"chain:{placed.order.chain}", event=Event.CANCEL_TOO_LATE,
                              at=city.now(), wake_at=city.now(), waiting_for=loaded.waiting_for,
                              detail={"order": placed.id}, keep_cancel=False)
        reports.report(session, city, rx, Notice.CANCEL_REFUSED, reason=Event.CANCEL_TOO_LATE, again=str(placed.attempt))
    return head


def _note(city: City, loaded: Loaded, placed: Placed, event: Event, **more: str) -> Head:
    with city.db.transaction("delivery.noted") as session:
        return history.append(session, loaded.head, actor="clock", event=event, at=city.now(), wake_at=city.now(),
                              waiting_for=loaded.waiting_for, detail={"order": placed.id, **more})
