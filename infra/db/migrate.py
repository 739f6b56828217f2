"""`python -m infra.db.migrate`: bring our database up to date as its owner, and say what the application may do there.

With SANYI_MIGRATION_URL (the owner's address) the processes of SANYI_DATABASE_URL need no right to change the schema, and can
neither change nor remove what is append-only. Without it there is one role for both, and only the schema is migrated.
"""

import sys

import sqlalchemy as sa

from domain.errors import NeedsOperator
from infra.db.engine import Database
from infra.db.rows import AccessRow, AnchorRow, EntryRow, HistoryRow, MappingRow, PostingRow, TransferRow
from infra.log import configure, get_logger
from infra.settings import get_settings

log = get_logger(__name__)

APPEND_ONLY = tuple(row.__tablename__ for row in (HistoryRow, AnchorRow, PostingRow, TransferRow, EntryRow, MappingRow,
                                               AccessRow))
"""What happened, its roots, money, what people decided, and what they saw and did: written once."""


def grant(db: Database, role: str) -> None:
    """Give the application's role what it needs in every table and sequence there is, and no more. As the owner.

    Raises `NeedsOperator` (code `same_role`) where that is the owner itself: an owner can't be kept from anything.
    """
    with db.as_owner() as connection:
        owner = connection.exec_driver_sql("SELECT current_user").scalar_one()
        if owner == role:
            raise NeedsOperator("SANYI_MIGRATION_URL and SANYI_DATABASE_URL name the same role", code="same_role")
        name = connection.dialect.identifier_preparer.quote_identifier(role)
        for statement in (
            "GRANT USAGE ON SCHEMA public TO {}", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
            "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
            f"REVOKE UPDATE, DELETE, TRUNCATE ON {', '.join(APPEND_ONLY)} FROM {{}}",
            "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON alembic_version FROM {}",
        ):
            connection.exec_driver_sql(statement.format(name))


def main() -> int:
    settings = get_settings()
    configure(settings.log_level)
    owner, application = settings.migration_url.get_secret_value(), settings.database_url
    db = Database(owner or application)
    try:
        db.migrate()
        configure(settings.log_level)  # The migration tool configures logging too.
        if owner and not db.sqlite:
            role = sa.make_url(application).username
            if not role:
                raise NeedsOperator("SANYI_DATABASE_URL names no role", code="no_role")
            grant(db, role)
            log.info("roles.granted", role=role, append_only=list(APPEND_ONLY))
    finally:
        db.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
