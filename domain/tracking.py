"""Where a prescription is, as its patient reads it: five steps, one sentence, and what the patient may do now."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from domain.chains import ChainWord
from domain.decoction import DecoctionStep
from domain.events import Wait
from domain.fulfilment.choice import Verdict
from domain.fulfilment.deliveries import DeliveryStatus
from domain.lifecycle import Status
from domain.prescription import Handover
from domain.words import Two


class Step(StrEnum):
    """What every prescription that is filled goes through."""

    PRESCRIBED = "prescribed"
    CHECKED = "checked"
    """By the rules and by a pharmacist."""
    ALLOCATED = "allocated"
    """A pharmacy has the order."""
    PREPARED = "prepared"
    RECEIVED = "received"
    """The patient has the medicine."""


STEPS: Mapping[Step, Two] = {
    Step.PRESCRIBED: Two("医生已开方", "prescribed"),
    Step.CHECKED: Two("药师审方", "checked by a pharmacist"),
    Step.ALLOCATED: Two("选定药店", "pharmacy found"),
    Step.PREPARED: Two("药店备药", "prepared"),
    Step.RECEIVED: Two("拿到药", "received"),
}

ENDS: Mapping[Status, Two] = {
    Status.REFUSED: Two("处方未通过审核，不能配药。请联系开方医生。",
                        "The prescription did not pass the check. Please ask your doctor."),
    Status.RETURNED: Two("处方已退回医生修改，请等待医生重新开方或联系医院。",
                         "The prescription went back to your doctor. Wait for a new one, or ask the hospital."),
    Status.CANCELLED: Two("处方已撤销，不会再配药。", "The prescription is cancelled. Nothing will be handed over."),
    Status.EXPIRED: Two("处方已过有效期，没有配药。请联系医生重新开方。",
                        "The prescription's validity is over and nothing was handed over. Please ask your doctor for a new one."),
}
"""What is said of a prescription that ended without medicine."""
MEANWHILE: Mapping[Status, Two] = {
    Status.RECEIVED: Two("正在核对您的处方。", "Your prescription is being checked."),
    Status.AUDITED: Two("正在核对您的处方。", "Your prescription is being checked."),
    Status.IN_REVIEW: Two("药师正在审核您的处方。", "A pharmacist is checking your prescription."),
    Status.REVIEWED: Two("审核已通过，正在为您寻找药店。", "It has passed. A pharmacy is being found for you."),
    Status.ALLOCATING: Two("正在为您寻找药店。", "A pharmacy is being found for you."),
    Status.FULFILLING: Two("正在为您寻找药店。", "A pharmacy is being found for you."),
    Status.FULFILLED: Two("您已拿到药。", "You have your medicine."),
    Status.SETTLED: Two("您已拿到药，医保已结算。", "You have your medicine, and the insurance has paid its share."),
    Status.CLOSED: Two("您已拿到药，医保已结算。", "You have your medicine, and the insurance has paid its share."),
}
"""What is said while it is in a status in which no pharmacy has an order."""
SHORT = Two("附近药店暂时缺药，到货后马上为您安排，无需重复操作。",
            "No pharmacy has it at the moment. It is arranged as soon as one does; you need not do anything.")
CHOICE = Two("请选择在哪里取药。", "Please choose where to get it.")
CHOSEN = Two("已收到您的选择，正在向药店下单。", "Your choice is taken. The order goes to the pharmacy.")
OWED = Two("您已拿到一部分，其余部分到货后补给您。", "You have a part of it. The rest follows as soon as a pharmacy has it.")
BROUGHT_BACK = Two("您已退药，费用按医保规则退回。", "You brought medicine back. What was paid for it is refunded.")
AT_PHARMACY: Mapping[ChainWord, Two] = {
    ChainWord.HELD: Two("药店已为您留药。", "A pharmacy keeps it for you."),
    ChainWord.ORDERED: Two("药店已收到订单，等待接单。", "A pharmacy has the order and has yet to accept it."),
    ChainWord.ACCEPTED: Two("药店正在备药。", "The pharmacy is preparing it."),
    ChainWord.PREPARED: Two("药已备好，等待配送。", "It is packed and waits for the courier."),
    ChainWord.IN_DELIVERY: Two("正在配送途中。", "It is on its way to you."),
    ChainWord.HANDED_OVER: Two("已交到您手中。", "You have it."),
    ChainWord.DECLINED: Two("药店未能接单，正在另找一家。", "The pharmacy could not take it. Another one is being found."),
    ChainWord.CANCELLED: Two("此订单已取消。", "This order is cancelled."),
    ChainWord.RETURNED: Two("您已退药。", "You brought it back."),
}
"""What is said of one order."""
DECOCTING: Mapping[DecoctionStep, Two] = {
    DecoctionStep.RECEIVED: Two("煎药中心已收方，即将浸泡。", "The decoction centre has it and will soak the pieces."),
    DecoctionStep.SOAKED: Two("饮片已浸泡，即将煎煮。", "The pieces are soaked and will be decocted."),
    DecoctionStep.DECOCTED: Two("药已煎好，正在灌装。", "It is decocted and is being packed."),
    DecoctionStep.PACKED_LIQUID: Two("药液已灌装，正在冷却。", "The liquid is packed and is cooling."),
    DecoctionStep.COOLED: Two("药液已冷却，即将发出。", "It has cooled and will leave soon."),
}
"""What is said of an order that its place decocts."""
WITH_COURIER: Mapping[DeliveryStatus, Two] = {
    DeliveryStatus.REQUESTED: Two("药已备好，正在安排配送员。", "It is packed, and a courier is being sent."),
    DeliveryStatus.ASSIGNED: Two("药已备好，配送员即将取货。", "It is packed, and a courier comes for it."),
    DeliveryStatus.COLLECTED: Two("配送员已取货，即将出发。", "The courier has it and sets out."),
    DeliveryStatus.IN_TRANSIT: Two("正在配送途中。", "It is on its way to you."),
    DeliveryStatus.EXCEPTION: Two("配送途中遇到问题，正在处理。", "There is trouble on the way; it is being dealt with."),
    DeliveryStatus.ARRIVED: Two("配送员已到门口，请出示收货码。", "The courier is at your door. Show the code."),
    DeliveryStatus.ATTEMPT_FAILED: Two("这次没有送到，配送员会再来一次。",
                                       "It could not be handed over. The courier comes once more."),
    DeliveryStatus.HELD_AT_POINT: Two("包裹在代收点，请凭收货码领取。", "It is held at a pick-up point. Collect it with the code."),
    DeliveryStatus.SIGNED: Two("已交到您手中。", "You have it."),
    DeliveryStatus.RETURNING: Two("未能送达，正在退回药店。", "It could not be handed over and goes back to the pharmacy."),
    DeliveryStatus.RETURNED: Two("未能送达，已退回药店。", "It could not be handed over and is back at the pharmacy."),
    DeliveryStatus.LOST: Two("包裹在途中丢失，正在另找药店。", "It was lost on the way. Another pharmacy is being found."),
    DeliveryStatus.CANCELLED: Two("药已备好，正在另找配送员。", "It is packed, and another courier is being found."),
}
"""What is said of an order that the city's courier brings, once it is packed."""
AT_POINT: Mapping[DeliveryStatus, Two] = {
    DeliveryStatus.IN_TRANSIT: Two("正在送往取药点。", "It is on its way to your pick-up point."),
    DeliveryStatus.ARRIVED: Two("已到取药点，正在登记。", "It is at your pick-up point and is being checked in."),
    DeliveryStatus.ATTEMPT_FAILED: Two("取药点这次没有收下，配送员会再来一次。",
                                       "Your pick-up point did not take it. The courier comes once more."),
    DeliveryStatus.HELD_AT_POINT: Two("已到取药点，请凭取药码或身份证领取。",
                                      "It waits at your pick-up point. Collect it with the code or your id card."),
    DeliveryStatus.RETURNING: Two("未领取，正在退回药店。", "It was not collected and goes back to the pharmacy."),
    DeliveryStatus.RETURNED: Two("未领取，已退回药店。", "It was not collected and is back at the pharmacy."),
}
"""The same where the patient collects it at a pick-up point."""
AT_COUNTER = Two("药已备好，请凭取药码到药店取药。", "It is ready. Collect it with the code.")

CANCELLABLE = frozenset({Status.RECEIVED, Status.AUDITED, Status.IN_REVIEW, Status.REVIEWED, Status.ALLOCATING, Status.FULFILLING})
"""Where a patient may still ask to cancel what was not handed over."""
CHOICE_ANSWERS: Mapping[Verdict, Two] = {
    Verdict.TAKEN: Two("已收到您的选择。", "Your choice is taken."),
    Verdict.REPEATED: Two("您的选择已收到，无需重复。", "Your choice is taken already."),
    Verdict.UNAGREED: Two("这一项含有代替处方所开的其他产品，请勾选同意后再选。",
                          "This option has another product than the one prescribed. Please tick that you agree to it."),
    Verdict.OTHERWISE: Two("已按另一个选择处理，请看下方。", "Another choice counts already: see below."),
    Verdict.OUTDATED: Two("方案已更新，请重新选择。", "The offers have changed meanwhile: please choose again."),
    Verdict.UNKNOWN: Two("请选择其中一项。", "Please choose one of the options."),
    Verdict.LATE: Two("现在不能再选择药店。", "A pharmacy can no longer be chosen."),
    Verdict.NOT_ASKED: Two("目前没有需要选择的药店。", "There is no pharmacy to choose at the moment."),
}
"""What a patient who has chosen is told."""
TOO_LATE_TO_WISH = Two("已在为您安排药店，来不及自选。", "A pharmacy is being arranged already: it is too late to choose.")
BEFORE_THE_SEARCH = frozenset({Status.RECEIVED, Status.AUDITED, Status.IN_REVIEW, Status.REVIEWED})
"""Where a patient may still say that they want to choose the pharmacy: none is looked for yet."""
_ORDER = tuple(Step)
_GONE = (ChainWord.DECLINED, ChainWord.CANCELLED)


def step_of(status: Status, words: Sequence[ChainWord]) -> Step | None:
    """The step that is under way; None once all are done, and for what ended without medicine.

    `words` are the furthest words of the chains about each order; with several orders the slowest counts.
    """
    if status in ENDS or status in (Status.FULFILLED, Status.SETTLED, Status.CLOSED):
        return None
    if status in (Status.RECEIVED, Status.AUDITED, Status.IN_REVIEW):
        return Step.CHECKED
    alive = [word for word in words if word not in _GONE and word not in (ChainWord.HANDED_OVER, ChainWord.RETURNED)]
    if status is not Status.FULFILLING or not alive:
        return Step.ALLOCATED
    ready = all(word in (ChainWord.PREPARED, ChainWord.IN_DELIVERY) for word in alive)
    return Step.RECEIVED if ready else Step.PREPARED


def done(status: Status, step: Step | None) -> frozenset[Step]:
    """The steps that are behind it; of what ended without medicine only that it was prescribed."""
    if status in ENDS:
        return frozenset({Step.PRESCRIBED})
    return frozenset(_ORDER if step is None else _ORDER[:_ORDER.index(step)])


def sentence(status: Status, waiting_for: str, words: Sequence[ChainWord], handover: Handover,
             orders: Mapping[ChainWord, Two] | None = None) -> Two:
    """Where it is, in one sentence. `orders`: what is said of the order with that word, where a courier or a step tells more."""
    if status in ENDS:
        return ENDS[status]
    if ChainWord.RETURNED in words and status in (Status.FULFILLED, Status.SETTLED, Status.CLOSED):
        return BROUGHT_BACK
    if status in (Status.ALLOCATING, Status.FULFILLING) and waiting_for == Wait.CHOICE:
        return CHOICE
    if status in (Status.ALLOCATING, Status.FULFILLING) and waiting_for == Wait.FILLER:
        return OWED if ChainWord.HANDED_OVER in words else SHORT
    alive = [word for word in words if word not in _GONE and word is not ChainWord.HANDED_OVER]
    if status is Status.FULFILLING and alive:
        slowest = min(alive, key=list(ChainWord).index)
        return (orders or {}).get(slowest) or of_order(slowest, handover)
    return MEANWHILE[status]


def of_order(word: ChainWord, handover: Handover, delivery: DeliveryStatus | None = None,
             decoction: DecoctionStep | None = None, *, point: bool = False) -> Two:
    """Where one order is, in one sentence.

    `delivery`: how far the city's courier is, where that brings it; `point`: to a pick-up point.
    `decoction`: how far the place is that decocts it.
    """
    if decoction is not None and word is ChainWord.ACCEPTED:
        return DECOCTING[decoction]
    if delivery is not None and word in (ChainWord.PREPARED, ChainWord.IN_DELIVERY):
        return AT_POINT.get(delivery, WITH_COURIER[delivery]) if point else WITH_COURIER[delivery]
    return AT_COUNTER if word is ChainWord.PREPARED and handover is Handover.PICKUP else AT_PHARMACY[word]
