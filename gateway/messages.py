"""One door for every hospital whose dialect is one message per request: the bytes in, its adapter's own answer out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.access import OWN_DOORS, denied, hospital_token, message, speakers
from gateway.trouble import json_answer
from infra.db import prescriptions
from infra.settings import Settings
from tasks import intake
from tasks.city import City


def message_door(city: City, settings: Settings) -> APIRouter:
    """POST a message of any kind, GET the stored answer to one, GET where a prescription is.

    A new dialect needs no door of its own.
    """
    door = APIRouter(prefix="/messages/{hospital}")
    Sender = Annotated[str, Depends(hospital_token(settings, speakers(city, lambda dialect: dialect not in OWN_DOORS)))]
    Message = Annotated[bytes, Depends(message)]

    @door.post("")
    def receive(hospital: Sender, raw: Message) -> Response:
        return _as_it_is(intake.receive(city, hospital, raw))

    @door.get("/{key}")
    def stored_answer(hospital: Sender, key: str) -> Response:
        answer = intake.stored_answer(city, hospital, key)
        if answer is None:
            raise denied(404, "unknown_key", "没有收到过该编号的消息", "no message came under this key")
        return _as_it_is(answer)

    @door.get("/prescriptions/{number}")
    def where(hospital: Sender, number: str) -> Response:
        with city.db.reading() as session:
            row = prescriptions.find(session, hospital, number)
        if row is None:
            raise denied(404, "unknown_prescription", "没有收到过该处方", "no such prescription")
        return json_answer({"prescription": number, "id": row.id, "status": row.status})

    return door


def _as_it_is(answer: intake.Answer) -> Response:
    headers = {"Sanyi-Replayed": "true"} if answer.replayed else {}
    return Response(answer.body, answer.status, headers, answer.media)
