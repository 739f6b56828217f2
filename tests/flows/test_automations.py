"""What is declared to Prefect, without a server: nobody else's runs, and no automation twice. With one: test_operations_prefect."""

import re
from uuid import UUID, uuid4

import pytest
from prefect.events.schemas.automations import Automation, AutomationCore

from flows.automations import ALERTS, Applied, apply, declared
from flows.dead import BATCH, OURS
from tasks import alerts

DEPLOYMENT = UUID(int=1)


class Server:
    """Keeps automations as Prefect's server does: under ids, and any number with one name."""

    def __init__(self) -> None:
        self.kept: dict[UUID, Automation] = {}

    async def read_automations(self, **_: object) -> list[Automation]:
        return list(self.kept.values())

    async def create_automation(self, one: AutomationCore) -> UUID:
        made = Automation(id=uuid4(), **one.model_dump())
        self.kept[made.id] = made
        return made.id

    async def update_automation(self, automation_id: UUID, one: AutomationCore) -> None:
        self.kept[automation_id] = Automation(id=automation_id, **one.model_dump())

    async def delete_automation(self, automation_id: UUID) -> None:
        self.kept.pop(automation_id, None)


async def test_what_two_operations_workers_created_at_once_is_there_once_after_the_next_look():
    wanted, server = declared(DEPLOYMENT), Server()
    for one in [*wanted, *wanted]:
        await server.create_automation(one)
    # Both look at once: each deletes by what it saw before, and one of each name is left.
    seen = Server()
    seen.kept = dict(server.kept)
    assert await apply(seen, wanted) == Applied(deleted=len(wanted))  # type: ignore[arg-type]
    assert await apply(server, wanted) == Applied(deleted=len(wanted))  # type: ignore[arg-type]
    assert seen.kept.keys() == server.kept.keys()
    assert sorted(one.name for one in server.kept.values()) == sorted(one.name for one in wanted)
    assert await apply(server, wanted) == Applied()  # type: ignore[arg-type]


def test_a_silent_run_of_somebody_elses_flow_is_not_ours_to_crash():
    zombies = declared(DEPLOYMENT)[0]
    related = zombies.trigger.match_related.model_dump()
    assert related["prefect.resource.role"] == "flow"
    assert set(related["prefect.resource.name"]) == set(OURS.name.any_)
    assert BATCH in related["prefect.resource.name"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.slug)
def test_an_alert_says_what_to_do_in_both_languages(alert):
    for said in (alert.words.what, alert.words.cure):
        assert re.search(r"[\u4e00-\u9fff]", said)
        assert re.search(r"[A-Za-z]{3}", said)


def test_every_alert_has_words_and_every_word_an_alert():
    assert [one.slug for one in ALERTS] == list(alerts.ALERTS)
