"""Findings of documents: reason, place, number and cost."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects import cda
from tests.support.cda_documents import (
    ADDRESS,
    CHANGES,
    PATIENT,
    SAMPLES,
    admitted,
    changed,
    checked,
    lines,
    sample,
    section,
)
from tests.support.effort import growth

INVALID = tomllib.loads((SAMPLES / "invalid" / "index.toml").read_text(encoding="utf-8"))


# The cases that were got wrong once.

CASES: dict[str, Any] = {
    "40_cda_four_weeks": lambda found: found.prescription.items[0].days_supply == 28,
    "42_cda_pretty_printed_name_and_address":
        lambda found: (found.patient.name, found.patient.address) == ("示范患者甲", "示范市示范区示范路1号"),
    "44_cda_valid_days_after_each_drug": lambda found: found.prescription.valid_days == 1,
    "address_bad_first": lambda found: found.patient.address == "示范市示范区示范路1号",
    "name_in_parts_pretty_printed": lambda found: found.patient.name == "示范患者甲",
    "remark_half_first_dose": lambda found: (found.prescription.note, found.prescription.patient.allergy_words) == (
        "首剂减半；磺胺过敏", ("磺胺过敏",)),
    "width_in_weeks": {"QUANTITY_ARITHMETIC"},
    "deceased": {"CDA_DECEASED"},
}


@pytest.mark.parametrize("name", sorted(path.stem for path in (Path(__file__).parent / "cases").glob("*.xml")))
def test_every_case_that_was_got_wrong_once_is_right(name: str) -> None:
    raw, right = (Path(__file__).parent / "cases" / f"{name}.xml").read_bytes(), CASES[name]
    if isinstance(right, set):
        assert {one.code for one in checked(raw)[1]} == right
    else:
        assert right(admitted(raw))


FLOODS: dict[str, Callable[[int], bytes]] = {
    "pieces without grams": lambda n: changed("黄芪30g 丹参15g", "黄" * (n // 2), "waiting/pieces.xml"),
    "a line of blanks": lambda n: changed(PATIENT, f"<name>示范{' ' * n}患者甲</name>"),
    "lines of blanks": lambda n: changed(ADDRESS, "<addr>示" + "\n \t" * (n // 3) + "范</addr>"),
    "a pack": lambda n: changed("0.5g*60片", "1" * (2 * n // 3) + " " * (n // 3)),
    "none known": lambda n: section("48765-2", f"<text>无{'药物、' * (n // 6)}x</text>"),
    "addresses": lambda n: changed("<addr>", '<addr use="H">x</addr>' * (n // 120) + "<addr>"),
    "strangers": lambda n: changed("<doseQuantity", '<x a="1"/>' * (n // 60) + "<doseQuantity"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_in_proportion_to_its_length_and_its_findings_are_bounded(flood: str) -> None:
    make = FLOODS[flood]
    assert len(checked(make(300_000))[1]) < 100
    assert growth(checked, make(50_000), make(100_000)) < 2.5


# What is wrong, and where.

@pytest.mark.parametrize(("name", "code"), INVALID.items())
def test_every_invalid_sample_fails_for_its_own_reason_in_its_own_place(name: str, code: str) -> None:
    _, findings = checked(sample(f"invalid/{name}"))

    mine = [one for one in findings if one.code == code]
    assert mine
    assert all(one.spot and one.spot.line for one in findings)


def test_every_invalid_sample_is_in_the_index() -> None:
    assert {path.name for path in (SAMPLES / "invalid").glob("*.xml")} == set(INVALID)


def test_every_dialect_rule_has_a_sample_or_is_met_at_the_door() -> None:
    seen = set(INVALID.values()) | set(CHANGES) | {"CDA_ROOT", "CDA_TOO_MANY", "CDA_DOCUMENT"}

    assert {rule.code for rule in cda.RULES} <= seen
    assert len({rule.id for rule in cda.RULES}) == len(cda.RULES)


@pytest.mark.parametrize(("name", "code", "element", "needle"), [
    ("gender_of_somebody_else.xml", "GENDER_MISMATCH", "DE02.01.040.00", "<administrativeGenderCode"),
    ("valid_for_seven_days.xml", "VALIDITY_PERIOD", "DE06.00.294.00", '<value xsi:type="PQ" value="7" unit="天"'),
    ("dose_is_zero.xml", "DOSE", "DE08.50.023.00", "<doseQuantity"),
    ("no_diagnosis.xml", "CONDITION_MISSING", "", "<section>"),
    ("no_total_amount.xml", "QUANTITY", "DE08.50.022.00", '<code code="ZY0001"/>'),
])
def test_a_finding_names_data_element_xpath_and_line(name: str, code: str, element: str, needle: str) -> None:
    raw = sample(f"invalid/{name}")
    _, findings = checked(raw)
    spot = next(one.spot for one in findings if one.code == code)

    assert spot
    assert spot.name.startswith(f"{element} /ClinicalDocument/" if element else "/ClinicalDocument/")
    assert spot.line == lines(raw, needle)


def test_everything_wrong_in_the_head_comes_at_once() -> None:
    raw = sample("western.xml").replace(b"2.16.156.10011.2.1.1.24", b"1.2.3").replace(b'extension="DOC0001"', b"").replace(
        b'<versionNumber value="1"/>', b'<versionNumber value="one"/>')

    assert {one.code for one in checked(raw)[1]} == {"CDA_TEMPLATE", "CDA_DOCUMENT_ID", "CDA_VERSION"}


def test_a_document_with_hundreds_of_entries_is_refused_before_it_is_translated() -> None:
    text = sample("western.xml").decode()
    start = text.index("          <entry>", text.index("10160-0"))
    entry = text[start:text.index("          </entry>", start) + len("          </entry>\n")]

    assert checked(text.replace(entry, entry * 150).encode())[1][0].code == "CDA_TOO_MANY"


@pytest.mark.parametrize("raw", [
    b"", b"{}", b"<rx/>", b"\xff\xfe", b"<ClinicalDocument/>", b'<?xml version="1.0" encoding="GB18030"?><a>\xff</a>',
    b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>', b"<a>" * 100, b" " * (cda.MAX_BYTES + 1)])
def test_what_is_no_document_is_told_so_with_a_finding(raw: bytes) -> None:
    message, findings = checked(raw)

    assert message is None
    assert findings


@given(st.data())
def test_a_document_cut_or_spoilt_anywhere_never_gets_an_exception_of_another_kind(data: st.DataObject) -> None:
    raw = sample("patent.xml")
    at = data.draw(st.integers(0, len(raw) - 1))
    spoilt = data.draw(st.sampled_from([raw[:at], raw[:at] + b"<" + raw[at:], raw[:at] + b"\x00" + raw[at + 1:],
                                        raw[:at] + raw[at + data.draw(st.integers(1, 300)):]]))
    message, _ = checked(spoilt)  # InvalidPayload is all it may raise

    assert message is None or message.resource


def test_no_finding_quotes_the_document() -> None:
    for name in INVALID:
        _, findings = checked(sample(f"invalid/{name}"))
        said = repr(findings)
        assert not [mark for mark in ("示范患者", "3701021958", "19900000001", "示范路") if mark in said]
