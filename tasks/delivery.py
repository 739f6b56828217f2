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
    """fulfilling and awake: the pharmacy said something, the hospital cancels, or somebody was silent too long."""
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
            return ends.expire(city, loaded)  # We took it back for that, and crashed before we wrote it down.
        return _look_again(city, loaded, placed)
    if loaded.cancel_reason:
        return await _cancel(city, loaded, placed)
    said_yes = placed.status is not OrderStatus.ORDERED
    if unfinished or (not said_yes and placed.accept_by and now >= placed.accept_by):
        now_it_is = await withdraw(city, placed, "no_answer")
        if now_it_is is OrderStatus.CANCELLED:
            return _note(city, loaded, placed, Event.NO_ANSWER)
        # It can't be taken back, and its word has not come yet: that word is asked for again, not raced for.
        if now_it_is is not placed.status:
            return _note(city, loaded, placed, Event.WORD_MISSED, status=now_it_is)
        with city.db.transaction("delivery.overdue") as session:
            return history.wait(session, loaded.head, until=now + city.policy.ask_again_after,
                                waiting_for=Wait.ACCEPTANCE_OVERDUE)
    until, waiting_for = next_look(placed.status, placed.accept_by, placed.fulfil_by)
    if said_yes and placed.fulfil_by and now >= placed.fulfil_by:
        now_it_is = await withdraw(city, placed, "expired")
        if now_it_is is OrderStatus.CANCELLED:
            return ends.expire(city, loaded)
        # A timer never rewrites a fact: what cannot be taken back may still be handed over, or has been.
        until = now + city.policy.ask_again_after if now_it_is in ALIVE else now
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
    """The order is over without medicine: back to the market, unless the hospital has cancelled it meanwhile."""
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
    """The hospital cancels an order under way; the chain has the last word on whether it still can be."""
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
