"""A hospital: sends its day of prescriptions and more, takes some back, hears what became of them, is its patients' app."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
from fastapi import FastAPI, Request

from sandbox.book import Book, Document
from sandbox.chain import SELLERS
from sandbox.dialects import DIALECTS, Heard, Line, Speaker, speaker
from sandbox.doors import COURIER
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.patient import Patient
from sandbox.plan import AT_A_POINT, CHOOSERS, INSTEAD, UNCHOSEN, VILLAGE_LATE, Plan, Planned

FINAL = frozenset({"refused", "returned", "cancelled", "expired"})
UNANSWERED = 8
"""Unanswered questions after which the hospital will not learn where a prescription is."""


class Hospital:
    """The hospital's own system. Everything it knows of a prescription is in its book; its dialect is its speaker's."""

    def __init__(self, setting: Setting, book: Book, background: Background, speaker: Speaker) -> None:
        self.setting = setting
        self.book = book
        self.background = background
        self.speaker = speaker
        self.plan: Plan | None = None
        self.at_a_time = asyncio.Semaphore(8)
        self.per_second = float(setting.urls.get("per-second") or 4)
        self.fulfilling: dict[str, asyncio.Event] = {}
        self.planned: dict[str, Planned] = {}
        """By prescription number."""
        self.last_pickup: dict[str, str] = {}
        """Prescription number -> the newest order with a pickup code."""

    def start(self) -> None:
        self.background.start(self.speaker.listen())
        self.background.start(self._day())
        for row in self.book.all("pickup"):
            self.last_pickup[row["prescription"]] = row["order"]
            if not row["done"]:
                self.background.start(self._collect(row["order"]))

    # Sending.

    def add(self, more: Plan) -> None:
        """Send these as well, now. Those that are known already are left as they are."""
        fresh = tuple(rx for rx in more.prescriptions if rx.external_id not in self.planned)
        if self.plan is None or not fresh:
            return
        self.plan = replace(self.plan, prescriptions=(*self.plan.prescriptions, *fresh))
        self.planned |= {rx.external_id: rx for rx in fresh}
        for number, planned in enumerate(fresh, len(self.plan.prescriptions)):
            self.background.start(self._one(more, planned, number))

    async def _day(self) -> None:
        """Wait for a plan, then send it, at a given pace, several at a time."""
        while not (self.setting.state / "plan.json").exists():  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.2)
        plan = self.plan = Plan.load(self.setting.state)
        self.planned = {planned.external_id: planned for planned in plan.prescriptions}
        async with asyncio.TaskGroup() as day:
            day.create_task(self._provoke(plan))
            for number, planned in enumerate(plan.prescriptions):
                if self.book.get("answered", planned.key) is None or planned.cancel_key:
                    day.create_task(self._one(plan, planned, number))
                    await asyncio.sleep(1 / self.per_second)

    async def _one(self, plan: Plan, planned: Planned, number: int) -> None:
        """One prescription: the message, perhaps once more, and the cancel when its time has come."""
        if planned.cancel_when == "before":
            await self._cancel(planned)
        async with self.at_a_time:
            message = self.speaker.prescription(planned.facts)
            answer = await self._send(planned.key, message)
            if answer.outcome == "accepted" and number % 10 == 3:
                await self._ask_again(planned.key, message, answer)
            if planned.key in plan.conflicts:
                other = await self._send(f"conflict {planned.key}", self.speaker.changed(planned.facts))
                self._check(other.outcome == "conflict", "conflict_not_refused", planned.key)
        if answer.outcome != "accepted":
            return
        if planned.cancel_when == "waiting":
            await self._until_allocating(planned)
            await asyncio.sleep(2 * self.setting.pace)
            await self._cancel(planned)
        if planned.cancel_when == "fulfilling":
            begun = self.fulfilling.setdefault(planned.external_id, asyncio.Event())
            if "fulfilling" not in (self.book.get("prescription", planned.external_id) or {"statuses": ()})["statuses"]:
                await begun.wait()
            await self._cancel(planned)

    async def _send(self, key: str, message: bytes) -> Heard:
        """Send until there is an answer, always the same bytes; then write the answer down."""
        tries = 0
        while True:
            tries += 1
            self.book.count("sent", key)
            if (answer := await self.speaker.send(message)) is not None:
                break
            await asyncio.sleep(min(0.2 * 2**tries, 3) * self.setting.pace)
        self.book.put("answered", key, {
            "key": key, "outcome": answer.outcome, "tries": tries, "id": answer.id, "business_status": answer.status,
            "digest": hashlib.sha256(answer.body).hexdigest()})
        return answer

    async def _ask_again(self, key: str, message: bytes, first: Heard) -> None:
        """The same message once more must get the same answer, byte for byte."""
        again = await self.speaker.send(message)
        if again is not None:
            self._check(again.body == first.body, "replay_differs", key)

    async def _provoke(self, plan: Plan) -> None:
        """Broken messages must not be accepted."""
        for number, facts in enumerate(plan.broken, 1):
            answer = await self._send(f"broken {number}", self.speaker.broken(facts, number))
            self._check(answer.outcome == "refused", "broken_not_refused", f"broken {number}")

    async def _cancel(self, planned: Planned) -> None:
        if not planned.cancel_key or self.book.get("answered", f"cancel {planned.external_id}"):
            return
        message = self.speaker.cancel(planned.facts, planned.cancel_key, planned.facts.sent)
        await self._send(f"cancel {planned.external_id}", message)

    async def _until_allocating(self, planned: Planned) -> None:
        """Until a pharmacy is looked for; who has no way to ask cancels after a while, wherever it is."""
        unanswered = 0
        for pause in _pauses(0.5, 5):
            status = await self.speaker.where(planned.facts)
            unanswered += not status
            if status == "allocating" or status in FINAL or unanswered == UNANSWERED:
                return
            await asyncio.sleep(pause * self.setting.pace)

    # Hearing.

    def report(self, key: str, report: dict[str, Any]) -> None:
        """Keep a report; the same key with another content is a defect of the platform."""
        digest = hashlib.sha256(json.dumps(report, sort_keys=True).encode()).hexdigest()
        if report_before := self.book.get("report", key):
            self.book.count("repeated_report", key)
            self._check(report_before["digest"] == digest, "report_changed", key)
            return
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
        self._judge(number, report)
        if report["status"] == "fulfilling":
            self.fulfilling.setdefault(number, asyncio.Event()).set()
        if (link := report.get("patient_page")) and report["status"] == "in_review":
            self.background.start(self._at_the_page(number, link))
        if (pickup := report.get("pickup")) and self.book.get("pickup", pickup["order"]) is None:
            self.book.put("pickup", pickup["order"], {
                "order": pickup["order"], "chain": pickup["chain"], "code": pickup["code"], "prescription": number,
                "done": self._stays_at_home(number)})
            self.last_pickup[number] = pickup["order"]
            self.background.start(self._collect(pickup["order"]))

    def _judge(self, number: str, report: dict[str, Any]) -> None:
        """Whether what is said to be handed over is what the doctor wrote, and the fund's parts are the whole."""
        handed, money = report.get("dispense"), report.get("money")
        self._check(handed is not None or report["status"] != "fulfilled", "handover_without_medicine", number)
        self._check(money is not None or report["status"] != "settled", "settled_without_money", number)
        if money:
            total, *parts = (Decimal(money[name]) for name in ("total", "fund", "account", "cash"))
            self._check(total == sum(parts) and min(total, *parts) >= 0, "money_does_not_add_up", number)
        if handed and (planned := self.planned.get(number)):
            facts, lines = planned.facts, handed["lines"]
            wrote = [(line, INSTEAD.get(medicine.drug, medicine.drug), medicine.name, Decimal(medicine.quantity), medicine.unit)
                     for line, medicine in enumerate(facts.medicines, 1)]
            if planned.shared:
                lines = self._all_of(number, handed)
            # Of another product the name says more: its pack, and what it stands for.
            reported = [(int(line["line"]), line["drug"],
                         line["name"].partition(" ")[0] if line["drug"] in INSTEAD.values() else line["name"],
                         Decimal(line["quantity"]), line["unit"]) for line in lines]
            enough = _within(reported, wrote) if planned.shared else sorted(reported) == wrote
            self._check(enough, "handed_over_otherwise", number)
            self._check(handed["handover"] == ("home" if facts.home else "pickup"), "handed_over_elsewhere", number)
            self._check(planned.shared or self.last_pickup.get(number, handed["order"]) == handed["order"],
                        "handed_over_by_another", number)
            chosen = (self.book.get("choice", number) or {}).get("store")
            self._check(chosen in (None, "", f"{handed['chain']}/{handed['store']}"), "handed_over_by_another_than_chosen", number)
            self._check(datetime.fromisoformat(handed["at"]) <= datetime.fromisoformat(report["at"]), "handed_over_later", number)
            if money and all(line["returned"] for line in lines):
                self._check(Decimal(money["total"]) == 0, "paid_for_nothing", number)

    def _all_of(self, number: str, handed: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines of all orders that were handed over, with what this one adds."""
        self.book.put("handed", handed["order"], {"order": handed["order"], "prescription": number, "lines": handed["lines"]})
        sums: dict[int, dict[str, Any]] = {}
        for order in self.book.all("handed"):
            for line in order["lines"] if order["prescription"] == number else ():
                before = sums.get(line["line"], {"quantity": "0"})
                sums[line["line"]] = line | {"quantity": str(Decimal(before["quantity"]) + Decimal(line["quantity"]))}
        return list(sums.values())

    # The patients' app.

    async def _collect(self, order: str) -> None:
        """Go to the counter with the code, again and again until it is ready, or until there is no point any more."""
        row = self.book.get("pickup", order)
        if row is None or row["done"]:
            return
        if (planned := self.planned.get(row["prescription"])) and planned.facts.home and planned.scenario not in AT_A_POINT:
            await self._tell_the_doorbell(row)
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

    async def _at_the_page(self, number: str, link: str) -> None:
        """A patient who chooses the pharmacy opens their page as soon as the app has its link."""
        planned = self.planned.get(number)
        if planned is None or planned.scenario not in CHOOSERS or self.book.get("choice", number):
            return

        def kept(store: str) -> None:
            self.book.put("choice", number, {"prescription": number, "scenario": planned.scenario, "in_time": True, "store": store})

        self.book.put("choice", number, {"prescription": number, "scenario": planned.scenario, "in_time": False, "store": ""})
        patient = Patient(self.background.client, self.setting.urls["gateway"], link, self.setting.pace, kept)
        in_time = await patient.wishes_to_choose()
        self.book.put("choice", number, {"prescription": number, "scenario": planned.scenario, "in_time": in_time, "store": ""})
        if in_time and planned.scenario != UNCHOSEN:
            way = "point" if planned.scenario in AT_A_POINT else "home" if planned.facts.home else "pickup"
            await patient.choose(way)

    async def _tell_the_doorbell(self, row: Document) -> None:
        """Who is brought the medicine by a courier shows the code at the door."""
        for pause in _pauses(0.5, 3):
            try:
                answer = await self.background.client.post(
                    f"{self.setting.urls.get(COURIER, '')}/door", json={"order_id": row["order"], "code": row["code"]})
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code < 300:
                break
            await asyncio.sleep(pause * self.setting.pace)
        self.book.put("pickup", row["order"], row | {"done": True})

    def _pointless(self, order: str, number: str) -> bool:
        """The prescription ended, or another order took this one's place."""
        row = self.book.get("prescription", number)
        planned = self.planned.get(number)
        replaced = self.last_pickup.get(number) != order and not (planned and planned.shared)
        return replaced or (row is not None and row["status"] in FINAL)

    def _stays_at_home(self, number: str) -> bool:
        """A patient about to cancel does not go to the counter first, and one does not go to the clinic at all."""
        planned = self.planned.get(number)
        return planned is not None and (planned.cancel_when == "fulfilling" or planned.scenario == VILLAGE_LATE)

    # Showing.

    def progress(self) -> Document:
        planned = self.plan.prescriptions if self.plan else ()
        last = {row["prescription"]: row["status"] for row in self.book.all("prescription")}
        answers = self.book.all("answered")
        return {
            "planned": len(planned),
            "sent": self.book.number("sent"),
            "answered": sum(answer["outcome"] == "accepted" and not answer["key"].startswith("cancel ") for answer in answers),
            "refused": sum(answer["outcome"] != "accepted" for answer in answers),
            "retried": sum(answer["tries"] - 1 for answer in answers),
            "cancels": sum(answer["key"].startswith("cancel ") for answer in answers),
            "reports": self.book.tally("report", "status"),
            "last": Counter(last.values()),
            "collected": self.book.tally("pickup", "collected")[1],
            "as_expected": sum(last.get(rx.external_id) in rx.expected_status for rx in planned),
            "defects": self.book.number("defect"),
        }

    def show_book(self) -> Document:
        """One line per prescription, planned against reported; no names."""
        rows = {row["prescription"]: row for row in self.book.all("prescription")}
        answers = {answer["key"]: answer for answer in self.book.all("answered")}
        return {
            "prescriptions": [{
                "key": rx.key, "prescription": rx.external_id, "scenario": rx.scenario,
                "expected_status": sorted(rx.expected_status), "expected_money": rx.expected_money,
                "hospital": rx.facts.hospital, "id": answers.get(rx.key, {}).get("id", ""),
                "answered": answers.get(rx.key, {}).get("outcome"),
                "cancel": answers.get(f"cancel {rx.external_id}", {}).get("business_status", ""),
                **{name: rows.get(rx.external_id, {}).get(name, empty) for name, empty in (
                    ("status", ""), ("statuses", []), ("reason", ""), ("money", []))},
            } for rx in (self.plan.prescriptions if self.plan else ())],
            "answers": [{key: value for key, value in answer.items() if key != "digest"}
                        for answer in answers.values()],
            "reports": [{key: value for key, value in report.items() if key != "digest"}
                        for report in self.book.all("report")],
            "repeated_reports": self.book.number("repeated_report"),
            "pickups": [{key: value for key, value in pickup.items() if key != "code"}
                        for pickup in self.book.all("pickup")],
            "choices": self.book.all("choice"),
            "defects": self.book.all("defect"),
        }

    def _check(self, good: bool, defect: str, about: str) -> None:
        if not good:
            self.book.put("defect", f"{defect} {about}", {"defect": defect, "about": about})


def _within(reported: Sequence[tuple[int, str, str, Decimal, str]], wrote: Sequence[tuple[int, str, str, Decimal, str]]) -> bool:
    """Whether what was handed over is what was written, and no more of it."""
    prescribed = {line: (drug, name, unit, quantity) for line, drug, name, quantity, unit in wrote}
    return all(line in prescribed and (drug, name, unit) == prescribed[line][:3] and quantity <= prescribed[line][3]
               for line, drug, name, quantity, unit in reported)


def _pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds between two looks: patient, so that a long wait is not a flood of questions."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.3, longest)


def make_app(setting: Setting) -> FastAPI:
    slug, book, background = setting.urls["slug"], Book(setting.state / "hospital.sqlite"), Background()
    hospitals_heard: list[Hospital] = []
    own = {name.removeprefix("SANDBOX_HOSPITAL_"): value for name, value in setting.secrets.items()}
    line = Line(slug, setting.urls["gateway"], setting.urls, own, lambda key, report: hospitals_heard[0].report(key, report))
    hospital = Hospital(setting, book, background, speaker(setting.urls["dialect"], line))
    hospitals_heard.append(hospital)
    app = partner_app(slug, setting, book, hospital.show_book, background, hospital.start)
    hospital.speaker.doors(app)

    @app.get("/progress")
    async def progress() -> Document:
        return hospital.progress()

    @app.post("/sandbox/prescriptions", status_code=204)
    async def add(request: Request) -> None:
        hospital.add(Plan.from_json(await request.json()))

    return app


if __name__ == "__main__":
    run("hospital", make_app, urls={
        "slug": "its name on the platform", "dialect": f"what it speaks: {', '.join(DIALECTS)}",
        "gateway": "address of the platform's gateway", **{chain: f"address of {chain}" for chain in SELLERS},
        COURIER: "address of the courier",
        "per-second": "prescriptions sent per second (default 4)",
        "mllp": "hl7v2: tcp://host:port of the platform", "listen": "hl7v2: port to hear reports at",
        "folder": "dropbox: folder shared with the platform", "s3": "dropbox: s3://bucket/prefix shared with the platform",
    }, secrets={
        "SANDBOX_HOSPITAL_": "its dialect's keys and tokens, such as SANDBOX_HOSPITAL_TOKEN",
    })
