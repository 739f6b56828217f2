"""Which moves a prescription and its money may make, and who makes the next one. The machines of orders, parcels,
returns and wishes are in `domain.fulfilment`.

Everything else asks these tables. The diagram in the documentation is printed from them.
"""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """Where a prescription is."""

    RECEIVED = "received"
    """Admitted and archived."""
    AUDITED = "audited"
    """The rules found nothing that blocks."""
    IN_REVIEW = "in_review"
    """In the pharmacists' queue."""
    REVIEWED = "reviewed"
    """A pharmacist passed it."""
    ALLOCATING = "allocating"
    """Looking for a pharmacy; also while none can fill it. No pharmacy has an order that it may still fill."""
    FULFILLING = "fulfilling"
    """A pharmacy has an order; of other lines a pharmacy may still be looked for."""
    FULFILLED = "fulfilled"
    """The patient has what there will be of the medicine, or brought some of it back: the claims must match that."""
    SETTLED = "settled"
    """The fund has settled what was handed over; the return window is open."""
    CLOSED = "closed"
    REFUSED = "refused"
    """By the audit or by a pharmacist."""
    RETURNED = "returned"
    """Sent back to the prescriber: by a pharmacist, or because the fund does not insure the person (B-44)."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Notice(StrEnum):
    """What a hospital hears of a message or a prescription that is no status of the lifecycle."""

    INVALID = "invalid"
    """The message waited for its codes to be mapped, and breaks the contract."""
    CANCELLING = "cancelling"
    """The cancel is taken; whether it is in time is told later."""
    TOO_LATE = "too-late"
    """The answer to a cancel that came after the handover or after the end."""
    CANCEL_REFUSED = "cancel_refused"
    """The report that a cancel which was taken turned out to be too late."""


Reported = Status | Notice
REPORTED: tuple[Reported, ...] = (*Status, *Notice)
"""Every word by which a hospital is told where its prescription is, in an answer or in a report."""
CANCEL_ANSWERS: tuple[Reported, ...] = (Status.CANCELLED, Notice.CANCELLING, Notice.TOO_LATE)
"""What a cancel is answered with."""


def reported(word: str) -> Reported:
    """The status or notice of an answer or a report. Raises ValueError for a word that this release does not know."""
    return Notice(word) if word in _NOTICES else Status(word)


_NOTICES = frozenset(map(str, Notice))


class Owner(StrEnum):
    """Who must make the next move."""

    PLATFORM = "platform"
    PHARMACIST = "pharmacist"
    PHARMACY = "pharmacy"
    PATIENT = "patient"
    NOBODY = "nobody"


class Deadline(StrEnum):
    """What ends the stay in a status when no act ends it: a fact of the prescription or of the city's policy."""

    VALIDITY = "validity"
    """The prescription's `valid_until`."""
    ORDER = "order"
    """The city's `accept_within`, then its `fulfil_within`."""
    RETURN_WINDOW = "return_window"
    """The city's `return_window`."""
    NEVER = "never"
    """None: what was handed over must be settled."""
    NONE = "none"
    """None: nothing is owed."""


_EXITS = {Status.CANCELLED, Status.EXPIRED}

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.RECEIVED: frozenset({Status.AUDITED, Status.REFUSED, Status.RETURNED, *_EXITS}),
    Status.AUDITED: frozenset({Status.IN_REVIEW, *_EXITS}),
    Status.IN_REVIEW: frozenset({Status.REVIEWED, Status.RETURNED, Status.REFUSED, *_EXITS}),
    Status.REVIEWED: frozenset({Status.ALLOCATING, *_EXITS}),
    Status.ALLOCATING: frozenset({Status.FULFILLING, Status.FULFILLED, Status.RETURNED, *_EXITS}),
    Status.FULFILLING: frozenset({Status.FULFILLED, Status.ALLOCATING, *_EXITS}),
    Status.FULFILLED: frozenset({Status.SETTLED}),
    Status.SETTLED: frozenset({Status.FULFILLED, Status.CLOSED}),
    Status.CLOSED: frozenset(),
    Status.REFUSED: frozenset(),
    Status.RETURNED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

OWNERS: Mapping[Status, Owner] = {
    Status.RECEIVED: Owner.PLATFORM,
    Status.AUDITED: Owner.PLATFORM,
    Status.IN_REVIEW: Owner.PHARMACIST,
    Status.REVIEWED: Owner.PLATFORM,
    Status.ALLOCATING: Owner.PLATFORM,
    Status.FULFILLING: Owner.PHARMACY,
    Status.FULFILLED: Owner.PLATFORM,
    Status.SETTLED: Owner.PATIENT,
    Status.CLOSED: Owner.NOBODY,
    Status.REFUSED: Owner.NOBODY,
    Status.RETURNED: Owner.NOBODY,
    Status.CANCELLED: Owner.NOBODY,
    Status.EXPIRED: Owner.NOBODY,
}

DEADLINES: Mapping[Status, Deadline] = {
    Status.RECEIVED: Deadline.VALIDITY,
    Status.AUDITED: Deadline.VALIDITY,
    Status.IN_REVIEW: Deadline.VALIDITY,
    Status.REVIEWED: Deadline.VALIDITY,
    Status.ALLOCATING: Deadline.VALIDITY,
    Status.FULFILLING: Deadline.ORDER,
    Status.FULFILLED: Deadline.NEVER,
    Status.SETTLED: Deadline.RETURN_WINDOW,
    Status.CLOSED: Deadline.NONE,
    Status.REFUSED: Deadline.NONE,
    Status.RETURNED: Deadline.NONE,
    Status.CANCELLED: Deadline.NONE,
    Status.EXPIRED: Deadline.NONE,
}

FINAL = frozenset(status for status, moves in TRANSITIONS.items() if not moves)
"""Nothing is owed any more."""

STAGES: Mapping[Status, str] = {
    Status.RECEIVED: "audit",
    Status.AUDITED: "review",
    Status.IN_REVIEW: "review",
    Status.REVIEWED: "allocation",
    Status.ALLOCATING: "allocation",
    Status.FULFILLING: "delivery",
    Status.FULFILLED: "settlement",
    Status.SETTLED: "settlement",
    Status.CLOSED: "end",
    Status.REFUSED: "end",
    Status.RETURNED: "end",
    Status.CANCELLED: "end",
    Status.EXPIRED: "end",
}
"""The stage that works on a prescription in this status."""


def may_move(start: Status, to: Status) -> bool:
    return to in TRANSITIONS[start]


class Money(StrEnum):
    """How far the money of a prescription is."""

    QUOTED = "quoted"
    """Our own forecast."""
    PRE_SETTLED = "pre_settled"
    """2101: the fund's own forecast."""
    SETTLED = "settled"
    REVERSED = "reversed"
    RECONCILED = "reconciled"
    """Part of a day the fund and we agree on (3201)."""


MONEY_TRANSITIONS: Mapping[Money, frozenset[Money]] = {
    Money.QUOTED: frozenset({Money.PRE_SETTLED}),
    Money.PRE_SETTLED: frozenset({Money.SETTLED}),
    Money.SETTLED: frozenset({Money.REVERSED, Money.RECONCILED}),
    Money.REVERSED: frozenset({Money.RECONCILED}),
    Money.RECONCILED: frozenset({Money.REVERSED}),
}
"""Per claim: a refund reverses the whole claim and settles a new one."""


def diagram() -> str:
    """The prescription's machine as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.RECEIVED}"]
    for start, ends in TRANSITIONS.items():
        lines += [f"    {start} --> {end}" for end in sorted(ends)]
        if not ends:
            lines.append(f"    {start} --> [*]")
    return "\n".join(lines) + "\n"
