"""The parcels of a pick-up point, for its people on a page and for programs: what waits there, receive it, hand it over."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field

from domain.couriers import masked_name, masked_phone
from domain.fulfilment.deliveries import DeliveryStatus
from domain.money import Fen
from domain.people import Capability, Denied, Person
from domain.premises import premises_of
from gateway.inbox.api import Number, Sent
from gateway.inbox.facts import Facts, unknown_order, workplace
from gateway.web.access import Desk, Form, form, last_value, read_json, small
from gateway.web.errors import json_answer, status_of
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.db import prescriptions
from tasks import counter, custody
from tasks.city import City
from tasks.counter import Workplace
from tasks.custody import Parcel
from tasks.patients import open_patient
from tasks.payments import methods

ENDED = (DeliveryStatus.SIGNED, DeliveryStatus.RETURNED, DeliveryStatus.LOST, DeliveryStatus.CANCELLED)


class HandOverBody(Sent):
    """What the patient shows, and how they pay."""

    proof: str = Field(default="", max_length=40)
    """The code, or the last four characters of the id number."""
    method: str = Field(default="", max_length=8)
    """`domain.payments.Method`."""
    reference: str = Field(default="", max_length=64, pattern="^[0-9A-Za-z_-]*$")
    """Number of the payment, unless it is cash."""
    amount_fen: int | None = Field(default=None, ge=0, strict=True)
    """Another amount than what is due is refused. It may be left out."""


def custody_api(city: City, desk: Desk) -> APIRouter:
    """`/api/inbox/parcels…`."""
    door = APIRouter(prefix="/api/inbox/parcels", route_class=PeoplesRoute)
    MaySeeInbox = Annotated[Person, Depends(desk.may(Capability.SEE_INBOX, somewhere=True))]
    MayHandOver = Annotated[Person, Depends(desk.may(Capability.HAND_OVER, somewhere=True))]

    @door.get("")
    def parcels(who: MaySeeInbox, shop: str = "") -> Response:
        at = workplace(city, who, Capability.SEE_INBOX, shop)
        return json_answer({"shop": at.place, "parcels": [parcel_facts(city, parcel) for parcel in custody.parcels_at(city, at)]})

    @door.post("/{rx_id}/{attempt}/receive")
    def receive(rx_id: str, attempt: Number, who: MayHandOver) -> Response:
        return json_answer(parcel_facts(city, _done(desk, who, rx_id, lambda: custody.receive(city, who, rx_id, attempt))))

    @door.post("/{rx_id}/{attempt}/hand_over")
    def hand_over(rx_id: str, attempt: Number, who: MayHandOver, body: Annotated[bytes, Depends(small)]) -> Response:
        sent = read_json(HandOverBody, body or b"{}")
        amount = None if sent.amount_fen is None else Fen(sent.amount_fen)
        return json_answer(parcel_facts(city, _done(desk, who, rx_id, lambda: custody.hand_over(
            city, who, rx_id, attempt, proof=sent.proof, method=sent.method, reference=sent.reference, amount=amount))))

    return door


def custody_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/inbox/parcels…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    MaySeeInbox = Annotated[Person, Depends(desk.may(Capability.SEE_INBOX, somewhere=True))]
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_ORDER, somewhere=True))]
    MayHandOver = Annotated[Person, Depends(desk.may(Capability.HAND_OVER, somewhere=True))]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/inbox/parcels")
    def parcels(request: Request, who: MaySeeInbox, shop: str = "") -> Response:
        return shown(request, who, workplace(city, who, Capability.SEE_INBOX, shop))

    @door.post("/inbox/parcels/{rx_id}/{attempt}/receive")
    def receive(request: Request, rx_id: str, attempt: Number, who: MayHandOver) -> Response:
        return done(request, who, rx_id, attempt, lambda: custody.receive(city, who, rx_id, attempt))

    @door.post("/inbox/parcels/{rx_id}/{attempt}/hand_over")
    def hand_over(request: Request, rx_id: str, attempt: Number, who: MayHandOver, fields: Fields) -> Response:
        proof, method, reference = (last_value(fields, name)[:64] for name in ("proof", "method", "reference"))
        return done(request, who, rx_id, attempt, lambda: custody.hand_over(
            city, who, rx_id, attempt, proof=proof, method=method, reference=reference))

    @door.get("/inbox/parcels/{rx_id}/{attempt}/{act}")
    def after_act(rx_id: str, attempt: Number, act: str, _: MaySee) -> Response:
        # The address of a form, opened again.
        return RedirectResponse("/inbox/parcels", 303)

    def done(request: Request, who: Person, rx_id: str, attempt: int, act: Callable[[], Parcel]) -> Response:
        try:
            at = _done(desk, who, rx_id, act).at
        except Denied as refusal:
            at = custody.parcel_of(city, who, Capability.HAND_OVER, rx_id, attempt).at
            return shown(request, who, at, refusal, f"{rx_id}/{attempt}")
        return RedirectResponse(f"/inbox/parcels?shop={at.place}", 303)

    def shown(request: Request, who: Person, at: Workplace, refusal: Denied | None = None, refused: str = "") -> Response:
        facts = [parcel_facts(city, parcel) for parcel in custody.parcels_at(city, at)]
        groups = {name: [parcel for parcel in facts if parcel["group"] == name] for name in ("here", "coming", "ended")}
        groups["here"].sort(key=lambda parcel: parcel["until"])
        premises = premises_of(city.policy.premises, at.chain, at.shop.number)
        return pages.html(
            request, "inbox/parcels.html", status_of(refusal) if refusal else 200, groups=groups, at=at, refusal=refusal,
            refused=refused, is_point=premises.contracted and premises.custody,
            workplaces=counter.workplaces_of(city, who, Capability.SEE_INBOX))

    return door


def parcel_facts(city: City, parcel: Parcel) -> Facts:
    """A parcel as its label has it: no medicine, no name and no phone in full (E-14). Amounts in fen."""
    placed, delivery = parcel.placed, parcel.delivery
    with city.db.reading() as session:
        person = open_patient(city, prescriptions.load(session, placed.order.prescription_id))
    status = delivery.status if delivery else None
    gone = placed.ended_at is not None or placed.handed_over_at is not None
    actions = [name for name, may in (("receive", parcel.may_receive), ("hand_over", parcel.may_hand_over)) if may]
    return {
        "id": placed.order.prescription_id, "attempt": placed.attempt, "order_id": placed.id,
        "short": f"{placed.order.prescription_id[-5:].upper()}-{placed.attempt}", "shop": parcel.at.place,
        "pharmacy": f"{placed.order.chain}/{placed.order.store}", "delivery": status or "",
        "group": "ended" if gone or status in ENDED else "here" if status is DeliveryStatus.HELD_AT_POINT else "coming",
        "name": masked_name(person["name"]), "phone": masked_phone(person["phone"]), "until": parcel.until,
        "ended_at": placed.handed_over_at or placed.ended_at, "supported_actions": actions,
        "payment": {"due_fen": parcel.due, "methods": list(methods(city.policy, placed)),
                    "paid": parcel.paid and {"amount_fen": parcel.paid.amount, "method": parcel.paid.method,
                                             "receipt": parcel.paid.receipt, "at": parcel.paid.at}}}


def _done(desk: Desk, who: Person, rx_id: str, act: Callable[[], Any]) -> Parcel:
    try:
        with desk.noting(who, Capability.HAND_OVER, rx_id):
            parcel: Parcel = act()
            return parcel
    except KeyError:
        raise unknown_order() from None
