"""The patient's page: where it is, where to get it, what it costs, and how to choose the pharmacy or cancel."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.fulfilment.choice import Verdict, terms_of, wait_key
from domain.lifecycle import Notice
from domain.tracking import CHOICE_ANSWERS, STEPS, TOO_LATE_TO_WISH
from domain.words import AT_POINT, NOT_THERE, Two
from gateway.tracking.api import act
from gateway.tracking.holder import PRIVATE, Holder, no_such_page
from gateway.web.access import Desk, Form, form, last_value
from gateway.web.choice import BASIS, NO_ESTIMATE, WHY_OTHER, grouped, product_name, weights
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.qr import svg
from tasks import choosing, tracking
from tasks.city import City
from tasks.closing import PATIENT

NO_WISH = "no_wish"
NOTICES: Mapping[str, Two] = {
    Notice.TOO_LATE: Two("药已交付，不能再撤销。如需退药请联系药店。",
                         "It was handed over and cannot be cancelled any more. To return medicine, ask the pharmacy."),
    NO_WISH: TOO_LATE_TO_WISH,
    **{verdict: words for verdict, words in CHOICE_ANSWERS.items() if verdict not in (Verdict.TAKEN, Verdict.REPEATED)},
}
"""What is said once above the page, by the code in its address."""


def tracking_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/p/{link}`."""
    room = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Mine = Annotated[str, Depends(Holder(city, desk))]

    def back(link: str, notice: str = "") -> Response:
        return RedirectResponse(f"/p/{link}" + (f"?done={notice}" if notice in NOTICES else ""), 303, PRIVATE)

    @room.get("/p/{link}")
    def page(request: Request, link: str, mine: Mine, done: str = "") -> Response:
        seen = tracking.tracked(city, mine)
        if seen is None:
            raise no_such_page()
        answer = pages.html(request, "tracking/tracking.html", rx=seen, steps=STEPS, link=link, qr=svg, notice=NOTICES.get(done),
                            weights=weights(), basis=BASIS, no_estimate=NO_ESTIMATE, at_point=AT_POINT, not_there=NOT_THERE,
                            medicines={medicine.line: medicine for medicine in seen.medicines}, grouped=grouped,
                            wait_key=wait_key, terms_of=terms_of, why_other=WHY_OTHER,
                            product=lambda code: product_name(city.knowledge.catalogue, code))
        answer.headers.update(PRIVATE)
        return answer

    @room.post("/p/{link}/cancel")
    def cancel(link: str, mine: Mine) -> Response:
        return back(link, act(lambda: tracking.cancel(city, mine)))

    @room.post("/p/{link}/choice")
    def choose(link: str, mine: Mine, fields: Annotated[Form, Depends(form)]) -> Response:
        return back(link, act(lambda: choosing.choose(city, mine, last_value(fields, "option"), by=PATIENT,
                                                      agreed=fields.get("agreed", ()))))

    @room.post("/p/{link}/wish_to_choose")
    def wish(link: str, mine: Mine) -> Response:
        return back(link, "" if act(lambda: choosing.wish_to_choose(city, mine, by=PATIENT)) else NO_WISH)

    @room.get("/p/{link}/cancel")
    @room.get("/p/{link}/choice")
    @room.get("/p/{link}/wish_to_choose")
    def after_a_form(link: str, _: Mine) -> Response:
        # The address of a form, opened again: from the history of the browser.
        return back(link)

    return room
