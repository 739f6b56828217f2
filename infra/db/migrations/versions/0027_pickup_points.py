"""orders that patients collect at a pick-up point"""

import sqlalchemy as sa
from alembic import op

revision = '0027'
down_revision = '0026'

HERE = sa.text("point <> ''")


def upgrade() -> None:
    op.add_column('pharmacy_order', sa.Column('point', sa.String(length=110), server_default='', nullable=False))
    op.create_index('ix_pharmacy_order_point', 'pharmacy_order', ['point', 'made_at'], unique=False, sqlite_where=HERE,
                    postgresql_where=HERE)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
