"""Whether a hospital's message keeps the contract: every finding in one pass, none of them with a value in it.

`structure` enforces the published definitions. `checks` has the rules that no definition can express: across elements
and resources, about the sending hospital, and about the day of the message. Nothing raises: for every message the
answer is a list of findings.
"""

import tomllib
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from domain.findings import Finding
from fhir_profiles import structure
from fhir_profiles.catalogue import RULES
from fhir_profiles.checks import texts
from fhir_profiles.closed import unread
from fhir_profiles.message import MAX_FINDINGS, Json, Report, fhirpath, members, unsound
from fhir_profiles.rules import BUNDLE_RULES, CANCEL_RULES, Message, Places, Version
from fhir_profiles.shapes import profiles

MAX_ENTRIES = 100

# Compiled when the process starts: what cannot be enforced is refused then, and no message waits for it.
for _name in ("prescription-bundle", "cancel"):
    profiles().shape(_name)

VERSIONS = tuple(Version(**fields) for fields in tomllib.loads(
    (Path(__file__).parent / "versions.toml").read_text(encoding="utf-8"))["version"])
"""Of the contract."""


def check_data(data: Json, hospital: str = "", institutions: Collection[str] = ()) -> list[Finding]:
    """Everything wrong with a Bundle or a cancel Task that is JSON already. Never raises.

    `institutions` are the codes its hospital may prescribe under; empty if they are not known.
    """
    report = Report()
    check_bundle_data(data, hospital, report, institutions=institutions)
    return report.findings


def check_bundle_data(data: Json, hospital: str, report: Report, versions: Collection[Version] = VERSIONS,
                      institutions: Collection[str] = ()) -> None:
    """The same into a report."""
    if len(members(data, "entry")) > MAX_ENTRIES:
        report.add("TOO_MANY_ENTRIES", "Bundle.entry")
        return
    cancel = data.get("resourceType") == "Task"
    message = Message(data, hospital, tuple(versions), institutions)
    flaws = [(fault.path, fault.code) for fault in structure.faults(
        "cancel" if cancel else "prescription-bundle", data, "Task" if cancel else "Bundle", message.types.get)]
    reported, paths = set(flaws), {path for path, _ in flaws}
    for code, broken in (CANCEL_RULES if cancel else BUNDLE_RULES):
        if message.on is None or RULES[code].in_force(message.on):
            flaws += [(path, code) for path in broken(message) if (path, code) not in reported
                      and not (code in texts.CODES and _reported_already(path, paths))]
    flaws += [(path, "ELEMENT_NOT_READ") for path in _not_read(message, {path for path, _ in flaws})]
    if flaws:
        flaws = _first_hand(flaws, data)
    for index, path, code in sorted((message.place(path), path, code) for path, code in flaws):
        report.add(code, path, message.lines.get(index))


def _reported_already(path: str, paths: set[str]) -> bool:
    """Whether the definitions have a finding about a text, or about an element around it within its resource."""
    return any(place in paths for place in _places_around(path) if not place.endswith((".resource", "]", "Bundle", "Task")))


def _not_read(message: Message, paths: set[str]) -> Places:
    """What would be lost (`closed`), unless something is said of it already: of it, or of something in it."""
    around = {place for path in paths for place in _places_around(path)}
    for root, resource in message.resources():
        for names in unread(resource):
            path = fhirpath(root, names)
            # An entry of a list that is not one of ours: what is wrong with the list says why.
            above = _places_around(path) if isinstance(names[-1], int) else ()
            if path not in around and not any(place in paths for place in above if len(place) > len(root)):
                yield path


def _first_hand(faults: list[tuple[str, str]], data: Json) -> list[tuple[str, str]]:
    """Without the findings that only follow from a value that is no good JSON (`unsound`), which has a finding itself.

    Such a finding is about that value, an element around it in its resource, or the extension or reference
    it was to name. It may also come from comparing the value with other resources.
    """
    flaws = [fhirpath(str(data["resourceType"]), names) for names in islice(unsound(data), MAX_FINDINGS)]
    if not flaws:
        return faults
    resources = [flaw[:flaw.rfind(".resource.") + len(".resource")] if ".resource." in flaw else "Bundle" for flaw in flaws]
    around = {place for flaw, resource in zip(flaws, resources, strict=True) for place in _places_around(flaw)
              if len(place) > len(resource)}
    nameless = [flaw.removesuffix(".url") for flaw in flaws if flaw.endswith(".url")]
    named = tuple(start for place in nameless for start in (f"{place}.", f"{place[:place.rfind('[')]}('"))
    beside = {flaw.rpartition(".")[0] for flaw in flaws}
    lost = {"ITEMS_DISAGREE", "REFERENCE_BROKEN" if any(flaw.endswith(".fullUrl") for flaw in flaws) else ""}
    return [(path, code) for path, code in faults if not (
        path in around or path.startswith(named) or code in lost
        or (code == "UNIT_DISAGREES" and path.rpartition(".")[0] in beside))]


def _places_around(path: str) -> list[str]:
    """The place and every place around it."""
    return [path[:at] for at, sign in enumerate(path) if sign in ".["] + [path]
