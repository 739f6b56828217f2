"""What a patient does about the pharmacy: says that they want to choose it, sees what there is, and chooses (D-01)."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from domain.errors import StaleStatus
from domain.events import Event, Wait
from domain.fulfilment.choice import Option, Round, RoundState, Verdict, judge, may_choose
from domain.fulfilment.wishes import STANDING, Wish, WishAnswer, WishKind
from domain.lifecycle import Status
from domain.people import Capability
from domain.policy import Choosers
from domain.prescription import Handover
from domain.tracking import BEFORE_THE_SEARCH
from infra.db import Session, access_log, choices, history, prescriptions, wishes
from infra.db.access_log import Kind
from infra.db.prescriptions import Loaded
from tasks.city import City

T = TypeVar("T")
TRIES = 3
"""Of a patient's act, while others move the prescription."""


@dataclass(frozen=True)
class Choosing:
    """How far the choice is."""

    newest: Round | None
    """The last time the patient was asked; None where they have not been yet."""
    may_wish: bool
    """Whether they may say that they want to choose."""
    wished: bool
    """Whether they have said it."""
    open: bool
    """Whether an option can be chosen now."""
    sent_as: Handover
    """How the sender said that they would get it."""
    until: datetime | None
    """When the best one is taken; None: not before the patient chooses."""
    chosen: Option | None
    """What counts as chosen, from the choice until its order. None after a cancel: nothing is ordered any more."""


def choosing(city: City, session: Session, loaded: Loaded, wished: list[Wish]) -> Choosing | None:
    """None where patients do not choose in this city."""
    if not city.policy.choose_within:
        return None
    newest = choices.newest(session, loaded.id)
    asked_to = any(wish.kind is WishKind.CHOOSE for wish in wished)
    looks = _looks(city, loaded, wished)
    return Choosing(
        newest, may_wish=_may_wish(city, loaded) and not asked_to and newest is None, wished=asked_to,
        open=may_choose(newest, looks=looks), sent_as=loaded.prescription.handover,
        until=newest.until if newest and city.policy.best_unless_chosen else None,
        chosen=newest.option if newest and looks and newest.state is RoundState.CHOSEN else None)


def wish_to_choose(city: City, prescription_id: str, *, by: str) -> bool:
    """The patient wants to choose the pharmacy; whether that counts. Saying it again changes nothing.

    Raises `KeyError` for a prescription that is not here, `StaleStatus` where it is moved again and again.
    """
    return persistently(lambda: _wish_to_choose(city, prescription_id, by))


def look(city: City, prescription_id: str) -> Choosing | None:
    """How far the choice of a prescription is. Raises `KeyError` for one that is not here."""
    with city.db.reading() as session:
        return choosing(city, session, prescriptions.load(session, prescription_id), wishes.of(session, prescription_id))


def choose(city: City, prescription_id: str, key: str, *, by: str, agreed: Collection[str] = ()) -> Verdict:
    """The patient chooses an option, or to wait. The same choice again changes nothing.

    `by` is who acts, as in the history: the patient, or `hotline:<id>` for one who calls. `agreed`: the
    terms that the patient says yes to (`Option.terms`); an option does not count without its own (D-13).

    Raises `KeyError` for a prescription that is not here, `StaleStatus` where it is moved again and again.
    """
    return persistently(lambda: _choose(city, prescription_id, key, by, agreed))


def persistently(act: Callable[[], T]) -> T:
    """An act of a patient: a worker that moves the prescription meanwhile is no reason to send them away."""
    for _ in range(TRIES - 1):
        with suppress(StaleStatus):
            return act()
    return act()


def _wish_to_choose(city: City, prescription_id: str, by: str) -> bool:
    with city.db.transaction("patient.wished_to_choose") as session:
        loaded = prescriptions.load(session, prescription_id)
        _enter(city, session, prescription_id, by)
        if any(wish.kind is WishKind.CHOOSE for wish in wishes.of(session, prescription_id)):
            return True
        if not city.policy.choose_within or not _may_wish(city, loaded):
            return False
        rx = loaded.prescription
        # What failed is tried again at once: this row no longer says how often it has been tried.
        history.append(session, loaded.head, actor=by, event=Event.CHOICE_WISHED, at=city.now(),
                       wake_at=city.now() if loaded.attempts or loaded.waiting_for == Wait.FILLER else loaded.wake_at,
                       waiting_for=loaded.waiting_for)
        wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx.id, kind=WishKind.CHOOSE, by=by, reason="patient",
                    at=city.now())
        return True


def _choose(city: City, prescription_id: str, key: str, by: str, agreed: Collection[str]) -> Verdict:
    with city.db.transaction("patient.chose") as session:
        loaded = prescriptions.load(session, prescription_id)
        _enter(city, session, prescription_id, by)
        if not city.policy.choose_within:
            return Verdict.NOT_ASKED
        newest = choices.newest(session, prescription_id)
        verdict = judge(newest, key, looks=_looks(city, loaded, wishes.of(session, prescription_id) if loaded.wished else []),
                        agreed=agreed)
        if verdict is Verdict.TAKEN and newest is not None:
            _take(city, session, loaded, newest, key, by)
        return verdict


def _enter(city: City, session: Session, prescription_id: str, by: str) -> None:
    """In the access log it is the person alone; the history says in which role."""
    access_log.append(session, by.rpartition(":")[2], Kind.ACT, Capability.CHOOSE_PHARMACY, at=city.now(),
                      prescription_id=prescription_id)


def _take(city: City, session: Session, loaded: Loaded, newest: Round, key: str, by: str) -> None:
    """The choice counts: the worker orders it next."""
    rx, option = loaded.prescription, newest.offering.option(key)
    event, detail = Event.PATIENT_WAITS, dict[str, object](round=newest.number)
    if option is not None:
        event, detail = Event.PATIENT_CHOSE, {
            "round": newest.number, "option": option.key, "way": option.way, "handover": option.handover,
            "stores": [f"{share.chain}/{share.store}" for share in option.shares], "total_fen": option.total}
        if option.substitutes:
            # The consent, in the chain of the history: by whom and when is the event's own (D-13).
            detail["agreed"] = [{"line": line.line, "prescribed": line.instead_of, "offered": line.drug,
                                 "amount_fen": line.amount} for line in option.substitutes]
    history.append(session, loaded.head, actor=by, event=event, at=city.now(), wake_at=city.now(), waiting_for=Wait.QUOTES,
                   detail=detail)
    choices.choose(session, rx.id, newest, key, by=by, at=city.now())
    if option is not None and option.handover is not rx.handover:
        wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx.id, kind=WishKind.HANDOVER, by=by,
                    reason=option.handover, at=city.now())


def _may_wish(city: City, loaded: Loaded) -> bool:
    """Where patients are asked only if they want to be, and no pharmacy has an order."""
    early = loaded.status in BEFORE_THE_SEARCH or (
        loaded.status is Status.ALLOCATING and loaded.waiting_for == Wait.FILLER)
    return early and city.policy.choosers is Choosers.WHO_ASKS and city.now() < loaded.prescription.valid_until


def _looks(city: City, loaded: Loaded, wished: list[Wish]) -> bool:
    """Whether a pharmacy is looked for. A cancel refused for one order ends the search for the rest (`plan.next_moves`)."""
    ends = STANDING | ({WishAnswer.REFUSED} if loaded.status is Status.FULFILLING else frozenset())
    cancels = any(wish.kind is WishKind.CANCEL and wish.portions is None and wish.answer in ends for wish in wished)
    return (loaded.status in (Status.ALLOCATING, Status.FULFILLING) and not cancels
            and city.now() < loaded.prescription.valid_until)


