"""Messages of the national e-prescription interface, changed in one place, and what the adapter finds in them."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from adapters import registry
from adapters.dialects import erx
from adapters.dialects.erx_json import read_parts
from adapters.mapping import CodeMap
from domain.errors import InvalidPayload
from domain.findings import Finding
from fhir_profiles.drafts import Draft
from sandbox.dialects.erx import precheck, upload
from tasks.intake import check
from tests.support.erx import SLUG, facts

FOLDER = registry.HERE / "hospitals" / SLUG


def message(**parts: Any) -> bytes:
    return erx.compose({name: json.dumps(part, ensure_ascii=False).encode() for name, part in parts.items()})


def both() -> dict[str, Any]:
    numbers = {"rxTraceCode": "T", "hiRxno": erx.hi_rxno(SLUG, "RX0001"), "rxFile": "JVBERi0=", "signDigest": "AAAA"}
    return {"D001": precheck(facts(1)), "D003": {**numbers, **upload(facts(1))}}


def judged(adapter: erx.Adapter, codes: CodeMap, raw: bytes) -> list[Finding]:
    """What the adapter says, and the checker after it, each with its place."""
    try:
        return check(adapter.to_fhir(raw, codes), SLUG)
    except InvalidPayload as invalid:
        return list(invalid.findings)


# Field tables.

def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        node: Any = body
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]
    return change


def put(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        node: Any = body
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
    return change


# Cases, each with what is right.

CASES = Path(__file__).parents[1] / "adapters" / "dialects" / "erx" / "cases"


def case(name: str) -> dict[str, Any]:
    """A message of D001 and D003; where the case is a D001 alone, with an upload to it."""
    said = json.loads((CASES / f"{name}.json").read_bytes())
    return said if "D001" in said else {"D001": said}


def drafted(adapter: erx.Adapter, codes: CodeMap, body: Mapping[str, Any]) -> Draft:
    """What the translation makes of it."""
    return adapter.translation.prescription(read_parts(message(**body)), codes, adapter.facts, SLUG)[0]


def places(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(one.code, one.path) for one in findings}


def into(body: dict[str, Any], node: str) -> dict[str, Any]:
    for step in node.split(".") if node else ():
        below: Any = body.setdefault(step, {})
        body = below[0] if isinstance(below, list) else below
    return body
