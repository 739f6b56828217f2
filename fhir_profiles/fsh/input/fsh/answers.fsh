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
* issue.extension contains FindingDetail named finding 0..1
    and FindingOffset named offset 0..1
    and IssueLine named line 0..1
    and IssueColumn named column 0..1
* extension contains PatchedMessage named patchedMessage 0..1

Profile: SanyiStatus
Parent: Task
Id: status
Title: "处方状态 / Where a prescription or a cancel is"
* intent = #order
* extension contains Pickup named pickup 0..1
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
* identifier 1..1
* identifier.system 1..1
* identifier.system = "https://sanyi.example/fhir/sid/dispense"
* identifier.value 1..1
* status from DispenseStatuses (required)
* medication[x] only CodeableConcept
* insert OneCoding(medication[x], drug, https://sanyi.example/fhir/CodeSystem/drug)
* subject 1..1
* performer 1..1
* performer.actor.identifier 1..1
* performer.actor.identifier.system 1..1
* performer.actor.identifier.system = "https://sanyi.example/fhir/sid/chain"
* performer.actor.identifier.value 1..1
* location 1..1
* location.identifier 1..1
* location.identifier.system 1..1
* location.identifier.system = "https://sanyi.example/fhir/sid/store"
* location.identifier.value 1..1
* authorizingPrescription 1..1
* authorizingPrescription.identifier 1..1
* authorizingPrescription.identifier.system 1..1
* authorizingPrescription.identifier.system obeys FHIR-022-item
* authorizingPrescription.identifier.value 1..1
* quantity 1..1
* quantity.value 1..1
* quantity.unit 1..1
* quantity.unit from PackUnits (required)
* daysSupply 1..1
* daysSupply.value 1..1
* daysSupply.system 1..1
* daysSupply.system = "http://unitsofmeasure.org"
* daysSupply.code 1..1
* daysSupply.code = #d
* whenHandedOver 1..1
* extension contains Handover named handover 1..1

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
* identifier 1..1
* identifier.system 1..1
* identifier.system = "https://sanyi.example/fhir/sid/settlement"
* identifier.value 1..1
* status from SettlementStatuses (required)
* use = #claim
* outcome = #complete
* insurer.identifier 1..1
* insurer.identifier.system 1..1
* insurer.identifier.system = "https://sanyi.example/fhir/sid/payer"
* insurer.identifier.value 1..1
* request 1..1
* request.identifier 1..1
* request.identifier.system 1..1
* request.identifier.system = "https://sanyi.example/fhir/sid/claim"
* request.identifier.value 1..1
* total 4..4
* insert OneCode(total.category, part, https://sanyi.example/fhir/CodeSystem/money-part, MoneyParts)
* total.amount.value 1..1
* total.amount.currency 1..1
* total.amount.currency = #CNY

// A report is all of this in one Bundle: where a prescription is, what was handed over, what the fund answered, and why not.

Profile: SanyiReport
Parent: Bundle
Id: report
Title: "处方报告 / What a hospital is told of its prescription"
* type = #collection
* identifier 1..1
* identifier.system 1..1
* identifier.system = "https://sanyi.example/fhir/sid/report"
* identifier.value 1..1
* timestamp 1..1
* entry.fullUrl 1..1
* entry ^slicing.discriminator.type = #type
* entry ^slicing.discriminator.path = "resource"
* entry ^slicing.rules = #closed
* entry contains status 1..1
    and dispense 0..40
    and settlement 0..2
    and findings 0..1
* entry[status].resource 1..1
* entry[status].resource only SanyiStatus
* entry[dispense].resource 1..1
* entry[dispense].resource only SanyiDispense
* entry[settlement].resource 1..1
* entry[settlement].resource only SanyiSettlement
* entry[findings].resource 1..1
* entry[findings].resource only SanyiFindings

Extension: Pickup
Id: pickup
Title: "取药凭证 / Where the patient collects, and what opens it"
Description: "订单、连锁、门店、取药码 / Order, chain, store and the code the patient shows."
Context: Task
* extension contains order 1..1 and chain 1..1 and store 1..1 and code 1..1
* extension[order].value[x] 1..1
* extension[order].value[x] only string
* extension[chain].value[x] 1..1
* extension[chain].value[x] only string
* extension[store].value[x] 1..1
* extension[store].value[x] only string
* extension[code].value[x] 1..1
* extension[code].value[x] only string

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

// As HL7 defines them in its extensions pack, which R4B's own package lacks.

Extension: IssueLine
Id: operationoutcome-issue-line
Title: "行号 / Line"
Context: OperationOutcome.issue
* ^url = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line"
* value[x] 1..1
* value[x] only integer

Extension: IssueColumn
Id: operationoutcome-issue-col
Title: "列号 / Column"
Context: OperationOutcome.issue
* ^url = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col"
* value[x] 1..1
* value[x] only integer

Extension: PatchedMessage
Id: patched-message
Title: "改正后的文件 / A file put right"
Context: OperationOutcome
* extension contains address 1..1 and change 0..*
* extension[address].value[x] 1..1
* extension[address].value[x] only uri
* extension[change].value[x] 1..1
* extension[change].value[x] only string
