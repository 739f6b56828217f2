"""One thing in a message that is not as the sample had it."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

MARK = "标记字样"
"""Words that stand in no sample: what was added or changed is looked for by them."""


class Kind(StrEnum):
    CHANGED = "changed"
    DOUBLED = "doubled"
    EMPTIED = "emptied"
    CONTRADICTED = "contradicted"
    ADDED = "added"


@dataclass(frozen=True)
class Mutation:
    kind: Kind
    place: str
    """Without positions: `Patient.name.text`, `D001.rxdrugdetail.sinDoscnt`, `PID-5.1`, an XPath, a heading."""
    message: bytes | Callable[[], bytes] = field(repr=False)
    """Its bytes, or what writes them: most are costly, and a quick look takes few of them."""
    how: str = ""
    """What was done, where the kind does not say it."""

    @property
    def raw(self) -> bytes:
        return self.message if isinstance(self.message, bytes) else self.message()


class Values:
    """What stands at each place in the samples: another sample's value is the likeliest wrong one."""

    def __init__(self, found: Iterable[tuple[str, str]]) -> None:
        seen: dict[str, list[str]] = defaultdict(list)
        for place, value in found:
            if value not in seen[place]:
                seen[place].append(value)
        self._seen: Mapping[str, list[str]] = seen

    def others(self, place: str, value: str) -> list[str]:
        """Up to two other values for a place: one from another sample, and one made from this."""
        known = [one for one in self._seen.get(place, ()) if _spelled(one) != _spelled(value)]
        return list(dict.fromkeys([*known[:1], changed(value)]))


def _spelled(value: str) -> str:
    """A day in one spelling: a workbook's cell holds midnight where a text holds the day alone, and says no other day."""
    return re.sub(r"(\d{4}-\d\d-\d\d)[T ]00:00(:00)?", r"\1", value)


def changed(value: str) -> str:
    """A different value of the same form: a later day, a larger number, another last digit, other words."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return str(datetime.fromisoformat(value).date() + timedelta(days=1))
    if found := re.fullmatch(r"(\d{4}-\d\d-\d\d)([T ].*)", value):
        return str(datetime.fromisoformat(found[1]).date() + timedelta(days=1)) + found[2]
    if found := re.fullmatch(r"((?:19|20)\d{6})(\d{6}.*)?", value):
        with suppress(ValueError):
            return f"{date.fromisoformat(found[1]) + timedelta(days=1):%Y%m%d}{found[2] or ''}"
    if re.fullmatch(r"\d{1,9}", value):
        return str(int(value) + 1)
    if re.fullmatch(r"\d+\.\d+", value):
        whole, _, part = value.partition(".")
        return f"{int(whole) + 1}.{part}"
    if value in ("true", "false"):
        return {"true": "false", "false": "true"}[value]
    if value and value[-1].isascii() and value[-1].isalnum():
        return value[:-1] + ("1" if value[-1] != "1" else "2")
    return value + MARK
