"""codes that were mapped, and messages that wait for it"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    op.create_table('mapping',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('hospital', sa.String(length=40), nullable=False),
    sa.Column('code_table', sa.String(length=20), nullable=False),
    sa.Column('theirs', sa.String(length=100), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('ours', sa.String(length=100), nullable=False),
    sa.Column('accepted_by', sa.String(length=60), nullable=False),
    sa.Column('accepted_at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_mapping'))
    )
    op.create_index(op.f('ix_mapping_hospital'), 'mapping', ['hospital'], unique=False)
    op.create_table('waiting_message',
    sa.Column('hospital', sa.String(length=40), nullable=False),
    sa.Column('key', sa.String(length=100), nullable=False),
    sa.Column('archive_key', sa.String(length=80), nullable=False),
    sa.Column('received_at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.Column('unmapped', sa.JSON(), nullable=False),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.PrimaryKeyConstraint('hospital', 'key', name=op.f('pk_waiting_message'))
    )
    waits = sa.text("state = 'waiting'")
    op.create_index('ix_waiting_message_waiting', 'waiting_message', ['hospital', 'received_at'], unique=False,
                    sqlite_where=waits, postgresql_where=waits)
    op.create_index('ix_message_source_received_at', 'message', ['source', 'received_at'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
