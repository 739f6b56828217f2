"""The city's day as one page of text: what the Prefect artifact `city-day` shows."""

from datetime import datetime
from zoneinfo import ZoneInfo

from domain.lifecycle import OWNERS, Owner
from domain.money import yuan
from domain.words import OWNERS as OWNERS_IN_WORDS
from domain.words import STATUSES
from infra.db.views import Board, Concern, board
from tasks.city import City


def board_markdown(city: City, gateway_url: str) -> str:
    """Where prescriptions are, what is stuck, why, and what to do. Ids, codes and counts only."""
    with city.db.reading() as session:
        view = board(session, city.now(), city.policy)
    zone = ZoneInfo(city.policy.timezone)
    return "\n".join([
        f"# {view.city} {view.city_en}: 全市处方流转 the city's day",
        f"{view.at.astimezone(zone):%Y-%m-%d %H:%M:%S} {zone.key} · [网关看板 gateway board]({gateway_url}/)", "",
        *_statuses(view), "", *_concerns(view, gateway_url), "", *_money(view), "",
    ])


def _statuses(view: Board) -> list[str]:
    rows = ["| 状态 status | 该谁动 who acts | 处方 n | 最久 oldest |", "| --- | --- | ---: | ---: |"]
    for line in view.statuses:
        if line.count:
            oldest = _age(view.at, line.oldest) if OWNERS[line.status] is not Owner.NOBODY else "今日 today"
            status, owner = STATUSES[line.status], OWNERS_IN_WORDS[line.owner]
            rows.append(f"| {status.zh} {status.en} | {owner.zh} {owner.en} | {line.count} | {oldest} |")
    return rows


def _concerns(view: Board, gateway_url: str) -> list[str]:
    act = [concern for concern in view.concerns if concern.act]
    watch = [concern for concern in view.concerns if not concern.act]
    if not view.concerns:
        return ["**无需处理 Nothing is stuck.**"]
    return [*(["## 需要处理 Act"] if act else ["**无需人工处理 Nobody needs to act.**"]),
            *(line for concern in act for line in _concern(view, concern, gateway_url)),
            *(["", "## 留意 Watch"] if watch else []),
            *(line for concern in watch for line in _concern(view, concern, gateway_url))]


def _concern(view: Board, concern: Concern, gateway_url: str) -> list[str]:
    examples = ", ".join(f"[{example.prescription_id}]({gateway_url}/rx/{example.prescription_id})"
                         for example in concern.examples[:5] if example.prescription_id)
    return [f"- **{concern.count}× {concern.what}** {concern.what_en} ({_age(view.at, concern.oldest)}). "
            f"{concern.cure} {concern.cure_en} {examples}"]


def _money(view: Board) -> list[str]:
    money = view.money
    return [f"今日 today: {money.settlements} 笔结算 settlements, {money.reversals} 笔冲正 reversals · "
            f"总额 total {yuan(money.total)} · 基金 fund {yuan(money.fund)} · 个账 account {yuan(money.account)} · "
            f"现金 cash {yuan(money.cash)} 元 yuan"]


def _age(now: datetime, since: datetime | None) -> str:
    if since is None:
        return ""
    seconds = int((now - since).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
