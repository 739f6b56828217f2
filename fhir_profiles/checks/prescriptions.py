"""The prescription as one: how many items, what they share, when it was issued, until when it is valid, and the signature."""

import base64
from contextlib import suppress
from datetime import datetime, timedelta

from fhir_profiles import codes
from fhir_profiles.message import Json, coded, extended, member, members, moment, text
from fhir_profiles.rules import CLOCK_SKEW, Message, Places, drug_kind, rule

MAX_ITEMS = 10
"""Of western and patent medicines; a prescription of pieces has up to 40 (its profile says so)."""
VALIDITY_HOURS = (24, 48, 72)


@rule("ITEM_COUNT")
def too_many_items(message: Message) -> Places:
    pieces = [item for item in message.items if drug_kind(item) == "tcm_piece"]
    if len(message.items) > MAX_ITEMS and len(pieces) < len(message.items):
        yield "Bundle.entry.resource.ofType(MedicationRequest)"


@rule("ITEM_NUMBER_DUPLICATE")
def duplicate_item_number(message: Message) -> Places:
    seen: set[str] = set()
    for item in message.items:
        number = text(item.resource, "identifier", "value")
        if number and number in seen:
            yield f"{item.path}.identifier[0].value"
        seen.add(number)


@rule("ITEMS_DISAGREE")
def items_disagree(message: Message) -> Places:
    shared: dict[str, object] = {}
    for item in message.items:
        for name, value in _shared(item.resource).items():
            if value is not None and shared.setdefault(name, value) != value:
                yield f"{item.path}.{name}"


@rule("AUTHORED_IN_FUTURE")
def issued_in_the_future(message: Message) -> Places:
    for item in message.items:
        issued = moment(item.resource.get("authoredOn"))
        if issued and message.sent and issued - message.sent > CLOCK_SKEW:
            yield f"{item.path}.authoredOn"


@rule("VALIDITY_PERIOD")
def validity_days_mismatch(message: Message) -> Places:
    """A-01 in PLUS_HOURS mode: 24, 48 or 72 hours."""
    for item in message.items:
        period = _validity(item.resource)
        if period and period[1] - period[0] not in [timedelta(hours=hours) for hours in VALIDITY_HOURS]:
            yield f"{item.path}.dispenseRequest.validityPeriod"


@rule("VALIDITY_START")
def validity_start_mismatch(message: Message) -> Places:
    """A-01 in PLUS_HOURS mode: from the moment of issue."""
    for item in message.items:
        period, issued = _validity(item.resource), moment(item.resource.get("authoredOn"))
        if period and issued and period[0] != issued:
            yield f"{item.path}.dispenseRequest.validityPeriod.start"


@rule("SIGNATURE_SCOPE")
def signature_mismatch(message: Message) -> Places:
    """A-16: the signature covers the whole prescription as it was issued."""
    urls = {url for url, kind in message.types.items() if kind == "MedicationRequest"}
    for provenance in message.all("Provenance"):
        covered = {member(target, "reference") for target in members(provenance.resource, "target")
                   if isinstance(member(target, "reference"), str)}
        signed = moment(member(provenance.resource, "signature", "when"))
        if not urls <= covered or (signed and message.issued and signed < message.issued):
            yield provenance.path


@rule("SIGNATURE_DATA")
def signature_empty(message: Message) -> Places:
    """A-16: it is kept as not verified, but it must be one."""
    for provenance in message.all("Provenance"):
        for index, signature in enumerate(members(provenance.resource, "signature")):
            data = member(signature, "data")
            if isinstance(data, str) and not _base64(data):
                yield f"{provenance.path}.signature[{index}].data"


def _shared(resource: Json) -> dict[str, object]:
    """What all items of one prescription must have in common; None where an item does not say."""
    kind = coded(resource.get("courseOfTherapyType"), codes.code_system("prescription-kind"))
    handover = extended(resource, "handover", "valueCode")
    return {
        "groupIdentifier": text(resource, "groupIdentifier", "value") or None,
        "subject": text(resource, "subject", "reference") or None,
        "encounter": text(resource, "encounter", "reference") or None,
        "requester": text(resource, "requester", "reference") or None,
        "authoredOn": moment(resource.get("authoredOn")),
        "courseOfTherapyType": kind or None,
        "dispenseRequest.validityPeriod": _validity(resource),
        f"extension('{codes.extension('handover')}')": handover if isinstance(handover, str) else None,
        **{f"extension('{codes.extension(name)}')": extended(resource, name, "valueString")
           for name in ("valid-reason", "prescription-note")},
        f"extension('{codes.extension('renewal')}')": extended(resource, "renewal", "extension"),
    }


def _validity(resource: Json) -> tuple[datetime, datetime] | None:
    period = member(resource, "dispenseRequest", "validityPeriod")
    start, end = moment(member(period, "start")), moment(member(period, "end"))
    return (start, end) if start and end else None


def _base64(data: str) -> bytes:
    """The bytes; none if it is not base64 from end to end."""
    with suppress(ValueError):
        return base64.b64decode("".join(data.split()), validate=True)
    return b""
