"""A hospital's own codes -> ours: tables in its folder, and what people have accepted since."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from adapters.messages import Unmapped
from domain.errors import NeedsOperator
from fhir_profiles.drafts import Datum

TABLES = ("drug", "route", "frequency", "unit", "diagnosis", "title")
COLUMNS = ("theirs", "name", "ours", "accepted_by", "accepted_on")


@dataclass(frozen=True)
class CodeMap:
    """Table -> their code -> ours. A table that is absent maps every code to itself."""

    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Table -> their code -> what the hospital's folder says they call it."""

    def ours(self, table: str, theirs: str) -> str | None:
        """Our code for theirs, or None if it is not mapped yet."""
        if table not in self.tables:
            return theirs
        return self.tables[table].get(theirs)

    def with_accepted(self, rows: Iterable[tuple[str, str, str]]) -> "CodeMap":
        """With what people have accepted at run time, as (table, theirs, ours)."""
        tables = {table: dict(codes) for table, codes in self.tables.items()}
        for table, theirs, ours in rows:
            tables.setdefault(table, {})[theirs] = ours
        return CodeMap(tables, self.names)


class Codes:
    """A hospital's codes in one message, and those of them that are not mapped."""

    def __init__(self, map: CodeMap) -> None:
        self._map = map
        self.unmapped: list[Unmapped] = []

    def ours(self, table: str, datum: Datum, name: str = "") -> Datum:
        """Our code in place of theirs, which they call `name`; theirs stays where there is none, and the message waits."""
        if not datum.value:
            return datum
        ours = self._map.ours(table, datum.value)
        if ours is None:
            self.unmapped.append(Unmapped(table, datum.value, name, datum.spot))
        return datum if ours is None else replace(datum, value=ours)

    def each_once(self) -> tuple[Unmapped, ...]:
        """The codes that are not mapped, each at its first place."""
        first: dict[tuple[str, str], Unmapped] = {}
        for code in self.unmapped:
            first.setdefault((code.table, code.theirs), code)
        return tuple(first.values())


@cache
def read_tables(folder: Path) -> CodeMap:
    """The tables in a hospital's `mapping/` folder. Raises `NeedsOperator` naming file, row and cure."""
    files = {file.stem: _read(file) for file in sorted((folder / "mapping").glob("*.csv"))}
    return CodeMap({table: ours for table, (ours, _) in files.items()}, {table: names for table, (_, names) in files.items()})


def _read(file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Their codes -> ours, and -> their names."""
    where = "/".join(file.parts[-3:])
    if file.stem not in TABLES:
        raise NeedsOperator(f"{where}: no such table; there are {', '.join(TABLES)}", code="mapping")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        if missing := set(COLUMNS[:3]) - set(rows.fieldnames or ()):
            raise NeedsOperator(f"{where}: column {', '.join(sorted(missing))} is missing", code="mapping")
        by_theirs: dict[str, str] = {}
        names: dict[str, str] = {}
        for row in rows:
            theirs, ours = row["theirs"].strip(), row["ours"].strip()
            if not theirs or by_theirs.get(theirs, ours) != ours:
                raise NeedsOperator(f"{where}, row {rows.line_num}: `theirs` must be there, and stand for one code of ours",
                                    code="mapping")
            if ours:
                by_theirs[theirs] = ours  # a row without `ours` is a suggestion that no person has accepted
                names[theirs] = row["name"].strip()
        return by_theirs, names
