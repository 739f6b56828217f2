"""Who our people are and what roles they have and had."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.people import Grant, Person, Role
from infra.db.engine import insert_new, run, table
from infra.db.rows import PersonRow, RoleGrantRow

ENVIRONMENT = "environment"
"""Source of the people who have an access token among the settings, and who grants them their role."""


@dataclass(frozen=True)
class Listed:
    """A person as the administrator's page shows them."""

    id: str
    name_sealed: bytes
    source: str
    made_at: datetime
    made_by: str
    ended_at: datetime | None
    ended_by: str
    grants: tuple["Granted", ...]
    """All there ever were, the latest first."""


@dataclass(frozen=True)
class Granted:
    """A role, from then until then."""

    id: int
    grant: Grant
    at: datetime
    by: str
    ended_at: datetime | None
    ended_by: str


_PERSON, _GRANT = table(PersonRow), table(RoleGrantRow)
_LIVE = (sa.select(_GRANT.c.role, _GRANT.c.place).join(_PERSON, _PERSON.c.id == _GRANT.c.person)
         .where(_PERSON.c.id == sa.bindparam("whose"), _PERSON.c.ended_at.is_(None), _GRANT.c.ended_at.is_(None)))
_ALIVE = sa.select(_PERSON.c.id).where(_PERSON.c.id == sa.bindparam("whose"), _PERSON.c.ended_at.is_(None))


def find(session: Session, id: str) -> Person | None:
    """A person with the roles they have now; None for an unknown id, and for a person who has left."""
    grants = frozenset(Grant(Role(row.role), row.place) for row in run(session, _LIVE, {"whose": id}))
    if not grants and run(session, _ALIVE, {"whose": id}).one_or_none() is None:
        return None
    return Person(id, grants)


def add(session: Session, id: str, *, name_sealed: bytes, source: str, at: datetime, by: str) -> bool:
    """A new person without a role; False if that id is, or was, taken."""
    return insert_new(session, PersonRow, id=id, name_sealed=name_sealed, source=source, made_at=at, made_by=by)


def end(session: Session, id: str, *, at: datetime, by: str) -> bool:
    """They have left. Their roles stay as they were, and count no more."""
    return run(session, sa.update(_PERSON).where(_PERSON.c.id == id, _PERSON.c.ended_at.is_(None)),
               {"ended_at": at, "ended_by": by}).rowcount == 1


def grant(session: Session, id: str, role: Grant, *, at: datetime, by: str) -> bool:
    """Give a person a role; False if they have it."""
    held = session.scalar(sa.select(_GRANT.c.id).where(
        _GRANT.c.person == id, _GRANT.c.role == role.role, _GRANT.c.place == role.place, _GRANT.c.ended_at.is_(None)))
    if held is not None:
        return False
    run(session, sa.insert(_GRANT), {"person": id, "role": str(role.role), "place": role.place, "granted_at": at,
                                     "granted_by": by, "ended_at": None, "ended_by": ""})
    return True


def end_grant(session: Session, id: str, number: int, *, at: datetime, by: str) -> Grant | None:
    """Take a role from a person; which it was, or None if they had no such one."""
    row = session.execute(sa.select(_GRANT.c.role, _GRANT.c.place).where(
        _GRANT.c.id == number, _GRANT.c.person == id, _GRANT.c.ended_at.is_(None))).one_or_none()
    if row is None:
        return None
    run(session, sa.update(_GRANT).where(_GRANT.c.id == number), {"ended_at": at, "ended_by": by})
    return Grant(Role(row.role), row.place)


def administrators(session: Session) -> int:
    """How many there are who may make others so."""
    return session.scalar(
        sa.select(sa.func.count(sa.distinct(_PERSON.c.id))).join(_GRANT, _GRANT.c.person == _PERSON.c.id)
        .where(_GRANT.c.role == Role.ADMINISTRATOR, _GRANT.c.ended_at.is_(None), _PERSON.c.ended_at.is_(None))) or 0


def listed(session: Session, id: str = "") -> list[Listed]:
    """Everybody by id, those who have left last; or one of them."""
    query = sa.select(_PERSON).order_by(_PERSON.c.ended_at.is_not(None), _PERSON.c.id)
    rows = session.execute(query.where(_PERSON.c.id == id) if id else query).all()
    grants: dict[str, list[Granted]] = {}
    of = sa.select(_GRANT).order_by(_GRANT.c.id.desc())
    for row in session.execute(of.where(_GRANT.c.person == id) if id else of):
        grants.setdefault(row.person, []).append(Granted(
            row.id, Grant(Role(row.role), row.place), row.granted_at, row.granted_by, row.ended_at, row.ended_by))
    return [Listed(row.id, row.name_sealed, row.source, row.made_at, row.made_by, row.ended_at, row.ended_by,
                   tuple(grants.get(row.id, ()))) for row in rows]


def as_the_settings_say(session: Session, people: Mapping[str, frozenset[Grant]], at: datetime) -> None:
    """Who has an access token among the settings is a person with that role; whose token is gone has it no longer."""
    for id, grants in people.items():
        add(session, id, name_sealed=b"", source=ENVIRONMENT, at=at, by=ENVIRONMENT)
        for role in sorted(grants, key=lambda held: (held.role, held.place)):
            grant(session, id, role, at=at, by=ENVIRONMENT)
    held = session.execute(sa.select(_GRANT.c.id, _GRANT.c.person, _GRANT.c.role, _GRANT.c.place).where(
        _GRANT.c.granted_by == ENVIRONMENT, _GRANT.c.ended_at.is_(None))).all()
    for row in held:
        if Grant(Role(row.role), row.place) not in people.get(row.person, frozenset()):
            end_grant(session, row.person, row.id, at=at, by=ENVIRONMENT)
