"""The patient and the guardian: their numbers, days of birth, where they are reached, and allergies."""

import re
from collections.abc import Iterator
from datetime import date

from domain import allergies
from fhir_profiles import codes
from fhir_profiles.current import current_address, current_phone
from fhir_profiles.invariants import resident_id
from fhir_profiles.message import day, extended, member, members, number, text
from fhir_profiles.rules import Entry, Message, Places, resident_id_of, rule

OF_AGE = 18
"""Years."""
_PHONE = re.compile(r"\+?[0-9][0-9 -]{4,18}[0-9]")


def valid_resident_id(value: str) -> bool:
    """Whether it is a resident id number with its check character and a birth date the calendar has (GB 11643)."""
    return resident_id(value) and day(f"{value[6:10]}-{value[10:12]}-{value[12:14]}") is not None


@rule("BIRTH_DATE")
def birth_after_issue(message: Message) -> Places:
    for patient in message.all("Patient"):
        born = day(member(patient.resource, "birthDate"))
        if born and message.issued_on and born > message.issued_on:
            yield f"{patient.path}.birthDate"


@rule("ID_NUMBER")
def birth_date_invalid(message: Message) -> Places:
    """The check character is the profile's; that the calendar has the birth date in the number is said here."""
    for kind in ("Patient", "RelatedPerson"):
        for person in message.all(kind):
            value = resident_id_of(person.resource)
            if resident_id(value) and not valid_resident_id(value):
                yield f"{person.path}.identifier"


@rule("BIRTH_DATE_MISMATCH")
def birth_date_mismatch(message: Message) -> Places:
    for patient in message.all("Patient"):
        value, born = resident_id_of(patient.resource), day(member(patient.resource, "birthDate"))
        if valid_resident_id(value) and born and f"{born:%Y%m%d}" != value[6:14]:
            yield f"{patient.path}.birthDate"


@rule("GENDER_MISMATCH")
def sex_mismatch(message: Message) -> Places:
    for patient in message.all("Patient"):
        value, gender = resident_id_of(patient.resource), member(patient.resource, "gender")
        if valid_resident_id(value) and gender in ("male", "female") and (gender == "male") != bool(int(value[16]) % 2):
            yield f"{patient.path}.gender"


@rule("HOME_PHONE")
def home_phone_missing(message: Message) -> Places:
    for patient in message.all("Patient") if _goes_home(message) else []:
        phone = current_phone(patient.resource, message.issued_on)
        if not _PHONE.fullmatch(text(phone, "value")) and (phone or not members(patient.resource, "telecom")):
            yield f"{patient.path}.telecom"


@rule("HOME_ADDRESS")
def home_address_missing(message: Message) -> Places:
    for patient in message.all("Patient") if _goes_home(message) else []:
        address = current_address(patient.resource, message.issued_on)
        if not text(address, "text") and (address or not members(patient.resource, "address")):
            yield f"{patient.path}.address"


@rule("GUARDIAN")
def guardian_invalid(message: Message) -> Places:
    """A-12, A-13: a guardian is another person than the patient, and the patient is a minor."""
    for guardian in message.all("RelatedPerson"):
        for patient in message.all("Patient"):
            same = resident_id_of(guardian.resource) == resident_id_of(patient.resource) != ""
            born, on = day(member(patient.resource, "birthDate")), message.issued_on
            if same or (born and on and _years(born, on) >= OF_AGE):
                yield guardian.path


@rule("ALLERGIES_DISAGREE")
def allergies_disagree(message: Message) -> Places:
    """B-35: saying that none are known is another thing than saying nothing."""
    for patient in message.all("Patient"):
        none_known = extended(patient.resource, "no-known-allergies", "valueBoolean")
        named = any(extended(patient.resource, name, value) is not None
                    for name, value in (("allergy-group", "valueCode"), ("allergy-text", "valueString")))
        if isinstance(none_known, bool) and none_known == named:
            yield f"{patient.path}.extension('{codes.extension('no-known-allergies')}')"


@rule("ALLERGIES_DISAGREE")
def allergy_text_beside_none_known(message: Message) -> Places:
    """B-35: an allergy in a note counts like any other."""
    if not any(extended(patient.resource, "no-known-allergies", "valueBoolean") is True for patient in message.all("Patient")):
        return
    for item in message.items:
        for path, words in _words(item):
            if allergies.stated(words):
                yield path


@rule("PREGNANT_MAN")
def pregnant_male(message: Message) -> Places:
    for patient in message.all("Patient"):
        if member(patient.resource, "gender") != "male":
            continue
        weeks = number(extended(patient.resource, "pregnancy-weeks", "valueInteger"))
        if weeks is not None and weeks > 0:
            yield f"{patient.path}.extension('{codes.extension('pregnancy-weeks')}')"
        if extended(patient.resource, "lactating", "valueBoolean") is True:
            yield f"{patient.path}.extension('{codes.extension('lactating')}')"


def _goes_home(message: Message) -> bool:
    return any(extended(item.resource, "handover", "valueCode") == "home" for item in message.items)


def _words(item: Entry) -> Iterator[tuple[str, str]]:
    """What the prescriber wrote freely to an item, and to the whole prescription, with its place."""
    note = extended(item.resource, "prescription-note", "valueString")
    yield f"{item.path}.extension('{codes.extension('prescription-note')}')", note if isinstance(note, str) else ""
    yield from ((f"{item.path}.note[{index}].text", text(note, "text"))
                for index, note in enumerate(members(item.resource, "note")))
    for name in ("text", "patientInstruction"):
        yield f"{item.path}.dosageInstruction[0].{name}", text(item.resource, "dosageInstruction", name)


def _years(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))
