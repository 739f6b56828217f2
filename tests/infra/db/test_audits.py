"""Runs of the audit: added, never changed, and the newest one counts."""

import pytest
import sqlalchemy as sa

from domain.audit import AuditReason, AuditRun, Result
from domain.findings import Finding, Severity
from infra.db import Database, audits
from infra.db.rows import AuditRunRow
from tests.support.records import MINUTE, NOW, admitted, audited

WARNING = Finding("OFF_LABEL", Severity.WARN, "B-28", "item[1].diagnoses", "诊断不符", "off label", line=1)
REMARK = Finding("LAB_NEEDED", Severity.INFO, "B-36", "item[2].drug", "未见检验值", "no value", line=2)


def test_a_run_is_read_as_it_was_written(db: Database) -> None:
    rx_id = admitted(db).id
    written = AuditRun("rules-7", (
        Result(WARNING, ("D001",), {"name": "二甲双胍", "drug": "D001"}), Result(REMARK, ("RH001", "RH002"), {"threshold": 30})))
    with db.transaction() as session:
        audits.record(session, rx_id, written, why=AuditReason.STAGE, at=NOW)
    with db.reading() as session:
        (stored,) = audits.runs(session, rx_id)
        assert (stored.number, stored.at, stored.why, stored.run) == (1, NOW, AuditReason.STAGE, written)
        assert audits.findings(session, rx_id) == [WARNING, REMARK]


def test_another_run_comes_behind_and_counts_from_then_on(db: Database) -> None:
    rx_id, other = admitted(db).id, admitted(db, 2).id
    with db.transaction() as session:
        audited(session, rx_id, WARNING, REMARK)
        audited(session, other, REMARK)
        audited(session, rx_id, REMARK, at=NOW + MINUTE, version="rules-2")
    with db.reading() as session:
        runs = audits.runs(session, rx_id)
        assert [(stored.number, stored.at, stored.run.version, stored.run.findings) for stored in runs] == [
            (1, NOW, "rules-1", [WARNING, REMARK]), (2, NOW + MINUTE, "rules-2", [REMARK])]
        assert audits.findings(session, rx_id) == audits.findings(session, other) == [REMARK]
        warnings = session.execute(sa.select(AuditRunRow.prescription_id, AuditRunRow.number, AuditRunRow.warnings)).tuples()
        assert set(warnings) == {(rx_id, 1, 1), (rx_id, 2, 0), (other, 1, 0)}


def test_before_the_first_run_nothing_is_found_and_a_run_may_find_nothing(db: Database) -> None:
    rx_id = admitted(db).id
    with db.reading() as session:
        assert (audits.runs(session, rx_id), audits.findings(session, rx_id)) == ([], [])
    with db.transaction() as session:
        audited(session, rx_id)
    with db.reading() as session:
        assert [stored.run.results for stored in audits.runs(session, rx_id)] == [()]


def test_a_run_belongs_to_a_prescription(db: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), db.transaction() as session:
        audited(session, "rx_unknown", WARNING)
