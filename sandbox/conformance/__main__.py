"""`./go conformance NAME`: let a hospital live through a day on a separate platform, or examine a chain; judge, write it down."""

import argparse
import asyncio
import json
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from sandbox.book import Book
from sandbox.chain import CHAINS
from sandbox.city import SandboxCity
from sandbox.conformance import chains
from sandbox.conformance.flaws import FLAWS
from sandbox.conformance.judge import judge
from sandbox.conformance.record import Record, Recorder, Told
from sandbox.conformance.relay import Relay
from sandbox.conformance.report import Certified, write
from sandbox.conformance.samples import Samples, read_samples
from sandbox.dialects import Line, Speaker, speaker
from sandbox.hospital import Hospital
from sandbox.partner import Background, Setting, partner_app
from sandbox.plan import HOSPITALS, ROUND, Plan, Planned, make_plan
from sandbox.processes import ROOT, ChildDied, Processes

PRESCRIPTIONS = ROUND
"""Each scenario of a day at least once."""
PATIENCE = 300
"""Seconds until the day is judged, also if something is missing."""
QUIET = 90
"""Seconds without a message or a report after which nothing more is expected. Prefect's server on SQLite may pause for a
minute on a busy machine.
"""
WITH_A_FLAW = 120
"""The same where something is missing for certain."""
COPIES = 5
"""How often one message arrives at once."""


class Stage(SandboxCity):
    """A city in which one hospital sends. It lives in this process, where every message passes before our eyes."""

    def __init__(self, folder: Path, processes: Processes, *, slug: str, hospital: str) -> None:
        self.hospital = hospital
        self.secrets: dict[str, str] = {}
        self.options: dict[str, str] = {}
        super().__init__(folder, processes, slug=slug, seed=1, faults={}, per_second=4)

    def _partner(self, name: str, env: dict[str, str], *options: str, module: str = "") -> None:
        if name != self.hospital:
            if module != "hospital":  # the others have a contract, and nothing to send today
                super()._partner(name, env, *options, module=module)
            return
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.secrets = {key.removeprefix("SANDBOX_HOSPITAL_"): value for key, value in env.items()}
        self.options = {option.removeprefix("--"): value for option, value in zip(options[::2], options[1::2], strict=True)}

    def send(self, prescriptions: int, expiring_seconds: int = 40) -> Plan:
        plan = make_plan(self.slug, prescriptions, self.seed, datetime.now(UTC), expiring_seconds, (self.hospital,))
        plan.save(self.folder)
        return plan


class Examined(Hospital):
    """A hospital that lives through its day, and shows what a day does not show by itself."""

    def __init__(self, setting: Setting, book: Book, background: Background, tested: Speaker, recorder: Recorder,
                 samples: Samples) -> None:
        super().__init__(setting, book, background, tested)
        self._recorder = recorder
        self._samples = samples
        self.done = False
        self.failed = ""
        """Why the day broke off, if it did: then nothing can be judged."""

    async def _day(self) -> None:
        try:
            await self._lived()
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"
            raise

    async def _until_allocating(self, planned: Planned) -> None:
        # Not every line can be asked where a prescription is.
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await super()._until_allocating(planned)

    async def _lived(self) -> None:
        while not (self.setting.state / "plan.json").exists():  # noqa: ASYNC110  the main thread writes it
            await asyncio.sleep(0.2)
        plan = Plan.load(self.setting.state)
        await self._send_samples()
        await self._at_once(plan)
        day = asyncio.create_task(super()._day())
        await self._repeat(plan)
        await day
        self.done = True

    async def _send_samples(self) -> None:
        # The invalid ones first: often they are a valid one with a mistake, under its key, and what is refused may be corrected.
        for name, body in (*self._samples.invalid.items(), *self._samples.valid.items()):
            try:
                await self._recorder.send_sample(name, body)
            except Exception:  # noqa: S112  a message so broken that its own sender cannot read it; the judge misses it
                continue

    async def _at_once(self, plan: Plan) -> None:
        """One message several times at the same moment, as after a restart of two servers."""
        first = next(planned for planned in plan.prescriptions if planned.scenario == "settled_home")
        body = self.speaker.prescription(first.facts)
        await asyncio.gather(*(self._recorder.send_again(body, "at once") for _ in range(COPIES)))

    async def _repeat(self, plan: Plan) -> None:
        """A hospital that lost the answer sends the message again: it must be the same, to the byte."""
        for planned in [planned for planned in plan.prescriptions if planned.scenario.startswith("settled")][:3]:
            while self.book.get("answered", planned.key) is None:  # noqa: ASYNC110  the day goes on beside
                await asyncio.sleep(0.2)
            await self._insist(self.speaker.prescription(planned.facts), "repeat")

    async def _insist(self, body: bytes, why: str) -> None:
        for pause in (0.3, 1, 3):
            if await self._recorder.send_again(body, why) is not None:
                return
            await asyncio.sleep(pause)


def certify(stage: Stage, dialect: str, samples: Samples, flaw: str = "", endpoint: str = "", *, say: Any = print
            ) -> tuple[Record, Plan]:
    """Let the hospital live through its day on the stage; what went over the line, and what was planned.

    With an endpoint, reports go to the hospital's own test address and count only if they are taken there.
    """
    record = Record()
    stage.start_partners()
    examined_hospitals: list[Examined] = []

    def hear(key: str, report: dict[str, Any]) -> None:
        record.reports.append(Told(datetime.now(UTC), key, report))
        examined_hospitals[0].report(key, report)

    line = Line(stage.hospital, stage.urls["gateway"], stage.options, stage.secrets, hear)
    recorder = Recorder(speaker(dialect, line), record, dialect)
    tested = FLAWS[flaw][0](recorder) if flaw else recorder
    setting = Setting(stage.folder / stage.hospital, urls=stage.options)
    book, background = Book(setting.state / "hospital.sqlite"), Background()
    hospital = Examined(setting, book, background, tested, recorder, samples)
    examined_hospitals.append(hospital)
    app = partner_app(stage.hospital, setting, book, hospital.show_book, background, hospital.start)
    tested.doors(app)
    if endpoint:
        app.add_middleware(Relay, endpoint=endpoint)

    @app.get("/progress")
    async def progress() -> dict[str, Any]:
        return hospital.progress()

    with _served(app, stage.ports[stage.hospital]):
        say("启动平台 starting the platform…")
        stage.start_product()
        say("发送样例与生成的消息 sending samples and generated messages…")
        plan = stage.send(PRESCRIPTIONS)
        _until_quiet(stage, hospital, record, plan, WITH_A_FLAW if flaw else PATIENCE)
    return record, plan


def _until_quiet(stage: Stage, hospital: Examined, record: Record, plan: Plan, patience: float) -> None:
    """Until everything has ended as planned and was reported, or nothing happens any more."""
    ends = {planned.external_id: planned.expected_status for planned in plan.prescriptions}
    deadline, seen, changed = time.monotonic() + patience, 0, time.monotonic()
    while time.monotonic() < min(deadline, changed + QUIET):
        stage.check()
        if hospital.failed:
            raise TimeoutError(f"the hospital's day broke off: {hospital.failed}")
        if len(record.sent) + len(record.reports) != seen:
            seen, changed = len(record.sent) + len(record.reports), time.monotonic()
        last = {number: [str(report["status"]) for report in record.heard_of(number)] for number in ends}
        if hospital.done and all(statuses and statuses[-1] in ends[number] for number, statuses in last.items()):
            return
        time.sleep(0.5)


@contextmanager
def _served(app: Any, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="critical", access_log=False,
                                           timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, name="hospital", daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def main(argv: Sequence[str] | None = None) -> int:
    options = _arguments(argv)
    if (ROOT / "adapters" / "chains" / options.hospital / "manifest.toml").exists():
        return chains.main(options.hospital, options.endpoint, options.listen, options.out, options.json)
    folder = ROOT / "adapters" / "hospitals" / options.hospital
    if not (folder / "manifest.toml").exists():
        there = ", ".join(sorted(path.parent.name for path in folder.parent.glob("*/manifest.toml")))
        sys.exit(f"× 没有这家医院或连锁 no such hospital or chain: {options.hospital}; {there}, {', '.join(sorted(CHAINS))}")
    facts: Mapping[str, Any] = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    dialect = HOSPITALS[options.city].get(options.hospital, "")
    if not dialect:
        sys.exit(f"× {options.hospital}: 请先写入 sandbox/plan.py 的 HOSPITALS 与 cities/{options.city}/policy.toml "
                 "add it to HOSPITALS in sandbox/plan.py and to the city's policy first")
    began, clock = datetime.now(UTC), time.monotonic()
    home = options.out or ROOT / ".sanyi" / "conformance" / f"{options.hospital}-{began:%Y%m%d-%H%M%S}"
    try:
        with Processes(home / "logs") as processes:
            stage = Stage(home / "city", processes, slug=options.city, hospital=options.hospital)
            samples = read_samples(folder / "samples")
            record, plan = certify(stage, dialect, samples, options.flaw, options.endpoint)
    except (ChildDied, TimeoutError, httpx.HTTPError) as error:
        print(f"× {error}\n  {home / 'logs'}")
        return 2
    judged = judge(record, plan, samples)
    certified = Certified(options.hospital, facts["name"], facts["name_en"], dialect, began, time.monotonic() - clock, judged,
                          options.flaw)
    page, data = write(certified, record, home)
    for result in judged:
        rule = result.requirement
        print(f"{'✓' if result.passed else '✗'} {rule.id} {rule.words.zh} {rule.words.en}: {result.seen.en}")
    if options.json:
        print(json.dumps({result.requirement.id: result.passed for result in judged}))
    print(f"{'通过 passed' if certified.passed else '未通过 not passed'} ({certified.seconds:.0f} s)\n  {page}\n  {data}")
    return 0 if certified.passed else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./go conformance", description=(
        "医院接入认证：样例、正确、错误、重复、迟到、冲突与撤销消息。Certify a hospital: samples, good, bad, repeated, late, "
        "conflicting and cancel traffic over its real line. 连锁接入认证：报价、预占、订单、取消与消息。Or a chain: quotes, holds, "
        "orders, cancels and updates, through its own adapter."))
    parser.add_argument("hospital", metavar="NAME", help="医院或连锁代号 folder of adapters/hospitals/ or adapters/chains/")
    parser.add_argument("--city", default="jinan", choices=sorted(HOSPITALS))
    parser.add_argument("--flaw", default="", choices=["", *FLAWS], help="有意放入的缺陷 put a flaw in, to see it caught")
    parser.add_argument("--endpoint", default="", metavar="URL", help=(
        "医院自己的测试地址：报告转送到那里并以其应答为准（HTTP 方言） the hospital's own test address for reports (HTTP)；"
        "连锁自己的测试地址 or the chain's, with SANYI_PARTNER_SECRETS__<NAME>__… set"))
    parser.add_argument("--listen", default="", metavar="[HOST:]PORT", help=(
        "连锁测试系统的回调发到这里，仅用于 --endpoint where the callbacks of a chain's own test system come"))
    parser.add_argument("--out", type=Path, help="报告目录 folder of the report (default .sanyi/conformance/…)")
    parser.add_argument("--json", action="store_true", help="逐条结论 verdicts as JSON on the last line but three")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
