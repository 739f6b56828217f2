"""The people of shops without a system, one for each shop, as any client of the inbox's API, with a separate book.

They count what is on their shelves and open; then they accept, prepare, and hand over to who shows the code. Where the shop's own
people bring it home, they look at the last characters of the patient's id card there.
"""

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from domain.chains import ChainWord
from sandbox.book import Book, Document
from sandbox.loopback import NO_CERTIFICATES
from sandbox.partner import Background, Setting, partner_app, run

CHAIN = "linli"
SHOPS = ("LL01", "LL02", "LL03", "LL04", "LL05")
Shelf = Mapping[str, tuple[str, str]]
"""Drug -> counted units, and yuan for each."""
POINTS = ("LL03", "LL05")
"""Clinics that keep parcels of other pharmacies for their patients."""
STOCK: Mapping[str, Shelf] = {
    "LL01": {"D005": ("100000", "0.60")},
    "LL02": {"D003": ("100000", "0.85"), "YP104": ("100000", "0.19"), "YP107": ("100000", "0.06")},
    "LL03": {},
    "LL04": {"YP101": ("100000", "0.12"), "YP103": ("100000", "0.21"), "YP113": ("100000", "0.025"),
             "YP114": ("100000", "0.045")},
    "LL05": {},
}
"""What no chain of the city sells, so that a prescription of it comes here."""
VISITED: Mapping[str, Shelf] = {
    **STOCK, "LL01": {"D005": ("600", "0.60"), "D032": ("600", "0.20"), "D048": ("600", "0.60"), "D065": ("600", "0.90"),
                      "D081": ("600", "0.10")}}
"""The same in a city with visitors: the first shop is cheap, and gets orders of every kind."""
ENDED = (ChainWord.HANDED_OVER, ChainWord.RETURNED, ChainWord.DECLINED, ChainWord.CANCELLED)
LEAST_PAUSE, SHARE_OF_LOOKING = 0.4, 5
"""Seconds between two looks at the inbox; a look that takes long is repeated more seldom."""


class Shopkeeper:
    """One person of one shop, with one token."""

    def __init__(self, number: str, shelf: Shelf, token: str, setting: Setting, book: Book, street: httpx.AsyncClient) -> None:
        self.place = f"{CHAIN}/{number}"
        self.number = number
        self.leaves_orders = number == SHOPS[0] and setting.urls.get("stock") == "visited"
        """For visitors, who have this shop's access code: it only fills its shelves."""
        self.shelf = shelf
        self.setting = setting
        self.book = book
        self.street = street
        self.seen_at: dict[str, float] = {}
        """Order and its status -> when it was seen so first."""
        self.client = httpx.AsyncClient(base_url=setting.urls["gateway"], timeout=10, trust_env=False, verify=NO_CERTIFICATES,
                                        headers={"Authorization": f"Bearer {token}"})

    async def work(self) -> None:
        await self._open()
        while True:
            began = time.monotonic()
            listed = await self._ask("GET", "orders", shop=self.place)
            for order in (listed.json()["orders"] if listed is not None and listed.status_code == 200 else ()):
                self.note(order)
                if not self.leaves_orders:
                    await self._serve(order)
            if self.number in POINTS:
                await self._keep_parcels()
            await asyncio.sleep(max(LEAST_PAUSE * self.setting.pace, SHARE_OF_LOOKING * (time.monotonic() - began)))

    async def pick_up(self, order_id: str, code: str) -> str:
        """The patient at the counter; returns the code of the refusal, empty if they have it."""
        order = self.book.get("order", order_id)
        if order is None or order["status"] not in (ChainWord.PREPARED, ChainWord.HANDED_OVER):
            return "not_prepared"
        if order["status"] == ChainWord.HANDED_OVER:
            return ""
        return await self._do(order, "hand_over", proof=code, **self._till(order))

    async def _keep_parcels(self) -> None:
        """Receive what the courier has brought; it waits on the shelf for its patient."""
        listed = await self._ask("GET", "parcels", shop=self.place)
        for parcel in listed.json()["parcels"] if listed is not None and listed.status_code == 200 else ():
            self.book.put("parcel", parcel["order_id"], parcel | {"point": self.number})
            if parcel["delivery"] == "arrived" and "receive" in parcel["supported_actions"]:
                self._shelve(parcel["order_id"], "here")
                await self._ask("POST", f"parcels/{parcel['id']}/{parcel['attempt']}/receive")

    def _shelve(self, order_id: str, state: str) -> None:
        """Write into the clinic's own book that a parcel is `here`, or `given` to its patient."""
        self.book.put("kept", order_id, {"order_id": order_id, "point": self.place, "state": state})

    async def give_out(self, parcel: Document, code: str) -> str:
        """The patient comes for a parcel; returns the code of the refusal, empty if they have it."""
        if parcel["delivery"] == "signed":
            self._shelve(parcel["order_id"], "given")
            return ""
        if "hand_over" not in parcel["supported_actions"]:
            return "not_prepared"
        till = self._till({"order_id": parcel["order_id"], "payment": parcel["payment"]})
        answer = await self._ask("POST", f"parcels/{parcel['id']}/{parcel['attempt']}/hand_over", {"proof": code, **till})
        if answer is None:
            return "no_answer"
        if answer.status_code != 200:
            return str(answer.json()["error"]["code"])
        self._shelve(parcel["order_id"], "given")
        return ""

    async def take_cash(self, order_id: str, fen: int) -> bool:
        """A courier brings the cash of an order; whether it is counted, and the platform knows."""
        order = self.book.get("order", order_id)
        if order is None or order["patient_due_fen"] != fen:
            return False
        answer = await self._ask("POST", f"orders/{order['prescription_id']}/{order['attempt']}/cash")
        if answer is None or answer.status_code != 200:
            return False
        self.book.put("cash", order_id, {"order_id": order_id, "fen": fen})
        return True

    def _till(self, order: Document) -> Document:
        """What the patient pays, as it is written into the shop's own book before it is told; the same each time it is tried."""
        order_id, due = order["order_id"], order["payment"]["due_fen"]
        if not due:
            return {}
        method = ("cash", "wechat", "alipay", "card")[int(self.setting.faults.between(0, 4, "method", order_id))]
        row = {"order_id": order_id, "fen": due, "method": method,
               "reference": "" if method == "cash" else f"{method}{order_id.removeprefix('ord_')}"[:40]}
        self.book.put("till", order_id, row)
        return {"method": method, "reference": row["reference"], "amount_fen": due}

    def note(self, order: Document) -> None:
        """Write down where an order is by what the inbox says: others move it too, and the fund's word comes by itself."""
        before = self.book.get("order", order["order_id"]) or {"shelf": "in"}
        row = {
            "order_id": order["order_id"], "prescription_id": order["id"], "attempt": order["attempt"], "store": self.number,
            "status": order["status"], "total_fen": order["total_fen"], "patient_due_fen": order["patient_due_fen"],
            "lines": [{name: line[name] for name in ("line", "drug", "quantity")} for line in order["lines"]],
            "returned_lines": order["returned_lines"], "settlement": order["settlement"], "shelf": before["shelf"],
            "payment": {"due_fen": order["payment"]["due_fen"], "refunded_fen": order["payment"]["refunded_fen"]}}
        if row == before:
            return
        with self.book.transaction():
            self.book.put("order", row["order_id"], row)
            if row["shelf"] == "in" and (row["status"] in (ChainWord.HANDED_OVER, ChainWord.RETURNED)
                                         or order["delivery"] == "lost"):
                self._take(row)

    def _take(self, row: Document) -> None:
        """What a handover took from the shelf, and what a courier lost; what comes back is never sold again."""
        for line in row["lines"]:
            if shelf := self.book.get("stock", f"{self.number}/{line['drug']}"):
                self.book.put("stock", f"{self.number}/{line['drug']}",
                              shelf | {"left": str(Decimal(shelf["left"]) - Decimal(line["quantity"]))})
        self.book.put("order", row["order_id"], row | {"shelf": "out"})

    async def _serve(self, order: Document) -> None:
        """The next act with an order, once its time has come."""
        order_id, status = order["order_id"], order["status"]
        if status in ENDED:
            return
        since = self.seen_at.setdefault(f"{order_id} {status}", time.monotonic())
        if time.monotonic() < since + self.setting.faults.between(0.2, 0.8, status, order_id) * self.setting.pace:
            return
        match status:
            case ChainWord.ORDERED:
                short = any(self.setting.faults.strikes("sold_out", f"{order_id} {line['line']}") for line in order["lines"])
                await (self._do(order, "decline", reason="out_of_stock") if short else self._do(order, "accept"))
            case ChainWord.ACCEPTED:
                # A decoction is prepared after its steps; each is said once the one before has its time.
                if (act := order["supported_actions"][:1]) and act[0] != "prepare":
                    self.seen_at[f"{order_id} {status}"] = time.monotonic()
                await self._do(order, act[0] if act else "prepare")
            case ChainWord.PREPARED if order["carried_by"] == "shop":
                await self._do(order, "send_out")
            case ChainWord.IN_DELIVERY if order["carried_by"] == "shop":
                await self._do(order, "hand_over", proof=await self._id_card(order), **self._till(order))

    async def _do(self, order: Document, act: str, **body: Any) -> str:
        """Do it and write down what it came to; returns the code of the refusal."""
        where = f"orders/{order.get('id') or order['prescription_id']}/{order['attempt']}"
        answer = await self._ask("POST", f"{where}/{act}", body)
        if answer is None:
            return "no_answer"
        if answer.status_code == 200:
            self.note(answer.json())
            return ""
        return str(answer.json()["error"]["code"])

    async def _id_card(self, order: Document) -> str:
        """The last characters of the id card that the patient shows at the door."""
        seen = await self._ask("GET", f"orders/{order['id']}/{order['attempt']}")
        if seen is None or seen.status_code != 200:
            return ""
        try:
            card = await self.street.post(f"{self.setting.urls['insurer']}/sandbox/id_card",
                                          json={"name": seen.json()["recipient"]["name"]})
        except httpx.HTTPError:
            return ""
        return str(card.json()["id_number"])[-4:] if card.status_code == 200 else ""

    async def _open(self) -> None:
        """Count the shelves, put prices on them, and open round the clock, until the inbox has taken it."""
        for drug, (counted, price) in self.shelf.items():
            if self.book.get("stock", f"{self.number}/{drug}") is None:
                await self._until_taken("stock", {"shop": self.place, "drug": drug, "counted": counted, "price": price})
                self.book.put("stock", f"{self.number}/{drug}", {"store": self.number, "drug": drug, "opening": counted,
                                                                 "left": counted})
        await self._until_taken("hours", {"shop": self.place, "opens": "00:00", "closes": "00:00"})

    async def _until_taken(self, path: str, body: Document) -> None:
        answer = await self._ask("POST", path, body)
        while answer is None or answer.status_code != 200:
            await asyncio.sleep(LEAST_PAUSE)
            answer = await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: Document | None = None, **query: str) -> httpx.Response | None:
        try:
            return await self.client.request(method, f"/api/inbox/{path}", json=body, params=query)
        except httpx.HTTPError:
            self.book.count("lost", method)
            return None


class Pickup(BaseModel):
    """A patient with the code of an order."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    order_id: str
    code: str


class Cash(BaseModel):
    """What a courier took at a door, brought to the shop."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    order_id: str
    fen: int


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "shops.sqlite"), Background()
    stock = VISITED if setting.urls.get("stock") == "visited" else STOCK
    people = {number: Shopkeeper(number, stock[number], token, setting, book, background.client) for number in SHOPS
              if (token := setting.secrets.get(f"SANDBOX_SHOP_{number}"))}

    def show_book() -> Document:
        return {"chain": CHAIN, "orders": book.all("order"), "stock": book.all("stock"), "till": book.all("till"),
                "cash": book.all("cash"), "kept": book.all("kept"), "effects": [], "callbacks": [],
                "defects": book.all("defect")}

    def begin() -> None:
        for person in people.values():
            background.start(person.work())

    app = partner_app("shopkeeper", setting, book, show_book, background, begin)

    @app.post("/counter/pickup")
    async def counter(pickup: Pickup) -> JSONResponse:
        order = book.get("order", pickup.order_id) or {}
        person = people.get(order.get("store", ""))
        if (parcel := book.get("parcel", pickup.order_id)) and (keeper := people.get(parcel["point"])):
            code = await keeper.give_out(parcel, pickup.code)
        else:
            code = "not_prepared" if person is None else await person.pick_up(pickup.order_id, pickup.code)
        if not code:
            return JSONResponse({"status": ChainWord.HANDED_OVER})
        return JSONResponse({"error": {"code": "wrong_code" if code == "wrong_proof" else code}}, 409)

    @app.post("/counter/cash")
    async def cash(brought: Cash) -> JSONResponse:
        order = book.get("order", brought.order_id) or {}
        person = people.get(order.get("store", ""))
        taken = person is not None and await person.take_cash(brought.order_id, brought.fen)
        return JSONResponse({"taken": taken}, 200 if taken else 409)

    return app


if __name__ == "__main__":
    run("shopkeeper", make_app, urls={
        "gateway": "address of the platform's gateway", "insurer": "address of the insurance centre",
        "stock": "what is on the shelves: `day` (default), or `visited` where visitors look",
    }, secrets={
        "SANDBOX_SHOP_": "token of the person of each shop, such as SANDBOX_SHOP_LL01",
    })
