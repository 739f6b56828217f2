"""Our own database: the only truth about a prescription. The one home of SQLAlchemy."""

from sqlalchemy.orm import Session

from infra.db.engine import Database

__all__ = ["Database", "Session"]
