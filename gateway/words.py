"""Our codes in words, Chinese first with English beside: what pages say. A code without words is shown as it is."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.findings import Severity
from domain.lifecycle import Money
from domain.orders import OrderStatus
from domain.words import Two

DEADLINES: Mapping[str, Two] = {
    "valid_until": Two("到处方有效期为止", "until its validity ends"),
    "accept_within, then fulfil_within": Two(
        "药店须按时接单，再按时完成", "the pharmacy must accept, then fulfil in time"),
    "none: what was handed over must be settled": Two(
        "无期限：已发药必须结算", "none: what was handed over must be settled"),
    "return_window": Two("到退药期结束为止", "until the return window ends"),
    "none": Two("无", "none"),
}
ORDERS: Mapping[str, Two] = {
    OrderStatus.HELD: Two("已预占", "held"),
    OrderStatus.ORDERED: Two("已下单", "ordered"),
    OrderStatus.ACCEPTED: Two("已接单", "accepted"),
    OrderStatus.PREPARED: Two("已备药", "prepared"),
    OrderStatus.IN_DELIVERY: Two("配送中", "in delivery"),
    OrderStatus.HANDED_OVER: Two("已交付", "handed over"),
    OrderStatus.DECLINED: Two("已拒单", "declined"),
    OrderStatus.CANCELLED: Two("已取消", "cancelled"),
    OrderStatus.RETURNED: Two("已退药", "returned"),
    "open": Two("未下单", "open"),
}
MONEY: Mapping[str, Two] = {
    Money.QUOTED: Two("已测算", "quoted"),
    Money.PRE_SETTLED: Two("已预结算", "pre-settled"),
    Money.SETTLED: Two("已结算", "settled"),
    Money.REVERSED: Two("已冲正", "reversed"),
    Money.RECONCILED: Two("已对账", "reconciled"),
}
POSTINGS: Mapping[str, Two] = {"settled": Two("结算", "settlement"), "reversed": Two("冲正", "reversal")}
SEVERITIES: Mapping[str, Two] = {
    Severity.BLOCK: Two("拦截", "block"),
    Severity.WARN: Two("警示", "warn"),
    Severity.SELFPAY: Two("自费", "self-pay"),
    Severity.INFO: Two("提示", "info"),
}
DECISIONS: Mapping[str, Two] = {
    "pass": Two("通过", "pass"),
    "return": Two("退回医师", "return"),
    "reject": Two("拒绝", "reject"),
}
FREQUENCIES_EN: Mapping[str, str] = {
    "qd": "once a day", "bid": "twice a day", "tid": "3 times a day", "qid": "4 times a day", "q6h": "every 6 h",
    "q8h": "every 8 h", "q12h": "every 12 h", "qn": "at night", "qm": "in the morning", "ac": "before meals",
    "qod": "every other day", "biw": "twice a week", "tiw": "3 times a week", "qw": "once a week",
    "q2w": "every 2 weeks", "q4w": "every 4 weeks", "qmonth": "once a month", "prn": "when needed", "st": "at once",
}
CODES: Mapping[str, Two] = {
    "male": Two("男", "male"),
    "female": Two("女", "female"),
    "unknown": Two("未知", "unknown"),
    "internet": Two("互联网", "internet"),
    "outpatient": Two("门诊", "outpatient"),
    "western": Two("西药", "western"),
    "tcm_patent": Two("中成药", "patent medicine"),
    "tcm_piece": Two("饮片", "herbal piece"),
    "general": Two("普通处方", "general"),
    "emergency": Two("急诊处方", "emergency"),
    "long_term": Two("长期处方", "long-term"),
    "pickup": Two("到店自取", "pickup"),
    "home": Two("送药上门", "home delivery"),
    "report": Two("报告医院", "report to the hospital"),
    "settled": Two("结算通知", "settlement notice"),
    "hold": Two("预占库存", "hold"),
    "place": Two("下单", "place"),
    "cancel": Two("撤单", "cancel"),
    "settle": Two("结算", "settle"),
    "reverse": Two("冲正", "reverse"),
}

_SPOKEN: tuple[tuple[str, str], ...] = (
    # What a history row or a wait says, and how it is said in Chinese; groups are kept.
    (r"received and archived", "已接收并归档"),
    (r"nothing found", "预审未发现问题"),
    (r"queued for a pharmacist", "进入审方队列"),
    (r"passed", "审方通过"),
    (r"reject: (.*)", r"审方拒绝：\1"),
    (r"return: (.*)", r"退回医师：\1"),
    (r"looking for a pharmacy", "开始寻找药店"),
    (r"(\S+) ranked first", r"\1 排名第一"),
    (r"order placed at (\S+)", r"已向 \1 下单"),
    (r"declined: (.*)", r"药店拒绝：\1"),
    (r"no pharmacy can fill it now", "目前没有药店能配齐"),
    (r"no answer in time \(D-12\)", "药店未按时接单 (D-12)"),
    (r"order accepted", "药店已接单"),
    (r"order prepared", "药店已备药"),
    (r"order in_delivery", "正在配送"),
    (r"order handed_over", "药品已交付"),
    (r"order returned", "患者退药"),
    (r"order declined", "药店拒单"),
    (r"order cancelled", "订单已取消"),
    (r"order (\S+): no reason given", r"订单终止（\1），未说明原因"),
    (r"order (\S+): (.*)", r"订单终止（\1）：\2"),
    (r"the patient has the medicine", "患者已拿到药"),
    (r"validity is over \(A-01\)", "处方已超过有效期 (A-01)"),
    (r"not insured: back to the hospital \(B-44\)", "患者未参保，退回医院 (B-44)"),
    (r"cancelled by the hospital", "医院撤销"),
    (r"cancel requested", "医院请求撤销"),
    (r"too late to cancel", "已来不及撤销"),
    (r"the fund has settled", "医保已结算"),
    (r"the settlement was reversed", "医保结算已冲正"),
    (r"the claim matches what the patient has", "结算与患者实际取药一致"),
    (r"the patient brought something back", "患者退回了药品"),
    (r"return window is over, the day is reconciled", "退药期已过且当日已对账"),
    (r"woken by an operator", "运维人员要求立即处理"),
    (r"attempt (\d+) failed: (.*)", r"第 \1 次尝试失败：\2"),
    (r"(\S+) after (\S+)", r"办结（\2）之后收到：\1"),
    # Waits.
    (r"audit", "预审"),
    (r"quotes", "各连锁报价"),
    (r"the next candidate", "下一家药店"),
    (r"a pharmacist's decision", "药师审方"),
    (r"hold at (\S+)", r"\1 预占库存"),
    (r"the pharmacy", "药店"),
    (r"the pharmacy's yes", "药店接单"),
    (r"the patient's receipt", "患者取药"),
    (r"settlement", "医保结算"),
    (r"reversal", "医保冲正"),
    (r"re-settlement", "重新结算"),
    (r"the return window", "退药期结束"),
    (r"the day's reconciliation", "当日对账"),
    (r"cancel", "撤销结果"),
    (r"a pharmacy that can fill it", "能配齐的药店"),
    (r"the next attempt; nobody needs to act", "下一次自动尝试，无需人工"),
    (r"the partner's word on an unknown outcome", "合作方确认未知结果"),
    (r"a person: a partner refused what it must not refuse", "人工：合作方拒绝了不应拒绝的请求"),
    (r"a person: a partner's answer broke the contract", "人工：合作方应答不符约定"),
    (r"a person: configuration, credentials or a partner's book", "人工：配置、密钥或合作方账目"),
    (r"a person: a fault of the platform", "人工：平台程序故障"),
)
_COUNTED = re.compile(r"(\d+) (BLOCK|WARN|SELFPAY|INFO)")


def said(text: str) -> Two:
    """What a history row or a wait says, in both languages."""
    for pattern, words in _SPOKEN:
        if found := re.fullmatch(pattern, text):
            return Two(found.expand(words), text)
    if _COUNTED.match(text):
        counted = _COUNTED.sub(lambda found: f"{found[1]} 项{SEVERITIES[found[2]].zh}", text)
        return Two(f"预审：{counted}".replace(", ", "、"), text)
    return Two(text, "")


NEWBORN_DAYS, INFANT_MONTHS = 28, 36
_ACTORS: Mapping[str, Two] = {
    "platform": Two("平台", "platform"), "audit": Two("智能预审", "audit"), "clock": Two("时钟", "clock"),
    "hospital": Two("医院", "hospital"), "chain": Two("连锁", "chain"), "payer": Two("医保", "fund"),
    "pharmacist": Two("药师", "pharmacist"), "operator": Two("运维", "operator"), "fund": Two("统筹基金", "fund"),
    "account": Two("个人账户", "personal account"), "patient": Two("患者现金", "patient's cash"),
}


def actor(text: str) -> Two:
    """Who did it, or whose account it is: `chain:ankang` is 连锁 ankang."""
    kind, _, name = text.partition(":")
    words = _ACTORS.get(kind, Two(kind, kind))
    return Two(f"{words.zh} {name}".strip(), f"{words.en} {name}".strip())


def age(patient: Mapping[str, Any]) -> Two:
    """An age as doses go by it: in days below 28 days, in months below three years, else in years."""
    days, months = patient["age_days"], patient["age_months"]
    if days is not None and days < NEWBORN_DAYS:
        return Two(f"{days} 天", f"{days} d")
    if months < INFANT_MONTHS:
        return Two(f"{months} 个月", f"{months} months")
    return Two(f"{months // 12} 岁", str(months // 12))


def coded(table: Mapping[str, Two], code: str) -> Two:
    """A code in words."""
    return table.get(code, Two(code, ""))


def lasting(seconds: float) -> Two:
    """A length of time, coarsely: two units at most."""
    whole = abs(int(seconds))
    units = (("天", "d", 86400), ("小时", "h", 3600), ("分", "min", 60), ("秒", "s", 1))
    first = next((place for place, unit in enumerate(units) if whole >= unit[2]), 3)
    zh: list[str] = []
    en: list[str] = []
    for word, short, size in units[first:first + 2]:
        amount, whole = divmod(whole, size)
        if amount or not zh:
            zh.append(f"{amount} {word}")
            en.append(f"{amount} {short}")
    return Two(" ".join(zh), " ".join(en))


def number(value: Decimal | str | int) -> str:
    """A quantity without idle zeros."""
    text = format(Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(value: datetime | str) -> datetime:
    """A moment, from a row or from a history text."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
