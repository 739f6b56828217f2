"""A courier at work: collects parcels, goes to doors, tries twice, holds at a point, brings back; tells us by signed events.

It knows a parcel by our id and an address, and nothing of what is in it. What happens at a door follows from the address. Those
who are out all day are met at the second attempt, those who are never there get nothing. The patient shows a code, which the
patients' app has told the doorbell (`/door`); the courier sends its digest.
"""

import asyncio
import base64
import hashlib
import hmac
import struct
import zlib
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sandbox.book import Book, Document
from sandbox.callbacks import Callbacks
from sandbox.doors import LOST_ON_THE_WAY, NEVER_PAYS, NEVER_THERE, OUT_ALL_DAY, PAYS_LATER, POINT
from sandbox.partner import Background, Setting, partner_app, run

ENDED = ("delivered", "back", "lost", "stopped")


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class StopAt(Wire):
    name: str
    phone: str
    address: str
    lat: float
    lng: float


class Collect(Wire):
    """What the receiver pays: neither the amount nor the ways are the courier's to change."""

    fen: int = Field(gt=0)
    ways: list[str] = Field(min_length=1)


class Parcel(Wire):
    parcel: str = Field(max_length=64)
    start: StopAt = Field(alias="from")
    to: StopAt
    reach_by: AwareDatetime
    tries: int = Field(ge=1)
    collect: Collect | None = None


class StopRequest(Wire):
    why: str


class Door(Wire):
    """What a patient will show at the door for an order."""

    order_id: str
    code: str


class Courier:
    """The courier's own system. Everything it knows of a parcel is in its book."""

    def __init__(self, setting: Setting, book: Book, background: Background, callbacks: Callbacks) -> None:
        self.setting = setting
        self.faults = setting.faults
        self.book = book
        self.background = background
        self.callbacks = callbacks

    def resume(self) -> None:
        """Go on where the last process stopped."""
        self.callbacks.resume()
        for parcel in self.book.all("parcel"):
            if parcel["state"] not in ENDED and not (parcel["state"] == "at_point" and parcel["habit"] == "point"):
                self.background.start(self._carry(parcel["parcel"]))
            elif _has_cash(parcel):
                self.background.start(self._hand_in(parcel["parcel"]))

    def take(self, request: Parcel) -> Document:
        """Take a parcel on; the same one again is the same waybill."""
        self.book.count("asked", f"take {request.parcel}")
        if before := self.book.get("parcel", request.parcel):
            return before
        number = hashlib.sha256(request.parcel.encode()).hexdigest()[:10].upper()
        parcel = {"parcel": request.parcel, "no": f"JS-{number}", "state": "created", "try": 0, "tries": request.tries,
                  "to": {"lat": request.to.lat, "lng": request.to.lng}, "habit": _habit(request.to.address), "events": 0,
                  "stopped_by": "", "collected": False,
                  "collect": request.collect.model_dump() if request.collect else None, "paid": None, "handed_in": False}
        self._look_for_secrets(request)
        if parcel["habit"] == "lost":
            to = hashlib.sha256(request.to.address.encode()).hexdigest()
            if self.book.count("lost_to", to) > 1:
                parcel["habit"] = ""
        self.book.put("parcel", request.parcel, parcel)
        self.book.count("effect", f"take {request.parcel}")
        self.background.start(self._carry(request.parcel))
        return parcel

    def stop(self, key: str, why: str) -> Document:
        """Called off by the platform: what was not collected is not collected, what was goes back."""
        parcel = self._parcel(key)
        if parcel["state"] in ("delivered", "back", "lost"):
            raise Refusal("too_late")
        if parcel["state"] not in ("stopped", "going_back"):
            self._say(key, "going_back" if parcel["collected"] else "stopped", why="", stopped_by="platform")
            if parcel["state"] == "at_point":
                self.background.start(self._back(key))
        return self._parcel(key)

    def find(self, key: str) -> Document | None:
        return self.book.get("parcel", key)

    def show_book(self) -> Document:
        return {
            "parcels": [{name: value for name, value in parcel.items() if name != "to"} for parcel in self.book.all("parcel")],
            "effects": self.book.all("effect"), "asked": self.book.all("asked"),
            "callbacks": [{name: value for name, value in event.items() if name != "body"} for event in self.book.all("callback")],
            "defects": self.book.all("defect"),
        }

    # What happens by itself.

    async def _carry(self, key: str) -> None:
        """Bring a parcel as far as its address lets it, at the courier's own pace."""
        await self._sleep("picked_up", key)
        if self._parcel(key)["state"] == "created":
            self._say(key, "picked_up")
        for attempt in range(max(self._parcel(key)["try"], 1), self._parcel(key)["tries"] + 1):
            if self._parcel(key)["state"] in (*ENDED, "going_back"):
                break
            if not await self._attempt(key, attempt):
                continue
            return
        await self._back(key)

    async def _attempt(self, key: str, attempt: int) -> bool:
        """One way to the door; whether the parcel's way ends there."""
        for state in ("on_the_way", "at_door"):
            await self._sleep(state, key, attempt)
            if self._parcel(key)["state"] in (*ENDED, "going_back"):
                return bool(self._parcel(key)["state"] == "delivered")
            self._say(key, state, attempt=attempt)
            if self._parcel(key)["habit"] == "lost":
                await self._sleep("search", key)
                self._say(key, "lost")
                return True
        await self._sleep("ring", key, attempt)
        if self._parcel(key)["habit"] == "point":
            self._say(key, "at_point")
            return True
        habit = self._parcel(key)["habit"]
        if habit == "never" or (habit == "out" and attempt == 1):
            self._say(key, "not_delivered", attempt=attempt, why="nobody_home")
            return False
        return await self._hand_over(key, attempt)

    async def _hand_over(self, key: str, attempt: int) -> bool:
        """The patient shows the code; the platform says whether it is the right one."""
        order_id = key.rpartition(":")[0]
        for _ in range(200):
            if door := self.book.get("door", order_id):
                break
            await asyncio.sleep(0.1)
        else:
            self._say(key, "not_delivered", attempt=attempt, why="nobody_home")
            return False
        parcel = self._parcel(key)
        if parcel["collect"] and (parcel["habit"] == "never pays" or (parcel["habit"] == "pays later" and attempt == 1)):
            self._say(key, "not_delivered", attempt=attempt, why="not_paid")
            return False
        digest = hashlib.sha256(f"{key}:{''.join(door['code'].split()).upper()}".encode()).hexdigest()
        proof = {"digest": digest, "lat": f"{parcel['to']['lat']:.4f}", "lng": f"{parcel['to']['lng']:.4f}",
                 "picture": base64.b64encode(_picture(key)).decode()}
        self._say(key, "delivered", attempt=attempt, proof=proof, paid=_paid(parcel))
        if _has_cash(self._parcel(key)):
            self.background.start(self._hand_in(key))
        return True

    async def _hand_in(self, key: str) -> None:
        """Bring the cash of a parcel to its shop, until the shop has counted it."""
        while _has_cash(parcel := self._parcel(key)):
            await self._sleep("cash", key)
            try:
                answer = await self.background.client.post(f"{self.setting.urls['linli']}/counter/cash", json={
                    "order_id": key.rpartition(":")[0], "fen": parcel["paid"]["fen"]})
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                self.book.put("parcel", key, self._parcel(key) | {"handed_in": True})

    async def _back(self, key: str) -> None:
        """Hold it at a point, and bring it back when it is not collected."""
        if self._parcel(key)["state"] not in (*ENDED, "going_back"):
            await self._sleep("point", key)
            self._say(key, "at_point")
            await self._sleep("hold", key)
            if self._parcel(key)["state"] == "at_point":
                self._say(key, "going_back")
        if self._parcel(key)["state"] == "going_back":
            await self._sleep("back", key)
            self._say(key, "back")

    def _say(self, key: str, state: str, *, attempt: int = 0, why: str = "", proof: Document | None = None, stopped_by: str = "",
             paid: Document | None = None) -> None:
        """Write down where it is, and tell the platform, also after how many attempts: an earlier word may come later or never."""
        parcel = self._parcel(key)
        parcel |= {"state": state, "events": parcel["events"] + 1, "collected": parcel["collected"] or state == "picked_up",
                   "stopped_by": stopped_by or parcel["stopped_by"], **({"try": attempt} if attempt else {}),
                   "paid": paid or parcel["paid"]}
        event_id = f"{key}.{parcel['events']}"
        body: Document = {"event": event_id, "parcel": key, "state": state, "when": datetime.now(UTC).isoformat(),
                          "try": parcel["try"], "why": why} | ({"proof": proof} if proof else {}) | ({"paid": paid} if paid else {})
        with self.book.transaction():
            self.book.put("parcel", key, parcel)
            if state in ENDED:
                self.book.count("effect", f"{state} {key}")
        self.callbacks.send(event_id, body)

    def _parcel(self, key: str) -> Document:
        parcel = self.book.get("parcel", key)
        if parcel is None:
            raise Refusal("unknown_parcel")
        return parcel

    def _look_for_secrets(self, request: Parcel) -> None:
        """A name or a phone in full has no business here (E-14)."""
        if "*" not in request.to.name or "*" not in request.to.phone:
            self.book.put("defect", f"private {request.parcel}", {"defect": "person_in_full", "about": request.parcel})

    async def _sleep(self, *what: object) -> None:
        await asyncio.sleep(self.faults.between(0.2, 0.7, *what) * self.setting.pace)


class Refusal(Exception):
    """A business no; `code` is one of the courier's words."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


_HABITS = {OUT_ALL_DAY: "out", NEVER_THERE: "never", PAYS_LATER: "pays later", NEVER_PAYS: "never pays",
           LOST_ON_THE_WAY: "lost"}
_WAYS = {"out": "wechat", "pays later": "card"}
"""How those pay who do not pay in cash."""


def _habit(address: str) -> str:
    if address.endswith(POINT):
        return "point"
    return next((habit for ending, habit in _HABITS.items() if address.endswith(ending)), "")


def _paid(parcel: Document) -> Document | None:
    """What the receiver pays: the amount that the platform has named."""
    if not parcel["collect"]:
        return None
    way = _WAYS.get(parcel["habit"], "cash")
    reference = "" if way == "cash" else hashlib.sha256(f"{way} {parcel['parcel']}".encode()).hexdigest()[:20]
    return {"fen": parcel["collect"]["fen"], "way": way, "ref": reference}


def _has_cash(parcel: Document) -> bool:
    return bool(parcel["paid"] and parcel["paid"]["way"] == "cash" and not parcel["handed_in"])


def _picture(key: str) -> bytes:
    """A tiny picture in the place of a signature: a PNG of one grey pixel, another one for each parcel."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    grey = hashlib.sha256(key.encode()).digest()[:1]
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\x00" + grey)) + chunk(b"tEXt", b"Comment\x00" + key.encode()) + chunk(b"IEND", b""))


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "courier.sqlite"), Background()
    callbacks = Callbacks(f"{setting.urls['gateway']}/callbacks/couriers/jisong", setting.secrets["SANDBOX_JISONG_SECRET"],
                          setting, book, background)
    courier = Courier(setting, book, background, callbacks)
    app = partner_app("courier", setting, book, courier.show_book, background, courier.resume)

    @app.exception_handler(Refusal)
    async def refused(_: Any, no: Refusal) -> JSONResponse:
        return JSONResponse({"error": {"code": no.code}}, 404 if no.code == "unknown_parcel" else 409)

    def ours(authorization: str) -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {setting.secrets['SANDBOX_JISONG_TOKEN']}".encode()):
            raise HTTPException(401, "token")

    @app.post("/v2/parcels")
    async def take(request: Parcel, authorization: str = Header(default="")) -> Document:
        ours(authorization)
        return _waybill(courier.take(request))

    @app.get("/v2/parcels/{key}")
    async def find(key: str, authorization: str = Header(default="")) -> Document:
        ours(authorization)
        if (parcel := courier.find(key)) is None:
            raise Refusal("unknown_parcel")
        return _waybill(parcel)

    @app.post("/v2/parcels/{key}/stop")
    async def stop(key: str, request: StopRequest, authorization: str = Header(default="")) -> Document:
        ours(authorization)
        return _waybill(courier.stop(key, request.why))

    @app.post("/door", status_code=204)
    async def door(shown: Door) -> None:
        # Not the platform's wire: the patient's app tells the doorbell.
        book.put("door", shown.order_id, {"order_id": shown.order_id, "code": shown.code})

    return app


def _waybill(parcel: Document) -> Document:
    return {"no": parcel["no"], "state": parcel["state"], "try": parcel["try"]}


if __name__ == "__main__":
    run("courier", make_app, urls={
        "gateway": "address of the platform's gateway", "linli": "address of the shops that get the cash",
    }, secrets={
        "SANDBOX_JISONG_TOKEN": "the platform's bearer token",
        "SANDBOX_JISONG_SECRET": "key of the callbacks' signature",
    })
