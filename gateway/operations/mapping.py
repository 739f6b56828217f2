"""The mapping queue: codes of hospitals that are not mapped yet, what waits for them, and a person's decision."""

from dataclasses import asdict, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from adapters.kit.suggest import OPEN, listed, suggest
from domain.errors import Refused
from domain.people import Capability, Person
from domain.words import Two
from gateway.web.access import Desk, Form, denied, form, last_value
from gateway.web.errors import json_answer
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.db import mapping as rows
from tasks import mapping
from tasks.city import City
from tasks.intake import MAX_NAME, has_personal_number

TABLES = {"drug": Two("药品", "drug"), "route": Two("给药途径", "route"), "frequency": Two("用药频次", "frequency"),
          "unit": Two("单位", "unit"), "diagnosis": Two("诊断", "diagnosis"), "title": Two("职称", "title")}
_REFUSED = {
    "unknown_hospital": Two("没有这家医院", "there is no such hospital"),
    "unknown_table": Two("这家医院没有这张对照表", "the hospital keeps no such table"),
    "unknown_code": Two("平台目录中没有这个编码", "the platform has no such code"),
}


MOST = 50
"""Codes shown at once, those that most messages wait for: each costs a comparison with every code of ours."""


def screened(code: rows.Wanted) -> rows.Wanted:
    """Without a name that speaks of a person or never ends: intake lets none in any more, rows from before may hold one."""
    return replace(code, name="" if has_personal_number(code.name) else code.name[:MAX_NAME])


def mapping_door(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/mapping` for people, `/api/ops/mapping` for programs; both for operators."""
    door = APIRouter(route_class=PeoplesRoute)
    MayMap = Annotated[Person, Depends(desk.may(Capability.MAP_CODES))]
    Fields = Annotated[Form, Depends(form)]

    def shown(request: Request, status: int = 200, *, refusal: Two | None = None, done: int = -1) -> Response:
        with city.db.reading() as session:
            wanted, decided = rows.wanted(session), rows.decisions(session, 20)
        codes = [(code, suggest(city.knowledge, code.table, code.theirs, code.name)) for code in map(screened, wanted[:MOST])]
        choices = {table: listed(city.knowledge, table) for table in {code.table for code, _ in codes}}
        return pages.html(request, "operations/mapping.html", status, codes=codes, count=len(wanted), choices=choices,
                          decided=decided, tables=TABLES, open_tables=OPEN, refusal=refusal, done=done)

    @door.get("/mapping", response_class=HTMLResponse)
    def queue(request: Request, _: MayMap, done: int = -1) -> Response:
        return shown(request, done=done)

    @door.post("/mapping", response_class=HTMLResponse)
    def accept(request: Request, who: MayMap, fields: Fields) -> Response:
        try:
            done = accepted(who, fields)
        except Refused as refusal:
            return shown(request, 422, refusal=_REFUSED[refusal.code])
        return RedirectResponse(f"/mapping?done={len(done)}", 303)

    @door.get("/api/ops/mapping")
    def listing(_: MayMap) -> Response:
        with city.db.reading() as session:
            wanted = rows.wanted(session)
        codes = [asdict(code) | {"suggestions": list(map(asdict, suggest(city.knowledge, code.table, code.theirs, code.name)))}
                 for code in map(screened, wanted[:MOST])]
        return json_answer({"count": len(wanted), "codes": codes})

    @door.post("/api/ops/mapping")
    def accept_one(who: MayMap, fields: Fields) -> Response:
        try:
            return json_answer({"taken": accepted(who, fields)})
        except Refused as refusal:
            raise denied(422, refusal.code, _REFUSED[refusal.code]) from None

    def accepted(who: Person, fields: Form) -> list[str]:
        hospital, table, theirs, name = (last_value(fields, field) for field in ("hospital", "table", "theirs", "name"))
        ours = last_value(fields, "other").strip() or last_value(fields, "ours")
        return mapping.accept(city, hospital, table, theirs, ours, who.id, name=name[:200])

    return door
