"""The day's plan against the product's own checker and audit: each ending is caused by content, and by nothing else."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.dialects import fhir_r4
from domain.audit import audit, resolve
from domain.claims import Accumulators, Entitlement
from domain.findings import Severity
from domain.money import fen
from fhir_profiles.checker import check_data
from fhir_profiles.reader import read_bundle_data
from infra.cities import load_knowledge, load_policy
from sandbox import ankang, baicao, shopkeeper
from sandbox.dialects import Line, fhir
from sandbox.people import resident_id
from sandbox.plan import RECALLED, ROUND, SCENARIOS, Plan, make_plan

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
DAY = make_plan("jinan", 60, 7, NOW)


def message(written):
    return fhir_r4.to_fhir(written).resource


def admitted(planned):
    bundle = message(speaker.prescription(planned.facts))
    assert check_data(bundle, planned.facts.hospital) == []
    return read_bundle_data(bundle, planned.facts.hospital, lambda _: "pt_1").prescription


speaker = fhir.Speaker(Line("any", "http://127.0.0.1:1", {}, {"TOKEN": "t", "REPORT_TOKEN": "r"}, lambda key, report: None))


def audited(planned, now=NOW):
    rx = admitted(planned)
    who = DAY.people[DAY.prescriptions.index(planned)]
    entitled = Entitlement(
        who["psn_no"], who["insutype"], "370100", who["psn_type"] == "12", False, True, tuple(who["diseases"]),
        Accumulators(fen(who["used"]["ded_used"]), fen(who["used"]["cap_used"].get(rx.coverage.disease_code, "0")),
                     fen(who["used"]["pool_used"])))
    return audit(resolve(rx, at=now, knowledge=load_knowledge("jinan"), policy=load_policy("jinan"), entitlement=entitled,
                         hospital_level=3, hospital_contracted=True))


def test_the_same_arguments_give_the_same_day_and_another_seed_another_one():
    assert make_plan("jinan", 60, 7, NOW) == DAY
    assert make_plan("jinan", 60, 8, NOW).prescriptions != DAY.prescriptions


def test_every_scenario_is_there_from_one_round_on():
    assert {planned.scenario for planned in make_plan("jinan", ROUND, 1, NOW).prescriptions} == set(SCENARIOS)
    assert len(make_plan("jinan", 5, 1, NOW).prescriptions) == 5


def test_sixty_prescriptions_are_a_fair_day():
    counts = Counter(planned.scenario for planned in DAY.prescriptions)
    assert sum(counts.values()) == 60
    assert counts["settled_pickup"] + counts["settled_home"] == 17
    assert counts["split"] == counts["shop"] == 2
    assert counts["part"] == counts["chosen"] == counts["unchosen"] == 1
    assert counts["refused"] == counts["declined"] == 5
    assert sum(counts[name] for name in counts if name.startswith("cancelled")) == 4


@pytest.mark.parametrize("planned", DAY.prescriptions, ids=lambda planned: f"{planned.external_id}-{planned.scenario}")
def test_every_message_keeps_the_contract_and_the_audit_sees_what_was_meant(planned):
    if planned.cancel_key:
        cancel = message(speaker.cancel(planned.facts, planned.cancel_key, NOW))
        assert check_data(cancel, planned.facts.hospital) == []
    found = [(finding.severity, finding.code) for finding in audited(planned) if finding.severity is not Severity.INFO]
    said = [(Severity.WARN, "ALLERGY_UNKNOWN")] * bool(planned.facts.allergy_words)
    said += [(Severity.SELFPAY, "OWN_EXPENSE") for medicine in planned.facts.medicines if medicine.approval == "2"]
    said = [(Severity.WARN, "PIECES_UNJUDGED")] * planned.scenario.startswith("tcm") + said
    if planned.scenario == "refused":
        assert Severity.BLOCK in {severity for severity, _ in found}
    elif planned.scenario == "returned":
        assert found == [(Severity.WARN, "OFF_LABEL")]
    else:
        assert found == said


def test_a_hospital_says_everything_that_the_day_holds():
    for planned in DAY.prescriptions:
        rx, facts = admitted(planned), planned.facts
        assert (rx.prescriber.department, rx.prescriber.department_name, rx.prescriber.title, rx.visit.number) == (
            facts.department, facts.department_name, facts.title, facts.visit_number)
        assert (rx.valid_days, rx.valid_reason, rx.note) == (facts.valid_days, facts.valid_reason, facts.note)
        assert (rx.patient.allergy_words, rx.patient.no_known_allergies) == (facts.allergy_words, facts.no_known_allergies)
        assert [(one.directions, one.note, one.approval) for one in rx.items] == [
            (one.directions, one.note, one.approval) for one in facts.medicines]


def test_the_broken_messages_are_broken_and_the_conflicts_are_not():
    for number, facts in enumerate(DAY.broken, 1):
        assert check_data(message(speaker.broken(facts, 2 - number % 2)), facts.hospital)
    assert {one.facts.hospital for one in DAY.prescriptions if one.key in DAY.conflicts} == set(DAY.hospitals)
    for planned in DAY.prescriptions:
        if planned.key in DAY.conflicts:
            first, other = speaker.prescription(planned.facts), speaker.changed(planned.facts)
            assert first != other
            assert message(first)["identifier"] == message(other)["identifier"]
            assert check_data(message(other), planned.facts.hospital) == []


def test_those_that_expire_have_little_time_left_and_come_first():
    first = DAY.prescriptions[0]
    assert first.scenario == "expired"
    rx = admitted(first)
    assert rx.valid_until - NOW == timedelta(seconds=40)


def test_a_day_says_what_doctors_say_and_truly():
    facts = [planned.facts for planned in DAY.prescriptions]
    medicines = [(medicine, one) for one in facts for medicine in one.medicines]
    assert all(one.department and one.department_name and one.title and one.visit_number for one in facts)
    assert {one.valid_days for one in facts} == {1, 2, 3}
    assert all(bool(one.valid_reason) == (one.valid_days > 1) for one in facts)
    assert any(one.note for one in facts)
    assert any(medicine.note for medicine, _ in medicines)
    assert all(medicine.directions for medicine, _ in medicines)
    assert any(one.allergy_words for one in facts)
    assert any(one.no_known_allergies for one in facts)
    assert not any(one.allergy_words and one.no_known_allergies for one in facts)
    assert any(not one.allergy_words and not one.no_known_allergies for one in facts)
    restricted = {row.drug for row in load_knowledge("jinan").restrictions}
    assert {medicine.approval for medicine, _ in medicines if medicine.drug not in restricted} == {None, "0", "2"}
    assert {medicine.approval for medicine, _ in medicines if medicine.drug == "D054"} <= {None, "1"}
    small = make_plan("jinan", 45, 1, NOW).prescriptions
    assert any(one.facts.allergy_words for one in small)
    assert any(one.facts.valid_days > 1 for one in small)
    assert any(medicine.approval == "2" for one in small for medicine in one.facts.medicines)


def test_stock_and_habits_bring_the_endings_about():
    def drugs(scenario):
        return {drug for case in SCENARIOS[scenario].cases for drug in case.drugs}

    near, far = set(ankang.CHAIN.prices), set(baicao.CHAIN.prices)
    assert drugs("settled_pickup") | drugs("settled_home") <= near & far
    assert not drugs("expired") & (near | far)
    assert not (drugs("shop") | drugs("courier")) & (near | far)
    assert drugs("chosen") | drugs("unchosen") <= near & far
    assert drugs("shop") <= set(shopkeeper.STOCK["LL01"])
    carried = drugs("courier") | drugs("courier_again") | drugs("courier_back") | drugs("courier_lost")
    assert carried <= set(shopkeeper.STOCK["LL02"])
    assert drugs("recalled") == drugs("recalled_under_way") == {RECALLED} <= far - near
    assert baicao.CHAIN.habits[RECALLED] == "recall"
    assert drugs("cancelled_fulfilling") <= near - far
    assert not (drugs("settled_pickup") | drugs("settled_home")) & set(ankang.CHAIN.habits)
    for drug in drugs("declined") | drugs("silent"):
        assert ankang.CHAIN.prices[drug] < baicao.CHAIN.prices[drug]


def test_no_chain_sells_above_the_ceiling():
    catalogue = load_knowledge("jinan").catalogue
    for chain in (ankang.CHAIN, baicao.CHAIN):
        for drug, price in chain.prices.items():
            assert price <= catalogue[drug].ceiling
    for shelf in (*shopkeeper.STOCK.values(), *shopkeeper.VISITED.values()):
        assert all(Decimal(price) <= catalogue[drug].ceiling for drug, (_, price) in shelf.items())


def test_a_saved_plan_is_the_same_plan(tmp_path):
    DAY.save(tmp_path)
    assert Plan.load(tmp_path).prescriptions == DAY.prescriptions
    for hospital in DAY.hospitals:
        assert Plan.load(tmp_path / hospital) == DAY.of(hospital)
    assert json.loads((tmp_path / "insurer" / "people.json").read_text(encoding="utf-8")) == list(DAY.people)


def test_nobody_can_be_recognised_in_the_repr_of_a_plan():
    shown = repr(DAY)
    for planned in DAY.prescriptions:
        who = planned.facts
        assert not [word for word in (who.name, who.id_number, who.phone, who.address) if word in shown]


def test_resident_ids_have_their_check_digit():
    assert resident_id("110105", datetime(1949, 12, 31, tzinfo=UTC).date(), 2) == "11010519491231002X"


def test_no_two_people_share_a_number():
    numbers = [person["id_number"] for person in make_plan("jinan", 500, 3, NOW).people]
    assert len(set(numbers)) == 500
