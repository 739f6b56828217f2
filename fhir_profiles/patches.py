"""Cures that need no judgement: a refused message put right where what it means is beyond doubt.

Only the way a thing is written is changed: spaces, width, case, a system the contract fixes, a number in quotes, a
character encoding. Never who a patient is, a drug, a dose, a quantity, a diagnosis or a date; and a patched message is
offered only if the checker has nothing more to say about it.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain.findings import Finding
from fhir_profiles import codes
from fhir_profiles.checker import check_data, valid_resident_id
from fhir_profiles.elements import elements, resource_elements
from fhir_profiles.message import MAX_PRESCRIPTION, Json, fhirpath, members

ROUNDS = 4
"""One cure may uncover another fault."""


@dataclass(frozen=True)
class Change:
    """What was put right, and where; never what it was."""

    path: str
    text: str
    text_en: str


def put_right(data: Json, hospital: str) -> tuple[Json | None, list[Change]]:
    """The message with its mechanical faults cured, or None if there are others, and what was changed."""
    data = copy.deepcopy(data)
    changes: dict[tuple[str, str], Change] = {}
    for _ in range(ROUNDS):
        findings = check_data(data, hospital)
        if not findings:
            return data, list(changes.values())
        cured = [change for finding in findings for change in _cured(data, finding, hospital)]
        if not cured:
            break
        changes |= {(change.path, change.text): change for change in cured}
    return None, []


def bytes_put_right(raw: bytes) -> tuple[bytes, list[Change]]:
    """The file in UTF-8 without a mark, without a key twice with the same value; as it was if that is not the cure."""
    if len(raw) > MAX_PRESCRIPTION:
        return raw, []
    body, changes = _in_utf8(raw)
    if not body.lstrip().startswith(b"{"):
        return body, changes
    twice = False

    def pairs(items: list[tuple[str, Any]]) -> Json:
        nonlocal twice
        found: Json = {}
        for name, value in items:
            if name in found:
                if _same(found[name], value):
                    twice = True
                else:
                    raise ValueError("two values under one key")
            found[name] = value
        return found

    try:
        data = json.loads(body, object_pairs_hook=pairs, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError):
        return body, changes
    if twice:
        changes = [*changes, Change(str(data.get("resourceType", "Resource")), "去掉重复且取值相同的键",
                                    "a key that was there twice with the same value is there once")]
        body = written(data)
    return body, changes


def written(data: Json) -> bytes:
    """A resource as JSON, with every decimal as it was sent."""
    # No text of a message that was read holds a NUL, so it can mark what must go out without quotes.
    marked = json.dumps(data, ensure_ascii=False, indent=1, default=lambda value: f"\0{value}\0")
    return (re.sub(r'"\\u0000([^"]*)\\u0000"', r"\1", marked) + "\n").encode()


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


def _refuse(constant: str) -> Any:
    raise ValueError("not finite")


_DECLARED = re.compile(r"""^(\s*<\?xml\s[^>]*?encoding\s*=\s*["'])[A-Za-z0-9._-]+(["'])""")


def _in_utf8(raw: bytes) -> tuple[bytes, list[Change]]:
    is_xml = raw.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<")
    tries = ("utf-16",) if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8", "gb18030")
    for codec in tries:
        with suppress(UnicodeDecodeError):
            text = raw.decode(codec)
            break
    else:
        return raw, []
    if is_xml and _said_rightly(raw, codec):
        return raw, []  # XML may be in any of these, if it says so
    text = text.removeprefix("\ufeff")
    if is_xml:
        text = _DECLARED.sub(r"\g<1>UTF-8\g<2>", text)
    body = text.encode()
    return body, [] if body == raw else [
        Change("Resource", f"由 {codec.upper()} 转为无 BOM 的 UTF-8", f"read as {codec.upper()}, written as UTF-8 without a mark")]


def _said_rightly(raw: bytes, codec: str) -> bool:
    declared = re.search(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)""", raw[:400])
    word = declared[1].decode().lower() if declared else "utf-8"
    return codec == "utf-16" or (word.startswith("gb") if codec == "gb18030" else word in ("utf-8", "utf8", "us-ascii"))


# The cures. Each looks at one value of a message: what holds it, under which key, in which resource, below what names.

@dataclass(frozen=True)
class _At:
    holder: Any
    key: str | int
    resource: Json
    names: tuple[str, ...]
    """Element names from the resource to the value, without indices."""
    hospital: str
    message: Json

    @property
    def there(self) -> bool:
        """Whether no cure has taken it out, or given it another name."""
        return int(self.key) < len(self.holder) if isinstance(self.holder, list) else self.key in self.holder

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    @property
    def beside(self) -> Json:
        """What stands beside the value, under other names."""
        return self.holder if isinstance(self.holder, dict) else {}

    @property
    def name(self) -> str:
        return self.names[-1] if self.names else ""

    @property
    def kind(self) -> str:
        return str(self.resource.get("resourceType"))


_PROSE = frozenset({"text", "display", "div", "patientInstruction", "valueString", "family", "given", "line", "name"})
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x200B: None, 0xFEFF: None, 0xA0: " "}


def _tidy(at: _At) -> str:
    if isinstance(at.value, str) and at.name not in _PROSE:
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


def _allowed(at: _At) -> frozenset[str]:
    if at.name == "code":
        return _OF_SYSTEM.get(str(at.beside.get("system")), frozenset())
    if at.name == "valueCode" and at.beside.get("url") == codes.extension("handover"):
        return codes.HANDOVERS
    return _OF_ELEMENT.get((at.kind, *at.names), frozenset())


def _case(at: _At) -> str:
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


def _gender(at: _At) -> str:
    if (at.kind, *at.names) == ("Patient", "gender") and (word := _GENDERS.get(str(at.value).casefold())):
        at.holder[at.key] = word
        return "性别改用 FHIR 代码|the gender written as FHIR's code"
    return ""


def _id_number(at: _At) -> str:
    if at.name == "value" and isinstance(at.value, str) and at.beside.get("system") == codes.RESIDENT_ID and (
            at.value.endswith("x") and valid_resident_id(at.value.upper())):
        at.holder[at.key] = at.value.upper()
        return "身份证号末位改为大写 X|the final x of the id number in upper case"
    return ""


_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?")
_QUANTITIES = frozenset({"doseQuantity", "quantity", "expectedSupplyDuration"})
_TRUTH = {"true": True, "false": False}


def _quoted(at: _At) -> str:
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


def _time(at: _At) -> str:
    """A whole time with an offset in another writing; an offset is never added."""
    if at.name in _TIMES and isinstance(at.value, str) and (found := _TIME.fullmatch(at.value)):
        zone = found[5].upper()
        zone = zone if zone == "Z" or ":" in zone else f"{zone[:3]}:{zone[3:]}"
        time = f"{found[1]}-{found[2]}-{found[3]}T{found[4]}{zone}"
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


def _system(at: _At) -> str:
    """A system that is missing, or written in another case, where the contract leaves no choice."""
    node, place = at.value, (at.kind, *at.names)
    if not isinstance(node, dict):
        return ""
    given, wanted = node.get("system"), ""
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
    if wanted and wanted != given and (not given or str(given).strip().casefold() == wanted.casefold()):
        node["system"] = wanted
        return "补上约定的 system|the agreed system filled in"
    return ""


def _days(at: _At) -> str:
    node = at.value
    if at.name == "expectedSupplyDuration" and isinstance(node, dict):
        said = {str(node[name]) for name in ("unit", "code") if node.get(name)}
        days = {"system": codes.UCUM, "code": "d"}
        if said and said <= {"d", "天", "日", "D", "day", "days"} and str(node.get("system") or codes.UCUM) == codes.UCUM and (
                not days.items() <= node.items()):
            node |= days
            return "补上天数的单位代码 d|the unit code `d` of the days filled in"
    return ""


_FIXED: Mapping[str, Mapping[str, Any]] = {
    "Bundle": {"type": "collection"},
    "Task": {"status": "requested", "intent": "order",
             "code": {"coding": [{"system": codes.code_system("task"), "code": "cancel"}]}},
}


def _fixed(at: _At) -> str:
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


def _extension(at: _At) -> str:
    """An extension of ours with its name in another case, or its value under another type's name."""
    node = at.value
    if at.name != "extension" or not isinstance(node, dict) or not isinstance(node.get("url"), str):
        return ""
    known = _BY_URL.get(node["url"].strip().rstrip("/").casefold())
    if known and node["url"] != known:
        node["url"] = known
        return "扩展地址改为约定的写法|the extension's address written as agreed"
    wanted = _VALUES.get(node["url"].removeprefix(codes.extension("")), "")
    given = [name for name in node if name.startswith("value")]
    if known and wanted and len(given) == 1 and given[0] != wanted:
        value = node[given[0]]
        if isinstance(value, str) and wanted in ("valueBoolean", "valueInteger"):
            value = _TRUTH.get(value) if wanted == "valueBoolean" else int(value) if _NUMBER.fullmatch(
                value) and "." not in value else None
        fits = {"valueBoolean": bool, "valueInteger": int}.get(wanted, str)
        if type(value) is fits:
            del node[given[0]]
            node[wanted] = value
            return "扩展的取值放到约定的类型下|the extension's value put under the agreed type"
    return ""


def _repeated(at: _At) -> str:
    """An extension that is there twice with the same content."""
    rows = at.holder
    if at.name == "extension" and isinstance(rows, list) and any(_same(at.value, row) for row in rows[:int(at.key)]):
        del rows[int(at.key)]
        return "去掉内容相同的重复扩展|an extension that was there twice with the same content is there once"
    return ""


_BARE_UUID = re.compile(r"(urn:uuid:)?([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)


def _url(at: _At) -> str:
    """A fullUrl with another prefix, together with every reference to it; or a reference in another writing."""
    if at.name not in ("fullUrl", "reference") or not isinstance(at.value, str):
        return ""
    found = _BARE_UUID.fullmatch(at.value.strip())
    if not found:
        return ""
    old, new = at.value, f"urn:uuid:{found[2].lower()}"
    if at.name == "reference":
        urls = {str(entry.get("fullUrl")).casefold(): entry.get("fullUrl")
                for entry in members(at.message, "entry") if isinstance(entry, dict)}
        new = str(urls.get(new, old))
    if new == old:
        return ""
    at.holder[at.key] = new
    if at.name == "fullUrl":
        for other in list(_walk(at.message, _At(at.message, "", at.message, (), at.hospital, at.message))):
            if other.name == "reference" and other.value == old:
                other.holder[other.key] = new
    return "UUID 改为 urn:uuid: 写法|the UUID written as urn:uuid"


def _misspelt(at: _At) -> str:
    """Elements whose names are right but for their case."""
    node = at.value
    if not isinstance(node, dict):
        return ""
    known = resource_elements(at.kind)
    for name in at.names:
        model = known[name].model if name in known else None
        if model is None:
            return ""
        known = elements(model)
    by_case = {name.casefold(): name for name in known}
    wrong = {name: by_case[name.casefold()] for name in node if name not in known and name.casefold() in by_case}
    wrong = {name: right for name, right in wrong.items() if right not in node}
    for name, right in wrong.items():
        value = node.pop(name)
        node[right] = [value] if known[right].listed and not isinstance(value, list) else value
    return "元素名改为 FHIR 的大小写|the element's name written in FHIR's case" if wrong else ""


_CURES: tuple[Callable[[_At], str], ...] = (
    _tidy, _gender, _case, _id_number, _quoted, _time, _system, _days, _fixed, _extension, _repeated, _url, _misspelt)


def _cured(data: Json, finding: Finding, hospital: str) -> list[Change]:
    """Every cure that applies at the place of a finding: to what is there, and to what holds it."""
    changes = []
    for path, at in _places(data, finding, hospital):
        for cure in _CURES:
            if not at.there:
                break
            if text := cure(at):
                changes.append(Change(path, *text.split("|")))
    return changes


_STEP = re.compile(r"\.?(?:(?P<call>\w+)\((?P<argument>[^)]*)\)|(?P<name>[A-Za-z_]\w*))(?:\[(?P<index>\d+)\])?")


def _places(data: Json, finding: Finding, hospital: str) -> Iterator[tuple[str, _At]]:
    """The value a finding is about and all within it; what holds it comes first, without what else that holds."""
    shell = {"": data}
    at = _At(shell, "", data, (), hospital, data)
    path = start = str(data.get("resourceType"))
    rest, position = finding.path.partition(".")[2], 0
    around = [(path, at)]
    while position < len(rest) and (step := _STEP.match(rest, position)):
        position = step.end()
        steps = list(_stepped(at, step))
        if not steps:
            # Something is missing here, or only misspelt.
            yield from around[-2:]
            return
        for one in steps:
            at, path = one, f"{start}.{rest[:position]}"
            around.append((path, at))
    # All are found before the first is cured: a cure may take out or rename what comes later.
    yield from [*around[-3:], *((path, inner) for inner in _walk(at.value, at))]


def _stepped(at: _At, step: re.Match[str]) -> Iterator[_At]:
    node = at.value
    if not isinstance(node, dict):
        return
    if step["call"] == "extension":
        url = step["argument"].strip("'\"")
        rows = node.get("extension")
        for index, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict) and str(row.get("url")).casefold() == url.casefold():
                yield _inner(at, rows, index, "extension")
                return
        return
    name = step["name"]
    key = name if name in node else next((k for k in node if fhirpath("", (k,)) == f".{name}"), None)
    if key is None:
        return
    value = node[key]
    if isinstance(value, list) and step["index"] is not None:
        if int(step["index"]) < len(value):
            yield _inner(at, value, int(step["index"]), key)
    else:
        yield _inner(at, node, key, key)


def _inner(at: _At, holder: Any, key: str | int, name: str) -> _At:
    value = holder[key]
    if isinstance(value, dict) and "resourceType" in value:
        return _At(holder, key, value, (), at.hospital, at.message)
    return _At(holder, key, at.resource, (*at.names, name), at.hospital, at.message)


def _walk(node: Any, at: _At) -> Iterator[_At]:
    """Everything within a value, from the inside out."""
    rows: Iterator[tuple[Any, str]] = iter(())
    if isinstance(node, dict):
        rows = ((name, name) for name in list(node))
    elif isinstance(node, list):
        rows = ((index, at.name) for index in reversed(range(len(node))))
    for key, name in rows:
        holder_at = at if isinstance(node, dict) else _At(at.holder, at.key, at.resource, at.names[:-1], at.hospital, at.message)
        inner = _inner(holder_at, node, key, name)
        yield from _walk(node[key], inner)
        yield inner
