"""The names and closed code lists of the hospital contract: what may stand in a message, and nothing else."""

from collections.abc import Mapping
from functools import cache
from unicodedata import normalize

from fhir_profiles import definitions
from fhir_profiles.definitions import codes_of, published_displays

BASE = definitions.BASE
"""Canonical base of everything we define in FHIR."""


def code_system(name: str) -> str:
    return f"{BASE}/CodeSystem/{name}"


def extension(name: str) -> str:
    return f"{BASE}/StructureDefinition/{name}"


def sid(name: str) -> str:
    """The system of an identifier whose values another authority issues and that we named."""
    return f"{BASE}/sid/{name}"


def own_system(hospital: str, name: str) -> str:
    """The system of an identifier a hospital issues: `message`, `prescription`, `item` or `visit`."""
    return f"urn:{hospital}:{name}"


RESIDENT_ID = "urn:oid:2.16.156.10011.1.3"
ICD10 = "urn:oid:2.16.156.10011.2.3.3.11"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
CLINICAL_STATUS = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION_STATUS = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
SIGNATURE_TYPE = "urn:iso-astm:E1762-95:2013"
AUTHORS_SIGNATURE = "1.2.840.10065.1.12.1.1"
GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"
NAME_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
"""Of a name: IDE ideographic, SYL syllabic, ABC alphabetic."""

# The closed lists are the published value sets.
DRUG_KINDS = codes_of("drug-kind")
RX_KINDS = codes_of("prescription-kind")
HANDOVERS = codes_of("handover")
VISIT_CLASSES = codes_of("visit-class")
"""VR internet, AMB outpatient."""
VISIT_TYPES = codes_of("visit-type")
ROUTES = codes_of("route")
FREQUENCIES = codes_of("frequency")
INSUTYPES = codes_of("insutype")
"""National insutype: 310 employee, 390 resident."""
CANCEL_REASONS = codes_of("cancel-reason")
DOSE_UNITS = frozenset(normalize("NFKC", unit) for unit in codes_of("dose-unit"))
"""Units of a single dose. The micro sign is published with both of its code points and compared after NFKC."""
PACK_UNITS = codes_of("pack-unit")
"""Units a pharmacy counts when it hands over."""
VAGUE = ("遵医嘱", "按医嘱", "自用", "备用", "按说明", "见说明", "同前", "as directed", "as needed by patient")
"""Phrases that say nothing (A-20)."""


@cache
def displays() -> Mapping[tuple[str, str], frozenset[str]]:
    """System and code -> how the code may be written in words, in small letters; only for codes we publish words for."""
    return {key: frozenset(part.strip().casefold() for part in (key[1], display, *display.split(" / ")))
            for key, display in published_displays().items()}
