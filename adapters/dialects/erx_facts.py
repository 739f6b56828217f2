"""Where a message of the 电子处方 interface says one fact twice, and differently: each check is a function of the message."""

import csv
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

from adapters.dialects.erx_fields import (
    CHRONIC_VISITS,
    HERBS,
    HERE,
    WHOLE_USAGE,
    day,
    filled,
    moment,
    number,
)
from adapters.dialects.erx_json import Node
from adapters.dialects.erx_rules import finding
from domain.directions import routes_differ
from domain.findings import Finding, Spot

Parts = Mapping[str, Node]
Places = Iterator[Node]
Check = Callable[[Parts], Places]
CHECKS: list[tuple[str, Check]] = []

NEWBORN_DAYS = 28
OF_AGE = 18
"""Years."""
CLOCK_SKEW = timedelta(minutes=10)
"""Between the clocks of one hospital's systems."""
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def disagreements(parts: Parts, wrong: Collection[Spot | None] = ()) -> Iterator[Finding]:
    """Every contradiction, at the statement that is the less likely one; nothing at a place that is `wrong` by itself."""
    reported = set(wrong)
    for code, check in CHECKS:
        for node in check(parts):
            spot = node.spot
            if spot not in reported:
                reported.add(spot)
                yield finding(code, node)


def rule(code: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        CHECKS.append((code, check))
        return check
    return register


# Names of the interface's codes.

@dataclass(frozen=True)
class Terms:
    """One table of codes."""

    names: Mapping[str, str]
    """Code -> name."""
    codes: Mapping[str, str]
    """Name or abbreviation, as `plain` writes it -> code."""

    def another(self, code: Node, name: Node) -> bool:
        """Whether the name is that of another code."""
        return code.text in self.names and (self.codes.get(plain(name.text), code.text) != code.text
                                            or routes_differ(name.text, self.names[code.text]))

    def adds(self, code: Node, name: Node) -> str:
        """What the name says beyond the code: words of the prescriber's own, or nothing."""
        return "" if self.codes.get(plain(name.text)) == code.text else name.text


@cache
def terms(table: str) -> Terms:
    """`frequency`, `route`, `title` or `item_type` of the interface (`erx_codes.csv`)."""
    with (HERE / "erx_codes.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["table"] == table]
    codes = {plain(row[column]): row["code"] for column in ("abbreviation", "name") for row in rows if row[column]}
    return Terms({row["code"]: row["name"] for row in rows}, codes)


_DIGITS = str.maketrans("一二两三四五六七八九日次回１２３４５６７８９", "122345678" + "9天次次123456789")


def plain(name: str) -> str:
    """A name in one spelling: 每日2次, 一日二次 and 每天两次 are one."""
    text = re.sub(r"\s", "", name).translate(_DIGITS).lower().replace("个小时", "小时").replace("星期", "周")
    text = re.sub(r"^(?:1天|天|每1天)(?=\d+次)", "每天", text)
    return re.sub(r"^(?:1周|周|每1周)(?=\d+次)", "每周", text)


# Parts of one prescription.

_IN_UPLOAD = ("mdtrtId", "patnName", "psnCertType", "certno", "fixmedinsCode", "fixmedinsName", "drCode", "prscDrName")


@rule("ERX_PARTS_DISAGREE")
def upload_mismatch(parts: Parts) -> Places:
    visit = parts["D001"]["mdtrtinfo"]
    for name, repeated in (("D003", _IN_UPLOAD), ("D004", ("fixmedinsCode",))):
        if name in parts:
            yield from (parts[name][field] for field in repeated
                        if visit[field].text and parts[name][field].text != visit[field].text)


@rule("ERX_TIME_ORDER")
def times_out_of_order(parts: Parts) -> Places:
    rx = parts["D001"]
    issued = moment(rx["prscTime"])
    if issued is None:
        return
    for node in (rx["mdtrtinfo"]["mdtrtTime"], *(row["diagTime"] for row in rx["diseinfo"])):
        if (at := moment(node)) and at > issued + CLOCK_SKEW:
            yield node
    for part, name in (("D003", "pharChkTime"), ("D004", "undoTime")):
        if part in parts and (at := moment(parts[part][name])) and at < issued - CLOCK_SKEW:
            yield parts[part][name]


# The patient.

@rule("ERX_CERT_TYPE")
def unsupported_id_document(parts: Parts) -> Places:
    kind = parts["D001"]["mdtrtinfo"]["psnCertType"]
    if filled(kind) and kind.text != "01":
        yield kind


@rule("ERX_CREDENTIAL")
def credential_mismatch(parts: Parts) -> Places:
    rx, certno = parts["D001"], parts["D001"]["mdtrtinfo"]["certno"]
    kind, number, token = rx["mdtrtCertType"].text, rx["mdtrtCertNo"], rx["ecToken"]
    if kind == "02" and filled(number) and _CERTNO.fullmatch(certno.text) and number.text.upper() != certno.text.upper():
        yield number
    if kind == "01" and filled(number) and filled(token) and number.text != token.text:
        yield number
    if kind in ("02", "03") and filled(token):
        yield token


@rule("ERX_AGE")
def age_mismatch(parts: Parts) -> Places:
    rx, visit = parts["D001"], parts["D001"]["mdtrtinfo"]
    issued, born = moment(rx["prscTime"]), birth_date(visit["certno"].text)
    flag, words = visit["nwbFlag"], visit["nwbAge"]
    if filled(words) and _age(words.text) is None:
        yield words
    if issued is None or born is None or visit["psnCertType"].text != "01" or born > issued.date():
        return
    on = issued.date()
    age, months, days = number(visit["patnAge"]), months_between(born, on), (on - born).days
    if age is not None and int(age) != months // 12:
        yield visit["patnAge"]
    if flag.text == "1" and days > NEWBORN_DAYS:
        yield flag
    elif filled(words) and (stated := _age(words.text)) and not _fits(stated, born, on):
        yield words


def birth_date(certno: str) -> date | None:
    """Of a resident id number; None if it holds none."""
    try:
        return date(int(certno[6:10]), int(certno[10:12]), int(certno[12:14])) if _CERTNO.fullmatch(certno) else None
    except ValueError:
        return None


def months_between(born: date, on: date) -> int:
    """Completed months."""
    return (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)


_CERTNO = re.compile(r"[0-9]{17}[0-9Xx]")
_AGE = re.compile(r"(?:(\d{1,3})个?月龄?)?(?:零|又)?(?:(\d{1,3})(?:天|日龄?|日))?(?:(\d{1,3})(?:小时|h))?", re.ASCII)


def _age(words: str) -> tuple[int | None, int | None] | None:
    """Months and days of `12天`, `2月`, `1月5天`, `36小时`; None if it says no unit."""
    match = _AGE.fullmatch(re.sub(r"\s", "", words))
    if not match or not any(match.groups()):
        return None
    months, days, hours = (int(group) if group else None for group in match.groups())
    return months, days if hours is None else (days or 0) + hours // 24


def _fits(age: tuple[int | None, int | None], born: date, on: date) -> bool:
    months, days = age
    if months is None:
        return abs((on - born).days - (days or 0)) <= 1  # the day of birth may count as the first
    return months_between(born, on) == months or (
        days is not None and abs((on - born).days - months * 30 - days) <= 3)


@rule("ERX_MEASURE")
def invalid_measure(parts: Parts) -> Places:
    visit = parts["D001"]["mdtrtinfo"]
    for name in ("patnHgt", "patnWt"):
        measure = number(visit[name])
        if measure is not None and measure <= 0:
            yield visit[name]


@rule("ERX_NOT_READ")
def unsupported_fields(parts: Parts) -> Places:
    visit = parts["D001"]["mdtrtinfo"]
    yield from (visit[name] for name in ("birctrlType", "birctrlMatnDate", "matnType") if filled(visit[name]))


# The prescription.

_FLAG = frozenset("01")
_CODES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "": {"mdtrtCertType": frozenset({"01", "02", "03"}), "rxExraAttrCode": frozenset({"01", "02", "03"}),
         "rxTypeCode": frozenset({*map(str, range(1, 11)), "99"}),
         **dict.fromkeys(("reptFlag", "rxCotnFlag", "longRxFlag"), _FLAG)},
    "mdtrtinfo": {"otpIptFlag": frozenset("12"), **dict.fromkeys(("nwbFlag", "suckPrdFlag", "spDiseFlag"), _FLAG)},
    "extras": dict.fromkeys(("longRxAsmtFlag", "patnCfmFlag", "grdnCfmFlag"), _FLAG),
    "rxdrugdetail": {"hospApprFlag": frozenset("012"), **dict.fromkeys(
        ("hospPrepFlag", "mainMedcFlag", "urgtFlag", "basMednFlag", "impDrugFlag", "otcFlag"), _FLAG)},
    "diseinfo": {"diagType": frozenset("123"), "maindiagFlag": _FLAG},
}
"""Codes that the interface closes. Those that the contract has too are judged by its checker."""


@rule("ERX_CODE")
def unknown_codes(parts: Parts) -> Places:
    rx = parts["D001"]
    objects = {"": [rx], "mdtrtinfo": [rx["mdtrtinfo"]], "extras": [rx["mdtrtinfo"]["extras"]],
               "rxdrugdetail": list(rx["rxdrugdetail"]), "diseinfo": list(rx["diseinfo"])}
    for name, rows in objects.items():
        for row in rows:
            yield from (row[field] for field, known in _CODES[name].items()
                        if filled(row[field]) and row[field].text not in known)


@rule("ERX_NAME_OF_CODE")
def name_mismatch(parts: Parts) -> Places:
    rx, visit = parts["D001"], parts["D001"]["mdtrtinfo"]
    pairs = [(rx, "frequency", "rxFrquCodg", "rxFrquName"), (rx, "route", "rxUsedWayCodg", "rxUsedWayName"),
             (visit, "title", "drProfttlCodg", "drProfttlName")]
    for row in rx["rxdrugdetail"]:
        pairs += [(row, "item_type", "rxItemTypeCode", "rxItemTypeName"), (row, "route", "medcWayCodg", "medcWayDscr"),
                  (row, "frequency", "usedFrquCodg", "usedFrquName")]
    yield from (row[name] for row, table, code, name in pairs
                if filled(row[name]) and terms(table).another(row[code], row[name]))


_PIECES, _OTHERS = frozenset({"2", "4", "6", "9"}), frozenset({"1", "3", "5", "10"})
_NARCOTICS = frozenset({"7", "8"})


@rule("ERX_KIND")
def kinds_disagree(parts: Parts) -> Places:
    rx = parts["D001"]
    rows, kind = list(rx["rxdrugdetail"]), rx["rxTypeCode"].text
    mixed = len({row["rxItemTypeCode"].text == HERBS for row in rows}) > 1
    for row in rows:
        theirs = row["rxItemTypeCode"]
        pieces = theirs.text == HERBS
        if filled(theirs) and ((kind in _PIECES and not pieces) or (kind in _OTHERS and pieces)
                               or (kind == "10" and theirs.text == "11") or (kind not in _PIECES and mixed and pieces)):
            yield theirs
        elif filled(row["tcmdrugTypeCode"]) and (row["tcmdrugTypeCode"].text == "3") != pieces:
            yield row["tcmdrugTypeCode"]


@rule("ERX_RX_TYPE")
def types_disagree(parts: Parts) -> Places:
    rx, visit = parts["D001"], parts["D001"]["mdtrtinfo"]
    kind, issued, born = rx["rxTypeCode"], moment(rx["prscTime"]), birth_date(visit["certno"].text)
    grown = bool(issued and born and months_between(born, issued.date()) >= OF_AGE * 12)
    if kind.text in _NARCOTICS or (kind.text in ("5", "6") and grown):
        yield kind
    if kind.text in ("3", "4") and rx["longRxFlag"].text == "1":
        yield rx["longRxFlag"]


@rule("ERX_DRUG_COUNT")
def drug_count_mismatch(parts: Parts) -> Places:
    rx = parts["D001"]
    rows, count = list(rx["rxdrugdetail"]), number(rx["rxDrugCnt"])
    pieces = any(row["rxItemTypeCode"].text == HERBS for row in rows)
    if count is not None and rows and ((count < 1 or count != int(count)) if pieces else count != len(rows)):
        yield rx["rxDrugCnt"]


@rule("ERX_VALID_DAYS")
def validity_days_mismatch(parts: Parts) -> Places:
    rx = parts["D001"]
    start, end, days = moment(rx["prscTime"]), moment(rx["valiEndTime"]), number(rx["valiDays"])
    if start and end and days is not None and end - start != timedelta(days=float(min(days, Decimal(9999)))):
        yield rx["valiDays"]


@rule("ERX_REPEAT")
def repeat_dispensing(parts: Parts) -> Places:
    rx = parts["D001"]
    times, interval = number(rx["maxReptCnt"]), number(rx["minInrvDays"])
    if rx["reptFlag"].text == "1":
        yield rx["reptFlag"]
    elif times is not None and times > 1:
        yield rx["maxReptCnt"]
    elif interval is not None and interval > 0:
        yield rx["minInrvDays"]


@rule("ERX_RENEWAL")
def renewal_incomplete(parts: Parts) -> Places:
    rx, extras = parts["D001"], parts["D001"]["mdtrtinfo"]["extras"]
    flag, first = rx["rxCotnFlag"], rx["initRxno"]
    window = [extras[name] for name in ("renewBegnDate", "renewEndDate")]
    if first.text:
        if flag.text == "0" or first.text == rx["hospRxno"].text:
            yield flag if flag.text == "0" else first
        elif not all(map(filled, window)):
            yield first
    else:
        yield from ([flag] if flag.text == "1" else [])
        yield from (node for node in window if filled(node) and not filled(first))
    if (begin := day(window[0])) and (end := day(window[1])) and end < begin:
        yield window[1]


@rule("ERX_USAGE_TWICE")
def whole_usage_mismatch(parts: Parts) -> Places:
    rx = parts["D001"]
    rows = list(rx["rxdrugdetail"])
    if rows and not any(row["rxItemTypeCode"].text == HERBS for row in rows):
        yield from (rx[name] for name in WHOLE_USAGE if filled(rx[name]))
    for row in rows:
        if row["rxItemTypeCode"].text == HERBS:
            yield from (row[name] for name, whole in (("medcWayCodg", "rxUsedWayCodg"), ("usedFrquCodg", "rxFrquCodg"))
                        if filled(row[name]) and row[name].text != rx[whole].text)


@rule("ERX_MEDICATION_TIME")
def days_disagree(parts: Parts) -> Places:
    rx = parts["D001"]
    issued = moment(rx["prscTime"])
    for row in rx["rxdrugdetail"]:
        begin, end, days = moment(row["medcBegntime"]), moment(row["medcEndtime"]), number(row["medcDays"])
        if begin and issued and begin.date() < issued.date():
            yield row["medcBegntime"]
        elif begin and end and days is not None and 0 <= days < 10_000:
            # The last day may count up to its begin, its end, or as a date.
            length = timedelta(days=float(days))
            if not length - DAY <= end - begin <= length + SECOND or end < begin:
                yield row["medcEndtime"]


@rule("ERX_OWN_EXPENSE")
def coverage_contradiction(parts: Parts) -> Places:
    for row in parts["D001"]["rxdrugdetail"]:
        if row["hospApprFlag"].text == "1":
            yield from (row[name] for name in ("selfPayRea", "realDscr") if filled(row[name]))


@rule("ERX_HOSPITAL_PREPARATION")
def hospital_preparation(parts: Parts) -> Places:
    yield from (row["hospPrepFlag"] for row in parts["D001"]["rxdrugdetail"] if row["hospPrepFlag"].text == "1")


# The visit and the diagnoses.

_INPATIENT = re.compile(r"2[1-9]|52|9902|9904|2114")


@rule("ERX_INPATIENT")
def inpatient_prescription(parts: Parts) -> Places:
    visit = parts["D001"]["mdtrtinfo"]
    if visit["otpIptFlag"].text == "2":
        yield visit["otpIptFlag"]
    if _INPATIENT.fullmatch(visit["medType"].text):
        yield visit["medType"]


@rule("ERX_CHRONIC")
def chronic_disease_contradiction(parts: Parts) -> Places:
    visit = parts["D001"]["mdtrtinfo"]
    disease, flag = visit["diseCodg"], visit["spDiseFlag"]
    if filled(disease):
        if visit["medType"].text in ("11", "12", "13"):
            yield disease
        if flag.text == "0":
            yield flag
    elif visit["medType"].text not in CHRONIC_VISITS:  # else it is missing, which is said of itself
        yield from (node for node in (flag, visit["diseName"]) if filled(node) and node.text != "0")


@rule("ERX_MAIN_DIAGNOSIS")
def main_diagnosis(parts: Parts) -> Places:
    visit, rows = parts["D001"]["mdtrtinfo"], list(parts["D001"]["diseinfo"])
    main = [row for row in rows if row["maindiagFlag"].text == "1"]
    western = [row for row in main if row["diagType"].text == "1"]
    if rows and not main:
        yield rows[0]["maindiagFlag"]
    yield from (row["maindiagFlag"] for row in western[1:])
    for name, own in (("maindiagCode", "diagCode"), ("maindiagName", "diagName")):
        if main and filled(visit[name]) and all(row[own].text not in ("", visit[name].text) for row in main):
            yield visit[name]


@rule("ERX_DIAGNOSIS_ORDER")
def diagnosis_number_mismatch(parts: Parts) -> Places:
    rows = list(parts["D001"]["diseinfo"])
    seen: set[tuple[str, Decimal]] = set()
    for row in rows:
        place = number(row["diagSrtNo"])
        if place is None:
            continue
        key = row["diagType"].text, place
        if key in seen or not 1 <= place <= len(rows):
            yield row["diagSrtNo"]
        seen.add(key)
