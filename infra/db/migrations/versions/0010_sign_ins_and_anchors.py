"""who is signed in; where the root of each day's histories is kept, and what happened on a day found without all others"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0010'
down_revision = '0008'


def upgrade() -> None:
    op.create_table('sign_in',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('person', sa.String(length=80), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('token', sa.String(length=64), nullable=False),
    sa.Column('until', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sign_in'))
    )
    op.create_index(op.f('ix_sign_in_until'), 'sign_in', ['until'], unique=False)
    op.create_table('anchor',
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('archive_key', sa.String(length=80), nullable=False),
    sa.Column('at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('day', name=op.f('pk_anchor'))
    )
    op.create_index('ix_history_at', 'history', ['at'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
