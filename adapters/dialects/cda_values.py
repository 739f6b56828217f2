"""Values of HL7 in a document: times, days, numbers, and words that a pretty printer has broken into lines. Pure."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from fhir_profiles.drafts import Datum

BEIJING = "+08:00"

_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d{1,6})?(?:([+-]\d\d):?(\d\d))?")
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)(?:\d{4}(?:\d\d(?:\.\d{1,6})?)?(?:[+-]\d{4})?)?")


def moment(datum: Datum) -> Datum:
    """A time of HL7 (yyyyMMddHHmmss, Beijing time where it has no offset) as ISO 8601; anything else as it is."""
    if not (match := _TIME.fullmatch(datum.value)):
        return datum
    year, month, day_, hour, minute, second, east, minutes = match.groups()
    offset = f"{east}:{minutes}" if east else BEIJING
    return replace(datum, value=f"{year}-{month}-{day_}T{hour}:{minute}:{second or '00'}{offset}")


def day(datum: Datum) -> Datum:
    """The day of a time of HL7 as ISO 8601; anything else as it is."""
    match = _DAY.fullmatch(datum.value)
    return replace(datum, value="-".join(match.groups())) if match else datum


def days_after(start: Datum, days: Datum) -> Datum:
    """The moment so many days after another; what cannot be counted stays as it is, for the checker to refuse."""
    try:
        end = datetime.fromisoformat(start.value) + timedelta(days=int(days.value))
    except (ValueError, OverflowError):
        return days
    return replace(days, value=end.isoformat())


def decimal(text: str) -> Decimal | None:
    """A plain number, or None."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def plain(number: Decimal) -> str:
    """A number without needless zeros: `30` for 30.0."""
    return f"{number.normalize():f}"


_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_LINE_BREAKS = re.compile("[\\r\\n]+")
_ENDS_CHINESE, _BEGINS_CHINESE = re.compile(f"[{_CJK}]\\Z"), re.compile(f"[{_CJK}]")


def unindented(text: str) -> str:
    """A text without the line breaks and indentation of a pretty printer; Chinese characters need no blank in their place."""
    pieces: list[str] = []
    for line in filter(None, (line.strip() for line in _LINE_BREAKS.split(text))):
        if pieces and not (_ENDS_CHINESE.search(pieces[-1][-1:]) and _BEGINS_CHINESE.match(line)):
            pieces.append(" ")
        pieces.append(line)
    return "".join(pieces)


def one_line(texts: Iterable[Any]) -> str:
    """Words of a narrative block on one line."""
    return " ".join(line for text in texts for line in (unindented(str(text)),) if line)
