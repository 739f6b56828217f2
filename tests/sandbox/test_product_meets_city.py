"""The product's own adapters against the sandbox on real sockets: two readings of one contract."""

import asyncio
import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters import registry
from adapters.messages import Reply
from domain import benefit
from domain.chains import ChainWord, Instructions, Label, OrderLine, PharmacyOrder, SettlementNotice
from domain.claims import Accumulators, Claim, ClaimLine, DayTotals, Identity
from domain.errors import InvalidPayload, OutcomeUnknown, Refused
from domain.money import Fen, fen, line_amount
from domain.prescription import Handover, Place
from infra.cities import load_knowledge, load_policy
from infra.http import open_client
from sandbox import ankang, baicao, benefits, huakang, insurer, jishi
from sandbox.plan import make_plan
from tests.support.sockets import serving, until

HERE = Place("370102", Decimal("36.67"), Decimal("117.03"))
CHAINS = [
    ("ankang", ankang, {"token": "ankang-token", "callback": "ankang-secret"}),
    ("baicao", baicao, {"token": "baicao-key", "callback": "baicao-secret"}),
]
EVERY_CHAIN = [*CHAINS, ("jishi", jishi, {"token": "jishi-token"})]
every_chain = pytest.mark.parametrize(("slug", "module", "secrets"), EVERY_CHAIN, ids=[slug for slug, _, _ in EVERY_CHAIN])
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = make_plan("jinan", 26, 5, NOW)


@pytest.fixture
async def line():
    client = open_client()
    yield lambda kind, slug, url: registry.transport(registry.manifest(kind, slug), url, client)
    await client.aclose()


async def order(chain, handover=Handover.PICKUP, drugs=(("D001", 60),), code="123456"):
    wanted = [OrderLine(number, drug, Decimal(quantity), "片") for number, (drug, quantity) in enumerate(drugs, 1)]
    quotes = [one for one in (await chain.quote(wanted, handover, HERE)).quotes if one.delivers and len(one.lines) == len(drugs)]
    return PharmacyOrder(
        "ord_1", "rx_1", chain.slug, quotes[0].store, quotes[0].lines, handover, HERE, "shh",
        hashlib.sha256(f"ord_1:{code}".encode()).hexdigest() if handover is Handover.PICKUP else "", Fen(100),
        {"name": "示范", "phone": "1", "address": "示范路"} if handover is Handover.HOME else {},
        Instructions(tuple(Label(line.line, "示范药", "每次 1 片") for line in quotes[0].lines)))


@pytest.mark.parametrize(("slug", "module", "secrets"), CHAINS, ids=["ankang", "baicao"])
async def test_a_chain_and_its_adapter_understand_each_other(setting, gateway, line, client, slug, module, secrets):
    listener, gateway_url = gateway
    async with serving(module.make_app(setting({"gateway": gateway_url}))) as url:
        chain = registry.load("chains", slug, line("chains", slug, url), secrets)
        given = await order(chain, drugs=(("D048", 28), ("D072", 28)))
        assert await chain.find("ord_1") is None
        held = await chain.hold(given)
        assert (held.status, await chain.hold(given)) == (ChainWord.HELD, held)
        placed = await chain.place(given)
        assert placed.reference == held.reference
        await until(lambda: any("prepared" in body.decode() or "已备药" in body.decode()
                                for _, _, body in listener.heard))
        counted = await client.post(f"{url}/counter/pickup", json={"order_id": "ord_1", "code": "123456"})
        assert counted.status_code == 200
        with pytest.raises(Refused) as no:
            await chain.cancel("ord_1", "other")
        assert no.value.code == "handed_over"
        fund = Fen(given.total - 100)
        await chain.notify_settled(SettlementNotice("ord_1", "S1", given.total, fund, Fen(0), Fen(100)))
        await until(lambda: any("quality" in body.decode() or "质量问题" in body.decode()
                                for _, _, body in listener.heard))
        updates = []
        for _, headers, body in listener.heard:
            chain.verify(headers["sanyi-timestamp"], headers["sanyi-nonce"], body, headers["sanyi-signature"],
                         datetime.now(UTC))
            updates.append(chain.parse_update(body))
        assert updates[-1].status is ChainWord.RETURNED
        assert (updates[-1].lines, updates[-1].reason) == ((2,), "quality")
        assert [update.pickup_code for update in updates if update.status is ChainWord.HANDED_OVER] == ["123456"]
        assert all(update.claim_secret == "shh" for update in updates)


async def test_a_polled_chain_and_its_adapter_understand_each_other(setting, line, client):
    async with serving(jishi.make_app(setting({}, {"duplicate_callback": 1}))) as url:
        chain = registry.load("chains", "jishi", line("chains", "jishi", url), {"token": "jishi-token"})
        wanted = await order(chain, drugs=(("D048", 28), ("D065", 28)))
        assert await chain.find("ord_1") is None
        held = await chain.hold(wanted)
        assert (held.status, await chain.hold(wanted)) == (ChainWord.HELD, held)
        assert (await chain.place(wanted)).reference == held.reference
        counted = None
        while counted is None or counted.status_code == 409:
            counted = await client.post(f"{url}/counter/pickup", json={"order_id": "ord_1", "code": "123456"})
        with pytest.raises(Refused) as no:
            await chain.cancel("ord_1", "other")
        assert no.value.code == "handed_over"
        await chain.notify_settled(SettlementNotice("ord_1", "S1", wanted.total, Fen(wanted.total - 100), Fen(0), Fen(100)))
        fetched = await chain.poll(50)
        assert [it.raw for it in fetched] == [it.raw for it in await chain.poll(50)], "nothing moves before it is in"
        updates = [chain.parse_update(it.raw) for it in fetched]
        assert [update.status for update in updates[::2]] == [ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.HANDED_OVER]
        assert [it.raw for it in fetched[::2]] == [it.raw for it in fetched[1::2]], "an update that comes twice has the same bytes"
        assert (updates[-1].pickup_code, updates[-1].claim_secret) == ("123456", "shh")
        assert [(scan.line, scan.units, len(scan.code)) for scan in updates[-1].traces] == [(1, 28, 20), (2, 28, 20)]
        for it in fetched:
            await chain.hand_back(it.ref, Reply(b'{"result": "applied"}'))
        assert await chain.poll(50) == []
        events = (await client.get(f"{url}/book")).json()["callbacks"]
        assert [(event["answer"], event["tries"]) for event in events] == [(200, 2)] * 6


async def test_a_chain_by_files_and_its_adapter_understand_each_other(setting, line, client, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    faults = {"duplicate_callback": 1, "broken_file_next": 2}
    async with serving(huakang.make_app(setting({"folder": folder.as_uri()}, faults))) as url:
        chain = registry.load("chains", "huakang", line("chains", "huakang", folder.as_uri()), {})
        updates, refused = {}, []

        async def take():
            for it in await chain.poll(50):
                try:
                    update = chain.parse_update(it.raw)
                    updates[update.event_id] = update
                    answer = Reply(b'{"result": "applied"}')
                except InvalidPayload as invalid:
                    refused.append(invalid.findings[0].rule)
                    why = [each.as_dict() for each in invalid.findings]
                    answer = Reply(json.dumps({"result": "invalid", "why": why}).encode(), 422)
                await chain.hand_back(it.ref, answer)

        async def heard(status):
            while status not in {update.status for update in updates.values()}:
                await take()
                await asyncio.sleep(0.05)

        await until(lambda: any(folder.joinpath("stock").glob("*.done")))
        await take()
        wanted = await order(chain, drugs=(("D032", 28), ("D065", 28)))
        held = await chain.hold(wanted)
        assert (held.status, await chain.hold(wanted)) == (ChainWord.HELD, held)
        assert (await chain.place(wanted)).reference == held.reference
        await heard(ChainWord.PREPARED)
        counted = await client.post(f"{url}/counter/pickup", json={"order_id": "ord_1", "code": "123456"})
        assert counted.status_code == 200
        await heard(ChainWord.HANDED_OVER)
        with pytest.raises(Refused) as no:
            await chain.cancel("ord_1", "other")
        assert no.value.code == "handed_over"
        assert (await chain.find("ord_1")).status is ChainWord.HANDED_OVER
        await chain.notify_settled(SettlementNotice("ord_1", "S1", wanted.total, Fen(wanted.total - 100), Fen(0), Fen(100)))
        book = (await client.get(f"{url}/book")).json()
        assert book["orders"][0]["settlement"]["settlement_id"] == "S1"
        last = next(update for update in updates.values() if update.status is ChainWord.HANDED_OVER)
        assert (last.pickup_code, last.claim_secret) == ("123456", "shh")
        assert [(scan.line, scan.units, len(scan.code)) for scan in last.traces] == [(1, 28, 20), (2, 28, 20)]
        assert len(book["broken"]) == 2
        assert refused, "a broken file is refused, and its events come again"
        assert list(folder.joinpath("requests").iterdir()) == []


async def test_a_malformed_request_is_a_fault_and_no_silence(setting, line):
    async with serving(jishi.make_app(setting())) as url:
        chain = registry.load("chains", "jishi", line("chains", "jishi", url), {"token": "jishi-token"})
        wanted = await order(chain)
        with pytest.raises(InvalidPayload) as broken:
            await chain.hold(dataclasses.replace(wanted, store="JS99"))
        assert [(it.rule, it.path) for it in broken.value.findings] == [("CHN-07", "Fault")]


@every_chain
async def test_a_lost_answer_is_unknown_and_then_found(setting, gateway, line, slug, module, secrets):
    faults = {"lose_answer_next": 1, "only": ["hold", "reserve", "LockStock"]}
    async with serving(module.make_app(setting({"gateway": gateway[1]}, faults))) as url:
        chain = registry.load("chains", slug, line("chains", slug, url), secrets)
        given = await order(chain, Handover.HOME)
        with pytest.raises(OutcomeUnknown):
            await chain.hold(given)
        found = await chain.find("ord_1")
        assert found is not None
        assert (found.status, found.reference) == (ChainWord.HELD, (await chain.place(given)).reference)


@every_chain
async def test_a_no_is_a_no(setting, gateway, line, slug, module, secrets):
    async with serving(module.make_app(setting({"gateway": gateway[1]}, {"out_of_stock_next": 1}))) as url:
        chain = registry.load("chains", slug, line("chains", slug, url), secrets)
        given = await order(chain)
        with pytest.raises(Refused) as no:
            await chain.hold(given)
        assert no.value.code == "out_of_stock"
        with pytest.raises(Refused) as no:
            await chain.place(given)
        assert no.value.code == "hold_expired"


def claim(payer, person, entitled, disease, drugs, sequence=1):
    prices = {**ankang.CHAIN.prices}
    lines = tuple(ClaimLine(number, drug, Decimal(28), prices[drug], fen(prices[drug] * 28), 28, "qd")
                  for number, drug in enumerate(drugs, 1))
    return Claim(
        payer.new_reference(NOW, sequence), f"rx_{sequence}", f"rx_{sequence}", entitled.psn_no, entitled.insutype,
        entitled.insured_place, disease, "14" if disease else "41", NOW, "D370100000001", lines,
        Identity(person["name"], person["id_number"]))


@pytest.fixture
async def payer(setting, line, tmp_path):
    DAY.save(tmp_path)
    (tmp_path / "insurer" / "people.json").rename(tmp_path / "people.json")
    async with serving(insurer.make_app(setting(faults={"lose_answer_next": 1, "only": ["2102"]}))) as url:
        yield registry.load("payers", "jinan_centre", line("payers", "jinan_centre", url),
                            {"paasid": "sanyi", "secret": "centre-secret"})


async def test_the_centre_and_its_adapter_understand_each_other(payer):
    person = next(one for one in DAY.people if "M03900" in one["diseases"])
    identity = Identity(person["name"], person["id_number"])
    entitled = await payer.entitlement(identity, person["insutype"], NOW)
    assert (entitled.psn_no, entitled.diseases) == (person["psn_no"], ("M03900",))
    given = claim(payer, person, entitled, "M03900", ("D032", "D048"))
    forecast = await payer.pre_settle(dataclasses.replace(given, reference=payer.new_reference(NOW, 2)))
    settled = await payer.settle(given)  # its first answer is lost; the same msgid brings it again
    assert settled == await payer.settle(given)
    assert dataclasses.replace(settled, settlement_id="", visit_id="") == dataclasses.replace(forecast, visit_id="")
    reversal = await payer.reverse(payer.new_reference(NOW, 3), settled.settlement_id, settled.visit_id,
                                   entitled.psn_no, entitled.insured_place, NOW)
    assert reversal not in ("", settled.settlement_id)
    with pytest.raises(Refused):
        await payer.reverse(payer.new_reference(NOW, 4), settled.settlement_id, settled.visit_id, entitled.psn_no,
                            entitled.insured_place, NOW)
    assert await payer.entitlement(identity, person["insutype"], NOW) == entitled
    today = (datetime.now(UTC).astimezone(insurer.BEIJING)).date()
    totals = DayTotals(person["insutype"], "41", "370100", today, today, Fen(0), Fen(0), Fen(0), 0)
    assert (await payer.reconcile(totals)).matched
    assert not (await payer.reconcile(dataclasses.replace(totals, fund=Fen(1)))).matched


async def test_a_stranger_is_not_insured(payer):
    with pytest.raises(Refused) as no:
        await payer.entitlement(Identity("示范", "370100199001010007"), "310", NOW)
    assert no.value.code == "not_insured"


@pytest.mark.parametrize("person", DAY.people, ids=lambda person: person["psn_no"])
@pytest.mark.parametrize("drugs", [("D032", "D048", "D065"), ("D018",), ("D086", "D172"), ("D072B",)])
@pytest.mark.parametrize("quantity", [28, 997])
def test_two_independent_computations_agree_to_the_fen(person, drugs, quantity):
    disease = next(iter(person["diseases"]), "")
    policy, catalogue = load_policy("jinan"), load_knowledge("jinan").catalogue
    city = insurer.City(insurer.CITIES / "jinan")
    price = Decimal("3.3333")
    terms, cap_key = city.terms(person, disease)
    assert terms is not None
    theirs = benefits.settle([benefits.Sold(city.drugs.get(drug), Decimal(quantity), price) for drug in drugs], terms,
                             insurer._standing(person, cap_key))
    chosen = next(one for one in policy.benefits if one.insutype == person["insutype"]
                  and one.scope == ("CHRONIC" if disease else "OUTPATIENT"))
    used = person["used"]
    ours = benefit.calculate(
        [benefit.BenefitLine(line_amount(price, Decimal(quantity)), Decimal(quantity), catalogue[drug].category,
                             catalogue[drug].first_selfpay, catalogue[drug].pay_standard) for drug in drugs],
        benefit.BenefitTerms.of(chosen, 3, person["psn_type"] == "12", policy.disease_caps.get(disease)), benefit.Insured(),
        Accumulators(fen(used["ded_used"]), fen(used["cap_used"].get(cap_key, "0")), fen(used["pool_used"]),
                     fen(used["sb_cum"]), fen(person["balance"])))
    assert {name: getattr(ours, name) for name in ("total", "own", "over", "deductible", "pool", "serious", "fund",
                                                   "account", "cash")} == {
        name: fen(getattr(theirs, name)) for name in ("total", "own", "over", "deductible", "pool", "serious", "fund",
                                                      "account", "cash")}
