"""Mutations of tables in a workbook: its cells, and what a table in CSV does not have."""

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import openpyxl
from openpyxl.cell import MergedCell
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values

Change = Callable[[Worksheet], object]


def mutations(raw: bytes, values: Values, headings: Sequence[str]) -> Iterator[Mutation]:
    """Every cell changed, emptied, commented on and struck through, every column doubled and taken out, rows doubled, hidden and
    taken out, columns and sheets added.

    `headings` are those that the sender may use as well; one that nobody knows is added to them.
    """
    head, body, rows = read(raw)
    merged = _merged(raw)

    def written(change: Change) -> Callable[[], bytes]:
        return lambda: _written(raw, change)

    for column, heading in rows[0].items():
        for number in body:
            if (number, column) in merged:
                continue  # the first of them says it
            value = rows[number - head].get(column)
            here = f"in row {number}"
            if value is None:
                yield Mutation(Kind.ADDED, heading, written(_put(number, column, MARK)), f"an empty cell filled {here}")
                continue
            for other in values.others(heading, _text(value)):
                yield Mutation(Kind.CHANGED, heading, written(_put(number, column, other)), here)
            yield Mutation(Kind.EMPTIED, heading, written(_put(number, column, None)), here)
            yield Mutation(Kind.CHANGED, heading, written(_put(number, column, f'="{MARK}"')), f"calculated {here}")
            yield Mutation(Kind.ADDED, heading, written(_comment(number, column)), f"a comment {here}")
            yield Mutation(Kind.CHANGED, heading, written(_strike(number, column)), f"struck through {here}")
            if isinstance(value, int | float | datetime):
                yield Mutation(Kind.CHANGED, heading, written(_format(number, column, "0.00%")), f"as a percentage {here}")
        yield Mutation(Kind.EMPTIED, heading, written(lambda sheet, c=column: sheet.delete_cols(c)), "no such column")
        yield Mutation(Kind.DOUBLED, heading, written(_twice(head, body, column)), "the column twice")
    last = max(rows[0])
    for heading in [*headings, "没人知道的列"]:
        if heading not in rows[0].values():
            yield Mutation(Kind.ADDED, heading, written(_column(head, body, last + 1, heading)), "a column")
    yield Mutation(Kind.ADDED, "(beyond the last column)", written(_put(body[0], last + 2, MARK)), "a cell too many")
    yield Mutation(Kind.ADDED, "(above the headings)", written(_put(1, last, MARK)), "a title")
    yield Mutation(Kind.ADDED, "(hidden sheet)", written(_sheet("hidden")), "a hidden sheet")
    yield Mutation(Kind.ADDED, "(sheet)", written(_sheet("visible")), "a second sheet of prescriptions")
    for number in body:
        yield Mutation(Kind.DOUBLED, "(row)", written(_row_twice(number)), f"row {number} twice")
        yield Mutation(Kind.EMPTIED, "(row)", written(lambda sheet, n=number: sheet.delete_rows(n)), f"no row {number}")
        yield Mutation(Kind.EMPTIED, "(row)", written(_hide(number)), f"row {number} hidden")
        yield Mutation(Kind.CHANGED, "(row)", written(_merge(number, last - 1, last)), f"merged in row {number}")


def places(raw: bytes) -> Iterator[tuple[str, str]]:
    _, _, (headings, *rows) = read(raw)
    for row in rows:
        yield from ((headings[column], _text(value)) for column, value in row.items() if column in headings)


def read(raw: bytes) -> tuple[int, list[int], list[dict[int, Any]]]:
    """Number of the row of headings, those of the rows below it, and the filled cells of all of them by column."""
    sheet = openpyxl.load_workbook(io.BytesIO(raw)).active
    assert isinstance(sheet, Worksheet)
    filled = {number: {cell.column: cell.value for cell in row if cell.value is not None}
              for number, row in enumerate(sheet.iter_rows(), 1)}
    head = next(number for number, row in filled.items() if len(row) > 10)
    body = [number for number, row in filled.items() if number > head and row]
    return head, body, [filled[number] for number in (head, *body)]


def _written(raw: bytes, change: Change) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(raw))
    assert isinstance(book.active, Worksheet)
    change(book.active)
    into = io.BytesIO()
    book.save(into)
    return into.getvalue()


def _text(value: object) -> str:
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _put(row: int, column: int, value: object) -> Change:
    return lambda sheet: setattr(sheet.cell(row, column), "value", value)


def _comment(row: int, column: int) -> Change:
    return lambda sheet: setattr(sheet.cell(row, column), "comment", Comment(MARK, "x"))


def _strike(row: int, column: int) -> Change:
    return lambda sheet: setattr(sheet.cell(row, column), "font", Font(strike=True))


def _format(row: int, column: int, code: str) -> Change:
    return lambda sheet: setattr(sheet.cell(row, column), "number_format", code)


def _hide(row: int) -> Change:
    return lambda sheet: setattr(sheet.row_dimensions[row], "hidden", True)


def _merge(row: int, first: int, last: int) -> Change:
    return lambda sheet: sheet.merge_cells(start_row=row, end_row=row, start_column=first, end_column=last)


def _merged(raw: bytes) -> set[tuple[int, int]]:
    """Row and column of the cells that are merged into another one."""
    sheet = openpyxl.load_workbook(io.BytesIO(raw)).active
    assert isinstance(sheet, Worksheet)
    return {(cell.row, cell.column) for row in sheet.iter_rows() for cell in row if isinstance(cell, MergedCell)}


def _column(head: int, body: Sequence[int], column: int, heading: str, *cells: object) -> Change:
    def change(sheet: Worksheet) -> None:
        sheet.cell(head, column, heading)
        for number, cell in zip(body, cells or [MARK] * len(body), strict=True):
            sheet.cell(number, column, cell)  # type: ignore[call-overload]

    return change


def _twice(head: int, body: Sequence[int], column: int) -> Change:
    def change(sheet: Worksheet) -> None:
        cells = [f"{_text(sheet.cell(number, column).value)}{MARK}" for number in body]
        _column(head, body, sheet.max_column + 1, str(sheet.cell(head, column).value), *cells)(sheet)

    return change


def _row_twice(row: int) -> Change:
    def change(sheet: Worksheet) -> None:
        cells = [cell.value for cell in sheet[row]]
        sheet.insert_rows(row)
        for column, value in enumerate(cells, 1):
            sheet.cell(row, column, value)

    return change


def _sheet(state: str) -> Change:
    def change(sheet: Worksheet) -> None:
        book = sheet.parent
        assert isinstance(book, openpyxl.Workbook)
        book.copy_worksheet(sheet).sheet_state = state

    return change
