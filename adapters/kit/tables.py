"""`./go map HOSPITAL`: which codes of a hospital are not mapped to ours, suggestions for them, and a person's decision.

Suggestions go into the tables of the hospital's folder, beside an empty `ours`; only a named person fills that.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from adapters import registry
from adapters.kit import samples
from adapters.kit.suggest import is_ours, suggest
from adapters.mapping import COLUMNS, TABLES
from domain.errors import NeedsOperator
from domain.knowledge.tables import Knowledge
from infra.cities import load_knowledge, load_policy
from infra.db import Database
from infra.db import mapping as queue
from infra.settings import get_settings

HEAD = (*COLUMNS, "suggested", "score")


@dataclass(frozen=True)
class Row:
    """One line of a table; `score` is 0 where nothing is suggested."""

    theirs: str
    name: str = ""
    ours: str = ""
    accepted_by: str = ""
    accepted_on: str = ""
    suggested: str = ""
    score: int = 0


Tables = dict[str, list[Row]]


def read(folder: Path) -> Tables:
    """The tables of a folder as they are, suggestions included."""
    tables: Tables = {}
    for file in sorted((folder / "mapping").glob("*.csv")):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            tables[file.stem] = [Row(score=int(row.get("score") or 0), **{
                name: (row.get(name) or "").strip() for name in HEAD[:6]}) for row in csv.DictReader(lines)]
    return tables


def write(folder: Path, tables: Tables) -> None:
    """Each table under its heading; the two last columns only where something is suggested."""
    (folder / "mapping").mkdir(exist_ok=True)
    for table, rows in tables.items():
        head = HEAD if any(row.suggested for row in rows) else COLUMNS
        with (folder / "mapping" / f"{table}.csv").open("w", encoding="utf-8", newline="") as lines:
            out = csv.writer(lines, lineterminator="\n")
            out.writerow(head)
            out.writerows([getattr(row, name) or "" for name in head] for row in rows)


def with_codes(tables: Tables, codes: Iterable[queue.Code]) -> Tables:
    """The tables with a line for each of these codes."""
    filled = {table: list(rows) for table, rows in tables.items()}
    for code in codes:
        rows = filled.setdefault(code.table, [])
        if code.theirs not in [row.theirs for row in rows]:
            rows.append(Row(code.theirs, code.name))
    return filled


def suggested(tables: Tables, knowledge: Knowledge) -> Tables:
    """The tables with the likeliest code of ours beside each line that has none yet."""
    def filled(table: str, row: Row) -> Row:
        if row.ours:
            return replace(row, suggested="", score=0)
        best = next(iter(suggest(knowledge, table, row.theirs, row.name, limit=1)), None)
        return replace(row, suggested=best.ours if best else "", score=best.score if best else 0)

    return {table: [filled(table, row) for row in rows] for table, rows in tables.items()}


def accepted(tables: Tables, knowledge: Knowledge, words: Iterable[str], least: int, by: str, on: date) -> tuple[Tables, int]:
    """The tables with what a person accepts: `table:theirs`, `table:theirs=ours`, and every suggestion from `least` on.

    Raises `NeedsOperator` for a line that is not there or has no suggestion, or a code that is not ours.
    """
    wanted: dict[tuple[str, str], str] = {}
    for word in words:
        table, _, rest = word.partition(":")
        theirs, _, ours = rest.partition("=")
        row = next((candidate for candidate in tables.get(table, ()) if candidate.theirs == theirs), None)
        if row is None:
            raise NeedsOperator(f"{word}: 表中没有这一行 there is no such line", code="mapping")
        ours = ours or row.suggested
        if not ours or not is_ours(knowledge, table, ours):
            raise NeedsOperator(f"{word}: {ours or '无建议 nothing suggested'}，不是平台编码 is no code of ours", code="mapping")
        wanted[table, theirs] = ours
    for table, rows in tables.items():
        for row in rows:
            if not row.ours and row.suggested and row.score >= least:
                wanted.setdefault((table, row.theirs), row.suggested)
    done = {table: [replace(row, ours=wanted[table, row.theirs], accepted_by=by, accepted_on=on.isoformat(), suggested="", score=0)
                    if (table, row.theirs) in wanted else row for row in rows] for table, rows in tables.items()}
    return done, len(wanted)


def waiting(slug: str) -> list[queue.Code]:
    """Codes that keep messages waiting at this installation (SANYI_DATABASE_URL)."""
    database = Database(get_settings().database_url)
    try:
        with database.reading() as session:
            return [entry for entry in queue.wanted(session) if entry.hospital == slug]
    finally:
        database.close()


def main(argv: Sequence[str] | None = None) -> int:
    options = _arguments(argv)
    folder = registry.HERE / "hospitals" / options.hospital
    if not (folder / "manifest.toml").exists():
        print(f"× 没有这家医院 no such hospital: {options.hospital}; {', '.join(registry.slugs('hospitals'))}", file=sys.stderr)
        return 2
    knowledge, policy = load_knowledge(options.city), load_policy(options.city)
    try:
        codes: list[queue.Code] = [*samples.unmapped(options.hospital), *(waiting(options.hospital) if options.queue else ())]
        tables = suggested(with_codes(read(folder), codes), knowledge)
        count = 0
        if options.accept or options.accept_from <= 100:
            if not options.by:
                raise NeedsOperator("采纳须写明何人 --by: somebody must answer for it", code="mapping")
            today = datetime.now(ZoneInfo(policy.timezone)).date()
            tables, count = accepted(tables, knowledge, options.accept, options.accept_from, options.by, today)
    except NeedsOperator as error:
        print(f"× {error}", file=sys.stderr)
        return 2
    write(folder, tables)
    left = [(table, row) for table, rows in tables.items() for row in rows if not row.ours]
    for table, row in left:
        hint = f"→ {row.suggested} ({row.score})" if row.suggested else "→ ?"
        print(f"{table:10} {row.theirs:24} {row.name}  {hint}")
    print(f"采纳 accepted {count}，待对照 left {len(left)}；表格 tables: adapters/hospitals/{options.hospital}/mapping/")
    if left:
        print(f"逐条采纳 one by one:  ./go map {options.hospital} --accept {left[0][0]}:{left[0][1].theirs}=… --by 姓名\n"
              f"按分采纳 by score:    ./go map {options.hospital} --accept-from 95 --by 姓名")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./go map", description=(
        "为样例、表格和队列中未对照的编码给出建议，由人员采纳。Suggest codes of ours for a hospital's own; a person accepts."))
    parser.add_argument("hospital")
    parser.add_argument("--city", default="jinan", help="药品目录所属城市 whose catalogue (default jinan)")
    parser.add_argument("--queue", action="store_true", help="也看等候队列 codes that keep messages waiting too")
    parser.add_argument("--accept", action="append", default=[], metavar="TABLE:THEIRS[=OURS]",
                        help=f"采纳一条 accept one; tables: {', '.join(TABLES)}")
    parser.add_argument("--accept-from", type=int, default=101, metavar="SCORE",
                        help="采纳不低于此分的建议 accept from this score on")
    parser.add_argument("--by", default="", help="采纳人 who answers for it")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
