"""The books, page by page: prescriptions, the ledger, the proof of both, differences, answers of the fund, and notices.

Everything here grows for ever, so everything has a limit and goes on where the page before stopped.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from domain.fulfilment.orders import OrderStatus
from domain.ledger import templates
from domain.ledger.accounts import ACCOUNT, FAMILY, account
from domain.lifecycle import FINAL, STAGES, Status
from infra.db import payments
from infra.db.history import HASHED, verify
from infra.db.ledger import SIDES
from infra.db.orders import whereabouts
from infra.db.rows import (
    ClaimRow,
    DiscrepancyRow,
    HistoryRow,
    HopRow,
    NoticeRow,
    OrderRow,
    PostingRow,
    PrescriptionRow,
    ReconciliationRow,
)
from infra.db.stored import SETTLEMENT
from infra.db.views.dossiers import Plain, chain_of, discrepancy, picked, postings


def prescriptions_page(session: Session, after: str, limit: int) -> list[Plain]:
    """Prescriptions by id from `after` on, with orders and the state of their money.

    `reversed`: the newest claim was taken back and nothing was settled in its place.
    """
    shown = ("id", "hospital", "external_id", "status", "trouble", "waiting_for", "received_at")
    rows = session.execute(_columns(PrescriptionRow, *shown).where(PrescriptionRow.id > after)
                           .order_by(PrescriptionRow.id).limit(limit)).all()
    ids = [row.id for row in rows]
    ordered = ("id", "chain", "store", "point", "total_fen", "patient_due_fen")
    order_rows = session.execute(_columns(OrderRow, "prescription_id", "status", *ordered)
                                 .where(OrderRow.prescription_id.in_(ids))
                                 .order_by(OrderRow.prescription_id, OrderRow.attempt)).all()
    places = whereabouts(session, {order.id: OrderStatus(order.status) for order in order_rows})
    paid = payments.documents(session, [order.id for order in order_rows])
    orders: dict[str, list[Plain]] = defaultdict(list)
    for order in order_rows:
        place = places[order.id]
        orders[order.prescription_id].append(picked(order, *ordered) | {
            "status": place.word, "returned_lines": sorted({back["line"] for back in place.returned}),
            "deliveries": list(place.deliveries)} | paid.get(order.id, payments.NOTHING))
    claims: dict[str, list[Any]] = defaultdict(list)
    for claim in session.execute(_columns(ClaimRow, "prescription_id", "order_id", "version", "status", "reversal_id")
                                 .where(ClaimRow.prescription_id.in_(ids))
                                 .order_by(ClaimRow.prescription_id, ClaimRow.version)):
        claims[claim.prescription_id].append(claim)
    attempts = {order.id: attempt for attempt, order in enumerate(order_rows)}
    for mine in claims.values():
        mine.sort(key=lambda claim: (attempts[claim.order_id], claim.version))
    ended: dict[str, str] = {}
    for prescription_id, at in session.execute(
            sa.select(HistoryRow.prescription_id, sa.func.min(HistoryRow.at))
            .where(HistoryRow.prescription_id.in_(ids), HistoryRow.to_status.in_(FINAL))
            .group_by(HistoryRow.prescription_id)):
        ended[prescription_id] = at
    return [
        picked(row, *shown) | {
            "reversed": bool(mine) and mine[-1].reversal_id is not None,
            "reversals": sum(claim.reversal_id is not None for claim in mine),
            "claim_status": mine[-1].status if mine else None,
            "orders": orders[row.id], "ended_at": ended.get(row.id)}
        for row in rows for mine in [claims[row.id]]]


def ledger(session: Session, after: int, claim: tuple[str, int], limit: int) -> tuple[Plain, tuple[int, str, int] | None]:
    """Postings with their entries after that posting, and claims with what the fund paid after that claim, in fen.

    With it, where the next page goes on: posting, order, version of a claim; None at the end.
    """
    page = session.scalars(sa.select(PostingRow).where(PostingRow.id > after)
                           .order_by(PostingRow.id).limit(limit)).all()
    claims_paid = session.execute(
        sa.select(ClaimRow, OrderRow.chain).join(OrderRow, OrderRow.id == ClaimRow.order_id)
        .where(sa.tuple_(ClaimRow.order_id, ClaimRow.version) > claim)
        .order_by(ClaimRow.order_id, ClaimRow.version).limit(limit)).all()
    claims = []
    for row, chain in claims_paid:
        answer = SETTLEMENT.upgraded(row.settled or row.pre_settled or row.forecast)
        claims.append(picked(row, "prescription_id", "version", "order_id", "reference", "settlement_id",
                              "reversal_id", "status", "total_fen")
                      | {"chain": chain, "fund_fen": answer["fund"], "cash_fen": answer["cash"],
                         "account_fen": answer["account"] + answer["family"]})
    last = (page[-1].id if page else after,
            *((claims_paid[-1][0].order_id, claims_paid[-1][0].version) if claims_paid else claim))
    return {"postings": postings(session, page), "claims": claims}, last if limit in (len(page), len(claims_paid)) else None


def verify_page(session: Session, after: str, posting: int, limit: int) -> tuple[Plain, tuple[str, int] | None]:
    """Walk the chains of `limit` prescriptions after that one and prove `limit` postings after that one.

    A posting must sum to zero and hold what its template makes of the settlement that its claim has stored.
    With it, where the next page goes on: prescription, posting; None at the end.
    """
    heads = session.execute(_columns(PrescriptionRow, "id", "status", "version", "head_hash")
                            .where(PrescriptionRow.id > after).order_by(PrescriptionRow.id).limit(limit)).all()
    chains: dict[str, list[HistoryRow]] = defaultdict(list)
    for event in session.execute(_columns(HistoryRow, *HASHED, "hash")
                                 .where(HistoryRow.prescription_id.in_([head.id for head in heads]))
                                 .order_by(HistoryRow.prescription_id, HistoryRow.seq)):
        chains[event.prescription_id].append(cast(HistoryRow, event))
    broken = []
    for head in heads:
        if verify(chains[head.id], cast(PrescriptionRow, head)):
            # Once more by itself: it may have moved on between the queries.
            _, _, faults = chain_of(session, head.id)
            if faults:
                broken.append(picked(faults, "prescription_id", "seq", "what"))
    ids = session.scalars(sa.select(PostingRow.id).where(PostingRow.id > posting)
                          .order_by(PostingRow.id).limit(limit)).all()
    out_of_balance = [{"posting": posting_id, "sum_fen": int(total)} for posting_id, total in session.execute(
        sa.select(SIDES.c.posting_id, sa.func.sum(SIDES.c.amount_fen)).where(SIDES.c.posting_id.in_(ids))
        .group_by(SIDES.c.posting_id).having(sa.func.sum(SIDES.c.amount_fen) != 0).order_by(SIDES.c.posting_id))]
    last = heads[-1].id if heads else after, ids[-1] if ids else posting
    return ({"chains": len(heads), "broken": broken, "postings": len(ids), "out_of_balance": out_of_balance,
             "unlike_claim": _unlike_claim(session, ids)},
            last if limit in (len(heads), len(ids)) else None)


def _unlike_claim(session: Session, ids: Sequence[int]) -> list[Plain]:
    """Accounts for which a posting holds another amount than its claim, in fen; all of them if there is no such claim."""
    posted: dict[int, dict[str, int]] = defaultdict(dict)
    for posting_id, address, amount in session.execute(
            sa.select(SIDES.c.posting_id, SIDES.c.account, sa.func.sum(SIDES.c.amount_fen))
            .where(SIDES.c.posting_id.in_(ids)).group_by(SIDES.c.posting_id, SIDES.c.account)):
        posted[posting_id][address] = int(amount)
    postings = session.scalars(sa.select(PostingRow).where(PostingRow.id.in_(ids)).order_by(PostingRow.id)).all()
    claims = {(claim.prescription_id, claim.settlement_id): (claim, chain) for claim, chain in session.execute(
        sa.select(ClaimRow, OrderRow.chain).join(OrderRow, OrderRow.id == ClaimRow.order_id)
        .where(ClaimRow.prescription_id.in_({posting.prescription_id for posting in postings})))}
    unlike = []
    for posting in postings:
        template = templates.TEMPLATES.get(posting.kind)
        if template is None:
            continue  # Of a newer release: what it should hold is not known here.
        expected: dict[str, int] = {}
        if claim_and_chain := claims.get((posting.prescription_id or "", posting.reference)):
            claim, chain = claim_and_chain
            assert claim.settled is not None
            expected = template(claim.prescription_id, chain, claim.insutype, SETTLEMENT.read(claim.settled)).sides
            if posting.insutype is None:
                expected = _as_release_0_1_posted(expected, claim.insutype)
        actual = posted[posting.id]
        unlike += [{"posting": posting.id, "account": address, "posted_fen": actual.get(address, 0),
                    "claim_fen": expected.get(address, 0)} for address in sorted(expected.keys() | actual.keys())
                   if expected.get(address, 0) != actual.get(address, 0)]
    return unlike


def _as_release_0_1_posted(sides: dict[str, int], insutype: str) -> dict[str, int]:
    """A relative's account together with the patient's own."""
    own, family = str(account(ACCOUNT, insutype=insutype)), str(account(FAMILY, insutype=insutype))
    rest = {address: amount for address, amount in sides.items() if address != family}
    return rest | {own: sides.get(own, 0) + sides.get(family, 0)}


def stage_seconds(session: Session, hops: int) -> dict[str, Plain]:
    """Seconds prescriptions stayed in each status before they left it: count, median and 95th percentile.

    Of the prescriptions of the last so many hops: what has moved lately, not what ever has.
    """
    lately = sa.select(HopRow.prescription_id).order_by(HopRow.id.desc()).limit(hops)
    ids = sorted(set(session.scalars(lately)))
    stays: dict[str, list[float]] = defaultdict(list)
    current, entered = "", ""
    for prescription_id, at, start, to in session.execute(
            sa.select(HistoryRow.prescription_id, HistoryRow.at, HistoryRow.from_status, HistoryRow.to_status)
            .where(HistoryRow.prescription_id.in_(ids),
                   sa.or_(HistoryRow.seq == 1, HistoryRow.from_status != HistoryRow.to_status))
            .order_by(HistoryRow.prescription_id, HistoryRow.seq)):
        if prescription_id == current and start != to:
            stays[start].append((datetime.fromisoformat(at) - datetime.fromisoformat(entered)).total_seconds())
        current, entered = prescription_id, at
    return {str(status): {"stage": STAGES[status], "count": len(taken), "p50": _nearest_rank(taken, 50),
                          "p95": _nearest_rank(taken, 95)}
            for status in Status if (taken := sorted(stays[status]))}


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def discrepancies(session: Session, before: int | None, limit: int) -> list[Plain]:
    """Where two books disagree, the newest first; `before` is the id of the last one seen."""
    rows = sa.select(DiscrepancyRow).order_by(DiscrepancyRow.id.desc()).limit(limit)
    return [discrepancy(found) for found in session.scalars(
        rows if before is None else rows.where(DiscrepancyRow.id < before))]


def notices(session: Session, before: int | None, limit: int) -> list[Plain]:
    """Every notice, open or closed, the newest first; `before` is the id of the last one seen."""
    rows = sa.select(NoticeRow).order_by(NoticeRow.id.desc()).limit(limit)
    return [picked(row, "id", "kind", "partner", "subject", "detail", "noted_at", "closed_by", "closed_at")
            for row in session.scalars(rows if before is None else rows.where(NoticeRow.id < before))]


def reconciliations(session: Session, before: int | None, limit: int) -> list[Plain]:
    """Every answer to a 3201, the newest first; `before` is the id of the last one seen."""
    rows = sa.select(ReconciliationRow).order_by(ReconciliationRow.id.desc()).limit(limit)
    return [picked(row, "id", "day", "insutype", "total_fen", "fund_fen", "account_fen", "count", "matched", "text",
                   "at")
            for row in session.scalars(rows if before is None else rows.where(ReconciliationRow.id < before))]


def ready(session: Session) -> str:
    """Empty when the database answers and is migrated to what this version needs, else what is wrong."""
    needed = ScriptDirectory(str(Path(__file__).parents[1] / "migrations")).get_current_head()
    try:
        there = session.scalar(sa.text("SELECT version_num FROM alembic_version"))
    except (OperationalError, ProgrammingError):
        return "database unreachable, or never migrated"
    return "" if there == needed else f"database is at migration {there}, this version needs {needed}"


def _columns(table: Any, *names: str) -> sa.Select[*tuple[Any, ...]]:
    """Only these columns: whole rows hold documents that are not needed here."""
    return sa.select(*(getattr(table, name) for name in names))
