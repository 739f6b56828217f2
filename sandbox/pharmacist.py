"""Pharmacists at the review desk, two or fewer, as any client of its API: poll, claim, read, decide; sometimes walk away."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import httpx
from fastapi import FastAPI

from sandbox.book import Book, Document
from sandbox.faults import Faults
from sandbox.loopback import NO_CERTIFICATES
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.plan import WISHES_TO_CHOOSE

OFF_LABEL = "适应证与诊断不符,请医师核对"
AT_ONCE = 10
"""Reviews done before the queue is read again: it may have up to 200 lines."""
PATIENT_SAYS_IT = 2.0
"""Seconds that a patient has who wants to choose the pharmacy, as the doctor notes: said after the review it is too late."""
REASON = "已与医师核实,病情稳定"


class Pharmacist:
    """One person with one token."""

    def __init__(self, number: int, setting: Setting, book: Book) -> None:
        self.number = number
        self.setting = setting
        self.faults = setting.faults
        self.book = book
        self.not_mine: set[str] = set()
        """Own prescriptions: they are left to the other."""
        self.unsure: set[str] = set()
        """Claims whose answer was lost: the queue may say they are taken, by us."""

    async def work(self, decisions: float = math.inf) -> None:
        """Until the day ends, or so much is decided."""
        token = self.setting.secrets[f"SANDBOX_PHARMACIST_{self.number}_TOKEN"]
        async with httpx.AsyncClient(base_url=self.setting.urls["gateway"], timeout=10, trust_env=False, verify=NO_CERTIFICATES,
                                     headers={"Authorization": f"Bearer {token}"}) as client:
            while decisions > 0:
                decided = await self._next(client, min(AT_ONCE, decisions))
                decisions -= decided
                if not decided:
                    await asyncio.sleep(max(0.2, 0.3 * self.setting.pace))

    async def _next(self, client: httpx.AsyncClient, most: float) -> int:
        """Decide so many free reviews of the queue at most; how many it were."""
        queue = await self._ask(client, "GET", "/api/review/queue")
        if queue is None or queue.status_code != 200:
            return 0
        decided = 0
        free = [item for item in queue.json()["items"] if item["id"] not in self.not_mine
                and (not item["claimed_by"] or item["id"] in self.unsure)]
        # Two people at one queue: each begins with every other one, and so they seldom reach for the same.
        for item in free[self.number - 1::2] or free:
            if decided >= most:
                break
            claim = await self._ask(client, "POST", f"/api/review/{item['id']}/claim")
            if claim is None:
                self.unsure.add(item["id"])
                continue
            self.unsure.discard(item["id"])
            if claim.status_code == 409:
                if claim.json()["error"]["code"] == "own_prescription":
                    self.not_mine.add(item["id"])
                continue
            if claim.status_code != 200:
                continue
            first_time = self.book.get("abandoned", item["id"]) is None
            if first_time and self.faults.strikes("abandon", item["id"]):
                # Once the assignment has run out, the next pharmacist who takes it decides it.
                self.book.put("abandoned", item["id"], {"id": item["id"], "pharmacist": self.number})
                continue
            awaited = PATIENT_SAYS_IT if claim.json().get("prescription", {}).get("note") == WISHES_TO_CHOOSE else 0
            await asyncio.sleep((awaited + self.faults.between(0.1, 0.5, "read", item["id"])) * self.setting.pace)
            await self._decide(client, item["id"], decision(claim.json()["findings"]))
            decided += 1
        return decided

    async def _decide(self, client: httpx.AsyncClient, prescription: str, body: Document) -> None:
        """Say it until it is heard; the same body every time."""
        for tries in range(1, 20):
            answer = await self._ask(client, "POST", f"/api/review/{prescription}/decision", body)
            if answer is not None and answer.status_code < 500:
                code = "" if answer.status_code == 200 else str(_error(answer))
                self.book.put("decision", f"{prescription} {self.number}", {
                    "id": prescription, "pharmacist": self.number, "decision": body["decision"], "tries": tries,
                    "answer": answer.status_code, "code": code,
                    "status": answer.json().get("status", "") if answer.status_code == 200 else ""})
                if answer.status_code == 422:
                    self.book.put("defect", prescription, {"defect": "decision_not_understood", "about": prescription,
                                                           "code": code})
                    self.not_mine.add(prescription)
                return
            await asyncio.sleep(min(0.1 * 2**tries, 2) * self.setting.pace)

    async def _ask(self, client: httpx.AsyncClient, method: str, path: str, body: Document | None = None
                   ) -> httpx.Response | None:
        try:
            return await client.request(method, path, json=body)
        except httpx.HTTPError:
            self.book.count("lost", method)
            return None


def decision(findings: list[dict[str, Any]]) -> Document:
    """Return what is off label (2-1); pass the rest, with a reason for every warning."""
    warnings = [finding for finding in findings if finding["severity"] == "WARN"]
    if any(finding["code"] == "OFF_LABEL" or finding.get("rule") == "B-28" for finding in warnings):
        return {"decision": "return", "codes": ["2-1"], "text": OFF_LABEL, "reasons": {}}
    return {"decision": "pass", "codes": [], "text": "", "reasons": {finding["code"]: REASON for finding in warnings}}


def _error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "pharmacist.sqlite"), Background()

    def show_book() -> Document:
        return {"decisions": book.all("decision"), "abandoned": book.all("abandoned"), "defects": book.all("defect")}

    async def day() -> None:
        """What is decided at once, so that a city begins with orders under way; then everybody at their own pace."""
        if at_once := int(setting.urls.get("at-once") or 0):
            await Pharmacist(2, replace(setting, pace=0.1, faults=Faults(setting.seed)), book).work(at_once)
        for number in range(1, int(setting.urls.get("at-work") or 2) + 1):
            background.start(Pharmacist(number, setting, book).work())

    def begin() -> None:
        background.start(day())

    app = partner_app("pharmacist", setting, book, show_book, background, begin)

    @app.get("/progress")
    async def progress() -> Document:
        decisions = [row for row in book.all("decision") if row["answer"] == 200]
        return {
            "decided": len(decisions),
            "passed": sum(row["decision"] == "pass" for row in decisions),
            "returned": sum(row["decision"] == "return" for row in decisions),
            "abandoned": len(book.all("abandoned")),
            "retried": sum(row["tries"] - 1 for row in book.all("decision")),
            "by_pharmacist": {str(number): sum(row["pharmacist"] == number for row in decisions) for number in (1, 2)},
        }

    return app


if __name__ == "__main__":
    run("pharmacist", make_app, urls={
        "gateway": "address of the platform's gateway", "at-work": "how many review, 0 to 2 (default 2)",
        "at-once": "reviews that the second decides at the start, without taking time (default 0)",
    }, secrets={
        "SANDBOX_PHARMACIST_1_TOKEN": "token of the first pharmacist at the review desk",
        "SANDBOX_PHARMACIST_2_TOKEN": "token of the second",
    })
