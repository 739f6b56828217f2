"""WS/T 500.5-2016 (西药处方) and 500.6-2016 (中药处方): CDA documents with positions. SOAP carries them (cda_soap.py).

The standard has no elements for insurance, visit or handover. A hospital sends these in one more section, whose code
system is `SUPPLEMENT`. Base CDA allows such a section, and other receivers may ignore it. The rest follows the standard.

A document remembers which of its elements were read. Another element that is filled in is a finding, unless `LEFT_OUT`
has it: its sender must learn that we do not act on it.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

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
    SERVICE,
    SOAP,
    SUPPLEMENT,
    TYPES,
    UNREAD,
    V3,
    XSI,
    step,
)
from adapters.dialects.cda_rules import BY_CODE, RULES
from adapters.dialects.cda_values import decimal, one_line
from adapters.xml import Element, local, parse, shown, spot, xpath
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from domain.units import factor
from fhir_profiles import bundles
from fhir_profiles.drafts import NOTHING, Datum
from fhir_profiles.message import KEY

__all__ = ["DATA_ELEMENTS", "LEFT_OUT", "LOINC", "RULES", "SERVICE", "SUPPLEMENT", "V3", "xpath"]

DIALECT = "cda"

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


# What comes in.

@dataclass(frozen=True)
class Cancel:
    """A CancelPrescription request."""

    key: Datum
    number: Datum
    reason: Datum
    at: Datum
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
        """Statements that were read."""

    # Reading: each method that returns a value notes that it was read.

    def take(self, node: Element | None, *attributes: str) -> None:
        if node is not None:
            self._taken.update((node, attribute) for attribute in attributes)

    def datum(self, node: Element | None, attribute: str = "", de: str = "") -> Datum:
        """What an element's text (or one of its attributes) says, and where; `de` is its data element.

        With a nullFlavor it says nothing.
        """
        if node is None or node.get("nullFlavor"):
            return NOTHING
        self.take(node, attribute)
        value = node.get(attribute, "") if attribute else (node.text or "") + "".join(below.tail or "" for below in node)
        return Datum(value.strip(), place(node, attribute, de))

    def words(self, node: Element | None, de: str = "") -> Datum:
        """The words of an element and all within it, on one line."""
        if node is None or node.get("nullFlavor"):
            return NOTHING
        self._taken.update((below, "") for below in node.iter("*"))
        return Datum(one_line(node.itertext()), place(node, "", de))

    def identifier(self, node: Element | None, root: str, de: str = "") -> Datum:
        """The extension of the node's id of that root."""
        identifier = next((identifier for identifier in children(node, "id") if identifier.get("root") == root), None)
        self.take(identifier, "root")
        return self.datum(identifier, "extension", de)

    def sections(self, code: str, system: str = LOINC) -> list[Element]:
        """The sections of the structured body with that code."""
        sections = [find(component, "section") for component in children(find(self.root, "component/structuredBody"), "component")]
        return [section for section in sections if section is not None and self._coded(section, code, system)]

    def entries(self, nodes: Sequence[Element], statement: str) -> Iterator[Element]:
        """The statements (`substanceAdministration`, `observation`) directly under the entries of some sections."""
        for node in nodes:
            for entry in children(node, "entry"):
                for inner in children(entry, statement)[:1]:
                    self._reached.add(inner)
                    yield inner

    def observations(self, node: Element | None, code: str, system: str = DATA_ELEMENTS) -> list[Element]:
        """The observations with that code directly under a section or a statement."""
        return [observation for link in ("entry", "entryRelationship") for below in children(node, link)
                for observation in children(below, "observation")[:1] if self._coded(observation, code, system)]

    def observation(self, node: Element | None, code: str, system: str = DATA_ELEMENTS) -> Element | None:
        """The first of them; another one is left to be found."""
        return next((observation for link in ("entry", "entryRelationship") for below in children(node, link)
                     for observation in children(below, "observation")[:1] if self._coded(observation, code, system)), None)

    def observed(self, node: Element | None, code: str, system: str = DATA_ELEMENTS) -> Datum:
        """The value of the first of them."""
        observation = self.observation(node, code, system)
        return NOTHING if observation is None else self.value(observation, code if system == DATA_ELEMENTS else "")

    def value(self, observation: Element, de: str = "") -> Datum:
        """The value of an observation: the code of a CD, the value of a quantity, a number or a time, the text of a ST."""
        node, about = find(observation, "value"), find(observation, "code")
        types = TYPES.get("" if about is None else about.get("code", ""), ("ST",))
        if node is None:
            return NOTHING
        kind = node.get(f"{{{XSI}}}type", types[0]).rpartition(":")[2]
        if kind not in types:
            self.fault("CDA_FIXED", node, f"{{{XSI}}}type")
        return self.datum(node, "code" if kind in _CODED else "" if kind in ("ST", "ED") else "value", de)

    def unit_of(self, observation: Element, de: str = "") -> Datum:
        return self.datum(find(observation, "value"), "unit", de)

    def days(self, node: Element | None, de: str = "") -> Datum:
        """The whole days of a quantity of time in any unit; a quantity without days is a finding, and the answer is empty."""
        value, unit = self.datum(node, "value", de), self.datum(node, "unit", de)
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

    def agreed(self, statements: Iterable[Datum]) -> Datum:
        """What several statements of one fact say; any that says something else is a contradiction."""
        first = NOTHING
        for statement in statements:
            if not first.value:
                first = statement
            elif statement.value not in ("", first.value):
                self.fault("CDA_CONTRADICTION", statement)
        return first

    def supplement(self) -> Mapping[str, Sequence[Datum]]:
        """What the supplement sections say, by code: the first of what may stand once."""
        by_code: dict[str, list[Datum]] = {}
        for observation in self.entries(self.sections("supplement", SUPPLEMENT), "observation"):
            code = find(observation, "code")
            if code is None or code.get("codeSystem") != SUPPLEMENT:
                continue
            name = code.get("code", "")
            if name in TYPES and name not in OF_A_DRUG and not name.startswith("DE") and (
                    name in _LISTS or name not in by_code):
                self.take(code, "code", "codeSystem")
                by_code.setdefault(name, []).append(self.value(observation))
        return by_code

    def observations_of(self, code: str) -> list[Element]:
        """The observations of a supplement code."""
        return [observation for section in self.sections("supplement", SUPPLEMENT)
                for observation in self.observations(section, code, SUPPLEMENT)]

    def uncoded(self, coded: Element) -> list[Datum]:
        """The words that stand where there is no code, with any nullFlavor."""
        texts = [self.words(text) for text in children(coded, "originalText")]
        if coded.get("displayName"):
            self.take(coded, "displayName")
            texts.append(Datum(coded.get("displayName", "").strip(), place(coded, "displayName")))
        if any(text.value for text in texts):
            self.take(coded, "nullFlavor")
        return [text for text in texts if text.value]

    def narratives(self) -> list[Datum]:
        """The words of sections that were not read as data, under their title where the section holds only words."""
        body, texts = find(self.root, "component/structuredBody"), list[Datum]()
        for component in children(body, "component"):
            section = find(component, "section")
            text = find(section, "text")
            title = NOTHING
            if section is not None and not children(section, "entry"):
                self.take(find(section, "code"), "code", "codeSystem")
                title = self.words(find(section, "title"))
            if text is not None and (text, "") not in self._taken:
                words = self.words(text)
                texts.append(replace(words, value=f"{title.value}：{words.value}" if title.value and words.value else words.value))
        return texts

    def qualified(self, coded: Element | None) -> str:
        """What the qualifiers of a code say it is the code of."""
        names = [(name, self.words(name).value)
                 for qualifier in children(coded, "qualifier") for name in children(qualifier, "name")]
        return " ".join(text or self.datum(name, "displayName").value for name, text in names)

    def labels(self, within: Element | None) -> list[Datum]:
        """Names and words beside codes that were read, if they were not compared: display names and original texts."""
        texts: list[Datum] = []
        for node in () if within is None else within.iter("*"):
            if (node, "code") not in self._taken:
                continue
            if (node, "displayName") not in self._taken and not _left_out(node, "displayName"):
                texts.append(self.datum(node, "displayName"))
            texts += [self.words(text) for text in children(node, "originalText") if (text, "") not in self._taken]
        return [text for text in texts if text.value]

    def _coded(self, node: Element, code: str, system: str) -> bool:
        coded = find(node, "code")
        if coded is None or coded.get("code") != code or coded.get("codeSystem") != system:
            return False
        self.take(coded, "code", "codeSystem")
        return True

    # What is wrong.

    def fault(self, code: str, at: Element | Datum, attribute: str = "") -> None:
        """One more finding, unless there are enough of its kind."""
        where = at.spot if isinstance(at, Datum) else place(at, attribute)
        finding = replace(BY_CODE[code].finding(where.name.rpartition(" ")[2]), spot=where)
        if sum(earlier.code == code for earlier in self.findings) < MAX_FINDINGS and finding not in self.findings:
            self.findings.append(finding)

    def passed_over(self) -> None:
        """Findings for what is filled in, not read and not left out knowingly; and for statements that contradict the rest."""
        touched: set[Element] = set()
        """Elements of which something was read, and those around them."""
        for node_read, _ in self._taken:
            around: Element | None = node_read
            while around is not None and around not in touched:
                touched.add(around)
                around = around.getparent()
        reported: set[Element] = set()
        repeated: dict[Element, set[tuple[str, ...]]] = {}

        def loose(node: Element, attribute: str) -> None:
            """A finding for an element that was not read, at the outermost element of which nothing was read."""
            if node in touched:
                self.fault("CDA_UNREAD", node, attribute)
                return
            while (above := node.getparent()) is not None and above not in touched:
                node = above
            if node in reported:
                return
            reported.add(node)
            if above is not None and above not in repeated:
                repeated[above] = {_signature(sibling) for sibling in above if sibling in touched}
            statement = _statement(node)
            if above is not None and _signature(node) in repeated[above]:
                self.fault("CDA_REPEATED", node)
            elif _about(statement) in _READ or any(local(inner) in _DRUGS for inner in node.iter("*")):
                self.fault("CDA_UNREACHED", node)
            else:
                self.fault("CDA_UNREAD", node)

        for node in self.root.iter("{*}substanceAdministration"):
            if "moodCode" not in node.attrib:
                self.fault("CDA_MOOD", node)
        for node in self.root.iter("{*}substanceAdministration", "{*}supply"):
            if node not in self._reached:
                loose(node, "")
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
    for above in (node, *node.iterancestors()):
        yield step(local(above), _code(above))


def _code(node: Element) -> str:
    """The code of a statement, or of the one that an element is around."""
    while local(node) in ("component", "entry", "entryRelationship"):
        inner = next((below for below in node if local(below) in ("section", "observation")), None)
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
            local(above) == "text" for above in (node, *node.iterancestors())):
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
        inner = next((below for below in node if local(below) in _WRAPPERS or local(below) in (*_DRUGS, "observation")), None)
        if inner is None:
            break
        node = inner
    return node


def _signature(node: Element) -> tuple[str, ...]:
    """What makes two elements beside each other the same one twice: their names, and what they are about.

    Drugs beside each other are two.
    """
    statement = _statement(node)
    around = [local(above) for above in statement.iterancestors()] if statement is not node else []
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
        # Two calls in one envelope: it is not clear which is meant, so both are refused.
        wish = bodies[0][0] if len(bodies) == 1 and len(bodies[0]) == 1 else root
        around = [root, *(child for child in root if child.tag != f"{{{SOAP}}}Header")]
    if wish.tag != f"{{{SERVICE}}}CancelPrescription":
        raise InvalidPayload([finding("CDA_ROOT", root)])
    return _cancel(wish, around)


def _cancel(wish: Element, around: Sequence[Element]) -> Cancel:
    """A cancel; what is said of its elements, or around it in the envelope, beside what is read, is a finding."""
    values: dict[str, Datum] = {}
    findings = [finding("CDA_UNREAD", node) for node in (*around, wish, *wish)
                if any(not str(name).startswith("{") and text.strip() for name, text in node.items())]
    findings += [finding("CDA_UNREAD", node) for node in around[1:] if node.tag != f"{{{SOAP}}}Body"]
    for node in wish:
        name = local(node)
        if name in values:
            findings.append(finding("CDA_REPEATED", node))
        elif node.tag == f"{{{SERVICE}}}{name}" and name in ("messageId", "prescriptionNumber", "reason", "at") and not len(node):
            values[name] = Datum((node.text or "").strip(), place(node))
        else:
            findings.append(finding("CDA_UNREAD", node))
    key, number, reason, at = (values.get(name, NOTHING) for name in ("messageId", "prescriptionNumber", "reason", "at"))
    return Cancel(key, number, reason, at, tuple(findings[:MAX_FINDINGS]))


def _document(root: Element) -> Document:
    statements = list(root.iter(f"{{{V3}}}substanceAdministration", f"{{{V3}}}observation"))
    if len(statements) > MAX_STATEMENTS:
        raise InvalidPayload([finding("CDA_TOO_MANY", statements[MAX_STATEMENTS])])
    document = Document(root)
    _head(document)
    _key(document)
    # Many systems print the whole template, with nothing in it where nothing is replaced.
    for related in children(root, "relatedDocument"):
        parent = next((inner for inner in related.iter("*") if inner is not related and _says(inner)), None)
        if parent is not None:
            document.fault("CDA_REPLACES", parent)
            for inner in related.iter("*"):
                document.take(inner, "", *map(str, inner.keys()))
    return document


def _head(document: Document) -> None:
    root = document.root
    templates = [template for template in children(root, "templateId") if template.get("root") in TEMPLATES]
    code = find(root, "code")
    document.take(code, "code", "codeSystem")
    written = "" if code is None else code.get("code", "")
    if not templates:
        document.fault("CDA_TEMPLATE", next(iter(children(root, "templateId")), root))
        document.chinese = written == "C0005"
    else:
        document.take(templates[0], "root")
        expected, document.chinese = TEMPLATES[templates[0].get("root", "")]
        if any(template.get("root") != templates[0].get("root") for template in templates):
            document.fault("CDA_CONTRADICTION", templates[1])
        if written != expected:
            document.fault("CDA_CODE", root if code is None else code)
    document.of_system(code, DOCUMENT_CODES)
    title = document.words(find(root, "title"))
    if title.value and not _TITLE.fullmatch(title.value):
        document.fault("CDA_TITLE", title)
    elif ("西药" if document.chinese else "中药") in title.value:
        document.fault("CDA_CONTRADICTION", title)
    confidential = document.datum(find(root, "confidentialityCode"), "code")
    if confidential.value not in ("", "N", "L", "M", "U"):
        document.fault("CDA_CONFIDENTIAL", confidential)


def _key(document: Document) -> None:
    root = document.root
    number = document.identifier(root, DOCUMENT_ID)
    version = document.datum(find(root, "versionNumber"), "value")
    if not number.value:
        number = Datum("", place(next(iter(children(root, "id")), root)))
        document.fault("CDA_DOCUMENT_ID", number)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", version.value or "1"):
        document.fault("CDA_VERSION", version)
        number = Datum("", version.spot)
    document.key = replace(number, value=f"{number.value}-v{version.value or 1}" if number.value else "")


_TITLE = re.compile(r"(?!.*(?:作废|撤销|取消|草稿|测试|样例|示例|副本))(?:.{0,40}[^非])?处方(?:笺|单)?")


def _filled(node: Element) -> bool:
    """Whether there is more in an element than how it is marked."""
    return any((inner.text or "").strip() or any(
        text.strip() and name not in _MARKS and name not in FIXED for name, text in inner.items()) for inner in node.iter("*"))


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
    nearest = bundles.locate(spots)
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


def usable_key(key: Datum) -> str | None:
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


def finding(code: str, node: Element) -> Finding:
    return replace(BY_CODE[code].finding(xpath(node)), spot=place(node))
