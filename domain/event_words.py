"""What events and waits say in words, with their arguments: a history row, what a prescription waits for, a report."""

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from domain.events import Event, Wait
from domain.findings import Severity
from domain.former_words import event_of, wait_of
from domain.fulfilment.ranking import REASONS
from domain.money import yuan
from domain.troubles import trouble_of
from domain.words import (
    ASKED_BECAUSE,
    CANCEL_REASONS,
    DECOCTION_STEPS,
    DELIVERIES,
    DOOR_WARNINGS,
    ENDINGS,
    HANDOVERS,
    METHODS,
    ORDERS,
    SEVERITIES,
    STATUSES,
    WAYS,
    WISH_ANSWERS,
    Two,
)

EVENTS: Mapping[Event, Two] = {
    Event.RECEIVED: Two("已接收并归档", "received and archived"),
    Event.AUDITED: Two("预审：{findings}", "audit: {findings}"),
    Event.NOT_INSURED: Two("患者未参保，退回医院 (B-44)", "not insured: back to the hospital (B-44)"),
    Event.QUEUED: Two("进入审方队列", "queued for a pharmacist"),
    Event.PASSED: Two("审方通过", "passed by the pharmacist"),
    Event.REJECTED: Two("审方拒绝：{codes}", "rejected by the pharmacist: {codes}"),
    Event.SENT_BACK: Two("退回医师：{codes}", "sent back to the prescriber: {codes}"),
    Event.SEARCH_STARTED: Two("开始寻找药店", "looking for a pharmacy"),
    Event.CHOICE_WISHED: Two("患者要自选药店", "the patient wants to choose the pharmacy"),
    Event.CHOICE_OFFERED: Two("请患者选择药店：{options} 个方案（{because}）",
                              "the patient is asked: {options} options ({because})"),
    Event.PATIENT_CHOSE: Two("患者选择：{stores}，{way}，{handover}", "the patient chose {stores}: {way}, {handover}"),
    Event.PATIENT_WAITS: Two("患者选择等待能配齐的药店", "the patient waits for a pharmacy that has all of it"),
    Event.CHOICE_LAPSED: Two("患者未按时选择，按排名分配", "the patient did not choose in time: the best one is taken"),
    Event.CHOICE_ORDERED: Two("按患者选择：{chain} {store} 承接{portions}",
                              "as the patient chose: {chain} {store} is asked for {portions}"),
    Event.STORE_CHOSEN: Two("{chain} {store} 排名第一", "{chain} {store} ranked first"),
    Event.SHARE_CHOSEN: Two("拆单：{chain} {store} 承接{portions}，其余由另一家承接",
                            "split: {chain} {store} is asked for {portions}, another for the rest"),
    Event.PART_CHOSEN: Two("没有一家能配齐：{chain} {store} 先给{portions}，其余欠付",
                           "nobody has all of it: {chain} {store} is asked for {portions} now, the rest is owed"),
    Event.NO_STORE: Two("目前没有药店能配齐：{refused}；未应答：{silent}",
                        "no pharmacy can fill it now: {refused}; no answer from: {silent}"),
    Event.ORDER_DECLINED: Two("药店未接受：{cause}", "the pharmacy said no: {cause}"),
    Event.ORDER_PLACED: Two("已向 {chain} {store} 下单", "order placed at {chain} {store}"),
    Event.ORDER_UPDATE: Two("药店消息：{status}", "the pharmacy says: order {status}"),
    Event.COURIER_ASSIGNED: Two("{courier} 已接配送单", "{courier} brings it"),
    Event.DECOCTION_STEP: Two("代煎：{decoction}", "decoction: {decoction}"),
    Event.COURIER_STOPPED: Two("{courier} 停止配送：{delivery}", "{courier} does not bring it: {delivery}"),
    Event.PAID: Two("患者已付款 {amount_fen} 元（{method}），收据 {receipt}",
                    "the patient has paid {amount_fen} yuan ({method}), receipt {receipt}"),
    Event.REFUNDED: Two("应退患者 {amount_fen} 元（{method}），收据 {receipt}",
                        "{amount_fen} yuan go back to the patient ({method}), receipt {receipt}"),
    Event.COURIER_UPDATE: Two("配送：{delivery}{warnings}", "delivery: {delivery}{warnings}"),
    Event.NO_ANSWER: Two("药店未按时接单，订单已收回 (D-12)", "no answer in time, the order is taken back (D-12)"),
    Event.WORD_MISSED: Two("药店未按时答复，经查询：{status}", "no word in time; asked, the order is {status}"),
    Event.ORDER_ENDED: Two("订单终止（{status}）：{cause}", "the order ended ({status}): {cause}"),
    Event.WORD_AFTER_ORDER: Two("订单终止（{order_was}）之后收到药店消息：{status}",
                                "the order had ended ({order_was}); then the pharmacy said: {status}"),
    Event.WORD_AFTER_END: Two("处方结束（{prescription_was}）之后收到药店消息：{status}",
                              "the prescription had ended ({prescription_was}); then the pharmacy said: {status}"),
    Event.PART_HANDED_OVER: Two("患者已拿到一部分；欠付{portions}", "the patient has a part; still owed: {portions}"),
    Event.HANDED_OVER: Two("患者已拿到药", "the patient has the medicine"),
    Event.EXPIRED: Two("处方已超过有效期 (A-01)", "validity is over (A-01)"),
    Event.CANCEL_REQUESTED: Two("医院请求撤销：{reason}", "the hospital asks to cancel: {reason}"),
    Event.CANCELLED: Two("医院撤销：{reason}", "cancelled by the hospital: {reason}"),
    Event.PATIENT_CANCELS: Two("患者请求撤销", "the patient asks to cancel"),
    Event.CANCELLED_BY_PATIENT: Two("患者撤销", "cancelled by the patient"),
    Event.UNDELIVERED: Two("未能送达患者，处方结束：{cause}", "it could not be brought to the patient, and has ended: {cause}"),
    Event.CANCEL_TOO_LATE: Two("已来不及撤销", "too late to cancel"),
    Event.CANCEL_UNANSWERED: Two("药店未及时答复撤销，仍可能交付；答复后另行告知",
                                 "the pharmacy has not answered the cancel in time and may still hand it over; its answer follows"),
    Event.SETTLED: Two("医保已结算", "the fund has settled"),
    Event.BROUGHT_BACK: Two("患者退回了药品", "the patient brought something back"),
    Event.REVERSED: Two("医保结算已冲正", "the settlement was reversed"),
    Event.CLAIM_AGREES: Two("结算与患者实际取药一致", "the claim matches what the patient has"),
    Event.GIVEN_UP: Two("未配齐的部分不再配发：{cause}", "what is still open is given up: {cause}"),
    Event.WISH_ANSWERED: Two("退药请求：{answer}", "the wish to return goods: {answer}"),
    Event.CLOSED: Two("退药期已过且当日已对账", "the return window is over and the day is reconciled"),
    Event.ATTEMPT_FAILED: Two("第 {attempt} 次尝试失败：{error}", "attempt {attempt} failed: {error}"),
    Event.WOKEN: Two("运维人员要求立即处理", "woken by an operator"),
}
"""What happened. In braces: arguments of the event, put into words themselves."""
TOLD: Mapping[str, Two] = {
    **{event: EVENTS[event] for event in (Event.QUEUED, Event.HANDED_OVER, Event.CANCEL_TOO_LATE,
                                            Event.CANCEL_UNANSWERED, Event.SETTLED)},
    Event.ORDER_PLACED: Two("药店已接到订单", "a pharmacy has the order"),
    Event.PART_HANDED_OVER: Two("患者已拿到一部分，正在为其余部分寻找药店",
                                "the patient has a part; a pharmacy is looked for that has the rest"),
    Event.ORDER_ENDED: Two("订单已终止，其取药码作废", "the order ended; its pickup code is void"),
    Event.REVERSED: Two("患者退药，医保结算已冲正", "reversed after a return"),
    "RX_EXPIRED": EVENTS[Event.EXPIRED],
}
"""What a hospital is told with a reason that is one of these codes. Other reasons bring their own words."""
WAITS: Mapping[Wait, Two] = {
    Wait.AUDIT: Two("预审", "the audit"),
    Wait.DECISION: Two("药师审方", "a pharmacist's decision"),
    Wait.QUOTES: Two("各连锁报价", "the chains' quotes"),
    Wait.HOLD: Two("{chain} 预占库存", "a hold at {chain}"),
    Wait.CANDIDATE: Two("下一家药店", "the next candidate"),
    Wait.CHOICE: Two("患者选择药店", "the patient's choice"),
    Wait.FILLER: Two("能配齐的药店", "a pharmacy that can fill it"),
    Wait.ACCEPTANCE: Two("药店接单", "the pharmacy's yes"),
    Wait.ACCEPTANCE_OVERDUE: Two("药店答复，已逾期 (D-12)", "the pharmacy's word, overdue (D-12)"),
    Wait.RECEIPT: Two("患者取药", "the patient's receipt"),
    Wait.RECEIPT_OVERDUE: Two("患者取药，已逾期 (A-02)", "the patient's receipt, overdue (A-02)"),
    Wait.CANCEL_ANSWER: Two("撤销结果", "the chain's answer to the cancel"),
    Wait.SETTLEMENT: Two("医保结算", "settlement"),
    Wait.REVERSAL: Two("医保冲正", "reversal"),
    Wait.RESETTLEMENT: Two("重新结算", "re-settlement"),
    Wait.RETURN_WINDOW: Two("退药期结束", "the end of the return window"),
    Wait.RECONCILIATION: Two("当日对账", "the day's reconciliation"),
    Wait.RETRY: Two("下一次自动尝试，无需人工", "the next attempt; nobody needs to act"),
    Wait.PARTNER_WORD: Two("合作方确认未知结果", "the partner's word on an unknown outcome"),
    Wait.PERSON_REFUSED: Two("人工：合作方拒绝了不应拒绝的请求", "a person: a partner refused what it must not refuse"),
    Wait.PERSON_ANSWER: Two("人工：合作方应答不符约定", "a person: a partner's answer broke the contract"),
    Wait.PERSON_SETUP: Two("人工：配置、密钥或合作方账目", "a person: configuration, credentials or a partner's book"),
    Wait.PERSON_FAULT: Two("人工：平台程序故障", "a person: a fault of the platform"),
    Wait.PERSON_UNREADABLE: Two("人工：该处方数据无法读取", "a person: its row cannot be read"),
}
"""What it waits for. In braces: the argument of the wait."""

Name = Callable[[str], Two]
"""What a partner is called, by its slug."""


def happening(reason: str, detail: object, name: Name = lambda slug: Two(slug, slug)) -> Two:
    """What a history row says, by its `reason` and its `detail` as opened JSON; also one written before events had codes.

    An event that this release does not know is shown as it is stored.
    """
    event = event_of(reason, detail)
    return Two(reason, "") if event is None else _filled(EVENTS[event[0]], event[1], name)


def waiting(stored: str, name: Name = lambda slug: Two(slug, slug)) -> Two:
    """What a prescription waits for, by its `waiting_for`; one that this release does not know as it is stored."""
    wait = wait_of(stored)
    return Two(stored, "") if wait is None else _filled(WAITS[wait[0]], {"chain": wait[1]}, name)


def _filled(words: Two, arguments: Mapping[str, Any], name: Name) -> Two:
    needed = [field for _, field, _, _ in Formatter().parse(words.zh) if field]
    if not needed:
        return words
    texts = {field: _argument(field, arguments.get(field), name) for field in needed}
    return Two(words.zh.format_map({field: text.zh for field, text in texts.items()}),
               words.en.format_map({field: text.en for field, text in texts.items()}))


_CODED: Mapping[str, Mapping[str, Two]] = {
    "status": ORDERS, "order_was": ORDERS, "prescription_was": STATUSES, "cause": ENDINGS, "reason": CANCEL_REASONS,
    "answer": WISH_ANSWERS, "because": ASKED_BECAUSE, "way": WAYS, "handover": HANDOVERS, "delivery": DELIVERIES,
    "decoction": DECOCTION_STEPS, "method": METHODS,
}
"""Arguments that are codes, each with the table of its words."""


def _argument(field: str, value: Any, name: Name) -> Two:
    """One argument in words; a question mark for one that a tampered row lacks."""
    if field == "findings" and isinstance(value, list):
        return _findings([finding for finding in value if isinstance(finding, dict)])
    if field == "refused" and isinstance(value, dict):
        return _list([Two(f"{REASONS[reason][0]} {count} 家", f"{REASONS[reason][1]} ({count})")
                      for reason, count in value.items() if reason in REASONS], Two("无报价", "no quotes"))
    if field == "portions" and isinstance(value, list):
        counted = [(portion.get("line"), portion.get("quantity")) for portion in value if isinstance(portion, dict)]
        return _list([Two(f"第 {line} 行 {quantity}", f"{quantity} of line {line}") for line, quantity in counted],
                     Two("无", "nothing"))
    if field == "stores" and isinstance(value, list):
        return _list([_store(str(text), name) for text in value], Two("无", "none"))
    if field == "warnings" and isinstance(value, list):
        texts = [DOOR_WARNINGS[code] for code in value if code in DOOR_WARNINGS]
        return Two(f"（{_list(texts, Two('', '')).zh}）", f" ({_list(texts, Two('', '')).en})") if texts else Two("", "")
    if isinstance(value, list):
        return _list([_named(str(text), name) if field == "silent" else Two(str(text), str(text)) for text in value],
                     Two("无", "none"))
    if not isinstance(value, str | int):
        return Two("？", "?")
    if field == "error":
        what = trouble_of(str(value)).what
        return Two(f"{what.zh}（{value}）", f"{what.en} ({value})")
    if field == "amount_fen" and isinstance(value, int):
        return Two(yuan(value), yuan(value))
    if field in ("chain", "courier"):
        return _named(str(value), name)
    return _CODED.get(field, {}).get(str(value), Two(str(value), str(value)))


def _named(slug: str, name: Name) -> Two:
    words = name(slug)
    return Two(words.zh, words.en or slug)


def _store(place: str, name: Name) -> Two:
    """A pharmacy by its `chain/store`."""
    chain, _, store = place.partition("/")
    words = _named(chain, name)
    return Two(f"{words.zh} {store}", f"{words.en} {store}")


def _findings(findings: list[dict[str, Any]]) -> Two:
    """How many of each severity, and which of them block."""
    counts = {severity: sum(finding.get("severity") == severity for finding in findings) for severity in Severity}
    words = _list([Two(f"{count} 项{SEVERITIES[severity].zh}", f"{count} {SEVERITIES[severity].en}")
                   for severity, count in counts.items() if count], Two("未发现问题", "nothing found"))
    blocks = ", ".join(f"{finding.get('code')} ({finding.get('rule')})"
                       for finding in findings if finding.get("severity") == Severity.BLOCK)
    return Two(f"{words.zh}：{blocks}", f"{words.en}: {blocks}") if blocks else words


def _list(words: list[Two], nothing: Two) -> Two:
    return Two("、".join(text.zh for text in words), ", ".join(text.en for text in words)) if words else nothing
