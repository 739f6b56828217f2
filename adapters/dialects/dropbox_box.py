"""Where the files of a drop box lie, and how each of them ends: answered, or parked with a note that says why.

```
in/       rx.csv, and rx.csv.done (or .ok) once it is whole      done/     rx.csv, rx.csv.answer.csv
reports/  one file per report                                    refused/  the same, where nothing was taken
work/     ours: the answers of files that are not all answered yet
parked/   files that could not be taken, with a note for each
```

A worker may die between two steps or repeat one. So the file stays in `in/` until its answer is written, and the
answers to its prescriptions so far lie in `work/`. The hospital's account can write to every folder, so the content
of a file there is always checked.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from adapters.dialects import dropbox_reader
from adapters.dialects import dropbox_tables as tables
from adapters.dialects.dropbox import (
    ANSWER_HEADINGS,
    OUTCOME_WORDS,
    Line,
    as_json,
    cut,
    report_sheet,
    sheet,
    status_words,
)
from adapters.dialects.dropbox_cells import Row
from adapters.dialects.dropbox_tables import Layout
from adapters.messages import Fetched, Outcome, Parked, Reply
from adapters.registry import ChainManifest, HospitalManifest
from domain.errors import InvalidPayload, NeedsOperator, Refused, RxError
from domain.findings import NOWHERE, Spot
from infra.dropbox import Files
from infra.http import Transport
from infra.log import get_logger

log = get_logger(__name__)
T = TypeVar("T")

MARKERS: Final = (".done", ".ok")
ENDINGS: Final = (".csv", ".txt", ".xlsx", ".xml")
IN_THE_MAKING: Final = (".tmp", ".part", ".partial", ".filepart", ".swp", ".crdownload")
UNTAKEN_SECONDS: Final = 600.0
"""After which a file that will never be taken, such as `x.py`, is parked."""
UNFINISHED_SECONDS: Final = 86_400.0
"""After which a file without its marker, a marker without its file, or one in the making is parked."""
TRIES: Final = 3
"""How often the reading of a file may begin and not end before the file is parked."""
MAX_WORK_BYTES: Final = 2_000_000
"""Of a file of ours."""
MAX_ANSWER_ROWS: Final = 20_000
"""Of one file's answer; beyond it each prescription still has its first."""
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff\u2028\u2029]+")
MAX_NAME_BYTES: Final = 200
"""So that `.answer.csv` fits behind it."""

WHY: Final = {
    "odd_name": (
        "文件名过长，或含控制字符、非法编码，平台未读取",
        "The file's name is too long, or holds control characters or bytes that are no UTF-8. It was not read.",
        "改名后重新放入 in/", "Rename it and put it into in/ again."),
    "untaken": (
        "文件既不是可读取的类型，也没有交付标记，平台未读取",
        "The file is of no kind that is read, and has no marker. It was not read.",
        "处方文件应为 .csv、.txt、.xlsx 或 .xml，并附 .done 标记", "Hand over .csv, .txt, .xlsx or .xml, with a .done marker."),
    "unfinished": (
        "一天之内没有等到交付标记（或标记没有对应的文件），平台未读取",
        "No marker came within a day, or a marker has no file. It was not read.",
        "重新投递文件，写完后再放标记", "Hand the file over again, and its marker after it."),
    "broke": (
        "读取该文件时程序出错或多次中断，平台未处理其中的处方",
        "Reading the file failed, or was broken off several times. None of its prescriptions was taken in.",
        "用导出程序重新生成或改用 CSV；平台运维人员已收到通知",
        "Export it again or use CSV. The platform's operators have been told."),
    "stock": (
        "库存文件无法读取，或其时间不能确定，平台仍用先前的库存",
        "The stock file cannot be read, or its time is not certain. The stock told before still counts.",
        "按同名 .errors.csv 所列各处改正后重新放入 stock/",
        "Correct what the file beside it (.errors.csv) lists, and put it into stock/ again."),
    "forged": (
        "work/ 中有一个文件不是平台所写，已移走", "A file in work/ was not written by the platform, and was moved away.",
        "不要改动 work/", "Leave work/ alone."),
}
"""Why a file is parked, for the note beside it: Chinese, English, and the cure in both."""


MAX_PARKED: Final = 200
"""Of those parked, so many of the newest are told; more are a matter for one look at the folder."""


def _note(reason: str) -> bytes:
    chinese, english, cure, cure_en = WHY[reason]
    return f"{chinese}。{cure}。\r\n{english} {cure_en}\r\n".encode("utf-8-sig")


_NOTE = re.compile(r"([0-9a-f]{8})-.*\.why\.txt")
_REASONS: Final = {_note(reason): reason for reason in WHY}


@dataclass(frozen=True)
class Dropped:
    """A file in the box, read and cut."""

    name: str
    raw: bytes = field(repr=False)
    slices: Sequence[Sequence[Row]] = field(repr=False)
    """None for a file that could not be read: then the file is the message."""

    @cached_property
    def digest(self) -> str:
        return _digest(self.raw)

    @property
    def numbers(self) -> range:
        """1-based; one for a file that could not be read."""
        return range(1, max(len(self.slices), 1) + 1)

    def fetched(self, number: int) -> Fetched:
        raw = tables.slice_of(self.slices[number - 1]) if self.slices else self.raw
        return Fetched(f"{self.name}#{self.digest}#{number}", raw, self.raw)


@runtime_checkable
class FileLine(Protocol):
    """A line that carries files; `infra.dropbox.BoxTransport` is one."""

    def files(self, secrets: Mapping[str, str]) -> Files: ...

    async def work(self, operation: str, step: Callable[[], T]) -> T: ...

    def count(self, operation: str, outcome: str) -> None: ...


class Box:
    """A partner's drop box. Two processes may work at one at a time; both do the same.

    Four methods say what its files hold: `cut_up`, `is_answer`, `is_taken` and `answer_sheet`. As they stand, a hospital's.
    """

    def __init__(self, manifest: HospitalManifest | ChainManifest, transport: Transport, secrets: Mapping[str, str],
                 layout: Layout) -> None:
        self.slug = manifest.slug
        self._layout = layout
        self._transport = transport
        self._secrets = secrets
        self._by_marker = manifest.facts.get("handover", "marker") == "marker"
        self._read: dict[str, Dropped] = {}
        self._left: dict[tuple[str, str], set[int]] = {}
        """(name, digest) -> numbers that have no answer yet, as far as this process knows."""
        self._why: dict[str, str] = {}
        """Name of a note in `parked/` -> the reason it gives; empty for what is no note of ours."""

    def cut_up(self, raw: bytes) -> Sequence[Sequence[Row]]:
        """The rows of each message of a file. Raises `InvalidPayload` for the file as a whole."""
        return cut(dropbox_reader.read(raw, self._layout), self._layout)

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Whether this is an answer of ours to one message."""
        return answer.get("outcome") in list(Outcome) and all(isinstance(answer.get(text), str) for text in _ANSWER_TEXTS)

    def is_taken(self, answer: Mapping[str, Any]) -> bool:
        """Whether the message was taken in."""
        return answer["outcome"] in (Outcome.ACCEPTED, Outcome.WAITING)

    def answer_sheet(self, dropped: Dropped, answers: Sequence[Mapping[str, Any]]) -> bytes:
        """The answer to a whole file, from those to its messages in order."""
        return _answer_sheet(dropped, answers, self._layout)

    def markers(self, name: str) -> list[str]:
        """Files that say that this one is whole."""
        return _markers(name)

    @property
    def _line(self) -> FileLine:
        if not isinstance(self._transport, FileLine):
            raise NeedsOperator(f"{self.slug}: its address must be file:///folder or s3://bucket/prefix",
                                code="bad_address")
        return self._transport

    @cached_property
    def _files(self) -> Files:
        return self._line.files(self._secrets)

    async def poll(self, limit: int) -> Sequence[Fetched]:
        """See `adapters.protocols.Polled`."""
        return await self._line.work("poll", lambda: self._poll(limit))

    async def hand_back(self, ref: str, reply: Reply) -> None:
        """See `adapters.protocols.Polled`."""
        await self._line.work("hand_back", lambda: self._hand_back(ref, reply.body))

    async def report(self, key: str, body: bytes) -> None:
        """Write a report file under the report's key."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", key)[:120]
        await self._line.work("report", lambda: self._files.put(f"reports/{name}.csv", report_sheet(json.loads(body))))

    async def parked(self) -> Sequence[Parked]:
        """See `adapters.protocols.Boxed`: the newest of those that have a note of ours."""
        return await self._line.work("parked", self._parked)

    def _parked(self) -> list[Parked]:
        parked = []
        for name in self._files.names("parked")[-MAX_PARKED:]:
            if note := _NOTE.fullmatch(name):
                if name not in self._why:
                    with suppress(Refused):
                        # The hospital may write here too: what is no note of ours is none.
                        self._why[name] = _REASONS.get(self._files.read(f"parked/{name}", 2_000), "")
                if reason := self._why.get(name):
                    parked.append(Parked(note[1], reason))
        if len(self._why) > 4 * MAX_PARKED:
            self._why.clear()
        return parked

    def _poll(self, limit: int) -> list[Fetched]:
        fetched: list[Fetched] = []
        troubles: list[RxError] = []

        def alone(step: Callable[[str], None], name: str) -> None:
            """One file that makes trouble keeps no other waiting."""
            try:
                step(name)
            except RxError as error:
                if error.code != "absent":  # another worker has just finished it
                    troubles.append(error)

        def look(name: str) -> None:
            dropped = self._open(name)
            if dropped is None:
                return
            left = self._unanswered(dropped)
            fetched.extend(dropped.fetched(number) for number in sorted(left)[:limit - len(fetched)])
            if not left:
                self._finish(dropped)

        for name in self._files.names("work"):
            alone(self._resume, name)
        whole, others = self._sorted(self._files.names("in"))
        for name in others:
            alone(self._set_aside, name)
        for name in whole:
            if len(fetched) < limit:
                alone(look, name)
        if troubles and not fetched:
            raise troubles[0]
        for error in troubles:
            log.warning("dropbox.skipped", partner=self.slug, error=type(error).__name__, code=error.code)
        return fetched

    def _sorted(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """What has been handed over, and what has not or never can be."""
        there = set(names)

        def handed_over(name: str) -> bool:
            marked = any(marker in there for marker in _markers(name))
            readable = name.lower().endswith(ENDINGS) and not name.startswith(("~$", "."))
            return good_name(name) and not name.endswith(MARKERS) and (
                marked if self._by_marker else readable or marked)

        whole = [name for name in names if handed_over(name)]
        used = {marker for name in whole for marker in _markers(name)}
        return whole, [name for name in names if name not in used and name not in set(whole)]

    def _set_aside(self, name: str, folder: str = "in") -> None:
        """Park a file that will never be taken, once it is old enough that its writing must have ended."""
        age = self._files.age(f"{folder}/{name}")
        if not good_name(name):
            reason, patience = "odd_name", UNTAKEN_SECONDS
        elif name.lower().endswith((*ENDINGS, *MARKERS, *IN_THE_MAKING)) or name.startswith(("~$", ".")):
            reason, patience = "unfinished", UNFINISHED_SECONDS
        else:
            reason, patience = "untaken", UNTAKEN_SECONDS
        if age >= patience:
            self._park(f"{folder}/{name}", reason)

    def _park(self, name: str, reason: str) -> str:
        """Move a file to `parked/`, under a name that can do no harm, with a note that says why; returns where it is."""
        own = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(name).name)[-80:].lstrip(".-")
        to = f"parked/{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}-{own}"
        self._files.put(f"{to}.why.txt", _note(reason))
        self._files.move(name, to)
        # The name is the hospital's and may say anything.
        log.error("dropbox.parked", partner=self.slug, reason=reason, note=f"{to.partition('-')[0]}-….why.txt")
        self._line.count("park", reason)
        return to

    def _open(self, name: str) -> Dropped | None:
        """The file, read; None if it was parked because reading it does not end."""
        # One byte more than the limit: a longer file is recognised as too large, and the rest is not read.
        raw = self._files.read(f"in/{name}", tables.MAX_BYTES + 1)
        dropped = self._read.get(name)
        if dropped and dropped.raw == raw:
            return dropped
        # Noted before, and taken away after: who dies over a file leaves the note behind.
        note = f"work/{_digest(raw)}.reading"
        begun = self._begun(note)
        if begun >= TRIES:
            self._set_down(name, note)
            return None
        self._files.put(note, str(begun + 1).encode())
        try:
            slices = self.cut_up(raw)
        except InvalidPayload:
            slices = []
        except Exception as error:
            log.error("dropbox.unreadable", partner=self.slug, error=type(error).__name__)
            self._set_down(name, note)
            return None
        self._files.delete(note)
        # Only the last one: they may be large.
        self._read = {name: Dropped(name, raw, slices)}
        return self._read[name]

    def _begun(self, note: str) -> int:
        with suppress(Refused, ValueError):
            return int(self._files.read(note, 10))
        return 0

    def _set_down(self, name: str, note: str) -> None:
        for marker in _markers(name):
            self._files.delete(f"in/{marker}")
        self._park(f"in/{name}", "broke")
        self._files.delete(note)

    def _unanswered(self, dropped: Dropped) -> set[int]:
        answered = {int(part.removesuffix(".json")) for part in self._files.names(f"work/{dropped.digest}")
                    if re.fullmatch(r"[0-9]{1,6}\.json", part)}
        left = self._left[dropped.name, dropped.digest] = set(dropped.numbers) - answered
        return set(left)

    def _hand_back(self, ref: str, body: bytes) -> None:
        name, digest, number = ref.rsplit("#", 2)
        self._files.put(f"work/{digest}/{number}.json", body)
        left = self._left.get((name, digest))
        if left is not None:
            left.discard(int(number))
            if left:
                return
        with suppress(Refused):
            dropped = self._open(name)
            if dropped and dropped.digest == digest:
                if not self._unanswered(dropped):
                    self._finish(dropped)
                return
        # The file was deleted or replaced: another worker finished it. Delete our partial output.
        self._left.pop((name, digest), None)
        self._clear(digest)

    def _finish(self, dropped: Dropped) -> None:
        """All is answered: write the answer, then take the file away. Each step may be done twice."""
        answers: list[dict[str, Any]] = []
        room = MAX_ANSWER_ROWS
        for number in dropped.numbers:
            answer = self._answer(dropped, number)
            if not answer:
                return  # What was not ours is gone: that prescription is offered again.
            answer["findings"] = answer["findings"][:max(1, room)]
            room -= len(answer["findings"])
            answers.append(answer)
        taken = any(map(self.is_taken, answers))
        to = self._place("done" if taken else "refused", dropped)
        self._files.put(f"{to}.answer.csv", self.answer_sheet(dropped, answers))
        # The file counts as answered from here on, also without its marker. The marker must be deleted before the file:
        # with a marker left behind, the next file of that name would be read half-written.
        self._files.put(f"work/{dropped.name}", as_json({"digest": dropped.digest, "to": to}))
        self._resume(dropped.name)

    def _answer(self, dropped: Dropped, number: int) -> dict[str, Any]:
        """Our answer to one prescription of a file; empty, and deleted, if the file there is not ours."""
        name = f"work/{dropped.digest}/{number}.json"
        answer = _object(self._files.read(name, MAX_WORK_BYTES))
        if self.is_answer(answer) and _are_objects(answer.get("findings")):
            return answer
        self._files.delete(name)
        return {}

    def _resume(self, name: str) -> None:
        """Take a file away whose answer is written: the note in `work/` says where to."""
        if name.endswith(".reading"):
            if self._files.age(f"work/{name}") > UNFINISHED_SECONDS:
                self._files.delete(f"work/{name}")
            return
        note = _object(self._files.read(f"work/{name}", MAX_WORK_BYTES))
        digest, to = note.get("digest"), note.get("to")
        if not (good_name(name) and isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{32}", digest)
                and to in _places(name, digest)):
            self._park(f"work/{name}", "forged")
            return
        raw = b""
        with suppress(Refused):
            raw = self._files.read(f"in/{name}", tables.MAX_BYTES + 1)
        if _digest(raw) == digest:
            for marker in _markers(name):
                self._files.delete(f"in/{marker}")
            with suppress(Refused):
                self._files.move(f"in/{name}", str(to))
        self._clear(digest)
        self._files.delete(f"work/{name}")
        self._left.pop((name, digest), None)
        self._read.pop(name, None)
        log.info("dropbox.finished", partner=self.slug, file=digest, to=str(to).partition("/")[0])

    def _clear(self, digest: str) -> None:
        for part in self._files.names(f"work/{digest}"):
            self._files.delete(f"work/{digest}/{part}")

    def _place(self, folder: str, dropped: Dropped) -> str:
        """Where the file goes: under its own name, unless an older one of other content has it."""
        *preferred, last = [place for place in _places(dropped.name, dropped.digest) if place.startswith(f"{folder}/")]
        for place in preferred:
            try:
                there = self._files.read(place, tables.MAX_BYTES + 1)
            except Refused as refused:
                if refused.code == "absent":
                    return place
                continue
            if there == dropped.raw:
                return place
        return last


def good_name(name: str) -> bool:
    """Whether a file can be handled under its own name; any other is parked under one of ours."""
    return bool(_NAME.fullmatch(name)) and len(name.encode()) <= MAX_NAME_BYTES


def _places(name: str, digest: str) -> list[str]:
    return [f"{folder}/{start}{name}" for folder in ("done", "refused") for start in ("", f"{digest[:8]}-", f"{digest}-")]


def _markers(name: str) -> list[str]:
    """`rx.csv.done`, `rx.csv.ok`, `rx.done` or `rx.ok` for `rx.csv`."""
    return [start + marker for start in (name, PurePosixPath(name).stem) for marker in MARKERS]


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


def _object(raw: bytes) -> dict[str, Any]:
    """What a file of ours holds; empty if it is none: the hospital's account can write there too."""
    with suppress(ValueError, RecursionError):
        value = json.loads(raw)
        if isinstance(value, dict):
            return value
    return {}


_ANSWER_TEXTS: Final = ("number", "key", "outcome", "id", "status", "at")


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


_SLICED = re.compile(r"item (\d{1,6})(?:, (.+))?", re.DOTALL)


def _answer_sheet(dropped: Dropped, answers: Sequence[Mapping[str, Any]], layout: Layout) -> bytes:
    rows: list[list[object]] = []
    for number, answer in enumerate(answers, 1):
        of_file = dropped.slices[number - 1] if dropped.slices else []
        start = [_first(of_file, "number", layout) or answer["number"], _first(of_file, "key", layout) or answer["key"],
                 OUTCOME_WORDS[Outcome(answer["outcome"])], answer["outcome"], answer["id"],
                 status_words(answer["status"]) if answer["status"] else "", answer["status"]]
        for fault in answer["findings"] or [{}]:
            rows.append([*start, place_in_file(str(fault.get("place", "")), of_file, layout),
                         *(fault.get(name, "") for name in ("rule", "code", "text", "text_en", "cure", "cure_en")),
                         answer["at"]])
    return sheet(ANSWER_HEADINGS, rows)


def _first(rows: Iterable[Row], name: str, layout: Layout) -> str:
    return next((datum.value for row in rows if (datum := Line(1, row, layout, []).datum(name)).value), "")


def place_in_file(place: str, rows: Sequence[Row], layout: Layout) -> str:
    """A place within a prescription as one in its file: `item 2, 用量` -> `row 7, 用量`."""
    match = _SLICED.fullmatch(place)
    if not match or not 0 < int(match[1]) <= len(rows):
        return place
    row, heading = rows[int(match[1]) - 1], match[2] or ""
    if heading in row.cells:
        spot = row.cells[heading].spot
        return (spot if spot != NOWHERE else Spot(place)).name
    # Nothing stands there: the heading is the file's own for that field.
    heading = row.headings.get(layout.columns.get(heading, ""), heading)
    return f"{row.spot.name}, {heading}" if heading else row.spot.name
