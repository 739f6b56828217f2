"""Nothing a hospital says is passed over: each field changed, doubled, emptied, contradicted or added is kept, refused or listed.

Every member, element, attribute, component and cell of every dialect's samples is mutated. A mutation is seen if it shows
in the prescription as it would be stored, in a finding, in a code that waits for a person, or if its place is on the dialect's
list of what it knowingly leaves out. Words that are kept are then looked for where people and partners read them.
"""

import argparse
import dataclasses
import logging
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from adapters import registry
from adapters.kit import samples
from fhir_profiles.reader import Admitted
from infra import log
from tasks import intake
from tasks.city import City
from tests.city import make_city
from tests.fidelity import lists, reach
from tests.fidelity.contradictions import pairs
from tests.fidelity.formats import mutations_of, places_of
from tests.fidelity.mutation import MARK, Kind, Mutation, Values


class Seen:
    STORED, FINDING, WAITING, LEFT_OUT, SILENT, CRASH = "stored", "finding", "waiting", "left out", "SILENT", "CRASH"


@dataclass
class Tally:
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unseen: list[tuple[str, Mutation, str]] = field(default_factory=list)
    kept: dict[tuple[str, str], list[tuple[str, bytes]]] = field(default_factory=lambda: defaultdict(list))
    """(hospital, path in the stored prescription) -> messages whose marked words are kept there."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--hospital", default="", help="only this one's dialect")
    arguments.add_argument("--show", type=int, default=20, help="unseen mutations to print for each dialect")
    arguments.add_argument("--every", type=int, default=1, help="take every nth mutation only")
    asked = arguments.parse_args()
    console = Console(highlight=False, width=160)
    log.configure("CRITICAL")
    logging.disable(logging.CRITICAL)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        city = make_city(Path(folder))
        slugs = [slug for slug in registry.slugs("hospitals") if asked.hospital in ("", slug)]
        city = replace(city, hospitals={slug: samples.reader(slug) for slug in registry.slugs("hospitals")})
        for slug in slugs:
            try_all(city, slug, asked.every, tally)
            _report(console, slug, tally, asked.show)
        unrefused = _contradict(city, slugs, tally)
        city.db.close()
    missed = reach.unreached(tally.kept)
    for slug, fact in unrefused:
        console.print(f"  ✗ {slug}: contradiction accepted: {fact}")
    for slug, path, where in missed:
        console.print(f"  ✗ {slug}: {path} is kept, and does not reach {where}")
    total = sum(tally.counts.values())
    silent = sum(count for (_, seen), count in tally.counts.items() if seen in (Seen.SILENT, Seen.CRASH))
    listed = sum(count for (_, seen), count in tally.counts.items() if seen == Seen.LEFT_OUT)
    console.print(f"fidelity: {total} mutations of {len(slugs)} dialects, {listed} in places that are knowingly left out, "
                  f"{len([p for p in pairs() if _speaks(p.dialect, slugs)])} contradictions, {len(unrefused)} accepted, "
                  f"{len(tally.kept)} kinds of words kept, {len(missed)} out of reach, {silent} silent")
    return 1 if silent or unrefused or missed or not total else 0


def try_all(city: City, slug: str, every: int, tally: Tally) -> None:
    dialect = registry.manifest("hospitals", slug).dialect
    mutate, places = mutations_of(dialect), places_of(dialect)
    good = [sample for sample in samples.valid(slug) if _content(city, slug, sample.raw)[0] is not None]
    if not good:
        raise SystemExit(f"{slug}: none of its samples is accepted")
    values = Values(found for sample in good for found in places(sample.name, sample.raw))
    left_out, absent = lists.left_out(slug), lists.absent(slug)
    for sample in good:
        before, _ = _content(city, slug, sample.raw)
        assert before is not None
        for number, mutation in enumerate(mutate(sample.name, sample.raw, values)):
            if number % every:
                continue
            # Where absence is said to change nothing, a value that is changed or added must still be seen.
            listed = left_out | absent if mutation.kind is Kind.EMPTIED else left_out
            seen, after = _seen(city, slug, mutation, before, listed)
            tally.counts[slug, seen] += 1
            if seen in (Seen.SILENT, Seen.CRASH):
                tally.unseen.append((slug, mutation, sample.name))
            elif after is not None:
                for path in _marked(after):
                    tally.kept[slug, path].append((sample.name, mutation.raw))


def _seen(city: City, slug: str, mutation: Mutation, before: Mapping[str, Any], left_out: Mapping[str, str]
          ) -> tuple[str, Mapping[str, Any] | None]:
    try:
        after, waiting = _content(city, slug, mutation.raw)
    except Exception:
        return Seen.CRASH, None
    if after is None:
        return (Seen.WAITING if waiting else Seen.FINDING), None
    if after != before:
        return Seen.STORED, after
    return (Seen.LEFT_OUT if lists.listed(mutation.place, left_out) else Seen.SILENT), None


def _content(city: City, slug: str, raw: bytes) -> tuple[Mapping[str, Any] | None, bool]:
    """What would be stored of a message, people included; or None, and whether it would wait for a code."""
    admitted, findings = intake.preview(city, slug, raw)
    if admitted is None:
        return None, all(finding.code == "CODE_UNMAPPED" for finding in findings)
    return _flat(admitted), False


def _flat(admitted: Admitted) -> dict[str, Any]:
    """Dotted path -> value."""
    return dict(_paths(dataclasses.asdict(admitted)))


def _paths(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _paths(value, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list | tuple):
        yield f"{path}#", len(node)
        for index, value in enumerate(node):
            yield from _paths(value, f"{path}[{index}]")
    else:
        yield path, _value(node)


def _value(value: object) -> object:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _marked(content: Mapping[str, Any]) -> set[str]:
    """Paths without positions at which the marked words are kept."""
    return {re.sub(r"\[\d+\]", "[]", path) for path, value in content.items() if isinstance(value, str) and MARK in value}


def _contradict(city: City, slugs: Iterable[str], tally: Tally) -> list[tuple[str, str]]:
    accepted = []
    for slug in slugs:
        dialect = registry.manifest("hospitals", slug).dialect
        raw = {sample.name: sample.raw for sample in samples.valid(slug)}
        for pair in pairs():
            if pair.dialect == dialect:
                after, _ = _content(city, slug, pair.change(raw[pair.sample]))
                seen = Seen.FINDING if after is None else Seen.SILENT
                tally.counts[slug, seen] += 1
                if after is not None:
                    accepted.append((slug, pair.fact))
    return accepted


def _speaks(dialect: str, slugs: Iterable[str]) -> bool:
    return any(registry.manifest("hospitals", slug).dialect == dialect for slug in slugs)


def _report(console: Console, slug: str, tally: Tally, show: int) -> None:
    table = Table(title=slug, show_header=True)
    for seen in (Seen.STORED, Seen.FINDING, Seen.WAITING, Seen.LEFT_OUT, Seen.SILENT, Seen.CRASH):
        table.add_column(seen, justify="right")
    table.add_row(*(str(tally.counts[slug, seen]) for seen in (
        Seen.STORED, Seen.FINDING, Seen.WAITING, Seen.LEFT_OUT, Seen.SILENT, Seen.CRASH)))
    console.print(table)
    where = Counter((mutation.kind, mutation.place, mutation.how, name) for one, mutation, name in tally.unseen if one == slug)
    for (kind, place, how, name), count in sorted(where.items())[:show]:
        console.print(f"  ✗ {kind} {place} {how} ({name}, {count})", markup=False)


if __name__ == "__main__":
    sys.exit(main())
