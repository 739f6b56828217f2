"""The hospital against a gateway that keeps the contract and nothing else."""

import asyncio
import hashlib
import itertools
import json
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI, Request, Response

from adapters.dialects import fhir_r4
from fhir_profiles import reports
from sandbox import ankang, hospital
from sandbox.dialects import fhir
from sandbox.faults import Faults, FaultyLine, by_bytes
from sandbox.patient import Patient
from sandbox.plan import ROUND, make_plan
from tests.support.sockets import serving, until

REPORTING = {"Authorization": "Bearer report-token"}


class Gateway:
    """Takes in what is whole, repeats its answers, refuses what is broken or contradicts itself."""

    def __init__(self, faults=None):
        self.taken: dict[str, tuple[bytes, bytes]] = {}
        self.order: list[str] = []
        self.status = "allocating"
        app = FastAPI()

        @app.post("/fhir/{name}/{kind}")
        async def take(kind: str, request: Request) -> Response:
            assert request.headers["authorization"] == "Bearer hospital-token"
            body = await request.body()
            message = fhir_r4.to_fhir(body).resource
            identifier = message["identifier"]
            key = identifier["value"] if kind == "Bundle" else identifier[0]["value"]
            if kind == "Bundle" and (message["entry"][0]["resource"]["resourceType"] != "Patient"
                                     or "dosageInstruction" not in message["entry"][-1]["resource"]):
                return Response(status_code=422)
            if key in self.taken:
                same = self.taken[key][0] == body
                return Response(self.taken[key][1] if same else b"{}", 201 if same else 409,
                                {"Sanyi-Replayed": "true"})
            answer = json.dumps({"resourceType": "Task", "identifier": [
                {"system": "https://sanyi.example/fhir/sid/prescription", "value": f"rx_{key}"}],
                "businessStatus": {"coding": [{"code": "received" if kind == "Bundle" else "cancelled"}]}}).encode()
            self.taken[key] = (body, answer)
            self.order.append(key)
            return Response(answer, 201)

        @app.get("/fhir/{name}/Task/{number}")
        async def where(number: str) -> dict[str, object]:
            return {"businessStatus": {"coding": [{"code": self.status}]}}

        self.app = FaultyLine(app, Faults(1, faults or {}), by_bytes)


def report(number, status, key="k1", **more):
    given = {"key": key, "prescription": number, "id": "rx_1", "status": status, "at": "2026-11-22T01:00:00+00:00"}
    return given | more


@pytest.fixture
def day(tmp_path):
    plan = make_plan("jinan", ROUND, 3, datetime.now(UTC), hospitals=["jinan_first"])
    plan.save(tmp_path)
    (tmp_path / "jinan_first" / "plan.json").rename(tmp_path / "plan.json")
    return plan


def start(setting, urls):
    return hospital.make_app(setting({"slug": "jinan_first", "dialect": "fhir"} | urls))


def planned(day, scenario):
    return next(one for one in day.prescriptions if one.scenario == scenario)


async def send(client, url, body, key=None):
    told = reports.report("jinan_first", body)
    return await client.post(f"{url}/reports", content=told, headers=REPORTING | {"Sanyi-Key": key or body["key"]})


async def progress(client, url):
    return (await client.get(f"{url}/progress")).json()


async def settled_down(client, url, condition):
    for _ in range(1200):
        if condition(await progress(client, url)):
            return await progress(client, url)
        await asyncio.sleep(0.05)
    raise AssertionError(await progress(client, url))


async def test_a_day_goes_out_over_a_line_that_loses_answers(setting, client, day):
    gateway = Gateway({"lose_answer": 0.4, "error_500": 0.1, "at_most": 2})
    async with serving(gateway.app) as gateway_url:
        async with serving(start(setting, {"gateway": gateway_url, "per-second": "100"})) as url:
            # Everything, the conflict, two broken ones, and the cancels that wait for nobody.
            at_once = sum(rx.scenario in ("cancelled_before", "cancelled_waiting") for rx in day.prescriptions)
            now = await settled_down(client, url, lambda p: (p["answered"], p["refused"], p["cancels"]) == (ROUND, 3, at_once))
            assert now["retried"] > 0
            book = (await client.get(f"{url}/book")).json()
            assert book["defects"] == []
            assert [row["answered"] for row in book["prescriptions"]] == ["accepted"] * ROUND
            assert "示范" not in json.dumps(book, ensure_ascii=False)
    assert {one.key for one in day.prescriptions} <= set(gateway.taken)
    assert {raw[:1] for raw, _ in gateway.taken.values()} == {b"{", b"<"}, "both forms were sent"
    before = planned(day, "cancelled_before")
    assert gateway.order.index(before.cancel_key) < gateway.order.index(before.key)


async def test_a_500_to_a_repeated_message_is_no_other_answer(setting, client, day):
    gateway = Gateway()
    seen = set()

    async def fails_once_when_asked_again(scope, receive, send):
        if scope["type"] != "http" or not scope["path"].endswith("/Bundle"):
            return await gateway.app(scope, receive, send)
        body = (await receive())["body"]

        async def again():
            return {"type": "http.request", "body": body, "more_body": False}

        if body in seen:
            seen.remove(body)
            return await Response(status_code=500)(scope, again, send)
        seen.add(body)
        await gateway.app(scope, again, send)

    async with serving(fails_once_when_asked_again) as gateway_url:
        async with serving(start(setting, {"gateway": gateway_url, "per-second": "100"})) as url:
            await settled_down(client, url, lambda p: p["answered"] == ROUND)
            await asyncio.sleep(0.2)
            assert (await client.get(f"{url}/book")).json()["defects"] == []


async def test_the_cancel_in_fulfilment_waits_for_the_report(setting, client, day):
    gateway = Gateway()
    target = planned(day, "cancelled_fulfilling")
    async with serving(gateway.app) as gateway_url:
        async with serving(start(setting, {"gateway": gateway_url, "per-second": "100"})) as url:
            await settled_down(client, url, lambda p: p["answered"] == ROUND)
            assert (await progress(client, url))["cancels"] < 3
            await send(client, url, report(target.external_id, "fulfilling"))
            await settled_down(client, url, lambda p: p["cancels"] == 3)


async def test_a_repeated_report_counts_once_and_a_changed_one_is_a_defect(setting, client, day):
    async with serving(start(setting, {"gateway": "http://127.0.0.1:1"})) as url:
        number = day.prescriptions[0].external_id
        assert (await client.post(f"{url}/reports", json={}, headers={"Sanyi-Key": "k"})).status_code == 401
        first = report(number, "in_review")
        assert [(await send(client, url, first)).status_code for _ in range(2)] == [204, 204]
        assert (await progress(client, url))["reports"] == {"in_review": 1}
        await send(client, url, report(number, "returned"))
        book = (await client.get(f"{url}/book")).json()
        assert [defect["defect"] for defect in book["defects"]] == ["report_changed"]


async def test_what_happened_last_counts_not_what_came_last(setting, client, day):
    async with serving(start(setting, {"gateway": "http://127.0.0.1:1"})) as url:
        number = day.prescriptions[0].external_id
        await send(client, url, report(number, "cancelled", "k2", at="2026-11-22T01:05:00+00:00"))
        await send(client, url, report(number, "in_review", "k1", at="2026-11-22T09:04:00+08:00"))
        row = (await client.get(f"{url}/book")).json()["prescriptions"][0]
        assert (row["status"], row["statuses"]) == ("cancelled", ["cancelled", "in_review"])


def handed(facts, **changes):
    """What the doctor wrote, handed over."""
    lines = [{"line": line, "item": f"{facts.external_id}-{line}", "drug": one.drug, "name": one.name, "unit": one.unit,
              "quantity": str(one.quantity), "days": one.days, "returned": False} for line, one in enumerate(facts.medicines, 1)]
    return {"order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "home" if facts.home else "pickup",
            "at": "2026-11-22T00:59:00+00:00", "lines": lines} | changes


MONEY = {"total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}
SETTLEMENT = {"payer": "jinan_centre", "settled": {"id": "S1", "reference": "H1"}}


async def test_what_was_handed_over_and_paid_is_judged_by_what_the_doctor_wrote(setting, client, day):
    facts = planned(day, "settled_pickup").facts
    first = handed(facts)["lines"][0]
    wrong = {
        "handed_over_otherwise": handed(facts, lines=[*handed(facts)["lines"][1:], first | {"quantity": "1"}]),
        "handed_over_elsewhere": handed(facts, handover="home"),
        "handed_over_later": handed(facts, at="2026-11-22T01:00:01+00:00"),
    }
    async with serving(start(setting, {"gateway": "http://127.0.0.1:1"})) as url:
        await settled_down(client, url, lambda p: p["planned"] == ROUND)
        for number, dispense in enumerate([handed(facts), *wrong.values()]):
            answer = await send(client, url, report(facts.external_id, "fulfilled", f"f{number}", dispense=dispense))
            assert answer.status_code == 204
        for number, money in enumerate([MONEY, MONEY | {"account": "6.96"}]):
            await send(client, url, report(facts.external_id, "settled", f"s{number}", money=money, settlement=SETTLEMENT))
        book = (await client.get(f"{url}/book")).json()
        assert [defect["defect"] for defect in book["defects"]] == [*wrong, "money_does_not_add_up"]


@pytest.mark.parametrize(("status", "more"), [
    ("fulfilled", {}), ("settled", {}), ("settled", {"money": MONEY}), ("fulfilled", {"money": MONEY, "settlement": SETTLEMENT})])
async def test_a_report_that_keeps_back_what_its_status_owes_is_not_taken(setting, client, day, status, more):
    async with serving(start(setting, {"gateway": "http://127.0.0.1:1"})) as url:
        number = day.prescriptions[0].external_id
        assert (await send(client, url, report(number, status, **more))).status_code == 400
        assert (await progress(client, url))["reports"] == {}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"resourceType":"Bundle","type":"collection","entry":[]}',
                                  b'{"resourceType":"Task"}'])
async def test_what_is_no_report_is_not_taken(setting, client, day, body):
    async with serving(start(setting, {"gateway": "http://127.0.0.1:1"})) as url:
        answer = await client.post(f"{url}/reports", content=body, headers=REPORTING | {"Sanyi-Key": "k"})
        assert answer.status_code == 400


def test_a_report_in_fhir_is_read_as_it_was_meant(day):
    facts = planned(day, "settled_home").facts
    lines = handed(facts)["lines"]
    given = report(facts.external_id, "settled", reason="reversed", money=MONEY, words="文", words_en="w",
                   pickup={"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"},
                   dispense=handed(facts, lines=[lines[0] | {"returned": True, "quantity": "62.5"}, *lines[1:]]),
                   findings=[{"code": "A", "severity": "WARN", "text": "甲", "line": 2},
                             {"code": "B", "severity": "BLOCK", "text": "乙", "line": None}])
    sent = given | {"settlement": SETTLEMENT | {"reverses": {"id": "S0", "reference": "H0"}}}
    assert fhir.read_report(reports.report("jinan_first", sent)) == given
    late = report("RX1", "cancel_refused", reason="cancel_too_late, B-44")
    assert fhir.read_report(reports.report("jinan_first", late)) == late


async def test_the_patient_collects_when_it_is_ready(setting, gateway, client, day, tmp_path):
    number = planned(day, "settled_pickup").external_id
    held = {"order_id": "ord_1", "store_id": "AK01", "lines": [
        {"line": 1, "drug": "D001", "quantity": "60", "unit_price": "0.31", "amount_fen": 1860}]}
    placed = held | {
        "prescription_id": "rx_1", "handover": "pickup", "claim_secret": "shh", "patient_due_fen": 372,
        "pickup_code_sha256": hashlib.sha256(b"ord_1:424242").hexdigest(), "total_fen": 1860,
        "instructions": {"note": "", "decoction": "", "labels": [
            {"line": 1, "name": "示范药", "usage": "每次 1 片", "directions": "", "note": "", "decoction": ""}]}}
    bearer = {"Authorization": "Bearer ankang-token"}
    async with serving(ankang.make_app(setting({"gateway": gateway[1]}))) as chain:
        urls = {"gateway": "http://127.0.0.1:1", "ankang": chain}
        async with serving(start(setting, urls)) as url:
            await client.post(f"{chain}/v1/holds", json=held, headers=bearer)
            pickup = {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "424242"}
            await send(client, url, report(number, "fulfilling", pickup=pickup))
            await client.post(f"{chain}/v1/orders", json=placed, headers=bearer)
            await settled_down(client, url, lambda p: p["collected"] == 1)
            assert [row["status"] for row in (await client.get(f"{chain}/book")).json()["orders"]] == ["handed_over"]
            await until(lambda: len(gateway[0].heard) == 3)


async def test_a_platform_that_accepts_a_broken_message_is_found_out(setting, client, day):
    app = FastAPI()
    number = itertools.count()

    @app.post("/fhir/{name}/{kind}")
    async def take_anything() -> Response:
        return Response(json.dumps({"n": next(number)}), 201)

    async with serving(app) as gateway_url:
        async with serving(start(setting, {"gateway": gateway_url, "per-second": "100"})) as url:
            wanted = {"broken_not_refused", "conflict_not_refused", "replay_differs"}
            while wanted:  # A busy machine may come to the third long after the first.
                wanted -= {row["defect"] for row in (await client.get(f"{url}/book")).json()["defects"]}
                await asyncio.sleep(0.05)


class Page:
    """A patient's page: the wish is taken, then there are two pharmacies to choose from. One has the order and lets it go;
    another choice, and the medicine is there."""

    def __init__(self):
        self.asked: list[str] = []
        self.looks = 0
        app = FastAPI()

        @app.post("/api/p/link/wish_to_choose")
        async def wish() -> Response:
            self.asked.append("wish")
            return Response("{}", 409 if self.asked == ["wish", "wish"] else 200)

        @app.get("/api/p/link")
        async def page() -> dict[str, object]:
            options = [{"option": f"{len(self.asked)}-{place}", "way": {"code": way}, "handover": {"code": handover},
                        "stores": [{"chain": "ankang", "store": f"AK0{place}"}], "substitutes": []}
                       for place, (way, handover) in enumerate((
                           ("whole", "pickup"), ("whole", "home"), ("whole", "pickup"), ("part", "pickup")), 1)]
            self.looks += 1
            ordered = self.looks in (2, 3)
            return {"ended": False, "orders": ["ord"] if ordered else [], "choice": {"options": options},
                    "step": None if self.looks == 5 else "prepared", "supported_actions": [] if ordered else ["choose"]}

        @app.post("/api/p/link/choice")
        async def choose(request: Request) -> dict[str, object]:
            self.asked.append((await request.json())["option"])
            return {}

        self.app = app


async def test_a_patient_takes_the_second_of_the_list_and_chooses_again_when_a_pharmacy_lets_the_order_go(client):
    page, kept = Page(), []
    async with serving(page.app) as url:
        patient = Patient(client, url, "https://rx.example/p/link", 0.01, kept.append)
        assert await patient.wishes_to_choose()
        await patient.choose("pickup")
    assert page.asked == ["wish", "1-3", "2-3"]
    assert kept == ["ankang/AK03", "ankang/AK03"]


async def test_a_wish_to_choose_may_come_too_late(client):
    page = Page()
    page.asked = ["wish"]
    async with serving(page.app) as url:
        assert not await Patient(client, url, "https://rx.example/p/link", 0.01, page.asked.append).wishes_to_choose()
