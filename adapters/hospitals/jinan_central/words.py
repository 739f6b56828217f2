"""What a message says in codes and in words: read once, compared with what was agreed, and a finding where they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2_segments import Parsed, Segment, finding
from adapters.mapping import CodeMap, Codes
from adapters.messages import Unmapped
from domain.findings import Spot
from fhir_profiles.drafts import NOTHING, Datum

Parts = Sequence[tuple[int, int]]
CONCEPT: Final[Parts] = ((1, 1), (2, 1), (3, 1))
"""Code, words and table of a CE field, as component and subcomponent."""
INSIDE: Final[Parts] = ((1, 1), (1, 2), (1, 3))
"""The same within the first component."""
_WORDS_COUNT_ALONE: Final = ("allergy", "allergy_type", "severity", "sensitivity", "allergy_status", "mark", "diagnosis", "drug")
"""Tables where words without a code are carried, or refused as a code that is missing."""


class Words:
    """One message of theirs, with the facts and the codes that were agreed with the hospital."""

    def __init__(self, hospital: str, facts: Mapping[str, str], codes: CodeMap, message: Parsed) -> None:
        self._hospital = hospital
        self._facts = facts
        self._codes = Codes(codes)
        self._names = codes.names
        self._message = message
        self._detail = hl7v2.DETAIL[message.type]
        day = message.first("ORC").datum(9).value[:8]
        self._day = day if day.isdecimal() and len(day) == 8 else ""

    @property
    def unmapped(self) -> list[Unmapped]:
        return self._codes.unmapped

    def _find(self, code: str, spot: Spot) -> None:
        self._message.findings.append(finding(code, spot))

    def _expect(self, datum: Datum, *values: str) -> None:
        """Nothing, or one of these."""
        if datum.value not in ("", *values):
            self._find("HL7_VALUE", datum.spot)

    def _number(self, segment: Segment, field: int) -> Datum:
        """A number in the hospital's own system."""
        issuer = segment.datum(field, 2)
        if issuer.value not in ("", self._facts["sending_application"]):
            self._find("HL7_CODE_SYSTEM", issuer.spot)
        return segment.datum(field)

    def _concept(self, table: str, segment: Segment, number: int, parts: Parts = CONCEPT, repetition: int = 1
                 ) -> tuple[Datum, Datum]:
        """Code and words of a field; a code of another table than the agreed one is a finding."""
        code, words, system = (segment.datum(number, component, sub, repetition) for component, sub in parts)
        if system.value not in ("", *self._facts.get(f"system.{table}", "").split()):
            self._find("HL7_CODE_SYSTEM", system.spot)
        elif table in _WORDS_COUNT_ALONE or code.value or not words.value:
            pass
        else:
            # Words without their code: they would be lost, so they are refused.
            self._find("HL7_NOT_READ", words.spot)
        return code, words

    def _code(self, table: str, segment: Segment, number: int, parts: Parts = CONCEPT) -> Datum:
        """Our code for theirs, whose words must be the name it has in the folder's table."""
        code, words = self._concept(table, segment, number, parts)
        self._same_words(table, code, words)
        return self._codes.ours(table, code, words.value)

    def _word(self, table: str, datum: Datum) -> Datum:
        """One of their fixed words in ours."""
        return replace(datum, value=self._facts.get(f"{table}.{datum.value}", datum.value))

    def _coded_word(self, table: str, segment: Segment, number: int) -> Datum:
        """The same of a field that has words beside the code."""
        code, words = self._concept(table, segment, number)
        self._same_words(table, code, words)
        return self._word(table, code)

    def _same_words(self, table: str, code: Datum, words: Datum) -> None:
        agreed = self._names.get(table, {}).get(code.value) or self._facts.get(f"{table}_name.{code.value}")
        if not words.value or words.value == agreed:
            return
        if agreed:
            self._find("HL7_CONTRADICTION", words.spot)
        elif f"{table}.{code.value}" in self._facts:
            # There is no name to compare the words with, and they are not carried.
            self._find("HL7_NOT_READ", words.spot)

    def _only(self, data: Sequence[Datum]) -> Datum | None:
        """The one that all of them are."""
        for other in data[1:]:
            if other.value != data[0].value:
                self._find("HL7_SEVERAL", other.spot)
        return data[0] if data else None


def together(data: Sequence[Datum]) -> Datum:
    """Several texts as one."""
    filled = [it for it in data if it.value]
    return replace(filled[0], value="；".join(it.value for it in filled)) if filled else NOTHING


def joined(segment: Segment, field: int, *components: int, repetition: int = 1) -> Datum:
    parts = [segment.datum(field, it, repetition=repetition) for it in components]
    spot = next((part.spot for part in parts if part.value), parts[0].spot)
    return Datum("".join(part.value for part in parts), spot)
