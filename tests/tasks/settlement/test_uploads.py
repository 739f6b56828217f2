"""The fund is told of every pack once, whenever it answers."""

import asyncio

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.lifecycle import Status
from domain.trace import UploadKind
from infra.db import views
from infra.db.rows import NoticeRow, TraceUploadRow
from tasks.uploads import upload_due
from tests.support.city import admit
from tests.support.line import Line


def upload(line: Line, minutes: int = 6) -> int:
    line.clock.advance(minutes=minutes)
    total = 0
    while number := asyncio.run(upload_due(line.city)):
        total += number
    return total


def packs(line: Line) -> list[tuple[UploadKind, str]]:
    """Every pack that the fund was told of, as often as it was."""
    return sorted((kind, each.code) for rows in line.payer.uploads.values() for kind, each in rows)


def scanned(line: Line, rx_id: str) -> list[str]:
    placed = line.order(rx_id)
    return sorted(scan.code for scan in line.chain(placed.order.chain).packs(placed.order))


def open_rows(line: Line) -> list[str]:
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(TraceUploadRow.trouble).where(TraceUploadRow.due_at.is_not(None))))


def test_many_orders_go_in_one_call_some_minutes_after_the_handover(line):
    ids = admit(line.city, 3)
    for rx_id in ids:
        line.to_settled(rx_id)
    assert asyncio.run(upload_due(line.city)) == 0, "not yet"
    expected = sorted(code for rx_id in ids for code in scanned(line, rx_id))
    assert upload(line) == len(expected)
    assert packs(line) == [(UploadKind.SALE, code) for code in expected]
    assert len(line.payer.uploads) == 1
    assert all(each.settlement_id and each.insured for rows in line.payer.uploads.values() for _, each in rows)


def test_a_settlement_that_waits_keeps_no_upload_waiting(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.payer.refuse_next("claim", "settle")
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLED
    assert upload(line) == len(scanned(line, rx_id))
    assert {each.settlement_id for rows in line.payer.uploads.values() for _, each in rows} == {""}


@pytest.mark.parametrize("lost", ["lose_next_answer", "lose_next_request"])
def test_an_upload_without_an_answer_is_asked_for_before_it_is_sent_again(line, lost):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.payer.only = frozenset({"upload"})
    setattr(line.payer, lost, True)
    line.payer.calls.clear()
    assert upload(line) == 0
    assert set(open_rows(line)) == {"OutcomeUnknown:OutcomeUnknown"}
    assert upload(line) == len(scanned(line, rx_id))
    assert line.payer.calls == ["upload", "uploaded"] + (["upload"] if lost == "lose_next_request" else [])
    assert packs(line) == [(UploadKind.SALE, code) for code in scanned(line, rx_id)]
    assert open_rows(line) == []


def test_a_pack_that_the_fund_does_not_take_keeps_no_other_waiting(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    line.to_settled(rx_id)
    codes = scanned(line, rx_id)
    line.payer.refuse_next("trace", "upload")
    line.payer.refuse_next("trace", "upload")
    line.clock.advance(minutes=6)
    for _ in range(len(codes) + 1):
        asyncio.run(upload_due(line.city))
    assert len(packs(line)) == len(codes) - 1
    assert open_rows(line) == []
    with line.city.db.reading() as session:
        assert session.scalars(sa.select(NoticeRow.kind)).all() == ["trace_refused"]


def test_what_comes_back_is_told_after_its_sale(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, reason="quality")
    line.hop(rx_id)
    codes = scanned(line, rx_id)
    assert upload(line) == 2 * len(codes)
    assert packs(line) == sorted([(UploadKind.SALE, code) for code in codes] + [(UploadKind.RETURN, code) for code in codes])
    first, *_ = line.payer.uploads.values()
    assert {kind for kind, _ in first} == {UploadKind.SALE}


def test_an_upload_that_keeps_failing_is_on_the_board_and_the_prescription_goes_on(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.payer.only, line.payer.silent = frozenset({"upload", "uploaded"}), True
    for _ in range(5):
        upload(line, minutes=20)
    with line.city.db.reading() as session:
        board = views.board(session, line.city.now(), line.city.policy)
    assert "upload_failing" in {concern.kind for concern in board.concerns}
    assert board.uploads_waiting == len(scanned(line, rx_id))
    assert line.status(rx_id) is Status.SETTLED
