"""What every partner promises. A new folder is under test because it exists."""

import asyncio
import importlib
import inspect
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from adapters import protocols, registry
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, RxError, Transient
from domain.orders import OrderStatus
from infra.http import UNANSWERED, Response
from tests.contracts.examples import CHAIN_CALLS, CHAIN_SECRETS, MARKS, PAYER_CALLS, PAYER_SECRETS
from tests.fakes import Replay

KINDS: tuple[registry.Kind, ...] = ("hospitals", "chains", "payers")
EVERYONE = [(kind, slug) for kind in KINDS for slug in registry.slugs(kind)]
CHAINS = registry.slugs("chains")
PAYERS = registry.slugs("payers")
HOSPITALS = registry.slugs("hospitals")

NOT_REPEATABLE = ("hold", "place", "place_home", "cancel")
NONSENSE = (b"", b"<rx/>", b"[]", b"null", b"{}", b'{"code":0,"data":null}', b'{"infcode":0,"output":[]}', b"\xff")


def samples(kind: str, slug: str) -> Path:
    return registry.HERE / kind / slug / "samples"


def sample(kind: str, slug: str, name: str) -> dict[str, Any]:
    given: dict[str, Any] = json.loads((samples(kind, slug) / f"{name}.json").read_text(encoding="utf-8"))
    return given


def recorded(kind: str, slug: str, name: str) -> Response:
    answer = sample(kind, slug, name)["answer"]
    body = b"" if answer["body"] is None else json.dumps(answer["body"], ensure_ascii=False).encode()
    return Response(answer["status"], body)


def chain_with(slug: str, transport: Replay) -> Any:
    return registry.load("chains", slug, transport, CHAIN_SECRETS)


def payer_with(slug: str, transport: Replay) -> Any:
    return registry.load("payers", slug, transport, PAYER_SECRETS)


def payer_answers(slug: str, infno: str) -> list[Response]:
    return [recorded("payers", slug, it) for it in ("9001", infno, *(["5301"] if infno == "1101" else []))]


def says_nothing(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        text = repr(seen) + str(seen) + repr(getattr(seen, "findings", ""))
        assert not [mark for mark in MARKS if mark in text]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


# Everyone


def test_there_are_partners_to_test() -> None:
    assert CHAINS
    assert PAYERS


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_every_manifest_loads(kind: Any, slug: str) -> None:
    facts = registry.manifest(kind, slug)
    assert facts.slug == slug
    assert facts.name
    assert facts.name_en
    assert facts.owner


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_every_partner_has_samples(kind: str, slug: str) -> None:
    assert [it for it in samples(kind, slug).rglob("*") if it.is_file()]


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_a_missing_secret_is_named_before_anything_is_sent(kind: Any, slug: str) -> None:
    with pytest.raises(NeedsOperator, match=slug):
        registry.load(kind, slug, Replay(), {})


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_no_manifest_holds_a_secret_or_an_address(kind: str, slug: str) -> None:
    text = (registry.HERE / kind / slug / "manifest.toml").read_text(encoding="utf-8").lower()
    assert not re.search(r"token|password|secret\s*=|https?://", text)


# Chains


@pytest.mark.parametrize("slug", CHAINS)
def test_the_map_of_status_words_is_total(slug: str) -> None:
    assert set(registry.manifest("chains", slug).status_words.values()) == set(OrderStatus)


@pytest.mark.parametrize("slug", CHAINS)
def test_every_promised_refusal_has_a_word(slug: str) -> None:
    promised = {"out_of_stock", "closed", "hold_expired", "handed_over", "in_delivery", "unknown_order"}
    assert set(registry.manifest("chains", slug).refusals.values()) == promised


@pytest.mark.parametrize("slug", CHAINS)
@pytest.mark.parametrize("name", CHAIN_CALLS)
async def test_every_call_sends_what_was_recorded_and_understands_the_answer(slug: str, name: str) -> None:
    transport = Replay(recorded("chains", slug, name))
    call = CHAIN_CALLS[name](chain_with(slug, transport))
    if name.endswith("refused"):
        with pytest.raises(Refused) as caught:
            await call
        assert caught.value.code in ("out_of_stock", "handed_over")
    else:
        answer = await call
        assert (answer is None) == (name in ("settled", "find_unknown"))
    sent, request = transport.sent[0], sample("chains", slug, name)["request"]
    assert (sent.method, sent.path) == (request["method"], request["path"])
    assert (json.loads(sent.body) if sent.body else None) == request["body"]
    assert sent.repeatable == (name.removesuffix("_refused") not in NOT_REPEATABLE)


@pytest.mark.parametrize("slug", CHAINS)
def test_every_callback_sample_becomes_an_update(slug: str) -> None:
    bodies = sorted(samples("chains", slug).glob("callbacks/*.json"))
    updates = [chain_with(slug, Replay()).parse_update(it.read_bytes()) for it in bodies]
    expected = {"accepted", "prepared", "in_delivery", "handed_over", "declined", "returned"}
    assert expected == {it.status.value for it in updates}
    assert all(it.event_id and it.order_id and it.claim_secret and it.at.tzinfo for it in updates)
    assert {it.reason for it in updates if it.status is OrderStatus.DECLINED} == {"out_of_stock"}


@pytest.mark.parametrize("slug", CHAINS)
@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize("name", [it for it in CHAIN_CALLS if it != "settled"])
async def test_a_nonsense_answer_is_quarantined(slug: str, name: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload) as caught:
        await CHAIN_CALLS[name](chain_with(slug, Replay(Response(200, body))))
    assert caught.value.findings
    assert all(it.path and it.rule.startswith("C-") for it in caught.value.findings)


@pytest.mark.parametrize("slug", CHAINS)
@pytest.mark.parametrize("body", NONSENSE)
def test_a_nonsense_callback_is_quarantined(slug: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload) as caught:
        chain_with(slug, Replay()).parse_update(body)
    assert caught.value.findings


@pytest.mark.parametrize("slug", CHAINS)
@pytest.mark.parametrize("name", ["hold", "place", "find", "cancel"])
async def test_an_unknown_status_word_in_an_answer_is_never_guessed(slug: str, name: str) -> None:
    text = json.dumps(sample("chains", slug, name)["answer"]["body"], ensure_ascii=False)
    words = registry.manifest("chains", slug).status_words
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(f'"{word}"', '"MARK-word"')
    assert "MARK-word" in text
    with pytest.raises(InvalidPayload) as caught:
        await CHAIN_CALLS[name](chain_with(slug, Replay(text.encode())))
    assert caught.value.findings[0].rule == "C-04"
    says_nothing(caught.value)


@pytest.mark.parametrize("slug", CHAINS)
@pytest.mark.parametrize("name", NOT_REPEATABLE)
async def test_a_lost_answer_leaves_the_outcome_unknown(slug: str, name: str) -> None:
    transport = Replay(OutcomeUnknown("the line broke"))
    with pytest.raises(OutcomeUnknown):
        await CHAIN_CALLS[name](chain_with(slug, transport))
    assert len(transport.sent) == 1
    assert not transport.sent[0].repeatable


@pytest.mark.parametrize("slug", CHAINS)
@pytest.mark.parametrize("status", [301, 404, 405, 418])
async def test_a_door_that_is_none_is_for_a_person(slug: str, status: int) -> None:
    with pytest.raises(NeedsOperator):
        await CHAIN_CALLS["hold"](chain_with(slug, Replay(Response(status, b"MARK"))))


@pytest.mark.parametrize("slug", CHAINS)
async def test_no_error_repr_or_log_of_a_chain_holds_a_secret_or_a_person(
    slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broken = [Response(status, body) for status in (200, 400, 404, 409) for body in (*NONSENSE, b'{"MARK":"MARK"}')]
    for name, call in CHAIN_CALLS.items():
        for answer in (recorded("chains", slug, name), *broken):
            transport = Replay(answer)
            adapter = chain_with(slug, transport)
            try:
                outcome = await call(adapter)
            except RxError as error:
                says_nothing(error)
            else:
                assert "MARK" not in repr(outcome)
            assert "MARK" not in repr(adapter) + repr(transport.sent)
    assert "MARK" not in caplog.text


@pytest.mark.parametrize("slug", CHAINS)
def test_no_callback_shows_its_secrets(slug: str) -> None:
    for file in samples("chains", slug).glob("callbacks/*.json"):
        adapter = chain_with(slug, Replay())
        body = file.read_bytes()
        assert b"MARK" in body
        assert "MARK" not in repr(adapter.parse_update(body))
        for broken in (body.replace(b'"ord_', b'{"ord_', 1), body.replace(b"MARK", b"MARK" * 30)):
            try:
                adapter.parse_update(broken)
            except InvalidPayload as error:
                says_nothing(error)


# Payers


@pytest.mark.parametrize("slug", PAYERS)
@pytest.mark.parametrize("infno", PAYER_CALLS)
async def test_every_transaction_sends_what_was_recorded_and_understands_the_answer(slug: str, infno: str) -> None:
    transport = Replay(*payer_answers(slug, infno))
    assert await PAYER_CALLS[infno](payer_with(slug, transport))
    for sent in transport.sent:
        envelope = json.loads(sent.body)
        assert envelope["input"] == sample("payers", slug, envelope["infno"])["request"]["body"]["input"]
        assert len(envelope["msgid"]) == 30


@pytest.mark.parametrize("slug", PAYERS)
@pytest.mark.parametrize("infno", PAYER_CALLS)
@pytest.mark.parametrize("body", NONSENSE)
async def test_a_nonsense_answer_of_the_fund_is_quarantined(slug: str, infno: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload) as caught:
        await PAYER_CALLS[infno](payer_with(slug, Replay(recorded("payers", slug, "9001"), Response(200, body))))
    assert caught.value.findings


@pytest.mark.parametrize("slug", PAYERS)
@pytest.mark.parametrize("infno", ["2102", "2103"])
async def test_silence_about_money_leaves_the_outcome_unknown_and_a_repeat_is_the_same_request(
    slug: str, infno: str
) -> None:
    silence = Transient("no answer", code=UNANSWERED)
    transport = Replay(recorded("payers", slug, "9001"), silence, recorded("payers", slug, infno))
    payer = payer_with(slug, transport)
    with pytest.raises(OutcomeUnknown):
        await PAYER_CALLS[infno](payer)
    assert await PAYER_CALLS[infno](payer)
    first, second = (json.loads(it.body) for it in transport.sent[1:])
    assert (first["msgid"], first["input"]) == (second["msgid"], second["input"])


@pytest.mark.parametrize("slug", PAYERS)
async def test_no_error_repr_or_log_of_a_payer_holds_a_secret_or_a_person(
    slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    no = [b'{"infcode":-1,"err_msg":"[%s] MARK P0000000001"}' % it for it in (b"PERSON", b"CLAIM", b"FIELD", b"WHAT")]
    for call in PAYER_CALLS.values():
        for body in (*NONSENSE, *no, b'{"infcode":-1,"err_msg":"MARK"}', b'{"infcode":0,"MARK":1}'):
            transport = Replay(recorded("payers", slug, "9001"), body)
            payer = payer_with(slug, transport)
            with pytest.raises(RxError) as caught:
                await call(payer)
            says_nothing(caught.value)
            assert not [mark for mark in MARKS if mark in repr(payer) + repr(transport.sent)]
    assert "MARK" not in caplog.text


# Hospitals


@pytest.mark.skipif(not HOSPITALS, reason="no hospital folder yet")
def test_every_invalid_sample_is_in_the_index() -> None:
    for slug in HOSPITALS:
        folder = samples("hospitals", slug) / "invalid"
        if not folder.is_dir():
            pytest.fail(f"{slug}: samples/invalid is missing; a hospital's mistakes are samples too")
        named = {it.name for it in folder.iterdir() if it.suffix in (".json", ".xml") and it.stem != "index"}
        index = next(folder.glob("index.*"))
        text = index.read_text(encoding="utf-8")
        assert named
        assert not [name for name in named if name not in text and Path(name).stem not in text]


# All adapters keep their Protocol, to the name of a parameter


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_every_adapter_has_the_verbs_of_its_protocol(kind: str, slug: str) -> None:
    promised = {"hospitals": protocols.Hospital, "chains": protocols.Chain, "payers": protocols.Payer}[kind]
    adapter = importlib.import_module(f"adapters.{kind}.{slug}.adapter").Adapter
    for name, verb in inspect.getmembers(promised, inspect.isfunction):
        if name.startswith("_"):
            continue
        own = getattr(adapter, name)
        assert list(inspect.signature(own).parameters) == list(inspect.signature(verb).parameters), name
        assert asyncio.iscoroutinefunction(own) == asyncio.iscoroutinefunction(verb), name
