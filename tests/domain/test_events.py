"""Every event and every wait has words in both languages, and what was written as sentences is still read."""

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from domain import former_words
from domain.event_words import EVENTS, WAITS, happening, waiting
from domain.events import ARGUMENTS, PERSON, Event, Wait
from domain.former_words import event_of, wait_of
from domain.words import Two

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"ankang": Two("安康大药房", "Ankang"), "baicao": Two("百草", "")}


def name(slug: str) -> Two:
    return NAMES.get(slug, Two(slug, ""))


def fields(text: str) -> list[str]:
    return [field for _, field, _, _ in Formatter().parse(text) if field]


DETAILS: dict[Event, dict[str, object]] = {
    Event.RECEIVED: {"message": "M1", "archive": "sha256/a", "items": 2, "arrived": "2026-11-23T00:00:00+00:00"},
    Event.AUDITED: {"findings": [
        {"code": "QTY_OVER_LIMIT", "rule": "A-03", "severity": "BLOCK", "line": 1},
        {"code": "DOSE_OVER_MAX", "rule": "A-22", "severity": "WARN", "line": 1},
        {"code": "DOSE_OVER_MAX", "rule": "A-22", "severity": "WARN", "line": 2}]},
    Event.PASSED: {"reasons_for": []},
    Event.REJECTED: {"codes": ["2-1", "2-5"]},
    Event.SENT_BACK: {"codes": ["2-5"]},
    Event.CHOICE_OFFERED: {"round": 1, "options": 4, "until": "then", "because": "price_risen"},
    Event.PATIENT_CHOSE: {"round": 1, "option": "1-2", "stores": ["ankang/AK01", "baicao/B1"], "way": "split", "handover": "home",
                          "total_fen": 4650},
    Event.PATIENT_WAITS: {"round": 1},
    Event.CHOICE_LAPSED: {"round": 1},
    Event.CHOICE_ORDERED: {"order": "ord_a_1", "chain": "ankang", "store": "AK01", "score": "80.00", "candidates": 4,
                           "portions": [{"line": 1, "quantity": "60"}]},
    Event.STORE_CHOSEN: {"order": "ord_a_1", "chain": "ankang", "store": "AK01", "score": "87.20", "candidates": 4},
    Event.SHARE_CHOSEN: {"order": "ord_a_1", "chain": "ankang", "store": "AK01", "score": "80.00", "candidates": 4,
                         "portions": [{"line": 1, "quantity": "60"}]},
    Event.PART_CHOSEN: {"order": "ord_a_1", "chain": "baicao", "store": "B1", "score": "80.00", "candidates": 4,
                        "portions": [{"line": 1, "quantity": "14"}, {"line": 2, "quantity": "28"}]},
    Event.PART_HANDED_OVER: {"order": "ord_a_1", "portions": [{"line": 1, "quantity": "14"}]},
    Event.GIVEN_UP: {"cause": "expired"},
    Event.WISH_ANSWERED: {"wish": 7, "answer": "granted"},
    Event.NO_STORE: {"refused": {"incomplete": 3, "closed": 1}, "stores": ["ankang/AK01:incomplete"], "silent": ["baicao"]},
    Event.ORDER_DECLINED: {"order": "ord_a_1", "chain": "ankang", "store": "AK01", "cause": "out_of_stock"},
    Event.ORDER_PLACED: {"order": "ord_a_1", "chain": "baicao", "store": "B1", "reference": "R1", "total_fen": 4650,
                         "fund_fen": 3953, "patient_due_fen": 0},
    Event.ORDER_UPDATE: {"order": "ord_a_1", "event": "e1", "status": "in_delivery", "cause": "", "lines": [], "at": "then"},
    Event.DECOCTION_STEP: {"order": "ord_a_1", "decoction": "soaked"},
    Event.COURIER_ASSIGNED: {"order": "ord_a_1", "courier": "jisong", "reference": "JS-1"},
    Event.COURIER_STOPPED: {"order": "ord_a_1", "courier": "jisong", "delivery": "returning", "cause": "cancelled"},
    Event.COURIER_UPDATE: {"order": "ord_a_1", "event": "e1", "delivery": "signed", "attempt": 2, "cause": "",
                           "warnings": ["GPS_FAR", "NO_SIGNATURE"], "at": "then"},
    Event.UNDELIVERED: {"cause": "undelivered"},
    Event.PAID: {"order": "ord_a_1", "method": "wechat", "amount_fen": 2175, "receipt": "R1"},
    Event.REFUNDED: {"order": "ord_a_1", "method": "cash", "amount_fen": 500, "receipt": "R1"},
    Event.NO_ANSWER: {"order": "ord_a_1"},
    Event.WORD_MISSED: {"order": "ord_a_1", "status": "accepted"},
    Event.ORDER_ENDED: {"order": "ord_a_1", "status": "cancelled", "cause": "no_answer"},
    Event.WORD_AFTER_ORDER: {"order": "ord_a_1", "event": "e1", "status": "handed_over", "order_was": "cancelled"},
    Event.WORD_AFTER_END: {"order": "ord_a_1", "event": "e1", "status": "returned", "prescription_was": "cancelled"},
    Event.HANDED_OVER: {"order": "ord_a_1"},
    Event.EXPIRED: {"valid_until": "then"},
    Event.CANCEL_REQUESTED: {"reason": "duplicate"},
    Event.CANCELLED: {"reason": "entered-in-error"},
    Event.CANCEL_TOO_LATE: {"order": "ord_a_1"},
    Event.CANCEL_UNANSWERED: {"order": "ord_a_1"},
    Event.SETTLED: {"settlement": "S1", "reference": "P1", "total_fen": 1, "fund_fen": 1, "account_fen": 0, "cash_fen": 0},
    Event.BROUGHT_BACK: {"order": "ord_a_1", "kept": [1]},
    Event.REVERSED: {"settlement": "S1", "reversal": "S2", "reference": "P2"},
    Event.ATTEMPT_FAILED: {"error": "Transient:timeout", "attempt": 2, "again_at": "then", "stage": "allocation"},
    Event.WOKEN: {"tried_again": []},
}
"""An example of each event that has arguments."""


def test_the_tables_are_total() -> None:
    assert set(EVENTS) == set(ARGUMENTS) == set(Event)
    assert set(WAITS) == set(Wait)
    assert set(DETAILS) == {event for event in Event if ARGUMENTS[event]}
    assert {event: set(detail) for event, detail in DETAILS.items()} == {event: set(ARGUMENTS[event]) for event in DETAILS}
    assert all(two.zh and two.en for two in (*EVENTS.values(), *WAITS.values()))


@pytest.mark.parametrize("event", Event)
def test_an_event_is_said_in_both_languages_with_its_arguments(event: Event) -> None:
    zh, en = fields(EVENTS[event].zh), fields(EVENTS[event].en)
    assert sorted(zh) == sorted(en)
    assert set(zh) <= set(ARGUMENTS[event])
    said = happening(event, DETAILS.get(event, {}), name)
    assert "{" not in "".join(said)
    assert "?" not in said.en
    assert "？" not in said.zh
    assert "_" not in "".join(said).replace("QTY_OVER_LIMIT", ""), "a code of ours is not a word"
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in said.en)


@pytest.mark.parametrize(("event", "zh", "en"), [
    (Event.AUDITED, "预审：1 项拦截、2 项警示：QTY_OVER_LIMIT (A-03)", "audit: 1 block, 2 warn: QTY_OVER_LIMIT (A-03)"),
    (Event.REJECTED, "审方拒绝：2-1、2-5", "rejected by the pharmacist: 2-1, 2-5"),
    (Event.CHOICE_OFFERED, "请患者选择药店：4 个方案（所选药店涨价了）",
     "the patient is asked: 4 options (the price there has risen)"),
    (Event.PATIENT_CHOSE, "患者选择：安康大药房 AK01、百草 B1，两家分开配，送药上门",
     "the patient chose Ankang AK01, baicao B1: shared by two pharmacies, brought home"),
    (Event.CHOICE_ORDERED, "按患者选择：安康大药房 AK01 承接第 1 行 60",
     "as the patient chose: Ankang AK01 is asked for 60 of line 1"),
    (Event.STORE_CHOSEN, "安康大药房 AK01 排名第一", "Ankang AK01 ranked first"),
    (Event.SHARE_CHOSEN, "拆单：安康大药房 AK01 承接第 1 行 60，其余由另一家承接",
     "split: Ankang AK01 is asked for 60 of line 1, another for the rest"),
    (Event.PART_CHOSEN, "没有一家能配齐：百草 B1 先给第 1 行 14、第 2 行 28，其余欠付",
     "nobody has all of it: baicao B1 is asked for 14 of line 1, 28 of line 2 now, the rest is owed"),
    (Event.PART_HANDED_OVER, "患者已拿到一部分；欠付第 1 行 14", "the patient has a part; still owed: 14 of line 1"),
    (Event.ORDER_PLACED, "已向 百草 B1 下单", "order placed at baicao B1"),
    (Event.NO_STORE, "目前没有药店能配齐：不能配齐全部药品 3 家、未营业或无药师在岗 1 家；未应答：百草",
     "no pharmacy can fill it now: it cannot fill every line (3), it is closed or has no pharmacist on duty (1); "
     "no answer from: baicao"),
    (Event.ORDER_DECLINED, "药店未接受：无库存", "the pharmacy said no: out of stock"),
    (Event.ORDER_ENDED, "订单终止（已取消）：未按时接单", "the order ended (cancelled): no answer in time"),
    (Event.COURIER_UPDATE, "配送：已签收（签收地点偏远、无签名图片）",
     "delivery: signed for (signed for far from the patient, no picture of a signature)"),
    (Event.PAID, "患者已付款 21.75 元（微信支付），收据 R1", "the patient has paid 21.75 yuan (WeChat Pay), receipt R1"),
    (Event.REFUNDED, "应退患者 5.00 元（现金），收据 R1", "5.00 yuan go back to the patient (cash), receipt R1"),
    (Event.COURIER_STOPPED, "jisong 停止配送：退回途中", "jisong does not bring it: on its way back"),
    (Event.UNDELIVERED, "未能送达患者，处方结束：投递未成，药品已退回药店",
     "it could not be brought to the patient, and has ended: could not be delivered; it is back at the pharmacy"),
    (Event.WORD_AFTER_END, "处方结束（已撤销）之后收到药店消息：已退药",
     "the prescription had ended (cancelled); then the pharmacy said: returned"),
    (Event.CANCELLED, "医院撤销：录入错误", "cancelled by the hospital: entered in error"),
])
def test_arguments_that_are_codes_are_said_in_words(event: Event, zh: str, en: str) -> None:
    assert happening(event, DETAILS[event], name) == (zh, en)


def test_an_audit_that_found_nothing_says_so() -> None:
    assert happening("audited", {"findings": []}) == ("预审：未发现问题", "audit: nothing found")


@pytest.mark.parametrize("detail", [None, 5, "x", [], {}, {"findings": 5, "refused": [], "silent": {}, "chain": [1]},
                                    {"findings": [1, {}], "refused": {"x": 1}, "silent": "x", "status": "?"}])
def test_a_tampered_row_is_shown_all_the_same(detail: object) -> None:
    for event in Event:
        assert all(happening(event, detail))


@pytest.mark.parametrize("stored", ["", "invented_later", "invented_later:x", "no pharmacy in sight"])
def test_what_this_release_does_not_know_is_shown_as_it_is_stored(stored: str) -> None:
    assert happening(stored, {}) == waiting(stored) == (stored, "")


@pytest.mark.parametrize("wait", Wait)
def test_a_wait_is_said_in_both_languages(wait: Wait) -> None:
    said = waiting(f"{wait}:ankang" if wait is Wait.HOLD else wait, name)
    assert "{" not in "".join(said)
    assert fields(WAITS[wait].zh) == fields(WAITS[wait].en)
    assert ("person" in said.en, "人工：" in said.zh) == (wait in PERSON, wait in PERSON)


def test_a_hold_is_said_with_its_chain() -> None:
    assert waiting("hold:ankang", name) == ("安康大药房 预占库存", "a hold at Ankang")


# --- what was written before there were codes ---

FORMER: list[tuple[str, dict[str, object], Event, str]] = [
    ("received and archived", {}, Event.RECEIVED, "已接收并归档"),
    ("nothing found", {"findings": []}, Event.AUDITED, "预审：未发现问题"),
    ("2 WARN, 1 INFO", {"findings": [{"code": "A", "rule": "A-22", "severity": "WARN", "line": 1}]}, Event.AUDITED,
     "预审：1 项警示"),
    ("1 BLOCK, 1 SELFPAY: QTY (A-03)", {"findings": [{"code": "QTY", "rule": "A-03", "severity": "BLOCK", "line": 1}]},
     Event.AUDITED, "预审：1 项拦截：QTY (A-03)"),
    ("not insured: back to the hospital (B-44)", {}, Event.NOT_INSURED, "患者未参保，退回医院 (B-44)"),
    ("queued for a pharmacist", {}, Event.QUEUED, "进入审方队列"),
    ("passed", {"codes": []}, Event.PASSED, "审方通过"),
    ("reject: 2-1, 2-5", {"codes": ["2-1", "2-5"]}, Event.REJECTED, "审方拒绝：2-1、2-5"),
    ("return: 2-5", {"codes": ["2-5"]}, Event.SENT_BACK, "退回医师：2-5"),
    ("looking for a pharmacy", {}, Event.SEARCH_STARTED, "开始寻找药店"),
    ("ankang/AK01 ranked first", {"order": "ord_a_1"}, Event.STORE_CHOSEN, "安康大药房 AK01 排名第一"),
    ("no pharmacy can fill it now", {"why": "ankang/AK01: closed; baicao/B1: closed; baicao/B2: incomplete"}, Event.NO_STORE,
     "目前没有药店能配齐：未营业或无药师在岗 2 家、不能配齐全部药品 1 家；未应答：？"),
    ("no pharmacy can fill it now", {"why": "no store has it (ankang, baicao did not answer)"}, Event.NO_STORE,
     "目前没有药店能配齐：无报价；未应答：安康大药房、百草"),
    ("no pharmacy can fill it now", {"why": "no store has it (all asked)"}, Event.NO_STORE,
     "目前没有药店能配齐：无报价；未应答：无"),
    ("no pharmacy can fill it now", {"why": "ankang/AK01: closed; " * 20}, Event.NO_STORE, "目前没有药店能配齐：？；未应答：？"),
    ("declined: out_of_stock", {"code": "out_of_stock"}, Event.ORDER_DECLINED, "药店未接受：无库存"),
    ("order placed at baicao/B1", {}, Event.ORDER_PLACED, "已向 百草 B1 下单"),
    ("no answer in time (D-12)", {}, Event.NO_ANSWER, "药店未按时接单，订单已收回 (D-12)"),
    ("no word in time, but it is accepted", {}, Event.WORD_MISSED, "药店未按时答复，经查询：已接单"),
    ("order cancelled: no_answer", {"code": "no_answer"}, Event.ORDER_ENDED, "订单终止（已取消）：未按时接单"),
    ("order declined: no reason given", {"code": ""}, Event.ORDER_ENDED, "订单终止（已拒单）：未说明原因"),
    ("order in_delivery", {"said": "in_delivery", "reason": ""}, Event.ORDER_UPDATE, "药店消息：配送中"),
    ("order returned", {"said": "returned", "reason": "quality"}, Event.ORDER_UPDATE, "药店消息：已退药"),
    ("handed_over after declined", {}, Event.WORD_AFTER_ORDER, "订单终止（已拒单）之后收到药店消息：已交付"),
    ("handed_over after cancelled", {}, Event.WORD_AFTER_ORDER, "订单终止（已取消）之后收到药店消息：已交付"),
    ("accepted after cancelled", {"said": "accepted"}, Event.WORD_AFTER_END, "处方结束（已撤销）之后收到药店消息：已接单"),
    ("returned after closed", {"said": "returned"}, Event.WORD_AFTER_END, "处方结束（已办结）之后收到药店消息：已退药"),
    ("the patient has the medicine", {}, Event.HANDED_OVER, "患者已拿到药"),
    ("validity is over (A-01)", {}, Event.EXPIRED, "处方已超过有效期 (A-01)"),
    ("cancel requested", {"reason": "patient"}, Event.CANCEL_REQUESTED, "医院请求撤销：患者要求"),
    ("cancelled by the hospital", {"reason": "other"}, Event.CANCELLED, "医院撤销：其他"),
    ("too late to cancel", {}, Event.CANCEL_TOO_LATE, "已来不及撤销"),
    ("the fund has settled", {}, Event.SETTLED, "医保已结算"),
    ("the patient brought something back", {}, Event.BROUGHT_BACK, "患者退回了药品"),
    ("the settlement was reversed", {}, Event.REVERSED, "医保结算已冲正"),
    ("the claim matches what the patient has", {}, Event.CLAIM_AGREES, "结算与患者实际取药一致"),
    ("return window is over, the day is reconciled", {}, Event.CLOSED, "退药期已过且当日已对账"),
    ("attempt 3 failed: Transient:timeout", {"attempt": 3, "error": "Transient:timeout"}, Event.ATTEMPT_FAILED,
     "第 3 次尝试失败：合作方暂时没有应答（Transient:timeout）"),
    ("woken by an operator", {"tried_again": []}, Event.WOKEN, "运维人员要求立即处理"),
]


@pytest.mark.parametrize(("sentence", "detail", "event", "zh"), FORMER)
def test_every_former_sentence_of_a_history_is_read(sentence: str, detail: dict[str, object], event: Event, zh: str) -> None:
    known = event_of(sentence, detail)
    assert known is not None
    assert known[0] is event
    assert happening(sentence, detail, name).zh == zh


def test_every_event_was_once_a_sentence_or_is_new() -> None:
    assert {event for _, _, event, _ in FORMER} == {event for _, event, _ in former_words._EVENTS}


@pytest.mark.parametrize(("sentence", "stored"), [
    *((sentence, str(wait)) for sentence, wait in former_words._WAITS.items()), ("hold at ankang", "hold:ankang")])
def test_every_former_wait_is_read(sentence: str, stored: str) -> None:
    assert wait_of(sentence) == wait_of(stored) is not None
    assert waiting(sentence, name) == waiting(stored, name)


# --- nobody writes a sentence ---


def written(keyword: str) -> Iterator[tuple[str, ast.expr]]:
    """What programs that write histories give as `keyword`, with the place; the writer itself only names columns."""
    for path in sorted([*(ROOT / "tasks").rglob("*.py"), ROOT / "infra" / "db" / "prescriptions.py"]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from ((f"{path.name}:{node.lineno}", given.value) for given in node.keywords if given.arg == keyword)


@pytest.mark.parametrize("keyword", ["waiting_for", "event"])
def test_events_and_waits_are_given_as_codes(keyword: str) -> None:
    given = list(written(keyword))
    assert len(given) > 15
    for where, value in given:
        literals = [one.value for one in ast.walk(value) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        assert [one for one in literals if one not in ("", ":")] == [], where
