"""Between our words and Jisong's. Pure: bytes and facts in, bytes and facts out."""

import base64
import binascii
import json
from collections.abc import Mapping
from decimal import Decimal

from pydantic import AwareDatetime, Field

from adapters.chains.wire import Code, Identifier, Wire, Word, finding, read
from domain.couriers import Consignment, CourierUpdate, DoorProof, Stop, Waybill
from domain.errors import InvalidPayload
from domain.fulfilment.deliveries import DeliveryStatus
from domain.money import Fen
from domain.payments import Tendered
from domain.prescription import Place
from domain.privacy import shown

PICTURE_BYTES = 200_000
"""Of the picture of a signature, at most."""
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
Words = Mapping[str, DeliveryStatus]


def parcel_body(consignment: Consignment) -> bytes:
    """`POST /v2/parcels`."""
    return _json({
        "parcel": consignment.id, "from": _stop(consignment.shop), "to": _stop(consignment.recipient),
        "reach_by": consignment.reach_by.isoformat(), "tries": consignment.most_attempts,
        **({"collect": {"fen": consignment.collect, "ways": list(consignment.methods)}} if consignment.collect else {})})


def stop_body(reason: str) -> bytes:
    """`POST /v2/parcels/{parcel}/stop`."""
    return _json({"why": reason})


def parse_waybill(body: bytes, words: Words) -> Waybill:
    """Their number, and where it is. Raises `InvalidPayload`."""
    row = read(_Parcel, body)
    return Waybill(shown(row.no), _status(row.state, words, "state"), row.tries)


def parse_stopped(body: bytes, words: Words) -> Waybill:
    """The answer to a stop. Raises `InvalidPayload` for a parcel that neither was stopped nor comes back."""
    waybill = parse_waybill(body, words)
    if waybill.status not in (DeliveryStatus.CANCELLED, DeliveryStatus.RETURNING, DeliveryStatus.RETURNED):
        raise InvalidPayload([finding("CHN-08", "state")])
    return waybill


def parse_error(body: bytes) -> str:
    """Their code for a business no. Raises `InvalidPayload`."""
    return read(_Error, body).error.code


def parse_event(body: bytes, words: Words, causes: Mapping[str, str]) -> CourierUpdate:
    """A callback in our words. Raises `InvalidPayload`."""
    row = read(_Event, body)
    return CourierUpdate(
        event_id=row.event, delivery_id=row.parcel, status=_status(row.state, words, "state"), at=row.when, attempt=row.tries,
        reason=causes.get(row.why, row.why), proof=_proof(row.proof) if row.proof else DoorProof(),
        paid=Tendered(Fen(row.paid.fen), row.paid.way, row.paid.ref) if row.paid else None)


class _Parcel(Wire):
    no: Word
    state: Word
    tries: int = Field(alias="try", strict=True, ge=0, le=99)


class _Refusal(Wire):
    code: Word


class _Error(Wire):
    error: _Refusal


class _Proof(Wire):
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    lat: Decimal | None = Field(default=None, ge=-90, le=90)
    lng: Decimal | None = Field(default=None, ge=-180, le=180)
    picture: str = ""


class _Paid(Wire):
    fen: int = Field(strict=True, ge=0, le=100_000_000)
    way: Word
    ref: str = Field(default="", pattern=r"^[0-9A-Za-z_-]{0,64}$")


class _Event(Wire):
    event: Identifier
    parcel: Identifier
    state: Word
    when: AwareDatetime
    tries: int = Field(alias="try", default=0, strict=True, ge=0, le=99)
    why: Code = ""
    proof: _Proof | None = None
    paid: _Paid | None = None


def _proof(row: _Proof) -> DoorProof:
    place = None if row.lat is None or row.lng is None else Place("", row.lat, row.lng)
    return DoorProof(row.digest, place, _picture(row.picture))


def _picture(text: str) -> bytes:
    """The bytes of a picture. Raises `InvalidPayload` for what is none, or is too large."""
    if not text:
        return b""
    try:
        picture = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        picture = b""
    if not picture.startswith(_PICTURES) or len(picture) > PICTURE_BYTES:
        raise InvalidPayload([finding("CHN-03", "proof.picture")])
    return picture


def _status(word: str, words: Words, path: str) -> DeliveryStatus:
    """Their word in ours. Raises `InvalidPayload` for one we do not know: never a guess."""
    if word not in words:
        raise InvalidPayload([finding("CHN-04", path)])
    return words[word]


def _stop(stop: Stop) -> dict[str, str]:
    return {"name": stop.name, "phone": stop.phone, "address": stop.address, "lat": format(stop.latitude, "f"),
            "lng": format(stop.longitude, "f")}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
