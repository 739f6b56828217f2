"""A city to try by hand: prescriptions come in one by one until Ctrl-C, and people's clocks go at their real pace.

Orders go faster than in life, so that their moves are seen; no process is killed. A visitor finds a queue of reviews and
orders under way, and may be the pharmacist.
"""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domain.lifecycle import Owner
from domain.words import STATUSES
from sandbox.city import Pharmacists, SandboxCity, Tempo
from sandbox.dialects import DIALECTS, fhir
from sandbox.plan import Plan, Trickle, samples
from sandbox.shopkeeper import SHOPS

TEMPO = Tempo(time_scale=1, chains=60, patients=10, pharmacists=90, hold_at_point=0, visited=True)
"""An order takes some minutes, a pharmacist ten to fifty seconds for a review; deadlines and claims are the real ones."""
PER_SECOND = 0.05
"""One prescription in twenty seconds: one simulated pharmacist does not quite keep up."""
BEGINNING = 24
BEGINNING_PER_SECOND = 8.0
EXPIRING_SECONDS = 1200
"""What is left of the validity of those that expire while one looks."""
SAMPLES = 20
LOOK_SECONDS = 3.0
"""Between two looks at where prescriptions are."""
LINE_SECONDS = 30.0
"""Between two lines of progress where they cannot be written in place."""
FILLING_SECONDS = 240.0
"""So long the beginning is waited for; then the addresses are printed all the same."""


@dataclass(frozen=True)
class Visit:
    """What a visitor has in hand."""

    curl: str
    """A command that sends a prescription; empty if no hospital of the city speaks FHIR."""
    keys: Path
    """File with every address and key."""


def pharmacists(at_work: int, beginning: int) -> Pharmacists:
    """Half of the beginning is reviewed at once, so that there are orders; the rest waits for the visitor to review."""
    return Pharmacists(at_work, beginning // 2)


def run(city: SandboxCity, beginning: int, per_second: float, console: Console) -> None:
    """Fill a city that has been started, print what a visitor needs, and let prescriptions trickle in until Ctrl-C.

    Raises `ChildDied` when a process of the city ends by itself.
    """
    with console.status("填充队列 filling the queues…"):
        trickle = Trickle(city.slug, beginning, city.seed, datetime.now(UTC), EXPIRING_SECONDS, tuple(city.hospitals))
        city.begin(trickle.beginning)
        visit = _receive_visitors(city)
        _until_filled(city, beginning)
    _show(city, visit, console)
    with suppress(KeyboardInterrupt):
        _go_on(city, trickle, per_second, console)


def progress(statuses: Sequence[Mapping[str, Any]]) -> str:
    """Where prescriptions are, in one line, from the board's counts by status."""
    under_way = {row["status"]: row["count"] for row in statuses if row["count"] and row["owner"] != Owner.NOBODY}
    where = [f"{STATUSES[status].zh} {STATUSES[status].en} {under_way[status]}" for status in STATUSES if status in under_way]
    ended = sum(row["count"] for row in statuses) - sum(under_way.values())
    return " · ".join([f"途中 under way {sum(under_way.values())}", *where, f"今日结束 ended today {ended}"])


def curl(door: str, token: str, file: Path) -> str:
    """A command for any shell and from any folder; a proxy of the environment does not get in its way."""
    return " \\\n  ".join([
        f"curl -i --noproxy '*' {shlex.quote(door)}", f"-H {shlex.quote(f'Authorization: Bearer {token}')}",
        "-H 'Content-Type: application/fhir+json'", f"--data-binary {shlex.quote(f'@{file}')}"])


def _receive_visitors(city: SandboxCity) -> Visit:
    """Write samples for a visitor to send, and every address and key."""
    command = ""
    if sender := next((name for name, dialect in city.hospitals.items() if dialect == "fhir"), ""):
        facts, people = samples(sender, SAMPLES, datetime.now(UTC))
        city.register(people)
        folder = city.folder / "samples"
        folder.mkdir()
        for number, visitor in enumerate(facts, 1):
            (folder / f"{number}.json").write_text(json.dumps(fhir.bundle(visitor), ensure_ascii=False, indent=2), encoding="utf-8")
        door, keys = city.door(sender)
        command = curl(door, keys["TOKEN"], (folder / "1.json").resolve())
    file = city.folder / "keys.txt"
    file.touch(mode=0o600)
    file.write_text("".join(f"{line}\n" for line in _keys(city)), encoding="utf-8")
    return Visit(command, file.resolve())


def _keys(city: SandboxCity) -> list[str]:
    lines = [f"gateway {city.urls['gateway']}", f"prefect {city.urls['prefect']} {city.prefect_password}",
             *(f"{name} {city.keys[name]}" for name in ("operator", "pharmacist 1", "pharmacist 2",
                                                    *(f"shop {shop}" for shop in SHOPS)))]
    for hospital in city.hospitals:
        door, keys = city.door(hospital)
        lines += [f"{hospital} {door}", *(f"{hospital} {name} {value}" for name, value in keys.items())]
    return lines


def _until_filled(city: SandboxCity, beginning: int) -> None:
    """Until the beginning has been sent and audited, its first half reviewed, and Prefect knows what there is to show."""
    deadline = time.monotonic() + FILLING_SECONDS
    while time.monotonic() < deadline:
        city.check()
        with suppress(httpx.HTTPError):
            counts = {row["status"]: row["count"] for row in city.ops("board")["statuses"]}
            moving = counts.get("received", 0) + counts.get("audited", 0)
            reviewed = city.progress("pharmacist")["decided"] >= city.pharmacists.at_once or not counts.get("in_review")
            if sum(counts.values()) >= beginning and not moving and reviewed and city.deployed():
                return
        time.sleep(0.5)


def _go_on(city: SandboxCity, trickle: Trickle, per_second: float, console: Console) -> None:
    """One prescription after the other, and one line that says where they are."""
    begin = time.monotonic()
    sent, looked, waiting = 0, 0.0, None
    line = _Line(console)
    with Live(line.text, console=console, auto_refresh=False, transient=True) as live:
        while True:
            city.check()
            now = time.monotonic()
            if waiting or (now - begin) * per_second >= sent + 1:
                waiting = _added(city, waiting or trickle.next(datetime.now(UTC)))
                sent += waiting is None
            if now - looked >= LOOK_SECONDS:
                looked = now
                line.say(_where(city))
                if console.is_terminal:
                    live.update(line.text, refresh=True)
            time.sleep(0.25)


def _added(city: SandboxCity, plan: Plan) -> Plan | None:
    """The plan itself if it has to be added once more, because a partner did not answer."""
    try:
        city.add(plan)
    except httpx.HTTPError:
        return plan
    return None


def _where(city: SandboxCity) -> str:
    try:
        return progress(city.ops("board")["statuses"])
    except httpx.HTTPError:
        return "网关未答复 the gateway does not answer"


class _Line:
    """The line of progress: in place on a terminal, elsewhere a new line now and then."""

    def __init__(self, console: Console) -> None:
        self.text = Text("", no_wrap=True, overflow="ellipsis")
        self._console = console
        self._printed_at = float("-inf")
        self._printed = ""

    def say(self, words: str) -> None:
        self.text = Text(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {words}", style="dim", no_wrap=True, overflow="ellipsis")
        now = time.monotonic()
        if not self._console.is_terminal and words != self._printed and now - self._printed_at >= LINE_SECONDS:
            self._console.print(self.text, soft_wrap=True)
            self._printed, self._printed_at = words, now


def _show(city: SandboxCity, visit: Visit, console: Console) -> None:
    gateway = city.urls["gateway"]
    pages = Table(box=None, show_header=False, pad_edge=False)
    for row in (
            ("登录 sign in", f"{gateway}/sign-in", "先登录，每人一个登录码 first of all; a code for each person, below"),
            ("运行看板 board", f"{gateway}/", "处方在哪里，该谁动 where prescriptions are, whose move it is"),
            ("处方 prescriptions", f"{gateway}/rx", "每张处方为何在此 why each is where it is"),
            ("审方台 review desk", f"{gateway}/review", "仅药师可决定 only pharmacists decide"),
            ("药店订单 shop's inbox", f"{gateway}/inbox", "接单、备药、交付、库存 a shop without a system"),
            ("编码对照 mapping", f"{gateway}/mapping", "待人对照的编码 codes that wait for a person"),
            ("Prefect", city.urls["prefect"], f"口令 password  {city.prefect_password}")):
        pages.add_row(*row)
    people = Table(box=None, show_header=False, pad_edge=False)
    people.add_row("运维 operator", city.keys["operator"], "")
    for number in (1, 2):
        at_work = "由模拟药师使用 a simulated pharmacist uses it, you may too" if number <= city.pharmacists.at_work else \
            "归您使用 yours"
        people.add_row(f"药师 pharmacist {number}", city.keys[f"pharmacist {number}"], at_work)
    for shop in SHOPS:
        people.add_row(f"药店 shop {shop}", city.keys[f"shop {shop}"],
                       "归您使用 yours" if shop == SHOPS[0] else "模拟店员也在用，可抢先 a simulated person uses it too; be faster")
    hospitals = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("医院 hospital", "方言 dialect", "入口 door", "口令 token"):
        hospitals.add_column(head, overflow="fold")
    for name, dialect in city.hospitals.items():
        door, keys = city.door(name)
        token = keys.get("TOKEN") or ("密钥在文件中 keys in the file below" if keys else "无 none")
        hospitals.add_row(name, DIALECTS[dialect], door, token)
    for title, table in (("页面 Pages", pages), ("登录码 Sign-in codes", people), ("医院 Hospitals", hospitals)):
        console.print(Panel(table, title=title, title_align="left"))
    console.print(f"全部地址与密钥 every address and key: {visit.keys}", soft_wrap=True)
    if visit.curl:
        console.print("\n[bold]发一张处方 Send a prescription[/bold]  再发一次即得原答复（sanyi-replayed: true）；"
                      f"其余样例 2.json 至 {SAMPLES}.json\nsend it again: the same answer, as a replay; "
                      f"further samples beside it, 2.json to {SAMPLES}.json", soft_wrap=True)
        console.print(visit.curl, markup=False, highlight=False, soft_wrap=True)
    console.print("\n按 Ctrl-C 结束 press Ctrl-C to end")
