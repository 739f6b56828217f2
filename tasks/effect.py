"""Change the outside world exactly once: record the intent, call, record the answer."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.errors import OutcomeUnknown, Refused, RxError
from infra.db import Session, effects
from infra.db.effects import Effect, Intent
from infra.db.stored import Stored
from tasks.city import City

T = TypeVar("T")
R = TypeVar("R")


def intend(city: City, session: Session, effect: Effect, *, partner: str, request: bytes) -> Intent:
    """The intent of an effect, recorded in the caller's transaction, now or earlier.

    Raises `NeedsOperator` when the same key once stood for another request.
    """
    return effects.intend(session, effect, partner=partner, request_sha256=hashlib.sha256(request).hexdigest(),
                          at=city.now())


async def once(
    city: City,
    effect: Effect,
    *,
    partner: str,
    request: bytes,
    answer: Stored[T],
    send: Callable[[], Awaitable[T]],
    ask: Callable[[], Awaitable[T | None]],
    then: Callable[[Session, T], R],
    intent: Intent | None = None,
) -> R:
    """The partner's answer to one effect, however often this is called and wherever it crashed.

    The intent is recorded first, unless the caller has just done so (`intent`). Where it was there already without
    an answer, or the answer gets lost, we `ask` the partner. We `send` only if it has nothing under our key.

    What follows from the answer (`then`) is written in one transaction with it, and must do no harm twice. If it raises,
    the answer is rolled back too: what could refuse belongs before the call. A business no is an answer: it is recorded,
    and raised again on every repeat as `Refused`.

    Returns what `then` returned. Raises `OutcomeUnknown` when neither sending nor asking told us; the intent stays
    open and the next attempt asks first. Each error that it raises names the effect: back-off is the effect's own.
    """
    try:
        return await _once(city, effect, partner=partner, request=request, answer=answer, send=send, ask=ask, then=then,
                           intent=intent)
    except RxError as error:
        error.effect = error.effect or effect
        raise


async def _once(
    city: City,
    effect: Effect,
    *,
    partner: str,
    request: bytes,
    answer: Stored[T],
    send: Callable[[], Awaitable[T]],
    ask: Callable[[], Awaitable[T | None]],
    then: Callable[[Session, T], R],
    intent: Intent | None,
) -> R:
    if intent is None:
        with city.db.transaction(f"{effect.step}.intended") as session:
            intent = intend(city, session, effect, partner=partner, request=request)
    if intent.refusal:
        raise Refused(f"{partner}: {effect.step} was refused: {intent.refusal}", code=intent.refusal)
    value: T | None
    if intent.answer is not None:
        value = answer.read(intent.answer["value"])
    else:
        try:
            value = None if intent.new else await ask()
            if value is None:
                value = await _send_and_ask(send, ask)
        except Refused as refusal:
            with city.db.transaction(f"{effect.step}.refused") as session:
                effects.answered(session, effect, answer=None, refusal=refusal.code[:80], at=city.now())
            raise
    assert value is not None
    with city.db.transaction(f"{effect.step}.answered") as session:
        if intent.answer is None:
            written = {"value": answer.write(value)}
            effects.answered(session, effect, answer=written, refusal="", at=city.now())
        return then(session, value)


async def _send_and_ask(send: Callable[[], Awaitable[T]], ask: Callable[[], Awaitable[T | None]]) -> T:
    try:
        return await send()
    except OutcomeUnknown:
        if (value := await ask()) is not None:
            return value
        raise
