"""A pack is sold once, whoever sells it at the same moment; an opened one until it is empty."""

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from domain.errors import StaleStatus
from domain.knowledge.rows import TraceProduct
from domain.trace import Facts, Scan, UploadKind, Use, UseStatus
from infra.db import Database, traces
from infra.db.rows import PackRow, PackUseRow, TraceUploadRow
from tests.support.records import NOW, admitted, at_once, make_order
from tests.support.trace_codes import EXPIRES, MADE

PRODUCTS = {"8000001": TraceProduct("8000001", "D001", 60)}
SCAN = Scan(1, "8000001" + "0" * 13, "L1", MADE, EXPIRES, 60)
PLACE = "ankang/AK01"


def orders_of(db: Database, number: int) -> list[str]:
    heads = [admitted(db, turn) for turn in range(1, number + 1)]
    with db.transaction() as session:
        return [make_order(session, head.id) for head in heads]


def sell(db: Database, order_id: str, scan: Scan) -> str:
    """Look, and take the pack if it is free; what came of it."""
    try:
        with db.transaction() as session:
            facts, _ = traces.look(session, order_id, [scan], PRODUCTS)
            pack = facts.packs.get(scan.code)
            if pack and pack.units_left < scan.units:
                return "sold before"
            traces.bind(session, order_id, PLACE, [scan], facts, UseStatus.HANDED_OVER, NOW)
    except StaleStatus:
        return "sold meanwhile"
    return "sold"


def left(db: Database) -> int:
    with db.reading() as session:
        return session.scalars(sa.select(PackRow.units_left)).one()


def test_of_several_who_sell_one_pack_at_once_one_does(db: Database) -> None:
    ids = orders_of(db, 6)
    came = at_once(*[lambda order_id=order_id: sell(db, order_id, SCAN) for order_id in ids])
    assert came.count("sold") == 1
    assert left(db) == 0


def test_an_opened_pack_is_sold_until_it_is_empty_and_no_further(db: Database) -> None:
    ids = orders_of(db, 8)
    assert sell(db, ids[0], replace(SCAN, units=10)) == "sold"
    came = at_once(*[lambda order_id=order_id: sell(db, order_id, replace(SCAN, units=10)) for order_id in ids[1:]])
    assert came.count("sold") == 5
    assert left(db) == 0


def test_nobody_takes_a_pack_of_which_he_saw_an_older_state(db: Database) -> None:
    first, second = orders_of(db, 2)
    with db.reading() as session:
        facts, _ = traces.look(session, second, [SCAN], PRODUCTS)
    assert facts == Facts(PRODUCTS, {}, [])
    assert sell(db, first, SCAN) == "sold"
    try:
        with db.transaction() as session:
            traces.bind(session, second, PLACE, [SCAN], facts, UseStatus.HANDED_OVER, NOW)
    except StaleStatus:
        pass
    with db.reading() as session:
        assert session.scalars(sa.select(PackUseRow.order_id)).all() == [first]


def test_what_is_put_back_can_be_bound_to_the_same_line_again(db: Database) -> None:
    (order_id,) = orders_of(db, 1)
    assert sell(db, order_id, replace(SCAN, units=10)) == "sold"
    use = Use(1, SCAN.code, 10, True, UseStatus.HANDED_OVER)
    with db.transaction() as session:
        traces.release(session, order_id, [use], NOW)
    assert left(db) == 60
    assert sell(db, order_id, SCAN) == "sold"
    with db.reading() as session:
        assert traces.uses_of(session, order_id) == [Use(1, SCAN.code, 60, False, UseStatus.HANDED_OVER)]
    assert left(db) == 0


def test_what_came_back_is_nobodys(db: Database) -> None:
    first, second = orders_of(db, 2)
    sell(db, first, replace(SCAN, units=10))
    with db.transaction() as session:
        traces.take_back(session, first, traces.uses_of(session, first), NOW)
    with db.reading() as session:
        facts, _ = traces.look(session, second, [SCAN], PRODUCTS)
    assert facts.packs[SCAN.code].quarantined
    assert sell(db, second, replace(SCAN, units=10)) == "sold meanwhile"


def test_an_upload_is_owed_once(db: Database) -> None:
    (order_id,) = orders_of(db, 1)
    sell(db, order_id, SCAN)
    for turn in range(2):
        with db.transaction() as session:
            traces.owe_upload(session, UploadKind.SALE, order_id, [(1, SCAN.code)], at=NOW, due=NOW + timedelta(minutes=turn))
    with db.reading() as session:
        assert session.scalars(sa.select(TraceUploadRow.due_at)).all() == [NOW]
        assert len(session.scalars(sa.select(TraceUploadRow.number)).one()) == 30


def test_what_is_lost_on_the_way_is_sold_to_nobody(db: Database) -> None:
    (order_id,) = orders_of(db, 1)
    with db.transaction() as session:
        facts, _ = traces.look(session, order_id, [SCAN], PRODUCTS)
        traces.bind(session, order_id, PLACE, [SCAN], facts, UseStatus.PREPARED, NOW)
    with db.transaction() as session:
        traces.lose_prepared(session, order_id, NOW)
        traces.release_prepared(session, order_id, NOW)
    assert left(db) == 0
    with db.reading() as session:
        assert [use.status for use in traces.uses_of(session, order_id)] == [UseStatus.LOST]
