"""Real traffic, fit to be shown: exported with other people in it, and watched for a change of shape."""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from adapters.kit.shape import shape
from adapters.messages import Message
from domain.errors import InvalidPayload
from domain.privacy import numbers_in
from fhir_profiles.message import member, members, text
from infra.db import traffic
from infra.db.notices import NoticeKind, note
from infra.log import get_logger
from infra.settings import get_settings
from tasks.city import City, code_map, open_city
from tasks.intake import check

log = get_logger(__name__)

RECENT, EARLIER = 50, 150
"""Messages that are compared with those before them."""
FEWEST = 20
"""With fewer on either side nothing is said."""
NEW_FROM, GONE_FROM = 20, 50
"""Per cent of the messages that must have an element for it to be new, or gone: one odd message is no new version."""


# Watching.


@dataclass(frozen=True)
class Drift:
    """Elements that a hospital's messages have or lack since lately. Names of elements, nothing they say."""

    hospital: str
    new: tuple[str, ...]
    gone: tuple[str, ...]


def watch_shapes(city: City, recent: int = RECENT, earlier: int = EARLIER, fewest: int = FEWEST) -> list[Drift]:
    """Compare what each hospital sent lately with what it sent before; each change is a notice, and told once."""
    drifts = [drift for slug in sorted(city.hospitals) if (drift := drift_of(city, slug, recent, earlier, fewest))]
    for drift in drifts:
        with city.db.transaction("shape.changed") as session:
            for change, paths in (("new", drift.new), ("gone", drift.gone)):
                for path in paths:
                    note(session, kind=NoticeKind.MESSAGE_SHAPE, partner=drift.hospital, subject=path, detail=change,
                         at=city.now())
        log.warning("shape.changed", hospital=drift.hospital, new=list(drift.new[:10]), gone=list(drift.gone[:10]))
    return drifts


def drift_of(city: City, slug: str, recent: int = RECENT, earlier: int = EARLIER, fewest: int = FEWEST) -> Drift | None:
    """How the newest messages of a hospital differ in shape from those before; None if they do not."""
    with city.db.reading() as session:
        received = traffic.newest(session, f"hospital:{slug}", recent + earlier)
    shapes = [shape(city.archive.get(message.archive_key)) for message in received]
    late, early = list(filter(None, shapes[:recent])), list(filter(None, shapes[recent:]))
    if min(len(late), len(early)) < fewest:
        return None
    now, before = (Counter(path for paths in part for path in paths) for part in (late, early))
    new = sorted(path for path, count in now.items() if path not in before and count * 100 >= NEW_FROM * len(late))
    gone = sorted(path for path, count in before.items() if path not in now and count * 100 >= GONE_FROM * len(early))
    return Drift(slug, tuple(new), tuple(gone)) if new or gone else None


# Exporting.


@dataclass
class Exported:
    """What came of an export."""

    files: list[Path] = field(default_factory=list)
    withheld: int = 0
    """Messages whose people could not be replaced for certain, such as spreadsheets."""


def export(city: City, slug: str, folder: Path, limit: int = 50, ends_on: date = date(2026, 11, 22)) -> Exported:
    """The last messages of a hospital as files for its `samples/`, with invented people instead of the real ones.

    The same person is the same invented person in every message, and check digits are right. All days are moved by the
    same number, so that the newest message is of `ends_on`. What was refused goes to `invalid/`, with the finding in
    `index.toml`. A message in which a person could still be recognised is withheld.
    """
    with city.db.reading() as session:
        received = traffic.newest(session, f"hospital:{slug}", limit)
        codes = code_map(city, session, slug)
    hospital, done, index = city.hospitals[slug], Exported(), dict[str, str]()
    if not received:
        return done
    newest = received[0].received_at.astimezone(city.now().tzinfo).date()
    people = People(city.cipher.lookup, (ends_on - newest).days)
    for number, stored in enumerate(reversed(received), 1):
        raw = city.archive.get(stored.archive_key)
        try:
            message: Message | None = hospital.to_fhir(raw, codes)
        except InvalidPayload:
            message = None  # whose it is cannot be known
        # Of cancels only FHIR's is sure to name no person: of the other dialects the persons are not read.
        readable = message is not None and (message.kind == "Bundle" or "format" in message.context)
        safe = people.replaced(raw, message.resource) if message and readable else None
        if message is None or safe is None:
            done.withheld += 1
            continue
        try:
            again = hospital.to_fhir(safe, codes)
        except InvalidPayload:
            done.withheld += 1  # our own change has spoilt it
            continue
        findings = check(again, slug)
        # Of what is said twice, or is no text, only a part was read: the rest may name anybody.
        if (_personal(again.resource) & _personal(message.resource) or (findings and not check(message, slug))
                or any(finding.code in _HALF_READ for finding in message.findings)):
            done.withheld += 1
            continue
        target = folder / ("invalid" if findings else "") / f"recorded_{number:03d}{_suffix(safe)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(safe)
        done.files.append(target)
        if findings:
            index[target.name] = findings[0].code
    if index:
        (folder / "invalid" / "index.toml").write_text(
            "".join(f"{json.dumps(name)} = {json.dumps(code)}\n" for name, code in index.items()), encoding="utf-8")
    return done


_HALF_READ = frozenset({"JSON_DUPLICATE_KEY", "JSON_CHARACTER"})


class People:
    """Invented people in the place of real ones. `lookup` is a keyed hash: without the key there is no way back."""

    def __init__(self, lookup: Callable[[str], str], days: int) -> None:
        self._lookup = lookup
        self._days = days

    def replaced(self, raw: bytes, resource: Mapping[str, Any]) -> bytes | None:
        """The message about an invented person; None if the real one could still be in it."""
        encoding = next((name for name in ("utf-8", "gb18030") if _decodes(raw, name)), "")
        if not encoding or b"\x00" in raw:
            return None
        words = raw.decode(encoding)
        invented = self._invented(resource)
        # First marks, then days, then the invented: an id number holds a birthday, and must not be moved twice.
        marks: list[str] = []
        for old, new in invented:
            for part, other in _parts(old, new, words):
                words = _spelled(part).sub(lambda match, new=other: _mark(marks, _in_place(match, new)), words)  # type: ignore[misc]
        words = _DAY.sub(self._moved, words)
        words = re.sub("\ue000(\\d+)\ue001", lambda match: marks[int(match[1])], words)
        safe = words.encode(encoding)
        if set(numbers_in(raw.decode(encoding))) & set(numbers_in(words)):
            return None  # the number of a person whom the message does not name where we look
        return None if any(_still_in(old, safe, encoding) for old, new in invented if old != new) else safe

    def _invented(self, resource: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What must go, and what comes instead; the longest first, since one text may hold another."""
        pairs: dict[str, str] = {}
        for who in (member(entry, "resource") for entry in members(resource, "entry")):
            # One character stands for too much to be replaced everywhere.
            pairs |= {name: self.name(name) for name in _texts(who, "name", "text")
                      if len(name) > 1 and text(who, "resourceType") in (*_PERSONS, "Practitioner")}
            if text(who, "resourceType") in _PERSONS:
                pairs |= {number: self.id_number(number) for number in _texts(who, "identifier", "value")}
                pairs |= {number: self.phone(number) for number in _texts(who, "telecom", "value")}
                pairs |= {place: self.address(place) for place in _texts(who, "address", "text")}
        return sorted(pairs.items(), key=lambda pair: -len(pair[0]))

    def id_number(self, number: str) -> str:
        """Another number, born as many days earlier or later as everything is moved; as wrong as the first one was."""
        match = re.fullmatch(r"\d{6}(\d{8})(\d{3})([\dX])", number)
        if not match:
            return self._digits(number)
        try:
            born = date.fromisoformat(match[1]) + timedelta(days=self._days)
        except ValueError:
            return self._digits(number)
        draw = self._draw(number) % 450
        # 370100 is a city, and people are registered in its districts only. The last digit of the sequence, the sex, stays.
        body = f"370100{born:%Y%m%d}{2 * draw + int(match[2]) % 2:03d}"
        right = _check_digit(number[:17]) == match[3]
        last = _check_digit(body)
        return body + (last if right else "0" if last != "0" else "1")

    def name(self, name: str) -> str:
        """As long as it was: a format may count."""
        return "".join("甲乙丙丁戊己庚辛壬癸"[self._draw(f"{name}/{place}") % 10] for place in range(len(name)))

    def phone(self, number: str) -> str:
        return "199" + self._digits(number)[3:] if len(number) > 3 else self._digits(number)

    def address(self, text: str) -> str:
        return "".join("东南西北中安宁康泰和"[self._draw(f"{text}/{place}") % 10] for place in range(len(text) - 1)) + "号"

    def _digits(self, text: str) -> str:
        return "".join(str(self._draw(f"{text}/{place}") % 10) if letter.isdigit() else letter
                       for place, letter in enumerate(text))

    def _draw(self, text: str) -> int:
        return int(hashlib.sha256(self._lookup(f"traffic\n{text}").encode()).hexdigest()[:8], 16)

    def _moved(self, match: re.Match[str]) -> str:
        try:
            day = date(int(match["year"]), int(match["month"]), int(match["day"])) + timedelta(days=self._days)
        except (ValueError, OverflowError):
            return match[0]
        return f"{day:%Y}{match['dash']}{day:%m}{match['dash']}{day:%d}"


_DAY = re.compile(r"(?<![0-9A-Za-z.])(?P<year>19\d\d|20\d\d)(?P<dash>[-/]?)(?P<month>0[1-9]|1[0-2])(?P=dash)"
                  r"(?P<day>0[1-9]|[12]\d|3[01])(?=(?:\d{4}|\d{6})?(?!\d))")


_APART = r"([\^&~|]{0,3})"
"""What may stand between two characters of one value: HL7 v2 cuts a name and an address into components."""
_ESCAPED = {"&": r"|&amp;|\\T\\", "<": "|&lt;", ">": "|&gt;", '"': r'|&quot;|\\"', "'": "|&apos;", "|": r"|\\F\\",
            "^": r"|\\S\\", "~": r"|\\R\\", "\\": r"|\\E\\|\\\\"}


def _spelled(value: str) -> re.Pattern[str]:
    """The value however the dialect has spelled it: escaped, or cut into components."""
    letters = (
        f"(?:{re.escape(letter)}|\\\\u{ord(letter):04x}|&#{ord(letter)};|&#x0*{ord(letter):x};{_ESCAPED.get(letter, '')})"
        for letter in value)
    return re.compile(_APART.join(letters), re.IGNORECASE)


def _parts(value: str, new: str, text: str) -> list[tuple[str, str]]:
    """The value as it stands in the text: whole, or as the pieces it was put together from, in any order."""
    if len(value) != len(new) or _spelled(value).search(text):
        return [(value, new)]
    pieces: list[tuple[str, str]] = []
    start = 0
    while start < len(value) - 1:
        end = next((end for end in range(len(value), start + 1, -1) if _spelled(value[start:end]).search(text)), start + 1)
        if end > start + 1:
            pieces.append((value[start:end], new[start:end]))
        start = end
    return pieces


def _in_place(match: re.Match[str], new: str) -> str:
    """The new value, cut where the old one was."""
    cuts = [*(cut or "" for cut in match.groups()), ""]
    if len(cuts) != len(new):
        return new
    return "".join(letter + cut for letter, cut in zip(new, cuts, strict=True))


def _mark(marks: list[str], text: str) -> str:
    marks.append(text)
    return f"\ue000{len(marks) - 1}\ue001"


def _personal(resource: Mapping[str, Any]) -> set[str]:
    """Everything a message says that leads to its patient or a guardian."""
    return {value for who in (member(entry, "resource") for entry in members(resource, "entry"))
            if text(who, "resourceType") in _PERSONS
            for name, part in (("identifier", "value"), ("telecom", "value"), ("name", "text"), ("address", "text"))
            for value in _texts(who, name, part)}


_PERSONS = ("Patient", "RelatedPerson")


def _texts(who: object, name: str, part: str) -> list[str]:
    """The texts under an element of a person, as they are."""
    return [value for element in members(who, name) if isinstance(value := member(element, part), str) and value]


def _decodes(raw: bytes, encoding: str) -> bool:
    with suppress(UnicodeDecodeError):
        raw.decode(encoding)
        return True
    return False


def _still_in(old: str, safe: bytes, encoding: str) -> bool:
    """Whether the person could still be found: as it is, escaped, or within Base64."""
    spelled = {old.encode(name, "replace") for name in (encoding, "utf-8", "gb18030", "utf-16-le", "utf-16-be")}
    spelled |= {"".join(template.format(ord(letter)) for letter in old).encode()
                for template in ("&#{};", "&#x{:x};", "&#x{:X};")}
    hidden = [safe]
    for encoded in re.findall(rb"[A-Za-z0-9+/]{40,}={0,2}", safe):
        with suppress(ValueError):
            hidden.append(base64.b64decode(encoded + b"=" * (-len(encoded) % 4)))
    return any(spelling in text for spelling in spelled for text in hidden)


def _check_digit(body: str) -> str:
    """GB 11643, ISO 7064 MOD 11-2."""
    rest = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body)) % 11
    return "10X98765432"[rest]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./go record", description=(
        "导出一家医院最近的报文作为样例，其中的人全部换成虚构的人。"
        "Export a hospital's last messages as samples, with invented people."))
    parser.add_argument("hospital", help="医院代号 slug")
    parser.add_argument("--out", type=Path, required=True, help="目录 folder, such as a hospital's samples/")
    parser.add_argument("--limit", type=int, default=50, help="条数 how many of the newest (default 50)")
    options = parser.parse_args(argv)
    city = open_city(get_settings())
    if options.hospital not in city.hospitals:
        parser.error(f"没有这家医院 no such hospital; {', '.join(sorted(city.hospitals))}")
    done = export(city, options.hospital, options.out, options.limit)
    for file in done.files:
        print(f"+ {file}")
    print(f"导出 exported {len(done.files)}，无法确保替换而留下 withheld {done.withheld}")
    return 0


def _suffix(raw: bytes) -> str:
    start = raw.lstrip()[:4]
    for mark, suffix in ((b"{", ".json"), (b"[", ".json"), (b"<", ".xml"), (b"MSH", ".hl7"), (b"\xef\xbb\xbf<", ".xml")):
        if start.startswith(mark):
            return suffix
    return ".csv"


if __name__ == "__main__":
    sys.exit(main())
