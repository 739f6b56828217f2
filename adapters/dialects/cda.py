"""WS/T 500.5-2016 (西药处方) and 500.6-2016 (中药处方): CDA documents with positions. SOAP carries them (cda_soap.py).

The documents say nothing of insurance, visit or handover. A hospital says these in one more section, whose code system is
`SUPPLEMENT`; base CDA allows it, and receivers who do not know it may ignore it. Everything else is as the standard has it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from lxml import etree

from adapters.messages import Message, Outcome, Reply, Unmapped, Verdict
from adapters.xml import Element, local, parse, spot, xpath
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from fhir_profiles import drafts
from fhir_profiles.catalogue import Rule
from fhir_profiles.drafts import NOTHING, Said
from fhir_profiles.message import KEY

DIALECT = "cda"

V3 = "urn:hl7-org:v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:sanyi:prescription:v1"
"""Namespace of our own SOAP service; its WSDL is `cda.wsdl` beside this file."""

# Object identifiers of the standard.
DOCUMENT_ID = "2.16.156.10011.1.1"
RESIDENT_ID = "2.16.156.10011.1.3"
INSTITUTION = "2.16.156.10011.1.5"
AUTHOR = "2.16.156.10011.1.7"
PRESCRIPTION_NUMBER = "2.16.156.10011.1.20"
DATA_ELEMENTS = "2.16.156.10011.2.2.1"
DOCUMENT_CODES = "2.16.156.10011.2.4"
LOINC = "2.16.840.1.113883.6.1"
SUPPLEMENT = "2.25.249319805440984658538752383164226057002"
"""Ours: what the standard has no data element for. The codes are the names in `docs/reference/contracts.md` 1.1."""

TEMPLATES: Mapping[str, tuple[str, bool]] = {
    "2.16.156.10011.2.1.1.24": ("C0004", False),
    "2.16.156.10011.2.1.1.25": ("C0005", True),
}
"""templateId -> document code, and whether it is Chinese medicine."""

DIAGNOSES, MEDICATION = "29548-5", "10160-0"
"""LOINC codes of the sections."""

MAX_BYTES = 500_000
MAX_TAGS = 6_000
"""Start and end tags of one document; a full prescription has some hundreds."""
MAX_STATEMENTS = 150
"""Drugs and observations of one document; a full prescription has some sixty."""

MAX_FINDINGS = 10
"""Places of one kind that are told: each costs a walk through the document."""

BEIJING = "+08:00"

_WST = "WS/T 500.5-2016, 500.6-2016"
_HL7 = "HL7 CDA R2"

RULES: tuple[Rule, ...] = (
    Rule("CDA-001", "CDA_ROOT", "structure", _WST,
         "既不是 CDA 文档，也不是撤销请求", "This is neither a CDA document nor a cancel.",
         "根元素用 urn:hl7-org:v3 的 ClinicalDocument", "Let the root be ClinicalDocument of urn:hl7-org:v3."),
    Rule("CDA-002", "CDA_TEMPLATE", "value", _WST,
         "templateId 不是西药处方或中药处方", "The templateId is not that of a prescription.",
         "西药处方用 2.16.156.10011.2.1.1.24，中药处方用 2.16.156.10011.2.1.1.25",
         "Send 2.16.156.10011.2.1.1.24 (western) or 2.16.156.10011.2.1.1.25 (Chinese medicine)."),
    Rule("CDA-003", "CDA_CODE", "code-invalid", _WST,
         "文档代码与模板不一致", "The document code is not that of the template.",
         "西药处方用 C0004，中药处方用 C0005", "Send C0004 (western) or C0005 (Chinese medicine)."),
    Rule("CDA-004", "CDA_DOCUMENT_ID", "required", _WST,
         "缺少文档流水号，或其 root 不符", "The document id is missing or has another root.",
         "填 id，root 为 2.16.156.10011.1.1，extension 为文档流水号",
         "Send id with root 2.16.156.10011.1.1 and the document's own number as extension."),
    Rule("CDA-005", "CDA_VERSION", "value", _WST,
         "versionNumber 不是 1 至 9999 的整数", "The versionNumber is not a whole number from 1 to 9999.",
         "填整数；首版为 1，可不填", "Send a whole number; the first version is 1 and need not say so."),
    Rule("CDA-006", "CDA_REPLACES", "conflict", _WST,
         "文档声明替换另一份文档，处方不能就地替换",
         "The document replaces another one; a prescription is never replaced in place.",
         "先用 CancelPrescription 撤销原处方，再以新处方编号发送新文档，不带 relatedDocument",
         "Cancel the earlier prescription by CancelPrescription, then send a new document under a new prescription number, "
         "without relatedDocument.", actor="prescriber"),
    Rule("CDA-007", "CDA_TOO_MANY", "too-long", _WST,
         "文档条目过多", "The document has too many entries.",
         "一份文档只放一张处方", "Send one prescription per document."),
    Rule("CDA-008", "CDA_DOCUMENT", "structure", "cda.wsdl",
         "document 不是 Base64", "`document` is not Base64.",
         "将整个 CDA 文件按字节做 Base64 编码", "Encode the bytes of the whole CDA file as Base64."),
    Rule("CDA-009", "CDA_NEGATED", "business-rule", _HL7,
         "声明带否定（negationInd）", "The statement is negated (negationInd).",
         "处方只写要执行的内容；不用的药品不要写入", "Say only what is ordered, and leave out what is not.", actor="prescriber"),
    Rule("CDA-010", "CDA_STATUS", "business-rule", _HL7,
         "声明的状态不是有效医嘱", "The statement's status is not that of an order that stands.",
         "statusCode 用 active 或 completed，或不填，药品不带 nullFlavor；已停止、已撤销的内容不要写入",
         "Send statusCode active, completed or none, a drug without nullFlavor, and leave out what was stopped or withdrawn.",
         actor="prescriber"),
    Rule("CDA-011", "CDA_MOOD", "business-rule", _HL7,
         "声明的语气（moodCode）不是医嘱", "The statement's moodCode is not that of an order.",
         "moodCode 用 EVN（标准所用），或 INT、RQO", "Send moodCode EVN (as the standard has it), INT or RQO.",
         actor="prescriber"),
    Rule("CDA-012", "CDA_UNREACHED", "structure", _WST,
         "药品或其用法、诊断、补充信息不在标准规定的位置，平台读不到",
         "A drug, its use, a diagnosis or a supplement stands where the standard has no place for it and nobody reads it.",
         "每个药品用 substanceAdministration，直接放在用药章节（10160-0）的 entry 下；诊断放在 29548-5，不套 organizer，不嵌套",
         "Put each drug as a substanceAdministration directly under an entry of section 10160-0, a diagnosis under 29548-5; "
         "no organizer, no nesting."),
    Rule("CDA-013", "CDA_REPEATED", "multiple-matches", _WST,
         "只能有一个的内容出现了多次", "What can count only once stands several times.",
         "只保留一个；一份文档只有一位患者、一位开方医师、一张处方",
         "Keep one; a document is of one patient, one prescriber and one prescription."),
    Rule("CDA-014", "CDA_UNREAD", "not-supported", _HL7,
         "这个元素会改变处方，而平台没有与之对应的内容",
         "This element changes the prescription, and the platform has no place for it.",
         "按标准的数据元写明用法用量；不能写明的不要流转",
         "Say it with the standard's data elements; what they cannot say cannot circulate.",
         actor="prescriber"),
)
"""Why bytes are no document of this dialect. What a document says is judged by the checker."""

BY_CODE = {rule.code: rule for rule in RULES}


# What comes in.

@dataclass(frozen=True)
class Document:
    """A prescription document that can be told from others."""

    root: Element = field(repr=False)
    key: Said
    """Number and version of the document."""
    chinese: bool
    """Of WS/T 500.6."""


@dataclass(frozen=True)
class Cancel:
    """A CancelPrescription request."""

    key: Said
    number: Said
    reason: Said
    at: Said


def read(raw: bytes) -> Document | Cancel:
    """A document, or a cancel with or without its SOAP envelope. Raises `InvalidPayload` with every finding."""
    root = parse(raw, "ClinicalDocument", max_bytes=MAX_BYTES, max_tags=MAX_TAGS)
    if root.tag == f"{{{V3}}}ClinicalDocument":
        return _document(root)
    wish = root
    if root.tag == f"{{{SOAP}}}Envelope":
        body = root.find(f"{{{SOAP}}}Body")
        wish = body[0] if body is not None and len(body) else root
    if wish.tag != f"{{{SERVICE}}}CancelPrescription":
        raise InvalidPayload([found("CDA_ROOT", root)])
    return Cancel(*(said(wish.find(f"{{{SERVICE}}}{name}")) for name in ("messageId", "prescriptionNumber", "reason", "at")))


def _document(root: Element) -> Document:
    findings: list[Finding] = []
    template = next((one for one in children(root, "templateId") if one.get("root") in TEMPLATES), None)
    expected, chinese = TEMPLATES[template.get("root", "")] if template is not None else ("", False)
    if template is None:
        findings.append(found("CDA_TEMPLATE", find(root, "templateId"), root))
    code = find(root, "code")
    if template is not None and (code is None or code.get("code") != expected):
        findings.append(found("CDA_CODE", code, root))
    number = identifier(root, DOCUMENT_ID)
    if not number.value:
        findings.append(found("CDA_DOCUMENT_ID", find(root, "id"), root))
    version = find(root, "versionNumber")
    written = said(version, "value").value or "1"
    if not re.fullmatch(r"[1-9][0-9]{0,3}", written):
        findings.append(found("CDA_VERSION", version, root))
    # Many systems print the whole template, with nothing in it where nothing is replaced.
    replaced = next((one for related in children(root, "relatedDocument") if related.get("typeCode") == "RPLC"
                     for one in children(find(related, "parentDocument"), "id") if one.get("extension")), None)
    if replaced is not None:
        findings.append(found("CDA_REPLACES", replaced))
    statements = list(root.iter(f"{{{V3}}}substanceAdministration", f"{{{V3}}}observation"))
    if len(statements) > MAX_STATEMENTS:
        findings.append(found("CDA_TOO_MANY", statements[MAX_STATEMENTS]))
    else:
        findings += _passed_over(root)
    if findings:
        raise InvalidPayload(findings)
    return Document(root, Said(f"{number.value}-v{written}", number.spot), chinese)


# What would change the prescription and is not read must not be passed over: a patient would get another one.

_ORDERS = frozenset({"EVN", "INT", "RQO"})
"""The standard prints EVN; INT and RQO are HL7's own moods of an order."""
_STANDING = frozenset({"", "active", "completed"})
_SINGLE: Mapping[str, tuple[str, ...]] = {
    "ClinicalDocument": ("code", "effectiveTime", "versionNumber", "recordTarget", "author", "custodian", "component"),
    "recordTarget": ("patientRole",), "patientRole": ("patient",), "patient": ("name", "administrativeGenderCode", "birthTime"),
    "author": ("time", "assignedAuthor"), "assignedAuthor": ("assignedPerson",), "assignedPerson": ("name",),
    "custodian": ("assignedCustodian",), "assignedCustodian": ("representedCustodianOrganization",),
    "component": ("structuredBody", "section"), "section": ("code",), "observation": ("code", "value"),
    "substanceAdministration": ("effectiveTime", "routeCode", "doseQuantity", "rateQuantity", "consumable"),
    "effectiveTime": ("width",), "consumable": ("manufacturedProduct",), "manufacturedProduct": ("manufacturedLabeledDrug",),
    "manufacturedLabeledDrug": ("code", "name"),
}
"""Element -> what it may hold once only, because one of it is read."""
_SINGLE_IDS = frozenset({DOCUMENT_ID, RESIDENT_ID, AUTHOR, PRESCRIPTION_NUMBER, INSTITUTION})
_DIAGNOSIS = "DE05.01.024.00"
_OF_A_DOCUMENT = "DE06.00.294.00"
"""How long it is valid: once in the document, not once in a section."""
_READ = frozenset({
    _DIAGNOSIS, _OF_A_DOCUMENT, "DE06.00.135.00", "DE06.00.136.00", "DE08.50.032.00", "DE08.50.047.00", "DE08.50.049.00",
    "DE08.50.050.00"})
"""Data elements that say what the patient has, gets and takes."""
_LISTS = frozenset({_DIAGNOSIS, "allergy-group", "proof-diagnosis"})
"""Codes of observations of which each one counts."""
_UNREAD: Mapping[str, tuple[str, ...]] = {
    "substanceAdministration": ("repeatNumber", "approachSiteCode", "maxDoseQuantity", "precondition", "subject"),
    "doseQuantity": ("low", "high", "center", "width"), "rateQuantity": ("low", "high", "center", "width"),
}
"""What HL7 lets say more than the standard does."""


def _passed_over(root: Element) -> Iterator[Finding]:
    """What says the opposite of an order, stands where nobody looks, or stands twice."""
    drugs = list(root.iter("{*}substanceAdministration"))
    for code, wrong in (
        ("CDA_NEGATED", (one for one in root.iter("*") if one.get("negationInd", "false") not in ("false", "0"))),
        ("CDA_STATUS", chain((one for one in root.iter("{*}statusCode") if one.get("code", "") not in _STANDING),
                             (one for one in drugs if "nullFlavor" in one.attrib))),
        ("CDA_MOOD", chain((one for one in root.iter("*") if one.get("moodCode", "EVN") not in _ORDERS),
                           (one for one in drugs if "moodCode" not in one.attrib))),
        ("CDA_UNREACHED", _unreached(root, drugs)),
        ("CDA_REPEATED", _repeated(root)),
        ("CDA_UNREAD", (one for one in root.iter(f"{{{V3}}}*") for name in _UNREAD.get(local(one), ())
                        for one in children(one, name) if _says(one))),
    ):
        yield from (found(code, one) for one in islice(wrong, MAX_FINDINGS))


def _unreached(root: Element, drugs: Sequence[Element]) -> Iterator[Element]:
    """Drugs and observations that mean something, where no finder comes by."""
    reached = set(entries(sections(root, MEDICATION), "substanceAdministration"))
    yield from (one for one in drugs if one not in reached)
    yield from root.iter("{*}supply")
    labelled = {found for one in reached if (found := find(one, "consumable/manufacturedProduct")) is not None}
    yield from (one for one in root.iter("{*}manufacturedProduct") if one not in labelled)
    body = find(root, "component/structuredBody")
    whole = [found for one in children(body, "component") if (found := find(one, "section")) is not None]
    direct = set(entries(whole, "observation"))
    below = {one for statement in (*reached, *direct) for link in children(statement, "entryRelationship")
             for one in children(link, "observation")}
    diagnoses = set(entries(sections(root, DIAGNOSES), "observation"))
    supplements = sections(root, "supplement", SUPPLEMENT)
    said_more = set(entries(supplements, "observation")) | {
        one for statement in reached for one in observations(statement, "overdose-reason", SUPPLEMENT)}
    for one in root.iter("{*}observation"):
        system, code = _about(one)
        if system == SUPPLEMENT:
            good = one in said_more or not supplements  # what is missing then is required, and named one by one
        elif code == _DIAGNOSIS:
            good = one in diagnoses
        else:
            good = one in direct or one in below
        if not good and (system == SUPPLEMENT or code in _READ):
            yield one


def _repeated(root: Element) -> Iterator[Element]:
    """The second of what only the first would count of."""
    for one in root.iter(f"{{{V3}}}*"):
        yield from (again for name in _SINGLE.get(local(one), ()) for again in children(one, name)[1:])
    seen: set[tuple[Element, str]] = set()
    for one in root.iter(f"{{{V3}}}id", f"{{{V3}}}observation"):
        parent = one.getparent()
        if local(one) == "id":
            scope, code = parent, one.get("root", "") if one.get("root") in _SINGLE_IDS else ""
        else:
            system, code = _about(one)
            scope = parent.getparent() if parent is not None else None
            if (system == SUPPLEMENT and code != "overdose-reason") or code == _OF_A_DOCUMENT:
                scope = root
            code = "" if code in _LISTS or (system != SUPPLEMENT and code not in _READ) else code
        if code and scope is not None:
            if (scope, code) in seen:
                yield one
            seen.add((scope, code))


def _about(observation: Element) -> tuple[str, str]:
    code = find(observation, "code")
    return ("", "") if code is None else (code.get("codeSystem", ""), code.get("code", ""))


def _says(element: Element) -> bool:
    """Whether there is anything in it: many systems print a template with nothing filled in."""
    return len(element) > 0 or bool((element.text or "").strip()) or any(
        text for name, text in element.items() if name != "nullFlavor")


_SUPPLEMENTED = re.compile(r"\.(class|type|courseOfTherapyType|extension\('[^']*'\))$")
"""Elements of the Bundle that the supplement says."""
_OF_AN_ITEM = re.compile(r"(Bundle\.entry\[\d+\]\.resource)\.(dosageInstruction|dispenseRequest\.(quantity|expected))")


def locate(document: Document, spots: Mapping[str, Spot]) -> Callable[[str], Spot | None]:
    """Where an element of the Bundle stood; what is missing altogether, where its section is or should be."""
    nearest = drafts.locate(spots)
    whole = {f"Bundle.entry.resource.ofType({kind})": code for kind, code in
             (("Condition", DIAGNOSES), ("MedicationRequest", MEDICATION))}

    def find_(path: str) -> Spot | None:
        if path in whole:
            return spot(next(iter(sections(document.root, whole[path])), document.root))
        if path.endswith(".validityPeriod") and f"{path}.end" in spots:
            return spots[f"{path}.end"]  # the days are what makes it right or wrong
        if not any(known.startswith(path) for known in spots):
            if _SUPPLEMENTED.search(path):
                return spot(next(iter(sections(document.root, "supplement", SUPPLEMENT)), document.root))
            if item := _OF_AN_ITEM.match(path):
                return nearest(f"{item[1]}.medication")
        return nearest(path)

    return find_


def usable_key(key: Said) -> str | None:
    """A key of the hospital's as the platform may use it, or None."""
    return key.value if KEY.fullmatch(key.value) else None


def found(code: str, *places: Element | None) -> Finding:
    place = next(one for one in places if one is not None)
    return replace(BY_CODE[code].finding(xpath(place)), spot=spot(place))


# Finding one's way: every name is of `urn:hl7-org:v3`.

def children(node: Element | None, name: str) -> list[Element]:
    return [] if node is None else node.findall(f"{{{V3}}}{name}")


def find(node: Element | None, path: str) -> Element | None:
    """The first element under a path such as `author/time`, or None."""
    return None if node is None else node.find("/".join(f"{{{V3}}}{name}" for name in path.split("/")))


def said(element: Element | None, attribute: str = "", de: str = "") -> Said:
    """What an element (or one of its attributes) says, and where; `de` is its data element. NullFlavor says nothing."""
    if element is None or element.get("nullFlavor"):
        return NOTHING
    value = element.get(attribute, "") if attribute else "".join(str(text) for text in element.itertext())
    place = f"{xpath(element)}/@{attribute}" if attribute else xpath(element)
    return Said(value.strip(), spot(element, f"{de} {place}" if de else place))


def identifier(node: Element | None, root: str, de: str = "") -> Said:
    """The extension of the node's id of that root."""
    return said(next((one for one in children(node, "id") if one.get("root") == root), None), "extension", de)


def sections(root: Element, code: str, system: str = LOINC) -> list[Element]:
    """The sections of the structured body with that code."""
    found = [find(one, "section") for one in children(find(root, "component/structuredBody"), "component")]
    return [one for one in found if one is not None and _coded(one, code, system)]


def entries(nodes: Sequence[Element], statement: str) -> Iterator[Element]:
    """The statements (`substanceAdministration`, `observation`) directly under the entries of some sections."""
    for node in nodes:
        for entry in children(node, "entry"):
            yield from children(entry, statement)


def observations(node: Element | None, code: str, system: str = DATA_ELEMENTS) -> list[Element]:
    """The observations with that code directly under a section or a statement."""
    return [one for link in ("entry", "entryRelationship") for below in children(node, link)
            for one in children(below, "observation") if _coded(one, code, system)]


def observed(node: Element | None, code: str, system: str = DATA_ELEMENTS) -> Said:
    """The value of the first of them."""
    return next((value(one, code if system == DATA_ELEMENTS else "") for one in observations(node, code, system)), NOTHING)


def value(observation: Element, de: str = "") -> Said:
    """The value of an observation: the code of a CD, the value of a quantity, a number or a time, the text of a ST."""
    element = find(observation, "value")
    if element is None:
        return NOTHING
    coded = element.get(f"{{{XSI}}}type", "").rpartition(":")[2] in ("CD", "CE", "CV", "CO")
    return said(element, "code" if coded else "value" if element.get("value") is not None else "", de)


def unit_of(observation: Element, de: str = "") -> Said:
    return said(find(observation, "value"), "unit", de)


def supplement(root: Element) -> Mapping[str, Sequence[Said]]:
    """What the supplement sections say, by code."""
    found: dict[str, list[Said]] = {}
    for one in entries(sections(root, "supplement", SUPPLEMENT), "observation"):
        code = find(one, "code")
        if code is not None and code.get("codeSystem") == SUPPLEMENT and (name := code.get("code")):
            found.setdefault(name, []).append(value(one))
    return found


def _coded(node: Element, code: str, system: str) -> bool:
    element = find(node, "code")
    return element is not None and element.get("code") == code and element.get("codeSystem") == system


# Values.

_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d{1,6})?(?:([+-]\d\d):?(\d\d))?")
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)\d*")


def moment(said: Said) -> Said:
    """A time of HL7 (yyyyMMddHHmmss, Beijing time where it has no offset) as ISO 8601; anything else as it is."""
    if not (found := _TIME.fullmatch(said.value)):
        return said
    year, month, day_, hour, minute, second, east, minutes = found.groups()
    offset = f"{east}:{minutes}" if east else BEIJING
    return replace(said, value=f"{year}-{month}-{day_}T{hour}:{minute}:{second or '00'}{offset}")


def day(said: Said) -> Said:
    """The day of a time of HL7 as ISO 8601; anything else as it is."""
    found = _DAY.fullmatch(said.value)
    return replace(said, value="-".join(found.groups())) if found else said


def days_after(start: Said, days: Said) -> Said:
    """The moment so many days after another; what cannot be counted stays as it is, for the checker to refuse."""
    try:
        end = datetime.fromisoformat(start.value) + timedelta(days=int(days.value))
    except (ValueError, OverflowError):
        return days
    return replace(days, value=end.isoformat())


# What goes out.

def element(namespace: str, name: str, *inner: Element | str, **attributes: str) -> Element:
    """A new element; a character that XML cannot hold is left out of its texts."""
    prefixes: Any = {None: namespace}
    made = etree.Element(f"{{{namespace}}}{name}", {key: _printable(text) for key, text in attributes.items()},
                         nsmap=prefixes)
    for one in inner:
        if isinstance(one, str):
            made.text = _printable(one)
        else:
            made.append(one)
    return made


def _printable(text: str) -> str:
    return "".join(char for char in text if char == "\t" or (char >= " " and not "\ud800" <= char <= "\udfff"
                                                             and char not in "\ufffe\uffff"))


_WORDS: Mapping[str, tuple[str, str]] = {
    Outcome.ACCEPTED: ("已接收", "accepted"),
    Outcome.REFUSED: ("不符合约定，未接收；请按所列问题修改后重发", "refused; correct what is listed and send it again"),
    Outcome.CONFLICT: ("同一文档或处方已收到过，内容不同；先撤销原处方，再以新编号发送",
                       "the document or prescription came before with another content; cancel that one, then send the new one "
                       "under new numbers"),
    Outcome.WAITING: ("已保存，待人工对照编码；结果另行通知", "kept until its codes are mapped; you will be told"),
    "known": ("处方现状", "where the prescription is"),
    "unknown": ("没有收到过该处方", "no such prescription came"),
}


def answer(_: Message | None, verdict: Verdict) -> Reply:
    """The verdict as a `result` element, with every finding by data element, XPath and line."""
    return Reply(result(
        verdict.outcome, verdict.at, verdict.prescription_id, verdict.external_id, verdict.status,
        verdict.findings, verdict.unmapped), 200, "text/xml; charset=utf-8")


def result(outcome: str, at: datetime, prescription_id: str = "", number: str = "", status: str = "",
           findings: Sequence[Finding] = (), unmapped: Sequence[Unmapped] = ()) -> bytes:
    """A `result` element of our service (cda.wsdl)."""
    text, text_en = _WORDS[outcome]
    said = {"outcome": str(outcome), "text": text, "textEn": text_en, "at": at.isoformat(timespec="seconds")}
    about = {"prescriptionId": prescription_id, "prescriptionNumber": number, "status": status}
    return bytes(etree.tostring(element(
        SERVICE, "result", *_texts(said), *_texts(about), *map(_finding, findings), *map(_unmapped, unmapped)),
        encoding="utf-8"))


def _finding(finding: Finding) -> Element:
    said = {"code": finding.code, "rule": finding.rule, "severity": finding.severity.value, "path": finding.path}
    words = {"text": finding.text, "textEn": finding.text_en, "cure": finding.cure, "cureEn": finding.cure_en,
             "source": finding.source, "actor": finding.actor}
    return element(SERVICE, "finding", *_texts(said), *_place(finding.spot), *_texts(words))


def _unmapped(one: Unmapped) -> Element:
    return element(SERVICE, "unmapped", *_texts({"table": one.table, "code": one.theirs[:100]}), *_place(one.spot))


def _place(spot: Spot | None) -> list[Element]:
    """Data element, XPath, line and column, as far as they are known."""
    if spot is None:
        return []
    de, _, path = spot.name.rpartition(" ")
    return _texts({"dataElement": de, "xpath": path, "line": str(spot.line or ""), "column": str(spot.column or "")})


def _texts(given: Mapping[str, str]) -> list[Element]:
    return [element(SERVICE, name, text) for name, text in given.items() if text]
