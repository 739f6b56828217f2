"""The tables of a prescription: where it is, what happened to it, its audits and its review, what is wished of it."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from domain.events import Wait
from domain.lifecycle import FINAL
from domain.window import WORK
from infra.db.rows.table import Base, partly, rx

URGENT = "wake_at IS NOT NULL AND (expedited OR attempts > 0 OR wished)"
"""What goes first: emergencies, what failed before, what is wished to be cancelled or taken back."""
ENDED = f"""from_status <> to_status AND to_status IN ({", ".join(f"'{status}'" for status in sorted(FINAL))})"""
"""The last move of a history."""
TROUBLED = "trouble <> ''"
OVERDUE_WAITS = (Wait.ACCEPTANCE_OVERDUE, Wait.RECEIPT_OVERDUE)
OVERDUE = f"""waiting_for IN ({", ".join(f"'{wait}'" for wait in OVERDUE_WAITS)})"""
"""A pharmacy or the patient has let a deadline pass, and the platform cannot end it by itself."""
UNDRAWN = "drawn < version"
"""Something happened since it was drawn in Prefect."""
UNDRAWN_OPEN = f"""{UNDRAWN} AND status IN ({", ".join(f"'{status}'" for status in sorted(WORK))})"""
"""The same of those that are owed an act; what is settled only waits for its return window to end."""


class PrescriptionRow(Base):
    """One prescription and where it is. Only `infra.db.history` writes `status`."""

    __tablename__ = "prescription"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    hospital: Mapped[str] = mapped_column(sa.String(40))
    external_id: Mapped[str] = mapped_column(sa.String(64))
    patient_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    """Opaque; derived from the resident id by a keyed hash, so that one person's prescriptions are found."""
    patient_sealed: Mapped[bytes]
    """Name, resident id, birth date, phone and address as this prescription gave them; encrypted for this row."""
    status: Mapped[str] = mapped_column(sa.String(16))
    version: Mapped[int]
    """Number of history rows. Every write of this row compares it first."""
    head_hash: Mapped[str] = mapped_column(sa.String(64))
    """Hash of the newest history row, so that a shortened chain shows."""
    content: Mapped[dict[str, Any]]
    """`domain.prescription.Prescription` as JSON."""
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    """The bytes as the hospital sent them."""
    received_at: Mapped[datetime]
    valid_until: Mapped[datetime]
    expedited: Mapped[bool] = mapped_column(default=False)
    entitlement_sealed: Mapped[bytes | None]
    """What the fund said of the person at the audit."""
    wished: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Whether a wish to cancel it or to take it back was ever made: see `wish`."""
    wake_at: Mapped[datetime | None]
    """When the platform must look at it next; empty when nothing is owed and no clock runs."""
    waiting_for: Mapped[str] = mapped_column(sa.String(200), default="")
    """A code of `domain.events.Wait`; after a colon its argument."""
    attempts: Mapped[int] = mapped_column(default=0)
    """Failed attempts at the present step."""
    trouble: Mapped[str] = mapped_column(sa.String(80), default="")
    """Code of the present trouble; empty when there is none."""
    lease_owner: Mapped[str | None] = mapped_column(sa.String(60))
    lease_until: Mapped[datetime | None]
    lane: Mapped[str] = mapped_column(sa.String(81), server_default="")
    """`hospital/chain`: whose work it is, `hospital/` before a pharmacy has it. Lanes take turns (`lease_due`)."""
    drawn: Mapped[int | None] = mapped_column(default=0, server_default="0")
    """How many of its history rows are drawn in Prefect. Negative: all are to be drawn anew. Empty: it had ended before there
    were drawings."""

    __table_args__ = (
        sa.UniqueConstraint("hospital", "external_id"),
        sa.Index("ix_prescription_lane_wake_at", "lane", "wake_at", sqlite_where=sa.text("wake_at IS NOT NULL"),
                 postgresql_where=sa.text("wake_at IS NOT NULL")),
        sa.Index("ix_prescription_urgent", "wake_at", sqlite_where=sa.text(URGENT), postgresql_where=sa.text(URGENT)),
        sa.Index("ix_prescription_wake_at", "wake_at", sqlite_where=sa.text("wake_at IS NOT NULL"),
                 postgresql_where=sa.text("wake_at IS NOT NULL")),
        sa.Index("ix_prescription_status_received_at_id", "status", "received_at", "id"),
        partly("ix_prescription_troubled", TROUBLED, "trouble"),
        partly("ix_prescription_overdue", OVERDUE, "waiting_for", "received_at", "id"),
        partly("ix_prescription_undrawn", UNDRAWN, "received_at"),
        partly("ix_prescription_undrawn_open", UNDRAWN_OPEN, "received_at"),
    )


class HistoryRow(Base):
    """What happened, why, and who. Append-only; each row carries the hash of the one before."""

    __tablename__ = "history"

    prescription_id: Mapped[str] = rx(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(sa.String(32))
    """ISO 8601 in UTC; kept as text so that what was hashed is what is stored."""
    from_status: Mapped[str] = mapped_column(sa.String(16))
    to_status: Mapped[str] = mapped_column(sa.String(16))
    """The same as `from_status` for an event that moves nothing."""
    actor: Mapped[str] = mapped_column(sa.String(60))
    reason: Mapped[str] = mapped_column(sa.Text)
    detail: Mapped[str] = mapped_column(sa.Text)
    """Canonical JSON: codes, ids and amounts."""
    run_id: Mapped[str] = mapped_column(sa.String(40))
    """The Prefect flow run, or empty for the gateway."""
    hash: Mapped[str] = mapped_column(sa.String(64))

    __table_args__ = (partly("ix_history_ended", ENDED, "at"), sa.Index("ix_history_at", "at"))


class AuditRunRow(Base):
    """One run of the audit. Only ever added."""

    __tablename__ = "audit_run"

    prescription_id: Mapped[str] = rx(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 1 on; the highest one counts."""
    at: Mapped[datetime]
    why: Mapped[str] = mapped_column(sa.String(16))
    """`domain.audit.AuditReason`."""
    rulebook: Mapped[str] = mapped_column(sa.String(40))
    """Version of rules and knowledge; empty where it is not known."""
    warnings: Mapped[int]
    """Findings a pharmacist must answer, for the queue."""
    results: Mapped[list[Any]]
    """In the order of the rules: `{"finding": a document of infra.db.stored.FINDING, "evidence": [ids of rows, drugs, products
    and supplies], "arguments": {name: value in the finding's texts}}`."""


class ReviewRow(Base):
    """The pharmacist's part: queue, claim, decision."""

    __tablename__ = "review"

    prescription_id: Mapped[str] = rx(primary_key=True)
    prescriber: Mapped[str] = mapped_column(sa.String(40))
    opened_at: Mapped[datetime]
    pharmacist: Mapped[str | None] = mapped_column(sa.String(40))
    claim_until: Mapped[datetime | None]
    lapses: Mapped[int] = mapped_column(default=0)
    """Claims that ran out without a decision."""
    decision: Mapped[str | None] = mapped_column(sa.String(8))
    codes: Mapped[list[Any]]
    text: Mapped[str] = mapped_column(sa.Text, default="")
    reasons: Mapped[dict[str, Any]]
    request_sha256: Mapped[str] = mapped_column(sa.String(64), default="")
    decided_at: Mapped[datetime | None]


class WishRow(Base):
    """A wish to cancel a prescription, or a part of it, or to take it back. It may be here before its prescription."""

    __tablename__ = "wish"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    hospital: Mapped[str] = mapped_column(sa.String(40))
    external_id: Mapped[str] = mapped_column(sa.String(64))
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), index=True)
    """Empty while the prescription is not here."""
    kind: Mapped[str] = mapped_column(sa.String(8))
    by: Mapped[str] = mapped_column(sa.String(60))
    """Actor, as in the history."""
    portions: Mapped[dict[str, Any] | None]
    """What it is about; empty: all of it."""
    reason: Mapped[str] = mapped_column(sa.String(40))
    wished_at: Mapped[datetime]
    answer: Mapped[str] = mapped_column(sa.String(8))
    """`domain.fulfilment.wishes.WishAnswer`."""
    answered_at: Mapped[datetime | None]

    __table_args__ = (sa.Index("ix_wish_hospital_external_id", "hospital", "external_id"),)
