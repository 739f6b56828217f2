"""The chart of accounts: every address that money may come from or go to is declared here."""

import re
from dataclasses import dataclass, field

from domain.words import Two


@dataclass(frozen=True)
class Declared:
    """A kind of account. `pattern` is its address with names in braces for what differs from account to account."""

    pattern: str
    words: Two
    matches: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = re.split(r"\{(\w+)\}", self.pattern)
        spelled = "".join(f"(?P<{part}>{NAMES[part]})" if place % 2 else re.escape(part) for place, part in enumerate(parts))
        object.__setattr__(self, "matches", re.compile(spelled))


NAMES = {"insutype": "[0-9]{3}", "chain": "[a-z][a-z0-9_]*", "courier": "[a-z][a-z0-9_]*", "method": "[a-z]+"}
"""What a name in a pattern may be: a type of insurance (codes/insutype.csv), the slug of an adapter, `domain.payments.Method`."""

FUND = Declared("fund:{insutype}", Two("统筹基金", "fund"))
"""What the fund pays (fund_pay_sumamt)."""
ACCOUNT = Declared("account:{insutype}", Two("个人账户", "personal account"))
"""What the patient's own account pays (acct_pay). Postings of release 0.1 hold what a relative's account pays as well."""
FAMILY = Declared("account:{insutype}:family", Two("家庭共济账户", "relative's account"))
"""What a relative's account pays (acct_mulaid_pay)."""
PATIENT = Declared("patient", Two("患者现金", "patient's cash"))
"""What the patient pays in cash (psn_cash_pay)."""
CHAIN = Declared("chain:{chain}", Two("连锁", "chain"))
"""What a chain is owed for what it has handed over, less the cash that it has got."""
COURIER = Declared("courier:{courier}", Two("配送员代收现金", "courier's cash"))
"""Cash that a courier has taken at doors and has still to hand in."""
CLEARING = Declared("clearing:{method}", Two("支付清算", "clearing"))
"""What patients have paid by card, Alipay or WeChat: the clearing house owes it to the chains."""
CHART = (FUND, ACCOUNT, FAMILY, PATIENT, CHAIN, COURIER, CLEARING)


@dataclass(frozen=True)
class Account:
    """An account of the chart. Raises `ValueError` for an address that the chart does not declare."""

    address: str

    def __post_init__(self) -> None:
        if declared(self.address) is None:
            raise ValueError(f"{self.address!r} is no account of the chart")

    def __str__(self) -> str:
        return self.address


def account(kind: Declared, **names: str) -> Account:
    """The account of that kind, e.g. `account(FUND, insutype="310")`."""
    return Account(kind.pattern.format(**names))


def declared(address: str) -> Declared | None:
    """Which kind of account an address is; None for one that the chart does not declare."""
    return next((kind for kind in CHART if kind.matches.fullmatch(address)), None)


def words(address: str) -> Two | None:
    """An account in words with the names in its address, e.g. 统筹基金 310; None for one that the chart does not declare."""
    kind = declared(address)
    if kind is None:
        return None
    match = kind.matches.fullmatch(address)
    assert match is not None
    return Two(*(" ".join((language, *match.groups())) for language in kind.words))
