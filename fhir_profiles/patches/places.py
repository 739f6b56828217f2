"""A message as it is searched: the value a finding is about, what holds it, and all within it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from domain.findings import Finding
from fhir_profiles.message import Json, fhirpath, members

_STEP = re.compile(r"\.?(?:(?P<call>\w+)\((?P<argument>[^)]*)\)|(?P<name>[A-Za-z_]\w*))(?:\[(?P<index>\d+)\])?")


@dataclass
class Searched:
    """A message in one round of cures, and what was looked at in it already."""

    data: Json
    hospital: str
    walked: dict[int, Any] = field(default_factory=dict)
    """Objects and lists all of which was looked at, by identity; kept, so that no other gets the same one."""
    looked_at: dict[tuple[int, str | int], Any] = field(default_factory=dict)
    """Single places: what holds them, by its identity and the key in it."""

    @cached_property
    def root(self) -> "At":
        return At({"": self.data}, "", self.data, (), self)

    @cached_property
    def urls(self) -> dict[str, Any]:
        """The fullUrls by their writing in lower case."""
        return {str(entry.get("fullUrl")).casefold(): entry.get("fullUrl")
                for entry in members(self.data, "entry") if isinstance(entry, dict)}

    @cached_property
    def references(self) -> dict[str, list["At"]]:
        """Where each is referred to."""
        places: dict[str, list[At]] = {}
        for at in walk(self.data, self.root, {}):
            if at.name == "reference" and isinstance(at.value, str):
                places.setdefault(at.value, []).append(at)
        return places


@dataclass(frozen=True)
class At:
    holder: Any
    key: str | int
    resource: Json
    names: tuple[str, ...]
    """Element names from the resource to the value, without indices."""
    message: Searched

    @property
    def hospital(self) -> str:
        return self.message.hospital

    @property
    def there(self) -> bool:
        """Whether no cure has taken it out, or given it another name."""
        return int(self.key) < len(self.holder) if isinstance(self.holder, list) else self.key in self.holder

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    @property
    def beside(self) -> Json:
        """What stands beside the value, under other names."""
        return self.holder if isinstance(self.holder, dict) else {}

    @property
    def name(self) -> str:
        return self.names[-1] if self.names else ""

    @property
    def kind(self) -> str:
        return str(self.resource.get("resourceType"))


def places_of(whole: Searched, finding: Finding) -> list[tuple[str, At]]:
    """The value a finding is about and all within it; what holds it comes first, without what else that holds.

    Only what was not looked at in this round. All are found before the first is cured: a cure may rename what comes later.
    """
    at = whole.root
    path = start = str(whole.data.get("resourceType"))
    rest, position = finding.path.partition(".")[2], 0
    around = [(path, at)]
    there = True
    while there and position < len(rest) and (step := _STEP.match(rest, position)):
        position = step.end()
        inner = _stepped(at, step)
        there = inner is not None  # or something is missing here, or only misspelt
        if inner is not None:
            at, path = inner, f"{start}.{rest[:position]}"
            around.append((path, at))
    near = around[-2:]
    if there:
        near = [*around[-3:], *((path, inner) for inner in walk(at.value, at, whole.walked))]
    fresh = []
    for place, at_place in near:
        mark = (id(at_place.holder), at_place.key)
        if mark not in whole.looked_at:
            whole.looked_at[mark] = at_place.holder
            fresh.append((place, at_place))
    return fresh


def _stepped(at: At, step: re.Match[str]) -> At | None:
    node = at.value
    if not isinstance(node, dict):
        return None
    if step["call"] == "extension":
        url = step["argument"].strip("'\"").casefold()
        rows = node.get("extension")
        for index, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict) and str(row.get("url")).casefold() == url:
                return _inner(at, rows, index, "extension")
        return None
    name = step["name"]
    key = name if name in node else next((k for k in node if fhirpath("", (k,)) == f".{name}"), None)
    if key is None:
        return None
    value = node[key]
    if isinstance(value, list) and step["index"] is not None:
        return _inner(at, value, int(step["index"]), key) if int(step["index"]) < len(value) else None
    return _inner(at, node, key, key)


def _inner(at: At, holder: Any, key: str | int, name: str) -> At:
    value = holder[key]
    if isinstance(value, dict) and "resourceType" in value:
        return At(holder, key, value, (), at.message)
    return At(holder, key, at.resource, (*at.names, name), at.message)


def walk(node: Any, at: At, walked: dict[int, Any]) -> Iterator[At]:
    """Everything within a value, from the inside out, but for what was walked before."""
    if not isinstance(node, dict | list) or id(node) in walked:
        return
    walked[id(node)] = node
    # An item of a list goes by the name of the list.
    around = at if isinstance(node, dict) else At(at.holder, at.key, at.resource, at.names[:-1], at.message)
    rows = [(name, name) for name in node] if isinstance(node, dict) else [
        (index, at.name) for index in reversed(range(len(node)))]
    for key, name in rows:
        inner = _inner(around, node, key, name)
        yield from walk(node[key], inner, walked)
        yield inner
