"""The operations worker asks each hospital by itself, and goes on asking; operations may ask by hand."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from adapters.messages import Fetched, Reply
from domain.errors import Transient
from flows import operations
from flows.resident import keep_polling
from infra.settings import get_settings
from tests.support.city import FakeHospital, bundle, make_city


@dataclass
class Asked(FakeHospital):
    waiting: dict[str, bytes] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    """Raised one after the other, one per poll."""
    hangs: bool = False

    async def poll(self, limit: int) -> list[Fetched]:
        if self.hangs:
            await asyncio.sleep(60)
        if self.troubles:
            raise self.troubles.pop(0)
        return [Fetched(ref, raw) for ref, raw in self.waiting.items()][:limit]

    async def hand_back(self, ref: str, reply: Reply) -> None:
        self.settled.append(ref)
        self.waiting.pop(ref, None)


def city_with(tmp_path, *hospitals: Asked):
    return replace(make_city(tmp_path), hospitals={one.slug: one for one in hospitals}, hurry=1000.0)


async def asking(city, seconds: float) -> None:
    going = [asyncio.create_task(keep_polling(city, slug)) for slug in city.hospitals]
    await asyncio.sleep(seconds)
    assert not any(task.done() for task in going)
    for task in going:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_hospital_that_hangs_keeps_no_other_waiting(tmp_path):
    slow = Asked(slug="jinan_county", hangs=True)
    quick = Asked(slug="jinan_first", waiting={"1": bundle(1)})
    await asking(city_with(tmp_path, slow, quick), 0.8)
    assert quick.settled == ["1"]


async def test_no_trouble_ends_the_asking(tmp_path):
    hospital = Asked(waiting={"1": bundle(1)}, troubles=[Transient("away"), ValueError("a defect of ours")])
    await asking(city_with(tmp_path, hospital), 1.5)
    assert hospital.settled == ["1"]


async def test_what_comes_later_is_taken_later(tmp_path):
    hospital = Asked()
    city = city_with(tmp_path, hospital)
    going = asyncio.create_task(keep_polling(city, hospital.slug))
    await asyncio.sleep(0.1)
    hospital.waiting["1"] = bundle(1)
    await asyncio.sleep(0.7)
    going.cancel()
    assert hospital.settled == ["1"]


@pytest.mark.usefixtures("prefect_server")
async def test_operations_ask_by_hand(tmp_path, monkeypatch):
    there = Asked(waiting={"1": bundle(1)})
    away = Asked(slug="jinan_county", troubles=[Transient("away", code="away")])
    monkeypatch.setattr(operations, "city", lambda: city_with(tmp_path, there, away))
    get_settings.cache_clear()
    state = await operations.poll("jinan_first", return_state=True)
    assert state.name == "Settled: 1"
    state = await operations.poll("all", return_state=True)
    assert state.is_failed()
    assert state.message.startswith("jinan_county Transient:away")
    state = await operations.poll("all", return_state=True)
    assert state.name == "Nothing new"
    state = await operations.poll("nowhere", return_state=True)
    assert state.message == "hospital: one of all, jinan_county, jinan_first"
