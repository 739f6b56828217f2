"""No statement the product sends reads a table that grows from end to end, and none reads more because history is long."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prove.history import Town, _sampled, _town, look_around, signed_in
from tests.support import plans
from tests.support.past import bare_tables, multiply
from tests.support.plans import Statements

NEVER_LARGE = frozenset({"process", "alembic_version", "mapping", "drawer", "person", "role_grant", "partner_token", "recall",
                         "stopped_webhook"})
"""Rows of processes, codes that people have mapped, people, their roles and partners: none grows with prescriptions."""


@pytest.fixture
def town(tmp_path: Path, postgres_url: str) -> Iterator[Town]:
    with asyncio.Runner() as runner:
        made = _town(tmp_path / "town", postgres_url, runner)
        yield made
        made.city.db.close()


def test_every_statement_of_line_upkeep_and_pages_has_its_index(town: Town, tmp_path: Path, postgres_url: str) -> None:
    closed, others = town.originals()
    libpq = postgres_url.replace("postgresql+psycopg", "postgresql")
    with bare_tables(libpq, lambda _: None):
        multiply(libpq, closed, 300, lambda _: None)
        multiply(libpq, others, 20, lambda _: None, first=300)
    town.hop(*town.admit(2))
    heard: Statements = {}

    look_around(town, signed_in(town, tmp_path), heard)

    assert len(heard) > 100
    assert plans.whole_reads(postgres_url, heard, small=NEVER_LARGE, strict=True) == []
    assert _sampled(town.city) == 0


def test_a_statement_without_an_index_is_found(town: Town, postgres_url: str) -> None:
    forgotten = {"SELECT id FROM pharmacy_order WHERE store = %(store)s": {"store": "AK01"}}

    assert len(plans.whole_reads(postgres_url, forgotten, strict=True)) == 1
