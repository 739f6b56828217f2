"""Heard it before."""

from datetime import timedelta

from infra.db import Database, inbox
from tests.support.records import NOW, at_once


def remember(db: Database, answer: bytes = b"yes", event_id: str = "M1", source: str = "hospital:a") -> bool:
    with db.transaction() as session:
        return inbox.remember(session, source=source, event_id=event_id, sha256="s", archive_key="k", at=NOW,
                              prescription_id=None, answer_status=201, answer=answer)


def spend(db: Database, nonce: str = "n", partner: str = "ankang") -> bool:
    with db.transaction() as session:
        return inbox.spend_nonce(session, partner, nonce, NOW)


def test_the_first_answer_to_a_key_is_the_answer(db: Database) -> None:
    assert remember(db, b"first")
    assert not remember(db, b"second")
    with db.reading() as session:
        assert inbox.earlier(session, "hospital:a", "M1") == inbox.Earlier("s", "k", 201, b"first", inbox.FHIR_JSON)


def test_keys_of_different_sources_are_different(db: Database) -> None:
    assert remember(db)
    assert remember(db, source="hospital:b")
    with db.reading() as session:
        assert inbox.earlier(session, "hospital:a", "M2") is None


def test_the_rest_of_a_transaction_survives_a_lost_race_for_a_key(db: Database) -> None:
    remember(db)
    with db.transaction() as session:
        assert inbox.spend_nonce(session, "ankang", "n", NOW)
        assert not inbox.remember(session, source="hospital:a", event_id="M1", sha256="s", archive_key="k", at=NOW,
                                  prescription_id=None, answer_status=201, answer=b"late")
    assert not spend(db)


def test_of_many_who_receive_one_message_at_once_one_stores_it(db: Database) -> None:
    found = at_once(*(lambda n=n: remember(db, str(n).encode()) for n in range(4)))
    assert sorted(found, key=str) == [False, False, False, True]
    with db.reading() as session:
        heard = inbox.earlier(session, "hospital:a", "M1")
    assert heard is not None
    assert heard.answer == str(found.index(True)).encode()


def test_a_nonce_is_spent_once_per_partner_whoever_comes_at_once(db: Database) -> None:
    assert sorted(at_once(*(lambda: spend(db),) * 4), key=str) == [False, False, False, True]
    assert spend(db, partner="baicao")
    assert not spend(db)


def test_a_nonce_is_kept_as_long_as_its_callback_could_be_replayed(db: Database) -> None:
    spend(db)
    for later, forgotten in ((timedelta(minutes=20), 0), (timedelta(minutes=60), 0), (timedelta(minutes=61), 1)):
        with db.transaction() as session:
            assert inbox.forget_nonces(session, NOW + later) == forgotten
