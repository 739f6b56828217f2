"""Rules that declare what they may find, and the book that runs them in their order."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from types import ModuleType
from typing import Final, Literal, NamedTuple, TypeAlias

from domain.audit.case import Case, Line
from domain.findings import Finding, Severity
from domain.words import Two

BLOCK: Final = Severity.BLOCK
SELFPAY: Final = Severity.SELFPAY
WARN: Final = Severity.WARN
INFO: Final = Severity.INFO
TABLE: Final = "table"
"""An outcome whose severity a row of the knowledge base says."""
Outcome: TypeAlias = Severity | Literal["table"]

NO_CURE: Final = Two("", "")
"""Of a finding that needs no action."""


class Phase(StrEnum):
    """Phases run one after the other. A rule sees only what earlier phases denied, never another rule."""

    PRESCRIBING = "prescribing"
    """Is it a valid prescription, by a prescriber with the right to it, for a patient who may have it? (rules-cn, section A)"""
    SAFETY = "safety"
    """Could it harm the patient? Only a reasoned dose may override a block. (A-22, B-19 to B-37)"""
    PAYMENT = "payment"
    """Will the fund pay for a line? About money, never a clinical verdict. (B-06 to B-14, B-26, F-03, F-04)"""
    CLAIM = "claim"
    """Will the fund pay for the whole, with the lines denied so far? (B-43 to B-51)"""


class Hit(NamedTuple):
    """What a rule found. `{name}` in the texts is an argument."""

    code: str
    """A code among the outcomes of its rule."""
    text: Two
    cure: Two
    severity: Severity | None
    """None: the only one its outcome declares."""
    path: str
    line: int | None
    evidence: tuple[str, ...]
    """What it rests on besides the paper: ids of rows of the knowledge base, drugs, products, supplies handed over."""
    arguments: Mapping[str, object]


def hit(
    code: str, text: Two, cure: Two = NO_CURE, *, path: str = "", line: Line | None = None,
    severity: Severity | None = None, evidence: Iterable[str] = (), **arguments: object,
) -> Hit:
    """A hit, about a line if one is given: then the path is a place in that line."""
    if line is not None:
        path = f"item[{line.number}].{path}" if path else f"item[{line.number}]"
    return Hit(code, text, cure, severity, path, line.number if line else None, tuple(evidence), arguments)


Check: TypeAlias = Callable[[Case], Iterator[Hit]]


class Result(NamedTuple):
    """A finding with what it rests on."""

    finding: Finding
    evidence: tuple[str, ...]
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Rule:
    """One rule of rules-cn."""

    id: str
    phase: Phase
    source: str
    """The regulation or interface it comes from."""
    outcomes: Mapping[str, tuple[Outcome, ...]]
    """Finding code -> how severe it may be."""
    check: Check
    version: int = 1
    """Higher by one when it finds something else than before."""
    since: date | None = None
    """The first day of issue it applies to; None: any."""
    until: date | None = None
    """The last one."""

    def applies(self, day: date) -> bool:
        """Whether it is in force for a prescription issued on that day."""
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)

    def declares(self, code: str, severity: Severity) -> bool:
        """Whether this may be one of its findings."""
        declared = self.outcomes.get(code, ())
        return severity in declared or TABLE in declared

    def results(self, case: Case) -> list[Result]:
        """What it finds in a case, whether it is in force or not."""
        return [self._result(reported) for reported in self.check(case)]

    def _result(self, reported: Hit) -> Result:
        code, text, cure, severity, path, line, evidence, arguments = reported
        if arguments:
            text, cure = _filled(text, arguments), _filled(cure, arguments) if "{" in cure.zh + cure.en else cure
        finding = Finding(code, severity or self._only_severity(code), self.id, path, text.zh, text.en, cure.zh, cure.en,
                          self.source, line)
        return Result(finding, evidence, arguments)

    def _only_severity(self, code: str) -> Severity:
        (severity,) = self.outcomes[code]
        if not isinstance(severity, Severity):
            raise ValueError(f"{self.id} must say how severe {code} is: the table's row does")
        return severity


def _filled(words: Two, arguments: Mapping[str, object]) -> Two:
    return Two(words.zh.format_map(arguments), words.en.format_map(arguments))


def rule(
    id: str, phase: Phase, source: str, outcomes: Mapping[str, Outcome | tuple[Outcome, ...]], *,
    version: int = 1, since: date | None = None, until: date | None = None,
) -> Callable[[Check], Rule]:
    """Makes a function that yields hits a rule."""
    declared = {code: severities if isinstance(severities, tuple) else (severities,)
                for code, severities in outcomes.items()}
    return lambda check: Rule(id, phase, source, declared, check, version, since, until)


class AuditReason(StrEnum):
    """Why an audit was run."""

    STAGE = "stage"
    """The prescription came to the audit."""
    UPGRADE = "upgrade"
    """Run by a release that kept one set of findings and no runs; by which rules is not known."""


@dataclass(frozen=True)
class AuditRun:
    """What one run over one case found."""

    version: str
    """Of the rulebook and the knowledge it looked things up in."""
    results: tuple[Result, ...] = field(repr=False)

    @cached_property
    def findings(self) -> list[Finding]:
        return [result.finding for result in self.results]


class Rulebook:
    """Rules in the order in which their findings are shown. Raises `ValueError` if the phases are not in theirs."""

    def __init__(self, rules: Sequence[Rule], computed_with: Sequence[ModuleType] = ()) -> None:
        self.rules = tuple(rules)
        self._computed_with = tuple(computed_with)
        if list(self.rules) != [rule for phase in Phase for rule in self.rules if rule.phase is phase]:
            raise ValueError("the rules of a phase must stand together, and the phases in their order")

    def run(self, case: Case) -> AuditRun:
        """Every rule in force on the day of issue over one case; nothing stops at the first finding.

        Pure: the same case gives the same findings. A rule that raises is a bug of ours.
        """
        results: list[Result] = []
        phase = None
        for rule in self.rules:
            if rule.phase is not phase:
                phase = rule.phase
                if phase is Phase.CLAIM:
                    case = case.with_denied(selfpay_lines(result.finding for result in results))
            if rule.applies(case.issued_on):
                results += rule.results(case)
        return AuditRun(self.version_with(case.knowledge.version), tuple(results))

    def version_with(self, knowledge: str) -> str:
        """The version of an audit by these rules with knowledge of that version."""
        return f"{self.version}-{knowledge[:VERSION_LENGTH] or 'unknown'}"

    @cached_property
    def version(self) -> str:
        """Hash of what the rules declare, of the text of their modules and of those they compute with: the same version
        finds the same."""
        digest = hashlib.sha256()
        for rule in self.rules:
            digest.update(repr((rule.id, rule.phase, rule.source, dict(rule.outcomes), rule.version, rule.since,
                                rule.until)).encode())
        modules = {*self._computed_with, *(sys.modules[rule.check.__module__] for rule in self.rules)}
        for module in sorted(modules, key=lambda module: module.__name__):
            digest.update(inspect.getsource(module).encode())
        return digest.hexdigest()[:VERSION_LENGTH]


VERSION_LENGTH: Final = 16
"""Hexadecimal digits of a hash that are kept."""


def selfpay_lines(findings: Iterable[Finding]) -> frozenset[int]:
    """The lines the fund does not pay. A SELFPAY without a line (B-44) denies a benefit, not a line."""
    return frozenset(finding.line for finding in findings if finding.severity is Severity.SELFPAY and finding.line is not None)
