"""People and their roles: who there is, who is new, who may no longer what."""

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.people import GRANTS, NEEDS_PLACE, Capability, Denied, Grant, Person, Role
from domain.words import Two
from gateway.web.access import Desk, Form, denied, form, last_value
from gateway.web.errors import status_of
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.db import people as rows
from infra.db import sign_ins
from tasks import accounts, people
from tasks.city import City
from tasks.counter import workplaces

Act = Callable[[City, str, str, Form], str | None]
"""City, administrator, person, form -> an enrolment code, where the act makes one."""


def people_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/people` and `/people/…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Administrator = Annotated[Person, Depends(desk.may(Capability.MANAGE_PEOPLE, own_entry=True))]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/people")
    def listing(request: Request, _: Administrator) -> Response:
        return everybody(request)

    @door.post("/people")
    def add(request: Request, who: Administrator, fields: Fields) -> Response:
        id, grants = last_value(fields, "id"), [_grant(role, fields) for role in Role if role in fields.get("role", [])]
        try:
            with desk.noting(who, Capability.MANAGE_PEOPLE):
                code = people.add(city, who.id, id, last_value(fields, "name"), grants)
        except Denied as refusal:
            return everybody(request, status_of(refusal), refusal=refusal, fields=fields)
        return one_person(request, accounts.normal_id(id), code=code)

    @door.get("/people/{id}")
    def details(request: Request, id: str, _: Administrator, done: str = "") -> Response:
        return one_person(request, id, done=done)

    @door.get("/people/{id}/{act}")
    def after_form(id: str, act: str, _: Administrator) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse(f"/people/{_known(id)}" if act in ACTS else "/people", 303)

    @door.post("/people/{id}/{act}")
    def change(request: Request, id: str, act: str, who: Administrator, fields: Fields) -> Response:
        if act not in ACTS:
            raise denied(404, "not_found", Two("没有这个地址", "no such address"))
        try:
            with desk.noting(who, Capability.MANAGE_PEOPLE):
                code = ACTS[act](city, who.id, id, fields)
        except Denied as refusal:
            return one_person(request, id, status_of(refusal), refusal=refusal)
        return one_person(request, id, code=code) if code else RedirectResponse(f"/people/{_known(id)}?done={act}", 303)

    def everybody(request: Request, status: int = 200, *, refusal: Denied | None = None, fields: Form | None = None) -> Response:
        with city.db.reading() as session:
            listed = [(person, accounts.name_of(city, person), accounts.state(city, session, person.id))
                      for person in rows.listed(session)]
        return pages.html(request, "administration/people.html", status, listed=listed, refusal=refusal, fields=fields or {},
                          all_roles=list(Role), needs_place=NEEDS_PLACE, places=_places(city))

    def one_person(request: Request, id: str, status: int = 200, *, code: str = "", done: str = "",
                   refusal: Denied | None = None) -> Response:
        with city.db.reading() as session:
            listed = rows.listed(session, _known(id))
            if not listed:
                raise denied(404, "unknown_person", Two("没有这个人员", "no such person"))
            state, open_sign_ins = accounts.state(city, session, id), len(sign_ins.of(session, id))
        return pages.html(request, "administration/person.html", status, shown=listed[0],
                          full_name=accounts.name_of(city, listed[0]),
                          state=state, open_sign_ins=open_sign_ins, code=code, lasts=accounts.ENROLMENT_LASTS.total_seconds(),
                          done=done if done in ACTS else "", refusal=refusal, all_roles=list(Role), needs_place=NEEDS_PLACE,
                          places=_places(city), capabilities=GRANTS, environment=rows.ENVIRONMENT)

    return door


def _grant(role: str, fields: Form) -> Grant:
    """A role of a form, with its place; a role we do not have is refused."""
    if role not in set(Role):
        raise denied(422, "unknown_role", Two("没有这个角色", "no such role"))
    place = last_value(fields, f"place-{role}") or last_value(fields, "place")
    return Grant(Role(role), place.strip()[:40])


def _end_role(city: City, by: str, id: str, fields: Form) -> None:
    number = last_value(fields, "number")
    if not (number.isdecimal() and len(number) < 10):
        raise denied(422, "invalid", Two("请求参数不符约定", "a parameter is not as agreed"))
    people.end_role(city, by, id, int(number))


ACTS: Mapping[str, Act] = {
    "grant": lambda city, by, id, fields: people.grant(city, by, id, _grant(last_value(fields, "role"), fields)),
    "end-role": _end_role,
    "invite": lambda city, by, id, fields: people.invite(city, by, id),
    "unlock": lambda city, by, id, fields: people.unlock(city, by, id),
    "sign-out": lambda city, by, id, fields: people.sign_out(city, by, id),
    "subject": lambda city, by, id, fields: people.name_subject(city, by, id, last_value(fields, "subject")),
    "leave": lambda city, by, id, fields: people.leave(city, by, id),
}


def _known(id: str) -> str:
    """An id as it may stand in an address of ours."""
    return id if people.ID.fullmatch(id) else "-"


def _places(city: City) -> list[str]:
    """Those at whom a role may be held: slugs, and shops that work from our pages."""
    return [*(terms.slug for terms in city.policy.hospitals), *city.chains, *workplaces(city)]
