"""When another product of the same generic may take the place of the one prescribed (D-13)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.chains import OrderLine, Quote
from domain.fulfilment.allocation import choose
from domain.fulfilment.ranking import REASONS, rank
from domain.fulfilment.substitution import Consents, Judged, NoSwitch, Swap, Verdict, judge
from domain.money import Fen
from domain.premises import handling_of
from domain.prescription import Handover
from tests.support.factories import CITY, KNOWLEDGE

CATALOGUE = KNOWLEDGE.catalogue
DRUGS = KNOWLEDGE.drugs
TOWN = replace(
    KNOWLEDGE,
    catalogue=CATALOGUE | {
        "D106B": replace(CATALOGUE["D106"], code="D106B"), "D030B": replace(CATALOGUE["D030"], code="D030B"),
        "D099B": replace(CATALOGUE["D099"], code="D099B"), "D187B": replace(CATALOGUE["D187"], code="D187B"),
        "D032X": replace(CATALOGUE["D032"], code="D032X", dose_per_unit=Decimal(10)),
        "D032Y": replace(CATALOGUE["D032"], code="D032Y", dose_per_unit=Decimal("7.5")),
        "D032C": replace(CATALOGUE["D032"], code="D032C", unit="粒"),
        "D032R": replace(CATALOGUE["D032"], code="D032R", drug="R032"),
        "D032F": replace(CATALOGUE["D032"], code="D032F", drug="F032"),
    },
    drugs=DRUGS | {"R032": replace(DRUGS["D032"], id="R032", route="SL"), "F032": replace(DRUGS["D032"], id="F032", form="膜剂")})


@pytest.mark.parametrize(("prescribed", "offered", "verdict", "reason"), [
    ("D032B", "D032", Verdict.ALLOWED, None),
    ("D032", "D032B", Verdict.ALLOWED, None),
    ("D072B", "D072", Verdict.ALLOWED, None),
    ("D001", "D002", Verdict.NEVER, NoSwitch.FORM),
    ("D002", "D001", Verdict.NEVER, NoSwitch.FORM),
    ("D106", "D106B", Verdict.WITH_CONSENT, NoSwitch.NARROW_INDEX),
    ("D030", "D030B", Verdict.WITH_CONSENT, NoSwitch.BIOLOGIC),
    ("D099", "D099B", Verdict.WITH_CONSENT, NoSwitch.INHALER),
    ("D032", "D032X", Verdict.WITH_CONSENT, NoSwitch.MULTIPLE),
    ("D032X", "D032", Verdict.WITH_CONSENT, NoSwitch.MULTIPLE),
    ("D032", "D032Y", Verdict.NEVER, NoSwitch.STRENGTH),
    ("D032", "D032C", Verdict.NEVER, NoSwitch.FORM),
    ("D032", "D032R", Verdict.NEVER, NoSwitch.ROUTE),
    ("D032", "D032F", Verdict.NEVER, NoSwitch.UNKNOWN),
    ("D032", "D048", Verdict.NEVER, NoSwitch.GENERIC),
    ("D187", "D187B", Verdict.NEVER, NoSwitch.UNKNOWN),
    ("D032", "NOWHERE", Verdict.NEVER, NoSwitch.UNKNOWN),
    ("YP101", "YP102", Verdict.NEVER, NoSwitch.UNKNOWN),
])
def test_a_product_takes_the_place_of_another_as_far_as_is_known_to_be_safe(
        prescribed: str, offered: str, verdict: Verdict, reason: NoSwitch | None) -> None:
    assert judge(prescribed, offered, TOWN) == Judged(verdict, reason)


def offered(drug: str, instead_of: str = "") -> OrderLine:
    return OrderLine(1, drug, Decimal(28), "片", Decimal("0.10"), Fen(280), instead_of)


@pytest.mark.parametrize(("line", "consents", "barred"), [
    (offered("D032"), Consents(), None),
    (offered("D032B", "D032"), Consents(), NoSwitch.UNASKED),
    (offered("D032B", "D032"), Consents(to_choose=True), None),
    (offered("D032B", "D032"), Consents(agreed=frozenset({Swap("D032", "D032B")})), None),
    (offered("D032B", "D032"), Consents(agreed=frozenset({Swap("D032", "D032C")})), NoSwitch.UNASKED),
    (offered("D032B", "D032"), Consents({"D032": False}, to_choose=True), NoSwitch.FORBIDDEN),
    (offered("D106B", "D106"), Consents({"D106": None}, to_choose=True), NoSwitch.NARROW_INDEX),
    (offered("D106B", "D106"), Consents({"D106": True}, to_choose=True), None),
    (offered("D106B", "D106"), Consents({"D106": True}), NoSwitch.UNASKED),
    (offered("D032X", "D032"), Consents({"D032": True}, to_choose=True), NoSwitch.MULTIPLE),
    (offered("D002", "D001"), Consents({"D001": True}, to_choose=True), NoSwitch.FORM),
])
def test_prescriber_and_patient_must_both_be_content(line: OrderLine, consents: Consents, barred: NoSwitch | None) -> None:
    assert consents.barred(line, TOWN) == barred


@pytest.mark.parametrize(("consents", "reason"), [
    (Consents(), NoSwitch.UNASKED),
    (Consents({"D032": False}, to_choose=True), NoSwitch.FORBIDDEN),
    (Consents(to_choose=True), ""),
])
def test_a_store_with_another_product_says_why_it_gets_no_order(consents: Consents, reason: str) -> None:
    wanted = [OrderLine(1, "D032", Decimal(28), "片")]
    quote = Quote("ankang", "AK01", (offered("D032B", "D032"),), 20, Decimal(0), Decimal(1), Decimal(1), delivers=True)

    (only,) = rank([quote], wanted, CITY, TOWN.ceilings, {}, handling_of(["D032", "D032B"], Handover.PICKUP, TOWN),
                   no_switch=lambda line: consents.barred(line, TOWN))

    assert only.reason == reason
    assert reason == "" or REASONS[reason][1] in only.why_en
    order = choose([only], wanted, parcels=2, least=None)
    assert (order is None) is bool(reason)
    if order:
        (line,) = order.lines
        assert (line.drug, line.instead_of, line.amount) == ("D032B", "D032", 280)


def test_all_products_of_a_drug_and_strength_have_the_pay_standard_of_the_generic() -> None:
    standards: dict[tuple[str, Decimal], set[Decimal | None]] = {}
    for entry in CATALOGUE.values():
        standards.setdefault((entry.drug, entry.dose_per_unit), set()).add(entry.pay_standard)
    assert {key for key, several in standards.items() if len(several) > 1} == set()
    assert len(standards) < len(CATALOGUE), "some have a second product"
