"""FHIR R4 as we publish it, in JSON or XML: both become the same JSON, and answers go out in what the message came in.

A refused message whose faults are mechanical has a patched twin (`patched`), in the format it was sent in.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any

from lxml import etree

from adapters import xml
from adapters.mapping import CodeMap
from adapters.messages import Message, Outcome, Reply, Unmapped, Verdict
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from fhir_profiles import answers, closed, codes, reports
from fhir_profiles.catalogue import RULES
from fhir_profiles.elements import EXTENSIBLE, Element, elements, resource_elements
from fhir_profiles.message import (
    KEY,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    MAX_NUMBER,
    MAX_PRESCRIPTION,
    Json,
    Report,
    fhirpath,
    member,
    members,
    parse,
    text,
)
from fhir_profiles.patches import cures, encodings, search
from fhir_profiles.positions import Place, find, json_positions

FHIR = "http://hl7.org/fhir"
JSON_MEDIA = "application/fhir+json"
XML_MEDIA = "application/fhir+xml"

MAX_ODD = 50
"""Findings about the XML itself; the checker's come to them."""
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_START = Spot("", 1, 1, 0)
_XML_START = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
LEFT_OUT = closed.LEFT_OUT
"""What is knowingly left out: path pattern -> why. Everything else that is filled in is read or refused."""
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")

# Where the codes of our tables stand in an item, and the system they are in.
_ITEM_CODES = (
    ("drug", ("medicationCodeableConcept",), codes.code_system("drug")),
    ("route", ("dosageInstruction", "route"), codes.code_system("route")),
    ("frequency", ("dosageInstruction", "timing", "code"), codes.code_system("frequency")),
)
_ITEM_UNITS = (("dosageInstruction", "doseAndRate", "doseQuantity"), ("dispenseRequest", "quantity"))


@dataclass(frozen=True)
class FhirMessage(Message):
    """A message with its bytes: they may be sent back put right."""

    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Patched:
    """A refused message put right where that is mechanical; it passes now."""

    body: bytes = field(repr=False)
    media: str
    changes: Sequence[cures.Change]


def to_fhir(raw: bytes, codes: CodeMap | None = None) -> Message:
    """The message in the bytes. Raises `InvalidPayload` with every finding, and its spot, for bytes that are none."""
    try:
        message = _from_xml(raw) if _XML_START.match(raw) else _from_json(raw)
    except InvalidPayload as invalid:
        if not _XML_START.match(raw):
            raise
        raise InvalidPayload([replace(finding, spot=replace(finding.spot or _START, name=(finding.spot or _START).name or "/"))
                              for finding in invalid.findings]) from None
    return _mapped(message, codes) if codes and codes.tables else message


def answer(message: Message | None, verdict: Verdict) -> Reply:
    """A Task for what was taken, an OperationOutcome for what was not (contract 1), in the format it came in."""
    status, body = _answer(message, verdict)
    # Of what could not be read only the places of its findings are left: those in XML are XPaths.
    in_xml = (message.context.get("format") == "xml" if message
              else any(finding.spot and finding.spot.name.startswith("/") for finding in verdict.findings))
    return Reply(to_xml(json.loads(body)), status, XML_MEDIA) if in_xml else Reply(body, status, JSON_MEDIA)


def report(hospital: str, body: bytes) -> bytes:
    """A report in our words as the Bundle of contract 1.3."""
    return reports.report(hospital, json.loads(body))


def patched(raw: bytes, hospital: str) -> Patched | None:
    """The message with mechanical faults put right, in its own format; None unless it passes the checker then.

    It has a new key (`search.with_new_key`). Messages larger than prescriptions are not searched.
    """
    if len(raw) > encodings.MAX_RAW:
        return None
    in_xml = bool(_XML_START.match(raw))
    body, changes = encodings.bytes_put_right(raw)
    try:
        message = to_fhir(body)
    except InvalidPayload:
        return None
    if message.findings:
        return None
    resource, more = search.put_right(message.resource, hospital)
    if resource is None or not (changes or more):
        return None
    if more:
        more += [change for change in (search.with_new_key(resource),) if change]
        body = to_xml(resource) if in_xml else encodings.written(resource)
    return Patched(body, XML_MEDIA if in_xml else JSON_MEDIA, (*changes, *more))


def message_key(data: Json) -> str | None:
    """Bundle.identifier.value or Task.identifier[0].value, if it can be used as a key."""
    key = member(data, "identifier", "value")
    return key if isinstance(key, str) and KEY.fullmatch(key) else None


def _answer(message: Message | None, verdict: Verdict) -> tuple[int, bytes]:
    match verdict.outcome:
        case Outcome.ACCEPTED if message is not None and message.kind == "Task":
            return 201, answers.cancel_answer(
                verdict.prescription_id, verdict.external_id, verdict.hospital, verdict.status)
        case Outcome.ACCEPTED:
            return 201, answers.accepted(verdict.prescription_id, verdict.external_id, verdict.hospital, verdict.status)
        case Outcome.CONFLICT:
            return 409, answers.conflict([finding.path for finding in verdict.findings])
        case Outcome.WAITING:
            return 202, answers.operation_outcome([])
    codes = {finding.code for finding in verdict.findings}
    status = 413 if "MSG_TOO_LARGE" in codes else 400 if codes & {"MSG_NOT_JSON", "MSG_NOT_XML"} else 422
    offer, changes = "", list[cures.Change]()
    # A write transaction is open: no search in what is wrong in too many places.
    if isinstance(message, FhirMessage) and len(verdict.findings) <= search.MAX_FAULTS and (
            twin := patched(message.raw, verdict.hospital)):
        key = message.key or f"sha256-{hashlib.sha256(message.raw).hexdigest()}"
        offer, changes = f"requests/{key}/patched", list(twin.changes)
    return status, answers.operation_outcome(verdict.findings, offer, changes)


# The way in.

def _from_json(raw: bytes) -> FhirMessage:
    report = Report()
    data = parse(raw, "", report)
    locate = json_positions(raw)
    findings = tuple(replace(finding, spot=finding.spot or locate(finding.path)) for finding in report.findings)
    if data is None:
        raise InvalidPayload(list(findings))
    return FhirMessage(message_key(data), data, locate, context={"format": "json"}, findings=findings, raw=raw)


def _from_xml(raw: bytes) -> FhirMessage:
    if MAX_PRESCRIPTION < len(raw) <= MAX_BYTES:
        raise InvalidPayload([replace(RULES["PRESCRIPTION_TOO_LARGE"].finding("Resource"), spot=_START)])
    root = xml.parse(raw, "Resource", max_bytes=MAX_BYTES, max_depth=MAX_DEPTH, max_tags=2 * MAX_NODES)
    kind = xml.local(root)
    if kind not in ("Bundle", "Task"):
        raise InvalidPayload([replace(RULES["MSG_WRONG_RESOURCE"].finding("Resource"), spot=xml.spot(root))])
    reading = _Reading(kind)
    data = reading.resource(root, ())

    @cache
    def places() -> Place:
        return _places(root)

    @cache
    def locate(path: str) -> Spot | None:
        return xml.spot(find(places(), path).at)

    return FhirMessage(message_key(data), data, locate, context={"format": "xml"}, findings=tuple(reading.findings), raw=raw)


def _mapped(message: FhirMessage, tables: CodeMap) -> FhirMessage:
    """With the hospital's own codes replaced by ours, for a hospital that has tables of them."""
    unmapped: dict[tuple[str, str], Unmapped] = {}

    def ours(node: Json, name: str, table: str, path: str) -> None:
        theirs = node.get(name)
        if isinstance(theirs, str) and table in tables.tables:
            mapped = tables.ours(table, theirs)
            if mapped is None:
                missing = Unmapped(table, theirs, text(node, "display"), message.locate(f"{path}.{name}"))
                unmapped.setdefault((table, theirs), missing)
            else:
                node[name] = mapped

    for index, entry in enumerate(members(message.resource, "entry")):
        resource, place = member(entry, "resource"), f"Bundle.entry[{index}].resource"
        concepts = [("diagnosis", ("code",), codes.ICD10)] if member(resource, "resourceType") == "Condition" else [
            *_ITEM_CODES] if member(resource, "resourceType") == "MedicationRequest" else []
        for table, names, system in concepts:
            for number, coding in enumerate(members(member(resource, *names), "coding")):
                if member(coding, "system") == system:
                    ours(coding, "code", table, f"{fhirpath(place, names)}.coding[{number}]")
        for names in _ITEM_UNITS if concepts else ():
            if isinstance(quantity := member(resource, *names), dict):
                ours(quantity, "unit", "unit", fhirpath(place, names))
    return replace(message, unmapped=tuple(unmapped.values()))


# XML -> JSON.

class _Reading:
    """One XML message on its way to JSON."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.findings: list[Finding] = []

    def resource(self, element: xml.Element, names: tuple[str | int, ...]) -> Json:
        kind = xml.local(element)
        self._namespace(element, names)
        self._attributes(element, (), names)
        return {"resourceType": kind, **self._members(element, resource_elements(kind), names)}

    def _members(self, element: xml.Element, types: Mapping[str, Element], names: tuple[str | int, ...]) -> Json:
        out: Json = {}
        children = [(xml.local(child), child) for child in element]
        counts = Counter(name for name, _ in children)
        extras: dict[str, list[Json | None]] = {}
        for name, child in children:
            kind = types.get(name) or _guessed(child, counts[name])
            many = kind.listed or counts[name] > 1
            seen = len(out.get(name, ())) if many else 0
            value, extra = self._value(child, kind, (*names, name, seen) if many else (*names, name))
            if not many:
                if value is not None or not extra:
                    out[name] = "" if value is None else value
                if extra:
                    out[f"_{name}"] = extra
            else:
                out.setdefault(name, []).append("" if value is None and not extra else value)
                extras.setdefault(name, []).append(extra or None)
        out |= {f"_{name}": found for name, found in extras.items() if any(found)}
        if _words(element):
            self._odd(element, names)
        return out

    def _value(self, element: xml.Element, kind: Element, names: tuple[str | int, ...]) -> tuple[Any, Json]:
        """The value of an element, and what is said about it (its id and extensions), if it is a simple one."""
        if kind.kind == "xhtml":
            return etree.tostring(element, encoding="unicode", with_tail=False), {}
        self._namespace(element, names)
        if kind.kind == "resource":
            if len(element) != 1 or _words(element):
                self._odd(element, names)
            return (self.resource(element[0], names) if len(element) else {}), {}
        types = elements(kind.model) if kind.model else EXTENSIBLE
        if kind.kind == "complex":
            self._attributes(element, ("id", "url"), names)
            return {**_attributes(element, "id", "url"), **self._members(element, types, names)}, {}
        self._attributes(element, ("id", "value"), names)
        extra = _attributes(element, "id")
        if len(element) or element.text:
            extra |= self._members(element, types, names)
        value = element.get("value")
        return (None if value is None else self._simple(value, kind.kind, element, names)), extra

    def _simple(self, text: str, kind: str, element: xml.Element, names: tuple[str | int, ...]) -> Any:
        if kind == "boolean":
            return {"true": True, "false": False}.get(text, text)
        if kind not in ("integer", "decimal") or not (_INTEGER if kind == "integer" else _DECIMAL).fullmatch(text):
            return text
        value = Decimal(text) if len(text) <= MAX_NUMBER + 6 else None
        if value is None or abs(value.adjusted()) > MAX_NUMBER:
            self._found("JSON_NUMBER_TOO_LONG", element, names)
            return text
        return int(text) if _INTEGER.fullmatch(text) else value

    def _namespace(self, element: xml.Element, names: tuple[str | int, ...]) -> None:
        if not str(element.tag).startswith(_OF_FHIR):
            self._odd(element, names)

    def _attributes(self, element: xml.Element, allowed: Sequence[str], names: tuple[str | int, ...]) -> None:
        if any(name not in allowed and not str(name).startswith(_XSI) for name in element.attrib):
            self._odd(element, names)

    def _odd(self, element: xml.Element, names: tuple[str | int, ...]) -> None:
        self._found("XML_NAMESPACE", element, names)

    def _found(self, code: str, element: xml.Element, names: tuple[str | int, ...]) -> None:
        if len(self.findings) < MAX_ODD:
            self.findings.append(replace(RULES[code].finding(fhirpath(self.root, names)), spot=xml.spot(element)))


_OF_FHIR = f"{{{FHIR}}}"


def _guessed(element: xml.Element, count: int) -> Element:
    """How to read an element FHIR does not know: the checker will name it."""
    return Element("complex" if len(element) and element.get("value") is None else "string", count > 1)


def _words(element: xml.Element) -> bool:
    return any(said and said.strip() for said in (element.text, *(child.tail for child in element)))


def _attributes(element: xml.Element, *names: str) -> Json:
    return {name: str(element.get(name)) for name in names if element.get(name) is not None}


def _places(element: xml.Element) -> Place:
    """The elements of an XML message as places; what holds a resource is the resource, as in JSON."""
    within = element
    if xml.local(element) in ("resource", "contained") and len(element) == 1:
        within = element[0]
    children = [(xml.local(child), _places(child)) for child in within]
    if within.get("url") is not None:
        children.append(("url", Place(within, str(within.get("url")))))
    kind = xml.local(within)
    return Place(element, str(element.get("value", "")), children, kind if kind[:1].isupper() else "")


# The way out.

def to_xml(resource: Json) -> bytes:
    """A resource in FHIR's XML, its elements in the order of the definition."""
    kind = str(resource["resourceType"])
    root = etree.Element(f"{{{FHIR}}}{kind}", nsmap={None: FHIR})  # type: ignore[dict-item]
    _write(root, resource, resource_elements(kind), is_resource=True)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _write(parent: xml.Element, node: Json, types: Mapping[str, Element], *, is_resource: bool = False) -> None:
    names = {name.removeprefix("_"): None for name in node if name != "resourceType"}
    for name in sorted(names, key=lambda name: _order(types, name)):
        if name in ("id", "url") and not is_resource and isinstance(node.get(name), str) and (
                name == "id" or parent.tag.endswith("}extension") or parent.tag.endswith("}modifierExtension")):
            parent.set(name, node[name])
            continue
        values, extras = node.get(name), node.get(f"_{name}")
        rows = values if isinstance(values, list) else [values]
        more = extras if isinstance(extras, list) else [extras]
        for index in range(max(len(rows), len(more))):
            value = rows[index] if index < len(rows) else None
            extra = more[index] if index < len(more) else None
            _write_one(parent, name, value, extra, types.get(name))


def _write_one(parent: xml.Element, name: str, value: Any, extra: Any, kind: Element | None) -> None:
    if kind and kind.kind == "xhtml" and isinstance(value, str):
        parent.append(xml.parse(value.encode(), "div"))
        return
    child = etree.SubElement(parent, f"{{{FHIR}}}{name}")
    if isinstance(value, dict) and "resourceType" in value:
        inner = str(value["resourceType"])
        _write(etree.SubElement(child, f"{{{FHIR}}}{inner}"), value, resource_elements(inner), is_resource=True)
    elif isinstance(value, dict):
        _write(child, value, elements(kind.model) if kind and kind.model else {})
    elif value is not None:
        child.set("value", str(value).lower() if isinstance(value, bool) else str(value))
    if isinstance(extra, dict):
        _write(child, extra, EXTENSIBLE)


def _order(types: Mapping[str, Element], name: str) -> int:
    return next((place for place, known_name in enumerate(types) if known_name == name), len(types))
