"""A patient at their page, by its link: says that they want to choose the pharmacy, and chooses, or lets the time pass."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from sandbox.book import Document


class Patient:
    """One patient with one prescription. `kept` is told of each choice that counts: its pharmacy, as `chain/store`."""

    def __init__(self, client: httpx.AsyncClient, gateway: str, link: str, pace: float, kept: Callable[[str], None]) -> None:
        self._client = client
        self._page = f"{gateway}/api{urlsplit(link).path}"
        self._pace = pace
        self._kept = kept

    async def wishes_to_choose(self) -> bool:
        """Whether the patient said it in time."""
        answer = await self._until_answered(lambda: self._client.post(f"{self._page}/wish_to_choose"))
        return answer.status_code == 200

    async def choose(self, way: str) -> None:
        """Choose as often as the page asks, until the patient has the medicine: a pharmacy may let an order go."""
        while True:
            page = await self._until_answered(lambda: self._client.get(self._page))
            seen = page.json() if page.status_code == 200 else {}
            if not seen or seen["ended"] or seen["step"] is None:
                break
            if "choose" in seen["supported_actions"]:
                await self._choose(seen["choice"]["options"], way)
            await asyncio.sleep((2.0 if seen["orders"] else 0.5) * self._pace)

    async def _choose(self, options: list[Document], way: str) -> None:
        """The second of the list that all of it can be had from in that way; the first where there is no other."""
        wanted = [option for option in options if (option["way"]["code"], option["handover"]["code"]) == ("whole", way)] or options
        option = wanted[:2][-1]
        answer = await self._until_answered(lambda: self._client.post(
            f"{self._page}/choice", json={"option": option["option"], "agreed": [each["agree"] for each in option["substitutes"]]}))
        if answer.status_code == 200:
            store = option["stores"][0]
            self._kept(f"{store['chain']}/{store['store']}")

    async def _until_answered(self, ask: Callable[[], Awaitable[Any]]) -> httpx.Response:
        while True:
            try:
                answer: httpx.Response = await ask()
            except httpx.HTTPError:
                answer = httpx.Response(503)
            if answer.status_code < 500 and answer.status_code != 429:
                return answer
            await asyncio.sleep(0.5 * self._pace)
