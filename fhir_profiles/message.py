"""A message as it was sent: parsed without believing it, and read from anywhere though it may hold anything.

Nothing here raises for what a message says. Numbers stay exact, and no number, key or text of a message gets into
a finding; only places do.
"""

import json
import re
import secrets
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from domain.findings import Finding, Spot
from fhir_profiles import codes
from fhir_profiles.catalogue import RULES

Json = dict[str, Any]

MAX_BYTES = 20_000_000
"""What an endpoint takes in any dialect; for a longer message the answer names the limit that the dialect itself has."""
MAX_PRESCRIPTION = 1 << 20
"""Bytes of one prescription in FHIR."""
MAX_DEPTH = 40
MAX_NODES = 5_000
"""Objects and lists in one message, and half the tags of one in XML; a full prescription has some hundreds."""
MAX_VALUES = 20_000
"""Members and items of one message in JSON, a comma in a text being one more; a full prescription has a thousand."""
MAX_FINDINGS = 200
MAX_NUMBER = 18
"""Digits of a number, and the largest power of ten."""
BEIJING = timezone(timedelta(hours=8))

KEY = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")
"""Keys stand in addresses, so `..` is none."""

_CHOICE = re.compile(r"^(?:(value|asNeeded|rate|abatement|onset|reported|multipleBirth|allowed)[A-Z]\w*"
                     r"|(medication)(?:CodeableConcept|Reference)|(dose)(?:Quantity|Range)|(deceased)(?:Boolean|DateTime))$")
_ELEMENT = re.compile(r"_?[A-Za-z]{1,40}")
_INSTANT = re.compile(
    r"(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_DATE = re.compile(r"(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# Possessive, and happy with a string that never ends: what is no JSON must not cost more than its own length.
_NOT_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[^"\[\]{}]++', re.DOTALL)


# What is read from anywhere in a message that may hold anything anywhere.

def member(node: object, *names: str) -> Any:
    """The value under these names, one below the other; the first of a list on the way; None if there is none."""
    for name in names:
        if isinstance(node, list):
            node = node[0] if node else None
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    return node


def members(node: object, name: str) -> list[Any]:
    """The list under a name, or an empty one."""
    value = member(node, name)
    return value if isinstance(value, list) else []


def text(node: object, *names: str) -> str:
    """The text under these names without white space around it, or an empty one."""
    value = member(node, *names)
    return value.strip() if isinstance(value, str) else ""


def coded(concepts: object, system: str) -> str:
    """The one code of a system in a CodeableConcept or a list of them; empty if there is none or more than one."""
    values = [
        coding.get("code")
        for concept in (concepts if isinstance(concepts, list) else [concepts])
        for coding in members(concept, "coding")
        if isinstance(coding, dict) and coding.get("system") == system
    ]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def named(concept: object, system: str) -> str:
    """The display of the coding of a system, or the concept's text."""
    for coding in members(concept, "coding"):
        if member(coding, "system") == system and text(coding, "display"):
            return text(coding, "display")
    return text(concept, "text")


def extended(node: object, name: str, value: str) -> Any:
    """The value of the first extension of ours with this name, or None."""
    url = codes.extension(name)
    return next((member(e, value) for e in members(node, "extension") if member(e, "url") == url), None)


def parts(node: object, name: str) -> Json:
    """The extensions inside the first extension of ours with this name, by their urls."""
    inside = extended(node, name, "extension")
    return {text(part, "url"): part for part in (inside if isinstance(inside, list) else ())}


def moment(value: object) -> datetime | None:
    """A time to the second with an offset, or None."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    return None


def day(value: object) -> date | None:
    """A whole date, or None."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    return None


def number(value: object) -> Decimal | None:
    """A JSON number, or None; true is not a number."""
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def unit(node: object) -> str:
    """The unit of a quantity in one spelling: there are two micro signs."""
    return unicodedata.normalize("NFKC", text(node, "unit"))


def coordinates(geolocation: object) -> tuple[Decimal | None, Decimal | None]:
    """Latitude and longitude of a geolocation extension, in degrees."""
    values = {name: number(member(part, "valueDecimal"))
             for part in members(geolocation, "extension")
             for name in ("latitude", "longitude") if member(part, "url") == name}
    return values.get("latitude"), values.get("longitude")


def proof(extension: object) -> tuple[date | None, tuple[str, ...]]:
    """Date and diagnoses of a revisit-proof extension. Two dates are none."""
    parts = members(extension, "extension")
    dates = [day(member(part, "valueDate")) for part in parts if member(part, "url") == "issued"]
    diagnoses = tuple(text(part, "valueCode") for part in parts if member(part, "url") == "diagnosis")
    return (dates[0] if len(dates) == 1 else None), diagnoses


def fhirpath(start: str, names: Collection[str | int]) -> str:
    """A place as FHIRPath. What cannot be an element's name is left out: a key may be about a person too."""
    path = start
    for name in names:
        if isinstance(name, int):
            path += f"[{name}]"
        elif _ELEMENT.fullmatch(name):
            path += "." + _CHOICE.sub(lambda m: m[m.lastindex or 0], name.removeprefix("_"))
        else:
            break
    return path


class TextSpots:
    """Many characters of one text that was sent as UTF-8, after a byte order mark of `mark` bytes.

    What stands before a character is counted once for all of them, not again for each.
    """

    def __init__(self, text: str, mark: int = 0) -> None:
        self._text = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._bytes = [mark]
        for start in range(0, len(text), _STRIDE):
            self._bytes.append(self._bytes[-1] + len(text[start:start + _STRIDE].encode("utf-8", "replace")))

    def at(self, place: int) -> Spot:
        line, stride = bisect_right(self._lines, place), place // _STRIDE
        return Spot("", line, place - self._lines[line - 1] + 1,
                    self._bytes[stride] + len(self._text[stride * _STRIDE:place].encode("utf-8", "replace")))


_STRIDE = 1024
"""Characters."""


def text_spot(text: str, at: int, mark: int = 0) -> Spot:
    """A character of a text that was sent as UTF-8, after a byte order mark of `mark` bytes."""
    return Spot("", text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at),
                mark + len(text[:at].encode("utf-8", "replace")))


class Report:
    """The findings so far."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def add(self, code: str, path: str, line: int | None = None, spot: Spot | None = None) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(replace(RULES[code].finding(path, line), spot=spot))
        elif len(self.findings) == MAX_FINDINGS:
            self.findings.append(RULES["TOO_MANY_FINDINGS"].finding(path.partition(".")[0]))

    def require(self, holds: object, code: str, path: str, line: int | None = None) -> None:
        if not holds:
            self.add(code, path, line)


# The bytes.

@dataclass(frozen=True)
class _Flaw:
    """Stands in the parsed message where JSON alone is already wrong."""

    code: str


_Twice = dict[int, tuple[Json, frozenset[str]]]
"""By id: an object and its keys that came twice. As long as the object is here, no other has its id."""


def parse(raw: bytes, root: str, report: Report) -> Json | None:
    """The message as JSON with exact numbers, and a finding for each part that is no good JSON; None if it cannot be read.

    A `_Flaw`, which no element takes, replaces a number or text that is invalid, or two values under one key.
    Of two objects or lists under one key the first counts, because a place leads to the first. Without a root, Bundle or Task.
    """
    kinds = (root,) if root else ("Bundle", "Task")
    root = root or "Resource"
    content = _decoded(raw, root, report)
    if content is None:
        return None
    flawed = False
    twice: _Twice = {}

    def flaw(code: str) -> _Flaw:
        nonlocal flawed
        flawed = True
        return _Flaw(code)

    def pairs(items: list[tuple[str, Any]]) -> Json:
        result = dict(items)
        if len(result) != len(items):
            result = {}
            for name, value in items:
                first = result.setdefault(name, value)
                if first != value and name != "resourceType" and not isinstance(first, dict | list):
                    result[name] = _Flaw("JSON_DUPLICATE_KEY")
            times = Counter(name for name, _ in items)
            twice[id(result)] = result, frozenset(name for name in result if times[name] > 1)
        return result

    def integer(digits: str) -> int | _Flaw:
        return int(digits) if len(digits) <= MAX_NUMBER else flaw("JSON_NUMBER_TOO_LONG")

    def decimal(digits: str) -> Decimal | _Flaw:
        if len(digits) > MAX_NUMBER + 6 or abs((value := Decimal(digits)).adjusted()) > MAX_NUMBER:
            return flaw("JSON_NUMBER_TOO_LONG")
        return value

    try:
        data = json.loads(content, object_pairs_hook=pairs, parse_int=integer, parse_float=decimal,
                          parse_constant=lambda _: flaw("JSON_NOT_FINITE"))
    except (ValueError, RecursionError) as error:
        report.add("MSG_NOT_JSON", root, spot=text_spot(content, getattr(error, "pos", 0)))
        return None
    # A control character or half a surrogate pair can only have come in as an escape.
    kind = data.get("resourceType") if isinstance(data, dict) else None
    if flawed or twice or "\\u" in content:
        for code, path in _flaws(data, str(kind) if kind in kinds else root, (), twice):
            report.add(code, path)
    if kind not in kinds:
        report.add("MSG_WRONG_RESOURCE", root)
        return None
    sound: Json = data
    return sound


def exact_json(data: Json, **style: Any) -> bytes:
    """A resource as JSON, with every decimal digit by digit as it is. `style` is for `json.dumps`."""
    # Marks what must go out without quotes. Random, so that no text of a message can hold it.
    mark = secrets.token_hex(16)
    marked = json.dumps(data, ensure_ascii=False, default=lambda value: f"{mark}{value}{mark}", **style)
    return re.sub(f'"{mark}([^"]*){mark}"', r"\1", marked).encode()


def _decoded(raw: bytes, root: str, report: Report) -> str | None:
    start = Spot("", 1, 1, 0)
    if len(raw) > MAX_BYTES:
        report.add("MSG_TOO_LARGE", root, spot=start)
        return None
    if len(raw) > MAX_PRESCRIPTION:
        report.add("PRESCRIPTION_TOO_LARGE", root, spot=start)
        return None
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        good = raw[:error.start].decode("utf-8")
        report.add("MSG_NOT_UTF8", root, spot=text_spot(good, len(good)))
        return None
    if content.startswith("\ufeff"):
        report.add("MSG_NOT_UTF8", root, spot=start)
        return None
    brackets = _NOT_BRACKETS.sub("", content)
    if (deep := _too_deep(brackets, MAX_DEPTH)) is not None:
        report.add("MSG_TOO_DEEP", root, spot=text_spot(content, _nth_bracket(content, deep)))
        return None
    if len(brackets) > 2 * MAX_NODES or content.count(",") > MAX_VALUES:
        report.add("MSG_TOO_COMPLEX", root, spot=start)
        return None
    return content


def _too_deep(brackets: str, most: int) -> int | None:
    """Which of the brackets is the first that goes deeper than allowed."""
    depth = 0
    for number, bracket in enumerate(brackets):
        if bracket in "[{":
            depth += 1
            if depth > most:
                return number
        elif bracket in "]}":
            depth -= 1
    return None


def _nth_bracket(content: str, number: int) -> int:
    """Where it stands: the text before it without brackets, which the pattern takes out, and the brackets before it."""
    at = 0
    for _ in range(number + 1):
        while gap := _NOT_BRACKETS.match(content, at):
            at = gap.end()
        at += 1
    return at - 1


def _flaws(node: object, root: str, names: tuple[str | int, ...], twice: _Twice) -> Iterator[tuple[str, str]]:
    """What within is no good JSON, and where; in place of a text that is none stands a `_Flaw` from now on."""
    inside: Any = node
    repeated = twice[id(node)][1] if id(node) in twice else ()
    for name in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        here, value = (*names, name), inside[name]
        if isinstance(name, str) and _UNPRINTABLE.search(name):
            yield "JSON_CHARACTER", fhirpath(root, names)
        if isinstance(value, str) and _UNPRINTABLE.search(value):
            value = inside[name] = _Flaw("JSON_CHARACTER")
        flaws = [value.code] if isinstance(value, _Flaw) else []
        for code in dict.fromkeys([*flaws, *(["JSON_DUPLICATE_KEY"] if name in repeated else [])]):
            yield code, fhirpath(root, here)
        yield from _flaws(value, root, here, twice)


def unsound(node: object, names: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in a message stands what JSON alone makes useless: what else is said around it may only follow from that."""
    if isinstance(node, _Flaw):
        yield names
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in inside:
        yield from unsound(value, (*names, name))
