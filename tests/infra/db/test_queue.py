"""How much of what is due one worker leases, when there are several."""

from datetime import timedelta

import pytest

from infra.db import Database, prescriptions, processes
from infra.db.processes import GONE, Process
from infra.db.queue import Queue, look, portion
from tests.support.records import MINUTE, NOW, admit, admitted, at_once

KIND = "worker"


@pytest.mark.parametrize(("queue", "room", "slow", "leases"), [
    pytest.param(Queue(0, 1), 100, 0, 0, id="nothing is due"),
    pytest.param(Queue(60, 1), 100, 0, 60, id="alone: all there is"),
    pytest.param(Queue(100, 1), 100, 0, 100, id="alone: a full batch"),
    pytest.param(Queue(400, 4), 100, 0, 100, id="work for all: a full batch"),
    pytest.param(Queue(400, 4, leased=900, own=200), 100, 0, 100, id="work for all: another full batch beside the first"),
    pytest.param(Queue(399, 4), 100, 0, 100, id="a hundred each"),
    pytest.param(Queue(299, 4, leased=100, own=100), 100, 0, 0, id="it has its share: the rest is the others'"),
    pytest.param(Queue(299, 4, leased=100), 100, 0, 100, id="another one has its share: the same for us"),
    pytest.param(Queue(99, 4, leased=300), 100, 0, 99, id="the last one takes what is left"),
    pytest.param(Queue(200, 4), 100, 0, 50, id="half a batch each"),
    pytest.param(Queue(60, 4), 100, 0, 25, id="a quarter of a batch is the least"),
    pytest.param(Queue(35, 4, leased=25, own=25), 100, 0, 0, id="the least, and it has it"),
    pytest.param(Queue(10, 4), 100, 0, 10, id="less than the least is not divided"),
    pytest.param(Queue(1, 4, leased=400, own=100), 100, 0, 1, id="all have as much: an emergency is taken all the same"),
    pytest.param(Queue(1, 4, leased=160, own=100), 100, 0, 0, id="others have less: it is theirs"),
    pytest.param(Queue(40, 2, leased=200, own=200), 100, 200, 25, id="what waits for a slow partner is no work of ours"),
    pytest.param(Queue(40, 2, leased=240, own=240), 100, 200, 0, id="but what does not wait is"),
    pytest.param(Queue(40, 2, leased=10, own=10), 100, 30, 25, id="slow ones whose time has moved on are not counted twice"),
    pytest.param(Queue(3, 2), 1, 0, 1, id="batches of one"),
])
def test_a_portion(queue: Queue, room: int, slow: int, leases: int) -> None:
    assert portion(queue, room, slow) == leases


def test_whoever_has_least_may_always_take_something() -> None:
    for workers in range(1, 6):
        for due in range(1, 60, 7):
            for own in range(0, 50, 3):
                assert portion(Queue(due, workers, leased=workers * own, own=own), room=10) > 0


def enter(db: Database, *workers: str, heard: timedelta = timedelta()) -> None:
    with db.transaction() as session:
        for name in workers:
            processes.enter(session, Process(KIND, name, "host", 1, "0.1.0", NOW, NOW - heard))


def claim(db: Database, worker: str, room: int) -> int:
    """What a dispatcher does."""
    with db.reading() as session:
        count = portion(look(session, worker, kind=KIND, at=NOW, room=room), room)
    with db.transaction() as session:
        return len(prescriptions.lease_due(session, f"{worker}/{count}", at=NOW, lease=MINUTE, limit=count)) if count else 0


def burst(db: Database, count: int) -> None:
    with db.transaction() as session:
        for number in range(1, count + 1):
            admit(session, number)


WORKERS = ("w-1", "w-2", "w-3", "w-4")


def test_four_workers_share_a_burst_though_each_looks_twice_before_the_next(db: Database) -> None:
    enter(db, *WORKERS)
    burst(db, 80)
    assert [[claim(db, worker, 25), claim(db, worker, 25)] for worker in WORKERS] == [[20, 0]] * 4


def test_four_workers_that_look_at_the_same_time_leave_none_without_work(postgres_db: Database) -> None:
    db = postgres_db
    enter(db, *WORKERS)
    burst(db, 80)
    taken = at_once(*(lambda worker=worker: [claim(db, worker, 25), claim(db, worker, 25)] for worker in WORKERS))
    mine = [sum(each) if isinstance(each, list) else each for each in taken]
    assert all(isinstance(count, int) and count <= 20 for count in mine), taken
    # Two may have chosen the same rows; those that came too late look again.
    while more := sum(claim(db, worker, 25) for worker in WORKERS):
        mine.append(more)
    assert sum(count for count in mine if isinstance(count, int)) == 80


def test_one_worker_alone_leases_a_full_batch(db: Database) -> None:
    enter(db, "w-1")
    burst(db, 30)
    assert [claim(db, "w-1", 25), claim(db, "w-1", 25)] == [25, 5]


def test_a_worker_that_is_on_no_list_is_alone(db: Database) -> None:
    burst(db, 30)
    assert claim(db, "w-1", 25) == 25


def test_a_worker_that_died_keeps_no_share(db: Database) -> None:
    enter(db, "w-1")
    enter(db, "w-2", heard=GONE)
    burst(db, 25)
    assert claim(db, "w-1", 25) == 25


def test_other_processes_are_no_workers(db: Database) -> None:
    enter(db, "w-1")
    with db.transaction() as session:
        processes.enter(session, Process("gateway", "g-1", "host", 1, "0.1.0", NOW, NOW))
    burst(db, 25)
    assert claim(db, "w-1", 25) == 25


def test_the_queue_counts_who_has_what(db: Database) -> None:
    enter(db, "w-1", "w-2")
    burst(db, 12)
    admitted(db, 99, at=NOW + MINUTE)
    with db.transaction() as session:
        for owner, limit in (("w-1/a", 3), ("w-1/b", 2), ("w-10/c", 1), ("w-2/d", 1)):
            prescriptions.lease_due(session, owner, at=NOW, lease=MINUTE, limit=limit)
    with db.reading() as session:
        assert look(session, "w-1", kind=KIND, at=NOW, room=9) == Queue(due=5, workers=2, leased=7, own=5)
        assert look(session, "w-1", kind=KIND, at=NOW, room=2) == Queue(due=4, workers=2)
        later = look(session, "w-1", kind=KIND, at=NOW + 2 * MINUTE, room=99)
    assert later == Queue(due=13, workers=1)
