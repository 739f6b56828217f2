"""How much a sender may have of us: a measure per key that is used up and fills again with time.

Pure but for its clock. What it remembers is this process's own: with several gateways each has its measure.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

KEYS = 10_000
"""Of so many senders the use is remembered. A sender forgotten begins anew, so a crowd costs memory for this many only."""


@dataclass
class _Level:
    left: float
    at: float


class Measure:
    """`capacity` units per key, which come back evenly over `seconds`; after that long without use a key has all of them."""

    def __init__(self, capacity: float, seconds: float, *, keys: int = KEYS,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._per_second = capacity / seconds
        self._keys = keys
        self._clock = clock
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def wait(self, key: str, amount: float = 1) -> float:
        """Seconds until the key may have that amount; 0: now. Nothing is taken. What is beyond the capacity may be had once
        the measure is full."""
        lacking = min(amount, self._capacity) - self._left(key)
        return max(0.0, lacking / self._per_second)

    def take(self, key: str, amount: float = 1) -> float:
        """Take that amount and return 0, or take nothing and return the seconds to wait."""
        if seconds := self.wait(key, amount):
            return seconds
        self._levels[key] = _Level(self._left(key) - amount, self._clock())
        self._levels.move_to_end(key)
        while len(self._levels) > self._keys:
            self._levels.popitem(last=False)
        return 0.0

    def _left(self, key: str) -> float:
        level = self._levels.get(key)
        if level is None:
            return self._capacity
        # A clock that goes back gives nothing.
        return min(self._capacity, level.left + max(0.0, self._clock() - level.at) * self._per_second)


def network(address: str) -> str:
    """Whom an address counts as: itself, or for IPv6 its /64, all of which one host may use."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 6:
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
