"""CPU-ms per prescription from bytes to the admitted domain object, for each dialect, beside fhir.resources alone.

Ours: parse, clean, translate, map codes, check everything, read. Theirs: `model_validate` of the very same Bundle, which is
handed to it parsed. Both in the same rounds of the same process, so that what disturbs one disturbs the other.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fhir.resources.R4B.bundle import Bundle
from rich.console import Console
from rich.table import Table

from adapters import registry
from adapters.dialects import fhir_r4
from adapters.kit import samples
from adapters.mapping import CodeMap
from adapters.messages import Message
from adapters.protocols import Hospital
from domain.errors import InvalidPayload
from domain.findings import Finding
from fhir_profiles.checker import check_data
from fhir_profiles.message import MAX_BYTES, Json
from fhir_profiles.reader import Admitted, read_bundle_data

TARGET = 2.5
"""FHIR intake over the bare model validation, at most."""
SLOPE = 1.5
"""CPU per byte of any message over that of the smallest, at most."""
REFUSAL_SECONDS = 1.0
"""For any bytes a sender may send, up to the size limit and beyond."""


@dataclass(frozen=True)
class Case:
    """One message of one hospital, and the Bundle it becomes."""

    dialect: str
    hospital: str
    name: str
    raw: bytes = field(repr=False)
    reader: Hospital = field(repr=False)
    codes: CodeMap = field(repr=False)
    bundle: Json = field(repr=False)

    def admit(self) -> Admitted:
        return admit(self.reader, self.raw, self.codes, self.hospital)


def admit(reader: Hospital, raw: bytes, codes: CodeMap, hospital: str) -> Admitted:
    """What intake does with a message before it is stored. Raises `InvalidPayload`."""
    message: Message = reader.to_fhir(raw, codes)
    findings: Sequence[Finding] = check_data(message.resource, hospital)
    if findings:
        raise InvalidPayload(findings)
    return read_bundle_data(message.resource, hospital, lambda number: "pt_1")


def cases(say: Callable[[str], None]) -> list[Case]:
    """Every valid prescription among the samples of every hospital; FHIR in both of its formats."""
    all_cases = []
    for slug in registry.slugs("hospitals"):
        try:
            dialect, reader, codes = registry.manifest("hospitals", slug).dialect, samples.reader(slug), samples.tables(slug)
            files = [(sample.name, sample.raw) for sample in samples.valid(slug)]
        except Exception as error:
            say(f"{slug}: not measured, its adapter cannot be loaded ({type(error).__name__})")
            continue
        if dialect.startswith("fhir-r4"):
            files = [(name, raw) for name, raw in files if name.endswith(".json")]
            files += [(f"{name} as XML", fhir_r4.to_xml(json.loads(raw))) for name, raw in files]
        for name, raw in files:
            kind = f"{dialect} {'XML' if name.endswith('XML') else 'JSON'}" if dialect.startswith("fhir-r4") else dialect
            try:
                message = reader.to_fhir(raw, codes)
                if message.kind == "Bundle":
                    all_cases.append(Case(kind, slug, name, raw, reader, codes, copy.deepcopy(message.resource)))
                    all_cases[-1].admit()
            except Exception as error:
                say(f"{slug}/{name}: not measured, it is not admitted ({type(error).__name__})")
                all_cases = [case for case in all_cases if (case.hospital, case.name) != (slug, name)]
    return all_cases


def cpu_ms(work: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """CPU-ms of each piece of work: the median of rounds in which all take their turn."""
    taken: list[list[float]] = [[] for _ in work]
    for turn in range(rounds + 2):
        for index, place in enumerate(work):
            begin = time.process_time_ns()
            place()
            if turn >= 2:  # the first ones read definitions and warm caches
                taken[index].append((time.process_time_ns() - begin) / 1e6)
    return [statistics.median(times) for times in taken]


def by_dialect(all_cases: Sequence[Case], rounds: int, console: Console) -> bool:
    """The table of dialects; whether FHIR keeps its target."""
    table = Table("dialect", "hospital", "messages", "bytes", "ours, CPU-ms", "model_validate alone", "ratio")
    held = True
    for dialect in sorted({case.dialect for case in all_cases}):
        group = [case for case in all_cases if case.dialect == dialect]

        def ours(group: Sequence[Case] = group) -> None:
            for case in group:
                case.admit()

        def bare(group: Sequence[Case] = group) -> None:
            for case in group:
                Bundle.model_validate(case.bundle)

        mine, theirs = (ms / len(group) for ms in cpu_ms([ours, bare], rounds))
        ratio = mine / theirs
        good = ratio <= TARGET or not dialect.startswith("fhir-r4")
        held &= good
        table.add_row(dialect, ", ".join(sorted({case.hospital for case in group})), str(len(group)),
                      str(sum(len(case.raw) for case in group) // len(group)), f"{mine:.2f}", f"{theirs:.2f}",
                      f"{ratio:.2f}" if good else f"[red]{ratio:.2f}[/red]")
    console.print(table)
    return held


def by_size(all_cases: Sequence[Case], rounds: int, console: Console) -> bool:
    """CPU per byte, from a small message to the largest the contract takes; whether it stays the same."""
    table = Table("format", "entries", "bytes", "ours, CPU-ms", "per KB", "model_validate alone", "ratio")
    held = True
    for way in ("JSON", "XML"):
        first = next((case for case in all_cases if case.dialect.endswith(way)), None)
        if first is None:
            continue
        sizes = []
        for items, diagnoses in ((2, 1), (5, 1), (10, 1), (10, 20), (10, 50)):
            data = grown(first.bundle, items, diagnoses)
            raw = fhir_r4.to_xml(data) if way == "XML" else json.dumps(data, ensure_ascii=False, default=float).encode()

            def ours(case: Case = first, raw: bytes = raw) -> None:
                admit(case.reader, raw, case.codes, case.hospital)

            def bare(data: Json = data) -> None:
                Bundle.model_validate(data)

            mine, theirs = cpu_ms([ours, bare], rounds)
            sizes.append(mine / len(raw) * 1000)
            table.add_row(way, str(len(data["entry"])), str(len(raw)), f"{mine:.2f}", f"{sizes[-1]:.3f}", f"{theirs:.2f}",
                          f"{mine / theirs:.2f}")
        held &= max(sizes) <= SLOPE * sizes[0]
    console.print(table)
    return held


def grown(bundle: Json, items: int, diagnoses: int) -> Json:
    """The message with that many items and diagnoses."""
    kept = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] not in ("MedicationRequest", "Condition")]
    item, diagnosis = (next(entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind)
                       for kind in ("MedicationRequest", "Condition"))
    for number in range(diagnoses):
        entry = copy.deepcopy(diagnosis)
        if number:
            entry["fullUrl"] = f"urn:uuid:00000000-0000-4000-9000-{number:012d}"
        kept.append(entry)
    for number in range(items):
        entry = copy.deepcopy(item)
        entry["resource"]["identifier"][0]["value"] += f"-{number}"
        entry["fullUrl"] = f"urn:uuid:00000000-0000-4000-a000-{number:012d}"
        kept.append(entry)
    return {**bundle, "entry": kept}


def refusals(all_cases: Sequence[Case], console: Console) -> bool:
    """How long it takes to refuse what is too much; whether that is short."""
    table = Table("what", "bytes", "refused as", "seconds")
    held = True
    for case in {case.hospital: case for case in all_cases}.values():
        for name, raw in (("20 MB of brackets", b"[" * MAX_BYTES), ("20 MB of tags", b"<a>" * (MAX_BYTES // 3)),
                          ("20 MB of NUL", bytes(MAX_BYTES)), ("more than 20 MB", b" " * (MAX_BYTES + 1))):
            begin = time.process_time()
            try:
                case.reader.to_fhir(raw, case.codes)
                codes = "[red]nothing[/red]"
                held = False
            except InvalidPayload as refusal:
                codes = refusal.findings[0].code
            seconds = time.process_time() - begin
            held &= seconds <= REFUSAL_SECONDS
            table.add_row(f"{name}, to {case.hospital}", str(len(raw)), codes,
                          f"{seconds:.2f}" if seconds <= REFUSAL_SECONDS else f"[red]{seconds:.2f}[/red]")
    console.print(table)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench intake", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    console = Console(highlight=False, width=140)
    measured = cases(lambda line: console.print(f"[yellow]{line}[/yellow]"))
    ratio = by_dialect(measured, options.rounds, console)
    linear = by_size(measured, max(5, options.rounds // 4), console)
    quick = refusals(measured, console)
    for name, held in ((f"FHIR intake at most {TARGET} times the bare model validation", ratio),
                       (f"CPU per KB never more than {SLOPE} times that of the smallest message", linear),
                       (f"too much is refused within {REFUSAL_SECONDS:.0f} s", quick)):
        console.print(f"{'holds' if held else '[red]does not hold[/red]'}: {name}")
    return 0 if ratio and linear and quick else 1


if __name__ == "__main__":
    sys.exit(main())
