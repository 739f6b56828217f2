"""Drug trace codes (追溯码): what a scanned code may be used for, and what is wrong with those that may not.

A code is 20 digits and stands for one pack; its first seven are the product. A pack is sold once (B-54), unless it is opened
(拆零): then its units are sold until none is left.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from domain.findings import Finding, Severity
from domain.knowledge.rows import TraceProduct

PRODUCT_DIGITS: Final = 7
RESERVE: Final = timedelta(days=30)
"""How long after the last dose a pack must still be good (D-19)."""
_CODE = re.compile(r"[0-9]{20}")


@dataclass(frozen=True)
class Scan:
    """One pack scanned for a line, as the pharmacy reports it."""

    line: int
    """Line of the prescription; 0 where it was not legible."""
    code: str
    lot: str
    made_on: date | None
    """None where the pharmacy does not say it; the fund's interface demands it (manu_date)."""
    expires_on: date | None
    units: int
    """Counted units taken from the pack."""


class UseStatus(StrEnum):
    """What became of a pack that was scanned for a line."""

    PREPARED = "prepared"
    HANDED_OVER = "handed_over"
    RETURNED = "returned"
    """Brought back: in quarantine (E-12)."""
    RELEASED = "released"
    """Back on the shelf: the order ended without medicine, or another pack was handed over."""
    LOST = "lost"
    """On the way to the patient: it is nowhere, and is not sold again (E-16)."""


@dataclass(frozen=True)
class Use:
    """A pack bound to a line of an order."""

    line: int
    code: str
    units: int
    opened: bool
    """Less than the whole pack (trdn_flag 1)."""
    status: UseStatus


@dataclass(frozen=True)
class Pack:
    """What the platform holds of a pack that was scanned before."""

    code: str
    place: str
    """chain/store where it was scanned first."""
    units: int
    units_left: int
    """Bound to no line."""
    quarantined: bool = False


@dataclass(frozen=True)
class Recall:
    """A lot of a drug, or a single pack, that may not be sold any more (E-18)."""

    drug: str
    lot: str
    """Empty for a recall of one code."""
    code: str = ""


@dataclass(frozen=True)
class Facts:
    """What codes are judged by."""

    products: Mapping[str, TraceProduct]
    """By the first seven digits of a code."""
    packs: Mapping[str, Pack]
    """Those scanned before, by code."""
    recalls: Sequence[Recall] = ()


@dataclass(frozen=True)
class Wanted:
    """A line of an order."""

    line: int
    drug: str
    quantity: Decimal
    days: int
    """Days' supply of this quantity."""


@dataclass(frozen=True)
class Judged:
    """The scans of one line."""

    packs: tuple[Scan, ...]
    """Those that stand for packs of this line: they are bound to it."""
    complete: bool
    """Whether these make the line's quantity: then the fund's share may be claimed (B-55)."""
    findings: tuple[Finding, ...]


class _Fault(NamedTuple):
    rule: str
    zh: str
    en: str
    cure: str
    cure_en: str


FAULTS: Final[Mapping[str, _Fault]] = {
    "TRACE_FORM": _Fault(
        "E-03", "追溯码不是 20 位数字，或该行内容不完整", "not a code of 20 digits, or the row is not complete",
        "重新扫描药盒上的追溯码", "scan the code of the pack again"),
    "TRACE_UNDATED": _Fault(
        "E-07", "缺少批号、生产日期或有效期", "lot, date of manufacture or expiry is missing",
        "按药盒补录批号、生产日期和有效期", "enter lot, date of manufacture and expiry as on the pack"),
    "TRACE_PRODUCT": _Fault(
        "E-03", "追溯码的产品标识不在产品表中", "the product of the code is in no table",
        "核对是否扫错；确为新产品时，请平台补充产品表", "see whether it is the right code; have a new product added to the table"),
    "PACK_MISMATCH": _Fault(
        "E-03", "追溯码属于另一种药品", "the code is of another drug",
        "取出该药盒，扫描处方所开药品", "take that pack out and scan the drug that is prescribed"),
    "TRACE_TWICE": _Fault(
        "E-03", "同一追溯码扫描了两次", "the same code was scanned twice",
        "逐盒扫描，每盒一码", "scan each pack once"),
    "TRACE_DUP": _Fault(
        "B-54", "该追溯码已售出", "the code is sold already",
        "取出该药盒，单独存放并报告，另取一盒扫描", "take the pack out, keep it apart and report it, and scan another one"),
    "TRACE_UNITS": _Fault(
        "B-54", "该药盒没有这么多剩余数量", "the pack does not hold that many units any more",
        "核对拆零余量，不足部分另开一盒扫描", "count what is left of the opened pack, and scan another one for the rest"),
    "RESALE": _Fault(
        "E-12", "该药盒是退回药品，在隔离区", "the pack was returned and is in quarantine",
        "退回的药品不得再销售；另取一盒扫描", "what was returned is not sold again; scan another pack"),
    "LOT_RECALLED": _Fault(
        "E-18", "该批号或药盒已被召回", "the lot, or the pack, is recalled",
        "停止销售，移至召回区；已交付的通知患者停用并退回",
        "do not sell it; a patient who has it stops taking it and brings it back"),
    "SHORT_DATED": _Fault(
        "D-19", "有效期不足：应晚于用完之日 30 天", "it expires too early: less than 30 days after the last dose",
        "换一盒效期更长的；已交付的联系患者更换", "take a pack that is good for longer; exchange one that was handed over"),
    "TRACE_MISSING": _Fault(
        "B-55", "扫描的药盒不足该行数量", "the packs scanned are less than the line's quantity",
        "补扫其余药盒，重新发送该订单的状态和全部追溯码",
        "scan the other packs, and send the order's status again with all codes"),
    "TRACE_SURPLUS": _Fault(
        "E-03", "扫描的药盒超过该行数量", "the packs scanned are more than the line's quantity",
        "删去多扫的药盒，重新发送该订单的状态和全部追溯码",
        "leave out what is too much, and send the order's status again with all codes"),
    "TRACE_LINE": _Fault(
        "E-03", "追溯码所属的行不在该订单内", "a code for a line that the order does not have",
        "核对处方行号后重新发送", "correct the number of the line and send it again"),
    "NOT_SOLD_HERE": _Fault(
        "E-12", "退回的追溯码不是该行售出的", "a code came back that was not sold on that line",
        "核对退回的药盒；不是本单售出的不得收回", "look at the pack; what was not sold by this order is not taken back"),
}
"""What may be wrong with a code, by the finding's code."""
ABOUT_THE_GOODS: Final = frozenset({"LOT_RECALLED", "SHORT_DATED"})
"""The code is right and the goods are not: what was handed over is sold all the same, and a person must act."""


def fault(code: str, path: str, line: int | None = None) -> Finding:
    rule, text, text_en, cure, cure_en = FAULTS[code]
    return Finding(code, Severity.BLOCK, rule, path, text, text_en, cure, cure_en, line=line or None)


def readable(code: str) -> bool:
    """Whether it has the form of a trace code."""
    return _CODE.fullmatch(code) is not None


def judge(wanted: Wanted, scans: Sequence[tuple[int, Scan]], facts: Facts, *, bound: Sequence[Use], place: str, on: date,
          handed_over: bool) -> Judged:
    """What the scans of one line may be used for, with everything that is wrong.

    `scans` have their places in the report. `bound` are the packs bound to this line so far: their units count as left.
    `on` is the day of the handover, or of the preparation. Of what was `handed_over`, a pack with a fault of the goods
    (`ABOUT_THE_GOODS`) is bound too: the patient has it.
    """
    own = {use.code: use.units for use in bound}
    packs: list[Scan] = []
    findings: list[Finding] = []
    for index, scan in scans:
        codes = _faults(wanted, scan, facts, own.get(scan.code, 0), place, on)
        if any(scan.code == earlier.code for earlier in packs):
            codes = ["TRACE_TWICE"]
        findings += [fault(code, f"traces[{index}]", wanted.line) for code in codes]
        if not codes or (handed_over and ABOUT_THE_GOODS.issuperset(codes)):
            packs.append(scan)
    total = sum(scan.units for scan in packs)
    if scans and total != wanted.quantity:
        findings.append(fault("TRACE_MISSING" if total < wanted.quantity else "TRACE_SURPLUS", "traces", wanted.line))
    return Judged(tuple(packs), total == wanted.quantity, tuple(findings))


def _faults(wanted: Wanted, scan: Scan, facts: Facts, own: int, place: str, on: date) -> list[str]:
    if not readable(scan.code) or scan.units <= 0:
        return ["TRACE_FORM"]
    product = facts.products.get(scan.code[:PRODUCT_DIGITS])
    if product is None:
        return ["TRACE_PRODUCT"]
    if product.drug != wanted.drug:
        return ["PACK_MISMATCH"]
    faults = [] if scan.units <= product.units else ["TRACE_UNITS"]
    if scan.made_on is None or scan.expires_on is None or not scan.lot:
        faults.append("TRACE_UNDATED")
    elif scan.expires_on < on + timedelta(days=wanted.days) + RESERVE:
        faults.append("SHORT_DATED")
    if any(_is_recalled(scan, wanted.drug, recall) for recall in facts.recalls):
        faults.append("LOT_RECALLED")
    if (pack := facts.packs.get(scan.code)) and (fault_of_sale := _fault_of_sale(pack, scan, own, place)):
        faults.append(fault_of_sale)
    return faults


def _is_recalled(scan: Scan, drug: str, recall: Recall) -> bool:
    return recall.code == scan.code if recall.code else (recall.drug, recall.lot) == (drug, scan.lot)


def _fault_of_sale(pack: Pack, scan: Scan, own: int, place: str) -> str:
    """Why a pack that was scanned before cannot be sold now; empty if it can."""
    left = pack.units_left + own
    if pack.quarantined:
        return "RESALE"
    if left == 0 or (pack.place != place and left < pack.units):
        return "TRACE_DUP"
    return "TRACE_UNITS" if scan.units > left else ""


@dataclass(frozen=True)
class CodedPack:
    """A pack as a claim names it (drug_trac_info)."""

    code: str
    opened: bool


def codes_by_line(quantities: Mapping[int, Decimal], uses: Sequence[Use]) -> dict[int, tuple[CodedPack, ...]]:
    """The packs of each line whose handed-over packs make its quantity, by code; other lines are left out.

    What came back later counts: a line is claimed whole or not at all, so a claim is the same however often it is made.
    """
    packs = {line: sorted((use for use in uses if use.line == line and use.status in (UseStatus.HANDED_OVER, UseStatus.RETURNED)),
                          key=lambda use: use.code) for line in quantities}
    return {line: tuple(CodedPack(use.code, use.opened) for use in sold) for line, sold in packs.items()
            if sum(use.units for use in sold) == quantities[line]}


def uncovered(drugs: Mapping[int, str], coded: Collection[int], uncoded: Collection[str]) -> list[int]:
    """Lines, by number, whose fund's share may not be claimed: no codes, and the drug is not on the list of uncoded stock."""
    return sorted(line for line, drug in drugs.items() if line not in coded and drug not in uncoded)


class UploadKind(StrEnum):
    SALE = "sale"
    """3505A."""
    RETURN = "return"
    """3506A."""


@dataclass(frozen=True)
class UploadLine:
    """One pack sold or brought back, as the fund is told of it."""

    number: str
    """Ours, 30 characters: the fund takes it once (fixmedins_bchno)."""
    order_id: str
    prescription_id: str
    drug: str
    name: str
    code: str
    lot: str
    made_on: date
    expires_on: date
    units: int
    opened: bool
    unit_price: Decimal
    """Yuan per counted unit."""
    prescriber: str
    pharmacist: str
    insured: bool
    """Whether the fund is asked to pay for the order (mdtrt_setl_type 1)."""
    settlement_id: str
    """setl_id; empty where the fund had not settled it when the row was first sent."""
    at: datetime
    """When it was handed over, or came back."""
    sale_number: str
    """Of a return: `number` of its sale (medins_prod_sel_no)."""
