"""What we publish was made from its sources, means one thing, and is the only list of codes there is."""

import hashlib
import json
import re
from itertools import pairwise

import pytest

from domain.lifecycle import Status
from fhir_profiles import codes
from fhir_profiles.catalogue import CATALOGUE
from fhir_profiles.checker import VERSIONS
from fhir_profiles.definitions import BASE, GENERATED, SOURCES, codes_of, definitions, digests, system_concepts

OURS = {url: one for url, one in definitions().structures.items() if url.startswith(BASE)}
FSH = "\n".join(file.read_text(encoding="utf-8") for file in sorted(SOURCES.rglob("*.fsh")))


def test_what_is_generated_was_made_from_these_sources():
    manifest = json.loads((GENERATED / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sources"] == digests(SOURCES), "run ./go prove profiles --write"
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()
             for file in GENERATED.iterdir() if file.name != "manifest.json"}
    assert manifest["generated"] == files, "do not edit fhir_profiles/generated: run ./go prove profiles --write"


@pytest.mark.parametrize("url", sorted(OURS))
def test_every_definition_is_active_versioned_and_named_in_two_languages(url):
    one = OURS[url]
    assert (one["status"], one["version"], one["fhirVersion"]) == ("active", VERSIONS[-1].version, "4.3.0")
    chinese, _, english = one["title"].partition(" / ")
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert re.search("[A-Za-z]", english)


def test_every_rule_a_definition_names_is_in_the_catalogue():
    known = {rule.id for rule in CATALOGUE}
    elements = [element for one in OURS.values() for element in one["snapshot"]["element"]]
    mapped = {m["map"] for e in elements for m in e.get("mapping", ()) if m["identity"] == "finding"}
    named = {c["key"][:8] for e in elements for c in e.get("constraint", ()) if c["key"].startswith("FHIR-")}
    assert mapped | named <= known
    assert len(mapped | named) > 50


def test_an_invariant_says_what_it_wants_in_two_languages_or_as_a_pattern():
    for description in re.findall(r"Invariant: F-.*\nDescription: \"(.*)\"", FSH):
        assert " / " in description or description.startswith("urn:{hospital}:")


def test_profiles_ask_for_every_closed_list_of_codes():
    bound = {element["binding"]["valueSet"].partition("|")[0] for one in OURS.values()
             for element in one["snapshot"]["element"] if "binding" in element}
    ours = {url for url in definitions().value_sets if url.startswith(BASE)}
    assert ours - bound == set()


def test_the_vague_phrases_of_the_invariant_are_those_of_the_reader():
    assert "|".join(codes.VAGUE) in FSH


def test_every_status_of_the_lifecycle_has_a_published_word():
    assert {status.value for status in Status} | {"cancelling", "too-late", "invalid"} == codes_of("status")


def test_a_frequency_is_published_with_its_rhythm():
    for code, concept in system_concepts("frequency").items():
        rhythm = {p["code"]: p["valueInteger"] for p in concept["property"]}
        assert set(rhythm) == {"times", "days"}, code


def test_versions_leave_no_day_without_a_current_one():
    ordered = sorted(VERSIONS, key=lambda one: one.valid_from)
    assert ordered[-1].valid_until is None
    for older, newer in pairwise(ordered):
        assert older.valid_until is None or older.valid_until >= newer.valid_from
