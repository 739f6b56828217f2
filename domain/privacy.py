"""Foreign text that may name a person, and what of it may be written where nothing is ever erased."""

import re
import unicodedata

WITHHELD = "withheld"
"""Stands for a foreign code that may be about a person."""

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,63}")
_NUMBER = re.compile(r"(?<![0-9])(?:1[3-9][0-9]{9}|[0-9]{17}[0-9Xx])(?![0-9])")
"""A mobile number or a resident id number."""
_WRITTEN = re.compile(r"(?<![0-9])(?:1[3-9](?:[ -]?[0-9]){9}|[0-9](?:[ -]?[0-9]){16}[ -]?[0-9Xx])(?![0-9])")
"""The same as people write it, in groups."""


def shown(code: str) -> str:
    """A partner's code as the history may hold it: `withheld` for free words and for a mobile or id number."""
    return code if _CODE.fullmatch(code) and not _NUMBER.search(re.sub(r"[._:/#-]", "", code)) else WITHHELD


def personal(text: str) -> bool:
    """Whether a text holds a mobile or id number, however it is grouped; full-width digits too."""
    return _WRITTEN.search(unicodedata.normalize("NFKC", text)) is not None


def numbers_in(text: str) -> list[str]:
    """The mobile and id numbers in a text, as they are written without groups."""
    return [number.group() for number in _NUMBER.finditer(text)]


def masked(text: str) -> str:
    """A text without the mobile and id numbers in it, full-width digits too; names stay."""
    narrow = unicodedata.normalize("NFKC", text)
    if len(narrow) != len(text):
        # A character that becomes several would shift the places.
        narrow = "".join(unicodedata.normalize("NFKC", each) if each.isdigit() else each for each in text)
    if len(narrow) != len(text):
        return _WRITTEN.sub("***", narrow)
    parts, end = [], 0
    for number in _WRITTEN.finditer(narrow):
        parts += [text[end:number.start()], "***"]
        end = number.end()
    return "".join([*parts, text[end:]])
