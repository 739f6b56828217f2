"""The examination passes the simulated chains, and names the requirement that a broken one fails."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.kit.exam import examine as exam_module
from adapters.kit.exam.__main__ import DRUGS, document, exam_of, wanted
from adapters.kit.exam.examine import PATIENT, Exam, Judged, examine
from adapters.kit.exam.requirements import REQUIREMENTS, page
from domain.chains import ChainWord
from domain.errors import NeedsOperator
from infra.http import open_client
from sandbox import ankang, baicao, callbacks, huakang, jishi, updates
from sandbox.chain import Broken, No
from sandbox.conformance import __main__ as command
from sandbox.conformance.report import as_html
from sandbox.pharmacy import Pharmacy
from sandbox.processes import ROOT
from tests.support.sockets import free_port, serving

MODULES: dict[str, ModuleType] = {"ankang": ankang, "baicao": baicao, "jishi": jishi, "huakang": huakang}
SECRETS = {"ankang": {"token": "ankang-token", "callback": "ankang-secret"}, "jishi": {"token": "jishi-token"}, "huakang": {},
           "baicao": {"token": "baicao-key", "callback": "baicao-secret"}}


@asynccontextmanager
async def examined(slug: str, setting: Callable[..., Any], faults: dict[str, Any], patience: float,
                   line: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> AsyncIterator[tuple[Exam, list[Judged]]]:
    """A simulated chain, examined over a real line in this process."""
    port = free_port()
    settings = setting({"gateway": f"http://127.0.0.1:{port}"}, faults)
    folder = settings.state / "shared"
    folder.mkdir()
    client = open_client()

    async def decline_next() -> None:
        settings.faults.update({"sold_out_next": 1})

    async with serving(line(MODULES[slug].make_app(settings))) as url:
        exam = exam_of(slug, folder.as_uri() if slug == "huakang" else url, client, SECRETS[slug], str(port),
                       wanted=wanted(DRUGS), decline_next=decline_next,
                       patience=patience)
        try:
            yield exam, await examine(exam)
        finally:
            exam.ear.close()
    await client.aclose()


def failed(judged: list[Judged]) -> dict[str, str]:
    return {result.requirement.id: result.seen.en for result in judged if not result.passed}


@pytest.mark.parametrize("slug", MODULES)
async def test_a_simulated_chain_passes_every_requirement_of_its_way(setting, slug):
    async with examined(slug, setting, {}, 60) as (exam, judged):
        assert failed(judged) == {}
        assert [it.requirement.id for it in judged] == [it.id for it in REQUIREMENTS if not it.ways or exam.ear.way in it.ways]
        told = json.dumps(document(exam, judged, exam.recorder.exchanges[0].at, 1.0), ensure_ascii=False)
        assert not [word for word in (*PATIENT.values(), *SECRETS[slug].values(), exam.main.claim_secret) if word in told]
        html = as_html(json.loads(told))
        assert "通过 passed" in html
        assert "K-23" in html
    # A hold of the examination is let go again: what was ordered is delivered or declined.
    assert exam.statuses(exam.main) >= {ChainWord.HANDED_OVER}


# What each broken chain does wrong


def a_store_quotes_a_fen_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def quoted(*args: Any) -> Any:
        *others, last = quote(*args)
        return [*others, replace(last, lines=tuple(replace(line, amount_fen=line.amount_fen + 1) for line in last.lines))]

    quote = Pharmacy.quote
    monkeypatch.setattr(Pharmacy, "quote", quoted)


def new_reference_each_time(verb: str) -> Callable[[pytest.MonkeyPatch], None]:
    def flaw(monkeypatch: pytest.MonkeyPatch) -> None:
        real, numbers = getattr(Pharmacy, verb), iter(range(1000))
        monkeypatch.setattr(Pharmacy, verb, lambda *args, **more: real(*args, **more) | {"reference": f"X-{next(numbers)}"})

    return flaw


def takes_other_content(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Pharmacy.hold
    monkeypatch.setattr(Pharmacy, "hold", lambda self, order_id, *args: self.book.get("order", order_id) or hold(
        self, order_id, *args))


def forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pharmacy, "find", lambda self, order_id: _no("unknown_order"))


def knows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    find = Pharmacy.find
    monkeypatch.setattr(Pharmacy, "find", lambda self, order_id: (self.book.get("order", order_id) and find(self, order_id)) or {
        "reference": "X-1", "status": ChainWord.HELD})


def counts_no_money(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Pharmacy._check_lines
    monkeypatch.setattr(Pharmacy, "_check_lines", lambda self, store, lines: check(
        self, store, [replace(line, amount_fen=int(line.unit_price * line.quantity * 100 + line.unit_price.__class__("0.5")))
                      for line in lines]))


def any_store(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Pharmacy.hold
    monkeypatch.setattr(Pharmacy, "hold", lambda self, order_id, store, lines: hold(
        self, order_id, store if store in self.stores else self.chain.stores[0].id, lines))


def says_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Pharmacy.hold

    def held(self: Pharmacy, *args: Any) -> Any:
        try:
            return hold(self, *args)
        except No as no:
            raise No("closed" if no.code == "out_of_stock" else no.code) from None

    monkeypatch.setattr(Pharmacy, "hold", held)


def cancels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cancel = Pharmacy.cancel
    monkeypatch.setattr(Pharmacy, "cancel", lambda self, order_id, reason: cancel(self, order_id, reason) if (
        self.book.get("order", order_id) or {}).get("status") != ChainWord.CANCELLED else _no("unknown_order"))


def cancels_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    cancel = Pharmacy.cancel
    monkeypatch.setattr(Pharmacy, "cancel", lambda self, order_id, reason: cancel(self, order_id, reason) if self.book.get(
        "order", order_id) else {"reference": "X-1", "status": ChainWord.CANCELLED})


def cancels_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel(self: Pharmacy, order_id: str, reason: str) -> Any:
        order = self.find(order_id)
        return order | {"status": ChainWord.CANCELLED} if order["prescription_id"] else real(self, order_id, reason)

    real = Pharmacy.cancel
    monkeypatch.setattr(Pharmacy, "cancel", cancel)


def declines_for_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Pharmacy._close
    monkeypatch.setattr(Pharmacy, "_close", lambda self, order, to, reason: close(
        self, order, to, "" if to is ChainWord.DECLINED else reason))


def does_not_tell_of_the_courier(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Pharmacy._tell
    monkeypatch.setattr(Pharmacy, "_tell", lambda self, order, status: None if status is ChainWord.IN_DELIVERY else tell(
        self, order, status))


def scans_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pharmacy, "_scan", lambda self, order: order.update(traces=[]))


def scans_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Pharmacy._scan

    def scanned(self: Pharmacy, order: Any) -> None:
        scan(self, order)
        order["traces"][0]["units"] -= 1

    monkeypatch.setattr(Pharmacy, "_scan", scanned)


def tells_once(monkeypatch: pytest.MonkeyPatch) -> None:
    post = callbacks.Callbacks._post

    async def posted(self: callbacks.Callbacks, *args: Any) -> int | None:
        await post(self, *args)
        return 200

    monkeypatch.setattr(callbacks.Callbacks, "_post", posted)


def writes_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(1000))
    monkeypatch.setattr(callbacks, "_json", lambda body: json.dumps(body | {"try": next(numbers)}).encode())


def signs_with_another_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    make = callbacks.Callbacks.__init__
    monkeypatch.setattr(callbacks.Callbacks, "__init__", lambda self, url, secret, *args: make(self, url, "other", *args))


def never_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates.Updates, "confirm", lambda *_: None)


def moves_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pull, confirm = updates.Updates.pull, updates.Updates.confirm

    def pulled(self: updates.Updates, after: int | None, most: int) -> Any:
        entries = pull(self, after, most)
        if entries:
            confirm(self, entries[-1][0], {})
        return entries

    monkeypatch.setattr(updates.Updates, "pull", pulled)


def settles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settlement = Pharmacy.settlement

    def settled(self: Pharmacy, order_id: str, *args: Any, **more: Any) -> None:
        if self.find(order_id)["settlement"]:
            raise Broken("settlement_id")
        settlement(self, order_id, *args, **more)

    monkeypatch.setattr(Pharmacy, "settlement", settled)


def numbers_after_the_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Pharmacy.hold
    monkeypatch.setattr(Pharmacy, "hold", lambda *args: hold(*args) | {"reference": f"X-{PATIENT['phone']}"})


def exports_no_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huakang.Desk, "export", lambda self: None)


def exports_by_a_slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(datetime):
        @classmethod
        def now(cls, zone: Any = None) -> "Slow":
            return super().now(zone) - timedelta(hours=5)

    monkeypatch.setattr(huakang, "datetime", Slow)


def puts_formulas_into_its_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    as_rows = huakang.as_rows
    monkeypatch.setattr(huakang, "as_rows", lambda body: [row | {"时间": "=NOW()"} for row in as_rows(body)])


def renames_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huakang, "UPDATE", tuple("追溯编码" if name == "追溯码" else name for name in huakang.UPDATE))


def takes_half_for_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def checked(raw: bytes, order_id: str, kind: str) -> list[dict[str, str]]:
        try:
            return real(raw, order_id, kind)
        except (Broken, ValueError):
            return [{"门店编号": "HK01", "行号": "1", "药品编码": "D001", "数量": "1", "单位": "片", "单价": "0.3020",
                     "金额": "0.30"}]

    real = huakang._checked
    monkeypatch.setattr(huakang, "_checked", checked)


def _no(code: str) -> Any:
    raise No(code)


FLAWS = [
    (a_store_quotes_a_fen_more, "K-02"), (new_reference_each_time("hold"), "K-03"), (takes_other_content, "K-04"),
    (forgets, "K-05"),
    (knows_everything, "K-06"), (new_reference_each_time("order"), "K-07"), (counts_no_money, "K-08"), (any_store, "K-09"),
    (says_closed, "K-11"), (cancels_once, "K-12"), (cancels_anything, "K-13"), (declines_for_no_reason, "K-15"),
    (does_not_tell_of_the_courier, "K-16"), (scans_nothing, "K-17"), (scans_too_little, "K-17"), (cancels_what_is_gone, "K-21"),
    (settles_once, "K-22"), (numbers_after_the_patient, "K-23")]
CALLING = [(tells_once, "K-18"), (writes_it_anew, "K-18"), (signs_with_another_secret, "K-19")]
POLLED = [(never_moves, "K-20"), (moves_when_asked, "K-18")]
BY_FILES = [
    (exports_no_stock, "K-24"), (exports_by_a_slow_clock, "K-24"), (puts_formulas_into_its_updates, "K-16"),
    (renames_a_column, "K-16"), (takes_half_for_a_whole, "K-10"), (takes_other_content, "K-04"),
    (scans_too_little, "K-17")]
CASES = [(("ankang", "jishi")[number % 2], *case) for number, case in enumerate(FLAWS)] + [
    ("baicao", *case) for case in CALLING] + [("jishi", *case) for case in POLLED] + [
    ("huakang", *case) for case in BY_FILES]


@pytest.mark.parametrize(("slug", "flaw", "requirement"), CASES,
                         ids=[f"{slug}-{rule}-{flaw.__name__}" for slug, flaw, rule in CASES])
async def test_a_broken_chain_fails_the_requirement_that_it_breaks(setting, monkeypatch, slug, flaw, requirement):
    flaw(monkeypatch)
    async with examined(slug, setting, {}, 3) as (_, judged):
        assert requirement in failed(judged), failed(judged)
        assert len(failed(judged)) < 8 or requirement == "K-24", "without stock nothing else can be examined"


class Line:
    """Between the examination and a chain; what it does to a request is the flaw."""

    def __init__(self, app: ASGIApp, headers: dict[bytes, bytes] | None = None) -> None:
        self.app, self.headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.headers and scope["type"] == "http":
            scope["headers"] = [(name, self.headers.get(name, value)) for name, value in scope["headers"]]
        await self.app(scope, receive, send if self.headers else lambda message: self._silent(message, send))

    async def _silent(self, message: Message, send: Send) -> None:
        if message["type"] == "http.response.start" and message["status"] == 400:
            message = message | {"status": 502}
        await send(message)


async def test_a_chain_that_quotes_to_strangers_is_named(setting):
    right = {b"authorization": b"Bearer ankang-token"}
    async with examined("ankang", setting, {}, 20, lambda app: Line(app, right)) as (_, judged):
        assert list(failed(judged)) == ["K-14"]


async def test_a_chain_that_breaks_down_over_a_malformed_request_is_named(setting):
    async with examined("ankang", setting, {}, 20, Line) as (_, judged):
        assert "K-10" in failed(judged)
        assert "OutcomeUnknown" in failed(judged)["K-10"]


async def test_a_late_quote_is_named(setting, monkeypatch):
    monkeypatch.setattr(exam_module, "QUOTE_SECONDS", 0.01)
    async with examined("baicao", setting, {"delay_ms": [50, 50]}, 20) as (_, judged):
        assert list(failed(judged)) == ["K-01"]


async def test_a_clock_that_is_off_is_named(setting):
    async with examined("jishi", setting, {"wrong_time": 1}, 20) as (_, judged):
        assert list(failed(judged)) == ["K-16"]


def test_every_requirement_has_a_broken_chain_that_fails_it():
    elsewhere = {"K-01", "K-10", "K-14"}
    assert {rule.id for rule in REQUIREMENTS} == {rule for _, _, rule in CASES} | elsewhere
    assert all(rule.cure.zh and rule.cure.en for rule in REQUIREMENTS)
    assert (ROOT / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8").endswith(page())


async def test_shops_that_work_from_our_pages_have_nothing_to_examine():
    client = open_client()
    with pytest.raises(NeedsOperator, match="no interface"):
        exam_of("linli", "http://127.0.0.1:1", client, {}, wanted=wanted(DRUGS))
    await client.aclose()


def test_the_command_says_what_is_missing(capsys):
    assert command.main(["linli"]) == 2
    assert "--endpoint" in capsys.readouterr().err
    with pytest.raises(SystemExit) as no:
        command.main(["nobody"])
    assert "jishi" in str(no.value)
