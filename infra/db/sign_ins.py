"""Who of our people is signed in. A cookie is worth what its row says: without a row, nothing."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import run, table
from infra.db.rows import SignInRow

_ROW = table(SignInRow).c
_GET = sa.select(SignInRow).where(_ROW.id == sa.bindparam("key"))
_END = sa.delete(SignInRow).where(_ROW.id == sa.bindparam("key"))
_FORGET = sa.delete(SignInRow).where(_ROW.until <= sa.bindparam("now"))
_SEEN = sa.update(SignInRow).where(_ROW.id == sa.bindparam("key")).values(seen_at=sa.bindparam("at"))


def begin(session: Session, key: str, *, person: str, role: str, token: str, until: datetime, at: datetime | None = None,
          method: str = "token") -> None:
    """Write a sign-in down. `key` is the hash of the cookie, `token` a keyed hash of what the person signed in with."""
    session.add(SignInRow(id=key, person=person, role=role, token=token, until=until, begun_at=at, seen_at=at, method=method))
    session.flush()


def get(session: Session, key: str) -> SignInRow | None:
    """The sign-in of a cookie, also when its time is over and it was not cleared away yet."""
    return session.scalar(_GET, {"key": key})


def of(session: Session, person: str) -> list[SignInRow]:
    """All of one person, the latest first."""
    return list(session.scalars(sa.select(SignInRow).where(_ROW.person == person).order_by(_ROW.until.desc(), _ROW.id)))


def seen(session: Session, key: str, at: datetime) -> None:
    """They have just done something."""
    run(session, _SEEN, {"key": key, "at": at})


def end(session: Session, key: str) -> None:
    """No cookie with this hash is worth anything from now on."""
    run(session, _END, {"key": key})


def end_all(session: Session, person: str, *, but: str = "") -> int:
    """Every sign-in of a person, save that one."""
    return run(session, sa.delete(SignInRow).where(_ROW.person == person, _ROW.id != but)).rowcount


def forget(session: Session, now: datetime) -> int:
    """Delete what is over, for good: a clock that is set back later finds nothing to revive."""
    return run(session, _FORGET, {"now": now}).rowcount
