"""Where the medicine of each prescribed line is. Derived from orders and wishes, and never stored beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.claims import Claimed
from domain.fulfilment.orders import ALIVE, Placed
from domain.fulfilment.portions import Portion, Portions, by_line, gathered
from domain.fulfilment.wishes import Wish, WishAnswer, WishKind
from domain.lifecycle import Status
from domain.prescription import Item

NOTHING = Decimal(0)


@dataclass(frozen=True)
class LineState:
    """One line by quantity, in its own unit. Raises `ValueError` unless the parts add up to what was prescribed."""

    prescribed: Decimal
    open: Decimal
    """No pharmacy has it."""
    in_progress: Decimal
    """A pharmacy holds it or has the order for it."""
    handed_over: Decimal
    """The patient has it."""
    returned: Decimal
    """The patient had it and brought it back."""
    given_up: Decimal
    """It will not be handed over."""

    def __post_init__(self) -> None:
        parts = (self.open, self.in_progress, self.handed_over, self.returned, self.given_up)
        if min(parts) < 0 or sum(parts) != self.prescribed:
            raise ValueError(f"{' + '.join(map(str, parts))} is not the prescribed {self.prescribed}")


Lines = Mapping[int, LineState]


def line_states(items: Sequence[Item], orders: Sequence[Placed], wishes: Sequence[Wish] = (), *, ended: bool = False) -> Lines:
    """The state of each line, by its number.

    `ended`: the prescription is over, so that what no pharmacy has will not be handed over any more. Raises `ValueError` where
    orders count more of a line than was prescribed.
    """
    in_progress = by_line(portion for order in orders if order.status in ALIVE for portion in order.portions)
    handed_over = by_line(portion for order in orders for portion in order.kept)
    returned = by_line(portion for order in orders for portion in order.returned)
    states = {}
    for item in items:
        under_way, kept, back = (counts.get(item.line, NOTHING) for counts in (in_progress, handed_over, returned))
        left = item.quantity - under_way - kept - back
        given_up = left if ended else min(left, _given_up(item, wishes))
        states[item.line] = LineState(item.quantity, left - given_up, under_way, kept, back, given_up)
    if unknown := {line for counts in (in_progress, handed_over, returned) for line in counts} - states.keys():
        raise ValueError(f"lines {sorted(unknown)} are of no prescribed item")
    return states


def _given_up(item: Item, wishes: Sequence[Wish]) -> Decimal:
    """How much of a line granted cancels are about, at most all of it."""
    granted = [wish for wish in wishes if wish.kind is WishKind.CANCEL and wish.answer is WishAnswer.GRANTED]
    if any(wish.portions is None for wish in granted):
        return item.quantity
    return min(item.quantity, by_line(portion for wish in granted for portion in wish.portions or ()).get(item.line, NOTHING))


def open_portions(lines: Lines) -> Portions:
    """What a pharmacy is to be looked for."""
    return gathered({line: state.open for line, state in lines.items()})


def agrees(order: Placed, claim: Claimed | None) -> bool:
    """Whether the fund pays for exactly what the patient has of an order."""
    return claim is not None and (claim.settled is not None or claim.reversed) and claim.paid_for == order.kept


def status_of(lines: Lines, orders: Sequence[Placed], claims: Mapping[str, Claimed]) -> Status | None:
    """Where a prescription that has been reviewed is, by its lines; None where nothing of it will be handed over.

    `claims` are the newest of each order, by its id. CLOSED does not follow from the lines alone: the return window must be over.
    Nor does an end without medicine: it says whose decision it was.
    """
    if any(order.status in ALIVE and order.confirmed for order in orders):
        return Status.FULFILLING
    if any(state.open or state.in_progress for state in lines.values()):
        return Status.ALLOCATING
    handed_over = [order for order in orders if order.handed_over]
    if not handed_over:
        return None
    return Status.SETTLED if all(agrees(order, claims.get(order.id)) for order in handed_over) else Status.FULFILLED




def portions_of(items: Sequence[Item]) -> Portions:
    """All that was prescribed."""
    return tuple(Portion(item.line, item.quantity) for item in items)
