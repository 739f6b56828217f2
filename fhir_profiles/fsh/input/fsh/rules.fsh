// Invariants: what elements must look like beyond their types. The key begins with the rule of the catalogue.

RuleSet: Error
* severity = #error

Invariant: FHIR-021
Description: "1 至 64 位字母、数字、点、下划线或连字符 / 1 to 64 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^(?!\\\\.+$)[A-Za-z0-9._-]{1,64}$')"

Invariant: FHIR-022-message
Description: "urn:{hospital}:message"
* insert Error
* expression = "matches('^urn:[a-z][a-z0-9_]{0,63}:message$')"

Invariant: FHIR-022-prescription
Description: "urn:{hospital}:prescription"
* insert Error
* expression = "matches('^urn:[a-z][a-z0-9_]{0,63}:prescription$')"

Invariant: FHIR-022-item
Description: "urn:{hospital}:item"
* insert Error
* expression = "matches('^urn:[a-z][a-z0-9_]{0,63}:item$')"

Invariant: FHIR-023
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-028
Description: "urn:uuid: 加 UUID / urn:uuid: and a UUID"
* insert Error
* expression = "matches('^urn:uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')"

Invariant: FHIR-034-allergy
Description: "过敏类别编码 / a code of allergy_groups.csv"
* insert Error
* expression = "matches('^[A-Z]{2}[0-9]{2,4}$')"

Invariant: FHIR-034-disease
Description: "门诊慢特病病种编码 / a code of an outpatient chronic disease"
* insert Error
* expression = "matches('^[A-Z]{1,4}[0-9]{3,5}$')"

Invariant: FHIR-034-text
Description: "不超过 500 字，不能全是空白 / at most 500 characters, not all of them blank"
* insert Error
* expression = "matches('[^ \\\\t\\\\r\\\\n]') and length() <= 500"

// GB 11643: 17 digits and a check character by ISO 7064 MOD 11-2.
Invariant: FHIR-040
Description: "18 位身份证号，校验位按 MOD 11-2 / 18 characters, the last one the check character by MOD 11-2"
* insert Error
* expression = "iif(matches('^[1-9][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]$'), '10X98765432'.substring((substring(0, 1).toInteger() * 7 + substring(1, 1).toInteger() * 9 + substring(2, 1).toInteger() * 10 + substring(3, 1).toInteger() * 5 + substring(4, 1).toInteger() * 8 + substring(5, 1).toInteger() * 4 + substring(6, 1).toInteger() * 2 + substring(7, 1).toInteger() * 1 + substring(8, 1).toInteger() * 6 + substring(9, 1).toInteger() * 3 + substring(10, 1).toInteger() * 7 + substring(11, 1).toInteger() * 9 + substring(12, 1).toInteger() * 10 + substring(13, 1).toInteger() * 5 + substring(14, 1).toInteger() * 8 + substring(15, 1).toInteger() * 4 + substring(16, 1).toInteger() * 2) mod 11, 1) = substring(17, 1), false)"

Invariant: FHIR-041
Description: "完整的年月日 / year, month and day"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$')"

Invariant: FHIR-045
Description: "不能全是空白 / not blank"
* insert Error
* expression = "matches('[^ \\\\t\\\\r\\\\n]')"

Invariant: FHIR-046
Description: "患者记录有效且未标为死亡 / the record is active and nobody says the patient died"
* insert Error
* expression = "(active.empty() or active) and (deceased.empty() or deceased = false)"

Invariant: FHIR-049
Description: "6 位行政区划代码 / a division code of six digits"
* insert Error
* expression = "matches('^[0-9]{6}$')"

Invariant: FHIR-051
Description: "D 加 12 位数字 / D and 12 digits"
* insert Error
* expression = "matches('^D[0-9]{12}$')"

Invariant: FHIR-052
Description: "H 加 11 位数字 / H and 11 digits"
* insert Error
* expression = "matches('^H[0-9]{11}$')"

Invariant: FHIR-056
Description: "ICD-10 医保版 / ICD-10, insurance version"
* insert Error
* expression = "matches('^[A-Z][0-9]{2}([.][0-9x][0-9]{0,2}(x[0-9]{3})?)?([+]([A-Z][0-9]{2}([.][0-9x][0-9]{0,2})?[*])?)?$')"

Invariant: FHIR-057
Description: "ICD-10 医保版 / ICD-10, insurance version"
* insert Error
* expression = "matches('^[A-Z][0-9]{2}([.][0-9x][0-9]{0,2}(x[0-9]{3})?)?([+]([A-Z][0-9]{2}([.][0-9x][0-9]{0,2})?[*])?)?$')"

Invariant: FHIR-058
Description: "诊断有名称 / the diagnosis has a name"
* insert Error
* expression = "coding.where(system = 'urn:oid:2.16.156.10011.2.3.3.11').display.where(matches('[^ \\\\t\\\\r\\\\n]')).exists() or text.where(matches('[^ \\\\t\\\\r\\\\n]')).exists()"

Invariant: FHIR-062
Description: "6 位参保地区划代码 / a division code of six digits"
* insert Error
* expression = "matches('^[0-9]{6}$')"

Invariant: FHIR-073
Description: "1 至 64 位字母、数字、点、下划线或连字符 / 1 to 64 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^(?!\\\\.+$)[A-Za-z0-9._-]{1,64}$')"

Invariant: FHIR-074
Description: "1 至 64 位字母、数字、点、下划线或连字符 / 1 to 64 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^(?!\\\\.+$)[A-Za-z0-9._-]{1,64}$')"

Invariant: FHIR-077
Description: "恰有一个药品类别代码 / exactly one code of a drug kind"
* insert Error
* expression = "category.coding.where(system = 'https://sanyi.example/fhir/CodeSystem/drug-kind').count() = 1"

Invariant: FHIR-054
Description: "恰有一个初诊复诊代码 / exactly one code of a visit type"
* insert Error
* expression = "type.coding.where(system = 'https://sanyi.example/fhir/CodeSystem/visit-type').count() = 1"

Invariant: FHIR-080
Description: "目录编码：1 至 32 位字母或数字 / a catalogue code of 1 to 32 letters or digits"
* insert Error
* expression = "matches('^[A-Za-z0-9]{1,32}$')"

Invariant: FHIR-081
Description: "药品有通用名 / the drug has its generic name"
* insert Error
* expression = "coding.where(system = 'https://sanyi.example/fhir/CodeSystem/drug').display.where(matches('[^ \\\\t\\\\r\\\\n]')).exists() or text.where(matches('[^ \\\\t\\\\r\\\\n]')).exists()"

Invariant: FHIR-082
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-084
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-089
Description: "大于 0 / above 0"
* insert Error
* expression = "$this > 0"

Invariant: FHIR-091
Description: "不得含糊 / not vague"
* insert Error
* expression = "lower().matches('遵医嘱|按医嘱|自用|备用|按说明|见说明|同前|as directed|as needed by patient').not()"

Invariant: FHIR-092
Description: "大于 0 / above 0"
* insert Error
* expression = "$this > 0"

Invariant: FHIR-094
Description: "1 至 366 的整数 / a whole number from 1 to 366"
* insert Error
* expression = "$this >= 1 and $this <= 366 and $this mod 1 = 0"

Invariant: FHIR-103
Description: "1 至 64 位字母、数字、点、下划线或连字符 / 1 to 64 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^(?!\\\\.+$)[A-Za-z0-9._-]{1,64}$')"

Invariant: FHIR-105
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-130
Description: "电子凭证令牌：8 至 64 位字母或数字 / a token of 8 to 64 letters or digits"
* insert Error
* expression = "matches('^[A-Za-z0-9]{8,64}$')"

Invariant: FHIR-132
Description: "药师代码：Y 加 12 位数字 / Y and 12 digits"
* insert Error
* expression = "matches('^Y[0-9]{12}$')"

Invariant: FHIR-133
Description: "恰有一个门诊慢特病病种编码 / one code of an outpatient chronic disease"
* insert Error
* expression = "matches('^[A-Z]{1,4}[0-9]{3,5}$')"

Invariant: FHIR-134
Description: "签名时间带时区、精确到秒 / signed at a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-135
Description: "监测项目有数值，或每个分项有数值 / a value, or a value in every component"
* insert Error
* expression = "value.exists() != component.exists()"

Invariant: FHIR-136
Description: "1 至 60 剂，每日 1 至 6 次 / 1 to 60 doses, 1 to 6 times a day"
* insert Error
* expression = "$this >= 1 and $this <= 60"

Invariant: FHIR-034-positive
Description: "大于 0 / above 0"
* insert Error
* expression = "$this > 0"

Invariant: FHIR-056-day
Description: "完整的年月日 / year, month and day"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$')"

Invariant: FHIR-135-time
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-137-day
Description: "完整的年月日 / year, month and day"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$')"

Invariant: FHIR-137-number
Description: "1 至 64 位字母、数字、点、下划线或连字符 / 1 to 64 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^(?!\\\\.+$)[A-Za-z0-9._-]{1,64}$')"

Invariant: FHIR-022-visit
Description: "urn:{hospital}:visit"
* insert Error
* expression = "matches('^urn:[a-z][a-z0-9_]{0,63}:visit$')"

Invariant: FHIR-138
Description: "1 至 30 位字母、数字、点、下划线或连字符 / 1 to 30 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^[A-Za-z0-9._-]{1,30}$')"

Invariant: FHIR-139
Description: "1 至 64 位字母、数字、点、下划线或连字符 / 1 to 64 letters, digits, dots, underscores or hyphens"
* insert Error
* expression = "matches('^(?!\\\\.+$)[A-Za-z0-9._-]{1,64}$')"

Invariant: FHIR-151-time
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"

Invariant: FHIR-143-time
Description: "带时区、精确到秒 / a time to the second with an offset"
* insert Error
* expression = "toString().matches('^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')"
