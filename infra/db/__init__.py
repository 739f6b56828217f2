"""Our own database: the only truth about a prescription. The one home of SQLAlchemy."""

from sqlalchemy.orm import Session

from infra.db import rows_counter, rows_people  # noqa: F401  Each table is known as soon as the package is.
from infra.db.engine import Database

__all__ = ["Database", "Session"]
