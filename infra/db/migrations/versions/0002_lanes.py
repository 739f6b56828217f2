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
    # The default stays: a gateway of the release before, which knows no lanes, must still be able to insert.
    op.create_index('ix_prescription_lane_wake_at', 'prescription', ['lane', 'wake_at'], unique=False,
                    sqlite_where=sa.text(DUE), postgresql_where=sa.text(DUE))
    op.create_index('ix_prescription_urgent', 'prescription', ['wake_at'], unique=False,
                    sqlite_where=sa.text(URGENT), postgresql_where=sa.text(URGENT))
    op.create_index('ix_outbox_partner', 'outbox', ['partner', 'id'], unique=False,
                    sqlite_where=sa.text("due_at IS NOT NULL"), postgresql_where=sa.text("due_at IS NOT NULL"))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
