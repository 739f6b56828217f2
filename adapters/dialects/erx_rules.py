"""What can be wrong with a message of the national 电子处方 interface."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from adapters.dialects.erx_json import Node
from domain.findings import Finding
from fhir_profiles.catalogue import RULES as CATALOGUE
from fhir_profiles.catalogue import MessageRule

_ENVELOPE = "电子处方接口 envelope and crypto"
_FIELDS = "电子处方接口 fields"
_FLOW = "电子处方接口 flow"

RULES: tuple[MessageRule, ...] = (
    MessageRule("ERX-001", "ERX_ENVELOPE", "required", _ENVELOPE,
         "报文外层缺少字段，或取值不符", "An entry of the envelope is missing or not as agreed.",
         "填 appId、encType=SM4、signType=SM2、timestamp（毫秒）、encData、signData",
         "Send appId, encType SM4, signType SM2, timestamp in milliseconds, encData and signData."),
    MessageRule("ERX-002", "ERX_DECRYPTION", "security", _ENVELOPE,
         "encData 无法解密", "encData cannot be decrypted.",
         "核对 appSecret 与 SM4 密钥派生（十六进制大写）", "Check appSecret and how the SM4 key is derived from it."),
    MessageRule("ERX-003", "ERX_SIGNATURE", "security", _ENVELOPE,
         "signData 验签不通过，或 encData 解密后不是 JSON 对象",
         "signData is not your signature of this message, or encData does not decrypt to a JSON object.",
         "核对 appSecret 与 SM4 密钥派生（十六进制大写）、待签串（去空值、键升序、&key=）、私钥与用户标识；明文为 UTF-8 的 JSON",
         "Check appSecret and how the SM4 key is derived from it, the text that is signed (no empty values, keys in order, "
         "&key=), the private key and the user id; what is encrypted is JSON in UTF-8."),
    MessageRule("ERX-004", "ERX_TRANSACTION", "structure", _FLOW,
         "不是可识别的交易组合", "This is no known combination of transactions.",
         "处方为 D001 与 D003，撤销为 D001 与 D004", "A prescription is D001 with D003, a revocation D001 with D004."),
    MessageRule("ERX-005", "ERX_TIMESTAMP", "expired", _ENVELOPE,
         "报文时间与平台时间相差超过 10 分钟", "The envelope's timestamp is more than ten minutes from our clock.",
         "校准服务器时钟；每次发送重新取时间并签名", "Set your clock; take the time and sign anew each time you send."),
    MessageRule("ERX-010", "ERX_FIELD_MISSING", "required", _FIELDS,
         "缺少必填字段", "A required field is missing.", "按接口字段表补上", "Send it; see the interface's field table."),
    MessageRule("ERX-011", "ERX_FIELD_TOO_LONG", "too-long", _FIELDS,
         "字段超过规定长度", "A field is longer than the interface allows.",
         "按接口字段表缩短", "Shorten it; see the interface's field table."),
    MessageRule("ERX-012", "ERX_FIELD_TYPE", "value", _FIELDS,
         "字段类型或格式不符", "A field is not of its type.",
         "数值不带单位，日期为 yyyy-MM-dd，时间为 yyyy-MM-dd HH:mm:ss",
         "Numbers without units, dates as yyyy-MM-dd, times as yyyy-MM-dd HH:mm:ss."),
    MessageRule("ERX-020", "ERX_PRECHECK_UNKNOWN", "not-found", _FLOW,
         "没有该医保处方编号的预核验记录", "There was no pre-check (D001) with this hiRxno.",
         "先调用 D001，使用其返回的 hiRxno", "Call D001 first and use the hiRxno it returns."),
    MessageRule("ERX-021", "ERX_TRACE_CODE", "conflict", _FLOW,
         "处方追溯码不是该处方预核验所得", "The rxTraceCode is not the one D001 gave for this prescription.",
         "使用 D001 返回的 rxTraceCode", "Use the rxTraceCode that D001 returned."),
    MessageRule("ERX-022", "ERX_PARTS_DISAGREE", "invalid", _FLOW,
         "与预核验的内容不一致", "This differs from what was pre-checked.",
         "与 D001 填写一致；内容有变请换新的处方编号重新预核验",
         "Repeat what D001 said; for other content pre-check again under a new prescription number."),
    MessageRule("ERX-023", "ERX_SIGN_DIGEST", "security", _FLOW,
         "signDigest 不是平台对这些处方信息的签名", "signDigest is not our signature of these fields.",
         "原样回传 D002 的 signDigest，字段与 originalValue 相同",
         "Return the signDigest of D002, with the same fields as in originalValue."),
    MessageRule("ERX-024", "ERX_ORIGINAL_VALUE", "value", _FLOW,
         "originalValue 不是键升序紧凑 JSON 的 base64", "originalValue is not base64 of compact JSON with keys in order.",
         "取 D003 的 rxFile 之前各字段，键升序、无空白、UTF-8，再做 base64",
         "Take the fields of D003 before rxFile, keys in order, no white space, UTF-8, then base64."),
    MessageRule("ERX-025", "ERX_RX_FILE", "value", _FLOW,
         "处方文件不是 PDF 或 OFD 的 base64", "The file is not base64 of a PDF or OFD document.",
         "生成 PDF 或 OFD 后做 base64", "Make a PDF or OFD document and encode it in base64."),
    MessageRule("ERX-026", "ERX_TOO_LARGE", "too-long", _FIELDS,
         "处方文件以外的内容超过 1 MB", "All but the file is more than 1 MB.",
         "一次只传一张处方；大的内容只放处方文件", "Send one prescription at a time; only its file may be large."),
    MessageRule("ERX-027", "ERX_TOO_MANY_ROWS", "too-long", _FIELDS,
         "明细超过 50 行", "There are more than 50 rows.",
         "一次只传一张处方：药品至多 10 种，饮片至多 40 味", "Send one prescription at a time: ten drugs at most, of pieces 40."),
    MessageRule("ERX-030", "ERX_FIELD_UNKNOWN", "structure", _FIELDS,
         "接口字段表没有此字段", "The interface has no such field here.",
         "按接口字段表填写；附加内容只用医院 README 列出的 extras 字段",
         "Use the interface's fields; what else there is goes into the fields of `extras` that the hospital's README lists."),
    MessageRule("ERX-031", "ERX_NOT_A_LIST", "structure", _FIELDS,
         "此处应为数组", "This is no list.", "即使只有一条也用数组", "Send a list, also of one."),
    MessageRule("ERX-032", "ERX_NOT_READ", "not-supported", _FIELDS,
         "平台不处理此字段的内容", "What this field says is not acted on.",
         "生育、计划生育处方不经本平台；其他情况不填，需要告知的写入 rxDrordDscr",
         "Prescriptions of maternity and family planning do not come here; otherwise leave it out, and write what must be "
         "known into rxDrordDscr.", actor="prescriber"),
    MessageRule("ERX-033", "ERX_CODE", "code-invalid", _FIELDS,
         "代码不在接口规定的取值之内", "The code is none of the interface's.",
         "按接口代码表填写，标志填 0 或 1", "Use the interface's table of codes; a flag is 0 or 1."),
    MessageRule("ERX-034", "ERX_AGE", "invalid", "A-17, GB 11643",
         "年龄、新生儿标志或日龄与证件号码的出生日期不符，患者可能不是证件所指的人",
         "Age, newborn flag or age in days are not those of the birth date in certno: the patient may be somebody else.",
         "填患者本人的证件号码（新生儿不用父母的）；patnAge 为周岁，nwbAge 写明天或月",
         "Send the patient's own number (for a newborn not a parent's); patnAge in completed years, nwbAge in 天 or 月.",
         actor="registration"),
    MessageRule("ERX-036", "ERX_CERT_TYPE", "not-supported", "A-17, GB 11643",
         "人员证件不是居民身份证", "The person's document is no resident id card.",
         "psnCertType 填 01，certno 填 18 位居民身份证号", "Send psnCertType 01 and the 18 characters of the resident id.",
         actor="registration"),
    MessageRule("ERX-037", "ERX_CREDENTIAL", "invalid", _FIELDS,
         "就诊凭证与其他内容矛盾", "The credential of the visit contradicts something else.",
         "mdtrtCertType 02 时 mdtrtCertNo 为本人证件号；01 时为电子凭证令牌，与 ecToken 相同",
         "With mdtrtCertType 02 mdtrtCertNo is the person's own number; with 01 it is the token, the same as ecToken.",
         actor="registration"),
    MessageRule("ERX-038", "ERX_DRUG_COUNT", "invalid", _FIELDS,
         "rxDrugCnt 与明细不符", "rxDrugCnt is not the number of rows.",
         "西药、中成药填明细行数；饮片填剂数（整数）", "The number of rows; of pieces the number of doses (剂), a whole one."),
    MessageRule("ERX-039", "ERX_VALID_DAYS", "invalid", "A-01, 处方管理办法 art.18",
         "valiDays 与 valiEndTime 不符", "valiDays and valiEndTime do not agree.",
         "valiEndTime 等于 prscTime 加 valiDays 天", "valiEndTime is prscTime and valiDays days.", actor="prescriber"),
    MessageRule("ERX-040", "ERX_MEDICATION_TIME", "invalid", _FIELDS,
         "用药开始、结束时间与天数或开方时间矛盾", "Begin, end and days of a drug, or the time of issue, do not agree.",
         "medcEndtime 等于 medcBegntime 加 medcDays 天，开始不早于开方当日",
         "medcEndtime is medcBegntime and medcDays days; it begins not before the day of issue.", actor="prescriber"),
    MessageRule("ERX-041", "ERX_NAME_OF_CODE", "invalid", _FIELDS,
         "名称是另一个代码的名称", "The name is that of another code.",
         "代码与名称核对一致", "Make code and name say the same.", actor="prescriber"),
    MessageRule("ERX-042", "ERX_USAGE_TWICE", "invalid", _FIELDS,
         "整剂用法与明细用法矛盾，或用于非饮片",
         "The usage of the whole prescription differs from a row's, or stands on a prescription without pieces.",
         "饮片用整剂用法；西药、中成药只用明细中的用法", "Pieces have the usage of the whole, other drugs only that of their rows.",
         actor="prescriber"),
    MessageRule("ERX-043", "ERX_KIND", "invalid", "A-06, 处方管理办法 art.6",
         "药品类别之间矛盾，或饮片与其他药品同方", "Kinds of drugs contradict each other, or pieces stand beside other drugs.",
         "核对 rxTypeCode、rxItemTypeCode、tcmdrugTypeCode；饮片单独开方",
         "Check rxTypeCode, rxItemTypeCode and tcmdrugTypeCode; prescribe pieces on a paper of their own.", actor="prescriber"),
    MessageRule("ERX-044", "ERX_RX_TYPE", "business-rule", "处方管理办法 art.5",
         "处方类别与其他内容矛盾，或不在本平台流转", "The kind of prescription contradicts something else, or does not come here.",
         "急诊不开长期处方；儿科用于未成年人；麻醉、精神药品不外流",
         "No long-term prescription of emergencies; paediatrics are for minors; narcotics stay in the hospital.",
         actor="prescriber"),
    MessageRule("ERX-045", "ERX_REPEAT", "not-supported", _FIELDS,
         "处方多次使用尚不受理", "A prescription cannot be used several times.",
         "reptFlag 填 0，不填次数与间隔；每次另开处方", "Send reptFlag 0 without count or interval; prescribe each time.",
         actor="prescriber"),
    MessageRule("ERX-046", "ERX_RENEWAL", "invalid", "A-35",
         "续方标志、原处方编号与可续方日期矛盾", "rxCotnFlag, initRxno and the days of renewal do not agree.",
         "续方填 rxCotnFlag 1、initRxno 与 extras.renewBegnDate、renewEndDate；否则都不填",
         "Of a renewal send rxCotnFlag 1, initRxno and extras.renewBegnDate and renewEndDate; otherwise none of them.",
         actor="prescriber"),
    MessageRule("ERX-047", "ERX_MAIN_DIAGNOSIS", "invalid", _FIELDS,
         "主诊断不是恰好一个，或与 maindiagCode、maindiagName 不符",
         "There is not exactly one main diagnosis, or maindiagCode and maindiagName name another.",
         "恰有一行 maindiagFlag 为 1，编码、名称与 maindiagCode、maindiagName 相同",
         "One row has maindiagFlag 1, with the code and name of maindiagCode and maindiagName.", actor="prescriber"),
    MessageRule("ERX-048", "ERX_DIAGNOSIS_ORDER", "invalid", _FIELDS,
         "诊断排序号重复，或不在 1 至诊断数之间", "Two diagnoses have one number, or one is beyond how many there are.",
         "diagSrtNo 从 1 起依次编号", "Number them from 1 on (diagSrtNo)."),
    MessageRule("ERX-049", "ERX_CHRONIC", "invalid", "F-12",
         "医疗类别、特殊病种标志、病种编码矛盾", "medType, spDiseFlag and diseCodg do not agree.",
         "门诊慢特病填 spDiseFlag 1 与 diseCodg；普通门诊填 0，不填病种",
         "Of a chronic disease send spDiseFlag 1 and diseCodg; otherwise 0 and no disease.", actor="registration"),
    MessageRule("ERX-050", "ERX_INPATIENT", "business-rule", "A-11",
         "住院处方不经本平台流转", "Prescriptions of inpatients do not come here.",
         "otpIptFlag 填 1，medType 填门诊类别", "Send otpIptFlag 1 and a medType of outpatients.", actor="prescriber"),
    MessageRule("ERX-051", "ERX_TIME_ORDER", "invalid", _FIELDS,
         "时间先后矛盾", "The order of times is impossible.",
         "就诊、诊断不晚于开方，审方、撤销不早于开方",
         "Visit and diagnosis come before the prescription, check and revocation after it."),
    MessageRule("ERX-052", "ERX_OWN_EXPENSE", "invalid", "F-04",
         "审批通过（1）与自费原因矛盾", "The approval is 1, and there is a reason for own expense.",
         "自费填 hospApprFlag 2 与原因；否则不填 selfPayRea、realDscr",
         "For own expense send hospApprFlag 2 and the reason; otherwise no selfPayRea and no realDscr.", actor="prescriber"),
    MessageRule("ERX-053", "ERX_HOSPITAL_PREPARATION", "business-rule", "药品管理法 art.76",
         "医疗机构制剂不能外流", "A hospital's own preparation cannot be sold elsewhere.",
         "在本院配药，不上传平台", "Dispense it in the hospital; do not send it.", actor="prescriber"),
    MessageRule("ERX-054", "ERX_MEASURE", "value", _FIELDS,
         "身高、体重应大于 0", "Height and weight are above 0.",
         "身高单位 cm，体重单位 kg；未测不填", "Send cm and kg; leave out what was not measured.", actor="registration"),
)
_BY_CODE = {rule.code: rule for rule in RULES}
MAX_FINDINGS = 100
"""More findings than this in one answer do not help its reader."""


def finding(code: str, node: Node) -> Finding:
    """A rule of the dialect broken at a place; of a row of drugs it names the line."""
    path = f"{node.source.name}.{node.path}" if node.path else node.source.name
    return replace(_BY_CODE[code].finding(path, _line(node)), spot=node.spot)


def _line(node: Node) -> int | None:
    steps = node.steps
    return steps[1] + 1 if steps[:1] == ["rxdrugdetail"] and len(steps) > 1 and isinstance(steps[1], int) else None


def bounded(findings: Iterable[Finding]) -> list[Finding]:
    """The first `MAX_FINDINGS` of them; the last one says that there are more."""
    first = list(islice(findings, MAX_FINDINGS + 1))
    if len(first) > MAX_FINDINGS:
        first[-1] = replace(CATALOGUE["TOO_MANY_FINDINGS"].finding(first[-1].path), spot=first[-1].spot)
    return first
