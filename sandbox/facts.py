"""What a simulated doctor wrote, before any dialect puts it into words."""

from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Diagnosed:
    code: str
    """ICD-10, national insurance version."""
    name: str


@dataclass(frozen=True)
class Medicine:
    """One line of the prescription."""

    drug: str
    """Our catalogue code; a dialect may write the hospital's own code for it."""
    name: str
    amount: str
    """Single dose."""
    dose_unit: str
    frequency: str
    """Code of frequency_codes.csv, e.g. `bid`."""
    days: int
    quantity: int
    unit: str
    kind: str = "western"
    directions: str = ""
    """How to take it, in words that add to the codes and never contradict them."""
    note: str = ""
    """What else is written to this line."""
    approval: str | None = None
    """hospApprFlag (F-04): `1` the fund's conditions of a restricted drug are met, `0` they are not (or the drug has none).

    `2` the patient pays; None if the hospital does not answer.
    """


@dataclass(frozen=True)
class Facts:
    """One prescription. Times carry an offset."""

    hospital: str
    """Slug."""
    key: str
    """The message's own key."""
    external_id: str
    """The hospital's prescription number."""
    issued: datetime
    """Valid for `valid_days` times 24 hours from here."""
    sent: datetime
    home: bool
    """Deliver to the patient's home; collected otherwise."""
    chronic_disease: str
    """Code of 门诊慢特病, or empty."""
    diagnoses: tuple[Diagnosed, ...]
    medicines: tuple[Medicine, ...]
    name: str = field(repr=False)
    id_number: str = field(repr=False)
    male: bool = field(repr=False)
    born: date = field(repr=False)
    phone: str = field(repr=False)
    address: str = field(repr=False)
    district: str
    latitude: str
    longitude: str
    insutype: str
    insured_place: str = "370100"
    physician: str = "D370100000001"
    physician_name: str = "示范医师"
    physician_years: int = 8
    institution: str = "H37010000001"
    institution_name: str = "济南示范医院"
    proof_issued: date | None = None
    """Of the stored proof of the earlier diagnosis; its codes are the first three characters of the diagnoses."""
    extend_reason: str = "慢性病病情稳定"
    department: str = "03"
    """诊疗科目 (医疗机构诊疗科目名录): two digits, with `.` and two more for a part of it: `03.07` 内分泌专业, `07` 儿科.
    The insurance's department code is the same behind an A: `A03.07`."""
    department_name: str = "内科"
    """As the hospital calls it."""
    title: str = "233"
    """drord_dr_profttl: 231 主任医师, 232 副主任医师, 233 主治医师, 234 医师."""
    visit_number: str = ""
    valid_days: int = 1
    """1 to 3."""
    valid_reason: str = ""
    """Why it is valid for more than a day (A-01)."""
    note: str = ""
    """What is written to the whole prescription."""
    allergy_words: tuple[str, ...] = ()
    """Allergies in words no code stands for."""
    decoction: tuple[int, str, int] | None = None
    """Of pieces: doses, how they are prepared (`decoct`, `decoct-by-pharmacy`), portions a day."""
    no_known_allergies: bool = False
    """The doctor asked, and there are none; False with no words: the question was not answered."""

    @property
    def valid_until(self) -> datetime:
        return self.issued + timedelta(days=self.valid_days)

    def as_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return plain | {name: plain[name].isoformat() for name in ("issued", "sent", "born")} | {
            "proof_issued": self.proof_issued.isoformat() if self.proof_issued else None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Facts":
        proof = values["proof_issued"]
        return cls(**values | {
            "issued": datetime.fromisoformat(values["issued"]), "sent": datetime.fromisoformat(values["sent"]),
            "born": date.fromisoformat(values["born"]), "proof_issued": date.fromisoformat(proof) if proof else None,
            "allergy_words": tuple(values["allergy_words"]),
            "decoction": tuple(values["decoction"]) if values["decoction"] else None,
            "diagnoses": tuple(Diagnosed(**diagnosis) for diagnosis in values["diagnoses"]),
            "medicines": tuple(Medicine(**medicine) for medicine in values["medicines"])})
