// Examples: every message and answer once, with people and places nobody has.

RuleSet: Adult
* identifier[residentId].value = "370102195803029910"
* name.text = "示范患者甲"
* gender = #male
* birthDate = "1958-03-02"
* telecom.system = #phone
* telecom.value = "19900000001"
* address.text = "示范市示范区示范路1号"
* address.district = "370102"
* address.extension[geolocation].extension[latitude].valueDecimal = 36.6749
* address.extension[geolocation].extension[longitude].valueDecimal = 117.0251

RuleSet: Doctor
* identifier[physician].value = "D370100000001"
* name.text = "示范医师乙"
* extension[independentYears].valueInteger = 8

RuleSet: Hospital
* identifier[institution].value = "H37010000001"
* name = "示范市第一医院"

RuleSet: Visit(class, type)
* status = #finished
* class = $act#{class}
* type[visit] = VisitTypeCS#{type}
* subject.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"

RuleSet: Diagnosis(code, name)
* code.coding[icd10].code = #{code}
* code.coding[icd10].display = "{name}"
* subject.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"
* encounter.reference = "urn:uuid:00000000-0000-4000-8000-000000000004"

RuleSet: Insured(insutype)
* type.coding[insutype].code = #{insutype}
* beneficiary.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"
* payor.display = "医保"
* extension[insuredPlace].valueCode = #370100

RuleSet: Item(rx, line, kind, code, name, rxkind)
* groupIdentifier.system = "urn:demo:prescription"
* groupIdentifier.value = "{rx}"
* identifier.system = "urn:demo:item"
* identifier.value = "{rx}-{line}"
* category[kind] = DrugKindCS#{kind}
* medicationCodeableConcept.coding[drug].code = #{code}
* medicationCodeableConcept.coding[drug].display = "{name}"
* subject.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"
* encounter.reference = "urn:uuid:00000000-0000-4000-8000-000000000004"
* requester.reference = "urn:uuid:00000000-0000-4000-8000-000000000002"
* reasonReference.reference = "urn:uuid:00000000-0000-4000-8000-000000000005"
* insurance.reference = "urn:uuid:00000000-0000-4000-8000-000000000006"
* authoredOn = "2026-11-22T08:58:00+08:00"
* courseOfTherapyType.coding[kind].code = #{rxkind}
* dispenseRequest.validityPeriod.start = "2026-11-22T08:58:00+08:00"
* dispenseRequest.validityPeriod.end = "2026-11-23T08:58:00+08:00"
* extension[handover].valueCode = #pickup

RuleSet: Use(frequency, dose, unit, quantity, pack, days)
* dosageInstruction.timing.code.coding[frequency].code = #{frequency}
* dosageInstruction.route.coding[route].code = #PO
* dosageInstruction.doseAndRate.doseQuantity.value = {dose}
* dosageInstruction.doseAndRate.doseQuantity.unit = "{unit}"
* dispenseRequest.quantity.value = {quantity}
* dispenseRequest.quantity.unit = "{pack}"
* dispenseRequest.expectedSupplyDuration.value = {days}
* dispenseRequest.expectedSupplyDuration.unit = "d"
* dispenseRequest.expectedSupplyDuration.code = #d

RuleSet: Entry(number, instance)
* entry[+].fullUrl = "urn:uuid:00000000-0000-4000-8000-0000000000{number}"
* entry[=].resource = {instance}

RuleSet: Envelope(key)
* type = #collection
* identifier.system = "urn:demo:message"
* identifier.value = "{key}"
* timestamp = "2026-11-22T09:00:00+08:00"

Instance: lt-patient
InstanceOf: SanyiPatient
Usage: #inline
* insert Adult
* identifier[insuranceCredential].value = "ecToken0000000000000000000001"
* extension[noKnownAllergies].valueBoolean = true

Instance: lt-practitioner
InstanceOf: SanyiPractitioner
Usage: #inline
* insert Doctor

Instance: lt-organization
InstanceOf: SanyiOrganization
Usage: #inline
* insert Hospital

Instance: lt-encounter
InstanceOf: SanyiEncounter
Usage: #inline
* insert Visit(VR, follow-up)
* period.start = "2026-11-22T08:40:00+08:00"
* period.end = "2026-11-22T08:59:00+08:00"
* extension[revisitProof].extension[issued].valueDate = "2026-09-20"
* extension[revisitProof].extension[diagnosis].valueCode = #E11.900

Instance: lt-condition
InstanceOf: SanyiCondition
Usage: #inline
* insert Diagnosis(E11.900, 2型糖尿病)
* code.coding[chronic].code = #M01600

Instance: lt-coverage
InstanceOf: SanyiCoverage
Usage: #inline
* insert Insured(310)
* period.start = "2026-01-01"
* period.end = "2026-12-31"
* extension[chronicDisease].valueCode = #M01600

Instance: lt-item
InstanceOf: SanyiWesternMedicine
Usage: #inline
* insert Item(RX0001, 1, western, D001, 盐酸二甲双胍片, long_term)
* insert Use(bid, 500, mg, 60, 片, 30)
* extension[extendReason].valueString = "糖尿病病情稳定"
* extension[longTermAssessed].valueBoolean = true
* extension[patientAcknowledged].valueBoolean = true
* extension[pack].extension[strength].valueQuantity.value = 500
* extension[pack].extension[strength].valueQuantity.unit = "mg"
* extension[pack].extension[size].valuePositiveInt = 60
* extension[renewal].extension[first].valueString = "RX0000"
* extension[renewal].extension[window].valuePeriod.start = "2026-11-15"
* extension[renewal].extension[window].valuePeriod.end = "2026-12-15"

Instance: lt-role
InstanceOf: SanyiPractitionerRole
Usage: #inline
* practitioner.reference = "urn:uuid:00000000-0000-4000-8000-000000000002"
* organization.reference = "urn:uuid:00000000-0000-4000-8000-000000000003"
* code.coding[title].code = #233

Instance: lt-pressure
InstanceOf: SanyiHomeReading
Usage: #inline
* code.coding[reading].code = #85354-9
* subject.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"
* effectiveDateTime = "2026-11-22T07:30:00+08:00"
* component[0].code = $loinc#8480-6
* component[0].valueQuantity = 132 'mm[Hg]'
* component[1].code = $loinc#8462-4
* component[1].valueQuantity = 84 'mm[Hg]'

Instance: lt-glucose
InstanceOf: SanyiHomeReading
Usage: #inline
* code.coding[reading].code = #15074-8
* subject.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"
* effectiveDateTime = "2026-11-22T07:35:00+08:00"
* valueQuantity = 6.8 'mmol/L'

Instance: lt-signature
InstanceOf: SanyiProvenance
Usage: #inline
* target.reference = "urn:uuid:00000000-0000-4000-8000-000000000007"
* recorded = "2026-11-22T08:59:00+08:00"
* agent.who.reference = "urn:uuid:00000000-0000-4000-8000-000000000002"
* signature.type = urn:iso-astm:E1762-95:2013#1.2.840.10065.1.12.1.1 "Author's Signature"
* signature.when = "2026-11-22T08:59:00+08:00"
* signature.who.reference = "urn:uuid:00000000-0000-4000-8000-000000000002"
* signature.sigFormat = #application/pkcs7-signature
* signature.data = "MEUCIQDemoDemoDemoDemoDemoDemoDemoAA"

Instance: example-long-term
InstanceOf: Bundle
Usage: #example
Title: "西药长期处方，续方 / a renewed long-term prescription"
* insert Envelope(M0001)
* insert Entry(01, lt-patient)
* insert Entry(02, lt-practitioner)
* insert Entry(03, lt-organization)
* insert Entry(04, lt-encounter)
* insert Entry(05, lt-condition)
* insert Entry(06, lt-coverage)
* insert Entry(07, lt-item)
* insert Entry(08, lt-role)
* insert Entry(09, lt-pressure)
* insert Entry(10, lt-glucose)
* insert Entry(11, lt-signature)

Instance: ch-patient
InstanceOf: SanyiPatient
Usage: #inline
* identifier[residentId].value = "37010220191203993X"
* name.text = "示范患儿丁"
* gender = #male
* birthDate = "2019-12-03"
* extension[guardianConfirmed].valueBoolean = true

Instance: ch-encounter
InstanceOf: SanyiEncounter
Usage: #inline
* insert Visit(AMB, first)

Instance: ch-condition
InstanceOf: SanyiCondition
Usage: #inline
* insert Diagnosis(J06.900, 急性上呼吸道感染)

Instance: ch-coverage
InstanceOf: SanyiCoverage
Usage: #inline
* insert Insured(390)

Instance: ch-item
InstanceOf: SanyiPatentMedicine
Usage: #inline
* insert Item(RX0003, 1, tcm_patent, D900, 示范颗粒, general)
* insert Use(tid, 1, 袋, 9, 袋, 3)

Instance: ch-guardian
InstanceOf: SanyiGuardian
Usage: #inline
* patient.reference = "urn:uuid:00000000-0000-4000-8000-000000000001"
* identifier[residentId].value = "37010219900520994X"
* name.text = "示范监护人戊"
* relationship.coding[guardianship].code = #parent

Instance: example-child
InstanceOf: Bundle
Usage: #example
Title: "患儿的中成药，监护人在场 / a child's patent medicine, with the guardian"
* insert Envelope(M0003)
* insert Entry(01, ch-patient)
* insert Entry(02, lt-practitioner)
* insert Entry(03, lt-organization)
* insert Entry(04, ch-encounter)
* insert Entry(05, ch-condition)
* insert Entry(06, ch-coverage)
* insert Entry(07, ch-item)
* insert Entry(08, ch-guardian)

Instance: hp-patient
InstanceOf: SanyiPatient
Usage: #inline
* identifier[residentId].value = "370102197108159923"
* name.text = "示范患者丙"
* gender = #female
* birthDate = "1971-08-15"
* extension[allergyGroup].valueCode = #AL01
* extension[lactating].valueBoolean = false

Instance: hp-encounter
InstanceOf: SanyiEncounter
Usage: #inline
* insert Visit(AMB, follow-up)

Instance: hp-condition
InstanceOf: SanyiCondition
Usage: #inline
* insert Diagnosis(R05.x00, 咳嗽)

Instance: hp-coverage
InstanceOf: SanyiCoverage
Usage: #inline
* insert Insured(390)

Instance: hp-item-1
InstanceOf: SanyiHerbalPiece
Usage: #inline
* insert Item(RX0004, 1, tcm_piece, D910, 示范饮片甲, general)
* insert Use(bid, 9, g, 63, g, 7)
* extension[decoction].extension[doses].valuePositiveInt = 7
* extension[decoction].extension[method].valueCode = #decoct
* extension[decoction].extension[times].valuePositiveInt = 2

Instance: hp-item-2
InstanceOf: SanyiHerbalPiece
Usage: #inline
* insert Item(RX0004, 2, tcm_piece, D911, 示范饮片乙, general)
* insert Use(bid, 6, g, 42, g, 7)
* extension[decoction].extension[doses].valuePositiveInt = 7
* extension[decoction].extension[method].valueCode = #decoct
* extension[decoction].extension[times].valuePositiveInt = 2
* extension[decoctionMark].valueCode = #last

Instance: hp-item-3
InstanceOf: SanyiHerbalPiece
Usage: #inline
* insert Item(RX0004, 3, tcm_piece, D912, 示范饮片丙, general)
* insert Use(bid, 15, g, 105, g, 7)
* extension[decoction].extension[doses].valuePositiveInt = 7
* extension[decoction].extension[method].valueCode = #decoct
* extension[decoction].extension[times].valuePositiveInt = 2
* extension[decoctionMark].valueCode = #first

Instance: example-pieces
InstanceOf: Bundle
Usage: #example
Title: "中药饮片七剂 / seven doses of a decoction"
* insert Envelope(M0004)
* insert Entry(01, hp-patient)
* insert Entry(02, lt-practitioner)
* insert Entry(03, lt-organization)
* insert Entry(04, hp-encounter)
* insert Entry(05, hp-condition)
* insert Entry(06, hp-coverage)
* insert Entry(07, hp-item-1)
* insert Entry(08, hp-item-2)
* insert Entry(09, hp-item-3)

Instance: ab-patient
InstanceOf: SanyiPatient
Usage: #inline
* insert Adult
* extension[allergyGroup].valueCode = #AL03
* extension[allergyText].valueString = "进食芒果后皮疹"

Instance: ab-encounter
InstanceOf: SanyiEncounter
Usage: #inline
* insert Visit(AMB, first)
* identifier.system = "urn:demo:visit"
* identifier.value = "V20261122-0017"
* serviceType.coding[department].code = #03.01
* serviceType.text = "呼吸内科"

Instance: ab-condition
InstanceOf: SanyiCondition
Usage: #inline
* insert Diagnosis(J15.900, 细菌性肺炎)

Instance: ab-item
InstanceOf: SanyiWesternMedicine
Usage: #inline
* insert Item(RX0005, 1, western, D178, 阿莫西林胶囊, general)
* insert Use(tid, 500, mg, 21, 粒, 7)
* dispenseRequest.validityPeriod.end = "2026-11-24T08:58:00+08:00"
* dosageInstruction.text = "每次1粒，每日3次，饭后服"
* note.text = "出现皮疹立即停药并就诊"
* extension[skinTest].extension[result].valueCode = #negative
* extension[skinTest].extension[at].valueDateTime = "2026-11-22T08:30:00+08:00"
* extension[hospitalApproval].valueCode = #1
* extension[validReason].valueString = "患者居住较远，次日取药"
* extension[prescriptionNote].valueString = "五日后复诊"

Instance: example-antibiotic
InstanceOf: Bundle
Usage: #example
Title: "皮试阴性的抗菌药，两天有效 / an antibiotic after a skin test, valid for two days"
* insert Envelope(M0005)
* insert Entry(01, ab-patient)
* insert Entry(02, lt-practitioner)
* insert Entry(03, lt-organization)
* insert Entry(04, ab-encounter)
* insert Entry(05, ab-condition)
* insert Entry(06, ch-coverage)
* insert Entry(07, ab-item)

Instance: example-cancel
InstanceOf: SanyiCancel
Usage: #example
Title: "撤销 / a cancel"
* identifier.system = "urn:demo:message"
* identifier.value = "C0001"
* focus.identifier.system = "urn:demo:prescription"
* focus.identifier.value = "RX0001"
* reasonCode.coding[reason].code = #prescriber
* authoredOn = "2026-11-22T09:05:00+08:00"

Instance: example-pharmacist
InstanceOf: SanyiPharmacist
Usage: #example
Title: "药师 / a pharmacist"
* identifier[pharmacist].value = "Y370100000001"
* name.text = "示范药师己"

Instance: example-findings
InstanceOf: SanyiFindings
Usage: #example
Title: "问题清单 / findings"
* issue.severity = #error
* issue.code = #value
* issue.details.coding[finding].code = #ID_NUMBER
* issue.details.text = "居民身份证号缺失或校验位不符；核对 18 位身份证号，末位 X 大写"
* issue.diagnostics = "FHIR-040: The resident id number is missing or its check digit (MOD 11-2) is wrong."
* issue.expression = "Bundle.entry[0].resource.identifier"
* issue.extension[finding].extension[rule].valueCode = #FHIR-040
* issue.extension[finding].extension[actor].valueCode = #registration
* issue.extension[finding].extension[cure].valueString = "核对 18 位身份证号，末位 X 大写"
* issue.extension[offset].valueInteger = 312
* issue.extension[line].valueInteger = 12
* issue.extension[column].valueInteger = 9
* issue.location = "line 12, column 9"

Instance: example-status
InstanceOf: SanyiStatus
Usage: #example
Title: "处方状态 / a status"
* status = #in-progress
* identifier.value = "rx_lg5kyrtcilt4pl3h"
* businessStatus.coding[status].code = #in_review
* code.coding[task].code = #fulfil
* focus.identifier.system = "urn:demo:prescription"
* focus.identifier.value = "RX0001"

RuleSet: HandedOver
* identifier.value = "ord_lg5kyrtcilt4pl3h_1-1"
* status = #completed
* medicationCodeableConcept.coding[drug].code = #D001
* medicationCodeableConcept.coding[drug].display = "盐酸二甲双胍片"
* subject.display = "患者 / the patient"
* performer.actor.identifier.value = "ankang"
* location.identifier.value = "ankang/AK01"
* authorizingPrescription.identifier.system = "urn:demo:item"
* authorizingPrescription.identifier.value = "RX0001-1"
* quantity.value = 60
* quantity.unit = "片"
* daysSupply.value = 30
* daysSupply.unit = "d"
* whenHandedOver = "2026-11-22T11:20:00+08:00"
* extension[handover].valueCode = #pickup

Instance: example-dispense
InstanceOf: SanyiDispense
Usage: #example
Title: "发药 / a dispense"
* insert HandedOver

Instance: example-claim
InstanceOf: SanyiClaim
Usage: #example
Title: "结算申请 / a claim"
* identifier.value = "stl_0001"
* type = http://terminology.hl7.org/CodeSystem/claim-type#pharmacy
* patient.display = "患者"
* created = "2026-11-22T11:21:00+08:00"
* provider.display = "示范连锁"
* priority = http://terminology.hl7.org/CodeSystem/processpriority#normal
* prescription.identifier.value = "RX0001"
* insurance.sequence = 1
* insurance.focal = true
* insurance.coverage.display = "医保"
* item.sequence = 1
* item.productOrService = DrugCS#D001
* item.quantity.value = 60
* item.net.value = 46.50
* total.value = 46.50

RuleSet: Settled
* identifier.value = "S3701000001"
* status = #active
* type = http://terminology.hl7.org/CodeSystem/claim-type#pharmacy
* patient.display = "患者 / the patient"
* created = "2026-11-22T11:21:05+08:00"
* insurer.identifier.value = "jinan_centre"
* request.identifier.value = "H37010000001202611221121050001"
* total[0].category.coding[part].code = #total
* total[0].amount.value = 46.50
* total[0].amount.currency = #CNY
* total[1].category.coding[part].code = #fund
* total[1].amount.value = 39.53
* total[1].amount.currency = #CNY
* total[2].category.coding[part].code = #account
* total[2].amount.value = 6.97
* total[2].amount.currency = #CNY
* total[3].category.coding[part].code = #cash
* total[3].amount.value = 0
* total[3].amount.currency = #CNY

Instance: example-settlement
InstanceOf: SanyiSettlement
Usage: #example
Title: "结算结果 / a settlement"
* insert Settled

Instance: rp-status
InstanceOf: SanyiStatus
Usage: #inline
* status = #completed
* identifier.value = "rx_lg5kyrtcilt4pl3h"
* businessStatus.coding[status].code = #fulfilled
* code.coding[task].code = #fulfil
* focus.identifier.system = "urn:demo:prescription"
* focus.identifier.value = "RX0001"
* statusReason.coding.system = "https://sanyi.example/fhir/CodeSystem/reason"
* statusReason.coding.code = #handed_over
* note[0].text = "患者已拿到药"
* note[1].text = "the patient has the medicine"
* lastModified = "2026-11-22T11:20:03+08:00"

Instance: rp-dispense
InstanceOf: SanyiDispense
Usage: #inline
* insert HandedOver

Instance: example-report-fulfilled
InstanceOf: SanyiReport
Usage: #example
Title: "取药报告 / the report of a handover"
* type = #collection
* identifier.value = "rx_lg5kyrtcilt4pl3h:fulfilled"
* timestamp = "2026-11-22T11:20:03+08:00"
* insert Entry(21, rp-status)
* insert Entry(22, rp-dispense)

Instance: rs-status
InstanceOf: SanyiStatus
Usage: #inline
* status = #completed
* identifier.value = "rx_lg5kyrtcilt4pl3h"
* businessStatus.coding[status].code = #settled
* code.coding[task].code = #fulfil
* focus.identifier.system = "urn:demo:prescription"
* focus.identifier.value = "RX0001"
* statusReason.coding.system = "https://sanyi.example/fhir/CodeSystem/reason"
* statusReason.coding.code = #settled
* note[0].text = "医保已结算"
* note[1].text = "the fund has settled"
* lastModified = "2026-11-22T11:21:05+08:00"

Instance: rs-settlement
InstanceOf: SanyiSettlement
Usage: #inline
* insert Settled

Instance: example-report-settled
InstanceOf: SanyiReport
Usage: #example
Title: "结算报告 / the report of a settlement"
* type = #collection
* identifier.value = "rx_lg5kyrtcilt4pl3h:settled:1"
* timestamp = "2026-11-22T11:21:05+08:00"
* insert Entry(31, rs-status)
* insert Entry(32, rs-settlement)
