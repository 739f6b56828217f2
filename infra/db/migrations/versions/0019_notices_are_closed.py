"""a notice is closed by the person who has dealt with it"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0019'
down_revision = '0018'


def upgrade() -> None:
    op.add_column('notice', sa.Column('closed_by', sa.String(length=80), nullable=True))
    op.add_column('notice', sa.Column('closed_at', infra.db.engine.UtcDateTime(timezone=True), nullable=True))
