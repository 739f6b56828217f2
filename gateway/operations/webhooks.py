"""What chains are told at their addresses for webhooks: each message with its attempts, and a person's two words about it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.people import Capability, Person
from domain.webhooks import WEBHOOKS, outcome_words
from domain.words import Two
from gateway.web.access import Desk, Form, denied, form, last_value
from gateway.web.errors import json_answer
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from gateway.web.words import coded
from infra.db import webhooks as rows
from tasks import webhooks
from tasks.city import City

PAGE = 50
"""Messages on one page."""
KEY = re.compile(r"evt_[A-Za-z0-9_]{1,76}")
"""A message, as a form names it."""
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=2000)]


@dataclass(frozen=True)
class Shown:
    """A message as people see it."""

    row: rows.Delivery
    type: str
    about: str
    """The order, or what is recalled."""

    @property
    def what(self) -> Two:
        return coded(WEBHOOKS, self.type)

    @property
    def outcome(self) -> Two:
        return outcome_words(self.row.outcome)


def webhooks_door(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/webhooks` for people, `/api/ops/webhooks` for programs. Who answers for one chain sees that chain's."""
    door = APIRouter(route_class=PeoplesRoute)
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_MESSAGES, somewhere=True))]
    MaySend = Annotated[Person, Depends(desk.may(Capability.REDRIVE))]
    Fields = Annotated[Form, Depends(form)]

    def read(who: Person, before: int | None, most: int, waiting: bool) -> Sequence[Shown]:
        with city.db.reading() as session:
            messages = rows.deliveries(session, theirs(who), before, most, open_only=waiting)
        return [_shown(city, row) for row in messages]

    def theirs(who: Person) -> list[str]:
        return [chain for chain in sorted(city.webhooks) if who.may(Capability.SEE_MESSAGES, chain)]

    @door.get("/webhooks", response_class=HTMLResponse)
    def log(request: Request, who: MaySee, before: Before = None, waiting: bool = False, done: bool = False) -> Response:
        messages = read(who, before, PAGE + 1, waiting)
        more = {"before": messages[PAGE - 1].row.id} | ({"waiting": "true"} if waiting else {}) if len(messages) > PAGE else {}
        with city.db.reading() as session:
            stopped = {chain: at for chain, at in rows.stopped(session).items() if chain in theirs(who)}
        return pages.html(request, "operations/webhooks.html", messages=messages[:PAGE], waiting=waiting, stopped=stopped,
                          done=done, chains=theirs(who), more=f"/webhooks?{urlencode(more)}" if more else "")

    @door.get("/api/ops/webhooks")
    def listing(who: MaySee, before: Before = None, limit: Limit = 500) -> Response:
        return json_answer({"messages": [_facts(message) for message in read(who, before, limit, False)]})

    @door.post("/webhooks/again")
    def again(who: MaySend, fields: Fields) -> Response:
        chain, key = last_value(fields, "chain"), last_value(fields, "id")
        if chain not in city.webhooks or not KEY.fullmatch(key) or not webhooks.send_again(city, chain, key):
            raise denied(404, "unknown_webhook", Two("没有这条推送", "no such webhook"))
        return RedirectResponse("/webhooks?done=true", 303)

    @door.post("/webhooks/resume")
    def resumed(who: MaySend, fields: Fields) -> Response:
        chain = last_value(fields, "chain")
        if chain not in city.webhooks or not webhooks.resume(city, chain):
            raise denied(409, "not_stopped", Two("该地址并未停用", "the address is not out of use"))
        return RedirectResponse("/webhooks?done=true", 303)

    @door.get("/webhooks/{act}")
    def after_form(act: str, _: MaySee) -> Response:
        # The address of a form, opened again: in another language, from the history, after a new sign-in.
        return RedirectResponse("/webhooks", 303)

    return door


def _shown(city: City, row: rows.Delivery) -> Shown:
    message = json.loads(webhooks.body_of(city, row.key, row.sealed))
    data = message["data"]
    return Shown(row, message["type"], data.get("order_id") or " ".join(
        data[name] for name in ("drug", "lot", "code") if name in data))


def _facts(message: Shown) -> dict[str, Any]:
    row = message.row
    return {"id": row.key, "number": row.id, "chain": row.chain, "type": message.type, "about": message.about,
            "made_at": row.made_at, "attempts": row.attempts, "outcome": row.outcome, "due_at": row.due_at, "sent_at": row.sent_at}
