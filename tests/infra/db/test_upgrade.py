"""What an earlier release has left is brought up to this one, on both kinds of database, and nothing of it is lost.

Its dumps lie in `released/`; `tests.infra.db.releases` made them and says how.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from domain.audit import AuditReason
from domain.chains import ChainWord
from domain.lifecycle import Status
from infra.crypto import Cipher
from infra.db import Database, audits, claims, ledger, orders, prescriptions, reviews, views
from infra.db.notices import NoticeKind, note
from infra.db.rows import Base, ClaimRow, IntentRow, OrderRow, OutboxRow, PrescriptionRow
from infra.db.stored import ENTITLEMENT, RECEIPT, REVERSAL, SETTLEMENT, Stored
from tasks.city import City
from tasks.line import hop
from tasks.patients import open_entitlement, open_patient
from tests.infra.db import releases
from tests.support.city import Clock, make_city, pass_review, say

RELEASES = sorted(path.name.removesuffix(".sqlite.sql.xz") for path in releases.HERE.glob("*.sqlite.sql.xz"))
GONE = {"finding": "audit_run", "cancel": "wish", "item": "derived from orders, parcels and returns"}
"""Tables of release 0.1 that are no more, and where to find what was in them."""
CIPHER = Cipher(b"i" * 32, b"l" * 32)
Counts = dict[str, int]

FORMER_NOTICES = set(NoticeKind) - {NoticeKind.UPDATE_REFUSED, NoticeKind.TRACE_CODE, NoticeKind.TRACE_REFUSED,
                                    NoticeKind.WEBHOOK_STOPPED}
"""Kinds that were discrepancies in release 0.1."""


@dataclass
class Past:
    """A database as a release left it."""

    url: str
    rows: Counts
    """By table."""
    balances: Counts
    """By account, in fen."""
    noted: list[tuple[str, str, str]]
    """Discrepancies that are not about money: kind, subject and what there was instead."""


@pytest.fixture(params=[(name, kind) for name in RELEASES for kind in ("sqlite", "postgresql")], ids="-".join)
def past(request: pytest.FixtureRequest, tmp_path: Path) -> Past:
    name, kind = request.param
    url = (releases.restore_sqlite(name, tmp_path / "sanyi.db") if kind == "sqlite"
           else releases.restore_postgresql(name, request.getfixturevalue("postgres_url")))
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = {table: connection.scalar(sa.text(f'SELECT count(*) FROM "{table}"')) or 0 for table in tables}
        balances = {account: int(total) for account, total in connection.execute(
            sa.text("SELECT account, sum(amount_fen) FROM entry GROUP BY account"))}
        noted = [tuple(row) for row in connection.execute(sa.text(
            "SELECT kind, subject, actual FROM discrepancy "
            "WHERE kind IN ('file_parked', 'message_shape', 'quote_left_out') ORDER BY id"))]
    engine.dispose()
    return Past(url, rows, balances, noted)


@pytest.fixture
def city(past: Past, tmp_path: Path) -> Iterator[City]:
    """The demo city on that database, two minutes after the last word."""
    (tmp_path / "city").mkdir()
    made = make_city(tmp_path / "city", past.url, now=Clock())
    with made.db.reading() as session:
        last = session.scalar(sa.select(sa.func.max(PrescriptionRow.received_at)))
    assert last is not None
    made.now.advance(seconds=(last - made.now()).total_seconds() + 120)  # type: ignore[attr-defined]
    for chain in made.chains.values():
        chain._events = count(10_000)  # type: ignore[attr-defined]  # nothing that they have said before
    yield made
    made.db.close()


def test_it_becomes_exactly_the_tables_of_the_code(past: Past) -> None:
    database = Database(past.url)
    database.migrate()
    database.close()
    engine = sa.create_engine(past.url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
        tables = sa.inspect(connection).get_table_names()
        kept = {table: connection.scalar(sa.text(f'SELECT count(*) FROM "{table}"')) for table in past.rows if table in tables}
    engine.dispose()
    moved = {"discrepancy": past.rows["discrepancy"] - len(past.noted)}
    assert kept == {table: rows for table, rows in (past.rows | moved).items() if table not in GONE}, GONE
    assert sum(past.rows.values()) > 1000


def test_every_history_holds_and_every_posting_balances(city: City, past: Past) -> None:
    with city.db.reading() as session:
        verified, following = views.verify_page(session, "", 0, 1000)
    assert following is None
    assert (verified["chains"], verified["postings"]) == (past.rows["prescription"], past.rows["posting"])
    assert (verified["broken"], verified["out_of_balance"], verified["unlike_claim"]) == ([], [], [])


def test_every_account_has_come_to_the_same(city: City, past: Past) -> None:
    with city.db.reading() as session:
        assert ledger.balances(session) == past.balances
    assert past.balances["chain:ankang"] > 0


def test_the_totals_of_a_day_are_those_the_claims_come_to(city: City) -> None:
    """Release 0.1 asked the fund by its claims; the same day is asked by the ledger now."""
    with city.db.reading() as session:
        rows = session.scalars(sa.select(ClaimRow).where(ClaimRow.settlement_id.is_not(None))).all()
        days = {day for row in rows for day in (row.settled_on, row.reversed_on) if day}
        for day in days:
            expected: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
            for row in rows:
                assert row.settled is not None
                settlement = SETTLEMENT.read(row.settled)
                for sign in [1] * (row.settled_on == day) + [-1] * (row.reversed_on == day):
                    amounts = (settlement.total, settlement.fund, settlement.account, 1)
                    expected[row.insutype] = [total + sign * amount for total, amount in
                                              zip(expected[row.insutype], amounts, strict=True)]
            assert {total.insutype: [total.total, total.fund, total.account, total.count]
                    for total in ledger.totals_of(session, day, "370100")} == expected
    assert len(days) > 1


def test_every_document_is_read(city: City, past: Past) -> None:
    answers: dict[str, Stored[object]] = defaultdict(lambda: RECEIPT, settle=SETTLEMENT, reverse=REVERSAL)  # type: ignore[arg-type]
    with city.db.reading() as session:
        ids = session.scalars(sa.select(PrescriptionRow.id)).all()
        for rx_id in ids:
            loaded = prescriptions.load(session, rx_id)
            assert loaded.prescription.id == rx_id
            assert open_patient(city, loaded)["name"]
            assert (open_entitlement(city, loaded) is None) == (loaded.entitlement_sealed is None)
        found = sum(len(audits.findings(session, rx_id)) for rx_id in ids)
        placed = [order for rx_id in ids for order in orders.of(session, rx_id)]
        for row in session.scalars(sa.select(ClaimRow)):
            newest = claims.newest(session, row.order_id)
            assert newest is not None
            assert newest.forecast.total == newest.claim.total
        for intent in session.scalars(sa.select(IntentRow).where(IntentRow.answered_at.is_not(None), IntentRow.refusal == "")):
            assert intent.answer is not None
            assert answers[intent.step].read(intent.answer["value"])
    assert (len(ids), found, len(placed)) == (past.rows["prescription"], past.rows["finding"], past.rows["pharmacy_order"])


def test_what_an_audit_found_is_its_first_run(city: City) -> None:
    with city.db.reading() as session:
        for row in session.scalars(sa.select(PrescriptionRow)).all():
            history = [event for event in views.dossier(session, row.id).history if event["actor"] == "audit"]  # type: ignore[union-attr]
            runs = audits.runs(session, row.id)
            assert [run.number for run in runs] == ([1] if history else [])
            for run in runs:
                assert (run.why, run.run.version) == (AuditReason.UPGRADE, "")
                assert run.at == datetime.fromisoformat(history[0]["at"])
                assert sorted(finding.code for finding in run.run.findings) == sorted(
                    finding["code"] for finding in history[0]["detail"]["findings"])


def test_what_is_sealed_opens_as_it_was(city: City) -> None:
    """What waits in the outbox is sent with the bytes it was written with."""
    with city.db.reading() as session:
        for parcel in session.scalars(sa.select(OutboxRow)):
            body = CIPHER.open(parcel.sealed, f"outbox/{parcel.key}")
            assert json.dumps(json.loads(body), ensure_ascii=False, sort_keys=True) == body
        for order in session.scalars(sa.select(OrderRow)):
            assert set(json.loads(CIPHER.open(order.sealed, f"order/{order.id}"))) == {"claim_secret", "pickup_code"}
        for rx in session.scalars(sa.select(PrescriptionRow).where(PrescriptionRow.entitlement_sealed.is_not(None))):
            assert rx.entitlement_sealed is not None
            assert ENTITLEMENT.read_text(CIPHER.open(rx.entitlement_sealed, f"entitlement/{rx.id}")).psn_no


def test_every_page_can_be_shown(city: City, past: Past) -> None:
    now = city.now()
    with city.db.reading() as session:
        board = views.board(session, now, city.policy)
        assert board.open
        assert board.money.balance == 0
        listed = views.prescriptions_page(session, "", 1000)
        for row in listed:
            dossier = views.dossier(session, row["id"])
            assert dossier is not None
            assert dossier.broken is None
            exported = views.history_export(session, row["id"])
            assert exported is not None
            assert exported["verified"]
        postings, _ = views.ledger(session, 0, ("", 0), 1000)
        assert (len(listed), len(postings["postings"])) == (past.rows["prescription"], past.rows["posting"])
        assert all(posting["sum_fen"] == 0 for posting in postings["postings"])
        assert len(views.reconciliations(session, None, 1000)) == past.rows["reconciliation"]
        assert {row["kind"] for row in views.discrepancies(session, None, 1000)} <= views.DIFFERENCES.keys()
        assert {concern.kind for concern in board.concerns} >= {f"notice:{kind}" for kind in FORMER_NOTICES}
        assert views.stage_seconds(session, 1000)
        assert reviews.queue(session, now, city.policy.expiring_soon)
        assert views.listed(session, list(Status), None, 1000)


def test_what_is_not_about_money_is_a_notice_and_is_not_noted_again(city: City, past: Past) -> None:
    with city.db.reading() as session:
        before = views.notices(session, None, 1000)
    assert {row["kind"] for row in before} == FORMER_NOTICES
    assert sorted((row["kind"], _as_release_0_1_wrote(row), row["detail"]) for row in before) == sorted(
        (kind, subject, actual.rpartition(" ")[2]) for kind, subject, actual in past.noted)
    with city.db.transaction() as session:
        for row in before:
            note(session, kind=NoticeKind(row["kind"]), partner=row["partner"], subject=row["subject"], detail="x", at=city.now())
    with city.db.reading() as session:
        assert views.notices(session, None, 1000) == before


def _as_release_0_1_wrote(notice: dict[str, Any]) -> str:
    """The subject of the discrepancy that it was."""
    partner, subject = notice["partner"], notice["subject"]
    if notice["kind"] == NoticeKind.QUOTE_LEFT_OUT:
        day_and_rule, _, store = subject.rpartition(":")
        return f"{day_and_rule}:{partner}/{store}"
    return f"{partner}{'/' if notice['kind'] == NoticeKind.FILE_PARKED else ':'}{subject}"


def test_work_goes_on_where_it_was(city: City) -> None:
    """What was in review is filled and settled, what was to be settled is: also when it was handed over before the upgrade."""
    with city.db.reading() as session:
        where = {status: session.scalars(sa.select(PrescriptionRow.id).where(PrescriptionRow.status == status)).all()
                 for status in (Status.IN_REVIEW, Status.FULFILLED)}
    assert where[Status.IN_REVIEW]
    assert where[Status.FULFILLED]
    for rx_id in where[Status.FULFILLED]:
        asyncio.run(hop(city, rx_id))
    for rx_id in where[Status.IN_REVIEW]:
        pass_review(city, rx_id)
        asyncio.run(hop(city, rx_id))
        with city.db.reading() as session:
            assert orders.of(session, rx_id), rx_id
        say(city, rx_id, ChainWord.HANDED_OVER)
        asyncio.run(hop(city, rx_id))
    with city.db.reading() as session:
        statuses = prescriptions.statuses(session, [*where[Status.IN_REVIEW], *where[Status.FULFILLED]])
        troubles = session.scalars(sa.select(PrescriptionRow.trouble).where(PrescriptionRow.status == Status.FULFILLED)).all()
        board = views.board(session, city.now(), city.policy)
    assert set(statuses.values()) <= {Status.SETTLED, Status.FULFILLED}
    assert set(troubles) <= {"Refused:closed_period"}, "what the fund refused stays so until a person has settled it"
    assert board.money.balance == 0
