"""The ledger: postings and their transfers, append-only, and their totals.

Release 0.1 wrote a posting as entries (an account and a signed amount) that sum to zero. Those rows stay, and workers of
that release that still run go on writing them. `SIDES` is both, as entries.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.claims import DayTotals
from domain.ledger.statements import Balance, day_totals
from domain.ledger.transfers import BusinessEvent, Posting
from domain.money import Fen
from infra.db.engine import run, table
from infra.db.rows import ClaimRow, EntryRow, PostingRow, TransferRow
from infra.db.stored import SETTLEMENT

_POSTING, _TRANSFER, _ENTRY, _CLAIM = (table(row) for row in (PostingRow, TransferRow, EntryRow, ClaimRow))
_POST = sa.insert(_POSTING)
_TRANSFERS = sa.insert(_TRANSFER)

SIDES = sa.union_all(
    sa.select(_TRANSFER.c.posting_id, _TRANSFER.c.seq, _TRANSFER.c.source.label("account"),
              (-_TRANSFER.c.amount_fen).label("amount_fen")),
    sa.select(_TRANSFER.c.posting_id, _TRANSFER.c.seq, _TRANSFER.c.destination, _TRANSFER.c.amount_fen),
    sa.select(_ENTRY.c.posting_id, _ENTRY.c.seq, _ENTRY.c.account, _ENTRY.c.amount_fen),
).subquery("side")
"""Both sides of every transfer, and the entries of release 0.1: an account, and what is owed to it (positive) or by it."""


def post(session: Session, posting: Posting, *, at: datetime, day: date | None) -> None:
    """Write a posting down. `day` is the fund's calendar day it counts for.

    Raises `sqlalchemy.exc.IntegrityError` for a second one of the same event and reference.
    """
    inserted = run(session, _POST, {
        "prescription_id": posting.prescription_id, "kind": posting.event, "reference": posting.reference,
        "insutype": posting.insutype, "at": at, "day": day}).inserted_primary_key
    assert inserted
    if posting.transfers:
        run(session, _TRANSFERS, [
            {"posting_id": inserted[0], "seq": seq, "source": str(transfer.source), "destination": str(transfer.destination),
             "amount_fen": transfer.amount} for seq, transfer in enumerate(posting.transfers, 1)])


def balances(session: Session) -> dict[str, Fen]:
    """What every account has come to, by address. Reads the whole ledger."""
    sums = sa.select(SIDES.c.account, sa.func.sum(SIDES.c.amount_fen)).group_by(SIDES.c.account)
    return {account: Fen(int(total)) for account, total in session.execute(sums)}


_OF_DAY = _POSTING.c.day == sa.bindparam("day")
_SIGN = sa.case((_POSTING.c.kind == BusinessEvent.REVERSED.value, -1), else_=1)
_NUMBERS = (sa.select(_POSTING.c.insutype, sa.func.sum(_SIGN)).where(_OF_DAY, _POSTING.c.insutype != "")
            .group_by(_POSTING.c.insutype))
_MOVED = (
    sa.select(_POSTING.c.insutype, _TRANSFER.c.source, _TRANSFER.c.destination, sa.func.sum(_TRANSFER.c.amount_fen))
    .join(_TRANSFER, _TRANSFER.c.posting_id == _POSTING.c.id).where(_OF_DAY, _POSTING.c.insutype != "")
    .group_by(_POSTING.c.insutype, _TRANSFER.c.source, _TRANSFER.c.destination)
)
_FORMER = sa.and_(_OF_DAY, _POSTING.c.insutype.is_(None))
_FORMER_STRETCH = sa.select(sa.func.min(_POSTING.c.id), sa.func.max(_POSTING.c.id)).where(_FORMER)
_FORMER_CLAIMS = (
    sa.select(_CLAIM.c.insutype, _POSTING.c.kind, _CLAIM.c.settled)
    .join(_CLAIM, sa.and_(_CLAIM.c.prescription_id == _POSTING.c.prescription_id,
                          _CLAIM.c.settlement_id == _POSTING.c.reference))
    .where(_FORMER)
)


def totals_of(session: Session, day: date, clr_optins: str) -> list[DayTotals]:
    """A day's totals per type of insurance, as the fund is asked about them (3201)."""
    numbers = [(insutype, int(count)) for insutype, count in run(session, _NUMBERS, {"day": day})]
    former_balances, former_numbers = _former(session, day)
    return day_totals(day, clr_optins, [*_moved(session, day), *former_balances], numbers + former_numbers)


def _moved(session: Session, day: date) -> Iterator[Balance]:
    for insutype, source, destination, amount in run(session, _MOVED, {"day": day}):
        yield Balance(insutype, source, Fen(-int(amount)))
        yield Balance(insutype, destination, Fen(int(amount)))


def _former(session: Session, day: date) -> tuple[list[Balance], list[tuple[str, int]]]:
    """Balances and numbers of what release 0.1 has posted for a day: none on most days.

    Each of its postings has one entry for the fund, which names the type of insurance. It posted a relative's account together
    with the patient's own: the claims say how much of it was the relative's.
    """
    first, last = run(session, _FORMER_STRETCH, {"day": day}).one()
    if first is None:
        return [], []
    # As literals, so that PostgreSQL sees how few of the entries that is.
    stretch = _ENTRY.c.posting_id.between(sa.literal(first, literal_execute=True), sa.literal(last, literal_execute=True))
    entries: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    for posting_id, kind, account, amount in session.execute(
            sa.select(_POSTING.c.id, _POSTING.c.kind, _ENTRY.c.account, _ENTRY.c.amount_fen)
            .join(_ENTRY, _ENTRY.c.posting_id == _POSTING.c.id).where(_FORMER, stretch), {"day": day}):
        entries[posting_id].append((kind, account, amount))
    balances, numbers = [], []
    for rows in entries.values():
        insutype = next(account.partition(":")[2] for _, account, _ in rows if account.startswith("fund:"))
        balances += [Balance(insutype, account, Fen(amount)) for _, account, amount in rows]
        numbers.append((insutype, _sign(rows[0][0])))
    for insutype, kind, document in run(session, _FORMER_CLAIMS, {"day": day}):
        family = SETTLEMENT.upgraded(document)["family"] * _sign(kind)
        balances += [Balance(insutype, f"account:{insutype}", Fen(family)),
                     Balance(insutype, f"account:{insutype}:family", Fen(-family))]
    return balances, numbers


def _sign(kind: str) -> int:
    return -1 if kind == BusinessEvent.REVERSED else 1
