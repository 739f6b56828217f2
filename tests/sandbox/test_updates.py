"""What a polled chain has to tell: in order, until the platform's place moves over it, also after a restart."""

import asyncio

import pytest

from sandbox.book import Book
from sandbox.partner import Background
from sandbox.updates import Updates
from tests.support.sockets import until


@pytest.fixture
async def made(setting, tmp_path):
    background, books = Background(), []

    def make(**faults):
        books.append(Book(tmp_path / "updates.sqlite"))
        return Updates(setting(faults=faults), books[-1], background)

    yield make
    await background.stop()
    for book in books:
        book.close()


async def test_an_event_is_offered_until_the_place_moves_over_it_and_a_restart_changes_nothing(made):
    updates = made()
    for number in range(1, 4):
        updates.send(f"ev-{number}", {"EventNo": f"ev-{number}"})
    assert [position for position, _ in updates.pull(None, 2)] == [1, 2]
    assert [position for position, _ in updates.pull(2, 9)] == [3]
    updates.confirm(2, {2: "CHN-04"})
    updates.confirm(1, {})
    again = made()
    assert (again.place, again.last) == (2, 3)
    assert again.pull(None, 9) == [(3, {"EventNo": "ev-3"})]
    assert [(event["answer"], event.get("rule")) for event in again.book.all("callback")] == [
        (200, ""), (422, "CHN-04"), (None, None)]


async def test_a_place_beyond_the_list_is_refused(made):
    updates = made()
    updates.send("ev-1", {})
    with pytest.raises(ValueError, match="Position"):
        updates.confirm(2, {})
    assert updates.place == 0


async def test_a_late_event_stands_behind_the_ones_that_follow_it_and_a_restart_does_not_lose_it(made):
    updates = made(late_callback_next=2)
    for event in ("late", "lost", "on time"):
        updates.send(event, {"EventNo": event})
    assert [body["EventNo"] for _, body in updates.pull(None, 9)] == ["on time"]
    again = made()
    again.resume()
    assert [body["EventNo"] for _, body in again.pull(None, 9)] == ["on time", "late", "lost"]
    await asyncio.sleep(0)


async def test_an_event_that_comes_twice_has_the_same_content_under_another_position(made):
    updates = made(duplicate_callback=1)
    updates.send("ev-1", {"EventNo": "ev-1"})
    assert updates.pull(None, 9) == [(1, {"EventNo": "ev-1"}), (2, {"EventNo": "ev-1"})]


async def test_a_late_event_comes_by_itself(made):
    updates = made(late_callback_next=1)
    updates.send("late", {"EventNo": "late"})
    assert updates.last == 0
    await until(lambda: updates.last == 1)
