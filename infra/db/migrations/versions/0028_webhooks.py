"""what chains are told by webhooks"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0028'
down_revision = '0027'

WEBHOOK = sa.text("kind = 'webhook'")
UNREAD = sa.text("kind = 'webhook' AND position IS NULL")
NUMBERED = sa.text("position IS NOT NULL")


def upgrade() -> None:
    op.add_column('outbox', sa.Column('position', sa.Integer(), nullable=True))
    op.create_index('ix_outbox_webhook', 'outbox', ['partner', 'id'], unique=False, sqlite_where=WEBHOOK, postgresql_where=WEBHOOK)
    op.create_index('ix_outbox_unread', 'outbox', ['partner', 'id'], unique=False, sqlite_where=UNREAD, postgresql_where=UNREAD)
    op.create_index('ix_outbox_position', 'outbox', ['partner', 'position'], unique=True, sqlite_where=NUMBERED,
                    postgresql_where=NUMBERED)
    op.create_table('stopped_webhook',
    sa.Column('chain', sa.String(length=32), nullable=False),
    sa.Column('at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.Column('key', sa.String(length=80), nullable=False),
    sa.PrimaryKeyConstraint('chain', name=op.f('pk_stopped_webhook'))
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
