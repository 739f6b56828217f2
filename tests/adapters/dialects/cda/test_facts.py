"""Allergies, visit, readings, guardian, renewal and signature."""

import base64
import hashlib
from decimal import Decimal

import pytest

from adapters.dialects import cda
from tests.support.cda_documents import PATIENT, admitted, changed, checked, observation, sample, section


def supplemented(*observations: str) -> bytes:
    code = '<code code="supplement" codeSystem="2.25.249319805440984658538752383164226057002" displayName="处方流转补充信息"/>'
    return changed(f"{code}\n          <text/>", code + "".join(f"<entry>{one}</entry>" for one in observations))


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
