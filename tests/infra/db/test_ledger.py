"""The ledger: append-only postings with their transfers, beside those that release 0.1 has left or still writes."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from domain.claims import Settlement
from domain.errors import StaleStatus
from domain.ledger import templates
from domain.ledger.accounts import Account
from domain.ledger.transfers import BusinessEvent, Posting, Transfer
from domain.money import Fen
from infra.db import Database, Session, claims, ledger
from infra.db.rows import EntryRow, PostingRow, TransferRow
from tests.support.records import DAY, NOW, admitted, at_once, make_claim, newest_claim, split

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def rx_id(db: Database) -> str:
    return admitted(db).id


def posted(db: Database, rx_id: str, settlement: Settlement, *, back: bool = False, day: date = DAY) -> None:
    template = templates.reversed_ if back else templates.settled
    with db.transaction() as session:
        ledger.post(session, template(rx_id, "ankang", "310", settlement), at=NOW, day=day)


def posted_by_release_0_1(session: Session, rx_id: str, kind: str, settlement: Settlement, day: date) -> None:
    sign = -1 if kind == "reversed" else 1
    row = PostingRow(prescription_id=rx_id, kind=kind, reference=settlement.settlement_id, at=NOW, day=day)
    session.add(row)
    session.flush()
    entries = (("chain:ankang", settlement.total), ("fund:310", -settlement.fund),
               ("account:310", -settlement.account - settlement.family), ("patient", -settlement.cash))
    session.add_all(EntryRow(posting_id=row.id, seq=seq, account=account, amount_fen=sign * amount)
                    for seq, (account, amount) in enumerate(entries, 1))


def totals(db: Database, day: date) -> list[tuple[str, int, int, int, int]]:
    with db.reading() as session:
        return [(row.insutype, row.total, row.fund, row.account, row.count) for row in ledger.totals_of(session, day, "370100")]


def balances(db: Database) -> dict[str, int]:
    with db.reading() as session:
        return {account: amount for account, amount in ledger.balances(session).items() if amount}


def test_a_posting_is_kept_as_its_transfers(db: Database, rx_id: str) -> None:
    posted(db, rx_id, split(2000, 1200, number="S1", account=100))
    with db.reading() as session:
        rows = [(row.seq, row.source, row.destination, row.amount_fen) for row in session.scalars(
            sa.select(TransferRow).order_by(TransferRow.seq))]
    assert rows == [(1, "fund:310", "chain:ankang", 1200), (2, "account:310", "chain:ankang", 100),
                    (3, "patient", "chain:ankang", 700)]
    assert balances(db) == {"chain:ankang": 2000, "fund:310": -1200, "account:310": -100, "patient": -700}


def test_a_reversal_takes_everything_back(db: Database, rx_id: str) -> None:
    for back in (False, True):
        posted(db, rx_id, split(2000, 1200, number="S1", account=100), back=back)
    assert balances(db) == {}


def test_a_business_event_is_posted_once(db: Database, rx_id: str) -> None:
    posted(db, rx_id, split(2000, 1200, number="S1"))
    with pytest.raises(sa.exc.IntegrityError):
        posted(db, rx_id, split(2000, 1200, number="S1"))


def test_a_posting_may_be_about_no_prescription_and_in_no_daily_total(db: Database) -> None:
    advance = Posting(BusinessEvent.SETTLED, "A1", (Transfer(Account("fund:310"), Account("chain:ankang"), Fen(100)),))
    with db.transaction() as session:
        ledger.post(session, advance, at=NOW, day=DAY)
    assert balances(db) == {"chain:ankang": 100, "fund:310": -100}
    assert totals(db, DAY) == []


@pytest.mark.parametrize("amount", [0, -1])
def test_the_database_takes_no_transfer_that_is_not_positive(db: Database, rx_id: str, amount: int) -> None:
    posted(db, rx_id, split(2000, 1200, number="S1"))
    with pytest.raises(sa.exc.IntegrityError), db.transaction() as session:
        session.add(TransferRow(posting_id=1, seq=9, source="patient", destination="chain:ankang", amount_fen=amount))


def test_of_two_who_record_one_settlement_at_once_one_posts(db: Database, rx_id: str) -> None:
    with db.transaction() as session:
        make_claim(session, rx_id, "C1")
    settlement = split(2000, 1200, number="S1", day=DAY)

    def record() -> None:
        with db.transaction() as session:
            claims.settled(session, newest_claim(session, rx_id), settlement)
            ledger.post(session, templates.settled(rx_id, "ankang", "310", settlement), at=NOW, day=DAY)

    outcomes = at_once(record, record, record)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", StaleStatus.__name__, StaleStatus.__name__]
    with db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(PostingRow)) == 1


# --- what release 0.1 has posted ---


def _settled_claim(session: Session, rx_id: str, number: str, settlement: Settlement, version: int = 1) -> None:
    make_claim(session, rx_id, number, version=version, total=settlement.total)
    claims.settled(session, newest_claim(session, rx_id), settlement)


def _family(number: str, parts: Sequence[int], day: date = DAY) -> Settlement:
    fund, own, family, cash = map(Fen, parts)
    total = Fen(sum(parts))
    return Settlement(total, Fen(0), Fen(0), Fen(0), total, Fen(0), fund, fund=fund, account=own, family=family, cash=cash,
                      settlement_id=number, day=day)


def test_postings_of_release_0_1_and_of_this_one_are_one_ledger(db: Database, rx_id: str) -> None:
    """Also on one day: a worker of that release may settle while another is of this one."""
    former, present = _family("S1", (1000, 300, 200, 500)), _family("S2", (10, 3, 2, 5))
    with db.transaction() as session:
        _settled_claim(session, rx_id, "C1", former)
        _settled_claim(session, rx_id, "C2", present, version=2)
        posted_by_release_0_1(session, rx_id, "settled", former, DAY)
    posted(db, rx_id, present)
    assert totals(db, DAY) == [("310", 2020, 1010, 303, 2)], "a relative's account is no part of acct_pay"
    assert balances(db) == {"chain:ankang": 2020, "fund:310": -1010, "account:310": -503, "account:310:family": -2,
                            "patient": -505}
    with db.transaction() as session:
        posted_by_release_0_1(session, rx_id, "reversed", former, NEXT)
    posted(db, rx_id, present, back=True, day=NEXT)
    assert totals(db, NEXT) == [("310", -2020, -1010, -303, -2)]
    assert balances(db) == {}


def test_a_settlement_of_release_0_1_is_reversed_by_this_one(db: Database, rx_id: str) -> None:
    former = _family("S1", (1000, 300, 200, 500))
    with db.transaction() as session:
        _settled_claim(session, rx_id, "C1", former)
        posted_by_release_0_1(session, rx_id, "settled", former, DAY)
    posted(db, rx_id, former, back=True)
    assert totals(db, DAY) == [("310", 0, 0, 0, 0)]
    with db.reading() as session:
        sums = ledger.balances(session)
    assert sums["account:310"] + sums["account:310:family"] == 0, "what the relative paid lies on the other address"
