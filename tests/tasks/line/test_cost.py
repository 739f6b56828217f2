"""What one prescription costs on the line, in what a database counts: more of either has to be meant."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from infra.db.rows import PrescriptionRow
from tests.support.city import admit, make_city
from tests.support.line import Line

TRANSACTIONS = ["audit.recorded", "review.opened", "hop.recorded", "review.claimed", "review.decided", "allocation.started",
                "order.made", "hold.answered", "claim.pre_settled", "place.answered", "hop.recorded", "update.received",
                "delivery.fulfilled", "settle.intended", "settle.answered", "hop.recorded"]
"""From intake to settled, with one word of the pharmacy, where nothing goes wrong."""
STATEMENTS = 93


@pytest.fixture
def committed() -> list[str]:
    return []


@pytest.fixture
def line(tmp_path, committed) -> Line:
    return Line(make_city(tmp_path, boundary=lambda name, when: committed.append(name) if when == "before" else None))


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """Every statement of this process from now on."""
    statements: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    yield statements
    sa.event.remove(sa.Engine, "before_cursor_execute", hear)


def test_a_prescription_takes_so_many_transactions_and_no_more(line, committed):
    (rx_id,) = admit(line.city)
    committed.clear()
    line.to_settled(rx_id)
    assert committed == TRANSACTIONS


def test_a_prescription_takes_so_many_statements_and_no_more(line, sent):
    (rx_id,) = admit(line.city)
    sent.clear()
    line.to_settled(rx_id)
    asked = [statement for statement in sent if not statement.startswith(("BEGIN", "PRAGMA"))]
    assert len(asked) <= STATEMENTS, "\n".join(statement[:80] for statement in asked)


def test_an_order_moves_its_prescription_to_the_chains_lane(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    with line.city.db.reading() as session:
        row = session.get_one(PrescriptionRow, rx_id)
    assert row.lane == f"{row.hospital}/{placed.order.chain}"
