"""The tables of shops that work from our pages: their shelves, what is held and ordered there, and who did what."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from domain.chains import ChainWord
from infra.db.rows.table import Base

UNDER_WAY = (ChainWord.ORDERED, ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.IN_DELIVERY)
LIVE = f"""word IN ({", ".join(f"'{word}'" for word in (ChainWord.HELD, *UNDER_WAY))})"""
"""What may need goods that are on a shelf; of the held, those whose time is not over do."""


class Fixed(sa.TypeDecorator[Decimal]):
    """A decimal of so many places at most, kept as a whole number: both databases add it exactly."""

    impl = sa.BigInteger
    cache_ok = True

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places = places

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        if value is None:
            return None
        whole = Decimal(value).scaleb(self.places)
        if whole != whole.to_integral_value():
            raise ValueError(f"more than {self.places} places")
        return int(whole)

    def process_result_value(self, value: int | Decimal | None, dialect: sa.Dialect) -> Decimal | None:
        return None if value is None else Decimal(int(value)).scaleb(-self.places)


QUANTITY = Fixed(3)
PRICE = Fixed(4)


class ShelfRow(Base):
    """What a shop has of a drug, and for how much. What of it is free is computed: see `infra.db.counter.stocked`."""

    __tablename__ = "shelf"

    chain: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    store: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    drug: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)
    """Counted units in the shop, held or not: the sum of its moves."""
    price: Mapped[Decimal] = mapped_column(PRICE)
    """Yuan per counted unit; zero: not for sale yet."""


class ShelfMoveRow(Base):
    """Why a shelf changed, by how much, and who did it. Append-only."""

    __tablename__ = "shelf_move"
    __table_args__ = (sa.Index("ix_shelf_move_chain_store_drug", "chain", "store", "drug"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    chain: Mapped[str] = mapped_column(sa.String(40))
    store: Mapped[str] = mapped_column(sa.String(64))
    drug: Mapped[str] = mapped_column(sa.String(40))
    kind: Mapped[str] = mapped_column(sa.String(12))
    """`infra.db.counter.MoveKind`."""
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)
    """Added to the shelf, or taken from it where negative."""
    order_id: Mapped[str] = mapped_column(sa.String(40), server_default="")
    key: Mapped[str | None] = mapped_column(sa.String(80), unique=True)
    """What happens once: a delivery by the key of its form, a handover by its order and drug."""
    by: Mapped[str] = mapped_column(sa.String(40))
    at: Mapped[datetime]


class OpeningRow(Base):
    """When a shop is open, as its people said last."""

    __tablename__ = "opening"

    chain: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    store: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    opens: Mapped[str] = mapped_column(sa.String(5))
    """`08:00`."""
    closes: Mapped[str] = mapped_column(sa.String(5))
    on_duty: Mapped[bool]
    shut: Mapped[bool]
    by: Mapped[str] = mapped_column(sa.String(40))
    at: Mapped[datetime]


class CounterOrderRow(Base):
    """An order of ours as the shop has it: what a chain with a system keeps there."""

    __tablename__ = "counter_order"
    __table_args__ = (
        sa.Index("ix_counter_order_live", "chain", "store", sqlite_where=sa.text(LIVE), postgresql_where=sa.text(LIVE)),
        sa.Index("ix_counter_order_chain_store_held_at", "chain", "store", "held_at"),
    )

    order_id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    chain: Mapped[str] = mapped_column(sa.String(40))
    store: Mapped[str] = mapped_column(sa.String(64))
    word: Mapped[str] = mapped_column(sa.String(16))
    """`domain.chains.ChainWord`: the furthest that was said of it."""
    held_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    """Of the hold, while nothing more is said than that."""
    ended_at: Mapped[datetime | None]
    """When it was handed over, or let go."""
    patient_due_fen: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    """What the shop collects from the patient, by the fund's pre-settlement."""
    settlement_id: Mapped[str | None] = mapped_column(sa.String(40))
    """Of the last word about money; None: nothing was said yet; empty: the claim was taken back."""
    total_fen: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    fund_fen: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    account_fen: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    cash_fen: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")


class CounterLineRow(Base):
    """A line of such an order."""

    __tablename__ = "counter_line"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("counter_order.order_id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    drug: Mapped[str] = mapped_column(sa.String(40))
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)


class CounterActRow(Base):
    """What a person of the shop did with an order. Append-only."""

    __tablename__ = "counter_act"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(sa.String(40), index=True)
    act: Mapped[str] = mapped_column(sa.String(16))
    """`domain.shops.Act`, or `wrong_proof`: a code or an identity that was not the patient's."""
    reason: Mapped[str] = mapped_column(sa.String(40), server_default="")
    lines: Mapped[list[Any]]
    """Lines that came back."""
    person: Mapped[str] = mapped_column(sa.String(40))
    at: Mapped[datetime]
