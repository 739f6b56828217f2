"""which processes there are"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    op.create_table('process',
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('host', sa.String(length=80), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('version', sa.String(length=20), nullable=False),
    sa.Column('started_at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.Column('seen_at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('kind', 'name', name=op.f('pk_process'))
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
