"""answers in other words than FHIR, and to messages that became no prescription"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'


def upgrade() -> None:
    op.add_column('message', sa.Column('media', sa.String(length=60), nullable=False,
                                       server_default='application/fhir+json'))
    with op.batch_alter_table('outbox') as outbox:
        outbox.alter_column('prescription_id', existing_type=sa.String(length=32), nullable=True)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
