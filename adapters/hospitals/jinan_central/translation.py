"""Their fields and ours: which segment says what in a prescription.

Every part of a field that says something is read, or in `LEFT_OUT`, or a finding: the segments remember what was read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2_segments import (
    Group,
    Parsed,
    Segment,
    date,
    finding,
    timestamp,
)
from adapters.mapping import CodeMap, Codes
from adapters.messages import Unmapped
from domain import allergies
from domain.findings import Finding, Spot
from domain.units import factor, same_unit
from fhir_profiles.drafts import (
    NOTHING,
    CancelDraft,
    Datum,
    DecoctionDraft,
    DiagnosisDraft,
    Draft,
    GuardianDraft,
    ItemDraft,
    PatientDraft,
    ReadingDraft,
    SignatureDraft,
)
from fhir_profiles.drafts import number as number_of


@dataclass(frozen=True)
class Detail:
    """Numbers of the fields of a drug segment."""

    drug: int
    dose: int
    dose_unit: int
    special: int
    """What the pharmacy must do."""
    usage: int
    """How to take it."""
    quantity: int
    unit: int
    strength: int
    strength_unit: int
    indication: int
    kind: int


DETAILS: Final[Mapping[str, Detail]] = {
    "RXE": Detail(2, 3, 5, 21, 7, 10, 11, 25, 26, 27, 31), "RXO": Detail(1, 2, 4, 6, 7, 11, 12, 18, 19, 20, 24)}
PACK_SIZE, PACK_UNIT = 28, 29
"""Of RXE; RXO has no such fields."""

_ABSENT = "Absent means the agreed table; another one is refused."
_COMPARED = "Words beside a code: compared with its agreed name."
_CODED: Final = (
    "RXE-5", "RXE-11", "RXE-26", "RXE-29", "RXE-31", "RXO-4", "RXO-12", "RXO-19", "RXO-24", "RXR-1", "OBX-3", "OBX-5", "OBX-6",
    "ORC-16", "AL1-2", "AL1-4", "IAM-2", "IAM-4", "NK1-3", "NK1-7", "NTE-4")
_CODED_AND_NAMED: Final = ("RXE-2", "RXE-21", "RXE-27", "RXO-1", "RXO-6", "RXO-20", "DG1-3", "AL1-3", "IAM-3", "ORC-17")
"""The words beside these codes are carried."""

LEFT_OUT: Final[Mapping[str, str]] = {
    **hl7v2.LEFT_OUT,
    "PID-3[PI]": "The hospital's own number of the patient; the resident number says who it is.",
    "PID-5[L^A]": "A name in letters beside the one in characters, which counts.",
    "PID-11[BA]": "An address that is not in use, beside the one that counts.",
    "PID-13[PRN^PH]": "A further number beside the mobile phone that is called.",
    "PID-13.3": "Whether it is a mobile or a fixed phone; what cannot be called is refused.",
    "PID-13[NET^Internet]": "An electronic address beside the phone that is called.",
    "PID-14": "A number at work beside that of PID-13, which is called; where it stands alone, it is read.",
    "PV1-3": "The room; the department is ORC-17.",
    "IN1-2.2": "What the hospital calls the insurance; the code counts.",
    "OBX-4": "Which observations belong together, or correct one another; it says nothing more.",
    "IAM-7": "The hospital's number of the entry.",
    "DG1-6": "Admitting or final, both are diagnoses; a working one is refused.",
    "ORC-2": "The hospital's number of the line: kept in the archived message; no two may be the same.",
    "ORC-12.2": "The prescriber's name; the national code counts.",
    "ORC-12.3": "The prescriber's name; the national code counts.",
}
"""Places whose content is not kept, and why: those of the dialect, and of this hospital. `PID-5[L^A]` is one of several
repetitions, identified by its type. Every other part that is filled in is read, or a finding.
"""

ABSENT: Final[Mapping[str, str]] = {
    **hl7v2.ABSENT,
    **dict.fromkeys(("PID-3.4", "PID-3[NI].4", "NK1-33.4"), "Absent means the police (GAB); another authority is refused."),
    **dict.fromkeys(("PID-11.6", "PID-11[H].6"), "Absent means this country; another is refused."),
    **dict.fromkeys(("PID-11.7", "PID-11[H].7"), "Where one address is in use, it counts whatever its use."),
    **dict.fromkeys(
        ("PID-13.2", "PID-13[PRN^CP].2", "PID-13[PRN^CP].3"), "Where one number can be called, it counts."),
    **dict.fromkeys(("PID-5.7", "PID-5.8", "PID-5[L^I].7", "PID-5[L^I].8", "NK1-2.7"),
                    "A name of no kind is the legal one, in characters."),
    "PV1-10": "Repeats ORC-17; another department is refused.",
    "IN1-2.3": _ABSENT,
    "IN1-3.4": _ABSENT,
    "AL1-2": "Every allergen counts, whatever its type; a type other than drug is kept with the words.",
    "IAM-2": "Every allergen counts, whatever its type; a type other than drug is kept with the words.",
    "AL1-3.1": "Where the words are those for none known, they say it alone; any other words are kept.",
    **dict.fromkeys(("AL1-3.2", "IAM-3.2"), "The code says it; words that say something else are kept."),
    "NK1-7": "Absent means the guardian; another role is refused.",
    "NTE-2": "Absent means the prescriber; another author is refused.",
    "NTE-4": "A note of no kind is a remark (RE); of any other kind it is read by its kind.",
    "ORC-4.2": "Absent means the sender; another is refused.",
    "ORC-21.2": "Absent means the legal name; another is refused.",
    "RXE-15": "Repeats ORC-4; another number is refused.",
    "TQ1-2": "Absent means one dose at a time, as RXE-3 says it; another number is refused.",
    "TQ1-3.1.2": _COMPARED,
    "TQ1-3.1.3": _ABSENT,
    "TQ1-7": "Absent means the day of issue; another, or a time of that day, is refused.",
    "TQ1-9": "Absent means routine; another priority is refused.",
    **{f"{field}.2": _COMPARED for field in _CODED},
    **{f"{field}.3": _ABSENT for field in (*_CODED, *_CODED_AND_NAMED)},
}
"""Places that are read or compared, and whose absence alone changes nothing, and why."""


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

SYSTOLIC, DIASTOLIC, PRESSURE = "8480-6", "8462-4", "85354-9"
READINGS: Final = (SYSTOLIC, DIASTOLIC, "8867-4", "15074-8", "29463-7", "59408-5")
"""LOINC of values measured at home."""
_LOINC: Final = re.compile(r"[0-9]+-[0-9]")
PENDING: Final = ("A", "B", "P", "R", "S", "U", "V")
"""OBX-11 of what is no result yet."""
UNSAID: Final = ("I", "N", "O", "X")
"""OBX-11 of what has no result."""

Parts = Sequence[tuple[int, int]]
CONCEPT: Final[Parts] = ((1, 1), (2, 1), (3, 1))
"""Code, words and table of a CE field, as component and subcomponent."""
INSIDE: Final[Parts] = ((1, 1), (1, 2), (1, 3))
"""The same within the first component."""


class Translation:
    """One message of theirs; what it leaves `unmapped` makes it wait, what goes into the message's findings refuses it."""

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

    def findings(self) -> tuple[Finding, ...]:
        """Findings about the translated message that the Bundle cannot show."""
        cancel = hl7v2.cancels(self._message)
        left_out = {**LEFT_OUT, **hl7v2.LEFT_OUT_OF_CANCELS} if cancel else LEFT_OUT
        return hl7v2.in_order([*self._message.findings, *hl7v2.passed_over(self._message, left_out)])

    def prescription(self) -> Draft:
        message = self._message
        header, visit, insurance, rx = (message.first(name) for name in ("MSH", "PV1", "IN1", "ZRX"))
        order = message.orders[0].first("ORC")
        department, department_name = self._department(order, visit)
        self._expect(order.datum(21, 2), "L")
        orders = [it for it in message.orders if it.all(self._detail)]
        items = [self._item(it) for it in orders]
        if 14 in rx.filled and not any(it.kind.value == "tcm_piece" for it in items):
            self._find("HL7_CONTRADICTION", rx.datum(14).spot)
        for each in message.all("OBX"):
            if each.datum(3).value not in {*READINGS, *(self._facts[it] for it in (
                    "pregnancy_weeks", "lactating", "skin_test", "skin_test_exemption", "approval"))}:
                self._find("HL7_NOT_READ", each.datum(3).spot)
                each.leave_out()
        return Draft(
            hospital=self._hospital,
            key=header.datum(10),
            number=self._number(order, 4),
            sent=timestamp(header.datum(7)),
            issued=timestamp(order.datum(9)),
            valid_until=timestamp(rx.datum(3)),
            rx_kind=self._word("rx_kind", rx.datum(1)),
            handover=self._word("handover", rx.datum(2)),
            patient=self._patient(),
            physician=order.datum(12),
            physician_name=_joined(order, 12, 2, 3),
            institution=order.datum(21, 10),
            institution_name=order.datum(21),
            visit_class=self._word("visit", visit.datum(2)),
            visit_type=self._word("revisit", visit.datum(13)),
            insutype=self._insurance(insurance),
            insured_place=insurance.datum(3),
            diagnoses=self._diagnoses(orders),
            items=items,
            chronic_disease=insurance.datum(35),
            proof_issued=date(rx.datum(4)),
            proof_diagnoses=[rx.datum(5, repetition=it) for it in rx.repetitions(5)],
            independent_years=rx.datum(6),
            extend_reason=rx.datum(7),
            long_term_assessed=self._word("flag", rx.datum(8)),
            patient_acknowledged=self._word("flag", rx.datum(9)),
            valid_reason=rx.datum(12),
            note=_together(self._notes(message.head).get("", [])),
            department=department,
            department_name=department_name,
            title=self._codes.ours("title", order.datum(12, 21)),
            visit_number=visit.datum(19),
            decoction=DecoctionDraft(rx.datum(14), self._word("decoction", rx.datum(14, 2)), rx.datum(14, 3))
            if 14 in rx.filled else None,
            renewal_first=rx.datum(13),
            renewal_start=date(rx.datum(13, 2)),
            renewal_end=date(rx.datum(13, 3)),
            readings=self._readings(),
            signature=SignatureDraft(timestamp(rx.datum(15)), rx.datum(15, 2)) if 15 in rx.filled else None,
        )

    def cancel(self) -> CancelDraft:
        header, order = self._message.first("MSH"), self._message.first("ORC")
        for each in self._message.all("ORC"):
            self._number(each, 2)
        return CancelDraft(self._hospital, header.datum(10), self._number(order, 4), self._coded_word("reason", order, 16),
                           timestamp(order.datum(9)))

    # The visit.

    def _department(self, order: Segment, visit: Segment) -> tuple[Datum, Datum]:
        code, name = self._concept("department", order, 17)
        service = visit.datum(10)
        if code.value and service.value not in ("", code.value):
            self._find("HL7_CONTRADICTION", service.spot)
        return (code if code.value else service), name

    def _insurance(self, insurance: Segment) -> Datum:
        if insurance.datum(3, 4).value not in ("", self._facts["system.insured_place"]):
            self._find("HL7_CODE_SYSTEM", insurance.datum(3, 4).spot)
        return self._concept("insutype", insurance, 2)[0]

    def _diagnoses(self, orders: Sequence[Group]) -> list[DiagnosisDraft]:
        """What all the drugs are given for, and DG1 where they send it, which v2.5.1 does not have here."""
        general = self._general_diagnoses()
        indications: list[tuple[Datum, Datum]] = []
        for order in orders:
            detail = order.first(self._detail)
            field = DETAILS[self._detail].indication
            stated = [self._concept("diagnosis", detail, field, repetition=it) for it in detail.repetitions(field)]
            if not stated and not general:
                # Each drug says what it is for: what stands here is refused as a diagnosis that is missing.
                indications.append((Datum("", detail.spot(field)), NOTHING))
            indications += stated
        named: dict[str, tuple[Datum, Datum]] = {}
        for code, name in (*general, *indications):
            first = named.setdefault(code.value, (code, name))
            if first[1].value != name.value:
                self._find("HL7_CONTRADICTION", name.spot)
            elif general and code.value not in {it.value for it, _ in general}:
                self._find("HL7_CONTRADICTION", code.spot)
        return [DiagnosisDraft(self._codes.ours("diagnosis", code, name.value), name) for code, name in named.values()]

    def _general_diagnoses(self) -> list[tuple[Datum, Datum]]:
        kept: list[tuple[Datum, Datum]] = []
        deleted: set[str] = set()
        for row in self._message.all("DG1"):
            action, code = row.datum(21), row.datum(3)
            self._expect(action, "A", "U", "X", "D")
            if action.value == "D":
                deleted.add(code.value)
                row.leave_out()
                continue
            if row.datum(6).value == "W":
                self._find("HL7_NOT_FINAL", row.datum(6).spot)
            else:
                self._expect(row.datum(6), "A", "F")
            kept.append(self._concept("diagnosis", row, 3))
        for code, _ in kept:
            if code.value in deleted:
                self._find("HL7_CONTRADICTION", code.spot)
        return kept

    # The patient.

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
                names.append((rank, repetition, _joined(segment, number, 1, 2, repetition=repetition)))
        return self._current(segment, number, names)

    def _address(self, person: Segment) -> tuple[Datum, Datum]:
        """Address and division; the largest unit first, as addresses are written here."""
        addresses = []
        for repetition in person.repetitions(11):
            use = person.datum(11, 7, repetition=repetition)
            if use.value in ADDRESS_USES and self._in_force(person, 11, repetition, 13, 14):
                address = _joined(person, 11, 4, 3, 1, 2, repetition=repetition)
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

    def _only(self, data: Sequence[Datum]) -> Datum | None:
        """The one that all of them are."""
        for other in data[1:]:
            if other.value != data[0].value:
                self._find("HL7_SEVERAL", other.spot)
        return data[0] if data else None

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

    # Observations.

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

    # The drugs.

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
            usage=_together([*usage, *notes.get("PI", [])]) if usage or notes.get("PI") else detail.datum(at.usage, 2),
            overdose_reason=_together(notes.get(self._facts["overdose_note"], [])),
            note=_together([*remarks, *notes.get("", [])]),
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

    # Codes and words.

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


_WORDS_COUNT_ALONE: Final = ("allergy", "allergy_type", "severity", "sensitivity", "allergy_status", "mark", "diagnosis", "drug")
"""Tables where words without a code are carried, or refused as a code that is missing."""


def _together(data: Sequence[Datum]) -> Datum:
    """Several texts as one."""
    filled = [it for it in data if it.value]
    return replace(filled[0], value="；".join(it.value for it in filled)) if filled else NOTHING


def _joined(segment: Segment, field: int, *components: int, repetition: int = 1) -> Datum:
    parts = [segment.datum(field, it, repetition=repetition) for it in components]
    spot = next((part.spot for part in parts if part.value), parts[0].spot)
    return Datum("".join(part.value for part in parts), spot)
