"""Will the fund pay for a line? (rules-cn, B-06 to B-14, B-26, B-51, F-03, F-04) About money, never a clinical verdict."""

from collections.abc import Iterator

from domain.audit.case import Case, KnownLine, within_months
from domain.audit.rulebook import BLOCK, INFO, SELFPAY, WARN, Hit, Phase, hit, rule
from domain.knowledge.codes import diagnosis_matches
from domain.knowledge.rows import PaymentRestriction
from domain.prescription import Approval, Channel, RxKind
from domain.words import Two

UNLISTED = "丙"
SHORT_SUPPLY = 30
"""Days up to which a supply is a short one (B-26)."""
CONSENT = Two("患者知情同意后可自费购买", "the patient may buy it after informed consent")


def _restricted(case: Case) -> Iterator[tuple[KnownLine, PaymentRestriction]]:
    for line in case.known_lines:
        for row in case.knowledge.index.restrictions.rows(line.drug):
            yield line, row


@rule("F-03", Phase.PAYMENT, "医保目录 甲乙丙", {"CLASS_C": SELFPAY})
def listed(case: Case) -> Iterator[Hit]:
    """The fund pays class 甲 and 乙 only."""
    for line in case.lines:
        if (entry := line.entry) and entry.category == UNLISTED:
            yield hit("CLASS_C", Two("{name}为目录外药品", "{product} is not on the fund's list"), CONSENT,
                      path="drug", line=line, evidence=(entry.code,), name=entry.name, product=entry.code)


@rule("F-04", Phase.PAYMENT, "结算接口 hospApprFlag, lmt_used_flag", {
    "OWN_EXPENSE": SELFPAY, "NOT_APPROVED": SELFPAY, "APPROVED": INFO})
def hospital_approval(case: Case) -> Iterator[Hit]:
    """The hospital's answer about the fund's conditions: 1 is covered, and shown, because the hospital answers for it.

    0 or 2 on a restricted drug is own expense, 2 also on any other. Without an answer B-06 and B-09 decide.
    """
    for line in case.known_lines:
        drug, approval = line.drug, line.item.approval
        rows = case.knowledge.index.restrictions.rows(drug)
        if approval is Approval.OWN_EXPENSE:
            yield hit("OWN_EXPENSE", Two("医院标明自费",
                                         "the hospital states that the patient pays"), CONSENT, path="drug", line=line)
        elif rows and approval is Approval.NOT_COVERED:
            yield hit("NOT_APPROVED", Two("{name}限制使用,医院未确认符合支付条件",
                                          "{drug} is restricted, and the hospital does not confirm the fund's conditions"),
                      Two("请医院确认符合条件,或由患者自费", "let the hospital confirm them, or the patient pays"),
                      path="drug", line=line, evidence=(row.id for row in rows), name=drug.name, drug=drug.id)
        elif approval is Approval.COVERED:
            for row in rows:
                yield hit("APPROVED", Two("医院确认{name}符合医保支付条件:{condition}",
                                          "the hospital confirms the fund's conditions for {drug} ({row})"),
                          path="approval", line=line, evidence=(row.id,),
                          name=drug.name, drug=drug.id, condition=row.evidence, row=row.id)


@rule("B-06", Phase.PAYMENT, "智能监管规则库 seq 5", {"SECOND_LINE": SELFPAY})
def second_line(case: Case) -> Iterator[Hit]:
    """A second-line drug is paid only after a first-line one: on this paper, or handed over within the months the row says.

    The hospital may answer for the evidence instead (F-04).
    """
    for line, row in _restricted(case):
        if not row.prior or line.item.approval is Approval.COVERED:
            continue
        before = [other.drug for other in case.known_lines if other.number != line.number]
        before += [supply.drug for supply in case.history if within_months(supply.day, case.today, row.prior_months)]
        if not any(drug.matches(row.prior) for drug in before):
            yield hit("SECOND_LINE", Two("限二线用药,未见一线用药记录:{condition}",
                                         "second line, no earlier first-line drug on record ({row})"), CONSENT,
                      path="drug", line=line, evidence=(row.id,), condition=row.evidence, row=row.id)


@rule("B-09", Phase.PAYMENT, "智能监管规则库 seq 8", {"LIMIT_INDICATION": SELFPAY})
def payable_indication(case: Case) -> Iterator[Hit]:
    """Diagnosis, age and sex are the ones the fund pays the drug for; an unknown sex is not.

    The hospital may answer for them instead (F-04).
    """
    age, sex = case.patient.age_years, case.patient.sex
    for line, row in _restricted(case):
        if line.item.approval is Approval.COVERED:
            continue
        if (row.diagnoses and not diagnosis_matches(case.diagnoses, row.diagnoses)) \
                or (row.age_min is not None and age < row.age_min) \
                or (row.age_max is not None and age > row.age_max) \
                or (row.sex is not None and sex is not row.sex):
            yield hit("LIMIT_INDICATION", Two("不符合医保限定支付范围:{condition}",
                                              "outside what the fund pays this drug for ({row})"),
                      CONSENT, path="drug", line=line, evidence=(row.id,), condition=row.evidence, row=row.id)


@rule("B-10", Phase.PAYMENT, "智能监管规则库 seq 9", {"OVER_RX_DAYS": SELFPAY})
def payable_days(case: Case) -> Iterator[Hit]:
    """Not more days than the city pays at once; a line cannot be paid in part, so the whole line is denied."""
    cap = case.policy.pay_days_cap_long_term if case.rx.kind is RxKind.LONG_TERM else case.policy.pay_days_cap
    for line in case.lines:
        if line.item.days_supply > cap:
            yield hit("OVER_RX_DAYS", Two("用量 {days} 天,医保单次最多支付 {cap} 天", "{days} days; the fund pays {cap} at once"),
                      Two("请缩短至 {cap} 天,或由患者自费", "shorten it to {cap} days, or the patient pays"),
                      path="drug", line=line, days=line.item.days_supply, cap=cap)


@rule("B-26", Phase.PAYMENT, "医疗保障基金使用监督管理条例 art.38; 处方点评 2-7", {
    "REFILL_EARLY": WARN, "REFILL_TOO_EARLY": (BLOCK, SELFPAY)})
def early_refill(case: Case) -> Iterator[Hit]:
    """What we handed over must be nearly used up before more of the same ingredient is paid; of high value, before it is sold.

    Knows only what went through this platform and was kept.
    """
    policy = case.policy
    for line in case.known_lines:
        drug, left = line.drug, line.in_hand
        if not left.days:
            continue
        if left.days <= (policy.refill_days_long if left.supply > SHORT_SUPPLY else policy.refill_days):
            yield hit("REFILL_EARLY", Two("{name}此前配取的药量还可用 {days} 天",
                                          "what was handed over of {drug} lasts {days} days more"),
                      Two("请核对患者余药", "check what the patient has left"), path="days_supply", line=line,
                      evidence=left.evidence, name=drug.name, drug=drug.id, days=left.days)
        else:
            yield hit("REFILL_TOO_EARLY", Two("{name}此前配取的药量还可用 {days} 天,重复开药",
                                              "what was handed over of {drug} lasts {days} days more: too early for a refill"),
                      Two("请待余药将尽时再开具", "prescribe it when little is left"),
                      severity=BLOCK if _of_high_value(case, line) else SELFPAY, path="days_supply", line=line,
                      evidence=left.evidence, name=drug.name, drug=drug.id, days=left.days)


def _of_high_value(case: Case, line: KnownLine) -> bool:
    """Whether it may not even be bought too early; a value that cannot be computed counts as high."""
    return line.drug.special_control != "NONE" or line.entry is None or line.quantity is None \
        or line.entry.list_price * line.item.quantity >= case.policy.high_value_yuan


@rule("B-12", Phase.PAYMENT, "智能监管规则库 seq 11; 零售药店问题清单 item 16", {"NOT_IN_DISEASE_LIST": SELFPAY})
def disease_formulary(case: Case) -> Iterator[Hit]:
    """Under a chronic benefit only what belongs to that disease."""
    disease, entitlement = case.rx.coverage.disease_code, case.entitlement
    patterns = case.policy.disease_formulary.get(disease)
    if patterns is None or entitlement is None or disease not in entitlement.diseases:
        return  # no chronic claim: B-44 says so
    for line in case.known_lines:
        drug = line.drug
        if not drug.matches(patterns):
            yield hit("NOT_IN_DISEASE_LIST", Two("{name}不在病种 {disease} 用药范围内",
                                                 "{drug} is not in the formulary of {disease}"),
                      Two("可另开普通门诊处方,或由患者自费", "put it on an ordinary prescription, or the patient pays"),
                      path="drug", line=line, evidence=(disease,), name=drug.name, drug=drug.id, disease=disease)


@rule("B-13", Phase.PAYMENT, "智能监管规则库 seq 12", {"LIMIT_LEVEL": SELFPAY})
def hospital_level(case: Case) -> Iterator[Hit]:
    """Some drugs are paid only from a hospital of a certain level."""
    for line, row in _restricted(case):
        if row.min_level is not None and case.hospital_level < row.min_level:
            yield hit("LIMIT_LEVEL", Two("限 {level} 级及以上医疗机构", "only from level {level} up ({row})"), CONSENT,
                      path="drug", line=line, evidence=(row.id,), level=row.min_level, row=row.id)


@rule("B-14", Phase.PAYMENT, "智能监管规则库 seq 13", {"LIMIT_VISIT": SELFPAY})
def kind_of_visit(case: Case) -> Iterator[Hit]:
    """Some drugs are not paid from the internet, or only for in-patients and emergencies."""
    for line, row in _restricted(case):
        online = "NOT_INTERNET" in row.visit and case.rx.visit.channel is Channel.INTERNET
        if online or {"INPATIENT", "EMERGENCY"} & set(row.visit):
            yield hit("LIMIT_VISIT", Two("该药品在本就医方式下医保不予支付", "not paid for this kind of visit ({row})"), CONSENT,
                      path="drug", line=line, evidence=(row.id,), row=row.id)


@rule("B-51", Phase.CLAIM, "集采落地", {"PREFER_VBP": WARN})
def prefer_standard_price(case: Case) -> Iterator[Hit]:
    """A product dearer than the payment standard, while one of the same drug is not."""
    for line in case.lines:
        entry = line.entry
        if entry is None or entry.pay_standard is None or entry.list_price <= entry.pay_standard:
            continue
        within = [other.code for other in case.knowledge.index.products[entry.drug]
                  if other.pay_standard is not None and other.list_price <= other.pay_standard]
        if within:
            yield hit("PREFER_VBP", Two("{name}有不高于支付标准的同通用名产品", "a product within the standard exists"),
                      Two("请优先选用,或说明理由", "prefer it, or give the reason"), path="drug", line=line,
                      evidence=(entry.code, *within), name=entry.name)
