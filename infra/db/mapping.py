"""What people have mapped since the hospital's tables were written, and the messages that wait for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new
from infra.db.rows import WAITING, MappingRow, WaitingMessageRow

TAKEN = "taken"
_WAITS = sa.text(f"waiting_message.state = '{WAITING}'")
"""In the words of the index."""


class Code(Protocol):
    """A hospital's own code that is not mapped to ours yet (`adapters.messages.Unmapped` is one)."""

    @property
    def table(self) -> str: ...
    @property
    def theirs(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Mapped:
    """One decision of a person: this code of theirs is that one of ours."""

    hospital: str
    table: str
    theirs: str
    name: str
    ours: str
    accepted_by: str
    accepted_at: datetime


@dataclass(frozen=True)
class Missing:
    """A code of theirs, and what the hospital calls it."""

    table: str
    theirs: str
    name: str


@dataclass(frozen=True)
class Waiting:
    """A message that is kept until its codes are mapped."""

    hospital: str
    key: str
    received_at: datetime
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Wanted:
    """A code that a person must map, and what waits for it."""

    hospital: str
    table: str
    theirs: str
    name: str
    messages: int
    since: datetime


def accept(session: Session, mapped: Mapped) -> None:
    """Write a decision down. Nothing is overwritten: the newest one about a code counts."""
    session.add(MappingRow(hospital=mapped.hospital, code_table=mapped.table, theirs=mapped.theirs, name=mapped.name,
                           ours=mapped.ours, accepted_by=mapped.accepted_by, accepted_at=mapped.accepted_at))
    session.flush()


def accepted(session: Session, hospital: str) -> list[tuple[str, str, str]]:
    """Everything accepted for a hospital as (table, theirs, ours), oldest first: for `CodeMap.with_accepted`."""
    row = MappingRow
    return list(session.execute(sa.select(row.code_table, row.theirs, row.ours).where(row.hospital == hospital)
                                .order_by(row.id)).tuples())


def decisions(session: Session, limit: int = 50) -> list[Mapped]:
    """The last decisions for all hospitals, newest first."""
    rows = session.scalars(sa.select(MappingRow).order_by(MappingRow.id.desc()).limit(limit))
    return [Mapped(row.hospital, row.code_table, row.theirs, row.name, row.ours, row.accepted_by, row.accepted_at)
            for row in rows]


def park(session: Session, hospital: str, key: str, *, archive_key: str, unmapped: Iterable[Code], at: datetime) -> None:
    """Let a message wait for these codes. One that waits already waits for them instead, since when it came."""
    missing = [{"table": code.table, "theirs": code.theirs, "name": code.name} for code in unmapped]
    if insert_new(session, WaitingMessageRow, hospital=hospital, key=key, archive_key=archive_key, received_at=at,
                  unmapped=missing, state=WAITING):
        return
    row = session.get_one(WaitingMessageRow, (hospital, key), with_for_update=True)
    row.archive_key, row.unmapped, row.state = archive_key, missing, WAITING
    session.flush()


def take(session: Session, hospital: str, key: str) -> None:
    """The message waits no more; what became of it was reported to the hospital."""
    session.execute(sa.update(WaitingMessageRow)
                    .where(WaitingMessageRow.hospital == hospital, WaitingMessageRow.key == key)
                    .values(state=TAKEN).execution_options(synchronize_session="fetch"))


def waiting(session: Session, hospital: str, key: str) -> str | None:
    """Archive key of a message that waits; None if it does not."""
    row = session.get(WaitingMessageRow, (hospital, key))
    return row.archive_key if row and row.state == WAITING else None


def arrived(session: Session, hospital: str, key: str) -> datetime:
    """When a message that waits came in. Raises `KeyError` if there never was one."""
    row = session.get(WaitingMessageRow, (hospital, key))
    if row is None:
        raise KeyError(key)
    return row.received_at


def queue(session: Session, hospital: str = "") -> list[Waiting]:
    """Messages that wait, the oldest first; of all hospitals unless one is named."""
    row = WaitingMessageRow
    query = sa.select(row).where(_WAITS).order_by(row.received_at, row.hospital, row.key)
    rows = session.scalars(query.where(row.hospital == hospital) if hospital else query)
    return [Waiting(code.hospital, code.key, code.received_at,
                    tuple(Missing(code["table"], code["theirs"], code["name"]) for code in code.unmapped))
            for code in rows]


def wanted(session: Session) -> list[Wanted]:
    """Codes that a person must map, by hospital, the one most messages wait for first."""
    codes: dict[tuple[str, str, str], Wanted] = {}
    for message in queue(session):
        for code in set(message.missing):
            earlier = codes.get((message.hospital, code.table, code.theirs))
            codes[message.hospital, code.table, code.theirs] = Wanted(
                message.hospital, code.table, code.theirs, (earlier and earlier.name) or code.name,
                (earlier.messages if earlier else 0) + 1, earlier.since if earlier else message.received_at)
    return sorted(codes.values(), key=lambda code: (code.hospital, -code.messages, code.since, code.table, code.theirs))


def count_waiting(session: Session) -> dict[str, tuple[int, datetime]]:
    """By hospital, how many messages wait, and since when the first of them does."""
    row = WaitingMessageRow
    return {hospital: (count, since) for hospital, count, since in session.execute(
        sa.select(row.hospital, sa.func.count(), sa.func.min(row.received_at)).where(_WAITS)
        .group_by(row.hospital).order_by(row.hospital)).tuples()}
