"""The audit looks at what the platform itself handed over to the person."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.audit import RULEBOOK, AuditReason, AuditRun, audit, selfpay_lines
from domain.chains import ChainWord
from domain.findings import Severity
from domain.lifecycle import Status
from domain.prescription import prescription_id
from infra.db import audits, orders, prescriptions
from tasks.audit import audit_prescription, case_of
from tests.support.city import admit, make_city
from tests.support.factories import entitlement, item, ordinary, rx
from tests.support.records import order

EDOXABAN = {"diagnoses": ("I48.x00",), "disease": ""}


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path)


def handed_over(city, made, days_ago, number="RX0900"):
    """A prescription of the same person, handed over so many days ago, every line of it."""
    made = replace(made, id=prescription_id("jinan_first", number), external_id=number)
    at = city.now() - timedelta(days=days_ago)
    with city.db.transaction() as session:
        prescriptions.admit(session, made, patient_sealed=b"sealed", archive_key="sha256/x", at=at, message=number)
        placed = orders.make(session, order(made.id, lines=len(made.items)), attempt=1, sealed=b"sealed", ranking=[], at=at)
        orders.advance(session, placed, ChainWord.HANDED_OVER, at=at)
    return placed


def audited(city, made):
    now = city.now()
    fresh = replace(made, issued_at=now, valid_until=now + timedelta(days=1))
    findings = audit(case_of(city, fresh, entitlement()))
    return findings, {finding.code for finding in findings}


def test_edoxaban_is_paid_once_warfarin_was_handed_over(city):
    edoxaban = rx(item("D089"), **EDOXABAN)
    findings, codes = audited(city, edoxaban)
    assert "SECOND_LINE" in codes
    assert selfpay_lines(findings) == {1}
    handed_over(city, rx(item("D085"), **EDOXABAN), 100)
    findings, codes = audited(city, edoxaban)
    assert "SECOND_LINE" not in codes
    assert selfpay_lines(findings) == frozenset()


def test_warfarin_of_another_person_or_brought_back_is_no_history(city):
    edoxaban = rx(item("D089"), **EDOXABAN)
    handed_over(city, rx(item("D085"), **EDOXABAN, patient={"id": "p_2"}), 100)
    assert "SECOND_LINE" in audited(city, edoxaban)[1]
    placed = handed_over(city, rx(item("D085"), **EDOXABAN), 100, "RX0901")
    with city.db.transaction() as session:
        order_now = orders.get(session, placed.id)
        orders.advance(session, order_now, ChainWord.RETURNED, at=city.now(), returned=(1,))
    assert "SECOND_LINE" in audited(city, edoxaban)[1]


def test_a_refill_the_next_day_is_not_paid_and_one_at_the_end_is(city):
    handed_over(city, ordinary("D032"), 1)
    findings, codes = audited(city, ordinary("D032"))
    assert "REFILL_TOO_EARLY" in codes
    assert selfpay_lines(findings) == {1}
    city.now.advance(days=27)
    assert not {"REFILL_TOO_EARLY", "REFILL_EARLY"} & audited(city, ordinary("D032"))[1]


def test_what_is_still_being_taken_counts_for_interactions(city):
    handed_over(city, rx(item("D090", days_supply=28)), 10)
    findings, _ = audited(city, rx(item("D172")))
    assert [finding.severity for finding in findings if finding.code == "INTERACTION"] == [Severity.BLOCK]


def test_a_run_is_stored_with_the_version_of_its_rules_and_stays_when_another_comes(city):
    (rx_id,) = admit(city)
    asyncio.run(audit_prescription(city, rx_id))
    with city.db.transaction() as session:
        (first,) = audits.runs(session, rx_id)
        assert (first.number, first.why, first.at) == (1, AuditReason.STAGE, city.now())
        assert first.run.version == RULEBOOK.version_with(city.knowledge.version)
        again = RULEBOOK.run(case_of(city, prescriptions.load(session, rx_id).prescription, entitlement()))
        assert [result.finding.code for result in first.run.results] == [result.finding.code for result in again.results]
        audits.record(session, rx_id, AuditRun("other rules", ()), why=AuditReason.STAGE, at=city.now())
    with city.db.reading() as session:
        assert [stored.number for stored in audits.runs(session, rx_id)] == [1, 2]
        assert audits.runs(session, rx_id)[0] == first
        assert audits.findings(session, rx_id) == []


def test_validity_that_ends_while_the_fund_is_asked_is_over_and_not_wrong(city, monkeypatch):
    (rx_id,) = admit(city)
    asked = city.payer.entitlement

    async def slowly(*arguments):
        city.now.advance(hours=25)
        return await asked(*arguments)

    monkeypatch.setattr(city.payer, "entitlement", slowly)
    assert asyncio.run(audit_prescription(city, rx_id)).status is Status.EXPIRED
