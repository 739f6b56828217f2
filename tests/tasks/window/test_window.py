"""What Prefect shows stays right whatever happens between two steps of the drawing; with a Prefect in memory."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from domain.chains import ChainWord
from domain.errors import Refused
from domain.lifecycle import Status
from flows.window import REFUSALS, STRAYS_SECONDS, Window
from infra.db import prescriptions, views
from infra.db.views.boards import NEEDS
from tasks import window
from tasks.line import hop
from tasks.window import key_of
from tests.support.city import admit, cancel_by_hospital, make_settings
from tests.support.fakes import FakePrefect


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


class Locked(FakePrefect):
    """Its database is locked at times: it refuses a state and keeps the run as it was."""

    locked = False

    async def request(self, method, path, json):
        if self.locked and path == "/flow_runs/bulk_set_state":
            return SimpleNamespace(content=b"{}", json=lambda: {"results": [
                {"flow_run_id": run, "status": "ABORT"} for run in json["flow_runs"]["id"]["any_"]]})
        return await super().request(method, path, json)


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


def test_what_needs_no_run_is_passed_over_at_the_pace_of_drawing(line, tmp_path):
    admit(line.city, 3)
    prefect = FakePrefect()
    assert draw(drawer(line, tmp_path, window="people"), prefect) == 3
    assert prefect.runs == {}
    assert window.backlog(line.city) == 0


def test_what_was_over_before_prefects_retention_gets_no_run_when_drawing_begins(line, tmp_path):
    over, waits = admit(line.city, 2)
    cancel_by_hospital(line.city, 1)
    asyncio.run(hop(line.city, over))
    assert line.status(over) is Status.CANCELLED
    line.clock.advance(days=22)
    prefect = FakePrefect()
    assert draw(drawer(line, tmp_path), prefect) == 2
    assert list(prefect.runs) == [key_of(waits)]


def test_a_run_that_was_there_already_gets_the_tag_of_the_chain_that_has_the_order_since(line, tmp_path):
    (rx_id,) = admit(line.city)
    prefect, drawing = Locked(), drawer(line, tmp_path)
    draw(drawing, prefect)
    asyncio.run(hop(line.city, rx_id))
    line.review(rx_id)
    asyncio.run(hop(line.city, rx_id))
    prefect.locked = True
    draw(drawing, prefect)
    prefect.locked = False
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "RUNNING With the pharmacy"
    assert any(tag.startswith("chain:") for tag in prefect.runs[key_of(rx_id)]["tags"])


@pytest.mark.parametrize("moved", [
    {"type": "COMPLETED", "name": "Completed", "message": "declared to be over on its page"},
    {"type": "RUNNING", "name": "Running", "message": "", "timestamp": "2026-11-01T00:00:00+00:00"},
    {"type": "CRASHED", "name": "Crashed", "message": "", "timestamp": "2026-11-01T00:00:00+00:00"},
    None,
], ids=["declared to be over", "a retry whose process was killed", "crashed", "deleted as old"])
def test_a_red_run_that_somebody_moved_is_red_again_while_its_prescription_needs_a_person(line, tmp_path, moved):
    (rx_id,) = admit(line.city)
    asyncio.run(hop(line.city, rx_id))
    line.clock.advance(seconds=line.city.policy.review_target.total_seconds() + 1)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "FAILED Needs a person"
    if moved:
        prefect.runs[key_of(rx_id)]["state"] = moved
    else:
        del prefect.runs[key_of(rx_id)]
    drawing._strays_at = -STRAYS_SECONDS * 1_000_000
    draw(drawing, prefect)
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "FAILED Needs a person"


def test_a_red_run_that_is_being_retried_is_left_alone(line, tmp_path):
    (rx_id,) = admit(line.city)
    asyncio.run(hop(line.city, rx_id))
    line.clock.advance(seconds=line.city.policy.review_target.total_seconds() + 1)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    draw(drawing, prefect)
    prefect.runs[key_of(rx_id)]["state"] = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": ""}
    drawing._strays_at = -STRAYS_SECONDS * 1_000_000
    assert draw(drawing, prefect) == 0
    assert state_of(prefect, rx_id) == "SCHEDULED AwaitingRetry"


def test_work_goes_first_only_until_any_change_has_waited_too_long(line, tmp_path):
    old, young = admit(line.city, 2)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    draw(drawing, prefect)
    line.clock.advance(seconds=10)
    asyncio.run(hop(line.city, young))
    line.clock.advance(seconds=29)
    asyncio.run(hop(line.city, old))
    admit(line.city)
    line.clock.advance(seconds=3)
    # The younger one's change has waited for 32 s, the older one's for 3 s, and a third prescription waits for a worker.
    assert draw(drawing, prefect) == 3


def test_work_goes_on_while_a_worker_has_what_was_due_and_the_drawing_can_wait(line):
    (rx_id,) = admit(line.city)
    assert not window.work_goes_on(line.city, timedelta(seconds=30))
    line.clock.advance(seconds=3)
    with line.city.db.transaction() as session:
        prescriptions.lease_due(session, "worker-1", at=line.city.now(), lease=timedelta(seconds=60), limit=1)
    assert window.work_goes_on(line.city, timedelta(seconds=30))
    assert not window.work_goes_first(line.city, timedelta(seconds=30)), "nobody waits for a worker"
    assert not window.work_goes_on(line.city, timedelta(seconds=2)), "the drawing has waited too long"
    assert window.work_goes_on(line.city, timedelta(seconds=30), timedelta(seconds=13)), "3 s and twice 13 s"
    assert not window.work_goes_on(line.city, timedelta(seconds=30), timedelta(seconds=14)), "it would take too long"
    asyncio.run(hop(line.city, rx_id))
    assert not window.work_goes_on(line.city, timedelta(seconds=30)), "a pharmacist has it"


@pytest.mark.parametrize("ends", ["the drawing has waited too long", "the work is done"])
def test_drawing_leaves_the_machine_to_work_only_while_it_goes_on_and_the_drawing_can_wait(line, tmp_path, ends):
    (rx_id,) = admit(line.city)
    line.clock.advance(seconds=3)

    async def rest() -> None:
        resting = asyncio.create_task(drawer(line, tmp_path, window_seconds=0.01)._leave_to_work(1_000_000))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not resting.done()
        if ends == "the work is done":
            await hop(line.city, rx_id)
        else:
            line.clock.advance(seconds=30)
        for _ in range(1000):  # well before half of a turn is over
            if resting.done():
                break
            await asyncio.sleep(0.01)
        assert resting.done()

    asyncio.run(rest())


class Refusing(FakePrefect):
    """Knows its deployments, and takes nothing else."""

    async def request(self, method, path, json):
        if path == "/flow_runs/filter":
            return await super().request(method, path, json)
        raise OSError("refused")


def concerns(line) -> set[str]:
    with line.city.db.reading() as session:
        return {one.kind for one in views.board(session, line.city.now(), line.city.policy).concerns}


def test_the_board_says_so_when_turns_are_taken_and_nothing_is_drawn(line, tmp_path):
    admit(line.city)
    drawing = drawer(line, tmp_path)
    draw(drawing, FakePrefect())
    line.clock.advance(hours=1)
    admit(line.city)
    stopped = []
    for minutes in (1, 5, 7):
        line.clock.advance(minutes=minutes)
        with pytest.raises(OSError, match="refused"):
            draw(drawing, Refusing())
        stopped.append("window_stopped" in concerns(line))
    assert stopped == [False, False, True]


def test_nobody_is_told_that_drawing_ceased_where_nothing_is_to_be_drawn(line, tmp_path):
    admit(line.city)
    draw(drawer(line, tmp_path), FakePrefect())
    asyncio.run(drawer(line, tmp_path, window="none").keep_drawing())
    admit(line.city)
    line.clock.advance(hours=1)
    assert "window_stopped" not in concerns(line)
    assert draw(drawer(line, tmp_path), FakePrefect()) == 1


class Anew(FakePrefect):
    """Its database was lost: its flow has another id, and it has no runs."""

    async def read_deployment_by_name(self, name):
        return SimpleNamespace(id="deployment", flow_id="another", name=name)


def test_in_another_database_of_prefects_all_that_is_not_over_is_drawn_set_back_part_by_part(line, tmp_path, monkeypatch):
    ids, first, drawing = admit(line.city, 5), FakePrefect(), drawer(line, tmp_path)
    draw(drawing, first)
    cancel_by_hospital(line.city, 1)
    asyncio.run(hop(line.city, ids[0]))
    draw(drawing, first)
    line.clock.advance(days=22)
    monkeypatch.setattr(window, "PART", 2)
    prefect = Anew()
    assert draw(drawer(line, tmp_path), prefect) == 4
    assert set(prefect.runs) == set(map(key_of, ids[1:]))


def test_after_a_loss_of_prefects_database_what_is_open_is_drawn_before_what_has_ended_the_newest_first(line, tmp_path):
    ended = admit(line.city, 2)
    for number, rx_id in enumerate(ended, 1):
        cancel_by_hospital(line.city, number)
        line.hop(rx_id)
    still_open = []
    for _ in range(2):
        line.clock.advance(hours=1)
        still_open += admit(line.city)
    draw(drawer(line, tmp_path), FakePrefect())
    assert window.our_turn(line.city, "test-worker", "another")
    turns = [{one.id for one in window.to_draw(line.city, "", limit=count)} for count in (1, 2, 4, 5)]
    assert turns == [set(still_open[1:]), set(still_open), {*still_open, *ended}, {*still_open, *ended}]


@pytest.mark.parametrize("damage", [
    "UPDATE history SET to_status = 'lost' WHERE prescription_id = :id AND seq = 1",
    "UPDATE history SET at = 'yesterday' WHERE prescription_id = :id AND seq = 1",
    "UPDATE history SET at = '2026-11-22T09:00:00' WHERE prescription_id = :id AND seq = 2",
    "DELETE FROM history WHERE prescription_id = :id AND seq = 1",
    "DELETE FROM history WHERE prescription_id = :id AND seq = 2",
    "DELETE FROM history WHERE prescription_id = :id",
], ids=["unknown status", "no moment", "no zone", "no first row", "no last row", "no rows"])
def test_a_history_that_cannot_be_read_is_told_once_and_passed_over_and_the_others_are_drawn(line, tmp_path, damage):
    damaged, whole = admit(line.city, 2)
    line.hop(damaged)
    with line.city.db.transaction() as session:
        session.execute(sa.text(damage), {"id": damaged})
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    with capture_logs() as logs:
        for _ in range(3):
            draw(drawing, prefect)
    assert list(prefect.runs) == [key_of(whole)]
    assert [(one["prescription"], one["code"]) for one in logs if one["event"] == "window.passed_over"] == [
        (damaged, "history_unreadable")]
    assert window.backlog(line.city) == 0
    assert "history_unreadable" in concerns(line)


def test_a_damaged_history_that_needs_a_person_takes_no_place_in_each_pass(line, tmp_path):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    with line.city.db.transaction() as session:
        session.execute(sa.text("UPDATE history SET to_status = 'lost' WHERE seq = 1"))
    line.clock.advance(seconds=line.city.policy.review_target.total_seconds() + 1)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    with capture_logs() as logs:
        for _ in range(3):
            draw(drawing, prefect)
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["window.passed_over"]


def test_a_history_that_was_restored_is_drawn_when_it_is_to_be_drawn_anew(line, tmp_path):
    (rx_id,) = admit(line.city)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    for status in ("lost", "received"):
        with line.city.db.transaction() as session:
            session.execute(sa.text("UPDATE history SET to_status = :status"), {"status": status})
        window.draw_again(line.city, [rx_id])
        draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "RUNNING In audit"
    assert not concerns(line)


class Choosy(FakePrefect):
    """Makes no runs of some prescriptions."""

    def __init__(self, *refused) -> None:
        super().__init__()
        self.refused = {key_of(rx_id) for rx_id in refused}

    def _answer(self, method, path, body):
        if not path.endswith("/create_flow_run/bulk"):
            return super()._answer(method, path, body)
        taken = iter(super()._answer(method, path, [one for one in body if one["idempotency_key"] not in self.refused])["results"])
        return {"results": [{"flow_run_id": None, "status": "FAILED", "error": "'Zhang San' is not valid"}
                            if one["idempotency_key"] in self.refused else next(taken) for one in body]}


def test_what_prefect_makes_no_run_of_is_told_and_holds_up_nobody_and_is_tried_again_later(line, tmp_path, monkeypatch):
    refused = admit(line.city, 3)
    line.clock.advance(minutes=1)
    (waits,) = admit(line.city)
    line.clock.advance(minutes=1)  # Work goes first no longer.
    prefect, drawing = Choosy(*refused), drawer(line, tmp_path)
    monkeypatch.setattr(window.to_draw, "__defaults__", (3,))
    with capture_logs() as logs:
        for _ in range(REFUSALS + 1):
            draw(drawing, prefect)
    assert list(prefect.runs) == [key_of(waits)]
    told = [one for one in logs if one["event"] == "window.passed_over"]
    assert {(one["prescription"], one["code"]) for one in told} == {(rx_id, "run_refused") for rx_id in refused}
    assert "Zhang" not in str(logs)
    assert "run_refused" in concerns(line)
    prefect.refused.clear()
    line.clock.advance(seconds=31)  # Work goes first no longer.
    drawing._strays_at = -STRAYS_SECONDS * 1_000_000
    draw(drawing, prefect)
    assert [state_of(prefect, rx_id) for rx_id in refused] == ["RUNNING In audit"] * 3
    assert "run_refused" not in concerns(line)


def test_a_prefect_whose_database_is_locked_refuses_all_and_nobody_is_passed_over(line, tmp_path):
    refused = admit(line.city, 3)
    prefect, drawing = Choosy(*refused), drawer(line, tmp_path)
    for _ in range(REFUSALS - 1):
        assert draw(drawing, prefect) == 0
    assert "run_refused" not in concerns(line)
    assert window.backlog(line.city) == 3
    prefect.refused.clear()
    assert draw(drawing, prefect) == 3
    assert window.backlog(line.city) == 0


def needs(line) -> set[str]:
    """What people must act on, by the runs in Prefect and by the board."""
    with line.city.db.reading() as session:
        by_prefect = set(views.needing_people(session, line.city.now(), line.city.policy, 20).values())
    assert by_prefect == concerns(line) & NEEDS.keys()
    return by_prefect


def test_a_pharmacy_that_neither_answers_nor_gives_an_order_back_is_red_until_it_answers(line, tmp_path, monkeypatch):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)

    async def refused(*_):
        raise Refused("it is being packed", code="too_late")

    monkeypatch.setattr(line.chain(placed.order.chain), "cancel", refused)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    line.clock.advance(seconds=(placed.accept_by - line.clock()).total_seconds() - 1)
    line.hop(rx_id)
    assert needs(line) == set()
    line.clock.advance(seconds=1)
    line.hop(rx_id)
    assert needs(line) == {"acceptance_overdue"}
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "FAILED Needs a person"
    line.say(rx_id, ChainWord.PREPARED)
    assert needs(line) == set()
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "RUNNING With the pharmacy"


def test_medicine_that_is_under_way_too_long_is_red_until_it_is_handed_over(line, tmp_path):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.ACCEPTED)
    line.say(rx_id, ChainWord.IN_DELIVERY)
    line.hop(rx_id)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    line.clock.advance(seconds=(line.order(rx_id).fulfil_by - line.clock()).total_seconds() - 1)
    line.hop(rx_id)
    assert needs(line) == set()
    line.clock.advance(seconds=1)
    line.hop(rx_id)
    assert needs(line) == {"receipt_overdue"}
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "FAILED Needs a person"
    line.say(rx_id, ChainWord.HANDED_OVER)
    assert needs(line) == set()
    draw(drawing, prefect)
    assert state_of(prefect, rx_id) == "RUNNING With the pharmacy"


@pytest.mark.parametrize("again", [
    lambda city, rx_id: window.draw_again(city, [rx_id]),
    lambda city, rx_id: window.prefect_forgot(city, city.now() - timedelta(hours=6)),
    lambda city, rx_id: window.our_turn(city, "test-worker", "another"),
], ids=["retried", "Prefect was away", "Prefect lost its database"])
def test_the_lag_is_that_of_what_is_new_and_not_the_age_of_what_is_drawn_again(line, tmp_path, again):
    (rx_id,) = admit(line.city)
    prefect, drawing = FakePrefect(), drawer(line, tmp_path)
    with capture_logs() as logs:
        draw(drawing, prefect)
        line.clock.advance(hours=5)
        for news in (False, True):
            again(line.city, rx_id)
            again(line.city, rx_id)
            if news:
                line.hop(rx_id)
                line.clock.advance(seconds=3)
            assert draw(drawing, prefect) == 1
    lags = [one["lag"] for one in logs if one["event"] == "window.drawn"]
    assert lags == [0.0, 0.0, 3.0]
    assert window.backlog(line.city) == 0
