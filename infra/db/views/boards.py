"""The board of operations: what is where, what is stuck and why, and today's money.

It looks at what is alive, at today's ends and at the last week's differences and notices; its cost does not grow with history.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.events import Wait
from domain.lifecycle import FINAL, OWNERS, STAGES, Owner, Status
from domain.policy import CityPolicy
from domain.trace import FAULTS
from domain.troubles import SHARED_TROUBLES, trouble_of
from domain.words import PARKED, Two
from infra.db import drawings, mapping, webhooks
from infra.db.ledger import SIDES
from infra.db.notices import NoticeKind
from infra.db.rows import (
    ENDED,
    OVERDUE,
    OVERDUE_WAITS,
    TO_HAND_IN,
    TROUBLED,
    DiscrepancyRow,
    DrawingRow,
    HistoryRow,
    IntentRow,
    NoticeRow,
    OutboxRow,
    PaymentRow,
    PostingRow,
    PrescriptionRow,
    ReconciliationRow,
    ReviewRow,
    TraceUploadRow,
)

OPEN = tuple(status for status in Status if status not in FINAL)
GRACE = timedelta(seconds=60)
"""So long something may be due before a person should look."""
LASTING = 5
"""Failed attempts after which even a passing trouble needs a person; the same as `tasks.line.RED_AFTER`."""
SHOWN = 20
"""Examples of one concern on the board; the count is of all."""


@dataclass(frozen=True)
class StatusLine:
    """How many prescriptions are in one status; of those that have ended, how many ended so today."""

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
    """What the ledger says of one of the fund's calendar days, in fen."""

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
    uploads_waiting: int
    """Packs of which the fund is still to be told."""
    undrawn: int
    """Prescriptions of which something is not drawn in Prefect yet."""
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
    "late_word_from_courier": ("订单终止后患者仍签收", "a parcel was signed for after its order had ended"),
    "delivery_contradicts": ("配送状态与平台记录矛盾", "a courier's word that contradicts the one before it (BAD_TRANSITION)"),
    "paid_at_door": ("配送员所收金额与应收不符", "what a courier took at the door is not what was due"),
    "collected_too_little": ("结算后患者应付多于已收", "by the settlement the patient owes more than was collected"),
    "delivery_not_stopped": ("配送未能取消", "a courier could not stop"),
    "day_total": ("与医保的日总额不符", "a day's total against the fund's"),
}
"""By kind of discrepancy."""

NOTICES: dict[NoticeKind, Words] = {
    NoticeKind.FILE_PARKED: (
        True, "近七日医院文件箱中无法接收的文件，已移入 parked/",
        "in the last seven days: files in a hospital's box that nobody could take",
        "看 parked/ 中同编号的 .why.txt 说明，请医院改正后重新放入 in/",
        "read the note of that number in parked/ (.why.txt) and have the hospital put it right and hand it over again"),
    NoticeKind.MESSAGE_SHAPE: (
        True, "近七日医院报文结构变化", "in the last seven days: elements that are new or gone in a hospital's messages",
        "问医院是否换了系统版本；新出现的内容若与用药有关，核对平台是否读取",
        "ask the hospital whether its system has a new version; see whether we read what is new and matters for the medicine"),
    NoticeKind.QUOTE_LEFT_OUT: (
        True, "近七日药店报价不符约定，未参与分配",
        "in the last seven days: a store's quote broke the contract and was left out",
        "请连锁按约定改正该处；改正前该报价不参与分配",
        "have the chain put that place right; until then the quote takes no part in the allocation"),
    NoticeKind.UPDATE_REFUSED: (
        True, "近七日连锁的订单消息不合约定，未处理",
        "in the last seven days: what a chain told of its orders is not as agreed, and was not taken",
        "连锁已收到逐行说明（文件旁的 .answer.csv）；请其改正后重新发送，其间可打电话核实订单",
        "the chain has what is wrong row by row (.answer.csv beside its file); have it corrected and sent again, and call about "
        "the orders meanwhile"),
    NoticeKind.TRACE_CODE: (
        True, "近七日已交付药品的追溯码有误", "in the last seven days: trace codes of what was handed over are wrong",
        "请药店核对药盒，改正后重新发送该订单的状态和全部追溯码；已召回或近效期的，联系患者停用或更换",
        "have the pharmacy look at the packs and send the order's status again with the right codes; of a recalled or short-dated "
        "pack, tell the patient"),
    NoticeKind.TRACE_REFUSED: (
        True, "近七日医保拒收的追溯码（可能是回流药，B-54）",
        "in the last seven days: trace codes that the fund does not take (perhaps sold before elsewhere, B-54)",
        "请药店核对药盒来源，并向医保中心查询该码的销售记录",
        "have the pharmacy say where the pack is from, and ask the centre who sold the code"),
    NoticeKind.WEBHOOK_STOPPED: (
        True, "近七日连锁收不到推送", "in the last seven days: a chain does not get its webhooks",
        "请连锁恢复地址或核对密钥，然后在“推送”页恢复；未推送的消息连锁也可自行补读",
        "have the chain put its address or key right, then resume it on the page of webhooks (/webhooks); the chain can also read "
        "what it missed"),
}
"""By kind of notice."""
DETAILS: dict[NoticeKind, Mapping[str, Two]] = {
    NoticeKind.FILE_PARKED: PARKED,
    NoticeKind.MESSAGE_SHAPE: {"new": Two("新出现", "new"), "gone": Two("不再出现", "gone")},
    NoticeKind.TRACE_CODE: {code: Two(words.zh, words.en) for code, words in FAULTS.items()},
    NoticeKind.TRACE_REFUSED: {},  # A code of the fund's.
    NoticeKind.WEBHOOK_STOPPED: {"gone": Two("地址已停用（410）", "its address is out of use (410)"),
                                 "given_up": Two("十次推送均失败", "ten attempts failed")},
    NoticeKind.UPDATE_REFUSED: {},  # A rule and a place.
    NoticeKind.QUOTE_LEFT_OUT: {},  # A place in the chain's answer, which is no code.
}
"""Words of the codes that a notice of each kind has as its detail."""


def trouble_words(code: str, attempts: int) -> Words:
    """What a trouble code means after so many attempts."""
    act, what, cure = trouble_of(code)
    return act or attempts >= LASTING, *what, *cure


NEEDS: dict[str, Words] = {
    "nobody_can_fill": (
        True, "没有药店能配齐", "no pharmacy can fill it",
        "联系连锁补货，或请医师换药；平台会定时再问", "ask a chain to stock up or the prescriber to change the drug; "
        "the platform asks again by itself"),
    "review_late": (
        True, "审方等待超过目标时长", "review takes longer than the target",
        "请药师到审方台处理", "have a pharmacist look at the review desk"),
    Wait.ACCEPTANCE_OVERDUE: (
        True, "药店逾期未答复，订单也收不回 (D-12)",
        "a pharmacy has not answered in time, and its order cannot be taken back (D-12)",
        "请致电药店，请其接单或拒单；平台会定时再问",
        "ring the pharmacy and have it accept or decline; the platform asks again by itself"),
    Wait.RECEIPT_OVERDUE: (
        True, "患者逾期未收到药，订单也收不回 (A-02)",
        "a patient has not got the medicine in time, and the order cannot be taken back (A-02)",
        "请致电药店和患者，查明药在何处，并请药店回传结果；平台会定时再问",
        "ring the pharmacy and the patient, find out where the medicine is, and have the pharmacy say what came of it; the "
        "platform asks again by itself"),
}
"""Why a prescription without trouble needs a person."""

UNDRAWABLE: dict[str, Words] = {
    drawings.UNREADABLE: (
        True, "处方历史缺行或无法读取，Prefect 中不再更新", "a history with missing or unreadable rows is not drawn in Prefect",
        "从备份核对并恢复这些行，再用其编号手动运行 prescription/lifecycle",
        "restore the rows from the backup, then run prescription/lifecycle with its id"),
    drawings.NOT_TAKEN: (
        True, "Prefect 拒绝为处方建立运行", "Prefect makes no run of a prescription",
        "重新登记部署（prefect deploy --all）；平台每分钟重试，业务不受影响",
        "register the deployments again (prefect deploy --all); it is tried again each minute, and work goes on"),
}
"""Why a prescription cannot be drawn in Prefect."""


def _unfillable() -> sa.ColumnElement[bool]:
    return sa.and_(PrescriptionRow.status == Status.ALLOCATING, PrescriptionRow.waiting_for == Wait.FILLER)


def _of_patients_choice() -> sa.ColumnElement[bool]:
    return sa.and_(PrescriptionRow.status == Status.ALLOCATING, PrescriptionRow.waiting_for == Wait.CHOICE)


def _review_late(now: datetime, policy: CityPolicy) -> sa.ColumnElement[bool]:
    late = sa.exists().where(ReviewRow.prescription_id == PrescriptionRow.id, ReviewRow.decision.is_(None),
                             ReviewRow.opened_at < now - policy.review_target)
    return sa.and_(PrescriptionRow.status == Status.IN_REVIEW, late)


def _overdue(wait: Wait) -> sa.ColumnElement[bool]:
    rx = PrescriptionRow
    return sa.and_(sa.text(f"({OVERDUE})"), rx.waiting_for == wait, rx.status == Status.FULFILLING)


def needing_people(session: Session, now: datetime, policy: CityPolicy, per_cause: int) -> dict[str, str]:
    """Open prescriptions that a person must act on, and the code of why; of each cause the `per_cause` oldest.

    A partner that is away is one trouble of ours, not one of each prescription that waits for it: the board has it. Of
    what is put right once for all, such as a partner's credentials, the oldest alone tells.
    """
    rx, counts = PrescriptionRow, {}
    causes = [("nobody_can_fill", _unfillable(), per_cause), ("review_late", _review_late(now, policy), per_cause),
              *((str(wait), _overdue(wait), per_cause) for wait in OVERDUE_WAITS)]
    troubled = sa.and_(rx.status.in_(OPEN), sa.text(f"({TROUBLED})"))
    for trouble in session.scalars(sa.select(rx.trouble).where(troubled).distinct()):
        if trouble_words(trouble, 0)[0]:
            causes.append((f"trouble:{trouble}", sa.and_(troubled, rx.trouble == trouble),
                           1 if trouble in SHARED_TROUBLES else per_cause))
    for cause, condition, most in causes:
        for number in session.scalars(sa.select(rx.id).where(condition).order_by(rx.received_at, rx.id).limit(most)):
            counts[number] = cause
    return counts


def need_words(need: str) -> Two:
    """Why a prescription needs a person, and what to do."""
    kind, _, trouble = need.partition(":")
    _, what, what_en, cure, cure_en = NEEDS[kind] if kind in NEEDS else trouble_words(trouble, 0)
    code = f" ({trouble})" if trouble else ""
    return Two(f"{what}{code}：{cure}", f"{what_en}{code}: {cure_en}")


def board(session: Session, now: datetime, policy: CityPolicy) -> Board:
    """What is where, what is stuck and why, and today's money."""
    today = now.astimezone(ZoneInfo(policy.timezone)).date()
    counts: dict[str, tuple[int, datetime | None]] = {status: (count, oldest) for status, count, oldest in session.execute(
        sa.select(PrescriptionRow.status, sa.func.count(), sa.func.min(PrescriptionRow.received_at))
        .where(PrescriptionRow.status.in_(OPEN)).group_by(PrescriptionRow.status))}
    counts |= {status: (count, None) for status, count in _ends(session, today, ZoneInfo(policy.timezone))}
    statuses = tuple(StatusLine(status, OWNERS[status], STAGES[status], count, oldest)
                     for status in Status for count, oldest in [counts.get(status, (0, None))])
    owners = {str(owner): sum(line.count for line in statuses if line.owner is owner)
              for owner in Owner if owner is not Owner.NOBODY}
    concerns = sorted(_concerns(session, now, policy), key=lambda concern: not concern.act)
    waiting = session.scalar(sa.select(sa.func.count()).select_from(OutboxRow).where(OutboxRow.due_at.is_not(None)))
    uploads = session.scalar(sa.select(sa.func.count()).select_from(TraceUploadRow).where(TraceUploadRow.due_at.is_not(None)))
    return Board(now, policy.name, policy.name_en, statuses, tuple(concerns), _money(session, today), waiting or 0, uploads or 0,
                 drawings.backlog(session), owners)


def _ends(session: Session, day: date, zone: ZoneInfo) -> list[tuple[str, int]]:
    """How many ended in which status since the day began."""
    # `at` is ISO text in UTC: a prefix without a zone sorts before every moment of that second.
    began = datetime.combine(day, time.min, zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    rows = session.execute(
        sa.select(HistoryRow.to_status, sa.func.count())
        .where(sa.text(f"({ENDED})"), HistoryRow.at >= began).group_by(HistoryRow.to_status))
    return [(status, count) for status, count in rows]


def _concerns(session: Session, now: datetime, policy: CityPolicy) -> Iterator[Concern]:
    rx = PrescriptionRow
    is_open = rx.status.in_(OPEN)
    troubled = sa.text(f"({TROUBLED})")

    for trouble, attempts in session.execute(
            sa.select(rx.trouble, sa.func.max(rx.attempts)).where(is_open, troubled)
            .group_by(rx.trouble).order_by(rx.trouble)).all():
        yield from _prescriptions(session, f"trouble:{trouble}", trouble_words(trouble, attempts),
                                  sa.and_(is_open, troubled, rx.trouble == trouble), note=rx.trouble)

    yield from _prescriptions(session, "nobody_can_fill", NEEDS["nobody_can_fill"], _unfillable(), note=rx.hospital)
    yield from _prescriptions(session, "patient_chooses", (
        False, "等患者选择药店", "waiting for the patient's choice",
        "到时按城市规定安排；患者来电时客服可代选", "the city's rule says what follows; the hotline can choose for one who calls"),
        _of_patients_choice(), note=rx.hospital)
    yield from _prescriptions(session, "review_late", NEEDS["review_late"], _review_late(now, policy), note=rx.hospital)

    for wait in OVERDUE_WAITS:
        yield from _prescriptions(session, wait, NEEDS[wait], _overdue(wait), note=rx.lane)

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

    intent = IntentRow
    yield from _cases(session, "open_intent", (
        True, "对外操作结果未知超过一分钟", "the outcome of an effect has been unknown for over a minute",
        "平台会先查询再重发；若持续，请向合作方核对",
        "the platform asks before it sends again; if it lasts, ask the partner"),
        sa.and_(intent.answered_at.is_(None), intent.made_at < now - GRACE),
        of=intent.prescription_id, since=intent.made_at, note=(intent.step, intent.partner), written="{} → {}".format)

    parcel = OutboxRow
    failing = sa.and_(parcel.due_at.is_not(None), parcel.attempts > 0)
    for partner in session.scalars(sa.select(parcel.partner).where(failing).distinct().order_by(parcel.partner)).all():
        chain = webhooks.chain_of(partner)
        title = (f"发往 {partner} 的通知失败", f"messages to {partner} fail") if chain == partner else (
            f"发往 {chain} 的推送失败", f"webhooks to {chain} fail")
        yield from _cases(session, f"outbox:{partner}", (
            True, *title,
            "检查合作方地址与密钥；平台会继续重发", "see the partner's address and token; the platform keeps trying"),
            sa.and_(failing, parcel.partner == partner),
            of=parcel.prescription_id, since=parcel.made_at, note=(parcel.kind, parcel.last_error), written="{}: {}".format)

    upload = TraceUploadRow
    yield from _cases(session, "upload_failing", (
        True, "追溯码上传医保失败", "trace codes do not get to the fund",
        "检查医保中心是否可用及对照表；平台会继续重试，不影响结算",
        "see whether the centre is up and takes our fields; the platform keeps trying, and settlement does not wait for it"),
        sa.and_(upload.due_at.is_not(None), upload.trouble != "", upload.attempts >= LASTING),
        of=sa.literal(""), since=upload.made_at, note=(upload.kind, upload.order_id, upload.trouble), written="{} {}: {}".format)

    payment = PaymentRow
    yield from _cases(session, "cash_to_hand_in", (
        True, "配送员代收现金逾期未交 (E-08)", "a courier has not handed in cash in time (E-08)",
        "请药店向配送员催收，收到后在订单页确认", "have the shop ask the courier for it, and confirm it on the order's page"),
        sa.and_(sa.text(f"({TO_HAND_IN})"), payment.hand_in_by < now),
        of=payment.prescription_id, since=payment.hand_in_by, note=(payment.collector, payment.receipt), written="{} {}".format)

    if since := drawings.silent_since(session, now - GRACE):
        yield Concern("window_stopped", True, "Prefect 中的处方视图停止更新", "prescriptions are not drawn in Prefect any more",
                      "检查运维进程与 Prefect 是否运行；恢复后自动补画，业务不受影响",
                      "see whether the operations worker and Prefect run; what is missing is drawn then; work goes on",
                      drawings.backlog(session), since, ())

    drawing = DrawingRow
    for why, words in UNDRAWABLE.items():
        yield from _cases(session, why, words, sa.and_(sa.text("need <> ''"), drawing.need == why),
                          of=drawing.prescription_id, since=drawing.at, note=(drawing.need,))

    for hospital, (count, since) in mapping.count_waiting(session).items():
        yield Concern(f"unmapped:{hospital}", True, f"{hospital} 的消息在等编码对照",
                      f"messages of {hospital} wait for a code to be mapped", "打开“待对照编码”，采纳各编码的含义",
                      "open the codes to map (/mapping) and accept what each stands for", count, since,
                      (Example("", since, hospital),))

    days = session.scalars(sa.select(ReconciliationRow).where(
        ReconciliationRow.day >= (now - timedelta(days=7)).date()).order_by(ReconciliationRow.day, ReconciliationRow.id)).all()
    newest = {(row.day, row.insutype): row for row in days}
    differ = [Example("", row.at, f"{row.day} {row.insutype}") for row in newest.values() if not row.matched]
    if differ:
        yield Concern(
            "day_unmatched", True, "对账不平", "a day does not reconcile with the fund",
            "在“差异”中逐笔核对，修正后重跑对账", "go through the discrepancies, then reconcile the day again",
            len(differ), min(difference.since for difference in differ), tuple(differ[:SHOWN]))

    week_ago = now - timedelta(days=7)
    notice = NoticeRow
    for notice_kind, words in NOTICES.items():
        yield from _cases(
            session, f"notice:{notice_kind}", words, sa.and_(
                notice.noted_at > week_ago, notice.closed_at.is_(None), notice.kind == notice_kind),
            of=sa.literal(""), since=notice.noted_at, note=(notice.kind, notice.partner, notice.subject, notice.detail),
            written=_notice_words)

    difference = DiscrepancyRow
    lately = difference.found_at > week_ago
    for kind, count, oldest in session.execute(
            sa.select(difference.kind, sa.func.count(), sa.func.min(difference.found_at)).where(lately)
            .group_by(difference.kind).order_by(difference.kind)).all():
        what, what_en = DIFFERENCES.get(kind, (kind, ""))
        yield Concern(
            f"discrepancy:{kind}", True, f"近七日差异：{what}", f"in the last seven days: {what_en}",
            "逐笔核对，与合作方确认谁对", "go through them one by one and settle with the partner who is right", count, oldest,
            _examples(session, sa.and_(lately, difference.kind == kind), of=difference.prescription_id,
                      since=difference.found_at, note=(difference.subject, difference.expected, difference.actual),
                      written=lambda subject, *sides: f"{subject.rpartition(':')[2]}: {' ≠ '.join(sides)}"))


def _notice_words(kind: str, partner: str, subject: str, detail: str) -> str:
    """Whose, what and why, the codes in both languages."""
    return f"{partner} {subject}: {' '.join(DETAILS[NoticeKind(kind)].get(detail, (detail,)))}"


def _prescriptions(session: Session, kind: str, words: Words, where: sa.ColumnElement[bool], *,
                   note: Any, since: Any = PrescriptionRow.received_at) -> Iterator[Concern]:
    return _cases(session, kind, words, where, of=PrescriptionRow.id, since=since, note=(note,))


def _cases(session: Session, kind: str, words: Words, where: sa.ColumnElement[bool], *, of: Any, since: Any,
           note: Sequence[Any], written: Callable[..., str] = str) -> Iterator[Concern]:
    """One concern, if there are cases of it: how many, since when, and the oldest of them."""
    count, oldest = session.execute(sa.select(sa.func.count(), sa.func.min(since)).where(where)).one()
    if count:
        act, what, what_en, cure, cure_en = words
        yield Concern(kind, act, what, what_en, cure, cure_en, count, oldest,
                      _examples(session, where, of=of, since=since, note=note, written=written))


def _examples(session: Session, where: sa.ColumnElement[bool], *, of: Any, since: Any, note: Sequence[Any],
              written: Callable[..., str]) -> tuple[Example, ...]:
    """The oldest cases, each with its `note` in words."""
    rows = session.execute(sa.select(of, since, *note).where(where).order_by(since).limit(SHOWN))
    return tuple(Example(prescription_id, at, written(*noted)) for prescription_id, at, *noted in rows)


def _money(session: Session, day: date) -> DayMoney:
    kinds = {kind: (count, first, last) for kind, count, first, last in session.execute(
        sa.select(PostingRow.kind, sa.func.count(), sa.func.min(PostingRow.id), sa.func.max(PostingRow.id))
        .where(PostingRow.day == day).group_by(PostingRow.kind))}
    sums: dict[str, int] = defaultdict(int)
    if kinds:
        # A day's postings lie together. With the dates as literals PostgreSQL reads only that part of the ledger. A generic
        # plan for two parameters does not know how near they are.
        first, last = min(first for _, first, _ in kinds.values()), max(last for _, _, last in kinds.values())
        stretch = SIDES.c.posting_id.between(sa.literal(first, literal_execute=True), sa.literal(last, literal_execute=True))
        for account, amount in session.execute(
                sa.select(SIDES.c.account, sa.func.sum(SIDES.c.amount_fen))
                .join(PostingRow, PostingRow.id == SIDES.c.posting_id)
                .where(PostingRow.day == day, stretch).group_by(SIDES.c.account)):
            sums[account.partition(":")[0]] += int(amount)
    settlements, reversals = (kinds[kind][0] if kind in kinds else 0 for kind in ("settled", "reversed"))
    return DayMoney(day, settlements, reversals, sums["chain"], -sums["fund"], -sums["account"], -sums["patient"],
                    sum(sums.values()))
