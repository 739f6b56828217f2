"""How a prescription's history becomes the stages and the state of its run in Prefect."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.lifecycle import FINAL, TRANSITIONS, Status
from domain.window import WORK, Move, RunType, stages, state, undrawn
from domain.words import Two

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)
S = Status


def walk(*path: Status) -> list[Move]:
    """One event a minute, from the reception."""
    starts = (S.RECEIVED, S.RECEIVED, *path)
    return [Move(NOW + timedelta(minutes=n), start, end, f"run-{n}")
            for n, (start, end) in enumerate(pairwise(starts), 1)]


def drawn(*path: Status) -> list[str]:
    return [f"{stage.name}{'' if stage.end else ' …'}" for stage in stages(walk(*path), NOW)]


FULFILLED = (S.AUDITED, S.IN_REVIEW, S.REVIEWED, S.ALLOCATING, S.FULFILLING, S.FULFILLED)


@pytest.mark.parametrize(("path", "expected"), [
    ((), ["intake", "audit …"]),
    ((S.AUDITED, S.IN_REVIEW), ["intake", "audit", "review …"]),
    ((S.AUDITED, S.IN_REVIEW, S.IN_REVIEW), ["intake", "audit", "review …"]),
    ((S.AUDITED, S.IN_REVIEW, S.RETURNED), ["intake", "audit", "review"]),
    ((S.REFUSED,), ["intake", "audit"]),
    (FULFILLED[:-1], ["intake", "audit", "review", "allocation", "delivery …"]),
    ((*FULFILLED, S.SETTLED), ["intake", "audit", "review", "allocation", "delivery", "settlement"]),
    ((*FULFILLED, S.SETTLED, S.CLOSED), ["intake", "audit", "review", "allocation", "delivery", "settlement"]),
    ((*FULFILLED[:-1], S.ALLOCATING, S.FULFILLING, S.FULFILLED),
     ["intake", "audit", "review", "allocation", "delivery", "allocation 2", "delivery 2", "settlement …"]),
    ((*FULFILLED, S.SETTLED, S.FULFILLED, S.SETTLED, S.FULFILLED),
     ["intake", "audit", "review", "allocation", "delivery", "settlement", "reversal", "reversal 2 …"]),
    ((S.AUDITED, S.IN_REVIEW, S.REVIEWED, S.ALLOCATING, S.EXPIRED), ["intake", "audit", "review", "allocation"]),
])
def test_a_history_becomes_stages(path, expected):
    assert drawn(*path) == expected


def test_a_stage_has_the_times_of_the_history_and_the_run_that_ended_it():
    intake, audit, review = stages(walk(S.AUDITED, S.IN_REVIEW), NOW)
    assert (intake.begin, intake.end) == (NOW, NOW + timedelta(minutes=1))
    assert (audit.begin, audit.end, audit.after, audit.run_id) == (
        NOW + timedelta(minutes=1), NOW + timedelta(minutes=2), S.AUDITED, "run-2")
    assert (review.begin, review.end, review.after) == (NOW + timedelta(minutes=2), None, None)


@st.composite
def walks(draw):
    path = [S.RECEIVED]
    for _ in range(draw(st.integers(0, 14))):
        choices = sorted(TRANSITIONS[path[-1]])
        if not choices:
            break
        path.append(draw(st.sampled_from([path[-1], *choices])))
    return path[1:]


@given(walks())
def test_stages_follow_one_another_and_only_the_last_may_last(path):
    made = stages(walk(*path), NOW)
    assert [one.kind for one in made[:2]] == ["intake", "audit"]
    assert all(one.end for one in made[:-1])
    assert all(before.end and before.end <= after.begin for before, after in pairwise(made))
    assert len({one.name for one in made}) == len(made)
    last = path[-1] if path else S.RECEIVED
    assert (made[-1].end is None) == bool(WORK[last])


@given(walks(), st.data())
def test_what_is_drawn_piece_by_piece_is_what_is_drawn_at_once(path, data):
    events = walk(*path)
    cut = data.draw(st.integers(1, len(events)))
    early, late = stages(events[:cut], NOW), stages(events, NOW)
    ended = sum(1 for one in early if one.end)
    assert early[:ended] == late[:ended]
    rest = undrawn(late, ended, ended < len(early))
    assert {one.name for one in late[ended:]} - {one.name for one in rest} <= {one.name for one in early if one.end is None}
    assert undrawn(late, sum(1 for one in late if one.end), late[-1].end is None) == []


def test_every_status_has_a_state_and_no_status_alone_is_red():
    for status in Status:
        shown = state(status)
        assert shown.name
        assert " · " in shown.message
        assert (shown.type is RunType.RUNNING) == (status not in FINAL | {S.SETTLED})
        assert shown.type is not RunType.FAILED


def test_who_waits_for_the_patient_says_so_while_no_pharmacy_has_an_order():
    assert state(S.ALLOCATING, waiting_for="choice").name == "Waiting for the patient's choice"
    assert state(S.ALLOCATING, waiting_for="filler").name == "Looking for a pharmacy"
    assert state(S.FULFILLING, waiting_for="choice").name == "With the pharmacy"


def test_who_needs_a_person_is_red_with_the_reason_and_the_page():
    shown = state(S.IN_REVIEW, Two("药师", "a pharmacist"), "http://gateway/rx/rx_1")
    assert shown == (RunType.FAILED, "Needs a person", "药师 · a pharmacist · http://gateway/rx/rx_1")
