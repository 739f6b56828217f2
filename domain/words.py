"""Our codes in words, Chinese first with English beside: what pages, boards, terminals, reports and packages say."""

from collections.abc import Mapping
from typing import NamedTuple

from domain.chains import ChainWord
from domain.decoction import DecoctionStep
from domain.findings import Severity
from domain.fulfilment.allocation import Way
from domain.fulfilment.choice import Because
from domain.fulfilment.deliveries import DeliveryStatus
from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.parcels import ParcelStatus
from domain.fulfilment.points import NotThere
from domain.fulfilment.returns import ReturnStatus
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import Deadline, Notice, Owner, Reported, Status
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
