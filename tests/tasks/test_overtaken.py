"""Two hops at once, a return before the money, a yes nobody recorded: what overtakes a step is not lost in it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.errors import Transient
from domain.lifecycle import Status
from infra.db import prescriptions
from infra.db.rows import IntentRow, PrescriptionRow
from tasks.closing import NOT_INSURED
from tasks.line import Hop, hop
from tests.support.city import HOSPITAL, FakeHospital, admit, cancel_by_hospital, make_city, pass_review
from tests.tasks.line import Line


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(make_city(tmp_path))


def row(line: Line, rx: str) -> PrescriptionRow:
    with line.city.db.reading() as session:
        return session.get_one(PrescriptionRow, rx)


def unanswered(line: Line) -> list[str]:
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(IntentRow.step).where(IntentRow.answered_at.is_(None))))


def reports(line: Line) -> dict[str, dict[str, Any]]:
    hospital = line.city.hospitals[HOSPITAL]
    assert isinstance(hospital, FakeHospital)
    return hospital.reports


def due(line: Line) -> list[str]:
    with line.city.db.transaction() as session:
        return [one.id for one in prescriptions.lease_due(session, "w", at=line.city.now(), lease=timedelta(0), limit=10)]


def cancelled_while_the_chain_thinks(line: Line, rx: str, call: str) -> Hop:
    """One hop waits in a call to the chain; the hospital cancels, and another hop takes the order back."""
    chain = line.chain("ankang")
    real: Callable[[Any], Awaitable[Any]] = getattr(chain, call)

    async def both() -> Hop:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(order: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await real(order)

        setattr(chain, call, slow)
        first = asyncio.create_task(hop(line.city, rx))
        await begun.wait()
        cancel_by_hospital(line.city, 1)
        await hop(line.city, rx)
        go_on.set()
        return await first

    return asyncio.run(both())


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


def test_handed_over_and_brought_back_before_anybody_looked(line: Line) -> None:
    (rx,) = admit(line.city)
    line.to_fulfilling(rx)
    line.say(rx, ChainWord.HANDED_OVER)
    line.say(rx, ChainWord.RETURNED, lines=())
    line.hop(rx)
    assert sum(one.total for one in line.payer.book) == 0


@pytest.mark.parametrize("call", ["hold", "place"])
def test_nothing_is_ordered_for_a_prescription_that_was_cancelled_meanwhile(line: Line, call: str) -> None:
    (rx,) = admit(line.city)
    line.hop(rx)
    line.review(rx)
    cancelled_while_the_chain_thinks(line, rx, call)
    assert line.status(rx) is Status.CANCELLED
    assert ChainWord.ORDERED not in [one.status for one in line.chain("ankang").book.values()]
    assert unanswered(line) == []
    for _ in range(2):
        line.clock.advance(minutes=10)
        assert due(line) == [], "nothing is owed any more"


def test_a_person_the_fund_does_not_know_goes_back_to_the_hospital_with_words(line: Line) -> None:
    (rx,) = admit(line.city)
    line.payer.refuse_next("not_insured", "entitlement")
    assert not line.hop(rx).error
    assert line.status(rx) is Status.RETURNED
    assert "quote" not in line.chain("ankang").calls
    line.deliver()
    told = reports(line)[f"{rx}:returned"]
    assert (told["status"], told["reason"], told["words"], told["words_en"]) == ("returned", "NOT_INSURED", *NOT_INSURED)
    assert told["findings"][-1]["text"] == NOT_INSURED.zh


def test_an_insurance_that_is_suspended_is_none(line: Line) -> None:
    (rx,) = admit(line.city)
    line.payer.entitlement_answer = replace(line.payer.entitlement_answer, active=False)
    line.hop(rx)
    assert line.status(rx) is Status.RETURNED


def test_another_no_of_the_fund_is_no_word_about_the_person(line: Line) -> None:
    (rx,) = admit(line.city)
    line.payer.refuse_next("claim_refused", "entitlement")
    assert line.hop(rx).error == "Refused:claim_refused"
    assert line.status(rx) is Status.RECEIVED


def test_a_prescription_that_waits_for_nobody_since_an_earlier_release_is_sent_back_by_the_sweep(line: Line) -> None:
    (rx,) = admit(line.city)
    line.hop(rx)
    pass_review(line.city, rx)
    with line.city.db.transaction() as session:
        session.execute(sa.update(PrescriptionRow).values(entitlement_sealed=None))
    assert not line.hop(rx).error
    assert line.status(rx) is Status.RETURNED
    assert "hold" not in line.chain("ankang").calls
    assert unanswered(line) == []
    line.deliver()
    assert reports(line)[f"{rx}:returned"]["reason"] == "NOT_INSURED"


def test_a_handover_and_a_return_that_nobody_heard_of_are_found_at_the_deadline(line: Line) -> None:
    (rx,) = admit(line.city)
    placed = line.to_fulfilling(rx)
    line.say(rx, ChainWord.ACCEPTED)
    line.hop(rx)
    line.chain(placed.order.chain).update(placed.id, ChainWord.RETURNED)
    line.clock.advance(hours=30)
    assert not line.hop(rx).error


def test_a_chain_that_forgot_an_order_it_had_confirmed_is_not_believed(line: Line) -> None:
    (rx,) = admit(line.city)
    placed = line.to_fulfilling(rx)
    kept = line.chain(placed.order.chain).book.pop(placed.id)
    cancel_by_hospital(line.city, 1)
    assert "order_unknown" in line.hop(rx).error
    assert line.status(rx) is Status.FULFILLING
    line.chain(placed.order.chain).book[placed.id] = kept
    line.clock.advance(minutes=10)
    line.hop(rx)
    assert line.status(rx) is Status.CANCELLED
