"""which messages were refused: other bytes under such a key are the correction"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'


def upgrade() -> None:
    # Of what came before, only FHIR's answers tell by their status; the others stay a conflict, as they were.
    op.add_column('message', sa.Column('refused', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute("UPDATE message SET refused = true "
               "WHERE source LIKE 'hospital:%' AND answer_status IN (400, 422) AND prescription_id IS NULL")


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
