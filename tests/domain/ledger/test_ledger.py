"""The books: accounts are declared, money goes from one to another in whole fen, and each business event has its template."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.claims import DayTotals, Settlement
from domain.ledger import accounts, templates
from domain.ledger.accounts import CHAIN, CHART, FAMILY, FUND, PATIENT, Account, account
from domain.ledger.statements import Balance, day_totals
from domain.ledger.transfers import BusinessEvent, Posting, Transfer
from domain.money import Fen
from domain.payments import Method, Payment, PaymentStatus, Refund

DAY = date(2026, 11, 22)


def division(fund: int = 0, own_account: int = 0, family: int = 0, cash: int = 0) -> Settlement:
    total = Fen(fund + own_account + family + cash)
    return Settlement(total, Fen(0), Fen(0), Fen(0), total, Fen(0), Fen(fund), fund=Fen(fund), account=Fen(own_account),
                      family=Fen(family), cash=Fen(cash), settlement_id="S1", day=DAY)


# --- accounts ---


@pytest.mark.parametrize(("address", "zh", "en"), [
    ("fund:310", "统筹基金 310", "fund 310"), ("account:390", "个人账户 390", "personal account 390"),
    ("account:310:family", "家庭共济账户 310", "relative's account 310"), ("patient", "患者现金", "patient's cash"),
    ("chain:ankang", "连锁 ankang", "chain ankang"),
])
def test_an_account_of_the_chart_has_words(address: str, zh: str, en: str) -> None:
    assert str(Account(address)) == address
    assert accounts.words(address) == (zh, en)


@pytest.mark.parametrize("address", [
    "", "fund", "fund:", "fund:31", "fund:3100", "fund:abc", "fund:310:pool", "fund:310 ", " fund:310", "Fund:310", "account",
    "account:310:", "account:310:friend", "patient:310", "patients", "chain", "chain:", "chain:Ankang", "chain:an kang",
    "chain:ankang:1", "supplier:x", "fund:３１０", "chain:安康", "fund:310\n",
])
def test_an_account_that_is_not_declared_cannot_be_made(address: str) -> None:
    with pytest.raises(ValueError, match="no account of the chart"):
        Account(address)
    assert accounts.words(address) is None


def test_accounts_are_made_from_their_declaration() -> None:
    assert account(FUND, insutype="310") == Account("fund:310")
    assert account(FAMILY, insutype="390") == Account("account:390:family")
    assert account(CHAIN, chain="baicao") == Account("chain:baicao")
    assert account(PATIENT) == Account("patient")
    with pytest.raises(ValueError, match="no account of the chart"):
        account(CHAIN, chain="")


def test_no_two_declarations_have_an_account_in_common() -> None:
    for address in ("fund:310", "account:310", "account:310:family", "patient", "chain:ankang", "chain:family"):
        assert sum(kind.matches.fullmatch(address) is not None for kind in CHART) == 1


# --- transfers ---


@pytest.mark.parametrize("amount", [0, -1, True, 1.0, "1", None])
def test_a_transfer_is_a_positive_number_of_whole_fen(amount: Any) -> None:
    with pytest.raises(ValueError, match="not a positive number of fen"):
        Transfer(Account("patient"), Account("chain:ankang"), amount)


def test_nothing_is_transferred_to_where_it_is() -> None:
    with pytest.raises(ValueError, match="to itself"):
        Transfer(Account("patient"), Account("patient"), Fen(1))


def test_a_posting_need_not_be_about_a_prescription() -> None:
    posting = Posting(BusinessEvent.SETTLED, "S1", (Transfer(Account("fund:310"), Account("chain:ankang"), Fen(5)),))
    assert posting.prescription_id is None
    assert posting.sides == {"chain:ankang": 5, "fund:310": -5}


# --- templates ---


@pytest.mark.parametrize(("settlement", "sides"), [
    (division(1200, 100, 0, 700), {"chain:ankang": 2000, "fund:310": -1200, "account:310": -100, "patient": -700}),
    (division(fund=1, family=2), {"chain:ankang": 3, "fund:310": -1, "account:310:family": -2}),
    (division(1, 2, 3, 4), {"chain:ankang": 10, "fund:310": -1, "account:310": -2, "account:310:family": -3, "patient": -4}),
    (division(cash=420), {"chain:ankang": 420, "patient": -420}),
    (division(fund=500), {"chain:ankang": 500, "fund:310": -500}),
    (division(), {}),
    (division(fund=-100, cash=300), {"chain:ankang": 200, "fund:310": 100, "patient": -300}),
])
def test_a_settlement_pays_the_chain_and_a_reversal_takes_it_back(settlement: Settlement, sides: dict[str, int]) -> None:
    forward, back = (template("rx_1", "ankang", "310", settlement) for template in (templates.settled, templates.reversed_))
    assert forward.sides == sides
    assert back.sides == {address: -amount for address, amount in sides.items()}
    assert (forward.event, back.event) == (BusinessEvent.SETTLED, BusinessEvent.REVERSED)
    for posting in (forward, back):
        assert (posting.reference, posting.insutype, posting.prescription_id) == ("S1", "310", "rx_1")


def test_every_business_event_has_its_template() -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    payment = Payment(1, PaymentStatus.PAID, Fen(5), Method.CASH, "courier:jisong", "", "R1", at, at)
    others = [templates.collected("rx_1", "linli", payment), templates.handed_in("rx_1", "linli", payment),
              templates.refunded("rx_1", "linli", "R1", Refund(1, Fen(5), Method.CASH, at))]
    assert set(templates.TEMPLATES) | {posting.event for posting in others} == set(BusinessEvent)
    for event, template in templates.TEMPLATES.items():
        assert template("rx_1", "ankang", "310", division(1)).event == event


@given(st.tuples(*[st.integers(0, 10**9)] * 4))
def test_whatever_the_fund_answers_balances_to_the_fen(parts: tuple[int, int, int, int]) -> None:
    settlement = division(*parts)
    for event, template in templates.TEMPLATES.items():
        posting = template("rx_1", "ankang", "310", settlement)
        assert sum(posting.sides.values()) == 0
        assert posting.sides.get("chain:ankang", 0) == settlement.total * (-1 if event == BusinessEvent.REVERSED else 1)


# --- days ---


@pytest.mark.parametrize(("balances", "counts", "rows"), [
    ([], [], []),
    ([], [("310", 0)], [("310", 0, 0, 0, 0)]),
    ([("310", "chain:ankang", 2000), ("310", "fund:310", -1200), ("310", "account:310", -100), ("310", "account:310:family", -50),
      ("310", "patient", -650)], [("310", 1)], [("310", 2000, 1200, 100, 1)]),
    ([("310", "chain:ankang", 5), ("310", "chain:baicao", 7), ("390", "chain:ankang", 1), ("390", "patient", -1)],
     [("390", 1), ("310", 2), ("310", 1)], [("310", 12, 0, 0, 3), ("390", 1, 0, 0, 1)]),
    ([("310", "chain:ankang", -2000), ("310", "fund:310", 2000)], [("310", -1)], [("310", -2000, -2000, 0, -1)]),
])
def test_a_days_totals_are_what_its_postings_come_to(
        balances: list[tuple[str, str, int]], counts: list[tuple[str, int]], rows: list[tuple[str, int, int, int, int]]) -> None:
    totals = day_totals(DAY, "370100", [Balance(insutype, address, Fen(amount)) for insutype, address, amount in balances], counts)
    assert totals == [DayTotals(insutype, "41", "370100", DAY, DAY, Fen(total), Fen(fund), Fen(own), count)
                      for insutype, total, fund, own, count in rows]
