"""Where words that a prescription keeps must be read: on the pharmacist's desk, in the pharmacy's order, in the fund's claim."""

from collections.abc import Mapping, Sequence


def unreached(kept: Mapping[tuple[str, str], Sequence[tuple[str, bytes]]]) -> list[tuple[str, str, str]]:
    """(hospital, path, who does not read it)."""
    return []
