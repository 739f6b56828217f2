"""The line: which step works on a prescription in which status, and how far one hop goes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, RxError, StaleStatus, Transient
from domain.events import Event, Wait
from domain.lifecycle import FINAL, OWNERS, STAGES, Owner, Status
from infra import metrics
from infra.db import effects, history, prescriptions
from infra.db.effects import Effect
from infra.db.history import Head
from infra.log import bind, current_run, get_logger
from tasks.audit import audit_prescription
from tasks.city import City
from tasks.fulfilment.situation import look_after_failure
from tasks.fulfilment.step import fulfil, start_allocation
from tasks.review import await_review, open_review

log = get_logger(__name__)

Step = Callable[[City, str], Awaitable[Head]]
"""What the platform does in a status; returns where the prescription is after it."""

STEPS: Mapping[Status, Step] = {
    Status.RECEIVED: audit_prescription,
    Status.AUDITED: open_review,
    Status.IN_REVIEW: await_review,
    Status.REVIEWED: start_allocation,
    Status.ALLOCATING: fulfil,
    Status.FULFILLING: fulfil,
    Status.FULFILLED: fulfil,
    Status.SETTLED: fulfil,
}

BACKOFF = (10, 30, 120, 300, 900)
"""Seconds until the next attempt; the last one for ever. Divided by the city's hurry."""
RED_AFTER = 5
"""Failed attempts after which even a passing trouble needs a person: some eight minutes of it."""
AT_ONCE = 10
"""Prescriptions of one batch that are worked on at the same time: partners answer while others write."""
PATIENCE = 2.0
"""Seconds a batch waits for a prescription whose partner is slow; then its turn goes to the next one."""
TOO_MANY = 40
"""Steps in one hop after which something runs in a circle."""


@dataclass(frozen=True)
class Hop:
    """What one hop did for one prescription."""

    prescription_id: str
    start: Status
    end: Status
    error: str
    """`Transient:timeout` and the like; empty when it went well."""
    alarming: bool
    """Whether a person should look: it can't cure itself, or hasn't for several attempts."""
    started: datetime
    ended: datetime
    readable: bool = True
    """Whether its row could be read; if not, where it is is not known."""

    @property
    def name(self) -> str:
        """How Prefect calls the end of it."""
        if self.error:
            return f"Retrying: {self.error}"
        return f"Done: {self.end}" if self.end in FINAL else f"Waiting: {self.end}"


async def hop(city: City, prescription_id: str) -> Hop:
    """Take one prescription as far as it can go without waiting for anyone; its trouble is never raised.

    Safe to start at any time and twice. What fails is written into its history with the time of the next
    attempt; what needs a person is marked so. If another has moved it first, it is read again.
    """
    return (await hops(city, [prescription_id]))[0]


async def hops(city: City, prescription_ids: Sequence[str], *,
               slow: dict[str, asyncio.Task[Hop]] | None = None) -> list[Hop]:
    """One hop for each, `AT_ONCE` at a time, recorded together.

    Who keeps its turn longer than `PATIENCE`, because its partner is slow, is noted in `slow`, and its turn goes to
    the next one. Those still under way at the end are left there: they go on, are recorded when they end, and are not
    among those returned.
    """
    turns, seen = asyncio.Semaphore(AT_ONCE), _whereabouts(city, prescription_ids)

    async def begin(prescription_id: str) -> asyncio.Task[Hop]:
        async with turns:
            going = asyncio.create_task(_hop(city, prescription_id, seen.get(prescription_id)))
            await asyncio.wait([going], timeout=None if slow is None else PATIENCE)
        if slow is not None and not going.done():
            slow[prescription_id] = going
        return going

    going = dict(zip(prescription_ids, await asyncio.gather(*map(begin, prescription_ids)), strict=True))
    ended = {prescription_id: task.result() for prescription_id, task in going.items() if task.done()}
    if slow:
        for prescription_id in ended:
            slow.pop(prescription_id, None)
    for prescription_id in going.keys() - ended.keys():
        going[prescription_id].add_done_callback(lambda task: _record(city, [task.result()]))
    _record(city, list(ended.values()))
    return list(ended.values())


async def _hop(city: City, prescription_id: str, seen: Status | None) -> Hop:
    started = city.now()
    with bind(prescription=prescription_id):
        try:
            start = end = seen or _where(city, prescription_id)
            error, alarming = "", False
            try:
                end = await _advance(city, prescription_id, start)
            except Exception as trouble:
                end = _where(city, prescription_id)
                error, alarming = _trouble(city, prescription_id, trouble)
        except Exception as fault:
            # Not even its own row can be read or written: it must not take the batch with it.
            return _unreadable(city, prescription_id, started, fault)
    return Hop(prescription_id, start, end, error, alarming, started, city.now())


def _record(city: City, ended: Sequence[Hop]) -> None:
    """Which run had a part in which prescription: for people who look, so its loss must not stop the work."""
    readable = [hop for hop in ended if hop.readable]
    for hop in readable:
        metrics.hop_ended(STAGES[hop.start], str(hop.end), hop.error, (hop.ended - hop.started).total_seconds())
    try:
        with city.db.transaction("hop.recorded") as session:
            prescriptions.record_hops(session, current_run(), [
                {"prescription_id": hop.prescription_id, "started_at": hop.started, "ended_at": hop.ended,
                 "from_status": hop.start, "to_status": hop.end, "error": hop.error[:80]}
                for hop in readable])
    except Exception as fault:
        log.error("hop.not_recorded", error=type(fault).__name__)


def _unreadable(city: City, prescription_id: str, started: datetime, fault: Exception) -> Hop:
    kind = type(fault).__name__
    log.error("hop.unreadable", prescription=prescription_id, error=kind, exc_info=_bare(fault))
    with suppress(Exception), city.db.transaction("hop.set_aside") as session:
        prescriptions.set_aside(session, prescription_id, until=city.after(seconds=BACKOFF[-1]), trouble=kind)
    return Hop(prescription_id, Status.RECEIVED, Status.RECEIVED, kind, True, started, city.now(), readable=False)


async def _advance(city: City, prescription_id: str, status: Status) -> Status:
    stale = 0
    for _ in range(TOO_MANY):
        if status in FINAL:
            return status
        try:
            head = await STEPS[status](city, prescription_id)
        except StaleStatus:
            stale += 1
            if stale > 5:
                raise
            status = _where(city, prescription_id)
            continue
        status = head.status
        if head.wake_at is None or head.wake_at > city.now():
            return status
    raise NeedsOperator(f"{prescription_id} runs in a circle at {status}", code="circle")


def _whereabouts(city: City, prescription_ids: Sequence[str]) -> Mapping[str, Status]:
    """Where they all are, by one query: a step notices what has moved since, and the hop counts from where it was seen.

    Nothing if that fails. Then each is looked for by itself, so that a row that cannot be read stops no other.
    """
    with suppress(Exception), city.db.reading() as session:
        return prescriptions.statuses(session, prescription_ids)
    return {}


def _where(city: City, prescription_id: str) -> Status:
    with city.db.reading() as session:
        return prescriptions.statuses(session, [prescription_id])[prescription_id]


def _trouble(city: City, prescription_id: str, trouble: Exception) -> tuple[str, bool]:
    """Write the trouble down and set the next attempt; returns its code and whether a person should look."""
    kind = type(trouble).__name__
    code = f"{kind}:{trouble.code}" if isinstance(trouble, RxError) and trouble.code != kind else kind
    if not isinstance(trouble, RxError):
        log.error("hop.bug", prescription=prescription_id, error=kind, exc_info=_bare(trouble))
    try:
        attempts = _again_later(city, prescription_id, trouble, code)
    except StaleStatus:
        return code, False  # Another moved it while it failed here; each move wakes it.
    log.warning("hop.failed", prescription=prescription_id, error=code, attempt=attempts)
    passing = isinstance(trouble, Transient | OutcomeUnknown | StaleStatus)
    return code, not passing or attempts >= RED_AFTER


def _again_later(city: City, prescription_id: str, trouble: Exception, code: str) -> int:
    """Back-off belongs to the effect that failed, where one did: what else the prescription owes does not wait for it."""
    with city.db.transaction("hop.failed") as session:
        loaded = prescriptions.load(session, prescription_id)
        if loaded.status in FINAL:
            raise StaleStatus(f"{prescription_id} ended while a step failed")
        effect = trouble.effect if isinstance(trouble, RxError) and isinstance(trouble.effect, Effect) else None
        before = effects.attempts(session, effect) if effect else None
        attempts = (loaded.attempts if before is None else before) + 1
        again = wake_at = city.after(seconds=BACKOFF[min(attempts, len(BACKOFF)) - 1])
        if effect and before is not None:
            effects.failed(session, effect, again_at=again, trouble=code[:80])
            wake_at = look_after_failure(city, session, loaded, again)
        history.append(
            session, loaded.head, actor="platform", event=Event.ATTEMPT_FAILED, at=city.now(),
            wake_at=wake_at, waiting_for=_WHAT_NEXT[_kind(trouble)], attempts=attempts, trouble=code[:80],
            detail={"error": code, "attempt": attempts, "again_at": again.isoformat(),
                    "stage": STAGES[loaded.status]})
    return attempts


def _kind(trouble: Exception) -> type[Exception]:
    return next((kind for kind in _WHAT_NEXT if isinstance(trouble, kind)), Exception)


def _bare(trouble: Exception) -> BaseException:
    """The trace without the words: a foreign exception may quote what it was given."""
    return RuntimeError(type(trouble).__name__).with_traceback(trouble.__traceback__)


_WHAT_NEXT: Mapping[type[Exception], Wait] = {
    Transient: Wait.RETRY,
    OutcomeUnknown: Wait.PARTNER_WORD,
    StaleStatus: Wait.RETRY,
    Refused: Wait.PERSON_REFUSED,
    InvalidPayload: Wait.PERSON_ANSWER,
    NeedsOperator: Wait.PERSON_SETUP,
    Exception: Wait.PERSON_FAULT,
}

assert set(STEPS) == {status for status, owner in OWNERS.items() if owner is not Owner.NOBODY}
