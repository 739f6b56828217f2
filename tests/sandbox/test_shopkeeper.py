"""The simulated people of shops work through the product's own inbox, over HTTP, and their book is ours."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from domain.chains import ChainWord
from domain.prescription import prescription_id
from gateway.app import create_app
from infra.db import prescriptions
from sandbox import shopkeeper
from sandbox.partner import Setting
from sandbox.tieout import shelves as unlike
from tasks import shelves
from tasks.counter import workplaces
from tasks.fulfilment.sealed import open_secrets
from tasks.patients import open_patient
from tests.support.city import HOSPITAL, Clock, admit, make_city, make_settings, rxno
from tests.support.line import Line
from tests.support.shop import PLACE, SHOPS, with_shops
from tests.support.sockets import serving

Make = Callable[..., Setting]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(with_shops(make_city(tmp_path, now=Clock())))


@pytest.fixture
def insurer(line: Line) -> FastAPI:
    """Knows everybody's id card."""
    app = FastAPI()

    @app.post("/sandbox/id_card")
    async def id_card(request: Request) -> dict[str, str]:
        with line.city.db.reading() as session:
            loaded = prescriptions.load(session, prescription_id(HOSPITAL, rxno(1)))
        patient = open_patient(line.city, loaded)
        return {"id_number": patient["id_number"] if (await request.json())["name"] == patient["name"] else ""}

    return app


class Street:
    """A shop and its gateway on sockets."""

    def __init__(self, line: Line, counter: str, client: httpx.AsyncClient) -> None:
        self.line, self.counter, self.client = line, counter, client

    async def until(self, rx: str, word: ChainWord) -> None:
        for _ in range(600):
            if self.line.order(rx).word is word:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.line.order(rx).word} is not {word}")

    async def pick_up(self, rx: str, code: str) -> tuple[int, Any]:
        answer = await self.client.post(f"{self.counter}/counter/pickup", json={"order_id": self.line.order(rx).id, "code": code})
        return answer.status_code, answer.json()

    async def book(self) -> Any:
        return (await self.client.get(f"{self.counter}/book")).json()


async def open_street(stack: AsyncExitStack, line: Line, insurer: FastAPI, setting: Make, tmp_path: Path, client: httpx.AsyncClient,
                      **faults: object) -> Street:
    gateway = await stack.enter_async_context(serving(create_app(line.city, make_settings(tmp_path, shops=SHOPS))))
    centre = await stack.enter_async_context(serving(insurer))
    made = setting({"gateway": gateway, "insurer": centre}, faults)
    return Street(line, await stack.enter_async_context(serving(shopkeeper.make_app(made))), client)


async def test_an_order_is_accepted_prepared_and_handed_over_to_who_shows_the_code(line, insurer, setting, tmp_path, client):
    rx = admit(line.city)[0]
    await asyncio.to_thread(line.to_fulfilling, rx)
    code = open_secrets(line.city, line.order(rx))["pickup_code"]
    async with AsyncExitStack() as stack:
        street = await open_street(stack, line, insurer, setting, tmp_path, client)
        assert (await street.pick_up(rx, code))[0] == 409
        await street.until(rx, ChainWord.PREPARED)
        for _ in range(100):
            status, told = await street.pick_up(rx, "WRONG")
            if told["error"]["code"] != "not_prepared":
                break
            await asyncio.sleep(0.05)
        assert (status, told["error"]["code"]) == (409, "wrong_code")
        assert await street.pick_up(rx, code) == await street.pick_up(rx, code) == (200, {"status": "handed_over"})
        assert line.order(rx).word is ChainWord.HANDED_OVER
        book = await street.book()
        (order,) = book["orders"]
        assert (order["status"], order["total_fen"], order["shelf"]) == ("handed_over", line.order(rx).order.total, "out")


async def test_what_a_shop_carries_itself_is_handed_over_at_the_door_against_the_id_card(line, insurer, setting, tmp_path, client):
    rx = admit(line.city, sample="home_delivery")[0]
    await asyncio.to_thread(line.to_fulfilling, rx)
    async with AsyncExitStack() as stack:
        street = await open_street(stack, line, insurer, setting, tmp_path, client)
        await street.until(rx, ChainWord.HANDED_OVER)


async def test_what_is_short_is_declined(line, insurer, setting, tmp_path, client):
    rx = admit(line.city)[0]
    await asyncio.to_thread(line.to_fulfilling, rx)
    async with AsyncExitStack() as stack:
        street = await open_street(stack, line, insurer, setting, tmp_path, client, sold_out=1)
        await street.until(rx, ChainWord.DECLINED)
        assert line.order(rx).reason == "out_of_stock"


async def test_both_books_count_the_same_on_every_shelf(line, insurer, setting, tmp_path, client):
    async with AsyncExitStack() as stack:
        street = await open_street(stack, line, insurer, setting, tmp_path, client)
        for _ in range(200):
            mine = {row["drug"]: row for row in (await street.book())["stock"]}
            if len(mine) == 2:
                break
            await asyncio.sleep(0.05)
        assert mine["D005"] == {"store": "LL01", "drug": "D005", "opening": "100000", "left": "100000"}
        at = workplaces(line.city)[PLACE]
        platform = [{"store": "LL01", "drug": shelf.drug, "quantity": shelf.quantity} for shelf in shelves.shelves(line.city, at)
                    if shelf.drug == "D005"]
        assert unlike([mine["D005"]], platform) == []
