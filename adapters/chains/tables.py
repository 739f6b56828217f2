"""Tables that a chain exchanges as files: read row by row, each fault at its place and under a rule of `CHN-…`."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final
from unicodedata import normalize

from adapters.chains.wire import RULES, finding
from adapters.dialects import dropbox_reader, dropbox_tables
from adapters.dialects.dropbox import day, moment
from adapters.dialects.dropbox_cells import Cell, Row
from adapters.dialects.dropbox_tables import Layout
from adapters.registry import ChainManifest
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot

_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "CHN-13": ("FILE_ENCODING", "CELL_DAMAGED"),
    "CHN-14": ("FILE_TOO_LARGE", "FILE_KIND", "FILE_BROKEN", "FILE_TOO_COMPLEX", "FILE_EMPTY", "SEVERAL_SHEETS",
               "ELEMENT_NESTED", "READING_STOPPED", "CELL_TOO_LONG"),
    "CHN-15": ("HEADING_MISSING", "HEADING_TWICE", "COLUMN_UNKNOWN", "UNITS_DISAGREE"),
    "CHN-16": ("ROW_TOO_LONG", "ROW_TOO_SHORT", "ROW_HIDDEN", "CELL_MERGED", "CELL_STRUCK", "CELL_COMMENT"),
    "CHN-17": ("CELL_FORMULA", "CELL_DIGITS_LOST", "CELL_SCALED"),
    "CHN-18": ("ROWS_DISAGREE",),
}
RULE_OF: Final[Mapping[str, str]] = {code: rule for rule, codes in _GROUPS.items() for code in codes}
"""Code of a file's or a cell's fault (`dropbox_cells`) -> rule of a chain; what is not here cannot come of a table without XML."""
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,8})?")
MAX_FINDINGS: Final = 50
"""Of one event, or of one file as a whole."""


def layout(manifest: ChainManifest, fields: Sequence[str]) -> Layout:
    """A table of these fields; the first one is what a row is about."""
    wanted = set(fields)
    return Layout({heading: field for heading, field in manifest.columns.items() if field in wanted}, {}, needs=tuple(fields[:2]))


def read(raw: bytes, table: Layout) -> list[Row]:
    """The rows of a file with every heading that was agreed. Raises `InvalidPayload` for the file as a whole."""
    try:
        if dropbox_tables.is_xml(raw):
            raise InvalidPayload([finding("CHN-14", "file")])
        rows = dropbox_reader.read(raw, table)
    except InvalidPayload as invalid:
        raise InvalidPayload([as_ours(fault) for fault in invalid.findings]) from None
    there = rows[0].headings
    missing = [table.headings[field] for field in dict.fromkeys(table.columns.values()) if field not in there]
    if missing:
        raise InvalidPayload([finding("CHN-15", heading, Spot(f"headings, {heading}")) for heading in missing])
    return rows


def as_ours(fault: Finding) -> Finding:
    """A finding of the file itself, under a chain's rule."""
    if fault.rule in RULES:
        return fault
    return replace(finding(RULE_OF.get(fault.code, "CHN-14"), fault.path), spot=fault.spot)


class Fields:
    """The cells of one row by field; what cannot be read is found wrong in its place and read as nothing."""

    def __init__(self, row: Row, table: Layout, findings: list[Finding], judged: Collection[str] | None = None) -> None:
        """`judged` are the fields whose damaged cells are findings; None: all."""
        self.row = row
        self._table = table
        self._findings = findings
        self._cells: dict[str, Cell] = {}
        for heading, cell in row.cells.items():
            if field := table.columns.get(heading):
                self._cells[field] = cell
                if cell.fault and (judged is None or field in judged):
                    self.refuse(RULE_OF.get(cell.fault, "CHN-03"), field)

    def text(self, field: str) -> str:
        cell = self._cells.get(field)
        return "" if cell is None or cell.fault else normalize("NFKC", cell.text).strip()

    def is_faulty(self, field: str) -> bool:
        return bool((cell := self._cells.get(field)) and cell.fault)

    def required(self, field: str) -> str:
        text = self.text(field)
        if not text and not self.is_faulty(field):
            self.refuse("CHN-02", field)
        return text

    def number(self, field: str, *, most: int = 10**8) -> Decimal | None:
        """A plain decimal from zero on; None where none can be read."""
        text = self.required(field)
        if _NUMBER.fullmatch(text) and Decimal(text) <= most:
            return Decimal(text)
        if text:
            self.refuse("CHN-17" if "E" in text.upper() else "CHN-03", field)
        return None

    def count(self, field: str) -> int | None:
        value = self.number(field)
        if value is not None and value != int(value):
            self.refuse("CHN-03", field)
            return None
        return None if value is None else int(value)

    def moment(self, field: str) -> str:
        """ISO 8601 with its offset; Beijing's where none is given."""
        return self._time(field, moment(self.required(field)))

    def day(self, field: str) -> str:
        """YYYY-MM-DD; empty where nothing stands."""
        return self._time(field, day(text)) if (text := self.text(field)) else ""

    def _time(self, field: str, value: str | None) -> str:
        if value is None and self.text(field):
            self.refuse("CHN-03", field)
        return value or ""

    def refuse(self, rule: str, field: str) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding(rule, field, self.spot(field)))

    def spot(self, field: str) -> Spot:
        """Where the field stands, or should stand."""
        if field in self._cells:
            return self._cells[field].spot
        heading = self.row.headings.get(field) or self._table.headings.get(field, "")
        spot = self.row.spot
        return Spot(f"{spot.name}, {heading}", spot.line, spot.column) if heading else spot
