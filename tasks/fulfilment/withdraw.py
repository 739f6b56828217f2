"""Taking an order back from its chain, and what follows when the chain does not let it go."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

from domain.chains import ChainWord, Receipt
from domain.errors import NeedsOperator, OutcomeUnknown, Refused
from domain.events import Event
from domain.fulfilment.orders import ALIVE, GONE, MEANINGS, OrderStatus, Placed
from domain.fulfilment.plan import NO_ANSWER, Pause, RefuseWish, Withdraw
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import Notice
from domain.webhooks import WebhookType
from infra.db import Session, history, orders, wishes
from infra.db.effects import Effect
from infra.db.history import Head
from infra.db.prescriptions import Loaded, canonical
from infra.db.stored import RECEIPT
from tasks import reports, webhooks
from tasks.city import City
from tasks.effect import once

T = TypeVar("T")


async def take_back(city: City, loaded: Loaded, placed: Placed, move: Withdraw) -> Head:
    """Ask the chain to let an order go. Its yes, or a status that we had not heard of, makes the plan go on at once."""
    word = await withdraw(city, placed, move.reason)
    now = city.now()
    if word is ChainWord.CANCELLED:
        if move.reason == NO_ANSWER:
            return _note(city, loaded, placed, Event.NO_ANSWER)
        return replace(loaded.head, wake_at=now)
    match move.refused:
        case None:
            return replace(loaded.head, wake_at=now)
        case RefuseWish():
            return _refuse_wish(city, loaded, placed)
        case Pause(until, wait):
            # A timer never changes a fact: it cannot be taken back, and may still be handed over, or has been.
            moved = word is not placed.word
            if moved and move.reason == NO_ANSWER:
                return _note(city, loaded, placed, Event.WORD_MISSED, status=word)
            ended = MEANINGS[word].order not in ALIVE
            with city.db.transaction("delivery.overdue") as session:
                return history.wait(session, loaded.head, until=now if ended else until, waiting_for=wait)


CALL_SECONDS = 15
"""Longest that a chain is waited for: who wished to cancel waits as well (`CityPolicy.answer_cancel_within`)."""


async def withdraw(city: City, placed: Placed, reason: str) -> ChainWord:
    """Take an order back from its chain; returns its word: CANCELLED, or where the chain says it is.

    The chain's no is final for this reason only: a later withdrawal asks anew. Raises `NeedsOperator` (code
    `order_unknown`) when the chain no longer knows an order it had confirmed: medicine may lie packed for it.
    """
    chain = city.chains[placed.order.chain]

    async def cancelled() -> Receipt | None:
        receipt = await _in_time(chain.find(placed.id))
        if receipt and MEANINGS[receipt.status].order in GONE:
            return Receipt(receipt.reference, ChainWord.CANCELLED)
        return None

    async def cancel() -> Receipt:
        try:
            return await _in_time(chain.cancel(placed.id, reason))
        except Refused as no:
            if no.code != "unknown_order":
                raise
            if placed.status is not OrderStatus.HELD:
                raise NeedsOperator(f"{chain.slug} confirmed {placed.id} and no longer knows it; call the pharmacy",
                                    code="order_unknown") from no
            return Receipt("", ChainWord.CANCELLED)  # It never heard of it, so it holds nothing for it.

    def withdrawn(session: Session, _: Receipt) -> ChainWord:
        move_on(session, placed.id, ChainWord.CANCELLED, city, reason=reason)
        return ChainWord.CANCELLED

    effect = Effect(placed.order.prescription_id, "cancel", f"{placed.id}:{reason}"[:40])
    try:
        return await once(city, effect, partner=chain.slug, request=canonical([placed.id, reason]), answer=RECEIPT,
                          send=cancel, ask=cancelled, then=withdrawn)
    except Refused:
        receipt = await _in_time(chain.find(placed.id))
        with city.db.transaction("order.not_withdrawn") as session:
            if receipt:
                move_on(session, placed.id, ChainWord.HANDED_OVER if receipt.status is ChainWord.RETURNED
                        else receipt.status, city)
        word = receipt.status if receipt else placed.word
        return ChainWord.CANCELLED if MEANINGS[word].order in GONE else word


async def _in_time(answer: Awaitable[T]) -> T:
    """Raises `OutcomeUnknown` when the chain takes longer than anybody can wait for."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await answer
    except TimeoutError as error:
        raise OutcomeUnknown("no answer in time", code="slow") from error


def move_on(session: Session, order_id: str, word: ChainWord, city: City, *, reason: str = "") -> Placed:
    """Move an order that we made forward from wherever it is by now."""
    placed = orders.get(session, order_id)
    assert placed is not None
    if orders.advance(session, placed, word, at=city.now(), reason=reason) and word is ChainWord.CANCELLED:
        webhooks.tell_of_order(session, city, placed.order.chain, WebhookType.ORDER_CANCELLED, order_id=placed.id,
                               rx_id=placed.order.prescription_id, store=placed.order.store, reason=reason)
    return placed


def _refuse_wish(city: City, loaded: Loaded, placed: Placed) -> Head:
    """The chain has gone too far with it: the wish to cancel is refused, and the order goes on."""
    with city.db.transaction("delivery.cancel_refused") as session:
        head = history.append(session, loaded.head, actor=f"chain:{placed.order.chain}", event=Event.CANCEL_TOO_LATE,
                              at=city.now(), wake_at=city.now(), waiting_for=loaded.waiting_for, detail={"order": placed.id})
        wishes.answer(session, loaded.id, WishKind.CANCEL, WishAnswer.REFUSED, at=city.now())
        reports.report(session, city, loaded.prescription, Notice.CANCEL_REFUSED, reason=Event.CANCEL_TOO_LATE,
                       again=str(placed.attempt))
    return head


def leave_unanswered(city: City, loaded: Loaded, placed: Placed) -> Head:
    """Who wished to cancel hears that the pharmacy has not answered. It is asked on: its answer is told when it comes."""
    with city.db.transaction("delivery.cancel_unanswered") as session:
        newest = max(wish.id for wish in wishes.of(session, loaded.id) if wish.kind is WishKind.CANCEL)
        head = history.append(session, loaded.head, actor="clock", event=Event.CANCEL_UNANSWERED, at=city.now(),
                              wake_at=city.now(), waiting_for=loaded.waiting_for, detail={"order": placed.id})
        wishes.answer(session, loaded.id, WishKind.CANCEL, WishAnswer.UNANSWERED, at=city.now())
        reports.report(session, city, loaded.prescription, Notice.CANCEL_REFUSED, reason=Event.CANCEL_UNANSWERED,
                       again=f"unanswered:{newest}")
    return head


def _note(city: City, loaded: Loaded, placed: Placed, event: Event, **more: str) -> Head:
    with city.db.transaction("delivery.noted") as session:
        return history.append(session, loaded.head, actor="clock", event=event, at=city.now(), wake_at=city.now(),
                              waiting_for=loaded.waiting_for, detail={"order": placed.id, **more})
