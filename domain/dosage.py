"""How much a prescription asks for: administrations, doses and counted units, in exact fractions.

The message checker (FHIR-141) and the audit (A-21, A-22, B-22, B-23) compute with the same functions, so that neither refuses
what the other takes. A seventh of a week has no decimal form: decimals refuse 4 tablets for 4 weeks.
"""

import math
from decimal import Decimal
from fractions import Fraction

from domain.units import exact

Number = Decimal | int | Fraction


def administrations(times: int, period_days: int, days: Number) -> Fraction | None:
    """How often it is taken within so many days, at `times` per `period_days`, on average.

    Once where the frequency has no period (`st`); None where it is not fixed (`prn`, times 0) or a number is none.
    """
    span = exact(days)
    if times <= 0 or period_days < 0 or span is None:
        return None
    return Fraction(1) if period_days == 0 else Fraction(times, period_days) * span


def most_administrations(times: int, period_days: int, window_days: int) -> int:
    """The most that can fall into any window of so many days; at least one.

    Every other day is once in a day, and four times in a week: a mean would let double doses pass.
    """
    if times <= 0 or period_days <= 0 or window_days <= 0:
        return 1
    return max(1, -(-times * window_days // period_days))


def dose_in_window(single: Number, times: int, period_days: int, window_days: int) -> Fraction | None:
    """The largest total that can be taken within the window, in the unit of `single`.

    One single dose where the frequency is not fixed (`prn`, `st`).
    """
    dose = exact(single)
    return None if dose is None else dose * most_administrations(times, period_days, window_days)


def required_units(single: Number, content: Number, times: int, period_days: int, days: Number) -> int | None:
    """Counted units needed (A-21): ceil(single / content × times / period × days); None where nothing can be computed.

    `single` and `content`, what one counted unit holds, are in the same unit.
    """
    dose, held, often = exact(single), exact(content), administrations(times, period_days, days)
    if dose is None or held is None or often is None:
        return None
    return math.ceil(dose / held * often)


def whole_packs(units: int, pack_size: int) -> int:
    """So many units, rounded up to whole packs."""
    return -(-units // pack_size) * pack_size


def denser(times: int, period_days: int, usual_times: int, usual_period_days: int) -> bool:
    """Whether the first frequency is taken more often than the second; both have a period."""
    return times * usual_period_days > usual_times * period_days
