"""Who wants what cancelled or taken back, and what became of it."""

from decimal import Decimal

from domain.fulfilment.portions import Portion
from domain.fulfilment.wishes import Wish, WishAnswer, WishKind
from infra.db import Database, prescriptions, wishes
from tests.support.records import MINUTE, NOW, admitted


def wish(db: Database, rx_id: str | None = None, reason: str = "patient", **changes: object) -> None:
    with db.transaction() as session:
        wishes.make(session, "a", "RX1", prescription_id=rx_id, kind=WishKind.CANCEL, by="hospital:a", reason=reason, at=NOW,
                    **changes)  # type: ignore[arg-type]


def of(db: Database, rx_id: str) -> list[Wish]:
    with db.reading() as session:
        return wishes.of(session, rx_id)


def test_a_cancel_may_come_before_its_prescription(db: Database) -> None:
    wish(db)
    wish(db, reason="duplicate")
    with db.reading() as session:
        assert [it.reason for it in wishes.numbered(session, "a", "RX1")] == ["patient", "duplicate"], "the first comes first"
        assert wishes.numbered(session, "a", "RX2") == wishes.numbered(session, "b", "RX1") == []
    head = admitted(db)
    with db.transaction() as session:
        wishes.admit(session, "a", "RX1", head.id)
        assert prescriptions.load(session, head.id).wished
    assert len(of(db, head.id)) == 2


def test_a_wish_marks_its_prescription_and_no_other(db: Database) -> None:
    one, other = admitted(db, 1), admitted(db, 2)
    wish(db, one.id)
    with db.reading() as session:
        assert [prescriptions.load(session, head.id).wished for head in (one, other)] == [True, False]


def test_a_wish_may_be_about_a_part(db: Database) -> None:
    head = admitted(db)
    portions = (Portion(2, Decimal("14")),)
    wish(db, head.id, portions=portions)
    (made,) = of(db, head.id)
    assert (made.portions, made.answer, made.wished_at, made.by) == (portions, WishAnswer.OPEN, NOW, "hospital:a")


def test_answers_go_the_way_of_the_table(db: Database) -> None:
    head = admitted(db)
    wish(db, head.id)
    answers = []
    for to in (WishAnswer.REFUSED, WishAnswer.GRANTED, WishAnswer.REFUSED):
        with db.transaction() as session:
            wishes.answer(session, head.id, WishKind.CANCEL, to, at=NOW + MINUTE)
            wishes.answer(session, head.id, WishKind.RETURN, WishAnswer.GRANTED, at=NOW)
        answers += [it.answer for it in of(db, head.id)]
    assert answers == [WishAnswer.REFUSED, WishAnswer.GRANTED, WishAnswer.GRANTED]
