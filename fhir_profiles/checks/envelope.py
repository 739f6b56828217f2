"""The message as a whole: the version it names, whose systems it uses, its addresses, and what its keys give away."""

import re
from collections.abc import Iterator

from fhir_profiles import codes
from fhir_profiles.message import member, members, text
from fhir_profiles.rules import CANCEL_RULES, Message, Places, resident_id_of, rule
from fhir_profiles.shapes import profiles


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


@rule("KEY_PERSONAL")
def personal_data_in_keys(message: Message) -> Places:
    """Keys stand in addresses, logs and the names of runs: nothing of a person may be in them."""
    private = [secret for kind in ("Patient", "RelatedPerson") for person in message.all(kind)
               for secret in (resident_id_of(person.resource), *(text(t, "value") for t in members(person.resource, "telecom")))
               if len(secret) >= 6]
    keys = [("Bundle.identifier.value", text(message.data, "identifier", "value"))]
    for item in message.items:
        keys += [(f"{item.path}.groupIdentifier.value", text(item.resource, "groupIdentifier", "value")),
                 (f"{item.path}.identifier[0].value", text(item.resource, "identifier", "value"))]
    return (path for path, key in keys if any(secret in key for secret in private))


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
