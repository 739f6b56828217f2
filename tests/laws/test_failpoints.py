"""The power fails before or after any commit of the product, and nobody can tell afterwards."""

import importlib
import logging
import pkgutil
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import isfunction
from pathlib import Path

import pytest
import structlog

from infra import log
from tests.laws import scenarios
from tests.laws.scenarios import SCENARIOS, Scenario
from tests.laws.scenarios.pharmacies import never_fetched
from tests.laws.site import Site
from tests.laws.transactions import NAMES, TRANSACTIONS, Place

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "failpoints.md"


@dataclass(frozen=True)
class Undisturbed:
    """How a scenario goes when nothing fails."""

    scenario: Scenario
    passed: list[Place]
    outcome: dict[str, object]


@pytest.fixture(scope="module", autouse=True)
def a_log_as_in_production() -> Iterator[None]:
    """What is said is written too; the tests after these find the log as it was."""
    root, said = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    log.configure("INFO")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**said)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    # Where files cost nothing: nobody tests the disk here.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        with Site(Path(folder)).without_prefect() as made:
            yield made


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> list[Undisturbed]:
    """Every scenario, the shortest first."""
    return sorted((_undisturbed(site, scenario) for scenario in SCENARIOS), key=lambda one: len(one.passed))


def _undisturbed(site: Site, scenario: Scenario) -> Undisturbed:
    world = site.fresh()
    scenario(world)
    world.rest()
    assert world.faults() == [], scenario.__name__
    return Undisturbed(scenario, world.power.passed, world.outcome())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_a_crash_there_changes_nothing_in_any_book(site, undisturbed, name, when):
    shortest = next((one for one in undisturbed if (name, when) in one.passed), None)
    assert shortest, f"no scenario passes {when} {name}: write one"
    world = site.fresh((name, when))
    shortest.scenario(world)
    world.rest()
    assert world.power.failed == 1, f"{shortest.scenario.__name__} is not the same every time"
    assert world.faults() == []
    assert world.outcome() == shortest.outcome


def test_an_order_taken_back_because_its_time_was_over_is_not_given_to_the_next_pharmacy_after_a_crash(site):
    def ends(fails_at: Place | None, passing: int = 1) -> tuple[int, dict[str, object]]:
        world = site.fresh(fails_at, passing)
        never_fetched(world)
        world.rest()
        return world.power.failed, world.outcome()

    assert ends(("prescription.expired", "before")) == (1, ends(None)[1])


# --- the names ---


def test_every_scenario_written_is_played():
    modules = [importlib.import_module(f"{scenarios.__name__}.{found.name}") for found in pkgutil.iter_modules(scenarios.__path__)]
    written = [value for module in modules for name, value in vars(module).items()
               if isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")]
    assert sorted(map(repr, SCENARIOS)) == sorted(map(repr, written))


def test_every_transaction_has_a_name_of_its_own():
    assert [where for name, where in TRANSACTIONS if not name] == [], "db.transaction(\"order.made\"): a literal name"
    assert {name: count for name, count in Counter(name for name, _ in TRANSACTIONS).items() if count > 1} == {}


def test_a_name_says_what_and_what_happened_to_it():
    assert [name for name in NAMES if not re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", name)] == []


def test_the_page_about_fail_points_knows_them_all():
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == NAMES
