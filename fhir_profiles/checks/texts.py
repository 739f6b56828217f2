"""One check of every text of a finished message, the same for all dialects: damage, invisible characters, length, persons."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from domain.privacy import personal
from fhir_profiles import codes
from fhir_profiles.message import fhirpath, member, members, text
from fhir_profiles.rules import CANCEL_RULES, Message, Places, rule

LENGTHS: Mapping[str, int] = {
    "Patient.name.text": 50,
    "RelatedPerson.name.text": 50,
    "Practitioner.name.text": 50,
    "Organization.name": 200,
    "Encounter.serviceType.text": 100,
    "Encounter.serviceType.coding.display": 100,
    "Condition.code.text": 100,
    "Condition.code.coding.display": 100,
    "MedicationRequest.medicationCodeableConcept.text": 200,
    "MedicationRequest.medicationCodeableConcept.coding.display": 200,
    "Patient.address.text": 200,
    "Patient.telecom.value": 50,
    "Provenance.signature.data": 100_000,
}
"""Path without indices -> the most characters that the partners behind us carry. National interface: 1101 psn_name, 2505
agnter_name, 2101 bilg_dr_name, 1201 fixmedins_name, 2201 dept_name, 2203A diag_name, 3501 fixmedins_hilist_name, 2503 addr, tel."""
LENGTH = 500
"""Of every other text; reasons and notes have it in their definitions."""

_LINES = frozenset({"MedicationRequest.note.text", *(f"MedicationRequest.{name}" for name in (
    "prescription-note", "extend-reason", "valid-reason", "overdose-reason"))})
"""Texts of several lines."""
_LENIENT = frozenset({"Provenance.signature.data"})
"""Base64 may be broken into lines."""
_FREE = ("MedicationRequest.note.*", "MedicationRequest.dosageInstruction.*", "MedicationRequest.prescription-note",
         "MedicationRequest.*-reason", "MedicationRequest.skin-test.*", "Patient.allergy-text")
"""Where a prescriber writes freely: a name there is one too many."""
_NAMES = ("*.display", "*.code.text", "*.medicationCodeableConcept.text", "*.serviceType.text")
"""Names of things: a person's number has no place in them, but a name of one may be part of them."""

_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
_DAMAGED = re.compile(f"[{_CONTROL}\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\ufffb\ufffd-\uffff"
                      "\U000f0000-\U0010ffff]"
                      "|[" + "".join(chr(plane << 16 | 0xfffe) + chr(plane << 16 | 0xffff) for plane in range(1, 15)) + "]")
"""Controls, halves of pairs, private use, noncharacters, and what decoders put instead of what they could not read."""
_HIDDEN = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
                     "\u3164\ufeff\uffa0\U000e0000-\U000e007f]")
"""Zero width, direction, fillers and tags."""
_BREAK = re.compile("[\t\n\r\x85\u2028\u2029]")
_ODD_BREAK = re.compile("[\t\x85\u2028\u2029]")

CODES = frozenset({"TEXT_DAMAGED", "TEXT_HIDDEN", "TEXT_LINES", "TEXT_TOO_LONG"})
"""Of these rules nothing is said where the definitions find fault already."""

Found = tuple[str, str, str]
"""Place, path without indices, text."""


@rule("TEXT_DAMAGED", CANCEL_RULES)
@rule("TEXT_DAMAGED")
def damaged(message: Message) -> Places:
    return (place for place, path, said in message_texts(message) if _DAMAGED.search(said))


@rule("TEXT_HIDDEN", CANCEL_RULES)
@rule("TEXT_HIDDEN")
def hidden(message: Message) -> Places:
    return (place for place, path, said in message_texts(message) if _HIDDEN.search(said))


@rule("TEXT_LINES", CANCEL_RULES)
@rule("TEXT_LINES")
def several_lines(message: Message) -> Places:
    return (place for place, path, said in message_texts(message)
            if path not in _LENIENT and (_ODD_BREAK if path in _LINES else _BREAK).search(said))


@rule("TEXT_TOO_LONG", CANCEL_RULES)
@rule("TEXT_TOO_LONG")
def too_long(message: Message) -> Places:
    return (place for place, path, said in message_texts(message) if len(said) > LENGTHS.get(path, LENGTH))


@rule("TEXT_PERSONAL")
def about_a_person(message: Message) -> Places:
    """Prescriptions are stored without personal data, so a prescriber's free text must not name the patient."""
    names = ["".join(text(name, "text").split())
             for kind in ("Patient", "RelatedPerson") for person in message.all(kind)
             for name in members(person.resource, "name")]
    for place, path, words in message_texts(message):
        free = _any(path, _FREE)
        named = free and any(len(name) > 1 and name in "".join(words.split()) for name in names)
        if named or ((free or _any(path, _NAMES)) and personal(words)):
            yield place


def message_texts(message: Message) -> list[Found]:
    """Every text of the message except narratives, which are not read; collected once."""
    if message.texts is None:
        message.texts = [
            found for root, resource in message.resources()
            for found in _inside({name: value for name, value in resource.items() if name != "entry"}, root,
                                 str(resource.get("resourceType")))
            if not found[1].endswith(".text.div")]
    return message.texts


def _inside(node: Any, place: str, path: str) -> Iterator[Found]:
    if isinstance(node, str):
        yield place, path, node
    elif isinstance(node, dict):
        # An extension of ours goes by its name.
        ours = _extension(node)
        for name, value in node.items():
            yield from _inside(value, fhirpath(place, (name,)), (ours and path) or f"{path}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            here = path
            if name := _extension(value):
                here = f"{path.removesuffix('.extension')}.{name}"
            yield from _inside(value, fhirpath(place, (index,)), here)


def _extension(node: Any) -> str:
    url = member(node, "url") if isinstance(node, dict) else None
    return url.removeprefix(codes.extension("")) if isinstance(url, str) and len(url) < 200 else ""


@lru_cache(maxsize=4096)
def _any(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
