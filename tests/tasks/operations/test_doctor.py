"""The doctor finds what is broken, says what to do, and is silent about what is well."""

import asyncio
import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from pydantic import SecretStr

from adapters import registry
from domain.people import Capability, Grant, Role
from infra import http
from infra.crypto import make_cipher
from infra.db import Database, access_log, canary, people, processes
from infra.db.processes import Process
from infra.settings import ArchiveSettings, Settings
from tasks import checks, doctor
from tasks.checks import CheckResult, Grade
from tasks.doctor import examine
from tests.support.city import admit, make_city
from tests.support.services import _free_ports

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
CHAINS = [slug for slug in registry.slugs("chains") if not registry.manifest("chains", slug).shops]
COURIERS = registry.slugs("couriers")
SLUGS = (*CHAINS, *COURIERS, "jinan_centre", "jinan_first", "jinan_second", "jinan_tcm", "jinan_central", "jinan_county")
SECRETS = {**{slug: import_module(f"adapters.chains.{slug}.adapter").Adapter.SECRETS for slug in CHAINS},
           **{slug: import_module(f"adapters.couriers.{slug}.adapter").Adapter.SECRETS for slug in COURIERS},
           "jinan_centre": ("paasid", "secret"), "jinan_first": ("token", "report_token"), "jinan_central": ("sources",),
           "jinan_tcm": ("token", "report_token"), "jinan_second": ("app_secret", "platform_key", "hospital_key")}


@contextmanager
def somebody(off: timedelta = timedelta(0), body: bytes = b"{}") -> Iterator[str]:
    """Somebody who answers every GET, with a clock that may be off; the address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", format_datetime(datetime.now(UTC) + off, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with somebody() as found:
        yield found


@pytest.fixture
def well(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with nothing wrong but that it is for trying out."""
    monkeypatch.setattr(doctor, "DISK_SHARE", 0)
    # A busy machine takes its time; it is nobody's fault here.
    monkeypatch.setattr(doctor, "look", lambda at, **_: http.look(at, seconds=60))
    monkeypatch.setattr(doctor, "reach", lambda at, **_: http.reach(at, seconds=60))
    settings = given(tmp_path, address)
    (tmp_path / "archive").mkdir()
    prepare(settings)
    return settings


def given(tmp_path: Path, address: str, **changes: Any) -> Settings:
    key = [base64.b64encode(byte * 32).decode() for byte in (b"i", b"l", b"a")]
    usual = {
        "home": tmp_path, "identity_key": key[0], "lookup_key": key[1], "anchor_key": key[2], "gateway_url": address,
        "partner_urls": dict.fromkeys(SLUGS, address) | {
            "jinan_central": address.replace("http:", "mllp:"), "jinan_county": tmp_path.as_uri()},
        "mllp_ports": {"jinan_central": 2575},
        "partner_secrets": {slug: dict.fromkeys(names, "x") for slug, names in SECRETS.items()},
        "pharmacists": {"P001": "token-of-pharmacist-1"}, "operators": {"O001": "token-of-operator-1"}}
    return Settings(_env_file=None, **(usual | changes))


def prepare(settings: Settings, *kinds: str) -> None:
    """A migrated database in which everybody was heard of just now."""
    db = Database(settings.database_url)
    db.migrate()
    now = datetime.now(UTC)
    with db.transaction("test") as session:
        for kind in kinds or ("gateway", "worker", "operations"):
            processes.enter(session, Process(kind, f"{kind}-1", "host", 1, "0.1.0", now, now))
        canary.sing(session, now)
    db.close()


def changed(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


def grave(settings: Settings, **options: Any) -> list[CheckResult]:
    """What the doctor wants a person to do; each with a cure or a page, and the page is there."""
    found = asyncio.run(examine(settings, **options))
    for one in found:
        if one.grade is not Grade.FINE:
            assert one.page, one
            assert one.cure.en or one.text.en, one
    return [one for one in found if one.grade is Grade.ACT]


def only(found: list[CheckResult]) -> CheckResult:
    assert len(found) == 1, found
    return found[0]


def test_a_sound_installation_is_left_in_peace(well):
    assert grave(well) == []
    watched = [one for one in asyncio.run(examine(well)) if one.grade is Grade.WATCH]
    assert {one.area for one in watched} == {"settings"}, watched


def test_looking_makes_nothing(tmp_path, address):
    grave(given(tmp_path / "nowhere", address))
    assert not (tmp_path / "nowhere").joinpath("sanyi.db").exists()
    assert not (tmp_path / "nowhere").joinpath("archive").exists()


# --- settings and keys ---


@pytest.mark.parametrize(("name", "cure"), [("pharmacists", "SANYI_PHARMACISTS__"), ("operators", "SANYI_OPERATORS__")])
def test_nobody_to_review_or_to_operate_is_named(well, name, cure):
    assert cure in only(grave(changed(well, **{name: {}}))).cure.en


def test_the_sandboxs_hurry_is_worth_knowing(well):
    found = asyncio.run(examine(changed(well, time_scale=75.0)))
    assert any("SANYI_TIME_SCALE" in one.cure.en for one in found if one.grade is Grade.WATCH)


def test_a_missing_key_is_named_with_its_cure(well):
    found = only(grave(changed(well, lookup_key=SecretStr(""))))
    assert (found.area, found.page) == ("keys", "settings")
    assert "openssl rand" in found.text.en
    in_chinese(found)
    assert "SANYI_LOOKUP_KEY" in found.cure.zh


def in_chinese(found: CheckResult) -> None:
    """Its Chinese is Chinese, and it says what to do in both languages."""
    assert found.text.zh != found.text.en
    assert all(re.search(r"[\u4e00-\u9fff]", words) for words in (found.text.zh, found.cure.zh))
    assert found.cure.en


def test_a_city_that_is_not_there_is_said_in_chinese_too(well):
    found = grave(changed(well, city="nowhere"))
    assert any("cities/nowhere" in one.text.en for one in found)
    for one in found:
        in_chinese(one)


def test_prefect_is_looked_for_where_this_process_reaches_it_and_not_where_people_type_it(well, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert well.prefect_api == "http://127.0.0.1:4200/api"
    with somebody() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server}/api/")
        assert well.prefect_api == f"{server}/api"
        (found,) = asyncio.run(checks.check_prefect(well.prefect_api))
    assert found.grade is Grade.FINE


def test_a_key_that_does_not_open_what_is_there_is_found_out(well, tmp_path):
    city = make_city(tmp_path, well.database_url, now=lambda: datetime.now(UTC))
    city = replace(city, cipher=make_cipher(well))
    admit(city, at=datetime.now(UTC))
    city.db.close()
    assert grave(well) == []
    other = SecretStr(base64.b64encode(os.urandom(32)).decode())
    found = only(grave(changed(well, identity_key=other)))
    assert found.area == "keys"
    assert "SANYI_IDENTITY_KEY" in found.text.en


# --- database ---


def test_a_database_that_is_not_there(well, tmp_path):
    found = only(grave(changed(well, database_url=f"sqlite:///{tmp_path / 'other.db'}")))
    assert (found.area, found.page) == ("database", "database-down")


def test_a_database_nobody_listens_for(well):
    found = only(grave(changed(well, database_url="postgresql+psycopg://sanyi:secret@127.0.0.1:1/sanyi")))
    assert "unreachable" in found.text.en
    assert "secret" not in str(found)


def at_schema(settings: Settings, revision: str) -> None:
    db = Database(settings.database_url)
    with db.transaction("test") as session:
        session.connection().exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    db.close()


def test_a_schema_of_a_newer_release_is_an_upgrade_under_way_and_nobody_stops(well):
    at_schema(well, "9999")
    assert grave(well) == []
    (said,) = [one for one in asyncio.run(examine(well)) if one.grade is Grade.WATCH and one.area == "database"]
    assert "9999" in said.text.en
    assert "start the newer release" in said.cure.en


def test_a_schema_behind_this_release_is_for_a_person(well):
    at_schema(well, "0001")
    found = only(grave(well))
    assert "at migration 0001" in found.text.en
    assert "migrates" in found.cure.en


def test_a_postgresql_that_may_lose_what_it_confirmed(well, postgres_url):
    # The one of the tests has all three safety belts off.
    settings = changed(well, database_url=postgres_url)
    prepare(settings)
    found = grave(settings)
    assert sorted(one.text.en.split()[0] for one in found) == ["fsync", "full_page_writes", "synchronous_commit"]
    assert all(one.area == "database" for one in found)


def test_clocks_that_differ_from_the_databases(well, postgres_url):
    settings = changed(well, database_url=postgres_url)
    prepare(settings)
    found = grave(settings, now=lambda: datetime.now(UTC) + timedelta(minutes=2))
    assert "clocks" in {one.page for one in found if one.area == "database"}


def test_a_full_disk(well, monkeypatch):
    monkeypatch.setattr(doctor, "DISK_SHARE", 101)
    assert {one.area for one in grave(well)} == {"database", "archive"}


# --- archive ---


def test_an_archive_that_cannot_be_written_to(well):
    found = only(grave(changed(well, archive=ArchiveSettings(folder=Path("/sys/kernel")))))
    assert (found.area, found.page) == ("archive", "archive-down")


def test_a_store_nobody_listens_for(well):
    away = ArchiveSettings(kind="s3", bucket="b", endpoint="http://127.0.0.1:1", access_key="a", secret_key="s")
    found = only(grave(changed(well, archive=away)))
    assert (found.area, found.page) == ("archive", "archive-down")


# --- partners and the gateway ---


def test_a_partner_without_address_and_secrets_is_named_with_the_variables(well):
    urls = {slug: url for slug, url in well.partner_urls.items() if slug != "baicao"}
    found = only(grave(changed(well, partner_urls=urls, partner_secrets=well.partner_secrets | {"baicao": {}})))
    assert found.area == "partner baicao"
    for name in ("SANYI_PARTNER_URLS__BAICAO", "SANYI_PARTNER_SECRETS__BAICAO__TOKEN", "SANYI_PARTNER_SECRETS__BAICAO__CALLBACK"):
        assert name in found.text.en


@pytest.mark.parametrize(("slug", "place"), [
    ("jinan_central", "mllp://127.0.0.1:9"), ("jinan_county", "file:///no/such/folder")])
def test_a_hospital_off_the_web_that_cannot_be_reached(well: Settings, slug: str, place: str) -> None:
    settings = changed(well, partner_urls=dict(well.partner_urls) | {slug: place})
    assert [one.area for one in grave(settings)] == [f"partner {slug}"]


def test_a_hospital_of_hl7_without_a_port_to_call_at(well: Settings) -> None:
    assert "SANYI_MLLP_PORTS__JINAN_CENTRAL" in only(grave(changed(well, mllp_ports={}))).text.zh


def test_a_hospital_that_could_not_come_in(well):
    secrets = {name: secret for name, secret in well.partner_secrets["jinan_first"].items() if name != "token"}
    found = only(grave(changed(well, partner_secrets=well.partner_secrets | {"jinan_first": secrets})))
    assert "SANYI_PARTNER_SECRETS__JINAN_FIRST__TOKEN" in found.text.en


def test_a_partner_that_cannot_be_reached(well):
    (port,) = _free_ports(1)
    found = only(grave(changed(well, partner_urls=dict(well.partner_urls) | {"ankang": f"http://127.0.0.1:{port}"})))
    assert (found.area, found.page) == ("partner ankang", "partner-failing")


def test_a_partner_whose_clock_is_wrong(well):
    with somebody(timedelta(minutes=10)) as late:
        found = only(grave(changed(well, partner_urls=dict(well.partner_urls) | {"ankang": late})))
    assert (found.area, found.page) == ("partner ankang", "clocks")


def test_a_breaker_that_is_open_in_the_worker(well):
    page = b'sanyi_breaker{partner="ankang",state="open"} 1.0\nsanyi_breaker{partner="baicao",state="open"} 0.0\n'
    with somebody(body=page) as worker:
        found = only(grave(changed(well, metrics_port=int(worker.rpartition(":")[2]))))
    assert (found.area, found.page) == ("partner ankang", "breaker-open")


def test_a_gateway_that_does_not_answer(well):
    assert only(grave(changed(well, gateway_url="http://127.0.0.1:1"))).page == "gateway-down"


# --- processes and work ---


@pytest.mark.parametrize("missing", ["gateway", "worker", "operations"])
def test_a_process_that_is_not_alive_is_named_with_how_to_start_it(tmp_path, address, missing, monkeypatch):
    # A busy machine may take longer than eight seconds for a check that has nothing to do with the missing process.
    monkeypatch.setattr(checks.check, "__defaults__", (120.0,))
    settings = given(tmp_path, address)
    (tmp_path / "archive").mkdir()
    prepare(settings, *{"gateway", "worker", "operations"} - {missing})
    found = only(grave(settings))
    assert found.text.en == f"no {missing} is alive"
    assert "python -m" in found.cure.en


def test_a_silent_canary(well):
    db = Database(well.database_url)
    with db.transaction("test") as session:
        canary.sing(session, datetime.now(UTC) - timedelta(minutes=4))
    db.close()
    assert only(grave(well)).page == "canary-silent"


def test_what_nobody_works_on_is_shown_with_its_reason(well, tmp_path):
    city = make_city(tmp_path, well.database_url, now=lambda: datetime.now(UTC) - timedelta(minutes=5))
    (rx_id,) = admit(city, at=datetime.now(UTC) - timedelta(minutes=6))
    city.db.close()
    found = [one for one in grave(well) if one.area == "work"]
    assert only(found).page == "queue-old"
    assert rx_id in only(found).text.en


# --- a check that never ends ---


def test_a_check_that_never_ends_is_a_verdict_and_not_a_wait():
    over = Event()
    (found,) = asyncio.run(checks.check("archive", "archive-down", lambda: over.wait(120) and [], seconds=0.2))
    assert "did not answer" in found.text.en
    over.set()


def test_people_added_on_the_page_are_people_too(well):
    db = Database(well.database_url)
    with db.transaction() as session:
        for id, role in (("P9", Role.SENIOR), ("O9", Role.OPERATOR)):
            people.add(session, id, name_sealed=b"", source="administrator", at=NOON, by="A001")
            people.grant(session, id, Grant(role), at=NOON, by="A001")
    db.close()
    assert grave(changed(well, pharmacists={}, operators={})) == []


def test_a_changed_access_log_is_named(well):
    db = Database(well.database_url)
    with db.transaction() as session:
        access_log.append(session, "P001", access_log.Kind.VIEW, Capability.SEE_PRESCRIPTION, at=NOON, prescription_id="rx_1")
    with db.as_owner() as connection:
        connection.exec_driver_sql("DROP TRIGGER access_log_no_update")
        connection.exec_driver_sql("UPDATE access_log SET prescription_id = 'rx_2'")
    db.close()
    fault = only(grave(well))
    assert (fault.area, fault.page) == ("access", "books-differ")
    assert "P001/1" in fault.text.en
