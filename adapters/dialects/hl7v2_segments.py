"""HL7 v2 as such: bytes into segments that know where they stood, and segments into bytes."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Final

from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from fhir_profiles import catalogue
from fhir_profiles.catalogue import MessageRule
from fhir_profiles.drafts import Datum
from fhir_profiles.message import BEIJING

MAX_BYTES: Final = 1 << 20
"""A prescription takes a few kilobytes."""
MAX_SEGMENTS: Final = 2_000
MAX_DELIMITERS: Final = 20_000
"""In one message, escapes among them: so many places can be looked at; forty pieces with everything said take some 8,000."""
MAX_REPETITIONS: Final = 200
"""In one segment."""
MAX_TEXT: Final = 2_000
"""Characters between two delimiters."""
MAX_DATA: Final = 16_000
"""The same where a signature stands."""
MAX_FINDINGS: Final = 100
"""In one answer: more ERR segments do not help the reader."""

CHARSETS: Final[Mapping[str, str]] = {
    "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8", "GB 18030-2000": "gb18030", "GB18030": "gb18030", "ASCII": "ascii",
}
"""MSH-18 (table 0211, and two common spellings) -> codec."""

_OUTSIDE: Final = "HL7 v2.5.1 ch.2"
_ORDERS: Final = "HL7 v2.5.1 ch.4"

RULES: Final[tuple[MessageRule, ...]] = (
    MessageRule("HL7-001", "HL7_TOO_LARGE", "too-long", _OUTSIDE,
         "消息过大", "The message is too large.",
         "不超过 1 MB、2000 个段、2 万个分隔符（含转义符）、100 个 ORC，每段不超过 200 次重复",
         "Send at most 1 MB, 2,000 segments, 20,000 delimiters with escapes, 100 ORC, and 200 repetitions in a segment."),
    MessageRule("HL7-002", "HL7_NO_HEADER", "structure", _OUTSIDE,
         "消息不以 MSH 段开头，或分隔符不符", "The message does not begin with MSH and its encoding characters.",
         "以 MSH|^~\\& 开头，前面不加任何字节", "Begin with MSH|^~\\& and nothing before it."),
    MessageRule("HL7-003", "HL7_CHARSET", "not-supported", "HL7 table 0211",
         "字符集不在约定之内，或字节与 MSH-18 不符，或文字转码有误",
         "The character set is not agreed, the bytes are not in it, or the text was converted wrongly on the way.",
         "MSH-18 填 UNICODE UTF-8 或 GB 18030-2000，并按其编码", "Say UNICODE UTF-8 or GB 18030-2000 in MSH-18, and mean it."),
    MessageRule("HL7-004", "HL7_CHARACTER", "value", _OUTSIDE,
         "含有控制字符，或传输中损坏的字符", "There is a control character, or one that was damaged on the way.",
         "换行写作 \\.br\\；控制字符、U+FFFD、私用区字符去掉，按原文重新填写",
         "Write a line break as \\.br\\; leave out control characters, U+FFFD and private use, and write the text again."),
    MessageRule("HL7-005", "HL7_SEGMENT", "structure", _OUTSIDE,
         "此行不是段", "This line is no segment.",
         "段以三个字符的段名加字段分隔符开头，以回车结束；文本内换行写作 \\.br\\",
         "Begin a segment with its three-character name and end it with CR; write \\.br\\ for a line break in a text."),
    MessageRule("HL7-006", "HL7_ESCAPE", "value", _OUTSIDE,
         "转义序列不完整或不认识", "An escape sequence is incomplete or unknown.",
         "反斜杠写作 \\E\\；可用 F S T R E H N .br X", "Write a backslash as \\E\\; F S T R E H N .br and X are known."),
    MessageRule("HL7-007", "HL7_TOO_LONG", "too-long", _OUTSIDE,
         "此处文字过长", "The text in this place is too long.",
         "不超过 2000 字，签名不超过 16000 字", "Send at most 2,000 characters, 16,000 in a signature."),
    MessageRule("HL7-008", "HL7_FRAME", "structure", "MLLP Release 1",
         "消息没有以 VT 开始", "The message does not begin with VT.",
         "每条消息以 VT（0x0B）开始，以 FS CR（0x1C 0x0D）结束", "Send VT (0x0B), the message, FS CR (0x1C 0x0D)."),
    MessageRule("HL7-010", "HL7_MESSAGE_TYPE", "not-supported", _ORDERS,
         "不接收这种消息", "This message type is not taken.",
         "发送 RDE^O11 或 OMP^O09", "Send RDE^O11 or OMP^O09."),
    MessageRule("HL7-011", "HL7_VERSION", "not-supported", _OUTSIDE,
         "不支持该版本", "This version is not supported.",
         "MSH-12 填 2.5 至 2.8", "Say 2.5 to 2.8 in MSH-12."),
    MessageRule("HL7-012", "HL7_PROCESSING", "not-supported", "HL7 table 0103",
         "不是生产消息", "This is not a production message.",
         "MSH-11 填 P；测试消息发往测试环境", "Say P in MSH-11; send test messages to a test system."),
    MessageRule("HL7-013", "HL7_SENDER", "unknown", _OUTSIDE,
         "发送方与此端口的医院不符", "The sender is not the hospital of this port.",
         "核对 MSH-3、MSH-4 与端口", "Check MSH-3, MSH-4 and the port."),
    MessageRule("HL7-014", "HL7_RECEIVER", "unknown", _OUTSIDE,
         "接收方不是本平台", "The message is addressed to another system.",
         "核对 MSH-5、MSH-6，或留空", "Check MSH-5 and MSH-6, or leave them empty."),
    MessageRule("HL7-015", "HL7_FRAGMENT", "not-supported", _OUTSIDE,
         "消息不完整，另有续传", "The message is a fragment, to be continued in another.",
         "一张处方一条完整消息；MSH-14 与 DSC 不填", "Send a prescription whole in one message, without MSH-14 and DSC."),
    MessageRule("HL7-020", "HL7_NO_ORDER", "required", _ORDERS,
         "缺少 ORC 段", "There is no ORC segment.",
         "每个药品一个 ORC", "Send one ORC per item."),
    MessageRule("HL7-021", "HL7_ORDER_CONTROL", "code-invalid", "HL7 table 0119",
         "医嘱控制码不符，或各 ORC 不一致", "The order control is not taken, or differs between the ORCs.",
         "新开全部填 NW，撤销全部填 CA", "Send NW in all to prescribe, CA in all to cancel."),
    MessageRule("HL7-022", "HL7_NO_DETAIL", "required", _ORDERS,
         "ORC 之后缺少药品段", "An ORC is not followed by its drug segment.",
         "RDE^O11 用 RXE，OMP^O09 用 RXO", "Send RXE in RDE^O11, RXO in OMP^O09."),
    MessageRule("HL7-023", "HL7_REPEATED", "duplicate", _ORDERS,
         "该段在此处不止一个", "This segment occurs more often than it may here.",
         "每条消息一个 PID、PV1、IN1、ZRX；每个药品一个 RXE 或 RXO、TQ1、RXR，剂量变化请分条",
         "One PID, PV1, IN1 and ZRX per message; one RXE or RXO, TQ1 and RXR per item; use items for a changing dose."),
    MessageRule("HL7-024", "HL7_NOT_SUPPORTED", "not-supported", "处方管理办法 art.6",
         "此内容会改变处方含义，本平台不支持", "This changes what the prescription means and is not supported.",
         "清空此处；用药时间只填一个频次（TQ1-3）和天数（TQ1-6），用法写入 RXE-7 / RXO-7，其余写入 NTE，或改开能够表达的处方",
         "Empty this place; of the timing send one frequency (TQ1-3) and the days (TQ1-6), write directions in RXE-7 / RXO-7 and "
         "the rest in NTE, or prescribe what can be said."),
    MessageRule("HL7-025", "HL7_ORDERS_DISAGREE", "invalid", _ORDERS,
         "同一处方的各 ORC 在此不一致", "The ORCs of one prescription differ here.",
         "各 ORC 的处方号、时间、医师和机构须相同", "Number, time, physician and institution must be the same in all ORCs."),
    MessageRule("HL7-026", "HL7_NOT_READ", "not-supported", _ORDERS,
         "平台不读取此处内容，未予忽略", "Nobody reads what stands here, and it is not passed over.",
         "处方无需此内容则清空；需要则写入约定的位置（见医院接口说明）或 NTE",
         "Empty it if the prescription does without; else say it in an agreed place (the hospital's README) or in NTE."),
    MessageRule("HL7-027", "HL7_CONTRADICTION", "invalid", _ORDERS,
         "与同一消息中另一处的说法不符", "This contradicts another statement of the same message.",
         "核对两处，只保留正确的说法", "Compare the two and keep the one that is right."),
    MessageRule("HL7-028", "HL7_CODE_SYSTEM", "code-invalid", _ORDERS,
         "编码表不是约定的", "The code is of another table than the agreed one.",
         "填约定的编码表名（见医院接口说明），或留空", "Name the agreed table (the hospital's README), or none."),
    MessageRule("HL7-029", "HL7_DECEASED", "business-rule", _ORDERS,
         "患者已登记死亡", "The patient is recorded as deceased.",
         "核对患者与 PID-29、PID-30", "Check the patient, PID-29 and PID-30."),
    MessageRule("HL7-030", "HL7_ANSWER", "invalid", _OUTSIDE,
         "应答的不是我们发出的消息", "The answer is to another message than ours.",
         "MSA-2 原样填所收消息的 MSH-10", "Repeat our MSH-10 in MSA-2."),
    MessageRule("HL7-031", "HL7_NONE_CURRENT", "invalid", _OUTSIDE,
         "所填各项均非现用", "None of what is given here is in use.",
         "填写现用的姓名（类型 L）、地址或电话，核对用途与有效期",
         "Send the name (type L), address or phone in use; check type, use and period."),
    MessageRule("HL7-032", "HL7_SEVERAL", "multiple-matches", _OUTSIDE,
         "有多项同样有效，无法判断用哪一项", "Several are given that count alike.",
         "只填一项，或以类型、用途、有效期区分", "Send one, or tell them apart by type, use or period."),
    MessageRule("HL7-033", "HL7_ORDER_STATUS", "business-rule", "HL7 table 0038",
         "医嘱状态与新开（或撤销）不符", "The status of the order is not that of a new (or cancelled) one.",
         "ORC-5 留空；撤销用 ORC-1 填 CA 的消息", "Leave ORC-5 empty; cancel with CA in ORC-1."),
    MessageRule("HL7-034", "HL7_UNIT", "value", _ORDERS,
         "数值缺少单位，或单位无法换算", "A number has no unit, or one that cannot be converted.",
         "填约定的单位（见医院接口说明）", "Send an agreed unit (the hospital's README)."),
    MessageRule("HL7-035", "HL7_VALUE", "code-invalid", _OUTSIDE,
         "取值不在约定的表内", "The value is not in the agreed table.",
         "按该字段的标准取值表填写", "Use the standard table of the field."),
    MessageRule("HL7-036", "HL7_NOT_FINAL", "business-rule", "HL7 table 0085",
         "结果尚未确定", "The result is not final.",
         "结果确定后（OBX-11 为 F 或 C）再发送", "Send it when it is final (F or C in OBX-11)."),
    MessageRule("HL7-037", "HL7_ALLERGEN", "required", "HL7 v2.5.1 ch.3",
         "过敏段没有写明过敏原", "An allergy segment names no allergen.",
         "AL1-3 / IAM-3 填编码或文字；无已知过敏填 NKA",
         "Fill in AL1-3 or IAM-3 with a code or words; send NKA if none are known."),
)

BY_CODE: Final = catalogue.RULES | {rule.code: rule for rule in RULES}

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_LINE = re.compile(r"[^\r\n]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DAMAGED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufdd0-\ufdef\ufeff\ufffd-\uffff"
                      "\ue000-\uf8ff\U000f0000-\U0010ffff]")
"""Control characters, what stands for a character that was lost, private use and no characters at all."""
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(\.\d{1,4})?([+-]\d{4})?")
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(?:0000(?:00)?)?")


@dataclass(frozen=True)
class Marks:
    """The delimiters a message declares in MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    sub: str = "&"


Part = tuple[int, int, int]
"""Repetition, component and subcomponent, 1-based."""


@dataclass(frozen=True)
class _Piece:
    """What stands between two delimiters, as sent."""

    raw: str = field(repr=False)
    column: int
    """0-based, in characters from the start of the segment."""
    offset: int
    """The same in bytes."""


@dataclass(frozen=True)
class Segment:
    """One segment, and where it stood. It remembers which parts were read, so that the others become findings."""

    name: str
    occurrence: int
    """1-based, among the segments of this name in the message."""
    line: int
    """1-based, in the message; 0 if the segment is not there."""
    offset: int
    """Of its first byte."""
    text: str = field(repr=False)
    marks: Marks = field(repr=False)
    charset: str
    _read: set[tuple[int, Part]] = field(default_factory=set, repr=False, compare=False)

    def datum(self, number: int, component: int = 1, sub: int = 1, repetition: int = 1) -> Datum:
        """What stands there, without escapes; an empty text if nothing does, or `""`, HL7's word for nothing."""
        self._read.add((number, (repetition, component, sub)))
        return self.seen(number, (repetition, component, sub))

    def seen(self, number: int, part: Part) -> Datum:
        """The same, without counting as read."""
        pieces = self._pieces(number)
        repetition, component, sub = part
        near = (part, (repetition, component, 1), (repetition, 1, 1), (1, 1, 1))
        piece = next((pieces[it] for it in near if it in pieces), self._end)
        name = f"{number}[{repetition}]" if repetition > 1 else str(number)
        name += f".{component}.{sub}" if sub > 1 else f".{component}"
        return Datum(self._value(pieces[part].raw) if part in pieces else "", self._spot(name, piece))

    def repetitions(self, number: int) -> list[int]:
        """The numbers of a field's repetitions that say anything."""
        return sorted({part[0] for part in self.filled.get(number, ())})

    def leave_out(self, number: int = 0, repetition: int = 0) -> None:
        """Knowingly: a repetition, a field, or the whole segment."""
        for at, values in self.filled.items():
            self._read.update((at, part) for part in values
                              if number in (0, at) and repetition in (0, part[0]))

    @cached_property
    def filled(self) -> dict[int, dict[Part, str]]:
        """Number of a field -> what stands in its parts, of those that say anything."""
        filled = {}
        for number in range(3 if self._header else 1, len(self._fields) + self._header):
            values = {part: value for part, piece in self._pieces(number).items() if (value := self._value(piece.raw))}
            if values:
                filled[number] = values
        return filled

    def unread(self) -> Iterator[tuple[int, list[Part]]]:
        """Fields with parts that hold something and were not read."""
        for number, values in self.filled.items():
            if parts := [part for part in values if (number, part) not in self._read]:
                yield number, parts

    def reads(self, number: int = 0, repetition: int = 0) -> bool:
        """Whether anything of the segment, of a field or of a repetition was read."""
        return any(number in (0, at) and repetition in (0, part[0]) for at, part in self._read)

    def spot(self, number: int = 0, repetition: int = 1) -> Spot:
        """Of the segment, of a field or of one of its repetitions."""
        if not number:
            return self._spot("", _Piece("", 0, 0))
        name = f"{number}[{repetition}]" if repetition > 1 else str(number)
        pieces = self._pieces(number)
        return self._spot(name, pieces.get((repetition, 1, 1)) or pieces.get((1, 1, 1)) or self._end)

    def flaws(self) -> Iterator[Finding]:
        """Broken escape sequences, damaged characters and texts beyond all bounds."""
        plain = self.text.isascii() and self.text.isprintable() and len(self.text) <= MAX_TEXT
        if plain and self.marks.escape not in self.text[8 * self._header:]:
            return
        for number in range(3 if self._header else 1, len(self._fields) + self._header):
            for part, piece in self._pieces(number).items():
                if code := _flaw(piece.raw, self.marks, self.charset, MAX_DATA if self.name[0] == "Z" else MAX_TEXT):
                    yield finding(code, self.seen(number, part).spot)

    def _value(self, raw: str) -> str:
        bare = raw.strip()
        if bare in ("", '""'):
            return ""
        # A text beyond all bounds is refused anyway.
        return bare if len(bare) > MAX_DATA else unescape(bare, self.marks, self.charset)

    @property
    def _header(self) -> bool:
        return self.name == "MSH"

    @cached_property
    def _fields(self) -> list[_Piece]:
        """The split text; field 0 is the name, and of MSH the delimiter itself is the first."""
        return self._split(_Piece(self.text, 0, 0), self.marks.field)

    @cached_property
    def _end(self) -> _Piece:
        last = self._fields[-1]
        return _Piece("", len(self.text), last.offset + len(last.raw.encode(self.charset)))

    @cached_property
    def _cache(self) -> dict[int, dict[Part, _Piece]]:
        return {}

    def _pieces(self, number: int) -> dict[Part, _Piece]:
        """All parts of a field, the empty ones too."""
        if number not in self._cache:
            at = number - self._header
            whole = self._fields[at] if 0 < at < len(self._fields) else None
            pieces: dict[Part, _Piece] = {}
            if whole and self._header and number == 2:
                pieces[1, 1, 1] = whole
            elif whole:
                for repetition, again in enumerate(self._split(whole, self.marks.repetition), 1):
                    for component, within in enumerate(self._split(again, self.marks.component), 1):
                        for sub, piece in enumerate(self._split(within, self.marks.sub), 1):
                            pieces[repetition, component, sub] = piece
            self._cache[number] = pieces
        return self._cache[number]

    def _split(self, piece: _Piece, mark: str) -> list[_Piece]:
        if mark not in piece.raw:
            return [piece]
        column, offset, pieces = piece.column, piece.offset, []
        for part in piece.raw.split(mark):
            pieces.append(_Piece(part, column, offset))
            # Each part is encoded once: counting from the start each time would cost the square of the size.
            column, offset = column + len(part) + 1, offset + len(part.encode(self.charset)) + 1
        return pieces

    def _spot(self, name: str, piece: _Piece) -> Spot:
        place = self.name + (f"[{self.occurrence}]" if self.occurrence > 1 else "") + (f"-{name}" if name else "")
        if not self.line:
            return Spot(place)
        return Spot(place, self.line, piece.column + 1, self.offset + piece.offset)


@dataclass(frozen=True)
class Group:
    """Some segments of a message: all of it, or those of one order."""

    segments: Sequence[Segment]

    def all(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.name == name]

    def first(self, name: str) -> Segment:
        """The first of this name; one in which nothing is said if there is none."""
        return next((it for it in self.segments if it.name == name), Segment(name, 1, 0, 0, name, Marks(), "ascii"))


@dataclass(frozen=True)
class Parsed(Group):
    """A message."""

    charset: str
    findings: list[Finding] = field(default_factory=list)
    """What is wrong with it, though it can be read."""

    @property
    def type(self) -> str:
        """`RDE^O11`."""
        header = self.first("MSH")
        return f"{header.datum(9).value}^{header.datum(9, 2).value}"

    @cached_property
    def head(self) -> Group:
        """What stands before the first ORC."""
        return Group(self.segments[:next((at for at, it in enumerate(self.segments) if it.name == "ORC"), None)])

    @cached_property
    def orders(self) -> list[Group]:
        """One for each ORC, with the segments up to the next."""
        starts = [index for index, it in enumerate(self.segments) if it.name == "ORC"]
        return [Group(self.segments[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=False)]


# In.

def parse(raw: bytes, default: str) -> Parsed:
    """The segments in the bytes; `default` is the MSH-18 of a message that names none.

    Lines that are no segments and damaged texts are findings of the message. Raises `InvalidPayload` if the bytes are
    no HL7 v2 message, or are not in the character set they say.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidPayload([finding("HL7_TOO_LARGE", Spot("MSH"))])
    if raw[:3] != b"MSH":
        raise InvalidPayload([finding("HL7_NO_HEADER", Spot("MSH", 1, 1, 0))])
    charset = _charset(raw, default)
    text = raw.decode(charset)
    marks = _marks(text)
    if sum(map(text.count, (marks.field, marks.component, marks.repetition, marks.sub, marks.escape))) > MAX_DELIMITERS:
        raise InvalidPayload([finding("HL7_TOO_LARGE", Spot("MSH", 1, 1, 0))])
    segments: list[Segment] = []
    findings: list[Finding] = []
    seen, offset, end = dict[str, int](), 0, 0
    for line, match in enumerate(_LINE.finditer(text), 1):
        if line > MAX_SEGMENTS or (line > 1 and match[0].count(marks.repetition) > MAX_REPETITIONS):
            raise InvalidPayload([finding("HL7_TOO_LARGE", Spot("", line, 1, offset))])
        # Bytes are counted segment by segment: counting from the start each time would cost the square of the size.
        offset += match.start() - end
        content, end = match[0], match.end()
        name = content[:3]
        if not _NAME.fullmatch(name) or (len(content) > 3 and content[3] != marks.field) or (name == "MSH") != (line == 1):
            findings.append(finding("HL7_SEGMENT", Spot("", line, 1, offset)))
        elif _misread(content):
            raise InvalidPayload([finding("HL7_CHARSET", segments[0].spot(18) if segments else Spot("MSH-18", 1, 1, 0))])
        else:
            seen[name] = seen.get(name, 0) + 1
            segments.append(Segment(name, seen[name], line, offset, content, marks, charset))
            findings += islice(segments[-1].flaws(), MAX_FINDINGS)
        offset += len(content.encode(charset))
        if len(findings) >= MAX_FINDINGS:
            raise InvalidPayload(findings[:MAX_FINDINGS])
    return Parsed(tuple(segments), charset, findings)


def finding(code: str, spot: Spot) -> Finding:
    """A rule of ours broken at a place."""
    return replace(BY_CODE[code].finding(spot.name or f"segment {spot.line}"), spot=spot)


def timestamp(datum: Datum) -> Datum:
    """HL7's time as ISO 8601, Beijing time if it has no offset; what is none stays as it is."""
    match = _TIME.fullmatch(datum.value)
    if not match:
        return datum
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    zone = f"{offset[:3]}:{offset[3:]}" if offset else "+08:00"
    return replace(datum, value=f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction or ''}{zone}")


def date(datum: Datum) -> Datum:
    """The day of an HL7 date or time as ISO 8601; what is none stays as it is."""
    match = _DATE.fullmatch(datum.value)
    return replace(datum, value="-".join(match.groups()[:3])) if match else datum


def unescape(raw: str, marks: Marks, charset: str) -> str:
    """The text behind the escapes. What is no known escape stays as it is; `parse` has refused it."""
    if marks.escape not in raw:
        return raw
    return _escapes(marks).sub(lambda escape: escape[0] if (meant := _meant(escape[1], marks, charset)) is None else meant, raw)


def _flaw(raw: str, marks: Marks, charset: str, longest: int) -> str:
    """Code of what is wrong with a piece of text as sent; empty if nothing is."""
    if len(raw) > longest:
        return "HL7_TOO_LONG"
    left = raw
    if marks.escape in raw:
        left = _escapes(marks).sub(lambda escape: marks.escape if _meant(escape[1], marks, charset) is None else "", raw)
        if marks.escape in left:
            return "HL7_ESCAPE"
        left = unescape(raw, marks, charset).replace("\n", "")
    return "HL7_CHARACTER" if _DAMAGED.search(left) else ""


def _misread(text: str) -> bool:
    """Whether all non-ASCII characters of a text look like bytes of another character set, decoded as this one.

    UTF-8 mostly decodes as GB 18030 too, and some words of GB 18030 as UTF-8, each as other characters. A wrong conversion
    on the way does the same once more. A text too short to tell is accepted.
    """
    if text.isascii():
        return False
    strange = "".join(it for it in text if it > "\x7f")
    letters = [it for it in strange if it.isalpha() and it != "µ" and not "\u0370" <= it <= "\u03ff"]
    with suppress(UnicodeError):
        if len(strange) >= 3 and any(it >= "\u0800" for it in strange.encode("gb18030").decode("utf-8")):
            return True
    for codec, least in (("utf-8", 3), ("latin-1", 4)):
        with suppress(UnicodeError):
            if len(letters) >= least and max(strange) < "\u0800" and all(
                    "\u4e00" <= it <= "\u9fff" for it in strange.encode(codec).decode("gb18030")):
                return True
    return False


def _escapes(marks: Marks) -> re.Pattern[str]:
    mark = re.escape(marks.escape)
    return re.compile(f"{mark}([^{mark}]*){mark}")


def _meant(code: str, marks: Marks, charset: str) -> str | None:
    """What an escape sequence stands for; None if we do not know."""
    characters = {"F": marks.field, "S": marks.component, "T": marks.sub, "R": marks.repetition, "E": marks.escape,
             ".br": "\n", "H": "", "N": ""}
    if code not in characters and re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", code):
        with suppress(UnicodeDecodeError):
            return bytes.fromhex(code[1:]).decode(charset).replace("\r\n", "\n").replace("\r", "\n")
    return characters.get(code)


def _charset(raw: bytes, default: str) -> str:
    """The codec of the message: the one in which its own header names it.

    A second byte of GB 18030 may look like a delimiter, so the header cannot be split before it is decoded.
    """
    header = re.split(rb"[\r\n]", raw, maxsplit=1)[0]
    for codec in dict.fromkeys((CHARSETS[default], *CHARSETS.values())):
        try:
            fields = header.decode(codec).split(chr(header[3]) if len(header) > 3 else "|")
        except UnicodeDecodeError:
            continue
        named = fields[17] if len(fields) > 17 else ""
        if CHARSETS.get(re.split(r"[~^]", named)[0].strip() or default) == codec:
            break
    else:
        raise InvalidPayload([finding("HL7_CHARSET", Spot("MSH-18", 1, 1, 0))])
    try:
        raw.decode(codec)
    except UnicodeDecodeError as error:
        lines = re.split(rb"[\r\n]+", raw[:error.start])
        spot = Spot("", len(lines), len(lines[-1].decode(codec)) + 1, error.start)
        raise InvalidPayload([finding("HL7_CHARSET", spot)]) from None
    return codec


def _marks(text: str) -> Marks:
    """The delimiters, which must be marks and different. Raises `InvalidPayload`."""
    separator = text[3:4]
    declared = text[4:].split(separator, 1)[0] if separator else ""
    marks = separator + declared
    # The fifth one, for truncation, came with 2.7.
    good = len(declared) in (4, 5) and len(set(marks)) == len(marks)
    if not good or any(mark.isalnum() or mark.isspace() or not mark.isprintable() or ord(mark) > 126 for mark in marks):
        raise InvalidPayload([finding("HL7_NO_HEADER", Spot("MSH-2", 1, 5, 4))])
    return Marks(separator, declared[0], declared[1], declared[2], declared[3])


# Out.

def write(name: str, fields: Mapping[int, str]) -> str:
    """A segment; the fields are written already (`text`, `compose`)."""
    numbers = range(2 if name == "MSH" else 1, max((number for number, value in fields.items() if value), default=1) + 1)
    return "|".join([name, *(fields.get(number, "") for number in numbers)])


def text(value: str) -> str:
    """A text with everything escaped that would mean something else."""
    for mark, escaped in (("\\", "\\E\\"), ("|", "\\F\\"), ("^", "\\S\\"), ("&", "\\T\\"), ("~", "\\R\\"),
                          ("\r\n", "\\.br\\"), ("\n", "\\.br\\"), ("\r", "\\.br\\")):
        value = value.replace(mark, escaped)
    return _CONTROL.sub("", value)


def compose(*components: str) -> str:
    """A field of components."""
    return "^".join(map(text, components)).rstrip("^")


def stamp(at: datetime) -> str:
    """A time as HL7 writes it, in Beijing time, to the second."""
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S%z")


def digest(*parts: str) -> str:
    """Twenty characters, the most MSH-10 may have, that stand for these."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20].upper()


def encode(lines: Sequence[str], charset: str) -> bytes:
    """A message of these segments; `charset` as in MSH-18."""
    return ("\r".join(lines) + "\r").encode(CHARSETS[charset])
