"""Coming in and going out: the form of the access code, and the cookie it is exchanged for."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from gateway.web.access import COOKIE, STAYS, Desk, Form, Role, SignedIn, form, last_value
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute


def sign_in_pages(desk: Desk, pages: Pages) -> APIRouter:
    """`/sign-in` and `/sign-out`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Staff = Annotated[SignedIn, Depends(desk.staff)]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/sign-in")
    def sign_in_page(request: Request, next: str = "") -> Response:
        return pages.html(request, "web/sign_in.html", next=next, wrong=False)

    @door.post("/sign-in")
    def sign_in(request: Request, fields: Fields) -> Response:
        desk.same_origin(request)
        person = desk.sign_in(request, last_value(fields, "code").strip())
        if person is None:
            return pages.html(request, "web/sign_in.html", 401, next=last_value(fields, "next"), wrong=True)
        home = "/review" if person.role is Role.PHARMACIST else "/"
        response = RedirectResponse(_inside(last_value(fields, "next")) or home, 303)
        response.set_cookie(COOKIE, desk.cookie(person), max_age=int(STAYS.total_seconds()), httponly=True,
                            samesite="strict", secure=desk.secure, path="/")
        return response

    @door.post("/sign-out")
    def sign_out(request: Request, _: Staff) -> Response:
        desk.sign_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=desk.secure)
        return response

    return door


def _inside(address: str) -> str:
    """An address of ours, or nothing: a sign-in must not lead elsewhere."""
    return address if re.fullmatch(r"/(?![/\\])[\w/.\-]*", address) else ""
