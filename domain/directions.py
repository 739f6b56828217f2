"""What prescribers' words plainly say of dose, frequency and route, to compare with the codes beside them.

Only common Chinese phrases are read, and only a plain contradiction counts. Words that say several things, or use other
phrases, contradict nothing. What is read here never replaces a code.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from domain.units import factor

_CHINESE = {"半": Fraction(1, 2), "一": Fraction(1), "两": Fraction(2), "二": Fraction(2), "三": Fraction(3),
            "四": Fraction(4), "五": Fraction(5), "六": Fraction(6), "七": Fraction(7), "八": Fraction(8),
            "九": Fraction(9), "十": Fraction(10)}
_NUMBER = r"(?:[0-9]{1,6}/[0-9]{1,4}|[0-9]{1,6}(?:\.[0-9]{1,6})?|[半一两二三四五六七八九十])"
_RANGE = rf"(?P<low>{_NUMBER})(?:(?:-|~|—|至|到|、)(?P<high>{_NUMBER}))?"
_DAY = "(?:每日|每天|一日|一天|1日|1天|(?<![隔次每])日)"
_UNITS = "mg|毫克|μg|ug|mcg|微克|g|克|ml|毫升|IU|U|单位|mmol|片|粒|丸|滴|吸|揿|喷|袋|支|贴"

_RHYTHMS: tuple[tuple[re.Pattern[str], Fraction], ...] = tuple((re.compile(pattern, re.I), per_day) for pattern, per_day in (
    (rf"{_DAY}(?:服|用|口服|服用|早晚|饭后|餐后|饭前|餐前|[,、:])?{_RANGE}次(?!以内|以下)", Fraction(1)),
    (rf"{_RANGE}次/(?:日|天|d)", Fraction(1)),
    (rf"(?:每周|每星期|一周|1周){_RANGE}次", Fraction(1, 7)),
    (rf"{_RANGE}次/周", Fraction(1, 7)),
))
"""Phrases with a number, and what one time of them is a day."""
_INTERVAL = re.compile(rf"每(?:隔)?(?P<hours>{_NUMBER})(?:个)?小时(?:[1一]次)?")
_WORDS: tuple[tuple[re.Pattern[str], Fraction], ...] = tuple((re.compile(pattern), per_day) for pattern, per_day in (
    ("隔(?:日|天)(?:服|用|口服|服用)?[一1]次", Fraction(1, 2)), ("早[、,和]?晚各", Fraction(2)),
    ("早[、,]?中[、,和]?晚各", Fraction(3)), ("每(?:晚|早)[一1]次", Fraction(1)),
))
_LATIN: Mapping[str, Fraction] = {
    "qd": Fraction(1), "bid": Fraction(2), "tid": Fraction(3), "qid": Fraction(4), "qn": Fraction(1), "qod": Fraction(1, 2),
    "qw": Fraction(1, 7), "biw": Fraction(2, 7), "tiw": Fraction(3, 7), "q12h": Fraction(2), "q8h": Fraction(3),
    "q6h": Fraction(4),
}
_LATIN_WORD = re.compile(rf"(?<![A-Za-z])({'|'.join(_LATIN)})(?![A-Za-z])", re.I)
_DOSES = tuple(re.compile(pattern) for pattern in (
    rf"(?:每次|一次|1次|单次)(?:口服|服用|服|用|吸入|注射|皮下注射|滴|含服)?{_RANGE}(?P<unit>{_UNITS})",
    rf"{_RANGE}(?P<unit>{_UNITS})/次",
))
_ROUTES: Mapping[str, tuple[str, ...]] = {
    "PO": ("口服", "嚼服", "吞服", "温服", "冲服"), "SL": ("舌下",), "SC": ("皮下注射",),
    "INH": ("吸入",), "OPH": ("滴眼", "点眼", "眼用"),
}
"""Route -> words that name it."""
_OTHER_ROUTES = ("静脉", "静滴", "静推", "肌注", "肌内注射", "肌肉注射", "外用", "外敷", "涂抹", "滴鼻", "滴耳", "直肠",
                 "塞肛", "阴道")


@dataclass(frozen=True)
class Coded:
    """What the codes say."""

    per_day: Fraction | None
    """Times a day; None where it is not fixed (prn, st)."""
    dose: Decimal | None = None
    dose_unit: str = ""
    strength: Decimal | None = None
    """Content of one counted unit, in `strength_unit`, where it is said."""
    strength_unit: str = ""
    counted: str = ""
    """The unit that is counted when it is handed over: 片, 粒."""
    route: str = ""


def contradicts(words: str, codes: Coded) -> bool:
    """Whether the words plainly say another frequency, dose or route than the codes."""
    plain = _normalized(words)
    return (_another(rhythms(plain), codes.per_day) or _another_dose(plain, codes) or _another_route(plain, codes.route))


def rhythms(words: str) -> list[tuple[Fraction, Fraction]]:
    """Every frequency the words name, in times a day, as the least and the most of each."""
    plain = _normalized(words)
    ranges = [_between(match, per) for pattern, per in _RHYTHMS for match in pattern.finditer(plain)]
    ranges += [(per_day, per_day) for pattern, per_day in _WORDS if pattern.search(plain)]
    ranges += [(per_day, per_day) for per_day in (_LATIN[match[1].lower()] for match in _LATIN_WORD.finditer(plain))]
    for match in _INTERVAL.finditer(plain):
        hours = _number(match["hours"])
        if hours:
            ranges.append((24 / hours, 24 / hours))
    return ranges


def _another(stated: list[tuple[Fraction, Fraction]], coded: Fraction | None) -> bool:
    """Nothing of what the words name is what the code says."""
    return coded is not None and bool(stated) and not any(low <= coded <= high for low, high in stated)


def _another_dose(words: str, codes: Coded) -> bool:
    if codes.dose is None:
        return False
    compared = []
    for match in (match for pattern in _DOSES for match in pattern.finditer(words)):
        times = _times(codes, match["unit"])
        if times is None:
            return False  # one of the doses cannot be compared, and it may be the right one
        low, high = _between(match, Fraction(1))
        compared.append(low <= Fraction(codes.dose) * times <= high)
    return bool(compared) and not any(compared)


def _times(codes: Coded, unit: str) -> Fraction | None:
    """How many of a unit one unit of the dose is; where one counts and the other weighs, by what one counted unit holds."""
    if (times := factor(codes.dose_unit, unit)) is not None:
        return times
    if codes.strength and unit == codes.counted:
        into = factor(codes.dose_unit, codes.strength_unit)
        return into / Fraction(codes.strength) if into is not None else None
    if codes.strength and codes.dose_unit == codes.counted:
        into = factor(codes.strength_unit, unit)
        return into * Fraction(codes.strength) if into is not None else None
    return None


def _another_route(words: str, route: str) -> bool:
    if route not in _ROUTES:
        return False
    if any(word in words for word in _ROUTES[route]):
        return False
    others = [word for other, words in _ROUTES.items() if other != route for word in words]
    return any(word in words for word in (*others, *_OTHER_ROUTES))


def routes_differ(words: str, name: str) -> bool:
    """Whether words plainly name another route than the name of a code does: `静脉注射` beside `口服`."""
    named, meant = _routes(words), _routes(name)
    return bool(named and meant and not named & meant)


def _routes(words: str) -> set[str]:
    plain = _normalized(words)
    return ({route for route, names in _ROUTES.items() if any(name in plain for name in names)}
            | {name for name in _OTHER_ROUTES if name in plain})


def _between(match: re.Match[str], per: Fraction) -> tuple[Fraction, Fraction]:
    low = _number(match["low"])
    high = _number(match["high"]) if match["high"] else low
    return low * per, high * per


def _number(text: str) -> Fraction:
    if text in _CHINESE:
        return _CHINESE[text]
    above, _, below = text.partition("/")
    return Fraction(above) / int(below) if below and int(below) else Fraction(above)


def _normalized(words: str) -> str:
    """Full-width digits and signs half-width; no blanks between characters."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", words))
