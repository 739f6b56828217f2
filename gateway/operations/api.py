"""Operations as an API: the board, the books, one prescription whole, and a wake-up call."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field

from domain.errors import Refused
from domain.people import Capability, Person
from domain.words import Two
from gateway.web.access import Desk, denied
from gateway.web.choice import Name, check, choice_facts
from gateway.web.errors import json_answer, unknown_prescription
from gateway.web.threads import PeoplesRoute
from infra.db import notices, prescriptions, views
from tasks import choosing
from tasks.city import City
from tasks.review import review_page_facts
from tasks.upkeep import redrive

Limit = Annotated[int, Query(ge=1, le=2000)]
Id = Annotated[int, Query(ge=0, le=2**31 - 1)]
Option = Annotated[str, Query(max_length=16)]
Agreed = Annotated[tuple[Annotated[str, Field(max_length=160)], ...], Query(max_length=100)]
"""`agree` of each substitute of the option, as the patient on the phone says."""
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]


def operations_api(city: City, desk: Desk, name: Name) -> APIRouter:
    """`/api/ops/…` for operators, `/api/rx/…` for pharmacists too."""
    door = APIRouter(prefix="/api", route_class=PeoplesRoute)
    MaySeeBoard = Annotated[Person, Depends(desk.may(Capability.SEE_BOARD))]
    MayFind = Annotated[Person, Depends(desk.may(Capability.FIND_PRESCRIPTIONS))]
    MaySeeMoney = Annotated[Person, Depends(desk.may(Capability.SEE_MONEY))]
    MayVerify = Annotated[Person, Depends(desk.may(Capability.VERIFY_HISTORIES))]
    MayRedrive = Annotated[Person, Depends(desk.may(Capability.REDRIVE))]
    MayCloseNotices = Annotated[Person, Depends(desk.may(Capability.CLOSE_NOTICES))]
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_PRESCRIPTION))]
    MayChoose = Annotated[Person, Depends(desk.may(Capability.CHOOSE_PHARMACY, own_entry=True))]
    MayExport = Annotated[Person, Depends(desk.may(Capability.EXPORT_HISTORIES))]
    MaySeeRuns = Annotated[Person, Depends(desk.may(Capability.SEE_RUNS))]

    def read(view: Callable[[Any], Any]) -> Response:
        with city.db.reading() as session:
            return json_answer(view(session))

    @door.get("/ops/board")
    def board(_: MaySeeBoard) -> Response:
        return read(lambda session: asdict(views.board(session, city.now(), city.policy)))

    @door.get("/ops/prescriptions")
    def page(_: MayFind, after: str = "", limit: Limit = 200) -> Response:
        return read(lambda session: views.prescriptions_page(session, after, limit))

    @door.get("/ops/ledger")
    def ledger(_: MaySeeMoney, posting: Id = 0, order: str = "", version: Id = 0, limit: Limit = 200) -> Response:
        with city.db.reading() as session:
            page, more = views.ledger(session, posting, (order, version), limit)
        return followed("/api/ops/ledger", page, ("posting", "order", "version"), more, limit)

    @door.get("/ops/verify")
    def verify(_: MayVerify, rx: str = "", posting: Id = 0, limit: Limit = 100) -> Response:
        with city.db.reading() as session:
            page, more = views.verify_page(session, rx, posting, limit)
        return followed("/api/ops/verify", page, ("rx", "posting"), more, limit)

    @door.get("/ops/stages")
    def stages(_: MaySeeBoard, hops: Limit = 500) -> Response:
        return read(lambda session: views.stage_seconds(session, hops))

    @door.get("/ops/discrepancies")
    def discrepancies(_: MaySeeMoney, before: Id | None = None, limit: Limit = 500) -> Response:
        return read(lambda session: views.discrepancies(session, before, limit))

    @door.get("/ops/notices")
    def noticed(_: MaySeeBoard, before: Id | None = None, limit: Limit = 500) -> Response:
        return read(lambda session: views.notices(session, before, limit))

    @door.get("/ops/reconciliations")
    def reconciliations(_: MaySeeMoney, before: Id | None = None, limit: Limit = 500) -> Response:
        return read(lambda session: views.reconciliations(session, before, limit))

    @door.post("/ops/notices/{number}/closed")
    def notice_closed(number: Number, who: MayCloseNotices) -> Response:
        close_notice(city, number, who)
        return json_answer({"id": number})

    @door.post("/ops/rx/{rx_id}/wake")
    def woken(rx_id: str, who: MayRedrive) -> Response:
        return json_answer({"id": rx_id, "status": wake(city, rx_id, who)})

    @door.get("/ops/rx/{rx_id}/choice")
    def choice(rx_id: str, _: MaySee) -> Response:
        try:
            return json_answer(choice_facts(choosing.look(city, rx_id), name, city.knowledge.catalogue))
        except KeyError:
            raise unknown_prescription() from None

    @door.post("/ops/rx/{rx_id}/choice")
    def choose(rx_id: str, who: MayChoose, option: Option, agreed: Agreed = ()) -> Response:
        try:
            verdict = choosing.choose(city, rx_id, option, by=f"hotline:{who.id}", agreed=agreed)
        except KeyError:
            raise unknown_prescription() from None
        check(verdict)
        return json_answer({"answer": verdict} | (choice_facts(choosing.look(city, rx_id), name, city.knowledge.catalogue) or {}))

    @door.get("/rx/{rx_id}")
    def whole(rx_id: str, _: MaySee) -> Response:
        dossier, facts = dossier_of(city, rx_id)
        return json_answer(asdict(dossier) | {"prescription": facts, "verified": dossier.broken is None})

    @door.get("/rx/{rx_id}/history")
    def export(rx_id: str, _: MayExport) -> Response:
        with city.db.reading() as session:
            exported = views.history_export(session, rx_id)
        if exported is None:
            raise unknown_prescription()
        return json_answer(exported)

    @door.get("/runs/{run_id}")
    def run(run_id: str, _: MaySeeRuns) -> Response:
        return read(lambda session: views.run(session, run_id))

    return door


def followed(path: str, page: dict[str, Any], names: Sequence[str], more: Sequence[object] | None,
             limit: int) -> Response:
    """One page of a book; `next` is the address of the one that follows, empty on the last."""
    address = f"{path}?{urlencode([*zip(names, more, strict=True), ('limit', limit)])}" if more else ""
    return json_answer(page | {"next": address})


def dossier_of(city: City, rx_id: str) -> tuple[views.Dossier, dict[str, Any]]:
    """Everything about a prescription, and what a pharmacist sees of it; 404 for an unknown id."""
    with city.db.reading() as session:
        dossier = views.dossier(session, rx_id)
        if dossier is None:
            raise unknown_prescription()
        return dossier, review_page_facts(prescriptions.load(session, rx_id))


def wake(city: City, rx_id: str, operator: Person) -> str:
    """Have it looked at now, with a note of who asked. What ends a wait is still decided by the step that waits."""
    try:
        return redrive(city, rx_id, operator.id)
    except KeyError:
        raise unknown_prescription() from None
    except Refused:
        raise denied(409, "not_open", Two("处方已结束", "nothing is owed any more")) from None


def close_notice(city: City, number: int, operator: Person) -> None:
    """Mark a notice as dealt with, by whom and when. The first person to do so stays written."""
    with city.db.transaction("notice.closed") as session:
        try:
            notices.close(session, number, by=operator.id, at=city.now())
        except KeyError:
            raise denied(404, "unknown_notice", Two("没有这条提示", "no such notice")) from None
