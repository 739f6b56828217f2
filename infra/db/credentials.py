"""How people show who they are: password, authenticator, recovery codes, enrolment; and how often they failed to."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import Row, insert_new, run, table
from infra.db.rows import CredentialRow, EnrolmentRow, RecoveryCodeRow

_CREDENTIAL, _CODE, _ENROLMENT = table(CredentialRow), table(RecoveryCodeRow), table(EnrolmentRow)
_OF = _CREDENTIAL.c.person == sa.bindparam("whose")
_GET = sa.select(_CREDENTIAL).where(_OF)
_HOLD = _GET.with_for_update()
_SET = sa.update(_CREDENTIAL).where(_OF)


def get(session: Session, person: str, *, hold: bool = False) -> Row | None:
    """The columns of `CredentialRow`; with `hold` no other transaction changes them before this one ends."""
    return run(session, _HOLD if hold else _GET, {"whose": person}).one_or_none()


def by_subject(session: Session, subject: str) -> Row | None:
    """Whose account the OIDC provider calls so."""
    return session.execute(sa.select(_CREDENTIAL).where(_CREDENTIAL.c.subject == subject)).one_or_none()


def set_credential(session: Session, person: str, **columns: object) -> None:
    """Set these columns of a person's credential; there is a row afterwards."""
    insert_new(session, CredentialRow, person=person, changed_at=None, totp_sealed=None, locked_until=None, subject=None)
    run(session, _SET.values({name: sa.bindparam(f"new_{name}") for name in columns}),
        {"whose": person} | {f"new_{name}": value for name, value in columns.items()})


def set_recovery_codes(session: Session, person: str, marks: Iterable[str]) -> None:
    """These, and none of those before."""
    run(session, sa.delete(_CODE).where(_CODE.c.person == person))
    run(session, sa.insert(_CODE), [{"mark": mark, "person": person, "used_at": None} for mark in marks])


def use_recovery_code(session: Session, person: str, mark: str, at: datetime) -> bool:
    """Whether that was one of theirs; from now on it is none."""
    return run(session, sa.update(_CODE).where(_CODE.c.person == person, _CODE.c.mark == mark, _CODE.c.used_at.is_(None)),
               {"used_at": at}).rowcount == 1


def recovery_codes_left(session: Session, person: str) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(_CODE).where(
        _CODE.c.person == person, _CODE.c.used_at.is_(None))) or 0


def enrol(session: Session, mark: str, person: str, *, totp_sealed: bytes, at: datetime, by: str, until: datetime) -> None:
    """A code for a person; those made for them before are worth nothing any more."""
    run(session, sa.delete(_ENROLMENT).where(_ENROLMENT.c.person == person, _ENROLMENT.c.used_at.is_(None)))
    run(session, sa.insert(_ENROLMENT), {"mark": mark, "person": person, "totp_sealed": totp_sealed, "made_at": at,
                                         "made_by": by, "until": until, "used_at": None})


def enrolment(session: Session, mark: str) -> Row | None:
    """The columns of `EnrolmentRow`, also of one that was used or is over."""
    return session.execute(sa.select(_ENROLMENT).where(_ENROLMENT.c.mark == mark)).one_or_none()


def use_enrolment(session: Session, mark: str, at: datetime) -> bool:
    """Whether it was there to be used; it is not any more."""
    return run(session, sa.update(_ENROLMENT).where(
        _ENROLMENT.c.mark == mark, _ENROLMENT.c.used_at.is_(None), _ENROLMENT.c.until > at), {"used_at": at}).rowcount == 1


def drop_enrolments(session: Session, person: str) -> None:
    """No code made for them opens anything any more."""
    run(session, sa.delete(_ENROLMENT).where(_ENROLMENT.c.person == person, _ENROLMENT.c.used_at.is_(None)))
