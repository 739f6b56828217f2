"""Nothing a message says comes back out of the checker, whatever is wrong with the message."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidPayload
from tests.fhir_profiles.defects import GOOD, P
from tests.support.fhir_door import check_bundle, check_cancel, read_bundle, read_cancel
from tests.support.fhir_messages import (
    ADDRESS,
    BASE,
    DELETE,
    HOSPITAL,
    ID_NUMBER,
    NAME,
    PATIENT,
    PHONE,
    Json,
    cancel,
    changed,
    child,
    home_delivery,
    long_term,
    raw,
    url,
)

MARKERS = (NAME, ID_NUMBER, ID_NUMBER[6:14], "1958-03-02", PHONE, ADDRESS, "示范医师乙", "糖尿病病情稳定")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([url(1), "2026-11-22T08:58:00+08:00", "1958-03-02", "Patient", NAME, ID_NUMBER, "", "-",
                       "0001-01-01", f"{BASE}/StructureDefinition/handover", "9999-12-31T23:59:59-12:00",
                       "2099-12-31T23:59:59+23:59"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["value", "code", "system", "coding", "extension", "url", "reference", "resourceType", "text",
                         "identifier", "resource", "start", "end", "given", NAME, ""]), inner, max_size=4),
    max_leaves=8,
)


def spots(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [spot for name, value in children for spot in spots(value, (*path, name))]


def mutated(source: Json, data: st.DataObject) -> Json:
    for _ in range(data.draw(st.integers(1, 3))):
        available = spots(source)
        if not available:
            return source
        where = data.draw(st.sampled_from(available))
        match data.draw(st.sampled_from(["delete", "replace", "duplicate"])):
            case "delete":
                source = changed(source, (where, DELETE))
            case "replace":
                source = changed(source, (where, data.draw(JSON_VALUES)))
            case _:
                node: Any = source
                for name in where:
                    node = node[name]
                source = changed(source, (where, [node, node]))
    return source


def says_nothing_of_the_message(found: Any) -> None:
    for finding in found:
        said = json.dumps(finding.as_dict(), ensure_ascii=False)
        assert not [marker for marker in MARKERS if marker in said], finding
    assert not [marker for marker in MARKERS if marker in str(InvalidPayload(found))]


@given(st.data(), st.sampled_from([long_term(), home_delivery(), child()]))
def test_whatever_is_wrong_with_a_message_the_answer_is_findings_without_its_values(data, source):
    message = json.dumps(mutated(source, data)).encode()
    found = check_bundle(message, HOSPITAL)
    says_nothing_of_the_message(found)
    if found:
        with pytest.raises(InvalidPayload) as refused:
            read_bundle(message, HOSPITAL, lambda _: "pt_1")
        assert list(refused.value.findings) == found
    else:
        shown = repr(read_bundle(message, HOSPITAL, lambda _: "pt_1"))
        assert not [marker for marker in (NAME, ID_NUMBER, PHONE, ADDRESS) if marker in shown]


@given(st.data())
def test_whatever_is_wrong_with_a_cancel_the_answer_is_findings(data):
    message = json.dumps(mutated(cancel(), data)).encode()
    found = check_cancel(message, HOSPITAL)
    says_nothing_of_the_message(found)
    if found:
        with pytest.raises(InvalidPayload):
            read_cancel(message, HOSPITAL)
    else:
        assert read_cancel(message, HOSPITAL).external_id


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")),
       st.integers(0, 10_000))
def test_any_bytes_at_all_are_answered(noise, seed):
    place = random.Random(seed).randrange(len(GOOD))
    for message in (noise, GOOD[:place] + noise + GOOD[place:], GOOD[:place] + noise):
        says_nothing_of_the_message(check_bundle(message, HOSPITAL))
        check_cancel(message, HOSPITAL)
    

def test_a_key_of_an_object_may_be_about_a_person_too():
    found = check_bundle(raw(changed(long_term(), ((*PATIENT, NAME), 1), ((*PATIENT, ID_NUMBER), 1))), HOSPITAL)
    assert [(f.code, f.path) for f in found] == [("STRUCTURE_UNKNOWN", P), ("STRUCTURE_UNKNOWN", P)]
    says_nothing_of_the_message(found)
