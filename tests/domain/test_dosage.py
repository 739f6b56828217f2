"""How much a prescription asks for, to the unit: tables of both sides of each bound, and what must hold for any numbers."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.audit import audit
from domain.dosage import administrations, denser, dose_in_window, most_administrations, required_units, whole_packs
from domain.findings import Severity
from domain.units import converted, exact, factor, same_unit
from tests.support.factories import KNOWLEDGE, case, item, rx

FREQUENCIES = {code: often for code, often in KNOWLEDGE.frequencies.items() if often.fixed}


@pytest.mark.parametrize(("frequency", "days", "needed"), [
    *(("qw", 7 * weeks, weeks) for weeks in range(1, 13)), *(("qw", 7 * weeks + 1, weeks + 1) for weeks in range(1, 13)),
    ("tiw", 21, 9), ("tiw", 28, 12), ("tiw", 7, 3), ("tiw", 8, 4), ("tiw", 20, 9), ("tiw", 22, 10),
    ("biw", 7, 2), ("biw", 28, 8), ("biw", 30, 9), ("biw", 21, 6), ("biw", 22, 7),
    ("qod", 28, 14), ("qod", 30, 15), ("qod", 29, 15), ("qod", 1, 1),
    ("q2w", 14, 1), ("q2w", 28, 2), ("q2w", 84, 6), ("q2w", 29, 3),
    ("q4w", 28, 1), ("q4w", 84, 3), ("q4w", 29, 2), ("q4w", 56, 2), ("qmonth", 30, 1), ("qmonth", 84, 3), ("qmonth", 90, 3),
    ("qd", 28, 28), ("bid", 30, 60), ("q6h", 7, 28), ("q8h", 7, 21), ("st", 28, 1),
])
def test_one_unit_each_time_needs_as_many_units_as_times(frequency: str, days: int, needed: int) -> None:
    often = KNOWLEDGE.frequencies[frequency]
    assert required_units(1, 1, often.times, often.period_days, days) == needed


@pytest.mark.parametrize(("single", "content", "times", "days", "needed"), [
    ("5", "2.5", 1, 28, 56), ("2.5", "5", 1, 28, 14), ("2.5", "5", 1, 27, 14), ("10", "180", 3, 30, 5), ("10", "180", 3, 31, 6),
    ("0.3", "0.1", 1, 1, 3), ("33.3", "100", 1, 3, 1), ("33.4", "100", 1, 3, 2)])
def test_parts_of_a_unit_are_added_up_before_they_are_rounded(
    single: str, content: str, times: int, days: int, needed: int,
) -> None:
    assert required_units(Decimal(single), Decimal(content), times, 1, days) == needed


def test_what_has_no_fixed_frequency_or_no_number_needs_nothing_that_can_be_computed() -> None:
    assert required_units(1, 1, 0, 1, 28) is None
    for number in ("NaN", "Infinity", "-1", "0", "1E+999999", "1E-999999"):
        assert required_units(Decimal(number), 1, 1, 1, 28) is None
        assert required_units(1, Decimal(number), 1, 1, 28) is None
        assert administrations(1, 1, Decimal(number)) is None


@pytest.mark.parametrize(("frequency", "window", "most"), [
    ("qd", 1, 1), ("bid", 1, 2), ("qod", 1, 1), ("qod", 7, 4), ("tiw", 1, 1), ("tiw", 7, 3), ("qw", 7, 1), ("qw", 28, 4),
    ("q2w", 28, 2), ("q4w", 28, 1), ("q4w", 7, 1), ("qmonth", 28, 1), ("prn", 7, 1), ("st", 7, 1)])
def test_the_most_that_falls_into_a_window_is_counted(frequency: str, window: int, most: int) -> None:
    often = KNOWLEDGE.frequencies[frequency]
    assert most_administrations(often.times, often.period_days, window) == most
    assert dose_in_window(Decimal("1.5"), often.times, often.period_days, window) == Fraction(3, 2) * most


def test_a_frequency_is_denser_only_if_it_is_more_often() -> None:
    in_order = ["qmonth", "q4w", "q2w", "qw", "biw", "tiw", "qod", "qd", "bid", "tid", "qid"]
    for place, code in enumerate(in_order):
        for other in range(len(in_order)):
            one, two = KNOWLEDGE.frequencies[code], KNOWLEDGE.frequencies[in_order[other]]
            assert denser(one.times, one.period_days, two.times, two.period_days) is (place > other)


@pytest.mark.parametrize(("unit", "into", "times"), [
    ("g", "mg", 1000), ("mg", "g", Fraction(1, 1000)), ("mg", "μg", 1000), ("µg", "μg", 1), ("ug", "mcg", 1), ("㎎", "mg", 1),
    ("克", "毫克", 1000), ("IU", "U", 1), ("单位", "国际单位", 1), ("mL", "ml", 1), ("L", "ml", 1000), ("片", "片", 1), ("ng", "g",
    Fraction(1, 10**9)), ("kg", "g", 1000), (" mg ", "mg", 1), ("吸", "吸", 1)])
def test_a_unit_has_an_exact_factor_into_what_measures_the_same(unit: str, into: str, times: int | Fraction) -> None:
    assert factor(unit, into) == times
    assert factor(into, unit) == 1 / Fraction(times)
    assert converted(Decimal("0.5"), unit, into) == Fraction(1, 2) * times


@pytest.mark.parametrize(("unit", "into"), [
    ("mg", "ml"), ("mg", "片"), ("片", "粒"), ("U", "mg"), ("", "mg"), ("mg", ""), ("", ""), ("Mg", "mg"), ("MG", "mg"), ("G", "g"),
    ("勺", "mg"), ("mg/kg", "mg"), ("mmol", "mg"), ("g%", "g")])
def test_nothing_leads_from_a_unit_to_another_kind_or_to_none(unit: str, into: str) -> None:
    assert factor(unit, into) is None
    assert converted(Decimal(1), unit, into) is None


def test_two_spellings_of_a_unit_are_one_unit() -> None:
    assert same_unit("µg", "微克")
    assert not same_unit("mg", "g")


AMOUNTS = st.decimals("0.001", "5000", places=3)


@given(single=AMOUNTS, content=AMOUNTS, frequency=st.sampled_from(sorted(FREQUENCIES)), days=st.integers(1, 84))
def test_required_units_are_the_fewest_that_suffice(single: Decimal, content: Decimal, frequency: str, days: int) -> None:
    often = FREQUENCIES[frequency]
    needed = required_units(single, content, often.times, often.period_days, days)
    asked = Fraction(single) * often.times * days / often.period_days
    assert needed is not None
    assert needed * Fraction(content) >= asked > (needed - 1) * Fraction(content)


@given(units=st.integers(1, 10**6), size=st.integers(1, 500))
def test_whole_packs_hold_the_units_and_less_than_a_pack_more(units: int, size: int) -> None:
    packs = whole_packs(units, size)
    assert packs % size == 0
    assert 0 <= packs - units < size


@given(value=st.decimals(allow_nan=True, allow_infinity=True) | st.integers() | st.fractions())
def test_a_number_is_exact_or_none(value: Decimal | int | Fraction) -> None:
    made = exact(value)
    assert made is None or (made == value and made > 0)


TABLETS = sorted(code for code, entry in KNOWLEDGE.catalogue.items()
                 if (drug := KNOWLEDGE.drug(code)) and drug.route == "PO" and drug.dose_unit == "mg" and entry.unit in ("片", "粒"))


@given(drug=st.sampled_from(TABLETS), frequency=st.sampled_from(sorted(FREQUENCIES)), days=st.integers(1, 84),
       units=st.integers(1, 8), half=st.booleans(), quantity=st.integers(1, 700), grams=st.booleans())
def test_the_audit_refuses_a_quantity_exactly_when_it_is_below_what_is_required(
    drug: str, frequency: str, days: int, units: int, half: bool, quantity: int, grams: bool,
) -> None:
    entry, often = KNOWLEDGE.catalogue[drug], FREQUENCIES[frequency]
    dose = entry.dose_per_unit * units / (2 if half else 1)
    needed = required_units(dose, entry.dose_per_unit, often.times, often.period_days, days)
    assert needed is not None
    line = item(drug, single_dose=dose / 1000 if grams else dose, dose_unit="g" if grams else "mg", frequency=frequency,
                days_supply=days, quantity=Decimal(quantity), unit=entry.unit)
    codes = {(one.code, one.severity) for one in audit(case(rx(line))) if one.rule == "A-21"}
    assert (("QTY_MISMATCH", Severity.BLOCK) in codes) is (quantity < needed)
    assert (("QTY_EXCESS_PACK", Severity.WARN) in codes) is (quantity > whole_packs(needed, entry.units_per_pack))


def test_alendronate_once_a_week_is_one_pack_for_four_weeks() -> None:
    line = item("D113", single_dose=Decimal(70), frequency="qw", days_supply=28, quantity=Decimal(4))
    assert not [one for one in audit(case(rx(line, diagnoses=("M81.000",)))) if one.rule in ("A-21", "A-22", "B-22", "B-23")
                and one.severity is not Severity.INFO]
