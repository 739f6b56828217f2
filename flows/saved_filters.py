"""Filters of Prefect's page of runs: an operator chooses the work without the house-keeping, or what needs a person.

They choose by tags and names of states, which no loss of Prefect's database changes. One that was changed or deleted is
set right; filters with other names are other people's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.client.orchestration import PrefectClient

from domain.window import NEEDS_A_PERSON
from flows.home import request
from infra.log import get_logger
from tasks.window import TAG

log = get_logger(__name__)

HOUSE_KEEPING = "house-keeping"
"""On every deployment that runs by itself, in any city: sweep, board, canary and the like."""
RED = (NEEDS_A_PERSON, "Failed")
"""Prefect's own name for red is the second: a reconciliation that differs, an alert that was not raised."""
WEEK = {"type": "span", "seconds": -7 * 86_400}

Filter = dict[str, Any]


def _filter(**chosen: Any) -> list[Filter]:
    """As Prefect's pages write it: they read object, property and value, and leave the other two empty."""
    return [{"object": "flowRun", "property": name, "type": "", "operation": "", "value": value}
            for name, value in (*chosen.items(), ("range", WEEK))]


FILTERS: Mapping[str, Sequence[Filter]] = {
    "处方 Prescriptions": _filter(tag=[TAG]),
    "要人处理 Needs a person": _filter(state=list(RED)),
    "批次 Batches": _filter(tag=["batch"]),
    "内务 House-keeping": _filter(tag=[HOUSE_KEEPING]),
}
"""Name in Prefect's page of runs -> what it shows, of the last week."""


async def ensure(client: PrefectClient) -> int:
    """How many were missing or changed, and are right now. Raises what Prefect's client raises."""
    there = {saved["name"]: saved["filters"] for saved in await request(client, "POST", "/saved_searches/filter", {"limit": 200})}
    wrong = [name for name, filters in FILTERS.items() if there.get(name) != filters]
    for name in wrong:
        await request(client, "PUT", "/saved_searches/", {"name": name, "filters": FILTERS[name]})
    if wrong:
        log.info("saved_filters.applied", filters=len(wrong))
    return len(wrong)
