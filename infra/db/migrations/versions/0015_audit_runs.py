"""every run of the audit is kept, with the version of its rules; what was found so far is run 1"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0015'
down_revision = '0014'

BATCH = 1000
"""Prescriptions at a time."""


def upgrade() -> None:
    op.create_table('audit_run',
    sa.Column('prescription_id', sa.String(length=32), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('at', infra.db.engine.UtcDateTime(timezone=True), nullable=False),
    sa.Column('why', sa.String(length=16), nullable=False),
    sa.Column('rulebook', sa.String(length=40), nullable=False),
    sa.Column('warnings', sa.Integer(), nullable=False),
    sa.Column('results', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name=op.f('fk_audit_run_prescription_id_prescription')),
    sa.PrimaryKeyConstraint('prescription_id', 'number', name=op.f('pk_audit_run'))
    )
    _first_runs(op.get_bind())
    op.drop_table('finding')


def _first_runs(connection: sa.Connection) -> None:
    """One run for each prescription that the audit has left, also where it found nothing; documents stay as they are."""
    rx = sa.table('prescription', sa.column('id', sa.String), sa.column('received_at', infra.db.engine.UtcDateTime),
                  sa.column('status', sa.String))
    finding = sa.table('finding', sa.column('prescription_id', sa.String), sa.column('seq', sa.Integer),
                       sa.column('severity', sa.String), sa.column('content', sa.JSON))
    history = sa.table('history', sa.column('prescription_id', sa.String), sa.column('actor', sa.String),
                       sa.column('at', sa.String), sa.column('from_status', sa.String), sa.column('to_status', sa.String))
    runs = sa.table('audit_run', *(sa.column(name) for name in ('prescription_id', 'number', 'why', 'rulebook', 'warnings')),
                    sa.column('at', infra.db.engine.UtcDateTime), sa.column('results', sa.JSON))
    last = ''
    while True:
        received = dict(connection.execute(
            sa.select(rx.c.id, rx.c.received_at).where(rx.c.id > last).order_by(rx.c.id).limit(BATCH)).tuples().all())
        if not received:
            return
        last = next(reversed(received))
        mine: dict[str, list[dict[str, object]]] = {id: [] for id in received}
        warnings = dict.fromkeys(received, 0)
        for id, severity, content in connection.execute(
                sa.select(finding.c.prescription_id, finding.c.severity, finding.c.content)
                .where(finding.c.prescription_id.in_(received)).order_by(finding.c.prescription_id, finding.c.seq)):
            mine[id].append({'finding': content, 'evidence': [], 'arguments': {}})
            warnings[id] += severity == 'WARN'
        audited = dict(connection.execute(
            sa.select(history.c.prescription_id, sa.func.min(history.c.at))
            .where(history.c.prescription_id.in_(received), history.c.actor == 'audit', history.c.from_status == 'received',
                   history.c.to_status.in_(('audited', 'refused', 'returned')))
            .group_by(history.c.prescription_id)).tuples().all())
        rows = [{'prescription_id': id, 'number': 1, 'why': 'upgrade', 'rulebook': '', 'warnings': warnings[id],
                 'at': datetime.fromisoformat(audited[id]) if id in audited else received[id], 'results': results}
                for id, results in mine.items() if results or id in audited]
        if rows:
            connection.execute(sa.insert(runs), rows)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
