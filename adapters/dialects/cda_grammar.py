"""What a document of WS/T 500 may hold beside what is read: names of things, fixed attributes, and what is left out.

An element that is filled in and is neither listed here nor read by a translation is a finding
(`cda.Document.passed_over`).
"""

from collections.abc import Mapping

V3 = "urn:hl7-org:v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:sanyi:prescription:v1"
"""Namespace of our SOAP service; its WSDL is `cda.wsdl` beside this file."""

# Object identifiers of the standard.
DOCUMENT_ID = "2.16.156.10011.1.1"
RESIDENT_ID = "2.16.156.10011.1.3"
INSTITUTION = "2.16.156.10011.1.5"
AUTHOR = "2.16.156.10011.1.7"
VISIT = "2.16.156.10011.1.11"
PRESCRIPTION_NUMBER = "2.16.156.10011.1.20"
DEPARTMENT = "2.16.156.10011.1.26"
DATA_ELEMENTS = "2.16.156.10011.2.2.1"
DOCUMENT_CODES = "2.16.156.10011.2.4"
GENDER_CODES = "2.16.156.10011.2.3.3.4"
ICD10 = "2.16.156.10011.2.3.3.11"
CHINESE_DIAGNOSES = "2.16.156.10011.2.3.3.14"
ROUTE_CODES = "2.16.156.10011.2.3.1.158"
FORM_CODES = "2.16.156.10011.2.3.1.211"
CATEGORY_CODES = "2.16.156.10011.2.3.2.40"
LOINC = "2.16.840.1.113883.6.1"
SUPPLEMENT = "2.25.249319805440984658538752383164226057002"
"""Ours: what the standard has no data element for. The codes are those of `TYPES`; the hospital's README says what each means."""

# Sections, by their LOINC code.
DIAGNOSES, MEDICATION, PLAN, PAYMENT, ALLERGIES, VITAL_SIGNS = (
    "29548-5", "10160-0", "18776-5", "48768-6", "48765-2", "8716-3")

_CODED = ("CD", "CE", "CV", "CO")
TYPES: Mapping[str, tuple[str, ...]] = {
    # Data elements of the standard.
    "DE05.01.024.00": _CODED, "DE05.10.130.00": _CODED, "DE08.50.043.00": ("ST",), "DE06.00.135.00": ("PQ",),
    "DE06.00.294.00": ("PQ",), "DE06.00.179.00": ("ST",), "DE08.50.049.00": ("ST",), "DE08.50.050.00": ("PQ",),
    "DE08.50.047.00": ("ST",), "DE06.00.136.00": ("ST",), "DE08.50.032.00": _CODED, "DE06.00.300.00": ("ST",),
    "DE02.10.022.00": ("ST",), "DE02.10.023.00": ("BL",),
    # Of the supplement: about the prescription,
    "prescription-kind": _CODED, "visit-class": _CODED, "visit-type": _CODED, "handover": _CODED, "insutype": _CODED,
    "insured-place": _CODED, "chronic-disease": _CODED, "proof-issued": ("TS",), "proof-diagnosis": _CODED,
    "independent-years": ("INT",), "extend-reason": ("ST",), "long-term-assessed": ("BL",), "patient-acknowledged": ("BL",),
    "valid-reason": ("ST",), "department": _CODED, "renewal-first": ("ST",), "renewal-start": ("TS",), "renewal-end": ("TS",),
    "decoction-method": _CODED, "decoction-times": ("INT",),
    # about the patient,
    "district": _CODED, "latitude": ("REAL",), "longitude": ("REAL",), "allergy-group": _CODED, "allergy-words": ("ST",),
    "no-known-allergies": ("BL",), "pregnancy-weeks": ("INT", "PQ"), "lactating": ("BL",), "guardian-confirmed": ("BL",),
    "credential": ("ST",),
    # and about one drug.
    "overdose-reason": ("ST",), "approval": _CODED, "skin-test": _CODED, "skin-test-exemption": ("ST",),
    "decoction-mark": _CODED,
}
"""Code of an observation that is read -> the types its value may have."""
OF_A_DRUG = frozenset({"overdose-reason", "approval", "skin-test", "skin-test-exemption", "decoction-mark"})
"""Codes of the supplement that stand in a drug's own entry."""

ORDERS = "EVN INT RQO"
"""Moods of an order: the standard prints EVN; INT and RQO are HL7's own."""
FIXED: Mapping[str, Mapping[str, str]] = {
    "classCode": {
        "ClinicalDocument": "DOCCLIN", "patientRole": "PAT", "patient": "PSN", "assignedAuthor": "ASSIGNED",
        "assignedCustodian": "ASSIGNED", "representedCustodianOrganization": "ORG", "representedOrganization": "ORG",
        "providerOrganization": "ORG", "asOrganizationPartOf": "PART", "wholeOrganization": "ORG", "assignedPerson": "PSN",
        "guardian": "GUARD", "guardianPerson": "PSN", "encompassingEncounter": "ENC", "parentDocument": "DOCCLIN",
        "structuredBody": "DOCBODY", "section": "DOCSECT", "substanceAdministration": "SBADM", "observation": "OBS",
        "act": "ACT", "organizer": "CLUSTER BATTERY", "manufacturedProduct": "MANU", "manufacturedLabeledDrug": "MMAT"},
    "moodCode": {
        "ClinicalDocument": "EVN", "parentDocument": "EVN", "structuredBody": "EVN", "section": "EVN", "observation": "EVN",
        "organizer": "EVN", "encompassingEncounter": "EVN", "substanceAdministration": ORDERS, "act": ORDERS},
    "typeCode": {
        "recordTarget": "RCT", "author": "AUT", "custodian": "CST", "legalAuthenticator": "LA", "componentOf": "COMP",
        "component": "COMP", "entry": "COMP DRIV", "entryRelationship": "COMP SUBJ", "consumable": "CSM",
        "relatedDocument": "RPLC APND XFRM"},
    "determinerCode": {"*": "INSTANCE KIND"},
    "contextControlCode": {"*": "OP"},
    "contextConductionInd": {"*": "true 1"},
    "inversionInd": {"entryRelationship": "true false 1 0"},
    "negationInd": {"*": "false 0"},
}
"""Attribute -> element -> the values that say no more than the standard does."""

_NARRATIVE = (
    "ID", "styleCode", "border", "width", "align", "valign", "char", "charoff", "colspan", "rowspan", "headers", "scope", "abbr",
    "axis", "summary", "frame", "rules", "cellspacing", "cellpadding", "span", "listType", "language", "mediaType")
_DOCUMENT = "/ClinicalDocument"
_ROLE = f"{_DOCUMENT}/recordTarget/patientRole"
_BODY = f"{_DOCUMENT}/component/structuredBody"
_PRICES = f"{_BODY}/component({PAYMENT})"
_PRICE = f"{_PRICES}/section({PAYMENT})/entry(DE07.00.004.00)"
_GROUP = f"{_BODY}/component({MEDICATION})/section({MEDICATION})/entry(DE08.50.056.00)"
_PRICE_COUNTS = "The hospital's own price; the pharmacy's price and the fund's book count."
_RUNNING = "A running number of the section, which holds its drugs itself."

UNREAD: Mapping[str, str] = {
    f"{_DOCUMENT}/realmCode": "The country whose rules the document follows; the template says which standard it is of.",
    f"{_DOCUMENT}/realmCode/@code": "The country whose rules the document follows; the template says which standard it is of.",
    **{f"{_DOCUMENT}/typeId{part}": "The version of CDA; the namespace says it too." for part in ("", "/@root", "/@extension")},
    "*/templateId": "A template the document keeps beside that of WS/T 500, which is read; it adds no content.",
    "*/templateId/@root": "A template the document keeps beside that of WS/T 500, which is read; it adds no content.",
    "*/templateId/@extension": "The edition of a template.",
    f"{_DOCUMENT}/languageCode": "Texts are kept as they were sent, whatever their language.",
    f"{_DOCUMENT}/languageCode/@code": "Texts are kept as they were sent, whatever their language.",
    **{f"{_DOCUMENT}/setId{part}": "The series the document is of; its id and version number are read, and tell it from others."
       for part in ("", "/@root", "/@extension")},
    "*/section(*)/title": "A heading; the section's code says what it holds.",
    "*/@codeSystemName": "The name of a code system; its identifier is read.",
    "*/@codeSystemVersion": "The edition of a code system; a code our tables do not hold waits to be mapped.",
    "*/@assigningAuthorityName": "The name of who gives out an identifier; its root is read.",
    "*/@displayable": "Whether an identifier may be shown to people.",
    f"{_DOCUMENT}/code/@displayName": "The name of the document's code, which is read.",
    "*/section(*)/code/@displayName": "The name of a section's code, which is read.",
    "*/observation(*)/code/@displayName": "The name of a data element; its code is read.",
    f"{_DOCUMENT}/confidentialityCode/@displayName": "The name of the code, which is read.",
    f"{_DOCUMENT}/confidentialityCode/@codeSystem": "The code is one of HL7's own, whatever list it is taken from.",
    **{f"{_ROLE}/providerOrganization/id{part}": "The hospital's internal number of the department; its name and 诊疗科目 are read."
       for part in ("", "/@root", "/@extension")},
    f"{_ROLE}/providerOrganization/addr/*": "Where the department is.",
    f"{_ROLE}/providerOrganization/telecom/*": "How to call the department.",
    "*/wholeOrganization/name": "The institution's name; the custodian's is read, and the numbers are compared.",
    "*/wholeOrganization/addr/*": "Where the institution is.",
    "*/wholeOrganization/telecom/*": "How to call the institution.",
    "*/representedCustodianOrganization/addr/*": "Where the institution is.",
    "*/representedCustodianOrganization/telecom/*": "How to call the institution.",
    f"{_DOCUMENT}/effectiveTime/@value": 
        "When the document was written out: times in it are compared with it, the prescription has its own (author/time).",
    f"{_DOCUMENT}/author/assignedAuthor/assignedPerson/name": "The prescriber's name; the national number says who it is.",
    f"{_DOCUMENT}/author/assignedAuthor/addr/*": "Where the prescriber works.",
    f"{_DOCUMENT}/author/assignedAuthor/telecom/*": "How to call the prescriber.",
    f"{_DOCUMENT}/authenticator/*":
        "Who audited, prepared, checked or handed out inside the hospital; a pharmacist of the platform audits it again.",
    f"{_DOCUMENT}/legalAuthenticator/assignedEntity/*":
        "Who answers for the document inside the hospital; a signature is read, and the prescriber is the author.",
    f"{_DOCUMENT}/legalAuthenticator/time/@value": "When the hospital itself checked the document; a signature's is read.",
    **{f"{_PRICE}/observation(DE07.00.004.00)/{part}": _PRICE_COUNTS for part in (
        "code/@code", "code/@codeSystem", "value/@value", "value/@currency", "value/@type")},
    **{f"{_GROUP}/observation(DE08.50.056.00)/{part}": _RUNNING for part in (
        "code/@code", "code/@codeSystem", "value/@value", "value/@type")},
    "*/reference/@value": "A link to words of the same document, which are read; any other is a finding.",
    "*/@nullFlavor": "Says that an empty element is empty; on what is filled in it is refused.",
    "*/@schemaLocation": "Where a schema lies.",
    **{f"*/text/@{name}": "How the words are laid out; they are read." for name in _NARRATIVE},
    **{f"*/text/*/@{name}": "How the words are laid out; they are read." for name in _NARRATIVE},
}
"""Path of what is not read -> why; see `LEFT_OUT`. Here `*` at the end is all within an element, elsewhere any way there."""

ABSENT: Mapping[str, str] = {
    **{f"*/@{name}": "Absent means the standard's value; any other is refused." for name in (*FIXED, "type")},
    f"{_ROLE}/patient/administrativeGenderCode/@codeSystem": "Absent means the standard's; another is refused.",
    f"{_BODY}/component({DIAGNOSES})/section({DIAGNOSES})/entry(DE05.01.024.00)/observation(DE05.01.024.00)/value/@codeSystem":
        "Absent means the standard's; another is refused.",
    "*/routeCode/@codeSystem": "Absent means the standard's; another is refused.",
    "*/observation(DE05.10.130.00)/value/@codeSystem": "Absent means the standard's; another is refused.",
    "*/observation(DE08.50.032.00)/value/@codeSystem": "Absent means the standard's; another is refused.",
    "*/observation(DE08.50.032.00)/value/@displayName": "The code says it; another name is refused.",
    f"{_ROLE}/patient/age": "Follows from the birth date or the id number, with which it is compared.",
    f"{_DOCUMENT}/code/@codeSystem": "Absent means the standard's; another is refused.",
    f"{_DOCUMENT}/confidentialityCode": "Absent means normal; what is restricted is refused.",
    f"{_DOCUMENT}/confidentialityCode/@code": "Absent means normal; what is restricted is refused.",
    f"{_DOCUMENT}/title": "Checked to be the heading of a prescription; the template says of which kind.",
    f"{_DOCUMENT}/versionNumber": "Absent means the first version.",
    f"{_DOCUMENT}/versionNumber/@value": "Absent means the first version.",
    f"{_DOCUMENT}/relatedDocument": "Empty; one that names another document is refused.",
    f"{_ROLE}/providerOrganization/asOrganizationPartOf": "Says the institution again; it is compared with the custodian.",
    **{f"{_DOCUMENT}/custodian/assignedCustodian/representedCustodianOrganization/id{part}":
       "Says the institution again; it is compared with that of the department." for part in ("", "/@root", "/@extension")},
    f"{_PRICES}": _PRICE_COUNTS,
    f"{_GROUP}": _RUNNING,
    **{f"*/substanceAdministration/id{part}": "The hospital's number of a line; the lines keep their order."
       for part in ("", "/@extension", "/@root")},
    f"{_BODY}/component({MEDICATION})/section({MEDICATION})/entry(DE06.00.294.00)":
        "May be said again after each medicine; another value is refused.",
    f"{_DOCUMENT}/author/assignedAuthor/assignedPerson": "The prescriber's name; the national number says who it is.",
    "*/section(*)/text": "Read; an empty one says nothing.",
    "*/substanceAdministration/text": "Read; an empty one says nothing.",
}
"""Path of what is read or checked, and where absence changes nothing -> why."""

LEFT_OUT_OF_CANCELS: Mapping[str, str] = {
    "/Envelope/Header": "What the transport says of itself; a header that must be understood is refused.",
}
"""Path of what is not read of a cancel, in its envelope or without -> why."""

LEFT_OUT: Mapping[str, str] = {**UNREAD, **ABSENT}
"""Path of what is knowingly left out, or may be -> why. None of it speaks of patient, allergy, drug, dose, time or order.

Paths are of local names; a statement, its section and what is around it carry its code: `section(29548-5)`.
"""


def step(name: str, code: str) -> str:
    """An element in such a path."""
    return f"{name}({code})" if code else name
