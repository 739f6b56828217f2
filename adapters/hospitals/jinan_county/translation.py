"""The county hospital's rows in our words. Pure: no files, no codes but those handed in."""

from itertools import zip_longest
from typing import Final

from adapters.dialects.dropbox import Line, Paper, Translation, day, flag, later, moment, number, several, word
from adapters.mapping import Codes
from fhir_profiles.drafts import NOTHING, CancelDraft, DiagnosisDraft, Draft, ItemDraft, PatientDraft

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


def prescription(paper: Paper, codes: Codes) -> Draft:
    said = paper.said
    issued = moment(said("issued"))
    return Draft(
        hospital=SLUG,
        key=said("key"),
        number=said("number"),
        sent=moment(said("sent")),
        issued=issued,
        valid_until=later(issued, number(said("valid_days"))),
        rx_kind=word(said("rx_kind"), RX_KINDS),
        handover=word(said("handover"), HANDOVERS),
        patient=_patient(paper),
        physician=said("physician"),
        physician_name=said("physician_name"),
        institution=said("institution"),
        institution_name=said("institution_name"),
        visit_class=word(said("visit_class"), VISIT_CLASSES),
        visit_type=word(said("visit_type"), VISIT_TYPES),
        insutype=word(said("insutype"), INSUTYPES),
        insured_place=said("insured_place"),
        diagnoses=[DiagnosisDraft(codes.ours("diagnosis", code, name.value), name) for code, name in zip_longest(
            several(said("diagnoses")), several(said("diagnosis_names")), fillvalue=NOTHING)],
        items=[_item(line, codes) for line in paper.items],
        chronic_disease=said("chronic_disease"),
        proof_issued=day(said("proof_issued")),
        proof_diagnoses=several(said("proof_diagnoses")),
        independent_years=number(said("independent_years")),
        extend_reason=said("extend_reason"),
        long_term_assessed=flag(said("long_term_assessed")),
        patient_acknowledged=flag(said("patient_acknowledged")),
    )


def _patient(paper: Paper) -> PatientDraft:
    said = paper.said
    return PatientDraft(
        id_number=said("id_number"),
        name=said("name"),
        gender=word(said("gender"), GENDERS),
        birth_date=day(said("birth_date")),
        phone=said("phone"),
        address=said("address"),
        district=said("district"),
        latitude=number(said("latitude")),
        longitude=number(said("longitude")),
        allergies=several(said("allergies")),
        pregnancy_weeks=number(said("pregnancy_weeks")),
        lactating=flag(said("lactating")),
        guardian_confirmed=flag(said("guardian_confirmed")),
    )


def _item(line: Line, codes: Codes) -> ItemDraft:
    said = line.said
    return ItemDraft(
        number=said("item"),
        drug=codes.ours("drug", said("drug"), said("drug_name").value),
        name=said("drug_name"),
        kind=word(said("kind"), KINDS),
        dose=number(said("dose")),
        dose_unit=codes.ours("unit", said("dose_unit")),
        frequency=codes.ours("frequency", said("frequency")),
        route=codes.ours("route", said("route")),
        quantity=number(said("quantity")),
        unit=codes.ours("unit", said("unit")),
        days=number(said("days")),
        usage=said("usage"),
        overdose_reason=said("overdose_reason"),
    )


def cancel(paper: Paper) -> CancelDraft:
    said = paper.said
    return CancelDraft(SLUG, said("key"), said("number"), word(said("cancel_reason"), CANCEL_REASONS),
                       moment(said("cancelled_at")))


TRANSLATION: Final = Translation(prescription, cancel)
