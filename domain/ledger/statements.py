"""What the books say of a day, in the form in which the fund is asked about it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.claims import DayTotals
from domain.ledger.accounts import ACCOUNT, CHAIN, FUND, declared
from domain.money import Fen

PHARMACY_PURCHASE: Final = "41"
"""clr_type of what we settle (codes/clr_type)."""


@dataclass(frozen=True)
class Balance:
    """What the postings of one type of insurance come to for one account: positive is owed to it, negative by it."""

    insutype: str
    account: str
    amount: Fen


def day_totals(day: date, clr_optins: str, balances: Iterable[Balance], counts: Iterable[tuple[str, int]]) -> list[DayTotals]:
    """One row of 3201 per type of insurance.

    `balances` and `counts` are of the postings of that day, in any order. A reversal counts minus one, in amounts and in
    number (F-29): `counts` are settlements less reversals. A type of insurance without postings has no row.
    What a relative's account pays is in the total and in no part of it.
    """
    parts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for balance in balances:
        if kind := declared(balance.account):
            parts[balance.insutype][kind.pattern] += balance.amount
    numbers: dict[str, int] = defaultdict(int)
    for insutype, count in counts:
        numbers[insutype] += count
    return [DayTotals(insutype, PHARMACY_PURCHASE, clr_optins, day, day, Fen(parts[insutype][CHAIN.pattern]),
                      Fen(-parts[insutype][FUND.pattern]), Fen(-parts[insutype][ACCOUNT.pattern]), number)
            for insutype, number in sorted(numbers.items())]
