"""What a patient sees of a prescription and may do with it, by a link that cannot be guessed and needs no sign-in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time

from adapters.protocols import WorksFromPages
from domain.chains import OrderLine
from domain.claims import Claimed, Settlement
from domain.decoction import furthest
from domain.fulfilment.lines import LineState, line_states
from domain.fulfilment.orders import ALIVE, Placed
from domain.fulfilment.points import held_until
from domain.fulfilment.wishes import STANDING, WishAnswer, WishKind
from domain.instructions import dispensed_name, instructions
from domain.lifecycle import FINAL, Notice, Reported, Status
from domain.money import Fen
from domain.payments import Method, Payment, paid
from domain.people import Capability
from domain.prescription import Handover
from domain.shops import DECOCTIONS, Act
from domain.tracking import CANCELLABLE, CHOSEN, Step, done, of_order, sentence, step_of
from domain.words import Two
from infra.db import Session, access_log, claims, counter, orders, payments, prescriptions, wishes
from infra.db.access_log import Kind
from infra.db.payments import Account
from infra.db.prescriptions import Loaded
from tasks import closing
from tasks.choosing import Choosing, choosing, persistently
from tasks.city import City
from tasks.counter import workplaces
from tasks.fulfilment.sealed import open_secrets
from tasks.payments import methods


@dataclass(frozen=True)
class Medicine:
    """One line, as the package says it."""

    line: int
    name: str
    usage: str
    directions: str
    unit: str
    state: LineState


@dataclass(frozen=True)
class Point:
    """A pick-up point that keeps a parcel, or will."""

    place: str
    """`chain/number`."""
    name: Two
    opens: time
    closes: time
    """In the city's time."""
    waits: bool
    """Whether the parcel is there."""


@dataclass(frozen=True)
class AtPharmacy:
    """One order that may bring medicine, or did."""

    id: str
    handover: Handover
    chain: str
    store: str
    sentence: Two
    portions: Sequence[tuple[str, str]]
    """Name of each medicine, and the quantity with its unit."""
    code: str = field(repr=False)
    """To show at the counter; empty until it is of use, and for home delivery."""
    due: Fen | None
    """What the patient pays in cash; None before the fund has said it."""
    until: datetime | None
    """When the pharmacy must have handed it over."""
    handed_over: bool = False
    """Whether the patient has it; then nothing is to be paid any more."""
    point: Point | None = None
    """Where the patient collects it, if at a pick-up point; `until` is then its clock there, once it is there."""
    methods: Sequence[Method] = ()
    """How the patient may pay it where it is handed over; none: the pharmacy collects by itself."""
    paid: Payment | None = None
    refunded: Fen = Fen(0)
    """Of that, what goes back."""


@dataclass(frozen=True)
class Money:
    """What the medicine costs in all, by who pays; fen."""

    total: Fen
    fund: Fen
    account: Fen
    cash: Fen
    settled: bool
    """The fund's final answer, no forecast."""


@dataclass(frozen=True)
class Tracked:
    """What the page shows. No name and no number of a person is in it."""

    hospital: str
    sentence: Two
    step: Step | None
    done: frozenset[Step]
    ended: bool
    """Without medicine, and for good."""
    handover: Handover
    medicines: Sequence[Medicine]
    orders: Sequence[AtPharmacy]
    money: Money | None
    valid_until: datetime
    may_cancel: bool
    cancel: WishAnswer | None
    """What became of the newest wish to cancel it; None where there was none."""
    choosing: Choosing | None
    """How far the patient's choice of a pharmacy is; None where patients do not choose in this city."""


def tracked(city: City, prescription_id: str) -> Tracked | None:
    """The page of a prescription, and an entry in the access log; None for one that is not here."""
    with city.db.transaction("patient.looked") as session:
        try:
            loaded = prescriptions.load(session, prescription_id)
        except KeyError:
            return None
        access_log.append(session, closing.PATIENT, Kind.VIEW, Capability.TRACK, at=city.now(), prescription_id=prescription_id)
        return _tracked(city, session, loaded)


def cancel(city: City, prescription_id: str) -> Reported:
    """The patient does not want it any more. Asking again while the answer is open changes nothing.

    Raises `KeyError` for a prescription that is not here, `StaleStatus` where it is moved again and again.
    """
    return persistently(lambda: _cancel(city, prescription_id))


def _cancel(city: City, prescription_id: str) -> Reported:
    with city.db.transaction("patient.cancelled") as session:
        loaded = prescriptions.load(session, prescription_id)
        access_log.append(session, closing.PATIENT, Kind.ACT, Capability.CANCEL, at=city.now(), prescription_id=prescription_id)
        cancels = [wish for wish in wishes.of(session, prescription_id) if wish.kind is WishKind.CANCEL]
        if any(wish.answer in STANDING for wish in cancels):
            return Notice.CANCELLING
        if loaded.status is Status.CANCELLED:
            return Status.CANCELLED
        if cancels and closing.cancel_answer(loaded) is Notice.TOO_LATE:
            return Notice.TOO_LATE
        return closing.ask_to_cancel(session, city, loaded, by=closing.PATIENT, reason=closing.PATIENT)


def _tracked(city: City, session: Session, loaded: Loaded) -> Tracked:
    rx, placed, wished = loaded.prescription, orders.of(session, loaded.id), wishes.of(session, loaded.id)
    handover = next((order.order.handover for order in reversed(placed) if _counts(order)), rx.handover)
    words = [order.word for order in placed]
    claimed = claims.newest_of(session, loaded.id)
    accounts = payments.of_orders(session, [order.id for order in placed])
    lines = {item.line: OrderLine(item.line, item.drug, item.quantity, item.unit) for item in rx.items}
    substitutes = {line.line: line for order in placed if _counts(order) for line in order.order.lines if line.instead_of}
    labels = {label.line: label for label in instructions(rx, city.knowledge, list(lines.values())).labels}
    states = line_states(rx.items, placed, wished, ended=loaded.status in FINAL)
    step = step_of(loaded.status, words)
    chooses = choosing(city, session, loaded, wished)
    cancels = [wish for wish in wished if wish.kind is WishKind.CANCEL and wish.by != "clock"]
    newest = cancels[-1].answer if cancels else None
    counted = [order for order in placed if _counts(order)]
    at_pharmacies = [_at_pharmacy(city, session, loaded, order, claimed.get(order.id), accounts.get(order.id, Account()))
                     for order in counted]
    by_word = {order.word: at.sentence for order, at in zip(counted, at_pharmacies, strict=True)}
    return Tracked(
        hospital=rx.hospital, step=step,
        sentence=CHOSEN if chooses and chooses.chosen else sentence(
            loaded.status, loaded.waiting_for, words, handover, by_word),
        done=done(loaded.status, step), ended=loaded.status in FINAL and loaded.status is not Status.CLOSED,
        handover=handover,
        medicines=[Medicine(item.line, dispensed_name(substitutes.get(item.line, lines[item.line]), item, city.knowledge.catalogue),
                            labels[item.line].usage, item.directions, item.unit, states[item.line])
                   for item in rx.items],
        orders=at_pharmacies,
        money=_money([claimed.get(order.id) for order in counted]), valid_until=rx.valid_until,
        may_cancel=loaded.status in CANCELLABLE and newest not in STANDING
        and any(state.open or state.in_progress for state in states.values()),
        cancel=newest, choosing=chooses)


def _counts(order: Placed) -> bool:
    """Whether it brought medicine, or may."""
    return (order.confirmed and order.status in ALIVE) or bool(order.handed_over)


def _at_pharmacy(city: City, session: Session, loaded: Loaded, placed: Placed, claimed: Claimed | None, account: Account
                 ) -> AtPharmacy:
    names = {item.line: (item.name, item.unit) for item in loaded.prescription.items}
    alive = placed.status in ALIVE
    answer = _answer(claimed)
    decoction = furthest([DECOCTIONS[Act(entry.act)] for entry in counter.done(session, placed.id) if entry.act in DECOCTIONS]
                         ) if loaded.prescription.to_decoct else None
    held = held_until(placed, city.policy)
    return AtPharmacy(
        id=placed.id, handover=placed.order.handover, chain=placed.order.chain, store=placed.order.store,
        sentence=of_order(placed.word, placed.order.handover, placed.delivery.status if placed.delivery else None, decoction,
                          point=bool(placed.order.point)),
        portions=[(names[portion.line][0], f"{portion.quantity.normalize():f} {names[portion.line][1]}")
                  for portion in placed.portions],
        code=open_secrets(city, placed)["pickup_code"] if alive else "",
        due=answer.cash if answer else None, until=(held or placed.fulfil_by) if alive else None,
        handed_over=placed.handed_over_at is not None, point=_point(city, session, placed, held),
        methods=methods(city.policy, placed) if isinstance(city.chains[placed.order.chain], WorksFromPages) else (),
        paid=paid(account.payments), refunded=Fen(sum(refund.amount for refund in account.refunds)))


def _point(city: City, session: Session, placed: Placed, held: datetime | None) -> Point | None:
    at = workplaces(city).get(placed.order.point)
    if at is None:
        return None
    opening = counter.openings(session, at.chain).get(at.shop.number) or at.shop
    return Point(at.place, Two(at.shop.name, at.shop.name_en), opening.opens, opening.closes, held is not None)


def _money(claimed: Sequence[Claimed | None]) -> Money | None:
    answers = [answer for claim in claimed if (answer := _answer(claim))]
    if not answers:
        return None
    return Money(
        total=Fen(sum(answer.total for answer in answers)), fund=Fen(sum(answer.fund for answer in answers)),
        account=Fen(sum(answer.account + answer.family for answer in answers)),
        cash=Fen(sum(answer.cash for answer in answers)),
        settled=all(claim is not None and (claim.settled is not None or claim.reversed) for claim in claimed))


def _answer(claimed: Claimed | None) -> Settlement | None:
    """What the fund says of a claim by now; nothing of one that it took back."""
    return None if claimed is None or claimed.reversed else claimed.settled or claimed.pre_settled
