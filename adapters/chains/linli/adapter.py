"""A chain that is in our own database: its shops have no system, so holding and ordering are rows of ours."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapters.chains.survey import Surveyor, Way
from adapters.registry import ChainManifest
from domain.chains import ChainWord, Offers, OrderLine, PharmacyOrder, Quote, Receipt, SettlementNotice
from domain.errors import Refused
from domain.money import line_amount
from domain.prescription import Handover, Place
from domain.shops import Opening, Shop
from infra.db import Database, Session, counter
from infra.db.counter import Kept, Stocked
from infra.places import Survey

HOLD = timedelta(minutes=30)
"""A hold that has not become an order lapses after that (D-03)."""
NEW = Decimal("0.9")
"""Share of promises kept, and quality, of a shop of which nothing is known yet (D-17)."""
READY_MINUTES, MINUTES_PER_KM, DELIVERY_MINUTES = 10, 3, 30
KM_PER_LATITUDE, KM_PER_LONGITUDE = Decimal(111), Decimal(89)
"""Near 36 degrees north."""


class Adapter:
    """See `adapters.protocols.Chain`, `WorksFromPages` and `Surveyed`."""

    SECRETS = ()

    def __init__(self, manifest: ChainManifest, db: Database, now: Callable[[], datetime], timezone: str, *, courier: bool = False
                 ) -> None:
        self.slug = manifest.slug
        self._shops = {shop.number: shop for shop in manifest.shops}
        self._db = db
        self._now = now
        self._zone = ZoneInfo(timezone)
        self._courier = courier
        self._surveyor = Surveyor(
            self.slug, self._shops, db, Way(READY_MINUTES, MINUTES_PER_KM, DELIVERY_MINUTES,
                                            (float(KM_PER_LATITUDE), float(KM_PER_LONGITUDE))), courier=courier, unrated=float(NEW))

    def shops(self) -> Mapping[str, Shop]:
        return self._shops

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        return self._quotes(lines, handover, place, self._shops)

    async def quote_at(self, stores: Collection[str], lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        some = {number: self._shops[number] for number in sorted(stores) if number in self._shops}
        return self._quotes(lines, handover, place, some)

    def survey(self, drugs: Collection[str], handover: Handover, place: Place) -> Survey:
        now = self._now()
        return self._surveyor.survey(drugs, handover, place, now, now.astimezone(self._zone),
                                     lambda session, number: self._decocting(session, number, now))

    def _quotes(self, lines: Sequence[OrderLine], handover: Handover, place: Place, shops: Mapping[str, Shop]) -> Offers:
        now, some = self._now(), shops if len(shops) < len(self._shops) else ()
        with self._db.reading() as session:
            stocked = counter.stocked(session, self.slug, now, drugs={line.drug for line in lines}, stores=some)
            openings, busy = counter.openings(session, self.slug, stores=some), counter.busy(session, self.slug)
            decocting = {number: self._decocting(session, number, now)
                         for number in {stock.store for stock in stocked} if self._decocts(number)}
        shelves: dict[str, dict[str, Stocked]] = {}
        for stock in stocked:
            shelves.setdefault(stock.store, {})[stock.drug] = stock
        local = now.astimezone(self._zone)
        return Offers(tuple(
            Quote(chain=self.slug, store=number, lines=offered, minutes=minutes(shop, handover, place),
                  load=min(Decimal(busy.get(number, 0)) / shop.capacity, Decimal(1)), on_time=NEW, quality=NEW,
                  delivers=shop.delivers or self._courier or handover is Handover.PICKUP,
                  decoct_left=max(shop.decoct_doses - decocting.get(number, 0), 0),
                  open=openings.get(number, Opening(shop.opens, shop.closes)).at(local))
            for number, shop in shops.items() if (offered := offer(lines, shelves.get(number, {})))))

    def _decocting(self, session: Session, number: str, now: datetime) -> int:
        """Doses that a shop has on for today."""
        return counter.decocting(session, self.slug, number, now, self._midnight(now))

    async def hold(self, order: PharmacyOrder) -> Receipt:
        shop = self._shops.get(order.store)
        with self._db.transaction("counter.held") as session:
            opening = counter.openings(session, self.slug).get(order.store)
            if shop is None or not (opening or Opening(shop.opens, shop.closes)).at(self._now().astimezone(self._zone)):
                if kept := counter.get(session, order.id):
                    return receipt(kept)
                raise Refused(f"{self.slug}: closed", code="closed")
            return receipt(counter.hold(session, order, self._now, lambda at: at + HOLD, decocts=shop.decoct_doses,
                                        midnight=self._midnight))

    def _decocts(self, number: str) -> int:
        """Doses that a shop can decoct in a day; none of one that the manifest does not have any more."""
        return self._shops[number].decoct_doses if number in self._shops else 0

    def _midnight(self, now: datetime) -> datetime:
        """When the city's day began."""
        return now.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)

    async def place(self, order: PharmacyOrder) -> Receipt:
        with self._db.transaction("counter.ordered") as session:
            return receipt(counter.place(session, order.id, self._now, order.patient_due))

    async def find(self, order_id: str) -> Receipt | None:
        with self._db.reading() as session:
            kept = counter.get(session, order_id)
        return receipt(kept) if kept else None

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        with self._db.transaction("counter.let_go") as session:
            counter.say(session, order_id, ChainWord.CANCELLED, before=counter.CANCELLABLE, at=self._now())
            kept = counter.get(session, order_id)
        if kept is None:
            raise Refused(f"{self.slug}: unknown_order", code="unknown_order")
        if kept.word not in counter.LET_GO:
            code = "in_delivery" if kept.word is ChainWord.IN_DELIVERY else "handed_over"
            raise Refused(f"{self.slug}: {code}", code=code)
        return Receipt(reference(order_id), ChainWord.CANCELLED)

    async def notify_settled(self, notice: SettlementNotice) -> None:
        with self._db.transaction("counter.told_of_money") as session:
            counter.settled(session, notice)


def offer(lines: Sequence[OrderLine], shelf: Mapping[str, Stocked]) -> tuple[OrderLine, ...]:
    """The lines that a shop can fill in full, with its prices. Two lines of one drug share what is free of it."""
    left = {drug: stock.available for drug, stock in shelf.items() if stock.price}
    offered = []
    for line in lines:
        if left.get(line.drug, Decimal(0)) < line.quantity:
            continue
        left[line.drug] -= line.quantity
        price = shelf[line.drug].price
        offered.append(OrderLine(line.line, line.drug, line.quantity, line.unit, price, line_amount(price, line.quantity)))
    return tuple(offered)


def minutes(shop: Shop, handover: Handover, place: Place) -> int:
    """Until the patient would have it: to pack it and, by the straight line, to go there."""
    north, east = (shop.latitude - place.latitude) * KM_PER_LATITUDE, (shop.longitude - place.longitude) * KM_PER_LONGITUDE
    kilometres = (north * north + east * east).sqrt()
    return READY_MINUTES + round(kilometres * MINUTES_PER_KM) + (DELIVERY_MINUTES if handover is Handover.HOME else 0)


def receipt(kept: Kept) -> Receipt:
    return Receipt(reference(kept.order_id), kept.word)


def reference(order_id: str) -> str:
    """A shop's own number of an order is ours."""
    return order_id
