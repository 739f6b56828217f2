"""The field tables of the 电子处方 interface, and which of their fields are knowingly left out."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from adapters.dialects.erx_json import MAX_NUMBER, Node
from adapters.dialects.erx_rules import finding
from domain.findings import Finding

HERE = Path(__file__).parent
CLOSED = frozenset({"D001", "D003", "D004"})
"""What a prescription is made of: a field that is in no table is a finding, never ignored."""

_FUND = "the fund's own: settled with the fund, which is asked for it and never told by a hospital"
_CLASS = "a class that the catalogue has of the drug, which medListCodg names"
_WHO = "not who prescribes: drCode, prscDrName and prscDept are read"
_CHECKED = "the hospital's own pharmacist: ours checks again; kept in the archived message, shown by D005"

LEFT_OUT: Mapping[str, str] = {
    "D001.cardSn": "which card was shown at the visit; the insured person is certno",
    "D001.authNo": "serial number of the identity check behind the credential; the credential itself is read",
    "D001.rxExraAttrCode": _FUND,
    "D001.mdtrtareaNo": "where the hospital lies, which is known",
    "D001.mdtrtinfo.medType": f"{_FUND}; must agree with diseCodg and otpIptFlag",
    "D001.mdtrtinfo.psnNo": _FUND,
    "D001.mdtrtinfo.prscDrCertType": "identity document of the physician, whom drCode names",
    "D001.mdtrtinfo.prscDrCertno": "identity document of the physician, whom drCode names",
    "D001.mdtrtinfo.drProfttlName": "name of drProfttlCodg, which is read; must not be another title's",
    "D001.mdtrtinfo.drDeptCode": "where the physician is employed; the department that prescribes is prscDeptCode",
    "D001.mdtrtinfo.drDeptName": "where the physician is employed; the department that prescribes is prscDeptName",
    "D001.mdtrtinfo.caty": "a coarser class of the department, which is prscDeptCode",
    "D001.mdtrtinfo.mdtrtTime": "when the visit began; must not be after prscTime, from which all times count",
    "D001.mdtrtinfo.diseName": "name of diseCodg, which is read; must not stand alone",
    "D001.mdtrtinfo.hiFeesetlType": _FUND,
    "D001.mdtrtinfo.hiFeesetlName": _FUND,
    "D001.mdtrtinfo.rgstFee": "money of the visit, paid in the hospital",
    "D001.mdtrtinfo.medfeeSumamt": "money of the visit, paid in the hospital",
    "D001.rxdrugdetail.fixmedinsHilistId": "the hospital's stock number; the drug is medListCodg",
    "D001.rxdrugdetail.rxItemTypeName": "name of rxItemTypeCode, which is read; must not be another's",
    "D001.rxdrugdetail.tcmdrugTypeCode": f"{_CLASS}; must be 3 for pieces, and for them only",
    "D001.rxdrugdetail.tcmdrugTypeName": _CLASS,
    "D001.rxdrugdetail.mednTypeCode": _CLASS,
    "D001.rxdrugdetail.mednTypeName": _CLASS,
    "D001.rxdrugdetail.basMednFlag": _CLASS,
    "D001.rxdrugdetail.otcFlag": _CLASS,
    "D001.rxdrugdetail.drugPric": "the hospital's price; a pharmacy sells at its own",
    "D001.rxdrugdetail.drugSumamt": "the hospital's price; a pharmacy sells at its own",
    "D001.diseinfo.diagDept": _WHO,
    "D001.diseinfo.diagDeptCode": _WHO,
    "D001.diseinfo.diagDrNo": _WHO,
    "D001.diseinfo.diagDrName": _WHO,
    "D001.diseinfo.diagTime": "when the diagnosis was made; must not be after prscTime",
    "D003.pharDeptName": _CHECKED,
    "D003.pharDeptCode": _CHECKED,
    "D003.pharProfttlCodg": _CHECKED,
    "D003.pharProfttlName": _CHECKED,
    "D003.pharCode": _CHECKED,
    "D003.pharCertType": _CHECKED,
    "D003.pharCertno": _CHECKED,
    "D003.pharName": _CHECKED,
    "D003.pharPracCertNo": _CHECKED,
    "D003.rxFile": "the printed paper, kept in the archived message; what counts are the fields",
    "D004.drCode": "which of the hospital's physicians revokes is the hospital's affair",
    "D004.undoDrName": "which of the hospital's physicians revokes is the hospital's affair",
    "D004.undoDrCertType": "which of the hospital's physicians revokes is the hospital's affair",
    "D004.undoDrCertno": "which of the hospital's physicians revokes is the hospital's affair",
}
"""Transaction, node and field -> why nothing is read out of it."""

ABSENT: Mapping[str, str] = {
    "D001.mdtrtCertNo": "the number of the credential that was shown; where it is the identity card, it repeats certno",
    "D001.mdtrtinfo.otpIptFlag": "absent means an outpatient; an inpatient's prescription is refused",
}
"""Fields whose absence alone changes nothing, and why; what stands in them is compared."""

LEFT_OUT_OF_CANCELS: Mapping[str, str] = {
    "D001": "the prescription as it came, which the platform puts beside D004; what revokes it stands in D004",
    "D004.undoRea": "its words are put into a code of the contract; where they name no other, the prescriber revokes",
}
"""What is not kept of a revocation, and why."""


@dataclass(frozen=True)
class Field:
    name: str
    kind: str
    """`C` text, `N` number, `D` date, `DT` time, `TEXT`, `OBJ`, `JSON`, `LIST` of texts (or one of them, or several
    with commas between)."""
    length: int
    """Characters, or digits of a number; 0 where the interface does not say."""
    decimals: int
    required: bool


@dataclass(frozen=True)
class Table:
    """The fields of one object, or of each of several."""

    node: str
    """Names on the way to it; `rxdrugdetail.extras` stands in each row."""
    repeats: bool
    fields: tuple[Field, ...]


@cache
def tables(transaction: str, direction: str = "request") -> tuple[Table, ...]:
    """What the interface lists for a transaction, with our `extras` (`erx_fields.csv`)."""
    by_node: dict[tuple[str, bool], list[Field]] = {}
    with (HERE / "erx_fields.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if (row["transaction"], row["direction"]) == (transaction, direction):
                length, _, decimals = row["length"].partition(",")
                by_node.setdefault((row["node"], row["repeats"] == "Y"), []).append(Field(
                    row["field"], row["type"], int(length or 0), int(decimals or 0), row["required"] == "Y"))
    return tuple(Table(node, repeats, tuple(fields)) for (node, repeats), fields in by_node.items())


MAX_ROWS = 50
"""Of drugs, of diagnoses, of codes in a list; a prescription of pieces has up to 40."""


def misshapen(request: Node, transaction: str) -> list[Finding]:
    """Where there are no fields to look at: an object or a list in each other's place, a list without end."""
    if not isinstance(request.value, dict):
        return [finding("ERX_FIELD_TYPE", request)]
    findings: list[Finding] = []
    for table in tables(transaction):
        node = request[table.node]
        if table.repeats and node.value is not None and not isinstance(node.value, list):
            findings.append(finding("ERX_NOT_A_LIST", node))
        elif table.repeats and len(list(node)) > MAX_ROWS:
            findings.append(finding("ERX_TOO_MANY_ROWS", node))
        elif table.repeats:
            findings += [finding("ERX_FIELD_TYPE", row) for row in node if not isinstance(row.value, dict)]
        elif table.node == "mdtrtinfo" and not isinstance(node.value, dict):
            findings.append(finding("ERX_FIELD_TYPE" if filled(node) else "ERX_FIELD_MISSING", node))
    return findings


def faults(request: Node, transaction: str) -> Iterator[Finding]:
    """Where a request does not keep the field tables: missing, too long, not of its type, unknown."""
    for table in tables(transaction):
        for row in _rows(request, transaction, table.node):
            for spec in table.fields:
                yield from _fault(request, row, table, spec)
            if transaction in CLOSED:
                names = {spec.name for spec in table.fields} | _below(transaction, table.node)
                yield from (finding("ERX_FIELD_UNKNOWN", node) for name, node in row.value.items()
                            if name not in names and filled(node))


def filled(node: Node) -> bool:
    """Whether anything is said there."""
    return bool(node.value) if isinstance(node.value, dict | list) else node.text != ""


def number(node: Node) -> Decimal | None:
    """Of at most `MAX_NUMBER` digits; None for anything else."""
    return Decimal(node.text) if len(node.text) <= MAX_NUMBER + 2 and _NUMBER.fullmatch(node.text) else None


def moment(node: Node) -> datetime | None:
    """A time of the interface, in Beijing; None if it is none."""
    return _parsed(node.text, "%Y-%m-%d %H:%M:%S", 19)


def day(node: Node) -> date | None:
    parsed = _parsed(node.text, "%Y-%m-%d", 10)
    return parsed.date() if parsed else None


_NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def _parsed(text: str, shape: str, length: int) -> datetime | None:
    try:
        return datetime.strptime(text, shape) if len(text) == length else None  # noqa: DTZ007
    except ValueError:
        return None


def _below(transaction: str, node: str) -> set[str]:
    """Names of the objects and lists within one."""
    prefix = f"{node}." if node else ""
    return {table.node.removeprefix(prefix).partition(".")[0] for table in tables(transaction)
            if table.node.startswith(prefix) and table.node != node}


def _rows(request: Node, transaction: str, path: str) -> list[Node]:
    """The objects a table is about; none where they are not of the shape that `misshapen` asks for."""
    lists = {table.node for table in tables(transaction) if table.repeats}
    rows = [request]
    for step in path.split(".") if path else ():
        rows = [below for row in rows for below in (row[step] if step in lists else [row[step]])]
        if len(rows) > MAX_ROWS:
            return []
    return [row for row in rows if isinstance(row.value, dict)]


def _fault(request: Node, row: Node, table: Table, spec: Field) -> Iterator[Finding]:
    node = row[spec.name]
    if not filled(node):
        if _needed(request, row, table.node, spec):
            yield finding("ERX_FIELD_MISSING", node)
    elif spec.kind == "JSON":
        if request.source.name in CLOSED:
            yield finding("ERX_FIELD_UNKNOWN", node)
    elif not _is(node, spec):
        yield finding("ERX_FIELD_TYPE", node)
    elif spec.length and spec.kind in ("C", "TEXT") and len(node.text) > spec.length:
        yield finding("ERX_FIELD_TOO_LONG", node)


HERBS = "13"
"""rxItemTypeCode of 中药饮片: the usage stands once for the whole prescription."""
WHOLE_USAGE = ("rxUsedWayCodg", "rxUsedWayName", "rxFrquCodg", "rxFrquName", "rxDosunt", "rxDoscnt")
CHRONIC_VISITS = frozenset({"14", "140104", "140201"})
_USAGE = frozenset({"medcWayCodg", "medcWayDscr", "sinDosunt", "sinDoscnt", "usedFrquCodg", "usedFrquName"})


def _needed(request: Node, row: Node, node: str, spec: Field) -> bool:
    """Whether a field must be there, also where the interface says so in words only."""
    match node, spec.name:
        case "", "cardSn":
            return request["mdtrtCertType"].text == "03"
        case "", "authNo":
            return request["bizTypeCode"].text == "02" and request["mdtrtCertType"].text == "01"
        case "", name if name in WHOLE_USAGE:
            return any(drug["rxItemTypeCode"].text == HERBS for drug in request["rxdrugdetail"])
        case "rxdrugdetail", name if name in _USAGE:
            return spec.required and row["rxItemTypeCode"].text != HERBS
        case "rxdrugdetail", "selfPayRea":
            return row["hospApprFlag"].text == "2"
        case "rxdrugdetail", "realDscr":
            return row["selfPayRea"].text == "6"
        case "mdtrtinfo", "diseCodg":
            return row["medType"].text in CHRONIC_VISITS
        case "diseinfo", "tcmDiseCode":
            return row["diagType"].text == "2"
        case "diseinfo", "tcmsympCode":
            return row["diagType"].text == "3"
    return spec.required


def _is(node: Node, spec: Field) -> bool:
    match spec.kind:
        case "N":
            parts = _NUMBER.fullmatch(node.text) if isinstance(node.value, str) else None
            return bool(parts and len((parts[2] or "").rstrip("0")) <= spec.decimals
                        and (not spec.length or len(parts[1].lstrip("0")) <= spec.length - spec.decimals))
        case "D":
            return day(node) is not None
        case "DT":
            return moment(node) is not None
        case "OBJ":
            return isinstance(node.value, dict)
        case "LIST":
            return (isinstance(node.value, str) or all(isinstance(inner.value, str) for inner in node)) and (
                isinstance(node.value, str | list) and len(listed(node)) <= MAX_ROWS)
        case "C" | "TEXT":
            return isinstance(node.value, str)
    return True


def listed(node: Node) -> list[Node]:
    """What a `LIST` holds: its texts, or those of one text with commas between them; never many more than `MAX_ROWS`."""
    if isinstance(node.value, list):
        return [inner for inner in node if filled(inner)][:MAX_ROWS + 1]
    return [Node(text, node.source, node.trail, node.start, node.end)
            for text in re.split(r"[,，、;；|\s]+", node.text, maxsplit=MAX_ROWS) if text]
