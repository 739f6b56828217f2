"""Partners' tokens: which there are, since when, last used when; a new one beside the old one for a stated time."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.people import Capability, Denied, Person
from domain.words import Two
from gateway.web.access import Desk, Form, denied, form, last_value
from gateway.web.errors import status_of
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.db import partner_tokens as rows
from tasks.city import City
from tasks.partner_tokens import OVERLAPS, PartnerTokens


def token_pages(city: City, desk: Desk, pages: Pages, tokens: PartnerTokens) -> APIRouter:
    """`/partner-tokens…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    MayManage = Annotated[Person, Depends(desk.may(Capability.MANAGE_TOKENS, own_entry=True))]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/partner-tokens")
    def listing(request: Request, _: MayManage, done: bool = False) -> Response:
        return shown(request, done=done)

    @door.get("/partner-tokens/{act}")
    def after_form(act: str, _: MayManage) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse("/partner-tokens", 303)

    @door.post("/partner-tokens/rotate")
    def rotate(request: Request, who: MayManage, fields: Fields) -> Response:
        partner, hours = last_value(fields, "partner"), _number(fields, "hours")
        try:
            with desk.noting(who, Capability.MANAGE_TOKENS):
                token = tokens.rotate(who.id, partner, hours)
        except Denied as refusal:
            return shown(request, status_of(refusal), refusal=refusal)
        return shown(request, partner=partner, token=token)

    @door.post("/partner-tokens/end")
    def end(who: MayManage, fields: Fields) -> Response:
        with desk.noting(who, Capability.MANAGE_TOKENS):
            tokens.end(who.id, _number(fields, "number"))
        return RedirectResponse("/partner-tokens?done=true", 303)

    def shown(request: Request, status: int = 200, *, partner: str = "", token: str = "", done: bool = False,
              refusal: Denied | None = None) -> Response:
        tokens.read()
        with city.db.reading() as session:
            listed = rows.listed(session)
        return pages.html(request, "administration/tokens.html", status, listed=listed, partners=sorted(tokens.partners),
                          overlaps=OVERLAPS, new_for=partner, token=token, done=done, refusal=refusal)

    return door


def _number(fields: Form, name: str) -> int:
    text = last_value(fields, name)
    if not (text.isdecimal() and len(text) < 10):
        raise denied(422, "invalid", Two("请求参数不符约定", "a parameter is not as agreed"))
    return int(text)
