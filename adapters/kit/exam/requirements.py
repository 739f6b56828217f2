"""What a chain's interface must do before it may fill real prescriptions."""

from dataclasses import dataclass

from domain.words import Two


@dataclass(frozen=True)
class Requirement:
    id: str
    """`K-01`, for ever; a requirement that is gone leaves a gap."""
    source: str
    words: Two
    cure: Two
    """What the chain's side does about a failure."""
    ways: tuple[str, ...] = ()
    """`callbacks`, `polled` or `box` where it is about some of the ways in which a chain takes part."""


_ALL = "contracts.md 2.4"
_PROMISE = "onboarding-chain.md"
_PACKS = "contracts.md 2.5; 医保追溯码 2025-07"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("K-01", "D-17; policy.toml quote_deadline_seconds",
                Two("报价按时作答", "A quote is answered in time"),
                Two("三秒内作答；过时的报价不参加排序", "Answer within three seconds; a late quote is left out of the ranking")),
    Requirement("K-02", _ALL,
                Two("报价可用，金额精确到分", "Quotes can be used, to the fen"),
                Two("每行金额 = 单价 × 数量，四舍五入到分；只报所询问的药品",
                    "Amount = unit price × quantity of each line, half up to the fen; quote what was asked for")),
    Requirement("K-03", _PROMISE,
                Two("同一订单号重复预占只占一次", "A hold repeated under one key is one hold"),
                Two("以平台订单号为键：重复时返回同一单号", "Use our order id as the key: a repeat gets the same reference")),
    Requirement("K-04", _PROMISE,
                Two("同一订单号内容不同时拒绝", "The same key with another content is refused"),
                Two("比较药店与各行；不同则作为请求错误答复",
                    "Compare store and lines; answer another content as a broken request")),
    Requirement("K-05", _PROMISE,
                Two("应答丢失后可以查到", "After a lost answer the order is found"),
                Two("按平台订单号查询，返回单号与状态", "Answer a question by our order id with reference and status")),
    Requirement("K-06", _PROMISE,
                Two("没有的订单明确答复没有", "Of an unknown order it says that there is none"),
                Two("答复查无此单，不要报系统错误", "Say unknown order, and no error of the system")),
    Requirement("K-07", _PROMISE,
                Two("预占可以转为订单，重复下单只有一单", "A hold becomes an order, and a repeat is the same order"),
                Two("以平台订单号为键：重复下单返回同一单号", "Use our order id as the key: a repeat gets the same reference")),
    Requirement("K-08", _ALL,
                Two("金额不符的请求被拒绝", "A request whose amounts do not agree is refused"),
                Two("核对单价、行金额与合计，差一分也拒绝",
                    "Check unit price, amount of each line and total; refuse a fen too much")),
    Requirement("K-09", _ALL,
                Two("不存在的药店被拒绝", "An order for a store that does not exist is refused"),
                Two("核对药店编号", "Check the number of the store")),
    Requirement("K-10", _ALL,
                Two("残缺的请求得到错误应答", "A malformed request is answered with a fault"),
                Two("用接口约定的错误应答，不要超时、断开或当作成功",
                    "Answer with the fault of the contract; no silence, and no yes")),
    Requirement("K-11", _PROMISE,
                Two("无库存时拒绝预占并给出代码", "A hold of what is not there is refused with its code"),
                Two("用 [refusals] 中代表 out_of_stock 的代码", "Use the code of [refusals] that stands for out_of_stock")),
    Requirement("K-12", _PROMISE,
                Two("取消两次都成功，且此后为已取消", "A cancel that comes twice is one cancel"),
                Two("已取消的订单再次取消时同样答复成功", "Answer a repeated cancel as the first one")),
    Requirement("K-13", _PROMISE,
                Two("取消不存在的订单时明确答复", "A cancel of an unknown order says so"),
                Two("用 [refusals] 中代表 unknown_order 的代码", "Use the code of [refusals] that stands for unknown_order")),
    Requirement("K-14", "contracts.md 2",
                Two("凭证不对的调用被拒绝", "A call with a wrong credential is denied"),
                Two("核对凭证，用 HTTP 401 或 403 答复", "Check the credential and answer HTTP 401 or 403"),
                ("callbacks", "polled")),
    Requirement("K-15", "D-12; contracts.md 2",
                Two("拒单附有约定的原因", "A declined order comes with a coded reason"),
                Two("拒单时给出 [causes] 中的原因", "Give a reason of [causes] with it")),
    Requirement("K-16", _PROMISE,
                Two("订单的每一步都告知：备药、配送、交付", "It tells of each step: prepared, in delivery, handed over"),
                Two("每一步一条消息，带订单号、领取密钥和时间（含时区，与实际相差不超过十分钟）",
                    "One update for each step with order id, claim secret and a time that is right within ten minutes")),
    Requirement("K-17", _PACKS,
                Two("备药与交付附有追溯码，数量相符", "Preparation and handover carry trace codes that make the quantity"),
                Two("每盒一行：20 位追溯码、批号、生产日期、有效期、数量",
                    "One row for each pack: 20 digits, lot, both dates, units")),
    Requirement("K-18", "contracts.md 2.1, 2.6",
                Two("没有得到应答的消息再次送来，内容不变", "An update that was not answered comes again, the same to the byte"),
                Two("保存消息原文，重发时原样取出，事件号不变", "Keep the update as it was sent, and its event id")),
    Requirement("K-19", "contracts.md 2.1",
                Two("回调都有有效签名，随机数不重复", "Every callback is signed, under a nonce of its own"),
                Two("按约定签名；时间戳相差不超过 600 秒；每次发送换新随机数",
                    "Sign as agreed, within 600 s, with a new nonce each time"), ("callbacks",)),
    Requirement("K-20", "contracts.md 2.6",
                Two("确认之后不再提供，确认之前一直提供", "What was confirmed is not offered again; what was not, is"),
                Two("只在收到确认时移动位置", "Move our place only by a confirmation"), ("polled",)),
    Requirement("K-21", _PROMISE,
                Two("已交付的订单不能取消，并给出代码", "What was handed over cannot be cancelled, and it says so"),
                Two("用 [refusals] 中代表 handed_over 或 in_delivery 的代码",
                    "Use the code of [refusals] for handed_over or in_delivery")),
    Requirement("K-22", _ALL,
                Two("结算通知可以重复接收", "A notice of settlement may come twice"),
                Two("同一订单以最后一次通知为准", "The last notice of an order counts")),
    Requirement("K-23", "个人信息保护法 art.6",
                Two("应答与消息不含个人信息", "Answers and updates hold nothing personal"),
                Two("编号、应答与消息中不要出现姓名、电话、地址", "No name, phone or address in numbers, answers and updates")),
    Requirement("K-24", "contracts.md 2.8",
                Two("库存文件按约定更新，时间准确", "Its stock comes as often as agreed, under the right time"),
                Two("按约定的间隔导出全部库存并放交付标记；每行写明同一导出时间，校准时钟",
                    "Export all stock as often as agreed, with its marker, and the time of the export in each row"),
                ("box",)),
)
BY_ID = {requirement.id: requirement for requirement in REQUIREMENTS}


def page() -> str:
    """The part of docs/reference/conformance.md that is about chains."""
    rows = [f"| {rule.id} | {rule.words.zh}<br>{rule.words.en}{_of(rule.ways)} | {rule.source} | "
            f"{rule.cure.zh}<br>{rule.cure.en} |" for rule in REQUIREMENTS]
    return "\n".join((
        "## Chains / 连锁药店", "",
        "What `./go conformance CHAIN` demands of a chain's interface. Made from `adapters/kit/exam/requirements.py`.",
        "`./go conformance 连锁` 对连锁接口的要求及其依据。", "",
        "| id | requirement | source | after a failure |", "| --- | --- | --- | --- |", *rows, ""))


_WAYS = {"callbacks": "回调 callbacks", "polled": "轮询 polled", "box": "文件 files"}


def _of(ways: tuple[str, ...]) -> str:
    return f" ({', '.join(_WAYS[way] for way in ways)})" if ways else ""
