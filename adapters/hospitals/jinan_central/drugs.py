"""What is prescribed: RXE or RXO with their TQ1, RXR and NTE."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2_segments import Group, Segment, timestamp
from adapters.hospitals.jinan_central.fields import DETAILS, PACK_SIZE, PACK_UNIT, Detail
from adapters.hospitals.jinan_central.observations import Observations
from adapters.hospitals.jinan_central.words import INSIDE, together
from domain.units import factor
from fhir_profiles.bundles import number as number_of
from fhir_profiles.drafts import NOTHING, Datum, ItemDraft


class Drugs(Observations):
    """An order of the message as an item."""

    def _item(self, order: Group) -> ItemDraft:
        group = hl7v2.after(order, self._detail)
        detail, timing, route = order.first(self._detail), group.first("TQ1"), group.first("RXR")
        at = DETAILS[self._detail]
        if self._detail == "RXE" and detail.datum(15).value not in ("", order.first("ORC").datum(4).value):
            self._find("HL7_CONTRADICTION", detail.datum(15).spot)
        code, name = self._concept("drug", detail, at.drug)
        drug = self._codes.ours("drug", code, name.value)
        dose_unit, unit = self._code("unit", detail, at.dose_unit), self._code("unit", detail, at.unit)
        mark, remarks = self._special(detail, at.special)
        notes = self._notes(order)
        usage = [detail.datum(at.usage, 2, repetition=it) for it in detail.repetitions(at.usage)]
        test, exemption, approval = (self._counted(order, self._facts[it])
                                     for it in ("skin_test", "skin_test_exemption", "approval"))
        return ItemDraft(
            number=self._number(order.first("ORC"), 2),
            drug=drug,
            name=name,
            kind=self._coded_word("kind", detail, at.kind),
            dose=detail.datum(at.dose),
            dose_unit=dose_unit,
            frequency=self._code("frequency", timing, 3, INSIDE),
            route=self._code("route", route, 1),
            quantity=detail.datum(at.quantity),
            unit=unit,
            days=self._days(timing),
            usage=together([*usage, *notes.get("PI", [])]) if usage or notes.get("PI") else detail.datum(at.usage, 2),
            overdose_reason=together(notes.get(self._facts["overdose_note"], [])),
            note=together([*remarks, *notes.get("", [])]),
            decoction_mark=mark,
            skin_test=self._agreeing([self._coded_word("skin_test", it, 5) for it in test]),
            skin_test_at=self._agreeing([timestamp(it.datum(14)) for it in test]),
            skin_test_exemption=self._agreeing([it.datum(5) for it in exemption]),
            approval=self._agreeing([self._coded_word("approval", it, 5) for it in approval]),
            strength=self._strength(detail, at, dose_unit),
            pack_size=self._pack_size(detail, unit) if self._detail == "RXE" else NOTHING,
        )

    def _special(self, detail: Segment, number: int) -> tuple[Datum, list[Datum]]:
        """The code for how a piece is decocted, and all other instructions to the pharmacy in words."""
        marks, remarks = [], []
        for repetition in detail.repetitions(number):
            code, words = self._concept("mark", detail, number, repetition=repetition)
            if code.value:
                marks.append(self._word("mark", code))
                self._same_words("mark", code, words)
            else:
                remarks.append(words)
        return self._only(marks) or NOTHING, remarks

    def _notes(self, group: Group) -> dict[str, list[Datum]]:
        """Kind of a note (NTE-4; empty for a plain one) -> what it says."""
        notes: dict[str, list[Datum]] = {}
        ordered = bool(group.all("ORC"))
        for row in group.all("NTE"):
            self._expect(row.datum(2), "P")
            kind, words = self._concept("note", row, 4)
            self._same_words("note", kind, words)
            kinds = (self._facts["overdose_note"], "PI") if ordered else ()
            self._expect(kind, "RE", "GI", "AI", *kinds)
            notes.setdefault(kind.value if kind.value in kinds else "", []).extend(
                row.datum(3, repetition=it) for it in row.repetitions(3))
        return notes

    def _days(self, timing: Segment) -> Datum:
        """TQ1-6 in days; what cannot be converted is left for the checker to refuse, never guessed at."""
        length, unit = timing.datum(6), timing.datum(6, 2)
        amount = number_of(length.value)
        days = None if isinstance(amount, str) else factor(unit.value, "d")
        if days is not None and (Fraction(amount) * days).denominator == 1:
            return replace(length, value=str(Fraction(amount) * days))
        return replace(length, value=f"{length.value} {unit.value}") if length.value else length

    def _strength(self, detail: Segment, at: Detail, dose_unit: Datum) -> Datum:
        """Content of one counted unit, in the unit of the dose."""
        strength, unit = detail.datum(at.strength), self._code("unit", detail, at.strength_unit)
        if bool(strength.value) != bool(unit.value):
            self._find("HL7_UNIT", (unit if strength.value else strength).spot)
        if not strength.value or not unit.value:
            return NOTHING
        amount = number_of(strength.value)
        if unit.value == dose_unit.value or isinstance(amount, str) or self.unmapped:
            return strength
        if (into := factor(unit.value, dose_unit.value)) is not None:
            exact = Fraction(amount) * into
            return replace(strength, value=f"{Decimal(exact.numerator) / Decimal(exact.denominator):f}")
        self._find("HL7_UNIT", unit.spot)
        return strength

    def _pack_size(self, detail: Segment, unit: Datum) -> Datum:
        size, of = detail.datum(PACK_SIZE), self._code("unit", detail, PACK_UNIT)
        if bool(size.value) != bool(of.value) or (of.value and of.value != unit.value):
            self._find("HL7_UNIT", (of if size.value else size).spot)
        return size
