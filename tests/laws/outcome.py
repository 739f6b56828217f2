"""What came of a world: everything a crash must not change, and what may be nowhere whatever happened."""

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from infra.db import Session, access_log, history
from infra.db.ledger import SIDES
from infra.db.rows import (
    AnchorRow,
    ClaimRow,
    CounterOrderRow,
    DeliveryRow,
    DiscrepancyRow,
    HistoryRow,
    IntentRow,
    MessageRow,
    NoticeRow,
    OrderRow,
    OutboxRow,
    PackRow,
    PackUseRow,
    ParcelRow,
    PaymentRow,
    PersonRow,
    PostingRow,
    PrescriptionRow,
    RefundRow,
    ReturnRow,
    ReviewRow,
    RoleGrantRow,
    ShelfRow,
    StoppedWebhookRow,
    TraceUploadRow,
    WishRow,
)
from tasks.anchors import of_city

if TYPE_CHECKING:
    from tests.laws.world import World


def outcome(session: Session, world: "World") -> dict[str, object]:
    """Everything a crash must not change: where it ended, every book, what everybody was told. No times."""
    return {
        "prescriptions": _rows(session, PrescriptionRow, "id", "status", "wished"),
        "moves": [row for row in _rows(session, HistoryRow, "prescription_id", "from_status", "to_status")
                  if row[1] != row[2]],
        "reviews": _rows(session, ReviewRow, "prescription_id", "pharmacist", "decision"),
        "orders": _rows(session, OrderRow, "id", "chain", "status", "patient_due_fen"),
        "parcels": _rows(session, ParcelRow, "order_id", "number", "status", "portions"),
        "deliveries": _rows(session, DeliveryRow, "order_id", "number", "courier", "status", "attempt", "called_off", "reference"),
        "payments": _rows(session, PaymentRow, "order_id", "number", "status", "amount_fen", "method", "receipt", "handed_in_to"),
        "refunds": _rows(session, RefundRow, "order_id", "number", "amount_fen", "method"),
        "couriers": {slug: courier.book for slug, courier in world.couriers.items()},
        "returns": _rows(session, ReturnRow, "order_id", "number", "status", "portions", "reason"),
        "wishes": _rows(session, WishRow, "prescription_id", "kind", "by", "reason", "answer"),
        "claims": _rows(session, ClaimRow, "prescription_id", "version", "order_id", "status", "total_fen"),
        "packs": _rows(session, PackRow, "code", "units_left"),
        "pack uses": _rows(session, PackUseRow, "order_id", "line", "code", "status", "units"),
        "uploads": _rows(session, TraceUploadRow, "kind", "order_id", "line", "code"),
        "ledger": _ledger(session),
        "discrepancies": _rows(session, DiscrepancyRow, "prescription_id", "kind"),
        "noted": sorted(_rows(session, NoticeRow, "kind", "partner", "subject", "detail")),
        "answers": sorted(_rows(session, MessageRow, "source", "event_id", "answer_status")),
        "chains": {slug: {key: held.status for key, held in chain.book.items()}
                   for slug, chain in world.chains.items()},
        "arrived": {slug: chain.arrived for slug, chain in world.chains.items()},
        "packs of the fund": sorted((kind, line.number) for rows in world.payer.uploads.values() for kind, line in rows),
        "fund": [(row.prescription_id, row.total, row.fund, bool(row.reverses)) for row in world.payer.book],
        "at shops": _rows(session, CounterOrderRow, "order_id", "word", "settlement_id", "cash_fen"),
        "shelves": _rows(session, ShelfRow, "store", "drug", "quantity", "price"),
        "webhooks": {slug: endpoint.taken.keys() for slug, endpoint in world.webhooks.items()},
        "webhooks stopped": _rows(session, StoppedWebhookRow, "chain"),
        "anchored": _rows(session, AnchorRow, "day"),
        "prefect": world.prefect.picture(),
        "people": _rows(session, PersonRow, "id", "ended_by"),
        "roles": _rows(session, RoleGrantRow, "person", "role", "place", "ended_by"),
        "notices": {key: replace(one, settlement_id="") for chain in world.chains.values()
                    for key, one in chain.notices.items()},
        "reports": {key: (told["status"], told["reason"], told.get("money"))
                    for key, told in world.hospital.reports.items()},
    }


def faults(session: Session, world: "World") -> list[str]:
    """What may be nowhere, whatever happened: half a posting, a torn history, an outcome nobody asks about."""
    found = [f"{row.id}: {broken}" for row in session.scalars(sa.select(PrescriptionRow))
             if (broken := history.verify(session.scalars(
                 sa.select(HistoryRow).where(HistoryRow.prescription_id == row.id).order_by(HistoryRow.seq)), row))]
    found += [f"posting {key} does not balance" for key, entries in _ledger(session) if sum(
        amount for _, amount in entries)]
    found += [f"{row.step} {row.version} has no answer" for row in session.scalars(
        sa.select(IntentRow).where(IntentRow.answered_at.is_(None)))]
    found += [f"{row.key} was never delivered" for row in session.scalars(
        sa.select(OutboxRow).where(OutboxRow.due_at.is_not(None)))]
    found += [f"{row.kind} of pack {row.code} was never uploaded" for row in session.scalars(
        sa.select(TraceUploadRow).where(TraceUploadRow.due_at.is_not(None)))]
    found += [f"{row.id} is {row.status} and has {row.trouble}" for row in session.scalars(
        sa.select(PrescriptionRow).where(PrescriptionRow.trouble != ""))]
    found += _money_at_hand(session)
    anchored = session.scalar(sa.select(sa.func.count()).select_from(AnchorRow))
    found += [f"access log of {broken}" for broken in access_log.verify(session)]
    found += [str(wrong) for wrong in of_city(world.city, world.settings).verify()] if anchored else []
    for chain in world.chains.values():
        found += [f"{chain.slug} got {one} twice" for one in set(chain.arrived) if chain.arrived.count(one) > 1]
    for courier in world.couriers.values():
        found += [f"{courier.slug} got {key} twice" for key in set(courier.arrived) if courier.arrived.count(key) > 1]
    return found


def _money_at_hand(session: Session) -> list[str]:
    """What the city's courier or a shop on our pages handed over and was not paid, or was collected twice or for another amount."""
    found = []
    paid = session.execute(sa.select(PaymentRow.order_id, PaymentRow.amount_fen).where(PaymentRow.receipt.is_not(None))).all()
    for order_id, word in session.execute(sa.select(CounterOrderRow.order_id, CounterOrderRow.word)):
        amounts = [amount for order, amount in paid if order == order_id]
        order = session.get(OrderRow, order_id)
        assert order is not None
        due = [order.patient_due_fen] if order.patient_due_fen and word in ("handed_over", "returned") else []
        if amounts != due:
            found.append(f"{order_id} is {word}, {due} is due and {amounts} was collected")
    return found


def _rows(session: Session, table: Any, *columns: str) -> list[tuple[Any, ...]]:
    order = table.__mapper__.primary_key
    return [tuple(row) for row in session.execute(sa.select(*(getattr(table, one) for one in columns)).order_by(*order))]


def _ledger(session: Session) -> list[tuple[tuple[str, str], list[tuple[str, int]]]]:
    entries: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for posting_id, account, amount in session.execute(
            sa.select(SIDES.c.posting_id, SIDES.c.account, SIDES.c.amount_fen).order_by(*SIDES.c)):
        entries[posting_id].append((account, amount))
    return [((row.prescription_id, row.kind), entries[row.id])
            for row in session.scalars(sa.select(PostingRow).order_by(PostingRow.id))]
