"""What a stored event and a stored wait mean; also those written as English sentences, before there were codes.

The sentences are frozen: nothing writes them any more. The history is append-only and hashed, so its former rows stay as
they are. Waits were rewritten by migration 0011; one that a process of an older release writes while an upgrade is under
way is read here too.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from domain.events import Event, Wait

_EVENTS: tuple[tuple[str, Event, str], ...] = (
    # The sentence with its arguments; its event; which argument the row's detail has under a former name: `new=former`.
    (r"received and archived", Event.RECEIVED, ""),
    (r"nothing found|\d+ (?:BLOCK|WARN|SELFPAY|INFO)\b.*", Event.AUDITED, ""),
    (r"not insured: back to the hospital \(B-44\)", Event.NOT_INSURED, ""),
    (r"queued for a pharmacist", Event.QUEUED, ""),
    (r"passed", Event.PASSED, ""),
    (r"reject: .*", Event.REJECTED, ""),
    (r"return: .*", Event.SENT_BACK, ""),
    (r"looking for a pharmacy", Event.SEARCH_STARTED, ""),
    (r"(?P<chain>[^\s/]+)/(?P<store>\S+) ranked first", Event.STORE_CHOSEN, ""),
    (r"no pharmacy can fill it now", Event.NO_STORE, ""),
    (r"declined: (?P<cause>.*)", Event.ORDER_DECLINED, ""),
    (r"order placed at (?P<chain>[^\s/]+)/(?P<store>\S+)", Event.ORDER_PLACED, ""),
    (r"no answer in time \(D-12\)", Event.NO_ANSWER, ""),
    (r"no word in time, but it is (?P<status>\w+)", Event.WORD_MISSED, ""),
    (r"order (?P<status>\w+): no reason given", Event.ORDER_ENDED, "cause=code"),
    (r"order (?P<status>\w+): (?P<cause>.*)", Event.ORDER_ENDED, ""),
    (r"order (?P<status>\w+)", Event.ORDER_UPDATE, "cause=reason"),
    (r"(?P<status>\w+) after (?P<order_was>declined|cancelled)", Event.WORD_AFTER_ORDER, ""),
    (r"(?P<status>\w+) after (?P<prescription_was>\w+)", Event.WORD_AFTER_END, "cause=reason"),
    (r"the patient has the medicine", Event.HANDED_OVER, ""),
    (r"validity is over \(A-01\)", Event.EXPIRED, ""),
    (r"cancel requested", Event.CANCEL_REQUESTED, ""),
    (r"cancelled by the hospital", Event.CANCELLED, ""),
    (r"too late to cancel", Event.CANCEL_TOO_LATE, ""),
    (r"the fund has settled", Event.SETTLED, ""),
    (r"the patient brought something back", Event.BROUGHT_BACK, ""),
    (r"the settlement was reversed", Event.REVERSED, ""),
    (r"the claim matches what the patient has", Event.CLAIM_AGREES, ""),
    (r"return window is over, the day is reconciled", Event.CLOSED, ""),
    (r"attempt (?P<attempt>\d+) failed: (?P<error>.*)", Event.ATTEMPT_FAILED, ""),
    (r"woken by an operator", Event.WOKEN, ""),
)
_WAITS: Mapping[str, Wait] = {
    "audit": Wait.AUDIT,
    "a pharmacist's decision": Wait.DECISION,
    "quotes": Wait.QUOTES,
    "the next candidate": Wait.CANDIDATE,
    "a pharmacy that can fill it": Wait.FILLER,
    "the pharmacy": Wait.ACCEPTANCE,
    "the pharmacy's yes": Wait.ACCEPTANCE,
    "the pharmacy's word, overdue": Wait.ACCEPTANCE_OVERDUE,
    "the patient's receipt": Wait.RECEIPT,
    "the patient's receipt, overdue (A-02)": Wait.RECEIPT_OVERDUE,
    "cancel": Wait.CANCEL_ANSWER,
    "settlement": Wait.SETTLEMENT,
    "reversal": Wait.REVERSAL,
    "re-settlement": Wait.RESETTLEMENT,
    "the return window": Wait.RETURN_WINDOW,
    "the day's reconciliation": Wait.RECONCILIATION,
    "the next attempt; nobody needs to act": Wait.RETRY,
    "the partner's word on an unknown outcome": Wait.PARTNER_WORD,
    "a person: a partner refused what it must not refuse": Wait.PERSON_REFUSED,
    "a person: a partner's answer broke the contract": Wait.PERSON_ANSWER,
    "a person: configuration, credentials or a partner's book": Wait.PERSON_SETUP,
    "a person: a fault of the platform": Wait.PERSON_FAULT,
    "a person: its row cannot be read": Wait.PERSON_UNREADABLE,
}
_HOLD = "hold at "
_EVENT_CODES, _WAIT_CODES = frozenset(map(str, Event)), frozenset(map(str, Wait))
_LONGEST_WHY = 400
"""Characters at which the former `why` of `NO_STORE` was cut off."""


def event_of(reason: str, detail: object) -> tuple[Event, Mapping[str, Any]] | None:
    """The event of a history row with its arguments, by its `reason` and its `detail` as opened JSON.

    None for what this release does not know. A tampered row may lack arguments.
    """
    stored = detail if isinstance(detail, Mapping) else {}
    if reason in _EVENT_CODES:
        return Event(reason), stored
    for pattern, event, renamed in _EVENTS:
        if match := re.fullmatch(pattern, reason):
            new, _, former = renamed.partition("=")
            arguments = {**stored, **({new: stored[former]} if former in stored else {}), **match.groupdict()}
            if event is Event.NO_STORE:
                return event, arguments | _why_no_store(str(stored.get("why", "")))
            if event is Event.WORD_AFTER_ORDER and "said" in stored:
                # A prescription may have been cancelled too; such a row names the word in its detail.
                return Event.WORD_AFTER_END, arguments | {"prescription_was": arguments["order_was"]}
            return event, arguments
    return None


def wait_of(stored: str) -> tuple[Wait, str] | None:
    """A wait and its argument, by `waiting_for`; None for what this release does not know, and for no wait."""
    if stored in _WAITS:
        return _WAITS[stored], ""
    if stored.startswith(_HOLD):
        return Wait.HOLD, stored.removeprefix(_HOLD)
    code, _, argument = stored.partition(":")
    return (Wait(code), argument) if code in _WAIT_CODES else None


def _why_no_store(why: str) -> dict[str, Any]:
    """`chain/store: reason; …`, or `no store has it (chain, chain did not answer)`."""
    if not why or len(why) >= _LONGEST_WHY:
        return {}
    if silent := re.fullmatch(r"no store has it \((?:(.*) did not answer|all asked)\)", why):
        return {"refused": {}, "silent": silent[1].split(", ") if silent[1] else []}
    return {"refused": dict(Counter(reason.rpartition(": ")[2] for reason in why.split("; ")))}
