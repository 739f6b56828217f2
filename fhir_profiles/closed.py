"""Which elements of a message are read, and which are knowingly left out; every other element is refused, never ignored.

FHIR lets a sender fill in any element of a type. A profile forbids some; this list closes the rest. So nothing about a
patient, an allergy, a drug, a dose, a time or an order is lost between the sender and the pharmacist.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from fhir_profiles import codes
from fhir_profiles.message import Json, member

_PERIOD = "period(start end)"
_CONCEPT = "coding(system code display) text"
_QUANTITY = "(value unit system code)"
_RESOURCES = ("Bundle", "Task", "Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization", "Encounter",
              "Condition", "Coverage", "MedicationRequest", "Observation", "Provenance")

_READ = f"""
Bundle type timestamp identifier(system value) entry(fullUrl resource)
Task status intent identifier(system value) code({_CONCEPT}) focus(identifier(system value)) reasonCode({_CONCEPT}) authoredOn
Patient active deceasedBoolean gender birthDate identifier(system value use {_PERIOD})
    name(use text family given {_PERIOD}) telecom(system value use rank {_PERIOD}) address(use type text district {_PERIOD})
RelatedPerson active patient(reference type) identifier(system value use {_PERIOD}) name(use text family given {_PERIOD})
    relationship({_CONCEPT})
Practitioner active identifier(system value)
PractitionerRole active practitioner(reference type) organization(reference type) code({_CONCEPT})
Organization active identifier(system value)
Encounter status class(system code display) type({_CONCEPT}) serviceType({_CONCEPT}) subject(reference type)
    identifier(system value) {_PERIOD}
Condition clinicalStatus({_CONCEPT}) verificationStatus({_CONCEPT}) code({_CONCEPT}) subject(reference type)
    encounter(reference type)
Coverage status type({_CONCEPT}) beneficiary(reference type)
MedicationRequest status intent doNotPerform groupIdentifier(system value) identifier(system value) category({_CONCEPT})
    medicationCodeableConcept({_CONCEPT}) subject(reference type) encounter(reference type) requester(reference type)
    reasonReference(reference type) insurance(reference type) authoredOn courseOfTherapyType({_CONCEPT}) note(text)
    dosageInstruction(text patientInstruction additionalInstruction(text) site(text) method(text) timing(code({_CONCEPT}))
        route({_CONCEPT}) doseAndRate(doseQuantity{_QUANTITY}))
    dispenseRequest(validityPeriod(start end) numberOfRepeatsAllowed quantity{_QUANTITY} expectedSupplyDuration{_QUANTITY})
    substitution(allowedBoolean)
Observation status code({_CONCEPT}) subject(reference type) effectiveDateTime valueQuantity{_QUANTITY}
    component(code({_CONCEPT}) valueQuantity{_QUANTITY})
Provenance target(reference type) agent(who(reference type))
    signature(type(system code) when who(reference type) data)
"""
"""By resource: the elements that are read or compared. Extensions are closed by the definitions themselves."""

SYSTEMS: Mapping[str, frozenset[str]] = {path: frozenset(systems) for path, systems in {
    "Patient.identifier": (codes.RESIDENT_ID, codes.sid("insurance-credential")),
    "Patient.telecom": ("phone",),
    "RelatedPerson.identifier": (codes.RESIDENT_ID,),
    "RelatedPerson.relationship.coding": (codes.code_system("guardianship"),),
    "Practitioner.identifier": (codes.sid("physician"),),
    "PractitionerRole.code.coding": (codes.code_system("title"),),
    "Organization.identifier": (codes.sid("institution"),),
    "Encounter.type.coding": (codes.code_system("visit-type"),),
    "Encounter.serviceType.coding": (codes.code_system("department"),),
    "Condition.clinicalStatus.coding": (codes.CLINICAL_STATUS,),
    "Condition.verificationStatus.coding": (codes.VERIFICATION_STATUS,),
    "Condition.code.coding": (codes.ICD10, codes.code_system("chronic-disease")),
    "Coverage.type.coding": (codes.code_system("insutype"),),
    "MedicationRequest.category.coding": (codes.code_system("drug-kind"),),
    "MedicationRequest.medicationCodeableConcept.coding": (codes.code_system("drug"),),
    "MedicationRequest.courseOfTherapyType.coding": (codes.code_system("prescription-kind"),),
    "MedicationRequest.dosageInstruction.timing.code.coding": (codes.code_system("frequency"),),
    "MedicationRequest.dosageInstruction.route.coding": (codes.code_system("route"),),
    "Observation.code.coding": (codes.LOINC,),
    "Observation.component.code.coding": (codes.LOINC,),
    "Provenance.signature.type": (codes.SIGNATURE_TYPE,),
    "Task.code.coding": (codes.code_system("task"),),
    "Task.reasonCode.coding": (codes.code_system("cancel-reason"),),
}.items()}
"""Of a list in which others may stand beside ours: the systems that are read."""

LEFT_OUT: Mapping[str, str] = {
    "*.id": "a name within the sender's own system; references go by fullUrl",
    "*.meta.versionId": "a version in the sender's own system; the message counts as it came",
    "*.meta.lastUpdated": "when the sender's own system stored it",
    "*.meta.source": "where the sender's own system had it from",
    "*.meta.profile": "every message is checked against our profiles; only a version of ours is looked at",
    "*.language": "the language of the texts; they are shown as they are",
    **{f"{resource}.text": "a narrative that its sender generated from the same elements; any other one is refused"
       for resource in _RESOURCES if resource != "Bundle"},
    "Bundle.timestamp": "when the message was sent: times within it are compared with it, the prescription has its own",
    "Bundle.entry.fullUrl": "names an entry for the references to it, which must all lead somewhere",
    "Encounter.class.display": "the words for its code",
    "Encounter.status": "whether the visit goes on or is over: either way it took place, and any other status is refused",
    "Condition.clinicalStatus": "whether it is there for the first time or again: one that is over is refused",
    "Practitioner.name": "the national code says who prescribes; people look the name up in the register",
    "Organization.name": "the national code says which hospital it is",
    "Coverage.payor": "who pays follows from the insurance type and the insured place",
    "Coverage.period": "only that it holds the day of issue is checked; the fund itself says who is insured",
    "Observation.category": "follows from the code of the reading",
    "Provenance.recorded": "when the signature was stored; when it was given is read",
    "Provenance.signature.type.display": "the words for its code",
    "Provenance.signature.sigFormat": "nothing verifies a signature yet; its bytes stay in the archived message",
    "Provenance.signature.targetFormat": "nothing verifies a signature yet; its bytes stay in the archived message",
}
"""Path pattern (no indices; `*` is anything) -> why what stands there is not kept."""
ABSENT: Mapping[str, str] = {
    "Condition.encounter": "absent means the visit of the message, which has one; any other reference is refused",
    "MedicationRequest.insurance": "absent means the insurance of the message, which has one; any other reference is refused",
    "MedicationRequest.dispenseRequest.expectedSupplyDuration.unit": "words for the code, which counts; other words are refused",
}
"""Paths that are read or compared, and whose absence alone changes nothing -> why."""

_NARRATIVES = frozenset({"generated", "empty"})
_TOKEN = re.compile(r"(\w+)|([()])")

Tree = dict[str, Any]
Path = tuple[str | int, ...]


def left_out(path: str) -> str:
    """Why an element is not kept; empty if it is. `path` is without indices, as in `Patient.meta.source`."""
    return next((why for pattern, why in LEFT_OUT.items() if fnmatchcase(path, pattern)), "")


def unread(resource: Json) -> Iterator[Path]:
    """Every element of a resource that is not read, the outermost of each; nothing for a type we do not take."""
    kind = str(resource.get("resourceType"))
    if kind in _TREES:
        yield from _unread(resource, _TREES[kind], kind, ())
        # Only what is generated repeats the elements; any other narrative may say more.
        if isinstance(resource.get("text"), dict) and member(resource, "text", "status") not in _NARRATIVES:
            yield ("text",)


def _unread(node: Json, tree: Tree, path: str, names: Path) -> Iterator[Path]:
    for name, value in node.items():
        if name in _ELSEWHERE or (_CHOICE.fullmatch(name) and name not in tree):
            continue
        inner, here = tree.get(name.removeprefix("_")), (*names, name)
        if inner is None:
            yield here
        elif name.startswith("_") or not inner:
            continue
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _item(item, inner, f"{path}.{name}", (*here, index))
        elif isinstance(value, dict):
            yield from _unread(value, inner, f"{path}.{name}", here)


def _item(item: Json, tree: Tree, path: str, names: Path) -> Iterator[Path]:
    systems = SYSTEMS.get(path)
    if systems is not None and str(item.get("system")) not in systems:
        yield names
    else:
        yield from _unread(item, tree, path, names)


_ELSEWHERE = frozenset({"resourceType", "extension", "modifierExtension"})
"""What the definitions close."""
_CHOICE = re.compile("(medication|deceased|dose|value|effective)[A-Z][A-Za-z]*")
"""Of these choices the definitions leave one form, and refuse the others."""


def _tree(text: str) -> Tree:
    """`a b(c d)` as nested names; what is left out is in it too, with nothing below."""
    root: Tree = {}
    around, last = [root], root
    for name, bracket in _TOKEN.findall(text):
        if bracket == "(":
            around.append(last)
        elif bracket == ")":
            around.pop()
        else:
            last = around[-1].setdefault(name, {})
    return root


def _with_left_out(tree: Tree, path: str) -> Tree:
    for name, inner in tree.items():
        if inner:
            _with_left_out(inner, f"{path}.{name}")
    for pattern in LEFT_OUT:
        above, _, name = pattern.rpartition(".")
        if above in (path, "*"):
            tree.setdefault(name, {})
    return tree


def _compiled() -> Mapping[str, Tree]:
    trees = {}
    for line in re.sub(r"\n\s+", " ", _READ.strip()).splitlines():
        kind, _, rest = line.partition(" ")
        trees[kind] = _tree(f"{rest} meta(versionId lastUpdated source profile)")
        _with_left_out(trees[kind], kind)
    return trees


_TREES = _compiled()
