"""The fund's arithmetic: the reference cases to the fen, and what must hold for any claim."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.benefit import BenefitLine, BenefitTerms, Insured, calculate, forecast, forecasts, used_after
from domain.chains import OrderLine
from domain.claims import Accumulators
from domain.errors import NeedsOperator
from domain.money import Fen, fen, line_amount
from domain.policy import AccountScope, BenefitPolicy, CapBasis, Scope
from tests.support.factories import CITY, KNOWLEDGE, entitlement, item, ordinary, rx, used

CASES = json.loads((Path(__file__).parent / "settlement_cases.json").read_text(encoding="utf-8"))


def terms(policy: dict[str, Any]) -> BenefitTerms:
    ratio = Decimal(policy["ratio"])
    cap = fen(policy["cap"]) if "cap" in policy else None
    return BenefitTerms(BenefitPolicy(
        id="case", insutype="310", scope=Scope.CHRONIC, ratios=(ratio, ratio, ratio), deductible=fen(policy["ded"]),
        cap_basis=CapBasis(policy.get("cap_basis", "NONE")), cap=cap,
        pool_cap=fen(policy["pool_cap"]) if "pool_cap" in policy else None,
        large_ratio=Decimal(policy.get("large_ratio", "0")),
        account_scope=AccountScope(policy.get("acct_scope", "ALL")), serious_counts=policy.get("counts_sb", False),
        serious_threshold=fen(policy.get("sb_threshold", "0")), serious_ratio=Decimal(policy.get("sb_ratio", "0")),
    ), ratio, cap)


def line(case: dict[str, Any]) -> BenefitLine:
    price, quantity = Decimal(case["unit_price"]), Decimal(case["qty"])
    return BenefitLine(line_amount(price, quantity), quantity, case["catalog"], Decimal(case.get("r", "0")),
                       Decimal(case["pay_std"]) if "pay_std" in case else None,
                       bool(case.get("restricted")) and case.get("appr") != "1")


def accumulators(case: dict[str, str]) -> Accumulators:
    get = lambda name: fen(case.get(name, "0"))  # noqa: E731
    return Accumulators(get("ded_used"), get("cap_used"), get("pool_used"), get("sb_cum"), get("account"))


@pytest.mark.parametrize("case", CASES, ids=[case["case_id"] for case in CASES])
def test_a_reference_case_comes_out_to_the_fen(case: dict[str, Any]) -> None:
    before = case["accumulators_before"]
    person = Insured(aid_ratio=Decimal(case["person"].get("maf_ratio", "0")),
                    aid_deductible=fen(case["person"].get("maf_ded", "0")),
                    aid_left=Fen(fen(case["person"].get("maf_cap", "0")) - fen(before.get("maf_used", "0"))),
                    family=fen(before.get("family", "0")))
    paid = calculate([line(one) for one in case["lines"]], terms(case["policy"]), person, accumulators(before))
    expected = case["expected"]
    assert {
        "medfee_sumamt": paid.total, "fulamt_ownpay_amt": paid.own, "overlmt_selfpay": paid.over,
        "preselfpay_amt": paid.first_pay, "inscp_scp_amt": paid.eligible, "act_pay_dedc": paid.deductible,
        "hifp_pay": paid.pool, "hifob_pay": paid.large, "hifmi_pay": paid.serious, "cvlserv_pay": paid.civil,
        "maf_pay": paid.aid, "fund_pay_sumamt": paid.fund, "acct_pay": paid.account,
        "acct_mulaid_pay": paid.family, "psn_cash_pay": paid.cash, "line_pool": list(paid.line_pool),
    } == {name: [fen(part) for part in value] if isinstance(value, list) else fen(value)
          for name, value in expected.items()
          if name not in ("base", "pool_before_cap", "over_cap_fund", "psn_part_amt", "eligible_counted")}


MONEY = st.integers(0, 3_000_000).map(Fen)
RATIO = st.decimals(0, 1, places=2)
LINES = st.lists(st.builds(
    BenefitLine, amount=st.integers(0, 500_000).map(Fen), quantity=st.integers(1, 200).map(Decimal),
    category=st.sampled_from("甲乙丙"), first_selfpay=RATIO,
    pay_standard=st.none() | st.decimals(0, 100, places=4), selfpay=st.booleans()), max_size=6)
POLICIES = st.builds(
    BenefitPolicy, id=st.just("p"), insutype=st.just("310"), scope=st.just(Scope.CHRONIC),
    ratios=st.tuples(RATIO, RATIO, RATIO), retired_bonus=RATIO, deductible=MONEY,
    cap_basis=st.sampled_from(CapBasis), cap=st.none() | MONEY,
    pool_cap=st.none() | MONEY, large_ratio=RATIO, account_scope=st.sampled_from(AccountScope),
    serious_counts=st.booleans(), serious_threshold=MONEY, serious_ratio=RATIO, civil_ratio=RATIO)
PEOPLE = st.builds(Insured, civil_ratio=RATIO, aid_ratio=RATIO, aid_deductible=MONEY, aid_left=MONEY, family=MONEY)
USED = st.builds(Accumulators, MONEY, MONEY, MONEY, MONEY, MONEY)


@settings(max_examples=400, deadline=None)
@given(lines=LINES, policy=POLICIES, person=PEOPLE, before=USED, level=st.integers(1, 3), retired=st.booleans())
def test_whatever_the_claim_the_books_balance_and_the_fund_pays_no_more_than_is_eligible(
    lines: list[BenefitLine], policy: BenefitPolicy, person: Insured, before: Accumulators, level: int, retired: bool,
) -> None:
    paid = calculate(lines, BenefitTerms.of(policy, level, retired), person, before)
    assert paid.total == sum(one.amount for one in lines)
    assert paid.total == paid.own + paid.over + paid.first_pay + paid.eligible  # F-02
    assert paid.total == paid.fund + paid.account + paid.family + paid.cash  # F-17
    parts = (paid.own, paid.over, paid.first_pay, paid.eligible, paid.deductible, paid.pool, paid.large, paid.serious,
             paid.civil, paid.aid, paid.fund, paid.account, paid.family, paid.cash, *paid.line_pool)
    assert min(parts) >= 0
    assert paid.fund <= paid.eligible
    assert sum(paid.line_pool) == paid.pool
    assert paid.account <= before.account
    if policy.pool_cap is not None:
        assert paid.pool <= max(0, policy.pool_cap - before.pool_used)
    if policy.cap is not None and policy.cap_basis is CapBasis.FUND:
        assert paid.pool <= max(0, policy.cap - before.cap_used)
    denied = [share for one, share in zip(lines, paid.line_pool, strict=True) if one.selfpay or one.category == "丙"]
    assert not any(denied)


def plain(**changes: Any) -> BenefitTerms:
    policy = BenefitPolicy("p", "310", Scope.CHRONIC, (Decimal("0.9"), Decimal("0.85"), Decimal("0.8")))
    return BenefitTerms.of(replace(policy, **changes), 3, False)


def one(amount: int) -> list[BenefitLine]:
    return [BenefitLine(Fen(amount), Decimal(1), "甲")]


def test_above_the_pools_yearly_cap_the_large_sum_scheme_pays_its_own_ratio() -> None:
    # 100 yuan at 0.8: 80; only 20 left. The 60 stand for 75 eligible, of which large-sum pays 0.9.
    paid = calculate(one(10000), plain(pool_cap=Fen(100000), large_ratio=Decimal("0.9")), Insured(), used(pool_used=98000))
    assert (paid.pool, paid.large, paid.fund) == (2000, 6750, 8750)


def test_an_eligible_cap_counts_money_before_the_ratio() -> None:
    paid = calculate(one(10000), plain(cap_basis=CapBasis.ELIGIBLE, cap=Fen(5000)), Insured(), used(cap_used=1000))
    assert paid.pool == 3200


def test_a_civil_servant_gets_part_of_the_eligible_remainder() -> None:
    paid = calculate(one(10000), plain(), Insured(civil_ratio=Decimal("0.5")), used())
    assert (paid.pool, paid.civil, paid.cash) == (8000, 1000, 1000)


def test_the_family_account_comes_after_the_persons_own() -> None:
    paid = calculate(one(10000), plain(), Insured(family=Fen(700)), used(account=1000))
    assert (paid.account, paid.family, paid.cash) == (1000, 700, 300)


def test_an_account_for_eligible_money_only_leaves_the_rest_to_cash() -> None:
    lines = [BenefitLine(Fen(10000), Decimal(1), "乙", Decimal("0.1"))]
    paid = calculate(lines, plain(account_scope=AccountScope.ELIGIBLE_ONLY), Insured(), used(account=99999))
    assert (paid.fund, paid.account, paid.cash) == (7200, 1800, 1000)


def order(drug: str = "D001", price: str = "0.31", quantity: int = 60, line: int = 1) -> OrderLine:
    unit_price, count = Decimal(price), Decimal(quantity)
    return OrderLine(line, drug, count, KNOWLEDGE.catalogue[drug].unit if drug in KNOWLEDGE.catalogue else "片",
                     unit_price, line_amount(unit_price, count))


BASKET = [order(), order("D010", "0.31", 90, 2)]


@pytest.mark.parametrize(("person", "disease", "fund", "account"), [
    (entitlement(used=used(deductible_used=50000, account=10000)), "M01600", 3720, 930),
    (entitlement(retired=True, used=used(deductible_used=50000, account=10000)), "M01600", 3953, 697),
    (entitlement("M03900", used=used(deductible_used=50000)), "M01600", 3023, 0),
    (entitlement(used=used(deductible_used=50000)), "", 3023, 0),
    (entitlement("M99999", used=used(deductible_used=50000)), "M99999", 3023, 0),
    (entitlement(insutype="390", used=used(deductible_used=50000, account=10000)), "M01600", 2790, 0),
    (entitlement(insutype="390", used=used(deductible_used=50000)), "", 2325, 0),
    (entitlement(insutype="510"), "M01600", 0, 0),
    (entitlement(active=False), "M01600", 0, 0),
], ids=["chronic", "retired", "no qualification", "no disease claimed", "not in this city", "resident",
        "resident ordinary", "other insurance", "not active"])
def test_the_forecast_takes_the_policy_of_person_disease_and_level(
    person: Any, disease: str, fund: int, account: int
) -> None:
    paid = forecast(ordinary("D001", "D010", disease="") if not disease else rx(disease=disease), BASKET, person,
                    CITY, KNOWLEDGE, frozenset())
    assert (paid.total, paid.fund, paid.account) == (4650, fund, account)


def test_the_forecast_pays_nothing_for_a_denied_or_unlisted_line() -> None:
    person = entitlement(used=used(deductible_used=50000))
    paid = forecast(rx(item(), item("D010", 2)), [*BASKET, order("D999", "1.00", 10, 3)], person, CITY, KNOWLEDGE,
                    frozenset({1}))
    assert (paid.own, paid.line_pool) == (2860, (0, 2232, 0))


def test_the_forecast_uses_the_diseases_own_cap() -> None:
    person = entitlement(used=used(deductible_used=50000, cap_used=420000 - 1000))
    assert forecast(rx(), BASKET, person, CITY, KNOWLEDGE, frozenset()).fund == 1000


@pytest.mark.parametrize(("caps", "fund"), [
    ({"M01600": 419000, "M03900": 0}, 1000), ({"M01600": 0, "M03900": 300000}, 3720), ({"": 200000}, 3720), (None, 1000),
])
def test_another_diseases_full_cap_takes_nothing_from_this_one(caps: Any, fund: int) -> None:
    by_disease = None if caps is None else tuple(caps.items())
    person = entitlement(used=replace(used(deductible_used=50000, cap_used=420000 - 1000), caps=by_disease))
    assert forecast(rx(), BASKET, person, CITY, KNOWLEDGE, frozenset()).fund == fund


def test_a_hospital_the_city_does_not_know_is_for_the_operator() -> None:
    with pytest.raises(NeedsOperator, match=r"policy\.toml"):
        forecast(rx(hospital="elsewhere"), BASKET, entitlement(), CITY, KNOWLEDGE, frozenset())


def test_a_second_claim_finds_what_the_first_has_used_up() -> None:
    first, second = (next(case for case in CASES if case["case_id"] == name) for name in ("S12a", "S12b"))
    before = accumulators(first["accumulators_before"])
    paid = calculate([line(each) for each in first["lines"]], terms(first["policy"]), Insured(), before)
    after = used_after(before, paid, terms(first["policy"]))
    assert after.cap_used - before.cap_used == paid.pool
    again = calculate([line(each) for each in second["lines"]], terms(second["policy"]), Insured(), after)
    assert again.pool == fen(second["expected"]["hifp_pay"]), "the cap ends within the second one"


@pytest.mark.parametrize(("basis", "counted"), [(CapBasis.FUND, 6000), (CapBasis.ELIGIBLE, 7500), (CapBasis.NONE, 6000)])
def test_what_counts_against_a_cap_is_the_funds_money_or_what_is_in_scope(basis: CapBasis, counted: int) -> None:
    policy = BenefitPolicy(id="case", insutype="310", scope=Scope.CHRONIC, ratios=(Decimal("0.8"),) * 3, deductible=Fen(2500),
                           cap_basis=basis, cap=Fen(100_000), serious_counts=True, account_scope=AccountScope.ALL)
    against = BenefitTerms(policy, Decimal("0.8"), Fen(100_000), "M01600")
    before = Accumulators(account=Fen(1000), caps=(("", Fen(5)), ("M01600", Fen(10))))
    paid = calculate([BenefitLine(Fen(10_000), Decimal(1), "甲")], against, Insured(), before)
    after = used_after(before, paid, against)
    assert dict(after.caps or ()) == {"": 5, "M01600": 10 + counted}
    assert (after.deductible_used, after.pool_used, after.account, after.serious_illness) == (2500, 6000, 0, 4000)


def test_two_pharmacies_that_share_it_are_forecast_one_after_the_other() -> None:
    prescribed, person = rx(item("D001"), item("D010", 2)), entitlement()
    orders = [[OrderLine(1, "D001", Decimal(60), "片", Decimal("0.30"), Fen(1800))],
              [OrderLine(2, "D010", Decimal(90), "片", Decimal("0.30"), Fen(2700))]]
    first, second = forecasts(prescribed, orders, person, CITY, KNOWLEDGE, frozenset())
    assert first == forecast(prescribed, orders[0], person, CITY, KNOWLEDGE, frozenset())
    assert first.deductible + second.deductible <= 50_000
    assert second.total == 2700
