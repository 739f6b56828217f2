"""Is it a valid prescription, by a prescriber with the right to it, for a patient who may have it? (rules-cn, section A)"""

import re
from collections.abc import Iterator
from datetime import timedelta

from domain.audit.case import Case, within_months
from domain.audit.rulebook import BLOCK, INFO, WARN, Hit, Phase, hit, rule
from domain.prescription import Channel, DrugKind, RxKind, SkinTest, SkinTestResult
from domain.words import Two

CONTROLLED = frozenset({"麻醉", "精一", "精二", "毒性", "放射"})
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
ADD_PROOF = Two("请上传有明确诊断的病历资料", "add a record with a definite diagnosis")


@rule("A-01", Phase.PRESCRIBING, "处方管理办法 art.18; 电子处方接口 valiDays", {
    "RX_VALIDITY": BLOCK, "VALIDITY_REASON_MISSING": BLOCK, "RX_NOT_YET": BLOCK, "RX_EXPIRED": BLOCK})
def validity(case: Case) -> Iterator[Hit]:
    """Valid for one day of 24 hours from issue, two or three with the prescriber's reason; not expired now."""
    rx = case.rx
    if not 1 <= rx.valid_days <= 3:
        yield hit("RX_VALIDITY", Two("有效期 {days} 天,只能为 1 至 3 天", "valid for {days} days; only 1 to 3 are allowed"),
                  Two("请重新开具有效期 1 至 3 天的处方", "issue it again with 1 to 3 days"), path="valid_days", days=rx.valid_days)
    elif rx.valid_until != rx.issued_at + timedelta(days=rx.valid_days):
        yield hit("RX_VALIDITY", Two("有效期截止时间与开具时间加有效天数不符",
                                     "the end of validity is not the time of issue plus the days of validity"),
                  Two("请核对开具时间与有效天数", "check the time of issue and the days"), path="valid_until")
    if rx.valid_days > 1 and not rx.valid_reason.strip():
        yield hit("VALIDITY_REASON_MISSING", Two("有效期 {days} 天,未注明理由", "valid for {days} days without a reason"),
                  Two("请注明有效期延长的理由,或改为 1 天", "give the reason, or make it one day"),
                  path="valid_reason", days=rx.valid_days)
    if rx.issued_at - case.at > CLOCK_SKEW:
        yield hit("RX_NOT_YET", Two("开具时间晚于当前时间", "it says it is issued later than now"),
                  Two("请核对开具时间与医院系统时钟", "check the time of issue and the clock of the hospital's system"),
                  path="issued_at")
    if case.at > rx.valid_until:
        yield hit("RX_EXPIRED", Two("处方已过有效期", "the prescription has expired"),
                  Two("请医师重新开具", "ask the prescriber for a new one"), path="valid_until")


@rule("A-03", Phase.PRESCRIBING, "处方管理办法 art.19; 处方点评 1-12", {"QTY_EXTENDED": INFO, "QTY_OVER_LIMIT": BLOCK})
def days_of_supply(case: Case) -> Iterator[Hit]:
    """Seven days, three in an emergency, unless the prescriber gives a reason; long-term has its own rule."""
    limit = DAYS_WITHOUT_REASON.get(case.rx.kind)
    if limit is None:
        return
    for line in case.lines:
        days = line.item.days_supply
        if days <= limit:
            continue
        if case.rx.extend_reason.strip():
            yield hit("QTY_EXTENDED", Two("用量 {days} 天,超过 {limit} 天,已注明理由",
                                          "{days} days, more than {limit}, with a reason"),
                      path="days_supply", line=line, days=days, limit=limit)
        else:
            yield hit("QTY_OVER_LIMIT", Two("用量 {days} 天,超过 {limit} 天且无理由",
                                            "{days} days, more than {limit}, without a reason"),
                      Two("请注明慢性病、老年病或特殊情况的理由", "give the reason"),
                      path="days_supply", line=line, days=days, limit=limit)


@rule("A-04", Phase.PRESCRIBING, "长期处方管理规范(试行)", {"LONG_RX_OVER_84": BLOCK, "LONG_RX_NO_ASSESSMENT": BLOCK})
def long_supply(case: Case) -> Iterator[Hit]:
    """Up to 28 days freely, to 84 with an assessment on record and the patient's acknowledgement, never more."""
    assessed = case.rx.long_term_assessed and case.rx.patient_acknowledged
    for line in case.lines:
        days = line.item.days_supply
        if days > LONGEST_DAYS:
            yield hit("LONG_RX_OVER_84", Two("用量 {days} 天,超过 12 周", "{days} days, more than 12 weeks"),
                      Two("请缩短至 84 天以内", "shorten it to 84 days"), path="days_supply", line=line, days=days)
        elif days > LONG_DAYS and not assessed:
            yield hit("LONG_RX_NO_ASSESSMENT", Two("用量 {days} 天,缺病情评估记录或患者确认",
                                                   "{days} days without an assessment or the patient's acknowledgement"),
                      Two("请记录评估并由患者确认,或缩短至 28 天", "record both, or shorten it to 28 days"),
                      path="days_supply", line=line, days=days)


@rule("A-05", Phase.PRESCRIBING, "长期处方管理规范(试行)", {"LONG_RX_UNSTABLE": WARN, "LONG_RX_DRUG_EXCLUDED": BLOCK})
def long_term_scope(case: Case) -> Iterator[Hit]:
    """Long-term only for a chronic diagnosis and for drugs that allow it."""
    if case.rx.kind is not RxKind.LONG_TERM:
        return
    if not case.knowledge.index.chronic.rows(case.diagnoses):
        yield hit("LONG_RX_UNSTABLE", Two("诊断不在慢性病范围内,长期处方须说明理由",
                                          "no diagnosis is a chronic disease; a long-term prescription needs a reason"),
                  Two("请核对诊断,或改为普通处方", "check the diagnosis, or make it an ordinary prescription"), path="diagnoses")
    for line in case.known_lines:
        drug = line.drug
        if not drug.long_term_allowed or drug.special_control in CONTROLLED:
            yield hit("LONG_RX_DRUG_EXCLUDED", Two("{name}不得用于长期处方", "{drug} may not be on a long-term prescription"),
                      Two("请改为普通处方", "make it an ordinary prescription"),
                      path="drug", line=line, evidence=(drug.id,), name=drug.name, drug=drug.id)


@rule("A-06", Phase.PRESCRIBING, "处方管理办法 art.6; 处方点评 1-11", {"TOO_MANY_ITEMS": BLOCK, "KIND_DIFFERS": BLOCK})
def number_of_items(case: Case) -> Iterator[Hit]:
    """At most five western or patent medicines; pieces do not count, and the catalogue says what a piece is."""
    count = len({line.item.drug for line in case.lines if line.kind is not DrugKind.PIECE})
    if count > MOST_ITEMS:
        yield hit("TOO_MANY_ITEMS", Two("共 {count} 种药品,不得超过 {most} 种", "{count} drugs; at most {most} are allowed"),
                  Two("请按病种分开开具", "split it by disease"), path="items", count=count, most=MOST_ITEMS)
    for line in case.lines:
        if line.kind is not line.item.kind:
            yield hit("KIND_DIFFERS", Two("申报的药品类别与目录不一致", "the kind of drug is not the catalogue's"),
                      Two("请按目录填写西药、中成药或中药饮片", "state the kind the catalogue has: western, patent or pieces"),
                      path="kind", line=line)


@rule("A-07", Phase.PRESCRIBING, "处方管理办法 art.6; 处方点评 1-5", {"PIECES_MIXED": BLOCK})
def pieces_apart(case: Case) -> Iterator[Hit]:
    """Pieces stand on a separate prescription."""
    kinds = {line.kind for line in case.lines}
    if DrugKind.PIECE in kinds and len(kinds) > 1:
        yield hit("PIECES_MIXED", Two("中药饮片须单独开具处方", "pieces need a prescription of their own"),
                  Two("请拆分为两张处方", "split it in two"), path="items")


@rule("A-09", Phase.PRESCRIBING, "互联网诊疗管理办法 art.19; 智能监管规则库 seq 47", {"SPECIAL_DRUG_ONLINE": BLOCK})
def controlled_drugs(case: Case) -> Iterator[Hit]:
    """Narcotic, psychotropic, toxic and radioactive drugs never circulate."""
    for line in case.known_lines:
        drug = line.drug
        if drug.special_control in CONTROLLED:
            yield hit("SPECIAL_DRUG_ONLINE", Two("{name}属特殊管理药品({control}),不得流转",
                                                 "{drug} is a controlled drug and may not circulate"),
                      Two("请在医疗机构内调配", "dispense it at the hospital"), path="drug", line=line, evidence=(drug.id,),
                      name=drug.name, drug=drug.id, control=drug.special_control)


@rule("A-10", Phase.PRESCRIBING, "互联网诊疗管理办法; 互联网诊疗监管细则(试行)", {
    "NO_REVISIT_PROOF": BLOCK, "DIAG_NOT_IN_PROOF": BLOCK})
def follow_up_proof(case: Case) -> Iterator[Hit]:
    """On the internet only follow-ups, with a fresh proof that covers every diagnosis by its first three characters."""
    visit, months = case.rx.visit, case.policy.proof_months
    if visit.channel is not Channel.INTERNET:
        return
    proof = {code.strip()[:3] for code in visit.proof_codes if code.strip()}
    if not visit.follow_up or not proof or visit.proof_date is None:
        yield hit("NO_REVISIT_PROOF", Two("互联网诊疗仅限复诊,且须有既往诊断凭证",
                                          "an internet visit must be a follow-up with a proof of the earlier diagnosis"),
                  ADD_PROOF, path="visit")
        return
    if visit.proof_date > case.issued_on or not within_months(visit.proof_date, case.issued_on, months):
        yield hit("NO_REVISIT_PROOF", Two("既往诊断凭证须为近 {months} 个月内",
                                          "the proof of the earlier diagnosis must be from the last {months} months"),
                  ADD_PROOF, path="visit.proof_date", months=months)
    for code in case.diagnoses:
        if code[:3] not in proof:
            yield hit("DIAG_NOT_IN_PROOF", Two("诊断 {diagnosis} 不在既往诊断凭证中", "diagnosis {diagnosis} is not on the proof"),
                      ADD_PROOF, path="visit.proof_codes", diagnosis=code)


@rule("A-12", Phase.PRESCRIBING, "互联网诊疗管理办法 art.19; 互联网诊疗监管细则(试行)", {
    "CHILD_NEEDS_GUARDIAN": BLOCK, "CHILD_NEEDS_SPECIALTY": BLOCK})
def young_children(case: Case) -> Iterator[Hit]:
    """Under six, an internet visit needs the guardian's presence confirmed and a doctor for children; unknown is neither."""
    rx = case.rx
    if rx.visit.channel is not Channel.INTERNET or rx.patient.age_months >= 72:
        return
    if not rx.patient.guardian_confirmed:
        yield hit("CHILD_NEEDS_GUARDIAN", Two("6 岁以下儿童互联网诊疗须监护人陪伴", "a child under six needs the guardian present"),
                  Two("请确认监护人陪伴后重新开具", "confirm the guardian and issue it again"), path="patient.guardian_confirmed")
    if not rx.prescriber.department.strip().startswith(CHILDRENS_DEPARTMENTS) \
            and CHILD not in rx.prescriber.department_name:
        yield hit("CHILD_NEEDS_SPECIALTY",
                  Two("6 岁以下儿童互联网诊疗须由儿科医师接诊,科室不符或未知",
                      "a child under six needs a doctor of a children's department; this one is not, or is not stated"),
                  Two("请由儿科医师开具并填写科室", "let a paediatrician prescribe, and state the department"),
                  path="prescriber.department")


@rule("A-14", Phase.PRESCRIBING, "互联网诊疗管理办法 art.25; 处方管理办法", {"DOCTOR_NOT_QUALIFIED": BLOCK})
def prescriber(case: Case) -> Iterator[Hit]:
    """On the internet, at least three years of independent practice; unknown counts as none."""
    years = case.policy.internet_years
    if case.rx.visit.channel is Channel.INTERNET and case.rx.prescriber.independent_years < years:
        yield hit("DOCTOR_NOT_QUALIFIED", Two("医师独立临床工作不足 {years} 年或未知",
                                              "fewer than {years} years of independent practice, or not stated"),
                  Two("请由符合条件的医师开具", "let a qualified physician prescribe"),
                  path="prescriber.independent_years", years=years)


@rule("A-17", Phase.PRESCRIBING, "处方管理办法 art.6; 处方点评 1-1", {"FIELD_MISSING": BLOCK})
def mandatory_fields(case: Case) -> Iterator[Hit]:
    """The header is whole, there is at least one item, and every item has a name; all that is missing is listed.

    The header is institution, department, visit, prescriber, insurance and named diagnoses. Other rules ask for patient, time
    and directions.
    """
    rx = case.rx
    missing = [path for path, present in (
        ("hospital", rx.hospital), ("prescriber.id", rx.prescriber.id),
        ("prescriber.department", rx.prescriber.department + rx.prescriber.department_name), ("visit.number", rx.visit.number),
        ("coverage.insutype", rx.coverage.insutype), ("items", rx.items),
        *((f"diagnosis[{number}].name", diagnosis.name) for number, diagnosis in enumerate(rx.diagnoses, 1)),
        *((f"item[{item.line}].name", item.name) for item in rx.items),
    ) if not (present.strip() if isinstance(present, str) else present)]
    if missing:
        yield hit("FIELD_MISSING", Two("缺少必填项:{missing}", "missing: {missing}"),
                  Two("请补全后重新开具", "fill them in and issue it again"), path=missing[0], missing=", ".join(missing))


@rule("A-23", Phase.PRESCRIBING, "处方点评 1-10; 结算接口 diseinfo", {"DIAG_MISSING": BLOCK})
def diagnosis_stated(case: Case) -> Iterator[Hit]:
    """At least one diagnosis, and each of them coded."""
    diagnoses = case.rx.diagnoses
    if not diagnoses or not all(CODED.match(diagnosis.code.strip()) for diagnosis in diagnoses):
        yield hit("DIAG_MISSING", Two("缺少临床诊断或诊断未编码", "a coded diagnosis is missing"),
                  Two("请填写医保版诊断编码", "give the ICD-10 code"), path="diagnoses")


@rule("A-37", Phase.PRESCRIBING, "处方管理办法 art.36", {
    "SKIN_TEST_POSITIVE": BLOCK, "SKIN_TEST_EXEMPT": INFO, "SKIN_TEST_MISSING": BLOCK})
def skin_test(case: Case) -> Iterator[Hit]:
    """A penicillin needs a negative skin test of the last hours, or a written reason why none is needed."""
    hours = case.policy.skin_test_hours
    for line in case.known_lines:
        drug = line.drug
        if not drug.matches(SKIN_TESTED):
            continue
        test = line.item.skin_test or SkinTest()
        if test.result is SkinTestResult.POSITIVE:
            yield hit("SKIN_TEST_POSITIVE", Two("皮试阳性,不得使用{name}", "the skin test is positive; {drug} must not be given"),
                      Two("请更换药品", "choose another drug"), path="skin_test.result", line=line, name=drug.name, drug=drug.id)
        elif test.exemption.strip():
            yield hit("SKIN_TEST_EXEMPT", Two("{name}免做皮试,理由见处方",
                                              "no skin test for {drug}, for the reason on the prescription"),
                      path="skin_test.exemption", line=line, name=drug.name, drug=drug.id)
        elif test.result is None or test.at is None:
            yield hit("SKIN_TEST_MISSING", Two("{name}须有皮试阴性结果及时间,或免试理由",
                                               "{drug} needs a negative skin test with its time, or the reason why none is needed"),
                      Two("请填写 {hours} 小时内的皮试结果与时间,或免试理由",
                          "state result and time of a test of the last {hours} hours, or why none is needed"),
                      path="skin_test", line=line, name=drug.name, drug=drug.id, hours=hours)
        elif test.at - case.at > CLOCK_SKEW or case.rx.issued_at - test.at > timedelta(hours=hours):
            yield hit("SKIN_TEST_MISSING", Two("{name}的皮试不在开具前 {hours} 小时内",
                                               "the skin test for {drug} is not of the {hours} hours before the prescription"),
                      Two("请重新皮试并填写结果与时间", "test again, and state result and time"),
                      path="skin_test.at", line=line, name=drug.name, drug=drug.id, hours=hours)
