"""Valid resources of the published examples, and ways to spoil them that a hospital's interface might think of."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_profiles.definitions import BASE, GENERATED

Json = dict[str, Any]
Spot = tuple[str | int, ...]


@dataclass(frozen=True)
class Case:
    """A resource and the profile it is to keep."""

    profile: str
    """Id, e.g. `patient`."""
    resource: Json
    how: str = "valid"
    spot: Spot = ()
    """Where it was spoilt."""

    @property
    def url(self) -> str:
        return f"{BASE}/StructureDefinition/{self.profile}"


def valid_cases() -> list[Case]:
    """Every resource of the examples, by itself."""
    cases = []
    for file in sorted(GENERATED.glob("*-example-*.json")):
        resource = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        for one in [entry["resource"] for entry in resource["entry"]] if "entry" in resource else [resource]:
            if profile := one["meta"].pop("profile", None):
                cases.append(Case(profile[0].rpartition("/")[2], {k: v for k, v in one.items() if v != {}}))
    return cases


def mutants(case: Case) -> Iterator[Case]:
    """Every way of spoiling every element of a resource once."""
    for spot in _spots(case.resource):
        if spot in (("resourceType",), ("id",)):
            continue
        value = _at(case.resource, spot)
        for how, spoilt in _spoilt(spot, value):
            yield Case(case.profile, _changed(case.resource, spot, spoilt), how, spot)
    yield Case(case.profile, case.resource | {"nickname": "x"}, "unknown element", ("nickname",))


_GONE = object()


def _spoilt(spot: Spot, value: Any) -> Iterator[tuple[str, Any]]:
    """What may be done to one value."""
    name = spot[-1]
    if isinstance(name, str):
        yield "dropped", _GONE
    if isinstance(value, dict):
        yield "unknown element", value | {"colour": "red"}
        yield "wrong type", "text"
        yield "empty", {}
    elif isinstance(value, list):
        yield "wrong type", value[0]
        yield "empty", []
        yield "repeated", [*value, copy.deepcopy(value[0])]
    elif isinstance(value, bool):
        yield "wrong type", "yes"
        yield "other value", not value
    elif isinstance(value, int | Decimal):
        yield "wrong type", "many"
        yield "negative", -abs(value) - 1
        yield "fraction", Decimal(str(value)) + Decimal("0.5")
        yield "too much", 100_000
    else:
        yield "wrong type", 7
        yield "repeated", [value, value]
        if name == "reference":
            yield "wrong target", "Substance/1"
        elif name in ("code", "status", "intent", "gender", "valueCode", "use", "outcome"):
            yield "wrong code", "no-such-code"
            yield "malformed", "no such  code"
        elif name in ("system", "url"):
            yield "wrong system", "urn:nobody:knows"
        else:
            yield "malformed", f"{value} ?"
            yield "blank", " "


def _spots(node: Any, spot: Spot = ()) -> Iterator[Spot]:
    if spot:
        yield spot
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in children:
        yield from _spots(value, (*spot, name))


def _at(node: Any, spot: Spot) -> Any:
    for name in spot:
        node = node[name]
    return node


def _changed(source: Json, spot: Spot, value: Any) -> Json:
    result = copy.deepcopy(source)
    around = _at(result, spot[:-1])
    if value is _GONE:
        del around[spot[-1]]
    else:
        around[spot[-1]] = value
    return result
