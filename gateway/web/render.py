"""The pages people open, made from templates with the city's clock and words. No scripts, nothing from elsewhere."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException

from adapters import registry
from domain import event_words, shops
from domain import words as names
from domain.errors import NeedsOperator
from domain.events import Event
from domain.former_words import event_of
from domain.fulfilment.ranking import REASONS, summands
from domain.lifecycle import FINAL, Status
from domain.money import yuan
from domain.people import CAPABILITIES, ROLES, Person
from domain.words import Two
from gateway.web import words
from gateway.web.errors import answer, headers_of, sign_in_address, spoken
from gateway.web.language import Language, language_of, switched
from infra.db import views
from infra.settings import Settings
from tasks.city import City

WEB = Path(__file__).parent
TEMPLATES = WEB.parent
"""Each room's pages lie beside its routes: `desk/queue.html`."""
RX_ID = re.compile(r"rx_[a-z2-7]{16}")
TABLES: Mapping[str, Mapping[str, Two]] = {
    "status": names.STATUSES, "owner": names.OWNERS, "stage": names.STAGES, "order": names.ORDERS, "money": words.MONEY,
    "severity": names.SEVERITIES, "decision": words.DECISIONS, "route": names.ROUTES, "code": words.CODES,
    "title": names.TITLES, "guardianship": names.GUARDIANSHIPS, "reading": names.READINGS, "approval": names.APPROVALS,
    "skin": names.SKIN_TESTS, "method": names.DECOCTION_METHODS, "mark": names.DECOCTION_MARKS, "deadline": names.DEADLINES,
    "ending": names.ENDINGS, "cancelling": names.CANCEL_REASONS, "posting": words.POSTINGS,
    "pays": names.METHODS, "payment": names.PAYMENTS,
    "parcel": names.PARCELS, "delivery": names.DELIVERIES,
    "goods": names.RETURNS, "wish": names.WISHES, "answer": names.WISH_ANSWERS,
    "role": ROLES, "capability": CAPABILITIES, "act": shops.ACTS, "done": shops.DONE, "shop_kind": names.PLACE_KINDS,
    "decoction_step": names.DECOCTION_STEPS,
    "cause": names.CAUSES, "because": names.ASKED_BECAUSE, "way": names.WAYS, "handover": names.HANDOVERS,
    "audit_reason": words.AUDIT_REASONS, "differing": {kind: Two(*pair) for kind, pair in views.DIFFERENCES.items()},
}
"""Filter of the templates -> what it says of a code."""


Words = Two | tuple[str, str]


class Pages:
    """Renders templates with the city's clock and in one language, the one of the request."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._zone = ZoneInfo(city.policy.timezone)
        self._partners = _partner_names(city)
        self._settings = settings
        self.environments: Mapping[Language, Environment] = {language: self._environment(language) for language in Language}
        """Templates of a language: what they say with `t`, and every code in words, is in it."""

    def html(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page for the person who has signed in, if anybody has."""
        language = language_of(request)
        person: Person | None = getattr(request.state, "person", None)
        text = self.environments[language].get_template(name).render(
            person=person, now=self._city.now(), switch=switched(request), **values)
        return HTMLResponse(text, status, {"content-language": language.tag})

    def _environment(self, language: Language) -> Environment:
        environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                                  trim_blocks=True, lstrip_blocks=True)
        environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": True}
        say = partial(_say, language)
        environment.globals.update(
            t=partial(_text, language), say=say, original=partial(_original, language), language=language,
            city=self._city.policy, Status=Status, final=FINAL, reasons=REASONS, summands=summands,
            prefect=self._settings.prefect_ui_url,
            run_address=_run_address(self._settings), failed=_failed, trouble=views.trouble_words,
            happening=lambda row: say(self.happening(row)), waiting=lambda stored: say(event_words.waiting(stored, self.partner)),
            actor=lambda text: say(words.actor(text, self.partner)), partner=lambda slug: say(self.partner(slug)),
            partner_names=self.partner,
            frequency=lambda code: say(self.frequency(code)),
            detail=lambda notice: say(views.DETAILS[notice.kind].get(notice.detail, Two(notice.detail, ""))))
        environment.filters.update(
            yuan=yuan, number=words.number, at=self._at, clock=self._clock, left=self._left,
            iso=lambda value: words.moment(value).isoformat(),
            lasting=lambda seconds: say(words.lasting(seconds)), age=lambda patient: say(words.age(patient)))
        for name, table in TABLES.items():
            environment.filters[name] = partial(_coded, language, table)
        return environment

    def trouble(self, request: Request, error: HTTPException) -> Response:
        """An error as the door it happened at wants it; a page shows it as a page."""
        if response := answer(request, error):
            return response
        if error.status_code == 401:
            return RedirectResponse(sign_in_address(request), 303)
        page = self.html(request, "web/error.html", error.status_code, error=spoken(error), http_status=error.status_code)
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

    def partner(self, slug: str) -> Two:
        return self._partners.get(slug, Two(slug, ""))

    def happening(self, row: Mapping[str, Any]) -> Two:
        return event_words.happening(row["reason"], row["detail"], self.partner)

    def frequency(self, code: str) -> Two:
        # A city may have frequencies that we have no English for: then the code stands for it.
        row = self._city.knowledge.frequencies.get(code)
        return Two(row.name if row else code, words.FREQUENCIES_EN.get(code, code))


def _text(language: Language, *words: str, **values: object) -> str:
    """A sentence of a template, said in Chinese and in English, with values in its `{places}`."""
    text = language.of(Two(*words))
    # Escaped first: a value may be a piece of a page or what a stranger wrote.
    return Markup(escape(text)).format(**values) if values else text  # noqa: S704


def _say(language: Language, pair: Words) -> str:
    """Words in the page's language, or marked as being in the other where there are none."""
    return language.of(pair) or _foreign(language.other, language.other.of(pair))


def _original(language: Language, text: str) -> str:
    """What is there in Chinese only: names of drugs and diagnoses, what people wrote."""
    return text if language is Language.ZH else _foreign(Language.ZH, text)


def _foreign(language: Language, text: str) -> str:
    """Text in another language than its page. Codes and numbers are in none."""
    if not text or (language is Language.ZH and not _HAN.search(text)):
        return text
    return Markup('<span lang="{}">{}</span>').format(language.tag, text)


_HAN = re.compile("[\u4e00-\u9fff]")


def _coded(language: Language, table: Mapping[str, Two], code: str) -> str:
    return _say(language, words.coded(table, str(code)))


def _failed(row: Mapping[str, Any]) -> bool:
    event = event_of(row["reason"], row["detail"])
    return event is not None and event[0] is Event.ATTEMPT_FAILED


def _run_address(settings: Settings) -> Any:
    return lambda run_id: f"{settings.prefect_ui_url}/runs/flow-run/{run_id}"


def _partner_names(city: City) -> dict[str, Two]:
    names: dict[str, Two] = {}
    kinds: tuple[tuple[registry.Kind, list[str]], ...] = (
        ("hospitals", [terms.slug for terms in city.policy.hospitals]), ("chains", list(city.chains)),
        ("couriers", list(city.couriers)), ("payers", [city.payer.slug]))
    for kind, slugs in kinds:
        for slug in slugs:
            try:
                facts = registry.manifest(kind, slug)
            except NeedsOperator:
                continue  # A partner of a test; its slug will do.
            names[slug] = Two(facts.name, facts.name_en)
    return names
