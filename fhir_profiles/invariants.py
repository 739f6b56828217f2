"""Invariants: FHIRPath, compiled once. Those met in every message have a twin in Python; tests prove the two equal."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import fhirpathpy
from fhirpathpy.engine.invocations import invocation_registry
from fhirpathpy.models import models

Holds = Callable[[Any], bool]

SKIPPED: Mapping[str, str] = {
    "ele-1": "an object without members and a null are refused everywhere, without being asked",
    "dom-2": "nothing may be contained in what we take (contained 0..0); we send nothing contained",
    "dom-3": "nothing may be contained",
    "dom-4": "nothing may be contained",
    "dom-5": "nothing may be contained",
    "dom-r4b": "nothing may be contained",
    "bdl-7": "a fullUrl that occurs twice is FHIR-029",
    "bdl-10": "about documents; our Bundles are collections",
    "bdl-11": "about documents; our Bundles are collections",
    "bdl-12": "about messages; our Bundles are collections",
    "txt-1": "a narrative is neither read nor shown; it must be one <div>",
    "txt-2": "a narrative is neither read nor shown; it must be one <div>",
    "age-1": "fhirpathpy lacks hasValue(); nothing of ours holds an Age",
    "cnt-3": "fhirpathpy lacks hasValue(); nothing of ours holds a Count",
}
"""FHIR's own invariants that are not evaluated, and why."""


@dataclass(frozen=True)
class Invariant:
    key: str
    expression: str
    evaluate: Holds

    def holds(self, value: Any) -> bool:
        """Never raises: what an evaluation trips over is no value the rule allows."""
        try:
            return self.evaluate(value)
        except Exception:
            return False

    @property
    def rule(self) -> str:
        """The rule of the catalogue its key begins with, or a key of FHIR's own."""
        return self.key[:8]


def compiled(key: str, expression: str, where: str) -> Invariant:
    """An invariant ready to be evaluated. Raises ValueError for an expression that neither Python twin nor fhirpathpy covers."""
    return Invariant(key, expression, twin(expression) or by_fhirpath(expression, key, f"{where}: {key}"))


def by_fhirpath(expression: str, key: str = "FHIR-", where: str = "") -> Holds:
    """The expression as it is published. Raises ValueError for a function fhirpathpy does not have."""
    unknown = set(re.findall(r"\.?\b([a-zA-Z]+)\(", re.sub(r"'(?:[^'\\]|\\.)*'", "''", expression)))
    unknown -= set(invocation_registry) | {"in", "and", "or", "not", "xor", "implies", "is", "as"}
    # An element is asked by itself: what is around it is not known then.
    unknown |= set(re.findall(r"%(?:resource|rootResource|context)\b", expression))
    if unknown:
        raise ValueError(f"{where}: cannot evaluate {', '.join(sorted(unknown))}")

    @lru_cache(maxsize=1)
    def evaluate() -> Any:
        # The library says it takes objects only; it takes what an element is.
        return fhirpathpy.compile(expression, models["r4"])

    if key.startswith("FHIR-"):
        # Ours are proven to compile at once; of FHIR's own hundred most are never met.
        evaluate()
    return lambda value: bool(evaluate()(value) == [True])


# The twins.

def twin(expression: str) -> Holds | None:
    """The same in plain Python, where there is one: a single pattern, or one of the expressions below."""
    if match := re.fullmatch(r"(?:toString\(\)\.)?matches\('((?:[^'\\]|\\.)*)'\)", expression):
        pattern = re.sub(r"\\(.)", r"\1", match[1])
        if pattern.startswith("^") and pattern.endswith("$"):
            # `$` would let a line feed at the end pass.
            fullmatch = re.compile(pattern[1:-1]).fullmatch
            return lambda value: type(value) is str and fullmatch(value) is not None
        search = re.compile(pattern).search
        return lambda value: type(value) is str and search(value) is not None
    if match := re.fullmatch(r"(\w+)\.coding\.where\(system = '([^']*)'\)\.count\(\) = 1", expression):
        name, system = match.groups()
        return lambda value: sum(_codings(concept, system) for concept in value.get(name, ())) == 1
    if expression.startswith("iif(matches('^[1-9][0-9]{5}"):
        return resident_id
    return TWINS.get(expression)


_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_ID = re.compile("[1-9][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]")


def resident_id(value: Any) -> bool:
    """Whether the last of the 18 characters is the check character of the others (GB 11643, ISO 7064 MOD 11-2)."""
    return (type(value) is str and _RESIDENT_ID.fullmatch(value) is not None
            and "10X98765432"[sum(w * int(c) for w, c in zip(_WEIGHTS, value, strict=False)) % 11] == value[17])


def _codings(value: Any, system: str) -> int:
    return sum(1 for coding in value.get("coding", ()) if coding.get("system") == system)


def _named(system: str) -> Holds:
    def holds(value: Any) -> bool:
        texts = [value.get("text"), *(c.get("display") for c in value.get("coding", ()) if c.get("system") == system)]
        return any(isinstance(text, str) and text.strip(" \t\r\n") for text in texts)
    return holds


def _has(*names: str) -> Holds:
    return lambda value: any(name in value for name in names)


def _needs(name: str, other: str) -> Holds:
    return lambda value: name not in value or other in value


def _starts(value: Any, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in value)


def _period(value: Any) -> bool:
    start, end = value.get("start"), value.get("end")
    if start is None or end is None:
        return True
    if "T" in start and "T" in end:
        return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
    # Of times of different precision only what both of them say can be compared.
    length = min(len(start), len(end), 10)
    return bool(start[:length] <= end[:length])


_BLANK = r"[^ \\t\\r\\n]"
_NAMED = ("coding.where(system = '{0}').display.where(matches('" + _BLANK + "')).exists() "
          "or text.where(matches('" + _BLANK + "')).exists()")
_ICD10, _DRUG = "urn:oid:2.16.156.10011.2.3.3.11", "https://sanyi.example/fhir/CodeSystem/drug"

TWINS: Mapping[str, Holds] = {
    "$this > 0": lambda value: value > 0,
    "$this >= 1 and $this <= 60": lambda value: 1 <= value <= 60,
    "$this >= 1 and $this <= 366 and $this mod 1 = 0": lambda value: 1 <= value <= 366 and value % 1 == 0,
    "(active.empty() or active) and (deceased.empty() or deceased = false)":
        lambda value: value.get("active", True) is True and value.get("deceasedBoolean", False) is False
        and "deceasedDateTime" not in value,
    _NAMED.format(_ICD10): _named(_ICD10),
    _NAMED.format(_DRUG): _named(_DRUG),
    "extension.exists() != value.exists()": lambda value: ("extension" in value) != _starts(value, "value"),
    "value.exists() != component.exists()": lambda value: _starts(value, "value") != ("component" in value),
    "code.empty() or system.exists()": _needs("code", "system"),
    "value.empty() or system.exists()": _needs("value", "system"),
    "comparator.empty()": lambda value: "comparator" not in value,
    "start.hasValue().not() or end.hasValue().not() or (start <= end)": _period,
    "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))"
    " or (reference='#' and %rootResource!=%resource)": lambda value: not str(value.get("reference", "")).startswith("#"),
    "resource.exists() or request.exists() or response.exists()": _has("resource", "request", "response"),
    "fullUrl.exists() implies fullUrl.contains('/_history/').not()":
        lambda value: "/_history/" not in value.get("fullUrl", ""),
    "total.empty() or (type = 'searchset') or (type = 'history')":
        lambda value: "total" not in value or value.get("type") in ("searchset", "history"),
    "entry.search.empty() or (type = 'searchset')":
        lambda value: value.get("type") == "searchset" or not any("search" in e for e in value.get("entry", ())),
    "entry.all(request.exists() = (%resource.type = 'batch' or %resource.type = 'transaction' or "
    "%resource.type = 'history'))":
        lambda value: all(("request" in e) == (value.get("type") in ("batch", "transaction", "history"))
                          for e in value.get("entry", ())),
    "entry.all(response.exists() = (%resource.type = 'batch-response' or %resource.type = 'transaction-response' or "
    "%resource.type = 'history'))":
        lambda value: all(("response" in e) == (value.get("type") in (
            "batch-response", "transaction-response", "history")) for e in value.get("entry", ())),
    "type = 'document' implies (identifier.system.exists() and identifier.value.exists())":
        lambda value: value.get("type") != "document" or {"system", "value"} <= set(value.get("identifier", ())),
    "verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status' and "
    "code='entered-in-error').empty() or clinicalStatus.empty()":
        lambda value: "clinicalStatus" not in value or not any(
            c.get("code") == "entered-in-error" for c in value.get("verificationStatus", {}).get("coding", ())),
    "abatement.empty() or clinicalStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-clinical'"
    " and (code='resolved' or code='remission' or code='inactive')).exists()":
        lambda value: not _starts(value, "abatement") or any(
            c.get("system") == "http://terminology.hl7.org/CodeSystem/condition-clinical"
            and c.get("code") in ("resolved", "remission", "inactive")
            for c in value.get("clinicalStatus", {}).get("coding", ())),
    "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()":
        lambda value: not _starts(value, "value") or not any(
            coding in value.get("code", {}).get("coding", ())
            for part in value.get("component", ()) for coding in part.get("code", {}).get("coding", ())),
    "(identifier.count() + name.count()) > 0": _has("identifier", "name"),
    "where(use = 'home').empty()": lambda value: value.get("use") != "home",
}
"""FHIRPath -> the same in Python."""
