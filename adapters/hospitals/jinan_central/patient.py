"""Who the patient is: PID, NK1, and the allergies of AL1 and IAM."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from adapters.dialects.hl7v2_segments import Segment, date
from adapters.hospitals.jinan_central.observations import Observations
from adapters.hospitals.jinan_central.words import joined
from domain import allergies
from fhir_profiles.drafts import NOTHING, Datum, GuardianDraft, PatientDraft

NAME_TYPES: Final = ("L", "")
"""PID-5.7 of a legal name."""
WRITINGS: Final = ("I", "", "A", "P")
"""PID-5.8, what counts first: characters before letters."""
ADDRESS_USES: Final = ("C", "H", "M", "", "P", "L", "O", "B")
"""PID-11.7 of an address things can be sent to, what counts first: current, home, mailing, …; BA is a bad one."""
PHONE_USES: Final = ("PRS", "PRN", "", "ORN", "VHN", "WPN")
"""PID-13.2 of a number the patient answers, what counts first."""
PHONES: Final = ("CP", "", "PH")
"""PID-13.3 of a line that can be called, the best first."""


class Patient(Observations):
    """PID in its draft's words."""

    def _patient(self) -> PatientDraft:
        person, rx = self._message.first("PID"), self._message.first("ZRX")
        if person.datum(29).value:
            self._find("HL7_DECEASED", person.datum(29).spot)
        elif person.datum(30).value == "Y":
            self._find("HL7_DECEASED", person.datum(30).spot)
        self._expect(person.datum(30), "Y", "N")
        for repetition in person.repetitions(3):
            if person.datum(3, 5, repetition=repetition).value not in ("", self._facts["id_type"], self._facts["credential_type"]):
                person.leave_out(3, repetition)
        address, district = self._address(person)
        codes, words, none = self._allergies()
        return PatientDraft(
            id_number=self._identity(person, 3, self._facts["id_type"]),
            name=self._name(person, 5),
            gender=self._word("gender", person.datum(8)),
            birth_date=date(person.datum(7)),
            phone=self._phone(person),
            address=address,
            district=district,
            latitude=rx.datum(11),
            longitude=rx.datum(11, 2),
            allergies=codes,
            allergy_words=words,
            no_known_allergies=none,
            pregnancy_weeks=self._weeks(),
            lactating=self._lactating(),
            guardian_confirmed=self._word("flag", rx.datum(10)),
            credential=self._identity(person, 3, self._facts["credential_type"], optional=True),
            guardian=self._guardian(),
        )

    def _identity(self, segment: Segment, number: int, kind: str, *, optional: bool = False) -> Datum:
        """The number of a type; an empty one where its type, or it, should have stood."""
        numbers = []
        for repetition in segment.repetitions(number):
            if segment.seen(number, (repetition, 5, 1)).value == kind:
                numbers.append(segment.datum(number, repetition=repetition))
                segment.datum(number, 5, repetition=repetition)
                authority = segment.datum(number, 4, repetition=repetition)
                if not optional and authority.value not in ("", self._facts["id_authority"]):
                    self._find("HL7_CODE_SYSTEM", authority.spot)
        if numbers or optional:
            return self._only(numbers) or NOTHING
        if segment.repetitions(number):
            self._find("HL7_VALUE", segment.datum(number, 5).spot)
            segment.leave_out(number)
        return Datum("", segment.datum(number, 5 if segment.repetitions(number) else 1).spot)

    def _name(self, segment: Segment, number: int) -> Datum:
        names = []
        for repetition in segment.repetitions(number):
            kind, writing = segment.datum(number, 7, repetition=repetition), segment.datum(number, 8, repetition=repetition)
            if kind.value in NAME_TYPES and writing.value in WRITINGS and self._in_force(segment, number, repetition, 12, 13):
                rank = (WRITINGS.index(writing.value or "I"), NAME_TYPES.index(kind.value))
                names.append((rank, repetition, joined(segment, number, 1, 2, repetition=repetition)))
        return self._current(segment, number, names)

    def _address(self, person: Segment) -> tuple[Datum, Datum]:
        """Address and division; the largest unit first, as addresses are written here."""
        addresses = []
        for repetition in person.repetitions(11):
            use = person.datum(11, 7, repetition=repetition)
            if use.value in ADDRESS_USES and self._in_force(person, 11, repetition, 13, 14):
                address = joined(person, 11, 4, 3, 1, 2, repetition=repetition)
                addresses.append(((ADDRESS_USES.index(use.value),), repetition, address))
        address = self._current(person, 11, addresses)
        best = min((rank for rank, _, _ in addresses), default=())
        districts = [person.datum(11, 9, repetition=it) for rank, it, _ in addresses if rank == best]
        for country in [person.datum(11, 6, repetition=it) for rank, it, _ in addresses if rank == best]:
            self._expect(country, "CHN")
        return address, self._only(districts) or (NOTHING if person.repetitions(11) else person.datum(11, 9))

    def _phone(self, person: Segment) -> Datum:
        """The number that is reached first. Numbers at work count after all others."""
        candidates, numbers = [], [(field, it) for field in (13, 14) for it in person.repetitions(field)]
        for field, repetition in numbers:
            use, kind = person.datum(field, 2, repetition=repetition), person.datum(field, 3, repetition=repetition)
            preferred = person.datum(field, 18, repetition=repetition).value
            if use.value in PHONE_USES and kind.value in PHONES and self._in_force(person, field, repetition, 13, 14):
                rank = (int(preferred) if preferred.isdecimal() and len(preferred) < 4 else 1000, field,
                        PHONE_USES.index(use.value), PHONES.index(kind.value))
                candidates.append((rank, field, repetition))
        if not candidates:
            for field in (13, 14):
                person.leave_out(field)
            if numbers:
                self._find("HL7_NONE_CURRENT", person.spot(numbers[0][0]))
            return Datum("", person.spot(numbers[0][0] if numbers else 13))
        best = min(rank for rank, _, _ in candidates)
        chosen = [self._digits(person, field, it) for rank, field, it in candidates if rank == best]
        kept = {(field, it) for rank, field, it in candidates if rank == best}
        for field, repetition in numbers:
            if (field, repetition) not in kept:
                person.leave_out(field, repetition)
        return self._only(chosen) or NOTHING

    def _digits(self, person: Segment, field: int, repetition: int) -> Datum:
        """The number as it is dialled: whole, or area and local number."""
        whole, old = person.datum(field, 12, repetition=repetition), person.datum(field, 1, repetition=repetition)
        if whole.value and old.value not in ("", whole.value):
            self._find("HL7_CONTRADICTION", old.spot)
        if whole.value or old.value:
            return whole if whole.value else old
        country, area, local = (person.datum(field, it, repetition=repetition) for it in (5, 6, 7))
        self._expect(country, "86", "+86")
        return replace(local, value="-".join(it.value for it in (area, local) if it.value))

    def _in_force(self, segment: Segment, number: int, repetition: int, start: int, end: int) -> bool:
        """Whether a repetition is in use on the day of issue, by the days in two of its components."""
        first, last = (segment.datum(number, it, repetition=repetition) for it in (start, end))
        for each in (first, last):
            if each.value and not (each.value[:8].isdecimal() and len(each.value) >= 8):
                self._find("HL7_VALUE", each.spot)
                return True
        return not self._day or (first.value[:8] <= self._day and (not last.value or self._day <= last.value[:8]))

    def _current(self, segment: Segment, number: int, candidates: Sequence[tuple[tuple[int, ...], int, Datum]]) -> Datum:
        """The value that counts, by rank; the repetitions that do not count are left out."""
        filled = segment.repetitions(number)
        best = min((rank for rank, _, _ in candidates), default=())
        chosen = {it: said for rank, it, said in candidates if rank == best}
        for repetition in filled:
            if repetition not in chosen:
                segment.leave_out(number, repetition)
        if filled and not chosen:
            self._find("HL7_NONE_CURRENT", segment.spot(number))
            return Datum("", segment.spot(number))
        return self._only(list(chosen.values())) or segment.datum(number)

    def _guardian(self) -> GuardianDraft | None:
        guardians = []
        for row in self._message.all("NK1"):
            role, words = self._concept("role", row, 7)
            self._same_words("role", role, words)
            if role.value in ("", self._facts["guardian_role"]):
                guardians.append(row)
            else:
                self._find("HL7_NOT_READ", role.spot)
                row.leave_out()
        for extra in guardians[1:]:
            self._find("HL7_REPEATED", extra.spot())
            extra.leave_out()
        return next((GuardianDraft(self._name(row, 2), self._identity(row, 33, self._facts["id_type"]),
                                   self._coded_word("relation", row, 3)) for row in guardians), None)

    # Allergies.

    def _allergies(self) -> tuple[list[Datum], list[Datum], Datum]:
        """Those a code of ours stands for, those in words, and whether the hospital says that none are known.

        What no code says stands in the words: reaction, severity, type, and a name other than that of the code.
        """
        codes: dict[str, Datum] = {}
        words: list[Datum] = []
        none: list[Datum] = []
        deleted: set[str] = set()
        kept: list[tuple[str, Datum]] = []
        for row in (it for it in self._message.segments if it.name in ("AL1", "IAM")):
            code, name = self._concept("allergy", row, 3)
            if row.name == "IAM" and self._taken_back(row):
                deleted |= {code.value or name.value}
                row.leave_out()
                continue
            kept.append((code.value or name.value, code))
            ours = self._facts.get(f"allergy.{code.value}") if code.value else None
            if not code.value and allergies.none_known(name.value):
                ours = "none"
            agreed = self._facts.get(f"allergy_name.{code.value}", "")
            more = [*self._allergy_words(row)]
            if not code.value and not name.value:
                if more or '""' not in row.text:
                    self._find("HL7_ALLERGEN", row.spot(3))
                continue
            if ours == "none":
                none.append(code if code.value else name)
                if more or (code.value and name.value not in ("", agreed)):
                    self._find("HL7_CONTRADICTION", name.spot)
                continue
            if ours:
                codes.setdefault(ours, replace(code, value=ours))
            if more or not ours or name.value not in ("", agreed):
                shown = name.value or agreed or code.value
                if not ours and code.value and name.value:
                    shown += f"（{code.value}）"
                words.append(Datum("；".join([shown, *more]), (name if name.value else code).spot))
        contradicted = [each for allergen, each in kept if allergen in deleted - {""}] + (none if codes or words else [])
        for each in contradicted:
            self._find("HL7_CONTRADICTION", each.spot)
        return list(codes.values()), words, (replace(none[0], value="true") if none else NOTHING)

    def _taken_back(self, row: Segment) -> bool:
        action, status = row.datum(6), row.datum(17)
        if action.value not in ("A", "U", "X", "D"):
            self._find("HL7_VALUE", action.spot)
        return action.value == "D" or status.value == "E"

    def _allergy_words(self, row: Segment) -> Iterator[str]:
        """What is said of an allergy beyond its name: other types than drug, severity, reactions, kind and doubt."""
        for label, table, number in (("类型", "allergy_type", 2), ("程度", "severity", 4), ("性质", "sensitivity", 9),
                                     ("状态", "allergy_status", 17)):
            if number < 9 or row.name == "IAM":
                code, name = self._concept(table, row, number)
                shown = self._facts.get(f"{table}_name.{code.value}", "") or name.value or code.value
                if shown and shown != "-":
                    yield f"{label}：{shown}"
        if reactions := [row.datum(5, repetition=it).value for it in row.repetitions(5)]:
            yield "反应：" + "、".join(reactions)
