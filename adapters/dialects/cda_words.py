"""What the words of a document say that a code could say too: how a decoction is made, what a pack holds. Pure.

A text that is read here is also kept as a text: nothing is removed.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from domain.units import converted

MAX_WORDS = 60
"""Characters of what is read as a pack; the longest are some twenty."""

# A decoction.

_NUMBERS: Mapping[str, int] = {"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, **{str(n): n for n in range(1, 7)}}
_METHODS: Sequence[tuple[str, str]] = (
    (r"(?<!不)(?<!非)代煎|煎药室|药房煎", "decoct-by-pharmacy"), (r"外洗|外用|熏洗|泡洗|外敷|坐浴", "external"),
    (r"研末|打粉|研粉|粉冲", "powder"), (r"泡服|代茶|泡茶|冲泡", "infuse"), (r"煎|煮", "decoct"))
_TIMES = re.compile(r"(?:分|分早晚|分早中晚|[一每]?日|一天|每天)\s*([一二两三四五六1-6])\s*次|早(中)?晚|(顿服)")
_MARKS: Mapping[str, str] = {
    "先煎": "first", "后下": "last", "包煎": "wrapped", "布包": "wrapped", "另煎": "separate", "另炖": "separate",
    "烊化": "melted", "冲服": "taken-with"}
_PIECE = re.compile(r"([\u4e00-\u9fff]{1,12}?)[（(]?[先后包另烊冲]?[煎下化服]?[）)]?\s{0,4}(\d{1,6}(?:\.\d{1,6})?)\s{0,4}(?:g|克)")


def decoction_method(words: str) -> str:
    """The code of CodeSystem/decoction-method that the words name first of all; empty if they name none."""
    return next((code for pattern, code in _METHODS if re.search(pattern, words)), "")


def decoction_times(words: str) -> int:
    """Portions a day: 分早晚两次温服 is 2; 0 if the words do not say."""
    times = {_NUMBERS[match[1]] if match[1] else 1 if match[3] else 3 if match[2] else 2 for match in _TIMES.finditer(words)}
    return times.pop() if len(times) == 1 else 0


def decoction_mark(words: str) -> str:
    """How one piece is decocted: the only mark the words hold, or empty."""
    marks = {code for word, code in _MARKS.items() if word in words}
    return marks.pop() if len(marks) == 1 else ""


def pieces(words: str) -> tuple[list[tuple[str, Decimal]], str]:
    """Names and grams in the words of a prescription of pieces (黄芪30g 丹参15g), and the words that are neither."""
    named = [(match[1], Decimal(match[2])) for match in _PIECE.finditer(words)]
    return named, _PIECE.sub(" ", words).strip(" \t，,、；;。")


# A pack.

_PACK = re.compile(r"(\d+(?:\.\d+)?)\s*([^\d\s*×xX/:：]+?)\s*(?:[*×xX]\s*(\d{1,4})\s*([^\d\s*×xX/]+?)(?:\s*/\s*[盒瓶袋支])?)?")


def pack(words: str, dose_unit: str, unit: str) -> tuple[str, str]:
    """Content of a counted `unit` in `dose_unit`, and units of a pack: `0.5g*60片` in mg is 500 and 60; empty if unclear."""
    match = _PACK.fullmatch(words.strip()) if len(words) <= MAX_WORDS else None
    held = converted(Decimal(match[1]), match[2], dose_unit) if match and match[4] in (None, unit) else None
    if match is None or held is None:
        return "", ""
    return _written(held), match[3] or ""


def _written(number: Fraction) -> str:
    return f"{(Decimal(number.numerator) / Decimal(number.denominator)).normalize():f}"
