"""Rounds of a patient's choice: each time they were asked, what they were shown, and what became of it."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.fulfilment.choice import ROUND_TRANSITIONS, Round, RoundState
from infra.db.engine import insert_new, run, table
from infra.db.rows import ChoiceRow
from infra.db.stored import OFFERING

_CHOICE = table(ChoiceRow)
_ROW = _CHOICE.c
_NEWEST = (
    sa.select(_ROW.number, _ROW.offering, _ROW.offered_at, _ROW.until, _ROW.state, _ROW.chosen)
    .where(_ROW.prescription_id == sa.bindparam("of")).order_by(_ROW.number.desc()).limit(1)
)
_HERE = (_ROW.prescription_id == sa.bindparam("of"), _ROW.number == sa.bindparam("this"),
         _ROW.state == sa.bindparam("was"), _ROW.chosen == sa.bindparam("chosen_was"))
_MOVE = sa.update(_CHOICE).where(*_HERE).values(state=sa.bindparam("to"))
_CHOOSE = sa.update(_CHOICE).where(*_HERE).values(
    state=sa.bindparam("to"), chosen=sa.bindparam("key"), by=sa.bindparam("who"), chosen_at=sa.bindparam("at"))


def newest(session: Session, prescription_id: str) -> Round | None:
    """The last time that its patient was asked; None if never."""
    row = run(session, _NEWEST, {"of": prescription_id}).one_or_none()
    if row is None:
        return None
    number, offering, offered_at, until, state, chosen = row
    return Round(number, OFFERING.read(offering), offered_at, until, RoundState(state), chosen)


def begin(session: Session, prescription_id: str, begun: Round, after: Round | None) -> None:
    """A round that takes the place of the one before. Raises `StaleStatus` if that was moved meanwhile."""
    if after is not None:
        move(session, prescription_id, after, RoundState.REPLACED)
    if not insert_new(session, ChoiceRow, prescription_id=prescription_id, number=begun.number,
                      offering=OFFERING.write(begun.offering), offered_at=begun.offered_at, until=begun.until, state=begun.state):
        raise StaleStatus(f"{prescription_id} has a round {begun.number} already")


def move(session: Session, prescription_id: str, seen: Round, to: RoundState) -> None:
    """Raises `StaleStatus` if the round is no longer as it was `seen`."""
    _write(session, _MOVE, prescription_id, seen, to)


def choose(session: Session, prescription_id: str, seen: Round, key: str, *, by: str, at: datetime) -> None:
    """Write down what was chosen. Raises `StaleStatus` if the round is no longer as it was `seen`."""
    _write(session, _CHOOSE, prescription_id, seen, RoundState.CHOSEN, key=key, who=by, at=at)


def _write(session: Session, statement: sa.Update, prescription_id: str, seen: Round, to: RoundState, **values: object) -> None:
    if to not in ROUND_TRANSITIONS[seen.state]:
        raise ValueError(f"a round that is {seen.state} does not become {to}")
    written = run(session, statement, {"of": prescription_id, "this": seen.number, "was": seen.state, "chosen_was": seen.chosen,
                                       "to": to, **values})
    if written.rowcount != 1:
        raise StaleStatus(f"round {seen.number} of {prescription_id} is no longer {seen.state}")
