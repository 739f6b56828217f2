"""This hospital's documents by field, and our reports in its words. Pure.

DE06.00.135.00 (药物使用总剂量) is in the unit the pharmacy counts, as the hospital's interface has it. Words reach the
pharmacist unchanged. Those of one drug go into its directions and note, all others into the prescription's note.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from adapters.dialects import cda, cda_answers, cda_patient, cda_values, cda_words
from adapters.dialects import cda_grammar as names
from adapters.mapping import Codes
from adapters.messages import reason_words
from adapters.xml import Element
from domain import allergies
from domain.lifecycle import Notice, Reported, Status, reported
from fhir_profiles.drafts import (
    NOTHING,
    CancelDraft,
    Datum,
    DecoctionDraft,
    DiagnosisDraft,
    Draft,
    ItemDraft,
    PatientDraft,
    ReadingDraft,
    SignatureDraft,
)

GENDERS = {"1": "male", "2": "female"}
"""GB/T 2261.1."""
GENDER_WORDS = {"男": "1", "男性": "1", "女": "2", "女性": "2"}
ROUTE_WORDS = {"口服": "PO", "舌下": "SL", "舌下含服": "SL", "舌下给药": "SL", "皮下": "SC", "皮下注射": "SC", "吸入": "INH",
               "雾化吸入": "INH", "吸入给药": "INH", "滴眼": "OPH", "眼用": "OPH"}
"""What the hospital calls a route -> our code: compared with the code beside it."""
PATENT_CATEGORY = "2"
"""DE08.50.032.00 of a section of 中成药."""
DOSES = ("剂", "付", "帖", "贴")
"""Units of decoctions."""
DEPARTMENT = re.compile(r"[0-9]{2}(\.[0-9]{2})?")
"""诊疗科目, as 医疗机构诊疗科目名录 numbers them."""
READING_UNITS = {"mmHg": "mm[Hg]", "次/分": "/min", "次/min": "/min", "bpm": "/min", "公斤": "kg", "千克": "kg",
                 "毫摩尔/升": "mmol/L"}
"""Other ways to write the units of home readings -> UCUM."""

STATUS_WORDS: Mapping[Reported, tuple[str, str]] = {
    Status.RECEIVED: ("10", "已接收"),
    Status.AUDITED: ("11", "已审核"),
    Status.IN_REVIEW: ("20", "药师审方中"),
    Status.REVIEWED: ("21", "药师审方通过"),
    Status.ALLOCATING: ("30", "分配药房中"),
    Status.FULFILLING: ("40", "药房配药中"),
    Status.FULFILLED: ("50", "已取药"),
    Status.SETTLED: ("60", "已结算"),
    Status.CLOSED: ("70", "已办结"),
    Status.REFUSED: ("90", "审核不通过"),
    Status.RETURNED: ("91", "药师退回"),
    Status.CANCELLED: ("92", "已撤销"),
    Status.EXPIRED: ("93", "已过期"),
    Notice.INVALID: ("95", "文档不符约定"),
    Notice.CANCEL_REFUSED: ("94", "撤销未成"),
}
"""Where a prescription is -> the hospital's code and word for it.

No report says `CANCELLING` or `TOO_LATE`: a cancel in this dialect has no codes to be mapped, so it is answered at once.
"""

Extra = Mapping[str, Sequence[Datum]]


def prescription(document: cda.Document, hospital: str, piece_category: str, theirs: Codes) -> Draft:
    """A document as a draft. Codes that are not mapped are left in place, and listed in `theirs`.

    What is wrong with the document itself is in `document.findings` afterwards.
    """
    root, extra = document.root, document.supplement()
    role, author = cda.find(root, "recordTarget/patientRole"), cda.find(root, "author")
    custodian = cda.find(root, "custodian/assignedCustodian/representedCustodianOrganization")
    written = document.datum(cda.find(author, "time"), "value")
    issued = cda_values.moment(written)
    number = document.identifier(role, names.PRESCRIPTION_NUMBER, "DE01.00.020.00")
    medication = document.sections(names.MEDICATION)
    department = cda.find(role, "providerOrganization")
    represented = cda.find(author, "assignedAuthor/representedOrganization")
    institution = document.agreed([document.identifier(node, names.INSTITUTION) for node in (
        custodian, cda.find(department, "asOrganizationPartOf/wholeOrganization"), represented)])
    institution_name, represented_name = (document.words(cda.find(node, "name")) for node in (custodian, represented))
    visit = document.agreed([
        document.identifier(role, names.VISIT, "DE01.00.010.00"),
        document.identifier(cda.find(root, "componentOf/encompassingEncounter"), names.VISIT)])
    items = [item for section in medication
             for item in _items(document, section, number, piece_category, theirs)]
    decoction = next((made for section in medication if (made := _decoction(document, section, extra))), None)
    diagnoses = [_diagnosis(document, observation, theirs) for section in document.sections(names.DIAGNOSES)
                 for observation in document.observations(section, "DE05.01.024.00")]
    allergy_words, none_known = _allergies(document, extra)
    patient = _patient(document, role, extra, issued)
    title = theirs.ours("title", document.datum(cda.find(author, "assignedAuthor/code"), "code"))
    readings, signature = _readings(document), _signature(document)
    named = [_labelled(document.value(group).value, label) for group in document.observations_of("allergy-group")
             for label in document.labels(group)]
    remarks = [*_remarks(document, medication), *document.labels(root)]
    draft = Draft(
        hospital=hospital,
        key=document.key,
        number=number,
        sent=cda_values.moment(document.datum(cda.find(root, "effectiveTime"), "value")),
        issued=issued,
        valid_until=_valid_until(document, issued, medication),
        rx_kind=_extra(extra, "prescription-kind"),
        handover=_extra(extra, "handover"),
        patient=replace(patient, allergy_words=_each_once(allergy_words), no_known_allergies=none_known),
        physician=document.identifier(cda.find(author, "assignedAuthor"), names.AUTHOR),
        physician_name=cda_patient.name(document, cda.find(author, "assignedAuthor/assignedPerson"), written.value),
        institution=institution,
        institution_name=institution_name,
        visit_class=_extra(extra, "visit-class"),
        visit_type=_extra(extra, "visit-type"),
        insutype=_extra(extra, "insutype"),
        insured_place=_extra(extra, "insured-place"),
        diagnoses=diagnoses,
        items=items,
        chronic_disease=_extra(extra, "chronic-disease"),
        proof_issued=cda_values.day(_extra(extra, "proof-issued")),
        proof_diagnoses=extra.get("proof-diagnosis", ()),
        independent_years=_extra(extra, "independent-years"),
        extend_reason=_extra(extra, "extend-reason"),
        long_term_assessed=_extra(extra, "long-term-assessed"),
        patient_acknowledged=_extra(extra, "patient-acknowledged"),
        valid_reason=_extra(extra, "valid-reason"),
        note=_together(_each_once([*named, *remarks])),
        department=_department(document, department, extra),
        department_name=document.agreed([
            document.words(cda.find(department, "name")),
            NOTHING if represented_name.value == institution_name.value else represented_name]),
        title=title,
        visit_number=visit,
        decoction=decoction,
        renewal_first=_extra(extra, "renewal-first"),
        renewal_start=cda_values.day(_extra(extra, "renewal-start")),
        renewal_end=cda_values.day(_extra(extra, "renewal-end")),
        readings=readings,
        signature=signature,
    )
    document.passed_over()
    return draft


def cancel(request: cda.Cancel, hospital: str) -> CancelDraft:
    return CancelDraft(hospital, request.key, request.number, request.reason, request.at)


# The patient.

def _patient(document: cda.Document, role: Element | None, extra: Extra, issued: Datum) -> PatientDraft:
    person, on = cda.find(role, "patient"), issued.value[:10].replace("-", "")
    id_number = document.identifier(person, names.RESIDENT_ID, "DE02.01.030.00")
    coded = cda.find(person, "administrativeGenderCode")
    gender = document.datum(coded, "code", "DE02.01.040.00")
    document.of_system(coded, names.GENDER_CODES)
    _compared(document, coded, GENDER_WORDS, gender.value)
    born = cda_patient.birth_date(document, person, id_number)
    cda_patient.age(document, person, born, issued)
    cda_patient.deceased(document, person)
    return PatientDraft(
        id_number=id_number,
        name=cda_patient.name(document, person, on, "DE02.01.039.00"),
        gender=replace(gender, value=GENDERS.get(gender.value, gender.value)),
        birth_date=born,
        phone=cda_patient.phone(document, role, on),
        address=cda_patient.address(document, role, on),
        district=_extra(extra, "district"),
        latitude=_extra(extra, "latitude"),
        longitude=_extra(extra, "longitude"),
        allergies=[group for group in extra.get("allergy-group", ()) if group.value],
        pregnancy_weeks=_weeks(document, extra),
        lactating=_extra(extra, "lactating"),
        guardian_confirmed=_extra(extra, "guardian-confirmed"),
        credential=_extra(extra, "credential"),
        guardian=cda_patient.guardian(document, person, on),
    )


def _weeks(document: cda.Document, extra: Extra) -> Datum:
    """Weeks of pregnancy, a bare number or a quantity in weeks."""
    weeks = _extra(extra, "pregnancy-weeks")
    for observation in document.observations_of("pregnancy-weeks"):
        if document.unit_of(observation).value not in ("", "周", "wk"):
            document.fault("CDA_UNIT", weeks)
            return replace(weeks, value="")
    return weeks


def _allergies(document: cda.Document, extra: Extra) -> tuple[list[Datum], Datum]:
    """Allergies in words, and whether it is said that none are known."""
    words = [text for text in extra.get("allergy-words", ()) if text.value]
    none_known = _extra(extra, "no-known-allergies")
    for observation in document.observations_of("allergy-group"):
        # What has no code of ours is an allergy all the same.
        value = cda.find(observation, "value")
        if value is not None and not value.get("code"):
            words += document.uncoded(value)
    for section in document.sections(names.ALLERGIES):
        words.append(document.words(cda.find(section, "text")))
        words += [document.value(observation, "DE02.10.022.00") for observation in document.observations(section, "DE02.10.022.00")]
        flag = document.observed(section, "DE02.10.023.00")
        if flag.value:
            none_known = document.agreed([none_known, replace(
                flag, value={"false": "true", "true": "false"}.get(flag.value, flag.value))])
    named = [text for text in words if text.value and not allergies.none_known(text.value)]
    denied = next((text for text in words if text.value and allergies.none_known(text.value)), NOTHING)
    if denied.value:
        none_known = document.agreed([none_known, replace(denied, value="true")])
    if none_known.value == "false":
        if not named and not any(group.value for group in extra.get("allergy-group", ())):
            named = [replace(none_known, value="有过敏史，未注明过敏原")]
        none_known = NOTHING  # saying which there are says so
    return named, none_known


# The drugs.

def _items(document: cda.Document, section: Element, number: Datum, piece_category: str, theirs: Codes) -> list[ItemDraft]:
    """The drugs of one section: all western, all patent medicine, or all pieces of one decoction."""
    stated = document.observations(section, "DE08.50.032.00")
    category = document.agreed(document.value(observation, "DE08.50.032.00") for observation in stated)
    for observation in stated:
        value = cda.find(observation, "value")
        document.of_system(value, names.CATEGORY_CODES)
        _compared(document, value, {"中药饮片处方": piece_category, "中成药处方": PATENT_CATEGORY}, category.value)
    kinds = {piece_category: "tcm_piece", PATENT_CATEGORY: "tcm_patent"} if document.chinese else {"": "western"}
    kind = kinds.get(category.value, "")
    if category.value and not kind:
        document.fault("CDA_FIXED", category)
    pieces = kind == "tcm_piece"
    decoction = document.observation(section, "DE08.50.049.00")
    doses = _doses(document, decoction) if pieces else NOTHING
    usage = _together([document.observed(decoction, "DE08.50.047.00"), document.observed(decoction, "DE06.00.136.00")])
    items = [_item(document, administration, line, number, Datum(kind, category.spot), doses, usage, theirs)
             for line, administration in enumerate(document.entries([section], "substanceAdministration"), 1)]
    if pieces:
        _pieces_agree(document, document.value(decoction, "DE08.50.049.00") if decoction is not None else NOTHING, items)
    return items


def _item(document: cda.Document, administration: Element, line: int, number: Datum, kind: Datum, doses: Datum, usage: Datum,
          theirs: Codes) -> ItemDraft:
    drug = cda.find(administration, "consumable/manufacturedProduct/manufacturedLabeledDrug")
    name = document.words(cda.find(drug, "name"), "DE08.50.022.00")
    rate = cda.find(administration, "rateQuantity")
    times = document.datum(rate, "value", "DE06.00.133.00")
    per = document.datum(rate, "unit", "DE06.00.133.00")
    count = cda_values.decimal(times.value)
    document.take(cda.find(administration, "id"), "root")
    own_number = document.datum(cda.find(administration, "id"), "extension")
    dose = cda.find(administration, "doseQuantity")
    single = document.datum(dose, "value", "DE08.50.023.00")
    dose_unit = theirs.ours("unit", document.datum(dose, "unit", "DE08.50.024.00"))
    total = document.observation(administration, "DE06.00.135.00")
    quantity, unit = (_times(single, doses), dose_unit) if doses.value else (NOTHING, NOTHING)
    if total is not None:
        quantity, unit = document.value(total, "DE06.00.135.00"), theirs.ours("unit", document.unit_of(total, "DE06.00.135.00"))
    period = cda.find(administration, "effectiveTime")
    if period is not None and period.get(f"{{{names.XSI}}}type", "IVL_TS").rpartition(":")[2] != "IVL_TS":
        document.fault("CDA_FIXED", period, f"{{{names.XSI}}}type")
    days = document.days(cda.find(period, "width"))
    route = cda.find(administration, "routeCode")
    ours = theirs.ours("route", document.datum(route, "code", "DE06.00.134.00"))
    document.of_system(route, names.ROUTE_CODES)
    _compared(document, route, ROUTE_WORDS, ours.value)
    form = cda.find(administration, "administrationUnitCode")
    document.of_system(form, names.FORM_CODES)
    form_code = document.datum(form, "code")
    size = document.observed(administration, "DE08.50.043.00")
    strength, pack_size = cda_words.pack(size.value, dose_unit.value, unit.value) if kind.value != "tcm_piece" else ("", "")
    directions = [document.words(cda.find(administration, "text")), *(
        document.words(cda.find(act, "text")) for link in cda.children(administration, "entryRelationship")
        for act in cda.children(link, "act"))]
    mark = document.observed(administration, "decoction-mark", names.SUPPLEMENT)
    if kind.value == "tcm_piece" and not mark.value:
        mark = next((replace(said, value=code) for said in (*directions, name)
                     if (code := cda_words.decoction_mark(said.value))), NOTHING)
    skin_test = document.observation(administration, "skin-test", names.SUPPLEMENT)
    notes = [
        *(document.value(said, "DE06.00.179.00") for said in document.observations(administration, "DE06.00.179.00")),
        NOTHING if strength else _labelled("规格", size), _labelled("剂型代码", form_code)]
    item = ItemDraft(
        # The standard does not number the drugs of a prescription.
        number=own_number if own_number.value else replace(number, value=f"{number.value}-{line}" if number.value else ""),
        drug=theirs.ours("drug", document.datum(cda.find(drug, "code"), "code", "DE08.50.022.00"), name.value),
        name=name,
        kind=kind,
        dose=single,
        dose_unit=dose_unit,
        frequency=theirs.ours("frequency", replace(
            times, value=f"{times.value if count is None else cda_values.plain(count)}{per.value}")),
        route=ours,
        quantity=quantity,
        unit=unit,
        days=days if days.spot != NOTHING.spot else doses,  # one dose of a decoction a day
        usage=_together([*directions, usage]),
        overdose_reason=document.observed(administration, "overdose-reason", names.SUPPLEMENT),
        decoction_mark=mark,
        skin_test=NOTHING if skin_test is None else document.value(skin_test),
        skin_test_at=NOTHING if skin_test is None else cda_values.moment(
            document.datum(cda.find(skin_test, "effectiveTime"), "value")),
        skin_test_exemption=document.observed(administration, "skin-test-exemption", names.SUPPLEMENT),
        approval=document.observed(administration, "approval", names.SUPPLEMENT),
        strength=replace(size, value=strength),
        pack_size=replace(size, value=pack_size),
    )
    return replace(item, note=_together(_each_once([*notes, *document.labels(administration)])))


def _doses(document: cda.Document, decoction: Element | None) -> Datum:
    stated = document.observation(decoction, "DE08.50.050.00")
    if stated is None:
        return NOTHING
    doses, unit = document.value(stated, "DE08.50.050.00"), document.unit_of(stated)
    if unit.value not in DOSES:
        document.fault("CDA_UNIT", doses)
        return replace(doses, value="")
    return doses


def _decoction(document: cda.Document, section: Element, extra: Extra) -> DecoctionDraft | None:
    """How pieces are prepared and taken: by the supplement, or by words that say it plainly; both must agree."""
    observation = document.observation(section, "DE08.50.049.00")
    doses = _doses(document, observation)
    making, taking = document.observed(observation, "DE08.50.047.00"), document.observed(observation, "DE06.00.136.00")
    method, times = _extra(extra, "decoction-method"), _extra(extra, "decoction-times")
    in_words = cda_words.decoction_method(f"{making.value}；{taking.value}")
    portions = cda_words.decoction_times(taking.value)
    method = document.agreed([method, replace(making, value=in_words)])
    times = document.agreed([times, replace(taking, value=str(portions or ""))])
    return DecoctionDraft(doses, method, times) if doses.value and method.value and times.value else None


def _pieces_agree(document: cda.Document, words: Datum, items: Sequence[ItemDraft]) -> None:
    """The words of a prescription of pieces (黄芪30g) against its entries."""
    in_words, _ = cda_words.pieces(words.value)
    doses = [(item.name.value, cda_values.decimal(item.dose.value)) for item in items]
    for piece, grams in in_words:
        named = [dose for name, dose in doses if piece in name or name in piece]
        if not named or grams not in named:
            document.fault("CDA_CONTRADICTION", words)


def _diagnosis(document: cda.Document, observation: Element, theirs: Codes) -> DiagnosisDraft:
    coded = cda.find(observation, "value")
    name = document.datum(coded, "displayName", "DE05.01.024.00")
    document.of_system(coded, names.ICD10)
    return DiagnosisDraft(theirs.ours("diagnosis", document.value(observation, "DE05.01.024.00"), name.value), name)


def _valid_until(document: cda.Document, issued: Datum, medication: Sequence[Element]) -> Datum:
    """The end of the validity, however often the document says how long it is."""
    stated = [observation for section in medication for observation in document.observations(section, "DE06.00.294.00")]
    for observation in stated:
        document.value(observation, "DE06.00.294.00")
    days = document.agreed(document.days(cda.find(observation, "value"), "DE06.00.294.00") for observation in stated)
    return cda_values.days_after(issued, days)


# Words, and what else is said.

def _remarks(document: cda.Document, medication: Sequence[Element]) -> list[Datum]:
    """What the prescriber wrote to the whole prescription: remarks, Chinese diagnosis, and the words of sections."""
    remarks: list[Datum] = []
    for section in (*medication, *document.sections(names.PLAN)):
        remarks += [document.value(observation, "DE06.00.179.00")
                    for observation in document.observations(section, "DE06.00.179.00")]
        remarks += [_labelled("治则治法", document.value(observation, "DE06.00.300.00"))
                 for observation in document.observations(section, "DE06.00.300.00")]
        for observation in document.observations(section, "DE08.50.049.00"):
            words = document.value(observation, "DE08.50.049.00")
            _, rest = cda_words.pieces(words.value)
            remarks.append(replace(words, value=rest))
    for section in document.sections(names.DIAGNOSES):
        for observation in document.observations(section, "DE05.10.130.00"):
            coded = cda.find(observation, "value")
            document.of_system(coded, names.CHINESE_DIAGNOSES)
            name, code = document.datum(coded, "displayName"), document.value(observation, "DE05.10.130.00")
            both = " ".join(part.value for part in (name, code) if part.value)
            remarks.append(_labelled(document.qualified(coded) or "中医诊断", replace(code, value=both)))
    document.sections(names.PAYMENT)
    return [text for text in (*remarks, *document.narratives()) if text.value]


def _department(document: cda.Document, organization: Element | None, extra: Extra) -> Datum:
    """The 诊疗科目: of the supplement, or the department's number where that is one."""
    own = document.identifier(organization, names.DEPARTMENT)
    return document.agreed([_extra(extra, "department"), own if DEPARTMENT.fullmatch(own.value) else NOTHING])


def _readings(document: cda.Document) -> list[ReadingDraft]:
    """Home readings: an observation each, or an organizer around the two of a blood pressure."""
    return [reading for section in document.sections(names.VITAL_SIGNS) for entry in cda.children(section, "entry")
            for reading in _reading(document, entry)]


def _reading(document: cda.Document, entry: Element) -> Iterator[ReadingDraft]:
    if (observation := cda.find(entry, "observation")) is not None:
        yield ReadingDraft(_loinc(document, observation), _at(document, observation), *_measured(document, observation))
    if (group := cda.find(entry, "organizer")) is not None:
        parts = [(_loinc(document, observation), *_measured(document, observation))
                 for component in cda.children(group, "component")
                 for observation in cda.children(component, "observation")[:1]]
        yield ReadingDraft(_loinc(document, group), _at(document, group), parts=parts)


def _loinc(document: cda.Document, statement: Element) -> Datum:
    code = cda.find(statement, "code")
    document.of_system(code, names.LOINC)
    return document.datum(code, "code")


def _at(document: cda.Document, statement: Element) -> Datum:
    return cda_values.moment(document.datum(cda.find(statement, "effectiveTime"), "value"))


def _measured(document: cda.Document, observation: Element) -> tuple[Datum, Datum]:
    node = cda.find(observation, "value")
    value, unit = document.datum(node, "value"), document.datum(node, "unit")
    return value, replace(unit, value=READING_UNITS.get(unit.value, unit.value))


def _signature(document: cda.Document) -> SignatureDraft | None:
    signer = cda.find(document.root, "legalAuthenticator")
    code = document.datum(cda.find(signer, "signatureCode"), "code")
    node = None if signer is None else next(signer.iter("{*}signatureText"), None)
    if code.value not in ("", "S"):
        document.fault("CDA_SIGNATURE", code)
    if node is None or not (data := document.words(node)).value:
        return None
    document.take(node, "mediaType", "representation")
    at = cda_values.moment(document.datum(cda.find(signer, "time"), "value"))
    if not cda.could_be_signature(data.value) or not at.value:
        document.fault("CDA_SIGNATURE", data)
        return None
    return SignatureDraft(at, replace(data, value="".join(data.value.split())))


def _compared(document: cda.Document, node: Element | None, words: Mapping[str, str], code: str) -> None:
    """The name beside a code: one we know must be that code's; any other is left for the note."""
    label = "" if node is None else node.get("displayName", "").strip()
    if node is not None and label in words:
        document.take(node, "displayName")
        if words[label] != code:
            document.fault("CDA_CONTRADICTION", node, "displayName")


def _labelled(label: str, datum: Datum) -> Datum:
    return replace(datum, value=f"{label}：{datum.value}") if datum.value else NOTHING


def _times(dose: Datum, doses: Datum) -> Datum:
    """Grams of a dose times the number of doses."""
    grams, times = cda_values.decimal(dose.value), cda_values.decimal(doses.value)
    return NOTHING if grams is None or times is None else replace(doses, value=cda_values.plain(grams * times))


def _together(parts: Sequence[Datum]) -> Datum:
    filled = [part for part in parts if part.value]
    return replace(filled[0], value="；".join(part.value for part in filled)) if filled else NOTHING


def _each_once(parts: Sequence[Datum]) -> list[Datum]:
    return list({part.value: part for part in reversed(parts) if part.value}.values())[::-1]


def _extra(extra: Extra, name: str) -> Datum:
    return next(iter(extra.get(name, ())), NOTHING)


# Reports.

def report(body: bytes, namespace: str) -> bytes:
    """One status report (contract 1.3) as the hospital's ReportStatus."""
    notice = json.loads(body)
    code, word = STATUS_WORDS[reported(notice["status"])]

    def make(name: str, *inner: Element | str, **attributes: str) -> Element:
        return cda_answers.element(namespace, name, *inner, **attributes)

    def finding(entry: Mapping[str, Any]) -> Element:
        about = {"line": entry.get("line"), "place": entry.get("spot")}
        return make("finding", str(entry["text"]), code=str(entry["code"]), severity=str(entry["severity"]),
                    **{name: str(said) for name, said in about.items() if said})

    parts = [make("key", notice["key"]), make("prescriptionNumber", notice["prescription"] or ""),
             make("platformId", notice.get("id") or ""), make("status", word, code=code), make("at", notice["at"]),
             make("reason", reason_words(notice), code=str(notice.get("reason") or "")), *map(finding, notice.get("findings", ()))]
    if pickup := notice.get("pickup"):
        parts.append(make("pickup", **{name: str(pickup[name]) for name in ("order", "chain", "store", "code")}))
    if page := notice.get("patient_page"):
        parts.append(make("patientPage", str(page)))
    if handed := notice.get("dispense"):
        lines = (make("line", str(line["name"]), number=str(line["line"]), item=str(line["item"]), drug=str(line["drug"]),
                      quantity=str(line["quantity"]), unit=str(line["unit"]), days=str(line["days"]),
                      returned="true" if line["returned"] else "false") for line in handed["lines"])
        parts.append(make("dispense", *lines, **{
            name: str(handed[name]) for name in ("order", "chain", "store", "handover", "at")}))
    if money := notice.get("money"):
        parts.append(make("money", currency="元", **{name: str(money[name]) for name in ("total", "fund", "account", "cash")}))
    for part, settled in (notice.get("settlement") or {}).items():
        if part != "payer":
            parts.append(make("settlement", kind=part, id=settled["id"], reference=settled["reference"],
                              payer=notice["settlement"]["payer"]))
    return bytes(etree.tostring(make("ReportStatus", *parts), encoding="utf-8"))
