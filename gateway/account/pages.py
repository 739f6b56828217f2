"""A person's own account: password, authenticator, recovery codes, and where they are signed in."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.people import Capability, Denied, Person
from gateway.web.access import Desk, Form, form, last_value
from gateway.web.errors import status_of
from gateway.web.render import Pages
from gateway.web.sign_in import give_cookie
from gateway.web.threads import PeoplesRoute
from infra import qr
from infra.db import sign_ins
from tasks import accounts, sessions
from tasks.city import City


def account_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/account…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Self = Annotated[Person, Depends(desk.may(Capability.KEEP_OWN_ACCOUNT))]
    SelfWithProof = Annotated[Person, Depends(desk.may(Capability.KEEP_OWN_ACCOUNT, own_entry=True))]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/account")
    def account(request: Request, who: Self, done: str = "") -> Response:
        return shown(request, who, done=done)

    @door.get("/account/{part}")
    def after_form(part: str, _: Self) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse("/account", 303)

    @door.post("/account/password")
    def change_password(request: Request, who: SelfWithProof, fields: Fields) -> Response:
        try:
            value = accounts.change_password(city, who.id, *_proof(fields), last_value(fields, "new"))
        except Denied as refusal:
            return shown(request, who, status_of(refusal), refusal=refusal)
        response = RedirectResponse("/account?done=password", 303)
        give_cookie(response, desk, value)
        return response

    @door.post("/account/authenticator")
    def change_authenticator(request: Request, who: SelfWithProof, fields: Fields) -> Response:
        try:
            code = accounts.change_authenticator(city, who.id, *_proof(fields))
        except Denied as refusal:
            return shown(request, who, status_of(refusal), refusal=refusal)
        enrolment = accounts.enrolment(city, code)
        return pages.html(request, "account/enrol.html", code=code, enrolment=enrolment,
                          picture=qr.svg(enrolment.address), refusal=None)

    @door.post("/account/recovery-codes")
    def renew_recovery_codes(request: Request, who: SelfWithProof, fields: Fields) -> Response:
        try:
            codes = accounts.renew_recovery_codes(city, who.id, *_proof(fields))
        except Denied as refusal:
            return shown(request, who, status_of(refusal), refusal=refusal)
        return pages.html(request, "account/recovery_codes.html", codes=codes, enrolled="")

    @door.post("/account/sign-ins")
    def end_sign_ins(request: Request, who: Self, fields: Fields) -> Response:
        key = last_value(fields, "key")
        if key:
            sessions.end_one_of(city, who.id, key)
        else:
            sessions.end_others(city, who.id, _key_of(request))
        return RedirectResponse("/account?done=sign-ins", 303)

    def shown(request: Request, who: Person, status: int = 200, *, done: str = "", refusal: Denied | None = None) -> Response:
        with city.db.reading() as session:
            state, rows = accounts.state(city, session, who.id), sign_ins.of(session, who.id)
        return pages.html(request, "account/account.html", status, state=state, sign_ins=rows, here_key=_key_of(request),
                          done=done, refusal=refusal)

    return door


def _proof(fields: Form) -> tuple[str, str]:
    return last_value(fields, "password"), last_value(fields, "otp")


def _key_of(request: Request) -> str:
    """The sign-in of this request; empty for a program's token."""
    return getattr(request.state, "sign_in", "")
