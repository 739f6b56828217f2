"""Runs of the audit: what each found, by which rules, on what evidence. A run is never changed; the newest one counts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.audit import AuditReason, AuditRun, Result
from domain.findings import Finding, Severity
from infra.db.engine import run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import AuditRunRow
from infra.db.stored import FINDING, Document

_ROW = table(AuditRunRow).c
_MINE = _ROW.prescription_id == sa.bindparam("id")
_NEXT = sa.select(sa.func.coalesce(sa.func.max(_ROW.number), 0) + 1).where(_MINE).scalar_subquery()
_ADD = sa.insert(table(AuditRunRow)).values({
    "prescription_id": sa.bindparam("id"), "number": _NEXT,
    **{name: sa.bindparam(name) for name in ("at", "why", "rulebook", "warnings", "results")}})
_ALL = sa.select(_ROW.number, _ROW.at, _ROW.why, _ROW.rulebook, _ROW.results).where(_MINE).order_by(_ROW.number)
_NEWEST = Precompiled(sa.select(_ROW.results).where(_MINE).order_by(_ROW.number.desc()).limit(1))


@dataclass(frozen=True)
class StoredRun:
    """One run of a prescription's audit."""

    number: int
    """From 1 on."""
    at: datetime
    why: AuditReason
    run: AuditRun


def record(session: Session, prescription_id: str, audit_run: AuditRun, *, why: AuditReason, at: datetime) -> None:
    """Add a run behind those there are."""
    run(session, _ADD, {
        "id": prescription_id, "at": at, "why": why, "rulebook": audit_run.version,
        "warnings": sum(finding.severity is Severity.WARN for finding in audit_run.findings),
        "results": [_document(result) for result in audit_run.results]})


def runs(session: Session, prescription_id: str) -> list[StoredRun]:
    """Every run of a prescription, the first one first."""
    return [StoredRun(number, at, AuditReason(why), AuditRun(rulebook, tuple(map(_result, results))))
            for number, at, why, rulebook, results in run(session, _ALL, {"id": prescription_id})]


def findings(session: Session, prescription_id: str) -> list[Finding]:
    """What the newest run found; nothing before the first."""
    return [FINDING.read(document) for document in finding_documents(session, prescription_id)]


def finding_documents(session: Session, prescription_id: str) -> list[Document]:
    """The same as documents of the newest version."""
    results = run(session, _NEWEST, {"id": prescription_id}).scalar_one_or_none() or []
    return [FINDING.upgraded(result["finding"]) for result in results]


def _document(result: Result) -> dict[str, Any]:
    return {"finding": FINDING.write(result.finding), "evidence": list(result.evidence), "arguments": dict(result.arguments)}


def _result(document: Document) -> Result:
    return Result(FINDING.read(document["finding"]), tuple(document["evidence"]), document["arguments"])
