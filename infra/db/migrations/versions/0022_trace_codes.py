"""packs, what they were used for, what the fund was told of them, and recalls"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0022'
down_revision = '0021'

MOMENT = infra.db.engine.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table('pack',
    sa.Column('code', sa.String(length=20), nullable=False),
    sa.Column('drug', sa.String(length=40), nullable=False),
    sa.Column('lot', sa.String(length=40), nullable=False),
    sa.Column('place', sa.String(length=120), nullable=False),
    sa.Column('units', sa.Integer(), nullable=False),
    sa.Column('units_left', sa.Integer(), nullable=False),
    sa.Column('quarantined_at', MOMENT, nullable=True),
    sa.PrimaryKeyConstraint('code', name=op.f('pk_pack'))
    )
    op.create_table('pack_use',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('line', sa.Integer(), nullable=False),
    sa.Column('code', sa.String(length=20), nullable=False),
    sa.Column('status', sa.String(length=12), nullable=False),
    sa.Column('units', sa.Integer(), nullable=False),
    sa.Column('opened', sa.Boolean(), nullable=False),
    sa.Column('made_on', sa.Date(), nullable=False),
    sa.Column('expires_on', sa.Date(), nullable=False),
    sa.Column('prepared_at', MOMENT, nullable=False),
    sa.Column('handed_over_at', MOMENT, nullable=True),
    sa.Column('ended_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['code'], ['pack.code'], name=op.f('fk_pack_use_code_pack')),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_pack_use_order_id_pharmacy_order')),
    sa.PrimaryKeyConstraint('order_id', 'line', 'code', name=op.f('pk_pack_use'))
    )
    op.create_index('ix_pack_use_code', 'pack_use', ['code'], unique=False)
    op.create_table('trace_upload',
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('line', sa.Integer(), nullable=False),
    sa.Column('code', sa.String(length=20), nullable=False),
    sa.Column('number', sa.String(length=30), nullable=False),
    sa.Column('reference', sa.String(length=30), nullable=False),
    sa.Column('settlement_id', sa.String(length=30), nullable=False),
    sa.Column('made_at', MOMENT, nullable=False),
    sa.Column('due_at', MOMENT, nullable=True),
    sa.Column('sent_at', MOMENT, nullable=True),
    sa.Column('alone', sa.Boolean(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('trouble', sa.String(length=80), nullable=False),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_trace_upload_order_id_pharmacy_order')),
    sa.PrimaryKeyConstraint('kind', 'order_id', 'line', 'code', name=op.f('pk_trace_upload')),
    sa.UniqueConstraint('number', name=op.f('uq_trace_upload_number'))
    )
    _partly('ix_trace_upload_due_at', 'trace_upload', 'due_at', 'due_at IS NOT NULL')
    _partly('ix_trace_upload_troubled', 'trace_upload', 'trouble', "trouble <> ''")
    op.create_index('ix_trace_upload_reference', 'trace_upload', ['reference'], unique=False)
    op.create_table('recall',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('drug', sa.String(length=40), nullable=False),
    sa.Column('lot', sa.String(length=40), nullable=False),
    sa.Column('code', sa.String(length=20), nullable=False),
    sa.Column('reason', sa.String(length=80), nullable=False),
    sa.Column('by', sa.String(length=60), nullable=False),
    sa.Column('at', MOMENT, nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_recall')),
    sa.UniqueConstraint('drug', 'lot', 'code', name=op.f('uq_recall_drug_lot_code'))
    )


def _partly(name: str, table: str, column: str, where: str) -> None:
    op.create_index(name, table, [column], unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
