"""The main job: a city's day from hospital to settlement, on real processes, with ordinary faults.

`python -m sandbox.day --prescriptions 60 --seed 1` starts the product and a sandbox city on loopback. It sends
prescriptions, kills the worker once, reconciles the day with the insurance centre and compares every book.
Exit code 0 only if every prescription ended as its scenario says and all books agree.
With `--live` there is no end: `sandbox.live`.
"""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domain.event_words import waiting
from domain.money import yuan
from domain.words import STATUSES
from sandbox import live, recalls, tieout
from sandbox.chain import CHAINS, SELLERS
from sandbox.city import FAULTS, SandboxCity
from sandbox.dialects import DIALECTS
from sandbox.doors import COURIER
from sandbox.plan import ROUND, Plan
from sandbox.processes import ROOT, ChildDied, Processes
from sandbox.webhooks import TAKERS

Moment = Callable[[float, float], bool]
"""When to kill the worker: told the seconds since the hospital began and the share of prescriptions received."""
ONCE: Sequence[Moment] = (lambda _, received: received >= 1 / 3,)
"""An ordinary day: once, while a third is on its way."""
KEPT_DAYS = 3
"""Folders of earlier days that are kept under the home folder."""


@dataclass
class Ended:
    """How one prescription ended, beside how it should have."""

    external_id: str
    scenario: str
    expected: frozenset[str]
    status: str = "not received"
    money: str = "none"
    expected_money: str = "none"
    why: str = ""
    hospital: str = ""

    @property
    def right(self) -> bool:
        return self.status in self.expected and self.money == self.expected_money


@dataclass
class Day:
    """What a day came to."""

    ended: list[Ended] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """Where two books disagree; empty on a good day."""
    faults: dict[str, int] = field(default_factory=dict)
    money: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    """What patients paid with the handover, in fen by method."""
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    dialects: Mapping[str, str] = field(default_factory=dict)
    """What each hospital speaks."""
    reported: Mapping[str, int] = field(default_factory=dict)
    """Reports each hospital has had."""
    orders: Mapping[str, Counter[str]] = field(default_factory=dict)
    """Where the orders of each chain stand, in its own book."""
    recall: recalls.Recall | None = None
    parcels: Counter[str] = field(default_factory=Counter)
    """What became of parcels that waited at a pick-up point, or were lost."""
    webhooks: Mapping[str, int] = field(default_factory=dict)
    """Webhooks that each chain has, of those that want some."""
    choices: Sequence[Mapping[str, Any]] = ()
    """What became of each patient who wanted to choose the pharmacy."""
    runs: int = 0
    shown: int = 0
    """Prescriptions that are shown as runs in Prefect."""
    red_runs: list[str] = field(default_factory=list)
    seconds: float = 0.0
    compared: int = 0

    @property
    def good(self) -> bool:
        return bool(self.ended) and all(rx.right for rx in self.ended) and not self.differences and not self.red_runs \
            and self.shown == sum(rx.status != "not received" for rx in self.ended)


def main(argv: Sequence[str] | None = None) -> int:
    options = _arguments(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    folder = _fresh_folder(options.home)
    many = "不断 without end" if options.live else f"{options.prescriptions} 张处方 prescriptions"
    title = f"  {options.city} · {many} · seed {options.seed}"
    console.print(Text.assemble(("三医 Sanyi", "bold"), title))
    try:
        with Processes(folder / "logs") as processes:
            make = partial(SandboxCity, folder, processes, slug=options.city, seed=options.seed,
                           faults={} if options.no_faults else FAULTS, database_url=options.database_url)
            if options.live:
                city = make(per_second=live.BEGINNING_PER_SECOND, tempo=live.TEMPO,
                            pharmacists=live.pharmacists(options.pharmacists, options.prescriptions))
                start(city, console)
                live.run(city, options.prescriptions, options.per_second, console)
                console.print("\n正在停止 ending every child…")
                return 0
            city = make(per_second=options.per_second)
            day = run_day(city, options.prescriptions, console, kills=() if options.no_faults else ONCE)
            show(day, console)
            if options.keep:
                _keep(city, console)
            return 0 if day.good else 1
    except (ChildDied, TimeoutError) as error:
        console.print(f"[red]✗ {error}[/red]\n日志 logs: {folder / 'logs'}")
        return 2
    except KeyboardInterrupt:
        console.print("\n已停止,所有子进程已结束。Stopped; every child has ended.")
        return 130


def run_day(city: SandboxCity, prescriptions: int, console: Console, *, kills: Sequence[Moment] = ONCE) -> Day:
    """Start everything, live through the day and compare all books. The caller's `Processes` end the children."""
    start(city, console)
    recalls.expect(city)
    plan = city.send(prescriptions)
    began = time.monotonic()
    recall = _live(city, plan, console, kills=kills, patience=120 + prescriptions * 0.9 + prescriptions / city.per_second)
    with console.status("日终对账 reconciling the day with the insurance centre (3201)…"):
        reconcile(city)
        day = assess(city, plan, recall)
    day.seconds = time.monotonic() - began
    return day


def start(city: SandboxCity, console: Console) -> None:
    """Start partners and product, and say where they are."""
    started = time.monotonic()
    with console.status("启动城市 starting the city…") as status:
        city.start_partners()
        status.update("启动 Prefect 与网关 starting Prefect and the gateway…")
        city.start_product()
    console.print(f"✓ 城市已启动 the city is up ({time.monotonic() - started:.0f} s)   "
                  f"网关 gateway {city.urls['gateway']}   Prefect {city.urls['prefect']}")


def reconcile(city: SandboxCity) -> None:
    """Day end, as an operator does it: run the deployment and wait for its answer."""
    city.wait_until(city.deployed, "the deployments", seconds=90)
    run = city.run_deployment("reconcile-day/day-end", {"day": "today"})
    city.wait_until(lambda: city.run_state(run)[0] in ("COMPLETED", "FAILED", "CRASHED"), "the reconciliation", 90)


def at_rest(city: SandboxCity, plan: Plan) -> bool:
    """Whether every prescription has ended as planned and nothing is on its way any more."""
    rows = {row["external_id"]: row for row in city.prescriptions()}
    for planned in plan.prescriptions:
        row = rows.get(planned.external_id)
        if row is None or row["status"] not in planned.expected_status or money_of(row) != planned.expected_money:
            return False
    board = city.ops("board")
    idle = not any(board[waiting] for waiting in ("outbox_waiting", "uploads_waiting", "undrawn"))
    return idle and city.count_runs("prescription") == len(rows) and not _told_by_files(city) and not _reading(city)


def _reading(city: SandboxCity) -> bool:
    """Whether a chain that wants webhooks has not read all of them again yet."""
    books = [city.book(chain)["webhooks"] for chain in TAKERS]
    return any(len(book["read"]) < len(book["taken"]) for book in books)


def _told_by_files(city: SandboxCity) -> bool:
    """Whether a chain that tells by files waits for an answer: its box is polled in turn, also after all orders have ended."""
    books = [city.book(seller) for seller in SELLERS]
    return any(event["answer"] is None for book in books if "broken" in book for event in book["callbacks"])


def whole(city: SandboxCity, book: str) -> dict[str, Any]:
    """A book of the platform with all its pages."""
    rows = page = city.ops(f"{book}?limit=2000")
    while following := page.pop("next", ""):
        page = city.ops(following.removeprefix("/api/ops/"))
        for name, more in page.items():
            if name != "next":
                rows[name] += more
    return dict(rows)


def money_of(row: dict[str, Any]) -> str:
    """How the money of a prescription stands, in the plan's words."""
    if not row["claim_status"]:
        return "none"
    if row["reversed"]:
        return "reversed"
    if row["claim_status"] in ("settled", "reconciled"):
        return "resettled" if row["reversals"] else "settled"
    return "none"


def assess(city: SandboxCity, plan: Plan, recall: recalls.Recall | None = None) -> Day:
    """Compare plan, platform and every partner's own book."""
    rows = {row["external_id"]: row for row in city.prescriptions()}
    day = Day()
    for planned in plan.prescriptions:
        ended = Ended(planned.external_id, planned.scenario, planned.expected_status,
                    expected_money=planned.expected_money, hospital=planned.facts.hospital)
        if row := rows.get(planned.external_id):
            ended.status, ended.money = row["status"], money_of(row)
            ended.why = row["trouble"] or " ".join(waiting(row["waiting_for"]))
        day.ended.append(ended)
    ledger, verified = whole(city, "ledger"), whole(city, "verify")
    books = {name: city.book(name) for name in ("hospital", *SELLERS, COURIER, "insurer")}
    day.differences = tieout.compare(ledger, list(rows.values()), books) + tieout.internal(
        verified, city.ops("discrepancies"), city.ops("notices"), city.ops("reconciliations"), ledger,
        {file["sha256"][:12] for seller in SELLERS for file in books[seller].get("broken", ())})
    day.differences += tieout.shelves(books["linli"]["stock"], city.shelves())
    day.parcels = tieout.carried(list(rows.values()))
    if recalls.wanted(plan) and recall:
        day.recall = recall
        day.differences += recalls.after(recall, books[recalls.CHAIN]["orders"])
    day.differences += tieout.webhooks(city.webhooks(), list(rows.values()), books)
    day.webhooks = {chain: len(books[chain]["webhooks"]["taken"]) for chain in TAKERS}
    day.compared = tieout.lines(ledger, books)
    day.money, day.paid = tieout.money(ledger), tieout.paid(list(rows.values()))
    day.stages = city.ops("stages")
    day.faults = tieout.faults(books, city.killed("worker"), city.progress("hospital"))
    day.dialects = city.hospitals
    day.reported = {slug: len(city.book(slug)["reports"]) for slug in city.hospitals}
    day.orders = {chain: Counter(order["status"] for order in books[chain]["orders"]) for chain in SELLERS}
    day.choices = books["hospital"]["choices"]
    day.runs, day.shown = city.count_runs(), city.count_runs("prescription")
    day.red_runs = city.red_runs()
    return day


def _live(city: SandboxCity, plan: Plan, console: Console, *, kills: Sequence[Moment],
          patience: float) -> recalls.Recall | None:
    """Show the day as it goes by, kill the worker at the moments named, recall a lot, and end when everything is at rest."""
    deadline, quiet, killed = time.monotonic() + patience, 0, 0
    recall: recalls.Recall | None = None
    began = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while quiet < 2:
            city.check()
            looked = time.monotonic()
            with suppress(httpx.HTTPError):
                rows = city.prescriptions()
                counts = Counter(row["status"] for row in rows)
                live.update(_screen(counts, plan, city, time.monotonic() - began, killed))
                if killed < len(kills) and kills[killed](time.monotonic() - began, len(rows) / len(plan.prescriptions)):
                    # From this thread: a child started by another one would end with it.
                    city.kill("worker")
                    killed += 1
                    time.sleep(0.5)
                    city.restart("worker")
                if recall is None and recalls.wanted(plan) and recalls.ready(plan, rows):
                    recall = recalls.make(city)
                done = killed == len(kills) and (recall is not None or not recalls.wanted(plan))
                quiet = quiet + 1 if done and at_rest(city, plan) else 0
            if time.monotonic() > deadline:
                return recall
            # To look at a large day takes long: it must not be all that the gateway does.
            time.sleep(max(0.5, 3 * (time.monotonic() - looked)))
    return recall


def _screen(counts: Counter[str], plan: Plan, city: SandboxCity, seconds: float, killed: int) -> Group:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("阶段 stage")
    table.add_column("处方 prescriptions", justify="right")
    table.add_column("")
    total = len(plan.prescriptions)
    for status, (zh, en) in STATUSES.items():
        if count := counts.get(status, 0):
            table.add_row(f"{zh} {en}", str(count), Text("█" * max(1, round(40 * count / total)), style="cyan"))
    progress: dict[str, Any] = {}
    with suppress(httpx.HTTPError):
        progress = city.progress("hospital")
    line = (f"{seconds:5.0f} s   已发 sent {progress.get('sent', 0)}/{total}   重发 retried {progress.get('retried', 0)}"
            f"   如期 as planned {progress.get('as_expected', 0)}/{total}   工作进程被杀 worker killed {killed}×")
    return Group(Text(line), table)


def show(day: Day, console: Console) -> None:
    """The summary: how many ended where and why, the money, the time per stage, the tie-out."""
    table = Table(title="结果 How it ended", title_justify="left", box=None, header_style="dim", pad_edge=False)
    for head, justify in (("情形 scenario", "left"), ("数量 n", "right"), ("如期 as planned", "right"),
                          ("结束于 ended as", "left")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type]
    for scenario in dict.fromkeys(rx.scenario for rx in sorted(day.ended, key=lambda rx: rx.scenario)):
        mine = [rx for rx in day.ended if rx.scenario == scenario]
        ends = Counter(f"{STATUSES.get(rx.status, (rx.status, ''))[0]} {rx.status}"
                       + (f" / {rx.money}" if rx.money != "none" else "") for rx in mine)
        right = sum(rx.right for rx in mine)
        table.add_row(scenario, str(len(mine)), Text(str(right), style="green" if right == len(mine) else "red"),
                      ", ".join(f"{count}× {end}" for end, count in ends.most_common()))
    console.print(table)
    hospitals = Table(title="\n医院 Hospitals", title_justify="left", box=None, header_style="dim", pad_edge=False)
    for head, justify in (("医院 hospital", "left"), ("方言 dialect", "left"), ("数量 n", "right"), ("如期 as planned", "right"),
                          ("已告知 reports heard", "right")):
        hospitals.add_column(head, justify=justify)  # type: ignore[arg-type]
    for slug, dialect in day.dialects.items():
        mine = [rx for rx in day.ended if rx.hospital == slug]
        right = sum(rx.right for rx in mine)
        hospitals.add_row(slug, DIALECTS[dialect], str(len(mine)),
                          Text(str(right), style="green" if right == len(mine) else "red"), str(day.reported[slug]))
    console.print(hospitals)
    chains = Table(title="\n连锁 Chains", title_justify="left", box=None, header_style="dim", pad_edge=False)
    for head, justify in (("连锁 chain", "left"), ("方式 how", "left"), ("订单 orders", "right"), ("已取药 handed over", "right")):
        chains.add_column(head, justify=justify)  # type: ignore[arg-type]
    for slug, counts in day.orders.items():
        speaks = CHAINS[slug].speaks if slug in CHAINS else "收件箱 inbox"
        chains.add_row(slug, speaks, str(counts.total()), str(counts["handed_over"] + counts["returned"]))
    console.print(chains)
    for rx in [rx for rx in day.ended if not rx.right][:10]:
        console.print(f"  [red]✗[/red] {rx.external_id} {rx.scenario}: {rx.status}/{rx.money}, "
                      f"应为 expected {'|'.join(sorted(rx.expected))}/{rx.expected_money}  {rx.why}")
    money = " ".join(f"{name} [bold]{amount / 100:,.2f}[/bold]" for name, amount in day.money.items())
    console.print(f"\n[bold]金额 Money[/bold] (元 yuan)  {money}")
    stages = Table(title="\n各阶段用时 Time per stage (s)", title_justify="left", box=None, header_style="dim", pad_edge=False)
    for head in ("阶段 stage", "n", "p50", "p95"):
        stages.add_column(head, justify="left" if head.startswith("阶") else "right")
    for status, row in day.stages.items():
        zh, en = STATUSES.get(status, (status, ""))
        stages.add_row(f"{zh} {en}", str(row["count"]), f"{row['p50']:.1f}", f"{row['p95']:.1f}")
    console.print(stages)
    stores = ", ".join(sorted(row["store"] for row in day.choices if row["store"])) or "无 none"
    waited = sum(row["in_time"] and not row["store"] for row in day.choices)
    console.print(f"\n[bold]自选药店 Patients who choose[/bold]  选了 chose: {stores}; 到时未选 let the time pass: {waited}")
    carried = ", ".join(f"{count}× {name}" for name, count in day.parcels.items()) or "无 none"
    console.print(f"[bold]取药点与丢失 Pick-up points, and what was lost[/bold]  {carried}")
    if day.recall:
        patients = len({order for order, _ in day.recall.handed_over})
        console.print(f"[bold]召回 Recall[/bold]  批号 lot {day.recall.lot}: 在途停止、换批号重配 stopped and packed anew "
                      f"{len(day.recall.packed_anew)}; 通知患者 patients to tell {patients}")
    took = ", ".join(f"{name} {yuan(amount)}" for name, amount in day.paid.items()) or "无 none"
    console.print(f"[bold]当面付款 Paid with the handover[/bold]  {took} 元 yuan")
    taken = ", ".join(f"{chain} {count}" for chain, count in day.webhooks.items()) or "无 none"
    console.print(f"[bold]推送 Webhooks[/bold]  {taken}: 收到并补读核对 taken, and the same read again by cursor")
    faults = ", ".join(f"{count}× {name}" for name, count in day.faults.items() if count) or "无 none"
    console.print(f"\n[bold]故障 Faults survived[/bold]  {faults}")
    console.print(f"[bold]Prefect[/bold]  {day.runs} 次运行 flow runs: {day.shown} 张处方各一次 one of each prescription; "
                  f"{len(day.red_runs)} 红色 red")
    for red in day.red_runs:
        console.print(f"  [red]✗[/red] {red}")
    if day.differences:
        console.print(Panel("\n".join(day.differences[:30]), title="账不平 The books disagree", border_style="red"))
    else:
        console.print(f"[bold]对账 Tie-out[/bold]  [green]✓[/green] {day.compared} 行逐笔一致 lines agree, one by one: "
                      "平台 platform = 医保 fund = 药房 chains = 配送 courier = 医院 hospital; 3201 平 agreed; "
                      "分录合计为零 postings sum to zero; "
                      "历史链完整 history chains verified")
    verdict = "[green]✓ 一切如期 Everything ended as it should[/green]" if day.good else "[red]✗ 有出入 Something is wrong[/red]"
    console.print(f"{verdict}  ({day.seconds:.0f} s)")


def _keep(city: SandboxCity, console: Console) -> None:
    console.print(Panel(
        f"Prefect          {city.urls['prefect']}   口令 password: {city.prefect_password}\n"
        f"运行看板 board     {city.urls['gateway']}/\n"
        f"审方台 review     {city.urls['gateway']}/review\n"
        f"登录 sign in      {city.urls['gateway']}/sign-in   运维 operator: {city.keys['operator']}   "
        f"药师 pharmacist: {city.keys['pharmacist 1']}\n按 Ctrl-C 结束 press Ctrl-C to end",
        title="继续运行 Still running", title_align="left"))
    while True:
        city.check()
        time.sleep(1)


def _fresh_folder(home: Path) -> Path:
    """A folder for this day; the oldest of the earlier ones go."""
    days = home / "days"
    days.mkdir(parents=True, exist_ok=True)
    for old in sorted(days.iterdir())[:-KEPT_DAYS]:
        if not _still_lived_in(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = days / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    folder.mkdir()
    (folder / "pid").write_text(str(os.getpid()))
    return folder


def _still_lived_in(folder: Path) -> bool:
    """Whether the process that made this day is still there, e.g. with --keep."""
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./go", description="城市的一天:从医院到医保结算。A city's day, from hospital to settlement.")
    parser.add_argument("--prescriptions", type=int,
                        help=f"处方数 how many (default 60, at least {ROUND} for every scenario); "
                             f"with --live 开始时已有 how many are there at the start (default {live.BEGINNING})")
    parser.add_argument("--seed", type=int, default=1, help="同一种子同一天 the same seed, the same day (default 1)")
    cities = sorted(policy.parent.name for policy in (ROOT / "cities").glob("*/policy.toml"))
    parser.add_argument("--city", default="jinan", choices=cities, help="城市 folder of cities/ (default jinan)")
    parser.add_argument("--keep", action="store_true", help="结束后继续运行 leave it running with its addresses")
    parser.add_argument("--live", action="store_true",
                        help="不断来方，真实时钟，至 Ctrl-C 为止 prescriptions trickle in at real clocks until Ctrl-C")
    parser.add_argument("--pharmacists", type=int, choices=(0, 1, 2),
                        help="with --live: 模拟药师数，0 即由您审方 simulated pharmacists; with 0 the queue is yours (default 1)")
    parser.add_argument("--no-faults", action="store_true", help="无故障 a day without faults")
    parser.add_argument("--per-second", type=float,
                        help=f"每秒发送 prescriptions sent per second (default 8; with --live {live.PER_SECOND})")
    parser.add_argument("--home", type=Path, default=ROOT / ".sanyi", help="数据目录 where data goes (default .sanyi)")
    parser.add_argument("--database-url", default="", help="SQLAlchemy address; default SQLite in the home folder")
    options = parser.parse_args(argv)
    if options.pharmacists is not None and not options.live:
        parser.error("--pharmacists: 仅与 --live 同用 only with --live")
    if options.live and options.keep:
        parser.error("--keep: --live 本就不停 --live goes on anyhow")
    for name, day, endless in (("prescriptions", 60, live.BEGINNING), ("per_second", 8.0, live.PER_SECOND),
                               ("pharmacists", 2, 1)):
        if getattr(options, name) is None:
            setattr(options, name, endless if options.live else day)
    if options.prescriptions < 1:
        parser.error("--prescriptions: 至少 1 at least 1")
    if not 0 < options.per_second <= 1000:
        parser.error("--per-second: 大于 0，至多 1000 more than 0, at most 1000")
    return options


if __name__ == "__main__":
    sys.exit(main())
