"""What a parser of JSON does not tell: a member that an object has twice, and a NUL in a text."""

import json
import re
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
"""A member that may be named; any other name is the sender's own words, and may be about a person."""


class _Members(list[tuple[str, Any]]):
    """The members of an object, as they stand in the text."""


def repeated_member(text: str | bytes) -> str:
    """Place of the first member that its object has twice (`lines.0.quantity`); empty if there is none, or it is no JSON.

    Parsers keep the last value and drop the other, which is a guess wherever the two differ. A parser's own error tells
    what is no JSON.
    """
    repeats = False

    def members(pairs: list[tuple[str, Any]]) -> object:
        nonlocal repeats
        repeats = repeats or len({name for name, _ in pairs}) < len(pairs)
        return _Members(pairs)

    try:
        root = json.loads(text, object_pairs_hook=members)
    except (ValueError, RecursionError):
        return ""
    return _place(root, "") if repeats else ""


def holds_nul(text: bytes) -> bool:
    """Whether a text in it, or the name of a member, has a NUL, which PostgreSQL keeps nowhere; False for what is no JSON."""
    if rb"\u0000" not in text:
        return False  # A NUL that is not written so is no JSON.
    try:
        return rb"\u0000" in json.dumps(json.loads(text)).replace("\\\\", "").encode()
    except (ValueError, RecursionError):
        return False


def _place(value: object, path: str) -> str:
    if isinstance(value, _Members):
        seen = set[str]()
        for name, member in value:
            here = f"{path}.{name if _NAME.fullmatch(name) else '…'}".lstrip(".")
            if name in seen:
                return here
            seen.add(name)
            if place := _place(member, here):
                return place
    elif isinstance(value, list):
        for number, element in enumerate(value):
            if place := _place(element, f"{path}.{number}".lstrip(".")):
                return place
    return ""
