"""Delivery: what a chain says of an order, and what the platform does when it says nothing."""

import hashlib
import hmac
import json
from datetime import datetime

from domain.errors import InvalidPayload, StaleStatus
from domain.events import Event, Wait
from domain.lifecycle import ALIVE, FINAL, GONE, Notice, Status
from domain.orders import OrderStatus, OrderUpdate
from domain.privacy import shown
from domain.words import CAUSES
from infra.db import Session, effects, history, inbox, orders, prescriptions
from infra.db.discrepancies import disagree
from infra.db.history import Head
from infra.db.orders import Placed
from infra.db.prescriptions import Loaded
from infra.log import get_logger
from tasks import ends, reports
from tasks.allocation import next_look, open_secrets, withdraw, withdrawal
from tasks.city import City
from tasks.intake import Answer

log = get_logger(__name__)


def receive_update(city: City, chain: str, *, timestamp: str, nonce: str, signature: str, body: bytes) -> Answer:
    """Take in a callback (contract 2.1): signature first, then the nonce, then the inbox, then the order.

    Raises `Refused` for a bad signature or age, before anything is spent.
    """
    partner = city.chains[chain]
    partner.verify(timestamp, nonce, body, signature, city.now())
    archive_key = city.archive.put(body)
    try:
        update = partner.parse_update(body)
    except InvalidPayload as invalid:
        log.warning("callback.invalid", chain=chain, archive=archive_key, rules=[f.rule for f in invalid.findings])
        return _answer(422, "invalid", [f.as_dict() for f in invalid.findings])
    source, sha256 = f"chain:{chain}", hashlib.sha256(body).hexdigest()
    for _ in range(3):
        try:
            with city.db.transaction("callback.received") as session:
                if not inbox.spend_nonce(session, chain, nonce, city.now()):
                    return _answer(401, "nonce_used")
                heard = inbox.heard(session, source, update.event_id)
                if heard:
                    return _answer(200, "repeated") if heard.sha256 == sha256 else _answer(409, "conflict")
                answer, rx_id = _apply(city, session, chain, update)
                if answer.status >= 500:
                    return answer  # Not remembered: it is sent again (contract 2.1).
                if inbox.remember(session, source=source, event_id=update.event_id, sha256=sha256,
                                  archive_key=archive_key, at=city.now(), prescription_id=rx_id,
                                  answer_status=answer.status, answer=answer.body):
                    log.info("callback.received", chain=chain, order=update.order_id, said=update.status)
                    return answer
                session.rollback()
        except StaleStatus:
            continue  # The worker moved it meanwhile: look again.
    return _answer(503, "busy")


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


def _apply(city: City, session: Session, chain: str, update: OrderUpdate) -> tuple[Answer, str | None]:
    placed = orders.get(session, update.order_id)
    if placed is None or placed.order.chain != chain:
        return _answer(422, "refused", "unknown order"), None
    rx_id = placed.order.prescription_id
    secret = open_secrets(city, placed)
    if not hmac.compare_digest(secret["claim_secret"], update.claim_secret):
        return _answer(422, "refused", "not this order's claim secret"), rx_id
    if (update.status is OrderStatus.HANDED_OVER and secret["pickup_code"]
            and not hmac.compare_digest(secret["pickup_code"], update.pickup_code)):
        return _answer(422, "refused", "wrong pickup code"), rx_id
    if update.status is OrderStatus.RETURNED and placed.status in ALIVE:
        # It has overtaken the word of the handover; ignoring it would leave the fund paying for what came back.
        return _answer(503, "early"), rx_id
    unknown = set(update.lines) - {line.line for line in placed.order.lines}
    if unknown:
        return _answer(422, "refused", "a line this order does not have"), rx_id
    if update.status is OrderStatus.RETURNED and not update.lines:
        return _answer(422, "refused", "a return that names no line"), rx_id
    loaded = prescriptions.load(session, rx_id)
    if update.status is OrderStatus.RETURNED:
        placed = orders.get(session, update.order_id) or placed
    # A chain's free words may name a person; they stay in the archive with the raw callback.
    reason = update.reason if update.reason in CAUSES or not update.reason else "other"
    event = shown(update.event_id)
    if placed.status in GONE and update.status in (OrderStatus.HANDED_OVER, OrderStatus.RETURNED):
        # We took it back, or it declined, and yet the patient has it: too true to drop, too late to act on.
        disagree(session, kind="late_word_from_chain", subject=event, expected=placed.status,
                 actual=update.status, at=city.now(), prescription_id=rx_id)
        history.append(session, loaded.head, actor=f"chain:{chain}", event=Event.WORD_AFTER_ORDER,
                       at=city.now(), wake_at=loaded.wake_at, waiting_for=loaded.waiting_for,
                       detail={"order": placed.id, "event": event, "status": update.status, "order_was": placed.status})
        return _answer(200, "applied"), rx_id
    if not orders.advance(session, placed, update.status, at=city.now(), reason=reason,
                          returned=update.lines):
        return _answer(200, "ignored"), rx_id
    detail = {"order": placed.id, "event": event, "status": update.status, "cause": reason,
              "lines": list(update.lines), "at": update.at.isoformat()}
    if loaded.status in FINAL:
        # Too late to act on, too true to drop: a person has to look.
        disagree(session, kind="late_word_from_chain", subject=event, expected=loaded.status,
                 actual=update.status, at=city.now(), prescription_id=rx_id)
        history.append(session, loaded.head, actor=f"chain:{chain}", event=Event.WORD_AFTER_END,
                       at=city.now(), wake_at=None, detail=detail | {"prescription_was": loaded.status})
        return _answer(200, "applied"), rx_id
    history.append(session, loaded.head, actor=f"chain:{chain}", event=Event.ORDER_UPDATE, at=city.now(),
                   wake_at=_due(city, loaded, update), waiting_for=_awaited(loaded, update), detail=detail)
    return _answer(200, "applied"), rx_id


def _due(city: City, loaded: Loaded, update: OrderUpdate) -> datetime | None:
    """Words on the way change nothing the platform owes; ends and the first yes do."""
    if update.status in (OrderStatus.PREPARED, OrderStatus.IN_DELIVERY):
        return loaded.wake_at or city.now()
    return city.now()


def _awaited(loaded: Loaded, update: OrderUpdate) -> str:
    """A pharmacy that has answered is overdue no more; a patient who has not got the medicine still is."""
    ended = loaded.waiting_for == Wait.RECEIPT_OVERDUE and update.status not in ALIVE
    return Wait.RECEIPT if ended or loaded.waiting_for == Wait.ACCEPTANCE_OVERDUE else loaded.waiting_for


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


def _answer(status: int, result: str, why: object = None) -> Answer:
    body = {"result": result} | ({"why": why} if why else {})
    return Answer(status, json.dumps(body, ensure_ascii=False).encode())


