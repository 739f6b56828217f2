"""Statuses, owners and stages in words, Chinese first with English beside: what pages, boards and terminals say."""

from collections.abc import Mapping
from typing import NamedTuple

from domain.lifecycle import Owner, Status


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
