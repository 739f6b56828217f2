"""What operators open: the board, the prescriptions, one prescription's story, a run. Pharmacists may open the last two."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.lifecycle import Status
from domain.people import Capability, Person
from domain.words import Two
from gateway.operations.api import Number, close_notice, dossier_of, wake
from gateway.web.access import Desk, denied
from gateway.web.render import RX_ID, Pages
from gateway.web.sign_in import home_of
from gateway.web.threads import PeoplesRoute
from infra.db import Session, audits, mapping, notices, views
from tasks.city import City

PAGE = 50
"""Prescriptions on one page of a list."""
NOTICES = 6
"""Notices of a kind on the board."""
NOTICES_SHOWN = timedelta(days=7)


def operations_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/`, `/rx…` and `/runs/…`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    Anybody = Annotated[Person, Depends(desk.staff)]
    MayFind = Annotated[Person, Depends(desk.may(Capability.FIND_PRESCRIPTIONS))]
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_PRESCRIPTION))]
    MaySeeRuns = Annotated[Person, Depends(desk.may(Capability.SEE_RUNS))]
    MaySeeBoard = Annotated[Person, Depends(desk.may(Capability.SEE_BOARD))]
    MayRedrive = Annotated[Person, Depends(desk.may(Capability.REDRIVE))]
    MayCloseNotices = Annotated[Person, Depends(desk.may(Capability.CLOSE_NOTICES))]

    @door.get("/")
    def board(request: Request, who: Anybody) -> Response:
        if not who.may(Capability.SEE_BOARD):
            return RedirectResponse(home_of(who), 303)
        with city.db.reading() as session:
            return pages.html(request, "operations/board.html", board=views.board(session, city.now(), city.policy),
                              unmapped=mapping.count_waiting(session), **_notices(session, city.now() - NOTICES_SHOWN))

    @door.post("/notices/{number}/closed")
    def notice_closed(number: Number, who: MayCloseNotices) -> Response:
        close_notice(city, number, who)
        return RedirectResponse("/", 303)

    @door.get("/notices/{number}/closed")
    def after_notice(number: Number, _: MaySeeBoard) -> Response:
        return RedirectResponse("/", 303)

    @door.get("/rx")
    def find(request: Request, _: MayFind, q: str = "", status: Annotated[list[str], Query()] = [],  # noqa: B006
             before: str = "") -> Response:
        chosen = [member for member in Status if member in status]
        hospitals = [terms.slug for terms in city.policy.hospitals]
        with city.db.reading() as session:
            if text := q.strip()[:64]:
                rows, more = views.search(session, text, hospitals), ""
            else:
                rows = views.listed(session, chosen or list(Status), _mark(before), PAGE + 1)
                more = _more(rows, chosen)
        if text and len(rows) == 1:
            return RedirectResponse(f"/rx/{rows[0]['id']}", 303)
        return pages.html(request, "operations/list.html", q=text, chosen=chosen, rows=rows[:PAGE], more=more)

    @door.get("/rx/{rx_id}")
    def why(request: Request, rx_id: str, _: MaySee) -> Response:
        dossier, facts = dossier_of(city, rx_id)
        with city.db.reading() as session:
            audit_runs = audits.runs(session, rx_id)
        names = {item["line"]: item for item in facts["items"]}
        return pages.html(request, "operations/rx.html", rx=dossier, facts=facts, named=names, audit_runs=audit_runs,
                          allergies=city.knowledge.allergies)

    @door.post("/rx/{rx_id}/wake")
    def woken(rx_id: str, who: MayRedrive) -> Response:
        wake(city, rx_id, who)
        return RedirectResponse(f"/rx/{rx_id}", 303)

    @door.get("/rx/{rx_id}/wake")
    def after_wake(rx_id: str, _: MaySee) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse(f"/rx/{rx_id}", 303)

    @door.get("/runs/{run_id}")
    def run(request: Request, run_id: str, _: MaySeeRuns) -> Response:
        with city.db.reading() as session:
            hops = views.run(session, run_id)
        if not hops:
            raise denied(404, "unknown_run", Two("没有处方经过这次运行", "no prescription was part of this run"))
        return pages.html(request, "operations/run.html", run_id=run_id, hops=hops)

    return door


def _notices(session: Session, since: datetime) -> dict[str, Any]:
    """The notices on the board: by the concern they belong to, and those that were dealt with."""
    waiting = {f"notice:{kind}": notices.open_since(session, kind, since, NOTICES) for kind in notices.NoticeKind}
    return {"notices": waiting, "closed_notices": notices.closed_since(session, since, NOTICES)}


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
    raise denied(400, "bad_mark", Two("页码不正确", "this is no place in the list"))


def _more(rows: list[dict[str, Any]], chosen: list[Status]) -> str:
    if len(rows) <= PAGE:
        return ""
    last = rows[PAGE - 1]
    mark = f"{last['received_at'].isoformat()}~{last['id']}"
    return "/rx?" + urlencode([("status", status.value) for status in chosen] + [("before", mark)])
