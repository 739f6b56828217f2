"""Each hospital's format: how its samples are mutated, and how a place is named in its list of what it leaves out."""

import csv
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.prove.mutations import csv_messages, hl7_messages, json_messages, workbooks, xml_messages
from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values

ROOT = Path(__file__).resolve().parents[3]
OURS = "https://sanyi.example/fhir/StructureDefinition/"
FHIR = "{http://hl7.org/fhir}"
HL7 = "{urn:hl7-org:v3}"

Mutate = Callable[[str, bytes, Values], Iterator[Mutation]]
Places = Callable[[str, bytes], Iterator[tuple[str, str]]]


def mutations_of(dialect: str) -> Mutate:
    return _FORMATS[dialect][0]


def places_of(dialect: str) -> Places:
    return _FORMATS[dialect][1]


# FHIR.

def fhir_place(message: Any, path: json_messages.Path) -> str:
    """`Patient.name.text`; an extension by the last part of its address: `Patient.extension(allergy-group).valueCode`."""
    node, where = message, str(message.get("resourceType", "Resource"))
    for part in path:
        node = node[part] if isinstance(node, list) else node.get(part) if isinstance(node, dict) else None
        if part == "resource" and isinstance(node, dict):
            where = str(node.get("resourceType", "Resource"))
        elif isinstance(part, str):
            where += f".{part}"
        elif where.endswith("extension") and isinstance(node, dict):
            where += f"({str(node.get('url', '')).rpartition('/')[2]})"
    return where


_OF_TYPE: Mapping[str, Any] = {
    "string": MARK, "markdown": MARK, "code": "mark", "id": "mark",
    "uri": "urn:mark", "url": "urn:mark", "canonical": "urn:mark",
    "boolean": True, "integer": 7, "positiveInt": 7, "unsignedInt": 7, "decimal": 7, "date": "2026-11-01",
    "dateTime": "2026-11-01T08:00:00+08:00", "instant": "2026-11-01T08:00:00+08:00", "time": "08:00:00", "base64Binary": "bWFyaw==",
    "CodeableConcept": {"text": MARK}, "Coding": {"system": "urn:mark", "code": "mark", "display": MARK},
    "Identifier": {"system": "urn:mark", "value": "mark"}, "Reference": {"display": MARK}, "Annotation": {"text": MARK},
    "Period": {"start": "2020-11-01", "end": "2021-11-01"}, "Quantity": {"value": 7, "unit": "mg"},
    "Duration": {"value": 7, "unit": "d"},
    "Range": {"low": {"value": 7}}, "Ratio": {"numerator": {"value": 7}, "denominator": {"value": 1}},
    "Timing": {"event": ["2026-11-01T08:00:00+08:00"]}, "HumanName": {"text": MARK}, "Address": {"text": MARK},
    "ContactPoint": {"system": "phone", "value": "19900009999"}, "Attachment": {"title": MARK}, "Money": {"value": 7},
    "Meta": {"tag": [{"system": "urn:mark", "code": "mark"}]},
    "Narrative": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "Extension": {"url": "urn:mark", "valueString": MARK}, "Signature": {"when": "2026-11-01T08:00:00+08:00"},
    "Dosage": {"text": MARK}, "SimpleQuantity": {"value": 7, "unit": "mg"}, "Age": {"value": 7, "unit": "a"},
}


@cache
def _elements() -> Mapping[str, Mapping[str, Any]]:
    """Type or dotted path of R4B -> its elements, with a value each; a choice with one of its types."""
    bundle = json.loads((ROOT / "fhir_profiles" / "generated" / "r4b.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for entry in bundle["entry"]:
        definition = entry["resource"]
        if definition["resourceType"] != "StructureDefinition":
            continue
        for element in definition["snapshot"]["element"]:
            owner, _, name = element["path"].rpartition(".")
            if not owner or name in ("id", "resourceType"):
                continue
            for kind in [t["code"] for t in element.get("type", ())][:6]:
                value = _OF_TYPE.get(kind, {"id": "mark"} if kind in ("BackboneElement", "Element") else None)
                if value is None:
                    continue
                many = element.get("max", "1") != "1"
                full = name.replace("[x]", kind[:1].upper() + kind[1:]) if name.endswith("[x]") else name
                if full == "active":
                    value = False  # that it is says no more than nothing
                found.setdefault(owner, {}).setdefault(full, [value] if many else value)
    return found


_DATATYPES = {
    "name": "HumanName", "telecom": "ContactPoint", "address": "Address",
    "identifier": "Identifier", "groupIdentifier": "Identifier",
    "coding": "Coding", "dosageInstruction": "Dosage", "timing": "Timing", "repeat": "Timing.repeat", "code": "CodeableConcept",
    "doseQuantity": "Quantity", "quantity": "Quantity", "valueQuantity": "Quantity", "expectedSupplyDuration": "Quantity",
    "validityPeriod": "Period", "period": "Period", "route": "CodeableConcept", "category": "CodeableConcept",
    "type": "CodeableConcept",
    "medicationCodeableConcept": "CodeableConcept", "courseOfTherapyType": "CodeableConcept", "doseAndRate": "Dosage.doseAndRate",
    "dispenseRequest": "MedicationRequest.dispenseRequest", "entry": "Bundle.entry", "note": "Annotation", "class": "Coding",
}


def _fhir_known(message: Any, path: json_messages.Path) -> Mapping[str, Any]:
    node = message
    for part in path:
        node = node[part]
    if isinstance(node, dict) and "resourceType" in node:
        return _elements().get(str(node["resourceType"]), {})
    name = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    known = _elements().get(_DATATYPES.get(name, ""), {})
    # The rank of an only number ranks nothing: `_fhir` gives one to a second.
    return {key: value for key, value in known.items() if (name, key) != ("telecom", "rank")}


def _fhir(name: str, raw: bytes, values: Values) -> Iterator[Mutation]:
    yield from json_messages.mutations(raw, fhir_place, values, _fhir_known)
    message = json.loads(raw)
    for path, value in json_messages.walk(message):
        if path and path[-1] == "telecom" and isinstance(value, list) and value:
            preferred = [*value, value[0] | {"value": "19900009999", "rank": 1}]
            yield Mutation(Kind.ADDED, f"{fhir_place(message, path)}.rank", json_messages.with_value(message, path, preferred),
                           "another number that is called first")


def _fhir_places(name: str, raw: bytes) -> Iterator[tuple[str, str]]:
    yield from json_messages.places(raw, fhir_place)


# 电子处方.

def erx_place(message: Any, path: json_messages.Path) -> str:
    return ".".join(str(part) for part in path if isinstance(part, str)) or "(message)"


@cache
def _erx_fields() -> Mapping[str, Mapping[str, Any]]:
    """Object -> its fields in the interface's own table; `extras` has none there."""
    found: dict[str, dict[str, Any]] = {}
    with (ROOT / "adapters" / "dialects" / "erx_fields.csv").open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["direction"] == "request":
                owner = ".".join(part for part in (row["transaction"], row["node"]) if part)
                found.setdefault(owner, {})[row["field"]] = MARK if row["type"] == "C" else "7"
    return found


def _erx_known(message: Any, path: json_messages.Path) -> Mapping[str, Any]:
    return _erx_fields().get(erx_place(message, path), {})


def _erx(name: str, raw: bytes, values: Values) -> Iterator[Mutation]:
    yield from json_messages.mutations(raw, erx_place, values, _erx_known)


def _erx_places(name: str, raw: bytes) -> Iterator[tuple[str, str]]:
    yield from json_messages.places(raw, erx_place)


# CDA.

def xpath(lineage: tuple[ElementTree.Element, ...], attribute: str) -> str:
    """`/ClinicalDocument/recordTarget/…/@value`, without prefixes and positions; statements with their code: `section(29548-5)`."""
    elements = "".join(f"/{_name(element)}{f'({code})' if (code := _code(element)) else ''}" for element in lineage)
    return elements + (f"/@{attribute.rpartition('}')[2]}" if attribute else "")


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _code(element: ElementTree.Element) -> str:
    """The code of a section or observation, or of the one an element is around."""
    if _name(element) in ("section", "observation"):
        return next((child.get("code", "") for child in element if _name(child) == "code"), "")
    if _name(element) in ("component", "entry", "entryRelationship"):
        return next((_code(child) for child in element if _name(child) in ("section", "observation")), "")
    return ""


_CDA_CHILDREN: Mapping[str, Sequence[str]] = {
    "substanceAdministration": (
        "precondition", "rateQuantity", "maxDoseQuantity", "approachSiteCode", "repeatNumber", "priorityCode"),
    "observation": ("methodCode", "targetSiteCode", "interpretationCode"),
    "patient": ("deceasedInd", "birthTime", "maritalStatusCode", "guardian"),
    "patientRole": ("addr", "telecom"),
    "ClinicalDocument": ("relatedDocument", "authorization", "documentationOf", "participant"),
}


def _cda_known(lineage: tuple[ElementTree.Element, ...]) -> tuple[Mapping[str, str], list[str]]:
    name = lineage[-1].tag.rpartition("}")[2]
    children = [f'<{child} xmlns="urn:hl7-org:v3" value="1" code="mark" displayName="{MARK}">{MARK}</{child}>'
                for child in (*_CDA_CHILDREN.get(name, ()), "entryRelationship", "text", "mark")]
    return {"nullFlavor": "UNK", "negationInd": "true", "value": "7", "unit": "mg", "use": "BAD"}, children


def _cda(name: str, raw: bytes, values: Values) -> Iterator[Mutation]:
    yield from xml_messages.mutations(raw, xpath, values, _cda_known)


def _cda_places(name: str, raw: bytes) -> Iterator[tuple[str, str]]:
    yield from xml_messages.places(raw, xpath)


# HL7 v2.

def _hl7(name: str, raw: bytes, values: Values) -> Iterator[Mutation]:
    yield from hl7_messages.mutations(raw, values)


def _hl7_places(name: str, raw: bytes) -> Iterator[tuple[str, str]]:
    yield from hl7_messages.places(raw)


# Files: tables in CSV, in workbooks and in XML.

@cache
def _headings() -> tuple[str, ...]:
    manifest = ROOT / "adapters" / "hospitals" / "jinan_county" / "manifest.toml"
    return tuple(tomllib.loads(manifest.read_text(encoding="utf-8"))["columns"])


def heading(lineage: tuple[ElementTree.Element, ...], attribute: str) -> str:
    return attribute or lineage[-1].tag.rpartition("}")[2]


def _box_known(lineage: tuple[ElementTree.Element, ...]) -> tuple[Mapping[str, str], list[str]]:
    return {"mark": MARK}, [f"<没人知道的列>{MARK}</没人知道的列>"] if len(lineage[-1]) else []


def _box(name: str, raw: bytes, values: Values) -> Iterator[Mutation]:
    if name.endswith(".xml"):
        yield from xml_messages.mutations(raw, heading, values, _box_known)
    elif name.endswith(".xlsx"):
        yield from workbooks.mutations(raw, values, _headings())
    else:
        yield from csv_messages.mutations(raw, values, _headings())


def _box_places(name: str, raw: bytes) -> Iterator[tuple[str, str]]:
    if name.endswith(".xml"):
        yield from xml_messages.places(raw, heading)
    elif name.endswith(".xlsx"):
        yield from workbooks.places(raw)
    else:
        yield from csv_messages.places(raw)


_FORMATS: Mapping[str, tuple[Mutate, Places]] = {
    "fhir-r4-push": (_fhir, _fhir_places), "erx": (_erx, _erx_places), "cda": (_cda, _cda_places), "hl7v2": (_hl7, _hl7_places),
    "dropbox": (_box, _box_places),
}
