"""The centre's own arithmetic against the worked examples of the settlement rules (F.y)."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox.benefits import Drug, Sold, Standing, Terms, after, settle

CASES = json.loads((Path(__file__).parent / "settlement_cases.json").read_text(encoding="utf-8"))


def terms(case: dict[str, Any]) -> Terms:
    policy, person = case["policy"], case["person"]
    given: dict[str, Any] = {
        "ratio": policy["ratio"], "deductible": policy["ded"], "cap": policy.get("cap"),
        "pool_cap": policy.get("pool_cap"), "large_ratio": policy.get("large_ratio"),
        "serious_threshold": policy.get("sb_threshold") if policy.get("counts_sb") else None,
        "serious_ratio": policy.get("sb_ratio"), "civil_ratio": person.get("cvl_ratio"),
        "aid_ratio": person.get("maf_ratio"), "aid_deductible": person.get("maf_ded"), "aid_cap": person.get("maf_cap"),
    }
    return Terms(**{key: Decimal(value) for key, value in given.items() if value is not None},
                 cap_basis=policy.get("cap_basis", "NONE"), account_scope=policy.get("acct_scope", "ALL"))


def standing(case: dict[str, Any]) -> Standing:
    names = {"ded_used": "deductible", "cap_used": "cap", "pool_used": "pool", "sb_cum": "serious", "maf_used": "aid",
             "account": "account", "family": "family"}
    return Standing(**{names[key]: Decimal(value) for key, value in case["accumulators_before"].items()})


def sold(case: dict[str, Any]) -> list[Sold]:
    return [
        Sold(Drug(line["catalog"], Decimal(line.get("r", 0)), Decimal(line["pay_std"]) if "pay_std" in line else None),
             Decimal(line["qty"]), Decimal(line["unit_price"]),
             denied=line.get("appr") == "2" or (bool(line.get("restricted")) and line.get("appr") != "1"))
        for line in case["lines"]
    ]


@pytest.mark.parametrize("case", CASES, ids=[case["case_id"] for case in CASES])
def test_the_centre_agrees_with_the_worked_example(case):
    outcome = settle(sold(case), terms(case), standing(case))
    expected = case["expected"]
    assert {
        "medfee_sumamt": outcome.total, "fulamt_ownpay_amt": outcome.own, "overlmt_selfpay": outcome.over,
        "preselfpay_amt": outcome.first, "inscp_scp_amt": outcome.scope, "act_pay_dedc": outcome.deductible,
        "hifp_pay": outcome.pool, "hifob_pay": outcome.large, "hifmi_pay": outcome.serious,
        "cvlserv_pay": outcome.civil, "maf_pay": outcome.aid, "fund_pay_sumamt": outcome.fund,
        "acct_pay": outcome.account, "acct_mulaid_pay": outcome.family, "psn_cash_pay": outcome.cash,
    } == {key: Decimal(expected[key]) for key in expected if key in {
        "medfee_sumamt", "fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt", "act_pay_dedc",
        "hifp_pay", "hifob_pay", "hifmi_pay", "cvlserv_pay", "maf_pay", "fund_pay_sumamt", "acct_pay",
        "acct_mulaid_pay", "psn_cash_pay"}}
    assert list(outcome.line_pool) == [Decimal(share) for share in expected["line_pool"]]


@pytest.mark.parametrize("case", CASES, ids=[case["case_id"] for case in CASES])
def test_a_reversal_takes_exactly_the_same_amounts_back(case):
    before = standing(case)
    outcome = settle(sold(case), terms(case), before)
    assert after(after(before, outcome), outcome, -1) == before


def test_above_the_pool_cap_the_large_sum_scheme_pays_its_ratio():
    line = [Sold(Drug("甲"), Decimal(1), Decimal("1000.00"))]
    outcome = settle(line, Terms(Decimal("0.80"), pool_cap=Decimal(100000), large_ratio=Decimal("0.90")),
                     Standing(pool=Decimal("99900.00")))
    assert (outcome.pool, outcome.large, outcome.fund) == (Decimal("100.00"), Decimal("787.50"), Decimal("887.50"))
