"""Audits on record: a few hundred prescriptions and the findings each had when they were recorded.

The cases are the samples of every hospital, a day of the sandbox, the examples of `test_audit.py` and drawn ones; all of them
are invented. `python -m tests.domain.audit.corpus --check` says what the present rules find otherwise, and `--write` records
that after it was meant. `--draw` makes the cases anew.
"""

import argparse
import json
import lzma
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from domain.audit import Case, audit, resolve
from domain.chains import Dispensed
from domain.claims import Accumulators, Entitlement
from domain.findings import Finding
from domain.money import Fen
from domain.prescription import Approval, Channel, Diagnosis, Prescription, RxKind, Sex, SkinTest, SkinTestResult
from infra.cities import load_knowledge, load_policy

FILE = Path(__file__).with_name("corpus.json.xz")
SEED = 20261130
DRAWN = 400


@dataclass(frozen=True)
class Recorded:
    """One prescription, what else the rules looked at, and what they found."""

    name: str
    prescription: Prescription
    now: datetime
    hospital_level: int
    hospital_contracted: bool
    entitlement: Entitlement | None
    history: tuple[Dispensed, ...] = ()
    policy: dict[str, int] = field(default_factory=dict)
    """Limits of the city that differ from jinan's."""
    findings: tuple[Finding, ...] = ()


CORPUS = TypeAdapter(tuple[Recorded, ...])


def load() -> tuple[Recorded, ...]:
    return CORPUS.validate_json(lzma.decompress(FILE.read_bytes()))


def save(corpus: tuple[Recorded, ...]) -> None:
    FILE.write_bytes(lzma.compress(CORPUS.dump_json(corpus), preset=9 | lzma.PRESET_EXTREME))


def audited(recorded: Recorded) -> tuple[Finding, ...]:
    """What the present rules find."""
    return tuple(audit(case_of(recorded)))


def case_of(recorded: Recorded) -> Case:
    return resolve(
        recorded.prescription, at=recorded.now, knowledge=load_knowledge("jinan"),
        policy=replace(load_policy("jinan"), **recorded.policy), entitlement=recorded.entitlement,
        hospital_level=recorded.hospital_level, hospital_contracted=recorded.hospital_contracted, history=recorded.history)


# --- Drawing ---


def draw() -> tuple[Recorded, ...]:
    """The cases, with what the present rules find. Left out: numbers that have no JSON (NaN), each case twice."""
    cases: dict[str, Recorded] = {}
    for case in [*_samples(), *_day(), *_examples(), *_drawn()]:
        try:
            text = CORPUS.dump_json((replace(case, name=""),)).decode()
            (read,) = CORPUS.validate_json(text)
        except ValidationError:
            continue
        cases.setdefault(text, replace(read, name=case.name))
    return tuple(replace(case, findings=audited(case)) for case in cases.values())


def _samples() -> Iterator[Recorded]:
    from adapters import registry
    from adapters.kit import samples
    from fhir_profiles.reader import read_bundle_data
    from tests.support.factories import entitlement

    for slug in registry.slugs("hospitals"):
        reader, codes, policy = samples.reader(slug), samples.tables(slug), load_policy("jinan")
        for sample in samples.valid(slug):
            message = reader.to_fhir(sample.raw, codes)
            if message.kind == "Bundle" and not message.unmapped:
                rx = read_bundle_data(message.resource, slug, lambda number: "pt_1").prescription
                terms = policy.hospital(slug)
                yield Recorded(f"{slug}/{sample.name}", rx, rx.issued_at + timedelta(minutes=5), terms.level,
                               terms.contracted, entitlement())


def _day() -> Iterator[Recorded]:
    from tests.sandbox.test_plan import DAY, NOW, admitted
    from tests.support.factories import entitlement

    for planned in DAY.prescriptions:
        person = DAY.people[DAY.prescriptions.index(planned)]
        yield Recorded(f"day/{planned.external_id}-{planned.scenario}", admitted(planned), NOW, 3, True,
                       entitlement(*person["diseases"], insutype=person["insutype"], retired=person["psn_type"] == "12"))


def _examples() -> Iterator[Recorded]:
    from tests.domain.audit.test_rules import EXAMPLES
    from tests.support.factories import CITY

    for place, (rule, passing, failing, code, _) in enumerate(EXAMPLES):
        for name, case in (("passes", passing), ("fails", failing)):
            policy = {limit: getattr(case.policy, limit) for limit in ("newborn_days", "skin_test_hours")
                      if getattr(case.policy, limit) != getattr(CITY, limit)}
            history = tuple(Dispensed(supply.drug.id, supply.at, supply.days) for supply in case.history)
            yield Recorded(f"{rule}-{code}-{place}-{name}", case.rx, case.at, case.hospital_level, case.hospital_contracted,
                           case.entitlement, history, policy)


def _drawn() -> Iterator[Recorded]:
    from tests.support.factories import ISSUED, KNOWLEDGE, entitlement, item, rx

    chance = random.Random(SEED)
    drugs = [*KNOWLEDGE.drugs, *KNOWLEDGE.catalogue]
    codes = [*sorted({code for drug in KNOWLEDGE.drugs.values() for code in drug.indications}
                     | {code for row in KNOWLEDGE.contraindications for code in row.diagnoses if "-" not in code}
                     | {code for row in KNOWLEDGE.restrictions for code in row.diagnoses}), "P59.900", "Z34.900", "N40.x00"]
    diseases = ["", *load_policy("jinan").disease_caps]
    frequencies = [*KNOWLEDGE.frequencies, "遵医嘱"]

    def line(number: int) -> Any:
        drug = chance.choice(drugs)
        known = KNOWLEDGE.drug(drug)
        usual = known.usual_max or known.max_dose or known.strength if known else Decimal(1)
        dose = usual / (known.dose_period_days if known else 1)
        changes: dict[str, Any] = {
            "single_dose": dose.quantize(Decimal("0.001")), "quantity": Decimal(chance.choice([7, 28, 60])),
            "days_supply": chance.choice([7, 14, 28, 30, 84, 90]),
            "frequency": known.usual_frequency if known and chance.random() < .6 else chance.choice(frequencies),
            "approval": chance.choice([None, None, None, *Approval])}
        if chance.random() < .1:
            changes["single_dose"] = dose * 3
            changes["overdose_reason"] = chance.choice(["", "已会诊"])
        if chance.random() < .1:
            changes["route"] = chance.choice(["PO", "SC", "IV"])
        if chance.random() < .2:
            changes["skin_test"] = SkinTest(chance.choice([None, *SkinTestResult]), chance.choice([None, ISSUED]),
                                            chance.choice(["", "口服多年无反应"]))
        return item(drug, number, **changes)

    for number in range(DRAWN):
        age = chance.choice([0, 3, 8, 15, 30, 40, 62, 75, 85])
        sex = chance.choice(list(Sex))
        patient: dict[str, Any] = {"allergies": tuple(chance.sample([*KNOWLEDGE.allergies, "AL99"], chance.choice([0, 0, 1, 2])))}
        if sex is Sex.FEMALE and 15 <= age < 50:
            patient |= {"pregnancy_weeks": chance.choice([None, 8, 20, 30]), "lactating": chance.choice([None, True])}
        if age == 0:
            patient["age_days"] = chance.choice([None, 5, 200])
        diagnoses = tuple(chance.sample(codes, chance.randint(0, 3)))
        made = rx(*(line(place) for place in range(1, chance.choice([1, 2, 3, 5, 5, 5, 6]) + 1)),
                  diagnoses=tuple(part for code in diagnoses for part in code.split("&")), disease=chance.choice(diseases), sex=sex,
                  age=age, patient=patient, kind=chance.choice(list(RxKind)),
                  visit={"channel": chance.choice(list(Channel))}, patient_acknowledged=chance.random() < .7,
                  extend_reason=chance.choice(["", "病情稳定"]))
        if chance.random() < .1:
            made = replace(made, diagnoses=(*made.diagnoses, Diagnosis("糖尿病", "")))
        used = Accumulators(Fen(50_000), Fen(chance.choice([0, 418_000])), Fen(0)) if chance.random() < .5 else Accumulators()
        held = chance.choice([None, entitlement(used=used), entitlement("M01600", "M03900", used=used),
                              entitlement(insutype="390", used=used), entitlement(retired=True, civil_servant=True, used=used),
                              entitlement(active=False)])
        history = tuple(Dispensed(chance.choice([*drugs, *(line.drug for line in made.items)]),
                                  ISSUED - timedelta(days=chance.choice([0, 1, 10, 25, 28, 60, 200])),
                                  chance.choice([7, 28, 30, 84])) for _ in range(chance.choice([0, 0, 2, 6])))
        yield Recorded(f"drawn/{number}", made, ISSUED + timedelta(hours=1), chance.choice([1, 2, 3, 3]),
                       chance.random() < .95, held, history)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.domain.audit.corpus", description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    for name, does in (("--check", "say what the present rules find otherwise"), ("--write", "record what they find now"),
                       ("--draw", "make the cases anew and record what is found in them")):
        wanted.add_argument(name, action="store_true", help=does)
    arguments = parser.parse_args()
    if arguments.draw:
        save(draw())
        return 0
    corpus, different = load(), 0
    for recorded in corpus:
        findings = audited(recorded)
        if findings != recorded.findings:
            different += 1
            print(recorded.name)
            for sign, those, others in (("-", recorded.findings, findings), ("+", findings, recorded.findings)):
                for finding in those:
                    if finding not in others:
                        print(f"  {sign} {json.dumps(finding.as_dict(), ensure_ascii=False)}")
    print(f"{different} of {len(corpus)} differ")
    if arguments.write:
        save(tuple(replace(recorded, findings=audited(recorded)) for recorded in corpus))
    return 1 if different and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
