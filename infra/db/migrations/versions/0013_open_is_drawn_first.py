"""what is open is drawn in Prefect before what has ended, and what a gateway that knows no drawing takes in is drawn too"""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'

OPEN = "drawn < version AND status IN ('allocating', 'audited', 'fulfilled', 'fulfilling', 'in_review', 'received', 'reviewed')"


def upgrade() -> None:
    _default()
    op.create_index('ix_prescription_undrawn_open', 'prescription', ['received_at'], unique=False,
                    sqlite_where=sa.text(OPEN), postgresql_where=sa.text(OPEN))


def _default() -> None:
    """Nothing is drawn of a row that a gateway of an earlier release inserts without the column."""
    if op.get_bind().dialect.name == 'postgresql':
        op.alter_column('prescription', 'drawn', server_default='0')
        return
    # SQLite cannot change a column's default, only make another column.
    op.drop_index('ix_prescription_undrawn', 'prescription')
    op.execute("ALTER TABLE prescription RENAME COLUMN drawn TO drawn_before")
    op.add_column('prescription', sa.Column('drawn', sa.Integer(), nullable=True, server_default='0'))
    op.execute("UPDATE prescription SET drawn = drawn_before")
    op.execute("ALTER TABLE prescription DROP COLUMN drawn_before")
    op.create_index('ix_prescription_undrawn', 'prescription', ['received_at'], unique=False,
                    sqlite_where=sa.text('drawn < version'))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
