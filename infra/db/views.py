"""What people look at: one prescription whole, one run, the board of operations, the books.

Plain data for pages, JSON and Prefect artifacts alike. Nothing here opens a sealed value.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from domain.lifecycle import DEADLINES, FINAL, OWNERS, STAGES, Owner, Status
from domain.policy import CityPolicy
from infra.db.history import GENESIS, HASHED, Broken, verify
from infra.db.rows import (
    ClaimRow,
    DiscrepancyRow,
    EntryRow,
    FindingRow,
    HistoryRow,
    HopRow,
    IntentRow,
    ItemRow,
    OrderRow,
    OutboxRow,
    PostingRow,
    PrescriptionRow,
    ReconciliationRow,
    ReviewRow,
)

Plain = dict[str, Any]

OPEN = tuple(status for status in Status if status not in FINAL)
GRACE = timedelta(seconds=60)
"""So long something may be due before somebody should look."""
NOBODY_CAN_FILL = "a pharmacy that can fill it"
"""The words `tasks.allocation` writes while no store has everything."""
LASTING = 5
"""Failed attempts after which even a passing trouble needs a person; the same as `tasks.line.RED_AFTER`."""
SHOWN = 20
"""Examples of one concern on the board; the count is of all."""


# --- One prescription ----------------------------------------------------------------------------


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
    deadline: str
    """What ends the stay in this status when nobody moves it."""
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
    findings: list[Plain]
    review: Plain | None
    orders: list[Plain]
    claims: list[Plain]
    postings: list[Plain]
    """Each with its `entries` and their `sum_fen`, which must be 0."""
    outbox: list[Plain]
    intents: list[Plain]
    discrepancies: list[Plain]


def dossier(session: Session, prescription_id: str) -> Dossier | None:
    """Everything we know of one prescription; None for an id we never gave out."""
    row, chain, broken = _chain(session, prescription_id)
    if row is None:
        return None
    status = Status(row.status)

    def mine(table: Any, *order: Any) -> Sequence[Any]:
        return session.scalars(sa.select(table).where(table.prescription_id == prescription_id).order_by(*order)).all()

    review = session.get(ReviewRow, prescription_id)
    return Dossier(
        id=row.id, hospital=row.hospital, external_id=row.external_id, status=status, owner=OWNERS[status],
        stage=STAGES[status], deadline=DEADLINES[status], waiting_for=row.waiting_for, wake_at=row.wake_at,
        trouble=row.trouble, attempts=row.attempts, cancel_reason=row.cancel_reason, expedited=row.expedited,
        received_at=row.received_at, valid_until=row.valid_until, lease_owner=row.lease_owner,
        lease_until=row.lease_until, archive_key=row.archive_key, version=row.version, head_hash=row.head_hash,
        history=[_picked(event, "seq", "at", "from_status", "to_status", "actor", "reason", "run_id", "hash")
                 | {"detail": _opened(event.detail)} for event in chain],
        broken=broken,
        hops=[_picked(hop, "run_id", "started_at", "ended_at", "from_status", "to_status", "error")
              for hop in mine(HopRow, HopRow.id)],
        items=[_picked(item, "line", "drug", "quantity", "order_id", "status") for item in mine(ItemRow, ItemRow.line)],
        findings=[dict(finding.content) for finding in mine(FindingRow, FindingRow.seq)],
        review=_picked(review, "opened_at", "pharmacist", "claim_until", "lapses", "decision", "codes", "text",
                       "reasons", "decided_at") if review else None,
        orders=[_order(order) for order in mine(OrderRow, OrderRow.attempt)],
        claims=[_claim(claim) for claim in mine(ClaimRow, ClaimRow.version)],
        postings=_postings(session, mine(PostingRow, PostingRow.id)),
        outbox=[_picked(parcel, "key", "kind", "partner", "made_at", "due_at", "attempts", "last_error", "sent_at")
                for parcel in mine(OutboxRow, OutboxRow.made_at, OutboxRow.key)],
        intents=[_picked(intent, "step", "version", "partner", "request_sha256", "made_at", "run_id", "answered_at",
                         "refusal") for intent in mine(IntentRow, IntentRow.made_at)],
        discrepancies=[_discrepancy(found) for found in mine(DiscrepancyRow, DiscrepancyRow.id)],
    )


def history_export(session: Session, prescription_id: str) -> Plain | None:
    """One chain with every hashed field as it was hashed, to be verified without us."""
    row, chain, broken = _chain(session, prescription_id)
    if row is None:
        return None
    return {
        "prescription_id": row.id, "status": row.status, "version": row.version, "head_hash": row.head_hash,
        "genesis": GENESIS, "hashed_fields": HASHED,
        "hash": "hex SHA-256 of: previous hash, a line feed, the JSON list of the hashed fields in this order, "
                "UTF-8 without spaces or escapes beyond JSON's own",
        "verified": broken is None,
        "rows": [_picked(event, *HASHED, "hash") for event in chain],
    }


def _chain(session: Session, prescription_id: str) -> tuple[PrescriptionRow | None, list[HistoryRow], Broken | None]:
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
        # Between the two queries somebody may have written on: only what stays broken is broken.
        if broken is None or session.scalar(sa.select(PrescriptionRow.version).where(
                PrescriptionRow.id == prescription_id)) == version:
            break
    return row, chain, broken


def _order(order: OrderRow) -> Plain:
    # Not its content: the digest of a six-digit pickup code gives the code away.
    return _picked(order, "id", "attempt", "chain", "store", "status", "reason", "reference", "total_fen",
                   "patient_due_fen", "made_at", "accept_by", "fulfil_by", "handed_over_at", "ended_at",
                   "returned_lines", "ranking") | {
        "handover": order.content["handover"],
        "lines": [{name: line[name] for name in ("line", "drug", "quantity", "unit", "unit_price", "amount")}
                  for line in order.content["lines"]]}


def _claim(claim: ClaimRow) -> Plain:
    return _picked(claim, "version", "order_id", "status", "reference", "insutype", "total_fen", "forecast",
                   "pre_settled", "settled", "settlement_id", "settled_on", "reversal_reference", "reversal_id",
                   "reversed_on") | {
        "med_type": claim.content["med_type"], "disease_code": claim.content["disease_code"],
        "lines": [line["line"] for line in claim.content["lines"]]}


def _postings(session: Session, postings: Sequence[PostingRow]) -> list[Plain]:
    entries: dict[int, list[Plain]] = defaultdict(list)
    for entry in session.scalars(sa.select(EntryRow).where(EntryRow.posting_id.in_([p.id for p in postings]))
                                 .order_by(EntryRow.posting_id, EntryRow.seq)):
        entries[entry.posting_id].append({"account": entry.account, "amount_fen": entry.amount_fen})
    return [_picked(posting, "id", "prescription_id", "kind", "reference", "at")
            | {"entries": entries[posting.id], "sum_fen": sum(e["amount_fen"] for e in entries[posting.id])}
            for posting in postings]


def _discrepancy(found: DiscrepancyRow) -> Plain:
    return _picked(found, "id", "prescription_id", "kind", "subject", "expected", "actual", "found_at")


def _picked(row: object, *names: str) -> Plain:
    return {name: getattr(row, name) for name in names}


def _opened(detail: str) -> object:
    """A history row's detail; as it is where somebody has tampered with it."""
    try:
        return json.loads(detail)
    except ValueError:
        return detail


# --- Runs and lists ------------------------------------------------------------------------------


def run(session: Session, run_id: str) -> list[Plain]:
    """Every prescription's part in one flow run, and where the prescription is now."""
    rows = session.execute(
        sa.select(HopRow, PrescriptionRow.status, PrescriptionRow.hospital)
        .join(PrescriptionRow, PrescriptionRow.id == HopRow.prescription_id)
        .where(HopRow.run_id == run_id).order_by(HopRow.id))
    return [_picked(hop, "prescription_id", "started_at", "ended_at", "from_status", "to_status", "error")
            | {"status_now": status, "hospital": hospital} for hop, status, hospital in rows]


def listed(session: Session, statuses: Sequence[Status], before: tuple[datetime, str] | None,
           limit: int = 50) -> list[Plain]:
    """Prescriptions in these statuses, the newest first; `before` is (received_at, id) of the last one seen."""
    # One walk down the index per status, then the newest of all: no sort of the whole table.
    found: list[PrescriptionRow] = []
    for status in statuses:
        query = sa.select(PrescriptionRow).where(PrescriptionRow.status == status)
        if before:
            at, last = before
            query = query.where(PrescriptionRow.received_at <= at, sa.or_(
                PrescriptionRow.received_at < at, PrescriptionRow.id < last))
        found += session.scalars(
            query.order_by(PrescriptionRow.received_at.desc(), PrescriptionRow.id.desc()).limit(limit))
    found.sort(key=lambda row: (row.received_at, row.id), reverse=True)
    return [_short(row) for row in found[:limit]]


def search(session: Session, text: str, hospitals: Sequence[str]) -> list[Plain]:
    """Prescriptions with this id, this hospital's number, or an order of this id."""
    order = session.get(OrderRow, text)
    rows = session.scalars(sa.select(PrescriptionRow).where(sa.or_(
        PrescriptionRow.id == (order.prescription_id if order else text),
        sa.and_(PrescriptionRow.hospital.in_(hospitals), PrescriptionRow.external_id == text))).limit(SHOWN))
    return [_short(row) for row in rows]


def _short(row: PrescriptionRow) -> Plain:
    return _picked(row, "id", "hospital", "external_id", "status", "received_at", "valid_until", "waiting_for",
                   "wake_at", "trouble", "attempts") | {"owner": OWNERS[Status(row.status)]}


# --- The board of operations ---------------------------------------------------------------------


@dataclass(frozen=True)
class StatusLine:
    """How many prescriptions are in one status."""

    status: Status
    owner: Owner
    stage: str
    count: int
    oldest: datetime | None
    """When the oldest of them was received; None where nothing is owed any more."""


@dataclass(frozen=True)
class Example:
    """One case of a concern."""

    prescription_id: str
    """Empty when it is about a day or a partner."""
    since: datetime
    note: str
    """Codes and ids."""


@dataclass(frozen=True)
class Concern:
    """Something that does not move as it should: why, and what to do about it."""

    kind: str
    act: bool
    """Whether a person must act; otherwise it is worth knowing and may cure itself."""
    what: str
    what_en: str
    cure: str
    cure_en: str
    count: int
    oldest: datetime | None
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class DayMoney:
    """What the ledger says of one of the city's days, in fen."""

    day: date
    settlements: int
    reversals: int
    total: int
    """Owed to the chains."""
    fund: int
    account: int
    cash: int
    balance: int
    """Sum of all entries: 0, or the books are wrong."""


@dataclass(frozen=True)
class Board:
    """The state of the city at one moment."""

    at: datetime
    city: str
    city_en: str
    statuses: tuple[StatusLine, ...]
    concerns: tuple[Concern, ...]
    """What needs a person first, then what is worth watching."""
    money: DayMoney
    outbox_waiting: int
    owners: dict[str, int] = field(default_factory=dict)
    """Open prescriptions by who must act."""

    @property
    def open(self) -> int:
        return sum(self.owners.values())


Words = tuple[bool, str, str, str, str]
"""Whether a person must act, what it is and what to do, in both languages."""

DIFFERENCES: dict[str, tuple[str, str]] = {
    "forecast_vs_pre_settlement": ("平台测算与预结算不符", "our forecast against the pre-settlement, in fen"),
    "expected_vs_settlement": ("预结算与结算不符", "what was expected against the settlement, in fen"),
    "late_word_from_chain": ("办结后收到药店消息", "a chain's word after the end"),
    "day_total": ("与医保的日总额不符", "a day's total against the fund's"),
}
"""By kind of discrepancy."""

TROUBLES: dict[str, Words] = {
    "Transient": (
        False, "合作方暂时没有应答", "a partner does not answer for the moment",
        "平台会按间隔自动重试；若持续，查看该合作方是否可用",
        "the platform tries again by itself; if it lasts, see whether the partner is up"),
    "OutcomeUnknown": (
        False, "请求已发出但没有收到回应，结果未知", "a request was sent and its outcome is unknown",
        "平台会先向合作方查询再决定是否重发；若持续，请联系合作方核对",
        "the platform asks before it sends again; if it lasts, settle it with the partner"),
    "StaleStatus": (
        False, "同一处方被同时处理", "two workers met at one prescription",
        "无需处理，平台会重新读取", "nothing to do; it is read again"),
    "Refused": (
        True, "合作方拒绝了不应拒绝的请求", "a partner refused what it must not refuse",
        "按代码查阅接口约定，与合作方解决后点击“立即重试”",
        "look the code up in the contract, settle it with the partner, then wake the prescription"),
    "InvalidPayload": (
        True, "合作方的应答不符合接口约定", "a partner's answer broke the contract",
        "把代码与时间告诉合作方；修正后点击“立即重试”",
        "tell the partner code and time; once corrected, wake the prescription"),
    "NeedsOperator": (
        True, "配置、密钥或合作方账目需要人工处理", "configuration, credentials or a partner's book need a person",
        "按代码修正后点击“立即重试”", "put right what the code names, then wake the prescription"),
    "": (
        True, "平台程序出错", "a fault of the platform",
        "在日志中按处方号查找 hop.bug,报告开发人员；修复后点击“立即重试”",
        "find hop.bug with the prescription's id in the log and report it; once mended, wake the prescription"),
}
"""By class of the error."""


def trouble_words(code: str, attempts: int) -> Words:
    """What a trouble code such as `Transient:timeout` means; an unknown one is a fault of ours."""
    act, *rest = TROUBLES.get(code.partition(":")[0], TROUBLES[""])
    what, what_en, cure, cure_en = rest
    return act or attempts >= LASTING, what, what_en, cure, cure_en


def board(session: Session, now: datetime, policy: CityPolicy) -> Board:
    """What is where, what is stuck and why, and today's money."""
    counts = {Status(status): (count, oldest) for status, count, oldest in session.execute(
        sa.select(PrescriptionRow.status, sa.func.count(), sa.func.min(PrescriptionRow.received_at))
        .group_by(PrescriptionRow.status))}
    statuses = tuple(
        StatusLine(status, OWNERS[status], STAGES[status], count, oldest if status in OPEN else None)
        for status in Status for count, oldest in [counts.get(status, (0, None))])
    owners = {str(owner): sum(line.count for line in statuses if line.owner is owner)
              for owner in Owner if owner is not Owner.NOBODY}
    concerns = sorted(_concerns(session, now, policy), key=lambda one: not one.act)
    today = now.astimezone(ZoneInfo(policy.timezone)).date()
    waiting = session.scalar(sa.select(sa.func.count()).select_from(OutboxRow).where(OutboxRow.due_at.is_not(None)))
    return Board(now, policy.name, policy.name_en, statuses, tuple(concerns), _money(session, today), waiting or 0,
                 owners)


def _concerns(session: Session, now: datetime, policy: CityPolicy) -> Iterator[Concern]:
    rx = PrescriptionRow
    is_open = rx.status.in_(OPEN)

    for trouble, attempts in session.execute(
            sa.select(rx.trouble, sa.func.max(rx.attempts)).where(is_open, rx.trouble != "")
            .group_by(rx.trouble).order_by(rx.trouble)).all():
        yield from _prescriptions(session, f"trouble:{trouble}", trouble_words(trouble, attempts),
                                  sa.and_(is_open, rx.trouble == trouble), note=rx.trouble)

    yield from _prescriptions(session, "nobody_can_fill", (
        True, "没有药店能配齐", "no pharmacy can fill it",
        "联系连锁补货，或请医师换药；平台会定时再问", "ask a chain to stock up or the prescriber to change the drug; "
        "the platform asks again by itself"),
        sa.and_(rx.status == Status.ALLOCATING, rx.waiting_for == NOBODY_CAN_FILL), note=rx.hospital)

    late = (sa.select(ReviewRow.prescription_id).where(
        ReviewRow.decision.is_(None), ReviewRow.opened_at < now - policy.review_target))
    yield from _prescriptions(session, "review_late", (
        True, "审方等待超过目标时长", "review takes longer than the target",
        "请药师到审方台处理", "have a pharmacist look at the review desk"),
        sa.and_(rx.status == Status.IN_REVIEW, rx.id.in_(late)), note=rx.hospital)

    yield from _prescriptions(session, "overdue", (
        True, "到期未处理：工作进程可能已停止", "due and not worked on: the worker may be down",
        "检查工作进程是否运行", "see whether a worker is running"),
        sa.and_(rx.wake_at < now - GRACE, sa.or_(rx.lease_until.is_(None), rx.lease_until < now)),
        note=rx.status, since=rx.wake_at)

    owed = [status for status, owner in OWNERS.items() if owner is Owner.PLATFORM]
    yield from _prescriptions(session, "forgotten", (
        True, "平台应处理但没有定时", "the platform owes the next move and no clock runs",
        "清扫任务会自动恢复；若持续，请手动运行清扫", "the sweep sets it right; if it lasts, run the sweep by hand"),
        sa.and_(rx.status.in_(owed), rx.wake_at.is_(None)), note=rx.status)

    early = (Status.RECEIVED, Status.AUDITED, Status.IN_REVIEW, Status.REVIEWED, Status.ALLOCATING)
    yield from _prescriptions(session, "expiring", (
        False, "即将失效，尚无药店接单", "soon invalid, and no pharmacy has it",
        "优先审方或分配", "review or allocate it first"),
        sa.and_(rx.status.in_(early), rx.valid_until < now + policy.expiring_soon),
        note=rx.status, since=rx.valid_until)

    unknown = [Example(intent.prescription_id, intent.made_at, f"{intent.step} → {intent.partner}")
               for intent in session.scalars(sa.select(IntentRow).where(
                   IntentRow.answered_at.is_(None), IntentRow.made_at < now - GRACE).order_by(IntentRow.made_at))]
    yield from _concern("open_intent", (
        True, "对外操作结果未知超过一分钟", "the outcome of an effect has been unknown for over a minute",
        "平台会先查询再重发；若持续，请向合作方核对",
        "the platform asks before it sends again; if it lasts, ask the partner"),
        unknown)

    failing = session.execute(sa.select(OutboxRow).where(OutboxRow.due_at.is_not(None), OutboxRow.attempts > 0)
                              .order_by(OutboxRow.made_at)).scalars().all()
    for partner in sorted({parcel.partner for parcel in failing}):
        yield from _concern(f"outbox:{partner}", (
            True, f"发往 {partner} 的通知失败", f"messages to {partner} fail",
            "检查合作方地址与密钥；平台会继续重发", "see the partner's address and token; the platform keeps trying"),
            [Example(parcel.prescription_id, parcel.made_at, f"{parcel.kind}: {parcel.last_error}")
             for parcel in failing if parcel.partner == partner])

    days = session.scalars(sa.select(ReconciliationRow).where(
        ReconciliationRow.day >= (now - timedelta(days=7)).date()).order_by(ReconciliationRow.id)).all()
    newest = {(row.day, row.insutype): row for row in days}
    yield from _concern("day_unmatched", (
        True, "对账不平", "a day does not reconcile with the fund",
        "在“差异”中逐笔核对，修正后重跑对账", "go through the discrepancies, then reconcile the day again"),
        [Example("", row.at, f"{row.day} {row.insutype}") for row in newest.values() if not row.matched])

    recent = session.scalars(sa.select(DiscrepancyRow).where(
        DiscrepancyRow.found_at > now - timedelta(days=7)).order_by(DiscrepancyRow.id)).all()
    for kind in sorted({found.kind for found in recent}):
        what, what_en = DIFFERENCES.get(kind, (kind, ""))
        yield from _concern(f"discrepancy:{kind}", (
            True, f"近七日差异：{what}", f"in the last seven days: {what_en}",
            "逐笔核对，与合作方确认谁对", "go through them one by one and settle with the partner who is right"),
            [Example(found.prescription_id, found.found_at,
                     f"{found.subject.rpartition(':')[2]}: {found.expected} ≠ {found.actual}")
             for found in recent if found.kind == kind])


def _concern(kind: str, words: Words, examples: Sequence[Example]) -> Iterator[Concern]:
    if examples:
        act, what, what_en, cure, cure_en = words
        yield Concern(kind, act, what, what_en, cure, cure_en, len(examples), min(one.since for one in examples),
                      tuple(examples[:SHOWN]))


def _prescriptions(session: Session, kind: str, words: Words, where: sa.ColumnElement[bool], *,
                   note: Any, since: Any = PrescriptionRow.received_at) -> Iterator[Concern]:
    count, oldest = session.execute(sa.select(sa.func.count(), sa.func.min(since)).where(where)).one()
    if count:
        rows = session.execute(sa.select(PrescriptionRow.id, since, note).where(where).order_by(since).limit(SHOWN))
        act, what, what_en, cure, cure_en = words
        yield Concern(kind, act, what, what_en, cure, cure_en, count, oldest,
                      tuple(Example(prescription_id, at, text) for prescription_id, at, text in rows))


def _money(session: Session, day: date) -> DayMoney:
    sums: dict[str, int] = defaultdict(int)
    counts = []
    for kind, when in (("settled", ClaimRow.settled_on), ("reversed", ClaimRow.reversed_on)):
        counts.append(session.scalar(sa.select(sa.func.count()).select_from(ClaimRow).where(when == day)) or 0)
        for account, amount in session.execute(
                sa.select(EntryRow.account, sa.func.sum(EntryRow.amount_fen))
                .join(PostingRow, PostingRow.id == EntryRow.posting_id)
                .join(ClaimRow, ClaimRow.settlement_id == PostingRow.reference)
                .where(when == day, PostingRow.kind == kind).group_by(EntryRow.account)):
            sums[account.partition(":")[0]] += int(amount)
    return DayMoney(day, counts[0], counts[1], sums["chain"], -sums["fund"], -sums["account"], -sums["patient"],
                    sum(sums.values()))


# --- The books -----------------------------------------------------------------------------------


def prescriptions_page(session: Session, after: str, limit: int) -> list[Plain]:
    """Prescriptions by id from `after` on, with orders and the state of their money.

    `reversed`: the newest claim was taken back and nothing was settled in its place.
    """
    rows = session.scalars(sa.select(PrescriptionRow).where(PrescriptionRow.id > after)
                           .order_by(PrescriptionRow.id).limit(limit)).all()
    ids = [row.id for row in rows]
    orders: dict[str, list[Plain]] = defaultdict(list)
    for order in session.scalars(sa.select(OrderRow).where(OrderRow.prescription_id.in_(ids))
                                 .order_by(OrderRow.prescription_id, OrderRow.attempt)):
        orders[order.prescription_id].append(_picked(
            order, "id", "chain", "store", "status", "total_fen", "patient_due_fen", "returned_lines"))
    claims: dict[str, list[ClaimRow]] = defaultdict(list)
    for claim in session.scalars(sa.select(ClaimRow).where(ClaimRow.prescription_id.in_(ids))
                                 .order_by(ClaimRow.prescription_id, ClaimRow.version)):
        claims[claim.prescription_id].append(claim)
    ended: dict[str, str] = {}
    for prescription_id, at in session.execute(
            sa.select(HistoryRow.prescription_id, sa.func.min(HistoryRow.at))
            .where(HistoryRow.prescription_id.in_(ids), HistoryRow.to_status.in_(FINAL))
            .group_by(HistoryRow.prescription_id)):
        ended[prescription_id] = at
    return [
        _picked(row, "id", "hospital", "external_id", "status", "trouble", "waiting_for", "received_at") | {
            "reversed": bool(mine) and mine[-1].reversal_id is not None,
            "reversals": sum(claim.reversal_id is not None for claim in mine),
            "claim_status": mine[-1].status if mine else None,
            "orders": orders[row.id], "ended_at": ended.get(row.id)}
        for row in rows for mine in [claims[row.id]]]


def ledger(session: Session) -> Plain:
    """Every posting with its entries, and every claim with what the fund paid, in fen."""
    postings: list[Plain] = []
    last = 0
    while page := session.scalars(sa.select(PostingRow).where(PostingRow.id > last)
                                  .order_by(PostingRow.id).limit(500)).all():
        postings += _postings(session, page)
        last = page[-1].id
        session.expunge_all()
    claims = []
    for claim, chain in session.execute(
            sa.select(ClaimRow, OrderRow.chain).join(OrderRow, OrderRow.id == ClaimRow.order_id)
            .order_by(ClaimRow.prescription_id, ClaimRow.version).execution_options(yield_per=500)):
        answer = claim.settled or claim.pre_settled or claim.forecast
        claims.append(_picked(claim, "prescription_id", "version", "order_id", "reference", "settlement_id",
                              "reversal_id", "status", "total_fen")
                      | {"chain": chain, "fund_fen": answer["fund"], "cash_fen": answer["cash"],
                         "account_fen": answer["account"] + answer["family"]})
    return {"postings": postings, "claims": claims}


def verify_all(session: Session) -> Plain:
    """Walk every chain and add up every posting."""
    chains, broken, last = 0, [], ""
    while ids := session.scalars(sa.select(PrescriptionRow.id).where(PrescriptionRow.id > last)
                                 .order_by(PrescriptionRow.id).limit(200)).all():
        heads = {row.id: row for row in session.scalars(sa.select(PrescriptionRow).where(PrescriptionRow.id.in_(ids)))}
        rows: dict[str, list[HistoryRow]] = defaultdict(list)
        for event in session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id.in_(ids))
                                     .order_by(HistoryRow.prescription_id, HistoryRow.seq)):
            rows[event.prescription_id].append(event)
        for prescription_id in ids:
            chains += 1
            if verify(rows[prescription_id], heads[prescription_id]):
                # Once more by itself: it may have moved on between the queries.
                _, _, found = _chain(session, prescription_id)
                if found:
                    broken.append(_picked(found, "prescription_id", "seq", "what"))
        last = ids[-1]
        session.expunge_all()
    postings = session.scalar(sa.select(sa.func.count()).select_from(PostingRow)) or 0
    out = [{"posting": posting_id, "sum_fen": int(total)} for posting_id, total in session.execute(
        sa.select(EntryRow.posting_id, sa.func.sum(EntryRow.amount_fen)).group_by(EntryRow.posting_id)
        .having(sa.func.sum(EntryRow.amount_fen) != 0).order_by(EntryRow.posting_id))]
    return {"chains": chains, "broken": broken, "postings": postings, "out_of_balance": out}


def stage_seconds(session: Session) -> dict[str, Plain]:
    """Seconds prescriptions stayed in each status before they left it: count, median and 95th percentile."""
    stays: dict[str, list[float]] = defaultdict(list)
    current, entered = "", ""
    for prescription_id, at, start, to in session.execute(
            sa.select(HistoryRow.prescription_id, HistoryRow.at, HistoryRow.from_status, HistoryRow.to_status)
            .where(sa.or_(HistoryRow.seq == 1, HistoryRow.from_status != HistoryRow.to_status))
            .order_by(HistoryRow.prescription_id, HistoryRow.seq).execution_options(yield_per=2000)):
        if prescription_id == current and start != to:
            stays[start].append((datetime.fromisoformat(at) - datetime.fromisoformat(entered)).total_seconds())
        current, entered = prescription_id, at
    return {str(status): {"stage": STAGES[status], "count": len(taken), "p50": _nearest_rank(taken, 50),
                          "p95": _nearest_rank(taken, 95)}
            for status in Status if (taken := sorted(stays[status]))}


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def discrepancies(session: Session) -> list[Plain]:
    """Where two books disagree, the newest first."""
    return [_discrepancy(found) for found in session.scalars(
        sa.select(DiscrepancyRow).order_by(DiscrepancyRow.id.desc()).limit(5000))]


def reconciliations(session: Session) -> list[Plain]:
    """Every answer to a 3201, the newest first."""
    return [_picked(row, "id", "day", "insutype", "total_fen", "fund_fen", "account_fen", "count", "matched", "text",
                    "at")
            for row in session.scalars(sa.select(ReconciliationRow).order_by(ReconciliationRow.id.desc()).limit(5000))]


def ready(session: Session) -> str:
    """Empty when the database answers and is migrated to what this version needs, else what is wrong."""
    needed = ScriptDirectory(str(Path(__file__).parent / "migrations")).get_current_head()
    try:
        there = session.scalar(sa.text("SELECT version_num FROM alembic_version"))
    except (OperationalError, ProgrammingError):
        return "database unreachable, or never migrated"
    return "" if there == needed else f"database is at migration {there}, this version needs {needed}"
