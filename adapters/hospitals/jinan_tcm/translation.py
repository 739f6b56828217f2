"""This hospital's documents by field, and our reports in its words. Pure.

DE06.00.135.00 (药物使用总剂量) is in the unit the pharmacy counts, as the hospital's interface has it. Disease and syndrome
of Chinese medicine (DE05.10.130.00) have no place in the contract; they stay in the archived document.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree

from adapters.dialects import cda
from adapters.mapping import Codes
from adapters.xml import Element
from fhir_profiles.drafts import NOTHING, CancelDraft, DiagnosisDraft, Draft, ItemDraft, PatientDraft, Said

GENDERS = {"1": "male", "2": "female"}
"""GB/T 2261.1."""

STATUS_WORDS: Mapping[str, tuple[str, str]] = {
    "received": ("10", "已接收"), "audited": ("11", "已审核"), "in_review": ("20", "药师审方中"),
    "reviewed": ("21", "药师审方通过"), "allocating": ("30", "分配药房中"), "fulfilling": ("40", "药房配药中"),
    "fulfilled": ("50", "已取药"), "settled": ("60", "已结算"), "closed": ("70", "已办结"), "refused": ("90", "审核不通过"),
    "returned": ("91", "药师退回"), "cancelled": ("92", "已撤销"), "expired": ("93", "已过期"),
    "cancel_refused": ("94", "撤销未成"), "invalid": ("95", "文档不符约定"),
}
"""Our word for where a prescription is -> the hospital's code and word for it."""

Extra = Mapping[str, Sequence[Said]]


def prescription(document: cda.Document, hospital: str, piece_category: str, theirs: Codes) -> Draft:
    """A document as a draft. Codes nobody has mapped are left in place, and listed in `theirs`."""
    root = document.root
    role, extra = cda.find(root, "recordTarget/patientRole"), cda.supplement(root)
    custodian = cda.find(root, "custodian/assignedCustodian/representedCustodianOrganization")
    author = cda.find(root, "author")
    medication = cda.sections(root, cda.MEDICATION)
    number = cda.identifier(role, cda.PRESCRIPTION_NUMBER, "DE01.00.020.00")
    issued = cda.moment(cda.said(cda.find(author, "time"), "value"))
    return Draft(
        hospital=hospital,
        key=document.key,
        number=number,
        sent=cda.moment(cda.said(cda.find(root, "effectiveTime"), "value")),
        issued=issued,
        valid_until=_valid_until(issued, medication),
        rx_kind=_extra(extra, "prescription-kind"),
        handover=_extra(extra, "handover"),
        patient=_patient(role, extra),
        physician=cda.identifier(cda.find(author, "assignedAuthor"), cda.AUTHOR),
        physician_name=cda.said(cda.find(author, "assignedAuthor/assignedPerson/name")),
        institution=cda.identifier(custodian, cda.INSTITUTION),
        institution_name=cda.said(cda.find(custodian, "name")),
        visit_class=_extra(extra, "visit-class"),
        visit_type=_extra(extra, "visit-type"),
        insutype=_extra(extra, "insutype"),
        insured_place=_extra(extra, "insured-place"),
        diagnoses=[_diagnosis(one, theirs) for section in cda.sections(root, cda.DIAGNOSES)
                   for one in cda.observations(section, "DE05.01.024.00")],
        items=[item for section in medication
               for item in _items(section, document.chinese, number, piece_category, theirs)],
        chronic_disease=_extra(extra, "chronic-disease"),
        proof_issued=cda.day(_extra(extra, "proof-issued")),
        proof_diagnoses=extra.get("proof-diagnosis", ()),
        independent_years=_extra(extra, "independent-years"),
        extend_reason=_extra(extra, "extend-reason"),
        long_term_assessed=_extra(extra, "long-term-assessed"),
        patient_acknowledged=_extra(extra, "patient-acknowledged"),
    )


def cancel(request: cda.Cancel, hospital: str) -> CancelDraft:
    return CancelDraft(hospital, request.key, request.number, request.reason, request.at)


def _patient(role: Element | None, extra: Extra) -> PatientDraft:
    person = cda.find(role, "patient")
    id_number = cda.identifier(person, cda.RESIDENT_ID, "DE02.01.030.00")
    gender = cda.said(cda.find(person, "administrativeGenderCode"), "code", "DE02.01.040.00")
    born = cda.day(cda.said(cda.find(person, "birthTime"), "value"))
    if not born.value and len(id_number.value) == 18:
        # The standard has the age instead; the number says it exactly.
        born = cda.day(replace(id_number, value=id_number.value[6:14]))
    phone = cda.said(cda.find(role, "telecom"), "value")
    return PatientDraft(
        id_number=id_number,
        name=cda.said(cda.find(person, "name"), de="DE02.01.039.00"),
        gender=replace(gender, value=GENDERS.get(gender.value, gender.value)),
        birth_date=born,
        phone=replace(phone, value=phone.value.removeprefix("tel:")),
        address=cda.said(cda.find(role, "addr")),
        district=_extra(extra, "district"),
        latitude=_extra(extra, "latitude"),
        longitude=_extra(extra, "longitude"),
        allergies=extra.get("allergy-group", ()),
        pregnancy_weeks=_extra(extra, "pregnancy-weeks"),
        lactating=_extra(extra, "lactating"),
        guardian_confirmed=_extra(extra, "guardian-confirmed"),
    )


def _diagnosis(observation: Element, theirs: Codes) -> DiagnosisDraft:
    name = cda.said(cda.find(observation, "value"), "displayName", "DE05.01.024.00")
    return DiagnosisDraft(theirs.ours("diagnosis", cda.value(observation, "DE05.01.024.00"), name.value), name)


def _items(section: Element, chinese: bool, number: Said, piece_category: str, theirs: Codes) -> list[ItemDraft]:
    """The drugs of one section: all western, all patent medicine, or all pieces of one decoction."""
    category = cda.observed(section, "DE08.50.032.00")
    pieces = chinese and category.value == piece_category
    kind = "tcm_piece" if pieces else "tcm_patent" if chinese else "western"
    decoction = next(iter(cda.observations(section, "DE08.50.049.00")), None)
    doses = cda.observed(decoction, "DE08.50.050.00") if pieces else NOTHING
    usage = _together(cda.observed(decoction, "DE08.50.047.00"), cda.observed(decoction, "DE06.00.136.00"))
    return [_item(one, line, number, Said(kind, category.spot), doses, usage, theirs)
            for line, one in enumerate(cda.entries([section], "substanceAdministration"), 1)]


def _item(one: Element, line: int, number: Said, kind: Said, doses: Said, usage: Said, theirs: Codes) -> ItemDraft:
    drug = cda.find(one, "consumable/manufacturedProduct/manufacturedLabeledDrug")
    name = cda.said(cda.find(drug, "name"), de="DE08.50.022.00")
    dose = cda.find(one, "doseQuantity")
    rate = cda.said(cda.find(one, "rateQuantity"), "value", "DE06.00.133.00")
    per = cda.said(cda.find(one, "rateQuantity"), "unit", "DE06.00.133.00")
    own_number = cda.said(cda.find(one, "id"), "extension")
    single = cda.said(dose, "value", "DE08.50.023.00")
    dose_unit = theirs.ours("unit", cda.said(dose, "unit", "DE08.50.024.00"))
    total = next(iter(cda.observations(one, "DE06.00.135.00")), None)
    quantity, unit = (_times(single, doses), dose_unit) if doses.value else (NOTHING, NOTHING)
    if total is not None:
        quantity, unit = cda.value(total, "DE06.00.135.00"), theirs.ours("unit", cda.unit_of(total, "DE06.00.135.00"))
    days = cda.said(cda.find(one, "effectiveTime/width"), "value")
    return ItemDraft(
        # The standard gives the drugs of a prescription no number of their own.
        number=own_number if own_number.value else replace(number, value=f"{number.value}-{line}" if number.value else ""),
        drug=theirs.ours("drug", cda.said(cda.find(drug, "code"), "code", "DE08.50.022.00"), name.value),
        name=name,
        kind=kind,
        dose=single,
        dose_unit=dose_unit,
        frequency=theirs.ours("frequency", replace(rate, value=f"{rate.value}{per.value}")),
        route=theirs.ours("route", cda.said(cda.find(one, "routeCode"), "code", "DE06.00.134.00")),
        quantity=quantity,
        unit=unit,
        days=days if days.value else doses,  # one dose of a decoction a day
        usage=usage,
        overdose_reason=cda.observed(one, "overdose-reason", cda.SUPPLEMENT),
    )


def _valid_until(issued: Said, medication: Sequence[Element]) -> Said:
    stated = next((one for section in medication for one in cda.observations(section, "DE06.00.294.00")), None)
    if stated is None:
        return NOTHING
    days, unit = cda.value(stated, "DE06.00.294.00"), cda.unit_of(stated)
    if unit.value not in ("天", "日", "d"):
        return replace(days, value=f"{days.value}{unit.value}")
    return cda.days_after(issued, days)


def _times(dose: Said, doses: Said) -> Said:
    """Grams of a dose times the number of doses."""
    try:
        return replace(doses, value=f"{(Decimal(dose.value) * Decimal(doses.value)).normalize():f}")
    except InvalidOperation:
        return NOTHING


def _together(*parts: Said) -> Said:
    given = [part for part in parts if part.value]
    return replace(given[0], value="；".join(part.value for part in given)) if given else NOTHING


def _extra(extra: Extra, name: str) -> Said:
    return next(iter(extra.get(name, ())), NOTHING)


# Reports.

def report(body: bytes, namespace: str) -> bytes:
    """One status report (contract 1.3) as the hospital's ReportStatus."""
    given = json.loads(body)
    code, word = STATUS_WORDS.get(given["status"], ("99", given["status"]))

    def make(name: str, *inner: Element | str, **attributes: str) -> Element:
        return cda.element(namespace, name, *inner, **attributes)

    def finding(one: Mapping[str, Any]) -> Element:
        about = {"line": one.get("line"), "place": one.get("spot")}
        return make("finding", str(one["text"]), code=str(one["code"]), severity=str(one["severity"]),
                    **{name: str(said) for name, said in about.items() if said})

    parts = [make("key", given["key"]), make("prescriptionNumber", given["prescription"] or ""),
             make("platformId", given.get("id") or ""), make("status", word, code=code), make("at", given["at"]),
             make("reason", given.get("reason") or ""), *map(finding, given.get("findings", ()))]
    if pickup := given.get("pickup"):
        parts.append(make("pickup", **{name: str(pickup[name]) for name in ("order", "chain", "store", "code")}))
    if money := given.get("money"):
        parts.append(make("money", currency="元", **{name: str(money[name]) for name in ("total", "fund", "account", "cash")}))
    return bytes(etree.tostring(make("ReportStatus", *parts), encoding="utf-8"))
