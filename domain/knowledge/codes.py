"""How the codes of a patient meet the patterns of the tables (rules-cn, section G)."""

import re
from collections.abc import Iterable
from functools import lru_cache

ICD_RANGE = re.compile(r"^[A-Z]\d\d-[A-Z]\d\d$")


def diagnosis_matches(codes: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether the patient's ICD-10 codes meet any pattern.

    `E11.2` is a prefix, `C00-C97` compares three characters, `E11&N18` needs both.
    """
    present = tuple(codes)
    for pattern in patterns:
        if pattern:
            for part in pattern_parts(pattern):
                if not _part_matches(present, part):
                    break
            else:
                return True
    return False


@lru_cache(maxsize=4096)
def pattern_parts(pattern: str) -> tuple[str | tuple[str, str], ...]:
    """What a pattern asks for, all of it: prefixes, and ranges as their two ends."""
    return tuple(_parsed(part.strip()) for part in pattern.split("&"))


def _parsed(part: str) -> str | tuple[str, str]:
    if ICD_RANGE.match(part):
        first, last = part.split("-")
        return first, last
    return part


def _part_matches(codes: tuple[str, ...], part: str | tuple[str, str]) -> bool:
    for code in codes:
        if isinstance(part, str):
            if part and code.startswith(part):
                return True
        elif part[0] <= code[:3] <= part[1]:
            return True
    return False


def trimester(weeks: int) -> str:
    """T1 below 14 weeks, T2 to 27, T3 from 28 (B-33)."""
    return "T1" if weeks < 14 else "T2" if weeks < 28 else "T3"
