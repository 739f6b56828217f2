"""A chain that speaks SOAP and is asked for its updates: what its answers may do, and when our place in its list moves."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import pytest

from adapters.chains.cursor import Cursor
from adapters.chains.jishi import translation
from adapters.messages import Reply
from adapters.registry import manifest
from domain.chains import ChainWord, Offers
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, Transient
from domain.prescription import Handover
from domain.trace import Scan
from infra.http import Request, Response
from tests.contracts.test_partners import chain_with
from tests.support.fakes import Replay
from tests.support.partner_examples import ASKED, CHAIN_SECRETS, PLACE, order

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NS = translation.NAMESPACE
DONE = Reply(b'{"result": "applied"}')


def enveloped(inner: str) -> bytes:
    return f'<s:Envelope xmlns:s="{SOAP}" xmlns="{NS}"><s:Body>{inner}</s:Body></s:Envelope>'.encode()


def response(operation: str, inner: str, code: str = "0") -> bytes:
    return enveloped(f"<{operation}Response><Code>{code}</Code>{inner}</{operation}Response>")


def fault(code: str) -> bytes:
    return enveloped(f'<s:Fault xmlns=""><faultcode>s:{code}</faultcode><faultstring>no</faultstring></s:Fault>')


def store(line: dict[str, str] | None = None, **changes: str) -> str:
    row = {"DrugCode": "D001", "Quantity": "60", "Price": "0.3100", "Amount": "18.60"} | (line or {})
    fields = {"StoreNo": "JS01", "Minutes": "18", "Load": "0.20", "OnTime": "0.96", "Quality": "0.98", "Delivers": "true",
              "Open": "true"} | changes
    return f"<Store>{written(fields)}<Line>{written(row)}</Line></Store>"


def written(fields: dict[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())


async def quoted(*stores: str) -> Offers:
    offers: Offers = await chain_with("jishi", Replay(response("QuoteStock", "".join(stores)))).quote(ASKED, Handover.HOME, PLACE)
    return offers


async def test_a_quote_is_taken_over_to_the_fen() -> None:
    (quote,) = (await quoted(store())).quotes
    assert (quote.total, quote.store, quote.minutes, quote.delivers, quote.open) == (1860, "JS01", 18, True, True)


async def test_no_store_is_no_offer() -> None:
    assert await quoted() == Offers()


@pytest.mark.parametrize(("row", "rule", "path"), [
    (store(line={"Amount": "18.61"}), "CHN-05", "Store.1.Line.0"),
    (store(line={"Amount": "18.600"}), "", ""),
    (store(line={"Amount": "18.601"}), "CHN-03", "Store.1.Line.0.Amount"),
    (store(line={"DrugCode": "D999"}), "CHN-06", "Store.1.Line.0"),
    (store(Delivers="yes"), "CHN-04", "Store.1.Delivers"),
    (store(Minutes="-1"), "CHN-03", "Store.1.Minutes"),
    (store(Minutes="1e3"), "CHN-03", "Store.1.Minutes"),
    (store().replace("<Minutes>18</Minutes>", ""), "CHN-02", "Store.1.Minutes"),
    (store().replace("<Minutes>18</Minutes>", "<Minutes>18</Minutes><Minutes>9</Minutes>"), "CHN-03", "Store.1.Minutes"),
    ("<Store/>", "CHN-03", "Store.1"),
])
async def test_a_store_that_breaks_the_contract_costs_no_other_its_offer(row: str, rule: str, path: str) -> None:
    offers = await quoted(store(StoreNo="JS02"), row)
    assert [quote.store for quote in offers.quotes] == ["JS02"] + ([] if rule else ["JS01"])
    faults = [fault for left_out in offers.left_out for fault in left_out.findings]
    assert [(it.rule, it.path) for it in faults] == ([(rule, path)] if rule else [])
    assert all(it.cure and it.cure_en for it in faults)


# What an answer may be


@pytest.mark.parametrize("body", [
    b'<!DOCTYPE s [<!ENTITY e "x">]><s/>', b"<a>" * 100, enveloped("<other/>"), enveloped(""), b"\xff",
    enveloped("<LockStockResponse xmlns='urn:else'><Code>0</Code></LockStockResponse>"),
    response("LockStock", "").replace(SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"),
    response("LockStock", "").replace(b"</s:Envelope>", b"<s:Body/></s:Envelope>")])
async def test_what_is_no_envelope_of_theirs_is_quarantined_with_its_place(body: bytes) -> None:
    with pytest.raises(InvalidPayload) as broken:
        await chain_with("jishi", Replay(body)).hold(order())
    assert [it.rule for it in broken.value.findings] == ["CHN-12"]
    assert all(it.path and it.spot and it.cure for it in broken.value.findings)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("code", ["Client", "Client.Schema", "VersionMismatch", "MustUnderstand"])
async def test_a_fault_of_our_request_is_shown_and_not_asked_for_again(status: int, code: str) -> None:
    transport = Replay(Response(status, fault(code)))
    with pytest.raises(InvalidPayload) as broken:
        await chain_with("jishi", transport).hold(order())
    assert [it.rule for it in broken.value.findings] == ["CHN-07"]
    assert transport.sent[0].considered(Response(500, fault(code)))


async def test_a_fault_of_their_server_leaves_a_hold_unknown_and_a_question_for_later() -> None:
    assert not Request("POST", "/").considered(Response(500, fault("Client")))
    for call, error in (("hold", OutcomeUnknown), ("find", Transient)):
        transport = Replay(Response(200, fault("Server")))
        chain = chain_with("jishi", transport)
        with pytest.raises(error):
            await (chain.hold(order()) if call == "hold" else chain.find("ord_sample1"))
        assert not transport.sent[0].considered(Response(500, fault("Server")))
        assert not transport.sent[0].considered(Response(500, b"oops"))


@pytest.mark.parametrize("status", [201, 302, 400, 404])
async def test_another_status_is_another_door(status: int) -> None:
    with pytest.raises(NeedsOperator):
        await chain_with("jishi", Replay(Response(status, response("LockStock", "")))).hold(order())


async def test_a_business_no_we_do_not_know_is_never_guessed() -> None:
    with pytest.raises(Refused) as no:
        await chain_with("jishi", Replay(response("LockStock", "", "N101"))).hold(order())
    assert no.value.code == "out_of_stock"
    for code, rule in (("N999", "CHN-04"), ("", "CHN-02")):
        with pytest.raises(InvalidPayload) as unknown:
            await chain_with("jishi", Replay(response("LockStock", "", code))).hold(order())
        assert [(it.rule, it.path) for it in unknown.value.findings] == [(rule, "Code")]


async def test_the_receiver_goes_along_for_home_delivery_only_and_a_control_character_does_not_break_the_envelope() -> None:
    for handover in Handover:
        wanted = order(handover)
        wanted.recipient["name"] = "〇\x00〇<"
        transport = Replay(response("PlaceOrder", "<BillNo>JS-1</BillNo><Status>PLACED</Status>"))
        assert (await chain_with("jishi", transport).place(wanted)).status is ChainWord.ORDERED
        sent = transport.sent[0].body.decode()
        assert ("Receiver" in sent) == (handover is Handover.HOME) == ("〇\ufffd〇&lt;" in sent)
        assert transport.sent[0].headers["soapaction"] == f'"{NS}#PlaceOrder"'
        assert CHAIN_SECRETS["token"] not in repr(transport.sent[0])


async def test_a_cancel_that_left_the_order_alive_is_no_cancel() -> None:
    for status, ends in (("REVOKED", True), ("REJECTED", True), ("PACKED", False)):
        chain = chain_with("jishi", Replay(response("CancelOrder", f"<BillNo>JS-1</BillNo><Status>{status}</Status>")))
        if ends:
            assert (await chain.cancel("ord_sample1", "patient")).status is ChainWord.CANCELLED
        else:
            with pytest.raises(InvalidPayload) as alive:
                await chain.cancel("ord_sample1", "patient")
            assert [it.rule for it in alive.value.findings] == ["CHN-08"]


# Updates


def update(packs: str = "", **changes: str) -> bytes:
    fields = {"EventNo": "ev-1", "OrderNo": "ord_1", "Status": "PACKED", "ClaimKey": "shh",
              "Time": "2026-11-22T09:20:00+08:00"} | changes
    return f'<Update xmlns="{NS}">{written(fields)}{packs}</Update>'.encode()


def read(raw: bytes) -> Any:
    facts = manifest("chains", "jishi")
    return translation.parse_update(raw, facts.status_words, facts.causes)


PACK = {"LineNo": "1", "TraceCode": "8" * 20, "LotNo": " L1 ", "MadeOn": "2026-07-03", "ExpiresOn": "2028-07-02", "Units": "28"}


def packed(**changes: str) -> str:
    return f"<Packs><Pack>{written(PACK | changes)}</Pack></Packs>"


def test_packs_are_read_and_their_absence_is_not_none_of_them() -> None:
    (scan,) = read(update(packed())).traces
    assert (scan.line, scan.code, scan.lot, scan.units, scan.expires_on.year) == (1, "8" * 20, "L1", 28, 2028)
    assert read(update("<Packs/>")).traces == ()
    assert read(update()).traces is None


@pytest.mark.parametrize("change", [{"ExpiresOn": "1816387200"}, {"MadeOn": "2026-07-03T00:00:00"}, {"LotNo": "L\t1"},
                                    {"Units": "2.5"}, {"TraceCode": "8" * 65}, {"Units": ""}])
def test_a_pack_that_cannot_be_read_is_a_finding_of_its_line_and_costs_no_update(change: dict[str, str]) -> None:
    assert read(update(packed(**change))).traces == (Scan(1, "", "", None, None, 0),)


@pytest.mark.parametrize(("change", "rule", "path"), [
    ({"Status": "DONE"}, "CHN-04", "Status"), ({"Status": "REFUNDED"}, "CHN-10", "ReturnedLine"),
    ({"Time": "1795310400"}, "CHN-03", "Time"), ({"Time": "2026-11-22T09:20:00"}, "CHN-03", "Time"),
    ({"EventNo": "张三 13800000000"}, "CHN-11", "EventNo"), ({"OrderNo": ""}, "CHN-03", "OrderNo"),
    ({"Cause": "a\tb"}, "CHN-03", "Cause")])
def test_an_update_that_breaks_the_contract_is_refused_with_place_and_cure(change: dict[str, str], rule: str, path: str) -> None:
    with pytest.raises(InvalidPayload) as broken:
        read(update(**change))
    assert [(it.rule, it.path) for it in broken.value.findings] == [(rule, path)]
    assert all(it.cure and it.cure_en for it in broken.value.findings)


def test_a_cause_that_is_not_in_the_list_is_other() -> None:
    reasons = [read(update(Status="REJECTED", Cause=cause)).reason for cause in ("NO_STOCK", "RAIN", "")]
    assert reasons == ["out_of_stock", "other", ""]


# The cursor


def test_the_cursor_moves_over_what_is_in_and_stops_before_what_is_not() -> None:
    cursor = Cursor()
    cursor.offered([3, 4, 7, 9])
    for position in (3, 7, 9):
        cursor.answered(position, DONE)
    assert list(cursor.passable()) == [3]
    cursor.passed(3)
    assert not cursor.passable()
    cursor.answered(4, DONE)
    assert list(cursor.passable()) == [4, 7, 9]


def test_what_another_process_passed_does_not_hold_the_cursor() -> None:
    cursor = Cursor()
    cursor.offered([1, 2])
    cursor.answered(2, DONE)
    cursor.offered([2, 3])
    assert list(cursor.passable()) == [2]


@dataclass
class Service:
    """Jishi's list of updates behind a transport, and the platform's place in it."""

    events: list[bytes]
    place: int = 0
    calls: list[str] = field(default_factory=list)
    refused: str = ""
    broken: str = ""
    """An operation whose answer is lost, once."""

    async def send(self, request: Request) -> Response:
        operation, body = request.operation.removeprefix("POST "), request.body.decode()
        self.calls.append(operation)
        if operation == "ConfirmUpdates":
            self.place = max(self.place, int(body.partition("Position>")[2].partition("<")[0]))
            self.refused = body.partition("<p:Refused>")[2].partition("</p:Refused>")[0]
            inner = ""
        else:
            after = body.partition("After>")[2].partition("<")[0]
            start = int(after) if after else self.place
            inner = "".join(f"<Entry><Position>{number}</Position>{event.decode()}</Entry>"
                            for number, event in enumerate(self.events, 1) if number > start)
        if operation == self.broken:
            self.broken = ""
            raise Transient("the line broke")
        return Response(200, response(operation, inner))


def service(count: int) -> tuple[Service, Any]:
    served = Service([update(EventNo=f"ev-{number}") for number in range(1, count + 1)])
    return served, chain_with("jishi", served)  # type: ignore[arg-type]


async def test_a_poll_that_dies_half_way_loses_nothing() -> None:
    served, chain = service(3)
    first, *_ = await chain.poll(50)
    await chain.hand_back(first.ref, DONE)
    again = chain_with("jishi", served)  # type: ignore[arg-type]
    assert [it.ref for it in await again.poll(50)] == ["1", "2", "3"]
    assert served.place == 0


async def test_the_place_moves_once_for_all_that_are_in_and_a_lost_confirmation_is_made_again() -> None:
    served, chain = service(3)
    for it in await chain.poll(50):
        await chain.hand_back(it.ref, DONE)
    served.broken = "ConfirmUpdates"
    with pytest.raises(Transient):
        await chain.poll(50)
    assert await chain.poll(50) == []
    assert (served.place, served.calls.count("ConfirmUpdates")) == (3, 2)


async def test_an_update_that_fails_holds_the_place_and_none_behind_it() -> None:
    served, chain = service(3)
    for it in (await chain.poll(50))[1:]:
        await chain.hand_back(it.ref, DONE)
    assert [it.ref for it in await chain.poll(50)] == ["1"]
    assert served.place == 0
    await chain.hand_back("1", DONE)
    assert await chain.poll(50) == []
    assert served.place == 3


async def test_the_chain_is_told_which_update_was_refused_by_which_rule_and_where() -> None:
    served, chain = service(2)
    broken = b'{"result": "invalid", "why": [{"rule": "CHN-04", "path": "Status", "cure": "\xe6\x94\xb9"}]}'
    await chain.poll(50)
    await chain.hand_back("1", DONE)
    await chain.hand_back("2", Reply(broken, 422))
    await chain.poll(50)
    assert served.place == 2
    for part in ("<p:Position>2</p:Position>", "<p:Rule>CHN-04</p:Rule>", "<p:Place>Status</p:Place>", "<p:Cure>改</p:Cure>"):
        assert part in served.refused


async def test_the_same_update_has_the_same_bytes_wherever_it_stands() -> None:
    served, chain = service(1)
    served.events.append(served.events[0])
    first, second = await chain.poll(50)
    assert first.raw == second.raw
    assert (first.ref, second.ref) == ("1", "2")
    assert chain.parse_update(first.raw).at == datetime(2026, 11, 22, 1, 20, tzinfo=UTC)


@pytest.mark.parametrize("position", ["", "-1", "x", "1.5"])
async def test_an_entry_without_a_position_is_quarantined(position: str) -> None:
    body = response("PullUpdates", f"<Entry><Position>{position}</Position>{update().decode()}</Entry>")
    with pytest.raises(InvalidPayload) as broken:
        await chain_with("jishi", Replay(body)).poll(10)
    assert [(it.rule, it.path) for it in broken.value.findings] == [("CHN-03", "Entry.0.Position")]


@pytest.mark.parametrize("entry", [
    "<Entry><Position>1</Position><Position>2</Position>{update}</Entry>",
    '<Entry xmlns=""><Position>1</Position>{update}</Entry>'])
async def test_an_entry_that_is_not_as_agreed_is_never_passed_over_in_silence(entry: str) -> None:
    body = response("PullUpdates", entry.format(update=update().decode()))
    with pytest.raises(InvalidPayload):
        await chain_with("jishi", Replay(body)).poll(10)


@pytest.mark.parametrize("updates", ["", update().decode() + update(EventNo="ev-2").decode(), '<Update xmlns=""/>'])
async def test_an_entry_with_none_or_with_two_updates_is_refused_whole(updates: str) -> None:
    chain = chain_with("jishi", Replay(response("PullUpdates", f"<Entry><Position>1</Position>{updates}</Entry>")))
    (fetched,) = await chain.poll(10)
    with pytest.raises(InvalidPayload) as broken:
        chain.parse_update(fetched.raw)
    assert [(it.rule, it.path) for it in broken.value.findings] == [("CHN-12", "Update")]
    assert b"Entry" in fetched.raw, "the archive has what was refused"


@pytest.mark.parametrize("inner", ["<Code>OUT_OF_STOCK</Code>", "<Code>0</Code>"])
async def test_of_two_codes_in_an_answer_neither_counts(inner: str) -> None:
    with pytest.raises(InvalidPayload) as broken:
        await quoted(inner)
    assert [(it.rule, it.path) for it in broken.value.findings] == [("CHN-03", "Code")]
