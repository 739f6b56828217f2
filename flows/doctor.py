"""`./go doctor`: one screen that says what is wrong with an installation and what to do. Changes nothing."""

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.filters import AutomationFilter, AutomationFilterTags
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.errors import NeedsOperator
from domain.words import Two
from flows import automations, prefect_server
from flows.resident import POOL, declared
from infra import log
from infra.settings import Settings, get_settings
from infra.topology import judge_prefect
from tasks.checks import CheckResult, Grade, act, fine, watch, worst_first
from tasks.doctor import examine

PATIENCE = 20.0
"""Seconds for everything asked of Prefect."""
DEPLOY = Two("运行 .venv/bin/prefect --no-prompt deploy --all", "run .venv/bin/prefect --no-prompt deploy --all")
OPERATE = Two("启动运维进程：.venv/bin/python -m flows.resident",
              "start the operations worker: .venv/bin/python -m flows.resident")

_PASSWORD = act("prefect", "prefect-setup", Two("Prefect 拒绝了我们的口令", "refuses our password"),
                Two("将 PREFECT_API_AUTH_STRING 设为服务端的 PREFECT_SERVER_API_AUTH_STRING",
                    "set PREFECT_API_AUTH_STRING to the server's PREFECT_SERVER_API_AUTH_STRING"))


async def diagnose(settings: Settings) -> list[CheckResult]:
    """Every result of the checks of these settings, the worst first."""
    ours, theirs = await asyncio.gather(examine(settings), check_prefect(settings))
    return worst_first([*ours, *theirs])


async def check_prefect(settings: Settings) -> list[CheckResult]:
    """Prefect as the workers see it: the server, and whether it knows everything it should."""
    address = PREFECT_API_URL.value() or f"{settings.prefect_ui_url}/api"
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            with temporary_settings({PREFECT_API_URL: address}):
                async with get_client() as client:
                    results = await _ask(client)
    except Exception as error:
        # Its own words may hold the address with a password.
        results = [_PASSWORD if isinstance(error, PrefectHTTPStatusError) and error.response.status_code == 401 else
                 act("prefect", "prefect-down",
                     Two(f"没有应答（{type(error).__name__}）", f"does not answer ({type(error).__name__})"),
                     Two("启动 Prefect 服务，核对 PREFECT_API_URL", "start its server; check PREFECT_API_URL"))]
    if not PREFECT_API_URL.value():
        results.append(watch("prefect", "prefect-setup",
                             Two("未设置 PREFECT_API_URL", "PREFECT_API_URL is not set here"),
                             Two("按 docs/operations.md 设置，工作进程需要它",
                                 "set it as in docs/operations.md: workers need it")))
    return [replace(result, milliseconds=round((time.monotonic() - began) * 1000)) for result in results]


async def _ask(client: PrefectClient) -> list[CheckResult]:
    server = await client.api_version()
    facts = await prefect_server.ask()
    results = [act("prefect", "prefect-setup", Two(result.text, result.text_en), Two(result.cure, result.cure_en))
             for result in (judge_prefect(facts) if facts else [])]
    deployed = {deployment.name: deployment for deployment in await client.read_deployments(limit=200)}
    results += check_deployments(declared(), deployed)
    results += await _automations(client)
    results += await _pool(client)
    late = await client.read_flow_runs(limit=200, flow_run_filter=FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"]))))
    if late:
        results.append(act("prefect", "prefect-setup", Two(f"{len(late)} 个运行已迟到", f"{len(late)} runs are late"),
                           OPERATE))
    return results or [fine("prefect",
                            Two(f"{server}，{len(deployed)} 个部署", f"{server}, {len(deployed)} deployments"))]


def check_deployments(declared: Sequence[Mapping[str, Any]], there: Mapping[str, DeploymentResponse]) -> list[CheckResult]:
    """Whether Prefect knows each deployment of prefect.yaml as it is now, with its schedule running."""
    results = []
    missing = [deployment["name"] for deployment in declared if deployment["name"] not in there]
    if missing:
        results.append(act("prefect", "prefect-setup",
                           Two(f"缺少部署 {', '.join(missing)}", f"deployments are missing: {', '.join(missing)}"),
                           DEPLOY))
    for deployment in declared:
        deployed = there.get(deployment["name"])
        if deployed is None:
            continue
        if deployed.entrypoint != deployment["entrypoint"]:
            results.append(act("prefect", "prefect-setup",
                               Two(f"部署 {deployment['name']} 不是本版本的",
                                   f"deployment {deployment['name']} is of another release"), DEPLOY))
        if deployment.get("schedules") and (deployed.paused or not any(schedule.active for schedule in deployed.schedules)):
            results.append(act("prefect", "prefect-setup",
                               Two(f"部署 {deployment['name']} 的定时已停", f"the schedule of {deployment['name']} is off"),
                               Two(f"在 Prefect 中恢复部署 {deployment['name']}",
                                   f"resume {deployment['name']} under Deployments")))
    return results


async def _automations(client: PrefectClient) -> list[CheckResult]:
    wanted = {automation.name for automation in automations.declared(uuid4())}
    there = {automation.name: automation for automation in await client.read_automations(
        automations=AutomationFilter(tags=AutomationFilterTags(all_=[automations.TAG])), limit=200)}
    missing = sorted(name for name in wanted if name not in there)
    off = sorted(name for name in wanted if name in there and not there[name].enabled)
    results = []
    if missing:
        results.append(act("prefect", "prefect-setup",
                           Two(f"缺少自动化 {', '.join(missing)}", f"automations are missing: {', '.join(missing)}"),
                           Two("运行 .venv/bin/python -m flows.automations",
                               "run .venv/bin/python -m flows.automations")))
    if off:
        results.append(watch("prefect", "prefect-setup",
                             Two(f"自动化已停用 {', '.join(off)}", f"automations are switched off: {', '.join(off)}"),
                             Two("在 Prefect 的 Automations 中启用", "switch them on under Automations")))
    return results


async def _pool(client: PrefectClient) -> list[CheckResult]:
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        return [act("prefect", "prefect-setup", Two(f"没有工作池 {POOL}", f"there is no work pool {POOL}"), OPERATE)]
    if pool.is_paused:
        return [act("prefect", "prefect-setup", Two(f"工作池 {POOL} 已暂停", f"work pool {POOL} is paused"),
                    Two("在 Prefect 的 Work Pools 中恢复", "resume it under Work Pools"))]
    if pool.status is WorkPoolStatus.NOT_READY:
        return [act("prefect", "prefect-setup", Two(f"工作池 {POOL} 无人服务", f"nobody serves work pool {POOL}"), OPERATE)]
    return []


# --- the screen ---


_MARKS = {Grade.ACT: ("×", "red"), Grade.WATCH: ("!", "yellow"), Grade.FINE: ("✓", "green")}


def show(results: Sequence[CheckResult], console: Console) -> None:
    """The worst first, each with its cure and its page; what is fine needs only a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for result in results:
        mark, colour = _MARKS[result.grade]
        text = Text(_both(result.text))
        if cure := " · ".join(part for part in (_both(result.cure), _page(result)) if part):
            text.append(f"\n→ {cure}", colour)
        table.add_row(Text(mark, colour), result.area, text)
    console.print(table)
    acts, watches = (sum(result.grade is grade for result in results) for grade in (Grade.ACT, Grade.WATCH))
    console.print(f"\n{acts} 项需要处理 to act on, {watches} 项留意 to watch" if acts or watches else
                  "\n一切正常 everything is fine")


def _page(result: CheckResult) -> str:
    return f"docs/runbooks/{result.page}.md" if result.page else ""


def _both(words: Two) -> str:
    return words.zh if words.zh == words.en else f"{words.zh}  {words.en}"


def bad_settings(error: NeedsOperator) -> list[CheckResult]:
    """The one thing that can be said before there are settings."""
    return [_bad_setting(part) for part in re.split(r"; (?=SANYI_)", str(error).removeprefix("settings: "))]


def _bad_setting(fault: str) -> CheckResult:
    """`SANYI_BATCH_LIMIT: Input should be … Set it right (…) and start again`: the variable is the same in any language."""
    variable = re.match(r"SANYI_\w+", fault)
    meant = re.search(r"did you mean (SANYI_\w+)\?", fault)
    name = variable[0] if variable else "配置"
    cure = Two(f"是否应为 {meant[1]}？改后重启", f"write {meant[1]}?") if meant else Two(
        "对照 .env.example 修正后重启", "compare with .env.example, then start again")
    wrong = "没有这个配置项" if "no such setting" in fault else "取值有误"
    return act("settings", "settings", Two(f"{name}：{wrong}", fault), cure)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="./go doctor", description=__doc__)
    arguments.add_argument("--json", action="store_true", help="for a program: every result, the worst first")
    options = arguments.parse_args()
    try:
        settings = get_settings()
    except NeedsOperator as error:
        results = bad_settings(error)
    else:
        log.configure("ERROR")
        results = asyncio.run(diagnose(settings))
    if options.json:
        print(json.dumps([result.as_dict() for result in results], ensure_ascii=False, indent=2))
    else:
        show(results, Console())
    return 0 if all(result.fine for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
