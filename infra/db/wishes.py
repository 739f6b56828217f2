"""Wishes to cancel a prescription or to take goods back, and their answers."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.fulfilment.portions import Portions, Scope
from domain.fulfilment.wishes import WISH_TRANSITIONS, Wish, WishAnswer, WishKind
from infra.db.engine import Row, run, table
from infra.db.rows import PrescriptionRow, WishRow
from infra.db.stored import SCOPE

_WISH = table(WishRow)
_ROW = _WISH.c
_SELECT = sa.select(_ROW.id, _ROW.kind, _ROW.by, _ROW.reason, _ROW.wished_at, _ROW.answer, _ROW.portions)
_OF = _SELECT.where(_ROW.prescription_id == sa.bindparam("of")).order_by(_ROW.id)
_NUMBERED = _SELECT.where(_ROW.hospital == sa.bindparam("hospital"), _ROW.external_id == sa.bindparam("number")).order_by(_ROW.id)
_ADMIT = (
    sa.update(_WISH).where(_ROW.hospital == sa.bindparam("of_hospital"), _ROW.external_id == sa.bindparam("number"))
    .values(prescription_id=sa.bindparam("of"))
)
_MARK = sa.update(table(PrescriptionRow)).where(table(PrescriptionRow).c.id == sa.bindparam("of")).values(wished=True)
_ANSWER = (
    sa.update(_WISH)
    .where(_ROW.prescription_id == sa.bindparam("of"), _ROW.kind == sa.bindparam("of_kind"),
           _ROW.answer.in_(sa.bindparam("before", expanding=True)))
    .values(answer=sa.bindparam("to"), answered_at=sa.bindparam("at"))
)
_ANSWER_ONE = (
    sa.update(_WISH).where(_ROW.id == sa.bindparam("this"), _ROW.answer.in_(sa.bindparam("before", expanding=True)))
    .values(answer=sa.bindparam("to"), answered_at=sa.bindparam("at"))
)


def make(session: Session, hospital: str, external_id: str, *, prescription_id: str | None, kind: WishKind, by: str, reason: str,
         at: datetime, portions: Portions | None = None, answer: WishAnswer = WishAnswer.OPEN) -> None:
    """Write a wish down; `prescription_id` is empty while its prescription is not here."""
    session.add(WishRow(
        hospital=hospital, external_id=external_id, prescription_id=prescription_id, kind=kind, by=by, reason=reason,
        portions=None if portions is None else SCOPE.write(Scope(portions)), wished_at=at, answer=answer,
        answered_at=None if answer is WishAnswer.OPEN else at))
    session.flush()
    if prescription_id:
        run(session, _MARK, {"of": prescription_id})


def of(session: Session, prescription_id: str) -> list[Wish]:
    """All wishes about a prescription, the oldest first."""
    return [_wish(row) for row in run(session, _OF, {"of": prescription_id})]


def numbered(session: Session, hospital: str, external_id: str) -> list[Wish]:
    """The same by the hospital's own number, whether or not its prescription is here."""
    return [_wish(row) for row in run(session, _NUMBERED, {"hospital": hospital, "number": external_id})]


def admit(session: Session, hospital: str, external_id: str, prescription_id: str) -> None:
    """The prescription that some wishes waited for is here."""
    run(session, _ADMIT, {"of_hospital": hospital, "number": external_id, "of": prescription_id})
    run(session, _MARK, {"of": prescription_id})


def answer(session: Session, prescription_id: str, kind: WishKind, to: WishAnswer, *, at: datetime) -> None:
    """Answer all wishes of a kind that may have this answer."""
    run(session, _ANSWER, {"of": prescription_id, "of_kind": kind, "before": _before(to), "to": to, "at": at})


def answer_one(session: Session, wish_id: int, to: WishAnswer, *, at: datetime) -> None:
    run(session, _ANSWER_ONE, {"this": wish_id, "before": _before(to), "to": to, "at": at})


def _before(to: WishAnswer) -> Sequence[WishAnswer]:
    return [before for before, after in WISH_TRANSITIONS.items() if to in after]


def _wish(row: Row) -> Wish:
    wish_id, kind, by, reason, wished_at, answer_, portions = row
    return Wish(wish_id, WishKind(kind), by, reason, wished_at, WishAnswer(answer_),
                SCOPE.read(portions).portions if portions else None)
