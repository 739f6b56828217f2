"""Pick-up points for a patient's choice: which of the city's contracted places may keep what a pharmacy would send (D-09)."""

from collections import Counter
from collections.abc import Sequence

from adapters.protocols import WorksFromPages
from domain.fulfilment.choice import Option
from domain.fulfilment.points import Candidate, PickupPoint, Sending, nearest, not_left, why_not
from domain.premises import handling_of, premises_of
from domain.prescription import Handover, Place, Prescription
from infra.db import counter
from tasks.city import City
from tasks.fulfilment.carriage import courier_for


def for_options(city: City, rx: Prescription, offered: Sequence[Option]) -> tuple[dict[str, list[PickupPoint]], dict[str, int]]:
    """By an option's key the points for it, and how many times a place is none, by reason.

    Points keep what one pharmacy sends whole, and what its courier would bring home.
    """
    candidates = _candidates(city)
    by_option: dict[str, list[PickupPoint]] = {}
    refused: Counter[str] = Counter()
    for option in offered:
        if not candidates or option.handover is not Handover.HOME or len(option.shares) > 1 or option.owed:
            continue
        sending = _sending(city, rx, option)
        by_option[option.key] = nearest(candidates, sending, rx.place)
        refused.update(reason for point in candidates if (reason := why_not(point, sending, rx.place)))
    return by_option, dict(refused)


def still(city: City, rx: Prescription, option: Option) -> bool:
    """Whether the point of an option may keep its parcel now."""
    point = next((point for point in _candidates(city) if option.point and point.place == option.point.place), None)
    return point is not None and why_not(point, _sending(city, rx, option), rx.place) is None


def _candidates(city: City) -> list[Candidate]:
    """Clinics, and other places with a custody shelf or a contract in the register, where a person has our pages to receive."""
    places = []
    for slug, chain in city.chains.items():
        if not isinstance(chain, WorksFromPages):
            continue
        with city.db.reading() as session:
            openings = counter.openings(session, slug)
        for shop in chain.shops().values():
            premises, opening = premises_of(city.policy.premises, slug, shop.number), openings.get(shop.number)
            places.append(Candidate(
                slug, shop.number, shop.name, shop.name_en, Place(shop.district, shop.latitude, shop.longitude), premises,
                bool(opening and opening.shut), opening.opens if opening else shop.opens,
                opening.closes if opening else shop.closes))
    return places


def _sending(city: City, rx: Prescription, option: Option) -> Sending:
    share = option.shares[0]
    drugs = {line.drug: line.amount for line in share.lines}
    handling = handling_of(drugs, Handover.HOME, city.knowledge, decoct=rx.to_decoct)
    return Sending(share.chain, share.store, bool(courier_for(city, share.chain, share.store, Handover.HOME)),
                   bool(city.policy.counter_methods), not_left(drugs, handling, city.knowledge, city.policy))
