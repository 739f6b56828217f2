"""Audit: ask the fund who the person is, run every rule, and say yes or no."""

from datetime import timedelta

from domain.audit import RULEBOOK, AuditReason, Case, resolve
from domain.claims import Entitlement, Identity
from domain.errors import Refused
from domain.event_words import happening
from domain.events import Event
from domain.findings import Finding, Severity, worst
from domain.lifecycle import Status
from domain.prescription import Prescription
from infra.db import audits, history, orders, prescriptions
from infra.db.history import Head
from infra.db.stored import ENTITLEMENT
from tasks import reports
from tasks.city import City
from tasks.closing import expire, tell_sent_back
from tasks.patients import open_identity

REMEMBERED = timedelta(days=366)
"""How far back what was handed over is looked at: the year of B-06, leap years included."""


async def audit_prescription(city: City, prescription_id: str) -> Head:
    """received → audited, refused when a rule blocks, or returned when the fund does not insure the person (B-44).

    The run is kept either way, beside those before it.

    Raises `Transient` while the fund cannot be asked.
    """
    with city.db.reading() as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.RECEIVED)
    rx = loaded.prescription
    if city.now() >= rx.valid_until:
        return expire(city, loaded)
    entitlement = await entitlement_of(city, rx, open_identity(city, loaded))
    case = case_of(city, rx, entitlement)
    if case.at >= rx.valid_until:
        return expire(city, loaded)  # its validity ended while the fund was asked: over, not wrong
    audit_run = RULEBOOK.run(case)
    findings = audit_run.findings
    blocked = worst(findings) is Severity.BLOCK
    insured = entitlement is not None and entitlement.active
    to = Status.REFUSED if blocked else Status.AUDITED if insured else Status.RETURNED
    on = to is Status.AUDITED
    sealed = {} if entitlement is None else {"entitlement_sealed": city.cipher.seal(
        ENTITLEMENT.write_text(entitlement), f"entitlement/{rx.id}")}
    detail = _detail(findings)
    with city.db.transaction("audit.recorded") as session:
        # The event first: of two workers that audited it, one goes no further.
        head = history.append(session, loaded.head, to=to, actor="audit", at=city.now(),
                              event=Event.NOT_INSURED if to is Status.RETURNED else Event.AUDITED,
                              wake_at=city.now() if on else None, detail=detail, also=sealed)
        audits.record(session, rx.id, audit_run, why=AuditReason.STAGE, at=case.at)
        if blocked:
            codes = dict.fromkeys(finding.code for finding in findings if finding.severity is Severity.BLOCK)
            reports.report(session, city, rx, to, reason=", ".join(codes), words=happening(Event.AUDITED, detail),
                           findings=findings)
        elif not insured:
            tell_sent_back(session, city, rx)
    return head


def case_of(city: City, rx: Prescription, entitlement: Entitlement | None) -> Case:
    """What the rules look at now: the same for the audit, a preview and an advice."""
    terms, now = city.policy.hospital(rx.hospital), city.now()
    with city.db.reading() as session:
        history = orders.dispensed(session, rx.patient.id, since=now - REMEMBERED, besides=rx.id)
    return resolve(rx, at=now, knowledge=city.knowledge, policy=city.policy, entitlement=entitlement,
                   hospital_level=terms.level, hospital_contracted=terms.contracted, history=history)


async def entitlement_of(city: City, rx: Prescription, identity: Identity) -> Entitlement | None:
    try:
        return await city.payer.entitlement(identity, rx.coverage.insutype, city.now())
    except Refused as no:
        if no.code != "not_insured":
            raise  # Another no says nothing about the person.
        return None  # Not insured is a fact for the rules, not a failure.


def _detail(findings: list[Finding]) -> dict[str, object]:
    return {"findings": [{"code": f.code, "rule": f.rule, "severity": f.severity, "line": f.line} for f in findings]}
