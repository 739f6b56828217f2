"""The flow `prescription`: one run per prescription, from intake to the end. `flows.window` draws it; run, it drives."""

from typing import Any

from prefect import Flow, flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed

from domain.errors import Refused, StaleStatus
from flows.home import NOWHERE, city
from infra.log import bind
from infra.settings import get_settings
from tasks import window
from tasks.upkeep import driven
from tasks.window import key_of


def _draw_again(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """This attempt is over: what the prescription's own run shows is where it is, also where it could not be drawn before."""
    window.draw_again(city(), [str(flow_run.parameters.get("prescription", ""))])


@flow(name="prescription", persist_result=False, result_storage=NOWHERE,
      on_completion=[_draw_again], on_failure=[_draw_again], on_crashed=[_draw_again], on_cancellation=[_draw_again])
async def prescription(prescription: str) -> State:
    """Take one prescription (its id, `rx_…`) as far as it can go, now. Harmless at any time.

    *Retry* on the prescription's own run ends here, and so does a run made by hand. A run made by hand is not a second run of
    the prescription: it ends with a link to the first.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    own = run is not None and run.idempotency_key == key_of(prescription)
    if run is not None and not own:
        async with get_client() as client:
            await client.update_flow_run(run.id, name=f"by hand: {prescription}"[:100], tags=[*run.tags, "by-hand"])
    page = f"{get_settings().gateway_url}/rx/{prescription}"
    get_run_logger().info("%s", page)
    try:
        with bind(run=str(run.id) if run else ""):
            hop = await driven(city(), prescription, "prefect", str(run.id) if run else "")
    except KeyError:
        # Not red: only the person who mistyped it can act.
        return Completed(name="Unknown prescription", message="没有这张处方；编号形如 rx_ 加 16 个字符 · "
                         "no such prescription; an id looks like rx_ and 16 characters")
    except Refused:
        return Completed(name="Nothing owed", message=_way(prescription, page))
    except StaleStatus:
        return Completed(name="A worker has it", message=_way(prescription, page))
    return Completed(name=hop.name if hop else "A worker has it", message=_way(prescription, page))


def _way(prescription: str, page: str) -> str:
    """Where to go on looking."""
    run = window.own_run(city(), prescription)
    own = f" · {get_settings().prefect_ui_url}/runs/flow-run/{run}" if run else ""
    return f"{page}{own}"
