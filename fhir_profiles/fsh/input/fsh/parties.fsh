// Who takes part.

Profile: SanyiPatient
Parent: Patient
Id: patient
Title: "患者 / Patient"
* insert Plain
* obeys FHIR-046
* insert IdentifierBySystem
* insert Identified(residentId, 1..1, urn:oid:2.16.156.10011.1.3)
* identifier[residentId].value obeys FHIR-040
* insert Identified(insuranceCredential, 0..1, https://sanyi.example/fhir/sid/insurance-credential)
* identifier[insuranceCredential].value obeys FHIR-130
* name 1..*
* name.text 1..1
* name.text obeys FHIR-045
* name.extension contains $representation named representation 0..1
* contact 0..0
* link 0..0
* gender 1..1
* gender from Genders (required)
* birthDate 1..1
* birthDate obeys FHIR-041
* address.district obeys FHIR-049
* address.extension contains $geolocation named geolocation 0..1
* address.extension[geolocation].extension[latitude].valueDecimal ^minValueDecimal = -90
* address.extension[geolocation].extension[latitude].valueDecimal ^maxValueDecimal = 90
* address.extension[geolocation].extension[longitude].valueDecimal ^minValueDecimal = -180
* address.extension[geolocation].extension[longitude].valueDecimal ^maxValueDecimal = 180
* extension contains AllergyGroup named allergyGroup 0..50
    and AllergyText named allergyText 0..20
    and NoKnownAllergies named noKnownAllergies 0..1
    and PregnancyWeeks named pregnancyWeeks 0..1
    and Lactating named lactating 0..1
    and GuardianConfirmed named guardianConfirmed 0..1

Mapping: PatientFindings
Id: finding
Source: SanyiPatient
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* identifier[residentId] -> "FHIR-040"
* identifier[residentId].system -> "FHIR-022"
* identifier[insuranceCredential] -> "FHIR-130"
* name -> "FHIR-045"
* gender -> "FHIR-043"
* birthDate -> "FHIR-041"
* address.district -> "FHIR-049"
* address.extension[geolocation] -> "FHIR-050"

Profile: SanyiGuardian
Parent: RelatedPerson
Id: guardian
Title: "监护人 / Guardian"
Description: "患儿的监护人：谁在场、谁付款、谁取药（A-13）。"
* insert Plain
* insert PointsTo(patient, SanyiPatient)
* insert IdentifierBySystem
* insert Identified(residentId, 1..1, urn:oid:2.16.156.10011.1.3)
* identifier[residentId].value obeys FHIR-040
* name 1..*
* name.text 1..1
* name.text obeys FHIR-045
* name.extension contains $representation named representation 0..1
* insert InUse
* relationship 1..1
* insert OneCode(relationship, guardianship, https://sanyi.example/fhir/CodeSystem/guardianship, Guardianships)

Mapping: GuardianFindings
Id: finding
Source: SanyiGuardian
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* active -> "FHIR-156"
* patient -> "FHIR-030"
* identifier[residentId] -> "FHIR-040"
* identifier[residentId].system -> "FHIR-022"
* name -> "FHIR-045"
* relationship -> "FHIR-131"

Profile: SanyiPractitioner
Parent: Practitioner
Id: practitioner
Title: "医师 / Practitioner"
* insert Plain
* insert IdentifierBySystem
* insert Identified(physician, 1..1, https://sanyi.example/fhir/sid/physician)
* identifier[physician].value obeys FHIR-051
* insert InUse
* extension contains IndependentYears named independentYears 0..1

Mapping: PractitionerFindings
Id: finding
Source: SanyiPractitioner
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* active -> "FHIR-156"
* identifier[physician] -> "FHIR-051"
* identifier[physician].system -> "FHIR-022"

Profile: SanyiPharmacist
Parent: Practitioner
Id: pharmacist
Title: "药师 / Pharmacist"
* insert Plain
* insert IdentifierBySystem
* insert Identified(pharmacist, 1..1, https://sanyi.example/fhir/sid/pharmacist)
* identifier[pharmacist].value obeys FHIR-132

Mapping: PharmacistFindings
Id: finding
Source: SanyiPharmacist
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* identifier[pharmacist] -> "FHIR-132"
* identifier[pharmacist].system -> "FHIR-022"

Profile: SanyiPractitionerRole
Parent: PractitionerRole
Id: practitioner-role
Title: "执业岗位 / Practitioner role"
* insert Plain
* insert PointsTo(practitioner, SanyiPractitioner)
* insert PointsTo(organization, SanyiOrganization)
* insert InUse
* code 1..1
* insert OneCode(code, title, https://sanyi.example/fhir/CodeSystem/title, Titles)

Mapping: PractitionerRoleFindings
Id: finding
Source: SanyiPractitionerRole
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* active -> "FHIR-156"
* practitioner -> "FHIR-030"
* organization -> "FHIR-030"
* code -> "FHIR-132"

Profile: SanyiOrganization
Parent: Organization
Id: organization
Title: "定点医疗机构 / Organization"
* insert Plain
* insert IdentifierBySystem
* insert Identified(institution, 1..1, https://sanyi.example/fhir/sid/institution)
* identifier[institution].value obeys FHIR-052
* insert InUse

Mapping: OrganizationFindings
Id: finding
Source: SanyiOrganization
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* active -> "FHIR-156"
* identifier[institution] -> "FHIR-052"
* identifier[institution].system -> "FHIR-022"
