"""Will the fund pay for the whole: contract, insurance, qualification, yearly cap? (rules-cn, B-43, B-44, B-46)"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from domain.audit.case import Case
from domain.audit.rulebook import BLOCK, SELFPAY, WARN, Hit, Phase, hit, rule
from domain.benefit import Insured, applicable, benefit_line, calculate, cap_may_end
from domain.chains import OrderLine
from domain.money import line_amount, yuan
from domain.words import Two


@rule("B-43", Phase.CLAIM, "零售药店问题清单 item 6; 定点协议", {"ORG_NOT_CONTRACTED": BLOCK})
def contracted(case: Case) -> Iterator[Hit]:
    """The hospital's contract with the fund is in force."""
    if not case.hospital_contracted:
        yield hit("ORG_NOT_CONTRACTED", Two("开方机构无有效医保协议", "the hospital has no contract in force"),
                  Two("请联系医保经办机构", "ask the insurance centre"), path="hospital")


@rule("B-44", Phase.CLAIM, "慢特病资格; 结算接口 5301", {"NO_OPSP": SELFPAY, "NOT_INSURED": SELFPAY})
def qualification(case: Case) -> Iterator[Hit]:
    """The person is insured, and holds the qualification of the disease claimed; else the ordinary benefit applies.

    A person the fund does not know is paid nothing: silence is no entitlement.
    """
    disease, entitlement = case.rx.coverage.disease_code, case.entitlement
    if entitlement is None or not entitlement.active:
        for line in case.lines:
            yield hit("NOT_INSURED", Two("未查到有效参保信息,医保不予支付", "the fund does not know the person as insured"),
                      Two("患者知情同意后可自费购买", "the patient may buy it after informed consent"), path="drug", line=line)
        return
    if disease and (disease not in entitlement.diseases or disease not in case.policy.disease_caps):
        yield hit("NO_OPSP", Two("无有效的病种 {disease} 资格,按普通门诊待遇支付",
                                 "no valid qualification for {disease}; the ordinary outpatient benefit applies"),
                  Two("请患者办理资格认定,或确认按普通门诊结算", "apply for it, or settle as ordinary outpatient"),
                  path="coverage.disease_code", disease=disease)


@rule("B-46", Phase.CLAIM, "病种限额", {"CAP_EXCEED": WARN})
def cap_left(case: Case) -> Iterator[Hit]:
    """Warn before the yearly cap ends in the middle of a prescription, at the catalogue's usual prices."""
    entitlement = case.entitlement
    if entitlement is None or not case.hospital_contracted or case.hospital_level not in (1, 2, 3):
        return
    terms = applicable(case.policy, case.hospital_level, entitlement, case.rx.coverage.disease_code)
    if terms is None:
        return
    lines = [
        benefit_line(OrderLine(line.number, line.item.drug, line.item.quantity, line.item.unit, line.entry.list_price,
                               line_amount(line.entry.list_price, line.item.quantity)),
                     case.knowledge, line.number in case.denied)
        for line in case.lines if line.entry and line.quantity is not None
    ]
    if not cap_may_end(lines, terms, entitlement.used):
        return
    person = Insured(civil_ratio=terms.policy.civil_ratio if entitlement.civil_servant else Decimal(0))
    with_cap = calculate(lines, terms, person, entitlement.used)
    without = calculate(lines, replace(terms, cap=None), person, entitlement.used)
    if without.pool > with_cap.pool:
        yield hit("CAP_EXCEED", Two("本年度限额不足,患者预计多负担 {more} 元",
                                    "the yearly cap ends here; the patient pays about {more} yuan more"),
                  Two("请告知患者并确认", "tell the patient and confirm"), path="coverage.disease_code",
                  more=yuan(without.pool - with_cap.pool))
