"""The tables about people: who they are, how they sign in, what they saw and did; and partners' tokens."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.rows.table import Base


class PersonRow(Base):
    """One of our people. Never deleted: histories name them."""

    __tablename__ = "person"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    name_sealed: Mapped[bytes]
    """What colleagues call them, encrypted for this row; empty if not known."""
    source: Mapped[str] = mapped_column(sa.String(16))
    """`environment`: has an access token among the settings; `administrator`; `command`: `./go people`."""
    made_at: Mapped[datetime]
    made_by: Mapped[str] = mapped_column(sa.String(80))
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(sa.String(80), default="")


class RoleGrantRow(Base):
    """A role of a person, from then until then. Ended, never deleted."""

    __tablename__ = "role_grant"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    person: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("person.id"), index=True)
    role: Mapped[str] = mapped_column(sa.String(24))
    place: Mapped[str] = mapped_column(sa.String(40), default="")
    granted_at: Mapped[datetime]
    granted_by: Mapped[str] = mapped_column(sa.String(80))
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(sa.String(80), default="")


class CredentialRow(Base):
    """How a person shows who they are."""

    __tablename__ = "credential"

    person: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("person.id"), primary_key=True)
    password: Mapped[str] = mapped_column(sa.String(200), default="")
    """Argon2id with its parameters and salt; empty until they have chosen one."""
    changed_at: Mapped[datetime | None]
    totp_sealed: Mapped[bytes | None]
    """Secret of the authenticator, encrypted for this row."""
    totp_step: Mapped[int] = mapped_column(default=0)
    """The latest half minute a code of which was taken: neither it nor an earlier one is taken again."""
    failures: Mapped[int] = mapped_column(default=0)
    """In a row, since the last time it went well."""
    locked_until: Mapped[datetime | None]
    subject: Mapped[str | None] = mapped_column(sa.String(200), unique=True)
    """What the OIDC provider calls them."""


class RecoveryCodeRow(Base):
    """A code that stands in for the authenticator, once."""

    __tablename__ = "recovery_code"

    mark: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Keyed hash of person and code."""
    person: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("person.id"), index=True)
    used_at: Mapped[datetime | None]


class EnrolmentRow(Base):
    """A code with which a person chooses a password and an authenticator, once."""

    __tablename__ = "enrolment"

    mark: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Keyed hash of the code."""
    person: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("person.id"), index=True)
    totp_sealed: Mapped[bytes]
    """Secret that the page shows, encrypted for this row."""
    made_at: Mapped[datetime]
    made_by: Mapped[str] = mapped_column(sa.String(80))
    until: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignInRow(Base):
    """One person signed in at one browser, until then. Deleted at sign-out and when it is over."""

    __tablename__ = "sign_in"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """SHA-256 of the cookie, which cannot be made from it."""
    person: Mapped[str] = mapped_column(sa.String(80))
    role: Mapped[str] = mapped_column(sa.String(16))
    """The only role they act in, who signed in with an access token of the settings; empty: all they have."""
    token: Mapped[str] = mapped_column(sa.String(64))
    """Keyed hash of what they signed in with: another password or token, and this is over."""
    until: Mapped[datetime] = mapped_column(index=True)
    begun_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    """About when they last did something."""
    method: Mapped[str] = mapped_column(sa.String(16), server_default="token")
    """`token` of the settings, `password` (with a second factor), or `oidc`."""


class AccessRow(Base):
    """What a person saw or did, or was refused. Append-only; a hash chain per person."""

    __tablename__ = "access_log"
    __table_args__ = (sa.Index("ix_access_log_prescription_id_at", "prescription_id", "at"), sa.Index("ix_access_log_at", "at"))

    person: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(sa.String(32))
    """ISO 8601 in UTC, as it is hashed."""
    kind: Mapped[str] = mapped_column(sa.String(8))
    """`view`, `act` or `refused`."""
    capability: Mapped[str] = mapped_column(sa.String(32))
    prescription_id: Mapped[str] = mapped_column(sa.String(32))
    """Empty where it is about none, or about a list of them."""
    detail: Mapped[str] = mapped_column(sa.String(80))
    """A code: why it was refused, or whom or what an act was about. Nothing about a patient."""
    hash: Mapped[str] = mapped_column(sa.String(64))


class AccessHeadRow(Base):
    """Where a person's chain of the access log ends, so that a shortened one shows."""

    __tablename__ = "access_head"

    person: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(sa.String(64))


class PartnerTokenRow(Base):
    """A token that a partner shows us. Of one partner two may be valid for a while."""

    __tablename__ = "partner_token"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    partner: Mapped[str] = mapped_column(sa.String(40), index=True)
    mark: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """Keyed hash of partner and token."""
    source: Mapped[str] = mapped_column(sa.String(16))
    """`environment` or `administrator`."""
    set_at: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(sa.String(80))
    until: Mapped[datetime | None]
    """None: until another one takes its place."""
    used_at: Mapped[datetime | None]
    """About when it was last shown."""
