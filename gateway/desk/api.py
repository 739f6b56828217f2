"""The review desk as an API (contract 4); its pages are in `gateway.desk.pages`."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from domain.people import Capability, Person
from domain.review import Decision
from gateway.web.access import Desk, read_json, small
from gateway.web.errors import json_answer, unknown_prescription
from gateway.web.threads import PeoplesRoute
from infra.db import audits, prescriptions, reviews
from tasks import review
from tasks.city import City


class DecisionBody(BaseModel):
    """A decision as it is sent."""

    model_config = ConfigDict(extra="forbid")

    decision: str
    codes: list[str] = Field(default=[], max_length=40)
    text: str = Field(default="", max_length=2000)
    reasons: dict[str, str] = {}


def desk_api(city: City, desk: Desk) -> APIRouter:
    """The queue, a claim, a decision."""
    door = APIRouter(prefix="/api/review", route_class=PeoplesRoute)
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_QUEUE))]
    MayClaim = Annotated[Person, Depends(desk.may(Capability.CLAIM_REVIEW))]
    MayDecide = Annotated[Person, Depends(desk.may(Capability.DECIDE_REVIEW))]

    @door.get("/queue")
    def waiting(_: MaySee) -> Response:
        return json_answer({"items": queue(city)})

    @door.post("/{rx_id}/claim")
    def claim(rx_id: str, who: MayClaim) -> Response:
        try:
            with desk.noting(who, Capability.CLAIM_REVIEW, rx_id):
                until = review.assign(city, rx_id, who.id)
        except KeyError:
            raise unknown_prescription() from None
        with city.db.reading() as session:
            loaded = prescriptions.load(session, rx_id)
            findings = audits.findings(session, rx_id)
        return json_answer({"id": rx_id, "expires_at": until, "prescription": review.review_page_facts(loaded),
                            "findings": [finding.as_dict() for finding in findings]})

    @door.post("/{rx_id}/decision")
    def decide(rx_id: str, who: MayDecide, body: Annotated[bytes, Depends(small)]) -> Response:
        sent = read_json(DecisionBody, body)
        try:
            with desk.noting(who, Capability.DECIDE_REVIEW, rx_id):
                status = review.decide(city, rx_id, who.id, decision_of(sent.model_dump()))
        except KeyError:
            raise unknown_prescription() from None
        return json_answer({"id": rx_id, "status": status})

    return door


def queue(city: City) -> list[dict[str, Any]]:
    """Who is waiting, in the order in which they should be reviewed (C-01)."""
    now = city.now()
    with city.db.reading() as session:
        waiting = reviews.queue(session, now, city.policy.expiring_soon)
    return [{"id": entry.id, "position": position, "waiting_seconds": int((now - entry.opened_at).total_seconds()),
             "valid_until": entry.valid_until, "hospital": entry.hospital, "claimed_by": entry.claimed_by,
             "expedited": entry.expedited, "warnings": entry.warnings} for position, entry in enumerate(waiting, 1)]


def decision_of(sent: Mapping[str, Any]) -> Decision:
    """A decision as the desk takes it. A reason that was left empty is no reason."""
    reasons = {code: reason.strip() for code, reason in sent["reasons"].items() if reason.strip()}
    return Decision(sent["decision"], tuple(sent["codes"]), sent["text"].strip(), reasons)
