"""WS/T 500.5-2016 (西药处方) and 500.6-2016 (中药处方): CDA documents with positions. SOAP carries them (cda_soap.py).

The documents say nothing of insurance, visit or handover. A hospital says these in one more section, whose code system is
`SUPPLEMENT`; base CDA allows it, and receivers who do not know it may ignore it. Everything else is as the standard has it.

A document remembers what of it was read. What is filled in, was not read and is not in `LEFT_OUT` is a finding: whoever adds
an element to a document learns that nobody acts on it.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from lxml import etree

from adapters.dialects.cda_grammar import (
    DATA_ELEMENTS,
    DIAGNOSES,
    DOCUMENT_CODES,
    DOCUMENT_ID,
    FIXED,
    LEFT_OUT,
    LOINC,
    MEDICATION,
    OF_A_DRUG,
    SUPPLEMENT,
    TYPES,
    UNREAD,
    V3,
    XSI,
    step,
)
from adapters.messages import Message, Outcome, Reply, Unmapped, Verdict
from adapters.xml import Element, local, parse, shown, spot, xpath
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from domain.units import factor
from fhir_profiles import drafts
from fhir_profiles.catalogue import MessageRule
from fhir_profiles.drafts import NOTHING, Said
from fhir_profiles.message import KEY

__all__ = ["DATA_ELEMENTS", "LEFT_OUT", "LOINC", "SUPPLEMENT", "V3", "xpath"]

DIALECT = "cda"

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:sanyi:prescription:v1"
"""Namespace of our own SOAP service; its WSDL is `cda.wsdl` beside this file."""

TEMPLATES: Mapping[str, tuple[str, bool]] = {
    "2.16.156.10011.2.1.1.24": ("C0004", False),
    "2.16.156.10011.2.1.1.25": ("C0005", True),
}
"""templateId -> document code, and whether it is Chinese medicine."""

MAX_BYTES = 500_000
MAX_TAGS = 6_000
"""Start and end tags of one document; a full prescription has some hundreds."""
MAX_STATEMENTS = 150
"""Drugs and observations of one document; a full prescription has some sixty."""

MAX_FINDINGS = 10
"""Findings of one rule in one document."""

BEIJING = "+08:00"

_WST = "WS/T 500.5-2016, 500.6-2016"
_HL7 = "HL7 CDA R2"

RULES: tuple[MessageRule, ...] = (
    MessageRule("CDA-001", "CDA_ROOT", "structure", _WST,
         "既不是 CDA 文档，也不是撤销请求", "This is neither a CDA document nor a cancel.",
         "根元素用 urn:hl7-org:v3 的 ClinicalDocument", "Let the root be ClinicalDocument of urn:hl7-org:v3."),
    MessageRule("CDA-002", "CDA_TEMPLATE", "value", _WST,
         "templateId 不是西药处方或中药处方", "The templateId is not that of a prescription.",
         "西药处方用 2.16.156.10011.2.1.1.24，中药处方用 2.16.156.10011.2.1.1.25",
         "Send 2.16.156.10011.2.1.1.24 (western) or 2.16.156.10011.2.1.1.25 (Chinese medicine)."),
    MessageRule("CDA-003", "CDA_CODE", "code-invalid", _WST,
         "文档代码与模板不一致", "The document code is not that of the template.",
         "西药处方用 C0004，中药处方用 C0005", "Send C0004 (western) or C0005 (Chinese medicine)."),
    MessageRule("CDA-004", "CDA_DOCUMENT_ID", "required", _WST,
         "缺少文档流水号，或其 root 不符", "The document id is missing or has another root.",
         "填 id，root 为 2.16.156.10011.1.1，extension 为文档流水号",
         "Send id with root 2.16.156.10011.1.1 and the document's own number as extension."),
    MessageRule("CDA-005", "CDA_VERSION", "value", _WST,
         "versionNumber 不是 1 至 9999 的整数", "The versionNumber is not a whole number from 1 to 9999.",
         "填整数；首版为 1，可不填", "Send a whole number; the first version is 1 and need not say so."),
    MessageRule("CDA-006", "CDA_REPLACES", "conflict", _WST,
         "文档声明替换另一份文档，处方不能就地替换",
         "The document replaces another one; a prescription is never replaced in place.",
         "先用 CancelPrescription 撤销原处方，再以新处方编号发送新文档，不带 relatedDocument",
         "Cancel the earlier prescription by CancelPrescription, then send a new document under a new prescription number, "
         "without relatedDocument.", actor="prescriber"),
    MessageRule("CDA-007", "CDA_TOO_MANY", "too-long", _WST,
         "文档条目过多", "The document has too many entries.",
         "一份文档只放一张处方", "Send one prescription per document."),
    MessageRule("CDA-008", "CDA_DOCUMENT", "structure", "cda.wsdl",
         "document 不是 Base64", "`document` is not Base64.",
         "将整个 CDA 文件按字节做 Base64 编码", "Encode the bytes of the whole CDA file as Base64."),
    MessageRule("CDA-009", "CDA_NEGATED", "business-rule", _HL7,
         "声明带否定（negationInd）", "The statement is negated (negationInd).",
         "处方只写要执行的内容；不用的药品不要写入", "Say only what is ordered, and leave out what is not.", actor="prescriber"),
    MessageRule("CDA-010", "CDA_STATUS", "business-rule", _HL7,
         "声明的状态不是有效医嘱，或标为未知（nullFlavor）却有内容",
         "The status is not that of an order that stands, or what is filled in is marked as not known (nullFlavor).",
         "statusCode 用 active 或 completed，或不填；有内容的元素不带 nullFlavor；已停止、已撤销的内容不要写入",
         "Send statusCode active, completed or none, no nullFlavor on what has content; "
         "leave out what was stopped or withdrawn.",
         actor="prescriber"),
    MessageRule("CDA-011", "CDA_MOOD", "business-rule", _HL7,
         "声明的语气（moodCode）不是医嘱", "The statement's moodCode is not that of an order.",
         "moodCode 用 EVN（标准所用），或 INT、RQO", "Send moodCode EVN (as the standard has it), INT or RQO.",
         actor="prescriber"),
    MessageRule("CDA-012", "CDA_UNREACHED", "structure", _WST,
         "药品或其用法、诊断、补充信息不在标准规定的位置，平台读不到",
         "A drug, its use, a diagnosis or a supplement stands where the standard has no place for it and nobody reads it.",
         "每个药品用 substanceAdministration，直接放在用药章节（10160-0）的 entry 下；诊断放在 29548-5，不套 organizer，不嵌套",
         "Put each drug as a substanceAdministration directly under an entry of section 10160-0, a diagnosis under 29548-5; "
         "no organizer, no nesting."),
    MessageRule("CDA-013", "CDA_REPEATED", "multiple-matches", _WST,
         "只能有一个的内容出现了多次", "What can count only once stands several times.",
         "只保留一个；一份文档只有一位患者、一位开方医师、一张处方",
         "Keep one; a document is of one patient, one prescriber and one prescription."),
    MessageRule("CDA-014", "CDA_UNREAD", "not-supported", _HL7,
         "这里填有内容，而平台不读取它", "This is filled in, and the platform does not read it.",
         "按标准的数据元或 README 所列的补充信息书写；不能写明的不要流转；空着的元素不受影响",
         "Say it with the standard's data elements or the supplements the README lists; what they cannot say cannot circulate. "
         "Elements without content do no harm.", actor="prescriber"),
    MessageRule("CDA-015", "CDA_CONTRADICTION", "conflict", _WST,
         "文档对同一事实有两种说法", "The document says two things about one fact.",
         "核对两处，改为一致，或只保留正确的一处", "Compare the two, and make them agree or keep the one that is right.",
         actor="prescriber"),
    MessageRule("CDA-016", "CDA_FIXED", "value", _HL7,
         "结构属性不是标准规定的值", "A structural attribute has another value than the standard's.",
         "classCode、typeCode、xsi:type、codeSystem 等照标准的样例填写",
         "Send classCode, typeCode, xsi:type, codeSystem and the like as the standard's examples have them."),
    MessageRule("CDA-017", "CDA_UNIT", "value", _WST,
         "数值的单位缺失，或不是这一项所用的单位", "The number has no unit, or one that this element cannot have.",
         "天数用 天 或 周，年龄用 岁、月、周、天或小时，剂数用 剂；月不能换算成天，请写天数",
         "Give durations in 天 (days) or 周 (weeks), ages in 岁, 月, 周, 天 or 小时, decoctions in 剂; "
         "months are no number of days: send days."),
    MessageRule("CDA-018", "CDA_NOT_CURRENT", "value", _HL7,
         "给出的姓名、地址或电话没有一个是现用的", "None of the names, addresses or telephone numbers given is a current one.",
         "给出现用的一个；旧的标 use=\"BAD\" 或填有效期，不要只给旧的",
         "Give the current one; mark old ones by use=\"BAD\" or their period, and never give these alone.", actor="registration"),
    MessageRule("CDA-019", "CDA_DECEASED", "business-rule", _HL7,
         "文档说患者已去世", "The document says that the patient has died.",
         "核对患者；标错的去掉 deceasedInd 后重发", "Check who the patient is; if the mark is wrong, send it without deceasedInd.",
         actor="registration"),
    MessageRule("CDA-020", "CDA_AGE", "conflict", _WST,
         "年龄与出生日期（或身份证号）不符", "The age is not that of the birth date (or of the id number).",
         "核对患者是谁；年龄按开具当日的周岁（婴儿按月、天）填写",
         "Check who the patient is; the age is in completed years (months or days of an infant) on the day of issue.",
         actor="registration"),
    MessageRule("CDA-021", "CDA_TITLE", "value", _WST,
         "标题不是处方的标题", "The title is not that of a prescription.",
         "标题用 西药处方 或 中药处方；作废、草稿、测试文档不要发送",
         "Let the title be 西药处方 or 中药处方, and do not send what is void, a draft or a test."),
    MessageRule("CDA-022", "CDA_CONFIDENTIAL", "security", _HL7,
         "文档的保密级别不允许流转", "The document's confidentiality does not let it circulate.",
         "处方要由药师、药店和医保看到：confidentialityCode 用 N；需保密的处方不要流转",
         "Pharmacist, pharmacy and insurance see a prescription: send confidentialityCode N, "
         "and do not circulate what is restricted.",
         actor="prescriber"),
    MessageRule("CDA-023", "CDA_SIGNATURE", "value", _HL7,
         "签名不是电子签名，或文档尚未签署", "The signature is no electronic signature, or the document is not signed yet.",
         "signatureText 填 Base64 的签名值（64 至 60000 字节）并写明 time，signatureCode 用 S；没有签名就不填",
         "Send the signature in Base64 (64 to 60,000 bytes) with its time and signatureCode S, or none at all."),
)
"""Why bytes are no document of this dialect. What a document says is judged by the checker."""

BY_CODE = {rule.code: rule for rule in RULES}


# What comes in.

@dataclass(frozen=True)
class Cancel:
    """A CancelPrescription request."""

    key: Said
    number: Said
    reason: Said
    at: Said
    findings: tuple[Finding, ...] = ()


class Document:
    """A prescription document, and what of it was read."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self.key = NOTHING
        """Number and version of the document."""
        self.chinese = False
        """Of WS/T 500.6."""
        self.findings: list[Finding] = []
        self._taken: set[tuple[Element, str]] = set()
        """Elements with the attribute that was read of them; an empty one is the text."""
        self._reached: set[Element] = set()
        """Statements that somebody looked at."""

    # Reading: whatever gives a value away remembers that it was read.

    def take(self, node: Element | None, *attributes: str) -> None:
        if node is not None:
            self._taken.update((node, attribute) for attribute in attributes)

    def said(self, node: Element | None, attribute: str = "", de: str = "") -> Said:
        """What an element's text (or one of its attributes) says, and where; `de` is its data element.

        With a nullFlavor it says nothing.
        """
        if node is None or node.get("nullFlavor"):
            return NOTHING
        self.take(node, attribute)
        value = node.get(attribute, "") if attribute else (node.text or "") + "".join(below.tail or "" for below in node)
        return Said(value.strip(), place(node, attribute, de))

    def words(self, node: Element | None, de: str = "") -> Said:
        """The words of an element and all within it, on one line."""
        if node is None or node.get("nullFlavor"):
            return NOTHING
        self._taken.update((below, "") for below in node.iter("*"))
        return Said(one_line(node.itertext()), place(node, "", de))

    def identifier(self, node: Element | None, root: str, de: str = "") -> Said:
        """The extension of the node's id of that root."""
        one = next((one for one in children(node, "id") if one.get("root") == root), None)
        self.take(one, "root")
        return self.said(one, "extension", de)

    def sections(self, code: str, system: str = LOINC) -> list[Element]:
        """The sections of the structured body with that code."""
        found = [find(one, "section") for one in children(find(self.root, "component/structuredBody"), "component")]
        return [one for one in found if one is not None and self._coded(one, code, system)]

    def entries(self, nodes: Sequence[Element], statement: str) -> Iterator[Element]:
        """The statements (`substanceAdministration`, `observation`) directly under the entries of some sections."""
        for node in nodes:
            for entry in children(node, "entry"):
                for one in children(entry, statement)[:1]:
                    self._reached.add(one)
                    yield one

    def observations(self, node: Element | None, code: str, system: str = DATA_ELEMENTS) -> list[Element]:
        """The observations with that code directly under a section or a statement."""
        return [one for link in ("entry", "entryRelationship") for below in children(node, link)
                for one in children(below, "observation")[:1] if self._coded(one, code, system)]

    def observation(self, node: Element | None, code: str, system: str = DATA_ELEMENTS) -> Element | None:
        """The first of them; another one is left to be found."""
        return next((one for link in ("entry", "entryRelationship") for below in children(node, link)
                     for one in children(below, "observation")[:1] if self._coded(one, code, system)), None)

    def observed(self, node: Element | None, code: str, system: str = DATA_ELEMENTS) -> Said:
        """The value of the first of them."""
        one = self.observation(node, code, system)
        return NOTHING if one is None else self.value(one, code if system == DATA_ELEMENTS else "")

    def value(self, observation: Element, de: str = "") -> Said:
        """The value of an observation: the code of a CD, the value of a quantity, a number or a time, the text of a ST."""
        node, about = find(observation, "value"), find(observation, "code")
        types = TYPES.get("" if about is None else about.get("code", ""), ("ST",))
        if node is None:
            return NOTHING
        kind = node.get(f"{{{XSI}}}type", types[0]).rpartition(":")[2]
        if kind not in types:
            self.fault("CDA_FIXED", node, f"{{{XSI}}}type")
        return self.said(node, "code" if kind in _CODED else "" if kind in ("ST", "ED") else "value", de)

    def unit_of(self, observation: Element, de: str = "") -> Said:
        return self.said(find(observation, "value"), "unit", de)

    def days(self, node: Element | None, de: str = "") -> Said:
        """The whole days of a quantity of time, whatever its unit; one that has no days is a finding, and says nothing."""
        value, unit = self.said(node, "value", de), self.said(node, "unit", de)
        number = decimal(value.value)
        if number is None:
            return value
        if (length := factor(unit.value, "d")) is None:
            self.fault("CDA_UNIT", value)
            return replace(value, value="")
        days = Fraction(number) * length
        return replace(value, value=str(days.numerator) if days.denominator == 1 else value.value + unit.value)

    def of_system(self, node: Element | None, system: str) -> None:
        """A code of this system; a document need not say so, and must not say another."""
        if node is not None and node.get("codeSystem"):
            self.take(node, "codeSystem")
            if node.get("codeSystem") != system:
                self.fault("CDA_FIXED", node, "codeSystem")

    def agreed(self, statements: Iterable[Said]) -> Said:
        """What several statements of one fact say; any that says something else is a contradiction."""
        first = NOTHING
        for one in statements:
            if not first.value:
                first = one
            elif one.value not in ("", first.value):
                self.fault("CDA_CONTRADICTION", one)
        return first

    def supplement(self) -> Mapping[str, Sequence[Said]]:
        """What the supplement sections say, by code: the first of what may stand once."""
        found: dict[str, list[Said]] = {}
        for one in self.entries(self.sections("supplement", SUPPLEMENT), "observation"):
            code = find(one, "code")
            if code is None or code.get("codeSystem") != SUPPLEMENT:
                continue
            name = code.get("code", "")
            if name in TYPES and name not in OF_A_DRUG and not name.startswith("DE") and (
                    name in _LISTS or name not in found):
                self.take(code, "code", "codeSystem")
                found.setdefault(name, []).append(self.value(one))
        return found

    def observations_of(self, code: str) -> list[Element]:
        """The observations of a supplement code."""
        return [one for section in self.sections("supplement", SUPPLEMENT)
                for one in self.observations(section, code, SUPPLEMENT)]

    def uncoded(self, coded: Element) -> list[Said]:
        """The words that stand where there is no code, whatever its nullFlavor."""
        found = [self.words(text) for text in children(coded, "originalText")]
        if coded.get("displayName"):
            self.take(coded, "displayName")
            found.append(Said(coded.get("displayName", "").strip(), place(coded, "displayName")))
        if any(one.value for one in found):
            self.take(coded, "nullFlavor")
        return [one for one in found if one.value]

    def narratives(self) -> list[Said]:
        """The words of sections that nobody read as something else, under their title where that is all they hold."""
        body, found = find(self.root, "component/structuredBody"), list[Said]()
        for component in children(body, "component"):
            section = find(component, "section")
            text = find(section, "text")
            title = NOTHING
            if section is not None and not children(section, "entry"):
                self.take(find(section, "code"), "code", "codeSystem")
                title = self.words(find(section, "title"))
            if text is not None and (text, "") not in self._taken:
                words = self.words(text)
                found.append(replace(words, value=f"{title.value}：{words.value}" if title.value and words.value else words.value))
        return found

    def qualified(self, coded: Element | None) -> str:
        """What the qualifiers of a code say it is the code of."""
        names = [(name, self.words(name).value) for one in children(coded, "qualifier") for name in children(one, "name")]
        return " ".join(text or self.said(name, "displayName").value for name, text in names)

    def labels(self, within: Element | None) -> list[Said]:
        """What stands beside codes that were read, and nobody compared: their names, and the words they stand for."""
        found: list[Said] = []
        for node in () if within is None else within.iter("*"):
            if (node, "code") not in self._taken:
                continue
            if (node, "displayName") not in self._taken and not _left_out(node, "displayName"):
                found.append(self.said(node, "displayName"))
            found += [self.words(text) for text in children(node, "originalText") if (text, "") not in self._taken]
        return [one for one in found if one.value]

    def _coded(self, node: Element, code: str, system: str) -> bool:
        one = find(node, "code")
        if one is None or one.get("code") != code or one.get("codeSystem") != system:
            return False
        self.take(one, "code", "codeSystem")
        return True

    # What is wrong.

    def fault(self, code: str, at: Element | Said, attribute: str = "") -> None:
        """One more finding, unless there are enough of its kind."""
        where = at.spot if isinstance(at, Said) else place(at, attribute)
        finding = replace(BY_CODE[code].finding(where.name.rpartition(" ")[2]), spot=where)
        if sum(one.code == code for one in self.findings) < MAX_FINDINGS and finding not in self.findings:
            self.findings.append(finding)

    def passed_over(self) -> None:
        """Findings for whatever is filled in, was not read, and is not left out knowingly; and for what says the opposite."""
        touched: set[Element] = set()
        """Elements of which something was read, and those around them."""
        for one, _ in self._taken:
            around: Element | None = one
            while around is not None and around not in touched:
                touched.add(around)
                around = around.getparent()
        told: set[Element] = set()
        repeated: dict[Element, set[tuple[str, ...]]] = {}

        def loose(node: Element, attribute: str) -> None:
            """Tell of an element nobody read: at the outermost one of which nothing was."""
            if node in touched:
                self.fault("CDA_UNREAD", node, attribute)
                return
            while (above := node.getparent()) is not None and above not in touched:
                node = above
            if node in told:
                return
            told.add(node)
            if above is not None and above not in repeated:
                repeated[above] = {_signature(one) for one in above if one in touched}
            statement = _statement(node)
            if above is not None and _signature(node) in repeated[above]:
                self.fault("CDA_REPEATED", node)
            elif _about(statement) in _READ or any(local(one) in _DRUGS for one in node.iter("*")):
                self.fault("CDA_UNREACHED", node)
            else:
                self.fault("CDA_UNREAD", node)

        for one in self.root.iter("{*}substanceAdministration"):
            if "moodCode" not in one.attrib:
                self.fault("CDA_MOOD", one)
        for one in self.root.iter("{*}substanceAdministration", "{*}supply"):
            if one not in self._reached:
                loose(one, "")
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            if _left_out(node, "*"):
                continue
            waiting += reversed(node)
            for name, value in node.items():
                attribute = str(name)
                if not value.strip() or (node, attribute) in self._taken:
                    continue
                if attribute == "nullFlavor":
                    if _filled(node):
                        self.fault("CDA_STATUS", node)
                elif attribute in FIXED and (expected := FIXED[attribute].get(local(node), FIXED[attribute].get("*"))):
                    if value not in expected.split():
                        self.fault(_OPPOSITE.get(attribute, "CDA_FIXED"), node, attribute)
                elif local(node) == "statusCode" and attribute == "code":
                    if value not in _STANDING:
                        self.fault("CDA_STATUS", node)
                elif attribute != f"{{{XSI}}}type" and not _left_out(node, attribute):
                    loose(node, attribute)
            text = (node.text or "") + "".join(below.tail or "" for below in node)
            if text.strip() and (node, "") not in self._taken and not _left_out(node, ""):
                loose(node, "")


def _steps(node: Element) -> Iterator[str]:
    """The path of an element as `UNREAD` writes it, from the element up."""
    for one in (node, *node.iterancestors()):
        yield step(local(one), _code(one))


def _code(node: Element) -> str:
    """The code of a statement, or of the one that an element is around."""
    while local(node) in ("component", "entry", "entryRelationship"):
        inner = next((one for one in node if local(one) in ("section", "observation")), None)
        if inner is None:
            return ""
        node = inner
    return _about(node)[1] if local(node) in ("section", "observation") else ""


def _left_out(node: Element, attribute: str) -> bool:
    """Whether an attribute, the text (``) or all (`*`) of an element is knowingly not read."""
    name, own = local(node), attribute.rpartition("}")[2]
    if name == "reference" and not node.get("value", "").startswith("#"):
        return False
    above = node.getparent()
    around = "" if above is None else local(above)
    last = f"@{own}" if own not in ("", "*") else own
    if {(last,), (name, last), (around, name, last)} & _ANYWHERE:
        return True
    if own in _LAID_OUT and any(
            local(one) == "text" for one in (node, *node.iterancestors())):
        return True
    # Only what ends like one of them is worth its whole path.
    return (name, last) in _ENDS and "/".join(("", *reversed(list(_steps(node))), *filter(None, (last,)))) in UNREAD


def _ending(path: str) -> tuple[str, ...]:
    """The names a path ends with: the element, and the attribute, `*` or nothing for its text."""
    names = path.replace("(*)", "").split("/")[1:]
    return (*names, *([] if names[-1] == "*" or names[-1].startswith("@") else [""]))


_ANYWHERE = frozenset(_ending(path) for path in UNREAD if path.startswith("*/") and "/text/" not in path)
_LAID_OUT = frozenset(path.rpartition("@")[2] for path in UNREAD if path.startswith("*/text/*/@"))
_ENDS = frozenset(_ending(path)[-2:] for path in UNREAD if path.startswith("/"))
_CODED = ("CD", "CE", "CV", "CO")
_STANDING = frozenset({"active", "completed"})
_OPPOSITE = {"negationInd": "CDA_NEGATED", "moodCode": "CDA_MOOD"}
_DRUGS = frozenset({"substanceAdministration", "supply", "manufacturedProduct"})
_LISTS = frozenset({"allergy-group", "allergy-words", "proof-diagnosis"})
"""Codes of the supplement of which each one counts."""
_READ = frozenset((system, code) for code in TYPES for system in ((DATA_ELEMENTS,) if code.startswith("DE") else (SUPPLEMENT,)))
_WRAPPERS = frozenset({"entry", "entryRelationship", "component", "organizer", "act", "section"})


def _statement(node: Element) -> Element:
    """What is said in an entry: the first statement in it that is none itself but a wrapper around others."""
    while local(node) in _WRAPPERS:
        inner = next((one for one in node if local(one) in _WRAPPERS or local(one) in (*_DRUGS, "observation")), None)
        if inner is None:
            break
        node = inner
    return node


def _signature(node: Element) -> tuple[str, ...]:
    """What makes two elements beside each other the same one twice: their names, and what they are about.

    Drugs beside each other are two.
    """
    statement = _statement(node)
    around = [local(one) for one in statement.iterancestors()] if statement is not node else []
    about = str(id(statement)) if local(statement) in _DRUGS - {"manufacturedProduct"} else (
        _about(statement)[1] or statement.get("root", ""))
    return *around, local(statement), about


def _about(node: Element) -> tuple[str, str]:
    """Code system and code of what a statement is about."""
    code = find(node, "code")
    return ("", "") if code is None else (code.get("codeSystem", ""), code.get("code", ""))


def read(raw: bytes) -> Document | Cancel:
    """A document, or a cancel with or without its SOAP envelope. Raises `InvalidPayload` where there is nothing to read."""
    root = parse(raw, "ClinicalDocument", max_bytes=MAX_BYTES, max_tags=MAX_TAGS)
    if root.tag == f"{{{V3}}}ClinicalDocument":
        return _document(root)
    wish, around = root, list[Element]()
    if root.tag == f"{{{SOAP}}}Envelope":
        bodies = root.findall(f"{{{SOAP}}}Body")
        # Two calls in one envelope are two wishes: nobody can tell which is meant.
        wish = bodies[0][0] if len(bodies) == 1 and len(bodies[0]) == 1 else root
        around = [root, *(one for one in root if one.tag != f"{{{SOAP}}}Header")]
    if wish.tag != f"{{{SERVICE}}}CancelPrescription":
        raise InvalidPayload([found("CDA_ROOT", root)])
    return _cancel(wish, around)


def _cancel(wish: Element, around: Sequence[Element]) -> Cancel:
    """A cancel; what is said of its elements, or around it in the envelope, beside what is read, is a finding."""
    given: dict[str, Said] = {}
    findings = [found("CDA_UNREAD", node) for node in (*around, wish, *wish)
                if any(not str(name).startswith("{") and text.strip() for name, text in node.items())]
    findings += [found("CDA_UNREAD", node) for node in around[1:] if node.tag != f"{{{SOAP}}}Body"]
    for node in wish:
        name = local(node)
        if name in given:
            findings.append(found("CDA_REPEATED", node))
        elif node.tag == f"{{{SERVICE}}}{name}" and name in ("messageId", "prescriptionNumber", "reason", "at") and not len(node):
            given[name] = Said((node.text or "").strip(), place(node))
        else:
            findings.append(found("CDA_UNREAD", node))
    key, number, reason, at = (given.get(name, NOTHING) for name in ("messageId", "prescriptionNumber", "reason", "at"))
    return Cancel(key, number, reason, at, tuple(findings[:MAX_FINDINGS]))


def _document(root: Element) -> Document:
    statements = list(root.iter(f"{{{V3}}}substanceAdministration", f"{{{V3}}}observation"))
    if len(statements) > MAX_STATEMENTS:
        raise InvalidPayload([found("CDA_TOO_MANY", statements[MAX_STATEMENTS])])
    document = Document(root)
    _head(document)
    _key(document)
    # Many systems print the whole template, with nothing in it where nothing is replaced.
    for related in children(root, "relatedDocument"):
        parent = next((one for one in related.iter("*") if one is not related and _says(one)), None)
        if parent is not None:
            document.fault("CDA_REPLACES", parent)
            for one in related.iter("*"):
                document.take(one, "", *map(str, one.keys()))
    return document


def _head(document: Document) -> None:
    root = document.root
    templates = [one for one in children(root, "templateId") if one.get("root") in TEMPLATES]
    code = find(root, "code")
    document.take(code, "code", "codeSystem")
    written = "" if code is None else code.get("code", "")
    if not templates:
        document.fault("CDA_TEMPLATE", next(iter(children(root, "templateId")), root))
        document.chinese = written == "C0005"
    else:
        document.take(templates[0], "root")
        expected, document.chinese = TEMPLATES[templates[0].get("root", "")]
        if any(one.get("root") != templates[0].get("root") for one in templates):
            document.fault("CDA_CONTRADICTION", templates[1])
        if written != expected:
            document.fault("CDA_CODE", root if code is None else code)
    document.of_system(code, DOCUMENT_CODES)
    title = document.words(find(root, "title"))
    if title.value and not _TITLE.fullmatch(title.value):
        document.fault("CDA_TITLE", title)
    elif ("西药" if document.chinese else "中药") in title.value:
        document.fault("CDA_CONTRADICTION", title)
    confidential = document.said(find(root, "confidentialityCode"), "code")
    if confidential.value not in ("", "N", "L", "M", "U"):
        document.fault("CDA_CONFIDENTIAL", confidential)


def _key(document: Document) -> None:
    root = document.root
    number = document.identifier(root, DOCUMENT_ID)
    version = document.said(find(root, "versionNumber"), "value")
    if not number.value:
        number = Said("", place(next(iter(children(root, "id")), root)))
        document.fault("CDA_DOCUMENT_ID", number)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", version.value or "1"):
        document.fault("CDA_VERSION", version)
        number = Said("", version.spot)
    document.key = replace(number, value=f"{number.value}-v{version.value or 1}" if number.value else "")


_TITLE = re.compile(r"(?!.*(?:作废|撤销|取消|草稿|测试|样例|示例|副本))(?:.{0,40}[^非])?处方(?:笺|单)?")


def _filled(node: Element) -> bool:
    """Whether there is more in an element than how it is marked."""
    return any((one.text or "").strip() or any(
        text.strip() and name not in _MARKS and name not in FIXED for name, text in one.items()) for one in node.iter("*"))


_MARKS = frozenset({"nullFlavor", f"{{{XSI}}}type", "codeSystem", "codeSystemName", "root"})


def _says(node: Element) -> bool:
    """Whether there is anything in an element itself: many systems print a template with nothing filled in."""
    return bool((node.text or "").strip()) or any(
        text.strip() for name, text in node.items() if name not in ("nullFlavor", "classCode", "moodCode"))


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
            return spot(next(iter(document.sections(whole[path])), document.root))
        if path.endswith(".validityPeriod") and f"{path}.end" in spots:
            return spots[f"{path}.end"]  # the days are what makes it right or wrong
        if not any(known.startswith(path) for known in spots):
            if _SUPPLEMENTED.search(path):
                return spot(next(iter(document.sections("supplement", SUPPLEMENT)), document.root))
            if item := _OF_AN_ITEM.match(path):
                return nearest(f"{item[1]}.medication")
        return nearest(path)

    return find_


def could_be_signature(text: str) -> bool:
    """Whether a text is Base64 of a length that a signature, with or without its certificates, may have."""
    try:
        return 64 <= len(base64.b64decode("".join(text.split()), validate=True)) <= 60_000
    except (binascii.Error, ValueError):
        return False


def usable_key(key: Said) -> str | None:
    """A key of the hospital's as the platform may use it, or None."""
    return key.value if KEY.fullmatch(key.value) else None


# Finding one's way: every name is of `urn:hl7-org:v3`.

def children(node: Element | None, name: str) -> list[Element]:
    return [] if node is None else node.findall(f"{{{V3}}}{name}")


def find(node: Element | None, path: str) -> Element | None:
    """The first element under a path such as `author/time`, or None."""
    return None if node is None else node.find("/".join(f"{{{V3}}}{name}" for name in path.split("/")))


def place(node: Element, attribute: str = "", de: str = "") -> Spot:
    """Where an element or one of its attributes stands: data element, XPath, line, column."""
    path = f"{xpath(node)}/@{shown(attribute.rpartition('}')[2])}" if attribute else xpath(node)
    return spot(node, f"{de} {path}" if de else path)


def found(code: str, node: Element) -> Finding:
    return replace(BY_CODE[code].finding(xpath(node)), spot=place(node))


# Values.

_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d{1,6})?(?:([+-]\d\d):?(\d\d))?")
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)(?:\d{4}(?:\d\d(?:\.\d{1,6})?)?(?:[+-]\d{4})?)?")


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


def decimal(text: str) -> Decimal | None:
    """A plain number, or None."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def plain(number: Decimal) -> str:
    """A number without needless zeros: `30` for 30.0."""
    return f"{number.normalize():f}"


_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_LINE_BREAKS = re.compile("[\\r\\n]+")
_ENDS_CHINESE, _BEGINS_CHINESE = re.compile(f"[{_CJK}]\\Z"), re.compile(f"[{_CJK}]")


def unindented(text: str) -> str:
    """A text without the line breaks and indentation of a pretty printer; Chinese characters need no blank in their place."""
    pieces: list[str] = []
    for line in filter(None, (line.strip() for line in _LINE_BREAKS.split(text))):
        if pieces and not (_ENDS_CHINESE.search(pieces[-1][-1:]) and _BEGINS_CHINESE.match(line)):
            pieces.append(" ")
        pieces.append(line)
    return "".join(pieces)


def one_line(texts: Iterable[Any]) -> str:
    """Words of a narrative block on one line."""
    return " ".join(line for text in texts for line in (unindented(str(text)),) if line)


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


class Inquiry(StrEnum):
    """The answer to a question about a prescription (QueryStatus)."""

    KNOWN = "known"
    UNKNOWN = "unknown"


WORDS: Mapping[Outcome | Inquiry, tuple[str, str]] = {
    Outcome.ACCEPTED: ("已接收", "accepted"),
    Outcome.REFUSED: ("不符合约定，未接收；请按所列问题修改后重发", "refused; correct what is listed and send it again"),
    Outcome.CONFLICT: ("同一文档或处方已收到过，内容不同；先撤销原处方，再以新编号发送",
                       "the document or prescription came before with another content; cancel that one, then send the new one "
                       "under new numbers"),
    Outcome.WAITING: ("已保存，待人工对照编码；结果另行通知", "kept until its codes are mapped; you will be told"),
    Inquiry.KNOWN: ("处方现状", "where the prescription is"),
    Inquiry.UNKNOWN: ("没有收到过该处方", "no such prescription came"),
}


def answer(_: Message | None, verdict: Verdict) -> Reply:
    """The verdict as a `result` element, with every finding by data element, XPath and line."""
    return Reply(result(
        verdict.outcome, verdict.at, verdict.prescription_id, verdict.external_id, verdict.status,
        verdict.findings, verdict.unmapped), 200, "text/xml; charset=utf-8")


def result(outcome: Outcome | Inquiry, at: datetime, prescription_id: str = "", number: str = "", status: str = "",
           findings: Sequence[Finding] = (), unmapped: Sequence[Unmapped] = ()) -> bytes:
    """A `result` element of our service (cda.wsdl)."""
    text, text_en = WORDS[outcome]
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
