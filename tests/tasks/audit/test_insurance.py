"""A person whom the fund does not insure goes back to the hospital with words, and no partner is asked."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from domain.lifecycle import Status
from infra.db.rows import PrescriptionRow
from tasks.closing import NOT_INSURED
from tests.support.city import HOSPITAL, FakeHospital, admit, pass_review
from tests.support.line import Line


def reports(line: Line) -> dict[str, dict[str, Any]]:
    hospital = line.city.hospitals[HOSPITAL]
    assert isinstance(hospital, FakeHospital)
    return hospital.reports


def test_a_person_the_fund_does_not_know_goes_back_to_the_hospital_with_words(line: Line) -> None:
    (rx,) = admit(line.city)
    line.payer.refuse_next("not_insured", "entitlement")
    assert not line.hop(rx).error
    assert line.status(rx) is Status.RETURNED
    assert "quote" not in line.chain("ankang").calls
    line.deliver()
    told = reports(line)[f"{rx}:returned"]
    assert (told["status"], told["reason"], told["words"], told["words_en"]) == ("returned", "NOT_INSURED", *NOT_INSURED)
    assert told["findings"][-1]["text"] == NOT_INSURED.zh


def test_an_insurance_that_is_suspended_is_none(line: Line) -> None:
    (rx,) = admit(line.city)
    line.payer.entitlement_answer = replace(line.payer.entitlement_answer, active=False)
    line.hop(rx)
    assert line.status(rx) is Status.RETURNED


def test_another_no_of_the_fund_is_no_word_about_the_person(line: Line) -> None:
    (rx,) = admit(line.city)
    line.payer.refuse_next("claim_refused", "entitlement")
    assert line.hop(rx).error == "Refused:claim_refused"
    assert line.status(rx) is Status.RECEIVED


def test_a_prescription_that_waits_for_nobody_since_an_earlier_release_is_sent_back_by_the_sweep(line: Line) -> None:
    (rx,) = admit(line.city)
    line.hop(rx)
    pass_review(line.city, rx)
    with line.city.db.transaction() as session:
        session.execute(sa.update(PrescriptionRow).values(entitlement_sealed=None))
    assert not line.hop(rx).error
    assert line.status(rx) is Status.RETURNED
    assert "hold" not in line.chain("ankang").calls
    assert line.open_intents() == []
    line.deliver()
    assert reports(line)[f"{rx}:returned"]["reason"] == "NOT_INSURED"
