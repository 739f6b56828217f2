"""what Prefect shows of each prescription"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0012'
down_revision = '0011'


def upgrade() -> None:
    op.add_column('prescription', sa.Column('drawn', sa.Integer(), nullable=True))
    # What has ended gets no run any more: empty, it is never looked at, and its rows need not be written anew.
    op.execute("UPDATE prescription SET drawn = 0 WHERE status IN ('received', 'audited', 'in_review', 'reviewed', "
               "'allocating', 'fulfilling', 'fulfilled', 'settled')")
    op.create_index('ix_prescription_undrawn', 'prescription', ['received_at'], unique=False,
                    sqlite_where=sa.text('drawn < version'), postgresql_where=sa.text('drawn < version'))
    op.create_table('drawing',
    sa.Column('prescription_id', sa.String(length=32), nullable=False),
    sa.Column('run_id', sa.String(length=36), nullable=False),
    sa.Column('state', sa.String(length=400), nullable=False),
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('ended', sa.Integer(), nullable=False),
    sa.Column('open', sa.Boolean(), nullable=False),
    sa.Column('need', sa.String(length=120), nullable=False),
    sa.Column('at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name=op.f('fk_drawing_prescription_id_prescription')),
    sa.PrimaryKeyConstraint('prescription_id', name=op.f('pk_drawing'))
    )
    op.create_index('ix_drawing_red', 'drawing', ['need'], unique=False, sqlite_where=sa.text("need <> ''"),
                    postgresql_where=sa.text("need <> ''"))
    op.create_index('ix_drawing_at', 'drawing', ['at'], unique=False)
    op.create_table('drawer',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('flow_id', sa.String(length=36), nullable=False),
    sa.Column('owner', sa.String(length=60), nullable=False),
    sa.Column('until', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drawer'))
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
