"""The names and closed code lists of the hospital contract: what may stand in a message, and nothing else."""

BASE = "https://sanyi.example/fhir"
"""Canonical base of everything we define in FHIR."""


def code_system(name: str) -> str:
    return f"{BASE}/CodeSystem/{name}"


def extension(name: str) -> str:
    return f"{BASE}/StructureDefinition/{name}"


def sid(name: str) -> str:
    """The system of an identifier whose values somebody else issues under our name for it."""
    return f"{BASE}/sid/{name}"


def own_system(hospital: str, name: str) -> str:
    """The system of an identifier a hospital issues: `message`, `prescription` or `item`."""
    return f"urn:{hospital}:{name}"


RESIDENT_ID = "urn:oid:2.16.156.10011.1.3"
ICD10 = "urn:oid:2.16.156.10011.2.3.3.11"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
UCUM = "http://unitsofmeasure.org"
GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"

DRUG_KINDS = frozenset({"western", "tcm_patent", "tcm_piece"})
RX_KINDS = frozenset({"general", "emergency", "long_term"})
HANDOVERS = frozenset({"pickup", "home"})
VISIT_CLASSES = frozenset({"VR", "AMB"})
"""VR internet, AMB outpatient."""
VISIT_TYPES = frozenset({"first", "follow-up"})
ROUTES = frozenset({"PO", "SC", "SL", "INH", "OPH"})
FREQUENCIES = frozenset({
    "qd", "bid", "tid", "qid", "q6h", "q8h", "q12h", "qn", "qm", "ac", "qod",
    "biw", "tiw", "qw", "q2w", "q4w", "qmonth", "prn", "st",
})
INSUTYPES = frozenset({
    "310", "320", "330", "340", "350", "360", "370", "380", "390", "391", "392", "399", "410", "510",
})
"""National insutype: 310 employee, 390 resident."""
CANCEL_REASONS = frozenset({"prescriber", "patient", "duplicate", "entered-in-error", "other"})
DOSE_UNITS = frozenset({
    "mg", "g", "μg", "U", "IU", "ml", "mL", "mmol", "片", "粒", "丸", "滴", "吸", "揿", "喷", "袋", "支", "贴",
})
"""Units of a single dose. The micro sign is compared after NFKC, so both of its code points are the same."""
PACK_UNITS = frozenset({
    "片", "粒", "丸", "支", "瓶", "盒", "袋", "贴", "枚", "板", "罐", "管", "包", "剂", "g", "ml", "mL",
})
"""Units a pharmacy counts when it hands over."""
VAGUE = ("遵医嘱", "按医嘱", "自用", "备用", "按说明", "见说明", "同前", "as directed", "as needed by patient")
"""Phrases that say nothing (A-20)."""
