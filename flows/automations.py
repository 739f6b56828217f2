"""What Prefect itself watches over, as code: dead runs, and the alerts of operations. `python -m flows.automations`.

Alerts say what an operator must know; nothing of the business waits for one. A declaration that changes is
updated in Prefect, one that goes or is there twice is deleted, by name, among those that bear our tag.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.events.actions import ActionTypes, CallWebhook, ChangeFlowRunState, RunDeployment
from prefect.events.filters import AutomationFilter, AutomationFilterTags
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed
from prefect.types import SecretDict
from pydantic import SecretStr

from domain.errors import NeedsOperator
from flows.canary import SANG
from flows.dead import OURS
from flows.home import NOWHERE
from infra.crypto import make_cipher
from infra.log import configure, get_logger
from infra.settings import Settings, get_settings
from tasks.alerts import ALERTS as WORDS
from tasks.alerts import Words, bell
from tasks.window import FLOW

log = get_logger(__name__)

TAG = "sanyi"
"""On every automation of ours; an automation without it was made by a person."""
BLOCK = "sanyi-alert"
"""Prefect's webhook block with the address of the gateway's bell (gateway/doors/alerts.py)."""

ZOMBIE_AFTER = timedelta(seconds=200)
"""More than three heartbeats (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY` in infra/deploy/prefect-client.env). A separate thread
sends them, so a busy loop is not silent.
"""


@dataclass(frozen=True)
class Alert:
    """What raises an alert; its words are in `tasks.alerts`."""

    slug: str
    trigger: EventTrigger

    @property
    def words(self) -> Words:
        return WORDS[self.slug]


def _runs_of(flows: Sequence[str], *states: StateType) -> dict[str, Any]:
    """Which events: state changes of those flows' runs. By type, because the names of our states say more."""
    return {
        "expect": {"prefect.flow-run.*"},
        "match": {"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": [state.value for state in states]},
        "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)},
    }


ALERTS = (
    Alert("red-prescription",
          EventTrigger(posture=Posture.Reactive, within=timedelta(minutes=5), **_runs_of([FLOW], StateType.FAILED))),
    Alert("canary-missing", EventTrigger(posture=Posture.Proactive, within=timedelta(minutes=3), expect={SANG})),
    Alert("upkeep-failing",
          EventTrigger(posture=Posture.Reactive, threshold=2, within=timedelta(minutes=10),
                       **_runs_of(["sweep", "board"], StateType.FAILED, StateType.CRASHED))),
    Alert("reconciliation-red",
          EventTrigger(posture=Posture.Reactive, within=timedelta(minutes=5),
                       **_runs_of(["reconcile-day"], StateType.FAILED, StateType.CRASHED))),
    Alert("operations-late",
          EventTrigger(posture=Posture.Reactive, threshold=3, within=timedelta(minutes=5),
                       expect={"prefect.flow-run.Late"},
                       match_related={"prefect.resource.role": "work-pool", "prefect.resource.name": "operations"})),
)


@flow(name="alert", flow_run_name="alert {alert}", persist_result=False, result_storage=NOWHERE)
async def alert(alert: str, about: str = "") -> State:
    """Raise an alert as an artifact with the key `alert-…`. Started by an automation; `about` is what it was about."""
    settings = get_settings()
    texts = WORDS.get(alert)
    run = about.removeprefix("prefect.flow-run.") if about.startswith("prefect.flow-run.") else ""
    lines = [f"# {texts.what if texts else alert}", texts.cure if texts else "", f"[board]({settings.gateway_url}/)",
             f"[run]({settings.prefect_ui_url}/runs/flow-run/{run})" if run else ""]
    await create_markdown_artifact(  # type: ignore[misc]
        "\n\n".join(line for line in lines if line), key=f"alert-{alert}", description=texts.what if texts else alert)
    log.error("alert.raised", alert=alert, about=about)
    return Completed(name="Raised")


def declared(deployment: UUID, webhook: UUID | None = None) -> list[AutomationCore]:
    """Every automation of ours. `deployment` is the one of `alert`.

    `webhook` is called as well, by Prefect's server itself, and rings the gateway's bell: an alert arrives although the
    operations worker is dead.
    """
    zombies = AutomationCore(
        name="sanyi: zombie-runs", tags=[TAG],
        description="A run whose heartbeat stopped is dead: Crashed. Its prescriptions were taken up again by their leases.",
        # After any state our runs have, under any name: a run that ended is silent for a good reason.
        trigger=EventTrigger(posture=Posture.Proactive, after={"prefect.flow-run.heartbeat"}, expect={"prefect.flow-run.*"},
                             match={"prefect.resource.id": "prefect.flow-run.*"}, for_each={"prefect.resource.id"},
                             # Heartbeats and changes of state alike name their flow. Other people's are their own business.
                             match_related={"prefect.resource.role": "flow", "prefect.resource.name": _our_flows()},
                             within=ZOMBIE_AFTER),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="its heartbeat stopped: the process is gone")])
    return [zombies, *(_alerting(alert, deployment, webhook) for alert in ALERTS)]


def _our_flows() -> list[str]:
    return list(OURS.name.any_ or []) if OURS.name else []


def _alerting(alert: Alert, deployment: UUID, webhook: UUID | None) -> AutomationCore:
    about = '{{ event.resource.id if event else "" }}'
    actions: list[ActionTypes] = [
        RunDeployment(deployment_id=deployment, parameters={
            "alert": alert.slug, "about": {"__prefect_kind": "jinja", "template": about}})]
    if webhook:
        text = {"alert": alert.slug, "about": about.replace('"', "'")}
        actions.append(CallWebhook(block_document_id=webhook, payload=json.dumps(text, ensure_ascii=False)))
    return AutomationCore(name=f"sanyi: {alert.slug}", description=f"{alert.words.what}. {alert.words.cure}", tags=[TAG],
                          trigger=alert.trigger, actions=actions)


@dataclass(frozen=True)
class Applied:
    """What applying changed; all zero when Prefect already had it so."""

    created: int = 0
    updated: int = 0
    deleted: int = 0


async def apply(client: PrefectClient, wanted: Sequence[AutomationCore]) -> Applied:
    """Make Prefect's automations with our tag the wanted ones. One that is as wanted is not touched: an update would
    start its windows anew."""
    there = await client.read_automations(
        automations=AutomationFilter(tags=AutomationFilterTags(all_=[TAG])), limit=200)
    by_name: dict[str, Automation] = {}
    twice = []
    # Two operations workers that start together both find nothing and both create. Each then keeps the same one.
    for existing in sorted(there, key=lambda existing: existing.id):
        if by_name.setdefault(existing.name, existing) is not existing:
            twice.append(existing)
    created = updated = 0
    for automation in wanted:
        old = by_name.pop(automation.name, None)
        if old is None:
            await client.create_automation(automation)
            created += 1
        elif _shape(old) != _shape(automation):
            await client.update_automation(old.id, automation.model_copy(update={"enabled": old.enabled}))
            updated += 1
    gone = [*by_name.values(), *twice]
    for one_gone in gone:
        await client.delete_automation(one_gone.id)
    return Applied(created, updated, len(gone))


def _shape(automation: AutomationCore) -> Mapping[str, Any]:
    """What makes two automations the same. Prefect pauses one by `enabled`; that is an operator's business."""
    return automation.model_dump(exclude={"id", "enabled"})


async def ensure() -> Applied:
    """Apply what is declared. Raises `NeedsOperator` (code `no_deployment`) until prefect.yaml is deployed."""
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name("alert/operators")
        except ObjectNotFound:
            raise NeedsOperator("no deployment alert/operators in Prefect; run: .venv/bin/prefect --no-prompt deploy --all",
                                code="no_deployment") from None
        applied = await apply(client, declared(deployment.id, await _webhook(client, get_settings())))
    if applied != Applied():
        log.info("automations.applied", **applied.__dict__)
    return applied


async def _webhook(client: PrefectClient, settings: Settings) -> UUID | None:
    """Id of the block that rings the gateway's bell; None, and the block deleted, when no webhook address is configured.

    Every user of Prefect's API may read its blocks, so the block holds neither that address nor any secret of a partner.
    """
    try:
        document = await client.read_block_document_by_name(BLOCK, "webhook")
    except ObjectNotFound:
        document = None
    if not settings.alert_webhook.get_secret_value():
        if document:
            await client.delete_block_document(document.id)
        return None
    url, headers = f"{settings.gateway_url}/api/alerts", {"Authorization": f"Bearer {bell(make_cipher(settings))}",
                                                          "Content-Type": "application/json"}
    if document and (document.data.get("url"), document.data.get("headers")) == (url, headers):
        return document.id
    block = Webhook(url=SecretStr(url), headers=SecretDict(headers))
    return await block.asave(BLOCK, overwrite=True, client=client)


def main() -> int:
    configure(get_settings().log_level)
    try:
        applied = asyncio.run(ensure())
    except NeedsOperator as error:
        print(error)
        return 1
    print(f"{applied.created} created, {applied.updated} updated, {applied.deleted} deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
