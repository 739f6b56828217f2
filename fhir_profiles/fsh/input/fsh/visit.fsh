// On what grounds: the visit, the diagnoses, the insurance, and what was read at home.

Profile: SanyiEncounter
Parent: Encounter
Id: encounter
Title: "就诊 / Encounter"
* insert Plain
* obeys FHIR-054
* status from VisitStatuses (required)
* class from VisitClasses (required)
* type ^slicing.discriminator.type = #value
* type ^slicing.discriminator.path = "$this"
* type ^slicing.rules = #open
* type contains visit 1..1
* type[visit] from VisitTypes (required)
* insert PointsTo(subject, SanyiPatient)
* period.start obeys FHIR-143-time
* period.end obeys FHIR-143-time
* identifier 0..1
* identifier.system 1..1
* identifier.system obeys FHIR-022-visit
* identifier.value 1..1
* identifier.value obeys FHIR-139
* serviceType.coding ^slicing.discriminator.type = #value
* serviceType.coding ^slicing.discriminator.path = "system"
* serviceType.coding ^slicing.rules = #open
* serviceType.coding contains department 0..1
* serviceType.coding[department].system 1..1
* serviceType.coding[department].system = "https://sanyi.example/fhir/CodeSystem/department"
* serviceType.coding[department].code 1..1
* serviceType.coding[department].code obeys FHIR-138
* extension contains RevisitProof named revisitProof 0..1

Mapping: EncounterFindings
Id: finding
Source: SanyiEncounter
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* status -> "FHIR-055"
* class -> "FHIR-053"
* type -> "FHIR-054"
* subject -> "FHIR-030"
* identifier -> "FHIR-139"
* identifier.system -> "FHIR-022"
* serviceType -> "FHIR-138"
* extension[revisitProof] -> "FHIR-056"

Profile: SanyiCondition
Parent: Condition
Id: condition
Title: "诊断 / Condition"
* insert Plain
* clinicalStatus from ClinicalStatuses (required)
* verificationStatus from DiagnosisStatuses (required)
* abatement[x] 0..0
* code 1..1
* insert OneCoding(code, icd10, urn:oid:2.16.156.10011.2.3.3.11)
* code.coding[icd10].code obeys FHIR-057
* code.coding contains chronic 0..1
* code.coding[chronic].system 1..1
* code.coding[chronic].system = "https://sanyi.example/fhir/CodeSystem/chronic-disease"
* code.coding[chronic].code 1..1
* code.coding[chronic].code obeys FHIR-133
* code obeys FHIR-058
* insert PointsTo(subject, SanyiPatient)
* encounter only Reference(SanyiEncounter)
* encounter.reference 1..1

Mapping: ConditionFindings
Id: finding
Source: SanyiCondition
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* clinicalStatus -> "FHIR-059"
* verificationStatus -> "FHIR-059"
* code -> "FHIR-057"
* code.coding[chronic] -> "FHIR-133"
* subject -> "FHIR-030"
* encounter -> "FHIR-030"

Profile: SanyiCoverage
Parent: Coverage
Id: coverage
Title: "参保 / Coverage"
* insert Plain
* status = #active
* type 1..1
* insert OneCode(type, insutype, https://sanyi.example/fhir/CodeSystem/insutype, Insutypes)
* insert PointsTo(beneficiary, SanyiPatient)
* extension contains InsuredPlace named insuredPlace 1..1
    and ChronicDisease named chronicDisease 0..1

Mapping: CoverageFindings
Id: finding
Source: SanyiCoverage
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* status -> "FHIR-060"
* type -> "FHIR-061"
* beneficiary -> "FHIR-030"
* extension[insuredPlace] -> "FHIR-062"

Profile: SanyiHomeReading
Parent: Observation
Id: home-reading
Title: "居家监测 / Home reading"
* insert Plain
* obeys FHIR-135
* status = #final
* code 1..1
* insert OneCode(code, reading, http://loinc.org, HomeReadings)
* insert PointsTo(subject, SanyiPatient)
* effective[x] 1..1
* effective[x] only dateTime
* effectiveDateTime obeys FHIR-135-time
* value[x] only Quantity
* valueQuantity.value 1..1
* valueQuantity.system 1..1
* valueQuantity.system = "http://unitsofmeasure.org"
* valueQuantity.code 1..1
* valueQuantity.code from HomeReadingUnits (required)
* component.code from HomeReadings (required)
* component.value[x] 1..1
* component.value[x] only Quantity
* component.valueQuantity.value 1..1
* component.valueQuantity.system 1..1
* component.valueQuantity.system = "http://unitsofmeasure.org"
* component.valueQuantity.code 1..1
* component.valueQuantity.code from HomeReadingUnits (required)

Mapping: HomeReadingFindings
Id: finding
Source: SanyiHomeReading
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* status -> "FHIR-135"
* code -> "FHIR-135"
* subject -> "FHIR-030"
* effective[x] -> "FHIR-135"
* value[x] -> "FHIR-135"
* component -> "FHIR-135"
