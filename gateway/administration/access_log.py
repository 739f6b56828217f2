"""The access log: who saw and did what, by person, prescription and period; and whether it is whole."""

import re
from datetime import date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from domain.people import Capability, Person
from domain.words import Two
from gateway.web.access import Desk, denied
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.db import access_log
from infra.db.access_log import Entry
from tasks.city import City

PAGE = 100
"""Entries on one page."""
_MARK = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]{8,15}\+00:00)~([\w.-]{1,40})~(\d{1,9})")


def access_log_pages(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/access-log` and `/access-log/verified`."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    MayRead = Annotated[Person, Depends(desk.may(Capability.READ_ACCESS_LOG))]

    @door.get("/access-log")
    def search(request: Request, _: MayRead, person: str = "", rx: str = "", since: str = "", until: str = "",
               before: str = "") -> Response:
        zone = ZoneInfo(city.policy.timezone)
        asked_for = {"person": person.strip().upper()[:40], "rx": rx.strip()[:32], "since": since, "until": until}
        first, last = _day(since), _day(until)
        with city.db.reading() as session:
            entries = access_log.search(
                session, person=asked_for["person"], prescription_id=asked_for["rx"],
                since=datetime.combine(first, time.min, zone) if first else None,
                until=datetime.combine(last + timedelta(days=1), time.min, zone) if last else None,
                before=_mark(before), limit=PAGE + 1)
        return pages.html(request, "administration/access_log.html", entries=entries[:PAGE], fields=asked_for,
                          more=_more(entries, asked_for), broken=None)

    @door.get("/access-log/verified")
    def verified(request: Request, _: MayRead) -> Response:
        with city.db.reading() as session:
            broken = access_log.verify(session)
        return pages.html(request, "administration/access_log.html", entries=[], more="", broken=broken,
                          fields={"person": "", "rx": "", "since": "", "until": ""})

    return door


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise denied(422, "bad_day", Two("日期格式应为 2026-11-22", "a day is written 2026-11-22")) from None


def _mark(text: str) -> tuple[str, str, int] | None:
    """Where the list goes on, as `_more` writes it."""
    if not text:
        return None
    if match := _MARK.fullmatch(text):
        return match[1], match[2], int(match[3])
    raise denied(400, "bad_mark", Two("页码不正确", "this is no place in the list"))


def _more(entries: list[Entry], fields: dict[str, str]) -> str:
    if len(entries) <= PAGE:
        return ""
    at, person, seq = access_log.mark(entries[PAGE - 1])
    return "/access-log?" + urlencode([*((name, value) for name, value in fields.items() if value),
                                       ("before", f"{at}~{person}~{seq}")])
