"""What may happen to a prescription: each scenario ends by itself, the same way every time. One file for each who does it."""

from collections.abc import Callable

from tests.laws.scenarios.cancels import CANCELS
from tests.laws.scenarios.couriers import COURIERS
from tests.laws.scenarios.fund import FUND
from tests.laws.scenarios.hospitals import HOSPITALS
from tests.laws.scenarios.patients import PATIENTS
from tests.laws.scenarios.people import PEOPLE
from tests.laws.scenarios.pharmacies import PHARMACIES
from tests.laws.scenarios.platform import PLATFORM
from tests.laws.scenarios.review import REVIEW
from tests.laws.scenarios.shops import SHOPS
from tests.laws.world import World

Scenario = Callable[[World], None]
SCENARIOS: tuple[Scenario, ...] = (
    *HOSPITALS, *REVIEW, *PATIENTS, *PHARMACIES, *SHOPS, *COURIERS, *CANCELS, *FUND, *PEOPLE, *PLATFORM,
)
