"""A recall in the day (E-18): the operator recalls a lot, and calls each pharmacy that is on the list of parcels under way."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.city import SandboxCity
from sandbox.plan import RECALLED, RECALLED_AT_HOME, RECALLED_UNDER_WAY, Plan

CHAIN = "baicao"
"""Who sells the drug."""
_READY = {RECALLED_AT_HOME: "handed_over", RECALLED_UNDER_WAY: "prepared"}
"""Where the order of each scenario is when the lot is recalled."""
_ROW = re.compile(r"\| (?P<where>[^|]+) \| (?P<rx>rx_\S+) \| (?P<order>ord_\S+) \| (?P<place>\S+) \| \d+ \| (?P<code>\d{20}) \|")
Packs = frozenset[tuple[str, str]]
"""Order and trace code of each."""


@dataclass(frozen=True)
class Recall:
    """What the platform listed, and what it should have."""

    lot: str
    under_way: Packs
    handed_over: Packs
    packed_anew: Sequence[str]
    """Orders that the pharmacy packed anew when it was called."""
    differences: Sequence[str]


def wanted(plan: Plan) -> bool:
    """Whether a day has a recall."""
    return {planned.scenario for planned in plan.prescriptions} >= _READY.keys()


def expect(city: SandboxCity) -> None:
    """Have the chain keep the parcel until then."""
    httpx.post(f"{city.urls[CHAIN]}/sandbox/faults", json={"awaits_recall": 300}, timeout=20, trust_env=False).raise_for_status()


def ready(plan: Plan, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether every patient of the recall has the medicine, or its parcel is packed."""
    orders = {row["external_id"]: [order["status"] for order in row["orders"]] for row in rows}
    return all(orders.get(planned.external_id, [""])[-1:] == [_READY[planned.scenario]]
               for planned in plan.prescriptions if planned.scenario in _READY)


def make(city: SandboxCity) -> Recall:
    """Run the deployment as an operator does, read its list, and have the pharmacy stop what is under way."""
    book = city.book(CHAIN)["orders"]
    lot = next(pack["lot"] for order in book for pack in order.get("traces", ()) if pack["lot"].endswith(RECALLED))
    city.wait_until(city.deployed, "the deployments", seconds=90)
    run = city.run_deployment("recall/recall-packs", {"drug": RECALLED, "lot": lot, "reason": "quality"})
    city.wait_until(lambda: city.run_state(run)[0] in ("COMPLETED", "FAILED", "CRASHED"), "the recall", 90)
    artifacts = city.prefect("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    listed = list(_ROW.finditer(artifacts[0]["data"])) if artifacts else []
    under_way, handed_over = (frozenset((row["order"], row["code"]) for row in listed if row["where"].endswith(word))
                              for word in ("under way", "handed over"))
    expected = {state: frozenset(_packs(book, lot, state)) for state in ("prepared", "handed_over")}
    differences = [f"recall of {lot}: listed {sorted(ours)}, the chain has {sorted(theirs)} {state}"
                   for ours, (state, theirs) in zip((under_way, handed_over), expected.items(), strict=True) if ours != theirs]
    answer = httpx.post(f"{city.urls[CHAIN]}/sandbox/recall", json={"drug": RECALLED, "lot": lot}, timeout=20, trust_env=False)
    return Recall(lot, under_way, handed_over, answer.raise_for_status().json()["orders"], differences)


def after(recall: Recall, orders: Sequence[dict[str, Any]]) -> list[str]:
    """Where the day's end does not follow from a recall: all that was stopped is packed anew, and nothing of the lot is sold."""
    sold = frozenset(_packs(orders, recall.lot, "handed_over")) - recall.handed_over
    return [*recall.differences,
            *(f"recall of {recall.lot}: {code} of {order} was handed over after it" for order, code in sorted(sold)),
            *(f"recall of {recall.lot}: {order} was not packed anew"
              for order in sorted({order for order, _ in recall.under_way} - set(recall.packed_anew)))]


def _packs(orders: Sequence[dict[str, Any]], lot: str, status: str) -> Iterator[tuple[str, str]]:
    return ((order["order_id"], pack["code"]) for order in orders if order["status"] == status
            for pack in order.get("traces", ()) if pack["lot"] == lot)
