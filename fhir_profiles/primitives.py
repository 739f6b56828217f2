"""FHIR's primitive types, on JSON values with exact numbers."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

_YEAR = "(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_DAY = "(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:[.][0-9]+)?"
_ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_DATE = re.compile(f"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-{_DAY})?)?")
_DATETIME = re.compile(f"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-{_DAY}(?:T{_CLOCK}{_ZONE})?)?)?")
_INSTANT = re.compile(f"{_YEAR}-(?:0[1-9]|1[0-2])-{_DAY}T{_CLOCK}{_ZONE}")


def _text(pattern: str) -> Callable[[Any], bool]:
    fullmatch = re.compile(pattern).fullmatch
    return lambda value: type(value) is str and fullmatch(value) is not None


def _string(value: Any) -> bool:
    return type(value) is str and value != ""


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _decimal(value: Any) -> bool:
    return type(value) is int or type(value) is Decimal or type(value) is float


def _calendar(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    """The pattern, and a day the calendar has."""
    def holds(value: Any) -> bool:
        if type(value) is not str or not pattern.fullmatch(value):
            return False
        try:
            if len(value) >= 10:
                date.fromisoformat(value[:10])
            # A leap second is a time in FHIR and none in Python.
            if len(value) > 10 and value[17:19] != "60":
                datetime.fromisoformat(value)
        except ValueError:
            return False
        return True
    return holds


PRIMITIVES: Mapping[str, Callable[[Any], bool]] = {
    "boolean": lambda value: type(value) is bool,
    "integer": _whole(-(1 << 31), (1 << 31) - 1),
    "unsignedInt": _whole(0, (1 << 31) - 1),
    "positiveInt": _whole(1, (1 << 31) - 1),
    "decimal": _decimal,
    "string": _string,
    "markdown": _string,
    "xhtml": _text(r"(?s)\s*<div[\s>].*</div>\s*"),
    "code": _text(r"[^\s]+(?: [^\s]+)*"),
    "id": _text(r"[A-Za-z0-9\-.]{1,64}"),
    "uri": _text(r"\S+"),
    "url": _text(r"\S+"),
    "canonical": _text(r"\S+"),
    "oid": _text(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"),
    "uuid": _text(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "base64Binary": _text(r"\s*(?:[0-9A-Za-z+/=]{4}\s*)+"),
    "date": _calendar(_DATE),
    "dateTime": _calendar(_DATETIME),
    "instant": _calendar(_INSTANT),
    "time": _text(_CLOCK),
}
"""Type -> whether a JSON value is one."""
