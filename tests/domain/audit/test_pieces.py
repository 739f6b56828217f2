"""A prescription of pieces from the hospital's document through the audit."""

import pytest

from domain.audit import audit, selfpay_lines
from domain.findings import Severity
from domain.prescription import DrugKind
from fhir_profiles.reader import read_bundle_data
from tests.support.cda_documents import SLUG, checked, sample
from tests.support.factories import KNOWLEDGE, case, of_pieces, rx


def test_the_hospitals_document_of_pieces_is_blocked_by_nothing_and_paid_and_says_what_was_not_judged() -> None:
    message, findings = checked(sample("pieces.xml"))
    assert message
    assert not findings
    assert not message.unmapped
    written = read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription

    found = audit(case(written, at=written.issued_at))

    assert not [finding.code for finding in found if finding.severity is Severity.BLOCK]
    assert not selfpay_lines(found)
    assert "PIECES_UNJUDGED" in [finding.code for finding in found if finding.severity is Severity.WARN]


@pytest.mark.parametrize(("drugs", "denied"), [
    (["YP115"], {1}), (["YP115", "YP116"], {1, 2}), (["YP115", "YP101"], set()), (["YP101", "YP118"], {2}), (["YP101"], set()),
])
def test_some_pieces_are_not_paid_alone_and_some_never(drugs: list[str], denied: set[int]) -> None:
    assert selfpay_lines(audit(case(of_pieces(*drugs)))) == denied


def test_a_prescription_without_pieces_says_nothing_of_them() -> None:
    assert "PIECES_UNJUDGED" not in [finding.code for finding in audit(case(rx()))]


def test_every_piece_of_the_catalogue_is_weighed_in_grams_and_has_no_trace_code() -> None:
    pieces = [entry for entry in KNOWLEDGE.catalogue.values() if entry.kind is DrugKind.PIECE]

    assert pieces
    for entry in pieces:
        assert (entry.unit, entry.units_per_pack, entry.dose_per_unit) == ("g", 1, 1)
        assert entry.code in KNOWLEDGE.uncoded
        assert entry.ceiling >= entry.list_price > 0


def test_pieces_go_to_one_place_and_other_drugs_may_be_split() -> None:
    assert of_pieces("YP101", "YP105").undivided
    assert not rx().undivided
