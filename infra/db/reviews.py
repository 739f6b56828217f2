"""The pharmacists' queue: open, claim, decide."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.lifecycle import Status
from infra.db.engine import run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import AuditRunRow, PrescriptionRow, ReviewRow


@dataclass(frozen=True)
class Queued:
    """One prescription in the queue. `claimed_by` is empty when it is free."""

    id: str
    hospital: str
    opened_at: datetime
    valid_until: datetime
    expedited: bool
    claimed_by: str
    warnings: int


_REVIEW = table(ReviewRow)
_ROW = _REVIEW.c
_INSERT = Precompiled(sa.insert(_REVIEW))
_GET = Precompiled(sa.select(_REVIEW).where(_ROW.prescription_id == sa.bindparam("id")))
_CLAIM = Precompiled(
    sa.update(_REVIEW)
    .where(_ROW.prescription_id == sa.bindparam("id"), _ROW.decision.is_(None),
           sa.or_(_ROW.pharmacist.is_(None), _ROW.pharmacist == sa.bindparam("who"),
                  _ROW.claim_until <= sa.bindparam("at")))
    .values(pharmacist=sa.bindparam("who"), claim_until=sa.bindparam("until"),
            lapses=_ROW.lapses + sa.case((_ROW.claim_until <= sa.bindparam("at"), 1), else_=0))
)
_DECIDE = Precompiled(
    sa.update(_REVIEW)
    .where(_ROW.prescription_id == sa.bindparam("id"), _ROW.pharmacist == sa.bindparam("who"), _ROW.decision.is_(None))
    .values({column: sa.bindparam(f"new_{column}")
             for column in ("decision", "codes", "text", "reasons", "request_sha256", "decided_at")})
)


def open_review(session: Session, prescription_id: str, prescriber: str, at: datetime) -> None:
    run(session, _INSERT, {"prescription_id": prescription_id, "prescriber": prescriber, "opened_at": at, "codes": [],
                           "reasons": {}})


def get(session: Session, prescription_id: str) -> Any:
    """The columns of `ReviewRow`, or None."""
    return run(session, _GET, {"id": prescription_id}).one_or_none()


def queue(session: Session, at: datetime, soon: timedelta, limit: int = 200) -> list[Queued]:
    """Everything in review, expedited first, then what expires `soon`, then the oldest (C-01)."""

    warnings = (sa.select(AuditRunRow.warnings).where(AuditRunRow.prescription_id == PrescriptionRow.id)
                .order_by(AuditRunRow.number.desc()).limit(1).scalar_subquery())
    rows = session.execute(
        sa.select(PrescriptionRow.id, PrescriptionRow.hospital, PrescriptionRow.valid_until,
                  PrescriptionRow.expedited, ReviewRow.opened_at, ReviewRow.pharmacist, ReviewRow.claim_until,
                  sa.func.coalesce(warnings, 0).label("warnings"))
        .join(ReviewRow, ReviewRow.prescription_id == PrescriptionRow.id)
        .where(PrescriptionRow.status == Status.IN_REVIEW)
        .order_by(PrescriptionRow.expedited.desc(), sa.case((PrescriptionRow.valid_until <= at + soon, 0), else_=1),
                  ReviewRow.opened_at).limit(limit))
    return [Queued(row.id, row.hospital, row.opened_at, row.valid_until, row.expedited,
                   row.pharmacist if row.pharmacist and row.claim_until and row.claim_until > at else "",
                   row.warnings) for row in rows]


def assign(session: Session, prescription_id: str, pharmacist: str, *, at: datetime, until: datetime) -> bool:
    """Lock a review for one pharmacist; False if another holds it. A claim that ran out counts as a lapse."""
    return run(session, _CLAIM, {"id": prescription_id, "who": pharmacist, "at": at, "until": until}).rowcount == 1


def decide(session: Session, prescription_id: str, pharmacist: str, *, decision: str, codes: list[str], text: str,
           reasons: dict[str, Any], request_sha256: str, at: datetime) -> None:
    """Record a decision. Raises `StaleStatus` if the assignment has passed to another pharmacist meanwhile."""
    decided = run(session, _DECIDE, {
        "id": prescription_id, "who": pharmacist, "new_decision": decision, "new_codes": codes, "new_text": text,
        "new_reasons": reasons, "new_request_sha256": request_sha256, "new_decided_at": at})
    if decided.rowcount != 1:
        raise StaleStatus(f"{prescription_id} is no longer claimed by {pharmacist}")
