"""The tables of what patients pay at doors and counters."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base, partly, rx

TO_HAND_IN = "hand_in_by IS NOT NULL AND handed_in_at IS NULL"
"""Cash that a courier has and the shop has not."""


class PaymentRow(Base):
    """One attempt to collect what is due for an order; a courier's cash with it until the shop has it."""

    __tablename__ = "payment"
    __table_args__ = (partly("ix_payment_to_hand_in", TO_HAND_IN, "hand_in_by"),)

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prescription_id: Mapped[str] = rx(index=True)
    status: Mapped[str] = mapped_column(sa.String(8))
    """`domain.payments.PaymentStatus`."""
    amount_fen: Mapped[int] = mapped_column(sa.BigInteger)
    """What was due."""
    method: Mapped[str] = mapped_column(sa.String(8), server_default="")
    """`domain.payments.Method`; empty where nothing was paid."""
    collector: Mapped[str] = mapped_column(sa.String(110))
    """`courier:<slug>` or `shop:<chain>/<store>`."""
    by: Mapped[str] = mapped_column(sa.String(60), server_default="")
    """The person of the shop, or the courier's slug."""
    reference: Mapped[str] = mapped_column(sa.String(64), server_default="")
    """What the terminal, Alipay or WeChat calls the payment."""
    receipt: Mapped[str | None] = mapped_column(sa.String(20), unique=True)
    """One for each order: an order is paid once."""
    at: Mapped[datetime]
    hand_in_by: Mapped[datetime | None]
    """Of a courier's cash only."""
    handed_in_at: Mapped[datetime | None]
    handed_in_to: Mapped[str] = mapped_column(sa.String(40), server_default="")
    """The person of the shop who has counted it."""


class RefundRow(Base):
    """What goes back to the patient of a payment. Append-only."""

    __tablename__ = "refund"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prescription_id: Mapped[str] = rx(index=True)
    amount_fen: Mapped[int] = mapped_column(sa.BigInteger)
    method: Mapped[str] = mapped_column(sa.String(8))
    at: Mapped[datetime]
