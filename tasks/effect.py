"""Change the outside world exactly once: record the intent, call, record the answer."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter

from domain.errors import OutcomeUnknown, Refused
from infra.db import effects
from infra.db.effects import Effect
from tasks.city import City

T = TypeVar("T")


async def once(
    city: City,
    effect: Effect,
    *,
    partner: str,
    request: bytes,
    answer: TypeAdapter[Any],
    send: Callable[[], Awaitable[T]],
    ask: Callable[[], Awaitable[T | None]],
) -> T:
    """The partner's answer to one effect, however often this is called and wherever it crashed.

    The intent is recorded first. If it was there already without an answer, or the answer gets lost,
    we `ask` what the partner has under our key before we `send` again. A business no is an answer too:
    it is recorded, and raised again on every repeat as `Refused`.

    Raises `OutcomeUnknown` when neither sending nor asking told us; the intent stays open and the next
    attempt asks first.
    """
    digest = hashlib.sha256(request).hexdigest()
    with city.db.transaction(f"{effect.step}.intended") as session:
        intent = effects.intend(session, effect, partner=partner, request_sha256=digest, at=city.now())
    if intent.refusal:
        raise Refused(f"{partner}: {effect.step} was refused: {intent.refusal}", code=intent.refusal)
    if intent.answer is not None:
        known: T = answer.validate_python(intent.answer["value"])
        return known

    try:
        found = None if intent.new else await ask()
        if found is None:
            found = await _send_and_ask(send, ask)
    except Refused as refusal:
        with city.db.transaction(f"{effect.step}.refused") as session:
            effects.answered(session, effect, answer=None, refusal=refusal.code[:80], at=city.now())
        raise
    with city.db.transaction(f"{effect.step}.answered") as session:
        value = {"value": answer.dump_python(found, mode="json")}
        effects.answered(session, effect, answer=value, refusal="", at=city.now())
    return found


async def _send_and_ask(send: Callable[[], Awaitable[T]], ask: Callable[[], Awaitable[T | None]]) -> T:
    try:
        return await send()
    except OutcomeUnknown:
        if (found := await ask()) is not None:
            return found
        raise
