"""What of our history is drawn in Prefect, and what is still to be drawn."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.lifecycle import FINAL, Status
from domain.window import Move
from infra.db.engine import insert_new, run, table
from infra.db.rows import UNDRAWN, UNDRAWN_OPEN, DrawerRow, DrawingRow, HistoryRow, PrescriptionRow

THE_DRAWER = 1
STUCK = timedelta(minutes=10)
"""So long a change may wait for the one who draws, though it takes its turns."""
UNREADABLE, NOT_TAKEN = "history_unreadable", "run_refused"
PASSED_OVER = frozenset({UNREADABLE, NOT_TAKEN})
"""The needs of what cannot be drawn: our history is damaged, or Prefect makes no run of it."""


@dataclass(frozen=True)
class Drawing:
    """What Prefect shows of one prescription; see `infra.db.rows.DrawingRow`."""

    prescription_id: str
    run_id: str
    state: str
    chain: str
    ended: int
    open: bool
    need: str
    at: datetime


@dataclass(frozen=True)
class Subject:
    """A prescription with what there is to draw of it."""

    id: str
    hospital: str
    chain: str
    status: Status
    version: int
    drawn: int
    """So many of its moves were drawn once, though it may be to be drawn anew."""
    arrived: datetime
    """When the hospital's message came in."""
    moves: Sequence[Move]
    """Oldest first, from its reception."""
    waiting_for: str = ""
    """`waiting_for` of its row."""

    @property
    def waiting_since(self) -> datetime:
        """When the first of what never was drawn happened; the last of all if all was."""
        return self.moves[min(self.drawn, len(self.moves) - 1)].at


_RX, _HISTORY, _DRAWING, _DRAWER = table(PrescriptionRow).c, table(HistoryRow).c, table(DrawingRow).c, table(DrawerRow).c
_IDS: sa.BindParameter[list[str]] = sa.bindparam("ids", expanding=True)

_UNDRAWN_OPEN, _UNDRAWN = (sa.select(_RX.id).where(sa.text(where)).order_by(_RX.received_at.desc()).limit(sa.bindparam("limit"))
                          for where in (UNDRAWN_OPEN, UNDRAWN))
_COUNT = sa.select(sa.func.count()).select_from(table(PrescriptionRow)).where(sa.text(UNDRAWN))
_SOME = sa.select(_RX.id, _RX.drawn).where(sa.text(UNDRAWN)).order_by(_RX.received_at).limit(1000).subquery()
_FIRST = sa.select(sa.func.min(_HISTORY.at), sa.func.count()).where(
    _HISTORY.prescription_id == _SOME.c.id, _HISTORY.seq == sa.case((_SOME.c.drawn < 0, 1), else_=_SOME.c.drawn + 1))
_LONGEST = (sa.select(_SOME.c.id).join(table(HistoryRow), sa.and_(_HISTORY.prescription_id == _SOME.c.id,
                                                                 _HISTORY.seq == _SOME.c.drawn + 1))
            .where(_SOME.c.drawn >= 0).order_by(_HISTORY.at).limit(sa.bindparam("limit")))
_SUBJECTS = sa.select(_RX.id, _RX.hospital, _RX.lane, _RX.version, _RX.drawn,
                      _RX.waiting_for).where(_RX.id.in_(_IDS))
_EVENTS = (sa.select(_HISTORY.prescription_id, _HISTORY.seq, _HISTORY.at, _HISTORY.from_status, _HISTORY.to_status,
                     _HISTORY.run_id, sa.case((_HISTORY.seq == 1, _HISTORY.detail), else_="").label("detail"))
           .where(_HISTORY.prescription_id.in_(_IDS)).order_by(_HISTORY.prescription_id, _HISTORY.seq))
_DRAWINGS = sa.select(*table(DrawingRow).c).where(_DRAWING.prescription_id.in_(_IDS))


_ANEW = -sa.func.abs(_RX.drawn)
"""As much as was drawn, to be drawn again; nothing was: the same 0."""
_RED = sa.select(_DRAWING.prescription_id, _DRAWING.need).where(sa.text("need <> ''"))


def undrawn(session: Session, limit: int) -> list[str]:
    """Prescriptions of which something is not drawn yet. What happened first comes first; then what is drawn anew,
    open before ended, the newest first."""
    ids: dict[str, None] = {}
    for statement in (_LONGEST, _UNDRAWN_OPEN, _UNDRAWN):
        if len(ids) < limit:
            ids |= dict.fromkeys(run(session, statement, {"limit": limit}).scalars())
    return list(ids)[:limit]


def waiting(session: Session) -> tuple[datetime | None, int]:
    """When the first of what is not drawn yet happened, and of how many prescriptions, at most 1000.

    None for the moment if all is drawn, or if it cannot be read.
    """
    at, count = run(session, _FIRST).one()
    try:
        return _moment(at or ""), count
    except ValueError:
        return None, count


def can_wait(session: Session, now: datetime, lag: timedelta, each: timedelta = timedelta()) -> bool:
    """Whether something is to be drawn, and all of it can be drawn later before any of it has waited for so long.

    `each`: what drawing one takes. Twice that is left: what happens during one pass waits for the next.
    """
    since, count = waiting(session)
    return since is not None and now - since + 2 * count * each < lag


def backlog(session: Session) -> int:
    """How many prescriptions wait to be drawn."""
    return int(run(session, _COUNT).scalar_one())


def red(session: Session) -> dict[str, str]:
    """Every prescription that is drawn red or is not drawn, and the code of the reason."""
    return {row.prescription_id: row.need for row in run(session, _RED)}


def subjects(session: Session, ids: Collection[str]) -> tuple[list[Subject], dict[str, int]]:
    """Those prescriptions with their histories, in no order; and those whose history cannot be read, with their versions."""
    histories = _histories(session, ids)
    # Read after the histories: a row written between the two reads leaves the prescription undrawn.
    rows = run(session, _SUBJECTS, {"ids": list(ids)}).all()
    # Something happened to those meanwhile, or rows are missing.
    histories |= _histories(session, [row.id for row in rows if row.version > len(histories[row.id])])
    readable, unreadable = [], {}
    for number, hospital, lane, version, drawn, waiting_for in rows:
        events = histories[number][:version]
        try:
            moves = _moves(events, version)
        except ValueError:
            unreadable[number] = version
        else:
            readable.append(Subject(number, hospital, lane.partition("/")[2], moves[-1].to_status, version,
                                    min(abs(drawn or 0), version), _arrived(events[0].detail, moves[0].at), moves,
                                    waiting_for))
    return readable, unreadable


def _histories(session: Session, ids: Collection[str]) -> dict[str, list[sa.Row[Any]]]:
    """History rows of each, the oldest first."""
    events: dict[str, list[sa.Row[Any]]] = {number: [] for number in ids}
    for event in run(session, _EVENTS, {"ids": list(ids)}) if events else ():
        events[event.prescription_id].append(event)
    return events


def _moves(events: Sequence[sa.Row[Any]], version: int) -> list[Move]:
    """Raises ValueError where a row is missing or is no move."""
    if not events or [event.seq for event in events] != list(range(1, version + 1)):
        raise ValueError("rows are missing")
    return [Move(_moment(event.at), Status(event.from_status), Status(event.to_status), event.run_id) for event in events]


def _moment(written: str) -> datetime:
    """Raises ValueError for what is no moment, and for one without a zone."""
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment


def _arrived(detail: str, received: datetime) -> datetime:
    """When the message came in; what was written before this was kept came in when it was received."""
    try:
        return _moment(json.loads(detail)["arrived"])
    except (ValueError, KeyError, TypeError):
        return received


def drawings(session: Session, ids: Collection[str]) -> dict[str, Drawing]:
    return {row.prescription_id: Drawing(*row) for row in run(session, _DRAWINGS, {"ids": list(ids)})}


def drawing(session: Session, prescription_id: str) -> Drawing | None:
    return drawings(session, [prescription_id]).get(prescription_id)


def intend(session: Session, ids: Iterable[str], at: datetime) -> None:
    """Note that runs are about to be made for them: if the answer is lost, their state is not known."""
    for number in ids:
        insert_new(session, DrawingRow, prescription_id=number, at=at)


_SAVE = sa.update(table(DrawingRow)).where(_DRAWING.prescription_id == sa.bindparam("number")).values(
    {name: sa.bindparam(f"new_{name}") for name in ("run_id", "state", "chain", "ended", "open", "need", "at")})
_SHOWN = (sa.select(_DRAWING.prescription_id, _DRAWING.state).where(_DRAWING.prescription_id.in_(_IDS))
          .order_by(_DRAWING.prescription_id).with_for_update())
_LOCK = (sa.select(_RX.id).where(_RX.id.in_(_IDS)).order_by(_RX.id).with_for_update(skip_locked=True))
_DRAWN = sa.update(table(PrescriptionRow)).where(_RX.id == sa.bindparam("number")).values(drawn=sa.bindparam("up_to"))


def save(session: Session, done: Sequence[Drawing], versions: Mapping[str, int], was: Mapping[str, str]) -> None:
    """Write down what is drawn, up to which history row of each.

    A retry may have moved a run while it was drawn: its state is then not what it `was`. Such a prescription stays to be drawn.

    A prescription that a worker holds at this moment is skipped; the next look finds it drawn. To wait for its row while
    holding others could deadlock.
    """
    shown = dict(run(session, _SHOWN, {"ids": [drawing.prescription_id for drawing in done]}).tuples().all()) if done else {}
    moved = {drawing.prescription_id for drawing in done
             if shown.get(drawing.prescription_id) != was.get(drawing.prescription_id, "")}
    if kept := [drawing for drawing in done if drawing.prescription_id not in moved]:
        run(session, _SAVE, [{"number": drawing.prescription_id, **{f"new_{name}": getattr(drawing, name) for name in (
            "run_id", "state", "chain", "ended", "open", "need", "at")}} for drawing in kept])
    wanted = [number for number in versions if number not in moved]
    free = set(run(session, _LOCK, {"ids": wanted}).scalars()) if wanted else set()
    if marks := [{"number": number, "up_to": version} for number, version in versions.items() if number in free]:
        run(session, _DRAWN, marks)


def draw_again(session: Session, ids: Collection[str], at: datetime) -> None:
    """Have those drawn anew, though nothing happened to them: what Prefect shows of their state is not ours any more."""
    chosen = list(ids)
    run(session, sa.update(table(DrawingRow)).where(_DRAWING.prescription_id.in_(_IDS)).values(state="", at=at),
        {"ids": chosen})
    run(session, sa.update(table(PrescriptionRow)).where(_RX.id.in_(_IDS), _RX.drawn.is_not(None)).values(drawn=_ANEW),
        {"ids": chosen})


def lost_since(session: Session, moment: datetime) -> int:
    """What was drawn since then may have been lost with Prefect's memory: it is drawn again. How many that are."""
    recent = _DRAWING.at >= moment
    lost = run(session, sa.update(table(DrawingRow)).where(recent).values(state="", ended=0, open=False)).rowcount
    run(session, sa.update(table(PrescriptionRow)).where(
        _RX.id.in_(sa.select(_DRAWING.prescription_id).where(recent)), _RX.drawn.is_not(None)).values(drawn=_ANEW))
    return lost


def begin_anew(session: Session, flow_id: str, since: datetime, limit: int) -> bool:
    """Prefect has another database: nothing is drawn in it. What came in since then or is alive is drawn from the beginning.

    Sets back so many at most; whether more may be left. Only then is the other database the one that is drawn in.
    """
    if ids := list(run(session, sa.select(_DRAWING.prescription_id).limit(limit)).scalars()):
        run(session, sa.delete(table(DrawingRow)).where(_DRAWING.prescription_id.in_(_IDS)), {"ids": ids})
        run(session, sa.update(table(PrescriptionRow)).where(
            _RX.id.in_(_IDS), sa.or_(_RX.received_at >= since, _RX.status.not_in(FINAL)), _RX.drawn.is_not(None),
            ).values(drawn=_ANEW), {"ids": ids})
        return True
    run(session, sa.update(table(DrawerRow)).where(_DRAWER.id == THE_DRAWER).values(flow_id=flow_id))
    return False


def take_turn(session: Session, owner: str, at: datetime, lease: timedelta) -> str | None:
    """Take the lease to draw for that long. The flow drawn in last, empty if none; None if another worker draws."""
    insert_new(session, DrawerRow, id=THE_DRAWER, flow_id="", owner="", until=at)
    taken = run(session, sa.update(table(DrawerRow)).where(
        _DRAWER.id == THE_DRAWER, sa.or_(_DRAWER.owner == owner, _DRAWER.until <= at)).values(owner=owner, until=at + lease))
    if taken.rowcount != 1:
        return None
    return str(run(session, sa.select(_DRAWER.flow_id)).scalar_one())


def leave(session: Session) -> None:
    """No worker draws, and none has to."""
    run(session, sa.update(table(DrawerRow)).where(_DRAWER.id == THE_DRAWER).values(owner=""))


def silent_since(session: Session, moment: datetime) -> datetime | None:
    """When drawing stopped, None if it did not.

    It stopped if the last lease ended before `moment` although something is to be drawn. It also did if leases are taken and
    nothing has been drawn for `STUCK` longer.
    """
    until = run(session, sa.select(_DRAWER.until).where(_DRAWER.owner != "")).scalar_one_or_none()
    first = waiting(session)[0] if until else None
    if until is None or first is None or until < moment:
        return until if first else None
    last: datetime | None = run(session, sa.select(sa.func.max(_DRAWING.at))).scalar_one()
    return last if last and max(last, first) < moment - STUCK else None
