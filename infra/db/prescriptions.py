"""Prescriptions: admit, load, claim for work, nudge."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from domain.findings import Finding
from domain.lifecycle import FINAL, Status
from domain.prescription import Prescription
from infra.db import history
from infra.db.rows import FindingRow, HopRow, ItemRow, OrderRow, PrescriptionRow

PRESCRIPTION = TypeAdapter(Prescription)
FINDING = TypeAdapter(Finding)


@dataclass(frozen=True)
class Loaded:
    """One prescription, with the head that a later write compares itself with."""

    head: history.Head
    prescription: Prescription
    entitlement_sealed: bytes | None
    cancel_reason: str | None
    attempts: int
    wake_at: datetime | None
    waiting_for: str

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def status(self) -> Status:
        return self.head.status


def load(session: Session, prescription_id: str) -> Loaded:
    """Raises `KeyError` for an id we never gave out."""
    row = session.get(PrescriptionRow, prescription_id)
    if row is None:
        raise KeyError(prescription_id)
    return Loaded(history.head_of(row), PRESCRIPTION.validate_python(row.content), row.entitlement_sealed,
                  row.cancel_reason, row.attempts, row.wake_at, row.waiting_for)


def find(session: Session, hospital: str, external_id: str) -> PrescriptionRow | None:
    return session.scalar(sa.select(PrescriptionRow).where(
        PrescriptionRow.hospital == hospital, PrescriptionRow.external_id == external_id))


def admit(session: Session, rx: Prescription, *, patient_sealed: bytes, archive_key: str, at: datetime,
          message: str) -> history.Head:
    """A new prescription with its items, due at once."""
    row = PrescriptionRow(
        id=rx.id, hospital=rx.hospital, external_id=rx.external_id, patient_id=rx.patient.id,
        patient_sealed=patient_sealed,
        content=PRESCRIPTION.dump_python(rx, mode="json"), archive_key=archive_key, received_at=at,
        valid_until=rx.valid_until, expedited=rx.kind == "emergency", wake_at=at, waiting_for="audit",
    )
    head = history.begin(session, row, actor=f"hospital:{rx.hospital}", reason="received and archived", at=at,
                         detail={"message": message, "archive": archive_key, "items": len(rx.items)})
    session.add_all(ItemRow(prescription_id=rx.id, line=item.line, drug=item.drug, quantity=item.quantity,
                            status="open") for item in rx.items)
    return head


def patient_sealed(session: Session, prescription_id: str) -> bytes:
    return session.scalars(sa.select(PrescriptionRow.patient_sealed).where(PrescriptionRow.id == prescription_id)).one()


def save_findings(session: Session, prescription_id: str, findings: Sequence[Finding]) -> None:
    session.execute(sa.delete(FindingRow).where(FindingRow.prescription_id == prescription_id))
    session.add_all(
        FindingRow(prescription_id=prescription_id, seq=seq, code=finding.code, severity=finding.severity,
                   content=FINDING.dump_python(finding, mode="json"))
        for seq, finding in enumerate(findings, 1)
    )


def findings(session: Session, prescription_id: str) -> list[Finding]:
    rows = session.scalars(sa.select(FindingRow.content).where(FindingRow.prescription_id == prescription_id)
                           .order_by(FindingRow.seq))
    return [FINDING.validate_python(content) for content in rows]


def save_entitlement(session: Session, prescription_id: str, sealed: bytes) -> None:
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id == prescription_id)
                    .values(entitlement_sealed=sealed).execution_options(synchronize_session=False))


@dataclass(frozen=True)
class Due:
    """A prescription a worker has claimed."""

    id: str
    status: Status
    hospital: str
    attempts: int
    expedited: bool
    chain: str
    """Who has, or last had, its order; empty when no pharmacy was asked yet."""


def claim_due(session: Session, owner: str, *, at: datetime, lease: timedelta, limit: int) -> list[Due]:
    """Claim up to `limit` prescriptions that are due and that nobody else is working on.

    The lease keeps others away; if this worker dies, it runs out and they are due again.
    """
    due = (
        sa.select(PrescriptionRow.id)
        .where(PrescriptionRow.wake_at <= at,
               sa.or_(PrescriptionRow.lease_until.is_(None), PrescriptionRow.lease_until < at))
        .order_by(PrescriptionRow.expedited.desc(), PrescriptionRow.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(due))
    if not ids:
        return []
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id.in_(ids))
                    .values(lease_owner=owner, lease_until=at + lease).execution_options(synchronize_session=False))
    chain = (sa.select(OrderRow.chain).where(OrderRow.prescription_id == PrescriptionRow.id)
             .order_by(OrderRow.attempt.desc()).limit(1).scalar_subquery())
    rows = session.execute(sa.select(PrescriptionRow.id, PrescriptionRow.status, PrescriptionRow.hospital,
                                     PrescriptionRow.attempts, PrescriptionRow.expedited, chain.label("chain"))
                           .where(PrescriptionRow.id.in_(ids)))
    found = {row.id: Due(row.id, Status(row.status), row.hospital, row.attempts, row.expedited, row.chain or "")
             for row in rows}
    return [found[prescription_id] for prescription_id in ids]


def set_aside(session: Session, prescription_id: str, *, until: datetime, trouble: str) -> None:
    """Get a row that cannot even be read out of the way for a while: it comes again alone, and the board shows it."""
    session.execute(
        sa.update(PrescriptionRow).where(PrescriptionRow.id == prescription_id)
        .values(wake_at=until, attempts=PrescriptionRow.attempts + 1, trouble=trouble,
                waiting_for="a person: its row cannot be read").execution_options(synchronize_session=False))


def lease(session: Session, prescription_id: str, owner: str, *, at: datetime, until: datetime) -> bool:
    """Claim one prescription, due or not; False while somebody else works on it."""
    taken = session.execute(
        sa.update(PrescriptionRow)
        .where(PrescriptionRow.id == prescription_id,
               sa.or_(PrescriptionRow.lease_until.is_(None), PrescriptionRow.lease_until < at))
        .values(lease_owner=owner, lease_until=until).execution_options(synchronize_session=False))
    return bool(taken.rowcount == 1)  # type: ignore[attr-defined]


def renew(session: Session, owner: str, ids: Sequence[str], *, until: datetime) -> None:
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id.in_(ids), PrescriptionRow.lease_owner == owner)
                    .values(lease_until=until).execution_options(synchronize_session=False))


def release(session: Session, owner: str, ids: Sequence[str]) -> None:
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id.in_(ids), PrescriptionRow.lease_owner == owner)
                    .values(lease_owner=None, lease_until=None).execution_options(synchronize_session=False))


def wake(session: Session, prescription_id: str, at: datetime) -> None:
    """Make it due, whatever it waits for. Harmless at any time: a hop finds nothing to do and sleeps again.

    What has ended stays asleep: no hop would ever put it back.
    """
    session.execute(
        sa.update(PrescriptionRow)
        .where(PrescriptionRow.id == prescription_id, PrescriptionRow.status.not_in(FINAL),
               sa.or_(PrescriptionRow.wake_at.is_(None), PrescriptionRow.wake_at > at))
        .values(wake_at=at).execution_options(synchronize_session=False))


def forgotten(session: Session, statuses: Sequence[Status]) -> list[str]:
    """Prescriptions in these statuses that no clock will wake."""
    return list(session.scalars(sa.select(PrescriptionRow.id).where(
        PrescriptionRow.status.in_(statuses), PrescriptionRow.wake_at.is_(None))))


def record_hop(session: Session, *, run_id: str, prescription_id: str, started_at: datetime, ended_at: datetime,
               start: Status, end: Status, error: str) -> None:
    session.add(HopRow(run_id=run_id, prescription_id=prescription_id, started_at=started_at, ended_at=ended_at,
                       from_status=start, to_status=end, error=error))


def canonical(value: Any) -> bytes:
    """JSON in one spelling, for digests."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode()
