"""Audit: ask the fund who the person is, run every rule, and say yes or no."""

import json

from pydantic import TypeAdapter

from domain.audit import Facts, audit
from domain.claims import Entitlement, Identity
from domain.errors import Refused
from domain.findings import Finding, Severity, worst
from domain.lifecycle import Status
from domain.prescription import Prescription
from infra.db import Session, history, prescriptions
from tasks import reports
from tasks.city import City
from tasks.ends import expire

ENTITLEMENT = TypeAdapter(Entitlement)


async def audit_prescription(city: City, prescription_id: str) -> Status:
    """received → audited, or refused when a rule blocks. Every finding is kept either way.

    Raises `Transient` while the fund cannot be asked.
    """
    with city.db.reading() as session:
        loaded = prescriptions.load(session, prescription_id)
        identity = open_identity(city, session, prescription_id)
    rx = loaded.prescription
    if city.now() >= rx.valid_until:
        return expire(city, loaded)
    entitlement = await _entitlement(city, rx, identity)
    terms = city.policy.hospital(rx.hospital)
    findings = audit(rx, Facts(
        now=city.now(), knowledge=city.knowledge, policy=city.policy, entitlement=entitlement,
        hospital_level=terms.level, hospital_contracted=terms.contracted))
    blocked = worst(findings) is Severity.BLOCK
    to = Status.REFUSED if blocked else Status.AUDITED
    with city.db.transaction("audit.recorded") as session:
        # The event first: of two workers that audited it, one goes no further.
        history.append(session, loaded.head, to=to, actor="audit", reason=_summary(findings), at=city.now(),
                       wake_at=None if blocked else city.now(), detail=_detail(findings))
        prescriptions.save_findings(session, rx.id, findings)
        if entitlement:
            sealed = city.cipher.seal(ENTITLEMENT.dump_json(entitlement).decode(), f"entitlement/{rx.id}")
            prescriptions.save_entitlement(session, rx.id, sealed)
        if blocked:
            reports.report(session, city, rx, to, reason=_summary(findings), findings=findings)
    return to


def open_patient(city: City, session: Session, prescription_id: str) -> dict[str, str]:
    """Name, number, phone and address, opened for one call. Never log or keep what this returns."""
    sealed = prescriptions.patient_sealed(session, prescription_id)
    record: dict[str, str] = json.loads(city.cipher.open(sealed, f"patient/{prescription_id}"))
    return record


def open_identity(city: City, session: Session, prescription_id: str) -> Identity:
    record = open_patient(city, session, prescription_id)
    return Identity(name=record["name"], id_number=record["id_number"])


def open_entitlement(city: City, loaded: prescriptions.Loaded) -> Entitlement | None:
    """What the fund said at the audit; None for somebody it does not insure."""
    if loaded.entitlement_sealed is None:
        return None
    text = city.cipher.open(loaded.entitlement_sealed, f"entitlement/{loaded.id}")
    return ENTITLEMENT.validate_json(text)


async def _entitlement(city: City, rx: Prescription, identity: Identity) -> Entitlement | None:
    try:
        return await city.payer.entitlement(identity, rx.coverage.insutype, city.now())
    except Refused:
        return None  # Not insured is a fact for the rules, not a failure.


def _summary(findings: list[Finding]) -> str:
    counts = {severity: sum(f.severity is severity for f in findings) for severity in Severity}
    blocks = ", ".join(f"{f.code} ({f.rule})" for f in findings if f.severity is Severity.BLOCK)
    said = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count) or "nothing found"
    return f"{said}: {blocks}" if blocks else said


def _detail(findings: list[Finding]) -> dict[str, object]:
    return {"findings": [{"code": f.code, "rule": f.rule, "severity": f.severity, "line": f.line} for f in findings]}
