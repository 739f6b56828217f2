"""Workbooks (.xlsx) as rows of cells, read as streams: no sheet, style or link is ever built from what a file claims.

Six kinds of parts are unpacked: the workbook, relations, texts, formats, the visible sheets and the comments on them. Nothing
else in the archive is looked at. ECMA-376, part 1, 18.3 (sheets), 18.4 (texts), 18.8 (styles).
"""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from lxml import etree

from adapters.dialects.dropbox_cells import Cell, finding
from domain.errors import InvalidPayload

MAX_PARTS: Final = 1000
MAX_UNPACKED: Final = 64_000_000
"""Bytes of the parts that are read, once they are unpacked."""
MAX_TAGS: Final = 300_000
"""Start and end tags of the parts that are read."""
MAX_CELLS: Final = 30_000
MAX_COLUMNS: Final = 200
MAX_LAST_ROW: Final = 1_048_576
EXACT_DIGITS: Final = 15
"""Excel keeps no more digits of a number; an id number typed as one has lost its last."""

Sheet = Mapping[int, Mapping[int, Cell]]
"""Number of a row -> number of a column -> what stands there; what is empty is left out. Both count from 1."""


def visible_sheets(raw: bytes) -> list[Sheet]:
    """The sheets that a person sees who opens the workbook. Raises `InvalidPayload` for the file as a whole."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return _Book(archive).sheets()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
            etree.XMLSyntaxError):
        # Two of them: packed in a way we cannot read, or behind a password.
        raise InvalidPayload([finding("FILE_BROKEN", "file")]) from None


class _Book:
    """The parts of one workbook, and what may still be read of them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        parts = archive.infolist()
        names = [part.filename.lower() for part in parts]
        if len(parts) > MAX_PARTS:
            raise _too_complex()
        if not {"[content_types].xml", "xl/workbook.xml"} <= set(names):
            raise InvalidPayload([finding("FILE_KIND", "file")])
        if len(names) != len(set(names)):
            # Two parts of one name: programs differ in which they show, so the file is refused.
            raise InvalidPayload([finding("FILE_BROKEN", "file")])
        self._archive = archive
        self._sizes = {part.filename: part.file_size for part in parts}
        self._bytes, self._tags, self._cells = MAX_UNPACKED, MAX_TAGS, MAX_CELLS

    def sheets(self) -> list[Sheet]:
        book, related = _Workbook(), _Related()
        self._read("xl/workbook.xml", book)
        self._read("xl/_rels/workbook.xml.rels", related)
        texts, formats = _Texts(), _Formats()
        for kind, target in related.parts.values():
            if kind == "sharedStrings":
                self._read(target, texts)
            elif kind == "styles":
                self._read(target, formats)
        sheets = []
        for relation in book.visible:
            kind, target = related.parts.get(relation, ("", ""))
            if kind == "worksheet":
                sheet = _Worksheet(texts.texts, texts.struck, formats, book.from_1904, self._cells)
                self._read(target, sheet)
                self._comments(target, sheet)
                self._cells = sheet.left
                sheets.append(sheet.merged())
        return sheets

    def _comments(self, name: str, sheet: "_Worksheet") -> None:
        """Which cells of a sheet have a comment."""
        folder, _, part = name.rpartition("/")
        relations = f"{folder}/_rels/{part}.rels"
        if relations not in self._sizes:
            return
        beside = _Related(f"/{folder}")
        self._read(relations, beside)
        for kind, target in beside.parts.values():
            if kind in ("comments", "threadedComment"):
                comments = _Comments()
                self._read(target, comments)
                sheet.comment(comments.places)

    def _read(self, name: str, into: "_Part") -> None:
        self._bytes -= self._sizes.get(name, MAX_UNPACKED)
        if self._bytes < 0:
            raise _too_complex() if name in self._sizes else InvalidPayload([finding("FILE_BROKEN", "file")])
        data = self._archive.read(name)  # never more than the size it gave
        self._tags -= data.count(b"<")
        if self._tags < 0:
            raise _too_complex()
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:
            raise InvalidPayload([finding("FILE_BROKEN", "file")])
        # Read as UTF-8, also if the part declares another encoding: what that would hide is no XML then.
        parser = etree.XMLParser(target=into, encoding="utf-8", resolve_entities=False, load_dtd=False,
                                 no_network=True, huge_tree=False)
        etree.fromstring(data, parser)


def _too_complex() -> InvalidPayload:
    return InvalidPayload([finding("FILE_TOO_COMPLEX", "file")])


# The parts, as targets of the parser: each keeps what it needs and forgets the rest.

class _Part:
    """What a part does with what it does not need: nothing."""

    def start(self, tag: Any, attributes: Mapping[Any, Any]) -> None: ...
    def end(self, tag: Any) -> None: ...
    def data(self, text: Any) -> None: ...
    def comment(self, text: Any) -> None: ...
    def close(self) -> None: ...


_SPACES: Final = ("http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://purl.oclc.org/ooxml/spreadsheetml/main",
                  "http://schemas.openxmlformats.org/package/2006/relationships")
_KNOWN: Final = {f"{{{space}}}{name}": name for space in _SPACES for name in (
    "c", "f", "v", "t", "is", "si", "rPh", "row", "mergeCell", "sheet", "workbookPr", "Relationship", "numFmt", "cellXfs", "xf",
    "fonts", "font", "strike")}
"""Elements that count, of SpreadsheetML, transitional or strict, and of its relations."""


def _local(tag: str) -> str:
    return _KNOWN.get(tag, "")


def _on(attributes: Mapping[str, str]) -> bool:
    """Whether an element that says yes does so."""
    return attributes.get("val", "1") in ("1", "true")


_ID = ("{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id",
       "{http://purl.oclc.org/ooxml/officeDocument/relationships}id")


class _Workbook(_Part):
    def __init__(self) -> None:
        self.visible: list[str] = []
        """Relations of the sheets that are shown."""
        self.from_1904 = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if name == "sheet" and attributes.get("state", "visible") == "visible":
            self.visible += [attributes[name] for name in _ID if name in attributes][:1]
        elif name == "workbookPr":
            self.from_1904 = attributes.get("date1904", "0") in ("1", "true")


class _Related(_Part):
    def __init__(self, folder: str = "/xl") -> None:
        self._folder = folder
        self.parts: dict[str, tuple[str, str]] = {}
        """Relation -> last word of its type, and the part's name."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if _local(tag) == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join(self._folder, attributes.get("Target", ""))).lstrip("/")
            self.parts[attributes.get("Id", "")] = attributes.get("Type", "").rpartition("/")[2], target


class _Comments(_Part):
    def __init__(self) -> None:
        self.places: set[tuple[int, int]] = set()
        """Row and column of each cell with a comment."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        # Threaded comments use another namespace.
        if tag.rpartition("}")[2] in ("comment", "threadedComment") and "ref" in attributes:
            self.places.add(_place(attributes["ref"]))


class _Texts(_Part):
    """sharedStrings: each text without its phonetic help."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.struck: set[int] = set()
        """Numbers of the texts of which something is struck through."""
        self._pieces: list[str] = []
        self._in_text, self._phonetic = False, 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if name == "si":
            self._pieces = []
        elif name == "strike" and _on(attributes):
            self.struck.add(len(self.texts))
        self._in_text = name == "t"
        self._phonetic += name == "rPh"

    def data(self, text: str) -> None:
        if self._in_text and not self._phonetic:
            self._pieces.append(text)

    def end(self, tag: str) -> None:
        name = _local(tag)
        self._in_text = False
        self._phonetic -= name == "rPh"
        if name == "si":
            self.texts.append(_unescaped("".join(self._pieces)))


class _Formats(_Part):
    """Styles: what the number of each cell format stands for."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._of_cells: list[tuple[str, str]] = []
        """Number format and font of each cell format."""
        self._kinds: dict[int, str] = {}
        self._inside = ""
        self._fonts = 0
        self._struck: set[str] = set()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if name == "numFmt":
            self._codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name in ("cellXfs", "fonts"):
            self._inside = name
        elif name == "xf" and self._inside == "cellXfs":
            self._of_cells.append((attributes.get("numFmtId", "0"), attributes.get("fontId", "0")))
        elif name == "strike" and self._inside == "fonts" and _on(attributes):
            self._struck.add(str(self._fonts))

    def end(self, tag: str) -> None:
        name = _local(tag)
        self._fonts += name == "font" and self._inside == "fonts"
        if name in ("cellXfs", "fonts"):
            self._inside = ""

    def struck(self, style: int) -> bool:
        """Whether what has this format is struck through."""
        return 0 <= style < len(self._of_cells) and self._of_cells[style][1] in self._struck

    def kind(self, style: int) -> str:
        """`date`, `hours` for a length of time, `scaled` for what shows another number, or empty for a plain number."""
        if style not in self._kinds:
            number = self._of_cells[style][0] if 0 <= style < len(self._of_cells) else "0"
            self._kinds[style] = _kind(number, self._codes.get(number, ""))
        return self._kinds[style]


def _kind(number: str, code: str) -> str:
    if not code:
        shown = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
        if shown in (9, 10):
            return "scaled"
        return "hours" if shown == 46 else "date" if shown in _DATES else ""
    # Only what is shown of a positive number, without what is written as it stands.
    bare = re.sub(r'"[^"]*"|\\.|_.|\*.', "", code[:255]).split(";")[0].lower()
    if re.search(r"\[(h+|m+|s+)\]", bare):
        return "hours"
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    if re.search(r"[ymdhs]", bare.replace("general", "").replace("am/pm", "h")):
        return "date"
    return "scaled" if "%" in bare or re.search(r"[0#?],+(?![0#?,])", bare) else ""


_DATES: Final = frozenset((*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)))
"""Formats that have a number and no code: 18.8.30, the Chinese ones included."""


@dataclass
class _Slot:
    """The cell that is being read."""

    row: int
    column: int
    kind: str
    style: int
    value: list[str] = field(default_factory=list)
    formula: bool = False
    struck: bool = False


class _Worksheet(_Part):
    """The filled cells of a sheet, in the order of the file."""

    def __init__(self, texts: Sequence[str], struck: Collection[int], formats: _Formats, from_1904: bool, left: int) -> None:
        self.left = left
        """Cells that may still come."""
        self._commented: set[tuple[int, int]] = set()
        """Row and column of the cells with a comment."""
        self._texts, self._struck, self._formats, self._from_1904 = texts, struck, formats, from_1904
        self._rows: dict[int, dict[int, Cell]] = {}
        self._hidden: set[int] = set()
        self._merges: list[tuple[int, int, int, int]] = []
        self._row = self._column = 0
        self._slot: _Slot | None = None
        self._reading, self._phonetic = False, 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if name == "c":
            self.left -= 1
            if self.left < 0:
                raise _too_complex()
            row, column = _place(attributes["r"]) if "r" in attributes else (self._row, self._column + 1)
            if row != self._row:
                raise ValueError("a cell stands outside its row")
            self._column = column
            style = attributes.get("s", "0")
            self._slot = _Slot(row, column, attributes.get("t", "n"), int(style) if style.isdecimal() else 0)
        elif self._slot is not None:
            self._slot.formula |= name == "f"
            self._slot.struck |= name == "strike" and _on(attributes)
            self._phonetic += name == "rPh"
            self._reading = not self._phonetic and name == ("t" if self._slot.kind == "inlineStr" else "v")
        elif name == "row":
            self._row = int(attributes.get("r", self._row + 1))
            self._column = 0
            flat = attributes.get("ht", "") in ("0", "0.0") and attributes.get("customHeight") in ("1", "true")
            if attributes.get("hidden", "0") in ("1", "true") or flat:
                self._hidden.add(self._row)
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))

    def data(self, text: str) -> None:
        if self._reading and self._slot is not None:
            self._slot.value.append(text)

    def end(self, tag: str) -> None:
        name = _local(tag)
        self._reading = False
        if self._slot is None:
            return
        self._phonetic -= name == "rPh"
        if name == "c":
            slot, self._slot = self._slot, None
            cell = self._read(slot)
            if cell.text or cell.fault:
                if slot.column > MAX_COLUMNS or not 0 < slot.row <= MAX_LAST_ROW:
                    raise _too_complex()
                row = self._rows.setdefault(slot.row, {})
                if slot.column in row:
                    raise ValueError("a cell stands twice")
                row[slot.column] = cell

    def _merge(self, ref: str) -> None:
        first, _, last = ref.partition(":")
        (top, left), (bottom, right) = _place(first), _place(last or first)
        top, bottom, left, right = min(top, bottom), max(top, bottom), min(left, right), max(left, right)
        self.left -= (bottom - top + 1) * (right - left + 1)
        if self.left < 0:
            raise _too_complex()
        self._merges.append((top, left, bottom, right))

    def comment(self, cells: Collection[tuple[int, int]]) -> None:
        """Each of these cells has a comment."""
        self.left -= len(cells)
        if self.left < 0 or any(column > MAX_COLUMNS or row > MAX_LAST_ROW for row, column in cells):
            raise _too_complex()
        self._commented.update(cells)

    def merged(self) -> Sheet:
        """The rows, with what is merged in each of its cells, and what is hidden or commented on marked."""
        across: set[tuple[int, int]] = set()
        for row, column in self._commented:
            noted = self._rows.setdefault(row, {})
            noted[column] = noted.get(column, Cell(""))._replace(fault="CELL_COMMENT")
        for top, left, bottom, right in self._merges:
            kept = self._rows.get(top, {}).get(left, Cell(""))
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    if left == right:
                        if kept.text or kept.fault:
                            self._rows.setdefault(row, {})[column] = kept
                        continue
                    # Only the first keeps the text: it may be the title over the table.
                    across.add((row, column))
                    text = kept.text if (row, column) == (top, left) else ""
                    self._rows.setdefault(row, {})[column] = Cell(text, "CELL_MERGED")
        return {row: {column: cell._replace(fault="ROW_HIDDEN") if row in self._hidden and (row, column) not in across else cell
                      for column, cell in sorted(cells.items())} for row, cells in sorted(self._rows.items())}

    def _read(self, slot: _Slot) -> Cell:
        text = "".join(slot.value)
        if slot.formula or slot.kind == "e":
            return Cell("", "CELL_FORMULA")
        if not text.strip():
            return Cell("")
        if slot.struck or self._formats.struck(slot.style) or (slot.kind == "s" and int(text) in self._struck):
            return Cell("", "CELL_STRUCK")
        match slot.kind:
            case "s":
                at = int(text)
                if not 0 <= at < len(self._texts):
                    raise ValueError("a text that is not there")
                return Cell(self._texts[at].strip())
            case "inlineStr" | "str":
                return Cell(_unescaped(text).strip())
            case "b":
                return Cell("true" if text.strip() in ("1", "true") else "false")
            case "d":
                return Cell(text.strip())
            case "n":
                return self._number(text, self._formats.kind(slot.style))
        return Cell("", "CELL_FORMULA")

    def _number(self, text: str, kind: str) -> Cell:
        value = float(text)
        if value != value or abs(value) >= 10**EXACT_DIGITS:
            return Cell("", "CELL_DIGITS_LOST")
        if kind == "scaled":
            return Cell("", "CELL_SCALED")
        if not kind:
            return Cell(str(int(value)) if value == int(value) else repr(value))
        if not 0 <= value < _YEAR_10000:
            return Cell("", "CELL_FORMULA")
        # Excel counts days in binary fractions: 08:58:00 comes as 08:57:59.999997.
        length = timedelta(days=value) + timedelta(milliseconds=500)
        length -= timedelta(microseconds=length.microseconds)
        if kind == "hours" or value < 1:
            return Cell(str(length))
        epoch = _EPOCH_1904 if self._from_1904 else _EPOCH if value >= 61 else _EPOCH + timedelta(days=1)
        return Cell((epoch + length).strftime("%Y-%m-%d %H:%M:%S"))


_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  Excel knows no zones
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001
_YEAR_10000: Final = 2_950_000
_REF = re.compile(r"\$?([A-Z]{1,3})\$?([1-9][0-9]{0,6})")


def _place(ref: str) -> tuple[int, int]:
    """`B7` -> row 7, column 2. Raises `ValueError`."""
    read = _REF.fullmatch(ref)
    if not read:
        raise ValueError("no place of a sheet")
    column = 0
    for letter in read[1]:
        column = column * 26 + ord(letter) - 64
    return int(read[2]), column


_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _unescaped(text: str) -> str:
    """ST_Xstring (22.9.2.19): what XML cannot hold stands as `_x001B_`."""
    return _ESCAPE.sub(lambda read: _character(int(read[1], 16)), text) if "_x" in text else text


def _character(code: int) -> str:
    # Half of a pair is no character.
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
