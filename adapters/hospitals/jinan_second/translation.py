"""D001, D003 and D004 of this hospital, field by field. Nothing is judged here."""

from collections.abc import Mapping, Sequence

from adapters.dialects.erx import HERBS, Parts, hi_rxno, trace_code
from adapters.dialects.erx_json import Node
from adapters.mapping import CodeMap, Codes
from adapters.messages import Unmapped
from fhir_profiles.drafts import NOTHING, CancelDraft, DiagnosisDraft, Draft, ItemDraft, PatientDraft, Said

GENDERS = {"1": "male", "2": "female"}
VISIT_CLASSES = {"01": "AMB", "02": "VR"}
"""bizTypeCode."""
VISIT_TYPES = {"1": "first", "0": "follow-up"}
"""fstdiagFlag."""
EMERGENCIES = frozenset({"3", "4"})
"""rxTypeCode of 急诊."""
KINDS = {"11": "western", "12": "tcm_patent", HERBS: "tcm_piece"}
"""rxItemTypeCode."""
HANDOVERS = {"1": "pickup", "2": "home"}
FLAGS = {"1": "true", "0": "false"}
WESTERN_DIAGNOSIS = "1"
REASONS = {"患者": "patient", "重复": "duplicate", "录入": "entered-in-error", "误": "entered-in-error"}
"""Words of undoRea -> our code; D004 is the prescriber's, so any other reason is."""


def prescription(parts: Parts, codes: CodeMap, facts: Mapping[str, str], slug: str) -> tuple[Draft, Sequence[Unmapped]]:
    rx = parts["D001"]
    upload = parts.get("D003")
    visit, extras = rx["mdtrtinfo"], rx["mdtrtinfo"]["extras"]
    ours = Codes(codes)
    number = rx["hospRxno"].said
    trace = upload["rxTraceCode"].said if upload else Said(trace_code(slug, rx.raw), rx["hospRxno"].spot)
    draft = Draft(
        hospital=slug,
        key=Said(f"{trace.value}-{number.value}", trace.spot),
        number=number,
        # The hospital's pharmacist checks it last of all; before that there is only the time it was written.
        sent=_moment(upload["pharChkTime"] if upload else rx["prscTime"]),
        issued=_moment(rx["prscTime"]),
        valid_until=_moment(rx["valiEndTime"]),
        rx_kind=_rx_kind(rx),
        handover=_word(_or(extras["takeWay"], facts["handover"]), HANDOVERS),
        patient=_patient(visit, extras),
        physician=visit["drCode"].said,
        physician_name=visit["prscDrName"].said,
        institution=visit["fixmedinsCode"].said,
        institution_name=visit["fixmedinsName"].said,
        visit_class=_word(rx["bizTypeCode"].said, VISIT_CLASSES),
        visit_type=_word(visit["fstdiagFlag"].said, VISIT_TYPES),
        insutype=_or(extras["insutype"], facts["insutype"]),
        insured_place=_or(rx["insuPlcNo"], facts["insured_place"]),
        diagnoses=[_diagnosis(row, ours) for row in rx["diseinfo"] if row["diagType"].text == WESTERN_DIAGNOSIS],
        items=[_item(rx, row, line, ours) for line, row in enumerate(rx["rxdrugdetail"], 1)],
        chronic_disease=visit["diseCodg"].said,
        proof_issued=extras["fstDiagDate"].said,
        proof_diagnoses=[one.said for one in extras["fstDiagCodes"]],
        independent_years=_or(extras["drPracYears"], facts["independent_years"]),
        extend_reason=extras["longRxRea"].said,
        long_term_assessed=_word(_or(extras["longRxAsmtFlag"], facts["long_term_assessed"]), FLAGS),
        patient_acknowledged=_word(_or(extras["patnCfmFlag"], facts["patient_acknowledged"]), FLAGS),
    )
    return draft, ours.unmapped


def revocation(parts: Parts, facts: Mapping[str, str], slug: str) -> CancelDraft:
    undo, number = parts["D004"], parts["D001"]["hospRxno"].said
    moment = undo["undoTime"]
    digits = "".join(filter(str.isdecimal, moment.text))
    words = undo["undoRea"]
    reason = next((ours for word, ours in REASONS.items() if word in words.text), "prescriber")
    return CancelDraft(slug, Said(f"undo-{hi_rxno(slug, number.value)}-{digits}", undo["hiRxno"].spot),
                       number, Said(reason, words.spot), _moment(moment))


def _patient(visit: Node, extras: Node) -> PatientDraft:
    certno = visit["certno"].said
    born = certno.value[6:14]
    return PatientDraft(
        id_number=certno,
        name=visit["patnName"].said,
        gender=_word(visit["gend"].said, GENDERS),
        # The interface carries an age only; the resident id holds the birthday.
        birth_date=Said(f"{born[:4]}-{born[4:6]}-{born[6:]}", certno.spot) if len(born) == 8 else NOTHING,
        phone=extras["tel"].said,
        address=extras["addr"].said,
        district=extras["addrAdmdvs"].said,
        latitude=extras["lat"].said,
        longitude=extras["lng"].said,
        allergies=[one.said for one in extras["algsCodes"]],
        pregnancy_weeks=visit["gesoVal"].said,
        lactating=_word(visit["suckPrdFlag"].said, FLAGS),
        guardian_confirmed=_word(extras["grdnCfmFlag"].said, FLAGS),
    )


def _diagnosis(row: Node, codes: Codes) -> DiagnosisDraft:
    return DiagnosisDraft(codes.ours("diagnosis", row["diagCode"].said, row["diagName"].text), row["diagName"].said)


def _item(rx: Node, row: Node, line: int, codes: Codes) -> ItemDraft:
    # Herbs are taken as a whole: their usage stands once, for the prescription.
    whole = row["rxItemTypeCode"].text == HERBS
    frequency, frequency_name = (rx["rxFrquCodg"], rx["rxFrquName"]) if whole else (row["usedFrquCodg"], row["usedFrquName"])
    route, route_name = (rx["rxUsedWayCodg"], rx["rxUsedWayName"]) if whole else (row["medcWayCodg"], row["medcWayDscr"])
    number = rx["hospRxno"].said
    return ItemDraft(
        number=Said(f"{number.value}-{line}", number.spot),
        drug=codes.ours("drug", row["medListCodg"].said, row["drugGenname"].text),
        name=row["drugGenname"].said,
        kind=_word(row["rxItemTypeCode"].said, KINDS),
        dose=row["sinDoscnt"].said,
        dose_unit=codes.ours("unit", row["sinDosunt"].said),
        frequency=codes.ours("frequency", frequency.said, frequency_name.text),
        route=codes.ours("route", route.said, route_name.text),
        quantity=row["drugCnt"].said,
        unit=codes.ours("unit", row["drugDosunt"].said),
        days=row["medcDays"].said,
        usage=row["tcmherbFoote"].said,
        overdose_reason=row["extras"]["overDosRea"].said,
    )


def _rx_kind(rx: Node) -> Said:
    if rx["longRxFlag"].text == "1":
        return Said("long_term", rx["longRxFlag"].spot)
    kind = rx["rxTypeCode"]
    return Said("emergency" if kind.text in EMERGENCIES else "general", kind.spot)


def _moment(node: Node) -> Said:
    """A time of the interface is Beijing time without saying so."""
    return Said(f"{node.text.replace(' ', 'T')}+08:00", node.spot) if node.text else node.said


def _word(said: Said, words: Mapping[str, str]) -> Said:
    return Said(words.get(said.value, said.value), said.spot)


def _or(node: Node, default: str) -> Said:
    return node.said if node.text else Said(default, node.spot)
