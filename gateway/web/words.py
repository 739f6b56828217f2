"""Our codes in words, Chinese first with English beside: what pages say. A code without words is shown as it is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.audit import AuditReason
from domain.ledger import accounts
from domain.ledger.transfers import BusinessEvent
from domain.lifecycle import Money
from domain.words import Two

MONEY: Mapping[str, Two] = {
    Money.QUOTED: Two("已测算", "quoted"),
    Money.PRE_SETTLED: Two("已预结算", "pre-settled"),
    Money.SETTLED: Two("已结算", "settled"),
    Money.REVERSED: Two("已冲正", "reversed"),
    Money.RECONCILED: Two("已对账", "reconciled"),
}
POSTINGS: Mapping[str, Two] = {
    BusinessEvent.SETTLED: Two("结算", "settlement"),
    BusinessEvent.REVERSED: Two("冲正", "reversal"),
    BusinessEvent.COLLECTED: Two("收款", "payment"),
    BusinessEvent.HANDED_IN: Two("配送员交款", "cash handed in"),
    BusinessEvent.REFUNDED: Two("退款", "refund"),
}
AUDIT_REASONS: Mapping[str, Two] = {
    AuditReason.STAGE: Two("处方到达预审", "it came to the audit"),
    AuditReason.UPGRADE: Two("升级前的结果", "kept from an older release"),
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
    "webhook": Two("推送", "webhook"),
    "hold": Two("预占库存", "hold"),
    "place": Two("下单", "place"),
    "cancel": Two("撤单", "cancel"),
    "settle": Two("结算", "settle"),
    "reverse": Two("冲正", "reverse"),
    "dispatch": Two("派送", "dispatch"),
    "revoke": Two("取消派送", "call off"),
}


NEWBORN_DAYS, INFANT_MONTHS = 28, 36
_ACTORS: Mapping[str, Two] = {
    "platform": Two("平台", "platform"), "audit": Two("智能预审", "audit"), "clock": Two("时钟", "clock"),
    "hospital": Two("医院", "hospital"), "chain": Two("连锁", "chain"),
    "courier": Two("配送", "courier"), "shop": Two("药店", "pharmacy"), "payer": Two("医保", "fund"),
    "pharmacist": Two("药师", "pharmacist"), "operator": Two("运维", "operator"),
    "patient": Two("患者", "patient"), "hotline": Two("客服", "hotline"),
}

_PARTNERS = frozenset({"hospital", "chain", "courier", "payer"})


def actor(text: str, partner: Callable[[str], Two] = lambda slug: Two(slug, "")) -> Two:
    """Who did it, or whose account it is: `chain:ankang` by the name that `partner` has for it, else as 连锁 ankang."""
    kind, _, name = text.partition(":")
    if kind in _PARTNERS and (names := partner(name)) != Two(name, ""):
        return names
    if account := accounts.words(text):
        return account
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
