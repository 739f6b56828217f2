"""A courier's word about a parcel: one way in for all that bring it (E-02). What it means for the order is decided here."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from adapters.messages import Reply
from domain.chains import ChainWord, OrderUpdate
from domain.couriers import CourierUpdate
from domain.door import WRONG_PROOF, is_locked, is_receiver, metres, warnings
from domain.errors import StaleStatus
from domain.events import Event
from domain.fulfilment.deliveries import OUTCOMES, Delivery, DeliveryStatus, Standing, moved, order_and_number, standing
from domain.fulfilment.lines import portions_of
from domain.fulfilment.orders import GONE, Placed
from domain.fulfilment.points import NOT_COLLECTED, held_until
from domain.fulfilment.wishes import WishKind
from domain.lifecycle import FINAL
from domain.payments import Flaw
from domain.privacy import shown
from domain.words import CAUSES
from infra.db import Session, counter, deliveries, history, orders, prescriptions, wishes
from infra.db import traces as packs
from infra.db.discrepancies import disagree
from infra.db.prescriptions import Loaded, canonical
from tasks import payments
from tasks.city import City
from tasks.fulfilment import traces
from tasks.fulfilment.sealed import open_secrets
from tasks.fulfilment.updates import Admit, Evidence, keep, reply, take_in
from tasks.patients import open_patient

AHEAD = timedelta(minutes=10)
"""So far a courier's clock may be ahead of ours (E-02); an older word is a late one."""
UNDELIVERED, LOST, UNPAID = "undelivered", "lost", "unpaid"
REJECTED = "rejected_at_door"


def tell(city: City, courier: str, update: CourierUpdate, *, checked: bool) -> Reply:
    """Do what a courier's word means that did not come as a callback."""
    evidence = keep(city, canonical([update.event_id, update.delivery_id, update.status, update.attempt]))
    return accept(city, courier, update, evidence, checked=checked)


def accept(city: City, courier: str, update: CourierUpdate, evidence: Evidence, admit: Admit = lambda session: None, *,
           checked: bool = False, point: str = "") -> Reply:
    """Do what a courier's word about a parcel means, once for each event id, and remember the answer.

    `checked`: it is the answer to our own question, and has no proof of the door with it. `point`: a
    person of that pick-up point says it. Only they can say that a parcel waits there, and that its patient has it.
    """
    picture = city.archive.put(update.proof.signature) if update.proof.signature else ""
    return take_in(city, f"courier:{courier}", update.event_id, evidence, admit,
                   lambda session: _apply(city, session, courier, update, picture, checked, point))


def _apply(city: City, session: Session, courier: str, update: CourierUpdate, picture: str, checked: bool, point: str
           ) -> tuple[Reply, str | None]:
    """The answer, and the id of the prescription if the parcel is one of this courier's."""
    placed, before = _parcel(session, courier, update)
    if placed is None or before is None:
        return reply(422, "refused", "unknown parcel"), None
    rx_id = placed.order.prescription_id
    if update.at > city.now() + AHEAD:
        return reply(422, "refused", "a time to come"), rx_id
    loaded = prescriptions.load(session, rx_id)
    if placed.order.point and (refusal := _not_at_point(city, session, placed, before, update, point)):
        return refusal, rx_id
    if placed.order.point and not point and update.status is DeliveryStatus.HELD_AT_POINT:
        # The courier has put it down there: it waits there once the point's person has received it.
        update = replace(update, status=DeliveryStatus.ARRIVED)
    match standing(before, update.status, update.attempt, update.at):
        case Standing.LATE:
            deliveries.nothing_new(session, placed.id, before.number, city.now())
            if update.status is before.status is DeliveryStatus.SIGNED and not payments.is_paid(session, placed):
                # Our own question had the signature first, without what was paid.
                _collect(city, session, placed, update)
            return reply(200, "ignored"), rx_id
        case Standing.BAD:
            disagree(session, kind="delivery_contradicts", subject=shown(update.event_id), expected=before.status,
                     actual=update.status, at=city.now(), prescription_id=rx_id)
            return reply(409, "bad_transition", f"{before.status} -> {update.status}"), rx_id
    seen = before
    codes: tuple[str, ...] = ()
    if update.status is DeliveryStatus.SIGNED:
        by = f"point:{point}" if point else f"courier:{courier}"
        if not checked and (refusal := _not_the_receiver(city, session, loaded, placed, update, by)):
            return refusal, rx_id
        if refusal := _not_paid(city, session, placed, update, checked):
            return refusal, rx_id
        if not point:
            seen, codes = _at_the_door(session, placed, seen, update, picture)
    # A courier's free text may name a person. It stays in the archive with the raw word.
    reason = update.reason if update.reason in CAUSES or not update.reason else "other"
    to = moved(seen, update.status, update.attempt, update.at, heard_at=city.now(), reason=reason)
    deliveries.move(session, placed.id, before, to)
    _follow(city, session, loaded, placed, to, update)
    _write_down(city, session, loaded, placed, to, update, codes, point)
    if update.status is DeliveryStatus.SIGNED:
        _collect(city, session, placed, update, point)
    elif update.status is DeliveryStatus.ATTEMPT_FAILED and reason == UNPAID:
        payments.not_paid(city, session, placed, collector=f"courier:{courier}", by=courier)
    return reply(200, "applied", list(codes) or None), rx_id


def _parcel(session: Session, courier: str, update: CourierUpdate) -> tuple[Placed | None, Delivery | None]:
    key = order_and_number(update.delivery_id)
    placed = orders.get(session, key[0]) if key else None
    if key is None or placed is None:
        return None, None
    return placed, next((delivery for delivery in placed.deliveries
                         if (delivery.number, delivery.courier) == (key[1], courier)), None)


def _not_the_receiver(city: City, session: Session, loaded: Loaded, placed: Placed, update: CourierUpdate, by: str
                      ) -> Reply | None:
    """The refusal of a parcel's signature by who is not its receiver (E-05); what was shown is compared and not kept."""
    if is_locked((done.at for done in counter.done(session, placed.id) if done.act == WRONG_PROOF), city.now()):
        return reply(422, "refused", "too many wrong tries")
    code, id_number = open_secrets(city, placed)["pickup_code"], open_patient(city, loaded)["id_number"]
    if is_receiver(update.delivery_id, update.proof.digest, code, id_number):
        return None
    counter.note(session, placed.id, WRONG_PROOF, by[:40], city.now())
    return reply(422, "refused", "not the receiver")


def _collect(city: City, session: Session, placed: Placed, update: CourierUpdate, point: str = "") -> None:
    by = f"shop:{point}" if point else f"courier:{placed.courier}"
    payments.collect(city, session, placed, update.paid, collector=by, by=point or placed.courier, actor=_actor(placed, point))


def _actor(placed: Placed, point: str) -> str:
    """Who said it, as the history names them."""
    return f"chain:{point.partition('/')[0]}" if point else f"courier:{placed.courier}"


def _not_at_point(city: City, session: Session, placed: Placed, seen: Delivery, update: CourierUpdate, point: str) -> Reply | None:
    """The refusal of a word about a parcel that is for a pick-up point; None where it may be said.

    The parcel is handed over by that point's person alone, until its time there is over and while its order is alive.
    """
    if not point:
        if update.status is not DeliveryStatus.SIGNED:
            return None
        if seen.status is not DeliveryStatus.SIGNED:
            disagree(session, kind="delivery_contradicts", subject=shown(update.event_id), expected=seen.status,
                     actual=update.status, at=city.now(), prescription_id=placed.order.prescription_id)
        return reply(409, "bad_transition", "its pick-up point hands it over")
    if point != placed.order.point:
        return reply(422, "refused", "unknown parcel")
    if placed.status in GONE or seen.called_off:
        return reply(409, "refused", "ended")
    if update.status is DeliveryStatus.SIGNED:
        if seen.status not in (DeliveryStatus.HELD_AT_POINT, DeliveryStatus.SIGNED):
            return reply(409, "refused", "not received")
        if (until := held_until(placed, city.policy)) and city.now() >= until:
            return reply(409, "refused", "held too long")
    return None


def _not_paid(city: City, session: Session, placed: Placed, update: CourierUpdate, checked: bool) -> Reply | None:
    """The refusal of a signature without the right payment: the courier keeps the parcel, and the attempt has failed (E-08, E-09).

    Where the order has ended, or where we asked, the patient has the parcel already: then it is a difference for a person.
    """
    refusal = payments.refusal(city.policy, placed, update.paid)
    if refusal is None:
        return None
    if checked or placed.status in GONE or refusal is Flaw.AMOUNT_EDIT:
        disagree(session, kind="paid_at_door", subject=f"{update.delivery_id}:{refusal}", expected=placed.order.patient_due,
                 actual=update.paid.amount if update.paid else 0, at=city.now(), prescription_id=placed.order.prescription_id)
    return None if checked or placed.status in GONE else reply(422, "refused", refusal)


def _at_the_door(session: Session, placed: Placed, seen: Delivery, update: CourierUpdate, picture: str
                 ) -> tuple[Delivery, tuple[str, ...]]:
    """The delivery with its proof (E-06), and what a person should look at."""
    place = update.proof.place
    away = metres(placed.order.place, place) if place else None
    arrived_at = deliveries.times(session, placed.id, seen.number).arrived_at
    return (replace(seen, metres=away, signature_key=picture),
            warnings(away, update.at, arrived_at, picture=bool(picture)))


def _follow(city: City, session: Session, loaded: Loaded, placed: Placed, delivery: Delivery, update: CourierUpdate) -> None:
    """What the word means for the order, and for the book of its shop."""
    word = OUTCOMES[delivery.status]
    if word is None:
        return
    if placed.status in GONE:
        if word is ChainWord.HANDED_OVER:
            # The order ended, and the patient has the parcel all the same. A person has to look.
            disagree(session, kind="late_word_from_courier", subject=shown(update.event_id), expected=placed.word, actual=word,
                     at=city.now(), prescription_id=loaded.id)
        return
    reason = _ending(delivery) if word is ChainWord.DECLINED else ""
    if delivery.status is DeliveryStatus.LOST:
        packs.lose_prepared(session, placed.id, city.now())  # Before the order ends, which puts back what lay packed.
    if word is ChainWord.HANDED_OVER:
        traces.take(city, session, placed, loaded.prescription, OrderUpdate(update.event_id, placed.id, word, "", update.at))
    orders.advance(session, placed, word, at=city.now(), reason=reason)
    _in_the_shops_book(city, session, placed, delivery, word)
    if delivery.status is DeliveryStatus.RETURNED and loaded.status not in FINAL:
        whole = placed.portions == portions_of(loaded.prescription.items)
        wishes.make(session, loaded.prescription.hospital, loaded.prescription.external_id, prescription_id=loaded.id,
                    kind=WishKind.CANCEL, by=f"courier:{delivery.courier}"[:60], reason=reason, at=city.now(),
                    portions=None if whole else placed.portions)


def _ending(delivery: Delivery) -> str:
    """Why the order ended: what became of its parcel, or what the patient said at the door, or did not pay there (E-09)."""
    if delivery.status is DeliveryStatus.LOST:
        return LOST
    return delivery.reason if delivery.reason in (REJECTED, UNPAID, NOT_COLLECTED) else UNDELIVERED


def _in_the_shops_book(city: City, session: Session, placed: Placed, delivery: Delivery, word: ChainWord) -> None:
    """The shop has no system that would be told: its book is ours. What comes back is on its shelf again, what is lost is not."""
    kept, by = counter.get(session, placed.id), f"courier:{delivery.courier}"[:40]
    if kept is None or kept.word is word:
        return
    ended = word is not ChainWord.IN_DELIVERY
    if not counter.say(session, placed.id, word, before=(kept.word,), at=city.now() if ended else None):
        raise StaleStatus(f"{placed.id} is no longer {kept.word}")
    if word is ChainWord.HANDED_OVER:
        counter.hand_over(session, kept, by=by, at=city.now())
    elif delivery.status is DeliveryStatus.LOST:
        counter.lose(session, kept, by=by, at=city.now())


def _write_down(city: City, session: Session, loaded: Loaded, placed: Placed, delivery: Delivery, update: CourierUpdate,
                codes: Sequence[str], point: str) -> None:
    """Into the history. Where the order has moved, or has ended, the plan is asked at once; on the way nothing is owed."""
    final = loaded.status in FINAL
    now = not delivery.live or delivery.status is DeliveryStatus.HELD_AT_POINT  # At a point another clock runs.
    wake_at = None if final else city.now() if now else loaded.wake_at or city.now()
    history.append(session, loaded.head, actor=_actor(placed, point), event=Event.COURIER_UPDATE, at=city.now(),
                   wake_at=wake_at, waiting_for=loaded.waiting_for,
                   detail={"order": placed.id, "event": shown(update.event_id), "delivery": delivery.status,
                           "attempt": delivery.attempt, "cause": delivery.reason, "warnings": list(codes),
                           "at": update.at.isoformat()})
