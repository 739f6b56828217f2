"""The next release can leave its dumps: they have a row of every table, and load again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from infra.db import Database, access_log, history
from infra.db.rows import HistoryRow, PersonRow, PrescriptionRow
from tests.infra.db import releases


def test_a_dump_of_this_release_can_be_made_and_loads(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    dump = releases.dump_sqlite(tmp_path / "made", lambda _: None)
    with closing(sqlite3.connect(tmp_path / "loaded.db")) as connection:
        connection.executescript(dump)
    db = Database(f"sqlite:///{tmp_path / 'loaded.db'}")
    releases.complete(db.url)
    with db.reading() as session:
        assert access_log.verify(session) == []
        assert {person.id for person in session.scalars(sa.select(PersonRow))} >= {"P007", "P008", "O007"}
        for row in session.scalars(sa.select(PrescriptionRow)):
            assert history.verify(session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id == row.id)
                                                  .order_by(HistoryRow.seq)), row) is None
    db.close()


def test_a_database_that_lacks_something_is_no_dump_and_what_it_lacks_is_named(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    db.migrate()
    db.close()
    with pytest.raises(AssertionError) as refused:
        releases.complete(db.url)
    for name in ("person", "access_head", "counter_act", "prescription.status settled", "wish.answer refused"):
        assert name in str(refused.value)
    assert " entry" not in str(refused.value), "only release 0.1 wrote that form of a posting"
