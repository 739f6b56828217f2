// The messages: a prescription, its signature, its cancel.

Profile: SanyiPrescriptionBundle
Parent: Bundle
Id: prescription-bundle
Title: "处方消息 / A prescription"
* type = #collection
* identifier 1..1
* identifier.system 1..1
* identifier.system obeys FHIR-022-message
* identifier.value 1..1
* identifier.value obeys FHIR-021
* timestamp 1..1
* timestamp obeys FHIR-023
* entry.fullUrl 1..1
* entry.fullUrl obeys FHIR-028
* entry ^slicing.discriminator.type = #type
* entry ^slicing.discriminator.path = "resource"
* entry ^slicing.rules = #closed
* entry contains patient 1..1
    and practitioner 1..1
    and organization 1..1
    and encounter 1..1
    and coverage 1..1
    and condition 1..50
    and item 1..40
    and guardian 0..1
    and role 0..1
    and reading 0..50
    and provenance 0..1
* entry[patient].resource 1..1
* entry[patient].resource only SanyiPatient
* entry[practitioner].resource 1..1
* entry[practitioner].resource only SanyiPractitioner
* entry[organization].resource 1..1
* entry[organization].resource only SanyiOrganization
* entry[encounter].resource 1..1
* entry[encounter].resource only SanyiEncounter
* entry[coverage].resource 1..1
* entry[coverage].resource only SanyiCoverage
* entry[condition].resource 1..1
* entry[condition].resource only SanyiCondition
* entry[item].resource 1..1
* entry[item].resource only SanyiMedicationRequest
* entry[guardian].resource 1..1
* entry[guardian].resource only SanyiGuardian
* entry[role].resource 1..1
* entry[role].resource only SanyiPractitionerRole
* entry[reading].resource 1..1
* entry[reading].resource only SanyiHomeReading
* entry[provenance].resource 1..1
* entry[provenance].resource only SanyiProvenance

Mapping: PrescriptionBundleFindings
Id: finding
Source: SanyiPrescriptionBundle
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* type -> "FHIR-020"
* identifier.system -> "FHIR-022"
* identifier.value -> "FHIR-021"
* timestamp -> "FHIR-023"
* entry -> "FHIR-027"
* entry.fullUrl -> "FHIR-028"
* entry[patient] -> "FHIR-024"
* entry[practitioner] -> "FHIR-024"
* entry[organization] -> "FHIR-024"
* entry[encounter] -> "FHIR-024"
* entry[coverage] -> "FHIR-024"
* entry[condition] -> "FHIR-025"
* entry[item] -> "FHIR-026"
* entry[guardian] -> "FHIR-024"
* entry[role] -> "FHIR-024"
* entry[provenance] -> "FHIR-024"

Profile: SanyiProvenance
Parent: Provenance
Id: provenance
Title: "电子签名 / Provenance with signature"
* insert Plain
* target only Reference(SanyiMedicationRequest)
* target.reference 1..1
* recorded obeys FHIR-134
* agent 1..1
* agent.who only Reference(SanyiPractitioner)
* agent.who.reference 1..1
* signature 1..1
* signature.type 1..1
* signature.when obeys FHIR-134
* signature.who only Reference(SanyiPractitioner)
* signature.who.reference 1..1
* signature.data 1..1

Mapping: ProvenanceFindings
Id: finding
Source: SanyiProvenance
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* target.reference -> "FHIR-030"
* recorded -> "FHIR-134"
* agent -> "FHIR-134"
* agent.who -> "FHIR-030"
* signature -> "FHIR-134"
* signature.who -> "FHIR-030"
* signature.data -> "FHIR-153"

Profile: SanyiCancel
Parent: Task
Id: cancel
Title: "撤销处方 / Cancel of a prescription"
* insert Plain
* status = #requested
* intent = #order
* identifier 1..1
* identifier.system 1..1
* identifier.system obeys FHIR-022-message
* identifier.value 1..1
* identifier.value obeys FHIR-021
* code 1..1
* code.coding ^slicing.discriminator.type = #value
* code.coding ^slicing.discriminator.path = "system"
* code.coding ^slicing.rules = #open
* code.coding contains task 1..1
* code.coding[task].system 1..1
* code.coding[task].system = "https://sanyi.example/fhir/CodeSystem/task"
* code.coding[task].code 1..1
* code.coding[task].code = #cancel
* focus 1..1
* focus.identifier 1..1
* focus.identifier.system 1..1
* focus.identifier.system obeys FHIR-022-prescription
* focus.identifier.value 1..1
* focus.identifier.value obeys FHIR-103
* insert OneCode(reasonCode, reason, https://sanyi.example/fhir/CodeSystem/cancel-reason, CancelReasons)
* authoredOn 1..1
* authoredOn obeys FHIR-105

Mapping: CancelFindings
Id: finding
Source: SanyiCancel
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* status -> "FHIR-100"
* intent -> "FHIR-101"
* identifier.system -> "FHIR-022"
* identifier.value -> "FHIR-021"
* code -> "FHIR-102"
* focus.identifier.system -> "FHIR-022"
* focus.identifier.value -> "FHIR-103"
* reasonCode -> "FHIR-104"
* authoredOn -> "FHIR-105"
