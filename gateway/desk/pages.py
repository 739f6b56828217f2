"""What pharmacists open: the queue, and one prescription with the form of the decision."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.findings import Severity
from domain.people import Capability, Denied, Person
from gateway.desk.api import decision_of, queue
from gateway.web.access import Desk, Form, form, last_value
from gateway.web.errors import status_of, unknown_prescription
from gateway.web.render import RX_ID, Pages
from gateway.web.threads import PeoplesRoute
from infra.db import audits, prescriptions, reviews
from tasks import review
from tasks.city import City

EMPTY_FORM: Mapping[str, Any] = {"decision": "", "codes": [], "text": "", "reasons": {}}


def desk_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/review…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    MaySeeQueue = Annotated[Person, Depends(desk.may(Capability.SEE_QUEUE))]
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_PRESCRIPTION))]
    MayClaim = Annotated[Person, Depends(desk.may(Capability.CLAIM_REVIEW))]
    MayDecide = Annotated[Person, Depends(desk.may(Capability.DECIDE_REVIEW))]
    Fields = Annotated[Form, Depends(form)]

    @door.get("/review")
    def waiting(request: Request, _: MaySeeQueue, done: str = "") -> Response:
        return pages.html(request, "desk/queue.html", queue=queue(city), done=done if RX_ID.fullmatch(done) else "",
                          target=city.policy.review_target.total_seconds(), done_status=_status(done))

    @door.get("/review/{rx_id}")
    def desk_of(request: Request, rx_id: str, who: MaySee) -> Response:
        return reviewing(request, rx_id, who)

    @door.get("/review/{rx_id}/{form}")
    def after_form(rx_id: str, form: Literal["claim", "decision"], _: MaySee) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse(f"/review/{rx_id}", 303)

    @door.post("/review/{rx_id}/claim")
    def claim(request: Request, rx_id: str, who: MayClaim) -> Response:
        try:
            with desk.noting(who, Capability.CLAIM_REVIEW, rx_id):
                review.assign(city, rx_id, who.id)
        except KeyError:
            raise unknown_prescription() from None
        except Denied as refusal:
            return reviewing(request, rx_id, who, refusal=refusal)
        return RedirectResponse(f"/review/{rx_id}", 303)

    @door.post("/review/{rx_id}/decision")
    def decide(request: Request, rx_id: str, who: MayDecide, fields: Fields) -> Response:
        typed = {"decision": last_value(fields, "decision"), "codes": fields.get("codes", []), "text": last_value(fields, "text"),
                 "reasons": {name.removeprefix("reason:"): values[-1] for name, values in fields.items()
                             if name.startswith("reason:")}}
        try:
            with desk.noting(who, Capability.DECIDE_REVIEW, rx_id):
                review.decide(city, rx_id, who.id, decision_of(typed))
        except KeyError:
            raise unknown_prescription() from None
        except Denied as refusal:
            return reviewing(request, rx_id, who, typed, refusal)
        return RedirectResponse(f"/review?{urlencode({'done': rx_id})}", 303)

    def reviewing(request: Request, rx_id: str, who: Person, typed: Mapping[str, Any] = EMPTY_FORM,
                  refusal: Denied | None = None) -> Response:
        """One prescription at the desk, with what was filled in and what is wrong with it."""
        with city.db.reading() as session:
            try:
                loaded = prescriptions.load(session, rx_id)
            except KeyError:
                raise unknown_prescription() from None
            findings = audits.findings(session, rx_id)
            row = reviews.get(session, rx_id)
        now = city.now()
        until = row.claim_until if row and row.pharmacist and row.claim_until and row.claim_until > now else None
        groups = {severity: [finding for finding in findings if finding.severity is severity]
                  for severity in (Severity.BLOCK, Severity.WARN, Severity.SELFPAY, Severity.INFO)}
        items: dict[str, list[Any]] = {}
        for item in city.knowledge.review_items.values():
            items.setdefault(item.group, []).append(item)
        return pages.html(
            request, "desk/review.html", status_of(refusal) if refusal else 200, rx=loaded,
            facts=review.review_page_facts(loaded),
            row=row, until=until, mine=bool(until and row and row.pharmacist == who.id), groups=groups, items=items,
            allergies=city.knowledge.allergies, fields=typed, refusal=refusal, is_pharmacist=who.may(Capability.CLAIM_REVIEW),
            own=who.id == loaded.prescription.prescriber.id)

    def _status(rx_id: str) -> str:
        if not RX_ID.fullmatch(rx_id):
            return ""
        with city.db.reading() as session:
            try:
                return prescriptions.load(session, rx_id).status
            except KeyError:
                return ""

    return door
