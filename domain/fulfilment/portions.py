"""Portions: quantities of prescribed lines. Orders, parcels and returns count nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Portion:
    """A quantity of one prescribed line, in the line's own unit. Raises `ValueError` unless it is positive."""

    line: int
    """Number of the line in the prescription."""
    quantity: Decimal

    def __post_init__(self) -> None:
        if not self.quantity > 0:
            raise ValueError(f"line {self.line}: a portion of {self.quantity}")


Portions = tuple[Portion, ...]
"""At most one of each line, by line: as `gathered` makes them."""


@dataclass(frozen=True)
class Scope:
    """What a parcel, a return or a wish is about, as it is stored."""

    portions: Portions


def by_line(portions: Iterable[Portion]) -> dict[int, Decimal]:
    """The total of each line."""
    totals: dict[int, Decimal] = {}
    for portion in portions:
        totals[portion.line] = totals.get(portion.line, Decimal(0)) + portion.quantity
    return totals


def gathered(totals: Mapping[int, Decimal]) -> Portions:
    """Portions of these totals; nothing for a line that has none."""
    return tuple(Portion(line, totals[line]) for line in sorted(totals) if totals[line])


def added(*groups: Iterable[Portion]) -> Portions:
    """All of them together."""
    return gathered(by_line(portion for group in groups for portion in group))


def without(portions: Iterable[Portion], taken: Iterable[Portion]) -> Portions:
    """What is left of some portions. Raises `ValueError` if more is taken than there is."""
    totals = by_line(portions)
    for line, quantity in by_line(taken).items():
        totals[line] = totals.get(line, Decimal(0)) - quantity
        if totals[line] < 0:
            raise ValueError(f"line {line}: {-totals[line]} more is taken than there is")
    return gathered(totals)


def of_lines(portions: Iterable[Portion], lines: Iterable[int]) -> Portions:
    """Those of some lines."""
    wanted = frozenset(lines)
    return tuple(portion for portion in portions if portion.line in wanted)


def as_arguments(portions: Iterable[Portion]) -> list[dict[str, int | str]]:
    """As an event's `portions` say them (`domain.events.ARGUMENTS`)."""
    return [{"line": portion.line, "quantity": f"{portion.quantity.normalize():f}"} for portion in portions]
