"""What a simulated doctor wrote, before any dialect puts it into words."""

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
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
    """Valid for 24 hours from here."""
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

    def as_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return plain | {name: plain[name].isoformat() for name in ("issued", "sent", "born")} | {
            "proof_issued": self.proof_issued.isoformat() if self.proof_issued else None}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Facts":
        proof = given["proof_issued"]
        return cls(**given | {
            "issued": datetime.fromisoformat(given["issued"]), "sent": datetime.fromisoformat(given["sent"]),
            "born": date.fromisoformat(given["born"]), "proof_issued": date.fromisoformat(proof) if proof else None,
            "diagnoses": tuple(Diagnosed(**one) for one in given["diagnoses"]),
            "medicines": tuple(Medicine(**one) for one in given["medicines"])})
