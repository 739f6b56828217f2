"""CDA documents as they are: samples, encodings, versions, cancels."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.dialects import cda
from domain.prescription import DrugKind, Handover
from fhir_profiles.reader import read_bundle_data, read_cancel_data
from infra.cities import load_knowledge
from tests.support.cda_documents import CODES, PIECES, SAMPLES, SLUG, adapter, admitted, checked, lines, sample

# In.

@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("*.xml") if path.stem != "cancel"))
def test_every_sample_is_a_prescription(name: str) -> None:
    assert admitted(sample(name)).prescription.items


def test_a_western_prescription_is_read_field_by_field() -> None:
    found = admitted(sample("western.xml"))
    rx, first = found.prescription, found.prescription.items[0]

    assert (found.key, rx.external_id, rx.prescriber.id, rx.valid_days) == ("DOC0001-v1", "RX0001", "D370100000001", 1)
    assert rx.issued_at.isoformat() == "2026-11-22T08:58:00+08:00"
    assert (first.drug, first.kind, first.single_dose, first.dose_unit) == ("D001", DrugKind.WESTERN, 500, "mg")
    assert (first.frequency, first.route, first.quantity, first.unit, first.days_supply) == ("bid", "PO", 60, "片", 30)
    assert [one.code for one in rx.diagnoses] == ["E11.900"]
    assert (rx.coverage.insutype, rx.coverage.disease_code) == ("310", "M01600")
    assert rx.handover is Handover.PICKUP
    assert found.patient.birth_date.isoformat() == "1958-03-02"


def test_a_patent_medicine_of_a_chinese_prescription_keeps_its_kind() -> None:
    item = admitted(sample("patent.xml")).prescription.items[0]

    assert (item.drug, item.kind, item.quantity, item.unit) == ("D187", DrugKind.PATENT, 5, "瓶")


def test_the_same_document_in_gb18030_says_the_same() -> None:
    plain, other = admitted(sample("western.xml")), admitted(sample("gb18030.xml"))

    assert sample("gb18030.xml") != sample("gb18030.xml").decode("gb18030").encode()
    assert plain.patient.name == other.patient.name == "示范患者甲"
    assert [one.name for one in plain.prescription.items] == [one.name for one in other.prescription.items]


def test_pieces_are_counted_in_grams_a_dose_times_doses_and_carry_how_to_boil_and_take_them() -> None:
    message, findings = checked(sample("waiting/pieces.xml"), PIECES)
    assert message
    assert not findings
    items = read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription.items
    texts = [entry["resource"]["dosageInstruction"][0]["text"] for entry in message.resource["entry"][-3:]]

    assert {one.kind for one in items} == {DrugKind.PIECE}
    assert [one.quantity for one in items] == [210, 105, Decimal("87.5")]
    assert {(one.unit, one.dose_unit, one.days_supply, one.frequency) for one in items} == {("g", "g", 7, "qd")}
    assert set(texts) == {"水煎两次，取汁400ml；分早晚两次温服"}


@given(grams=st.decimals("0.1", "120", places=1), doses=st.integers(1, 30))
def test_whatever_the_dose_the_quantity_of_pieces_is_dose_times_doses(grams: Decimal, doses: int) -> None:
    raw = sample("waiting/pieces.xml").replace(b'value="30" unit="g"', f'value="{grams}" unit="g"'.encode()).replace(
        'value="7" unit="剂"'.encode(), f'value="{doses}" unit="剂"'.encode()).replace("黄芪30g".encode(), f"黄芪{grams}g".encode())
    message, findings = checked(raw, PIECES)

    assert message
    assert not findings
    assert read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription.items[0].quantity == grams * doses


def test_codes_nobody_has_mapped_are_listed_each_once_with_their_line() -> None:
    raw = sample("waiting/pieces.xml")
    message, _ = checked(raw)

    assert message
    assert [(one.table, one.theirs, one.name) for one in message.unmapped] == [
        ("drug", "ZYP001", "黄芪"), ("drug", "ZYP002", "丹参"), ("drug", "ZYP003", "当归")]
    assert [one.spot.line for one in message.unmapped if one.spot] == [
        lines(raw, f'<code code="ZYP00{number}"') for number in (1, 2, 3)]


def test_the_drug_table_names_drugs_the_catalogue_knows() -> None:
    assert set(CODES.tables["drug"].values()) == set(load_knowledge("jinan").catalogue)


def test_a_cancel_is_read_with_or_without_its_envelope() -> None:
    bare = sample("cancel.xml").decode()
    bare = bare[bare.index("<s:CancelPrescription>"):bare.index("</soapenv:Body>")].replace(
        "<s:CancelPrescription>", f'<s:CancelPrescription xmlns:s="{cda.SERVICE}">')
    for raw in (sample("cancel.xml"), bare.encode()):
        message, findings = checked(raw)
        assert message
        assert not findings
        assert (message.kind, message.key) == ("Task", "CX0001")
        assert read_cancel_data(message.resource).external_id == "RX0001"


def test_another_version_of_a_document_is_another_message() -> None:
    second = sample("western.xml").replace(b'<versionNumber value="1"/>', b'<versionNumber value="2"/>')
    silent = sample("western.xml").replace(b'<versionNumber value="1"/>', b"<versionNumber/>")

    assert [adapter().to_fhir(raw, CODES).key for raw in (second, silent)] == ["DOC0001-v2", "DOC0001-v1"]


def test_a_document_that_replaces_another_is_refused_with_the_way_out() -> None:
    _, (finding,) = checked(sample("invalid/replaces_another.xml"))

    assert finding.code == "CDA_REPLACES"
    assert "CancelPrescription" in finding.cure
    assert "CancelPrescription" in finding.cure_en


def test_prefixes_comments_and_a_byte_order_mark_change_nothing() -> None:
    text = sample("western.xml").decode().replace("<ClinicalDocument xmlns=", "<ClinicalDocument xmlns:h=")
    prefixed = etree.fromstring(sample("western.xml"))
    etree.cleanup_namespaces(prefixed, top_nsmap={"hl7": cda.V3})
    for raw in (b"\xef\xbb\xbf" + sample("western.xml"), etree.tostring(prefixed, encoding="utf-8"),
                sample("western.xml").replace(b"<name>", b"<name><!-- RX9999 -->")):
        assert adapter().to_fhir(raw, CODES).resource == adapter().to_fhir(sample("western.xml"), CODES).resource
    assert checked(text.encode())[1][0].code in ("CDA_ROOT", "MSG_NOT_XML")
