"""D001, D003 and D004 of this hospital, field by field. Nothing is judged here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from adapters.dialects.erx import hi_rxno, is_base64, trace_code
from adapters.dialects.erx_facts import Parts, terms
from adapters.dialects.erx_fields import HERBS, filled, listed, moment, number
from adapters.dialects.erx_json import Node
from adapters.mapping import CodeMap, Codes
from adapters.messages import Unmapped
from domain import allergies
from domain.units import converted
from fhir_profiles.drafts import (
    NOTHING,
    CancelDraft,
    Datum,
    DecoctionDraft,
    DiagnosisDraft,
    Draft,
    GuardianDraft,
    ItemDraft,
    PatientDraft,
    ReadingDraft,
    SignatureDraft,
)
from fhir_profiles.message import KEY

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
CHINESE_DIAGNOSES = frozenset({"2", "3"})
"""diagType of 中医病 and 中医证."""
RESIDENT_ID = "01"
"""psnCertType."""
INSURANCE_CODE = "01"
"""mdtrtCertType of 医保电子凭证."""
REASONS = {"患者": "patient", "重复": "duplicate", "录入": "entered-in-error", "误": "entered-in-error"}
"""Words of undoRea -> our code; D004 is the prescriber's, so any other reason is."""
ALLERGY_TEXT = 500
"""Characters of one allergy in words; algsHis may have a thousand."""
DECOCTION_METHODS = {
    "水煎服": "decoct", "煎服": "decoct", "水煎": "decoct", "代煎": "decoct-by-pharmacy", "药房代煎": "decoct-by-pharmacy",
    "泡服": "infuse", "冲泡": "infuse", "代茶饮": "infuse", "研末冲服": "powder", "研粉冲服": "powder", "研末": "powder",
    "外用": "external", "煎汤外用": "external", "水煎外用": "external", "外洗": "external", "煎水外洗": "external"}
"""rxUsedWayName."""
DECOCTION_MARKS = {"先煎": "first", "后下": "last", "包煎": "wrapped", "另煎": "separate", "烊化": "melted", "冲服": "taken-with"}
"""tcmherbFoote."""
PORTIONS = {"qd": "1", "bid": "2", "tid": "3", "qid": "4", "q12h": "2", "q8h": "3", "q6h": "4"}
"""Frequency of a decoction -> portions a day."""
SKIN_TESTS = {"阴性": "negative", "阴": "negative", "-": "negative", "(-)": "negative", "（-）": "negative", "negative": "negative",
              "阳性": "positive", "阳": "positive", "+": "positive", "(+)": "positive", "（+）": "positive", "positive": "positive"}
GUARDIANS = {"父母": "parent", "父亲": "parent", "母亲": "parent", "父": "parent", "母": "parent", "祖父母": "grandparent",
             "外祖父母": "grandparent", "祖父": "grandparent", "祖母": "grandparent", "外祖父": "grandparent",
             "外祖母": "grandparent", "兄": "sibling", "姐": "sibling", "兄姐": "sibling",
             "其他监护人": "guardian", "其他": "guardian"}


def prescription(parts: Parts, codes: CodeMap, facts: Mapping[str, str], slug: str) -> tuple[Draft, Sequence[Unmapped]]:
    rx = parts["D001"]
    upload = parts.get("D003")
    visit, extras = rx["mdtrtinfo"], rx["mdtrtinfo"]["extras"]
    ours = Codes(codes)
    hospital_number = rx["hospRxno"].datum
    trace = upload["rxTraceCode"].datum if upload else Datum(trace_code(slug, rx.raw), rx["hospRxno"].spot)
    draft = Draft(
        hospital=slug,
        # Where the number is none, that is where the key is none.
        key=Datum(f"{trace.value}-{hospital_number.value}",
                 trace.spot if KEY.fullmatch(hospital_number.value) else hospital_number.spot),
        number=hospital_number,
        # The hospital's pharmacist checks it last of all; before that there is only the time it was written.
        sent=_moment(upload["pharChkTime"] if upload else rx["prscTime"]),
        issued=_moment(rx["prscTime"]),
        valid_until=_moment(rx["valiEndTime"]) if moment(rx["prscTime"]) else Datum(
            _moment(rx["valiEndTime"]).value, rx["prscTime"].spot),
        rx_kind=_rx_kind(rx),
        handover=_word(extras["takeWay"].datum, HANDOVERS),
        patient=_patient(rx, visit, extras),
        physician=visit["drCode"].datum,
        physician_name=visit["prscDrName"].datum,
        institution=visit["fixmedinsCode"].datum,
        institution_name=visit["fixmedinsName"].datum,
        visit_class=_word(rx["bizTypeCode"].datum, VISIT_CLASSES),
        visit_type=_word(visit["fstdiagFlag"].datum, VISIT_TYPES),
        insutype=extras["insutype"].datum,
        insured_place=rx["insuPlcNo"].datum,
        diagnoses=[_diagnosis(row, ours) for row in _main_first(rx["diseinfo"]) if not _is_chinese(row)],
        items=[_item(rx, row, line, ours) for line, row in enumerate(rx["rxdrugdetail"], 1)],
        chronic_disease=visit["diseCodg"].datum,
        proof_issued=extras["fstDiagDate"].datum,
        proof_diagnoses=[node.datum for node in listed(extras["fstDiagCodes"])],
        independent_years=extras["drPracYears"].datum,
        extend_reason=extras["longRxRea"].datum,
        long_term_assessed=_word(extras["longRxAsmtFlag"].datum, FLAGS),
        patient_acknowledged=_word(extras["patnCfmFlag"].datum, FLAGS),
        valid_reason=extras["valiDaysRea"].datum,
        note=_words(_note(rx, visit)),
        department=_department(visit["prscDeptCode"]),
        department_name=visit["prscDeptName"].datum,
        title=ours.ours("title", visit["drProfttlCodg"].datum, visit["drProfttlName"].text),
        visit_number=visit["iptOtpNo"].datum,
        decoction=_decoction(rx, codes) if any(map(_is_piece, rx["rxdrugdetail"])) else None,
        renewal_first=rx["initRxno"].datum,
        renewal_start=extras["renewBegnDate"].datum,
        renewal_end=extras["renewEndDate"].datum,
        readings=_readings(rx, visit),
        signature=_signature(upload) if upload else None,
    )
    return draft, ours.unmapped


def revocation(parts: Parts, facts: Mapping[str, str], slug: str) -> CancelDraft:
    undo, number = parts["D004"], parts["D001"]["hospRxno"].datum
    at = undo["undoTime"]
    digits = "".join(filter(str.isdecimal, at.text))
    words = undo["undoRea"]
    reason = next((ours for word, ours in REASONS.items() if word in words.text), "prescriber")
    return CancelDraft(slug, Datum(f"undo-{hi_rxno(slug, number.value)}-{digits}", undo["hiRxno"].spot),
                       number, Datum(reason, words.spot), _moment(at))


# The patient.

def _patient(rx: Node, visit: Node, extras: Node) -> PatientDraft:
    certno, algs_his = visit["certno"].datum, visit["algsHis"]
    born = certno.value[6:14]
    none_known = allergies.none_known(algs_his.text)
    return PatientDraft(
        # Of another document its kind is what is wrong, not its number.
        id_number=certno if visit["psnCertType"].text == RESIDENT_ID else replace(certno, spot=visit["psnCertType"].spot),
        name=visit["patnName"].datum,
        gender=_word(visit["gend"].datum, GENDERS),
        # The interface carries an age only; the resident id holds the birthday.
        birth_date=Datum(f"{born[:4]}-{born[4:6]}-{born[6:]}", certno.spot) if len(born) == 8 else NOTHING,
        phone=extras["tel"].datum,
        address=extras["addr"].datum,
        district=extras["addrAdmdvs"].datum,
        latitude=extras["lat"].datum,
        longitude=extras["lng"].datum,
        allergies=[node.datum for node in listed(extras["algsCodes"])],
        allergy_words=[] if none_known else [
            Datum(words, algs_his.spot) for words in _pieces(algs_his.text)],
        no_known_allergies=Datum("true", algs_his.spot) if none_known else NOTHING,
        pregnancy_weeks=visit["gesoVal"].datum,
        lactating=_word(visit["suckPrdFlag"].datum, FLAGS),
        guardian_confirmed=_word(extras["grdnCfmFlag"].datum, FLAGS),
        credential=_credential(rx),
        guardian=GuardianDraft(extras["grdnName"].datum, extras["grdnCertno"].datum, _word(extras["grdnRlts"].datum, GUARDIANS))
        if any(filled(extras[name]) for name in ("grdnName", "grdnCertno", "grdnRlts")) else None,
    )


def _pieces(words: str) -> list[str]:
    """Of a text that the interface allows, each part as long as the contract allows; a longer one is refused."""
    return [words[at:at + ALLERGY_TEXT] for at in range(0, min(len(words), 2 * ALLERGY_TEXT), ALLERGY_TEXT)]


def _credential(rx: Node) -> Datum:
    """The token of the electronic credential, where that is what the visit was opened with."""
    token = rx["ecToken"] if filled(rx["ecToken"]) else rx["mdtrtCertNo"]
    return token.datum if rx["mdtrtCertType"].text == INSURANCE_CODE and filled(token) else NOTHING


def _readings(rx: Node, visit: Node) -> list[ReadingDraft]:
    at = _moment(visit["mdtrtTime"] if filled(visit["mdtrtTime"]) else rx["prscTime"])
    weight = visit["patnWt"]
    return [ReadingDraft(Datum("29463-7", weight.spot), at, weight.datum, Datum("kg", weight.spot))] if filled(weight) else []


# The whole prescription.

def _note(rx: Node, visit: Node) -> Iterator[tuple[Node, str]]:
    """The prescriber's notes to the whole prescription, and facts of the patient that have no element in our contract."""
    yield rx["rxDrordDscr"], rx["rxDrordDscr"].text
    yield visit["diseCondDscr"], _labelled("病情", visit["diseCondDscr"])
    yield visit["patnHgt"], f"身高 {visit['patnHgt'].text} cm" if filled(visit["patnHgt"]) else ""
    for row in rx["diseinfo"]:
        names = [row["diagName"], row["diagCode"]] if _is_chinese(row) else []
        names += [row[name] for name in ("tcmDiseName", "tcmDiseCode", "tcmsymp", "tcmsympCode")]
        stated = [node for node in names if filled(node)]
        yield (stated or [row])[0], f"中医诊断：{' '.join(dict.fromkeys(node.text for node in stated))}" if stated else ""


def _signature(upload: Node) -> SignatureDraft | None:
    """What D002 gave. The door takes no upload whose signDigest is not that; a message that is read apart from it may."""
    digest = upload["signDigest"]
    return SignatureDraft(_moment(upload["pharChkTime"]), digest.datum) if is_base64(digest.text) else None


def _is_chinese(row: Node) -> bool:
    return row["diagType"].text in CHINESE_DIAGNOSES


def _main_first(rows: Node) -> list[Node]:
    return sorted(rows, key=lambda row: (row["maindiagFlag"].text != "1", number(row["diagSrtNo"]) or Decimal(99)))


def _diagnosis(row: Node, codes: Codes) -> DiagnosisDraft:
    return DiagnosisDraft(codes.ours("diagnosis", row["diagCode"].datum, row["diagName"].text), row["diagName"].datum)


def _department(node: Node) -> Datum:
    """诊疗科目: the insurance writes an A before it."""
    return Datum(re.sub(r"^A(?=[0-9]{2})", "", node.text), node.spot)


def _rx_kind(rx: Node) -> Datum:
    if rx["longRxFlag"].text == "1":
        return Datum("long_term", rx["longRxFlag"].spot)
    kind = rx["rxTypeCode"]
    return Datum("emergency" if kind.text in EMERGENCIES else "general", kind.spot)


def _is_piece(row: Node) -> bool:
    return row["rxItemTypeCode"].text == HERBS


def _decoction(rx: Node, codes: CodeMap) -> DecoctionDraft:
    frequency = rx["rxFrquCodg"]
    ours = codes.ours("frequency", frequency.text) or frequency.text  # the findings of the items report an unmapped code
    return DecoctionDraft(rx["rxDrugCnt"].datum, _word(rx["rxUsedWayName"].datum, DECOCTION_METHODS),
                          Datum(PORTIONS.get(ours, ours), frequency.spot))


# One drug.

def _item(rx: Node, row: Node, line: int, codes: Codes) -> ItemDraft:
    # Herbs are taken as a whole: their usage stands once, for the prescription.
    whole = _is_piece(row)
    frequency, frequency_name = (rx["rxFrquCodg"], rx["rxFrquName"]) if whole else (row["usedFrquCodg"], row["usedFrquName"])
    route, route_name = (rx["rxUsedWayCodg"], rx["rxUsedWayName"]) if whole else (row["medcWayCodg"], row["medcWayDscr"])
    prescription_number, extras, foot = rx["hospRxno"].datum, row["extras"], row["tcmherbFoote"]
    return ItemDraft(
        number=Datum(f"{prescription_number.value}-{line}", prescription_number.spot),
        drug=codes.ours("drug", row["medListCodg"].datum, row["drugGenname"].text),
        name=row["drugGenname"].datum,
        kind=_word(row["rxItemTypeCode"].datum, KINDS),
        dose=_piece_dose(rx, row) if whole else row["sinDoscnt"].datum,
        dose_unit=codes.ours("unit", (row["drugDosunt"] if whole and not filled(row["sinDosunt"]) else row["sinDosunt"]).datum),
        frequency=codes.ours("frequency", frequency.datum, frequency_name.text),
        route=codes.ours("route", route.datum, route_name.text),
        quantity=row["drugCnt"].datum,
        unit=codes.ours("unit", row["drugDosunt"].datum),
        days=row["medcDays"].datum,
        usage=_words(_directions(rx, row)),
        overdose_reason=extras["overDosRea"].datum,
        note=_words(_remarks(rx, row)),
        decoction_mark=_word(foot.datum, DECOCTION_MARKS) if whole and foot.text in DECOCTION_MARKS else NOTHING,
        skin_test=_word(extras["sknTstRslt"].datum, SKIN_TESTS),
        skin_test_at=_moment(extras["sknTstTime"]),
        skin_test_exemption=extras["sknTstExmpRea"].datum,
        approval=row["hospApprFlag"].datum,
        **_pack(row),
    )


def _directions(rx: Node, row: Node) -> Iterator[tuple[Node, str]]:
    """What the prescriber wrote beyond the codes of route and frequency."""
    foot, whole = row["tcmherbFoote"], _is_piece(row)
    yield foot, "" if whole and foot.text in DECOCTION_MARKS else foot.text
    for around, table, code, name in (
            (row, "route", "medcWayCodg", "medcWayDscr"), (row, "frequency", "usedFrquCodg", "usedFrquName"),
            (rx, "route", "rxUsedWayCodg", "rxUsedWayName"), (rx, "frequency", "rxFrquCodg", "rxFrquName")):
        if filled(around[name]) and (around is row or whole):
            yield around[name], terms(table).adds(around[code], around[name])
    if whole and filled(rx["rxDoscnt"]):
        yield rx["rxDoscnt"], f"每次 {rx['rxDoscnt'].text} {rx['rxDosunt'].text}"


def _piece_dose(rx: Node, row: Node) -> Datum:
    """Of a piece in one 剂: as said, or its part of the whole."""
    total, doses = number(row["drugCnt"]), number(rx["rxDrugCnt"])
    if filled(row["sinDoscnt"]) or total is None or not doses or doses < 0:
        return row["sinDoscnt"].datum
    return Datum(f"{(total / doses).quantize(Decimal('0.0001')).normalize():f}", row["drugCnt"].spot)


_SPEC = re.compile(
    r"([0-9.]{1,10})\s*(kg|g|mg|μg|ug|mcg|ml|mL|克|毫克|微克|毫升|U|IU|单位)\s*[*×xX/]\s*([0-9]{1,4})?\s*(片|粒|丸|袋|支|贴|枚)(?:/.{1,4})?")
"""0.5g*60片, 500mg×20片/盒, 0.5g/片."""


def _pack(row: Node) -> dict[str, Datum]:
    """What one counted unit holds, in the unit of the dose, and how many are in a pack.

    Empty where drugSpec or the unit of the quantity is about something else.
    """
    spec = row["drugSpec"]
    match = _SPEC.fullmatch(spec.text)
    if not match or match[4] != row["drugDosunt"].text or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", match[1]):
        return {}
    held = converted(Decimal(match[1]), match[2], row["sinDosunt"].text)
    if held is None:
        return {}
    strength = Decimal(held.numerator) / Decimal(held.denominator)
    return {"strength": Datum(f"{strength.normalize():f}", spec.spot), "pack_size": Datum(match[3] or "", spec.spot)}


def _remarks(rx: Node, row: Node) -> Iterator[tuple[Node, str]]:
    """What the prescriber said of the drug beyond its code, as a paper prescription shows it."""
    yield row["extras"]["rmk"], row["extras"]["rmk"].text
    for name, label in (("drugDosform", "剂型"), ("drugSpec", "规格"), ("drugProdname", "商品名"), ("prdrName", "厂家")):
        yield row[name], _labelled(label, row[name])
    for name, word in (("mainMedcFlag", "主要用药"), ("urgtFlag", "加急"), ("impDrugFlag", "进口药品")):
        yield row[name], word if row[name].text == "1" else ""
    begin, end, days = moment(row["medcBegntime"]), moment(row["medcEndtime"]), number(row["medcDays"])
    if begin and end and days is not None and (begin != moment(rx["prscTime"]) or end - begin != _days(days)):
        yield row["medcBegntime"], f"用药时间 {row['medcBegntime'].text} 至 {row['medcEndtime'].text}"
    if filled(row["selfPayRea"]) or filled(row["realDscr"]):
        node = row["selfPayRea"] if filled(row["selfPayRea"]) else row["realDscr"]
        yield node, f"自费原因 {row['selfPayRea'].text} {row['realDscr'].text}".strip()


def _days(days: Decimal) -> timedelta:
    return timedelta(days=float(min(days, Decimal(99_999))))


# Values.

def _labelled(label: str, node: Node) -> str:
    return f"{label}：{node.text}" if filled(node) else ""


def _words(words_at: Iterator[tuple[Node, str]] | Sequence[tuple[Node, str]]) -> Datum:
    """Several words as one text, at the place of the first."""
    kept = [(node, words) for node, words in words_at if words]
    return Datum("；".join(dict.fromkeys(words for _, words in kept)), kept[0][0].spot) if kept else NOTHING


def _moment(node: Node) -> Datum:
    """A time of the interface is Beijing time without saying so."""
    return Datum(f"{node.text.replace(' ', 'T')}+08:00", node.spot) if node.text else node.datum


def _word(datum: Datum, words: Mapping[str, str]) -> Datum:
    return Datum(words.get(datum.value, datum.value), datum.spot)
