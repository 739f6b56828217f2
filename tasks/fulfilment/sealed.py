"""The secrets of an order, opened for one call."""

import json

from domain.fulfilment.orders import Placed
from tasks.city import City


def open_secrets(city: City, placed: Placed) -> dict[str, str]:
    """Claim secret and pickup code of an order."""
    opened: dict[str, str] = json.loads(city.cipher.open(placed.sealed, f"order/{placed.id}"))
    return opened
