"""The tables of the installation: its processes, its hops, what Prefect shows, the anchors of the histories."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base, partly, rx


class ProcessRow(Base):
    """A process of ours that is, or was lately, alive."""

    __tablename__ = "process"

    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    """`gateway`, `worker` or `operations`."""
    name: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(80))
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(sa.String(20))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class HopRow(Base):
    """One prescription's part in one flow run."""

    __tablename__ = "hop"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(sa.String(40), index=True)
    prescription_id: Mapped[str] = rx(index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    from_status: Mapped[str] = mapped_column(sa.String(16))
    to_status: Mapped[str] = mapped_column(sa.String(16))
    error: Mapped[str] = mapped_column(sa.String(80), default="")


class DrawingRow(Base):
    """What Prefect shows of one prescription. Lost, it is drawn again; nothing of the business reads it."""

    __tablename__ = "drawing"

    prescription_id: Mapped[str] = rx(primary_key=True)
    run_id: Mapped[str] = mapped_column(sa.String(36), default="")
    """Its flow run; empty from the intent to make one until Prefect has answered."""
    state: Mapped[str] = mapped_column(sa.String(400), default="")
    """Type, name and message of the run's state, as drawn; empty: not known."""
    chain: Mapped[str] = mapped_column(sa.String(40), default="")
    """The chain among its tags."""
    ended: Mapped[int] = mapped_column(default=0)
    """So many stages are drawn as ended,"""
    open: Mapped[bool] = mapped_column(default=False)
    """and the one after them as lasting."""
    need: Mapped[str] = mapped_column(sa.String(120), default="")
    """Code of why it is red; empty when it is not."""
    at: Mapped[datetime]
    """When something of it was drawn last, or was to be drawn anew."""

    __table_args__ = (partly("ix_drawing_red", "need <> ''", "need"), sa.Index("ix_drawing_at", "at"))


class DrawerRow(Base):
    """Who draws, and in which of Prefect's databases. One row."""

    __tablename__ = "drawer"

    id: Mapped[int] = mapped_column(primary_key=True)
    flow_id: Mapped[str] = mapped_column(sa.String(36), default="")
    """Prefect's flow `prescription`: another one, and Prefect has lost its database."""
    owner: Mapped[str] = mapped_column(sa.String(60), default="")
    until: Mapped[datetime]
    """Until then no other process draws."""


class AnchorRow(Base):
    """Where the root of one day of the histories is kept outside of this database. Append-only."""

    __tablename__ = "anchor"

    day: Mapped[date] = mapped_column(primary_key=True)
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    at: Mapped[datetime]
