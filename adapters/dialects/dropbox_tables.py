"""Files of a drop box as rows: CSV, Excel or XML, as people and small programs write them, and each cell's place.

A fault of one cell stays in that cell, so that only its own prescription is refused. A column that was not agreed on stays
in its row too, under the sender's heading: only a hospital's translation knows what it reads.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from unicodedata import normalize

from adapters import xml
from adapters.dialects import dropbox_workbook as workbook
from adapters.dialects.dropbox_cells import MAX_TEXT, Cell, Row, finding, text_cell
from domain.errors import InvalidPayload
from domain.findings import Spot

MAX_BYTES: Final = 20_000_000
MAX_XML_BYTES: Final = 8_000_000
MAX_CELLS: Final = 100_000
MAX_XML_TAGS: Final = 60_000
MAX_ROWS: Final = 10_000
MAX_COLUMNS: Final = workbook.MAX_COLUMNS
MAX_CHARACTERS: Final = 20_000_000
"""Of all cells: what is merged, or shared by the drugs of a prescription, counts each time."""
MAX_HEADING: Final = 60
HEADING_ROWS: Final = 10
"""A title and notes may stand above the headings."""


_HINTS: Final = frozenset({
    *"年月日时分秒位个字或如例", "必填", "非必填", "不必填", "选填", "可空", "可不填", "文本", "数字", "格式", "男", "女",
    "是", "否", "本人", "患者", "手机"})
"""Words behind a heading that tell people how to fill it in."""
_OTHERS: Final = ("guardian", "parent", "mother", "father", "spouse", "relative", "contact", "emergency", "former", "previous",
                  "old", "doctor", "physician", "prescriber")
"""English words behind a heading that make it another person's, or a former one; other English words translate it."""


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
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Heading that is knowingly not read -> reason, in English."""
    units: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Field -> units that may stand behind its heading; a heading of any other field shows no unit at all."""
    unit_words: frozenset[str] = frozenset()
    """What counts as a unit behind a heading."""
    needs: Sequence[str] = ("number", "key")
    """Fields whose headings show which row holds the headings; a fault of a whole row is put at the first one."""

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(self.needs)

    @cached_property
    def headings(self) -> Mapping[str, str]:
        """Field -> the first heading that the manifest gives it."""
        headings: dict[str, str] = {}
        for heading, name in self.columns.items():
            headings.setdefault(name, heading)
        return headings

    @cached_property
    def _hints(self) -> re.Pattern[str]:
        """What may stand behind a heading without making another of it: English, a unit, a format, whether to fill it in."""
        words = {*self.unit_words, *_HINTS}
        either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        # Possessive: a long heading of many hints, and then something else, would be tried in every way to cut it up.
        return re.compile(f"(?!.*(?:{'|'.join(_OTHERS)}))(?:{either}|[ -~）、，；：。])*+", re.IGNORECASE | re.DOTALL)

    def named(self, text: str) -> str:
        """The heading as the manifest spells it; a hint in brackets or behind a slash is for people.

        姓名(必填) is the name; 姓名(监护人) is another person's name, and so a different heading.
        """
        text = text.strip()
        if text in self.columns or text in self.left_out:
            return text
        text = text[:MAX_HEADING]
        before, *behind = re.split(r"[/(（\n]", text, maxsplit=1)
        bare = before.strip()
        agreed = bare in self.columns or bare in self.left_out
        return bare if agreed and self._hints.fullmatch("".join(behind)) else text

    def unit_of(self, text: str) -> str:
        """The unit that stands behind a heading: `mg` of `单次用量(mg)`; empty where there is none."""
        behind = re.split(r"[/(（\n]", text.strip(), maxsplit=1)[1:]
        unit = normalize("NFKC", behind[0]).strip(" )）") if behind and text.strip() not in self.columns else ""
        return unit if unit.casefold() in self.unit_words else ""


def read(raw: bytes, layout: Layout) -> list[Row]:
    """The rows of a file; its content tells its kind. Raises `InvalidPayload` for the file as a whole.

    A workbook or XML may cost much: in the product only `dropbox_reader` calls it for those.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidPayload([finding("FILE_TOO_LARGE", "file")])
    if is_workbook(raw):
        rows = _table(_excel(raw, layout), layout)
    elif raw.startswith(b"\xd0\xcf\x11\xe0") or b"\0" in raw[:1024]:
        raise InvalidPayload([finding("FILE_KIND", "file")])
    elif is_xml(raw):
        rows = _xml(raw, layout)
    else:
        rows = _table(_csv(raw, layout), layout)
    if not rows:
        raise InvalidPayload([finding("FILE_EMPTY", "file")])
    return rows


def is_workbook(raw: bytes) -> bool:
    return raw.startswith(b"PK\x03\x04")


def is_xml(raw: bytes) -> bool:
    return raw[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


# One prescription's own bytes.

def slice_of(rows: Sequence[Row]) -> bytes:
    """The same for the same cells, at any place and in any order of columns."""
    plain = [{heading: [cell.fault] if cell.fault else cell.text for heading, cell in row.cells.items()} for row in rows]
    return json.dumps({"dropbox": 1, "rows": plain}, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def read_slice(raw: bytes, faults: frozenset[str]) -> list[Row] | None:
    """The rows of a slice, their places counted within the prescription; None if the bytes are none.

    `faults` are the codes that a cell may carry.
    """
    if not raw.startswith(b'{"dropbox":1,'):
        return None
    try:
        rows = json.loads(raw)["rows"]
        return [Row(Spot(f"item {number}"), {
            heading: _sliced(cell, f"item {number}", heading, faults) for heading, cell in row.items()
        }) for number, row in enumerate(rows, 1)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _sliced(cell: object, row: str, heading: str, faults: frozenset[str]) -> Cell:
    if isinstance(cell, list) and len(cell) == 1 and cell[0] in faults:
        return Cell("", str(cell[0]), row, heading)
    if not isinstance(cell, str):
        raise TypeError("a cell is a text or the code of its fault")
    return Cell(cell, "", row, heading)


# Tables: CSV and Excel.

Line = tuple[int, Mapping[int, Cell], int]
"""Number of a row as Excel counts, its filled cells by column, and how many columns it has; 0 where that means nothing."""


def _table(lines: Iterator[Line], layout: Layout) -> list[Row]:
    headings: dict[int, str] = {}
    rows: list[Row] = []
    width = characters = 0
    own: dict[str, str] = {}
    first = ""
    for number, cells, columns in lines:
        if not headings:
            named = {column: layout.named(cell.text) for column, cell in cells.items() if cell.text}
            fields = [layout.columns[heading] for heading in named.values() if heading in layout.columns]
            if layout.required <= set(fields):
                headings, width = named, max(named) if columns else 0
                _require_plain(headings, cells, number, layout)
                own = {layout.columns[heading]: heading for heading in headings.values() if heading in layout.columns}
                first = own[layout.needs[0]]
            elif number >= HEADING_ROWS:
                break
            continue
        if not cells:
            continue
        characters += sum(len(cell.text) for cell in cells.values())
        if len(rows) == MAX_ROWS or characters > MAX_CHARACTERS:
            raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file", Spot(f"row {number}", number, 1))])
        name = f"row {number}"
        by_heading = {headings[column]: Cell(cell.text, cell.fault, name, headings[column], number, column)
                 for column, cell in cells.items() if column in headings}
        beyond = [column for column in cells if column not in headings]
        if width and columns < width:
            # Which cell is missing cannot be known. The finding is put at the number's cell, because every row needs a number.
            text = by_heading[first].text if first in by_heading else ""
            by_heading[first] = Cell(text, "ROW_TOO_SHORT", name, "", number, columns + 1)
        elif beyond:
            text = by_heading[first].text if first in by_heading else ""
            by_heading[first] = Cell(text, "ROW_TOO_LONG", name, "", number, beyond[0])
        rows.append(Row(Spot(name, number, 1), by_heading, own))
    if not headings:
        raise InvalidPayload([finding("HEADING_MISSING", "headings", Spot("row 1", 1, 1))])
    return rows


def _require_plain(headings: Mapping[int, str], cells: Mapping[int, Cell], number: int, layout: Layout) -> None:
    """Every heading once, also under another spelling, and with no unit but its own."""
    seen: set[str] = set()
    for column, heading in headings.items():
        meant = layout.columns.get(heading, f"?{heading}")
        if meant in seen:
            raise InvalidPayload([finding("HEADING_TWICE", "headings", Spot(f"row {number}, {heading}", number, column))])
        seen.add(meant)
        unit = layout.unit_of(cells[column].text)
        if unit and meant in layout.columns.values() and unit.casefold() not in layout.units.get(meant, frozenset()):
            raise InvalidPayload([finding("UNITS_DISAGREE", "headings", Spot(f"row {number}, {heading}", number, column))])


def _csv(raw: bytes, layout: Layout) -> Iterator[Line]:
    text, read_as = _decoded(raw)
    first = text.partition("\n")[0].rstrip("\r")
    # Excel's own hint at the separator counts as a row.
    hint = re.fullmatch(r"sep=([,;|\t])", first)
    separator = hint[1] if hint else _separator(text, layout)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number, count = 0, 0
    try:
        for number, record in enumerate(reader, 1):
            count += len(record)
            if count > MAX_CELLS or len(record) > MAX_COLUMNS:
                raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file", Spot(f"row {number}", number, 1))])
            yield number, {column: _csv_cell(cell, read_as) for column, cell in enumerate(record, 1)
                           if cell and not cell.isspace()}, len(record)
    except csv.Error:
        raise InvalidPayload([finding("FILE_BROKEN", "file", Spot(f"row {number + 1}", number + 1, 1))]) from None


def _decoded(raw: bytes) -> tuple[str, str]:
    """The text, and the encoding it was read in."""
    marked = raw.startswith(b"\xef\xbb\xbf")
    farthest = 0
    for codec in ("utf-8-sig",) if marked else ("utf-8", "gb18030"):
        try:
            return raw.decode(codec).removeprefix("\ufeff"), codec.removesuffix("-sig")
        except UnicodeDecodeError as error:
            # The encoding that got farther is the one that was meant.
            farthest = max(farthest, error.start + 3 * marked)
    line = raw.count(b"\n", 0, farthest) + 1
    raise InvalidPayload([finding("FILE_ENCODING", "file", Spot(f"row {line}", line, 1, farthest))])


def _separator(text: str, layout: Layout) -> str:
    """The one that shows most headings we know among the first lines."""
    lines = [line[:MAX_TEXT * 4] for line in text[:MAX_TEXT * 40].split("\n", HEADING_ROWS)[:HEADING_ROWS]]

    def headings_known(separator: str) -> int:
        return max(sum(layout.named(part.strip('\r" ')) in layout.columns for part in line.split(separator)[:MAX_COLUMNS])
                   for line in lines)

    return max((",", ";", "\t"), key=headings_known)


_AS_TEXT = re.compile(r'="((?:[^"]|"")*)"', re.DOTALL)


def _csv_cell(text: str, read_as: str) -> Cell:
    text = text.strip()
    if text.startswith("="):
        quoted = _AS_TEXT.fullmatch(text)  # Excel's way to keep zeros in front
        return text_cell(quoted[1].replace('""', '"').strip(), read_as) if quoted else Cell("", "CELL_FORMULA")
    return Cell("", "CELL_FORMULA") if text.startswith("#") and text in _ERRORS else text_cell(text, read_as)


_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!"})


def _excel(raw: bytes, layout: Layout) -> Iterator[Line]:
    with_headings = [sheet for sheet in workbook.visible_sheets(raw) if _has_headings(sheet, layout)]
    if len(with_headings) > 1:
        raise InvalidPayload([finding("SEVERAL_SHEETS", "file")])
    for sheet in with_headings:
        for number, cells in sheet.items():
            yield number, {column: cell if cell.fault else text_cell(cell.text) for column, cell in cells.items()}, 0


def _has_headings(sheet: workbook.Sheet, layout: Layout) -> bool:
    return any(layout.required <= {layout.columns.get(layout.named(cell.text)) for cell in cells.values()}
               for number, cells in sheet.items() if number <= HEADING_ROWS)


# XML.

def _xml(raw: bytes, layout: Layout) -> list[Row]:
    if len(raw) > MAX_XML_BYTES:
        raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file")])
    root = xml.parse(raw, "file", max_bytes=MAX_XML_BYTES, max_tags=MAX_XML_TAGS)
    rows: list[Row] = []
    characters = 0
    for prescription in _prescriptions(root, layout):
        items: list[xml.Element] = []
        shared = _leaves(prescription, layout, items)
        for element in items or [prescription]:
            own = _leaves(element, layout, None) if items else {}
            cells = shared | {name: _agreed(shared.get(name), cell) for name, cell in own.items()}
            characters += sum(len(cell.text) for cell in cells.values())
            if len(rows) == MAX_ROWS or characters > MAX_CHARACTERS:
                raise InvalidPayload([finding("FILE_TOO_COMPLEX", "file", _line(element))])
            rows.append(Row(_line(element), cells))
    if not rows:
        raise InvalidPayload([finding("HEADING_MISSING", "file", _line(root))])
    return rows


def _prescriptions(element: xml.Element, layout: Layout) -> Iterator[xml.Element]:
    """The prescriptions, side by side within any other elements. Other content of a file would be lost, so it is refused."""
    if xml.local(element) == layout.prescription:
        yield element
        return
    names = [name for name, _ in _attributes(element)] + [xml.local(element)] * bool(_own_text(element))
    if any(name not in layout.left_out for name in names):
        raise InvalidPayload([finding("COLUMN_UNKNOWN", "file", _line(element))])
    for child in element:
        yield from _prescriptions(child, layout)


def _leaves(element: xml.Element, layout: Layout, items: list[xml.Element] | None) -> dict[str, Cell]:
    """What an element holds in its own leaves; its drugs go into `items`. Deeper elements keep their path as their name."""
    cells: dict[str, Cell] = {}

    def add(name: str, text: str, at: xml.Element) -> None:
        place = _line(at)
        read = text_cell(text) if len(name) <= MAX_HEADING else Cell("", "CELL_TOO_LONG")
        name = name[:MAX_HEADING]
        # The same element twice: it is not clear which counts, so it is a fault.
        fault = "HEADING_TWICE" if name in cells else read.fault
        cells[name] = Cell(read.text, fault, place.name, name, place.line, place.column)

    def gather(within: xml.Element, path: str) -> None:
        for name, text in _attributes(within):
            add(f"{path}{name}", text, within)
        if text := _own_text(within):
            add(path.rstrip("/") or xml.local(within), text, within)
        for child in within:
            name = xml.local(child)
            if name == layout.prescription or (name == layout.item and items is None):
                raise InvalidPayload([finding("ELEMENT_NESTED", "file", _line(child))])
            if name == layout.item and items is not None:
                items.append(child)
            else:
                gather(child, f"{path}{name}/")

    gather(element, "")
    return cells


def _agreed(shared: Cell | None, own: Cell) -> Cell:
    """What a drug says; refused where its prescription says something else under the same name."""
    return own._replace(fault="ROWS_DISAGREE") if shared and not own.fault and own.text != shared.text else own


def _attributes(element: xml.Element) -> Iterator[tuple[str, str]]:
    """Name and text of the attributes that say something; those of XML itself and of its schemas do not."""
    for name, text in element.attrib.items():
        if str(text).strip() and not str(name).startswith("{http://www.w3.org/"):
            yield f"@{str(name).rpartition('}')[2]}", str(text).strip()


def _own_text(element: xml.Element) -> str:
    """The element's text, wherever it stands between its children."""
    return "".join((element.text or "", *(child.tail or "" for child in element))).strip()


def _line(element: xml.Element) -> Spot:
    number = int(str(element.sourceline or 1))
    return Spot(f"line {number}", number, 1)
