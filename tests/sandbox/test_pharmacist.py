"""Two pharmacists at a review desk that keeps the contract."""

import asyncio

from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse

from sandbox import pharmacist
from sandbox.faults import Faults, FaultyLine, by_bytes
from tests.support.sockets import serving

WARN = {"code": "OFF_LABEL", "rule": "B-28", "severity": "WARN", "text": "", "line": 1}
OTHER = {"code": "ELDERLY", "rule": "B-32", "severity": "WARN", "text": "", "line": 1}


class Desk:
    """Claims that run out, decisions that repeat safely, and nobody reviews what they wrote themselves."""

    def __init__(self, waiting, own=("", ""), faults=None):
        self.waiting = waiting
        self.claims: dict[str, tuple[str, float]] = {}
        self.decided: dict[str, tuple[str, dict]] = {}
        app = FastAPI()

        def holder(rx):
            who, until = self.claims.get(rx, ("", 0.0))
            return who if until > asyncio.get_running_loop().time() else None

        @app.get("/api/review/queue")
        async def queue() -> dict:
            return {"items": [{"id": rx, "claimed_by": holder(rx)} for rx in self.waiting if rx not in self.decided]}

        @app.post("/api/review/{rx}/claim")
        async def claim(rx: str, authorization: str = Header()) -> JSONResponse:
            if (authorization, rx) == own:
                return JSONResponse({"error": {"code": "own_prescription"}}, 409)
            if holder(rx) not in (None, authorization):
                return JSONResponse({"error": {"code": "already_claimed"}}, 409)
            self.claims[rx] = (authorization, asyncio.get_running_loop().time() + 0.4)
            return JSONResponse({"id": rx, "expires_at": "", "prescription": {}, "findings": self.waiting[rx]})

        @app.post("/api/review/{rx}/decision")
        async def decide(rx: str, body: dict, authorization: str = Header()) -> JSONResponse:
            if rx in self.decided:
                same = self.decided[rx] == (authorization, body)
                return JSONResponse({"id": rx, "status": "done"} if same else {"error": {"code": "not_in_review"}},
                                    200 if same else 409)
            if holder(rx) != authorization:
                return JSONResponse({"error": {"code": "claim_expired"}}, 409)
            self.decided[rx] = (authorization, body)
            return JSONResponse({"id": rx, "status": "done"})

        self.app = FaultyLine(app, Faults(1, faults or {}), by_bytes)

    async def empty(self):
        for _ in range(1200):
            if len(self.decided) == len(self.waiting):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(self.decided.keys())


async def test_they_return_what_is_off_label_and_give_a_reason_for_every_other_warning(setting, client):
    desk = Desk({"rx_1": [WARN], "rx_2": [OTHER], "rx_3": []})
    async with serving(desk.app) as gateway:
        async with serving(pharmacist.make_app(setting({"gateway": gateway}))) as url:
            await desk.empty()
            await asyncio.sleep(0.1)
            shown = (await client.get(f"{url}/progress")).json()
    assert desk.decided["rx_1"][1]["decision"] == "return"
    assert desk.decided["rx_1"][1]["codes"] == ["2-1"]
    assert list(desk.decided["rx_2"][1]["reasons"]) == ["ELDERLY"]
    assert all(len(reason) >= 5 for reason in desk.decided["rx_2"][1]["reasons"].values())
    assert (desk.decided["rx_3"][1]["decision"], shown["passed"], shown["returned"]) == ("pass", 2, 1)


async def test_lost_answers_do_not_make_two_decisions(setting, client):
    desk = Desk({f"rx_{number}": [] for number in range(8)}, faults={"lose_answer": 0.4, "at_most": 2})
    async with serving(desk.app) as gateway:
        async with serving(pharmacist.make_app(setting({"gateway": gateway}))) as url:
            await desk.empty()
            await asyncio.sleep(0.5)
            book = (await client.get(f"{url}/book")).json()
    assert sorted(row["id"] for row in book["decisions"] if row["answer"] == 200) == sorted(desk.waiting)
    assert book["defects"] == []


async def test_a_claim_walked_away_from_is_taken_up_again_later(setting, client):
    desk = Desk({"rx_1": []})
    async with serving(desk.app) as gateway:
        async with serving(pharmacist.make_app(setting({"gateway": gateway}, {"abandon_next": 1}))) as url:
            await desk.empty()
            assert [row["id"] for row in (await client.get(f"{url}/book")).json()["abandoned"]] == ["rx_1"]


async def test_nobody_reviews_an_own_prescription(setting):
    desk = Desk({"rx_1": []}, own=("Bearer one", "rx_1"))
    async with serving(desk.app) as gateway:
        async with serving(pharmacist.make_app(setting({"gateway": gateway}))):
            await desk.empty()
    assert desk.decided["rx_1"][0] == "Bearer two"
