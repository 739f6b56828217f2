"""What chains share on the wire: signed callbacks, and answers that are checked before they are believed."""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from domain.chains import ChainWord, LeftOut, Offers, OrderLine, OrderUpdate, Quote, Receipt
from domain.errors import InvalidPayload, Refused
from domain.findings import Finding, Severity, Spot
from domain.money import line_amount
from domain.privacy import WITHHELD, shown
from domain.trace import Scan
from domain.words import Two
from infra.json_text import repeated_member

CALLBACK_AGE_SECONDS: Final = 600
"""Accepted age of a callback, either way (contracts, 2.1)."""

class Rule(NamedTuple):
    """A way to break the contract; the cure is for the chain's side."""

    text: Two
    cure: Two


RULES: Final[Mapping[str, Rule]] = {
    "CHN-01": Rule(Two("报文不是 JSON", "not JSON"), Two("按 RFC 8259 用 UTF-8 编码", "write it by RFC 8259, in UTF-8")),
    "CHN-02": Rule(Two("缺少字段", "a field is missing"), Two("补上该字段", "add the field")),
    "CHN-03": Rule(Two("字段类型或格式不符", "a field has the wrong type or form"),
                   Two("按接口约定的类型与格式填写", "write it in the type and form of the contract")),
    "CHN-04": Rule(Two("词语不在约定的词表内", "a word that is not in the agreed list"),
                   Two("使用词表内的词；新词先与平台约定", "use a word of the list; agree on a new one with the platform first")),
    "CHN-05": Rule(Two("金额不等于单价乘以数量", "an amount is not unit price times quantity"),
                   Two("每行单独四舍五入到分", "round each line by itself, half up, to the fen")),
    "CHN-06": Rule(Two("应答的药品或数量不是所询问的", "an answer about a drug or a quantity that was not asked for"),
                   Two("只应答所询问的药品，数量不超过所询问的", "answer for the drugs asked for, and for no more than was asked")),
    "CHN-07": Rule(Two("对方称请求有误", "the partner says that our request is malformed"),
                   Two("与对方核对接口版本", "compare the version of the interface with the partner")),
    "CHN-08": Rule(Two("应答的状态与请求不符", "a status that does not answer the request"),
                   Two("撤销成功后的状态应为已取消", "after a cancel the order is cancelled")),
    "CHN-09": Rule(Two("同一药店报价两次", "one store quotes twice"), Two("每家药店只报价一次", "quote once for each store")),
    "CHN-10": Rule(Two("退药须逐一写明退回的处方行", "a return names each line that came back, even if it is all of them"),
                   Two("写明退回的每一行", "name each line that came back")),
    "CHN-11": Rule(Two("编号只可用字母、数字及 . _ : / # -,不可为手机号或证件号",
                       "an identifier is letters, digits and . _ : / # -, and no mobile or id number"),
                   Two("改用不含个人信息的编号", "use a number that holds nothing personal")),
    "CHN-12": Rule(Two("报文不是约定的 SOAP 1.1 信封", "not the SOAP 1.1 envelope that was agreed"),
                   Two("按 SOAP 1.1 与约定的命名空间书写", "write it by SOAP 1.1, in the namespace agreed")),
    "CHN-13": Rule(Two("文字不是 UTF-8 或 GB18030，或在途中损坏", "neither UTF-8 nor GB18030, or damaged on its way"),
                   Two("从源系统以 UTF-8 或 GB18030 重新导出", "export it again from its source, in UTF-8 or GB18030")),
    "CHN-14": Rule(Two("文件不是可读取的 CSV 或 xlsx 表格，或不完整", "no CSV or xlsx table that can be read, or not whole"),
                   Two("用导出程序重新生成；写完整之后再放交付标记", "export it again, and put its marker there once it is whole")),
    "CHN-15": Rule(Two("列标题缺少、重复或与约定不同", "a heading is missing, is there twice, or is not the agreed one"),
                   Two("使用约定的列标题，每列一次；改名须先与平台约定",
                       "use each agreed heading once; agree on another name with the platform first")),
    "CHN-16": Rule(Two("该行的单元格多于或少于列标题，或被隐藏、合并、划去",
                       "a row has more or fewer cells than headings, or is hidden, merged or struck through"),
                   Two("每列一个单元格；取消隐藏、合并与删除线", "one cell for each column, none hidden or merged")),
    "CHN-17": Rule(Two("单元格是公式，或数字的末位已丢失", "the cell is a formula, or a number that has lost its last digits"),
                   Two("粘贴为数值；编号与追溯码设为文本", "paste values; format numbers of things and trace codes as text")),
    "CHN-18": Rule(Two("应当相同的各行在此列不一致，或行数不足", "rows that belong together differ here, or some are missing"),
                   Two("同一事件、同一门店、同一文件的各行填写相同内容，且不缺行",
                       "write the same in all rows of an event, a store or a file, and leave out none")),
    "CHN-19": Rule(Two("库存文件的时间过旧，或晚于当前时间", "the stock file is too old, or from the future"),
                   Two("按约定的间隔导出库存，校准系统时钟", "export the stock as often as agreed, and set the clock right")),
    "CHN-20": Rule(Two("同一药品在同一门店有两行，或单位不是所询问的",
                       "one drug has two rows at one store, or another unit than was asked for"),
                   Two("每家门店每个药品一行，按目录的计数单位", "one row for each drug of a store, in the unit of the catalogue")),
    "CHN-21": Rule(Two("一个对象中同一字段出现两次", "an object has one field twice"),
                   Two("每个字段只写一次", "write each field once")),
}
"""Everything an answer or an update can be quarantined for."""


def finding(rule: str, path: str, spot: Spot | None = None) -> Finding:
    """One breach of the contract. Says where, never what was there."""
    text, cure = RULES[rule]
    return Finding("CHAIN_CONTRACT", Severity.BLOCK, rule, path, text.zh, text.en, cure.zh, cure.en, "contracts, 2", spot=spot)


class Wire(BaseModel):
    """A foreign shape. Fields we do not know are ignored; nothing of it appears in a repr or an error."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a decimal travels as text")
    return value


def _day(value: object) -> object:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("a day is written 2028-05-31")
    return value


def _whole_fen(value: Decimal) -> Decimal:
    if value != value.quantize(Decimal("0.01")):
        raise ValueError("an amount has at most two decimals")
    return value


def _count(value: object) -> object:
    if not isinstance(value, str) or not _COUNT.fullmatch(value):
        raise ValueError("a count is written in digits")
    return int(value)


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,9}")
Number = Annotated[Decimal, BeforeValidator(_text), Field(ge=0, max_digits=16)]
"""A non-negative decimal that travels as text."""
Price = Annotated[Decimal, BeforeValidator(_text), Field(gt=0, max_digits=16)]
"""Yuan per counted unit; nothing is for nothing."""
Yuan = Annotated[Number, AfterValidator(_whole_fen)]
"""An amount in yuan, as text, to the fen."""
Count = Annotated[int, BeforeValidator(_count)]
"""A whole number that travels as text, as everything does in XML."""
NO_CONTROL: Final = r"^[^\x00-\x1f\x7f]*$"
"""A control character is in no word of a person or a scanner, and PostgreSQL takes no NUL."""
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_CONTROL)]
Code = Annotated[str, Field(max_length=64, pattern=NO_CONTROL)]
Lot = Annotated[str, StringConstraints(strip_whitespace=True, max_length=40, pattern=NO_CONTROL)]
"""A lot as it is on the pack; blanks around it are none of it, and would hide it from a recall."""
Day = Annotated[date, BeforeValidator(_day)]
"""`2028-05-31`; a number of seconds or a moment is no day."""
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/#-]{1,64}$")]
MOST_DRUGS: Final = 500
"""Drugs that one notice about a store's stock may name."""

W = TypeVar("W", bound=Wire)


def read(shape: type[W], body: bytes) -> W:
    """A JSON body in that shape. Raises `InvalidPayload` with everything that is wrong with it."""
    if twice := repeated_member(body):
        raise InvalidPayload([finding("CHN-21", twice)])
    return _in_shape(lambda: shape.model_validate_json(body))


def read_row(shape: type[W], row: object) -> W:
    """What was read already, in that shape. Raises `InvalidPayload` with everything that is wrong with it."""
    return _in_shape(lambda: shape.model_validate(row))


def _in_shape(validate: Callable[[], W]) -> W:
    try:
        return validate()
    except ValidationError as error:
        faults = _faults(error, "")
    raise InvalidPayload(faults)


def _faults(error: ValidationError, where: str) -> list[Finding]:
    return [finding(_RULE_OF.get(e["type"], "CHN-03"), ".".join([*([where] if where else []), *map(str, e["loc"])]) or "$")
            for e in error.errors(include_url=False, include_context=False, include_input=False)]


_RULE_OF = {"json_invalid": "CHN-01", "missing": "CHN-02"}


def status_of(word: str, words: Mapping[str, ChainWord], path: str) -> ChainWord:
    """Their word in ours. Raises `InvalidPayload` for one we do not know: never a guess."""
    if word not in words:
        raise InvalidPayload([finding("CHN-04", path)])
    return words[word]


def refusal(code: str, codes: Mapping[str, str], path: str, partner: str) -> Refused | InvalidPayload:
    """Their business no in ours; one we do not know is a breach of the contract."""
    if code not in codes:
        return InvalidPayload([finding("CHN-04", path)])
    return Refused(f"{partner}: {codes[code]}", code=codes[code])


class QuotedLine(Protocol):
    """A line of a quote, independent of the chain's field names."""

    @property
    def as_quoted(self) -> tuple[str, Decimal, Decimal, int]:
        """Drug, quantity, unit price in yuan, amount in fen."""

    @property
    def prescribed(self) -> str:
        """The drug that was asked for, where `drug` is another product of it; else empty."""


def quoted_lines(
    order_lines: Sequence[OrderLine], quoted_rows: Sequence[QuotedLine], path: str
) -> tuple[list[OrderLine], list[Finding]]:
    """The asked lines with their prices, and every reason not to believe them.

    A chain answers by drug and quantity, which may be less than what was asked for: then that is all the store has. Two equal
    lines are served one after the other.
    """
    left = list(order_lines)
    lines: list[OrderLine] = []
    findings: list[Finding] = []
    for index, quoted in enumerate(quoted_rows):
        drug, quantity, price, amount = quoted.as_quoted
        code = quoted.prescribed or drug
        line = next((it for it in left if it.drug == code and 0 < quantity <= it.quantity), None)
        if line is None or quoted.prescribed == drug:
            findings.append(finding("CHN-06", f"{path}.{index}"))
            continue
        left.remove(line)
        if amount != line_amount(price, quantity):
            findings.append(finding("CHN-05", f"{path}.{index}"))
            continue
        lines.append(OrderLine(line.line, drug, quantity, line.unit, price, line_amount(price, quantity), quoted.prescribed))
    return lines, findings


def offers(rows: Sequence[object], path: str, shape: type[W], store: str,
           offer: Callable[[W, str], tuple[Quote, list[Finding]]]) -> Offers:
    """Quotes of the stores, each row judged alone: a row that breaks the contract is left out, with its findings.

    `store` is the chain's name of the field with the store's number. `offer` makes a quote of the row at a place, and
    returns what is wrong with it. If a store has two rows, both are left out. A store that can fill nothing is no offer.
    """
    quotes: list[tuple[str, Quote]] = []
    left_out: list[LeftOut] = []
    for index, row in enumerate(rows):
        where = f"{path}.{index}"
        name = str(row.get(store, "")) if isinstance(row, dict) else ""
        number = "" if (masked := shown(name)) == WITHHELD else masked
        try:
            quote, faults = offer(shape.model_validate(row), where)
        except ValidationError as error:
            left_out.append(LeftOut(number, tuple(_faults(error, where))))
            continue
        if not number:
            faults = [*faults, finding("CHN-11", f"{where}.{store}")]
        if faults:
            left_out.append(LeftOut(number, tuple(faults)))
        else:
            quotes.append((where, quote))
    times = Counter(quote.store for _, quote in quotes)
    left_out += [LeftOut(quote.store, (finding("CHN-09", where),)) for where, quote in quotes if times[quote.store] > 1]
    return Offers(tuple(quote for _, quote in quotes if times[quote.store] == 1 and quote.lines), tuple(left_out))


class ScannedPack(Protocol):
    """A pack of an update, independent of the chain's field names."""

    @property
    def as_scanned(self) -> Scan:
        """What was scanned."""


def scans(rows: object, shape: type[W]) -> tuple[Scan, ...] | None:
    """The packs of an update; None where it says nothing of them.

    A row that cannot be read is a scan without a code. So it becomes a finding, and the update itself is not lost.
    """
    if rows is None:
        return None
    return tuple(_scan(row, shape) for row in rows) if isinstance(rows, list) else (ILLEGIBLE,)


def _scan(row: object, shape: type[W]) -> Scan:
    try:
        return cast(ScannedPack, shape.model_validate(row)).as_scanned
    except ValidationError:
        named = next((row[name] for name in _LINE if name in row), None) if isinstance(row, dict) else None
        line = int(named) if isinstance(named, str) and _COUNT.fullmatch(named) else named
        return replace(ILLEGIBLE, line=line) if isinstance(line, int) and not isinstance(line, bool) else ILLEGIBLE


_LINE = ("line", "lineNo", "LineNo")
"""What chains call the line of a pack."""


ILLEGIBLE = Scan(0, "", "", None, None, 0)


def receipt(reference: str, status: ChainWord) -> Receipt:
    """Their number of an order is for people who look; one that may be about a person is withheld."""
    return Receipt(shown(reference), status)


def cancelled(answer: Receipt, path: str) -> Receipt:
    """The answer to a cancel: the order is ended, by us or by the chain before us.

    Raises `InvalidPayload` for another status, which stands at `path`.
    """
    if answer.status not in (ChainWord.CANCELLED, ChainWord.DECLINED):
        raise InvalidPayload([finding("CHN-08", path)])
    return Receipt(answer.reference, ChainWord.CANCELLED)


def checked(update: OrderUpdate, path_of_event: str, path_of_lines: str) -> OrderUpdate:
    """An update that says what it must. Raises `InvalidPayload`: nothing is reversed on a guess."""
    faults = []
    if not _IDENTIFIER.fullmatch(update.event_id):
        faults.append(finding("CHN-11", path_of_event))
    if update.status is ChainWord.RETURNED and not update.lines:
        faults.append(finding("CHN-10", path_of_lines))
    if faults:
        raise InvalidPayload(faults)
    return update


_IDENTIFIER = re.compile(r"[A-Za-z0-9._:/#-]{1,64}")


def verify(secret: str, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
    """Check a callback's HMAC-SHA256 and its age.

    Raises `Refused` (code `bad_signature`, then `stale`). Says nothing about the nonce having been used.
    """
    matches = hmac.compare_digest(sign(secret, timestamp, nonce, body).encode(), signature.lower().encode())
    if not matches or not 16 <= len(nonce) <= 64 or not _is_epoch(timestamp):
        raise Refused("callback: bad signature", code="bad_signature")
    if abs(now.timestamp() - int(timestamp)) > CALLBACK_AGE_SECONDS:
        raise Refused(f"callback: older or newer than {CALLBACK_AGE_SECONDS} s", code="stale")


def sign(secret: str, timestamp: str, nonce: str, body: bytes) -> str:
    """The signature `verify` accepts."""
    message = b"\n".join((timestamp.encode(), nonce.encode(), body))
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def _is_epoch(timestamp: str) -> bool:
    return timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
