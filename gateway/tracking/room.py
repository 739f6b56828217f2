"""The patient's page: where it is, when and where to collect it, what it costs, and how to cancel it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.lifecycle import Notice
from domain.tracking import STEPS
from domain.words import Two
from gateway.web.access import Desk, denied
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.limits import network
from infra.qr import svg
from tasks import tracking
from tasks.city import City
from tasks.patients import prescription_of

PRIVATE = {"x-robots-tag": "noindex, nofollow"}
"""The address opens the page for anybody: no search may find it. That no copy is kept and no other site hears of it is so of
every page."""


class Holder:
    """A dependency: the prescription of the person who has the link. A wrong one counts as a guess, as at the sign-in."""

    def __init__(self, city: City, desk: Desk) -> None:
        self._city = city
        self._desk = desk

    def __call__(self, request: Request, link: str) -> str:
        address = network(request.client.host if request.client else "")
        self._desk.guard.check(address, program=False)
        prescription_id = prescription_of(self._city, link)
        if prescription_id is None:
            self._desk.guard.failed(address, program=False)
            raise denied(404, "no_such_page", Two("链接不正确，请从医院的消息中重新打开", "this link is not right: open it again "
                                                  "from the hospital's message"))
        return prescription_id


def tracking_room(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/p/{link}`."""
    room = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Mine = Annotated[str, Depends(Holder(city, desk))]

    @room.get("/p/{link}")
    def page(request: Request, link: str, mine: Mine, done: str = "") -> Response:
        seen = tracking.tracked(city, mine)
        if seen is None:
            raise denied(404, "no_such_page", Two("没有这张处方", "there is no such prescription"))
        answer = pages.html(request, "tracking/tracking.html", rx=seen, steps=STEPS, link=link, qr=svg,
                            tooLate=done == Notice.TOO_LATE)
        answer.headers.update(PRIVATE)
        return answer

    @room.post("/p/{link}/cancel")
    def cancel(link: str, mine: Mine) -> Response:
        try:
            answer = tracking.cancel(city, mine)
        except KeyError:
            raise denied(404, "no_such_page", Two("没有这张处方", "there is no such prescription")) from None
        return RedirectResponse(f"/p/{link}" + (f"?done={answer}" if answer is Notice.TOO_LATE else ""), 303, PRIVATE)

    @room.get("/p/{link}/cancel")
    def after_cancel(link: str, _: Mine) -> Response:
        # The address of the form, opened again: from the history of the browser.
        return RedirectResponse(f"/p/{link}", 303, PRIVATE)

    return room
