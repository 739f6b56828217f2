"""The visit, its proof of an earlier one, the insurance of the day, and what was measured."""

from datetime import date, datetime

from fhir_profiles import codes
from fhir_profiles.message import BEIJING, coded, day, member, members, moment, proof
from fhir_profiles.rules import CLOCK_SKEW, Message, Places, rule


@rule("REVISIT_PROOF")
def proof_after_issue(message: Message) -> Places:
    for visit in message.all("Encounter"):
        for index, extension in enumerate(members(visit.resource, "extension")):
            if member(extension, "url") == codes.extension("revisit-proof"):
                proven, _ = proof(extension)
                if proven and message.issued_on and proven > message.issued_on:
                    yield f"{visit.path}.extension[{index}]"


@rule("VISIT_AFTER_ISSUE")
def visit_out_of_order(message: Message) -> Places:
    for visit in message.all("Encounter"):
        start, end = (moment(member(visit.resource, "period", name)) for name in ("start", "end"))
        if start and ((message.issued and start > message.issued + CLOCK_SKEW) or (end and end < start)):
            yield f"{visit.path}.period"


@rule("COVERAGE_NOT_IN_FORCE")
def coverage_not_valid(message: Message) -> Places:
    for coverage in message.all("Coverage"):
        start, end = (_day_of(member(coverage.resource, "period", name)) for name in ("start", "end"))
        on = message.issued_on
        if on and ((start and on < start) or (end and on > end)):
            yield f"{coverage.path}.period"


@rule("READING_IN_FUTURE")
def reading_in_future(message: Message) -> Places:
    for reading in message.all("Observation"):
        at = moment(reading.resource.get("effectiveDateTime"))
        if at and message.sent and at - message.sent > CLOCK_SKEW:
            yield f"{reading.path}.effectiveDateTime"


@rule("READINGS_DISAGREE")
def duplicate_reading(message: Message) -> Places:
    first: dict[tuple[str, datetime], object] = {}
    for reading in message.all("Observation"):
        code, at = coded(reading.resource.get("code"), codes.LOINC), moment(reading.resource.get("effectiveDateTime"))
        values = [member(reading.resource, "valueQuantity", "value"),
                *(member(part, "valueQuantity", "value") for part in members(reading.resource, "component"))]
        if code and at and first.setdefault((code, at), values) != values:
            yield reading.path


def _day_of(value: object) -> date | None:
    """The day of a date, or of a time in Beijing."""
    at = moment(value)
    return at.astimezone(BEIJING).date() if at else day(value)
