"""The national FSI envelope, and the field tables that everything sent and received is held against.

`fields.csv` holds the published rows of the transactions we use, plus the extension fields of this city.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from adapters.registry import PayerManifest
from domain.errors import InvalidPayload, NeedsOperator
from domain.findings import Finding, Severity
from infra.json_text import repeated_member

BEIJING: Final = timezone(timedelta(hours=8))

RULES: Final[Mapping[str, tuple[str, str]]] = {
    "PAY-11": ("报文不是 JSON 对象", "not a JSON object"),
    "PAY-12": ("缺少必填字段", "a mandatory field is missing"),
    "PAY-13": ("字段类型或格式不符", "a field has the wrong type or form"),
    "PAY-14": ("字段超长", "a field is too long"),
    "PAY-15": ("金额之间不平", "the amounts do not add up"),
    "PAY-16": ("应答与请求不是同一人或同一金额", "the answer is about another person or another amount"),
    "PAY-17": ("一个对象中同一字段出现两次", "an object has one field twice"),
}
"""Everything an answer of the centre can be quarantined for."""

Direction = Literal["req", "resp"]
Node = dict[str, Any]

_CODE = re.compile(r"\s*\[([A-Z]{1,16})\]")

# The tables leave these optional; a settlement without them could not be booked.
_MUST: Final[Mapping[tuple[str, Direction, str], frozenset[str]]] = {
    **{
        (infno, "req", "druginfo"): frozenset(
            {"psn_no", "mdtrt_cert_type", "mdtrt_cert_no", "begntime", "medfee_sumamt", "insutype", "med_type"}
        )
        for infno in ("2101", "2102")
    },
    **{
        (infno, "req", "drugdetail[]"): frozenset(
            {"feedetl_sn", "rxno", "fee_ocur_time", "med_list_codg", "det_item_fee_sumamt", "cnt", "pric"}
        )
        for infno in ("2101", "2102")
    },
    **{
        (infno, "resp", "setlinfo"): frozenset(
            {"psn_no", "medfee_sumamt", "fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt"}
            | {"hifp_pay", "fund_pay_sumamt", "acct_pay", "psn_cash_pay"}
            | ({"setl_id", "mdtrt_id"} if infno == "2102" else set())
        )
        for infno in ("2101", "2102")
    },
    ("2103", "resp", "setlinfo"): frozenset({"setl_id"}),
}

_NODES: Final[Mapping[tuple[str, Direction], frozenset[str]]] = {
    ("9001", "req"): frozenset({"signIn"}),
    ("9001", "resp"): frozenset({"signinoutb"}),
    ("1101", "req"): frozenset({"data"}),
    ("1101", "resp"): frozenset({"baseinfo", "insuinfo[]"}),
    ("5301", "req"): frozenset({"data"}),
    ("5301", "resp"): frozenset(),
    ("2101", "req"): frozenset({"druginfo", "drugdetail[]"}),
    ("2101", "resp"): frozenset({"setlinfo"}),
    ("2102", "req"): frozenset({"druginfo", "drugdetail[]"}),
    ("2102", "resp"): frozenset({"setlinfo"}),
    ("2103", "req"): frozenset({"data"}),
    ("2103", "resp"): frozenset({"setlinfo"}),
    ("3201", "req"): frozenset({"data"}),
    ("3201", "resp"): frozenset({"stmtinfo"}),
    **{(infno, "req"): frozenset({"selinfoDetail[]"}) for infno in ("3505A", "3506A")},
    **{(infno, "resp"): frozenset({"result"}) for infno in ("3505A", "3506A")},
    ("3513", "req"): frozenset({"data"}),
    ("3513", "resp"): frozenset(),
}
"""The nodes without which a message says nothing."""


@dataclass(frozen=True)
class Answer:
    """What came back in the envelope."""

    error: str
    """Bracketed code of err_msg, `?` if there is none; empty for success. The rest of err_msg stays outside."""
    output: Node = field(repr=False)


def canonical(value: object) -> bytes:
    """The one way we write JSON: the same facts are the same bytes, so the same msgid is the same request."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def beijing(at: datetime) -> str:
    """`yyyy-MM-dd HH:mm:ss` in Beijing. Raises `ValueError` for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"


def build(
    us: PayerManifest, infno: str, msgid: str, input_: Node, *, at: datetime, sign_no: str, insured_place: str
) -> bytes:
    """A request in its envelope.

    Raises `NeedsOperator` naming every field that is missing or too long: the centre would refuse it.
    """
    envelope: Node = {
        "infno": infno,
        "msgid": msgid,
        "mdtrtarea_admvs": us.mdtrtarea_admvs,
        "insuplc_admdvs": insured_place,
        "recer_sys_code": us.recer_sys_code,
        "dev_no": "",
        "dev_safe_info": "",
        "cainfo": "",
        "signtype": "",
        "infver": us.infver,
        "opter_type": us.opter_type,
        "opter": us.opter,
        "opter_name": us.opter_name,
        "inf_time": beijing(at),
        "fixmedins_code": us.fixmedins_code,
        "fixmedins_name": us.fixmedins_name,
        "sign_no": sign_no,
        "input": input_,
    }
    faults = [*_check_node("ENV", "req", "(envelope)", envelope, ""), *check(infno, "req", input_)]
    if faults:
        raise NeedsOperator(
            f"{us.slug}: {infno} would be refused: " + "; ".join(f"{it.path}: {it.text_en}" for it in faults),
            code="field",
        )
    return canonical(envelope)


def parse(body: bytes) -> Answer:
    """The answer in its envelope. Raises `InvalidPayload`."""
    if twice := repeated_member(body):
        raise InvalidPayload([finding("PAY-17", twice)])
    try:
        envelope = json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        envelope = None
    if not isinstance(envelope, dict):
        raise InvalidPayload([finding("PAY-11", "$")])
    ok = str(envelope.get("infcode")) == "0"
    # Some centres leave `output` and `inf_refmsgid` out, or null, when they say no.
    faults = list(_check_node("ENV", "resp", "(envelope)", envelope, "")) if ok else []
    if "infcode" not in envelope:
        faults = [finding("PAY-12", "infcode")]
    output = envelope.get("output") or {}
    if not isinstance(output, dict):
        faults.append(finding("PAY-13", "output"))
    if faults:
        raise InvalidPayload(faults)
    if ok:
        return Answer("", output)
    code = _CODE.match(str(envelope.get("err_msg") or ""))
    return Answer(code[1] if code else "?", {})


def checked(infno: str, output: Node) -> Node:
    """The output of a successful answer. Raises `InvalidPayload` with every field that breaks its table."""
    if faults := check(infno, "resp", output):
        raise InvalidPayload(faults)
    return output


def check(infno: str, direction: Direction, nodes: Node) -> list[Finding]:
    """Every field of these nodes that is missing, too long or of the wrong form."""
    faults: list[Finding] = []
    for node in _tables()[infno, direction]:
        name, many = node.removesuffix("[]"), node.endswith("[]")
        content = nodes.get(name)
        root = f"{'input' if direction == 'req' else 'output'}.{name}"
        if content is None or (many and content == [] and direction == "req"):
            if node in _NODES[infno, direction]:
                faults.append(finding("PAY-12", root))
            continue
        if not isinstance(content, list if many else dict):
            faults.append(finding("PAY-13", root))
            continue
        for index, row in enumerate(content if many else [content]):
            path = f"{root}[{index}]" if many else root
            if isinstance(row, dict):
                faults += _check_node(infno, direction, node, row, path + ".")
            else:
                faults.append(finding("PAY-13", path))
    return faults


def finding(rule: str, path: str) -> Finding:
    """One breach of the interface. Says where, never what was there."""
    text, text_en = RULES[rule]
    return Finding("PAYER_CONTRACT", Severity.BLOCK, rule, path, text, text_en, source="contracts, 3")


@dataclass(frozen=True)
class _Field:
    name: str
    kind: str
    """C text, N number, D date, DT time, OBJ an object; empty where the tables say nothing."""
    length: int
    """Characters, or digits of a number; 0 where the tables say nothing."""
    decimals: int
    required: bool


@cache
def _tables() -> Mapping[tuple[str, str], Mapping[str, tuple[_Field, ...]]]:
    tables: dict[tuple[str, str], dict[str, tuple[_Field, ...]]] = {}
    with (Path(__file__).parent / "fields.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            length, _, decimals = row["length"].partition(",")
            spec = _Field(row["field"], row["type"], int(length or 0), int(decimals or 0), row["required"] == "Y")
            nodes = tables.setdefault((row["txn"], row["direction"]), {})
            nodes[row["node"]] = (*nodes.get(row["node"], ()), spec)
    return tables


def _check_node(infno: str, direction: Direction, node: str, row: Node, path: str) -> Iterator[Finding]:
    fields = _tables()[infno, direction][node]
    must = _MUST.get((infno, direction, node), frozenset())
    for spec in fields:
        value = row.get(spec.name)
        if value is None or value == "":
            if spec.required or spec.name in must:
                yield finding("PAY-12", path + spec.name)
        elif rule := _breach(spec, value):
            yield finding(rule, path + spec.name)
    if direction == "req":
        for name in sorted(row.keys() - {it.name for it in fields}):
            yield finding("PAY-13", path + name)


def _breach(spec: _Field, value: object) -> str:
    """The rule a value breaks, or nothing."""
    match spec.kind:
        case "N":
            return _number_breach(spec, value)
        case "OBJ":
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
            return "PAY-14" if len(text) > spec.length else ""
        case "":
            return ""
        case _:
            if not isinstance(value, str | int) or isinstance(value, bool):
                return "PAY-13"
            return "PAY-14" if spec.length and len(str(value)) > spec.length else ""


def _number_breach(spec: _Field, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return "PAY-13"
    try:
        number = Decimal(value)
    except InvalidOperation:
        return "PAY-13"
    if not number.is_finite():
        return "PAY-13"
    # In the published tables N16,2 is sixteen digits, two of them after the point.
    whole = format(abs(number), "f").partition(".")[0].lstrip("0")
    exponent = number.normalize().as_tuple().exponent
    too_fine = isinstance(exponent, int) and -exponent > spec.decimals
    return "PAY-14" if too_fine or len(whole) > spec.length - spec.decimals else ""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
