"""The tokens partners show us, as keyed hashes: of one partner two may be valid for a while."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new, run, table
from infra.db.rows import PartnerTokenRow

ENVIRONMENT, ADMINISTRATOR = "environment", "administrator"
_TOKEN = table(PartnerTokenRow)


def valid(session: Session, now: datetime) -> list[PartnerTokenRow]:
    """Tokens that open a door now."""
    return list(session.scalars(sa.select(PartnerTokenRow).where(
        sa.or_(_TOKEN.c.until.is_(None), _TOKEN.c.until > now)).order_by(_TOKEN.c.partner, _TOKEN.c.id)))


def of(session: Session, partner: str) -> list[PartnerTokenRow]:
    """All there ever were, the latest first."""
    return list(session.scalars(sa.select(PartnerTokenRow).where(_TOKEN.c.partner == partner).order_by(_TOKEN.c.id.desc())))


def listed(session: Session) -> list[PartnerTokenRow]:
    """All there ever were, by partner, the latest first."""
    return list(session.scalars(sa.select(PartnerTokenRow).order_by(_TOKEN.c.partner, _TOKEN.c.id.desc())))


def rotate(session: Session, partner: str, mark: str, *, at: datetime, by: str, until: datetime) -> None:
    """A new token; those there are go on until then, or until they would have ended anyway."""
    run(session, sa.update(_TOKEN).where(_TOKEN.c.partner == partner, sa.or_(_TOKEN.c.until.is_(None), _TOKEN.c.until > until)),
        {"until": until})
    session.add(PartnerTokenRow(partner=partner, mark=mark, source=ADMINISTRATOR, set_at=at, set_by=by, until=None, used_at=None))
    session.flush()


def end(session: Session, number: int, at: datetime) -> str:
    """This one opens nothing any more; whose it was, or empty if there is none such."""
    partner = session.scalar(sa.select(_TOKEN.c.partner).where(_TOKEN.c.id == number)) or ""
    live = sa.or_(_TOKEN.c.until.is_(None), _TOKEN.c.until > at)
    run(session, sa.update(_TOKEN).where(_TOKEN.c.id == number, live), {"until": at})
    return partner


def used(session: Session, number: int, at: datetime) -> None:
    run(session, sa.update(_TOKEN).where(_TOKEN.c.id == number), {"used_at": at})


def as_the_settings_say(session: Session, marks: Mapping[str, str], at: datetime) -> None:
    """What the settings hold is a token of that partner, until it was rotated; what they no longer hold is none, and may
    come back.

    `marks` are partners by the keyed hash of their token.
    """
    for mark, partner in marks.items():
        insert_new(session, PartnerTokenRow, partner=partner, mark=mark, source=ENVIRONMENT, set_at=at, set_by=ENVIRONMENT,
                   until=None, used_at=None)
    run(session, sa.delete(_TOKEN).where(_TOKEN.c.source == ENVIRONMENT, _TOKEN.c.mark.not_in(list(marks))))
