"""Review: the pharmacists' queue, claims that run out, and decisions, which are never about the pharmacist's own prescription."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from domain.events import Event, Wait
from domain.findings import Finding, Severity
from domain.lifecycle import Status
from domain.prescription import Item, Reading
from domain.privacy import masked
from domain.review import DECISIONS, Decision, check_claimed, check_decision, check_not_own, check_open, refusal
from domain.words import Two
from infra.db import audits, history, prescriptions, reviews
from infra.db.history import Head
from infra.db.prescriptions import canonical
from tasks import reports
from tasks.city import City
from tasks.closing import expire

_DECIDED: Mapping[Status, Event] = {
    Status.REVIEWED: Event.PASSED, Status.REFUSED: Event.REJECTED, Status.RETURNED: Event.SENT_BACK}


async def open_review(city: City, prescription_id: str) -> Head:
    """audited → in_review."""
    with city.db.transaction("review.opened") as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.AUDITED)
        rx = loaded.prescription
        head = history.append(session, loaded.head, to=Status.IN_REVIEW, actor="platform",
                              event=Event.QUEUED, at=city.now(), wake_at=rx.valid_until,
                              waiting_for=Wait.DECISION)
        reviews.open_review(session, rx.id, rx.prescriber.id, city.now())
        reports.report(session, city, rx, Status.IN_REVIEW, reason=Event.QUEUED)
    return head


async def await_review(city: City, prescription_id: str) -> Head:
    """in_review and awake: the validity is over, or it was too early."""
    with city.db.transaction("review.awaited") as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.IN_REVIEW)
        if city.now() < loaded.prescription.valid_until:
            return history.wait(session, loaded.head, until=loaded.prescription.valid_until,
                                waiting_for=Wait.DECISION)
    return expire(city, loaded)


def assign(city: City, prescription_id: str, pharmacist: str) -> datetime:
    """Lock a review for one pharmacist (C-02); returns until when. Claiming one's own again extends it.

    Raises `Denied`: not_in_review, own_prescription (C-03), already_claimed. `KeyError` for an unknown id.
    """
    until = city.now() + city.policy.review_claim
    with city.db.transaction("review.claimed") as session:
        loaded = prescriptions.load(session, prescription_id)
        check_open(loaded.status)
        check_not_own(pharmacist, loaded.prescription.prescriber.id)
        if not reviews.assign(session, prescription_id, pharmacist, at=city.now(), until=until):
            raise refusal("already_claimed")
    return until


def decide(city: City, prescription_id: str, pharmacist: str, decision: Decision) -> Status:
    """Record a decision and move the prescription. The same decision again gives the same answer.

    Raises `Denied` (contract 4) and `KeyError` for an unknown id.
    """
    digest = hashlib.sha256(canonical([pharmacist, decision.decision, list(decision.codes), decision.text,
                                       dict(decision.reasons or {})])).hexdigest()
    with city.db.transaction("review.decided") as session:
        loaded = prescriptions.load(session, prescription_id)
        review = reviews.get(session, prescription_id)
        if review and review.decision and review.request_sha256 == digest:
            return DECISIONS[review.decision]
        check_open(loaded.status)
        check_not_own(pharmacist, loaded.prescription.prescriber.id)
        if review is None:
            raise refusal("not_claimed")
        check_claimed(pharmacist, review.pharmacist, review.claim_until, city.now())
        findings = audits.findings(session, prescription_id)
        check_decision(decision, city.knowledge.review_items, {f.code for f in findings if f.severity is Severity.WARN})
        to = DECISIONS[decision.decision]
        reviews.decide(session, prescription_id, pharmacist, decision=decision.decision, codes=list(decision.codes),
                       text=decision.text, reasons=dict(decision.reasons or {}), request_sha256=digest, at=city.now())
        passed = to is Status.REVIEWED
        history.append(session, loaded.head, to=to, actor=f"pharmacist:{pharmacist}",
                       event=_DECIDED[to], at=city.now(),
                       wake_at=city.now() if passed else None,
                       detail={"decision": decision.decision, "codes": list(decision.codes),
                               "reasons_for": sorted(decision.reasons or {})})
        if not passed:
            # The pharmacist's own words. A number of a person in them is masked, because the report passes through others.
            reports.report(session, city, loaded.prescription, to, reason=", ".join(decision.codes),
                           words=Two(masked(decision.text.strip()), ""), to_prescriber=True, findings=_objections(city, decision))
    return to


def _objections(city: City, decision: Decision) -> list[Finding]:
    """The review items objected to, in words."""
    return [Finding(code, Severity.BLOCK, "A-26", "", city.knowledge.review_items[code].text, "") for code in decision.codes]


def review_page_facts(loaded: prescriptions.Loaded) -> dict[str, Any]:
    """What a pharmacist sees of a prescription: all that the prescriber said of drugs and patient; no name, no number.

    Codes as they are; moments as ISO 8601. Empty or None: not said.
    """
    rx, who = loaded.prescription, loaded.prescription.patient
    return {
        "id": rx.id, "hospital": rx.hospital, "kind": rx.kind, "channel": rx.visit.channel,
        "issued_at": rx.issued_at.isoformat(), "valid_until": rx.valid_until.isoformat(), "valid_reason": rx.valid_reason,
        "institution_name": rx.institution_name, "prescriber": rx.prescriber.id, "department": rx.prescriber.department,
        "department_name": rx.prescriber.department_name, "title": rx.prescriber.title,
        "visit": rx.visit.number, "follow_up": rx.visit.follow_up,
        "patient": {"age_years": who.age_years, "age_months": who.age_months, "age_days": who.age_days, "sex": who.sex,
                    "allergies": list(who.allergies), "allergy_words": list(who.allergy_words),
                    "no_known_allergies": who.no_known_allergies, "pregnancy_weeks": who.pregnancy_weeks,
                    "lactating": who.lactating, "guardian": who.guardian, "guardian_confirmed": who.guardian_confirmed},
        "diagnoses": [{"code": d.code, "name": d.name} for d in rx.diagnoses],
        "items": [_item_facts(item) for item in rx.items],
        "extend_reason": rx.extend_reason, "note": rx.note,
        "decoction": None if rx.decoction is None else asdict(rx.decoction),
        "renewal": None if rx.renewal is None else {
            "first": rx.renewal.first, "start": rx.renewal.start.isoformat(), "end": rx.renewal.end.isoformat()},
        "readings": [_reading_facts(reading) for reading in rx.readings],
        "signature": None if rx.signature is None else {
            "at": rx.signature.at.isoformat(), "type": rx.signature.type, "sha256": rx.signature.sha256, "verified": False},
    }


def _item_facts(item: Item) -> dict[str, Any]:
    test, pack = item.skin_test, item.pack
    return {
        "line": item.line, "drug": item.drug, "name": item.name, "kind": item.kind, "quantity": str(item.quantity),
        "unit": item.unit, "single_dose": str(item.single_dose), "dose_unit": item.dose_unit, "frequency": item.frequency,
        "route": item.route, "days_supply": item.days_supply, "directions": item.directions, "note": item.note,
        "may_substitute": item.may_substitute,
        "overdose_reason": item.overdose_reason, "decoction_mark": item.decoction_mark, "approval": item.approval,
        "skin_test": None if test is None else {
            "result": test.result, "at": test.at.isoformat() if test.at else None, "exemption": test.exemption},
        "pack": None if pack is None else {
            "strength": str(pack.strength), "unit": pack.strength_unit, "size": pack.size},
    }


def _reading_facts(reading: Reading) -> dict[str, Any]:
    return {"code": reading.code, "value": None if reading.value is None else str(reading.value), "unit": reading.unit,
            "at": reading.at.isoformat(),
            "parts": [{"code": code, "value": str(value), "unit": unit} for code, value, unit in reading.parts]}
