"""A pharmacy chain at work: stock, holds, orders, counter, courier and callbacks. Its wire formats are in other files."""

import asyncio
import hashlib
import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.chains import ChainWord
from sandbox.book import Book, Document
from sandbox.chain import Broken, Chain, Line, No, Offer, Outlet, Pack, Package, in_fen, packs
from sandbox.partner import Background, Setting
from sandbox.plan import twice

PREPARING = (ChainWord.HELD, ChainWord.ORDERED, ChainWord.ACCEPTED, ChainWord.PREPARED)
UNDER_WAY = (*PREPARING, ChainWord.IN_DELIVERY)


class Pharmacy:
    """The chain behind its counter. Amounts are fen. Raises `No` and `Broken`."""

    def __init__(self, chain: Chain, setting: Setting, book: Book, background: Background, outlet: Outlet,
                 word: Callable[[Document, ChainWord, str, datetime], Document],
                 news: Callable[[str, Sequence[str], str, datetime], Document] | None = None) -> None:
        """The chain's bodies of events. `word` takes (order, status, event id, time); `news` of a refilled shelf takes (store,
        drugs, event id, time). A chain without `news` does not tell of its shelves."""
        self.chain = chain
        self.stores = {store.id: store for store in chain.stores}
        self.setting = setting
        self.faults = setting.faults
        self.book = book
        self.background = background
        self.outlet = outlet
        self.word = word
        self.news = news
        self.packs = packs(setting.urls.get("city") or "jinan")
        for store in chain.stores:
            for drug, quantity in store.stock.items():
                if book.get("stock", f"{store.id}/{drug}") is None:
                    book.put("stock", f"{store.id}/{drug}", {
                        "store": store.id, "drug": drug, "opening": quantity, "available": quantity,
                        "lowest": quantity, "refilled": 0})
        # Found without reading the whole book.
        self.holds: dict[str, datetime] = {}
        """Order id -> until when its stock is held."""
        self.under_way: dict[str, set[str]] = {store: set() for store in self.stores}
        """Store -> orders that keep it busy."""
        self.handed_over: dict[str, set[str]] = {}
        """Prescription -> orders the patient has in the hand."""
        for order in book.all("order"):
            self._note(order)

    def resume(self) -> None:
        """Go on where the last process stopped."""
        self.outlet.resume()
        for order in self.book.all("order"):
            if order["prescription_id"]:
                self.background.start(self._work(order["order_id"]))
        for shelf in self.book.all("stock"):
            if shelf["available"] < self.chain.refills.get(shelf["drug"], 0):
                self.background.start(self._refill(shelf["store"], shelf["drug"]))

    def quote(self, wanted: Sequence[tuple[str, Decimal]], delivery: bool, latitude: float, longitude: float
              ) -> list[Offer]:
        """Every store that has something of at least one of the lines. Changes nothing."""
        self._release_expired()
        offers = []
        invented_stores = [replace(self.chain.stores[0], id=text) for text in self.faults.settings.get("tells", ())]
        for store in self.chain.stores:
            lines = tuple(line for number, (drug, quantity) in enumerate(wanted, 1)
                          if (line := self._on_the_shelf(store.id, number, drug, quantity)))
            if not lines:
                continue
            if store is self.chain.stores[0]:
                offers += [Offer(store, lines, 1, "0.00", store.delivers or not delivery) for store in invented_stores]
            busy = len(self.under_way[store.id])
            kilometres = math.hypot((store.latitude - latitude) * 111, (store.longitude - longitude) * 89)
            detour = max(self.chain.detour_minutes.get(line.drug, 0) for line in lines)
            offers.append(Offer(
                store, lines, 5 + round(kilometres * 2) + detour + (20 if delivery else 0),
                f"{Decimal(min(busy, store.capacity)) / store.capacity:.2f}", store.delivers or not delivery))
        return offers

    def _on_the_shelf(self, store: str, number: int, wanted: str, quantity: Decimal) -> Line | None:
        """What a store has of a drug; of another product, where it has none of it and the chain knows one."""
        for drug, instead_of in ((wanted, ""), (self.chain.instead.get(wanted, ""), wanted)):
            price = self.chain.prices.get(drug)
            if price is not None and (has := min(quantity, Decimal(self._available(store, drug)))) > 0:
                return Line(number, drug, has, price, in_fen(price, has), instead_of)
        return None

    def hold(self, order_id: str, store_id: str, lines: Sequence[Line]) -> Document:
        """Reserve stock. The same order id again gives the same reference."""
        self._release_expired()
        self.book.count("asked", f"hold {order_id}")
        if order_before := self.book.get("order", order_id):
            if order_before["store"] != store_id or order_before["lines"] != _documents(lines):
                raise Broken("lines")
            return order_before
        self._check_lines(store_id, lines)
        # A drug with a habit has its own story; a fault must not end it before it begins.
        if not any(line.drug in self.chain.habits for line in lines):
            for fault in ("out_of_stock", "closed"):
                if self.faults.strikes(fault, order_id):
                    raise No(fault)
        needed: dict[str, Decimal] = {}
        for line in lines:
            needed[line.drug] = needed.get(line.drug, Decimal(0)) + line.quantity
        if any(self._available(store_id, drug) < quantity for drug, quantity in needed.items()):
            raise No("out_of_stock")
        number = hashlib.sha256(order_id.encode()).hexdigest()
        invented = (self.faults.settings.get("tells") or [""])[int(number, 16) % max(len(self.faults.settings.get("tells", ())), 1)]
        order: Document = {
            "order_id": order_id, "reference": f"{self.chain.prefix}-{invented or number[:12].upper()}",
            "store": store_id, "status": ChainWord.HELD, "lines": _documents(lines),
            "total_fen": sum(line.amount_fen for line in lines),
            "expires_at": (datetime.now(UTC) + timedelta(minutes=self.chain.hold_minutes)).isoformat(),
            "prescription_id": "", "collected_fen": 0, "settlement": None, "returned_lines": [], "reason": invented,
        }
        with self.book.transaction():
            self._move_stock(order, -1)
            self._keep(order)
            self.book.count("effect", f"hold {order_id}")
        return order

    def order(self, order_id: str, store_id: str, lines: Sequence[Line], *, prescription_id: str, delivery: bool,
              claim_secret: str, pickup_code_sha256: str, patient_due_fen: int, total_fen: int, has_recipient: bool,
              package: Package) -> Document:
        """Turn a hold into an order; the patient's name and address are used and not kept.

        Every line must have its slip, or the package could not be labelled.
        """
        self._release_expired()
        self.book.count("asked", f"order {order_id}")
        order = self.book.get("order", order_id)
        if order is None or (order["status"] == ChainWord.CANCELLED and not order["prescription_id"]):
            raise No("hold_expired")
        if order["store"] != store_id or order["lines"] != _documents(lines) or order["total_fen"] != total_fen:
            raise Broken("lines")
        if order["status"] != ChainWord.HELD:
            return order
        if not claim_secret or not prescription_id:
            raise Broken("claim_secret")
        if delivery and not has_recipient:
            raise Broken("recipient")
        if not delivery and len(pickup_code_sha256) != 64:
            raise Broken("pickup_code_sha256")
        if sorted(slip.line for slip in package.slips) != sorted(line.line for line in lines):
            raise Broken("labels")
        order |= {
            "prescription_id": prescription_id, "delivery": delivery, "claim_secret": claim_secret,
            "pickup_code_sha256": pickup_code_sha256, "patient_due_fen": patient_due_fen,
            "status": ChainWord.ORDERED if self.chain.accepts_later else ChainWord.ACCEPTED,
            "package": asdict(package),
        }
        with self.book.transaction():
            self._keep(order)
            self.book.count("effect", f"order {order_id}")
        self.background.start(self._work(order_id))
        return order

    def find(self, order_id: str) -> Document:
        self._release_expired()
        if (order := self.book.get("order", order_id)) is None:
            raise No("unknown_order")
        return order

    def cancel(self, order_id: str, reason: str) -> Document:
        """Give the stock back. An order that is over already (cancelled, declined) stays cancelled."""
        self.book.count("asked", f"cancel {order_id}")
        order = self.find(order_id)
        if order["status"] == ChainWord.IN_DELIVERY:
            raise No("in_delivery")
        if order["status"] in (ChainWord.HANDED_OVER, ChainWord.RETURNED):
            raise No("handed_over")
        if order["status"] in PREPARING:
            self._close(order, ChainWord.CANCELLED, reason)
            self.book.count("effect", f"cancel {order_id}")
        return order

    def settlement(self, order_id: str, settlement_id: str, total_fen: int, fund_fen: int, account_fen: int,
                   cash_fen: int) -> None:
        """What the fund paid; the last notice counts. The patient's cash is collected or paid back to match."""
        order = self.find(order_id)
        if total_fen != fund_fen + account_fen + cash_fen:
            raise Broken("total_fen")
        order["settlement"] = {"settlement_id": settlement_id, "total_fen": total_fen, "fund_fen": fund_fen,
                               "account_fen": account_fen, "cash_fen": cash_fen}
        self._keep(order)

    def pick_up(self, order_id: str, code: str) -> Document:
        """The patient at the counter. The code is checked by its digest; the chain never learns the code itself."""
        order = self.find(order_id)
        if order["status"] == ChainWord.HANDED_OVER:
            return order
        if order["status"] != ChainWord.PREPARED or order["delivery"]:
            raise No("not_prepared")
        digest = hashlib.sha256(f"{order_id}:{code}".encode()).hexdigest()
        if not hmac.compare_digest(digest, order["pickup_code_sha256"]):
            raise No("wrong_code")
        self._hand_over(order, code)
        return order

    def show_book(self) -> Document:
        """Every order, every shelf, how often each effect took place and what is wrong with ourselves."""
        hidden = {"claim_secret", "pickup_code_sha256", "pickup_code"}
        return {
            "chain": self.chain.slug,
            "orders": [{key: value for key, value in order.items() if key not in hidden}
                       for order in self.book.all("order")],
            "stock": self.book.all("stock"),
            "effects": self.book.all("effect"),
            "asked": self.book.all("asked"),
            "callbacks": [{key: value for key, value in event.items() if key != "body"}
                          for event in self.book.all("callback")],
            "defects": self.book.all("defect"),
        }

    # What happens by itself.

    async def _work(self, order_id: str) -> None:
        """Take an order from where it is to the patient's hand, at the chain's own pace."""
        def habits() -> set[str]:
            return {self.chain.habits.get(line["drug"], "") for line in self._order(order_id)["lines"]}

        if "silent" in habits():
            return
        if self._order(order_id)["status"] == ChainWord.ORDERED:
            await self._sleep(0.2, 0.8, "accept", order_id)
            if self._order(order_id)["status"] != ChainWord.ORDERED:
                return
            if "decline" in habits() or self._sold_out(order_id):
                order = self._order(order_id)
                self._close(order, ChainWord.DECLINED, "out_of_stock")
                self._tell(order, ChainWord.DECLINED)
                return
            self._become(order_id, ChainWord.ORDERED, ChainWord.ACCEPTED)
        if self._order(order_id)["status"] == ChainWord.ACCEPTED:
            await self._sleep(0.3, 0.3, "prepare", order_id)
            if not self.chain.accepts_later and self._sold_out(order_id):
                # It said yes at once, and finds out when it packs.
                order = self._order(order_id)
                self._close(order, ChainWord.DECLINED, "out_of_stock")
                self._tell(order, ChainWord.DECLINED)
                return
            self._become(order_id, ChainWord.ACCEPTED, ChainWord.PREPARED)
        if self._order(order_id)["delivery"]:
            if self._order(order_id)["status"] == ChainWord.PREPARED:
                await self._sleep(0.5, 1.5, "courier", order_id)
                if "recall" in habits():
                    await self._await_recall(order_id)
                self._become(order_id, ChainWord.PREPARED, ChainWord.IN_DELIVERY)
            if self._order(order_id)["status"] == ChainWord.IN_DELIVERY:
                await self._sleep(0.5, 1.5, "door", order_id)
                self._hand_over(self._order(order_id), "")
        if "return" in habits():
            await self._take_back(order_id)

    async def _await_recall(self, order_id: str) -> None:
        """Where the day has a recall, the courier comes late: by then the lot is recalled, and packed anew."""
        drugs = [line["drug"] for line in self._order(order_id)["lines"]]
        for _ in range(int(self.faults.settings.get("awaits_recall", 0) / 0.3)):
            if any(self.book.get("recalled", drug) for drug in drugs):
                break
            await asyncio.sleep(0.3)

    def recall(self, drug: str, lot: str) -> list[str]:
        """Take a lot off the shelves, and out of what lies packed, which is packed anew from another one. Returns those orders."""
        if self.book.get("recalled", drug):
            return []
        self.book.put("recalled", drug, {"drug": drug, "lot": lot})
        for store in self.stores:
            for kind, empty in (("opened", {"left": 0}), ("closed", {"packs": []})):
                self.book.put(kind, f"{store}/{drug}", empty)
        again = [order for order in self.book.all("order") if order["status"] == ChainWord.PREPARED
                 and any(pack["lot"] == lot for pack in order.get("traces", ()))]
        for order in again:
            with self.book.transaction():
                self._scan(order)
                self._keep(order)
            self._tell(order, ChainWord.PREPARED, "again")
        return [order["order_id"] for order in again]

    def _sold_out(self, order_id: str) -> bool:
        """Whether a line of an order fails after all, by the faults of the day; one with a habit has its own story."""
        lines = self._order(order_id)["lines"]
        return not any(line["drug"] in self.chain.habits for line in lines) and any(
            self.faults.strikes("sold_out", f"{order_id} {line['line']}") for line in lines)

    async def _take_back(self, order_id: str) -> None:
        """The patient brings the goods back, some time after the fund has paid (or will not hurry to)."""
        while self._order(order_id)["status"] in UNDER_WAY:
            await self._sleep(0.3, 0.3, "wait", order_id)
        for _ in range(100):
            if self._order(order_id)["status"] != ChainWord.HANDED_OVER or self._order(order_id)["settlement"]:
                break
            await self._sleep(0.3, 0.3, "wait", order_id)
        await self._sleep(0.5, 1.5, "return", order_id)
        order = self._order(order_id)
        if order["status"] != ChainWord.HANDED_OVER:
            return
        back = [line["line"] for line in order["lines"] if self.chain.habits.get(line["drug"]) == "return"]
        # Returned medicine is never sold again: the shelf does not change.
        order |= {"status": ChainWord.RETURNED, "returned_lines": back, "reason": "quality"}
        self._keep(order)
        self._tell(order, ChainWord.RETURNED)

    async def _refill(self, store: str, drug: str) -> None:
        """A delivery from the warehouse, of which the platform is told: a patient may wait for it."""
        await self._sleep(1.5, 1.5, "refill", store, drug)
        shelf = self.book.get("stock", f"{store}/{drug}")
        if shelf is None or shelf["available"] >= self.chain.refills[drug]:
            return
        added = self.chain.refills[drug] - shelf["available"]
        number = self.book.count("number", f"refill {store} {drug}")
        with self.book.transaction():
            self.book.put("stock", f"{store}/{drug}", shelf | {
                "available": shelf["available"] + added, "refilled": shelf.get("refilled", 0) + added})
        event_id = hashlib.sha256(f"{self.chain.slug} {store} {drug} {number}".encode()).hexdigest()[:24]
        if self.news:
            self.outlet.send(event_id, self.news(store, [drug], event_id, datetime.now(UTC)), "/stock")

    def _hand_over(self, order: Document, code: str) -> None:
        others = [self._order(number) for number in self.handed_over.get(order["prescription_id"], set())
                  if number != order["order_id"]]
        with self.book.transaction():
            if twice([order, *others]):
                self.book.put("defect", f"double_dispense {order['order_id']}",
                              {"defect": "double_dispense", "order_id": order["order_id"],
                               "prescription_id": order["prescription_id"]})
            order |= {"status": ChainWord.HANDED_OVER, "collected_fen": order["patient_due_fen"], "pickup_code": code}
            self._keep(order)
            self.book.count("effect", f"handover {order['order_id']}")
        self._tell(order, ChainWord.HANDED_OVER)

    def _scan(self, order: Document) -> None:
        """Take packs for every line: whole ones, and for the rest of it from the opened pack of the drug, or a new one."""
        scanned = []
        for line in order["lines"]:
            if pack := self.packs.get(line["drug"]):
                scanned += self._take_packs(order["store"], line, pack)
        order["traces"] = scanned

    def _take_packs(self, store: str, line: Document, pack: Pack) -> list[Document]:
        left, taken = int(Decimal(line["quantity"])), []
        while left:
            shelf = f"{store}/{line['drug']}"
            opened = self.book.get("opened", shelf) or {"left": 0}
            whole = left >= pack.units or not opened["left"]
            unit = self._new_pack(store, line["drug"], pack) if whole else opened["pack"]
            units = min(left, pack.units if whole else opened["left"])
            taken.append({"line": line["line"], **unit, "units": units})
            left -= units
            if units < pack.units:
                self.book.put("opened", shelf, {"pack": unit, "left": (pack.units if whole else opened["left"]) - units})
        return taken

    def _new_pack(self, store: str, drug: str, pack: Pack) -> Document:
        """A pack put back on the shelf before, or one more of our stock."""
        back = self.book.get("closed", f"{store}/{drug}") or {"packs": []}
        if back["packs"]:
            unit: Document = back["packs"].pop()
            self.book.put("closed", f"{store}/{drug}", back)
            return unit
        shop = 100 * (sum(map(ord, self.chain.slug)) % 90 + 10) + list(self.stores).index(store)
        number = self.book.count("number", f"pack {store}/{drug}")
        made = datetime.now(UTC).date() - timedelta(days=150)
        lot = f"{self.chain.prefix}{drug}" + ("N" if self.book.get("recalled", drug) else "")
        return {"code": f"{pack.digits}{shop:04d}{number:09d}", "lot": lot,
                "made_on": made.isoformat(), "expires_on": (made + timedelta(days=730)).isoformat()}

    def _put_packs_back(self, order: Document) -> None:
        """What lay packed is sold to the next who comes; a part of an opened pack is written off."""
        for pack in order.pop("traces", ()):
            drug = next(line["drug"] for line in order["lines"] if line["line"] == pack["line"])
            recalled = (self.book.get("recalled", drug) or {}).get("lot") == pack["lot"]
            if pack["units"] == self.packs[drug].units and not recalled:
                shelf = f"{order['store']}/{drug}"
                back = self.book.get("closed", shelf) or {"packs": []}
                unit = {key: value for key, value in pack.items() if key not in ("line", "units")}
                self.book.put("closed", shelf, {"packs": [*back["packs"], unit]})

    def _become(self, order_id: str, start: ChainWord, to: ChainWord) -> None:
        order = self._order(order_id)
        if order["status"] == start:
            order["status"] = to
            with self.book.transaction():
                if to == ChainWord.PREPARED:
                    self._scan(order)
                self._keep(order)
            self._tell(order, to)

    def _tell(self, order: Document, status: ChainWord, again: str = "") -> None:
        event_id = hashlib.sha256(f"{self.chain.slug} {order['order_id']} {status}{again}".encode()).hexdigest()[:24]
        at = datetime.now(UTC)
        if self.faults.strikes("wrong_time", event_id):
            at += timedelta(hours=self.faults.between(-48, 48, "hours", event_id))
        self.outlet.send(event_id, self.word(order, status, event_id, at))

    def _close(self, order: Document, to: ChainWord, reason: str) -> None:
        with self.book.transaction():
            order |= {"status": to, "reason": reason}
            self._move_stock(order, +1)
            self._put_packs_back(order)
            self._keep(order)

    def _keep(self, order: Document) -> None:
        self.book.put("order", order["order_id"], order)
        self._note(order)

    def _note(self, order: Document) -> None:
        order_id, status = order["order_id"], order["status"]
        self.holds.pop(order_id, None)
        if status == ChainWord.HELD:
            self.holds[order_id] = datetime.fromisoformat(order["expires_at"])
        if status in UNDER_WAY:
            self.under_way[order["store"]].add(order_id)
        else:
            self.under_way[order["store"]].discard(order_id)
        mine = self.handed_over.setdefault(order["prescription_id"], set())
        if status == ChainWord.HANDED_OVER:
            mine.add(order_id)
        else:
            mine.discard(order_id)

    def _release_expired(self) -> None:
        now = datetime.now(UTC)
        for order_id in [order_id for order_id, until in self.holds.items() if until <= now]:
            self._close(self._order(order_id), ChainWord.CANCELLED, "hold_expired")

    def _move_stock(self, order: Document, sign: int) -> None:
        for line in order["lines"]:
            shelf = self.book.get("stock", f"{order['store']}/{line['drug']}")
            if shelf is None:
                raise No("out_of_stock")
            shelf["available"] += sign * int(Decimal(line["quantity"]))
            shelf["lowest"] = min(shelf["lowest"], shelf["available"])
            if shelf["available"] < 0:
                raise No("out_of_stock")
            self.book.put("stock", f"{order['store']}/{line['drug']}", shelf)
            if shelf["available"] < self.chain.refills.get(line["drug"], 0):
                self.background.start(self._refill(order["store"], line["drug"]))

    def _available(self, store_id: str, drug: str) -> int:
        shelf = self.book.get("stock", f"{store_id}/{drug}")
        return 0 if shelf is None else int(shelf["available"])

    def _check_lines(self, store_id: str, lines: Sequence[Line]) -> None:
        if store_id not in self.stores:
            raise Broken("store_id")
        for line in lines:
            if line.quantity <= 0 or line.quantity != line.quantity.to_integral_value():
                raise Broken("lines/quantity")
            if line.drug not in self.chain.prices:
                raise No("out_of_stock")
            if line.unit_price != self.chain.prices[line.drug]:
                raise Broken("lines/unit_price")
            if line.amount_fen != in_fen(line.unit_price, line.quantity):
                raise Broken("lines/amount_fen")

    def _order(self, order_id: str) -> Document:
        order = self.book.get("order", order_id)
        if order is None:
            raise No("unknown_order")
        return order

    async def _sleep(self, least: float, most: float, *what: str) -> None:
        await asyncio.sleep(self.faults.between(least, most, *what) * self.setting.pace)


def _documents(lines: Sequence[Line]) -> list[Document]:
    # Normalised, so that `60` and `60.00` are the same line.
    return [
        asdict(line)
        | {"quantity": f"{line.quantity.normalize():f}", "unit_price": f"{line.unit_price.normalize():f}"}
        for line in lines
    ]


def scanned(order: Document, status: ChainWord) -> list[Document] | None:
    """The packs that a word tells of; None in one that is not about packs."""
    if status in (ChainWord.PREPARED, ChainWord.HANDED_OVER):
        return list(order.get("traces", ()))
    if status == ChainWord.RETURNED:
        return [pack for pack in order.get("traces", ()) if pack["line"] in order["returned_lines"]]
    return None
