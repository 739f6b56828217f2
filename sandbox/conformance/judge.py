"""Requirement by requirement: does what went over the line fulfil it, and where can one see that?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.words import Two
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
    seen: Two
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
        for message in record.of("prescription"):
            if message.answer and not message.again:
                self.firsts.setdefault(message.purpose.key, message)

    def planned(self, *scenarios: str) -> list[Planned]:
        return [rx for rx in self.plan.prescriptions if not scenarios or rx.scenario in scenarios]

    def statuses(self, planned: Planned) -> list[str]:
        return [str(report["status"]) for report in self.record.heard_of(planned.external_id)]


def _of(name: str, bad: Sequence[Any], seen: int, words: Two, sent: Iterable[Sent] = (),
        reports: Sequence[dict[str, Any]] = ()) -> Judged:
    """Passed if there was something to see and nothing of it was bad."""
    passed = seen > 0 and not bad
    lead = Two("", "") if seen else Two("没有看到：", "not seen: ")
    count = Two(f"（{len(bad)}/{seen} 不符）", f" ({len(bad)} of {seen} not so)") if bad else Two(f"（{seen}）", f" ({seen})")
    wrong = [message for message in sent if message in bad]
    return Judged(BY_ID[name], passed, Two(lead.zh + words.zh + count.zh, lead.en + words.en + count.en),
                  [*wrong, *(message for message in sent if message not in wrong)][:SHOWN], reports[:SHOWN])


def _answered(at: _Bench) -> Judged:
    answered = {message.body for message in at.record.sent if message.answer}
    silent = [message for message in at.record.sent if message.body not in answered]
    return _of("R-01", silent, len({message.body for message in at.record.sent}),
               Two("已发消息均得到应答", "messages sent were answered"), silent or at.record.sent)


def _samples(at: _Bench, name: str, wanted: dict[str, bytes], outcomes: Sequence[str], words: Two) -> Judged:
    sent = [message for message in at.record.of("sample") if message.purpose.key in wanted and not message.again]
    bad: list[Any] = [message for message in sent if message.answer is None or message.answer.outcome not in outcomes]
    # What its own sender cannot read never got on the line: that is fine for a mistake, and for nothing else.
    unsent = set(wanted) - {message.purpose.key for message in sent} if "accepted" in outcomes else set()
    return _of(name, [*bad, *unsent], len(wanted), words, sent)


def _refused(at: _Bench) -> Judged:
    """Each for the mistake it was made for: a refusal for another reason proves nothing of this one."""
    sent = [message for message in at.record.of("sample") if message.purpose.key in at.samples.invalid and not message.again]
    bad: list[Any] = [message for message in sent if message.answer is None or message.answer.outcome != "refused"
                      or at.samples.faults.get(message.purpose.key, "").encode() not in message.answer.body]
    return _of("R-03", bad, len(at.samples.invalid), Two("错误样例因各自的错误被拒收",
               "invalid samples were refused for their own mistakes"), sent)


def _good(at: _Bench) -> Judged:
    planned = at.planned()
    bad = [rx for rx in planned if (first := at.firsts.get(rx.key)) is None or first.answer is None
           or first.answer.outcome not in ("accepted", "waiting") or (first.answer.outcome == "accepted" and not first.answer.id)]
    keys = {rx.key for rx in bad}
    sent = sorted(at.firsts.values(), key=lambda message: message.purpose.key not in keys)
    return _of("R-04", bad, len(planned), Two("处方被接收并有平台编号", "prescriptions accepted with an id"), sent)


def _repeat(at: _Bench) -> Judged:
    again = [message for message in at.record.of("prescription") if message.again == "repeat"]
    bad = [message for message in again if (first := at.firsts.get(message.purpose.key)) is None or first.body != message.body
           or message.answer is None or first.answer is None or message.answer.body != first.answer.body]
    return _of("R-05", bad, len(again),
               Two("重发与首发逐字节相同，应答也相同", "repeats and their answers were the same, to the byte"),
               [message for pair in ((it, at.firsts.get(it.purpose.key)) for it in (*bad, *again)) for message in pair if message])


def _conflict(at: _Bench) -> Judged:
    sent = at.record.of("changed")
    bad = [message for message in sent if message.answer is None or message.answer.outcome != "conflict"
           or (first := at.firsts.get(message.purpose.key)) is None or first.body == message.body]
    return _of("R-06", bad, len(sent), Two("内容改变的重发得到冲突应答", "changed repeats were answered with a conflict"), sent)


def _broken(at: _Bench) -> Judged:
    sent = at.record.of("broken")
    bad = [message for message in sent if message.answer is None or message.answer.outcome != "refused"]
    return _of("R-07", bad, len(sent), Two("错误消息被拒收", "broken messages were refused"), sent)


def _mapped(at: _Bench) -> Judged:
    sent = [message for message in at.record.of("prescription", "sample") if message.answer]
    bad = [message for message in sent if message.answer and message.answer.outcome == "waiting"]
    return _of("R-08", bad, len(sent), Two("没有消息因编码未对照而等候", "no message waits for a code to be mapped"), bad)


def _late(at: _Bench) -> Judged:
    planned = at.planned("expired")
    bad = [rx for rx in planned if "expired" not in at.statuses(rx)]
    return _of("R-09", bad, len(planned), Two("过期处方收到过期报告", "late prescriptions were reported expired"),
               reports=_reports(at, planned))


def _cancel(name: str, scenario: str, words: Two) -> Callable[[_Bench], Judged]:
    def rule(at: _Bench) -> Judged:
        planned = at.planned(scenario)
        cancels = {message.purpose.prescription: message for message in at.record.of("cancel")}
        bad = [rx for rx in planned if (sent := cancels.get(rx.external_id)) is None or sent.answer is None
               or sent.answer.outcome != "accepted" or sent.answer.status not in CANCELLED
               or "cancelled" not in at.statuses(rx)]
        sent_ones = [cancels[rx.external_id] for rx in planned if rx.external_id in cancels]
        return _of(name, bad, len(planned), words, sent_ones, _reports(at, planned))

    return rule


def _told(at: _Bench) -> Judged:
    planned = at.planned()
    bad = [rx for rx in planned if not (statuses := at.statuses(rx)) or statuses[-1] not in rx.expected_status]
    return _of("R-13", bad, len(planned), Two("处方的结局都已报告", "prescriptions whose end was reported"),
               reports=_reports(at, bad or planned))


def _once(at: _Bench) -> Judged:
    first: dict[str, dict[str, Any]] = {}
    bad = [told for told in at.record.reports if first.setdefault(told.key, told.report) != told.report
           or told.report.get("key") != told.key]
    return _of("R-14", bad, len(at.record.reports), Two("报告按编号唯一且内容一致", "reports are one per key, and repeated alike"))


def _why(at: _Bench) -> Judged:
    planned = at.planned("refused")
    bad = [rx for rx in planned if not any(report.get("findings") or report.get("reason")
                                             for report in at.record.heard_of(rx.external_id) if report["status"] == "refused")]
    return _of("R-15", bad, len(planned), Two("审核拒绝附有原因", "refusals came with their reasons"),
               reports=_reports(at, planned))


def _collected(at: _Bench) -> Judged:
    planned = at.planned("settled_pickup")
    bad = [rx for rx in planned if not any((report.get("pickup") or {}).get("code")
                                             for report in at.record.heard_of(rx.external_id))]
    return _of("R-16", bad, len(planned), Two("自提处方收到取药凭证", "prescriptions to be collected came with a code"),
               reports=_reports(at, planned))


def _money(at: _Bench) -> Judged:
    planned = at.planned("settled_pickup", "settled_home")
    bad = [rx for rx in planned if not any(_adds_up(report.get("money"))
                                             for report in at.record.heard_of(rx.external_id))]
    return _of("R-17", bad, len(planned), Two("结算金额平衡", "settlements add up"), reports=_reports(at, planned))


def _at_once(at: _Bench) -> Judged:
    sent = [message for message in at.record.of("prescription") if message.again == "at once"]
    answers = {(message.purpose.key, message.answer.id if message.answer else "") for message in sent}
    bad = [message for message in sent if message.answer is None or not message.answer.id
           or len([1 for key, _ in answers if key == message.purpose.key]) > 1]
    return _of("R-18", bad, len(sent), Two("同时到达的相同消息得到同一编号", "copies arriving at once got one id"), sent)


def _private(at: _Bench) -> Judged:
    secrets = [value for facts in at.record.people for value in (facts.id_number, facts.name, facts.phone, facts.address)]

    def tells(text: str) -> bool:
        return any(secret in text for secret in secrets if secret)

    bad: list[Any] = [message for message in at.record.sent if tells(f"{message.purpose.key} {message.purpose.prescription}")
                      or (message.answer and tells(message.answer.body.decode("utf-8", "replace")))]
    bad += [told for told in at.record.reports if tells(repr(told.report))]
    return _of("R-19", bad, len(at.record.sent) + len(at.record.reports), Two("编号、应答和报告中没有个人信息",
               "keys, answers and reports without anything personal"), bad)


_RULES: dict[str, Callable[[_Bench], Judged]] = {
    "R-01": _answered,
    "R-02": lambda at: _samples(at, "R-02", at.samples.valid, ["accepted"],
                               Two("正确样例被接收", "valid samples were accepted")),
    "R-03": _refused,
    "R-04": _good, "R-05": _repeat, "R-06": _conflict, "R-07": _broken, "R-08": _mapped, "R-09": _late,
    "R-10": _cancel("R-10", "cancelled_waiting", Two("等待药房时撤销成功", "taken back while it waited")),
    "R-11": _cancel("R-11", "cancelled_before", Two("先到的撤销生效", "taken back before it came")),
    "R-12": _cancel("R-12", "cancelled_fulfilling", Two("药房接单后的撤销有结果", "taken back from a pharmacy")),
    "R-13": _told, "R-14": _once, "R-15": _why, "R-16": _collected, "R-17": _money, "R-18": _at_once, "R-19": _private,
}


def _reports(at: _Bench, planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """The last reports about some prescriptions."""
    return [reports[-1] for rx in planned if (reports := at.record.heard_of(rx.external_id))]


def _adds_up(money: dict[str, Any] | None) -> bool:
    try:
        total, *parts = (Decimal(str((money or {})[name])) for name in ("total", "fund", "account", "cash"))
        return total == sum(parts)
    except (KeyError, InvalidOperation, TypeError):
        return False
