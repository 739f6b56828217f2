"""An order's claim is made once, tried again by its own clock, and reversed with what comes back."""

from datetime import timedelta
from typing import Any

import pytest

from domain.chains import ChainWord
from domain.errors import StaleStatus, Transient
from domain.lifecycle import Money, Status
from infra.db import claims, prescriptions
from tasks.settlement.claims import make_claim
from tests.support.city import admit
from tests.support.line import Line


def test_two_workers_make_the_next_claim_only_once(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_settled(rx_id)
    with line.city.db.reading() as session:
        loaded, first = prescriptions.load(session, rx_id), claims.newest(session, placed.id)
    with line.city.db.transaction() as session:
        make_claim(line.city, session, loaded, placed, portions=placed.portions[1:], after=first)
    with pytest.raises(StaleStatus), line.city.db.transaction() as session:
        make_claim(line.city, session, loaded, placed, portions=placed.portions[1:], after=first)


@pytest.mark.parametrize("step", ["settle", "reverse"])
def test_the_first_failure_of_a_claim_waits_for_its_next_attempt_and_not_for_the_next_look(line, step):
    (rx_id,) = admit(line.city)
    if step == "reverse":
        line.to_settled(rx_id)
        line.say(rx_id, ChainWord.RETURNED, lines=(1,), reason="quality")
    else:
        line.to_fulfilling(rx_id)
        line.say(rx_id, ChainWord.HANDED_OVER)
    line.payer.only = frozenset({step})
    line.payer.silent = True
    assert line.hop(rx_id).error
    first = line.row(rx_id)
    assert (first.attempts, first.wake_at) == (1, line.clock.at + timedelta(seconds=10))
    line.clock.advance(seconds=5)
    assert line.hop(rx_id).error == "", "woken too early: nothing is tried"
    assert (line.row(rx_id).attempts, line.row(rx_id).trouble, line.row(rx_id).wake_at) == (1, first.trouble, first.wake_at)
    line.payer.silent = False
    line.clock.advance(seconds=5)
    line.hop(rx_id)
    assert (line.row(rx_id).status, line.row(rx_id).attempts) == ("settled", 0)


def test_the_funds_no_to_a_pre_settlement_is_a_persons_business_and_keeps_the_hold(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.payer.refuse_next("claim", "pre_settle")
    first = line.hop(rx_id)
    assert (first.error, first.alarming) == ("NeedsOperator:claim", True)
    assert line.orders_in_the_chains() == [ChainWord.HELD]
    line.clock.advance(minutes=1)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert line.orders_in_the_chains() == [ChainWord.ORDERED]


def test_the_hold_is_let_go_when_the_fund_keeps_saying_no_until_the_validity_is_over(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.payer.refuse_next("claim", "pre_settle")
    line.hop(rx_id)
    line.clock.advance(days=4)
    line.hop(rx_id)
    assert (line.status(rx_id), line.orders_in_the_chains()) == (Status.EXPIRED, [ChainWord.CANCELLED])


def test_an_operator_can_have_a_refused_settlement_tried_again(line):
    from tasks.upkeep import redrive

    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.payer.only = frozenset({"settle"})
    line.payer.refuse_next("claim_refused")
    assert line.hop(rx_id).error == "Refused:claim_refused"
    line.clock.advance(minutes=1)
    assert line.hop(rx_id).error == "Refused:claim_refused"
    redrive(line.city, rx_id, "o001")
    assert line.hop(rx_id).error == ""
    assert line.claim(rx_id).status is Money.SETTLED


def test_a_whole_return_reverses_the_claim(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, reason="quality")
    line.hop(rx_id)
    claim = line.claim(rx_id)
    assert (line.status(rx_id), claim.status, claim.reversed) == (Status.SETTLED, Money.REVERSED, True)
    assert sum(row.total for row in line.payer.book) == 0


def test_a_partial_return_reverses_and_settles_the_rest(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, reason="quality", lines=(1,))
    line.hop(rx_id)
    claim = line.claim(rx_id)
    assert (claim.version, claim.status, claim.portions) == (2, Money.SETTLED, placed.portions[1:])
    assert sum(row.total for row in line.payer.book) == placed.order.lines[1].amount


@pytest.mark.parametrize("lines", [(1,), ()], ids=["named", "whole"])
def test_what_came_back_before_the_fund_has_settled_is_reversed_with_the_settlement(line: Line, lines: tuple[int, ...]
                                                                                    ) -> None:
    (rx,) = admit(line.city)
    line.to_fulfilling(rx)
    line.say(rx, ChainWord.HANDED_OVER)
    settle = line.payer.settle

    async def down(claim: object) -> Any:
        raise Transient("the fund is down")

    line.payer.settle = down  # type: ignore[method-assign]
    assert line.hop(rx).error
    assert b"applied" in line.say(rx, ChainWord.RETURNED, lines=lines).body
    line.payer.settle = settle  # type: ignore[method-assign]
    line.clock.advance(minutes=1)
    line.hop(rx)
    newest = line.claim(rx)
    assert newest
    assert newest.reversed
    assert sum(one.total for one in line.payer.book) == 0
    line.deliver()
    for report in line.city.hospitals["jinan_first"].reports.values():  # type: ignore[attr-defined]
        back = [each["returned"] for each in report.get("dispense", {}).get("lines", ())]
        assert not (back and all(back)) or report.get("money", {}).get("total", "0.00") == "0.00", "paid for nothing"


def test_handed_over_and_brought_back_before_anybody_looked(line: Line) -> None:
    (rx,) = admit(line.city)
    line.to_fulfilling(rx)
    line.say(rx, ChainWord.HANDED_OVER)
    line.say(rx, ChainWord.RETURNED, lines=())
    line.hop(rx)
    assert sum(one.total for one in line.payer.book) == 0
