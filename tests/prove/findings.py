"""Every fault has a name, a place and somebody to act: 250 and more mutations of valid FHIR messages, and each dialect's faults.

Each operator says which rule it must trip. A mutation counts as found if it is refused with that rule, and every finding
has its code, its FHIRPath and its line and column in the file as sent. What is offered as a patched file is sent again: only
FHIR has patches. Of the other dialects, each invalid sample must be refused for the fault it was made for.
"""

import argparse
import copy
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from adapters import registry
from adapters.dialects import fhir_r4
from adapters.kit import samples
from adapters.mapping import CodeMap
from adapters.protocols import Hospital
from domain.errors import InvalidPayload
from domain.findings import Finding
from fhir_profiles import codes
from fhir_profiles.patches import encodings, search
from tasks import intake

AT_LEAST = 250
REFUSED, PASS = 0.99, 1.0
Json = dict[str, Any]
GONE = object()
"""Instead of a value: the element is taken out."""


@dataclass(frozen=True)
class Operator:
    """One way in which a message goes wrong."""

    name: str
    rules: frozenset[str]
    """Any of these is the right one."""
    change: Callable[[Any], Any]
    """The element's value -> the wrong one."""
    kind: str = ""
    """Of the resource; empty for a fault of the bytes."""
    path: str = ""
    """Of the element in its resource."""
    formats: Sequence[str] = ("json", "xml")


def to(value: Any) -> Callable[[Any], Any]:
    return lambda _: copy.deepcopy(value)


def gone(_: Any) -> Any:
    return GONE


def wide(value: Any) -> Any:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)


def padded(value: Any) -> Any:
    return f"{value} "


def quoted(value: Any) -> Any:
    return str(value)


def without(name: str) -> Callable[[Any], Any]:
    return lambda node: {k: v for k, v in node.items() if k != name}


def with_(**more: Any) -> Callable[[Any], Any]:
    return lambda node: {**node, **copy.deepcopy(more)}


def twice(rows: Any) -> Any:
    return [*rows, copy.deepcopy(rows[0])]


def renamed(old: str, new: str) -> Callable[[Any], Any]:
    return lambda node: {new if k == old else k: v for k, v in node.items()}


def other_check_digit(value: Any) -> Any:
    return value[:-1] + ("1" if value[-1] == "0" else "0")


P, V, C, I, K = "Patient", "Encounter", "Coverage", "MedicationRequest", "Task"  # noqa: E741
DOSE, GIVE = "dosageInstruction.0", "dispenseRequest"
UNKNOWN = ("CODE_UNKNOWN", "STRUCTURE_VALUE", "VALUE_FIXED")
COUNT = ("ELEMENT_COUNT", "STRUCTURE_MISSING")
ours = codes.extension


def rules(*names: str) -> frozenset[str]:
    return frozenset(names)


def operators() -> list[Operator]:
    """The catalogue of what goes wrong at the interfaces of hospitals."""
    return [
        # The envelope.
        Operator("bundle of another type", rules("BUNDLE_TYPE"), to("message"), "Bundle", "type"),
        Operator("bundle without a type", rules("BUNDLE_TYPE", *COUNT), gone, "Bundle", "type"),
        Operator("bundle type in capitals", rules("BUNDLE_TYPE"), str.upper, "Bundle", "type"),
        Operator("no message key", rules("MESSAGE_KEY"), without("value"), "Bundle", "identifier"),
        Operator("space after the message key", rules("MESSAGE_KEY"), padded, "Bundle", "identifier.value"),
        Operator("key of another hospital", rules("IDENTIFIER_SYSTEM"), to("urn:elsewhere:message"), "Bundle",
                 "identifier.system"),
        Operator("key without a system", rules("IDENTIFIER_SYSTEM"), gone, "Bundle", "identifier.system"),
        Operator("message time without offset", rules("BUNDLE_TIMESTAMP"), lambda v: v[:19], "Bundle", "timestamp"),
        Operator("message time with a space", rules("BUNDLE_TIMESTAMP"), lambda v: v.replace("T", " "), "Bundle", "timestamp"),
        Operator("fullUrl without prefix", rules("FULL_URL"), lambda v: v.removeprefix("urn:uuid:"), "Bundle",
                 "entry.0.fullUrl"),
        Operator("fullUrl in capitals", rules("FULL_URL", "REFERENCE_BROKEN"), str.upper, "Bundle", "entry.0.fullUrl"),
        Operator("fullUrl twice", rules("FULL_URL_DUPLICATE"), lambda v: v[:-1] + "1", "Bundle", "entry.1.fullUrl"),
        Operator("no fullUrl", rules("FULL_URL"), gone, "Bundle", "entry.2.fullUrl"),
        Operator("no coverage", rules("RESOURCE_COUNT", "REFERENCE_BROKEN"), gone, "Bundle", "entry.5"),
        Operator("no prescriber", rules("RESOURCE_COUNT", "REFERENCE_BROKEN"), gone, "Bundle", "entry.1"),
        Operator("a resource we do not take", rules("RESOURCE_UNKNOWN"), with_(resource={"resourceType": "Device"}), "Bundle",
                 "entry.2"),
        # The patient.
        Operator("wrong check digit", rules("ID_NUMBER"), other_check_digit, P, "identifier.0.value"),
        Operator("full-width id number", rules("ID_NUMBER"), wide, P, "identifier.0.value"),
        Operator("space after the id number", rules("ID_NUMBER"), padded, P, "identifier.0.value"),
        Operator("id number without a system", rules("IDENTIFIER_SYSTEM"), gone, P, "identifier.0.system"),
        Operator("gender in capitals", rules("GENDER", *UNKNOWN), str.upper, P, "gender"),
        Operator("gender in Chinese", rules("GENDER", *UNKNOWN), lambda v: {"male": "男"}.get(v, "女"), P, "gender"),
        Operator("gender of the other kind", rules("GENDER_MISMATCH"), lambda v: "female" if v == "male" else "male", P,
                 "gender"),
        Operator("no gender", rules("GENDER", *COUNT), gone, P, "gender"),
        Operator("birth date of another person", rules("BIRTH_DATE_MISMATCH"), to("1990-01-01"), P, "birthDate"),
        Operator("birth date in half", rules("BIRTH_DATE"), lambda v: v[:7], P, "birthDate"),
        Operator("no name", rules("PATIENT_NAME", *COUNT), gone, P, "name"),
        Operator("patient inactive", rules("PATIENT_INACTIVE"), with_(active=False), P, ""),
        Operator("district in letters", rules("DISTRICT"), to("LIXIA"), P, "address.0.district"),
        Operator("full-width district", rules("DISTRICT"), wide, P, "address.0.district"),
        Operator("latitude beyond the pole", rules("GEOLOCATION"), to(136), P, "address.0.extension.0.extension.0.valueDecimal"),
        Operator("misspelt element", rules("STRUCTURE_UNKNOWN"), with_(nickname="x"), P, ""),
        Operator("element in the wrong case", rules("STRUCTURE_UNKNOWN", "PATIENT_NAME"), renamed("name", "Name"), P, ""),
        Operator("modifier extension", rules("MODIFIER_EXTENSION", "STRUCTURE_UNKNOWN"),
                 with_(modifierExtension=[{"url": "https://elsewhere.example/x", "valueBoolean": True}]), P, ""),
        Operator("extension nobody knows", rules("EXTENSION_UNKNOWN"),
                 with_(extension=[{"url": ours("shoe-size"), "valueInteger": 43}]), P, ""),
        # Who prescribed, where and on what grounds.
        Operator("physician code too short", rules("PHYSICIAN_CODE"), lambda v: v[:-1], "Practitioner", "identifier.0.value"),
        Operator("full-width physician code", rules("PHYSICIAN_CODE"), wide, "Practitioner", "identifier.0.value"),
        Operator("institution code of another kind", rules("INSTITUTION_CODE"), lambda v: "P" + v[1:], "Organization",
                 "identifier.0.value"),
        Operator("institution without a system", rules("IDENTIFIER_SYSTEM"), gone, "Organization", "identifier.0.system"),
        Operator("visit class nobody knows", rules("VISIT_CLASS", *UNKNOWN), to("EMER"), V, "class.code"),
        Operator("visit class in small letters", rules("VISIT_CLASS", *UNKNOWN), str.lower, V, "class.code"),
        Operator("visit type without a system", rules("VISIT_TYPE"), gone, V, "type.0.coding.0.system"),
        Operator("visit cancelled", rules("VISIT_STATUS", *UNKNOWN), to("cancelled"), V, "status"),
        Operator("visit without a patient", rules("REFERENCE_BROKEN", *COUNT), gone, V, "subject"),
        Operator("diagnosis code in words", rules("DIAGNOSIS_CODE"), to("糖尿病"), "Condition", "code.coding.0.code"),
        Operator("diagnosis without a name", rules("DIAGNOSIS_NAME"), gone, "Condition", "code.coding.0.display"),
        Operator("diagnosis refuted", rules("DIAGNOSIS_DENIED"), with_(verificationStatus={"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "refuted"}]}), "Condition", ""),
        Operator("coverage cancelled", rules("COVERAGE_STATUS", *UNKNOWN), to("cancelled"), C, "status"),
        Operator("insurance type nobody knows", rules("INSUTYPE", *UNKNOWN), to("999"), C, "type.coding.0.code"),
        Operator("full-width insurance type", rules("INSUTYPE", *UNKNOWN), wide, C, "type.coding.0.code"),
        Operator("insured place in half", rules("INSURED_PLACE", "EXTENSION_VALUE"), to("3701"), C, "extension.0.valueCode"),
        Operator("insured place under another type", rules("INSURED_PLACE", "EXTENSION_VALUE"), renamed("valueCode", "valueString"),
                 C, "extension.0"),
        Operator("insured place twice", rules("EXTENSION_REPEATED"), twice, C, "extension"),
        Operator("no payor", rules(*COUNT), gone, C, "payor"),
        # The items.
        Operator("item on hold", rules("ITEM_STATUS", *UNKNOWN), to("on-hold"), I, "status"),
        Operator("item status in capitals", rules("ITEM_STATUS", *UNKNOWN), str.upper, I, "status"),
        Operator("item a proposal", rules("ITEM_INTENT", *UNKNOWN), to("proposal"), I, "intent"),
        Operator("do not perform", rules("ITEM_PROHIBITED", *UNKNOWN), with_(doNotPerform=True), I, ""),
        Operator("no prescription number", rules("PRESCRIPTION_NUMBER", *COUNT), without("value"), I, "groupIdentifier"),
        Operator("number of another hospital", rules("IDENTIFIER_SYSTEM"), to("urn:elsewhere:prescription"), I,
                 "groupIdentifier.system"),
        Operator("item number with a slash", rules("ITEM_NUMBER"), to("RX/1"), I, "identifier.0.value"),
        Operator("item without a system", rules("IDENTIFIER_SYSTEM"), gone, I, "identifier.0.system"),
        Operator("drug kind in capitals", rules("DRUG_KIND", *UNKNOWN), str.upper, I, "category.0.coding.0.code"),
        Operator("prescription kind nobody knows", rules("RX_KIND", *UNKNOWN), to("usual"), I, "courseOfTherapyType.coding.0.code"),
        Operator("handover by drone", rules("HANDOVER", "EXTENSION_VALUE", *UNKNOWN), to("drone"), I, "extension.0.valueCode"),
        Operator("handover in capitals", rules("HANDOVER", "EXTENSION_VALUE", *UNKNOWN), str.upper, I, "extension.0.valueCode"),
        Operator("no handover", rules("HANDOVER", *COUNT), lambda rows: rows[1:] or GONE, I, "extension"),
        Operator("no drug code", rules("DRUG_CODE", "DRUG_NAME"), without("code"), I, "medicationCodeableConcept.coding.0"),
        Operator("no drug name", rules("DRUG_NAME"), without("display"), I, "medicationCodeableConcept.coding.0"),
        Operator("two drugs in one item", rules("STRUCTURE_CHOICE", *COUNT, "STRUCTURE_UNKNOWN"), with_(
            medicationReference={"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}), I, ""),
        Operator("subject outside the message", rules("REFERENCE_BROKEN"), to("Patient/1"), I, "subject.reference"),
        Operator("requester is the patient", rules("REFERENCE_TYPE"), lambda v: v[:-1] + "1", I, "requester.reference"),
        Operator("reference in capitals", rules("REFERENCE_BROKEN"), str.upper, I, "requester.reference"),
        Operator("issued without offset", rules("AUTHORED_ON"), lambda v: v[:19], I, "authoredOn"),
        Operator("offset without a colon", rules("AUTHORED_ON"), lambda v: v[:-3] + v[-2:], I, "authoredOn"),
        Operator("issued after it was sent", rules("AUTHORED_IN_FUTURE"), lambda v: "2026-11-25" + v[10:], I, "authoredOn"),
        Operator("valid for four days", rules("VALIDITY_PERIOD"), to("2026-11-26T08:58:00+08:00"), I,
                 f"{GIVE}.validityPeriod.end"),
        Operator("valid from another time", rules("VALIDITY_START", "VALIDITY_PERIOD"), to("2026-11-22T07:58:00+08:00"), I,
                 f"{GIVE}.validityPeriod.start"),
        Operator("two dosages", rules("DOSAGE_COUNT"), twice, I, "dosageInstruction"),
        Operator("frequency in words", rules("FREQUENCY", *UNKNOWN), to("sometimes"), I, f"{DOSE}.timing.code.coding.0.code"),
        Operator("frequency in capitals", rules("FREQUENCY", *UNKNOWN), str.upper, I, f"{DOSE}.timing.code.coding.0.code"),
        Operator("frequency without a system", rules("FREQUENCY", "IDENTIFIER_SYSTEM", *COUNT), gone, I,
                 f"{DOSE}.timing.code.coding.0.system"),
        Operator("route nobody knows", rules("ROUTE", *UNKNOWN), to("EAR"), I, f"{DOSE}.route.coding.0.code"),
        Operator("route in small letters", rules("ROUTE", *UNKNOWN), str.lower, I, f"{DOSE}.route.coding.0.code"),
        Operator("no dose", rules("DOSE", *COUNT), without("value"), I, f"{DOSE}.doseAndRate.0.doseQuantity"),
        Operator("dose of nothing", rules("DOSE", "VALUE_RANGE"), to(0), I, f"{DOSE}.doseAndRate.0.doseQuantity.value"),
        Operator("dose in quotes", rules("DOSE", "STRUCTURE_VALUE"), quoted, I, f"{DOSE}.doseAndRate.0.doseQuantity.value",
                 ("json",)),
        Operator("dose unit nobody knows", rules("DOSE_UNIT", *UNKNOWN), to("spoon"), I, f"{DOSE}.doseAndRate.0.doseQuantity.unit"),
        Operator("as directed", rules("USAGE_VAGUE"), with_(text="遵医嘱"), I, DOSE),
        Operator("no quantity", rules("QUANTITY", *COUNT), without("value"), I, f"{GIVE}.quantity"),
        Operator("quantity below nothing", rules("QUANTITY", "VALUE_RANGE"), to(-3), I, f"{GIVE}.quantity.value"),
        Operator("quantity in quotes", rules("QUANTITY", "STRUCTURE_VALUE"), quoted, I, f"{GIVE}.quantity.value", ("json",)),
        Operator("pack unit nobody knows", rules("QUANTITY_UNIT", *UNKNOWN), to("heap"), I, f"{GIVE}.quantity.unit"),
        Operator("days in half", rules("DAYS_SUPPLY"), to(2.5), I, f"{GIVE}.expectedSupplyDuration.value"),
        Operator("days without unit code", rules("DAYS_UNIT", *COUNT, *UNKNOWN), without("code"), I,
                 f"{GIVE}.expectedSupplyDuration"),
        Operator("days without unit system", rules("DAYS_UNIT", *COUNT, *UNKNOWN), without("system"), I,
                 f"{GIVE}.expectedSupplyDuration"),
        Operator("days in months", rules("DAYS_UNIT", *UNKNOWN), with_(unit="mo", code="mo"), I, f"{GIVE}.expectedSupplyDuration"),
        Operator("repeats", rules("REPEATS", "RENEWAL", "RENEWAL_WINDOW"), with_(numberOfRepeatsAllowed=2), I, GIVE),
        # The cancel.
        Operator("cancel of another status", rules("TASK_STATUS", *UNKNOWN), to("draft"), K, "status"),
        Operator("cancel without a status", rules("TASK_STATUS", *COUNT), gone, K, "status"),
        Operator("cancel with another intent", rules("TASK_INTENT", *UNKNOWN), to("plan"), K, "intent"),
        Operator("cancel in capitals", rules("TASK_CODE", *UNKNOWN), str.upper, K, "code.coding.0.code"),
        Operator("cancel of nothing", rules("TASK_FOCUS", *COUNT), gone, K, "focus"),
        Operator("cancel without a known reason", rules("CANCEL_REASON", *UNKNOWN), to("mood"), K, "reasonCode.coding.0.code"),
        Operator("reason in capitals", rules("CANCEL_REASON", *UNKNOWN), str.title, K, "reasonCode.coding.0.code"),
        Operator("cancel without a time", rules("TASK_TIME", *COUNT), gone, K, "authoredOn"),
        # The bytes.
        Operator("byte order mark", rules("MSG_NOT_UTF8"), lambda raw: b"\xef\xbb\xbf" + raw, formats=("json",)),
        Operator("GB18030", rules("MSG_NOT_UTF8", "XML_ENCODING"), lambda raw: raw.decode().encode("gb18030")),
        Operator("UTF-16", rules("MSG_NOT_UTF8"), lambda raw: raw.decode().encode("utf-16"), formats=("json",)),
        Operator("declared as GB2312", rules("XML_ENCODING"),
                 lambda raw: raw.replace(b"'UTF-8'", b"'GB2312'"), formats=("xml",)),
        Operator("half a message", rules("MSG_NOT_JSON", "MSG_NOT_XML"), lambda raw: raw[:len(raw) // 2].decode(
            errors="ignore").encode()),
        Operator("a comma too many", rules("MSG_NOT_JSON"), lambda raw: raw.replace(b"{", b"{,", 1), formats=("json",)),
        Operator("a key twice, the same value", rules("JSON_DUPLICATE_KEY"),
                 lambda raw: raw.replace(b'"resourceType": "Patient"', b'"gender": "male", "resourceType": "Patient"', 1).replace(
                     b'"intent": "order"', b'"intent": "order", "intent": "order"', 1), formats=("json",)),
        Operator("a key twice, another value", rules("JSON_DUPLICATE_KEY"),
                 lambda raw: raw.replace(b'"intent": "order"', b'"intent": "order", "intent": "plan"', 1), formats=("json",)),
        Operator("not a number", rules("JSON_NOT_FINITE"),
                 lambda raw: raw.replace(b'"authoredOn": "', b'"x": NaN, "authoredOn": "', 1),
                 formats=("json",)),
        Operator("a control character", rules("JSON_CHARACTER"), lambda raw: raw.replace(b'"value": "', b'"value": "\\u0007', 1),
                 formats=("json",)),
        Operator("a number without end", rules("JSON_NUMBER_TOO_LONG"),
                 lambda raw: raw.replace(b'"authoredOn": "', b'"x": 1' + b"0" * 40 + b', "authoredOn": "', 1), formats=("json",)),
        Operator("nested without end", rules("MSG_TOO_DEEP"), lambda raw: b'{"a":' * 60 + raw + b"}" * 60, formats=("json",)),
        Operator("nested without end", rules("MSG_TOO_DEEP"), lambda raw: b"<a>" * 60 + b"</a>" * 60, formats=("xml",)),
        Operator("entities", rules("XML_DOCTYPE"),
                 lambda raw: raw.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "b">]>', 1), formats=("xml",)),
        Operator("another namespace", rules("XML_NAMESPACE"), lambda raw: raw.replace(b"hl7.org/fhir\"", b"hl7.org/v3\"", 1),
                 formats=("xml",)),
        Operator("text outside value", rules("XML_NAMESPACE"), lambda raw: raw.replace(b"<identifier>", b"<identifier>x", 1),
                 formats=("xml",)),
        Operator("an attribute nobody knows", rules("XML_NAMESPACE"),
                 lambda raw: raw.replace(b"<identifier>", b'<identifier a="b">', 1),
                 formats=("xml",)),
        Operator("another resource", rules("MSG_WRONG_RESOURCE"),
                 lambda raw: b'{"resourceType": "Patient"}', formats=("json",)),
    ]


@dataclass(frozen=True)
class Mutation:
    operator: Operator
    hospital: str
    sample: str
    format: str
    raw: bytes
    meant: Json
    """What it was before it went wrong."""


def mutations(samples: Sequence[tuple[str, str, Json]]) -> Iterator[Mutation]:
    """Every operator on every element of every sample it applies to, in every format, where it changes anything."""
    for operator in operators():
        for hospital, name, data in samples:
            for way in operator.formats:
                good = written(data, way)
                for raw in _mutated(operator, data, way) if operator.kind else [operator.change(good)]:
                    if raw != good:
                        yield Mutation(operator, hospital, name, way, raw, data)


def _mutated(operator: Operator, data: Json, way: str) -> Iterator[bytes]:
    steps = [int(step) if step.isdigit() else step for step in operator.path.split(".") if step]
    for path in _resources(data, operator.kind):
        wrong = copy.deepcopy({"": data})
        holder: Any = wrong
        key: Any = ""
        try:
            for step in (*path, *steps):
                holder, key = holder[key], step
            value = operator.change(holder[key])
        except (KeyError, IndexError):
            continue  # this one has no such element
        if value is GONE:
            del holder[key]
        else:
            holder[key] = value
        yield written(wrong[""], way)


def _resources(data: Json, kind: str) -> Iterator[tuple[Any, ...]]:
    if data["resourceType"] == kind:
        yield ()
    for index, entry in enumerate(data.get("entry", ())):
        if entry["resource"]["resourceType"] == kind:
            yield "entry", index, "resource"


def written(data: Json, way: str) -> bytes:
    return json.dumps(data, ensure_ascii=False, indent=1).encode() if way == "json" else fhir_r4.to_xml(data)


def send(raw: bytes, hospital: str) -> list[Finding]:
    """What the platform says to it; nothing if it takes it."""
    try:
        message = fhir_r4.to_fhir(raw)
    except InvalidPayload as refusal:
        return list(refusal.findings)
    return intake.check(message, hospital)


def in_json(body: bytes) -> bytes:
    """A message in either format as JSON."""
    return encodings.written(fhir_r4.to_fhir(body).resource)


def as_meant(mutation: Mutation) -> tuple[Json, Json]:
    """What the message said before it went wrong: under its key, and under the one of a message put right."""
    renamed = copy.deepcopy(mutation.meant)
    search.with_new_key(renamed)
    return mutation.meant, renamed


def valid_samples() -> list[tuple[str, str, Json]]:
    """The FHIR samples of every hospital that speaks it, as (hospital, file name, data)."""
    found = []
    for slug in registry.slugs("hospitals"):
        if registry.manifest("hospitals", slug).dialect.startswith("fhir-r4"):
            for file in sorted((registry.HERE / "hospitals" / slug / "samples").glob("*.json")):
                found.append((slug, file.name, json.loads(file.read_bytes())))
    return found


def invalid_samples(table: Table) -> tuple[int, int, list[str]]:
    """How many invalid samples there are, how many are refused for their own fault, and findings without a place or an actor."""
    asked = right = 0
    bare: list[str] = []
    for slug in registry.slugs("hospitals"):
        adapter, codes = samples.reader(slug), samples.tables(slug)
        group = samples.invalid(slug)
        told = [(sample, _of(adapter, codes, sample.raw)) for sample in group]
        hits = sum(sample.finding in {finding.code for finding in findings} for sample, findings in told)
        bare += [f"{slug}/{sample.name}: {finding.code}" for sample, findings in told for finding in findings
                 if not (finding.code and finding.rule and (finding.spot or finding.path) and finding.actor and finding.cure)]
        table.add_row(f"invalid samples of {slug}", str(len(group)), str(hits), "0", "0", "0")
        asked, right = asked + len(group), right + hits
    return asked, right, bare


def _of(adapter: Hospital, codes: CodeMap, raw: bytes) -> list[Finding]:
    try:
        message = adapter.to_fhir(raw, codes)
    except InvalidPayload as refusal:
        return list(refusal.findings)
    return intake.check(message, adapter.slug)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove findings", description=__doc__)
    parser.add_argument("--per-operator", type=int, default=6, help="mutations of one operator at most")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--verbose", action="store_true", help="say what went wrong")
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    luck = random.Random(given.seed)
    good = valid_samples()
    for hospital, name, data in good:
        for way in ("json", "xml"):
            if found := send(written(data, way), hospital):
                console.print(f"[red]{hospital}/{name} as {way} is not valid itself: {found[0].code} at {found[0].path}[/red]")
                return 1
    groups: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in mutations(good):
        groups[mutation.operator.name].append(mutation)
    table = Table("operator", "mutations", "right rule", "offered", "pass", "as meant")
    total: Counter[str] = Counter()
    bare: list[str] = []
    for name, group in groups.items():
        count: Counter[str] = Counter()
        for mutation in luck.sample(group, min(given.per_operator, len(group))):
            findings = send(mutation.raw, mutation.hospital)
            right = bool({one.code for one in findings} & mutation.operator.rules)
            count.update(mutations=1, right=right)
            bare += [f"{name}: {one.code} at {one.path}" for one in findings
                     if not (one.code and one.path and one.spot and one.spot.line and one.spot.column and one.actor)]
            if not right and given.verbose:
                console.print(f"  {name}, {mutation.sample}, {mutation.format}: {[(f.code, f.path) for f in findings][:4]}")
            if patched := fhir_r4.patched(mutation.raw, mutation.hospital):
                passes = not send(patched.body, mutation.hospital)
                count.update(offered=1, passes=passes,
                             meant=passes and json.loads(in_json(patched.body)) in as_meant(mutation))
        total += count
        table.add_row(name, *(str(count[key]) for key in ("mutations", "right", "offered", "passes", "meant")))
    asked, right, nowhere = invalid_samples(table)
    total.update(mutations=asked, right=right)
    bare += nowhere
    console.print(table)
    for line in bare[:20]:
        console.print(f"  [red]no place or nobody to act: {line}[/red]")
    refused = total["right"] / total["mutations"]
    passing = total["passes"] / total["offered"] if total["offered"] else 0.0
    console.print(f"{total['meant']} of {total['offered']} patched files say exactly what the message said before it went wrong")
    console.print(f"findings: {total['mutations']} mutations, {refused:.1%} refused with the right rule, "
                  f"{total['offered']} patches offered, {passing:.1%} pass")
    held = (total["mutations"] >= AT_LEAST and refused >= REFUSED and total["offered"] > 0 and passing >= PASS and not bare)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
