"""What is particular to a chain's words and amounts, and what a callback must prove."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from adapters.chains import wire
from adapters.chains.ankang import translation as ankang
from adapters.chains.baicao import translation as baicao
from adapters.registry import manifest
from domain.chains import ChainWord, Offers, OrderLine, StockNotice
from domain.errors import InvalidPayload, Refused, Transient
from domain.prescription import Handover
from domain.trace import Scan
from infra.http import Response
from tests.adapters.chains.test_jishi import quoted as jishi_quoted
from tests.adapters.chains.test_jishi import store as jishi_store
from tests.contracts.test_partners import chain_with
from tests.support.fakes import Replay
from tests.support.partner_examples import ASKED, CHAIN_SECRETS, PLACE, order

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def ankang_quote(**changes: Any) -> bytes:
    line = {"drug": "D001", "quantity": "60", "unit_price": "0.3100", "amount_fen": 1860}
    given = {
        "store_id": "AK01", "lines": [line | changes.pop("line", {})], "minutes": 18, "load": "0.20",
        "on_time": "0.96", "quality": "0.98", "delivers": False, "open": True,
    }  # fmt: skip
    return json.dumps({"quotes": [given | changes]}).encode()


def test_a_quote_is_taken_over_to_the_fen() -> None:
    (quote,) = ankang.parse_quotes("ankang", ankang_quote(), ASKED, Handover.HOME).quotes
    assert quote.lines == (OrderLine(1, "D001", Decimal(60), "片", Decimal("0.3100"), quote.total),)
    assert quote.total == 1860
    assert (quote.store, quote.minutes, quote.delivers, quote.open) == ("AK01", 18, False, True)


@pytest.mark.parametrize(("said", "again", "path"), [
    ('"quantity":', '"quantity": "6",', "quotes.0.lines.0.quantity"), ('"open":', '"open": false,', "quotes.0.open")])
def test_an_answer_that_says_two_things_is_not_believed(said: str, again: str, path: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        ankang.parse_quotes("ankang", ankang_quote().replace(said.encode(), f"{again} {said}".encode()), ASKED, Handover.PICKUP)
    assert [(it.rule, it.path) for it in caught.value.findings] == [("CHN-21", path)]


def test_every_store_offers_pickup() -> None:
    (quote,) = ankang.parse_quotes("ankang", ankang_quote(), ASKED, Handover.PICKUP).quotes
    assert quote.delivers


def test_a_store_that_can_fill_nothing_is_no_offer() -> None:
    assert ankang.parse_quotes("ankang", ankang_quote(lines=[]), ASKED, Handover.PICKUP) == Offers()


@pytest.mark.parametrize(
    ("change", "rule", "path"),
    [
        ({"line": {"amount_fen": 1861}}, "CHN-05", "quotes.0.lines.0"),
        ({"line": {"drug": "D999"}}, "CHN-06", "quotes.0.lines.0"),
        ({"line": {"quantity": "61", "amount_fen": 1891}}, "CHN-06", "quotes.0.lines.0"),
        ({"line": {"quantity": "0", "amount_fen": 0}}, "CHN-06", "quotes.0.lines.0"),
        ({"line": {"unit_price": 0.31}}, "CHN-03", "quotes.0.lines.0.unit_price"),
        ({"line": {"unit_price": "NaN"}}, "CHN-03", "quotes.0.lines.0.unit_price"),
        ({"line": {"unit_price": "-0.31"}}, "CHN-03", "quotes.0.lines.0.unit_price"),
        ({"line": {"amount_fen": "1860"}}, "CHN-03", "quotes.0.lines.0.amount_fen"),
        ({"on_time": "1.2"}, "CHN-03", "quotes.0.on_time"),
        ({"minutes": -1}, "CHN-03", "quotes.0.minutes"),
        ({"open": "yes"}, "CHN-03", "quotes.0.open"),
    ],
)
def test_a_store_whose_offer_breaks_the_contract_is_left_out_with_its_place(
    change: dict[str, Any], rule: str, path: str
) -> None:
    offers = ankang.parse_quotes("ankang", ankang_quote(**change), ASKED, Handover.PICKUP)
    assert offers.quotes == ()
    (row,) = offers.left_out
    assert [(it.rule, it.path) for it in row.findings] == [(rule, path)]


def test_everything_wrong_with_a_row_is_said_at_once() -> None:
    (row,) = ankang.parse_quotes(
        "ankang", ankang_quote(minutes=-1, open=3, load=None), ASKED, Handover.PICKUP).left_out
    assert {it.path for it in row.findings} == {"quotes.0.minutes", "quotes.0.open", "quotes.0.load"}


def test_the_one_store_that_rounds_half_even_is_left_out_and_the_others_quote() -> None:
    # 60 x 0.31075 yuan are 1864.5 fen: half up 1865, half even 1864.
    line = {"drug": "D001", "quantity": "60", "unit_price": "0.3100", "amount_fen": 1860}
    good = json.loads(ankang_quote())["quotes"][0]
    odd = good | {"store_id": "AK02", "lines": [line | {"unit_price": "0.31075", "amount_fen": 1864}]}
    body = json.dumps({"quotes": [good, odd, good | {"store_id": "AK03"}]}).encode()
    offers = ankang.parse_quotes("ankang", body, ASKED, Handover.PICKUP)
    assert [it.store for it in offers.quotes] == ["AK01", "AK03"]
    assert [(it.store, it.findings[0].rule, it.findings[0].path) for it in offers.left_out] == [
        ("AK02", "CHN-05", "quotes.1.lines.0")]


@pytest.mark.parametrize("row", [
    None, [], "AK02", 7, {}, {"store_id": None}, {"store_id": "AK02"}, {"store_id": "王店长 13812345678"},
    {"lines": [{"drug": "D001", "quantity": "60", "unit_price": "0", "amount_fen": 0}]},
    {"lines": "none"}, {"minutes": "18"}, {"quality": "NaN"}, {"delivers": None}, {"open": "true"},
    {"store_id": "13812345678"}, {"store_id": "王店"}, {"store_id": ""}, {"store_id": "x" * 65},
])  # fmt: skip
def test_any_bad_row_costs_no_other_store_its_offer(row: Any) -> None:
    good = json.loads(ankang_quote())["quotes"][0]
    bad = good | {"store_id": "AK02"} | row if isinstance(row, dict) and row and set(row) != {"store_id"} else row
    if isinstance(row, dict) and set(row) == {"store_id"} and row["store_id"] != "AK02":
        bad = good | row
    offers = ankang.parse_quotes("ankang", json.dumps({"quotes": [bad, good]}).encode(), ASKED, Handover.PICKUP)
    assert [it.store for it in offers.quotes] == ["AK01"]
    assert len(offers.left_out) == 1
    assert offers.left_out[0].findings
    assert "138" not in repr(offers)


def test_of_a_store_that_quotes_twice_neither_is_believed() -> None:
    good = json.loads(ankang_quote())["quotes"][0]
    body = json.dumps({"quotes": [good, good | {"minutes": 5}]}).encode()
    offers = ankang.parse_quotes("ankang", body, ASKED, Handover.PICKUP)
    assert offers.quotes == ()
    assert [it.findings[0].rule for it in offers.left_out] == ["CHN-09", "CHN-09"]


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"quotes": null}', b'{"quotes": {}}'])
def test_an_answer_without_rows_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidPayload):
        ankang.parse_quotes("ankang", body, ASKED, Handover.PICKUP)


def test_two_equal_lines_are_both_served() -> None:
    asked = (ASKED[0], OrderLine(5, "D001", Decimal(60), "片"))
    line = {"drug": "D001", "quantity": "60", "unit_price": "0.3100", "amount_fen": 1860}
    (quote,) = ankang.parse_quotes("ankang", ankang_quote(lines=[line, line]), asked, Handover.PICKUP).quotes
    assert [it.line for it in quote.lines] == [1, 5]


@pytest.mark.parametrize("slug", ["ankang", "baicao"])
def test_the_recipient_goes_along_for_home_delivery_only(slug: str) -> None:
    body = {"ankang": ankang.order_body, "baicao": baicao.order_body}[slug]
    assert "MARK-phone" in body(order(Handover.HOME)).decode()
    pickup = json.loads(body(order(Handover.PICKUP)))
    assert not {"recipient", "receiver"} & pickup.keys()


@pytest.mark.parametrize("slug", ["ankang", "baicao"])
def test_nobody_is_told_a_name_with_a_hold(slug: str) -> None:
    body = {"ankang": ankang.hold_body, "baicao": baicao.reserve_body}[slug]
    assert "MARK" not in body(order(Handover.HOME)).decode()


def test_baicao_amounts_are_yuan_to_the_fen() -> None:
    body = json.loads(baicao.order_body(order()))
    assert (body["selfPayAmt"], body["totalAmt"], body["items"][1]["amt"]) == ("10.37", "27.60", "9.00")


@pytest.mark.parametrize(("amount", "rule"), [("18.001", "CHN-03"), ("18.01", "CHN-05")])
def test_a_fraction_of_a_fen_is_not_an_amount(amount: str, rule: str) -> None:
    shop = {
        "shopNo": "BC07", "items": [{"drugCode": "D001", "qty": "60", "price": "0.30", "amt": amount}],
        "etaMinutes": 25, "busyRate": "0.35", "punctualRate": "0.93", "scoreRate": "0.97",
        "canDeliver": "是", "businessFlag": "营业",
    }  # fmt: skip
    good = shop | {"shopNo": "BC12", "items": [{"drugCode": "D001", "qty": "60", "price": "0.30", "amt": "18.00"}]}
    offers = baicao.parse_quotes("baicao", json.dumps({"shops": [shop, good]}).encode(), ASKED, Handover.PICKUP)
    assert [it.store for it in offers.quotes] == ["BC12"]
    assert [(it.store, it.findings[0].rule) for it in offers.left_out] == [("BC07", rule)]


@pytest.mark.parametrize("change", [{"canDeliver": "也许"}, {"businessFlag": ""}, {"canDeliver": None}])
def test_a_word_of_one_shop_that_nobody_knows_leaves_out_that_shop(change: dict[str, Any]) -> None:
    good = {
        "shopNo": "BC07", "items": [{"drugCode": "D001", "qty": "60", "price": "0.30", "amt": "18.00"}],
        "etaMinutes": 25, "busyRate": "0.35", "punctualRate": "0.93", "scoreRate": "0.97",
        "canDeliver": "是", "businessFlag": "营业",
    }  # fmt: skip
    body = json.dumps({"shops": [good, good | {"shopNo": "BC12"} | change]}).encode()
    offers = baicao.parse_quotes("baicao", body, ASKED, Handover.PICKUP)
    assert [it.store for it in offers.quotes] == ["BC07"]
    assert [it.store for it in offers.left_out] == ["BC12"]


async def quoted_instead(slug: str, **line: Any) -> Offers:
    """60 of a product in the place of another, as each chain quotes it."""
    names = {"ankang": ("drug", "instead_of"), "baicao": ("drugCode", "insteadOf"), "jishi": ("DrugCode", "InsteadOf")}[slug]
    row = dict(zip(names, (line["drug"], line["prescribed"]), strict=True))
    if slug == "ankang":
        return ankang.parse_quotes(slug, ankang_quote(line=row), ASKED, Handover.PICKUP)
    if slug == "baicao":
        shop = {"shopNo": "BC07", "items": [{"qty": "60", "price": "0.31", "amt": "18.60", **row}], "etaMinutes": 25,
                "busyRate": "0.35", "punctualRate": "0.93", "scoreRate": "0.97", "canDeliver": "是", "businessFlag": "营业"}
        return baicao.parse_quotes(slug, json.dumps({"shops": [shop]}).encode(), ASKED, Handover.PICKUP)
    return await jishi_quoted(jishi_store(line=row))


CHAINS_WITH_OTHER_PRODUCTS = ("ankang", "baicao", "jishi")


@pytest.mark.parametrize("slug", CHAINS_WITH_OTHER_PRODUCTS)
async def test_a_quote_may_name_the_prescribed_product_it_stands_in_for(slug: str) -> None:
    (quote,) = (await quoted_instead(slug, drug="D001B", prescribed="D001")).quotes
    (line,) = quote.lines
    assert (line.line, line.drug, line.instead_of, line.prescribed, line.amount) == (1, "D001B", "D001", "D001", 1860)


@pytest.mark.parametrize(("drug", "prescribed", "rule"), [
    ("D001B", "", "CHN-06"), ("D001B", "D999", "CHN-06"), ("D001", "D001", "CHN-06"), ("D001B", "d001", "CHN-06"),
    ("D001B", "D010", "CHN-06"),  # of another line, of which so many were not asked for
    ("D001B", "D" * 65, "CHN-03"), ("D001B", "D" * 1_000_000, "CHN-03"),
])
@pytest.mark.parametrize("slug", CHAINS_WITH_OTHER_PRODUCTS)
async def test_a_quote_that_stands_in_for_nothing_that_was_asked_for_is_left_out(
        slug: str, drug: str, prescribed: str, rule: str) -> None:
    offers = await quoted_instead(slug, drug=drug, prescribed=prescribed)
    assert offers.quotes == ()
    assert [it.rule for row in offers.left_out for it in row.findings] == [rule]


@pytest.mark.parametrize("prescribed", [None, 1, ["D001"], {"code": "D001"}, True, "D001\t"])
@pytest.mark.parametrize("slug", ["ankang", "baicao"])
async def test_a_prescribed_product_that_is_no_text_is_left_out(slug: str, prescribed: object) -> None:
    offers = await quoted_instead(slug, drug="D001B", prescribed=prescribed)
    assert offers.quotes == ()
    assert [it.rule for row in offers.left_out for it in row.findings] == ["CHN-03"]


def test_two_products_for_one_line_are_one_too_many() -> None:
    line = {"drug": "D001", "quantity": "60", "unit_price": "0.3100", "amount_fen": 1860}
    offers = ankang.parse_quotes(
        "ankang", ankang_quote(lines=[line, line | {"drug": "D001B", "instead_of": "D001"}]), ASKED, Handover.PICKUP)
    assert offers.quotes == ()
    assert [it.path for row in offers.left_out for it in row.findings] == ["quotes.0.lines.1"]


def baicao_event(**changes: Any) -> bytes:
    given = {
        "eventNo": "E1", "orderNo": "ord_1", "state": "拒单", "claimKey": "k", "time": "2026-11-22 09:20:00",
        "cause": "", "lineNos": [], "takeCode": "",
    }  # fmt: skip
    return json.dumps(given | changes).encode()


def baicao_update(**changes: Any) -> Any:
    facts = manifest("chains", "baicao")
    return baicao.parse_update(baicao_event(**changes), facts.status_words, facts.causes)


def test_baicao_times_are_beijing_times() -> None:
    assert baicao_update().at == datetime(2026, 11, 22, 1, 20, tzinfo=UTC)


@pytest.mark.parametrize("time", ["2026-11-22T09:20:00Z", "2026-02-30 09:20:00", 1763774400, ""])
def test_another_form_of_time_is_not_guessed(time: object) -> None:
    with pytest.raises(InvalidPayload):
        baicao_update(time=time)


def test_a_cause_that_is_not_in_the_list_is_other() -> None:
    assert baicao_update(cause="无库存").reason == "out_of_stock"
    assert baicao_update(cause="").reason == ""
    assert baicao_update(cause="王先生 13812345678 不要了").reason == "other"


@pytest.mark.parametrize("lines", [[], None, "absent"])
def test_a_return_that_names_no_line_is_asked_back(lines: Any) -> None:
    words = manifest("chains", "ankang").status_words
    event = ankang_event() | {"status": "returned", "reason": "quality"} | ({} if lines == "absent" else {"lines": lines})
    if lines == "absent":
        del event["lines"]
    with pytest.raises(InvalidPayload) as caught:
        ankang.parse_update(json.dumps(event).encode(), words)
    assert [(it.rule, it.path) for it in caught.value.findings] == [("CHN-10" if lines is not None else "CHN-03", "lines")]
    with pytest.raises(InvalidPayload) as caught:
        baicao_update(state="已退药")
    assert [(it.rule, it.path) for it in caught.value.findings] == [("CHN-10", "lineNos")]
    assert ankang.parse_update(json.dumps(event | {"lines": [2]}).encode(), words).lines == (2,)


@pytest.mark.parametrize("event", ["王 13812345678", "", "a b", "e" * 65])
def test_an_event_id_is_no_free_text(event: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        baicao_update(eventNo=event)
    assert [it.path for it in caught.value.findings] == ["eventNo"]


@pytest.mark.parametrize(("theirs", "kept"), [
    ("AK-3F2A90C1", "AK-3F2A90C1"), ("BC000001", "BC000001"), ("订单 王小明", "withheld"), ("AK-13812345678", "withheld"),
    ("138-1234-5678", "withheld"), ("370102199001011234", "withheld"), ("37010219900101123X", "withheld"),
    ("20261122091000000001", "20261122091000000001"),
])  # fmt: skip
async def test_a_chains_number_is_kept_and_words_about_people_are_withheld(theirs: str, kept: str) -> None:
    answer = json.dumps({"reference": theirs, "status": "held"}).encode()
    assert (await chain_with("ankang", Replay(answer)).hold(order())).reference == kept
    answer = json.dumps({"code": 0, "msg": "", "data": {"bizNo": theirs, "state": "已预占"}}).encode()
    assert (await chain_with("baicao", Replay(answer)).hold(order())).reference == kept


@pytest.mark.parametrize("slug", ["ankang", "baicao"])
def test_the_package_says_what_the_prescriber_said(slug: str) -> None:
    body = {"ankang": ankang.order_body, "baicao": baicao.order_body}[slug](order()).decode()
    for words in ("首日半量，随餐", "漏服不补", "两周后复诊", "每次 500 mg，每日2次，口服，共 30 天"):
        assert words in body


def test_an_ankang_time_without_a_zone_is_refused() -> None:
    words = manifest("chains", "ankang").status_words
    assert ankang.parse_update(json.dumps(ankang_event()).encode(), words).status is ChainWord.ACCEPTED
    with pytest.raises(InvalidPayload):
        ankang.parse_update(json.dumps(ankang_event() | {"at": "2026-11-22T09:20:00"}).encode(), words)


def ankang_event() -> dict[str, Any]:
    return {
        "event_id": "E1", "order_id": "ord_1", "status": "accepted", "claim_secret": "k",
        "at": "2026-11-22T01:20:00+00:00", "reason": "", "lines": [], "pickup_code": "",
    }  # fmt: skip


async def test_a_cancel_of_a_declined_order_is_a_cancel() -> None:
    chain = chain_with("ankang", Replay(b'{"reference": "AK-1", "status": "declined"}'))
    assert (await chain.cancel("ord_1", "patient")).status is ChainWord.CANCELLED


async def test_a_cancel_that_left_the_order_alive_is_no_cancel() -> None:
    chain = chain_with("ankang", Replay(b'{"reference": "AK-1", "status": "accepted"}'))
    with pytest.raises(InvalidPayload) as caught:
        await chain.cancel("ord_1", "patient")
    assert caught.value.findings[0].rule == "CHN-08"


async def test_a_business_no_we_do_not_know_is_never_guessed() -> None:
    answer = Response(409, b'{"error": {"code": "full_moon", "message": ""}}')
    with pytest.raises(InvalidPayload):
        await chain_with("ankang", Replay(answer)).hold(order())
    with pytest.raises(InvalidPayload):
        await chain_with("baicao", Replay(b'{"code": 4999, "msg": "", "data": {}}')).hold(order())


async def test_a_busy_baicao_is_asked_later_and_a_broken_request_is_shown() -> None:
    with pytest.raises(Transient):
        await chain_with("baicao", Replay(b'{"code": 5000, "msg": "", "data": {}}')).hold(order())
    with pytest.raises(InvalidPayload) as caught:
        await chain_with("baicao", Replay(b'{"code": 4000, "msg": "", "data": {}}')).hold(order())
    assert caught.value.findings[0].rule == "CHN-07"


async def test_the_credentials_go_where_each_chain_wants_them() -> None:
    for slug, name, value in (("ankang", "authorization", "Bearer MARK-token"), ("baicao", "x-api-key", "MARK-token")):
        transport = Replay(b"{}")
        with pytest.raises(InvalidPayload):
            await chain_with(slug, transport).quote(ASKED, Handover.PICKUP, PLACE)
        assert transport.sent[0].headers[name] == value


async def test_an_order_id_cannot_leave_its_place_in_the_path() -> None:
    transport = Replay(Response(404))
    assert await chain_with("ankang", transport).find("../quotes?x") is None
    assert transport.sent[0].path == "/v1/orders/..%2Fquotes%3Fx"


# Callbacks

STAMP = str(int(NOW.timestamp()))
NONCE = "n" * 16
BODY = b'{"event_id": "E1"}'


def signed(timestamp: str = STAMP, nonce: str = NONCE, body: bytes = BODY) -> str:
    return wire.sign(CHAIN_SECRETS["callback"], timestamp, nonce, body)


@pytest.mark.parametrize("slug", ["ankang", "baicao"])
def test_a_signed_callback_is_believed(slug: str) -> None:
    chain_with(slug, Replay()).verify(STAMP, NONCE, BODY, signed(), NOW)


def test_the_signature_is_the_one_of_the_contract() -> None:
    assert wire.sign("secret", "1", "n", b"{}") == hmac.new(b"secret", b"1\nn\n{}", hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("timestamp", "nonce", "body", "signature"),
    [
        (STAMP, NONCE, BODY + b" ", signed()),
        (STAMP, "m" * 16, BODY, signed()),
        (str(int(STAMP) + 1), NONCE, BODY, signed()),
        (STAMP, NONCE, BODY, ""),
        (STAMP, NONCE, BODY, "é"),
        (STAMP, "n" * 15, BODY, signed(nonce="n" * 15)),
        (STAMP, "n" * 65, BODY, signed(nonce="n" * 65)),
        ("now", NONCE, BODY, signed(timestamp="now")),
        ("-1", NONCE, BODY, signed(timestamp="-1")),
        ("٣", NONCE, BODY, signed(timestamp="٣")),
        ("9" * 400, NONCE, BODY, signed(timestamp="9" * 400)),
    ],
)
def test_anything_else_is_a_bad_signature(timestamp: str, nonce: str, body: bytes, signature: str) -> None:
    with pytest.raises(Refused) as caught:
        chain_with("ankang", Replay()).verify(timestamp, nonce, body, signature, NOW)
    assert caught.value.code == "bad_signature"
    assert "MARK" not in str(caught.value)


@pytest.mark.parametrize(("seconds", "stale"), [(-600, False), (600, False), (-601, True), (601, True)])
def test_a_callback_is_accepted_for_ten_minutes_either_way(seconds: int, stale: bool) -> None:
    now, chain = NOW + timedelta(seconds=seconds), chain_with("ankang", Replay())
    if not stale:
        chain.verify(STAMP, NONCE, BODY, signed(), now)
        return
    with pytest.raises(Refused) as caught:
        chain.verify(STAMP, NONCE, BODY, signed(), now)
    assert caught.value.code == "stale"


@pytest.mark.parametrize(("change", "rule", "path"), [
    ({"store_id": None}, "CHN-03", "store_id"),
    ({"store_id": "一店"}, "CHN-03", "store_id"),
    ({"drugs": []}, "CHN-03", "drugs"),
    ({"drugs": "D001"}, "CHN-03", "drugs"),
    ({"drugs": ["D001"] * 501}, "CHN-03", "drugs"),
    ({"drugs": [""]}, "CHN-03", "drugs.0"),
    ({"at": "2026-11-22T09:20:00"}, "CHN-03", "at"),
    ({"event_id": "x" * 65}, "CHN-03", "event_id"),
])
def test_news_of_stock_that_breaks_the_contract_is_refused_with_its_place(change, rule, path) -> None:
    news = {"event_id": "e1", "store_id": "AK01", "drugs": ["D001"], "at": "2026-11-22T09:20:00+08:00"}
    assert ankang.parse_stock(json.dumps(news).encode()).drugs == ("D001",)
    with pytest.raises(InvalidPayload) as refused:
        ankang.parse_stock(json.dumps(news | change).encode())
    assert (rule, path) in [(fault.rule, fault.path) for fault in refused.value.findings]


def test_both_chains_say_the_same_of_their_stock() -> None:
    theirs = {"eventNo": "e1", "shopNo": "BC07", "drugCodes": ["D001", "D010"], "time": "2026-11-22 09:20:00"}
    assert baicao.parse_stock(json.dumps(theirs).encode()) == StockNotice("e1", "BC07", ("D001", "D010"))


ANKANG_PACK = {"line": 1, "code": "8" * 20, "lot": "L2606", "made_on": "2026-06-01", "expires_on": "2028-05-31", "units": 60}
BAICAO_PACK = {"lineNo": 1, "traceCode": "8" * 20, "batchNo": "L2606", "prodDate": "2026-06-01", "validTo": "2028-05-31", "qty": 60}


def scanned(**change: Any) -> tuple[Scan, Scan]:
    """The same row of both chains, with a change in the words of the first."""
    theirs = {BAICAO_PACK_OF[name]: value for name, value in change.items()}
    words = manifest("chains", "ankang").status_words
    ours = ankang.parse_update(json.dumps(ankang_event() | {"traces": [ANKANG_PACK | change]}).encode(), words).traces
    others = baicao_update(traceCodes=[BAICAO_PACK | theirs]).traces
    assert ours
    return ours[0], others[0]


BAICAO_PACK_OF = dict(zip(ANKANG_PACK, BAICAO_PACK, strict=True))


@pytest.mark.parametrize("change", [
    {"expires_on": 4102444800}, {"expires_on": "4102444800"}, {"made_on": 0}, {"made_on": "2026-06-01T00:00:00"},
    {"expires_on": "2028-05"}, {"expires_on": "２０２８-05-31"}, {"code": "8" * 19 + "\0"}, {"lot": "L\x002606"},
    {"lot": "L2606\x1d21"},
])
def test_a_row_whose_day_is_a_number_or_whose_text_has_control_characters_is_not_legible(change: dict[str, Any]) -> None:
    for scan in scanned(**change):
        assert (scan.line, scan.code, scan.units) == (1, "", 0)


def test_blanks_around_a_lot_do_not_hide_it_from_a_recall() -> None:
    assert {scan.lot for scan in scanned(lot=" L2606 ")} == {"L2606"}
    assert {scan.lot for scan in scanned(lot=" ")} == {""}


def test_no_word_of_a_chain_holds_a_control_character() -> None:
    with pytest.raises(InvalidPayload) as caught:
        baicao_update(orderNo="ord_\x001")
    assert [(it.rule, it.path) for it in caught.value.findings] == [("CHN-03", "orderNo")]
    with pytest.raises(InvalidPayload) as caught:
        ankang.parse_update(json.dumps(ankang_event() | {"order_id": "ord_\x001"}).encode(),
                            manifest("chains", "ankang").status_words)
    assert [(it.rule, it.path) for it in caught.value.findings] == [("CHN-03", "order_id")]
