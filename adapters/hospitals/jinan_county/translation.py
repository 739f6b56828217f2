"""The county hospital's rows in our words. Pure: no files, no codes but those handed in."""

from collections.abc import Mapping
from typing import Final

from adapters.dialects.dropbox import (
    DOSES,
    TIMES,
    WEEKS,
    YEARS,
    Line,
    Paper,
    Translation,
    allergies,
    check_age,
    diagnoses,
    later,
    several,
)
from adapters.dialects.dropbox_tables import Layout
from adapters.mapping import Codes
from adapters.registry import HospitalManifest
from domain.units import spellings
from fhir_profiles.drafts import (
    CancelDraft,
    Datum,
    DecoctionDraft,
    Draft,
    GuardianDraft,
    ItemDraft,
    PatientDraft,
    ReadingDraft,
    SignatureDraft,
)

SLUG: Final = "jinan_county"

ACTIONS: Final = {"新开": "prescription", "撤销": "cancel", "作废": "cancel"}
RX_KINDS: Final = {"普通": "general", "急诊": "emergency", "长期": "long_term", "慢病长期": "long_term"}
HANDOVERS: Final = {"自取": "pickup", "配送": "home", "快递": "home"}
GENDERS: Final = {"男": "male", "女": "female", "M": "male", "F": "female"}
VISIT_CLASSES: Final = {"互联网": "VR", "门诊": "AMB"}
VISIT_TYPES: Final = {"初诊": "first", "复诊": "follow-up"}
INSUTYPES: Final = {"职工": "310", "居民": "390"}
KINDS: Final = {"西药": "western", "中成药": "tcm_patent", "中药饮片": "tcm_piece"}
CANCEL_REASONS: Final = {
    "医师撤销": "prescriber", "患者放弃": "patient", "重复": "duplicate", "录入错误": "entered-in-error", "其他": "other"}
TITLES: Final = {"主任医师": "231", "副主任医师": "232", "主治医师": "233", "医师": "234", "医士": "235"}
GUARDIANSHIPS: Final = {
    "父亲": "parent", "母亲": "parent", "父母": "parent", "祖父母": "grandparent", "外祖父母": "grandparent", "兄": "sibling",
    "姐": "sibling", "其他监护人": "guardian"}
SKIN_TESTS: Final = {
    "阴性": "negative", "-": "negative", "(-)": "negative", "阳性": "positive", "+": "positive", "(+)": "positive"}
APPROVALS: Final = {"符合": "1", "不符合": "0", "自费": "2"}
DECOCTION_METHODS: Final = {
    "水煎服": "decoct", "自煎": "decoct", "代煎": "decoct-by-pharmacy", "泡服": "infuse", "研末冲服": "powder",
    "煎汤外用": "external"}
DECOCTION_MARKS: Final = {
    "先煎": "first", "后下": "last", "包煎": "wrapped", "另煎": "separate", "烊化": "melted", "冲服": "taken-with"}

LEFT_OUT: Final[Mapping[str, str]] = {
    "医师姓名": "read and checked, and not kept: the national code says which physician it is",
    "机构名称": "read and checked, and not kept: the drop box says which hospital it is",
    "上传时间": "read and checked, and not kept: it is about the export",
    "序号": "read and checked, and not kept: lines are counted as they stand",
    "单价": "the pharmacy that fills the prescription sets its prices",
    "金额": "the pharmacy that fills the prescription sets its prices",
    "总金额": "the pharmacy that fills the prescription sets its prices",
    "费别": "who pays is asked of the insurance, by the insured place and type that are read",
    "发票号": "accounting of the hospital's own",
    "收费员": "accounting of the hospital's own",
    "打印次数": "about the hospital's printout",
    "打印人": "about the hospital's printout",
    "导出人": "about the export, not the prescription",
    "导出时间": "about the export; the column of the hand-over is read",
    "导出批次": "about the export, not the prescription",
    "软件版本": "about the export, not the prescription",
    "@version": "about the export, not the prescription",
}
"""Column, element or attribute that leaves no trace in what is kept -> why."""
ABSENT: Final[Mapping[str, str]] = {
    "操作": "absent means a new prescription, as agreed: the columns of a cancel are refused then, and those of a drug asked for",
    "流水号": "another row of the same prescription says it; where they differ, or no row has one, it is refused",
}
"""Column whose absence alone changes nothing -> why; what stands in it is read and compared."""


def layout(manifest: HospitalManifest) -> Layout:
    """How this hospital lays out its files."""
    return Layout(
        manifest.columns, ACTIONS, manifest.facts["prescription_element"], manifest.facts["item_element"],
        {name: reason for name, reason in LEFT_OUT.items() if name not in manifest.columns},
        units={"days": spellings("d"), "valid_days": spellings("d"), "pregnancy_weeks": WEEKS,
               "independent_years": YEARS, "age": YEARS, "systolic": frozenset({"mmhg"}),
               "diastolic": frozenset({"mmhg"}), "glucose": frozenset({"mmol/l"}), "latitude": frozenset({"°", "度"}),
               "longitude": frozenset({"°", "度"}), "decoction_doses": DOSES,
               "decoction_times": TIMES},
        unit_words=_UNIT_WORDS)


_UNIT_WORDS: Final = frozenset({
    "mg", "g", "kg", "ug", "μg", "mcg", "ml", "l", "iu", "u", "mmol", "mmhg", "kpa", "mmol/l", "mg/dl", "毫克", "克", "微克",
    "毫升", "单位", "国际单位", "万单位", "片", "粒", "支", "盒", "瓶", "袋", "板", "月", "小时", "h", "°", "度",
    *spellings("d"), *WEEKS, *YEARS, *DOSES, *TIMES})


def prescription(paper: Paper, codes: Codes) -> Draft:
    datum = paper.datum
    issued = paper.moment("issued")
    patient = _patient(paper)
    check_age(paper, patient.birth_date, issued)
    return Draft(
        hospital=SLUG,
        key=datum("key"),
        number=datum("number"),
        sent=paper.moment("sent"),
        issued=issued,
        valid_until=later(issued, paper.amount("valid_days", into="d")),
        rx_kind=paper.word("rx_kind", RX_KINDS),
        handover=paper.word("handover", HANDOVERS),
        patient=patient,
        physician=datum("physician"),
        physician_name=datum("physician_name"),
        title=paper.word("title", TITLES),
        department=datum("department"),
        department_name=datum("department_name"),
        institution=datum("institution"),
        institution_name=datum("institution_name"),
        visit_number=datum("visit_number"),
        visit_class=paper.word("visit_class", VISIT_CLASSES),
        visit_type=paper.word("visit_type", VISIT_TYPES),
        insutype=paper.word("insutype", INSUTYPES),
        insured_place=datum("insured_place"),
        diagnoses=diagnoses(paper, codes),
        items=[_item(line, codes) for line in paper.items],
        chronic_disease=datum("chronic_disease"),
        proof_issued=paper.day("proof_issued"),
        proof_diagnoses=several(datum("proof_diagnoses")),
        independent_years=paper.amount("independent_years", YEARS),
        extend_reason=datum("extend_reason"),
        valid_reason=datum("valid_reason"),
        note=datum("note"),
        decoction=_decoction(paper),
        renewal_first=datum("renewal_first"),
        renewal_start=paper.day("renewal_start"),
        renewal_end=paper.day("renewal_end"),
        readings=_readings(paper),
        signature=_signature(paper),
        long_term_assessed=paper.flag("long_term_assessed"),
        patient_acknowledged=paper.flag("patient_acknowledged"),
    )


def _patient(paper: Paper) -> PatientDraft:
    datum = paper.datum
    stated = allergies(paper, "allergies", "allergy_history")
    return PatientDraft(
        id_number=datum("id_number"),
        name=datum("name"),
        gender=paper.word("gender", GENDERS),
        birth_date=paper.day("birth_date"),
        phone=datum("phone"),
        address=datum("address"),
        district=datum("district"),
        latitude=paper.number("latitude"),
        longitude=paper.number("longitude"),
        allergies=stated.groups,
        allergy_words=stated.words,
        no_known_allergies=stated.none,
        pregnancy_weeks=paper.amount("pregnancy_weeks", WEEKS),
        lactating=paper.flag("lactating"),
        guardian_confirmed=paper.flag("guardian_confirmed"),
        credential=datum("credential"),
        guardian=_guardian(paper),
    )


def _guardian(paper: Paper) -> GuardianDraft | None:
    name, number, relation = (
        paper.datum("guardian_name"), paper.datum("guardian_id"), paper.word("guardianship", GUARDIANSHIPS))
    return GuardianDraft(name, number, relation) if name.value or number.value or relation.value else None


def _decoction(paper: Paper) -> DecoctionDraft | None:
    doses, method, times = (paper.amount("decoction_doses", DOSES), paper.word("decoction_method", DECOCTION_METHODS),
                            paper.amount("decoction_times", TIMES))
    parts = [(name, said) for name, said in (("decoction_doses", doses), ("decoction_method", method), ("decoction_times", times))
            if said.value]
    if not parts:
        return None
    if not any(line.word("kind", KINDS).value == "tcm_piece" for line in paper.items):
        for name, datum in parts:
            paper.refuse("PIECES_ONLY", name, datum)
    return DecoctionDraft(doses, method, times)


def _readings(paper: Paper) -> list[ReadingDraft]:
    """Blood pressure and blood sugar measured at home; which one and in which unit its column says."""
    at = paper.moment("measured_at")
    systolic, diastolic, glucose = (paper.number(name) for name in ("systolic", "diastolic", "glucose"))
    readings = []
    if systolic.value or diastolic.value:
        parts = [(Datum(loinc, said.spot), said, Datum("mm[Hg]", said.spot))
                 for loinc, said in (("8480-6", systolic), ("8462-4", diastolic))]
        readings.append(ReadingDraft(Datum("85354-9", systolic.spot), at, parts=parts))
    if glucose.value:
        readings.append(ReadingDraft(Datum("15074-8", glucose.spot), at, glucose, Datum("mmol/L", glucose.spot)))
    if at.value and not readings:
        paper.refuse("READING_INCOMPLETE", "measured_at", at)
    return readings


def _signature(paper: Paper) -> SignatureDraft | None:
    at, data = paper.moment("signed_at"), paper.datum("signature")
    return SignatureDraft(at, data) if at.value or data.value else None


def _item(line: Line, codes: Codes) -> ItemDraft:
    datum = line.datum
    dose, dose_unit = line.measure("dose", "dose_unit", codes)
    quantity, unit = line.measure("quantity", "unit", codes)
    return ItemDraft(
        number=datum("item"),
        drug=codes.ours("drug", datum("drug"), datum("drug_name").value),
        name=datum("drug_name"),
        kind=line.word("kind", KINDS),
        dose=dose,
        dose_unit=dose_unit,
        frequency=codes.ours("frequency", datum("frequency")),
        route=codes.ours("route", datum("route")),
        quantity=quantity,
        unit=unit,
        days=line.amount("days", into="d"),
        usage=datum("usage"),
        note=datum("item_note"),
        overdose_reason=datum("overdose_reason"),
        decoction_mark=line.word("decoction_mark", DECOCTION_MARKS),
        skin_test=line.word("skin_test", SKIN_TESTS),
        skin_test_at=line.moment("skin_test_at"),
        skin_test_exemption=datum("skin_test_exemption"),
        approval=line.word("approval", APPROVALS),
        strength=line.number("strength"),
        pack_size=line.number("pack_size"),
    )


def cancel(paper: Paper) -> CancelDraft:
    datum = paper.datum
    return CancelDraft(SLUG, datum("key"), datum("number"), paper.word("cancel_reason", CANCEL_REASONS),
                       paper.moment("cancelled_at"))


TRANSLATION: Final = Translation(prescription, cancel)
