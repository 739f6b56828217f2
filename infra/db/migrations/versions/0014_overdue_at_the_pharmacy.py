"""what is overdue at a pharmacy or with a patient is looked up among itself"""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'

OVERDUE = "waiting_for IN ('acceptance_overdue', 'receipt_overdue')"


def upgrade() -> None:
    op.create_index('ix_prescription_overdue', 'prescription', ['waiting_for', 'received_at', 'id'], unique=False,
                    sqlite_where=sa.text(OVERDUE), postgresql_where=sa.text(OVERDUE))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
