"""A refused message is searched for faults that can be cured, in rounds, and offered if none is left."""

import copy
import hashlib
from collections.abc import Callable
from typing import Any

from domain.findings import Finding
from fhir_profiles.checker import check_data
from fhir_profiles.message import Json
from fhir_profiles.patches.cures import CURES_OF_A_VALUE, CURES_OF_AN_OBJECT, Change
from fhir_profiles.patches.places import At, Searched, places_of

ROUNDS = 4
"""One cure may uncover another fault."""
MAX_VALUES = 2_000
"""Objects, lists and simple values in it; five items take some 700."""
MAX_FAULTS = 30


def put_right(data: Json, hospital: str) -> tuple[Json | None, list[Change]]:
    """The message with its mechanical faults cured, or None if there are others, and what was changed.

    None too if it is larger or has more faults than are searched.
    """
    if not _is_small(data):
        return None, []
    data = copy.deepcopy(data)
    changes: dict[tuple[str, str], Change] = {}
    for _ in range(ROUNDS):
        findings = check_data(data, hospital)
        if not findings:
            return data, list(changes.values())
        if len(findings) > MAX_FAULTS:
            break
        whole = Searched(data, hospital)
        cured = [change for finding in findings for change in _cured(whole, finding)]
        if not cured:
            break
        changes |= {(change.path, change.text): change for change in cured}
    return None, []


def with_new_key(data: Json) -> Change | None:
    """Give a message a new key, the old one with `-p` behind it: the old key belongs to the refused message for ever.

    None if it has no key.
    """
    named, path = data.get("identifier"), f"{data.get('resourceType')}.identifier"
    if isinstance(named, list):
        named, path = (named[0] if named else None), f"{path}[0]"
    key = named.get("value") if isinstance(named, dict) else None
    if not isinstance(named, dict) or not isinstance(key, str):
        return None
    short = key if len(key) <= 62 else f"{key[:45]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    named["value"] = f"{short}-p"
    return Change(f"{path}.value", "消息编号后加 -p：原编号属于被拒的消息",
                  "`-p` behind the message key: the old one is the refused message's")


def _is_small(data: Json) -> bool:
    """Counted without recursion, and no further than it matters."""
    rows: list[Any] = [data]
    seen = 0
    while rows:
        node = rows.pop()
        seen += 1
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if seen + len(rows) + len(inner) > MAX_VALUES:
            return False
        rows.extend(inner)
    return True


def _cured(whole: Searched, finding: Finding) -> list[Change]:
    """Every cure that applies at the place of a finding: to what is there, and to what holds it."""
    return [Change(path, *text.split("|")) for path, at in places_of(whole, finding) if at.there for cure in _cures(at.value)
            if (text := cure(at))]


def _cures(value: object) -> tuple[Callable[[At], str], ...]:
    return CURES_OF_AN_OBJECT if isinstance(value, dict) else () if isinstance(value, list) else CURES_OF_A_VALUE
