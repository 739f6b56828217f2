"""The pages people open, made from templates with the city's clock and words. No scripts, nothing from elsewhere."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from adapters import registry
from domain import words as names
from domain.errors import NeedsOperator
from domain.events import Event
from domain.former_words import event_of
from domain.lifecycle import FINAL, Status
from domain.money import yuan
from domain.ranking import REASONS
from domain.words import Two
from gateway.web import words
from gateway.web.access import SignedIn
from gateway.web.errors import answer, headers_of, sign_in_address, spoken
from infra.db import views
from infra.settings import Settings
from tasks.city import City

WEB = Path(__file__).parent
TEMPLATES = WEB.parent
"""Each room's pages lie beside its routes: `desk/queue.html`."""
RX_ID = re.compile(r"rx_[a-z2-7]{16}")


class Pages:
    """Renders templates with the city's clock and words."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._zone = ZoneInfo(city.policy.timezone)
        self._partners = _partner_names(city)
        self._templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
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
        page = self.html("web/error.html", person, error.status_code, error=spoken(error), http_status=error.status_code)
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
