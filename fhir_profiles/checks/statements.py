"""Where a message says one thing twice, both are compared; of several that exclude each other, one must count."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from domain.directions import Coded, contradicts, rhythms
from domain.units import exact, factor
from fhir_profiles import codes
from fhir_profiles.closed import SYSTEMS
from fhir_profiles.current import counts, current_address, current_name, current_phone
from fhir_profiles.definitions import system_concepts
from fhir_profiles.message import Json, coded, extended, fhirpath, member, members, number, parts, text, unit
from fhir_profiles.rules import CANCEL_RULES, Entry, Message, Places, rule

RHYTHMS: Mapping[str, tuple[int, int]] = {
    code: (properties["times"], properties["days"]) for code, properties in (
        (code, {p["code"]: int(p["valueInteger"]) for p in concept["property"]})
        for code, concept in system_concepts("frequency").items())}
"""Frequency code -> times per so many days; no times for prn, no days for st."""
SUPPLY_DAYS: Mapping[str, int] = {"d": 1, "wk": 7}
"""UCUM unit of a supply -> days."""
MAX_SUPPLY = 366
"""Days."""

_WORDS: Mapping[str, frozenset[str]] = {code: frozenset(words) for code, words in {
    "d": ("天", "日", "day", "days"), "wk": ("周", "星期", "week", "weeks"), "mm[Hg]": ("mmhg", "毫米汞柱"),
    "/min": ("次/分", "次/分钟", "bpm", "beats/min", "beats/minute"), "mmol/L": ("mmol/l", "毫摩尔/升"), "kg": ("千克", "公斤"),
    "%": ("％",), "[iU]": ("iu", "u", "国际单位", "单位"), "[drp]": ("滴",), "{puff}": ("吸", "揿", "喷"), "{tbl}": ("片",),
    "{tablet}": ("片",), "{cap}": ("粒",), "{capsule}": ("粒",), "1": (),
}.items()}
"""UCUM code -> words for it, in small letters; of the rest the table of units says which are one."""
_COUNTED = re.compile(r"\{(.+)\}")
_CONCEPTS = tuple(sorted({path.removesuffix(".coding") for path in SYSTEMS if path.endswith(".coding")}))
_NAMED = {"MedicationRequest.medicationCodeableConcept": codes.code_system("drug"), "Condition.code": codes.ICD10,
          "Encounter.serviceType": codes.code_system("department")}
"""Concepts whose words are read beside the code: they have no words of ours to be compared with."""
_QUANTITIES = {
    "MedicationRequest": (("dosageInstruction", "doseAndRate", "doseQuantity"), ("dispenseRequest", "quantity"),
                          ("dispenseRequest", "expectedSupplyDuration")),
    "Observation": (("valueQuantity",), ("component", "valueQuantity")),
}

At = tuple[str, Any]
"""A place and what stands there."""


# Of several, the one that counts.

@rule("NOT_CURRENT")
def ambiguous_choice(message: Message) -> Places:
    on = message.issued_on
    for kind in ("Patient", "RelatedPerson"):
        for person in message.all(kind):
            if members(person.resource, "name") and current_name(person.resource, on) is None:
                yield f"{person.path}.name"
            yield from (f"{person.path}.identifier[{index}]"
                        for index, identifier in enumerate(members(person.resource, "identifier"))
                        if isinstance(identifier, dict) and not counts(identifier, on))
    for patient in message.all("Patient"):
        if members(patient.resource, "address") and current_address(patient.resource, on) is None:
            yield f"{patient.path}.address"
        if any(member(entry, "system") == "phone" for entry in members(patient.resource, "telecom")) \
                and current_phone(patient.resource, on) is None:
            yield f"{patient.path}.telecom"


# Words beside codes.

@rule("TEXT_DISAGREES")
def name_in_parts(message: Message) -> Places:
    """Family and given names are the text again."""
    for kind in ("Patient", "RelatedPerson"):
        for person in message.all(kind):
            for index, name in enumerate(members(person.resource, "name")):
                words = [text(name, "family"), *(part for part in members(name, "given") if isinstance(part, str))]
                whole = "".join("".join(words).split())
                if whole and whole != "".join(text(name, "text").split()):
                    yield f"{person.path}.name[{index}].text"


@rule("TEXT_DISAGREES", CANCEL_RULES)
@rule("TEXT_DISAGREES")
def display_mismatch(message: Message) -> Places:
    for path in _CONCEPTS:
        kind, _, rest = path.partition(".")
        entries = [Entry("Task", message.data)] if kind == message.data.get("resourceType") == "Task" else message.all(kind)
        for entry in entries:
            for place, concept in _each(entry.path, entry.resource, rest.split(".")):
                yield from _other_words(path, place, concept)


@rule("TEXT_DISAGREES")
def directions_mismatch(message: Message) -> Places:
    """A-20: the prescriber's words go to the pharmacy as they are, so they must not say another dose."""
    for item in message.items:
        stated = _codes_of(item.resource)
        for place, dosage in _each(item.path, item.resource, ["dosageInstruction"]):
            for name in ("text", "patientInstruction"):
                if contradicts(text(dosage, name), stated):
                    yield f"{place}.{name}"
            for name in ("additionalInstruction", "method", "site"):
                for there, concept in _each(place, dosage, [name]):
                    words = text(concept, "text")
                    if contradicts(words, stated) or (name == "site" and "眼" in words and stated.route not in ("", "OPH")):
                        yield f"{there}.text"


def _other_words(path: str, place: str, concept: Json) -> Iterator[str]:
    ours = [coding for coding in members(concept, "coding")
            if isinstance(coding, dict) and str(coding.get("system")) in SYSTEMS[f"{path}.coding"]]
    if path in _NAMED:
        display = next((text(c, "display") for c in ours if c.get("system") == _NAMED[path] and text(c, "display")), "")
        if display and text(concept, "text") not in ("", display):
            yield f"{place}.text"
        ours = [coding for coding in ours if coding.get("system") != _NAMED[path]]
        yield from (f"{place}.coding[{concept['coding'].index(coding)}].display"
                    for coding in ours if text(coding, "display"))
        return
    for coding in ours:
        if _another(coding, text(coding, "display")):
            yield f"{place}.coding[{concept['coding'].index(coding)}].display"
    if ours and text(concept, "text") and all(_another(coding, text(concept, "text")) for coding in ours):
        yield f"{place}.text"


def _another(coding: Json, words: str) -> bool:
    """Whether words are none that are published for a code; for a frequency, whether they do not say the same rhythm."""
    system, code = coding.get("system"), coding.get("code")
    if not words or not isinstance(system, str) or not isinstance(code, str):
        return False
    displays = codes.displays().get((system, code))
    if displays is None or words.casefold() in displays:
        return False
    often = _per_day(code) if system == codes.code_system("frequency") else None
    return often is None or rhythms(words) != [(often, often)]


def _codes_of(resource: Json) -> Coded:
    dosage, pack = member(resource, "dosageInstruction"), parts(resource, "pack")
    dose, strength = member(dosage, "doseAndRate", "doseQuantity"), member(pack.get("strength"), "valueQuantity")
    # The words to a piece speak of the whole decoction, its dose is the weight of the piece.
    piece = coded(resource.get("category"), codes.code_system("drug-kind")) == "tcm_piece"
    return Coded(
        per_day=_per_day(coded(member(dosage, "timing", "code"), codes.code_system("frequency"))),
        dose=None if piece else _positive(member(dose, "value")),
        dose_unit=unit(dose),
        strength=_positive(member(strength, "value")),
        strength_unit=unit(strength),
        counted=unit(member(resource, "dispenseRequest", "quantity")),
        route=coded(member(dosage, "route"), codes.code_system("route")),
    )


def _per_day(frequency: str) -> Fraction | None:
    times, days = RHYTHMS.get(frequency, (0, 0))
    return Fraction(times, days) if times and days else None


def _positive(value: object) -> Decimal | None:
    amount = number(value)
    return amount if amount is not None and exact(amount) is not None else None


# Units beside codes.

@rule("UNIT_DISAGREES")
def unit_and_code(message: Message) -> Places:
    for kind, paths in _QUANTITIES.items():
        for entry in message.all(kind):
            for names in paths:
                yield from (f"{place}.code" for place, quantity in _each(entry.path, entry.resource, list(names))
                            if not _one_unit(quantity))
    for item in message.items:
        strength = member(parts(item.resource, "pack").get("strength"), "valueQuantity")
        if isinstance(strength, dict) and not _one_unit(strength):
            yield f"{item.path}.extension('{codes.extension('pack')}')"


def _one_unit(quantity: Json) -> bool:
    """Whether unit and code are the same; a system other than UCUM cannot be judged."""
    word, code, system = unit(quantity), quantity.get("code"), quantity.get("system")
    if not isinstance(code, str) or not word:
        return system in (None, codes.UCUM)
    if system != codes.UCUM:
        return False
    if word.casefold() == code.casefold() == code or word == code or word.casefold() in _WORDS.get(code, ()):
        return True
    if counted := _COUNTED.fullmatch(code):
        return counted[1] == word
    return code != "1" and factor(word, code) == 1


# The same fact in two resources.

@rule("CHRONIC_DISAGREES")
def chronic_disease_mismatch(message: Message) -> Places:
    claimed = [extended(coverage.resource, "chronic-disease", "valueCode") for coverage in message.all("Coverage")]
    for condition in message.all("Condition"):
        for index, coding in enumerate(members(member(condition.resource, "code"), "coding")):
            if member(coding, "system") == codes.code_system("chronic-disease") and member(coding, "code") not in claimed:
                yield f"{condition.path}.code.coding[{index}].code"


@rule("REFERENCE_TYPE")
def reference_type_mismatch(message: Message) -> Places:
    for path, node in _references(message):
        kind, named = message.types.get(str(member(node, "reference"))), member(node, "type")
        if kind and isinstance(named, str) and named != kind:
            yield path


@rule("DAYS_SUPPLY")
def supply_over_a_year(message: Message) -> Places:
    for item in message.items:
        days = supply_days(item.resource)
        value = number(member(item.resource, "dispenseRequest", "expectedSupplyDuration", "value"))
        if days is not None and value is not None and value <= MAX_SUPPLY < days:
            yield f"{item.path}.dispenseRequest.expectedSupplyDuration.value"


def supply_days(resource: Json) -> int | None:
    """How many days a supply is for: weeks are seven of them. None where the message does not say."""
    duration = member(resource, "dispenseRequest", "expectedSupplyDuration")
    value, length = number(member(duration, "value")), SUPPLY_DAYS.get(text(duration, "code"))
    return int(value) * length if value is not None and value == int(value) and length else None


# Walking.

def _each(path: str, node: object, names: list[str]) -> Iterator[At]:
    """Every object under these names, one below the other, with its place."""
    rows = [(path, node)]
    for name in names:
        below: list[At] = []
        for here, holder in rows:
            value = holder.get(name) if isinstance(holder, dict) else None
            if isinstance(value, list):
                below += [(fhirpath(here, (name, index)), item) for index, item in enumerate(value)]
            elif value is not None:
                below.append((fhirpath(here, (name,)), value))
        rows = below
    yield from ((here, found) for here, found in rows if isinstance(found, dict))


def _references(message: Message) -> Iterator[At]:
    for entry in (entry for kind in sorted(set(message.types.values())) for entry in message.all(kind)):
        for name, value in entry.resource.items():
            for index, node in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(node, dict) and "reference" in node and "type" in node:
                    yield fhirpath(entry.path, (name, index) if isinstance(value, list) else (name,)) + ".type", node
