"""`./go --live`: its arguments, its trickle, the words of its progress and the command it prints."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.dialects import fhir_r4
from fhir_profiles.checker import check_data
from sandbox import live
from sandbox.city import Pharmacists
from sandbox.day import _arguments
from sandbox.dialects import fhir
from sandbox.plan import HOSPITALS, ROUND, SCENARIOS, Plan, Trickle, samples

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
SENDERS = tuple(HOSPITALS["jinan"])


def trickle(seed=7, beginning=24):
    return Trickle("jinan", beginning, seed, NOW, 1200, SENDERS)


def test_a_live_city_has_defaults_of_its_own_and_a_day_keeps_its():
    alive, day = _arguments(["--live"]), _arguments([])
    assert (alive.prescriptions, alive.per_second, alive.pharmacists) == (live.BEGINNING, live.PER_SECOND, 1)
    assert (day.prescriptions, day.per_second, day.live) == (60, 8, False)
    given = _arguments(["--live", "--pharmacists", "0", "--per-second", "0.5", "--seed", "3"])
    assert (given.pharmacists, given.per_second, given.seed) == (0, 0.5, 3)


@pytest.mark.parametrize(("arguments", "about"), [
    (["--pharmacists", "1"], "--pharmacists"), (["--live", "--pharmacists", "3"], "--pharmacists"),
    (["--live", "--pharmacists", "-1"], "--pharmacists"), (["--live", "--keep"], "--keep"),
    (["--live", "--per-second", "0"], "--per-second"), (["--per-second", "-1"], "--per-second"),
    (["--per-second", "nan"], "--per-second"), (["--live", "--per-second", "inf"], "--per-second"),
    (["--live", "--prescriptions", "0"], "--prescriptions"), (["--live", "--city", "atlantis"], "--city"),
], ids=" ".join)
def test_arguments_that_make_no_sense_are_refused_by_name(arguments, about, capsys):
    with pytest.raises(SystemExit) as end:
        _arguments(arguments)
    assert end.value.code == 2
    assert about in capsys.readouterr().err.splitlines()[-1]


def test_a_trickle_never_ends_and_nobody_comes_twice():
    going = trickle()
    more = [going.next(NOW + timedelta(seconds=20 * number)) for number in range(300)]
    planned = [*going.beginning.prescriptions, *(one for plan in more for one in plan.prescriptions)]
    people = [*going.beginning.people, *(someone for plan in more for someone in plan.people)]
    assert len({one.external_id for one in planned}) == len({one.key for one in planned}) == len(planned) == 324
    assert len({one.facts.id_number for one in planned}) == len({someone["psn_no"] for someone in people}) == 324
    assert [one.facts.id_number for one in planned] == [someone["id_number"] for someone in people]


def test_the_same_seed_gives_the_same_trickle_and_another_seed_another_one():
    first, same, other = trickle(), trickle(), trickle(8)
    assert [first.next(NOW) for _ in range(30)] == [same.next(NOW) for _ in range(30)]
    assert [same.next(NOW) for _ in range(30)] != [other.next(NOW) for _ in range(30)]


def test_in_every_round_of_a_trickle_each_scenario_comes_and_every_hospital_sends():
    going = trickle()
    rounds = [[going.next(NOW).prescriptions[0] for _ in range(ROUND)] for _ in range(3)]
    for ones in rounds:
        assert {one.scenario for one in ones} == set(SCENARIOS)
        assert {one.facts.hospital for one in ones} == set(SENDERS)
    assert len({tuple(one.scenario for one in ones) for ones in rounds}) == 3, "not always in the same order"


def test_what_trickles_in_was_written_just_now():
    going, later = trickle(), NOW + timedelta(days=3)
    for _ in range(ROUND):
        (planned,) = going.next(later).prescriptions
        assert planned.facts.sent == later
        assert planned.facts.valid_until > later
        if planned.scenario != "expired":
            assert later - planned.facts.issued == timedelta(minutes=2)


def test_a_plan_of_one_goes_to_its_hospital_as_it_is():
    plan = trickle().next(NOW)
    (hospital,) = plan.hospitals
    again = Plan.from_json(json.loads(json.dumps(plan.of(hospital).as_json())))
    assert again.prescriptions == plan.prescriptions
    assert again.people == (), "no hospital needs to know how people are insured"


@pytest.mark.parametrize("facts", samples("jinan_first", live.SAMPLES, NOW)[0], ids=lambda facts: facts.key)
def test_every_sample_keeps_the_contract(facts):
    written = json.dumps(fhir.bundle(facts), ensure_ascii=False, indent=2).encode()
    assert check_data(fhir_r4.to_fhir(written).resource, "jinan_first") == []


def test_the_patients_of_the_samples_are_nobody_else():
    facts, people = samples("jinan_first", live.SAMPLES, NOW)
    assert [one.id_number for one in facts] == [someone["id_number"] for someone in people]
    going = trickle(1)
    others = {one.facts.id_number for one in going.beginning.prescriptions}
    others |= {going.next(NOW).prescriptions[0].facts.id_number for _ in range(1000)}
    assert len({one.id_number for one in facts} - others) == live.SAMPLES


def test_half_of_the_beginning_is_reviewed_whoever_is_at_work():
    assert live.pharmacists(0, 24) == Pharmacists(0, 12)
    assert live.pharmacists(2, 1) == Pharmacists(2, 0)


def test_progress_says_what_is_under_way_where_and_how_many_have_ended():
    rows = [{"status": "in_review", "owner": "pharmacist", "count": 12}, {"status": "settled", "owner": "nobody", "count": 3},
            {"status": "fulfilling", "owner": "pharmacy", "count": 5}, {"status": "received", "owner": "platform", "count": 0},
            {"status": "refused", "owner": "nobody", "count": 1}]
    assert live.progress(rows) == "途中 under way 17 · 待审方 in review 12 · 药店配药 fulfilling 5 · 今日结束 ended today 4"
    assert live.progress([]) == "途中 under way 0 · 今日结束 ended today 0"


def test_the_command_reads_the_same_in_any_shell_whatever_the_folder_is_called():
    command = live.curl("http://127.0.0.1:1/fhir/jinan_first/Bundle", "to-ken", Path("/my city's/1.json"))
    words = shlex.split(command)
    assert words[0] == "curl"
    assert "Authorization: Bearer to-ken" in words
    assert words[-2:] == ["--data-binary", "@/my city's/1.json"]
