"""What a simulated chain tells the platform by itself: signed events, repeated until it answers."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time

import httpx

from sandbox.book import Book, Document
from sandbox.faults import Faults
from sandbox.partner import Background, Setting


class Callbacks:
    """Signed events to the platform, repeated until it answers 2xx or 4xx."""

    def __init__(self, url: str, secret: str, setting: Setting, book: Book, background: Background) -> None:
        self.url = url
        self.secret = secret
        self.setting = setting
        self.faults: Faults = setting.faults
        self.book = book
        self.background = background

    def send(self, event_id: str, body: Document, path: str = "") -> None:
        """Write the event down, then deliver it to our address or a path below it, late or twice if the faults say so."""
        self.book.put("callback", event_id, {"event_id": event_id, "body": body, "path": path, "tries": 0, "answer": None})
        self.background.start(self._deliver(event_id))
        if self.faults.strikes("duplicate_callback", event_id):
            self.background.start(self._deliver(event_id, after=self.faults.between(0.1, 2, "twice", event_id)))

    def resume(self) -> None:
        for event in self.book.all("callback"):
            if event["answer"] is None:
                self.background.start(self._deliver(event["event_id"]))

    async def _deliver(self, event_id: str, after: float = 0) -> None:
        if self.faults.strikes("late_callback", event_id):
            after += self.faults.between(1, 3, "late", event_id)
        await asyncio.sleep(after * self.setting.pace)
        # A clock that is off by nine minutes is good enough; by twenty it is not, and the refusal tells the time.
        off = self._clock_error(event_id)
        for tries in range(1, 1000):
            event = self.book.get("callback", event_id)
            if event is None:
                return
            answer = await self._post(event.get("path", ""), _json(event["body"]), off)
            event = self.book.get("callback", event_id) or event
            event["tries"] += 1
            if answer == 401 and off:
                off = 0
                event["stale"] = event.get("stale", 0) + 1
                answer = None
            if answer is not None and answer < 500:
                # What the first delivery was told counts; a repeat must not hide a refusal.
                event["answer"] = answer if event["answer"] in (None, 200) else event["answer"]
            self.book.put("callback", event_id, event)
            if answer is not None and answer < 500:
                return
            await asyncio.sleep(min(0.2 * 2**tries, 5) * self.setting.pace)

    def _clock_error(self, event_id: str) -> int:
        """Seconds by which the chain's clock is wrong when it tells of this event."""
        if not self.faults.strikes("wrong_clock", event_id):
            return 0
        minutes = self.faults.between(-25, 25, "minutes", event_id)
        return round(60 * minutes)

    async def _post(self, path: str, body: bytes, off: int) -> int | None:
        headers = signed(self.secret, body, int(time.time()) + off)
        try:
            return (await self.background.client.post(self.url + path, content=body, headers=headers)).status_code
        except httpx.HTTPError:
            return None


def signed(secret: str, body: bytes, timestamp: int) -> dict[str, str]:
    """The headers of a call to the platform, under a new nonce (contracts 2.1)."""
    nonce = secrets.token_hex(16)
    message = f"{timestamp}\n{nonce}\n".encode() + body
    return {"Content-Type": "application/json", "Sanyi-Timestamp": str(timestamp), "Sanyi-Nonce": nonce,
            "Sanyi-Signature": hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()}


def _json(body: Document) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
