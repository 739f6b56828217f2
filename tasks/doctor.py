"""What is wrong with this installation and what to do about it: the checks behind `/ready` and `./go doctor`."""

import asyncio
import importlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from adapters import registry
from domain.errors import NeedsOperator, RxError
from domain.people import Role
from domain.policy import CityPolicy
from infra.cities import load_knowledge, load_policy
from infra.crypto import Cipher, anchor_key, make_cipher
from infra.db import Database, access_log, canary, figures, people, processes, schema, views
from infra.http import look, reach
from infra.objects import Archive, make_archive
from infra.settings import Settings
from tasks.anchors import Anchors

T = TypeVar("T")

PATIENCE = 8.0
"""Seconds for one check."""
SKEW_WATCH, SKEW_ACT = timedelta(seconds=5), timedelta(seconds=60)
"""How far another clock may be off: leases last 30 seconds, signatures and callbacks 300."""
DISK_SHARE = 10
"""Percent of a disk that should be free."""
POSTGRESQL = 15
RETENTION_DAYS = 5475
"""A-34: fifteen years."""
CANARY_SILENT = timedelta(minutes=3)


class Grade(StrEnum):
    """What a verdict asks of people."""

    FINE = "fine"
    WATCH = "watch"
    """Worth knowing; nobody must act now."""
    ACT = "act"
    """A person must do something."""


@dataclass(frozen=True)
class CheckResult:
    """What one check has found. Codes, names of settings and partners, counts; nothing about a person, no secret."""

    area: str
    grade: Grade
    text: str
    """In Chinese."""
    text_en: str
    cure: str = ""
    cure_en: str = ""
    page: str = ""
    """The page of docs/runbooks about it, without its ending."""
    milliseconds: int = 0

    @property
    def fine(self) -> bool:
        return self.grade is not Grade.ACT


def fine(area: str, text: str, text_en: str) -> CheckResult:
    return CheckResult(area, Grade.FINE, text, text_en)


def watch(area: str, page: str, text: str, text_en: str, cure: str, cure_en: str) -> CheckResult:
    return CheckResult(area, Grade.WATCH, text, text_en, cure, cure_en, page)


def act(area: str, page: str, text: str, text_en: str, cure: str, cure_en: str) -> CheckResult:
    return CheckResult(area, Grade.ACT, text, text_en, cure, cure_en, page)


async def within(seconds: float, call: Callable[[], T]) -> T:
    """The outcome of a blocking call. Raises `TimeoutError` when it takes longer; nobody waits for its end then."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def resolve(set_: Callable[[Any], None], outcome: object) -> None:
        if not answer.done():
            set_(outcome)

    def run() -> None:
        try:
            outcome = call()
        except Exception as error:
            told: tuple[Callable[[Any], None], object] = (answer.set_exception, error)
        else:
            told = (answer.set_result, outcome)
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve, *told)

    # Not the loop's own threads: those would be waited for at the end, and a dead disk never answers.
    Thread(target=run, daemon=True, name="check").start()
    return await asyncio.wait_for(answer, seconds)


async def asked(area: str, page: str, call: Callable[[], list[CheckResult]], seconds: float = PATIENCE) -> list[CheckResult]:
    """The verdicts of a blocking check, with the milliseconds it took. Whatever goes wrong is a verdict too."""
    began = time.monotonic()
    try:
        found = await within(seconds, call)
    except TimeoutError:
        found = [act(area, page, f"{seconds:.0f} 秒内没有应答", f"did not answer within {seconds:.0f} s", *_SEE)]
    except RxError as error:
        found = [told(area, page, error)]
    except Exception as error:
        name = type(error).__name__
        found = [act(area, page, f"检查失败：{name}", f"could not be checked: {name}", *_SEE)]
    taken = round((time.monotonic() - began) * 1000)
    return [replace(one, milliseconds=taken) for one in found]


_SEE = "见所列页面", "see the page"


def told(area: str, page: str, error: RxError) -> CheckResult:
    """The verdict of an error of ours. Its words are English and say what to do; its code and the names in it are for all."""
    named = re.findall(r"\bSANYI_[A-Z0-9_]*[A-Z0-9]|\b[\w/-]+\.(?:toml|csv)\b", str(error))
    what = "、".join(dict.fromkeys(named))
    return act(area, page, f"检查未通过：{error.code}", str(error), f"核对 {what}，改后重启" if what else _SEE[0], _SEE[1])


def _file(db: Database) -> Path:
    return Path(db.url.partition(":///")[2])


# --- what the gateway asks as well ---


def check_database(db: Database) -> list[CheckResult]:
    """Whether the database answers, and has at least what this release needs. During an upgrade a newer release has
    migrated it already; what still runs goes on, because migrations only add."""
    needed = max(schema.revisions())
    if db.sqlite and not _file(db).exists():
        # To connect would make one.
        return [act("database", "database-down", "还没有数据库文件", "there is no database file yet",
                    "启动网关，核对 SANYI_HOME", "start the gateway; check SANYI_HOME")]
    try:
        there = schema.current(db)
    except Exception as error:
        name = type(error).__name__
        return [act("database", "database-down", f"无法连接数据库（{name}）", f"unreachable ({name})",
                    "启动数据库，核对 SANYI_DATABASE_URL", "start it; check SANYI_DATABASE_URL")]
    if there and there not in schema.revisions():
        return [watch("database", "database-down", f"可用，结构 {there} 属于更新的版本，本版本为 {needed}",
                      f"answers; its schema {there} is a newer release's, ours is {needed}",
                      "完成升级：启动新版本", "finish the upgrade: start the newer release")]
    if there != needed:
        return [act("database", "database-down", f"数据库结构为 {there or '空'}，本版本需要 {needed}",
                    f"at migration {there or 'none'}, this release needs {needed}",
                    "启动本版本的网关或工作进程，它会迁移数据库", "start a gateway or worker of this release: it migrates")]
    return [fine("database", f"可用，结构 {there}", f"answers, schema {there}")]


def check_archive(archive: Archive) -> list[CheckResult]:
    """Whether something could be archived now."""
    try:
        archive.probe()
    except RxError as error:
        return [act("archive", "archive-down", f"归档不可写：{error.code}", f"not writable: {error.code}",
                    "核对 SANYI_ARCHIVE__… 与存储的权限、空间", "check SANYI_ARCHIVE__… and the store's rights and space")]
    return [fine("archive", "可写", "writable")]


async def check_prefect(api: str) -> list[CheckResult]:
    """Whether Prefect's API answers at all. The gateway does without; hops do not."""
    seen = await look(f"{api}/health", seconds=3)
    if seen.status == 200:
        found = fine("prefect", "可用", "answers")
    else:
        why = f"HTTP {seen.status}" if seen.status else seen.error
        found = act("prefect", "prefect-down", f"没有应答（{why}）", f"does not answer ({why})",
                    "启动 Prefect 服务；核对本进程的 PREFECT_API_URL（未设置时为 SANYI_PREFECT_UI_URL）",
                    "start its server; check PREFECT_API_URL of this process, or if it has none SANYI_PREFECT_UI_URL")
    return [replace(found, milliseconds=round(seen.seconds * 1000))]


# --- the whole installation ---


async def examine(settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[CheckResult]:
    """Everything but Prefect's own insides. Each part is checked though another is broken."""
    found = [*check_settings(settings)]
    ciphers: list[Cipher] = []
    found += await asked("keys", "settings", lambda: _keys(settings, ciphers))
    found += await _database(settings, ciphers, now)
    found += await asked("archive", "archive-down", lambda: _archive(settings))
    try:
        policy, _ = load_policy(settings.city), load_knowledge(settings.city)
    except NeedsOperator as error:
        return [*found, told("city", "settings", error)]
    if not any(verdict.area in ("database", "archive") and verdict.grade is Grade.ACT for verdict in found):
        # Without both there is nothing to compare, and what is wrong is said already.
        found += await asked("anchors", "books-differ", lambda: _anchors(settings, policy, now))
    return [*found, *await check_partners(settings, policy, now), *await _breakers(settings),
            *await _gateway(settings)]


def check_settings(settings: Settings) -> list[CheckResult]:
    """What can be set so that everything starts and still is wrong."""
    found = []
    if settings.time_scale != 1:
        found.append(watch("settings", "settings", f"时限被缩短 {settings.time_scale:g} 倍（仅用于演示）",
                           f"waiting times are divided by {settings.time_scale:g}, as in the sandbox",
                           "有真实患者时删除 SANYI_TIME_SCALE", "remove SANYI_TIME_SCALE where patients are real"))
    if settings.database_url.startswith("sqlite"):
        found.append(watch("settings", "settings", "数据库为 SQLite（仅用于试用）", "our database is SQLite, for trying out",
                           "生产环境设置 SANYI_DATABASE_URL 为 PostgreSQL", "in production set SANYI_DATABASE_URL to PostgreSQL"))
    if settings.archive.kind == "local":
        found.append(watch("settings", "settings", "归档为本地目录（仅用于试用）", "the archive is a folder, for trying out",
                           "生产环境设置 SANYI_ARCHIVE__KIND=s3", "in production set SANYI_ARCHIVE__KIND=s3"))
    if settings.archive.retention_days < RETENTION_DAYS:
        found.append(watch("settings", "settings", f"归档只保留 {settings.archive.retention_days} 天（A-34 要求 15 年）",
                           f"archived for {settings.archive.retention_days} days only; A-34 asks for 15 years",
                           "删除 SANYI_ARCHIVE__RETENTION_DAYS", "remove SANYI_ARCHIVE__RETENTION_DAYS"))
    return found or [fine("settings", "齐全", "complete")]


def _keys(settings: Settings, made: list[Cipher]) -> list[CheckResult]:
    made.append(make_cipher(settings))
    return [fine("keys", "已设置", "set")]


async def _database(settings: Settings, ciphers: Sequence[Cipher], now: Callable[[], datetime]) -> list[CheckResult]:
    db = Database(settings.database_url)
    try:
        found = await asked("database", "database-down", lambda: check_database(db))
        if not all(one.fine for one in found):
            return found
        found += await asked("database", "database-down", lambda: _server(db, now()))
        if ciphers:
            found += await asked("keys", "settings", lambda: _opens(db, ciphers[0]))
        found += [*await asked("people", "settings", lambda: check_people(db, settings)),
                  *await asked("access", "books-differ", lambda: check_access_log(db)),
                  *await asked("processes", "worker-down", lambda: check_processes(db, now()))]
        try:
            policy = load_policy(settings.city)
        except NeedsOperator:
            return found
        return found + await asked("work", "prescriptions-stuck", lambda: check_work(db, policy, now()))
    finally:
        db.close()


def _server(db: Database, now: datetime) -> list[CheckResult]:
    if db.sqlite:
        return _disk("database", "database-down", _file(db).parent)
    with db.reading() as session:
        server = figures.server(session)
    found = [*_skew("database", server.at, now)]
    if server.version < POSTGRESQL:
        found.append(act("database", "database-down", f"PostgreSQL {server.version} 过旧", f"PostgreSQL {server.version}",
                         f"升级到 {POSTGRESQL} 或更高", f"upgrade to {POSTGRESQL} or later"))
    for name in server.unsafe:
        found.append(act("database", "database-down", f"{name} 已关闭：断电会丢失已确认的数据",
                         f"{name} is off: a power cut loses what was confirmed",
                         f"在 postgresql.conf 中打开 {name}", f"set {name} = on in postgresql.conf"))
    if server.connections * 5 > server.connections_limit * 4:
        found.append(watch("database", "database-down", f"连接数 {server.connections}/{server.connections_limit}",
                           f"{server.connections} of {server.connections_limit} connections are taken",
                           "调高 max_connections 或减少进程", "raise max_connections, or run fewer processes"))
    # A server on another host does not tell how much room is left on its disk.
    return found or [fine("database", f"PostgreSQL {server.version}，{server.megabytes} MB",
                          f"PostgreSQL {server.version}, {server.megabytes} MB")]


def _opens(db: Database, cipher: Cipher) -> list[CheckResult]:
    """Whether the key is the one the rows were sealed with; what was opened is forgotten at once."""
    with db.reading() as session:
        newest = figures.newest_sealed(session)
    if newest is None:
        return []
    cipher.open(newest[1], f"patient/{newest[0]}")
    return [fine("keys", "可打开最近的处方", "open the newest prescription")]


def check_access_log(db: Database) -> list[CheckResult]:
    """Whether the access log is what was written."""
    with db.reading() as session:
        broken, entries = access_log.verify(session), access_log.count(session)
    if broken:
        return [act("access", "books-differ", f"{len(broken)} 人的访问日志被改动", "; ".join(map(str, broken[:3])),
                    "查清谁改动了数据库", "find out who changed the database")]
    return [fine("access", f"访问日志完整，{entries} 条", f"the access log is whole, entries: {entries}")]


def check_people(db: Database, settings: Settings) -> list[CheckResult]:
    """Whether anybody can review and operate, by the settings or by a role given on the page."""
    with db.reading() as session:
        held = {had.grant.role for person in people.listed(session) if not person.ended_at
                 for had in person.grants if not had.ended_at and had.by != people.ENVIRONMENT}
    missing = []
    if not settings.pharmacists and not held & {Role.PHARMACIST, Role.SENIOR}:
        missing.append(act("people", "settings", "没有药师：无人审方", "no pharmacist: nobody can review",
                         "在 /people 页添加药师，或设置 SANYI_PHARMACISTS__<编号>",
                         "add one on /people, or set SANYI_PHARMACISTS__<ID>"))
    if not settings.operators and Role.OPERATOR not in held:
        missing.append(act("people", "settings", "没有运维人员：看不到看板", "no operator: nobody sees the board",
                         "在 /people 页添加运维，或设置 SANYI_OPERATORS__<编号>",
                         "add one on /people, or set SANYI_OPERATORS__<ID>"))
    return missing or [fine("people", "有药师与运维", "there are pharmacists and operators")]


def _archive(settings: Settings) -> list[CheckResult]:
    if settings.archive.kind != "local":
        return check_archive(make_archive(settings))
    folder = settings.archive.folder or settings.home / "archive"
    if not folder.exists():
        return [act("archive", "archive-down", "归档目录不存在", "its folder is not there",
                    "启动网关，核对 SANYI_ARCHIVE__FOLDER", "start the gateway; check SANYI_ARCHIVE__FOLDER")]
    found = check_archive(make_archive(settings))
    return found + _disk("archive", "archive-down", folder) if found[0].fine else found


def _anchors(settings: Settings, policy: CityPolicy, now: Callable[[], datetime]) -> list[CheckResult]:
    """Whether the histories of the last days are what their roots say."""
    if not settings.anchor_key.get_secret_value():
        return [watch("anchors", "settings", "履历未锚定：能改数据库的人可改写履历",
                      "histories are not anchored: whoever writes in the database can rewrite them",
                      "设置 SANYI_ANCHOR_KEY（运维进程）", "set SANYI_ANCHOR_KEY for the operations worker")]
    folder = settings.archive.folder or settings.home / "archive"
    db = Database(settings.database_url)
    try:
        if (db.sqlite and not _file(db).exists()) or (settings.archive.kind == "local" and not folder.exists()):
            return []  # Said above.
        zone = ZoneInfo(policy.timezone)
        ours = Anchors(db, make_archive(settings), policy.slug, zone, anchor_key(settings), now)
        wrong = ours.verify(now().astimezone(zone).date() - timedelta(days=3))
    finally:
        db.close()
    if wrong:
        return [act("anchors", "books-differ", f"{len(wrong)} 处履历与每日锚定不符", "; ".join(str(one) for one in wrong[:3]),
                    "查清谁改动了数据库；缺少锚定则运行 anchor/history-anchor",
                    "find out who changed the database; where a root is missing run anchor/history-anchor")]
    return [fine("anchors", "与每日锚定一致", "the last days agree with their roots")]


def _disk(area: str, page: str, folder: Path) -> list[CheckResult]:
    usage = shutil.disk_usage(folder)
    free = usage.free * 100 // usage.total
    text, text_en = f"磁盘剩余 {free}%", f"{free} % of the disk is free"
    if free < DISK_SHARE:
        return [act(area, page, text, text_en, "清理或扩容", "make room, or enlarge it")]
    return [fine(area, text, text_en)]


def _skew(area: str, theirs: datetime | None, ours: datetime) -> list[CheckResult]:
    if theirs is None:
        return []
    off = abs(theirs - ours)
    if off < SKEW_WATCH:
        return []
    say = act if off >= SKEW_ACT else watch
    seconds = f"{off.total_seconds():.0f}"
    return [say(area, "clocks", f"时钟相差 {seconds} 秒", f"its clock and ours differ by {seconds} s",
                "用 NTP 校准时钟：租约与签名都按时钟判断", "set the clocks by NTP: leases and signatures go by them")]


def check_processes(db: Database, now: datetime) -> list[CheckResult]:
    """Who is alive, and whether the whole way through Prefect was gone lately."""
    with db.reading() as session:
        alive = [one for one in processes.alive(session, now) if one.kind != canary.KIND]
        sang = canary.last(session)
    kinds = {kind: sum(one.kind == kind for one in alive) for kind in ("gateway", "worker", "operations")}
    found = [act("processes", "worker-down", f"没有运行中的 {kind} 进程", f"no {kind} is alive",
                 f"启动：{start}", f"start: {start}")
             for kind, start in _STARTS.items() if not kinds[kind]]
    if len(releases := sorted({one.version for one in alive})) > 1:
        found.append(watch("processes", "worker-down", f"版本混用：{', '.join(releases)}",
                           f"releases are mixed: {', '.join(releases)}", "完成升级", "finish the upgrade"))
    if sang is None or now - sang > CANARY_SILENT:
        ago = "" if sang is None else f" {(now - sang).total_seconds() / 60:.0f} min"
        say = watch if sang is None else act
        found.append(say("processes", "canary-silent", f"金丝雀未成功{ago}", f"no canary came through{ago and ' for' + ago}",
                         "查看 Prefect 服务与运维进程；首次安装请等一分钟",
                         "see Prefect's server and the operations worker; after an installation wait a minute"))
    if not found:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        found.append(fine("processes", counts, counts))
    return found


_STARTS = {"gateway": ".venv/bin/python -m gateway --port 8000", "worker": ".venv/bin/python -m flows.worker",
           "operations": ".venv/bin/python -m flows.resident"}
"""By hand on a plain host; docs/runbooks/README.md says what comes before, and how it is said elsewhere."""

_PAGES = {"overdue": "queue-old", "forgotten": "queue-old", "open_intent": "effects-unknown", "outbox": "outbox-lagging",
          "review_late": "review-late", "day_unmatched": "books-differ", "discrepancy": "books-differ",
          "notice": "partner-notices"}
"""Runbook page by kind of the board's concern; any other is about a prescription that does not move."""


def check_work(db: Database, policy: CityPolicy, now: datetime) -> list[CheckResult]:
    """What does not move as it should, with its reason: the concerns of the board."""
    with db.reading() as session:
        board = views.board(session, now, policy)
    found = []
    for one in board.concerns:
        example = f" {one.examples[0].prescription_id} {one.examples[0].note}".rstrip() if one.examples else ""
        page = _PAGES.get(one.kind.partition(":")[0], "prescriptions-stuck")
        say = act if one.act else watch
        found.append(say("work", page, f"{one.count}× {one.what}{example}", f"{one.count}× {one.what_en}{example}",
                         one.cure, one.cure_en))
    return found or [fine("work", f"{board.open} 张处方在办，无积压", f"{board.open} prescriptions under way, nothing is stuck")]


# --- partners and the gateway ---


async def check_partners(settings: Settings, policy: CityPolicy, now: Callable[[], datetime]) -> list[CheckResult]:
    """Whether each partner of the city has an address and its secrets, answers, and has the right time."""
    wanted: list[tuple[registry.Kind, str]] = [
        *(("chains", slug) for slug in policy.chains), ("payers", policy.payer),
        *(("hospitals", terms.slug) for terms in policy.hospitals)]
    answers = await asyncio.gather(*(_partner(settings, kind, slug, now) for kind, slug in wanted))
    return [one for found in answers for one in found]


async def _partner(settings: Settings, kind: registry.Kind, slug: str, now: Callable[[], datetime]) -> list[CheckResult]:
    area, address = f"partner {slug}", settings.partner_urls.get(slug)
    if kind == "chains" and registry.manifest(kind, slug).shops:
        return [fine(area, "使用本平台页面", "works from our pages")]
    secrets = {name: secret.get_secret_value() for name, secret in settings.partner_secrets.get(slug, {}).items()}
    lacks = [] if address else [f"SANYI_PARTNER_URLS__{slug.upper()}"]
    adapter = importlib.import_module(f"adapters.{kind}.{slug}.adapter").Adapter
    # What a hospital shows us is the door's business, so its adapter does not ask for it.
    required = (*adapter.SECRETS, *getattr(adapter, "SHOWS", ()))
    if address and address.startswith("mllp:") and slug not in settings.mllp_ports:
        lacks.append(f"SANYI_MLLP_PORTS__{slug.upper()}")
    lacks += [f"SANYI_PARTNER_SECRETS__{slug.upper()}__{name.upper()}" for name in required if not secrets.get(name)]
    found = [act(area, "partner-failing", f"未设置 {', '.join(lacks)}", f"not set: {', '.join(lacks)}",
                 "对照 .env.example 设置", "set it, see .env.example")] if lacks else []
    if address is None:
        return found
    seen = await reach(address)
    if not seen.status:
        found.append(act(area, "partner-failing", f"无法连接（{seen.error}）", f"cannot be reached ({seen.error})",
                         "核对地址、防火墙，联系合作方", "check address and firewall, call the partner"))
    found += _skew(area, seen.date, now())
    found = found or [fine(area, "可达", "answers")]
    return [replace(one, milliseconds=round(seen.seconds * 1000)) for one in found]


async def _breakers(settings: Settings) -> list[CheckResult]:
    """Whom the worker of this host has stopped asking; only its own page knows."""
    if not settings.metrics_port:
        return []
    seen = await look(f"http://{settings.metrics_host}:{settings.metrics_port}/metrics")
    if seen.status != 200:
        return [watch("processes", "worker-down", "工作进程的指标页没有应答", "the worker's page of metrics does not answer",
                      "核对 SANYI_METRICS_PORT", "check SANYI_METRICS_PORT")]
    return open_breakers(seen.body.decode("utf-8", "replace"))


def open_breakers(page: str) -> list[CheckResult]:
    """A verdict for each partner whose breaker a page of metrics calls open."""
    return [act(f"partner {slug}", "breaker-open", "熔断：连续失败，暂停调用", "its breaker is open: it failed too often in a row",
                "联系合作方；恢复后自动重试", "call the partner; it is asked again by itself")
            for slug in re.findall(r'^sanyi_breaker\{partner="([^"]+)",state="open"\} 1\.0$', page, re.M)]


async def _gateway(settings: Settings) -> list[CheckResult]:
    seen = await look(f"{settings.gateway_url}/ready", seconds=PATIENCE)
    if seen.status == 200:
        found = fine("gateway", "就绪", "ready")
    else:
        why = f"HTTP {seen.status}" if seen.status else seen.error
        found = act("gateway", "gateway-down", f"未就绪（{why}）", f"not ready ({why})",
                    "启动网关，查看 /ready", "start it; /ready says what it lacks")
    return [replace(found, milliseconds=round(seen.seconds * 1000))]


def worst_first(found: Iterable[CheckResult]) -> list[CheckResult]:
    """What needs a person, then what is worth knowing, then the rest."""
    order: Mapping[Grade, int] = {Grade.ACT: 0, Grade.WATCH: 1, Grade.FINE: 2}
    return sorted(found, key=lambda one: order[one.grade])
