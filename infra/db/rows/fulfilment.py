"""The tables of fulfilment: orders at pharmacies, what travels of them and what came back."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base, partly, rx

HELD = "status = 'held'"


class OrderRow(Base):
    """What a pharmacy owes us of a prescription: the portions in its content."""

    __tablename__ = "pharmacy_order"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    """Ours, made before the chain is called."""
    prescription_id: Mapped[str] = rx()
    attempt: Mapped[int]
    chain: Mapped[str] = mapped_column(sa.String(40))
    store: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.orders.OrderStatus`."""
    content: Mapped[dict[str, Any]]
    """`domain.chains.PharmacyOrder` without secrets."""
    sealed: Mapped[bytes]
    """Claim secret and pickup code."""
    ranking: Mapped[list[Any]]
    """Every candidate with its score and the words for it."""
    total_fen: Mapped[int] = mapped_column(sa.BigInteger)
    patient_due_fen: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    reference: Mapped[str] = mapped_column(sa.String(80), default="")
    reason: Mapped[str] = mapped_column(sa.String(80), default="")
    made_at: Mapped[datetime]
    accept_by: Mapped[datetime | None]
    fulfil_by: Mapped[datetime | None]
    handed_over_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it was declined or cancelled."""
    courier: Mapped[str] = mapped_column(sa.String(40), server_default="")
    """Slug of the city's courier who brings it; empty: its pharmacy does, or the patient collects it."""

    point: Mapped[str] = mapped_column(sa.String(110), server_default="")
    """`chain/number` of the pick-up point where the patient collects it; empty: at none."""

    __table_args__ = (
        sa.UniqueConstraint("prescription_id", "attempt"),
        partly("ix_pharmacy_order_point", "point <> ''", "point", "made_at"),
        partly("ix_pharmacy_order_held", HELD, "made_at"),
        partly("ix_pharmacy_order_handed_over", "handed_over_at IS NOT NULL", "handed_over_at", "chain", "store"),
    )


class ParcelRow(Base):
    """What of an order travels together."""

    __tablename__ = "parcel"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.parcels.ParcelStatus`."""
    portions: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    """When a chain first said a word about it."""
    handed_over_at: Mapped[datetime | None]


class ReturnRow(Base):
    """What came back of an order at one time."""

    __tablename__ = "goods_return"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.returns.ReturnStatus`."""
    portions: Mapped[dict[str, Any]]
    reason: Mapped[str] = mapped_column(sa.String(80), default="")
    at: Mapped[datetime]
    refunded_at: Mapped[datetime | None]


class ChoiceRow(Base):
    """One time that a patient was asked which pharmacy it shall be, and the answer."""

    __tablename__ = "choice"

    prescription_id: Mapped[str] = rx(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offering: Mapped[dict[str, Any]]
    """`domain.fulfilment.choice.Offering`."""
    offered_at: Mapped[datetime]
    until: Mapped[datetime]
    state: Mapped[str] = mapped_column(sa.String(8))
    """`domain.fulfilment.choice.RoundState`."""
    chosen: Mapped[str] = mapped_column(sa.String(16), default="")
    """Key of what was chosen; empty while nothing is."""
    by: Mapped[str] = mapped_column(sa.String(60), default="")
    """Who chose, as in the history."""
    chosen_at: Mapped[datetime | None]


class DeliveryRow(Base):
    """A parcel with the city's courier."""

    __tablename__ = "delivery"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    courier: Mapped[str] = mapped_column(sa.String(40))
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.deliveries.DeliveryStatus`."""
    attempt: Mapped[int] = mapped_column(server_default="0")
    reference: Mapped[str] = mapped_column(sa.String(80), server_default="")
    reason: Mapped[str] = mapped_column(sa.String(80), server_default="")
    made_at: Mapped[datetime]
    said_at: Mapped[datetime | None]
    """When its status came about, as the courier says."""
    heard_at: Mapped[datetime]
    arrived_at: Mapped[datetime | None]
    """At the door, the last time, as the courier says."""
    called_off: Mapped[bool] = mapped_column(server_default=sa.false())
    metres: Mapped[int | None]
    """How far from the patient's place it was signed for."""
    signature_key: Mapped[str] = mapped_column(sa.String(80), server_default="")
    """Archive key of the picture of the signature."""
