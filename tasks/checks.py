"""One check of an installation: what it can say, how long it may take, and the checks that the gateway asks as well."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from domain.errors import RxError
from domain.words import Two
from infra.db import Database, schema
from infra.http import look
from infra.objects import Archive

T = TypeVar("T")

PATIENCE = 8.0
"""Seconds for one check."""
NO_CURE = Two("", "")


class Grade(StrEnum):
    """What a result asks of people."""

    FINE = "fine"
    WATCH = "watch"
    """Worth knowing; no person must act now."""
    ACT = "act"
    """A person must do something."""


@dataclass(frozen=True)
class CheckResult:
    """What came of one check. Codes, names of settings and partners, counts; nothing about a person, no secret."""

    area: str
    grade: Grade
    text: Two
    cure: Two = NO_CURE
    page: str = ""
    """The page of docs/runbooks about it, without its ending."""
    milliseconds: int = 0

    @property
    def fine(self) -> bool:
        return self.grade is not Grade.ACT

    def as_dict(self) -> dict[str, object]:
        """As `./go doctor --json` prints it."""
        return {"area": self.area, "grade": self.grade, "text": self.text.zh, "text_en": self.text.en, "cure": self.cure.zh,
                "cure_en": self.cure.en, "page": self.page, "milliseconds": self.milliseconds, "fine": self.fine}


def fine(area: str, text: Two) -> CheckResult:
    return CheckResult(area, Grade.FINE, text)


def watch(area: str, page: str, text: Two, cure: Two) -> CheckResult:
    return CheckResult(area, Grade.WATCH, text, cure, page)


def act(area: str, page: str, text: Two, cure: Two) -> CheckResult:
    return CheckResult(area, Grade.ACT, text, cure, page)


async def within(seconds: float, call: Callable[[], T]) -> T:
    """The outcome of a blocking call. Raises `TimeoutError` when it takes longer; its end is then not waited for."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def resolve(set_: Callable[[Any], None], outcome: object) -> None:
        if not answer.done():
            set_(outcome)

    def run() -> None:
        try:
            outcome = call()
        except Exception as error:
            settled: tuple[Callable[[Any], None], object] = (answer.set_exception, error)
        else:
            settled = (answer.set_result, outcome)
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve, *settled)

    # Not the loop's own threads: those would be waited for at the end, and a dead disk never answers.
    Thread(target=run, daemon=True, name="check").start()
    return await asyncio.wait_for(answer, seconds)


async def check(area: str, page: str, call: Callable[[], list[CheckResult]], seconds: float = PATIENCE) -> list[CheckResult]:
    """The results of a blocking check, with the milliseconds it took. An error in it is a result too."""
    began = time.monotonic()
    try:
        results = await within(seconds, call)
    except TimeoutError:
        results = [act(area, page, Two(f"{seconds:.0f} 秒内没有应答", f"did not answer within {seconds:.0f} s"), _SEE)]
    except RxError as error:
        results = [failed(area, page, error)]
    except Exception as error:
        name = type(error).__name__
        results = [act(area, page, Two(f"检查失败：{name}", f"could not be checked: {name}"), _SEE)]
    taken = round((time.monotonic() - began) * 1000)
    return [replace(result, milliseconds=taken) for result in results]


_SEE = Two("见所列页面", "see the page")


def failed(area: str, page: str, error: RxError) -> CheckResult:
    """The result of an error of ours. Its words are English and say what to do; its code and the names in it are for all."""
    named = re.findall(r"\bSANYI_[A-Z0-9_]*[A-Z0-9]|\b[\w/-]+\.(?:toml|csv)\b", str(error))
    what = "、".join(dict.fromkeys(named))
    return act(area, page, Two(f"检查未通过：{error.code}", str(error)),
               Two(f"核对 {what}，改后重启", _SEE.en) if what else _SEE)


def file_of(db: Database) -> Path:
    """Where an SQLite database lies."""
    return Path(db.url.partition(":///")[2])


# --- what the gateway asks as well ---


def check_database(db: Database) -> list[CheckResult]:
    """Whether the database answers, and has at least what this release needs. During an upgrade a newer release has
    migrated it already; what still runs goes on, because migrations only add."""
    needed = max(schema.revisions())
    if db.sqlite and not file_of(db).exists():
        # To connect would make one.
        return [act("database", "database-down", Two("还没有数据库文件", "there is no database file yet"),
                    Two("启动网关，核对 SANYI_HOME", "start the gateway; check SANYI_HOME"))]
    try:
        there = schema.current(db)
    except Exception as error:
        name = type(error).__name__
        return [act("database", "database-down", Two(f"无法连接数据库（{name}）", f"unreachable ({name})"),
                    Two("启动数据库，核对 SANYI_DATABASE_URL", "start it; check SANYI_DATABASE_URL"))]
    if there and there not in schema.revisions():
        return [watch("database", "database-down",
                      Two(f"可用，结构 {there} 属于更新的版本，本版本为 {needed}",
                          f"answers; its schema {there} is a newer release's, ours is {needed}"),
                      Two("完成升级：启动新版本", "finish the upgrade: start the newer release"))]
    if there != needed:
        return [act("database", "database-down",
                    Two(f"数据库结构为 {there or '空'}，本版本需要 {needed}",
                        f"at migration {there or 'none'}, this release needs {needed}"),
                    Two("启动本版本的网关或工作进程，它会迁移数据库",
                        "start a gateway or worker of this release: it migrates"))]
    return [fine("database", Two(f"可用，结构 {there}", f"answers, schema {there}"))]


def check_archive(archive: Archive) -> list[CheckResult]:
    """Whether something could be archived now."""
    try:
        archive.probe()
    except RxError as error:
        return [act("archive", "archive-down", Two(f"归档不可写：{error.code}", f"not writable: {error.code}"),
                    Two("核对 SANYI_ARCHIVE__… 与存储的权限、空间",
                        "check SANYI_ARCHIVE__… and the store's rights and space"))]
    return [fine("archive", Two("可写", "writable"))]


async def check_prefect(api: str) -> list[CheckResult]:
    """Whether Prefect's API answers at all. The gateway does without; hops do not."""
    seen = await look(f"{api}/health", seconds=3)
    if seen.status == 200:
        result = fine("prefect", Two("可用", "answers"))
    else:
        why = f"HTTP {seen.status}" if seen.status else seen.error
        result = act("prefect", "prefect-down", Two(f"没有应答（{why}）", f"does not answer ({why})"),
                     Two("启动 Prefect 服务；核对本进程的 PREFECT_API_URL（未设置时为 SANYI_PREFECT_UI_URL）",
                         "start its server; check PREFECT_API_URL of this process, or if it has none SANYI_PREFECT_UI_URL"))
    return [replace(result, milliseconds=round(seen.seconds * 1000))]


def worst_first(results: Iterable[CheckResult]) -> list[CheckResult]:
    """What needs a person, then what is worth knowing, then the rest."""
    order: Mapping[Grade, int] = {Grade.ACT: 0, Grade.WATCH: 1, Grade.FINE: 2}
    return sorted(results, key=lambda result: order[result.grade])
