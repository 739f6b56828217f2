"""What is mechanically wrong is put right, and says what it said before; what needs a person is left alone."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from fhir_profiles.checker import check_data
from fhir_profiles.message import KEY, Report, parse
from fhir_profiles.patches import encodings, places, search
from tests.support.effort import steps
from tests.support.fhir_messages import (
    COVER,
    DELETE,
    DIAGNOSIS,
    DOCTOR,
    HOSPITAL,
    ID_NUMBER,
    ITEM,
    NAME,
    ORG,
    PATIENT,
    VISIT,
    WRONG_ID_NUMBER,
    cancel,
    changed,
    child,
    ext,
    home_delivery,
    long_term,
    raw,
    url,
)

DOSE, SUPPLY = (*ITEM, "dosageInstruction", 0), (*ITEM, "dispenseRequest")
WIDE_ID = "".join(chr(ord(c) + 0xFEE0) for c in ID_NUMBER)
CURABLE: list[tuple[tuple[str | int, ...], Any]] = [
    (("type",), "Collection"), (("type",), DELETE),
    (("timestamp",), "2026-11-22 09:00:00+0800"),
    (("identifier", "system"), DELETE),
    (("identifier", "system"), "URN:jinan_first:message"),
    ((*PATIENT, "identifier", 0, "system"), DELETE),
    ((*PATIENT, "gender"), "男"), ((*PATIENT, "gender"), "MALE"), ((*PATIENT, "gender"), "1"), ((*PATIENT, "gender"), "male "),
    ((*DOCTOR, "identifier", 0, "system"), DELETE),
    ((*ORG, "identifier", 0, "system"), ""),
    ((*VISIT, "class", "code"), "vr"), ((*VISIT, "class", "system"), DELETE),
    ((*VISIT, "type", 0, "coding", 0, "code"), "Follow-Up"),
    ((*DIAGNOSIS, "code", "coding", 0, "code"), "E11.900 "),
    ((*COVER, "type", "coding", 0, "code"), "３１０"),
    ((*COVER, "extension", 0), ext("insured-place", valueString="370100")),
    ((*COVER, "extension", 0), ext("insured-place", valueCode="370100") | {
        "url": "https://sanyi.example/fhir/structuredefinition/insured-place"}),
    ((*ITEM, "category", 0, "coding", 0, "code"), "WESTERN"),
    ((*ITEM, "extension", 2), ext("long-term-assessed", valueString="true")),
    ((*ITEM, "authoredOn"), "2026-11-22T08:58:00+0800"),
    ((*ITEM, "requester", "reference"), url(2).upper()),
    ((*DOSE, "timing", "code", "coding", 0, "code"), "BID"), ((*DOSE, "route", "coding", 0, "system"), DELETE),
    ((*DOSE, "doseAndRate", 0, "doseQuantity", "value"), "500"),
    ((*DOSE, "doseAndRate", 0, "doseQuantity", "unit"), " mg"),
    ((*SUPPLY, "quantity", "value"), "60"),
    ((*SUPPLY, "expectedSupplyDuration", "code"), DELETE), ((*SUPPLY, "expectedSupplyDuration", "system"), DELETE),
    ((*SUPPLY, "expectedSupplyDuration"), {"value": 30, "unit": "d"}),
]
PERSONAL: list[tuple[tuple[str | int, ...], Any]] = [
    # What an identifier says is for those who gave it: another writing may be another one.
    (("identifier", "value"), " M0001\u3000"), ((*PATIENT, "identifier", 0, "value"), WIDE_ID),
    ((*DOCTOR, "identifier", 0, "value"), "Ｄ370100000001"), ((*ITEM, "groupIdentifier", "value"), "ＲＸ0001 "),
    ((*ITEM, "identifier", 0, "value"), "１ "),
    ((*PATIENT, "identifier", 0, "value"), WRONG_ID_NUMBER), ((*PATIENT, "identifier", 0, "value"), ID_NUMBER[:-1]),
    ((*PATIENT, "birthDate"), DELETE), ((*PATIENT, "birthDate"), "1958"), ((*PATIENT, "gender"), DELETE),
    ((*PATIENT, "gender"), "女"), ((*PATIENT, "name"), DELETE),
    ((*DIAGNOSIS, "code", "coding", 0, "system"), DELETE),
    ((*ITEM, "medicationCodeableConcept", "coding", 0, "code"), DELETE),
    ((*ITEM, "medicationCodeableConcept", "coding", 0, "system"), DELETE),
    ((*ITEM, "authoredOn"), "2026-11-22T08:58:00"), ((*ITEM, "subject"), DELETE),
    ((*ITEM, "status"), DELETE), ((*ITEM, "groupIdentifier", "system"), "urn:elsewhere:prescription"),
    ((*DOSE, "doseAndRate", 0, "doseQuantity", "value"), DELETE), ((*DOSE, "doseAndRate", 0, "doseQuantity", "value"), "five"),
    ((*DOSE, "doseAndRate", 0, "doseQuantity", "unit"), "MG"),
    ((*DOSE, "timing", "code", "coding", 0, "code"), "twice"),
    ((*SUPPLY, "quantity", "value"), DELETE), ((*SUPPLY, "quantity", "value"), -60),
    ((*SUPPLY, "expectedSupplyDuration"), {"value": 30}),
    ((*SUPPLY, "expectedSupplyDuration"), {"value": 1, "unit": "mo", "code": "mo", "system": "http://unitsofmeasure.org"}),
    ((*ITEM, "extension", 0, "valueCode"), "drone"),
]


def read(source: Any) -> Any:
    return parse(raw(source), "", Report())


@pytest.mark.parametrize("change", CURABLE, ids=range(len(CURABLE)))
def test_what_is_mechanical_is_put_right_and_says_what_it_said(change):
    broken = read(changed(long_term(), change))
    assert check_data(broken, HOSPITAL)
    cured, changes = search.put_right(broken, HOSPITAL)
    assert check_data(cured, HOSPITAL) == []
    assert {k: v for k, v in cured.items() if k != "entry"} == {k: v for k, v in read(long_term()).items() if k != "entry"}
    expected = read(long_term())
    for one in (cured, expected):  # which of two right ways to write the unit was there before does not matter
        for name in ("unit", "system", "code"):
            one["entry"][6]["resource"]["dispenseRequest"]["expectedSupplyDuration"].pop(name, None)
    assert cured == expected
    assert changes
    assert all(one.path.startswith("Bundle") and one.text and one.text_en for one in changes)


@pytest.mark.parametrize("change", PERSONAL, ids=range(len(PERSONAL)))
def test_who_what_and_how_much_is_never_guessed(change):
    broken = read(changed(long_term(), change))
    assert check_data(broken, HOSPITAL)
    assert search.put_right(broken, HOSPITAL) == (None, [])


def test_a_message_is_put_right_as_a_whole_or_not_at_all():
    broken = read(changed(long_term(), *[c for c in CURABLE if c[1] is not DELETE][::3]))
    cured, changes = search.put_right(broken, HOSPITAL)
    assert check_data(cured, HOSPITAL) == []
    assert len(changes) > 5
    worse = read(changed(long_term(), *[c for c in CURABLE if c[1] is not DELETE][::3], PERSONAL[0]))
    assert search.put_right(worse, HOSPITAL)[0] is None


def test_the_message_itself_is_not_touched():
    broken = read(changed(long_term(), CURABLE[0]))
    before = json.dumps(broken, default=str)
    search.put_right(broken, HOSPITAL)
    assert json.dumps(broken, default=str) == before


def test_a_full_url_is_put_right_together_with_what_refers_to_it():
    bare = url(2).removeprefix("urn:uuid:")
    broken = read(changed(long_term(), (("entry", 1, "fullUrl"), bare), ((*ITEM, "requester", "reference"), bare)))
    assert search.put_right(broken, HOSPITAL)[0] == read(long_term())


def test_a_lower_case_check_digit_is_the_same_check_digit():
    right = read(child())
    number = right["entry"][0]["resource"]["identifier"][0]["value"]
    assert number.endswith("X")
    assert search.put_right(read(changed(child(), ((*PATIENT, "identifier", 0, "value"), number.lower()))), HOSPITAL)[0] == right


def test_a_cancel_is_put_right_too():
    broken = changed(cancel(), (("status",), DELETE), (("code",), DELETE), (("reasonCode", "coding", 0, "code"), "Prescriber"))
    assert search.put_right(read(broken), HOSPITAL)[0] == read(cancel())


def crowded(extensions: int, findings: int = 1) -> Any:
    """A message with this many extensions in the patient, and mechanical findings all about the whole patient."""
    broken = read(changed(long_term(), ((*PATIENT, "gender"), "Male")))
    patient = broken["entry"][0]["resource"]
    patient["extension"] = [{"url": f"urn:x:{number}", "valueString": "a"} for number in range(extensions)]
    patient |= {f"Name{number}": "" for number in range(findings - 1)}
    return broken


def test_what_is_too_large_is_not_even_checked_and_what_is_too_wrong_is_checked_once():
    large, wrong = crowded(search.MAX_VALUES), crowded(0, search.MAX_FAULTS + 1)
    for broken, most in ((large, 0.05), (wrong, 1.5)):
        assert search.put_right(broken, HOSPITAL) == (None, [])
        took = steps(lambda broken=broken: search.put_right(broken, HOSPITAL))
        assert took < most * steps(lambda broken=broken: check_data(broken, HOSPITAL))


def test_the_search_grows_with_the_message_and_not_with_its_square():
    """Every place is looked at once in a round, however many findings are about it."""
    seen = Counter[tuple[int, Any]]()
    broken = crowded(100, 20)
    findings = [finding for finding in check_data(broken, HOSPITAL) if finding.code != "EXTENSION_UNKNOWN"]
    assert len(findings) == 20
    whole = places.Searched(broken, HOSPITAL)
    for finding in findings:
        seen.update((id(at.holder), at.key) for _, at in places.places_of(whole, finding))
    assert max(seen.values()) == 1


def test_an_extension_that_is_there_many_times_with_the_same_content_is_there_once():
    broken = read(changed(long_term(), ((*ITEM, "extension"), long_term()["entry"][6]["resource"]["extension"] + [
        *long_term()["entry"][6]["resource"]["extension"][:1] * 3])))
    cured, changes = search.put_right(broken, HOSPITAL)
    assert cured is not None
    assert cured == read(long_term()), "the first of them stays, in its order"
    assert changes


@pytest.mark.parametrize("codec", ["big5", "shift_jis", "euc_kr", "cp949"])
def test_a_file_in_another_encoding_than_gb_never_becomes_another_persons(codec: str):
    name = {"big5": "李大明", "shift_jis": "山田太郎"}.get(codec, "김철수")
    sent = raw(home_delivery()).decode()
    text = "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in sent)
    foreign = text.replace('"text":', f'"note": "{name}", "text":').encode(codec)
    assert foreign != text.encode()
    assert encodings.bytes_put_right(foreign) == (foreign, [])


@pytest.mark.parametrize(("declared", "cured"), [("", True), (' encoding="Big5"', False), (' encoding="UTF-8"', False)])
def test_a_file_that_declares_another_encoding_is_not_read_as_gb(declared: str, cured: bool):
    sent = f'<?xml version="1.0"{declared}?><Bundle xmlns="http://hl7.org/fhir"><a value="医保，口服"/></Bundle>'.encode("gb18030")
    body, changes = encodings.bytes_put_right(sent)
    assert (body != sent) == bool(changes) == cured
    assert not cured or "医保，口服" in body.decode()


def test_a_name_of_rare_characters_is_not_guessed():
    sent = raw(home_delivery()).decode().replace("示范患者丙", "示范镕").encode("gb18030")
    assert encodings.bytes_put_right(sent) == (sent, [])


@pytest.mark.parametrize("codec", ["utf-8-sig", "gb18030", "utf-16"])
def test_another_encoding_is_put_right(codec):
    body, changes = encodings.bytes_put_right(raw(home_delivery()).decode().encode(codec))
    assert body == raw(home_delivery())
    assert len(changes) == 1


def test_a_key_twice_is_put_right_only_with_the_same_value():
    sent = raw(long_term())
    same = sent.replace(b'"intent": "order"', b'"intent": "order", "intent": "order"')
    body, changes = encodings.bytes_put_right(same)
    assert parse(body, "", Report()) == parse(sent, "", Report())
    assert len(changes) == 1
    other = sent.replace(b'"intent": "order"', b'"intent": "order", "intent": "plan"')
    assert encodings.bytes_put_right(other) == (other, [])
    assert encodings.bytes_put_right(sent.replace(b'"value": 500', b'"value": 500, "value": 500.0'))[1] == []


def test_a_good_file_and_one_that_is_none_stay_as_they_are():
    for sent in (raw(long_term()), b"", b"{", b"\xff\xfe\xff", b"<a/>", b" " * 2_000_000):
        assert encodings.bytes_put_right(sent) == (sent, [])


def test_decimals_are_written_as_they_were_sent():
    assert json.loads(encodings.written({"a": Decimal("36.670"), "b": [Decimal("1E+2")], "c": "0.10"}),
                      parse_float=str) == {"a": "36.670", "b": ["1E+2"], "c": "0.10"}


def test_a_text_is_never_written_as_a_number():
    odd = {"a": "\x005000\x00", "b": "\x00", "c": Decimal("1.50")}
    assert json.loads(encodings.written(odd), parse_float=Decimal) == odd
    sent = raw(long_term()).replace(b'"intent": "order"', b'"intent": "order", "intent": "order"').replace(
        b'"value": 500', b'"value": "\\u0000500\\u0000"')
    body, _ = encodings.bytes_put_right(sent)
    assert b'"value": "\\u0000500\\u0000"' in body


@pytest.mark.parametrize("key", ["M0001", "x" * 63, "x" * 62 + "-p"])
def test_a_message_put_right_has_a_key_of_its_own(key: str):
    for message in (long_term(), cancel()):
        whole = read(message)
        named = whole["identifier"] if isinstance(whole["identifier"], dict) else whole["identifier"][0]
        named["value"] = key
        change = search.with_new_key(whole)
        assert named["value"] != key
        assert named["value"].endswith("-p")
        assert KEY.fullmatch(named["value"])
        assert change.path == ("Bundle.identifier.value" if whole["resourceType"] == "Bundle" else "Task.identifier[0].value")
        assert check_data(whole, HOSPITAL) == []


def test_what_was_changed_says_nothing_about_the_patient():
    _, changes = search.put_right(read(changed(long_term(), ((*PATIENT, "identifier", 0, "system"), DELETE))), HOSPITAL)
    assert changes
    assert not any(secret in f"{one}" for one in changes for secret in (NAME, ID_NUMBER))
