"""What happens to a prescription and what it waits for, as codes. Their words are in `domain.event_words`."""

from collections.abc import Mapping
from enum import StrEnum


class Event(StrEnum):
    """What happened: the `reason` of a history row. Its arguments are in the row's `detail`."""

    RECEIVED = "received"
    AUDITED = "audited"
    """Every rule ran; the row's status says with what end."""
    NOT_INSURED = "not_insured"
    """The fund does not insure the person (B-44): back to the hospital."""
    QUEUED = "queued"
    """For a pharmacist."""
    PASSED = "passed"
    """By the pharmacist."""
    REJECTED = "rejected"
    """By the pharmacist (C-09)."""
    SENT_BACK = "sent_back"
    """By the pharmacist, to the prescriber (C-07)."""
    SEARCH_STARTED = "search_started"
    CHOICE_WISHED = "choice_wished"
    """The patient wants to choose the pharmacy (D-01)."""
    CHOICE_OFFERED = "choice_offered"
    """The patient is asked which pharmacy it shall be, for the first time or anew."""
    PATIENT_CHOSE = "patient_chose"
    PATIENT_WAITS = "patient_waits"
    """No pharmacy has all of it, and the patient waits for one that does (D-11)."""
    CHOICE_LAPSED = "choice_lapsed"
    """The patient's time is over: the best one is taken."""
    CHOICE_ORDERED = "choice_ordered"
    """What the patient chose: its chain is about to be asked to hold the goods."""
    STORE_CHOSEN = "store_chosen"
    """It ranked first; its chain is about to be asked to hold the goods."""
    SHARE_CHOSEN = "share_chosen"
    """No store has all of it: this one and another are asked for their shares (D-10)."""
    PART_CHOSEN = "part_chosen"
    """No two stores have all of it: this one is asked for what it has, and the rest is owed (D-11)."""
    NO_STORE = "no_store"
    """No pharmacy can fill it now; they are asked again by and by."""
    ORDER_DECLINED = "order_declined"
    """The chain would not hold the goods or take the order: the next one is asked."""
    ORDER_PLACED = "order_placed"
    ORDER_UPDATE = "order_update"
    """The chain says where the order is."""
    DECOCTION_STEP = "decoction_step"
    """The place that decocts it has done a step (D-14)."""
    COURIER_ASSIGNED = "courier_assigned"
    COURIER_STOPPED = "courier_stopped"
    """The courier stops or turns round because the order ended, or would not bring it."""
    COURIER_UPDATE = "courier_update"
    """The courier says where the parcel is."""
    PAID = "paid"
    """The patient has paid at the door or at a counter (E-08)."""
    REFUNDED = "refunded"
    """Of what the patient has paid something goes back."""
    NO_ANSWER = "no_answer"
    """The pharmacy did not say yes in time (D-12): its order was taken back."""
    WORD_MISSED = "word_missed"
    """Asked after its time, the chain says that the order is further than its last word."""
    ORDER_ENDED = "order_ended"
    """Without medicine: back to the market, and its pickup code is void."""
    WORD_AFTER_ORDER = "word_after_order"
    """A chain's word on an order that had ended without medicine."""
    WORD_AFTER_END = "word_after_end"
    """A chain's word on a prescription that had ended."""
    PART_HANDED_OVER = "part_handed_over"
    """The patient has what one order was for; a pharmacy is looked for that has the rest."""
    HANDED_OVER = "handed_over"
    """The patient has the medicine."""
    EXPIRED = "expired"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    """By the hospital."""
    PATIENT_CANCELS = "patient_cancels"
    """The patient asks for it while a pharmacy may have an order."""
    CANCELLED_BY_PATIENT = "cancelled_by_patient"
    UNDELIVERED = "undelivered"
    """It could not be handed over at the door; the pharmacy has it back."""
    CANCEL_TOO_LATE = "cancel_too_late"
    CANCEL_UNANSWERED = "cancel_unanswered"
    SETTLED = "settled"
    BROUGHT_BACK = "brought_back"
    REVERSED = "reversed"
    """The whole settlement (F-20)."""
    CLAIM_AGREES = "claim_agrees"
    """What the fund paid for is what the patient has."""
    GIVEN_UP = "given_up"
    """What was still open will not be handed over; other lines were, or may be."""
    WISH_ANSWERED = "wish_answered"
    """A wish to return something has its answer."""
    CLOSED = "closed"
    ATTEMPT_FAILED = "attempt_failed"
    """A step failed; it is tried again."""
    WOKEN = "woken"
    """A person had it looked at."""


ARGUMENTS: Mapping[Event, tuple[str, ...]] = {
    Event.RECEIVED: ("message", "archive", "items", "arrived"),
    Event.AUDITED: ("findings",),
    Event.NOT_INSURED: (),
    Event.QUEUED: (),
    Event.PASSED: ("reasons_for",),
    Event.REJECTED: ("codes",),
    Event.SENT_BACK: ("codes",),
    Event.SEARCH_STARTED: (),
    Event.CHOICE_WISHED: (),
    Event.CHOICE_OFFERED: ("round", "options", "until", "because"),
    Event.PATIENT_CHOSE: ("round", "option", "stores", "way", "handover", "total_fen"),
    Event.PATIENT_WAITS: ("round",),
    Event.CHOICE_LAPSED: ("round",),
    Event.CHOICE_ORDERED: ("order", "chain", "store", "score", "candidates", "portions"),
    Event.STORE_CHOSEN: ("order", "chain", "store", "score", "candidates"),
    Event.SHARE_CHOSEN: ("order", "chain", "store", "score", "candidates", "portions"),
    Event.PART_CHOSEN: ("order", "chain", "store", "score", "candidates", "portions"),
    Event.NO_STORE: ("refused", "stores", "silent"),
    Event.ORDER_DECLINED: ("order", "chain", "store", "cause"),
    Event.ORDER_PLACED: ("order", "chain", "store", "reference", "total_fen", "fund_fen", "patient_due_fen"),
    Event.ORDER_UPDATE: ("order", "event", "status", "cause", "lines", "at"),
    Event.DECOCTION_STEP: ("order", "decoction"),
    Event.COURIER_ASSIGNED: ("order", "courier", "reference"),
    Event.COURIER_STOPPED: ("order", "courier", "delivery", "cause"),
    Event.PAID: ("order", "method", "amount_fen", "receipt"),
    Event.REFUNDED: ("order", "method", "amount_fen", "receipt"),
    Event.COURIER_UPDATE: ("order", "event", "delivery", "attempt", "cause", "warnings", "at"),
    Event.NO_ANSWER: ("order",),
    Event.WORD_MISSED: ("order", "status"),
    Event.ORDER_ENDED: ("order", "status", "cause"),
    Event.WORD_AFTER_ORDER: ("order", "event", "status", "order_was"),
    Event.WORD_AFTER_END: ("order", "event", "status", "prescription_was"),
    Event.PART_HANDED_OVER: ("order", "portions"),
    Event.HANDED_OVER: ("order",),
    Event.EXPIRED: ("valid_until",),
    Event.CANCEL_REQUESTED: ("reason",),
    Event.CANCELLED: ("reason",),
    Event.PATIENT_CANCELS: (),
    Event.CANCELLED_BY_PATIENT: (),
    Event.UNDELIVERED: ("cause",),
    Event.CANCEL_TOO_LATE: ("order",),
    Event.CANCEL_UNANSWERED: ("order",),
    Event.SETTLED: ("settlement", "reference", "total_fen", "fund_fen", "account_fen", "cash_fen"),
    Event.BROUGHT_BACK: ("order", "kept"),
    Event.REVERSED: ("settlement", "reversal", "reference"),
    Event.CLAIM_AGREES: (),
    Event.GIVEN_UP: ("cause",),
    Event.WISH_ANSWERED: ("wish", "answer"),
    Event.CLOSED: (),
    Event.ATTEMPT_FAILED: ("error", "attempt", "again_at", "stage"),
    Event.WOKEN: ("tried_again",),
}
"""What the `detail` of an event always has: codes, ids, counts, moments (ISO 8601) and amounts (fen).

`findings` are `{code, rule, severity, line}` each.
`refused` is how many stores by reason (`domain.fulfilment.ranking.REASONS`), `stores` the first of them as `chain/store:reason`.
`silent` and `chain` are chains by slug. `status` and `order_was` are a `ChainWord`, `prescription_was` a `Status`.
`decoction` is a `DecoctionStep`.
`delivery` is a `DeliveryStatus`, `warnings` are codes of `domain.words.DOOR_WARNINGS`, `courier` is a slug.
`cause` is why an order ended, why a delivery did not go on, or why what was open was given up (`domain.words.ENDINGS`).
`wish` is a number, `answer` a `WishAnswer`, `reason` why the hospital cancels. `codes` are review items (A-26).
`round` numbers the times a patient was asked, `options` is how many there were, `because` a `domain.fulfilment.choice.Because`.
`portions` are `{line, quantity}` each: of the order or, in `part_handed_over`, still owed.
"""


class Wait(StrEnum):
    """What a prescription waits for: `waiting_for` of its row, followed by `:` and the argument where it has one."""

    AUDIT = "audit"
    DECISION = "decision"
    """A pharmacist's."""
    QUOTES = "quotes"
    HOLD = "hold"
    """Argument: the chain."""
    CANDIDATE = "candidate"
    """The next pharmacy in the ranking is asked."""
    CHOICE = "choice"
    """The patient's, of a pharmacy (D-01)."""
    FILLER = "filler"
    """A pharmacy that can fill it: none can now."""
    ACCEPTANCE = "acceptance"
    """The pharmacy's yes (D-12)."""
    ACCEPTANCE_OVERDUE = "acceptance_overdue"
    """It can't be taken back, and nothing was said of it in time."""
    RECEIPT = "receipt"
    """The patient gets the medicine (A-02)."""
    RECEIPT_OVERDUE = "receipt_overdue"
    CANCEL_ANSWER = "cancel_answer"
    """The chain's, whether it still can be cancelled."""
    SETTLEMENT = "settlement"
    REVERSAL = "reversal"
    RESETTLEMENT = "resettlement"
    RETURN_WINDOW = "return_window"
    RECONCILIATION = "reconciliation"
    RETRY = "retry"
    """The next attempt; no person needs to act."""
    PARTNER_WORD = "partner_word"
    """A partner's, on an effect whose outcome is unknown."""
    PERSON_REFUSED = "person_refused"
    """A person: a partner refused what it must not refuse."""
    PERSON_ANSWER = "person_answer"
    """A person: a partner's answer broke the contract."""
    PERSON_SETUP = "person_setup"
    """A person: configuration, credentials or a partner's book."""
    PERSON_FAULT = "person_fault"
    """A person: a fault of the platform."""
    PERSON_UNREADABLE = "person_unreadable"
    """A person: its row cannot be read."""


PERSON = frozenset({
    Wait.PERSON_REFUSED, Wait.PERSON_ANSWER, Wait.PERSON_SETUP, Wait.PERSON_FAULT, Wait.PERSON_UNREADABLE,
})
"""Nothing moves until a person acts."""
