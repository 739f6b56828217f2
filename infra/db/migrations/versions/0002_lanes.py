"""lanes take turns, urgent ones go first"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'

URGENT = "wake_at IS NOT NULL AND (expedited OR attempts > 0 OR cancel_reason IS NOT NULL)"
DUE = "wake_at IS NOT NULL"


def upgrade() -> None:
    op.add_column('prescription', sa.Column('lane', sa.String(length=81), nullable=False, server_default=''))
    op.execute("""
        UPDATE prescription SET lane = hospital || '/' || coalesce((
            SELECT chain FROM pharmacy_order WHERE pharmacy_order.prescription_id = prescription.id
            ORDER BY attempt DESC LIMIT 1), '')""")
    with op.batch_alter_table('prescription', schema=None) as batch_op:
        batch_op.alter_column('lane', server_default=None, existing_type=sa.String(length=81), existing_nullable=False)
        batch_op.create_index('ix_prescription_lane_wake_at', ['lane', 'wake_at'], unique=False,
                              sqlite_where=sa.text(DUE), postgresql_where=sa.text(DUE))
        batch_op.create_index('ix_prescription_urgent', ['wake_at'], unique=False,
                              sqlite_where=sa.text(URGENT), postgresql_where=sa.text(URGENT))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
