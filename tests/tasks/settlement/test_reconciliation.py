"""The fund's day is compared with ours once, also late, and closes what it agrees with."""

import asyncio
from datetime import timedelta

from domain.chains import ChainWord
from domain.lifecycle import Money, Status
from tasks.settlement.reconciliation import reconcile_day, unreconciled_days
from tests.support.city import admit, make_city
from tests.support.line import Line


async def test_after_the_window_and_the_reconciliation_it_is_closed(tmp_path):
    line = Line(make_city(tmp_path))
    (rx_id,) = admit(line.city)
    await __import__("asyncio").to_thread(line.to_settled, rx_id)
    assert await reconcile_day(line.city)
    line.clock.advance(hours=2)
    await __import__("asyncio").to_thread(line.hop, rx_id)
    assert line.status(rx_id) is Status.CLOSED


def test_a_night_without_reconciliation_is_made_up(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    settled_on = line.payer.day
    line.clock.advance(days=2)
    assert unreconciled_days(line.city) == [settled_on]
    assert asyncio.run(reconcile_day(line.city, settled_on))
    assert unreconciled_days(line.city) == []
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CLOSED


def test_a_lost_nudge_of_the_reconciliation_only_costs_hours(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.clock.advance(hours=2)
    line.hop(rx_id)
    assert line.row(rx_id).wake_at - line.clock() == timedelta(hours=6)


def test_a_day_that_moved_on_while_it_was_compared_is_not_reconciled(line):
    """A settlement between our totals and the fund's answer was in neither."""
    first, second = admit(line.city, 2)
    line.to_settled(first)
    line.to_fulfilling(second)
    line.say(second, ChainWord.HANDED_OVER)
    compare = line.payer.reconcile

    async def reconcile(totals):
        answer = await compare(totals)
        await asyncio.to_thread(line.hop, second)
        return answer

    line.payer.reconcile = reconcile
    asyncio.run(reconcile_day(line.city))
    newest = {rx_id: line.claim(rx_id).status for rx_id in (first, second)}
    assert newest[second] is Money.SETTLED
    line.payer.reconcile = compare
    asyncio.run(reconcile_day(line.city))
    assert {line.claim(rx_id).status for rx_id in (first, second)} == {Money.RECONCILED}
