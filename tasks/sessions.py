"""Sign-ins: from the moment a person has shown who they are until they go, or are idle, or their shift is over."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.people import Person, Role
from infra.db import Session, people, sign_ins
from tasks.city import City

STAYS = timedelta(hours=12)
"""How long a sign-in lasts at most: a shift."""
IDLE = timedelta(hours=2)
"""How long it lasts without a request."""
NOTED_EVERY = timedelta(minutes=1)
"""A request within a minute of the one before is not written down."""


@dataclass(frozen=True)
class SignIn:
    """A sign-in that is worth something, and whose it is."""

    key: str
    """SHA-256 of the cookie."""
    person: Person
    mark: str
    """Keyed hash of the access token it was begun with; empty where it was not."""


def begin(city: City, session: Session, person: str, *, method: str, role: str = "", mark: str = "") -> str:
    """A new sign-in, in the caller's transaction; the value of its cookie, of which only the hash is kept.

    `role` limits it to one of the person's roles, `mark` ends it with the access token it was begun with.
    """
    value, now = secrets.token_urlsafe(32), city.now()
    sign_ins.forget(session, now)
    sign_ins.begin(session, key_of(value), person=person, role=role, token=mark, until=now + STAYS, at=now, method=method)
    return value


def find(city: City, value: str, now: datetime) -> SignIn | None:
    """The sign-in of a cookie, unless it is over or the person has left. Notes that they are there."""
    if not re.fullmatch(r"[\w-]{43}", value, re.ASCII):
        return None
    key = key_of(value)
    with city.db.reading() as session:
        row = sign_ins.get(session, key)
        person = people.find(session, row.person) if row else None
    if row is None:
        return None
    seen_at = row.seen_at or row.until - STAYS
    if person is None or row.until <= now or seen_at + IDLE <= now:
        end(city, key)
        return None
    if seen_at + NOTED_EVERY <= now:
        with city.db.transaction("person.seen") as session:
            sign_ins.seen(session, key, now)
    if row.role:
        person = limited(person, Role(row.role))
    return SignIn(key, person, row.token)


def limited(person: Person, role: Role) -> Person:
    """The person in that role only, wherever they have it."""
    return Person(person.id, frozenset(grant for grant in person.grants if grant.role is role))


def end(city: City, key: str) -> None:
    """No copy of the cookie is worth anything from now on."""
    with city.db.transaction("person.signed_out") as session:
        sign_ins.end(session, key)


def end_one_of(city: City, person: str, key: str) -> bool:
    """End a sign-in of that person; False if it is not theirs."""
    with city.db.transaction("person.signed_out_elsewhere") as session:
        row = sign_ins.get(session, key)
        if row is None or row.person != person:
            return False
        sign_ins.end(session, key)
    return True


def end_others(city: City, person: str, key: str) -> int:
    """End every sign-in of that person but this one."""
    with city.db.transaction("person.signed_out_everywhere") as session:
        return sign_ins.end_all(session, person, but=key)


def key_of(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
