"""Intents: what we are about to do to the outside world, recorded before it is done."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import NeedsOperator, StaleStatus
from infra.db.engine import insert_new, run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import IntentRow, PrescriptionRow
from infra.log import current_run


@dataclass(frozen=True)
class Effect:
    """The unique key of one effect; the partner gets the same key in its own form."""

    prescription_id: str
    step: str
    """hold, place, cancel, settle, reverse, dispatch, revoke."""
    version: str
    """The order id, the claim's reference, or the id of a delivery."""


@dataclass(frozen=True)
class Intent:
    new: bool
    answer: dict[str, Any] | None
    refusal: str


def intend(session: Session, effect: Effect, *, partner: str, request_sha256: str, at: datetime) -> Intent:
    """The intent of an effect, recorded now or earlier.

    Raises `NeedsOperator` when the same key once stood for another request: that is a bug, and
    sending would be worse.
    """
    if insert_new(session, IntentRow, prescription_id=effect.prescription_id, step=effect.step,
                  version=effect.version, partner=partner, request_sha256=request_sha256, made_at=at,
                  run_id=current_run()):
        return Intent(True, None, "")
    row = run(session, _INTENT, _key(effect)).only()
    if row.request_sha256 != request_sha256:
        raise NeedsOperator(f"{effect.step} {effect.version}: the request is not the one intended",
                            code="intent_changed")
    return Intent(False, row.answer, row.refusal)


def answered(session: Session, effect: Effect, *, answer: dict[str, Any] | None, refusal: str, at: datetime) -> None:
    """The partner's answer; what failed before counts no more."""
    if run(session, _ANSWERED, {**_key(effect), "said": answer, "no": refusal, "at": at}).rowcount != 1:
        raise StaleStatus(f"{effect.step} {effect.version} was answered meanwhile")


_TABLE = table(IntentRow)
_ROW = _TABLE.c
_THIS = sa.and_(_ROW.prescription_id == sa.bindparam("of"), _ROW.step == sa.bindparam("the_step"),
                _ROW.version == sa.bindparam("the_version"))
_INTENT = Precompiled(sa.select(_ROW.request_sha256, _ROW.answer, _ROW.refusal, _ROW.answered_at).where(_THIS))
_ANSWERED = Precompiled(sa.update(_TABLE).where(_THIS, _ROW.answered_at.is_(None)).values(
    answer=sa.bindparam("said"), refusal=sa.bindparam("no"), answered_at=sa.bindparam("at"), attempts=0, again_at=None, trouble=""))
_OF_ORDER = sa.and_(
    _ROW.prescription_id == sa.bindparam("of"), _ROW.answered_at.is_(None),
    sa.or_(_ROW.version == sa.bindparam("order"),
           sa.func.substr(_ROW.version, 1, sa.func.length(sa.bindparam("order_with"))) == sa.bindparam("order_with")))
_OVERTAKE = sa.update(_TABLE).where(_OF_ORDER).values(
    refusal="overtaken", answered_at=sa.bindparam("at"), attempts=0, again_at=None, trouble="")
_OVERTAKEN, _STEP_OVERTAKEN = Precompiled(_OVERTAKE), Precompiled(_OVERTAKE.where(_ROW.step == sa.bindparam("the_step")))


def _key(effect: Effect) -> dict[str, Any]:
    return {"of": effect.prescription_id, "the_step": effect.step, "the_version": effect.version}


def forget_refusals(session: Session, prescription_id: str) -> list[Effect]:
    """Let what was refused be tried again, because a person has settled it with the partner; returns which."""
    refused = sa.and_(IntentRow.prescription_id == prescription_id, IntentRow.refusal != "")
    effects = [Effect(row.prescription_id, row.step, row.version)
               for row in session.scalars(sa.select(IntentRow).where(refused))]
    session.execute(sa.delete(IntentRow).where(refused))
    return effects


def overtaken(session: Session, prescription_id: str, order_id: str, *, step: str = "", at: datetime) -> None:
    """The order's own end answers what we did not hear of its effects (of one `step`, or of all)."""
    values = {"of": prescription_id, "order": order_id, "order_with": f"{order_id}:", "at": at}
    if step:
        run(session, _STEP_OVERTAKEN, values | {"the_step": step})
    else:
        run(session, _OVERTAKEN, values)


_FAILED = sa.update(_TABLE).where(_THIS).values(
    attempts=_ROW.attempts + 1, again_at=sa.bindparam("again"), trouble=sa.bindparam("why"))
_ATTEMPTS = sa.select(_ROW.attempts).where(_THIS)


def attempts(session: Session, effect: Effect) -> int | None:
    """How often it has failed since it last went well; None if it was never intended."""
    return run(session, _ATTEMPTS, _key(effect)).scalar_one_or_none()


def failed(session: Session, effect: Effect, *, again_at: datetime, trouble: str) -> None:
    """It is tried again then. What else a prescription owes does not wait for it."""
    run(session, _FAILED, {**_key(effect), "again": again_at, "why": trouble})


_PENDING = Precompiled(sa.select(
    _ROW.step, _ROW.version, _ROW.refusal, _ROW.answered_at, _ROW.again_at, _ROW.attempts, _ROW.trouble).where(
    _ROW.prescription_id == sa.bindparam("of"),
    sa.or_(_ROW.answered_at.is_(None), _ROW.again_at.is_not(None), sa.and_(_ROW.step == "cancel", _ROW.refusal != ""))))


@dataclass(frozen=True)
class Unfinished:
    """An effect without an answer, one that failed, or a withdrawal that was refused."""

    effect: Effect
    refused: bool
    again_at: datetime | None
    attempts: int
    trouble: str


def unfinished(session: Session, prescription_id: str) -> list[Unfinished]:
    """The effects of a prescription that count for what comes next."""
    return [Unfinished(Effect(prescription_id, step, version), bool(refusal), again_at, failed, trouble)
            for step, version, refusal, _, again_at, failed, trouble in run(session, _PENDING, {"of": prescription_id})]


_HURRY = sa.update(_TABLE).where(_ROW.prescription_id == sa.bindparam("of"), _ROW.again_at.is_not(None)).values(
    attempts=0, again_at=None)


def hurry(session: Session, prescription_id: str) -> None:
    """Try at once what failed, because a person says so."""
    run(session, _HURRY, {"of": prescription_id})


def open_intents(session: Session, before: datetime) -> list[str]:
    """Prescriptions with an effect whose outcome has been unknown since before then and that no clock will wake.

    One that has a next attempt is on its way already; to hurry it would void its back-off.
    """
    return list(session.scalars(
        sa.select(IntentRow.prescription_id)
        .join(PrescriptionRow, PrescriptionRow.id == IntentRow.prescription_id)
        .where(IntentRow.answered_at.is_(None), IntentRow.made_at < before, PrescriptionRow.wake_at.is_(None))
        .distinct()))
