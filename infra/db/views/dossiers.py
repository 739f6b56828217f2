"""One prescription whole, one run, and lists of prescriptions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.fulfilment.lines import line_states
from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import DEADLINES, FINAL, OWNERS, STAGES, Deadline, Owner, Status
from infra.db import audits, drawings, orders, payments, wishes
from infra.db.engine import Row
from infra.db.history import GENESIS, HASHED, Broken, opened, verify
from infra.db.rows import (
    ClaimRow,
    DiscrepancyRow,
    EntryRow,
    HistoryRow,
    HopRow,
    IntentRow,
    OrderRow,
    OutboxRow,
    PostingRow,
    PrescriptionRow,
    ReviewRow,
    TransferRow,
    WishRow,
)
from infra.db.stored import CLAIM, MARK, ORDER, PRESCRIPTION, SETTLEMENT, Document

Plain = dict[str, Any]

SHOWN = 20
"""Prescriptions a search shows."""


@dataclass(frozen=True)
class Dossier:
    """Everything we know of one prescription, except who the patient is."""

    id: str
    hospital: str
    external_id: str
    status: Status
    owner: Owner
    """Who must act."""
    stage: str
    deadline: Deadline
    """What ends the stay in this status when no one acts."""
    waiting_for: str
    wake_at: datetime | None
    trouble: str
    attempts: int
    cancel_reason: str | None
    expedited: bool
    received_at: datetime
    valid_until: datetime
    lease_owner: str | None
    lease_until: datetime | None
    archive_key: str
    version: int
    head_hash: str
    history: list[Plain]
    """Oldest first; `detail` is opened."""
    broken: Broken | None
    """The first row of the chain that does not fit; None when the chain holds."""
    hops: list[Plain]
    items: list[Plain]
    """Each line with its quantities by where they are (`domain.fulfilment.lines.LineState`) and the word of its newest order."""
    wishes: list[Plain]
    """What was wished to be cancelled or taken back, the oldest first, with the answers."""
    findings: list[Plain]
    review: Plain | None
    orders: list[Plain]
    claims: list[Plain]
    postings: list[Plain]
    """Each with its `entries` and their `sum_fen`, which must be 0."""
    outbox: list[Plain]
    intents: list[Plain]
    discrepancies: list[Plain]
    own_run: str
    """Its own run in Prefect; empty while there is none."""


def dossier(session: Session, prescription_id: str) -> Dossier | None:
    """Everything we know of one prescription; None for an id we never gave out."""
    row, chain, broken = chain_of(session, prescription_id)
    if row is None:
        return None
    status = Status(row.status)

    def mine(table: Any, *order: Any) -> Sequence[Any]:
        return session.scalars(sa.select(table).where(table.prescription_id == prescription_id).order_by(*order)).all()

    review = session.get(ReviewRow, prescription_id)
    asked_for = mine(WishRow, WishRow.id)
    order_rows = mine(OrderRow, OrderRow.attempt)
    places = orders.whereabouts(session, {order.id: OrderStatus(order.status) for order in order_rows})
    paid = payments.documents(session, [order.id for order in order_rows])
    return Dossier(
        id=row.id, hospital=row.hospital, external_id=row.external_id, status=status, owner=OWNERS[status],
        stage=STAGES[status], deadline=DEADLINES[status], waiting_for=row.waiting_for, wake_at=row.wake_at,
        trouble=row.trouble, attempts=row.attempts,
        cancel_reason=next((wish.reason for wish in asked_for if (wish.kind, wish.answer) == _OPEN_CANCEL), None),
        expedited=row.expedited,
        received_at=row.received_at, valid_until=row.valid_until, lease_owner=row.lease_owner,
        lease_until=row.lease_until, archive_key=row.archive_key, version=row.version, head_hash=row.head_hash,
        history=[picked(event, "seq", "at", "from_status", "to_status", "actor", "reason", "run_id", "hash")
                 | {"detail": opened(event.detail)} for event in chain],
        broken=broken,
        hops=[picked(hop, "run_id", "started_at", "ended_at", "from_status", "to_status", "error")
              for hop in mine(HopRow, HopRow.id)],
        items=_items(session, row),
        wishes=[picked(wish, "kind", "by", "reason", "wished_at", "answer", "answered_at") for wish in asked_for],
        findings=[_unmarked(finding) for finding in audits.finding_documents(session, prescription_id)],
        review=picked(review, "opened_at", "pharmacist", "claim_until", "lapses", "decision", "codes", "text",
                       "reasons", "decided_at") if review else None,
        orders=[_order(order, places[order.id]) | paid.get(order.id, payments.NOTHING) for order in order_rows],
        claims=[_claim(claim) for claim in sorted(mine(ClaimRow), key=lambda claim: (
            [order.id for order in order_rows].index(claim.order_id), claim.version))],
        postings=postings(session, mine(PostingRow, PostingRow.id)),
        outbox=[picked(parcel, "key", "kind", "partner", "made_at", "due_at", "attempts", "last_error", "sent_at")
                for parcel in mine(OutboxRow, OutboxRow.made_at, OutboxRow.key)],
        intents=[picked(intent, "step", "version", "partner", "request_sha256", "made_at", "run_id", "answered_at",
                         "refusal", "attempts", "again_at", "trouble") for intent in mine(IntentRow, IntentRow.made_at)],
        discrepancies=[discrepancy(found) for found in mine(DiscrepancyRow, DiscrepancyRow.id)],
        own_run=((drawing := drawings.drawing(session, prescription_id)) and drawing.run_id) or "",
    )


def history_export(session: Session, prescription_id: str) -> Plain | None:
    """One chain with every hashed field as it was hashed, to be verified without us."""
    row, chain, broken = chain_of(session, prescription_id)
    if row is None:
        return None
    return {
        "prescription_id": row.id, "status": row.status, "version": row.version, "head_hash": row.head_hash,
        "genesis": GENESIS, "hashed_fields": HASHED,
        "hash": "hex SHA-256 of: previous hash, a line feed, the JSON list of the hashed fields in this order, "
                "UTF-8 without spaces or escapes beyond JSON's own",
        "verified": broken is None,
        "rows": [picked(event, *HASHED, "hash") for event in chain],
    }


def chain_of(session: Session, prescription_id: str) -> tuple[PrescriptionRow | None, list[HistoryRow], Broken | None]:
    """A prescription, its history and whether that holds."""
    for _ in range(3):
        row = session.scalar(sa.select(PrescriptionRow).where(PrescriptionRow.id == prescription_id)
                             .execution_options(populate_existing=True))
        if row is None:
            return None, [], None
        version = row.version
        chain = list(session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id == prescription_id)
                                     .order_by(HistoryRow.seq).execution_options(populate_existing=True)))
        broken = verify(chain, row)
        # A row may have been written between the two queries: only a chain that stays broken is broken.
        if broken is None or session.scalar(sa.select(PrescriptionRow.version).where(
                PrescriptionRow.id == prescription_id)) == version:
            break
    return row, chain, broken


def _unmarked(document: Document) -> Plain:
    """What is stored, without its version."""
    return {name: value for name, value in document.items() if name != MARK}


_OPEN_CANCEL = (WishKind.CANCEL, WishAnswer.OPEN)


def _items(session: Session, row: PrescriptionRow) -> list[Plain]:
    rx = PRESCRIPTION.read(row.content)
    placed = orders.of(session, row.id)
    states = line_states(rx.items, placed, wishes.of(session, row.id) if row.wished else (), ended=row.status in FINAL)
    newest = {line.line: order for order in placed for line in order.order.lines}
    return [{"line": item.line, "drug": item.drug, "quantity": item.quantity,
             "order_id": newest[item.line].id if item.line in newest else None,
             "status": newest[item.line].word if item.line in newest else "open", **asdict(states[item.line])}
            for item in rx.items]


def _order(order: OrderRow, place: orders.Whereabouts) -> Plain:
    content = ORDER.upgraded(order.content)
    # Not its content: the digest of a six-digit pickup code gives the code away.
    return picked(order, "id", "attempt", "chain", "store", "point", "reason", "reference", "total_fen",
                   "patient_due_fen", "made_at", "accept_by", "fulfil_by", "handed_over_at", "ended_at", "ranking") | {
        "status": place.word, "parcels": list(place.parcels), "returned": list(place.returned),
        "deliveries": list(place.deliveries),
        "returned_lines": sorted({back["line"] for back in place.returned}),
        "handover": content["handover"],
        "lines": [{name: line[name] for name in ("line", "drug", "quantity", "unit", "unit_price", "amount")}
                  for line in content["lines"]]}


def _claim(claim: ClaimRow) -> Plain:
    content = CLAIM.upgraded(claim.content)
    divisions = {name: document and _unmarked(SETTLEMENT.upgraded(document)) for name, document in (
        ("forecast", claim.forecast), ("pre_settled", claim.pre_settled), ("settled", claim.settled))}
    return picked(claim, "version", "order_id", "status", "reference", "insutype", "total_fen", "settlement_id", "settled_on",
                   "reversal_reference", "reversal_id", "reversed_on") | divisions | {
        "med_type": content["med_type"], "disease_code": content["disease_code"],
        "lines": [line["line"] for line in content["lines"]]}


def postings(session: Session, rows: Sequence[PostingRow]) -> list[Plain]:
    """Postings with their `entries`, one per account, and the sum of those, which must be 0.

    `transfers` say what went where; a posting of release 0.1 has none.
    """
    ids = [row.id for row in rows]
    transfers: dict[int, list[Plain]] = defaultdict(list)
    sums: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for transfer in session.scalars(sa.select(TransferRow).where(TransferRow.posting_id.in_(ids))
                                    .order_by(TransferRow.posting_id, TransferRow.seq)):
        transfers[transfer.posting_id].append(picked(transfer, "source", "destination", "amount_fen"))
        sums[transfer.posting_id][transfer.destination] += transfer.amount_fen
        sums[transfer.posting_id][transfer.source] -= transfer.amount_fen
    for entry in session.scalars(sa.select(EntryRow).where(EntryRow.posting_id.in_(ids))
                                 .order_by(EntryRow.posting_id, EntryRow.seq)):
        sums[entry.posting_id][entry.account] += entry.amount_fen
    return [picked(posting, "id", "prescription_id", "kind", "reference", "insutype", "at") | {
        "entries": [{"account": account, "amount_fen": amount} for account, amount in sums[posting.id].items()],
        "sum_fen": sum(sums[posting.id].values()), "transfers": transfers[posting.id]} for posting in rows]


def discrepancy(row: DiscrepancyRow) -> Plain:
    """Where two books disagree."""
    return picked(row, "id", "prescription_id", "kind", "subject", "expected", "actual", "found_at")


def picked(row: object, *names: str) -> Plain:
    """Some columns of a row."""
    return {name: getattr(row, name) for name in names}


# --- Runs and lists ------------------------------------------------------------------------------


def run(session: Session, run_id: str) -> list[Plain]:
    """Every prescription's part in one flow run, and where the prescription is now."""
    hops = session.scalars(sa.select(HopRow).where(HopRow.run_id == run_id).order_by(HopRow.id)).all()
    # Not a join: when a run has many hops, PostgreSQL would rather read every prescription in order than look up these.
    now = {row.id: row for row in session.execute(
        sa.select(PrescriptionRow.id, PrescriptionRow.status, PrescriptionRow.hospital)
        .where(PrescriptionRow.id.in_({hop.prescription_id for hop in hops})))}
    return [picked(hop, "prescription_id", "started_at", "ended_at", "from_status", "to_status", "error")
            | {"status_now": now[hop.prescription_id].status, "hospital": now[hop.prescription_id].hospital} for hop in hops]


def listed(session: Session, statuses: Sequence[Status], before: tuple[datetime, str] | None,
           limit: int = 50) -> list[Plain]:
    """Prescriptions in these statuses, the newest first; `before` is (received_at, id) of the last one seen."""
    # One walk down the index per status, then the newest of all: no sort of the whole table.
    rows: list[Row] = []
    for status in statuses:
        query = sa.select(*_SHORT).where(PrescriptionRow.status == status)
        if before:
            query = query.where(sa.tuple_(PrescriptionRow.received_at, PrescriptionRow.id) < before)
        rows += session.execute(
            query.order_by(PrescriptionRow.received_at.desc(), PrescriptionRow.id.desc()).limit(limit))
    rows.sort(key=lambda row: (row.received_at, row.id), reverse=True)
    return [_short(row) for row in rows[:limit]]


def search(session: Session, text: str, hospitals: Sequence[str]) -> list[Plain]:
    """Prescriptions with this id, this hospital's number, or an order of this id."""
    order = session.get(OrderRow, text)
    rows = session.execute(sa.select(*_SHORT).where(sa.or_(
        PrescriptionRow.id == (order.prescription_id if order else text),
        sa.and_(PrescriptionRow.hospital.in_(hospitals), PrescriptionRow.external_id == text))).limit(SHOWN))
    return [_short(row) for row in rows]


# Not the whole row: it holds a document.
_SHORT = (PrescriptionRow.id, PrescriptionRow.hospital, PrescriptionRow.external_id, PrescriptionRow.status,
          PrescriptionRow.received_at, PrescriptionRow.valid_until, PrescriptionRow.waiting_for, PrescriptionRow.wake_at,
          PrescriptionRow.trouble, PrescriptionRow.attempts)


def _short(row: Row) -> Plain:
    return dict(row._mapping) | {"owner": OWNERS[Status(row.status)]}
