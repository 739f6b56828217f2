"""what is open is drawn in Prefect before what has ended, the newest first"""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'

OPEN = "drawn < version AND status IN ('allocating', 'audited', 'fulfilled', 'fulfilling', 'in_review', 'received', 'reviewed')"


def upgrade() -> None:
    op.create_index('ix_prescription_undrawn_open', 'prescription', ['received_at'], unique=False,
                    sqlite_where=sa.text(OPEN), postgresql_where=sa.text(OPEN))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
