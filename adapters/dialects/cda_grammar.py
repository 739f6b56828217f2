"""What a document of WS/T 500 may hold beside what is read: names of things, fixed attributes, and what is left out.

Whatever is filled in and stands neither here nor among what a translation read is a finding (`cda.Document.passed_over`).
"""

from collections.abc import Mapping

V3 = "urn:hl7-org:v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SDTC = "urn:hl7-org:sdtc"
NAMESPACES = {"h": V3, "xsi": XSI, "sdtc": SDTC}

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
        "component": "COMP", "entry": "COMP DRIV", "entryRelationship": "COMP SUBJ", "consumable": "CSM"},
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
_DOCUMENT = "/h:ClinicalDocument"
_ROLE = f"{_DOCUMENT}/h:recordTarget/h:patientRole"
_PAST = "contains(concat(' ', @use, ' '), ' BAD ') or contains(concat(' ', @use, ' '), ' OLD ')"

LEFT_OUT: Mapping[str, str] = {
    f"{_DOCUMENT}/h:realmCode": "The country whose rules the document follows; the template says which standard it is of.",
    f"{_DOCUMENT}/h:typeId": "The version of CDA; the namespace says it too.",
    "//h:templateId": "Templates the document keeps beside that of WS/T 500, which is read; they add no content.",
    f"{_DOCUMENT}/h:languageCode": "Texts are kept as they were sent, whatever their language.",
    f"{_DOCUMENT}/h:setId": "The series the document is of; its id and version number are read, and tell it from others.",
    f"{_DOCUMENT}/h:relatedDocument/@typeCode": "How another document is related; a document that names another is refused.",
    f"{_DOCUMENT}/h:title": "A heading; it is checked to be that of a prescription, and the template says of which kind.",
    "//h:section/h:title": "A heading; the section's code says what it holds.",
    "//@codeSystemName": "The name of a code system; its identifier is read.",
    "//@codeSystemVersion": "The edition of a code system; codes of another edition are not in our tables and wait to be mapped.",
    "//@assigningAuthorityName": "The name of who gives out an identifier; its root is read.",
    "//@displayable": "Whether an identifier may be shown to people.",
    f"{_DOCUMENT}/h:code/@displayName": "The name of the document's code, which is read.",
    "//h:section/h:code/@displayName": "The name of a section's code, which is read.",
    "//h:observation/h:code/@displayName": "The name of a data element; its code is read.",
    f"{_DOCUMENT}/h:confidentialityCode/@displayName": "The name of the code, which is read.",
    f"{_DOCUMENT}/h:confidentialityCode/@codeSystem": "The code is one of HL7's own, whatever list it is taken from.",
    f"{_ROLE}/h:telecom[contains(@value, ':') and not(starts-with(@value, 'tel:'))]":
        "Electronic addresses and fax numbers; a pharmacy calls by telephone.",
    f"{_ROLE}/h:telecom[{_PAST}]": "A number marked as no longer right; the current one is read.",
    f"{_ROLE}/h:addr[{_PAST}]": "An address marked as no longer right; the current one is read.",
    f"{_ROLE}/h:providerOrganization/h:id": "The hospital's internal number of the department; its name and its 诊疗科目 are read.",
    f"{_ROLE}/h:providerOrganization/h:addr": "Where the department is.",
    f"{_ROLE}/h:providerOrganization/h:telecom": "How to call the department.",
    "//h:wholeOrganization/h:name": "The institution's name; the custodian's is read, and the numbers are compared.",
    "//h:wholeOrganization/h:addr": "Where the institution is.",
    "//h:wholeOrganization/h:telecom": "How to call the institution.",
    f"{_DOCUMENT}/h:custodian//h:addr": "Where the institution is.",
    f"{_DOCUMENT}/h:custodian//h:telecom": "How to call the institution.",
    f"{_DOCUMENT}/h:author/h:assignedAuthor/h:addr": "Where the prescriber works.",
    f"{_DOCUMENT}/h:author/h:assignedAuthor/h:telecom": "How to call the prescriber.",
    f"{_DOCUMENT}/h:authenticator":
        "Who audited, prepared, checked or handed out inside the hospital; a pharmacist of the platform audits it again.",
    f"{_DOCUMENT}/h:legalAuthenticator/h:assignedEntity":
        "Who answers for the document inside the hospital; a signature is read, and the prescriber is the author.",
    f"{_DOCUMENT}/h:legalAuthenticator[not(*[local-name() = 'signatureText'])]/h:time":
        "When the hospital itself checked the document; no signature comes with it.",
    "//h:observation/h:code[@code = 'DE07.00.004.00']": "The hospital's own price; the pharmacy's price and the fund's book count.",
    "//h:observation[h:code/@code = 'DE07.00.004.00']/h:value":
        "The hospital's own price; the pharmacy's price and the fund's book count.",
    "//h:observation/h:code[@code = 'DE08.50.056.00']": "A running number of the section; the section holds its drugs itself.",
    "//h:observation[h:code/@code = 'DE08.50.056.00']/h:value":
        "A running number of the section; the section holds its drugs itself.",
    "//h:reference[starts-with(@value, '#')]/@value": "A link to words of the same document, which are read.",
    "//@xsi:schemaLocation": "Where a schema lies.",
    **{f"//h:section/h:text/descendant-or-self::*/@{name}": "How the words are laid out; they are read." for name in _NARRATIVE},
    **{f"//h:substanceAdministration/h:text/descendant-or-self::*/@{name}": "How the words are laid out; they are read."
       for name in ("mediaType", "ID")},
}
"""XPath (prefixes: `NAMESPACES`) of what is knowingly not read -> why.

An element stands for all within it. Nothing here speaks of patient, allergy, drug, dose, time or order.
"""
