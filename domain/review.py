"""What a review asks of the situation: whether this pharmacist may act on this prescription now.

Who may review at all is said by `domain.people`; these are the rules among those who may. Each raises `Denied`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.lifecycle import Status
from domain.people import Denied
from domain.words import STATUSES, Two

DECISIONS: Mapping[str, Status] = {"pass": Status.REVIEWED, "reject": Status.REFUSED, "return": Status.RETURNED}
REASON_LENGTH = 5
"""Characters of a reason, at least."""
_REFUSALS: Mapping[str, Two] = {
    "own_prescription": Two("不得审核本人开具的处方 (C-03)", "never one's own prescription (C-03)"),
    "already_claimed": Two("已被其他药师领取", "another pharmacist has claimed it"),
    "not_claimed": Two("请先领取", "claim it first"),
    "claim_expired": Two("领取已过期，请重新领取", "the claim ran out; claim it again"),
    "unknown_decision": Two("decision 须为 pass、reject 或 return", "decision must be pass, reject or return"),
    "code_missing": Two("退回或拒绝须至少一个审核条目代码 (C-07, C-09)", "name the review item it fails (C-07, C-09)"),
    "text_missing": Two("退回或拒绝须写明意见 (C-07, C-09)", "say why in words (C-07, C-09)"),
}


@dataclass(frozen=True)
class Decision:
    """What a pharmacist decides about a prescription."""

    decision: str
    """pass, reject or return."""
    codes: Sequence[str] = ()
    """item_code of review_items.csv (A-26)."""
    text: str = ""
    reasons: Mapping[str, str] | None = None
    """Finding code → why it is acceptable, for every WARN of a passed prescription."""


def refusal(code: str) -> Denied:
    return Denied(code, _REFUSALS[code])


def check_open(status: Status) -> None:
    """Raises `not_in_review`."""
    if status is not Status.IN_REVIEW:
        words = STATUSES[status]
        raise Denied("not_in_review", Two(f"处方状态为{words.zh}，不在审方中", f"it is {words.en}, not in review"))


def check_not_own(pharmacist: str, prescriber: str) -> None:
    """Raises `own_prescription` (C-03)."""
    if pharmacist == prescriber:
        raise refusal("own_prescription")


def check_claimed(pharmacist: str, claimed_by: str | None, until: datetime | None, now: datetime) -> None:
    """Raises `not_claimed` or `claim_expired` (C-02)."""
    if claimed_by != pharmacist:
        raise refusal("not_claimed")
    if until is None or until <= now:
        raise refusal("claim_expired")


def check_decision(decision: Decision, items: Collection[str], warned: Collection[str]) -> None:
    """What a decision must carry (A-26, C-06, C-07, C-09).

    `items` are the codes there are, `warned` those of the findings that a pass must give a reason for. Raises
    `unknown_decision`, `unknown_code`, `code_missing`, `text_missing` or `reason_missing`.
    """
    if decision.decision not in DECISIONS:
        raise refusal("unknown_decision")
    if unknown := [code for code in decision.codes if code not in items]:
        names = ", ".join(unknown)[:80]
        raise Denied("unknown_code", Two(f"审核条目代码不存在: {names}", f"no such review item: {names}"))
    if decision.decision != "pass":
        if not decision.codes:
            raise refusal("code_missing")
        if not decision.text.strip():
            raise refusal("text_missing")
        return
    reasons = decision.reasons or {}
    if missing := sorted(code for code in warned if len(reasons.get(code, "").strip()) < REASON_LENGTH):
        names = ", ".join(missing)
        raise Denied("reason_missing", Two(f"以下警示须写明理由（不少于 {REASON_LENGTH} 字）: {names}",
                                           f"a reason of {REASON_LENGTH} characters or more for: {names}"))
