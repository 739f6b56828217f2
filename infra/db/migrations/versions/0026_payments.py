"""what patients pay at doors and counters"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0026'
down_revision = '0025'

MOMENT = infra.db.engine.UtcDateTime(timezone=True)
TO_HAND_IN = sa.text('hand_in_by IS NOT NULL AND handed_in_at IS NULL')


def upgrade() -> None:
    op.create_table('payment',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('prescription_id', sa.String(length=32), nullable=False),
    sa.Column('status', sa.String(length=8), nullable=False),
    sa.Column('amount_fen', sa.BigInteger(), nullable=False),
    sa.Column('method', sa.String(length=8), server_default='', nullable=False),
    sa.Column('collector', sa.String(length=110), nullable=False),
    sa.Column('by', sa.String(length=60), server_default='', nullable=False),
    sa.Column('reference', sa.String(length=64), server_default='', nullable=False),
    sa.Column('receipt', sa.String(length=20), nullable=True),
    sa.Column('at', MOMENT, nullable=False),
    sa.Column('hand_in_by', MOMENT, nullable=True),
    sa.Column('handed_in_at', MOMENT, nullable=True),
    sa.Column('handed_in_to', sa.String(length=40), server_default='', nullable=False),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_payment_order_id_pharmacy_order')),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name=op.f('fk_payment_prescription_id_prescription')),
    sa.PrimaryKeyConstraint('order_id', 'number', name=op.f('pk_payment')),
    sa.UniqueConstraint('receipt', name=op.f('uq_payment_receipt'))
    )
    op.create_index(op.f('ix_payment_prescription_id'), 'payment', ['prescription_id'], unique=False)
    op.create_index('ix_payment_to_hand_in', 'payment', ['hand_in_by'], unique=False, sqlite_where=TO_HAND_IN,
                    postgresql_where=TO_HAND_IN)
    op.create_table('refund',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('prescription_id', sa.String(length=32), nullable=False),
    sa.Column('amount_fen', sa.BigInteger(), nullable=False),
    sa.Column('method', sa.String(length=8), nullable=False),
    sa.Column('at', MOMENT, nullable=False),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_refund_order_id_pharmacy_order')),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name=op.f('fk_refund_prescription_id_prescription')),
    sa.PrimaryKeyConstraint('order_id', 'number', name=op.f('pk_refund'))
    )
    op.create_index(op.f('ix_refund_prescription_id'), 'refund', ['prescription_id'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
