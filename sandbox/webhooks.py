"""What a chain does with the platform's webhooks: verifies with the convention's library, keeps each once, and reads again.

Contracts, 2.9.
"""

import asyncio
import base64
import hashlib
import json
import time

import httpx
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from sandbox.book import Book, Document
from sandbox.callbacks import signed
from sandbox.partner import Background, Setting

TAKERS = ("ankang",)
"""The simulated chains that want webhooks."""
KEY_CHANGED_AFTER = 5
"""Messages after which the chain holds the new key and no longer the one before it."""
LIMIT = 50
"""Messages read again at a time."""


def new_key(secret: str) -> str:
    """A key of the convention, made of another secret."""
    return "whsec_" + base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode()


class Webhooks:
    """A chain's address for webhooks and its cursor. Without a key the chain wants none."""

    def __init__(self, slug: str, setting: Setting, book: Book, background: Background) -> None:
        name = f"SANDBOX_{slug.upper()}"
        self.new = setting.secrets.get(f"{name}_WEBHOOK_NEW", "")
        self.old = setting.secrets.get(f"{name}_WEBHOOK_OLD", "") or self.new
        self.secret = setting.secrets.get(f"{name}_SECRET", "")
        self.url = f"{setting.urls.get('gateway', '')}/callbacks/{slug}/webhooks"
        self.setting, self.book, self.background = setting, book, background

    @property
    def wanted(self) -> bool:
        return bool(self.new)

    async def receive(self, headers: dict[str, str], body: bytes) -> int:
        """The HTTP status of our answer to a message."""
        if not self.wanted:
            return 404
        id, faults = headers.get("webhook-id", ""), self.setting.faults
        first = faults.attempt(f"webhook {id}") == 1
        if faults.strikes("webhook_down", id):
            self.book.count("webhook_trouble", "down")
            return 500
        key = self.new if self.book.number("webhook") >= KEY_CHANGED_AFTER else self.old
        out_of_date = first and faults.strikes("webhook_key", id)
        try:
            message = Webhook(new_key("out of date") if out_of_date else key).verify(body, headers)
        except (WebhookVerificationError, ValueError):
            self.book.count("webhook_trouble", "refused" if out_of_date else "unsigned")
            return 401
        self._keep(id, message)
        if first and faults.strikes("webhook_slow", id):
            self.book.count("webhook_trouble", "slow")
            await asyncio.sleep(float(faults.settings.get("timeout_seconds", 15)))
        return 204

    def _keep(self, id: str, message: Document) -> None:
        kept = self.book.get("webhook", id)
        if kept is not None:
            if kept["message"] != message:
                self._defect("webhook_changed", id)
            self.book.put("webhook", id, kept | {"times": kept["times"] + 1})
            return
        order = message["data"].get("order_id", "")
        if order:
            last = self.book.get("webhook_order", order)
            if last and last["timestamp"] > message["timestamp"]:
                self._defect("webhook_out_of_order", id)
            self.book.put("webhook_order", order, {"timestamp": message["timestamp"]})
        self.book.put("webhook", id, {"id": id, "message": message, "times": 1})

    def _defect(self, defect: str, id: str) -> None:
        self.book.put("defect", f"{defect} {id}", {"defect": defect, "id": id})

    def show(self) -> Document:
        """What we were told, what we read again, in its order, and what went wrong on the way."""
        return {"taken": [{"id": row["id"], "type": row["message"]["type"], "order_id": row["message"]["data"].get("order_id", ""),
                           "times": row["times"]} for row in self.book.all("webhook")],
                "read": [row["id"] for row in self.book.all("webhook_read")],
                "trouble": {row["key"]: row["count"] for row in self.book.all("webhook_trouble")}}

    def resume(self) -> None:
        """Begin to read again."""
        if self.wanted and self.url.startswith("http"):
            self.background.start(self._read_on())

    async def _read_on(self) -> None:
        while True:
            try:
                more = await self._read()
            except (httpx.HTTPError, ValueError):
                more = False
            if not more:
                await asyncio.sleep(max(1, self.setting.pace))

    async def _read(self) -> bool:
        """One page; whether there is another."""
        cursor = (self.book.get("webhook_cursor", "cursor") or {"next": ""})["next"]
        body = json.dumps({"after": cursor, "limit": LIMIT}).encode()
        answer = await self.background.client.post(self.url, content=body, headers=signed(self.secret, body, int(time.time())))
        if answer.status_code != 200:
            return False
        page = answer.json()
        for message in page["events"]:
            if self.book.get("webhook_read", message["id"]):
                self._defect("webhook_read_twice", message["id"])
            self.book.put("webhook_read", message["id"], {"id": message["id"]})
        self.book.put("webhook_cursor", "cursor", {"next": page["next"]})
        return bool(page["more"])
