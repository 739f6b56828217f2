// What a hospital hears from us.

Profile: SanyiFindings
Parent: OperationOutcome
Id: findings
Title: "问题清单 / Every finding of a message"
* issue.details.coding ^slicing.discriminator.type = #value
* issue.details.coding ^slicing.discriminator.path = "system"
* issue.details.coding ^slicing.rules = #open
* issue.details.coding contains finding 0..1
* issue.details.coding[finding].system 1..1
* issue.details.coding[finding].system = "https://sanyi.example/fhir/CodeSystem/finding"
* issue.details.coding[finding].code 1..1
* issue.extension contains FindingDetail named finding 0..1 and FindingOffset named offset 0..1
* extension contains PatchedMessage named patchedMessage 0..1

Profile: SanyiStatus
Parent: Task
Id: status
Title: "处方状态 / Where a prescription or a cancel is"
* intent = #order
* identifier 0..1
* identifier.system 1..1
* identifier.system = "https://sanyi.example/fhir/sid/prescription"
* identifier.value 1..1
* insert OneCode(businessStatus, status, https://sanyi.example/fhir/CodeSystem/status, Statuses)
* insert OneCode(code, task, https://sanyi.example/fhir/CodeSystem/task, Tasks)
* focus 1..1
* focus.identifier 1..1
* focus.identifier.system 1..1
* focus.identifier.system obeys FHIR-022-prescription
* focus.identifier.value 1..1

Profile: SanyiDispense
Parent: MedicationDispense
Id: dispense
Title: "发药 / What was handed over"
* medication[x] only CodeableConcept
* insert OneCoding(medication[x], drug, https://sanyi.example/fhir/CodeSystem/drug)
* subject 1..1
* authorizingPrescription 1..1
* authorizingPrescription.identifier 1..1
* authorizingPrescription.identifier.system 1..1
* authorizingPrescription.identifier.system obeys FHIR-022-item
* authorizingPrescription.identifier.value 1..1
* quantity 1..1
* quantity.value 1..1
* quantity.unit 1..1
* quantity.unit from PackUnits (required)
* whenHandedOver 1..1

Profile: SanyiClaim
Parent: Claim
Id: claim
Title: "结算申请 / What the fund was asked"
* status = #active
* use = #claim
* identifier 1..1
* prescription 1..1
* prescription.identifier 1..1
* prescription.identifier.value 1..1
* item 1..*
* item.quantity 1..1
* item.net 1..1
* item.net.value 1..1
* item.net.currency = #CNY
* total 1..1
* total.value 1..1
* total.currency 1..1
* total.currency = #CNY

Profile: SanyiSettlement
Parent: ClaimResponse
Id: settlement
Title: "结算结果 / What the fund answered"
* status = #active
* use = #claim
* outcome = #complete
* request 1..1
* request.identifier 1..1
* request.identifier.value 1..1
* total 4..4
* insert OneCode(total.category, part, https://sanyi.example/fhir/CodeSystem/money-part, MoneyParts)
* total.amount.value 1..1
* total.amount.currency 1..1
* total.amount.currency = #CNY

// What an answer says about a finding besides FHIR's own elements.

Extension: FindingDetail
Id: finding
Title: "问题详情 / About a finding"
Description: "规则、出处、谁来处理、怎样改正 / The rule, its source, who must act and what cures it."
Context: OperationOutcome.issue
* extension contains rule 1..1 and source 0..1 and actor 0..1 and cure 0..1 and cure-en 0..1 and patch 0..1
* extension[rule].value[x] 1..1
* extension[rule].value[x] only code
* extension[source].value[x] 1..1
* extension[source].value[x] only string
* extension[actor].value[x] 1..1
* extension[actor].value[x] only code
* extension[cure].value[x] 1..1
* extension[cure].value[x] only string
* extension[cure-en].value[x] 1..1
* extension[cure-en].value[x] only string
* extension[patch].value[x] 1..1
* extension[patch].value[x] only code

Extension: FindingOffset
Id: offset
Title: "字节偏移 / Bytes from the start of the file"
Context: OperationOutcome.issue
* value[x] 1..1
* value[x] only integer
* valueInteger ^minValueInteger = 0

Extension: PatchedMessage
Id: patched-message
Title: "改正后的文件 / A file put right"
Context: OperationOutcome
* extension contains address 1..1 and change 0..*
* extension[address].value[x] 1..1
* extension[address].value[x] only uri
* extension[change].value[x] 1..1
* extension[change].value[x] only string
