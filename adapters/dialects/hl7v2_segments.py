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
from fhir_profiles.catalogue import Rule
from fhir_profiles.drafts import Said
from fhir_profiles.message import BEIJING

MAX_BYTES: Final = 1 << 20
"""A prescription takes a few kilobytes."""
MAX_SEGMENTS: Final = 2_000
MAX_REPETITIONS: Final = 200
"""In one segment: each one asked for costs a look at all of its field."""
MAX_FINDINGS: Final = 100
"""In one answer: ERR segments beyond that help nobody."""

CHARSETS: Final[Mapping[str, str]] = {
    "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8", "GB 18030-2000": "gb18030", "GB18030": "gb18030", "ASCII": "ascii",
}
"""MSH-18 (table 0211, and two common spellings) -> codec."""

_OUTSIDE: Final = "HL7 v2.5.1 ch.2"
_ORDERS: Final = "HL7 v2.5.1 ch.4"

RULES: Final[tuple[Rule, ...]] = (
    Rule("HL7-001", "HL7_TOO_LARGE", "too-long", _OUTSIDE,
         "消息过大", "The message is too large.",
         "不超过 1 MB、2000 个段，每段不超过 200 次重复",
         "Send at most 1 MB, 2,000 segments and 200 repetitions in a segment."),
    Rule("HL7-002", "HL7_NO_HEADER", "structure", _OUTSIDE,
         "消息不以 MSH 段开头，或分隔符不符", "The message does not begin with MSH and its encoding characters.",
         "以 MSH|^~\\& 开头，前面不加任何字节", "Begin with MSH|^~\\& and nothing before it."),
    Rule("HL7-003", "HL7_CHARSET", "not-supported", "HL7 table 0211",
         "字符集不在约定之内，或字节与 MSH-18 不符", "The character set is not agreed, or the bytes are not in it.",
         "MSH-18 填 UNICODE UTF-8 或 GB 18030-2000，并按其编码", "Say UNICODE UTF-8 or GB 18030-2000 in MSH-18, and mean it."),
    Rule("HL7-004", "HL7_CHARACTER", "value", _OUTSIDE,
         "含有控制字符", "There is a control character.",
         "换行写作 \\.br\\，其余控制字符去掉", "Write a line break as \\.br\\ and leave other control characters out."),
    Rule("HL7-005", "HL7_SEGMENT", "structure", _OUTSIDE,
         "此行不是段", "This line is no segment.",
         "段以三个字符的段名加字段分隔符开头，以回车结束；文本内换行写作 \\.br\\",
         "Begin a segment with its three-character name and end it with CR; write \\.br\\ for a line break in a text."),
    Rule("HL7-006", "HL7_ESCAPE", "value", _OUTSIDE,
         "转义序列不完整或不认识", "An escape sequence is incomplete or unknown.",
         "反斜杠写作 \\E\\；可用 F S T R E H N .br X", "Write a backslash as \\E\\; F S T R E H N .br and X are known."),
    Rule("HL7-010", "HL7_MESSAGE_TYPE", "not-supported", _ORDERS,
         "不接收这种消息", "This message type is not taken.",
         "发送 RDE^O11 或 OMP^O09", "Send RDE^O11 or OMP^O09."),
    Rule("HL7-011", "HL7_VERSION", "not-supported", _OUTSIDE,
         "不支持该版本", "This version is not supported.",
         "MSH-12 填 2.5 至 2.8", "Say 2.5 to 2.8 in MSH-12."),
    Rule("HL7-012", "HL7_PROCESSING", "not-supported", "HL7 table 0103",
         "不是生产消息", "This is not a production message.",
         "MSH-11 填 P；测试消息发往测试环境", "Say P in MSH-11; send test messages to a test system."),
    Rule("HL7-013", "HL7_SENDER", "unknown", _OUTSIDE,
         "发送方与此端口的医院不符", "The sender is not the hospital of this port.",
         "核对 MSH-3、MSH-4 与端口", "Check MSH-3, MSH-4 and the port."),
    Rule("HL7-020", "HL7_NO_ORDER", "required", _ORDERS,
         "缺少 ORC 段", "There is no ORC segment.",
         "每个药品一个 ORC", "Send one ORC per item."),
    Rule("HL7-021", "HL7_ORDER_CONTROL", "code-invalid", "HL7 table 0119",
         "医嘱控制码不符，或各 ORC 不一致", "The order control is not taken, or differs between the ORCs.",
         "新开全部填 NW，撤销全部填 CA", "Send NW in all to prescribe, CA in all to cancel."),
    Rule("HL7-022", "HL7_NO_DETAIL", "required", _ORDERS,
         "ORC 之后缺少药品段", "An ORC is not followed by its drug segment.",
         "RDE^O11 用 RXE，OMP^O09 用 RXO", "Send RXE in RDE^O11, RXO in OMP^O09."),
    Rule("HL7-023", "HL7_REPEATED", "duplicate", _ORDERS,
         "该段在此处不止一个", "This segment occurs more often than it may here.",
         "每条消息一个 PID、PV1、IN1、ZRX；每个药品一个 RXE 或 RXO、TQ1、RXR，剂量变化请分条",
         "One PID, PV1, IN1 and ZRX per message; one RXE or RXO, TQ1 and RXR per item; use items for a changing dose."),
    Rule("HL7-024", "HL7_NOT_SUPPORTED", "not-supported", "处方管理办法 art.6",
         "此内容会改变处方含义，本平台不支持", "This changes what the prescription means and is not supported.",
         "不发送组方成分（RXC）、剂量范围（RXE-4、RXO-3）、重复取药次数（RXE-12、RXO-13）；用药时间只填一个频次（TQ1-3）和天数（TQ1-6），"
         "按需、加急、条件等（TQ1 其他字段、TQ2、RXE-1、ORC-7）不填",
         "Leave out components (RXC), dose ranges (RXE-4, RXO-3) and refills (RXE-12, RXO-13); of the timing send one frequency "
         "(TQ1-3) and the days (TQ1-6), nothing as needed, urgent or on a condition (rest of TQ1, TQ2, RXE-1, ORC-7)."),
    Rule("HL7-025", "HL7_ORDERS_DISAGREE", "invalid", _ORDERS,
         "同一处方的各 ORC 在此不一致", "The ORCs of one prescription differ here.",
         "各 ORC 的处方号、时间、医师和机构须相同", "Number, time, physician and institution must be the same in all ORCs."),
    Rule("HL7-030", "HL7_ANSWER", "invalid", _OUTSIDE,
         "应答的不是我们发出的消息", "The answer is to another message than ours.",
         "MSA-2 原样填所收消息的 MSH-10", "Repeat our MSH-10 in MSA-2."),
)

BY_CODE: Final = catalogue.RULES | {rule.code: rule for rule in RULES}

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_LINE = re.compile(r"[^\r\n]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(\.\d{1,4})?([+-]\d{4})?")
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(\d{4,6}(\.\d{1,4})?([+-]\d{4})?)?")


@dataclass(frozen=True)
class Marks:
    """The delimiters a message declares in MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    sub: str = "&"


@dataclass(frozen=True)
class Segment:
    """One segment, and where it stood; fields are split when somebody asks."""

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

    def said(self, number: int, component: int = 1, sub: int = 1, repetition: int = 1) -> Said:
        """What stands there, without escapes; an empty text if nothing does, or `""`, HL7's word for nothing."""
        at = self._at(number)
        raw = self._fields[at] if 0 < at < len(self._fields) else ""
        start = self._starts[at] if 0 < at < len(self._fields) else len(self.text)
        if self._header and number <= 2:
            return Said(self.marks.field if number == 1 else raw, self._spot(str(number), start))
        for mark, place in ((self.marks.repetition, repetition), (self.marks.component, component), (self.marks.sub, sub)):
            if place == 1 and mark not in raw:
                continue
            parts = raw.split(mark)
            if place > len(parts):
                raw = ""
                break
            start += sum(len(part) + 1 for part in parts[:place - 1])
            raw = parts[place - 1]
        name = f"{number}[{repetition}]" if repetition > 1 else str(number)
        name += f".{component}.{sub}" if sub > 1 else f".{component}"
        return Said("" if raw == '""' else unescape(raw.strip(), self.marks, self.charset), self._spot(name, start))

    def repetitions(self, number: int) -> range:
        """The numbers of a field's repetitions; none if it is empty."""
        at = self._at(number)
        raw = self._fields[at] if 0 < at < len(self._fields) else ""
        return range(1, len(raw.split(self.marks.repetition)) + 1) if raw else range(0)

    def parts(self, number: int) -> list[list[str]]:
        """What stands in a field, as it stands there: the components of each repetition that says anything."""
        at, silent = self._at(number), f"{self.marks.component}{self.marks.sub} "
        raw = self._fields[at] if 0 < at < len(self._fields) else ""
        return [part.split(self.marks.component) for part in raw.split(self.marks.repetition)
                if part.strip(silent) not in ("", '""')]

    def spot(self) -> Spot:
        return self._spot("", 0)

    def escapes(self) -> Iterator[Spot]:
        """Where an escape sequence is broken."""
        if self.marks.escape not in self.text:
            return
        for at in range(3 if self._header else 1, len(self._fields)):
            raw = self._fields[at]
            if self.marks.escape in raw and _broken_escape(raw, self.marks, self.charset):
                yield self._spot(str(at + self._header), self._starts[at])

    @property
    def _header(self) -> bool:
        return self.name == "MSH"

    def _at(self, number: int) -> int:
        """Where a field stands in the split text: MSH-1 is the delimiter itself."""
        return number - self._header

    @cached_property
    def _fields(self) -> list[str]:
        return self.text.split(self.marks.field)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for part in self._fields[:-1]:
            starts.append(starts[-1] + len(part) + 1)
        return starts

    def _spot(self, name: str, start: int) -> Spot:
        place = self.name + (f"[{self.occurrence}]" if self.occurrence > 1 else "") + (f"-{name}" if name else "")
        if not self.line:
            return Spot(place)
        return Spot(place, self.line, start + 1, self.offset + len(self.text[:start].encode(self.charset)))


@dataclass(frozen=True)
class Group:
    """Some segments of a message: all of it, or those of one order."""

    segments: Sequence[Segment]

    def all(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.name == name]

    def one(self, name: str) -> Segment:
        """The first of this name; one in which nothing is said if there is none."""
        return next((it for it in self.segments if it.name == name), Segment(name, 1, 0, 0, name, Marks(), "ascii"))


@dataclass(frozen=True)
class Parsed(Group):
    """A message."""

    charset: str

    @property
    def type(self) -> str:
        """`RDE^O11`."""
        header = self.one("MSH")
        return f"{header.said(9).value}^{header.said(9, 2).value}"

    @cached_property
    def orders(self) -> list[Group]:
        """One for each ORC, with the segments up to the next."""
        starts = [index for index, it in enumerate(self.segments) if it.name == "ORC"]
        return [Group(self.segments[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=False)]


# In.

def parse(raw: bytes, default: str) -> Parsed:
    """The segments in the bytes; `default` is the MSH-18 of a message that names none.

    Raises `InvalidPayload` with every finding if they are no HL7 v2 message.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidPayload([found("HL7_TOO_LARGE", Spot("MSH"))])
    if raw[:3] != b"MSH":
        raise InvalidPayload([found("HL7_NO_HEADER", Spot("MSH", 1, 1, 0))])
    charset = _charset(raw, default)
    text = raw.decode(charset)
    marks = _marks(text)
    segments, findings, seen, offset, end = [], [], dict[str, int](), 0, 0
    for line, match in enumerate(_LINE.finditer(text), 1):
        if line > MAX_SEGMENTS:
            raise InvalidPayload([found("HL7_TOO_LARGE", Spot("", line, 1, offset))])
        # Bytes are counted segment by segment: counting from the start each time would cost the square of the size.
        offset += match.start() - end
        content, end = match[0], match.end()
        name, size = content[:3], len(content.encode(charset))
        if control := _CONTROL.search(content):
            at = control.start()
            findings.append(found("HL7_CHARACTER", Spot("", line, at + 1, offset + len(content[:at].encode(charset)))))
        if not _NAME.fullmatch(name) or (len(content) > 3 and content[3] != marks.field) or (name == "MSH") != (line == 1):
            findings.append(found("HL7_SEGMENT", Spot("", line, 1, offset)))
        else:
            seen[name] = seen.get(name, 0) + 1
            segment = Segment(name, seen[name], line, offset, content, marks, charset)
            if name != "MSH" and content.count(marks.repetition) > MAX_REPETITIONS:
                findings.append(found("HL7_TOO_LARGE", segment.spot()))
            findings += [found("HL7_ESCAPE", spot) for spot in islice(segment.escapes(), MAX_FINDINGS)]
            segments.append(segment)
        offset += size
        if len(findings) >= MAX_FINDINGS:
            break
    if findings:
        raise InvalidPayload(findings[:MAX_FINDINGS])
    return Parsed(tuple(segments), charset)


def found(code: str, spot: Spot) -> Finding:
    """A rule of ours broken at a place."""
    return replace(BY_CODE[code].finding(spot.name or f"segment {spot.line}"), spot=spot)


def timestamp(said: Said) -> Said:
    """HL7's time as ISO 8601, Beijing time if it has no offset; what is none stays as it is."""
    match = _TIME.fullmatch(said.value)
    if not match:
        return said
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    zone = f"{offset[:3]}:{offset[3:]}" if offset else "+08:00"
    return replace(said, value=f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction or ''}{zone}")


def date(said: Said) -> Said:
    """The day of an HL7 date or time as ISO 8601; what is none stays as it is."""
    match = _DATE.fullmatch(said.value)
    return replace(said, value="-".join(match.groups()[:3])) if match else said


def unescape(raw: str, marks: Marks, charset: str) -> str:
    """The text behind the escapes. What is no known escape stays as it is; `parse` has refused it."""
    if marks.escape not in raw:
        return raw
    return _escapes(marks).sub(lambda it: it[0] if (meant := _meant(it[1], marks, charset)) is None else meant, raw)


def _broken_escape(raw: str, marks: Marks, charset: str) -> bool:
    """Whether an escape mark is left once all known sequences are gone."""
    left = _escapes(marks).sub(lambda it: marks.escape if _meant(it[1], marks, charset) is None else "", raw)
    return marks.escape in left


def _escapes(marks: Marks) -> re.Pattern[str]:
    mark = re.escape(marks.escape)
    return re.compile(f"{mark}([^{mark}]*){mark}")


def _meant(code: str, marks: Marks, charset: str) -> str | None:
    """What an escape sequence stands for; None if we do not know."""
    known = {"F": marks.field, "S": marks.component, "T": marks.sub, "R": marks.repetition, "E": marks.escape,
             ".br": "\n", "H": "", "N": ""}
    if code not in known and re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", code):
        with suppress(UnicodeDecodeError):
            return bytes.fromhex(code[1:]).decode(charset)
    return known.get(code)


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
        raise InvalidPayload([found("HL7_CHARSET", Spot("MSH-18", 1, 1, 0))])
    try:
        raw.decode(codec)
    except UnicodeDecodeError as error:
        lines = re.split(rb"[\r\n]+", raw[:error.start])
        spot = Spot("", len(lines), len(lines[-1].decode(codec)) + 1, error.start)
        raise InvalidPayload([found("HL7_CHARSET", spot)]) from None
    return codec


def _marks(text: str) -> Marks:
    """The delimiters, which must be marks and different. Raises `InvalidPayload`."""
    separator = text[3:4]
    declared = text[4:].split(separator, 1)[0] if separator else ""
    marks = separator + declared
    # The fifth one, for truncation, came with 2.7.
    good = len(declared) in (4, 5) and len(set(marks)) == len(marks)
    if not good or any(mark.isalnum() or mark.isspace() or not mark.isprintable() or ord(mark) > 126 for mark in marks):
        raise InvalidPayload([found("HL7_NO_HEADER", Spot("MSH-2", 1, 5, 4))])
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
