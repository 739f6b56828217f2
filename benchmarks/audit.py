"""CPU-ms per audit of a prescription with five lines, beside reading the same prescription from its stored JSON.

An audit goes from the loaded prescription to its findings: the case is made, and all rules run over it. The baseline is
what every step does first and has nothing of the audit in it, so the ratio shows what the rules add. Both take turns in
the same rounds of one process. The quickest round of each counts, because other programs on the machine only add time.

`ordinary`: every five-line prescription of the ordinary drugs of one disease. `recorded`: those with five lines in the
recorded corpus, drawn at random; their findings must still be the same.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from itertools import combinations

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from domain.audit import RULEBOOK, Case, resolve
from domain.chains import Dispensed
from domain.findings import Finding
from domain.prescription import Prescription
from tests.domain.audit import corpus
from tests.support import factories

TARGET_MS = 1.0
LINES = 5
PRESCRIPTION = TypeAdapter(Prescription)


def again(case: Case) -> Callable[[], object]:
    """One audit, from the prescription on: nothing of the case that was made before is used."""
    history = tuple(Dispensed(supply.drug.id, supply.at, supply.days) for supply in case.history)

    def audit() -> object:
        return RULEBOOK.run(resolve(
            case.rx, at=case.at, knowledge=case.knowledge, policy=case.policy, entitlement=case.entitlement,
            hospital_level=case.hospital_level, hospital_contracted=case.hospital_contracted, history=history)).findings

    return audit


def ordinary() -> list[Case]:
    """Five ordinary drugs at a time: what most prescriptions are like, with few findings."""
    return [factories.case(factories.ordinary(*drugs)) for drugs in combinations(list(factories.ORDINARY)[:8], LINES)]


def recorded() -> list[Case]:
    """Five drugs at random, as a rule with dozens of findings."""
    return [corpus.case_of(each) for each in corpus.load() if len(each.prescription.items) == LINES]


def quickest_ms(work: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """CPU-ms of each piece of work in its quickest round; the first two are not counted."""
    gc.freeze()  # the cases that wait for their turn are no part of an audit: the collector shall not walk through them
    times: list[list[float]] = [[] for _ in work]
    for _ in range(rounds + 2):
        for each, run in zip(times, work, strict=True):
            begin = time.process_time_ns()
            run()
            each.append((time.process_time_ns() - begin) / 1e6)
    return [min(each[2:]) for each in times]


def measured(name: str, cases: Sequence[Case], rounds: int, table: Table) -> bool:
    """A row of the table; whether an audit keeps the target."""
    audits = [again(case) for case in cases]
    stored = [PRESCRIPTION.dump_python(case.rx, mode="json") for case in cases]

    def audit_all() -> None:
        for audit in audits:
            audit()

    def read_all() -> None:
        for content in stored:
            PRESCRIPTION.validate_python(content)

    ours, reading = (ms / len(cases) for ms in quickest_ms([audit_all, read_all], rounds))
    findings = sum(len(RULEBOOK.run(case).findings) for case in cases) / len(cases)
    held = ours <= TARGET_MS
    table.add_row(name, str(len(cases)), f"{findings:.1f}", f"{ours:.3f}" if held else f"[red]{ours:.3f}[/red]",
                  f"{reading:.3f}", f"{ours / reading:.1f}")
    return held


def same_findings() -> list[str]:
    """The recorded cases whose findings are not what they were."""
    different: list[str] = []
    for each in corpus.load():
        findings: tuple[Finding, ...] = corpus.audited(each)
        if findings != each.findings:
            different.append(each.name)
    return different


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench audit", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    console = Console(highlight=False, width=140)
    different = same_findings()
    table = Table("prescriptions of five lines", "cases", "findings each", f"audit, {len(RULEBOOK.rules)} rules, CPU-ms",
                  "reading it from JSON, CPU-ms", "ratio")
    cheap = [measured(name, cases, arguments.rounds, table) for name, cases in (("ordinary", ordinary()), ("recorded", recorded()))]
    console.print(table)
    console.print(f"rulebook {RULEBOOK.version}, knowledge {factories.KNOWLEDGE.version[:16]}")
    for name in different:
        console.print(f"[red]other findings than recorded: {name}[/red]")
    for name, held in ((f"an audit takes at most {TARGET_MS:.0f} CPU-ms", all(cheap)),
                       ("the recorded cases have the findings they had", not different)):
        console.print(f"{'holds' if held else '[red]does not hold[/red]'}: {name}")
    return 0 if all(cheap) and not different else 1


if __name__ == "__main__":
    sys.exit(main())
