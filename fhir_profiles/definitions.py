"""What we publish, as it was generated: profiles, extensions, value sets and the R4B types they are built on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "fsh"
GENERATED = HERE / "generated"
BASE = "https://sanyi.example/fhir"
"""Canonical base of everything we define in FHIR."""

Json = dict[str, Any]
Code = tuple[str, str]
"""System and code."""


@dataclass(frozen=True)
class Definitions:
    """Everything published, by canonical address without version."""

    structures: Mapping[str, Json]
    value_sets: Mapping[str, frozenset[Code]]


@lru_cache(maxsize=1)
def definitions() -> Definitions:
    """Read once. Raises ValueError for a value set that is not written down code by code."""
    core = json.loads((GENERATED / "r4b.json").read_text(encoding="utf-8"))["entry"]
    resources = [entry["resource"] for entry in core] + [_read(f) for f in sorted(GENERATED.glob("*-*.json"))]
    structures = {r["url"]: r for r in resources if r["resourceType"] == "StructureDefinition"}
    systems = {r["url"]: r for r in resources if r["resourceType"] == "CodeSystem"}
    sets = {r["url"]: _expanded(r, systems) for r in resources if r["resourceType"] == "ValueSet"}
    return Definitions(structures, sets)


def codes_of(value_set: str) -> frozenset[str]:
    """The codes of a value set of ours, e.g. `drug-kind`."""
    value = _read(GENERATED / f"ValueSet-{value_set}.json")
    systems = {include["system"] for include in value["compose"]["include"]}
    local = {s: _read(GENERATED / f"CodeSystem-{s.rpartition('/')[2]}.json") for s in systems if s.startswith(BASE)}
    return frozenset(code for _, code in _expanded(value, local))


def system_concepts(code_system: str) -> Mapping[str, Json]:
    """The concepts of a code system of ours, by code."""
    return {c["code"]: c for c in _read(GENERATED / f"CodeSystem-{code_system}.json")["concept"]}


def published_displays() -> Mapping[Code, str]:
    """The words published with a code: in the code systems of ours, and beside others' codes in our value sets."""
    displays: dict[Code, str] = {}
    for file in sorted(GENERATED.glob("CodeSystem-*.json")):
        system = _read(file)
        displays |= {(system["url"], c["code"]): c["display"] for c in system.get("concept", ()) if "display" in c}
    for file in sorted(GENERATED.glob("ValueSet-*.json")):
        for include in _read(file)["compose"]["include"]:
            displays |= {(include["system"], c["code"]): c.get("display", c["code"]) for c in include.get("concept", ())}
    return displays


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _read(file: Path) -> Json:
    resource: Json = json.loads(file.read_text(encoding="utf-8"))
    return resource


def _expanded(value_set: Json, systems: Mapping[str, Json]) -> frozenset[Code]:
    concepts_of_all: set[Code] = set()
    compose = value_set["compose"]
    for include in compose["include"]:
        system = include["system"]
        concepts = include.get("concept") or (systems.get(system) or {}).get("concept")
        if not concepts or include.get("filter") or compose.get("exclude"):
            raise ValueError(f"{value_set['url']}: not written down code by code")
        concepts_of_all |= {(system, concept["code"]) for concept in concepts}
    return frozenset(concepts_of_all)
