"""A day of prescriptions with known endings. What happens to each is caused by its content alone."""

import argparse
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from sandbox.book import Document
from sandbox.faults import Faults
from sandbox.people import Person, person, registration

CANONICAL = "https://sanyi.example/fhir"
EXTENSION = f"{CANONICAL}/StructureDefinition"
CODES = f"{CANONICAL}/CodeSystem"
HOSPITALS = {"jinan": "jinan_first"}
BEIJING = timezone(timedelta(hours=8))

CancelWhen = Literal["before", "waiting", "fulfilling"]


@dataclass(frozen=True)
class Dose:
    """How an ordinary prescription of a drug reads."""

    name: str
    amount: str
    dose_unit: str
    frequency: str
    days: int
    quantity: int
    unit: str
    kind: str = "western"


DOSES: Mapping[str, Dose] = {
    "D001": Dose("盐酸二甲双胍片", "500", "mg", "bid", 30, 60, "片"),
    "D003": Dose("格列齐特缓释片", "30", "mg", "qd", 28, 28, "片"),
    "D005": Dose("格列美脲片", "2", "mg", "qd", 30, 30, "片"),
    "D010": Dose("阿卡波糖片", "50", "mg", "tid", 30, 90, "片"),
    "D018": Dose("达格列净片", "10", "mg", "qd", 30, 30, "片"),
    "D032": Dose("苯磺酸氨氯地平片", "5", "mg", "qd", 28, 28, "片"),
    "D048": Dose("缬沙坦胶囊", "80", "mg", "qd", 28, 28, "粒"),
    "D054": Dose("沙库巴曲缬沙坦钠片", "100", "mg", "bid", 28, 56, "片"),
    "D065": Dose("琥珀酸美托洛尔缓释片", "47.5", "mg", "qd", 28, 28, "片"),
    "D072": Dose("阿托伐他汀钙片", "20", "mg", "qd", 28, 28, "片"),
    "D081": Dose("阿司匹林肠溶片", "100", "mg", "qd", 30, 30, "片"),
    "D082": Dose("硫酸氢氯吡格雷片", "75", "mg", "qd", 28, 28, "片"),
    "D086": Dose("利伐沙班片", "20", "mg", "qd", 28, 28, "片"),
    "D106": Dose("左甲状腺素钠片", "50", "μg", "qd", 84, 100, "片"),
    "D145": Dose("恩替卡韦片", "0.5", "mg", "qd", 28, 28, "片"),
    "D184": Dose("硫酸吗啡缓释片", "30", "mg", "q12h", 7, 14, "片"),
    "D187": Dose("复方丹参滴丸", "10", "丸", "tid", 30, 5, "瓶", "tcm_patent"),
}
OVERDOSE = Dose("盐酸二甲双胍片", "1000", "mg", "tid", 30, 180, "片")

DIAGNOSES = {
    "E11.900": "2型糖尿病", "I10.x00": "特发性(原发性)高血压", "I25.103": "冠状动脉粥样硬化性心脏病",
    "B18.100": "慢性乙型病毒性肝炎", "I50.900": "心力衰竭", "E03.900": "甲状腺功能减退症", "I48.x00": "心房颤动和扑动",
    "E78.500": "高脂血症", "R52.900": "疼痛",
}


@dataclass(frozen=True)
class Case:
    """The content of a prescription."""

    drugs: tuple[str, ...]
    diagnoses: tuple[str, ...]
    disease: str = ""
    overdose: bool = False


ORDINARY = (
    Case(("D032",), ("I10.x00",), "M03900"),
    Case(("D001", "D010"), ("E11.900",), "M01600"),
    Case(("D081",), ("I25.103",), "M04600"),
    Case(("D032", "D048", "D065"), ("I10.x00",), "M03900"),
    Case(("D018",), ("E11.900",), "M01600"),
    Case(("D048",), ("I10.x00",), "M03900"),
    Case(("D001", "D010", "D018"), ("E11.900",), "M01600"),
    Case(("D187",), ("I25.103",), "M04600"),
    Case(("D065",), ("I10.x00",), "M03900"),
    Case(("D001",), ("E11.900",), "M01600"),
)
HEPATITIS = Case(("D145",), ("B18.100",), "M00201")


@dataclass(frozen=True)
class Scenario:
    """What kind of prescription, how it ends, and how often there is one."""

    share: float
    cases: tuple[Case, ...]
    ends: frozenset[str]
    money: str
    """`settled`, `none`, `reversed` or `resettled`."""
    note: str
    note_en: str
    cancel: CancelWhen | None = None
    near_ankang: bool = False


_SETTLED = frozenset({"settled", "closed"})

SCENARIOS: Mapping[str, Scenario] = {
    "settled_pickup": Scenario(0.31, ORDINARY, _SETTLED, "settled", "自提,结算", "collected and settled"),
    "settled_home": Scenario(0.31, ORDINARY, _SETTLED, "settled", "配送到家,结算", "delivered and settled"),
    "refused": Scenario(0.08, (
        Case(("D184",), ("R52.900",)), Case(("D003", "D005"), ("E11.900",), "M01600"),
        Case(("D001", "D010", "D018", "D032", "D048", "D065"), ("E11.900", "I10.x00"), "M01600"),
        Case(("D001",), ("E11.900",), "M01600", overdose=True),
    ), frozenset({"refused"}), "none", "智能审核拒绝", "refused by the audit"),
    "returned": Scenario(0.05, (Case(("D032",), ("E78.500",)),), frozenset({"returned"}), "none",
                         "药师退回:适应证不适宜", "returned by the pharmacist: off label"),
    "declined": Scenario(0.08, (Case(("D086",), ("I48.x00",)),), _SETTLED, "settled",
                         "一家拒单,另一家完成", "one chain declines, the other fills it", near_ankang=True),
    "silent": Scenario(0.02, (Case(("D082",), ("I25.103",), "M04600"),), _SETTLED, "settled",
                       "一家不答复,另一家完成", "one chain stays silent, the other fills it", near_ankang=True),
    "expired": Scenario(0.03, (HEPATITIS,), frozenset({"expired"}), "none",
                        "无药房有货,过期", "nobody has it; it expires"),
    "cancelled_before": Scenario(0.02, ORDINARY, frozenset({"cancelled"}), "none",
                                 "撤销先于处方到达", "the cancel arrives first", "before"),
    "cancelled_waiting": Scenario(0.03, (HEPATITIS,), frozenset({"cancelled"}), "none",
                                  "等待药房时撤销", "cancelled while nobody can fill it", "waiting"),
    "cancelled_fulfilling": Scenario(0.02, (Case(("D054",), ("I50.900",), "M04301"),), frozenset({"cancelled"}), "none",
                                     "药房已有订单时撤销", "cancelled while a pharmacy has the order", "fulfilling"),
    "returned_whole": Scenario(0.03, (Case(("D106",), ("E03.900",)),), frozenset({"settled", "closed"}), "reversed",
                               "整单退药,结算撤销", "brought back whole: the claim is reversed"),
    "returned_part": Scenario(0.02, (Case(("D048", "D072"), ("I25.103", "I10.x00"), "M04600"),), _SETTLED, "resettled",
                              "部分退药,重新结算", "brought back in part: reversed and settled again"),
}


@dataclass(frozen=True)
class Planned:
    """One prescription of the day and how it must end."""

    key: str
    """Bundle.identifier.value."""
    external_id: str
    scenario: str
    bundle: bytes = field(repr=False)
    cancel: bytes | None = field(repr=False)
    cancel_when: CancelWhen | None
    expected_status: frozenset[str]
    expected_money: str
    note: str
    note_en: str


@dataclass(frozen=True)
class Plan:
    """A day of one hospital, and the people it is about."""

    city: str
    hospital: str
    prescriptions: tuple[Planned, ...]
    conflict: tuple[str, bytes] = field(repr=False)
    """A key of the day with other bytes: must be answered 409."""
    broken: tuple[bytes, ...] = field(repr=False)
    """Messages that must be answered 422."""
    people: tuple[Document, ...] = field(repr=False)

    def save(self, hospital_state: Path, insurer_state: Path) -> None:
        """Write plan.json for the hospital and people.json for the insurance centre."""
        for folder in (hospital_state, insurer_state):
            folder.mkdir(parents=True, exist_ok=True)
        _write(insurer_state / "people.json", list(self.people))
        _write(hospital_state / "plan.json", {
            "city": self.city, "hospital": self.hospital,
            "conflict": [self.conflict[0], _text(self.conflict[1])], "broken": [_text(body) for body in self.broken],
            "prescriptions": [asdict(planned) | {
                "bundle": _text(planned.bundle), "cancel": _text(planned.cancel) if planned.cancel else None,
                "expected_status": sorted(planned.expected_status),
            } for planned in self.prescriptions],
        })

    @classmethod
    def load(cls, hospital_state: Path) -> "Plan":
        """The plan a hospital finds in its state folder, without the people's registration."""
        saved = json.loads((hospital_state / "plan.json").read_text(encoding="utf-8"))
        return cls(
            saved["city"], saved["hospital"],
            tuple(Planned(**planned | {
                "bundle": base64.b64decode(planned["bundle"]),
                "cancel": base64.b64decode(planned["cancel"]) if planned["cancel"] else None,
                "expected_status": frozenset(planned["expected_status"]),
            }) for planned in saved["prescriptions"]),
            (saved["conflict"][0], base64.b64decode(saved["conflict"][1])),
            tuple(base64.b64decode(body) for body in saved["broken"]), (),
        )


def make_plan(city: str, prescriptions: int, seed: int, now: datetime, expiring_seconds: int = 40) -> Plan:
    """A day of that many prescriptions; the same arguments give the same bytes.

    From 12 on every scenario is there at least once. `expiring_seconds` is what is left, at `now`, of
    the validity of those that expire; they come first.
    """
    luck, hospital = Faults(seed), HOSPITALS[city]
    names = [name for name, count in _counts(prescriptions).items() for _ in range(count)]
    ordered = sorted(enumerate(names), key=lambda item: (item[1] != "expired", luck.draw("order", item[0])))
    seen: dict[str, int] = {}
    ids: set[str] = set()
    stranger = 1_000_000
    planned, people = [], []
    for number, (_, name) in enumerate(ordered, 1):
        scenario = SCENARIOS[name]
        turn = seen[name] = seen.get(name, -1) + 1
        case = scenario.cases[turn % len(scenario.cases)]
        home = name == "settled_home" or (name in ("declined", "returned_whole") and turn % 2 == 1)
        issued = now - timedelta(minutes=2)
        if name == "expired":
            issued = now - timedelta(hours=24) + timedelta(seconds=expiring_seconds)
        who = person(number, seed, scenario.near_ankang)
        while who.id_number in ids:
            # In a large city two may have been born on one day under one sequence number: then it is somebody else.
            stranger += 1
            who = person(stranger, seed, scenario.near_ankang)
        ids.add(who.id_number)
        people.append(registration(who, case.disease))
        key, external_id = f"M{seed:04d}{number:05d}", f"RX{seed:04d}{number:05d}"
        planned.append(Planned(
            key, external_id, name, _bytes(bundle(hospital, key, external_id, case, who, issued, now, home)),
            _bytes(cancel(hospital, f"C{seed:04d}{number:05d}", external_id, now)) if scenario.cancel else None,
            scenario.cancel, scenario.ends, scenario.money, scenario.note, scenario.note_en))
    # The conflict is about a prescription nobody cancels: its own story must go on undisturbed.
    other = next(one for one in planned if one.scenario == "settled_pickup")
    changed = json.loads(other.bundle)
    changed["timestamp"] = _time(now + timedelta(seconds=1))
    return Plan(city, hospital, tuple(planned), (other.key, _bytes(changed)),
                tuple(_broken(hospital, seed, now)), tuple(people))


def _counts(prescriptions: int) -> dict[str, int]:
    """How many of each scenario; whatever is left over is settled."""
    names = list(SCENARIOS)
    if prescriptions < len(names):
        return {name: int(place < prescriptions) for place, name in enumerate(names)}
    counts = {name: max(1, round(scenario.share * prescriptions)) for name, scenario in SCENARIOS.items()}
    settled = prescriptions - sum(count for name, count in counts.items() if not name.startswith("settled"))
    return counts | {"settled_pickup": settled - settled // 2, "settled_home": settled // 2}


def bundle(hospital: str, key: str, external_id: str, case: Case, who: Person, issued: datetime, now: datetime,
           home: bool) -> Document:
    """A prescription as the contract describes it (1.1)."""
    def url(name: str) -> str:
        return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{hospital}/{key}/{name}')}"

    def entry(name: str, resource: Document) -> Document:
        return {"fullUrl": url(name), "resource": resource}

    patient: Document = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.3", "value": who.id_number}],
        "name": [{"text": who.name}], "gender": "male" if who.male else "female", "birthDate": who.born.isoformat(),
        "telecom": [{"system": "phone", "value": who.phone}],
        "address": [{"text": who.address, "district": who.place[0], "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
                {"url": "latitude", "valueDecimal": float(who.place[1])},
                {"url": "longitude", "valueDecimal": float(who.place[2])}]}]}],
    }
    encounter: Document = {
        "resourceType": "Encounter", "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"},
        "type": [{"coding": [{"system": f"{CODES}/visit-type", "code": "follow-up"}]}],
        "subject": {"reference": url("patient")},
        "extension": [{"url": f"{EXTENSION}/revisit-proof", "extension": [
            {"url": "issued", "valueDate": (now - timedelta(days=60)).date().isoformat()},
            *({"url": "diagnosis", "valueCode": code[:3]} for code in case.diagnoses)]}],
    }
    coverage: Document = {
        "resourceType": "Coverage", "status": "active",
        "type": {"coding": [{"system": f"{CODES}/insutype", "code": who.insutype}]},
        "beneficiary": {"reference": url("patient")}, "payor": [{"display": "医保"}],
        "extension": [{"url": f"{EXTENSION}/insured-place", "valueCode": "370100"}]
        + ([{"url": f"{EXTENSION}/chronic-disease", "valueCode": case.disease}] if case.disease else []),
    }
    conditions = [entry(f"condition-{code}", {
        "resourceType": "Condition",
        "code": {"coding": [{"system": "urn:oid:2.16.156.10011.2.3.3.11", "code": code, "display": DIAGNOSES[code]}]},
        "subject": {"reference": url("patient")}, "encounter": {"reference": url("encounter")},
    }) for code in case.diagnoses]
    requests = [entry(f"item-{line}", _request(
        hospital, external_id, line, drug, OVERDOSE if case.overdose else DOSES[drug], issued, home,
        {name: {"reference": url(name)} for name in ("patient", "encounter", "practitioner", "coverage")},
        [{"reference": url(f"condition-{code}")} for code in case.diagnoses],
    )) for line, drug in enumerate(case.drugs, 1)]
    return {
        "resourceType": "Bundle", "type": "collection",
        "identifier": {"system": f"urn:{hospital}:message", "value": key}, "timestamp": _time(now),
        "entry": [
            entry("patient", patient),
            entry("practitioner", {
                "resourceType": "Practitioner",
                "identifier": [{"system": f"{CANONICAL}/sid/physician", "value": "D370100000001"}],
                "name": [{"text": "示范医师"}],
                "extension": [{"url": f"{EXTENSION}/independent-years", "valueInteger": 8}]}),
            entry("organization", {
                "resourceType": "Organization",
                "identifier": [{"system": f"{CANONICAL}/sid/institution", "value": "H37010000001"}],
                "name": "济南示范医院"}),
            entry("encounter", encounter), *conditions, entry("coverage", coverage), *requests,
        ],
    }


def _request(hospital: str, external_id: str, line: int, drug: str, dose: Dose, issued: datetime, home: bool,
             refer: Mapping[str, Document], reasons: Sequence[Document]) -> Document:
    amount = float(dose.amount)
    return {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "groupIdentifier": {"system": f"urn:{hospital}:prescription", "value": external_id},
        "identifier": [{"system": f"urn:{hospital}:item", "value": f"{external_id}-{line}"}],
        "category": [{"coding": [{"system": f"{CODES}/drug-kind", "code": dose.kind}]}],
        "medicationCodeableConcept": {"coding": [{"system": f"{CODES}/drug", "code": drug, "display": dose.name}]},
        "subject": refer["patient"], "encounter": refer["encounter"], "authoredOn": _time(issued),
        "requester": refer["practitioner"], "reasonReference": list(reasons), "insurance": [refer["coverage"]],
        "courseOfTherapyType": {"coding": [{"system": f"{CODES}/prescription-kind", "code": "long_term"}]},
        "dosageInstruction": [{
            "timing": {"code": {"coding": [{"system": f"{CODES}/frequency", "code": dose.frequency}]}},
            "route": {"coding": [{"system": f"{CODES}/route", "code": "PO"}]},
            "doseAndRate": [{"doseQuantity": {
                "value": int(amount) if amount.is_integer() else amount, "unit": dose.dose_unit}}]}],
        "dispenseRequest": {
            "validityPeriod": {"start": _time(issued), "end": _time(issued + timedelta(hours=24))},
            "quantity": {"value": dose.quantity, "unit": dose.unit},
            "expectedSupplyDuration": {
                "value": dose.days, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}},
        "extension": [
            {"url": f"{EXTENSION}/handover", "valueCode": "home" if home else "pickup"},
            {"url": f"{EXTENSION}/extend-reason", "valueString": "慢性病病情稳定"},
            {"url": f"{EXTENSION}/long-term-assessed", "valueBoolean": True},
            {"url": f"{EXTENSION}/patient-acknowledged", "valueBoolean": True}],
    }


def cancel(hospital: str, key: str, external_id: str, now: datetime) -> Document:
    """The prescriber takes a prescription back (contract 1.2)."""
    return {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "identifier": [{"system": f"urn:{hospital}:message", "value": key}],
        "code": {"coding": [{"system": f"{CODES}/task", "code": "cancel"}]},
        "focus": {"identifier": {"system": f"urn:{hospital}:prescription", "value": external_id}},
        "reasonCode": {"coding": [{"system": f"{CODES}/cancel-reason", "code": "prescriber"}]},
        "authoredOn": _time(now),
    }


def _broken(hospital: str, seed: int, now: datetime) -> list[bytes]:
    """Two messages a careless interface might send: no patient; a wrong check digit and no dose."""
    bodies = []
    for number, spoil in enumerate((_without_patient, _without_dose), 1):
        key = f"B{seed:04d}{number:05d}"
        body = bundle(hospital, key, f"RXB{seed:04d}{number:05d}", ORDINARY[0], person(900 + number, seed, False), now,
                      now, False)
        spoil(body)
        bodies.append(_bytes(body))
    return bodies


def _without_patient(body: Document) -> None:
    del body["entry"][0]


def _without_dose(body: Document) -> None:
    number: str = body["entry"][0]["resource"]["identifier"][0]["value"]
    body["entry"][0]["resource"]["identifier"][0]["value"] = number[:-1] + ("1" if number[-1] != "1" else "2")
    del body["entry"][-1]["resource"]["dosageInstruction"]


def _bytes(resource: Document) -> bytes:
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def _time(at: datetime) -> str:
    return at.astimezone(BEIJING).isoformat(timespec="seconds")


def _text(body: bytes) -> str:
    return base64.b64encode(body).decode()


def _write(file: Path, body: Any) -> None:
    # Renamed into place, so that a process waiting for the file never reads half of it.
    part = file.with_suffix(".part")
    part.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")
    part.rename(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sandbox.plan", description=__doc__)
    parser.add_argument("--city", default="jinan", choices=sorted(HOSPITALS))
    parser.add_argument("--prescriptions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--expiring-seconds", type=int, default=40)
    parser.add_argument("--hospital-state", type=Path, required=True, help="gets plan.json")
    parser.add_argument("--insurer-state", type=Path, required=True, help="gets people.json")
    given = parser.parse_args()
    make_plan(given.city, given.prescriptions, given.seed, datetime.now(UTC), given.expiring_seconds).save(
        given.hospital_state, given.insurer_state)
