"""Requirement by requirement: does what went over the line fulfil it, and where can one see that?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.conformance.record import Record, Sent
from sandbox.conformance.requirements import BY_ID, Requirement
from sandbox.conformance.samples import Samples
from sandbox.plan import Plan, Planned

SHOWN = 3
"""Messages of a kind that are shown behind a requirement; those that failed come first."""
CANCELLED = frozenset({"cancelled", "cancelling", "too-late"})


@dataclass(frozen=True)
class Judged:
    """One requirement and what became of it."""

    requirement: Requirement
    passed: bool
    said: str
    """What was seen, in Chinese."""
    said_en: str
    sent: Sequence[Sent] = ()
    reports: Sequence[dict[str, Any]] = field(default=(), repr=False)


def judge(record: Record, plan: Plan, samples: Samples) -> list[Judged]:
    """All requirements, in order."""
    at = _Bench(record, plan, samples)
    return [_RULES[name](at) for name in sorted(_RULES)]


class _Bench:
    """The record, looked at in the ways the rules need."""

    def __init__(self, record: Record, plan: Plan, samples: Samples) -> None:
        self.record, self.plan, self.samples = record, plan, samples
        self.firsts: dict[str, Sent] = {}
        """The first answer to each prescription, by key."""
        for one in record.of("prescription"):
            if one.heard and not one.again:
                self.firsts.setdefault(one.purpose.key, one)

    def planned(self, *scenarios: str) -> list[Planned]:
        return [one for one in self.plan.prescriptions if not scenarios or one.scenario in scenarios]

    def statuses(self, planned: Planned) -> list[str]:
        return [str(report["status"]) for report in self.record.heard_of(planned.external_id)]


def _of(name: str, bad: Sequence[Any], seen: int, zh: str, en: str, sent: Iterable[Sent] = (),
        reports: Sequence[dict[str, Any]] = ()) -> Judged:
    """Passed if there was something to see and nothing of it was bad."""
    passed = seen > 0 and not bad
    lead, lead_en = ("", "") if seen else ("没有看到：", "not seen: ")
    count, count_en = (f"（{len(bad)}/{seen} 不符）", f" ({len(bad)} of {seen} not so)") if bad else (f"（{seen}）", f" ({seen})")
    wrong = [one for one in sent if one in bad]
    return Judged(BY_ID[name], passed, lead + zh + count, lead_en + en + count_en,
                  [*wrong, *(one for one in sent if one not in wrong)][:SHOWN], reports[:SHOWN])


def _answered(at: _Bench) -> Judged:
    answered = {one.body for one in at.record.sent if one.heard}
    silent = [one for one in at.record.sent if one.body not in answered]
    return _of("R-01", silent, len({one.body for one in at.record.sent}), "已发消息均得到应答", "messages sent were answered",
               silent or at.record.sent)


def _samples(at: _Bench, name: str, wanted: dict[str, bytes], outcomes: Sequence[str], zh: str, en: str) -> Judged:
    sent = [one for one in at.record.of("sample") if one.purpose.key in wanted and not one.again]
    bad: list[Any] = [one for one in sent if one.heard is None or one.heard.outcome not in outcomes]
    # What its own sender cannot read never got on the line: that is fine for a mistake, and for nothing else.
    unsent = set(wanted) - {one.purpose.key for one in sent} if "accepted" in outcomes else set()
    return _of(name, [*bad, *unsent], len(wanted), zh, en, sent)


def _refused(at: _Bench) -> Judged:
    """Each for the mistake it was made for: a refusal for another reason proves nothing of this one."""
    sent = [one for one in at.record.of("sample") if one.purpose.key in at.samples.invalid and not one.again]
    bad: list[Any] = [one for one in sent if one.heard is None or one.heard.outcome != "refused"
                      or at.samples.faults.get(one.purpose.key, "").encode() not in one.heard.body]
    return _of("R-03", bad, len(at.samples.invalid), "错误样例因各自的错误被拒收",
               "invalid samples were refused for their own mistakes", sent)


def _good(at: _Bench) -> Judged:
    planned = at.planned()
    bad = [one for one in planned if (first := at.firsts.get(one.key)) is None or first.heard is None
           or first.heard.outcome not in ("accepted", "waiting") or (first.heard.outcome == "accepted" and not first.heard.id)]
    keys = {one.key for one in bad}
    sent = sorted(at.firsts.values(), key=lambda one: one.purpose.key not in keys)
    return _of("R-04", bad, len(planned), "处方被接收并有平台编号", "prescriptions accepted with an id", sent)


def _repeat(at: _Bench) -> Judged:
    again = [one for one in at.record.of("prescription") if one.again == "repeat"]
    bad = [one for one in again if (first := at.firsts.get(one.purpose.key)) is None or first.body != one.body
           or one.heard is None or first.heard is None or one.heard.body != first.heard.body]
    return _of("R-05", bad, len(again), "重发与首发逐字节相同，应答也相同", "repeats and their answers were the same, to the byte",
               [one for pair in ((it, at.firsts.get(it.purpose.key)) for it in (*bad, *again)) for one in pair if one])


def _conflict(at: _Bench) -> Judged:
    sent = at.record.of("changed")
    bad = [one for one in sent if one.heard is None or one.heard.outcome != "conflict"
           or (first := at.firsts.get(one.purpose.key)) is None or first.body == one.body]
    return _of("R-06", bad, len(sent), "内容改变的重发得到冲突应答", "changed repeats were answered with a conflict", sent)


def _broken(at: _Bench) -> Judged:
    sent = at.record.of("broken")
    bad = [one for one in sent if one.heard is None or one.heard.outcome != "refused"]
    return _of("R-07", bad, len(sent), "错误消息被拒收", "broken messages were refused", sent)


def _mapped(at: _Bench) -> Judged:
    sent = [one for one in at.record.of("prescription", "sample") if one.heard]
    bad = [one for one in sent if one.heard and one.heard.outcome == "waiting"]
    return _of("R-08", bad, len(sent), "没有消息因编码未对照而等候", "no message waits for a code to be mapped", bad)


def _late(at: _Bench) -> Judged:
    planned = at.planned("expired")
    bad = [one for one in planned if "expired" not in at.statuses(one)]
    return _of("R-09", bad, len(planned), "过期处方收到过期报告", "late prescriptions were reported expired",
               reports=_reports(at, planned))


def _cancel(name: str, scenario: str, zh: str, en: str) -> Callable[[_Bench], Judged]:
    def rule(at: _Bench) -> Judged:
        planned = at.planned(scenario)
        cancels = {one.purpose.prescription: one for one in at.record.of("cancel")}
        bad = [one for one in planned if (sent := cancels.get(one.external_id)) is None or sent.heard is None
               or sent.heard.outcome != "accepted" or sent.heard.status not in CANCELLED
               or "cancelled" not in at.statuses(one)]
        sent_ones = [cancels[one.external_id] for one in planned if one.external_id in cancels]
        return _of(name, bad, len(planned), zh, en, sent_ones, _reports(at, planned))

    return rule


def _told(at: _Bench) -> Judged:
    planned = at.planned()
    bad = [one for one in planned if not (statuses := at.statuses(one)) or statuses[-1] not in one.expected_status]
    return _of("R-13", bad, len(planned), "处方的结局都已报告", "prescriptions whose end was reported",
               reports=_reports(at, bad or planned))


def _once(at: _Bench) -> Judged:
    first: dict[str, dict[str, Any]] = {}
    bad = [told for told in at.record.told if first.setdefault(told.key, told.report) != told.report
           or told.report.get("key") != told.key]
    return _of("R-14", bad, len(at.record.told), "报告按编号唯一且内容一致", "reports are one per key, and repeated alike")


def _why(at: _Bench) -> Judged:
    planned = at.planned("refused")
    bad = [one for one in planned if not any(report.get("findings") or report.get("reason")
                                             for report in at.record.heard_of(one.external_id) if report["status"] == "refused")]
    return _of("R-15", bad, len(planned), "审核拒绝附有原因", "refusals came with their reasons", reports=_reports(at, planned))


def _collected(at: _Bench) -> Judged:
    planned = at.planned("settled_pickup")
    bad = [one for one in planned if not any((report.get("pickup") or {}).get("code")
                                             for report in at.record.heard_of(one.external_id))]
    return _of("R-16", bad, len(planned), "自提处方收到取药凭证", "prescriptions to be collected came with a code",
               reports=_reports(at, planned))


def _money(at: _Bench) -> Judged:
    planned = at.planned("settled_pickup", "settled_home")
    bad = [one for one in planned if not any(_adds_up(report.get("money"))
                                             for report in at.record.heard_of(one.external_id))]
    return _of("R-17", bad, len(planned), "结算金额平衡", "settlements add up", reports=_reports(at, planned))


def _at_once(at: _Bench) -> Judged:
    sent = [one for one in at.record.of("prescription") if one.again == "at once"]
    answers = {(one.purpose.key, one.heard.id if one.heard else "") for one in sent}
    bad = [one for one in sent if one.heard is None or not one.heard.id
           or len([1 for key, _ in answers if key == one.purpose.key]) > 1]
    return _of("R-18", bad, len(sent), "同时到达的相同消息得到同一编号", "copies arriving at once got one id", sent)


def _private(at: _Bench) -> Judged:
    secrets = [value for facts in at.record.people for value in (facts.id_number, facts.name, facts.phone, facts.address)]

    def tells(text: str) -> bool:
        return any(secret in text for secret in secrets if secret)

    bad: list[Any] = [one for one in at.record.sent if tells(f"{one.purpose.key} {one.purpose.prescription}")
                      or (one.heard and tells(one.heard.body.decode("utf-8", "replace")))]
    bad += [told for told in at.record.told if tells(repr(told.report))]
    return _of("R-19", bad, len(at.record.sent) + len(at.record.told), "编号、应答和报告中没有个人信息",
               "keys, answers and reports without anything personal", bad)


_RULES: dict[str, Callable[[_Bench], Judged]] = {
    "R-01": _answered,
    "R-02": lambda at: _samples(at, "R-02", at.samples.valid, ["accepted"], "正确样例被接收", "valid samples were accepted"),
    "R-03": _refused,
    "R-04": _good, "R-05": _repeat, "R-06": _conflict, "R-07": _broken, "R-08": _mapped, "R-09": _late,
    "R-10": _cancel("R-10", "cancelled_waiting", "等待药房时撤销成功", "taken back while it waited"),
    "R-11": _cancel("R-11", "cancelled_before", "先到的撤销生效", "taken back before it came"),
    "R-12": _cancel("R-12", "cancelled_fulfilling", "药房接单后的撤销有结果", "taken back from a pharmacy"),
    "R-13": _told, "R-14": _once, "R-15": _why, "R-16": _collected, "R-17": _money, "R-18": _at_once, "R-19": _private,
}


def _reports(at: _Bench, planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """The last reports about some prescriptions."""
    return [reports[-1] for one in planned if (reports := at.record.heard_of(one.external_id))]


def _adds_up(money: dict[str, Any] | None) -> bool:
    try:
        total, *parts = (Decimal(str((money or {})[name])) for name in ("total", "fund", "account", "cash"))
        return total == sum(parts)
    except (KeyError, InvalidOperation, TypeError):
        return False
