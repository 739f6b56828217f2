"""What people open: the board, the review desk, a prescription's story, a run. No scripts, nothing from elsewhere."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from adapters import registry
from domain import words as names
from domain.errors import NeedsOperator
from domain.events import Event
from domain.findings import Severity
from domain.former_words import event_of
from domain.lifecycle import FINAL, Status
from domain.money import yuan
from domain.ranking import REASONS
from domain.words import Two
from gateway import words
from gateway.access import COOKIE, STAYS, Desk, Form, Role, SignedIn, denied, form
from gateway.operations import dossier_of, wake
from gateway.people import PeoplesRoute
from gateway.review import given, queue, unknown_prescription
from gateway.trouble import answer, headers_of, sign_in_address, spoken
from infra.db import audits, mapping, prescriptions, reviews, views
from infra.settings import Settings
from tasks import review
from tasks.city import City

HERE = Path(__file__).parent
RX_ID = re.compile(r"rx_[a-z2-7]{16}")
PAGE = 50
"""Prescriptions on one page of a list."""


class Pages:
    """Renders templates with the city's clock and words."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._zone = ZoneInfo(city.policy.timezone)
        self._partners = _partner_names(city)
        self._templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True,
                                      undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        self._templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": True}
        self._templates.globals.update(
            city=city.policy, status_words=names.STATUSES, Status=Status, run_address=_run_address(settings),
            prefect=settings.prefect_ui_url, happening=self._happening, failed=_failed, waiting=self._waiting,
            actor=words.actor, trouble=views.trouble_words, partner=self._partner, frequency=self._frequency,
            reasons=REASONS, route=names.ROUTES, final=FINAL)
        self._templates.filters.update(
            yuan=yuan, number=words.number, lasting=words.lasting, at=self._at, clock=self._clock,
            iso=lambda value: words.moment(value).isoformat(), left=self._left,
            status=_table(names.STATUSES), owner=_table(names.OWNERS), stage=_table(names.STAGES),
            order=_table(names.ORDERS), money=_table(words.MONEY), severity=_table(names.SEVERITIES),
            decision=_table(words.DECISIONS), route=_table(names.ROUTES), code=_table(words.CODES),
            age=words.age, title=_table(names.TITLES), guardianship=_table(names.GUARDIANSHIPS),
            reading=_table(names.READINGS), approval=_table(names.APPROVALS), skin=_table(names.SKIN_TESTS),
            method=_table(names.DECOCTION_METHODS), mark=_table(names.DECOCTION_MARKS),
            deadline=_table(names.DEADLINES), ending=_table(names.ENDINGS),
            cancelling=_table(names.CANCEL_REASONS), posting=_table(words.POSTINGS),
            differing=lambda kind: Two(*views.DIFFERENCES.get(kind, (kind, ""))))

    def html(self, name: str, person: SignedIn | None, status: int = 200, **given: Any) -> HTMLResponse:
        text = self._templates.get_template(name).render(person=person, now=self._city.now(), **given)
        return HTMLResponse(text, status)

    def trouble(self, request: Request, error: HTTPException) -> Response:
        """An error as the door it happened at wants it; pages get one of their own."""
        if said := answer(request, error):
            return said
        if error.status_code == 401:
            return RedirectResponse(sign_in_address(request), 303)
        person = getattr(request.state, "person", None)
        page = self.html("error.html", person, error.status_code, error=spoken(error), http_status=error.status_code)
        page.headers.update(headers_of(error))
        return page

    def _at(self, value: datetime | str) -> str:
        local = words.moment(value).astimezone(self._zone)
        same_day = local.date() == self._city.now().astimezone(self._zone).date()
        return local.strftime("%H:%M:%S" if same_day else "%m-%d %H:%M")

    def _clock(self, value: datetime | str) -> str:
        return words.moment(value).astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def _left(self, value: datetime | str) -> float:
        """Seconds until then; negative when it is over."""
        return (words.moment(value) - self._city.now()).total_seconds()

    def _partner(self, slug: str) -> Two:
        return self._partners.get(slug, Two(slug, ""))

    def _happening(self, row: Mapping[str, Any]) -> Two:
        return names.happening(row["reason"], row["detail"], self._partner)

    def _waiting(self, stored: str) -> Two:
        return names.waiting(stored, self._partner)

    def _frequency(self, code: str) -> Two:
        # A city may have frequencies of its own, for which we have no English: the code stands for it.
        known = self._city.knowledge.frequencies.get(code)
        return Two(known.name if known else code, words.FREQUENCIES_EN.get(code, code))


def _failed(row: Mapping[str, Any]) -> bool:
    event = event_of(row["reason"], row["detail"])
    return event is not None and event[0] is Event.ATTEMPT_FAILED


def _table(table: Mapping[str, Two]) -> Any:
    return lambda code: words.coded(table, str(code))


def _run_address(settings: Settings) -> Any:
    return lambda run_id: f"{settings.prefect_ui_url}/runs/flow-run/{run_id}"


def _partner_names(city: City) -> dict[str, Two]:
    names: dict[str, Two] = {}
    kinds: tuple[tuple[registry.Kind, list[str]], ...] = (
        ("hospitals", [terms.slug for terms in city.policy.hospitals]), ("chains", list(city.chains)),
        ("payers", [city.payer.slug]))
    for kind, slugs in kinds:
        for slug in slugs:
            try:
                facts = registry.manifest(kind, slug)
            except NeedsOperator:
                continue  # A partner of a test; its slug will do.
            names[slug] = Two(facts.name, facts.name_en)
    return names


def page_door(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """Every page and every form."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Staff = Annotated[SignedIn, Depends(desk.staff)]
    Pharmacist = Annotated[SignedIn, Depends(desk.pharmacist)]
    Operator = Annotated[SignedIn, Depends(desk.operator)]
    Fields = Annotated[Form, Depends(form)]

    # --- Coming in ---

    @door.get("/sign-in")
    def sign_in_page(next: str = "") -> Response:
        return pages.html("sign_in.html", None, next=next, wrong=False)

    @door.post("/sign-in")
    def sign_in(request: Request, fields: Fields) -> Response:
        desk.same_origin(request)
        person = desk.sign_in(request, _one(fields, "code").strip())
        if person is None:
            return pages.html("sign_in.html", None, 401, next=_one(fields, "next"), wrong=True)
        home = "/review" if person.role is Role.PHARMACIST else "/"
        response = RedirectResponse(_inside(_one(fields, "next")) or home, 303)
        response.set_cookie(COOKIE, desk.cookie(person), max_age=int(STAYS.total_seconds()), httponly=True,
                            samesite="strict", secure=desk.secure, path="/")
        return response

    @door.post("/sign-out")
    def sign_out(request: Request, _: Staff) -> Response:
        desk.sign_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=desk.secure)
        return response

    # --- Operations ---

    @door.get("/")
    def board(who: Staff) -> Response:
        if who.role is not Role.OPERATOR:
            return RedirectResponse("/review", 303)
        with city.db.reading() as session:
            return pages.html("board.html", who, board=views.board(session, city.now(), city.policy),
                              unmapped=mapping.count_waiting(session))

    @door.get("/rx")
    def find(who: Operator, q: str = "", status: Annotated[list[str], Query()] = [],  # noqa: B006
             before: str = "") -> Response:
        chosen = [one for one in Status if one in status]
        hospitals = [terms.slug for terms in city.policy.hospitals]
        with city.db.reading() as session:
            if text := q.strip()[:64]:
                found, more = views.search(session, text, hospitals), ""
            else:
                found = views.listed(session, chosen or list(Status), _mark(before), PAGE + 1)
                more = _more(found, chosen)
        if text and len(found) == 1:
            return RedirectResponse(f"/rx/{found[0]['id']}", 303)
        return pages.html("list.html", who, q=text, chosen=chosen, found=found[:PAGE], more=more)

    @door.get("/rx/{rx_id}")
    def why(rx_id: str, who: Staff) -> Response:
        dossier, facts = dossier_of(city, rx_id)
        names = {item["line"]: item for item in facts["items"]}
        return pages.html("rx.html", who, rx=dossier, facts=facts, named=names, allergies=city.knowledge.allergies)

    @door.post("/rx/{rx_id}/wake")
    def woken(rx_id: str, who: Operator) -> Response:
        wake(city, rx_id, who)
        return RedirectResponse(f"/rx/{rx_id}", 303)

    @door.get("/runs/{run_id}")
    def run(run_id: str, who: Staff) -> Response:
        with city.db.reading() as session:
            hops = views.run(session, run_id)
        if not hops:
            raise denied(404, "unknown_run", "没有处方经过这次运行", "no prescription was part of this run")
        return pages.html("run.html", who, run_id=run_id, hops=hops)

    # --- The review desk ---

    @door.get("/review")
    def waiting(who: Staff, done: str = "") -> Response:
        return pages.html("queue.html", who, queue=queue(city), done=done if RX_ID.fullmatch(done) else "",
                          target=city.policy.review_target.total_seconds(), done_status=_status(done))

    @door.get("/review/{rx_id}")
    def desk_of(rx_id: str, who: Staff) -> Response:
        return reviewing(rx_id, who)

    @door.post("/review/{rx_id}/claim")
    def claim(rx_id: str, who: Pharmacist) -> Response:
        try:
            review.assign(city, rx_id, who.id)
        except KeyError:
            raise unknown_prescription() from None
        except review.ReviewRefused as no:
            return reviewing(rx_id, who, refusal=no)
        return RedirectResponse(f"/review/{rx_id}", 303)

    @door.post("/review/{rx_id}/decision")
    def decide(rx_id: str, who: Pharmacist, fields: Fields) -> Response:
        said = {"decision": _one(fields, "decision"), "codes": fields.get("codes", []), "text": _one(fields, "text"),
                "reasons": {name.removeprefix("reason:"): values[-1] for name, values in fields.items()
                            if name.startswith("reason:")}}
        try:
            review.decide(city, rx_id, who.id, given(said))
        except KeyError:
            raise unknown_prescription() from None
        except review.ReviewRefused as no:
            return reviewing(rx_id, who, said=said, refusal=no)
        return RedirectResponse(f"/review?{urlencode({'done': rx_id})}", 303)

    def reviewing(rx_id: str, who: SignedIn, said: Mapping[str, Any] | None = None,
                  refusal: review.ReviewRefused | None = None) -> Response:
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
            "review.html", who, refusal.status if refusal else 200, rx=loaded, facts=review.review_page_facts(loaded),
            row=row, until=until, mine=bool(until and row and row.pharmacist == who.id), groups=groups, items=items,
            allergies=city.knowledge.allergies, said=said or {"decision": "", "codes": [], "text": "", "reasons": {}},
            refusal=refusal, is_pharmacist=who.role is Role.PHARMACIST,
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


def _one(fields: Form, name: str) -> str:
    return fields.get(name, [""])[-1]


def _inside(address: str) -> str:
    """An address of ours, or nothing: a sign-in must not lead elsewhere."""
    return address if re.fullmatch(r"/(?![/\\])[\w/.\-]*", address) else ""


def _mark(before: str) -> tuple[datetime, str] | None:
    """Where a list goes on, as `_more` says it: `<received_at>~<id>`; from its beginning if nothing is said."""
    if not before:
        return None
    at, _, rx_id = before.partition("~")
    try:
        # A moment without a zone is none, and the last ones of the calendar have no UTC.
        moment = datetime.fromisoformat(at)
        if moment.tzinfo and RX_ID.fullmatch(rx_id):
            return moment.astimezone(UTC), rx_id
    except (ValueError, OverflowError):
        pass
    raise denied(400, "bad_mark", "页码不正确", "this is no place in the list")


def _more(found: list[dict[str, Any]], chosen: list[Status]) -> str:
    if len(found) <= PAGE:
        return ""
    last = found[PAGE - 1]
    mark = f"{last['received_at'].isoformat()}~{last['id']}"
    return "/rx?" + urlencode([("status", one.value) for one in chosen] + [("before", mark)])


