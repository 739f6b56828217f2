"""What a rule sees of a message, and where rules are registered.

A rule is a function that yields every place where it is broken; it may meet anything anywhere and never raises.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from fhir_profiles import codes
from fhir_profiles.message import BEIJING, Json, coded, member, members, moment, text

_ENTRY = re.compile(r"Bundle\.entry\[([0-9]+)\]")

CLOCK_SKEW = timedelta(minutes=10)
"""How wrong the clock of a hospital may be."""

Places = Iterator[str]
"""FHIRPaths at which a rule is broken."""


@dataclass(frozen=True)
class Version:
    """A version of the contract and the days (Beijing) of the messages that may name it."""

    version: str
    valid_from: date
    valid_until: date | None = None

    def accepted(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_until is None or on <= self.valid_until)


@dataclass(frozen=True)
class Entry:
    """A resource of the message."""

    path: str
    resource: Json = field(repr=False)


class Message:
    """A message as the rules read it; it may hold anything anywhere."""

    def __init__(self, data: Json, hospital: str, versions: tuple[Version, ...], institutions: Collection[str] = ()) -> None:
        self.data = data
        self.hospital = hospital
        self.institutions = institutions
        """Codes the hospital may prescribe under; empty if they are not known."""
        self.versions = versions
        self.texts: list[tuple[str, str, str]] | None = None
        """What `texts` collected."""
        self.types: dict[str, str] = {}
        """Type of resource by fullUrl."""
        self._entries: dict[str, list[Entry]] = {}
        self.lines: dict[int, int] = {}
        """Line of an item (1-based) by the index of its entry."""
        for index, entry in enumerate(members(data, "entry")):
            resource, url = member(entry, "resource"), member(entry, "fullUrl")
            kind = member(resource, "resourceType")
            if isinstance(url, str):
                self.types.setdefault(url, kind if isinstance(kind, str) else "")
            if isinstance(kind, str) and isinstance(resource, dict):
                entries = self._entries.setdefault(kind, [])
                entries.append(Entry(f"Bundle.entry[{index}].resource", resource))
                if kind == "MedicationRequest":
                    self.lines[index] = len(entries)
        self.sent = moment(member(data, "timestamp"))
        self.issued = next(
            (t for t in (moment(member(e.resource, "authoredOn")) for e in self.all("MedicationRequest")) if t), None)
        at = self.sent or self.issued or moment(data.get("authoredOn"))
        self.on: date | None = at.astimezone(BEIJING).date() if at else None
        """The day of the message in Beijing."""

    def resources(self) -> list[tuple[str, Json]]:
        """The message itself and every resource in it, with their places."""
        root = "Task" if self.data.get("resourceType") == "Task" else "Bundle"
        return [(root, self.data), *((entry.path, entry.resource) for kind in self._entries.values() for entry in kind)]

    def all(self, kind: str) -> list[Entry]:
        return self._entries.get(kind, [])

    @property
    def items(self) -> list[Entry]:
        return self.all("MedicationRequest")

    def place(self, path: str) -> int:
        """The entry a path is about; -1 for the message as a whole."""
        match = _ENTRY.match(path)
        return int(match[1]) if match else -1

    @property
    def issued_on(self) -> date | None:
        """The day of issue in Beijing."""
        return self.issued.astimezone(BEIJING).date() if self.issued else None


def resident_id_of(person: Json) -> str:
    """The resident id number of a patient or guardian as it was sent, empty if there is none."""
    return next((text(i, "value") for i in members(person, "identifier")
                 if member(i, "system") == codes.RESIDENT_ID), "")


def drug_kind(item: Entry) -> str:
    """The kind of drug an item says it is, empty if none."""
    return coded(item.resource.get("category"), codes.code_system("drug-kind"))


Broken = Callable[[Message], Places]
BUNDLE_RULES: list[tuple[str, Broken]] = []
CANCEL_RULES: list[tuple[str, Broken]] = []


def rule(code: str, among: list[tuple[str, Broken]] = BUNDLE_RULES) -> Callable[[Broken], Broken]:
    """Register a function that yields every place where a rule of the catalogue is broken."""
    def register(broken: Broken) -> Broken:
        among.append((code, broken))
        return broken
    return register
