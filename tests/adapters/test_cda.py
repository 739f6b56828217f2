"""WS/T 500.5 and 500.6: every field finds its place, every finding its line, and nothing harmful gets through."""

import asyncio
import base64
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.dialects import cda, cda_answers, cda_soap
from adapters.dialects.cda_grammar import ABSENT
from adapters.hospitals.jinan_tcm import translation
from adapters.hospitals.jinan_tcm.adapter import Adapter
from adapters.mapping import CodeMap, read_tables
from adapters.messages import Message, Outcome, Reply, Verdict
from adapters.registry import HospitalManifest, manifest
from domain.errors import InvalidPayload, NeedsOperator, Transient
from domain.findings import Finding, Spot
from domain.lifecycle import Notice, Status
from domain.prescription import Approval, Decoction, DrugKind, Handover, SkinTestResult
from fhir_profiles.checker import check_data
from fhir_profiles.reader import read_bundle_data, read_cancel_data
from infra.cities import load_knowledge
from infra.http import Request, Response
from tests.support.effort import growth
from tests.support.fakes import Replay

SLUG = "jinan_tcm"
FOLDER = Path(__file__).parents[2] / "adapters" / "hospitals" / SLUG
SAMPLES = FOLDER / "samples"
INVALID = tomllib.loads((SAMPLES / "invalid" / "index.toml").read_text(encoding="utf-8"))
CODES = read_tables(FOLDER)
PIECES = CODES.with_accepted([("drug", f"ZYP00{number}", f"P{number}") for number in (1, 2, 3)])
OWN = "urn:jinan_tcm:exchange"
AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def adapter(line: Any = None) -> Adapter:
    return Adapter(manifest("hospitals", SLUG), line or Replay(), {"report_token": "MARK-token"})


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def checked(raw: bytes, codes: CodeMap = CODES) -> tuple[Message | None, Sequence[Finding]]:
    """The message, and every finding with its spot, as intake has them."""
    try:
        message = adapter().to_fhir(raw, codes)
    except InvalidPayload as invalid:
        return None, invalid.findings
    told = {one.spot for one in (*message.findings, *message.unmapped)}
    found = [replace(one, spot=message.locate(one.path)) for one in check_data(message.resource, SLUG)]
    return message, [*message.findings, *(one for one in found if one.spot not in told)]


def admitted(raw: bytes, codes: CodeMap = CODES) -> Any:
    message, findings = checked(raw, codes)
    assert message
    assert not findings
    assert not message.unmapped
    return read_bundle_data(message.resource, SLUG, lambda _: "pt_1")


def lines(raw: bytes, needle: str) -> int:
    """The number of the first line with that text."""
    return next(number for number, line in enumerate(raw.decode().splitlines(), 1) if needle in line)


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


# What would change the prescription is never passed over.

_DRUG = re.compile(r"<entry>\s*(<substanceAdministration.*?</substanceAdministration>)\s*</entry>", re.DOTALL)
_TOTAL = re.compile(r"<entryRelationship typeCode=\"COMP\">\s*<observation[^>]*>\s*<code code=\"DE06.00.135.00\".*?"
                    r"</entryRelationship>", re.DOTALL)


def twice(pattern: str) -> tuple[str, str]:
    return f"({pattern})", r"\1\1"


CHANGES: dict[str, list[tuple[str, str]]] = {
    "CDA_NEGATED": [
        ("<substanceAdministration ", '<substanceAdministration negationInd="true" '),
        ("<substanceAdministration ", '<substanceAdministration negationInd="1" '),
        ("<observation ", '<observation negationInd="true" '),
        ('<entryRelationship typeCode="COMP"', '<entryRelationship negationInd="true" typeCode="COMP"')],
    "CDA_STATUS": [("(<substanceAdministration [^>]*>)", rf'\1<statusCode code="{code}"/>')
                   for code in ("aborted", "cancelled", "held", "suspended", "nullified", "obsolete", "xyz")] + [
        ("<substanceAdministration ", '<substanceAdministration nullFlavor="NA" ')],
    "CDA_MOOD": [('<substanceAdministration classCode="SBADM" moodCode="EVN"',
                  f'<substanceAdministration classCode="SBADM" {mood}')
                 for mood in ('moodCode="PRP"', 'moodCode="GOL"', 'moodCode="DEF"', 'moodCode="INT.CRT"', "")],
    "CDA_UNREACHED": [
        (_DRUG.pattern, r'<entry><organizer classCode="CLUSTER" moodCode="EVN"><component>\1</component></organizer></entry>'),
        (_DRUG.pattern, r'<entry><act classCode="ACT" moodCode="EVN"><entryRelationship>\1</entryRelationship></act></entry>'),
        (f"({_DRUG.pattern})", r"<component><section>\1</section></component>"),
        (r"(</manufacturedProduct>\s*</consumable>)", r'\1<entryRelationship><substanceAdministration classCode="SBADM" '
         r'moodCode="EVN"/></entryRelationship>'),
        (r"(</manufacturedProduct>\s*</consumable>)", r'\1<x xmlns="urn:x"><substanceAdministration/></x>'),
        (r"(</manufacturedProduct>\s*</consumable>)", r'\1<entryRelationship><supply classCode="SPLY" moodCode="INT">'
         r'<quantity value="600"/></supply></entryRelationship>'),
        (r"(<observation [^>]*>\s*<code code=\"DE05.01.024.00\".*?</observation>)",
         r"\1</entry><entry><organizer><component>\1</component></organizer>"),
        (r"<entry>(\s*<observation [^>]*>\s*<code code=\"district\".*?</observation>\s*)</entry>",
         r"<entry><organizer><component>\1</component></organizer></entry>"),
        (_TOTAL.pattern, r"<entryRelationship><organizer><component><observation><code code='DE06.00.135.00' "
         r"codeSystem='2.16.156.10011.2.2.1'/></observation></component></organizer></entryRelationship>")],
    "CDA_REPEATED": [
        twice("<recordTarget.*?</recordTarget>"), twice("<author .*?</author>"), twice("<doseQuantity[^>]*/>"),
        ("(<doseQuantity[^>]*/>)", r'\1<doseQuantity value="9999" unit="mg"/>'), twice("<routeCode[^>]*/>"),
        twice("<rateQuantity[^>]*/>"), twice("<effectiveTime xsi.*?</effectiveTime>"), twice("<consumable>.*?</consumable>"),
        twice("<manufacturedLabeledDrug>.*?</manufacturedLabeledDrug>"), twice('<code code="ZY0001"/>'), twice(_TOTAL.pattern),
        twice('<value xsi:type="PQ"[^>]*/>'), twice('<id root="2.16.156.10011.1.20"[^>]*/>'),
        twice('<id root="2.16.156.10011.1.3"[^>]*/>'), twice('<versionNumber value="1"/>'),
        (r'(<entry>\s*<observation [^>]*>\s*<code code="handover".*?</entry>)', r"\1\1"),
        (r"(<component>\s*<structuredBody>)", r"<component><nonXMLBody><text>x</text></nonXMLBody></component>\1"),
        twice("<section>.*?</section>")],
    "CDA_UNREAD": [("(<doseQuantity[^>]*/>)", rf"\1{other}") for other in (
        '<maxDoseQuantity><numerator value="1"/></maxDoseQuantity>', '<approachSiteCode code="1"/>',
        "<precondition><criterion><text>x</text></criterion></precondition>",
        '<subject><relatedSubject classCode="PRS"/></subject>', "x",
        '<participant typeCode="CSM"><participantRole/></participant>', '<x xmlns="urn:x">1</x>')] + [
        ("(<routeCode [^>]*/>)", r'<repeatNumber value="3"/>\1'),
        ("<doseQuantity[^>]*/>", '<doseQuantity value="500" unit="mg"><low value="5"/><high value="5000"/></doseQuantity>'),
        ('<doseQuantity value="500"', '<doseQuantity nullFlavor="UNK" value="500"'),
        ('<width value="30" unit="天"/>', '<low value="20270101"/><width value="30" unit="天"/>'),
        ('(<birthTime|<age )', r'<raceCode code="1"/>\1'), ('(<age )', r'<ethnicGroupCode code="01" displayName="x"/>\1'),
        ("(<manufacturedProduct>)", r'\1<id extension="1"/>'),
        ("(</manufacturedLabeledDrug>)", r"\1<manufacturerOrganization><name>x</name></manufacturerOrganization>"),
        ('(<id root="2.16.156.10011.1.11"[^>]*/>)', r'\1<id root="2.16.156.10011.1.19" extension="1"/>'),
        ("(</recordTarget>)", r'\1<participant typeCode="IND"><associatedEntity><id extension="1"/></associatedEntity>'
         "</participant>"),
        ('<section>\\s*<code code="48768-6"', '<section><code code="11348-0"'),
        ('<content revised="delete">|<text/>', '<text><content revised="delete">x</content></text>')],
    "CDA_CONTRADICTION": [
        ("<title>西药处方", "<title>中药处方"),
        ('<routeCode code="1"', '<routeCode displayName="皮下注射" code="1"'),
        ("<administrativeGenderCode ", '<administrativeGenderCode displayName="女性" '),
        (r"(<value xsi:type=\"PQ\" value=\"1\" unit=\"天\"/>\s*</observation>\s*</entry>)",
         r'\1<entry><observation classCode="OBS" moodCode="EVN"><code code="DE06.00.294.00" codeSystem="2.16.156.10011.2.2.1"/>'
         '<value xsi:type="PQ" value="3" unit="天"/></observation></entry>'),
        ('H37010000003"/>', 'H37010000001"/>'), ("(<name>示范患者甲</name>)", r"\1<name>示范患者丁</name>"),
        ("(<addr>[^<]*</addr>)", r"\1<addr>示范路2号</addr>"),
        ('(<telecom value="[^"]*"/>)', r'\1<telecom value="tel:19900000009"/>'),
        ("<name>示范患者甲</name>", "<name>示范患者甲<family>示范</family><given>患者丁</given></name>"),
        (r'(<templateId root="2.16.156.10011.2.1.1.24"/>)', r'\1<templateId root="2.16.156.10011.2.1.1.25"/>'),
        ("(<custodian )", r'<componentOf><encompassingEncounter><id root="2.16.156.10011.1.11" extension="MZ9"/>'
         r"</encompassingEncounter></componentOf>\1")],
    "CDA_FIXED": [
        ('<substanceAdministration classCode="SBADM"', '<substanceAdministration classCode="ENC"'),
        ('xsi:type="IVL_TS"', 'xsi:type="PIVL_TS"'), ('xsi:type="PQ" value="60"', 'xsi:type="INT" value="60"'),
        ('codeSystem="2.16.156.10011.2.3.3.11"', 'codeSystem="2.16.840.1.113883.6.90"'),
        ('codeSystem="2.16.156.10011.2.3.1.158"', 'codeSystem="1.2.3"'),
        ('codeSystem="2.16.156.10011.2.3.3.4"', 'codeSystem="1.2"'),
        ('<entryRelationship typeCode="COMP"', '<entryRelationship typeCode="RSON"'), ('"2.16.156.10011.2.4"', '"1.2"')],
    "CDA_UNIT": [
        ('<width value="30" unit="天"', '<width value="1" unit="月"'), ('<width value="30" unit="天"', '<width value="30"'),
        ('value="1" unit="天"', 'value="1" unit="次"'), ('<age value="68" unit="岁"', '<age value="68"')],
    "CDA_AGE": [('<age value="68" unit="岁"', f'<age value="{value}" unit="{unit}"') for value, unit in (
        ("67", "岁"), ("69", "岁"), ("3", "天"), ("0", "岁"), ("68", "月"), ("2", "小时"), ("x", "岁"))],
    "CDA_NOT_CURRENT": [
        ("<addr>", '<addr use="BAD">'), ("<addr>", '<addr use="H BAD">'), ("<telecom ", '<telecom use="OLD" '),
        ("<name>示范患者甲", '<name use="P">示范患者甲'),
        ("<name>示范患者甲", '<name>示范患者甲<validTime><high value="20260101"/></validTime>'),
        ("(<addr>[^<]*)", r'\1<useablePeriod xsi:type="IVL_TS"><low value="2027"/></useablePeriod>')],
    "CDA_DECEASED": [("(<age )", rf'<s:{said} xmlns:s="urn:hl7-org:sdtc" value="{value}"/>\1') for said, value in (
        ("deceasedInd", "true"), ("deceasedInd", "1"), ("deceasedTime", "20261101"))] + [
        ("(<age )", r'<deceasedInd value="true"/>\1')],
    "CDA_TITLE": [("<title>西药处方", f"<title>{title}") for title in ("作废 西药处方", "病历", "西药处方（草稿）", "非处方")],
    "CDA_CONFIDENTIAL": [('<confidentialityCode code="N"', f'<confidentialityCode code="{code}"') for code in ("R", "V", "x")],
    "CDA_SIGNATURE": [("(<relatedDocument )", rf"<legalAuthenticator>{inner}</legalAuthenticator>\1") for inner in (
        "<signatureText>signed</signatureText>", '<time value="20261122085900"/><signatureText>c2lnbmVk</signatureText>',
        '<signatureCode code="X"/>', f"<signatureText>{'QUJD' * 40}</signatureText>")],
    "CDA_REPLACES": [
        ('<relatedDocument typeCode="RPLC">\\s*<parentDocument>', f'<relatedDocument typeCode="{kind}"><parentDocument>{said}')
        for kind, said in (("RPLC", '<setId extension="DOC0"/>'), ("APND", '<id extension="DOC0"/>'),
                           ("XFRM", '<versionNumber value="2"/>'))],
}


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


def changed(old: str, new: str, name: str = "western.xml") -> bytes:
    """A sample with one place changed."""
    text = sample(name).decode()
    assert old in text
    return text.replace(old, new, 1).encode()


PATIENT = "<name>示范患者甲</name>"
ADDRESS, PHONE = "<addr>示范市示范区示范路1号</addr>", '<telecom value="tel:19900000001"/>'


@pytest.mark.parametrize("names", [
    "<name>\n  <family>示范</family>\n  <given>患者甲</given>\n</name>", "<name><given>患者甲</given><family>示范</family></name>",
    "<name>\n    示范患者甲\n  </name>", "<name>示范\n    患者甲</name>", "<name><![CDATA[示范患者甲]]></name>",
    "<name>示范患者甲<family>示范</family><given>患者甲</given></name>",
    "<name><family>示范</family><given>患者</given><given>甲</given></name>",
    '<name use="ABC">Shifan Huanzhe</name><name use="IDE">示范患者甲</name>', '<name use="SYL">x</name><name>示范患者甲</name>',
    '<name use="P">别名</name><name use="L">示范患者甲</name>', '<name>示范甲</name><name use="L">示范患者甲</name>',
    '<name>旧名<validTime><high value="2020"/></validTime></name><name>示范患者甲</name>',
    '<name>示范患者甲<validTime><low value="20200101"/></validTime></name>'
    '<name>新名<validTime><low value="20270101"/></validTime></name>',
    '<name use="OLD">旧名</name><name>示范患者甲</name>', "<name>示范患者甲</name><name>示范患者甲</name>",
    "<name/><name>示范患者甲</name>",
    '<name nullFlavor="UNK"/><name>示范患者甲</name>'], ids=range(17))
def test_the_name_is_the_current_official_one_in_characters_without_a_printers_line_breaks(names: str) -> None:
    assert admitted(changed(PATIENT, names)).patient.name == "示范患者甲"


def test_a_name_in_letters_keeps_its_order_and_its_blanks_and_an_official_separator_stays() -> None:
    for written, name in (
            ("<name><given>Anna</given><family>Example</family></name>", "Anna Example"),
            ("<name>Anna\n   Example</name>", "Anna Example"), ("<name>示范 甲</name>", "示范 甲"),
            ("<name><given>阿里木</given><delimiter>·</delimiter><family>示范</family></name>", "阿里木·示范")):
        assert admitted(changed(PATIENT, written)).patient.name == name


@pytest.mark.parametrize("addresses", [
    "<addr>\n  <city>示范市</city>\n  <county>示范区</county>\n  <streetAddressLine>示范路1号</streetAddressLine>\n</addr>",
    "<addr><streetAddressLine>示范路1号</streetAddressLine><county>示范区</county><city>示范市</city></addr>",
    "<addr>\n  示范市示范区\n  示范路1号\n</addr>", '<addr use="BAD">旧地址</addr><addr use="H">示范市示范区示范路1号</addr>',
    '<addr use="WP">示范单位</addr><addr use="HP">示范市示范区示范路1号</addr>',
    '<addr use="TMP">临时</addr><addr>示范市示范区示范路1号</addr>',
    '<addr>旧址<useablePeriod xsi:type="IVL_TS"><high value="202610"/></useablePeriod></addr><addr>示范市示范区示范路1号</addr>'],
    ids=range(7))
def test_the_address_is_the_one_where_the_patient_lives_now(addresses: str) -> None:
    assert admitted(changed(ADDRESS, addresses)).patient.address == "示范市示范区示范路1号"


@pytest.mark.parametrize("numbers", [
    '<telecom use="BAD" value="tel:19900000009"/><telecom value="tel:19900000001"/>', '<telecom value="19900000001"/>',
    '<telecom value="mailto:a@b.example"/><telecom value="tel:19900000001"/>',
    '<telecom use="EC" value="tel:19900000009"/><telecom use="HP" value="tel:19900000001"/>',
    '<telecom use="WP" value="tel:19900000009"/><telecom use="MC" value="TEL:19900000001"/>'], ids=range(5))
def test_the_phone_is_the_one_that_reaches_the_patient_now(numbers: str) -> None:
    assert admitted(changed(PHONE, numbers)).patient.phone == "19900000001"


@pytest.mark.parametrize(("value", "unit", "days"), [
    ("4", "周", 28), ("4", "wk", 28), ("28", "天", 28), ("28.0", "d", 28), ("30", "日", 30), ("720", "小时", 30)])
def test_days_have_their_unit_read(value: str, unit: str, days: int) -> None:
    raw = changed('<width value="30" unit="天"/>', f'<width value="{value}" unit="{unit}"/>')
    assert admitted(raw).prescription.items[0].days_supply == days


@pytest.mark.parametrize(("born", "age", "unit"), [
    ("20261112", "10", "天"), ("20261112", "1", "周"), ("20260822", "3", "月"), ("20251122", "1", "岁"), ("20251123", "11", "个月"),
    ("20261122", "5", "小时")])
def test_the_age_of_an_infant_is_compared_in_its_own_unit(born: str, age: str, unit: str) -> None:
    def raw(value: str) -> bytes:
        return changed('<age value="68" unit="岁"/>', f'<birthTime value="{born}"/><age value="{value}" unit="{unit}"/>')

    codes = [{one.code for one in checked(raw(value))[1]} for value in (age, str(int(age) + 40))]
    assert "CDA_AGE" not in codes[0]
    assert "CDA_AGE" in codes[1]
    assert all("BIRTH_DATE_MISMATCH" in found or found for found in codes)  # the id number is somebody else's


NOTED = {
    "a remark": ("复诊续方", "首剂减半"),
    "the words of the section": ("<text/>\n          <entry>\n            <substanceAdministration",
                                 "<text><paragraph>首剂减半</paragraph></text><entry><substanceAdministration"),
    "a section of words": ("<component>\n        <section>\n          <code code=\"48768-6\"",
                           '<component><section><code code="51848-0" codeSystem="2.16.840.1.113883.6.1"/><title>医嘱</title>'
                           '<text>首剂减半</text></section></component><component><section><code code="48768-6"'),
}


@pytest.mark.parametrize("place", NOTED)
def test_words_to_the_prescription_reach_pharmacist_and_pharmacy(place: str) -> None:
    assert "首剂减半" in admitted(changed(*NOTED[place])).prescription.note


@pytest.mark.parametrize(("old", "new"), [
    ("<text/>\n              <effectiveTime", "<text>首剂减半</text>\n              <effectiveTime"),
    ("<text/>\n              <effectiveTime",
     '<text mediaType="text/plain"><list><item>首剂减半</item></list></text><effectiveTime'),
    ("</consumable>", '</consumable><entryRelationship typeCode="SUBJ" inversionInd="true"><act classCode="ACT" moodCode="INT">'
     "<text>首剂减半</text></act></entryRelationship>")], ids=range(3))
def test_words_to_a_drug_are_its_directions(old: str, new: str) -> None:
    assert admitted(changed(old, new)).prescription.items[0].directions == "首剂减半"


def observation(code: str, kind: str, value: str, system: str = cda.SUPPLEMENT, more: str = "") -> str:
    text = f'<value xsi:type="ST">{value}</value>' if kind == "ST" else (
        f'<value xsi:type="{kind}" {"code" if kind == "CD" else "value"}="{value}"/>')
    return (f'<observation classCode="OBS" moodCode="EVN"><code code="{code}" codeSystem="{system}"/>{more}{text}</observation>')


def of_the_drug(*observations: str) -> bytes:
    return changed("</consumable>", "</consumable>" + "".join(
        f'<entryRelationship typeCode="COMP">{one}</entryRelationship>' for one in observations))


def supplemented(*observations: str) -> bytes:
    code = '<code code="supplement" codeSystem="2.25.249319805440984658538752383164226057002" displayName="处方流转补充信息"/>'
    return changed(f"{code}\n          <text/>", code + "".join(f"<entry>{one}</entry>" for one in observations))


def section(code: str, inner: str) -> bytes:
    start = '<component>\n        <section>\n          <code code="48768-6"'
    return changed(start, f'<component><section><code code="{code}" codeSystem="{cda.LOINC}"/>{inner}</section></component>{start}')


def test_what_the_prescriber_wrote_of_one_drug_stays_with_it() -> None:
    item = admitted(of_the_drug(
        observation("DE06.00.179.00", "ST", "自备一半", cda.DATA_ELEMENTS), observation("overdose-reason", "ST", "耐受"),
        observation("approval", "CD", "1"), observation("skin-test-exemption", "ST", "本批已试"))).prescription.items[0]
    assert (item.note, item.overdose_reason, item.approval) == ("自备一半", "耐受", Approval.COVERED)
    assert item.skin_test
    assert item.skin_test.exemption == "本批已试"
    tested = admitted(of_the_drug(observation(
        "skin-test", "CD", "negative", more='<effectiveTime value="20261122083000"/>'))).prescription.items[0].skin_test
    assert tested
    assert tested.result is SkinTestResult.NEGATIVE
    assert tested.at
    assert tested.at.isoformat() == "2026-11-22T08:30:00+08:00"
    labelled = admitted(changed('<code code="ZY0001"/>', '<code code="ZY0001"><originalText>格华止</originalText></code>'))
    assert labelled.prescription.items[0].note == "格华止"
    form = admitted(changed("<consumable>", '<administrationUnitCode code="1" displayName="片剂"/><consumable>'))
    assert form.prescription.items[0].note == "剂型代码：1；片剂"


@pytest.mark.parametrize(("said", "strength", "size"), [
    ("0.5g*60片", "500", 60), ("500mg×60片/盒", "500", 60), ("0.5 g", "500", None), ("500毫克*60片", "500", 60)])
def test_the_pack_is_read_in_the_unit_of_the_dose(said: str, strength: str, size: int | None) -> None:
    pack = admitted(changed("0.5g*60片", said)).prescription.items[0].pack
    assert pack
    assert (pack.strength, pack.strength_unit, pack.size) == (Decimal(strength), "mg", size)


def test_a_pack_nobody_can_read_is_shown_as_it_was_written() -> None:
    item = admitted(changed("0.5g*60片", "60片装")).prescription.items[0]
    assert (item.pack, item.note) == (None, "规格：60片装")


# Allergies.

_UNCODED = (f'<observation classCode="OBS" moodCode="EVN"><code code="allergy-group" codeSystem="{cda.SUPPLEMENT}"/>'
            '<value xsi:type="CD"{}</observation>')


@pytest.mark.parametrize("raw", [
    supplemented(observation("allergy-words", "ST", "青霉素过敏性休克史")),
    supplemented(_UNCODED.format(' nullFlavor="OTH"><originalText>青霉素过敏性休克史</originalText></value>')),
    supplemented(_UNCODED.format(' displayName="青霉素过敏性休克史"/>')),
    section("48765-2", "<text>青霉素过敏性休克史</text>"),
    section("48765-2", f'<text/><entry>{observation("DE02.10.022.00", "ST", "青霉素过敏性休克史", cda.DATA_ELEMENTS)}</entry>'),
    changed("复诊续方", "复诊续方；青霉素过敏性休克史"), changed("<text/>\n              <effectiveTime",
                                              "<text>青霉素过敏性休克史。饭后服</text>\n              <effectiveTime"),
], ids=range(7))
def test_an_allergy_in_words_is_an_allergy(raw: bytes) -> None:
    patient = admitted(raw).prescription.patient
    assert (patient.allergies, patient.allergy_words, patient.no_known_allergies) == ((), ("青霉素过敏性休克史",), False)


@pytest.mark.parametrize("raw", [
    supplemented(observation("no-known-allergies", "BL", "true")), section("48765-2", "<text>否认药物、食物过敏史</text>"),
    section("48765-2", "<text/><entry>" + observation("DE02.10.022.00", "ST", "无", cda.DATA_ELEMENTS) + "</entry>"),
    section("48765-2", "<text/><entry>" + observation("DE02.10.023.00", "BL", "false", cda.DATA_ELEMENTS) + "</entry>"),
], ids=range(4))
def test_none_known_is_only_where_it_is_said(raw: bytes) -> None:
    patient = admitted(raw).prescription.patient
    assert (patient.allergies, patient.allergy_words, patient.no_known_allergies) == ((), (), True)


def test_nothing_said_of_allergies_is_nothing_and_a_code_stays_a_code() -> None:
    silent = admitted(sample("western.xml")).prescription.patient
    assert (silent.allergies, silent.allergy_words, silent.no_known_allergies) == ((), (), False)
    rhinitis = admitted(changed("复诊续方", "过敏性鼻炎；抗过敏治疗")).prescription
    assert (rhinitis.patient.allergy_words, rhinitis.note) == ((), "过敏性鼻炎；抗过敏治疗")
    coded = admitted(supplemented(observation("allergy-group", "CD", "AL01"), observation("allergy-group", "CD", "AL02"),
                                  observation("allergy-words", "ST", "芒果"))).prescription.patient
    assert (coded.allergies, coded.allergy_words) == (("AL01", "AL02"), ("芒果",))
    flagged = admitted(section("48765-2", "<text/><entry>" + observation("DE02.10.023.00", "BL", "true", cda.DATA_ELEMENTS)
                               + "</entry>")).prescription.patient
    assert flagged.allergy_words


@pytest.mark.parametrize("raw", [
    supplemented(observation("no-known-allergies", "BL", "true"), observation("allergy-group", "CD", "AL01")),
    supplemented(observation("no-known-allergies", "BL", "true"), observation("allergy-words", "ST", "磺胺")),
    section("48765-2", "<text>无</text><entry>" + observation("DE02.10.023.00", "BL", "true", cda.DATA_ELEMENTS) + "</entry>")],
    ids=range(3))
def test_none_known_beside_an_allergy_is_refused(raw: bytes) -> None:
    assert {one.code for one in checked(raw)[1]} & {"CDA_CONTRADICTION", "ALLERGIES_DISAGREE"}


# What else the contract takes.

def test_visit_department_title_and_reasons_arrive() -> None:
    rx = admitted(supplemented(
        observation("valid-reason", "ST", "路途遥远"), observation("department", "CD", "03.07"),
        observation("credential", "ST", "EC12345678"))).prescription
    assert (rx.visit.number, rx.prescriber.department, rx.prescriber.department_name) == ("MZ0001", "03.07", "示范内科")
    titled = admitted(changed("<assignedPerson>", '<code code="232" displayName="副主任医师"/><assignedPerson>')).prescription
    assert titled.prescriber.title == "232"
    assert rx.valid_reason == "路途遥远"
    for code in ("27", ""):
        category = '<value xsi:type="CD" code="{}" codeSystem="2.16.156.10011.2.3.2.40"'
        assert checked(changed(category.format("2"), category.format(code), "patent.xml"))[1]


def test_readings_guardian_renewal_and_signature_arrive() -> None:
    pressure = ('<text/><entry><organizer classCode="BATTERY" moodCode="EVN"><code code="85354-9" codeSystem="{0}"/>'
                '<statusCode code="completed"/><effectiveTime value="20261120070000"/>'
                '<component><observation classCode="OBS" moodCode="EVN"><code code="8480-6" codeSystem="{0}"/>'
                '<value xsi:type="PQ" value="128" unit="mmHg"/></observation></component>'
                '<component><observation classCode="OBS" moodCode="EVN"><code code="8462-4" codeSystem="{0}"/>'
                '<value xsi:type="PQ" value="82" unit="mm[Hg]"/></observation></component></organizer></entry>'
                '<entry><observation classCode="OBS" moodCode="EVN"><code code="29463-7" codeSystem="{0}"/>'
                '<effectiveTime value="20261120070000"/><value xsi:type="PQ" value="61.5" unit="公斤"/></observation></entry>')
    readings = admitted(section("8716-3", pressure.format(cda.LOINC))).prescription.readings
    assert [(one.code, one.value, one.unit, one.parts) for one in readings] == [
        ("85354-9", None, "", (("8480-6", Decimal(128), "mm[Hg]"), ("8462-4", Decimal(82), "mm[Hg]"))),
        ("29463-7", Decimal("61.5"), "kg", ())]

    data = base64.b64encode(b"signature" * 10).decode()
    signed = admitted(changed("<relatedDocument ", '<legalAuthenticator><time value="20261122085900"/><signatureCode code="S"/>'
                              f'<sdtc:signatureText xmlns:sdtc="urn:hl7-org:sdtc" representation="B64">{data}</sdtc:signatureText>'
                              "</legalAuthenticator><relatedDocument ")).prescription.signature
    assert signed
    assert signed.sha256 == hashlib.sha256(b"signature" * 10).hexdigest()

    renewed = admitted(supplemented(
        observation("renewal-first", "ST", "RX0000"), observation("renewal-start", "TS", "20261101"),
        observation("renewal-end", "TS", "20270131"))).prescription.renewal
    assert renewed
    assert (renewed.first, renewed.start.isoformat(), renewed.end.isoformat()) == ("RX0000", "2026-11-01", "2027-01-31")

    for code in ("MTH", "52", "parent"):
        guarded = checked(changed(PATIENT, PATIENT + '<guardian classCode="GUARD"><id root="2.16.156.10011.1.3" '
                                  f'extension="370102198001011239"/><code code="{code}"/><guardianPerson><name>示范监护人</name>'
                                  "</guardianPerson></guardian>"))[0]
        assert guarded
        (person,) = [one["resource"] for one in guarded.resource["entry"] if one["resource"]["resourceType"] == "RelatedPerson"]
        assert person["relationship"][0]["coding"][0]["code"] == "parent"
        assert person["name"][0]["text"] == "示范监护人"


def test_how_pieces_are_decocted_is_read_where_the_words_say_it_plainly() -> None:
    message, _ = checked(sample("waiting/pieces.xml"), PIECES)
    assert message
    rx = read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription
    assert rx.decoction == Decoction(7, "decoct", 2)
    assert {one.directions for one in rx.items} == {"水煎两次，取汁400ml；分早晚两次温服"}

    marked, findings = checked(changed("<name>当归</name>", "<name>当归（后下）</name>", "waiting/pieces.xml"), PIECES)
    assert marked
    assert not findings
    assert read_bundle_data(marked.resource, SLUG, lambda _: "pt_1").prescription.items[2].decoction_mark == "last"


@pytest.mark.parametrize(("old", "new"), [
    ("黄芪30g 丹参15g", "黄芪60g 丹参15g"), ("黄芪30g 丹参15g", "黄芪30g 附子15g"), ("分早晚两次温服", "分早晚两次温服，每日三次")])
def test_words_that_contradict_the_pieces_are_a_finding_or_no_more_than_words(old: str, new: str) -> None:
    message, findings = checked(changed(old, new, "waiting/pieces.xml"), PIECES)
    assert message
    rx = None if findings else read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription
    # What the words say of the pieces is the document's own; how often, the checker of all dialects compares.
    assert {one.code for one in findings} <= {"CDA_CONTRADICTION", "TEXT_DISAGREES"} if rx is None else rx.decoction is None


# The cases that were got wrong once.

CASES: dict[str, Any] = {
    "40_cda_four_weeks": lambda found: found.prescription.items[0].days_supply == 28,
    "42_cda_pretty_printed_name_and_address":
        lambda found: (found.patient.name, found.patient.address) == ("示范患者甲", "示范市示范区示范路1号"),
    "44_cda_valid_days_after_each_drug": lambda found: found.prescription.valid_days == 1,
    "address_bad_first": lambda found: found.patient.address == "示范市示范区示范路1号",
    "name_in_parts_pretty_printed": lambda found: found.patient.name == "示范患者甲",
    "remark_half_first_dose": lambda found: (found.prescription.note, found.prescription.patient.allergy_words) == (
        "首剂减半；磺胺过敏", ("磺胺过敏",)),
    "width_in_weeks": {"QUANTITY_ARITHMETIC"},
    "deceased": {"CDA_DECEASED"},
}


@pytest.mark.parametrize("name", sorted(path.stem for path in (Path(__file__).parent / "cda_cases").glob("*.xml")))
def test_every_case_that_was_got_wrong_once_is_right(name: str) -> None:
    raw, right = (Path(__file__).parent / "cda_cases" / f"{name}.xml").read_bytes(), CASES[name]
    if isinstance(right, set):
        assert {one.code for one in checked(raw)[1]} == right
    else:
        assert right(admitted(raw))


FLOODS: dict[str, Callable[[int], bytes]] = {
    "pieces without grams": lambda n: changed("黄芪30g 丹参15g", "黄" * (n // 2), "waiting/pieces.xml"),
    "a line of blanks": lambda n: changed(PATIENT, f"<name>示范{' ' * n}患者甲</name>"),
    "lines of blanks": lambda n: changed(ADDRESS, "<addr>示" + "\n \t" * (n // 3) + "范</addr>"),
    "a pack": lambda n: changed("0.5g*60片", "1" * (2 * n // 3) + " " * (n // 3)),
    "none known": lambda n: section("48765-2", f"<text>无{'药物、' * (n // 6)}x</text>"),
    "addresses": lambda n: changed("<addr>", '<addr use="H">x</addr>' * (n // 120) + "<addr>"),
    "strangers": lambda n: changed("<doseQuantity", '<x a="1"/>' * (n // 60) + "<doseQuantity"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_in_proportion_to_its_length_and_its_findings_are_bounded(flood: str) -> None:
    make = FLOODS[flood]
    assert len(checked(make(300_000))[1]) < 100
    assert growth(checked, make(50_000), make(100_000)) < 2.5


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


# What is wrong, and where.

@pytest.mark.parametrize(("name", "code"), INVALID.items())
def test_every_invalid_sample_fails_for_its_own_reason_in_its_own_place(name: str, code: str) -> None:
    _, findings = checked(sample(f"invalid/{name}"))

    mine = [one for one in findings if one.code == code]
    assert mine
    assert all(one.spot and one.spot.line for one in findings)


def test_every_invalid_sample_is_in_the_index() -> None:
    assert {path.name for path in (SAMPLES / "invalid").glob("*.xml")} == set(INVALID)


def test_every_dialect_rule_has_a_sample_or_is_met_at_the_door() -> None:
    seen = set(INVALID.values()) | set(CHANGES) | {"CDA_ROOT", "CDA_TOO_MANY", "CDA_DOCUMENT"}

    assert {rule.code for rule in cda.RULES} <= seen
    assert len({rule.id for rule in cda.RULES}) == len(cda.RULES)


@pytest.mark.parametrize(("name", "code", "element", "needle"), [
    ("gender_of_somebody_else.xml", "GENDER_MISMATCH", "DE02.01.040.00", "<administrativeGenderCode"),
    ("valid_for_seven_days.xml", "VALIDITY_PERIOD", "DE06.00.294.00", '<value xsi:type="PQ" value="7" unit="天"'),
    ("dose_is_zero.xml", "DOSE", "DE08.50.023.00", "<doseQuantity"),
    ("no_diagnosis.xml", "CONDITION_MISSING", "", "<section>"),
    ("no_total_amount.xml", "QUANTITY", "DE08.50.022.00", '<code code="ZY0001"/>'),
])
def test_a_finding_names_data_element_xpath_and_line(name: str, code: str, element: str, needle: str) -> None:
    raw = sample(f"invalid/{name}")
    _, findings = checked(raw)
    spot = next(one.spot for one in findings if one.code == code)

    assert spot
    assert spot.name.startswith(f"{element} /ClinicalDocument/" if element else "/ClinicalDocument/")
    assert spot.line == lines(raw, needle)


def test_everything_wrong_in_the_head_comes_at_once() -> None:
    raw = sample("western.xml").replace(b"2.16.156.10011.2.1.1.24", b"1.2.3").replace(b'extension="DOC0001"', b"").replace(
        b'<versionNumber value="1"/>', b'<versionNumber value="one"/>')

    assert {one.code for one in checked(raw)[1]} == {"CDA_TEMPLATE", "CDA_DOCUMENT_ID", "CDA_VERSION"}


def test_a_document_with_hundreds_of_entries_is_refused_before_it_is_translated() -> None:
    text = sample("western.xml").decode()
    start = text.index("          <entry>", text.index("10160-0"))
    entry = text[start:text.index("          </entry>", start) + len("          </entry>\n")]

    assert checked(text.replace(entry, entry * 150).encode())[1][0].code == "CDA_TOO_MANY"


@pytest.mark.parametrize("raw", [
    b"", b"{}", b"<rx/>", b"\xff\xfe", b"<ClinicalDocument/>", b'<?xml version="1.0" encoding="GB18030"?><a>\xff</a>',
    b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>', b"<a>" * 100, b" " * (cda.MAX_BYTES + 1)])
def test_what_is_no_document_is_told_so_with_a_finding(raw: bytes) -> None:
    message, findings = checked(raw)

    assert message is None
    assert findings


@given(st.data())
def test_a_document_cut_or_spoilt_anywhere_never_gets_an_exception_of_another_kind(data: st.DataObject) -> None:
    raw = sample("patent.xml")
    at = data.draw(st.integers(0, len(raw) - 1))
    spoilt = data.draw(st.sampled_from([raw[:at], raw[:at] + b"<" + raw[at:], raw[:at] + b"\x00" + raw[at + 1:],
                                        raw[:at] + raw[at + data.draw(st.integers(1, 300)):]]))
    message, _ = checked(spoilt)  # InvalidPayload is all it may raise

    assert message is None or message.resource


def test_no_finding_quotes_the_document() -> None:
    for name in INVALID:
        _, findings = checked(sample(f"invalid/{name}"))
        said = repr(findings)
        assert not [mark for mark in ("示范患者", "3701021958", "19900000001", "示范路") if mark in said]


# Out.

def test_an_answer_lists_every_finding_with_its_place() -> None:
    message, findings = checked(sample("invalid/dose_is_zero.xml"))
    reply = adapter().answer(message, Verdict(Outcome.REFUSED, AT, SLUG, findings=findings))
    result = etree.fromstring(reply.body)
    names = {"s": cda.SERVICE}

    assert (reply.status, result.findtext("s:outcome", namespaces=names)) == (200, "refused")
    found = result.find("s:finding[s:code='DOSE']", namespaces=names)
    assert found is not None
    assert found.findtext("s:dataElement", namespaces=names) == "DE08.50.023.00"
    assert (found.findtext("s:xpath", namespaces=names) or "").endswith("/doseQuantity/@value")
    assert int(found.findtext("s:line", "0", names)) == lines(sample("invalid/dose_is_zero.xml"), "<doseQuantity")
    assert found.findtext("s:cure", namespaces=names)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_an_answer_in_both_languages(outcome: Outcome) -> None:
    message, _ = checked(sample("waiting/pieces.xml"))
    assert message
    result = etree.fromstring(adapter().answer(
        None, Verdict(outcome, AT, SLUG, "rx_1", "RX0001", "received", unmapped=message.unmapped)).body)

    said = {etree.QName(one).localname: one.text for one in result}
    assert said["outcome"] == outcome
    assert said["text"]
    assert said["textEn"]
    assert result.findtext("{*}unmapped/{*}code") == "ZYP001"


def test_every_status_we_report_has_a_word_of_the_hospital() -> None:
    assert set(translation.STATUS_WORDS) == {*Status, Notice.CANCEL_REFUSED, Notice.INVALID}
    assert len({code for code, _ in translation.STATUS_WORDS.values()}) == len(translation.STATUS_WORDS)


REPORT = {"key": "rx_1:settled", "prescription": "RX0001", "id": "rx_1", "status": "settled", "at": AT.isoformat(),
          "reason": "checked", "words": "已核对\x01<&>", "words_en": "",
          "findings": [{"code": "DOSE", "severity": "WARN", "text": "剂量", "line": 1}],
          "pickup": {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"},
          "dispense": {
              "order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "pickup", "at": "2026-11-22T01:20:00+00:00",
              "lines": [{"line": 1, "item": "1", "drug": "D001", "name": "二甲双胍", "quantity": "60", "unit": "片", "days": 30,
                         "returned": True}]},
          "settlement": {"payer": "centre", "settled": {"id": "S2", "reference": "H2"},
                         "reverses": {"id": "S1", "reference": "H1"}},
          "money": {"total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}


async def test_a_report_goes_out_in_the_hospitals_words_and_may_be_repeated() -> None:
    line = Replay(soap("ReportStatusResponse"))
    await adapter(line).report("rx_1:settled", json.dumps(REPORT).encode())

    request = line.sent[0]
    said = cda_soap.body(request.body, OWN, "ReportStatus")
    status, money, reason = (said.find(f"{{{OWN}}}{name}") for name in ("status", "money", "reason"))
    assert (request.method, request.path, request.repeatable) == ("POST", "/exchange", True)
    assert request.headers["authorization"] == "Bearer MARK-token"
    assert request.headers["soapaction"] == f'"{OWN}:ReportStatus"'
    assert said.findtext(f"{{{OWN}}}key") == "rx_1:settled"
    assert reason is not None
    assert (reason.get("code"), reason.text) == ("checked", "已核对<&>")
    assert status is not None
    assert (status.get("code"), status.text) == ("60", "已结算")
    assert money is not None
    assert dict(money.attrib) == {"currency": "元", **REPORT["money"]}
    (line_,) = said.findall(f"{{{OWN}}}dispense/{{{OWN}}}line")
    assert (line_.text, line_.get("quantity"), line_.get("unit"), line_.get("returned")) == ("二甲双胍", "60", "片", "true")
    assert [(one.get("kind"), one.get("id"), one.get("payer")) for one in said.findall(f"{{{OWN}}}settlement")] == [
        ("settled", "S2", "centre"), ("reverses", "S1", "centre")]


async def test_a_hospital_that_answers_something_else_is_for_a_person_or_for_quarantine() -> None:
    with pytest.raises(NeedsOperator, match="HTTP 404"):
        await adapter(Replay(Response(404))).report("k", json.dumps(REPORT).encode())
    with pytest.raises(InvalidPayload):
        await adapter(Replay(Response(200, b"<html/>"))).report("k", json.dumps(REPORT).encode())


def test_a_manifest_without_its_facts_is_found_at_once() -> None:
    facts = HospitalManifest(slug="x", name="x", name_en="x", owner="x", dialect="cda", facts={"exchange_path": "/"})
    with pytest.raises(NeedsOperator, match="exchange_namespace"):
        Adapter(facts, Replay(), {"report_token": "x"})


# The poll.

def soap(name: str, inner: str = "") -> bytes:
    return cda_soap.envelope(f'<{name} xmlns="{OWN}">{inner}</{name}>'.encode())


class Offering:
    """A hospital that offers documents until they are acknowledged."""

    def __init__(self, **documents: str) -> None:
        self.documents = documents
        self.acknowledged: dict[str, bytes] = {}
        self.trouble: set[str] = set()

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0)
        call = etree.fromstring(request.body).find("{*}Body")[0]
        name = etree.QName(call).localname
        ref = call.findtext(f"{{{OWN}}}ref") or ""
        if ref in self.trouble:
            raise Transient("away")
        if name == "ListDocuments":
            return Response(200, soap(f"{name}Response", "".join(f"<ref>{one}</ref>" for one in self.documents)))
        if name == "FetchDocument":
            return Response(200, soap(f"{name}Response", f"<document>{self.documents[ref]}</document>"))
        self.documents.pop(ref, None)
        self.acknowledged[ref] = etree.tostring(call.find("{*}result"))
        return Response(200, soap(f"{name}Response"))


def offered(name: str) -> str:
    return base64.b64encode(sample(name)).decode()


async def test_documents_are_fetched_as_they_are_and_stay_until_they_are_settled() -> None:
    line = Offering(a=offered("western.xml"), b=offered("gb18030.xml"))
    hospital = adapter(line)

    first, again = await hospital.poll(10), await hospital.poll(10)
    assert [(one.ref, one.raw) for one in first] == [("a", sample("western.xml")), ("b", sample("gb18030.xml"))] == [
        (one.ref, one.raw) for one in again]
    assert [one.ref for one in await hospital.poll(1)] == ["a"]

    reply = hospital.answer(None, Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "received"))
    await hospital.hand_back("a", reply)
    await hospital.hand_back("a", reply)
    assert [one.ref for one in await hospital.poll(10)] == ["b"]
    assert etree.fromstring(line.acknowledged["a"]).findtext("{*}prescriptionId") == "rx_1"


async def test_a_document_that_cannot_be_fetched_does_not_hold_up_the_others() -> None:
    line = Offering(a=offered("western.xml"), b=offered("patent.xml"))
    line.trouble = {"a"}
    assert [one.ref for one in await adapter(line).poll(10)] == ["b"]

    line.trouble = {"a", "b"}
    with pytest.raises(Transient):
        await adapter(line).poll(10)


async def test_a_document_that_is_no_base64_reaches_intake_and_is_refused_there() -> None:
    fetched = await adapter(Offering(a="§§§")).poll(10)

    assert checked(fetched[0].raw)[0] is None


async def test_settling_says_what_was_answered() -> None:
    line = Offering(a="")
    await adapter(line).hand_back("a", Reply(cda_answers.result(Outcome.REFUSED, AT, findings=[replace(
        cda.RULES[0].finding("x"), spot=Spot("/a", 3, 4))])))

    assert etree.fromstring(line.acknowledged["a"]).findtext("{*}finding/{*}line") == "3"


# SOAP.

@pytest.mark.parametrize(("raw", "code"), [
    (b"", "Client"), (b"hello", "Client"), (b"<a/>", "Client"), (cda_soap.envelope(b""), "Client"),
    (cda_soap.envelope(b'<a xmlns="urn:x"/>'), "Client"), (cda_soap.envelope(b"<SubmitPrescription/>"), "Client"),
    (cda_soap.envelope(f'<SubmitPrescription xmlns="{cda.SERVICE}"><document>*</document></SubmitPrescription>'.encode()),
     "Client"),
    (cda_soap.envelope(b"<x/>").replace(cda_soap.SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"), "VersionMismatch"),
    (cda_soap.envelope(b"<x/>").replace(b"<soap:Body>", b'<soap:Header><w soap:mustUnderstand="1"/></soap:Header><soap:Body>'),
     "MustUnderstand"),
    (b'<!DOCTYPE a [<!ENTITY b "b">]>' + cda_soap.envelope(b"<x/>"), "Client"),
])
def test_what_is_no_call_is_a_fault(raw: bytes, code: str) -> None:
    with pytest.raises(cda_soap.Fault) as caught:
        cda_soap.call(raw)
    assert caught.value.code == code
    fault = etree.fromstring(cda_soap.fault(code, caught.value.words)).find("{*}Body/{*}Fault")
    assert fault is not None
    assert fault.findtext("faultcode") == f"soap:{code}"


def test_a_document_arrives_byte_for_byte() -> None:
    text = base64.encodebytes(sample("gb18030.xml")).decode()
    call = cda_soap.call(cda_soap.envelope(
        f'<s:SubmitPrescription xmlns:s="{cda.SERVICE}"><s:document>{text}</s:document></s:SubmitPrescription>'.encode()))

    assert (call.operation, call.raw) == ("SubmitPrescription", sample("gb18030.xml"))


def test_a_cancel_is_the_same_bytes_in_whatever_envelope_it_comes() -> None:
    call = cda_soap.call(sample("cancel.xml"))
    again = sample("cancel.xml").replace(b"<soapenv:Header/>", b'<soapenv:Header><id xmlns="urn:x">2</id></soapenv:Header>')
    other = cda_soap.call(again.replace(b"soapenv:", b"e:").replace(b"xmlns:soapenv", b'xmlns:a="urn:a" xmlns:e'))
    message, findings = checked(call.raw)

    assert (call.operation, call.number) == ("CancelPrescription", "RX0001")
    assert call.raw == other.raw
    assert message
    assert message.key == "CX0001"
    assert not findings
    assert b"soapenv" not in call.raw
    assert cda_soap.call(sample("cancel.xml").replace(b"prescriber", b"patient")).raw != call.raw
