"""The tables are total, and final means what it says."""

import pytest

from domain.lifecycle import (
    DEADLINES,
    FINAL,
    MONEY_TRANSITIONS,
    OWNERS,
    STAGES,
    TRANSITIONS,
    Money,
    Owner,
    Status,
    diagram,
)


@pytest.mark.parametrize("table", [TRANSITIONS, OWNERS, DEADLINES, STAGES])
def test_every_status_is_in_every_table(table):
    assert set(table) == set(Status)


def test_final_statuses_are_the_ones_nobody_owns():
    assert {status for status, owner in OWNERS.items() if owner is Owner.NOBODY} == FINAL


def test_every_status_can_be_reached_from_the_first():
    reached, frontier = {Status.RECEIVED}, [Status.RECEIVED]
    while frontier:
        for nxt in TRANSITIONS[frontier.pop()] - reached:
            reached.add(nxt)
            frontier.append(nxt)
    assert reached == set(Status)


def test_from_every_status_some_end_can_be_reached():
    can_end = set(FINAL)
    while True:
        more = {status for status, moves in TRANSITIONS.items() if moves & can_end} | can_end
        if more == can_end:
            break
        can_end = more
    assert can_end == set(Status)


def test_what_was_handed_over_can_only_be_settled():
    assert TRANSITIONS[Status.FULFILLED] == {Status.SETTLED}


def test_money_has_a_total_table():
    assert set(MONEY_TRANSITIONS) == set(Money)


def test_the_diagram_shows_every_move():
    assert all(f"{start} --> {end}" in diagram() for start, ends in TRANSITIONS.items() for end in ends)
