"""orders, parcels and returns count portions; claims are an order's; a wish to cancel is a row; back-off belongs to the effect"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0020'
down_revision = '0019'

BATCH = 1000
"""Orders at a time."""
MOMENT = infra.db.engine.UtcDateTime(timezone=True)
URGENT = 'wake_at IS NOT NULL AND (expedited OR attempts > 0 OR wished)'
PARCELS = {'prepared': 'packed', 'in_delivery': 'on_the_way', 'handed_over': 'handed_over', 'returned': 'handed_over'}
"""Status of an order that has a parcel, and where that is."""
ORDERS = {'in_delivery': 'prepared', 'handed_over': 'completed', 'returned': 'completed'}


def upgrade() -> None:
    _parcels_and_returns()
    _wishes()
    _claims_of_orders()
    with op.batch_alter_table('intent') as intent:
        intent.add_column(sa.Column('attempts', sa.Integer(), server_default='0', nullable=False))
        intent.add_column(sa.Column('again_at', MOMENT, nullable=True))
        intent.add_column(sa.Column('trouble', sa.String(length=80), server_default='', nullable=False))
    op.drop_table('item')


def _parcels_and_returns() -> None:
    op.create_table('parcel',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('portions', sa.JSON(), nullable=False),
    sa.Column('made_at', MOMENT, nullable=False),
    sa.Column('handed_over_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_parcel_order_id_pharmacy_order')),
    sa.PrimaryKeyConstraint('order_id', 'number', name=op.f('pk_parcel'))
    )
    op.create_table('goods_return',
    sa.Column('order_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('portions', sa.JSON(), nullable=False),
    sa.Column('reason', sa.String(length=80), nullable=False),
    sa.Column('at', MOMENT, nullable=False),
    sa.Column('refunded_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['order_id'], ['pharmacy_order.id'], name=op.f('fk_goods_return_order_id_pharmacy_order')),
    sa.PrimaryKeyConstraint('order_id', 'number', name=op.f('pk_goods_return'))
    )
    _move_goods(op.get_bind())
    op.drop_column('pharmacy_order', 'returned_lines')


def _move_goods(connection: sa.Connection) -> None:
    """What was written as a status of the order becomes a parcel, and lines that came back a return, refunded if it is settled."""
    order = sa.table('pharmacy_order', *(sa.column(name, sa.String) for name in ('id', 'prescription_id', 'status', 'reason')),
                     *(sa.column(name, sa.JSON) for name in ('content', 'returned_lines')),
                     *(sa.column(name, infra.db.engine.UtcDateTime) for name in ('made_at', 'handed_over_at')))
    rx = sa.table('prescription', sa.column('id', sa.String), sa.column('status', sa.String))
    last = ''
    while True:
        rows = connection.execute(
            sa.select(order, rx.c.status.label('rx_status')).join(rx, rx.c.id == order.c.prescription_id)
            .where(order.c.id > last, order.c.status.in_(PARCELS)).order_by(order.c.id).limit(BATCH)).all()
        if not rows:
            break
        last = rows[-1].id
        connection.execute(sa.insert(_goods('parcel', 'made_at', 'handed_over_at')), [
            {'order_id': row.id, 'number': 1, 'status': PARCELS[row.status], 'portions': _portions(row.content, None),
             'made_at': row.handed_over_at or row.made_at, 'handed_over_at': row.handed_over_at} for row in rows])
        if back := [row for row in rows if row.returned_lines]:
            came_back = _when(connection, [row.prescription_id for row in back])
            connection.execute(sa.insert(_goods('goods_return', 'at', 'refunded_at', 'reason')), [
                _return(row, came_back.get(row.id, row.handed_over_at)) for row in back])
    for before, after in ORDERS.items():
        connection.execute(sa.update(order).where(order.c.status == before).values(status=after))


def _goods(name: str, *more: str) -> sa.TableClause:
    types = {'reason': sa.String()}
    return sa.table(name, sa.column('order_id', sa.String), sa.column('number', sa.Integer), sa.column('status', sa.String),
                    sa.column('portions', sa.JSON), *(sa.column(column, types.get(column, MOMENT)) for column in more))


def _return(row: Any, at: datetime) -> dict[str, object]:
    refunded = row.rx_status in ('settled', 'closed')
    return {'order_id': row.id, 'number': 1, 'status': 'refunded' if refunded else 'brought_back',
            'portions': _portions(row.content, row.returned_lines), 'reason': row.reason, 'at': at, 'refunded_at': at if refunded else None}


def _portions(content: Mapping[str, Any], lines: list[int] | None) -> dict[str, object]:
    """A document of `infra.db.stored.SCOPE` in its first version: these lines of an order, or all."""
    return {'v': 1, 'portions': [{'line': line['line'], 'quantity': line['quantity']}
                                 for line in sorted(content.get('lines', ()), key=lambda line: line['line'])
                                 if lines is None or line['line'] in lines]}


def _when(connection: sa.Connection, ids: list[str]) -> dict[str, datetime]:
    """When each order's newest return came, by the histories of these prescriptions."""
    history = sa.table('history', *(sa.column(name, sa.String) for name in ('prescription_id', 'at', 'detail')),
                       sa.column('seq', sa.Integer))
    moments: dict[str, datetime] = {}
    for at, detail in connection.execute(sa.select(history.c.at, history.c.detail).where(
            history.c.prescription_id.in_(ids), history.c.detail.like('%"returned"%')).order_by(history.c.prescription_id, history.c.seq)):
        event = json.loads(detail)
        if event.get('status') == 'returned' and event.get('order'):
            moments[event['order']] = datetime.fromisoformat(at)
    return moments


def _wishes() -> None:
    op.create_table('wish',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('hospital', sa.String(length=40), nullable=False),
    sa.Column('external_id', sa.String(length=64), nullable=False),
    sa.Column('prescription_id', sa.String(length=32), nullable=True),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('by', sa.String(length=60), nullable=False),
    sa.Column('portions', sa.JSON(), nullable=True),
    sa.Column('reason', sa.String(length=40), nullable=False),
    sa.Column('wished_at', MOMENT, nullable=False),
    sa.Column('answer', sa.String(length=8), nullable=False),
    sa.Column('answered_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['prescription_id'], ['prescription.id'], name=op.f('fk_wish_prescription_id_prescription')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_wish'))
    )
    op.create_index('ix_wish_hospital_external_id', 'wish', ['hospital', 'external_id'], unique=False)
    op.create_index(op.f('ix_wish_prescription_id'), 'wish', ['prescription_id'], unique=False)
    # A cancel without an answer is one that the prescription still bears; what ended as cancelled was granted.
    op.execute(sa.text("""
        INSERT INTO wish (hospital, external_id, prescription_id, kind, "by", reason, wished_at, answer, answered_at)
        SELECT c.hospital, c.external_id, p.id, 'cancel', 'hospital:' || c.hospital, coalesce(p.cancel_reason, c.reason), c.at,
               CASE WHEN p.id IS NULL OR p.cancel_reason IS NOT NULL THEN 'open'
                    WHEN p.status = 'cancelled' THEN 'granted' ELSE 'refused' END,
               CASE WHEN p.id IS NULL OR p.cancel_reason IS NOT NULL THEN NULL ELSE c.at END
        FROM cancel c LEFT JOIN prescription p ON p.hospital = c.hospital AND p.external_id = c.external_id
        ORDER BY c.at"""))
    op.drop_table('cancel')
    op.drop_index('ix_prescription_urgent', table_name='prescription')
    op.add_column('prescription', sa.Column('wished', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(sa.text("UPDATE prescription SET wished = :yes WHERE id IN (SELECT prescription_id FROM wish)").bindparams(
        sa.bindparam('yes', True, sa.Boolean())))
    op.drop_column('prescription', 'cancel_reason')
    op.create_index('ix_prescription_urgent', 'prescription', ['wake_at'], unique=False,
                    sqlite_where=sa.text(URGENT), postgresql_where=sa.text(URGENT))


def _claims_of_orders() -> None:
    """A claim's key is its order and its version there; versions keep the numbers they had within the prescription."""
    with op.batch_alter_table('claim') as claim:
        claim.drop_constraint('pk_claim', type_='primary')
        claim.create_primary_key('pk_claim', ['order_id', 'version'])
    op.create_index(op.f('ix_claim_prescription_id'), 'claim', ['prescription_id'], unique=False)


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
