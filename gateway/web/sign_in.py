"""Coming in and going out: password and authenticator, or an access code of the settings, for a cookie."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.people import Capability, Person
from gateway.web.access import COOKIE, Desk, Form, form, last_value
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from tasks import sessions

HOMES = ((Capability.SEE_BOARD, "/"), (Capability.SEE_QUEUE, "/review"), (Capability.SEE_INBOX, "/inbox"),
         (Capability.MANAGE_PEOPLE, "/people"),
         (Capability.READ_ACCESS_LOG, "/access-log"), (Capability.SEE_MESSAGES, "/webhooks"))
"""Where people begin: the first of these that they may."""


def sign_in_pages(desk: Desk, pages: Pages, *, single_sign_on: bool) -> APIRouter:
    """`/sign-in` and `/sign-out`; `single_sign_on`: the page offers it."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Anybody = Annotated[Person, Depends(desk.staff)]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/sign-in")
    def sign_in_page(request: Request, next: str = "") -> Response:
        return pages.html(request, "web/sign_in.html", next=inside(next), wrong="", single_sign_on=single_sign_on)

    @door.post("/sign-in")
    def sign_in(request: Request, fields: Fields) -> Response:
        desk.same_origin(request)
        by_code = "code" in fields
        if by_code:
            value = desk.sign_in(request, last_value(fields, "code").strip())
        else:
            value = desk.sign_in_with_password(request, last_value(fields, "id"), last_value(fields, "password"),
                                               last_value(fields, "otp"))
        if value is None:
            wrong = "code" if by_code else "password"
            return pages.html(request, "web/sign_in.html", 401, next=inside(last_value(fields, "next")), wrong=wrong,
                              single_sign_on=single_sign_on)
        signed_in = desk.by_cookie(value)
        home = home_of(signed_in.person) if signed_in else "/sign-in"
        response = RedirectResponse(inside(last_value(fields, "next")) or home, 303)
        give_cookie(response, desk, value)
        return response

    @door.post("/sign-out")
    def sign_out(request: Request, _: Anybody) -> Response:
        desk.sign_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=desk.secure)
        return response

    return door


def give_cookie(response: Response, desk: Desk, value: str) -> None:
    """The cookie of a sign-in: for our own pages only, out of reach of scripts, over TLS where we are reached so."""
    response.set_cookie(COOKIE, value, max_age=int(sessions.STAYS.total_seconds()), httponly=True, samesite="strict",
                        secure=desk.secure, path="/")


def home_of(person: Person) -> str:
    """The page a person begins with."""
    return next((address for capability, address in HOMES if person.places(capability)), "/account")


def inside(address: str) -> str:
    """An address of ours, or nothing: a sign-in must not lead elsewhere."""
    return address if re.fullmatch(r"/(?![/\\])[\w/.\-]*", address) else ""
