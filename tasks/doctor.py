"""What is wrong with this installation and what to do about it: the checks of `./go doctor`."""

import asyncio
import importlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from adapters import registry
from domain.errors import NeedsOperator
from domain.people import Role
from domain.policy import CityPolicy
from domain.words import Two
from infra.cities import load_knowledge, load_policy
from infra.crypto import Cipher, anchor_key, make_cipher
from infra.db import Database, access_log, canary, figures, people, processes, views
from infra.http import look, reach
from infra.objects import make_archive
from infra.settings import Settings
from tasks.anchors import Anchors
from tasks.checks import (
    PATIENCE,
    CheckResult,
    Grade,
    act,
    check,
    check_archive,
    check_database,
    failed,
    file_of,
    fine,
    watch,
)

SKEW_WATCH, SKEW_ACT = timedelta(seconds=5), timedelta(seconds=60)
"""How far another clock may be off: leases last 30 seconds, signatures and callbacks 300."""
DISK_SHARE = 10
"""Percent of a disk that should be free."""
POSTGRESQL = 15
RETENTION_DAYS = 5475
"""A-34: fifteen years."""
CANARY_SILENT = timedelta(minutes=3)


async def examine(settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[CheckResult]:
    """Everything but Prefect's own insides. Each part is checked though another is broken."""
    results = [*check_settings(settings)]
    ciphers: list[Cipher] = []
    results += await check("keys", "settings", lambda: _keys(settings, ciphers))
    results += await _database(settings, ciphers, now)
    results += await check("archive", "archive-down", lambda: _archive(settings))
    try:
        policy, _ = load_policy(settings.city), load_knowledge(settings.city)
    except NeedsOperator as error:
        return [*results, failed("city", "settings", error)]
    if not any(result.area in ("database", "archive") and result.grade is Grade.ACT for result in results):
        # Without both there is nothing to compare, and what is wrong is said already.
        results += await check("anchors", "books-differ", lambda: _anchors(settings, policy, now))
    return [*results, *await check_partners(settings, policy, now), *await _breakers(settings),
            *await _gateway(settings)]


def check_settings(settings: Settings) -> list[CheckResult]:
    """What can be set so that everything starts and still is wrong."""
    results = []
    if settings.time_scale != 1:
        results.append(watch("settings", "settings",
                             Two(f"时限被缩短 {settings.time_scale:g} 倍（仅用于演示）",
                                 f"waiting times are divided by {settings.time_scale:g}, as in the sandbox"),
                             Two("有真实患者时删除 SANYI_TIME_SCALE", "remove SANYI_TIME_SCALE where patients are real")))
    if settings.hold_at_point_seconds:
        results.append(watch("settings", "settings",
                             Two(f"取药点只保管包裹 {settings.hold_at_point_seconds:g} 秒（仅用于演示）",
                                 f"a pick-up point keeps a parcel for {settings.hold_at_point_seconds:g} s, as in the sandbox"),
                             Two("有真实患者时删除 SANYI_HOLD_AT_POINT_SECONDS",
                                 "remove SANYI_HOLD_AT_POINT_SECONDS where patients are real")))
    if settings.database_url.startswith("sqlite"):
        results.append(watch("settings", "settings",
                             Two("数据库为 SQLite（仅用于试用）", "our database is SQLite, for trying out"),
                             Two("生产环境设置 SANYI_DATABASE_URL 为 PostgreSQL",
                                 "in production set SANYI_DATABASE_URL to PostgreSQL")))
    if settings.archive.kind == "local":
        results.append(watch("settings", "settings",
                             Two("归档为本地目录（仅用于试用）", "the archive is a folder, for trying out"),
                             Two("生产环境设置 SANYI_ARCHIVE__KIND=s3", "in production set SANYI_ARCHIVE__KIND=s3")))
    if settings.archive.retention_days < RETENTION_DAYS:
        results.append(watch("settings", "settings",
                             Two(f"归档只保留 {settings.archive.retention_days} 天（A-34 要求 15 年）",
                                 f"archived for {settings.archive.retention_days} days only; A-34 asks for 15 years"),
                             Two("删除 SANYI_ARCHIVE__RETENTION_DAYS", "remove SANYI_ARCHIVE__RETENTION_DAYS")))
    return results or [fine("settings", Two("齐全", "complete"))]


def _keys(settings: Settings, made: list[Cipher]) -> list[CheckResult]:
    made.append(make_cipher(settings))
    return [fine("keys", Two("已设置", "set"))]


async def _database(settings: Settings, ciphers: Sequence[Cipher], now: Callable[[], datetime]) -> list[CheckResult]:
    db = Database(settings.database_url)
    try:
        results = await check("database", "database-down", lambda: check_database(db))
        if not all(result.fine for result in results):
            return results
        results += await check("database", "database-down", lambda: _server(db, now()))
        if ciphers:
            results += await check("keys", "settings", lambda: _opens(db, ciphers[0]))
        results += [*await check("people", "settings", lambda: check_people(db, settings)),
                  *await check("access", "books-differ", lambda: check_access_log(db)),
                  *await check("processes", "worker-down", lambda: check_processes(db, now()))]
        try:
            policy = load_policy(settings.city)
        except NeedsOperator:
            return results
        return results + await check("work", "prescriptions-stuck", lambda: check_work(db, policy, now()))
    finally:
        db.close()


def _server(db: Database, now: datetime) -> list[CheckResult]:
    if db.sqlite:
        return _disk("database", "database-down", file_of(db).parent)
    with db.reading() as session:
        server = figures.server(session)
    results = [*_skew("database", server.at, now)]
    if server.version < POSTGRESQL:
        results.append(act("database", "database-down",
                           Two(f"PostgreSQL {server.version} 过旧", f"PostgreSQL {server.version}"),
                           Two(f"升级到 {POSTGRESQL} 或更高", f"upgrade to {POSTGRESQL} or later")))
    for name in server.unsafe:
        results.append(act("database", "database-down",
                           Two(f"{name} 已关闭：断电会丢失已确认的数据",
                               f"{name} is off: a power cut loses what was confirmed"),
                           Two(f"在 postgresql.conf 中打开 {name}", f"set {name} = on in postgresql.conf")))
    if server.connections * 5 > server.connections_limit * 4:
        results.append(watch("database", "database-down",
                             Two(f"连接数 {server.connections}/{server.connections_limit}",
                                 f"{server.connections} of {server.connections_limit} connections are taken"),
                             Two("调高 max_connections 或减少进程", "raise max_connections, or run fewer processes")))
    # A server on another host does not tell how much room is left on its disk.
    return results or [fine("database",
                          Two(f"PostgreSQL {server.version}，{server.megabytes} MB",
                              f"PostgreSQL {server.version}, {server.megabytes} MB"))]


def _opens(db: Database, cipher: Cipher) -> list[CheckResult]:
    """Whether the key is the one the rows were sealed with; what was opened is forgotten at once."""
    with db.reading() as session:
        newest = figures.newest_sealed(session)
    if newest is None:
        return []
    cipher.open(newest[1], f"patient/{newest[0]}")
    return [fine("keys", Two("可打开最近的处方", "open the newest prescription"))]


def check_access_log(db: Database) -> list[CheckResult]:
    """Whether the access log is what was written."""
    with db.reading() as session:
        broken, entries = access_log.verify(session), access_log.count(session)
    if broken:
        return [act("access", "books-differ", Two(f"{len(broken)} 人的访问日志被改动", "; ".join(map(str, broken[:3]))),
                    Two("查清谁改动了数据库", "find out who changed the database"))]
    return [fine("access", Two(f"访问日志完整，{entries} 条", f"the access log is whole, entries: {entries}"))]


def check_people(db: Database, settings: Settings) -> list[CheckResult]:
    """Whether anybody can review and operate, by the settings or by a role given on the page."""
    with db.reading() as session:
        held = {had.grant.role for person in people.listed(session) if not person.ended_at
                 for had in person.grants if not had.ended_at and had.by != people.ENVIRONMENT}
    missing = []
    if not settings.pharmacists and not held & {Role.PHARMACIST, Role.SENIOR}:
        missing.append(act("people", "settings", Two("没有药师：无人审方", "no pharmacist: nobody can review"),
                           Two("在 /people 页添加药师，或设置 SANYI_PHARMACISTS__<编号>",
                               "add one on /people, or set SANYI_PHARMACISTS__<ID>")))
    if not settings.operators and Role.OPERATOR not in held:
        missing.append(act("people", "settings", Two("没有运维人员：看不到看板", "no operator: nobody sees the board"),
                           Two("在 /people 页添加运维，或设置 SANYI_OPERATORS__<编号>",
                               "add one on /people, or set SANYI_OPERATORS__<ID>")))
    return missing or [fine("people", Two("有药师与运维", "there are pharmacists and operators"))]


def _archive(settings: Settings) -> list[CheckResult]:
    if settings.archive.kind != "local":
        return check_archive(make_archive(settings))
    folder = settings.archive.folder or settings.home / "archive"
    if not folder.exists():
        return [act("archive", "archive-down", Two("归档目录不存在", "its folder is not there"),
                    Two("启动网关，核对 SANYI_ARCHIVE__FOLDER", "start the gateway; check SANYI_ARCHIVE__FOLDER"))]
    results = check_archive(make_archive(settings))
    return results + _disk("archive", "archive-down", folder) if results[0].fine else results


def _anchors(settings: Settings, policy: CityPolicy, now: Callable[[], datetime]) -> list[CheckResult]:
    """Whether histories and access log of the last days are what their roots say."""
    if not settings.anchor_key.get_secret_value():
        return [watch("anchors", "settings",
                      Two("履历未锚定：能改数据库的人可改写履历",
                          "histories are not anchored: who can write in the database can rewrite them"),
                      Two("设置 SANYI_ANCHOR_KEY（运维进程）", "set SANYI_ANCHOR_KEY for the operations worker"))]
    folder = settings.archive.folder or settings.home / "archive"
    db = Database(settings.database_url)
    try:
        if (db.sqlite and not file_of(db).exists()) or (settings.archive.kind == "local" and not folder.exists()):
            return []  # Said above.
        zone = ZoneInfo(policy.timezone)
        ours = Anchors(db, make_archive(settings), policy.slug, zone, anchor_key(settings), now)
        wrong = ours.verify(now().astimezone(zone).date() - timedelta(days=3))
    finally:
        db.close()
    if wrong:
        return [act("anchors", "books-differ",
                    Two(f"{len(wrong)} 处履历或访问日志与每日锚定不符", "; ".join(map(str, wrong[:3]))),
                    Two("查清谁改动了数据库；缺少锚定则运行 anchor/history-anchor",
                        "find out who changed the database; where a root is missing run anchor/history-anchor"))]
    return [fine("anchors", Two("与每日锚定一致", "the last days agree with their roots"))]


def _disk(area: str, page: str, folder: Path) -> list[CheckResult]:
    usage = shutil.disk_usage(folder)
    free = usage.free * 100 // usage.total
    text = Two(f"磁盘剩余 {free}%", f"{free} % of the disk is free")
    if free < DISK_SHARE:
        return [act(area, page, text, Two("清理或扩容", "make room, or enlarge it"))]
    return [fine(area, text)]


def _skew(area: str, theirs: datetime | None, ours: datetime) -> list[CheckResult]:
    if theirs is None:
        return []
    off = abs(theirs - ours)
    if off < SKEW_WATCH:
        return []
    say = act if off >= SKEW_ACT else watch
    seconds = f"{off.total_seconds():.0f}"
    return [say(area, "clocks", Two(f"时钟相差 {seconds} 秒", f"its clock and ours differ by {seconds} s"),
                Two("用 NTP 校准时钟：租约与签名都按时钟判断", "set the clocks by NTP: leases and signatures go by them"))]


def check_processes(db: Database, now: datetime) -> list[CheckResult]:
    """Who is alive, and whether the whole way through Prefect was gone lately."""
    with db.reading() as session:
        alive = [process for process in processes.alive(session, now) if process.kind != canary.KIND]
        sang = canary.last(session)
    kinds = {kind: sum(process.kind == kind for process in alive) for kind in ("gateway", "worker", "operations")}
    results = [act("processes", "worker-down", Two(f"没有运行中的 {kind} 进程", f"no {kind} is alive"),
                   Two(f"启动：{start}", f"start: {start}"))
               for kind, start in _STARTS.items() if not kinds[kind]]
    if len(releases := sorted({process.version for process in alive})) > 1:
        results.append(watch("processes", "worker-down",
                             Two(f"版本混用：{', '.join(releases)}", f"releases are mixed: {', '.join(releases)}"),
                             Two("完成升级", "finish the upgrade")))
    if sang is None or now - sang > CANARY_SILENT:
        ago = "" if sang is None else f" {(now - sang).total_seconds() / 60:.0f} min"
        say = watch if sang is None else act
        results.append(say("processes", "canary-silent",
                           Two(f"金丝雀未成功{ago}", f"no canary came through{ago and ' for' + ago}"),
                           Two("查看 Prefect 服务与运维进程；首次安装请等一分钟",
                               "see Prefect's server and the operations worker; after an installation wait a minute")))
    if not results:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        results.append(fine("processes", Two(counts, counts)))
    return results


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
    results = []
    for concern in board.concerns:
        example = f" {concern.examples[0].prescription_id} {concern.examples[0].note}".rstrip() if concern.examples else ""
        page = _PAGES.get(concern.kind.partition(":")[0], "prescriptions-stuck")
        say = act if concern.act else watch
        results.append(say("work", page,
                           Two(f"{concern.count}× {concern.what}{example}", f"{concern.count}× {concern.what_en}{example}"),
                           Two(concern.cure, concern.cure_en)))
    return results or [fine("work",
                          Two(f"{board.open} 张处方在办，无积压", f"{board.open} prescriptions under way, nothing is stuck"))]


# --- partners and the gateway ---


async def check_partners(settings: Settings, policy: CityPolicy, now: Callable[[], datetime]) -> list[CheckResult]:
    """Whether each partner of the city has an address and its secrets, answers, and has the right time."""
    wanted: list[tuple[registry.Kind, str]] = [
        *(("chains", slug) for slug in policy.chains), ("payers", policy.payer),
        *((("couriers", policy.courier),) if policy.courier else ()),
        *(("hospitals", terms.slug) for terms in policy.hospitals)]
    answers = await asyncio.gather(*(_partner(settings, kind, slug, now) for kind, slug in wanted))
    return [result for answer in answers for result in answer]


async def _partner(settings: Settings, kind: registry.Kind, slug: str, now: Callable[[], datetime]) -> list[CheckResult]:
    area, address = f"partner {slug}", settings.partner_urls.get(slug)
    if kind == "chains" and registry.manifest(kind, slug).shops:
        return [fine(area, Two("使用本平台页面", "works from our pages"))]
    secrets = {name: secret.get_secret_value() for name, secret in settings.partner_secrets.get(slug, {}).items()}
    lacks = [] if address else [f"SANYI_PARTNER_URLS__{slug.upper()}"]
    adapter = importlib.import_module(f"adapters.{kind}.{slug}.adapter").Adapter
    # What a hospital shows us is the door's business, so its adapter does not ask for it.
    required = (*adapter.SECRETS, *getattr(adapter, "SHOWS", ()))
    if address and address.startswith("mllp:") and slug not in settings.mllp_ports:
        lacks.append(f"SANYI_MLLP_PORTS__{slug.upper()}")
    lacks += [f"SANYI_PARTNER_SECRETS__{slug.upper()}__{name.upper()}" for name in required if not secrets.get(name)]
    results = [act(area, "partner-failing", Two(f"未设置 {', '.join(lacks)}", f"not set: {', '.join(lacks)}"),
                   Two("对照 .env.example 设置", "set it, see .env.example"))] if lacks else []
    if address is None:
        return results
    seen = await reach(address)
    if not seen.status:
        results.append(act(area, "partner-failing", Two(f"无法连接（{seen.error}）", f"cannot be reached ({seen.error})"),
                           Two("核对地址、防火墙，联系合作方", "check address and firewall, call the partner")))
    results += _skew(area, seen.date, now())
    results = results or [fine(area, Two("可达", "answers"))]
    return [replace(result, milliseconds=round(seen.seconds * 1000)) for result in results]


async def _breakers(settings: Settings) -> list[CheckResult]:
    """Whom the worker of this host has stopped asking; only its own page knows."""
    if not settings.metrics_port:
        return []
    seen = await look(f"http://{settings.metrics_host}:{settings.metrics_port}/metrics")
    if seen.status != 200:
        return [watch("processes", "worker-down",
                      Two("工作进程的指标页没有应答", "the worker's page of metrics does not answer"),
                      Two("核对 SANYI_METRICS_PORT", "check SANYI_METRICS_PORT"))]
    return open_breakers(seen.body.decode("utf-8", "replace"))


def open_breakers(page: str) -> list[CheckResult]:
    """A result for each partner whose breaker a page of metrics calls open."""
    return [act(f"partner {slug}", "breaker-open",
                Two("熔断：连续失败，暂停调用", "its breaker is open: it failed too often in a row"),
                Two("联系合作方；恢复后自动重试", "call the partner; it is asked again by itself"))
            for slug in re.findall(r'^sanyi_breaker\{partner="([^"]+)",state="open"\} 1\.0$', page, re.M)]


async def _gateway(settings: Settings) -> list[CheckResult]:
    seen = await look(f"{settings.gateway_url}/ready", seconds=PATIENCE)
    if seen.status == 200:
        result = fine("gateway", Two("就绪", "ready"))
    else:
        why = f"HTTP {seen.status}" if seen.status else seen.error
        result = act("gateway", "gateway-down", Two(f"未就绪（{why}）", f"not ready ({why})"),
                     Two("启动网关，查看 /ready", "start it; /ready says what it lacks"))
    return [replace(result, milliseconds=round(seen.seconds * 1000))]
