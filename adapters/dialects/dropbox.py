"""The drop box: files in, an answer beside each, reports as files; one file may hold many prescriptions.

```
in/       rx.csv, and rx.csv.done (or .ok) once it is whole      done/     rx.csv, rx.csv.answer.csv
reports/  one file per report                                    refused/  the same, where nothing was taken
work/     ours: the answers of files that are not all answered yet
```

Every prescription of a file is a message of its own: its bytes are its slice, the same wherever it stands. Whoever dies
between two steps, or does one twice, leaves the next one something to go on from: the file stays in `in/` until its
answer is written, and what has been answered of it is in `work/`.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

from adapters.dialects import dropbox_tables as tables
from adapters.dialects.dropbox_tables import Layout, Row, finding
from adapters.mapping import CodeMap, Codes
from adapters.messages import Fetched, Message, Outcome, Reply, Verdict
from adapters.registry import HospitalManifest
from domain.errors import InvalidPayload, NeedsOperator, Refused, RxError
from domain.findings import NOWHERE, Finding, Spot
from domain.words import STATUSES
from fhir_profiles import drafts
from fhir_profiles.drafts import NOTHING, CancelDraft, Draft, Said
from fhir_profiles.message import KEY
from infra.dropbox import BoxTransport, Files
from infra.http import Transport
from infra.log import get_logger

log = get_logger(__name__)

RULES: Final = tables.RULES

MARKERS: Final = (".done", ".ok")
ENDINGS: Final = (".csv", ".txt", ".xlsx", ".xml")
MAX_ROWS: Final = 100
"""Of one prescription."""
BEIJING: Final = timezone(timedelta(hours=8))
ITEM_FIELDS: Final = frozenset({
    "item", "drug", "drug_name", "kind", "dose", "dose_unit", "frequency", "route", "quantity", "unit", "days", "usage",
    "overdose_reason"})
"""What is said of each drug; everything else is said once, in any of the prescription's rows or in all of them."""
_CODES: Final = frozenset({
    "number", "key", "item", "drug", "id_number", "phone", "physician", "institution", "district", "insured_place",
    "insutype"})
"""Where a trailing .0 can only be a program's mistake."""


# What a prescription's rows say.

class Paper:
    """One prescription, or one cancel, as the rows of its file say it."""

    def __init__(self, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
        self.items = [Line({columns[heading]: cell for heading, cell in row.cells.items() if heading in columns})
                      for row in rows]

    def said(self, name: str) -> Said:
        """What the first row that says anything says."""
        return next((said for item in self.items if (said := item.said(name)).value), NOTHING)

    def faults(self) -> list[Finding]:
        """Cells that cannot be read, and rows that contradict each other."""
        found: list[Finding] = []
        # Looked up once: to look for each cell among all rows would cost the square of their number.
        first: dict[str, str] = {}
        for item in self.items:
            first |= {name: item.said(name).value for name in item.cells if not first.get(name)}
        for number, item in enumerate(self.items, 1):
            for name, cell in item.cells.items():
                shared = "" if name in ITEM_FIELDS else first[name]
                code = cell.fault or ("ROWS_DISAGREE" if shared and item.said(name).value != shared else "")
                # A hidden row is one fault, however many cells it has.
                if code and not (code == "ROW_HIDDEN" and found and found[-1].code == code and found[-1].line == number):
                    found.append(finding(code, f"item[{number}].{name}", cell.spot, number))
        return found


class Line:
    """One row: a drug of the prescription."""

    def __init__(self, cells: Mapping[str, tables.Cell]) -> None:
        self.cells = cells

    def said(self, name: str) -> Said:
        if name not in self.cells:
            return NOTHING
        cell = self.cells[name]
        text = re.sub(r"(?<=\d)\.0+$", "", normalize("NFKC", cell.text)) if name in _CODES else cell.text
        return Said(text, cell.spot)


def word(said: Said, words: Mapping[str, str]) -> Said:
    """Their word in ours; one we do not know stays as it is, and the checker refuses it in its place."""
    text = normalize("NFKC", said.value).strip()
    return Said(words.get(text, text), said.spot)


def flag(said: Said) -> Said:
    """是 or 否, and other ways to say so."""
    return word(said, {"是": "true", "Y": "true", "1": "true", "否": "false", "N": "false", "0": "false"})


def number(said: Said) -> Said:
    return Said(normalize("NFKC", said.value).strip(), said.spot)


def several(said: Said) -> list[Said]:
    """The parts of a cell that holds several, separated by a semicolon of either width, `、` or `|`."""
    return [Said(part.strip(), said.spot) for part in re.split(r"[;；、|]", said.value) if part.strip()]


_DAY = r"(\d{4})(?:-(\d{1,2})-|/(\d{1,2})/|\.(\d{1,2})\.|年(\d{1,2})月|(\d\d))(\d{1,2})日?"
_TIME = r"[ T]*(\d{1,2})(?::|时|(?=\d\d))(\d\d)(?:(?::|分)?(\d\d)秒?|分?)(?:\.0+)?"
_A_DAY = re.compile(rf"{_DAY}(?:[ T]0?0:00(?::00)?)?")
_A_MOMENT = re.compile(rf"{_DAY}{_TIME}(Z|[+-]\d\d:?\d\d)?")


def day(said: Said) -> Said:
    """A date as people and Excel write it -> YYYY-MM-DD; anything else as it is."""
    if found := _A_DAY.fullmatch(normalize("NFKC", said.value).strip()):
        with suppress(ValueError):
            return Said(_date(found).date().isoformat(), said.spot)
    return said


def moment(said: Said) -> Said:
    """A time as people and Excel write it, Beijing's where no offset is given -> ISO 8601; anything else as it is."""
    if found := _A_MOMENT.fullmatch(normalize("NFKC", said.value).strip()):
        hour, minute, second, offset = found.groups()[-4:]
        with suppress(ValueError):
            at = _date(found).replace(hour=int(hour), minute=int(minute), second=int(second or 0))
            zone = datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").tzinfo if offset else BEIJING
            return Said(at.replace(tzinfo=zone).isoformat(), said.spot)
    return said


def _date(found: "re.Match[str]") -> datetime:
    year, dashed, slashed, dotted, worded, bare, of_month = found.groups()[:7]
    return datetime(int(year), int(dashed or slashed or dotted or worded or bare), int(of_month), tzinfo=BEIJING)


def later(start: Said, days: Said) -> Said:
    """That many days after a moment; what cannot be counted stays as the hospital wrote it."""
    with suppress(ValueError, OverflowError):
        return Said((datetime.fromisoformat(start.value) + timedelta(days=int(days.value))).isoformat(), days.spot)
    return days


# From bytes to a message, and from a verdict to an answer.

@dataclass(frozen=True)
class Translation:
    """What a hospital's own translation gives: its paper as a draft."""

    prescription: Callable[[Paper, Codes], Draft]
    cancel: Callable[[Paper], CancelDraft]


def to_fhir(raw: bytes, codes: CodeMap, layout: Layout, translation: Translation) -> Message:
    """A slice, or a file with one prescription. Raises `InvalidPayload` for anything else."""
    rows = tables.read_slice(raw)
    if rows is None:
        rows = tables.read(raw, layout)
        if len(cut(rows, layout)) != 1:
            raise InvalidPayload([finding("NOT_ONE_PRESCRIPTION", "file")])
    if len(rows) > MAX_ROWS:
        raise InvalidPayload([finding("TOO_MANY_ROWS", "file", rows[MAX_ROWS].spot)])
    paper = Paper(rows, layout.columns)
    faults = paper.faults()
    key = paper.said("key")
    if key.value and not _good_key(paper):
        # Refused before it becomes a message: without one, intake keeps the bytes under their own digest.
        faults.append(finding("KEY", "item[1].key", key.spot))
    asked = paper.said("action")
    action = layout.actions.get(asked.value) if asked.value else "prescription"
    if not action:
        faults.append(finding("ACTION", "item[1].action", asked.spot))
    if faults:
        raise InvalidPayload(faults)
    ours = Codes(codes)
    resource, spots = (drafts.cancel(translation.cancel(paper)) if action == "cancel" else
                       drafts.bundle(translation.prescription(paper, ours)))
    return Message(key.value or None, resource, drafts.locate(spots), tuple(ours.unmapped),
                   {"number": paper.said("number").value, "key": key.value})


def _good_key(paper: Paper) -> bool:
    """Whether the serial number can be a key: keys stand in addresses and logs, so nothing of a person may be in them."""
    key, id_number, phone = (re.sub(r"[^0-9A-Z]", "", paper.said(name).value.upper()) for name in ("key", "id_number", "phone"))
    # However the phone is written, with its country or without.
    private = [secret for secret in (id_number, phone[-11:]) if len(secret) >= 6]
    return bool(KEY.fullmatch(paper.said("key").value)) and not any(secret in key for secret in private)


def cut(rows: Sequence[Row], layout: Layout) -> list[list[Row]]:
    """The rows of each prescription of a file, in the order of their first rows.

    A row without a number belongs to nobody, and is refused alone; one without an action goes with the row before it.
    """
    found: dict[tuple[str, str, int], list[Row]] = {}
    last: dict[str, str] = {}
    for place, row in enumerate(rows):
        paper = Paper([row], layout.columns)
        name, asked = paper.said("number").value, paper.said("action").value
        action = last[name] = layout.actions.get(asked, asked) if asked else last.get(name, "prescription")
        found.setdefault((name, action, 0 if name else place + 1), []).append(row)
    return list(found.values())


def answer(message: Message | None, verdict: Verdict) -> Reply:
    """What will be a prescription's lines in its file's answer."""
    context = message.context if message else {}
    return Reply(_json({
        "number": verdict.external_id or context.get("number", ""), "key": context.get("key", ""),
        "outcome": str(verdict.outcome), "id": verdict.prescription_id, "status": str(verdict.status),
        "at": verdict.at.isoformat(),
        "findings": [{"place": one.spot.name if one.spot else "", "rule": one.rule, "code": one.code, "text": one.text,
                      "text_en": one.text_en, "cure": one.cure, "cure_en": one.cure_en} for one in verdict.findings]
        + [{"place": one.spot.name if one.spot else "", "rule": "", "code": f"UNMAPPED_{one.table.upper()}",
            "text": "院内编码尚未对照，待平台人工对照", "text_en": "Your code is not mapped yet; a person will do it.",
            "cure": "无需重发", "cure_en": "No need to send it again."} for one in verdict.unmapped],
    }), media="application/json")


def _json(given: Any) -> bytes:
    return json.dumps(given, ensure_ascii=False, sort_keys=True).encode()


# What we write: CSV that Excel opens as it is.

ANSWER_HEADINGS: Final = (
    "处方号 / Number", "流水号 / Key", "结果 / Result", "结果代码 / Outcome", "平台编号 / Id", "状态 / Status",
    "状态代码 / Status code", "位置 / Place", "规则 / Rule", "问题代码 / Finding", "问题 / Problem", "Problem", "处理 / Cure",
    "Cure", "时间 / At")
REPORT_HEADINGS: Final = (
    "回执号 / Key", "处方号 / Number", "平台编号 / Id", "状态 / Status", "状态代码 / Status code", "时间 / At", "原因 / Reason",
    "订单 / Order", "连锁 / Chain", "门店 / Store", "取药码 / Pickup code", "总额 / Total", "基金 / Fund", "个账 / Account",
    "自付 / Cash", "问题代码 / Finding", "严重程度 / Severity", "问题 / Problem", "药品行 / Item", "流水号 / Message")
OUTCOME_WORDS: Final = {
    "accepted": "已接收 / accepted", "refused": "已退回 / refused", "conflict": "与先前内容冲突 / conflict",
    "waiting": "待编码对照 / waiting"}


def sheet(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """UTF-8 with the mark that Excel needs; nothing in it is a formula to whatever opens it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows([[plain(str(cell)) for cell in row] for row in rows])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def plain(text: str) -> str:
    """The text, marked as one where a spreadsheet would calculate it (OWASP, CSV injection)."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", "", text)
    return f"'{text}" if text.lstrip("\t\r\n '\xa0\u3000\ufeff")[:1] in _FORMULA else text


_FORMULA: Final = frozenset("=+-@＝＋－＠")  # never the empty text


def report_sheet(report: Mapping[str, Any]) -> bytes:
    """A report (contract 1.3) as a sheet: one row, or one for each of its findings."""
    pickup, money = report.get("pickup") or {}, report.get("money") or {}
    status = str(report["status"])
    start = [report["key"], report["prescription"], report.get("id", ""), _status_words(status), status, report["at"],
             report.get("reason", ""), *(pickup.get(name, "") for name in ("order", "chain", "store", "code")),
             *(money.get(name, "") for name in ("total", "fund", "account", "cash"))]
    findings = report.get("findings") or [{}]
    return sheet(REPORT_HEADINGS, [
        [*start, one.get("code", ""), one.get("severity", ""), one.get("text", ""),
         one.get("spot") or one.get("line") or "", report.get("message", "")] for one in findings])


def _status_words(status: str) -> str:
    chinese, english = STATUSES.get(status) or _MORE_WORDS.get(status, ("", status))
    return f"{chinese} / {english}" if chinese else english


_MORE_WORDS: Final = {
    "invalid": ("不符合接口约定", "invalid"), "cancel_refused": ("撤销未成", "cancel refused"),
    "cancelling": ("撤销处理中", "cancelling"), "too-late": ("撤销已晚", "too late")}


# The box itself.

@dataclass(frozen=True)
class Dropped:
    """A file in the box, read and cut."""

    name: str
    raw: bytes = field(repr=False)
    slices: Sequence[Sequence[Row]] = field(repr=False)
    """None for a file that could not be read: then the file is the message."""

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:32]

    @property
    def numbers(self) -> range:
        """1-based; one for a file that could not be read."""
        return range(1, max(len(self.slices), 1) + 1)

    def fetched(self, number: int) -> Fetched:
        raw = tables.slice_of(self.slices[number - 1]) if self.slices else self.raw
        return Fetched(f"{self.name}#{self.digest}#{number}", raw, self.raw)


class Box:
    """A hospital's drop box. Two processes may work at one at a time; both do the same."""

    def __init__(self, manifest: HospitalManifest, transport: Transport, secrets: Mapping[str, str], layout: Layout,
                 ) -> None:
        self.slug = manifest.slug
        self._layout = layout
        self._transport = transport
        self._secrets = secrets
        self._by_marker = manifest.facts.get("handover", "marker") == "marker"
        self._read: dict[str, Dropped] = {}
        self._left: dict[tuple[str, str], set[int]] = {}
        """(name, digest) -> numbers that have no answer yet, as far as this process knows."""

    @property
    def _line(self) -> BoxTransport:
        if not isinstance(self._transport, BoxTransport):
            raise NeedsOperator(f"{self.slug}: its address must be file:///folder or s3://bucket/prefix",
                                code="bad_address")
        return self._transport

    @cached_property
    def _files(self) -> Files:
        return self._line.files(self._secrets)

    async def poll(self, limit: int) -> Sequence[Fetched]:
        """See `adapters.protocols.Polled`."""
        return await self._line.work("poll", lambda: self._poll(limit))

    async def settle(self, ref: str, reply: Reply) -> None:
        """See `adapters.protocols.Polled`."""
        await self._line.work("settle", lambda: self._settle(ref, reply.body))

    async def report(self, key: str, body: bytes) -> None:
        """Write a report file under the report's key."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", key)[:120]
        await self._line.work("report", lambda: self._files.put(f"reports/{name}.csv", report_sheet(json.loads(body))))

    def _poll(self, limit: int) -> list[Fetched]:
        found: list[Fetched] = []
        troubles: list[RxError] = []

        def alone(step: Callable[[str], None], name: str) -> None:
            """One file that makes trouble keeps no other waiting."""
            try:
                step(name)
            except RxError as error:
                if error.code != "absent":  # somebody else has just finished it
                    troubles.append(error)

        def look(name: str) -> None:
            dropped = self._open(name)
            left = self._unanswered(dropped)
            found.extend(dropped.fetched(number) for number in sorted(left)[:limit - len(found)])
            if not left:
                self._finish(dropped)

        for name in self._files.names("work"):
            alone(self._resume, name)
        for name in self._whole():
            if len(found) < limit:
                alone(look, name)
        if troubles and not found:
            raise troubles[0]
        for error in troubles:
            log.warning("dropbox.skipped", hospital=self.slug, error=type(error).__name__, code=error.code)
        return found

    def _whole(self) -> list[str]:
        """Files that have been handed over."""
        names = self._files.names("in")
        there = set(names)
        return [name for name in names if name.lower().endswith(ENDINGS) and not name.startswith(("~$", "."))
                and (not self._by_marker or any(marker in there for marker in _markers(name)))]

    def _open(self, name: str) -> Dropped:
        # One byte more than may be: then it is too large, and nobody reads the rest.
        raw = self._files.read(f"in/{name}", tables.MAX_BYTES + 1)
        known = self._read.get(name)
        if known and known.raw == raw:
            return known
        try:
            slices = cut(tables.read(raw, self._layout), self._layout)
        except InvalidPayload:
            slices = []
        # Only the last one: they may be large.
        self._read = {name: Dropped(name, raw, slices)}
        return self._read[name]

    def _unanswered(self, dropped: Dropped) -> set[int]:
        answered = {int(part.removesuffix(".json")) for part in self._files.names(f"work/{dropped.digest}")
                    if re.fullmatch(r"\d{1,6}\.json", part)}
        left = self._left[dropped.name, dropped.digest] = set(dropped.numbers) - answered
        return set(left)

    def _settle(self, ref: str, body: bytes) -> None:
        name, digest, number = ref.rsplit("#", 2)
        self._files.put(f"work/{digest}/{number}.json", body)
        left = self._left.get((name, digest))
        if left is not None:
            left.discard(int(number))
            if left:
                return
        with suppress(Refused):
            dropped = self._open(name)
            if dropped.digest == digest:
                if not self._unanswered(dropped):
                    self._finish(dropped)
                return
        # It is gone, or another has its name: somebody else has finished it, and what we wrote since is nobody's.
        self._left.pop((name, digest), None)
        for part in self._files.names(f"work/{digest}"):
            self._files.delete(f"work/{digest}/{part}")

    def _finish(self, dropped: Dropped) -> None:
        """All is answered: write the answer, then take the file away. Each step may be done twice."""
        answers = [self._own(f"work/{dropped.digest}/{number}.json", "outcome") for number in dropped.numbers]
        taken = any(one["outcome"] in (Outcome.ACCEPTED, Outcome.WAITING) for one in answers)
        to = self._place("done" if taken else "refused", dropped)
        self._files.put(f"{to}.answer.csv", _answer_sheet(dropped, answers, self._layout))
        # From here on the file counts as answered even without its marker, which must be gone before the file is:
        # a marker left behind would hand over the next file of that name half-written.
        self._files.put(f"work/{dropped.name}", _json({"digest": dropped.digest, "to": to, "parts": len(answers)}))
        self._resume(dropped.name)

    def _resume(self, name: str) -> None:
        note = self._own(f"work/{name}", "digest")
        digest, to, parts = note["digest"], note["to"], note["parts"]
        raw = b""
        with suppress(Refused):
            raw = self._files.read(f"in/{name}", tables.MAX_BYTES + 1)
        if hashlib.sha256(raw).hexdigest()[:32] == digest:
            for marker in _markers(name):
                self._files.delete(f"in/{marker}")
            with suppress(Refused):
                self._files.move(f"in/{name}", to)
        for number in range(1, parts + 1):
            self._files.delete(f"work/{digest}/{number}.json")
        self._files.delete(f"work/{name}")
        self._left.pop((name, digest), None)
        self._read.pop(name, None)
        log.info("dropbox.finished", hospital=self.slug, file=digest, prescriptions=parts, to=to.partition("/")[0])

    def _own(self, name: str, must_have: str) -> dict[str, Any]:
        """A file of ours; the hospital's account can write there too, so it may be anything."""
        try:
            found = json.loads(self._files.read(name, tables.MAX_BYTES))
        except ValueError:
            found = None
        if not isinstance(found, dict) or must_have not in found:
            raise NeedsOperator(f"{self.slug}: drop box: a file in work/ is damaged; remove it", code="work_damaged")
        return found

    def _place(self, folder: str, dropped: Dropped) -> str:
        """Where the file goes: under its own name, unless an older one of other content has it."""
        for name in (dropped.name, f"{dropped.digest[:8]}-{dropped.name}"):
            try:
                there = self._files.read(f"{folder}/{name}", tables.MAX_BYTES + 1)
            except Refused:
                return f"{folder}/{name}"
            if there == dropped.raw:
                return f"{folder}/{name}"
        return f"{folder}/{dropped.digest}-{dropped.name}"


def _markers(name: str) -> list[str]:
    """`rx.csv.done`, `rx.csv.ok`, `rx.done` or `rx.ok` for `rx.csv`."""
    return [start + marker for start in (name, Path(name).stem) for marker in MARKERS]


_SLICED = re.compile(r"item (\d{1,6})(?:, (.+))?", re.DOTALL)


def _answer_sheet(dropped: Dropped, answers: Sequence[Mapping[str, Any]], layout: Layout) -> bytes:
    rows: list[list[object]] = []
    for number, one in enumerate(answers, 1):
        of_file = dropped.slices[number - 1] if dropped.slices else []
        paper = Paper(of_file, layout.columns)
        start = [paper.said("number").value or one["number"], paper.said("key").value or one["key"],
                 OUTCOME_WORDS[one["outcome"]], one["outcome"], one["id"],
                 _status_words(one["status"]) if one["status"] else "", one["status"]]
        for found in one["findings"] or [{}]:
            rows.append([*start, _place_in_file(found.get("place", ""), of_file),
                         *(found.get(name, "") for name in ("rule", "code", "text", "text_en", "cure", "cure_en")),
                         one["at"]])
    return sheet(ANSWER_HEADINGS, rows)


def _place_in_file(place: str, rows: Sequence[Row]) -> str:
    """A place within a prescription as one in its file: `item 2, 用量` -> `row 7, 用量`."""
    found = _SLICED.fullmatch(place)
    if not found or not 0 < int(found[1]) <= len(rows):
        return place
    row = rows[int(found[1]) - 1]
    heading = found[2]
    spot = row.cells[heading].spot if heading in row.cells else row.spot
    return (spot if spot != NOWHERE else Spot(place)).name
