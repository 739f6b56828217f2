"""Shops and clinics without a computer system: what they are, when they are open, and what may be done with an order now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum

from domain.chains import ChainWord
from domain.decoction import AFTER, DecoctionStep
from domain.premises import PlaceKind
from domain.prescription import Handover
from domain.words import Two


@dataclass(frozen=True)
class Shop:
    """A place that works from our pages. What its people change, such as hours and stock, is in the database."""

    number: str
    """Within its chain: the `store` of quotes and orders."""
    kind: PlaceKind
    name: str
    name_en: str
    district: str
    """Division code."""
    latitude: Decimal
    longitude: Decimal
    opens: time
    closes: time
    """Usual hours, in the city's time; until its people say otherwise."""
    delivers: bool
    """Whether its own people bring orders home. Where they do not, the city's courier does, if the city has one."""
    capacity: int
    """Orders it can have under way at once (D-15)."""
    decoct_doses: int = 0
    """Doses it can decoct in a day (D-14); 0: it does not decoct."""


@dataclass(frozen=True)
class Opening:
    """When a shop is open, as its people have said last."""

    opens: time
    closes: time
    """Later than `opens`, or of the next day; the same as `opens`: round the clock."""
    on_duty: bool = True
    """Whether a pharmacist is there (D-18)."""
    shut: bool = False
    """Shut until further notice."""

    def at(self, local: datetime) -> bool:
        """Whether an order may be taken at that moment of the city's time."""
        if self.shut or not self.on_duty:
            return False
        moment = local.time()
        if self.opens < self.closes:
            return self.opens <= moment < self.closes
        return self.opens == self.closes or moment >= self.opens or moment < self.closes


class Act(StrEnum):
    """What a shop's people do with an order."""

    ACCEPT = "accept"
    DECLINE = "decline"
    SOAK = "soak"
    DECOCT = "decoct"
    PACK_LIQUID = "pack_liquid"
    COOL = "cool"
    PREPARE = "prepare"
    SEND_OUT = "send_out"
    """The courier has it."""
    HAND_OVER = "hand_over"
    TAKE_BACK = "take_back"


WORDS: Mapping[Act, ChainWord] = {
    Act.ACCEPT: ChainWord.ACCEPTED, Act.DECLINE: ChainWord.DECLINED, Act.PREPARE: ChainWord.PREPARED,
    Act.SEND_OUT: ChainWord.IN_DELIVERY, Act.HAND_OVER: ChainWord.HANDED_OVER, Act.TAKE_BACK: ChainWord.RETURNED,
}
"""What an act says about the order; a step of a decoction says nothing."""
DECOCTIONS: Mapping[Act, DecoctionStep] = {
    Act.SOAK: DecoctionStep.SOAKED, Act.DECOCT: DecoctionStep.DECOCTED, Act.PACK_LIQUID: DecoctionStep.PACKED_LIQUID,
    Act.COOL: DecoctionStep.COOLED,
}
"""What an act does to a decoction."""

ACTS: Mapping[str, Two] = {
    Act.ACCEPT: Two("接单", "accept"),
    Act.DECLINE: Two("拒单", "decline"),
    Act.SOAK: Two("浸泡完成", "mark as soaked"),
    Act.DECOCT: Two("煎煮完成", "mark as decocted"),
    Act.PACK_LIQUID: Two("药液灌装完成", "mark the liquid as packed"),
    Act.COOL: Two("冷却完成", "mark as cooled"),
    Act.PREPARE: Two("备药完成", "mark as prepared"),
    Act.SEND_OUT: Two("交给配送员", "give to the courier"),
    Act.HAND_OVER: Two("交付患者", "hand over"),
    Act.TAKE_BACK: Two("收回退药", "take back"),
}
DONE: Mapping[str, Two] = {
    Act.ACCEPT: Two("已接单", "accepted it"),
    Act.DECLINE: Two("已拒单", "declined it"),
    Act.SOAK: Two("已浸泡", "soaked it"),
    Act.DECOCT: Two("已煎煮", "decocted it"),
    Act.PACK_LIQUID: Two("已灌装药液", "packed the liquid"),
    Act.COOL: Two("已冷却", "cooled it"),
    Act.PREPARE: Two("已备药", "prepared it"),
    Act.SEND_OUT: Two("已交配送", "gave it to the courier"),
    Act.HAND_OVER: Two("已交付", "handed it over"),
    Act.TAKE_BACK: Two("已收回退药", "took it back"),
}
"""What was done, after the name of the person who did it."""
_NEXT: Mapping[ChainWord, Mapping[Handover, tuple[Act, ...]]] = {
    ChainWord.ORDERED: dict.fromkeys(Handover, (Act.ACCEPT, Act.DECLINE)),
    ChainWord.ACCEPTED: dict.fromkeys(Handover, (Act.PREPARE, Act.DECLINE)),
    ChainWord.PREPARED: {Handover.PICKUP: (Act.HAND_OVER, Act.DECLINE), Handover.HOME: (Act.SEND_OUT, Act.DECLINE)},
    ChainWord.IN_DELIVERY: dict.fromkeys(Handover, (Act.HAND_OVER, Act.DECLINE)),
}


def supported_actions(word: ChainWord, handover: Handover, *, returnable: bool, carried: bool = False,
                      decoction: DecoctionStep | None = None) -> tuple[Act, ...]:
    """What may be done with an order now, the usual act first; nothing for a hold, and for one that has ended.

    `returnable`: the patient still has something of it, and the time to bring it back is not over. `carried`: the city's courier
    brings it, who has the word once it has left the shop. `decoction`: how far it is, where the shop decocts it; a shop prepares
    what is cooled, and what it does not decoct at once.
    """
    if word is ChainWord.ACCEPTED and decoction is not None and (step := AFTER.get(decoction)):
        return next(act for act, done in DECOCTIONS.items() if done is step), Act.DECLINE
    if carried and word is ChainWord.IN_DELIVERY:
        return ()
    if word in (ChainWord.HANDED_OVER, ChainWord.RETURNED):
        return (Act.TAKE_BACK,) if returnable else ()
    return _NEXT[word][handover] if word in _NEXT else ()


def reasons(act: Act, word: ChainWord) -> tuple[str, ...]:
    """Codes of `domain.words.CAUSES` of which an act needs one; none: it needs no reason.

    A medicine that was handed over is taken back for its quality or because it was the wrong one (E-11).
    """
    match act:
        case Act.DECLINE if word is ChainWord.IN_DELIVERY:
            return "rejected_at_door", "unpaid", "other"
        case Act.DECLINE:
            return "out_of_stock", "closed", "quality", "unpaid", "other"
        case Act.TAKE_BACK:
            return "quality", "dispensing_error"
        case _:
            return ()
