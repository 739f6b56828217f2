"""What a shop prints: the label on the outside of a package, and the slip inside."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from domain.people import Capability, Person
from gateway.inbox.api import Number
from gateway.inbox.facts import unknown_order, whole_order
from gateway.web.access import Desk
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from tasks import counter
from tasks.city import City


def inbox_prints(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/inbox/…/label` and `/inbox/…/slip`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_ORDER, somewhere=True))]

    @door.get("/inbox/{rx_id}/{attempt}/label")
    def label(request: Request, rx_id: str, attempt: Number, who: MaySee) -> Response:
        return printed(request, "inbox/label.html", rx_id, attempt, who)

    @door.get("/inbox/{rx_id}/{attempt}/slip")
    def slip(request: Request, rx_id: str, attempt: Number, who: MaySee) -> Response:
        return printed(request, "inbox/slip.html", rx_id, attempt, who)

    def printed(request: Request, page: str, rx_id: str, attempt: int, who: Person) -> Response:
        try:
            seen = counter.order_of(city, who, Capability.SEE_ORDER, rx_id, attempt)
        except KeyError:
            raise unknown_order() from None
        return pages.html(request, page, order=whole_order(city, seen), at=seen.at)

    return door
