"""Cures that need no judgement: a refused message put right where what it means is beyond doubt.

Only the way a value is written is changed: spaces, width, case, a system the contract fixes, a number in quotes, a
character encoding. Never a patient's identity, a drug, a dose, a quantity, a diagnosis or a date. A patched message is
offered only if the checker has no finding about it. The prescription waits for the search. So a message much larger or
with far more findings than usual is not searched, and each place is tried once in a round.
"""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from domain.findings import Finding
from fhir_profiles import codes
from fhir_profiles.checker import check_data
from fhir_profiles.checks.persons import valid_resident_id
from fhir_profiles.elements import elements, resource_elements
from fhir_profiles.message import Json, exact_json, fhirpath, members

ROUNDS = 4
"""One cure may uncover another fault."""
MAX_RAW = 100_000
"""Bytes of a message that is looked at; five items take some 15,000."""
MAX_VALUES = 2_000
"""Objects, lists and simple values in it; five items take some 700."""
MAX_FAULTS = 30


@dataclass(frozen=True)
class Change:
    """What was put right, and where; never what it was."""

    path: str
    text: str
    text_en: str


def put_right(data: Json, hospital: str) -> tuple[Json | None, list[Change]]:
    """The message with its mechanical faults cured, or None if there are others, and what was changed.

    None too if it is larger or has more faults than are searched.
    """
    if not _is_small(data):
        return None, []
    data = copy.deepcopy(data)
    changes: dict[tuple[str, str], Change] = {}
    for _ in range(ROUNDS):
        findings = check_data(data, hospital)
        if not findings:
            return data, list(changes.values())
        if len(findings) > MAX_FAULTS:
            break
        whole = _Whole(data, hospital)
        cured = [change for finding in findings for change in _cured(whole, finding)]
        if not cured:
            break
        changes |= {(change.path, change.text): change for change in cured}
    return None, []


def with_new_key(data: Json) -> Change | None:
    """Give a message a new key, the old one with `-p` behind it: the old key belongs to the refused message for ever.

    None if it has no key.
    """
    named, path = data.get("identifier"), f"{data.get('resourceType')}.identifier"
    if isinstance(named, list):
        named, path = (named[0] if named else None), f"{path}[0]"
    key = named.get("value") if isinstance(named, dict) else None
    if not isinstance(named, dict) or not isinstance(key, str):
        return None
    short = key if len(key) <= 62 else f"{key[:45]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    named["value"] = f"{short}-p"
    return Change(f"{path}.value", "消息编号后加 -p：原编号属于被拒的消息",
                  "`-p` behind the message key: the old one is the refused message's")


def _is_small(data: Json) -> bool:
    """Counted without recursion, and no further than it matters."""
    rows: list[Any] = [data]
    seen = 0
    while rows:
        node = rows.pop()
        seen += 1
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if seen + len(rows) + len(inner) > MAX_VALUES:
            return False
        rows.extend(inner)
    return True


def bytes_put_right(raw: bytes) -> tuple[bytes, list[Change]]:
    """The file in UTF-8 without a mark, without a key twice with the same value; as it was if that is not the cure."""
    if len(raw) > MAX_RAW:
        return raw, []
    body, changes = _in_utf8(raw)
    if not body.lstrip().startswith(b"{"):
        return body, changes
    twice = False

    def pairs(items: list[tuple[str, Any]]) -> Json:
        nonlocal twice
        merged: Json = {}
        for name, value in items:
            if name in merged:
                if _same(merged[name], value):
                    twice = True
                else:
                    raise ValueError("two values under one key")
            merged[name] = value
        return merged

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
    return exact_json(data, indent=1) + b"\n"


def _same(left: object, other: object) -> bool:
    return type(left) is type(other) and repr(left) == repr(other)


def _refuse(constant: str) -> Any:
    raise ValueError("not finite")


_HANZI = re.compile("[\u4e00-\u9fff]")
_PLAIN = re.compile("[\0-\x7f\u4e00-\u9fff\u3000-\u3002\u3008-\u3011\uff01-\uff5e‘’“”…—·℃×±μ①-⑩]*")
_OF_PRESCRIPTIONS = re.compile(
    "医院|医保|医师|患者|中心|诊所|卫生|胶囊|颗粒|口服|饭后|饭前|每日|每次|一日|一次|高血压|糖尿病|感染")


def _is_chinese(text: str) -> bool:
    """Whether text that was decoded as GB18030 without a declaration is likely to be that.

    Almost any bytes decode as GB18030; Big5, Shift-JIS or EUC-KR would then give a wrong patient name. So only common
    characters are accepted, and a word that prescriptions use must be among them.
    """
    with suppress(UnicodeEncodeError):
        "".join(_HANZI.findall(text)).encode("gb2312")
        return bool(_PLAIN.fullmatch(text)) and bool(_OF_PRESCRIPTIONS.search(text))
    return False


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
    if codec == "gb18030" and (_DECLARED.match(text) or not _is_chinese(text)):
        return raw, []  # another encoding is declared, or this one is a guess
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

@dataclass
class _Whole:
    """A message in one round of cures, and what was looked at in it already."""

    data: Json
    hospital: str
    walked: dict[int, Any] = field(default_factory=dict)
    """Objects and lists all of which was looked at, by identity; kept, so that no other gets the same one."""
    looked_at: dict[tuple[int, str | int], Any] = field(default_factory=dict)
    """Single places: what holds them, by its identity and the key in it."""

    @cached_property
    def root(self) -> "_At":
        return _At({"": self.data}, "", self.data, (), self)

    @cached_property
    def urls(self) -> dict[str, Any]:
        """The fullUrls by their writing in lower case."""
        return {str(entry.get("fullUrl")).casefold(): entry.get("fullUrl")
                for entry in members(self.data, "entry") if isinstance(entry, dict)}

    @cached_property
    def references(self) -> dict[str, list["_At"]]:
        """Where each is referred to."""
        places: dict[str, list[_At]] = {}
        for at in _walk(self.data, self.root, {}):
            if at.name == "reference" and isinstance(at.value, str):
                places.setdefault(at.value, []).append(at)
        return places


@dataclass(frozen=True)
class _At:
    holder: Any
    key: str | int
    resource: Json
    names: tuple[str, ...]
    """Element names from the resource to the value, without indices."""
    message: "_Whole"

    @property
    def hospital(self) -> str:
        return self.message.hospital

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


def _system(at: _At) -> str:
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


def _days(at: _At) -> str:
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


def _repeated(at: _At) -> str:
    """Extensions that are there more than once with the same content."""
    rows = at.value.get("extension") if isinstance(at.value, dict) else None
    if isinstance(rows, list) and len(rows) > 1:
        once = {repr(row): row for row in rows}
        if len(once) < len(rows):
            rows[:] = once.values()
            return "去掉内容相同的重复扩展|an extension that was there twice with the same content is there once"
    return ""


_BARE_UUID = re.compile(r"(urn:uuid:)?([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)


def _url(at: _At) -> str:
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


def _misspelt(at: _At) -> str:
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


_CURES_OF_A_VALUE: tuple[Callable[[_At], str], ...] = (_tidy, _gender, _case, _id_number, _quoted, _time, _url)
_CURES_OF_AN_OBJECT: tuple[Callable[[_At], str], ...] = (_system, _days, _fixed, _extension, _repeated, _misspelt)


def _cured(whole: _Whole, finding: Finding) -> list[Change]:
    """Every cure that applies at the place of a finding: to what is there, and to what holds it."""
    return [Change(path, *text.split("|")) for path, at in _places(whole, finding) if at.there for cure in _cures(at.value)
            if (text := cure(at))]


def _cures(value: object) -> tuple[Callable[[_At], str], ...]:
    return _CURES_OF_AN_OBJECT if isinstance(value, dict) else () if isinstance(value, list) else _CURES_OF_A_VALUE


_STEP = re.compile(r"\.?(?:(?P<call>\w+)\((?P<argument>[^)]*)\)|(?P<name>[A-Za-z_]\w*))(?:\[(?P<index>\d+)\])?")


def _places(whole: _Whole, finding: Finding) -> list[tuple[str, _At]]:
    """The value a finding is about and all within it; what holds it comes first, without what else that holds.

    Only what was not looked at in this round. All are found before the first is cured: a cure may rename what comes later.
    """
    at = whole.root
    path = start = str(whole.data.get("resourceType"))
    rest, position = finding.path.partition(".")[2], 0
    around = [(path, at)]
    there = True
    while there and position < len(rest) and (step := _STEP.match(rest, position)):
        position = step.end()
        inner = _stepped(at, step)
        there = inner is not None  # or something is missing here, or only misspelt
        if inner is not None:
            at, path = inner, f"{start}.{rest[:position]}"
            around.append((path, at))
    near = around[-2:]
    if there:
        near = [*around[-3:], *((path, inner) for inner in _walk(at.value, at, whole.walked))]
    fresh = []
    for place, at_place in near:
        mark = (id(at_place.holder), at_place.key)
        if mark not in whole.looked_at:
            whole.looked_at[mark] = at_place.holder
            fresh.append((place, at_place))
    return fresh


def _stepped(at: _At, step: re.Match[str]) -> _At | None:
    node = at.value
    if not isinstance(node, dict):
        return None
    if step["call"] == "extension":
        url = step["argument"].strip("'\"").casefold()
        rows = node.get("extension")
        for index, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict) and str(row.get("url")).casefold() == url:
                return _inner(at, rows, index, "extension")
        return None
    name = step["name"]
    key = name if name in node else next((k for k in node if fhirpath("", (k,)) == f".{name}"), None)
    if key is None:
        return None
    value = node[key]
    if isinstance(value, list) and step["index"] is not None:
        return _inner(at, value, int(step["index"]), key) if int(step["index"]) < len(value) else None
    return _inner(at, node, key, key)


def _inner(at: _At, holder: Any, key: str | int, name: str) -> _At:
    value = holder[key]
    if isinstance(value, dict) and "resourceType" in value:
        return _At(holder, key, value, (), at.message)
    return _At(holder, key, at.resource, (*at.names, name), at.message)


def _walk(node: Any, at: _At, walked: dict[int, Any]) -> Iterator[_At]:
    """Everything within a value, from the inside out, but for what was walked before."""
    if not isinstance(node, dict | list) or id(node) in walked:
        return
    walked[id(node)] = node
    # An item of a list goes by the name of the list.
    around = at if isinstance(node, dict) else _At(at.holder, at.key, at.resource, at.names[:-1], at.message)
    rows = [(name, name) for name in node] if isinstance(node, dict) else [
        (index, at.name) for index in reversed(range(len(node)))]
    for key, name in rows:
        inner = _inner(around, node, key, name)
        yield from _walk(node[key], inner, walked)
        yield inner
