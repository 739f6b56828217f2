"""Discrepancies: two books disagree about money, or medicine was handed over that will not be settled. For a person."""

from datetime import datetime

from sqlalchemy.orm import Session

from infra.db.engine import insert_new
from infra.db.rows import DiscrepancyRow


def disagree(session: Session, *, kind: str, subject: str, expected: object, actual: object, at: datetime,
             prescription_id: str = "") -> None:
    """Write a difference down, once per kind, subject and prescription. Texts are cut at 80 characters."""
    insert_new(session, DiscrepancyRow, prescription_id=prescription_id, kind=kind, subject=subject[:80],
               expected=str(expected)[:80], actual=str(actual)[:80], found_at=at)
