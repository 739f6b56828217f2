"""Another product of the generic reaches the patient as a choice, and nobody else (D-13)."""

import json
from dataclasses import replace

from domain.chains import ChainWord
from domain.events import Event, Wait
from domain.fulfilment.choice import Option, Verdict
from domain.fulfilment.substitution import NoSwitch
from domain.policy import Choosers
from infra.db import orders
from tasks import choosing, tracking
from tasks.closing import PATIENT
from tasks.intake import receive_prescription
from tests.support.city import HOSPITAL
from tests.support.line import Line
from tests.support.trace_codes import packs
from tests.tasks.fulfilment.test_allocation import events, four_weeks, reports, stock
from tests.tasks.fulfilment.test_choice import asked, at, policy


def reviewed(line: Line, said: bool | None = None) -> str:
    """28 of D032 and 28 of D048; only another product of D032 is to be had, at one chain."""
    message = json.loads(four_weeks())
    for entry in message["entry"]:
        if said is not None and entry["resource"]["resourceType"] == "MedicationRequest":
            entry["resource"]["substitution"] = {"allowedBoolean": said}
    answer = receive_prescription(line.city, HOSPITAL, json.dumps(message, ensure_ascii=False).encode())
    rx_id: str = json.loads(answer.body)["identifier"][0]["value"]
    stock(line, ankang={"D032": 0, "D048": 1000}, baicao={"D032": 0, "D048": 0})
    line.chain("ankang").instead = {"D032": "D032B"}
    line.hop(rx_id)
    line.review(rx_id)
    return rx_id


def everybody(line: Line) -> None:
    policy(line, choosers=Choosers.EVERYBODY)


def refused(line: Line, rx_id: str) -> set[str]:
    (detail,) = events(line, rx_id, Event.NO_STORE)
    return set(detail["refused"])  # type: ignore[call-overload]


def agreed_option(line: Line, rx_id: str) -> Option:
    option = at(asked(line, rx_id), "ankang")
    (swap,) = option.substitutes
    assert (swap.line, swap.instead_of, swap.drug) == (1, "D032", "D032B")
    return option


def test_who_is_not_asked_gets_only_what_was_prescribed(line: Line) -> None:
    rx_id = reviewed(line)
    line.hop(rx_id)
    assert line.row(rx_id).waiting_for == Wait.FILLER
    assert NoSwitch.UNASKED in refused(line, rx_id)


def test_the_prescribers_no_is_everybodys(line: Line) -> None:
    everybody(line)
    rx_id = reviewed(line, said=False)
    line.hop(rx_id)
    newest = asked(line, rx_id) if line.row(rx_id).waiting_for == Wait.CHOICE else None
    assert newest is None or not [option for option in newest.offering.options if option.substitutes]
    if newest:
        assert newest.offering.may_wait
    else:
        assert NoSwitch.FORBIDDEN in refused(line, rx_id)


def test_a_choice_of_another_product_counts_once_the_patient_agrees_to_it(line: Line) -> None:
    everybody(line)
    rx_id = reviewed(line)
    option = agreed_option(line, rx_id)

    def choose(*agreed: str) -> Verdict:
        return choosing.choose(line.city, rx_id, option.key, by=PATIENT, agreed=agreed)

    assert choose() is Verdict.UNAGREED
    assert choose("1:D032:D072") is Verdict.UNAGREED, "the consent is to another product"
    assert choose(*option.terms) is Verdict.TAKEN
    (chose,) = events(line, rx_id, Event.PATIENT_CHOSE)
    assert [(row["prescribed"], row["offered"]) for row in chose["agreed"]] == [("D032", "D032B")]  # type: ignore[attr-defined]

    line.hop(rx_id)
    with line.city.db.reading() as session:
        (placed,) = orders.of(session, rx_id)
    ordered = {one.line: one for one in placed.order.lines}
    assert (ordered[1].drug, ordered[1].instead_of, ordered[2].instead_of) == ("D032B", "D032", "")
    claimed = line.claim(rx_id)
    assert claimed is not None
    assert [one.drug for one in claimed.claim.lines] == ["D032B", "D048"]
    label = line.chain("ankang").book[placed.id].order.instructions.labels
    assert all("代替" in one.name for one in label if one.line == 1)
    seen = tracking.tracked(line.city, rx_id)
    assert seen is not None
    assert "代替" in seen.medicines[0].name

    for word in (ChainWord.ACCEPTED, ChainWord.PREPARED):
        line.say(rx_id, word)
    prescribed = tuple(pack for one in placed.order.lines for pack in packs(placed.id, replace(one, drug=one.prescribed)))
    assert [row["rule"] for row in json.loads(line.say(rx_id, ChainWord.HANDED_OVER, traces=prescribed).body)["findings"]]
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    (told,) = [report for report in reports(line) if report.get("dispense")][:1]
    first = told["dispense"]["lines"][0]  # type: ignore[index]
    assert (first["drug"], first["instead_of"]) == ("D032B", "D032")
    assert "代替" in first["name"]


def test_a_pharmacy_that_offers_another_product_than_the_chosen_one_is_another_choice(line: Line) -> None:
    everybody(line)
    rx_id = reviewed(line)
    option = agreed_option(line, rx_id)
    choosing.choose(line.city, rx_id, option.key, by=PATIENT, agreed=option.terms)
    stock(line, ankang={"D032": 1000, "D048": 1000})
    line.hop(rx_id)
    (_, again) = events(line, rx_id, Event.CHOICE_OFFERED)
    assert again["because"] == "other_product"
    with line.city.db.reading() as session:
        assert orders.of(session, rx_id) == []
