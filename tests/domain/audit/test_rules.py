"""Each rule with a prescription that passes it and one that fails it, and the audit as a whole."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.audit import RULES, Case, Rule, audit, selfpay_lines
from domain.chains import Dispensed
from domain.claims import Accumulators
from domain.findings import Finding, Severity
from domain.money import Fen
from domain.prescription import (
    Approval,
    Channel,
    Coverage,
    Decoction,
    Diagnosis,
    DrugKind,
    Prescriber,
    Prescription,
    RxKind,
    Sex,
    SkinTest,
    SkinTestResult,
)
from tests.support.factories import (
    CITY,
    ISSUED,
    KNOWLEDGE,
    ORDINARY,
    case,
    entitlement,
    item,
    of_pieces,
    ordinary,
    piece,
    rx,
    used,
)

BLOCK, SELFPAY, WARN, INFO = Severity.BLOCK, Severity.SELFPAY, Severity.WARN, Severity.INFO

def findings_of(rule: Rule, case: Case) -> list[Finding]:
    return [result.finding for result in rule.results(case)]


def six() -> tuple[object, ...]:
    return tuple(item(drug, line) for line, drug in enumerate(("D001", "D010", "D018", "D032", "D048", "D065"), 1))


def child(months: int, department: str = "07", department_name: str = "", visit: dict[str, object] | None = None,
          **patient: object) -> Prescription:
    doctor = Prescriber("D370100000001", department, 8, department_name)
    return rx(prescriber=doctor, visit=visit, patient={"age_months": months} | patient)


def weekly(drug: str, dose: str, frequency: str = "qw") -> Prescription:
    return rx(item(drug, single_dose=Decimal(dose), frequency=frequency))


def digoxin(dose: str, frequency: str = "qd", unit: str = "mg", age: int = 80) -> Prescription:
    return rx(item("D095", single_dose=Decimal(dose), frequency=frequency, dose_unit=unit), age=age)


def penicillin(test: SkinTest | None) -> Prescription:
    return rx(item("D178", skin_test=test, **ANTIBIOTIC))


def had(drug: str, days: int = 0, supply: int = 30, hours: int = 0) -> Dispensed:
    """Handed over so many days before the audit, which is at 10:00 of the city's day."""
    return Dispensed(drug, ISSUED + timedelta(hours=1 + hours) - timedelta(days=days), supply)


def valid_for(days: int, reason: str) -> Prescription:
    return rx(valid_days=days, valid_until=ISSUED + timedelta(days=days), valid_reason=reason)


def pens(dose: str, days: int, quantity: int) -> Prescription:
    return rx(item("D030", single_dose=Decimal(dose), days_supply=days, quantity=Decimal(quantity)))


def puffs(times: int, quantity: int, frequency: str = "bid") -> Prescription:
    return rx(item("D099", single_dose=Decimal(100 * times), frequency=frequency, days_supply=30, quantity=Decimal(quantity)))


NEGATIVE = SkinTestResult.NEGATIVE
ALMOST = Accumulators(Fen(50_000), Fen(419_900), caps=(("M01600", Fen(419_900)),))
"""Nearly nothing is left for diabetes, everything for the rest."""
ANTIBIOTIC = {"single_dose": Decimal(500), "quantity": Decimal(24), "days_supply": 7, "frequency": "tid"}

EXAMPLES: list[tuple[str, Case, Case, str, Severity]] = [
    # rule, passes, fails, code, severity
    ("A-01", case(rx(), at=ISSUED + timedelta(hours=23)), case(rx(), at=ISSUED + timedelta(hours=25)),
     "RX_EXPIRED", BLOCK),
    ("A-01", case(rx(), at=ISSUED - timedelta(minutes=10)), case(rx(), at=ISSUED - timedelta(minutes=11)), "RX_NOT_YET", BLOCK),
    ("A-01", case(rx(valid_days=3, valid_until=ISSUED + timedelta(days=3))),
     case(rx(valid_days=4, valid_until=ISSUED + timedelta(days=4))), "RX_VALIDITY", BLOCK),
    ("A-01", case(rx()), case(rx(valid_until=ISSUED + timedelta(days=3))), "RX_VALIDITY", BLOCK),
    *(("A-01", case(valid_for(days, "患者行动不便")), case(valid_for(days, " ")), "VALIDITY_REASON_MISSING", BLOCK)
      for days in (2, 3)),
    ("A-01", case(valid_for(1, "")), case(valid_for(2, "")), "VALIDITY_REASON_MISSING", BLOCK),
    ("A-03", case(rx(item(days_supply=7), kind=RxKind.GENERAL, extend_reason="")),
     case(rx(item(days_supply=10), kind=RxKind.GENERAL, extend_reason=" ")), "QTY_OVER_LIMIT", BLOCK),
    ("A-03", case(rx(item(days_supply=3), kind=RxKind.EMERGENCY)),
     case(rx(item(days_supply=4), kind=RxKind.EMERGENCY)), "QTY_EXTENDED", INFO),
    ("A-04", case(ordinary("D106")), case(ordinary("D106", patient_acknowledged=False)),
     "LONG_RX_NO_ASSESSMENT", BLOCK),
    ("A-04", case(ordinary("D106")), case(rx(item("D106", days_supply=85))), "LONG_RX_OVER_84", BLOCK),
    ("A-05", case(ordinary("D032")), case(rx(item("D175"), diagnoses=("I10.x00",))), "LONG_RX_DRUG_EXCLUDED", BLOCK),
    ("A-05", case(ordinary("D032")), case(rx(item("D032"), diagnoses=("J06.900",))), "LONG_RX_UNSTABLE", WARN),
    ("A-06", case(rx(*six()[:5])), case(rx(*six())), "TOO_MANY_ITEMS", BLOCK),
    ("A-07", case(ordinary("D187")),
     case(rx(item(), item("TP01", 2, kind=DrugKind.PIECE))), "PIECES_MIXED", BLOCK),
    ("A-09", case(ordinary("D032")), case(rx(item("D184"))), "SPECIAL_DRUG_ONLINE", BLOCK),
    ("A-09", case(ordinary("D032")), case(rx(item("D144"), visit={"channel": Channel.OUTPATIENT})),
     "SPECIAL_DRUG_ONLINE", BLOCK),
    ("A-10", case(rx()), case(rx(visit={"proof_codes": ()})), "NO_REVISIT_PROOF", BLOCK),
    ("A-10", case(rx(visit={"channel": Channel.OUTPATIENT, "follow_up": False})),
     case(rx(visit={"follow_up": False})), "NO_REVISIT_PROOF", BLOCK),
    ("A-10", case(rx(visit={"proof_date": date(2025, 11, 22)})),
     case(rx(visit={"proof_date": date(2025, 11, 21)})), "NO_REVISIT_PROOF", BLOCK),
    ("A-10", case(rx(visit={"proof_date": date(2026, 11, 22)})),
     case(rx(visit={"proof_date": date(2026, 11, 23)})), "NO_REVISIT_PROOF", BLOCK),
    ("A-10", case(rx(visit={"proof_codes": ("E11.9",)})), case(rx(visit={"proof_codes": ("I10",)})),
     "DIAG_NOT_IN_PROOF", BLOCK),
    ("A-06", case(rx(*six()[:5])), case(rx(*(replace(line, kind=DrugKind.PIECE) for line in six()))), "TOO_MANY_ITEMS", BLOCK),
    ("A-06", case(ordinary("D187")), case(rx(item("D187", kind=DrugKind.WESTERN))), "KIND_DIFFERS", BLOCK),
    ("A-07", case(ordinary("D187")), case(rx(item("TP01", kind=DrugKind.PIECE), item("D001", 2, kind=DrugKind.PIECE))),
     "PIECES_MIXED", BLOCK),
    ("A-12", case(child(71, guardian_confirmed=True)), case(child(71)), "CHILD_NEEDS_GUARDIAN", BLOCK),
    ("A-12", case(child(72)), case(child(0)), "CHILD_NEEDS_GUARDIAN", BLOCK),
    ("A-12", case(child(71, visit={"channel": Channel.OUTPATIENT})), case(child(71, department="")), "CHILD_NEEDS_SPECIALTY",
     BLOCK),
    ("A-12", case(child(72, department="03.04")), case(child(71, department="03.04")), "CHILD_NEEDS_SPECIALTY", BLOCK),
    *(("A-12", case(child(60, department=code, department_name=name)),
       case(child(60, department="70", department_name="心血管内科")), "CHILD_NEEDS_SPECIALTY", BLOCK)
      for code, name in (("07", ""), ("08.01", ""), ("09", ""), ("A07", ""), ("50.04", ""), ("", "小儿内科"), ("03", "儿科门诊"))),
    ("A-14", case(rx(prescriber=Prescriber("D370100000001", independent_years=3))),
     case(rx(prescriber=Prescriber("D370100000001", independent_years=2))), "DOCTOR_NOT_QUALIFIED", BLOCK),
    ("A-17", case(rx()), case(replace(rx(), items=())), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx()), case(rx(prescriber=Prescriber(" ", independent_years=8))), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx(prescriber=Prescriber("D370100000001", "03"))), case(rx(prescriber=Prescriber("D370100000001"))),
     "FIELD_MISSING", BLOCK),
    ("A-17", case(rx(prescriber=Prescriber("D370100000001", department_name="内科"))),
     case(rx(prescriber=Prescriber("D370100000001", department_name=" "))), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx()), case(rx(visit={"number": ""})), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx()), case(rx(hospital="")), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx()), case(rx(coverage=Coverage("", "370100"))), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx()), case(replace(rx(), diagnoses=(Diagnosis("E11.900", " "),))), "FIELD_MISSING", BLOCK),
    ("A-17", case(rx()), case(rx(item(name=""))), "FIELD_MISSING", BLOCK),
    ("A-19", case(rx(item(name="盐酸二甲双胍片 0.5g"))), case(rx(item("X999"))), "NAME_NOT_STANDARD", BLOCK),
    ("A-19", case(rx()), case(rx(item("D004"))), "NAME_NOT_STANDARD", BLOCK),
    ("A-19", case(rx()), case(rx(item(name="降糖片"))), "NAME_DIFFERS", WARN),
    ("A-20", case(ordinary("D106")), case(rx(item(frequency="遵医嘱"))), "USAGE_VAGUE", BLOCK),
    ("A-20", case(rx(item("D106", dose_unit="µg"))), case(rx(item("D106", dose_unit="ml"))), "USAGE_VAGUE", BLOCK),
    ("A-20", case(rx(item(single_dose=Decimal("0.5"), dose_unit="g"))), case(rx(item(single_dose=Decimal(1), dose_unit="片"))),
     "USAGE_VAGUE", BLOCK),
    ("A-20", case(rx(item(dose_unit="㎎"))), case(rx(item(dose_unit="Mg"))), "USAGE_VAGUE", BLOCK),
    ("A-20", case(ordinary("D187")), case(rx(item("D187", single_dose=Decimal(270), dose_unit="mg"))), "USAGE_VAGUE", BLOCK),
    ("A-20", case(rx()), case(rx(item(single_dose=Decimal("NaN")))), "USAGE_VAGUE", BLOCK),
    ("A-20", case(rx(item(days_supply=1))), case(rx(item(days_supply=0))), "USAGE_VAGUE", BLOCK),
    ("A-21", case(ordinary("D032")), case(rx(item("D032", quantity=Decimal(27)))), "QTY_MISMATCH", BLOCK),
    ("A-21", case(ordinary("D032")), case(rx(item("D032", quantity=Decimal(56)))), "QTY_EXCESS_PACK", WARN),
    ("A-21", case(ordinary("D106")), case(rx(item("D106", quantity=Decimal(101)))), "QTY_EXCESS_PACK", WARN),
    ("A-21", case(ordinary("D032")), case(rx(item("D032", unit="盒"))), "QTY_MISMATCH", BLOCK),
    ("A-21", case(ordinary("D187")), case(rx(item("D187", quantity=Decimal(4)))), "QTY_MISMATCH", BLOCK),
    ("A-21", case(ordinary("D030")), case(rx(item("D030", frequency="prn"))), "QTY_UNCHECKED", INFO),
    ("A-21", case(ordinary("D030")), case(rx(item("D030", quantity=Decimal(1)))), "QTY_MISMATCH", BLOCK),
    ("A-21", case(rx(item("D030", quantity=Decimal(3)))), case(rx(item("D030", quantity=Decimal(4)))), "QTY_EXCESS_PACK", WARN),
    # 5 U a day empty a pen in 60 days, but it is thrown away after 28: three pens and one more are right for 84 days.
    ("A-21", case(pens("5", 84, 4)), case(pens("5", 84, 5)), "QTY_EXCESS_PACK", WARN),
    ("A-21", case(pens("5", 84, 2)), case(pens("5", 84, 1)), "QTY_MISMATCH", BLOCK),
    ("A-21", case(puffs(2, quantity=2)), case(puffs(2, quantity=3)), "QTY_EXCESS_PACK", WARN),
    ("A-21", case(puffs(2, quantity=2, frequency="prn")), case(puffs(2, quantity=3, frequency="prn")), "QTY_EXCESS_PACK", WARN),
    ("A-21", case(puffs(2, quantity=1, frequency="prn")), case(ordinary("D030", items=(item("D030", frequency="prn"),))),
     "QTY_UNCHECKED", INFO),
    ("A-21", case(rx(item(single_dose=Decimal("0.5"), dose_unit="g"))),
     case(rx(item(single_dose=Decimal("0.5"), dose_unit="g", quantity=Decimal(59)))), "QTY_MISMATCH", BLOCK),
    ("A-23", case(rx()), case(rx(diagnoses=())), "DIAG_MISSING", BLOCK),
    ("A-23", case(rx()), case(rx(diagnoses=("糖尿病",))), "DIAG_MISSING", BLOCK),
    ("A-37", case(rx()), case(penicillin(None)), "SKIN_TEST_MISSING", BLOCK),
    ("A-37", case(penicillin(SkinTest(exemption="口服多年无反应"))), case(penicillin(SkinTest(exemption=" "))),
     "SKIN_TEST_MISSING", BLOCK),
    ("A-37", case(penicillin(SkinTest(NEGATIVE, ISSUED - timedelta(hours=72)))),
     case(penicillin(SkinTest(NEGATIVE, ISSUED - timedelta(hours=72, seconds=1)))), "SKIN_TEST_MISSING", BLOCK),
    ("A-37", case(penicillin(SkinTest(NEGATIVE, ISSUED + timedelta(hours=1)))),
     case(penicillin(SkinTest(NEGATIVE, ISSUED + timedelta(hours=2)))), "SKIN_TEST_MISSING", BLOCK),
    ("A-37", case(penicillin(SkinTest(NEGATIVE, ISSUED))), case(penicillin(SkinTest(NEGATIVE))), "SKIN_TEST_MISSING", BLOCK),
    ("A-37", case(penicillin(SkinTest(NEGATIVE, ISSUED))), case(penicillin(SkinTest(SkinTestResult.POSITIVE, ISSUED, "见病历"))),
     "SKIN_TEST_POSITIVE", BLOCK),
    ("A-37", case(penicillin(SkinTest(NEGATIVE, ISSUED))), case(penicillin(SkinTest(exemption="口服多年无反应"))),
     "SKIN_TEST_EXEMPT", INFO),
    ("A-22", case(rx(item("D074", single_dose=Decimal(40)))), case(rx(item(single_dose=Decimal(1500)))),
     "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(rx()), case(rx(item(single_dose=Decimal(1500), overdose_reason="已会诊"))), "DOSE_OVER_MAX", WARN),
    ("A-22", case(rx()), case(ordinary("D030")), "NO_REFERENCE_LIMIT", INFO),
    ("A-22", case(rx(item(single_dose=Decimal("1.275"), dose_unit="g"))),
     case(rx(item(single_dose=Decimal("1.2751"), dose_unit="g"))), "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(rx(item("D106", single_dose=Decimal("0.05"), dose_unit="mg"))),
     case(rx(item("D106", dose_unit="mg"))), "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(weekly("D023", "1.5")), case(weekly("D023", "1.51")), "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(weekly("D156", "25")), case(weekly("D156", "25.1")), "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(weekly("D156", "12.5", "biw")), case(weekly("D156", "12.6", "biw")), "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(weekly("D079", "420", "q4w")), case(weekly("D079", "421", "q4w")), "DOSE_OVER_MAX", BLOCK),
    ("A-22", case(weekly("D079", "210", "q2w")), case(weekly("D079", "211", "q2w")), "DOSE_OVER_MAX", BLOCK),
    # Every other day is a whole dose on its day: a mean would let twice the maximum pass.
    ("A-22", case(weekly("D001", "2550", "qod")), case(weekly("D001", "2551", "qod")), "DOSE_OVER_MAX", BLOCK),
    ("B-22", case(ordinary("D081")), case(rx(item("D081", single_dose=Decimal(200)))), "DOSE_ABOVE_USUAL", WARN),
    ("B-22", case(rx(item("D081", single_dose=Decimal(400)))), case(rx(item("D081", single_dose=Decimal(300)))),
     "DOSE_ABOVE_USUAL", WARN),  # above the maximum it is A-22's alone
    ("B-22", case(ordinary("D081")), case(rx(item("D081", single_dose=Decimal(50)))), "DOSE_BELOW_USUAL", INFO),
    ("B-22", case(weekly("D156", "20")), case(weekly("D156", "20.1")), "DOSE_ABOVE_USUAL", WARN),
    ("B-22", case(weekly("D156", "7.5")), case(weekly("D156", "7.4")), "DOSE_BELOW_USUAL", INFO),
    ("B-19", case(rx(diagnoses=("N40.x00",))), case(rx(diagnoses=("N40.x00",), sex=Sex.FEMALE)), "DIAG_DEMOG", BLOCK),
    *(("B-19", case(rx(diagnoses=(code,), sex=sex)), case(rx(diagnoses=(code,), sex=other)), "DIAG_DEMOG", BLOCK)
      for sex, other, codes in ((Sex.MALE, Sex.FEMALE, ("C61.x00", "C60.900", "D29.100", "N45.900", "N48.100", "Q53.900")),
                                (Sex.FEMALE, Sex.MALE, ("C53.900", "C51.900", "C58.x00", "N70.900", "N76.000", "N80.000", "N95.100",
                                                        "D25.900", "E28.200", "O00.900", "O99.800", "Z34.900", "B37.300")))
      for code in codes),
    *(("B-19", case(rx(diagnoses=("C61.x00", code), sex=Sex.MALE)), case(rx(diagnoses=(code, "N76.000"), sex=Sex.MALE)),
       "DIAG_DEMOG", BLOCK) for code in ("N39.000", "N60.100", "C50.900", "C64.x00", "C67.900", "D24.x00")),
    *(("B-19", case(rx(diagnoses=(code,), patient={"age_months": 0, "age_days": 28})),
       case(rx(diagnoses=(code,), patient={"age_months": 0, "age_days": 29})), "DIAG_DEMOG", BLOCK)
      for code in ("P00.000", "P59.900", "P96.900")),
    ("B-19", case(rx(diagnoses=("P59.900",), patient={"age_months": 0})),
     case(rx(diagnoses=("P59.900",), patient={"age_months": 1})), "DIAG_DEMOG", BLOCK),
    ("B-19", case(rx(diagnoses=("P59.900",), patient={"age_months": 0, "age_days": 0})),
     case(rx(diagnoses=("P59.900",), patient={"age_months": 0})), "AGE_UNKNOWN", WARN),
    ("B-19", case(rx(diagnoses=("P59.900",), patient={"age_months": 1, "age_days": 56}), policy=replace(CITY, newborn_days=56)),
     case(rx(diagnoses=("P59.900",), patient={"age_months": 1, "age_days": 57}), policy=replace(CITY, newborn_days=56)),
     "DIAG_DEMOG", BLOCK),
    ("B-19", case(rx(diagnoses=("O24.900",), sex=Sex.FEMALE)), case(rx(diagnoses=("O24.900",))), "DIAG_DEMOG", BLOCK),
    ("B-19", case(rx(diagnoses=("P70.400",), age=0)), case(rx(diagnoses=("P70.400",), age=1)), "DIAG_DEMOG", BLOCK),
    ("B-19", case(rx(diagnoses=("N40.x00",))), case(rx(diagnoses=("N40.x00",), sex=Sex.UNKNOWN)), "SEX_UNKNOWN", WARN),
    ("B-20", case(rx(item("D177"), age=40)), case(rx(item("D177"), age=15)), "CHILD_FORBIDDEN", BLOCK),
    ("B-20", case(rx(age=10)), case(rx(age=9)), "BELOW_LABEL_AGE", WARN),
    ("B-21", case(rx(item("D170"))), case(rx(item("D170"), sex=Sex.FEMALE)), "SEX_MISMATCH", BLOCK),
    ("B-21", case(rx(item("D170"))), case(rx(item("D170"), sex=Sex.UNKNOWN)), "SEX_UNKNOWN", WARN),
    ("B-23", case(rx(item("D156", single_dose=Decimal(10), frequency="qw"))),
     case(rx(item("D156", single_dose=Decimal("2.5"), frequency="qd"))), "WEEKLY_DRUG_DAILY", BLOCK),
    *(("B-23", case(weekly("D156", "10", right)), case(weekly("D156", "10", wrong)), "WEEKLY_DRUG_DAILY", BLOCK)
      for right, wrong in (("qw", "prn"), ("q2w", "biw"), ("q4w", "tiw"), ("st", "qod"), ("qmonth", "bid"))),
    *(("B-23", case(weekly("D149", "100", right)), case(weekly("D149", "100", wrong)), "WEEKLY_DRUG_DAILY", BLOCK)
      for right, wrong in (("tiw", "qod"), ("biw", "qd"), ("qw", "prn"))),
    ("B-23", case(weekly("D079", "140", "q2w")), case(weekly("D079", "140", "qw")), "WEEKLY_DRUG_DAILY", BLOCK),
    ("B-23", case(weekly("D001", "500", "prn")), case(weekly("D113", "70", "prn")), "WEEKLY_DRUG_DAILY", BLOCK),
    ("B-23", case(rx(item("D113", single_dose=Decimal(70), frequency="qw"))),
     case(rx(item("D113", single_dose=Decimal(70), frequency="qod"))), "WEEKLY_DRUG_DAILY", BLOCK),
    ("B-24", case(rx(item("D034", single_dose=Decimal(30)))), case(rx(item("D034", single_dose=Decimal(15)))),
     "ROUTE_FORM", BLOCK),
    ("B-24", case(ordinary("D065")), case(rx(item("D065", single_dose=Decimal("23.75")))), "ROUTE_FORM", WARN),
    ("B-24", case(rx(item("D034", single_dose=Decimal("0.03"), dose_unit="g"))),
     case(rx(item("D034", single_dose=Decimal("0.015"), dose_unit="g"))), "ROUTE_FORM", BLOCK),
    ("B-24", case(rx()), case(rx(item(route="SC"))), "ROUTE_FORM", BLOCK),
    ("B-24", case(rx(item(frequency="q12h"))), case(rx(item(frequency="qid"))), "FREQ_UNUSUAL", WARN),
    ("B-25", case(rx(item("D001"), item("D003", 2))), case(rx(item("D005"), item("D192", 2))), "DUP_CLASS", BLOCK),
    ("B-25", case(rx(item("D001"), item("D003", 2))), case(rx(item("D003"), item("D005", 2))), "DUP_CLASS", BLOCK),
    ("B-25", case(rx(item("D032"), item("D048", 2))), case(rx(item("D032"), item("D035", 2))), "DUP_CLASS", BLOCK),
    ("B-25", case(rx(item("D032"), item("D048", 2))), case(rx(item("D032"), item("D057", 2))), "DUP_INGREDIENT", BLOCK),
    ("B-25", case(rx(item("D001"), item("D010", 2))), case(rx(item("D001"), item("D002", 2))), "DUP_INGREDIENT", BLOCK),
    ("B-25", case(rx(item("D187"), item("D188", 2))), case(rx(item("D187"), item("D188", 2), item("D191", 3))),
     "DUP_CLASS", WARN),
    ("B-25", case(rx(item("D035")), history=(had("D032", hours=-12),)), case(rx(item("D035")), history=(had("D032"),)),
     "DUP_CLASS", BLOCK),
    ("B-26", case(ordinary("D032"), history=(had("D032", days=21, supply=28),)),
     case(ordinary("D032"), history=(had("D032", days=20, supply=28),)), "REFILL_TOO_EARLY", SELFPAY),
    ("B-26", case(ordinary("D032"), history=(had("D032", days=28, supply=28),)),
     case(ordinary("D032"), history=(had("D032", days=27, supply=28),)), "REFILL_EARLY", WARN),
    ("B-26", case(ordinary("D106"), history=(had("D106", days=74, supply=84),)),
     case(ordinary("D106"), history=(had("D106", days=73, supply=84),)), "REFILL_TOO_EARLY", SELFPAY),
    # 30 days are a short supply, 31 a long one: 10 days in hand are too many of the one and few of the other.
    ("B-26", case(ordinary("D032"), history=(had("D032", days=21, supply=31),)),
     case(ordinary("D032"), history=(had("D032", days=20, supply=30),)), "REFILL_TOO_EARLY", SELFPAY),
    ("B-26", case(rx(item("D022"), item("D001", 2)), history=(had("D022", days=30, supply=28),)),
     case(rx(item("D022", quantity=Decimal(3)), item("D001", 2)), history=(had("D022", days=1, supply=28),)),
     "REFILL_TOO_EARLY", BLOCK),
    # What was collected early is taken after what was there; a gap is not made up for.
    ("B-26", case(ordinary("D032"), history=(had("D032", days=100, supply=28), had("D032", days=28, supply=28))),
     case(ordinary("D032"), history=(had("D032", days=50, supply=28), had("D032", days=28, supply=28))), "REFILL_EARLY", WARN),
    ("B-26", case(ordinary("D032"), history=(had("D048"),)), case(ordinary("D048"), history=(had("D054"),)),
     "REFILL_TOO_EARLY", SELFPAY),
    ("B-28", case(rx()), case(rx(diagnoses=("E66.900",))), "OFF_LABEL", WARN),
    ("B-29", case(rx(item("D067"))), case(rx(item("D067"), diagnoses=("I10.x00", "J45.900"))), "CONTRA", BLOCK),
    ("B-29", case(rx(item("D067"))), case(rx(item("D067"), visit={"proof_codes": ("E11.9", "J45")})), "CONTRA", BLOCK),
    ("B-31", case(rx(item("D032"), item("D072", 2))), case(rx(item("D090"), item("D172", 2))), "INTERACTION", BLOCK),
    ("B-31", case(rx(item("D032"), item("D072", 2))), case(rx(item("D172"), item("D090", 2))), "INTERACTION", BLOCK),
    ("B-31", case(rx(item("D172")), history=(had("D090", days=28, supply=28),)),
     case(rx(item("D172")), history=(had("D090", days=27, supply=28),)), "INTERACTION", BLOCK),
    ("B-32", case(rx(item("D008"), age=60)), case(rx(item("D008"), age=80)), "ELDERLY", WARN),
    ("B-32", case(digoxin("0.125")), case(digoxin("0.126")), "ELDERLY", WARN),
    ("B-32", case(digoxin("0.125", "qod")), case(digoxin("0.125", "bid")), "ELDERLY", WARN),
    ("B-32", case(digoxin("125", unit="μg")), case(digoxin("125", unit="ml")), "ELDERLY", WARN),
    ("B-32", case(digoxin("0.25", age=74)), case(digoxin("0.25", age=75)), "ELDERLY", WARN),
    ("B-33", case(rx(item("D068"), sex=Sex.FEMALE, patient={"pregnancy_weeks": 30})),
     case(rx(item("D048"), sex=Sex.FEMALE, patient={"pregnancy_weeks": 20})), "PREGNANCY", BLOCK),
    ("B-33", case(rx(item("D068"), sex=Sex.FEMALE, patient={"pregnancy_weeks": 30})),
     case(rx(item("D048"), sex=Sex.FEMALE, patient={"pregnancy_weeks": 8})), "PREGNANCY", INFO),
    ("B-33", case(rx(item("D146"), sex=Sex.FEMALE, patient={"lactating": True})),
     case(rx(item("D145"), sex=Sex.FEMALE, patient={"lactating": True})), "LACTATION", BLOCK),
    ("B-33", case(rx(item("D145"), sex=Sex.FEMALE, patient={"pregnancy_weeks": 20})),
     case(rx(item("D145"), sex=Sex.FEMALE, patient={"lactating": True})), "LACTATION", BLOCK),
    ("B-33", case(rx(item("D177"), sex=Sex.FEMALE)),
     case(rx(item("D193"), sex=Sex.FEMALE, patient={"lactating": True})), "NO_REFERENCE_PREGNANCY", INFO),
    ("B-34", case(rx(item("D048"), sex=Sex.FEMALE, age=50)), case(rx(item("D048"), sex=Sex.FEMALE, age=30)),
     "ASK_PREGNANCY", INFO),
    ("B-35", case(rx(item("D178"), patient={"allergies": ("AL03",)})),
     case(rx(item("D178"), patient={"allergies": ("AL01",)})), "ALLERGY", BLOCK),
    ("B-35", case(rx(item("D179"))), case(rx(item("D179"), patient={"allergies": ("AL01",)})), "ALLERGY", WARN),
    ("B-35", case(rx()), case(rx(patient={"allergies": ("AL99",)})), "ALLERGY_UNKNOWN", WARN),
    ("B-35", case(rx(patient={"no_known_allergies": True})), case(rx(patient={"allergy_words": ("对海鲜过敏",)})),
     "ALLERGY_UNKNOWN", WARN),
    ("B-35", case(rx(patient={"no_known_allergies": True})), case(rx()), "ALLERGY_NOT_REPORTED", INFO),
    ("B-35", case(rx(patient={"allergy_words": ("对海鲜过敏",)})), case(rx()), "ALLERGY_NOT_REPORTED", INFO),
    *(("B-35", case(rx(patient={"no_known_allergies": True})), case(rx(patient={"no_known_allergies": True} | stated)),
       "ALLERGY_CONTRADICTED", BLOCK) for stated in ({"allergies": ("AL01",)}, {"allergy_words": ("青霉素",)})),
    ("B-36", case(ordinary("D032")), case(ordinary("D001")), "LAB_NEEDED", INFO),
    ("D-14", case(of_pieces("YP101", decoction=Decoction(14, "decoct-by-pharmacy", 2))),
     case(of_pieces("YP101", decoction=Decoction(15, "decoct-by-pharmacy", 2))), "DECOCT_DOSES", BLOCK),
    ("D-14", case(of_pieces("YP101", decoction=Decoction(7, "decoct-by-pharmacy", 2))),
     case(of_pieces("YP101", decoction=Decoction(8, "decoct-by-pharmacy", 2))), "DECOCT_MANY", WARN),
    ("D-14", case(of_pieces("YP101", decoction=Decoction(20, "decoct", 2))),
     case(of_pieces("YP101", decoction=Decoction(20, "decoct-by-pharmacy", 2))), "DECOCT_DOSES", BLOCK),
    ("B-30", case(rx()), case(of_pieces("YP101", "YP105")), "PIECES_UNJUDGED", WARN),
    ("B-05", case(of_pieces("YP115", "YP101")), case(of_pieces("YP115", "YP116")), "PIECE_SINGLE", SELFPAY),
    ("A-21", case(rx(piece("YP101", grams="12.5"))), case(rx(piece("YP101", grams="12.5", quantity="87"))), "QTY_MISMATCH", BLOCK),
    ("B-37", case(ordinary("D032")), case(ordinary("D072")), "LAB_NEEDED", INFO),
    ("F-03", case(rx()), case(rx(item("D172"))), "CLASS_C", SELFPAY),
    ("B-06", case(rx(item("D089")), history=(had("D085"),)), case(rx(item("D089"))), "SECOND_LINE", SELFPAY),
    ("B-06", case(rx(item("D089")), history=(had("D085", days=365),)),
     case(rx(item("D089")), history=(had("D085", days=366),)), "SECOND_LINE", SELFPAY),
    ("B-06", case(rx(item("D089", approval=Approval.COVERED))), case(rx(item("D089", approval=Approval.NOT_COVERED))),
     "SECOND_LINE", SELFPAY),
    ("F-04", case(rx(item(approval=Approval.NOT_COVERED))), case(rx(item(approval=Approval.OWN_EXPENSE))), "OWN_EXPENSE", SELFPAY),
    ("F-04", case(rx(item("D022", approval=Approval.COVERED))), case(rx(item("D022", approval=Approval.OWN_EXPENSE))),
     "OWN_EXPENSE", SELFPAY),
    ("F-04", case(ordinary("D054")), case(rx(item("D054", approval=Approval.NOT_COVERED))), "NOT_APPROVED", SELFPAY),
    ("F-04", case(rx(item(approval=Approval.COVERED))), case(rx(item("D054", approval=Approval.COVERED))), "APPROVED", INFO),
    ("B-09", case(rx(item("D022", approval=Approval.COVERED), diagnoses=("E66.900",))),
     case(rx(item("D022", approval=Approval.NOT_COVERED), diagnoses=("E66.900",))), "LIMIT_INDICATION", SELFPAY),
    ("B-06", case(rx(item("D022"), item("D001", 2))), case(rx(item("D022"))), "SECOND_LINE", SELFPAY),
    ("B-09", case(rx(item("D022"))), case(rx(item("D022"), diagnoses=("E66.900",))), "LIMIT_INDICATION", SELFPAY),
    ("B-09", case(rx(item("D063"), diagnoses=("E11.200", "N18.300"))), case(rx(item("D063"), diagnoses=("E11.200",))),
     "LIMIT_INDICATION", SELFPAY),
    ("B-09", case(rx(item("D170"), diagnoses=("N40.x00",))),
     case(rx(item("D170"), diagnoses=("N40.x00",), sex=Sex.UNKNOWN)), "LIMIT_INDICATION", SELFPAY),
    ("B-09", case(rx(item("D022"), age=18)), case(rx(item("D022"), age=17)), "LIMIT_INDICATION", SELFPAY),
    ("B-10", case(rx(item(days_supply=30), kind=RxKind.GENERAL)), case(rx(item(days_supply=60), kind=RxKind.GENERAL)),
     "OVER_RX_DAYS", SELFPAY),
    ("B-12", case(ordinary("D001")), case(rx(item("D165"), disease="M03900")), "NOT_IN_DISEASE_LIST", SELFPAY),
    ("B-12", case(rx(item("D165"), disease="M03900"), entitlement=entitlement("M01600")),
     case(rx(item("D165"), disease="M03900"), entitlement=entitlement("M03900")), "NOT_IN_DISEASE_LIST", SELFPAY),
    ("B-13", case(rx(item("D023")), hospital_level=2), case(rx(item("D023")), hospital_level=1),
     "LIMIT_LEVEL", SELFPAY),
    ("B-14", case(rx(item("D184"), visit={"channel": Channel.OUTPATIENT})), case(rx(item("D184"))),
     "LIMIT_VISIT", SELFPAY),
    ("B-43", case(rx()), case(rx(), hospital_contracted=False), "ORG_NOT_CONTRACTED", BLOCK),
    ("B-44", case(rx()), case(rx(), entitlement=entitlement("M03900")), "NO_OPSP", SELFPAY),
    ("B-44", case(rx()), case(rx(), entitlement=entitlement(active=False)), "NOT_INSURED", SELFPAY),
    ("B-44", case(rx()), case(rx(), entitlement=None), "NOT_INSURED", SELFPAY),
    ("B-46", case(ordinary("D018"), entitlement=entitlement(used=used(deductible_used=50000, cap_used=400000))),
     case(ordinary("D018"), entitlement=entitlement(used=used(deductible_used=50000, cap_used=418000))),
     "CAP_EXCEED", WARN),
    ("B-46", case(ordinary("D032"), entitlement=entitlement(used=ALMOST)),
     case(ordinary("D018"), entitlement=entitlement(used=ALMOST)), "CAP_EXCEED", WARN),
    ("B-46", case(ordinary("D086"), entitlement=entitlement(used=ALMOST)),
     case(ordinary("D086"), entitlement=entitlement(used=replace(ALMOST, caps=(("", Fen(199_900)),)))), "CAP_EXCEED", WARN),
    ("B-51", case(ordinary("D072")), case(rx(item("D072B"))), "PREFER_VBP", WARN),
]

BY_ID = {rule.id: rule for rule in RULES}


@pytest.mark.parametrize(("rule", "passing", "failing", "code", "severity"), EXAMPLES,
                         ids=[f"{row[0]}-{row[3]}-{place}" for place, row in enumerate(EXAMPLES)])
def test_a_rule_finds_what_its_example_shows_and_only_that(
    rule: str, passing: Case, failing: Case, code: str, severity: Severity
) -> None:
    assert (code, severity) not in {(finding.code, finding.severity) for finding in findings_of(BY_ID[rule], passing)}
    matching = [finding for finding in findings_of(BY_ID[rule], failing) if (finding.code, finding.severity) == (code, severity)]
    assert matching
    assert all(finding.rule == rule and finding.source and finding.text and finding.text_en for finding in matching)
    assert all(finding.cure and finding.cure_en for finding in matching if severity is not INFO)


def test_every_rule_has_its_own_id_a_docstring_and_an_example() -> None:
    assert len(BY_ID) == len(RULES)
    assert all(rule.check.__doc__ and rule.source for rule in RULES)
    assert {row[0] for row in EXAMPLES} == set(BY_ID)


def test_a_code_belongs_to_one_rule_or_to_one_meaning() -> None:
    shared = {"SEX_UNKNOWN", "LAB_NEEDED"}
    homes: dict[str, set[str]] = {}
    for rule, _, failing, _, _ in EXAMPLES:
        for finding in findings_of(BY_ID[rule], failing):
            homes.setdefault(finding.code, set()).add(rule)
    assert {code for code, rules in homes.items() if len(rules) > 1} <= shared


@pytest.mark.parametrize("drug", ORDINARY)
def test_an_ordinary_prescription_raises_no_objection(drug: str) -> None:
    findings = audit(case(ordinary(drug)))
    assert [(finding.code, finding.text) for finding in findings if finding.severity is not INFO] == []


@pytest.mark.parametrize("drugs", [
    ("D001", "D010", "D018"), ("D032", "D048", "D065"), ("D072", "D081"), ("D072", "D082")])
def test_ordinary_prescriptions_of_one_disease_go_together(drugs: tuple[str, ...]) -> None:
    assert {finding.severity for finding in audit(case(ordinary(*drugs)))} <= {INFO}


@pytest.mark.parametrize("drugs", [
    ("D184",), ("D144",), ("D003", "D005"), ("D005", "D192"), ("D090", "D172"), ("D156",)])
def test_what_must_be_refused_is_refused(drugs: tuple[str, ...]) -> None:
    items = tuple(item(drug, line) for line, drug in enumerate(drugs, 1))
    assert BLOCK in {finding.severity for finding in audit(case(rx(*items)))}


def test_the_table_of_ordinary_prescriptions_in_the_city_says_the_same() -> None:
    text = (Path(__file__).parents[3] / "cities" / "jinan" / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("| ").split("|")]
            for line in text.splitlines() if line.startswith("| D")]
    table = {cells[0].split()[0]: (cells[1].split()[0], cells[2], int(cells[4]), cells[5].split()[0], cells[7],
                                   "" if cells[8] == "none" else cells[8]) for cells in rows}
    assert table == {drug: (dose, often, days, quantity, diagnosis, disease)
                     for drug, (dose, often, days, quantity, _, diagnosis, disease) in ORDINARY.items()}


def test_the_audit_collects_everything_and_does_not_stop_at_the_first() -> None:
    wrong = rx(item("D184"), item("X999", 2), diagnoses=(), visit={"follow_up": False})
    assert {"SPECIAL_DRUG_ONLINE", "NAME_NOT_STANDARD", "DIAG_MISSING", "NO_REVISIT_PROOF"} <= {
        finding.code for finding in audit(case(wrong))}


def test_only_a_selfpay_finding_with_a_line_denies_a_line() -> None:
    findings = audit(case(rx(item("D001"), item("D172", 2)), entitlement=entitlement("M03900")))
    assert "NO_OPSP" in {finding.code for finding in findings}
    assert selfpay_lines(findings) == {2}


def test_all_that_a_header_lacks_is_listed_at_once() -> None:
    bare = rx(prescriber=Prescriber(""), visit={"number": ""}, diagnoses=("E11.900",))
    (finding,) = findings_of(BY_ID["A-17"], case(bare))
    assert finding.text_en == "missing: prescriber.id, prescriber.department, visit.number"


def test_a_finding_names_no_person() -> None:
    wrong = rx(item("D184"), patient={"id": "p_secret", "allergies": ("AL77",)})
    assert "p_secret" not in repr(audit(case(wrong)))


NUMBERS = st.decimals(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [Decimal("1E+999999"), Decimal(0), Decimal(5)])
TEXTS = st.sampled_from(["", "x", "bid", "qd", "prn", "st", "mg", "片", "PO", "E11.900", "C34.100", "I10"])


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from([*KNOWLEDGE.drugs, "D072B", "", "X999"]), NUMBERS, NUMBERS, TEXTS, TEXTS,
                             st.integers(-10, 10**40), st.sampled_from(list(DrugKind))), max_size=6),
    diagnoses=st.lists(TEXTS, max_size=3), sex=st.sampled_from(list(Sex)), months=st.integers(-1, 1500),
    weeks=st.none() | st.integers(-5, 60), lactating=st.booleans(), kind=st.sampled_from(list(RxKind)),
    channel=st.sampled_from(list(Channel)), known=st.booleans(), level=st.integers(0, 4),
)
def test_no_data_however_bad_makes_a_rule_raise(
    lines: list[tuple[str, Decimal, Decimal, str, str, int, DrugKind]], diagnoses: list[str], sex: Sex, months: int,
    weeks: int | None, lactating: bool, kind: RxKind, channel: Channel, known: bool, level: int,
) -> None:
    items = tuple(
        item(drug, place, quantity=quantity, single_dose=dose, frequency=often, route=route, days_supply=days,
             kind=sort)
        for place, (drug, quantity, dose, often, route, days, sort) in enumerate(lines, 1))
    wrong = replace(rx(diagnoses=tuple(diagnoses), sex=sex, kind=kind, visit={"channel": channel},
                       patient={"age_months": months, "pregnancy_weeks": weeks, "lactating": lactating,
                                "allergies": ("AL01", "?")}), items=items)
    findings = audit(case(wrong, entitlement=entitlement() if known else None, hospital_level=level))
    unknown = {line.line for line in items if line.drug not in KNOWLEDGE.catalogue}
    assert unknown <= {finding.line for finding in findings if finding.severity is BLOCK}
