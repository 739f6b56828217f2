"""The drop box: files in, an answer beside each, reports as files; one file may hold many prescriptions.

Every prescription of a file is a separate message. Its bytes are its slice of the file, the same at any position.
Its rows are read here into our words, with every fault at its own place. `dropbox_box` knows where the files lie.
"""

import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import zip_longest
from typing import Any, Final
from unicodedata import normalize

from adapters.dialects import dropbox_cells, dropbox_reader
from adapters.dialects import dropbox_tables as tables
from adapters.dialects.dropbox_cells import Cell, Row, finding
from adapters.dialects.dropbox_tables import Layout
from adapters.mapping import CodeMap, Codes
from adapters.messages import Message, Outcome, Reply, Verdict, reason_words
from domain.allergies import none_known
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from domain.lifecycle import reported
from domain.units import factor, spellings
from domain.words import REPORTS
from fhir_profiles import bundles
from fhir_profiles.drafts import NOTHING, CancelDraft, Datum, DiagnosisDraft, Draft
from fhir_profiles.message import KEY

RULES: Final = dropbox_cells.RULES

MAX_ROWS: Final = 100
"""Of one prescription."""
MAX_PRESCRIPTIONS: Final = 1_000
"""Of one file; each is read, checked and answered alone, in some 15 CPU-ms. A row without a number counts as one."""
MAX_UNNUMBERED: Final = 100
"""Rows without a number: of more than that the column is lost, and not a cell."""
MAX_FINDINGS: Final = 40
"""Of one prescription: a file of ten thousand broken ones must still be answered."""
BEIJING: Final = timezone(timedelta(hours=8))
ITEM_FIELDS: Final = frozenset({
    "item", "drug", "drug_name", "kind", "dose", "dose_unit", "frequency", "route", "quantity", "unit", "days", "usage",
    "overdose_reason", "item_note", "skin_test", "skin_test_at", "skin_test_exemption", "approval", "strength", "pack_size",
    "decoction_mark"})
"""What is said of each drug; everything else is said once, in any of the prescription's rows or in all of them."""
REQUIRED_FIELDS: Final = ("drug", "dose", "dose_unit", "frequency", "route", "quantity", "unit", "days")
"""Of each drug. What is empty stands nowhere in the Bundle: it is found here, once, where it should stand."""
CANCEL_FIELDS: Final = frozenset({"action", "key", "number", "cancel_reason", "cancelled_at"})
_ONLY_CANCEL: Final = frozenset({"cancel_reason", "cancelled_at"})
_CODES: Final = frozenset({
    "number", "key", "item", "drug", "id_number", "phone", "physician", "institution", "district", "insured_place",
    "insutype", "visit_number", "guardian_id", "credential", "renewal_first"})
"""Where a trailing .0 can only be a program's mistake."""
_ROUNDED: Final = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+?[0-9]{1,2}")
"""A number as a spreadsheet shows a long one: 1.99E+10."""


# What a prescription's rows say.

class Told(ABC):
    """A prescription or one of its rows: fields are asked for by name, and what cannot be read is found wrong in its place."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    @abstractmethod
    def datum(self, name: str) -> Datum:
        """What stands there as text; without text, the place where it should stand."""

    def word(self, name: str, words: Mapping[str, str]) -> Datum:
        """Their word in ours; one we do not know stays as it is."""
        datum = self.datum(name)
        text = normalize("NFKC", datum.value).strip()
        if text and text not in words and text not in words.values():
            self.refuse("WORD_UNKNOWN", name, datum)
        return Datum(words.get(text, text), datum.spot)

    def flag(self, name: str) -> Datum:
        """是 or 否, and other ways to say so -> `true` or `false`."""
        datum = self.datum(name)
        text = normalize("NFKC", datum.value).strip()
        if text and text.upper() not in _FLAGS:
            self.refuse("FLAG_UNREADABLE", name, datum)
        return Datum(_FLAGS.get(text.upper(), text), datum.spot)

    def number(self, name: str) -> Datum:
        """A number without a unit."""
        return self.amount(name)

    def amount(self, name: str, counted: Collection[str] = (), into: str = "") -> Datum:
        """A number; behind it may stand a word for what is counted, or a unit that converts `into` that of the column."""
        datum = self.datum(name)
        text = normalize("NFKC", datum.value).strip()
        read = _AMOUNT.fullmatch(text)
        unit = read[2].strip().casefold() if read else ""
        if not text or (read and not unit) or (read and unit in counted):
            return Datum(read[1] if read else text, datum.spot)
        if read and (times := factor(unit, into)) is not None:
            return Datum(_decimal(Fraction(read[1]) * times), datum.spot)
        self.refuse("AMOUNT_UNREADABLE", name, datum)
        return Datum(text, datum.spot)

    def day(self, name: str) -> Datum:
        """YYYY-MM-DD."""
        return self._time(name, day)

    def moment(self, name: str) -> Datum:
        """ISO 8601, Beijing's time where no offset is given."""
        return self._time(name, moment)

    def _time(self, name: str, read: Callable[[str], str | None]) -> Datum:
        datum = self.datum(name)
        value = read(datum.value) if datum.value else ""
        if value is None:
            self.refuse("TIME_UNREADABLE", name, datum)
        return Datum(datum.value if value is None else value, datum.spot)

    def refuse(self, code: str, name: str, datum: Datum) -> None:
        """A finding about a field, at its place."""
        self.findings.append(finding(code, name, datum.spot))


class Line(Told):
    """One row: a drug of the prescription."""

    def __init__(self, number: int, row: Row, layout: Layout, findings: list[Finding]) -> None:
        super().__init__(findings)
        self._number, self._row, self._layout = number, row, layout
        self.cells: dict[str, Cell] = {}
        """By field."""
        self.others: list[Cell] = []
        """What no field stands for."""
        for heading, cell in row.cells.items():
            name = layout.columns.get(heading)
            if name is None:
                if heading not in layout.left_out:
                    self.others.append(cell)
            elif name in self.cells and self.cells[name].text != cell.text:
                self.cells[name] = cell._replace(fault="HEADING_TWICE")
            elif name in _CODES and not cell.fault and _ROUNDED.fullmatch(cell.text):
                self.cells[name] = cell._replace(fault="CELL_DIGITS_LOST")
            else:
                self.cells[name] = cell

    def datum(self, name: str) -> Datum:
        if name not in self.cells:
            heading = self._row.headings.get(name) or self._layout.headings.get(name, "")
            spot = self._row.spot
            return Datum("", Spot(f"{spot.name}, {heading}", spot.line, spot.column) if heading else spot)
        cell = self.cells[name]
        text = re.sub(r"(?<=\d)\.0+$", "", normalize("NFKC", cell.text)) if name in _CODES else cell.text
        return Datum(text, cell.spot)

    def refuse(self, code: str, name: str, datum: Datum) -> None:
        self.findings.append(finding(code, f"item[{self._number}].{name}", datum.spot, self._number))

    def measure(self, name: str, unit_name: str, codes: Codes) -> tuple[Datum, Datum]:
        """A number and its unit in our code; the unit may stand behind the number instead, or agree with it there."""
        datum, unit = self.datum(name), self.datum(unit_name)
        read = _AMOUNT.fullmatch(normalize("NFKC", datum.value).strip())
        behind = read[2].strip() if read else ""
        if not read or not behind:
            return self.number(name), codes.ours("unit", unit)
        stated = codes.ours("unit", unit)
        if unit.value and behind in (unit.value, stated.value):
            return Datum(read[1], datum.spot), stated
        here = codes.ours("unit", Datum(behind, datum.spot))
        if unit.value and here.value != stated.value:
            self.refuse("UNITS_DISAGREE", name, datum)
        return Datum(read[1], datum.spot), here


class Paper(Told):
    """One prescription, or one cancel, as the rows of its file say it."""

    def __init__(self, rows: Sequence[Row], layout: Layout) -> None:
        super().__init__([])
        self.items = [Line(number, row, layout, self.findings) for number, row in enumerate(rows, 1)]

    def datum(self, name: str) -> Datum:
        """What the first row that says anything says."""
        stated = [item.datum(name) for item in self.items if name in item.cells]
        return next((said for said in stated if said.value), stated[0] if stated else self.items[0].datum(name))

    def faults(self) -> list[Finding]:
        """Cells that cannot be read, columns that were not agreed on, and rows that contradict each other."""
        findings: list[Finding] = []
        # Looked up once: to look for each cell among all rows would cost the square of their number.
        first: dict[str, str] = {}
        unknown: set[str] = set()
        for item in self.items:
            first |= {name: item.datum(name).value for name in item.cells if not first.get(name)}
        for number, item in enumerate(self.items, 1):
            hidden = False
            for name, cell in item.cells.items():
                shared = "" if name in ITEM_FIELDS else first[name]
                disagree = shared and item.datum(name).value not in ("", shared)
                code = cell.fault or ("ROWS_DISAGREE" if disagree else "")
                # A hidden row is one fault, however many cells it has.
                if code and not (code == "ROW_HIDDEN" and hidden):
                    findings.append(finding(code, f"item[{number}].{name}", cell.spot, number))
                hidden |= code == "ROW_HIDDEN"
            for cell in item.others:
                if cell.heading not in unknown:
                    unknown.add(cell.heading)
                    findings.append(finding("COLUMN_UNKNOWN", f"item[{number}]", cell.spot, number))
        findings += self._incomplete()
        # Where cells are out of place, everything else would be a consequence.
        return [fault for fault in findings if fault.code in ("ROW_TOO_LONG", "ROW_TOO_SHORT")] or findings

    def _incomplete(self) -> list[Finding]:
        """Cells that would make a row say all that the first one says of the prescription, or nothing of it."""
        stated = [{name for name, cell in item.cells.items() if (cell.text or cell.fault) and name not in ITEM_FIELDS | _IN_EACH}
                for item in self.items]
        return [finding("ROWS_INCOMPLETE", f"item[{number}].{name}", item.datum(name).spot, number)
                for number, (item, own) in enumerate(zip(self.items, stated, strict=True), 1) if own
                for name in sorted(own ^ stated[0])]


_IN_EACH: Final = frozenset({"action", "key", "number"})
"""What a row may repeat alone: it says to which prescription it belongs."""
_FLAGS: Final = {"是": "true", "Y": "true", "1": "true", "TRUE": "true", "否": "false", "N": "false", "0": "false",
                 "FALSE": "false"}
_AMOUNT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)(|\s*[^\s0-9.,+-][^0-9,]*)")
WEEKS: Final = spellings("wk") | {"孕周"}
YEARS: Final = frozenset({"年", "岁"})
DOSES: Final = frozenset({"剂", "付", "帖"})
TIMES: Final = frozenset({"次", "次/日", "次/天"})


def _decimal(value: Fraction) -> str:
    """72 hours are 3 days, not 2.9999…."""
    return f"{(Decimal(value.numerator) / value.denominator).normalize():f}"


def several(datum: Datum, separators: str = ";；、|,，\n") -> list[Datum]:
    """The parts of a cell that holds several."""
    return [Datum(part.strip(), datum.spot) for part in re.split(f"[{re.escape(separators)}]", datum.value) if part.strip()]


def diagnoses(paper: Paper, codes: Codes) -> list[DiagnosisDraft]:
    """Code by code with its name. An official name may hold `、`: only what separates the codes as well separates names."""
    coded, named = paper.datum("diagnoses"), paper.datum("diagnosis_names")
    ours = several(coded)
    names = [named] if len(ours) == 1 and named.value and not re.search("[;；|\n]", named.value) else several(named, ";；|\n")
    if len(names) == 1 and len(ours) > 1 and "、" in coded.value:
        names = several(named, "、")
    if names and len(names) != len(ours):
        paper.refuse("DIAGNOSIS_COUNT", "diagnosis_names", named)
    paired = [(code, names[index] if index < len(names) else Datum("", named.spot)) for index, code in enumerate(ours)]
    return [DiagnosisDraft(codes.ours("diagnosis", code, name.value), name) for code, name in paired or [(coded, named)]]


@dataclass(frozen=True)
class Allergies:
    groups: Sequence[Datum] = ()
    """allergy_id of allergy_groups.csv."""
    words: Sequence[Datum] = ()
    none: Datum = NOTHING
    """`true` where the hospital says that none are known."""


def allergies(paper: Paper, *names: str) -> Allergies:
    """Codes as codes; what is not a code as it was written; nothing where nothing was written."""
    groups: list[Datum] = []
    words: list[Datum] = []
    none = NOTHING
    for name in names:
        datum = paper.datum(name)
        # 否认药物、食物过敏史 is one answer.
        parts = [datum] if none_known(datum.value) else several(datum)
        denied = [part for part in parts if none_known(part.value)]
        coded = [part for part in parts if _ALLERGY.fullmatch(_bare(part.value).upper())]
        groups += [Datum(_bare(part.value).upper(), part.spot) for part in coded]
        if len(denied) + len(coded) < len(parts):
            words.append(datum)
        elif denied:
            none = Datum("true", datum.spot)
        if denied and len(denied) < len(parts):
            paper.refuse("ALLERGY_COLUMNS_DISAGREE", name, datum)
    if none.value and (groups or words):
        paper.findings.append(finding("ALLERGY_COLUMNS_DISAGREE", "allergies", none.spot))
    groups, words = (list({datum.value: datum for datum in data}.values()) for data in (groups, words))
    return Allergies(groups, words, none)


_ALLERGY = re.compile(r"AL[0-9]{2,3}")
def _bare(text: str) -> str:
    return re.sub(r"[\s。.!！：:]", "", normalize("NFKC", text))


def check_age(paper: Paper, born: Datum, issued: Datum) -> None:
    """Compare the age that is stated with the date of birth: two statements of one fact."""
    datum = paper.datum("age")
    with suppress(ValueError):
        if datum.value and (agrees := age_agrees(datum.value, date.fromisoformat(born.value),
                                                datetime.fromisoformat(issued.value).astimezone(BEIJING).date())) is not True:
            paper.refuse("AMOUNT_UNREADABLE" if agrees is None else "AGE_DISAGREES", "age", datum)


_AGE = re.compile(r"(?:(\d{1,3})(?:周?岁|Y|$))?(?:(\d{1,3})(?:个月|月龄|月|M))?(?:零?(\d{1,4})(?:天|日龄|日|D))?")


def age_agrees(text: str, born: date, on: date) -> bool | None:
    """Whether a stated age (68, 68岁, 3岁2月, 5月龄, 20天) is the completed one; None if it cannot be read."""
    read = _AGE.fullmatch(re.sub(r"\s", "", normalize("NFKC", text)).upper())
    if not read or not any(read.groups()):
        return None
    years, months, days = (int(part) if part else None for part in read.groups())
    lived = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    if years is None and months is None:
        return (on - born).days == days
    total = (years or 0) * 12 + (months or 0)
    agrees = lived == total if months is not None else lived // 12 == years
    if days is None:
        return agrees
    # Completed months, and the days since: at the end of a month there are two ways to count them.
    return agrees and abs((on - born).days - round(lived * 30.4375) - days) <= 3


_DAY = r"(\d{4})(?:-(\d{1,2})-|/(\d{1,2})/|\.(\d{1,2})\.|年(\d{1,2})月|(\d\d))(\d{1,2})日?"
_TIME = r"[ T]*(\d{1,2})(?::|时|(?=\d\d))(\d\d)(?:(?::|分)?(\d\d)秒?|分?)(?:\.0+)?"
_A_DAY = re.compile(rf"{_DAY}(?:[ T]0?0:00(?::00)?)?")
_A_MOMENT = re.compile(rf"{_DAY}{_TIME}(Z|[+-]\d\d:?\d\d)?")


def day(text: str) -> str | None:
    """A date as people and Excel write it -> YYYY-MM-DD; None for anything else."""
    if match := _A_DAY.fullmatch(normalize("NFKC", text).strip()):
        with suppress(ValueError):
            return _date(match).date().isoformat()
    return None


def moment(text: str) -> str | None:
    """A time as people and Excel write it, Beijing's where no offset is given -> ISO 8601; None for anything else."""
    if match := _A_MOMENT.fullmatch(normalize("NFKC", text).strip()):
        hour, minute, second, offset = match.groups()[-4:]
        with suppress(ValueError):
            at = _date(match).replace(hour=int(hour), minute=int(minute), second=int(second or 0))
            zone = datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").tzinfo if offset else BEIJING
            return at.replace(tzinfo=zone).isoformat()
    return None


def _date(match: "re.Match[str]") -> datetime:
    year, dashed, slashed, dotted, worded, bare, of_month = match.groups()[:7]
    return datetime(int(year), int(dashed or slashed or dotted or worded or bare), int(of_month), tzinfo=BEIJING)


def later(start: Datum, days: Datum) -> Datum:
    """That many days after a moment. Where either cannot be read it takes its place, because that is where to mend it."""
    try:
        begun = datetime.fromisoformat(start.value)
        if begun.tzinfo is None:
            return Datum("", start.spot)
    except ValueError:
        return Datum("", start.spot)
    with suppress(ValueError, OverflowError, InvalidOperation):
        number = Decimal(days.value)
        if number == int(number):
            return Datum((begun + timedelta(days=int(number))).isoformat(), days.spot)
    return days


# From bytes to a message, and from a verdict to an answer.

@dataclass(frozen=True)
class Translation:
    """What a hospital's own translation gives: its paper as a draft."""

    prescription: Callable[[Paper, Codes], Draft]
    cancel: Callable[[Paper], CancelDraft]


def to_fhir(raw: bytes, codes: CodeMap, layout: Layout, translation: Translation) -> Message:
    """A slice, or a file with one prescription. Raises `InvalidPayload` for anything else."""
    rows = tables.read_slice(raw, FAULTS)
    if rows is None:
        rows = dropbox_reader.read(raw, layout)
        if len(cut(rows, layout)) != 1:
            raise InvalidPayload([finding("NOT_ONE_PRESCRIPTION", "file")])
    if not rows:
        raise InvalidPayload([finding("FILE_EMPTY", "file")])
    if len(rows) > MAX_ROWS:
        raise InvalidPayload([finding("TOO_MANY_ROWS", "file", rows[MAX_ROWS].spot)])
    paper = Paper(rows, layout)
    faults = paper.faults()
    if any(fault.code in ("ROW_TOO_LONG", "ROW_TOO_SHORT") for fault in faults):
        raise InvalidPayload(faults[:MAX_FINDINGS])
    datum = paper.datum("action")
    action = layout.actions.get(datum.value) if datum.value else "prescription"
    if not action:
        raise InvalidPayload([finding("ACTION", "item[1].action", datum.spot), *faults[:MAX_FINDINGS]])
    key = paper.datum("key")
    good = _good_key(paper)
    if key.value and not good:
        # Without a key it keeps the bytes' own digest at intake.
        faults.append(finding("KEY", "item[1].key", key.spot))
    faults += _out_of_place(paper, action)
    ours = Codes(codes)
    resource, spots = (bundles.cancel(translation.cancel(paper)) if action == "cancel" else
                       bundles.bundle(translation.prescription(paper, ours)))
    if action != "cancel":
        faults += _empty(paper)
    return Message(key.value if good else None, resource, bundles.locate(spots), tuple(ours.unmapped),
                   {"number": paper.datum("number").value, "key": key.value}, _bounded([*faults, *paper.findings]))


FAULTS: Final = frozenset(rule.code for rule in RULES)

LEFT_OUT: Final[Mapping[str, str]] = {
    "(above the headings)": "the title of the table: it is about the file, not about one of its prescriptions",
    "(hidden sheet)": "code tables and examples of the export program: what is handed over is the sheet that is shown",
}
"""Place in a file, besides its columns, that leaves no trace in what is kept -> why."""
LEFT_OUT_OF_CANCELS: Final[Mapping[str, str]] = {
    "(row)": "a cancel takes back a whole prescription by its number, in however many rows it stands",
}
"""Place in a file that is not looked at of a cancel -> why."""


def _bounded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each once: where a cell is refused already, what cannot be read of it is a consequence."""
    first: dict[Spot | None, Finding] = {}
    kept = [fault for fault in findings if fault.spot is None or first.setdefault(fault.spot, fault) is fault]
    if len(kept) <= MAX_FINDINGS:
        return tuple(kept)
    return (*kept[:MAX_FINDINGS], finding("MORE_FINDINGS", "file"))


def _out_of_place(paper: Paper, action: str) -> list[Finding]:
    """Columns that belong to the other action. A cancel with drugs is refused: it could mean those drugs only."""
    return [finding("ACTION_COLUMN", f"item[{number}].{name}", cell.spot, number)
            for number, item in enumerate(paper.items, 1) for name, cell in item.cells.items()
            if (name not in CANCEL_FIELDS if action == "cancel" else name in _ONLY_CANCEL)]


def _empty(paper: Paper) -> list[Finding]:
    """Cells that every drug must have; a unit may stand behind its number instead."""

    def missing(item: Line, name: str) -> bool:
        number = _AMOUNT.fullmatch(normalize("NFKC", item.datum(_UNIT_OF[name]).value).strip()) if name in _UNIT_OF else None
        return not item.datum(name).value and not (number and number[2].strip())

    return [finding("CELL_EMPTY", f"item[{number}].{name}", item.datum(name).spot, number)
            for number, item in enumerate(paper.items, 1) for name in REQUIRED_FIELDS if missing(item, name)]


_UNIT_OF: Final = {"dose_unit": "dose", "unit": "quantity"}


def _good_key(paper: Paper) -> bool:
    """Whether the serial number can be a key: keys stand in addresses and logs, so nothing of a person may be in them."""
    private_fields = ("id_number", "phone", "guardian_id")
    key, *parts = (re.sub(r"[^0-9A-Z]", "", paper.datum(name).value.upper()) for name in ("key", *private_fields))
    # However the phone is written, with its country or without.
    private = [secret for secret in (parts[0], parts[1][-11:], parts[2]) if len(secret) >= 6]
    return bool(KEY.fullmatch(paper.datum("key").value)) and not any(secret in key for secret in private)


def cut(rows: Sequence[Row], layout: Layout) -> list[list[Row]]:
    """The rows of each prescription of a file, in the order of their first rows.

    A row without a number is refused alone. A row without an action belongs to the row before it.
    Raises `InvalidPayload` for a file with too many of either.
    """
    unnumbered = 0
    prescriptions: dict[tuple[str, str, int], list[Row]] = {}
    last: dict[str, str] = {}
    for place, row in enumerate(rows):
        line = Line(1, row, layout, [])
        name, word = line.datum("number").value, line.datum("action").value
        action = last[name] = layout.actions.get(word, word) if word else last.get(name, "prescription")
        prescriptions.setdefault((name, action, 0 if name else place + 1), []).append(row)
        unnumbered += not name
        if unnumbered > MAX_UNNUMBERED:
            raise InvalidPayload([finding("ROWS_UNNUMBERED", "file", row.spot)])
        if len(prescriptions) > MAX_PRESCRIPTIONS:
            raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file", row.spot)])
    return list(prescriptions.values())


def answer(message: Message | None, verdict: Verdict) -> Reply:
    """What will be a prescription's lines in its file's answer."""
    context = message.context if message else {}
    return Reply(as_json({
        "number": verdict.external_id or context.get("number", ""), "key": context.get("key", ""),
        "outcome": str(verdict.outcome), "id": verdict.prescription_id, "status": str(verdict.status),
        "at": verdict.at.isoformat(),
        "findings": [{"place": fault.spot.name if fault.spot else "", "rule": fault.rule, "code": fault.code, "text": fault.text,
                      "text_en": fault.text_en, "cure": fault.cure, "cure_en": fault.cure_en}
                     for fault in verdict.findings[:2 * MAX_FINDINGS]]
        + [{"place": unmapped.spot.name if unmapped.spot else "", "rule": "", "code": f"UNMAPPED_{unmapped.table.upper()}",
            "text": "院内编码尚未对照，待平台人工对照", "text_en": "Your code is not mapped yet; a person will do it.",
            "cure": "无需重发", "cure_en": "No need to send it again."} for unmapped in verdict.unmapped[:2 * MAX_FINDINGS]],
    }), media="application/json")


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


# What we write: CSV that Excel opens as it is.

ANSWER_HEADINGS: Final = (
    "处方号 / Number", "流水号 / Key", "结果 / Result", "结果代码 / Outcome", "平台编号 / Id", "状态 / Status",
    "状态代码 / Status code", "位置 / Place", "规则 / Rule", "问题代码 / Finding", "问题 / Problem", "Problem", "处理 / Cure",
    "Cure", "时间 / At")
REPORT_HEADINGS: Final = (
    "回执号 / Key", "处方号 / Number", "平台编号 / Id", "状态 / Status", "状态代码 / Status code", "时间 / At", "原因 / Reason",
    "原因代码 / Reason code", "订单 / Order", "连锁 / Chain", "门店 / Store", "取药码 / Pickup code", "总额 / Total",
    "基金 / Fund", "个账 / Account", "自付 / Cash", "问题代码 / Finding", "严重程度 / Severity", "问题 / Problem",
    "药品行 / Item", "流水号 / Message", "发药行 / Line", "药品行号 / Line number", "药品编码 / Drug", "药品名称 / Drug name",
    "发药数量 / Quantity", "单位 / Unit", "取药方式 / Handover", "取药时间 / Handed over", "是否退回 / Returned",
    "结算号 / Settlement", "被冲正结算号 / Reversed settlement", "患者页面 / Patient page")
OUTCOME_WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.ACCEPTED: "已接收 / accepted",
    Outcome.REFUSED: "已退回 / refused",
    Outcome.CONFLICT: "与先前内容冲突 / conflict",
    Outcome.WAITING: "待编码对照 / waiting",
}


def sheet(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """UTF-8 with the byte order mark that Excel needs; no cell can be taken for a formula by the program that opens it."""
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
    """A report (contract 1.3) as a sheet: one row, or one for each of its findings or of the lines handed over."""
    handed, money = report.get("dispense") or {}, report.get("money") or {}
    pickup, settlement = report.get("pickup") or handed, report.get("settlement") or {}
    status = str(report["status"])
    start = [report["key"], report["prescription"], report.get("id", ""), status_words(status), status, report["at"],
             reason_words(report), report.get("reason", ""),
             *(pickup.get(name, "") for name in ("order", "chain", "store", "code")),
             *(money.get(name, "") for name in ("total", "fund", "account", "cash"))]
    settled = [settlement.get(part, {}).get("id", "") for part in ("settled", "reverses")]
    nothing: dict[str, Any] = {}
    rows = zip_longest(report.get("findings") or [nothing], handed.get("lines") or [nothing], fillvalue=nothing)
    return sheet(REPORT_HEADINGS, [
        [*start, *(fault.get(name, "") for name in ("code", "severity", "text")), fault.get("spot") or fault.get("line") or "",
         report.get("message", ""), *(line.get(name, "") for name in ("line", "item", "drug", "name", "quantity", "unit")),
         *((handed["handover"], handed["at"], "是 / yes" if line["returned"] else "否 / no") if line else ("", "", "")), *settled,
         report.get("patient_page", "")]
        for fault, line in rows])


def status_words(status: str) -> str:
    """A status or a notice in words. Raises ValueError for a word that this release does not know."""
    words = REPORTS[reported(status)]
    return f"{words.zh} / {words.en}"
