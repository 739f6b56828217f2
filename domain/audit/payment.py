"""Will the fund pay for it? (rules-cn, B-06 to B-14, B-43 to B-51) About money, never a clinical verdict."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from domain.audit.facts import Facts, diagnoses, found, in_hand, known, plausible, rule, within_months
from domain.benefit import Person, applicable, benefit_line, settle
from domain.findings import Finding, Severity
from domain.knowledge import PaymentRestriction, diagnosis_matches
from domain.money import line_amount, yuan
from domain.orders import OrderLine
from domain.prescription import Approval, Channel, Item, Prescription, RxKind

SHORT_SUPPLY = 30
"""Days up to which a supply is a short one (B-26)."""
CONSENT, CONSENT_EN = "患者知情同意后可自费购买", "the patient may buy it after informed consent"


def selfpay_lines(findings: Iterable[Finding]) -> frozenset[int]:
    """The lines the fund does not pay. A SELFPAY without a line (B-44) denies a benefit, not a line."""
    return frozenset(one.line for one in findings if one.severity is Severity.SELFPAY and one.line is not None)


def _denied(code: str, item: Item, text: str, text_en: str, cure: str = "", cure_en: str = "") -> Finding:
    return found(code, Severity.SELFPAY, text, text_en, cure or CONSENT, cure_en or CONSENT_EN, path="drug", item=item)


def _restricted(rx: Prescription, facts: Facts) -> Iterator[tuple[Item, PaymentRestriction]]:
    for item, drug in known(rx, facts):
        for row in facts.knowledge.restrictions:
            if row.drug == drug.id:
                yield item, row


@rule("F-03", "医保目录 甲乙丙")
def listed(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The fund pays class 甲 and 乙 only."""
    for item in rx.items:
        if (entry := facts.knowledge.catalogue.get(item.drug)) and entry.category == "丙":
            yield _denied("CLASS_C", item, f"{entry.name}为目录外药品", f"{entry.code} is not on the fund's list")


@rule("F-04", "结算接口 hospApprFlag, lmt_used_flag")
def hospital_approval(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """What the hospital says of the fund's conditions: 1 is covered, and what it answers for is shown; 0 or 2 on a restricted
    drug is own expense, 2 on any. Nothing said: B-06 and B-09 decide."""
    for item, drug in known(rx, facts):
        rows = [row for row in facts.knowledge.restrictions if row.drug == drug.id]
        if item.approval is Approval.OWN_EXPENSE:
            yield _denied("OWN_EXPENSE", item, "医院标明自费", "the hospital states that the patient pays")
        elif rows and item.approval is Approval.NOT_COVERED:
            yield _denied("NOT_APPROVED", item, f"{drug.name}限制使用,医院未确认符合支付条件",
                          f"{drug.id} is restricted, and the hospital does not confirm the fund's conditions",
                          "请医院确认符合条件,或由患者自费", "let the hospital confirm them, or the patient pays")
        elif item.approval is Approval.COVERED:
            for row in rows:
                yield found("APPROVED", Severity.INFO, f"医院确认{drug.name}符合医保支付条件:{row.evidence}",
                            f"the hospital confirms the fund's conditions for {drug.id} ({row.id})",
                            path="approval", item=item)


@rule("B-06", "智能监管规则库 seq 5")
def second_line(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A second-line drug is paid only after a first-line one: on this paper, or handed over within the months the row says.

    The hospital may answer for the evidence instead (F-04).
    """
    for item, row in _restricted(rx, facts):
        if not row.prior or item.approval is Approval.COVERED:
            continue
        before = {other.drug for other in rx.items if other.line != item.line}
        before |= {given.drug for given in facts.history if within_months(facts.day(given.at), facts.today, row.prior_months)}
        if not any(drug.matches(row.prior) for code in before if (drug := facts.knowledge.drug(code))):
            yield _denied("SECOND_LINE", item, f"限二线用药,未见一线用药记录:{row.evidence}",
                          f"second line, no earlier first-line drug on record ({row.id})")


@rule("B-09", "智能监管规则库 seq 8")
def payable_indication(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Diagnosis, age and sex are the ones the fund pays the drug for; an unknown sex is not.

    The hospital may answer for them instead (F-04).
    """
    age, sex = rx.patient.age_years, rx.patient.sex
    for item, row in _restricted(rx, facts):
        if item.approval is Approval.COVERED:
            continue
        if (row.diagnoses and not diagnosis_matches(diagnoses(rx), row.diagnoses)) \
                or (row.age_min is not None and age < row.age_min) \
                or (row.age_max is not None and age > row.age_max) \
                or (row.sex is not None and sex is not row.sex):
            yield _denied("LIMIT_INDICATION", item, f"不符合医保限定支付范围:{row.evidence}",
                          f"outside what the fund pays this drug for ({row.id})")


@rule("B-10", "智能监管规则库 seq 9")
def payable_days(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Not more days than the city pays at once; a line cannot be paid in part, so the whole line is denied."""
    long_term = rx.kind is RxKind.LONG_TERM
    cap = facts.policy.pay_days_cap_long_term if long_term else facts.policy.pay_days_cap
    for item in rx.items:
        if item.days_supply > cap:
            yield _denied("OVER_RX_DAYS", item, f"用量 {item.days_supply} 天,医保单次最多支付 {cap} 天",
                          f"{item.days_supply} days; the fund pays {cap} at once",
                          f"请缩短至 {cap} 天,或由患者自费", f"shorten it to {cap} days, or the patient pays")


@rule("B-26", "医疗保障基金使用监督管理条例 art.38; 处方点评 2-7")
def early_refill(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """What we handed over must be nearly used up before more of the same ingredient is paid; of high value, before it is sold.

    Knows only what went through this platform and was kept.
    """
    for item, drug in known(rx, facts):
        left = in_hand(drug, facts)
        if not left.days:
            continue
        long = left.supply > SHORT_SUPPLY
        if left.days <= (facts.policy.refill_days_long if long else facts.policy.refill_days):
            yield found("REFILL_EARLY", Severity.WARN, f"{drug.name}此前配取的药量还可用 {left.days} 天",
                        f"what was handed over of {drug.id} lasts {left.days} days more",
                        "请核对患者余药", "check what the patient has left", path="days_supply", item=item)
        else:
            entry = facts.knowledge.catalogue.get(item.drug)
            precious = drug.special_control != "NONE" or entry is None or not plausible(item.quantity) or (
                entry.list_price * item.quantity >= facts.policy.high_value_yuan)
            yield found("REFILL_TOO_EARLY", Severity.BLOCK if precious else Severity.SELFPAY,
                        f"{drug.name}此前配取的药量还可用 {left.days} 天,重复开药",
                        f"what was handed over of {drug.id} lasts {left.days} days more: too early for a refill",
                        "请待余药将尽时再开具", "prescribe it when little is left", path="days_supply", item=item)


@rule("B-12", "智能监管规则库 seq 11; 零售药店问题清单 item 16")
def disease_formulary(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Under a chronic benefit only what belongs to that disease."""
    disease, entitlement = rx.coverage.disease_code, facts.entitlement
    patterns = facts.policy.disease_formulary.get(disease)
    if patterns is None or entitlement is None or disease not in entitlement.diseases:
        return  # no chronic claim: B-44 says so
    for item, drug in known(rx, facts):
        if not drug.matches(patterns):
            yield _denied("NOT_IN_DISEASE_LIST", item, f"{drug.name}不在病种 {disease} 用药范围内",
                          f"{drug.id} is not in the formulary of {disease}",
                          "可另开普通门诊处方,或由患者自费", "put it on an ordinary prescription, or the patient pays")


@rule("B-13", "智能监管规则库 seq 12")
def hospital_level(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Some drugs are paid only from a hospital of a certain level."""
    for item, row in _restricted(rx, facts):
        if row.min_level is not None and facts.hospital_level < row.min_level:
            yield _denied("LIMIT_LEVEL", item, f"限 {row.min_level} 级及以上医疗机构",
                          f"only from level {row.min_level} up ({row.id})")


@rule("B-14", "智能监管规则库 seq 13")
def kind_of_visit(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Some drugs are not paid from the internet, or only for in-patients and emergencies."""
    for item, row in _restricted(rx, facts):
        online = "NOT_INTERNET" in row.visit and rx.visit.channel is Channel.INTERNET
        if online or {"INPATIENT", "EMERGENCY"} & set(row.visit):
            yield _denied("LIMIT_VISIT", item, "该药品在本就医方式下医保不予支付",
                          f"not paid for this kind of visit ({row.id})")


@rule("B-43", "零售药店问题清单 item 6; 定点协议")
def contracted(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The hospital's contract with the fund is in force."""
    if not facts.hospital_contracted:
        yield found("ORG_NOT_CONTRACTED", Severity.BLOCK, "开方机构无有效医保协议",
                    "the hospital has no contract in force",
                    "请联系医保经办机构", "ask the insurance centre", path="hospital")


@rule("B-44", "慢特病资格; 结算接口 5301")
def qualification(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The person is insured, and holds the qualification of the disease claimed; else the ordinary benefit applies.

    A person the fund does not know is paid nothing: silence is no entitlement.
    """
    disease, entitlement = rx.coverage.disease_code, facts.entitlement
    if entitlement is None or not entitlement.active:
        for item in rx.items:
            yield _denied("NOT_INSURED", item, "未查到有效参保信息,医保不予支付",
                          "the fund does not know the person as insured")
        return
    if disease and (disease not in entitlement.diseases or disease not in facts.policy.disease_caps):
        yield found("NO_OPSP", Severity.SELFPAY, f"无有效的病种 {disease} 资格,按普通门诊待遇支付",
                    f"no valid qualification for {disease}; the ordinary outpatient benefit applies",
                    "请患者办理资格认定,或确认按普通门诊结算", "apply for it, or settle as ordinary outpatient",
                    path="coverage.disease_code")


@rule("B-46", "病种限额")
def cap_left(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Warn before the yearly cap ends in the middle of a prescription, at the catalogue's usual prices."""
    entitlement = facts.entitlement
    if entitlement is None or not facts.hospital_contracted or facts.hospital_level not in (1, 2, 3):
        return
    terms = applicable(facts.policy, facts.hospital_level, entitlement, rx.coverage.disease_code)
    if terms is None or terms.cap is None:
        return
    denied = selfpay_lines(one for check in LINE_RULES for one in check(rx, facts))
    lines = [
        benefit_line(OrderLine(item.line, item.drug, item.quantity, item.unit, entry.list_price,
                               line_amount(entry.list_price, item.quantity)), facts.knowledge, item.line in denied)
        for item in rx.items
        if (entry := facts.knowledge.catalogue.get(item.drug)) and plausible(item.quantity)
    ]
    person = Person(civil_ratio=terms.policy.civil_ratio if entitlement.civil_servant else Decimal(0))
    with_cap = settle(lines, terms, person, entitlement.used)
    without = settle(lines, replace(terms, cap=None), person, entitlement.used)
    if without.pool > with_cap.pool:
        more = yuan(without.pool - with_cap.pool)
        yield found("CAP_EXCEED", Severity.WARN, f"本年度限额不足,患者预计多负担 {more} 元",
                    f"the yearly cap ends here; the patient pays about {more} yuan more",
                    "请告知患者并确认", "tell the patient and confirm", path="coverage.disease_code")


@rule("B-51", "集采落地")
def prefer_standard_price(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A product dearer than the payment standard, while one of the same drug is not."""
    entries = facts.knowledge.catalogue
    for item in rx.items:
        entry = entries.get(item.drug)
        if entry is None or entry.pay_standard is None or entry.list_price <= entry.pay_standard:
            continue
        if any(other.drug == entry.drug and other.pay_standard is not None and other.list_price <= other.pay_standard
               for other in entries.values()):
            yield found("PREFER_VBP", Severity.WARN, f"{entry.name}有不高于支付标准的同通用名产品",
                        "a product within the standard exists",
                        "请优先选用,或说明理由", "prefer it, or give the reason", path="drug", item=item)


LINE_RULES = (listed, hospital_approval, second_line, payable_indication, payable_days, early_refill, disease_formulary,
              hospital_level, kind_of_visit)
RULES = (*LINE_RULES, contracted, qualification, cap_left, prefer_standard_price)
