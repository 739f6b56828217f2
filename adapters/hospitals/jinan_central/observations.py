"""What was observed: OBX of the patient, of the drugs and of readings at home."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from adapters.dialects.hl7v2_segments import Group, Segment, timestamp
from adapters.hospitals.jinan_central.words import Words
from domain.units import same_unit
from fhir_profiles.drafts import NOTHING, Datum, ReadingDraft

SYSTOLIC, DIASTOLIC, PRESSURE = "8480-6", "8462-4", "85354-9"
READINGS: Final = (SYSTOLIC, DIASTOLIC, "8867-4", "15074-8", "29463-7", "59408-5")
"""LOINC of values measured at home."""
_LOINC: Final = re.compile(r"[0-9]+-[0-9]")
PENDING: Final = ("A", "B", "P", "R", "S", "U", "V")
"""OBX-11 of what is no result yet."""
UNSAID: Final = ("I", "N", "O", "X")
"""OBX-11 of what has no result."""


class Observations(Words):
    """OBX in its field's words: final ones, one fact each."""

    def _counted(self, group: Group, code: str) -> list[Segment]:
        """The observations of a kind that count: final ones and what corrected them, nothing that was deleted."""
        counted: list[Segment] = []
        for row in group.all("OBX"):
            if row.datum(3).value != code:
                continue
            self._same_words("observation", *self._concept("loinc" if _LOINC.fullmatch(code) else "observation", row, 3))
            status, place = row.datum(11), row.datum(4).value
            if status.value in ("C", "D", "W"):
                for earlier in [it for it in counted if it.datum(4).value == place]:
                    earlier.leave_out()
                    counted.remove(earlier)
            if status.value in ("D", "W", *UNSAID):
                row.leave_out()
                continue
            if status.value in PENDING:
                self._find("HL7_NOT_FINAL", status.spot)
            elif status.value not in ("C", "F"):
                self._find("HL7_VALUE", status.spot)
            if not row.repetitions(5):
                self._find("HL7_VALUE", row.datum(5).spot)
            counted.append(row)
        return counted

    def _agreeing(self, data: Sequence[Datum]) -> Datum:
        """What all observations of one fact say."""
        for other in data[1:]:
            if other.value != data[0].value:
                self._find("HL7_CONTRADICTION", other.spot)
        return data[0] if data else NOTHING

    def _lactating(self) -> Datum:
        rows = self._counted(self._message, self._facts["lactating"])
        self._of_today(rows)
        return self._agreeing([self._coded_word("flag", row, 5) for row in rows])

    def _weeks(self) -> Datum:
        """Completed weeks of pregnancy."""
        rows, weeks = self._counted(self._message, self._facts["pregnancy_weeks"]), []
        self._of_today(rows)
        for row in rows:
            weeks_stated, unit = row.datum(5), self._observed_unit(row)
            if same_unit(unit.value, "d") and weeks_stated.value.isdecimal() and len(weeks_stated.value) < 6:
                weeks_stated = replace(weeks_stated, value=str(int(weeks_stated.value) // 7))
            elif unit.value and not same_unit(unit.value, "wk"):  # without a unit they are weeks, as the code itself says
                self._find("HL7_UNIT", unit.spot)
            weeks.append(weeks_stated)
        return self._agreeing(weeks)

    def _observed_unit(self, row: Segment) -> Datum:
        code, words = self._concept("observation_unit", row, 6)
        self._same_words("observation_unit", code, words)
        return code

    def _of_today(self, rows: Sequence[Segment]) -> None:
        """Pregnancy and lactation change: what was seen on another day is not what is."""
        for row in rows:
            if row.datum(14).value[:8] not in ("", self._day):
                self._find("HL7_NOT_SUPPORTED", row.datum(14).spot)

    def _readings(self) -> list[ReadingDraft]:
        """Systolic and diastolic of one time and OBX-4 are one reading."""
        readings: dict[tuple[str, str, str], list[Segment]] = {}
        for code in READINGS:
            for row in self._counted(self._message, code):
                name = PRESSURE if code in (SYSTOLIC, DIASTOLIC) else code
                readings.setdefault((name, row.datum(14).value, row.datum(4).value), []).append(row)
        drafts = []
        for (name, _, _), rows in readings.items():
            at = timestamp(rows[0].datum(14))
            parts = [(row.datum(3), row.datum(5), self._observed_unit(row)) for row in rows]
            if name == PRESSURE:
                drafts.append(ReadingDraft(replace(parts[0][0], value=PRESSURE), at, parts=parts))
                continue
            drafts.append(ReadingDraft(parts[0][0], at, self._agreeing([value for _, value, _ in parts]),
                                       self._agreeing([unit for _, _, unit in parts])))
        return drafts
