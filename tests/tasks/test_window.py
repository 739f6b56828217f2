"""What Prefect shows stays right whatever happens between two steps of the drawing; with a Prefect in memory."""

import asyncio

import pytest

from flows.window import Window, key_of
from tasks import window
from tasks.line import hop
from tests.city import admit, make_city, make_settings
from tests.fakes import FakePrefect
from tests.tasks.line import Line


@pytest.fixture
def line(tmp_path):
    return Line(make_city(tmp_path))


def drawer(line, tmp_path, **given):
    return Window(line.city, make_settings(tmp_path, **{"worker": "test-worker", **given}))


def draw(drawing, prefect) -> int:
    return asyncio.run(drawing.draw(prefect))


def state_of(prefect, rx_id) -> str:
    state = prefect.runs[key_of(rx_id)]["state"]
    return f"{state['type']} {state['name']}"


class RetryEndsMeanwhile(FakePrefect):
    """A retry of a run ends while it is drawn: the run shows Prefect's own end, and is to be drawn again."""

    def __init__(self, city) -> None:
        super().__init__()
        self.city = city
        self.retried = ""

    async def request(self, method, path, json):
        answer = await super().request(method, path, json)
        if path == "/events" and self.retried:
            self.runs[key_of(self.retried)]["state"] = {"type": "COMPLETED", "name": "Waiting: in_review", "message": ""}
            window.draw_again(self.city, [self.retried])
            self.retried = ""
        return answer


def test_a_retry_that_ends_while_its_run_is_drawn_leaves_the_run_where_the_prescription_is(line, tmp_path):
    (rx_id,) = admit(line.city)
    prefect, drawing = RetryEndsMeanwhile(line.city), drawer(line, tmp_path)
    draw(drawing, prefect)
    asyncio.run(hop(line.city, rx_id))
    prefect.retried = rx_id
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "COMPLETED Waiting: in_review"
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "RUNNING In review"
    assert window.backlog(line.city) == 0


def test_who_takes_over_draws_again_what_was_drawn_last_and_not_all_since_it_began_to_stand_by(line, tmp_path):
    admit(line.city, 3)
    prefect, first, standby = FakePrefect(), drawer(line, tmp_path), drawer(line, tmp_path, worker="standby")
    assert draw(first, prefect) == 3
    assert draw(standby, prefect) == 0
    line.clock.advance(hours=5)
    admit(line.city)
    line.clock.advance(seconds=31)  # Work, which waits since hours, goes first no longer.
    assert draw(first, prefect) == 1
    assert draw(standby, prefect) == 0
    line.clock.advance(seconds=61)
    assert draw(standby, prefect) == 1
