"""Money: claims go forward, the ledger balances, a day is what the fund says it is."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from domain.claims import DayTotals, Reversal, differences
from domain.errors import StaleStatus
from domain.fulfilment.portions import Portion
from domain.ledger import templates
from domain.lifecycle import MONEY_TRANSITIONS, Money
from domain.money import Fen
from infra.db import Database, claims, ledger, reconciliations
from infra.db.discrepancies import disagree
from infra.db.rows import ClaimRow, DiscrepancyRow, ReconciliationRow
from tests.support.records import (
    DAY,
    NOW,
    admitted,
    claim,
    make_claim,
    make_order,
    newest_claim,
    reference,
    split,
)

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def rx_id(db: Database) -> str:
    return admitted(db).id


def settle(db: Database, rx_id: str, number: str = "C1", *, version: int = 1, total: int = 2000, fund: int = 1200,
           day: date = DAY, insutype: str = "310") -> None:
    with db.transaction() as session:
        made = make_claim(session, rx_id, number, version=version, total=total, insutype=insutype)
        settlement = split(total, fund, number=f"S{number}", day=day, account=100)
        claims.settled(session, newest_claim(session, rx_id), settlement)
        ledger.post(session, templates.settled(rx_id, "ankang", made.insutype, settlement), at=NOW, day=day)


def reverse(db: Database, rx_id: str, day: date = DAY) -> None:
    with db.transaction() as session:
        claimed = newest_claim(session, rx_id)
        assert claimed.settled is not None
        claims.reversed_(session, claimed, Reversal(f"R{claimed.claim.reference}", day))
        ledger.post(session, templates.reversed_(rx_id, "ankang", claimed.claim.insutype, claimed.settled), at=NOW, day=day)


def status(db: Database, rx_id: str) -> Money:
    with db.reading() as session:
        return newest_claim(session, rx_id).status


def totals(db: Database, day: date) -> list[tuple[str, int, int, int, int]]:
    with db.reading() as session:
        return [(t.insutype, t.total, t.fund, t.account, t.count) for t in ledger.totals_of(session, day, "370100")]


def reconcile(db: Database, day: date, *, matched: bool = True, insutype: str = "310") -> list[str]:
    with db.transaction() as session:
        (mine,) = [t for t in ledger.totals_of(session, day, "370100") if t.insutype == insutype]
        return reconciliations.record(session, mine, matched=matched, text="", at=NOW)


# --- a claim's way ---


def test_a_claim_comes_back_as_it_was_made_without_the_person(db: Database, rx_id: str) -> None:
    with db.transaction() as session:
        made = make_claim(session, rx_id, "C1")
    with db.reading() as session:
        claimed = newest_claim(session, rx_id)
        stored = session.scalars(sa.select(ClaimRow.content)).one()
    assert (claimed.claim, claimed.version, claimed.status, claimed.portions) == (
        made, 1, Money.PRE_SETTLED, (Portion(1, Decimal(10)),))
    assert (stored["psn_no"], stored["identity"]["id_number"]) == ("", "")


@pytest.mark.parametrize("start", list(Money))
@pytest.mark.parametrize("to", [Money.PRE_SETTLED, Money.SETTLED, Money.REVERSED])
def test_a_claim_goes_where_the_table_says_and_nowhere_else(db: Database, rx_id: str, start: Money, to: Money) -> None:
    settle(db, rx_id)
    with db.transaction() as session:
        session.execute(sa.update(ClaimRow).values(status=start))

    def move() -> None:
        with db.transaction() as session:
            if to is Money.PRE_SETTLED:
                claims.pre_settled(session, newest_claim(session, rx_id), split(2000, 1200))
            elif to is Money.SETTLED:
                claims.settled(session, newest_claim(session, rx_id), split(2000, 1200, number="S", day=DAY))
            else:
                claims.reversed_(session, newest_claim(session, rx_id), Reversal("R", DAY))

    if to in MONEY_TRANSITIONS[start]:
        move()
        assert status(db, rx_id) is to
    else:
        with pytest.raises(StaleStatus):
            move()
        assert status(db, rx_id) is start


def test_the_newest_version_counts(db: Database, rx_id: str) -> None:
    settle(db, rx_id, "C1")
    settle(db, rx_id, "C2", version=2)
    with db.reading() as session:
        claimed = newest_claim(session, rx_id)
        assert claims.newest(session, "ord_another") is None
    assert (claimed.version, claimed.claim.reference) == (2, "C2")


# --- references ---


def test_a_taken_reference_moves_on_to_the_next(db: Database, rx_id: str) -> None:
    with db.transaction() as session:
        first = claims.free_reference(session, reference, NOW, "key")
        make_claim(session, rx_id, first)
        second = claims.free_reference(session, reference, NOW, "key")
    assert int(second[-4:]) == (int(first[-4:]) + 1) % 10_000
    assert second[:-4] == first[:-4]


def test_a_reversals_reference_is_taken_as_well_and_stays_the_same(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    with db.transaction() as session:
        claimed = newest_claim(session, rx_id)
        first = claims.intend_reversal(session, claimed, reference, NOW)
        assert claims.intend_reversal(session, claimed, reference, NOW + timedelta(hours=1)) == first
        assert claims.free_reference(session, lambda at, sequence: reference(at, (sequence % 2)), NOW, "k") != first
        key = f"{claimed.order_id}:1:reversal"
        assert claims.free_reference(session, reference, NOW, key) != first


def test_when_every_reference_of_a_second_is_taken_the_next_attempt_must_do(db: Database, rx_id: str) -> None:
    with db.transaction() as session:
        make_claim(session, rx_id, "the only one")
    with pytest.raises(StaleStatus), db.reading() as session:
        claims.free_reference(session, lambda at, sequence: "the only one", NOW, "key")


def test_two_claims_never_share_a_reference(db: Database, rx_id: str) -> None:
    other = admitted(db, 2).id
    settle(db, rx_id, "C1")
    with pytest.raises(StaleStatus):
        settle(db, other, "C1")


def test_a_refused_claim_gets_another_reference(db: Database, rx_id: str) -> None:
    with db.transaction() as session:
        make_claim(session, rx_id, "C1")
        claims.renew_reference(session, rx_id, "C1", reference, NOW)
    with db.reading() as session:
        claimed = newest_claim(session, rx_id)
        row = session.scalars(sa.select(ClaimRow)).one()
    assert claimed.claim.reference == row.reference != "C1"


# --- days ---


def test_a_day_is_the_sum_of_its_settlements_per_kind_of_insurance(db: Database) -> None:
    one, two, three = (admitted(db, number).id for number in (1, 2, 3))
    settle(db, one, "C1", total=2000, fund=1200)
    settle(db, two, "C2", total=1000, fund=500)
    settle(db, three, "C3", total=700, fund=100, insutype="390")
    assert totals(db, DAY) == [("310", 3000, 1700, 200, 2), ("390", 700, 100, 100, 1)]
    assert totals(db, NEXT) == []


def test_a_reversal_on_the_same_day_takes_itself_out_of_the_count(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    reverse(db, rx_id)
    assert totals(db, DAY) == [("310", 0, 0, 0, 0)]


def test_a_reversal_on_another_day_belongs_to_that_day(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    reverse(db, rx_id, NEXT)
    settle(db, rx_id, "C2", version=2, total=500, fund=300, day=NEXT)
    assert totals(db, DAY) == [("310", 2000, 1200, 100, 1)]
    assert totals(db, NEXT) == [("310", -1500, -900, 0, 0)]


def test_a_day_that_matches_reconciles_its_own_claims_only(db: Database) -> None:
    mine, tomorrow, other, back = (admitted(db, number).id for number in (1, 2, 3, 4))
    settle(db, mine, "C1")
    settle(db, tomorrow, "C2", day=NEXT)
    settle(db, other, "C3", insutype="390")
    settle(db, back, "C4")
    reverse(db, back, NEXT)
    assert reconcile(db, DAY) == [mine]
    assert [status(db, one) for one in (mine, tomorrow, other, back)] == [
        Money.RECONCILED, Money.SETTLED, Money.SETTLED, Money.REVERSED]
    assert reconcile(db, NEXT) == sorted([tomorrow, back])
    assert status(db, back) is Money.RECONCILED
    with db.reading() as session:
        claimed = newest_claim(session, back)
    assert claimed.reversed, "a reconciled reversal is still a reversal"


def test_a_day_that_does_not_match_reconciles_nothing_and_is_written_down(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    assert reconcile(db, DAY, matched=False) == []
    assert status(db, rx_id) is Money.SETTLED
    with db.reading() as session:
        row = session.scalars(sa.select(ReconciliationRow)).one()
    assert (row.day, row.matched, row.total_fen, row.count) == (DAY, False, 2000, 1)


def test_a_reconciled_claim_can_still_be_reversed_and_is_reconciled_again(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    reconcile(db, DAY)
    reverse(db, rx_id, NEXT)
    assert status(db, rx_id) is Money.REVERSED
    assert reconcile(db, NEXT) == [rx_id]
    assert totals(db, DAY) == [("310", 2000, 1200, 100, 1)], "a closed day does not change"


def test_an_answer_about_fewer_claims_than_the_day_has_now_reconciles_none(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    asked = DayTotals("310", "41", "370100", DAY, DAY, Fen(2000), Fen(1200), Fen(100), 1)
    settle(db, admitted(db, 2).id, "C2")
    with db.transaction() as session:
        assert reconciliations.record(session, asked, matched=True, text="", at=NOW) == []
    assert status(db, rx_id) is Money.SETTLED


def test_days_that_are_not_reconciled_are_known_until_they_are(db: Database, rx_id: str) -> None:
    settle(db, rx_id)
    other = admitted(db, 2).id
    settle(db, other, "C2")
    reverse(db, other, NEXT)

    def days(before: date) -> list[date]:
        with db.reading() as session:
            return reconciliations.unreconciled_days(session, before)

    later = NEXT + timedelta(days=1)
    assert (days(DAY), days(NEXT), days(later)) == ([], [DAY], [DAY, NEXT])
    reconcile(db, DAY)
    assert days(later) == [NEXT]
    reconcile(db, NEXT)
    assert days(later) == []


def test_a_difference_is_written_down_once_per_subject(db: Database, rx_id: str) -> None:
    for actual in (1, 2):
        with db.transaction() as session:
            disagree(session, kind="k", subject="s", expected=0, actual=actual, at=NOW, prescription_id=rx_id)
    with db.reading() as session:
        assert [found.actual for found in session.scalars(sa.select(DiscrepancyRow))] == ["1"]


def test_a_difference_of_a_fen_has_a_name(db: Database) -> None:
    assert differences(split(2000, 1200), split(2000, 1201)) == [
        ("pool", 1200, 1201), ("fund", 1200, 1201), ("cash", 800, 799)]
    assert differences(split(2000, 1200), split(2000, 1200, number="S1", day=DAY)) == []


def test_a_claim_needs_its_order(db: Database, rx_id: str) -> None:
    with db.transaction() as session:
        make_order(session, rx_id, 1)
    with pytest.raises(sa.exc.IntegrityError), db.transaction() as session:
        claims.make(session, claim(rx_id, "C1"), version=1, order_id="ord_unknown", forecast=split(2000, 1000))
