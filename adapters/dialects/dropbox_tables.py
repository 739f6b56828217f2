"""Files of a drop box as rows: CSV, Excel or XML, as people and small programs write them, and each cell's place.

A fault of one cell stays in that cell, so that only its own prescription is refused.
"""

import csv
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

import openpyxl
from openpyxl.cell.cell import Cell as ExcelCell
from openpyxl.worksheet.worksheet import Worksheet

from adapters import xml
from domain.errors import InvalidPayload
from domain.findings import NOWHERE, Finding, Spot
from fhir_profiles.catalogue import Rule

MAX_BYTES: Final = 20_000_000
MAX_UNPACKED: Final = 120_000_000
"""Bytes of a workbook once it is unpacked."""
MAX_CELLS: Final = 500_000
MAX_EXCEL_CELLS: Final = 200_000
"""A cell of a workbook takes more than a kilobyte while it is read."""
MAX_ROWS: Final = 50_000
MAX_COLUMNS: Final = 200
HEADING_ROWS: Final = 10
"""A title and notes may stand above the headings."""
EXACT_DIGITS: Final = 15
"""Excel keeps no more digits of a number; an id number typed as one has lost its last."""

_OURS = "contracts.md, drop box"

RULES: Final[tuple[Rule, ...]] = (
    Rule("BOX-001", "FILE_TOO_LARGE", "too-long", _OURS,
         "文件超过 20 MB，未予读取", "The file is larger than 20 MB and was not read.",
         "把文件拆小后重新投递", "Split the file and hand it over again."),
    Rule("BOX-002", "FILE_ENCODING", "structure", _OURS,
         "文件既不是 UTF-8 也不是 GB18030 编码", "The file is neither UTF-8 nor GB18030.",
         "导出时选择 UTF-8 或 GB18030（GBK）", "Export it as UTF-8 or GB18030 (GBK)."),
    Rule("BOX-003", "FILE_KIND", "not-supported", _OURS,
         "文件不是 CSV、xlsx 或 XML，或带有密码", "The file is not CSV, xlsx or XML, or it has a password.",
         "另存为不带密码的 .xlsx 或 CSV", "Save it as .xlsx or CSV without a password."),
    Rule("BOX-004", "HEADING_MISSING", "required", _OURS,
         "前 10 行中找不到列标题行，或缺少处方号、流水号列",
         "Among the first ten rows there are no headings, or the columns of prescription number and key are missing.",
         "按模板保留列标题", "Keep the headings of the template."),
    Rule("BOX-005", "HEADING_TWICE", "duplicate", _OURS,
         "两列的标题含义相同", "Two columns have headings of the same meaning.",
         "只保留其中一列", "Keep one of them."),
    Rule("BOX-006", "CELL_FORMULA", "value", _OURS,
         "单元格是公式或错误值", "The cell holds a formula or an error.",
         "复制该列并“选择性粘贴为数值”", "Copy the column and paste it as values."),
    Rule("BOX-007", "FILE_TOO_COMPLEX", "too-costly", _OURS,
         "展开后过大，或行、列、合并单元格过多", "Unpacked it is too large, or has too many rows, columns or merged cells.",
         "只保留处方数据，拆成几个文件", "Keep nothing but the prescriptions, in several files."),
    Rule("BOX-008", "ROW_TOO_LONG", "structure", _OURS,
         "该行的单元格多于列标题", "The row has more cells than there are headings.",
         "含分隔符的内容加双引号", "Put double quotes around texts that hold the separator."),
    Rule("BOX-009", "CELL_DIGITS_LOST", "value", _OURS,
         "数字超过 15 位，Excel 已丢失末位", "The number has more than 15 digits: Excel has lost the last of them.",
         "先把该列设为“文本”格式再录入", "Format the column as text before typing it in."),
    Rule("BOX-010", "ROWS_DISAGREE", "invalid", _OURS,
         "同一处方各行在此列不一致", "The rows of one prescription differ in this column.",
         "同一处方号的各行填写相同内容", "Write the same in all rows of a prescription number."),
    Rule("BOX-011", "FILE_BROKEN", "structure", _OURS,
         "文件已损坏，或引号不成对", "The file is damaged, or its quotes do not match.",
         "用导出程序重新生成，不要手工编辑", "Export it again and do not edit it by hand."),
    Rule("BOX-012", "NOT_ONE_PRESCRIPTION", "structure", _OURS,
         "此处应恰有一张处方", "There must be exactly one prescription here.",
         "含多张处方的文件请放入投递目录", "Hand a file with several prescriptions over through the drop box."),
    Rule("BOX-013", "ROW_HIDDEN", "business-rule", _OURS,
         "该行被隐藏或筛选掉，无法确定是否要发送", "The row is hidden or filtered out: nobody can tell whether it is meant.",
         "取消筛选和隐藏，或删除该行", "Show all rows, or delete it."),
    Rule("BOX-014", "CELL_MERGED", "structure", _OURS,
         "单元格跨列合并", "The cell is merged across columns.",
         "取消跨列合并", "Undo the merge; merging downwards is understood."),
    Rule("BOX-015", "FILE_EMPTY", "required", _OURS,
         "列标题下没有内容", "There is nothing below the headings.",
         "没有处方时不必投递文件", "Hand over no file when there is no prescription."),
    Rule("BOX-016", "ACTION", "code-invalid", _OURS,
         "“操作”列的内容不在约定之内", "The action is not an agreed one.",
         "填 新开 或 撤销", "Write 新开 (new) or 撤销 (cancel)."),
    Rule("BOX-017", "SEVERAL_SHEETS", "structure", _OURS,
         "有多个可见的工作表含处方", "More than one visible sheet holds prescriptions.",
         "只保留一个工作表", "Keep one sheet."),
    Rule("BOX-018", "KEY", "value", _OURS,
         "流水号格式不符，或含证件号、电话", "The key is malformed, or contains an id or phone number.",
         "填 1 至 64 位字母、数字、点、下划线或连字符，不含个人信息",
         "Write 1 to 64 letters, digits, dots, underscores or hyphens, and nothing of a person."),
    Rule("BOX-019", "TOO_MANY_ROWS", "too-costly", _OURS,
         "一张处方超过 100 行", "A prescription has more than 100 rows.",
         "每个药品一行；检查处方号是否重复使用", "Write one row per drug; see whether the number was used again."),
)
_RULE: Final = {rule.code: rule for rule in RULES}


def finding(code: str, path: str, spot: Spot = NOWHERE, line: int | None = None) -> Finding:
    """A rule of the drop box broken at a place; `line` is the 1-based item, if it is about one."""
    return replace(_RULE[code].finding(path, line), spot=None if spot == NOWHERE else spot)


class Cell(NamedTuple):
    """A tuple, because a large file has hundreds of thousands; its place is put into words when somebody asks."""

    text: str
    fault: str = ""
    """Code of the rule it breaks."""
    row: str = ""
    """`row 7`, `line 7` or `item 2`."""
    heading: str = ""
    line: int = 0
    column: int = 0
    """1-based, in cells."""

    @property
    def spot(self) -> Spot:
        return Spot(", ".join(part for part in (self.row, self.heading) if part), self.line, self.column)

    def __repr__(self) -> str:
        return f"Cell(…, {self.spot})"


@dataclass(frozen=True)
class Row:
    """One drug of a prescription, or a cancel; what the prescription's rows share is in each or in the first of them."""

    spot: Spot
    cells: Mapping[str, Cell] = field(repr=False)
    """By heading; empty cells are left out."""


@dataclass(frozen=True)
class Layout:
    """How a hospital lays out its files."""

    columns: Mapping[str, str]
    """Heading, or name of an XML element -> field."""
    actions: Mapping[str, str]
    """Their word for what a row asks for -> `prescription` or `cancel`."""
    prescription: str = "处方"
    """Element of a prescription in XML."""
    item: str = "药品"
    """Element of one of its drugs."""

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset({"number", "key"})

    def named(self, text: str) -> str:
        """The heading as the manifest spells it; what stands in brackets or behind a slash is for people."""
        bare = re.split(r"[/(（\n]", text, maxsplit=1)[0].strip()
        return text.strip() if text.strip() in self.columns else bare


def read(raw: bytes, layout: Layout) -> list[Row]:
    """The rows of a file, of whatever kind it is by its content. Raises `InvalidPayload` for the file as a whole."""
    if len(raw) > MAX_BYTES:
        raise InvalidPayload([finding("FILE_TOO_LARGE", "file")])
    if raw.startswith(b"PK\x03\x04"):
        rows = _table(_excel(raw, layout), layout)
    elif raw.startswith(b"\xd0\xcf\x11\xe0") or b"\0" in raw[:1024]:
        raise InvalidPayload([finding("FILE_KIND", "file")])
    elif raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        rows = _xml(raw, layout)
    else:
        rows = _table(_csv(raw, layout), layout)
    if not rows:
        raise InvalidPayload([finding("FILE_EMPTY", "file")])
    return rows


# One prescription's own bytes.

def slice_of(rows: Sequence[Row]) -> bytes:
    """The same for the same cells, wherever they stand and in whichever order the columns are."""
    plain = [{heading: [cell.fault] if cell.fault else cell.text for heading, cell in row.cells.items()} for row in rows]
    return json.dumps({"dropbox": 1, "rows": plain}, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def read_slice(raw: bytes) -> list[Row] | None:
    """The rows of a slice, their places counted within the prescription; None if the bytes are none."""
    if not raw.startswith(b'{"dropbox":1,'):
        return None
    try:
        given = json.loads(raw)["rows"]
        return [Row(Spot(f"item {number}"), {
            heading: _sliced(cell, f"item {number}", heading) for heading, cell in row.items()
        }) for number, row in enumerate(given, 1)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _sliced(cell: object, row: str, heading: str) -> Cell:
    if isinstance(cell, list) and len(cell) == 1 and cell[0] in _RULE:
        return Cell("", str(cell[0]), row, heading)
    if not isinstance(cell, str):
        raise TypeError("a cell is a text or the code of its fault")
    return Cell(cell, "", row, heading)


# Tables: CSV and Excel.

Line = tuple[int, list[Cell]]
"""Number of a row as Excel counts, and its cells."""


def _table(lines: Iterator[Line], layout: Layout) -> list[Row]:
    headings: list[str] = []
    rows: list[Row] = []
    for number, cells in lines:
        if not headings:
            named = [layout.named(cell.text) for cell in cells]
            known = [layout.columns[heading] for heading in named if heading in layout.columns]
            if layout.required <= set(known):
                if len(known) != len(set(known)):
                    raise InvalidPayload([finding("HEADING_TWICE", "headings", Spot(f"row {number}", number, 1))])
                headings = named
            elif number >= HEADING_ROWS:
                break
            continue
        filled = {index: cell for index, cell in enumerate(cells) if cell.text or cell.fault}
        if not filled:
            continue
        if len(rows) == MAX_ROWS:
            raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file", Spot(f"row {number}", number, 1))])
        name = f"row {number}"
        found = {headings[index]: Cell(cell.text, cell.fault, name, headings[index], number, index + 1)
                 for index, cell in filled.items() if index < len(headings) and headings[index]}
        beyond = [index for index in filled if index >= len(headings)]
        if beyond:
            # Which cell is out of place cannot be known; the number's, because every row needs that one.
            first = next(h for h in headings if layout.columns.get(h) == "number")
            found[first] = Cell(found[first].text if first in found else "", "ROW_TOO_LONG", name, "", number, beyond[0] + 1)
        rows.append(Row(Spot(name, number, 1), found))
    if not headings:
        raise InvalidPayload([finding("HEADING_MISSING", "headings", Spot("row 1", 1, 1))])
    return rows


def _csv(raw: bytes, layout: Layout) -> Iterator[Line]:
    text = _decoded(raw)
    first = text.partition("\n")[0].rstrip("\r")
    # Excel's own hint at the separator counts as a row.
    hint = re.fullmatch(r"sep=([,;|\t])", first)
    separator = hint[1] if hint else _separator(text, layout)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number, cells = 0, 0
    try:
        for number, given in enumerate(reader, 1):
            cells += len(given)
            if cells > MAX_CELLS or len(given) > MAX_COLUMNS:
                raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file", Spot(f"row {number}", number, 1))])
            yield number, [_csv_cell(cell) for cell in given]
    except csv.Error:
        raise InvalidPayload([finding("FILE_BROKEN", "file", Spot(f"row {number + 1}", number + 1, 1))]) from None


def _decoded(raw: bytes) -> str:
    marked = raw.startswith(b"\xef\xbb\xbf")
    farthest = 0
    for codec in ("utf-8-sig",) if marked else ("utf-8", "gb18030"):
        try:
            return raw.decode(codec).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            # The encoding that got farther is the one that was meant.
            farthest = max(farthest, error.start + 3 * marked)
    line = raw.count(b"\n", 0, farthest) + 1
    raise InvalidPayload([finding("FILE_ENCODING", "file", Spot(f"row {line}", line, 1, farthest))])


def _separator(text: str, layout: Layout) -> str:
    """The one that shows most headings we know among the first lines."""
    lines = text.split("\n", HEADING_ROWS)[:HEADING_ROWS]

    def known(separator: str) -> int:
        return max(sum(layout.named(part.strip('\r" ')) in layout.columns for part in line.split(separator)[:MAX_COLUMNS])
                   for line in lines)

    return max((",", ";", "\t"), key=known)


_AS_TEXT = re.compile(r'="((?:[^"]|"")*)"', re.DOTALL)


def _csv_cell(text: str) -> Cell:
    text = text.strip()
    if quoted := _AS_TEXT.fullmatch(text):  # Excel's way to keep zeros in front
        return Cell(quoted[1].replace('""', '"').strip())
    return Cell("", fault="CELL_FORMULA") if text.startswith("=") or text in _ERRORS else Cell(text)


_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!"})


def _excel(raw: bytes, layout: Layout) -> Iterator[Line]:
    _guard(raw)
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), data_only=False, keep_links=False)
    except Exception:  # A damaged workbook makes openpyxl stumble over anything.
        raise InvalidPayload([finding("FILE_BROKEN", "file")]) from None
    # What nobody sees when the file is opened was not meant to be sent.
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if any(sheet.max_row > MAX_ROWS + HEADING_ROWS or sheet.max_column > MAX_COLUMNS for sheet in sheets):
        raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file")])
    with_headings = [sheet for sheet in sheets if _has_headings(sheet, layout)]
    if len(with_headings) > 1:
        raise InvalidPayload([finding("SEVERAL_SHEETS", "file")])
    for sheet in with_headings:
        yield from _sheet(sheet)


def _has_headings(sheet: Worksheet, layout: Layout) -> bool:
    return any(layout.required <= {layout.columns.get(layout.named(value)) for value in row if isinstance(value, str)}
               for row in sheet.iter_rows(max_row=min(HEADING_ROWS, sheet.max_row), values_only=True))


def _sheet(sheet: Worksheet) -> Iterator[Line]:
    above: dict[tuple[int, int], tuple[int, int]] = {}
    across: set[tuple[int, int]] = set()
    for merged in sheet.merged_cells.ranges:
        for row in range(merged.min_row, merged.max_row + 1):
            for column in range(merged.min_col, merged.max_col + 1):
                above[row, column] = merged.min_row, merged.min_col
                if merged.min_col != merged.max_col:
                    across.add((row, column))
    hidden = {number for number, facts in sheet.row_dimensions.items() if facts.hidden}
    for number, row_of_cells in enumerate(sheet.iter_rows(), 1):
        cells = []
        for column, cell in enumerate(row_of_cells, 1):
            place = number, column
            start = above.get(place, place)
            found = _excel_cell(cell if start == place else sheet.cell(*start))
            if place in across:
                # Only the first keeps the text: it may be the title over the table.
                found = Cell(found.text if start == place else "", fault="CELL_MERGED")
            elif number in hidden and (found.text or found.fault):
                found = Cell(found.text, fault="ROW_HIDDEN")
            cells.append(found)
        yield number, cells


def _excel_cell(cell: Any) -> Cell:
    value = cell.value
    if not isinstance(cell, ExcelCell) or value is None:
        return Cell("")
    if cell.data_type in ("f", "e"):
        return Cell("", fault="CELL_FORMULA")
    match value:
        case bool():
            return Cell("true" if value else "false")
        case int() | float():
            return _number(value)
        case datetime():
            # Excel counts days in binary fractions: 08:58:00 comes as 08:57:59.999997.
            return Cell((value + timedelta(milliseconds=500)).strftime("%Y-%m-%d %H:%M:%S"))
        case date() | time() | timedelta():
            return Cell(str(value))
        case str():
            return Cell(value.strip())
    return Cell("", fault="CELL_FORMULA")


def _number(value: "int | float") -> Cell:
    if value != value or abs(value) >= 10**EXACT_DIGITS:
        return Cell("", fault="CELL_DIGITS_LOST")
    return Cell(str(int(value)) if value == int(value) else repr(value))


# Each of these looks at a byte once: no part of a pattern runs over the start of the next element.
_PREFIX = rb"<(?:[^\s<>/:=]{1,100}:)?"
_MERGE = re.compile(_PREFIX + rb"mergeCell(?=[\s/>])")
_MERGED = re.compile(_PREFIX + rb"""mergeCell\s{1,20}ref\s?=\s?(["'])([A-Z]{1,3})(\d{1,7})(?::([A-Z]{1,3})(\d{1,7}))?\1\s?/?>""")
_CELL = re.compile(_PREFIX + rb"c(?=[\s/>])")
_ENCODING = re.compile(rb"""<\?xml[^<>]{0,200}?\sencoding\s?=\s?["'](?!utf-?8["'])""", re.IGNORECASE)


def _guard(raw: bytes) -> None:
    """Look at a workbook before openpyxl does: it believes sizes, ranges and document types."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = archive.infolist()
            if len(parts) > 1000 or sum(part.file_size for part in parts) > MAX_UNPACKED:
                raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file")])
            if not {"[Content_Types].xml", "xl/workbook.xml"} <= {part.filename for part in parts}:
                raise InvalidPayload([finding("FILE_KIND", "file")])
            cells = 0
            for part in parts:
                data = archive.read(part)  # never more than the size it gave
                # Any part may be a sheet, whatever it is called; what does not begin like XML, in any encoding, is none.
                if not part.filename.endswith((".xml", ".rels")) and not data[:1000].lstrip(_BEFORE_XML).startswith(b"<"):
                    continue
                if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data or _ENCODING.search(data, 0, 1000):
                    raise InvalidPayload([finding("FILE_BROKEN", "file")])
                areas = [_area(*found.groups()[1:]) for found in _MERGED.finditer(data)]
                cells += sum(areas) + sum(1 for _ in _CELL.finditer(data))
                # A merge that says more, or says it otherwise, than any program writes could be of any size.
                if cells > MAX_EXCEL_CELLS or len(areas) < sum(1 for _ in _MERGE.finditer(data)):
                    raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file")])
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        # The last two: packed in a way nobody here knows, or behind a password.
        raise InvalidPayload([finding("FILE_BROKEN", "file")]) from None


_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"


def _area(left: bytes, top: bytes, right: "bytes | None", bottom: "bytes | None") -> int:
    right, bottom = right or left, bottom or top
    return (abs(_column(right) - _column(left)) + 1) * (abs(int(bottom) - int(top)) + 1)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


# XML.

def _xml(raw: bytes, layout: Layout) -> list[Row]:
    root = xml.parse(raw, "file", max_bytes=MAX_BYTES, max_tags=MAX_CELLS)
    own = [element for element in root.iter() if xml.local(element) == layout.prescription]
    if not own:
        raise InvalidPayload([finding("HEADING_MISSING", "file", _line(root))])
    rows = []
    for prescription in own:
        shared = _leaves(prescription)
        items = [child for child in prescription.iter() if xml.local(child) == layout.item]
        rows += [Row(_line(item), shared | _leaves(item)) for item in items] or [Row(_line(prescription), shared)]
    return rows


def _leaves(element: xml.Element) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for child in element:
        name = xml.local(child)
        text = (child.text or "").strip()
        if len(child) or not text:
            continue
        place = _line(child)
        # The same element twice: which one counts nobody can say.
        found[name] = Cell(text, "HEADING_TWICE" if name in found else "", place.name, name, place.line, place.column)
    return found


def _line(element: xml.Element) -> Spot:
    number = int(str(element.sourceline or 1))
    return Spot(f"line {number}", number, 1)
