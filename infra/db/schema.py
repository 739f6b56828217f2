"""Which schema the database has, and which ones this release knows."""

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from infra.db.engine import Database


def newest() -> str:
    """The revision this release brings a database to."""
    return max(revisions())


def forbidden(error: BaseException) -> bool:
    """Whether a migration failed because our role may not change the schema."""
    return isinstance(error, sa.exc.DBAPIError) and getattr(error.orig, "sqlstate", "") == "42501"


def current(db: Database) -> str:
    """Revision of the database; empty before the first migration."""
    with db.reading() as session:
        return MigrationContext.configure(session.connection()).get_current_revision() or ""


def revisions() -> frozenset[str]:
    """Every revision this release can work on or migrate from."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return frozenset(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())
