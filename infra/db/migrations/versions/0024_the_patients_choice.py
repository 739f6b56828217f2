"""the times a patient is asked which pharmacy it shall be, and the answers"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0024'
down_revision = '0023'

MOMENT = infra.db.engine.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table('choice',
    sa.Column('prescription_id', sa.String(length=32), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('offering', sa.JSON(), nullable=False),
    sa.Column('offered_at', MOMENT, nullable=False),
    sa.Column('until', MOMENT, nullable=False),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.Column('chosen', sa.String(length=16), server_default='', nullable=False),
    sa.Column('by', sa.String(length=60), server_default='', nullable=False),
    sa.Column('chosen_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name=op.f('fk_choice_prescription_id_prescription')),
    sa.PrimaryKeyConstraint('prescription_id', 'number', name=op.f('pk_choice'))
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
