"""An independent validator's verdicts beside ours, and why the two may differ.

@medplum/core enforces less than we publish. A disagreement is explained if our own checker, with just that left out,
says what the other says; or if the other's complaint is one of two that FHIR R4B does not share.
"""

import copy
import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from fhir_profiles import structure
from fhir_profiles.definitions import definitions
from fhir_profiles.shapes import Element, Profiles, Shape
from tests.support.fhir_mutants import Case, mutants, valid_cases

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "verdicts.json"

Json = dict[str, Any]

GAPS: Mapping[str, str] = {
    "binding": "it does not look into value sets",
    "range": "it does not know minValue and maxValue",
    "target": "it takes any resource where the target is a profile",
    "slice": "it does not look into a slice of a list, nor into an extension",
    "empty": "it takes an empty list or object for one that is not there",
    "blank": "it refuses blank strings, of which R4B says SHOULD",
    "nested": "it cannot tell slices within slices apart",
    "foreign": "it takes the extensions of others, which nobody here would read",
}
"""What makes the verdicts differ."""


@dataclass(frozen=True)
class Verdict:
    """What the other validator says."""

    errors: tuple[str, ...]

    @property
    def valid(self) -> bool:
        return not self.errors


@dataclass(frozen=True)
class Comparison:
    agreed: int
    explained: Counter[str]
    """How many by gap."""
    unexplained: tuple[Case, ...]


def cases() -> list[Case]:
    """Every valid resource of the examples and every mutant of it, each resource once."""
    found: dict[str, Case] = {}
    for valid in valid_cases():
        for case in (valid, *mutants(valid)):
            found.setdefault(_line(case), case)
    return list(found.values())


def digest(given: Sequence[Case]) -> str:
    """Of the cases, to know whether recorded verdicts are about them."""
    return hashlib.sha256("\n".join(_line(case) for case in given).encode()).hexdigest()


def _line(case: Case) -> str:
    return json.dumps({"profile": case.url, "resource": case.resource}, default=_number, ensure_ascii=False)


def _number(value: Decimal) -> float | int:
    return int(value) if value == int(value) else float(value)


# Theirs.

def ask(node: str, modules: Path, ours: Mapping[str, Json], given: Sequence[Case], folder: Path) -> list[Verdict]:
    """Ask @medplum/core; `ours` are SUSHI's full definitions by file name."""
    for name, resource in ours.items():
        if resource["resourceType"] == "StructureDefinition":
            (folder / name).write_text(json.dumps(_unfolded(resource)), encoding="utf-8")
    (folder / "cases.jsonl").write_text("\n".join(_line(case) for case in given), encoding="utf-8")
    ran = subprocess.run(
        [node, str(HERE / "oracle.mjs"), str(modules), str(modules / "hl7.fhir.r4b.core"), str(folder),
         str(folder / "cases.jsonl")], capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    if ran.returncode or len(answers) != len(given):
        raise SystemExit(f"the oracle answered {len(answers)} of {len(given)} cases: {ran.stderr[-500:]}")
    return [Verdict((*answer["errors"], *filter(_matters, answer["warnings"]))) for answer in answers]


def _matters(warning: str) -> bool:
    """A reference of the wrong type is a warning there; that it cannot follow a urn:uuid is no fault."""
    return "Invalid reference" in warning and 'got "urn:uuid:' not in warning


def _unfolded(structure: Json) -> Json:
    """The same definition with the url and value of each extension written out, as it does not look them up."""
    result = copy.deepcopy(structure)
    elements = result["snapshot"]["element"]
    ids = {element["id"] for element in elements}
    unfolded = []
    for element in elements:
        unfolded.append(element)
        profile = element.get("type", [{}])[0].get("profile")
        if not element["path"].endswith(".extension") or not profile or f"{element['id']}.url" in ids:
            continue
        for one in definitions().structures[profile[0].partition("|")[0]]["snapshot"]["element"]:
            name = one["id"].removeprefix("Extension.")
            if name in ("url", "value[x]") and one["max"] != "0":
                unfolded.append(one | {"id": f"{element['id']}.{name}", "path": f"{element['path']}.{name}"})
    result["snapshot"]["element"] = unfolded
    return result


def record(given: Sequence[Case], valid: Sequence[bool]) -> None:
    """Write the verdicts down, for tests on machines without Node."""
    said = "".join("1" if one else "0" for one in valid)
    lines = [said[start:start + 100] for start in range(0, len(said), 100)]
    RECORDED.write_text(json.dumps({"cases": digest(given), "valid": lines}, indent=1) + "\n", encoding="utf-8")


def recorded(given: Sequence[Case]) -> list[bool] | None:
    """The verdicts written down, or None if they are about other cases."""
    if not RECORDED.exists():
        return None
    written = json.loads(RECORDED.read_text(encoding="utf-8"))
    return [one == "1" for one in "".join(written["valid"])] if written["cases"] == digest(given) else None


# Ours beside it.

def compare(given: Sequence[Case], theirs: Sequence[bool]) -> Comparison:
    """Our verdict on each case beside the other's; `theirs` says which it holds to be valid."""
    ours = without()
    weaker = {gap: without(gap) for gap in ("binding", "range", "target", "slice")}
    weakest = without(*weaker)
    agreed, explained, unexplained = 0, Counter[str](), list[Case]()
    for case, valid in zip(given, theirs, strict=True):
        if _valid(ours, case) == valid:
            agreed += 1
            continue
        gap = _why_they_take_it(case, ours, weaker, weakest) if valid else _why_they_refuse_it(case)
        if gap:
            explained[gap] += 1
        else:
            unexplained.append(case)
    return Comparison(agreed, explained, tuple(unexplained))


def _valid(profiles: Profiles, case: Case) -> bool:
    return not structure.faults(case.profile, case.resource, among=profiles)


def _why_they_take_it(case: Case, ours: Profiles, weaker: Mapping[str, Profiles], weakest: Profiles) -> str:
    if {fault.code for fault in structure.faults(case.profile, case.resource, among=ours)} == {"EXTENSION_UNKNOWN"}:
        return "foreign"
    # To them an empty object is not there, or is there and holds nothing.
    whole = [Case(case.profile, _without_empties(case.resource, instead)) for instead in (None, {"id": "x"})]
    if any(_valid(ours, one) for one in whole):
        return "empty"
    for gap, profiles in weaker.items():
        if _valid(profiles, case):
            return gap
    if _valid(weakest, case):
        return "slice"
    return "empty" if any(_valid(weakest, one) for one in whole) else ""


def _why_they_refuse_it(case: Case) -> str:
    if case.how == "blank":
        return "blank"
    geolocation = case.profile == "patient" and case.resource.get("address")
    return "nested" if geolocation else ""


def _without_empties(node: Any, instead: Json | None) -> Any:
    """No empty list, and something else or nothing instead of every empty object."""
    if isinstance(node, dict):
        kept = {name: _without_empties(value, instead) for name, value in node.items() if value != []}
        return {name: value for name, value in kept.items() if value is not None} or instead
    return [_without_empties(value, instead) for value in node] if isinstance(node, list) else node


@cache
def without(*gaps: str) -> Profiles:
    """Our checker with some of what it enforces left out."""
    profiles = Profiles(definitions())
    seen: set[int] = set()
    for profile in profiles.ids():
        for element in _elements(profiles.shape(profile), seen):
            if "binding" in gaps:
                element.codes = None
                if element.slicing and not element.slicing.path:
                    # Slices told apart by their value sets: to them every item is the slice.
                    element.slicing.required = ()
            if "range" in gaps:
                element.low = element.high = None
            if "target" in gaps:
                element.targets = frozenset()
            for part in element.slicing.slices if "slice" in gaps and element.slicing else ():
                part.forms = {key: Shape("anything", anything=True) for key in part.forms}
                part.checks, part.plain = (), True
    return profiles


def _elements(shape: Shape, seen: set[int]) -> Iterator[Element]:
    if id(shape) in seen:
        return
    seen.add(id(shape))
    for narrower in shape.special:
        yield from _elements(narrower[1], seen)
    for element in shape.members.values():
        inside = [form for form in element.forms.values() if form]
        parts = element.slicing.slices if element.slicing else ()
        yield from (element, *parts)
        for form in [*inside, *(form for part in parts for form in part.forms.values() if form)]:
            yield from _elements(form, seen)
