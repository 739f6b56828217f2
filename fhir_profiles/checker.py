"""Whether a hospital's message keeps the contract: every finding in one pass, none of them with a value in it.

`structure` enforces the published definitions. Here are the rules that no definition can express: across elements
and resources, about the sending hospital, and about the day of the message. Nothing raises: for every message the
answer is a list of findings.
"""

import base64
import re
import tomllib
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

from domain import allergies
from domain.dosage import required_units, whole_packs
from domain.findings import Finding
from domain.units import converted
from fhir_profiles import codes, structure, texts
from fhir_profiles.catalogue import RULES
from fhir_profiles.closed import unread
from fhir_profiles.current import current_address, current_phone
from fhir_profiles.invariants import resident_id
from fhir_profiles.message import (
    BEIJING,
    MAX_FINDINGS,
    Json,
    Report,
    coded,
    day,
    extended,
    fhirpath,
    member,
    members,
    moment,
    number,
    parts,
    proof,
    text,
    unit,
    unsound,
)
from fhir_profiles.rules import BUNDLE_RULES, CANCEL_RULES, Entry, Message, Places, Version, rule
from fhir_profiles.shapes import profiles
from fhir_profiles.statements import RHYTHMS, supply_days

MAX_ENTRIES = 100
MAX_ITEMS = 10
"""Of western and patent medicines; a prescription of pieces has up to 40 (its profile says so)."""
CLOCK_SKEW = timedelta(minutes=10)
VALIDITY_HOURS = (24, 48, 72)
OF_AGE = 18
"""Years."""

_PHONE = re.compile(r"\+?[0-9][0-9 -]{4,18}[0-9]")

# Compiled when the process starts: what cannot be enforced is refused then, and no message waits for it.
for _name in ("prescription-bundle", "cancel"):
    profiles().shape(_name)

def valid_resident_id(value: str) -> bool:
    """Whether it is a resident id number with its check character and a birth date the calendar has (GB 11643)."""
    return resident_id(value) and day(f"{value[6:10]}-{value[10:12]}-{value[12:14]}") is not None


# The versions of the contract.

VERSIONS = tuple(Version(**fields) for fields in tomllib.loads(
    (Path(__file__).parent / "versions.toml").read_text(encoding="utf-8"))["version"])


# The door.

def check_data(data: Json, hospital: str = "", institutions: Collection[str] = ()) -> list[Finding]:
    """Everything wrong with a Bundle or a cancel Task that is JSON already. Never raises.

    `institutions` are the codes its hospital may prescribe under; empty if they are not known.
    """
    report = Report()
    check_bundle_data(data, hospital, report, institutions=institutions)
    return report.findings


def check_bundle_data(data: Json, hospital: str, report: Report, versions: Collection[Version] = VERSIONS,
                      institutions: Collection[str] = ()) -> None:
    """The same into a report."""
    if len(members(data, "entry")) > MAX_ENTRIES:
        report.add("TOO_MANY_ENTRIES", "Bundle.entry")
        return
    cancel = data.get("resourceType") == "Task"
    message = Message(data, hospital, tuple(versions), institutions)
    flaws = [(fault.path, fault.code) for fault in structure.faults(
        "cancel" if cancel else "prescription-bundle", data, "Task" if cancel else "Bundle", message.types.get)]
    reported, paths = set(flaws), {path for path, _ in flaws}
    for code, broken in (CANCEL_RULES if cancel else BUNDLE_RULES):
        if message.on is None or RULES[code].in_force(message.on):
            flaws += [(path, code) for path in broken(message) if (path, code) not in reported
                      and not (code in texts.CODES and _reported_already(path, paths))]
    flaws += [(path, "ELEMENT_NOT_READ") for path in _not_read(message, {path for path, _ in flaws})]
    if flaws:
        flaws = _first_hand(flaws, data)
    for index, path, code in sorted((message.place(path), path, code) for path, code in flaws):
        report.add(code, path, message.lines.get(index))


def _reported_already(path: str, paths: set[str]) -> bool:
    """Whether the definitions have a finding about a text, or about an element around it within its resource."""
    return any(place in paths for place in _places_around(path) if not place.endswith((".resource", "]", "Bundle", "Task")))


def _not_read(message: Message, paths: set[str]) -> Places:
    """What would be lost (`closed`), unless something is said of it already: of it, or of something in it."""
    around = {place for path in paths for place in _places_around(path)}
    for root, resource in message.resources():
        for names in unread(resource):
            path = fhirpath(root, names)
            # An entry of a list that is not one of ours: what is wrong with the list says why.
            above = _places_around(path) if isinstance(names[-1], int) else ()
            if path not in around and not any(place in paths for place in above if len(place) > len(root)):
                yield path


def _first_hand(faults: list[tuple[str, str]], data: Json) -> list[tuple[str, str]]:
    """Without the findings that only follow from a value that is no good JSON (`unsound`), which has a finding itself.

    Such a finding is about that value, an element around it in its resource, or the extension or reference
    it was to name. It may also come from comparing the value with other resources.
    """
    flaws = [fhirpath(str(data["resourceType"]), names) for names in islice(unsound(data), MAX_FINDINGS)]
    if not flaws:
        return faults
    resources = [flaw[:flaw.rfind(".resource.") + len(".resource")] if ".resource." in flaw else "Bundle" for flaw in flaws]
    around = {place for flaw, resource in zip(flaws, resources, strict=True) for place in _places_around(flaw)
              if len(place) > len(resource)}
    nameless = [flaw.removesuffix(".url") for flaw in flaws if flaw.endswith(".url")]
    named = tuple(start for place in nameless for start in (f"{place}.", f"{place[:place.rfind('[')]}('"))
    beside = {flaw.rpartition(".")[0] for flaw in flaws}
    lost = {"ITEMS_DISAGREE", "REFERENCE_BROKEN" if any(flaw.endswith(".fullUrl") for flaw in flaws) else ""}
    return [(path, code) for path, code in faults if not (
        path in around or path.startswith(named) or code in lost
        or (code == "UNIT_DISAGREES" and path.rpartition(".")[0] in beside))]


def _places_around(path: str) -> list[str]:
    """The place and every place around it."""
    return [path[:at] for at, sign in enumerate(path) if sign in ".["] + [path]


# The rules.

@rule("PROFILE_VERSION", CANCEL_RULES)
@rule("PROFILE_VERSION")
def unknown_version(message: Message) -> Places:
    published = {version.version for version in message.versions}
    return (path for path, version in _versions(message) if version not in published)


@rule("PROFILE_EXPIRED", CANCEL_RULES)
@rule("PROFILE_EXPIRED")
def expired_version(message: Message) -> Places:
    for path, version in _versions(message):
        lives = [life for life in message.versions if life.version == version]
        if message.on and lives and not any(life.accepted(message.on) for life in lives):
            yield path


@rule("IDENTIFIER_SYSTEM")
def foreign_identifier_systems(message: Message) -> Places:
    systems: list[tuple[object, str, str]] = [
        (member(message.data, "identifier", "system"), "message", "Bundle.identifier.system")]
    for visit in message.all("Encounter"):
        systems.append((member(visit.resource, "identifier", "system"), "visit", f"{visit.path}.identifier[0].system"))
    for item in message.items:
        systems += [(member(item.resource, "groupIdentifier", "system"), "prescription",
                   f"{item.path}.groupIdentifier.system"),
                  (member(item.resource, "identifier", "system"), "item", f"{item.path}.identifier[0].system")]
    return _foreign_systems(message, systems)


@rule("IDENTIFIER_SYSTEM", CANCEL_RULES)
def foreign_cancel_systems(message: Message) -> Places:
    return _foreign_systems(message, [
        (member(message.data, "identifier", "system"), "message", "Task.identifier[0].system"),
        (member(message.data, "focus", "identifier", "system"), "prescription", "Task.focus.identifier.system")])


def _foreign_systems(message: Message, systems: list[tuple[object, str, str]]) -> Places:
    for system, name, path in systems:
        # What is not the system of any hospital is the profile's finding.
        somebody = isinstance(system, str) and re.fullmatch(f"urn:[a-z][a-z0-9_]{{0,63}}:{name}", system)
        if message.hospital and somebody and system != codes.own_system(message.hospital, name):
            yield path


@rule("INSTITUTION_OF_ANOTHER")
def foreign_institution(message: Message) -> Places:
    """One that is malformed or missing is the profile's finding."""
    for organization in message.all("Organization"):
        for identifier in members(organization.resource, "identifier"):
            code = text(identifier, "value")
            if (message.institutions and member(identifier, "system") == codes.sid("institution")
                    and re.fullmatch("H[0-9]{11}", code) and code not in message.institutions):
                yield f"{organization.path}.identifier"


@rule("FULL_URL_DUPLICATE")
def duplicate_full_url(message: Message) -> Places:
    seen: set[str] = set()
    for index, entry in enumerate(members(message.data, "entry")):
        url = member(entry, "fullUrl")
        if isinstance(url, str):
            if url in seen:
                yield f"Bundle.entry[{index}].fullUrl"
            seen.add(url)


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
            value = _resident_id(person.resource)
            if resident_id(value) and not valid_resident_id(value):
                yield f"{person.path}.identifier"


@rule("BIRTH_DATE_MISMATCH")
def birth_date_mismatch(message: Message) -> Places:
    for patient in message.all("Patient"):
        value, born = _resident_id(patient.resource), day(member(patient.resource, "birthDate"))
        if valid_resident_id(value) and born and f"{born:%Y%m%d}" != value[6:14]:
            yield f"{patient.path}.birthDate"


@rule("GENDER_MISMATCH")
def sex_mismatch(message: Message) -> Places:
    for patient in message.all("Patient"):
        value, gender = _resident_id(patient.resource), member(patient.resource, "gender")
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
            same = _resident_id(guardian.resource) == _resident_id(patient.resource) != ""
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


@rule("REVISIT_PROOF")
def proof_after_issue(message: Message) -> Places:
    for visit in message.all("Encounter"):
        for index, extension in enumerate(members(visit.resource, "extension")):
            if member(extension, "url") == codes.extension("revisit-proof"):
                proven, _ = proof(extension)
                if proven and message.issued_on and proven > message.issued_on:
                    yield f"{visit.path}.extension[{index}]"


@rule("VISIT_AFTER_ISSUE")
def visit_out_of_order(message: Message) -> Places:
    for visit in message.all("Encounter"):
        start, end = (moment(member(visit.resource, "period", name)) for name in ("start", "end"))
        if start and ((message.issued and start > message.issued + CLOCK_SKEW) or (end and end < start)):
            yield f"{visit.path}.period"


@rule("COVERAGE_NOT_IN_FORCE")
def coverage_not_valid(message: Message) -> Places:
    for coverage in message.all("Coverage"):
        start, end = (_day_of(member(coverage.resource, "period", name)) for name in ("start", "end"))
        on = message.issued_on
        if on and ((start and on < start) or (end and on > end)):
            yield f"{coverage.path}.period"


@rule("ITEM_COUNT")
def too_many_items(message: Message) -> Places:
    pieces = [item for item in message.items if _kind(item) == "tcm_piece"]
    if len(message.items) > MAX_ITEMS and len(pieces) < len(message.items):
        yield "Bundle.entry.resource.ofType(MedicationRequest)"


@rule("ITEM_NUMBER_DUPLICATE")
def duplicate_item_number(message: Message) -> Places:
    seen: set[str] = set()
    for item in message.items:
        number = text(item.resource, "identifier", "value")
        if number and number in seen:
            yield f"{item.path}.identifier[0].value"
        seen.add(number)


@rule("ITEMS_DISAGREE")
def items_disagree(message: Message) -> Places:
    shared: dict[str, object] = {}
    for item in message.items:
        for name, value in _shared(item.resource).items():
            if value is not None and shared.setdefault(name, value) != value:
                yield f"{item.path}.{name}"


@rule("AUTHORED_IN_FUTURE")
def issued_in_the_future(message: Message) -> Places:
    for item in message.items:
        issued = moment(item.resource.get("authoredOn"))
        if issued and message.sent and issued - message.sent > CLOCK_SKEW:
            yield f"{item.path}.authoredOn"


@rule("VALIDITY_PERIOD")
def validity_days_mismatch(message: Message) -> Places:
    """A-01 in PLUS_HOURS mode: 24, 48 or 72 hours."""
    for item in message.items:
        period = _validity(item.resource)
        if period and period[1] - period[0] not in [timedelta(hours=hours) for hours in VALIDITY_HOURS]:
            yield f"{item.path}.dispenseRequest.validityPeriod"


@rule("VALIDITY_START")
def validity_start_mismatch(message: Message) -> Places:
    """A-01 in PLUS_HOURS mode: from the moment of issue."""
    for item in message.items:
        period, issued = _validity(item.resource), moment(item.resource.get("authoredOn"))
        if period and issued and period[0] != issued:
            yield f"{item.path}.dispenseRequest.validityPeriod.start"


@rule("UNIT_OF_KIND")
def unit_kind_mismatch(message: Message) -> Places:
    """A-20, A-21: pieces are weighed, 剂 (a dose of a decoction) is no unit of other drugs."""
    for item in message.items:
        quantity, dose = unit(member(item.resource, "dispenseRequest", "quantity")), unit(_dose(item))
        if _kind(item) == "tcm_piece":
            if dose in codes.DOSE_UNITS and dose != "g":
                yield f"{item.path}.dosageInstruction[0].doseAndRate[0].dose.unit"
            if quantity in codes.PACK_UNITS - {"g", "剂"}:
                yield f"{item.path}.dispenseRequest.quantity.unit"
        elif _kind(item) and quantity == "剂":
            yield f"{item.path}.dispenseRequest.quantity.unit"


@rule("QUANTITY_ARITHMETIC")
def quantity_mismatch(message: Message) -> Places:
    """A-21, where the message says what a unit holds; the audit asks the knowledge base where it does not."""
    for item in message.items:
        needed = _needed(item)
        quantity = number(member(item.resource, "dispenseRequest", "quantity", "value"))
        if needed is None or quantity is None:
            continue
        least, most = needed
        if not least <= quantity <= most:
            yield f"{item.path}.dispenseRequest.quantity.value"


@rule("DECOCTION_DISAGREES")
def decoctions_disagree(message: Message) -> Places:
    decoctions = [(item, _decoction(item)) for item in message.items if _decoction(item)]
    for item, decoction in decoctions:
        if decoction != decoctions[0][1]:
            yield f"{item.path}.extension('{codes.extension('decoction')}')"


@rule("SKIN_TEST")
def skin_test_incomplete(message: Message) -> Places:
    """A-37: a result, with its time, or a reason why no test is needed; not both."""
    for item in message.items:
        test = parts(item.resource, "skin-test")
        at = moment(member(test.get("at"), "valueDateTime"))
        if test and (("result" in test) == ("exemption" in test) or ("at" in test and "result" not in test)
                     or (at and message.issued and at > message.issued + CLOCK_SKEW)):
            yield f"{item.path}.extension('{codes.extension('skin-test')}')"


@rule("RENEWAL_WINDOW")
def renewal_outside_window(message: Message) -> Places:
    """A-35: within the window the first prescriber set, as a long-term prescription of a follow-up."""
    follow_up = any(coded(visit.resource.get("type"), codes.code_system("visit-type")) == "follow-up"
                    for visit in message.all("Encounter"))
    for item in message.items:
        window = member(parts(item.resource, "renewal").get("window"), "valuePeriod")
        start, end = day(member(window, "start")), day(member(window, "end"))
        if not start or not end:
            continue
        long_term = coded(item.resource.get("courseOfTherapyType"), codes.code_system("prescription-kind"))
        outside = message.issued_on and not start <= message.issued_on <= end
        if start > end or outside or long_term != "long_term" or not follow_up:
            yield f"{item.path}.extension('{codes.extension('renewal')}')"


@rule("SIGNATURE_SCOPE")
def signature_mismatch(message: Message) -> Places:
    """A-16: the signature covers the whole prescription as it was issued."""
    urls = {url for url, kind in message.types.items() if kind == "MedicationRequest"}
    for provenance in message.all("Provenance"):
        covered = {member(target, "reference") for target in members(provenance.resource, "target")
                   if isinstance(member(target, "reference"), str)}
        signed = moment(member(provenance.resource, "signature", "when"))
        if not urls <= covered or (signed and message.issued and signed < message.issued):
            yield provenance.path


@rule("SIGNATURE_DATA")
def signature_empty(message: Message) -> Places:
    """A-16: it is kept as not verified, but it must be one."""
    for provenance in message.all("Provenance"):
        for index, signature in enumerate(members(provenance.resource, "signature")):
            data = member(signature, "data")
            if isinstance(data, str) and not _base64(data):
                yield f"{provenance.path}.signature[{index}].data"


@rule("READING_IN_FUTURE")
def reading_in_future(message: Message) -> Places:
    for reading in message.all("Observation"):
        at = moment(reading.resource.get("effectiveDateTime"))
        if at and message.sent and at - message.sent > CLOCK_SKEW:
            yield f"{reading.path}.effectiveDateTime"


@rule("READINGS_DISAGREE")
def duplicate_reading(message: Message) -> Places:
    first: dict[tuple[str, datetime], object] = {}
    for reading in message.all("Observation"):
        code, at = coded(reading.resource.get("code"), codes.LOINC), moment(reading.resource.get("effectiveDateTime"))
        values = [member(reading.resource, "valueQuantity", "value"),
                *(member(part, "valueQuantity", "value") for part in members(reading.resource, "component"))]
        if code and at and first.setdefault((code, at), values) != values:
            yield reading.path


@rule("KEY_PERSONAL")
def personal_data_in_keys(message: Message) -> Places:
    """Keys stand in addresses, logs and the names of runs: nothing of a person may be in them."""
    private = [secret for kind in ("Patient", "RelatedPerson") for person in message.all(kind)
               for secret in (_resident_id(person.resource), *(text(t, "value") for t in members(person.resource, "telecom")))
               if len(secret) >= 6]
    keys = [("Bundle.identifier.value", text(message.data, "identifier", "value"))]
    for item in message.items:
        keys += [(f"{item.path}.groupIdentifier.value", text(item.resource, "groupIdentifier", "value")),
                 (f"{item.path}.identifier[0].value", text(item.resource, "identifier", "value"))]
    return (path for path, key in keys if any(secret in key for secret in private))


# What they read.

def _versions(message: Message) -> Iterator[tuple[str, str]]:
    """Every profile of ours a message names with a version; one that does not exist has the version of none."""
    root = str(message.data.get("resourceType"))
    named: list[tuple[str, object]] = [(root, message.data)]
    named += [(f"Bundle.entry[{index}].resource", member(entry, "resource"))
              for index, entry in enumerate(members(message.data, "entry"))]
    for path, resource in named:
        for index, profile in enumerate(members(member(resource, "meta"), "profile")):
            if isinstance(profile, str) and profile.startswith(codes.BASE):
                address, _, version = profile.partition("|")
                name = address.removeprefix(codes.extension(""))
                exists = name in profiles().ids()
                if version or not exists:
                    yield f"{path}.meta.profile[{index}]", version if exists else ""


def _resident_id(person: Json) -> str:
    return next((text(i, "value") for i in members(person, "identifier")
                 if member(i, "system") == codes.RESIDENT_ID), "")


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


def _day_of(value: object) -> date | None:
    """The day of a date, or of a time in Beijing."""
    at = moment(value)
    return at.astimezone(BEIJING).date() if at else day(value)


def _goes_home(message: Message) -> bool:
    return any(extended(item.resource, "handover", "valueCode") == "home" for item in message.items)


def _kind(item: Entry) -> str:
    return coded(item.resource.get("category"), codes.code_system("drug-kind"))


def _dose(item: Entry) -> object:
    return member(item.resource, "dosageInstruction", "doseAndRate", "doseQuantity")


def _decoction(item: Entry) -> dict[str, object]:
    """What a decoction says, by the name of its part."""
    return {
        name: next((value for key, value in part.items() if key.startswith("value")), None)
        for name, part in parts(item.resource, "decoction").items() if isinstance(part, dict)
    }


def _needed(item: Entry) -> tuple[Decimal, Decimal] | None:
    """The least and the most an item may ask for, in units of its quantity; None where the message does not say."""
    dose, request = number(member(_dose(item), "value")), member(item.resource, "dispenseRequest")
    if dose is None or dose <= 0:
        return None
    if _kind(item) == "tcm_piece":
        doses = _decoction(item).get("doses")
        if type(doses) is not int or unit(member(request, "quantity")) != "g" or unit(_dose(item)) != "g":
            return None
        return dose * doses, dose * doses
    pack = parts(item.resource, "pack")
    strength = member(pack.get("strength"), "valueQuantity")
    held, days = number(member(strength, "value")), supply_days(item.resource)
    times, period = RHYTHMS.get(coded(member(item.resource, "dosageInstruction", "timing", "code"),
                                      codes.code_system("frequency")), (0, 0))
    single = converted(dose, unit(_dose(item)), unit(strength))
    if held is None or days is None or single is None or not period:
        return None
    units = required_units(single, held, times, period, days)
    if units is None:
        return None
    size = member(pack.get("size"), "valuePositiveInt")
    return Decimal(units), Decimal(units if type(size) is not int or size < 1 else whole_packs(units, size))


def _base64(data: str) -> bytes:
    """The bytes; none if it is not base64 from end to end."""
    with suppress(ValueError):
        return base64.b64decode("".join(data.split()), validate=True)
    return b""


def _validity(resource: Json) -> tuple[datetime, datetime] | None:
    period = member(resource, "dispenseRequest", "validityPeriod")
    start, end = moment(member(period, "start")), moment(member(period, "end"))
    return (start, end) if start and end else None


def _shared(resource: Json) -> dict[str, object]:
    """What all items of one prescription must have in common; None where an item does not say."""
    kind = coded(resource.get("courseOfTherapyType"), codes.code_system("prescription-kind"))
    handover = extended(resource, "handover", "valueCode")
    return {
        "groupIdentifier": text(resource, "groupIdentifier", "value") or None,
        "subject": text(resource, "subject", "reference") or None,
        "encounter": text(resource, "encounter", "reference") or None,
        "requester": text(resource, "requester", "reference") or None,
        "authoredOn": moment(resource.get("authoredOn")),
        "courseOfTherapyType": kind or None,
        "dispenseRequest.validityPeriod": _validity(resource),
        f"extension('{codes.extension('handover')}')": handover if isinstance(handover, str) else None,
        **{f"extension('{codes.extension(name)}')": extended(resource, name, "valueString")
           for name in ("valid-reason", "prescription-note")},
        f"extension('{codes.extension('renewal')}')": extended(resource, "renewal", "extension"),
    }
