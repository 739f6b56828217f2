"""Our verdicts beside those of an independent validator, written down when `./go prove profiles` last asked it."""

import pytest

from fhir_profiles import structure
from fhir_profiles.definitions import definitions
from fhir_profiles.shapes import Profiles
from tests.fhir_profiles import oracle
from tests.support.fhir_messages import changed
from tests.support.fhir_mutants import Case, valid_cases

CASES = oracle.cases()


def test_every_verdict_agrees_with_the_oracle_or_is_explained():
    theirs = oracle.recorded(CASES)
    assert theirs is not None, "the examples have changed: run ./go prove profiles --write"
    compared = oracle.compare(CASES, theirs)
    assert compared.unexplained == ()
    assert compared.agreed + compared.explained.total() == len(CASES)
    assert compared.agreed > 0.9 * len(CASES)
    assert set(compared.explained) <= set(oracle.GAPS)


def test_the_mutants_break_something_of_everything():
    hows = {case.how for case in CASES}
    assert hows == {"valid", "dropped", "unknown element", "wrong type", "empty", "repeated", "other value", "negative",
                    "fraction", "too much", "wrong target", "wrong code", "malformed", "wrong system", "blank"}
    engine = Profiles(definitions())
    broken = sum(bool(structure.faults(case.profile, case.resource, among=engine)) for case in CASES)
    assert broken > 0.5 * len(CASES)


def test_a_verdict_of_ours_that_nothing_explains_is_not_explained_away():
    person = next(case for case in valid_cases() if case.profile == "organization")
    twice = Case("organization", person.resource | {"name": ["x"]}, "repeated", ("name",))
    assert oracle.compare([twice], [True]).unexplained == (twice,)
    assert oracle.compare([person], [False]).unexplained == (person,)


@pytest.mark.parametrize(("gap", "profile", "spot", "value"), [
    ("binding", "patient", ("gender",), "other"),
    ("range", "practitioner", ("extension", 0, "valueInteger"), 81),
    ("target", "encounter", ("subject", "reference"), "Group/1"),
    ("slice", "practitioner", ("identifier", 0, "value"), "D1"),
])
def test_a_gap_is_exactly_what_is_left_out(gap, profile, spot, value):
    source = next(case.resource for case in valid_cases() if case.profile == profile)
    broken = changed(source, (spot, value))
    assert structure.faults(profile, broken)
    assert not structure.faults(profile, broken, among=oracle.without(gap))
    others = {"binding", "range", "target"} - {gap} if gap == "slice" else {"binding", "range", "target", "slice"} - {gap}
    if gap != "range":
        assert structure.faults(profile, broken, among=oracle.without(*others))
