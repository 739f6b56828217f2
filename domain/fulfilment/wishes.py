"""Wishes about a prescription: to have it, or a part of it, cancelled or taken back, and how its patient wants to get it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.fulfilment.portions import Portions


class WishKind(StrEnum):
    CANCEL = "cancel"
    """Before the handover: nothing more is to be handed over."""
    RETURN = "return"
    """After the handover: the pharmacy is to take it back."""
    CHOOSE = "choose"
    """The patient wants to choose the pharmacy; granted when they are asked."""
    HANDOVER = "handover"
    """The patient wants it brought, or collects it, other than the sender said; `reason` is which. Granted with the order."""


class WishAnswer(StrEnum):
    """What became of a wish."""

    OPEN = "open"
    """Not known yet: a pharmacy has the last word."""
    UNANSWERED = "unanswered"
    """The pharmacy has not said in time whether it lets the order go: the medicine may still be handed over. It is asked on, and
    its answer counts when it comes."""
    GRANTED = "granted"
    REFUSED = "refused"
    """Too late, or there is nothing to take back."""


WISH_TRANSITIONS: Mapping[WishAnswer, frozenset[WishAnswer]] = {
    WishAnswer.OPEN: frozenset({WishAnswer.UNANSWERED, WishAnswer.GRANTED, WishAnswer.REFUSED}),
    WishAnswer.UNANSWERED: frozenset({WishAnswer.GRANTED, WishAnswer.REFUSED}),
    WishAnswer.GRANTED: frozenset(),
    WishAnswer.REFUSED: frozenset({WishAnswer.GRANTED}),
}
"""A refused cancel is granted after all when the order that was in its way ends without medicine."""

STANDING = frozenset({WishAnswer.OPEN, WishAnswer.UNANSWERED})
"""A pharmacy still has the last word about the wish."""


@dataclass(frozen=True)
class Wish:
    """Who wants what, and why."""

    id: int
    kind: WishKind
    by: str
    """Actor as in the history: `hospital:<slug>`, `patient`, `shop:<id>`, `operator:<id>`, `clock`."""
    reason: str
    """A code: of a wish for another handover, a `Handover`; of a cancel, `domain.words.CANCEL_REASONS`."""
    wished_at: datetime
    answer: WishAnswer = WishAnswer.OPEN
    portions: Portions | None = None
    """What it is about; None: all of the prescription."""
