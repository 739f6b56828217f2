"""The pharmacists' queue: open, claim, decide."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.lifecycle import Status
from infra.db.rows import FindingRow, PrescriptionRow, ReviewRow


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


def open_review(session: Session, prescription_id: str, prescriber: str, at: datetime) -> None:
    session.add(ReviewRow(prescription_id=prescription_id, prescriber=prescriber, opened_at=at, codes=[], reasons={}))


def get(session: Session, prescription_id: str) -> ReviewRow | None:
    return session.get(ReviewRow, prescription_id)


def queue(session: Session, at: datetime, soon: timedelta, limit: int = 200) -> list[Queued]:
    """Everything in review, expedited first, then what expires `soon`, then the oldest (C-01)."""

    warnings = (sa.select(sa.func.count()).where(FindingRow.prescription_id == PrescriptionRow.id,
                                                 FindingRow.severity == "WARN").scalar_subquery())
    rows = session.execute(
        sa.select(PrescriptionRow.id, PrescriptionRow.hospital, PrescriptionRow.valid_until,
                  PrescriptionRow.expedited, ReviewRow.opened_at, ReviewRow.pharmacist, ReviewRow.claim_until,
                  warnings.label("warnings"))
        .join(ReviewRow, ReviewRow.prescription_id == PrescriptionRow.id)
        .where(PrescriptionRow.status == Status.IN_REVIEW)
        .order_by(PrescriptionRow.expedited.desc(), sa.case((PrescriptionRow.valid_until <= at + soon, 0), else_=1),
                  ReviewRow.opened_at).limit(limit))
    return [Queued(row.id, row.hospital, row.opened_at, row.valid_until, row.expedited,
                   row.pharmacist if row.pharmacist and row.claim_until and row.claim_until > at else "",
                   row.warnings) for row in rows]


def claim(session: Session, prescription_id: str, pharmacist: str, *, at: datetime, until: datetime) -> bool:
    """Lock a review for one pharmacist; False if another holds it. A claim that ran out counts as a lapse."""
    free = sa.or_(ReviewRow.pharmacist.is_(None), ReviewRow.pharmacist == pharmacist, ReviewRow.claim_until <= at)
    lapsed = sa.case((sa.and_(ReviewRow.claim_until.is_not(None), ReviewRow.claim_until <= at), 1), else_=0)
    result = session.execute(
        sa.update(ReviewRow)
        .where(ReviewRow.prescription_id == prescription_id, ReviewRow.decision.is_(None), free)
        .values(pharmacist=pharmacist, claim_until=until, lapses=ReviewRow.lapses + lapsed)
        .execution_options(synchronize_session=False))
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def decide(session: Session, prescription_id: str, pharmacist: str, *, decision: str, codes: list[str], text: str,
           reasons: dict[str, Any], request_sha256: str, at: datetime) -> None:
    """Record a decision. Raises `StaleStatus` if the claim has passed to somebody else in this instant."""
    decided = session.execute(
        sa.update(ReviewRow)
        .where(ReviewRow.prescription_id == prescription_id, ReviewRow.pharmacist == pharmacist,
               ReviewRow.decision.is_(None))
        .values(decision=decision, codes=codes, text=text, reasons=reasons, request_sha256=request_sha256,
                decided_at=at).execution_options(synchronize_session=False))
    if decided.rowcount != 1:  # type: ignore[attr-defined]
        raise StaleStatus(f"{prescription_id} is no longer claimed by {pharmacist}")
