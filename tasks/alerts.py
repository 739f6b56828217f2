"""What an operator is told when something is wrong, and the way to where operators hear it."""

import json
import re
from dataclasses import dataclass

from domain.errors import Transient
from infra.crypto import Cipher
from infra.http import tell


@dataclass(frozen=True)
class Words:
    """One thing an operator must know, in both languages."""

    what: str
    cure: str


ALERTS = {
    "red-prescription": Words(
        "处方需要人工处理 A prescription needs a person",
        "打开网关看板：哪张、为什么、怎么办。五分钟内只报一次。 "
        "Open the gateway's board: it says which, why, and what to do. One alert per five minutes, however many."),
    "canary-missing": Words(
        "金丝雀三分钟未成功 No canary has come through for three minutes",
        "Prefect 服务或运维进程不工作。运行 ./go doctor，见 docs/runbooks/canary-silent.md。 "
        "Prefect's services or the operations worker do not work. Run ./go doctor; docs/runbooks/canary-silent.md."),
    "upkeep-failing": Words(
        "巡检或看板连续失败 The sweep or the board failed twice within ten minutes",
        "打开最近一次红色的 sweep 或 the city's day 运行，消息里有原因。其间不会丢失处方。 "
        "Open the newest red run `sweep` or `the city's day`; its message says why. Nothing is lost meanwhile."),
    "reconciliation-red": Words(
        "对账不平或未完成 A day does not reconcile with the fund, or could not be asked about",
        "按 docs/operations.md 的 Reconciliation differs 一节处理。 See docs/operations.md, Reconciliation differs."),
    "operations-late": Words(
        "运维任务积压 Nobody takes up the runs of the pool operations",
        "启动运维进程：.venv/bin/python -m flows.resident。处方不受影响。 "
        "Start the operations worker: .venv/bin/python -m flows.resident. Prescriptions are not affected."),
}
"""By slug. What raises each is declared in flows/automations.py."""

_ABOUT = re.compile(r"prefect\.[a-z-]{1,40}\.[0-9a-f-]{36}")


def bell(cipher: Cipher) -> str:
    """What Prefect's server shows the gateway to have it ring. It opens nothing else: a reader of it in Prefect can send our
    operators the texts of our alerts, and no more."""
    return cipher.lookup("the alert bell")


async def ring(address: str, slug: str, about: str) -> None:
    """Post an alert of ours, as JSON with `text`, `alert` and `about`, to the operators' address.

    `about` is a resource of Prefect, and left out if it is anything else. Raises `KeyError` for a slug that is none of
    `ALERTS`, `Transient` if the address does not take it.
    """
    words = ALERTS[slug]
    body = {"text": f"{words.what}\n{words.cure}", "alert": slug, "about": about if _ABOUT.fullmatch(about) else ""}
    seen = await tell(address, json.dumps(body, ensure_ascii=False).encode())
    if not 200 <= seen.status < 300:
        raise Transient(f"alert {slug}: the operators' address says {seen.status or seen.error}", code="not_told")
