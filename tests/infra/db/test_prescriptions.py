"""The queue: nobody's work is done twice, and nobody is left out."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from domain.events import Event
from domain.fulfilment.wishes import WishKind
from domain.lifecycle import Status
from domain.prescription import RxKind
from infra.db import Database, history, prescriptions, wishes
from infra.db.rows import PrescriptionRow
from tests.support.records import MINUTE, NOW, admit, admitted, at_once


def take(db: Database, owner: str = "a", *, at: datetime = NOW, lease: timedelta = MINUTE, limit: int = 10) -> list[str]:
    with db.transaction() as session:
        return [due.id for due in prescriptions.lease_due(session, owner, at=at, lease=lease, limit=limit)]


def end(db: Database, owner: str, *ids: str) -> None:
    with db.transaction() as session:
        prescriptions.release(session, owner, ids)


def test_what_is_claimed_is_nobody_elses_until_the_lease_is_over(db: Database) -> None:
    head = admitted(db)
    assert take(db, "a") == [head.id]
    assert take(db, "b", at=NOW + MINUTE) == []
    assert take(db, "b", at=NOW + MINUTE + timedelta(microseconds=1)) == [head.id]


def test_what_is_released_is_free(db: Database) -> None:
    head = admitted(db)
    take(db, "a")
    end(db, "a", head.id)
    assert take(db, "b") == [head.id]


def test_nobody_releases_or_renews_anothers_claim(db: Database) -> None:
    head = admitted(db)
    take(db, "a")
    end(db, "b", head.id)
    with db.transaction() as session:
        prescriptions.renew(session, "b", [head.id], until=NOW - MINUTE)
    assert take(db, "c") == []


def test_a_renewed_lease_lasts_longer(db: Database) -> None:
    head = admitted(db)
    take(db, "a")
    with db.transaction() as session:
        prescriptions.renew(session, "a", [head.id], until=NOW + 5 * MINUTE)
    assert take(db, "b", at=NOW + 2 * MINUTE) == []


def test_only_what_is_due_is_claimed_the_expedited_first_and_then_the_longest_due(db: Database) -> None:
    late = admitted(db, 1, at=NOW - MINUTE).id
    later = admitted(db, 2, at=NOW - 2 * MINUTE).id
    urgent = admitted(db, 3, kind=RxKind.EMERGENCY).id
    admitted(db, 4, at=NOW + MINUTE)
    assert take(db, limit=2) == [urgent, later]
    assert take(db) == [late]


def test_a_flood_from_one_hospital_leaves_the_others_their_share(db: Database) -> None:
    flood = [admitted(db, n, at=NOW - MINUTE, hospital="flood").id for n in range(1, 21)]
    small = [admitted(db, n, hospital="small").id for n in (31, 32)]
    tiny = admitted(db, 41, hospital="tiny").id
    taken = take(db, limit=9)
    assert {tiny, *small} < set(taken)
    assert [one for one in flood if one in taken] == flood[:6]


def test_an_event_may_move_a_prescription_to_a_chains_lane(db: Database) -> None:
    head = admitted(db, 1)
    with db.transaction() as session:
        assert prescriptions.lease_due(session, "a", at=NOW, lease=MINUTE, limit=1)[0].chain == ""
        history.append(session, head, actor="platform", event=Event.QUEUED, at=NOW, wake_at=NOW,
                       also={"lane": "jinan_first/ankang"})
        prescriptions.release(session, "a", [head.id])
        (due,) = prescriptions.lease_due(session, "a", at=NOW, lease=MINUTE, limit=1)
        assert (due.chain, due.lane) == ("ankang", f"{due.hospital}/ankang")


def test_a_lane_that_is_full_is_left_alone(db: Database) -> None:
    admitted(db, 1, hospital="slow")
    other = admitted(db, 2, hospital="other").id
    with db.transaction() as session:
        due = prescriptions.lease_due(session, "a", at=NOW, lease=MINUTE, limit=9, without=["slow/"])
    assert [one.id for one in due] == [other]


def test_a_cancel_goes_before_the_flood_and_so_does_what_failed_but_they_get_half_the_room(db: Database) -> None:
    flood = [admitted(db, n, at=NOW - MINUTE, hospital="flood").id for n in range(1, 11)]
    cancelled, failed = admitted(db, 21), admitted(db, 22)
    with db.transaction() as session:
        wishes.make(session, "jinan_first", "RX0021", prescription_id=cancelled.id, kind=WishKind.CANCEL, by="hospital:jinan_first",
                    reason="patient", at=NOW)
        history.append(session, failed, actor="platform", event=Event.QUEUED, at=NOW, wake_at=NOW, attempts=1)
    assert take(db, limit=4)[:2] == [cancelled.id, failed.id]
    assert take(db, limit=4) == flood[2:6]


def test_what_sleeps_is_not_due_until_it_is_woken(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        history.wait(session, head, until=None, waiting_for="nobody")
    assert take(db) == []
    with db.transaction() as session:
        prescriptions.wake(session, head.id, NOW)
    assert take(db) == [head.id]


def test_waking_never_puts_anything_off(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        prescriptions.wake(session, head.id, NOW + MINUTE)
    assert take(db) == [head.id]


def test_what_has_ended_stays_asleep(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        history.append(session, head, to=Status.CANCELLED, actor="platform", event=Event.QUEUED, at=NOW, wake_at=None)
        prescriptions.wake(session, head.id, NOW)
    assert take(db) == []


def test_what_nobody_will_wake_is_found(db: Database) -> None:
    asleep, _awake = admitted(db, 1), admitted(db, 2)
    with db.transaction() as session:
        history.wait(session, asleep, until=None, waiting_for="nobody")
    with db.reading() as session:
        assert prescriptions.forgotten(session, [Status.RECEIVED]) == [asleep.id]
        assert prescriptions.forgotten(session, [Status.FULFILLED]) == []


def test_many_workers_at_once_claim_everything_once(db: Database) -> None:
    with db.transaction() as session:
        ids = [admit(session, number).id for number in range(1, 41)]

    def worker(name: str) -> list[str]:
        mine: list[str] = []
        while batch := take(db, name, limit=3):
            mine += batch
        return mine

    claimed = at_once(*(lambda name=name: worker(name) for name in "abcdef"))
    assert all(isinstance(mine, list) for mine in claimed), claimed
    # An empty look may have been at rows others were just claiming; what is left is due to the next who looks.
    everything = [rx_id for mine in claimed if isinstance(mine, list) for rx_id in mine] + worker("last")
    assert sorted(everything) == sorted(ids)


def test_a_worker_does_not_wait_for_rows_another_is_claiming(postgres_db: Database) -> None:
    db = postgres_db
    first, second = admitted(db, 1, at=NOW - MINUTE), admitted(db, 2)
    with db.transaction() as session:
        prescriptions.lease_due(session, "a", at=NOW, lease=MINUTE, limit=1)
        assert take(db, "b") == [second.id]
    assert take(db, "c", at=NOW + 2 * MINUTE) == [first.id, second.id]


def test_an_id_we_never_gave_out_is_a_key_error(db: Database) -> None:
    with pytest.raises(KeyError), db.reading() as session:
        prescriptions.load(session, "rx_unknown")


def test_one_paper_is_admitted_once(db: Database) -> None:
    admitted(db)
    with pytest.raises(sa.exc.IntegrityError):
        admitted(db)


def test_the_same_patient_comes_several_times_at_once(db: Database) -> None:
    found = at_once(*(lambda number=number: admitted(db, number) for number in (1, 2, 3)))
    assert all(isinstance(head, history.Head) for head in found), found
    with db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(PrescriptionRow)) == 3


def test_one_prescription_is_leased_due_or_not_unless_somebody_works_on_it(db: Database) -> None:
    head = admitted(db, at=NOW + 60 * MINUTE)

    def lease(owner: str, at: datetime = NOW) -> bool:
        with db.transaction() as session:
            return prescriptions.lease(session, head.id, owner, at=at, until=at + MINUTE)

    assert [lease("a"), lease("b"), lease("b", NOW + 2 * MINUTE)] == [True, False, True]
    assert sorted(at_once(*(lambda: lease("c", NOW + 9 * MINUTE),) * 3), key=str) == [False, False, True]


def test_what_cannot_be_read_is_set_aside_with_its_trouble(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        prescriptions.set_aside(session, head.id, until=NOW + MINUTE, trouble="ValidationError")
    assert take(db) == []
    with db.transaction() as session:
        (due,) = prescriptions.lease_due(session, "a", at=NOW + MINUTE, lease=MINUTE, limit=1)
    assert (due.id, due.attempts) == (head.id, 1)
