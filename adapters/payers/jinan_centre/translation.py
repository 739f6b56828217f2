"""Between our words and the centre's. Pure: claims and facts in, nodes out, and back again."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from adapters.payers.jinan_centre.envelope import BEIJING, Node, beijing, finding
from domain.claims import (
    Accumulators,
    Claim,
    ClaimLine,
    DayTotals,
    Entitlement,
    Identity,
    Reconciled,
    Reversal,
    Settlement,
)
from domain.errors import InvalidPayload, Refused
from domain.money import Fen, yuan
from domain.prescription import Approval
from domain.trace import UploadKind, UploadLine
from infra.json_text import repeated_member

_RETIRED, _ACTIVE, _YES, _NO, _BALANCED = "12", "1", "1", "0", "0"
_RESIDENT_ID: Final = "01"
"""psn_cert_type of the resident identity card."""
_INSURED, _OWN_EXPENSE = "1", "2"
"""mdtrt_setl_type."""
_TAKEN = "1"
"""retRslt."""
_DENIED, _MET, _FREE = "2", "1", "0"
"""hosp_appr_flag (F-04): fully own expense; a restricted drug whose conditions are met; a drug without conditions."""


def reference(fixmedins_code: str, at: datetime, sequence: int) -> str:
    """A msgid: organisation (12) + Beijing time (14) + sequence (4).

    Raises `ValueError` for what would not be 30 characters, and for a time without a zone.
    """
    if not 0 <= sequence <= 9999:
        raise ValueError("sequence must be 0 to 9999")
    return _msgid(fixmedins_code, at, f"{sequence:04d}")


def own_reference(fixmedins_code: str, at: datetime, number: int) -> str:
    """A msgid for a question of the adapter's own: a letter first, so that it never meets a claim's."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = ""
    for _ in range(3):
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return _msgid(fixmedins_code, at, digits[10 + number % 26] + text)


def _msgid(fixmedins_code: str, at: datetime, sequence: str) -> str:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    msgid = f"{fixmedins_code}{at.astimezone(BEIJING):%Y%m%d%H%M%S}{sequence}"
    if len(msgid) != 30:
        raise ValueError("fixmedins_code must have 12 characters")
    return msgid


def sign_in_input(opter: str, mac: str, ip: str) -> Node:
    """9001."""
    return {"signIn": {"opter_no": opter, "mac": mac, "ip": ip}}


def person_input(identity: Identity, at: datetime) -> Node:
    """1101."""
    return {
        "data": {
            "mdtrt_cert_type": identity.certificate_type,
            "mdtrt_cert_no": identity.id_number,
            "begntime": beijing(at),
            "psn_cert_type": _RESIDENT_ID,
            "certno": identity.id_number,
            "psn_name": identity.name,
        }
    }


def disease_input(psn_no: str) -> Node:
    """5301."""
    return {"data": {"psn_no": psn_no}}


def claim_input(claim: Claim) -> Node:
    """2101 and 2102: a function of the claim alone, so that a repeat is the same request."""
    at = beijing(claim.at)
    druginfo = {
        "psn_no": claim.psn_no,
        "mdtrt_cert_type": claim.identity.certificate_type,
        "mdtrt_cert_no": claim.identity.id_number,
        "begntime": at,
        "medfee_sumamt": yuan(claim.total),
        "insutype": claim.insutype,
        "dise_codg": claim.disease_code,
        "acct_used_flag": _YES,
        "med_type": claim.med_type,
    }
    drugdetail = []
    for line in claim.lines:
        row: Node = {
            "feedetl_sn": line_reference(claim, line.line),
            "rxno": claim.rxno,
            "rx_circ_flag": _YES,
            "fee_ocur_time": at,
            "med_list_codg": line.drug,
            "medins_list_codg": line.drug,
            "det_item_fee_sumamt": yuan(line.amount),
            "cnt": _decimal(line.quantity),
            "pric": _decimal(line.unit_price),
            "used_frqu_dscr": line.frequency,
            "prd_days": str(line.days_supply),
            "bilg_dr_codg": claim.prescriber,
        }
        if extension := _approval(line) | _packs(line):
            row["expContent"] = extension
        drugdetail.append(row)
    return {"druginfo": druginfo, "drugdetail": drugdetail}


def _approval(line: ClaimLine) -> Node:
    """What the audit decided of a line, the hospital's word included: the fund judges by these two flags (F-04)."""
    if line.restricted is None:
        return {"hosp_appr_flag": _DENIED} if line.selfpay else {}
    met = line.restricted or line.approval is Approval.COVERED
    flag = _DENIED if line.selfpay else _MET if met else _FREE
    return {"hosp_appr_flag": flag, "lmt_used_flag": _YES if line.restricted else _NO}


def _packs(line: ClaimLine) -> Node:
    """The trace codes of a line, one entry for each pack; a claim that is only pre-settled has none yet."""
    return {"drug_trac_info": [{"drug_trac_codg": pack.code, "trdn_flag": _YES if pack.opened else _NO}
                               for pack in line.packs]} if line.packs else {}


def line_reference(claim: Claim, line: int) -> str:
    """feedetl_sn: the claim's reference and the line.

    Reference (30) and line (2) together are longer than the field's 30 characters. So the organisation is left out,
    which is the same on every line we send.
    """
    return f"{claim.reference[12:]}{line:02d}"


def reversal_input(settlement_id: str, visit_id: str, psn_no: str) -> Node:
    """2103."""
    return {"data": {"setl_id": settlement_id, "mdtrt_id": visit_id, "psn_no": psn_no}}


def upload_input(kind: UploadKind, lines: Sequence[UploadLine]) -> Node:
    """3505A and 3506A: a function of the lines alone. Persons go by the codes they have in the claim: we keep no names of them."""
    return {"selinfoDetail": [_pack_row(kind, line) for line in lines]}


def _pack_row(kind: UploadKind, line: UploadLine) -> Node:
    row: Node = {
        "med_list_codg": line.drug,
        "fixmedins_hilist_id": line.drug,
        "fixmedins_hilist_name": line.name,
        "fixmedins_bchno": line.number,
        "prsc_dr_name": line.prescriber,
        "phar_name": line.pharmacist,
        "phar_prac_cert_no": line.pharmacist,
        "mdtrt_sn": line.prescription_id,
        "mdtrt_setl_type": _INSURED if line.insured else _OWN_EXPENSE,
        "setl_id": line.settlement_id,
        "manu_lotnum": line.lot,
        "manu_date": line.made_on.isoformat(),
        "expy_end": line.expires_on.isoformat(),
        "rx_flag": _YES,
        "rx_circ_flag": _YES,
        "trdn_flag": _YES if line.opened else _NO,
        "finl_trns_pric": _decimal(line.unit_price),
        "rxno": line.prescription_id,
        "rtal_docno": line.order_id,
        "sel_retn_cnt": str(line.units),
        "sel_retn_time": beijing(line.at),
        "drugtracinfo": [{"drug_trac_codg": line.code}],
    }
    return row | ({"medins_prod_sel_no": line.sale_number} if kind is UploadKind.RETURN else {})


def is_taken(output: Node) -> bool:
    """The second level of the answer to 3505A and 3506A: infcode 0 alone is no yes."""
    return str(output["result"]["retRslt"]) == _TAKEN


def upload_query(line: UploadLine) -> Node:
    """3513."""
    return {"data": {"fixmedins_bchno": line.number, "drug_trac_codg": line.code}}


def holds(output: Node, line: UploadLine) -> bool:
    """3513: whether the row is in the answer."""
    return any(row.get("fixmedins_bchno") == line.number for row in output.get("selinfo") or ())


def totals_input(totals: DayTotals) -> Node:
    """3201."""
    return {
        "data": {
            "insutype": totals.insutype,
            "clr_type": totals.clr_type,
            "setl_optins": totals.setl_optins,
            "stmt_begndate": totals.begin.isoformat(),
            "stmt_enddate": totals.end.isoformat(),
            "medfee_sumamt": yuan(totals.total),
            "fund_pay_sumamt": yuan(totals.fund),
            "acct_pay": yuan(totals.account),
            "fixmedins_setl_cnt": str(totals.count),
        }
    }


def insurance(person: Node, insutype: str) -> Node:
    """The row of 1101 for that type of insurance, an active one if there is one.

    Raises `Refused` (code `not_insured`) if there is none.
    """
    rows = [it for it in person["insuinfo"] if it["insutype"] == insutype]
    if not rows:
        raise Refused("1101: no insurance of the claimed type", code="not_insured")
    active: list[Node] = [it for it in rows if str(it.get("psn_insu_stas")) == _ACTIVE]
    return (active or rows)[0]


def parse_entitlement(person: Node, qualifications: Node, insutype: str, at: datetime) -> Entitlement:
    """1101 and 5301 in one. Raises what `insurance` does, and `InvalidPayload`."""
    row = insurance(person, insutype)
    today = at.astimezone(BEIJING).date()
    return Entitlement(
        psn_no=str(person["baseinfo"]["psn_no"]),
        insutype=insutype,
        insured_place=str(row["insuplc_admdvs"]),
        retired=row["psn_type"] == _RETIRED,
        civil_servant=str(row["cvlserv_flag"]) == _YES,
        active=str(row.get("psn_insu_stas")) == _ACTIVE,
        diseases=tuple(
            str(it["opsp_dise_code"])
            for index, it in enumerate(qualifications.get("feedetail") or [])
            if _valid(it, today, f"output.feedetail[{index}]")
        ),
        used=_accumulators(person["baseinfo"].get("exp_content"), row["balc"]),
    )


def parse_settlement(output: Node, claim: Claim) -> Settlement:
    """2101 or 2102, in fen. Raises `InvalidPayload` if it does not add up or is about something else."""
    info = output["setlinfo"]
    amounts = _Amounts(info, "output.setlinfo")
    try:
        settlement = Settlement(
            total=amounts["medfee_sumamt"],
            own=amounts["fulamt_ownpay_amt"],
            over=amounts["overlmt_selfpay"],
            first_pay=amounts["preselfpay_amt"],
            eligible=amounts["inscp_scp_amt"],
            deductible=amounts["act_pay_dedc"],
            pool=amounts["hifp_pay"],
            day=_settled_on(info.get("setl_time")),
            large=amounts["hifob_pay"],
            serious=amounts["hifmi_pay"],
            civil=amounts["cvlserv_pay"],
            aid=amounts["maf_pay"],
            fund=amounts["fund_pay_sumamt"],
            account=amounts["acct_pay"],
            family=amounts["acct_mulaid_pay"],
            cash=amounts["psn_cash_pay"],
            settlement_id=str(info.get("setl_id") or ""),
            visit_id=str(info.get("mdtrt_id") or ""),
        )
    except ValueError:
        raise InvalidPayload([finding("PAY-15", "output.setlinfo")]) from None
    foreign = [
        finding("PAY-16", f"output.setlinfo.{name}")
        for name, same in (
            ("psn_no", str(info["psn_no"]) == claim.psn_no),
            ("medfee_sumamt", settlement.total == claim.total),
        )
        if not same
    ]
    if foreign:
        raise InvalidPayload(foreign)
    return settlement


def parse_reversal(output: Node) -> Reversal:
    """2103. Raises `InvalidPayload` for a time that is none."""
    info = output["setlinfo"]
    return Reversal(str(info["setl_id"]), _settled_on(info.get("setl_time")))


def _settled_on(value: object) -> date:
    """The centre's calendar day of a `yyyy-MM-dd HH:mm:ss`."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise InvalidPayload([finding("PAY-13", "output.setlinfo.setl_time")]) from None


def parse_reconciled(output: Node) -> Reconciled:
    """3201."""
    info = output["stmtinfo"]
    return Reconciled(str(info["stmt_rslt"]) == _BALANCED, str(info.get("stmt_rslt_dscr") or ""))


def exact_fen(value: object, path: str) -> Fen:
    """An amount in yuan as fen, without rounding. Raises `InvalidPayload` for a fraction of a fen."""
    try:
        amount = Decimal(value) * 100 if isinstance(value, str | int | Decimal) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise InvalidPayload([finding("PAY-13", path)])
    return Fen(int(amount))


class _Amounts:
    """Amounts of a node in fen; one that is left out is nothing."""

    def __init__(self, node: Mapping[str, object], path: str) -> None:
        self._node = node
        self._path = path

    def __getitem__(self, name: str) -> Fen:
        value = self._node.get(name)
        return Fen(0) if value is None or value == "" else exact_fen(value, f"{self._path}.{name}")


def _accumulators(extension: object, balance: object) -> Accumulators:
    """What the person has used up this year: a city extension, a JSON text in exp_content."""
    path = "output.baseinfo.exp_content"
    if isinstance(extension, str) and (twice := repeated_member(extension)):
        raise InvalidPayload([finding("PAY-17", f"{path}.{twice}")])
    try:
        values = json.loads(extension, parse_float=Decimal) if isinstance(extension, str) and extension else {}
        caps = values.get("cap_used")
        used = {} if caps is None else {str(name): exact_fen(it, f"{path}.cap_used") for name, it in caps.items()}
    except (ValueError, AttributeError):
        raise InvalidPayload([finding("PAY-13", path)]) from None
    amounts = _Amounts(values, path)
    return Accumulators(
        deductible_used=amounts["ded_used"],
        cap_used=max(used.values(), default=Fen(0)),
        caps=None if caps is None else tuple(sorted(used.items())),
        pool_used=amounts["pool_used"],
        serious_illness=amounts["sb_cum"],
        account=exact_fen(balance, "output.insuinfo.balc"),
    )


def _valid(row: Node, today: date, path: str) -> bool:
    """Whether a chronic-disease qualification holds today."""
    begin = _day(row.get("begndate"), f"{path}.begndate")
    end = _day(row.get("enddate"), f"{path}.enddate") if row.get("enddate") else date.max
    return begin <= today <= end


def _day(value: object, path: str) -> date:
    # Some centres send a time where the table says a date.
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise InvalidPayload([finding("PAY-13", path)]) from None


def _decimal(value: Decimal) -> str:
    # The tables bound the digits after the point, so zeros at the end must not count.
    return format(value.normalize(), "f")
