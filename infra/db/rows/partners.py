"""The tables of what partners and the platform exchange: inbox, outbox, effects, codes to be mapped, notices."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base, partly, rx

FROM_HOSPITALS = "source LIKE 'hospital:%'"
WAITING = "waiting"
"""A message whose codes a person must map before it is taken in."""


class MessageRow(Base):
    """The inbox: what came from outside, and what we answered."""

    __tablename__ = "message"

    source: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    event_id: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.String(64))
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    received_at: Mapped[datetime]
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32))
    answer_status: Mapped[int]
    answer: Mapped[bytes]
    media: Mapped[str] = mapped_column(sa.String(60), server_default="application/fhir+json")
    refused: Mapped[bool] = mapped_column(server_default=sa.false())

    # Only of hospitals, whose newest are looked at; and so no plan ever looks a key up in it, message by message.
    __table_args__ = (partly("ix_message_from_hospitals", FROM_HOSPITALS, "source", "received_at"),)


class NonceRow(Base):
    """A callback's nonce, spent."""

    __tablename__ = "nonce"

    partner: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    nonce: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)


class WaitingMessageRow(Base):
    """A message with codes that are not mapped yet: it waits, its neighbours do not."""

    __tablename__ = "waiting_message"

    hospital: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    received_at: Mapped[datetime]
    unmapped: Mapped[list[Any]]
    """Each with `table`, `theirs` and `name`."""
    state: Mapped[str] = mapped_column(sa.String(8))
    """`waiting`, then `taken`."""

    __table_args__ = (partly("ix_waiting_message_waiting", f"state = '{WAITING}'", "hospital", "received_at"),)


class MappingRow(Base):
    """What a person decided a hospital's code to be. Append-only; the newest row about a code counts."""

    __tablename__ = "mapping"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    hospital: Mapped[str] = mapped_column(sa.String(40), index=True)
    code_table: Mapped[str] = mapped_column(sa.String(20))
    """`drug`, `route`, `frequency`, `unit`, `diagnosis` or `title`."""
    theirs: Mapped[str] = mapped_column(sa.String(100))
    name: Mapped[str] = mapped_column(sa.String(200))
    """What the hospital calls it."""
    ours: Mapped[str] = mapped_column(sa.String(100))
    accepted_by: Mapped[str] = mapped_column(sa.String(60))
    accepted_at: Mapped[datetime]


class IntentRow(Base):
    """An effect on the outside world: recorded before the call, completed after it."""

    __tablename__ = "intent"

    prescription_id: Mapped[str] = rx(primary_key=True)
    step: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    version: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    partner: Mapped[str] = mapped_column(sa.String(40))
    request_sha256: Mapped[str] = mapped_column(sa.String(64))
    made_at: Mapped[datetime]
    run_id: Mapped[str] = mapped_column(sa.String(40))
    answered_at: Mapped[datetime | None]
    answer: Mapped[dict[str, Any] | None]
    """The partner's answer in our words; empty while it is not known."""
    refusal: Mapped[str] = mapped_column(sa.String(80), default="")
    """The code of a business no."""
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    """Failed attempts since it last went well."""
    again_at: Mapped[datetime | None]
    """When it is tried again; empty when nothing failed."""
    trouble: Mapped[str] = mapped_column(sa.String(80), default="", server_default="")
    """Code of the last failure; empty when there is none."""

    __table_args__ = (
        sa.Index("ix_intent_open", "made_at", sqlite_where=sa.text("answered_at IS NULL"),
                 postgresql_where=sa.text("answered_at IS NULL")),
    )


class OutboxRow(Base):
    """A message that accompanies a change of state; committed with it, delivered after it."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    """The order in which a partner must hear of one prescription."""
    key: Mapped[str] = mapped_column(sa.String(80), unique=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    """`report` to a hospital, `settled` to a chain, `webhook` to the address that a chain has for webhooks."""
    partner: Mapped[str] = mapped_column(sa.String(40))
    """Slug of the partner; of a webhook `webhook:` and the chain's slug, so that the two do not wait for each other."""
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), index=True)
    """Empty for the answer to a message that became no prescription."""
    sealed: Mapped[bytes]
    made_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """Empty once it was delivered, or where it is not sent by itself any more."""
    attempts: Mapped[int] = mapped_column(default=0)
    """Failed attempts."""
    last_error: Mapped[str] = mapped_column(sa.String(80), default="")
    sent_at: Mapped[datetime | None]
    position: Mapped[int | None]
    """Place of a webhook in what its chain reads by a cursor, from 1 on; given when it is read first."""

    __table_args__ = (
        sa.Index("ix_outbox_due_at", "due_at", sqlite_where=sa.text("due_at IS NOT NULL"),
                 postgresql_where=sa.text("due_at IS NOT NULL")),
        sa.Index("ix_outbox_partner", "partner", "id", sqlite_where=sa.text("due_at IS NOT NULL"),
                 postgresql_where=sa.text("due_at IS NOT NULL")),
        sa.Index("ix_outbox_webhook", "partner", "id", sqlite_where=sa.text("kind = 'webhook'"),
                 postgresql_where=sa.text("kind = 'webhook'")),
        sa.Index("ix_outbox_unread", "partner", "id", sqlite_where=sa.text("kind = 'webhook' AND position IS NULL"),
                 postgresql_where=sa.text("kind = 'webhook' AND position IS NULL")),
        sa.Index("ix_outbox_position", "partner", "position", unique=True, sqlite_where=sa.text("position IS NOT NULL"),
                 postgresql_where=sa.text("position IS NOT NULL")),
    )


class StoppedWebhookRow(Base):
    """A chain that has said 410: nothing is sent to its address for webhooks until a person says so."""

    __tablename__ = "stopped_webhook"

    chain: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    at: Mapped[datetime]
    key: Mapped[str] = mapped_column(sa.String(80))
    """The message that was answered so."""


class NoticeRow(Base):
    """What a partner sends or leaves that a person should look at and that is not about money."""

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(sa.String(40))
    """A `NoticeKind`, which says what `subject` and `detail` hold."""
    partner: Mapped[str] = mapped_column(sa.String(40))
    """Slug of a hospital or a chain."""
    subject: Mapped[str] = mapped_column(sa.String(80))
    detail: Mapped[str] = mapped_column(sa.String(80))
    noted_at: Mapped[datetime]
    closed_by: Mapped[str | None] = mapped_column(sa.String(80))
    """Who has dealt with it; None while it waits for a person."""
    closed_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("kind", "partner", "subject"),
        sa.Index("ix_notice_noted_at_kind", "noted_at", "kind"),
    )
