"""Which field says what, which say nothing that is kept, and which may be absent without a change of meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapters.dialects import hl7v2


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
