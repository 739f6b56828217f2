"""Units of measure: how they are written, and the exact factors between those that measure the same."""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

SPELLINGS: Mapping[str, str] = {
    "克": "g", "毫克": "mg", "微克": "μg", "ug": "μg", "mcg": "μg", "纳克": "ng", "千克": "kg", "公斤": "kg",
    "升": "L", "l": "L", "毫升": "ml", "mL": "ml", "单位": "U", "国际单位": "IU", "毫摩尔": "mmol",
    "天": "d", "日": "d", "D": "d", "day": "d", "days": "d", "周": "wk", "星期": "wk", "w": "wk", "W": "wk", "week": "wk",
    "weeks": "wk", "小时": "h",
}
"""Other ways to write a unit. Letter case is kept: `Mg` and `G` are not milligram and gram."""

_FACTORS: Mapping[str, tuple[str, Fraction]] = {
    "kg": ("mass", Fraction(1000)), "g": ("mass", Fraction(1)), "mg": ("mass", Fraction(1, 1000)),
    "μg": ("mass", Fraction(1, 10**6)), "ng": ("mass", Fraction(1, 10**9)),
    "L": ("volume", Fraction(1000)), "ml": ("volume", Fraction(1)),
    # A drug measured in international units has no other: its unit is written either way.
    "U": ("activity", Fraction(1)), "IU": ("activity", Fraction(1)),
    # A month or a year is no number of days.
    "wk": ("time", Fraction(7)), "d": ("time", Fraction(1)), "h": ("time", Fraction(1, 24)),
}
"""Unit -> what it measures, and how much of it. A counted unit (片, 支) measures only itself."""

ONE = Fraction(1)
MOST = 10**9
"""No dose, quantity or strength may be this large or larger."""
_LEAST_DIGIT, _MOST_DIGITS = -12, 60


def spelled(unit: str) -> str:
    """The unit as this module writes it; a text it does not know stays, without blanks around it.

    There are two micro signs and characters such as `㎎`, which NFKC makes one.
    """
    text = unicodedata.normalize("NFKC", unit).strip()
    return SPELLINGS.get(text, text)


def spellings(unit: str) -> frozenset[str]:
    """Every way to write a unit."""
    return frozenset({unit, *(text for text, meant in SPELLINGS.items() if meant == unit)})


def same_unit(a: str, b: str) -> bool:
    """Whether two texts are one unit, however written."""
    return spelled(a) == spelled(b)


def factor(unit: str, into: str) -> Fraction | None:
    """How many `into` are one `unit`: 1000 from g to mg; None where no factor is fixed (mg to ml, mg to 片)."""
    here, there = spelled(unit), spelled(into)
    if not here or not there:
        return None
    if here == there:
        return ONE
    kind, amount = _FACTORS.get(here, (here, Fraction(1)))
    other, size = _FACTORS.get(there, (there, Fraction(1)))
    return amount / size if kind == other else None


def exact(value: Decimal | int | Fraction) -> Fraction | None:
    """The number as a fraction; None unless it is positive, finite and of a size one can compute with.

    The size is looked at first: a fraction of `1E+999999` has a million digits.
    """
    if isinstance(value, Decimal):
        if not value.is_finite() or value <= 0 or not _LEAST_DIGIT <= value.adjusted() < 9 \
                or len(value.as_tuple().digits) > _MOST_DIGITS:
            return None
        return Fraction(value)
    if isinstance(value, Fraction):
        return value if 0 < value.numerator < MOST * value.denominator else None
    return Fraction(value) if 0 < value < MOST else None


def converted(value: Decimal | int | Fraction, unit: str, into: str) -> Fraction | None:
    """An amount in another unit, exactly; None where the number is none or no factor is fixed."""
    amount, times = exact(value), factor(unit, into)
    if amount is None or times is None:
        return None
    return amount if times is ONE else amount * times
