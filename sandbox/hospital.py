"""A hospital: sends its day of prescriptions, takes some back, hears what became of them, and is its patients' app."""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from sandbox.book import Book, Document
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.plan import Plan, Planned

FINAL = frozenset({"refused", "returned", "cancelled", "expired"})


class Hospital:
    """The hospital's interface engine. Everything it knows of a prescription is in its book."""

    def __init__(self, setting: Setting, book: Book, background: Background) -> None:
        self.setting = setting
        self.book = book
        self.background = background
        self.plan: Plan | None = None
        self.at_a_time = asyncio.Semaphore(8)
        self.per_second = float(setting.urls.get("per-second") or 4)
        self.fulfilling: dict[str, asyncio.Event] = {}
        self.planned: dict[str, Planned] = {}
        """By prescription number."""
        self.last_pickup: dict[str, str] = {}
        """Prescription number -> the newest order with a pickup code."""

    def start(self) -> None:
        self.background.start(self._day())
        for row in self.book.all("pickup"):
            self.last_pickup[row["prescription"]] = row["order"]
            if not row["done"]:
                self.background.start(self._collect(row["order"]))

    # Sending.

    async def _day(self) -> None:
        """Wait for a plan, then send it, at a given pace, several at a time."""
        while not (self.setting.state / "plan.json").exists():  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.2)
        plan = self.plan = Plan.load(self.setting.state)
        self.planned = {planned.external_id: planned for planned in plan.prescriptions}
        async with self._client() as client:
            async with asyncio.TaskGroup() as day:
                day.create_task(self._provoke(client, plan))
                for number, planned in enumerate(plan.prescriptions):
                    if self.book.get("answered", planned.key) is None or planned.cancel:
                        day.create_task(self._one(client, plan, planned, number))
                        await asyncio.sleep(1 / self.per_second)

    async def _one(self, client: httpx.AsyncClient, plan: Plan, planned: Planned, number: int) -> None:
        """One prescription: the bundle, perhaps once more, and the cancel when its time has come."""
        if planned.cancel_when == "before":
            await self._cancel(client, plan, planned)
        async with self.at_a_time:
            answer = await self._send(client, f"/fhir/{plan.hospital}/Bundle", planned.key, planned.bundle)
            if answer.status_code == 201 and number % 10 == 3:
                await self._ask_again(client, plan, planned, answer)
            if planned.key == plan.conflict[0]:
                other = await self._send(client, f"/fhir/{plan.hospital}/Bundle", f"conflict {planned.key}",
                                         plan.conflict[1])
                self._check(other.status_code == 409, "conflict_not_refused", planned.key)
        if answer.status_code != 201:
            return
        if planned.cancel_when == "waiting":
            await self._until_allocating(client, plan, planned)
            await asyncio.sleep(2 * self.setting.pace)
            await self._cancel(client, plan, planned)
        if planned.cancel_when == "fulfilling":
            heard = self.fulfilling.setdefault(planned.external_id, asyncio.Event())
            if "fulfilling" not in (self.book.get("prescription", planned.external_id) or {"statuses": ()})["statuses"]:
                await heard.wait()
            await self._cancel(client, plan, planned)

    async def _send(self, client: httpx.AsyncClient, path: str, key: str, body: bytes) -> httpx.Response:
        """Send until there is an answer, always the same bytes; then write the answer down."""
        tries = 0
        while True:
            tries += 1
            self.book.count("sent", key)
            try:
                answer = await client.post(path, content=body, headers={"Content-Type": "application/fhir+json"})
            except httpx.HTTPError:
                answer = None
            if answer is not None and _answered(answer):
                break
            await asyncio.sleep(min(0.2 * 2**tries, 3) * self.setting.pace)
        self.book.put("answered", key, {
            "key": key, "status": answer.status_code, "tries": tries,
            "id": _identifier(answer) if answer.status_code == 201 else "",
            "business_status": _business_status(answer) if answer.status_code == 201 else "",
            "digest": hashlib.sha256(answer.content).hexdigest()})
        return answer

    async def _ask_again(self, client: httpx.AsyncClient, plan: Plan, planned: Planned, first: httpx.Response) -> None:
        """The same message once more must get the same answer, byte for byte. A 500 is no answer."""
        again = await self._try(client, "POST", f"/fhir/{plan.hospital}/Bundle", planned.bundle)
        if again is None or not _answered(again):
            return
        same = again.content == first.content and again.headers.get("Sanyi-Replayed") == "true"
        self._check(same, "replay_differs", planned.key)

    async def _provoke(self, client: httpx.AsyncClient, plan: Plan) -> None:
        """Broken messages must not be accepted."""
        for number, body in enumerate(plan.broken, 1):
            answer = await self._send(client, f"/fhir/{plan.hospital}/Bundle", f"broken {number}", body)
            self._check(answer.status_code == 422, "broken_not_refused", f"broken {number}")

    async def _cancel(self, client: httpx.AsyncClient, plan: Plan, planned: Planned) -> None:
        if planned.cancel is None or self.book.get("answered", f"cancel {planned.external_id}"):
            return
        await self._send(client, f"/fhir/{plan.hospital}/Task", f"cancel {planned.external_id}", planned.cancel)

    async def _until_allocating(self, client: httpx.AsyncClient, plan: Plan, planned: Planned) -> None:
        for pause in _pauses(0.5, 5):
            answer = await self._try(client, "GET", f"/fhir/{plan.hospital}/Task/{planned.external_id}")
            if answer is not None and answer.status_code == 200:
                status = _business_status(answer)
                if status == "allocating" or status in FINAL:
                    return
            await asyncio.sleep(pause * self.setting.pace)

    # Hearing.

    def report(self, key: str, body: bytes) -> None:
        """Keep a report; the same key with other bytes is a defect of the platform."""
        digest = hashlib.sha256(body).hexdigest()
        if known := self.book.get("report", key):
            self.book.count("repeated_report", key)
            self._check(known["digest"] == digest, "report_changed", key)
            return
        report = json.loads(body)
        self._check(report.get("key") == key, "report_key", key)
        number = report["prescription"]
        with self.book.transaction():
            self.book.put("report", key, {
                "key": key, "digest": digest, "prescription": number, "status": report["status"], "at": report["at"]})
            row = self.book.get("prescription", number) or {
                "prescription": number, "id": report.get("id", ""), "statuses": [], "status": "", "at": "", "money": []}
            row["statuses"].append(report["status"])
            # A report may be overtaken by a later one: what happened last counts, not what came last.
            if not row["at"] or datetime.fromisoformat(report["at"]) >= datetime.fromisoformat(row["at"]):
                row |= {"status": report["status"], "at": report["at"], "reason": report.get("reason", "")}
            if report.get("money"):
                row["money"].append({"at": report["at"], **report["money"]})
            self.book.put("prescription", number, row)
        if report["status"] == "fulfilling":
            self.fulfilling.setdefault(number, asyncio.Event()).set()
        if (pickup := report.get("pickup")) and self.book.get("pickup", pickup["order"]) is None:
            self.book.put("pickup", pickup["order"], {
                "order": pickup["order"], "chain": pickup["chain"], "code": pickup["code"], "prescription": number,
                "done": self._stays_at_home(number)})
            self.last_pickup[number] = pickup["order"]
            self.background.start(self._collect(pickup["order"]))

    # The patients' app.

    async def _collect(self, order: str) -> None:
        """Go to the counter with the code, again and again until it is ready, or until there is no point any more."""
        row = self.book.get("pickup", order)
        if row is None or row["done"]:
            return
        url = self.setting.urls.get(row["chain"], "")
        await asyncio.sleep(self.setting.faults.between(0.3, 1.5, "walk", order) * self.setting.pace)
        for pause in _pauses(0.5, 3):
            if self._pointless(order, row["prescription"]):
                break
            try:
                answer = await self.background.client.post(
                    f"{url}/counter/pickup", json={"order_id": order, "code": row["code"]})
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.book.put("pickup", order, row | {"done": True, "collected": True})
                return
            if answer is not None and answer.status_code == 409:
                code = answer.json()["error"]["code"]
                if code == "wrong_code":
                    self._check(False, "wrong_code", order)
                    return
                if code == "unknown_order":
                    self._check(False, "pickup_of_unknown_order", order)
                    return
            await asyncio.sleep(pause * self.setting.pace)
        self.book.put("pickup", order, row | {"done": True})

    def _pointless(self, order: str, number: str) -> bool:
        """The prescription ended, or another order took this one's place."""
        row = self.book.get("prescription", number)
        return self.last_pickup.get(number) != order or (row is not None and row["status"] in FINAL)

    def _stays_at_home(self, number: str) -> bool:
        """Whoever is about to cancel doesn't go to the counter first."""
        planned = self.planned.get(number)
        return planned is not None and planned.cancel_when == "fulfilling"

    # Showing.

    def progress(self) -> Document:
        planned = self.plan.prescriptions if self.plan else ()
        last = {row["prescription"]: row["status"] for row in self.book.all("prescription")}
        answers = self.book.all("answered")
        return {
            "planned": len(planned),
            "sent": self.book.number("sent"),
            "answered": sum(answer["status"] == 201 and not answer["key"].startswith("cancel ") for answer in answers),
            "refused": sum(answer["status"] != 201 for answer in answers),
            "retried": sum(answer["tries"] - 1 for answer in answers),
            "cancels": sum(answer["key"].startswith("cancel ") for answer in answers),
            "reports": self.book.tally("report", "status"),
            "last": Counter(last.values()),
            "collected": self.book.tally("pickup", "collected")[1],
            "as_expected": sum(last.get(one.external_id) in one.expected_status for one in planned),
            "defects": self.book.number("defect"),
        }

    def show_book(self) -> Document:
        """One line per prescription, planned against reported; no names."""
        rows = {row["prescription"]: row for row in self.book.all("prescription")}
        answers = {answer["key"]: answer for answer in self.book.all("answered")}
        return {
            "prescriptions": [{
                "key": one.key, "prescription": one.external_id, "scenario": one.scenario,
                "expected_status": sorted(one.expected_status), "expected_money": one.expected_money,
                "id": answers.get(one.key, {}).get("id", ""), "answered": answers.get(one.key, {}).get("status"),
                "cancel": answers.get(f"cancel {one.external_id}", {}).get("business_status", ""),
                **{name: rows.get(one.external_id, {}).get(name, empty) for name, empty in (
                    ("status", ""), ("statuses", []), ("reason", ""), ("money", []))},
            } for one in (self.plan.prescriptions if self.plan else ())],
            "answers": [{key: value for key, value in answer.items() if key != "digest"}
                        for answer in answers.values()],
            "reports": [{key: value for key, value in report.items() if key != "digest"}
                        for report in self.book.all("report")],
            "repeated_reports": self.book.number("repeated_report"),
            "pickups": [{key: value for key, value in pickup.items() if key != "code"}
                        for pickup in self.book.all("pickup")],
            "defects": self.book.all("defect"),
        }

    def _check(self, good: bool, defect: str, about: str) -> None:
        if not good:
            self.book.put("defect", f"{defect} {about}", {"defect": defect, "about": about})

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.setting.urls["gateway"], timeout=15, trust_env=False,
            headers={"Authorization": f"Bearer {self.setting.secrets['SANDBOX_HOSPITAL_TOKEN']}"})

    async def _try(self, client: httpx.AsyncClient, method: str, path: str, body: bytes | None = None
                   ) -> httpx.Response | None:
        try:
            return await client.request(method, path, content=body, headers={"Content-Type": "application/fhir+json"})
        except httpx.HTTPError:
            return None


def _pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds between two looks: patient, so that a long wait is not a flood of questions."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.3, longest)


def _answered(answer: httpx.Response) -> bool:
    """Whether the gateway decided anything; a 5xx or 429 only says: later."""
    return answer.status_code < 500 and answer.status_code != 429


def _identifier(answer: httpx.Response) -> str:
    """Our prescription's id on the platform, from the Task it answers with."""
    identifiers: list[Mapping[str, Any]] = _json(answer).get("identifier", [])
    return next((str(one["value"]) for one in identifiers if one.get("system", "").endswith("/sid/prescription")), "")


def _business_status(answer: httpx.Response) -> str:
    coding: list[Mapping[str, Any]] = _json(answer).get("businessStatus", {}).get("coding", [])
    return str(coding[0].get("code", "")) if coding else ""


def _json(answer: httpx.Response) -> Document:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "hospital.sqlite"), Background()
    hospital = Hospital(setting, book, background)
    app = partner_app("hospital", setting, book, hospital.show_book, background, hospital.start)
    token = f"Bearer {setting.secrets['SANDBOX_HOSPITAL_REPORT_TOKEN']}"

    def known(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), token.encode()):
            raise HTTPException(401, "unauthorized")

    @app.post("/reports", status_code=204, dependencies=[Depends(known)])
    async def reports(request: Request, sanyi_key: Annotated[str, Header()]) -> Response:
        try:
            hospital.report(sanyi_key, await request.body())
        except (ValueError, KeyError, TypeError):
            raise HTTPException(400, "not a report") from None
        return Response(status_code=204)

    @app.get("/progress")
    async def progress() -> Document:
        return hospital.progress()

    return app


if __name__ == "__main__":
    run("hospital", make_app, urls={
        "gateway": "address of the platform's gateway", "ankang": "address of the chain ankang",
        "baicao": "address of the chain baicao", "per-second": "prescriptions sent per second (default 4)",
    }, secrets={
        "SANDBOX_HOSPITAL_TOKEN": "bearer token of the hospital at the gateway",
        "SANDBOX_HOSPITAL_REPORT_TOKEN": "bearer token the platform reports with",
    })
