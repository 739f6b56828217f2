"""A chain's word about one of our orders: one way in for all that bring it.

A callback, a poll and a page of ours bring it in different ways (`tasks.callbacks`, `tasks.polling`); what it means is decided
here.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.messages import Reply
from adapters.protocols import WritesUpdates
from domain.chains import ChainWord, OrderUpdate
from domain.errors import InvalidPayload, StaleStatus
from domain.events import Event, Wait
from domain.findings import Finding
from domain.fulfilment.orders import ALIVE, GONE, MEANINGS, Placed
from domain.lifecycle import FINAL
from domain.privacy import shown
from domain.words import CAUSES
from infra.db import Session, history, inbox, orders, prescriptions
from infra.db.discrepancies import disagree
from infra.db.prescriptions import Loaded
from infra.log import get_logger
from tasks.city import City
from tasks.fulfilment import traces
from tasks.fulfilment.sealed import open_secrets

log = get_logger(__name__)

Admit = Callable[[Session], Reply | None]
"""What the way in has to check in the transaction that stores the update. The answer if it is turned away, None if it may pass."""
Follow = Callable[[Session], None]
"""What the way in writes in that transaction once the update has been taken. If it raises `StaleStatus`, all is tried again."""

Apply = Callable[[Session], tuple[Reply, str | None]]
"""What an update means: the answer, and the id of the prescription if it is about one."""


@dataclass(frozen=True)
class Evidence:
    """The update as it was written down, kept in the archive."""

    archive_key: str
    sha256: str
    """Of its bytes: the same event with other bytes is a conflict."""


def keep(city: City, raw: bytes) -> Evidence:
    """Archive an update as it came, before it is read."""
    return Evidence(city.archive.put(raw), hashlib.sha256(raw).hexdigest())


def receive(city: City, chain: str, writer: WritesUpdates, raw: bytes, admit: Admit = lambda session: None) -> Reply:
    """Take in an update in a chain's own bytes: archived, read, accepted. Never raises for what it says."""
    evidence = keep(city, raw)
    try:
        update = writer.parse_update(raw)
    except InvalidPayload as invalid:
        log.warning("update.invalid", chain=chain, archive=evidence.archive_key, rules=[f.rule for f in invalid.findings])
        return reply(422, "invalid", [finding.as_dict() for finding in invalid.findings])
    return accept(city, chain, update, evidence, admit)


def accept(city: City, chain: str, update: OrderUpdate, evidence: Evidence, admit: Admit = lambda session: None,
           follow: Follow = lambda session: None) -> Reply:
    """Do what a chain's word about an order means, once for each event id, and remember the answer.

    The status of the answer says who must act. Below 300 it is done, or was done before. From 400 on the chain must correct it.
    From 500 on nothing is remembered, and the chain sends it again.
    """
    answer = take_in(city, f"chain:{chain}", update.event_id, evidence, admit,
                     lambda session: _apply(city, session, chain, update), follow)
    log.info("update.received", chain=chain, order=shown(update.order_id), status=update.status, answer=answer.status)
    return answer


def take_in(city: City, source: str, event_id: str, evidence: Evidence, admit: Admit, apply: Apply,
            follow: Follow = lambda session: None) -> Reply:
    """Do what an update means, once for each event id of its source, and remember the answer."""
    for _ in range(3):
        try:
            with city.db.transaction("update.received") as session:
                if turned_away := admit(session):
                    return turned_away
                if earlier := inbox.earlier(session, source, event_id):
                    return reply(200, "repeated") if earlier.sha256 == evidence.sha256 else reply(409, "conflict")
                answer, rx_id = apply(session)
                if answer.status >= 500:
                    return answer  # Not remembered: it is sent again (contract 2.1).
                if inbox.remember(session, source=source, event_id=event_id, sha256=evidence.sha256,
                                  archive_key=evidence.archive_key, at=city.now(), prescription_id=rx_id,
                                  answer_status=answer.status, answer=answer.body):
                    if answer.status < 300:
                        follow(session)
                    return answer
                session.rollback()
        except StaleStatus:
            continue  # Another process moved the order or the prescription meanwhile: read them again.
    return reply(503, "busy")


def _apply(city: City, session: Session, chain: str, update: OrderUpdate) -> tuple[Reply, str | None]:
    """The answer, and the id of the prescription if the order is one of this chain's."""
    placed = orders.get(session, update.order_id)
    if placed is None or placed.order.chain != chain:
        return reply(422, "refused", "unknown order"), None
    rx_id = placed.order.prescription_id
    secret = open_secrets(city, placed)
    if not _same(secret["claim_secret"], update.claim_secret):
        return reply(422, "refused", "not this order's claim secret"), rx_id
    if update.status is ChainWord.HANDED_OVER and secret["pickup_code"] and not _same(secret["pickup_code"], update.pickup_code):
        return reply(422, "refused", "wrong pickup code"), rx_id
    if update.status is ChainWord.RETURNED and placed.status in ALIVE:
        # The return has overtaken the handover. If it were ignored, the fund would pay for what came back.
        return reply(503, "early"), rx_id
    if set(update.lines) - {line.line for line in placed.order.lines}:
        return reply(422, "refused", "a line this order does not have"), rx_id
    if update.status is ChainWord.RETURNED and not update.lines:
        return reply(422, "refused", "a return that names no line"), rx_id
    loaded = prescriptions.load(session, rx_id)
    if update.status is ChainWord.RETURNED:
        # Another return may have brought back lines since the order was read, which would be forgotten. So the order is read
        # again under the head that the write below compares itself with.
        placed = orders.get(session, update.order_id) or placed
    # A chain's free text may name a person. It stays in the archive with the raw update.
    reason = update.reason if update.reason in CAUSES or not update.reason else "other"
    event_id = shown(update.event_id)
    codes = traces.take(city, session, placed, loaded.prescription, update)
    if placed.status in GONE and update.status in (ChainWord.HANDED_OVER, ChainWord.RETURNED):
        # The order was cancelled or declined, but the chain reports a handover. A person has to look; no status changes.
        disagree(session, kind="late_word_from_chain", subject=event_id, expected=placed.word,
                 actual=update.status, at=city.now(), prescription_id=rx_id)
        history.append(session, loaded.head, actor=f"chain:{chain}", event=Event.WORD_AFTER_ORDER,
                       at=city.now(), wake_at=loaded.wake_at, waiting_for=loaded.waiting_for,
                       detail={"order": placed.id, "event": event_id, "status": update.status, "order_was": placed.word})
        return reply(200, "applied", findings=codes.findings), rx_id
    moved = orders.advance(session, placed, update.status, at=city.now(), reason=reason, returned=update.lines)
    if not moved and not codes.changed:
        return reply(200, "ignored", findings=codes.findings), rx_id
    detail = {"order": placed.id, "event": event_id, "status": update.status, "cause": reason,
              "lines": list(update.lines), "at": update.at.isoformat()}
    if loaded.status in FINAL:
        # The prescription has ended. The order keeps the fact, and a person has to look.
        disagree(session, kind="late_word_from_chain", subject=event_id, expected=loaded.status,
                 actual=update.status, at=city.now(), prescription_id=rx_id)
        history.append(session, loaded.head, actor=f"chain:{chain}", event=Event.WORD_AFTER_END,
                       at=city.now(), wake_at=None, detail=detail | {"prescription_was": loaded.status})
        return reply(200, "applied", findings=codes.findings), rx_id
    history.append(session, loaded.head, actor=f"chain:{chain}", event=Event.ORDER_UPDATE, at=city.now(),
                   wake_at=_due(city, loaded, placed, update), waiting_for=_awaited(loaded, update), detail=detail)
    return reply(200, "applied", findings=codes.findings), rx_id


def _same(secret: str, text: str) -> bool:
    """Compared as bytes: `hmac` refuses to compare texts that are not ASCII, and a chain may send any."""
    return hmac.compare_digest(secret.encode(), text.encode())


def _due(city: City, loaded: Loaded, placed: Placed, update: OrderUpdate) -> datetime | None:
    """When the prescription is looked at next: at once after the first yes, after an end, and where a courier is to be sent.

    On the way nothing is owed.
    """
    if update.status is ChainWord.PREPARED and placed.courier:
        return city.now()
    if update.status in (ChainWord.PREPARED, ChainWord.IN_DELIVERY):
        return loaded.wake_at or city.now()
    return city.now()


def _awaited(loaded: Loaded, update: OrderUpdate) -> str:
    """What is waited for now: a pharmacy that has answered is not overdue; a patient without the medicine still is."""
    ended = loaded.waiting_for == Wait.RECEIPT_OVERDUE and MEANINGS[update.status].order not in ALIVE
    return Wait.RECEIPT if ended or loaded.waiting_for == Wait.ACCEPTANCE_OVERDUE else loaded.waiting_for


def reply(status: int, result: str, why: object = None, *, findings: Sequence[Finding] = ()) -> Reply:
    """An answer to an update (contract 2.1); `findings` are about its trace codes."""
    body = {"result": result} | ({"why": why} if why else {}) | (
        {"findings": [finding.as_dict() for finding in findings]} if findings else {})
    return Reply(json.dumps(body, ensure_ascii=False).encode(), status, "application/json")
