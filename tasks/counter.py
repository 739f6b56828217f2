"""What the people of a shop without a system see of its orders, and do with them.

Each act goes through `tasks.fulfilment.updates.accept` under an event id that follows from it. So it is one effect, also when
it is done twice, by two people, or after a lost answer.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from adapters.messages import Reply
from adapters.protocols import WorksFromPages
from domain.chains import ChainWord, OrderUpdate
from domain.decoction import DecoctionStep, furthest
from domain.door import TAIL, WRONG_PROOF, is_locked, normal
from domain.errors import StaleStatus, Transient
from domain.events import Event
from domain.fulfilment.orders import Placed
from domain.money import Fen
from domain.payments import Tendered
from domain.people import Capability, Denied, Person
from domain.prescription import Handover
from domain.shops import ACTS, DECOCTIONS, DONE, WORDS, Act, Shop, reasons, supported_actions
from domain.words import ENDINGS, PAYMENT_FLAWS, Two
from infra.db import Session, counter, history, orders, payments, prescriptions
from infra.db.counter import Done, Kept
from infra.db.payments import Account
from infra.db.prescriptions import canonical
from tasks import payments as money
from tasks.city import City
from tasks.fulfilment import updates
from tasks.fulfilment.sealed import open_secrets
from tasks.patients import open_patient


@dataclass(frozen=True)
class Workplace:
    """A shop of a chain whose people work from our pages."""

    chain: str
    shop: Shop

    @property
    def place(self) -> str:
        """As grants name it: `linli/LL01`."""
        return f"{self.chain}/{self.shop.number}"


@dataclass(frozen=True)
class ShopOrder:
    """An order as the people of its shop see it."""

    at: Workplace
    placed: Placed
    kept: Kept
    """The same as the shop has it: its word counts."""
    done: tuple[Done, ...]
    """What they did with it, the oldest first."""
    supported_actions: tuple[Act, ...]
    reasons: Mapping[Act, tuple[str, ...]]
    """Codes of which an act needs one."""
    accept_by: datetime | None
    """While it is not accepted yet."""
    account: Account
    """What the patient has paid for it, and what goes back."""
    decoction: DecoctionStep | None = None
    """How far the shop's decoction is; None where it has none to make: the patient does, or it is no decoction."""

    @property
    def word(self) -> ChainWord:
        return self.kept.word


def workplaces(city: City) -> dict[str, Workplace]:
    """Every shop of the city that works from our pages, by its place."""
    return {at.place: at for slug, chain in city.chains.items() if isinstance(chain, WorksFromPages)
            for shop in chain.shops().values() for at in [Workplace(slug, shop)]}


def workplaces_of(city: City, who: Person, capability: Capability) -> list[Workplace]:
    """Where a person has the capability, by place."""
    return [at for place, at in sorted(workplaces(city).items()) if place in who.places(capability)]


def order_of(city: City, who: Person, capability: Capability, rx_id: str, attempt: int) -> ShopOrder:
    """An order of a shop where the person has the capability. Raises `KeyError` for any other."""
    with city.db.reading() as session:
        return _order(city, session, who, capability, rx_id, attempt)


def orders_at(city: City, at: Workplace, since: datetime) -> list[ShopOrder]:
    """Orders of a shop that are under way, and those of since then; the newest first. A hold is no order yet."""
    with city.db.reading() as session:
        several = counter.kept_by(session, at.chain, at.shop.number, since)
        accounts = payments.of_orders(session, [kept.order_id for kept in several])
        return [_seen(city, session, at, placed, kept, accounts.get(kept.order_id, Account())) for kept in several
                if (placed := orders.get(session, kept.order_id)) and _is_order(placed, kept.word)]


def start_of_day(city: City) -> datetime:
    """Of the city's calendar day."""
    return datetime.combine(city.today(), datetime.min.time(), ZoneInfo(city.policy.timezone))


def act_on(city: City, who: Person, rx_id: str, attempt: int, act: Act, *, reason: str = "", lines: Sequence[int] = (),
           proof: str = "", method: str = "", reference: str = "", amount: Fen | None = None) -> ShopOrder:
    """Do it, once, and return the order as it is then.

    `reason` is one of the act's codes, `lines` are those that came back. `proof` is the pickup code, or at the door the end of
    the patient's id number. `method` is how the patient pays what is due, with the payment's `reference` unless it is cash. An
    `amount` of fen that is not what is due is refused. Raises `KeyError` for an order that is not of the person's shop, `Transient`
    if it is to be tried again. Raises `Denied`: `not_now` (saying who did what when), `reason_missing`, `lines_missing`,
    `wrong_proof`, `too_many_tries`, or a `domain.payments.Flaw`.
    """
    capability = capability_of(act)
    lines = tuple(sorted(set(lines)))
    seen = order_of(city, who, capability, rx_id, attempt)
    if _was_done(seen, act, reason, lines):
        return seen
    check(city, seen, act, reason, lines)
    if act in DECOCTIONS:
        return _decoct(city, who, seen, act)
    secret = open_secrets(city, seen.placed)
    if act is Act.HAND_OVER:
        _check_proof(city, who, seen, secret["pickup_code"], proof)
    tendered = _tendered(seen, method, reference, amount)
    if act is Act.HAND_OVER and (wrong := money.refusal(city.policy, seen.placed, tendered)):
        raise Denied(wrong, PAYMENT_FLAWS[wrong])
    word, order_id = WORDS[act], seen.placed.id
    event = ".".join([order_id, word, *(["-".join(map(str, lines))] if lines else [])])
    update = OrderUpdate(event_id=event, order_id=order_id, status=word, claim_secret=secret["claim_secret"], at=city.now(),
                         reason=reason, lines=lines, pickup_code=secret["pickup_code"] if act is Act.HAND_OVER else "")

    def still_allowed(session: Session) -> Reply | None:
        nonlocal seen
        seen = _order(city, session, who, capability, rx_id, attempt)
        return None if act in seen.supported_actions else updates.reply(409, "not_now")

    def follow(session: Session) -> None:
        if not counter.say(session, order_id, word, before=(seen.word,),
                           at=city.now() if act in (Act.HAND_OVER, Act.DECLINE) else None):
            raise StaleStatus(f"{order_id} is no longer {seen.word}")
        if act is Act.HAND_OVER:
            counter.hand_over(session, seen.kept, by=who.id, at=city.now())
            money.collect(city, session, seen.placed, tendered, collector=f"shop:{seen.at.place}", by=who.id,
                          actor=f"chain:{seen.at.chain}")
        counter.note(session, order_id, act, who.id, city.now(), reason=reason, lines=lines)

    evidence = updates.keep(city, canonical([event, reason]))
    answer = updates.accept(city, seen.at.chain, update, evidence, still_allowed, follow)
    after = order_of(city, who, capability, rx_id, attempt)
    if answer.status < 300 or _was_done(after, act, reason, lines):
        return after
    if answer.status >= 500:
        raise Transient(f"{order_id}: {act}", code="busy")
    raise not_now(city, after, act)


def _decoct(city: City, who: Person, seen: ShopOrder, act: Act) -> ShopOrder:
    """Write down a step of a decoction, once. Raises as `act_on` does."""
    order_id, rx_id, attempt = seen.placed.id, seen.placed.order.prescription_id, seen.placed.attempt
    event = f"{order_id}.{act}"

    def still_allowed(session: Session) -> Reply | None:
        now = _order(city, session, who, Capability.FILL_ORDERS, rx_id, attempt)
        return None if act in now.supported_actions else updates.reply(409, "not_now")

    def apply(session: Session) -> tuple[Reply, str | None]:
        loaded = prescriptions.load(session, rx_id)
        history.append(session, loaded.head, actor=f"chain:{seen.at.chain}", event=Event.DECOCTION_STEP, at=city.now(),
                       wake_at=loaded.wake_at, waiting_for=loaded.waiting_for,
                       detail={"order": order_id, "decoction": DECOCTIONS[act]})
        return updates.reply(200, "applied"), rx_id

    answer = updates.take_in(city, f"chain:{seen.at.chain}", event, updates.keep(city, canonical([event])), still_allowed, apply,
                             lambda session: counter.note(session, order_id, act, who.id, city.now()))
    after = order_of(city, who, Capability.FILL_ORDERS, rx_id, attempt)
    if answer.status < 300 or _was_done(after, act, "", ()):
        return after
    if answer.status >= 500:
        raise Transient(f"{order_id}: {act}", code="busy")
    raise not_now(city, after, act)


def receive_cash(city: City, who: Person, rx_id: str, attempt: int) -> ShopOrder:
    """The person has counted the cash that a courier took for an order (E-08); twice is once.

    Raises `KeyError` for an order that is not of the person's shop, `Denied` (`no_cash`) where no courier took cash for it.
    """
    seen = order_of(city, who, Capability.FILL_ORDERS, rx_id, attempt)
    if not money.hand_in(city, seen.placed, to=who.id):
        raise Denied("no_cash", Two("这个订单没有配送员代收的现金", "no courier has taken cash for this order"))
    return order_of(city, who, Capability.FILL_ORDERS, rx_id, attempt)


def capability_of(act: Act) -> Capability:
    return Capability.HAND_OVER if act is Act.HAND_OVER else Capability.FILL_ORDERS


def check(city: City, seen: ShopOrder, act: Act, reason: str, lines: Sequence[int]) -> None:
    """Raises `Denied`: `not_now`, `reason_missing`, `lines_missing`."""
    if act in DECOCTIONS and seen.decoction is None:
        raise Denied("not_decocted_here", Two("本单不代煎，不能登记煎煮步骤",
                                               "this order is not decocted here: it has no such step"))
    if act not in seen.supported_actions:
        raise not_now(city, seen, act)
    needed = seen.reasons[act]
    if (reason or needed) and reason not in needed:
        raise Denied("reason_missing", Two("请选择原因", "choose the reason"))
    held = {portion.line for portion in seen.placed.kept}
    if act is Act.TAKE_BACK and (not lines or set(lines) - held):
        raise Denied("lines_missing", Two("请勾选退回的药品", "tick what came back"))


def not_now(city: City, seen: ShopOrder, act: Act) -> Denied:
    """Why an act is not possible: who did what when, or how the order ended without the shop."""
    done = [entry for entry in seen.done if entry.act in ACTS]
    if seen.word is ChainWord.CANCELLED:
        cause = ENDINGS.get(seen.placed.reason, ENDINGS[""])
        why = Two(f"订单已由平台撤回（{cause.zh}）", f"the platform has taken the order back ({cause.en})")
    elif done:
        last = done[-1]
        at = f"{last.at.astimezone(ZoneInfo(city.policy.timezone)):%H:%M}"
        why = Two(f"{last.person} 已于 {at} {DONE[last.act].zh.removeprefix('已')}", f"{last.person} {DONE[last.act].en} at {at}")
    else:
        why = Two("订单尚未到此步骤", "the order has not come to that")
    return Denied("not_now", Two(f"现在不能{ACTS[act].zh}：{why.zh}", f"not possible now ({ACTS[act].en}): {why.en}"))


def _order(city: City, session: Session, who: Person, capability: Capability, rx_id: str, attempt: int) -> ShopOrder:
    placed = next((placed for placed in orders.of(session, rx_id) if placed.attempt == attempt), None)
    at = workplaces(city).get(f"{placed.order.chain}/{placed.order.store}") if placed else None
    kept = counter.get(session, placed.id) if placed else None
    if placed is None or at is None or kept is None or at.place not in who.places(capability):
        raise KeyError(rx_id)
    return _seen(city, session, at, placed, kept, payments.of(session, placed.id))


def _is_order(placed: Placed, word: ChainWord) -> bool:
    """Not a hold, nor one that was let go as a hold."""
    return word is not ChainWord.HELD and (placed.confirmed or word is not ChainWord.CANCELLED)


def _seen(city: City, session: Session, at: Workplace, placed: Placed, kept: Kept, account: Account) -> ShopOrder:
    done = counter.done(session, placed.id)
    decoction = None
    if prescriptions.load(session, placed.order.prescription_id).prescription.to_decoct:
        decoction = furthest([DECOCTIONS[Act(entry.act)] for entry in done if entry.act in DECOCTIONS])
    handed_over_at = placed.handed_over_at
    returnable = bool(placed.kept) and handed_over_at is not None and city.now() < handed_over_at + city.policy.return_window
    return ShopOrder(at, placed, kept, tuple(done), supported_actions(
        kept.word, placed.order.handover, returnable=returnable, carried=bool(placed.courier), decoction=decoction),
                     {act: reasons(act, kept.word) for act in Act}, placed.accept_by if kept.word is ChainWord.ORDERED else None,
                     account, decoction)


def _tendered(seen: ShopOrder, method: str, reference: str, amount: Fen | None) -> Tendered | None:
    """What the patient pays; the amount is the server's where none was said."""
    due = seen.placed.order.patient_due
    if amount is None and (not method or not due):
        return None
    return Tendered(due if amount is None else amount, method, reference.strip())


def _was_done(seen: ShopOrder, act: Act, reason: str, lines: Sequence[int]) -> bool:
    return any((entry.act, entry.reason, entry.lines) == (act, reason, tuple(lines)) for entry in seen.done)


def _check_proof(city: City, who: Person, seen: ShopOrder, pickup_code: str, proof: str) -> None:
    """Raises `Denied`: `wrong_proof`, `too_many_tries`. What was shown is compared and not kept."""
    if is_locked((entry.at for entry in seen.done if entry.act == WRONG_PROOF), city.now()):
        raise Denied("too_many_tries", Two("核验失败次数过多，请 10 分钟后再试", "too many wrong tries; wait ten minutes"))
    shown = normal(proof)
    wanted = pickup_code or _id_tail(city, seen)
    if hmac.compare_digest(shown.encode(), wanted.encode()):
        return
    with city.db.transaction("counter.proof_refused") as session:
        counter.note(session, seen.placed.id, WRONG_PROOF, who.id, city.now())
    raise Denied("wrong_proof", Two("取药码不符，请核对", "this is not the pickup code") if pickup_code else
                 Two("证件号末四位不符，请核对", "these are not the last four characters of the id number"))


def _id_tail(city: City, seen: ShopOrder) -> str:
    with city.db.reading() as session:
        loaded = prescriptions.load(session, seen.placed.order.prescription_id)
    return open_patient(city, loaded)["id_number"][-TAIL:].upper()


def needs_code(seen: ShopOrder) -> bool:
    """Whether it is handed over against a pickup code; at the door it is the end of the id number."""
    return seen.placed.order.handover is Handover.PICKUP
