"""The cures: each looks at one value of a message, puts right how it is written, and says so in Chinese and English."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_profiles import codes
from fhir_profiles.checks.persons import valid_resident_id
from fhir_profiles.elements import elements, resource_elements
from fhir_profiles.patches.places import At


@dataclass(frozen=True)
class Change:
    """What was put right, and where; never what it was."""

    path: str
    text: str
    text_en: str


_PROSE = frozenset({"text", "display", "div", "patientInstruction", "valueString", "family", "given", "line", "name"})
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x200B: None, 0xFEFF: None, 0xA0: " "}


def _tidy(at: At) -> str:
    # An identifier in another writing may be another one; those who gave it must say.
    identifies = at.name == "value" and at.names[-2:-1] and at.names[-2] in ("identifier", "groupIdentifier")
    if isinstance(at.value, str) and at.name not in _PROSE and not identifies:
        tidy = at.value.translate(_WIDE).strip()
        if tidy and tidy != at.value:
            at.holder[at.key] = tidy
            return "去掉首尾空白，全角改为半角|spaces around it removed, full-width characters made half-width"
    return ""


_OF_SYSTEM: Mapping[str, frozenset[str]] = {
    codes.ACT_CODE: codes.VISIT_CLASSES,
    codes.code_system("visit-type"): codes.VISIT_TYPES,
    codes.code_system("insutype"): codes.INSUTYPES,
    codes.code_system("drug-kind"): codes.DRUG_KINDS,
    codes.code_system("prescription-kind"): codes.RX_KINDS,
    codes.code_system("frequency"): codes.FREQUENCIES,
    codes.code_system("route"): codes.ROUTES,
    codes.code_system("task"): frozenset({"cancel"}),
    codes.code_system("cancel-reason"): codes.CANCEL_REASONS,
}
_OF_ELEMENT: Mapping[tuple[str, ...], frozenset[str]] = {
    ("Bundle", "type"): frozenset({"collection"}),
    ("Patient", "gender"): frozenset({"male", "female"}),
    ("Encounter", "status"): frozenset({"finished", "in-progress"}),
    ("Coverage", "status"): frozenset({"active"}),
    ("MedicationRequest", "status"): frozenset({"active"}),
    ("MedicationRequest", "intent"): frozenset({"order"}),
    ("Task", "status"): frozenset({"requested"}),
    ("Task", "intent"): frozenset({"order"}),
}


def _allowed(at: At) -> frozenset[str]:
    if at.name == "code":
        return _OF_SYSTEM.get(str(at.beside.get("system")), frozenset())
    if at.name == "valueCode" and at.beside.get("url") == codes.extension("handover"):
        return codes.HANDOVERS
    return _OF_ELEMENT.get((at.kind, *at.names), frozenset())


def _case(at: At) -> str:
    if not isinstance(at.value, str):
        return ""
    same = [code for code in _allowed(at) if code.casefold() == at.value.casefold()]
    if len(same) == 1 and same[0] != at.value:
        at.holder[at.key] = same[0]
        return "代码改为约定的大小写|the code written in the agreed case"
    return ""


_GENDERS = {"男": "male", "男性": "male", "m": "male", "1": "male", "女": "female", "女性": "female", "f": "female",
            "2": "female"}
"""GB/T 2261.1 and how people write it; the checker compares the result with the id number."""


def _gender(at: At) -> str:
    if (at.kind, *at.names) == ("Patient", "gender") and (word := _GENDERS.get(str(at.value).casefold())):
        at.holder[at.key] = word
        return "性别改用 FHIR 代码|the gender written as FHIR's code"
    return ""


def _id_number(at: At) -> str:
    if at.name == "value" and isinstance(at.value, str) and at.beside.get("system") == codes.RESIDENT_ID and (
            at.value.endswith("x") and valid_resident_id(at.value.upper())):
        at.holder[at.key] = at.value.upper()
        return "身份证号末位改为大写 X|the final x of the id number in upper case"
    return ""


_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?")
_QUANTITIES = frozenset({"doseQuantity", "quantity", "expectedSupplyDuration"})
_TRUTH = {"true": True, "false": False}


def _quoted(at: At) -> str:
    """A number or a truth value that came as a text of the same digits or word."""
    if not isinstance(at.value, str):
        return ""
    is_number = at.name in ("valueDecimal", "valueInteger") or (at.name == "value" and at.names[-2:-1]
                                                                and at.names[-2] in _QUANTITIES)
    if is_number and _NUMBER.fullmatch(at.value):
        at.holder[at.key] = Decimal(at.value) if "." in at.value else int(at.value)
        return "带引号的数值改为数值|a number in quotes written as a number"
    if at.name in ("valueBoolean", "active", "doNotPerform") and at.value in _TRUTH:
        at.holder[at.key] = _TRUTH[at.value]
        return "带引号的布尔值改为布尔值|true or false in quotes written without"
    return ""


_TIME = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?) ?([Zz]|[+-]\d\d:?\d\d)")
_TIMES = frozenset({"timestamp", "authoredOn", "start", "end"})


def _time(at: At) -> str:
    """A whole time with an offset in another writing; an offset is never added."""
    if at.name in _TIMES and isinstance(at.value, str) and (match := _TIME.fullmatch(at.value)):
        zone = match[5].upper()
        zone = zone if zone == "Z" or ":" in zone else f"{zone[:3]}:{zone[3:]}"
        time = f"{match[1]}-{match[2]}-{match[3]}T{match[4]}{zone}"
        if time != at.value:
            at.holder[at.key] = time
            return "时间改为 ISO 8601 写法|the time written as in ISO 8601"
    return ""


_SYSTEMS: Mapping[tuple[str, ...], str] = {
    ("Encounter", "class"): codes.ACT_CODE,
    ("Encounter", "type", "coding"): codes.code_system("visit-type"),
    ("Coverage", "type", "coding"): codes.code_system("insutype"),
    ("MedicationRequest", "category", "coding"): codes.code_system("drug-kind"),
    ("MedicationRequest", "courseOfTherapyType", "coding"): codes.code_system("prescription-kind"),
    ("MedicationRequest", "dosageInstruction", "timing", "code", "coding"): codes.code_system("frequency"),
    ("MedicationRequest", "dosageInstruction", "route", "coding"): codes.code_system("route"),
    ("Task", "code", "coding"): codes.code_system("task"),
    ("Task", "reasonCode", "coding"): codes.code_system("cancel-reason"),
}
_OWN = {("Bundle", "identifier"): "message", ("Task", "identifier"): "message",
        ("Task", "focus", "identifier"): "prescription", ("MedicationRequest", "groupIdentifier"): "prescription",
        ("MedicationRequest", "identifier"): "item"}


def _system(at: At) -> str:
    """A system that is missing, or written in another case, where the contract leaves no choice."""
    node, place = at.value, (at.kind, *at.names)
    if not isinstance(node, dict):
        return ""
    system, wanted = node.get("system"), ""
    if place in _SYSTEMS and str(node.get("code")) in _OF_SYSTEM[_SYSTEMS[place]]:
        wanted = _SYSTEMS[place]
    elif place in _OWN and at.hospital and node.get("value"):
        wanted = codes.own_system(at.hospital, _OWN[place])
    elif place == ("Patient", "identifier") and valid_resident_id(str(node.get("value"))):
        wanted = codes.RESIDENT_ID
    elif place == ("Practitioner", "identifier") and re.fullmatch(r"D\d{12}", str(node.get("value")), re.ASCII):
        wanted = codes.sid("physician")
    elif place == ("Organization", "identifier") and re.fullmatch(r"H\d{11}", str(node.get("value")), re.ASCII):
        wanted = codes.sid("institution")
    # Another system than ours may mean another thing; one that is missing or misspelt by case cannot.
    if wanted and wanted != system and (not system or str(system).strip().casefold() == wanted.casefold()):
        node["system"] = wanted
        return "补上约定的 system|the agreed system filled in"
    return ""


def _days(at: At) -> str:
    node = at.value
    if at.name == "expectedSupplyDuration" and isinstance(node, dict):
        words = {str(node[name]) for name in ("unit", "code") if node.get(name)}
        days = {"system": codes.UCUM, "code": "d"}
        if words and words <= {"d", "天", "日", "D", "day", "days"} and str(node.get("system") or codes.UCUM) == codes.UCUM and (
                not days.items() <= node.items()):
            node |= days
            return "补上天数的单位代码 d|the unit code `d` of the days filled in"
    return ""


_FIXED: Mapping[str, Mapping[str, Any]] = {
    "Bundle": {"type": "collection"},
    "Task": {"status": "requested", "intent": "order",
             "code": {"coding": [{"system": codes.code_system("task"), "code": "cancel"}]}},
}


def _fixed(at: At) -> str:
    missing = {} if at.names else {
        name: value for name, value in _FIXED.get(at.kind, {}).items() if not at.resource.get(name)}
    at.resource.update(copy.deepcopy(missing))
    return "补上固定取值|the fixed value filled in" if missing else ""


_VALUES: Mapping[str, str] = {
    "allergy-group": "valueCode", "pregnancy-weeks": "valueInteger", "lactating": "valueBoolean",
    "guardian-confirmed": "valueBoolean", "independent-years": "valueInteger", "insured-place": "valueCode",
    "chronic-disease": "valueCode", "handover": "valueCode", "extend-reason": "valueString",
    "long-term-assessed": "valueBoolean", "patient-acknowledged": "valueBoolean", "overdose-reason": "valueString",
}
_BY_URL = {codes.extension(name).casefold(): codes.extension(name) for name in (*_VALUES, "revisit-proof")}


def _extension(at: At) -> str:
    """An extension of ours with its name in another case, or its value under another type's name."""
    node = at.value
    if at.name != "extension" or not isinstance(node, dict) or not isinstance(node.get("url"), str):
        return ""
    url = _BY_URL.get(node["url"].strip().rstrip("/").casefold())
    if url and node["url"] != url:
        node["url"] = url
        return "扩展地址改为约定的写法|the extension's address written as agreed"
    wanted = _VALUES.get(node["url"].removeprefix(codes.extension("")), "")
    values = [name for name in node if name.startswith("value")]
    if url and wanted and len(values) == 1 and values[0] != wanted:
        value = node[values[0]]
        if isinstance(value, str) and wanted in ("valueBoolean", "valueInteger"):
            value = _TRUTH.get(value) if wanted == "valueBoolean" else int(value) if _NUMBER.fullmatch(
                value) and "." not in value else None
        fits = {"valueBoolean": bool, "valueInteger": int}.get(wanted, str)
        if type(value) is fits:
            del node[values[0]]
            node[wanted] = value
            return "扩展的取值放到约定的类型下|the extension's value put under the agreed type"
    return ""


def _repeated(at: At) -> str:
    """Extensions that are there more than once with the same content."""
    rows = at.value.get("extension") if isinstance(at.value, dict) else None
    if isinstance(rows, list) and len(rows) > 1:
        once = {repr(row): row for row in rows}
        if len(once) < len(rows):
            rows[:] = once.values()
            return "去掉内容相同的重复扩展|an extension that was there twice with the same content is there once"
    return ""


_BARE_UUID = re.compile(r"(urn:uuid:)?([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)


def _url(at: At) -> str:
    """A fullUrl with another prefix, together with every reference to it; or a reference in another writing."""
    if at.name not in ("fullUrl", "reference") or not isinstance(at.value, str):
        return ""
    match = _BARE_UUID.fullmatch(at.value.strip())
    if not match:
        return ""
    old, new = at.value, f"urn:uuid:{match[2].lower()}"
    if at.name == "reference":
        new = str(at.message.urls.get(new, old))
    if new == old:
        return ""
    at.holder[at.key] = new
    if at.name == "fullUrl":
        at.message.urls[new] = new
        for other in at.message.references.pop(old, ()):
            if other.there and other.value == old:
                other.holder[other.key] = new
    return "UUID 改为 urn:uuid: 写法|the UUID written as urn:uuid"


def _misspelt(at: At) -> str:
    """Elements whose names are right but for their case."""
    node = at.value
    if not isinstance(node, dict):
        return ""
    kinds = resource_elements(at.kind)
    for name in at.names:
        model = kinds[name].model if name in kinds else None
        if model is None:
            return ""
        kinds = elements(model)
    by_case = {name.casefold(): name for name in kinds}
    wrong = {name: by_case[name.casefold()] for name in node if name not in kinds and name.casefold() in by_case}
    wrong = {name: right for name, right in wrong.items() if right not in node}
    for name, right in wrong.items():
        value = node.pop(name)
        node[right] = [value] if kinds[right].listed and not isinstance(value, list) else value
    return "元素名改为 FHIR 的大小写|the element's name written in FHIR's case" if wrong else ""


CURES_OF_A_VALUE: tuple[Callable[[At], str], ...] = (_tidy, _gender, _case, _id_number, _quoted, _time, _url)
CURES_OF_AN_OBJECT: tuple[Callable[[At], str], ...] = (_system, _days, _fixed, _extension, _repeated, _misspelt)
