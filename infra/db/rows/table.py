"""What every table stands on: the metadata with its naming, and the columns and indexes that many share."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.db.engine import UtcDateTime


class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    })
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcDateTime,
        dict[str, Any]: sa.JSON,
        list[Any]: sa.JSON,
    }


def rx(**options: Any) -> Mapped[str]:
    """The id of a row's prescription."""
    return mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), **options)


def partly(name: str, where: str, *columns: str) -> sa.Index:
    """An index of the few rows that matter, however many there are. A query must say `where` in the same words."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
