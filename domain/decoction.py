"""Decoction by the place that dispenses (代煎): its steps, in their order, and what is done next (D-14, table E.x)."""

from collections.abc import Collection, Mapping
from enum import StrEnum

LEAST_DOSES, MOST_DOSES = 1, 14
"""Doses that are decocted at a time (D-14)."""
MANY_DOSES = 7
"""More doses of liquid than these do not keep well (D-14)."""


class DecoctionStep(StrEnum):
    """How far a decoction is."""

    RECEIVED = "received"
    """The place has accepted the order; its pieces are dry."""
    SOAKED = "soaked"
    DECOCTED = "decocted"
    """With the pieces that go first or last, as they are marked."""
    PACKED_LIQUID = "packed_liquid"
    COOLED = "cooled"
    """It may be packed for its way out."""


AFTER: Mapping[DecoctionStep, DecoctionStep] = dict(zip(list(DecoctionStep)[:-1], list(DecoctionStep)[1:], strict=True))
"""What follows each step but the last."""

def furthest(done: Collection[str]) -> DecoctionStep:
    """The furthest of the steps that are done; received where none is."""
    return max((step for step in DecoctionStep if step in done), key=list(DecoctionStep).index, default=DecoctionStep.RECEIVED)
