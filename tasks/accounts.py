"""A person's own account: signing in with password and authenticator, enrolment, changes. All of it is on their own word."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.people import Capability, Denied, locked_seconds, weak_password
from domain.words import Two
from infra import passwords
from infra.db import Session, access_log, credentials, people, sign_ins
from infra.db.access_log import Kind
from tasks import sessions
from tasks.city import City

ENROLMENT_LASTS = timedelta(days=3)
ISSUER = "Sanyi"
_REFUSALS: Mapping[str, Two] = {
    "wrong_credentials": Two("密码或验证码不正确，或账户已暂时锁定", "the password or the code is wrong, or the account is locked"),
    "enrolment_over": Two("登记码无效、已使用或已过期，请向管理员重新索取",
                          "this enrolment code is wrong, used or over; ask an administrator for another"),
    "wrong_code": Two("验证码不正确：请核对手机时间后再试", "the six digits do not fit; check the phone's clock and try again"),
}


@dataclass(frozen=True)
class Enrolment:
    """What the page shows to a person with an enrolment code."""

    person: str
    secret: str
    """Of the authenticator, base32."""
    address: str
    """The same as authenticators read it."""


def normal_id(text: str) -> str:
    """A person's id as it is kept."""
    return text.strip().upper()[:40]


# --- signing in ---


def sign_in(city: City, id: str, password: str, code: str) -> str | None:
    """The cookie's value for a person who has shown password and authenticator, or a recovery code; else None.

    Takes as long for an unknown id, and for a locked account, as for a wrong password.
    """
    id = normal_id(id)
    with city.db.reading() as session:
        row = credentials.get(session, id) if people.find(session, id) else None
    kept = row.password if row else ""
    right = passwords.matches(kept, password)
    if not kept:
        return None
    with city.db.transaction("person.signed_in") as session:
        if not _judge(city, session, id, kept if right else "", code):
            return None
        if passwords.outdated(kept):
            credentials.set_credential(session, id, password=passwords.hashed(password))
        access_log.append(session, id, Kind.ACT, Capability.KEEP_OWN_ACCOUNT, at=city.now(), detail="signed_in")
        return sessions.begin(city, session, id, method="password")


def sign_in_as(city: City, subject: str) -> str | None:
    """The cookie's value for the person that the OIDC provider calls so, if an administrator has entered it."""
    with city.db.transaction("subject.signed_in") as session:
        row = credentials.by_subject(session, subject) if subject else None
        if row is None or people.find(session, row.person) is None:
            return None
        _own_act(city, session, row.person, "signed_in_by_oidc")
        return sessions.begin(city, session, row.person, method="oidc")


def _judge(city: City, session: Session, id: str, kept: str, code: str) -> bool:
    """Whether the account is open, `kept` still is its password, and the code is a fresh one of theirs. Counts failures."""
    now = city.now()
    row = credentials.get(session, id, hold=True)
    if row is None or (row.locked_until and row.locked_until > now):
        return False
    if kept and kept == row.password and _second_factor(city, session, id, row.totp_sealed, row.totp_step, code):
        credentials.set_credential(session, id, failures=0, locked_until=None)
        return True
    failures = row.failures + 1
    seconds = locked_seconds(failures)
    credentials.set_credential(session, id, failures=failures, locked_until=now + timedelta(seconds=seconds) if seconds else None)
    if seconds:
        access_log.append(session, id, Kind.REFUSED, Capability.KEEP_OWN_ACCOUNT, at=now, detail="locked")
    return False


def _second_factor(city: City, session: Session, id: str, sealed: bytes | None, after: int, code: str) -> bool:
    if sealed is None:
        return False
    step = passwords.step_of(city.cipher.open(sealed, _totp(id)), code, city.now(), after=after)
    if step is not None:
        credentials.set_credential(session, id, totp_step=step)
        return True
    return credentials.use_recovery_code(session, id, _recovery_mark(city, id, code), city.now())


# --- enrolment ---


def invite(city: City, session: Session, id: str, by: str) -> str:
    """An enrolment code for a person, in the caller's transaction. It is shown once; only a keyed hash of it is kept."""
    code, now = secrets.token_urlsafe(18), city.now()
    mark = _enrolment_mark(city, code)
    credentials.enrol(session, mark, id, totp_sealed=city.cipher.seal(passwords.new_secret(), _pending(mark)), at=now, by=by,
                      until=now + ENROLMENT_LASTS)
    return code


def enrolment(city: City, code: str) -> Enrolment:
    """What a code is good for. Raises `Denied` (code `enrolment_over`)."""
    mark = _enrolment_mark(city, code)
    with city.db.reading() as session:
        row = credentials.enrolment(session, mark)
        if row is None or row.used_at or row.until <= city.now() or people.find(session, row.person) is None:
            raise _refusal("enrolment_over")
    secret = city.cipher.open(row.totp_sealed, _pending(mark))
    return Enrolment(row.person, secret, passwords.address(secret, row.person, ISSUER))


def enrol(city: City, code: str, password: str, digits: str) -> list[str]:
    """Set the password and the authenticator of the code's person; their recovery codes, which are shown once.

    Raises `Denied` (codes `enrolment_over`, `weak_password`, `wrong_code`), and then the code may be used again.
    """
    invited = enrolment(city, code)
    _check_password(city, invited.person, password)
    step = passwords.step_of(invited.secret, digits, city.now())
    if step is None:
        raise _refusal("wrong_code")
    kept, codes = passwords.hashed(password), passwords.recovery_codes()
    id, now = invited.person, city.now()
    with city.db.transaction("person.enrolled") as session:
        if not credentials.use_enrolment(session, _enrolment_mark(city, code), now):
            raise _refusal("enrolment_over")
        credentials.set_credential(
            session, id, password=kept, changed_at=now, totp_sealed=city.cipher.seal(invited.secret, _totp(id)), totp_step=step,
            failures=0, locked_until=None)
        credentials.set_recovery_codes(session, id, [_recovery_mark(city, id, written) for written in codes])
        sign_ins.end_all(session, id)
        access_log.append(session, id, Kind.ACT, Capability.KEEP_OWN_ACCOUNT, at=now, detail="enrolled")
    return codes


# --- changes ---


def change_password(city: City, id: str, password: str, code: str, new: str) -> str:
    """Another password; every sign-in ends, and the value of a new one's cookie is returned.

    Raises `Denied` (codes `weak_password`, `wrong_credentials`).
    """
    _check_password(city, id, new)
    kept = _right_password(city, id, password)
    changed = passwords.hashed(new)
    with city.db.transaction("password.changed") as session:
        cookie = None
        if _judge(city, session, id, kept, code):
            credentials.set_credential(session, id, password=changed, changed_at=city.now())
            sign_ins.end_all(session, id)
            _own_act(city, session, id, "password_changed")
            cookie = sessions.begin(city, session, id, method="password")
    if cookie is None:
        raise _refusal("wrong_credentials")
    return cookie


def change_authenticator(city: City, id: str, password: str, code: str) -> str:
    """An enrolment code for oneself. Raises `Denied` (code `wrong_credentials`)."""
    kept = _right_password(city, id, password)
    with city.db.transaction("authenticator.changing") as session:
        invitation = None
        if _judge(city, session, id, kept, code):
            _own_act(city, session, id, "authenticator_changing")
            invitation = invite(city, session, id, id)
    if invitation is None:
        raise _refusal("wrong_credentials")
    return invitation


def renew_recovery_codes(city: City, id: str, password: str, digits: str) -> list[str]:
    """New recovery codes in place of the old ones; shown once. Raises `Denied` (code `wrong_credentials`)."""
    kept, codes = _right_password(city, id, password), passwords.recovery_codes()
    with city.db.transaction("recovery.renewed") as session:
        proven = _judge(city, session, id, kept, digits)
        if proven:
            credentials.set_recovery_codes(session, id, [_recovery_mark(city, id, written) for written in codes])
            _own_act(city, session, id, "recovery_renewed")
    if not proven:
        raise _refusal("wrong_credentials")
    return codes


def _own_act(city: City, session: Session, id: str, detail: str) -> None:
    access_log.append(session, id, Kind.ACT, Capability.KEEP_OWN_ACCOUNT, at=city.now(), detail=detail)


def _right_password(city: City, id: str, password: str) -> str:
    """The hash of the password as it is kept, if that is it; else empty."""
    with city.db.reading() as session:
        row = credentials.get(session, id)
    kept: str = row.password if row else ""
    return kept if passwords.matches(kept, password) else ""


def _check_password(city: City, id: str, password: str) -> None:
    with city.db.reading() as session:
        listed = people.listed(session, id)
    name = name_of(city, listed[0]) if listed else ""
    if why := weak_password(password, (id, name)):
        raise Denied("weak_password", why)


@dataclass(frozen=True)
class State:
    """Where an account stands, as its owner and the administrator see it."""

    enrolled: bool
    changed_at: datetime | None
    locked_until: datetime | None
    """None also where the lock is over."""
    codes_left: int
    subject: str


def state(city: City, session: Session, id: str) -> State:
    row, now = credentials.get(session, id), city.now()
    if row is None:
        return State(False, None, None, 0, "")
    return State(bool(row.password), row.changed_at, row.locked_until if row.locked_until and row.locked_until > now else None,
                 credentials.recovery_codes_left(session, id), row.subject or "")


def name_of(city: City, person: people.Listed) -> str:
    """What colleagues call them; empty if not known."""
    return city.cipher.open(person.name_sealed, f"person/name/{person.id}") if person.name_sealed else ""


def sealed_name(city: City, id: str, name: str) -> bytes:
    return city.cipher.seal(name, f"person/name/{id}") if name else b""


def _refusal(code: str) -> Denied:
    return Denied(code, _REFUSALS[code])


def _totp(id: str) -> str:
    return f"credential/totp/{id}"


def _pending(mark: str) -> str:
    return f"enrolment/totp/{mark}"


def _enrolment_mark(city: City, code: str) -> str:
    return city.cipher.lookup(f"enrolment\n{code.strip()}")


def _recovery_mark(city: City, id: str, code: str) -> str:
    return city.cipher.lookup(f"recovery code\n{id}\n{passwords.normal_recovery_code(code)}")
