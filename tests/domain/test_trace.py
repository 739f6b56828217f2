"""What a scanned code may be used for, case by case."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from domain.knowledge.rows import TraceProduct
from domain.trace import (
    FAULTS,
    CodedPack,
    Facts,
    Pack,
    Recall,
    Scan,
    Use,
    UseStatus,
    Wanted,
    codes_by_line,
    judge,
    uncovered,
)
from tests.support.factories import item

TODAY = date(2026, 11, 30)
PLACE = "ankang/AK01"
PRODUCTS = {"8000001": TraceProduct("8000001", "D001", 60), "8000002": TraceProduct("8000002", "D002", 28)}
FIRST, SECOND = ("8000001" + f"{number:013d}" for number in (1, 2))
WANTED = Wanted(1, "D001", Decimal(60), 30)
GOOD = Scan(1, FIRST, "L1", date(2026, 1, 1), date(2028, 1, 1), 60)


def codes(*scans: Scan, packs: tuple[Pack, ...] = (), recalls: tuple[Recall, ...] = (), bound: tuple[Use, ...] = (),
          wanted: Wanted = WANTED, handed_over: bool = True) -> tuple[list[str], bool, int]:
    """Codes of the findings, whether the line is complete, and how many packs are bound."""
    facts = Facts(PRODUCTS, {pack.code: pack for pack in packs}, recalls)
    judged = judge(wanted, list(enumerate(scans)), facts, bound=bound, place=PLACE, on=TODAY, handed_over=handed_over)
    return [finding.code for finding in judged.findings], judged.complete, len(judged.packs)


def test_a_whole_pack_of_the_drug_makes_the_line():
    assert codes(GOOD) == ([], True, 1)


@pytest.mark.parametrize(("change", "code"), [
    ({"code": "123"}, "TRACE_FORM"), ({"code": FIRST + "0"}, "TRACE_FORM"), ({"code": "８" + FIRST[1:]}, "TRACE_FORM"),
    ({"code": FIRST[:-1] + "x"}, "TRACE_FORM"),
    ({"code": ""}, "TRACE_FORM"), ({"units": 0}, "TRACE_FORM"),
    ({"units": -1}, "TRACE_FORM"),
    ({"code": "8999999" + "0" * 13}, "TRACE_PRODUCT"), ({"code": "8000002" + "0" * 13}, "PACK_MISMATCH"),
    ({"units": 61}, "TRACE_UNITS"), ({"lot": ""}, "TRACE_UNDATED"), ({"made_on": None}, "TRACE_UNDATED"),
    ({"expires_on": None}, "TRACE_UNDATED"),
])
def test_a_code_that_cannot_be_the_pack_is_not_bound_and_the_line_lacks_it(change, code):
    findings, complete, bound = codes(replace(GOOD, **change))
    assert (findings, complete, bound) == ([code, "TRACE_MISSING"], False, 0)


@pytest.mark.parametrize(("expires", "good"), [(date(2027, 1, 29), True), (date(2027, 1, 28), False)])
def test_a_pack_is_good_for_thirty_days_after_the_last_dose(expires, good):
    """30 November, 30 days of medicine, 30 days more."""
    scan = replace(GOOD, expires_on=expires)
    assert codes(scan, handed_over=False) == (([], True, 1) if good else (["SHORT_DATED", "TRACE_MISSING"], False, 0))
    assert codes(scan) == ([] if good else ["SHORT_DATED"], True, 1), "what the patient has is sold"


@pytest.mark.parametrize("recall", [Recall("D001", "L1"), Recall("D001", "", FIRST)])
def test_a_recalled_pack_is_not_prepared_and_counts_as_sold_once_the_patient_has_it(recall):
    assert codes(GOOD, recalls=(recall,), handed_over=False) == (["LOT_RECALLED", "TRACE_MISSING"], False, 0)
    assert codes(GOOD, recalls=(recall,)) == (["LOT_RECALLED"], True, 1)


@pytest.mark.parametrize("recall", [Recall("D002", "L1"), Recall("D001", "L2"), Recall("D001", "", SECOND)])
def test_a_recall_of_something_else_stops_nothing(recall):
    assert codes(GOOD, recalls=(recall,)) == ([], True, 1)


@pytest.mark.parametrize(("pack", "code"), [
    (Pack(FIRST, PLACE, 60, 0), "TRACE_DUP"),
    (Pack(FIRST, PLACE, 60, 60, quarantined=True), "RESALE"),
    (Pack(FIRST, PLACE, 60, 40), "TRACE_UNITS"),
    (Pack(FIRST, "baicao/BC07", 60, 40), "TRACE_DUP"),
])
def test_a_pack_is_sold_once(pack, code):
    assert codes(GOOD, packs=(pack,)) == ([code, "TRACE_MISSING"], False, 0)


def test_a_pack_that_went_back_on_the_shelf_is_sold_wherever_it_is():
    assert codes(GOOD, packs=(Pack(FIRST, "baicao/BC07", 60, 60),)) == ([], True, 1)


def test_what_is_left_of_an_opened_pack_and_a_new_one_make_the_line():
    rest, new = replace(GOOD, units=20), replace(GOOD, code=SECOND, units=40)
    assert codes(rest, new, packs=(Pack(FIRST, PLACE, 60, 20),)) == ([], True, 2)


def test_a_pack_bound_to_the_line_before_may_be_scanned_again():
    assert codes(GOOD, packs=(Pack(FIRST, PLACE, 60, 0),), bound=(Use(1, FIRST, 60, False, UseStatus.PREPARED),)) == ([], True, 1)


def test_every_fault_is_told_at_once_with_its_place_rule_and_cure():
    facts = Facts(PRODUCTS, {FIRST: Pack(FIRST, PLACE, 60, 0)}, (Recall("D001", "L1"),))
    scans = [(3, replace(GOOD, expires_on=TODAY)), (7, replace(GOOD, code="12"))]
    judged = judge(WANTED, scans, facts, bound=(), place=PLACE, on=TODAY, handed_over=True)
    assert [(finding.code, finding.rule, finding.path) for finding in judged.findings] == [
        ("SHORT_DATED", "D-19", "traces[3]"), ("LOT_RECALLED", "E-18", "traces[3]"), ("TRACE_DUP", "B-54", "traces[3]"),
        ("TRACE_FORM", "E-03", "traces[7]"), ("TRACE_MISSING", "B-55", "traces")]
    assert all(finding.text and finding.text_en and finding.cure and finding.cure_en and finding.line == 1
               for finding in judged.findings)


def test_too_few_packs_too_many_and_the_same_twice():
    assert codes(replace(GOOD, units=30)) == (["TRACE_MISSING"], False, 1)
    assert codes(GOOD, replace(GOOD, code=SECOND)) == (["TRACE_SURPLUS"], False, 2)
    assert codes(GOOD, GOOD) == (["TRACE_TWICE"], True, 1)


def test_no_scans_are_no_findings_and_no_codes():
    assert codes() == ([], False, 0)


def test_a_line_is_claimed_with_the_packs_that_make_it_whatever_came_back_since():
    uses = [Use(1, SECOND, 20, True, UseStatus.RETURNED), Use(1, FIRST, 40, True, UseStatus.HANDED_OVER),
            Use(2, "8000002" + "0" * 13, 28, False, UseStatus.PREPARED)]
    assert codes_by_line({1: Decimal(60), 2: Decimal(28), 3: Decimal(1)}, uses) == {
        1: (CodedPack(FIRST, True), CodedPack(SECOND, True))}
    assert uncovered({1: "D001", 2: "D002", 3: "D187"}, {1}, {"D187"}) == [2]


def test_days_of_a_part_are_rounded_up():
    prescribed = item("D001", days_supply=30, quantity=Decimal(90))
    assert [prescribed.days_begun(Decimal(quantity)) for quantity in (90, 30, 1)] == [30, 10, 1]


def test_every_fault_names_a_rule_and_says_it_in_two_languages():
    assert all(all(part.strip() for part in words) for words in FAULTS.values())
