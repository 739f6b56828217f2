"""How Prefect shows one prescription: a run whose task runs are its stages, all of it from its history.

Pure functions of history rows. Drawing twice gives the same run, and a prescription that was never drawn can be drawn later.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.events import Wait
from domain.lifecycle import Status
from domain.words import Two


class RunType(StrEnum):
    """Prefect's own words for what colour a run has."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    """Red: a person must act."""
    CANCELLED = "CANCELLED"


class RunState(NamedTuple):
    """A state of a prescription's run."""

    type: RunType
    name: str
    message: str


class Move(NamedTuple):
    """What a history row says of where a prescription was."""

    at: datetime
    from_status: Status
    to_status: Status
    run_id: str
    """The Prefect run that did it; empty for the gateway."""


@dataclass(frozen=True)
class Stage:
    """The stay of a prescription in one stage; a second order or a reversal is a stage more."""

    kind: str
    number: int
    """1, or which one of its kind it is."""
    begin: datetime
    end: datetime | None
    """None while it lasts."""
    after: Status | None
    """Where the prescription went; None while it lasts."""
    run_id: str
    """The Prefect run that ended it; empty for the gateway, and while it lasts."""

    @property
    def name(self) -> str:
        return self.kind if self.number == 1 else f"{self.kind} {self.number}"


WORK: Mapping[Status, str] = {
    Status.RECEIVED: "audit",
    Status.AUDITED: "review",
    Status.IN_REVIEW: "review",
    Status.REVIEWED: "allocation",
    Status.ALLOCATING: "allocation",
    Status.FULFILLING: "delivery",
    Status.FULFILLED: "settlement",
    Status.SETTLED: "",
    Status.CLOSED: "",
    Status.REFUSED: "",
    Status.RETURNED: "",
    Status.CANCELLED: "",
    Status.EXPIRED: "",
}
"""The stage that a prescription in this status is shown in; empty where nothing is done for it."""

_LOOKING = (RunType.RUNNING, "Looking for a pharmacy", Two("寻找能配齐的药店", "a pharmacy that can fill it is looked for"))
_CHOICE = (RunType.RUNNING, "Waiting for the patient's choice", Two("等患者选择药店", "the patient chooses the pharmacy"))
_REVIEW = (RunType.RUNNING, "In review", Two("等药师审方", "a pharmacist reviews it"))
_SETTLED = (RunType.COMPLETED, "Settled", Two("已结算", "the fund has settled it"))
_IN_WORDS: Mapping[Status, tuple[RunType, str, Two]] = {
    Status.RECEIVED: (RunType.RUNNING, "In audit", Two("智能预审", "the rules are applied")),
    Status.AUDITED: _REVIEW,
    Status.IN_REVIEW: _REVIEW,
    Status.REVIEWED: _LOOKING,
    Status.ALLOCATING: _LOOKING,
    Status.FULFILLING: (RunType.RUNNING, "With the pharmacy", Two("药店配药、交付", "a pharmacy has the order")),
    Status.FULFILLED: (RunType.RUNNING, "Being settled", Two("已交付，医保结算中", "handed over; the fund settles it")),
    Status.SETTLED: _SETTLED,
    Status.CLOSED: _SETTLED,
    Status.REFUSED: (RunType.COMPLETED, "Refused", Two("已拒绝", "refused by the rules or by a pharmacist")),
    Status.RETURNED: (RunType.COMPLETED, "Returned to the hospital", Two("已退回医院", "back with the prescriber")),
    Status.CANCELLED: (RunType.CANCELLED, "Cancelled", Two("医院已撤销", "cancelled by the hospital")),
    Status.EXPIRED: (RunType.COMPLETED, "Expired", Two("已过有效期", "its validity is over")),
}

NEEDS_A_PERSON = "Needs a person"
"""The one red state."""


def state(status: Status, need: Two | None = None, link: str = "", waiting_for: str = "") -> RunState:
    """Where a prescription is, in words; red with the reason and its page if it `need`s a person.

    Every run in the same green state has the same words, so that many are drawn with one call.
    """
    if need is not None:
        return RunState(RunType.FAILED, NEEDS_A_PERSON, f"{need.zh} · {need.en} · {link}")
    choosing = status is Status.ALLOCATING and waiting_for == Wait.CHOICE
    kind, name, words = _CHOICE if choosing else _IN_WORDS[status]
    return RunState(kind, name, f"{words.zh} · {words.en}")


def stages(moves: Iterable[Move], arrived: datetime) -> list[Stage]:
    """The stages of a prescription in their order, the last one open if it lasts. `moves` oldest first, from its
    reception; `arrived` is when the hospital's message came in."""
    drawn: list[Stage] = []
    counts: Counter[str] = Counter()
    kind, begin = "intake", arrived
    for move in moves:
        now = WORK[move.to_status]
        if drawn and (move.from_status == move.to_status or now == kind):
            continue
        if kind:
            counts[kind] += 1
            drawn.append(Stage(kind, counts[kind], begin, move.at, move.to_status, move.run_id))
        # What comes back after a settlement is reversed first.
        kind = "reversal" if now == "settlement" and move.from_status is Status.SETTLED else now
        begin = move.at
    if kind and drawn:
        drawn.append(Stage(kind, counts[kind] + 1, begin, None, None, ""))
    return drawn


def undrawn(all_stages: Sequence[Stage], ended: int, open_drawn: bool) -> list[Stage]:
    """Those whose drawing is missing: so many were drawn as ended, and perhaps the one after them as lasting."""
    rest = list(all_stages[ended:])
    if rest and rest[0].end is None and open_drawn:
        rest.pop(0)
    return rest
