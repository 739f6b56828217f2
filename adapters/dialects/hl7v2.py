"""HL7 v2 prescriptions (RDE^O11, OMP^O09): what such a message must keep, and the answers to it.

What a field means is a hospital's own matter (its `translation.py`); everything here holds for all of them.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, Protocol, runtime_checkable

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
    finding,
    parse,
    stamp,
    text,
    timestamp,
    write,
)
from adapters.messages import Message, Outcome, Reply, Verdict
from adapters.registry import HospitalManifest
from domain.errors import InvalidPayload, NeedsOperator, Transient
from domain.findings import Finding, Severity, Spot
from domain.lifecycle import Notice, Reported, Status, reported
from fhir_profiles.drafts import Datum
from fhir_profiles.message import KEY

RULES: Final = segments.RULES

VERSIONS: Final = ("2.5", "2.6", "2.7", "2.8")
"""From 2.5 on there are TQ1 and ERR-2 to ERR-8; 2.5.1 counts as 2.5."""
DETAIL: Final[Mapping[str, str]] = {"RDE^O11": "RXE", "OMP^O09": "RXO"}
"""Message type -> the segment that says what is ordered."""
ACKNOWLEDGED: Final[Mapping[str, str]] = {"RDE^O11": "RRE^O12^RRE_O12", "OMP^O09": "ORP^O10^ORP_O10"}

_DATA_TYPE: Final = ("102", "Data type error")
CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "structure": ("100", "Segment sequence error"), "required": ("101", "Required field missing"),
    "code-invalid": ("103", "Table value not found"),
    "conflict": ("205", "Duplicate key identifier"), "unknown": ("204", "Unknown key identifier"),
    **dict.fromkeys((
        "value", "business-rule", "invalid", "not-supported", "too-long", "extension", "duplicate", "security",
        "too-costly", "not-found", "invariant", "multiple-matches"), _DATA_TYPE),
}
"""Kind of a rule (OperationOutcome.issue.code) -> ERR-3, table 0357. 2xx rejects (AR), 1xx is an error (AE)."""
_OWN_CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "HL7_MESSAGE_TYPE": ("200", "Unsupported message type"), "HL7_VERSION": ("203", "Unsupported version id"),
    "HL7_PROCESSING": ("202", "Unsupported processing id"),
}
SEVERITIES: Final[Mapping[Severity, str]] = {
    Severity.BLOCK: "E", Severity.WARN: "W", Severity.SELFPAY: "I", Severity.INFO: "I"}
"""ERR-4, table 0516."""
CANCEL_CONTROLS: Final[Mapping[Reported, str]] = {Status.CANCELLED: "CR", Notice.CANCELLING: "OK", Notice.TOO_LATE: "UC"}
"""What a cancel is answered with -> ORC-1, table 0119."""
HTTP_STATUS: Final[Mapping[Outcome, int]] = {
    Outcome.ACCEPTED: 201, Outcome.WAITING: 202, Outcome.CONFLICT: 409, Outcome.REFUSED: 422}

MAX_ORDERS: Final = 100
"""In one message; a prescription of pieces has up to 40."""

_OF_THE_ORDER: Final = ("RXE", "RXO", "RXR", "RXC", "TQ1", "TQ2")
"""What stands there and is not read would change the prescription."""

LEFT_OUT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("MSH-3.2", "MSH-3.3", "MSH-4.2", "MSH-4.3"),
                    "Further parts of the sender's name; the first is compared with the port."),
    "MSH-7": "When the message was sent: kept in the archived message; ORC-9 is the time of the prescription.",
    "MSH-12": "2.5 to 2.8 are read alike; another version is refused.",
    "MSH-13": "A counter of the sender's line; MSH-10 is the key.",
    "MSH-15": "Every message is answered.",
    "MSH-16": "Every message is answered.",
    "MSH-17": "The country of the sender.",
    "MSH-19": "The language of the sender's screens.",
    "SFT": "The software that wrote the message.",
    "PID-1": "A counter.", "PV1-1": "A counter.", "IN1-1": "A counter.", "AL1-1": "A counter.", "IAM-1": "A counter.",
    "NK1-1": "A counter.", "DG1-1": "A counter.", "OBX-1": "A counter.", "NTE-1": "A counter.", "TQ1-1": "A counter.",
    "OBX-2": "The type of a value follows from what is observed (OBX-3).",
    "ORC-6": "Every message is answered.",
    "ORC-22": "The address of the institution; its code counts (ORC-21).",
    "ORC-23": "The phone of the institution.",
    "ORC-24": "The address of the prescriber.",
}
"""Places whose content is knowingly left out, and why. A field stands for all its parts, a component for that of the first
repetition. Content at any other place that is not read is a finding. A hospital's translation adds its own places.
"""
ABSENT: Final[Mapping[str, str]] = {
    "MSH-5": "Absent means us; another receiver is refused.",
    "MSH-6": "Absent means us; another receiver is refused.",
    "MSH-9.3": "The structure follows from the message type; another is refused.",
    "MSH-11.2": "Absent means current processing; any other mode is refused.",
    "MSH-18": "Absent means the character set agreed with the hospital; an untrue one is refused.",
}
"""Places that are read, and whose absence alone changes nothing, and why."""
LEFT_OUT_OF_CANCELS: Final[Mapping[str, str]] = dict.fromkeys(
    ("PID", "PV1", "IN1", "AL1", "IAM", "NK1", "DG1", "RXE", "RXO", "RXR", "TQ1", "OBX", "NTE", "ZRX", "ORC[*]", "ORC-12",
     "ORC-17", "ORC-21"),
    "A cancel takes back a whole prescription by its number; what was ordered stands in the prescription itself.")

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
    """A prescription or its cancel from this hospital, with what is wrong with it though it can be read.

    Raises `InvalidPayload` if it is neither, not theirs or not whole: then there is nothing to read.
    """
    message = parse(raw, ends.charset)
    message.findings.extend(_header_findings(message, ends, DETAIL))
    hopeless = [it for it in message.findings if it.code in _HOPELESS]
    if len(message.orders) > MAX_ORDERS:
        hopeless.append(finding("HL7_TOO_LARGE", message.orders[MAX_ORDERS].first("ORC").spot()))
    elif not any(cancels(message) or order.all(DETAIL.get(message.type, "")) for order in message.orders):
        orders = [order.first("ORC").spot() for order in message.orders]
        hopeless += [finding("HL7_NO_DETAIL", spot) for spot in orders] or [finding("HL7_NO_ORDER", Spot("ORC"))]
    if hopeless:
        only = [it for it in hopeless if it.code in ("HL7_MESSAGE_TYPE", "HL7_SENDER")]
        raise InvalidPayload(in_order(only or [*message.findings, *hopeless]))
    message.findings.extend(islice(_order_findings(message), MAX_FINDINGS))
    return message


@runtime_checkable
class Speaker(Protocol):
    """A hospital that speaks HL7 v2 over MLLP: its adapter knows both ends of the line."""

    ends: Ends


def status_question(raw: bytes, ends: Ends) -> Parsed | None:
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
    return message.first("ORC").datum(1).value == "CA"


def key(message: Parsed) -> str | None:
    """MSH-10, if it can be used as a key."""
    control = message.first("MSH").datum(10).value
    return control if KEY.fullmatch(control) else None


def context(message: Parsed) -> dict[str, str]:
    """What `acknowledge` must know of the message it answers."""
    header = message.first("MSH")
    return {"control": header.datum(10).value, "version": header.datum(12).value, "type": message.type,
            "charset": {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}.get(message.charset, ""),
            "number": message.first("ORC").datum(4).value, "order": message.first("ORC").datum(1).value}


def passed_over(message: Parsed, left_out: Mapping[str, str]) -> Iterator[Finding]:
    """Findings for every part that is filled in, was not read, and is not left out knowingly."""
    for segment in message.segments:
        for number, unread in () if segment.name in left_out else segment.unread():
            field = f"{segment.name}-{number}"
            # Of a field that is read in part, only the listed components are left out. A second repetition is another
            # statement, so its components are not left out.
            parts = [] if field in left_out and not segment.reads(number) else [
                it for it in unread
                if it[0] > 1 or not {f"{field}.{it[1]}", f"{field}.{it[1]}.{it[2]}"} & left_out.keys()]
            if not parts:
                continue
            code = "HL7_NOT_SUPPORTED" if segment.name in _OF_THE_ORDER or field == "ORC-7" else "HL7_NOT_READ"
            if not segment.reads():
                yield finding(code, segment.spot())
                break
            if not segment.reads(number):
                yield finding(code, segment.spot(number))
                continue
            repetitions = sorted({part[0] for part in parts})
            for repetition in repetitions:
                if segment.reads(number, repetition):
                    yield from (finding(code, segment.seen(number, part).spot) for part in parts if part[0] == repetition)
                else:
                    yield finding(code, segment.spot(number, repetition))


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each once, as they stand in the message, and no more than an answer takes."""
    def place(finding: Finding) -> tuple[int, int]:
        return (finding.spot.line, finding.spot.column) if finding.spot else (0, 0)

    return tuple(sorted(dict.fromkeys(findings), key=place)[:MAX_FINDINGS])


_HOPELESS = ("HL7_MESSAGE_TYPE", "HL7_SENDER", "HL7_FRAGMENT")


def _header_findings(message: Parsed, ends: Ends, types: Container[str]) -> Iterator[Finding]:
    header = message.first("MSH")
    structure = header.datum(9, 3)
    if message.type not in types:
        yield finding("HL7_MESSAGE_TYPE", header.datum(9).spot)
    elif structure.value not in ("", message.type.replace("^", "_")):
        yield finding("HL7_CONTRADICTION", structure.spot)
    header.datum(18)  # the bytes were read by it; a second one is another statement
    if not header.datum(12).value.startswith(VERSIONS):
        yield finding("HL7_VERSION", header.datum(12).spot)
    for component, expected in ((1, ("P",)), (2, ("", "T"))):
        if header.datum(11, component).value not in expected:
            yield finding("HL7_PROCESSING", header.datum(11, component).spot)
    for number, name in ((3, ends.application), (4, ends.facility)):
        if header.datum(number).value != name:
            yield finding("HL7_SENDER", header.datum(number).spot)
    for number, name in ((5, ends.own_application), (6, ends.own_facility)):
        if header.datum(number).value not in ("", name):
            yield finding("HL7_RECEIVER", header.datum(number).spot)
    for continued in (header.datum(14), *(it.datum(1) for it in message.all("DSC"))):
        if continued.value:
            yield finding("HL7_FRAGMENT", continued.spot)


def _order_findings(message: Parsed) -> Iterator[Finding]:
    for name in ("PID", "PV1", "IN1", "ZRX"):
        yield from _repeated(message.all(name)[1:])
    first = message.orders[0].first("ORC")
    taken_back = cancels(message)
    numbers: set[str] = set()
    for order in message.orders:
        control = order.first("ORC")
        kind, number, status = control.datum(1), control.datum(2), control.datum(5)
        if kind.value not in ("NW", "CA") or kind.value != first.datum(1).value:
            yield finding("HL7_ORDER_CONTROL", kind.spot)
        if number.value in numbers:
            yield finding("HL7_REPEATED", number.spot)
        numbers |= {number.value} - {""}
        if status.value not in (("", "CA") if taken_back else ("", "IP", "SC")):
            yield finding("HL7_ORDER_STATUS", status.spot)
        if control is not first:
            yield from _disagreeing(first, control)
        if not taken_back:
            yield from _detail_findings(order, DETAIL[message.type])


def _repeated(extra: Sequence[Segment]) -> Iterator[Finding]:
    for segment in extra:
        segment.leave_out()
        yield finding("HL7_REPEATED", segment.spot())


def _disagreeing(first: Segment, control: Segment) -> Iterator[Finding]:
    """Where a further ORC says something else than the first one of the same prescription; only the first is read."""
    for number in sorted({*first.filled, *control.filled} - {1, 2, 5}):
        control.leave_out(number)
        ours, theirs = first.filled.get(number, {}), control.filled.get(number, {})
        if ours != theirs:
            yield from (finding("HL7_ORDERS_DISAGREE", control.seen(number, part).spot)
                        for part in sorted({*ours, *theirs}) if ours.get(part) != theirs.get(part))


def _detail_findings(order: Group, detail: str) -> Iterator[Finding]:
    if not order.all(detail):
        for segment in order.segments[1:]:
            segment.leave_out()
        yield finding("HL7_NO_DETAIL", order.first("ORC").spot())
        return
    as_asked, encoded = before(order, detail), after(order, detail)
    for group in (as_asked, encoded):
        for name in ("RXO", "RXE", "TQ1", "RXR"):
            yield from _repeated(group.all(name)[1:])
    segment, (least, most, refills) = order.first(detail), ((3, 4, 12) if detail == "RXE" else (2, 3, 13))
    timing, control = encoded.first("TQ1"), order.first("ORC")
    # Nothing but what a prescription without them means too.
    for datum, same in (
        (segment.datum(most), ("", segment.datum(least).value)), (segment.datum(refills), ("", "0")),
        (timing.datum(2), ("", "1")), (timing.datum(9), ("", "R")), (timing.datum(9, 2), ("", "Routine", "常规")),
        (timing.datum(9, 3), ("", "HL70485")),
    ):
        if datum.value not in same:
            yield finding("HL7_NOT_SUPPORTED", datum.spot)
    if _later_than(timing.datum(7), control.datum(9)):
        yield finding("HL7_NOT_SUPPORTED", timing.datum(7).spot)
    for name, pairs in _ASKED_AND_ENCODED.items():
        for early in as_asked.all(name)[:1]:
            yield from _asked_otherwise(early, encoded.first("RXE" if name == "RXO" else name), pairs)


def _later_than(begin: Datum, issued: Datum) -> bool:
    """Whether a course begins on another day than that of issue, later on that day, or at no time at all."""
    if not begin.value or begin.value == issued.value[:8]:
        return False
    first, then = (_instant(it) for it in (begin, issued))
    # A time of issue that is none is said of itself.
    return first is None or begin.value[:8] != issued.value[:8] or (then is not None and first > then)


def _instant(datum: Datum) -> datetime | None:
    try:
        return datetime.fromisoformat(timestamp(datum).value)
    except ValueError:
        return None


_ASKED_AND_ENCODED: Final[Mapping[str, Mapping[int, int]]] = {
    "RXO": {1: 2, 2: 3, 3: 4, 4: 5, 6: 21, 7: 7, 11: 10, 12: 11, 13: 12, 18: 25, 19: 26, 20: 27, 24: 31},
    "TQ1": {2: 2, 3: 3, 6: 6, 7: 7, 9: 9}, "RXR": {1: 1},
}
"""Segment of the order as first asked for -> its fields, and those of the encoded order that must say the same."""


_ASKED_FOR: Final[Mapping[str, tuple[int, ...]]] = {"RXO": (1, 2, 4), "TQ1": (3,), "RXR": (1,)}
"""Fields that an order as first asked for must say: what drug, how much of it, how often and by which route."""


def _asked_otherwise(early: Segment, late: Segment, pairs: Mapping[int, int]) -> Iterator[Finding]:
    """Fields of the order as asked for that the encoded order does not repeat, or that only the encoded order has."""
    for number, other in pairs.items():
        filled = early.filled.get(number, {})
        for part in {*filled, *([(1, 1, 1)] if number in _ASKED_FOR[early.name] else [])}:
            datum = early.datum(number, part[1], part[2], part[0])
            if late.seen(other, part).value != datum.value:
                yield finding("HL7_CONTRADICTION", datum.spot)


def before(order: Group, detail: str) -> Group:
    """The order as first asked for: in RDE^O11 an RXO with its own timing and route may stand before RXE."""
    behind = {id(it) for it in after(order, detail).segments}
    return Group([it for it in order.segments[1:] if id(it) not in behind])


def after(order: Group, detail: str) -> Group:
    """What belongs to the drug segment. TQ1 stands before RXO and after RXE, so one before counts if there is none after."""
    at = next(index for index, it in enumerate(order.segments) if it.name == detail)
    behind = order.segments[at:]
    timed = any(it.name == "TQ1" for it in behind)
    return Group(behind if timed else [*(it for it in order.segments[:at] if it.name == "TQ1"), *behind])


# Out.

def acknowledge(ends: Ends, message: Message | None, verdict: Verdict) -> Reply:
    """RRE^O12 or ORP^O10 with AA, AE or AR, an ERR for each finding and an ORC that says where the order is.

    ACK with an empty MSA-2 for what could not be read: `addressed` fills it in.
    """
    about = message.context if message else {}
    locate: Callable[[str], Spot | None] = message.locate if message else lambda _: None
    errors = [_error(finding, finding.spot or locate(finding.path)) for finding in verdict.findings[:MAX_FINDINGS]]
    errors += [write("ERR", {2: _location(it.spot), 3: compose("103", "Table value not found", "HL70357"), 4: "W",
                             5: compose("UNMAPPED", it.table, "SANYI"), 7: text("no code of ours is mapped to it yet"),
                             8: text("该编码尚未对照，待人工处理")}) for it in verdict.unmapped]
    taken = verdict.outcome in (Outcome.ACCEPTED, Outcome.WAITING)
    rejected = any(_condition(finding)[0].startswith("2") for finding in verdict.findings)
    code = "AA" if taken else "AR" if rejected else "AE"
    event = ACKNOWLEDGED.get(about.get("type", ""), "ACK^O11^ACK" if about else "ACK")
    order = [write("ORC", {
        1: _order_control(about, verdict, taken), 3: compose(verdict.prescription_id, "SANYI") if taken else "",
        4: compose(verdict.external_id or about.get("number", "")),
        25: compose(_status(verdict), "", "SANYI") if taken else ""})]
    lines = [
        header(ends, event, digest(verdict.hospital, about.get("control", ""), verdict.outcome, verdict.at.isoformat()),
               verdict.at, about.get("charset") or ends.charset, about.get("version") or "2.5.1"),
        write("MSA", {1: code, 2: text(about.get("control", ""))}), *errors,
        *(order if event.startswith(("RRE", "ORP")) else []),
    ]
    return Reply(encode(lines, about.get("charset") or ends.charset), HTTP_STATUS[verdict.outcome], "application/hl7-v2")


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
    about = context(question)
    charset = about["charset"] or ends.charset
    lines = [header(ends, "ORR^O02^ORR_O02", digest(ends.facility, about["control"], at.isoformat()), at, charset),
             write("MSA", {1: "AA" if prescription_id else "AE", 2: text(about["control"])})]
    if prescription_id:
        # ORR^O02 has a detail segment after ORC; all of RXO is optional, and nothing of it was asked for.
        lines += [write("ORC", {1: "SR", 3: compose(prescription_id, "SANYI"), 4: compose(about["number"]),
                                25: compose(status, "", "SANYI")}), "RXO|"]
    else:
        lines.append(write("ERR", {2: _location(question.first("ORC").datum(4).spot), 3: compose(*CONDITIONS["unknown"], "HL70357"),
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
    code_said, condition = message.first("MSA").datum(1), message.first("ERR").datum(3).value
    if message.first("MSA").datum(2).value != control:
        raise InvalidPayload([finding("HL7_ANSWER", message.first("MSA").datum(2).spot)])
    if code_said.value in ("AR", "CR") and condition == "207":
        raise Transient(f"{partner}: cannot take {control} now", code="207")
    if code_said.value not in ("AA", "CA"):
        code = code_said.value if code_said.value in ("AE", "CE", "AR", "CR") else "no_msa"
        raise NeedsOperator(f"{partner}: {code} to {control}; check versions and its log", code=code)


def header(ends: Ends, event: str, control: str, at: datetime, charset: str, version: str = "2.5.1") -> str:
    """The MSH segment of a message of ours. `event` is MSH-9 as it stands in the message."""
    return write("MSH", {
        2: "^~\\&", 3: text(ends.own_application), 4: text(ends.own_facility), 5: text(ends.application),
        6: text(ends.facility), 7: stamp(at), 9: event, 10: control, 11: "P", 12: text(version), 18: charset})


def _order_control(about: Mapping[str, str], verdict: Verdict, taken: bool) -> str:
    """ORC-1, table 0119."""
    if about.get("order") != "CA":
        return "OK" if taken else "UA"
    if verdict.outcome is Outcome.ACCEPTED:
        return CANCEL_CONTROLS[reported(verdict.status)]
    return "OK" if verdict.outcome is Outcome.WAITING else "UC"


def _status(verdict: Verdict) -> str:
    return verdict.status if verdict.outcome is Outcome.ACCEPTED else str(verdict.outcome)


def _condition(finding: Finding) -> tuple[str, str]:
    if finding.code in _OWN_CONDITIONS:
        return _OWN_CONDITIONS[finding.code]
    rule = BY_CODE.get(finding.code)
    return CONDITIONS[rule.issue] if rule else _DATA_TYPE


def _error(finding: Finding, spot: Spot | None) -> str:
    where = f"byte {spot.offset}, segment {spot.line}, column {spot.column}" if spot and spot.offset >= 0 else ""
    english = "; ".join(part for part in (
        finding.text_en, finding.cure_en, f"{finding.rule}, {finding.source}" if finding.source else finding.rule,
        finding.path if not spot or spot.name != finding.path else "", where) if part)
    return write("ERR", {
        2: _location(spot), 3: compose(*_condition(finding), "HL70357"), 4: SEVERITIES[finding.severity],
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
