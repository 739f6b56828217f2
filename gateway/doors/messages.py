"""One door for every hospital whose dialect is one message per request: the bytes in, its adapter's own answer out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.doors.bodies import Bodies
from gateway.doors.hospitals import as_it_is, prescription_of
from gateway.web.access import OWN_DOORS, hospital_token, speakers
from gateway.web.errors import json_answer
from tasks import intake
from tasks.city import City
from tasks.partner_tokens import PartnerTokens


def message_door(city: City, tokens: PartnerTokens, bodies: Bodies) -> APIRouter:
    """POST a message of any kind, GET the stored answer to one, GET where a prescription is.

    A new dialect does not need its own door.
    """
    door = APIRouter(prefix="/messages/{hospital}")
    Sender = Annotated[str, Depends(hospital_token(tokens, speakers(city, lambda dialect: dialect not in OWN_DOORS)))]
    Message = Annotated[bytes, Depends(bodies.message_in_turn, scope="function")]

    @door.post("")
    def receive(hospital: Sender, raw: Message) -> Response:
        return as_it_is(intake.receive(city, hospital, raw))

    @door.get("/{key}")
    def stored_answer(hospital: Sender, key: str) -> Response:
        return as_it_is(intake.stored_answer(city, hospital, key))

    @door.get("/prescriptions/{number}")
    def where(hospital: Sender, number: str) -> Response:
        prescription = prescription_of(city, hospital, number)
        return json_answer({"prescription": number, "id": prescription.id, "status": prescription.status})

    return door
