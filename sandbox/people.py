"""Fictional people: resident ids with a right check digit and a division in which no one is registered."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from sandbox.book import Document
from sandbox.faults import Faults

_DIGITS = "〇一二三四五六七八九"

PLACES = (("370102", "36.67", "117.03"), ("370102", "36.66", "117.05"), ("370112", "36.68", "117.07"),
          ("370104", "36.65", "117.00"), ("370103", "36.64", "117.04"))
"""District, latitude, longitude; the first is across the road from ankang's first store."""


@dataclass(frozen=True)
class Person:
    """One fictional person, as the hospital and the insurance centre know them."""

    id_number: str = field(repr=False)
    name: str = field(repr=False)
    phone: str = field(repr=False)
    address: str = field(repr=False)
    male: bool
    born: date
    place: tuple[str, str, str]
    psn_no: str
    insutype: str
    psn_type: str
    balance: Decimal
    deductible_used: Decimal
    cap_used: Decimal


def resident_id(division: str, born: date, sequence: int) -> str:
    """An 18-digit resident id with its check digit (GB 11643, ISO 7064 MOD 11-2)."""
    body = f"{division}{born:%Y%m%d}{sequence:03d}"
    rest = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body)) % 11
    return body + "10X98765432"[rest]


def person(number: int, seed: int, near_ankang: bool) -> Person:
    """Number `number` of a fictional population: men, and women past child-bearing age, 45 to 79 years old."""
    luck = Faults(seed)
    male = luck.draw("sex", number) < 0.5
    age = int(luck.between(45 if male else 57, 80, "age", number))
    born = date(2026, 1, 1) - timedelta(days=365 * age + int(luck.between(0, 360, "birthday", number)))
    employee = luck.draw("insutype", number) < 0.6
    spelled = "".join(_DIGITS[int(digit)] for digit in f"{number:03d}")
    place = PLACES[0] if near_ankang else PLACES[int(luck.between(0, len(PLACES), "place", number))]
    return Person(
        # 370100 is the city itself: no person is registered there. Odd sequence numbers are men's.
        id_number=resident_id("370100", born, 2 * (number % 450) + (1 if male else 2)),
        name=f"示范{spelled}", phone=f"100{number:08d}", address=f"示范路{number}号", male=male, born=born, place=place,
        psn_no=f"3701{seed % 10_000:04d}{number:012d}",
        insutype="310" if employee else "390",
        psn_type=("12" if age >= 60 else "11") if employee else "21",
        balance=Decimal(int(luck.between(0, 60_000, "balance", number))) / 100 if employee else Decimal("0.00"),
        deductible_used=Decimal((0, 200, 380, 500)[int(luck.between(0, 4, "deductible", number))]),
        cap_used=Decimal((0, 250, 900)[int(luck.between(0, 3, "cap", number))]),
    )


def registration(who: Person, disease: str) -> Document:
    """The row of people.json the insurance centre registers."""
    deductible = min(who.deductible_used, Decimal(500 if who.insutype == "310" else 300))
    return {
        "id_number": who.id_number, "name": who.name, "psn_no": who.psn_no, "gender": "male" if who.male else "female",
        "birth_date": who.born.isoformat(), "insutype": who.insutype, "psn_type": who.psn_type, "civil_servant": False,
        "active": True, "insured_place": "370100", "balance": f"{who.balance:.2f}",
        "diseases": [disease] if disease else [],
        "used": {"ded_used": f"{deductible:.2f}", "cap_used": {disease: f"{who.cap_used:.2f}"} if disease else {},
                 "pool_used": f"{who.cap_used:.2f}", "sb_cum": "0.00"},
    }
