"""What the people of a shop open: its orders, one of them, its shelves and hours, its day."""

import secrets
from datetime import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.people import Capability, Denied, Person
from domain.premises import premises_of
from domain.shops import Act, Opening
from domain.words import Two
from gateway.inbox.api import FILLING, Number
from gateway.inbox.facts import day, grouped, order_facts, unknown_order, whole_order, workplace
from gateway.web.access import Desk, Form, form, last_value
from gateway.web.errors import status_of
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from tasks import counter, custody, shelves
from tasks.city import City
from tasks.counter import Workplace

BAD_HOURS = Denied("bad_hours", Two("请填写时间，如 08:00", "a time, such as 08:00"))


def _number(typed: str) -> str:
    """The number of a payment as it is kept: letters, digits, dashes; other signs are no part of one."""
    return "".join(sign for sign in typed if sign.isascii() and (sign.isalnum() or sign in "-_"))[:64]


def inbox_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/inbox…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    MaySeeInbox = Annotated[Person, Depends(desk.may(Capability.SEE_INBOX, somewhere=True))]
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_ORDER, somewhere=True))]
    MayFill = Annotated[Person, Depends(desk.may(Capability.FILL_ORDERS, somewhere=True))]
    MayHandOver = Annotated[Person, Depends(desk.may(Capability.HAND_OVER, somewhere=True))]
    MayKeep = Annotated[Person, Depends(desk.may(Capability.KEEP_SHOP, somewhere=True))]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/inbox")
    def inbox(request: Request, who: MaySeeInbox, shop: str = "") -> Response:
        at = workplace(city, who, Capability.SEE_INBOX, shop)
        orders = [order_facts(city, order) for order in counter.orders_at(city, at, counter.start_of_day(city))]
        return pages.html(request, "inbox/inbox.html", groups=grouped(orders), opening=shelves.hours(city, at),
                          parcels=parcels_here(at), **places(who, Capability.SEE_INBOX, at))

    @door.get("/inbox/stock")
    def stock(request: Request, who: MayKeep, shop: str = "", done: str = "") -> Response:
        return keeping(request, who, workplace(city, who, Capability.KEEP_SHOP, shop), done=done in ("shelf", "hours"))

    @door.post("/inbox/stock")
    def change_stock(request: Request, who: MayKeep, fields: Fields) -> Response:
        at = workplace(city, who, Capability.KEEP_SHOP, last_value(fields, "shop"))
        typed = {name: last_value(fields, name)[:40] for name in ("drug", "counted", "received", "price", "key")}
        try:
            with desk.noting(who, Capability.KEEP_SHOP):
                shelves.change(city, who, at.place, typed["drug"].partition(" ")[0], counted=typed["counted"],
                               received=typed["received"], price=typed["price"], key=typed["key"])
        except Denied as refusal:
            return keeping(request, who, at, refusal=refusal, typed=typed)
        return RedirectResponse(f"/inbox/stock?shop={at.place}&done=shelf", 303)

    @door.get("/inbox/hours")
    def after_hours(_: MayKeep) -> Response:
        return RedirectResponse("/inbox/stock", 303)

    @door.post("/inbox/hours")
    def change_hours(request: Request, who: MayKeep, fields: Fields) -> Response:
        at = workplace(city, who, Capability.KEEP_SHOP, last_value(fields, "shop"))
        try:
            opens, closes = (time.fromisoformat(last_value(fields, name)) for name in ("opens", "closes"))
        except ValueError:
            return keeping(request, who, at, refusal=BAD_HOURS)
        shelves.set_hours(city, who, at.place, Opening(opens, closes, "on_duty" in fields, "shut" in fields))
        return RedirectResponse(f"/inbox/stock?shop={at.place}&done=hours", 303)

    @door.get("/inbox/day")
    def days_work(request: Request, who: MaySeeInbox, shop: str = "") -> Response:
        at = workplace(city, who, Capability.SEE_INBOX, shop)
        return pages.html(request, "inbox/day.html", day=day(city, at), **places(who, Capability.SEE_INBOX, at))

    @door.get("/inbox/{rx_id}/{attempt}")
    def order(request: Request, rx_id: str, attempt: Number, who: MaySee) -> Response:
        return one_order(request, who, rx_id, attempt)

    @door.get("/inbox/{rx_id}/{attempt}/cash")
    def after_cash(rx_id: str, attempt: Number, _: MaySee) -> Response:
        return RedirectResponse(f"/inbox/{rx_id}/{attempt}", 303)

    @door.get("/inbox/{rx_id}/{attempt}/{act}")
    def after_act(rx_id: str, attempt: Number, act: Act, _: MaySee) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse(f"/inbox/{rx_id}/{attempt}", 303)

    @door.post("/inbox/{rx_id}/{attempt}/hand_over")
    def hand_over(request: Request, rx_id: str, attempt: Number, who: MayHandOver, fields: Fields) -> Response:
        return done(request, who, rx_id, attempt, Act.HAND_OVER, fields)

    @door.post("/inbox/{rx_id}/{attempt}/cash")
    def cash(request: Request, rx_id: str, attempt: Number, who: MayFill) -> Response:
        try:
            with desk.noting(who, Capability.FILL_ORDERS, rx_id):
                counter.receive_cash(city, who, rx_id, attempt)
        except KeyError:
            raise unknown_order() from None
        except Denied as refusal:
            return one_order(request, who, rx_id, attempt, refusal)
        return RedirectResponse(f"/inbox/{rx_id}/{attempt}", 303)

    @door.post("/inbox/{rx_id}/{attempt}/{act}")
    def fill(request: Request, rx_id: str, attempt: Number, act: FILLING, who: MayFill, fields: Fields) -> Response:
        return done(request, who, rx_id, attempt, Act(act), fields)

    def done(request: Request, who: Person, rx_id: str, attempt: int, act: Act, fields: Form) -> Response:
        lines = [int(line) for line in fields.get("lines", []) if line.isdecimal() and len(line) < 4]
        try:
            with desk.noting(who, counter.capability_of(act), rx_id):
                counter.act_on(city, who, rx_id, attempt, act, reason=last_value(fields, "reason")[:40], lines=lines,
                               proof=last_value(fields, "proof")[:40], method=last_value(fields, "method")[:8],
                               reference=_number(last_value(fields, "reference")))
        except KeyError:
            raise unknown_order() from None
        except Denied as refusal:
            return one_order(request, who, rx_id, attempt, refusal, act)
        return RedirectResponse(f"/inbox/{rx_id}/{attempt}", 303)

    def one_order(request: Request, who: Person, rx_id: str, attempt: int, refusal: Denied | None = None, act: Act | None = None
                  ) -> Response:
        try:
            seen = counter.order_of(city, who, Capability.SEE_ORDER, rx_id, attempt)
        except KeyError:
            raise unknown_order() from None
        mine = [act for act in seen.supported_actions if seen.at.place in who.places(counter.capability_of(act))]
        return pages.html(request, "inbox/order.html", status_of(refusal) if refusal else 200, order=whole_order(city, seen),
                          at=seen.at, actions=mine, refusal=refusal, refused_act=act or "", return_until=return_until(seen))

    def return_until(seen: counter.ShopOrder) -> Any:
        handed_over_at = seen.placed.handed_over_at
        return handed_over_at + city.policy.return_window if handed_over_at and Act.TAKE_BACK in seen.supported_actions else None

    def keeping(request: Request, who: Person, at: Workplace, *, done: bool = False, refusal: Denied | None = None,
                typed: dict[str, str] | None = None) -> Response:
        catalogue = sorted(city.knowledge.catalogue.values(), key=lambda entry: entry.code)
        return pages.html(request, "inbox/stock.html", status_of(refusal) if refusal else 200, shelves=shelves.shelves(city, at),
                          opening=shelves.hours(city, at), catalogue=catalogue, done=done, refusal=refusal, typed=typed or {},
                          key=secrets.token_hex(8), **places(who, Capability.KEEP_SHOP, at))

    def parcels_here(at: Workplace) -> int | None:
        """Parcels that come to a pick-up point or wait there; None where it is none."""
        premises = premises_of(city.policy.premises, at.chain, at.shop.number)
        if not (premises.contracted and premises.custody):
            return None
        return sum(parcel.may_receive or parcel.until is not None for parcel in custody.parcels_at(city, at))

    def places(who: Person, capability: Capability, at: Workplace) -> dict[str, Any]:
        return {"at": at, "workplaces": counter.workplaces_of(city, who, capability)}

    return door
