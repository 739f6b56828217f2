"""Every change of a document changes the prescription or is a finding."""

import re
from typing import Any

import pytest
from lxml import etree

from adapters.dialects import cda
from adapters.dialects.cda_grammar import ABSENT
from domain.errors import InvalidPayload
from tests.support.cda_documents import CHANGES, CODES, adapter, admitted, checked, sample


@pytest.mark.parametrize(("code", "change"), [(code, change) for code, changes in CHANGES.items() for change in changes])
def test_what_would_change_the_prescription_is_refused_and_not_passed_over(code: str, change: tuple[str, str]) -> None:
    raw = re.sub(*change, sample("western.xml").decode(), count=1, flags=re.DOTALL)
    assert raw != sample("western.xml").decode()
    _, findings = checked(raw.encode())

    assert code in {one.code for one in findings}
    assert all(one.spot and one.spot.line for one in findings)


@pytest.mark.parametrize("change", [
    ("(<substanceAdministration [^>]*>)", r'\1<statusCode code="active"/>'),
    ("(<substanceAdministration [^>]*>)", r'\1<statusCode code="completed"/>'),
    ("(<substanceAdministration [^>]*>)", r"\1<statusCode/>"),
    ("<substanceAdministration ", '<substanceAdministration negationInd="false" '),
    ('(<substanceAdministration [^>]*)moodCode="EVN"', r'\1moodCode="INT"'),
    ('(<substanceAdministration [^>]*)moodCode="EVN"', r'\1moodCode="RQO"'),
    ("(<doseQuantity[^>]*/>)", r"\1<approachSiteCode/><maxDoseQuantity/>"),
    ("(<templateId[^>]*/>)", r'<templateId root="1.2.3"/>\1')])
def test_what_leaves_the_prescription_as_it_is_is_let_pass(change: tuple[str, str]) -> None:
    raw = re.sub(*change, sample("western.xml").decode(), count=1, flags=re.DOTALL)

    assert admitted(raw.encode()).prescription == admitted(sample("western.xml")).prescription


# What is left out.

def test_what_is_left_out_has_a_reason_and_speaks_of_no_patient_drug_dose_or_order() -> None:
    for path, reason in cda.LEFT_OUT.items():
        assert path.startswith(("/ClinicalDocument/", "*/"))
        assert reason.endswith(".")
        assert path in ABSENT or not path.endswith(("patient/name", "/birthTime", "/age", "/patient", "/width", "/consumable",
                                                    "Drug"))


def _values(tree: Any) -> list[tuple[Any, str]]:
    return [(one, str(name)) for one in tree.iter("*") for name in one.keys()] + [  # noqa: SIM118
        (one, "") for one in tree.iter("*") if (one.text or "").strip()]


def _says(raw: bytes) -> Any:
    """The Bundle, or nothing where a document is refused or waits. The checker is left out: it sees no more than the Bundle,
    and of the sample's own it says nothing."""
    try:
        message = adapter().to_fhir(raw, CODES)
    except InvalidPayload:
        return None
    return None if message.findings or message.unmapped else message.resource


@pytest.mark.parametrize("name", ["western.xml", "patent.xml"])
def test_every_value_of_a_sample_is_in_the_prescription_or_a_finding_when_it_changes_or_is_left_out(name: str) -> None:
    before, findings = checked(sample(name))
    assert before
    assert not findings
    silent = set()
    for index in range(len(_values(etree.fromstring(sample(name))))):
        tree = etree.fromstring(sample(name))
        node, attribute = _values(tree)[index]
        if attribute:
            node.set(attribute, node.get(attribute) + "7")
        else:
            node.text = f"{node.text}七"
        if _says(etree.tostring(tree, encoding="utf-8")) == before.resource:
            silent.add((etree.QName(node).localname, attribute))
    assert silent <= {
        ("value", f"{{{cda.XSI}}}type"), ("code", "codeSystem"), ("relatedDocument", "typeCode"),
        ("realmCode", "code"), ("typeId", "root"), ("typeId", "extension"), ("languageCode", "code"), ("setId", "extension"),
        ("code", "codeSystemName"), ("code", "displayName"), ("confidentialityCode", "codeSystem"),
        ("confidentialityCode", "codeSystemName"), ("confidentialityCode", "displayName"), ("value", "codeSystemName"),
        ("administrativeGenderCode", "codeSystemName"), ("routeCode", "codeSystemName"), ("id", "extension"), ("id", "root"),
        ("name", ""), ("value", "value"), ("value", "currency")}


def test_a_document_full_of_such_places_is_told_the_first_of_them() -> None:
    raw = sample("western.xml").replace(b"<section>", b"<section>" + b'<x negationInd="true"/>' * 2500, 1)

    assert 0 < len(checked(raw)[1]) <= 100
