"""what grows is never read whole"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'

ENDED = "from_status <> to_status AND to_status IN ('cancelled', 'closed', 'expired', 'refused', 'returned')"
INDEXES = (
    ('prescription', 'ix_prescription_status_received_at_id', ['status', 'received_at', 'id'], ''),
    ('prescription', 'ix_prescription_troubled', ['trouble'], "trouble <> ''"),
    ('history', 'ix_history_ended', ['at'], ENDED),
    ('pharmacy_order', 'ix_pharmacy_order_held', ['made_at'], "status = 'held'"),
    ('pharmacy_order', 'ix_pharmacy_order_handed_over', ['handed_over_at', 'chain', 'store'], 'handed_over_at IS NOT NULL'),
    ('claim', 'ix_claim_reversal_reference', ['reversal_reference'], 'reversal_reference IS NOT NULL'),
    ('claim', 'ix_claim_unreconciled', ['status', 'settled_on', 'reversed_on'], "status IN ('settled', 'reversed')"),
    ('discrepancy', 'ix_discrepancy_found_at_kind', ['found_at', 'kind'], ''),
)


def upgrade() -> None:
    for table, name, columns, where in INDEXES:
        partly = sa.text(where) if where else None
        op.create_index(name, table, columns, unique=False, sqlite_where=partly, postgresql_where=partly)
    op.drop_index('ix_prescription_status_received_at', 'prescription')
    # (prescription_id, attempt) is unique and finds the same.
    op.drop_index('ix_pharmacy_order_prescription_id', 'pharmacy_order')


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
