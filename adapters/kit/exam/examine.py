"""Requirement by requirement: what a chain is asked, and what its answers and updates must be."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from time import monotonic
from typing import NoReturn

from adapters.kit.exam.ears import Arrival, Ear, PollingEar, by_event, until
from adapters.kit.exam.record import Exchange, Recorder
from adapters.kit.exam.requirements import BY_ID, REQUIREMENTS, Requirement
from adapters.protocols import Chain
from domain.chains import (
    ChainWord,
    Instructions,
    Label,
    Offers,
    OrderLine,
    PharmacyOrder,
    Receipt,
    SettlementNotice,
)
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, RxError
from domain.money import Fen, line_amount
from domain.prescription import Handover, Place
from domain.trace import readable
from domain.words import CAUSES, Two

QUOTE_SECONDS = 3.0
CLOCK = timedelta(minutes=10)
"""How far the time of an update may be from the time at which it comes."""
MUCH = Decimal(99_999_999)
"""More than any store has."""
PATIENT = {"name": "示范患者", "phone": "10000000000", "address": "示范路 1 号"}
"""The orders are for no real person."""
STEPS = (ChainWord.PREPARED, ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER)
FIRST = ("K-24", "K-01", "K-02", "K-03", "K-04", "K-05", "K-06", "K-15")
"""The order of examination, where it is not that of the list: what makes the chain decline must not meet another order."""


class Failed(Exception):
    """A requirement is not met; the words say what was seen instead."""

    def __init__(self, words: Two) -> None:
        super().__init__(words.en)
        self.words = words


@dataclass(frozen=True)
class Judged:
    """One requirement and what became of it."""

    requirement: Requirement
    passed: bool
    seen: Two
    exchanges: Sequence[Exchange] = ()
    arrivals: Sequence[Arrival] = ()


@dataclass
class Exam:
    """A chain under examination, and what is known of it so far."""

    chain: Chain
    stranger: Chain
    """The same chain, called with a wrong credential."""
    recorder: Recorder
    ear: Ear
    wanted: Sequence[OrderLine]
    """What a quote asks for."""
    place: Place
    decline_next: Callable[[], Awaitable[None]] | None = None
    """Has the chain decline the next order; None where that is not possible."""
    patience: float = 60.0
    """Seconds to wait for an update."""
    offers: Offers = field(default_factory=Offers)
    main: PharmacyOrder | None = None
    """The order that is followed to the patient's door."""
    placed: list[Receipt] = field(default_factory=list)
    secrets: list[str] = field(default_factory=lambda: list(PATIENT.values()))
    """What no report shows."""

    def order(self, lines: int = 2) -> PharmacyOrder:
        """A new order at the first store that has what it takes."""
        whole = {line.line: line.quantity for line in self.wanted}
        for quote in sorted(self.offers.quotes, key=lambda quote: -len(quote.lines)):
            full = [line for line in quote.lines if line.quantity == whole[line.line]]
            if quote.delivers and quote.open and full:
                claim_secret = secrets.token_urlsafe(18)
                self.secrets.append(claim_secret)
                some = tuple(full[:lines])
                return PharmacyOrder(
                    f"ord_exam{secrets.token_hex(6)}", f"rx_exam{secrets.token_hex(6)}", self.chain.slug, quote.store, some,
                    Handover.HOME, self.place, claim_secret, patient_due=Fen(100), recipient=PATIENT,
                    instructions=Instructions(tuple(Label(line.line, "示范药", "每次 1 片，每日 1 次，口服") for line in some)))
        fail(Two("没有可配送且有货的药店报价，无法继续", "no store that delivers quotes any drug in full: nothing to go on with"))

    def updates(self, order: PharmacyOrder) -> list[Arrival]:
        return [arrival for arrival in self.ear.arrivals if arrival.update and arrival.update.order_id == order.id]

    def statuses(self, order: PharmacyOrder) -> set[ChainWord]:
        return {arrival.update.status for arrival in self.updates(order) if arrival.update}

    def followed(self) -> PharmacyOrder:
        return self.main or fail(Two("没有下成的订单可跟踪", "no order was placed that could be followed"))


def fail(words: Two) -> NoReturn:
    raise Failed(words)


async def examine(exam: Exam) -> list[Judged]:
    """All requirements that are about this chain, in order."""
    rules = [rule for rule in REQUIREMENTS if not rule.ways or exam.ear.way in rule.ways]
    turns = sorted(rules, key=lambda rule: (FIRST.index(rule.id) if rule.id in FIRST else len(FIRST), rule.id))
    judged = [await _judge(exam, rule) for rule in turns]
    return sorted(judged, key=lambda result: result.requirement.id)


async def _judge(exam: Exam, rule: Requirement) -> Judged:
    exchanges, arrivals = len(exam.recorder.exchanges), len(exam.ear.arrivals)
    try:
        passed, seen = True, await _CHECKS[rule.id](exam)
    except Failed as failed:
        passed, seen = False, failed.words
    except RxError as error:
        faults = ", ".join(f"{fault.rule} {fault.path}" for fault in getattr(error, "findings", ()))
        answer = " ".join(filter(None, (type(error).__name__, error.code, faults)))
        passed, seen = False, Two(f"得到 {answer}", f"got {answer}")
    return Judged(BY_ID[rule.id], passed, seen, exam.recorder.exchanges[exchanges:], exam.ear.arrivals[arrivals:])


async def _refused(call: Awaitable[Receipt], *codes: str, broken: bool = True) -> str:
    """The code of a no, `broken` where the chain may call the request malformed. Fails on a yes and on any other no."""
    try:
        receipt = await call
    except Refused as refused:
        if (codes and refused.code in codes) or (not codes and broken):
            return refused.code
        fail(Two(f"拒绝的代码是 {refused.code}", f"refused with {refused.code}"))
    except InvalidPayload as invalid:
        if broken and [fault.rule for fault in invalid.findings] == ["CHN-07"]:
            return "CHN-07"
        raise
    fail(Two(f"答复成功（{receipt.status}）", f"it said yes ({receipt.status})"))


async def fresh_stock(exam: Exam) -> Two:
    offers = Offers()

    async def quoted() -> bool:
        nonlocal offers
        offers = await exam.chain.quote(exam.wanted, Handover.HOME, exam.place)
        return bool(offers.quotes)

    deadline = asyncio.get_running_loop().time() + exam.patience / 2
    while not await quoted() and asyncio.get_running_loop().time() < deadline:
        await exam.ear.listen()
        await asyncio.sleep(0.1)
    old = [fault for left_out in offers.left_out for fault in left_out.findings if fault.rule == "CHN-19"]
    if any(fault.path == "stock" for fault in old):
        fail(Two("没有收到可用的库存文件", "no stock file came that could be used"))
    if old:
        fail(Two("库存文件的时间过旧", "the stock file is too old"))
    return Two("库存在约定时间之内", "the stock is as fresh as agreed")


async def in_time(exam: Exam) -> Two:
    began = monotonic()
    exam.offers = await exam.chain.quote(exam.wanted, Handover.HOME, exam.place)
    took = monotonic() - began
    if took > QUOTE_SECONDS:
        fail(Two(f"用时 {took:.1f} 秒", f"it took {took:.1f} s"))
    return Two(f"用时 {took:.2f} 秒", f"it took {took:.2f} s")


async def to_the_fen(exam: Exam) -> Two:
    if exam.offers.left_out:
        faults = "; ".join(f"{left_out.store or '?'} {fault.rule} {fault.path}"
                           for left_out in exam.offers.left_out for fault in left_out.findings)
        fail(Two(f"有报价不合约定：{faults}", f"quotes break the contract: {faults}"))
    if not exam.offers.quotes:
        fail(Two("没有药店报价", "no store quotes"))
    exam.order()
    return Two(f"{len(exam.offers.quotes)} 家药店报价", f"{len(exam.offers.quotes)} stores quote")


async def one_hold(exam: Exam) -> Two:
    order = exam.order()
    first, second = await exam.chain.hold(order), await exam.chain.hold(order)
    await exam.chain.cancel(order.id, "other")
    if (first.reference, first.status) != (second.reference, second.status) or first.status is not ChainWord.HELD:
        fail(Two(f"两次预占得到不同答复（{first.status}、{second.status}）",
             f"two holds got two answers ({first.status}, {second.status})"))
    return Two("两次预占同一单号", "two holds have one reference")


async def other_content(exam: Exam) -> Two:
    order = exam.order()
    await exam.chain.hold(order)
    line = order.lines[0]
    half = replace(line, quantity=line.quantity / 2, amount=line_amount(line.unit_price, line.quantity / 2))
    try:
        code = await _refused(exam.chain.hold(replace(order, lines=(half,))))
    finally:
        await exam.chain.cancel(order.id, "other")
    return Two(f"已拒绝（{code}）", f"refused ({code})")


async def lost(exam: Exam) -> Two:
    order = exam.order()
    with exam.recorder.losing_answers():
        with suppress(OutcomeUnknown):
            await exam.chain.hold(order)
    kept = await exam.chain.find(order.id)
    if kept is None:
        fail(Two("预占已送达，却查不到", "the hold arrived, and it is not found"))
    again = await exam.chain.hold(order)
    await exam.chain.cancel(order.id, "other")
    if kept.reference != again.reference or kept.status is not ChainWord.HELD:
        fail(Two(f"查到的单号或状态不符（{kept.status}）", f"what is found differs from the hold ({kept.status})"))
    return Two("查到同一单号", "found under the same reference")


async def unknown(exam: Exam) -> Two:
    if receipt := await exam.chain.find(f"ord_exam{secrets.token_hex(6)}"):
        fail(Two(f"查到了从未下过的订单（{receipt.status}）", f"it has an order that was never placed ({receipt.status})"))
    return Two("答复查无此单", "it says that there is none")


async def one_order(exam: Exam) -> Two:
    order = exam.order()
    held = await exam.chain.hold(order)
    exam.placed = [await exam.chain.place(order), await exam.chain.place(order)]
    exam.main = order
    if {receipt.reference for receipt in exam.placed} != {held.reference}:
        fail(Two("预占与订单的单号不同，或重复下单得到新单号",
                 "hold and order, or two orders under one key, have different references"))
    if not all(receipt.status in (ChainWord.ORDERED, ChainWord.ACCEPTED, *STEPS) for receipt in exam.placed):
        fail(Two(f"下单后的状态是 {exam.placed[0].status}", f"after the order its status is {exam.placed[0].status}"))
    return Two("两次下单同一单号", "two orders have one reference")


async def amounts(exam: Exam) -> Two:
    order = exam.order()
    line = order.lines[0]
    wrong = replace(order, lines=(replace(line, amount=Fen(line.amount + 1)), *order.lines[1:]))
    code = await _refused(exam.chain.hold(wrong))
    return Two(f"多一分的预占被拒绝（{code}）", f"a hold of a fen too much is refused ({code})")


async def no_such_store(exam: Exam) -> Two:
    code = await _refused(exam.chain.hold(replace(exam.order(), store="NOSUCH99")))
    return Two(f"已拒绝（{code}）", f"refused ({code})")


async def malformed(exam: Exam) -> Two:
    order = exam.order()
    with exam.recorder.breaking_requests():
        try:
            await exam.chain.hold(order)
        except InvalidPayload as invalid:
            if [fault.rule for fault in invalid.findings] == ["CHN-07"]:
                return Two("半截请求得到错误应答", "half a request is answered with a fault")
            raise
    fail(Two("半截请求被当作成功", "half a request was taken for a whole one"))


async def out_of_stock(exam: Exam) -> Two:
    order = exam.order()
    line = order.lines[0]
    much = replace(line, quantity=MUCH, amount=line_amount(line.unit_price, MUCH))
    await _refused(exam.chain.hold(replace(order, lines=(much,))), "out_of_stock", broken=False)
    return Two("代码 out_of_stock", "code out_of_stock")


async def cancelled_twice(exam: Exam) -> Two:
    order = exam.order()
    await exam.chain.hold(order)
    ends = [(await exam.chain.cancel(order.id, "other")).status for _ in range(2)]
    kept = await exam.chain.find(order.id)
    if kept is None or kept.status is not ChainWord.CANCELLED or set(ends) != {ChainWord.CANCELLED}:
        fail(Two(f"取消后状态为 {kept.status if kept else '查无此单'}",
                 f"after the cancel it is {kept.status if kept else 'unknown'}"))
    return Two("两次取消均成功，状态为已取消", "both cancels succeed, and it is cancelled")


async def cancel_unknown(exam: Exam) -> Two:
    await _refused(exam.chain.cancel(f"ord_exam{secrets.token_hex(6)}", "other"), "unknown_order", broken=False)
    return Two("代码 unknown_order", "code unknown_order")


async def stranger(exam: Exam) -> Two:
    try:
        await exam.stranger.quote(exam.wanted, Handover.HOME, exam.place)
    except NeedsOperator:
        return Two("已拒绝", "denied")
    fail(Two("凭证不对也得到报价", "it quotes to a stranger"))


async def declined(exam: Exam) -> Two:
    if exam.decline_next is None:
        fail(Two("没有看到：请让连锁方在测试中拒一单（--sandbox 可自动安排）", "not seen: nobody could have an order declined"))
    order = exam.order(lines=1)
    await exam.decline_next()
    await exam.chain.hold(order)
    await exam.chain.place(order)
    if not await until(exam.ear, lambda: ChainWord.DECLINED in exam.statuses(order), exam.patience):
        fail(Two("没有收到拒单消息", "no update says that it is declined"))
    reasons = {arrival.update.reason for arrival in exam.updates(order)
               if arrival.update and arrival.update.status is ChainWord.DECLINED}
    if not reasons <= CAUSES.keys() - {"other"}:
        fail(Two("拒单没有原因，或原因不在约定的词表内", "declined without a reason, or with one that is not agreed"))
    return Two(f"原因 {', '.join(sorted(reasons))}", f"reason {', '.join(sorted(reasons))}")


async def each_step(exam: Exam) -> Two:
    order = exam.followed()
    await until(exam.ear, lambda: exam.statuses(order) >= set(STEPS), exam.patience)
    if faults := sorted({arrival.fault for arrival in exam.ear.arrivals if arrival.fault}):
        fail(Two(f"有消息不合约定：{'; '.join(faults)}", f"updates break the contract: {'; '.join(faults)}"))
    steps = set(STEPS) if exam.placed[0].status is ChainWord.ACCEPTED else {*STEPS, ChainWord.ACCEPTED}
    if missing := sorted(steps - exam.statuses(order)):
        fail(Two(f"没有收到 {', '.join(missing)}", f"not told: {', '.join(missing)}"))
    for arrival in exam.updates(order):
        if arrival.update and arrival.update.claim_secret != order.claim_secret:
            fail(Two("领取密钥不是该订单的", "the claim secret is not this order's"))
        if arrival.update and abs(arrival.update.at - arrival.at) > CLOCK:
            fail(Two("消息的时间与实际相差超过十分钟", "the time of an update is more than ten minutes off"))
    return Two(f"{len(exam.updates(order))} 条消息", f"{len(exam.updates(order))} updates")


async def packs(exam: Exam) -> Two:
    order = exam.followed()
    await until(exam.ear, lambda: ChainWord.HANDED_OVER in exam.statuses(order), exam.patience)
    traces = {arrival.update.status: arrival.update.traces for arrival in exam.updates(order) if arrival.update}
    for status in (ChainWord.PREPARED, ChainWord.HANDED_OVER):
        scans = traces.get(status)
        if not scans:
            fail(Two(f"{status} 没有追溯码", f"{status} has no trace codes"))
        if any(not readable(scan.code) or not scan.lot or not scan.made_on or not scan.expires_on for scan in scans):
            fail(Two(f"{status} 的追溯码、批号或日期不完整", f"a code, a lot or a day of {status} is missing"))
        for line in order.lines:
            if sum(scan.units for scan in scans if scan.line == line.line) != line.quantity:
                fail(Two(f"{status} 第 {line.line} 行的盒数不足或超出",
                     f"the packs of line {line.line} in {status} are not its quantity"))
    return Two(f"{len(traces[ChainWord.HANDED_OVER] or ())} 盒", f"{len(traces[ChainWord.HANDED_OVER] or ())} packs")


async def again(exam: Exam) -> Two:
    def unanswered() -> list[list[Arrival]]:
        return [arrivals for arrivals in by_event(exam.ear).values() if not arrivals[0].accepted]

    await until(exam.ear, lambda: all(len(arrivals) > 1 for arrivals in unanswered()), exam.patience / 2)
    if not unanswered():
        fail(Two("没有看到消息", "no update was seen"))
    if silent := sum(len(arrivals) < 2 for arrivals in unanswered()):
        fail(Two(f"{silent} 条没有应答的消息没有再来", f"{silent} updates that were not answered did not come again"))
    if any(len({arrival.raw for arrival in arrivals}) > 1 for arrivals in by_event(exam.ear).values()):
        fail(Two("再次送来的消息内容变了", "an update came again with another content"))
    return Two(f"{len(unanswered())} 条消息再次送来，内容不变", f"{len(unanswered())} came again, the same to the byte")


async def signed(exam: Exam) -> Two:
    arrivals = exam.ear.arrivals
    if unsigned := sorted({arrival.unsigned for arrival in arrivals if arrival.unsigned}):
        fail(Two(f"签名无效：{', '.join(unsigned)}", f"a signature does not count: {', '.join(unsigned)}"))
    if not arrivals or len({arrival.nonce for arrival in arrivals}) < len(arrivals):
        fail(Two("没有回调，或随机数用了两次", "no callback, or a nonce that was used twice"))
    return Two(f"{len(arrivals)} 次回调", f"{len(arrivals)} callbacks")


async def confirmed(exam: Exam) -> Two:
    assert isinstance(exam.ear, PollingEar)
    for _ in range(3):
        await exam.ear.listen()
        await asyncio.sleep(0.1)
    if exam.ear.again_after_yes:
        fail(Two(f"确认之后又提供了 {exam.ear.again_after_yes} 次",
                 f"offered {exam.ear.again_after_yes} times after the confirmation"))
    if not exam.ear.arrivals:
        fail(Two("没有看到消息", "no update was seen"))
    return Two("确认后不再提供", "not offered again")


async def too_late(exam: Exam) -> Two:
    order = exam.followed()
    await until(exam.ear, lambda: ChainWord.HANDED_OVER in exam.statuses(order), exam.patience)
    code = await _refused(exam.chain.cancel(order.id, "other"), "handed_over", "in_delivery", broken=False)
    return Two(f"代码 {code}", f"code {code}")


async def settled(exam: Exam) -> Two:
    order = exam.followed()
    notice = SettlementNotice(order.id, "EXAM0001", order.total, Fen(order.total - 100), Fen(0), Fen(100))
    await exam.chain.notify_settled(notice)
    await exam.chain.notify_settled(notice)
    return Two("两次均接收", "taken twice")


async def private(exam: Exam) -> Two:
    bodies = [*(exchange.answer for exchange in exam.recorder.exchanges), *(arrival.raw for arrival in exam.ear.arrivals)]
    for word in PATIENT.values():
        if any(form in body for body in bodies for form in (word.encode(), word.encode("unicode_escape"))):
            fail(Two("应答或消息中有患者的姓名、电话或地址", "an answer or an update holds the patient's name, phone or address"))
    return Two(f"{len(bodies)} 条中没有", f"none in {len(bodies)} messages")


_CHECKS: Mapping[str, Callable[[Exam], Awaitable[Two]]] = {
    "K-01": in_time, "K-02": to_the_fen, "K-03": one_hold, "K-04": other_content, "K-05": lost, "K-06": unknown,
    "K-07": one_order, "K-08": amounts, "K-09": no_such_store, "K-10": malformed, "K-11": out_of_stock,
    "K-12": cancelled_twice, "K-13": cancel_unknown, "K-14": stranger, "K-15": declined, "K-16": each_step, "K-17": packs,
    "K-18": again, "K-19": signed, "K-20": confirmed, "K-21": too_late, "K-22": settled, "K-23": private, "K-24": fresh_stock,
}
