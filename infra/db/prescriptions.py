"""Prescriptions: admit, load, claim for work, nudge."""

import json
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice, zip_longest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.events import Event, Wait
from domain.lifecycle import FINAL, Status
from domain.prescription import Prescription
from infra.db import history
from infra.db.engine import run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import URGENT, HopRow, PrescriptionRow
from infra.db.stored import PRESCRIPTION


@dataclass(frozen=True)
class Loaded:
    """One prescription, with the head that a later write compares itself with."""

    head: history.Head
    content: str = field(repr=False)
    """The prescription as it is stored, JSON."""
    patient_sealed: bytes = field(repr=False)
    entitlement_sealed: bytes | None = field(repr=False)
    wished: bool
    """Whether a wish to cancel it or to take it back was ever made: `infra.db.wishes` says whose."""
    attempts: int
    waiting_for: str

    @cached_property
    def prescription(self) -> Prescription:
        """Read when it is first asked for: many who load one only look where it is."""
        return _read(self.content)

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def status(self) -> Status:
        return self.head.status

    @property
    def wake_at(self) -> datetime | None:
        return self.head.wake_at


@lru_cache(maxsize=512)
def _read(content: str) -> Prescription:
    """Kept by its text, because what was prescribed never changes and every step of a batch reads it again."""
    return PRESCRIPTION.read_text(content)


_ROW = table(PrescriptionRow).c
_LOAD = Precompiled(sa.select(
    _ROW.id, _ROW.status, _ROW.version, _ROW.head_hash, _ROW.wake_at, sa.cast(_ROW.content, sa.Text).label("content"),
    _ROW.patient_sealed, _ROW.entitlement_sealed, _ROW.wished, _ROW.attempts, _ROW.waiting_for,
).where(_ROW.id == sa.bindparam("id")))


def load(session: Session, prescription_id: str, *, expected: Status | None = None) -> Loaded:
    """Raises `KeyError` for an id we never gave out, and `StaleStatus` if it is no longer where it is `expected`.

    Who expects it somewhere will work on it: then its content is read at once, before any partner hears of it.
    """
    row = run(session, _LOAD, {"id": prescription_id}).one_or_none()
    if row is None:
        raise KeyError(prescription_id)
    number, status, version, head, wake_at, content, *rest = row
    if expected and status != expected:
        raise StaleStatus(f"{prescription_id} is {status}, no longer {expected}")
    loaded = Loaded(history.Head(number, Status(status), version, head, wake_at), content, *rest)
    if expected:
        _ = loaded.prescription
    return loaded


_STATUSES = sa.select(_ROW.id, _ROW.status).where(_ROW.id.in_(sa.bindparam("ids", expanding=True)))


def statuses(session: Session, ids: Sequence[str]) -> dict[str, Status]:
    """Where they are; without those whose ids we never gave out."""
    return {number: Status(status) for number, status in run(session, _STATUSES, {"ids": ids})}


@dataclass(frozen=True)
class Located:
    """A prescription that a hospital asks for by its own number."""

    id: str
    status: Status
    archive_key: str


def find(session: Session, hospital: str, external_id: str) -> Located | None:
    row = session.execute(sa.select(PrescriptionRow.id, PrescriptionRow.status, PrescriptionRow.archive_key).where(
        PrescriptionRow.hospital == hospital, PrescriptionRow.external_id == external_id)).one_or_none()
    return Located(row.id, Status(row.status), row.archive_key) if row else None


def admit(session: Session, rx: Prescription, *, patient_sealed: bytes, archive_key: str, at: datetime,
          message: str, arrived: datetime | None = None) -> history.Head:
    """A new prescription, due at once. `arrived`: when its message came in, if that was earlier."""
    row = PrescriptionRow(
        id=rx.id, hospital=rx.hospital, external_id=rx.external_id, patient_id=rx.patient.id,
        patient_sealed=patient_sealed,
        content=PRESCRIPTION.write(rx), archive_key=archive_key, received_at=at,
        valid_until=rx.valid_until, expedited=rx.kind == "emergency", wake_at=at, waiting_for=Wait.AUDIT, lane=f"{rx.hospital}/",
    )
    head = history.begin(session, row, actor=f"hospital:{rx.hospital}", event=Event.RECEIVED, at=at,
                         detail={"message": message, "archive": archive_key, "items": len(rx.items),
                                 "arrived": (arrived or at).astimezone(UTC).isoformat()})
    return head


@dataclass(frozen=True)
class Due:
    """A prescription a worker has claimed."""

    id: str
    status: Status
    hospital: str
    attempts: int
    lane: str
    """`hospital/chain`: whose work it is."""

    @property
    def chain(self) -> str:
        """Who has, or last had, its order; empty when no pharmacy was asked yet."""
        return self.lane.partition("/")[2]


def lease_due(session: Session, owner: str, *, at: datetime, lease: timedelta, limit: int,
              without: Collection[str] = ()) -> list[Due]:
    """Claim up to `limit` prescriptions that are due and on which no other worker is.

    What is due and fits is taken, the longest due first. When more is due, what is urgent gets up to half the room:
    emergencies, cancels, what failed before. The lanes share the rest in equal parts, so that a flood from one partner
    does not starve the others. Lanes in `without` are left alone.

    The lease keeps others away; if this worker dies, it runs out and they are due again.
    """
    free = [PrescriptionRow.wake_at <= at,
            sa.or_(PrescriptionRow.lease_until.is_(None), PrescriptionRow.lease_until < at)]
    open_lanes = [*free, PrescriptionRow.lane.not_in(without)] if without else free

    def oldest(count: int, *more: sa.ColumnElement[bool]) -> list[str]:
        return list(session.scalars(sa.select(PrescriptionRow.id).where(*open_lanes, *more)
                                    .order_by(PrescriptionRow.wake_at).limit(count)))

    # The condition as text, so that SQLite too sees that the partial index fits. An emergency in a full lane goes.
    urgent = list(session.scalars(
        sa.select(PrescriptionRow.id).where(*free, sa.text(f"({URGENT})"), sa.or_(
            PrescriptionRow.lane.not_in(without), PrescriptionRow.attempts == 0))
        .order_by(PrescriptionRow.attempts > 0, PrescriptionRow.wake_at).limit(max(1, limit // 2))))
    chosen = oldest(limit + 1)
    if len(chosen) > limit:
        chosen = _in_turns(oldest, _lanes(session, without), limit - len(urgent), PrescriptionRow.id.not_in(urgent))
    chosen = list(dict.fromkeys([*urgent, *chosen]))[:limit]
    if not chosen:
        return []
    # Two workers may have chosen the same: who locks it first has it.
    rows = session.execute(
        sa.select(PrescriptionRow.id, PrescriptionRow.status, PrescriptionRow.hospital, PrescriptionRow.attempts,
                  PrescriptionRow.lane).where(PrescriptionRow.id.in_(chosen), *free).with_for_update(skip_locked=True))
    due = {row.id: Due(row.id, Status(row.status), row.hospital, row.attempts, row.lane) for row in rows}
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id.in_(due))
                    .values(lease_owner=owner, lease_until=at + lease).execution_options(synchronize_session=False))
    return [due[prescription_id] for prescription_id in chosen if prescription_id in due]


_UNDER_WAY = sa.select(_ROW.id).where(_ROW.wake_at < sa.bindparam("moment")).limit(1)
_LATE = sa.select(_ROW.id).where(_ROW.wake_at < sa.bindparam("moment"), sa.or_(
    _ROW.lease_until.is_(None), _ROW.lease_until < sa.bindparam("moment"))).limit(1)


def anybody_waits(session: Session, since: datetime) -> bool:
    """Whether a prescription has been due since then and no worker has it: there is more to do than workers can."""
    return run(session, _LATE, {"moment": since}).first() is not None


def anybody_is_due(session: Session, since: datetime) -> bool:
    """Whether a prescription has been due since then, leased or not: workers are at work."""
    return run(session, _UNDER_WAY, {"moment": since}).first() is not None


def _in_turns(oldest: Callable[..., list[str]], lanes: list[str], limit: int, others: sa.ColumnElement[bool]
              ) -> list[str]:
    """An equal share of each lane; what some do not use, others may. One of each in turn."""
    taken: dict[str, list[str]] = {}
    room, share = limit, -(-limit // max(1, len(lanes)))
    for lane in lanes:
        if room > 0 and (ids := oldest(min(share, room), PrescriptionRow.lane == lane, others)):
            taken[lane] = ids
            room -= len(ids)
    for lane, ids in taken.items():
        if room > 0 and len(ids) == share:
            taken[lane] = oldest(share + room, PrescriptionRow.lane == lane, others)
            room -= len(taken[lane]) - share
    return [rx_id for turn in zip_longest(*taken.values()) for rx_id in turn if rx_id is not None]


def _lanes(session: Session, without: Collection[str]) -> list[str]:
    """Every lane with a clock running, in random order: with more lanes than room each still gets its turn."""
    waiting = PrescriptionRow.wake_at.is_not(None)
    lanes = sa.select(sa.func.min(PrescriptionRow.lane).label("lane")).where(waiting).cte("lanes", recursive=True)
    following = (sa.select(sa.func.min(PrescriptionRow.lane)).where(waiting, PrescriptionRow.lane > lanes.c.lane)
                 .scalar_subquery())
    # Hops from lane to lane in the index, where DISTINCT would read every row.
    lanes = lanes.union_all(sa.select(following).where(lanes.c.lane.is_not(None)))
    names = [lane for lane in session.scalars(sa.select(lanes.c.lane)) if lane is not None and lane not in without]
    secrets.SystemRandom().shuffle(names)
    return names


def set_aside(session: Session, prescription_id: str, *, until: datetime, trouble: str) -> None:
    """Get a row that cannot even be read out of the way for a while: it comes again alone, and the board shows it."""
    session.execute(
        sa.update(PrescriptionRow).where(PrescriptionRow.id == prescription_id)
        .values(wake_at=until, attempts=PrescriptionRow.attempts + 1, trouble=trouble,
                waiting_for=Wait.PERSON_UNREADABLE).execution_options(synchronize_session=False))


def lease(session: Session, prescription_id: str, owner: str, *, at: datetime, until: datetime) -> bool:
    """Claim one prescription, due or not; False while another process works on it."""
    taken = session.execute(
        sa.update(PrescriptionRow)
        .where(PrescriptionRow.id == prescription_id,
               sa.or_(PrescriptionRow.lease_until.is_(None), PrescriptionRow.lease_until < at))
        .values(lease_owner=owner, lease_until=until).execution_options(synchronize_session=False))
    return bool(taken.rowcount == 1)  # type: ignore[attr-defined]


def renew(session: Session, owner: str, ids: Sequence[str], *, until: datetime) -> None:
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id.in_(ids), PrescriptionRow.lease_owner == owner)
                    .values(lease_until=until).execution_options(synchronize_session=False))


_RELEASE = (
    sa.update(table(PrescriptionRow))
    .where(_ROW.id.in_(sa.bindparam("ids", expanding=True)), _ROW.lease_owner == sa.bindparam("owner"))
    .values(lease_owner=None, lease_until=None)
)


def release(session: Session, owner: str, ids: Sequence[str]) -> None:
    run(session, _RELEASE, {"ids": ids, "owner": owner})


def wake(session: Session, prescription_id: str, at: datetime) -> None:
    """Make it due, whether or not its wait is over. Harmless at any time: a hop finds nothing to do and sleeps again.

    What has ended stays asleep: no hop would ever put it back.
    """
    session.execute(
        sa.update(PrescriptionRow)
        .where(PrescriptionRow.id == prescription_id, PrescriptionRow.status.not_in(FINAL),
               sa.or_(PrescriptionRow.wake_at.is_(None), PrescriptionRow.wake_at > at))
        .values(wake_at=at).execution_options(synchronize_session=False))


MOST_LOOKED_AT = 1000
"""Prescriptions without a pharmacy that are looked through for those that wait for a drug, in the order in which they came."""


def wake_for_stock(session: Session, drugs: Collection[str], at: datetime, most: int) -> int:
    """Make due the first few that wait for a pharmacy which has one of these drugs; how many there were.

    `most` is small, because each of them asks every chain, and the store may have enough for one only. Who is served wakes the
    next ones.
    """
    waiting = session.execute(
        sa.select(_ROW.id, sa.cast(_ROW.content, sa.Text)).where(
            _ROW.status.in_((Status.ALLOCATING, Status.FULFILLING)), _ROW.waiting_for == Wait.FILLER, _ROW.wake_at > at)
        .order_by(_ROW.received_at).limit(MOST_LOOKED_AT))
    wanted = list(islice((number for number, content in waiting
                          if any(item.drug in drugs for item in _read(content).items)), most))
    for number in wanted:
        wake(session, number, at)
    return len(wanted)


def forgotten(session: Session, statuses: Sequence[Status]) -> list[str]:
    """Prescriptions in these statuses that no clock will wake."""
    return list(session.scalars(sa.select(PrescriptionRow.id).where(
        PrescriptionRow.status.in_(statuses), PrescriptionRow.wake_at.is_(None))))


_HOP = sa.insert(table(HopRow))


def record_hops(session: Session, run_id: str, hops: Sequence[dict[str, Any]]) -> None:
    """Which run had a part in which prescription, from when to when, and with what end."""
    if hops:
        run(session, _HOP, [{"run_id": run_id, **hop} for hop in hops])


def canonical(value: Any) -> bytes:
    """JSON in one spelling, for digests."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode()
