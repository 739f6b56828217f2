"""Of several names, addresses or phones the one that counts on a day: never the first.

An entry that is marked as old, or whose period does not hold the day, does not count. Of the others the best by use and
rank counts. Where two different entries are equally good, or none counts, there is no answer.
"""

import calendar
from collections.abc import Callable, Sequence
from datetime import date, datetime

from fhir_profiles import codes
from fhir_profiles.message import BEIJING, Json, member, members, moment, text

Better = Callable[[Json], tuple[int, ...]]
"""How good an entry is; the lowest counts."""


def current_name(person: object, on: date | None) -> Json | None:
    """The ideographic name before any other writing of it, the official one before the usual."""
    return _best(members(person, "name"), on, _of_names, "text")


def current_address(patient: object, on: date | None) -> Json | None:
    """Where a parcel reaches the patient: home before a temporary address before work; never one for bills or letters."""
    return _best(members(patient, "address"), on, _of_addresses, "text")


def current_phone(patient: object, on: date | None) -> Json | None:
    """The phone of the best rank, of equal ones the mobile."""
    phones = [entry for entry in members(patient, "telecom") if member(entry, "system") == "phone"]
    return _best(phones, on, _of_phones, "value")


def counts(entry: object, on: date | None) -> bool:
    """Whether an entry is in use on a day, by its use and period."""
    if not isinstance(entry, dict) or entry.get("use") in ("old", "maiden", "anonymous", "nickname"):
        return False
    return on is None or holds(member(entry, "period"), on)


def holds(period: object, on: date) -> bool:
    """Whether a period holds a day; an end that is not said is open, a month or year that is said counts whole."""
    start, end = _bounds(member(period, "start")), _bounds(member(period, "end"))
    return not (start and on < start[0]) and not (end and on > end[1])


def _best(entries: Sequence[object], on: date | None, better: Better, value: str) -> Json | None:
    ranked: dict[tuple[int, ...], list[Json]] = {}
    for entry in entries:
        if isinstance(entry, dict) and counts(entry, on) and (rank := better(entry))[0] < _NEVER:
            ranked.setdefault(rank, []).append(entry)
    if not ranked:
        return None
    equal = ranked[min(ranked)]
    return equal[0] if len({text(entry, value) for entry in equal}) == 1 else None


_NEVER = 100


def _of_names(name: Json) -> tuple[int, ...]:
    written = next((text(part, "valueCode") for part in members(name, "extension")
                    if member(part, "url") == codes.NAME_REPRESENTATION), "")
    return ({"IDE": 0, "": 1}.get(written, 2), {"official": 0, "usual": 1, "": 2}.get(text(name, "use"), 3))


def _of_addresses(address: Json) -> tuple[int, ...]:
    if address.get("use") == "billing" or address.get("type") == "postal":
        return (_NEVER,)
    return ({"home": 0, "": 1, "temp": 2}.get(text(address, "use"), 3),)


def _of_phones(phone: Json) -> tuple[int, ...]:
    rank = phone.get("rank")
    return (rank if type(rank) is int and 0 < rank < _NEVER else _NEVER - 1,
            {"mobile": 0, "home": 1, "": 2}.get(text(phone, "use"), 3))


def _bounds(value: object) -> tuple[date, date] | None:
    """The first and the last day (Beijing) of a date, a month, a year or a time."""
    if (at := moment(value)) is not None:
        return (day := _day(at)), day
    if not isinstance(value, str):
        return None
    try:
        year, month, day_ = ([int(part) for part in value.split("-")] + [0, 0])[:3]
        last = day_ or calendar.monthrange(year, month or 12)[1]
        return date(year, month or 1, day_ or 1), date(year, month or 12, last)
    except ValueError:
        return None


def _day(at: datetime) -> date:
    return at.astimezone(BEIJING).date()
