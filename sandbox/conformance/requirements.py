"""What a hospital's interface must do before it may send real prescriptions."""

from dataclasses import dataclass

from domain.words import Two


@dataclass(frozen=True)
class Requirement:
    id: str
    """`R-01`, for ever; a requirement that is gone leaves a gap."""
    words: Two
    source: str
    cure: Two
    """What the hospital's side does about a failure."""


_CONTRACT = "contracts.md 1"
_REPORT = "contracts.md 1.3"
_ART = "处方管理办法 art."

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("R-01", Two("每条消息都得到应答", "Every message is answered"), _CONTRACT,
                Two("检查地址、端口、证书与令牌；没有应答时用相同字节重发",
                "Check address, port, certificate and token; without an answer send the same bytes again")),
    Requirement("R-02", Two("医院提供的正确样例全部被接收", "Every valid sample of the hospital is accepted"), _CONTRACT,
                Two("按应答中指出的位置修改接口程序，更新样例",
                    "Correct the interface where the answer points, and renew the sample")),
    Requirement("R-03", Two("错误样例因各自的错误被拒收", "Every invalid sample is refused for its own mistake"),
                "contracts.md 1.1", Two("该样例与索引不符：更新样例或索引", "Sample and index disagree: renew one of them")),
    Requirement("R-04", Two("规范的处方被接收并取得平台编号", "A good prescription is accepted and gets the platform's id"),
                f"contracts.md 1.1; {_ART}6", Two("按应答中的问题逐项修改", "Correct what the answer lists")),
    Requirement("R-05", Two("重发时编号与字节都不变，应答也不变", "A repeat has the same key and bytes, and gets the same answer"),
                _CONTRACT, Two("发送前保存整条消息，重发时原样取出，不要重新生成时间等字段",
                "Keep the message before sending and repeat it as it was; do not make its times anew")),
    Requirement("R-06", Two("同一编号内容不同时，能识别冲突应答", "The same key with another content is known as a conflict"),
                _CONTRACT, Two("修改处方须用新编号；收到冲突应答后停止重发并报警",
                "A change needs a new key; stop and alert on a conflict")),
    Requirement("R-07", Two("错误的消息被拒收，且医院能读懂拒收", "A broken message is refused, and the hospital understands it"),
                _CONTRACT, Two("读取应答中的问题清单并转给相关人员",
                "Read the findings in the answer and route them to whoever must act")),
    Requirement("R-08", Two("所用编码都已对照", "Every code it uses is mapped"), "onboarding-hospital.md",
                Two("运行 ./go map 并由人员确认", "Run ./go map and have a person accept the suggestions")),
    Requirement("R-09", Two("过期处方能收到过期报告", "It hears that a prescription has expired"), f"{_ART}18",
                Two("接收 expired 报告，通知患者重新就诊", "Take the report `expired` and tell the patient")),
    Requirement("R-10", Two("能够撤销已发出的处方", "It takes back a prescription that was sent"), "contracts.md 1.2",
                Two("实现撤销消息", "Implement the cancel message")),
    Requirement("R-11", Two("撤销先于处方到达也能生效", "A cancel that arrives before its prescription takes effect"),
                "contracts.md 1.2", Two("撤销与处方可以乱序发送，勿等待", "Cancel and prescription may cross; do not wait")),
    Requirement("R-12", Two("药房已接单时的撤销得到结果", "A cancel after a pharmacy has the order gets an outcome"),
                "contracts.md 1.2",
                Two("接收 cancelling 应答和之后的报告", "Take the answer `cancelling` and the report after it")),
    Requirement("R-13", Two("每张处方的进展和结局都收到", "It hears how every prescription goes and ends"), _REPORT,
                Two("接收并落库全部状态报告", "Take and keep every status report")),
    Requirement("R-14", Two("重复的报告内容相同，只计一次", "A repeated report is the same and counts once"), _REPORT,
                Two("按报告编号去重", "Know a report by its key")),
    Requirement("R-15", Two("审核拒绝的原因送达医院", "It hears why a prescription was refused"), f"{_REPORT}; {_ART}36",
                Two("把问题清单转给开方医师", "Show the findings to the prescriber")),
    Requirement("R-16", Two("取药凭证送达医院", "It hears where and with which code the medicine is collected"), _REPORT,
                Two("接收报告中的取药信息并转给患者", "Take the pickup in the report and pass it to the patient")),
    Requirement("R-17", Two("结算金额送达且平衡", "It hears what was settled, and the amounts add up"), _REPORT,
                Two("核对：总额 = 基金 + 个人账户 + 现金", "Check: total = fund + account + cash")),
    Requirement("R-18", Two("同一消息同时多次到达，只成为一张处方",
                            "One message arriving several times at once is one prescription"),
                _CONTRACT, Two("无需修改；失败时请联系平台", "Nothing to change; tell the platform")),
    Requirement("R-19", Two("编号、应答与报告不含个人信息", "Keys, answers and reports hold nothing personal"),
                "个人信息保护法 art.6",
                Two("消息编号、处方号中不要使用证件号、姓名或电话", "Use no id number, name or phone in keys and numbers")),
)
BY_ID = {requirement.id: requirement for requirement in REQUIREMENTS}


def page() -> str:
    """docs/reference/conformance.md."""
    rows = [f"| {rule.id} | {rule.words.zh}<br>{rule.words.en} | {rule.source} | {rule.cure.zh}<br>{rule.cure.en} |"
            for rule in REQUIREMENTS]
    return "\n".join((
        "# Conformance / 接入认证", "",
        "What `./go conformance HOSPITAL` demands of a hospital's interface, and on what grounds. Made from",
        "`sandbox/conformance/requirements.py`.",
        "`./go conformance 医院` 对医院接口的要求及其依据。", "",
        "| id | requirement | source | after a failure |", "| --- | --- | --- | --- |", *rows, ""))
