"""What administrators do with people and roles. Each act and its entry in the access log are one transaction."""

import re
from collections.abc import Mapping, Sequence

from domain.people import Capability, Denied, Grant, Role, check_grant
from domain.privacy import masked
from domain.words import Two
from infra.db import Session, access_log, credentials, people, sign_ins
from infra.db.access_log import Kind
from tasks import accounts
from tasks.city import City

COMMAND = "command"
"""Who acts where it is not a person but `./go people`."""
ID = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,38}")
_REFUSALS: Mapping[str, Two] = {
    "bad_id": Two("编号须为字母、数字、点、横线，且不得为证件号或电话",
                  "an id has letters, digits, dots and dashes, and is no id number or phone"),
    "id_taken": Two("编号已被使用", "this id is, or was, another person's"),
    "no_role": Two("请至少选择一个角色", "choose a role"),
    "unknown_person": Two("没有这个人员，或已停用", "no such person, or they have left"),
    "last_administrator": Two("这是最后一名管理员，请先指定另一名", "this is the last administrator; name another one first"),
    "own_roles": Two("不得更改本人的角色，请由另一名管理员操作", "not one's own roles; another administrator must do it"),
    "from_the_settings": Two("该角色来自配置中的访问码，请在配置中删除",
                             "this role comes with an access token of the settings; remove it there"),
    "subject_taken": Two("该账号已对应另一人员", "another person has this subject"),
}


def add(city: City, by: str, id: str, name: str, grants: Sequence[Grant]) -> str:
    """A new person with those roles; their enrolment code, which is shown once.

    Raises `Denied`: `bad_id`, `id_taken`, `no_role`, and those of `check_grant`.
    """
    id = accounts.normal_id(id)
    if not ID.fullmatch(id) or masked(id) != id:
        raise _refusal("bad_id")
    if not grants:
        raise _refusal("no_role")
    for grant in grants:
        check_grant(grant)
    with city.db.transaction("person.added") as session:
        sealed, source = accounts.sealed_name(city, id, name.strip()[:60]), COMMAND if by == COMMAND else "administrator"
        if not people.add(session, id, name_sealed=sealed, source=source, at=city.now(), by=by):
            raise _refusal("id_taken")
        _log(city, session, by, f"added:{id}")
        for grant in grants:
            people.grant(session, id, grant, at=city.now(), by=by)
            _log(city, session, by, f"granted:{id}:{grant.role}")
        return accounts.invite(city, session, id, by)


def invite(city: City, by: str, id: str) -> str:
    """Another enrolment code; the password goes on until it is used. Raises `Denied` (code `unknown_person`)."""
    with city.db.transaction("enrolment.made") as session:
        _there(session, id)
        _log(city, session, by, f"invited:{id}")
        return accounts.invite(city, session, id, by)


def grant(city: City, by: str, id: str, role: Grant) -> None:
    """Give a role; the person signs in anew. Raises `Denied`: `unknown_person`, `own_roles`, and those of `check_grant`."""
    check_grant(role)
    if by == id:
        raise _refusal("own_roles")
    with city.db.transaction("role.granted") as session:
        _there(session, id)
        if people.grant(session, id, role, at=city.now(), by=by):
            sign_ins.end_all(session, id)
            _log(city, session, by, f"granted:{id}:{role.role}")


def end_role(city: City, by: str, id: str, number: int) -> None:
    """Take a role; the person signs in anew.

    Raises `Denied`: `unknown_person`, `own_roles`, `last_administrator`, `from_the_settings`.
    """
    if by == id:
        raise _refusal("own_roles")
    with city.db.transaction("role.ended") as session:
        held = next((had for person in people.listed(session, id) for had in person.grants
                     if had.id == number and had.ended_at is None), None)
        if held is None:
            return
        if held.by == people.ENVIRONMENT:
            raise _refusal("from_the_settings")
        people.end_grant(session, id, number, at=city.now(), by=by)
        if held.grant.role is Role.ADMINISTRATOR and not people.administrators(session):
            raise _refusal("last_administrator")
        sign_ins.end_all(session, id)
        _log(city, session, by, f"ended:{id}:{held.grant.role}")


def leave(city: City, by: str, id: str) -> None:
    """The person has left: nothing of theirs opens anything any more. Raises `Denied`: `own_roles`, `last_administrator`."""
    if by == id:
        raise _refusal("own_roles")
    with city.db.transaction("person.ended") as session:
        was_administrator = Role.ADMINISTRATOR in _there(session, id)
        people.end(session, id, at=city.now(), by=by)
        if was_administrator and not people.administrators(session):
            raise _refusal("last_administrator")
        sign_ins.end_all(session, id)
        credentials.drop_enrolments(session, id)
        _log(city, session, by, f"left:{id}")


def unlock(city: City, by: str, id: str) -> None:
    """Forget that the person failed to sign in. Raises `Denied` (code `unknown_person`)."""
    with city.db.transaction("account.unlocked") as session:
        _there(session, id)
        credentials.set_credential(session, id, failures=0, locked_until=None)
        _log(city, session, by, f"unlocked:{id}")


def sign_out(city: City, by: str, id: str) -> None:
    """End every sign-in of the person. Raises `Denied` (code `unknown_person`)."""
    with city.db.transaction("person.sent_out") as session:
        _there(session, id)
        sign_ins.end_all(session, id)
        _log(city, session, by, f"signed_out:{id}")


def name_subject(city: City, by: str, id: str, subject: str) -> None:
    """What the OIDC provider calls the person; empty: nothing. Raises `Denied`: `unknown_person`, `subject_taken`."""
    subject = subject.strip()[:200]
    with city.db.transaction("subject.named") as session:
        _there(session, id)
        holder = credentials.by_subject(session, subject) if subject else None
        if holder is not None and holder.person != id:
            raise _refusal("subject_taken")
        credentials.set_credential(session, id, subject=subject or None)
        sign_ins.end_all(session, id)
        _log(city, session, by, f"subject:{id}")


def _refusal(code: str) -> Denied:
    return Denied(code, _REFUSALS[code])


def _there(session: Session, id: str) -> frozenset[Role]:
    person = people.find(session, id)
    if person is None:
        raise _refusal("unknown_person")
    return person.roles


def _log(city: City, session: Session, by: str, detail: str) -> None:
    access_log.append(session, by, Kind.ACT, Capability.MANAGE_PEOPLE, at=city.now(), detail=detail)
