// What is prescribed: one profile for every item, and what differs by the kind of drug.

Profile: SanyiMedicationRequest
Parent: MedicationRequest
Id: medication-request
Title: "处方条目 / Item of a prescription"
* insert Plain
* obeys FHIR-077
* status = #active
* intent = #order
* doNotPerform = false
* groupIdentifier 1..1
* groupIdentifier.system 1..1
* groupIdentifier.system obeys FHIR-022-prescription
* groupIdentifier.value 1..1
* groupIdentifier.value obeys FHIR-073
* identifier 1..1
* identifier.system 1..1
* identifier.system obeys FHIR-022-item
* identifier.value 1..1
* identifier.value obeys FHIR-074
* category ^slicing.discriminator.type = #value
* category ^slicing.discriminator.path = "$this"
* category ^slicing.rules = #open
* category contains kind 1..1
* category[kind] from DrugKinds (required)
* medication[x] only CodeableConcept
* insert OneCoding(medication[x], drug, https://sanyi.example/fhir/CodeSystem/drug)
* medication[x].coding[drug].code obeys FHIR-080
* medication[x] obeys FHIR-081
* insert PointsTo(subject, SanyiPatient)
* insert PointsTo(encounter, SanyiEncounter)
* insert PointsTo(requester, SanyiPractitioner)
* authoredOn 1..1
* authoredOn obeys FHIR-082
* reasonReference only Reference(SanyiCondition)
* reasonReference.reference 1..1
* insurance 0..1
* insurance only Reference(SanyiCoverage)
* insurance.reference 1..1
* insert OneCode(courseOfTherapyType, kind, https://sanyi.example/fhir/CodeSystem/prescription-kind, PrescriptionKinds)
* note 0..5
* note.text obeys FHIR-034-text
* dosageInstruction 1..1
* dosageInstruction.text obeys FHIR-091
* dosageInstruction.patientInstruction obeys FHIR-091
* dosageInstruction.additionalInstruction.text 1..1
* dosageInstruction.additionalInstruction.coding 0..0
* dosageInstruction.site.text 1..1
* dosageInstruction.site.coding 0..0
* dosageInstruction.method.text 1..1
* dosageInstruction.method.coding 0..0
* dosageInstruction.asNeeded[x] 0..0
* dosageInstruction.timing 1..1
* dosageInstruction.timing.event 0..0
* dosageInstruction.timing.repeat 0..0
* dosageInstruction.maxDosePerPeriod 0..0
* dosageInstruction.maxDosePerAdministration 0..0
* dosageInstruction.maxDosePerLifetime 0..0
* insert OneCode(dosageInstruction.timing.code, frequency, https://sanyi.example/fhir/CodeSystem/frequency, Frequencies)
* insert OneCode(dosageInstruction.route, route, https://sanyi.example/fhir/CodeSystem/route, Routes)
* dosageInstruction.doseAndRate 1..1
* dosageInstruction.doseAndRate.type 0..0
* dosageInstruction.doseAndRate.rate[x] 0..0
* dosageInstruction.doseAndRate.dose[x] 1..1
* dosageInstruction.doseAndRate.dose[x] only SimpleQuantity
* dosageInstruction.doseAndRate.dose[x].value 1..1
* dosageInstruction.doseAndRate.dose[x].value obeys FHIR-089
* dosageInstruction.doseAndRate.dose[x].unit 1..1
* dosageInstruction.doseAndRate.dose[x].unit from DoseUnits (required)
* dispenseRequest 1..1
* dispenseRequest.validityPeriod 1..1
* dispenseRequest.validityPeriod.start 1..1
* dispenseRequest.validityPeriod.start obeys FHIR-084
* dispenseRequest.validityPeriod.end 1..1
* dispenseRequest.validityPeriod.end obeys FHIR-084
* dispenseRequest.numberOfRepeatsAllowed ^maxValueUnsignedInt = 0
* dispenseRequest.quantity 1..1
* dispenseRequest.quantity.value 1..1
* dispenseRequest.quantity.value obeys FHIR-092
* dispenseRequest.quantity.unit 1..1
* dispenseRequest.quantity.unit from PackUnits (required)
* dispenseRequest.expectedSupplyDuration 1..1
* dispenseRequest.expectedSupplyDuration.value 1..1
* dispenseRequest.expectedSupplyDuration.value obeys FHIR-094
* dispenseRequest.expectedSupplyDuration.system 1..1
* dispenseRequest.expectedSupplyDuration.system = "http://unitsofmeasure.org"
* dispenseRequest.expectedSupplyDuration.code 1..1
* dispenseRequest.expectedSupplyDuration.code from SupplyUnits (required)
* dispenseRequest.initialFill 0..0
* dispenseRequest.dispenseInterval 0..0
* dispenseRequest.performer 0..0
* substitution.allowed[x] only boolean
* substitution.reason 0..0
* statusReason 0..0
* priority 0..0
* reported[x] 0..0
* reasonCode 0..0
* priorPrescription 0..0
* detectedIssue 0..0
* extension contains Handover named handover 1..1
    and ExtendReason named extendReason 0..1
    and LongTermAssessed named longTermAssessed 0..1
    and PatientAcknowledged named patientAcknowledged 0..1
    and OverdoseReason named overdoseReason 0..1
    and Pack named pack 0..1
    and Decoction named decoction 0..1
    and DecoctionMark named decoctionMark 0..1
    and Renewal named renewal 0..1
    and ValidReason named validReason 0..1
    and PrescriptionNote named prescriptionNote 0..1
    and SkinTest named skinTest 0..1
    and HospitalApproval named hospitalApproval 0..1

Mapping: MedicationRequestFindings
Id: finding
Source: SanyiMedicationRequest
Target: "https://sanyi.example/fhir/CodeSystem/finding"
* status -> "FHIR-070"
* intent -> "FHIR-071"
* doNotPerform -> "FHIR-072"
* groupIdentifier.system -> "FHIR-022"
* groupIdentifier.value -> "FHIR-073"
* identifier.system -> "FHIR-022"
* identifier.value -> "FHIR-074"
* category -> "FHIR-077"
* medication[x] -> "FHIR-080"
* subject -> "FHIR-030"
* encounter -> "FHIR-030"
* requester -> "FHIR-030"
* authoredOn -> "FHIR-082"
* reasonReference.reference -> "FHIR-030"
* insurance.reference -> "FHIR-030"
* courseOfTherapyType -> "FHIR-078"
* dosageInstruction -> "FHIR-086"
* dosageInstruction.asNeeded[x] -> "FHIR-155"
* dosageInstruction.timing.code -> "FHIR-087"
* dosageInstruction.route -> "FHIR-088"
* dosageInstruction.doseAndRate.dose[x].value -> "FHIR-089"
* dosageInstruction.doseAndRate.dose[x].unit -> "FHIR-090"
* dispenseRequest.validityPeriod -> "FHIR-084"
* dispenseRequest.numberOfRepeatsAllowed -> "FHIR-096"
* dispenseRequest.quantity.value -> "FHIR-092"
* dispenseRequest.quantity.unit -> "FHIR-093"
* dispenseRequest.expectedSupplyDuration.value -> "FHIR-094"
* dispenseRequest.expectedSupplyDuration.system -> "FHIR-095"
* dispenseRequest.expectedSupplyDuration.code -> "FHIR-095"
* extension[handover] -> "FHIR-079"
* extension[decoction] -> "FHIR-136"
* extension[decoctionMark] -> "FHIR-136"
* extension[renewal] -> "FHIR-137"
* extension[skinTest] -> "FHIR-151"
* extension[hospitalApproval] -> "FHIR-152"

Profile: SanyiWesternMedicine
Parent: SanyiMedicationRequest
Id: western-medicine
Title: "西药 / Western medicine"
* category[kind] = https://sanyi.example/fhir/CodeSystem/drug-kind#western
* extension[decoction] 0..0
* extension[decoctionMark] 0..0

Profile: SanyiPatentMedicine
Parent: SanyiMedicationRequest
Id: patent-medicine
Title: "中成药 / Patent Chinese medicine"
* category[kind] = https://sanyi.example/fhir/CodeSystem/drug-kind#tcm_patent
* extension[decoction] 0..0
* extension[decoctionMark] 0..0

Profile: SanyiHerbalPiece
Parent: SanyiMedicationRequest
Id: herbal-piece
Title: "中药饮片 / Herbal piece"
* category[kind] = https://sanyi.example/fhir/CodeSystem/drug-kind#tcm_piece
* extension[pack] 0..0
