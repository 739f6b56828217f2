"""parcels with the city's courier"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0025'
down_revision = '0024'

MOMENT = infra.db.engine.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.add_column('pharmacy_order', sa.Column('courier', sa.String(length=40), server_default='', nullable=False))
    op.create_table('delivery',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('courier', sa.String(length=40), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('attempt', sa.Integer(), server_default='0', nullable=False),
    sa.Column('reference', sa.String(length=80), server_default='', nullable=False),
    sa.Column('reason', sa.String(length=80), server_default='', nullable=False),
    sa.Column('made_at', MOMENT, nullable=False),
    sa.Column('said_at', MOMENT, nullable=True),
    sa.Column('heard_at', MOMENT, nullable=False),
    sa.Column('arrived_at', MOMENT, nullable=True),
    sa.Column('called_off', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metres', sa.Integer(), nullable=True),
    sa.Column('signature_key', sa.String(length=80), server_default='', nullable=False),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_delivery_order_id_pharmacy_order')),
    sa.PrimaryKeyConstraint('order_id', 'number', name=op.f('pk_delivery'))
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
