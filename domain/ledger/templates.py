"""One template per business event: which accounts it moves money between. Pure functions, without rounding."""

from collections.abc import Callable, Iterator, Mapping

from domain.claims import Settlement
from domain.ledger.accounts import ACCOUNT, CHAIN, CLEARING, COURIER, FAMILY, FUND, PATIENT, Account, account
from domain.ledger.transfers import BusinessEvent, Posting, Transfer
from domain.money import Fen
from domain.payments import Method, Payment, Refund


def settled(prescription_id: str, chain: str, insutype: str, settlement: Settlement) -> Posting:
    """The fund, the personal accounts and the patient pay the chain what it has handed over (F-17)."""
    return Posting(BusinessEvent.SETTLED, settlement.settlement_id, tuple(_paid(chain, insutype, settlement)), insutype,
                   prescription_id)


def reversed_(prescription_id: str, chain: str, insutype: str, settlement: Settlement) -> Posting:
    """The chain gives back all that it was paid by a settlement (F-20)."""
    back = tuple(Transfer(transfer.destination, transfer.source, transfer.amount)
                 for transfer in _paid(chain, insutype, settlement))
    return Posting(BusinessEvent.REVERSED, settlement.settlement_id, back, insutype, prescription_id)


Template = Callable[[str, str, str, Settlement], Posting]
"""Of a prescription, a chain, a type of insurance and a settlement."""
TEMPLATES: Mapping[str, Template] = {BusinessEvent.SETTLED: settled, BusinessEvent.REVERSED: reversed_}
"""Of the events that rest on a settlement of the fund."""


def collected(prescription_id: str, chain: str, payment: Payment) -> Posting:
    """The patient's debt passes to who has the money: the shop, a courier, or the clearing house of the method."""
    assert payment.receipt is not None
    kind, _, who = payment.collector.partition(":")
    holder = (account(CLEARING, method=payment.method) if payment.method != Method.CASH else
              account(COURIER, courier=who) if kind == "courier" else account(CHAIN, chain=chain))
    return Posting(BusinessEvent.COLLECTED, payment.receipt, (Transfer(holder, account(PATIENT), payment.amount),), "",
                   prescription_id)


def handed_in(prescription_id: str, chain: str, payment: Payment) -> Posting:
    """A courier's cash is with the chain."""
    assert payment.receipt is not None
    courier = account(COURIER, courier=payment.collector.partition(":")[2])
    return Posting(BusinessEvent.HANDED_IN, payment.receipt, (Transfer(account(CHAIN, chain=chain), courier, payment.amount),), "",
                   prescription_id)


def refunded(prescription_id: str, chain: str, receipt: str, refund: Refund) -> Posting:
    """The patient gets money back by the method of the payment: cash from the shop."""
    source = account(CHAIN, chain=chain) if refund.method == Method.CASH else account(CLEARING, method=refund.method)
    return Posting(BusinessEvent.REFUNDED, f"{receipt}-{refund.number}", (Transfer(account(PATIENT), source, refund.amount),), "",
                   prescription_id)


def _paid(chain: str, insutype: str, settlement: Settlement) -> Iterator[Transfer]:
    destination = account(CHAIN, chain=chain)
    for source, amount in (
        (account(FUND, insutype=insutype), settlement.fund), (account(ACCOUNT, insutype=insutype), settlement.account),
        (account(FAMILY, insutype=insutype), settlement.family), (account(PATIENT), settlement.cash),
    ):
        yield from _transfer(source, destination, amount)


def _transfer(source: Account, destination: Account, amount: Fen) -> Iterator[Transfer]:
    """No transfer of 0 fen; a negative part of a settlement goes the other way."""
    if amount > 0:
        yield Transfer(source, destination, amount)
    elif amount < 0:
        yield Transfer(destination, source, Fen(-amount))
