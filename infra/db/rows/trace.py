"""Tables of drug trace codes: packs, what they were used for, what the fund was told, and recalls."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base, partly

UPLOAD_OPEN = "due_at IS NOT NULL"


class PackRow(Base):
    """A pack that was scanned once. Its key, and the comparison when units are taken, prevent a second sale (B-54)."""

    __tablename__ = "pack"

    code: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    drug: Mapped[str] = mapped_column(sa.String(40))
    lot: Mapped[str] = mapped_column(sa.String(40))
    place: Mapped[str] = mapped_column(sa.String(120))
    """chain/store where it was scanned first."""
    units: Mapped[int]
    units_left: Mapped[int]
    """Bound to no line: none of a whole pack that is sold, some of an opened one."""
    quarantined_at: Mapped[datetime | None]
    """When it came back (E-12)."""

    __table_args__ = (sa.Index("ix_pack_drug_lot", "drug", "lot"),)


class PackUseRow(Base):
    """What a pack was used for: code, order, line, and by the order the patient."""

    __tablename__ = "pack_use"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), sa.ForeignKey("pack.code"), primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(12))
    """`domain.trace.UseStatus`."""
    units: Mapped[int]
    opened: Mapped[bool]
    made_on: Mapped[date]
    expires_on: Mapped[date]
    prepared_at: Mapped[datetime]
    """When it was bound."""
    handed_over_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it came back, or went back on the shelf."""

    __table_args__ = (sa.Index("ix_pack_use_code", "code"),)


class TraceUploadRow(Base):
    """One pack's sale or return, as the fund is told of it: claimed, sent, answered, once."""

    __tablename__ = "trace_upload"

    kind: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    """`domain.trace.UploadKind`."""
    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    number: Mapped[str] = mapped_column(sa.String(30), unique=True)
    """By which the fund knows it (fixmedins_bchno)."""
    reference: Mapped[str] = mapped_column(sa.String(30), default="")
    """msgid of the call it was put into; empty before the first."""
    settlement_id: Mapped[str] = mapped_column(sa.String(30), default="")
    """setl_id as it was sent: the same call has the same content."""
    made_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """When it goes, or is looked at again; empty once it is over."""
    sent_at: Mapped[datetime | None]
    """When the fund took it."""
    alone: Mapped[bool] = mapped_column(default=False)
    """It goes by itself: the call it went with was refused."""
    attempts: Mapped[int] = mapped_column(default=0)
    trouble: Mapped[str] = mapped_column(sa.String(80), default="")
    """Code of the last failure, or of the fund's no."""

    __table_args__ = (
        partly("ix_trace_upload_due_at", UPLOAD_OPEN, "due_at"),
        partly("ix_trace_upload_troubled", "trouble <> ''", "trouble"),
        sa.Index("ix_trace_upload_reference", "reference"),
    )


class RecallRow(Base):
    """A lot of a drug, or one pack, that may not be sold any more (E-18)."""

    __tablename__ = "recall"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    drug: Mapped[str] = mapped_column(sa.String(40))
    lot: Mapped[str] = mapped_column(sa.String(40))
    """Empty for a recall of one code."""
    code: Mapped[str] = mapped_column(sa.String(20))
    """Empty for a recall of a lot."""
    reason: Mapped[str] = mapped_column(sa.String(80))
    by: Mapped[str] = mapped_column(sa.String(60))
    at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("drug", "lot", "code"),)
