"""Our codes in words, Chinese first with English beside: what pages, boards, terminals, reports and packages say."""

from collections.abc import Mapping
from typing import NamedTuple

from domain.lifecycle import Owner, Status
from domain.prescription import Approval, SkinTestResult


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
OWNERS: Mapping[str, Two] = {
    Owner.PLATFORM: Two("平台", "the platform"),
    Owner.PHARMACIST: Two("药师", "a pharmacist"),
    Owner.PHARMACY: Two("药店", "the pharmacy"),
    Owner.PATIENT: Two("患者", "the patient"),
    Owner.NOBODY: Two("无人", "nobody"),
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
    "other": Two("其他", "other"),
}
"""Why a chain ended an order or took goods back. Its own word is translated into one of these, or is `other`."""
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
