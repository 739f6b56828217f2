"""A process that would make an installation lose work does not start, and says why and what to do."""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.errors import NeedsOperator
from domain.findings import Finding, Severity
from infra import topology
from infra.db import Database, processes
from infra.db.processes import GONE, Process
from infra.topology import IN_MEMORY, Facts, Kind, Prefect, joined, judge, judge_prefect

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
REDIS = dict.fromkeys(IN_MEMORY, "prefect_redis.messaging") | {"PREFECT_SERVER_DOCKET_URL": "redis"}
SHARED = Prefect("3.9.1", "3.9.1", 3, "postgresql", REDIS, guarded=True, origins="https://prefect.example")


def process(kind: Kind, name: str, host: str = "host-1", version: str = "1.0.0", pid: int = 1) -> Process:
    return Process(kind, name, host, pid, version, NOW, NOW)


ME = process(Kind.WORKER, "worker-1")
WHOLE = Facts(ME, (process(Kind.WORKER, "worker-2", "host-2"), process(Kind.GATEWAY, "g", "host-3"),
                   process(Kind.OPERATIONS, "operations-1")), prefect=SHARED, schema="0001", expected=frozenset({"0001"}))


def codes(found: list[Finding]) -> set[str]:
    return {one.code for one in found}


# --- what is judged ---


def test_many_processes_on_postgresql_s3_and_redis_are_fine() -> None:
    assert judge(WHOLE) == []


def test_one_of_each_on_one_host_needs_nothing_but_files() -> None:
    beside = (process(Kind.GATEWAY, "g"), process(Kind.OPERATIONS, "operations-1"))
    in_memory = replace(SHARED, processes=1, database="sqlite", shared=dict.fromkeys(IN_MEMORY, "memory"))
    assert judge(Facts(ME, beside, sqlite=True, local_archive=True, prefect=in_memory)) == []


@pytest.mark.parametrize(("facts", "code"), [
    (replace(WHOLE, sqlite=True, others=(process(Kind.WORKER, "worker-2"),)), "sqlite_two_workers"),
    (Facts(ME, (process(Kind.GATEWAY, "g", "host-2"),), sqlite=True), "sqlite_two_hosts"),
    (replace(WHOLE, local_archive=True), "local_archive_two_hosts"),
    (replace(WHOLE, others=(process(Kind.WORKER, "worker-1", "host-2"),)), "same_name"),
    (replace(WHOLE, schema="0009"), "schema_unknown"),
    (replace(WHOLE, prefect=replace(SHARED, database="sqlite")), "prefect_sqlite"),
    (replace(WHOLE, prefect=replace(SHARED, server="3.8.7")), "prefect_newer_client"),
    (replace(WHOLE, prefect=replace(SHARED, guarded=False)), "prefect_open"),
    (replace(WHOLE, prefect=replace(SHARED, origins="https://prefect.example,*")), "prefect_any_page"),
])
def test_what_loses_work_or_lets_anybody_in_is_refused(facts: Facts, code: str) -> None:
    (found,) = judge(facts)
    assert (found.code, found.severity) == (code, Severity.BLOCK)
    assert all([found.text, found.text_en, found.cure, found.cure_en])


@pytest.mark.parametrize("setting", IN_MEMORY)
def test_each_thing_two_prefect_processes_would_not_share_is_refused_by_name(setting: str) -> None:
    (found,) = judge_prefect(replace(SHARED, shared=REDIS | {setting: "prefect.some.memory"}))
    assert (found.code, found.path) == ("prefect_memory", setting)


def test_a_newer_prefect_server_and_unknown_settings_are_no_reason_to_stop() -> None:
    assert judge_prefect(replace(SHARED, server="3.10.0")) == []
    assert judge_prefect(replace(SHARED, server="3.9.1+dev", processes=1)) == []


def test_an_upgrade_under_way_is_a_warning_only() -> None:
    (found,) = judge(replace(WHOLE, others=(process(Kind.WORKER, "worker-2", version="0.9.0"),)))
    assert (found.code, found.severity) == ("mixed_releases", Severity.WARN)


# --- who is there ---


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    return child.pid


def write_down(db: Database, one: Process) -> None:
    db.migrate()
    with db.transaction() as session:
        processes.enter(session, one)


def listed(db: Database, at: datetime = NOW) -> list[str]:
    with db.reading() as session:
        return [one.name for one in processes.alive(session, at)]


def join(db: Database, name: str = "worker-1", kind: Kind = Kind.WORKER, host: str = "host-1", **more: bool):  # type: ignore[no-untyped-def]
    return joined(db, kind, name, host=host, now=lambda: NOW, local_archive=more.get("local_archive", False))


def test_a_process_is_on_the_list_while_it_lives(db: Database) -> None:
    with join(db):
        assert listed(db) == ["worker-1"]
    assert listed(db) == []


def test_a_process_that_falls_silent_ages_out(db: Database) -> None:
    with join(db):
        assert listed(db, NOW + GONE - timedelta(seconds=1)) == ["worker-1"]
        assert listed(db, NOW + GONE) == []


def test_a_beat_keeps_it_there_and_brings_it_back(db: Database) -> None:
    with join(db) as me:
        for later in (NOW + GONE / 2, NOW + 3 * GONE):
            with db.transaction() as session:
                processes.beat(session, me, later)
            assert listed(db, later + GONE / 2) == ["worker-1"]


def test_a_beat_that_is_late_does_not_bring_back_who_has_left(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database answers a beat only after the process has gone."""
    monkeypatch.setattr(topology, "BEAT_SECONDS", 0.01)
    asked, left, beating = threading.Event(), threading.Event(), "beat"
    # On SQLite the transaction itself is the lock; inside of it the beat would keep the process from leaving.
    place, name = (db, "transaction") if db.sqlite else (processes, "lock")
    at_once = getattr(place, name)

    def slow(given: Any) -> Any:
        if threading.current_thread().name == beating:
            asked.set()
            assert left.wait(120)
        return at_once(given)

    with join(db):
        monkeypatch.setattr(place, name, slow)
        thread = next(one for one in threading.enumerate() if one.name == beating)
        # Forgotten meanwhile, it would be written down anew.
        with db.transaction("test") as session:
            session.execute(sa.text("DELETE FROM process"))
        assert asked.wait(120)
    left.set()
    thread.join(120)
    assert listed(db) == []


def test_a_beat_does_not_take_the_name_from_a_successor(db: Database) -> None:
    with join(db) as me:
        write_down(db, replace(me, pid=me.pid + 1))
        with db.transaction() as session:
            processes.beat(session, me, NOW + GONE / 2)
        assert listed(db, NOW + GONE) == []


def test_a_second_worker_on_sqlite_does_not_start_and_on_postgresql_it_does(db: Database) -> None:
    with join(db):
        if db.sqlite:
            with pytest.raises(NeedsOperator, match="sqlite_two_workers"), join(db, "worker-2"):
                pytest.fail("it started")
            assert listed(db) == ["worker-1"]
        else:
            with join(db, "worker-2"):
                assert listed(db) == ["worker-1", "worker-2"]


@pytest.mark.parametrize("silent", [GONE / 2, 5 * GONE])
def test_the_canary_on_the_list_is_neither_a_process_nor_forgotten(db: Database, silent: timedelta) -> None:
    write_down(db, Process("canary", "canary", "host-2", 1, "", NOW - silent, NOW - silent))
    with join(db, local_archive=True):
        assert listed(db, NOW - silent) == ["canary", "worker-1"]


def test_two_workers_with_one_name_on_two_hosts_do_not_both_start(db: Database) -> None:
    with join(db), pytest.raises(NeedsOperator, match="same_name"), join(db, host="host-2"):
        pytest.fail("it started")


def test_a_worker_that_was_killed_starts_again_at_once_on_its_host(db: Database, dead_pid: int) -> None:
    write_down(db, replace(ME, pid=dead_pid))
    with join(db):
        assert listed(db) == ["worker-1"]


def test_a_name_that_is_alive_on_this_host_is_refused(db: Database) -> None:
    write_down(db, replace(ME, pid=os.getppid()))
    with pytest.raises(NeedsOperator, match="same_name"), join(db):
        pytest.fail("it started")


def test_a_gateway_on_another_host_needs_an_archive_both_can_read(db: Database) -> None:
    write_down(db, replace(ME, host="host-2"))
    with pytest.raises(NeedsOperator, match="local_archive_two_hosts"), join(db, "g", Kind.GATEWAY, local_archive=True):
        pytest.fail("it started")


def test_a_database_of_a_later_release_is_refused_before_anything_is_changed(db: Database) -> None:
    db.migrate()
    with db.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NeedsOperator, match="schema_unknown"), join(db):
        pytest.fail("it started")
    with db.reading() as session:
        assert session.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"
        assert session.scalar(sa.text("SELECT count(*) FROM process")) == 0


def test_a_refusal_names_every_reason_with_its_cure_in_both_languages() -> None:
    found = judge(replace(WHOLE, local_archive=True, prefect=replace(SHARED, database="sqlite")))
    with pytest.raises(NeedsOperator) as refusal:
        topology.refuse(found)
    assert refusal.value.code == "topology"
    for one in found:
        assert all(words in str(refusal.value) for words in (one.code, one.text, one.text_en, one.cure, one.cure_en))


def test_the_release_is_the_checkouts() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{topology.release()}"' in text
