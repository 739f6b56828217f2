"""Shelves of shops that work from our pages, and the orders they have: what a chain with a system keeps there.

What is free is computed: the shelf without what live orders need. A hold is live until its time is over; nothing has to be
given back.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.chains import ChainWord, PharmacyOrder, SettlementNotice
from domain.errors import Refused
from domain.money import Fen
from domain.shops import Opening
from infra.db import prescriptions
from infra.db.engine import insert_new, run, table
from infra.db.rows.counter import (
    LIVE,
    PRICE,
    QUANTITY,
    UNDER_WAY,
    CounterActRow,
    CounterLineRow,
    CounterOrderRow,
    OpeningRow,
    ShelfMoveRow,
    ShelfRow,
)
from infra.db.rows.fulfilment import OrderRow

NOTHING = Decimal(0)
NONE = Fen(0)
CANCELLABLE = (ChainWord.HELD, ChainWord.ORDERED, ChainWord.ACCEPTED, ChainWord.PREPARED)
LET_GO = (ChainWord.CANCELLED, ChainWord.DECLINED)


class MoveKind(StrEnum):
    """Why a shelf changed."""

    COUNTED = "counted"
    RECEIVED = "received"
    HANDED_OVER = "handed_over"
    LOST = "lost"
    """With a courier."""


@dataclass(frozen=True)
class Stocked:
    """A drug in a shop."""

    store: str
    drug: str
    quantity: Decimal
    """Counted units in the shop."""
    needed: Decimal
    """Of them for live orders."""
    price: Decimal
    """Yuan per counted unit; zero: not for sale yet."""

    @property
    def available(self) -> Decimal:
        return max(self.quantity - self.needed, NOTHING)


@dataclass(frozen=True)
class Kept:
    """An order as the shop has it."""

    order_id: str
    chain: str
    store: str
    word: ChainWord
    held_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    patient_due: Fen
    """What the shop collects from the patient."""
    notice: SettlementNotice | None
    """The last word about money."""


@dataclass(frozen=True)
class Done:
    """What a person did with an order, or tried to."""

    act: str
    reason: str
    lines: tuple[int, ...]
    person: str
    at: datetime


_SHELF, _MOVE, _OPENING = table(ShelfRow), table(ShelfMoveRow), table(OpeningRow)
_ORDER, _LINE, _ACT = table(CounterOrderRow), table(CounterLineRow), table(CounterActRow)
_PLACED = table(OrderRow)
_NEEDED = (
    sa.select(_ORDER.c.store, _LINE.c.drug, sa.func.sum(_LINE.c.quantity, type_=QUANTITY).label("quantity"))
    .join(_LINE, _LINE.c.order_id == _ORDER.c.order_id)
    .where(_ORDER.c.chain == sa.bindparam("of"), sa.text(f"counter_order.{LIVE}"),
           sa.or_(_ORDER.c.word != ChainWord.HELD, _ORDER.c.expires_at > sa.bindparam("now")))
    .group_by(_ORDER.c.store, _LINE.c.drug).subquery()
)
"""What live orders need of each drug in each shop."""
_STOCKED = (
    sa.select(_SHELF.c.store, _SHELF.c.drug, _SHELF.c.quantity, sa.func.coalesce(_NEEDED.c.quantity, 0, type_=QUANTITY),
              _SHELF.c.price)
    .outerjoin(_NEEDED, sa.and_(_NEEDED.c.store == _SHELF.c.store, _NEEDED.c.drug == _SHELF.c.drug))
    .where(_SHELF.c.chain == sa.bindparam("of")).order_by(_SHELF.c.store, _SHELF.c.drug)
)
_OF_DRUGS = _STOCKED.where(_SHELF.c.drug.in_(sa.bindparam("drugs", expanding=True)))
_OF_SOME = _OF_DRUGS.where(_SHELF.c.store.in_(sa.bindparam("stores", expanding=True)))
_OF_STORE = _STOCKED.where(_SHELF.c.store == sa.bindparam("at"))
_LOCK = (sa.select(_SHELF.c.drug).where(_SHELF.c.chain == sa.bindparam("of"), _SHELF.c.store == sa.bindparam("at"),
                                        _SHELF.c.drug.in_(sa.bindparam("drugs", expanding=True)))
         .order_by(_SHELF.c.drug).with_for_update())
"""On SQLite every writing transaction waits for the one before anyway."""
_KEPT = sa.select(_ORDER).where(_ORDER.c.order_id == sa.bindparam("this"))


def stocked(session: Session, chain: str, now: datetime, *, drugs: Collection[str] = (), store: str = "",
            stores: Collection[str] = ()) -> list[Stocked]:
    """What shops of a chain have: of some drugs everywhere or in some shops, or everything in one shop."""
    if stores:
        return [Stocked(*row) for row in run(session, _OF_SOME, {"of": chain, "now": now, "drugs": sorted(drugs),
                                                                 "stores": sorted(stores)})]
    if store:
        return [Stocked(*row) for row in run(session, _OF_STORE, {"of": chain, "now": now, "at": store})]
    return [Stocked(*row) for row in run(session, _OF_DRUGS, {"of": chain, "now": now, "drugs": sorted(drugs)})]


def busy(session: Session, chain: str) -> dict[str, int]:
    """How many orders each shop of a chain has under way."""
    rows = session.execute(
        sa.select(_ORDER.c.store, sa.func.count()).where(_ORDER.c.chain == chain, sa.text(LIVE), _ORDER.c.word.in_(UNDER_WAY))
        .group_by(_ORDER.c.store))
    return {row[0]: row[1] for row in rows}


def decocting(session: Session, chain: str, store: str, now: datetime, since: datetime) -> int:
    """Doses that a shop is to decoct for orders which are not packed yet, and those that were held since then.

    Counted from the orders and what was prescribed; a hold counts until it lapses.
    """
    ids = session.scalars(sa.select(_PLACED.c.prescription_id).join(_ORDER, _ORDER.c.order_id == _PLACED.c.id).where(
        _ORDER.c.chain == chain, _ORDER.c.store == store, sa.or_(
            sa.and_(sa.text(f"counter_order.{LIVE}"), _ORDER.c.word.in_((ChainWord.ORDERED, ChainWord.ACCEPTED))),
            sa.and_(_ORDER.c.word == ChainWord.HELD, _ORDER.c.expires_at > now),
            sa.and_(_ORDER.c.held_at >= since, _ORDER.c.word.not_in((ChainWord.HELD, *LET_GO)))))).all()
    return sum(prescriptions.load(session, rx_id).prescription.to_decoct for rx_id in ids)


def hold(session: Session, order: PharmacyOrder, clock: Callable[[], datetime], until: Callable[[datetime], datetime], *,
         decocts: int = 0, midnight: Callable[[datetime], datetime] = lambda now: now) -> Kept:
    """Reserve what an order needs; the same order again is what it was. Raises `Refused` (`out_of_stock`, `no_decoct_capacity`).

    `decocts` is how many doses the shop can decoct in a day, and `midnight` gives the beginning of that day.

    The clock is read once no other transaction can take from these shelves.
    """
    doses = prescriptions.load(session, order.prescription_id).prescription.to_decoct if decocts else 0
    # Room for a decoction is shared by orders for other drugs: then all shelves of the shop are locked.
    _lock(session, order.chain, order.store, session.scalars(sa.select(_SHELF.c.drug).where(
        _SHELF.c.chain == order.chain, _SHELF.c.store == order.store)).all() if doses else [line.drug for line in order.lines])
    if kept := get(session, order.id):
        return kept
    now = clock()
    if doses and decocting(session, order.chain, order.store, now, midnight(now)) + doses > decocts:
        raise Refused(f"{order.chain}: no_decoct_capacity", code="no_decoct_capacity")
    free = {stock.drug: stock.available for stock in stocked(session, order.chain, now, drugs={line.drug for line in order.lines})
            if stock.store == order.store}
    needed: dict[str, Decimal] = {}
    for line in order.lines:
        needed[line.drug] = needed.get(line.drug, NOTHING) + line.quantity
    if any(free.get(drug, NOTHING) < quantity for drug, quantity in needed.items()):
        raise Refused(f"{order.chain}: out_of_stock", code="out_of_stock")
    insert_new(session, CounterOrderRow, order_id=order.id, chain=order.chain, store=order.store, word=ChainWord.HELD,
               held_at=now, expires_at=until(now), ended_at=None)
    for line in order.lines:
        insert_new(session, CounterLineRow, order_id=order.id, line=line.line, drug=line.drug, quantity=line.quantity)
    kept = get(session, order.id)
    assert kept is not None
    return kept


def place(session: Session, order_id: str, clock: Callable[[], datetime], patient_due: Fen = NONE) -> Kept:
    """Turn a hold into an order; one that is an order already stays what it is. Raises `Refused` (code `hold_expired`)."""
    kept = get(session, order_id)
    if kept is not None and kept.word is ChainWord.HELD:
        _lock(session, kept.chain, kept.store, session.scalars(sa.select(_LINE.c.drug).where(_LINE.c.order_id == order_id)).all())
        if kept.expires_at > clock():
            say(session, order_id, ChainWord.ORDERED, before=(ChainWord.HELD,), patient_due_fen=patient_due)
        kept = get(session, order_id)
    if kept is None or kept.word in (ChainWord.HELD, *LET_GO):
        raise Refused(f"{order_id}: hold_expired", code="hold_expired")
    return kept


def get(session: Session, order_id: str) -> Kept | None:
    row = run(session, _KEPT, {"this": order_id}).one_or_none()
    return _kept(row) if row else None


def say(session: Session, order_id: str, word: ChainWord, *, before: Collection[ChainWord], at: datetime | None = None,
        **more: object) -> bool:
    """Move an order to a word if it is at one of those before; `at` if it ends so. Of two who do it at once one does."""
    changes: dict[str, object] = {"word": word, **more} | ({"ended_at": at} if at else {})
    return run(session, sa.update(_ORDER).where(_ORDER.c.order_id == order_id, _ORDER.c.word.in_(before)).values(changes)
               ).rowcount == 1


def settled(session: Session, notice: SettlementNotice) -> None:
    """The last word about money counts."""
    run(session, sa.update(_ORDER).where(_ORDER.c.order_id == notice.order_id), {
        "settlement_id": notice.settlement_id, "total_fen": notice.total, "fund_fen": notice.fund,
        "account_fen": notice.account, "cash_fen": notice.cash})


# --- Shelves and hours ---


def count(session: Session, chain: str, store: str, drug: str, counted: Decimal, *, by: str, at: datetime) -> None:
    """There are so many on the shelf; what was written before no longer counts."""
    _on_shelf(session, chain, store, drug)
    before = session.scalar(sa.select(_SHELF.c.quantity).where(*_is(chain, store, drug))) or NOTHING
    _move(session, chain, store, drug, counted - before, MoveKind.COUNTED, by=by, at=at)


def receive(session: Session, chain: str, store: str, drug: str, quantity: Decimal, *, by: str, at: datetime,
            key: str | None = None) -> None:
    """So many more have come; the same key again is the same delivery."""
    _on_shelf(session, chain, store, drug)
    _move(session, chain, store, drug, quantity, MoveKind.RECEIVED, by=by, at=at, key=key)


def hand_over(session: Session, kept: Kept, *, by: str, at: datetime) -> None:
    """What an order needed has left the shop."""
    _leave(session, kept, MoveKind.HANDED_OVER, by=by, at=at)


def lose(session: Session, kept: Kept, *, by: str, at: datetime) -> None:
    """What an order needed will not come back to the shop."""
    _leave(session, kept, MoveKind.LOST, by=by, at=at)


def _leave(session: Session, kept: Kept, kind: MoveKind, *, by: str, at: datetime) -> None:
    lines = session.execute(sa.select(_LINE.c.line, _LINE.c.drug, _LINE.c.quantity).where(_LINE.c.order_id == kept.order_id)).all()
    _lock(session, kept.chain, kept.store, [line.drug for line in lines])
    for line, drug, quantity in lines:
        _move(session, kept.chain, kept.store, drug, -quantity, kind, by=by, at=at, order_id=kept.order_id,
              key=f"{kept.order_id}:{line}")


def price(session: Session, chain: str, store: str, drug: str, yuan: Decimal) -> None:
    """What it costs from now on; zero: it is not for sale."""
    _on_shelf(session, chain, store, drug)
    run(session, sa.update(_SHELF).where(*_is(chain, store, drug)).values(price=sa.bindparam("yuan", type_=PRICE)), {"yuan": yuan})


def openings(session: Session, chain: str, *, stores: Collection[str] = ()) -> dict[str, Opening]:
    """What the people of each shop, or of some, have said of its hours; none for a shop that keeps its usual ones."""
    some = (_OPENING.c.store.in_(sorted(stores)),) if stores else ()
    return {row.store: Opening(time.fromisoformat(row.opens), time.fromisoformat(row.closes), row.on_duty, row.shut)
            for row in session.execute(sa.select(_OPENING).where(_OPENING.c.chain == chain, *some))}


def open_at(session: Session, chain: str, store: str, opening: Opening, *, by: str, at: datetime) -> None:
    """The shop's hours from now on."""
    values = {"opens": f"{opening.opens:%H:%M}", "closes": f"{opening.closes:%H:%M}", "on_duty": opening.on_duty,
              "shut": opening.shut, "by": by, "at": at}
    if not insert_new(session, OpeningRow, chain=chain, store=store, **values):
        run(session, sa.update(_OPENING).where(_OPENING.c.chain == chain, _OPENING.c.store == store), values)


# --- Who did what ---


def note(session: Session, order_id: str, act: str, person: str, at: datetime, *, reason: str = "", lines: Sequence[int] = ()
         ) -> None:
    run(session, sa.insert(_ACT), {"order_id": order_id, "act": act, "reason": reason, "lines": list(lines), "person": person,
                                   "at": at})


def done(session: Session, order_id: str) -> list[Done]:
    """What was done with an order, the oldest first."""
    return [Done(row.act, row.reason, tuple(row.lines), row.person, row.at) for row in session.execute(
        sa.select(_ACT).where(_ACT.c.order_id == order_id).order_by(_ACT.c.id))]


def kept_by(session: Session, chain: str, store: str, since: datetime) -> list[Kept]:
    """Orders of a shop that are under way, and those that were held or ended since then; the newest first."""
    rows = session.execute(
        sa.select(_ORDER).where(_ORDER.c.chain == chain, _ORDER.c.store == store, sa.or_(
            sa.and_(sa.text(LIVE), _ORDER.c.word != ChainWord.HELD), _ORDER.c.held_at >= since, _ORDER.c.ended_at >= since))
        .order_by(_ORDER.c.held_at.desc(), _ORDER.c.order_id))
    return [_kept(row) for row in rows]


def moves(session: Session, chain: str, store: str) -> Mapping[str, Decimal]:
    """The sum of all moves of each drug: what its shelf must say."""
    rows = session.execute(
        sa.select(_MOVE.c.drug, sa.func.sum(_MOVE.c.quantity, type_=QUANTITY)).where(_MOVE.c.chain == chain, _MOVE.c.store == store)
        .group_by(_MOVE.c.drug))
    return {row[0]: row[1] for row in rows}


def _kept(row: Any) -> Kept:
    notice = None if row.settlement_id is None else SettlementNotice(
        row.order_id, row.settlement_id, row.total_fen, row.fund_fen, row.account_fen, row.cash_fen)
    return Kept(row.order_id, row.chain, row.store, ChainWord(row.word), row.held_at, row.expires_at, row.ended_at,
                row.patient_due_fen, notice)


def _is(chain: str, store: str, drug: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _SHELF.c.chain == chain, _SHELF.c.store == store, _SHELF.c.drug == drug


def _lock(session: Session, chain: str, store: str, drugs: Collection[str]) -> None:
    run(session, _LOCK, {"of": chain, "at": store, "drugs": sorted(set(drugs))}).all()


def _on_shelf(session: Session, chain: str, store: str, drug: str) -> None:
    insert_new(session, ShelfRow, chain=chain, store=store, drug=drug, quantity=NOTHING, price=NOTHING)
    _lock(session, chain, store, [drug])


def _move(session: Session, chain: str, store: str, drug: str, quantity: Decimal, kind: MoveKind, *, by: str, at: datetime,
          order_id: str = "", key: str | None = None) -> None:
    if insert_new(session, ShelfMoveRow, chain=chain, store=store, drug=drug, kind=kind, quantity=quantity, order_id=order_id,
                  key=key, by=by, at=at):
        run(session, sa.update(_SHELF).where(*_is(chain, store, drug)).values(
            quantity=_SHELF.c.quantity + sa.bindparam("added", type_=QUANTITY)), {"added": quantity})
