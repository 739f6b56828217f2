"""Mutations of tables in CSV."""

import csv
import io
from collections.abc import Iterator, Sequence

from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values


def mutations(raw: bytes, values: Values, headings: Sequence[str]) -> Iterator[Mutation]:
    """Every cell changed and emptied, every column doubled and taken out, rows doubled, columns added.

    `headings` are those that the sender may use as well; one that nobody knows is added to them.
    """
    encoding, separator, rows = read(raw)
    head, body = rows[0], rows[1:]

    def written(table: list[list[str]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=separator, lineterminator="\r\n").writerows(table)
        return text.getvalue().encode(encoding)

    for column, heading in enumerate(head):
        for number, row in enumerate(body):
            def put(text: str, number: int = number, row: list[str] = row, column: int = column) -> bytes:
                return written([head, *body[:number], [*row[:column], text, *row[column + 1:]], *body[number + 1:]])

            if row[column]:
                for other in values.others(heading, row[column]):
                    yield Mutation(Kind.CHANGED, heading, put(other), f"in row {number + 1}")
                yield Mutation(Kind.EMPTIED, heading, put(""), f"in row {number + 1}")
            else:
                yield Mutation(Kind.ADDED, heading, put(MARK), f"an empty cell filled in row {number + 1}")
        fewer = [[*row[:column], *row[column + 1:]] for row in rows]
        yield Mutation(Kind.EMPTIED, heading, written(fewer), "no such column")
        yield Mutation(Kind.DOUBLED, heading, written([[*row, row[column] if at == 0 else f"{row[column]}{MARK}"]
                                                       for at, row in enumerate(rows)]), "the column twice")
        everywhere = [[*row[:column], f"{row[column]}{MARK}", *row[column + 1:]] for row in body]
        yield Mutation(Kind.CHANGED, heading, written([head, *everywhere]), "in every row")
    for heading in [*headings, "没人知道的列"]:
        if heading not in head:
            yield Mutation(Kind.ADDED, heading, written([[*head, heading], *([*row, MARK] for row in body)]), "a column")
    yield Mutation(Kind.ADDED, "(beyond the last column)", written([head, *([*row, MARK] for row in body)]), "a cell too many")
    yield Mutation(Kind.EMPTIED, "(the last cell)", written([head, *(row[:-1] for row in body)]), "a cell too few")
    for number, row in enumerate(body):
        twice = [head, *body[:number + 1], row, *body[number + 1:]]
        yield Mutation(Kind.DOUBLED, "(row)", written(twice), f"row {number + 1} twice")
        yield Mutation(Kind.EMPTIED, "(row)", written([head, *body[:number], *body[number + 1:]]), f"no row {number + 1}")


def places(raw: bytes) -> Iterator[tuple[str, str]]:
    _, _, rows = read(raw)
    for row in rows[1:]:
        yield from ((heading, cell) for heading, cell in zip(rows[0], row, strict=False) if cell)


def read(raw: bytes) -> tuple[str, str, list[list[str]]]:
    """Encoding, separator, rows."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        separator = "\t" if "\t" in text.partition("\n")[0] else ","
        return encoding, separator, [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    raise ValueError("neither UTF-8 nor GB18030")
