"""The mapping queue: codes of hospitals that stand for none of ours yet, what waits for them, and a person's word."""

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from adapters.kit.suggest import OPEN, listed, suggest
from domain.errors import Refused
from gateway.web.access import Desk, Form, SignedIn, denied, form
from gateway.web.errors import json_answer
from gateway.web.render import Pages
from gateway.web.threads import PeoplesRoute
from infra.db import mapping as rows
from tasks import mapping
from tasks.city import City
from tasks.intake import MAX_NAME, has_personal_number

TABLES = {"drug": ("药品", "drug"), "route": ("给药途径", "route"), "frequency": ("用药频次", "frequency"),
          "unit": ("单位", "unit"), "diagnosis": ("诊断", "diagnosis"), "title": ("职称", "title")}
_REFUSED = {
    "unknown_hospital": ("没有这家医院", "there is no such hospital"),
    "unknown_table": ("这家医院没有这张对照表", "the hospital keeps no such table"),
    "unknown_code": ("平台目录中没有这个编码", "this is no code of ours"),
}


MOST = 50
"""Codes shown at once, those that most messages wait for: each costs a comparison with every code of ours."""


def screened(code: rows.Wanted) -> rows.Wanted:
    """Without a name that speaks of a person or never ends: intake lets none in any more, rows from before may hold one."""
    return replace(code, name="" if has_personal_number(code.name) else code.name[:MAX_NAME])


def mapping_door(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/mapping` for people, `/api/ops/mapping` for programs; both for operators."""
    door = APIRouter(route_class=PeoplesRoute)
    Operator = Annotated[SignedIn, Depends(desk.operator)]
    Fields = Annotated[Form, Depends(form)]

    def shown(who: SignedIn, status: int = 200, *, refusal: tuple[str, str] = ("", ""), done: int = -1) -> Response:
        with city.db.reading() as session:
            wanted, decided = rows.wanted(session), rows.decisions(session, 20)
        codes = [(code, suggest(city.knowledge, code.table, code.theirs, code.name)) for code in map(screened, wanted[:MOST])]
        choices = {table: listed(city.knowledge, table) for table in {code.table for code, _ in codes}}
        return pages.html("operations/mapping.html", who, status, codes=codes, count=len(wanted), choices=choices, decided=decided,
                          tables=TABLES, open_tables=OPEN, refusal=refusal, done=done)

    @door.get("/mapping", response_class=HTMLResponse)
    def queue(who: Operator, done: int = -1) -> Response:
        return shown(who, done=done)

    @door.post("/mapping", response_class=HTMLResponse)
    def accept(who: Operator, fields: Fields) -> Response:
        try:
            done = said(who, {name: values[-1] for name, values in fields.items()})
        except Refused as no:
            return shown(who, 422, refusal=_REFUSED[no.code])
        return RedirectResponse(f"/mapping?done={len(done)}", 303)

    @door.get("/api/ops/mapping")
    def listing(_: Operator) -> Response:
        with city.db.reading() as session:
            wanted = rows.wanted(session)
        return json_answer({"count": len(wanted), "codes": [
            asdict(code) | {"suggestions": [asdict(it) for it in suggest(city.knowledge, code.table, code.theirs, code.name)]}
            for code in map(screened, wanted[:MOST])]})

    @door.post("/api/ops/mapping")
    def accept_one(who: Operator, fields: Fields) -> Response:
        try:
            return json_answer({"taken": said(who, {name: values[-1] for name, values in fields.items()})})
        except Refused as no:
            raise denied(422, no.code, *_REFUSED[no.code]) from None

    def said(who: SignedIn, given: dict[str, Any]) -> list[str]:
        ours = given.get("other", "").strip() or given.get("ours", "")
        return mapping.accept(city, given.get("hospital", ""), given.get("table", ""), given.get("theirs", ""), ours,
                              who.id, name=given.get("name", "")[:200])

    return door
