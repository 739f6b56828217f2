"""Our codes in words, Chinese first with English beside: what pages, boards, terminals, reports and packages say."""

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, NamedTuple

from domain.chains import ChainWord
from domain.decoction import DecoctionStep
from domain.events import Event, Wait
from domain.findings import Severity
from domain.former_words import event_of, wait_of
from domain.fulfilment.allocation import Way
from domain.fulfilment.choice import Because
from domain.fulfilment.deliveries import DeliveryStatus
from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.parcels import ParcelStatus
from domain.fulfilment.points import NotThere
from domain.fulfilment.ranking import REASONS
from domain.fulfilment.returns import ReturnStatus
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import Deadline, Notice, Owner, Reported, Status
from domain.money import yuan
from domain.payments import Flaw, Method, PaymentStatus
from domain.premises import PlaceKind
from domain.prescription import Approval, Handover, SkinTestResult


class Two(NamedTuple):
    """One thing in two languages."""

    zh: str
    en: str


STATUSES: Mapping[str, Two] = {
    Status.RECEIVED: Two("已接收", "received"),
    Status.AUDITED: Two("已预审", "audited"),
    Status.IN_REVIEW: Two("待审方", "in review"),
    Status.REVIEWED: Two("审方通过", "reviewed"),
    Status.ALLOCATING: Two("分配药店", "allocating"),
    Status.FULFILLING: Two("药店配药", "fulfilling"),
    Status.FULFILLED: Two("已取药", "fulfilled"),
    Status.SETTLED: Two("已结算", "settled"),
    Status.CLOSED: Two("已办结", "closed"),
    Status.REFUSED: Two("已拒绝", "refused"),
    Status.RETURNED: Two("退回医师", "returned"),
    Status.CANCELLED: Two("已撤销", "cancelled"),
    Status.EXPIRED: Two("已过期", "expired"),
}
REPORTS: Mapping[Reported, Two] = {
    **{status: STATUSES[status] for status in Status},
    Notice.INVALID: Two("不符合接口约定", "invalid"),
    Notice.CANCELLING: Two("撤销处理中", "cancelling"),
    Notice.TOO_LATE: Two("撤销已晚", "too late"),
    Notice.CANCEL_REFUSED: Two("撤销未成", "cancel refused"),
}
"""Where a hospital is told that its prescription is."""
OWNERS: Mapping[str, Two] = {
    Owner.PLATFORM: Two("平台", "the platform"),
    Owner.PHARMACIST: Two("药师", "a pharmacist"),
    Owner.PHARMACY: Two("药店", "the pharmacy"),
    Owner.PATIENT: Two("患者", "the patient"),
    Owner.NOBODY: Two("无人", "nobody"),
}
DEADLINES: Mapping[str, Two] = {
    Deadline.VALIDITY: Two("到处方有效期为止", "until its validity ends"),
    Deadline.ORDER: Two("药店须按时接单，再按时完成", "the pharmacy must accept, then fulfil in time"),
    Deadline.RETURN_WINDOW: Two("到退药期结束为止", "until the return window ends"),
    Deadline.NEVER: Two("无期限：已发药必须结算", "none: what was handed over must be settled"),
    Deadline.NONE: Two("无", "none"),
}
STAGES: Mapping[str, Two] = {
    "intake": Two("接收", "intake"),
    "audit": Two("预审", "audit"),
    "review": Two("审方", "review"),
    "allocation": Two("分配", "allocation"),
    "delivery": Two("配送", "delivery"),
    "settlement": Two("结算", "settlement"),
    "end": Two("结束", "end"),
}
ORDERS: Mapping[str, Two] = {
    ChainWord.HELD: Two("已预占", "held"),
    ChainWord.ORDERED: Two("已下单", "ordered"),
    ChainWord.ACCEPTED: Two("已接单", "accepted"),
    ChainWord.PREPARED: Two("已备药", "prepared"),
    ChainWord.IN_DELIVERY: Two("配送中", "in delivery"),
    ChainWord.HANDED_OVER: Two("已交付", "handed over"),
    ChainWord.DECLINED: Two("已拒单", "declined"),
    ChainWord.CANCELLED: Two("已取消", "cancelled"),
    ChainWord.RETURNED: Two("已退药", "returned"),
    "open": Two("未下单", "open"),
}
ORDER_STATUSES: Mapping[str, Two] = {
    OrderStatus.HELD: Two("已预占", "held"),
    OrderStatus.ORDERED: Two("已下单", "ordered"),
    OrderStatus.ACCEPTED: Two("已接单", "accepted"),
    OrderStatus.PREPARED: Two("已备药", "prepared"),
    OrderStatus.COMPLETED: Two("已全部交付", "completed"),
    OrderStatus.DECLINED: Two("已拒单", "declined"),
    OrderStatus.CANCELLED: Two("已取消", "cancelled"),
}
PARCELS: Mapping[str, Two] = {
    ParcelStatus.PACKED: Two("已装包，待取或待配送", "packed"),
    ParcelStatus.ON_THE_WAY: Two("配送中", "on the way"),
    ParcelStatus.HANDED_OVER: Two("已交付", "handed over"),
    ParcelStatus.UNPACKED: Two("已拆包回库", "unpacked"),
}
DELIVERIES: Mapping[str, Two] = {
    DeliveryStatus.REQUESTED: Two("正在叫配送员", "being asked for"),
    DeliveryStatus.ASSIGNED: Two("配送员已接单", "assigned"),
    DeliveryStatus.COLLECTED: Two("配送员已取货", "collected"),
    DeliveryStatus.IN_TRANSIT: Two("配送途中", "in transit"),
    DeliveryStatus.EXCEPTION: Two("途中异常", "trouble on the way"),
    DeliveryStatus.ARRIVED: Two("已到门口", "at the door"),
    DeliveryStatus.ATTEMPT_FAILED: Two("未能送达", "attempt failed"),
    DeliveryStatus.HELD_AT_POINT: Two("存放代收点", "held at a point"),
    DeliveryStatus.SIGNED: Two("已签收", "signed for"),
    DeliveryStatus.RETURNING: Two("退回途中", "on its way back"),
    DeliveryStatus.RETURNED: Two("已退回药店", "back at the pharmacy"),
    DeliveryStatus.LOST: Two("已丢失", "lost"),
    DeliveryStatus.CANCELLED: Two("已取消配送", "called off"),
}
DOOR_WARNINGS: Mapping[str, Two] = {
    "GPS_MISSING": Two("签收无定位", "signed for without a place"),
    "GPS_FAR": Two("签收地点偏远", "signed for far from the patient"),
    "BEFORE_ARRIVAL": Two("签收早于到达", "signed for before the arrival"),
    "NO_SIGNATURE": Two("无签名图片", "no picture of a signature"),
}
"""What a person should look at though the patient has the parcel (E-06)."""
METHODS: Mapping[str, Two] = {
    Method.CASH: Two("现金", "cash"),
    Method.CARD: Two("银行卡", "card"),
    Method.ALIPAY: Two("支付宝", "Alipay"),
    Method.WECHAT: Two("微信支付", "WeChat Pay"),
}
PAYMENTS: Mapping[str, Two] = {
    PaymentStatus.PAID: Two("已付款", "paid"),
    PaymentStatus.REFUSED: Two("未付款", "not paid"),
}
PAYMENT_FLAWS: Mapping[str, Two] = {
    Flaw.UNPAID: Two("患者尚未付款，不能交付", "the patient has not paid: it is not handed over"),
    Flaw.AMOUNT_EDIT: Two("金额与应收不符，应收金额不可更改", "not the amount due, which cannot be changed"),
    Flaw.METHOD: Two("此处不收这种付款方式", "not paid by this method here"),
    Flaw.REFERENCE: Two("请填写支付流水号", "the payment's number is missing"),
}
"""Why medicine is not handed over (E-08, E-09)."""
RETURNS: Mapping[str, Two] = {
    ReturnStatus.BROUGHT_BACK: Two("已退药，待退费", "brought back, not refunded yet"),
    ReturnStatus.REFUNDED: Two("已退药退费", "refunded"),
}
WISHES: Mapping[str, Two] = {
    WishKind.CANCEL: Two("撤销", "cancel"),
    WishKind.RETURN: Two("退药", "return"),
    WishKind.CHOOSE: Two("自选药店", "to choose the pharmacy"),
    WishKind.HANDOVER: Two("改变取药方式", "to get it another way"),
}
WISH_ANSWERS: Mapping[str, Two] = {
    WishAnswer.OPEN: Two("待答复", "no answer yet"),
    WishAnswer.UNANSWERED: Two("药店未答复", "not answered by the pharmacy"),
    WishAnswer.GRANTED: Two("同意", "granted"),
    WishAnswer.REFUSED: Two("未同意", "refused"),
}
HANDOVERS: Mapping[str, Two] = {
    Handover.PICKUP: Two("到店自取", "collected"),
    Handover.HOME: Two("送药上门", "brought home"),
}
AT_POINT = Two("到取药点领取", "collected at a pick-up point")
"""What is said instead of a handover where a point keeps the parcel (D-09)."""
NOT_THERE: Mapping[str, Two] = {
    NotThere.NOT_ENABLED: Two("不是签约取药点，或没有保管柜", "it is no contracted pick-up point, or has no custody shelf"),
    NotThere.SAME_PLACE: Two("就是配药的药店", "it is the pharmacy itself"),
    NotThere.NOT_CARRIED: Two("这家药店的订单不由本市配送员配送", "the city's courier does not bring what this pharmacy sends"),
    NotThere.OTHER_CHAIN: Two("不能代收这家药店的个人负担", "it cannot take what you pay for that pharmacy"),
    NotThere.COLD: Two("冷藏药品不能寄存", "what is kept cold is not left there"),
    NotThere.CONTROLLED: Two("特殊管理药品不能寄存", "a drug under special control is not left there"),
    NotThere.HIGH_VALUE: Two("高值药品不能寄存", "a medicine of high value is not left there"),
    NotThere.SHUT: Two("暂停服务", "it is shut"),
    NotThere.FAR: Two("不在15分钟取药圈内", "it is not within a quarter of an hour"),
}
"""Why a place is no pick-up point for a parcel (D-09)."""
WAYS: Mapping[str, Two] = {
    Way.WHOLE: Two("一家配齐", "all of it at one pharmacy"),
    Way.SPLIT: Two("两家分开配", "shared by two pharmacies"),
    Way.PART: Two("先给一部分，其余后补", "a part now, the rest later"),
}
ASKED_BECAUSE: Mapping[str, Two] = {
    Because.FIRST: Two("请选择", "the patient may choose"),
    Because.PRICE_RISEN: Two("所选药店涨价了", "the price there has risen"),
    Because.SOLD_OUT: Two("所选药店已缺药", "it is sold out there"),
    Because.OTHER_PRODUCT: Two("所选药店现在提供的是另一产品", "it now offers another product than the one that was chosen"),
    Because.NOT_OPEN: Two("所选药店已停止营业或无药师在岗", "it has closed, or has no pharmacist on duty"),
    Because.DECLINED: Two("所选药店未能接单", "the pharmacy could not take the order"),
    Because.SILENT: Two("所选药店没有答复", "the pharmacy does not answer"),
    Because.UNABLE: Two("所选药店不能再承接", "the pharmacy can no longer take it"),
    Because.POINT: Two("所选取药点暂不能代收", "the pick-up point can no longer keep it"),
    Because.ARRIVED: Two("已有药店能配齐", "a pharmacy has all of it now"),
}
"""Why a patient is asked which pharmacy it shall be."""
SEVERITIES: Mapping[str, Two] = {
    Severity.BLOCK: Two("拦截", "block"),
    Severity.WARN: Two("警示", "warn"),
    Severity.SELFPAY: Two("自费", "self-pay"),
    Severity.INFO: Two("提示", "info"),
}
ROUTES: Mapping[str, Two] = {
    "PO": Two("口服", "by mouth"),
    "SC": Two("皮下注射", "subcutaneous"),
    "SL": Two("舌下含服", "under the tongue"),
    "INH": Two("吸入", "inhaled"),
    "OPH": Two("滴眼", "eye drops"),
}
CAUSES: Mapping[str, Two] = {
    "out_of_stock": Two("无库存", "out of stock"),
    "closed": Two("已打烊", "closed"),
    "hold_expired": Two("预占过期", "the hold ran out"),
    "quality": Two("质量问题", "quality"),
    "rejected_at_door": Two("拒收", "rejected at the door"),
    "dispensing_error": Two("发错药", "dispensing error"),
    "nobody_home": Two("无人在家", "nobody at home"),
    "unpaid": Two("未付款", "not paid"),
    "wrong_address": Two("地址有误", "wrong address"),
    "other": Two("其他", "other"),
}
"""Why a chain ended an order or took goods back. Its own word is translated into one of these, or is `other`."""
ENDINGS: Mapping[str, Two] = {
    **CAUSES,
    "no_answer": Two("未按时接单", "no answer in time"),
    "no_decoct_capacity": Two("今日代煎能力已满", "it cannot decoct so many doses more today"),
    "not_collected": Two("取药点存放期满无人领取，药品已退回药店",
                         "nobody collected it at the pick-up point; it is back at the pharmacy"),
    "undelivered": Two("投递未成，药品已退回药店", "could not be delivered; it is back at the pharmacy"),
    "lost": Two("配送途中丢失", "lost on the way"),
    "no_courier": Two("无人配送", "no courier brings it"),
    "expired": Two("处方已过有效期", "the prescription's validity is over"),
    "cancelled": Two("医院撤销", "cancelled by the hospital"),
    "orphan": Two("处方已结束，库存已释放", "the prescription had ended; the hold is let go"),
    "handed_over": Two("已交付患者", "already handed over"),
    "in_delivery": Two("已在配送", "already in delivery"),
    "unknown_order": Two("连锁查无此单", "the chain knows no such order"),
    "": Two("未说明原因", "no reason given"),
}
"""Why an order ended or was not taken: what chains say, and why we take one back."""
PARKED: Mapping[str, Two] = {
    "odd_name": Two("文件名不可用", "a name nobody can use"),
    "untaken": Two("不是可读取的文件类型", "a kind of file nobody reads"),
    "unfinished": Two("没有等到交付标记", "no marker came"),
    "broke": Two("读取时出错或多次中断", "reading it failed"),
    "stock": Two("库存文件无法读取", "a stock file nobody can read"),
    "forged": Two("work/ 中不是平台写的文件", "not ours, in work/"),
}
"""Why a file of a drop box was parked."""
CANCEL_REASONS: Mapping[str, Two] = {
    "prescriber": Two("医师要求", "the prescriber wants it"),
    "patient": Two("患者要求", "the patient wants it"),
    "duplicate": Two("重复开具", "prescribed twice"),
    "entered-in-error": Two("录入错误", "entered in error"),
    "other": Two("其他", "other"),
}
"""Why a hospital cancels."""
APPROVALS: Mapping[str, Two] = {
    Approval.COVERED: Two("医院确认符合医保限定支付条件", "the hospital confirms the fund's conditions"),
    Approval.NOT_COVERED: Two("医院未确认符合限定支付条件", "the hospital does not confirm the fund's conditions"),
    Approval.OWN_EXPENSE: Two("医院标为自费", "the hospital says: own expense"),
}
SKIN_TESTS: Mapping[str, Two] = {
    SkinTestResult.NEGATIVE: Two("阴性", "negative"),
    SkinTestResult.POSITIVE: Two("阳性", "positive"),
}
DECOCTION_METHODS: Mapping[str, Two] = {
    "decoct": Two("水煎服", "decocted in water"),
    "decoct-by-pharmacy": Two("代煎", "decocted by the pharmacy"),
    "infuse": Two("泡服", "infused"),
    "powder": Two("研末冲服", "taken as powder"),
    "external": Two("煎汤外用", "decocted for external use"),
}
DECOCTION_MARKS: Mapping[str, Two] = {
    "first": Two("先煎", "decocted first"),
    "last": Two("后下", "added at the end"),
    "wrapped": Two("包煎", "wrapped"),
    "separate": Two("另煎", "decocted separately"),
    "melted": Two("烊化", "melted in"),
    "taken-with": Two("冲服", "taken with the decoction"),
}
DECOCTION_STEPS: Mapping[str, Two] = {
    DecoctionStep.RECEIVED: Two("已收方，等待浸泡", "received, to be soaked"),
    DecoctionStep.SOAKED: Two("已浸泡", "soaked"),
    DecoctionStep.DECOCTED: Two("已煎煮", "decocted"),
    DecoctionStep.PACKED_LIQUID: Two("药液已灌装", "liquid packed"),
    DecoctionStep.COOLED: Two("已冷却", "cooled"),
}
PLACE_KINDS: Mapping[str, Two] = {
    PlaceKind.SHOP: Two("药店", "pharmacy"),
    PlaceKind.HOSPITAL: Two("医院药房", "hospital pharmacy"),
    PlaceKind.CHRONIC_CENTRE: Two("慢病配药中心", "chronic-disease centre"),
    PlaceKind.CLINIC: Two("村卫生室", "village clinic"),
    PlaceKind.DECOCTION_CENTRE: Two("煎药中心", "decoction centre"),
    PlaceKind.DISTRIBUTOR: Two("药品配送企业", "distribution enterprise"),
}
TITLES: Mapping[str, Two] = {
    "231": Two("主任医师", "chief physician"),
    "232": Two("副主任医师", "associate chief physician"),
    "233": Two("主治医师", "attending physician"),
    "234": Two("医师", "resident physician"),
    "235": Two("医士", "assistant physician"),
    "1": Two("执业药师", "licensed pharmacist"),
    "2.1": Two("主任药师", "chief pharmacist"),
    "2.2": Two("副主任药师", "associate chief pharmacist"),
    "2.3": Two("主管药师", "pharmacist in charge"),
    "2.4": Two("药师", "pharmacist"),
}
GUARDIANSHIPS: Mapping[str, Two] = {
    "parent": Two("父母", "parent"),
    "grandparent": Two("祖父母、外祖父母", "grandparent"),
    "sibling": Two("兄、姐", "adult brother or sister"),
    "guardian": Two("其他监护人", "other guardian"),
}
READINGS: Mapping[str, Two] = {
    "85354-9": Two("血压", "blood pressure"),
    "8480-6": Two("收缩压", "systolic"),
    "8462-4": Two("舒张压", "diastolic"),
    "8867-4": Two("心率", "heart rate"),
    "15074-8": Two("血糖", "glucose"),
    "29463-7": Two("体重", "body weight"),
    "59408-5": Two("血氧", "oxygen saturation"),
}
"""By LOINC."""


class Trouble(NamedTuple):
    """What a trouble is and what to do about it."""

    act: bool
    """Whether a person must act at once: it can't cure itself."""
    what: Two
    cure: Two


TROUBLES: Mapping[str, Trouble] = {
    "Transient": Trouble(
        False,
        Two("合作方暂时没有应答", "a partner does not answer for the moment"),
        Two("平台会按间隔自动重试；若持续，查看该合作方是否可用",
            "the platform tries again by itself; if it lasts, see whether the partner is up")),
    "OutcomeUnknown": Trouble(
        False,
        Two("请求已发出但没有收到回应，结果未知", "a request was sent and its outcome is unknown"),
        Two("平台会先向合作方查询再决定是否重发；若持续，请联系合作方核对",
            "the platform asks before it sends again; if it lasts, settle it with the partner")),
    "StaleStatus": Trouble(
        False,
        Two("同一处方被同时处理", "two workers met at one prescription"),
        Two("无需处理，平台会重新读取", "nothing to do; it is read again")),
    "Refused": Trouble(
        True,
        Two("合作方拒绝了不应拒绝的请求", "a partner refused what it must not refuse"),
        Two("按代码查阅接口约定，与合作方解决后点击“立即重试”",
            "look the code up in the contract, settle it with the partner, then wake the prescription")),
    "InvalidPayload": Trouble(
        True,
        Two("合作方的应答不符合接口约定", "a partner's answer broke the contract"),
        Two("把代码与时间告诉合作方；修正后点击“立即重试”",
            "tell the partner code and time; once corrected, wake the prescription")),
    "NeedsOperator": Trouble(
        True,
        Two("配置、密钥或合作方账目需要人工处理", "configuration, credentials or a partner's book need a person"),
        Two("按代码修正后点击“立即重试”", "put right what the code names, then wake the prescription")),
    "NeedsOperator:no_address": Trouble(
        True,
        Two("没有配置合作方的地址", "a partner's address is not set"),
        Two("设置 SANYI_PARTNER_URLS__ 加该合作方名称并重启各进程，平台会自动重试",
            "set SANYI_PARTNER_URLS__ with the partner's name and restart the processes; the platform goes on by itself")),
    "NeedsOperator:order_unknown": Trouble(
        True,
        Two("药店确认过的订单，药店现称查无此单", "a pharmacy confirmed the order and now knows none"),
        Two("致电药店核实药品去向；药店账上补回该订单的结果后点击“立即重试”",
            "call the pharmacy and ask where the medicine is; once its book says how the order ended, wake the prescription")),
    "NeedsOperator:delivery_unknown": Trouble(
        True,
        Two("配送员久无消息，包裹去向不明 (E-16)", "a courier has long said nothing, and where the parcel is is not known (E-16)"),
        Two("致电配送公司核实包裹去向；其账上补回结果后点击“立即重试”",
            "call the courier and ask where the parcel is; once its book says so, wake the prescription")),
    "NeedsOperator:no_trace_code": Trouble(
        True,
        Two("已交付的药品没有有效追溯码，暂不向医保申报 (B-55)",
            "what was handed over has no valid trace codes: the fund is not asked to pay yet (B-55)"),
        Two("请药店重新发送该订单的状态和全部追溯码，收到后自动结算；哪一行、错在何处见通知",
            "have the pharmacy send the order's status again with all codes; then it is settled by itself. Notices name lines")),
    "NeedsOperator:wrong_key": Trouble(
        True,
        Two("身份数据用另一把密钥封存", "identities were sealed under another key"),
        Two("恢复原来的 SANYI_IDENTITY_KEY 并重启各进程（./go doctor 可核对），再点击“立即重试”",
            "put the former SANYI_IDENTITY_KEY back and restart the processes (see ./go doctor), then wake the prescription")),
    "NeedsOperator:tampered": Trouble(
        True,
        Two("封存的数据被改动或移到他处", "sealed data was changed, or moved to another row"),
        Two("查明何人改动数据库，从备份恢复该行后点击“立即重试”",
            "find out who changed the database, restore the row from a backup, then wake the prescription")),
    "NeedsOperator:intent_changed": Trouble(
        True,
        Two("同一操作的请求前后不一，未发送",
            "a request differs from the one intended under its key; it was not sent"),
        Two("平台程序问题：按处方号报告开发人员；修复后点击“立即重试”",
            "a fault of the platform: report it with the prescription's id; once mended, wake the prescription")),
    "NeedsOperator:stored_newer": Trouble(
        True,
        Two("数据由更新版本的平台写入，本版本无法读取", "stored by a newer release than the one that read it"),
        Two("把各进程都升级到同一版本（不要退回旧版本），再点击“立即重试”",
            "bring every process to the same release (never back to an older one), then wake the prescription")),
    "": Trouble(
        True,
        Two("平台程序出错", "a fault of the platform"),
        Two("在日志中按处方号查找 hop.bug,报告开发人员；修复后点击“立即重试”",
            "find hop.bug with the prescription's id in the log and report it; once mended, wake the prescription")),
}
"""By class of the error; some codes have their own words."""
SHARED_TROUBLES = frozenset({"NeedsOperator", "NeedsOperator:no_address", "NeedsOperator:bad_key", "NeedsOperator:wrong_key"})
"""Troubles that affect all prescriptions on the same way, until a person fixes the cause once.

The first one stands for every partner that does not accept our credentials or address.
"""
EVENTS: Mapping[Event, Two] = {
    Event.RECEIVED: Two("已接收并归档", "received and archived"),
    Event.AUDITED: Two("预审：{findings}", "audit: {findings}"),
    Event.NOT_INSURED: Two("患者未参保，退回医院 (B-44)", "not insured: back to the hospital (B-44)"),
    Event.QUEUED: Two("进入审方队列", "queued for a pharmacist"),
    Event.PASSED: Two("审方通过", "passed by the pharmacist"),
    Event.REJECTED: Two("审方拒绝：{codes}", "rejected by the pharmacist: {codes}"),
    Event.SENT_BACK: Two("退回医师：{codes}", "sent back to the prescriber: {codes}"),
    Event.SEARCH_STARTED: Two("开始寻找药店", "looking for a pharmacy"),
    Event.CHOICE_WISHED: Two("患者要自选药店", "the patient wants to choose the pharmacy"),
    Event.CHOICE_OFFERED: Two("请患者选择药店：{options} 个方案（{because}）",
                              "the patient is asked: {options} options ({because})"),
    Event.PATIENT_CHOSE: Two("患者选择：{stores}，{way}，{handover}", "the patient chose {stores}: {way}, {handover}"),
    Event.PATIENT_WAITS: Two("患者选择等待能配齐的药店", "the patient waits for a pharmacy that has all of it"),
    Event.CHOICE_LAPSED: Two("患者未按时选择，按排名分配", "the patient did not choose in time: the best one is taken"),
    Event.CHOICE_ORDERED: Two("按患者选择：{chain} {store} 承接{portions}",
                              "as the patient chose: {chain} {store} is asked for {portions}"),
    Event.STORE_CHOSEN: Two("{chain} {store} 排名第一", "{chain} {store} ranked first"),
    Event.SHARE_CHOSEN: Two("拆单：{chain} {store} 承接{portions}，其余由另一家承接",
                            "split: {chain} {store} is asked for {portions}, another for the rest"),
    Event.PART_CHOSEN: Two("没有一家能配齐：{chain} {store} 先给{portions}，其余欠付",
                           "nobody has all of it: {chain} {store} is asked for {portions} now, the rest is owed"),
    Event.NO_STORE: Two("目前没有药店能配齐：{refused}；未应答：{silent}",
                        "no pharmacy can fill it now: {refused}; no answer from: {silent}"),
    Event.ORDER_DECLINED: Two("药店未接受：{cause}", "the pharmacy said no: {cause}"),
    Event.ORDER_PLACED: Two("已向 {chain} {store} 下单", "order placed at {chain} {store}"),
    Event.ORDER_UPDATE: Two("药店消息：{status}", "the pharmacy says: order {status}"),
    Event.COURIER_ASSIGNED: Two("{courier} 已接配送单", "{courier} brings it"),
    Event.DECOCTION_STEP: Two("代煎：{decoction}", "decoction: {decoction}"),
    Event.COURIER_STOPPED: Two("{courier} 停止配送：{delivery}", "{courier} does not bring it: {delivery}"),
    Event.PAID: Two("患者已付款 {amount_fen} 元（{method}），收据 {receipt}",
                    "the patient has paid {amount_fen} yuan ({method}), receipt {receipt}"),
    Event.REFUNDED: Two("应退患者 {amount_fen} 元（{method}），收据 {receipt}",
                        "{amount_fen} yuan go back to the patient ({method}), receipt {receipt}"),
    Event.COURIER_UPDATE: Two("配送：{delivery}{warnings}", "delivery: {delivery}{warnings}"),
    Event.NO_ANSWER: Two("药店未按时接单，订单已收回 (D-12)", "no answer in time, the order is taken back (D-12)"),
    Event.WORD_MISSED: Two("药店未按时答复，经查询：{status}", "no word in time; asked, the order is {status}"),
    Event.ORDER_ENDED: Two("订单终止（{status}）：{cause}", "the order ended ({status}): {cause}"),
    Event.WORD_AFTER_ORDER: Two("订单终止（{order_was}）之后收到药店消息：{status}",
                                "the order had ended ({order_was}); then the pharmacy said: {status}"),
    Event.WORD_AFTER_END: Two("处方结束（{prescription_was}）之后收到药店消息：{status}",
                              "the prescription had ended ({prescription_was}); then the pharmacy said: {status}"),
    Event.PART_HANDED_OVER: Two("患者已拿到一部分；欠付{portions}", "the patient has a part; still owed: {portions}"),
    Event.HANDED_OVER: Two("患者已拿到药", "the patient has the medicine"),
    Event.EXPIRED: Two("处方已超过有效期 (A-01)", "validity is over (A-01)"),
    Event.CANCEL_REQUESTED: Two("医院请求撤销：{reason}", "the hospital asks to cancel: {reason}"),
    Event.CANCELLED: Two("医院撤销：{reason}", "cancelled by the hospital: {reason}"),
    Event.PATIENT_CANCELS: Two("患者请求撤销", "the patient asks to cancel"),
    Event.CANCELLED_BY_PATIENT: Two("患者撤销", "cancelled by the patient"),
    Event.UNDELIVERED: Two("未能送达患者，处方结束：{cause}", "it could not be brought to the patient, and has ended: {cause}"),
    Event.CANCEL_TOO_LATE: Two("已来不及撤销", "too late to cancel"),
    Event.CANCEL_UNANSWERED: Two("药店未及时答复撤销，仍可能交付；答复后另行告知",
                                 "the pharmacy has not answered the cancel in time and may still hand it over; its answer follows"),
    Event.SETTLED: Two("医保已结算", "the fund has settled"),
    Event.BROUGHT_BACK: Two("患者退回了药品", "the patient brought something back"),
    Event.REVERSED: Two("医保结算已冲正", "the settlement was reversed"),
    Event.CLAIM_AGREES: Two("结算与患者实际取药一致", "the claim matches what the patient has"),
    Event.GIVEN_UP: Two("未配齐的部分不再配发：{cause}", "what is still open is given up: {cause}"),
    Event.WISH_ANSWERED: Two("退药请求：{answer}", "the wish to return goods: {answer}"),
    Event.CLOSED: Two("退药期已过且当日已对账", "the return window is over and the day is reconciled"),
    Event.ATTEMPT_FAILED: Two("第 {attempt} 次尝试失败：{error}", "attempt {attempt} failed: {error}"),
    Event.WOKEN: Two("运维人员要求立即处理", "woken by an operator"),
}
"""What happened. In braces: arguments of the event, put into words themselves."""
TOLD: Mapping[str, Two] = {
    **{event: EVENTS[event] for event in (Event.QUEUED, Event.HANDED_OVER, Event.CANCEL_TOO_LATE,
                                            Event.CANCEL_UNANSWERED, Event.SETTLED)},
    Event.ORDER_PLACED: Two("药店已接到订单", "a pharmacy has the order"),
    Event.PART_HANDED_OVER: Two("患者已拿到一部分，正在为其余部分寻找药店",
                                "the patient has a part; a pharmacy is looked for that has the rest"),
    Event.ORDER_ENDED: Two("订单已终止，其取药码作废", "the order ended; its pickup code is void"),
    Event.REVERSED: Two("患者退药，医保结算已冲正", "reversed after a return"),
    "RX_EXPIRED": EVENTS[Event.EXPIRED],
}
"""What a hospital is told with a reason that is one of these codes. Other reasons bring their own words."""
WAITS: Mapping[Wait, Two] = {
    Wait.AUDIT: Two("预审", "the audit"),
    Wait.DECISION: Two("药师审方", "a pharmacist's decision"),
    Wait.QUOTES: Two("各连锁报价", "the chains' quotes"),
    Wait.HOLD: Two("{chain} 预占库存", "a hold at {chain}"),
    Wait.CANDIDATE: Two("下一家药店", "the next candidate"),
    Wait.CHOICE: Two("患者选择药店", "the patient's choice"),
    Wait.FILLER: Two("能配齐的药店", "a pharmacy that can fill it"),
    Wait.ACCEPTANCE: Two("药店接单", "the pharmacy's yes"),
    Wait.ACCEPTANCE_OVERDUE: Two("药店答复，已逾期 (D-12)", "the pharmacy's word, overdue (D-12)"),
    Wait.RECEIPT: Two("患者取药", "the patient's receipt"),
    Wait.RECEIPT_OVERDUE: Two("患者取药，已逾期 (A-02)", "the patient's receipt, overdue (A-02)"),
    Wait.CANCEL_ANSWER: Two("撤销结果", "the chain's answer to the cancel"),
    Wait.SETTLEMENT: Two("医保结算", "settlement"),
    Wait.REVERSAL: Two("医保冲正", "reversal"),
    Wait.RESETTLEMENT: Two("重新结算", "re-settlement"),
    Wait.RETURN_WINDOW: Two("退药期结束", "the end of the return window"),
    Wait.RECONCILIATION: Two("当日对账", "the day's reconciliation"),
    Wait.RETRY: Two("下一次自动尝试，无需人工", "the next attempt; nobody needs to act"),
    Wait.PARTNER_WORD: Two("合作方确认未知结果", "the partner's word on an unknown outcome"),
    Wait.PERSON_REFUSED: Two("人工：合作方拒绝了不应拒绝的请求", "a person: a partner refused what it must not refuse"),
    Wait.PERSON_ANSWER: Two("人工：合作方应答不符约定", "a person: a partner's answer broke the contract"),
    Wait.PERSON_SETUP: Two("人工：配置、密钥或合作方账目", "a person: configuration, credentials or a partner's book"),
    Wait.PERSON_FAULT: Two("人工：平台程序故障", "a person: a fault of the platform"),
    Wait.PERSON_UNREADABLE: Two("人工：该处方数据无法读取", "a person: its row cannot be read"),
}
"""What it waits for. In braces: the argument of the wait."""

Name = Callable[[str], Two]
"""What a partner is called, by its slug."""


def trouble_of(code: str) -> Trouble:
    """What a trouble code such as `Transient:timeout` means; an unknown one is a fault of ours."""
    return next(TROUBLES[key] for key in (code, code.partition(":")[0], "") if key in TROUBLES)


def happening(reason: str, detail: object, name: Name = lambda slug: Two(slug, slug)) -> Two:
    """What a history row says, by its `reason` and its `detail` as opened JSON; also one written before events had codes.

    An event that this release does not know is shown as it is stored.
    """
    event = event_of(reason, detail)
    return Two(reason, "") if event is None else _filled(EVENTS[event[0]], event[1], name)


def waiting(stored: str, name: Name = lambda slug: Two(slug, slug)) -> Two:
    """What a prescription waits for, by its `waiting_for`; one that this release does not know as it is stored."""
    wait = wait_of(stored)
    return Two(stored, "") if wait is None else _filled(WAITS[wait[0]], {"chain": wait[1]}, name)


def _filled(words: Two, arguments: Mapping[str, Any], name: Name) -> Two:
    needed = [field for _, field, _, _ in Formatter().parse(words.zh) if field]
    if not needed:
        return words
    texts = {field: _argument(field, arguments.get(field), name) for field in needed}
    return Two(words.zh.format_map({field: text.zh for field, text in texts.items()}),
               words.en.format_map({field: text.en for field, text in texts.items()}))


_CODED: Mapping[str, Mapping[str, Two]] = {
    "status": ORDERS, "order_was": ORDERS, "prescription_was": STATUSES, "cause": ENDINGS, "reason": CANCEL_REASONS,
    "answer": WISH_ANSWERS, "because": ASKED_BECAUSE, "way": WAYS, "handover": HANDOVERS, "delivery": DELIVERIES,
    "decoction": DECOCTION_STEPS, "method": METHODS,
}
"""Arguments that are codes, each with the table of its words."""


def _argument(field: str, value: Any, name: Name) -> Two:
    """One argument in words; a question mark for one that a tampered row lacks."""
    if field == "findings" and isinstance(value, list):
        return _findings([finding for finding in value if isinstance(finding, dict)])
    if field == "refused" and isinstance(value, dict):
        return _list([Two(f"{REASONS[reason][0]} {count} 家", f"{REASONS[reason][1]} ({count})")
                      for reason, count in value.items() if reason in REASONS], Two("无报价", "no quotes"))
    if field == "portions" and isinstance(value, list):
        counted = [(portion.get("line"), portion.get("quantity")) for portion in value if isinstance(portion, dict)]
        return _list([Two(f"第 {line} 行 {quantity}", f"{quantity} of line {line}") for line, quantity in counted],
                     Two("无", "nothing"))
    if field == "stores" and isinstance(value, list):
        return _list([_store(str(text), name) for text in value], Two("无", "none"))
    if field == "warnings" and isinstance(value, list):
        texts = [DOOR_WARNINGS[code] for code in value if code in DOOR_WARNINGS]
        return Two(f"（{_list(texts, Two('', '')).zh}）", f" ({_list(texts, Two('', '')).en})") if texts else Two("", "")
    if isinstance(value, list):
        return _list([_named(str(text), name) if field == "silent" else Two(str(text), str(text)) for text in value],
                     Two("无", "none"))
    if not isinstance(value, str | int):
        return Two("？", "?")
    if field == "error":
        what = trouble_of(str(value)).what
        return Two(f"{what.zh}（{value}）", f"{what.en} ({value})")
    if field == "amount_fen" and isinstance(value, int):
        return Two(yuan(value), yuan(value))
    if field in ("chain", "courier"):
        return _named(str(value), name)
    return _CODED.get(field, {}).get(str(value), Two(str(value), str(value)))


def _named(slug: str, name: Name) -> Two:
    words = name(slug)
    return Two(words.zh, words.en or slug)


def _store(place: str, name: Name) -> Two:
    """A pharmacy by its `chain/store`."""
    chain, _, store = place.partition("/")
    words = _named(chain, name)
    return Two(f"{words.zh} {store}", f"{words.en} {store}")


def _findings(findings: list[dict[str, Any]]) -> Two:
    """How many of each severity, and which of them block."""
    counts = {severity: sum(finding.get("severity") == severity for finding in findings) for severity in Severity}
    words = _list([Two(f"{count} 项{SEVERITIES[severity].zh}", f"{count} {SEVERITIES[severity].en}")
                   for severity, count in counts.items() if count], Two("未发现问题", "nothing found"))
    blocks = ", ".join(f"{finding.get('code')} ({finding.get('rule')})"
                       for finding in findings if finding.get("severity") == Severity.BLOCK)
    return Two(f"{words.zh}：{blocks}", f"{words.en}: {blocks}") if blocks else words


def _list(words: list[Two], nothing: Two) -> Two:
    return Two("、".join(text.zh for text in words), ", ".join(text.en for text in words)) if words else nothing
