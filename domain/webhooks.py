"""What a chain is told at its own address about its orders, and when it is told again (Standard Webhooks).

A message names an order and what happened to it, and holds nothing of a patient. Its id is the key by which the chain
recognises a repeat.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.words import Two


class WebhookType(StrEnum):
    """What a message is about. A chain answers 2xx to a type that it does not know."""

    ORDER_PLACED = "order.placed"
    """The platform has recorded the order as placed with the chain, also where the chain's answer was lost at first."""
    ORDER_CANCELLED = "order.cancelled"
    """The platform has recorded that a hold or an order was taken back."""
    ORDER_RECALLED = "order.recalled"
    """Packs bound to the order are recalled (E-18)."""
    RECALL_MADE = "recall.made"
    """A lot or a pack is not to be sold any more, in any store (E-18)."""


WEBHOOKS: Mapping[str, Two] = {
    WebhookType.ORDER_PLACED: Two("订单已下达", "order placed"),
    WebhookType.ORDER_CANCELLED: Two("订单已撤回", "order taken back"),
    WebhookType.ORDER_RECALLED: Two("订单中的药品被召回", "packs of an order recalled"),
    WebhookType.RECALL_MADE: Two("药品召回", "recall"),
}
PAUSES: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between one failed attempt and the next: ten attempts in 75 h 35 min 5 s."""
JITTER: Final = 0.1
"""A pause is longer by up to this share of it, so that a chain that is back is not asked for everything at once."""
GONE: Final = "http_410"
"""Outcome by which a chain says that nothing is to be sent to this address any more."""
STOPPED: Final = "stopped"
"""Outcome of what was not sent because the chain had said so."""
LOST: Final = "timeout"
"""Outcome of an attempt that took longer than its lease."""
OUTCOMES: Mapping[str, Two] = {
    GONE: Two("对方停用该地址（410）", "the address is out of use (410)"),
    STOPPED: Two("地址已停用，未推送", "not sent: the address is out of use"),
    LOST: Two("超时", "timed out"),
    "unanswered": Two("没有应答", "no answer"),
    "not_sent": Two("无法连接，或对方要求稍后（429、503）", "not reached, or told to wait (429, 503)"),
    "denied": Two("被拒绝（401、403）或地址无法使用：请核对密钥与地址",
                  "refused (401, 403), or the address cannot be used: compare key and address"),
    "failed": Two("平台内部错误", "an error of our own"),
}
"""Outcomes that are not simply `http_` and a status."""


@dataclass(frozen=True)
class Again:
    """Try again after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class GiveUp:
    """It is not sent by itself any more; the chain reads it again by its cursor, or a person has it sent."""


@dataclass(frozen=True)
class Stop:
    """Nothing is sent to this chain any more until a person says so."""


Next = Again | GiveUp | Stop


def succeeded(status: int) -> bool:
    """Whether an HTTP status says that the chain has the message. A redirect does not: it is not followed."""
    return 200 <= status < 300


def after_failure(outcome: str, failed_before: int, jitter: float) -> Next:
    """What follows from a failed attempt.

    `failed_before` counts the attempts that failed earlier; `jitter` is from 0 to 1.
    """
    if outcome == GONE:
        return Stop()
    if failed_before >= len(PAUSES):
        return GiveUp()
    return Again(PAUSES[failed_before] * (1 + JITTER * jitter))


def outcome_words(outcome: str) -> Two:
    """An outcome for people."""
    status = outcome.removeprefix("http_")
    return OUTCOMES.get(outcome) or (Two(f"HTTP {status}", f"HTTP {status}") if status != outcome else Two(outcome, outcome))
