"""A prescription's whole way, and its exits."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.lifecycle import Money, Status
from infra.db import history
from infra.db.rows import HistoryRow, PrescriptionRow
from tests.support.city import Clock, admit


def test_a_prescription_goes_all_the_way(line):
    (rx_id,) = admit(line.city)
    placed = line.to_settled(rx_id)
    claim = line.claim(rx_id)
    assert claim.status is Money.SETTLED
    assert [row.total for row in line.payer.book] == [placed.order.total]
    line.deliver()
    assert line.chain(placed.order.chain).notices[placed.id].total == placed.order.total
    told = line.city.hospitals["jinan_first"].reports
    assert {report["status"] for report in told.values()} == {"in_review", "fulfilling", "fulfilled", "settled"}


@pytest.mark.parametrize("what", ["lose_next_request", "lose_next_answer"])
@pytest.mark.parametrize("chain_or_payer", ["chain", "payer"])
def test_a_broken_line_doubles_nothing(line, what, chain_or_payer):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    partners = [line.chain("ankang"), line.chain("baicao")] if chain_or_payer == "chain" else [line.payer]
    for partner in partners:
        partner.only = frozenset({"hold", "place", "cancel", "settle"})
    for attempt in range(12):
        if line.status(rx_id) is Status.FULFILLING and line.order(rx_id).handed_over_at is None:
            line.say(rx_id, ChainWord.HANDED_OVER)
        for partner in partners:
            setattr(partner, what, attempt % 2 == 0)
        line.hop(rx_id)
        line.clock.advance(minutes=1)
    assert line.status(rx_id) is Status.SETTLED
    assert len(line.payer.book) == 1
    held = [held for slug in ("ankang", "baicao") for held in line.chain(slug).book.values()]
    assert sum(one.status is ChainWord.HANDED_OVER for one in held) == 1


def test_trouble_is_written_down_and_comes_again(line):
    (rx_id,) = admit(line.city)
    line.payer.silent = True
    first = line.hop(rx_id)
    assert first.error
    line.payer.silent = False
    line.clock.advance(minutes=1)
    assert line.hop(rx_id).error == ""
    assert line.status(rx_id) is Status.IN_REVIEW


def test_the_clock_stands_still_until_told():
    clock = Clock()
    before = clock()
    clock.advance(minutes=1)
    assert clock() - before == timedelta(minutes=1)


def test_the_histories_of_settled_prescriptions_verify(line):
    ids = admit(line.city, 3)
    for rx_id in ids:
        line.to_settled(rx_id)
    with line.city.db.reading() as session:
        for rx_id in ids:
            rows = session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id == rx_id)
                                   .order_by(HistoryRow.seq)).all()
            assert history.verify(rows, session.get_one(PrescriptionRow, rx_id)) is None
