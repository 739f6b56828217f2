"""Stored JSON: every version ever written is read, the newest is written to the byte, a newer one is refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord, Receipt
from domain.errors import NeedsOperator
from infra.db import Database, audits, prescriptions
from infra.db.rows import AuditRunRow, PrescriptionRow
from infra.db.stored import FINDING, KINDS, MARK, PRESCRIPTION, RECEIPT, Stored
from tests.infra.db import goldens
from tests.infra.db.goldens import UNMARKED, spelled
from tests.support.records import admitted, audited

by_name = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@by_name
def test_golden_documents_of_every_version_are_read_as_the_same_values(kind: Stored[Any]) -> None:
    known = goldens.versions(kind)
    assert known[-1] == str(kind.version)
    values = {version: [kind.read(json.loads(line)) for line in goldens.lines(kind, version)] for version in known}
    assert values[known[-1]]
    assert all(read == values[known[-1]] for read in values.values())


@by_name
def test_the_newest_version_is_written_to_the_byte(kind: Stored[Any]) -> None:
    for line in goldens.lines(kind, str(kind.version)):
        assert spelled(kind.write(kind.read(json.loads(line)))) == line
        assert kind.read_text(kind.write_text(kind.read(json.loads(line)))) == kind.read(json.loads(line))


@by_name
def test_golden_documents_say_their_version(kind: Stored[Any]) -> None:
    for version in goldens.versions(kind):
        marks = {json.loads(line).get(MARK) for line in goldens.lines(kind, version)}
        assert marks == ({None} if version == UNMARKED else {int(version)})


@by_name
def test_a_stored_type_does_not_change_without_a_new_version(kind: Stored[Any]) -> None:
    assert goldens.complaint(kind) == ""


@by_name
@pytest.mark.parametrize("document", [
    {}, {"nonsense": "x"}, {"items": None}, {"items": [1]}, {"lines": 7}, {"lines": ["x"]}, {"options": [{}]},
    {"options": [{"shares": [{"lines": [None]}]}]}])
def test_a_document_of_no_version_does_not_fit(kind: Stored[Any], document: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"validation error|older version"):
        kind.read(document)


def test_every_kind_that_is_stored_has_golden_documents() -> None:
    assert {path.name for path in goldens.GOLDEN.iterdir()} == {kind.name for kind in KINDS}
    assert set(goldens.SOURCES) == set(KINDS)


@dataclass(frozen=True)
class LaterReceipt:
    """What `Receipt` might become: its reference has another name, and it says who spoke."""

    chain_reference: str
    status: ChainWord
    by: str


def _renamed(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"chain_reference": document["reference"], "status": document["status"], "by": "chain"}


def test_a_changed_type_without_a_new_version_is_told_what_to_do() -> None:
    assert "give receipt an upgrade from version 1 to 2" in goldens.complaint(Stored("receipt", LaterReceipt))
    assert "no golden documents of version 2" in goldens.complaint(Stored("receipt", LaterReceipt, _renamed))


def test_documents_of_older_versions_are_upgraded_step_by_step() -> None:
    later = Stored("receipt", LaterReceipt, _renamed, lambda document: {**document, "by": f"{document['by']}!"})
    read = LaterReceipt("R1", ChainWord.HELD, "chain!")
    assert later.version == 3
    assert later.read({"reference": "R1", "status": "held"}) == read
    assert later.read({MARK: 1, "reference": "R1", "status": "held"}) == read
    assert later.read({MARK: 2, "chain_reference": "R1", "status": "held", "by": "chain"}) == read
    assert later.read(later.write(read)) == read
    assert later.write(read)[MARK] == 3


@pytest.mark.parametrize("mark", [2, 0, -1, "1", None, [1], 1.5])
def test_a_version_nobody_here_knows_is_refused_and_not_guessed(mark: object) -> None:
    with pytest.raises(NeedsOperator) as refused:
        RECEIPT.read({MARK: mark, "reference": "R1", "status": "held"})
    assert refused.value.code == "stored_newer"
    assert "reads up to 1" in str(refused.value)


def test_upgrading_changes_no_document() -> None:
    document = {"reference": "R1", "status": "held"}
    Stored("receipt", LaterReceipt, _renamed).read(document)
    assert document == {"reference": "R1", "status": "held"}
    assert RECEIPT.read(document) == Receipt("R1", ChainWord.HELD)


def test_a_prescription_of_a_newer_release_is_not_worked_on(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        row = session.get_one(PrescriptionRow, head.id)
        row.content = row.content | {MARK: PRESCRIPTION.version + 1}
    with db.reading() as session, pytest.raises(NeedsOperator, match=f"prescription of version {PRESCRIPTION.version + 1}"):
        prescriptions.load(session, head.id, expected=head.status)
    with db.reading() as session:
        assert prescriptions.load(session, head.id).id == head.id, "where it is can be seen all the same"


def test_rows_say_their_version(db: Database) -> None:
    head = admitted(db)
    finding = FINDING.read(json.loads(goldens.lines(FINDING, UNMARKED)[0]))
    with db.transaction() as session:
        audited(session, head.id, finding)
    with db.reading() as session:
        assert session.scalars(sa.select(AuditRunRow.results)).one()[0]["finding"][MARK] == FINDING.version
        assert session.get_one(PrescriptionRow, head.id).content[MARK] == PRESCRIPTION.version
        assert audits.findings(session, head.id) == [finding]
