"""Prescriptions of Chinese medicine in pieces (饮片): what is not judged yet, and what the fund does not pay alone.

rules-cn, B-05, B-30, B-38, B-39.
"""

from collections.abc import Iterator

from domain.audit.case import Case
from domain.audit.rulebook import SELFPAY, WARN, Hit, Phase, hit, rule
from domain.prescription import DrugKind
from domain.words import Two


@rule("B-30", Phase.SAFETY, "智能监管规则库 seq 75, 76, 77; 处方点评 1-15", {"PIECES_UNJUDGED": WARN})
def pieces_by_hand(case: Case) -> Iterator[Hit]:
    """Pairs that clash, the largest doses and the marks of single pieces are no table of ours: the pharmacist judges them."""
    lines = [line for line in case.lines if line.kind is DrugKind.PIECE]
    if lines:
        yield hit("PIECES_UNJUDGED", Two("饮片的配伍禁忌(十八反、十九畏)、超量与特殊煎法未能自动审核",
                                         "pieces: pairs that clash, doses above the limit and marks of decoction were not judged"),
                  Two("请药师人工核对", "check them by hand"), path="items", evidence=(line.item.drug for line in lines))


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
