// The closed lists of the contract. fhir_profiles/codes.py reads them from what is generated here.

RuleSet: Terms
* ^experimental = false
* ^caseSensitive = true
* ^content = #complete

CodeSystem: DrugKindCS
Id: drug-kind
Title: "药品类别 / Drug kind"
* insert Terms
* #western "西药 / western medicine"
* #tcm_patent "中成药 / patent Chinese medicine"
* #tcm_piece "中药饮片 / herbal piece"

ValueSet: DrugKinds
Id: drug-kind
Title: "药品类别 / Drug kind"
* ^experimental = false
* include codes from system DrugKindCS

CodeSystem: PrescriptionKindCS
Id: prescription-kind
Title: "处方类别 / Prescription kind"
* insert Terms
* #general "普通 / general"
* #emergency "急诊 / emergency"
* #long_term "长期处方 / long-term"

ValueSet: PrescriptionKinds
Id: prescription-kind
Title: "处方类别 / Prescription kind"
* ^experimental = false
* include codes from system PrescriptionKindCS

CodeSystem: HandoverCS
Id: handover
Title: "取药方式 / Handover"
* insert Terms
* #pickup "自取 / collected at the pharmacy"
* #home "配送到家 / delivered home"

ValueSet: Handovers
Id: handover
Title: "取药方式 / Handover"
* ^experimental = false
* include codes from system HandoverCS

ValueSet: VisitClasses
Id: visit-class
Title: "就诊方式 / Visit class"
* ^experimental = false
* $act#VR "互联网 / internet"
* $act#AMB "门诊 / outpatient"

CodeSystem: VisitTypeCS
Id: visit-type
Title: "初诊复诊 / First visit or follow-up"
* insert Terms
* #first "初诊 / first visit"
* #follow-up "复诊 / follow-up"

ValueSet: VisitTypes
Id: visit-type
Title: "初诊复诊 / First visit or follow-up"
* ^experimental = false
* include codes from system VisitTypeCS

ValueSet: VisitStatuses
Id: visit-status
Title: "就诊状态 / Visit status"
* ^experimental = false
* http://hl7.org/fhir/encounter-status#finished
* http://hl7.org/fhir/encounter-status#in-progress

ValueSet: Genders
Id: gender
Title: "性别 / Gender"
* ^experimental = false
* http://hl7.org/fhir/administrative-gender#male
* http://hl7.org/fhir/administrative-gender#female

ValueSet: DiagnosisStatuses
Id: diagnosis-status
Title: "诊断可以处于的状态 / What a diagnosis may be"
* ^experimental = false
* http://terminology.hl7.org/CodeSystem/condition-ver-status#unconfirmed
* http://terminology.hl7.org/CodeSystem/condition-ver-status#provisional
* http://terminology.hl7.org/CodeSystem/condition-ver-status#differential
* http://terminology.hl7.org/CodeSystem/condition-ver-status#confirmed

ValueSet: ClinicalStatuses
Id: clinical-status
Title: "诊断现状 / What a diagnosis may be now"
* ^experimental = false
* http://terminology.hl7.org/CodeSystem/condition-clinical#active
* http://terminology.hl7.org/CodeSystem/condition-clinical#recurrence
* http://terminology.hl7.org/CodeSystem/condition-clinical#relapse

CodeSystem: RouteCS
Id: route
Title: "给药途径 / Route"
* insert Terms
* #PO "口服 / by mouth"
* #SC "皮下 / subcutaneous"
* #SL "舌下 / sublingual"
* #INH "吸入 / inhaled"
* #OPH "滴眼 / into the eye"

ValueSet: Routes
Id: route
Title: "给药途径 / Route"
* ^experimental = false
* include codes from system RouteCS

CodeSystem: FrequencyCS
Id: frequency
Title: "频次 / Frequency"
* insert Terms
* ^property[+].code = #times
* ^property[=].type = #integer
* ^property[=].description = "Times per period / 每周期次数"
* ^property[+].code = #days
* ^property[=].type = #integer
* ^property[=].description = "Days of the period / 周期天数"
* #qd "每日1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #bid "每日2次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 2
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #tid "每日3次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 3
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #qid "每日4次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 4
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #q6h "每6小时1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 4
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #q8h "每8小时1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 3
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #q12h "每12小时1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 2
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #qn "每晚1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #qm "每晨1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #ac "餐前(按餐计)"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 3
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #qod "隔日1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 2
* #biw "每周2次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 2
  * ^property[1].code = #days
  * ^property[1].valueInteger = 7
* #tiw "每周3次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 3
  * ^property[1].code = #days
  * ^property[1].valueInteger = 7
* #qw "每周1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 7
* #q2w "每2周1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 14
* #q4w "每4周1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 28
* #qmonth "每月1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 30
* #prn "必要时"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 0
  * ^property[1].code = #days
  * ^property[1].valueInteger = 1
* #st "立即1次"
  * ^property[0].code = #times
  * ^property[0].valueInteger = 1
  * ^property[1].code = #days
  * ^property[1].valueInteger = 0

ValueSet: Frequencies
Id: frequency
Title: "频次 / Frequency"
* ^experimental = false
* include codes from system FrequencyCS

CodeSystem: InsutypeCS
Id: insutype
Title: "险种 / Insurance type (insutype)"
* insert Terms
* #310 "职工基本医疗保险"
* #320 "公务员医疗补助"
* #330 "大额医疗费用补助"
* #340 "离休人员医疗保障"
* #350 "一至六级残废军人医疗补助"
* #360 "老红军医疗保障"
* #370 "企业补充医疗保险"
* #380 "新型农村合作医疗"
* #390 "城乡居民基本医疗保险"
* #391 "城镇居民基本医疗保险"
* #392 "城乡居民大病医疗保险"
* #399 "其他特殊人员医疗保障"
* #410 "长期照护保险"
* #510 "生育保险"

ValueSet: Insutypes
Id: insutype
Title: "险种 / Insurance type (insutype)"
* ^experimental = false
* include codes from system InsutypeCS

CodeSystem: CancelReasonCS
Id: cancel-reason
Title: "撤销原因 / Reason of a cancel"
* insert Terms
* #prescriber "医师要求 / the prescriber wants it"
* #patient "患者要求 / the patient wants it"
* #duplicate "重复开具 / prescribed twice"
* #entered-in-error "录入错误 / entered in error"
* #other "其他 / other"

ValueSet: CancelReasons
Id: cancel-reason
Title: "撤销原因 / Reason of a cancel"
* ^experimental = false
* include codes from system CancelReasonCS

CodeSystem: UnitCS
Id: unit
Title: "剂量与包装单位 / Units of doses and packs"
* insert Terms
* #mg
* #g
* #μg
* #µg
* #U
* #IU
* #ml
* #mL
* #mmol
* #片
* #粒
* #丸
* #滴
* #吸
* #揿
* #喷
* #袋
* #支
* #贴
* #瓶
* #盒
* #枚
* #板
* #罐
* #管
* #包
* #剂

ValueSet: DoseUnits
Id: dose-unit
Title: "单次剂量单位 / Units of a single dose"
* ^experimental = false
* UnitCS#mg
* UnitCS#g
* UnitCS#μg
* UnitCS#µg
* UnitCS#U
* UnitCS#IU
* UnitCS#ml
* UnitCS#mL
* UnitCS#mmol
* UnitCS#片
* UnitCS#粒
* UnitCS#丸
* UnitCS#滴
* UnitCS#吸
* UnitCS#揿
* UnitCS#喷
* UnitCS#袋
* UnitCS#支
* UnitCS#贴

ValueSet: PackUnits
Id: pack-unit
Title: "发药单位 / Units of the quantity"
* ^experimental = false
* UnitCS#片
* UnitCS#粒
* UnitCS#丸
* UnitCS#支
* UnitCS#瓶
* UnitCS#盒
* UnitCS#袋
* UnitCS#贴
* UnitCS#枚
* UnitCS#板
* UnitCS#罐
* UnitCS#管
* UnitCS#包
* UnitCS#剂
* UnitCS#g
* UnitCS#ml
* UnitCS#mL

ValueSet: SupplyUnits
Id: supply-unit
Title: "用药时间单位 / Units of a supply (UCUM)"
* ^experimental = false
* http://unitsofmeasure.org#d
* http://unitsofmeasure.org#wk

CodeSystem: TaskCS
Id: task
Title: "任务 / What a Task is about"
* insert Terms
* #cancel "撤销处方 / cancel a prescription"
* #fulfil "履行处方 / fulfil a prescription"

ValueSet: Tasks
Id: task
Title: "任务 / What a Task is about"
* ^experimental = false
* include codes from system TaskCS

CodeSystem: StatusCS
Id: status
Title: "处方状态 / Where a prescription or a cancel is"
* insert Terms
* #received "已接收 / received"
* #audited "已预审 / audited"
* #in_review "待审方 / in review"
* #reviewed "审方通过 / reviewed"
* #allocating "分配药店 / allocating"
* #fulfilling "药店配药 / fulfilling"
* #fulfilled "已取药 / fulfilled"
* #settled "已结算 / settled"
* #closed "已办结 / closed"
* #refused "已拒绝 / refused"
* #returned "退回医师 / returned"
* #cancelled "已撤销 / cancelled"
* #expired "已过期 / expired"
* #cancelling "正在撤销 / being cancelled"
* #too-late "为时已晚 / too late to cancel"
* #invalid "不符合接口约定 / breaks the contract"

ValueSet: Statuses
Id: status
Title: "处方状态 / Where a prescription or a cancel is"
* ^experimental = false
* include codes from system StatusCS

ValueSet: DispenseStatuses
Id: dispense-status
Title: "发药状态 / What became of what was handed over"
* ^experimental = false
* http://terminology.hl7.org/CodeSystem/medicationdispense-status#completed "已交付 / handed over"
* http://terminology.hl7.org/CodeSystem/medicationdispense-status#stopped "已退回 / brought back"

ValueSet: SettlementStatuses
Id: settlement-status
Title: "结算状态 / Whether a settlement counts"
* ^experimental = false
* http://hl7.org/fhir/fm-status#active "有效 / counts"
* http://hl7.org/fhir/fm-status#cancelled "已冲正 / reversed"

// Lists kept elsewhere: the catalogue of drugs, the findings, the national diseases of 门诊慢特病.
RuleSet: KeptElsewhere
* ^experimental = false
* ^caseSensitive = true
* ^content = #not-present

CodeSystem: DrugCS
Id: drug
Title: "药品目录编码 / Codes of the drug catalogue"
* insert KeptElsewhere

CodeSystem: FindingCS
Id: finding
Title: "消息问题 / Findings"
* insert KeptElsewhere

CodeSystem: ChronicDiseaseCS
Id: chronic-disease
Title: "门诊慢特病病种 / Chronic diseases of outpatient insurance (opsp_dise_code)"
* insert KeptElsewhere

CodeSystem: TitleCS
Id: title
Title: "职称 / Professional title"
* insert Terms
* #231 "主任医师"
* #232 "副主任医师"
* #233 "主治医师"
* #234 "医师"
* #235 "医士"
* #1 "执业药师"
* #2.1 "主任药师"
* #2.2 "副主任药师"
* #2.3 "主管药师"
* #2.4 "药师"

ValueSet: Titles
Id: title
Title: "职称 / Professional title"
* ^experimental = false
* include codes from system TitleCS

CodeSystem: GuardianshipCS
Id: guardianship
Title: "监护关系 / Guardianship"
* insert Terms
* #parent "父母 / parent"
* #grandparent "祖父母、外祖父母 / grandparent"
* #sibling "兄、姐 / adult brother or sister"
* #guardian "其他监护人 / other guardian"

ValueSet: Guardianships
Id: guardianship
Title: "监护关系 / Guardianship"
* ^experimental = false
* include codes from system GuardianshipCS

CodeSystem: DecoctionMethodCS
Id: decoction-method
Title: "煎服法 / How the pieces are prepared and taken"
* insert Terms
* #decoct "水煎服 / decocted in water"
* #decoct-by-pharmacy "代煎 / decocted by the pharmacy"
* #infuse "泡服 / infused"
* #powder "研末冲服 / taken as powder"
* #external "煎汤外用 / decocted for external use"

ValueSet: DecoctionMethods
Id: decoction-method
Title: "煎服法 / How the pieces are prepared and taken"
* ^experimental = false
* include codes from system DecoctionMethodCS

CodeSystem: DecoctionMarkCS
Id: decoction-mark
Title: "特殊煎法 / Marks of a single piece"
* insert Terms
* #first "先煎 / decocted first"
* #last "后下 / added at the end"
* #wrapped "包煎 / wrapped"
* #separate "另煎 / decocted separately"
* #melted "烊化 / melted in"
* #taken-with "冲服 / taken with the decoction"

ValueSet: DecoctionMarks
Id: decoction-mark
Title: "特殊煎法 / Marks of a single piece"
* ^experimental = false
* include codes from system DecoctionMarkCS

CodeSystem: SkinTestResultCS
Id: skin-test-result
Title: "皮试结果 / Result of a skin test"
* insert Terms
* #negative "阴性 / negative"
* #positive "阳性 / positive"

ValueSet: SkinTestResults
Id: skin-test-result
Title: "皮试结果 / Result of a skin test"
* ^experimental = false
* include codes from system SkinTestResultCS

CodeSystem: HospitalApprovalCS
Id: hospital-approval
Title: "医院审批标志 / What the hospital says of a restricted drug (hospApprFlag)"
* insert Terms
* #0 "无须审批或未审批 / not needed, or not given"
* #1 "符合限定支付范围 / its conditions are met: the fund pays"
* #2 "自费 / own expense"

ValueSet: HospitalApprovals
Id: hospital-approval
Title: "医院审批标志 / What the hospital says of a restricted drug (hospApprFlag)"
* ^experimental = false
* include codes from system HospitalApprovalCS

CodeSystem: DepartmentCS
Id: department
Title: "诊疗科目 / Departments"
* insert KeptElsewhere

Alias: $loinc = http://loinc.org

ValueSet: HomeReadings
Id: home-reading
Title: "居家监测项目 / What is read at home"
* ^experimental = false
* $loinc#85354-9 "血压 / blood pressure"
* $loinc#8480-6 "收缩压 / systolic"
* $loinc#8462-4 "舒张压 / diastolic"
* $loinc#8867-4 "心率 / heart rate"
* $loinc#15074-8 "血糖 / glucose"
* $loinc#29463-7 "体重 / body weight"
* $loinc#59408-5 "血氧 / oxygen saturation"

ValueSet: HomeReadingUnits
Id: home-reading-unit
Title: "居家监测单位 / Units of home readings (UCUM)"
* ^experimental = false
* $ucum#mm[Hg]
* $ucum#/min
* $ucum#mmol/L
* $ucum#kg
* $ucum#%

CodeSystem: MoneyPartCS
Id: money-part
Title: "费用构成 / Parts of a claim"
* insert Terms
* #total "总费用 / total"
* #fund "基金支付 / paid by the fund"
* #account "个人账户支付 / paid from the account"
* #cash "现金支付 / paid by the patient"

ValueSet: MoneyParts
Id: money-part
Title: "费用构成 / Parts of a claim"
* ^experimental = false
* include codes from system MoneyPartCS
