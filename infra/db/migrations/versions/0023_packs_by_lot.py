"""packs are found by their lot, for a recall"""

from alembic import op

revision = '0023'
down_revision = '0022'


def upgrade() -> None:
    op.create_index('ix_pack_drug_lot', 'pack', ['drug', 'lot'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
