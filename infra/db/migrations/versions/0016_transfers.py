"""a posting is transfers, and may be about no prescription; entries of the releases before stay as they are"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0016'
down_revision = '0015'


def upgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        _rebuild()
    else:
        op.alter_column('posting', 'prescription_id', nullable=True)
        op.add_column('posting', sa.Column('insutype', sa.String(6), nullable=True))
    op.create_table('transfer',
    sa.Column('posting_id', sa.Integer(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('source', sa.String(length=80), nullable=False),
    sa.Column('destination', sa.String(length=80), nullable=False),
    sa.Column('amount_fen', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount_fen > 0', name='ck_transfer_positive'),
    sa.ForeignKeyConstraint(['posting_id'], ['posting.id'], name='fk_transfer_posting_id'),
    sa.PrimaryKeyConstraint('posting_id', 'seq', name='pk_transfer')
    )
    # Day totals are the ledger's from here on: what is not reconciled yet needs its day. Older postings never do.
    op.execute("""
        UPDATE posting SET day = (
            SELECT CASE posting.kind WHEN 'reversed' THEN claim.reversed_on ELSE claim.settled_on END FROM claim
            WHERE claim.prescription_id = posting.prescription_id AND claim.settlement_id = posting.reference)
        WHERE day IS NULL AND (prescription_id, reference) IN (
            SELECT prescription_id, settlement_id FROM claim WHERE status IN ('settled', 'reversed'))""")


def _rebuild() -> None:
    """SQLite can't let a column be empty that was not. With its entries, which point at it."""
    op.create_table('posting_',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('prescription_id', sa.String(length=32), nullable=True),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('reference', sa.String(length=30), nullable=False),
    sa.Column('at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.Column('day', sa.Date(), nullable=True),
    sa.Column('insutype', sa.String(length=6), nullable=True),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name='fk_posting_prescription_id'),
    sa.PrimaryKeyConstraint('id', name='pk_posting'),
    sa.UniqueConstraint('kind', 'reference', name='uq_posting_kind_reference')
    )
    op.create_table('entry_',
    sa.Column('posting_id', sa.Integer(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('account', sa.String(length=80), nullable=False),
    sa.Column('amount_fen', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['posting_id'], ['posting_.id'], name='fk_entry_posting_id'),
    sa.PrimaryKeyConstraint('posting_id', 'seq', name='pk_entry')
    )
    op.execute("INSERT INTO posting_ (id, prescription_id, kind, reference, at, day) "
               "SELECT id, prescription_id, kind, reference, at, day FROM posting")
    op.execute("INSERT INTO entry_ (posting_id, seq, account, amount_fen) SELECT posting_id, seq, account, amount_fen FROM entry")
    op.drop_table('entry')
    op.drop_table('posting')
    op.rename_table('posting_', 'posting')
    op.rename_table('entry_', 'entry')
    op.create_index('ix_posting_prescription_id', 'posting', ['prescription_id'], unique=False)
    op.create_index('ix_posting_day_kind_id', 'posting', ['day', 'kind', 'id'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
