"""The hospitals' door: FHIR R4 in, stored answers out (contract 1)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from adapters.dialects import fhir_r4
from domain.words import Two
from fhir_profiles import answers
from gateway.doors.bodies import Bodies
from gateway.web.access import FHIR, denied, hospital_token, speakers
from gateway.web.errors import in_fhir, json_answer
from infra.db.prescriptions import Located
from tasks import intake
from tasks.city import City
from tasks.partner_tokens import PartnerTokens
from tasks.preview import preview


def hospital_door(city: City, tokens: PartnerTokens, bodies: Bodies) -> APIRouter:
    """POST Bundle and Task, a dry run of a Bundle, GET a stored answer and a patched message, GET where a prescription is."""
    door = APIRouter(prefix="/fhir/{hospital}")
    Sender = Annotated[str, Depends(hospital_token(tokens, speakers(city, FHIR.__contains__)))]
    Message = Annotated[bytes, Depends(bodies.message_in_turn, scope="function")]

    @door.post("/Bundle")
    def prescription(hospital: Sender, raw: Message) -> Response:
        return as_it_is(intake.receive_prescription(city, hospital, raw))

    @door.post("/$validate")
    async def dry_run(hospital: Sender, raw: Annotated[bytes, Depends(bodies.message)]) -> Response:
        # Partners are asked as well: only the sender of this request waits for them.
        turn = bodies.turn(f"hospital:{hospital}", len(raw))
        return json_answer((await preview(city, hospital, raw, turn)).as_dict())

    @door.post("/Task")
    def cancel(hospital: Sender, raw: Message) -> Response:
        return as_it_is(intake.receive_cancel(city, hospital, raw))

    @door.get("/requests/{key}")
    def stored_answer(hospital: Sender, key: str) -> Response:
        return as_it_is(intake.stored_answer(city, hospital, key))

    @door.get("/requests/{key}/patched")
    def put_right(hospital: Sender, key: str) -> Response:
        raw = intake.raw_message(city, hospital, key)
        twin = fhir_r4.patched(raw, hospital) if raw is not None else None
        if twin is None:
            raise denied(404, "no_patch",
                         Two("没有可自动改正的消息", "no message under this key that can be put right by itself"))
        return Response(twin.body, media_type=twin.media)

    @door.get("/Task/{number}")
    def where(hospital: Sender, number: str, request: Request) -> Response:
        prescription = prescription_of(city, hospital, number)
        return in_fhir(request, answers.status_task(prescription.id, number, hospital, prescription.status))

    return door


def as_it_is(answer: intake.Answer | None) -> Response:
    """A stored answer as it was first given; 404 for a key that no message had."""
    if answer is None:
        raise denied(404, "unknown_key", Two("没有收到过该编号的消息", "no message came under this key"))
    headers = {"Sanyi-Replayed": "true"} if answer.replayed else {}
    return Response(answer.body, answer.status, headers, answer.media)


def prescription_of(city: City, hospital: str, number: str) -> Located:
    """A hospital's prescription by its own number; 404 for one that was not admitted."""
    prescription = intake.where_is(city, hospital, number)
    if prescription is None:
        raise denied(404, "unknown_prescription", Two("没有收到过该处方", "no such prescription"))
    return prescription
