"""The tables about money: claims to the fund, the ledger, reconciliation and where books disagree."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base, partly, rx

UNRECONCILED = "status IN ('settled', 'reversed')"
"""What the fund has paid or taken back and not yet agreed to."""


class ClaimRow(Base):
    """One request to the fund, for one order. A return reverses it and a next version takes its place."""

    __tablename__ = "claim"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    prescription_id: Mapped[str] = rx(index=True)
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.lifecycle.Money`."""
    reference: Mapped[str] = mapped_column(sa.String(30), unique=True)
    content: Mapped[dict[str, Any]]
    """`domain.claims.Claim` without psn_no and identity."""
    insutype: Mapped[str] = mapped_column(sa.String(6))
    total_fen: Mapped[int] = mapped_column(sa.BigInteger)
    forecast: Mapped[dict[str, Any]]
    pre_settled: Mapped[dict[str, Any] | None]
    settled: Mapped[dict[str, Any] | None]
    settlement_id: Mapped[str | None] = mapped_column(sa.String(30))
    settled_on: Mapped[date | None]
    """The fund's calendar day."""
    reversal_reference: Mapped[str | None] = mapped_column(sa.String(30))
    reversal_id: Mapped[str | None] = mapped_column(sa.String(30))
    reversed_on: Mapped[date | None]

    __table_args__ = (
        sa.Index("ix_claim_settled_on", "settled_on"),
        sa.Index("ix_claim_reversed_on", "reversed_on"),
        partly("ix_claim_reversal_reference", "reversal_reference IS NOT NULL", "reversal_reference"),
        partly("ix_claim_unreconciled", UNRECONCILED, "status", "settled_on", "reversed_on"),
    )


class PostingRow(Base):
    """One business event in the books. Append-only."""

    __tablename__ = "posting"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), index=True)
    """Empty for an event that is about no single prescription."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    """`domain.ledger.transfers.BusinessEvent`."""
    reference: Mapped[str] = mapped_column(sa.String(30))
    at: Mapped[datetime]
    insutype: Mapped[str | None] = mapped_column(sa.String(6))
    """The row of the fund's daily totals in which it counts, or the empty text; NULL if release 0.1 posted it."""
    day: Mapped[date | None]
    """The fund's calendar day it counts for: of the settlement, or of its reversal. Empty if an older release posted it."""

    __table_args__ = (sa.UniqueConstraint("kind", "reference"), sa.Index("ix_posting_day_kind_id", "day", "kind", "id"))


class TransferRow(Base):
    """What a posting moves from one account to another, in whole fen. Append-only."""

    __tablename__ = "transfer"

    posting_id: Mapped[int] = mapped_column(sa.ForeignKey("posting.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(sa.String(80))
    destination: Mapped[str] = mapped_column(sa.String(80))
    amount_fen: Mapped[int] = mapped_column(sa.BigInteger)

    __table_args__ = (sa.CheckConstraint("amount_fen > 0", name="ck_transfer_positive"),)


class EntryRow(Base):
    """One side of a posting of release 0.1, in whole fen; the sides of one sum to zero. `infra.db.ledger` reads both forms."""

    __tablename__ = "entry"

    posting_id: Mapped[int] = mapped_column(sa.ForeignKey("posting.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(sa.String(80))
    amount_fen: Mapped[int] = mapped_column(sa.BigInteger)


class DiscrepancyRow(Base):
    """Where two books disagree about money, or a fact came too late to act on: for a person to settle."""

    __tablename__ = "discrepancy"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    prescription_id: Mapped[str] = mapped_column(sa.String(32), index=True, default="")
    """Empty when it is about a day or a partner."""
    kind: Mapped[str] = mapped_column(sa.String(40))
    """E.g. `forecast_vs_pre_settlement`."""
    subject: Mapped[str] = mapped_column(sa.String(80))
    expected: Mapped[str] = mapped_column(sa.String(80))
    actual: Mapped[str] = mapped_column(sa.String(80))
    found_at: Mapped[datetime]

    __table_args__ = (
        sa.UniqueConstraint("kind", "subject", "prescription_id"),
        sa.Index("ix_discrepancy_found_at_kind", "found_at", "kind"),
    )


class ReconciliationRow(Base):
    """The answer to one 3201."""

    __tablename__ = "reconciliation"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    day: Mapped[date] = mapped_column(index=True)
    insutype: Mapped[str] = mapped_column(sa.String(6))
    total_fen: Mapped[int] = mapped_column(sa.BigInteger)
    fund_fen: Mapped[int] = mapped_column(sa.BigInteger)
    account_fen: Mapped[int] = mapped_column(sa.BigInteger)
    count: Mapped[int]
    matched: Mapped[bool]
    text: Mapped[str] = mapped_column(sa.String(200))
    at: Mapped[datetime]
