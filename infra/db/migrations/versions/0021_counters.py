"""shops that work from our pages: shelves, opening hours, orders as the shop has them, and who did what"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0021'
down_revision = '0020'

MOMENT = infra.db.engine.UtcDateTime(timezone=True)
LIVE = "word IN ('held', 'ordered', 'accepted', 'prepared', 'in_delivery')"


def upgrade() -> None:
    op.create_table('shelf',
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('store', sa.String(length=64), nullable=False),
    sa.Column('drug', sa.String(length=40), nullable=False),
    sa.Column('quantity', sa.BigInteger(), nullable=False),
    sa.Column('price', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('chain', 'store', 'drug', name=op.f('pk_shelf'))
    )
    op.create_table('shelf_move',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('store', sa.String(length=64), nullable=False),
    sa.Column('drug', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=12), nullable=False),
    sa.Column('quantity', sa.BigInteger(), nullable=False),
    sa.Column('order_id', sa.String(length=40), server_default='', nullable=False),
    sa.Column('key', sa.String(length=80), nullable=True),
    sa.Column('by', sa.String(length=40), nullable=False),
    sa.Column('at', MOMENT, nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_shelf_move')),
    sa.UniqueConstraint('key', name=op.f('uq_shelf_move_key'))
    )
    op.create_index('ix_shelf_move_chain_store_drug', 'shelf_move', ['chain', 'store', 'drug'], unique=False)
    op.create_table('opening',
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('store', sa.String(length=64), nullable=False),
    sa.Column('opens', sa.String(length=5), nullable=False),
    sa.Column('closes', sa.String(length=5), nullable=False),
    sa.Column('on_duty', sa.Boolean(), nullable=False),
    sa.Column('shut', sa.Boolean(), nullable=False),
    sa.Column('by', sa.String(length=40), nullable=False),
    sa.Column('at', MOMENT, nullable=False),
    sa.PrimaryKeyConstraint('chain', 'store', name=op.f('pk_opening'))
    )
    op.create_table('counter_order',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('store', sa.String(length=64), nullable=False),
    sa.Column('word', sa.String(length=16), nullable=False),
    sa.Column('held_at', MOMENT, nullable=False),
    sa.Column('expires_at', MOMENT, nullable=False),
    sa.Column('ended_at', MOMENT, nullable=True),
    sa.Column('patient_due_fen', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('settlement_id', sa.String(length=40), nullable=True),
    sa.Column('total_fen', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('fund_fen', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('account_fen', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('cash_fen', sa.BigInteger(), server_default='0', nullable=False),
    sa.PrimaryKeyConstraint('order_id', name=op.f('pk_counter_order'))
    )
    op.create_index('ix_counter_order_live', 'counter_order', ['chain', 'store'], unique=False,
                    sqlite_where=sa.text(LIVE), postgresql_where=sa.text(LIVE))
    op.create_index('ix_counter_order_chain_store_held_at', 'counter_order', ['chain', 'store', 'held_at'], unique=False)
    op.create_table('counter_line',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('line', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('drug', sa.String(length=40), nullable=False),
    sa.Column('quantity', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['order_id'], ['counter_order.order_id'], name=op.f('fk_counter_line_order_id_counter_order')),
    sa.PrimaryKeyConstraint('order_id', 'line', name=op.f('pk_counter_line'))
    )
    op.create_table('counter_act',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('act', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(length=40), server_default='', nullable=False),
    sa.Column('lines', sa.JSON(), nullable=False),
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('at', MOMENT, nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_counter_act'))
    )
    op.create_index(op.f('ix_counter_act_order_id'), 'counter_act', ['order_id'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
