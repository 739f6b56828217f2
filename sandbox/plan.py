"""A day of prescriptions with known endings. What happens to each is caused by its content alone."""

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from sandbox.book import Document
from sandbox.doors import LOST_ON_THE_WAY, NEVER_PAYS, NEVER_THERE, OUT_ALL_DAY, PAYS_LATER
from sandbox.facts import Diagnosed, Facts, Medicine
from sandbox.faults import Faults
from sandbox.people import Person, person, registration

HOSPITALS: Mapping[str, Mapping[str, str]] = {
    "jinan": {"jinan_first": "fhir", "jinan_second": "erx", "jinan_tcm": "cda", "jinan_central": "hl7v2",
              "jinan_county": "dropbox"},
}
"""City -> its hospitals and what each speaks."""
BEIJING = timezone(timedelta(hours=8))

VISITORS = 2_000_000
"""From this number on people are patients of the samples."""

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
    directions: str
    kind: str = "western"
    approval: str = "0"
    """What the hospital says of the fund's conditions when it says anything: `1` for a restricted drug whose are met."""


DOSES: Mapping[str, Dose] = {
    "D001": Dose("盐酸二甲双胍片", "500", "mg", "bid", 30, 60, "片", "随餐服用"),
    "D002": Dose("盐酸二甲双胍缓释片", "1000", "mg", "qd", 30, 60, "片", "晚餐时整片吞服"),
    "D003": Dose("格列齐特缓释片", "30", "mg", "qd", 28, 28, "片", "早餐时整片吞服"),
    "D005": Dose("格列美脲片", "2", "mg", "qd", 30, 30, "片", "早餐前服用"),
    "D010": Dose("阿卡波糖片", "50", "mg", "tid", 30, 90, "片", "用餐前即刻整片吞服"),
    "D018": Dose("达格列净片", "10", "mg", "qd", 30, 30, "片", "早晨服用"),
    "D032": Dose("苯磺酸氨氯地平片", "5", "mg", "qd", 28, 28, "片", "早晨服用"),
    "D032B": Dose("苯磺酸氨氯地平片", "5", "mg", "qd", 28, 28, "片", "早晨服用"),
    "D041": Dose("马来酸依那普利片", "10", "mg", "qd", 30, 30, "片", "早晨服用"),
    "D048": Dose("缬沙坦胶囊", "80", "mg", "qd", 28, 28, "粒", "清晨空腹服用"),
    "D054": Dose("沙库巴曲缬沙坦钠片", "100", "mg", "bid", 28, 56, "片", "餐前餐后均可", approval="1"),
    "D065": Dose("琥珀酸美托洛尔缓释片", "47.5", "mg", "qd", 28, 28, "片", "早晨服用,不可咀嚼"),
    "D072": Dose("阿托伐他汀钙片", "20", "mg", "qd", 28, 28, "片", "晚间服用"),
    "D074": Dose("辛伐他汀片", "20", "mg", "qd", 28, 28, "片", "晚间服用"),
    "D081": Dose("阿司匹林肠溶片", "100", "mg", "qd", 30, 30, "片", "餐前用水整片吞服"),
    "D082": Dose("硫酸氢氯吡格雷片", "75", "mg", "qd", 28, 28, "片", "餐前餐后均可"),
    "D086": Dose("利伐沙班片", "20", "mg", "qd", 28, 28, "片", "与食物同服"),
    "D090": Dose("单硝酸异山梨酯缓释片", "40", "mg", "qd", 24, 24, "片", "早晨整片吞服"),
    "D106": Dose("左甲状腺素钠片", "50", "μg", "qd", 84, 100, "片", "早餐前半小时空腹服用"),
    "D145": Dose("恩替卡韦片", "0.5", "mg", "qd", 28, 28, "片", "空腹服用,与进餐隔开"),
    "D184": Dose("硫酸吗啡缓释片", "30", "mg", "q12h", 7, 14, "片", "整片吞服,不可掰开"),
    "YP101": Dose("黄芪", "30", "g", "qd", 7, 210, "g", "饭后温服", "tcm_piece"),
    "YP103": Dose("当归", "12", "g", "qd", 7, 84, "g", "饭后温服", "tcm_piece"),
    "YP113": Dose("牡蛎", "30", "g", "qd", 7, 210, "g", "先煎", "tcm_piece"),
    "YP114": Dose("薄荷", "6", "g", "qd", 7, 42, "g", "后下", "tcm_piece"),
    "YP104": Dose("党参", "15", "g", "qd", 7, 105, "g", "饭后温服", "tcm_piece"),
    "YP107": Dose("茯苓", "15", "g", "qd", 7, 105, "g", "饭后温服", "tcm_piece"),
    "D187": Dose("复方丹参滴丸", "10", "丸", "tid", 30, 5, "瓶", "餐后吞服", "tcm_patent"),
}


def prescribed(drug: str) -> int:
    """Counted units that a hospital of the day prescribes of a drug at a time; 0 of one that none does."""
    return DOSES[drug].quantity if drug in DOSES else 0


def twice(sales: Sequence[Document]) -> bool:
    """Whether several sales for one prescription come to more of a drug than a hospital of the day prescribes."""
    sums: dict[str, Decimal] = {}
    for sale in sales:
        for line in sale["lines"]:
            sums[line["drug"]] = sums.get(line["drug"], Decimal(0)) + Decimal(line["quantity"])
    return len(sales) > 1 and any(quantity > prescribed(drug) for drug, quantity in sums.items())


OVERDOSE = Dose("盐酸二甲双胍片", "1000", "mg", "tid", 30, 180, "片", "随餐服用")

DEPARTMENTS = {
    "E": ("03.07", "内分泌科"), "I": ("03.04", "心血管内科"), "B": ("16.03", "肝病科"), "R": ("03", "内科"),
}
"""First letter of the main diagnosis -> 诊疗科目 and the hospital's name for it."""
TCM_DEPARTMENT = ("50.01", "中医内科")
VALIDITY = ((3, "患者行动不便,由家属择日取药"), (2, "患者住处偏远,当日难以取药"))
NOTES = ("请核对患者近期血压记录", "请电话联系患者后再配送", "如有不适请及时复诊")
ITEM_NOTES = ("与上次处方同一厂家", "请告知患者用药时间")
ALLERGIES = (("对海鲜过敏",), ("花粉过敏", "曾因不明药物起皮疹"))
"""In words no code stands for: the pharmacist must look."""

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
    address: str = ""
    """What stands at the end of the patient's address: the courier goes by it."""
    decoction: tuple[int, str, int] | None = None
    """Of pieces: doses, method and portions a day. They are prescribed at the hospital of Chinese medicine."""


SHARED = ("split", "part")
"""Scenarios in which several orders fill a prescription."""

CHOSEN, UNCHOSEN, SUBSTITUTED, VILLAGE, VILLAGE_LATE = CHOOSERS = (
    "chosen", "unchosen", "substituted", "village_pickup", "village_pickup_late")
"""Scenarios of patients who choose the pharmacy: at the hospital whose app shows them their page, where it is among the day's."""
AT_A_POINT = (VILLAGE, VILLAGE_LATE)
RECALLED, RECALLED_AT_HOME, RECALLED_UNDER_WAY = "D002", "recalled", "recalled_under_way"
"""Drug of which the day's operator recalls the first lot, the scenario of who has it then, and of whose parcel is not sent yet."""
INSTEAD: Mapping[str, str] = {"D032B": "D032"}
"""Product that no pharmacy of the day has -> the one of the same generic that a patient agrees to."""
WITH_AN_APP = "jinan_first"
OF_PIECES = "jinan_tcm"
"""The hospital that prescribes pieces, where it is among the day's."""
WISHES_TO_CHOOSE = "患者要自选药店,请待其登记后审方"
"""What the doctor notes of them: the pharmacist gives the patient a moment to say so on their page."""
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
    "shop": Scenario(0.03, (Case(("D005",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                     "无信息系统的小药店，店员用平台页面完成", "a shop without a system, whose people work from our pages"),
    "courier": Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                        "小药店备药，城市配送员送到家", "packed by a shop, brought home by the city's courier"),
    "courier_again": Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                              "首次投递无人，第二次送到", "nobody at home; delivered at the second attempt",
                              address=OUT_ALL_DAY),
    "courier_back": Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), frozenset({"cancelled"}), "none",
                             "两次投递无人，退回药店", "nobody ever at home: it goes back to the shop", address=NEVER_THERE),
    "courier_lost": Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                             "包裹途中遗失，药店重新备药，第二个包裹送到",
                             "the parcel is lost on the way; the shop packs another one, which arrives", address=LOST_ON_THE_WAY),
    "courier_unpaid": Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                               "首次上门未付款，第二次付款后交付", "not paid at the first attempt, paid at the second",
                               address=PAYS_LATER),
    "courier_never_paid": Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), frozenset({"cancelled"}), "none",
                                   "两次上门未付款，退回药店", "never paid: it goes back to the shop", address=NEVER_PAYS),
    "tcm_decocted": Scenario(0.02, (Case(("YP101", "YP103", "YP113", "YP114"), ("I25.103",)),), _SETTLED, "settled",
                             "饮片代煎：煎药中心浸泡、煎煮、灌装、冷却，配送员送到家",
                             "pieces: decocted by a centre, step by step, and brought home by the courier",
                             decoction=(7, "decoct-by-pharmacy", 2)),
    "tcm_self": Scenario(0.02, (Case(("YP104", "YP107"), ("I25.103",)),), _SETTLED, "settled",
                         "饮片自煎：有饮片资质的小药店配药", "pieces that the patient decocts, from a shop that may dispense them",
                         decoction=(7, "decoct", 2)),
    "silent": Scenario(0.02, (Case(("D082",), ("I25.103",), "M04600"),), _SETTLED, "settled",
                       "一家不答复,另一家完成", "one chain stays silent, the other fills it", near_ankang=True),
    "split": Scenario(0.03, (Case(("D041", "D074"), ("I10.x00", "E78.500")),), _SETTLED, "settled",
                      "拆单:两家药店各配一味", "split: each of two pharmacies has one of the medicines"),
    "part": Scenario(0.02, (Case(("D090",), ("I25.103",), "M04600"),), _SETTLED, "settled",
                     "缺货:先给一部分,到货后补足", "nobody has all of it: a part now, the rest when it comes in"),
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
    CHOSEN: Scenario(0.02, (Case(("D001",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                     "患者自选药店:选得分第二的一家", "the patient chooses the pharmacy: the second of the list"),
    VILLAGE: Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                      "患者选村卫生室取药：药店配药，配送员送到，凭码付款领取",
                      "the patient collects it at a village clinic, where another pharmacy's parcel waits for them"),
    VILLAGE_LATE: Scenario(0.02, (Case(("D003",), ("E11.900",), "M01600"),), frozenset({"cancelled"}), "none",
                           "患者选村卫生室取药，到期未取，退回药店",
                           "nobody collects it at the village clinic in its time: it goes back to the pharmacy"),
    RECALLED_AT_HOME: Scenario(0.02, (Case((RECALLED,), ("E11.900",), "M01600"),), _SETTLED, "settled",
                               "取药后该批号被召回：列入须通知的患者", "its lot is recalled afterwards: the patient is to be told"),
    RECALLED_UNDER_WAY: Scenario(0.02, (Case((RECALLED,), ("E11.900",), "M01600"),), _SETTLED, "settled",
                                 "送出前该批号被召回：停止交付，换批号后送到",
                                 "its lot is recalled before it is sent out: it is packed anew, and delivered"),
    UNCHOSEN: Scenario(0.02, (Case(("D001",), ("E11.900",), "M01600"),), _SETTLED, "settled",
                       "患者要自选而未选:到时按排名安排", "the patient wants to choose and does not: the best is taken in the end"),
    SUBSTITUTED: Scenario(0.02, (Case(("D032B",), ("I10.x00",), "M03900"),), _SETTLED, "settled",
                          "所开产品缺货:患者同意用同通用名的另一产品",
                          "the product is out of stock: the patient agrees to another one of the same generic"),
}


@dataclass(frozen=True)
class Planned:
    """One prescription of the day and how it must end."""

    facts: Facts
    scenario: str
    cancel_key: str
    """Key of the message that takes it back; empty if it is not cancelled."""
    cancel_when: CancelWhen | None
    expected_status: frozenset[str]
    expected_money: str
    note: str
    note_en: str

    @property
    def key(self) -> str:
        return self.facts.key

    @property
    def external_id(self) -> str:
        return self.facts.external_id

    @property
    def shared(self) -> bool:
        """Whether several orders fill it."""
        return self.scenario in SHARED


@dataclass(frozen=True)
class Plan:
    """A day of a city's hospitals, and the people it is about."""

    city: str
    prescriptions: tuple[Planned, ...]
    conflicts: frozenset[str]
    """Keys of the day that are sent once more with another content: must be answered with a conflict."""
    broken: tuple[Facts, ...]
    """What each hospital writes that must be refused: two each."""
    people: tuple[Document, ...] = field(repr=False)

    @property
    def hospitals(self) -> list[str]:
        return sorted({planned.hospital for planned in self.broken} | {planned.facts.hospital for planned in self.prescriptions})

    def of(self, hospital: str) -> "Plan":
        """One hospital's part of it, without the people's registration."""
        mine = tuple(planned for planned in self.prescriptions if planned.facts.hospital == hospital)
        return Plan(self.city, mine, self.conflicts & {planned.key for planned in mine},
                    tuple(facts for facts in self.broken if facts.hospital == hospital), ())

    def save(self, folder: Path) -> None:
        """Write <hospital>/plan.json for each hospital and insurer/people.json for the insurance centre."""
        for name in (*self.hospitals, "insurer"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _write(folder / "insurer" / "people.json", list(self.people))
        for hospital in self.hospitals:
            _write(folder / hospital / "plan.json", self.of(hospital).as_json())

    def as_json(self) -> Document:
        """Without the people."""
        return {
            "city": self.city, "conflicts": sorted(self.conflicts), "broken": [facts.as_json() for facts in self.broken],
            "prescriptions": [asdict(planned) | {
                "facts": planned.facts.as_json(), "expected_status": sorted(planned.expected_status),
            } for planned in self.prescriptions],
        }

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """The plan a hospital finds in its folder; of a city's folder, the plans of all its hospitals."""
        files = [folder / "plan.json"] if (folder / "plan.json").exists() else sorted(folder.glob("*/plan.json"))
        return cls.from_json(*(json.loads(file.read_text(encoding="utf-8")) for file in files))

    @classmethod
    def from_json(cls, *saved: Document) -> "Plan":
        """The plans of some hospitals as one."""
        planned = [Planned(**planned | {
            "facts": Facts.from_json(planned["facts"]), "expected_status": frozenset(planned["expected_status"]),
        }) for plan in saved for planned in plan["prescriptions"]]
        return cls(saved[0]["city"], tuple(sorted(planned, key=lambda planned: planned.key)),
                   frozenset(key for plan in saved for key in plan["conflicts"]),
                   tuple(Facts.from_json(facts) for plan in saved for facts in plan["broken"]), ())


def make_plan(city: str, prescriptions: int, seed: int, now: datetime, expiring_seconds: int = 40,
              hospitals: Sequence[str] = ()) -> Plan:
    """A day of that many prescriptions, of all hospitals of the city or of some; the same arguments give the same day.

    From `ROUND` on every scenario is there at least once. `expiring_seconds` is what is left, at `now`, of
    the validity of those that expire; they come first.
    """
    luck, senders = Faults(seed), tuple(hospitals or HOSPITALS[city])
    names = [name for name, count in _counts(prescriptions).items() for _ in range(count)]
    ordered = sorted(enumerate(names), key=lambda item: (item[1] != "expired", luck.draw("order", item[0])))
    writer = _Writer(seed, senders)
    written = [writer.write(name, now, expiring_seconds) for _, name in ordered]
    planned = [planned for planned, _ in written]
    # A conflict is sent about a prescription that is not cancelled, so that the two scenarios do not mix.
    conflicts = {planned.facts.hospital: planned.key for planned in planned
                 if planned.scenario in ("settled_pickup", "settled_home")}
    broken = [_facts(hospital, f"B{seed:04d}{place:03d}{number:02d}", f"RXB{seed:04d}{place:03d}{number:02d}", ORDINARY[0],
                     person(900 + number, seed, False), now, now, False)
              for place, hospital in enumerate(senders) for number in (1, 2)]
    return Plan(city, tuple(planned), frozenset(conflicts.values()), tuple(broken), tuple(someone for _, someone in written))


class Trickle:
    """Prescriptions without end, after a beginning of some at once: in the shares of a day, and each patient comes once.

    The same arguments give the same ones.
    """

    def __init__(self, city: str, beginning: int, seed: int, now: datetime, expiring_seconds: int, hospitals: Sequence[str]
                 ) -> None:
        self.beginning = make_plan(city, beginning, seed, now, expiring_seconds, hospitals)
        self._expiring_seconds = expiring_seconds
        self._writer = _Writer(seed, hospitals, self.beginning)
        self._luck = Faults(seed)
        self._names: list[str] = []
        """Scenarios that are still to come of this round."""

    def next(self, now: datetime) -> Plan:
        """One more prescription, written now, and its patient."""
        if not self._names:
            names = [name for name, count in _counts(ROUND).items() for _ in range(count)]
            last = self._writer.number
            self._names = [name for _, name in sorted(enumerate(names), key=lambda item: self._luck.draw("order", last, item[0]))]
        planned, someone = self._writer.write(self._names.pop(), now, self._expiring_seconds)
        return Plan(self.beginning.city, (planned,), frozenset(), (), (someone,))


class _Writer:
    """Numbers prescriptions, and finds a patient for each who has none yet."""

    def __init__(self, seed: int, hospitals: Sequence[str], before: Plan | None = None) -> None:
        earlier = before.prescriptions if before else ()
        self.number = len(earlier)
        """Of the last that was written."""
        self._seed, self._hospitals, self._luck = seed, hospitals, Faults(seed)
        self._ids = {planned.facts.id_number for planned in earlier}
        self._turns = Counter(planned.scenario for planned in earlier)
        self._stranger = 1_000_000

    def write(self, name: str, now: datetime, expiring_seconds: int) -> tuple[Planned, Document]:
        """The next prescription, of this scenario, and its patient as the insurance centre registers them."""
        if SCENARIOS[name].decoction and OF_PIECES not in self._hospitals:
            name = "settled_pickup"  # Only that hospital prescribes pieces.
        if name in (SUBSTITUTED, VILLAGE_LATE) and WITH_AN_APP not in self._hospitals:
            name = "settled_pickup"  # Its patient must see the page to agree, or to choose the clinic.
        scenario, turn = SCENARIOS[name], self._turns[name]
        self._turns[name] += 1
        self.number += 1
        number, seed = self.number, self._seed
        case = scenario.cases[turn % len(scenario.cases)]
        either = name in ("declined", "shop", "returned_whole", *SHARED)
        brought = "settled_home", "tcm_decocted", RECALLED_UNDER_WAY, *AT_A_POINT
        home = name in brought or name.startswith("courier") or (either and turn % 2 == 1)
        issued = now - timedelta(minutes=2)
        if name == "expired":
            issued = now - timedelta(hours=24) + timedelta(seconds=expiring_seconds)
        who = person(number, seed, scenario.near_ankang)
        while who.id_number in self._ids:
            # In a large city two may have been born on one day under one sequence number: then it is another person.
            self._stranger += 1
            who = person(self._stranger, seed, scenario.near_ankang)
        self._ids.add(who.id_number)
        if name in ("shop", *AT_A_POINT) or name.startswith("courier"):
            # Without a personal account, so that something is to be paid at the counter or at the door.
            who = replace(who, balance=Decimal("0.00"))
        key, external_id = f"M{seed:04d}{number:05d}", f"RX{seed:04d}{number:05d}"
        hospital = self._hospitals[number % len(self._hospitals)]
        if name in CHOOSERS and WITH_AN_APP in self._hospitals:
            hospital = WITH_AN_APP
        if scenario.decoction:
            hospital = OF_PIECES
        facts = _facts(hospital, key, external_id, case, who, issued, now, home)
        facts = replace(facts, address=facts.address + scenario.address, decoction=scenario.decoction)
        return Planned(
            _told(facts, self._luck, number, name, turn), name, f"C{seed:04d}{number:05d}" if scenario.cancel else "",
            scenario.cancel, scenario.ends, scenario.money, scenario.note, scenario.note_en), registration(who, case.disease)


def samples(hospital: str, count: int, now: datetime) -> tuple[tuple[Facts, ...], tuple[Document, ...]]:
    """Ordinary prescriptions to send by hand, valid for three days, and their patients' registrations."""
    facts, people = [], []
    for number in range(1, count + 1):
        case, who = ORDINARY[(number - 1) % len(ORDINARY)], person(VISITORS + number, 1, False)
        written = _facts(hospital, f"SAMPLE-{number}", f"RXSAMPLE{number:02d}", case, who, now - timedelta(minutes=2), now,
                     home=number % 2 == 0)
        facts.append(replace(written, valid_days=3, valid_reason=VALIDITY[0][1], no_known_allergies=True))
        people.append(registration(who, case.disease))
    return tuple(facts), tuple(people)


def _counts(prescriptions: int) -> dict[str, int]:
    """How many of each scenario; the remainder is settled."""
    names = list(SCENARIOS)
    if prescriptions < len(names):
        return {name: int(place < prescriptions) for place, name in enumerate(names)}
    counts = {name: max(1, round(scenario.share * prescriptions)) for name, scenario in SCENARIOS.items()}
    settled = prescriptions - sum(count for name, count in counts.items() if not name.startswith("settled"))
    return counts | {"settled_pickup": settled - settled // 2, "settled_home": settled // 2}


ROUND = next(count for count in itertools.count(len(SCENARIOS)) if min(_counts(count).values()) > 0)
"""The fewest prescriptions of a day or a trickle in which every scenario comes."""


def _facts(hospital: str, key: str, external_id: str, case: Case, who: Person, issued: datetime, now: datetime,
           home: bool) -> Facts:
    doses = [(drug, OVERDOSE if case.overdose else DOSES[drug]) for drug in case.drugs]
    district, latitude, longitude = who.place
    department, department_name = (
        TCM_DEPARTMENT if hospital.endswith("_tcm") else DEPARTMENTS[case.diagnoses[0][:1]])
    # To the second: what is written is written so.
    return Facts(
        hospital, key, external_id, issued.astimezone(BEIJING).replace(microsecond=0),
        now.astimezone(BEIJING).replace(microsecond=0), home, case.disease,
        tuple(Diagnosed(code, DIAGNOSES[code]) for code in case.diagnoses),
        tuple(Medicine(drug, dose.name, dose.amount, dose.dose_unit, dose.frequency, dose.days, dose.quantity, dose.unit,
                       dose.kind, dose.directions, approval=dose.approval) for drug, dose in doses),
        who.name, who.id_number, who.male, who.born, who.phone, who.address, district, str(latitude), str(longitude),
        who.insutype, proof_issued=(now - timedelta(days=60)).date(), department=department, department_name=department_name,
        visit_number=f"V{external_id}")


def _told(facts: Facts, luck: Faults, number: int, scenario: str, turn: int) -> Facts:
    """What doctors say now and then, and what need not be said; nothing of it changes how the prescription ends."""
    settled = scenario.startswith("settled")
    silent = luck.draw("approval", number) < 0.3
    medicines = tuple(replace(
        medicine, approval=None if silent else medicine.approval,
        note=ITEM_NOTES[number % len(ITEM_NOTES)] if luck.draw("item note", number, line) < 0.1 else "",
    ) for line, medicine in enumerate(facts.medicines, 1))
    if settled and len(medicines) > 1 and turn % 2:
        medicines = (*medicines[:-1], replace(medicines[-1], approval="2"))
    days, reason = VALIDITY[number % len(VALIDITY)] if settled and turn % 4 == 0 else (1, "")
    words = ALLERGIES[number % len(ALLERGIES)] if settled and turn % 6 == 1 else ()
    return replace(
        facts, medicines=medicines, valid_days=days, valid_reason=reason, allergy_words=words,
        no_known_allergies=not words and luck.draw("allergies", number) < 0.6,
        note=WISHES_TO_CHOOSE if scenario in CHOOSERS else NOTES[number % len(NOTES)] if luck.draw("note", number) < 0.15 else "")


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
    parser.add_argument("--folder", type=Path, required=True, help="gets <hospital>/plan.json and insurer/people.json")
    options = parser.parse_args()
    make_plan(options.city, options.prescriptions, options.seed, datetime.now(UTC), options.expiring_seconds).save(options.folder)
