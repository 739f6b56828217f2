"""the day a posting counts for; and what a hospital sent lately is found apart from the inbox"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0007'
down_revision = '0006'

FROM_HOSPITALS = "source LIKE 'hospital:%'"


def upgrade() -> None:
    # Empty where the release before has posted, which knows no days. Filled in for today's board only. No process can post
    # while this runs.
    op.add_column('posting', sa.Column('day', sa.Date(), nullable=True))
    recent = sa.bindparam('since', datetime.now(UTC) - timedelta(days=2), infra.db.engine.UtcDateTime(timezone=True))
    op.get_bind().execute(sa.text("""
        UPDATE posting SET day = (
            SELECT CASE posting.kind WHEN 'reversed' THEN claim.reversed_on ELSE claim.settled_on END FROM claim
            WHERE claim.prescription_id = posting.prescription_id AND claim.settlement_id = posting.reference)
        WHERE posting.at > :since""").bindparams(recent))
    op.create_index('ix_posting_day_kind_id', 'posting', ['day', 'kind', 'id'], unique=False)
    op.drop_index('ix_message_source_received_at', 'message')
    where = sa.text(FROM_HOSPITALS)
    op.create_index('ix_message_from_hospitals', 'message', ['source', 'received_at'], unique=False,
                    sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
