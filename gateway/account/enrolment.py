"""With an enrolment code a person chooses a password and an authenticator. The code travels in forms, never in an address."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from domain.people import Denied
from domain.words import Two
from gateway.web.access import Desk, Form, form, last_value
from gateway.web.errors import status_of
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra import qr
from tasks import accounts
from tasks.city import City

_DIFFERENT = Two("两次输入的密码不一致", "the two passwords differ")


def enrolment_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/enrol`: for a person who cannot sign in yet, or has a new authenticator."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Fields = Annotated[Form, Depends(form)]

    @door.get("/enrol")
    def ask_for_code(request: Request) -> Response:
        return shown(request)

    @door.post("/enrol")
    def enrol(request: Request, fields: Fields) -> Response:
        desk.same_origin(request)
        code, password = last_value(fields, "code").strip(), last_value(fields, "password")
        try:
            enrolment = accounts.enrolment(city, code)
        except Denied as refusal:
            return shown(request, status_of(refusal), refusal=refusal)
        if "password" not in fields:
            return shown(request, code=code, enrolment=enrolment)
        try:
            if password != last_value(fields, "again"):
                raise Denied("passwords_differ", _DIFFERENT)
            codes = accounts.enrol(city, code, password, last_value(fields, "otp"))
        except Denied as refusal:
            return shown(request, status_of(refusal), code=code, enrolment=enrolment, refusal=refusal)
        return pages.html(request, "account/recovery_codes.html", codes=codes, enrolled=enrolment.person)

    def shown(request: Request, status: int = 200, *, code: str = "", enrolment: accounts.Enrolment | None = None,
              refusal: Denied | None = None) -> Response:
        picture = qr.svg(enrolment.address) if enrolment else ""
        return pages.html(request, "account/enrol.html", status, code=code, enrolment=enrolment, picture=picture,
                          refusal=refusal)

    return door
