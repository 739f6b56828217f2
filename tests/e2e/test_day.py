"""A whole day of twenty prescriptions, on real processes, with a killed worker and ordinary faults."""

import pytest
from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.day import run_day
from sandbox.processes import Processes


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    folder = tmp_path_factory.mktemp("day")
    with Processes(folder / "logs") as processes:
        city = SandboxCity(folder, processes, slug="jinan", seed=3)
        yield run_day(city, 20, Console(quiet=True))


def test_every_prescription_ends_as_its_scenario_says(day):
    assert len(day.ended) == 20
    assert [one for one in day.ended if not one.right] == []


def test_all_books_agree_line_by_line(day):
    assert day.differences == []
    assert day.compared > 50


def test_the_faults_were_really_there(day):
    assert day.faults["工作进程被杀 worker killed"] == 1


def test_every_prescription_has_its_run_in_prefect(day):
    assert day.shown == 20


def test_nothing_is_red(day):
    assert day.red_runs == []
