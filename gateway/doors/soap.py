"""The SOAP 1.1 door for hospitals that send WS/T 500 documents: SubmitPrescription, CancelPrescription, QueryStatus."""

import asyncio

from fastapi import APIRouter, HTTPException, Request, Response

from adapters.dialects import cda, cda_answers, cda_soap
from domain.words import Two
from gateway.doors.bodies import Bodies
from gateway.web.access import denied, hospital_token, speakers
from gateway.web.errors import headers_of, http_error, spoken
from infra.settings import Settings
from tasks import intake
from tasks.city import City
from tasks.partner_tokens import PartnerTokens

XML = "text/xml; charset=utf-8"


def soap_door(city: City, settings: Settings, bodies: Bodies, tokens: PartnerTokens) -> APIRouter:
    """POST a call, GET the WSDL at `?wsdl`; `Authorization: Bearer` with the hospital's token.

    What is no SOAP, or no call of ours, is answered with a fault. A document is answered with a result, also where it is
    refused.
    """
    door = APIRouter(prefix="/soap/{hospital}")
    hospitals = speakers(city, cda.DIALECT.__eq__)
    sender = hospital_token(tokens, hospitals)

    @door.get("")
    def description(hospital: str) -> Response:
        if hospital not in hospitals:
            return _fault(denied(404, "unknown_hospital", Two("没有这家医院", "no such hospital")))
        return Response(cda_soap.wsdl(f"{str(settings.gateway_url).rstrip('/')}/soap/{hospital}"), media_type=XML)

    @door.post("")
    async def call(hospital: str, request: Request) -> Response:
        try:
            await sender(hospital, request)
            whose = request.state.sender
            async with bodies.body(request, whose, cda_soap.MAX_BYTES) as raw, bodies.turn(whose, len(raw)):
                body = await asyncio.to_thread(_serve, city, hospital, raw)
        except cda_soap.Fault as fault:
            return Response(cda_soap.fault(fault.code, fault.words), 500, media_type=XML)
        except Exception as error:
            return _fault(error if isinstance(error, HTTPException) else http_error(error))
        return Response(body, media_type=XML)

    return door


def _serve(city: City, hospital: str, raw: bytes) -> bytes:
    call = cda_soap.call(raw)
    if call.operation == "QueryStatus":
        prescription = intake.where_is(city, hospital, call.number)
        answer = (cda_answers.result(cda_answers.Inquiry.KNOWN, city.now(), prescription.id, call.number, prescription.status)
                  if prescription else cda_answers.result(cda_answers.Inquiry.UNKNOWN, city.now()))
        return cda_soap.response(call.operation, answer)
    kind = "Bundle" if call.operation == "SubmitPrescription" else "Task"
    return cda_soap.response(call.operation, intake.receive(city, hospital, call.raw, expect=kind).body)


def _fault(error: HTTPException) -> Response:
    """An error as a fault. SOAP 1.1 expects one under 500; other statuses stay, and so does 503, which says "again later"."""
    words = spoken(error)
    status = error.status_code if error.status_code < 500 or error.status_code == 503 else 500
    headers = headers_of(error) | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    body = cda_soap.fault("Client" if status < 500 else "Server", Two(words["text"], words["text_en"]))
    return Response(body, status, headers, XML)
