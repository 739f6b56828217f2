"""What is knowingly left out has a reason, and is never patient, allergy, drug, dose, time or order."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters import registry
from adapters.kit import samples
from adapters.kit.left_out import absent, left_out, listed, of_cancels
from tests.prove.fidelity import Seen, try_all
from tests.support.city import make_city

HOSPITALS = registry.slugs("hospitals")

_ROLE = "/ClinicalDocument/recordTarget/patientRole"
_DRUG = "/ClinicalDocument/component/structuredBody/component(10160-0)/section(10160-0)/entry/substanceAdministration"
_DETAIL = f"{_DRUG}/entryRelationship(DE06.00.135.00)/observation(DE06.00.135.00)"
_SAID = "/ClinicalDocument/component/structuredBody/component(supplement)/section(supplement)"

PROTECTED = {
    "fhir-r4-push": (
        "Patient.name", "Patient.name.text", "Patient.identifier", "Patient.identifier.value", "Patient.gender",
        "Patient.birthDate",
        "Patient.telecom", "Patient.telecom.value", "Patient.telecom.rank", "Patient.telecom.period", "Patient.address",
        "Patient.address.text", "Patient.address.period", "Patient.deceasedBoolean", "Patient.active",
        "Patient.extension(allergy-group).valueCode", "Patient.extension(allergy-words).valueString",
        "Patient.extension(no-known-allergies).valueBoolean", "RelatedPerson.name", "RelatedPerson.identifier",
        "Condition.code", "Condition.code.coding.code", "Condition.verificationStatus", "Observation.valueQuantity",
        "Observation.effectiveDateTime", "Observation.component.valueQuantity", "Encounter.class.code",
        "MedicationRequest.status",
        "MedicationRequest.intent", "MedicationRequest.authoredOn", "MedicationRequest.note",
        "MedicationRequest.substitution",
        "MedicationRequest.doNotPerform", "MedicationRequest.groupIdentifier", "MedicationRequest.identifier",
        "MedicationRequest.medicationCodeableConcept", "MedicationRequest.medicationCodeableConcept.coding.code",
        "MedicationRequest.medicationCodeableConcept.text", "MedicationRequest.dosageInstruction",
        "MedicationRequest.dosageInstruction.text", "MedicationRequest.dosageInstruction.timing.code",
        "MedicationRequest.dosageInstruction.timing.repeat", "MedicationRequest.dosageInstruction.route",
        "MedicationRequest.dosageInstruction.doseAndRate.doseQuantity.value",
        "MedicationRequest.dosageInstruction.doseAndRate.doseQuantity.unit",
        "MedicationRequest.dispenseRequest.quantity",
        "MedicationRequest.dispenseRequest.expectedSupplyDuration", "MedicationRequest.dispenseRequest.validityPeriod"),
    "erx": tuple(f"D001.{field}" for field in (
        "hospRxno", "rxDrugCnt", "rxUsedWayCodg", "rxCotnFlag", "prscTime", "valiDays", "valiEndTime", "rxTypeCode",
        "certno",
        "patnName", "mdtrtinfo.patnAge", "mdtrtinfo.gend", "mdtrtinfo.algsHis", "mdtrtinfo.gesoVal",
        "mdtrtinfo.nwbFlag",
        "mdtrtinfo.prscTime", "mdtrtinfo.diseCodg", "mdtrtinfo.extras.allergies", "diseinfo.diagCode",
        "diseinfo.diagName",
        "rxdrugdetail", "rxdrugdetail.medListCodg", "rxdrugdetail.drugGenname", "rxdrugdetail.drugProdname",
        "rxdrugdetail.drugDosform",
        "rxdrugdetail.drugSpec", "rxdrugdetail.medcWayCodg", "rxdrugdetail.medcWayDscr", "rxdrugdetail.medcBegntime",
        "rxdrugdetail.medcEndtime", "rxdrugdetail.medcDays", "rxdrugdetail.drugCnt", "rxdrugdetail.drugDosunt",
        "rxdrugdetail.sinDoscnt", "rxdrugdetail.sinDosunt", "rxdrugdetail.usedFrquCodg", "rxdrugdetail.usedFrquName",
        "rxdrugdetail.hospApprFlag", "rxdrugdetail.drugTotlcnt", "rxdrugdetail.drugTotlcntEmp", "rxdrugdetail.extras")),
    "cda": (
        f"{_ROLE}/addr", f"{_ROLE}/telecom/@value", f"{_ROLE}/patient/name", f"{_ROLE}/patient/id/@extension",
        f"{_ROLE}/id/@extension", f"{_ROLE}/patient/age/@value", f"{_ROLE}/patient/age/@unit",
        f"{_ROLE}/patient/birthTime/@value",
        f"{_ROLE}/patient/administrativeGenderCode/@code", f"{_ROLE}/patient/deceasedInd/@value",
        f"{_ROLE}/patient/guardian",
        "/ClinicalDocument/author/time/@value",
        "/ClinicalDocument/relatedDocument/parentDocument/id/@extension",
        _DRUG, f"{_DRUG}/text", f"{_DRUG}/effectiveTime/width/@value", f"{_DRUG}/effectiveTime/width/@unit",
        f"{_DRUG}/routeCode/@code",
        f"{_DRUG}/doseQuantity/@value", f"{_DRUG}/doseQuantity/@unit", f"{_DRUG}/rateQuantity/@value",
        f"{_DRUG}/rateQuantity/@unit",
        f"{_DRUG}/maxDoseQuantity", f"{_DRUG}/repeatNumber", f"{_DRUG}/precondition", f"{_DRUG}/entryRelationship",
        f"{_DRUG}/consumable/manufacturedProduct/manufacturedLabeledDrug/code/@code",
        f"{_DRUG}/consumable/manufacturedProduct/manufacturedLabeledDrug/name", f"{_DETAIL}/value/@value",
        f"{_DETAIL}/value/@unit",
        *(f"{_SAID}/entry({code})/observation({code})/value/@code" for code in ("allergy-group", "allergy-words",
        "prescription-kind"))),
    "hl7v2": (
        "PID", "PID-3", "PID-3.1", "PID-5", "PID-5.1", "PID-5.2", "PID-7", "PID-8", "PID-11", "PID-11.1", "PID-13",
        "PID-13.12", "PID-29",
        "PID-30", "NK1-2", "NK1-33", *(f"AL1-{number}" for number in range(2, 7)),
        *(f"IAM-{number}" for number in (2, 3, 4, 5, 6, 9, 17)),
        "AL1-3.1", "AL1-3.2", "IAM-3.1", "IAM-3.2", "ORC-1", "ORC-4", "ORC-4.1", "ORC-5", "ORC-7", "ORC-9", "ORC-16",
        *(f"RXE-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 21, 23, 25, 26, 27, 28, 29, 31)),
        "RXE-2.1", "RXE-2.2",
        "RXE-5.1", "RXE-11.1", "RXE-21.2",
        *(f"RXO-{number}" for number in (1, 2, 3, 4, 6, 7, 9, 11, 12, 13, 18, 19, 20, 24)),
        *(f"TQ1-{number}" for number in range(2, 15)), "TQ1-3.1", "TQ1-3.1.1", "TQ1-6.1", "TQ1-6.2", "RXR", "RXR-1",
        "RXR-2", "RXC", "TQ2",
        "DG1-3", "DG1-21", "OBX-3", "OBX-5", "OBX-6", "OBX-11", "OBX-14", "NTE-3", "NTE-4", "ZRX-1", "ZRX-3"),
    "dropbox": (
        "操作", "流水号", "处方号", "开方时间", "有效天数", "处方类型", "取药方式", "姓名", "身份证号", "性别",
        "出生日期", "联系电话", "住址",
        "年龄", "过敏", "过敏史", "孕周", "哺乳", "监护人姓名", "监护人身份证号", "诊断编码", "诊断名称", "处方备注",
        "剂数", "煎法", "每日次数",
        "收缩压", "舒张压", "血糖", "测量时间", "药品编码", "药品名称", "药品类别", "单次用量", "用量", "用量单位",
        "频次", "途径", "数量",
        "天数", "规格", "撤销原因", "撤销时间"),
}
"""Dialect -> places nobody may put on a list of what is left out. That their absence means something agreed may be said."""


@pytest.mark.parametrize("slug", HOSPITALS)
def test_whatever_is_left_out_or_may_be_absent_has_a_reason(slug: str) -> None:
    assert left_out(slug)
    for place, reason in (left_out(slug) | absent(slug) | of_cancels(slug)).items():
        assert len(reason.strip()) > 8, place
    assert not left_out(slug).keys() & absent(slug).keys()


@pytest.mark.parametrize("slug", HOSPITALS)
def test_nothing_of_patient_allergy_drug_dose_time_or_order_is_left_out(slug: str) -> None:
    protected = PROTECTED[registry.manifest("hospitals", slug).dialect]
    assert [place for place in protected if listed(place, left_out(slug))] == []


@pytest.mark.parametrize(("slug", "every"), [
    ("jinan_first", 79), ("jinan_second", 29), ("jinan_tcm", 199), ("jinan_central", 199), ("jinan_county", 39)])
def test_a_quick_look_finds_nothing_passed_over_in_silence(slug: str, every: int, tmp_path: Path) -> None:
    """`./go prove fidelity` takes them all."""
    city = make_city(tmp_path)
    try:
        tally = try_all(replace(city, hospitals={slug: samples.reader(slug)}), slug, every)
    finally:
        city.db.close()
    assert sum(tally.counts.values()) > 15
    assert tally.unseen == []
    assert not any(seen == Seen.CRASH for _, seen in tally.counts)
