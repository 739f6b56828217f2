"""what is not about money is a notice, and no discrepancy; the old ones move"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0017'
down_revision = '0016'

KINDS = ('file_parked', 'message_shape', 'quote_left_out')
BATCH = 1000
"""Discrepancies at a time."""


def upgrade() -> None:
    op.create_table('notice',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('partner', sa.String(length=40), nullable=False),
    sa.Column('subject', sa.String(length=80), nullable=False),
    sa.Column('detail', sa.String(length=80), nullable=False),
    sa.Column('noted_at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_notice')),
    sa.UniqueConstraint('kind', 'partner', 'subject', name=op.f('uq_notice_kind_partner_subject'))
    )
    op.create_index('ix_notice_noted_at_kind', 'notice', ['noted_at', 'kind'], unique=False)
    _move(op.get_bind())


def _move(connection: sa.Connection) -> None:
    discrepancy = sa.table('discrepancy', sa.column('id', sa.Integer), sa.column('kind', sa.String),
                           sa.column('subject', sa.String), sa.column('actual', sa.String),
                           sa.column('found_at', infra.db.engine.UtcDateTime))
    notice = sa.table('notice', *(sa.column(name, sa.String) for name in ('kind', 'partner', 'subject', 'detail')),
                      sa.column('noted_at', infra.db.engine.UtcDateTime))
    last = 0
    while True:
        rows = connection.execute(sa.select(discrepancy).where(discrepancy.c.kind.in_(KINDS), discrepancy.c.id > last)
                                  .order_by(discrepancy.c.id).limit(BATCH)).all()
        if not rows:
            break
        last = rows[-1].id
        connection.execute(sa.insert(notice), [
            dict(zip(('kind', 'partner', 'subject', 'detail', 'noted_at'),
                     (row.kind, *_parts(row.kind, row.subject, row.actual), row.found_at), strict=True)) for row in rows])
    connection.execute(sa.delete(discrepancy).where(discrepancy.c.kind.in_(KINDS)))


def _parts(kind: str, subject: str, actual: str) -> tuple[str, str, str]:
    """Partner, subject and detail, as this release writes them: what was noted before the upgrade is not noted again."""
    if kind == 'file_parked':  # jinan_county/0123abcd, unreadable
        partner, _, mark = subject.partition('/')
        return partner, mark, actual
    if kind == 'message_shape':  # jinan_first:Patient.maritalText, new
        partner, _, element = subject.partition(':')
        return partner, element, actual
    start, _, store = subject.partition('/')  # 2026-11-22:CHN-01:ankang/AK02, CHN-01 stores[1].minutes
    day_and_rule, _, chain = start.rpartition(':')
    return chain, f'{day_and_rule}:{store}', actual.partition(' ')[2]


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
