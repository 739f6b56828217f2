"""What can go wrong with a prescription on its way, by code: what it is, and what a person does about it."""

from collections.abc import Mapping
from typing import NamedTuple

from domain.words import Two


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


def trouble_of(code: str) -> Trouble:
    """What a trouble code such as `Transient:timeout` means; an unknown one is a fault of ours."""
    return next(TROUBLES[key] for key in (code, code.partition(":")[0], "") if key in TROUBLES)
