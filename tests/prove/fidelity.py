"""Nothing a hospital says is passed over: each field changed, doubled, emptied, contradicted or added is kept, refused or listed.

Every member, element, attribute, component and cell of every dialect's samples is mutated. A mutation is seen if it shows
in the prescription as it would be stored, in a finding, in a code that waits for a person, or if its place is on the dialect's
list of what it knowingly leaves out. Words that are kept are then looked for where people and partners read them.
"""

import argparse
import dataclasses
import logging
import os
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from adapters import registry
from adapters.kit import left_out as lists
from adapters.kit import samples
from fhir_profiles.reader import read_bundle_data, read_cancel_data
from infra import log
from tasks import intake
from tasks.city import City
from tests.prove.mutations import reach
from tests.prove.mutations.contradictions import pairs
from tests.prove.mutations.formats import mutations_of, places_of
from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values
from tests.support.city import make_city


class Seen:
    STORED, FINDING, WAITING, LEFT_OUT, SILENT, CRASH = "stored", "finding", "waiting", "left out", "SILENT", "CRASH"


@dataclass
class Tally:
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(hospital, what became of it) -> mutations."""
    unseen: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    """Hospital, kind, place, what was done, and the sample, of what nobody sees."""
    kept: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    """(hospital, path in the stored prescription) -> sample -> a message whose marked words are kept there."""
    accepted: list[tuple[str, str]] = field(default_factory=list)
    """Hospital and fact of contradictions that were taken."""

    def add(self, other: "Tally") -> None:
        self.counts += other.counts
        self.unseen += other.unseen
        self.accepted += other.accepted
        for key, messages in other.kept.items():
            self.kept[key] = messages | self.kept[key]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--hospital", default="", help="only this one's dialect")
    arguments.add_argument("--show", type=int, default=20, help="unseen mutations to print for each dialect")
    arguments.add_argument("--every", type=int, default=1, help="take every nth mutation only")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that share the work")
    asked = arguments.parse_args()
    console = Console(highlight=False, width=160)
    slugs = [slug for slug in registry.slugs("hospitals") if asked.hospital in ("", slug)]
    tally = Tally()
    with ProcessPoolExecutor(asked.jobs, initializer=_quiet) as workers:
        parts = 4 * asked.jobs
        shares = {slug: [workers.submit(examine, slug, asked.every, part, parts) for part in range(parts)] for slug in slugs}
        for slug, started in shares.items():
            for share in started:
                tally.add(share.result())
            _report(console, slug, tally, asked.show)
        kept = sorted(tally.kept.items())
        missed = [one for found in workers.map(reach.unread, [key for key, _ in kept], [messages for _, messages in kept])
                  for one in found]
    for slug, fact in tally.accepted:
        console.print(f"  ✗ {slug}: contradiction accepted: {fact}")
    for slug, path, where in missed:
        console.print(f"  ✗ {slug}: {path} is kept, and does not reach {where}")
    total = sum(tally.counts.values())
    silent = sum(count for (_, seen), count in tally.counts.items() if seen in (Seen.SILENT, Seen.CRASH))
    listed = sum(count for (_, seen), count in tally.counts.items() if seen == Seen.LEFT_OUT)
    console.print(f"fidelity: {total} mutations of {len(slugs)} dialects, {listed} in places that are knowingly left out, "
                  f"{len([p for p in pairs() if _speaks(p.dialect, slugs)])} contradictions, {len(tally.accepted)} accepted, "
                  f"{len(tally.kept)} kinds of words kept, {len(missed)} out of reach, {silent} silent", soft_wrap=True)
    return 1 if silent or tally.accepted or missed or not total else 0


def _quiet() -> None:
    log.configure("CRITICAL")
    logging.disable(logging.CRITICAL)


def examine(slug: str, every: int, part: int, parts: int) -> Tally:
    """One share of a hospital's mutations, and of the contradictions."""
    with tempfile.TemporaryDirectory() as folder:
        city = make_city(Path(folder))
        city = replace(city, hospitals={slug: samples.reader(slug)})
        try:
            tally = try_all(city, slug, every, part, parts)
            _contradict(city, slug, part, parts, tally)
        finally:
            city.db.close()
    return tally


def try_all(city: City, slug: str, every: int, part: int = 0, parts: int = 1) -> Tally:
    """What becomes of every nth mutation; of these, of one share."""
    dialect = registry.manifest("hospitals", slug).dialect
    mutate, places = mutations_of(dialect), places_of(dialect)
    read = [(sample, before) for sample in samples.valid(slug) if (before := _content(city, slug, sample.raw)[0]) is not None]
    if not read:
        raise SystemExit(f"{slug}: none of its samples is accepted")
    values = Values(found for sample, _ in read for found in places(sample.name, sample.raw))
    tally = Tally()
    for sample, before in read:
        left_out = lists.left_out(slug) | (lists.of_cancels(slug) if "prescription.id" not in before else {})
        absent = lists.absent(slug) | left_out
        for number, mutation in enumerate(mutate(sample.name, sample.raw, values)):
            if number % every or number // every % parts != part:
                continue
            # Where absence is said to change nothing, a value that is changed or added must still be seen.
            listed = absent if mutation.kind is Kind.EMPTIED else left_out
            seen, after = _seen(city, slug, mutation, before, listed)
            tally.counts[slug, seen] += 1
            if seen in (Seen.SILENT, Seen.CRASH):
                tally.unseen.append((slug, mutation.kind, mutation.place, mutation.how, sample.name))
            elif after is not None and "prescription.id" in after:
                for path in _marked(after):
                    tally.kept[slug, path].setdefault(sample.name, mutation.raw)
    return tally


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
    """What would be stored of a prescription, people included, or done of a cancel; or None, and whether it would wait."""
    reading = intake.read(city, city.hospitals[slug], raw, "")
    if reading.message is None or reading.findings:
        return None, False
    if reading.message.unmapped:
        return None, True
    resource = reading.message.resource
    read = (read_cancel_data(resource) if reading.message.kind == "Task" else
            read_bundle_data(resource, slug, city.cipher.patient_id))
    return dict(_paths(dataclasses.asdict(read))), False


def _paths(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything in it."""
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


def _contradict(city: City, slug: str, part: int, parts: int, tally: Tally) -> None:
    raw = {sample.name: sample.raw for sample in samples.valid(slug)}
    mine = [pair for pair in pairs() if _speaks(pair.dialect, [slug])]
    for pair in mine[part::parts]:
        after, _ = _content(city, slug, pair.change(raw[pair.sample]))
        tally.counts[slug, Seen.FINDING if after is None else Seen.SILENT] += 1
        if after is not None:
            tally.accepted.append((slug, pair.fact))


def _speaks(dialect: str, slugs: Iterable[str]) -> bool:
    return any(registry.manifest("hospitals", slug).dialect == dialect for slug in slugs)


def _report(console: Console, slug: str, tally: Tally, show: int) -> None:
    table = Table(title=slug, show_header=True)
    for seen in (Seen.STORED, Seen.FINDING, Seen.WAITING, Seen.LEFT_OUT, Seen.SILENT, Seen.CRASH):
        table.add_column(seen, justify="right")
    table.add_row(*(str(tally.counts[slug, seen]) for seen in (
        Seen.STORED, Seen.FINDING, Seen.WAITING, Seen.LEFT_OUT, Seen.SILENT, Seen.CRASH)))
    console.print(table)
    where = Counter((kind, place, how, name) for one, kind, place, how, name in tally.unseen if one == slug)
    for (kind, place, how, name), count in sorted(where.items())[:show]:
        console.print(f"  ✗ {kind} {place} {how} ({name}, {count})", markup=False)


if __name__ == "__main__":
    sys.exit(main())
