"""Which rows of the tables concern a drug or a diagnosis, without reading all of them.

An index answers exactly as a scan with `Drug.matches` or `diagnosis_matches` would, in the order of the table.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from domain.knowledge.codes import diagnosis_matches, pattern_parts
from domain.knowledge.rows import Drug

Row = TypeVar("Row")


class ByDrug(Generic[Row]):
    """Rows by the drugs their patterns cover. The answer for a drug is kept: a city has some hundred drugs."""

    def __init__(self, rows: Iterable[Row], patterns: Callable[[Row], Iterable[str]]) -> None:
        self._rows = tuple(rows)
        self._by_pattern: dict[str, list[int]] = {}
        for position, row in enumerate(self._rows):
            for pattern in filter(None, patterns(row)):
                self._by_pattern.setdefault(pattern, []).append(position)
        self._positions: dict[str, frozenset[int]] = {}
        self._rows_of: dict[str, tuple[Row, ...]] = {}

    def positions(self, drug: Drug) -> frozenset[int]:
        """Where in the table the drug's rows are."""
        positions = self._positions.get(drug.id)
        if positions is None:
            positions = self._positions[drug.id] = frozenset(
                position for pattern in drug.patterns for position in self._by_pattern.get(pattern, ()))
        return positions

    def rows(self, drug: Drug) -> tuple[Row, ...]:
        """The rows that cover the drug."""
        rows = self._rows_of.get(drug.id)
        if rows is None:
            rows = self._rows_of[drug.id] = self.at(self.positions(drug))
        return rows

    def at(self, positions: Iterable[int]) -> tuple[Row, ...]:
        """The rows at these positions, in the order of the table."""
        return tuple(self._rows[position] for position in sorted(positions))


class ByDiagnosis(Generic[Row]):
    """Rows by the diagnoses they are about. Codes come from messages, so answers are not kept."""

    def __init__(self, rows: Iterable[Row], patterns: Callable[[Row], Sequence[str]]) -> None:
        self._rows = tuple(rows)
        self._by_prefix: dict[str, list[int]] = {}
        self._others: list[tuple[int, tuple[str, ...]]] = []
        """Rows with ranges and combinations, which no prefix finds."""
        for position, row in enumerate(self._rows):
            others = []
            for pattern in filter(None, patterns(row)):
                parts = pattern_parts(pattern)
                if len(parts) == 1 and isinstance(parts[0], str):
                    if parts[0]:
                        self._by_prefix.setdefault(parts[0], []).append(position)
                else:
                    others.append(pattern)
            if others:
                self._others.append((position, tuple(others)))
        self._longest = max(map(len, self._by_prefix), default=0)

    def rows(self, codes: Sequence[str]) -> tuple[Row, ...]:
        """The rows of which one pattern meets the codes."""
        positions = {position for code in codes for length in range(1, min(len(code), self._longest) + 1)
                     for position in self._by_prefix.get(code[:length], ())}
        positions.update(position for position, patterns in self._others if diagnosis_matches(codes, patterns))
        return tuple(self._rows[position] for position in sorted(positions))
