"""Which processes make up an installation, and whether together they can lose work: asked whenever one of them starts.

`judge` and `judge_prefect` are pure; `joined` gathers the facts, refuses what loses work and keeps the process on the list.
"""

import os
import re
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path

from domain.errors import NeedsOperator
from domain.findings import Finding, Severity
from domain.words import Two
from infra.db import Database, processes, schema
from infra.db.processes import BEAT_SECONDS, Process
from infra.log import get_logger

log = get_logger(__name__)

SOURCE = "docs/explanation/deployment.md"

IN_MEMORY = {
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
    "PREFECT_SERVER_DOCKET_URL": "redis://…",
}
"""What a Prefect server keeps in its own memory unless told otherwise, and what shares it (Prefect 3.9)."""

ANY_PAGE = "*"


class Kind(StrEnum):
    GATEWAY = "gateway"
    WORKER = "worker"
    OPERATIONS = "operations"


@dataclass(frozen=True)
class Prefect:
    """What is known of Prefect: our library, the server and how the server shares what it remembers."""

    client: str
    """Version of the library in this process."""
    server: str
    """Version of the server."""
    processes: int = 1
    """Server processes: API replicas plus services."""
    database: str = ""
    """`sqlite`, `postgresql`, or empty if it does not say."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Those of `IN_MEMORY` the server knows: module, or scheme of an address."""
    guarded: bool = False
    """Whether its API asks for `PREFECT_SERVER_API_AUTH_STRING`."""
    origins: str = ANY_PAGE
    """Origins whose pages a browser lets at its API, with commas between them; one star: any page."""


@dataclass(frozen=True)
class Facts:
    """What a starting process knows."""

    me: Process
    others: tuple[Process, ...] = ()
    """Those alive, without an earlier life of ours."""
    sqlite: bool = False
    """Our own database is a file."""
    local_archive: bool = False
    """The archive is a folder of this host."""
    schema: str = ""
    """Revision of the database before we migrate; empty for a new one."""
    expected: frozenset[str] = frozenset()
    """Revisions this release knows."""
    prefect: Prefect | None = None
    """Empty if this process does not talk to Prefect, or Prefect did not answer."""


def judge(facts: Facts) -> list[Finding]:
    """Everything wrong with the installation once this process is part of it; BLOCK means it must not start."""
    me, others = facts.me, facts.others
    findings: list[Finding] = []
    elsewhere = sorted({other.host for other in others if other.host != me.host})
    if facts.schema and facts.schema not in facts.expected:
        findings.append(_block(
            "schema_unknown", "database",
            Two(f"数据库结构 {facts.schema} 不属于本版本 {me.version}",
                f"the database has schema {facts.schema}, which release {me.version} does not know"),
            Two("请升级本进程到写入该结构的版本", "start the release that migrated it, or a later one")))
    if any(other.kind == me.kind and other.name == me.name for other in others):
        findings.append(_block(
            "same_name", me.name, Two(f"已有同名进程 {me.kind} {me.name}", f"a {me.kind} named {me.name} is alive already"),
            Two("请为每个进程设置不同的 SANYI_WORKER；若对方刚被终止，30 秒后再启动",
                "give each its own SANYI_WORKER; if the other one was just killed on another host, start again in 30 s")))
    if facts.sqlite and me.kind == Kind.WORKER and (twin := _other(others, Kind.WORKER, me.name)):
        findings.append(_block(
            "sqlite_two_workers", twin.name,
            Two(f"SQLite 上已有工作进程 {twin.name}",
                f"on SQLite there is a worker already: {twin.name}"),
            Two("请将 SANYI_DATABASE_URL 设为 PostgreSQL", "set SANYI_DATABASE_URL to PostgreSQL, or stop the other one")))
    if facts.sqlite and elsewhere:
        findings.append(_block(
            "sqlite_two_hosts", elsewhere[0],
            Two(f"SQLite 文件被另一主机 {elsewhere[0]} 使用",
                f"our SQLite file is in use on another host: {elsewhere[0]}"),
            Two("请将 SANYI_DATABASE_URL 设为 PostgreSQL", "set SANYI_DATABASE_URL to PostgreSQL on every host")))
    if facts.local_archive and elsewhere:
        findings.append(_block(
            "local_archive_two_hosts", elsewhere[0],
            Two(f"归档在本机目录，而主机 {elsewhere[0]} 也在运行",
                f"the archive is a folder of this host, and {elsewhere[0]} is part of the installation"),
            Two("请将 SANYI_ARCHIVE__KIND 设为 s3", "set SANYI_ARCHIVE__KIND=s3 on every host")))
    if mixed := sorted({other.version for other in others} - {me.version}):
        findings.append(_finding(
            Severity.WARN, "mixed_releases", ", ".join(mixed),
            Two(f"正在运行的还有版本 {', '.join(mixed)}",
                f"release {', '.join(mixed)} is running beside {me.version}"), Two("请尽快完成升级", "finish the upgrade")))
    return findings + (judge_prefect(facts.prefect) if facts.prefect else [])


def judge_prefect(prefect: Prefect) -> list[Finding]:
    """What is wrong with the Prefect server as such, and with us talking to it."""
    findings: list[Finding] = []
    if not prefect.guarded:
        findings.append(_block(
            "prefect_open", "PREFECT_SERVER_API_AUTH_STRING",
            Two("Prefect 接口无需口令：能连上的人和网页都能操作",
                "Prefect's API asks nobody who they are: whoever reaches its port may start, stop and delete"),
            Two("设置 PREFECT_SERVER_API_AUTH_STRING（名称:口令，至少 16 位），客户端设置相同的 PREFECT_API_AUTH_STRING",
                "set PREFECT_SERVER_API_AUTH_STRING (name:password, 16 characters or more) for the server, and the same as "
            "PREFECT_API_AUTH_STRING for every process that talks to it")))
    if ANY_PAGE in prefect.origins.split(","):
        findings.append(_block(
            "prefect_any_page", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS",
            Two("任何网站的网页都可以调用 Prefect 接口",
                "a page of any web site may call Prefect's API from a browser"),
            Two("将 PREFECT_SERVER_CORS_ALLOWED_ORIGINS 设为打开 Prefect 页面的地址",
                "set PREFECT_SERVER_CORS_ALLOWED_ORIGINS to the address at which Prefect's pages are opened")))
    if prefect.processes > 1:
        for setting, value in prefect.shared.items():
            if value.endswith("memory"):
                findings.append(_block(
                    "prefect_memory", setting,
                    Two(f"Prefect 服务有 {prefect.processes} 个进程，而 {setting} 只在单个进程的内存中",
                        f"Prefect's server has {prefect.processes} processes, and {setting} is the memory of one"),
                    Two(f"设为 {IN_MEMORY[setting]}，见 infra/deploy/prefect-ha.env",
                        f"set it to {IN_MEMORY[setting]}: start every Prefect process with infra/deploy/prefect-ha.env")))
        if prefect.database == "sqlite":
            findings.append(_block(
                "prefect_sqlite", "PREFECT_SERVER_DATABASE_CONNECTION_URL",
                Two(f"Prefect 服务有 {prefect.processes} 个进程，数据库却是 SQLite",
                    f"Prefect's server has {prefect.processes} processes on SQLite"),
                Two("请改用 PostgreSQL", "set it to postgresql+asyncpg://…")))
    if _release(prefect.client) > _release(prefect.server):
        findings.append(_block(
            "prefect_newer_client", prefect.client,
            Two(f"Prefect 客户端 {prefect.client} 比服务端 {prefect.server} 新",
                f"our Prefect {prefect.client} is newer than the server's {prefect.server}"),
            Two("请先升级 Prefect 服务", "upgrade the Prefect server first; a newer client sends what it does not understand")))
    return findings


def refuse(findings: Sequence[Finding]) -> None:
    """Log every finding. Raises `NeedsOperator` (code `topology`) naming each that blocks, with its cure."""
    blocking = [finding for finding in findings if finding.severity is Severity.BLOCK]
    for finding in findings:
        say = log.error if finding in blocking else log.warning
        say(f"topology.{finding.code}", what=finding.text_en, cure=finding.cure_en)
    if blocking:
        raise NeedsOperator("not started: " + "; ".join(
            f"{finding.code}: {finding.text_en}. {finding.cure_en} ({finding.text}。{finding.cure})"
            for finding in blocking), code="topology")


@contextmanager
def joined(db: Database, kind: Kind, name: str, *, local_archive: bool, prefect: Prefect | None = None,
           host: str = "", now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Process]:
    """Migrate, join the installation, and say every ten seconds that we are there, until the block ends.

    Raises `NeedsOperator` before anything is written if that would make a topology that loses work.
    """
    at = now()
    me = Process(kind, name[:80], (host or socket.gethostname())[:80], os.getpid(), release(), at, at)
    expected, before = schema.revisions(), schema.current(db)
    if before and before not in expected:
        refuse(judge(Facts(me, schema=before, expected=expected)))
    if before != schema.newest():
        try:
            db.migrate()
        except Exception as error:
            if not schema.forbidden(error):
                raise
            raise NeedsOperator("the database's schema is older than this release, and our role may not change it; run: "
                                "python -m infra.db.migrate (需先由库的所有者迁移)", code="not_migrated") from None
    with db.transaction("process.joined") as session:
        processes.lock(session)
        # The canary signs the same list; it is a flow run, not a process.
        others = tuple(process for process in processes.alive(session, at)
                       if process.kind in tuple(Kind) and not _earlier_life(process, me))
        refuse(judge(Facts(me, others, db.sqlite, local_archive, before, expected, prefect)))
        processes.enter(session, me)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(db, me, ended, now), name="beat", daemon=True)
    beating.start()
    try:
        yield me
    finally:
        ended.set()
        beating.join(timeout=2)
        # Without the database we are forgotten in half a minute.
        with suppress(Exception), db.transaction("process.left") as session:
            processes.lock(session)
            processes.leave(session, me)


@cache
def release() -> str:
    """The release of Sanyi in this checkout."""
    with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _beat(db: Database, me: Process, ended: threading.Event, now: Callable[[], datetime]) -> None:
    # A thread, so that a long transaction of the loop does not make us look dead.
    while not ended.wait(BEAT_SECONDS):
        try:
            with db.transaction("process.seen") as session:
                processes.lock(session)
                # A process that ends waits two seconds for a beat under way. A later beat must not bring its row back.
                if not ended.is_set():
                    processes.beat(session, me, now())
        except Exception as error:
            log.warning("topology.no_beat", error=type(error).__name__)


def _earlier_life(process: Process, me: Process) -> bool:
    """Whether this row is left of our process before it was killed: our name and host, and no other process has its number."""
    if (process.kind, process.name, process.host) != (me.kind, me.name, me.host):
        return False
    return process.pid == me.pid or not _runs(process.pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _other(others: Sequence[Process], kind: Kind, name: str) -> Process | None:
    return next((process for process in others if process.kind == kind and process.name != name), None)


def _release(version: str) -> tuple[int, ...]:
    """(3, 9, 1) of `3.9.1+12.gabcdef`."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", version)[:3])


def _block(code: str, path: str, text: Two, cure: Two) -> Finding:
    return _finding(Severity.BLOCK, code, path, text, cure)


def _finding(severity: Severity, code: str, path: str, text: Two, cure: Two) -> Finding:
    return Finding(code, severity, "topology", path, text.zh, text.en, cure.zh, cure.en, SOURCE)
