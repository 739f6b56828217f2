"""Webhooks: what a chain is told about its orders and recalls, sent after the change and read again by a cursor."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.messages import Reply
from adapters.protocols import CallsBack
from domain.errors import NeedsOperator, Transient
from domain.trace import Recall, UseStatus
from domain.webhooks import LOST, Again, GiveUp, Stop, WebhookType, after_failure, succeeded
from infra.db import Session, inbox, outbox, webhooks
from infra.db.notices import NoticeKind, note
from infra.db.traces import Concerned
from infra.json_text import repeated_member
from infra.log import get_logger
from tasks.city import City

log = get_logger(__name__)

MOST = 500
"""Messages that a chain reads again at once."""


class Question(BaseModel):
    """What a chain asks for when it reads again."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    after: str = Field(default="", pattern=r"^[0-9]{0,9}$")
    """The `next` of the answer before; empty: from the beginning."""
    limit: int = Field(default=100, ge=1, le=MOST)


def tell_of_order(session: Session, city: City, chain: str, type: WebhookType, *, order_id: str, rx_id: str, store: str,
                  reason: str = "") -> None:
    """Tell a chain of one of its orders, once for each type; nothing where it takes no webhooks.

    `reason` is a code. Nothing of the patient goes with it: the chain has the order under its id.
    """
    about = {"order_id": order_id, "store_id": store} | ({"reason": reason} if reason else {})
    _tell(session, city, chain, type, f"{order_id}_{type.partition('.')[2]}", about, rx_id)


def tell_of_recall(session: Session, city: City, what: Recall, packs: list[Concerned]) -> None:
    """Tell each chain that takes webhooks of a recall, and of its orders that have packs of it."""
    digest = hashlib.sha256("\n".join((what.drug, what.lot, what.code)).encode()).hexdigest()[:16]
    for chain in city.webhooks:
        which = {"lot": what.lot} if what.lot else {"code": what.code}
        _tell(session, city, chain, WebhookType.RECALL_MADE, f"{chain}_recall_{digest}", {"drug": what.drug} | which, None)
        mine = [pack for pack in packs if pack.place.partition("/")[0] == chain]
        for order_id in dict.fromkeys(pack.order_id for pack in mine):
            of_it = [pack for pack in mine if pack.order_id == order_id]
            rx_id, store = of_it[0].prescription_id, of_it[0].place.partition("/")[2]
            about = {"order_id": order_id, "store_id": store, "drug": what.drug, "packs": [
                {"line": pack.line, "code": pack.code, "handed_over": pack.status is UseStatus.HANDED_OVER} for pack in of_it]}
            _tell(session, city, chain, WebhookType.ORDER_RECALLED, f"{order_id}_recalled_{digest}", about, rx_id)


def _tell(session: Session, city: City, chain: str, type: WebhookType, id: str, about: Mapping[str, Any], rx_id: str | None
          ) -> None:
    if chain not in city.webhooks:
        return
    key = f"evt_{id}"
    body = json.dumps({"type": type, "timestamp": city.now().isoformat(timespec="milliseconds"), "data": about}, sort_keys=True)
    webhooks.enqueue(session, chain, key=key, prescription_id=rx_id, sealed=city.cipher.seal(body, _place(key)), at=city.now())


def _place(key: str) -> str:
    return f"outbox/{key}"


def body_of(city: City, key: str, sealed: bytes) -> str:
    """The message as it is sent."""
    return city.cipher.open(sealed, _place(key))


async def attempt(city: City, parcel: outbox.Parcel, lease: timedelta) -> bool:
    """Send one message once; whether the chain has it. What follows from a failure is written down."""
    try:
        # A longer attempt would meet the next one, which begins when the lease ends.
        async with asyncio.timeout(0.8 * lease.total_seconds()):
            outcome = await _sent(city, parcel)
    except Exception as error:
        outcome = _outcome_of(error)
    if not outcome:
        return True
    log.warning("webhook.failed", key=parcel.key, partner=parcel.partner, outcome=outcome)
    # If even that cannot be written, its lease ends and it is due again.
    with suppress(Exception), city.db.transaction("webhook.failed") as session:
        _follow(session, city, parcel, outcome)
    return False


async def _sent(city: City, parcel: outbox.Parcel) -> str:
    """The outcome of an attempt; empty when the chain has it."""
    chain = webhooks.chain_of(parcel.partner)
    if chain not in city.webhooks:
        raise NeedsOperator(f"{chain} has no address for webhooks any more", code="no_address")
    body = body_of(city, parcel.key, parcel.sealed)
    status = await city.webhooks[chain].send(parcel.key, body.encode(), city.now())
    return "" if succeeded(status) else f"http_{status}"


def _outcome_of(error: Exception) -> str:
    match error:
        case TimeoutError():
            return LOST
        case NeedsOperator():
            return "denied"
        case Transient():
            return error.code
        case _:
            return "failed"


def _follow(session: Session, city: City, parcel: outbox.Parcel, outcome: str) -> None:
    chain, now = webhooks.chain_of(parcel.partner), city.now()
    match after_failure(outcome, parcel.attempts, _jitter(parcel)):
        case Again(seconds):
            outbox.failed(session, parcel.key, error=outcome, again_at=city.after(seconds=seconds))
        case GiveUp():
            webhooks.give_up(session, parcel.key, outcome)
            _notify(session, city, chain, f"{city.today()}", "given_up")
        case Stop():
            webhooks.stop(session, chain, parcel.key, now)
            _notify(session, city, chain, f"{city.today()} 410", "gone")


def _notify(session: Session, city: City, chain: str, subject: str, why: str) -> None:
    note(session, kind=NoticeKind.WEBHOOK_STOPPED, partner=chain, subject=subject, detail=why, at=city.now())


def _jitter(parcel: outbox.Parcel) -> float:
    """From 0 to 1, another for each message and attempt."""
    return int.from_bytes(hashlib.sha256(f"{parcel.key}\n{parcel.attempts}".encode()).digest()[:4]) / 2**32


def read_again(city: City, chain: str, caller: CallsBack, *, timestamp: str, nonce: str, signature: str, body: bytes) -> Reply:
    """What a chain was told and is to be told, from a position on, the oldest first (contract 2.9).

    Raises `Refused` for a bad signature or age.
    """
    caller.verify(timestamp, nonce, body, signature, city.now())
    if twice := repeated_member(body):
        return _reply(422, {"result": "invalid", "why": [twice]})
    try:
        question = Question.model_validate_json(body)
    except ValidationError as error:
        return _reply(422, {"result": "invalid", "why": sorted({".".join(map(str, fault["loc"])) or "$" for fault in error.errors(
            include_url=False, include_context=False, include_input=False)})})
    after = int(question.after or 0)
    with city.db.transaction("webhook.read") as session:
        if not inbox.spend_nonce(session, chain, nonce, city.now()):
            return _reply(401, {"result": "nonce_used"})
        stored = webhooks.page(session, chain, after, question.limit + 1)
    shown = stored[:question.limit]
    return _reply(200, {
        "events": [{"id": message.key, **json.loads(body_of(city, message.key, message.sealed))} for message in shown],
        "next": str(shown[-1].position if shown else after), "more": len(stored) > len(shown)})


def _reply(status: int, answer: Mapping[str, Any]) -> Reply:
    return Reply(json.dumps(answer, ensure_ascii=False).encode(), status, "application/json")


def send_again(city: City, chain: str, key: str) -> bool:
    """A person has one message sent now, delivered before or not; False if the chain has none of that key.

    One that had used up its attempts is tried once.
    """
    with city.db.transaction("webhook.again") as session:
        return webhooks.send_again(session, chain, key, city.now())


def resume(city: City, chain: str) -> bool:
    """A person says that the chain's address is in use again: what was not sent meanwhile goes out. Whether it was not in use."""
    with city.db.transaction("webhook.resumed") as session:
        return webhooks.resume(session, chain, city.now())
