"""The patient's page as an API, for the apps of hospitals and cities: the same facts and acts, by the same link."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from domain.lifecycle import Notice
from domain.tracking import TOO_LATE_TO_WISH
from domain.words import Two
from gateway.tracking.holder import PRIVATE, Holder, no_such_page
from gateway.web.access import Desk, denied, read_json, small
from gateway.web.choice import check, choice_actions, choice_facts
from gateway.web.errors import json_answer
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from tasks import choosing, tracking
from tasks.city import City
from tasks.closing import PATIENT
from tasks.tracking import Tracked


class ChoiceBody(BaseModel):
    """Which option."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    option: str = Field(max_length=16)
    agreed: list[Annotated[str, Field(max_length=160)]] = Field(default=[], max_length=100)
    """`agree` of each substitute of the option."""


def tracking_api(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/api/p/{link}…`."""
    door = APIRouter(prefix="/api/p", route_class=PeoplesRoute)
    Mine = Annotated[str, Depends(Holder(city, desk))]

    def seen(mine: str, **answer: Any) -> Response:
        rx = tracking.tracked(city, mine)
        if rx is None:
            raise no_such_page()
        choice = choice_facts(rx.choosing, pages.partner, city.knowledge.catalogue)
        return json_answer(answer | tracked_facts(rx) | {"choice": choice}, headers=PRIVATE)

    @door.get("/{link}")
    def page(mine: Mine) -> Response:
        return seen(mine)

    @door.post("/{link}/choice")
    def choose(mine: Mine, body: Annotated[bytes, Depends(small)]) -> Response:
        chosen = read_json(ChoiceBody, body)
        verdict = act(lambda: choosing.choose(city, mine, chosen.option, by=PATIENT, agreed=chosen.agreed))
        check(verdict)
        return seen(mine, answer=str(verdict))

    @door.post("/{link}/wish_to_choose")
    def wish(mine: Mine) -> Response:
        if not act(lambda: choosing.wish_to_choose(city, mine, by=PATIENT)):
            raise denied(409, "late", TOO_LATE_TO_WISH)
        return seen(mine)

    @door.post("/{link}/cancel")
    def cancel(mine: Mine) -> Response:
        answer = act(lambda: tracking.cancel(city, mine))
        if answer is Notice.TOO_LATE:
            raise denied(409, str(answer), Two("药已交付，不能再撤销", "it was handed over and cannot be cancelled any more"))
        return seen(mine, answer=str(answer))

    return door


def act(call: Any) -> Any:
    """An act about a prescription that is here."""
    try:
        return call()
    except KeyError:
        raise no_such_page() from None


def tracked_facts(rx: Tracked) -> dict[str, Any]:
    """Where it is. No person is in it; amounts in fen, quantities in the unit of their line."""
    actions = [*(choice_actions(rx.choosing) if rx.choosing else ()), *(["cancel"] if rx.may_cancel else ())]
    return {
        "sentence": rx.sentence.zh, "sentence_en": rx.sentence.en, "step": rx.step, "done": sorted(rx.done), "ended": rx.ended,
        "handover": rx.handover, "valid_until": rx.valid_until, "supported_actions": actions, "cancel": rx.cancel,
        "medicines": [{"name": medicine.name, "usage": medicine.usage, "directions": medicine.directions, "unit": medicine.unit,
                       "prescribed": medicine.state.prescribed, "open": medicine.state.open,
                       "handed_over": medicine.state.handed_over} for medicine in rx.medicines],
        "orders": [{"order": order.id, "chain": order.chain, "store": order.store, "handover": order.handover,
                    "sentence": order.sentence.zh, "sentence_en": order.sentence.en, "code": order.code,
                    "cash_fen": order.due, "until": order.until, "methods": list(order.methods),
                    "point": order.point and {
                        "place": order.point.place, "name": order.point.name.zh, "name_en": order.point.name.en,
                        "opens": f"{order.point.opens:%H:%M}", "closes": f"{order.point.closes:%H:%M}",
                        "waits": order.point.waits},
                    "paid": order.paid and {"amount_fen": order.paid.amount, "method": order.paid.method,
                                            "receipt": order.paid.receipt, "at": order.paid.at},
                    "refunded_fen": order.refunded} for order in rx.orders],
        "money": None if rx.money is None else {
            "total_fen": rx.money.total, "fund_fen": rx.money.fund, "account_fen": rx.money.account, "cash_fen": rx.money.cash,
            "settled": rx.money.settled}}
