"""What the benchmarks measure with: a null city that reaches the end, and CPU that is not lost with its process."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import sqlalchemy as sa

from benchmarks.lifecycle import Measured, verdict
from benchmarks.rig import contender
from benchmarks.rig.city import null_city
from benchmarks.rig.cost import cpu_seconds, percentile
from domain.lifecycle import Status
from infra.db import prescriptions
from infra.db.rows import DiscrepancyRow
from tasks.line import hop
from tasks.reports import deliver_due
from tests.support.city import admit


def measured(name: str, seconds: float, size: float = 0) -> Measured:
    return Measured(name, 100, seconds, 0.001, 0, 0, 7, 0, 0, 0, size)


def status(city, rx_id):
    with city.db.reading() as session:
        return prescriptions.load(session, rx_id).status


def test_people_who_hear_from_the_outbox_bring_a_prescription_to_its_settlement(tmp_path):
    city = null_city(tmp_path, f"sqlite:///{tmp_path / 'sanyi.db'}", people=True)
    (rx_id,) = admit(city, at=city.now())
    for _ in range(4):
        asyncio.run(hop(city, rx_id))
        while asyncio.run(deliver_due(city)):
            pass
    assert status(city, rx_id) is Status.SETTLED


def test_the_baselines_route_reaches_the_same_end_and_nothing_differs_from_our_forecast(tmp_path):
    city = null_city(tmp_path, f"sqlite:///{tmp_path / 'sanyi.db'}", people=False)
    (rx_id,) = admit(city, at=city.now())
    asyncio.run(contender._to_settled(city, rx_id, lambda step, rx_id: step(city, rx_id)))
    assert status(city, rx_id) is Status.SETTLED
    with city.db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(DiscrepancyRow)) == 0


def test_the_cpu_of_a_process_that_has_ended_still_counts():
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert cpu_seconds(os.getpid()) - before > 0.25


def test_percentiles_are_values_that_were_measured():
    assert (percentile([3.0, 1.0, 2.0], 0.5), percentile([3.0, 1.0, 2.0], 0.95), percentile([], 0.5)) == (2.0, 3.0, 0.0)


@pytest.mark.parametrize(("ours", "size", "idle", "code"), [
    (10.0, 100, 1.0, 0), (30.0, 100, 1.0, 1), (10.0, 6_000, 1.0, 1), (10.0, 100, 2.0, 1)])
def test_a_missed_target_fails_the_benchmark(ours, size, idle, code):
    assert verdict(every(ours=measured("ours", ours, size)), [idle])[1] == code


def test_the_pace_of_the_machine_is_said_and_changes_no_verdict():
    slowed = replace(measured("ours", 20.0, 100), piece=14)
    assert slowed.faster_than(measured("plain", 10.0)) == 1.0
    said, code = verdict(every(ours=slowed), [1.0])
    assert "0.47 of (a) (0.95 at equal pace" in said
    assert code == 1


@pytest.mark.parametrize(("window", "values", "code"), [
    ("lagging", {}, 0), ("prompt", {}, 0), ("lagging", {"catching_up": 7.0}, 1), ("lagging", {"drawing": 151.0}, 1),
    ("lagging", {"seconds": 14.0}, 1), ("prompt", {"seconds": 20.0}, 1), ("prompt", {"lag": 11.0}, 1)])
def test_a_missed_target_of_the_window_fails_the_benchmark(window, values, code):
    found = every()
    assert verdict(found | {window: replace(found[window], **values)}, [1.0])[1] == code


def every(**more: Measured) -> dict[str, Measured]:
    """Every contender, each within its target."""
    drawn = {"drawing": 100.0, "catching_up": 9.0, "lag": 8.0}
    return {"ours": measured("ours", 10.0), "lagging": replace(measured("lagging", 11.0), **drawn),
            "prompt": replace(measured("prompt", 15.0), **drawn), "plain": measured("plain", 9.5),
            "stock": measured("stock", 200.0), "dbos": measured("dbos", 15.0),
            "absurd": measured("absurd", 9.0)} | more


def test_a_target_that_was_not_measured_does_not_hold():
    found = {"ours": measured("ours", 10.0), "plain": measured("plain", 9.5)}
    said, code = verdict(found, [])
    assert code == 2
    assert said.endswith("(b) stock Prefect on our tuned server, (c) DBOS, (d) Absurd, "
                         "ours with the window, work first, ours with the window, lag under 10 s, idle")
    assert verdict({}, [])[1] == 2
