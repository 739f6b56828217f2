"""Is it a valid prescription, written by somebody who may, for somebody who may have it? (rules-cn, section A)"""

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction

from domain.audit.facts import (
    Facts,
    diagnoses,
    found,
    frequency,
    known,
    plain,
    plausible,
    rule,
    single_dose,
    within_months,
)
from domain.dosage import required_units, whole_packs
from domain.findings import Finding, Severity
from domain.knowledge import CatalogueEntry, Drug, Frequency, diagnosis_matches
from domain.prescription import Channel, DrugKind, Item, Prescription, RxKind, SkinTest, SkinTestResult
from domain.units import factor, same_unit

CONTROLLED = frozenset({"麻醉", "精一", "精二", "毒性", "放射"})
ROUTES = frozenset({"PO", "SC", "SL", "INH", "OPH"})
SWALLOWED = frozenset({"PO", "SL"})
DAYS_WITHOUT_REASON = {RxKind.GENERAL: 7, RxKind.EMERGENCY: 3}
LONG_DAYS, LONGEST_DAYS = 28, 84
MOST_ITEMS = 5
CLOCK_SKEW = timedelta(minutes=10)
"""How far a hospital's clock may be ahead of ours."""
CHILDRENS_DEPARTMENTS = ("07", "08", "09", "50.04", "A07", "A08", "A09", "A50.04")
"""诊疗科目: 儿科, 小儿外科, 儿童保健科, 中医儿科; the insurance's code has an A before it."""
CHILD = "儿"
SKIN_TESTED = ("J01C",)
CODED = re.compile(r"^[A-Z][0-9]{2}")


@rule("A-01", "处方管理办法 art.18; 电子处方接口 valiDays")
def validity(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Valid for one day of 24 hours from issue, two or three with the prescriber's reason; not expired now."""
    if not 1 <= rx.valid_days <= 3:
        yield found("RX_VALIDITY", Severity.BLOCK, f"有效期 {rx.valid_days} 天,只能为 1 至 3 天",
                    f"valid for {rx.valid_days} days; only 1 to 3 are allowed",
                    "请重新开具有效期 1 至 3 天的处方", "issue it again with 1 to 3 days", path="valid_days")
    elif rx.valid_until != rx.issued_at + timedelta(days=rx.valid_days):
        yield found("RX_VALIDITY", Severity.BLOCK, "有效期截止时间与开具时间加有效天数不符",
                    "the end of validity is not the time of issue plus the days of validity",
                    "请核对开具时间与有效天数", "check the time of issue and the days", path="valid_until")
    if rx.valid_days > 1 and not rx.valid_reason.strip():
        yield found("VALIDITY_REASON_MISSING", Severity.BLOCK, f"有效期 {rx.valid_days} 天,未注明理由",
                    f"valid for {rx.valid_days} days without a reason",
                    "请注明有效期延长的理由,或改为 1 天", "give the reason, or make it one day", path="valid_reason")
    if rx.issued_at - facts.now > CLOCK_SKEW:
        yield found("RX_NOT_YET", Severity.BLOCK, "开具时间晚于当前时间", "it says it is issued later than now",
                    "请核对开具时间与医院系统时钟", "check the time of issue and the clock of the hospital's system",
                    path="issued_at")
    if facts.now > rx.valid_until:
        yield found("RX_EXPIRED", Severity.BLOCK, "处方已过有效期", "the prescription has expired",
                    "请医师重新开具", "ask the prescriber for a new one", path="valid_until")


@rule("A-03", "处方管理办法 art.19; 处方点评 1-12")
def days_of_supply(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Seven days, three in an emergency, unless the prescriber gives a reason; long-term has its own rule."""
    limit = DAYS_WITHOUT_REASON.get(rx.kind)
    for item in rx.items:
        if limit is None or item.days_supply <= limit:
            continue
        if rx.extend_reason.strip():
            yield found("QTY_EXTENDED", Severity.INFO, f"用量 {item.days_supply} 天,超过 {limit} 天,已注明理由",
                        f"{item.days_supply} days, more than {limit}, with a reason", path="days_supply", item=item)
        else:
            yield found("QTY_OVER_LIMIT", Severity.BLOCK, f"用量 {item.days_supply} 天,超过 {limit} 天且无理由",
                        f"{item.days_supply} days, more than {limit}, without a reason",
                        "请注明慢性病、老年病或特殊情况的理由", "give the reason", path="days_supply", item=item)


@rule("A-04", "长期处方管理规范(试行)")
def long_supply(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Up to 28 days freely, to 84 with an assessment on record and the patient's acknowledgement, never more."""
    for item in rx.items:
        if item.days_supply > LONGEST_DAYS:
            yield found("LONG_RX_OVER_84", Severity.BLOCK, f"用量 {item.days_supply} 天,超过 12 周",
                        f"{item.days_supply} days, more than 12 weeks", "请缩短至 84 天以内",
                        "shorten it to 84 days", path="days_supply", item=item)
        elif item.days_supply > LONG_DAYS and not (rx.long_term_assessed and rx.patient_acknowledged):
            yield found("LONG_RX_NO_ASSESSMENT", Severity.BLOCK, f"用量 {item.days_supply} 天,缺病情评估记录或患者确认",
                        f"{item.days_supply} days without an assessment or the patient's acknowledgement",
                        "请记录评估并由患者确认,或缩短至 28 天",
                        "record both, or shorten it to 28 days", path="days_supply", item=item)


@rule("A-05", "长期处方管理规范(试行)")
def long_term_scope(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Long-term only for a chronic diagnosis and for drugs that allow it."""
    if rx.kind is not RxKind.LONG_TERM:
        return
    chronic = [pattern for group in facts.knowledge.chronic if group.chronic for pattern in group.diagnoses]
    if not diagnosis_matches(diagnoses(rx), chronic):
        yield found("LONG_RX_UNSTABLE", Severity.WARN, "诊断不在慢性病范围内,长期处方须说明理由",
                    "no diagnosis is a chronic disease; a long-term prescription needs a reason",
                    "请核对诊断,或改为普通处方", "check the diagnosis, or make it an ordinary prescription",
                    path="diagnoses")
    for item, drug in known(rx, facts):
        if not drug.long_term_allowed or drug.special_control in CONTROLLED:
            yield found("LONG_RX_DRUG_EXCLUDED", Severity.BLOCK, f"{drug.name}不得用于长期处方",
                        f"{drug.id} may not be on a long-term prescription",
                        "请改为普通处方", "make it an ordinary prescription", path="drug", item=item)


def _kind(item: Item, facts: Facts) -> DrugKind:
    """What the catalogue says the product is; what was declared only where it is not in the catalogue (A-19 blocks it)."""
    entry = facts.knowledge.catalogue.get(item.drug)
    return entry.kind if entry else item.kind


@rule("A-06", "处方管理办法 art.6; 处方点评 1-11")
def number_of_items(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """At most five western or patent medicines; pieces do not count, and the catalogue says what a piece is."""
    counted = {item.drug for item in rx.items if _kind(item, facts) is not DrugKind.PIECE}
    if len(counted) > MOST_ITEMS:
        yield found("TOO_MANY_ITEMS", Severity.BLOCK, f"共 {len(counted)} 种药品,不得超过 {MOST_ITEMS} 种",
                    f"{len(counted)} drugs; at most {MOST_ITEMS} are allowed",
                    "请按病种分开开具", "split it by disease", path="items")
    for item in rx.items:
        if _kind(item, facts) is not item.kind:
            yield found("KIND_DIFFERS", Severity.BLOCK, "申报的药品类别与目录不一致",
                        "the kind of drug is not the catalogue's", "请按目录填写西药、中成药或中药饮片",
                        "state the kind the catalogue has: western, patent or pieces", path="kind", item=item)


@rule("A-07", "处方管理办法 art.6; 处方点评 1-5")
def pieces_apart(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Pieces stand on a prescription of their own."""
    kinds = {_kind(item, facts) for item in rx.items}
    if DrugKind.PIECE in kinds and len(kinds) > 1:
        yield found("PIECES_MIXED", Severity.BLOCK, "中药饮片须单独开具处方", "pieces need a prescription of their own",
                    "请拆分为两张处方", "split it in two", path="items")


@rule("A-09", "互联网诊疗管理办法 art.19; 智能监管规则库 seq 47")
def controlled_drugs(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Narcotic, psychotropic, toxic and radioactive drugs never circulate."""
    for item, drug in known(rx, facts):
        if drug.special_control in CONTROLLED:
            yield found("SPECIAL_DRUG_ONLINE", Severity.BLOCK,
                        f"{drug.name}属特殊管理药品({drug.special_control}),不得流转",
                        f"{drug.id} is a controlled drug and may not circulate",
                        "请在医疗机构内调配", "dispense it at the hospital", path="drug", item=item)


@rule("A-10", "互联网诊疗管理办法; 互联网诊疗监管细则(试行)")
def follow_up_proof(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """On the internet only follow-ups, with a fresh proof that covers every diagnosis by its first three characters."""
    if rx.visit.channel is not Channel.INTERNET:
        return
    proof = {code.strip()[:3] for code in rx.visit.proof_codes if code.strip()}
    cure, cure_en = "请上传有明确诊断的病历资料", "add a record with a definite diagnosis"
    if not rx.visit.follow_up or not proof or rx.visit.proof_date is None:
        yield found("NO_REVISIT_PROOF", Severity.BLOCK, "互联网诊疗仅限复诊,且须有既往诊断凭证",
                    "an internet visit must be a follow-up with a proof of the earlier diagnosis",
                    cure, cure_en, path="visit")
        return
    issued, given = facts.day(rx.issued_at), rx.visit.proof_date
    if given > issued or not within_months(given, issued, facts.policy.proof_months):
        yield found("NO_REVISIT_PROOF", Severity.BLOCK, f"既往诊断凭证须为近 {facts.policy.proof_months} 个月内",
                    f"the proof of the earlier diagnosis must be from the last {facts.policy.proof_months} months",
                    cure, cure_en, path="visit.proof_date")
    for code in diagnoses(rx):
        if code[:3] not in proof:
            yield found("DIAG_NOT_IN_PROOF", Severity.BLOCK, f"诊断 {code} 不在既往诊断凭证中",
                        f"diagnosis {code} is not on the proof", cure, cure_en, path="visit.proof_codes")


@rule("A-12", "互联网诊疗管理办法 art.19; 互联网诊疗监管细则(试行)")
def young_children(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Under six, an internet visit needs the guardian's presence confirmed and a doctor for children; unknown is neither."""
    if rx.visit.channel is not Channel.INTERNET or rx.patient.age_months >= 72:
        return
    if not rx.patient.guardian_confirmed:
        yield found("CHILD_NEEDS_GUARDIAN", Severity.BLOCK, "6 岁以下儿童互联网诊疗须监护人陪伴",
                    "a child under six needs the guardian present",
                    "请确认监护人陪伴后重新开具", "confirm the guardian and issue it again",
                    path="patient.guardian_confirmed")
    if not rx.prescriber.department.strip().startswith(CHILDRENS_DEPARTMENTS) \
            and CHILD not in rx.prescriber.department_name:
        yield found("CHILD_NEEDS_SPECIALTY", Severity.BLOCK, "6 岁以下儿童互联网诊疗须由儿科医师接诊,科室不符或未知",
                    "a child under six needs a doctor of a children's department; this one is not, or is not stated",
                    "请由儿科医师开具并填写科室", "let a paediatrician prescribe, and state the department",
                    path="prescriber.department")


@rule("A-14", "互联网诊疗管理办法 art.25; 处方管理办法")
def prescriber(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """On the internet, at least three years of independent practice; unknown counts as none."""
    if rx.visit.channel is Channel.INTERNET and rx.prescriber.independent_years < facts.policy.internet_years:
        yield found("DOCTOR_NOT_QUALIFIED", Severity.BLOCK,
                    f"医师独立临床工作不足 {facts.policy.internet_years} 年或未知",
                    f"fewer than {facts.policy.internet_years} years of independent practice, or not stated",
                    "请由符合条件的医师开具", "let a qualified physician prescribe",
                    path="prescriber.independent_years")


@rule("A-17", "处方管理办法 art.6; 处方点评 1-1")
def mandatory_fields(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The header is whole (institution, department, visit, prescriber, insurance, named diagnoses), there is at least one item,
    and every item has a name; all that is missing is listed. Patient, time and directions are asked for elsewhere."""
    missing = [path for path, present in (
        ("hospital", rx.hospital), ("prescriber.id", rx.prescriber.id),
        ("prescriber.department", rx.prescriber.department + rx.prescriber.department_name), ("visit.number", rx.visit.number),
        ("coverage.insutype", rx.coverage.insutype), ("items", rx.items),
        *((f"diagnosis[{number}].name", one.name) for number, one in enumerate(rx.diagnoses, 1)),
        *((f"item[{item.line}].name", item.name) for item in rx.items),
    ) if not (present.strip() if isinstance(present, str) else present)]
    if missing:
        listed = ", ".join(missing)
        yield found("FIELD_MISSING", Severity.BLOCK, f"缺少必填项:{listed}", f"missing: {listed}",
                    "请补全后重新开具", "fill them in and issue it again", path=missing[0])


@rule("A-19", "处方管理办法 art.17; 处方点评 1-6")
def approved_name(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Every item is in the city's catalogue; a name that does not contain the approved one needs a look."""
    for item in rx.items:
        entry, drug = facts.knowledge.catalogue.get(item.drug), facts.knowledge.drug(item.drug)
        if entry is None or drug is None:
            yield found("NAME_NOT_STANDARD", Severity.BLOCK, "药品编码不在目录中",
                        "the drug code is not in the catalogue",
                        "请使用目录内药品编码", "use a code of the catalogue", path="drug", item=item)
        elif drug.name not in item.name:
            yield found("NAME_DIFFERS", Severity.WARN, f"药名与编码不一致,该编码的通用名为{drug.name}",
                        f"the name is not that of {drug.id}", "请核对药名与编码", "check name and code",
                        path="name", item=item)


@rule("A-20", "处方点评 1-7, 1-8")
def explicit_directions(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Dose, unit, frequency, route and days are all there and all legal.

    A unit is legal if it is the drug's, or an exact factor leads to it: 0.5 g of a drug measured in mg.
    """
    for item in rx.items:
        drug = facts.knowledge.drug(item.drug)
        vague = [name for name, clear in (
            ("single_dose", plausible(item.single_dose)),
            ("dose_unit", bool(item.dose_unit.strip()) if drug is None else factor(item.dose_unit, drug.dose_unit) is not None),
            ("frequency", frequency(item, facts) is not None),
            ("route", item.route in ROUTES),
            ("days_supply", _some_days(item)),
        ) if not clear]
        if vague:
            yield found("USAGE_VAGUE", Severity.BLOCK, f"用法用量不明确:{', '.join(vague)}",
                        f"directions unclear: {', '.join(vague)}",
                        "请写明单次剂量、单位、频次、途径和天数", "state dose, unit, frequency, route and days",
                        path=vague[0], item=item)


def _some_days(item: Item) -> bool:
    return 0 < item.days_supply < 3660


@rule("A-21", "平台校验; 处方点评 1-7")
def quantity_arithmetic(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The quantity is what dose, frequency and days need, rounded up to a pack at most; `domain.dosage` computes it.

    Of what is not swallowed (pens, inhalers, drops) some is lost at each use and what is begun expires (days_per_pack.csv):
    there a further pack is right. When needed (prn), the label's maximum bounds it; without one that is said, not passed over.
    """
    for item, drug in known(rx, facts):
        entry, often, dose = facts.knowledge.catalogue.get(item.drug), frequency(item, facts), single_dose(item, drug)
        if not plausible(item.quantity):
            yield found("QTY_MISMATCH", Severity.BLOCK, "数量不是正数", "the quantity is not a positive number",
                        "请填写数量", "state the quantity", path="quantity", item=item)
        elif entry is not None and not same_unit(item.unit, entry.unit):
            yield found("QTY_MISMATCH", Severity.BLOCK, f"数量单位应为{entry.unit}",
                        f"the counted unit must be {entry.unit}",
                        "请按目录单位填写数量", "count in the catalogue's unit", path="unit", item=item)
        elif often is None or dose is None or entry is None or not _some_days(item):
            continue  # blocks it
        elif (bounds := _units(item, drug, entry, often, dose, facts)) is None:
            yield found("QTY_UNCHECKED", Severity.INFO, "数量无法按频次核算", "the quantity cannot be computed",
                        path="quantity", item=item)
        elif item.quantity < bounds[0]:
            yield found("QTY_MISMATCH", Severity.BLOCK, f"数量 {plain(item.quantity)} 不足,需 {bounds[0]}{entry.unit}",
                        f"quantity {plain(item.quantity)} is too little, {bounds[0]} needed",
                        "请核对数量与天数", "check quantity and days", path="quantity", item=item)
        elif item.quantity > bounds[1]:
            yield found("QTY_EXCESS_PACK", Severity.WARN, f"数量 {plain(item.quantity)} 过多,最多 {bounds[1]}{entry.unit}",
                        f"quantity {plain(item.quantity)} is too much, {bounds[1]} at most",
                        "请核对数量与天数", "check quantity and days", path="quantity", item=item)


def _units(item: Item, drug: Drug, entry: CatalogueEntry, often: Frequency, dose: Fraction, facts: Facts
           ) -> tuple[int, int] | None:
    """The fewest and the most counted units that are right; None where nothing bounds them."""
    pack, content = entry.units_per_pack, entry.dose_per_unit
    needed = required_units(dose, content, often.times, often.period_days, item.days_supply)
    if needed is None:
        most = required_units(drug.max_dose, content, 1, drug.dose_period_days, item.days_supply) if drug.max_dose else None
        return None if most is None else (0, whole_packs(most, pack))
    if item.route in SWALLOWED:
        return needed, whole_packs(needed, pack)
    begun = [math.ceil(Fraction(item.days_supply, row.days)) for row in facts.knowledge.in_use if drug.matches(row.patterns)]
    return needed, whole_packs(max([needed, *begun]), pack) + pack


@rule("A-23", "处方点评 1-10; 结算接口 diseinfo")
def diagnosis_given(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """At least one diagnosis, and each of them coded."""
    if not rx.diagnoses or not all(CODED.match(one.code.strip()) for one in rx.diagnoses):
        yield found("DIAG_MISSING", Severity.BLOCK, "缺少临床诊断或诊断未编码", "a coded diagnosis is missing",
                    "请填写医保版诊断编码", "give the ICD-10 code", path="diagnoses")


@rule("A-37", "处方管理办法 art.36")
def skin_test(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A penicillin needs a negative skin test of the last hours, or a written reason why none is needed."""
    hours = facts.policy.skin_test_hours
    for item, drug in known(rx, facts):
        if not drug.matches(SKIN_TESTED):
            continue
        test = item.skin_test or SkinTest()
        if test.result is SkinTestResult.POSITIVE:
            yield found("SKIN_TEST_POSITIVE", Severity.BLOCK, f"皮试阳性,不得使用{drug.name}",
                        f"the skin test is positive; {drug.id} must not be given",
                        "请更换药品", "choose another drug", path="skin_test.result", item=item)
        elif test.exemption.strip():
            yield found("SKIN_TEST_EXEMPT", Severity.INFO, f"{drug.name}免做皮试,理由见处方",
                        f"no skin test for {drug.id}, for the reason on the prescription", path="skin_test.exemption", item=item)
        elif test.result is None or test.at is None:
            yield found("SKIN_TEST_MISSING", Severity.BLOCK, f"{drug.name}须有皮试阴性结果及时间,或免试理由",
                        f"{drug.id} needs a negative skin test with its time, or the reason why none is needed",
                        f"请填写 {hours} 小时内的皮试结果与时间,或免试理由",
                        f"state result and time of a test of the last {hours} hours, or why none is needed",
                        path="skin_test", item=item)
        elif test.at - facts.now > CLOCK_SKEW or rx.issued_at - test.at > timedelta(hours=hours):
            yield found("SKIN_TEST_MISSING", Severity.BLOCK, f"{drug.name}的皮试不在开具前 {hours} 小时内",
                        f"the skin test for {drug.id} is not of the {hours} hours before the prescription",
                        "请重新皮试并填写结果与时间", "test again, and state result and time",
                        path="skin_test.at", item=item)


RULES = (validity, days_of_supply, long_supply, long_term_scope, number_of_items, pieces_apart, controlled_drugs,
         follow_up_proof, young_children, prescriber, mandatory_fields, approved_name, explicit_directions,
         quantity_arithmetic, diagnosis_given, skin_test)
