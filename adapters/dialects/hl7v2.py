"""HL7 v2 prescriptions (RDE^O11, OMP^O09): what such a message must keep, and the answers to it.

What a field means is a hospital's own matter (its `translation.py`); everything here holds for all of them.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.dialects import hl7v2_segments as segments
from adapters.dialects.hl7v2_segments import (
    BY_CODE,
    CHARSETS,
    MAX_FINDINGS,
    Group,
    Parsed,
    Segment,
    compose,
    digest,
    encode,
    found,
    parse,
    stamp,
    text,
    write,
)
from adapters.messages import Message, Outcome, Reply, Verdict
from adapters.registry import HospitalManifest
from domain.errors import InvalidPayload, NeedsOperator, Transient
from domain.findings import Finding, Severity, Spot
from fhir_profiles.message import KEY

RULES: Final = segments.RULES

VERSIONS: Final = ("2.5", "2.6", "2.7", "2.8")
"""From 2.5 on there are TQ1 and ERR-2 to ERR-8; 2.5.1 counts as 2.5."""
DETAIL: Final[Mapping[str, str]] = {"RDE^O11": "RXE", "OMP^O09": "RXO"}
"""Message type -> the segment that says what is ordered."""
ACKNOWLEDGED: Final[Mapping[str, str]] = {"RDE^O11": "RRE^O12^RRE_O12", "OMP^O09": "ORP^O10^ORP_O10"}

_CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "structure": ("100", "Segment sequence error"), "required": ("101", "Required field missing"),
    "code-invalid": ("103", "Table value not found"), "value": ("102", "Data type error"),
    "conflict": ("205", "Duplicate key identifier"), "unknown": ("204", "Unknown key identifier"),
}
"""Kind of a rule (OperationOutcome.issue.code) -> ERR-3, table 0357. 2xx rejects (AR), 1xx is an error (AE)."""
_OWN_CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "HL7_MESSAGE_TYPE": ("200", "Unsupported message type"), "HL7_VERSION": ("203", "Unsupported version id"),
    "HL7_PROCESSING": ("202", "Unsupported processing id"),
}
_SEVERITIES: Final[Mapping[Severity, str]] = {Severity.BLOCK: "E", Severity.WARN: "W"}
_STATUS: Final[Mapping[Outcome, int]] = {
    Outcome.ACCEPTED: 201, Outcome.WAITING: 202, Outcome.CONFLICT: 409, Outcome.REFUSED: 422}

_ONCE: Final[Mapping[str, tuple[int, ...]]] = {
    "RXE": (2, 3, 5, 7, 10, 11), "RXO": (1, 2, 4, 7, 11, 12), "TQ1": (3, 6), "RXR": (1,)}
"""Fields of which a second repetition would be another prescription."""

_QUESTION = re.compile(rb"[\r\n]ORC.SS")
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?")
@dataclass(frozen=True)
class Ends:
    """Who talks to whom, from a hospital's manifest."""

    application: str
    """MSH-3 of the hospital."""
    facility: str
    """MSH-4 of the hospital."""
    charset: str
    """MSH-18 where a message says none, and of what we send unasked."""
    own_application: str = "SANYI"
    own_facility: str = "SANYI"

    @classmethod
    def of(cls, manifest: HospitalManifest) -> "Ends":
        """Raises `NeedsOperator` naming the fact that is missing."""
        facts = manifest.facts
        for name in ("sending_application", "sending_facility", "charset"):
            if not facts.get(name):
                raise NeedsOperator(f"hospitals/{manifest.slug}/manifest.toml: facts.{name}: is missing; add it")
        if CHARSETS.get(facts["charset"], "ascii") == "ascii":
            raise NeedsOperator(f"hospitals/{manifest.slug}/manifest.toml: facts.charset: UNICODE UTF-8 or GB 18030-2000")
        return cls(facts["sending_application"], facts["sending_facility"], facts["charset"])


# In.

def read(raw: bytes, ends: Ends) -> Parsed:
    """A prescription or its cancel from this hospital. Raises `InvalidPayload` with every finding if it is neither."""
    message = parse(raw, ends.charset)
    if findings := [*_header_findings(message, ends, DETAIL), *_order_findings(message)]:
        raise InvalidPayload(findings[:MAX_FINDINGS])
    return message


def asked(raw: bytes, ends: Ends) -> Parsed | None:
    """The question where a prescription (ORC-4) is: ORM^O01 with SS in ORC-1; None for any other message.

    Raises `InvalidPayload` for one that is not from this hospital.
    """
    if not _QUESTION.search(raw):
        return None
    message = parse(raw, ends.charset)
    if message.type != "ORM^O01":
        return None
    if findings := list(_header_findings(message, ends, ("ORM^O01",))):
        raise InvalidPayload(findings)
    return message


def cancels(message: Parsed) -> bool:
    """Whether a message `read` takes back what it names."""
    return message.one("ORC").said(1).value == "CA"


def key(message: Parsed) -> str | None:
    """MSH-10, if it can be used as a key."""
    control = message.one("MSH").said(10).value
    return control if KEY.fullmatch(control) else None


def context(message: Parsed) -> dict[str, str]:
    """What `acknowledge` must know of the message it answers."""
    header = message.one("MSH")
    return {"control": header.said(10).value, "version": header.said(12).value, "type": message.type,
            "charset": {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}.get(message.charset, ""),
            "number": message.one("ORC").said(4).value, "order": message.one("ORC").said(1).value}


def _header_findings(message: Parsed, ends: Ends, types: Container[str]) -> Iterator[Finding]:
    header = message.one("MSH")
    if message.type not in types:
        yield found("HL7_MESSAGE_TYPE", header.said(9).spot)
    if not header.said(12).value.startswith(VERSIONS):
        yield found("HL7_VERSION", header.said(12).spot)
    if header.said(11).value != "P":
        yield found("HL7_PROCESSING", header.said(11).spot)
    for number, expected in ((3, ends.application), (4, ends.facility)):
        if header.said(number).value != expected:
            yield found("HL7_SENDER", header.said(number).spot)


def _order_findings(message: Parsed) -> Iterator[Finding]:
    for name in ("PID", "PV1", "IN1", "ZRX"):
        for extra in message.all(name)[1:]:
            yield found("HL7_REPEATED", extra.spot())
    if not message.orders:
        yield found("HL7_NO_ORDER", Spot("ORC"))
        return
    detail, first = DETAIL.get(message.type, "RXE"), message.orders[0].one("ORC")
    for order in message.orders:
        control = order.one("ORC")
        if control.said(1).value not in ("NW", "CA") or control.said(1).value != first.said(1).value:
            yield found("HL7_ORDER_CONTROL", control.said(1).spot)
        for number, component in ((4, 1), (9, 1), (12, 1), (16, 1), (21, 10)):
            if control.said(number, component).value != first.said(number, component).value:
                yield found("HL7_ORDERS_DISAGREE", control.said(number, component).spot)
        if not cancels(message):
            yield from _detail_findings(order, detail)


def _detail_findings(order: Group, detail: str) -> Iterator[Finding]:
    if not order.all(detail):
        yield found("HL7_NO_DETAIL", order.one("ORC").spot())
        return
    encoded = after(order, detail)
    for name in (detail, "TQ1", "RXR"):
        for extra in (order if name == detail else encoded).all(name)[1:]:
            yield found("HL7_REPEATED", extra.spot())
    for unsupported in (*order.all("RXC"), *order.all("TQ2")):
        yield found("HL7_NOT_SUPPORTED", unsupported.spot())
    segment, (least, most, refills) = order.one(detail), ((3, 4, 12) if detail == "RXE" else (2, 3, 13))
    if segment.said(most).value not in ("", segment.said(least).value):
        yield found("HL7_NOT_SUPPORTED", segment.said(most).spot)
    if segment.said(refills).value not in ("", "0"):
        yield found("HL7_NOT_SUPPORTED", segment.said(refills).spot)
    for name, numbers in _ONCE.items():
        for number in numbers if name in (detail, "TQ1", "RXR") else ():
            if len(encoded.one(name).repetitions(number)) > 1:
                yield found("HL7_NOT_SUPPORTED", encoded.one(name).said(number).spot)
    yield from _timing_findings(order.one("ORC"), order.one("RXE"), encoded.one("TQ1"))


def _timing_findings(control: Segment, encoded: Segment, timing: Segment) -> Iterator[Finding]:
    """Whatever changes when a drug is taken, beyond one frequency and a number of days, which is all a draft can say."""
    # What TQ1 replaced in 2.5 may say more than TQ1 does.
    unsaid = [segment.said(number) for segment, number in ((control, 7), (encoded, 1)) if segment.parts(number)]
    unsaid += [timing.said(number) for number in (4, 5, 8, 10, 11, 12, 13, 14) if timing.parts(number)]
    if timing.parts(2) not in ([], [["1"]]):
        unsaid.append(timing.said(2))
    # Behind the code of the pattern stand its phases, its hours and the event it hangs on.
    unsaid += [said for number in range(2, 12) if (said := timing.said(3, number)).value][:1]
    if timing.said(7).value[:8] not in ("", control.said(9).value[:8]):
        unsaid.append(timing.said(7))
    if any(priority[0].strip() != "R" for priority in timing.parts(9)):
        unsaid.append(timing.said(9))
    for said in unsaid:
        yield found("HL7_NOT_SUPPORTED", said.spot)


def after(order: Group, detail: str) -> Group:
    """What belongs to the drug segment: in RDE^O11 an RXO with a timing of its own may come before, as first asked for.

    TQ1 stands before RXO and after RXE, so a timing before counts where there is none after.
    """
    at = next(index for index, it in enumerate(order.segments) if it.name == detail)
    behind = order.segments[at:]
    timed = any(it.name == "TQ1" for it in behind)
    return Group(behind if timed else [*(it for it in order.segments[:at] if it.name == "TQ1"), *behind])


# Out.

def acknowledge(ends: Ends, message: Message | None, verdict: Verdict) -> Reply:
    """RRE^O12 or ORP^O10 with AA, AE or AR, an ERR for each finding and an ORC that says where the order is.

    ACK with an empty MSA-2 for what could not be read: `addressed` fills it in.
    """
    given = message.context if message else {}
    locate: Callable[[str], Spot | None] = message.locate if message else lambda _: None
    errors = [_error(finding, finding.spot or locate(finding.path)) for finding in verdict.findings[:MAX_FINDINGS]]
    errors += [write("ERR", {2: _location(it.spot), 3: compose("103", "Table value not found", "HL70357"), 4: "W",
                             5: compose("UNMAPPED", it.table, "SANYI"), 7: text("no code of ours is mapped to it yet"),
                             8: text("该编码尚未对照，待人工处理")}) for it in verdict.unmapped]
    taken = verdict.outcome in (Outcome.ACCEPTED, Outcome.WAITING)
    rejected = any(_condition(finding)[0].startswith("2") for finding in verdict.findings)
    code = "AA" if taken else "AR" if rejected else "AE"
    event = ACKNOWLEDGED.get(given.get("type", ""), "ACK^O11^ACK" if given else "ACK")
    order = [write("ORC", {
        1: _order_control(given, verdict, taken), 3: compose(verdict.prescription_id, "SANYI") if taken else "",
        4: compose(verdict.external_id or given.get("number", "")),
        25: compose(_status(verdict), "", "SANYI") if taken else ""})]
    lines = [
        header(ends, event, digest(verdict.hospital, given.get("control", ""), verdict.outcome, verdict.at.isoformat()),
               verdict.at, given.get("charset") or ends.charset, given.get("version") or "2.5.1"),
        write("MSA", {1: code, 2: text(given.get("control", ""))}), *errors,
        *(order if event.startswith(("RRE", "ORP")) else []),
    ]
    return Reply(encode(lines, given.get("charset") or ends.charset), _STATUS[verdict.outcome], "application/hl7-v2")


def addressed(answer: bytes, raw: bytes) -> bytes:
    """The answer to what could not be read, with the MSH-10 that it seems to have, so that its sender knows it."""
    head = raw[:4096].lstrip(b"\xef\xbb\xbf").split(b"\r", 1)[0].split(b"\n", 1)[0]
    for codec in ("utf-8", "gb18030"):
        try:
            fields = head.decode(codec).split(head[3:4].decode("ascii") or "|")
        except UnicodeDecodeError:
            continue
        control = fields[9] if len(fields) > 9 and head.startswith(b"MSH") else ""
        if re.fullmatch(r"[A-Za-z0-9._ -]{1,199}", control):
            for code in (b"AA", b"AE", b"AR"):
                answer = answer.replace(b"\rMSA|%b\r" % code, b"\rMSA|%b|%b\r" % (code, control.encode()), 1)
            break
    return answer


def located(ends: Ends, question: Parsed, prescription_id: str, status: str, at: datetime) -> bytes:
    """ORR^O02 to what `asked` read: SR with our number and status, or AE if we have no such prescription."""
    given = context(question)
    charset = given["charset"] or ends.charset
    lines = [header(ends, "ORR^O02^ORR_O02", digest(ends.facility, given["control"], at.isoformat()), at, charset),
             write("MSA", {1: "AA" if prescription_id else "AE", 2: text(given["control"])})]
    if prescription_id:
        # ORR^O02 has a detail segment after ORC; all of RXO is optional, and nothing of it was asked for.
        lines += [write("ORC", {1: "SR", 3: compose(prescription_id, "SANYI"), 4: compose(given["number"]),
                                25: compose(status, "", "SANYI")}), "RXO|"]
    else:
        lines.append(write("ERR", {2: _location(question.one("ORC").said(4).spot), 3: compose(*_CONDITIONS["unknown"], "HL70357"),
                                   4: "E", 7: text("no such prescription"), 8: text("没有收到过该处方")}))
    return encode(lines, charset)


def unable(ends: Ends, raw: bytes, at: datetime) -> bytes:
    """AR with 207: we could not do our part; nothing was kept, and the same message may be sent again later."""
    lines = [header(ends, "ACK", digest(ends.facility, at.isoformat()), at, ends.charset, "2.5.1"),
             write("MSA", {1: "AR"}),
             write("ERR", {3: compose("207", "Application internal error", "HL70357"), 4: "E",
                           7: text("not kept; send the same message again later"), 8: text("未能处理，请稍后原样重发")})]
    return addressed(encode(lines, ends.charset), raw)


def taken(ends: Ends, partner: str, control: str, answer: bytes) -> None:
    """Make sure that the answer to a message of ours (MSH-10 `control`) is AA or CA.

    Raises `Transient` if they could not do it now (207), `NeedsOperator` if they refuse it, and `InvalidPayload` for
    what is no answer to it.
    """
    message = parse(answer, ends.charset)
    said, condition = message.one("MSA").said(1), message.one("ERR").said(3).value
    if message.one("MSA").said(2).value != control:
        raise InvalidPayload([found("HL7_ANSWER", message.one("MSA").said(2).spot)])
    if said.value in ("AR", "CR") and condition == "207":
        raise Transient(f"{partner}: cannot take {control} now", code="207")
    if said.value not in ("AA", "CA"):
        code = said.value if said.value in ("AE", "CE", "AR", "CR") else "no_msa"
        raise NeedsOperator(f"{partner}: {code} to {control}; check versions and its log", code=code)


def header(ends: Ends, event: str, control: str, at: datetime, charset: str, version: str = "2.5.1") -> str:
    """The MSH segment of a message of ours. `event` is MSH-9 as it stands in the message."""
    return write("MSH", {
        2: "^~\\&", 3: text(ends.own_application), 4: text(ends.own_facility), 5: text(ends.application),
        6: text(ends.facility), 7: stamp(at), 9: event, 10: control, 11: "P", 12: text(version), 18: charset})


def _order_control(given: Mapping[str, str], verdict: Verdict, taken: bool) -> str:
    """ORC-1, table 0119."""
    if given.get("order") != "CA":
        return "OK" if taken else "UA"
    return {"cancelled": "CR", "cancelling": "OK"}.get(verdict.status, "OK" if verdict.outcome is Outcome.WAITING else "UC")


def _status(verdict: Verdict) -> str:
    return verdict.status if verdict.outcome is Outcome.ACCEPTED else str(verdict.outcome)


def _condition(finding: Finding) -> tuple[str, str]:
    if finding.code in _OWN_CONDITIONS:
        return _OWN_CONDITIONS[finding.code]
    rule = BY_CODE.get(finding.code)
    return _CONDITIONS.get(rule.issue if rule else "", ("102", "Data type error"))


def _error(finding: Finding, spot: Spot | None) -> str:
    where = f"byte {spot.offset}, segment {spot.line}, column {spot.column}" if spot and spot.offset >= 0 else ""
    english = "; ".join(part for part in (
        finding.text_en, finding.cure_en, f"{finding.rule}, {finding.source}" if finding.source else finding.rule,
        finding.path if not spot or spot.name != finding.path else "", where) if part)
    return write("ERR", {
        2: _location(spot), 3: compose(*_condition(finding), "HL70357"), 4: _SEVERITIES.get(finding.severity, "I"),
        5: compose(finding.code, finding.rule, "SANYI"), 7: text(english),
        8: text("；".join(part for part in (finding.text, finding.cure) if part))})


def _location(spot: Spot | None) -> str:
    """ERR-2: segment, which one, field, repetition, component, subcomponent."""
    match = _PLACE.fullmatch(spot.name) if spot else None
    if not match:
        return ""
    name, occurrence, number, repetition, component, sub = match.groups()
    inside = (number, repetition or "1", component or "", sub or "") if number else ()
    return compose(name, occurrence or "1", *inside)
