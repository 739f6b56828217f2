"""What a hospital says of a prescription in any dialect: a translation fills in a draft, each value with its spot."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.findings import NOWHERE, Spot


@dataclass(frozen=True)
class Datum:
    """A value as the hospital wrote it, and where it stood."""

    value: str = field(repr=False)
    spot: Spot = NOWHERE


NOTHING = Datum("")
"""The hospital wrote nothing: the element is left out."""


@dataclass(frozen=True)
class PatientDraft:
    id_number: Datum = NOTHING
    name: Datum = NOTHING
    gender: Datum = NOTHING
    """`male` or `female`."""
    birth_date: Datum = NOTHING
    """YYYY-MM-DD."""
    phone: Datum = NOTHING
    address: Datum = NOTHING
    district: Datum = NOTHING
    """Six-digit division code."""
    latitude: Datum = NOTHING
    """Degrees."""
    longitude: Datum = NOTHING
    allergies: Sequence[Datum] = ()
    """allergy_id of allergy_groups.csv."""
    pregnancy_weeks: Datum = NOTHING
    lactating: Datum = NOTHING
    """`true` or `false`."""
    guardian_confirmed: Datum = NOTHING
    allergy_words: Sequence[Datum] = ()
    """Allergies in words, which no code of ours stands for."""
    no_known_allergies: Datum = NOTHING
    """`true` where the hospital says that none are known; nothing where it says nothing."""
    credential: Datum = NOTHING
    """The insurance's electronic credential (医保电子凭证)."""
    guardian: "GuardianDraft | None" = None


@dataclass(frozen=True)
class GuardianDraft:
    name: Datum
    id_number: Datum
    relationship: Datum
    """Code of CodeSystem/guardianship."""


@dataclass(frozen=True)
class DiagnosisDraft:
    code: Datum
    name: Datum = NOTHING


@dataclass(frozen=True)
class ItemDraft:
    """One drug. Codes are ours already: the translation has mapped them."""

    number: Datum
    """The hospital's own item number."""
    drug: Datum
    name: Datum
    kind: Datum
    """`western`, `tcm_patent` or `tcm_piece`."""
    dose: Datum
    dose_unit: Datum
    frequency: Datum
    route: Datum
    quantity: Datum
    unit: Datum
    days: Datum
    """Days' supply."""
    usage: Datum = NOTHING
    """Directions in words."""
    overdose_reason: Datum = NOTHING
    note: Datum = NOTHING
    """What else the prescriber wrote to this line."""
    decoction_mark: Datum = NOTHING
    """Code of CodeSystem/decoction-mark, of a piece."""
    skin_test: Datum = NOTHING
    """`negative` or `positive` (A-37)."""
    skin_test_at: Datum = NOTHING
    """ISO 8601 with an offset."""
    skin_test_exemption: Datum = NOTHING
    """Why no test is needed, in words."""
    approval: Datum = NOTHING
    """hospApprFlag: `1` covered, `0` not, `2` own expense (F-04)."""
    strength: Datum = NOTHING
    """Content of one counted unit, a number in `dose_unit`s."""
    pack_size: Datum = NOTHING
    """Counted units in one pack."""


@dataclass(frozen=True)
class DecoctionDraft:
    """How a prescription of pieces is prepared and taken."""

    doses: Datum
    """剂."""
    method: Datum
    """Code of CodeSystem/decoction-method."""
    times: Datum
    """Portions a day."""


@dataclass(frozen=True)
class ReadingDraft:
    """A value measured at home, or a pair of them (blood pressure)."""

    code: Datum
    """LOINC."""
    at: Datum
    """ISO 8601 with an offset."""
    value: Datum = NOTHING
    unit: Datum = NOTHING
    """UCUM."""
    parts: Sequence[tuple[Datum, Datum, Datum]] = ()
    """LOINC, value and UCUM unit of each component."""


@dataclass(frozen=True)
class SignatureDraft:
    at: Datum
    """ISO 8601 with an offset."""
    data: Datum
    """Base64."""


@dataclass(frozen=True)
class Draft:
    """One prescription as a hospital sent it."""

    hospital: str
    """Slug."""
    key: Datum
    number: Datum
    """The hospital's prescription number."""
    sent: Datum
    """ISO 8601 with an offset."""
    issued: Datum
    valid_until: Datum
    rx_kind: Datum
    """`general`, `emergency` or `long_term`."""
    handover: Datum
    """`pickup` or `home`."""
    patient: PatientDraft
    physician: Datum
    """National code of the physician, D and 12 digits."""
    physician_name: Datum
    institution: Datum
    """National code of the institution, H and 11 digits."""
    institution_name: Datum
    visit_class: Datum
    """`VR` internet, `AMB` outpatient."""
    visit_type: Datum
    """`first` or `follow-up`."""
    insutype: Datum
    insured_place: Datum
    diagnoses: Sequence[DiagnosisDraft]
    items: Sequence[ItemDraft]
    chronic_disease: Datum = NOTHING
    proof_issued: Datum = NOTHING
    """YYYY-MM-DD of the stored proof of the earlier diagnosis (A-10)."""
    proof_diagnoses: Sequence[Datum] = ()
    independent_years: Datum = NOTHING
    extend_reason: Datum = NOTHING
    long_term_assessed: Datum = NOTHING
    """`true` or `false`."""
    patient_acknowledged: Datum = NOTHING
    valid_reason: Datum = NOTHING
    """Why it is valid for two or three days (A-01)."""
    note: Datum = NOTHING
    """What the prescriber wrote to the whole prescription."""
    department: Datum = NOTHING
    """Code of the department (诊疗科目, `07` paediatrics)."""
    department_name: Datum = NOTHING
    title: Datum = NOTHING
    """Code of CodeSystem/title."""
    visit_number: Datum = NOTHING
    """The hospital's number of the visit."""
    decoction: DecoctionDraft | None = None
    renewal_first: Datum = NOTHING
    """The hospital's number of the prescription that this one renews."""
    renewal_start: Datum = NOTHING
    """YYYY-MM-DD."""
    renewal_end: Datum = NOTHING
    """YYYY-MM-DD."""
    readings: Sequence[ReadingDraft] = ()
    signature: SignatureDraft | None = None


@dataclass(frozen=True)
class CancelDraft:
    hospital: str
    key: Datum
    number: Datum
    """Of the prescription that is taken back."""
    reason: Datum
    """Code of CodeSystem/cancel-reason."""
    at: Datum
