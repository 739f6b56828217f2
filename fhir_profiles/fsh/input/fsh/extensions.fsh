// Extensions: what FHIR has no element for. Each says where it may stand.

RuleSet: Answers(rule)
* . ^mapping[+].identity = "finding"
* . ^mapping[=].map = "{rule}"

Extension: AllergyGroup
Id: allergy-group
Title: "过敏类别 / Allergy group"
Context: Patient
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only code
* valueCode obeys FHIR-034-allergy

Extension: PregnancyWeeks
Id: pregnancy-weeks
Title: "孕周 / Weeks of pregnancy"
Context: Patient
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only integer
* valueInteger ^minValueInteger = 0
* valueInteger ^maxValueInteger = 45

Extension: Lactating
Id: lactating
Title: "哺乳期 / Lactating"
Context: Patient
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only boolean

Extension: GuardianConfirmed
Id: guardian-confirmed
Title: "监护人在场确认 / The guardian was there"
Context: Patient
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only boolean

Extension: IndependentYears
Id: independent-years
Title: "独立临床年限 / Years of independent practice"
Context: Practitioner
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only integer
* valueInteger ^minValueInteger = 0
* valueInteger ^maxValueInteger = 80

Extension: RevisitProof
Id: revisit-proof
Title: "复诊证明 / Proof of the earlier visit"
Description: "互联网诊疗管理办法：互联网医院只为复诊患者开方，须留存既往明确诊断的资料。"
Context: Encounter
* insert Answers(FHIR-056)
* extension contains issued 1..1 and diagnosis 1..*
* extension[issued].value[x] 1..1
* extension[issued].value[x] only date
* extension[issued].valueDate obeys FHIR-056-day
* extension[diagnosis].value[x] 1..1
* extension[diagnosis].value[x] only code
* extension[diagnosis].valueCode obeys FHIR-056

Extension: InsuredPlace
Id: insured-place
Title: "参保地 / Insured place (insuplc_admdvs)"
Context: Coverage
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only code
* valueCode obeys FHIR-062

Extension: ChronicDisease
Id: chronic-disease
Title: "门诊慢特病病种 / Chronic disease claimed (opsp_dise_code)"
Context: Coverage
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only code
* valueCode obeys FHIR-034-disease

Extension: Handover
Id: handover
Title: "取药方式 / Handover"
Context: MedicationRequest, MedicationDispense
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only code
* valueCode from Handovers (required)

Extension: ExtendReason
Id: extend-reason
Title: "延长用量的理由 / Reason of a longer supply"
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only string
* valueString obeys FHIR-034-text

Extension: LongTermAssessed
Id: long-term-assessed
Title: "已作长期处方评估 / Assessed for a long-term prescription"
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only boolean

Extension: PatientAcknowledged
Id: patient-acknowledged
Title: "患者已知情 / The patient was told"
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only boolean

Extension: OverdoseReason
Id: overdose-reason
Title: "超剂量的理由 / Reason of a dose above the label"
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only string
* valueString obeys FHIR-034-text

// New in 1.1.

Extension: Pack
Id: pack
Title: "规格 / Strength and pack"
Description: "每个最小单位的含量，及每包装的数量；给出时核对总量 / Content of one counted unit and units per pack; where given, the quantity is checked."
Context: MedicationRequest
* insert Answers(FHIR-034)
* extension contains strength 1..1 and size 0..1
* extension[strength].value[x] 1..1
* extension[strength].value[x] only Quantity
* extension[strength].valueQuantity.value 1..1
* extension[strength].valueQuantity.value obeys FHIR-034-positive
* extension[strength].valueQuantity.unit 1..1
* extension[strength].valueQuantity.unit from DoseUnits (required)
* extension[size].value[x] 1..1
* extension[size].value[x] only positiveInt

Extension: Decoction
Id: decoction
Title: "煎服法 / Decoction"
Description: "一张饮片处方的剂数、煎服法与每日次数 / Doses, method and times a day of a prescription of pieces."
Context: MedicationRequest
* insert Answers(FHIR-136)
* extension contains doses 1..1 and method 1..1 and times 1..1
* extension[doses].value[x] 1..1
* extension[doses].value[x] only positiveInt
* extension[doses].valuePositiveInt obeys FHIR-136
* extension[method].value[x] 1..1
* extension[method].value[x] only code
* extension[method].valueCode from DecoctionMethods (required)
* extension[times].value[x] 1..1
* extension[times].value[x] only positiveInt
* extension[times].valuePositiveInt obeys FHIR-136

Extension: DecoctionMark
Id: decoction-mark
Title: "特殊煎法 / Mark of a single piece"
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only code
* valueCode from DecoctionMarks (required)

Extension: Renewal
Id: renewal
Title: "续方 / Renewal"
Description: "原处方号，及可以续方的期间 / The first prescription, and the window in which it may be renewed."
Context: MedicationRequest
* insert Answers(FHIR-137)
* extension contains first 1..1 and window 1..1
* extension[first].value[x] 1..1
* extension[first].value[x] only string
* extension[first].valueString obeys FHIR-137-number
* extension[window].value[x] 1..1
* extension[window].value[x] only Period
* extension[window].valuePeriod.start 1..1
* extension[window].valuePeriod.start obeys FHIR-137-day
* extension[window].valuePeriod.end 1..1
* extension[window].valuePeriod.end obeys FHIR-137-day

// New in 1.2.

Extension: AllergyText
Id: allergy-text
Title: "过敏史（文字） / An allergy in words"
Description: "没有编码的过敏，按医师所写 / An allergy no code of ours stands for, as the hospital wrote it."
Context: Patient
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only string
* valueString obeys FHIR-034-text

Extension: NoKnownAllergies
Id: no-known-allergies
Title: "无已知过敏 / No known allergies"
Description: "问过且没有；不发送表示没有说 / Asked, and none are known; leaving it out says nothing."
Context: Patient
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only boolean

Extension: ValidReason
Id: valid-reason
Title: "有效期超过一天的理由 / Reason of a validity of two or three days"
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only string
* valueString obeys FHIR-034-text

Extension: PrescriptionNote
Id: prescription-note
Title: "处方备注 / Note to the whole prescription"
Description: "写在整张处方上的话，各条目相同；只关一种药的写入 note / What was written to the whole prescription, the same on every item; what is about one drug goes into its note."
Context: MedicationRequest
* insert Answers(FHIR-034)
* value[x] 1..1
* value[x] only string
* valueString obeys FHIR-034-text

Extension: SkinTest
Id: skin-test
Title: "皮试 / Skin test"
Description: "结果与时间，或免皮试的依据 / A result and its time, or why no test is needed."
Context: MedicationRequest
* insert Answers(FHIR-151)
* extension contains result 0..1 and at 0..1 and exemption 0..1
* extension[result].value[x] 1..1
* extension[result].value[x] only code
* extension[result].valueCode from SkinTestResults (required)
* extension[at].value[x] 1..1
* extension[at].value[x] only dateTime
* extension[at].valueDateTime obeys FHIR-151-time
* extension[exemption].value[x] 1..1
* extension[exemption].value[x] only string
* extension[exemption].valueString obeys FHIR-034-text

Extension: HospitalApproval
Id: hospital-approval
Title: "医院审批标志 / Approval of a restricted drug (hospApprFlag)"
Context: MedicationRequest
* insert Answers(FHIR-152)
* value[x] 1..1
* value[x] only code
* valueCode from HospitalApprovals (required)
