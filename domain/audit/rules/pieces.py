"""Prescriptions of Chinese medicine in pieces (饮片): what is not judged yet, and what the fund does not pay alone.

rules-cn, B-05, B-30, B-38, B-39.
"""

from collections.abc import Iterator

from domain.audit.case import Case
from domain.audit.rulebook import BLOCK, SELFPAY, WARN, Hit, Phase, hit, rule
from domain.decoction import LEAST_DOSES, MANY_DOSES, MOST_DOSES
from domain.prescription import DECOCTED_BY_PHARMACY, DrugKind
from domain.words import Two


@rule("B-30", Phase.SAFETY, "智能监管规则库 seq 75, 76, 77; 处方点评 1-15", {"PIECES_UNJUDGED": WARN})
def pieces_by_hand(case: Case) -> Iterator[Hit]:
    """Pairs that clash, the largest doses and the marks of single pieces are no table of ours: the pharmacist judges them."""
    lines = [line for line in case.lines if line.kind is DrugKind.PIECE]
    if lines:
        yield hit("PIECES_UNJUDGED", Two("饮片的配伍禁忌(十八反、十九畏)、超量与特殊煎法未能自动审核",
                                         "pieces: pairs that clash, doses above the limit and marks of decoction were not judged"),
                  Two("请药师人工核对", "check them by hand"), path="items", evidence=(line.item.drug for line in lines))


@rule("D-14", Phase.PRESCRIBING, "智慧中药房代煎", {"DECOCT_DOSES": BLOCK, "DECOCT_MANY": WARN})
def decoctable_doses(case: Case) -> Iterator[Hit]:
    """A place decocts 1 to 14 doses at a time; more than seven doses of liquid are a warning, since they do not keep."""
    doses = case.rx.to_decoct
    if case.rx.decoction is None or case.rx.decoction.method != DECOCTED_BY_PHARMACY:
        return
    if not LEAST_DOSES <= doses <= MOST_DOSES:
        yield hit("DECOCT_DOSES", Two("代煎 {doses} 剂,只能为 {least} 至 {most} 剂",
                                      "{doses} doses to decoct; {least} to {most} are allowed"),
                  Two("请分次开具,或改为自煎", "prescribe fewer at a time, or let the patient decoct"), path="decoction.doses",
                  doses=doses, least=LEAST_DOSES, most=MOST_DOSES)
    elif doses > MANY_DOSES:
        yield hit("DECOCT_MANY", Two("代煎 {doses} 剂,超过 {many} 剂的药液不宜久存",
                                     "{doses} doses to decoct; more than {many} do not keep"),
                  Two("请核对剂数", "check the doses"), path="decoction.doses", doses=doses, many=MANY_DOSES)


@rule("B-05", Phase.PAYMENT, "智能监管规则库 seq 4", {"PIECE_SINGLE": SELFPAY})
def pieces_alone(case: Case) -> Iterator[Hit]:
    """Some pieces are paid only beside others: not one by itself, nor a prescription of nothing but such (tcm_payment.csv)."""
    alone = [line for line in case.known_lines if line.drug.id in case.knowledge.paid_beside_others]
    if alone and len(alone) == len(case.lines):
        for line in alone:
            yield hit("PIECE_SINGLE", Two("{name}单味或全部由此类饮片组成时医保不予支付",
                                          "{drug} is not paid by itself, nor with only such pieces"),
                      Two("患者知情同意后可自费购买", "the patient may buy it after informed consent"), path="drug", line=line,
                      evidence=(line.drug.id,), name=line.drug.name, drug=line.drug.id)
