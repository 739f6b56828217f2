"""What a patient may choose, and take back."""

from collections.abc import Callable
from decimal import Decimal

from domain.chains import ChainWord
from domain.fulfilment.portions import Portion
from domain.fulfilment.wishes import WishKind
from infra.db import Session, prescriptions, wishes
from tasks import choosing, tracking
from tests.laws.world import World


def the_patient_looks_and_cancels(city: World) -> None:
    city.to_review()
    city.staff(lambda home: tracking.tracked(home, city.rx))
    city.staff(lambda home: tracking.cancel(home, city.rx))
    city.work()


def the_patient_chooses(city: World) -> None:
    """First a pharmacy whose price rises meanwhile, then another, which collects it instead of having it brought."""
    _asked(city)
    city.staff(lambda home: choosing.choose(home, city.rx, "1-1", by="patient"))
    city.chains["ankang"].prices = {"D032": Decimal("0.40")}
    city.work()
    city.wake()
    city.work()
    city.staff(lambda home: choosing.choose(home, city.rx, "2-1", by="patient"))
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def the_patient_does_not_choose(city: World) -> None:
    _asked(city)
    city.later(minutes=31)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def _asked(city: World) -> None:
    city.to_review("home_delivery")
    city.staff(lambda home: choosing.wish_to_choose(home, city.rx, by="patient"))
    city.decide()
    city.work()


def a_part_cancelled_before_it_was_ordered(city: World) -> None:
    """No door takes such a wish yet; the line carries it out."""
    city.to_review("home_delivery")
    city.hand_in_the_database(_wishes(WishKind.CANCEL))
    city.decide()
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def a_wish_to_return_something(city: World) -> None:
    """No door takes such a wish yet; it is answered by what the pharmacy says."""
    city.to_settled("home_delivery")
    city.hand_in_the_database(_wishes(WishKind.RETURN))
    city.say(ChainWord.RETURNED, reason="quality", lines=(2,))
    city.work()
    city.to_closed()


def _wishes(kind: WishKind) -> Callable[[World, Session], None]:
    """The patient's wish for the whole second line, as a row."""
    def write(city: World, session: Session) -> None:
        rx = prescriptions.load(session, city.rx).prescription
        wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx.id, kind=kind, by="patient", reason="patient",
                    at=city.clock(), portions=(Portion(2, rx.items[1].quantity),))

    return write


PATIENTS = (
    the_patient_looks_and_cancels,
    the_patient_chooses,
    the_patient_does_not_choose,
    a_part_cancelled_before_it_was_ordered,
    a_wish_to_return_something,
)
