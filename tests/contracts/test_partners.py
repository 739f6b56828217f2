"""What every partner promises. A new folder is under test because it exists."""

import asyncio
import csv
import importlib
import inspect
import json
import logging
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from adapters import protocols, registry
from adapters.kit import samples as folders
from adapters.kit.suggest import is_ours
from adapters.messages import Message, Outcome, Unmapped, Verdict
from domain.chains import ChainWord
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, RxError, Transient
from domain.findings import Finding
from fhir_profiles.checker import check_data
from fhir_profiles.reader import read_bundle_data, read_cancel_data
from infra.cities import load_knowledge
from infra.http import UNANSWERED, Response
from tests.support.fakes import Replay
from tests.support.partner_examples import AT, CHAIN_CALLS, CHAIN_SECRETS, MARKS, PAYER_CALLS, PAYER_SECRETS

KINDS: tuple[registry.Kind, ...] = ("hospitals", "chains", "couriers", "payers")
EVERYONE = [(kind, slug) for kind in KINDS for slug in registry.slugs(kind)]
CHAINS = registry.slugs("chains")
WIRED = [slug for slug in CHAINS if not registry.manifest("chains", slug).shops]
"""Chains that are talked to. The others work from our pages: what they promise is in `test_chains_of_pages`."""
PAYERS = registry.slugs("payers")
HOSPITALS = registry.slugs("hospitals")

NOT_REPEATABLE = ("hold", "place", "place_home", "cancel")
NONSENSE = (b"", b"<rx/>", b"[]", b"null", b"{}", b'{"code":0,"data":null}', b'{"infcode":0,"output":[]}', b"\xff")


def adapter_class(kind: str, slug: str) -> Any:
    return importlib.import_module(f"adapters.{kind}.{slug}.adapter").Adapter


def samples(kind: str, slug: str) -> Path:
    return registry.HERE / kind / slug / "samples"


def sample(kind: str, slug: str, name: str) -> dict[str, Any]:
    given: dict[str, Any] = json.loads((samples(kind, slug) / f"{name}.json").read_text(encoding="utf-8"))
    return given


def recorded(kind: str, slug: str, name: str) -> Response:
    answer = sample(kind, slug, name)["answer"]
    return Response(answer["status"], as_sent(answer["body"]))


def as_sent(body: Any) -> bytes:
    """The bytes of a body in a sample: JSON as it is, XML or CSV as a list of its lines."""
    if isinstance(body, list):
        return "\n".join(body).encode()
    return b"" if body is None else json.dumps(body, ensure_ascii=False).encode()


def says(body: bytes) -> Any:
    """What a body says, however it is laid out."""
    text = body.decode("utf-8-sig")
    if text.startswith("<"):
        return ElementTree.canonicalize(text, strip_text=True)
    if text.startswith('"'):
        return list(csv.reader(text.splitlines()))
    return json.loads(text) if text else None


def words_of(slug: str) -> list[Path]:
    """A chain's own words about an order: callbacks, or the updates it is asked for."""
    return sorted(it for folder in ("callbacks", "updates") for it in samples("chains", slug).glob(f"{folder}/*"))


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
    if kind == "chains" and slug not in WIRED:
        pytest.skip("nothing is exchanged with it")
    assert [it for it in samples(kind, slug).rglob("*") if it.is_file()]


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_a_missing_secret_is_named_before_anything_is_sent(kind: Any, slug: str) -> None:
    if not importlib.import_module(f"adapters.{kind}.{slug}.adapter").Adapter.SECRETS:
        pytest.skip("a folder of files has none")
    with pytest.raises(NeedsOperator, match=slug):
        registry.load(kind, slug, Replay(), {})


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_no_manifest_holds_a_secret_or_an_address(kind: str, slug: str) -> None:
    text = (registry.HERE / kind / slug / "manifest.toml").read_text(encoding="utf-8").lower()
    assert not re.search(r"token|password|secret\s*=|https?://", text)


# Chains


@pytest.mark.parametrize("slug", CHAINS)
def test_the_map_of_status_words_is_total(slug: str) -> None:
    assert set(registry.manifest("chains", slug).status_words.values()) == set(ChainWord)


@pytest.mark.parametrize("slug", CHAINS)
def test_every_promised_refusal_has_a_word(slug: str) -> None:
    promised = {"out_of_stock", "closed", "hold_expired", "handed_over", "in_delivery", "unknown_order"}
    assert set(registry.manifest("chains", slug).refusals.values()) == promised


@pytest.mark.parametrize("slug", WIRED)
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
    assert says(sent.body) == says(as_sent(request["body"]))
    assert sent.repeatable == (name.removesuffix("_refused") not in NOT_REPEATABLE)


@pytest.mark.parametrize("slug", WIRED)
def test_every_sample_of_its_word_becomes_an_update(slug: str) -> None:
    updates = [chain_with(slug, Replay()).parse_update(it.read_bytes()) for it in words_of(slug)]
    expected = {"accepted", "prepared", "in_delivery", "handed_over", "declined", "returned"}
    assert expected == {it.status.value for it in updates}
    assert all(it.event_id and it.order_id and it.claim_secret and it.at.tzinfo for it in updates)
    assert {it.reason for it in updates if it.status is ChainWord.DECLINED} == {"out_of_stock"}


@pytest.mark.parametrize("slug", WIRED)
@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize("name", [it for it in CHAIN_CALLS if it != "settled"])
async def test_a_nonsense_answer_is_quarantined(slug: str, name: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload) as caught:
        await CHAIN_CALLS[name](chain_with(slug, Replay(Response(200, body))))
    assert caught.value.findings
    assert all(it.path and it.rule.startswith("CHN-") for it in caught.value.findings)


@pytest.mark.parametrize("slug", WIRED)
@pytest.mark.parametrize("body", NONSENSE)
def test_a_nonsense_callback_is_quarantined(slug: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload) as caught:
        chain_with(slug, Replay()).parse_update(body)
    assert caught.value.findings


@pytest.mark.parametrize("slug", WIRED)
@pytest.mark.parametrize("name", ["hold", "place", "find", "cancel"])
async def test_an_unknown_status_word_in_an_answer_is_never_guessed(slug: str, name: str) -> None:
    text = recorded("chains", slug, name).body.decode()
    words = registry.manifest("chains", slug).status_words
    for word in words:
        text = re.sub(f'(?<=[">]){re.escape(word)}(?=["<])', "MARK-word", text)
    assert "MARK-word" in text
    with pytest.raises(InvalidPayload) as caught:
        await CHAIN_CALLS[name](chain_with(slug, Replay(text.encode())))
    assert caught.value.findings[0].rule == "CHN-04"
    says_nothing(caught.value)


@pytest.mark.parametrize("slug", WIRED)
@pytest.mark.parametrize("name", NOT_REPEATABLE)
async def test_a_lost_answer_leaves_the_outcome_unknown(slug: str, name: str) -> None:
    transport = Replay(OutcomeUnknown("the line broke"))
    with pytest.raises(OutcomeUnknown):
        await CHAIN_CALLS[name](chain_with(slug, transport))
    assert len(transport.sent) == 1
    assert not transport.sent[0].repeatable


@pytest.mark.parametrize("slug", WIRED)
@pytest.mark.parametrize("status", [301, 404, 405, 418])
async def test_a_door_that_is_none_is_for_a_person(slug: str, status: int) -> None:
    with pytest.raises(NeedsOperator):
        await CHAIN_CALLS["hold"](chain_with(slug, Replay(Response(status, b"MARK"))))


@pytest.mark.parametrize("slug", WIRED)
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


@pytest.mark.parametrize("slug", WIRED)
def test_no_callback_shows_its_secrets(slug: str) -> None:
    for file in words_of(slug):
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

VALID = [(slug, one) for slug in HOSPITALS for one in folders.valid(slug)]
INVALID = [(slug, one) for slug in HOSPITALS for one in folders.invalid(slug)]
GARBAGE = (*NONSENSE, b"MSH|^~\\&|\r", b"\x00" * 64, "姓名,证件号\r\n".encode("gb18030"), b"PK\x03\x04", b"<a>" * 5000, b"[" * 5000)
AGREED = Verdict(Outcome.ACCEPTED, AT, "any", "rx_abcdefghij234567", "RX0001", "received")


def read_as(slug: str, one: folders.Sample) -> tuple[Message | None, list[Finding]]:
    """What intake makes of a sample: the message, and everything wrong with it, each in its place."""
    try:
        message = folders.reader(slug).to_fhir(one.raw, folders.tables(slug))
    except InvalidPayload as invalid:
        return None, list(invalid.findings)
    found = [*message.findings, *check_data(message.resource, slug)]
    return message, [replace(it, spot=it.spot or message.locate(it.path)) for it in found]


def people(slug: str) -> set[str]:
    """Names and numbers of the people in a hospital's samples."""
    found: set[str] = set()
    for one in folders.valid(slug):
        message, _ = read_as(slug, one)
        for entry in message.resource.get("entry", []) if message else []:
            who = entry["resource"]
            if who["resourceType"] == "Patient":
                found |= {it["value"] for it in (*who.get("identifier", []), *who.get("telecom", []))}
                found |= {it["text"] for it in (*who.get("name", []), *who.get("address", [])) if it.get("text")}
    return found


@pytest.mark.parametrize(("slug", "one"), VALID, ids=[f"{slug}-{one.name}" for slug, one in VALID])
def test_a_valid_sample_is_translated_checked_and_read(slug: str, one: folders.Sample) -> None:
    message, findings = read_as(slug, one)
    assert [(it.code, it.path, str(it.spot)) for it in findings] == []
    assert message is not None
    assert message.key, "a message without a key cannot be repeated"
    if message.kind == "Task":
        assert read_cancel_data(message.resource).external_id
    else:
        admitted = read_bundle_data(message.resource, slug, lambda number: "p")
        assert admitted.prescription.hospital == slug
        assert admitted.prescription.items


@pytest.mark.parametrize(("slug", "one"), VALID, ids=[f"{slug}-{one.name}" for slug, one in VALID])
def test_a_valid_sample_has_no_code_that_nobody_mapped(slug: str, one: folders.Sample) -> None:
    message, _ = read_as(slug, one)
    assert message is not None
    assert [(it.table, it.theirs, it.name) for it in message.unmapped] == [], f"run ./go map {slug}"


@pytest.mark.parametrize(("slug", "one"), INVALID, ids=[f"{slug}-{one.name}" for slug, one in INVALID])
def test_an_invalid_sample_causes_the_finding_of_the_index_in_its_place(slug: str, one: folders.Sample) -> None:
    assert one.finding, f"samples/invalid/index.toml says nothing about {one.name}"
    _, findings = read_as(slug, one)
    assert one.finding in [it.code for it in findings]
    assert all(it.rule and it.text and it.text_en for it in findings)
    assert [it for it in findings if it.code == one.finding and (it.path or it.spot)]
    told = "".join(repr(it) for it in findings)
    assert not [secret for secret in people(slug) if secret in told]


@pytest.mark.parametrize("slug", HOSPITALS)
def test_the_index_names_every_invalid_sample_and_no_other(slug: str) -> None:
    where = folders.folder(slug) / "samples" / "invalid"
    assert where.is_dir(), f"{slug}: samples/invalid is missing; a hospital's mistakes are samples too"
    index = tomllib.loads((where / "index.toml").read_text(encoding="utf-8"))
    assert index.keys() == {it.name for it in folders.invalid(slug)}


@pytest.mark.parametrize("slug", HOSPITALS)
def test_the_samples_hold_a_prescription_and_a_cancel(slug: str) -> None:
    kinds = {message.kind for one in folders.valid(slug) if (message := read_as(slug, one)[0])}
    assert kinds == {"Bundle", "Task"}


@pytest.mark.parametrize("slug", HOSPITALS)
def test_the_same_bytes_are_the_same_message(slug: str) -> None:
    for one in folders.valid(slug):
        first, second = read_as(slug, one)[0], read_as(slug, one)[0]
        assert first is not None
        assert second is not None
        assert (first.key, first.resource, first.context) == (second.key, second.resource, second.context)


@pytest.mark.parametrize("slug", HOSPITALS)
@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_what_is_no_message_is_refused_with_findings_and_answered(slug: str, number: int) -> None:
    message, findings = read_as(slug, folders.Sample("garbage", GARBAGE[number]))
    assert findings
    refused = Verdict(Outcome.REFUSED, AT, slug, findings=findings)
    assert folders.reader(slug).answer(message, refused).body


@pytest.mark.parametrize("slug", HOSPITALS)
def test_every_outcome_has_an_answer_of_its_own_that_says_nothing_about_a_person(slug: str) -> None:
    one = next(it for it in folders.valid(slug) if (message := read_as(slug, it)[0]) and message.kind == "Bundle")
    message, _ = read_as(slug, one)
    _, findings = read_as(slug, folders.invalid(slug)[0])
    said = {}
    for verdict in (AGREED, replace(AGREED, outcome=Outcome.REFUSED, prescription_id="", findings=findings),
                    replace(AGREED, outcome=Outcome.CONFLICT, findings=findings[:1]),
                    replace(AGREED, outcome=Outcome.WAITING, prescription_id="", unmapped=[Unmapped("drug", "X1", "某药")])):
        reply = folders.reader(slug).answer(message, verdict)
        assert reply.body == folders.reader(slug).answer(message, verdict).body
        assert not [secret for secret in people(slug) if secret.encode() in reply.body]
        said[reply.body] = verdict.outcome
    assert len(said) == 4


@pytest.mark.parametrize("slug", HOSPITALS)
def test_every_accepted_code_is_one_of_ours_and_somebody_accepted_it(slug: str) -> None:
    knowledge = load_knowledge("jinan")
    for file in (folders.folder(slug) / "mapping").glob("*.csv"):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                where = f"{slug}/mapping/{file.name}: {row['theirs']}"
                if row["ours"]:
                    assert is_ours(knowledge, file.stem, row["ours"]), f"{where}: {row['ours']} is no code of ours"
                    assert row["accepted_by"], f"{where}: nobody accepted it"
                    assert date.fromisoformat(row["accepted_on"]), where


# All adapters keep their Protocol, to the name of a parameter


PROTOCOLS: Mapping[str, type] = {"hospitals": protocols.Hospital, "chains": protocols.Chain, "couriers": protocols.Courier,
                                  "payers": protocols.Payer}
CAPABILITIES: tuple[type, ...] = (protocols.WritesUpdates, protocols.CallsBack, protocols.Polled, protocols.Boxed,
                                  protocols.WorksFromPages)
PROMISES = [(kind, slug, PROTOCOLS[kind]) for kind, slug in EVERYONE] + [
    (kind, slug, capability) for kind, slug in EVERYONE for capability in CAPABILITIES
    if issubclass(adapter_class(kind, slug), capability)] + [
    ("couriers", slug, protocols.TellsDeliveries) for slug in registry.slugs("couriers")]


def keeps(adapter: type, promised: type) -> None:
    """Every verb, by the same parameters, and asynchronous where the promised one is."""
    for name, verb in inspect.getmembers(promised, inspect.isfunction):
        if name.startswith("_"):
            continue
        own = getattr(adapter, name)
        assert list(inspect.signature(own).parameters) == list(inspect.signature(verb).parameters), name
        assert asyncio.iscoroutinefunction(own) == asyncio.iscoroutinefunction(verb), name


@pytest.mark.parametrize(("kind", "slug", "promised"), PROMISES,
                         ids=[f"{slug}-{promised.__name__}" for _, slug, promised in PROMISES])
def test_every_adapter_has_the_verbs_of_its_protocol_and_of_its_capabilities(kind: str, slug: str, promised: type) -> None:
    keeps(adapter_class(kind, slug), promised)


@pytest.mark.parametrize(("kind", "slug"), EVERYONE)
def test_no_adapter_has_half_a_capability(kind: str, slug: str) -> None:
    """One that has `poll` and no `hand_back` would never be polled, and nothing would say so."""
    adapter = adapter_class(kind, slug)
    for capability in CAPABILITIES:
        own = [name for name, verb in inspect.getmembers(capability, inspect.isfunction)
               if not name.startswith("_") and name in vars(capability)]
        assert len({hasattr(adapter, name) for name in own}) == 1, capability.__name__


def test_every_capability_is_some_adapters() -> None:
    assert {promised for _, _, promised in PROMISES} == {*PROTOCOLS.values(), *CAPABILITIES, protocols.TellsDeliveries}


@pytest.mark.parametrize("slug", CHAINS)
def test_a_chains_word_has_a_way_to_us(slug: str) -> None:
    """It calls back, it is polled and its bytes can be read, or its people enter it on our pages."""
    adapter = adapter_class("chains", slug)
    assert issubclass(adapter, protocols.CallsBack | protocols.WorksFromPages) or (
        issubclass(adapter, protocols.Polled) and issubclass(adapter, protocols.WritesUpdates))
    assert issubclass(adapter, protocols.WorksFromPages) == (slug not in WIRED)


def test_no_two_partners_share_a_slug() -> None:
    """Addresses, secrets and polls go by the slug alone."""
    assert [slug for slug, times in Counter(slug for _, slug in EVERYONE).items() if times > 1] == []
